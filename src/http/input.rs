//! Strict parsing of requests: an invalid field becomes a problem document that names it.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::{
    api::{FieldError, ProblemCode, ProblemDetails},
    model::{Time, text::check_line},
};

/// The largest number of items on a page.
pub const MAX_LIMIT: usize = 1000;
/// The number of items on a page if the request does not set one.
const DEFAULT_LIMIT: usize = 100;

/// The query parameters of a request.
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ProblemDetails;
    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<QueryParams<T>, ProblemDetails> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let read = serde_urlencoded::Deserializer::new(pairs);
        serde_path_to_error::deserialize(read)
            .map(QueryParams)
            .map_err(|e| wrong_field(&e.path().to_string(), &e.into_inner().to_string()))
    }
}

/// A problem about a field, by the path of the field and what serde says about it.
fn wrong_field(path: &str, error: &str) -> ProblemDetails {
    // `missing field `x`` and `unknown field `x`, expected …` name a field of the object at the
    // path; all other errors are about the path itself.
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| error.strip_prefix(start)?.split_once('`'));
    let path = if matches!(path, "." | "?") { "" } else { path };
    let field = match named {
        // serde_path_to_error already has the name of an unknown field in its path.
        Some((name, _)) if path == name || path.ends_with(&format!(".{name}")) => path.into(),
        Some((name, _)) if path.is_empty() => name.to_string(),
        Some((name, _)) => format!("{path}.{name}"),
        None => path.to_string(),
    };
    let detail = error.rfind(" at line ").map_or(error, |n| &error[..n]);
    let mut problem = ProblemDetails::new(ProblemCode::Invalid, detail);
    if !field.is_empty() {
        problem.detail = format!("{field}: {detail}");
        let detail = detail.into();
        problem.errors.push(FieldError { field, detail });
    }
    problem
}

/// The one parameter of a path, decoded.
pub struct Part(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = ProblemDetails;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Part, ProblemDetails> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(p)| Part(p))
            .map_err(|e| ProblemDetails::new(ProblemCode::Malformed, e.body_text()))
    }
}

/// A JSON body; an empty body is read as an empty object.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ProblemDetails;
    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, ProblemDetails> {
        let bytes = bytes(request, state).await?;
        json(&bytes).map(JsonBody)
    }
}

/// A JSON body, and its bytes, which tell requests with the same `Idempotency-Key` apart.
pub struct JsonWithBytes<T>(pub T, pub Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonWithBytes<T> {
    type Rejection = ProblemDetails;
    async fn from_request(request: Request, state: &S) -> Result<Self, ProblemDetails> {
        let bytes = bytes(request, state).await?;
        Ok(JsonWithBytes(json(&bytes)?, bytes))
    }
}

/// Reads the whole body, up to the limit of the route.
pub async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ProblemDetails> {
    Bytes::from_request(request, state)
        .await
        .map_err(|e| match e.status().as_u16() {
            413 => ProblemDetails::new(
                ProblemCode::ContentTooLarge,
                "the body is longer than this request allows",
            ),
            _ => ProblemDetails::new(ProblemCode::Malformed, e.body_text()),
        })
}

/// Parses a JSON object. A text that is not JSON gets another problem than a wrong field.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ProblemDetails> {
    let bytes = match bytes.trim_ascii() {
        [] => b"{}",
        [b'{', ..] => bytes,
        // A list would be read as the values of a struct's fields in their order.
        _ => {
            return Err(ProblemDetails::new(
                ProblemCode::Malformed,
                "the body is not a JSON object",
            ));
        }
    };
    let malformed = |e: serde_json::Error| {
        ProblemDetails::new(ProblemCode::Malformed, format!("the body is not JSON: {e}"))
    };
    let mut read = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut read).map_err(|e| {
        // A field is reported only if the whole body is JSON.
        match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            Ok(_) => wrong_field(&e.path().to_string(), &e.into_inner().to_string()),
            Err(e) => malformed(e),
        }
    })?;
    read.end().map_err(malformed)?;
    Ok(value)
}

/// Reads the number of items on a page.
pub fn limit(requested: Option<usize>) -> Result<usize, ProblemDetails> {
    match requested.unwrap_or(DEFAULT_LIMIT) {
        n @ 1..=MAX_LIMIT => Ok(n),
        n => Err(ProblemDetails::invalid(format!(
            "limit: {n} is not between 1 and {MAX_LIMIT}"
        ))),
    }
}

/// Reads a time of a request relative to now; `parse` decides whether it is a start or an end.
pub fn time(
    field: &str,
    text: Option<&String>,
    now: Time,
    parse: fn(&str, Time) -> Result<Time, String>,
) -> Result<Option<Time>, ProblemDetails> {
    text.map(|t| parse(t, now))
        .transpose()
        .map_err(|e| ProblemDetails::invalid(format!("{field}: {e}")))
}

/// Reads the `after` of a page; `parse` reads what the `next` of the previous page contains.
pub fn after<T>(
    text: Option<&String>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ProblemDetails> {
    let invalid = || ProblemDetails::invalid("after: it must be the `next` of the previous page");
    text.map(|t| parse(t).ok_or_else(invalid)).transpose()
}

/// The longest note of a request about many subjects, in bytes; it is stored with each subject.
const MAX_NOTE_BYTES: usize = 2048;

/// Refuses text that is not one line of plain text, such as a note or a proof.
pub fn line(field: &str, text: &str) -> Result<(), ProblemDetails> {
    check_line(text).map_err(|e| ProblemDetails::invalid(format!("{field}: {e}")))
}

/// Refuses a note that is not one line of plain text, or is too long to be stored with many
/// subjects.
pub fn note(note: Option<&String>) -> Result<(), ProblemDetails> {
    let Some(note) = note else { return Ok(()) };
    line("note", note)?;
    if note.len() > MAX_NOTE_BYTES {
        return Err(ProblemDetails::invalid(format!(
            "note: at most {MAX_NOTE_BYTES} bytes; it is stored with each subject"
        )));
    }
    Ok(())
}

/// Whether a text is a mail address.
pub fn is_mail_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, domain)| {
        let is_plain =
            |s: &str| !s.is_empty() && !s.contains([' ', '<', '>', '"', ':', '/', '?', '&']);
        is_plain(user) && is_plain(domain) && !domain.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ListingRequest, TokenRequest};

    fn fields(problem: &ProblemDetails) -> Vec<&str> {
        problem.errors.iter().map(|e| e.field.as_str()).collect()
    }

    #[test]
    fn unknown_and_missing_fields_are_named_in_errors() {
        for (body, field) in [
            (r#"{"reason": "spam"}"#, "subject"),
            (r#"{"subject": "192.0.2.1", "resaon": "spam"}"#, "resaon"),
            (r#"{"subject": 7}"#, "subject"),
            (r#"{"subject": "192.0.2.1", "op": "lift"}"#, "op"),
        ] {
            let problem = json::<ListingRequest>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, ProblemCode::Invalid, "{body}");
            assert_eq!(fields(&problem), [field], "{body}: {problem:?}");
        }
        let body = r#"{"owner": "a", "role": "editor", "bounds": {"zones": []}}"#;
        let problem = json::<TokenRequest>(body.as_bytes()).unwrap_err();
        assert_eq!(fields(&problem), ["bounds.zones"], "{problem:?}");
        for body in ["[]", "{", "{} {}"] {
            let problem = json::<ListingRequest>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, ProblemCode::Malformed, "{body}");
        }
    }

    #[tokio::test]
    async fn unknown_and_missing_parameters_are_named_in_errors() {
        use crate::api::{ImportQuery, PageQuery};
        async fn read<T: DeserializeOwned>(uri: &str) -> Result<T, ProblemDetails> {
            let request = Request::builder().uri(uri).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            QueryParams::<T>::from_request_parts(&mut parts, &())
                .await
                .map(|q| q.0)
        }
        assert_eq!(read::<PageQuery>("/?limit=7").await.unwrap().limit, Some(7));
        for (uri, field) in [("/?limt=7", "limt"), ("/?limit=x", "limit")] {
            let problem = read::<PageQuery>(uri).await.unwrap_err();
            assert_eq!(fields(&problem), [field], "{uri}: {problem:?}");
        }
        let problem = read::<ImportQuery>("/?format=list").await.unwrap_err();
        assert_eq!(fields(&problem), ["source"], "{problem:?}");
    }
}
