//! Proposals: listings that wait for the approval of another person.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;

/// Query parameters of `GET /v1/proposals`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProposalsQuery {
    /// Only the proposals of this author.
    pub author: Option<String>,
}

/// A listing that waits for the approval of another person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProposalResponse {
    /// The ID of the proposal.
    pub id: String,
    /// When the proposal was made.
    pub at: Timestamp,
    /// Who made the proposal.
    pub author: String,
    /// The subject to list.
    pub subject: String,
    /// The reason.
    pub reason: String,
    /// The source.
    pub source: String,
    /// When the listing expires; null: after the lifetime of its reason.
    pub until: Option<Timestamp>,
    /// The text of this listing, instead of that of its reason.
    pub text: Option<String>,
    /// The note of the author, such as what was observed.
    pub note: Option<String>,
}

/// Query parameters of `DELETE /v1/proposals`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProposalDeletionQuery {
    /// Delete all proposals of this author that the caller may decide about.
    pub author: String,
}

/// How many proposals were deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalDeletionResponse {
    /// The author of the proposals.
    pub author: String,
    /// How many proposals were deleted.
    pub deleted: usize,
}
