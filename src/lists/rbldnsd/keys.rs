//! Keys of data sets: the subject of a line.

use std::net::Ipv6Addr;

use super::Kind;
use crate::lists::{
    Options,
    entry::{self, EntryError, prefix4_of},
};
use crate::model::{Domain, Prefix4, Prefix6, Subject, subject::HostBits};

/// The data set type to which a key belongs, by its form.
pub(super) fn guess(body: &str) -> Kind {
    let word = body.split(|c: char| c.is_whitespace()).next().unwrap_or("");
    let key = word.split([':', '#', ';']).next().unwrap_or("");
    if !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_digit() || b"./-".contains(&b))
        && (key.contains(['.', '/']) || !word.contains(':'))
    {
        return Kind::Ip4Set;
    }
    if word.contains(':')
        && word
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b":/.".contains(&b))
    {
        return Kind::Ip6Trie;
    }
    Kind::Names
}

/// The addresses of an IPv4 key: `1.2.3.4`, `1.2.3` (a /24), `1.2.3.0/24`, `1.2/16`,
/// `1.2.3.4-1.2.3.9`, `1.2.3.4-9`, `1.2-5`, `1.2-1.5`.
pub(super) fn range4(key: &str, host_bits: HostBits) -> Result<(u32, u32), EntryError> {
    let bad = |why: &str| {
        Err(EntryError::from(format!(
            "`{key}` is not an IPv4 address, prefix or range: {why}"
        )))
    };
    if has_leading_zero(key.as_bytes()) {
        return Err(EntryError {
            class: "a leading zero",
            text: format!("`{key}`: leading zero; some programs read such a number as octal"),
        });
    }
    let (low, high) = split_optional(key, '-');
    let (low, len) = split_optional(low, '/');
    let Some((first, count)) = octets(low) else {
        return bad("octets are numbers from 0 to 255");
    };
    let whole = |n: usize| Prefix4::mask((n * 8) as u8);
    match (high, len) {
        (None, Some(len)) => {
            let Some(len) = len.parse::<u8>().ok().filter(|l| *l <= 32) else {
                return bad("a length is a number from 0 to 32");
            };
            let p = Prefix4::new(first, len);
            if p.first() != first && host_bits == HostBits::Refuse {
                return Err(EntryError {
                    class: "host bits set",
                    text: format!("`{key}` has host bits set; the prefix is {p}"),
                });
            }
            Ok((p.first(), p.last()))
        }
        (None, None) if count == 1 => bad("a whole /8 is written as 10/8"),
        (None, None) => Ok((first, first | !whole(count))),
        (Some(_), Some(_)) => bad("a range has no length"),
        (Some(high), None) => {
            let last = match octets(high) {
                // The last octet alone, or as many octets as the start has.
                Some((v, 1)) if count > 1 => first & whole(count - 1) | (v >> (8 * (count - 1))),
                Some((v, n)) if n == count => v,
                _ => {
                    return bad(
                        "both ends have the same number of octets, or the end is the last octet alone",
                    );
                }
            };
            let last = last | !whole(count);
            if last < first {
                bad("a range goes from the lower address to the higher")
            } else {
                Ok((first, last))
            }
        }
    }
}

/// Whether a number of a key starts with a zero that other digits follow.
fn has_leading_zero(key: &[u8]) -> bool {
    let digit = |at: usize| key.get(at).is_some_and(u8::is_ascii_digit);
    (0..key.len()).any(|i| key[i] == b'0' && digit(i + 1) && (i == 0 || !digit(i - 1)))
}

/// One to four octets, from the left, and their number.
fn octets(text: &str) -> Option<(u32, usize)> {
    let prefix = prefix4_of(text.split('.'))?;
    Some((prefix.first(), usize::from(prefix.len() / 8)))
}

/// The text before a separator and the text after it, if there is one.
fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator)
        .map_or((text, None), |(first, rest)| (first, Some(rest)))
}

/// The address of an IPv6 key, with zeros for missing groups at the end; the number of groups if
/// some are missing; and the length, if it has one.
fn address6(key: &str) -> Result<(Ipv6Addr, Option<usize>, Option<u8>), String> {
    let (addr, len) = split_optional(key, '/');
    let groups = addr.split(':').filter(|g| !g.is_empty()).count();
    let cut = !addr.contains("::") && groups < 8;
    let parsed = format!("{addr}{}", if cut { "::" } else { "" })
        .parse()
        .map_err(|_| format!("`{key}` is not an IPv6 address or prefix"))?;
    let len: Option<u8> = len.map(|l| l.parse().unwrap_or(u8::MAX));
    if len.is_some_and(|l| l > 128) {
        return Err(format!("`{key}`: a length is a number from 0 to 128"));
    }
    Ok((parsed, cut.then_some(groups), len))
}

/// An IPv6 key: an address or prefix.
pub(super) fn ip6(key: &str, host_bits: HostBits) -> Result<Subject, String> {
    let (addr, cut, len) = address6(key)?;
    let len = len.unwrap_or_else(|| cut.map_or(128, |groups| groups as u8 * 16));
    let p = Prefix6::new(addr.to_bits(), len);
    if p.first() != addr.to_bits() && host_bits == HostBits::Refuse {
        return Err(format!("`{key}` has host bits set; the prefix is {p}"));
    }
    Ok(Subject::V6(p).unmapped())
}

/// A key of an `ip6tset`: the four groups of a /64; an exclusion is one address.
pub(super) fn ip6tset(key: &str, exclusion: bool) -> Result<Subject, String> {
    let (addr, cut, len) = address6(key)?;
    let right = match (exclusion, cut, len) {
        (true, None, None | Some(128)) => Some(128),
        (false, Some(4), None) => Some(64),
        (false, _, Some(64)) if addr.to_bits() as u64 == 0 => Some(64),
        _ => None,
    };
    match right {
        Some(len) => Ok(Subject::V6(Prefix6::new(addr.to_bits(), len)).unmapped()),
        None if exclusion => Err(format!(
            "`{key}`: an exclusion in an ip6tset is a single address"
        )),
        None => Err(format!(
            "`{key}`: an entry of an ip6tset is a /64, written as its four groups"
        )),
    }
}

/// A key of a `dnset`: a name, `*.name` for all names below it, `.name` for both. rbldnsd accepts
/// names of digits: `7.100.51.45` is the name by which clients ask for 45.51.100.7, and is read as
/// that address if a zone publishes it; `None` for a name of digits by which no client asks for an
/// address. If the type of the data set is `unknown`, a key of digits is
/// an address as it is written.
pub(super) fn name(
    key: &str,
    unknown: bool,
    options: &Options,
) -> Result<Option<Subject>, EntryError> {
    let digest = options.digest;
    if unknown && entry::is_address_form(key) {
        return entry::parse(key, &entry::Rules::default()).and_then(|_| other_form(key));
    }
    let domain = Domain::parse_any(key).map_err(EntryError::from)?;
    let top = domain.name().rsplit('.').next().unwrap_or_default();
    if options.addresses.is_label(top.as_bytes()) {
        return Ok(options.addresses.asked_subject(&domain));
    }
    let digits = domain
        .name()
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.');
    let is_free = matches!(domain.name(), "test" | "invalid") || (digits && digest.is_none());
    if !is_free {
        entry::check_name(key, &domain, digest)?;
    }
    Ok(Some(Subject::Domain(domain)))
}

/// The error for an address in a form that data sets do not have.
fn other_form(key: &str) -> Result<Option<Subject>, EntryError> {
    Err(EntryError {
        class: "not a key of a data set",
        text: format!(
            "`{key}` is not in a form that data sets have; write an address, a prefix or a range"
        ),
    })
}

/// The error for a listed name that is part of an address and not the name of an address.
pub(super) fn not_asked(key: &str) -> EntryError {
    EntryError {
        class: "not the name of an address",
        text: format!(
            "`{key}`: no client asks for this name; write the reversed octets of an address, such as 7.100.51.45, or of a prefix, such as *.100.51.45"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ZoneAddresses;

    #[test]
    fn key_of_octets_is_the_asked_address_if_a_zone_publishes_addresses() {
        let read = |key: &str, addresses| {
            let options = Options {
                addresses,
                ..Options::default()
            };
            let subject = name(key, false, &options).unwrap();
            subject.map(|s| s.to_string())
        };
        for (key, address) in [
            ("7.100.51.45", Some("45.51.100.7")),
            (".7.100.51.45", Some("45.51.100.7")),
            ("*.100.51.45", Some("45.51.100.0/24")),
            ("*.51.45", Some("45.51.0.0/16")),
            ("100.51.45", None),
            ("*.7.100.51.45", None),
        ] {
            assert_eq!(read(key, ZoneAddresses::Ip4).as_deref(), address, "{key}");
            assert_eq!(
                read(key, ZoneAddresses::None).as_deref(),
                Some(key),
                "{key}"
            );
        }
        for key in ["bad.example", "7.100.51.300", "test"] {
            assert_eq!(
                read(key, ZoneAddresses::Both).as_deref(),
                Some(key),
                "{key}"
            );
        }
        let error = not_asked("100.51.45").text;
        assert!(error.starts_with("`100.51.45`: no client asks"), "{error}");
    }
}
