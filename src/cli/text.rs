//! Small helpers of commands.

use crate::model::text::check_line;

/// A note, a proof or a piece of evidence on the command line: one line of plain text.
pub(super) fn plain_line(text: &str) -> Result<String, String> {
    check_line(text).map(|()| text.to_string())
}

/// A word and a value, or nothing.
pub(super) fn some(before: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map_or(String::new(), |v| format!("{before}{v}"))
}
