//! Two sets for `ipset restore`: new sets are filled and swapped with those in use, so that each
//! packet is matched against the old set or the new one. A restore stops at the first line that
//! fails, and the old set then stays in use.

use std::io::{self, Write};

use super::{Export, report::ReportBuilder, set_name};
use crate::model::Subject;

/// The longest name of a set, in bytes (IPSET_MAXNAMELEN without the final NUL).
const MAX_NAME: usize = 31;
/// The longest suffix that is added to a zone's name.
const SUFFIX: usize = "_v4_new".len();
/// The most prefixes of a set. It has to be the same in every file; otherwise ipset refuses to
/// create the existing set again.
const MAX_ELEMENTS: u32 = 1 << 30;

pub(super) fn ipset(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    let name = short(set_name(e.view));
    let head = |out: &mut dyn Write, family: &str, kind: &str| {
        for set in [format!("{name}_{family}"), format!("{name}_{family}_new")] {
            writeln!(
                out,
                "create -exist {set} hash:net family {kind} maxelem {MAX_ELEMENTS}"
            )?;
        }
        writeln!(out, "flush {name}_{family}_new")
    };
    let swap = |out: &mut dyn Write, family: &str| {
        let new = format!("{name}_{family}_new");
        writeln!(out, "swap {new} {name}_{family}\ndestroy {new}")
    };
    let mut family = "v4";
    head(out, "v4", "inet")?;
    let start_ipv6 = |out: &mut dyn Write| swap(out, "v4").and_then(|()| head(out, "v6", "inet6"));
    e.prefixes(report, &mut |prefix| {
        if matches!(prefix, Subject::V6(_)) && family == "v4" {
            family = "v6";
            start_ipv6(out)?;
        }
        writeln!(out, "add {name}_{family}_new {prefix}")
    })?;
    if family == "v4" {
        start_ipv6(out)?;
    }
    swap(out, "v6")
}

/// Shortens a name: the end of a long name is replaced by a hash (FNV-1a), so that different names
/// stay different.
fn short(name: String) -> String {
    if name.len() + SUFFIX <= MAX_NAME {
        return name;
    }
    let hash = name.bytes().fold(0x811c_9dc5u32, |h, b| {
        (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
    });
    format!("{}_{hash:08x}", &name[..MAX_NAME - SUFFIX - 9])
}
