//! The figures of a zone or a source.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::histogram::Percentiles;
use crate::model::time::Seconds;

/// The period that figures about recent events cover.
pub const RECENT: Seconds = Seconds(30 * 86_400);

/// How well the present entries are proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofFigures {
    /// How many subjects are listed.
    pub entries: u64,
    /// How many of the entries this server has proved: by a test message that the host relayed, or
    /// by a message to a trap. A statement and a line of a list are not proofs.
    pub proved: u64,
    /// How many of the entries were last proved in the last 30 days.
    pub proved_recently: u64,
    /// The age of the last proof of the proved entries, in days; null if no entry is proved.
    pub age_days: Option<Percentiles>,
}

/// What the tests of claims showed that were decided in the last 30 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClaimFigures {
    /// Claims whose test found the host closed.
    pub closed: u64,
    /// Claims whose test found the host still open.
    pub open: u64,
    /// Claims of hosts that refused the tester.
    pub blocked: u64,
    /// Claims whose test did not decide: the host was released after the waiting period, untested,
    /// or by an operator.
    pub undecided: u64,
    /// The time from a claim to the release of the host, in seconds; null without a release.
    pub release_seconds: Option<Percentiles>,
}

/// The removals of the last 30 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalFigures {
    /// Decisions that delisted a subject: by operators, on request, and after tests. Listings that
    /// expired or that a feed dropped are not among them.
    pub removals: u64,
    /// How many of them state that the listing was an error.
    pub listed_in_error: u64,
    /// For removals on request: the time until the last public server had the removal, in seconds;
    /// null if there is none.
    pub spread_seconds: Option<Percentiles>,
    /// Removals on request that some public server is not known to have yet.
    pub spreading: u64,
}

/// The requests for removal of the last 30 days. The time does not run while the requester has to
/// prove that they control the subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestFigures {
    /// Requests, without those that the requester withdrew before an answer.
    pub requests: u64,
    /// Requests that were answered, or that are older than two days.
    pub due_2_days: u64,
    /// How many of these were answered within two days.
    pub answered_2_days: u64,
    /// Requests that were answered, or that are older than seven days.
    pub due_7_days: u64,
    /// How many of these were answered within seven days.
    pub answered_7_days: u64,
}

/// The figures of a zone or a source at the end of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QualityFigures {
    /// How well the present entries are proved.
    pub proofs: ProofFigures,
    /// What the tests of claims showed.
    pub claims: ClaimFigures,
    /// The removals.
    pub removals: RemovalFigures,
    /// The requests for removal.
    pub requests: RequestFigures,
}
