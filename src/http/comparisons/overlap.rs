//! The overlap of the own sources.

use axum::{Json, extract::State};

use super::busy;
use crate::{
    api::{
        AloneEntryResponse, OverlapResponse, PairOverlapResponse, PairSideResponse, ProblemDetails,
        SourceOverlapResponse,
    },
    comparison::{OverlapCounter, PairOverlap, SourceOverlap},
    http::{
        App,
        handler::{JsonResult, blocking},
    },
    model::{SourceId, Subject, Time, event::EventKind},
    store::{Dictionary, Store, StoreError},
};

/// Compares the own sources with each other: which entries each pair has, which source had them first
/// and by how much, and which source never drops entries. Equal subjects count as the same entry.
#[utoipa::path(get, path = "/v1/overlap", tag = "comparisons",
    responses((status = 200, body = OverlapResponse, description = "The sources that have entries, and all pairs of them")))]
pub async fn get_overlap(State(app): State<App>) -> JsonResult<OverlapResponse> {
    blocking(move || {
        let _running = app.comparisons.begin().ok_or_else(busy)?;
        let overlap = overlap(&app.ledger.store).map_err(ProblemDetails::internal)?;
        Ok(Json(overlap))
    })
    .await
}

fn overlap(store: &Store) -> Result<OverlapResponse, StoreError> {
    let dictionary = store.dictionary();
    let mut counter = OverlapCounter::new(dictionary.records.len());
    let mut sources: Vec<(usize, Time)> = Vec::new();
    store.scan(&dictionary, &mut |subject, verdict| {
        sources.clear();
        for entry in verdict.entries.iter().filter(|e| !e.exclusion) {
            let number = usize::from(entry.source.0);
            match sources.iter_mut().find(|(s, _)| *s == number) {
                Some((_, since)) => *since = entry.since.min(*since),
                None => sources.push((number, entry.since)),
            }
        }
        sources.retain(|(s, _)| *s < dictionary.records.len());
        sources.sort_unstable();
        counter.add(&subject, &sources);
        Ok(())
    })?;
    let (sources, pairs) = counter.finish();
    let mut out = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        if source.entries > 0 {
            out.push(source_overlap(store, &dictionary, number, source)?);
        }
    }
    out.sort_by(|a, b| a.source.cmp(&b.source));
    let is_used = |pair: &PairOverlap| pair.sources.iter().all(|s| sources[*s].entries > 0);
    let pairs = pairs.into_iter().filter(is_used);
    Ok(OverlapResponse {
        sources: out,
        pairs: pairs.map(|pair| pair_overlap(&dictionary, pair)).collect(),
    })
}

/// The name of a source by its number.
fn name(dictionary: &Dictionary, number: usize) -> String {
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    dictionary.sources.name(SourceId(number)).into()
}

fn pair_overlap(dictionary: &Dictionary, pair: PairOverlap) -> PairOverlapResponse {
    let side = |i: usize| PairSideResponse {
        source: name(dictionary, pair.sources[i]),
        only: pair.only[i],
        first: pair.first[i],
        median_lead: pair.median_lead[i],
    };
    PairOverlapResponse {
        both: pair.both,
        same_time: pair.same_time,
        sides: [side(0), side(1)],
    }
}

fn source_overlap(
    store: &Store,
    dictionary: &Dictionary,
    number: usize,
    source: &SourceOverlap,
) -> Result<SourceOverlapResponse, StoreError> {
    let (mut oldest_alone, mut oldest_dropped_by_others) = (None, None);
    for (since, subject) in &source.oldest_alone {
        let drop = last_drop(store, subject, number)?;
        let entry = AloneEntryResponse {
            subject: subject.to_string(),
            since: (*since).into(),
            dropped_by: drop.map(|(other, _)| name(dictionary, usize::from(other.0))),
            dropped_at: drop.map(|(_, at)| at.into()),
        };
        if oldest_alone.is_none() {
            oldest_alone = Some(entry.clone());
        }
        if drop.is_some() {
            oldest_dropped_by_others = Some(entry);
            break;
        }
    }
    Ok(SourceOverlapResponse {
        source: name(dictionary, number),
        entries: source.entries,
        alone: source.alone,
        oldest_alone,
        oldest_dropped_by_others,
    })
}

/// The source other than `own` that last ceased to list a subject, and when.
fn last_drop(
    store: &Store,
    subject: &Subject,
    own: usize,
) -> Result<Option<(SourceId, Time)>, StoreError> {
    let history = store.history(subject)?;
    let drops = history.iter().filter_map(|event| match event.kind {
        EventKind::Dropped { source, .. }
        | EventKind::Expired { source, .. }
        | EventKind::Delisted { source, .. } => Some((source, event.at)),
        _ => None,
    });
    let others = drops.filter(|(source, _)| usize::from(source.0) != own);
    Ok(others.max_by_key(|(_, at)| *at))
}
