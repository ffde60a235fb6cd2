//! One subject a line. The format has no exclusions, so a wildcard with exclusions below it is left
//! out; the file never lists more than the zone.

use std::io::{self, Write};

use super::{Export, ExportChangeKind, names::names, report::ReportBuilder};
use crate::{
    index::prefix_cover::CoverMode,
    lists::text::is_below,
    model::{Domain, Scope, ZoneKind},
};

pub(super) fn list(
    e: &Export,
    mode: CoverMode,
    report: &ReportBuilder,
    out: &mut dyn Write,
) -> io::Result<()> {
    if e.view.spec.kind != ZoneKind::Domain {
        return e.prefix_cover(
            mode,
            Some(report),
            &mut |subject, items| match items.is_empty() {
                true => Ok(()),
                false => writeln!(out, "{subject}"),
            },
        );
    }
    e.prefix_cover(mode, Some(report), &mut |address, _| {
        writeln!(out, "{address}")
    })?;
    let excluded = e.long_exclusions();
    let mut lines = Lines {
        report,
        out,
        excluded: &excluded,
        open: Vec::new(),
    };
    names(e, &mut |domain, items| lines.add(domain, items.is_empty()))?;
    lines.close(None)
}

/// Writes the names. A wildcard is written after the names below it, when it is known whether there
/// are exclusions.
struct Lines<'l> {
    report: &'l ReportBuilder,
    out: &'l mut dyn Write,
    /// Exclusions that are too long for the zone, so that they are not among its names.
    excluded: &'l [String],
    /// The listed wildcards above the current name, and whether there are exclusions below them.
    open: Vec<(Domain, bool)>,
}

impl Lines<'_> {
    fn add(&mut self, domain: &Domain, excluded: bool) -> io::Result<()> {
        self.close(Some(domain.name()))?;
        match (excluded, domain.scope()) {
            (true, _) => self
                .open
                .iter_mut()
                .filter(|(above, _)| is_below(domain.name(), above.name()))
                .for_each(|o| o.1 = true),
            (false, Scope::Below) => self.open.push((domain.clone(), false)),
            (false, _) => writeln!(self.out, "{domain}")?,
        }
        Ok(())
    }

    /// Writes the wildcards that the next name is not below; all of them if there is no further
    /// name.
    fn close(&mut self, name: Option<&str>) -> io::Result<()> {
        while let Some((wildcard, excluded)) = self
            .open
            .pop_if(|(above, _)| name.is_none_or(|n| !is_below(n, above.name())))
        {
            if excluded || self.excluded.iter().any(|n| is_below(n, wildcard.name())) {
                self.report
                    .add(ExportChangeKind::WildcardWithExclusions, &wildcard);
            } else {
                writeln!(self.out, "{wildcard}")?;
            }
        }
        Ok(())
    }
}
