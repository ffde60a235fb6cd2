//! What a file is, from its first bytes.

use std::io::{self, BufRead, Read};

/// The mark that some editors put before UTF-8.
pub(super) const BOM: &str = "\u{feff}";

/// Bytes as they are, or unpacked where they start as gzip does.
pub fn plain<'a>(input: Box<dyn Read + 'a>) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut input = io::BufReader::with_capacity(1 << 17, input);
    if input.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(io::BufReader::with_capacity(1 << 17, flate2::bufread::MultiGzDecoder::new(input))));
    }
    Ok(Box::new(input))
}

/// Guesses a format from a file's first bytes. Comments say nothing, whatever words they use.
pub fn guess(head: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(head);
    let lines = text.strip_prefix(BOM).unwrap_or(&text).lines().map(str::trim);
    let comment = |l: &str| l.starts_with(['#', ';']) && !special(l);
    let lines: Vec<&str> = lines.filter(|l| !l.is_empty() && !comment(l)).collect();
    if lines.iter().any(|l| l.starts_with("$ORIGIN") || has_soa(l)) {
        return "master";
    }
    if lines.iter().any(|l| rbldnsd(l)) {
        return "rbldnsd";
    }
    // In the other forms a comment can stand behind a line.
    let first = lines.first().map_or("", |l| l.split(['#', ';']).next().unwrap_or("").trim());
    match first.chars().next() {
        Some('{' | '[') if !first.contains("]:") => "json",
        Some('"') if serde_json::from_str::<String>(first).is_ok() => "json",
        _ if first.contains(',') => "csv",
        _ => "list",
    }
}

/// `owner [ttl] [class] SOA mname rname …`: nothing but a time and a class stands between the owner and the type.
fn has_soa(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(at) = words.iter().take(4).position(|w| *w == "SOA") else { return false };
    let between = |w: &&str| *w == "IN" || w.starts_with(|c: char| c.is_ascii_digit());
    words.len() > at + 2 && words.iter().take(at).skip(1).all(between) && !line.starts_with(['$', '!', ':'])
}

/// One of rbldnsd's own lines, also behind `#`, `;` or `:`, as it allows it.
fn special(line: &str) -> bool {
    let line = line.strip_prefix(['#', ';', ':']).unwrap_or(line);
    ["$SOA", "$NS", "$TTL ", "$TIMESTAMP", "$DATASET", "$MAXRANGE4", "$="].iter().any(|s| line.starts_with(s))
}

/// A special line, a default value, an exclusion, or an entry with a value of its own.
fn rbldnsd(line: &str) -> bool {
    let default = line.starts_with(':') && !line.starts_with("::");
    let value = |w: &str| w.strip_prefix(':').is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()) && !w.contains("::"));
    let own = !line.starts_with(['{', '[', '"']) && line.split_whitespace().skip(1).take(1).any(value);
    special(line) || default || line.starts_with('!') || own || line.contains(":127.")
}
