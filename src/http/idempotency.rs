//! Idempotent requests (`Idempotency-Key`) with one key for the whole request: the key is stored in
//! the batch of the change, and the response is kept for a repetition. Changes of subjects have a
//! key each (see [`super::changes`]).

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
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

/// The longest response that is kept, in bytes. For a longer one, only the fact that the request
/// was processed is kept.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// Runs a request, or repeats the response to an earlier one with the same key.
pub async fn run<F: Future<Output = Result<Response, ProblemDetails>>>(
    app: &App,
    policy: Idempotency,
    mut caller: Caller,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, ProblemDetails> {
    let conditions = RequestConditions::read(request.headers())?;
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or(String::new(), |p| p.as_str().into());
    let whole = !matches!(policy, Idempotency::None | Idempotency::PerChange);
    if !whole || conditions.key.is_none() {
        return next(with_caller(request, caller)).await;
    }
    let target = format!("{} {}", request.method(), request.uri());
    let request = if policy == Idempotency::File {
        caller.idempotency = conditions.idempotency(&caller, &path, target.as_bytes());
        request
    } else {
        let (parts, body) = request.into_parts();
        let read = super::input::bytes(Request::new(body), &());
        let body = tokio::time::timeout(REQUEST_TIMEOUT, read).await;
        let body = body.map_err(|_| {
            ProblemDetails::new(ProblemCode::Timeout, "the body did not arrive in time")
        })??;
        let content = [target.as_bytes(), b"\n", &body].concat();
        caller.idempotency = conditions.idempotency(&caller, &path, &content);
        if let Some(key) = caller.idempotency
            && let Some(response) = earlier_response(app, key)?
        {
            return Ok(response);
        }
        Request::from_parts(parts, Body::from(body))
    };
    let key = caller.idempotency;
    let response = next(with_caller(request, caller)).await?;
    match key {
        Some(key) if policy != Idempotency::Secret && response.status().is_success() => {
            store_response(app, key, response).await
        }
        _ => Ok(response),
    }
}

fn with_caller(mut request: Request, caller: Caller) -> Request {
    request.extensions_mut().insert(caller);
    request
}

/// The response to an earlier request with the same key. The error is the problem of a different
/// request, or of a response that is not kept.
pub fn earlier_response(
    app: &App,
    key: IdempotencyKey,
) -> Result<Option<Response>, ProblemDetails> {
    let (store, now) = (&app.ledger.store, app.ledger.now());
    let receipt = store.stored_receipt(now, &key.key)?;
    let answer = store.answer(now, &key.key)?;
    let earlier = answer.as_ref().map(|a| a.0);
    let earlier = earlier.or(receipt.as_ref().map(|r| r.body));
    if earlier.is_some_and(|body| body != key.body) {
        return Err(ProblemDetails::new(
            ProblemCode::IdempotencyKeyReused,
            "another request used this Idempotency-Key before; send a new key",
        ));
    }
    match (answer, receipt) {
        (Some((_, status, body)), _) => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let kind = [(header::CONTENT_TYPE, "application/json")];
            Ok(Some((status, kind, body).into_response()))
        }
        (None, Some(receipt)) => {
            let commit = if receipt.commit > 0 {
                format!(" as commit {}", receipt.commit)
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

/// Stores a response. One that cannot be stored is sent nevertheless.
async fn store_response(
    app: &App,
    key: IdempotencyKey,
    response: Response,
) -> Result<Response, ProblemDetails> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(ProblemDetails::internal)?;
    let body = body.to_bytes();
    if let Ok(text) = std::str::from_utf8(&body)
        && text.len() <= MAX_KEPT_BYTES
    {
        let answer = AccountChange::Answer(key, parts.status.as_u16(), text.to_string());
        if let Err(e) = app.ledger.change_accounts(answer, None).await {
            tracing::warn!(error = ?e, "response to an idempotent request could not be kept");
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}
