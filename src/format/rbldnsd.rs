//! rbldnsd data files (rbldnsd(8)): the lingua franca of the field.
//!
//! `ip4set`, `ip4trie`, `ip4tset`, `ip6trie`, `ip6tset`, `dnset` and `combined` by their keys; `generic` where its names
//! are those of listed subjects. A key is told by its form: what starts like an IPv4 address is one, hexadecimal groups
//! with colons are IPv6, anything else is a name. After `$DATASET` the data set's type decides.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Input;
use crate::model::{Domain, Prefix4, Prefix6, Subject, Time, subject::HostBits};

/// What a line's key is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Ip4,
    Ip6 {
        /// Where no length is said: the words that are there, as a /64 set has it.
        by_words: bool,
    },
    Names,
    Generic,
    /// Lists that have no meaning here.
    Skip,
}

/// What stands until the next line says otherwise.
struct State {
    kind: Kind,
    code: Ipv4Addr,
    text: String,
    /// `$=`: the frame of every text.
    frame: Option<String>,
    /// `$0` to `$9`.
    words: [Option<String>; 10],
    /// The largest range taken, in addresses.
    max_range: u64,
}

impl Default for State {
    fn default() -> State {
        let words = Default::default();
        State { kind: Kind::Any, code: Ipv4Addr::new(127, 0, 0, 2), text: String::new(), frame: None, words, max_range: u64::MAX }
    }
}

/// Reads a data file.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut state = State::default();
    while let Some(line) = input.next()? {
        let start = line.len() - line.trim_start().len();
        let text = line.trim();
        if let Some(special) = special(text) {
            state.special(input, special);
        } else if let Some(value) = text.strip_prefix(':') {
            match value_of(&format!(":{value}"), &State::default()) {
                Ok((code, text)) => (state.code, state.text) = (code, text),
                Err(why) => input.problem(start + 1, &why),
            }
        } else if !text.is_empty() && !text.starts_with(['#', ';']) && state.kind != Kind::Skip {
            state.entry(input, text, start + 1)?;
        }
    }
    Ok(())
}

/// What follows `$`, `#$`, `;$` or `:$`.
fn special(text: &str) -> Option<&str> {
    text.strip_prefix('$').or_else(|| text.strip_prefix(['#', ';', ':']).and_then(|t| t.strip_prefix('$')))
}

impl State {
    fn special(&mut self, input: &mut Input, text: &str) {
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match name.to_ascii_uppercase().as_str() {
            "SOA" | "NS" | "TTL" => {} // the zone's own file says this here
            "=" => drop(self.frame.get_or_insert(rest.into())),
            n if n.len() == 1 && n.as_bytes()[0].is_ascii_digit() => {
                self.words[usize::from(n.as_bytes()[0] - b'0')].get_or_insert(rest.into());
            }
            "TIMESTAMP" => match timestamp(rest) {
                Ok(Some(t)) => input.report.expires = Some(input.report.expires.map_or(t, |old| old.min(t))),
                Ok(None) => {}
                Err(why) => input.problem(1, &why),
            },
            "MAXRANGE4" => {
                let size = match rest.strip_prefix('/') {
                    Some(len) => len.parse::<u32>().ok().filter(|l| *l <= 32).map(|l| 1u64 << (32 - l)),
                    None => rest.parse().ok(),
                };
                match size {
                    Some(n) => self.max_range = self.max_range.min(n),
                    None => input.problem(1, &format!("$MAXRANGE4 `{rest}` is neither a length such as /24 nor a number of addresses")),
                }
            }
            "DATASET" => {
                let kind = rest.split([' ', '\t', ':']).next().unwrap_or("");
                *self = State { words: self.words.clone(), kind: kind_of(kind), ..State::default() };
                if self.kind == Kind::Skip {
                    input.report.warnings.push(format!("{}:{}: a data set of type `{kind}` is read over", input.file, input.line));
                }
            }
            // Others belong to rbldnsd's own way of serving.
            _ => input.report.warnings.push(format!("{}:{}: `${name}` is read over", input.file, input.line)),
        }
    }

    fn entry(&self, input: &mut Input, text: &str, column: usize) -> Result<(), String> {
        let (hole, body) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let column = column + (text.len() - body.len());
        if self.kind == Kind::Generic {
            return generic(input, body, column);
        }
        let kind = if self.kind == Kind::Any { guess(body) } else { self.kind };
        let end = match kind {
            Kind::Ip6 { .. } => body.find(|c: char| c.is_whitespace() || c == '#' || c == ';'),
            _ => body.find(|c: char| c.is_whitespace() || ":#;".contains(c)),
        };
        let (key, value) = body.split_at(end.unwrap_or(body.len()));
        let subjects = match kind {
            Kind::Ip4 => self.ip4(input, key),
            Kind::Ip6 { by_words } => ip6(key, by_words, input.options.host_bits).map(|s| vec![s]),
            _ => Domain::parse(key).map(|d| vec![Subject::Domain(d)]),
        };
        let (subjects, value) = match (subjects, value_of(value, self)) {
            (Ok(s), Ok(v)) => (s, v),
            (Err(why), _) => {
                input.problem(column, &why);
                return Ok(());
            }
            (_, Err(why)) => {
                input.problem(column + key.len(), &why);
                return Ok(());
            }
        };
        let text = self.framed(&value.1);
        subjects.into_iter().try_for_each(|s| input.take(s, hole, Some(value.0), Some(&text), column))
    }

    /// The prefixes of an IPv4 key: none where it is a larger range than the file allows.
    fn ip4(&self, input: &mut Input, key: &str) -> Result<Vec<Subject>, String> {
        let (first, last) = range4(key, input.options.host_bits)?;
        if u64::from(last - first) + 1 > self.max_range {
            input.report.warnings.push(format!("{}:{}: `{key}` is larger than $MAXRANGE4 and is skipped", input.file, input.line));
            return Ok(Vec::new());
        }
        Ok(Prefix4::cover(first, last).map(Subject::V4).collect())
    }

    /// A text in its frame, with the file's own words filled in; `$` and `$$` stay, they mean the same to us.
    fn framed(&self, text: &str) -> String {
        let text = match (&self.frame, text.strip_prefix('=')) {
            (Some(_), Some(own)) => own.to_string(),
            (Some(frame), None) => frame.replace("$=", text),
            (None, _) => text.to_string(),
        };
        if !text.contains('$') {
            return text;
        }
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek().and_then(|d| d.to_digit(10))) {
                ('$', _) if chars.next_if_eq(&'$').is_some() => out += "$$",
                ('$', Some(d)) if self.words[d as usize].is_some() => {
                    chars.next();
                    out += self.words[d as usize].as_deref().unwrap_or("");
                }
                _ => out.push(c),
            }
        }
        out
    }
}

fn kind_of(name: &str) -> Kind {
    match name {
        "ip4set" | "ip4trie" | "ip4tset" => Kind::Ip4,
        "ip6trie" => Kind::Ip6 { by_words: false },
        "ip6tset" => Kind::Ip6 { by_words: true },
        "dnset" | "dnhash" => Kind::Names,
        "generic" => Kind::Generic,
        _ => Kind::Skip,
    }
}

fn guess(body: &str) -> Kind {
    let word = body.split(|c: char| c.is_whitespace()).next().unwrap_or("");
    let key = word.split([':', '#', ';']).next().unwrap_or("");
    if !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_digit() || b"./-".contains(&b))
        && (key.contains(['.', '/']) || !word.contains(':'))
    {
        return Kind::Ip4;
    }
    if word.contains(':') && word.bytes().all(|b| b.is_ascii_hexdigit() || b":/.".contains(&b)) {
        return Kind::Ip6 { by_words: false };
    }
    Kind::Names
}

/// The addresses of an IPv4 key: `1.2.3.4`, `1.2.3` (a /24), `1.2.3.0/24`, `1.2/16`, `1.2.3.4-1.2.3.9`, `1.2.3.4-9`,
/// `1.2-5`, `1.2-1.5`.
fn range4(key: &str, host_bits: HostBits) -> Result<(u32, u32), String> {
    let bad = |why: &str| Err(format!("`{key}` is not an IPv4 address, prefix or range: {why}"));
    let (low, high) = match key.split_once('-') {
        Some((a, b)) => (a, Some(b)),
        None => (key, None),
    };
    let (low, len) = match low.split_once('/') {
        Some((a, l)) => (a, Some(l)),
        None => (low, None),
    };
    let Some((first, count)) = octets(low) else { return bad("octets are numbers from 0 to 255") };
    let whole = |n: usize| Prefix4::mask((n * 8) as u8);
    match (high, len) {
        (None, Some(len)) => {
            let Some(len) = len.parse::<u8>().ok().filter(|l| *l <= 32) else { return bad("a length is a number from 0 to 32") };
            let p = Prefix4::new(first, len);
            if p.first() != first && host_bits == HostBits::Refuse {
                return Err(format!("`{key}` has host bits set; the prefix is {p}"));
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
                _ => return bad("both ends have the same number of octets, or the end is the last octet alone"),
            };
            let last = last | !whole(count);
            if last < first { bad("a range goes from the lower address to the higher") } else { Ok((first, last)) }
        }
    }
}

/// One to four octets, from the left, and how many.
fn octets(text: &str) -> Option<(u32, usize)> {
    let parts: Vec<u8> =
        text.split('.').map(|p| p.parse::<u8>().ok().filter(|_| p.bytes().all(|b| b.is_ascii_digit()))).collect::<Option<_>>()?;
    let addr = parts.iter().take(4).enumerate().fold(0, |a, (i, o)| a | u32::from(*o) << (24 - 8 * i));
    (1..=4).contains(&parts.len()).then_some((addr, parts.len()))
}

/// An IPv6 key: an address or prefix; groups left out at the end are zero.
fn ip6(key: &str, by_words: bool, host_bits: HostBits) -> Result<Subject, String> {
    let (addr, len) = match key.split_once('/') {
        Some((a, l)) => (a, Some(l)),
        None => (key, None),
    };
    let groups = addr.split(':').filter(|g| !g.is_empty()).count();
    let whole = if addr.contains("::") { addr.to_string() } else { format!("{}{}", addr, if groups < 8 { "::" } else { "" }) };
    let Ok(parsed) = whole.trim_start_matches(' ').parse::<Ipv6Addr>() else {
        return Err(format!("`{key}` is not an IPv6 address or prefix"));
    };
    let cut = !addr.contains("::") && groups < 8;
    let len = match len {
        Some(l) => l.parse::<u8>().ok().filter(|l| *l <= 128).ok_or_else(|| format!("`{key}`: a length is a number from 0 to 128"))?,
        None if cut => (groups * 16) as u8,
        None if by_words => 64,
        None => 128,
    };
    let p = Prefix6::new(parsed.to_bits(), len);
    if p.first() != parsed.to_bits() && host_bits == HostBits::Refuse {
        return Err(format!("`{key}` has host bits set; the prefix is {p}"));
    }
    p.to_string().parse() // mapped addresses are IPv4
}

/// The code and text behind a key: nothing, `:A`, `:A:TXT`, or a text alone. A comment is nothing.
fn value_of(value: &str, state: &State) -> Result<(Ipv4Addr, String), String> {
    let value = value.trim();
    if value.is_empty() || value.starts_with(['#', ';']) {
        return Ok((state.code, state.text.clone()));
    }
    let Some(rest) = value.strip_prefix(':') else { return Ok((state.code, value.into())) };
    let (a, text) = match rest.split_once(':') {
        Some((a, t)) => (a.trim(), Some(t.trim())),
        None => (rest.trim(), None),
    };
    let code = match a {
        "" => state.code,
        a => code(a).ok_or_else(|| format!("`{a}` is not an A value; write 127.0.0.2, or its last octets alone"))?,
    };
    Ok((code, text.map_or_else(|| state.text.clone(), String::from)))
}

/// `127.0.0.2`, or its last octets alone: `2`, `0.2`.
fn code(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u8> = text.split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [d] => Some(Ipv4Addr::new(127, 0, 0, d)),
        [c, d] => Some(Ipv4Addr::new(127, 0, c, d)),
        [b, c, d] => Some(Ipv4Addr::new(127, b, c, d)),
        [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

/// A line of a generic data set: `name [ttl] A value` lists what its name spells; other records are the zone's own.
fn generic(input: &mut Input, body: &str, column: usize) -> Result<(), String> {
    let mut words = body.split_whitespace();
    let (name, rest): (&str, Vec<&str>) = (words.next().unwrap_or(""), words.collect());
    let rest = match rest.first() {
        Some(ttl) if ttl.starts_with(|c: char| c.is_ascii_digit()) => &rest[1..],
        _ => &rest[..],
    };
    let [kind, value] = rest else { return Ok(()) };
    let Some(code) = value.parse::<Ipv4Addr>().ok().filter(|c| kind.eq_ignore_ascii_case("A") && c.octets()[0] == 127) else {
        return Ok(());
    };
    match super::master::subject(&name.to_ascii_lowercase()) {
        Ok(s) => input.take(s, false, Some(code), None, column),
        Err(why) => {
            input.problem(column, &why);
            Ok(())
        }
    }
}

/// When a list ends: the second word of `$TIMESTAMP stamp [expires]`, a time or `+` and a span from the stamp.
fn timestamp(text: &str) -> Result<Option<Time>, String> {
    let mut words = text.split_whitespace();
    let stamp = moment(words.next().unwrap_or(""))?;
    match words.next() {
        None | Some("0" | "-") => Ok(None),
        Some(e) => match e.strip_prefix('+') {
            Some(span) => {
                let span = if span.ends_with(|c: char| c.is_ascii_digit()) { format!("{span}s") } else { span.to_string() };
                let span: crate::model::time::Seconds = span.parse()?;
                stamp.map(|s| Some(s.plus(span))).ok_or_else(|| format!("$TIMESTAMP `{text}`: a span needs a stamp to start from"))
            }
            None => moment(e),
        },
    }
}

/// `yyyy:mm:dd[:hh[:mi[:ss]]]`, with `:` or `-` or nothing between; `0` or `-` for none.
fn moment(text: &str) -> Result<Option<Time>, String> {
    if matches!(text, "0" | "-") {
        return Ok(None);
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or("00").to_string();
    let whole = matches!(digits.len(), 8 | 10 | 12 | 14) && text.chars().all(|c| c.is_ascii_digit() || ":-".contains(c));
    let rfc = format!("{}-{}-{}T{}:{}:{}Z", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14));
    match rfc.parse() {
        Ok(t) if whole => Ok(Some(t)),
        _ => Err(format!("`{text}` is not a time; it is written yyyy:mm:dd:hh:mi:ss")),
    }
}
