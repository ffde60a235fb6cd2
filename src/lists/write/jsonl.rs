//! JSON lines: first an object that describes the file, then one object for each subject with its
//! reasons as in DNS answers.
//!
//! In a domain zone the most specific subject decides; a subject without reasons is an exclusion
//! below a listed wildcard.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{
    Export, ExportChangeKind, names::names, published::published_reasons, report::ReportBuilder,
};
use crate::{
    index::{Items, prefix_cover::CoverMode},
    model::{Prefix4, Prefix6, Subject},
};

/// The first line.
pub(super) fn first_line(e: &Export) -> String {
    json!({"zone": e.view.name, "serial": e.serial, "format": "jsonl", "kind": e.view.spec.kind})
        .to_string()
}

pub(super) fn jsonl(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    if e.view.has_ip4 {
        let reshaped = ReportBuilder::default();
        e.prefix_cover(CoverMode::Values, Some(&reshaped), &mut |piece, items| {
            parts(piece, items, &mut |part| line(e, report, part, items, out))
        })?;
        // Merged subjects are separate lines again, so only splits are reported.
        report.take(&reshaped, ExportChangeKind::Split);
    }
    if !e.view.spec.has_names() {
        return Ok(());
    }
    names(e, &mut |name, items| {
        line(e, report, &Subject::Domain(name.clone()), items, out)
    })
}

fn line(
    e: &Export,
    report: &ReportBuilder,
    subject: &Subject,
    items: &Items,
    out: &mut dyn Write,
) -> io::Result<()> {
    let reason = |s: super::published::PublishedReason| {
        report.add_text(s.change, subject);
        json!({"reason": s.reason, "code": std::net::Ipv4Addr::from(s.code).to_string(), "text": s.text})
    };
    let reasons: Vec<Value> = published_reasons(e, subject, items)
        .into_iter()
        .map(reason)
        .collect();
    writeln!(
        out,
        "{}",
        json!({"subject": subject.to_string(), "reasons": reasons})
    )
}

/// Splits a piece into its listed subjects if several were merged, because each has its own text.
/// There are never more lines than listings.
fn parts(
    piece: &Subject,
    items: &Items,
    sink: &mut dyn FnMut(&Subject) -> io::Result<()>,
) -> io::Result<()> {
    let longest = items.as_slice().iter().map(|i| i.len).max().unwrap_or(0);
    match piece {
        Subject::V4(p) if longest > p.len() => {
            let len = longest.min(Prefix4::BITS);
            let mut at = Some(p.first());
            while let Some(first) = at.filter(|a| *a <= p.last()) {
                let part = Prefix4::new(first, len);
                sink(&Subject::V4(part))?;
                at = part.last().checked_add(1);
            }
            Ok(())
        }
        Subject::V6(p) if (p.len() + 1..=Prefix6::BITS).contains(&longest) => {
            let mut at = Some(p.first());
            while let Some(first) = at.filter(|a| *a <= p.last()) {
                let part = Prefix6::new(first, longest);
                sink(&Subject::V6(part))?;
                at = part.last().checked_add(1);
            }
            Ok(())
        }
        whole => sink(whole),
    }
}
