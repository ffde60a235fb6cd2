//! Commits events about feeds, and the held lists that belong to them.

use super::Writer;
use crate::{
    ledger::{
        accounts::Accounts,
        error::LedgerError,
        feature_rows::FeatureNotice,
        held::{FeedEvent, held_key, held_row},
        transaction::Transaction,
    },
    store::{Batch, schema},
};

impl Writer {
    /// Commits an event about a feed. It is a commit of its own, so that each webhook gets it in
    /// order; without a webhook only the held list is stored.
    pub(in crate::ledger) fn announce_feed(&mut self, event: FeedEvent) -> Result<(), LedgerError> {
        if let Some(why) = self.health.poisoned() {
            return Err(LedgerError::Unavailable(why));
        }
        let mut accounts = Accounts::clone(&self.accounts.load());
        let mut rows = Vec::new();
        if let Some(held) = event.held {
            rows.push((held_key(&held.feed), held_row(&held)?));
            accounts.held.insert_mut(held.feed.clone(), held);
        }
        if accounts.webhooks.values().any(|h| h.paused.is_none()) {
            let mut transaction = Transaction::new(self.clock.now());
            for (key, row) in rows {
                transaction.set(schema::ACCOUNTS, key, Some(row));
            }
            let (event, fields) = (event.event, event.fields);
            transaction.notices.push(FeatureNotice { event, fields });
            self.commit(&transaction, None)?;
        } else if !rows.is_empty() {
            let mut batch = Batch::default();
            for (key, row) in rows {
                batch.put(schema::ACCOUNTS, key, row);
            }
            self.commit_batch(batch)?;
        }
        self.accounts.store(std::sync::Arc::new(accounts));
        Ok(())
    }
}
