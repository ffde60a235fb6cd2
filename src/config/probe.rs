//! `[probe]` and `[collector]`: relay tests.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    ReasonNames,
    document::{Report, Table},
    tables::{CollectorTable, File, ProbeTable},
};
use crate::{
    model::{Subject, Zone, history::PROBER_REASONS, time::Seconds},
    relay::{
        Catalogue, OPT_OUT_REASON, RelaySettings, TesterSource, TokenCodec,
        message::TesterIdentity,
        networks::Networks,
        scheduler::SchedulerSettings,
        tester::{self, TesterSettings},
    },
    smtp::session::ReceiverSettings,
};

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

/// The settings of relay tests.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// For the service of relay tests; [`tokens`] makes its tokens when the daemon starts.
    pub relay: RelaySettings,
    /// For the tester.
    pub scheduler: SchedulerSettings,
    /// Where the collector listens.
    pub listen: Vec<SocketAddr>,
    /// The mail that it accepts.
    pub receiver: ReceiverSettings,
    /// The file of the secret.
    pub key: PathBuf,
}

/// Checks the identity of the tester, which tests of hosts on the Internet need.
fn identity(p: &Table<ProbeTable>, report: &mut Report) {
    let named = |host: &str| {
        host.contains('.')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if !named(&p.ehlo_name) {
        report.error(
            &p.place,
            "ehlo_name",
            format_args!(
                "`{}` is not a valid host name; administrators of tested hosts will look it up",
                p.ehlo_name
            ),
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
            format_args!(
                "`{}` is not a mail address; administrators of tested hosts will write to it",
                p.contact
            ),
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
            "it is in the probe domain, whose mail no person reads; write another address",
        );
    }
    if !p.info_url.starts_with("https://") && !p.info_url.starts_with("http://") {
        report.error(
            &p.place,
            "info_url",
            format_args!(
                "`{}` is not the URL of a page; name one that says who tests, why, and how to ask for no tests",
                p.info_url
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
) -> ProbeSettings {
    let (p, c) = (&file.probe, &file.collector);
    let domain = p.domain.trim_end_matches('.').to_ascii_lowercase();
    let key = super::own_file(p.key.as_deref(), folder, store, ("probe.key", "keys/probe"));
    check(p, c, (&domain, reasons), report);
    check_zones(p, &domain, zones, report);
    check_machine(p, &domain, &key, report);
    let catalogue = catalogue(&p.catalogue, folder).unwrap_or_else(|e| {
        report.error(&p.place, "catalogue", e);
        Catalogue::standard()
    });
    for name in p
        .enabled_tests
        .iter()
        .filter(|n| catalogue.get(n).is_none())
    {
        report.error(
            &p.place,
            "enabled_tests",
            format_args!("there is no test `{name}`; `orbsd relay catalogue` lists them"),
        );
    }
    let networks = networks(&p.asn_table, folder).unwrap_or_else(|e| {
        report.error(&p.place, "asn_table", e);
        Networks::default()
    });
    let filled =
        |t: &str| Some(t.trim_end_matches('.').to_ascii_lowercase()).filter(|t| !t.is_empty());
    let hello = filled(&p.ehlo_name).unwrap_or_else(|| {
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
    let addresses: Vec<IpAddr> = c
        .public_addresses
        .iter()
        .copied()
        .chain(listening)
        .collect();
    let ours = addresses
        .iter()
        .copied()
        .chain(p.source_addresses.iter().map(|s| s.address))
        .collect();
    ProbeSettings {
        relay: RelaySettings {
            enabled: p.enabled,
            public: p.allow_public,
            domain: domain.clone(),
            second_domain: filled(&p.second_domain),
            ehlo_name: hello.clone(),
            tester: TesterIdentity {
                contact: p.contact.clone(),
                info_url: p.info_url.clone(),
            },
            addresses: ours,
            is_local: is_own_address,
            listen: c.listen.clone(),
            port: p.ports[0],
            special_ranges: special.to_vec(),
            max_hosts_per_prefix: p.max_hosts_per_prefix,
            max_hosts_per_asn: p.max_hosts_per_asn,
            asn_table: Arc::new(networks),
            max_unproved_claims: unproved(p),
            nominations_per_day: p.max_nominations_per_day,
            trusted_reporters: p.trusted_reporters.clone(),
            enabled_tests: p.enabled_tests.clone(),
            grace_period: p.grace_period,
            retry_delays: p.retry_delays,
            catalogue: Arc::new(catalogue),
            tokens: TokenCodec::new(&[]),
            sources: p
                .source_addresses
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
fn check(
    p: &Table<ProbeTable>,
    c: &Table<CollectorTable>,
    (domain, reasons): (&str, &ReasonNames),
    report: &mut Report,
) {
    if p.enabled && domain.is_empty() {
        report.error(
            &p.place,
            "domain",
            "it is missing; tests need a domain whose mail the collector accepts",
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
                format_args!("`{domain}` is not a domain with a dot, of at most 100 bytes"),
            );
        }
        for name in PROBER_REASONS
            .iter()
            .chain([&OPT_OUT_REASON])
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
        ("ehlo_name", &p.ehlo_name),
        ("second_domain", &p.second_domain),
        ("domain", &p.domain),
    ] {
        if !name.is_empty() && !host(name.trim_end_matches('.')) {
            report.error(
                &p.place,
                key,
                format_args!("`{}` is not a host name", name.escape_debug()),
            );
        }
    }
    for s in &p.source_addresses {
        if let Some(name) = s.ehlo_name.as_ref().filter(|n| !host(n)) {
            report.error(
                &p.place,
                "source_addresses",
                format_args!("`{}` is not a host name", name.escape_debug()),
            );
        }
    }
    for (i, s) in p.source_addresses.iter().enumerate() {
        if p.source_addresses[..i]
            .iter()
            .any(|o| o.address == s.address)
        {
            report.error(
                &p.place,
                "source_addresses",
                format_args!("{} is configured twice", s.address),
            );
        }
    }
    if p.ports.contains(&0) {
        report.error(&p.place, "ports", "0 is not a port");
    }
    // Each address family needs its own listener, as in [dns].
    for l in c
        .listen
        .iter()
        .filter(|l| l.is_ipv6() && l.ip().is_unspecified())
    {
        if !c.listen.iter().any(|o| o.is_ipv4() && o.port() == l.port()) {
            report.warning(
                &c.place,
                "listen",
                format_args!("{l} accepts IPv6 only; add 0.0.0.0:{}", l.port()),
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
    check_limits(p, report);
}

/// Checks the limits of tests, which are stricter for hosts on the Internet.
fn check_limits(p: &Table<ProbeTable>, report: &mut Report) {
    if p.allow_public {
        identity(p, report);
        if p.max_hosts_per_prefix > 20 {
            report.error(
                &p.place,
                "max_hosts_per_prefix",
                "more than 20 hosts of a net in a day is a sweep",
            );
        }
        if p.max_hosts_per_asn > 1000 {
            report.error(
                &p.place,
                "max_hosts_per_asn",
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
    for (key, n) in [
        ("max_hosts_per_prefix", p.max_hosts_per_prefix),
        ("max_hosts_per_asn", p.max_hosts_per_asn),
    ] {
        if n == 0 {
            report.error(&p.place, key, "0 allows no test; write 1 or more");
        }
    }
    if p.concurrency == 0 || p.concurrency > MAX_CONCURRENCY {
        report.error(
            &p.place,
            "concurrency",
            format_args!("{} is not from 1 to {MAX_CONCURRENCY}", p.concurrency),
        );
    }
    if p.timeout.0 == 0 {
        report.error(
            &p.place,
            "timeout",
            "0s waits for no reply; write 1s or more",
        );
    }
}

/// Reports a zone of this server that contains the probe domain and has no MX for it.
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

/// Whether listeners on all addresses of this machine are reached under an address.
pub fn is_own_address(listen: &[SocketAddr], addr: IpAddr) -> bool {
    let everywhere = listen
        .iter()
        .any(|l| l.ip().is_unspecified() && l.is_ipv4() == addr.is_ipv4());
    everywhere && (addr.is_loopback() || leaves_from(addr).is_ok_and(|a| a == addr))
}

/// The source address of packets to an address: for an address of this machine it is the address
/// itself. Nothing is sent. (Binding an address proves nothing if `ip_nonlocal_bind` is set.)
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
fn check_machine(p: &Table<ProbeTable>, domain: &str, key: &Path, report: &mut Report) {
    for addr in p.source_addresses.iter().map(|s| s.address) {
        if let Err(e) = UdpSocket::bind((addr, 0)) {
            let text = format_args!(
                "{addr} is not an address of this machine, so that no test can use it: {e}"
            );
            report.warning(&p.place, "source_addresses", text);
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
        // A unit test runs the linter on it; every command calls this.
        return Ok(standard);
    }
    let path = folder.join(path);
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| named(&e))?;
    standard.with(Catalogue::read(&text).map_err(|e| named(&e))?)
}

/// Reads the routing table of a file; without a file, hosts count by wide prefixes.
fn networks(path: &Path, folder: &Path) -> Result<Networks, String> {
    if path.as_os_str().is_empty() {
        return Ok(Networks::default());
    }
    let path = folder.join(path);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Networks::read(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// How many claims without a proof can be tested in a day: a quarter of all tests is theirs, and a
/// test has a longest duration.
fn unproved(p: &ProbeTable) -> usize {
    let longest = p.min_duration.0 + tester::MAX_EXTRA.as_secs() + p.collect_wait.0;
    let turns = (p.concurrency as u64).div_ceil(4) * 86_400 / longest.max(1);
    usize::try_from(turns).unwrap_or(usize::MAX).max(1)
}

/// Reads the secret that signs tokens, or creates it. The error names the file.
pub fn tokens(path: &Path) -> Result<TokenCodec, String> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let named = |e: io::Error| format!("probe.key: {}: {e}", path.display());
    match fs::read(path) {
        Ok(secret) if secret.len() >= SECRET => Ok(TokenCodec::new(&secret)),
        Ok(_) => Err(format!("probe.key: {}", short(path))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let secret = crate::http::secrets::random::<SECRET>()?;
            if let Some(parent) = path.parent() {
                crate::store::private::create_dir(parent).map_err(named)?;
            }
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(named)?;
            file.write_all(&secret)
                .and_then(|()| file.sync_all())
                .map_err(named)?;
            Ok(TokenCodec::new(&secret))
        }
        Err(e) => Err(named(e)),
    }
}
