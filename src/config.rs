//! The configuration: `config.toml` and one file for each zone, composed into the parts' settings.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    dns::MAX_NSID,
    exports, feed, format, hooks,
    index::{ZoneSet, ZoneView},
    intake::ErrorAllowance,
    ledger, mail,
    model::{
        MAX_REASONS, Reasons, Subject, Zone,
        reason::Names,
        time::Seconds,
        zone::{Lint, lint_reasons},
    },
    net::Connections,
    serve, store,
};

/// Everything, as the daemon wants it.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[store]`, `[journal]`, `[history]`.
    pub store: store::Settings,
    /// Reasons, zones, limits.
    pub ledger: ledger::Settings,
    /// `[dns]`.
    pub serve: serve::Settings,
    /// `[tls]`.
    pub secure: serve::secure::Settings,
    /// `[zones] path`: the folder of the zone files.
    pub zones: PathBuf,
    /// `[[feed]]`.
    pub feeds: Vec<feed::Settings>,
    /// `[admin] socket`.
    pub socket: PathBuf,
    /// `[admin] listen`: the API.
    pub admin: Option<SocketAddr>,
    /// `[outgoing]`.
    pub outgoing: hooks::Settings,
    /// `[mail]`.
    pub mail: mail::Settings,
    /// `[web] listen`: the public look-up.
    pub web: Option<SocketAddr>,
    /// `tls` and `trust` of `[admin]` and of `[web]`.
    pub doors: [(bool, Vec<Subject>); 2],
    /// `[log] format`: JSON instead of text.
    pub json_log: bool,
    /// The `[[export]]` tables.
    pub exports: Vec<exports::Settings>,
    /// `[probe]` and `[collect]`.
    pub probe: probe::Settings,
    /// `[connections]`.
    pub connections: Connections,
    /// `[process] user`.
    pub user: String,
    /// Things to think over.
    pub warnings: Vec<String>,
}

/// What is wrong with it: one line for each, with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $ty:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(default)]
        #[allow(dead_code)] // some keys belong to parts that come later, and are accepted and checked already
        pub(in crate::config) struct $name { $(pub(in crate::config) $key: $ty,)* }
        impl Default for $name {
            fn default() -> $name {
                $name { $($key: $default,)* }
            }
        }
    };
}

mod connections;
mod feeds;
pub mod keys;
mod listen;
pub mod probe;

section!(StoreFile { path: PathBuf = "data".into() });
section!(JournalFile { age: Seconds = Seconds(7 * 86_400), size: String = "1GiB".into() });
section!(HistoryFile { feeds: Seconds = Seconds(90 * 86_400) });
section!(RemovalsFile { path: PathBuf = "data/removals.log".into() });
section!(DnsFile { listen: Vec<SocketAddr> = default_listen(), workers: usize = 0, nsid: String = String::new() });
section!(TlsFile {
    listen: Vec<SocketAddr> = vec![],
    https: Vec<SocketAddr> = vec![],
    quic: Vec<SocketAddr> = vec![],
    path: String = "/dns-query".into(),
    certificate: PathBuf = PathBuf::new(),
    key: PathBuf = PathBuf::new(),
    clients: PathBuf = PathBuf::new(),
});
section!(AdminFile {
    listen: String = "127.0.0.1:8053".into(),
    socket: PathBuf = "data/orbsd.sock".into(),
    tls: bool = false,
    trust: Vec<String> = vec![],
});
section!(LogFile { format: String = "text".into() });
section!(WebFile {
    listen: String = String::new(),
    base_url: String = "http://127.0.0.1:8054".into(),
    tls: bool = false,
    trust: Vec<String> = vec![],
});
section!(ZonesFile { path: PathBuf = "zones".into() });
section!(LimitsFile { special: Vec<String> = vec![] });
section!(OutgoingFile { allow: Vec<String> = vec![], resolvers: Vec<SocketAddr> = vec![] });
section!(MailFile { smarthost: String = String::new(), from: String = String::new(), tls: bool = true });
section!(ProcessFile { user: String = String::new() });
section!(ReasonFile { name: String = String::new(), text: String = String::new(), lifetime: Option<Seconds> = None, two_persons: bool = false });
section!(KeyFile { name: String = String::new(), algorithm: String = "hmac-sha256".into(), file: PathBuf = PathBuf::new() });
section!(FeedFile {
    name: String = String::new(),
    kind: String = "file".into(),
    path: PathBuf = PathBuf::new(),
    format: String = String::new(),
    reason: String = String::new(),
    codes: String = String::new(),
    every: Seconds = Seconds(300),
    max_age: Option<Seconds> = None,
    server: String = String::new(),
    zone: String = String::new(),
    key: String = String::new(),
    column: Option<String> = None,
    origin: Option<String> = None,
    dataset: Option<String> = None,
    subzone: Option<String> = None,
    host_bits: Option<bool> = None,
    skip_errors: Option<ErrorAllowance> = None,
    special: Option<bool> = None,
    allow_empty: Option<bool> = None,
    allow_suffixes: Option<Vec<String>> = None,
    max_shrink: Option<String> = None,
    max_growth: Option<u64> = None,
    shrink_wait: Option<Seconds> = None,
});
section!(ExportFile {
    zone: String = String::new(),
    format: String = String::new(),
    action: String = String::new(),
    path: PathBuf = PathBuf::new(),
    every: Seconds = Seconds(300),
});
section!(
    /// `config.toml`.
    File {
        store: StoreFile = Default::default(),
        journal: JournalFile = Default::default(),
        history: HistoryFile = Default::default(),
        removals: RemovalsFile = Default::default(),
        dns: DnsFile = Default::default(),
        tls: TlsFile = Default::default(),
        admin: AdminFile = Default::default(),
        web: WebFile = Default::default(),
        log: LogFile = Default::default(),
        zones: ZonesFile = Default::default(),
        limits: LimitsFile = Default::default(),
        outgoing: OutgoingFile = Default::default(),
        mail: MailFile = Default::default(),
        probe: probe::ProbeFile = Default::default(),
        collect: probe::CollectFile = Default::default(),
        connections: connections::ConnectionsFile = Default::default(),
        process: ProcessFile = Default::default(),
        reason: Vec<ReasonFile> = vec![],
        key: Vec<KeyFile> = vec![],
        feed: Vec<FeedFile> = vec![],
        export: Vec<ExportFile> = vec![],
    }
);

fn default_listen() -> Vec<SocketAddr> {
    [([127, 0, 0, 1], 5300).into(), (std::net::Ipv6Addr::LOCALHOST, 5300).into()].into()
}

/// Bytes as `512MiB`, `1GiB` or a plain number.
fn bytes(text: &str) -> Result<u64, String> {
    let t = text.trim();
    let (number, unit) = match t.find(|c: char| !c.is_ascii_digit()) {
        Some(i) => t.split_at(i),
        None => (t, ""),
    };
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(format!("`{text}` is not a size; write it as 512MiB or 1GiB")),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or_else(|| format!("`{text}` is not a size"))
}

/// Reads a TOML file; every key that is not known is an error with its name.
fn read<T: DeserializeOwned>(path: &Path, errors: &mut Vec<String>) -> Option<T> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(t) => t,
        Err(e) => {
            errors.push(format!("{shown}: {e}"));
            return None;
        }
    };
    let place = |e: &toml::de::Error| match e.span() {
        Some(s) => format!("{shown}:{}", text[..s.start.min(text.len())].matches('\n').count() + 1),
        None => shown.to_string(),
    };
    let parsed = toml::Deserializer::parse(&text).and_then(|d| {
        let mut unknown = Vec::new();
        let value = serde_ignored::deserialize(d, |key| unknown.push(key.to_string()))?;
        Ok((value, unknown))
    });
    match parsed {
        Ok((value, unknown)) => {
            let place = |k: &str| line_of(&text, k.rsplit('.').next().unwrap_or(k));
            errors.extend(unknown.into_iter().map(|k| format!("{shown}{}: there is no key `{k}`", place(&k))));
            Some(value)
        }
        Err(e) => {
            errors.push(format!("{}: {}", place(&e), e.message()));
            None
        }
    }
}

/// Where a key of a file is set, for messages: `:LINE`, or nothing.
fn line_of(text: &str, key: &str) -> String {
    let sets = |l: &str| l.trim_start().strip_prefix(key).is_some_and(|r| r.trim_start().starts_with(['=', ']']));
    let head = |l: &str| l.trim().trim_matches(['[', ']']) == key;
    text.lines().position(|l| sets(l) || head(l)).map_or(String::new(), |i| format!(":{}", i + 1))
}

impl Config {
    /// The sections that differ from a running daemon's and are only read at start.
    pub fn needs_restart(&self, running: &Config) -> Vec<&'static str> {
        let mut out = Vec::new();
        let mut section = |name, changed: bool| out.extend(changed.then_some(name));
        let (a, b) = (&self.store, &running.store);
        section("[store]", a.path != b.path);
        section("[journal]", (a.journal_age, a.journal_size) != (b.journal_age, b.journal_size));
        section("[history]", a.churn_age != b.churn_age);
        section("[dns] listen or workers", self.serve != running.serve);
        let (a, b) = (&self.secure, &running.secure);
        section("[tls] listen, https, quic or path", (&a.listen, &a.https, &a.quic, &a.path) != (&b.listen, &b.https, &b.quic, &b.path));
        section("[admin] socket or listen", (&self.socket, self.admin) != (&running.socket, running.admin));
        section("[outgoing] or [mail]", (&self.outgoing, &self.mail) != (&running.outgoing, &running.mail));
        section("[web] listen", self.web != running.web);
        section("[admin] or [web] tls or trust", self.doors != running.doors);
        let probe = |c: &Config| (c.probe.schedule.clone(), c.probe.listen.clone(), c.probe.receiver.clone(), c.probe.key.clone());
        section("[collect], or hello, domain, key or the pace of [probe],", probe(self) != probe(running));
        section("[connections]", self.connections != running.connections);
        section("[log]", self.json_log != running.json_log);
        section("[process]", self.user != running.user);
        out
    }

    /// Where what is known of the mirrors is kept: beside the store.
    pub fn mirrors(&self) -> PathBuf {
        self.store.path.join("mirrors.json")
    }

    /// Reads `config.toml` at `path` and the zone files it points to. Relative paths start at its folder.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let mut errors = Vec::new();
        let folder = path.parent().unwrap_or(Path::new(""));
        let Some(file) = read::<File>(path, &mut errors) else { return Err(ConfigError(errors)) };
        let mut warnings = Vec::new();
        let shown = path.display();
        let mut wrong = |text: String| errors.push(format!("{shown}: {text}"));
        let (names, seen) = reasons(&file.reason, &mut wrong);
        let journal_size = bytes(&file.journal.size).unwrap_or_else(|e| {
            wrong(format!("journal.size: {e}"));
            0
        });
        let mut special = Vec::new();
        file.check_parts(&mut special, &mut warnings, &shown.to_string(), &mut wrong);
        let keys = std::sync::Arc::new(keys::read(&file.key, folder, &shown.to_string(), &mut errors));
        let zones = read_zones(&folder.join(&file.zones.path), &names, &mut errors, &mut warnings);
        if zones.is_empty() {
            warnings.push(format!("{}: there is no zone file; nothing is answered", folder.join(&file.zones.path).display()));
        }
        let exports = file.exports(&zones, folder, &mut |text| errors.push(format!("{shown}: {text}")));
        let mut wrong = |text: String| errors.push(format!("{shown}: {text}"));
        let probe = probe::read((&file.probe, &file.collect), folder, (&names, &special, &zones), &mut warnings, &mut wrong);
        let feeds = feeds::read(&file.feed, folder, (&names, &zones, &keys), &mut wrong);
        check_zones(&file, &zones, &folder.join(&file.zones.path), &seen, &mut errors);
        if !errors.is_empty() {
            return Err(ConfigError(errors));
        }
        let reason =
            |r: ReasonFile| ledger::ReasonSettings { name: r.name, text: r.text, lifetime: r.lifetime, two_persons: r.two_persons };
        Ok(Config {
            store: store::Settings {
                path: folder.join(file.store.path),
                journal_age: file.journal.age,
                journal_size,
                churn_age: file.history.feeds,
                open_tables: store::MAX_OPEN_TABLES,
            },
            ledger: ledger::Settings {
                reasons: file.reason.into_iter().map(reason).collect(),
                zones,
                special,
                nsid: file.dns.nsid,
                keys,
                removals: Some(folder.join(file.removals.path)),
            },
            serve: serve::Settings { listen: file.dns.listen, workers: file.dns.workers },
            feeds,
            secure: file.tls.settings(folder, file.admin.tls || file.web.tls || file.collect.tls),
            exports,
            zones: folder.join(file.zones.path),
            socket: folder.join(file.admin.socket),
            // What is no address was refused above.
            admin: file.admin.listen.parse().ok(),
            web: file.web.listen.parse().ok(),
            doors: [(file.admin.tls, file.admin.trust), (file.web.tls, file.web.trust)]
                .map(|(tls, trust)| (tls, trust.iter().filter_map(|t| t.parse().ok()).collect())),
            json_log: file.log.format == "json",
            outgoing: hooks::Settings {
                allow: file.outgoing.allow.iter().filter_map(|a| a.parse().ok()).collect(),
                resolvers: file.outgoing.resolvers,
            },
            mail: mail::Settings { smarthost: file.mail.smarthost, from: file.mail.from, tls: file.mail.tls },
            probe,
            connections: connections::settings(&file.connections),
            user: file.process.user,
            warnings,
        })
    }
}

/// The names of the reasons, checked.
fn reasons(file: &[ReasonFile], wrong: &mut dyn FnMut(String)) -> (Vec<String>, Reasons) {
    let names: Vec<String> = file.iter().map(|r| r.name.clone()).collect();
    let mut seen = Reasons(Names::default());
    for name in &names {
        if seen.get(name).is_some() {
            wrong(format!("the reason `{name}` is there twice"));
        }
        if let Err(e) = seen.add(name) {
            wrong(format!("reason: {e}"));
        }
    }
    if names.is_empty() {
        wrong(format!("there is no [[reason]]; a list needs one (and knows at most {MAX_REASONS})"));
    }
    (names, seen)
}

impl TlsFile {
    /// What can be said without reading the certificate, which only the daemon and `check` have to be able to.
    fn check(&self, web: bool, wrong: &mut dyn FnMut(String)) {
        if !web && self.listen.is_empty() && self.https.is_empty() && self.quic.is_empty() {
            return;
        }
        for (key, path, what) in [("certificate", &self.certificate, "the certificate"), ("key", &self.key, "its private key")] {
            if path.as_os_str().is_empty() {
                wrong(format!("tls.{key}: an encrypted front needs it; name the PEM file of {what}"));
            }
        }
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            wrong(format!("tls.path: `{}` is not the path of an address, such as /dns-query", self.path));
        }
    }

    fn settings(self, folder: &Path, web: bool) -> serve::secure::Settings {
        let clients = Some(self.clients).filter(|c| !c.as_os_str().is_empty()).map(|c| folder.join(c));
        let files = serve::Files { certificate: folder.join(self.certificate), key: folder.join(self.key), clients };
        serve::secure::Settings { listen: self.listen, https: self.https, quic: self.quic, path: self.path, web, files }
    }
}

impl File {
    /// What the parts' tables say, checked; the special ranges are read.
    fn check_parts(&self, special: &mut Vec<Subject>, warnings: &mut Vec<String>, shown: &str, wrong: &mut dyn FnMut(String)) {
        for s in &self.limits.special {
            match s.parse::<Subject>() {
                Ok(s) => {
                    warnings.push(format!("{shown}: limits.special: {s} can be listed although it is a special range"));
                    special.push(s);
                }
                Err(e) => wrong(format!("limits.special: {e}")),
            }
        }
        if !self.mail.smarthost.is_empty()
            && let Err(e) = mail::check(&self.mail.from)
        {
            wrong(format!("mail.from: {e}; it is the sender of what goes to the smart host"));
        }
        for a in &self.outgoing.allow {
            match a.parse::<Subject>() {
                Ok(a) => warnings.push(format!("{shown}: outgoing.allow: webhooks may connect to {a} although it is a special range")),
                Err(e) => wrong(format!("outgoing.allow: {e}")),
            }
        }
        if self.dns.nsid.len() > MAX_NSID {
            wrong(format!("dns.nsid: at most {MAX_NSID} bytes"));
        }
        self.tls.check(self.admin.tls || self.web.tls || self.collect.tls, wrong);
        for (key, trust) in [("admin.trust", &self.admin.trust), ("web.trust", &self.web.trust)] {
            trust.iter().filter_map(|t| t.parse::<Subject>().err()).for_each(|e| wrong(format!("{key}: {e}")));
        }
        if !["text", "json"].contains(&self.log.format.as_str()) {
            wrong(format!("log.format: `{}` is not text or json", self.log.format));
        }
        connections::check(&self.connections, wrong);
        listen::check(self, wrong);
    }
}

impl File {
    /// The `[[export]]` tables, checked.
    fn exports(&self, zones: &[Zone], folder: &Path, wrong: &mut dyn FnMut(String)) -> Vec<exports::Settings> {
        let bare = |o: &str| o.trim_end_matches('.').to_ascii_lowercase();
        let mut out: Vec<exports::Settings> = Vec::new();
        for e in &self.export {
            let about = format!("export {}", e.path.display());
            let Some(zone) = zones.iter().find(|z| bare(&z.origin) == bare(&e.zone) || z.stem == e.zone) else {
                let known: Vec<&str> = zones.iter().map(|z| z.stem.as_str()).collect();
                wrong(format!("{about}: there is no zone `{}`; there are {}", e.zone, known.join(", ")));
                continue;
            };
            if let Err(why) = format::write::check(&e.format, &e.action, zone.kind) {
                wrong(format!("{about}: {why}"));
            }
            let path = folder.join(&e.path);
            if e.path.file_name().is_none() {
                wrong(format!("export of {}: path: it has to name a file", e.zone));
            }
            if out.iter().any(|o| o.path == path) {
                wrong(format!("{about}: another [[export]] writes this file too"));
            }
            if e.every.0 == 0 {
                wrong(format!("{about}: every: take 1s or more"));
            }
            let (format, action) = (e.format.clone(), e.action.clone());
            out.push(exports::Settings { zone: bare(&zone.origin), format, action, path, every: e.every });
        }
        out
    }
}

/// What takes more than a zone's own file: its keys, and whether the daemon can make it ready.
fn check_zones(file: &File, zones: &[Zone], folder: &Path, seen: &Reasons, errors: &mut Vec<String>) {
    let bare = |k: &str| k.trim_end_matches('.').to_ascii_lowercase();
    let keys: Vec<String> = file.key.iter().map(|k| bare(&k.name)).collect();
    let texts: HashMap<String, String> = file.reason.iter().map(|r| (r.name.clone(), r.text.clone())).collect();
    for (i, e) in lint_reasons(zones) {
        errors.push(format!("{}: {e}", folder.join(format!("{}.toml", zones[i].stem)).display()));
    }
    let mut views = Vec::new();
    for zone in zones {
        let shown = folder.join(format!("{}.toml", zone.stem));
        for key in zone.transfer.keys().filter(|k| !keys.contains(&bare(k))) {
            errors.push(format!("{}: transfer: there is no [[key]] `{key}` in config.toml", shown.display()));
        }
        if let Some(name) = zone.transfer.names().next().filter(|_| file.tls.listen.is_empty() || file.tls.clients.as_os_str().is_empty()) {
            let what = "transfer.allow: no client can show a certificate; set `listen` and `clients` of [tls] in config.toml";
            errors.push(format!("{}: {what}, or leave `cert:{name}` out", shown.display()));
        }
        // What the daemon would say when it makes the zone ready is said now.
        if errors.is_empty() {
            match ZoneView::new(zone, seen, &texts) {
                Ok(view) => views.push(view),
                Err(e) => errors.push(format!("{}: {e}", shown.display())),
            }
        }
    }
    if errors.is_empty()
        && let Err(e) = ZoneSet::new(views)
    {
        errors.push(format!("{}: {e}", folder.display()));
    }
}

/// All zone files of a folder, in order of their names.
fn read_zones(folder: &Path, reasons: &[String], errors: &mut Vec<String>, warnings: &mut Vec<String>) -> Vec<Zone> {
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(dir) => dir.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "toml")).collect(),
        Err(e) => {
            errors.push(format!("{}: {e}", folder.display()));
            return Vec::new();
        }
    };
    files.sort();
    let mut zones: Vec<Zone> = Vec::new();
    for path in files {
        let Some(mut zone) = read::<Zone>(&path, errors) else { continue };
        let text = fs::read_to_string(&path).unwrap_or_default();
        let place = |lint: &str| line_of(&text, lint.split([':', ' ', '.']).next().unwrap_or(""));
        for lint in zone.lint(reasons) {
            match lint {
                Lint::Error(e) => errors.push(format!("{}{}: {e}", path.display(), place(&e))),
                Lint::Warning(w) => warnings.push(format!("{}{}: {w}", path.display(), place(&w))),
            }
        }
        zone.stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let bare = |o: &str| o.trim_end_matches('.').to_ascii_lowercase();
        if zones.iter().any(|z| bare(&z.origin) == bare(&zone.origin)) {
            errors.push(format!("{}: another file has the origin {} too", path.display(), zone.origin));
        }
        zones.push(zone);
    }
    zones
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use super::*;

    pub fn load(config: &str, zone: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("config.toml"), config).unwrap();
        fs::write(dir.path().join("zones/bl.toml"), zone).unwrap();
        Config::load(&dir.path().join("config.toml"))
    }

    pub const ZONE: &str = "origin='bl.orbs.example'\nkind='address'\nns=['a.b.example','c.d.example']\ncontact='h@orbs.example'\npublish=[{reason='relay',code='127.0.0.2'}]";

    #[test]
    fn the_shipped_configuration_is_sound_and_names_every_default() {
        let config = Config::load(Path::new("config.toml")).unwrap();
        assert!(!config.ledger.zones.is_empty());
    }

    #[test]
    fn every_unknown_key_is_named_with_its_file() {
        let e = load("[dns]\nlisen = []\n[foo]\nx=1\n[[reason]]\nname='relay'", &format!("{ZONE}\nttll='5m'")).unwrap_err();
        for part in
            ["config.toml:2: there is no key `dns.lisen`", "config.toml:3: there is no key `foo`", "bl.toml:6: there is no key `ttll`"]
        {
            assert!(e.0.iter().any(|l| l.contains(part)), "{part}: {e}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let e = load("[[reason]]\nname='relay'\n[journal]\nage = 'soon'", ZONE).unwrap_err();
        assert!(e.0[0].contains("config.toml:4") && e.0[0].contains("90d"), "{e}");
        let e = load("[[reason]]\nname='relais'", ZONE).unwrap_err();
        assert!(e.to_string().contains("relay"), "{e}");
        let e = load("[[reason]]\nname='relay'\n[journal]\nsize='1 potato'", ZONE).unwrap_err();
        assert!(e.to_string().contains("1GiB"), "{e}");
    }
    #[test]
    fn a_reason_has_digests_of_one_form_and_no_names_beside_them() {
        let with = |second: &str| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("zones")).unwrap();
            fs::write(dir.path().join("config.toml"), "[[reason]]\nname='relay'\n[[reason]]\nname='phish'").unwrap();
            let first = ZONE.replace("kind='address'", "kind='hash'\ndigest='sha1-hex'");
            fs::write(dir.path().join("zones/a.toml"), first).unwrap();
            fs::write(dir.path().join("zones/b.toml"), ZONE.replace("bl.orbs", "b.orbs").replace("kind='address'", second)).unwrap();
            Config::load(&dir.path().join("config.toml")).map_err(|e| e.to_string())
        };
        assert!(with("kind='address'").is_ok() && with("kind='hash'\ndigest='sha1-hex'").is_ok());
        for (second, file, part) in [
            ("kind='domain'", "a.toml: ", "published by the domain zone b.orbs.example too"),
            ("kind='hash'\ndigest='md5-hex'", "b.toml: ", "has sha1-hex digests in the zone bl.orbs.example"),
            ("kind='hash'", "b.toml: ", "needs the form of its names"),
            ("kind='hash'\ndigest='sha256-hex'", "b.toml:3: ", "use `sha256-base32`"),
            ("kind='domain'\ndigest='md5-hex'", "b.toml:3: ", "remove the key"),
        ] {
            let e = with(second).unwrap_err();
            assert!(e.contains(part) && e.contains(file), "{second}: {e}");
        }
    }
    #[test]
    fn keys_are_read_from_files_that_are_shut() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("zones/bl.toml"), format!("{ZONE}\ntransfer={{allow=['key:Mirror.']}}")).unwrap();
        let config = "[[reason]]\nname='relay'\n[[key]]\nname='mirror'\nalgorithm='hmac-sha512'\nfile='secret'";
        let load = |config: &str, file: &str, mode: u32| {
            fs::write(dir.path().join("config.toml"), config).unwrap();
            let path = dir.path().join("secret");
            fs::write(&path, file).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Config::load(&dir.path().join("config.toml")).map(|c| c.ledger.keys).map_err(|e| e.to_string())
        };
        let secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";
        for mode in [0o600, 0o640, 0o400] {
            let keys = load(config, secret, mode).unwrap();
            assert_eq!(keys.get("MIRROR").map(|k| k.secret().len()), Some(32));
        }
        for mode in [0o644, 0o660, 0o604, 0o602] {
            let e = load(config, secret, mode).unwrap_err();
            assert!(e.contains("secret: its mode is") && e.contains("chmod 600"), "{e}");
        }
        assert!(load(config, "\n?\n", 0o600).unwrap_err().contains("secret:2: the secret is not base64"));
        assert!(load(config, &"x".repeat(5000), 0o600).unwrap_err().contains("longer than 4096"));
        assert!(load(&config.replace("512", "1"), secret, 0o600).unwrap_err().contains("`hmac-sha1` is not"));
        assert!(load(&config.replace("'secret'", "'nowhere'"), secret, 0o600).unwrap_err().contains("nowhere: "));
        assert!(load(&config.replace("file=", "#"), secret, 0o600).unwrap_err().contains("no `file`"));
        assert!(load(&config.replace("'mirror'", "'mir ror'"), secret, 0o600).unwrap_err().contains("not a key's name"));
        let twice = format!("{config}\n[[key]]\nname='Mirror.'\nfile='secret'");
        assert!(load(&twice, secret, 0o600).unwrap_err().contains("`mirror` is there twice"));
        assert!(load(&config.replace("'mirror'", "'other'"), secret, 0o600).unwrap_err().contains("no [[key]] `Mirror.`"));
    }
}
