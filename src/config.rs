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

/// Everything, as the daemon wants it.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[store]`, `[journal]`, `[history]`.
    pub store: store::StoreSettings,
    /// `[clock] trust_at_start`.
    pub trust_at_start: TrustAtStart,
    /// Reasons, zones, limits.
    pub ledger: ledger::LedgerSettings,
    /// `[dns]`.
    pub serve: server::Settings,
    /// `[tls]`.
    pub secure: server::secure::Settings,
    /// `[zones] path`: the folder of the zone files.
    pub zones: PathBuf,
    /// `[[feed]]`.
    pub feeds: Vec<crate::feeds::Settings>,
    /// `[admin] socket`.
    pub socket: PathBuf,
    /// `[admin] socket_group`: whose members may read through the socket; empty: the group of the
    /// daemon.
    pub socket_group: String,
    /// `[admin] listen`: the API.
    pub admin: Option<SocketAddr>,
    /// `[outgoing]`.
    pub outgoing: webhooks::OutgoingSettings,
    /// `[mail]`.
    pub mail: mail::MailSettings,
    /// `[web] listen`: the public look-up.
    pub web: Option<SocketAddr>,
    /// `tls`, and `trust` with `forwarded`, of `[admin]` and of `[web]`.
    pub doors: [(bool, http::TrustedProxies); 2],
    /// `[log] format`: JSON instead of text.
    pub json_log: bool,
    /// The `[[export]]` tables.
    pub exports: Vec<crate::exports::Settings>,
    /// `[probe]` and `[collect]`.
    pub probe: probe::Settings,
    /// `[connections]`.
    pub connections: ConnectionLimits,
    /// `[process] user`.
    pub user: String,
    /// Things to think over.
    pub warnings: Vec<String>,
}

/// What is wrong with it: one line for each, with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

mod accepted;
mod connections;
mod document;
mod exports;
mod feeds;
mod files;
pub mod keys;
mod listen;
mod outputs;
mod people;
pub mod probe;
mod rings;
mod start;
mod tables;
mod zones;

pub use files::socket;

impl Config {
    /// The sections that differ from a running daemon's and are only read at start.
    pub fn needs_restart(&self, running: &Config) -> Vec<&'static str> {
        let mut out = Vec::new();
        let mut section = |name, changed: bool| out.extend(changed.then_some(name));
        let (a, b) = (&self.store, &running.store);
        section(
            "[store]",
            (&a.path, a.scrub_every, a.scrub_rate) != (&b.path, b.scrub_every, b.scrub_rate),
        );
        section("[clock]", self.trust_at_start != running.trust_at_start);
        section(
            "[journal]",
            (a.journal_age, a.journal_size) != (b.journal_age, b.journal_size),
        );
        section("[history]", a.feed_event_age != b.feed_event_age);
        section("[dns] listen or workers", self.serve != running.serve);
        let (a, b) = (&self.secure, &running.secure);
        section(
            "[tls] listen, https, quic, h3 or path",
            (&a.listen, &a.https, &a.quic, &a.h3, &a.path)
                != (&b.listen, &b.https, &b.quic, &b.h3, &b.path),
        );
        let admin = |c: &Config| (c.socket.clone(), c.socket_group.clone(), c.admin);
        section(
            "[admin] socket, socket_group or listen",
            admin(self) != admin(running),
        );
        section(
            "[outgoing] or [mail]",
            (&self.outgoing, &self.mail) != (&running.outgoing, &running.mail),
        );
        section("[web] listen", self.web != running.web);
        section(
            "[admin] or [web] tls, trust or forwarded",
            self.doors != running.doors,
        );
        let probe = |c: &Config| {
            (
                c.probe.scheduler.clone(),
                c.probe.listen.clone(),
                c.probe.receiver.clone(),
                c.probe.key.clone(),
            )
        };
        section(
            "[collect], or hello, domain, key or the pace of [probe],",
            probe(self) != probe(running),
        );
        section("[connections]", self.connections != running.connections);
        section("[log]", self.json_log != running.json_log);
        section("[process]", self.user != running.user);
        out
    }

    /// Where what is known of the mirrors may be kept: beside the store's folder, so that it stays
    /// when that is moved away for a restore; or in it, where nothing can be written beside it.
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

    /// Where the record of the clock is kept: beside the store.
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
        let removals = beside(
            file.removals.path.as_deref(),
            folder,
            &store,
            ("removals.log", "data/removals.log"),
        );
        let socket = files::socket_path(file.admin.socket.as_deref(), folder, &store);
        start::check(&file, (&store, &removals, &socket), report);
        let config = Config {
            ledger: ledger::LedgerSettings {
                reasons: file.reason.iter().map(reason_settings).collect(),
                zones,
                feeds: file.feed.iter().map(|f| f.name.clone()).collect(),
                special,
                nsid: file.dns.nsid.clone(),
                keys,
                removals: Some(removals),
                on_loss: file.removals.on_loss,
                mirrors: ledger::SeenSerials::default(),
                proposals: ledger::ProposalLimits {
                    waiting: file.limits.waiting_proposals,
                    daily: file.limits.daily_proposals,
                },
                socket_users: people::socket_users(&file),
            },
            serve: server::Settings {
                listen: file.dns.listen.clone(),
                workers: file.dns.workers,
            },
            feeds,
            secure: file
                .tls
                .settings(folder, file.admin.tls || file.web.tls || file.collect.tls),
            exports,
            zones: zones_folder,
            socket,
            socket_group: file.admin.socket_group.clone(),
            // What is no address was refused above.
            admin: file.admin.listen.parse().ok(),
            web: file.web.listen.parse().ok(),
            doors: [
                (
                    file.admin.tls,
                    listen::trusted(&file.admin.trust, file.admin.forwarded),
                ),
                (
                    file.web.tls,
                    listen::trusted(&file.web.trust, file.web.forwarded),
                ),
            ],
            json_log: file.log.format == LogFormat::Json,
            outgoing: webhooks::OutgoingSettings {
                allow: file
                    .outgoing
                    .allow
                    .iter()
                    .filter_map(|a| a.parse().ok())
                    .collect(),
                resolvers: file.outgoing.resolvers.clone(),
            },
            mail: mail::MailSettings {
                smarthost: file.mail.smarthost.clone(),
                from: file.mail.from.clone(),
                tls: file.mail.tls,
            },
            probe,
            connections: file.connections.settings(),
            user: file.process.user.clone(),
            store: store::StoreSettings {
                path: store,
                journal_age: file.journal.age,
                journal_size: file.journal.size.0,
                feed_event_age: file.history.feeds,
                scrub_every: file.store.scrub_every,
                scrub_rate: file.store.scrub_rate.0,
                open_tables: store::MAX_OPEN_TABLES,
            },
            trust_at_start: file.clock.trust_at_start,
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
        two_persons: r.two_persons,
    }
}

/// The path of a file of the daemon's own: as configured, or beside the store, where the daemon may
/// write. A file that an older version made at its default in the folder of the configuration stays
/// where it is.
fn beside(
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
    /// Whether every entry could be read, so that a name that is not here does not exist.
    complete: bool,
}

impl ReasonNames {
    /// What to say of a name that does not exist.
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
    /// What can be said without reading the certificate, which only the daemon and `check` have to
    /// be able to.
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
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            report.error(
                place,
                "path",
                format_args!(
                    "`{}` is not the path of a URL, such as /dns-query",
                    self.path
                ),
            );
        }
    }

    fn settings(&self, folder: &Path, web: bool) -> server::secure::Settings {
        let clients = Some(&self.clients)
            .filter(|c| !c.as_os_str().is_empty())
            .map(|c| folder.join(c));
        let files = server::Files {
            certificate: folder.join(&self.certificate),
            key: folder.join(&self.key),
            clients,
        };
        server::secure::Settings {
            listen: self.listen.clone(),
            https: self.https.clone(),
            quic: self.quic.clone(),
            h3: self.h3.clone(),
            path: self.path.clone(),
            web,
            files,
        }
    }
}

impl File {
    /// Checks the tables of the parts and returns the special ranges that may be listed.
    fn check_parts(&self, report: &mut Report) -> Vec<Subject> {
        let mut special = Vec::new();
        for s in &self.limits.special {
            match s.parse::<Subject>() {
                Ok(s) => {
                    report.warning(
                        &self.limits.place,
                        "special",
                        format_args!("{s} can be listed although it is a special range"),
                    );
                    special.push(s);
                }
                Err(e) => report.error(&self.limits.place, "special", e),
            }
        }
        for a in &self.outgoing.allow {
            match a.parse::<Subject>() {
                Ok(a) => {
                    let text =
                        format_args!("webhooks may connect to {a} although it is a special range");
                    report.warning(&self.outgoing.place, "allow", text);
                }
                Err(e) => report.error(&self.outgoing.place, "allow", e),
            }
        }
        people::check(self, report);
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
            self.admin.tls || self.web.tls || self.collect.tls,
            report,
        );
        if self.store.scrub_rate.0 < MIN_SCRUB_RATE_BYTES {
            report.error(
                &self.store.place,
                "scrub_rate",
                "a scrub that slow does not end; take 64KiB or more",
            );
        }
        self.connections.check(&self.connections.place, report);
        listen::check(self, report);
        listen::check_proxies(self, report);
        special
    }
}

#[cfg(test)]
mod tests;
