//! Master files (RFC 1035 section 5) of block lists: owner names with A and TXT records are
//! converted to subjects.
//!
//! A name that has only other records, or only names below it, is not listed. But a wildcard above
//! it does not match it (RFC 4592 section 2.2.1), so the name is excluded from that wildcard.

use std::net::Ipv4Addr;

use super::{
    Input, Options,
    entry::{check_name, prefix4_of, prefix6_of},
    text::{is_below, literal},
};
use crate::model::{Domain, Scope, Subject, domain::name_to_ascii};

/// Reads a master file. A records list their owners; TXT records are the texts; records of other
/// types only make their owner exist.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let given = origin(input.options);
    let mut origin = given.clone().unwrap_or_default();
    // The zone's name: the given one, the owner of the SOA, or the first origin.
    let mut zone = given;
    let mut owner = String::new();
    // The records of one owner are adjacent; they are processed when the next owner begins.
    let mut open: Option<Open> = None;
    let mut written_owner = None;
    while let Some(line) = next(input, &mut written_owner)? {
        let record = match line {
            Line::Record(record) => record,
            Line::Directive(words) => {
                if let Some(new) = directive(input, &words, &origin) {
                    zone.get_or_insert_with(|| new.clone());
                    origin = new;
                }
                continue;
            }
        };
        if let Some(written) = record.owner {
            owner = absolute(&written, &origin);
        }
        if record.kind == "SOA" {
            zone = Some(owner.clone());
        }
        let (line, column) = (record.line, record.column);
        if open.as_ref().is_none_or(|o| o.owner != owner) {
            finish(input, open.take(), zone.as_deref())?;
        }
        let o = open.get_or_insert_with(|| Open {
            owner: owner.clone(),
            line,
            column,
            ..Open::default()
        });
        match (record.kind.as_str(), &record.data[..]) {
            ("A", [a, ..]) => match a.text.parse::<Ipv4Addr>() {
                Ok(code) => o.codes.push(code),
                Err(_) => {
                    input.line = a.line;
                    input.problem(a.column, &format!("`{}` is not an IPv4 address", a.text));
                }
            },
            ("TXT", data @ [_, ..]) => {
                o.texts.push(data.iter().map(|w| w.text.as_str()).collect());
            }
            ("A" | "TXT", []) => input.problem(column, "the record has no data"),
            _ => {}
        }
    }
    finish(input, open, zone.as_deref())
}

/// The origin that the caller has given, in lower case and without its final dot.
pub(super) fn origin(options: &Options) -> Option<String> {
    let given = options.origin.as_ref()?;
    Some(given.trim_end_matches('.').to_ascii_lowercase())
}

/// Reads a line that starts with `$`; returns the new origin if it sets one. A directive that adds
/// records is an error, because the list would be incomplete without them.
fn directive(input: &mut Input, words: &[Word], origin: &str) -> Option<String> {
    let name = words[0].text.to_ascii_uppercase();
    match name.as_str() {
        "$ORIGIN" => return Some(absolute(words.get(1).map_or("", |o| &o.text), origin)),
        "$TTL" => {}
        "$INCLUDE" | "$GENERATE" => input.problem(
            words[0].column,
            &format!("{name} is not supported; use a file that contains the records"),
        ),
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
    let digest = input.options.digest.and_then(|form| form.read(name).ok());
    let subject_of_name = digest.map_or_else(|| subject(name), |d| Ok(Subject::Domain(d)));
    // Names of a followed zone are accepted as published; names of a file are checked.
    let is_checked = lists && !input.options.followed;
    let checked = subject_of_name.and_then(|s| match &s {
        Subject::Domain(d) if is_checked && !matches!(d.name(), "test" | "invalid") => {
            check_name(name, d, input.options.digest)
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
                // Without its own texts, an entry has that of each of its reasons.
                let joined = texts.len() > 1 && input.options.reasoning.joins_reasons(*code);
                let place = if paired { i } else { 0 };
                let text = texts.get(place).filter(|_| !joined).map(String::as_str);
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
    let name = name.strip_prefix("*.").unwrap_or(name);
    let mut below = name;
    while let Some((_, above)) = below.split_once('.') {
        if input
            .previous_owner
            .as_ref()
            .is_some_and(|previous| is_below(previous, above))
        {
            break; // the previous owner was below this name too
        }
        encloser(input, above)?;
        below = above;
    }
    input.previous_owner = Some(name.into());
    Ok(())
}

/// Adds the implied exclusion for a name that exists because there is a name below it.
pub(super) fn encloser(input: &mut Input, name: &str) -> Result<(), String> {
    subject(&format!("*.{name}")).map_or(Ok(()), |s| input.take_implied(&s))
}

/// The subject of an owner name relative to its zone: an address, a wildcard, or a domain.
pub fn subject(name: &str) -> Result<Subject, String> {
    let below = name.strip_prefix("*.");
    let (wild, rest) = (below.is_some(), below.unwrap_or(name));
    if let Some(p) = prefix4_of(rest.rsplit('.')).filter(|p| p.is_host() != wild) {
        return Ok(Subject::V4(p));
    }
    if let Some(p) = prefix6_of(rest.rsplit('.')).filter(|p| p.is_host() != wild) {
        return Ok(Subject::V6(p).unmapped());
    }
    let scope = if wild { Scope::Below } else { Scope::Name };
    Ok(Subject::Domain(Domain::from_canonical(
        &name_to_ascii(rest)?,
        scope,
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

/// A record of a master file.
pub(super) struct Record {
    /// Its owner as it is written; `None` if it has that of the previous record.
    pub(super) owner: Option<String>,
    /// Its type in upper case.
    pub(super) kind: String,
    pub(super) data: Vec<Word>,
    pub(super) line: u64,
    pub(super) column: usize,
}

/// A line of a master file; it can be written in several lines.
pub(super) enum Line {
    /// The words of a directive, which starts with `$`.
    Directive(Vec<Word>),
    Record(Record),
}

/// The next directive or record. A record without a type is a problem and is skipped, but its owner
/// is that of the records after it; `owner` keeps it for them.
pub(super) fn next(input: &mut Input, owner: &mut Option<String>) -> Result<Option<Line>, String> {
    while let Some((words, starts_blank)) = words(input)? {
        let Some(first) = words.first() else { continue };
        if first.text.starts_with('$') && !first.quoted && !starts_blank {
            return Ok(Some(Line::Directive(words)));
        }
        let (line, column) = (first.line, first.column);
        let mut words = words.into_iter();
        if !starts_blank {
            *owner = words.next().map(|w| w.text);
        }
        let is_ttl_or_class = |w: &Word| {
            w.text.eq_ignore_ascii_case("IN") || w.text.starts_with(|c: char| c.is_ascii_digit())
        };
        match words.find(|w| !is_ttl_or_class(w)) {
            Some(kind) => {
                let (kind, data) = (kind.text.to_ascii_uppercase(), words.collect());
                return Ok(Some(Line::Record(Record {
                    owner: owner.take(),
                    kind,
                    data,
                    line,
                    column,
                })));
            }
            None => input.problem(column, "a record has an owner, a type and data"),
        }
    }
    Ok(None)
}

/// The words of the next record, and whether it starts with a blank. Parentheses join lines (RFC
/// 1035 section 5.1).
fn words(input: &mut Input) -> Result<Option<(Vec<Word>, bool)>, String> {
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
