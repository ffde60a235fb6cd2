//! Netblocks: networks that two persons list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::netblocks::{ContactAnswer, ContactRequest, NetblockEnd, NetblockState, NetblockText};

/// Query parameters of `GET /v1/netblocks`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NetblocksQuery {
    /// Only entries in this state.
    pub state: Option<NetblockState>,
}

/// A network to list, which another person has to approve.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"prefix": "45.51.100.0/24", "public_text": {"kind": "spam-from-many", "addresses": 120}, "until": "90d", "note": "see the reports of November"}))]
pub struct NetblockRequest {
    /// The prefix, of several addresses.
    pub prefix: String,
    /// Why it is to be listed: a kind with its parameters, which is public.
    pub public_text: NetblockText,
    /// The end, at most a year ahead: a duration from now (`90d`), a date or an RFC 3339 time.
    pub until: String,
    /// A note for operators, which is never public.
    #[serde(default)]
    pub note: String,
}

/// What the owner of a network was asked, or what came back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"request": "complaint", "asked_at": "2026-11-02", "address": "abuse@isp.example", "words": "120 messages to traps"}))]
pub struct NetblockContactRequest {
    /// The number of an earlier contact, from 1, to record what came back; null: a new contact.
    pub number: Option<usize>,
    /// What the owner was asked; required for a new contact, whose day it is public with.
    pub request: Option<ContactRequest>,
    /// When the owner was asked: a date, an RFC 3339 time, or a duration before now (`3d`); null:
    /// now.
    pub asked_at: Option<String>,
    /// What came back, which is public with its day; null: no answer.
    pub answer: Option<ContactAnswer>,
    /// When it came back; required with an answer.
    pub answered_at: Option<String>,
    /// Whom the request was sent to, which is never public.
    pub address: String,
    /// The words of both sides, which are never public.
    pub words: String,
}

/// A later end of a listed network, which another person has to approve.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"until": "90d"}))]
pub struct NetblockRenewalRequest {
    /// The end, at most a year ahead: a duration from now (`90d`), a date or an RFC 3339 time.
    pub until: String,
}

/// A request to the owner of a network, as the public sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicNetblockContactResponse {
    /// The day on which the owner was asked.
    pub asked_at: Timestamp,
    /// What the owner was asked.
    pub request: ContactRequest,
    /// What came back.
    pub answer: ContactAnswer,
    /// The day on which it came back.
    pub answered_at: Option<Timestamp>,
}

/// A listed network, as the public sees it. It names no person and has no text of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicNetblockResponse {
    /// The prefix.
    pub prefix: String,
    /// The path of its page.
    pub path: String,
    /// Whether it is listed, or the entry has ended.
    pub state: NetblockState,
    /// Why it is listed: a kind with its parameters.
    pub reason: NetblockText,
    /// The same in English.
    pub text: String,
    /// When it was listed.
    pub listed_at: Timestamp,
    /// The end of the listing, unless two persons renew it before.
    pub until: Timestamp,
    /// When two persons renewed it.
    pub renewed_at: Vec<Timestamp>,
    /// When the entry ended.
    pub ended_at: Option<Timestamp>,
    /// How the entry ended.
    pub end: Option<NetblockEnd>,
    /// What its owner was asked, the oldest first.
    pub contacts: Vec<PublicNetblockContactResponse>,
}

/// A request to the owner of a network, with what is not public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetblockContactResponse {
    /// The number, from 1.
    pub number: usize,
    /// When the owner was asked.
    pub asked_at: Timestamp,
    /// What the owner was asked.
    pub request: ContactRequest,
    /// What came back.
    pub answer: ContactAnswer,
    /// When it came back.
    pub answered_at: Option<Timestamp>,
    /// Whom the request was sent to; null for roles below editor.
    pub address: Option<String>,
    /// The words of both sides; null for roles below editor.
    pub words: Option<String>,
    /// Who recorded it.
    pub author: String,
}

/// A step in the history of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetblockStepResponse {
    /// When.
    pub at: Timestamp,
    /// What was done: `propose`, `approve`, `renew`, `contact`, `refuse`, or how the entry ended.
    pub action: String,
    /// Who did it; null if it happened by itself.
    pub author: Option<String>,
}

/// A renewal that waits for another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetblockRenewalResponse {
    /// When it was proposed.
    pub at: Timestamp,
    /// Who proposed it.
    pub author: String,
    /// The end that it asks for.
    pub until: Timestamp,
}

/// The entry of a network, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetblockResponse {
    /// The prefix.
    pub prefix: String,
    /// The state.
    pub state: NetblockState,
    /// The public text: a kind with its parameters.
    pub public_text: NetblockText,
    /// The public text in English.
    pub text: String,
    /// The note, which is never public.
    pub note: String,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// Who proposed it.
    pub proposed_by: String,
    /// When it was approved, and listed.
    pub approved_at: Option<Timestamp>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// The end of the listing.
    pub until: Timestamp,
    /// A renewal that waits for another person.
    pub renewal: Option<NetblockRenewalResponse>,
    /// When the entry ended.
    pub ended_at: Option<Timestamp>,
    /// How the entry ended.
    pub end: Option<NetblockEnd>,
    /// What its owner was asked, the oldest first.
    pub contacts: Vec<NetblockContactResponse>,
    /// What happened, the oldest step first.
    pub history: Vec<NetblockStepResponse>,
}

/// How many addresses of a network were in a sample of the queries. There can be more that mail
/// servers asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueriedAddressesResponse {
    /// The number of different prefixes of the network that were sampled.
    pub count: u64,
    /// The length of the counted prefixes: 32 in an IPv4 network, which are single addresses, and 64
    /// in an IPv6 network.
    pub prefix_length: u8,
    /// When the sample begins.
    pub since: Timestamp,
    /// One in so many queries is sampled.
    #[schema(example = 64)]
    pub one_in: u32,
}

/// What the listing of a network covers. Numbers of addresses are texts, because IPv6 networks have
/// more addresses than a JSON number can count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollateralResponse {
    /// The prefix.
    pub prefix: String,
    /// How many addresses it has.
    #[schema(example = "256")]
    pub addresses: String,
    /// How many of them are listed already, by reason.
    pub listed: BTreeMap<String, String>,
    /// Exemptions inside, and those that cover the network; at most 50.
    pub exemptions: Vec<String>,
    /// How many exemptions there are.
    pub exemption_count: usize,
    /// Networks of known senders inside, and those that cover the network, with their names; at most
    /// 50.
    pub known_senders: Vec<String>,
    /// How many networks of known senders there are.
    pub known_sender_count: usize,
    /// How many of its addresses mail servers have asked about; null: queries are not sampled.
    pub queried: Option<QueriedAddressesResponse>,
    /// Whether all listings inside were counted; if not, the numbers are least numbers.
    pub complete: bool,
}
