//! The configuration: reads `config.toml` and the zone files, and makes the settings of each module.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    clock::TrustAtStart,
    dns::MAX_NSID,
    http, ledger, mail,
    model::{MAX_REASONS, Reasons, Subject, Zone, names::suggest, reason::NameTable},
    net::ConnectionLimits,
    netblocks::KnownSenders,
    query_sample::QuerySampleSettings,
    reverse_names::generic::GenericNameSettings,
    server,
    site::SiteSettings,
    store,
    tickets::TicketSettings,
    webhooks,
};
use document::{Document, Report, Table, TableReport, read_text};
use tables::{File, LogFormat, ReasonTable, TlsTable};

/// The least rate of a scrub, in bytes a second.
const MIN_SCRUB_RATE_BYTES: u64 = 64 << 10;

/// The settings of all modules.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[store]`, `[journal]`, `[history]`.
    pub store: store::StoreSettings,
    /// `[clock] trust_at_start`.
    pub trust_at_start: TrustAtStart,
    /// Reasons, zones, limits.
    pub ledger: ledger::LedgerSettings,
    /// `[dns]`.
    pub dns: server::DnsSettings,
    /// `[tls]`.
    pub tls: server::TlsSettings,
    /// `[zones] path`: the folder of the zone files.
    pub zones: PathBuf,
    /// `[[feed]]`.
    pub feeds: Vec<crate::feeds::FeedSettings>,
    /// `[[comparison]]`.
    pub comparisons: Vec<crate::comparison::ComparisonSettings>,
    /// `[admin] socket`.
    pub socket: PathBuf,
    /// `[admin] socket_group`: the group whose members may read through the socket; empty: the
    /// daemon's group.
    pub socket_group: String,
    /// The listener of `[admin]`: the API.
    pub admin: HttpListener,
    /// `[http_client]`.
    pub http_client: webhooks::HttpClientSettings,
    /// `[mail]`.
    pub mail: mail::MailSettings,
    /// The listener of `[web]`: the public look-up.
    pub web: HttpListener,
    /// `[web] base_url`, without a slash at the end.
    pub base_url: String,
    /// `[log] format`: JSON instead of text.
    pub json_log: bool,
    /// The `[[export]]` tables.
    pub exports: Vec<crate::exports::ExportSettings>,
    /// `[probe]` and `[collector]`.
    pub probe: probe::ProbeSettings,
    /// `[proofs]`, and the removal address of `[collector]`.
    pub proofs: proofs::ProofSettings,
    /// `[site]`.
    pub site: SiteSettings,
    /// `[generic_names]`.
    pub generic_names: GenericNameSettings,
    /// `[removal_policies]`, and how long tickets are kept.
    pub tickets: TicketSettings,
    /// `[dynamic_ranges] reason`; empty: no range is accepted.
    pub dynamic_ranges: String,
    /// `[netblocks] known_senders`.
    pub known_senders: KnownSenders,
    /// `[query_sample]`.
    pub query_sample: QuerySampleSettings,
    /// `[connections]`.
    pub connections: ConnectionLimits,
    /// `[process] user`.
    pub user: String,
    /// The keys that take effect at a restart, with their values.
    restart_values: Vec<(&'static str, String)>,
    /// Warnings of values that are valid and probably not intended.
    pub warnings: Vec<String>,
}

/// A listener of HTTP.
#[derive(Debug, Clone)]
pub struct HttpListener {
    /// Its address; `None`: there is no listener.
    pub listen: Option<SocketAddr>,
    /// Whether it uses the certificate of `[tls]`.
    pub tls: bool,
    /// `trusted_proxies` and `forwarded_header`.
    pub trusted_proxies: http::TrustedProxies,
}

/// The errors of a configuration, one line for each, with its file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

mod accounts;
mod comparisons;
mod connections;
mod document;
mod dynamic_ranges;
mod exports;
mod feed_loops;
mod feeds;
mod files;
mod generic_names;
pub mod keys;
mod listeners;
mod netblocks;
mod outputs;
pub mod probe;
pub mod proofs;
mod query_sample;
mod removal_policies;
mod renamed;
mod restart;
mod retention;
mod site;
mod start_checks;
mod tables;
mod value_errors;
mod values;
mod zones;

pub use files::{socket, store_path};
pub use values::{DEFAULT_MIN_DURATION, DEFAULT_PAUSE, DEFAULT_PORTS};

impl Config {
    /// The keys that take effect at a restart and differ from those of the running daemon.
    pub fn needs_restart(&self, running: &Config) -> Vec<&'static str> {
        let both = self.restart_values.iter().zip(&running.restart_values);
        both.filter(|(new, old)| new != old)
            .map(|((key, _), _)| *key)
            .collect()
    }

    /// The possible paths of the file with the state of the mirrors, the best one first: beside the
    /// store's folder, where it stays when the folder is moved away for a restore; or in the folder,
    /// if the daemon cannot write beside it.
    pub fn mirrors(&self) -> Vec<PathBuf> {
        let store = &self.store.path;
        let named =
            |name: &OsStr| store.with_file_name([name, ".mirrors.json".as_ref()].join("".as_ref()));
        let beside = store.file_name().map(named);
        beside
            .into_iter()
            .chain([store.join("mirrors.json")])
            .collect()
    }

    /// The path of the file of erasures on request: beside the store's folder, where it stays when
    /// the folder is moved away for a restore.
    pub fn erasures(&self) -> PathBuf {
        self.beside_store(".erasures.json")
    }

    /// The path of the file with the figures of the last days, beside the store's folder.
    pub fn statistics(&self) -> PathBuf {
        self.beside_store(".statistics.json")
    }

    /// The path of the folder with the daily figures of quality, beside the store's folder.
    pub fn quality(&self) -> PathBuf {
        self.beside_store(".quality")
    }

    /// A path beside the store's folder: its name with an ending.
    fn beside_store(&self, ending: &str) -> PathBuf {
        let store = &self.store.path;
        match store.file_name() {
            Some(name) => store.with_file_name([name, OsStr::new(ending)].join(OsStr::new(""))),
            None => store.join(ending),
        }
    }

    /// The path of the record of the clock, in the store's folder.
    pub fn clock(&self) -> PathBuf {
        self.store.path.join("clock")
    }

    /// Reads `config.toml` at `path` and the zone files it points to. Relative paths start at its
    /// folder.
    ///
    /// # Errors
    ///
    /// Every error of every file, in the order of files and lines. A syntax error is the only error
    /// of its file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let mut report = Report::default();
        match Config::read(path, &mut report) {
            Some(config) if report.is_valid() => Ok(Config {
                warnings: report.into_lines().1,
                ..config
            }),
            _ => Err(ConfigError(report.into_lines().0)),
        }
    }

    /// Reads all files. The result is not valid if `report` has an error.
    fn read(path: &Path, report: &mut Report) -> Option<Config> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = read_text(path, report)?;
        let file = File::read(Document::parse(path, &text, report)?, report);
        let names = reasons(&file.reason, path, report);
        let (special, webhook_ranges) = file.check_parts(report);
        let keys = std::sync::Arc::new(keys::read(&file.key, folder, report));
        let zones_folder = folder.join(&file.zones.path);
        let zone_tables = zones::read(&zones_folder, &names, report);
        let zones: Vec<Zone> = zone_tables.iter().map(|z| (**z).clone()).collect();
        let exports = exports::read(&file.export, &zones, folder, report);
        let store = folder.join(&file.store.path);
        let probe = probe::read(&file, folder, &store, &names, &special, &zones, report);
        let feeds = feeds::read(&file, folder, &names, &zones, &keys, report);
        let comparisons = comparisons::read(&file, &zones, &keys, report);
        zones::check(&file, &zone_tables, &zones_folder, &names, report);
        let generic_names = generic_names::read(&file, folder, &names, &special, report);
        let removals = own_file(
            file.removal_log.path.as_deref(),
            folder,
            &store,
            "removals.log",
            "data/removals.log",
        );
        let socket = files::socket_path(file.admin.socket.as_deref(), folder, &store);
        site::check(&file, report);
        removal_policies::check(&file, &zone_tables, &names, report);
        start_checks::check(&file, &store, &removals, &socket, report);
        let query_sample = query_sample::read(&file, &generic_names, report);
        let (netblock_rule, known_senders) = netblocks::read(&file, folder, &names, report);
        let dynamic_ranges = dynamic_ranges::read(&file, &names, report);
        let config = Config {
            ledger: ledger::LedgerSettings {
                reasons: file.reason.iter().map(reason_settings).collect(),
                zones,
                feeds: generic_names::feed_names(&file),
                special,
                nsid: file.dns.nsid.clone(),
                keys,
                removals: Some(removals),
                on_loss: file.removal_log.on_loss,
                mirrors: ledger::MirrorSerials::default(),
                proposals: ledger::ProposalLimits {
                    waiting: file.limits.max_pending_proposals,
                    daily: file.limits.max_proposals_per_day,
                },
                socket_users: accounts::socket_users(&file),
                retention: retention::read(&file, report),
                expiry_batch: ledger::ExpiryBatch::default(),
                netblocks: netblock_rule,
            },
            dns: server::DnsSettings {
                listen: file.dns.listen.clone(),
                workers: file.dns.workers,
            },
            feeds,
            comparisons,
            tls: file.tls.settings(folder, file.uses_tls_for_others()),
            exports,
            zones: zones_folder,
            socket,
            socket_group: file.admin.socket_group.clone(),
            admin: listeners::http_listener(
                &file.admin.listen,
                file.admin.tls,
                &file.admin.trusted_proxies,
                file.admin.forwarded_header,
            ),
            web: listeners::http_listener(
                &file.web.listen,
                file.web.tls,
                &file.web.trusted_proxies,
                file.web.forwarded_header,
            ),
            site: site::settings(&file),
            generic_names,
            dynamic_ranges,
            base_url: file.web.base_url.trim_end_matches('/').into(),
            json_log: file.log.format == LogFormat::Json,
            http_client: webhooks::HttpClientSettings {
                allow: webhook_ranges,
                resolvers: file.http_client.resolvers.clone(),
            },
            mail: mail::MailSettings {
                smarthost: file.mail.smarthost.clone(),
                from: file.mail.from.clone(),
                tls: file.mail.require_starttls,
            },
            probe,
            tickets: TicketSettings {
                policies: file.removal_policies.policies.clone(),
                control: proofs::control(&file),
            },
            proofs: proofs::settings(&file),
            known_senders,
            query_sample,
            connections: file.connections.settings(),
            user: file.process.user.clone(),
            store: store::StoreSettings {
                path: store,
                journal_age: file.journal.max_age,
                journal_size: file.journal.max_size.0,
                feed_event_age: file.history.feed_max_age,
                scrub_interval: file.store.scrub_interval,
                scrub_rate: file.store.scrub_rate.0,
                open_tables: store::MAX_OPEN_TABLES,
            },
            trust_at_start: file.clock.trust_at_start,
            restart_values: restart::values(&file),
            warnings: Vec::new(),
        };
        outputs::check(&file, path, &config, report);
        Some(config)
    }
}

fn reason_settings(r: &Table<ReasonTable>) -> ledger::ReasonSettings {
    ledger::ReasonSettings {
        name: r.name.clone(),
        text: r.text.clone(),
        lifetime: r.lifetime,
        two_persons: r.require_approval,
    }
}

/// The path of a file that the daemon writes: as configured, or `name` in the store's folder. An
/// existing file at `old`, the default of an earlier version, stays in use.
fn own_file(
    configured: Option<&Path>,
    folder: &Path,
    store: &Path,
    name: &str,
    old: &str,
) -> PathBuf {
    let (new, old) = (store.join(name), folder.join(old));
    match configured {
        Some(path) => folder.join(path),
        None if !new.exists() && old.is_file() => old,
        None => new,
    }
}

/// The names of the configured reasons.
pub(in crate::config) struct ReasonNames {
    names: Vec<String>,
    known: Reasons,
    /// Whether every entry could be read. If not, an unknown name is not an error.
    complete: bool,
}

impl ReasonNames {
    /// The error about a name that does not exist.
    fn unknown(&self, name: &str) -> Option<String> {
        let unknown = self.complete && !self.names.iter().any(|n| n == name);
        unknown.then(|| format!("unknown reason `{name}`{}", suggest(name, &self.names)))
    }
}

/// Checks the names of the reasons.
fn reasons(tables: &[Table<ReasonTable>], path: &Path, report: &mut Report) -> ReasonNames {
    let mut out = ReasonNames {
        names: Vec::new(),
        known: Reasons(NameTable::default()),
        complete: !tables.is_empty(),
    };
    for table in tables {
        let (name, mut report) = (&table.name, report.of(&table.place));
        if !table.place.has("name") || table.place.is_rejected("name") {
            report.error("name", "it is missing; write name = \"relay\", for example");
            out.complete = false;
            continue;
        }
        if out.known.get(name).is_some() {
            let text = format_args!("there are two reasons `{name}`; remove or rename one");
            report.error("name", text);
        } else {
            report.value("name", out.known.add(name));
        }
        out.names.push(name.clone());
    }
    if tables.is_empty() {
        let text =
            format_args!("there is no [[reason]]; define at least one (at most {MAX_REASONS})");
        report.file_error(path, text);
    }
    out
}

/// A name in lower case without the dot at its end.
fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl TlsTable {
    /// Checks the table without the certificate files, which not every command can read.
    fn check(&self, is_used_by_others: bool, report: &mut TableReport<'_>) {
        let all = [&self.listen, &self.https, &self.quic, &self.h3];
        if !is_used_by_others && all.iter().all(|addrs| addrs.is_empty()) {
            return;
        }
        for (key, path, what) in [
            ("certificate", &self.certificate, "the certificate"),
            ("key", &self.key, "its private key"),
        ] {
            report.error_if(
                path.as_os_str().is_empty(),
                key,
                format_args!("it is required when any TLS listener is configured; name the PEM file of {what}"),
            );
        }
        let path = &self.https_path;
        report.error_if(
            !path.starts_with('/') || path.contains(['?', '#', ' ']),
            "https_path",
            format_args!("`{path}` is not the path of a URL, such as /dns-query"),
        );
    }

    fn settings(&self, folder: &Path, web: bool) -> server::TlsSettings {
        let clients = Some(&self.client_ca).filter(|c| !c.as_os_str().is_empty());
        let files = server::CertificateFiles {
            certificate: folder.join(&self.certificate),
            key: folder.join(&self.key),
            clients: clients.map(|c| folder.join(c)),
        };
        server::TlsSettings {
            listen: self.listen.clone(),
            https: self.https.clone(),
            quic: self.quic.clone(),
            h3: self.h3.clone(),
            path: self.https_path.clone(),
            web,
            files,
        }
    }
}

impl File {
    /// Whether a listener of another table than `[tls]` uses its certificate.
    fn uses_tls_for_others(&self) -> bool {
        self.admin.tls || self.web.tls || self.collector.tls
    }

    /// Checks the tables of the parts. Returns the special ranges that may be listed, and those that
    /// webhooks may connect to.
    fn check_parts(&self, report: &mut Report) -> (Vec<Subject>, Vec<Subject>) {
        let mut limits = report.of(&self.limits.place);
        let listed = special_ranges(&self.limits.allow_special_ranges, &mut limits, |range| {
            format!("{range} can be listed although it is a special range")
        });
        let mut client = report.of(&self.http_client.place);
        let connected = special_ranges(
            &self.http_client.allow_special_ranges,
            &mut client,
            |range| format!("webhooks may connect to {range} although it is a special range"),
        );
        accounts::check(self, report);
        let nsid_bytes = self.dns.nsid.len();
        report.of(&self.dns.place).error_if(
            nsid_bytes > MAX_NSID,
            "nsid",
            format_args!("it has {nsid_bytes} bytes; at most {MAX_NSID} are sent"),
        );
        let mut tls = report.of(&self.tls.place);
        self.tls.check(self.uses_tls_for_others(), &mut tls);
        report.of(&self.store.place).error_if(
            self.store.scrub_rate.0 < MIN_SCRUB_RATE_BYTES,
            "scrub_rate",
            "a scrub at this rate would never end; write 64KiB or more",
        );
        self.connections
            .check(&mut report.of(&self.connections.place));
        listeners::check(self, report);
        listeners::check_proxies(self, report);
        proofs::check(self, report);
        (listed, connected)
    }
}

/// The special ranges of `allow_special_ranges`, each with a warning about its use.
fn special_ranges(
    texts: &[String],
    report: &mut TableReport<'_>,
    warning: impl Fn(&Subject) -> String,
) -> Vec<Subject> {
    let key = "allow_special_ranges";
    let mut ranges = Vec::new();
    for text in texts {
        if let Some(range) = report.value(key, text.parse::<Subject>()) {
            report.warning(key, warning(&range));
            ranges.push(range);
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
