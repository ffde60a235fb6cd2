//! Evidence: what was seen.

use serde::{Deserialize, Serialize};

/// The kind of thing that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum EvidenceKind {
    /// Somebody's word: an operator's note, an owner's claim.
    Word,
    /// A line of an imported list.
    Import,
    /// A transcript of a relay test.
    Probe,
    /// A test message that came out of the host.
    Delivery,
    /// A message caught by a trap.
    Trap,
}

/// What was seen, in words a person can read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of thing it is.
    pub kind: EvidenceKind,
    /// The note, the transcript or where it stands.
    pub text: String,
}

impl Evidence {
    /// The longest text that is kept, in bytes; a longer one is refused at the door.
    pub const MAX_TEXT: usize = 64 * 1024;

    /// Somebody's word.
    pub fn word(text: impl Into<String>) -> Evidence {
        Evidence {
            kind: EvidenceKind::Word,
            text: text.into(),
        }
    }
}
