//! Comma-separated values with a header line (RFC 4180, one record a line).

use super::Input;

/// Column names that mean the subject where none was named.
const USUAL: [&str; 8] = ["subject", "ip", "address", "cidr", "prefix", "network", "domain", "host"];

/// Reads a table. The subject's column is the one that was named, or the first with a usual name.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut place = None;
    while let Some(line) = input.next()? {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fields = fields(&line);
        let Some(at) = place else {
            let names: Vec<String> = fields.iter().map(|(_, f)| f.trim().to_ascii_lowercase()).collect();
            let wanted = input.options.column.as_ref().map(|c| c.to_ascii_lowercase());
            let found = match &wanted {
                Some(w) => names.iter().position(|n| n == w),
                None => names.iter().position(|n| USUAL.contains(&n.as_str())),
            };
            place = found;
            if place.is_none() {
                let wanted = wanted.unwrap_or_else(|| USUAL.join(", "));
                return Err(format!("{}:{}: no column is called {wanted}; the header has {}", input.file, input.line, names.join(", ")));
            }
            continue;
        };
        match fields.get(at) {
            Some((column, word)) => input.take_word(word.trim(), false, None, None, *column)?,
            None => input.problem(1, &format!("the line has {} fields, and the subject is number {}", fields.len(), at + 1)),
        }
    }
    Ok(())
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
