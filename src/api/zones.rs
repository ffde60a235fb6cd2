//! Zones, exports and serials.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::{
    lists::write::ExportChangeKind,
    metrics::Totals,
    model::{ZoneKind, serial::MirrorSerial},
};

/// A reason that a zone publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedReasonResponse {
    /// The reason, or the reasons as `a and b` or `a or b`.
    pub reason: String,
    /// Which listings are published together; absent: all for the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "relay and spamsource, listed by at least 2 sources")]
    pub rule: Option<String>,
    /// The A record of its listings; in a zone of bit masks, its bit in their A record.
    #[schema(example = "127.0.0.2")]
    pub code: String,
    /// The TTL of its listings in seconds; an RRset has the least TTL of its reasons.
    pub ttl: u32,
    /// The TXT record of its listings; `$` stands for the subject.
    pub text: String,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZoneResponse {
    /// The name of the zone.
    pub zone: String,
    /// The short name of the zone: the name of its file without the ending.
    pub alias: String,
    /// What the names in the zone stand for.
    pub kind: ZoneKind,
    /// The serial.
    pub serial: u32,
    /// The reasons that the zone publishes, in the order of the records of an answer.
    pub publish: Vec<PublishedReasonResponse>,
    /// The TTLs in seconds: of listed names, of names that do not exist, and of names without
    /// records.
    pub ttls: [u32; 3],
    /// The name servers.
    pub name_servers: Vec<String>,
    /// The address to write to about the list.
    pub contact: String,
    /// The queries and answers since the start.
    pub counters: Totals,
}

/// Query parameters of `GET /v1/zones/{zone}/export`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// A format of `orbsd export` (default `master`), `axfr` (lines of a master file from SOA to
    /// SOA), or `dns` (the messages of an AXFR, each after its length in two bytes).
    pub format: String,
    /// For `rpz`: the action of the resolver.
    pub action: String,
    /// For `axfr` and `dns`: only the changes after this serial, as an IXFR.
    pub since: Option<u32>,
}

/// Query parameters of `GET /v1/zones/{zone}/export/report`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportReportQuery {
    /// A format of `orbsd export` (default `master`).
    pub format: String,
    /// For `rpz`: the action of the resolver.
    pub action: String,
}

/// The report of what an export leaves out or changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExportReportResponse {
    /// The name of the zone.
    pub zone: String,
    /// The serial of the zone that the report is about.
    pub serial: u32,
    /// The format of the export.
    pub format: String,
    /// The changes by kind; empty if the export has every listing of the zone unchanged.
    pub changes: Vec<ExportChangeResponse>,
}

/// One kind of change in an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExportChangeResponse {
    /// The kind of change.
    pub kind: ExportChangeKind,
    /// What happened to the subjects, as a sentence.
    pub description: String,
    /// How many subjects it concerns.
    pub count: u64,
    /// The first subjects, at most three.
    pub first: Vec<String>,
}

impl From<crate::lists::write::ExportChange> for ExportChangeResponse {
    fn from(c: crate::lists::write::ExportChange) -> ExportChangeResponse {
        ExportChangeResponse {
            kind: c.kind,
            description: c.kind.description().into(),
            count: c.count,
            first: c.first,
        }
    }
}

impl fmt::Display for ExportChangeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = crate::lists::write::ExportChange {
            kind: self.kind,
            count: self.count,
            first: self.first.clone(),
        };
        change.fmt(f)
    }
}

/// A serial to set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialRequestBody {
    /// The serial. It has to be newer than the zone's own by RFC 1982: at most 2147483647 ahead.
    pub serial: u32,
    /// Set the serial although it is not newer for mirrors that were seen in the last 30 days.
    #[serde(default)]
    pub force: bool,
}

/// A mirror, and the serial that it was last seen to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MirrorSerialResponse {
    /// The address of the mirror; with a port if the mirror is configured.
    pub address: String,
    /// The name of the mirror's TSIG key; null without one.
    pub key: Option<String>,
    /// The serial that the mirror has.
    pub serial: u32,
    /// When the mirror was last seen.
    pub seen: Timestamp,
}

impl From<&MirrorSerial> for MirrorSerialResponse {
    fn from(m: &MirrorSerial) -> MirrorSerialResponse {
        MirrorSerialResponse {
            address: m.address.clone(),
            key: m.key.clone(),
            serial: m.serial.0,
            seen: m.seen.into(),
        }
    }
}

/// A serial that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SerialResponse {
    /// The name of the zone.
    pub zone: String,
    /// The new serial.
    pub serial: u32,
    /// The number of the commit.
    pub commit: u64,
    /// The mirrors for which it is not newer: each keeps its old zone until a transfer is forced.
    pub left_behind: Vec<MirrorSerialResponse>,
    /// The commands that force a transfer, by name server software.
    pub commands: BTreeMap<String, String>,
}
