//! Two sets for `nft -f`. One transaction creates them if they are missing, and empties and fills
//! them, so that each packet is matched against the old set or the new one.

use std::io::{self, Write};

use super::{Export, report::ReportBuilder, set_name};
use crate::model::Subject;

/// The table of the sets.
const TABLE: &str = "inet orbsd";

pub(super) fn nftables(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    let name = set_name(e.view);
    writeln!(
        out,
        "# In a chain of this table: ip saddr @{name}_v4 drop; ip6 saddr @{name}_v6 drop"
    )?;
    writeln!(out, "table {TABLE} {{")?;
    writeln!(out, "\tset {name}_v4 {{ type ipv4_addr; flags interval; }}")?;
    writeln!(out, "\tset {name}_v6 {{ type ipv6_addr; flags interval; }}")?;
    writeln!(
        out,
        "}}\nflush set {TABLE} {name}_v4\nflush set {TABLE} {name}_v6"
    )?;
    // One command for each set, because nft sorts the intervals of a set again after every command.
    // An empty command is an error, so it is written with the first element.
    let mut open = "";
    e.prefixes(report, &mut |prefix| {
        let family = if matches!(prefix, Subject::V4(_)) {
            "v4"
        } else {
            "v6"
        };
        if open != family {
            let end = if open.is_empty() { "" } else { "}\n" };
            writeln!(out, "{end}add element {TABLE} {name}_{family} {{")?;
            open = family;
        }
        writeln!(out, "{prefix},")
    })?;
    match open {
        "" => Ok(()),
        _ => writeln!(out, "}}"),
    }
}
