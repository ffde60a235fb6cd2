//! Two sets for `ipset restore`: new sets are filled and swapped with those in use, so that each
//! packet is matched against the old set or the new one. A restore stops at the first line that
//! fails, and the old set then stays in use.

use std::io::{self, Write};

use super::{Export, Net, report::ReportBuilder, set_name};

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
        writeln!(
            out,
            "swap {name}_{family}_new {name}_{family}\ndestroy {name}_{family}_new"
        )
    };
    let mut six = false;
    head(out, "v4", "inet")?;
    e.prefixes(report, &mut |net| {
        if matches!(net, Net::V6(_)) && !six {
            six = true;
            swap(out, "v4")?;
            head(out, "v6", "inet6")?;
        }
        writeln!(out, "add {name}_v{}_new {net}", if six { 6 } else { 4 })
    })?;
    if !six {
        swap(out, "v4")?;
        head(out, "v6", "inet6")?;
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
