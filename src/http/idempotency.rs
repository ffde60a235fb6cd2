//! Idempotent requests (`Idempotency-Key`), where the whole request has one key: what it does is
//! recorded in its own batch, and its response is kept for a repetition. Changes of subjects are
//! told apart one by one (see [`super::changes`]).

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;

use super::{
    App,
    caller::Caller,
    conditions::RequestConditions,
    policy::{Idempotency, REQUEST_TIMEOUT},
};
use crate::{
    api::{ProblemCode, ProblemDetails},
    ledger::AccountChange,
    model::history::IdempotencyKey,
};

/// The longest response that is kept, in bytes. Of a longer one it is kept that it was sent.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// Runs a request, or repeats the response to an earlier one with the same key.
pub(super) async fn run<F: Future<Output = Result<Response, ProblemDetails>>>(
    app: &App,
    policy: Idempotency,
    mut caller: Caller,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, ProblemDetails> {
    let conditions = RequestConditions::read(request.headers())?;
    let path = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or(String::new(), |p| p.as_str().into());
    let whole = !matches!(policy, Idempotency::None | Idempotency::PerChange);
    if !whole || conditions.key.is_none() {
        return next(with(request, caller)).await;
    }
    let what = format!("{} {}", request.method(), request.uri());
    let request = if policy == Idempotency::File {
        caller.idempotency = conditions
            .preconditions(&caller, &path, what.as_bytes())
            .idempotency;
        request
    } else {
        let (parts, body) = request.into_parts();
        let read = super::input::bytes(Request::new(body), &());
        let body = tokio::time::timeout(REQUEST_TIMEOUT, read).await;
        let body = body.map_err(|_| {
            ProblemDetails::new(ProblemCode::Timeout, "the body did not arrive in time")
        })??;
        caller.idempotency = conditions
            .preconditions(&caller, &path, &[what.as_bytes(), b"\n", &body].concat())
            .idempotency;
        if let Some(once) = caller.idempotency
            && let Some(response) = earlier_response(app, once)?
        {
            return Ok(response);
        }
        Request::from_parts(parts, Body::from(body))
    };
    let once = caller.idempotency;
    let response = next(with(request, caller)).await?;
    match once {
        Some(once) if policy != Idempotency::Secret && response.status().is_success() => {
            keep(app, once, response).await
        }
        _ => Ok(response),
    }
}

fn with(mut request: Request, caller: Caller) -> Request {
    request.extensions_mut().insert(caller);
    request
}

/// The response to an earlier request with the same key. A problem where that was another request,
/// or its response is not kept.
pub(super) fn earlier_response(
    app: &App,
    once: IdempotencyKey,
) -> Result<Option<Response>, ProblemDetails> {
    let made = app
        .ledger
        .store
        .stored_receipt(app.ledger.now(), &once.key)?;
    let answer = app.ledger.store.answer(app.ledger.now(), &once.key)?;
    let earlier = answer
        .as_ref()
        .map(|a| a.0)
        .or(made.as_ref().map(|m| m.body));
    if earlier.is_some_and(|body| body != once.body) {
        return Err(ProblemDetails::new(
            ProblemCode::IdempotencyKeyReused,
            "another request used this Idempotency-Key before; send a new key",
        ));
    }
    match (answer, made) {
        (Some((_, status, body)), _) => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            Ok(Some(
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
            ))
        }
        (None, Some(made)) => {
            let commit = if made.commit > 0 {
                format!(" as commit {}", made.commit)
            } else {
                String::new()
            };
            Err(ProblemDetails::new(
                ProblemCode::AlreadyProcessed,
                format!(
                    "a request with this Idempotency-Key was processed{commit}; its response is not kept"
                ),
            ))
        }
        (None, None) => Ok(None),
    }
}

/// Keeps a response. One that cannot be kept is sent all the same.
async fn keep(
    app: &App,
    once: IdempotencyKey,
    response: Response,
) -> Result<Response, ProblemDetails> {
    let (parts, body) = response.into_parts();
    let body: Bytes = body
        .collect()
        .await
        .map_err(ProblemDetails::failed)?
        .to_bytes();
    if let Ok(text) = std::str::from_utf8(&body)
        && text.len() <= MAX_KEPT_BYTES
    {
        let answer = AccountChange::Answer(once, parts.status.as_u16(), text.to_string());
        if let Err(e) = app.ledger.change_accounts(answer, None).await {
            tracing::warn!(error = ?e, "response to an idempotent request could not be kept");
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}
