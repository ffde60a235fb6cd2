//! Commits events about feeds, held lists, and the shapes of lists.

use super::Writer;
use crate::{
    ledger::{
        accounts::{AccountChange, Accounts},
        error::LedgerError,
        held::{FeedEvent, held_key, held_row},
        transaction::Transaction,
    },
    store::{
        Batch,
        schema::{self, AcceptedList, ListShape},
    },
};

impl Writer {
    /// Commits an event about a feed. It is a commit of its own, so that each webhook gets it in
    /// order; without a webhook only the held list is stored.
    pub(super) fn announce_feed(&mut self, event: FeedEvent) -> Result<(), LedgerError> {
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
            transaction.account_rows = rows;
            transaction.notice = Some((event.event, event.fields));
            self.commit(&transaction, None)?;
        } else if !rows.is_empty() {
            let mut batch = Batch::default();
            rows.into_iter()
                .for_each(|(key, row)| batch.put(schema::ACCOUNTS, key, row));
            self.commit_batch(batch)?;
        }
        self.accounts.store(std::sync::Arc::new(accounts));
        Ok(())
    }

    /// Applies a change of held lists or of the shapes of lists; a part of
    /// [`Writer::change_accounts`].
    pub(super) fn change_feed_state(
        &self,
        change: AccountChange,
        accounts: &mut Accounts,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        match change {
            AccountChange::HeldList(held) => {
                batch.put(schema::ACCOUNTS, held_key(&held.feed), held_row(&held)?);
                accounts.held.insert_mut(held.feed.clone(), *held);
            }
            AccountChange::DeleteHeldList(feed) => {
                batch.delete(schema::ACCOUNTS, held_key(&feed));
                accounts.held.remove_mut(&feed);
            }
            AccountChange::ResetListShape(source) => {
                let last = self.store.accepted_list(source)?.unwrap_or_default();
                let reset = AcceptedList {
                    shape: ListShape::default(),
                    ..last
                };
                batch.put(
                    schema::META,
                    schema::accepted_key(source),
                    schema::encode(&reset),
                );
            }
            _ => {}
        }
        Ok(())
    }
}
