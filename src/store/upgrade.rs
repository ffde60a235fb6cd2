//! Upgrades of stores from older versions to the current one, one step for each version. The test
//! fixtures contain a store of each older version.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Batch, Dictionary, Result, Store, StoreError, damaged, schema};
use crate::model::{Event, EventKind, Mask, Time, Verdict};

/// How far the upgrade of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeProgress {
    /// The version to which the store is being upgraded.
    pub version: u32,
    /// How many subjects were read since the store was opened.
    pub subjects: u64,
}

/// Receives the progress of a long upgrade: at its beginning, and after each batch.
pub type UpgradeWatch<'w> = &'w mut dyn FnMut(UpgradeProgress);

/// Upgrades a store of version `from`.
///
/// # Errors
///
/// The version is newer than this program's, or the store cannot be read or written.
pub fn run(store: &Store, from: u32, watch: UpgradeWatch<'_>) -> Result<()> {
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
        8 => last_sights(store, UPGRADE_BATCH, watch)?,
        // Entries can be exact. None is yet.
        9 => store.commit(version_row(10))?,
        v if v > schema::VERSION => return Err(StoreError::Newer(v)),
        v => {
            return Err(StoreError::Damaged(format!(
                "its version {v} was never released"
            )));
        }
    }
    run(store, from + 1, watch)
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

/// The most subjects that one batch of an upgrade reads.
const UPGRADE_BATCH: usize = 10_000;

/// The key, in the family `meta`, of the [`UpgradedPart`].
const UPGRADED: &[u8] = b"upgraded";

/// The part of the store that an upgrade has read, so that the next start continues there. The last
/// batch of the upgrade deletes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct UpgradedPart {
    /// The last commit of the store. An older program that commits meanwhile may change what was
    /// read.
    commit: u64,
    /// The first key that was not read.
    next: Vec<u8>,
}

/// 8 to 9: entries have the time at which they were last seen: that of the last event that listed
/// them. Only the rows of renewed entries change.
///
/// Entries and events are read side by side, in the order of their keys.
pub(super) fn last_sights(store: &Store, batch_size: usize, watch: UpgradeWatch<'_>) -> Result<()> {
    // Without a dictionary, a scan has no entries of feeds.
    let dictionary = Dictionary::default();
    let commit = store.seq()?;
    let part: Option<UpgradedPart> =
        store.read(schema::META, UPGRADED, "the progress of the upgrade")?;
    let mut from = part
        .filter(|part| part.commit == commit)
        .map_or(Vec::new(), |part| part.next);
    let mut subjects = 0;
    loop {
        watch(UpgradeProgress {
            version: 9,
            subjects,
        });
        let (mut batch, mut last, mut in_batch) = (Batch::default(), None, 0);
        let is_complete =
            store.scan_with_events(&dictionary, &from, &mut |subject, mut verdict, events| {
                if set_last_sights(&mut verdict, &events) {
                    let row = schema::encode(&verdict);
                    batch.put(schema::VERDICTS, subject.key(), row);
                }
                last = Some(subject);
                in_batch += 1;
                Ok(in_batch < batch_size)
            })?;
        subjects += in_batch as u64;
        match last.filter(|_| !is_complete) {
            None => {
                batch.delete(schema::META, UPGRADED.to_vec());
                batch.append(version_row(9));
                return store.commit(batch);
            }
            Some(last) => {
                // The first key after one is the same with a zero byte.
                from = [last.key(), vec![0]].concat();
                let next = from.clone();
                let part = schema::encode(&UpgradedPart { commit, next });
                batch.put(schema::META, UPGRADED.to_vec(), part);
                store.commit(batch)?;
            }
        }
    }
}

/// Gives the listings of a subject the times of the events that last listed them. Returns whether
/// one was listed again after it began.
fn set_last_sights(verdict: &mut Verdict, events: &[Event]) -> bool {
    let mut is_changed = false;
    for event in events {
        if let EventKind::Listed { reason, source, .. } = event.kind {
            let entries = verdict.entries.iter_mut();
            let mut listed =
                entries.filter(|e| !e.exclusion && (e.reason, e.source) == (reason, source));
            if let Some(e) = listed.next().filter(|e| e.seen < event.at) {
                e.seen = event.at;
                is_changed = true;
            }
        }
    }
    is_changed
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
