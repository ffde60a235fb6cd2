//! One entry a line: IPsum, FireHOL netsets, Spamhaus DROP, DShield blocks, plain lists.

use super::{
    Input,
    entry::{self, EntryStart, starts_with_address},
    text::{column_of, is_digits},
};
use crate::model::Subject;

/// Reads a line of a plain list. `#` and `;` start comments; blanks, commas and `|` separate columns.
///
/// The second column changes the entry only if it is a length, a mask, or the end of a range. A
/// number after a range has to be its length or its count. After a name only numbers and dates are
/// ignored; other words are an error, because the line is most likely a sentence.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let (text, comment) = line.split_at(line.find(['#', ';']).unwrap_or(line.len()));
    input.note = case_number(comment).map(Into::into);
    entry_line(input, text)
}

/// A case number in a comment, as Spamhaus DROP has it: `SBL256894`.
pub(super) fn case_number(comment: &str) -> Option<&str> {
    let text = comment.trim_start_matches([';', '#', ' ', '\t']);
    let word = text.split_whitespace().next()?;
    word.strip_prefix("SBL")
        .is_some_and(is_digits)
        .then_some(word)
}

/// How many characters of a line an error shows.
const MAX_SHOWN: usize = 80;

/// Whether a character separates columns.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || c == ',' || c == '|'
}

/// Accepts the entry of a line without its comment.
pub(super) fn entry_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.trim_start_matches(is_separator);
    if text.is_empty() {
        return Ok(());
    }
    let column = column_of(line, text);
    match entry::first(text, &input.rules()) {
        Err(mut e) => {
            // Show the whole line, which may be a sentence.
            if text.trim_end().contains(char::is_whitespace) {
                let shown: String = text.trim_end().chars().take(MAX_SHOWN).collect();
                e.text = format!("{} (the line is `{shown}`)", e.text);
            }
            input.entry_problem(column, &e);
            Ok(())
        }
        Ok(entry) if columns(input, text, &entry, column) => {
            if entry.subjects.len() > 1 {
                input.report.range(&text[..entry.used], &entry.subjects);
            }
            input.take_entry(entry, false, None, None, column)
        }
        Ok(_) => Ok(()),
    }
}

/// Checks the columns after an entry; returns false if they make it an error.
fn columns(input: &mut Input, text: &str, entry: &EntryStart, start: usize) -> bool {
    let is_name = matches!(entry.subjects.first(), Some(Subject::Domain(_)));
    let first = if entry.last_column { 3 } else { 2 };
    let further = text[entry.used..]
        .split(is_separator)
        .filter(|w| !w.is_empty());
    for (number, word) in (first..).zip(further) {
        if let Some((class, what)) = column_error(entry, word, number, is_name) {
            let shown: String = text.chars().take(MAX_SHOWN).collect();
            let column = start - 1 + column_of(text, word);
            input.problem_of(class, column, &format!("`{}`: {what}", shown.trim_end()));
            return false;
        }
        if !(entry.last_column && number == 3) {
            input.report.unread_column(number, word);
        }
    }
    true
}

/// Why a further column makes a line an error; `None` if it does not.
fn column_error(
    entry: &EntryStart,
    word: &str,
    number: usize,
    is_name: bool,
) -> Option<(&'static str, String)> {
    if is_name && !is_number(word) && !is_date(word) {
        return Some((
            "words after a name",
            format!(
                "`{word}` follows a name; only numbers and dates may follow a name on its line"
            ),
        ));
    }
    if entry.last_column && number == 3 && is_number(word) {
        let length = match entry.subjects[..] {
            [Subject::V4(p)] => Some(u128::from(p.len())),
            [Subject::V6(p)] => Some(u128::from(p.len())),
            _ => None,
        };
        let count = entry::addresses(&entry.subjects);
        let number = word.parse::<u128>().ok();
        let fits = number.is_some() && (number == length || number == Some(count));
        let length = length.map_or(String::new(), |l| format!("/{l}, "));
        return (!fits).then(|| {
            (
                "columns that disagree",
                format!("column 3 is `{word}`, but the first two columns are {length}{count} addresses; correct the line"),
            )
        });
    }
    if word.strip_prefix('/').is_some_and(is_number) {
        return Some((
            "columns that disagree",
            format!(
                "the prefix has a length, and column {number} is another length, `{word}`; remove one of them"
            ),
        ));
    }
    starts_with_address(word).then(|| {
        (
            "a further address",
            format!("column {number} is another address, `{word}`; write one entry a line, or choose the column with --column N --format csv"),
        )
    })
}

/// Whether a word is a number, such as a score.
pub(super) fn is_number(word: &str) -> bool {
    let digits = word.trim_start_matches(['+', '-']).trim_end_matches('%');
    !digits.is_empty()
        && digits.matches('.').count() <= 1
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether a word is a date or a time in figures.
pub(super) fn is_date(word: &str) -> bool {
    let word = word.trim_end_matches("UTC");
    let written = word
        .bytes()
        .all(|b| b.is_ascii_digit() || b"-:/.TZ+".contains(&b));
    let figures = word.bytes().filter(u8::is_ascii_digit).count();
    written
        && figures >= 3
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.contains(['-', ':', '/'])
}
