//! What answers come from: compiled tables, ready zones, and the pointer that is swapped when they change.

use std::sync::Arc;

use crate::model::Serial;

pub mod build;
mod cover;
pub mod find;
pub mod image;
pub mod ip4;
mod ip4_update;
pub mod pieces;
mod pvec;
pub mod render;
mod space;
#[cfg(test)]
mod tests;
pub mod trie;
pub mod values;
pub mod zones;

pub use build::{Builder, Changes, Tables};
pub use find::{Asked, Found, Listing, Where, find};
pub use space::Items;
pub use values::{RawFact, RawFacts};
pub use zones::{ZoneSet, ZoneView};

/// Everything an answer is made from, at one moment. Never changes once it is published.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The tables.
    pub tables: Tables,
    /// The zones.
    pub zones: Arc<ZoneSet>,
    /// The zones' serials, in the zones' order.
    pub serials: Arc<[Serial]>,
    /// The number of the last commit in it.
    pub seq: u64,
    /// False where the store can not be trusted: every query gets SERVFAIL.
    pub sound: bool,
    /// The name this server gives itself for NSID (RFC 5001); empty for none.
    pub nsid: Arc<str>,
}

/// The current snapshot. Readers load it without a lock; the writer replaces it.
#[derive(Debug, Default)]
pub struct Published(arc_swap::ArcSwap<Snapshot>);

impl Published {
    /// Starts with a snapshot.
    pub fn new(first: Snapshot) -> Published {
        Published(arc_swap::ArcSwap::from_pointee(first))
    }

    /// The current snapshot, for a batch of queries.
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// The current snapshot, to keep.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Every query from now on is answered from `next`.
    pub fn replace(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}
