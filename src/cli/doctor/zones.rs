//! The checks of one zone: its delegation, and each of its name servers.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hickory_resolver::proto::rr::RecordType;
use tokio::task::JoinSet;

use super::{
    context::{Context, in_time},
    delegation::{self, Addresses},
    finding::{Area, Examination, Finding},
    listeners::reachable,
    query::{Protocol, ask},
    sample::{self, TestNames, origin},
    servers::{self, Examined, ZoneServer},
};
use crate::{
    api::LagResponse,
    model::{Serial, Zone},
};

/// Checks the delegation of a zone and its servers.
pub(super) async fn check(context: Arc<Context>, zone: Arc<Zone>) -> Vec<Finding> {
    let origin = origin(&zone);
    let mut out = Vec::new();
    let mut names = delegation::configured(&zone);
    let mut addresses = delegation::own_addresses(&zone);
    match &context.resolver {
        Err(why) => out.push(
            Examination::new(Area::Delegation, "ns", origin.clone()).not_seen(
                format!("no resolver can be asked: {why}"),
                "name one with `--from`, or in `[http_client] resolvers`",
            ),
        ),
        Ok(resolver) => {
            let (found, through) = tokio::join!(
                delegation::read(&context, resolver, &zone),
                through_resolver(&context, &zone),
            );
            if let Ok(found) = &found {
                names.extend(found.servers.iter().cloned());
                for (name, glue) in &found.glue {
                    addresses.entry(name.clone()).or_default().extend(glue);
                }
            }
            let (resolved, failed) = resolve(&context, &names).await;
            for (name, found) in &resolved {
                addresses.entry(name.clone()).or_default().extend(found);
            }
            match found {
                Ok(found) => {
                    // The absence of an address is only known if the resolver answered.
                    let findings = delegation::assess(&zone, &found, &resolved).into_iter();
                    out.extend(findings.filter(|f| {
                        f.check != "address" || !failed.iter().any(|name| f.target.ends_with(name))
                    }));
                }
                Err(why) => out.push(
                    Examination::new(Area::Delegation, "ns", origin.clone()).not_seen(
                        format!("the delegation was not found: {why}"),
                        "run this where the parent zone can be queried, or ask another resolver with `--from`",
                    ),
                ),
            }
            out.extend(failed.iter().map(|name| {
                Examination::new(Area::Delegation, "address", format!("{origin}: {name}")).not_seen(
                    "the resolver did not answer for its address",
                    "ask another resolver with `--from`",
                )
            }));
            out.extend(through);
        }
    }
    out.extend(check_servers(&context, zone, names, addresses).await);
    out
}

/// Looks up the addresses of servers. Returns them, and the names that could not be looked up.
async fn resolve(context: &Arc<Context>, names: &BTreeSet<String>) -> (Addresses, Vec<String>) {
    let mut tasks = JoinSet::new();
    for name in names.clone() {
        let context = context.clone();
        tasks.spawn(async move {
            let found = match &context.resolver {
                Ok(resolver) => in_time(resolver.addresses(&format!("{name}."))).await,
                Err(why) => Err(why.clone()),
            };
            (name, found)
        });
    }
    let (mut out, mut failed) = (Addresses::new(), Vec::new());
    while let Some(Ok((name, found))) = tasks.join_next().await {
        match found {
            Ok(found) => out.entry(name).or_default().extend(found),
            Err(_) => failed.push(name),
        }
    }
    failed.sort();
    (out, failed)
}

/// Whether the test names are answered through the resolver, as a mail server asks.
async fn through_resolver(context: &Context, zone: &Zone) -> Vec<Finding> {
    let Ok(resolver) = &context.resolver else {
        return Vec::new();
    };
    let names = TestNames::of(zone);
    let (listed, unlisted) = (format!("{}.", names.listed), format!("{}.", names.unlisted));
    let (listed, unlisted) = tokio::join!(
        in_time(resolver.addresses(&listed)),
        in_time(resolver.addresses(&unlisted)),
    );
    vec![assess_resolver(&origin(zone), &names, listed, unlisted)]
}

/// Assesses the answers of a resolver to the test names.
pub(super) fn assess_resolver(
    origin: &str,
    names: &TestNames,
    listed: Result<Vec<IpAddr>, String>,
    unlisted: Result<Vec<IpAddr>, String>,
) -> Finding {
    let examination = Examination::new(
        Area::Delegation,
        "resolver",
        format!("{origin} through the resolver"),
    );
    const ASK_ANOTHER: &str =
        "correct the other faults of this zone first; then ask another resolver with `--from`";
    match (listed, unlisted) {
        (Err(why), _) | (_, Err(why)) => examination.not_seen(
            format!("the resolver did not answer: {why}"),
            "ask another resolver with `--from`",
        ),
        (Ok(listed), _) if !listed.iter().any(IpAddr::is_loopback) => examination.fault(
            format!(
                "{} is not listed there, so that no mail server sees the list",
                names.listed
            ),
            ASK_ANOTHER,
        ),
        (_, Ok(unlisted)) if !unlisted.is_empty() => examination.fault(
            format!(
                "{} has an address there, so that everything is listed",
                names.unlisted
            ),
            "use a resolver that does not replace NXDOMAIN, and remove wildcards above the zone",
        ),
        _ => examination.good("one test point is listed, and the other does not exist"),
    }
}

/// Asks all servers of a zone, and compares them with this one.
async fn check_servers(
    context: &Arc<Context>,
    zone: Arc<Zone>,
    names: BTreeSet<String>,
    addresses: Addresses,
) -> Vec<Finding> {
    let origin = origin(&zone);
    let listed = context
        .daemon
        .as_ref()
        .map_or(&[][..], |d| d.listed.as_slice());
    let sample: Arc<Vec<String>> = Arc::new(sample::names(&zone, listed));
    let mut tasks = JoinSet::new();
    let mut asked = BTreeSet::new();
    for name in names {
        for ip in addresses.get(&name).into_iter().flatten() {
            if asked.insert(*ip) {
                let server = ZoneServer {
                    zone: origin.clone(),
                    name: name.clone(),
                    address: SocketAddr::new(*ip, context.dns_port),
                };
                let (zone, sample) = (zone.clone(), sample.clone());
                tasks.spawn(async move { servers::examine(server, &zone, &sample).await });
            }
        }
    }
    if asked.is_empty() {
        return vec![Examination::new(Area::Servers, "answer", origin).not_seen(
            "no address of its name servers is known",
            "correct the findings of the delegation first",
        )];
    }
    let mut examined = tasks.join_all().await;
    examined.sort_by_key(|e| e.server.address);
    let ours = own_serial(context, &origin).await;
    let own_sample = match own_listener(context) {
        Some(own) if ours.is_some() => servers::ask_sample(own, &sample).await,
        _ => Vec::new(),
    };
    let mut tasks = JoinSet::new();
    for one in examined {
        let (context, zone) = (context.clone(), zone.clone());
        let (names, own_sample) = (sample.clone(), own_sample.clone());
        tasks.spawn(async move {
            match ours {
                Some(ours) => compare(&context, &zone, one, ours, &names, &own_sample).await,
                None => without_own_serial(one),
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Adds that the serial of a server is compared with nothing: one that is equal to those of the
/// other servers can be stale on all of them.
fn without_own_serial(mut one: Examined) -> Vec<Finding> {
    if one.serial.is_some() {
        one.findings.push(one.server.examination("serial").not_seen(
            "this server gives no serial to compare with",
            "start the daemon, and let one of `[dns] listen` answer from here",
        ));
    }
    one.findings
}

/// Adds the findings about the serial and the sample of a server.
async fn compare(
    context: &Context,
    zone: &Zone,
    mut one: Examined,
    reference: Serial,
    names: &[String],
    own_sample: &[Option<servers::SampleAnswer>],
) -> Vec<Finding> {
    let Some(mut serial) = one.serial else {
        return one.findings;
    };
    let lag = lag(context, &one.server);
    if serial != reference && lag.is_none() {
        serial = servers::serial_later(&one.server).await.unwrap_or(serial);
        // It may have caught up with a serial that is newer than the first one.
        let is_current = serial.partial_cmp(&reference) == Some(std::cmp::Ordering::Greater)
            && own_serial(context, &one.server.zone).await == Some(serial);
        if is_current {
            one.findings.push(servers::assess_serial(
                &one.server,
                zone,
                (serial, serial),
                None,
            ));
            return one.findings;
        }
    }
    one.findings.push(servers::assess_serial(
        &one.server,
        zone,
        (serial, reference),
        lag,
    ));
    if serial != reference {
        return one.findings;
    }
    let mut found = servers::assess_sample(&one.server, names, &one.sample, own_sample);
    if found
        .as_ref()
        .is_some_and(|f| f.state != super::finding::State::Good)
        && let Some(own) = own_listener(context)
    {
        // A commit may have come between the two answers.
        let (theirs, ours) = tokio::join!(
            servers::ask_sample(one.server.address, names),
            servers::ask_sample(own, names),
        );
        found = servers::assess_sample(&one.server, names, &theirs, &ours);
    }
    let not_compared = || {
        one.server.examination("agreement").not_seen(
            "no listed name has an answer of both servers that could be compared",
            "let one of `[dns] listen` answer from here, and run this again",
        )
    };
    // Without a listed name there is nothing on which servers could differ.
    let found = found.or_else(|| (!names.is_empty()).then(not_compared));
    one.findings.extend(found);
    one.findings
}

/// How far the daemon knows a server to be behind.
fn lag(context: &Context, server: &ZoneServer) -> Option<LagResponse> {
    let daemon = context.daemon.as_ref().ok()?;
    let ip = server.address.ip();
    let is_server = |address: &str| {
        let parsed = address.parse::<SocketAddr>().map(|a| a.ip());
        parsed.ok().or_else(|| address.parse().ok()) == Some(ip)
    };
    let mut mirrors = daemon.mirrors.iter();
    let mirror =
        mirrors.find(|m| m.zone.trim_end_matches('.') == server.zone && is_server(&m.address))?;
    mirror.behind.filter(|b| b.serials > 0)
}

/// A listener of this server for queries.
fn own_listener(context: &Context) -> Option<SocketAddr> {
    let config = context.config.as_ref().ok()?;
    config.dns.listen.first().copied().map(reachable)
}

/// The serial of a zone on this server.
async fn own_serial(context: &Context, origin: &str) -> Option<Serial> {
    let own = own_listener(context)?;
    let reply = ask(own, Protocol::Udp, origin, RecordType::SOA, true).await;
    let asked = reply.ok().as_ref().and_then(servers::serial);
    let daemon = context.daemon.as_ref().ok();
    asked.or_else(|| {
        let mut zones = daemon?.status.zones.iter();
        let zone = zones.find(|z| z.zone.trim_end_matches('.') == origin)?;
        Some(Serial(zone.serial))
    })
}
