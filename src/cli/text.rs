//! Text helpers of commands.

use crate::model::text::check_line;

/// Parses a note, a proof or evidence: one line of plain text.
pub(super) fn plain_line(text: &str) -> Result<String, String> {
    check_line(text).map(|()| text.to_string())
}

/// A prefix and a value, or an empty text.
pub(super) fn some(before: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map_or(String::new(), |v| format!("{before}{v}"))
}
