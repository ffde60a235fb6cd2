//! HTML that is safe to put into a page, and texts that become HTML.

use std::fmt;

use crate::tickets::RemovalServerState;

/// HTML whose texts are escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    /// Declares a text as HTML. Every part of it that a stranger can choose must be escaped.
    pub(super) fn trusted(html: String) -> Markup {
        Markup(html)
    }

    /// The HTML.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

/// Escapes a text for HTML, in content and in quoted attributes. Control characters and marks that
/// change the direction of text are shown as U+FFFD, so that a text cannot reorder what is around
/// it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if is_hidden(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character is a control character, or changes the direction of the text after it
/// (Unicode UAX 9).
pub(super) fn is_hidden(c: char) -> bool {
    let direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    direction || c.is_control() && !matches!(c, '\n' | '\t' | '\r')
}

/// The sign of something that is done or not done yet, and its class in the style sheet.
pub(super) fn sign(is_done: bool) -> (&'static str, &'static str) {
    match is_done {
        true => ("✓", "good"),
        false => ("…", "wait"),
    }
}

/// The name of the state of a public name server, for tests.
pub(super) fn server_name(state: &RemovalServerState) -> &'static str {
    state.into()
}

/// The key of what a public name server that lacks a removal does.
pub(super) fn server_key(state: &RemovalServerState) -> &'static str {
    match state {
        RemovalServerState::Behind => "removal-server-behind",
        RemovalServerState::Silent => "removal-server-silent",
        RemovalServerState::Current | RemovalServerState::Unknown => "removal-server-waits",
    }
}

/// An argument of a text.
#[derive(Debug, Clone)]
pub enum TextArgument {
    /// A text, which is escaped.
    Text(String),
    /// HTML.
    Markup(Markup),
    /// A number, which selects the plural form.
    Number(u64),
}

/// A value that can be an argument of a text.
pub trait IntoTextArgument {
    /// Converts the value.
    fn argument(&self) -> TextArgument;
}

impl<T: IntoTextArgument + ?Sized> IntoTextArgument for &T {
    fn argument(&self) -> TextArgument {
        (**self).argument()
    }
}

impl IntoTextArgument for str {
    fn argument(&self) -> TextArgument {
        TextArgument::Text(self.into())
    }
}

impl IntoTextArgument for String {
    fn argument(&self) -> TextArgument {
        TextArgument::Text(self.clone())
    }
}

impl IntoTextArgument for Markup {
    fn argument(&self) -> TextArgument {
        TextArgument::Markup(self.clone())
    }
}

macro_rules! number_arguments {
    ($($number:ty),*) => {$(
        impl IntoTextArgument for $number {
            fn argument(&self) -> TextArgument {
                TextArgument::Number(u64::try_from(*self).unwrap_or(u64::MAX))
            }
        }
    )*};
}

number_arguments!(u16, u32, u64, usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_add_html_or_reorder_other_text() {
        assert_eq!(
            escape("<script>alert('\"&')</script>"),
            "&lt;script&gt;alert(&#39;&#34;&amp;&#39;)&lt;/script&gt;"
        );
        assert_eq!(
            escape("a\u{202e}b\u{1b}[1m\0"),
            "a\u{fffd}b\u{fffd}[1m\u{fffd}"
        );
        assert_eq!(escape("line\r\nline"), "line\nline");
    }
}
