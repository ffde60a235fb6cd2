//! Text from untrusted sources: how it is printed, and which characters are refused.

use std::borrow::Cow;

/// Whether a character must not be printed as it is: control characters, line breaks, bidirectional
/// controls (UAX #9) and invisible characters.
pub fn needs_escape(c: char) -> bool {
    c.is_control() || is_line_break(c) || is_bidi_control(c) || is_invisible(c)
}

fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters without a width. Joiners are not among them, because scripts need them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Replaces each unsafe character by its JSON escape, so that the text is one line. JSON text keeps
/// its meaning.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A number with what is counted: `1 zone`, `2 zones`, `0 entries`. `one` is the singular, whose last
/// word follows the regular rules of English.
pub fn counted(n: impl std::fmt::Display, one: &str) -> String {
    let n = n.to_string();
    if n == "1" {
        return format!("{n} {one}");
    }
    match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{n} {stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| one.ends_with(end)) => format!("{n} {one}es"),
        _ => format!("{n} {one}s"),
    }
}

/// Checks that a text is one line without control characters.
///
/// # Errors
///
/// Names the first control character or line break, and its position.
pub fn check_line(text: &str) -> Result<(), String> {
    match text
        .chars()
        .enumerate()
        .find(|(_, c)| c.is_control() || is_line_break(*c))
    {
        None => Ok(()),
        Some((i, c)) => Err(format!(
            "character {} is the control character U+{:04X}; remove it",
            i + 1,
            u32::from(c)
        )),
    }
}

/// Replaces every unsafe character by U+FFFD. Used for text from the network that is stored, such
/// as an envelope.
pub fn replace_controls(text: &str) -> String {
    text.replace(needs_escape, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn number_has_the_singular_or_the_plural_of_what_is_counted() {
        for (one, expected) in [
            ("zone", ["0 zones", "1 zone", "2 zones", "11 zones"]),
            ("entry", ["0 entries", "1 entry", "2 entries", "11 entries"]),
            ("day", ["0 days", "1 day", "2 days", "11 days"]),
            (
                "IPv4 address",
                [
                    "0 IPv4 addresses",
                    "1 IPv4 address",
                    "2 IPv4 addresses",
                    "11 IPv4 addresses",
                ],
            ),
            (
                "prefix",
                ["0 prefixes", "1 prefix", "2 prefixes", "11 prefixes"],
            ),
            (
                "different /64",
                [
                    "0 different /64s",
                    "1 different /64",
                    "2 different /64s",
                    "11 different /64s",
                ],
            ),
        ] {
            assert_eq!([0, 1, 2, 11].map(|n| counted(n, one)), expected);
        }
        assert_eq!(counted("1", "row"), "1 row");
        assert_eq!(counted(101_u64, "try"), "101 tries");
    }

    #[test]
    fn unsafe_characters_get_json_escapes() {
        assert_eq!(
            escape("a\nb\r\t\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{e0041}"),
            r"a\nb\r\t\u001b[2J\u009b\u202e\u2028\udb40\udc41"
        );
        assert!(matches!(escape("plain \\n ü עברית"), Cow::Borrowed(_)));
    }

    #[test]
    fn control_character_is_refused_with_its_position() {
        for (text, part) in [
            ("ab\u{1b}[2J", "character 3 is the control character U+001B"),
            ("\n", "character 1"),
            ("é\t", "character 2"),
            ("x\u{85}", "U+0085"),
            ("x\u{2028}", "U+2028"),
        ] {
            let e = check_line(text).unwrap_err();
            assert!(e.contains(part), "{text:?}: {e}");
        }
        assert_eq!(check_line("seen relaying, see ticket 7 \u{200e}אב"), Ok(()));
    }

    proptest! {
        #[test]
        fn escaped_text_is_one_line_without_controls(text in any::<String>()) {
            let out = escape(&text);
            prop_assert!(!out.contains(needs_escape));
            prop_assert_eq!(out.lines().count(), usize::from(!out.is_empty()));
            prop_assert!(!replace_controls(&text).contains(needs_escape));
        }

        #[test]
        fn escaped_json_is_the_same_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let read: String = serde_json::from_str(&escape(&json)).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
