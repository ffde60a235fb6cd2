//! Commits rows of a feature, without reading them.

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError, feature_rows::FeatureRows, receipt::Receipt, transaction::Transaction,
    },
    store::{Batch, schema::FeatureFamily},
};

impl Writer {
    /// Commits rows with the changes and events that belong to them: all or nothing. Returns the
    /// receipt if there are changes.
    pub(in crate::ledger) fn commit_feature_rows(
        &mut self,
        all: FeatureRows,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.check_idempotency(all.audit.as_ref().and_then(|a| a.idempotency))?;
        let notices = match self.has_webhooks() {
            true => all.notices,
            false => Vec::new(),
        };
        let family = all.family.name();
        if all.changes.is_empty() && notices.is_empty() {
            let mut batch = Batch::default();
            for (key, value) in all.rows {
                batch.set(family, key, value);
            }
            self.commit_audited(batch, all.audit)?;
            return Ok(None);
        }
        let mut transaction = Transaction::new(self.clock.now());
        let has_changes = !all.changes.is_empty();
        // Two persons have approved a netblock, and a provider has proved its range.
        let is_approved = matches!(
            all.family,
            FeatureFamily::Netblocks | FeatureFamily::DynamicRanges
        );
        for change in all.changes {
            match is_approved {
                true => self.decide_approved(&mut transaction, change)?,
                false => self.decide(&mut transaction, change)?,
            };
        }
        transaction.audit.extend(all.audit);
        for (key, value) in all.rows {
            transaction.set(family, key, value);
        }
        transaction.notices = notices;
        let receipt = self.commit_changes(&mut transaction)?;
        Ok(has_changes.then_some(receipt))
    }

    /// Whether a webhook gets messages.
    fn has_webhooks(&self) -> bool {
        let accounts = self.accounts.load();
        accounts.webhooks.values().any(|h| h.paused.is_none())
    }
}
