//! Jumps of serials: of a new zone, of a zone that was not served for a while, after commits were
//! lost, and by an operator. [`crate::model::serial::jump`] decides all of them.

use std::sync::Arc;

use super::receipt::Receipt;
use crate::{
    model::{
        Serial,
        serial::{Jump, MirrorSerial, jump},
    },
    store::schema::AuditRecord,
};

/// Returns the mirrors of a zone that were seen recently.
pub type MirrorSerialsOf = dyn Fn(&str) -> Vec<MirrorSerial> + Send + Sync;

/// The mirrors of each zone that were seen recently, with their serials. `None`: no mirrors are
/// known.
#[derive(Clone, Default)]
pub struct MirrorSerials(pub Option<Arc<MirrorSerialsOf>>);

impl std::fmt::Debug for MirrorSerials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "MirrorSerials({})",
            if self.0.is_some() { "…" } else { "" }
        )
    }
}

impl MirrorSerials {
    /// The mirrors of a zone.
    pub fn of(&self, zone: &str) -> Vec<MirrorSerial> {
        self.0.as_ref().map_or(Vec::new(), |seen| seen(zone))
    }

    /// The serial that a jump leads to, and the mirrors for which it is not newer. `own` are the
    /// serials that the zone is known to have had.
    pub(super) fn jump(
        &self,
        zone: &str,
        own: &[Serial],
        requested: Jump,
    ) -> (Serial, Vec<MirrorSerial>) {
        let seen = self.of(zone);
        let serials: Vec<Serial> = seen.iter().map(|m| m.serial).collect();
        let found = jump(own, requested, &serials);
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

/// An operator's request to set the serial of a zone.
#[derive(Debug, Clone)]
pub struct SerialRequest {
    /// The zone's name.
    pub zone: String,
    /// The serial.
    pub serial: Serial,
    /// Whether to set it although it is not newer for some mirrors.
    pub force: bool,
    /// The audit record.
    pub audit: AuditRecord,
}

/// The result of setting a serial.
#[derive(Debug, Clone)]
pub struct SerialChange {
    /// The receipt of the commit.
    pub receipt: Receipt,
    /// The mirrors for which the serial is not newer. They keep their zone until a transfer is
    /// forced there.
    pub left_behind: Vec<MirrorSerial>,
}
