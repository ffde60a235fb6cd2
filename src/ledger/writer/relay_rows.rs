//! Commits rows of relay tests, which the ledger does not read.

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
    /// Rows with the changes that belong to them, all or none; the receipt where something was
    /// listed or taken off.
    pub(super) fn record(&mut self, entry: RelayRows) -> Result<Option<Receipt>, LedgerError> {
        entry
            .audit
            .as_ref()
            .map_or(Ok(()), |l| self.check_idempotency(l))?;
        if entry.changes.is_empty() {
            let mut batch = Batch::default();
            put_relay_rows(&entry.rows, &mut batch);
            if let Some(once) = entry.audit.as_ref().and_then(|l| l.idempotency) {
                let made = schema::StoredReceipt {
                    body: once.body,
                    ..schema::StoredReceipt::default()
                };
                batch.put(
                    schema::IDEMPOTENCY,
                    schema::idempotency_key(self.clock.now(), &once.key),
                    schema::encode(&made),
                );
            }
            entry.audit.iter().for_each(|l| {
                batch.put(
                    schema::AUDIT,
                    (self.audited + 1).to_be_bytes().to_vec(),
                    schema::encode(l),
                );
            });
            self.commit_batch(batch)?;
            self.audited += u64::from(entry.audit.is_some());
            return Ok(None);
        }
        let mut transaction = Transaction::new(self.clock.now());
        for change in entry.changes {
            let change = self.check(change)?;
            transaction.decide(&self.store, &change, |s| self.covered(s))?;
        }
        transaction.audit.extend(entry.audit);
        transaction.relay_rows = entry.rows;
        transaction.release_orphaned_holds(&self.store)?;
        self.commit(&transaction, None).map(Some)
    }
}
