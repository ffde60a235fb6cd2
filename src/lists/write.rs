//! Exports of zones: as a master file, as rbldnsd data, as lists, and in the formats of firewalls,
//! resolvers and mail servers.
//!
//! Every file starts with a line that names the zone, its serial and the format, so that a reader
//! can check whether the file is current. Files for firewalls and policies contain only listings:
//! test points (RFC 5782 section 5) are for clients of a list, and 127.0.0.2 does not belong in a
//! packet filter.
//!
//! Some formats cannot express everything that a zone lists. An [`ExportReport`] counts by kind
//! what an export leaves out or changes. A file never lists more than the zone, with one exception
//! that the report counts: exclusions that are too long for a policy zone.

mod entries;
mod ipset;
mod jsonl;
pub mod limits;
pub mod lines;
mod list;
mod master;
mod names;
mod nftables;
mod postfix;
mod published;
mod rbldnsd;
mod report;
mod rpz;
#[cfg(test)]
mod tests;
mod text_change;

use std::io::{self, Write};

pub use report::{ExportChange, ExportChangeKind, ExportReport, MAX_EXAMPLES};

use super::text::label;
use crate::{
    index::{
        Items, Listing, Snapshot, ZoneView,
        listing::labels_in,
        prefix_cover::{CoverMode, OnReshaped, Reshaping, address_cover, prefix_cover_reshaped},
        render::{self, Rendered, render_while, too_long},
        values::Item,
    },
    model::{Domain, Scope, Subject, ZoneKind},
};
use report::ReportBuilder;

/// A format of exports.
pub struct Writer {
    /// Its name on the command line.
    pub name: &'static str,
    /// A short description.
    pub what: &'static str,
    /// The start of a comment; empty if the first line is not a comment.
    comment: &'static str,
    /// Whether it is only for addresses.
    addresses: bool,
    /// Writes the file after its first line.
    write: fn(&Export, &ReportBuilder, &mut dyn Write) -> io::Result<()>,
}

/// All formats of exports.
pub const WRITERS: [Writer; 10] = [
    Writer {
        name: "master",
        what: "a master file that name servers load",
        comment: ";",
        addresses: false,
        write: master::master,
    },
    Writer {
        name: "rbldnsd",
        what: "rbldnsd data: a combined file of ip4set and ip6trie, or a dnset",
        comment: "#",
        addresses: false,
        write: rbldnsd::rbldnsd,
    },
    Writer {
        name: "list",
        what: "one subject a line",
        comment: "#",
        addresses: false,
        write: |e, report, out| list::list(e, CoverMode::Subjects, report, out),
    },
    Writer {
        name: "cidr",
        what: "the fewest prefixes that cover the same addresses",
        comment: "#",
        addresses: false,
        write: |e, report, out| list::list(e, CoverMode::Fewest, report, out),
    },
    Writer {
        name: "jsonl",
        what: "JSON lines: a subject with its reasons, codes and texts",
        comment: "",
        addresses: false,
        write: jsonl::jsonl,
    },
    Writer {
        name: "rpz",
        what: "a response policy zone for resolvers",
        comment: ";",
        addresses: false,
        write: rpz::rpz,
    },
    Writer {
        name: "postfix",
        what: "a cidr table for Postfix's check_client_access",
        comment: "#",
        addresses: true,
        write: postfix::postfix,
    },
    Writer {
        name: "nftables",
        what: "two sets for nft -f, replaced at once",
        comment: "#",
        addresses: true,
        write: nftables::nftables,
    },
    Writer {
        name: "nsd",
        what: "an include file for NSD with the zones of a catalog, each with the pattern `orbsd`",
        comment: "#",
        addresses: false,
        write: nsd,
    },
    Writer {
        name: "ipset",
        what: "two sets for ipset restore, swapped in",
        comment: "#",
        addresses: true,
        write: ipset::ipset,
    },
];

/// Writes an include file for NSD before 4.9, which has no catalog zones: it has the same members.
/// The settings of each zone are in the pattern `orbsd`.
fn nsd(export: &Export, _: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    let zones = export.snapshot.zones.all().iter();
    zones
        .filter(|z| z.spec.kind != ZoneKind::Catalog && !z.spec.is_volatile())
        .try_for_each(|z| {
            let name = &z.name;
            writeln!(
                out,
                "zone:\n    name: \"{name}\"\n    include-pattern: \"orbsd\""
            )
        })
}

/// The names of all formats, for messages.
pub fn format_names() -> String {
    WRITERS.each_ref().map(|w| w.name).join(", ")
}

/// An export of a zone.
pub struct Export<'a> {
    snapshot: &'a Snapshot,
    view: &'a ZoneView,
    /// The serial that the zone has in the snapshot.
    pub serial: u32,
    /// The action of a policy zone (`rpz`); empty for the default.
    action: &'a str,
    writer: &'static Writer,
}

impl<'a> Export<'a> {
    /// Creates an export of a zone (by its number in the snapshot). `action` is only for `rpz`; see
    /// [`check`].
    pub fn new(
        format: &str,
        action: &'a str,
        snapshot: &'a Snapshot,
        zone: usize,
    ) -> Result<Export<'a>, String> {
        let view = &snapshot.zones.all()[zone];
        let writer = check(format, action, view.spec.kind)?;
        let serial = snapshot.serials.get(zone).map_or(view.spec.serial, |s| s.0);
        Ok(Export {
            snapshot,
            view,
            serial,
            action,
            writer,
        })
    }

    /// The first line of the file, without its line end. A file that starts with this line is
    /// current.
    pub fn first_line(&self) -> String {
        let (name, format, serial) = (&self.view.name, self.writer.name, self.serial);
        if self.writer.comment.is_empty() {
            return jsonl::first_line(self);
        }
        let line = format!(
            "{} {name} serial {serial} as {format} {}",
            self.writer.comment, self.action
        );
        line.trim_end().into()
    }

    /// Writes the export as a stream, and returns what the file leaves out or changes.
    ///
    /// # Errors
    ///
    /// Writing to `out` failed.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<ExportReport> {
        let report = ReportBuilder::default();
        writeln!(out, "{}", self.first_line())?;
        self.long_names(&report);
        (self.writer.write)(self, &report, out)?;
        Ok(report.finish())
    }

    /// The report alone, without a file.
    pub fn report(&self) -> ExportReport {
        // Writing to a sink cannot fail.
        self.write(&mut io::sink()).unwrap_or_default()
    }

    /// Counts the names that are too long to be queried; no format contains them.
    fn long_names(&self, report: &ReportBuilder) {
        too_long(&self.snapshot.tables, self.view, &mut |name| {
            let scope = match (name.own && !name.fits, name.below) {
                (true, true) => Scope::Tree,
                (true, false) => Scope::Name,
                (false, true) => Scope::Below,
                (false, false) => return,
            };
            report.add(
                ExportChangeKind::NameTooLong,
                Domain::from_canonical(&text_of(name.labels), scope),
            );
        });
    }

    /// The names that are excluded from a wildcard above them and are too long for the zone, so
    /// that the rendered zone does not contain them.
    fn long_exclusions(&self) -> Vec<String> {
        let mut out = Vec::new();
        too_long(&self.snapshot.tables, self.view, &mut |name| {
            if name.excluded {
                out.push(text_of(name.labels));
            }
        });
        out
    }

    /// An item of a listing whose code is also that of another of its reasons.
    fn one_code(&self, listing: &Listing) -> Option<Item> {
        let mut codes = Vec::new();
        self.view.publish.iter().find_map(|p| {
            let item = listing.item(p.reason)?;
            let is_shared = codes.contains(&p.code);
            codes.push(p.code);
            is_shared.then_some(item)
        })
    }

    /// Renders the zone until the sink fails.
    fn render(&self, sink: &mut dyn FnMut(&[u8], Rendered) -> io::Result<()>) -> io::Result<()> {
        let mut result = Ok(());
        render_while(&self.snapshot.tables, self.view, &mut |owner, rendered| {
            result = sink(owner, rendered);
            result.is_ok()
        });
        result
    }

    /// Renders the names of the zone, without its addresses and static names, until the sink fails.
    fn render_names(
        &self,
        sink: &mut dyn FnMut(&[u8], Rendered) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        render::names(&self.snapshot.tables, self.view, &mut |owner, rendered| {
            result = sink(owner, rendered);
            result.is_ok()
        });
        result
    }

    /// Visits the fewest disjoint prefixes that cover exactly the listed addresses: IPv4, then
    /// IPv6.
    fn prefixes(
        &self,
        report: &ReportBuilder,
        sink: &mut dyn FnMut(&Subject) -> io::Result<()>,
    ) -> io::Result<()> {
        self.prefix_cover(CoverMode::Fewest, Some(report), &mut |prefix, _| {
            sink(prefix)
        })
    }

    /// Visits the pieces of the zone until the sink fails; of a domain zone only the addresses, since
    /// [`names::names`] has the names. Counts in the report the listed prefixes
    /// that are merged or split.
    fn prefix_cover(
        &self,
        mode: CoverMode,
        report: Option<&ReportBuilder>,
        sink: &mut dyn FnMut(&Subject, &Items) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        let mut reshaped = |shape: Reshaping, subject: Subject| {
            let kind = match shape {
                Reshaping::Merged => ExportChangeKind::Merged,
                Reshaping::Split => ExportChangeKind::Split,
            };
            if let Some(report) = report {
                report.add(kind, subject);
            }
        };
        let reshaped: Option<OnReshaped> = match report {
            Some(_) => Some(&mut reshaped),
            None => None,
        };
        let cover = match self.view.spec.kind {
            ZoneKind::Domain => address_cover,
            _ => prefix_cover_reshaped,
        };
        let mut sink = |subject: Subject, items: &Items| {
            if result.is_ok() {
                result = sink(&subject, items);
            }
        };
        if self.view.has_ip4 || self.view.spec.kind != ZoneKind::Domain {
            cover(&self.snapshot.tables, self.view, mode, reshaped, &mut sink);
        }
        result
    }
}

/// Labels in wire form as text. The labels of listed names are letters, digits, `-` and `_`.
fn text_of(labels: &[u8]) -> String {
    let labels: Vec<&str> = labels_in(labels)
        .map(|l| std::str::from_utf8(l).unwrap_or("?"))
        .collect();
    labels.join(".")
}

/// The labels of an owner as in a master file.
fn escaped_labels(owner: &[u8]) -> Vec<String> {
    labels_in(owner).map(label).collect()
}

/// Checks whether a zone of a kind can be written in a format, with an action.
///
/// # Errors
///
/// It cannot; the message names the formats or actions that are possible.
pub fn check(format: &str, action: &str, kind: ZoneKind) -> Result<&'static Writer, String> {
    let Some(writer) = WRITERS.iter().find(|w| w.name == format) else {
        return Err(format!(
            "`{format}` is not an export format; the formats are {}",
            format_names()
        ));
    };
    match (kind == ZoneKind::Catalog, format) {
        (true, "master" | "nsd") => {}
        (true, _) => {
            return Err(format!(
                "a catalog is written as master or nsd, not as {format}"
            ));
        }
        (false, "nsd") => return Err("the format nsd is only for catalog zones".into()),
        (false, _) => {}
    }
    if writer.addresses && kind != ZoneKind::Address {
        let fits = |w: &&Writer| {
            !w.addresses && w.name != "nsd" && !(kind == ZoneKind::Hash && w.name == "rpz")
        };
        let fit: Vec<&str> = WRITERS.iter().filter(fits).map(|w| w.name).collect();
        return Err(format!(
            "the format {format} is only for addresses, and this zone has names; formats for names are {}",
            fit.join(", ")
        ));
    }
    if kind == ZoneKind::Hash && format == "rpz" {
        return Err(
            "a hash zone has digests, but a policy zone needs names or addresses; export it as master, rbldnsd, list or jsonl".into(),
        );
    }
    match (format, action) {
        ("rpz", action) => rpz::Action::parse(action).map(|_| writer),
        (_, "") => Ok(writer),
        _ => Err(format!("the format {format} has no actions; only rpz has")),
    }
}

/// The name of a set, from the zone's short name: letters, digits, `_` and `-`, a letter first.
fn set_name(view: &ZoneView) -> String {
    let short = match view.spec.short_name.as_str() {
        "" => &*view.name,
        short => short,
    };
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    let name = short.replace(is_other, "_");
    let prefix = if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        ""
    } else {
        "z"
    };
    format!("{prefix}{name}")
}
