//! Zones out: as a master file, as rbldnsd data, as lists.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use crate::{
    index::{
        Items, Listing, Snapshot, Where, ZoneView,
        pieces::{Cut, pieces},
        render::{Rendered, render},
        zones::{Rr, rtype},
    },
    model::{Subject, ZoneKind, zone::TxtPolicy},
};

/// The formats that a zone can be written in.
pub const WRITERS: [(&str, &str); 4] = [
    ("master", "a master file, from SOA to SOA"),
    ("rbldnsd", "rbldnsd data: ip4set and ip6trie lines, or dnset"),
    ("list", "one subject a line"),
    ("cidr", "the fewest prefixes that cover the same addresses"),
];

/// Writes a zone. The error is the writer's, or names the formats that there are.
pub fn write(format: &str, snapshot: &Snapshot, zone: usize, out: &mut dyn Write) -> io::Result<()> {
    let view = &snapshot.zones.all()[zone];
    let serial = snapshot.serials.get(zone).map_or(view.spec.serial, |s| s.0);
    match format {
        "master" => master(snapshot, view, serial, out),
        "rbldnsd" => rbldnsd(snapshot, view, serial, out),
        "list" | "cidr" => list(snapshot, view, serial, format == "cidr", out),
        other => {
            let known = WRITERS.map(|w| w.0).join(", ");
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a zone can not be written as `{other}`; it is one of {known}")))
        }
    }
}

fn soa(view: &ZoneView, serial: u32) -> String {
    let s = &view.spec;
    let rname = s.contact.replacen('@', ".", 1);
    let ttl = view.ttls[0];
    format!(
        "@ {ttl} IN SOA {}. {rname}. {serial} {} {} {} {}\n",
        s.ns.first().map_or("", |n| n.trim_end_matches('.')),
        s.refresh.0,
        s.retry.0,
        s.expire.0,
        s.minimum().0
    )
}

fn master(snapshot: &Snapshot, view: &ZoneView, serial: u32, out: &mut dyn Write) -> io::Result<()> {
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
        for label in crate::index::find::labels_in(owner) {
            let _ = write!(name, "{}{}", if name.is_empty() { "" } else { "." }, String::from_utf8_lossy(label));
        }
        let name = if name.is_empty() { "@".to_string() } else { name };
        match at {
            Rendered::Fixed(f) => f.rrs.iter().for_each(|r| record(&mut text, &name, r)),
            Rendered::Blank => {
                let _ = writeln!(text, "{name} HINFO \"exempt\" \"\"");
            }
            Rendered::Listed(l) => listing(&mut text, &name, snapshot, view, &l),
        }
        result = out.write_all(text.as_bytes());
    });
    result?;
    out.write_all(soa.as_bytes())
}

fn listing(text: &mut String, name: &str, snapshot: &Snapshot, view: &ZoneView, l: &Listing) {
    let mut given = Vec::new();
    for p in view.publish.iter().filter(|p| l.item(p.reason).is_some()) {
        if !given.contains(&p.code) {
            let [a, b, c, d] = p.code;
            let _ = writeln!(text, "{name} A {a}.{b}.{c}.{d}");
            given.push(p.code);
        }
    }
    for (template, item) in crate::dns::answer::texts(snapshot, view, l) {
        let mut subject = String::new();
        let _ = l.write_subject(item, &mut subject);
        let data = crate::index::zones::txt_data(template, &subject);
        let _ = writeln!(text, "{name} TXT {}", quoted(&data[1..]));
    }
}

fn quoted(bytes: &[u8]) -> String {
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

fn record(text: &mut String, name: &str, r: &Rr) {
    let wire = |mut d: &[u8]| {
        let mut out = String::new();
        while let Some((len, rest)) = d.split_first().filter(|(len, _)| **len > 0) {
            let (label, tail) = rest.split_at(usize::from(*len).min(rest.len()));
            out += &format!("{}.", String::from_utf8_lossy(label));
            d = tail;
        }
        if out.is_empty() { ".".into() } else { out }
    };
    let (kind, data) = match (r.rtype, &r.data[..]) {
        (rtype::A, [a, b, c, d]) => ("A", format!("{a}.{b}.{c}.{d}")),
        (rtype::AAAA, d) => ("AAAA", d.try_into().map(|o: [u8; 16]| std::net::Ipv6Addr::from(o).to_string()).unwrap_or_default()),
        (rtype::NS, d) => ("NS", wire(d)),
        (rtype::MX, [a, b, host @ ..]) => ("MX", format!("{} {}", u16::from_be_bytes([*a, *b]), wire(host))),
        (rtype::CAA, [flags, len, rest @ ..]) => {
            let (tag, value) = rest.split_at(usize::from(*len).min(rest.len()));
            ("CAA", format!("{flags} {} {}", String::from_utf8_lossy(tag), quoted(value)))
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
        _ => return,
    };
    let _ = writeln!(text, "{name} {} {kind} {data}", r.ttl);
}

fn list(snapshot: &Snapshot, view: &ZoneView, serial: u32, joined: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {} serial {serial}", view.name)?;
    let mut result = Ok(());
    let cut = if joined { Cut::Fewest } else { Cut::Subjects };
    pieces(&snapshot.tables, view, cut, &mut |subject, items| {
        if result.is_ok() && !items.is_empty() {
            result = writeln!(out, "{subject}");
        }
    });
    result
}

/// rbldnsd data. Entries that answer the same stand under one default line; `$` in a text stands for the entry there too.
fn rbldnsd(snapshot: &Snapshot, view: &ZoneView, serial: u32, out: &mut dyn Write) -> io::Result<()> {
    let s = &view.spec;
    let ns: Vec<&str> = s.ns.iter().map(|n| n.trim_end_matches('.')).collect();
    let rname = s.contact.replacen('@', ".", 1);
    let kind = if s.kind == ZoneKind::Domain { "dnset" } else { "ip4set and ip6trie" };
    writeln!(out, "# {} serial {serial}: {kind} data", view.name)?;
    writeln!(
        out,
        "$SOA {} {} {rname} {serial} {} {} {} {}",
        s.ttl.0,
        ns.first().unwrap_or(&""),
        s.refresh.0,
        s.retry.0,
        s.expire.0,
        s.minimum().0
    )?;
    writeln!(out, "$NS {} {}\n$TTL {}", s.ttl.0, ns.join(" "), s.ttl.0)?;
    let mut result = Ok(());
    let mut last: Vec<String> = Vec::new();
    pieces(&snapshot.tables, view, Cut::Values, &mut |subject, items| {
        if result.is_err() {
            return;
        }
        if items.is_empty() {
            result = writeln!(out, "!{subject}");
            return;
        }
        let values = values(snapshot, view, items);
        result = match &values[..] {
            [one] => {
                let head = if last == values { Ok(()) } else { writeln!(out, "{one}") };
                head.and_then(|()| writeln!(out, "{}", entry(&subject)))
            }
            many => many.iter().try_for_each(|v| writeln!(out, "{} {v}", entry(&subject))),
        };
        if values.len() == 1 {
            last = values;
        }
    });
    result
}

/// A subject as rbldnsd writes it: IPv6 always with a length.
fn entry(subject: &Subject) -> String {
    match subject {
        Subject::V6(p) if p.is_host() => format!("{p}/128"),
        s => s.to_string(),
    }
}

/// The values of a piece: one for each code, with its text.
fn values(snapshot: &Snapshot, view: &ZoneView, items: &Items) -> Vec<String> {
    let l = Listing { own: items.as_slice(), cover: &[], at: Where::V4(0) };
    let mut out: Vec<String> = Vec::new();
    let first = view.spec.txt == TxtPolicy::First;
    for p in view.publish.iter() {
        let Some(item) = l.item(p.reason) else { continue };
        let own = snapshot.tables.interned.text(item.text);
        let text = if first && !out.is_empty() {
            ""
        } else if item.text == crate::index::values::TextId::NONE {
            &p.text
        } else {
            own
        };
        let [a, b, c, d] = p.code;
        let line = format!(":{a}.{b}.{c}.{d}:{text}");
        if !out.contains(&line) {
            out.push(line);
        }
    }
    out
}
