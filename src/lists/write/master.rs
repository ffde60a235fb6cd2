//! A zone as a master file: the records of a transfer, with one SOA.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{Export, ExportChangeKind, report::ReportBuilder, text_change::TextChange};
use crate::{
    index::{
        Listing, ZoneView,
        render::{Rendered, records, render, texts},
        zones::rtype,
    },
    lists::text::{label, name, rname},
};

/// The SOA record. A mirror uses the lesser of the SOA's TTL and MINIMUM for negative answers (RFC
/// 2308 section 3), so the TTL is limited to the negative TTL.
fn soa(view: &ZoneView, serial: u32) -> String {
    let [ttl, negative, _] = view.ttls;
    format!(
        "@ {} IN SOA {}\n",
        ttl.min(negative),
        soa_data(view, serial)
    )
}

/// The data of the SOA.
pub(super) fn soa_data(view: &ZoneView, serial: u32) -> String {
    let s = &view.spec;
    format!(
        "{}. {}. {serial} {} {} {} {}",
        s.ns.first().map_or(String::new(), |n| name(n)),
        rname(&s.contact),
        s.refresh.0,
        s.retry.0,
        s.expire.0,
        s.minimum().0
    )
}

pub(super) fn master(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    let Export {
        snapshot,
        view,
        serial,
        ..
    } = *e;
    let soa = soa(view, serial);
    write!(out, "$ORIGIN {}.\n$TTL {}\n{soa}", view.name, view.ttls[0])?;
    let mut result = Ok(());
    let mut text = String::new();
    render(&snapshot.tables, view, &mut |owner, at| {
        if result.is_err() {
            return;
        }
        text.clear();
        let mut name = String::new();
        for l in crate::index::find::labels_in(owner) {
            let _ = write!(
                name,
                "{}{}",
                if name.is_empty() { "" } else { "." },
                label(l)
            );
        }
        let name = if name.is_empty() {
            "@".to_string()
        } else {
            name
        };
        records(
            &snapshot.tables.interned,
            view,
            &at,
            &mut |rtype, ttl, data| {
                record(&mut text, &name, ttl, view.ttls[0], rtype, data);
            },
        );
        if let Rendered::Listed(listing) = at {
            changes(e, report, &listing);
        }
        result = out.write_all(text.as_bytes());
    });
    result
}

/// Counts the changes in the records of a listing.
fn changes(e: &Export, report: &ReportBuilder, listing: &Listing) {
    let subject = |item| {
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = listing.write_subject(item, &mut out);
        out
    };
    for (template, item) in texts(&e.snapshot.tables.interned, e.view, listing) {
        let change = TextChange::of(template, || subject(item).len());
        if change != TextChange::default() {
            report.add_text(change, subject(item));
        }
    }
    if let Some(item) = e.one_code(listing) {
        report.add(ExportChangeKind::ReasonsWithOneCode, subject(item));
    }
}

/// A string in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for b in bytes {
        match b {
            b'"' | b'\\' => out.extend(['\\', *b as char]),
            32..127 => out.push(*b as char),
            b => drop(write!(out, "\\{b:03}")),
        }
    }
    out + "\""
}

/// Appends the line of a record, without its TTL if that is the default.
pub(super) fn record(text: &mut String, name: &str, ttl: u32, usual: u32, kind: u16, data: &[u8]) {
    let wire = |mut d: &[u8]| {
        let mut out = String::new();
        while let Some((len, rest)) = d.split_first().filter(|(len, _)| **len > 0) {
            let (part, tail) = rest.split_at(usize::from(*len).min(rest.len()));
            out += &format!("{}.", label(part));
            d = tail;
        }
        if out.is_empty() { ".".into() } else { out }
    };
    let (kind, data) = match (kind, data) {
        (rtype::A, [a, b, c, d]) => ("A", format!("{a}.{b}.{c}.{d}")),
        (rtype::AAAA, d) => (
            "AAAA",
            d.try_into()
                .map(|o: [u8; 16]| std::net::Ipv6Addr::from(o).to_string())
                .unwrap_or_default(),
        ),
        (rtype::NS, d) => ("NS", wire(d)),
        (rtype::PTR, d) => ("PTR", wire(d)),
        (rtype::MX, [a, b, host @ ..]) => (
            "MX",
            format!("{} {}", u16::from_be_bytes([*a, *b]), wire(host)),
        ),
        (rtype::CAA, [flags, len, rest @ ..]) => {
            let (tag, value) = rest.split_at(usize::from(*len).min(rest.len()));
            ("CAA", format!("{flags} {} {}", label(tag), quoted(value)))
        }
        (rtype::TXT, d) => {
            let mut parts = Vec::new();
            let mut d = d;
            while let Some((len, rest)) = d.split_first() {
                let (part, tail) = rest.split_at(usize::from(*len).min(rest.len()));
                parts.push(quoted(part));
                d = tail;
            }
            ("TXT", parts.join(" "))
        }
        (rtype::HINFO, _) => ("HINFO", "\"exempt\" \"\"".into()),
        _ => return,
    };
    let _ = match ttl == usual {
        true => writeln!(text, "{name} {kind} {data}"),
        false => writeln!(text, "{name} {ttl} {kind} {data}"),
    };
}
