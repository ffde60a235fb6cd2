//! Parses the entries of lists. Imports, feeds, single listings and exemptions use these rules.
//! Look-ups, delistings, holds and exports do not, so that names which an older version stored can
//! still be found and removed.
//!
//! A word that has the form of an address is read as an address or is an error, never a name: a
//! mistyped address must not become a domain name that no client queries. The forms and their
//! reasons are in `docs/design.md`, "What a word in a list is".

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::model::{Digest, Domain, Prefix4, Prefix6, Subject, subject::HostBits};

mod error;
mod reverse;
mod suffix;

pub use error::WordError;
use error::error;
pub(super) use reverse::policy_address;
use reverse::{TRIGGERS, reverse_name};
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

/// Reads a text that is one entry and nothing else.
///
/// Accepted are an address, a prefix, `a-b`, `a - b`, `a – b`, `a to b`, `a.b.c.0-255`, `a.b.c.*`,
/// `a.b.c.`, `a/255.255.255.0`, `a 255.255.255.0`, `a /24`, `[::1]`, and a name of two or more
/// labels (`a.b`, `*.a.b`, `.a.b`). A range becomes the fewest prefixes that cover it.
///
/// # Errors
///
/// The class of the error, and a message with the word and what to write instead.
pub fn parse(text: &str, rules: &Rules) -> Result<Vec<Subject>, WordError> {
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
pub fn parse_address(text: &str, rules: &Rules) -> Option<Result<Vec<Subject>, WordError>> {
    let word = text.split_whitespace().next().unwrap_or("");
    is_address_form(word).then(|| parse(text, rules))
}

/// Reads the entry at the start of a text. White space, commas and `|` end a word.
///
/// # Errors
///
/// As [`parse`].
pub fn first(text: &str, rules: &Rules) -> Result<EntryStart, WordError> {
    let word = word_of(text);
    // A digest may be all digits, so digests are tried before addresses.
    if let Some(digest) = rules.digest.filter(|_| !word.contains(['.', ':', '/'])) {
        let domain = digest
            .read(word)
            .map_err(|why| error("not a digest", why))?;
        return Ok(EntryStart {
            subjects: vec![Subject::Domain(domain)],
            used: word.len(),
            port: None,
            last_column: false,
        });
    }
    // Most lines of most lists are a plain address.
    if let Ok(a) = word.parse::<Ipv4Addr>() {
        return follow(text, word.len(), Address::V4(a), rules);
    }
    if is_address_form(word) {
        return address(text, word, rules);
    }
    name(word).map(|s| EntryStart {
        subjects: vec![s],
        used: word.len(),
        port: None,
        last_column: false,
    })
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
    let digits = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit());
    let hexadecimal = |l: &str| {
        let rest = l.strip_prefix("0x").or_else(|| l.strip_prefix("0X"));
        rest.is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if digits(last) || hexadecimal(last) {
        return true;
    }
    if matches!(last, "x" | "X" | "*")
        && above
            .rsplit('.')
            .find(|l| !matches!(*l, "x" | "X" | "*"))
            .is_some_and(digits)
    {
        return true;
    }
    let written = |c: char| c.is_ascii_digit() || ".*xX/-_".contains(c) || DASHES.contains(&c);
    word.chars().all(written) && word.contains(|c: char| c.is_ascii_digit())
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

/// An address of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Reads a word that has the form of an address, and the words after it that belong to it.
fn address(text: &str, word: &str, rules: &Rules) -> Result<EntryStart, WordError> {
    let whole = |subjects| EntryStart {
        subjects,
        used: word.len(),
        port: None,
        last_column: false,
    };
    if word.contains("://") || word.starts_with("//") {
        return Err(url(word));
    }
    if let Some(rest) = word.strip_prefix('[') {
        return bracketed(text, word, rest, rules);
    }
    if let Some((a, len)) = word.split_once('/') {
        let Ok(addr) = literal(a) else {
            return Err(not_a_prefix(word, a));
        };
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
        let Ok(addr) = literal(a) else {
            return Err(not_an_address_with_port(word, a));
        };
        let port = port.parse::<u16>().map_err(|_| {
            error(
                "a port",
                format!("`{word}`: `{port}` is not a port; an address is written without one"),
            )
        })?;
        return Ok(EntryStart {
            port: Some(port),
            ..whole(vec![host(addr)])
        });
    }
    let addr = literal(word)?;
    follow(text, word.len(), addr, rules)
}

/// `[::1]`, `[::1]/64`, `[::1]:25`; `rest` is the word after the bracket.
fn bracketed(text: &str, word: &str, rest: &str, rules: &Rules) -> Result<EntryStart, WordError> {
    let bad = |why: &str| {
        error(
            "an address in brackets",
            format!("`{word}` is not an address in brackets: {why}"),
        )
    };
    let Some((inner, behind)) = rest.split_once(']') else {
        return Err(bad("the closing bracket is missing"));
    };
    let addr = literal(inner)?;
    let entry = |subjects, port| EntryStart {
        subjects,
        used: word.len(),
        port,
        last_column: false,
    };
    match behind.split_at_checked(1) {
        None => follow(text, word.len(), addr, rules),
        Some(("/", len)) => prefix(word, addr, len, rules).map(|s| entry(vec![s], None)),
        Some((":", port)) if port.parse::<u16>().is_ok() => {
            Ok(entry(vec![host(addr)], port.parse().ok()))
        }
        _ => Err(bad("only a length or a port may follow the bracket")),
    }
}

/// Reads the words after an address that belong to it: a length, a mask, or the end of a range.
fn follow(text: &str, used: usize, addr: Address, rules: &Rules) -> Result<EntryStart, WordError> {
    let (at, word) = next_word(text, used);
    let entry = |subjects, used| EntryStart {
        subjects,
        used,
        port: None,
        last_column: false,
    };
    let plain = || Ok(entry(vec![host(addr)], used));
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
    let Ok(second) = literal(word) else {
        if looks_like_address(word) {
            return Err(error(
                "a second column that is almost an address",
                format!(
                    "`{}`: column 2 looks like an address but is not one: {}",
                    &text[..end],
                    literal(word).map_or_else(|e| e.text, |_| String::new())
                ),
            ));
        }
        return plain();
    };
    match (addr, second) {
        (Address::V4(_), Address::V4(m))
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

fn host(addr: Address) -> Subject {
    match addr {
        Address::V4(a) => Subject::host(a.into()),
        Address::V6(a) => Subject::host(a.into()),
    }
}

/// Parses one address in any form; the error names the wrong part.
fn literal(word: &str) -> Result<Address, WordError> {
    if word.contains(':') {
        return six(word);
    }
    word.parse()
        .map(Address::V4)
        .map_err(|_| octets_error(word))
}

fn six(word: &str) -> Result<Address, WordError> {
    if let Ok(a) = word.parse::<Ipv6Addr>() {
        return Ok(Address::V6(a));
    }
    if let Some((a, zone)) = word.split_once('%') {
        return Err(error(
            "a zone identifier",
            format!("`{word}`: `%{zone}` names an interface of one machine; list the address {a}"),
        ));
    }
    // The dotted part of ::ffff:192.0.2.1.
    if let Some((_, four)) = word.rsplit_once(':').filter(|(_, four)| four.contains('.')) {
        let e = octets_error(four);
        return Err(error(e.class, format!("`{word}`: {}", e.text)));
    }
    Err(error(
        "not an IPv6 address",
        format!(
            "`{word}` is not an IPv6 address; it has eight groups of up to four hexadecimal digits, or `::`"
        ),
    ))
}

/// The error for a malformed IPv4 address.
fn octets_error(word: &str) -> WordError {
    let labels: Vec<&str> = word.split('.').collect();
    for (i, label) in labels.iter().enumerate() {
        let n = i + 1;
        let hex = label
            .strip_prefix("0x")
            .or_else(|| label.strip_prefix("0X"))
            .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex {
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
        if !label.bytes().all(|b| b.is_ascii_digit()) {
            return error(
                "not an address",
                format!(
                    "`{word}` has the form of an address, but `{label}` is not a number from 0 to 255"
                ),
            );
        }
    }
    if let Some((i, label)) = labels
        .iter()
        .enumerate()
        .find(|(_, l)| l.len() > 1 && l.starts_with('0'))
    {
        let plain = label.trim_start_matches('0');
        let plain = if plain.is_empty() { "0" } else { plain };
        return error(
            "a leading zero",
            format!(
                "`{word}`: leading zero in octet {} (`{label}`), which some programs read as octal; write {plain} if that is the intended number",
                i + 1
            ),
        );
    }
    if let Some((i, label)) = labels
        .iter()
        .enumerate()
        .find(|(_, l)| l.parse::<u8>().is_err())
    {
        return error(
            "an octet above 255",
            format!(
                "`{word}`: octet {} is {label}; an octet is a number from 0 to 255",
                i + 1
            ),
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
fn prefix(word: &str, addr: Address, len: &str, rules: &Rules) -> Result<Subject, WordError> {
    let bits = if matches!(addr, Address::V4(_)) {
        32
    } else {
        128
    };
    let number = !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit());
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
        Address::V4(_) if len.contains('.') => match len.parse::<Ipv4Addr>() {
            Err(_) => return Err(octets_error(len)),
            Ok(mask) => match mask_length(mask) {
                Some(l) => Some(l),
                None => {
                    return Err(error(
                        "a mask that is not contiguous",
                        format!(
                            "`{word}`: {mask} is not a netmask such as 255.255.255.0 or a wildcard mask such as 0.0.0.255"
                        ),
                    ));
                }
            },
        },
        Address::V6(_) => len
            .parse::<Ipv6Addr>()
            .ok()
            .map(Ipv6Addr::to_bits)
            .filter(|m| m.leading_ones() + m.trailing_zeros() == 128)
            .map(|m| m.leading_ones() as u8),
        Address::V4(_) => None,
    };
    let Some(length) = length else {
        return Err(error(
            "not a prefix length",
            format!("`{word}`: a prefix length is a number from 0 to {bits}"),
        ));
    };
    let (subject, exact) = match addr {
        Address::V4(a) => {
            let p = Prefix4::new(a.to_bits(), length);
            (Subject::V4(p), p.first() == a.to_bits())
        }
        Address::V6(a) => {
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

/// The error for a word with `/` that is not a prefix.
fn not_a_prefix(word: &str, before: &str) -> WordError {
    if before.starts_with(|c: char| c.is_ascii_digit())
        && before.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || before.contains(':')
    {
        return literal(before).map_or_else(
            |e| error(e.class, format!("`{word}`: {}", e.text)),
            |_| url(word),
        );
    }
    url(word)
}

/// The error for a URL, with its address or name.
fn url(word: &str) -> WordError {
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
    match subject_kind(host) {
        Some(kind) => error(
            "a URL",
            format!("`{word}` is {what}; list the {kind} {host}"),
        ),
        None => error(
            "a URL",
            format!("`{word}` is {what}; an entry is an address, a prefix or a name"),
        ),
    }
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
fn not_an_address_with_port(word: &str, before: &str) -> WordError {
    if before.contains('.') && before.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let e = octets_error(before);
        return error(e.class, format!("`{word}`: {}", e.text));
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
fn wildcard(word: &str) -> Result<Subject, WordError> {
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
    if !whole {
        return Err(error(
            "not an address",
            format!(
                "`{word}` has the form of an address; a network is written 192.0.2.* or 192.0.2.0/24"
            ),
        ));
    }
    let octets: Option<Vec<u8>> = labels
        .iter()
        .map(|l| l.parse::<u8>().ok().filter(|n| n.to_string() == **l))
        .collect();
    match octets {
        Some(o) if o.len() <= 4 && given <= 4 => {
            let addr = o
                .iter()
                .enumerate()
                .fold(0, |a, (i, o)| a | u32::from(*o) << (24 - 8 * i));
            Ok(Subject::V4(Prefix4::new(addr, 8 * o.len() as u8)))
        }
        Some(_) => Err(error(
            "too few or too many octets",
            format!("`{word}` has more than four octets"),
        )),
        None if labels
            .iter()
            .all(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit())) =>
        {
            Err(octets_error(rest))
        }
        None => Err(error(
            "not an address",
            format!(
                "`{word}` has the form of an address; a network is written 192.0.2.* or 192.0.2.0/24"
            ),
        )),
    }
}

/// A range in one word: `a-b`, or `a.b.c.0-255`.
fn range_word(word: &str, a: &str, b: &str) -> Result<Vec<Subject>, WordError> {
    if !looks_like_address(a) {
        return Err(error(
            "not an address or range",
            format!(
                "`{word}` has the form of an address or range but is not one; a range is written 192.0.2.1-192.0.2.9"
            ),
        ));
    }
    let first = literal(a)?;
    if let (Address::V4(low), true) = (
        first,
        !b.is_empty() && b.bytes().all(|b| b.is_ascii_digit()),
    ) {
        if b.len() > 1 && b.starts_with('0') {
            return Err(error(
                "a leading zero",
                format!("`{word}`: leading zero in the end of the range (`{b}`)"),
            ));
        }
        let Ok(last) = b.parse::<u8>() else {
            return Err(error(
                "an octet above 255",
                format!(
                    "`{word}`: the end of the range is {b}; an octet is a number from 0 to 255"
                ),
            ));
        };
        let [o1, o2, o3, _] = low.octets();
        return range(word, first, Address::V4(Ipv4Addr::new(o1, o2, o3, last)));
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
fn range(word: &str, first: Address, last: Address) -> Result<Vec<Subject>, WordError> {
    let order = || {
        Err(error(
            "a range that goes down",
            format!("`{word}`: a range goes from the lower address to the higher"),
        ))
    };
    match (first, last) {
        (Address::V4(a), Address::V4(b)) if a <= b => Ok(Prefix4::cover(a.to_bits(), b.to_bits())
            .map(Subject::V4)
            .collect()),
        (Address::V6(a), Address::V6(b)) if a <= b => Ok(Prefix6::cover(a.to_bits(), b.to_bits())
            .map(|p| Subject::V6(p).unmapped())
            .collect()),
        (Address::V4(_), Address::V4(_)) | (Address::V6(_), Address::V6(_)) => order(),
        _ => Err(error(
            "a range of two families",
            format!("`{word}`: both ends of a range are IPv4, or both are IPv6"),
        )),
    }
}

/// A name of two or more labels, or a top-level domain.
fn name(word: &str) -> Result<Subject, WordError> {
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
    if let Some(stop) = bare
        .chars()
        .find(|c| matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}'))
    {
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
) -> Result<(), WordError> {
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
fn one_label(word: &str, ascii: &str) -> WordError {
    if ascii
        .strip_prefix("as")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    {
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
