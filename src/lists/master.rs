//! Master files (RFC 1035 section 5) of block lists: owner names with A and TXT records are
//! converted to subjects.
//!
//! A name that has only other records, or only names below it, is not listed. But a wildcard above
//! it does not match it (RFC 4592 section 2.2.1), so the name is excluded from that wildcard.

use std::net::Ipv4Addr;

use super::{Input, text::literal};
use crate::model::{Domain, Prefix4, Prefix6, Scope, Subject};

/// Reads a master file. A records list their owners; TXT records are the texts; records of other
/// types only make their owner exist.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let given = input
        .options
        .origin
        .as_ref()
        .map(|o| o.trim_end_matches('.').to_ascii_lowercase());
    let mut origin = given.clone().unwrap_or_default();
    // The zone's name: the given one, the owner of the SOA, or the first origin.
    let mut zone = given;
    let mut owner = String::new();
    // The records of one owner are adjacent; they are processed when the next owner begins.
    let mut open: Option<Open> = None;
    while let Some((words, starts_blank)) = record(input)? {
        let Some(first) = words.first() else { continue };
        if first.text.starts_with('$') && !first.quoted && !starts_blank {
            if let Some(new) = directive(input, &words, &origin) {
                zone.get_or_insert_with(|| new.clone());
                origin = new;
            }
            continue;
        }
        let (line, column) = (first.line, first.column);
        let mut rest = &words[..];
        if !starts_blank {
            owner = absolute(&words[0].text, &origin);
            rest = &words[1..];
        }
        while rest.first().is_some_and(|w| {
            w.text.eq_ignore_ascii_case("IN") || w.text.starts_with(|c: char| c.is_ascii_digit())
        }) {
            rest = &rest[1..];
        }
        let [kind, data @ ..] = rest else {
            input.problem(column, "a record has an owner, a type and data");
            continue;
        };
        let kind = kind.text.to_ascii_uppercase();
        if kind == "SOA" {
            zone = Some(owner.clone());
        }
        if open.as_ref().is_none_or(|o| o.owner != owner) {
            finish(input, open.take(), zone.as_deref())?;
            open = Some(Open {
                owner: owner.clone(),
                line,
                column,
                ..Open::default()
            });
        }
        let Some(o) = &mut open else { continue };
        match (kind.as_str(), data) {
            ("A", [a, ..]) => match a.text.parse::<Ipv4Addr>() {
                Ok(code) => o.codes.push(code),
                Err(_) => {
                    input.line = a.line;
                    input.problem(a.column, &format!("`{}` is not an IPv4 address", a.text));
                }
            },
            ("TXT", [_, ..]) => o.texts.push(data.iter().map(|w| w.text.as_str()).collect()),
            ("A" | "TXT", []) => input.problem(column, "the record has no data"),
            _ => {}
        }
    }
    finish(input, open, zone.as_deref())
}

/// Reads a line that starts with `$`; returns the new origin if it sets one. A directive that adds
/// records is an error, because the list would be incomplete without them.
fn directive(input: &mut Input, words: &[Word], origin: &str) -> Option<String> {
    let name = words[0].text.to_ascii_uppercase();
    match name.as_str() {
        "$ORIGIN" => return Some(absolute(words.get(1).map_or("", |o| &o.text), origin)),
        "$TTL" => {}
        "$INCLUDE" | "$GENERATE" => {
            input.problem(
                words[0].column,
                &format!("{name} is not supported; use a file that contains the records"),
            );
        }
        _ => input.warn(&format!("`{name}` is ignored")),
    }
    None
}

/// An owner whose records are being read.
#[derive(Default)]
struct Open {
    owner: String,
    codes: Vec<Ipv4Addr>,
    /// Each TXT record's strings, joined.
    texts: Vec<String>,
    line: u64,
    column: usize,
}

fn finish(input: &mut Input, open: Option<Open>, zone: Option<&str>) -> Result<(), String> {
    let Some(o) = open else { return Ok(()) };
    let zone = zone.unwrap_or("");
    let name = match o.owner.strip_suffix(zone) {
        Some(rest) if zone.is_empty() || rest.is_empty() || rest.ends_with('.') => {
            rest.trim_end_matches('.')
        }
        _ => return Ok(()), // outside the zone: glue
    };
    if name.is_empty() {
        return Ok(()); // the apex
    }
    enclosers(input, name)?;
    let line = std::mem::replace(&mut input.line, o.line);
    own(input, name, &o.codes, &o.texts, o.column)?;
    input.line = line;
    Ok(())
}

/// Processes the records of an owner: A records list it; an owner without A records is an
/// exclusion.
pub(super) fn own(
    input: &mut Input,
    name: &str,
    codes: &[Ipv4Addr],
    texts: &[String],
    column: usize,
) -> Result<(), String> {
    // An address outside 127/8 belongs to a host of the list itself, such as a name server.
    let lists = !codes.is_empty() && codes.iter().all(|c| c.octets()[0] == 127);
    let digest = input
        .options
        .digest
        .and_then(|d| d.read(name).ok())
        .map(Subject::Domain);
    let checked = digest
        .map_or_else(|| subject(name), Ok)
        .and_then(|s| match &s {
            // Names of a followed zone are accepted as published; names of a file are checked.
            Subject::Domain(d)
                if lists && !input.options.followed && !matches!(d.name(), "test" | "invalid") =>
            {
                super::word::check_name(name, d, input.options.digest)
                    .map(|()| s)
                    .map_err(|e| e.text)
            }
            _ => Ok(s),
        });
    match checked {
        Ok(s) if lists => {
            // In these files `$` is an ordinary character.
            let texts: Vec<String> = texts.iter().map(|t| literal(t)).collect();
            let paired = texts.len() == codes.len();
            for (i, code) in codes.iter().enumerate() {
                let text = texts.get(if paired { i } else { 0 }).map(String::as_str);
                input.take(s.clone(), false, Some(*code), text, column)?;
            }
        }
        Ok(s) => input.take_implied(&s)?,
        Err(why) if lists => input.problem(column, &why),
        Err(_) => {}
    }
    // The name exists, so a wildcard above it does not match names below it either. A wildcard
    // makes the name above it exist (RFC 4592 section 2.2.2), so that a higher wildcard does not
    // match that name.
    let below = match name.strip_prefix("*.") {
        Some(inner) => match subject(name) {
            Ok(Subject::Domain(_)) => subject(inner).ok(),
            _ => None,
        },
        None => subject(&format!("*.{name}")).ok(),
    };
    match below {
        Some(s @ (Subject::Domain(_) | Subject::V4(_))) => input.take_implied(&s),
        _ => Ok(()),
    }
}

/// Adds implied exclusions for the names above an owner. These names exist, so a higher wildcard
/// does not match below them (RFC 4592 section 2.2.1) unless they have their own wildcard.
pub(super) fn enclosers(input: &mut Input, name: &str) -> Result<(), String> {
    let mut above = name
        .strip_prefix("*.")
        .map_or_else(|| name.split_once('.').map(|(_, rest)| rest), |_| None);
    if above.is_none() {
        above = name
            .strip_prefix("*.")
            .and_then(|n| n.split_once('.'))
            .map(|(_, rest)| rest);
    }
    while let Some(n) = above {
        if input
            .previous_owner
            .as_ref()
            .is_some_and(|s| s.strip_suffix(n).is_some_and(|below| below.ends_with('.')))
        {
            break; // the previous owner was below this name too
        }
        encloser(input, n)?;
        above = n.split_once('.').map(|(_, rest)| rest);
    }
    input.previous_owner = Some(name.strip_prefix("*.").unwrap_or(name).into());
    Ok(())
}

/// Adds the implied exclusion for a name that exists because there is a name below it.
pub(super) fn encloser(input: &mut Input, name: &str) -> Result<(), String> {
    subject(&format!("*.{name}")).map_or(Ok(()), |s| input.take_implied(&s))
}

/// The subject of an owner name relative to its zone: an address, a wildcard, or a domain.
pub fn subject(name: &str) -> Result<Subject, String> {
    let (wild, rest) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let labels: Vec<&str> = rest.rsplit('.').collect();
    let octets: Option<Vec<u32>> = labels
        .iter()
        .map(|l| {
            l.parse::<u8>()
                .ok()
                .filter(|n| n.to_string() == **l)
                .map(u32::from)
        })
        .collect();
    if let Some(o) = octets
        && (o.len() == 4 && !wild || o.len() < 4 && wild)
    {
        let addr = o
            .iter()
            .enumerate()
            .fold(0, |a, (i, o)| a | o << (24 - 8 * i));
        return Ok(Subject::V4(Prefix4::new(addr, 8 * o.len() as u8)));
    }
    let nibble = |l: &&str| {
        (l.len() == 1)
            .then(|| u128::from_str_radix(l, 16).ok())
            .flatten()
    };
    let nibbles: Option<Vec<u128>> = labels.iter().map(nibble).collect();
    if let Some(n) = nibbles
        && (n.len() == 32 && !wild || n.len() < 32 && wild)
    {
        let addr = n
            .iter()
            .enumerate()
            .fold(0, |a, (i, n)| a | n << (124 - 4 * i));
        let six = Subject::V6(Prefix6::new(addr, 4 * n.len() as u8));
        return Ok(six.to_string().parse().unwrap_or(six)); // mapped addresses are IPv4
    }
    let name = crate::model::domain::name_to_ascii(rest)?;
    Ok(Subject::Domain(Domain::from_canonical(
        &name,
        if wild { Scope::Below } else { Scope::Name },
    )))
}

fn absolute(owner: &str, origin: &str) -> String {
    let owner = owner.to_ascii_lowercase();
    match owner.strip_suffix('.') {
        Some(name) => name.into(),
        None if owner == "@" => origin.into(),
        None if origin.is_empty() => owner,
        None => format!("{owner}.{origin}"),
    }
}

/// The most lines of one record.
const MAX_JOINED: usize = 64;

/// A word of a record and its position.
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: u64,
    pub(super) column: usize,
    quoted: bool,
}

/// The words of the next record, and whether it starts with a blank. Parentheses join lines (RFC
/// 1035 section 5.1).
pub(super) fn record(input: &mut Input) -> Result<Option<(Vec<Word>, bool)>, String> {
    let Some(line) = input.next()? else {
        return Ok(None);
    };
    let (mut words, mut depth) = (Vec::new(), 0);
    split(&line, input.line, &mut words, &mut depth);
    for _ in 0..MAX_JOINED {
        if depth <= 0 {
            break;
        }
        let Some(more) = input.next()? else { break };
        split(&more, input.line, &mut words, &mut depth);
    }
    if depth > 0 {
        let (line, column) = words
            .first()
            .map_or((input.line, 1), |w| (w.line, w.column));
        let now = std::mem::replace(&mut input.line, line);
        input.problem(column, "a parenthesis is not closed");
        input.line = now;
    }
    Ok(Some((words, line.starts_with(char::is_whitespace))))
}

/// Adds the words of a line, without comments: a quoted string is one word, and escapes are
/// decoded. Counts open parentheses.
fn split(line: &str, number: u64, words: &mut Vec<Word>, depth: &mut i32) {
    let (mut word, mut quoted): (Option<Word>, bool) = (None, false);
    let mut chars = line.char_indices();
    while let Some((i, c)) = chars.next() {
        let ends = !quoted && (c.is_whitespace() || "();".contains(c));
        if ends {
            words.extend(word.take());
            *depth += i32::from(c == '(') - i32::from(c == ')');
            if c == ';' {
                break;
            }
            continue;
        }
        let w = word.get_or_insert_with(|| Word {
            text: String::new(),
            line: number,
            column: i + 1,
            quoted: c == '"',
        });
        match c {
            '"' => quoted = !quoted,
            '\\' => {
                let code = line
                    .get(i + 1..i + 4)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|d| d.parse::<u8>().ok());
                match code {
                    Some(byte) => {
                        chars.nth(2);
                        w.text.push(if byte < 0x80 { byte as char } else { '?' });
                    }
                    None => w.text.extend(chars.next().map(|(_, c)| c)),
                }
            }
            c => w.text.push(c),
        }
    }
    words.extend(word);
}
