//! Requests that are not done twice (`Idempotency-Key`), where the whole request is one: what it
//! does says so in its own batch, and its answer is kept to be told again. Changes of subjects are
//! told apart one by one (see [`super::change`]).

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;

use super::{
    App,
    access::{Caller, PATIENCE},
    change::Conditions,
    error::Problem,
};
use crate::{ledger::AccountChange, model::history::IdempotencyKey};

/// What is kept of a request that must not be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Its answer.
    Answer,
    /// Only that it was done: its answer shows a secret, and is shown once.
    Secret,
    /// Its answer; its body is a file, and is told apart by the file's hash, which the answer
    /// names.
    File,
}
use Kept::{Answer, File, Secret};

/// The writes that take a key as a whole.
pub(super) const KEYED: [(&str, &str, Kept); 26] = [
    ("POST", "/v1/purges", Answer),
    ("POST", "/v1/commits/{seq}/undo", Answer),
    ("POST", "/v1/imports", File),
    ("POST", "/v1/feeds/{name}/accept", Answer),
    ("POST", "/v1/feeds/{name}/refuse", Answer),
    ("POST", "/v1/sources/{name}/reset", Answer),
    ("POST", "/v1/zones/{origin}/serial", Answer),
    ("POST", "/v1/proposals/{id}/approve", Answer),
    ("DELETE", "/v1/proposals/{id}", Answer),
    ("DELETE", "/v1/proposals", Answer),
    ("POST", "/v1/nominations", Answer),
    ("POST", "/v1/claims", Answer),
    ("POST", "/v1/optouts", Answer),
    ("DELETE", "/v1/optouts", Answer),
    ("POST", "/v1/jobs/{id}/approve", Answer),
    ("DELETE", "/v1/jobs/{id}", Answer),
    ("POST", "/v1/jobs/{id}/results", Answer),
    ("POST", "/v1/reviews", Answer),
    ("POST", "/v1/webhooks", Secret),
    ("PATCH", "/v1/webhooks/{id}", Answer),
    ("DELETE", "/v1/webhooks/{id}", Answer),
    ("POST", "/v1/webhooks/{id}/retry", Answer),
    ("POST", "/v1/people", Secret),
    ("PATCH", "/v1/people/{name}", Secret),
    ("POST", "/v1/tokens", Secret),
    ("DELETE", "/v1/tokens/{id}", Answer),
];

/// The longest answer that is kept, in bytes. Of a longer one it is kept that it was done.
const MAX_ANSWER: usize = 1 << 20;

/// What is kept of a route's requests; `None` where it takes no key, or one for each change.
pub(super) fn kept(method: &str, path: &str) -> Option<Kept> {
    KEYED
        .iter()
        .find(|(m, p, _)| *m == method && *p == path)
        .map(|k| k.2)
}

/// Lets a request through, once: what came before with its key is told again.
pub(super) async fn run<F: Future<Output = Result<Response, Problem>>>(
    app: &App,
    method: &str,
    path: &str,
    mut caller: Caller,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(request.headers())?;
    let (Some(kept), Some(_)) = (kept(method, path), &conditions.key) else {
        return next(with(request, caller)).await;
    };
    let what = format!("{method} {}", request.uri());
    let request = match kept {
        File => {
            caller.once = conditions
                .preconditions(&caller, path, what.as_bytes())
                .idempotency;
            request
        }
        Answer | Secret => {
            let (parts, body) = request.into_parts();
            let body =
                tokio::time::timeout(PATIENCE, super::input::bytes(Request::new(body), &())).await;
            let body =
                body.map_err(|_| Problem::new("too-slow", "the body did not come in time"))??;
            caller.once = conditions
                .preconditions(&caller, path, &[what.as_bytes(), b"\n", &body].concat())
                .idempotency;
            if let Some(before) = caller
                .once
                .map(|once| before(app, once))
                .transpose()?
                .flatten()
            {
                return Ok(before);
            }
            Request::from_parts(parts, Body::from(body))
        }
    };
    let once = caller.once;
    let response = next(with(request, caller)).await?;
    match (once, kept) {
        (Some(once), Answer | File) if response.status().is_success() => {
            keep(app, once, response).await
        }
        _ => Ok(response),
    }
}

fn with(mut request: Request, caller: Caller) -> Request {
    request.extensions_mut().insert(caller);
    request
}

/// What a request under the same key was told before; a problem where it was another one, or the
/// answer is not kept.
pub(super) fn before(app: &App, once: IdempotencyKey) -> Result<Option<Response>, Problem> {
    let made = app
        .ledger
        .store
        .stored_receipt(app.ledger.now(), &once.key)?;
    let answer = app.ledger.store.answer(app.ledger.now(), &once.key)?;
    let asked = answer
        .as_ref()
        .map(|a| a.0)
        .or(made.as_ref().map(|m| m.body));
    if asked.is_some_and(|body| body != once.body) {
        return Err(Problem::new(
            "other-body",
            "another request came with the same Idempotency-Key before; take a new key",
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
                format!(", as commit {}", made.commit)
            } else {
                String::new()
            };
            Err(Problem::new(
                "done-before",
                format!(
                    "this was done before under its Idempotency-Key{commit}; its answer is not kept"
                ),
            ))
        }
        (None, None) => Ok(None),
    }
}

/// Keeps an answer. It was given to be sent: where it cannot be kept, it is sent all the same.
async fn keep(app: &App, once: IdempotencyKey, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body: Bytes = body.collect().await.map_err(Problem::failed)?.to_bytes();
    if let Ok(text) = std::str::from_utf8(&body)
        && text.len() <= MAX_ANSWER
    {
        let kept = app
            .ledger
            .change_accounts(
                AccountChange::Answer(once, parts.status.as_u16(), text.to_string()),
                None,
            )
            .await;
        if let Err(e) = kept {
            tracing::warn!(error = ?e, "the answer to a request with an Idempotency-Key could not be kept");
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Tells the description of the API which routes take a key.
pub(super) fn describe(api: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{
        path::{ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, SchemaType, Type},
    };
    for (method, path, kept) in KEYED {
        let Some(item) = api.paths.paths.get_mut(path) else {
            continue;
        };
        let operation = match method {
            "POST" => &mut item.post,
            "PATCH" => &mut item.patch,
            _ => &mut item.delete,
        };
        let said = match kept {
            Answer | File => "Makes a repeated request one: it is told what it was told before",
            Secret => {
                "Makes a repeated request one: its answer is shown once, and the repetition gets a problem"
            }
        };
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .build();
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(said))
            .schema(Some(schema))
            .build();
        if let Some(o) = operation {
            o.parameters.get_or_insert_default().push(parameter.into());
        }
    }
}
