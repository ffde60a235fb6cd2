//! Ends listings, sources, exemptions and holds that are due, and ages listings that were last seen
//! too long ago for a zone.
//!
//! Listings and sources end before exemptions and holds, whatever their own due times, and nothing
//! is published until all of them have ended. However late the ledger checks the clock, no query
//! finds a host whose exemption has ended while an expired listing of it is still in force.

#[cfg(test)]
pub(super) mod tests;

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError,
        settings::ExpiryBatch,
        transaction::{EXPIRY, Transaction},
    },
    model::{Change, SourceId, Time, history::Command},
};

impl Writer {
    /// Ends everything that is due now, and publishes it at once.
    ///
    /// # Errors
    ///
    /// The store fails. The parts that have ended by then are published; the next call ends the
    /// rest, in the same order.
    pub(in crate::ledger) fn expire(&mut self) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let before = self.seq;
        self.publishes_later = true;
        let done = self.expire_at(now);
        self.publishes_later = false;
        if self.seq != before {
            self.publish();
        }
        done
    }

    /// As [`Writer::expire`], without publishing it.
    pub(super) fn expire_at(&mut self, now: Time) -> Result<(), LedgerError> {
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

    /// Ends the listings that are due. Does nothing if all due subjects fit into one commit, in
    /// which the order does not matter.
    fn end_listings(&mut self, now: Time) -> Result<(), LedgerError> {
        let mut last = None;
        loop {
            let ExpiryBatch(most) = self.settings.expiry_batch;
            let due = self.store.due(last.as_ref(), now, most)?;
            if last.is_none() && due.len() < most {
                return Ok(());
            }
            let mut transaction = Transaction::new(now);
            for (_, subject) in &due {
                transaction.end_listings(&self.store, subject)?;
            }
            if !transaction.is_empty() {
                self.commit_changes(&mut transaction)?;
            }
            match due.into_iter().next_back() {
                Some(end) => last = Some(end),
                None => return Ok(()),
            }
        }
    }

    /// Ends the listings of feeds that were not imported in time, with one commit for each feed.
    fn end_sources(&mut self, now: Time) -> Result<(), LedgerError> {
        let v = self.store.dictionary();
        let expired = |i: &usize| v.records[*i].expires.is_some_and(|t| t <= now);
        let mut result = Ok(());
        for i in (0..v.records.len()).filter(expired) {
            if let Err(e) = self.end_source(SourceId(i as u16)) {
                tracing::error!(source = v.records[i].name, error = ?e, "ending the listings of an expired feed failed");
                result = Err(e);
            }
        }
        result
    }

    /// Ends everything else that is due, and notes which limits listings have outlived.
    fn end_all(&mut self, now: Time) -> Result<(), LedgerError> {
        while self.next_due.is_some_and(|t| t <= now) {
            let due = self.store.due(None, now, self.settings.expiry_batch.0)?;
            let mut transaction = Transaction::new(now);
            for (_, subject) in &due {
                let change = Change::new(subject.clone(), EXPIRY, Command::Expire);
                // No rule refuses an expiry. Other errors of the store are found by the commit
                // below.
                let decided = transaction.decide(&self.store, &change, |_| false);
                if let Err(e @ LedgerError::Unavailable(_)) = decided {
                    return Err(e);
                }
                transaction.age(&self.store, subject, &self.sight_limits)?;
            }
            transaction.clear_due(due);
            self.commit_changes(&mut transaction)?;
            self.next_due = self.store.next_due()?;
        }
        Ok(())
    }
}
