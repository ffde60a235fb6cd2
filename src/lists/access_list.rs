//! Access lists of Cisco IOS, PIX and ASA, prefix lists, null routes and network objects.

use super::{Input, entry, report::Omission, text::words};

/// Reads a line of a configuration: lists the sources of `deny` entries, denied prefixes, routes to Null0 and
/// members of network objects. Leaves out entries that permit, or that do not match sources.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.trim();
    if text.starts_with('!') {
        return Ok(());
    }
    // `show access-lists` writes `45.51.104.0, wildcard bits 0.0.3.255`.
    let words: Vec<(usize, &str)> = words(line)
        .map(|(at, w)| (at, w.trim_end_matches(',')))
        .filter(|w| !matches!(w.1, "wildcard" | "bits"))
        .collect();
    let lower: Vec<String> = words.iter().map(|w| w.1.to_ascii_lowercase()).collect();
    match listed_words(&lower) {
        Ok(range) => {
            let column = words[range.start].0;
            let subject: Vec<&str> = words[range].iter().map(|w| w.1).collect();
            input.list_word(&subject.join(" "), column)?;
        }
        Err(Omission::OtherLine) => input.other_line(1, text),
        Err(kind) => input.leave_out(kind, 1, text),
    }
    Ok(())
}

/// The words of a line that are the subject to list; otherwise why the line is left out.
fn listed_words(words: &[String]) -> Result<std::ops::Range<usize>, Omission> {
    let w: Vec<&str> = words.iter().map(String::as_str).collect();
    let other = Err(Omission::OtherLine);
    match w[..] {
        ["network-object" | "host" | "subnet" | "range", ..] => object(&w),
        ["ip" | "ipv6", "route", ..] if w.iter().any(|x| x.starts_with("null")) => address(&w, 2),
        ["ip" | "ipv6", "prefix-list", ..] => {
            match w.iter().position(|x| matches!(*x, "deny" | "permit")) {
                Some(at) if w[at] == "deny" => address(&w, at + 1),
                Some(_) => Err(Omission::ExceptionRule),
                None => other,
            }
        }
        ["ip" | "ipv6", ..] => other,
        _ => rule(&w),
    }
}

/// A member of a network object.
fn object(w: &[&str]) -> Result<std::ops::Range<usize>, Omission> {
    match w {
        ["network-object", "host", ..] => address(w, 2),
        ["network-object", "object" | "object-group", ..] => Err(Omission::OtherLine),
        ["range", a, b, ..] if is_address(a) && is_address(b) => Ok(1..3),
        _ => address(w, 1),
    }
}

/// An entry of an access list: `deny PROTOCOL SOURCE …`, or `deny SOURCE`.
fn rule(w: &[&str]) -> Result<std::ops::Range<usize>, Omission> {
    let action = w
        .iter()
        .take(6)
        .position(|x| matches!(*x, "deny" | "permit"));
    let Some(action) = action.filter(|at| !w[..*at].contains(&"remark")) else {
        return Err(Omission::OtherLine);
    };
    if w[action] == "permit" {
        return Err(Omission::ExceptionRule);
    }
    // A protocol, by name or number, precedes the source.
    const SOURCES: [&str; 6] = ["host", "any", "any4", "any6", "object", "object-group"];
    let has_protocol = w
        .get(action + 1)
        .is_some_and(|x| !is_address(x) && !SOURCES.contains(x));
    let source = action + 1 + usize::from(has_protocol);
    match w.get(source) {
        Some(&"host") => address(w, source + 1),
        _ => address(w, source),
    }
}

/// The range of words of an address, with its mask if it has one.
fn address(w: &[&str], at: usize) -> Result<std::ops::Range<usize>, Omission> {
    if w.get(at).is_none_or(|x| !is_address(x)) {
        return Err(Omission::OtherLine);
    }
    let mask = w
        .get(at + 1)
        .is_some_and(|x| is_address(x) && !x.contains(['/', ':']) && !w[at].contains('/'));
    Ok(at..at + 1 + usize::from(mask && w[at.saturating_sub(1)] != "host"))
}

/// Whether a word has the form of an address, and is not the number of a protocol or a line.
fn is_address(word: &str) -> bool {
    word.contains(['.', ':']) && entry::is_address_form(word)
}
