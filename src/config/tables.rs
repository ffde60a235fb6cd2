//! The tables of `config.toml` as structs, with the defaults. The shipped `config.toml` shows each key
//! with its default; a test compares both.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    document::{Document, Report, Table},
    values::{Bytes, DEFAULT_MIN_DURATION, DEFAULT_PAUSE, DEFAULT_PORTS, Share, SourceEntry, Uid},
};
use crate::{clock::TrustAtStart, imports::ErrorAllowance, ledger::OnLoss, model::time::Seconds};

/// `config.toml`.
pub(super) struct File {
    pub(super) store: Table<StoreTable>,
    pub(super) clock: Table<ClockTable>,
    pub(super) journal: Table<JournalTable>,
    pub(super) history: Table<HistoryTable>,
    pub(super) removal_log: Table<RemovalLogTable>,
    pub(super) dns: Table<DnsTable>,
    pub(super) tls: Table<TlsTable>,
    pub(super) admin: Table<AdminTable>,
    pub(super) web: Table<WebTable>,
    pub(super) log: Table<LogTable>,
    pub(super) zones: Table<ZonesTable>,
    pub(super) limits: Table<LimitsTable>,
    pub(super) http_client: Table<HttpClientTable>,
    pub(super) mail: Table<MailTable>,
    pub(super) probe: Table<ProbeTable>,
    pub(super) collector: Table<CollectorTable>,
    pub(super) connections: Table<ConnectionsTable>,
    pub(super) process: Table<ProcessTable>,
    pub(super) reason: Vec<Table<ReasonTable>>,
    pub(super) key: Vec<Table<KeyTable>>,
    pub(super) feed: Vec<Table<FeedTable>>,
    pub(super) export: Vec<Table<ExportTable>>,
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
            removal_log: d.table("removal_log", report),
            dns: d.table("dns", report),
            tls: d.table("tls", report),
            admin: d.table("admin", report),
            web: d.table("web", report),
            log: d.table("log", report),
            zones: d.table("zones", report),
            limits: d.table("limits", report),
            http_client: d.table("http_client", report),
            mail: d.table("mail", report),
            probe: d.table("probe", report),
            collector: d.table("collector", report),
            connections: d.table("connections", report),
            process: d.table("process", report),
            reason: d.entries("reason", report),
            key: d.entries("key", report),
            feed: d.entries("feed", report),
            export: d.entries("export", report),
        };
        document.finish(report);
        file
    }
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreTable {
    pub(super) path: PathBuf,
    pub(super) scrub_interval: Seconds,
    pub(super) scrub_rate: Bytes,
}

impl Default for StoreTable {
    fn default() -> StoreTable {
        StoreTable {
            path: super::files::DEFAULT_STORE.into(),
            scrub_interval: Seconds(86_400),
            scrub_rate: Bytes(8 << 20),
        }
    }
}

/// `[clock]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ClockTable {
    pub(super) trust_at_start: TrustAtStart,
}

/// `[journal]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JournalTable {
    pub(super) max_age: Seconds,
    pub(super) max_size: Bytes,
}

impl Default for JournalTable {
    fn default() -> JournalTable {
        JournalTable {
            max_age: Seconds(7 * 86_400),
            max_size: Bytes(1 << 30),
        }
    }
}

/// `[history]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HistoryTable {
    pub(super) feed_max_age: Seconds,
}

impl Default for HistoryTable {
    fn default() -> HistoryTable {
        HistoryTable {
            feed_max_age: Seconds(90 * 86_400),
        }
    }
}

/// `[removal_log]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RemovalLogTable {
    /// Unset: beside the store.
    pub(super) path: Option<PathBuf>,
    pub(super) on_loss: OnLoss,
}

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DnsTable {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) workers: usize,
    pub(super) nsid: String,
}

impl Default for DnsTable {
    fn default() -> DnsTable {
        DnsTable {
            listen: [
                ([127, 0, 0, 1], 5300).into(),
                (Ipv6Addr::LOCALHOST, 5300).into(),
            ]
            .into(),
            workers: 0,
            nsid: String::new(),
        }
    }
}

/// `[tls]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsTable {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) quic: Vec<SocketAddr>,
    pub(super) h3: Vec<SocketAddr>,
    pub(super) https_path: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: PathBuf,
}

impl Default for TlsTable {
    fn default() -> TlsTable {
        TlsTable {
            listen: Vec::new(),
            https: Vec::new(),
            quic: Vec::new(),
            h3: Vec::new(),
            https_path: "/dns-query".into(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
        }
    }
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminTable {
    pub(super) listen: String,
    /// Unset: see `files::socket_path`.
    pub(super) socket: Option<PathBuf>,
    pub(super) socket_group: String,
    pub(super) uids: BTreeMap<Uid, String>,
    pub(super) tls: bool,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) forwarded_header: Option<bool>,
}

impl Default for AdminTable {
    fn default() -> AdminTable {
        AdminTable {
            listen: "127.0.0.1:8053".into(),
            socket: None,
            socket_group: String::new(),
            uids: BTreeMap::new(),
            tls: false,
            trusted_proxies: Vec::new(),
            forwarded_header: None,
        }
    }
}

/// `[web]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebTable {
    pub(super) listen: String,
    pub(super) base_url: String,
    pub(super) tls: bool,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) forwarded_header: Option<bool>,
}

impl Default for WebTable {
    fn default() -> WebTable {
        WebTable {
            listen: String::new(),
            base_url: "http://127.0.0.1:8054".into(),
            tls: false,
            trusted_proxies: Vec::new(),
            forwarded_header: None,
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogTable {
    pub(super) format: LogFormat,
}

/// `[log] format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `[zones]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ZonesTable {
    pub(super) path: PathBuf,
}

impl Default for ZonesTable {
    fn default() -> ZonesTable {
        ZonesTable {
            path: "zones".into(),
        }
    }
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub(super) allow_special_ranges: Vec<String>,
    pub(super) max_pending_proposals: u32,
    pub(super) max_proposals_per_day: u32,
}

impl Default for LimitsTable {
    fn default() -> LimitsTable {
        LimitsTable {
            allow_special_ranges: Vec::new(),
            max_pending_proposals: 500,
            max_proposals_per_day: 1000,
        }
    }
}

/// `[http_client]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpClientTable {
    pub(super) allow_special_ranges: Vec<String>,
    pub(super) resolvers: Vec<SocketAddr>,
}

/// `[mail]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MailTable {
    pub(super) smarthost: String,
    pub(super) from: String,
    pub(super) require_starttls: bool,
}

impl Default for MailTable {
    fn default() -> MailTable {
        MailTable {
            smarthost: String::new(),
            from: String::new(),
            require_starttls: true,
        }
    }
}

/// `[probe]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProbeTable {
    pub(super) enabled: bool,
    pub(super) allow_public: bool,
    pub(super) domain: String,
    pub(super) second_domain: String,
    pub(super) ehlo_name: String,
    pub(super) contact: String,
    pub(super) info_url: String,
    /// Unset: beside the store.
    pub(super) key: Option<PathBuf>,
    pub(super) catalogue: PathBuf,
    pub(super) enabled_tests: Vec<String>,
    pub(super) trusted_reporters: Vec<String>,
    pub(super) max_nominations_per_day: u32,
    pub(super) max_hosts_per_prefix: usize,
    pub(super) max_hosts_per_asn: usize,
    pub(super) asn_table: PathBuf,
    pub(super) grace_period: Seconds,
    pub(super) concurrency: usize,
    pub(super) pause: Seconds,
    pub(super) min_duration: Seconds,
    pub(super) timeout: Seconds,
    pub(super) collect_wait: Seconds,
    pub(super) retry_delays: [Seconds; 2],
    pub(super) ports: [u16; 3],
    pub(super) source_addresses: Vec<SourceEntry>,
}

impl Default for ProbeTable {
    fn default() -> ProbeTable {
        ProbeTable {
            enabled: false,
            allow_public: false,
            domain: String::new(),
            second_domain: String::new(),
            ehlo_name: String::new(),
            contact: String::new(),
            info_url: String::new(),
            key: None,
            catalogue: PathBuf::new(),
            enabled_tests: Vec::new(),
            trusted_reporters: Vec::new(),
            max_nominations_per_day: 50,
            max_hosts_per_prefix: 3,
            max_hosts_per_asn: 30,
            asn_table: PathBuf::new(),
            grace_period: Seconds(7 * 86_400),
            concurrency: 8,
            pause: DEFAULT_PAUSE,
            min_duration: DEFAULT_MIN_DURATION,
            timeout: Seconds(60),
            collect_wait: Seconds(60),
            retry_delays: [Seconds(300), Seconds(1800)],
            ports: DEFAULT_PORTS,
            source_addresses: Vec::new(),
        }
    }
}

/// `[collector]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CollectorTable {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) public_addresses: Vec<IpAddr>,
    pub(super) tls: bool,
}

/// `[connections]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConnectionsTable {
    pub(super) dns: usize,
    pub(super) transfers: usize,
    pub(super) admin: usize,
    pub(super) web: usize,
    pub(super) socket: usize,
    pub(super) collector: usize,
    pub(super) max_share_per_address: Share,
    pub(super) max_share_per_network: Share,
    pub(super) max_share_per_wide_network: Share,
    pub(super) reserved_share: Share,
}

impl Default for ConnectionsTable {
    fn default() -> ConnectionsTable {
        ConnectionsTable {
            dns: 2048,
            transfers: 64,
            admin: 1024,
            web: 1024,
            socket: 256,
            collector: 8192,
            max_share_per_address: Share(32),
            max_share_per_network: Share(8),
            max_share_per_wide_network: Share(4),
            reserved_share: Share(16),
        }
    }
}

/// `[process]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProcessTable {
    pub(super) user: String,
}

/// `[[reason]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReasonTable {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) lifetime: Option<Seconds>,
    pub(super) require_approval: bool,
}

/// `[[key]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KeyTable {
    pub(super) name: String,
    pub(super) algorithm: String,
    pub(super) file: PathBuf,
}

impl Default for KeyTable {
    fn default() -> KeyTable {
        KeyTable {
            name: String::new(),
            algorithm: "hmac-sha256".into(),
            file: PathBuf::new(),
        }
    }
}

/// `[[feed]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FeedTable {
    pub(super) name: String,
    pub(super) kind: FeedKind,
    pub(super) path: PathBuf,
    pub(super) format: String,
    pub(super) reason: String,
    pub(super) codes: String,
    pub(super) interval: Seconds,
    pub(super) max_age: Option<Seconds>,
    pub(super) server: String,
    pub(super) zone: String,
    pub(super) key: String,
    pub(super) transit: Option<bool>,
    pub(super) column: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) dataset: Option<String>,
    pub(super) subzone: Option<String>,
    pub(super) host_bits: Option<bool>,
    pub(super) skip_errors: Option<ErrorAllowance>,
    pub(super) allow_special_ranges: Option<bool>,
    pub(super) allow_empty: Option<bool>,
    pub(super) allow_suffixes: Option<Vec<String>>,
    pub(super) max_shrink: Option<String>,
    pub(super) max_growth: Option<u64>,
    pub(super) shrink_wait: Option<Seconds>,
}

impl Default for FeedTable {
    fn default() -> FeedTable {
        FeedTable {
            name: String::new(),
            kind: FeedKind::File,
            path: PathBuf::new(),
            format: String::new(),
            reason: String::new(),
            codes: String::new(),
            interval: Seconds(300),
            max_age: None,
            server: String::new(),
            zone: String::new(),
            key: String::new(),
            transit: None,
            column: None,
            origin: None,
            dataset: None,
            subzone: None,
            host_bits: None,
            skip_errors: None,
            allow_special_ranges: None,
            allow_empty: None,
            allow_suffixes: None,
            max_shrink: None,
            max_growth: None,
            shrink_wait: None,
        }
    }
}

/// `[[feed]] kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FeedKind {
    File,
    Axfr,
    Orbsd,
}

/// `[[export]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExportTable {
    pub(super) zone: String,
    pub(super) format: String,
    pub(super) action: String,
    pub(super) path: PathBuf,
    pub(super) interval: Seconds,
}

impl Default for ExportTable {
    fn default() -> ExportTable {
        ExportTable {
            zone: String::new(),
            format: String::new(),
            action: String::new(),
            path: PathBuf::new(),
            interval: Seconds(300),
        }
    }
}
