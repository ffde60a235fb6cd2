//! Master files (RFC 1035 section 5) of block lists: owner names with A and TXT records become subjects again.

use std::net::Ipv4Addr;

use super::Input;
use crate::model::{Domain, Prefix4, Prefix6, Scope, Subject};

/// Reads a master file. A records list; TXT records give the texts; SOA, NS and others are read over.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut origin = input.options.origin.clone().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let mut owner = String::new();
    // The records of one owner stand together: they are taken when the next one comes.
    let mut open: Option<Open> = None;
    while let Some(mut line) = input.next()? {
        // Parentheses join lines into one record (RFC 1035 section 5.1).
        let mut open_lines = 0;
        while depth(&line) > 0 && open_lines < MAX_JOINED {
            let Some(more) = input.next()? else { break };
            line = format!("{} {more}", uncommented(&line));
            open_lines += 1;
        }
        let (words, starts_blank) = split(&line);
        match words.first().map(String::as_str) {
            None => continue,
            Some("$ORIGIN") => {
                origin = words.get(1).map_or("", |o| o).trim_end_matches('.').to_ascii_lowercase();
                continue;
            }
            Some(w) if w.starts_with('$') => continue,
            _ => {}
        }
        let mut rest = &words[..];
        if !starts_blank {
            owner = absolute(&words[0], &origin);
            rest = &words[1..];
        }
        while rest.first().is_some_and(|w| w.eq_ignore_ascii_case("IN") || w.starts_with(|c: char| c.is_ascii_digit())) {
            rest = &rest[1..];
        }
        let [kind, data @ ..] = rest else {
            input.problem(1, "a record has an owner, a type and data");
            continue;
        };
        let kind = kind.to_ascii_uppercase();
        if kind == "SOA" {
            origin.clone_from(&owner);
        }
        if kind != "A" && kind != "TXT" {
            continue;
        }
        if open.as_ref().is_none_or(|o| o.owner != owner) {
            finish(input, open.take(), &origin)?;
            open = Some(Open { owner: owner.clone(), line: input.line, ..Open::default() });
        }
        let Some(o) = &mut open else { continue };
        match (kind.as_str(), data) {
            ("A", [a, ..]) => match a.parse::<Ipv4Addr>() {
                Ok(code) => o.codes.push(code),
                Err(_) => input.problem(1, &format!("`{a}` is not an IPv4 address")),
            },
            ("TXT", [text, ..]) => o.text = Some(text.clone()),
            _ => input.problem(1, "the record has no data"),
        }
    }
    finish(input, open, &origin)
}

/// An owner whose records are being read.
#[derive(Default)]
struct Open {
    owner: String,
    codes: Vec<Ipv4Addr>,
    text: Option<String>,
    line: u64,
}

fn finish(input: &mut Input, open: Option<Open>, origin: &str) -> Result<(), String> {
    let Some(o) = open else { return Ok(()) };
    let name = match o.owner.strip_suffix(origin) {
        Some(rest) if origin.is_empty() || rest.is_empty() || rest.ends_with('.') => rest.trim_end_matches('.'),
        _ => return Ok(()), // outside the zone: glue
    };
    if name.is_empty() || o.codes.iter().any(|c| c.octets()[0] != 127) {
        return Ok(()); // the apex, or a host of the list's own such as a name server
    }
    let line = std::mem::replace(&mut input.line, o.line);
    enclosers(input, name)?;
    match subject(name) {
        Ok(s) => o.codes.iter().try_for_each(|c| input.take(s.clone(), false, Some(*c), o.text.as_deref(), 1))?,
        Err(why) => input.problem(1, &why),
    }
    input.line = line;
    Ok(())
}

/// The names above an owner exist, so a wildcard higher up does not speak for what is below them (RFC 4592 section 2.2.1):
/// they are exceptions, unless they have a wildcard of their own.
fn enclosers(input: &mut Input, name: &str) -> Result<(), String> {
    let mut above = name.strip_prefix("*.").map_or_else(|| name.split_once('.').map(|(_, rest)| rest), |_| None);
    if above.is_none() {
        above = name.strip_prefix("*.").and_then(|n| n.split_once('.')).map(|(_, rest)| rest);
    }
    while let Some(n) = above {
        if input.seen.as_ref().is_some_and(|s| s == n || s.ends_with(&format!(".{n}"))) {
            break; // the owner before stood below it too
        }
        if let Ok(s) = subject(&format!("*.{n}")) {
            input.take_weak(&s)?;
        }
        above = n.split_once('.').map(|(_, rest)| rest);
    }
    input.seen = Some(name.strip_prefix("*.").unwrap_or(name).into());
    Ok(())
}

/// The subject of an owner name relative to its zone: an address, a wildcard, or a domain.
pub fn subject(name: &str) -> Result<Subject, String> {
    let (wild, rest) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let labels: Vec<&str> = rest.rsplit('.').collect();
    let octets: Option<Vec<u32>> = labels.iter().map(|l| l.parse::<u8>().ok().filter(|n| n.to_string() == **l).map(u32::from)).collect();
    if let Some(o) = octets
        && (o.len() == 4 && !wild || o.len() < 4 && wild)
    {
        let addr = o.iter().enumerate().fold(0, |a, (i, o)| a | o << (24 - 8 * i));
        return Ok(Subject::V4(Prefix4::new(addr, 8 * o.len() as u8)));
    }
    let nibble = |l: &&str| (l.len() == 1).then(|| u128::from_str_radix(l, 16).ok()).flatten();
    let nibbles: Option<Vec<u128>> = labels.iter().map(nibble).collect();
    if let Some(n) = nibbles
        && (n.len() == 32 && !wild || n.len() < 32 && wild)
    {
        let addr = n.iter().enumerate().fold(0, |a, (i, n)| a | n << (124 - 4 * i));
        let six = Subject::V6(Prefix6::new(addr, 4 * n.len() as u8));
        return Ok(six.to_string().parse().unwrap_or(six)); // mapped addresses are IPv4
    }
    let name = crate::model::domain::name_to_ascii(rest)?;
    Ok(Subject::Domain(Domain::from_canonical(&name, if wild { Scope::Below } else { Scope::Name })))
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

/// How many lines one record may take.
const MAX_JOINED: usize = 64;

/// A line up to its comment.
fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    &line[..end.unwrap_or(line.len())]
}

/// How many parentheses are open at the end of a line.
fn depth(line: &str) -> i32 {
    let mut quoted = false;
    uncommented(line).chars().fold(0, |n, c| {
        quoted ^= c == '"';
        n + match c {
            '(' if !quoted => 1,
            ')' if !quoted => -1,
            _ => 0,
        }
    })
}

/// The words of a line, quoted strings whole, without comments and parentheses; and whether it starts with a blank.
fn split(line: &str) -> (Vec<String>, bool) {
    let mut out: Vec<String> = Vec::new();
    let (mut word, mut quoted, mut had) = (String::new(), false, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            '"' => (quoted, had) = (!quoted, true),
            ';' if !quoted => break,
            c if !quoted && (c.is_whitespace() || c == '(' || c == ')') => {
                if !word.is_empty() || had {
                    out.push(std::mem::take(&mut word));
                    had = false;
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() || had {
        out.push(word);
    }
    (out, line.starts_with(char::is_whitespace))
}
