//! The numbers of addresses that two lists cover.

use serde::{Deserialize, Serialize};

/// Addresses that two lists cover, each counted once. Numbers of IPv6 addresses can be too large for
/// a number in JSON, so they are decimal texts there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Addresses that the other list covers.
    #[serde(with = "decimal")]
    pub theirs: u128,
    /// Addresses that our list covers.
    #[serde(with = "decimal")]
    pub ours: u128,
    /// Addresses that both cover.
    #[serde(with = "decimal")]
    pub both: u128,
}

impl Coverage {
    /// Counts addresses that the other list has, and ours, or not.
    pub(super) fn add(&mut self, addresses: u128, [theirs, ours]: [bool; 2]) {
        for (count, is_counted) in [
            (&mut self.theirs, theirs),
            (&mut self.ours, ours),
            (&mut self.both, theirs && ours),
        ] {
            if is_counted {
                *count = count.saturating_add(addresses);
            }
        }
    }

    /// Addresses that only the other list covers.
    pub fn only_theirs(&self) -> u128 {
        self.theirs - self.both
    }

    /// Addresses that only our list covers.
    pub fn only_ours(&self) -> u128 {
        self.ours - self.both
    }
}

mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    // The signature is that of `serde(with)`.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(super) fn serialize<S: Serializer>(n: &u128, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(n)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u128, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
