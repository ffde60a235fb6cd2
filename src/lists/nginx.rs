//! `deny` rules of nginx.

use super::{Input, report::Omission, text::column_of};

/// Reads the statements of a line: `deny` lists; `allow` and other statements are left out.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.split('#').next().unwrap_or("");
    for statement in text.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        let column = column_of(line, statement);
        let (verb, subject) = statement
            .split_once(char::is_whitespace)
            .map_or((statement, ""), |(verb, subject)| (verb, subject.trim()));
        match (verb, subject) {
            ("deny" | "allow", "") => input.other_line(column, statement),
            ("deny", subject) if subject != "all" && !subject.starts_with("unix:") => {
                input.list_word(subject, column_of(line, subject))?;
            }
            ("allow", _) => input.leave_out(Omission::ExceptionRule, column, statement),
            _ => input.other_line(column, statement),
        }
    }
    Ok(())
}
