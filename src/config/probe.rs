//! `[probe]` and `[collect]`: relay tests.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Unexpected, Visitor},
};

use super::{
    ReasonNames,
    document::{Report, Table},
    tables::{CollectTable, File, ProbeTable},
};
use crate::{
    model::{Subject, Zone, history::PROBER_REASONS, time::Seconds},
    relay::{
        Catalogue, NOTEST, RelaySettings, TesterSource, TokenCodec,
        message::TesterIdentity,
        networks::Networks,
        scheduler::SchedulerSettings,
        tester::{self, TesterSettings},
    },
    smtp::session::ReceiverSettings,
};

/// SMTP, submission, submission under TLS.
pub const PORTS: [u16; 3] = [25, 587, 465];

/// An address to test from, as it is written: alone, or in a table with a greeting name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceEntry {
    address: IpAddr,
    ehlo_name: Option<String>,
}

impl<'de> Deserialize<'de> for SourceEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SourceEntry, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Named {
            address: IpAddr,
            ehlo_name: String,
        }
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = SourceEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, such as \"192.0.2.1\", or { address = \"192.0.2.1\", ehlo_name = \"test.example\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SourceEntry, E> {
                let address = text
                    .parse()
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                Ok(SourceEntry {
                    address,
                    ehlo_name: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SourceEntry, A::Error> {
                let named = Named::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(SourceEntry {
                    address: named.address,
                    ehlo_name: Some(named.ehlo_name.trim_end_matches('.').to_ascii_lowercase()),
                })
            }
        }
        from.deserialize_any(Form)
    }
}

/// A random number below another.
fn random_below(most: u64) -> u64 {
    // Without random numbers it is the latest: nothing is gained by making them fail.
    crate::random::Random::system()
        .below(most)
        .unwrap_or(most.saturating_sub(1))
}

/// The most hosts that are tested at the same time.
const MAX_CONCURRENCY: usize = 4096;
/// Bytes of the secret that signs tokens.
const SECRET: usize = 32;

/// How relay tests are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the service of relay tests; [`tokens`] makes its tokens when the daemon starts.
    pub relay: RelaySettings,
    /// For the tester.
    pub scheduler: SchedulerSettings,
    /// Where the collector listens.
    pub listen: Vec<SocketAddr>,
    /// What it takes.
    pub receiver: ReceiverSettings,
    /// The file of the secret.
    pub key: PathBuf,
}

/// The least pause between two messages to somebody's host, and how long the whole set takes
/// (safety rule S4). A test that the host's owner asked for has a shorter pause and no minimum
/// duration ([`tester::OWNER_PAUSE`]).
pub const PAUSE: Seconds = Seconds(5);
/// See [`PAUSE`].
pub const SPREAD: Seconds = Seconds(600);

/// What has to be said before hosts on the Internet are tested: who tests.
fn identity(p: &Table<ProbeTable>, report: &mut Report) {
    let named = |host: &str| {
        host.contains('.')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if !named(&p.hello) {
        report.error(
            &p.place,
            "hello",
            format_args!("`{}` is no host's name; the tested look it up", p.hello),
        );
    }
    if !p
        .contact
        .split_once('@')
        .is_some_and(|(u, d)| !u.is_empty() && d.contains('.'))
    {
        report.error(
            &p.place,
            "contact",
            format_args!("`{}` is no address that the tested can write to", p.contact),
        );
    }
    let bare = |d: &str| d.trim_end_matches('.').to_ascii_lowercase();
    if p.contact
        .split_once('@')
        .is_some_and(|(_, d)| bare(d) == bare(&p.domain))
    {
        report.error(
            &p.place,
            "contact",
            "it lies in the probe domain, whose mail no person reads",
        );
    }
    if !p.about.starts_with("https://") && !p.about.starts_with("http://") {
        report.error(
            &p.place,
            "about",
            format_args!(
                "`{}` is no page that says who tests and why, and how to ask for no tests",
                p.about
            ),
        );
    }
}

/// Reads the two tables.
pub(super) fn read(
    file: &File,
    (folder, store): (&Path, &Path),
    (reasons, special, zones): (&ReasonNames, &[Subject], &[Zone]),
    report: &mut Report,
) -> Settings {
    let (p, c) = (&file.probe, &file.collect);
    let domain = p.domain.trim_end_matches('.').to_ascii_lowercase();
    let key = super::beside(p.key.as_deref(), folder, store, ("probe.key", "keys/probe"));
    check(p, c, (&domain, reasons), report);
    check_zones(p, &domain, zones, report);
    check_machine(p, &domain, &key, report);
    let catalogue = catalogue(&p.tests, folder).unwrap_or_else(|e| {
        report.error(&p.place, "tests", e);
        Catalogue::standard()
    });
    for name in p.choose.iter().filter(|n| catalogue.get(n).is_none()) {
        report.error(
            &p.place,
            "choose",
            format_args!("there is no test `{name}`; `orbsd tests` lists them"),
        );
    }
    let networks = networks(&p.routes, folder).unwrap_or_else(|e| {
        report.error(&p.place, "routes", e);
        Networks::default()
    });
    let filled =
        |t: &str| Some(t.trim_end_matches('.').to_ascii_lowercase()).filter(|t| !t.is_empty());
    let hello = filled(&p.hello).unwrap_or_else(|| {
        if domain.is_empty() {
            "localhost.invalid".into()
        } else {
            domain.clone()
        }
    });
    let listening = c
        .listen
        .iter()
        .map(|a| a.ip())
        .filter(|a| !a.is_unspecified());
    let addresses: Vec<IpAddr> = c.addresses.iter().copied().chain(listening).collect();
    let ours = addresses
        .iter()
        .copied()
        .chain(p.source.iter().map(|s| s.address))
        .collect();
    Settings {
        relay: RelaySettings {
            enabled: p.enabled,
            public: p.allow_public,
            domain: domain.clone(),
            second_domain: filled(&p.foreign),
            ehlo_name: hello.clone(),
            tester: TesterIdentity {
                contact: p.contact.clone(),
                info_url: p.about.clone(),
            },
            addresses: ours,
            is_local: at_home,
            listen: c.listen.clone(),
            port: p.ports[0],
            special_ranges: special.to_vec(),
            max_hosts_per_prefix: p.per_net,
            max_hosts_per_asn: p.per_as,
            asn_table: Arc::new(networks),
            max_unproved_claims: unproved(p),
            nominations_per_day: p.quota,
            trusted_reporters: p.trusted.clone(),
            enabled_tests: p.choose.clone(),
            grace_period: p.notice,
            retry_delays: p.retry,
            catalogue: Arc::new(catalogue),
            tokens: TokenCodec::new(&[]),
            sources: p
                .source
                .iter()
                .map(|s| TesterSource {
                    address: s.address,
                    ehlo_name: s.ehlo_name.clone(),
                })
                .collect(),
            random: random_below,
        },
        scheduler: schedule(p),
        listen: c.listen.clone(),
        receiver: ReceiverSettings {
            hello,
            domain,
            addresses,
            tls: c.tls,
        },
        key,
    }
}

/// How tests are run.
fn schedule(p: &ProbeTable) -> SchedulerSettings {
    let step = |s: Seconds| Duration::from_secs(s.0);
    SchedulerSettings {
        concurrency: p.concurrency,
        collect_wait: step(p.settle),
        tester: TesterSettings {
            ports: p.ports,
            pause: step(p.pause),
            min_duration: step(p.spread),
            timeout: step(p.step),
            source: p.source.iter().map(|s| s.address).collect(),
            max_extra: tester::MAX_EXTRA,
        },
    }
}

/// Says what cannot be used, and what is to be thought over.
fn check(
    p: &Table<ProbeTable>,
    c: &Table<CollectTable>,
    (domain, reasons): (&str, &ReasonNames),
    report: &mut Report,
) {
    if p.enabled && domain.is_empty() {
        report.error(
            &p.place,
            "domain",
            "tests need a domain whose mail the collector takes",
        );
    }
    if !domain.is_empty() {
        if !domain.contains('.')
            || domain.len() > 100
            || !domain
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        {
            report.error(
                &p.place,
                "domain",
                format_args!("`{domain}` is no domain with a dot, of at most 100 bytes"),
            );
        }
        for name in PROBER_REASONS
            .iter()
            .chain([&NOTEST])
            .filter(|r| reasons.unknown(r).is_some())
        {
            report.error(
                &p.place,
                "",
                format_args!("there is no [[reason]] `{name}`, which relay tests list under"),
            );
        }
    }
    let host = |h: &str| {
        h.len() <= 100
            && h.split('.')
                .all(|l| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-'))
            && h.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    for (key, name) in [
        ("hello", &p.hello),
        ("foreign", &p.foreign),
        ("domain", &p.domain),
    ] {
        if !name.is_empty() && !host(name.trim_end_matches('.')) {
            report.error(
                &p.place,
                key,
                format_args!("`{}` is no host's name", name.escape_debug()),
            );
        }
    }
    for s in &p.source {
        if let Some(name) = s.ehlo_name.as_ref().filter(|n| !host(n)) {
            report.error(
                &p.place,
                "source",
                format_args!("`{}` is not a host name", name.escape_debug()),
            );
        }
    }
    for (i, s) in p.source.iter().enumerate() {
        if p.source[..i].iter().any(|o| o.address == s.address) {
            report.error(
                &p.place,
                "source",
                format_args!("{} is there twice", s.address),
            );
        }
    }
    if p.ports.contains(&0) {
        report.error(&p.place, "ports", "0 is no port");
    }
    // Each family has listeners of its own, as in [dns].
    for l in c
        .listen
        .iter()
        .filter(|l| l.is_ipv6() && l.ip().is_unspecified())
    {
        if !c.listen.iter().any(|o| o.is_ipv4() && o.port() == l.port()) {
            report.warning(
                &c.place,
                "listen",
                format_args!("{l} takes IPv6 alone; add 0.0.0.0:{}", l.port()),
            );
        }
    }
    if p.enabled && c.listen.is_empty() {
        report.error(
            &c.place,
            "listen",
            "tests need a collector; without it nothing can be proved",
        );
    }
    if p.allow_public {
        identity(p, report);
        if p.per_net > 20 {
            report.error(
                &p.place,
                "per_net",
                "more than 20 hosts of a net in a day is a sweep",
            );
        }
        if p.per_as > 1000 {
            report.error(
                &p.place,
                "per_as",
                "more than 1000 hosts of a network in a day is a sweep",
            );
        }
        if p.enabled {
            report.warning(
                &p.place,
                "",
                "hosts on the Internet are tested: read docs/relay.md first",
            );
        }
    }
    for (key, n) in [("per_net", p.per_net), ("per_as", p.per_as)] {
        if n == 0 {
            report.error(&p.place, key, "0 tests nobody; write 1 or more");
        }
    }
    if p.concurrency == 0 || p.concurrency > MAX_CONCURRENCY {
        report.error(
            &p.place,
            "concurrency",
            format_args!("{} is not from 1 to {MAX_CONCURRENCY}", p.concurrency),
        );
    }
    if p.step.0 == 0 {
        report.error(&p.place, "step", "0s waits for nobody; write 1s or more");
    }
}

/// A zone of ours that answers for the probe domain has to say where its mail goes.
fn check_zones(p: &Table<ProbeTable>, domain: &str, zones: &[Zone], report: &mut Report) {
    let bare = |n: &str| n.trim_end_matches('.').to_ascii_lowercase();
    let within = |z: &Zone| match domain.strip_suffix(&bare(&z.origin)) {
        Some("") => Some("@".to_string()),
        rest => rest.and_then(|r| r.strip_suffix('.')).map(String::from),
    };
    // Of zones within each other the inner one answers.
    let named = zones.iter().filter(|z| !z.origin.is_empty());
    let inner = named
        .filter_map(|z| Some((within(z)?, z)))
        .min_by_key(|(name, _)| name.len());
    if let Some((name, zone)) = inner
        && !zone.records.iter().any(|r| {
            ["MX", "A", "AAAA"]
                .iter()
                .any(|k| r.kind.eq_ignore_ascii_case(k))
                && bare(&r.name) == name
        })
    {
        let text = format!(
            "the zone {} answers for it, and has no MX there: no message would come. Take a domain outside of it, or add a \
             [[record]] with the name {name} and the type MX",
            zone.origin
        );
        report.error(&p.place, "domain", text);
    }
}

/// Whether who listens everywhere on this machine is reached under an address.
pub fn at_home(listen: &[SocketAddr], addr: IpAddr) -> bool {
    let everywhere = listen
        .iter()
        .any(|l| l.ip().is_unspecified() && l.is_ipv4() == addr.is_ipv4());
    everywhere && (addr.is_loopback() || leaves_from(addr).is_ok_and(|a| a == addr))
}

/// The address that packets to another one leave from: for an address of this machine it is that
/// one. Nothing is sent. (To bind one tells nothing where `ip_nonlocal_bind` is set.)
fn leaves_from(addr: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if addr.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((addr, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// What this machine has to have.
fn check_machine(p: &Table<ProbeTable>, domain: &str, key: &Path, report: &mut Report) {
    for addr in p.source.iter().map(|s| s.address) {
        if let Err(e) = UdpSocket::bind((addr, 0)) {
            let text = format_args!(
                "{addr} is no address of this machine, so that no test can be made from it: {e}"
            );
            report.warning(&p.place, "source", text);
        }
    }
    match fs::metadata(key) {
        Ok(m) if m.is_dir() && !domain.is_empty() => {
            report.error(
                &p.place,
                "key",
                format_args!("{} is a folder; name a file", key.display()),
            );
        }
        Ok(m) if m.len() < SECRET as u64 && !domain.is_empty() => {
            report.error(&p.place, "key", short(key));
        }
        _ => {}
    }
}

fn short(key: &Path) -> String {
    format!(
        "{} has less than {SECRET} bytes; remove it, and a new one is made",
        key.display()
    )
}

/// The shipped tests with those of a file.
fn catalogue(path: &Path, folder: &Path) -> Result<Catalogue, String> {
    let standard = Catalogue::standard();
    if path.as_os_str().is_empty() {
        // A unit test holds it to the linter; every command comes by here.
        return Ok(standard);
    }
    let path = folder.join(path);
    let said = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| said(&e))?;
    standard.with(Catalogue::read(&text).map_err(|e| said(&e))?)
}

/// The routing table of a file; none: hosts count by wide prefixes.
fn networks(path: &Path, folder: &Path) -> Result<Networks, String> {
    if path.as_os_str().is_empty() {
        return Ok(Networks::default());
    }
    let path = folder.join(path);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Networks::read(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// How many claims without a proof are surely tested in a day: a fourth of all turns is theirs, and
/// a test has an end.
fn unproved(p: &ProbeTable) -> usize {
    let longest = p.spread.0 + tester::MAX_EXTRA.as_secs() + p.settle.0;
    let turns = (p.concurrency as u64).div_ceil(4) * 86_400 / longest.max(1);
    usize::try_from(turns).unwrap_or(usize::MAX).max(1)
}

/// The tokens of a secret, which is made where there is none yet. The error names the file.
pub fn tokens(path: &Path) -> Result<TokenCodec, String> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let said = |e: io::Error| format!("probe.key: {}: {e}", path.display());
    match fs::read(path) {
        Ok(secret) if secret.len() >= SECRET => Ok(TokenCodec::new(&secret)),
        Ok(_) => Err(format!("probe.key: {}", short(path))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let secret = crate::http::secrets::random::<SECRET>()?;
            if let Some(parent) = path.parent() {
                crate::store::private::create_dir(parent).map_err(said)?;
            }
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(said)?;
            file.write_all(&secret)
                .and_then(|()| file.sync_all())
                .map_err(said)?;
            Ok(TokenCodec::new(&secret))
        }
        Err(e) => Err(said(e)),
    }
}
