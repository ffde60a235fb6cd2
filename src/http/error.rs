//! Problems: how errors of the layers below become problem documents, and how those are sent.

use axum::{
    Extension,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::{ProblemCode, ProblemDetails},
    ledger::{Ledger, LedgerError},
    model::{Time, history::RuleViolation, time::Seconds},
    net::RateLimited,
    store::{Dictionary, StoreError},
};

impl ProblemDetails {
    /// The problem of a limit that is reached until the next minute begins.
    pub(super) fn this_minute(detail: impl Into<String>, now: Time) -> ProblemDetails {
        ProblemDetails::too_many(detail, Seconds(60 - now.0 % 60))
    }

    /// The problem of an address, or a network around it, that sends too many `what`; the limits
    /// are per minute.
    pub(super) fn rate_limited(what: &str, limited: &RateLimited) -> ProblemDetails {
        let RateLimited {
            prefix,
            times,
            wait,
        } = limited;
        ProblemDetails::too_many(
            format!("at most {times} {what} a minute are accepted from {prefix}"),
            Seconds(wait.as_secs() + 1),
        )
    }

    /// Logs an internal failure and returns its problem.
    pub fn internal(e: impl std::fmt::Display) -> ProblemDetails {
        tracing::error!(error = %e, "request failed");
        ProblemDetails::new(
            ProblemCode::Unavailable,
            "the daemon failed to process the request; its log has the cause",
        )
    }

    /// The problem of a write that the ledger refused.
    pub(super) fn of_ledger_error(error: &LedgerError, dictionary: &Dictionary) -> ProblemDetails {
        let code = match error {
            LedgerError::Rule(
                RuleViolation::NotListed | RuleViolation::NotExempt | RuleViolation::NotHeld,
            )
            | LedgerError::NotFound(_) => ProblemCode::NotFound,
            LedgerError::Rule(RuleViolation::Held(_)) => ProblemCode::Held,
            LedgerError::Invalid(_) => ProblemCode::Invalid,
            LedgerError::LimitReached {
                wait: Some(wait), ..
            } => return ProblemDetails::too_many(error.text(dictionary), *wait),
            LedgerError::Rule(_)
            | LedgerError::Unlistable(_)
            | LedgerError::SerialNotNewer(_)
            | LedgerError::Conflict(_)
            | LedgerError::LimitReached { wait: None, .. } => ProblemCode::Conflict,
            LedgerError::PreconditionFailed(_) => ProblemCode::PreconditionFailed,
            LedgerError::IdempotencyKeyReused => ProblemCode::IdempotencyKeyReused,
            LedgerError::Duplicate => ProblemCode::AlreadyProcessed,
            LedgerError::OutcomeUnknown(_) => ProblemCode::OutcomeUnknown,
            LedgerError::Unavailable(_) | LedgerError::Stopped => ProblemCode::Unavailable,
        };
        ProblemDetails::new(code, error.text(dictionary))
    }

    /// Prepends the address of the server to the type, if it is known.
    pub(super) fn with_base(mut self, base: Option<&str>) -> ProblemDetails {
        if let Some(base) = base.filter(|_| self.uri.starts_with('/')) {
            self.uri.insert_str(0, base);
        }
        self
    }
}

/// Returns a function that turns the errors of this ledger into problems.
pub(super) fn of_ledger(ledger: &Ledger) -> impl Fn(LedgerError) -> ProblemDetails + '_ {
    |error| ProblemDetails::of_ledger_error(&error, &ledger.store.dictionary())
}

impl From<StoreError> for ProblemDetails {
    fn from(e: StoreError) -> ProblemDetails {
        ProblemDetails::new(ProblemCode::Unavailable, e.to_string())
    }
}

impl IntoResponse for ProblemDetails {
    /// The response keeps the problem as an extension, so that the guard can complete its type.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let scheme = (status == StatusCode::UNAUTHORIZED)
            .then_some([(header::WWW_AUTHENTICATE, "Bearer realm=\"orbsd\"")]);
        let retry = self.retry_after;
        let retry = retry.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
        (status, kind, scheme, retry, Extension(self), body).into_response()
    }
}

/// Explains a problem code.
#[utoipa::path(get, path = "/problems/{code}", tag = "about",
    params(("code" = String, Path, description = "The code of a problem")),
    responses((status = 200, description = "The title of the code, and what the client can do", body = String, content_type = "text/plain")))]
pub(super) async fn explain_problem(Path(code): Path<String>) -> Result<String, ProblemDetails> {
    let code = ProblemCode::parse(&code).ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "`{code}` is not a problem code; `/openapi.json` lists all"
        ))
    })?;
    let (status, title, advice) = (code.status(), code.title(), code.advice());
    Ok(format!("{code} ({status}): {title}\n\n{advice}\n"))
}
