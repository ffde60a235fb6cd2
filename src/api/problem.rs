//! Errors as problem documents (RFC 9457), and every code that they can have.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::VariantArray;
use utoipa::ToSchema;

use crate::model::time::Seconds;

/// The wait before a retry where the duration of the problem is not known.
const RETRY_AFTER: Seconds = Seconds(10);

/// The kind of a problem, for programs to compare.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// A field or a parameter is wrong (422).
    Invalid,
    /// The list cannot be imported (422).
    ListRefused,
    /// The body cannot be read (400).
    Malformed,
    /// The request has no valid token (401).
    Unauthorized,
    /// The role or the bounds of the token do not allow this (403).
    Forbidden,
    /// The addressed resource does not exist (404).
    NotFound,
    /// The path exists, but does not support this method (405).
    MethodNotAllowed,
    /// The request conflicts with the current state (409).
    Conflict,
    /// A granted removal keeps the subject from being listed (409).
    Held,
    /// The current revision of the subject differs from `If-Match` (412).
    PreconditionFailed,
    /// The body is too long (413).
    ContentTooLarge,
    /// Another request used the same `Idempotency-Key` (422).
    IdempotencyKeyReused,
    /// The request was already processed, and its response is not kept (409).
    AlreadyProcessed,
    /// A rate limit is reached (429).
    TooManyRequests,
    /// The store failed during the write, so that it is not known whether the change was made
    /// (500).
    OutcomeUnknown,
    /// The service cannot process the request now (503).
    Unavailable,
    /// The request took too long (408).
    Timeout,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: &[ProblemCode] = ProblemCode::VARIANTS;

    /// The code as it is sent.
    pub fn as_str(self) -> &'static str {
        self.definition().0
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.definition().1
    }

    /// A short title of the code.
    pub fn title(self) -> &'static str {
        self.definition().2
    }

    /// What the client can do.
    pub fn advice(self) -> &'static str {
        self.definition().3
    }

    /// Parses a code as it is sent.
    pub fn parse(text: &str) -> Option<ProblemCode> {
        let mut all = ProblemCode::ALL.iter();
        all.find(|c| c.as_str() == text).copied()
    }

    fn definition(self) -> (&'static str, u16, &'static str, &'static str) {
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
                "Nothing with this name exists, or there is nothing to remove.",
            ),
            ProblemCode::MethodNotAllowed => (
                "method-not-allowed",
                405,
                "Method not allowed",
                "The `Allow` header names the supported methods.",
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
                "The store has failed, or the daemon is stopping. Nothing was written; try again later.",
            ),
            ProblemCode::Timeout => (
                "timeout",
                408,
                "Request timed out",
                "The body did not arrive in time, or the request took too long.",
            ),
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A field that is wrong, and why.
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
    /// A short title of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and what is accepted.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// How many seconds to wait before the request is repeated, as in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl ProblemDetails {
    /// Creates a problem with a code. Its `type` is a path until the server's address is prepended.
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

    /// Creates the problem of an invalid field or parameter. A detail of the form `field: …` also
    /// adds the field to `errors`.
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

    /// Creates the problem of a rate limit; the request can be repeated after `wait`.
    pub fn too_many(detail: impl Into<String>, wait: Seconds) -> ProblemDetails {
        ProblemDetails {
            retry_after: Some(wait.0.max(1)),
            ..ProblemDetails::new(ProblemCode::TooManyRequests, detail)
        }
    }

    /// Creates the problem of a resource that does not exist.
    pub fn not_found(detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::NotFound, detail)
    }

    /// Creates the problem of a conflict with the current state.
    pub fn conflict(detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::Conflict, detail)
    }

    /// Creates the problem of a role, or of the bounds of a token, that do not allow the request.
    pub fn forbidden(detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::Forbidden, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sent_as_they_are_compared() {
        for code in ProblemCode::ALL.iter().copied() {
            let sent = serde_json::to_value(code).unwrap();
            assert_eq!(sent, code.as_str());
            assert_eq!(ProblemCode::parse(code.as_str()), Some(code));
        }
    }
}
