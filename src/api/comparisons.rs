//! Comparisons with other lists, and the overlap of the own sources.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use crate::comparison::ComparisonCounts;

use super::Timestamp;

/// Query parameters of `POST /v1/comparisons`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ComparisonQuery {
    /// The other list: `axfr:SERVER/ZONE` of a `[[comparison]]` table, or `source:NAME`; without it,
    /// the list is in the body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[param(example = "source:otherlist")]
    pub with: String,
    /// The short name of the other list (default: that of its table, source, zone or file).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The own zone, by origin or short name (default: that of the table, or the only zone).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// The name of our list in the names of files (default: the short name of the zone).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub us: String,
    /// The format of the list in the body (default: recognised from its content).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// The column of the subject: a name, a number from 1, or JSON keys separated by dots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The origin of a master file that does not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The data set type of an rbldnsd file, such as `ip4set`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The sub-zone of a combined rbldnsd file whose data sets are read (default `@`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subzone: Option<String>,
    /// The name of the file, for messages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
}

/// Numbers of addresses that two lists cover, as decimal numbers in texts: those of IPv6 can have 39
/// digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoverageResponse {
    /// Addresses that the other list covers.
    pub theirs: String,
    /// Addresses that our list covers.
    pub ours: String,
    /// Addresses that both cover.
    pub both: String,
    /// Addresses that only the other list covers.
    pub only_theirs: String,
    /// Addresses that only our list covers.
    pub only_ours: String,
}

/// A group of entries: the part or the whole of a share.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "kebab-case")]
pub enum EntryGroupName {
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

impl EntryGroupName {
    /// The group in a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            EntryGroupName::Theirs => "entries of the other list",
            EntryGroupName::Ours => "entries of our list",
            EntryGroupName::Both => "entries of the other list that are in ours",
            EntryGroupName::OnlyTheirs => "entries that only the other list has",
            EntryGroupName::OnlyOurs => "entries that only our list has",
            EntryGroupName::Tested => "tested entries of those that only the other list has",
            EntryGroupName::TestedOpen => {
                "entries that only the other list has and tests found open"
            }
            EntryGroupName::TestedClosed => {
                "entries that only the other list has and tests found closed"
            }
        }
    }

    /// The name of the group in the keys of texts.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A share: a part of a whole, both named and counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShareResponse {
    /// The part.
    pub part: EntryGroupName,
    /// The whole.
    pub whole: EntryGroupName,
    /// The number of entries of the part.
    pub part_entries: u64,
    /// The number of entries of the whole; not zero.
    pub whole_entries: u64,
    /// The share in percent, rounded to a tenth.
    pub percent: f64,
}

/// Entries of a network, or of a top-level domain, that only the other list has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SampleGroupResponse {
    /// The network (IPv4: a /8, IPv6: a /16) or the top-level domain.
    pub group: String,
    /// How many entries of the group only the other list has.
    pub entries: u64,
    /// Some of them.
    pub samples: Vec<String>,
}

/// A list of a comparison as a text file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComparisonFileResponse {
    /// The name: `NAMElist.txt` for the other list, `NAME-vs-US.txt` for the entries that only it
    /// has, `NAME-vs-US-ok.txt` for those of them that tests found closed.
    pub file: String,
    /// The number of entries.
    pub entries: u64,
}

/// The last comparison with another list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparisonResponse {
    /// The short name of the other list.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The page of its operator; null if none is configured.
    pub url: Option<String>,
    /// Where it came from: the name of a file, `axfr:SERVER/ZONE` or `source:NAME`; null in public,
    /// unless its entries may be published.
    pub with: Option<String>,
    /// The origin of our zone.
    pub zone: String,
    /// When the lists were compared.
    pub compared_at: Timestamp,
    /// When the other list was read.
    pub read_at: Timestamp,
    /// Whether the operator of the other list permits others to publish its entries.
    pub republish: bool,
    /// Lines of the other list that could not be read.
    pub errors: u64,
    /// The first of these errors; empty in public.
    pub problems: Vec<String>,
    /// Entries of the other list that were left out, such as test points.
    pub left_out: u64,
    /// Numbers of entries of all kinds.
    pub total: ComparisonCounts,
    /// Numbers of IPv4 addresses and prefixes.
    pub ipv4: ComparisonCounts,
    /// Numbers of IPv6 addresses and prefixes.
    pub ipv6: ComparisonCounts,
    /// Numbers of names.
    pub names: ComparisonCounts,
    /// Numbers of covered IPv4 addresses.
    pub ipv4_addresses: CoverageResponse,
    /// Numbers of covered IPv6 addresses.
    pub ipv6_addresses: CoverageResponse,
    /// The shares of `total`. A share whose whole has no entries is left out.
    pub shares: Vec<ShareResponse>,
    /// Samples of the entries that only the other list has, by network; empty in public.
    pub samples: Vec<SampleGroupResponse>,
    /// The lists as files; in public only those that may be published.
    pub files: Vec<ComparisonFileResponse>,
}

/// A source in the overlap of the own sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceOverlapResponse {
    /// The source.
    pub source: String,
    /// Its entries.
    pub entries: u64,
    /// The entries that no other source has.
    pub alone: u64,
    /// The oldest of these; null if there is none.
    pub oldest_alone: Option<AloneEntryResponse>,
    /// The oldest of these that another source had and has dropped, so that this source may never
    /// drop entries; null if none of the hundred oldest is such an entry.
    pub oldest_dropped_by_others: Option<AloneEntryResponse>,
}

/// An entry that only one source has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AloneEntryResponse {
    /// The subject.
    pub subject: String,
    /// Since when the source has it.
    pub since: Timestamp,
    /// The source that has dropped it last; null if none is known to have had it.
    pub dropped_by: Option<String>,
    /// When that source dropped it.
    pub dropped_at: Option<Timestamp>,
}

/// One side of a pair of sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairSideResponse {
    /// The source.
    pub source: String,
    /// Its entries that the other source does not have.
    pub only: u64,
    /// The entries of both that it had first.
    pub first: u64,
    /// The median of the seconds by which it had these first, right to some 6 %; null without any.
    pub median_lead: Option<u64>,
}

/// Two of the own sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairOverlapResponse {
    /// Entries that both have.
    pub both: u64,
    /// Entries that both have since the same second.
    pub same_time: u64,
    /// The two sources.
    pub sides: [PairSideResponse; 2],
}

/// The overlap of the own sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OverlapResponse {
    /// The sources that have entries, by name.
    pub sources: Vec<SourceOverlapResponse>,
    /// All pairs of them.
    pub pairs: Vec<PairOverlapResponse>,
}
