//! Words of lines; and texts of TXT records in imports and exports: replaces, truncates and escapes
//! characters.

use std::borrow::Cow;

use crate::model::{domain::name_to_ascii, verdict::MAX_TEXT};

/// The words of a line with the columns where they start, from 1.
pub(super) fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split_whitespace()
        .map(move |word| (column_of(line, word), word))
}

/// The column, from 1, at which a part of a line starts. `part` is a slice of `line`.
pub(super) fn column_of(line: &str, part: &str) -> usize {
    part.as_ptr() as usize - line.as_ptr() as usize + 1
}

/// Whether a name is strictly below another.
pub(super) fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above)
        .is_some_and(|labels| labels.ends_with('.'))
}

/// Whether a word is one or more ASCII digits.
pub(super) fn is_digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// A text with `?` for every byte that is not printable ASCII, as in DNS answers. Imports and
/// exports use it, so that a stored text cannot add lines to an exported file.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| (0x20..0x7f).contains(&b);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.bytes()
            .map(|b| if plain(b) { b as char } else { '?' })
            .collect(),
    )
}

/// A text in which every `$` is escaped as `$$`.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A text truncated to the length of a TXT string. `$$` is not split, because half of it would be
/// replaced by the subject.
pub(super) fn cut(text: &str) -> &str {
    let Some(head) = text.get(..MAX_TEXT).filter(|_| text.len() > MAX_TEXT) else {
        return text;
    };
    let run = head.bytes().rev().take_while(|b| *b == b'$').count();
    if text.as_bytes()[MAX_TEXT] == b'$' && run % 2 == 1 {
        &head[..MAX_TEXT - 1]
    } else {
        head
    }
}

/// A label as in a master file: characters that are special or not printable are escaped (RFC 1035
/// section 5.1).
pub(super) fn label(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for b in bytes {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' | b'/' => {
                out.push(*b as char);
            }
            0x21..0x7f => out.extend(['\\', *b as char]),
            b => out += &format!("\\{b:03}"),
        }
    }
    out
}

/// A mail address as the RNAME of an SOA; dots before the `@` are escaped.
pub(super) fn rname(contact: &str) -> String {
    let contact = contact.trim_end_matches('.');
    match contact.split_once('@') {
        Some((user, host)) => format!("{}.{}", label(user.as_bytes()), name(host)),
        None => name(contact),
    }
}

/// A name from a configuration in A-labels, without its final dot.
pub(super) fn name(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let ascii = name_to_ascii(text).ok().filter(|_| !text.is_ascii());
    let labels = ascii.as_deref().unwrap_or(text).split('.');
    labels
        .map(|l| label(l.as_bytes()))
        .collect::<Vec<_>>()
        .join(".")
}
