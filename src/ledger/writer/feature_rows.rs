//! Commits rows of a feature, without reading them.

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError,
        feature_rows::{FeatureNotice, FeatureRows},
        receipt::Receipt,
        transaction::Transaction,
    },
    store::Batch,
};

impl Writer {
    /// Commits rows with the changes that belong to them: all or nothing. Returns the receipt if
    /// there are changes.
    pub(in crate::ledger) fn commit_feature_rows(
        &mut self,
        mut all: FeatureRows,
    ) -> Result<Option<Receipt>, LedgerError> {
        let is_heard = self.has_webhooks();
        let notices = std::mem::take(&mut all.notices).into_iter();
        let mut notices = notices.filter(|_| is_heard);
        self.check_idempotency(all.audit.as_ref().and_then(|a| a.idempotency))?;
        let family = all.family.name();
        if all.changes.is_empty()
            && let Some(first) = notices.next()
        {
            let mut transaction = Transaction::new(self.clock.now());
            transaction.audit.extend(all.audit);
            for (key, value) in all.rows {
                transaction.set(family, key, value);
            }
            transaction.notice = Some((first.event, first.fields));
            self.commit(&transaction, None)?;
            self.announce_features(notices);
            return Ok(None);
        }
        if all.changes.is_empty() {
            let mut batch = Batch::default();
            for (key, value) in all.rows {
                batch.set(family, key, value);
            }
            self.commit_audited(batch, all.audit)?;
            return Ok(None);
        }
        let mut transaction = Transaction::new(self.clock.now());
        for change in all.changes {
            self.decide(&mut transaction, change)?;
        }
        transaction.audit.extend(all.audit);
        for (key, value) in all.rows {
            transaction.set(family, key, value);
        }
        let receipt = self.commit_changes(&mut transaction)?;
        self.announce_features(notices);
        Ok(Some(receipt))
    }

    /// Whether a webhook gets messages.
    fn has_webhooks(&self) -> bool {
        let accounts = self.accounts.load();
        accounts.webhooks.values().any(|h| h.paused.is_none())
    }

    /// Commits events that follow a commit, each as a commit of its own, so that each webhook gets
    /// them in order. What they report is committed, so that a failure is only logged.
    fn announce_features(&mut self, notices: impl Iterator<Item = FeatureNotice>) {
        for notice in notices {
            let mut transaction = Transaction::new(self.clock.now());
            let event = notice.event;
            transaction.notice = Some((event, notice.fields));
            if let Err(e) = self.commit(&transaction, None) {
                let error = e.text(&self.store.dictionary());
                tracing::warn!(event, error, "webhooks do not get an event");
            }
        }
    }
}
