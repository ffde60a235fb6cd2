//! The serials of configured zones, and serials that an operator sets.

use super::{Writer, put_zone};
use crate::{
    index::ZoneView,
    ledger::{
        error::LedgerError,
        receipt::Receipt,
        serials::{SerialChange, SerialRequest},
        transaction::Transaction,
    },
    model::{
        Serial,
        serial::{Jump, left_behind},
    },
    store::{Batch, schema::ZoneRecord},
};

impl Writer {
    /// The serial of a zone in a configuration that is being applied; `lost`: commits are lost.
    ///
    /// A serial that is not the same or the next one jumps past those of all mirrors. Mirrors for
    /// which no serial is newer are logged, because the zone has to be served.
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
            // The zone was not served for a while, or was restored.
            Some(r) if r.hash == 0 => seen.jump(&zone.name, &[r.serial], Jump::Past(1)),
            Some(r) => return r.serial.next(),
            None => match seen.jump(&zone.name, &[], Jump::To(first)) {
                (serial, left) if left.is_empty() => (serial, left),
                _ => seen.jump(&zone.name, &[], Jump::Past(Serial::MIN_STEP)),
            },
        };
        if old.is_none() && serial != first {
            tracing::warn!(zone = %zone.name, %serial, configured = %first, "mirrors have newer serials than `serial` in the zone file");
        }
        if !left.is_empty() {
            tracing::error!("{}", left_behind(&zone.name, serial, &left));
        }
        serial
    }

    /// Warns if `serial` in a zone file was changed, which has no effect on an existing zone.
    pub(super) fn warn_of_serials(&self, zones: &[ZoneView], serials: &[Serial]) {
        for (zone, serial) in zones.iter().zip(serials) {
            let old = self.zones.by_name(&zone.name);
            let was = old.map(|i| self.zones.all()[i].spec.serial);
            let wanted = zone.spec.serial;
            if was.is_some_and(|was| was != wanted) && *serial != Serial(wanted) {
                tracing::warn!(
                    "zone {}: `serial` applies only to a new zone, and this zone has {serial}; `orbsd zone serial {} {wanted}` sets a newer one",
                    zone.name,
                    zone.name
                );
            }
        }
    }

    /// Sets a newer serial of a zone, in a commit of its own. Nothing else changes, so that a
    /// mirror gets an IXFR without records.
    pub(in crate::ledger) fn set_serial(
        &mut self,
        request: &SerialRequest,
    ) -> Result<SerialChange, LedgerError> {
        if let Some(why) = self.health.writes_refused() {
            return Err(LedgerError::Unavailable(why));
        }
        self.check_idempotency(request.audit.idempotency)?;
        let missing = || LedgerError::NotFound(format!("there is no zone `{}`", request.zone));
        let i = self.zones.by_name(&request.zone).ok_or_else(missing)?;
        let (name, hash) = (self.zones.all()[i].name.clone(), self.zones.all()[i].hash);
        let (was, to) = (self.serials[i], request.serial);
        if was.partial_cmp(&to) != Some(std::cmp::Ordering::Less) {
            return Err(LedgerError::SerialNotNewer(format!(
                "zone {name} has serial {was}, and {to} is not newer (RFC 1982); use a serial up to {}",
                was.advance(Serial::HALF - 1)
            )));
        }
        let (_, left) = self.settings.mirrors.jump(&name, &[was], Jump::To(to));
        if !left.is_empty() && !request.force {
            return Err(LedgerError::SerialNotNewer(format!(
                "{}; nothing was changed; use --force to set it nevertheless",
                left_behind(&name, to, &left)
            )));
        }
        let mut transaction = Transaction::new(self.clock.now());
        transaction.audit.push(request.audit.clone());
        let receipt = Receipt {
            commit: self.seq + 1,
            serials: [(name.to_string(), to)].into(),
            ..Receipt::default()
        };
        let mut batch = Batch::default();
        put_zone(&mut batch, &name, to, hash);
        let moved = vec![(name.to_string(), was, to)];
        self.commit_serials(&transaction, &receipt, moved, batch)?;
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
