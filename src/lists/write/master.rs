//! A zone as a master file: the records of a transfer, with one SOA.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    Export, ExportChangeKind, escaped_labels, published::listed_subject, report::ReportBuilder,
    text_change::TextChange,
};
use crate::{
    index::{
        Listing, ZoneView,
        render::{Rendered, records, texts},
    },
    lists::{
        record_text::type_and_data,
        text::{name, rname},
    },
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
    let mut text = String::new();
    e.render(&mut |owner, at| {
        text.clear();
        let name = match owner {
            [] => "@".to_string(),
            owner => escaped_labels(owner).join("."),
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
        out.write_all(text.as_bytes())
    })
}

/// Counts the changes in the records of a listing.
fn changes(e: &Export, report: &ReportBuilder, listing: &Listing) {
    let subject = |item| listed_subject(listing, item);
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

/// Appends the line of a record, without its TTL if that is the default.
pub(super) fn record(text: &mut String, name: &str, ttl: u32, usual: u32, kind: u16, data: &[u8]) {
    let Some((kind, data)) = type_and_data(kind, data) else {
        return;
    };
    let _ = match ttl == usual {
        true => writeln!(text, "{name} {kind} {data}"),
        false => writeln!(text, "{name} {ttl} {kind} {data}"),
    };
}
