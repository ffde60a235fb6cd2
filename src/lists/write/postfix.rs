//! A Postfix cidr table (cidr_table(5)), for `check_client_access cidr:FILE`.
//!
//! In Postfix the first pattern that matches decides. The prefixes are disjoint, so their order
//! does not matter, and an exclusion needs no line. The format has no names; access(5) tables
//! cannot be used instead, because Postfix by default applies their names to all names below them
//! too.

use std::io::{self, Write};

use super::{Export, published::text, report::ReportBuilder};
use crate::index::prefix_cover::CoverMode;

pub(super) fn postfix(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    e.prefix_cover(CoverMode::Values, Some(report), &mut |piece, items| {
        writeln!(out, "{piece} REJECT {}", text(e, report, piece, items))
    })
}
