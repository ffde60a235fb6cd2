//! Names that encode addresses: reverse names, and owners of response policy zones.

use std::net::Ipv6Addr;

use super::error::{WordError, error};
use crate::model::{Prefix4, Prefix6, Subject};

/// Last labels of owners in a response policy zone that are not host names.
pub(super) const TRIGGERS: [&str; 4] = ["rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname"];

/// The error for a reverse name or a trigger of a response policy zone, with its address.
pub(super) fn reverse_name(word: &str, ascii: &str) -> WordError {
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
        let octets: Vec<u8> = reversed
            .rsplit('.')
            .map(|o| o.parse().ok())
            .collect::<Option<_>>()?;
        let addr = octets
            .iter()
            .take(4)
            .enumerate()
            .fold(0, |a, (i, o)| a | u32::from(*o) << (24 - 8 * i));
        return (octets.len() <= 4)
            .then(|| Subject::V4(Prefix4::new(addr, 8 * octets.len() as u8)));
    }
    if let Some(reversed) = ascii.strip_suffix(".ip6.arpa") {
        let nibbles: Vec<u8> = reversed
            .rsplit('.')
            .map(|n| u8::from_str_radix(n, 16).ok().filter(|_| n.len() == 1))
            .collect::<Option<_>>()?;
        let addr = nibbles
            .iter()
            .take(32)
            .enumerate()
            .fold(0, |a, (i, n)| a | u128::from(*n) << (124 - 4 * i));
        return (nibbles.len() <= 32)
            .then(|| Subject::V6(Prefix6::new(addr, 4 * nibbles.len() as u8)).unmapped());
    }
    let (owner, kind) = ascii.rsplit_once('.')?;
    TRIGGERS[..3]
        .contains(&kind)
        .then(|| policy_address(owner))
        .flatten()
}

/// The prefix of a trigger's owner without its type, such as `32.7.2.0.192` or `48.zz.db8.2001`
/// (draft-vixie-dnsop-dns-rpz, section 4.1.1): the length, then the reversed address; `zz` is a run
/// of zeros.
pub(in crate::lists) fn policy_address(owner: &str) -> Option<Subject> {
    let mut labels = owner.split('.');
    let len: u8 = labels.next()?.parse().ok()?;
    let mut parts: Vec<&str> = labels.collect();
    parts.reverse();
    let octets: Option<Vec<u8>> = parts.iter().map(|p| p.parse().ok()).collect();
    if let (4, Some(o)) = (parts.len(), octets)
        && len <= 32
    {
        let addr = o.iter().fold(0u32, |a, o| a << 8 | u32::from(*o));
        let p = Prefix4::new(addr, len);
        return (p.first() == addr).then_some(Subject::V4(p));
    }
    let text = match parts.iter().position(|p| *p == "zz") {
        Some(at) => format!("{}::{}", parts[..at].join(":"), parts[at + 1..].join(":")),
        None => parts.join(":"),
    };
    let addr = text.parse::<Ipv6Addr>().ok()?.to_bits();
    let p = Prefix6::new(addr, len.min(128));
    (len <= 128 && p.first() == addr).then(|| Subject::V6(p).unmapped())
}
