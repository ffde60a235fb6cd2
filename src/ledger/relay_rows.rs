//! Commits rows of relay tests, which the ledger does not read.

use super::{
    group::{Work, put_relay_rows},
    handle::{Receipt, Refused, RelayRows},
    writer::Writer,
};
use crate::store::{Batch, schema};

impl Writer {
    /// Rows with the changes that belong to them, all or none; the receipt where something was
    /// listed or taken off.
    pub(super) fn record(&mut self, entry: RelayRows) -> Result<Option<Receipt>, Refused> {
        entry.audit.as_ref().map_or(Ok(()), |l| self.first(l))?;
        if entry.changes.is_empty() {
            let mut batch = Batch::default();
            put_relay_rows(&entry.rows, &mut batch);
            if let Some(once) = entry.audit.as_ref().and_then(|l| l.once) {
                let made = schema::Made {
                    body: once.body,
                    ..schema::Made::default()
                };
                batch.put(
                    schema::ONCE,
                    schema::once_key(self.clock.now(), &once.key),
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
        let mut work = Work::new(self.clock.now());
        for change in entry.changes {
            let change = self.check(change)?;
            work.decide(&self.store, &change, |s| self.covered(s))?;
        }
        work.audit.extend(entry.audit);
        work.probes = entry.rows;
        work.uncover(&self.store)?;
        self.commit(&work, None).map(Some)
    }
}
