//! Look-ups of a subject: everything with its history for operators, the public part for every
//! client.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    BlockedClaimResponse, EventResponse, ExemptionResponse, HoldResponse, ListingResponse,
    Timestamp,
};

/// An export format that leaves a name out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OmittedExportResponse {
    /// The format of `orbsd export`.
    pub format: String,
    /// Why a file of this format does not have the name.
    pub cause: String,
}

/// What a zone answers for a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubjectZoneResponse {
    /// The zone.
    pub zone: String,
    /// The A records; empty if the subject is not listed there.
    pub codes: Vec<String>,
    /// The TXT records.
    pub texts: Vec<String>,
    /// Why no client can query this zone for the name; absent if clients can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_asked: Option<String>,
    /// The export formats that leave the name out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_exported: Vec<OmittedExportResponse>,
}

/// A wider subject that covers the subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoverResponse {
    /// The wider subject.
    pub subject: String,
    /// The listings of the wider subject.
    pub entries: Vec<ListingResponse>,
    /// Whether the wider subject is exempt.
    pub exempt: bool,
}

/// Everything that is known about a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubjectResponse {
    /// The subject.
    pub subject: String,
    /// Whether a zone lists it.
    pub listed: bool,
    /// The listings of the subject.
    pub entries: Vec<ListingResponse>,
    /// The exemption of the subject; null if there is none.
    pub exempt: Option<ExemptionResponse>,
    /// The holds of the subject.
    pub holds: Vec<HoldResponse>,
    /// The wider subjects that cover the subject.
    pub covered_by: Vec<CoverResponse>,
    /// What each zone answers.
    pub zones: Vec<SubjectZoneResponse>,
    /// The history of the subject, the oldest event first.
    pub history: Vec<EventResponse>,
    /// The revision of the subject, for `If-Match`.
    pub revision: String,
}

/// Query parameters of the public look-up. Without any, the address of the client is looked up.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct LookupQuery {
    /// An address, a prefix or a domain.
    #[param(example = "192.0.2.1")]
    pub subject: Option<String>,
    /// The same as `subject`, under the name that earlier look-up pages used.
    pub ip: Option<String>,
}

/// Why a zone lists a subject: the public part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookupReasonResponse {
    /// The reason.
    pub reason: String,
    /// The listed subject: the one that was looked up, or one that covers it.
    pub listed: String,
    /// When the listing began.
    pub since: Timestamp,
    /// When the listing expires, if that is known.
    pub until: Option<Timestamp>,
}

/// A zone that lists the subject: the public part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookupZoneResponse {
    /// The zone.
    pub zone: String,
    /// The A records that mail servers see.
    pub codes: Vec<String>,
    /// The TXT records that mail servers show.
    pub texts: Vec<String>,
    /// The reasons, each once.
    pub reasons: Vec<LookupReasonResponse>,
    /// The address to write to about the list.
    pub contact: String,
}

/// A zone that cannot be queried for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnaskableZoneResponse {
    /// The zone.
    pub zone: String,
    /// Why no client can query the zone for the name.
    pub cause: String,
}

/// A test message that a host relayed: the public part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicProofResponse {
    /// The number of the proof, for `GET /evidence/{id}`.
    pub id: u64,
    /// The name of the test.
    pub test: String,
    /// The host that accepted the message.
    pub input: String,
    /// The host that delivered it.
    pub output: String,
    /// When the message arrived.
    pub arrived: Timestamp,
}

/// What relay tests found about a host: the public part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RelayFindingsResponse {
    /// The test messages that the host relayed.
    pub proofs: Vec<PublicProofResponse>,
    /// For a client at the address itself: the claims whose tests were blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedClaimResponse>,
    /// The hosts whose relayed messages this host delivers, if it is listed for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// The public look-up of a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookupResponse {
    /// The subject.
    pub subject: String,
    /// Whether a zone lists it.
    pub listed: bool,
    /// The zones that list it.
    pub zones: Vec<LookupZoneResponse>,
    /// The zones that cannot be queried for the name, because name and zone together are too long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_asked: Vec<UnaskableZoneResponse>,
    /// What relay tests found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_tests: Option<RelayFindingsResponse>,
    /// What the owner of the subject can do.
    pub what_to_do: String,
}
