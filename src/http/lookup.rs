//! Look-ups of a subject: the public part for every client, in [`public_lookup`], and everything
//! with its history for operators, in [`operators`].

mod applying;
pub mod operators;
mod past;
mod public;
mod reading;
mod rules;
pub mod widening;
mod zones;

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Json,
    extract::{RawQuery, State},
};

pub use operators::remaining;
pub use reading::LookupInput;
pub use zones::published;

use super::{
    App,
    caller::ClientAddress,
    handler::{JsonResult, blocking},
};
use crate::{
    api::{LookupQuery, LookupResponse, ProblemDetails},
    model::Subject,
};

/// Looks up what a client wants to know about. This is the operation behind all look-up pages and
/// their JSON. No look-up outside of this machine is waited for.
///
/// # Errors
///
/// The text names no subject; the problem says what is wrong and what would work.
pub async fn public_lookup(
    app: &App,
    input: LookupInput,
    client: Option<IpAddr>,
) -> Result<LookupResponse, ProblemDetails> {
    let app = app.clone();
    let client = client.unwrap_or(Ipv4Addr::LOCALHOST.into());
    blocking(move || {
        let asked = reading::read(&app, &input)?;
        public::find_public(&app, &asked, client)
    })
    .await
}

/// Returns the subject of a pasted text that is a subject and nothing else, in any spelling: the
/// page of that subject is the whole answer.
pub fn only_subject(app: &App, pasted: &str) -> Option<Subject> {
    let input = LookupInput::Pasted {
        text: pasted.into(),
        own: String::new(),
    };
    let found = reading::read(app, &input).ok()?;
    let is_only = found.bounce.is_some_and(|b| b.only_subject);
    is_only.then_some(found.subject)
}

/// Reads the input of `GET /lookup`: `subject=`, `ip=`, the bare address of the old form, or the
/// address of the client.
///
/// # Errors
///
/// There is no subject, and the client has no address.
pub fn query_input(
    query: Option<&str>,
    client: Option<IpAddr>,
) -> Result<LookupInput, ProblemDetails> {
    let query = query.unwrap_or_default();
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "lang")
        .collect();
    let value = |name: &str| {
        let mut pairs = pairs.iter();
        pairs.find(|(k, _)| k == name).map(|(_, v)| v.clone())
    };
    // Without `=` the whole query is the name of one pair.
    let bare = || match &pairs[..] {
        [(text, value)] if value.is_empty() && !query.contains(&format!("{text}=")) => {
            Some(text.clone())
        }
        _ => None,
    };
    let text = value("subject").or_else(|| value("ip")).or_else(bare);
    match (text, client.filter(|_| pairs.is_empty())) {
        (Some(text), _) => Ok(LookupInput::Subject(text.into())),
        (None, Some(addr)) => Ok(LookupInput::Client(addr)),
        (None, None) => Err(ProblemDetails::invalid(
            "subject: it must be an address, a prefix or a domain",
        )),
    }
}

/// Looks up whether a subject is listed: in which zones, why, since when, and what its owner can
/// do.
///
/// The query may also be the bare address.
#[utoipa::path(get, path = "/lookup", tag = "public", params(LookupQuery),
    responses((status = 200, body = LookupResponse, description = "The public information about the subject")))]
pub async fn lookup(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    RawQuery(query): RawQuery,
) -> JsonResult<LookupResponse> {
    let input = query_input(query.as_deref(), client)?;
    public_lookup(&app, input, client).await.map(Json)
}

/// Looks up a subject under the path of earlier look-up pages.
#[utoipa::path(get, path = "/nph-lookup", tag = "public", params(LookupQuery),
    responses((status = 200, body = LookupResponse, description = "The public information about the subject")))]
pub async fn lookup_by_old_path(
    app: State<App>,
    client: ClientAddress,
    query: RawQuery,
) -> JsonResult<LookupResponse> {
    lookup(app, client, query).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_read_in_all_its_forms() {
        let client = Some("45.51.100.9".parse().unwrap());
        let read = |query: &str| query_input(Some(query), client).ok();
        let subject = |text: &str| Some(LookupInput::Subject(text.into()));
        for query in [
            "subject=45.51.100.7",
            "ip=45.51.100.7",
            "45.51.100.7",
            "subject=45.51.100.7&lang=de",
            "lang=de&ip=45.51.100.7",
        ] {
            assert_eq!(read(query), subject("45.51.100.7"), "{query}");
        }
        for query in ["", "lang=ja"] {
            assert_eq!(read(query), client.map(LookupInput::Client), "{query}");
        }
        assert_eq!(read("x=1"), None);
        assert_eq!(query_input(None, None).ok(), None);
    }
}
