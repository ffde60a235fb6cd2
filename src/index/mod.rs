//! The tables from which queries are answered, prepared zones, and the pointer that is swapped when
//! they change.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{Keys, Serial};

pub mod build;
mod column;
mod cover;
pub mod delegation;
pub mod derive;
pub mod difference;
mod entries;
mod families;
pub mod find;
mod fnv;
pub mod image;
pub mod ip4;
mod ip4_update;
pub mod ip6;
pub mod listing;
mod login_find;
mod login_set;
pub mod logins;
pub mod name_leaf;
pub mod names;
mod parts;
mod prefetch;
pub mod prefix_cover;
mod pvec;
pub mod records;
pub mod render;
pub mod rows;
pub mod rrsets;
mod space;
#[cfg(test)]
mod tests;
mod tree;
pub mod values;
pub mod widen;
mod zone_set;
pub mod zones;

#[cfg(test)]
pub(crate) use tests::{HASH, MASKS, any_facts, any_world, apply, names, test_zone};

pub use build::{Builder, Changes, Tables};
pub use delegation::MissingAddress;
pub use families::Families;
pub use find::{Asked, Found, find};
pub use listing::{Items, Listing, Where};
pub use logins::{LoginTable, LoginView};
pub use prefetch::Prefetch;
pub use values::{Interned, RawFact, RawFacts};
pub use zone_set::ZoneSet;
pub use zones::ZoneView;

/// The state from which an answer is made. It does not change after it is published.
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
    /// False if the store cannot be trusted: every query gets SERVFAIL.
    pub sound: bool,
    /// The name of this server in answers to NSID (RFC 5001); empty for none.
    pub nsid: Arc<str>,
    /// The TSIG keys of requests.
    pub keys: Arc<Keys>,
}

/// The current state of a kind, such as the snapshot. Readers load it without a lock; the writer
/// replaces it.
///
/// Replaced states are kept until no reader has them and then freed by the writer: freeing a large
/// one takes time that no query should spend.
#[derive(Debug, Default)]
pub struct Published<T = Snapshot> {
    current: arc_swap::ArcSwap<T>,
    /// Only the writer uses it. Its length is at most one more than the number of readers that hold
    /// one.
    old: Mutex<Vec<Arc<T>>>,
}

impl<T> Published<T> {
    /// Starts with a state.
    pub fn new(first: T) -> Published<T> {
        Published {
            current: arc_swap::ArcSwap::from_pointee(first),
            old: Mutex::default(),
        }
    }

    /// The current state, for a batch of queries.
    pub fn load(&self) -> arc_swap::Guard<Arc<T>> {
        self.current.load()
    }

    /// The current state, to keep.
    pub fn snapshot(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Publishes `next`: every later query is answered from it. [`Published::sweep`] frees the
    /// replaced one.
    pub fn replace(&self, next: T) {
        let old = self.current.swap(Arc::new(next));
        self.old.lock().push(old);
    }

    /// Frees replaced states that no reader has any more. The writer calls it after it has
    /// published, and at intervals.
    pub fn sweep(&self) {
        // No reader can get a replaced state anew, so a count of one stays one.
        let mut old = self.old.lock();
        old.retain(|s| Arc::strong_count(s) > 1);
    }
}
