//! Jumps of serials: what a zone is given on its first day, when it comes back, after commits were
//! lost, and by a person. [`crate::model::serial::jump`] decides all of them; here is what it is
//! asked with, and the commit.

use std::sync::Arc;

use super::receipt::Receipt;
use crate::{
    model::{
        Serial,
        serial::{Jump, SeenMirror, jump},
    },
    store::schema::AuditRecord,
};

/// Returns the mirrors of a zone that were seen lately.
pub type SeenMirrors = dyn Fn(&str) -> Vec<SeenMirror> + Send + Sync;

/// Tells which mirrors of a zone were seen lately, and with which serial. Empty: no mirror is
/// known.
#[derive(Clone, Default)]
pub struct SeenSerials(pub Option<Arc<SeenMirrors>>);

impl std::fmt::Debug for SeenSerials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SeenSerials({})",
            if self.0.is_some() { "…" } else { "" }
        )
    }
}

impl SeenSerials {
    /// The mirrors of a zone.
    pub fn of(&self, zone: &str) -> Vec<SeenMirror> {
        self.0.as_ref().map_or(Vec::new(), |seen| seen(zone))
    }

    /// The serial that a jump comes to, and the mirrors for which it is not newer. `own` are
    /// serials that the zone itself is known to have had.
    pub(super) fn jump(&self, zone: &str, own: &[Serial], how: Jump) -> (Serial, Vec<SeenMirror>) {
        let seen = self.of(zone);
        let serials: Vec<Serial> = seen.iter().map(|m| m.serial).collect();
        let found = jump(own, how, &serials);
        (
            found.serial,
            found
                .not_newer_for
                .into_iter()
                .map(|i| seen[i].clone())
                .collect(),
        )
    }
}

/// A serial that a person gives to a zone.
#[derive(Debug, Clone)]
pub struct SerialRequest {
    /// The zone's name.
    pub zone: String,
    /// The serial.
    pub serial: Serial,
    /// Whether it is taken although it is not newer for mirrors that were seen.
    pub force: bool,
    /// The record for the audit log.
    pub audit: AuditRecord,
}

/// A serial that was given: the commit, and the mirrors for which it is not newer.
#[derive(Debug, Clone)]
pub struct SerialChange {
    /// The commit.
    pub receipt: Receipt,
    /// The mirrors that keep their old zone until a transfer is forced.
    pub left_behind: Vec<SeenMirror>,
}
