//! Applies a configuration: zones, reasons, limits.

use std::{collections::HashMap, sync::Arc};

use super::{Writer, put_zone, sights::unseen_feeds};
use crate::{
    index::{ZoneView, values::Derivations},
    ledger::{
        error::LedgerError,
        names::{NameOwner, check_free},
        publish_rules::publish_rules,
        receipt::Receipt,
        settings::LedgerSettings,
        transaction::Transaction,
    },
    model::{SightLimits, SourceId},
    store::{Batch, Dictionary, dictionary_rows},
};

impl Writer {
    /// Empties the zones whose time in the `[retire]` table has come.
    pub(super) fn retire(&mut self) {
        let now = self.clock.now();
        let due = self.zones.all().iter().filter(|z| z.falls_empty(now));
        let due: Vec<String> = due.map(|z| z.name.to_string()).collect();
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
    pub(in crate::ledger) fn configure(
        &mut self,
        settings: LedgerSettings,
    ) -> Result<Receipt, LedgerError> {
        if let Some(why) = self.health.poisoned() {
            return Err(LedgerError::Unavailable(why));
        }
        // A name that becomes an address must not be unlisted in between.
        self.publishes_later = true;
        let limits = self.sight_limits.clone();
        let applied = self.apply_settings(settings, false);
        if applied.is_err() {
            // The due times are those of the configuration that stays.
            let limits = SightLimits::of(&self.settings.zones);
            if let Err(e) = self.schedule_sights(limits) {
                tracing::error!(error = ?e, "restoring the due times of listings failed");
            }
        }
        let applied = applied.and_then(|mut receipt| {
            if self.sight_limits != limits {
                // What was last seen before a new limit must not be published under it.
                self.expire_at(self.clock.now())?;
            }
            let turned = self.turn_asked_names_once()?.receipt;
            receipt.commit = receipt.commit.max(turned.commit);
            receipt.serials.extend(turned.serials);
            Ok(receipt)
        });
        self.publishes_later = false;
        self.publish();
        let applied = applied.and_then(|receipt| self.note_configured(true).map(|()| receipt));
        self.committed.send_replace(self.seq); // zones and mirrors may have changed
        applied
    }

    /// Applies a configuration: zones, reasons, limits. Zones that render differently get a new
    /// serial and a barrier. If commits are `lost`, all serials jump.
    pub(in crate::ledger) fn apply_settings(
        &mut self,
        settings: LedgerSettings,
        lost: bool,
    ) -> Result<Receipt, LedgerError> {
        let now = self.clock.now();
        let mut dictionary = Dictionary::clone(&self.store.dictionary());
        // A new removal log is used only after the rest of the configuration is applied.
        let new_log = match (&self.removals, &settings.removals) {
            (Some(log), Some(path)) if log.path() == path => None,
            (_, Some(path)) => Some(Some(self.open_removals(path)?)),
            (None, None) => None,
            (Some(_), None) => Some(None),
        };
        let rules = publish_rules(&settings, &mut dictionary, now)?;
        let known = self.store.dictionary();
        for name in &dictionary.sources.0.all()[known.sources.0.all().len()..] {
            check_free(name, NameOwner::Source, &self.accounts.load(), &known)?;
        }
        let texts = settings.reasons.iter();
        let texts: HashMap<String, String> =
            texts.map(|r| (r.name.clone(), r.text.clone())).collect();
        let store = self.store.store_id();
        let mut views = Vec::new();
        for z in &settings.zones {
            let view = ZoneView::with_rules(z, &dictionary.reasons, &texts, &rules)
                .map_err(|e| LedgerError::Invalid(format!("zone {}: {e}", z.origin)))?;
            views.push(view.of_store(store).at(now));
        }
        let zones = self.zones.next(views).map_err(LedgerError::Invalid)?;
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
        self.schedule_sights(SightLimits::of(&settings.zones))?;
        let new_names = dictionary.reasons.0.all() != known.reasons.0.all()
            || dictionary.sources.0.all() != known.sources.0.all();
        if new_names || zone_removed || !receipt.serials.is_empty() {
            receipt.commit = self.seq + 1;
            transaction.barrier = true;
            dictionary_rows(&dictionary, &mut batch);
            self.commit_serials(&transaction, &receipt, moved, batch)?;
            self.store.set_dictionary(dictionary);
        }
        self.unseen = unseen_feeds(&self.sight_limits, &self.store.dictionary(), now);
        let derivations = Derivations::from(&rules);
        if *self.builder.derivations() != derivations {
            self.builder = self.builder.rederived(derivations);
        }
        (self.settings, self.zones, self.serials) = (settings, Arc::new(zones), serials);
        if !self.publishes_later {
            self.publish();
        }
        if let Some(log) = new_log {
            self.switch_removal_log(log);
        }
        self.note_configured(false)?;
        Ok(receipt)
    }

    /// Returns the number of a source; a new name gets one.
    pub(in crate::ledger) fn source(&mut self, name: &str) -> Result<SourceId, LedgerError> {
        let known = self.store.dictionary();
        let mut v = Dictionary::clone(&known);
        let id = v.add_source(name).map_err(LedgerError::Invalid)?;
        if v.records.len() > known.records.len() {
            check_free(name, NameOwner::Source, &self.accounts.load(), &known)?;
            self.save(v)?;
        }
        Ok(id)
    }
}
