//! Parses the entries of lists. Imports, feeds, single listings and exemptions use these rules.
//! Look-ups, delistings, holds and exports do not, so that names which an older version stored can
//! still be found and removed.
//!
//! A word that has the form of an address is read as an address or is an error, never a name: a
//! mistyped address must not become a domain name that no client queries. The forms and their
//! reasons are in `docs/design.md`, "How an entry of a list is read".

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::text::is_digits;
use crate::model::{Digest, Domain, Prefix4, Prefix6, Subject, subject::HostBits};

mod error;
mod reverse;
mod suffix;

pub use error::EntryError;
use error::error;
use reverse::reverse_name;
pub(super) use reverse::{TRIGGERS, policy_address, prefix4_of, prefix6_of};
use suffix::is_top_level;
pub use suffix::{PublicSuffix, public_suffix};

/// Rules for parsing words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// How host bits in a prefix are treated.
    pub host_bits: HostBits,
    /// The form of digests that are entries, for lists of a hash zone.
    pub digest: Option<Digest>,
}

/// One entry at the start of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStart {
    /// Its subjects: one, or the fewest prefixes of a range.
    pub subjects: Vec<Subject>,
    /// The length of the entry in bytes of the text.
    pub used: usize,
    /// A port after the address, which is not part of the subject.
    pub port: Option<u16>,
    /// The entry is a range whose last address is in a second column.
    pub last_column: bool,
}

impl EntryStart {
    fn new(subjects: Vec<Subject>, used: usize) -> EntryStart {
        EntryStart {
            subjects,
            used,
            port: None,
            last_column: false,
        }
    }
}

/// Reads a text that is one entry and nothing else.
///
/// Accepted are an address, a prefix, `a-b`, `a - b`, `a – b`, `a to b`, `a.b.c.0-255`, `a.b.c.*`,
/// `a.b.c.`, `a/255.255.255.0`, `a 255.255.255.0`, `a /24`, `[::1]`, and a name of two or more
/// labels (`a.b`, `*.a.b`, `.a.b`). A range becomes the fewest prefixes that cover it.
///
/// # Errors
///
/// The class of the error, and a message with the word and what to write instead.
pub fn parse(text: &str, rules: &Rules) -> Result<Vec<Subject>, EntryError> {
    let text = without_marks(text.trim());
    let entry = first(&text, rules)?;
    let rest = text[entry.used..].trim();
    if entry.last_column || !rest.is_empty() {
        let more = if rest.is_empty() { &*text } else { rest };
        return Err(error(
            "more than one entry",
            format!(
                "`{text}`: there is more than one entry (`{more}`); write a range as FIRST-LAST"
            ),
        ));
    }
    if let Some(port) = entry.port {
        return Err(error(
            "an address with a port",
            format!("`{text}`: ports are not listed; leave out `:{port}`"),
        ));
    }
    Ok(entry.subjects)
}

/// Reads a word that looks like an address or a range of addresses; `None` if it does not.
pub fn parse_address(text: &str, rules: &Rules) -> Option<Result<Vec<Subject>, EntryError>> {
    let word = text.split_whitespace().next().unwrap_or("");
    is_address_form(word).then(|| parse(text, rules))
}

/// Reads the entry at the start of a text. White space, commas and `|` end a word.
///
/// # Errors
///
/// As [`parse`].
pub fn first(text: &str, rules: &Rules) -> Result<EntryStart, EntryError> {
    let word = word_of(text);
    // A digest may be all digits, so digests are tried before addresses.
    if let Some(digest) = rules.digest.filter(|_| !word.contains(['.', ':', '/'])) {
        let domain = digest
            .read(word)
            .map_err(|why| error("not a digest", why))?;
        return Ok(EntryStart::new(vec![Subject::Domain(domain)], word.len()));
    }
    // Most lines of most lists are a plain address.
    if let Ok(a) = word.parse::<Ipv4Addr>() {
        return follow(text, word.len(), a.into(), rules);
    }
    if is_address_form(word) {
        return address(text, word, rules);
    }
    name(word).map(|s| EntryStart::new(vec![s], word.len()))
}

/// Whether a word is an address, or starts with one and a `/`.
pub(super) fn starts_with_address(word: &str) -> bool {
    word.split('/')
        .next()
        .is_some_and(|a| a.parse::<IpAddr>().is_ok())
}

/// An address with or without a zone identifier, such as `fe80::1%eth0`.
pub(super) fn zoned_address(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

/// The number of addresses of disjoint subjects.
pub(super) fn addresses(subjects: &[Subject]) -> u128 {
    subjects
        .iter()
        .fold(0, |n: u128, s| n.saturating_add(s.addresses()))
}

/// The text without byte order marks and invisible characters, which are copied from web pages.
pub fn without_marks(text: &str) -> Cow<'_, str> {
    let invisible = ['\u{feff}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2060}'];
    if text.is_ascii() || !text.contains(invisible) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(invisible, ""))
    }
}

/// Whether a word has the form of an address: its last label is a number as in URLs (WHATWG URL,
/// "ends in a number"), or `x` or `*` after a number; or it has only characters of addresses,
/// ranges and dates, and a digit; or it contains `:` or `/`.
pub fn is_address_form(word: &str) -> bool {
    if word.contains([':', '/']) {
        return true;
    }
    let word = word.strip_suffix('.').unwrap_or(word);
    let (above, last) = word.rsplit_once('.').unwrap_or(("", word));
    let is_wild = |l: &&str| matches!(*l, "x" | "X" | "*");
    if is_digits(last)
        || is_hexadecimal(last)
        || is_wild(&last)
            && above
                .rsplit('.')
                .find(|l| !is_wild(l))
                .is_some_and(is_digits)
    {
        return true;
    }
    let written = |c: char| c.is_ascii_digit() || ".*xX/-_".contains(c) || DASHES.contains(&c);
    word.chars().all(written) && word.contains(|c: char| c.is_ascii_digit())
}

/// Whether a label is a hexadecimal number with its prefix `0x`.
fn is_hexadecimal(label: &str) -> bool {
    let digits = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Dashes between the ends of a range.
const DASHES: [char; 8] = [
    '-', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}', '\u{2212}',
];

/// The word at the start of a text.
fn word_of(text: &str) -> &str {
    &text[..text
        .find(|c: char| c.is_whitespace() || c == ',' || c == '|')
        .unwrap_or(text.len())]
}

/// The word after the first `from` bytes, and its offset; empty at the end of the line or after
/// another separator.
fn next_word(text: &str, from: usize) -> (usize, &str) {
    let rest = &text[from..];
    let start = rest.len() - rest.trim_start_matches([' ', '\t', '\u{a0}']).len();
    if start == 0 {
        (from, "")
    } else {
        (from + start, word_of(&rest[start..]))
    }
}

/// Reads a word that has the form of an address, and the words after it that belong to it.
fn address(text: &str, word: &str, rules: &Rules) -> Result<EntryStart, EntryError> {
    let whole = |subjects| EntryStart::new(subjects, word.len());
    if word.contains("://") || word.starts_with("//") {
        return Err(url(word));
    }
    if let Some(rest) = word.strip_prefix('[') {
        return bracketed(text, word, rest, rules);
    }
    if let Some((a, len)) = word.split_once('/') {
        let addr = literal(a).map_err(|e| not_a_prefix(word, a, &e))?;
        return prefix(word, addr, len, rules).map(|s| whole(vec![s]));
    }
    if let Some((at, dash)) = word
        .char_indices()
        .find(|(i, c)| *i > 0 && DASHES.contains(c))
    {
        return range_word(word, &word[..at], &word[at + dash.len_utf8()..]).map(whole);
    }
    if word.ends_with(['*', 'x', 'X', '.']) && !word.contains(':') {
        return wildcard(word).map(|s| whole(vec![s]));
    }
    if let Some((a, port)) = word.rsplit_once(':').filter(|(a, _)| !a.contains(':')) {
        let addr = literal(a).map_err(|_| not_an_address_with_port(word, a))?;
        let port = port.parse::<u16>().map_err(|_| {
            error(
                "a port",
                format!("`{word}`: `{port}` is not a port; an address is written without one"),
            )
        })?;
        return Ok(EntryStart {
            port: Some(port),
            ..whole(vec![Subject::host(addr)])
        });
    }
    let addr = literal(word)?;
    follow(text, word.len(), addr, rules)
}

/// `[::1]`, `[::1]/64`, `[::1]:25`; `rest` is the word after the bracket.
fn bracketed(text: &str, word: &str, rest: &str, rules: &Rules) -> Result<EntryStart, EntryError> {
    let bad = |why: &str| {
        error(
            "an address in brackets",
            format!("`{word}` is not an address in brackets: {why}"),
        )
    };
    let (inner, behind) = rest
        .split_once(']')
        .ok_or_else(|| bad("the closing bracket is missing"))?;
    let addr = literal(inner)?;
    let entry = |subject| EntryStart::new(vec![subject], word.len());
    match behind.split_at_checked(1) {
        None => follow(text, word.len(), addr, rules),
        Some(("/", len)) => prefix(word, addr, len, rules).map(entry),
        Some((":", port)) if port.parse::<u16>().is_ok() => Ok(EntryStart {
            port: port.parse().ok(),
            ..entry(Subject::host(addr))
        }),
        _ => Err(bad("only a length or a port may follow the bracket")),
    }
}

/// Reads the words after an address that belong to it: a length, a mask, or the end of a range.
fn follow(text: &str, used: usize, addr: IpAddr, rules: &Rules) -> Result<EntryStart, EntryError> {
    let (at, word) = next_word(text, used);
    let entry = EntryStart::new;
    let plain = || Ok(entry(vec![Subject::host(addr)], used));
    if word.is_empty() {
        return plain();
    }
    let end = at + word.len();
    if let Some(len) = word
        .strip_prefix('/')
        .filter(|l| l.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':'))
    {
        return prefix(&text[..end], addr, len, rules).map(|s| entry(vec![s], end));
    }
    let between =
        word.eq_ignore_ascii_case("to") || (word.chars().count() == 1 && word.starts_with(DASHES));
    if between {
        let (at, last) = next_word(text, end);
        let end = at + last.len();
        if !looks_like_address(last) {
            return plain(); // a comment after a dash
        }
        return range(&text[..end], addr, literal(last)?).map(|s| entry(s, end));
    }
    // `a -b`: the dash belongs to the second word.
    if let Some(last) = word.strip_prefix(DASHES).filter(|l| looks_like_address(l)) {
        return range(&text[..end], addr, literal(last)?).map(|s| entry(s, end));
    }
    // The word is a second column.
    let second = match literal(word) {
        Ok(second) => second,
        Err(e) if looks_like_address(word) => {
            return Err(error(
                "a second column that is almost an address",
                format!(
                    "`{}`: column 2 looks like an address but is not one: {e}",
                    &text[..end]
                ),
            ));
        }
        Err(_) => return plain(),
    };
    match (addr, second) {
        (IpAddr::V4(_), IpAddr::V4(m))
            if m.octets()[0] == 255 || m.octets()[0] == 0 || mask_length(m).is_some() =>
        {
            prefix(&text[..end], addr, word, rules).map(|s| entry(vec![s], end))
        }
        _ => range(&text[..end], addr, second).map(|s| EntryStart {
            last_column: true,
            ..entry(s, end)
        }),
    }
}

/// Whether a word looks like one address: digits and dots, or groups with colons.
fn looks_like_address(word: &str) -> bool {
    let four = word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let six = word.matches(':').count() > 1
        && word
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b":.".contains(&b));
    four || six
}

/// Parses one address in any form; the error names the wrong part.
fn literal(word: &str) -> Result<IpAddr, EntryError> {
    word.parse().map_err(|_| {
        if word.contains(':') {
            ipv6_error(word)
        } else {
            octets_error(word)
        }
    })
}

/// The error for a malformed IPv6 address.
fn ipv6_error(word: &str) -> EntryError {
    if let Some((a, zone)) = word.split_once('%') {
        return error(
            "a zone identifier",
            format!("`{word}`: `%{zone}` names an interface of one machine; list the address {a}"),
        );
    }
    // The dotted part of ::ffff:192.0.2.1.
    if let Some((_, four)) = word.rsplit_once(':').filter(|(_, four)| four.contains('.')) {
        return octets_error(four).in_word(word);
    }
    error(
        "not an IPv6 address",
        format!(
            "`{word}` is not an IPv6 address; it has eight groups of up to four hexadecimal digits, or `::`"
        ),
    )
}

/// The error for a malformed IPv4 address.
fn octets_error(word: &str) -> EntryError {
    let labels: Vec<&str> = word.split('.').collect();
    for (n, label) in (1..).zip(&labels) {
        if is_hexadecimal(label) {
            return error(
                "a hexadecimal octet",
                format!(
                    "`{word}`: octet {n} is hexadecimal (`{label}`); write it as a decimal number"
                ),
            );
        }
        if label.is_empty() {
            return error(
                "an empty octet",
                format!(
                    "`{word}`: octet {n} is empty; an IPv4 address has four numbers from 0 to 255"
                ),
            );
        }
        if !is_digits(label) {
            return error(
                "not an address",
                format!(
                    "`{word}` has the form of an address, but `{label}` is not a number from 0 to 255"
                ),
            );
        }
    }
    let find = |wrong: fn(&str) -> bool| (1..).zip(&labels).find(|(_, label)| wrong(label));
    if let Some((n, label)) = find(|l| l.len() > 1 && l.starts_with('0')) {
        let plain = match label.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        return error(
            "a leading zero",
            format!(
                "`{word}`: leading zero in octet {n} (`{label}`), which some programs read as octal; write {plain} if that is the intended number"
            ),
        );
    }
    if let Some((n, label)) = find(|l| l.parse::<u8>().is_err()) {
        return error(
            "an octet above 255",
            format!("`{word}`: octet {n} is {label}; an octet is a number from 0 to 255"),
        );
    }
    let hint = match labels.len() {
        n @ 2..=3 => format!(
            "; to list the network, write {}{}/{}",
            word,
            ".0".repeat(4 - n),
            8 * n
        ),
        _ => String::new(),
    };
    error(
        "too few or too many octets",
        format!(
            "`{word}` has {} octets; an IPv4 address has four{hint}",
            labels.len()
        ),
    )
}

/// The prefix length of a dotted mask: a netmask is contiguous from the left, a wildcard mask from
/// the right.
fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let m = mask.to_bits();
    if m == 0 {
        return None;
    }
    if m.leading_ones() + m.trailing_zeros() == 32 || m == u32::MAX {
        return Some(m.leading_ones() as u8);
    }
    (m.leading_zeros() + m.trailing_ones() == 32).then(|| m.leading_zeros() as u8)
}

/// A prefix from an address and its length or mask; `word` is the whole text, for messages.
fn prefix(word: &str, addr: IpAddr, len: &str, rules: &Rules) -> Result<Subject, EntryError> {
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    let number = is_digits(len);
    if number && len.len() > 1 && len.starts_with('0') {
        return Err(error(
            "a leading zero",
            format!(
                "`{word}`: leading zero in the length; write /{}",
                len.trim_start_matches('0')
            ),
        ));
    }
    let length = match addr {
        _ if number => len.parse::<u8>().ok().filter(|l| *l <= bits),
        IpAddr::V4(_) if len.contains('.') => {
            let mask = len.parse().map_err(|_| octets_error(len))?;
            let length = mask_length(mask).ok_or_else(|| {
                error(
                    "a mask that is not contiguous",
                    format!(
                        "`{word}`: {mask} is not a netmask such as 255.255.255.0 or a wildcard mask such as 0.0.0.255"
                    ),
                )
            });
            Some(length?)
        }
        IpAddr::V4(_) => None,
        IpAddr::V6(_) => len
            .parse()
            .map(Ipv6Addr::to_bits)
            .ok()
            .filter(|m| m.leading_ones() + m.trailing_zeros() == 128)
            .map(|m| m.leading_ones() as u8),
    };
    let length = length.ok_or_else(|| {
        error(
            "not a prefix length",
            format!("`{word}`: a prefix length is a number from 0 to {bits}"),
        )
    })?;
    let (subject, exact) = match addr {
        IpAddr::V4(a) => {
            let p = Prefix4::new(a.to_bits(), length);
            (Subject::V4(p), p.first() == a.to_bits())
        }
        IpAddr::V6(a) => {
            let p = Prefix6::new(a.to_bits(), length);
            (Subject::V6(p).unmapped(), p.first() == a.to_bits())
        }
    };
    if !exact && rules.host_bits == HostBits::Refuse {
        return Err(error(
            "host bits set",
            format!("`{word}` has host bits set; the prefix is {subject}"),
        ));
    }
    Ok(subject)
}

/// The error for a word with `/` that is not a prefix; `e` is the error of the text before the `/`.
fn not_a_prefix(word: &str, before: &str, e: &EntryError) -> EntryError {
    let digit = |c: char| c.is_ascii_digit();
    if before.contains(':')
        || before.starts_with(digit) && before.chars().all(|c| digit(c) || c == '.')
    {
        e.in_word(word)
    } else {
        url(word)
    }
}

/// The error for a URL, with its address or name.
fn url(word: &str) -> EntryError {
    let rest = word
        .split_once("://")
        .map_or(word, |(_, rest)| rest)
        .trim_start_matches('/');
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
    let host = host
        .rsplit_once(':')
        .filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(h, _)| h);
    let host = host.trim_matches(['[', ']']);
    let what = if word.contains("://") || word.starts_with("//") {
        "a URL"
    } else {
        "a path, or part of a URL"
    };
    let advice = match subject_kind(host) {
        Some(kind) => format!("list the {kind} {host}"),
        None => "an entry is an address, a prefix or a name".into(),
    };
    error("a URL", format!("`{word}` is {what}; {advice}"))
}

/// The subject to list for a host in a URL or a mail address.
fn subject_kind(host: &str) -> Option<&'static str> {
    match literal(host) {
        Ok(_) => Some("address"),
        Err(_) if !is_address_form(host) && name(host).is_ok() => Some("domain"),
        Err(_) => None,
    }
}

/// The error for an `a:b` that is not an address with a port.
fn not_an_address_with_port(word: &str, before: &str) -> EntryError {
    if before.contains('.') && before.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return octets_error(before).in_word(word);
    }
    match subject_kind(before) {
        Some(kind) => error(
            "a name with a port",
            format!("`{word}`: a name cannot have a port; list the {kind} {before}"),
        ),
        None => error(
            "not an address",
            format!("`{word}` has the form of an address but is not one"),
        ),
    }
}

/// Parses a network from its first octets: `a.b.c.*`, `a.b.*`, `a.b.c.x`, `a.b.c.`.
fn wildcard(word: &str) -> Result<Subject, EntryError> {
    let mut rest = word;
    while let Some(shorter) = rest.strip_suffix(['*', 'x', 'X']) {
        rest = shorter.strip_suffix('.').unwrap_or(shorter);
    }
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    let labels: Vec<&str> = rest.split('.').collect();
    let given = word.strip_suffix('.').unwrap_or(word).split('.').count();
    // `1.` is the number of a line, `4.x` a version and `1*` a typing error, so only unambiguous
    // forms are networks.
    let last = word.rsplit('.').next().unwrap_or("");
    let whole = match last {
        "" => matches!(labels.len(), 3 | 4),
        "*" => labels.len() >= 2,
        "x" | "X" => given == 4,
        _ => false,
    };
    let is_number = labels.iter().all(|l| is_digits(l));
    if !whole || !is_number {
        return Err(error(
            "not an address",
            format!(
                "`{word}` has the form of an address; a network is written 192.0.2.* or 192.0.2.0/24"
            ),
        ));
    }
    if given > 4 {
        return Err(error(
            "too few or too many octets",
            format!("`{word}` has more than four octets"),
        ));
    }
    prefix4_of(labels.into_iter())
        .map(Subject::V4)
        .ok_or_else(|| octets_error(rest))
}

/// A range in one word: `a-b`, or `a.b.c.0-255`.
fn range_word(word: &str, a: &str, b: &str) -> Result<Vec<Subject>, EntryError> {
    if !looks_like_address(a) {
        return Err(error(
            "not an address or range",
            format!(
                "`{word}` has the form of an address or range but is not one; a range is written 192.0.2.1-192.0.2.9"
            ),
        ));
    }
    let first = literal(a)?;
    if let IpAddr::V4(low) = first
        && is_digits(b)
    {
        if b.len() > 1 && b.starts_with('0') {
            return Err(error(
                "a leading zero",
                format!("`{word}`: leading zero in the end of the range (`{b}`)"),
            ));
        }
        let last = b.parse().map_err(|_| {
            error(
                "an octet above 255",
                format!(
                    "`{word}`: the end of the range is {b}; an octet is a number from 0 to 255"
                ),
            )
        })?;
        let [o1, o2, o3, _] = low.octets();
        return range(word, first, Ipv4Addr::new(o1, o2, o3, last).into());
    }
    if !looks_like_address(b) {
        return Err(error(
            "not an address or range",
            format!(
                "`{word}`: `{b}` is not the end of a range; write an address, or only its last octet"
            ),
        ));
    }
    range(word, first, literal(b)?)
}

/// The fewest prefixes from one address to another; `word` is the whole range, for messages.
fn range(word: &str, first: IpAddr, last: IpAddr) -> Result<Vec<Subject>, EntryError> {
    match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Ok(Prefix4::cover(a.to_bits(), b.to_bits())
            .map(Subject::V4)
            .collect()),
        (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => {
            let prefixes = Prefix6::cover(a.to_bits(), b.to_bits());
            Ok(prefixes.map(|p| Subject::V6(p).unmapped()).collect())
        }
        _ if first.is_ipv4() == last.is_ipv4() => Err(error(
            "a range that goes down",
            format!("`{word}`: a range goes from the lower address to the higher"),
        )),
        _ => Err(error(
            "a range of two families",
            format!("`{word}`: both ends of a range are IPv4, or both are IPv6"),
        )),
    }
}

/// A name of two or more labels, or a top-level domain.
fn name(word: &str) -> Result<Subject, EntryError> {
    let bare = word
        .strip_prefix("*.")
        .or_else(|| word.strip_prefix('.'))
        .unwrap_or(word);
    if let Some((_, host)) = bare.rsplit_once('@') {
        let hint =
            subject_kind(host).map_or(String::new(), |kind| format!("; list the {kind} {host}"));
        return Err(error(
            "a mail address",
            format!("`{word}` is a mail address{hint}"),
        ));
    }
    // IDNA reads these as dots, and a sentence would become a name.
    if let Some(stop) = bare.matches(['\u{3002}', '\u{ff0e}', '\u{ff61}']).next() {
        return Err(error(
            "a full stop that is not a dot",
            format!("`{word}` has the full stop `{stop}`; write a name with dots"),
        ));
    }
    let domain = Domain::parse(word).map_err(|why| error("not a name", why))?;
    let ascii = domain.name();
    // Full-width digits and similar characters become digits in A-labels.
    if is_address_form(ascii) {
        return Err(error(
            "an address in other digits",
            format!("`{word}` has digits that are not ASCII; write `{ascii}`"),
        ));
    }
    check_name(word, &domain, None)?;
    Ok(Subject::Domain(domain))
}

/// Checks that a name can be an entry: it is not a reverse name or a trigger of a policy zone, and
/// it has two labels or is a top-level domain. `word` is how it is written, for messages.
pub(super) fn check_name(
    word: &str,
    domain: &Domain,
    digest: Option<Digest>,
) -> Result<(), EntryError> {
    let ascii = domain.name();
    if let Some(digest) = digest.filter(|_| !ascii.contains('.')) {
        return digest
            .check(ascii)
            .map_err(|why| error("not a digest", why));
    }
    let last = ascii.rsplit('.').next().unwrap_or("");
    if TRIGGERS.contains(&last) || last == "arpa" {
        return Err(reverse_name(word, ascii));
    }
    // A top-level domain is treated like other public suffixes.
    if !ascii.contains('.') && !is_top_level(ascii) {
        return Err(one_label(word, ascii));
    }
    Ok(())
}

/// The error for a name of one label.
fn one_label(word: &str, ascii: &str) -> EntryError {
    if ascii.strip_prefix("as").is_some_and(is_digits) {
        return error(
            "an AS number",
            format!("`{word}` is an AS number; only addresses, prefixes and names can be listed"),
        );
    }
    error(
        "a single label",
        format!("`{word}` has one label; a name has two or more, such as bad.example"),
    )
}

#[cfg(test)]
mod tests;
