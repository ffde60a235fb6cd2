//! Zones out: as a master file, as rbldnsd data, as lists.

mod master;
mod rbldnsd;

use std::io::{self, Write};

use crate::index::{
    Snapshot, ZoneView,
    pieces::{Cut, pieces},
};

/// The formats that a zone can be written in.
pub const WRITERS: [(&str, &str); 4] = [
    ("master", "a master file, from SOA to SOA"),
    ("rbldnsd", "rbldnsd data: a combined file of ip4set and ip6trie, or a dnset"),
    ("list", "one subject a line"),
    ("cidr", "the fewest prefixes that cover the same addresses"),
];

/// Writes a zone. The error is the writer's, or names the formats that there are.
pub fn write(format: &str, snapshot: &Snapshot, zone: usize, out: &mut dyn Write) -> io::Result<()> {
    let view = &snapshot.zones.all()[zone];
    let serial = snapshot.serials.get(zone).map_or(view.spec.serial, |s| s.0);
    match format {
        "master" => master::master(snapshot, view, serial, out),
        "rbldnsd" => rbldnsd::rbldnsd(snapshot, view, serial, out),
        "list" | "cidr" => list(snapshot, view, serial, format == "cidr", out),
        other => {
            let known = WRITERS.map(|w| w.0).join(", ");
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a zone can not be written as `{other}`; it is one of {known}")))
        }
    }
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
