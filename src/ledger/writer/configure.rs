//! Applies a configuration: zones, reasons, limits.

use std::{collections::HashMap, sync::Arc};

use super::{Writer, put_zone};
use crate::{
    index::ZoneView,
    ledger::{
        error::LedgerError,
        names::{NameOwner, check_free},
        receipt::Receipt,
        settings::LedgerSettings,
        transaction::Transaction,
    },
    model::SourceId,
    store::{Batch, Dictionary, dictionary_rows, schema},
};

impl Writer {
    /// Empties the zones whose time in the `[retire]` table has come.
    pub(super) fn retire(&mut self) {
        let now = self.clock.now();
        let due: Vec<String> = self
            .zones
            .all()
            .iter()
            .filter(|z| z.falls_empty(now))
            .map(|z| z.name.to_string())
            .collect();
        if due.is_empty() {
            return;
        }
        match self.apply_settings(self.settings.clone(), false) {
            Ok(receipt) => {
                tracing::warn!(zones = ?due, serials = ?receipt.serials, "retired zones are empty from now on");
            }
            Err(e) => {
                tracing::error!(zones = ?due, why = e.text(&self.store.dictionary()), "emptying a retired zone failed; retrying");
            }
        }
    }

    /// Applies a new configuration, unless writes are refused because the store has failed.
    pub(super) fn configure(&mut self, settings: LedgerSettings) -> Result<Receipt, LedgerError> {
        match self.health.poisoned() {
            Some(why) => Err(LedgerError::Unavailable(why)),
            None => {
                let receipt = self.apply_settings(settings, false)?;
                self.note_configured(true)?;
                Ok(receipt)
            }
        }
    }

    /// Applies a configuration: zones, reasons, limits. Zones that render differently get a new
    /// serial and a barrier. If commits are `lost`, all serials jump.
    pub(in crate::ledger) fn apply_settings(
        &mut self,
        settings: LedgerSettings,
        lost: bool,
    ) -> Result<Receipt, LedgerError> {
        let mut dictionary = Dictionary::clone(&self.store.dictionary());
        // A new removal log is used only after the rest of the configuration is applied.
        let new_log = match (&self.removals, &settings.removals) {
            (Some(log), Some(path)) if log.path() == path => None,
            (_, Some(path)) => Some(Some(self.open_removals(path)?)),
            (None, None) => None,
            (Some(_), None) => Some(None),
        };
        for r in &settings.reasons {
            dictionary
                .reasons
                .add(&r.name)
                .map_err(LedgerError::Invalid)?;
        }
        let texts: HashMap<String, String> = settings
            .reasons
            .iter()
            .map(|r| (r.name.clone(), r.text.clone()))
            .collect();
        let now = self.clock.now();
        let store = self.store.store_id();
        let view = |z| {
            Ok(ZoneView::new(z, &dictionary.reasons, &texts)?
                .of_store(store)
                .at(now))
        };
        let views = settings.zones.iter().map(|z| {
            view(z).map_err(|e: String| LedgerError::Invalid(format!("zone {}: {e}", z.origin)))
        });
        let zones = self
            .zones
            .next(views.collect::<Result<_, _>>()?)
            .map_err(LedgerError::Invalid)?;
        let mut transaction = Transaction::new(now);
        let (mut serials, mut moved) = (Vec::new(), Vec::new());
        let mut receipt = Receipt {
            commit: self.seq,
            ..Receipt::default()
        };
        let mut batch = Batch::default();
        for zone in zones.all() {
            let old = self.store.zone(&zone.name)?;
            let serial = self.zone_serial(zone, old, lost);
            serials.push(serial);
            if old.is_none_or(|r| (r.serial, r.hash) != (serial, zone.hash)) {
                put_zone(&mut batch, &zone.name, serial, zone.hash);
                receipt.serials.insert(zone.name.to_string(), serial);
                moved.push((
                    zone.name.to_string(),
                    old.map_or(serial, |r| r.serial),
                    serial,
                ));
            }
        }
        // The serial of a zone that is not served does not follow changes. Hash 0 marks the zone,
        // so that its serial jumps when it is served again.
        let mut zone_removed = false;
        for (origin, record) in self.store.zones()? {
            if record.hash != 0 && zones.by_name(&origin).is_none() {
                put_zone(&mut batch, &origin, record.serial, 0);
                zone_removed = true;
            }
        }
        self.warn_of_serials(zones.all(), &serials);
        let new_reasons = dictionary.reasons.0.all() != self.store.dictionary().reasons.0.all();
        if new_reasons || zone_removed || !receipt.serials.is_empty() {
            receipt.commit = self.seq + 1;
            transaction.barrier = true;
            dictionary_rows(&dictionary, &mut batch);
            let bytes = transaction.journal(receipt.commit, moved, self.journal_bytes, &mut batch);
            if self.removals.is_some() {
                self.log_removals(&transaction, &receipt.serials, &mut batch)?;
            }
            self.commit_batch(batch)?;
            (self.seq, self.journal_bytes) = (receipt.commit, bytes);
            self.store.set_dictionary(dictionary);
        }
        (self.settings, self.zones, self.serials) = (settings, Arc::new(zones), serials);
        self.publish();
        if let Some(log) = new_log {
            self.switch_removal_log(log);
        }
        self.note_configured(false)?;
        Ok(receipt)
    }

    /// Returns the number of a source; a new name gets one.
    pub(super) fn source(&mut self, name: &str) -> Result<SourceId, LedgerError> {
        let mut v = Dictionary::clone(&self.store.dictionary());
        let id = v.sources.add(name).map_err(LedgerError::Invalid)?;
        if usize::from(id.0) == v.records.len() {
            check_free(
                name,
                NameOwner::Source,
                &self.accounts.load(),
                &self.store.dictionary(),
            )?;
            v.records.push(schema::SourceRecord {
                name: name.into(),
                ..Default::default()
            });
            self.save(v)?;
        }
        Ok(id)
    }
}
