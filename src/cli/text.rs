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

/// The values, separated by commas.
pub(super) fn join<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = values.into_iter().map(|v| v.to_string()).collect();
    texts.join(", ")
}

/// The commit, and the command that undoes it.
pub(super) fn print_commit(commit: u64) {
    println!("commit {commit}; to undo it: orbsd undo {commit}");
}
