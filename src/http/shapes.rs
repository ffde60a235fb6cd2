//! The shapes of the API: what a listing, a receipt, a page look like. Times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use data_encoding::BASE32_NOPAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ledger::Receipt,
    model::{Entry, Event, Hold, ReasonId, SourceId, Subject, Time, Verdict, history::EventKind},
    store::{Dictionary, schema::revision},
};

/// One page of many things.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// Where the next page begins, for `after`; none at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page that is the only one.
    pub fn all(items: Vec<T>) -> Page<T> {
        Page { items, next: None }
    }
}

/// What a write did. It is true in DNS when it arrives.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptShape {
    /// The commit's number.
    pub commit: u64,
    /// The serials that moved, by origin.
    pub serials: BTreeMap<String, u32>,
    /// The subject's revision after it, for `If-Match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The ends of the listing, where it was listed already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed: Option<RenewalShape>,
}

/// The ends of a listing that was renewed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RenewalShape {
    /// When it would have ended before; null: never.
    pub was: Option<String>,
    /// When it ends now; null: never.
    pub until: Option<String>,
}

impl From<crate::ledger::Renewal> for RenewalShape {
    fn from(r: crate::ledger::Renewal) -> RenewalShape {
        let text = |t: Option<Time>| t.map(|t| t.to_string());
        RenewalShape {
            was: text(r.was),
            until: text(r.until),
        }
    }
}

impl From<Receipt> for ReceiptShape {
    fn from(r: Receipt) -> ReceiptShape {
        ReceiptShape {
            commit: r.commit,
            serials: r.serials.into_iter().map(|(o, s)| (o, s.0)).collect(),
            revision: r.revision.map(hex),
            renewed: r.renewal.map(Into::into),
        }
    }
}

/// A revision as text.
pub fn hex(revision: u64) -> String {
    format!("{revision:016x}")
}

/// What was seen.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvidenceShape {
    /// word, import, probe, delivery or trap.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// A reason that a source says of a subject.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing {
    /// Its number, for `/v1/listings/{id}`.
    pub id: String,
    /// An address, a prefix or a domain.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub source: String,
    /// Since when it stands.
    pub since: String,
    /// When it ends by itself; none for a feed's, whose life is the feed's.
    pub until: Option<String>,
    /// Its own text, `$` standing for the subject.
    pub text: Option<String>,
    /// An exception from the source's wider listing, and no listing.
    pub hole: bool,
    /// A granted removal holds it down: it is not published.
    pub held: bool,
    /// Who listed it.
    pub author: Option<String>,
    /// What the author, or the list of a feed, says about it for operators; never published.
    pub note: Option<String>,
    /// What was seen.
    pub evidence: Vec<EvidenceShape>,
    /// Changes with everything that is decided about the subject.
    pub revision: String,
}

/// The number of a listing: its reason, source and subject.
pub fn listing_id(subject: &Subject, reason: ReasonId, source: SourceId) -> String {
    let mut bytes = vec![reason.0];
    bytes.extend(source.0.to_be_bytes());
    subject.write_key(&mut bytes);
    BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
}

/// What the number of a listing names.
pub fn listing_of(id: &str) -> Option<(Subject, ReasonId, SourceId)> {
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

/// A listing with what its history says of it.
pub fn listing(
    v: &Dictionary,
    subject: &Subject,
    verdict: &Verdict,
    e: &Entry,
    history: &[Event],
) -> Listing {
    let of = |w: &EventKind| matches!(w, EventKind::Listed { reason, source, .. } if (*reason, *source) == (e.reason, e.source));
    let last = history.iter().rev().find(|h| of(&h.what));
    let said = history
        .iter()
        .filter(|h| of(&h.what) && h.at >= e.since)
        .filter_map(|h| h.evidence.as_ref());
    let evidence: Vec<EvidenceShape> = said.map(evidence).collect();
    Listing {
        id: listing_id(subject, e.reason, e.source),
        subject: subject.to_string(),
        reason: v.reasons.name(e.reason).into(),
        source: v.sources.name(e.source).into(),
        since: e.since.to_string(),
        until: e.until.map(|t| t.to_string()),
        text: e.text.as_ref().map(|t| t.to_string()),
        hole: e.exclusion,
        held: verdict.held(e.reason, e.source),
        author: last.map(|h| h.author.clone()),
        note: last
            .and_then(|h| h.evidence.as_ref())
            .map(|n| n.text.clone()),
        evidence,
        revision: hex(revision(verdict)),
    }
}

/// What was seen, as it is shown.
pub fn evidence(e: &crate::model::Evidence) -> EvidenceShape {
    let kind = serde_json::to_value(e.kind)
        .ok()
        .and_then(|k| k.as_str().map(String::from))
        .unwrap_or_default();
    EvidenceShape {
        kind,
        text: e.text.clone(),
    }
}

/// A reason that is held down.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldShape {
    /// The subject.
    pub subject: String,
    /// The reason.
    pub reason: String,
    /// The source whose word is held down; none: whoever says it.
    pub source: Option<String>,
    /// Since when.
    pub since: String,
    /// When it runs out; none: with the wider listing that it takes the subject out of.
    pub until: Option<String>,
}

/// A hold, as it is shown.
pub fn hold(v: &Dictionary, subject: &Subject, h: &Hold) -> HoldShape {
    HoldShape {
        subject: subject.to_string(),
        reason: v.reasons.name(h.reason).into(),
        source: (h.source != SourceId::ALL).then(|| v.sources.name(h.source).into()),
        since: h.since.to_string(),
        until: (h.until != Hold::WITH_COVER).then(|| h.until.to_string()),
    }
}

/// A subject that is never published.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExemptShape {
    /// The subject.
    pub subject: String,
    /// Since when.
    pub since: String,
    /// When that ends by itself.
    pub until: Option<String>,
    /// The subject's revision, for `If-Match`.
    pub revision: String,
}

/// One decided change in a subject's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventShape {
    /// When.
    pub at: String,
    /// listed, excepted, delisted, expired, dropped, held, hold_ended, exempted or exempt_ended.
    pub event: String,
    /// The reason it is about.
    pub reason: Option<String>,
    /// The source it is about; none: every source.
    pub source: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// Who decided it.
    pub author: String,
    /// What was seen.
    pub evidence: Option<EvidenceShape>,
}

/// An event, as it is shown.
pub fn event(e: &Event, v: &Dictionary) -> EventShape {
    let (name, about, until) = match &e.what {
        EventKind::Listed {
            reason,
            source,
            until,
            exclusion: hole,
            ..
        } => (
            if *hole { "excepted" } else { "listed" },
            Some((reason, source)),
            *until,
        ),
        EventKind::Delisted { reason, source } => ("delisted", Some((reason, source)), None),
        EventKind::Expired { reason, source } => ("expired", Some((reason, source)), None),
        EventKind::Dropped { reason, source } => ("dropped", Some((reason, source)), None),
        EventKind::Held {
            reason,
            source,
            until,
        } => (
            "held",
            Some((reason, source)),
            Some(*until).filter(|t| *t != Hold::WITH_COVER),
        ),
        EventKind::HoldEnded { reason, source } => ("hold_ended", Some((reason, source)), None),
        EventKind::Exempted { until } => ("exempted", None, *until),
        EventKind::ExemptEnded => ("exempt_ended", None, None),
    };
    EventShape {
        at: e.at.to_string(),
        event: name.into(),
        reason: about.map(|(r, _)| v.reasons.name(*r).into()),
        source: about
            .filter(|(_, s)| **s != SourceId::ALL)
            .map(|(_, s)| v.sources.name(*s).into()),
        until: until.map(|t: Time| t.to_string()),
        author: e.author.clone(),
        evidence: e.evidence.as_ref().map(evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listings_number_reads_back() {
        for s in ["192.0.2.1", "45.0.0.0/8", "2001:db8::/32", "*.spam.example"] {
            let subject: Subject = s.parse().unwrap();
            let id = listing_id(&subject, ReasonId(3), SourceId(700));
            assert_eq!(
                listing_of(&id),
                Some((subject, ReasonId(3), SourceId(700))),
                "{id}"
            );
        }
        for bad in ["", "a", "!!", "aaaaaaaa"] {
            assert_eq!(listing_of(bad), None, "{bad}");
        }
    }
}
