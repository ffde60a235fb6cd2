//! The reasons of a piece as a zone publishes them.

use super::{Export, ExportChangeKind, report::ReportBuilder, text_change::TextChange};
use crate::{
    index::{Items, Listing, Where, zones::txt_data},
    model::Subject,
};

/// One published reason of a piece.
pub(super) struct PublishedReason<'a> {
    /// Its name.
    pub reason: &'a str,
    /// The A record.
    pub code: [u8; 4],
    /// The text, printable, `$` filled in; empty for none.
    pub text: String,
    /// How the text differs from the text of the entry.
    pub change: TextChange,
}

/// The reasons of a piece, in the order of an answer. `$` is the listed subject, as in an answer,
/// or the piece if several subjects were merged.
pub(super) fn published_reasons<'e>(
    e: &Export<'e>,
    piece: &Subject,
    items: &Items,
) -> Vec<PublishedReason<'e>> {
    let mut wire = Vec::new();
    let (at, len) = match piece {
        Subject::V4(p) => (Where::V4(p.first()), p.len()),
        Subject::V6(p) => (Where::V6(p.first()), p.len()),
        Subject::Domain(d) => {
            for l in d.name().split('.') {
                wire.push(l.len() as u8);
                wire.extend(l.as_bytes());
            }
            (Where::Name(&wire), u8::MAX)
        }
    };
    let listing = Listing {
        own: items.as_slice(),
        cover: &[],
        at,
    };
    let published = e.view.publish.iter().zip(&e.view.spec.publish);
    let one = |(p, spec): (
        &crate::index::zones::Published,
        &'e crate::model::zone::Publish,
    )| {
        let item = listing.item(p.reason)?;
        let template = e
            .snapshot
            .tables
            .interned
            .own_text(item.text)
            .unwrap_or(&p.text);
        let mut listed = String::new();
        if item.len > len && !alone(piece) {
            listed = piece.to_string();
        } else {
            let _ = listing.write_subject(item, &mut listed);
        }
        let data = txt_data(template, &listed);
        let text = String::from_utf8_lossy(data.get(1..).unwrap_or(&[])).into_owned();
        Some(PublishedReason {
            reason: &spec.reason,
            code: p.code,
            text,
            change: TextChange::of(template, || listed.len()),
        })
    };
    published.filter_map(one).collect()
}

/// The text of a piece in formats with one text: the first that is not empty.
pub(super) fn text(e: &Export, report: &ReportBuilder, piece: &Subject, items: &Items) -> String {
    let mut texts = published_reasons(e, piece, items)
        .into_iter()
        .filter(|t| !t.text.is_empty());
    let Some(first) = texts.next() else {
        return format!("listed in {}", e.view.name);
    };
    report.add_text(first.change, piece);
    if texts.any(|t| t.text != first.text) {
        report.add(ExportChangeKind::FurtherReasons, piece);
    }
    first.text
}

/// Whether a piece is one address.
fn alone(piece: &Subject) -> bool {
    match piece {
        Subject::V4(p) => p.is_host(),
        Subject::V6(p) => p.is_host(),
        Subject::Domain(_) => false,
    }
}
