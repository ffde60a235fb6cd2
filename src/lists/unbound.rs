//! Names that an unbound configuration blocks: `local-zone:` and `local-data:`.

use super::{Input, recognise::is_sinkhole, report::Omission};

/// Types of local zones that block their names.
const BLOCKING: [&str; 11] = [
    "deny",
    "refuse",
    "static",
    "redirect",
    "inform_deny",
    "inform_redirect",
    "always_refuse",
    "always_nxdomain",
    "always_nodata",
    "always_null",
    "always_deny",
];

/// Reads a configuration: lists the name of a blocking zone and all names below it, and the name of
/// data with an unroutable address. Leaves out other lines.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split('#').next().unwrap_or("").trim();
        if text.is_empty() {
            continue;
        }
        if text.matches('"').count() % 2 == 1 {
            input.problem_of(
                "a quote that is not closed",
                1,
                &format!("`{text}`: a quote is not closed"),
            );
            continue;
        }
        let (key, value) = text
            .split_once(':')
            .map_or((text, ""), |(k, v)| (k.trim(), v.trim()));
        let words: Vec<&str> = value
            .split(|c: char| c.is_whitespace() || "\"'".contains(c))
            .filter(|w| !w.is_empty())
            .collect();
        let name = words.first().copied().unwrap_or("");
        let column = line.find(name).map_or(1, |i| i + 1);
        match (key, &words[..]) {
            ("local-zone", [name, kind, ..]) if BLOCKING.contains(kind) => {
                input.take_word(
                    &format!(".{}", name.trim_start_matches('.')),
                    false,
                    None,
                    None,
                    column,
                )?;
            }
            ("local-zone", [_]) => {
                input.problem_of(
                    "a local zone without a type",
                    column,
                    &format!("`{name}`: the type of the local zone is missing"),
                );
            }
            ("local-zone", _) => input.leave_out(Omission::ExceptionRule, column, text),
            ("local-data", [name, .., kind, address])
                if matches!(*kind, "A" | "AAAA") && is_sinkhole(address) =>
            {
                input.take_word(name, false, None, None, column)?;
            }
            ("server", _) => {}
            _ => input.other_line(column, text),
        }
    }
    Ok(())
}
