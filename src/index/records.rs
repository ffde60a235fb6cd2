//! Names, texts and records in wire form, from the values of a zone file.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::{domain::name_to_ascii, zone::Record};

/// Record types this server knows by number.
pub mod rtype {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const TSIG: u16 = 250;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
    pub const DS: u16 = 43;
    pub const CAA: u16 = 257;
    /// A row of [`crate::index::rows`]; of the range for private use (RFC 6895 section 3.1).
    pub const ROW: u16 = 65_399;
}

/// A static record: type, TTL in seconds, and data in wire form without compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rr {
    /// Its type.
    pub rtype: u16,
    /// Its TTL.
    pub ttl: u32,
    /// Its data.
    pub data: Box<[u8]>,
}

/// The records of a static name; empty for a name that only has others below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticRecords {
    /// Sorted by type.
    pub rrs: Vec<Rr>,
}

/// The longest name in wire form, with the root label (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest TTL (RFC 2181 section 8).
const MAX_TTL: u64 = i32::MAX as u64;
/// The longest tag of a CAA record that is in use (RFC 8659 section 4.1 sets no shorter limit than
/// its length byte).
const MAX_TAG: usize = 15;
/// The data of the HINFO record of an excluded name: CPU `exempt`, no OS.
pub const EXCLUDED_HINFO: &[u8] = b"\x06exempt\0";

/// Splits two consecutive names into what has to be written and what the origin already holds.
pub(super) fn compress(names: &[u8], origin: &[u8]) -> Vec<(std::ops::Range<usize>, Option<u16>)> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < names.len() {
        let mut end = start;
        while names[end] != 0 {
            end += usize::from(names[end]) + 1;
        }
        let whole = &names[start..=end];
        // The first label from which the rest is also the end of the origin; the root alone is not
        // worth a pointer.
        let mut at = 0;
        while whole.len() - at > 1
            && !(origin.ends_with(&whole[at..])
                && starts_label(origin, origin.len() - (whole.len() - at)))
        {
            at += usize::from(whole[at]) + 1;
        }
        if whole.len() - at > 1 {
            out.push((
                start..start + at,
                Some((origin.len() - (whole.len() - at)) as u16),
            ));
        } else {
            out.push((start..end + 1, None));
        }
        start = end + 1;
    }
    out
}

/// Whether a label starts at an offset of a name.
pub(super) fn starts_label(name: &[u8], place: usize) -> bool {
    let mut at = 0;
    while at < place {
        at += usize::from(name[at]) + 1;
    }
    at == place
}

/// A name in wire form, lower case, with the root label. U-labels become A-labels.
pub fn wire_name(text: &str) -> Result<Vec<u8>, String> {
    let mut out = relative(text.trim_end_matches('.'))?;
    out.push(0);
    Ok(out)
}

/// A name in wire form, lower case, without the root label. U-labels become A-labels.
pub(super) fn relative(text: &str) -> Result<Vec<u8>, String> {
    let ascii = if text.is_ascii() {
        text.into()
    } else {
        name_to_ascii(text)?
    };
    let mut out = Vec::with_capacity(text.len() + 1);
    for label in ascii.split('.') {
        if label.is_empty() || label.len() > 63 || !label.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`{text}` is not a name"));
        }
        out.push(label.len() as u8);
        out.extend(label.to_ascii_lowercase().as_bytes());
    }
    if out.len() >= MAX_NAME {
        Err(format!("`{text}` is too long"))
    } else {
        Ok(out)
    }
}

/// A mail address as a name in wire form: the part before the `@` is one label (RFC 1035 section
/// 8).
pub(super) fn wire_mail(address: &str) -> Result<Vec<u8>, String> {
    match address.split_once('@') {
        Some((user, host)) if (1..64).contains(&user.len()) && user.is_ascii() => {
            Ok([&[user.len() as u8][..], user.as_bytes(), &wire_name(host)?].concat())
        }
        _ => Err(format!("contact: `{address}` is not a mail address")),
    }
}

/// TXT data that is being built: one string of at most 255 printable bytes.
pub struct Text {
    buf: [u8; 256],
    len: usize,
}

impl Default for Text {
    fn default() -> Text {
        Text {
            buf: [0; 256],
            len: 1,
        }
    }
}

impl Text {
    /// Adds bytes; those that are not printable become `?`, and what is too long is cut.
    fn push(&mut self, bytes: &[u8]) {
        let to = &mut self.buf[self.len..];
        let n = bytes.len().min(to.len());
        // Without a branch, so that many bytes are handled at a time.
        to.iter_mut()
            .zip(bytes)
            .for_each(|(to, b)| *to = if (32..127).contains(b) { *b } else { b'?' });
        self.len += n;
    }

    /// Adds a template with `$` replaced by the subject, and `$$` by `$`. What is too long is cut.
    pub fn fill(
        &mut self,
        template: &str,
        subject: impl Fn(&mut dyn std::fmt::Write) -> std::fmt::Result,
    ) {
        let mut rest = template;
        while let Some((run, tail)) = rest.split_once('$') {
            self.push(run.as_bytes());
            rest = tail;
            if let Some(tail) = rest.strip_prefix('$') {
                self.push(b"$");
                rest = tail;
            } else {
                // Writing here never fails.
                let _ = subject(self);
            }
        }
        self.push(rest.as_bytes());
    }

    /// The data: the length, then the string.
    pub fn done(&mut self) -> &[u8] {
        self.buf[0] = (self.len - 1) as u8;
        &self.buf[..self.len]
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

/// TXT data: one string of at most 255 printable bytes, `$` replaced by the subject and `$$` by
/// `$`.
pub fn txt_data(template: &str, subject: &str) -> Box<[u8]> {
    let mut text = Text::default();
    text.fill(template, |out| out.write_str(subject));
    text.done().into()
}

/// The strings of a text as in a master file: quoted strings are separate, with `\\` before a
/// literal character and `\\DDD` for any byte; a text that does not begin with a quote is one
/// string, blanks included.
fn strings(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let text = text.trim();
    if !text.starts_with('"') {
        return Ok(vec![text.as_bytes().to_vec()]);
    }
    let (mut out, mut bytes) = (Vec::new(), text.bytes().peekable());
    while let Some(b) = bytes.next() {
        if b.is_ascii_whitespace() {
            continue;
        }
        if b != b'"' {
            return Err("what stands beside a quoted string has to be quoted too".into());
        }
        let mut string = Vec::new();
        loop {
            match bytes.next().ok_or("a quote is not closed")? {
                b'"' => break,
                b'\\' => match bytes.next().ok_or("a quote is not closed")? {
                    d @ b'0'..=b'9' => {
                        let digits = [Some(d), bytes.next(), bytes.next()];
                        let n = digits
                            .iter()
                            .try_fold(0u32, |n, d| Some(n * 10 + char::from((*d)?).to_digit(10)?));
                        string.push(
                            n.and_then(|n| u8::try_from(n).ok())
                                .ok_or("a backslash and digits are not a byte (\\000 to \\255)")?,
                        );
                    }
                    b => string.push(b),
                },
                b => string.push(b),
            }
        }
        out.push(string);
    }
    Ok(out)
}

/// A record's type and data. The error says what is wrong with them.
pub(super) fn record_data(r: &Record) -> Result<(u16, Vec<u8>), String> {
    if r.ttl.is_some_and(|t| t.0 > MAX_TTL) {
        return Err("the TTL is longer than a TTL can be (RFC 2181 section 8)".into());
    }
    let words: Vec<&str> = r.data.split_whitespace().collect();
    Ok(match (r.kind.to_ascii_uppercase().as_str(), &words[..]) {
        ("A", [a]) => (
            rtype::A,
            a.parse::<Ipv4Addr>()
                .map_err(|e| e.to_string())?
                .octets()
                .to_vec(),
        ),
        ("AAAA", [a]) => (
            rtype::AAAA,
            a.parse::<Ipv6Addr>()
                .map_err(|e| e.to_string())?
                .octets()
                .to_vec(),
        ),
        ("MX", [preference, host]) => {
            let p: u16 = preference
                .parse()
                .map_err(|_| "the preference is not a number")?;
            let host = if *host == "." {
                vec![0]
            } else {
                wire_name(host)?
            };
            (rtype::MX, [&p.to_be_bytes()[..], &host].concat())
        }
        ("NS", [host]) => (rtype::NS, wire_name(host)?),
        ("CAA", [flags, tag, _, ..]) => {
            let f: u8 = flags.parse().map_err(|_| "the flags are not a number")?;
            if tag.len() > MAX_TAG || !tag.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(format!("`{tag}` is not a tag"));
            }
            let rest = r
                .data
                .trim_start()
                .strip_prefix(flags)
                .unwrap_or("")
                .trim_start()
                .strip_prefix(tag)
                .unwrap_or("");
            let [value] = &strings(rest)?[..] else {
                return Err("the value is one string".into());
            };
            (
                rtype::CAA,
                [&[f, tag.len() as u8], tag.as_bytes(), value].concat(),
            )
        }
        ("TXT", _) => {
            let mut data = Vec::new();
            for string in strings(&r.data)? {
                // An empty string is one of length 0; a long one becomes several.
                let parts = string
                    .chunks(255)
                    .chain(string.is_empty().then_some(&[][..]));
                parts.for_each(|p| data.extend([&[p.len() as u8], p].concat()));
            }
            (rtype::TXT, data)
        }
        (kind, _) => {
            return Err(format!(
                "`{kind} {}` is not A, AAAA, NS, MX, CAA or TXT data",
                r.data
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(kind: &str, data: &str) -> Result<Vec<u8>, String> {
        record_data(&Record {
            name: "@".into(),
            kind: kind.into(),
            data: data.into(),
            ttl: None,
        })
        .map(|(_, d)| d)
    }

    #[test]
    fn txt_data_is_read_as_in_a_master_file() {
        for (text, want) in [
            ("", &b"\0"[..]),
            ("\"\"", b"\0"),
            ("v=spf1 -all", b"\x0bv=spf1 -all"),
            ("\"a b\"  \"c\"", b"\x03a b\x01c"),
            (r#""say \"hi\" \\ \065""#, b"\x0csay \"hi\" \\ A"),
        ] {
            assert_eq!(data("TXT", text).unwrap(), want, "{text}");
        }
        let long = data("TXT", &"x".repeat(300)).unwrap();
        assert_eq!((long.len(), long[0], long[256]), (302, 255, 45));
        for bad in ["\"a", "\"a\" b", r#""\999""#, r#""\1""#] {
            assert!(data("TXT", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_data_is_read_whatever_the_blanks_and_letters() {
        assert_eq!(
            data("CAA", " 0   issue \t \"ca.example; x=1\" ").unwrap(),
            b"\0\x05issueca.example; x=1"
        );
        assert_eq!(
            data("caa", "128 iodef mailto:a@b.example").unwrap(),
            b"\x80\x05iodefmailto:a@b.example"
        );
        assert_eq!(
            data("MX", "10  BÜCHER.example.").unwrap(),
            b"\0\x0a\x0dxn--bcher-kva\x07example\0"
        );
        for (kind, text) in [
            ("CAA", "0 issue"),
            ("CAA", "256 issue x"),
            ("CAA", "0 is-sue x"),
            ("A", "1.2.3"),
            ("NS", "ns..example"),
            ("SRV", "1"),
            ("MX", "a b"),
        ] {
            assert!(data(kind, text).is_err(), "{kind} {text}");
        }
        let long = Record {
            name: "@".into(),
            kind: "A".into(),
            data: "192.0.2.1".into(),
            ttl: Some(crate::model::time::Seconds(1 << 31)),
        };
        assert!(record_data(&long).unwrap_err().contains("TTL"));
    }

    #[test]
    fn the_subject_stands_for_a_dollar_and_what_is_too_long_is_cut() {
        assert_eq!(&*txt_data("One $ and $$", "x"), b"\x0bOne x and $");
        assert_eq!(txt_data(&"$ ".repeat(99), &"y".repeat(99)).len(), 256);
        assert_eq!(&*txt_data("\u{e4}", ""), b"\x02??");
        assert_eq!(
            wire_mail("a.b@c.example").unwrap(),
            b"\x03a.b\x01c\x07example\0"
        );
        assert!(wire_mail("@c.example").is_err() && wire_mail("nobody").is_err());
    }
}
