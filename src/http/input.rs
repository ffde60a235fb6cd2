//! What comes in, read strictly: whatever cannot be read becomes a problem document that says
//! where.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::error::Problem;
use crate::model::text::check_line;

/// The most of anything that one page holds.
pub const MOST: usize = 1000;

/// The query of an address.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(t)| Params(t))
            .map_err(|e| Problem::invalid(said(&e)))
    }
}

/// An error with what is behind it.
fn said(e: &dyn std::error::Error) -> String {
    match e.source() {
        Some(inner) => said(inner),
        None => e.to_string(),
    }
}

/// One part of a path, decoded.
pub struct Part(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Part, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(p)| Part(p))
            .map_err(|e| Problem::new("unreadable", e.body_text()))
    }
}

/// A body of JSON; an empty one is an empty object.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let bytes = bytes(request, state).await?;
        json(&bytes).map(Body)
    }
}

/// The whole of a body, within its limit.
pub async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|e| match e.status().as_u16() {
            413 => Problem::new("too-large", "the body is longer than this takes"),
            _ => Problem::new("unreadable", e.body_text()),
        })
}

/// Bytes as JSON of a known shape. What is no JSON at all is another problem than what does not
/// fit.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = match bytes.trim_ascii() {
        [] => b"{}",
        [b'{', ..] => bytes,
        // A list would be read as the values of a shape's fields in their order.
        _ => return Err(Problem::new("unreadable", "the body is no JSON object")),
    };
    serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => Problem::invalid(e.to_string()),
        _ => Problem::new("unreadable", format!("the body is no JSON: {e}")),
    })
}

/// How many a page holds.
pub fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(100) {
        n @ 1..=MOST => Ok(n),
        n => Err(Problem::invalid(format!(
            "limit: {n} is not between 1 and {MOST}"
        ))),
    }
}

/// The longest note of a request that is about many subjects: each of them keeps it.
const MAX_NOTE: usize = 2048;

/// Refuses text that is not one line of plain text, such as a note or a proof.
pub fn line(field: &str, text: &str) -> Result<(), Problem> {
    check_line(text).map_err(|e| Problem::invalid(format!("{field}: {e}")))
}

/// Refuses a note that is not one line of plain text, or too long for many subjects.
pub fn note(note: Option<&String>) -> Result<(), Problem> {
    note.map_or(Ok(()), |n| line("note", n))?;
    match note {
        Some(n) if n.len() > MAX_NOTE => Err(Problem::invalid(format!(
            "note: at most {MAX_NOTE} bytes; each subject keeps it"
        ))),
        _ => Ok(()),
    }
}
