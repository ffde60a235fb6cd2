//! Names that a dnsmasq configuration blocks: `address=/name/`, `local=/name/`.

use super::{Input, report::Omission, text::column_of};

/// Reads a line of a configuration. Each name includes all names below it. Leaves out other lines,
/// and `server=` lines that forward queries.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.trim();
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value
        .trim()
        .strip_prefix('/')
        .and_then(|v| v.rsplit_once('/'));
    let names = match (key.trim(), value) {
        ("address" | "local", Some((names, _))) | ("server", Some((names, ""))) => names,
        ("server", Some(_)) => {
            input.leave_out(Omission::ExceptionRule, 1, text);
            return Ok(());
        }
        _ => {
            input.other_line(1, text);
            return Ok(());
        }
    };
    for name in names.split('/') {
        let column = column_of(line, name);
        match name.trim_start_matches("*.").trim_start_matches('.') {
            "" | "#" => {
                let what = format!("`{text}` applies to every name; remove it");
                input.problem_of("a line for every name", column, &what);
            }
            name => input.list_word(&format!(".{name}"), column)?,
        }
    }
    Ok(())
}
