//! Listings, holds and events as the API sends them.

use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};
use data_encoding::BASE32_NOPAD;
use serde::Serialize;

use crate::{
    api::{EventResponse, EvidenceResponse, HoldResponse, ListingResponse},
    model::{Entry, Event, Hold, ReasonId, SourceId, Subject, Verdict, history::EventKind},
    store::{Dictionary, schema::revision},
};

/// A revision as text.
pub fn revision_text(revision: u64) -> String {
    format!("{revision:016x}")
}

/// A JSON response with the revision of a subject as its entity tag, for `If-Match`.
pub fn with_revision(revision: &str, body: &impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{revision}\""))], Json(body)).into_response()
}

/// The ID of a listing, which encodes its reason, source and subject.
pub fn listing_id(subject: &Subject, reason: ReasonId, source: SourceId) -> String {
    let mut bytes = vec![reason.0];
    bytes.extend(source.0.to_be_bytes());
    subject.write_key(&mut bytes);
    BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
}

/// The subject, reason and source of a listing's ID.
pub fn parse_listing_id(id: &str) -> Option<(Subject, ReasonId, SourceId)> {
    let bytes = BASE32_NOPAD
        .decode(id.to_ascii_uppercase().as_bytes())
        .ok()?;
    let (head, key) = bytes.split_first_chunk::<3>()?;
    Some((
        Subject::from_key(key)?,
        ReasonId(head[0]),
        SourceId(u16::from_be_bytes([head[1], head[2]])),
    ))
}

/// Whether an event listed an entry, or renewed it.
fn lists(event: &Event, e: &Entry) -> bool {
    matches!(event.kind, EventKind::Listed { reason, source, .. } if (reason, source) == (e.reason, e.source))
}

/// The last event of a history that listed an entry, or renewed it.
pub fn last_listed<'h>(e: &Entry, history: &'h [Event]) -> Option<&'h Event> {
    history.iter().rev().find(|h| lists(h, e))
}

/// A listing as it is sent, with its author, note and evidence from the history.
pub fn listing(
    dictionary: &Dictionary,
    subject: &Subject,
    verdict: &Verdict,
    e: &Entry,
    history: &[Event],
) -> ListingResponse {
    let last = last_listed(e, history);
    let record = dictionary.records.get(usize::from(e.source.0));
    let feed = record.filter(|_| e.source.is_feed());
    let last_seen = feed.map_or(e.seen, |r| r.refreshed);
    let evidence = history
        .iter()
        .filter(|h| lists(h, e) && h.at >= e.since)
        .filter_map(|h| h.evidence.as_ref())
        .map(evidence)
        .collect();
    ListingResponse {
        id: listing_id(subject, e.reason, e.source),
        subject: subject.to_string(),
        reason: dictionary.reasons.name(e.reason).into(),
        source: dictionary.sources.name(e.source).into(),
        since: e.since.into(),
        last_seen: last_seen.into(),
        until: e.until.map(Into::into),
        text: e.text.as_ref().map(|t| t.to_string()),
        exclusion: e.exclusion,
        exact: e.text.exact,
        held: verdict.is_suppressed(e.reason, e.source),
        author: last.map(|h| h.author.clone()),
        note: last
            .and_then(|h| h.evidence.as_ref())
            .map(|n| n.text.clone()),
        evidence,
        revision: revision_text(revision(verdict)),
    }
}

/// Evidence as it is sent.
pub fn evidence(e: &crate::model::Evidence) -> EvidenceResponse {
    EvidenceResponse {
        kind: e.kind,
        text: e.text.clone(),
    }
}

/// A hold as it is sent.
pub fn hold(dictionary: &Dictionary, subject: &Subject, h: &Hold) -> HoldResponse {
    HoldResponse {
        subject: subject.to_string(),
        reason: dictionary.reasons.name(h.reason).into(),
        source: (h.source != SourceId::ALL).then(|| dictionary.sources.name(h.source).into()),
        since: h.since.into(),
        until: (h.until != Hold::WITH_COVER).then(|| h.until.into()),
    }
}

/// The names of a reason and of a source; `None` for every source.
pub fn names(
    dictionary: &Dictionary,
    about: Option<(ReasonId, SourceId)>,
) -> (Option<String>, Option<String>) {
    let one_source = about.filter(|(_, source)| *source != SourceId::ALL);
    (
        about.map(|(reason, _)| dictionary.reasons.name(reason).into()),
        one_source.map(|(_, source)| dictionary.sources.name(source).into()),
    )
}

/// An event as it is sent.
pub fn event(e: &Event, dictionary: &Dictionary) -> EventResponse {
    let (reason, source) = names(dictionary, e.kind.about());
    EventResponse {
        at: e.at.into(),
        event: e.kind.name(),
        reason,
        source,
        until: e.kind.until().map(Into::into),
        exact: e.kind.is_exact(),
        author: e.author.clone(),
        evidence: e.evidence.as_ref().map(evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_id_encodes_reason_source_and_subject() {
        for s in ["192.0.2.1", "45.0.0.0/8", "2001:db8::/32", "*.spam.example"] {
            let subject: Subject = s.parse().unwrap();
            let id = listing_id(&subject, ReasonId(3), SourceId(700));
            assert_eq!(
                parse_listing_id(&id),
                Some((subject, ReasonId(3), SourceId(700))),
                "{id}"
            );
        }
        for bad in ["", "a", "!!", "aaaaaaaa"] {
            assert_eq!(parse_listing_id(bad), None, "{bad}");
        }
    }
}
