//! Look-ups: what is listed about a subject, for operators with its history, for everybody what is
//! public.

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
    /// Why no client can ask this zone for the name.
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
    /// Its listings.
    pub entries: Vec<ListingResponse>,
    /// Whether it is exempt.
    pub exempt: bool,
}

/// Everything that is known about a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubjectResponse {
    /// The subject.
    pub subject: String,
    /// Whether a zone lists it.
    pub listed: bool,
    /// Its listings.
    pub entries: Vec<ListingResponse>,
    /// Its exemption.
    pub exempt: Option<ExemptionResponse>,
    /// Its holds.
    pub holds: Vec<HoldResponse>,
    /// The wider subjects that cover it.
    pub covered_by: Vec<CoverResponse>,
    /// What each zone answers.
    pub zones: Vec<SubjectZoneResponse>,
    /// Its history, the oldest event first.
    pub history: Vec<EventResponse>,
    /// Its revision, for `If-Match`.
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
    /// The same, by the name that earlier look-up pages used.
    pub ip: Option<String>,
}

/// Why a zone lists a subject, for everybody to read.
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

/// A zone that lists the subject, for everybody to read.
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

/// A zone that cannot be asked for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnaskableZoneResponse {
    /// The zone.
    pub zone: String,
    /// Why no client can ask it for the name.
    pub cause: String,
}

/// A test message that came through a host, for everybody to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicProofResponse {
    /// The number of the proof: `/evidence/{id}` has more.
    pub id: u64,
    /// The name of the test.
    pub test: String,
    /// The host that accepted the message.
    pub input: String,
    /// The host that delivered it.
    pub output: String,
    /// When it arrived.
    pub arrived: Timestamp,
}

/// What relay tests found about a host, for everybody to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RelayFindingsResponse {
    /// The messages that came through.
    pub proofs: Vec<PublicProofResponse>,
    /// For the address itself: the claims whose tests were blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedClaimResponse>,
    /// The hosts that it delivers for, if it is listed for that.
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
    /// The zones that cannot be asked for the name, because name and zone together are too long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_asked: Vec<UnaskableZoneResponse>,
    /// What relay tests found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_tests: Option<RelayFindingsResponse>,
    /// What its owner can do.
    pub what_to_do: String,
}
