//! Events: what was decided about a subject.

use serde::{Deserialize, Serialize};

use super::{
    entry_text::EntryText,
    evidence::Evidence,
    reason::{ReasonId, SourceId},
    time::Time,
};

/// An event in the history of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided.
    pub at: Time,
    /// The author of the request.
    pub author: String,
    /// What happened.
    pub what: EventKind,
    /// The evidence for it.
    pub evidence: Option<Evidence>,
}

/// What an event does to a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A source lists the subject, or excludes it from its wider listing. A renewal is another such
    /// event, and keeps the first `since`.
    Listed {
        /// The reason.
        reason: ReasonId,
        /// The source.
        source: SourceId,
        /// The end; none: it does not end by itself.
        until: Option<Time>,
        /// Whether it is an exclusion from a wider listing, not a listing.
        exclusion: bool,
        /// Its own text, and the stores through which it came.
        text: EntryText,
    },
    /// A listing was removed on request.
    Delisted {
        /// The reason of the listing.
        reason: ReasonId,
        /// The source of the listing.
        source: SourceId,
    },
    /// A listing has expired.
    Expired {
        /// The reason of the listing.
        reason: ReasonId,
        /// The source of the listing.
        source: SourceId,
    },
    /// A feed has dropped its entry.
    Dropped {
        /// The reason of the listing.
        reason: ReasonId,
        /// The source of the listing.
        source: SourceId,
    },
    /// A hold was set.
    Held {
        /// The suppressed reason.
        reason: ReasonId,
        /// The suppressed source, or [`SourceId::ALL`].
        source: SourceId,
        /// The latest end of the hold.
        until: Time,
    },
    /// A hold has ended: it has expired, or its feed has dropped the entry.
    HoldEnded {
        /// The suppressed reason.
        reason: ReasonId,
        /// The suppressed source, or [`SourceId::ALL`].
        source: SourceId,
    },
    /// The subject is exempt: it is not published.
    Exempted {
        /// The end; none: it does not end by itself.
        until: Option<Time>,
    },
    /// The exemption has ended.
    ExemptEnded,
}

impl EventKind {
    /// The reason and the source of the event; `None` for exemptions, which have neither.
    pub fn about(&self) -> Option<(ReasonId, SourceId)> {
        match self {
            EventKind::Listed { reason, source, .. }
            | EventKind::Delisted { reason, source }
            | EventKind::Expired { reason, source }
            | EventKind::Dropped { reason, source }
            | EventKind::Held { reason, source, .. }
            | EventKind::HoldEnded { reason, source } => Some((*reason, *source)),
            EventKind::Exempted { .. } | EventKind::ExemptEnded => None,
        }
    }
}
