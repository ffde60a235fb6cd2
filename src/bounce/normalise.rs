//! Turns a pasted text into plain text: HTML without tags, quoted-printable lines joined, defanged
//! addresses written as usual, and characters that look like ASCII as ASCII.

use std::borrow::Cow;

/// A text in plain form, which still knows the lines of the pasted text.
pub(super) struct PlainText {
    /// The text.
    pub text: String,
    /// The text with ASCII letters in lower case; as long as `text`.
    pub lower: String,
    /// The offsets where a line of the pasted text starts, and its number.
    lines: Vec<(usize, u32)>,
}

impl PlainText {
    /// The line of the pasted text, from 1, that has the byte at an offset.
    pub fn line(&self, offset: usize) -> u32 {
        let at = self.lines.partition_point(|(start, _)| *start <= offset);
        at.checked_sub(1)
            .and_then(|i| self.lines.get(i))
            .map_or(1, |(_, line)| *line)
    }
}

/// Converts a pasted text.
pub(super) fn plain(pasted: &str) -> PlainText {
    let (mut text, mut lines) = (String::with_capacity(pasted.len()), vec![(0, 1)]);
    let html = is_html(pasted);
    let quoted = pasted.contains("=\n") || pasted.contains("=\r\n") || pasted.contains("=3D");
    let (mut rest, mut line) = (pasted, 1);
    while let Some(c) = rest.chars().next() {
        let replaced = match c {
            '<' if html => tag(rest),
            '&' => entity(rest),
            '=' if quoted => quoted_printable(rest),
            '[' | '(' | '{' | ' ' | '\u{3000}' => defanged(rest),
            'h' | 'H' => defanged_scheme(rest),
            _ => None,
        };
        let used = match replaced {
            Some((used, new)) => {
                text.push_str(&new);
                used
            }
            None if c.is_ascii_graphic() || c == ' ' => {
                text.push(c);
                1
            }
            None => {
                text.push_str(&plain_character(c));
                c.len_utf8()
            }
        };
        let breaks = rest[..used].bytes().filter(|b| *b == b'\n').count() as u32;
        if breaks > 0 {
            line += breaks;
            lines.push((text.len(), line));
        }
        rest = &rest[used..];
    }
    let lower = text.to_ascii_lowercase();
    PlainText { text, lower, lines }
}

/// Whether a text is HTML: it has the tags that a copied message has.
fn is_html(text: &str) -> bool {
    let tags = ["<html", "<body", "<div", "<p>", "<br", "<td", "<span", "</"];
    text.match_indices('<').any(|(at, _)| {
        tags.iter().any(|tag| {
            text.as_bytes()
                .get(at..at + tag.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(tag.as_bytes()))
        })
    })
}

/// The longest tag that is left out, in bytes.
const MAX_TAG: usize = 2048;

/// A tag, as a space; its links are kept, since a list page is often only a link. A `<` that does
/// not start a tag, such as that of `<user@example>`, stays.
fn tag(rest: &str) -> Option<(usize, Cow<'static, str>)> {
    let second = rest.as_bytes().get(1)?;
    if !second.is_ascii_alphabetic() && !matches!(second, b'/' | b'!') {
        return None;
    }
    let head = &rest.as_bytes()[..rest.len().min(MAX_TAG)];
    let end = head.iter().skip(1).position(|b| matches!(b, b'<' | b'>'))? + 1;
    if head.get(end) == Some(&b'<') {
        return None;
    }
    let inside = &rest[1..end];
    if inside.contains('@') && !inside.contains([' ', '=']) {
        return None;
    }
    let lower = inside.to_ascii_lowercase();
    let link = lower.find("href=").map(|at| &inside[at + 5..]);
    let link = link.map(|l| match l.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => l[1..].split(char::from(*quote)).next().unwrap_or(""),
        _ => l.split_ascii_whitespace().next().unwrap_or(""),
    });
    let new = match link {
        Some(link) => format!(" {} ", link.replace("&amp;", "&")).into(),
        None => " ".into(),
    };
    Some((end + 1, new))
}

/// A character reference of HTML.
fn entity(rest: &str) -> Option<(usize, Cow<'static, str>)> {
    let head = &rest.as_bytes()[..rest.len().min(10)];
    let end = head.iter().position(|b| *b == b';')?;
    let new = match &rest[1..end] {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        "nbsp" => " ",
        "period" => ".",
        "colon" => ":",
        "sol" => "/",
        "lsqb" | "lbrack" => "[",
        "rsqb" | "rbrack" => "]",
        name => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            return Some((end + 1, plain_character(char::from_u32(code.ok()?)?)));
        }
    };
    Some((end + 1, new.into()))
}

/// A soft line break or an encoded ASCII character (RFC 2045 section 6.7).
fn quoted_printable(rest: &str) -> Option<(usize, Cow<'static, str>)> {
    let bytes = rest.as_bytes();
    match bytes {
        [b'=', b'\n', ..] => Some((2, "".into())),
        [b'=', b'\r', b'\n', ..] => Some((3, "".into())),
        [b'=', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            let code = u8::from_str_radix(&rest[1..3], 16).ok()?;
            // `=` and the spaces at ends of lines; other text is not worth the risk that `ip=45`
            // is read as a code.
            matches!(code, b'=' | b' ' | b'\t').then(|| (3, char::from(code).to_string().into()))
        }
        _ => None,
    }
}

/// A separator of an address that is written so that no program makes a link of it: `[.]`, `(.)`,
/// `[dot]`, ` dot ` and the like.
fn defanged(rest: &str) -> Option<(usize, Cow<'static, str>)> {
    let head = rest.as_bytes();
    let forms: [(&[u8], &str); 17] = [
        (b"[.]", "."),
        (b"(.)", "."),
        (b"{.}", "."),
        (b"[dot]", "."),
        (b"(dot)", "."),
        (b"{dot}", "."),
        (b" [.] ", "."),
        (b" [dot] ", "."),
        (b" (dot) ", "."),
        (b" dot ", "."),
        (b"[:]", ":"),
        (b"[://]", "://"),
        (b"[/]", "/"),
        (b"[@]", "@"),
        (b"[at]", "@"),
        (b"(at)", "@"),
        (b" [at] ", "@"),
    ];
    let starts = |form: &[u8]| {
        head.get(..form.len())
            .is_some_and(|h| h.eq_ignore_ascii_case(form))
    };
    let (form, new) = forms.iter().find(|(form, _)| starts(form))?;
    Some((form.len(), (*new).into()))
}

/// `hxxp`, which stands for `http`.
fn defanged_scheme(rest: &str) -> Option<(usize, Cow<'static, str>)> {
    let head = rest.as_bytes().get(..4)?;
    head.eq_ignore_ascii_case(b"hxxp")
        .then(|| (4, "http".into()))
}

/// A character as plain text: invisible characters and marks of the writing direction as nothing,
/// control characters as spaces, full-width forms and dots of other scripts as ASCII.
fn plain_character(c: char) -> Cow<'static, str> {
    match c {
        '\n' | '\t' => c.to_string().into(),
        '\r' => "".into(),
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => "".into(),
        '\u{2060}'..='\u{2069}' | '\u{feff}' => "".into(),
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
            ascii.to_string().into()
        }
        '\u{3002}' | '\u{ff61}' | '\u{2024}' => ".".into(),
        '\u{a0}' | '\u{3000}' | '\u{2000}'..='\u{200a}' | '\u{202f}' => " ".into(),
        '\u{2018}' | '\u{2019}' => "'".into(),
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => "\"".into(),
        c if c.is_control() => " ".into(),
        c => c.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguised_addresses_become_plain() {
        for (pasted, expected) in [
            ("45[.]51[.]100[.]7", "45.51.100.7"),
            ("45 dot 51 dot 100 (dot) 7", "45.51.100.7"),
            ("hxxp[:]//a[.]example", "http://a.example"),
            ("４５．５１．１００．７", "45.51.100.7"),
            ("45.51\u{200b}.100.7\u{202e}", "45.51.100.7"),
            ("&#52;5&period;51.100.7", "45.51.100.7"),
            ("<p>45.51.100.7</p>", " 45.51.100.7 "),
            (
                "<a href=\"http://x/?a=1&amp;b\">y</a>",
                " http://x/?a=1&b y ",
            ),
            ("45.51.=\r\n100.7", "45.51.100.7"),
            ("?ip=3D45.51.100.7", "?ip=45.51.100.7"),
            ("<user@mail.example>", "<user@mail.example>"),
            ("a\0b", "a b"),
        ] {
            assert_eq!(plain(pasted).text, expected, "{pasted}");
        }
    }

    #[test]
    fn lines_are_those_of_the_pasted_text() {
        let text = plain("a=\nb\n<br\n>c");
        assert_eq!(text.text, "ab\n c");
        assert_eq!([0, 1, 3, 4].map(|at| text.line(at)), [1, 2, 3, 4]);
    }
}
