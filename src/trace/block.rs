//! Finds the header block in a pasted text, and the `Received` fields in it.
//!
//! Each line is read with the lines above it only, so that no line changes how those above are
//! read.

use super::{MAX_HEADER_BYTES, MAX_RECEIVED_LINES};

/// A `Received` field.
pub(super) struct ReceivedField {
    /// The line of the text where it starts, from 1.
    pub line: u32,
    /// The value. A line break is where the field was folded.
    pub value: String,
}

/// The `Received` fields of a text.
#[derive(Default)]
pub(super) struct Fields {
    /// The fields in the order of the text, at most [`MAX_RECEIVED_LINES`].
    pub fields: Vec<ReceivedField>,
    /// Whether a limit was reached.
    pub truncated: bool,
    /// The bytes that were looked at, for the test of the cost.
    pub work: usize,
}

/// What each line of a block starts with: quote marks and indentation.
#[derive(Clone, Copy)]
struct LinePrefix {
    quotes: usize,
    indent: usize,
}

/// The longest name of a header field, in bytes (RFC 5322 section 2.1.1, without the colon).
const MAX_FIELD_NAME: usize = 77;

/// Finds the `Received` fields of the first header block that has any.
pub(super) fn received_fields(text: &str) -> Fields {
    let end = text.floor_char_boundary(MAX_HEADER_BYTES);
    let mut out = Fields::default();
    let mut is_cut = end < text.len();
    let text = text[..end].trim_start_matches('\u{feff}');
    let mut block: Option<LinePrefix> = None;
    // Whether the last field that started is a `Received` field.
    let mut open = false;
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        out.work += line.len() + 1;
        let (own, rest) = measure(line);
        let inside = match block {
            Some(prefix) => strip(line, prefix),
            None => rest,
        };
        // A line with nothing but spaces does not end the header: it can be a part of a folded
        // field, as of a report of a spam filter that has text of the message.
        if inside.is_empty() {
            if !out.fields.is_empty() {
                is_cut = false;
                break;
            }
            block = None;
            continue;
        }
        // A quoted message starts below text that looks like header fields.
        let deeper = out.fields.is_empty() && inside.starts_with('>');
        let (starts, inside) = match (block, deeper) {
            (None, _) | (_, true) => (true, rest),
            _ => (false, inside),
        };
        match field(inside) {
            Some((is_received, value)) => {
                if starts {
                    block = Some(own);
                }
                open = is_received;
                if !is_received {
                    continue;
                }
                if out.fields.len() == MAX_RECEIVED_LINES {
                    is_cut = true;
                    break;
                }
                out.fields.push(ReceivedField {
                    line: number,
                    value: without_encoded_space(value).into(),
                });
            }
            None if open => {
                if let Some(last) = out.fields.last_mut() {
                    continue_field(&mut last.value, inside);
                }
            }
            None => {}
        }
    }
    out.truncated = is_cut;
    out
}

/// Appends a line to a field: a folded line, or the rest of one that was wrapped.
fn continue_field(value: &mut String, line: &str) {
    let is_folded = line.starts_with([' ', '\t']);
    if value.ends_with('=') && !is_folded {
        // A soft line break of quoted-printable (RFC 2045 section 6.7) can divide a word.
        value.pop();
        if value.ends_with([' ', '\t']) {
            value.push('\n');
        }
    } else {
        value.push('\n');
    }
    value.push_str(without_encoded_space(line));
}

/// A line without the space at its end that quoted-printable encodes.
fn without_encoded_space(line: &str) -> &str {
    line.strip_suffix("=20").unwrap_or(line)
}

/// What a line starts with, and the rest of it.
fn measure(line: &str) -> (LinePrefix, &str) {
    let (mut quotes, mut rest) = (0, line);
    while let Some(quoted) = rest.trim_start().strip_prefix('>') {
        quotes += 1;
        rest = quoted.strip_prefix(' ').unwrap_or(quoted);
    }
    let content = rest.trim_start();
    let indent = rest[..rest.len() - content.len()].chars().count();
    (LinePrefix { quotes, indent }, content)
}

/// A line without the prefix of its block, or without as much of it as the line has.
fn strip(line: &str, prefix: LinePrefix) -> &str {
    let mut rest = line;
    for _ in 0..prefix.quotes {
        let Some(quoted) = rest.trim_start().strip_prefix('>') else {
            break;
        };
        rest = quoted.strip_prefix(' ').unwrap_or(quoted);
    }
    for _ in 0..prefix.indent {
        rest = rest.strip_prefix(char::is_whitespace).unwrap_or(rest);
    }
    rest
}

/// The first line of a header field: whether it is a `Received` field, and the value.
fn field(line: &str) -> Option<(bool, &str)> {
    let end = line
        .bytes()
        .take(MAX_FIELD_NAME + 1)
        .position(|b| b == b':')?;
    let name = line[..end].trim_end_matches([' ', '\t']);
    let value = &line[end + 1..];
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    // A wrapped line can start with a part of an IPv6 address.
    (is_name && !value.starts_with(':')).then(|| (name.eq_ignore_ascii_case("received"), value))
}
