//! Events: what was decided about a subject.

use serde::{Deserialize, Serialize};

use super::{
    entry_text::EntryText,
    evidence::Evidence,
    reason::{ReasonId, SourceId},
    time::Time,
};

/// One decided change in a subject's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided.
    pub at: Time,
    /// Who asked for it.
    pub author: String,
    /// What was decided.
    pub what: What,
    /// What was seen.
    pub evidence: Option<Evidence>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A source says a reason (or a hole in it); again for a renewal, which keeps the first
    /// `since`.
    Listed {
        /// Why.
        reason: ReasonId,
        /// Who says so.
        source: SourceId,
        /// When it ends by itself.
        until: Option<Time>,
        /// An exception from a wider listing, and not a listing.
        hole: bool,
        /// Its own text, and how it came here.
        text: EntryText,
    },
    /// Somebody took it off.
    Delisted {
        /// Why it was listed.
        reason: ReasonId,
        /// Who had said so.
        source: SourceId,
    },
    /// It ran out.
    Expired {
        /// Why it was listed.
        reason: ReasonId,
        /// Who had said so.
        source: SourceId,
    },
    /// Its feed no longer has it.
    Dropped {
        /// Why it was listed.
        reason: ReasonId,
        /// Who had said so.
        source: SourceId,
    },
    /// A feed's entry is held down.
    Held {
        /// The reason held.
        reason: ReasonId,
        /// The source held.
        source: SourceId,
        /// Until when at the latest.
        until: Time,
    },
    /// A hold ran out, or its feed has dropped the entry.
    HoldEnded {
        /// The reason held.
        reason: ReasonId,
        /// The source held.
        source: SourceId,
    },
    /// It must never be published.
    Exempted {
        /// When that ends by itself.
        until: Option<Time>,
    },
    /// That is over.
    ExemptEnded,
}

impl What {
    /// The reason and the source that it is about; an exemption is about all.
    pub fn about(&self) -> Option<(ReasonId, SourceId)> {
        match self {
            What::Listed { reason, source, .. }
            | What::Delisted { reason, source }
            | What::Expired { reason, source }
            | What::Dropped { reason, source }
            | What::Held { reason, source, .. }
            | What::HoldEnded { reason, source } => Some((*reason, *source)),
            What::Exempted { .. } | What::ExemptEnded => None,
        }
    }
}
