//! Errors as problem documents (RFC 9457).

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    ledger::Refused,
    model::history::Refusal,
    store::{StoreError, Vocabulary},
};

/// A problem document.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// What kind of problem: the last part of its type.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong and what is accepted.
    pub detail: String,
}

impl Problem {
    /// The request can not be read or makes no sense.
    pub fn invalid(detail: impl Into<String>) -> Problem {
        Problem { kind: "/problems/invalid", status: 422, detail: detail.into() }
    }
    /// There is nothing of that name.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem { kind: "/problems/not-found", status: 404, detail: detail.into() }
    }
    /// The rules say no.
    pub fn refused(detail: impl Into<String>) -> Problem {
        Problem { kind: "/problems/refused", status: 409, detail: detail.into() }
    }
    /// The ledger's word.
    pub fn of(refused: &Refused, vocabulary: &Vocabulary) -> Problem {
        let (kind, status) = match refused {
            Refused::Rule(Refusal::NotListed | Refusal::NotExempt) => ("/problems/not-found", 404),
            Refused::Rule(_) | Refused::Unlistable(_) => ("/problems/refused", 409),
            Refused::Settings(_) => ("/problems/invalid", 422),
            Refused::Changed(_) => ("/problems/changed", 412),
            Refused::OtherBody => ("/problems/other-body", 422),
            Refused::Unknown(_) => ("/problems/not-found", 404),
            Refused::InDoubt(_) => ("/problems/in-doubt", 500),
            Refused::Poisoned(_) | Refused::Stopped => ("/problems/unavailable", 503),
        };
        Problem { kind, status, detail: refused.text(vocabulary) }
    }
}

impl From<StoreError> for Problem {
    fn from(e: StoreError) -> Problem {
        Problem { kind: "/problems/unavailable", status: 503, detail: e.to_string() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
