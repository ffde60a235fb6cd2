//! The configuration: `config.toml` and one file for each zone, composed into the parts' settings.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    clock::TrustAtStart,
    dns::MAX_NSID,
    http, ledger, mail,
    model::{MAX_REASONS, Reasons, Subject, Zone, names::suggest, reason::NameTable},
    net::ConnectionLimits,
    server, store, webhooks,
};
use document::{Document, Place, Report, Table, read_text};
use tables::{File, LogFormat, ReasonTable, TlsTable};

/// The least rate of a scrub, in bytes a second.
const MIN_SCRUB_RATE_BYTES: u64 = 64 << 10;

/// The whole configuration in the form that the daemon uses.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[store]`, `[journal]`, `[history]`.
    pub store: store::StoreSettings,
    /// `[clock] trust_at_start`.
    pub trust_at_start: TrustAtStart,
    /// Reasons, zones, limits.
    pub ledger: ledger::LedgerSettings,
    /// `[dns]`.
    pub serve: server::DnsSettings,
    /// `[tls]`.
    pub secure: server::TlsSettings,
    /// `[zones] path`: the folder of the zone files.
    pub zones: PathBuf,
    /// `[[feed]]`.
    pub feeds: Vec<crate::feeds::FeedSettings>,
    /// `[admin] socket`.
    pub socket: PathBuf,
    /// `[admin] socket_group`: the group whose members may read through the socket; empty: the
    /// daemon's group.
    pub socket_group: String,
    /// `[admin] listen`: the API.
    pub admin: Option<SocketAddr>,
    /// `[http_client]`.
    pub http_client: webhooks::HttpClientSettings,
    /// `[mail]`.
    pub mail: mail::MailSettings,
    /// `[web] listen`: the public look-up.
    pub web: Option<SocketAddr>,
    /// `tls`, and `trusted_proxies` with `forwarded_header`, of `[admin]` and of `[web]`.
    pub doors: [(bool, http::TrustedProxies); 2],
    /// `[log] format`: JSON instead of text.
    pub json_log: bool,
    /// The `[[export]]` tables.
    pub exports: Vec<crate::exports::ExportSettings>,
    /// `[probe]` and `[collector]`.
    pub probe: probe::ProbeSettings,
    /// `[connections]`.
    pub connections: ConnectionLimits,
    /// `[process] user`.
    pub user: String,
    /// The keys that take effect at a restart, with their values.
    restart_values: Vec<(&'static str, String)>,
    /// Settings that are valid and probably not intended.
    pub warnings: Vec<String>,
}

/// The errors of a configuration, one line for each, with its file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

mod accounts;
mod connections;
mod document;
mod exports;
mod feed_loops;
mod feeds;
mod files;
pub mod keys;
mod listeners;
mod outputs;
pub mod probe;
mod renamed;
mod restart;
mod start_checks;
mod tables;
mod value_errors;
mod values;
mod zones;

pub use files::socket;
pub use values::{DEFAULT_MIN_DURATION, DEFAULT_PAUSE, DEFAULT_PORTS};

impl Config {
    /// The keys that have changed since the daemon was started, and take effect at a restart.
    pub fn needs_restart(&self, running: &Config) -> Vec<&'static str> {
        let both = self.restart_values.iter().zip(&running.restart_values);
        both.filter(|(new, old)| new != old)
            .map(|((key, _), _)| *key)
            .collect()
    }

    /// The possible paths of the file with the state of the mirrors: beside the store's folder, so
    /// that it stays when the folder is moved away for a restore; or in the folder, if the daemon
    /// cannot write beside it.
    pub fn mirrors(&self) -> Vec<PathBuf> {
        let store = &self.store.path;
        let beside = store
            .file_name()
            .map(|name| store.with_file_name([name, ".mirrors.json".as_ref()].join("".as_ref())));
        beside
            .into_iter()
            .chain([store.join("mirrors.json")])
            .collect()
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
    /// Every error of every file, in the order of files and lines. A file with a syntax error has
    /// this error alone.
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

    /// Reads everything; where `report` has an error the result is not to be used.
    fn read(path: &Path, report: &mut Report) -> Option<Config> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = read_text(path, report)?;
        let file = File::read(Document::parse(path, &text, report)?, report);
        let names = reasons(&file.reason, path, report);
        let special = file.check_parts(report);
        let keys = std::sync::Arc::new(keys::read(&file.key, folder, report));
        let zones_folder = folder.join(&file.zones.path);
        let zone_tables = zones::read(&zones_folder, &names, report);
        let zones: Vec<Zone> = zone_tables.iter().map(|z| (**z).clone()).collect();
        let exports = exports::read(&file.export, &zones, folder, report);
        let store = folder.join(&file.store.path);
        let probe = probe::read(&file, (folder, &store), (&names, &special, &zones), report);
        let feeds = feeds::read(&file, folder, (&names, &zones, &keys), report);
        zones::check(&file, &zone_tables, &zones_folder, &names, report);
        let removals = own_file(
            file.removal_log.path.as_deref(),
            folder,
            &store,
            ("removals.log", "data/removals.log"),
        );
        let socket = files::socket_path(file.admin.socket.as_deref(), folder, &store);
        start_checks::check(&file, (&store, &removals, &socket), report);
        let config = Config {
            ledger: ledger::LedgerSettings {
                reasons: file.reason.iter().map(reason_settings).collect(),
                zones,
                feeds: file.feed.iter().map(|f| f.name.clone()).collect(),
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
            },
            serve: server::DnsSettings {
                listen: file.dns.listen.clone(),
                workers: file.dns.workers,
            },
            feeds,
            secure: file
                .tls
                .settings(folder, file.admin.tls || file.web.tls || file.collector.tls),
            exports,
            zones: zones_folder,
            socket,
            socket_group: file.admin.socket_group.clone(),
            // `listeners::check` has refused texts that are not addresses.
            admin: file.admin.listen.parse().ok(),
            web: file.web.listen.parse().ok(),
            doors: [
                (
                    file.admin.tls,
                    listeners::trusted(&file.admin.trusted_proxies, file.admin.forwarded_header),
                ),
                (
                    file.web.tls,
                    listeners::trusted(&file.web.trusted_proxies, file.web.forwarded_header),
                ),
            ],
            json_log: file.log.format == LogFormat::Json,
            http_client: webhooks::HttpClientSettings {
                allow: file
                    .http_client
                    .allow_special_ranges
                    .iter()
                    .filter_map(|a| a.parse().ok())
                    .collect(),
                resolvers: file.http_client.resolvers.clone(),
            },
            mail: mail::MailSettings {
                smarthost: file.mail.smarthost.clone(),
                from: file.mail.from.clone(),
                tls: file.mail.require_starttls,
            },
            probe,
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

/// The path of a file that the daemon writes: as configured, or in the store's folder. A file that
/// an earlier version made at its default in the folder of the configuration stays in use.
fn own_file(
    configured: Option<&Path>,
    folder: &Path,
    store: &Path,
    (name, old): (&str, &str),
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
    /// Whether every entry could be read, so that an unknown name is an error.
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
        let name = &table.name;
        if !table.place.has("name") || table.place.is_rejected("name") {
            report.error(
                &table.place,
                "name",
                "it is missing; write name = \"relay\", for example",
            );
            out.complete = false;
            continue;
        }
        if out.known.get(name).is_some() {
            report.error(
                &table.place,
                "name",
                format_args!("there are two reasons `{name}`; remove or rename one"),
            );
        } else if let Err(e) = out.known.add(name) {
            report.error(&table.place, "name", e);
        }
        out.names.push(name.clone());
    }
    if tables.is_empty() {
        report.file_error(
            path,
            format_args!("there is no [[reason]]; define at least one (at most {MAX_REASONS})"),
        );
    }
    out
}

impl TlsTable {
    /// Checks what can be checked without reading the certificate, which only the daemon and
    /// `check` can.
    fn check(&self, place: &Place, web: bool, report: &mut Report) {
        let all = [&self.listen, &self.https, &self.quic, &self.h3];
        if !web && all.iter().all(|addrs| addrs.is_empty()) {
            return;
        }
        for (key, path, what) in [
            ("certificate", &self.certificate, "the certificate"),
            ("key", &self.key, "its private key"),
        ] {
            if path.as_os_str().is_empty() {
                report.error(place, key, format_args!("it is required when any TLS listener is configured; name the PEM file of {what}"));
            }
        }
        if !self.https_path.starts_with('/') || self.https_path.contains(['?', '#', ' ']) {
            report.error(
                place,
                "https_path",
                format_args!(
                    "`{}` is not the path of a URL, such as /dns-query",
                    self.https_path
                ),
            );
        }
    }

    fn settings(&self, folder: &Path, web: bool) -> server::TlsSettings {
        let clients = Some(&self.client_ca)
            .filter(|c| !c.as_os_str().is_empty())
            .map(|c| folder.join(c));
        let files = server::CertificateFiles {
            certificate: folder.join(&self.certificate),
            key: folder.join(&self.key),
            clients,
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
    /// Checks the tables of the parts and returns the special ranges that may be listed.
    fn check_parts(&self, report: &mut Report) -> Vec<Subject> {
        let mut special = Vec::new();
        for s in &self.limits.allow_special_ranges {
            match s.parse::<Subject>() {
                Ok(s) => {
                    report.warning(
                        &self.limits.place,
                        "allow_special_ranges",
                        format_args!("{s} can be listed although it is a special range"),
                    );
                    special.push(s);
                }
                Err(e) => report.error(&self.limits.place, "allow_special_ranges", e),
            }
        }
        for a in &self.http_client.allow_special_ranges {
            match a.parse::<Subject>() {
                Ok(a) => {
                    let text =
                        format_args!("webhooks may connect to {a} although it is a special range");
                    report.warning(&self.http_client.place, "allow_special_ranges", text);
                }
                Err(e) => report.error(&self.http_client.place, "allow_special_ranges", e),
            }
        }
        accounts::check(self, report);
        if self.dns.nsid.len() > MAX_NSID {
            report.error(
                &self.dns.place,
                "nsid",
                format_args!(
                    "it has {} bytes; at most {MAX_NSID} are sent",
                    self.dns.nsid.len()
                ),
            );
        }
        self.tls.check(
            &self.tls.place,
            self.admin.tls || self.web.tls || self.collector.tls,
            report,
        );
        if self.store.scrub_rate.0 < MIN_SCRUB_RATE_BYTES {
            report.error(
                &self.store.place,
                "scrub_rate",
                "a scrub at this rate would never end; write 64KiB or more",
            );
        }
        self.connections.check(&self.connections.place, report);
        listeners::check(self, report);
        listeners::check_proxies(self, report);
        special
    }
}

#[cfg(test)]
mod tests;
