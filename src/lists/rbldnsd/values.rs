//! Values after keys, `:A:TXT`, and the templates of texts.

use std::net::Ipv4Addr;

use crate::lists::text::{is_digits, literal};

/// The template of the texts of a data set: the base template `$=`, and the substitutions `$0` to
/// `$9`. The first definition of each counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    frame: Option<String>,
    words: [Option<String>; 10],
}

impl Template {
    pub(super) fn set_frame(&mut self, text: &str) {
        self.frame.get_or_insert_with(|| text.into());
    }

    pub(super) fn set_word(&mut self, digit: u8, text: &str) {
        self.words[usize::from(digit % 10)].get_or_insert_with(|| text.into());
    }

    /// The text of an entry in orbsd's form: `$` for the subject, `$$` for a dollar sign.
    /// Substituted text is not substituted again. A text that starts with `=` replaces the base
    /// template.
    pub(super) fn text(&self, own: &str) -> String {
        let (frame, own) = match (own.strip_prefix('='), &self.frame) {
            (Some(own), _) => (own, own),
            (None, Some(frame)) => (frame.as_str(), own),
            (None, None) => (own, own),
        };
        // Nearly all texts have no substitution; `$` alone and `$$` do not change.
        let is_substitution = |(at, _): (usize, &str)| {
            frame[at + 1..].starts_with(|c: char| c.is_ascii_digit() || c == '=')
        };
        if !frame.match_indices('$').any(is_substitution) {
            return frame.to_string();
        }
        let mut out = String::with_capacity(frame.len() + own.len());
        let mut chars = frame.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek().copied()) {
                ('$', Some('$')) => out += "$$",
                ('$', Some('=')) if own.is_empty() => out.push('$'),
                ('$', Some('=')) => out += &literal(own),
                ('$', Some(d)) if d.is_ascii_digit() => {
                    match &self.words[usize::from(d as u8 - b'0')] {
                        Some(word) => out += &literal(word),
                        None => out.extend(['$', '$', d]),
                    }
                }
                (c, _) => {
                    out.push(c);
                    continue;
                }
            }
            chars.next();
        }
        out
    }
}

/// The code and text of a value, which is empty, `:A`, `:A:TXT`, or a text alone; missing parts are
/// those of `default`. A comment counts as an empty value.
pub(super) fn value_of(
    value: &str,
    default: (Ipv4Addr, &str),
) -> Result<(Ipv4Addr, String), String> {
    let value = value.trim();
    if value.is_empty() || value.starts_with(['#', ';']) {
        return Ok((default.0, default.1.into()));
    }
    let Some(rest) = value.strip_prefix(':') else {
        return Ok((default.0, value.into()));
    };
    let (a, text) = rest.split_once(':').unwrap_or((rest, default.1));
    let a = a.trim();
    let code = code(a).ok_or_else(|| {
        format!("`{a}` is not an A value; write 127.0.0.2, or only its last number")
    })?;
    Ok((code, text.trim().into()))
}

/// An A value: `127.0.0.2`, its last number, or an address without zero octets as `inet_aton` reads
/// it (`127.2` is 127.0.0.2).
pub(super) fn code(text: &str) -> Option<Ipv4Addr> {
    let number = |p: &str| p.parse::<u8>().ok().filter(|_| is_digits(p));
    let parts: Vec<u8> = text.split('.').map(number).collect::<Option<_>>()?;
    match parts[..] {
        [d] => Some(Ipv4Addr::new(127, 0, 0, d)),
        [a, d] => Some(Ipv4Addr::new(a, 0, 0, d)),
        [a, b, d] => Some(Ipv4Addr::new(a, b, 0, d)),
        [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}
