//! The tables of `config.toml` as structs, with the defaults. The shipped `config.toml` shows each key
//! with its default; a test compares both.
//!
//! A key without an attribute `default` of its own is empty, zero or false by default.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Deserializer};

use super::{
    document::{Document, Report, Table},
    values::{Bytes, DEFAULT_MIN_DURATION, DEFAULT_PAUSE, DEFAULT_PORTS, Share, Uid},
};
use crate::{
    clock::TrustAtStart,
    generic_names::NameConfidence,
    imports::ErrorAllowance,
    ledger::OnLoss,
    model::time::Seconds,
    relay::TesterSource,
    texts::Language,
    tickets::{RemovalPolicies, RemovalPolicy},
};

/// `config.toml`.
pub(super) struct File {
    pub(super) store: Table<StoreTable>,
    pub(super) clock: Table<ClockTable>,
    pub(super) journal: Table<JournalTable>,
    pub(super) history: Table<HistoryTable>,
    pub(super) retention: Table<RetentionTable>,
    pub(super) removal_log: Table<RemovalLogTable>,
    pub(super) dns: Table<DnsTable>,
    pub(super) tls: Table<TlsTable>,
    pub(super) admin: Table<AdminTable>,
    pub(super) web: Table<WebTable>,
    pub(super) site: Table<SiteTable>,
    pub(super) log: Table<LogTable>,
    pub(super) zones: Table<ZonesTable>,
    pub(super) limits: Table<LimitsTable>,
    pub(super) http_client: Table<HttpClientTable>,
    pub(super) mail: Table<MailTable>,
    pub(super) probe: Table<ProbeTable>,
    pub(super) collector: Table<CollectorTable>,
    pub(super) connections: Table<ConnectionsTable>,
    pub(super) process: Table<ProcessTable>,
    pub(super) removal_policies: Table<RemovalPoliciesTable>,
    pub(super) proofs: Table<ProofsTable>,
    pub(super) generic_names: Table<GenericNamesTable>,
    pub(super) netblocks: Table<NetblocksTable>,
    pub(super) dynamic_ranges: Table<DynamicRangesTable>,
    pub(super) query_sample: Table<QuerySampleTable>,
    pub(super) reason: Vec<Table<ReasonTable>>,
    pub(super) key: Vec<Table<KeyTable>>,
    pub(super) feed: Vec<Table<FeedTable>>,
    pub(super) export: Vec<Table<ExportTable>>,
    pub(super) comparison: Vec<Table<ComparisonTable>>,
}

impl File {
    /// Reads every table of a document.
    pub(super) fn read(mut document: Document<'_>, report: &mut Report) -> File {
        let d = &mut document;
        let file = File {
            store: d.table("store", report),
            clock: d.table("clock", report),
            journal: d.table("journal", report),
            history: d.table("history", report),
            retention: d.table("retention", report),
            removal_log: d.table("removal_log", report),
            dns: d.table("dns", report),
            tls: d.table("tls", report),
            admin: d.table("admin", report),
            web: d.table("web", report),
            site: d.table("site", report),
            log: d.table("log", report),
            zones: d.table("zones", report),
            limits: d.table("limits", report),
            http_client: d.table("http_client", report),
            mail: d.table("mail", report),
            probe: d.table("probe", report),
            collector: d.table("collector", report),
            connections: d.table("connections", report),
            process: d.table("process", report),
            removal_policies: d.table("removal_policies", report),
            proofs: d.table("proofs", report),
            generic_names: d.table("generic_names", report),
            netblocks: d.table("netblocks", report),
            dynamic_ranges: d.table("dynamic_ranges", report),
            query_sample: d.table("query_sample", report),
            reason: d.entries("reason", report),
            key: d.entries("key", report),
            feed: d.entries("feed", report),
            export: d.entries("export", report),
            comparison: d.entries("comparison", report),
        };
        document.finish(report);
        file
    }
}

/// `[store]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct StoreTable {
    #[serde(default = "data")]
    pub(super) path: PathBuf,
    #[serde(default = "days::<1>")]
    pub(super) scrub_interval: Seconds,
    #[serde(default = "mebibytes::<8>")]
    pub(super) scrub_rate: Bytes,
}

/// `[clock]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ClockTable {
    pub(super) trust_at_start: TrustAtStart,
}

/// `[journal]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct JournalTable {
    #[serde(default = "days::<7>")]
    pub(super) max_age: Seconds,
    #[serde(default = "mebibytes::<1024>")]
    pub(super) max_size: Bytes,
}

/// `[history]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct HistoryTable {
    #[serde(default = "days::<90>")]
    pub(super) feed_max_age: Seconds,
}

/// `[retention]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RetentionTable {
    #[serde(default = "days::<90>")]
    pub(super) tickets: Seconds,
    #[serde(default = "days::<90>")]
    pub(super) relay_evidence: Seconds,
    #[serde(default = "days::<90>")]
    pub(super) reporter_texts: Seconds,
    #[serde(default = "days::<365>")]
    pub(super) relay_jobs: Seconds,
    #[serde(default = "days::<400>")]
    pub(super) relay_hosts: Seconds,
    #[serde(default = "days::<180>")]
    pub(super) audit_addresses: Seconds,
    #[serde(default = "days::<90>")]
    pub(super) import_reports: Seconds,
    #[serde(default = "days::<30>")]
    pub(super) webhook_messages: Seconds,
    #[serde(default = "days::<15>")]
    pub(super) relay_tokens: Seconds,
    #[serde(default = "days::<2>")]
    pub(super) ticket_mail: Seconds,
    #[serde(default = "days::<7>")]
    pub(super) ticket_codes: Seconds,
    #[serde(default = "days::<1>")]
    pub(super) mail_counts: Seconds,
    #[serde(default = "days::<7>")]
    pub(super) reverse_names: Seconds,
    #[serde(default = "days::<90>")]
    pub(super) proposals: Seconds,
    #[serde(default = "days::<400>")]
    pub(super) erasures: Seconds,
}

/// `[removal_log]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RemovalLogTable {
    /// Unset: in the store's folder.
    pub(super) path: Option<PathBuf>,
    pub(super) on_loss: OnLoss,
}

/// `[dns]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DnsTable {
    #[serde(default = "local_dns")]
    pub(super) listen: Vec<SocketAddr>,
    pub(super) workers: usize,
    pub(super) nsid: String,
}

/// `[tls]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct TlsTable {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) quic: Vec<SocketAddr>,
    pub(super) h3: Vec<SocketAddr>,
    #[serde(default = "dns_query")]
    pub(super) https_path: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: PathBuf,
}

/// `[admin]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AdminTable {
    #[serde(default = "local_api")]
    pub(super) listen: String,
    /// Unset: see `files::socket_path`.
    pub(super) socket: Option<PathBuf>,
    pub(super) socket_group: String,
    pub(super) uids: BTreeMap<Uid, String>,
    pub(super) tls: bool,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) forwarded_header: Option<bool>,
}

/// `[web]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct WebTable {
    pub(super) listen: String,
    #[serde(default = "local_web")]
    pub(super) base_url: String,
    pub(super) tls: bool,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) forwarded_header: Option<bool>,
}

/// `[site]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SiteTable {
    #[serde(default = "site_name")]
    pub(super) name: String,
    pub(super) tagline: String,
    pub(super) operator: String,
    pub(super) contact: String,
    pub(super) alternate_contact: String,
    pub(super) legal_notice: String,
    #[serde(default = "all_languages")]
    pub(super) languages: Vec<Language>,
}

/// `[log]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LogTable {
    pub(super) format: LogFormat,
}

/// `[log] format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `[zones]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ZonesTable {
    #[serde(default = "zones")]
    pub(super) path: PathBuf,
}

/// `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LimitsTable {
    pub(super) allow_special_ranges: Vec<String>,
    #[serde(default = "count::<u32, 500>")]
    pub(super) max_pending_proposals: u32,
    #[serde(default = "count::<u32, 1000>")]
    pub(super) max_proposals_per_day: u32,
}

/// `[http_client]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct HttpClientTable {
    pub(super) allow_special_ranges: Vec<String>,
    pub(super) resolvers: Vec<SocketAddr>,
}

/// `[mail]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct MailTable {
    pub(super) smarthost: String,
    pub(super) from: String,
    #[serde(default = "yes")]
    pub(super) require_starttls: bool,
}

/// `[probe]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProbeTable {
    pub(super) enabled: bool,
    pub(super) allow_public: bool,
    pub(super) domain: String,
    pub(super) second_domain: String,
    pub(super) ehlo_name: String,
    pub(super) contact: String,
    pub(super) info_url: String,
    /// Unset: in the store's folder.
    pub(super) key: Option<PathBuf>,
    pub(super) catalogue: PathBuf,
    pub(super) enabled_tests: Vec<String>,
    pub(super) trusted_reporters: Vec<String>,
    #[serde(default = "count::<u32, 50>")]
    pub(super) max_nominations_per_day: u32,
    #[serde(default = "count::<usize, 3>")]
    pub(super) max_hosts_per_prefix: usize,
    #[serde(default = "count::<usize, 30>")]
    pub(super) max_hosts_per_asn: usize,
    pub(super) asn_table: PathBuf,
    #[serde(default = "days::<7>")]
    pub(super) grace_period: Seconds,
    #[serde(default = "count::<usize, 8>")]
    pub(super) concurrency: usize,
    #[serde(default = "test_pause")]
    pub(super) pause: Seconds,
    #[serde(default = "test_duration")]
    pub(super) min_duration: Seconds,
    #[serde(default = "seconds::<60>")]
    pub(super) timeout: Seconds,
    #[serde(default = "seconds::<60>")]
    pub(super) collect_wait: Seconds,
    #[serde(default = "retry_delays")]
    pub(super) retry_delays: [Seconds; 2],
    #[serde(default = "test_ports")]
    pub(super) ports: [u16; 3],
    pub(super) source_addresses: Vec<TesterSource>,
}

/// `[collector]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CollectorTable {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) public_addresses: Vec<IpAddr>,
    pub(super) tls: bool,
    pub(super) removal_address: String,
}

/// `[removal_policies]`. Its keys are names of reasons, and replace the shipped policies.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RemovalPoliciesTable {
    pub(super) policies: RemovalPolicies,
    pub(super) keys: Vec<String>,
}

impl<'de> Deserialize<'de> for RemovalPoliciesTable {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<RemovalPoliciesTable, D::Error> {
        let table = BTreeMap::<String, RemovalPolicy>::deserialize(d)?;
        Ok(RemovalPoliciesTable {
            policies: RemovalPolicies::with(&table),
            keys: table.into_keys().collect(),
        })
    }
}

/// `[proofs]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProofsTable {
    pub(super) listen: String,
    pub(super) url: String,
    #[serde(default = "provider_domains")]
    pub(super) provider_domains: Vec<String>,
}

/// `[generic_names]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct GenericNamesTable {
    pub(super) reason: String,
    pub(super) min_confidence: NameConfidence,
    pub(super) ranges: Vec<String>,
    #[serde(default = "yes")]
    pub(super) listed_hosts: bool,
    pub(super) queried_hosts: bool,
    pub(super) allow_file: PathBuf,
    #[serde(default = "seconds::<600>")]
    pub(super) confirm_after: Seconds,
    #[serde(default = "days::<1>")]
    pub(super) recheck: Seconds,
    #[serde(default = "count::<usize, 10_000>")]
    pub(super) max_queue: usize,
    #[serde(default = "max_generic_names")]
    pub(super) max_listed: usize,
}

/// `[netblocks]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NetblocksTable {
    #[serde(default = "netblock")]
    pub(super) reason: String,
    pub(super) required: bool,
    pub(super) known_senders: PathBuf,
}

/// `[dynamic_ranges]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DynamicRangesTable {
    pub(super) reason: String,
}

/// `[query_sample]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct QuerySampleTable {
    pub(super) one_in: u32,
    #[serde(default = "days::<7>")]
    pub(super) period: Seconds,
}

/// `[connections]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ConnectionsTable {
    #[serde(default = "count::<usize, 2048>")]
    pub(super) dns: usize,
    #[serde(default = "count::<usize, 64>")]
    pub(super) transfers: usize,
    #[serde(default = "count::<usize, 1024>")]
    pub(super) admin: usize,
    #[serde(default = "count::<usize, 1024>")]
    pub(super) web: usize,
    #[serde(default = "count::<usize, 256>")]
    pub(super) socket: usize,
    #[serde(default = "count::<usize, 8192>")]
    pub(super) collector: usize,
    #[serde(default = "share::<32>")]
    pub(super) max_share_per_address: Share,
    #[serde(default = "share::<8>")]
    pub(super) max_share_per_network: Share,
    #[serde(default = "share::<4>")]
    pub(super) max_share_per_wide_network: Share,
    #[serde(default = "share::<16>")]
    pub(super) reserved_share: Share,
}

/// `[process]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProcessTable {
    pub(super) user: String,
}

/// `[[reason]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReasonTable {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) lifetime: Option<Seconds>,
    pub(super) require_approval: bool,
}

/// `[[key]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct KeyTable {
    pub(super) name: String,
    #[serde(default = "hmac_sha256")]
    pub(super) algorithm: String,
    pub(super) file: PathBuf,
}

/// `[[feed]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FeedTable {
    pub(super) name: String,
    pub(super) kind: FeedKind,
    pub(super) path: PathBuf,
    pub(super) format: String,
    pub(super) reason: String,
    pub(super) code_zone: String,
    #[serde(default = "seconds::<300>")]
    pub(super) interval: Seconds,
    pub(super) max_age: Option<Seconds>,
    pub(super) server: String,
    pub(super) zone: String,
    pub(super) key: String,
    pub(super) transit: Option<bool>,
    pub(super) title: String,
    pub(super) lookup_url: String,
    pub(super) removal_url: String,
    pub(super) column: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) dataset: Option<String>,
    pub(super) subzone: Option<String>,
    pub(super) clear_host_bits: Option<bool>,
    pub(super) skip_errors: Option<ErrorAllowance>,
    pub(super) allow_special_ranges: Option<bool>,
    pub(super) exact: Option<bool>,
    pub(super) allow_empty: Option<bool>,
    pub(super) allow_suffixes: Option<Vec<String>>,
    pub(super) max_shrink: Option<String>,
    pub(super) max_growth: Option<u64>,
    pub(super) shrink_wait: Option<Seconds>,
}

/// `[[feed]] kind`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum FeedKind {
    #[default]
    File,
    Axfr,
    Orbsd,
}

/// `[[comparison]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ComparisonTable {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) url: String,
    pub(super) against: String,
    pub(super) republish: bool,
    pub(super) server: String,
    pub(super) zone: String,
    pub(super) key: String,
    pub(super) allow_transfer: bool,
}

/// `[[export]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ExportTable {
    pub(super) zone: String,
    pub(super) format: String,
    pub(super) action: String,
    pub(super) path: PathBuf,
    #[serde(default = "seconds::<300>")]
    pub(super) interval: Seconds,
}

fn seconds<const N: u64>() -> Seconds {
    Seconds(N)
}

fn days<const N: u64>() -> Seconds {
    Seconds(N * 86_400)
}

fn mebibytes<const N: u64>() -> Bytes {
    Bytes(N << 20)
}

fn count<T: From<u16>, const N: u16>() -> T {
    N.into()
}

fn share<const N: usize>() -> Share {
    Share(N)
}

fn max_generic_names() -> usize {
    500_000
}

fn yes() -> bool {
    true
}

fn data() -> PathBuf {
    super::files::DEFAULT_STORE.into()
}

fn zones() -> PathBuf {
    "zones".into()
}

fn local_dns() -> Vec<SocketAddr> {
    vec![
        (Ipv4Addr::LOCALHOST, 5300).into(),
        (Ipv6Addr::LOCALHOST, 5300).into(),
    ]
}

fn dns_query() -> String {
    "/dns-query".into()
}

fn local_api() -> String {
    "127.0.0.1:8053".into()
}

pub(super) fn local_web() -> String {
    "http://127.0.0.1:8054".into()
}

fn provider_domains() -> Vec<String> {
    [
        "amazonaws.com",
        "azure.com",
        "contaboserver.net",
        "googleusercontent.com",
        "linodeusercontent.com",
        "secureserver.net",
        "vultrusercontent.com",
        "your-server.de",
    ]
    .map(Into::into)
    .to_vec()
}

fn netblock() -> String {
    crate::ledger::NetblockRule::default().reason
}

fn site_name() -> String {
    "orbsd".into()
}

fn all_languages() -> Vec<Language> {
    Language::ALL.into()
}

fn hmac_sha256() -> String {
    "hmac-sha256".into()
}

fn test_pause() -> Seconds {
    DEFAULT_PAUSE
}

fn test_duration() -> Seconds {
    DEFAULT_MIN_DURATION
}

fn test_ports() -> [u16; 3] {
    DEFAULT_PORTS
}

fn retry_delays() -> [Seconds; 2] {
    [Seconds(300), Seconds(1800)]
}
