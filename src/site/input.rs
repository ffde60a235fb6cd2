//! The bodies of requests: forms of pages, and JSON of programs.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::header,
};
use serde::de::DeserializeOwned;

use crate::{
    api::ProblemDetails,
    http::{parse_json, read_body},
};

/// The longest body of a look-up, in bytes: a pasted message of 64 KiB, percent-encoded.
pub(super) const MAX_LOOKUP_BYTES: usize = 256 * 1024;
/// The longest body of any other request, in bytes: a message of 4,000 characters,
/// percent-encoded.
pub(super) const MAX_FORM_BYTES: usize = 64 * 1024;

/// A body that is a form or a JSON object. An empty body is an empty object.
pub(super) struct FormOrJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for FormOrJson<T> {
    type Rejection = ProblemDetails;

    async fn from_request(request: Request, state: &S) -> Result<Self, ProblemDetails> {
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
        let body = read_body(request, state).await?;
        match is_form {
            true => form(&body).map(FormOrJson),
            false => parse_json(&body).map(FormOrJson),
        }
    }
}

fn form<T: DeserializeOwned>(body: &Bytes) -> Result<T, ProblemDetails> {
    serde_urlencoded::from_bytes(body)
        .map_err(|e| ProblemDetails::invalid(format!("the form cannot be read: {e}")))
}
