//! Jumps of serials: what a zone is given on its first day, when it comes back, after commits were
//! lost, and by a person. [`crate::model::serial::jump`] decides all of them; here is what it is
//! asked with, and the commit.

use std::sync::Arc;

use super::{
    Ledger, Receipt, Refused,
    group::Work,
    handle::Job,
    writer::{Writer, put_zone},
};
use crate::{
    index::ZoneView,
    model::{
        Serial,
        serial::{Jump, SeenMirror, jump, left_behind},
    },
    store::{
        Batch,
        schema::{Audit, ZoneRecord},
    },
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
    pub audit: Audit,
}

/// A serial that was given: the commit, and the mirrors for which it is not newer.
#[derive(Debug, Clone)]
pub struct SerialChange {
    /// The commit.
    pub receipt: Receipt,
    /// The mirrors that keep their old zone until a transfer is forced.
    pub left_behind: Vec<SeenMirror>,
}

impl Ledger {
    /// Gives a zone a newer serial. May block.
    ///
    /// # Errors
    ///
    /// [`Refused::Serial`] where the serial is not newer than the zone's own, or, without `force`,
    /// than those of mirrors.
    pub fn set_serial(&self, request: SerialRequest) -> Result<SerialChange, Refused> {
        self.call(|r| Job::Serial(Box::new(request), r))
    }
}

impl Writer {
    /// The serial of a zone of a configuration that is being taken; `lost`: commits are lost. What
    /// is not a step by one is a jump past all that mirrors were seen to have; those for which
    /// there is no such serial are named, because the zone has to be served.
    pub(super) fn zone_serial(
        &self,
        zone: &ZoneView,
        old: Option<ZoneRecord>,
        lost: bool,
    ) -> Serial {
        let seen = &self.settings.mirrors;
        let first = Serial(zone.spec.serial);
        let (serial, left) = match old {
            Some(r) if lost => seen.jump(&zone.name, &[r.serial], Jump::Past(Serial::MAX_STEP)),
            Some(r) if r.hash == zone.hash => return r.serial,
            // Not served for a while, or restored.
            Some(r) if r.hash == 0 => seen.jump(&zone.name, &[r.serial], Jump::Past(1)),
            Some(r) => return r.serial.next(),
            None => match seen.jump(&zone.name, &[], Jump::To(first)) {
                (serial, left) if left.is_empty() => (serial, left),
                _ => seen.jump(&zone.name, &[], Jump::Past(Serial::MIN_STEP)),
            },
        };
        if old.is_none() && serial != first {
            tracing::warn!(zone = %zone.name, %serial, configured = %first, "mirrors have newer serials than the zone file's `serial`");
        }
        if !left.is_empty() {
            tracing::error!("{}", left_behind(&zone.name, serial, &left));
        }
        serial
    }

    /// Says where a zone file's `serial` was changed, which counts on the zone's first day alone.
    pub(super) fn warn_of_serials(&self, zones: &[ZoneView], serials: &[Serial]) {
        for (zone, serial) in zones.iter().zip(serials) {
            let was = self
                .zones
                .by_name(&zone.name)
                .map(|i| self.zones.all()[i].spec.serial);
            let wanted = zone.spec.serial;
            if was.is_some_and(|was| was != wanted) && *serial != Serial(wanted) {
                tracing::warn!(
                    "zone {}: `serial` counts on its first day alone, and it has {serial}; `orbsd zone serial {} {wanted}` sets a newer one",
                    zone.name,
                    zone.name
                );
            }
        }
    }

    /// Gives a zone a newer serial, in a commit of its own. Nothing else changes, so a mirror takes
    /// an IXFR without records.
    pub(super) fn set_serial(&mut self, request: &SerialRequest) -> Result<SerialChange, Refused> {
        if let Some(why) = self.health.writes_refused() {
            return Err(Refused::Poisoned(why));
        }
        self.first(&request.audit)?;
        let Some(i) = self.zones.by_name(&request.zone) else {
            return Err(Refused::Unknown(format!(
                "there is no zone `{}`",
                request.zone
            )));
        };
        let (name, hash) = (self.zones.all()[i].name.clone(), self.zones.all()[i].hash);
        let (was, to) = (self.serials[i], request.serial);
        if was.partial_cmp(&to) != Some(std::cmp::Ordering::Less) {
            return Err(Refused::Serial(format!(
                "zone {name} has serial {was}, and {to} is not newer (RFC 1982); the newest that is: {}",
                was.advance(Serial::HALF - 1)
            )));
        }
        let (_, left) = self.settings.mirrors.jump(&name, &[was], Jump::To(to));
        if !left.is_empty() && !request.force {
            return Err(Refused::Serial(format!(
                "{}; nothing was changed; --force sets it all the same",
                left_behind(&name, to, &left)
            )));
        }
        let mut work = Work::new(self.clock.now());
        work.audit.push(request.audit.clone());
        let receipt = Receipt {
            commit: self.seq + 1,
            serials: [(name.to_string(), to)].into(),
            ..Receipt::default()
        };
        let mut batch = Batch::default();
        put_zone(&mut batch, &name, to, hash);
        work.asked_rows(self.audited + 1, &receipt, &mut batch);
        let bytes = work.journal(
            receipt.commit,
            vec![(name.to_string(), was, to)],
            self.journal_bytes,
            &mut batch,
        );
        self.log_removals(&work, &receipt.serials, &mut batch)?;
        self.commit_batch(batch)?;
        self.audited += 1;
        (self.seq, self.journal_bytes) = (receipt.commit, bytes);
        self.serials[i] = to;
        self.publish();
        match left.is_empty() {
            true => tracing::info!(zone = %name, %was, serial = %to, "serial set"),
            false => tracing::warn!("serial set by force: {}", left_behind(&name, to, &left)),
        }
        Ok(SerialChange {
            receipt,
            left_behind: left,
        })
    }
}
