//! Names that encode addresses: reverse names, and owners of response policy zones.

use std::net::Ipv6Addr;

use super::error::{EntryError, error};
pub(in crate::lists) use crate::model::zone_addresses::{prefix4_of, prefix6_of};
use crate::model::{Prefix6, Subject};

/// Last labels of owners in a response policy zone that are not host names.
pub(in crate::lists) const TRIGGERS: [&str; 4] =
    ["rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname"];

/// The error for a reverse name or a trigger of a response policy zone, with its address.
pub(super) fn reverse_name(word: &str, ascii: &str) -> EntryError {
    let advice = reverse_subject(ascii).map_or_else(
        || "list the address or prefix instead".to_string(),
        |s| format!("list {s}"),
    );
    let what = if ascii.ends_with("arpa") {
        "the reverse name of an address"
    } else {
        "a trigger of a response policy zone"
    };
    error("a reverse name", format!("`{word}` is {what}; {advice}"))
}

/// The subject of a name below `in-addr.arpa` or `ip6.arpa`, or of an `rpz-ip` owner.
fn reverse_subject(ascii: &str) -> Option<Subject> {
    if let Some(reversed) = ascii.strip_suffix(".in-addr.arpa") {
        let reversed = reversed.strip_prefix("*.").unwrap_or(reversed);
        return prefix4_of(reversed.rsplit('.')).map(Subject::V4);
    }
    if let Some(reversed) = ascii.strip_suffix(".ip6.arpa") {
        return prefix6_of(reversed.rsplit('.')).map(|p| Subject::V6(p).unmapped());
    }
    let (owner, kind) = ascii.rsplit_once('.')?;
    policy_address(owner).filter(|_| TRIGGERS[..3].contains(&kind))
}

/// The prefix of a trigger's owner without its type, such as `32.7.2.0.192` or `48.zz.db8.2001`
/// (draft-vixie-dnsop-dns-rpz, section 4.1.1): the length, then the reversed address; `zz` is a run
/// of zeros.
pub(in crate::lists) fn policy_address(owner: &str) -> Option<Subject> {
    let mut labels = owner.split('.');
    let len: u8 = labels.next()?.parse().ok()?;
    let mut parts: Vec<&str> = labels.collect();
    parts.reverse();
    if let Some(host) = prefix4_of(parts.iter().copied()).filter(|p| p.is_host() && len <= 32) {
        let p = host.widen(len);
        return (p.first() == host.first()).then_some(Subject::V4(p));
    }
    let text = match parts.iter().position(|p| *p == "zz") {
        Some(at) => format!("{}::{}", parts[..at].join(":"), parts[at + 1..].join(":")),
        None => parts.join(":"),
    };
    let addr = text.parse::<Ipv6Addr>().ok()?.to_bits();
    let p = Prefix6::new(addr, len.min(128));
    (len <= 128 && p.first() == addr).then(|| Subject::V6(p).unmapped())
}
