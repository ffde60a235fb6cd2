//! `deny` rules of nginx.

use super::{Input, report::Omission};

/// Reads rules: `deny` lists; `allow` and other statements are left out.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split('#').next().unwrap_or("");
        for statement in text.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            let column = line.find(statement).map_or(1, |i| i + 1);
            match statement
                .split_once(char::is_whitespace)
                .map(|(verb, what)| (verb, what.trim()))
            {
                Some(("deny", what)) if what != "all" && !what.starts_with("unix:") => {
                    input.take_word(
                        what,
                        false,
                        None,
                        None,
                        column + statement.len() - what.len(),
                    )?;
                }
                Some(("allow", _)) => input.leave_out(Omission::ExceptionRule, column, statement),
                _ => input.other_line(column, statement),
            }
        }
    }
    Ok(())
}
