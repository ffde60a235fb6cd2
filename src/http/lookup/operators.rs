//! The look-up of operators: everything that is known about a subject.

use axum::{extract::State, response::Response};

use super::{
    super::{
        App,
        convert::{event, hold, listing, revision_text, with_revision},
        handler::blocking,
        input::Part,
        listings::exemption,
        subject,
    },
    applying::covering_verdicts,
    rules::applied_rules,
    widening::Listings,
    zones::zone_answers,
};
use crate::{
    api::{CoverResponse, ListingResponse, ProblemDetails, RemainingListing, SubjectResponse},
    model::{Entry, Event, Subject, Verdict, subject::HostBits},
    store::{Dictionary, Store, StoreError, schema::revision},
};

/// The listings of a subject and of the wider subjects that cover it, except suppressed ones.
pub fn remaining(store: &Store, subject: &Subject) -> Result<Vec<RemainingListing>, StoreError> {
    let dictionary = store.dictionary();
    let mut out = Vec::new();
    for s in std::iter::once(subject.clone()).chain(subject.wider()) {
        let verdict = store.verdict(&s)?;
        let suppressed = |e: &Entry| verdict.is_suppressed(e.reason, e.source);
        let listed = verdict.entries.iter();
        let listed = listed.filter(|e| !e.exclusion && !suppressed(e));
        out.extend(listed.map(|e| RemainingListing {
            subject: s.to_string(),
            source: dictionary.sources.name(e.source).into(),
            feed: e.source.is_feed(),
            reason: dictionary.reasons.name(e.reason).into(),
        }));
    }
    Ok(out)
}

/// Returns everything that is known about a subject: its listings, holds and history, and what each
/// zone answers.
#[utoipa::path(get, path = "/v1/subjects/{subject}", tag = "listings", params(("subject" = String, Path, description = "An address, a prefix (its `/` as %2F) or a domain")),
    responses((status = 200, body = SubjectResponse, description = "What is known about the subject")))]
pub async fn get_subject(
    State(app): State<App>,
    Part(text): Part,
) -> Result<Response, ProblemDetails> {
    let subject = subject::stored(&app, &text, HostBits::Refuse)?;
    let found = blocking(move || Ok(find_subject(&app, &subject)?)).await?;
    Ok(with_revision(&found.revision, &found))
}

fn find_subject(app: &App, subject: &Subject) -> Result<SubjectResponse, StoreError> {
    let (store, snapshot) = (&app.ledger.store, app.ledger.published.snapshot());
    let dictionary = store.dictionary();
    let listings = |s: &Subject, verdict: &Verdict, history: &[Event]| {
        let entries = verdict.entries.iter();
        let listings = entries.map(|e| {
            let listing = listing(&dictionary, s, verdict, e, history);
            let note = list_note(store, &dictionary, s, e)?.or(listing.note);
            Ok(ListingResponse { note, ..listing })
        });
        listings.collect::<Result<Vec<_>, StoreError>>()
    };
    let covering = covering_verdicts(store, subject)?;
    let mut covered_by = Vec::new();
    for (wider, verdict) in covering.iter().filter(|(s, _)| s != subject) {
        covered_by.push(CoverResponse {
            subject: wider.to_string(),
            entries: listings(wider, verdict, &store.history(wider)?)?,
            exempt: verdict.exempt.is_some(),
        });
    }
    let (verdict, history) = (store.verdict(subject)?, store.history(subject)?);
    let mut zones = zone_answers(&snapshot, subject);
    let applying = Listings::read(store, &snapshot, subject, &covering)?;
    for zone in &mut zones {
        if let Some(i) = snapshot.zones.by_name(&zone.zone) {
            zone.rules = applied_rules(
                &snapshot,
                &dictionary,
                &snapshot.zones.all()[i],
                subject,
                &applying,
            );
        }
    }
    let holds = verdict.holds.iter();
    Ok(SubjectResponse {
        subject: subject.to_string(),
        listed: zones.iter().any(|z| !z.codes.is_empty()),
        entries: listings(subject, &verdict, &history)?,
        exempt: exemption(subject, &verdict),
        holds: holds.map(|h| hold(&dictionary, subject, h)).collect(),
        covered_by,
        zones,
        history: history.iter().map(|e| event(e, &dictionary)).collect(),
        revision: revision_text(revision(&verdict)),
    })
}

/// The note of a feed's list about an entry, for operators.
fn list_note(
    store: &Store,
    dictionary: &Dictionary,
    subject: &Subject,
    e: &Entry,
) -> Result<Option<String>, StoreError> {
    let record = dictionary.records.get(usize::from(e.source.0));
    let generation = record.map_or(0, |r| r.generation);
    if !e.source.is_feed() || generation == 0 {
        return Ok(None);
    }
    let mut row = store.feed_row(e.source, generation, subject)?.into_iter();
    let entry = row.find(|f| f.reason == e.reason);
    Ok(entry.and_then(|f| f.note).map(String::from))
}
