//! Holds: what keeps a reason from coming back after a removal.

use serde::{Deserialize, Serialize};

use super::{
    reason::{ReasonId, SourceId},
    time::Time,
};

/// A hold: suppresses a reason for a subject after a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The suppressed reason.
    pub reason: ReasonId,
    /// The suppressed source, or [`SourceId::ALL`].
    pub source: SourceId,
    /// The time since which it exists.
    pub since: Time,
    /// The end. A hold on a single source also ends when its feed drops the entry.
    pub until: Time,
}

impl Hold {
    /// The end of a hold that lasts as long as a wider listing of its source. It excludes one
    /// address from a listed prefix.
    pub const WITH_COVER: Time = Time(u64::MAX);

    /// Whether it suppresses a reason of a source.
    pub fn suppresses(&self, reason: ReasonId, source: SourceId) -> bool {
        self.reason == reason && (self.source == source || self.source == SourceId::ALL)
    }
}
