//! Evidence for a change.

use serde::{Deserialize, Serialize};

/// The kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum EvidenceKind {
    /// A statement: an operator's note, an owner's claim.
    #[serde(rename = "word")]
    Statement,
    /// A line of an imported list.
    Import,
    /// A transcript of a relay test.
    Probe,
    /// A test message that the host relayed.
    Delivery,
    /// A message caught by a trap.
    Trap,
    /// A statement that the listing was an error.
    ListedInError,
}

/// Evidence, as text for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Its kind.
    pub kind: EvidenceKind,
    /// The note or the transcript, or where to find it.
    pub text: String,
}

impl Evidence {
    /// The longest text, in bytes; a longer one is refused.
    pub const MAX_TEXT: usize = 64 * 1024;

    /// A statement as evidence.
    pub fn statement(text: impl Into<String>) -> Evidence {
        Evidence {
            kind: EvidenceKind::Statement,
            text: text.into(),
        }
    }

    /// A statement that a listing was an error; without a note, it says only that.
    pub fn listed_in_error(note: Option<String>) -> Evidence {
        Evidence {
            kind: EvidenceKind::ListedInError,
            text: note.unwrap_or_else(|| "listed in error".into()),
        }
    }
}
