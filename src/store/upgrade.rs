//! Upgrades of stores from older versions to the current one, one step for each version. The test
//! fixtures contain a store of each older version.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Batch, Result, Store, StoreError, damaged, schema};
use crate::model::{Event, EventKind, Mask, Subject, Time, Verdict};

/// Upgrades a store of version `from`.
///
/// # Errors
///
/// The version is newer than this program's, or the store cannot be read or written.
pub fn run(store: &Store, from: u32) -> Result<()> {
    match from {
        schema::VERSION => return Ok(()),
        1 => sources_with_masks(store)?,
        // No source follows a zone yet.
        2 => store.commit(change_sources(store, 3, |s: Source2| -> Source3 {
            (s, None)
        })?)?,
        // No source has rows yet that the last large import replaced; other new data is in new
        // families.
        3 => store.commit(change_sources(store, 4, |s: Source3| -> Source4 {
            (s, None)
        })?)?,
        // There is a new, empty family for relay tests.
        4 => store.commit(version_row(5))?,
        // Rows of feeds can have notes, and sources the shape of their last list. There are none
        // yet.
        5 => store.commit(version_row(6))?,
        // There is a new, empty family for tickets.
        6 => store.commit(version_row(7))?,
        // There is a new, empty family for netblocks.
        7 => store.commit(version_row(8))?,
        // Entries keep their last sight, and there is a new, empty family for dynamic ranges.
        8 => last_sights(store)?,
        // Entries can be exact. None is yet.
        9 => store.commit(version_row(10))?,
        v if v > schema::VERSION => return Err(StoreError::Newer(v)),
        v => {
            return Err(StoreError::Damaged(format!(
                "its version {v} was never released"
            )));
        }
    }
    run(store, from + 1)
}

/// A source's record in version 1. Each later version adds fields at the end, and postcard encodes
/// a tuple as it does a structure with the same fields, so that a newer record is an older one with
/// more values after it.
#[derive(Serialize, Deserialize)]
struct Source1 {
    name: String,
    feed: bool,
    generation: u32,
    next: u32,
    dead: Vec<u32>,
    refreshed: Time,
    expires: Option<Time>,
}

/// Version 2 adds the reasons, and the ends.
type Source2 = (Source1, [Mask; 2], Vec<Time>);
/// Version 3 adds the followed zone.
type Source3 = (Source2, Option<schema::FollowState>);
/// Version 4 adds the replaced rows.
type Source4 = (Source3, Option<schema::ReplacedRows>);

/// A batch that sets the version of the store.
pub(super) fn version_row(version: u32) -> Batch {
    let mut batch = Batch::default();
    let value = version.to_be_bytes().to_vec();
    batch.put(schema::META, b"version".to_vec(), value);
    batch
}

/// A batch that sets the version, and replaces the record of each source.
fn change_sources<A: DeserializeOwned, B: Serialize>(
    store: &Store,
    version: u32,
    change: impl Fn(A) -> B,
) -> Result<Batch> {
    let old: Option<Vec<A>> = store.read(schema::META, b"sources", "the sources")?;
    let old = old.ok_or_else(|| damaged("the sources"))?;
    let new: Vec<B> = old.into_iter().map(change).collect();
    let mut batch = version_row(version);
    batch.put(schema::META, b"sources".to_vec(), schema::encode(&new));
    Ok(batch)
}

/// The most subjects whose verdicts are upgraded in one batch.
const UPGRADE_BATCH: usize = 10_000;

/// 8 to 9: entries have the time at which they were last seen: that of the last event that listed
/// them. Only the rows of renewed entries change.
fn last_sights(store: &Store) -> Result<()> {
    let mut last: Option<Subject> = None;
    loop {
        let mut part: Vec<(Subject, Verdict)> = Vec::new();
        let is_complete = store.decided(last.as_ref(), &mut |subject, verdict| {
            part.push((subject, verdict));
            Ok(part.len() < UPGRADE_BATCH)
        })?;
        let mut batch = match is_complete {
            true => version_row(9),
            false => Batch::default(),
        };
        for (subject, verdict) in &mut part {
            if set_last_sights(store, subject, verdict)? {
                let row = schema::encode(&*verdict);
                batch.put(schema::VERDICTS, subject.key(), row);
            }
        }
        store.commit(batch)?;
        if is_complete {
            return Ok(());
        }
        last = part.pop().map(|(subject, _)| subject);
    }
}

/// Gives the listings of a subject the times of the events that last listed them. Returns whether
/// one was listed again after it began.
fn set_last_sights(store: &Store, subject: &Subject, verdict: &mut Verdict) -> Result<bool> {
    if verdict.entries.iter().all(|e| e.exclusion) {
        return Ok(false);
    }
    let mut is_changed = false;
    store.rows_under(schema::EVENTS, &subject.key(), &mut |_, row| {
        let event: Event = store.decode(row, format_args!("an event of {subject}"))?;
        if let EventKind::Listed { reason, source, .. } = event.kind {
            let entries = verdict.entries.iter_mut();
            let mut listed =
                entries.filter(|e| !e.exclusion && (e.reason, e.source) == (reason, source));
            if let Some(e) = listed.next().filter(|e| e.seen < event.at) {
                e.seen = event.at;
                is_changed = true;
            }
        }
        Ok(true)
    })?;
    Ok(is_changed)
}

/// 1 to 2: records of sources get their reasons and ends, and commits in the journal the serials
/// before them. The journal is removed, so a transfer across the upgrade is an AXFR.
fn sources_with_masks(store: &Store) -> Result<()> {
    let mut batch = change_sources(store, 2, |source: Source1| -> Source2 {
        // The reasons are not known, so the end of the source will change the serials of all zones.
        let masks = [if source.generation > 0 { Mask::MAX } else { 0 }; 2];
        (source, masks, Vec::new())
    })?;
    batch.delete_range(schema::JOURNAL, vec![], vec![u8::MAX; 9]);
    store.commit(batch)
}
