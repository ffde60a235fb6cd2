//! The data of records as text of a master file.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::text::label;
use crate::index::records::rtype;

/// The type and the data of a record as text; `None` for an unknown type or malformed data.
pub(super) fn type_and_data(kind: u16, data: &[u8]) -> Option<(Cow<'static, str>, String)> {
    let (kind, text) = match (kind, data) {
        (rtype::A, _) => (
            "A",
            Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string(),
        ),
        (rtype::AAAA, _) => (
            "AAAA",
            Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string(),
        ),
        (rtype::NS, _) => ("NS", only_name(data)?),
        (rtype::PTR, _) => ("PTR", only_name(data)?),
        (rtype::MX, [a, b, host @ ..]) => {
            let preference = u16::from_be_bytes([*a, *b]);
            ("MX", format!("{preference} {}", only_name(host)?))
        }
        (rtype::CAA, [flags, len @ 1..=255, rest @ ..]) => {
            let (tag, value) = rest.split_at_checked(usize::from(*len))?;
            ("CAA", format!("{flags} {} {}", label(tag), quoted(value)))
        }
        (rtype::SOA, mut rest) => {
            let (host, mail) = (whole_name(&mut rest)?, whole_name(&mut rest)?);
            let (numbers, rest) = rest.as_chunks::<4>();
            let numbers: Vec<String> = numbers
                .iter()
                .map(|n| u32::from_be_bytes(*n).to_string())
                .collect();
            if numbers.len() != 5 || !rest.is_empty() {
                return None;
            }
            ("SOA", format!("{host} {mail} {}", numbers.join(" ")))
        }
        (rtype::TXT, [_, ..]) => ("TXT", quoted_strings(data)?.join(" ")),
        (rtype::HINFO, _) => {
            let strings = quoted_strings(data).filter(|s| s.len() == 2)?;
            ("HINFO", strings.join(" "))
        }
        _ => return None,
    };
    Some((kind.into(), text))
}

/// Reads a name in wire form from the start of `data`, and returns it as absolute text.
fn whole_name(data: &mut &[u8]) -> Option<String> {
    let mut out = String::new();
    loop {
        let (len, rest) = data.split_first()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(*len))?;
        *data = rest;
        if bytes.is_empty() {
            return Some(if out.is_empty() { ".".into() } else { out });
        }
        out += &label(bytes);
        out.push('.');
    }
}

/// Reads data that is one name and nothing else.
fn only_name(mut data: &[u8]) -> Option<String> {
    whole_name(&mut data).filter(|_| data.is_empty())
}

/// The character strings of a record's data; the last one may be cut.
pub(super) fn strings(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = data.split_first()?;
        let (string, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        Some(string)
    })
}

/// The character strings of a record's data in quotes; `None` if the last one is cut.
fn quoted_strings(mut data: &[u8]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    while let Some((len, rest)) = data.split_first() {
        let (string, rest) = rest.split_at_checked(usize::from(*len))?;
        out.push(quoted(string));
        data = rest;
    }
    Some(out)
}

/// A character string in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for b in bytes {
        match b {
            b'"' | b'\\' => out.extend(['\\', *b as char]),
            0x20..0x7f => out.push(*b as char),
            b => out += &format!("\\{b:03}"),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_is_not_whole_has_no_text_form() {
        let text = |rtype: u16, data: &[u8]| type_and_data(rtype, data).map(|(_, text)| text);
        assert_eq!(text(rtype::TXT, b"\x02ab").as_deref(), Some("\"ab\""));
        assert_eq!(text(rtype::TXT, b"\x05ab"), None);
        assert_eq!(text(rtype::TXT, b"\x01a\x05b"), None);
        assert_eq!(text(rtype::PTR, b"\x01a\x00").as_deref(), Some("a."));
        assert_eq!(text(rtype::PTR, b"\x01a\x00\x07"), None);
        assert_eq!(
            text(rtype::MX, b"\x00\x0a\x01a\x00").as_deref(),
            Some("10 a.")
        );
        assert_eq!(text(rtype::MX, b"\x00\x0a\x01a\x00\x07"), None);
        assert_eq!(text(rtype::CAA, b"\x00\x00ca"), None);
        assert_eq!(text(rtype::HINFO, b"\x01a"), None);
        assert_eq!(
            text(rtype::HINFO, b"\x01a\x01b").as_deref(),
            Some("\"a\" \"b\"")
        );
    }
}
