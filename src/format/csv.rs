//! Comma-separated values (RFC 4180, one record a line), with a header line or without.

use super::Input;

/// Column names that mean the subject where none was named.
const USUAL: [&str; 8] = ["subject", "ip", "address", "cidr", "prefix", "network", "domain", "host"];

/// Reads a table. The subject's column is the one that was named or numbered, or the first with a usual name; a table
/// whose first line starts with a subject has no header, and its first column is taken.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut place = None;
    while let Some(line) = input.next()? {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fields = fields(&line);
        let at = match place {
            Some(at) => at,
            None => {
                let (at, header) = column(input, &fields)?;
                place = Some(at);
                if header {
                    continue;
                }
                at
            }
        };
        match fields.get(at) {
            Some((column, word)) => input.take_word(word.trim(), false, None, None, *column)?,
            None => input.problem(1, &format!("the line has {} fields, and the subject is number {}", fields.len(), at + 1)),
        }
    }
    Ok(())
}

/// The subject's column, from the first line; and whether that line is a header.
fn column(input: &Input, fields: &[(usize, String)]) -> Result<(usize, bool), String> {
    let names: Vec<String> = fields.iter().map(|(_, f)| f.trim().to_ascii_lowercase()).collect();
    // A single word may be a host's name or a column's; only what could be no name of a column is data.
    let is_data = |at: usize| names.get(at).is_some_and(|n| n.contains(['.', ':']) && super::input::is_subject(n));
    let wanted = input.options.column.as_ref().map(|c| c.to_ascii_lowercase());
    let found = match &wanted {
        Some(w) => match (names.iter().position(|n| n == w), w.parse::<usize>()) {
            (Some(at), Err(_)) => Some((at, true)),
            (_, Ok(number)) if number > 0 => Some((number - 1, !is_data(number - 1))),
            _ => None,
        },
        None if is_data(0) => Some((0, false)),
        None => names.iter().position(|n| USUAL.contains(&n.as_str())).map(|at| (at, true)),
    };
    found.ok_or_else(|| {
        let wanted = wanted.unwrap_or_else(|| USUAL.join(", "));
        format!("{}:{}: no column is called {wanted}; the header has {}", input.file, input.line, names.join(", "))
    })
}

/// The fields of a line with the columns where they start; quotes are taken off, doubled ones become one.
fn fields(line: &str) -> Vec<(usize, String)> {
    let mut out = vec![(1, String::new())];
    let mut quoted = false;
    let mut chars = line.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let Some((_, field)) = out.last_mut() else { break };
        match c {
            '"' if quoted && chars.next_if(|(_, c)| *c == '"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => out.push((i + 2, String::new())),
            c => field.push(c),
        }
    }
    out
}
