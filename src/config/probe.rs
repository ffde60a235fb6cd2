//! `[probe]` and `[collector]`: the settings of relay tests.

use std::{
    fmt::Display,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    ReasonNames, bare,
    document::{Report, Table, TableReport},
    tables::{CollectorTable, File, ProbeTable},
};
use crate::{
    model::{Subject, Zone, history::PROBER_REASONS, time::Seconds},
    relay::{
        Catalogue, OPT_OUT_REASON, RelaySettings, TokenCodec,
        message::TesterIdentity,
        networks::Networks,
        scheduler::SchedulerSettings,
        tester::{self, TesterSettings},
    },
    smtp::session::ReceiverSettings,
    store::private::create_file,
};

/// A random number below `most`. Without a source of random numbers it is the largest one: a test
/// then starts as late as possible.
fn random_below(most: u64) -> u64 {
    crate::random::Random::system()
        .below(most)
        .unwrap_or(most.saturating_sub(1))
}

/// The most hosts that are tested at the same time.
const MAX_CONCURRENCY: usize = 4096;
/// Bytes of the secret that signs tokens.
const SECRET: usize = 32;

/// The settings of relay tests.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// The settings of the service; the daemon replaces its tokens at the start, see [`tokens`].
    pub relay: RelaySettings,
    /// The settings of the tester.
    pub scheduler: SchedulerSettings,
    /// The addresses of the collector.
    pub listen: Vec<SocketAddr>,
    /// The mail that the collector accepts.
    pub receiver: ReceiverSettings,
    /// The file with the secret that signs tokens.
    pub key: PathBuf,
}

fn has_host_characters(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    name.bytes().all(is_allowed)
}

fn is_host_name(name: &str) -> bool {
    let is_label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-');
    name.len() <= 100 && name.split('.').all(is_label) && has_host_characters(name)
}

/// Checks the identity of the tester, which tests of hosts on the Internet need.
fn identity(p: &Table<ProbeTable>, report: &mut TableReport<'_>) {
    let (ehlo_name, contact, url) = (&p.ehlo_name, &p.contact, &p.info_url);
    report.error_if(
        !ehlo_name.contains('.') || !has_host_characters(ehlo_name),
        "ehlo_name",
        format_args!(
            "`{ehlo_name}` is not a valid host name; administrators of tested hosts will look it up"
        ),
    );
    let (user, domain) = contact.split_once('@').unwrap_or_default();
    report.error_if(
        user.is_empty() || !domain.contains('.'),
        "contact",
        format_args!(
            "`{contact}` is not a mail address; administrators of tested hosts will write to it"
        ),
    );
    report.error_if(
        contact.contains('@') && bare(domain) == bare(&p.domain),
        "contact",
        "it is in the probe domain, whose mail no person reads; write another address",
    );
    report.error_if(
        !url.starts_with("https://") && !url.starts_with("http://"),
        "info_url",
        format_args!("`{url}` is not the URL of a page; name one that says who tests, why, and how to ask for no tests"),
    );
}

/// Reads the two tables.
pub(super) fn read(
    file: &File,
    folder: &Path,
    store: &Path,
    reasons: &ReasonNames,
    special: &[Subject],
    zones: &[Zone],
    report: &mut Report,
) -> ProbeSettings {
    let (p, c) = (&file.probe, &file.collector);
    let domain = bare(&p.domain);
    let key = super::own_file(p.key.as_deref(), folder, store, "probe.key", "keys/probe");
    check_collector(p.enabled, c, &mut report.of(&c.place));
    let probe = &mut report.of(&p.place);
    check(p, &domain, reasons, probe);
    check_zones(&domain, zones, probe);
    check_machine(p, &domain, &key, probe);
    let catalogue = probe.value("catalogue", catalogue(&p.catalogue, folder));
    let catalogue = catalogue.unwrap_or_else(Catalogue::standard);
    let tests = p.enabled_tests.iter();
    for name in tests.filter(|n| catalogue.get(n).is_none()) {
        let text = format_args!("there is no test `{name}`; `orbsd relay catalogue` lists them");
        probe.error("enabled_tests", text);
    }
    let networks = probe.value("asn_table", networks(&p.asn_table, folder));
    let filled = |t: &str| Some(bare(t)).filter(|t| !t.is_empty());
    let name = filled(&p.ehlo_name).or_else(|| filled(&domain));
    let ehlo_name = name.unwrap_or_else(|| "localhost.invalid".into());
    let listening = c.listen.iter().map(|a| a.ip());
    let listening = listening.filter(|a| !a.is_unspecified());
    let addresses: Vec<IpAddr> = c
        .public_addresses
        .iter()
        .copied()
        .chain(listening)
        .collect();
    let sources = p.source_addresses.iter().map(|s| s.address);
    ProbeSettings {
        relay: RelaySettings {
            enabled: p.enabled,
            public: p.allow_public,
            domain: domain.clone(),
            second_domain: filled(&p.second_domain),
            ehlo_name: ehlo_name.clone(),
            tester: TesterIdentity {
                contact: p.contact.clone(),
                info_url: p.info_url.clone(),
            },
            addresses: addresses.iter().copied().chain(sources).collect(),
            is_local: is_own_address,
            listen: c.listen.clone(),
            port: p.ports[0],
            special_ranges: special.to_vec(),
            max_hosts_per_prefix: p.max_hosts_per_prefix,
            max_hosts_per_asn: p.max_hosts_per_asn,
            asn_table: Arc::new(networks.unwrap_or_default()),
            max_unproved_claims: unproved(p),
            nominations_per_day: p.max_nominations_per_day,
            trusted_reporters: p.trusted_reporters.clone(),
            enabled_tests: p.enabled_tests.clone(),
            grace_period: p.grace_period,
            retry_delays: p.retry_delays,
            catalogue: Arc::new(catalogue),
            tokens: TokenCodec::new(&[]),
            sources: p.source_addresses.clone(),
            random: random_below,
        },
        scheduler: schedule(p),
        listen: c.listen.clone(),
        receiver: ReceiverSettings {
            hello: ehlo_name,
            domain,
            addresses,
            tls: c.tls,
        },
        key,
    }
}

/// The settings of the tester.
fn schedule(p: &ProbeTable) -> SchedulerSettings {
    let step = |s: Seconds| Duration::from_secs(s.0);
    SchedulerSettings {
        concurrency: p.concurrency,
        collect_wait: step(p.collect_wait),
        tester: TesterSettings {
            ports: p.ports,
            pause: step(p.pause),
            min_duration: step(p.min_duration),
            timeout: step(p.timeout),
            source: p.source_addresses.iter().map(|s| s.address).collect(),
            max_extra: tester::MAX_EXTRA,
        },
    }
}

/// Reports values that cannot be used, and settings that are probably not intended.
fn check(p: &Table<ProbeTable>, domain: &str, reasons: &ReasonNames, report: &mut TableReport<'_>) {
    report.error_if(
        p.enabled && domain.is_empty(),
        "domain",
        "it is missing; tests need a domain whose mail the collector accepts",
    );
    if !domain.is_empty() {
        report.error_if(
            !domain.contains('.') || domain.len() > 100 || !has_host_characters(domain),
            "domain",
            format_args!("`{domain}` is not a domain with a dot, of at most 100 bytes"),
        );
        let needed = PROBER_REASONS.iter().chain([&OPT_OUT_REASON]);
        for name in needed.filter(|r| reasons.unknown(r).is_some()) {
            let text =
                format_args!("there is no [[reason]] `{name}`, which relay tests list under");
            report.error("", text);
        }
    }
    let sources = &p.source_addresses;
    let names = [
        ("ehlo_name", &p.ehlo_name),
        ("second_domain", &p.second_domain),
        ("domain", &p.domain),
    ];
    let names = names.into_iter().filter(|(_, name)| !name.is_empty());
    let names = names.map(|(key, name)| (key, name.trim_end_matches('.'), name));
    let own_names = sources.iter().filter_map(|s| s.ehlo_name.as_ref());
    let own_names = own_names.map(|name| ("source_addresses", name.as_str(), name));
    for (key, _, name) in names
        .chain(own_names)
        .filter(|(_, host, _)| !is_host_name(host))
    {
        report.error(
            key,
            format_args!("`{}` is not a host name", name.escape_debug()),
        );
    }
    for (i, s) in sources.iter().enumerate() {
        let is_repeated = sources[..i].iter().any(|o| o.address == s.address);
        let text = format_args!("{} is configured twice", s.address);
        report.error_if(is_repeated, "source_addresses", text);
    }
    report.error_if(p.ports.contains(&0), "ports", "0 is not a port");
    check_limits(p, report);
}

fn check_collector(enabled: bool, c: &CollectorTable, report: &mut TableReport<'_>) {
    // Each address family needs its own listener, as in [dns].
    let wide = c
        .listen
        .iter()
        .filter(|l| l.is_ipv6() && l.ip().is_unspecified());
    for l in wide {
        if !c.listen.iter().any(|o| o.is_ipv4() && o.port() == l.port()) {
            let text = format_args!("{l} accepts IPv6 only; add 0.0.0.0:{}", l.port());
            report.warning("listen", text);
        }
    }
    report.error_if(
        enabled && c.listen.is_empty(),
        "listen",
        "tests need a collector; without it nothing can be proved",
    );
}

/// Checks the limits of tests, which are stricter for hosts on the Internet.
fn check_limits(p: &Table<ProbeTable>, report: &mut TableReport<'_>) {
    if p.allow_public {
        identity(p, report);
        report.error_if(
            p.max_hosts_per_prefix > 20,
            "max_hosts_per_prefix",
            "more than 20 hosts of a net in a day is a sweep",
        );
        report.error_if(
            p.max_hosts_per_asn > 1000,
            "max_hosts_per_asn",
            "more than 1000 hosts of a network in a day is a sweep",
        );
        if p.enabled {
            report.warning(
                "",
                "hosts on the Internet are tested: read docs/relay.md first",
            );
        }
    }
    for (key, n) in [
        ("max_hosts_per_prefix", p.max_hosts_per_prefix),
        ("max_hosts_per_asn", p.max_hosts_per_asn),
    ] {
        report.error_if(n == 0, key, "0 allows no test; write 1 or more");
    }
    report.error_if(
        !(1..=MAX_CONCURRENCY).contains(&p.concurrency),
        "concurrency",
        format_args!("{} is not from 1 to {MAX_CONCURRENCY}", p.concurrency),
    );
    let text = "0s waits for no reply; write 1s or more";
    report.error_if(p.timeout.0 == 0, "timeout", text);
}

/// Reports a zone of this server that contains the probe domain and has no MX for it.
fn check_zones(domain: &str, zones: &[Zone], report: &mut TableReport<'_>) {
    let within = |z: &Zone| match domain.strip_suffix(&bare(&z.origin))? {
        "" => Some("@".to_string()),
        rest => rest.strip_suffix('.').map(String::from),
    };
    // If a zone is inside another one, the inner one answers.
    let named = zones.iter().filter(|z| !z.origin.is_empty());
    let all = named.filter_map(|z| Some((within(z)?, z)));
    let Some((name, zone)) = all.min_by_key(|(name, _)| name.len()) else {
        return;
    };
    let has_type = |kind: &str| {
        ["MX", "A", "AAAA"]
            .iter()
            .any(|k| kind.eq_ignore_ascii_case(k))
    };
    let mut records = zone.records.iter();
    report.error_if(
        !records.any(|r| has_type(&r.kind) && bare(&r.name) == name),
        "domain",
        format_args!(
            "the zone {} answers for it, and has no MX there: no message would come. Take a domain outside of it, or add a \
             [[record]] with the name {name} and the type MX",
            zone.origin
        ),
    );
}

/// Whether an address reaches one of the listeners because that one listens on all addresses of this
/// machine.
pub fn is_own_address(listen: &[SocketAddr], addr: IpAddr) -> bool {
    let everywhere = listen
        .iter()
        .any(|l| l.ip().is_unspecified() && l.is_ipv4() == addr.is_ipv4());
    everywhere && (addr.is_loopback() || leaves_from(addr).is_ok_and(|a| a == addr))
}

/// The source address of packets to an address, which is the same if the address is one of this
/// machine. Nothing is sent. (With `ip_nonlocal_bind`, any address can be bound, so that binding is
/// not a test.)
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

/// Checks the addresses and files of this machine.
fn check_machine(p: &Table<ProbeTable>, domain: &str, key: &Path, report: &mut TableReport<'_>) {
    for addr in p.source_addresses.iter().map(|s| s.address) {
        if let Err(e) = UdpSocket::bind((addr, 0)) {
            let text = format!(
                "{addr} is not an address of this machine, so that no test can use it: {e}"
            );
            report.warning("source_addresses", text);
        }
    }
    match fs::metadata(key) {
        _ if domain.is_empty() => {}
        Ok(m) if m.is_dir() => {
            let text = format_args!("{} is a folder; name a file", key.display());
            report.error("key", text);
        }
        Ok(m) if m.len() < SECRET as u64 => report.error("key", short(key)),
        _ => {}
    }
}

/// The error about a file with a secret that is too short.
fn short(key: &Path) -> String {
    format!(
        "{} has less than {SECRET} bytes; remove it, and a new one is made",
        key.display()
    )
}

/// Parses a file that the configuration names; `None` if it names none. The error starts with the
/// path.
pub(super) fn read_named<T, E: Display>(
    path: &Path,
    folder: &Path,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, String> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let path = folder.join(path);
    let named = |e: &dyn Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| named(&e))?;
    parse(&text).map(Some).map_err(|e| named(&e))
}

/// The shipped tests with those of a file.
fn catalogue(path: &Path, folder: &Path) -> Result<Catalogue, String> {
    let standard = Catalogue::standard();
    match read_named(path, folder, Catalogue::read)? {
        Some(own) => standard.with(own),
        // It is not linted here, where every command passes: a unit test does that.
        None => Ok(standard),
    }
}

/// Reads the routing table of a file; without a file, hosts count by wide prefixes.
fn networks(path: &Path, folder: &Path) -> Result<Networks, String> {
    Ok(read_named(path, folder, Networks::read)?.unwrap_or_default())
}

/// How many claims without a proof can be tested in a day: they have a quarter of the tests that run
/// at the same time, and every test takes its longest duration.
fn unproved(p: &ProbeTable) -> usize {
    let longest = p.min_duration.0 + tester::MAX_EXTRA.as_secs() + p.collect_wait.0;
    let turns = (p.concurrency as u64).div_ceil(4) * 86_400 / longest.max(1);
    usize::try_from(turns).unwrap_or(usize::MAX).max(1)
}

/// Reads the secret that signs tokens, or creates it. The error has the path of the file.
pub fn tokens(path: &Path) -> Result<TokenCodec, String> {
    let named = |e: io::Error| format!("probe.key: {}: {e}", path.display());
    match fs::read(path) {
        Ok(secret) if secret.len() >= SECRET => Ok(TokenCodec::new(&secret)),
        Ok(_) => Err(format!("probe.key: {}", short(path))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let secret = crate::http::secrets::random::<SECRET>()?;
            create_file(path, &secret).map_err(named)?;
            Ok(TokenCodec::new(&secret))
        }
        Err(e) => Err(named(e)),
    }
}
