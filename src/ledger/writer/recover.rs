//! Recovers after an error of the store.

use std::sync::Arc;

use super::Writer;
use crate::{
    ledger::{
        accounts::Accounts,
        tables::{build, load},
    },
    store::{StoreError, journal::ChangedSince},
};

impl Writer {
    /// Opens the store again after an error, and finds out whether the last commit was stored.
    pub(super) fn recover(&mut self) {
        let found = self
            .store
            .reopen()
            .and_then(|()| self.store.seq())
            .and_then(|seq| match seq < self.seq {
                true => Err(StoreError::Damaged(format!(
                    "commits {} to {} were acknowledged and are missing",
                    seq + 1,
                    self.seq
                ))),
                false => self.catch_up(seq),
            });
        if let Err(e) = found {
            if matches!(e, StoreError::Damaged(_)) {
                tracing::error!(error = %e, "the store is damaged; every query gets SERVFAIL");
                self.publish_as(false);
            }
            return self.health.set(Some(e.to_string()));
        }
        self.health.set(None);
        // The failed commit may have been that of another configuration, with its serials. Applying
        // the present one again gives its zones serials of their own.
        match self.apply_settings(self.settings.clone(), false) {
            Ok(_) => tracing::info!(
                commit = self.seq,
                "the store works again; writes are accepted"
            ),
            Err(e) => self.health.set(Some(e.text(&self.store.dictionary()))),
        }
    }

    /// Loads commits that are in the store and not yet in the tables.
    fn catch_up(&mut self, last: u64) -> Result<(), StoreError> {
        if last > self.seq {
            let v = self.store.dictionary();
            match self.store.changed_since(self.seq)? {
                ChangedSince::Subjects(subjects) => {
                    load(&self.store, &v, &mut self.builder, &subjects)?;
                }
                ChangedSince::Everything => {
                    let derivations = self.builder.derivations().clone();
                    self.builder = build(&self.store, &v, derivations)?;
                }
            }
            self.seq = last;
            for (zone, serial) in self.zones.all().iter().zip(&mut self.serials) {
                *serial = self.store.zone(&zone.name)?.map_or(*serial, |r| r.serial);
            }
            self.publish();
        }
        self.journal_bytes = self.store.journal_bytes()?;
        self.next_due = self.store.next_due()?;
        // The failed batch may have had audit records or accounts.
        self.audited = self.store.audited()?;
        self.accounts.store(Arc::new(Accounts::read(&self.store)?));
        self.count_queues()?;
        Ok(())
    }
}
