//! Names that a dnsmasq configuration blocks: `address=/name/`, `local=/name/`.

use super::{Input, report::Omission};

/// Reads a configuration. Each name includes all names below it. Leaves out other lines, and
/// `server=` lines that forward queries.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let parts = text
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()));
        let names = match parts {
            Some(("address" | "local" | "server", value)) => {
                value.strip_prefix('/').and_then(|v| v.rsplit_once('/'))
            }
            _ => None,
        };
        let Some((names, target)) = names else {
            input.other_line(1, text);
            continue;
        };
        if parts.is_some_and(|p| p.0 == "server") && !target.is_empty() {
            input.leave_out(Omission::ExceptionRule, 1, text);
            continue;
        }
        for name in names.split('/') {
            let column = line.find(name).map_or(1, |i| i + 1);
            match name.trim_start_matches("*.").trim_start_matches('.') {
                "" | "#" => {
                    input.problem_of(
                        "a line for every name",
                        column,
                        &format!("`{text}` applies to every name; remove it"),
                    );
                }
                name => input.take_word(&format!(".{name}"), false, None, None, column)?,
            }
        }
    }
    Ok(())
}
