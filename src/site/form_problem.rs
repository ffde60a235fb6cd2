//! Why a form of a page was refused.

use super::errors::keys;
use crate::api::ProblemDetails;

/// Why a form of a page was refused, to be shown beside its field.
#[derive(Debug, Clone)]
pub(super) struct FormProblem {
    /// The field, such as `message`; empty for a button.
    pub field: &'static str,
    /// What was entered.
    pub value: String,
    /// The key of the title.
    pub title: &'static str,
    /// What is wrong, in English.
    pub detail: String,
    /// After how many seconds the form can be sent again.
    pub retry_after: Option<u32>,
}

impl FormProblem {
    /// The problem of a request that a form has sent, with what was entered into the field.
    pub(super) fn of(problem: ProblemDetails, field: &'static str, value: String) -> FormProblem {
        FormProblem {
            field,
            value,
            title: keys(problem.code).0,
            detail: problem.detail,
            retry_after: problem.retry_after.and_then(|s| s.try_into().ok()),
        }
    }
}
