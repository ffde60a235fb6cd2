//! The settings of listings by generic reverse names.

use crate::{
    generic_names::{AllowList, NameConfidence},
    model::{Subject, time::Seconds},
};

/// The most addresses of all ranges together. At five look-ups a second, one pass through them takes
/// two and a half days.
pub const MAX_RANGE_ADDRESSES: u64 = 1 << 20;

/// `[generic_names]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenericNameSettings {
    /// The reason of the listings; empty: no names are looked up.
    pub reason: String,
    /// The least confidence with which a name is listed.
    pub min_confidence: NameConfidence,
    /// The ranges whose addresses are looked up.
    pub ranges: Vec<Subject>,
    /// Whether the hosts are looked up that people, relay tests and traps have listed.
    pub listed_hosts: bool,
    /// Whether addresses are looked up that mail servers have asked about, by the sample of queries.
    pub queried_hosts: bool,
    /// The addresses and names that are never listed.
    pub allow: AllowList,
    /// The most candidates that wait for a look-up.
    pub max_queue: usize,
    /// The most addresses that are listed.
    pub max_listed: usize,
    /// How long after a look-up that differs from the listing the next one has to find the same.
    pub confirm_after: Seconds,
    /// After how long, at the latest, the name of a listed address is looked up again.
    pub recheck: Seconds,
    /// Special-purpose ranges that may be listed.
    pub special: Vec<Subject>,
}

impl Default for GenericNameSettings {
    fn default() -> GenericNameSettings {
        GenericNameSettings {
            reason: String::new(),
            min_confidence: NameConfidence::default(),
            ranges: Vec::new(),
            listed_hosts: true,
            queried_hosts: false,
            allow: AllowList::default(),
            max_queue: 10_000,
            max_listed: 500_000,
            confirm_after: Seconds(600),
            recheck: Seconds(86_400),
            special: Vec::new(),
        }
    }
}

impl GenericNameSettings {
    /// Whether names are looked up.
    pub fn is_enabled(&self) -> bool {
        !self.reason.is_empty()
    }
}
