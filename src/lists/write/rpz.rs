//! A response policy zone (draft-vixie-dnsop-dns-rpz): the listings are triggers with one action.
//!
//! The listings of an address zone are `rpz-client-ip` triggers: the policy applies to these
//! clients. Those of a domain zone are names, with `rpz-passthru.` for exclusions below a listed
//! wildcard; its addresses are `rpz-ip` triggers, for answers that contain them. Owner names are relative, so that the file can be loaded under any zone name.

use std::io::{self, Write};

use super::{Export, ExportChangeKind, names::names, published::text, report::ReportBuilder};
use crate::{
    index::{
        Items,
        prefix_cover::CoverMode,
        zones::{MAX_NAME, wire_name},
    },
    lists::{
        record_text::quoted,
        text::{name, rname},
    },
    model::{Domain, Prefix6, Scope, Subject, ZoneKind},
};

/// Bytes of an owner name that are reserved for the resolver's name of the policy zone, root label
/// included, because that name is not known here.
pub(super) const POLICY_ZONE_RESERVE: usize = 60;

/// The action of a resolver (section 3 of the draft).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// A CNAME, which is a special target of the draft or a host of the operator. There can be no
    /// TXT record at the same owner (RFC 1034 section 3.6.2).
    Cname(String),
    /// An answer with this address; a TXT record gives the reason.
    Address(std::net::IpAddr),
}

impl Action {
    /// Parses an action: `nxdomain` (the default), `nodata`, `drop`, `tcp-only`, `passthru`, an
    /// address or a host name.
    pub(super) fn parse(text: &str) -> Result<Action, String> {
        let cname = |target: &str| Ok(Action::Cname(target.into()));
        match text {
            "" | "nxdomain" => cname("."),
            "nodata" => cname("*."),
            "drop" | "tcp-only" | "passthru" => cname(&format!("rpz-{text}.")),
            other => match other.parse() {
                Ok(address) => Ok(Action::Address(address)),
                Err(_) if other.contains('.') && wire_name(other).is_ok() => {
                    cname(&format!("{}.", name(other)))
                }
                Err(_) => Err(format!(
                    "`{other}` is not an action; write nxdomain, nodata, drop, tcp-only, passthru, an address, or a host name with a dot"
                )),
            },
        }
    }

    /// Writes the records of an owner; those of an address give the reason.
    fn write(
        &self,
        owner: &str,
        reason: impl FnOnce() -> String,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self {
            Action::Cname(target) => writeln!(out, "{owner} CNAME {target}"),
            Action::Address(a) => {
                let kind = if a.is_ipv4() { "A" } else { "AAAA" };
                let reason = quoted(reason().as_bytes());
                writeln!(out, "{owner} {kind} {a}\n{owner} TXT {reason}")
            }
        }
    }
}

pub(super) fn rpz(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    let s = &e.view.spec;
    let action = Action::parse(e.action).map_err(io::Error::other)?;
    let ns: Vec<String> = s.ns.iter().map(|n| format!("{}.", name(n))).collect();
    let first = ns.first().map_or(".", |n| n);
    writeln!(out, "$TTL {}", s.ttl.0)?;
    let times = [s.refresh, s.retry, s.expire, s.minimum()]
        .map(|t| t.0.to_string())
        .join(" ");
    writeln!(
        out,
        "@ SOA {first} {}. {} {times}",
        rname(&s.contact),
        e.serial
    )?;
    ns.iter().try_for_each(|n| writeln!(out, "@ NS {n}"))?;
    let trigger = match s.kind {
        ZoneKind::Domain => "rpz-ip",
        _ => "rpz-client-ip",
    };
    // Prefixes with different reasons are only kept apart if the reasons are written.
    let mode = match action {
        Action::Address(_) => CoverMode::Values,
        Action::Cname(_) => CoverMode::Fewest,
    };
    e.prefix_cover(mode, Some(report), &mut |piece, items| {
        let owner = address_owner(piece, trigger);
        action.write(&owner, || text(e, report, piece, items), out)
    })?;
    match s.kind {
        ZoneKind::Domain => domains(e, &action, report, out),
        _ => Ok(()),
    }
}

/// Whether resolvers read a name as an address or a name server instead of a host name.
pub(super) fn reserved(name: &str) -> bool {
    name.rsplit('.')
        .next()
        .is_some_and(|top| top.starts_with("rpz-"))
}

/// The bytes of a trigger's owner name in a message, relative to the policy zone.
pub(super) fn owner_bytes(domain: &Domain) -> usize {
    domain.name().len() + 1 + if domain.scope() == Scope::Below { 2 } else { 0 }
}

fn domains(
    e: &Export,
    action: &Action,
    report: &ReportBuilder,
    out: &mut dyn Write,
) -> io::Result<()> {
    let exception = Action::Cname("rpz-passthru.".into());
    for name in e.long_exclusions() {
        report.add(ExportChangeKind::ExclusionTooLong, name);
    }
    names(e, &mut |domain, items: &Items| {
        let excluded = items.is_empty();
        let is_reserved = reserved(domain.name());
        if is_reserved || owner_bytes(domain) + POLICY_ZONE_RESERVE > MAX_NAME {
            match (excluded, is_reserved) {
                (true, true) => {}
                (true, false) => report.add(ExportChangeKind::ExclusionTooLong, domain),
                (false, true) => report.add(ExportChangeKind::ReservedName, domain),
                (false, false) => report.add(ExportChangeKind::NameTooLongForPolicyZone, domain),
            }
            return Ok(());
        }
        let wildcard = if domain.scope() == Scope::Below {
            "*."
        } else {
            ""
        };
        let owner = format!("{wildcard}{}", name(domain.name()));
        let action = if excluded { &exception } else { action };
        let subject = || Subject::Domain(domain.clone());
        action.write(&owner, || text(e, report, &subject(), items), out)
    })
}

/// The owner of an address trigger (section 4.1.1): the length, then the reversed address. IPv6 has
/// 16 bits a label, with `zz` for the longest run of zeros.
fn address_owner(prefix: &Subject, trigger: &str) -> String {
    match prefix {
        Subject::V4(p) => {
            let [a, b, c, d] = p.first().to_be_bytes();
            format!("{}.{d}.{c}.{b}.{a}.{trigger}", p.len())
        }
        Subject::V6(p) => format!("{}.{}.{trigger}", p.len(), address_groups(*p)),
        Subject::Domain(name) => name.to_string(),
    }
}

/// The reversed groups of an IPv6 address, with zeros shortened as in RFC 5952: the longest run of
/// two or more, the first of equal ones. Resolvers refuse other forms.
pub(super) fn address_groups(p: Prefix6) -> String {
    let groups: Vec<u16> = (0..8)
        .map(|i| (p.first() >> (112 - 16 * i)) as u16)
        .collect();
    let run = |at: usize| groups[at..].iter().take_while(|w| **w == 0).count();
    let longest = (0..8)
        .map(|at| (run(at), at))
        .filter(|(n, _)| *n > 1)
        .max_by_key(|(n, at)| (*n, 8 - at));
    let mut labels: Vec<String> = groups.iter().map(|group| format!("{group:x}")).collect();
    if let Some((n, start)) = longest {
        labels.splice(start..start + n, ["zz".into()]);
    }
    labels.reverse();
    labels.join(".")
}
