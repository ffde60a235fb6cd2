//! Postfix cidr tables (cidr_table(5)): a pattern and an action.

use super::{
    Input,
    report::Omission,
    text::{is_digits, words},
};

/// Actions of access(5), by which a cidr table is recognised.
pub(super) const ACTIONS: [&str; 13] = [
    "REJECT",
    "DISCARD",
    "DEFER",
    "DEFER_IF_REJECT",
    "DEFER_IF_PERMIT",
    "HOLD",
    "OK",
    "DUNNO",
    "PERMIT",
    "WARN",
    "FILTER",
    "REDIRECT",
    "PREPEND",
];

/// Whether a word is a reply code that rejects.
pub(super) fn is_reply_code(word: &str) -> bool {
    word.len() == 3 && word.starts_with(['4', '5']) && is_digits(word)
}

/// Reads a line of a table: lists a pattern that is rejected, discarded, deferred or held. Leaves
/// out patterns with other actions.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    // A line that starts with a blank continues the previous one.
    if line.starts_with([' ', '\t']) {
        return Ok(());
    }
    let words: Vec<(usize, &str)> = words(line).take(2).collect();
    match words[..] {
        [(_, "if" | "endif"), ..] => input.leave_out(Omission::OtherLine, 1, line.trim()),
        [(column, pattern), (_, action)] if !pattern.starts_with('!') => {
            let action = action.to_ascii_uppercase();
            if is_reply_code(&action)
                || matches!(&*action, "REJECT" | "DISCARD" | "HOLD")
                || action.starts_with("DEFER")
            {
                input.list_word(pattern, column)?;
            } else {
                input.leave_out(Omission::ExceptionRule, column, line.trim());
            }
        }
        [(column, pattern)] => input.problem_of(
            "a pattern without an action",
            column,
            &format!("`{pattern}` has no action; a line is written PATTERN ACTION"),
        ),
        _ => input.leave_out(Omission::OtherLine, 1, line.trim()),
    }
    Ok(())
}
