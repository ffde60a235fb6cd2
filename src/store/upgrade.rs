//! Upgrades of stores from older versions to the current one, one step for each version. The test
//! fixtures contain a store of each older version.

use serde::{Deserialize, Serialize};

use super::{Batch, Result, Store, StoreError, damaged, schema};
use crate::model::{Mask, Time};

/// Upgrades a store of version `from`.
///
/// # Errors
///
/// The version is newer than this program's, or the store cannot be read or written.
pub fn run(store: &Store, from: u32) -> Result<()> {
    match from {
        schema::VERSION => Ok(()),
        1 => sources_with_masks(store).and_then(|()| run(store, 2)),
        2 => sources_that_follow(store).and_then(|()| run(store, 3)),
        3 => sources_that_keep(store).and_then(|()| run(store, 4)),
        4 => relay_tests(store).and_then(|()| run(store, 5)),
        5 => notes_of_entries(store),
        v if v > schema::VERSION => Err(StoreError::Newer(v)),
        v => Err(StoreError::Damaged(format!(
            "its version {v} was never released"
        ))),
    }
}

/// A source's record in version 1.
#[derive(Deserialize)]
struct Source1 {
    name: String,
    feed: bool,
    generation: u32,
    next: u32,
    dead: Vec<u32>,
    refreshed: Time,
    expires: Option<Time>,
}

/// A source's record in version 2.
#[derive(Serialize, Deserialize)]
struct Source2 {
    name: String,
    feed: bool,
    generation: u32,
    next: u32,
    dead: Vec<u32>,
    refreshed: Time,
    expires: Option<Time>,
    masks: [Mask; 2],
    ends: Vec<Time>,
}

/// A source's record in version 3.
#[derive(Serialize, Deserialize)]
struct Source3 {
    name: String,
    feed: bool,
    generation: u32,
    next: u32,
    dead: Vec<u32>,
    refreshed: Time,
    expires: Option<Time>,
    masks: [Mask; 2],
    ends: Vec<Time>,
    followed: Option<schema::Followed>,
}

/// 1 to 2: records of sources get their reasons and ends, and commits in the journal the serials
/// before them. The journal is removed, so a transfer across the upgrade is an AXFR.
fn sources_with_masks(store: &Store) -> Result<()> {
    let old = store
        .get(schema::META, b"sources")?
        .ok_or_else(|| damaged("the sources"))?;
    let old: Vec<Source1> = schema::decode(&old).ok_or_else(|| damaged("the sources"))?;
    let new = old.into_iter().map(|s| Source2 {
        name: s.name,
        feed: s.feed,
        generation: s.generation,
        next: s.next,
        dead: s.dead,
        refreshed: s.refreshed,
        expires: s.expires,
        // Its reasons are not known, so its end will change the serials of all zones.
        masks: if s.generation > 0 {
            [Mask::MAX; 2]
        } else {
            [0; 2]
        },
        ends: Vec::new(),
    });
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        b"sources".to_vec(),
        schema::encode(&new.collect::<Vec<_>>()),
    );
    batch.delete_range(schema::JOURNAL, vec![], vec![u8::MAX; 9]);
    batch.put(
        schema::META,
        b"version".to_vec(),
        2u32.to_be_bytes().to_vec(),
    );
    store.commit(batch)
}

/// 2 to 3: records of sources get the zone that the source follows. No source follows one yet.
fn sources_that_follow(store: &Store) -> Result<()> {
    let old = store
        .get(schema::META, b"sources")?
        .ok_or_else(|| damaged("the sources"))?;
    let old: Vec<Source2> = schema::decode(&old).ok_or_else(|| damaged("the sources"))?;
    let new = old.into_iter().map(|s| Source3 {
        name: s.name,
        feed: s.feed,
        generation: s.generation,
        next: s.next,
        dead: s.dead,
        refreshed: s.refreshed,
        expires: s.expires,
        masks: s.masks,
        ends: s.ends,
        followed: None,
    });
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        b"sources".to_vec(),
        schema::encode(&new.collect::<Vec<_>>()),
    );
    batch.put(
        schema::META,
        b"version".to_vec(),
        3u32.to_be_bytes().to_vec(),
    );
    store.commit(batch)
}

/// 3 to 4: records of sources get the rows that the last large import replaced. No source has any
/// yet; other new data is in new families.
fn sources_that_keep(store: &Store) -> Result<()> {
    let old = store
        .get(schema::META, b"sources")?
        .ok_or_else(|| damaged("the sources"))?;
    let old: Vec<Source3> = schema::decode(&old).ok_or_else(|| damaged("the sources"))?;
    let new = old.into_iter().map(|s| schema::SourceRecord {
        name: s.name,
        feed: s.feed,
        generation: s.generation,
        next: s.next,
        dead: s.dead,
        refreshed: s.refreshed,
        expires: s.expires,
        masks: s.masks,
        ends: s.ends,
        followed: s.followed,
        kept: None,
    });
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        b"sources".to_vec(),
        schema::encode(&new.collect::<Vec<_>>()),
    );
    batch.put(
        schema::META,
        b"version".to_vec(),
        4u32.to_be_bytes().to_vec(),
    );
    store.commit(batch)
}

/// 4 to 5: there is a new, empty family for relay tests.
fn relay_tests(store: &Store) -> Result<()> {
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        b"version".to_vec(),
        5u32.to_be_bytes().to_vec(),
    );
    store.commit(batch)
}

/// 5 to 6: rows of feeds can have notes, and sources the shape of their last list. There are none
/// yet.
fn notes_of_entries(store: &Store) -> Result<()> {
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        b"version".to_vec(),
        6u32.to_be_bytes().to_vec(),
    );
    store.commit(batch)
}
