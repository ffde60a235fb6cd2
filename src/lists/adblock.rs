//! Browser filter lists (Adblock Plus, uBlock Origin, AdGuard). Only rules of the form `||name^`
//! apply to a whole name.

use super::{Input, entry, report::Omission};

/// Reads a filter list: `||name^` lists the name and all names below it. Leaves out exceptions,
/// rules with options, and rules about pages, paths and patterns.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let rule = line.trim();
        let column = line.len() - line.trim_start().len() + 1;
        let comment = rule.starts_with('!')
            || (rule.starts_with('#') && !rule.starts_with("##") && !rule.starts_with("#@#"));
        if rule.is_empty() || comment || (rule.starts_with('[') && rule.ends_with(']')) {
            continue;
        }
        let kind = match rule.strip_prefix("||").map(|r| r.split_once('^')) {
            _ if rule.starts_with("@@") => Omission::ExceptionRule,
            Some(Some((name, ""))) if !name.contains(['*', '/', '|']) => {
                let dot = if entry::is_address_form(name) {
                    ""
                } else {
                    "."
                };
                input.list_word(&format!("{dot}{name}"), column + 2)?;
                continue;
            }
            Some(Some((_, options))) if options.starts_with('$') => Omission::RuleWithOptions,
            _ => Omission::PageRule,
        };
        input.leave_out(kind, column, rule);
    }
    Ok(())
}
