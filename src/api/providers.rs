//! Providers: who proves a dynamic range and edits it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::dynamic_ranges::{EditAction, ProviderState};

/// The page on which providers ask for a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvidersPageResponse {
    /// The reason for which ranges are listed; null if this server accepts none.
    pub reason: Option<String>,
    /// The zones that publish the reason.
    pub zones: Vec<String>,
    /// The most ranges and hosts of one provider.
    pub max_entries: usize,
}

/// A request for a range.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"range": "45.51.100.0/22"}))]
pub struct ProviderRequest {
    /// The range, of several addresses; at most a /16, or a /32 of IPv6.
    pub range: String,
}

/// An edit of a provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "take-out", "subject": "45.51.100.25"}))]
pub struct ProviderEditRequest {
    /// What to do.
    pub action: EditAction,
    /// The range to add or remove, or the single host to take out or put back.
    pub subject: String,
}

/// The undo of an edit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"edit": 3}))]
pub struct ProviderUndoRequest {
    /// The number of the edit.
    pub edit: u64,
}

/// A range that a provider has listed, or a host that it has taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvidedEntryResponse {
    /// The range or host.
    pub subject: String,
    /// When a provider of the range edited it last.
    pub at: Timestamp,
    /// When it ends, unless the record of the provider is found before, which renews it.
    pub until: Timestamp,
}

/// An edit of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderEditResponse {
    /// The number, which counts the edits of the provider.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What it did.
    pub action: EditAction,
    /// The range or host.
    pub subject: String,
    /// The edit that it undid.
    pub reverts: Option<u64>,
    /// The edit that undid it.
    pub reverted_by: Option<u64>,
}

/// A provider with its range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderResponse {
    /// The number, by which operators and the history name the provider.
    pub number: u64,
    /// The range.
    pub range: String,
    /// The state.
    pub state: ProviderState,
    /// When the range was requested.
    pub opened: Timestamp,
    /// The names at which the TXT record has to be: at all of them. Empty before they were looked
    /// up.
    pub record_names: Vec<String>,
    /// When the record was last found.
    pub proved_at: Option<Timestamp>,
    /// Until when the provider can edit, unless the record is found before.
    pub proved_until: Option<Timestamp>,
    /// When the record was last looked up.
    pub checked_at: Option<Timestamp>,
    /// Why the last look-up did not find it.
    pub problem: Option<String>,
    /// The ranges that are listed.
    pub ranges: Vec<ProvidedEntryResponse>,
    /// The hosts that are taken out.
    pub hosts: Vec<ProvidedEntryResponse>,
    /// The last edits, the newest first.
    pub edits: Vec<ProviderEditResponse>,
    /// When an operator ended its edits.
    pub removed_at: Option<Timestamp>,
}

/// A provider, as its own page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderPageResponse {
    /// The path of the page, which is the only key to it.
    pub path: String,
    /// The text of the TXT record.
    pub record_text: String,
    /// The provider.
    #[serde(flatten)]
    pub provider: ProviderResponse,
}

/// A provider in the list of operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderSummaryResponse {
    /// The number.
    pub number: u64,
    /// The range.
    pub range: String,
    /// The state.
    pub state: ProviderState,
    /// When the range was requested.
    pub opened: Timestamp,
    /// When the record was last found.
    pub proved_at: Option<Timestamp>,
    /// How many edits the provider has made.
    pub edits: u64,
}

/// A provider, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderDetailResponse {
    /// The author of its edits, in the history and the audit log.
    pub author: String,
    /// Which operator ended its edits.
    pub removed_by: Option<String>,
    /// The provider.
    #[serde(flatten)]
    pub provider: ProviderResponse,
}

/// Query parameters of `GET /v1/providers`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProvidersQuery {
    /// Only providers in this state.
    pub state: Option<ProviderState>,
}

/// Query parameters of `DELETE /v1/providers/{number}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProviderRemovalQuery {
    /// Whether what the providers of the range have listed and taken out stays until its end.
    pub keep: bool,
}
