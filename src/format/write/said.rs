//! What is said of a piece: its reasons as a zone publishes them.

use super::Export;
use crate::{
    index::{Items, Listing, Where, values::TextId, zones::txt_data},
    model::Subject,
};

/// One published reason of a piece.
pub(super) struct Said<'a> {
    /// Its name.
    pub reason: &'a str,
    /// The A record.
    pub code: [u8; 4],
    /// The text, printable, `$` filled in; empty for none.
    pub text: String,
}

/// What is said of a piece, in the order of the answer. `$` is what is listed, as in an answer; or the piece, where several
/// that are listed have become one.
pub(super) fn said<'e>(e: &Export<'e>, piece: &Subject, items: &Items) -> Vec<Said<'e>> {
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
    let listing = Listing { own: items.as_slice(), cover: &[], at };
    let published = e.view.publish.iter().zip(&e.view.spec.publish);
    let one = |(p, spec): (&crate::index::zones::Published, &'e crate::model::zone::Publish)| {
        let item = listing.item(p.reason)?;
        let template = if item.text == TextId::NONE { &p.text } else { e.snapshot.tables.interned.text(item.text) };
        let mut listed = String::new();
        if item.len > len && !alone(piece) {
            listed = piece.to_string();
        } else {
            let _ = listing.write_subject(item, &mut listed);
        }
        let data = txt_data(template, &listed);
        let text = String::from_utf8_lossy(data.get(1..).unwrap_or(&[])).into_owned();
        Some(Said { reason: &spec.reason, code: p.code, text })
    };
    published.filter_map(one).collect()
}

/// The text that a mail server shows for a piece: the first that is not empty.
pub(super) fn text(e: &Export, piece: &Subject, items: &Items) -> String {
    let first = said(e, piece, items).into_iter().map(|s| s.text).find(|t| !t.is_empty());
    first.unwrap_or_else(|| format!("listed in {}", e.view.name))
}

/// Whether a piece is one address.
fn alone(piece: &Subject) -> bool {
    match piece {
        Subject::V4(p) => p.is_host(),
        Subject::V6(p) => p.is_host(),
        Subject::Domain(_) => false,
    }
}
