//! Why a word names nothing.

/// Why a word names nothing that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WordError {
    /// What is wrong, the same for all words of one class: reports group errors by it.
    pub class: &'static str,
    /// The word, what is wrong with it, and what to write instead.
    pub text: String,
}

/// An error whose text is its class.
impl From<String> for WordError {
    fn from(text: String) -> WordError {
        WordError { class: "", text }
    }
}

/// An error of a class.
pub(super) fn error(class: &'static str, text: String) -> WordError {
    WordError { class, text }
}
