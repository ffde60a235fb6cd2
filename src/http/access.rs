//! Authentication by tokens, and the limits of how often addresses and tokens may ask.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{extract::Request, http::header::AUTHORIZATION};
use parking_lot::Mutex;

use super::{
    App,
    caller::{Caller, PeerAddress},
    identity, secrets,
};
use crate::{
    api::{ProblemCode, ProblemDetails},
    ledger::AccountChange,
    model::{Time, Token},
    net::{ConnectionPermit, RateLimit, RateLimited, RateLimiter},
};

/// Requests with a wrong token that an address may make in a minute.
const FAILURES: RateLimit = RateLimit {
    times: 20,
    period: Duration::from_secs(60),
};
/// Claims without a token that an address may make in a minute.
const CLAIMS: RateLimit = RateLimit {
    times: 10,
    period: Duration::from_secs(60),
};
/// How often the last use of a token is written down, in seconds.
const USE_INTERVAL_SECONDS: u64 = 3600;

/// How often each token and address has asked.
#[derive(Debug)]
pub struct Access {
    uses: Mutex<HashMap<String, Use>>,
    started: Instant,
    failures: RateLimiter,
    claims: RateLimiter,
}

impl Default for Access {
    fn default() -> Access {
        let (failures, claims) = (RateLimiter::new(FAILURES), RateLimiter::new(CLAIMS));
        Access {
            uses: Mutex::default(),
            started: Instant::now(),
            failures,
            claims,
        }
    }
}

/// A token's last use, and the requests of its minute.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    at: Time,
    minute: u64,
    count: u32,
    written: Time,
}

/// How far a token is from its limit, for the `RateLimit` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateState {
    /// Requests that it may make in a minute.
    pub limit: u32,
    /// Requests that are left of this minute.
    pub remaining: u32,
    /// Seconds until the next minute begins.
    pub reset: u64,
}

impl Access {
    /// When a token was last used since the start.
    pub fn last(&self, token: &str) -> Option<Time> {
        self.uses.lock().get(token).map(|u| u.at)
    }

    /// Counts a request with a wrong token. The error is the limit that it exceeds.
    fn failed(&self, peer: PeerAddress, now: Duration) -> Result<(), RateLimited> {
        match peer {
            PeerAddress::Net(addr) => self.failures.charge(addr, now),
            PeerAddress::Socket(_) => Ok(()),
        }
    }

    /// Counts a claim that an address makes. The error is the limit that it has to wait for.
    pub(super) fn claim(&self, addr: IpAddr) -> Result<(), RateLimited> {
        self.claims.charge(addr, self.started.elapsed())
    }

    /// Counts a request. Returns how many the token has made in this minute, and whether its use
    /// should be written down.
    fn count(&self, token: &Token, at: Time) -> (u32, bool) {
        let mut all = self.uses.lock();
        let u = all.entry(token.id.clone()).or_default();
        let minute = at.0 / 60;
        u.count = if u.minute == minute {
            u.count.saturating_add(1)
        } else {
            1
        };
        (u.at, u.minute) = (at, minute);
        let write = at.0 >= u.written.0 + USE_INTERVAL_SECONDS;
        if write {
            u.written = at;
        }
        (u.count, write)
    }
}

/// Authenticates the sender of a request. `rate` is set where its token has a limit.
pub(super) fn authenticate(
    app: &App,
    peer: PeerAddress,
    request: &Request,
    rate: &mut Option<RateState>,
) -> Result<Caller, ProblemDetails> {
    let from = match peer {
        PeerAddress::Socket(uid) => return identity::at_socket(app, uid),
        PeerAddress::Net(addr) => addr.to_canonical().to_string(),
    };
    let at = app.ledger.now();
    // A valid token is never refused because of wrong ones from the same network: it cannot be
    // guessed, and its neighbours may be anybody.
    let wrong = |why: &str| match app.access.failed(peer, app.access.started.elapsed()) {
        Ok(()) => {
            tracing::warn!(from, why, "rejected request with invalid token");
            ProblemDetails::new(ProblemCode::Unauthorized, why)
        }
        Err(limited) => ProblemDetails::rate_limited("wrong tokens", &limited),
    };
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(ProblemDetails::new(
            ProblemCode::Unauthorized,
            "this requires a token; send `Authorization: Bearer orbsd_…`",
        ));
    };
    let bearer = header
        .to_str()
        .ok()
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((id, secret)) = bearer.and_then(|(_, token)| secrets::parts(token)) else {
        return Err(wrong(
            "the Authorization header has no token of the form `Bearer orbsd_…`",
        ));
    };
    let accounts = app.ledger.accounts();
    // The same message for an unknown number and for a wrong secret.
    let token = accounts
        .tokens
        .get(id)
        .filter(|t| secrets::is(t, secret))
        .ok_or_else(|| wrong("the token is unknown"))?;
    let role = accounts.role(token, at).map_err(|why| wrong(&why))?;
    let (count, write) = app.access.count(token, at);
    if write {
        let (ledger, id) = (app.ledger.clone(), token.id.clone());
        tokio::spawn(async move {
            drop(
                ledger
                    .change_accounts(AccountChange::TokenUsed(id, at), None)
                    .await,
            );
        });
    }
    *rate = token.per_minute.map(|limit| RateState {
        limit,
        remaining: limit.saturating_sub(count),
        reset: 60 - at.0 % 60,
    });
    if let Some(limit) = token.per_minute.filter(|limit| count > *limit) {
        return Err(ProblemDetails::this_minute(
            format!("this token may make {limit} requests a minute"),
            at,
        ));
    }
    let person = if token.person {
        token.owner.clone()
    } else {
        identity::person(app, &token.by)
    };
    if let Some(permit) = request.extensions().get::<Arc<ConnectionPermit>>() {
        permit.prefer();
    }
    Ok(Caller {
        name: token.owner.clone(),
        person,
        role,
        bounds: token.bounds.clone(),
        from: from.into(),
        token: Some(token.id.clone()),
        idempotency: None,
        clock: app.ledger.clock.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_limited_for_an_address_and_its_neighbours() {
        let access = Access::default();
        let net = |t: &str| PeerAddress::Net(t.parse().unwrap());
        let at = Duration::from_secs;
        let tries = |t: &str, now| {
            (0..100)
                .take_while(|_| access.failed(net(t), now).is_ok())
                .count()
        };
        assert_eq!(tries("2001:db8::1", at(0)), 20);
        assert_eq!(
            access.failed(net("2001:db8::3"), at(1)).map_err(|e| e.wait),
            Err(at(2)),
            "the same /64"
        );
        assert_eq!(tries("2001:db8:0:1::", at(1)), 20);
        assert_eq!(tries("2001:db8::3", at(60)), 20);
        assert_eq!(tries("192.0.2.1", at(0)), 20);
        assert!(access.failed(net("::ffff:192.0.2.1"), at(1)).is_err());
        assert!((0..100).all(|_| access.failed(PeerAddress::Socket(Some(0)), at(1)).is_ok()));
    }
}
