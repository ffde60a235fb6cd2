//! Ending what is due. Of what is due by one time, listings and sources end first, exemptions and
//! holds after them, whatever their own due times, and nothing is published before all of it has
//! ended: however late the ledger looks at the clock, no query sees a host whose exemption has
//! ended while the listing that has ended with it still stands.

#[cfg(test)]
mod tests;

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError,
        transaction::{EXPIRY, Transaction},
    },
    model::{Change, SourceId, Time, history::Command},
    store::StoreError,
};

/// How many subjects one commit ends at most; few in unit tests, so that what is due takes several.
const DUE_BATCH: usize = if cfg!(test) { 4 } else { 4096 };

fn failed(e: LedgerError) -> StoreError {
    match e {
        LedgerError::Unavailable(why) | LedgerError::OutcomeUnknown(why) => StoreError::Io(why),
        e => StoreError::Io(format!("{e:?}")),
    }
}

impl Writer {
    /// Ends everything that is due now, and publishes it as one.
    ///
    /// # Errors
    /// The store fails. What has ended by then is published; what stands open is ended by the next
    /// call, in the same order.
    pub(in crate::ledger) fn expire(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let before = self.seq;
        self.expiring = true;
        let done = self.expire_at(now);
        self.expiring = false;
        if self.seq != before {
            self.publish();
        }
        done
    }

    fn expire_at(&mut self, now: Time) -> Result<(), StoreError> {
        let due = self.next_due.is_some_and(|t| t <= now);
        if due {
            self.end_listings(now)?;
        }
        self.end_sources(now)?;
        if due {
            self.end_all(now)?;
        }
        Ok(())
    }

    /// Ends the listings that are due. Where all that is due fits into one commit the order makes
    /// no difference.
    fn end_listings(&mut self, now: Time) -> Result<(), StoreError> {
        let mut last = None;
        loop {
            let due = self.store.due(last.as_ref(), now, DUE_BATCH)?;
            if last.is_none() && due.len() < DUE_BATCH {
                return Ok(());
            }
            let mut transaction = Transaction::new(now);
            for (_, subject) in &due {
                transaction
                    .end_listings(&self.store, subject)
                    .map_err(failed)?;
            }
            if !transaction.is_empty() {
                transaction
                    .release_orphaned_holds(&self.store)
                    .and_then(|()| self.commit(&transaction, None))
                    .map_err(failed)?;
            }
            match due.into_iter().next_back() {
                Some(end) => last = Some(end),
                None => return Ok(()),
            }
        }
    }

    /// Ends the whole life of feeds that were not imported in time: one commit for each.
    fn end_sources(&mut self, now: Time) -> Result<(), StoreError> {
        let v = self.store.dictionary();
        let over = |i: &usize| v.records[*i].expires.is_some_and(|t| t <= now);
        let mut done = Ok(());
        for i in (0..v.records.len()).filter(over) {
            if let Err(e) = self.end_source(SourceId(i as u16)) {
                tracing::error!(source = v.records[i].name, error = ?e, "the feed's listings could not be ended");
                done = Err(failed(e));
            }
        }
        done
    }

    /// Ends all else that is due.
    fn end_all(&mut self, now: Time) -> Result<(), StoreError> {
        while self.next_due.is_some_and(|t| t <= now) {
            let due = self.store.due(None, now, DUE_BATCH)?;
            let mut transaction = Transaction::new(now);
            for (_, subject) in &due {
                let change = Change::new(subject.clone(), EXPIRY, Command::Expire);
                // Expiry has no rule that could refuse it; what the store says to it comes back
                // below.
                if let Err(LedgerError::Unavailable(e)) =
                    transaction.decide(&self.store, &change, |_| false)
                {
                    return Err(StoreError::Io(e));
                }
            }
            transaction.clear_due(due);
            transaction
                .release_orphaned_holds(&self.store)
                .and_then(|()| self.commit(&transaction, None))
                .map_err(failed)?;
            self.next_due = self.store.next_due()?;
        }
        Ok(())
    }
}
