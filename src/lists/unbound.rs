//! Names that an unbound configuration blocks: `local-zone:` and `local-data:`.

use super::{Input, recognise::is_sinkhole, report::Omission, text::column_of};

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

/// Reads a line of a configuration: lists the name of a blocking zone and all names below it, and
/// the name of data with an unroutable address. Leaves out other lines.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.split('#').next().unwrap_or("").trim();
    if text.matches('"').count() % 2 == 1 {
        let what = format!("`{text}`: a quote is not closed");
        input.problem_of("a quote that is not closed", 1, &what);
        return Ok(());
    }
    let (key, value) = text.split_once(':').unwrap_or((text, ""));
    let words: Vec<&str> = value
        .split(|c: char| c.is_whitespace() || "\"'".contains(c))
        .filter(|w| !w.is_empty())
        .collect();
    let column = words.first().map_or(1, |name| column_of(line, name));
    match (key.trim(), &words[..]) {
        ("local-zone", [name, kind, ..]) if BLOCKING.contains(kind) => {
            input.list_word(&format!(".{}", name.trim_start_matches('.')), column)?;
        }
        ("local-zone", [name]) => input.problem_of(
            "a local zone without a type",
            column,
            &format!("`{name}`: the type of the local zone is missing"),
        ),
        ("local-zone", _) => input.leave_out(Omission::ExceptionRule, column, text),
        ("local-data", [name, .., kind, address])
            if matches!(*kind, "A" | "AAAA") && is_sinkhole(address) =>
        {
            input.list_word(name, column)?;
        }
        ("server", _) => {}
        _ => input.other_line(column, text),
    }
    Ok(())
}
