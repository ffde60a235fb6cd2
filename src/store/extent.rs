//! How much a source lists: its entries, and the addresses that they cover.

use serde::{Deserialize, Serialize};

/// How much a source lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Listed subjects: addresses, prefixes and names.
    pub entries: u64,
    /// Of these, names.
    pub names: u64,
    /// Covered IPv4 addresses, without those that an exclusion takes out.
    pub ipv4: u64,
    /// Covered IPv6 networks of 64 bits, without those that an exclusion takes out.
    pub ipv6: u64,
    /// The length of the widest listed IPv4 prefix; `None` without any.
    pub widest4: Option<u8>,
    /// The length of the widest listed IPv6 prefix; `None` without any.
    pub widest6: Option<u8>,
}

impl Extent {
    /// The larger value of each count.
    pub fn max(self, other: Extent) -> Extent {
        let wider = |a: Option<u8>, b: Option<u8>| a.into_iter().chain(b).min();
        Extent {
            entries: self.entries.max(other.entries),
            names: self.names.max(other.names),
            ipv4: self.ipv4.max(other.ipv4),
            ipv6: self.ipv6.max(other.ipv6),
            widest4: wider(self.widest4, other.widest4),
            widest6: wider(self.widest6, other.widest6),
        }
    }

    /// Listed addresses and prefixes.
    pub fn addresses(&self) -> u64 {
        self.entries - self.names
    }
}

/// What a source lists before and after an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extents {
    /// Before it.
    pub before: Extent,
    /// After it.
    pub after: Extent,
    /// IPv4 subjects that are listed before it only.
    pub gone4: u64,
    /// IPv6 subjects that are listed before it only.
    pub gone6: u64,
    /// Names that are listed before it only.
    pub gone_names: u64,
}

impl Extents {
    /// Subjects that are listed before it only.
    pub fn gone(&self) -> u64 {
        self.gone4 + self.gone6 + self.gone_names
    }
}
