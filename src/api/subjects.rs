//! Look-ups of a subject: everything with its history for operators, the public part for every
//! client.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    AdviceResponse, BlockedClaimResponse, EventResponse, ExemptionResponse, HoldResponse,
    ListingResponse, RepetitionResponse, Timestamp,
};
use crate::tickets::RemovalPolicy;

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference.
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// An export format that leaves a name out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OmittedExportResponse {
    /// The format of `orbsd export`.
    pub format: String,
    /// Why a file of this format does not have the name.
    pub cause: String,
}

/// How a rule of a zone applies to the listings of a subject and of what covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedRuleResponse {
    /// The A record for what the rule lists; in a zone of bit masks, its bit.
    #[schema(example = "127.0.0.2")]
    pub code: String,
    /// The rule in words.
    #[schema(example = "relay and spamsource, listed by at least 2 sources")]
    pub rule: String,
    /// Whether the rule lists the subject.
    pub listed: bool,
    /// The reasons with a listing that counts.
    pub reasons: Vec<String>,
    /// The reasons that the rule needs, too.
    pub missing_reasons: Vec<String>,
    /// The sources with a listing that counts, each once.
    pub sources: Vec<String>,
    /// The sources whose listings do not count because they were last seen too long ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen_sources: Vec<String>,
    /// How many sources the rule needs.
    pub sources_needed: u32,
    /// What the weights of these sources add up to; absent: the rule has no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u64>,
    /// The score that the rule needs; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_needed: Option<u64>,
    /// The network as which the rule counts listings of single IPv6 addresses in it; absent: none
    /// is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2001:db8::/64")]
    pub network: Option<String>,
    /// The first of these addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// How many more of them there are, counted up to 995.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_addresses: usize,
    /// The same in words.
    #[schema(example = "2 of 2 sources needed: operator, feed-a")]
    pub explanation: String,
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
    /// The rules of the zone of which a listing of the subject is part, whether they list it or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AppliedRuleResponse>,
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

/// A pasted text to look up.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "554 5.7.1 Service unavailable; client [192.0.2.1] blocked"}))]
pub struct LookupTextRequest {
    /// A subject in any spelling, a bounce message, or the headers of a message; at most 64 KiB.
    pub text: String,
    /// For headers: the addresses and prefixes of the reader's own servers, separated by spaces or
    /// commas.
    #[serde(default)]
    pub own: String,
}

/// Why a zone lists a subject: the public part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookupReasonResponse {
    /// The reason.
    pub reason: String,
    /// The listed subject: the one that was looked up, one that covers it, or an address of
    /// `network`.
    pub listed: String,
    /// The network around the listed address, if the list has that in the place of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2001:db8::/64")]
    pub network: Option<String>,
    /// When the listing began.
    pub since: Timestamp,
    /// When the listing expires, if that is known.
    pub until: Option<Timestamp>,
    /// The list that supplied the listing; null if it is our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PublicSourceResponse>,
    /// The path of the page about the listed network, if two persons have listed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netblock: Option<String>,
}

/// A list of another publisher that this server carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicSourceResponse {
    /// The name of the source here.
    pub name: String,
    /// The title of the list, or its name.
    pub title: String,
    /// The publisher's look-up page; the subject is already part of it, if the page allows that.
    pub lookup_url: Option<String>,
    /// The publisher's page about removals.
    pub removal_url: Option<String>,
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
    /// The rules of the zone that list the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AppliedRuleResponse>,
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
    /// What the test does, in one sentence.
    #[serde(default)]
    pub description: String,
    /// The host that accepted the message.
    pub input: String,
    /// The host that delivered it.
    pub output: String,
    /// When the message arrived.
    pub arrived: Timestamp,
    /// The SMTP reply codes of the input; empty if a reporter sent the message.
    #[serde(default)]
    pub reply_codes: Vec<u16>,
}

/// What relay tests found about a host: the public part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RelayFindingsResponse {
    /// The test messages that the host relayed, the newest 20.
    pub proofs: Vec<PublicProofResponse>,
    /// For a client at the address itself: the claims whose tests were blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedClaimResponse>,
    /// The hosts whose relayed messages this host delivers, if it is listed for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Which mail server it is, as far as its replies show, and how to close it.
    #[serde(default)]
    pub product_advice: AdviceResponse,
}

/// The first thing that a look-up says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum LookupAnswer {
    /// A zone lists the subject, at least in part for a reason of our own.
    Listed,
    /// A zone lists the subject only because lists of other publishers list it.
    ListedBySource,
    /// No zone lists the subject now; one did.
    WasListed,
    /// No zone lists the subject, and the pasted message names another list.
    OtherList,
    /// No zone lists the subject, and none ever did.
    NeverListed,
}

/// The end of a listing that a zone had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PastListingResponse {
    /// The zones that listed the subject.
    pub zones: Vec<String>,
    /// When the last listing ended.
    pub ended: Timestamp,
    /// When every public server of the zones had the end; null if that is not known.
    pub everywhere_at: Option<Timestamp>,
}

/// A list of another operator, from the data file of other lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherListResponse {
    /// The zone that the pasted message names.
    pub zone: String,
    /// The name of the list; the zone if the list is unknown.
    pub name: String,
    /// Whether the list is in the data file.
    pub known: bool,
    /// Whether the list still answers queries.
    pub alive: bool,
    /// The look-up page of the list; the subject is already part of it, if the page allows that.
    pub lookup_url: Option<String>,
    /// The page of the list about removals.
    pub removal_url: Option<String>,
    /// A remark, such as since when the list is closed.
    pub note: Option<String>,
}

/// What was found in a pasted bounce, log line or header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BounceResponse {
    /// The mail server that refused the message, if the text names it.
    pub refusing_host: Option<String>,
    /// The zones that the text names.
    pub zones: Vec<String>,
    /// Whether the text names one of our zones although it does not list the subject now: the
    /// refusing server has an old copy.
    pub stale: bool,
    /// Other addresses in the text that could have been meant, at most 5.
    pub other_subjects: Vec<String>,
}

/// The reverse name of an address, from the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostNameResponse {
    /// The name; null if the address has none.
    pub name: Option<String>,
    /// Whether the name has the address (forward confirmation).
    pub confirmed: bool,
    /// When the name was looked up.
    pub at: Timestamp,
}

/// The network of an address, from the operator's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkResponse {
    /// The number of the autonomous system.
    pub asn: u32,
    /// The holder; null if the table does not name one.
    pub holder: Option<String>,
}

/// What happened to a subject.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TimelineKind {
    /// A listing began.
    Listed,
    /// A listing was renewed.
    Renewed,
    /// A listing was removed.
    Removed,
    /// A listing expired.
    Expired,
    /// The reason was suppressed for the subject.
    Held,
    /// The subject was exempted.
    Exempted,
    /// An exemption or a hold ended.
    HoldEnded,
}

/// An event of a subject: the public part, without authors and notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEventResponse {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: TimelineKind,
    /// The reason; null for exemptions.
    pub reason: Option<String>,
}

/// How listings of a subject can be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalOptionResponse {
    /// The policy.
    pub policy: RemovalPolicy,
    /// The reasons that have the policy and list the subject.
    pub reasons: Vec<String>,
    /// Whether control of the subject has to be proved first.
    pub proof_required: bool,
    /// Whether a request can be made here.
    pub may_request: bool,
    /// When a request may be made; null if now.
    pub available_at: Option<Timestamp>,
    /// Whether a request is open already.
    pub open: bool,
}

/// The public look-up of a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookupResponse {
    /// The subject; a domain in A-labels.
    pub subject: String,
    /// An internationalised domain in the letters of its language; absent if it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unicode: Option<String>,
    /// The first thing to say about it.
    pub answer: LookupAnswer,
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
    /// How often the address is tested with the consent of its holder, who has proved control of
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_repetition: Option<RepetitionResponse>,
    /// What the owner of the subject can do.
    pub what_to_do: String,
    /// The last listing that ended, if no zone lists the subject now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastListingResponse>,
    /// The other lists that the pasted message names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_lists: Vec<OtherListResponse>,
    /// What was found in a pasted message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce: Option<BounceResponse>,
    /// The way of the message whose headers were pasted. Then the subject is the host that handed
    /// the message over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceResponse>,
    /// How the listings can be removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removal: Vec<RemovalOptionResponse>,
    /// What happened to the subject, the newest event first, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineEventResponse>,
    /// The reverse name of the address, if it is in the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<HostNameResponse>,
    /// The network of the address, if the operator has a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkResponse>,
    /// For how many seconds receivers may remember the present answer: the largest TTL.
    #[serde(default)]
    pub cache_seconds: u32,
    /// `dig` commands that show what mail servers see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dig: Vec<String>,
}

/// How far a `Received` line can be trusted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum HopStanding {
    /// A server of the reader wrote it, about a message that it took from another one of them.
    Own,
    /// A server of the reader wrote it, about a message that it took from outside.
    HandedOver,
    /// It is below the line of the hand-over: the sender can have written it.
    Unproved,
}

/// A hop of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HopResponse {
    /// How far the line can be trusted.
    pub standing: HopStanding,
    /// The address of the client, if it is certain.
    pub address: Option<String>,
    /// The name that the client gave itself.
    pub from_name: Option<String>,
    /// The server that wrote the line.
    pub by: Option<String>,
    /// The date of the line.
    pub received_at: Option<String>,
    /// The whole line.
    pub text: String,
}

/// The way of a message, as its headers show it. Nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceResponse {
    /// The address that handed the message to the reader's servers; null if it is not certain.
    pub address: Option<String>,
    /// Why there is no address; null if there is one.
    pub unknown: Option<String>,
    /// The addresses and prefixes that the reader marked as their own.
    pub own: Vec<String>,
    /// The hops, the last server first; at most 100.
    pub hops: Vec<HopResponse>,
}
