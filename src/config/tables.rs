//! The tables of `config.toml` as plain structs: what may be written, and the defaults. Each key is
//! in `config.toml` with its default; a test compares both.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    connections::Share,
    document::{Document, Report, Table},
    probe::{PAUSE, PORTS, SPREAD, SourceEntry},
};
use crate::{clock::TrustAtStart, imports::ErrorAllowance, ledger::OnLoss, model::time::Seconds};

/// `config.toml`.
pub(super) struct File {
    pub(super) store: Table<StoreTable>,
    pub(super) clock: Table<ClockTable>,
    pub(super) journal: Table<JournalTable>,
    pub(super) history: Table<HistoryTable>,
    pub(super) removals: Table<RemovalsTable>,
    pub(super) dns: Table<DnsTable>,
    pub(super) tls: Table<TlsTable>,
    pub(super) admin: Table<AdminTable>,
    pub(super) web: Table<WebTable>,
    pub(super) log: Table<LogTable>,
    pub(super) zones: Table<ZonesTable>,
    pub(super) limits: Table<LimitsTable>,
    pub(super) outgoing: Table<OutgoingTable>,
    pub(super) mail: Table<MailTable>,
    pub(super) probe: Table<ProbeTable>,
    pub(super) collect: Table<CollectTable>,
    pub(super) connections: Table<ConnectionsTable>,
    pub(super) process: Table<ProcessTable>,
    pub(super) reason: Vec<Table<ReasonTable>>,
    pub(super) key: Vec<Table<KeyTable>>,
    pub(super) feed: Vec<Table<FeedTable>>,
    pub(super) export: Vec<Table<ExportTable>>,
}

impl File {
    /// Takes every table out of a document, each by itself.
    pub(super) fn read(mut document: Document<'_>, report: &mut Report) -> File {
        let d = &mut document;
        let file = File {
            store: d.table("store", report),
            clock: d.table("clock", report),
            journal: d.table("journal", report),
            history: d.table("history", report),
            removals: d.table("removals", report),
            dns: d.table("dns", report),
            tls: d.table("tls", report),
            admin: d.table("admin", report),
            web: d.table("web", report),
            log: d.table("log", report),
            zones: d.table("zones", report),
            limits: d.table("limits", report),
            outgoing: d.table("outgoing", report),
            mail: d.table("mail", report),
            probe: d.table("probe", report),
            collect: d.table("collect", report),
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
    pub(super) scrub_every: Seconds,
    pub(super) scrub_rate: Bytes,
}

impl Default for StoreTable {
    fn default() -> StoreTable {
        StoreTable {
            path: super::files::DEFAULT_STORE.into(),
            scrub_every: Seconds(86_400),
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
    pub(super) age: Seconds,
    pub(super) size: Bytes,
}

impl Default for JournalTable {
    fn default() -> JournalTable {
        JournalTable {
            age: Seconds(7 * 86_400),
            size: Bytes(1 << 30),
        }
    }
}

/// `[history]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HistoryTable {
    pub(super) feeds: Seconds,
}

impl Default for HistoryTable {
    fn default() -> HistoryTable {
        HistoryTable {
            feeds: Seconds(90 * 86_400),
        }
    }
}

/// `[removals]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RemovalsTable {
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
    pub(super) path: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) clients: PathBuf,
}

impl Default for TlsTable {
    fn default() -> TlsTable {
        TlsTable {
            listen: Vec::new(),
            https: Vec::new(),
            quic: Vec::new(),
            h3: Vec::new(),
            path: "/dns-query".into(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            clients: PathBuf::new(),
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
    pub(super) trust: Vec<String>,
    pub(super) forwarded: Option<bool>,
}

impl Default for AdminTable {
    fn default() -> AdminTable {
        AdminTable {
            listen: "127.0.0.1:8053".into(),
            socket: None,
            socket_group: String::new(),
            uids: BTreeMap::new(),
            tls: false,
            trust: Vec::new(),
            forwarded: None,
        }
    }
}

/// A key of `[admin] uids`: the number of a user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid(pub(super) u32);

impl<'d> Deserialize<'d> for Uid {
    fn deserialize<D: serde::Deserializer<'d>>(d: D) -> Result<Uid, D::Error> {
        use serde::de::{Error, Unexpected};
        let text = String::deserialize(d)?;
        let form = "a table of user ids and names, such as { 1000 = \"anna\" }";
        text.parse()
            .map(Uid)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &form))
    }
}

/// `[web]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebTable {
    pub(super) listen: String,
    pub(super) base_url: String,
    pub(super) tls: bool,
    pub(super) trust: Vec<String>,
    pub(super) forwarded: Option<bool>,
}

impl Default for WebTable {
    fn default() -> WebTable {
        WebTable {
            listen: String::new(),
            base_url: "http://127.0.0.1:8054".into(),
            tls: false,
            trust: Vec::new(),
            forwarded: None,
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
    pub(super) special: Vec<String>,
    pub(super) waiting_proposals: u32,
    pub(super) daily_proposals: u32,
}

impl Default for LimitsTable {
    fn default() -> LimitsTable {
        LimitsTable {
            special: Vec::new(),
            waiting_proposals: 500,
            daily_proposals: 1000,
        }
    }
}

/// `[outgoing]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OutgoingTable {
    pub(super) allow: Vec<String>,
    pub(super) resolvers: Vec<SocketAddr>,
}

/// `[mail]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MailTable {
    pub(super) smarthost: String,
    pub(super) from: String,
    pub(super) tls: bool,
}

impl Default for MailTable {
    fn default() -> MailTable {
        MailTable {
            smarthost: String::new(),
            from: String::new(),
            tls: true,
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
    pub(super) foreign: String,
    pub(super) hello: String,
    pub(super) contact: String,
    pub(super) about: String,
    /// Unset: beside the store.
    pub(super) key: Option<PathBuf>,
    pub(super) tests: PathBuf,
    pub(super) choose: Vec<String>,
    pub(super) trusted: Vec<String>,
    pub(super) quota: u32,
    pub(super) per_net: usize,
    pub(super) per_as: usize,
    pub(super) routes: PathBuf,
    pub(super) notice: Seconds,
    pub(super) concurrency: usize,
    pub(super) pause: Seconds,
    pub(super) spread: Seconds,
    pub(super) step: Seconds,
    pub(super) settle: Seconds,
    pub(super) retry: [Seconds; 2],
    pub(super) ports: [u16; 3],
    pub(super) source: Vec<SourceEntry>,
}

impl Default for ProbeTable {
    fn default() -> ProbeTable {
        ProbeTable {
            enabled: false,
            allow_public: false,
            domain: String::new(),
            foreign: String::new(),
            hello: String::new(),
            contact: String::new(),
            about: String::new(),
            key: None,
            tests: PathBuf::new(),
            choose: Vec::new(),
            trusted: Vec::new(),
            quota: 50,
            per_net: 3,
            per_as: 30,
            routes: PathBuf::new(),
            notice: Seconds(7 * 86_400),
            concurrency: 8,
            pause: PAUSE,
            spread: SPREAD,
            step: Seconds(60),
            settle: Seconds(60),
            retry: [Seconds(300), Seconds(1800)],
            ports: PORTS,
            source: Vec::new(),
        }
    }
}

/// `[collect]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CollectTable {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) addresses: Vec<IpAddr>,
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
    pub(super) collect: usize,
    pub(super) per_address: Share,
    pub(super) per_network: Share,
    pub(super) per_wide_network: Share,
    pub(super) reserved: Share,
}

impl Default for ConnectionsTable {
    fn default() -> ConnectionsTable {
        ConnectionsTable {
            dns: 2048,
            transfers: 64,
            admin: 1024,
            web: 1024,
            socket: 256,
            collect: 8192,
            per_address: Share(32),
            per_network: Share(8),
            per_wide_network: Share(4),
            reserved: Share(16),
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
    pub(super) two_persons: bool,
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
    pub(super) every: Seconds,
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
    pub(super) special: Option<bool>,
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
            every: Seconds(300),
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
            special: None,
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
    pub(super) every: Seconds,
}

impl Default for ExportTable {
    fn default() -> ExportTable {
        ExportTable {
            zone: String::new(),
            format: String::new(),
            action: String::new(),
            path: PathBuf::new(),
            every: Seconds(300),
        }
    }
}

/// A number of bytes, written `512MiB`, `1GiB` or as a plain number in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl std::str::FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Bytes, String> {
        let t = text.trim();
        let (number, unit) = t
            .find(|c: char| !c.is_ascii_digit())
            .map_or((t, ""), |i| t.split_at(i));
        let shift = match unit.trim() {
            "" | "B" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let bytes = shift.and_then(|s| number.parse::<u64>().ok()?.checked_mul(1 << s));
        bytes
            .map(Bytes)
            .ok_or_else(|| format!("`{text}` is not a size; write it as 512MiB or 1GiB"))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a size in quotes, such as \"1GiB\" or \"512MiB\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}
