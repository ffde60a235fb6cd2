//! A response policy zone (draft-vixie-dnsop-dns-rpz): what is listed as triggers, with one action for all.
//!
//! An address zone becomes `rpz-client-ip` triggers: its hosts are the clients that the policy is for. A zone of domains
//! becomes names, with `rpz-passthru.` for exceptions below a listed tree. Owner names are relative, so that the file can
//! be loaded under any name.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    Export, Net,
    names::names,
    said::{said, text},
};
use crate::{
    format::text::{label, name, rname},
    index::{Items, pieces::Cut, zones::wire_name},
    model::{Prefix6, Scope, Subject, ZoneKind},
};

/// What a resolver does (section 3 of the draft).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// A CNAME with a meaning, or to a host of ours.
    Cname(String),
    /// Answer with an address; the reason is there as TXT. Beside a CNAME there can be none (RFC 1034 section 3.6.2).
    Address(std::net::IpAddr),
}

impl Action {
    /// `nxdomain` (the default), `nodata`, `drop`, `tcp-only`, `passthru`, an address or a host's name.
    pub(super) fn parse(text: &str) -> Result<Action, String> {
        let cname = |target: &str| Ok(Action::Cname(target.into()));
        match text {
            "" | "nxdomain" => cname("."),
            "nodata" => cname("*."),
            "drop" | "tcp-only" | "passthru" => cname(&format!("rpz-{text}.")),
            other => match other.parse() {
                Ok(address) => Ok(Action::Address(address)),
                Err(_) if other.contains('.') && wire_name(other).is_ok() => cname(&format!("{}.", name(other))),
                Err(_) => Err(format!(
                    "`{other}` is not an action; it is one of nxdomain, nodata, drop, tcp-only, passthru, an address, or a host's name with a dot"
                )),
            },
        }
    }

    /// Whether the records say why.
    fn tells(&self) -> bool {
        matches!(self, Action::Address(_))
    }

    /// Writes the records of an owner.
    fn write(&self, owner: &str, why: &str, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Action::Cname(target) => writeln!(out, "{owner} CNAME {target}"),
            Action::Address(a) => {
                let kind = if a.is_ipv4() { "A" } else { "AAAA" };
                writeln!(out, "{owner} {kind} {a}\n{owner} TXT {}", super::master::quoted(why.as_bytes()))
            }
        }
    }
}

pub(super) fn rpz(e: &Export, out: &mut dyn Write) -> io::Result<()> {
    let s = &e.view.spec;
    let action = Action::parse(e.action).map_err(io::Error::other)?;
    let ns: Vec<String> = s.ns.iter().map(|n| format!("{}.", name(n))).collect();
    let first = ns.first().map_or(".", |n| n);
    writeln!(out, "$TTL {}", s.ttl.0)?;
    let times = [s.refresh, s.retry, s.expire, s.minimum()].map(|t| t.0.to_string()).join(" ");
    writeln!(out, "@ SOA {first} {}. {} {times}", rname(&s.contact), e.serial)?;
    ns.iter().try_for_each(|n| writeln!(out, "@ NS {n}"))?;
    match s.kind {
        ZoneKind::Address if action.tells() => e.pieces(Cut::Values, &mut |piece, items| match piece {
            Subject::V4(p) => action.write(&client(Net::V4(*p)), &text(e, piece, items), out),
            Subject::V6(p) => action.write(&client(Net::V6(*p)), &text(e, piece, items), out),
            Subject::Domain(_) => Ok(()),
        }),
        ZoneKind::Address => e.prefixes(&mut |net| action.write(&client(net), "", out)),
        _ => domains(e, &action, out),
    }
}

fn domains(e: &Export, action: &Action, out: &mut dyn Write) -> io::Result<()> {
    let exception = Action::Cname("rpz-passthru.".into());
    names(e, &mut |domain, items: &Items| {
        // Under these labels a resolver reads addresses and name servers: nobody's name, and nothing that a list may set.
        if domain.name().rsplit('.').next().is_some_and(|top| top.starts_with("rpz-")) {
            return Ok(());
        }
        let mut owner = String::from(if domain.scope() == Scope::Below { "*." } else { "" });
        for (i, l) in domain.name().split('.').enumerate() {
            let _ = write!(owner, "{}{}", if i > 0 { "." } else { "" }, label(l.as_bytes()));
        }
        let subject = Subject::Domain(domain.clone());
        match said(e, &subject, items).iter().find(|s| !s.text.is_empty()) {
            _ if items.is_empty() => exception.write(&owner, "", out),
            Some(s) => action.write(&owner, &s.text, out),
            None => action.write(&owner, &format!("listed in {}", e.view.name), out),
        }
    })
}

/// The owner of a client's trigger (section 4.1.1): the length, then the address from its end; of IPv6 16 bits a label, the
/// longest run of zeros as `zz`.
fn client(net: Net) -> String {
    match net {
        Net::V4(p) => {
            let [a, b, c, d] = p.first().to_be_bytes();
            format!("{}.{d}.{c}.{b}.{a}.rpz-client-ip", p.len())
        }
        Net::V6(p) => format!("{}.{}.rpz-client-ip", p.len(), words(p)),
    }
}

/// As RFC 5952 shortens: the longest run of two or more, the first of equals. Resolvers refuse other spellings.
pub(super) fn words(p: Prefix6) -> String {
    let words: Vec<u16> = (0..8).map(|i| (p.first() >> (112 - 16 * i)) as u16).collect();
    let run = |at: usize| words[at..].iter().take_while(|w| **w == 0).count();
    let longest = (0..8).map(|at| (run(at), at)).filter(|(n, _)| *n > 1).max_by_key(|(n, at)| (*n, 8 - at));
    let mut out: Vec<String> = Vec::with_capacity(8);
    let mut at = 0;
    while at < 8 {
        match longest {
            Some((n, start)) if start == at => {
                out.push("zz".into());
                at += n;
            }
            _ => {
                out.push(format!("{:x}", words[at]));
                at += 1;
            }
        }
    }
    out.reverse();
    out.join(".")
}
