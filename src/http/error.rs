//! Errors as problem documents (RFC 9457). Each type is a row of [`KINDS`], shown at
//! `/problems/{name}`.

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{RefOr, ResponseBuilder, content::ContentBuilder},
};

use crate::{
    ledger::LedgerError,
    model::{Time, history::RuleViolation, time::Seconds},
    net::RateLimited,
    store::{Dictionary, StoreError},
};

/// A kind of problem: the last part of its type, its status, its title, and what to do.
pub type Kind = (&'static str, u16, &'static str, &'static str);

/// Every kind of problem there is.
pub const KINDS: [Kind; 17] = [
    (
        "invalid",
        422,
        "The request makes no sense",
        "`errors` names each field, what was wrong with it and what is accepted.",
    ),
    (
        "list-refused",
        422,
        "The list was refused",
        "Nothing was changed. `detail` says what is wrong with the list, and whether an option or `orbsd source reset` accepts it.",
    ),
    (
        "unreadable",
        400,
        "The request cannot be read",
        "Its body is cut short, is no JSON, or is no text; `detail` says where.",
    ),
    (
        "unauthorized",
        401,
        "Who are you?",
        "Send a token: `Authorization: Bearer orbsd_…`. `orbsd token create` makes one.",
    ),
    (
        "forbidden",
        403,
        "You may not do this",
        "`detail` says which role, reason, source or prefix it takes.",
    ),
    (
        "not-found",
        404,
        "There is no such thing",
        "Nothing of that name is there, or nothing to take off.",
    ),
    (
        "wrong-method",
        405,
        "Not by this method",
        "The `Allow` header names those that are answered here.",
    ),
    (
        "refused",
        409,
        "The rules say no",
        "`detail` says which rule, and what would be accepted.",
    ),
    (
        "held",
        409,
        "A removal was granted",
        "It holds the reason down until its time is over. An operator breaks it with `break_hold`.",
    ),
    (
        "changed",
        412,
        "It has changed since you looked",
        "Read it again, and send its new revision in `If-Match`.",
    ),
    (
        "too-large",
        413,
        "The body is too long",
        "`detail` names the limit.",
    ),
    (
        "other-body",
        422,
        "The key was used for something else",
        "Another request came with the same `Idempotency-Key`; take a new key.",
    ),
    (
        "done-before",
        409,
        "It was done before",
        "A request with the same `Idempotency-Key` was done, and its answer is not kept. Look at what there is.",
    ),
    (
        "too-many",
        429,
        "Too many requests",
        "Wait as long as `Retry-After` says.",
    ),
    (
        "in-doubt",
        500,
        "Nobody knows whether it was done",
        "The store failed while it was written. Look before you repeat it.",
    ),
    (
        "unavailable",
        503,
        "Not now",
        "The store fails, or the daemon stops. Try again later; nothing was written.",
    ),
    (
        "too-slow",
        408,
        "It took too long",
        "The body did not come, or the work was not done in time.",
    ),
];

/// What was wrong with a field.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, as it was sent.
    pub field: String,
    /// What was wrong, and what is accepted.
    pub detail: String,
}

/// A problem document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: `/problems/NAME`, where it is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong and what is accepted.
    pub detail: String,
    /// The fields that are to blame.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
    /// Seconds to wait before it is worth trying again, as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
}

/// What is told to wait where nothing tells how long it takes.
const RETRY: Seconds = Seconds(10);

impl Problem {
    /// A problem of a kind of the table.
    pub fn new(name: &str, detail: impl Into<String>) -> Problem {
        let (name, status, title, _) = KINDS.into_iter().find(|k| k.0 == name).unwrap_or(KINDS[0]);
        let retry_after = matches!(status, 429 | 503).then_some(RETRY.0);
        Problem {
            kind: format!("/problems/{name}"),
            title: title.into(),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after,
        }
    }
    /// The request makes no sense. A detail `field: …` names the field.
    pub fn invalid(detail: impl Into<String>) -> Problem {
        let mut out = Problem::new("invalid", detail);
        if let Some((field, why)) = out
            .detail
            .split_once(": ")
            .filter(|(f, _)| f.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        {
            out.errors.push(FieldError {
                field: field.into(),
                detail: why.into(),
            });
        }
        out
    }
    /// It was asked too often: worth trying again after `wait`.
    pub fn too_many(detail: impl Into<String>, wait: Seconds) -> Problem {
        Problem {
            retry_after: Some(wait.0.max(1)),
            ..Problem::new("too-many", detail)
        }
    }
    /// An address, or a network around it, does `what` too often. Both limits are per minute.
    pub fn rate_limited(what: &str, limited: &RateLimited) -> Problem {
        let RateLimited {
            prefix,
            times,
            wait,
        } = limited;
        Problem::too_many(
            format!("at most {times} {what} a minute are accepted from {prefix}"),
            Seconds(wait.as_secs() + 1),
        )
    }
    /// It was asked too often in this minute.
    pub fn this_minute(detail: impl Into<String>, now: Time) -> Problem {
        Problem::too_many(detail, Seconds(60 - now.0 % 60))
    }
    /// There is nothing of that name.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new("not-found", detail)
    }
    /// The rules say no.
    pub fn refused(detail: impl Into<String>) -> Problem {
        Problem::new("refused", detail)
    }
    /// Not with this role, or outside of what a token is bound to.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new("forbidden", detail)
    }
    /// A worker of this process failed.
    pub fn failed(e: impl std::fmt::Display) -> Problem {
        tracing::error!(error = %e, "a request failed");
        Problem::new(
            "unavailable",
            "the daemon could not do it; its log says why",
        )
    }
    /// The ledger's word.
    pub fn of(refused: &LedgerError, dictionary: &Dictionary) -> Problem {
        let name = match refused {
            LedgerError::Rule(
                RuleViolation::NotListed | RuleViolation::NotExempt | RuleViolation::NotHeld,
            )
            | LedgerError::NotFound(_) => "not-found",
            LedgerError::Rule(RuleViolation::Held(_)) => "held",
            LedgerError::Rule(_)
            | LedgerError::Unlistable(_)
            | LedgerError::SerialNotNewer(_)
            | LedgerError::Conflict(_) => "refused",
            LedgerError::Invalid(_) => "invalid",
            LedgerError::LimitReached {
                wait: Some(wait), ..
            } => return Problem::too_many(refused.text(dictionary), *wait),
            LedgerError::LimitReached { wait: None, .. } => "refused",
            LedgerError::PreconditionFailed(_) => "changed",
            LedgerError::IdempotencyKeyReused => "other-body",
            LedgerError::Duplicate => "done-before",
            LedgerError::OutcomeUnknown(_) => "in-doubt",
            LedgerError::Unavailable(_) | LedgerError::Stopped => "unavailable",
        };
        Problem::new(name, refused.text(dictionary))
    }
}

impl From<StoreError> for Problem {
    fn from(e: StoreError) -> Problem {
        Problem::new("unavailable", e.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut out = (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body,
        )
            .into_response();
        let header = match self.status {
            401 => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"orbsd\""),
            )),
            _ => self
                .retry_after
                .map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds))),
        };
        if let Some((name, value)) = header {
            out.headers_mut().insert(name, value);
        }
        out
    }
}

impl IntoResponses for Problem {
    /// A problem of any kind can come from anywhere.
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut by_status: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, status, ..) in KINDS {
            by_status.entry(status.to_string()).or_default().push(name);
        }
        let one = |names: Vec<&str>| {
            let content = ContentBuilder::new()
                .schema(Some(Problem::schema_ref()))
                .build();
            let text = format!("Problem: {}", names.join(", "));
            ResponseBuilder::new()
                .description(text)
                .content("application/problem+json", content)
                .build()
                .into()
        };
        by_status
            .into_iter()
            .map(|(status, names)| (status, one(names)))
            .collect()
    }
}

impl Problem {
    fn schema_ref() -> RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::Ref::from_schema_name("Problem").into()
    }
}

/// `GET /problems/{name}`: what a kind of problem means.
#[utoipa::path(get, path = "/problems/{name}", security(()), tag = "about", params(("name" = String, Path, description = "The last part of a problem's type")),
    responses((status = 200, description = "What it means", body = String, content_type = "text/plain"), (status = 404, description = "There is no such kind", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn explain(Path(name): Path<String>) -> Result<String, Problem> {
    let (name, status, title, what) = KINDS
        .into_iter()
        .find(|k| k.0 == name)
        .ok_or_else(|| Problem::not_found(format!("there is no kind of problem `{name}`")))?;
    Ok(format!("{name} ({status}): {title}\n\n{what}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceId;

    #[test]
    fn conflicts_answer_409_and_failed_preconditions_412() {
        let dictionary = Dictionary::default();
        let why = || "why".to_string();
        for (error, status) in [
            (LedgerError::Conflict(why()), 409),
            (LedgerError::SerialNotNewer(why()), 409),
            (LedgerError::Rule(RuleViolation::Held(Time(1))), 409),
            (
                LedgerError::Rule(RuleViolation::FeedOwned(SourceId(7))),
                409,
            ),
            (LedgerError::Duplicate, 409),
            (LedgerError::PreconditionFailed(1), 412),
            (LedgerError::NotFound(why()), 404),
            (LedgerError::Invalid(why()), 422),
            (LedgerError::Unavailable(why()), 503),
        ] {
            let problem = Problem::of(&error, &dictionary);
            assert_eq!(problem.status, status, "{error:?}");
        }
    }
}
