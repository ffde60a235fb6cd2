//! A transfer as lines of a master file: from SOA to SOA, with absolute names and every TTL.

use std::io::{self, Write};

use super::{
    escaped_labels,
    master::{record, soa_data},
};
use crate::{
    dns::transfer::ZoneDifference,
    index::{
        Snapshot, ZoneView,
        render::{records, render_while},
    },
    model::Serial,
};

/// The lines of one zone.
struct Lines<'a> {
    view: &'a ZoneView,
    out: &'a mut dyn Write,
    text: String,
    result: io::Result<()>,
}

impl<'a> Lines<'a> {
    fn new(view: &'a ZoneView, out: &'a mut dyn Write) -> Lines<'a> {
        Lines {
            view,
            out,
            text: String::new(),
            result: Ok(()),
        }
    }

    fn soa(&mut self, serial: Serial) {
        let (name, ttl, data) = (
            &self.view.name,
            self.view.soa_ttl(),
            soa_data(self.view, serial.0),
        );
        self.put(format!("{name}. {ttl} SOA {data}\n").as_bytes());
    }

    fn record(&mut self, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
        let mut labels = escaped_labels(owner);
        labels.push(format!("{}.", self.view.name));
        let name = labels.join(".");
        self.text.clear();
        // No TTL equals this default, so that every TTL is written.
        record(&mut self.text, &name, ttl, u32::MAX, kind, data);
        let text = std::mem::take(&mut self.text);
        self.put(text.as_bytes());
        self.text = text;
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.result.is_ok() {
            self.result = self.out.write_all(bytes);
        }
    }
}

/// Writes a zone (by its number in the snapshot) as the lines of an AXFR.
pub fn axfr(
    snapshot: &Snapshot,
    zone: usize,
    serial: Serial,
    out: &mut dyn Write,
) -> io::Result<()> {
    let view = &snapshot.zones.all()[zone];
    let mut lines = Lines::new(view, out);
    lines.soa(serial);
    render_while(&snapshot.tables, view, &mut |owner, at| {
        let interned = &snapshot.tables.interned;
        records(interned, view, &at, &mut |kind, ttl, data| {
            lines.record(owner, kind, ttl, data);
        });
        lines.result.is_ok()
    });
    lines.soa(serial);
    lines.result
}

/// Writes the changes of a zone as the lines of an IXFR with one condensed sequence (RFC 1995
/// section 4).
pub fn ixfr(view: &ZoneView, difference: &ZoneDifference, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = Lines::new(view, out);
    lines.soa(difference.to);
    lines.soa(difference.from);
    difference.removed(&mut |owner, kind, ttl, data| lines.record(owner, kind, ttl, data));
    lines.soa(difference.to);
    difference.added(&mut |owner, kind, ttl, data| lines.record(owner, kind, ttl, data));
    lines.soa(difference.to);
    lines.result
}
