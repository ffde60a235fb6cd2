//! The error of a word that is not an entry.

/// Why a word is not an entry that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WordError {
    /// The class, by which reports group errors.
    pub class: &'static str,
    /// The word, what is wrong with it, and what to write instead.
    pub text: String,
}

/// An error whose class follows from its text.
impl From<String> for WordError {
    fn from(text: String) -> WordError {
        WordError { class: "", text }
    }
}

/// An error of a class.
pub(super) fn error(class: &'static str, text: String) -> WordError {
    WordError { class, text }
}
