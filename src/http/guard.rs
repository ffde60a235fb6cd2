//! The guard in front of every handler: a request ID, authentication, authorization, a deadline,
//! and the headers of every response.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header::HOST},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    App,
    access::{RateState, authenticate},
    caller::{Caller, PeerAddress},
    idempotency,
    listen::OverTls,
    policy::{Deadline, Idempotency, REQUEST_TIMEOUT, RoutePolicy, RouteTable},
    secrets,
};
use crate::api::{ProblemCode, ProblemDetails};

/// The state of the guard.
#[derive(Clone)]
pub(super) struct GuardState {
    /// The state that handlers share.
    pub app: App,
    /// The policies of the routes.
    pub table: Arc<RouteTable>,
}

/// Gives a request an ID, admits it, and completes its response.
pub async fn guard(State(state): State<GuardState>, request: Request, next: Next) -> Response {
    let id = secrets::random::<8>()
        .map(u64::from_be_bytes)
        .unwrap_or_default();
    let id = format!("{id:016x}");
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let base = base(&request);
    let started = std::time::Instant::now();
    let mut rate = None;
    let mut response = match admit(&state, &request, &mut rate) {
        Ok((policy, caller)) => run(&state.app, policy, caller, request, next).await,
        Err(problem) => Err(problem),
    }
    .unwrap_or_else(IntoResponse::into_response);
    if let Some(problem) = response.extensions_mut().remove::<ProblemDetails>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.with_base(base.as_deref()).into_response();
        // Other headers of the response, such as `Allow`, are kept.
        for (name, value) in headers {
            let Some(name) = name else { continue };
            if !response.headers().contains_key(&name) && name != "content-length" {
                response.headers_mut().insert(name, value);
            }
        }
    }
    add_headers(response.headers_mut(), &id, rate);
    let status = response.status().as_u16();
    tracing::debug!(request = id, %method, path, status, took = ?started.elapsed(), "request");
    response
}

/// The address of this server as the client wrote it, for the types of problems; `None` at the
/// socket.
fn base(request: &Request) -> Option<String> {
    let Some(PeerAddress::Net(_)) = request.extensions().get::<PeerAddress>() else {
        return None;
    };
    let tls = request.extensions().get::<OverTls>().is_some();
    let host = request.headers().get(HOST)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    (!host.is_empty() && host.bytes().all(plain))
        .then(|| format!("{}://{host}", if tls { "https" } else { "http" }))
}

fn add_headers(headers: &mut HeaderMap, id: &str, rate: Option<RateState>) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", value);
    }
    if let Some(rate) = rate {
        headers.insert("ratelimit-limit", rate.limit.into());
        headers.insert("ratelimit-remaining", rate.remaining.into());
        headers.insert("ratelimit-reset", rate.reset.into());
    }
}

type Admitted = (RoutePolicy, Option<Caller>);

/// Finds the policy of the route, and the caller if it requires one.
fn admit(
    state: &GuardState,
    request: &Request,
    rate: &mut Option<RateState>,
) -> Result<Admitted, ProblemDetails> {
    let method = match request.method() {
        &Method::HEAD => "GET",
        other => other.as_str(),
    };
    let path = request.extensions().get::<MatchedPath>();
    let policy = path.and_then(|p| state.table.get(method, p.as_str()));
    // The router answers an unknown path and a wrong method.
    let policy = policy.unwrap_or(RoutePolicy::PUBLIC);
    let Some(least) = policy.role else {
        return Ok((policy, None));
    };
    let peer = request.extensions().get::<PeerAddress>().copied();
    let peer = peer
        .ok_or_else(|| ProblemDetails::new(ProblemCode::Unauthorized, "client address unknown"))?;
    let caller = authenticate(&state.app, peer, request, rate)?;
    caller.require(least)?;
    if method != "GET" {
        check_write(policy, request, &caller)?;
    }
    Ok((policy, Some(caller)))
}

/// Refuses a write with a header that its route does not support, so that no client relies on it,
/// and a write of a limited token if its handler does not check the bounds.
fn check_write(
    policy: RoutePolicy,
    request: &Request,
    caller: &Caller,
) -> Result<(), ProblemDetails> {
    if !caller.bounds.is_empty() && !policy.checks_bounds {
        return Err(ProblemDetails::forbidden(
            "a token that is limited to reasons, sources or prefixes may not do this",
        ));
    }
    for (header, accepted) in [
        ("idempotency-key", policy.idempotency != Idempotency::None),
        ("if-match", policy.if_match),
    ] {
        if !accepted && request.headers().contains_key(header) {
            return Err(ProblemDetails::invalid(format!(
                "{header}: this request does not support the header; leave it out"
            )));
        }
    }
    Ok(())
}

/// Runs the handler within its deadline.
async fn run(
    app: &App,
    policy: RoutePolicy,
    caller: Option<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, ProblemDetails> {
    let handler = |request| async {
        match policy.deadline {
            Deadline::None => Ok(next.run(request).await),
            Deadline::Default => tokio::time::timeout(REQUEST_TIMEOUT, next.run(request))
                .await
                .map_err(|_| {
                    ProblemDetails::new(ProblemCode::Timeout, "the request took too long")
                }),
        }
    };
    match caller {
        None => handler(request).await,
        Some(caller) => idempotency::run(app, policy.idempotency, caller, request, handler).await,
    }
}
