//! The page of an error.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::context::PageContext;
use crate::api::{ProblemCode, ProblemDetails};

/// The page of an error: what happened, and what to do next.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: &'a PageContext,
    title: &'static str,
    advice: &'static str,
    /// What is wrong, in English.
    detail: &'a str,
    /// After how many seconds the request can be repeated.
    retry_after: Option<u32>,
}

/// Responds with a problem as a page.
pub(super) fn error_page(page: &PageContext, problem: &ProblemDetails) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (title, advice) = keys(problem.code);
    let retry_after = problem
        .retry_after
        .map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    let template = ErrorPage {
        page,
        title,
        advice,
        detail: &problem.detail,
        retry_after,
    };
    page.render_with_status(status, &template)
}

/// The keys of the title and of the advice about a code.
pub(super) fn keys(code: ProblemCode) -> (&'static str, &'static str) {
    match code {
        ProblemCode::NotFound => ("error-not-found", "error-not-found-advice"),
        ProblemCode::MethodNotAllowed => ("error-method", "error-method-advice"),
        ProblemCode::TooManyRequests => ("error-too-many", "error-too-many-advice"),
        ProblemCode::ContentTooLarge => ("error-too-long", "error-too-long-advice"),
        ProblemCode::Forbidden | ProblemCode::Unauthorized => {
            ("error-forbidden", "error-forbidden-advice")
        }
        ProblemCode::Conflict
        | ProblemCode::Held
        | ProblemCode::AlreadyProcessed
        | ProblemCode::PreconditionFailed
        | ProblemCode::IdempotencyKeyReused => ("error-conflict", "error-conflict-advice"),
        ProblemCode::Invalid | ProblemCode::ListRefused | ProblemCode::Malformed => {
            ("error-invalid", "error-invalid-advice")
        }
        ProblemCode::OutcomeUnknown | ProblemCode::Unavailable | ProblemCode::Timeout => {
            ("error-unavailable", "error-unavailable-advice")
        }
    }
}
