//! The extent of a source: its entries, and the addresses that they cover.

use serde::{Deserialize, Serialize};

/// The extent of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Listed subjects: addresses, prefixes and names.
    pub entries: u64,
    /// The entries that are names.
    pub names: u64,
    /// Covered IPv4 addresses, without excluded ones.
    pub ipv4: u64,
    /// Covered IPv6 networks of 64 bits, without excluded ones.
    pub ipv6: u64,
    /// The length of the widest listed IPv4 prefix; `None` if none is listed.
    pub widest4: Option<u8>,
    /// The length of the widest listed IPv6 prefix; `None` if none is listed.
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

/// The extent of a source before and after an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extents {
    /// Before the import.
    pub before: Extent,
    /// After the import.
    pub after: Extent,
    /// IPv4 subjects that are no longer listed after the import.
    pub gone4: u64,
    /// IPv6 subjects that are no longer listed after the import.
    pub gone6: u64,
    /// Names that are no longer listed after the import.
    pub gone_names: u64,
}

impl Extents {
    /// Subjects that are no longer listed after the import.
    pub fn gone(&self) -> u64 {
        self.gone4 + self.gone6 + self.gone_names
    }
}
