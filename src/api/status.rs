//! The state of the daemon: status, configuration, backups, scrubs and the clock.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ExportChangeResponse, FeedResponse, GenericNamesStatusResponse, RetentionResponse,
    TicketsStatusResponse, Timestamp,
};
pub use crate::model::retirement::RetirementStage;
use crate::{
    clock::{ClockReport, ClockState},
    ledger::LeftBehind,
    metrics::Totals,
    model::{ZoneKind, retirement::RetirementPlan},
    net::LimiterStats,
    store::{FoundBy, LastBackup, ScrubReport},
};

/// Whether writes are accepted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum WriteState {
    /// Writes are accepted.
    Accepted,
    /// Writes are refused.
    Refused,
}

impl WriteState {
    /// The state as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether trusted time and the wall clock agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClockStateName {
    /// They agree.
    Agrees,
    /// The wall clock has jumped; trusted time continues by itself.
    Differs,
    /// The wall clock was not plausible at the start; trusted time continues from its last record.
    Unconfirmed,
}

/// Trusted time and the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClockResponse {
    /// Whether they agree.
    pub state: ClockStateName,
    /// What is wrong, in a sentence.
    pub problem: Option<String>,
    /// Trusted time.
    pub trusted: Timestamp,
    /// The wall clock.
    pub wall: Timestamp,
    /// By how many seconds the wall clock is ahead of trusted time.
    pub offset_seconds: i64,
    /// Since when they differ, in trusted time.
    pub since: Option<Timestamp>,
    /// Whether the kernel reports the wall clock as synchronised.
    pub synchronised: bool,
    /// For how many seconds the wall clock has run steadily.
    pub steady_seconds: i64,
}

impl From<&ClockReport> for ClockResponse {
    fn from(r: &ClockReport) -> ClockResponse {
        let state = match r.state {
            ClockState::Agrees => ClockStateName::Agrees,
            ClockState::Differs => ClockStateName::Differs,
            ClockState::Unconfirmed => ClockStateName::Unconfirmed,
        };
        ClockResponse {
            state,
            problem: r.problem(),
            trusted: r.trusted.into(),
            wall: r.wall.into(),
            offset_seconds: r.offset_seconds,
            since: r.since.map(Into::into),
            synchronised: r.synchronised,
            steady_seconds: r.steady_seconds,
        }
    }
}

/// The result of accepting the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClockAcceptedResponse {
    /// Trusted time before.
    pub before: Timestamp,
    /// Trusted time from now on, which is the wall clock.
    pub now: Timestamp,
    /// By how many seconds trusted time moved.
    pub moved_seconds: i64,
}

/// Lines that the removal log has lost since the last backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalGapResponse {
    /// The number of the last line before the loss.
    pub line: u64,
    /// When the loss was found.
    pub at: Timestamp,
    /// The first and the last number of each run of missing lines.
    #[schema(value_type = Vec<Vec<u64>>)]
    pub missing: Vec<(u64, u64)>,
    /// What happened to the log.
    pub cause: String,
}

/// The state of the removal log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalLogResponse {
    /// The file of the log; null if none is configured.
    #[schema(value_type = Option<String>)]
    pub path: Option<PathBuf>,
    /// The number of the last line that the store knows.
    pub line: Option<u64>,
    /// What is wrong with the file.
    pub problem: Option<String>,
    /// The lines that are missing.
    pub gap: Option<RemovalGapResponse>,
}

/// Damage of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamageResponse {
    /// When the damage was found.
    pub at: Option<Timestamp>,
    /// How the damage was found.
    pub found_by: FoundBy,
    /// What is damaged, in words.
    pub description: String,
}

/// A scrub that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubProgressResponse {
    /// When it began.
    pub started: Timestamp,
    /// How many column families it has read.
    pub families_read: usize,
    /// How many column families there are.
    pub families: usize,
    /// How many bytes it has read.
    pub bytes: u64,
}

/// A scrub that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubReportResponse {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How many rows it read.
    pub rows: u64,
    /// How many bytes it read.
    pub bytes: u64,
    /// In how many column families it found damage.
    pub damaged_families: u64,
}

impl From<ScrubReport> for ScrubReportResponse {
    fn from(r: ScrubReport) -> ScrubReportResponse {
        ScrubReportResponse {
            started: r.started.into(),
            ended: r.ended.into(),
            rows: r.rows,
            bytes: r.bytes,
            damaged_families: r.damaged,
        }
    }
}

/// The scrub that is under way, and the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubsResponse {
    /// The scrub that is under way; null if none is.
    pub running: Option<ScrubProgressResponse>,
    /// The last scrub that ended.
    pub last: Option<ScrubReportResponse>,
}

/// Damage of the store, and the scrubs that look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntegrityResponse {
    /// The damage that is known.
    pub damage: Vec<DamageResponse>,
    /// Why the end of the write-ahead log was cut off at the start; null if it was not.
    pub cut_at_start: Option<String>,
    /// The scrubs.
    pub scrub: ScrubsResponse,
}

/// How many subjects are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListedCounts {
    /// IPv4 addresses.
    pub ipv4_hosts: u64,
    /// IPv4 prefixes.
    pub ipv4_prefixes: u64,
    /// IPv6 addresses and prefixes.
    pub ipv6: u64,
    /// Domains.
    pub domains: u64,
}

/// The retirement of a zone (RFC 6471 section 3.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetirementResponse {
    /// The stage of the retirement.
    pub stage: RetirementStage,
    /// When the retirement was announced.
    pub announced: Timestamp,
    /// When the zone is emptied.
    pub empty: Timestamp,
    /// When no resolver and no mirror has a listing any more.
    pub unseen: Timestamp,
    /// When the NS records of the parent zone may be removed.
    pub delegation: Timestamp,
}

impl From<RetirementPlan> for RetirementResponse {
    fn from(p: RetirementPlan) -> RetirementResponse {
        RetirementResponse {
            stage: p.stage,
            announced: p.announced.into(),
            empty: p.empty.into(),
            unseen: p.unseen.into(),
            delegation: p.delegation.into(),
        }
    }
}

/// The state of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ZoneStatusResponse {
    /// The zone.
    pub zone: String,
    /// The name of its zone file, without `.toml`.
    pub file: String,
    /// What the names in the zone stand for.
    pub kind: ZoneKind,
    /// The serial of the zone.
    pub serial: u32,
    /// The queries and answers since the start.
    pub counters: Totals,
    /// The retirement of the zone, if it is being retired.
    pub retire: Option<RetirementResponse>,
}

/// The state of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceStatusResponse {
    /// The source.
    pub source: String,
    /// Whether the source is a feed, which only imports change.
    pub feed: bool,
    /// When a feed was last imported.
    pub refreshed: Option<Timestamp>,
    /// When the listings of the source end unless it is imported again; null: never.
    pub expires: Option<Timestamp>,
}

/// The state of an exported file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExportStatusResponse {
    /// The zone.
    pub zone: String,
    /// The format.
    pub format: String,
    /// The file.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// How often the file is written.
    pub interval: String,
    /// The serial of the zone in the file; null before it was first written.
    pub serial: Option<u32>,
    /// Why the file is not current.
    pub problem: Option<String>,
    /// What the file leaves out or changes.
    pub changes: Vec<ExportChangeResponse>,
}

/// What an entry of [`UnconfiguredResponse`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnconfiguredKind {
    /// A reason.
    Reason,
    /// A feed.
    Feed,
    /// A zone.
    Zone,
    /// A reason that a zone no longer publishes.
    Publish,
}

/// A name that is no longer configured and has listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnconfiguredResponse {
    /// What the name stands for.
    pub kind: UnconfiguredKind,
    /// The name.
    pub name: String,
    /// The zone, for `publish`.
    pub zone: Option<String>,
    /// The number of subjects that are listed under the name.
    pub listings: u64,
    /// A sentence about it, with the commands that help.
    pub message: String,
}

impl From<&LeftBehind> for UnconfiguredResponse {
    fn from(l: &LeftBehind) -> UnconfiguredResponse {
        let kind = match l.kind {
            "reason" => UnconfiguredKind::Reason,
            "feed" => UnconfiguredKind::Feed,
            "zone" => UnconfiguredKind::Zone,
            _ => UnconfiguredKind::Publish,
        };
        UnconfiguredResponse {
            kind,
            name: l.name.clone(),
            zone: l.zone.clone(),
            listings: l.listings,
            message: l.to_string(),
        }
    }
}

/// The state of the relay tester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TesterResponse {
    /// Whether relay tests are enabled.
    pub enabled: bool,
    /// Why no test runs although they are enabled.
    pub problem: Option<String>,
}

/// The connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionCounts {
    /// Connections that are open, without transfers.
    pub open: usize,
    /// Transfers that are under way.
    pub transfers: usize,
    /// Connections that were closed to make room for others because all slots were used.
    pub shed: u64,
    /// Connections that were closed because their network had used up its share.
    pub shed_of_share: u64,
    /// New connections that were refused because all slots were used.
    pub refused: u64,
    /// New connections that were refused because their network had used up its share.
    pub refused_of_share: u64,
}

impl From<LimiterStats> for ConnectionCounts {
    fn from(s: LimiterStats) -> ConnectionCounts {
        ConnectionCounts {
            open: s.open,
            transfers: s.transfers,
            shed: s.shed,
            shed_of_share: s.shed_of_share,
            refused: s.refused,
            refused_of_share: s.refused_of_share,
        }
    }
}

/// The counters of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerResponse {
    /// All queries and answers.
    pub total: Totals,
    /// The queries and answers by zone.
    pub zones: BTreeMap<String, Totals>,
}

/// The state of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusResponse {
    /// The version.
    pub version: String,
    /// Whether a daemon runs; false where a command opened the store itself.
    pub running: bool,
    /// When it started.
    pub started: Timestamp,
    /// Trusted time.
    pub now: Timestamp,
    /// The clock.
    pub clock: ClockResponse,
    /// The number of the last commit.
    pub commit: u64,
    /// Whether writes are accepted.
    pub writes: WriteState,
    /// The most severe problem, in words.
    pub problem: Option<String>,
    /// The removal log.
    pub removal_log: RemovalLogResponse,
    /// The last backup that was written and read back; null if none was recorded.
    #[serde(default)]
    pub last_backup: Option<LastBackupResponse>,
    /// Damage of the store, and scrubs.
    pub integrity: IntegrityResponse,
    /// The number of commits since the start.
    pub commits: u64,
    /// The number of changed subjects since the start.
    pub changes: u64,
    /// How many subjects are listed.
    pub listed: ListedCounts,
    /// The zones.
    pub zones: Vec<ZoneStatusResponse>,
    /// The sources.
    pub sources: Vec<SourceStatusResponse>,
    /// The feeds.
    pub feeds: Vec<FeedResponse>,
    /// The exported files.
    pub exports: Vec<ExportStatusResponse>,
    /// The names that are no longer configured and have listings.
    pub unconfigured: Vec<UnconfiguredResponse>,
    /// Why `unconfigured` could not be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfigured_problem: Option<String>,
    /// The relay tester.
    pub tester: TesterResponse,
    /// The job that erases data whose retention is over.
    pub retention: RetentionResponse,
    /// The requests for removal that wait.
    pub tickets: TicketsStatusResponse,
    /// The state of listings by generic reverse names.
    pub generic_names: GenericNamesStatusResponse,
    /// The connections, by listener.
    pub connections: BTreeMap<String, ConnectionCounts>,
    /// Queries that belong to no zone.
    pub no_zone: Totals,
    /// The counters, by worker.
    pub workers: BTreeMap<String, WorkerResponse>,
}

/// The errors and warnings about the configuration files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationCheckResponse {
    /// Errors: the configuration would be refused.
    pub errors: Vec<String>,
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// The number of zones.
    pub zones: usize,
}

/// A configured reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonResponse {
    /// The name of the reason.
    pub name: String,
    /// The text of the reason; `$` stands for the subject.
    pub text: String,
    /// How many seconds a listing lasts unless its request sets another end; null: until it is
    /// removed.
    pub lifetime: Option<u64>,
    /// Whether another person has to approve each listing.
    pub require_approval: bool,
}

/// Query parameters of `POST /v1/reload`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReloadQuery {
    /// Accept a configuration that no longer has a reason, feed, zone or published reason which has
    /// listings.
    pub force: bool,
}

/// The result of reading the configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadResponse {
    /// The serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// The names that are no longer configured and have listings.
    pub unconfigured: Vec<UnconfiguredResponse>,
}

/// The new name of a reason or source.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// The new name.
    pub to: String,
}

/// The result of renaming a reason or source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenameResponse {
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
    /// The serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// The names that are no longer configured and have listings.
    pub unconfigured: Vec<UnconfiguredResponse>,
}

/// Query parameters of `GET /v1/names/rejected`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RejectedNamesQuery {
    /// Feeds of a configuration that the daemon has not read, separated by commas.
    pub feeds: String,
}

/// Names that are rejected for one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NameClassResponse {
    /// What is wrong with the names.
    pub class: String,
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl NameClassResponse {
    /// The class of names by which clients ask a domain zone for addresses.
    pub const OF_ADDRESS: &str = "the name of an address";
}

/// Names in the store that would be rejected today. They are published, found and removed like all
/// others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedNamesResponse {
    /// How many names were checked.
    pub checked: u64,
    /// The names that would be rejected, by cause.
    pub classes: Vec<NameClassResponse>,
    /// Names that more than one of these have: a user, a program, a source, a built-in author.
    pub collisions: Vec<String>,
}

/// Where to write a backup.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// An absolute path; the directory must be empty or not exist.
    #[schema(example = "/var/backups/orbsd/2026-12-31")]
    pub path: String,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupResponse {
    /// The directory of the backup.
    pub path: String,
    /// The number of the last commit in the backup.
    pub commit: u64,
    /// The number of the last line of the removal log that the backup knows.
    pub removal_line: u64,
    /// How many rows the backup has; all of them were read back.
    pub rows: u64,
    /// When the backup was made.
    pub at: Timestamp,
}

/// The last backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastBackupResponse {
    /// When the backup was made.
    pub at: Timestamp,
    /// The number of the last commit in the backup.
    pub commit: u64,
}

impl From<LastBackup> for LastBackupResponse {
    fn from(b: LastBackup) -> LastBackupResponse {
        LastBackupResponse {
            at: b.at.into(),
            commit: b.commit,
        }
    }
}

/// The options of a scrub.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrubRequest {
    /// Accept that acknowledged commits are missing, after their changes were made again.
    pub accept_missing_commits: bool,
}
