//! The error of a word that is not an entry.

/// Why a word is not an entry that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct EntryError {
    /// The class, by which reports group errors.
    pub class: &'static str,
    /// The word, what is wrong with it, and what to write instead.
    pub text: String,
}

/// An error whose class follows from its text.
impl From<String> for EntryError {
    fn from(text: String) -> EntryError {
        EntryError { class: "", text }
    }
}

impl EntryError {
    /// The error of a part of a word as an error of the word.
    pub(super) fn in_word(&self, word: &str) -> EntryError {
        error(self.class, format!("`{word}`: {}", self.text))
    }
}

/// An error of a class.
pub(super) fn error(class: &'static str, text: String) -> EntryError {
    EntryError { class, text }
}
