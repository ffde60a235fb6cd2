//! Mirrors: what each was notified of, asked for and has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// The last NOTIFY to a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorNotifyResponse {
    /// The serial that it announced.
    pub serial: u32,
    /// When it was last sent.
    pub at: Timestamp,
    /// How often it was sent.
    pub tries: u32,
    /// Whether the mirror acknowledged it with NOERROR.
    pub acknowledged: bool,
    /// The RCODE of the reply; null without one.
    pub rcode: Option<String>,
    /// After how many milliseconds the reply came.
    pub answer_ms: Option<u64>,
    /// Why it could not be sent.
    pub problem: Option<String>,
}

/// The last request of a mirror for the SOA or a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorRequestResponse {
    /// The serial that the mirror has; null for a request for the whole zone or the SOA.
    pub serial: Option<u32>,
    /// When it came.
    pub at: Timestamp,
}

/// How much of a zone was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferScope {
    /// The whole zone (AXFR).
    Whole,
    /// What changed since a serial (IXFR).
    Incremental,
}

impl TransferScope {
    /// The scope as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            TransferScope::Whole => "whole",
            TransferScope::Incremental => "incremental",
        }
    }
}

/// The last transfer to a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorTransferResponse {
    /// How much was transferred.
    pub kind: TransferScope,
    /// The serial that the mirror had; null for a whole zone.
    pub from: Option<u32>,
    /// The serial that it has since.
    pub to: u32,
    /// When it ended.
    pub at: Timestamp,
    /// Its size in bytes.
    pub bytes: u64,
    /// How many milliseconds it took.
    pub ms: u64,
}

/// How far a mirror is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LagResponse {
    /// By how many serials; 0 if the mirror is current.
    pub serials: u32,
    /// For how many seconds it has not had the current serial.
    pub seconds: u64,
}

/// How often things happened, since the file of mirrors was begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorCounts {
    /// NOTIFY messages that were sent.
    pub notified: u64,
    /// Replies to them.
    pub answered: u64,
    /// Transfers that were completed.
    pub transfers: u64,
    /// Bytes of those transfers.
    pub bytes: u64,
    /// Requests for the SOA or a transfer.
    pub requests: u64,
}

/// A mirror of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorResponse {
    /// The zone.
    pub zone: String,
    /// The address of the mirror; with a port if the mirror is configured.
    pub address: String,
    /// Whether the mirror is configured, or known only because it asked.
    pub configured: bool,
    /// The name of its TSIG key.
    pub key: Option<String>,
    /// The current serial of the zone.
    pub serial: u32,
    /// The serial that the mirror is known to have.
    pub mirror_serial: Option<u32>,
    /// How far the mirror is behind; null if that is not known, or it is ahead.
    pub behind: Option<LagResponse>,
    /// The commands that force a transfer, by name server software; null unless the mirror needs
    /// one because our serial was not newer for it.
    pub needs_transfer: Option<BTreeMap<String, String>>,
    /// The last NOTIFY to it.
    pub last_notify: Option<MirrorNotifyResponse>,
    /// Its last request.
    pub last_request: Option<MirrorRequestResponse>,
    /// The last transfer to it.
    pub last_transfer: Option<MirrorTransferResponse>,
    /// How often things happened.
    pub counts: MirrorCounts,
}
