//! Commits rows of relay tests, without reading them.

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError, receipt::Receipt, relay_rows::RelayRows, transaction::Transaction,
    },
    store::{Batch, schema},
};

impl Writer {
    /// Commits rows with the changes that belong to them: all or nothing. Returns the receipt if
    /// there are changes.
    pub(in crate::ledger) fn commit_relay_rows(
        &mut self,
        all: RelayRows,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.check_idempotency(all.audit.as_ref().and_then(|a| a.idempotency))?;
        if all.changes.is_empty() {
            let mut batch = Batch::default();
            for (key, value) in all.rows {
                batch.set(schema::RELAY, key, value);
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
            transaction.set(schema::RELAY, key, value);
        }
        self.commit_changes(&mut transaction).map(Some)
    }
}
