//! Mirrors: the last NOTIFY, request and transfer of each, and how far it is behind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// The last NOTIFY to a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorNotifyResponse {
    /// The serial that the NOTIFY announced.
    pub serial: u32,
    /// When the NOTIFY was last sent.
    pub at: Timestamp,
    /// How often the NOTIFY was sent.
    pub tries: u32,
    /// Whether the mirror acknowledged the NOTIFY with NOERROR.
    pub acknowledged: bool,
    /// The RCODE of the reply; null without one.
    pub rcode: Option<String>,
    /// How many milliseconds the reply took; null without one.
    pub answer_ms: Option<u64>,
    /// Why the NOTIFY could not be sent.
    pub problem: Option<String>,
}

/// The last request of a mirror for the SOA or a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorRequestResponse {
    /// The serial that the mirror has; null for a request for the whole zone or the SOA.
    pub serial: Option<u32>,
    /// When the request came.
    pub at: Timestamp,
}

/// How much of a zone was transferred.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TransferScope {
    /// The whole zone (AXFR).
    Whole,
    /// The changes since a serial (IXFR).
    Incremental,
}

impl TransferScope {
    /// The scope as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The last transfer to a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorTransferResponse {
    /// How much of the zone was transferred.
    pub kind: TransferScope,
    /// The serial that the mirror had; null for a whole zone.
    pub from: Option<u32>,
    /// The serial that the mirror has since the transfer.
    pub to: u32,
    /// When the transfer ended.
    pub at: Timestamp,
    /// The size of the transfer in bytes.
    pub bytes: u64,
    /// How many milliseconds the transfer took.
    pub ms: u64,
}

/// How far a mirror is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LagResponse {
    /// By how many serials the mirror is behind; 0 if it is current.
    pub serials: u32,
    /// For how many seconds the mirror has not had the current serial.
    pub seconds: u64,
}

/// The counters of a mirror, since the file of mirrors was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorCounts {
    /// NOTIFY messages that were sent.
    pub notified: u64,
    /// Replies to NOTIFY messages.
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
    /// True if the mirror is configured; false if it is known only by its requests.
    pub configured: bool,
    /// The name of the mirror's TSIG key; null without one.
    pub key: Option<String>,
    /// The current serial of the zone.
    pub serial: u32,
    /// The serial that the mirror is known to have.
    pub mirror_serial: Option<u32>,
    /// How far the mirror is behind; null if that is not known, or if the mirror is ahead.
    pub behind: Option<LagResponse>,
    /// The commands that force a transfer, by name server software; null unless the mirror needs
    /// one because our serial was not newer for it.
    pub needs_transfer: Option<BTreeMap<String, String>>,
    /// The last NOTIFY to the mirror.
    pub last_notify: Option<MirrorNotifyResponse>,
    /// The last request of the mirror.
    pub last_request: Option<MirrorRequestResponse>,
    /// The last transfer to the mirror.
    pub last_transfer: Option<MirrorTransferResponse>,
    /// The counters of the mirror.
    pub counts: MirrorCounts,
}
