//! The reasons of a piece as a zone publishes them.

use super::{Export, ExportChangeKind, report::ReportBuilder, text_change::TextChange};
use crate::{
    index::{Items, Listing, Where, values::Item, zones::txt_data},
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

/// One reason of a piece, with its text before `$` is replaced.
pub(super) struct ListedReason<'a> {
    /// Its name.
    reason: &'a str,
    /// The A record.
    pub code: [u8; 4],
    item: Item,
    pub template: &'a str,
    /// The listed subject.
    pub listed: String,
}

/// The reasons of a piece, in the order of an answer.
pub(super) fn listed_reasons<'e>(
    e: &Export<'e>,
    piece: &Subject,
    items: &Items,
) -> Vec<ListedReason<'e>> {
    let mut wire = Vec::new();
    let at = match piece {
        Subject::V4(p) => Where::V4(p.first()),
        Subject::V6(p) => Where::V6(p.first()),
        Subject::Domain(d) => {
            for l in d.name().split('.') {
                wire.push(l.len() as u8);
                wire.extend(l.as_bytes());
            }
            Where::Name(&wire)
        }
    };
    let listing = Listing {
        own: items.as_slice(),
        cover: &[],
        at,
    };
    let interned = &e.snapshot.tables.interned;
    let reasons = e.view.publish.iter().filter_map(|p| {
        let item = listing.item(p.reason)?;
        Some(ListedReason {
            reason: &p.name,
            code: p.code,
            item,
            template: interned.own_text(item.text).unwrap_or(&p.text),
            listed: listed_subject(&listing, item),
        })
    });
    reasons.collect()
}

/// The listed subject of an item, as in the texts of answers.
pub(super) fn listed_subject(listing: &Listing, item: Item) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = listing.write_subject(item, &mut out);
    out
}

/// The reasons of a piece with their texts. `$` is the listed subject, as in an answer, or the
/// piece if several subjects were merged.
pub(super) fn published_reasons<'e>(
    e: &Export<'e>,
    piece: &Subject,
    items: &Items,
) -> Vec<PublishedReason<'e>> {
    let is_merged = |item: Item| match piece {
        Subject::V4(p) => item.len > p.len() && !p.is_host(),
        Subject::V6(p) => item.len > p.len() && !p.is_host(),
        Subject::Domain(_) => false,
    };
    let published = |r: ListedReason<'e>| {
        let listed = if is_merged(r.item) {
            piece.to_string()
        } else {
            r.listed
        };
        let data = txt_data(r.template, &listed);
        PublishedReason {
            reason: r.reason,
            code: r.code,
            text: String::from_utf8_lossy(data.get(1..).unwrap_or(&[])).into_owned(),
            change: TextChange::of(r.template, || listed.len()),
        }
    };
    listed_reasons(e, piece, items)
        .into_iter()
        .map(published)
        .collect()
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
