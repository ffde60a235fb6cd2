//! Events: the changes in the history of a subject.

use serde::{Deserialize, Serialize};

use super::{
    entry_text::EntryText,
    evidence::Evidence,
    hold::Hold,
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
    /// The change.
    pub kind: EventKind,
    /// The evidence for it.
    pub evidence: Option<Evidence>,
}

/// The kind of an event, as the API and webhooks name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum EventName {
    /// A source lists the subject, or renews the listing.
    Listed,
    /// A source excludes the subject from a wider listing.
    Excluded,
    /// A person or a program ended the listing.
    Delisted,
    /// The listing reached its end.
    Expired,
    /// The feed no longer has the entry.
    Dropped,
    /// A hold suppresses the reason.
    Held,
    /// The hold ended.
    HoldEnded,
    /// The subject is never published.
    Exempted,
    /// The exemption ended.
    ExemptEnded,
}

impl EventName {
    /// The name as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What an event does to a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A source lists the subject, or excludes it from its wider listing. A renewal is the same
    /// event again; the entry keeps its `since`.
    Listed {
        /// The reason.
        reason: ReasonId,
        /// The source.
        source: SourceId,
        /// The end; `None`: it does not expire.
        until: Option<Time>,
        /// Whether it is an exclusion from a wider listing, not a listing.
        exclusion: bool,
        /// Its own text, the stores through which it came, and whether it is exact.
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
        /// The end; `None`: it does not expire.
        until: Option<Time>,
    },
    /// The exemption has ended.
    ExemptEnded,
}

impl EventKind {
    /// The start of a hold.
    pub fn held(hold: &Hold) -> EventKind {
        EventKind::Held {
            reason: hold.reason,
            source: hold.source,
            until: hold.until,
        }
    }

    /// The end of a hold.
    pub fn hold_ended(hold: &Hold) -> EventKind {
        EventKind::HoldEnded {
            reason: hold.reason,
            source: hold.source,
        }
    }

    /// The name of the kind.
    pub fn name(&self) -> EventName {
        match self {
            EventKind::Listed {
                exclusion: true, ..
            } => EventName::Excluded,
            EventKind::Listed { .. } => EventName::Listed,
            EventKind::Delisted { .. } => EventName::Delisted,
            EventKind::Expired { .. } => EventName::Expired,
            EventKind::Dropped { .. } => EventName::Dropped,
            EventKind::Held { .. } => EventName::Held,
            EventKind::HoldEnded { .. } => EventName::HoldEnded,
            EventKind::Exempted { .. } => EventName::Exempted,
            EventKind::ExemptEnded => EventName::ExemptEnded,
        }
    }

    /// When its effect ends; `None` if it does not, or ends with a wider listing.
    pub fn until(&self) -> Option<Time> {
        match self {
            EventKind::Listed { until, .. } | EventKind::Exempted { until } => *until,
            EventKind::Held { until, .. } => Some(*until).filter(|t| *t != Hold::WITH_COVER),
            _ => None,
        }
    }

    /// Whether it lists a single IPv6 address exactly ([`EntryText::exact`]).
    pub fn is_exact(&self) -> bool {
        matches!(self, EventKind::Listed { text, .. } if text.exact)
    }

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
