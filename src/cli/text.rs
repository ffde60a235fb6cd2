//! Small helpers for printing what the API answers.

use serde_json::Value;

use crate::model::text::check_line;

/// A string, or nothing.
pub(super) fn text(v: &Value) -> &str {
    v.as_str().unwrap_or("")
}

/// The items of a list, or none.
pub(super) fn list(v: &Value) -> impl Iterator<Item = &Value> {
    v.as_array().into_iter().flatten()
}

/// A note, a proof or a piece of evidence on the command line: one line of plain text.
pub(super) fn plain_line(text: &str) -> Result<String, String> {
    check_line(text).map(|()| text.to_string())
}
