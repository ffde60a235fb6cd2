//! Opens the store again after an error.

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
    /// Opens the store again after an error, and finds out whether the commit in doubt is there.
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
                tracing::error!(error = %e, "every query gets SERVFAIL until the store can be trusted again");
                self.publish_as(false);
            }
            return self.health.set(Some(e.to_string()));
        }
        self.health.set(None);
        // A configuration that was in doubt may be on disk: what is served has to have a serial of
        // its own.
        match self.apply_settings(self.settings.clone(), false) {
            Ok(_) => tracing::info!(commit = self.seq, "the store works again; writes are taken"),
            Err(e) => self.health.set(Some(e.text(&self.store.dictionary()))),
        }
    }

    /// Takes over commits that are in the store and not yet in the tables.
    fn catch_up(&mut self, last: u64) -> Result<(), StoreError> {
        if last > self.seq {
            let v = self.store.dictionary();
            match self.store.changed_since(self.seq)? {
                ChangedSince::Subjects(subjects) => {
                    load(&self.store, &v, &mut self.builder, &subjects)?;
                }
                ChangedSince::Everything => self.builder = build(&self.store, &v)?,
            }
            self.seq = last;
            for (zone, serial) in self.zones.all().iter().zip(&mut self.serials) {
                *serial = self.store.zone(&zone.name)?.map_or(*serial, |r| r.serial);
            }
            self.publish();
        }
        self.journal_bytes = self.store.journal_bytes()?;
        self.next_due = self.store.next_due()?;
        // What was in doubt may be there too.
        self.audited = self.store.audited()?;
        self.accounts.store(Arc::new(Accounts::read(&self.store)?));
        self.count_queues()?;
        Ok(())
    }
}
