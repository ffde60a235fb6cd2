//! Feeds: how they are refreshed, and what people decide about lists that a guard stopped.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DifferenceResponse, ReceiptResponse, Timestamp};
use crate::{
    ledger::{guard::Guard, held::HeldList},
    model::time::Seconds,
    store::extent::Extent,
};

/// How a feed gets its list.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FeedKind {
    /// The feed reads a file.
    #[default]
    File,
    /// The feed transfers a zone.
    Axfr,
    /// The feed follows the rows of another orbsd.
    Orbsd,
}

impl FeedKind {
    /// The kind as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A feed, and how it is refreshed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedResponse {
    /// The name of the feed, which is its source.
    pub feed: String,
    /// The title of the list for the public; absent if it is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The publisher's look-up page, with `{}` for the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup_url: Option<String>,
    /// The publisher's page about removals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal_url: Option<String>,
    /// How the feed gets its list.
    pub kind: FeedKind,
    /// Where the list comes from: the file, or the zone and its server.
    pub from: String,
    /// The serial of the zone from which its listings are made.
    pub serial: Option<u32>,
    /// When the file or the server was last checked.
    pub checked: Option<Timestamp>,
    /// When a check last succeeded.
    pub refreshed: Option<Timestamp>,
    /// How the listings last changed: by the `whole` list, by its `changes`, or `remade` from the
    /// data that was already here.
    pub how: Option<String>,
    /// When the file or the server is checked next; null while it is being checked.
    pub next: Option<Timestamp>,
    /// Why the last check failed, and what to do.
    pub problem: Option<String>,
    /// How many rows of another orbsd were left out since the start, because they had passed
    /// through this server before, or through too many servers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub looped: u64,
    /// A remark for operators.
    pub note: Option<String>,
    /// The list that a guard stopped; null if none is held.
    pub held: Option<HeldListResponse>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The guard that stopped a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardKind {
    /// Too many entries or addresses would be removed.
    Shrink,
    /// Too many entries would be added.
    Growth,
}

impl From<Guard> for GuardKind {
    fn from(guard: Guard) -> GuardKind {
        match guard {
            Guard::Shrink => GuardKind::Shrink,
            Guard::Growth => GuardKind::Growth,
        }
    }
}

/// How much a source lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExtentResponse {
    /// The number of listed subjects: addresses, prefixes and names.
    pub entries: u64,
    /// How many of them are names.
    pub names: u64,
    /// The number of IPv4 addresses that are covered.
    pub ipv4: u64,
    /// The number of IPv6 networks of 64 bits that are covered.
    pub ipv6: u64,
}

impl From<Extent> for ExtentResponse {
    fn from(e: Extent) -> ExtentResponse {
        ExtentResponse {
            entries: e.entries,
            names: e.names,
            ipv4: e.ipv4,
            ipv6: e.ipv6,
        }
    }
}

/// A list of a feed that a guard stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldListResponse {
    /// Since when the feed has brought lists that the guard stops.
    pub since: Timestamp,
    /// When such a list is accepted without a person, if the feed continues to bring them; null for
    /// a list that a person refused.
    pub accepted_after: Option<Timestamp>,
    /// How many such lists came after the first.
    pub refreshes: u32,
    /// True if a person refused the list: it is ignored until the file changes.
    pub refused: bool,
    /// The guard that stopped the list.
    pub guard: GuardKind,
    /// The limit that the list exceeds, in words.
    pub limit: String,
    /// What the source lists now.
    pub before: ExtentResponse,
    /// What the source would list.
    pub after: ExtentResponse,
    /// What would change, with samples.
    pub difference: DifferenceResponse,
}

impl HeldListResponse {
    /// Creates the response for a held list; `wait` is how long a feed has to bring such lists
    /// before one is accepted without a person.
    pub fn new(held: &HeldList, wait: Seconds) -> HeldListResponse {
        let accepted_after = (!held.refused).then(|| held.since.plus(wait).into());
        HeldListResponse {
            since: held.since.into(),
            accepted_after,
            refreshes: held.refreshes,
            refused: held.refused,
            guard: held.trip.guard.into(),
            limit: held.trip.reason.clone(),
            before: held.trip.extents.before.into(),
            after: held.trip.extents.after.into(),
            difference: held.trip.difference.clone().into(),
        }
    }
}

/// What a person decided about a held list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeedDecision {
    /// The list was imported.
    Accepted,
    /// The old list stays until the file changes.
    Refused,
}

/// The decision about a held list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedDecisionResponse {
    /// The name of the feed.
    pub feed: String,
    /// What was decided.
    pub decision: FeedDecision,
    /// The commit of an accepted list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptResponse>,
    /// What an accepted list changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DifferenceResponse>,
}

/// The result of a reset: the next list of the source may have another shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceResetResponse {
    /// The name of the source.
    pub source: String,
    /// Always true: the shape of the last list is forgotten.
    pub reset: bool,
}
