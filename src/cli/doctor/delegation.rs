//! The delegation of a zone in its parent zone, as a server of the parent answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};

use super::{
    context::{Context, in_time},
    finding::{Area, Examination, Finding},
    query::{Protocol, ask},
    sample::origin,
};
use crate::{model::Zone, resolver::Resolver};

/// The most servers of a parent zone that are asked until one answers.
const MAX_PARENT_SERVERS: usize = 3;

/// Names of servers with their addresses.
pub(super) type Addresses = BTreeMap<String, BTreeSet<IpAddr>>;

/// What a server of the parent zone says about a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Referral {
    /// The parent zone.
    pub(super) parent: String,
    /// Whether the parent zone has no such name.
    pub(super) is_missing: bool,
    /// Whether the server has the zone itself, so that its glue cannot be seen.
    pub(super) is_authoritative: bool,
    /// The delegated servers.
    pub(super) servers: BTreeSet<String>,
    /// The addresses that come with them.
    pub(super) glue: Addresses,
}

/// Reads the delegation of a zone.
///
/// # Errors
///
/// The parent zone or its servers are not found, or none of them answers.
pub(super) async fn read(
    context: &Context,
    resolver: &Resolver,
    zone: &Zone,
) -> Result<Referral, String> {
    let origin = origin(zone);
    let above = origin.split_once('.').map_or("", |(_, above)| above);
    let parent = in_time(resolver.zone_apex(above)).await?;
    let parent = parent.ok_or_else(|| format!("no zone is found that contains {above}"))?;
    let servers = in_time(resolver.name_servers(&parent)).await?;
    let mut last = format!("the zone `{parent}.` has no name server");
    for name in servers.iter().take(MAX_PARENT_SERVERS) {
        let addresses = match in_time(resolver.addresses(&format!("{name}."))).await {
            Ok(addresses) => addresses,
            Err(e) => {
                last = e;
                continue;
            }
        };
        let Some(address) = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first()) else {
            last = format!("{name} has no address");
            continue;
        };
        let server = SocketAddr::new(*address, context.dns_port);
        match ask(server, Protocol::Udp, &origin, RecordType::NS, true).await {
            Ok(reply) => return Ok(referral(&parent, &reply)),
            Err(e) => last = format!("{name} ({server}): {}", e.text()),
        }
    }
    Err(last)
}

/// The content of a reply of the parent's server.
pub(super) fn referral(parent: &str, reply: &Message) -> Referral {
    let mut out = Referral {
        parent: parent.into(),
        is_missing: reply.metadata.response_code == ResponseCode::NXDomain,
        is_authoritative: reply.metadata.authoritative && !reply.answers.is_empty(),
        ..Referral::default()
    };
    for record in reply.answers.iter().chain(&reply.authorities) {
        if let RData::NS(ns) = &record.data {
            out.servers.insert(text(&ns.0.to_ascii()));
        }
    }
    for record in &reply.additionals {
        if let Some(address) = address(record) {
            let name = text(&record.name.to_ascii());
            out.glue.entry(name).or_default().insert(address);
        }
    }
    out
}

/// The address in a record.
fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(a) => Some(a.0.into()),
        _ => None,
    }
}

/// A name in lower case and without the dot at the end.
fn text(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The configured name servers of a zone.
pub(super) fn configured(zone: &Zone) -> BTreeSet<String> {
    zone.ns.iter().map(|n| text(n)).collect()
}

/// The addresses of servers that the zone itself has, in its records.
pub(super) fn own_addresses(zone: &Zone) -> Addresses {
    let origin = origin(zone);
    let mut out = Addresses::new();
    for record in &zone.records {
        let Ok(address) = record.data.trim().parse() else {
            continue;
        };
        let name = match record.name.trim_end_matches('.') {
            "@" | "" => origin.clone(),
            name => format!("{}.{origin}", name.to_ascii_lowercase()),
        };
        out.entry(name).or_default().insert(address);
    }
    out
}

/// Compares the delegation with the zone. `resolved` has the addresses of the servers, as the
/// resolver found them.
pub(super) fn assess(zone: &Zone, found: &Referral, resolved: &Addresses) -> Vec<Finding> {
    let origin = origin(zone);
    let examination = |check, target: &str| Examination::new(Area::Delegation, check, target);
    let parent = format!("{}.", found.parent);
    let configured = configured(zone);
    let records: Vec<String> = configured
        .iter()
        .map(|n| format!("{origin}. NS {n}."))
        .collect();
    if found.is_missing || found.servers.is_empty() {
        return vec![examination("ns", &origin).fault(
            format!("the zone {parent} does not delegate it"),
            format!("add to the zone {parent}: {}", records.join(", ")),
        )];
    }
    let mut out = Vec::new();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        let names: Vec<&str> = a.difference(b).map(String::as_str).collect();
        names.join(", ")
    };
    let (missing, extra) = (
        only(&configured, &found.servers),
        only(&found.servers, &configured),
    );
    out.push(match (missing.is_empty(), extra.is_empty()) {
        (true, true) => examination("ns", &origin).good("its name servers are those of the zone"),
        (false, _) => examination("ns", &origin).warning(
            format!("the zone {parent} does not name {missing}, which is in `ns`"),
            format!(
                "add it to the delegation in {parent}, or remove it from `ns` of the zone file"
            ),
        ),
        (true, false) => examination("ns", &origin).warning(
            format!("the zone {parent} names {extra}, which is not in `ns`"),
            format!(
                "add it to `ns` of the zone file, or remove it from the delegation in {parent}"
            ),
        ),
    });
    let own = own_addresses(zone);
    for name in &found.servers {
        let target = format!("{origin}: {name}");
        let is_inside = *name == origin || name.ends_with(&format!(".{origin}"));
        let (glue, own) = (found.glue.get(name), own.get(name));
        let addresses = own.or(resolved.get(name)).filter(|a| !a.is_empty());
        out.push(match (is_inside, glue, addresses) {
            (true, None, _) if !found.is_authoritative => {
                let record = match addresses {
                    Some(all) => glue_records(name, all),
                    None => format!("{name}. A ADDRESS"),
                };
                examination("glue", &target).fault(
                    format!("the zone {parent} has no glue for it, so that resolvers cannot find its address"),
                    format!("add to the zone {parent}: {record}"),
                )
            }
            (true, Some(glue), Some(known)) if glue.is_disjoint(known) => {
                examination("glue", &target).fault(
                    format!("the glue in {parent} is {}, and its address is {}", list(glue), list(known)),
                    format!("change it in the zone {parent} to: {}", glue_records(name, known)),
                )
            }
            (false, _, None) => examination("address", &target).fault(
                "it has no address",
                format!("add an A record for {name}, or remove it from `ns` and from {parent}"),
            ),
            (true, None, Some(addresses)) => {
                examination("address", &target).good(list(addresses))
            }
            (true, None, None) => examination("glue", &target).not_seen(
                format!("the server of {parent} has the zone itself, so that it shows no glue"),
                "read the records of the parent zone",
            ),
            (true, Some(glue), _) => examination("glue", &target).good(list(glue)),
            (false, _, Some(addresses)) => examination("address", &target).good(list(addresses)),
        });
    }
    out
}

/// Addresses in a line.
fn list(addresses: &BTreeSet<IpAddr>) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// The records of addresses.
fn glue_records(name: &str, addresses: &BTreeSet<IpAddr>) -> String {
    let record = |a: &IpAddr| format!("{name}. {} {a}", if a.is_ipv4() { "A" } else { "AAAA" });
    let all: Vec<String> = addresses.iter().map(record).collect();
    all.join(", ")
}
