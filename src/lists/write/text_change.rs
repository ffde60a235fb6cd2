//! How a text in an exported file differs from the text of the entry.

use crate::{index::zones::MAX_NAME, model::verdict::MAX_TEXT};

/// How a text in a file differs from the text of the entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TextChange {
    /// `?` replaces bytes that are not printable.
    pub replaced: bool,
    /// It is truncated.
    pub cut: bool,
    /// Blanks at its start or end are lost.
    pub trimmed: bool,
}

impl TextChange {
    /// The change of a text in which `$` is replaced by a subject of `subject` bytes.
    pub(super) fn of(template: &str, subject: impl FnOnce() -> usize) -> TextChange {
        let replaced = template.bytes().any(|b| !(32..127).contains(&b));
        // No substituted text is longer than a name.
        let dollars = template.bytes().filter(|b| *b == b'$').count();
        let cut = template.len() + dollars * MAX_NAME > MAX_TEXT && {
            let literal = template.matches("$$").count();
            template.len() - literal + (dollars - 2 * literal) * subject() - (dollars - 2 * literal)
                > MAX_TEXT
        };
        TextChange {
            replaced,
            cut,
            trimmed: false,
        }
    }
}
