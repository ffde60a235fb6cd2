//! The public pages about the lists: how to use them, their policy, and their state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ListQualityResponse, PublicNoticeResponse, RemovalPoliciesResponse, Timestamp};
use crate::{
    model::{ZoneKind, zone::Recommendation},
    recipes::Purpose,
    tickets::RemovalPolicy,
};

/// A code of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListCodeResponse {
    /// The A record.
    #[schema(example = "127.0.0.2")]
    pub code: String,
    /// The reason, or the reasons as `a and b` or `a or b`.
    pub reason: String,
    /// Which listings are published together; absent: all for the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "relay and spamsource, listed by at least 2 sources")]
    pub rule: Option<String>,
    /// The TXT record; `$` stands for the subject.
    pub text: String,
    /// For how many seconds a subject is listed if nothing renews the listing; null if listings do
    /// not end by themselves.
    pub lifetime_seconds: Option<u64>,
}

/// A part of a recipe: a text for one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecipePartResponse {
    /// What the part is for.
    pub purpose: Purpose,
    /// The file, as the program's documentation names it.
    pub file: String,
    /// The text to put into the file.
    pub text: String,
}

/// The settings with which one program uses a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecipeResponse {
    /// The name of the recipe.
    pub id: String,
    /// The name of the program.
    pub program: String,
    /// The parts, in order.
    pub parts: Vec<RecipePartResponse>,
}

/// The test points of a list (RFC 5782 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestPointsResponse {
    /// The subject that is always listed, with all codes.
    pub listed: String,
    /// The name of its records.
    pub listed_name: String,
    /// The subject that is never listed.
    pub unlisted: String,
    /// The name that does not exist as long as the list works.
    pub unlisted_name: String,
}

/// A list, for those who use it or want to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListResponse {
    /// The name of the zone.
    pub zone: String,
    /// Its short name.
    pub alias: String,
    /// What the names in the zone stand for.
    pub kind: ZoneKind,
    /// What the list is for; empty if only its codes say so.
    pub use_for: String,
    /// What the list is not for; empty if nothing but the general advice applies.
    pub not_for: String,
    /// What is listed and when, besides the criteria of the reasons.
    pub criteria: String,
    /// How receivers are advised to use the list.
    pub recommended: Recommendation,
    /// The codes, the most serious first.
    pub codes: Vec<ListCodeResponse>,
    /// Whether the last octet of a code is a bit mask.
    pub bitmask: bool,
    /// The TTLs in seconds: the longest of listed names, those of names that do not exist, and of
    /// names without records.
    pub ttls: [u32; 3],
    /// The address to write to about the list.
    pub contact: String,
    /// The test points.
    pub test_points: TestPointsResponse,
    /// Whether every client may query the list.
    pub open: bool,
    /// When the list ends; null if no end is announced.
    pub ends: Option<Timestamp>,
    /// The settings of programs that use the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<RecipeResponse>,
}

/// A published reason, with its meaning in all lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedReasonPolicyResponse {
    /// The reason.
    pub reason: String,
    /// The TXT record; `$` stands for the subject.
    pub text: String,
    /// For how many seconds a subject is listed if nothing renews the listing; null if listings do
    /// not end by themselves.
    pub lifetime_seconds: Option<u64>,
    /// The lists that publish it, each with its code.
    pub lists: Vec<ReasonListResponse>,
    /// How listings for it are removed.
    pub policy: RemovalPolicy,
    /// Whether control of the subject has to be proved before a removal.
    pub proof_required: bool,
    /// Whether a person has to approve each listing.
    pub approved: bool,
}

/// A list that publishes a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonListResponse {
    /// The name of the zone.
    pub zone: String,
    /// The short name of the zone.
    pub alias: String,
    /// The code.
    pub code: String,
}

/// The policy of the lists (RFC 6471 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyResponse {
    /// The lists.
    pub lists: Vec<ListResponse>,
    /// The published reasons.
    pub reasons: Vec<PublishedReasonPolicyResponse>,
    /// How listings are removed.
    pub removal: RemovalPoliciesResponse,
    /// The special-purpose ranges that may be listed; all others never are.
    pub special_ranges: Vec<String>,
    /// Whether the server tests mail servers for open relays.
    pub tests_relays: bool,
    /// The mail address about relay tests; empty if there is none.
    pub test_contact: String,
    /// The figures of each list that were counted last; none until they are counted.
    pub quality: Vec<ListQualityResponse>,
}

/// The figures of a list for a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListDayResponse {
    /// The first second of the day, in UTC.
    pub day: Timestamp,
    /// How many entries the list published, as they were last counted on that day; null if they
    /// were not counted.
    pub entries: Option<u64>,
    /// How many subjects the list began to publish.
    pub listed: u64,
    /// How many subjects the list ceased to publish: they were removed, or their listing ended.
    pub delisted: u64,
}

/// The state of a list and of its mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListStatusResponse {
    /// The name of the zone.
    pub zone: String,
    /// Its short name.
    pub alias: String,
    /// The serial.
    pub serial: u32,
    /// When the zone got this serial; null if that was before the last 64 commits.
    pub changed: Option<Timestamp>,
    /// For how many seconds the zone has had this serial; null like `changed`.
    pub age_seconds: Option<u64>,
    /// How many entries the zone publishes; null until they are counted.
    pub entries: Option<u64>,
    /// The figures of the last 30 days, the oldest first and today last. Days on which the server
    /// did not run are missing.
    pub days: Vec<ListDayResponse>,
    /// How many mirrors are configured.
    pub mirrors: usize,
    /// How many of them are known to have this serial.
    pub current_mirrors: usize,
    /// For how many seconds the slowest of them has lacked a serial; null if none is behind.
    pub lag_seconds: Option<u64>,
    /// When the list ends; null if no end is announced.
    pub ends: Option<Timestamp>,
}

/// The public state of the lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicStatusResponse {
    /// Whether the lists are answered and kept current.
    pub up: bool,
    /// The time of the server.
    pub now: Timestamp,
    /// When the server started.
    pub started: Timestamp,
    /// The lists.
    pub lists: Vec<ListStatusResponse>,
    /// How many subjects were delisted by a decision in the last 30 days; null until they are
    /// counted.
    pub removals_30_days: Option<u64>,
    /// When entries and removals were counted; null until then.
    pub counted: Option<Timestamp>,
    /// The current and planned notices.
    pub notices: Vec<PublicNoticeResponse>,
}
