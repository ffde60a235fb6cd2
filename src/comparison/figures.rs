//! The figures of a comparison: numbers of entries, and shares with what they are shares of.

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;

/// Numbers of entries of two lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub struct ComparisonCounts {
    /// Entries of the other list.
    pub theirs: u64,
    /// Entries of our list.
    pub ours: u64,
    /// Entries of the other list that our list has as a whole.
    pub both: u64,
    /// Entries of the other list that our list does not have as a whole.
    pub only_theirs: u64,
    /// Those of `only_theirs` of which our list has a part.
    pub partly_ours: u64,
    /// Entries of our list that the other list does not have as a whole.
    pub only_ours: u64,
    /// Those of `only_theirs` that tests found open.
    pub tested_open: u64,
    /// Those of `only_theirs` that tests found closed.
    pub tested_closed: u64,
    /// Those of `only_theirs` that were not tested.
    pub untested: u64,
}

impl ComparisonCounts {
    /// Those of [`ComparisonCounts::only_theirs`] that were tested.
    pub fn tested(&self) -> u64 {
        self.tested_open + self.tested_closed
    }

    fn plus(self, other: ComparisonCounts) -> ComparisonCounts {
        ComparisonCounts {
            theirs: self.theirs + other.theirs,
            ours: self.ours + other.ours,
            both: self.both + other.both,
            only_theirs: self.only_theirs + other.only_theirs,
            partly_ours: self.partly_ours + other.partly_ours,
            only_ours: self.only_ours + other.only_ours,
            tested_open: self.tested_open + other.tested_open,
            tested_closed: self.tested_closed + other.tested_closed,
            untested: self.untested + other.untested,
        }
    }
}

/// The figures of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparisonFigures {
    /// Entries that are IPv4 addresses or prefixes.
    pub ipv4: ComparisonCounts,
    /// Entries that are IPv6 addresses or prefixes.
    pub ipv6: ComparisonCounts,
    /// Entries that are names.
    pub names: ComparisonCounts,
    /// Covered IPv4 addresses.
    pub ipv4_addresses: Coverage,
    /// Covered IPv6 addresses.
    pub ipv6_addresses: Coverage,
}

/// A set of entries: the whole of a share, or its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryGroup {
    /// All entries of the other list.
    Theirs,
    /// All entries of our list.
    Ours,
    /// Entries of the other list that our list has too.
    Both,
    /// Entries that only the other list has.
    OnlyTheirs,
    /// Entries that only our list has.
    OnlyOurs,
    /// Entries that only the other list has and that were tested.
    Tested,
    /// Those that were found open.
    TestedOpen,
    /// Those that were found closed.
    TestedClosed,
}

impl EntryGroup {
    fn count(self, counts: &ComparisonCounts) -> u64 {
        match self {
            EntryGroup::Theirs => counts.theirs,
            EntryGroup::Ours => counts.ours,
            EntryGroup::Both => counts.both,
            EntryGroup::OnlyTheirs => counts.only_theirs,
            EntryGroup::OnlyOurs => counts.only_ours,
            EntryGroup::Tested => counts.tested(),
            EntryGroup::TestedOpen => counts.tested_open,
            EntryGroup::TestedClosed => counts.tested_closed,
        }
    }
}

/// The shares of a comparison: each group, and the group that it is a part of.
const SHARES: [(EntryGroup, EntryGroup); 8] = [
    (EntryGroup::Both, EntryGroup::Theirs),
    (EntryGroup::OnlyTheirs, EntryGroup::Theirs),
    (EntryGroup::OnlyOurs, EntryGroup::Ours),
    (EntryGroup::Tested, EntryGroup::OnlyTheirs),
    (EntryGroup::TestedOpen, EntryGroup::Tested),
    (EntryGroup::TestedClosed, EntryGroup::Tested),
    (EntryGroup::TestedOpen, EntryGroup::Theirs),
    (EntryGroup::TestedClosed, EntryGroup::Theirs),
];

/// A share, with the numbers that it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The part.
    pub part: EntryGroup,
    /// The whole.
    pub whole: EntryGroup,
    /// The number of entries of the part.
    pub part_entries: u64,
    /// The number of entries of the whole; not zero.
    pub whole_entries: u64,
}

impl Share {
    /// The share in percent, rounded to a tenth.
    pub fn percent(&self) -> f64 {
        let (part, whole) = (self.part_entries as f64, self.whole_entries as f64);
        (1000.0 * part / whole).round() / 10.0
    }
}

impl ComparisonFigures {
    /// The entries of all kinds.
    pub fn total(&self) -> ComparisonCounts {
        self.ipv4.plus(self.ipv6).plus(self.names)
    }

    /// The shares of the entries of all kinds. One whose whole has no entries is left out.
    pub fn shares(&self) -> Vec<Share> {
        let total = self.total();
        let share = |(part, whole): (EntryGroup, EntryGroup)| Share {
            part,
            whole,
            part_entries: part.count(&total),
            whole_entries: whole.count(&total),
        };
        let all = SHARES.into_iter().map(share);
        all.filter(|s| s.whole_entries > 0).collect()
    }
}
