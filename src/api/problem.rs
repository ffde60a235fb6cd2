//! Errors as problem documents (RFC 9457), and every code that they can have.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::time::Seconds;

/// How long a client waits where nothing says how long it takes.
const RETRY_AFTER: Seconds = Seconds(10);

/// What kind of problem a request met. Programs compare this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// A field or a parameter is wrong (422).
    Invalid,
    /// A list that was sent must not be imported (422).
    ListRefused,
    /// The body cannot be read (400).
    Malformed,
    /// The request has no valid token (401).
    Unauthorized,
    /// The role or the bounds of the token do not allow this (403).
    Forbidden,
    /// The addressed thing does not exist (404).
    NotFound,
    /// The path exists and does not answer this method (405).
    MethodNotAllowed,
    /// The request contradicts the current state (409).
    Conflict,
    /// A granted removal keeps the subject from being listed (409).
    Held,
    /// The subject has another revision than `If-Match` names (412).
    PreconditionFailed,
    /// The body is too long (413).
    ContentTooLarge,
    /// Another request used the same `Idempotency-Key` (422).
    IdempotencyKeyReused,
    /// The request was already processed, and its response is not kept (409).
    AlreadyProcessed,
    /// A rate limit is reached (429).
    TooManyRequests,
    /// The store failed during the write, so that it may have happened or not (500).
    OutcomeUnknown,
    /// The service cannot do this now (503).
    Unavailable,
    /// The request took too long (408).
    Timeout,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [ProblemCode; 17] = [
        ProblemCode::Invalid,
        ProblemCode::ListRefused,
        ProblemCode::Malformed,
        ProblemCode::Unauthorized,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::MethodNotAllowed,
        ProblemCode::Conflict,
        ProblemCode::Held,
        ProblemCode::PreconditionFailed,
        ProblemCode::ContentTooLarge,
        ProblemCode::IdempotencyKeyReused,
        ProblemCode::AlreadyProcessed,
        ProblemCode::TooManyRequests,
        ProblemCode::OutcomeUnknown,
        ProblemCode::Unavailable,
        ProblemCode::Timeout,
    ];

    /// The code as it is sent.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// The code in words.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// What the client can do about it.
    pub fn advice(self) -> &'static str {
        self.row().3
    }

    /// The code of a text.
    pub fn parse(text: &str) -> Option<ProblemCode> {
        ProblemCode::ALL.into_iter().find(|c| c.as_str() == text)
    }

    fn row(self) -> (&'static str, u16, &'static str, &'static str) {
        match self {
            ProblemCode::Invalid => (
                "invalid",
                422,
                "Invalid request",
                "`errors` names each field, what is wrong with it and what is accepted.",
            ),
            ProblemCode::ListRefused => (
                "list-refused",
                422,
                "List refused",
                "Nothing was changed. `detail` says what is wrong with the list, and whether an option or `orbsd source reset` accepts it.",
            ),
            ProblemCode::Malformed => (
                "malformed",
                400,
                "Malformed request",
                "The body is cut short, is not JSON, or is not text; `detail` says where.",
            ),
            ProblemCode::Unauthorized => (
                "unauthorized",
                401,
                "Authentication required",
                "Send a token: `Authorization: Bearer orbsd_…`. `orbsd token create` creates one.",
            ),
            ProblemCode::Forbidden => (
                "forbidden",
                403,
                "Permission denied",
                "`detail` names the role, reason, source or prefix that is required.",
            ),
            ProblemCode::NotFound => (
                "not-found",
                404,
                "Not found",
                "Nothing has this name, or there is nothing to remove.",
            ),
            ProblemCode::MethodNotAllowed => (
                "method-not-allowed",
                405,
                "Method not allowed",
                "The `Allow` header names the methods that are answered here.",
            ),
            ProblemCode::Conflict => (
                "conflict",
                409,
                "Conflict with the current state",
                "`detail` names the rule or the state, and what would be accepted.",
            ),
            ProblemCode::Held => (
                "held",
                409,
                "A removal was granted",
                "The reason is suppressed for the subject until the hold ends. An operator overrides it with `break_hold`.",
            ),
            ProblemCode::PreconditionFailed => (
                "precondition-failed",
                412,
                "Changed since it was read",
                "Read the subject again, and send its new revision in `If-Match`.",
            ),
            ProblemCode::ContentTooLarge => (
                "content-too-large",
                413,
                "Body too long",
                "`detail` names the limit.",
            ),
            ProblemCode::IdempotencyKeyReused => (
                "idempotency-key-reused",
                422,
                "Idempotency key reused",
                "Another request used the same `Idempotency-Key`; send a new key.",
            ),
            ProblemCode::AlreadyProcessed => (
                "already-processed",
                409,
                "Already processed",
                "A request with the same `Idempotency-Key` was processed, and its response is not kept. Read the current state.",
            ),
            ProblemCode::TooManyRequests => (
                "too-many-requests",
                429,
                "Too many requests",
                "Wait as many seconds as `Retry-After` says.",
            ),
            ProblemCode::OutcomeUnknown => (
                "outcome-unknown",
                500,
                "Outcome unknown",
                "The store failed while the change was written. Read the current state before you repeat the request.",
            ),
            ProblemCode::Unavailable => (
                "unavailable",
                503,
                "Service unavailable",
                "The store fails, or the daemon stops. Nothing was written; try again later.",
            ),
            ProblemCode::Timeout => (
                "timeout",
                408,
                "Request timed out",
                "The body did not arrive, or the work was not done, in time.",
            ),
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The field or the query parameter, as it was sent.
    pub field: String,
    /// What is wrong with it, and what is accepted.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// The address of a page that explains the code: `/problems/CODE` on this server.
    #[serde(rename = "type")]
    #[schema(example = "https://lists.example.org/problems/not-found")]
    pub uri: String,
    /// The kind of problem, the same on every server.
    pub code: ProblemCode,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and what is accepted.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// How many seconds to wait before the request is worth repeating, as in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl ProblemDetails {
    /// A problem of a code. Its `type` is a path until the server's address is put before it.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails {
            uri: format!("/problems/{code}"),
            code,
            title: code.title().into(),
            status: code.status(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: matches!(code.status(), 429 | 503).then_some(RETRY_AFTER.0),
        }
    }

    /// A wrong field or parameter. A detail `field: …` names the field.
    pub fn invalid(detail: impl Into<String>) -> ProblemDetails {
        let mut out = ProblemDetails::new(ProblemCode::Invalid, detail);
        let named = |f: &str| {
            !f.is_empty()
                && f.bytes()
                    .all(|b| b.is_ascii_lowercase() || b".-_".contains(&b))
        };
        if let Some((field, why)) = out.detail.split_once(": ").filter(|(f, _)| named(f)) {
            let (field, detail) = (field.into(), why.into());
            out.errors.push(FieldError { field, detail });
        }
        out
    }

    /// A rate limit is reached; the request is worth repeating after `wait`.
    pub fn too_many(detail: impl Into<String>, wait: Seconds) -> ProblemDetails {
        ProblemDetails {
            retry_after: Some(wait.0.max(1)),
            ..ProblemDetails::new(ProblemCode::TooManyRequests, detail)
        }
    }

    /// Nothing has this name.
    pub fn not_found(detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::NotFound, detail)
    }

    /// The request contradicts the current state.
    pub fn conflict(detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::Conflict, detail)
    }

    /// The role or the bounds of the token do not allow this.
    pub fn forbidden(detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::Forbidden, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sent_as_they_are_compared() {
        for code in ProblemCode::ALL {
            let sent = serde_json::to_value(code).unwrap();
            assert_eq!(sent, code.as_str());
            assert_eq!(ProblemCode::parse(code.as_str()), Some(code));
        }
    }
}
