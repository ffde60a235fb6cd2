//! Authentication by tokens, and the rate limits of addresses and tokens.

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

/// The limit of requests with an invalid token from an address.
const FAILURE_LIMIT: RateLimit = RateLimit {
    times: 20,
    period: Duration::from_secs(60),
};
/// The limit of claims without a token from an address.
const CLAIM_LIMIT: RateLimit = RateLimit {
    times: 10,
    period: Duration::from_secs(60),
};
/// How often the last use of a token is stored, in seconds.
const USE_INTERVAL_SECONDS: u64 = 3600;

/// Counts the requests of each token and address.
#[derive(Debug)]
pub struct Access {
    uses: Mutex<HashMap<String, Use>>,
    started: Instant,
    failures: RateLimiter,
    claims: RateLimiter,
}

impl Default for Access {
    fn default() -> Access {
        Access {
            uses: Mutex::default(),
            started: Instant::now(),
            failures: RateLimiter::new(FAILURE_LIMIT),
            claims: RateLimiter::new(CLAIM_LIMIT),
        }
    }
}

/// The last use of a token, and its requests in the current minute.
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
    /// Requests that the token may make in a minute.
    pub limit: u32,
    /// Requests that are left in this minute.
    pub remaining: u32,
    /// Seconds until the next minute begins.
    pub reset: u64,
}

impl Access {
    /// When a token was last used since the start.
    pub fn last_use(&self, token: &str) -> Option<Time> {
        self.uses.lock().get(token).map(|u| u.at)
    }

    /// Counts a request with an invalid token. The error is the limit that it exceeds.
    fn count_failure(&self, peer: PeerAddress, now: Duration) -> Result<(), RateLimited> {
        match peer {
            PeerAddress::Net(addr) => self.failures.charge(addr, now),
            PeerAddress::Socket(_) => Ok(()),
        }
    }

    /// Counts a claim that an address makes. The error is the limit that it exceeds.
    pub(super) fn count_claim(&self, addr: IpAddr) -> Result<(), RateLimited> {
        self.claims.charge(addr, self.started.elapsed())
    }

    /// Counts a request. Returns how many the token has made in this minute, and whether its use
    /// has to be stored.
    fn count(&self, token: &Token, at: Time) -> (u32, bool) {
        let mut all = self.uses.lock();
        let u = all.entry(token.id.clone()).or_default();
        let minute = at.0 / 60;
        let before = if u.minute == minute { u.count } else { 0 };
        (u.at, u.minute, u.count) = (at, minute, before.saturating_add(1));
        let write = at.0 >= u.written.0 + USE_INTERVAL_SECONDS;
        if write {
            u.written = at;
        }
        (u.count, write)
    }
}

/// Authenticates the sender of a request. `rate` is set if its token has a limit.
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
    // A valid token is never refused because of invalid ones from the same network: tokens cannot
    // be guessed, and other clients of the network may be unrelated.
    let reject = |why: &str| match app.access.count_failure(peer, app.access.started.elapsed()) {
        Ok(()) => {
            tracing::warn!(from, why, "rejected request with invalid token");
            ProblemDetails::new(ProblemCode::Unauthorized, why)
        }
        Err(limited) => ProblemDetails::rate_limited("invalid tokens", &limited),
    };
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(ProblemDetails::new(
            ProblemCode::Unauthorized,
            "authentication is required; send `Authorization: Bearer orbsd_…`",
        ));
    };
    let bearer = header
        .to_str()
        .ok()
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((id, secret)) = bearer.and_then(|(_, token)| secrets::split_token(token)) else {
        return Err(reject(
            "the Authorization header has no token of the form `Bearer orbsd_…`",
        ));
    };
    let accounts = app.ledger.accounts();
    // The message is the same for an unknown ID and for a wrong secret.
    let token = accounts
        .tokens
        .get(id)
        .filter(|t| secrets::verify_token(t, secret))
        .ok_or_else(|| reject("the token is unknown"))?;
    let role = accounts.role(token, at).map_err(|why| reject(&why))?;
    let (count, write) = app.access.count(token, at);
    if write {
        let (ledger, id) = (app.ledger.clone(), token.id.clone());
        let used = AccountChange::TokenUsed(id, at);
        tokio::spawn(async move { ledger.change_accounts(used, None).await });
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

/// The owner of a token; `None` if the token is not valid.
pub fn token_owner(app: &App, token: &str) -> Option<String> {
    let (id, secret) = secrets::split_token(token)?;
    let accounts = app.ledger.accounts();
    let token = accounts.tokens.get(id);
    let token = token.filter(|t| secrets::verify_token(t, secret))?;
    Some(token.owner.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_tokens_are_limited_by_address_and_by_ipv6_network() {
        let access = Access::default();
        let net = |t: &str| PeerAddress::Net(t.parse().unwrap());
        let at = Duration::from_secs;
        let tries = |t: &str, now| {
            (0..100)
                .take_while(|_| access.count_failure(net(t), now).is_ok())
                .count()
        };
        assert_eq!(tries("2001:db8::1", at(0)), 20);
        assert_eq!(
            access
                .count_failure(net("2001:db8::3"), at(1))
                .map_err(|e| e.wait),
            Err(at(2)),
            "the same /64"
        );
        assert_eq!(tries("2001:db8:0:1::", at(1)), 20);
        assert_eq!(tries("2001:db8::3", at(60)), 20);
        assert_eq!(tries("192.0.2.1", at(0)), 20);
        assert!(
            access
                .count_failure(net("::ffff:192.0.2.1"), at(1))
                .is_err()
        );
        assert!((0..100).all(|_| {
            access
                .count_failure(PeerAddress::Socket(Some(0)), at(1))
                .is_ok()
        }));
    }
}
