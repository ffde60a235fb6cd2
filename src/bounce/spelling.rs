//! The spellings of a single subject: bracketed, with a port, reversed with a zone after it, as a
//! mail address, or as a link.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{OtherLists, OwnNames};
use crate::{
    lists::entry::{self, Rules},
    model::{Domain, Prefix4, Prefix6, Subject, subject::HostBits},
};

/// The longest text that can be a single subject, in bytes: a link with a long name.
const MAX_SUBJECT_BYTES: usize = 600;

/// The marks around a subject that do not belong to it.
const MARKS: [char; 17] = [
    '[', ']', '(', ')', '{', '}', '<', '>', '"', '\'', '`', ',', ';', '.', ':', '!', '?',
];

/// Reads a text that is one subject and nothing else, in any spelling. The zone is that of a
/// queried name, such as `7.100.51.45.relays.example`.
pub fn subject_of(text: &str, own: OwnNames<'_>) -> Option<(Subject, Option<String>)> {
    let text = text.trim();
    if text.len() > MAX_SUBJECT_BYTES || text.is_empty() {
        return None;
    }
    let trimmed = trim_marks(text);
    if let Some(found) = link_subject(trimmed, own) {
        return Some((found, None));
    }
    if let Some((subject, zone)) = read_name(trimmed, own) {
        return Some((subject, Some(zone)));
    }
    let word = strip_label(trimmed);
    if let Some(subject) = address(word) {
        return Some((subject, None));
    }
    if let Some((local, domain)) = word.rsplit_once('@') {
        let is_mail = !local.is_empty() && !local.contains(char::is_whitespace);
        let domain = name(domain).filter(|_| is_mail)?;
        return Some((domain, None));
    }
    let rules = Rules {
        host_bits: HostBits::Clear,
        digest: None,
    };
    if entry::is_address_form(word) {
        let mut subjects = entry::parse(word, &rules).ok()?;
        let subject = subjects.pop().filter(|_| subjects.is_empty())?;
        return Some((subject, None));
    }
    // A mark before a name is its scope.
    let start = text.trim_start_matches(['[', '(', '<', '"', '\'', '`']);
    let scoped = start.starts_with(['.', '*']).then(|| {
        let end = start.trim_end_matches(MARKS);
        Domain::parse(end).ok().map(Subject::Domain)
    });
    let found = scoped.flatten().or_else(|| name(word))?;
    Some((found, None))
}

/// A text without the marks around it; `::1` and `2001:db8::` keep their colons.
fn trim_marks(text: &str) -> &str {
    let trimmed = text.trim_matches(|c: char| c != ':' && MARKS.contains(&c));
    match trimmed.parse::<Ipv6Addr>().is_ok() || trimmed.contains("::/") {
        true => trimmed,
        false => trimmed
            .trim_start_matches(|c: char| c.is_whitespace())
            .trim_end_matches(':'),
    }
}

/// A text without a label such as `IP:` or `IPv6:`.
fn strip_label(text: &str) -> &str {
    let labels = ["ipv6:", "ipv4:", "ip:", "ip ", "ip=", "host:", "client:"];
    let found = labels.iter().find(|label| {
        text.get(..label.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(label))
    });
    found.map_or(text, |label| trim_marks(text[label.len()..].trim_start()))
}

/// An address or a prefix, with or without a port, a zone identifier, or marks.
pub(super) fn address(word: &str) -> Option<Subject> {
    let word = word.trim_end_matches('.');
    if word.len() > 64 || !word.contains(['.', ':']) {
        return None;
    }
    // `[2001:db8::1]:25` without its first bracket, and `45.51.100.7]:25`.
    let word = word.split(']').next().unwrap_or(word);
    if let Ok(subject) = Subject::parse(word, HostBits::Clear)
        && subject.is_address()
    {
        return Some(subject);
    }
    let without_port = |text: &str| {
        let (addr, port) = text.rsplit_once([':', '#'])?;
        let addr: Ipv4Addr = addr.parse().ok()?;
        port.parse::<u16>().ok()?;
        Some(Subject::host(addr.into()))
    };
    if let Some(subject) = without_port(word) {
        return Some(subject);
    }
    let (addr, zone) = word.split_once('%')?;
    let addr: Ipv6Addr = addr.parse().ok()?;
    (!zone.is_empty()).then(|| Subject::host(addr.into()))
}

/// A domain name that a person can mean: of two or more labels and with a letter in its last one,
/// a test point, or a digest.
pub(super) fn name(word: &str) -> Option<Subject> {
    let domain = Domain::parse(word).ok()?;
    let name = domain.name();
    let sound = match name.rsplit_once('.') {
        Some((_, top)) => top.bytes().any(|b| b.is_ascii_alphabetic()),
        None => {
            matches!(name, "test" | "invalid")
                || name.len() >= 26 && name.bytes().all(|b| b.is_ascii_alphanumeric())
        }
    };
    (sound && !entry::is_address_form(name)).then_some(Subject::Domain(domain))
}

/// Reads a name that was queried in a DNS blocklist, or a reverse name, and returns the subject and
/// the zone: `7.100.51.45.relays.example`, nibbles of IPv6, or a domain before a zone that is known.
pub fn read_name(word: &str, own: OwnNames<'_>) -> Option<(Subject, String)> {
    let name = word.trim_end_matches('.').to_ascii_lowercase();
    if name.len() > 253 {
        return None;
    }
    for arpa in [".in-addr.arpa", ".ip6.arpa"] {
        if let Some(reversed) = name.strip_suffix(arpa) {
            let subject = match arpa.len() {
                13 => prefix4(reversed)?,
                _ => prefix6(reversed)?,
            };
            return Some((subject, arpa[1..].into()));
        }
    }
    let dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
    for (labels, read) in [
        (32, prefix6 as fn(&str) -> Option<Subject>),
        (4, prefix4 as fn(&str) -> Option<Subject>),
    ] {
        let Some(end) = dots.get(labels - 1) else {
            continue;
        };
        let zone = &name[end + 1..];
        if zone.contains('.')
            && zone_like(zone)
            && let Some(subject) = read(&name[..*end])
        {
            return Some((subject, zone.into()));
        }
    }
    let known = |zone: &str| (own.is_zone)(zone) || OtherLists::get().by_zone(zone).is_some();
    let zone_at = dots.iter().find(|at| known(&name[**at + 1..]))?;
    let subject = self::name(&name[..*zone_at])?;
    Some((subject, name[zone_at + 1..].into()))
}

/// Whether the last label of a name is not a number.
fn zone_like(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or("");
    top.len() > 1
        && top.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && top.as_bytes()[0].is_ascii_alphabetic()
}

/// The address or prefix of reversed octets.
fn prefix4(reversed: &str) -> Option<Subject> {
    let octet = |l: &str| l.parse::<u8>().ok().filter(|n| n.to_string() == l);
    let octets: Vec<u8> = reversed.rsplit('.').map(octet).collect::<Option<_>>()?;
    let mut addr = [0; 4];
    addr.get_mut(..octets.len())?.copy_from_slice(&octets);
    let len = 8 * octets.len() as u8;
    Some(Subject::V4(Prefix4::new(u32::from_be_bytes(addr), len)))
}

/// The address or prefix of reversed hexadecimal digits.
fn prefix6(reversed: &str) -> Option<Subject> {
    let nibble = |l: &str| u128::from_str_radix(l, 16).ok().filter(|_| l.len() == 1);
    let nibbles: Vec<u128> = reversed.rsplit('.').map(nibble).collect::<Option<_>>()?;
    if nibbles.len() > 32 {
        return None;
    }
    let addr = nibbles.iter().rev().fold(0, |addr, n| addr >> 4 | n << 124);
    Some(Subject::V6(Prefix6::new(addr, 4 * nibbles.len() as u8)).unmapped())
}

/// The host of a link in lower case, and what follows it.
pub(super) fn split_link(link: &str) -> Option<(String, &str)> {
    let rest = match link.find("://") {
        Some(at) if link[..at].bytes().all(|b| b.is_ascii_alphanumeric()) => &link[at + 3..],
        _ if link
            .get(..4)
            .is_some_and(|w| w.eq_ignore_ascii_case("www.")) =>
        {
            link
        }
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or("");
    let host = host.split(':').next().unwrap_or("");
    Some((host.to_ascii_lowercase(), &rest[end..]))
}

/// The subject of a link to a page of this server or of a known list.
fn link_subject(link: &str, own: OwnNames<'_>) -> Option<Subject> {
    if link.contains(char::is_whitespace) {
        return None;
    }
    let (host, rest) = split_link(link)?;
    let known = (own.is_host)(&host) || OtherLists::get().by_host(&host).is_some();
    // A link to anything else is a link to the domain that somebody asks about.
    match path_subject(rest) {
        Some(subject) if known || subject.is_address() => Some(subject),
        _ if known => None,
        _ => address(&host).or_else(|| name(&host)),
    }
}

/// The first subject in the path and query of a link; addresses come first.
pub(super) fn path_subject(path: &str) -> Option<Subject> {
    let decoded = percent_decoded(path);
    let path = decoded.split('#').next().unwrap_or("");
    // The short form of a prefix has its length as a part of its own.
    let mut parts = path.trim_matches('/').rsplit('/');
    if let (Some(length), Some(addr)) = (parts.next(), parts.next())
        && length.len() <= 3
        && let Ok(prefix) = Subject::parse(&format!("{addr}/{length}"), HostBits::Clear)
        && prefix.is_address()
    {
        return Some(prefix);
    }
    let words = || path.split(['/', '?', '&', '=', ';', ',', '+', ' ']);
    words().find_map(address).or_else(|| {
        let plausible = |w: &&str| !w.ends_with(".html") && !w.ends_with(".php");
        words()
            .filter(plausible)
            .filter(|w| !w.ends_with(".cgi") && !w.ends_with(".aspx") && !w.ends_with(".jsp"))
            .find_map(|w| name(w.rsplit('@').next()?))
    })
}

/// A text with its `%XX` decoded, if they are ASCII.
fn percent_decoded(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3);
        let code = code.and_then(|c| u8::from_str_radix(c, 16).ok());
        match code.filter(u8::is_ascii_graphic) {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}
