//! Commits rows of relay tests, without reading them.

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError,
        receipt::Receipt,
        relay_rows::RelayRows,
        transaction::{Transaction, put_relay_rows},
    },
    store::{Batch, schema},
};

impl Writer {
    /// Commits rows with the changes that belong to them: all or nothing. Returns the receipt if
    /// there are changes.
    pub(super) fn commit_relay_rows(
        &mut self,
        all: RelayRows,
    ) -> Result<Option<Receipt>, LedgerError> {
        all.audit
            .as_ref()
            .map_or(Ok(()), |audit| self.check_idempotency(audit))?;
        if all.changes.is_empty() {
            let mut batch = Batch::default();
            put_relay_rows(&all.rows, &mut batch);
            if let Some(idempotency) = all.audit.as_ref().and_then(|audit| audit.idempotency) {
                let stored = schema::StoredReceipt {
                    body: idempotency.body,
                    ..schema::StoredReceipt::default()
                };
                batch.put(
                    schema::IDEMPOTENCY,
                    schema::idempotency_key(self.clock.now(), &idempotency.key),
                    schema::encode(&stored),
                );
            }
            all.audit.iter().for_each(|audit| {
                batch.put(
                    schema::AUDIT,
                    (self.audited + 1).to_be_bytes().to_vec(),
                    schema::encode(audit),
                );
            });
            self.commit_batch(batch)?;
            self.audited += u64::from(all.audit.is_some());
            return Ok(None);
        }
        let mut transaction = Transaction::new(self.clock.now());
        for change in all.changes {
            let change = self.check(change)?;
            transaction.decide(&self.store, &change, |s| self.covered(s))?;
        }
        transaction.audit.extend(all.audit);
        transaction.relay_rows = all.rows;
        transaction.release_orphaned_holds(&self.store)?;
        self.commit(&transaction, None).map(Some)
    }
}
