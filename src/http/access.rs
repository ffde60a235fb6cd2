//! Who calls, and whether he may: one table, and one guard before every handler.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;

use super::{App, error::Problem, once, secrets};
use crate::{
    clock::Clock,
    ledger::AccountChange,
    model::{Role, Subject, Time, Token, TokenRestrictions, history::IdempotencyKey},
    net::{ConnectionPermit, RateLimit, RateLimited, RateLimiter},
    store::schema::AuditRecord,
};

/// How a route is served beside who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Done within [`PATIENCE`].
    Quick,
    /// Lasts as long as its body or its answer does; it has limits of its own.
    Long,
}
use Work::{Long, Quick};

/// A method, a path, the least role that may call it (none: everybody), and how it is served.
pub type Route = (&'static str, &'static str, Option<Role>, Work);

/// Who may call what. What is not in it is called by nobody.
pub const ROUTES: [Route; 87] = [
    ("GET", "/lookup", None, Quick),
    ("GET", "/nph-lookup", None, Quick),
    ("GET", "/health/live", None, Quick),
    ("GET", "/health/ready", None, Quick),
    ("POST", "/claims", None, Quick),
    ("GET", "/evidence/{id}", None, Quick),
    ("GET", "/v1/tests", None, Quick),
    ("GET", "/problems/{name}", None, Quick),
    ("GET", "/openapi.json", None, Quick),
    ("GET", "/metrics", Some(Role::Reader), Quick),
    ("GET", "/v1/listings", Some(Role::Reader), Quick),
    ("GET", "/v1/listings/{id}", Some(Role::Reader), Quick),
    ("GET", "/v1/subjects/{subject}", Some(Role::Reader), Quick),
    ("GET", "/v1/exemptions", Some(Role::Reader), Quick),
    ("GET", "/v1/holds", Some(Role::Reader), Quick),
    ("GET", "/v1/imports/{id}", Some(Role::Reader), Quick),
    ("GET", "/v1/zones", Some(Role::Reader), Quick),
    ("GET", "/v1/zones/{origin}", Some(Role::Reader), Quick),
    ("GET", "/v1/zones/{origin}/export", Some(Role::Reader), Long),
    (
        "GET",
        "/v1/zones/{origin}/export/report",
        Some(Role::Reader),
        Long,
    ),
    ("GET", "/v1/commits/{seq}", Some(Role::Reader), Quick),
    ("GET", "/v1/changes", Some(Role::Reader), Long),
    ("GET", "/v1/mirrors", Some(Role::Reader), Quick),
    ("GET", "/v1/reasons", Some(Role::Reader), Quick),
    ("GET", "/v1/status", Some(Role::Reader), Quick),
    ("GET", "/v1/configuration/check", Some(Role::Reader), Quick),
    ("GET", "/v1/names/rejected", Some(Role::Reader), Long),
    ("GET", "/v1/feeds", Some(Role::Reader), Quick),
    ("GET", "/v1/feeds/{name}", Some(Role::Reader), Quick),
    ("GET", "/v1/proposals", Some(Role::Reader), Quick),
    ("GET", "/v1/proposals/{id}", Some(Role::Reader), Quick),
    ("GET", "/v1/jobs", Some(Role::Reader), Quick),
    ("GET", "/v1/jobs/{id}", Some(Role::Reader), Quick),
    ("GET", "/v1/optouts", Some(Role::Reader), Quick),
    ("GET", "/v1/evidence", Some(Role::Reader), Quick),
    ("POST", "/v1/nominations", Some(Role::Reporter), Quick),
    ("POST", "/v1/claims", Some(Role::Reporter), Quick),
    ("POST", "/v1/probes", Some(Role::Reporter), Quick),
    ("POST", "/v1/jobs/{id}/results", Some(Role::Reporter), Quick),
    ("POST", "/v1/jobs/{id}/approve", Some(Role::Editor), Quick),
    ("DELETE", "/v1/jobs/{id}", Some(Role::Editor), Quick),
    ("POST", "/v1/optouts", Some(Role::Editor), Quick),
    ("DELETE", "/v1/optouts", Some(Role::Editor), Quick),
    (
        "GET",
        "/v1/jobs/{id}/transcript",
        Some(Role::Operator),
        Quick,
    ),
    ("POST", "/v1/reviews", Some(Role::Operator), Quick),
    ("POST", "/v1/listings", Some(Role::Reporter), Quick),
    ("PATCH", "/v1/listings/{id}", Some(Role::Editor), Quick),
    ("DELETE", "/v1/listings/{id}", Some(Role::Editor), Quick),
    (
        "POST",
        "/v1/proposals/{id}/approve",
        Some(Role::Editor),
        Quick,
    ),
    ("DELETE", "/v1/proposals/{id}", Some(Role::Editor), Quick),
    ("DELETE", "/v1/proposals", Some(Role::Editor), Quick),
    ("POST", "/v1/bulk", Some(Role::Editor), Long),
    ("POST", "/v1/holds", Some(Role::Editor), Quick),
    ("DELETE", "/v1/holds", Some(Role::Operator), Quick),
    ("POST", "/v1/exemptions", Some(Role::Operator), Quick),
    ("DELETE", "/v1/exemptions", Some(Role::Operator), Quick),
    ("POST", "/v1/imports", Some(Role::Operator), Long),
    (
        "POST",
        "/v1/feeds/{name}/accept",
        Some(Role::Operator),
        Long,
    ),
    (
        "POST",
        "/v1/feeds/{name}/refuse",
        Some(Role::Operator),
        Long,
    ),
    (
        "POST",
        "/v1/sources/{name}/reset",
        Some(Role::Operator),
        Quick,
    ),
    ("POST", "/v1/purges", Some(Role::Operator), Long),
    ("POST", "/v1/commits/{seq}/undo", Some(Role::Operator), Long),
    ("POST", "/v1/reload", Some(Role::Operator), Long),
    ("GET", "/v1/unconfigured", Some(Role::Reader), Long),
    (
        "POST",
        "/v1/reasons/{name}/rename",
        Some(Role::Operator),
        Long,
    ),
    (
        "POST",
        "/v1/sources/{name}/rename",
        Some(Role::Operator),
        Long,
    ),
    (
        "POST",
        "/v1/zones/{origin}/serial",
        Some(Role::Operator),
        Quick,
    ),
    ("POST", "/v1/backups", Some(Role::Owner), Long),
    ("POST", "/v1/scrubs", Some(Role::Owner), Long),
    ("POST", "/v1/clock/accept", Some(Role::Owner), Quick),
    ("GET", "/v1/audit", Some(Role::Operator), Long),
    ("GET", "/v1/webhooks", Some(Role::Operator), Quick),
    ("GET", "/v1/webhooks/{id}", Some(Role::Operator), Quick),
    (
        "GET",
        "/v1/webhooks/{id}/messages",
        Some(Role::Operator),
        Quick,
    ),
    ("POST", "/v1/webhooks", Some(Role::Operator), Quick),
    ("PATCH", "/v1/webhooks/{id}", Some(Role::Operator), Quick),
    ("DELETE", "/v1/webhooks/{id}", Some(Role::Operator), Quick),
    (
        "POST",
        "/v1/webhooks/{id}/retry",
        Some(Role::Operator),
        Quick,
    ),
    ("GET", "/v1/people", Some(Role::Operator), Quick),
    ("POST", "/v1/people", Some(Role::Owner), Quick),
    ("PATCH", "/v1/people/{name}", Some(Role::Owner), Quick),
    ("GET", "/v1/tokens", Some(Role::Operator), Quick),
    ("POST", "/v1/tokens", Some(Role::Owner), Quick),
    ("DELETE", "/v1/tokens/{id}", Some(Role::Owner), Quick),
    ("GET", "/docs", None, Quick),
    ("GET", "/docs/", None, Quick),
    ("GET", "/docs/{*rest}", None, Quick),
];

/// Writes that look at a token's bounds themselves; one that is bound may make no others.
const BOUNDED: [&str; 18] = [
    "/v1/nominations",
    "/v1/claims",
    "/v1/probes",
    "/v1/optouts",
    "/v1/jobs/{id}/results",
    "/v1/listings",
    "/v1/listings/{id}",
    "/v1/bulk",
    "/v1/holds",
    "/v1/exemptions",
    "/v1/imports",
    "/v1/feeds/{name}/accept",
    "/v1/feeds/{name}/refuse",
    "/v1/sources/{name}/reset",
    "/v1/purges",
    "/v1/proposals",
    "/v1/proposals/{id}",
    "/v1/proposals/{id}/approve",
];
/// Writes of subjects, which take an `Idempotency-Key` change by change, and whether an `If-Match`
/// too. The others that take one are in [`once`].
const CONDITIONAL: [(&str, bool); 5] = [
    ("/v1/listings", true),
    ("/v1/listings/{id}", true),
    ("/v1/holds", true),
    ("/v1/exemptions", true),
    ("/v1/bulk", false),
];

/// Refuses a write that asks for what its route does not do, so that nobody relies on it, and one
/// of a bound token that its route does not hold to the bounds.
fn fits(method: &str, path: &str, request: &Request, caller: &Caller) -> Result<(), Problem> {
    if method == "GET" {
        return Ok(());
    }
    if !caller.bounds.is_empty() && !BOUNDED.contains(&path) {
        return Err(Problem::forbidden(
            "a token that is bound to reasons, sources or prefixes may not do this",
        ));
    }
    let known = CONDITIONAL.iter().find(|(p, _)| *p == path);
    let keyed = known.is_some() || once::kept(method, path).is_some();
    for (header, taken) in [
        ("idempotency-key", keyed),
        ("if-match", known.is_some_and(|k| k.1)),
    ] {
        if !taken && request.headers().contains_key(header) {
            return Err(Problem::invalid(format!(
                "{header} is not taken here; leave it out"
            )));
        }
    }
    Ok(())
}

/// How long a quick handler may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Requests with a wrong token that an address may make in a minute.
const FAILURES: RateLimit = RateLimit {
    times: 20,
    period: Duration::from_secs(60),
};
/// Claims of everybody that are taken from an address in a minute.
const CLAIMS: RateLimit = RateLimit {
    times: 10,
    period: Duration::from_secs(60),
};
/// How often the last use of a token is written down, in seconds.
const USE_EVERY: u64 = 3600;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody who may open the socket's file, by uid; none where the system does not tell it.
    Socket(Option<u32>),
    /// Whoever has this address.
    Net(IpAddr),
}

/// Who calls, and what he may.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The author of what he does: a person, a program, or `uid:N`.
    pub name: String,
    /// The person behind the author: two tokens of one user are one person.
    pub person: String,
    /// What he may do.
    pub role: Role,
    /// What his writes are bound to.
    pub bounds: TokenRestrictions,
    /// Where he calls from.
    pub from: Box<str>,
    /// The token's number; none at the socket.
    pub token: Option<String>,
    /// From `Idempotency-Key`, where the whole request is one that must not be done twice.
    pub once: Option<IdempotencyKey>,
    /// Trusted time.
    pub clock: Clock,
}

impl Caller {
    /// Refuses a write outside of what the caller is bound to.
    pub fn allow(
        &self,
        subject: Option<&Subject>,
        reason: Option<&str>,
        source: Option<&str>,
    ) -> Result<(), Problem> {
        self.bounds
            .allow(subject, reason, source)
            .map_err(Problem::forbidden)
    }

    /// A line for the audit log.
    #[allow(clippy::needless_pass_by_value)] // what is shown is most often made for it
    pub fn line(
        &self,
        what: &str,
        about: impl ToString,
        detail: impl ToString,
        why: Option<String>,
    ) -> AuditRecord {
        let (about, detail) = (about.to_string(), detail.to_string());
        AuditRecord {
            at: self.clock.now(),
            who: self.name.clone(),
            from: self.from.to_string(),
            what: what.into(),
            about,
            detail,
            why,
            commit: None,
            idempotency: self.once,
        }
    }
}

/// What is counted about tokens and addresses.
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

impl Access {
    /// When a token was used last since the start.
    pub fn last(&self, token: &str) -> Option<Time> {
        self.uses.lock().get(token).map(|u| u.at)
    }

    /// Counts a request with a wrong token. The error is what limit its neighbours have to wait for
    /// with the next wrong one.
    fn failed(&self, peer: Peer, now: Duration) -> Result<(), RateLimited> {
        match peer {
            Peer::Net(addr) => self.failures.charge(addr, now),
            Peer::Socket(_) => Ok(()),
        }
    }

    /// Counts a claim that an address makes. The error is the limit that it has to wait for.
    pub(super) fn claim(&self, addr: IpAddr) -> Result<(), RateLimited> {
        self.claims.charge(addr, self.started.elapsed())
    }

    /// Counts a request; whether the token may make it, and whether its use should be written down.
    fn used(&self, token: &Token, at: Time) -> (bool, bool) {
        let mut all = self.uses.lock();
        let u = all.entry(token.id.clone()).or_default();
        let minute = at.0 / 60;
        u.count = if u.minute == minute {
            u.count.saturating_add(1)
        } else {
            1
        };
        (u.at, u.minute) = (at, minute);
        let write = at.0 >= u.written.0 + USE_EVERY;
        if write {
            u.written = at;
        }
        (token.per_minute.is_none_or(|n| u.count <= n), write)
    }
}

/// Finds out who calls.
fn identify(app: &App, peer: Peer, request: &Request) -> Result<Caller, Problem> {
    let clock = app.ledger.clock.clone();
    let from = match peer {
        Peer::Socket(uid) => return super::identity::at_socket(app, uid),
        Peer::Net(addr) => addr.to_canonical().to_string(),
    };
    let at = app.ledger.now();
    // What is wrong is refused, and after many of it without a word on why. A valid token is never
    // refused for it: whoever has one may have neighbours, and 256 bits are not guessed.
    let wrong = |why: &str| match app.access.failed(peer, app.access.started.elapsed()) {
        Ok(()) => {
            tracing::warn!(from, why, "a request with a token that is none");
            Problem::new("unauthorized", why)
        }
        Err(limited) => Problem::rate_limited("wrong tokens", &limited),
    };
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(Problem::new(
            "unauthorized",
            "this takes a token; send `Authorization: Bearer orbsd_…`",
        ));
    };
    let shown = header
        .to_str()
        .ok()
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((id, secret)) = shown.and_then(|(_, token)| secrets::parts(token)) else {
        return Err(wrong("the Authorization header holds no token of ours"));
    };
    let accounts = app.ledger.accounts();
    // One word for a number that is not there and a secret that is wrong.
    let token = accounts
        .tokens
        .get(id)
        .filter(|t| secrets::is(t, secret))
        .ok_or_else(|| wrong("there is no such token"))?;
    let role = accounts.role(token, at).map_err(|why| wrong(&why))?;
    let (may, write) = app.access.used(token, at);
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
    if !may {
        let most = token.per_minute.unwrap_or_default();
        return Err(Problem::this_minute(
            format!("this token may make {most} requests a minute"),
            at,
        ));
    }
    let person = if token.person {
        token.owner.clone()
    } else {
        super::identity::person(app, &token.by)
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
        once: None,
        clock,
    })
}

/// The guard: a number for the request, who calls, whether he may, and an end to what takes too
/// long.
pub(super) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let number = secrets::random::<8>()
        .map(u64::from_be_bytes)
        .unwrap_or_default();
    let number = format!("{number:016x}");
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let peer = request.extensions().get::<Peer>().copied();
    let begun = std::time::Instant::now();
    let mut response = admitted(&app, peer, &mut request, next)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    if let Ok(value) = HeaderValue::from_str(&number) {
        response.headers_mut().insert("x-request-id", value);
    }
    let status = response.status().as_u16();
    tracing::debug!(request = number, %method, path, status, took = ?begun.elapsed(), "request");
    response
}

async fn admitted(
    app: &App,
    peer: Option<Peer>,
    request: &mut Request,
    next: Next,
) -> Result<Response, Problem> {
    let method = request.method().clone();
    let method = if method == "HEAD" {
        "GET"
    } else {
        method.as_str()
    };
    let matched = request
        .extensions()
        .get::<MatchedPath>()
        .map(|p| p.as_str().to_string());
    let work = match &matched {
        // Nothing is there: the router says so.
        None => Quick,
        Some(path) => {
            let route = ROUTES.iter().find(|(m, p, ..)| *m == method && p == path);
            match route {
                Some((.., None, work)) => *work,
                Some((.., Some(least), work)) => {
                    let peer = peer.ok_or_else(|| {
                        Problem::new("unauthorized", "nobody knows where you are")
                    })?;
                    let caller = identify(app, peer, request)?;
                    if caller.role < *least {
                        let (least, has) = (least.name(), caller.role.name());
                        return Err(Problem::forbidden(format!(
                            "this takes the role {least}; yours is {has}"
                        )));
                    }
                    fits(method, path, request, &caller)?;
                    return once::run(
                        app,
                        method,
                        path,
                        caller,
                        std::mem::take(request),
                        |request| served(*work, next.run(request)),
                    )
                    .await;
                }
                // The path is there, the method is not.
                None => Quick,
            }
        }
    };
    served(work, next.run(std::mem::take(request))).await
}

/// Waits for an answer, as long as its work may take.
async fn served(work: Work, run: impl Future<Output = Response>) -> Result<Response, Problem> {
    match work {
        Long => Ok(run.await),
        Quick => match tokio::time::timeout(PATIENCE, run).await {
            Ok(response) => Ok(response),
            Err(_) => Err(Problem::new("too-slow", "it was not done in time")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_limited_for_an_address_and_its_neighbours() {
        let access = Access::default();
        let net = |t: &str| Peer::Net(t.parse().unwrap());
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
        assert!((0..100).all(|_| access.failed(Peer::Socket(Some(0)), at(1)).is_ok()));
    }

    #[test]
    fn a_route_stands_once_in_the_table() {
        let all: std::collections::BTreeSet<_> = ROUTES.iter().map(|r| (r.0, r.1)).collect();
        assert_eq!(all.len(), ROUTES.len());
    }
}
