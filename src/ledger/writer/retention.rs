//! Erases data whose retention is over: reports of imports, messages of webhooks, and parts of
//! audit records.

use std::sync::{Arc, atomic::Ordering};

use super::Writer;
use crate::{
    ledger::{accounts::Accounts, error::LedgerError, outbox::Message},
    model::{Retention, Time, retention::ERASED},
    store::{
        AuditErasure, Batch, Store,
        schema::{self, AuditRecord},
    },
};

/// The most audit records that one command reads, so that other commands run in between.
const AUDIT_BATCH: usize = 5000;
/// The action of audit records about nominated hosts, whose notes reporters wrote.
const NOMINATE: &str = "nominate";

/// Erases a part of an audit record; returns whether there was something to erase.
fn erase(erasure: AuditErasure, record: &mut AuditRecord) -> bool {
    match erasure {
        AuditErasure::Addresses => {
            let is_address = record.from.parse::<std::net::IpAddr>().is_ok();
            if is_address {
                record.from.clear();
            }
            is_address
        }
        AuditErasure::ReporterTexts => record.action == NOMINATE && record.note.take().is_some(),
    }
}

impl Writer {
    /// Removes old commits of the journal and old history of feeds, as each minute.
    pub(in crate::ledger) fn trim(&mut self) -> Result<(), LedgerError> {
        let imaged = self.imaged.load(Ordering::Relaxed);
        if let Some(batch) = self.store.trim(self.clock.now(), imaged)? {
            self.store.commit(batch)?;
        }
        Ok(())
    }

    /// Removes reports of imports, and messages of webhooks, that are older than their retention.
    /// Returns the number of each.
    pub(in crate::ledger) fn forget_reports_and_messages(
        &mut self,
        periods: Retention,
    ) -> Result<(u64, u64), LedgerError> {
        let now = self.clock.now();
        let mut accounts = Accounts::clone(&self.accounts.load());
        let mut batch = Batch::default();
        let is_old = |at: Time| at.plus(periods.import_reports) < now;
        let reports = accounts.forget_imports(is_old, &mut batch);
        let mut messages = 0;
        self.store.outbox(&[], &mut |key, value| {
            let since = schema::decode::<Message>(value).map(|m| m.since);
            if since.is_some_and(|since| since.plus(periods.webhook_messages) < now) {
                batch.delete(schema::OUTBOX, key.to_vec());
                messages += 1;
            }
            Ok(true)
        })?;
        if reports + messages > 0 {
            self.commit_batch(batch)?;
            self.accounts.store(Arc::new(accounts));
        }
        if messages > 0 {
            self.count_queues()?;
        }
        Ok((reports, messages))
    }

    /// Replaces the notes of events, by their keys. Returns how many had a note.
    pub(in crate::ledger) fn erase_event_notes(
        &mut self,
        keys: Vec<Vec<u8>>,
    ) -> Result<u64, LedgerError> {
        let mut batch = Batch::default();
        let mut erased = 0;
        for key in keys {
            if let Some(mut event) = self.store.event(&key)?
                && let Some(evidence) = &mut event.evidence
            {
                evidence.text = ERASED.into();
                batch.put(schema::EVENTS, key, schema::encode(&event));
                erased += 1;
            }
        }
        if erased > 0 {
            self.commit_batch(batch)?;
        }
        Ok(erased)
    }

    /// Replaces the notes of audit records, by their numbers. Returns how many had a note.
    pub(in crate::ledger) fn erase_audit_notes(
        &mut self,
        numbers: Vec<u64>,
    ) -> Result<u64, LedgerError> {
        let mut batch = Batch::default();
        let mut erased = 0;
        for number in numbers {
            if let Some(mut record) = self.store.audit_record(number)?
                && let Some(note) = &mut record.note
            {
                *note = ERASED.into();
                let key = number.to_be_bytes().to_vec();
                batch.put(schema::AUDIT, key, schema::encode(&record));
                erased += 1;
            }
        }
        if erased > 0 {
            self.commit_batch(batch)?;
        }
        Ok(erased)
    }

    /// Erases a part of the audit records that were written before a time, some records at a time.
    /// Returns how many were changed, and whether more have to be read.
    pub(in crate::ledger) fn erase_in_audit(
        &mut self,
        erasure: AuditErasure,
        before: Time,
    ) -> Result<(u64, bool), LedgerError> {
        let last = self.store.last_erased(erasure)?;
        let (mut read, mut end, mut changed) = (0, last, 0);
        let mut batch = Batch::default();
        let mut is_over = true;
        self.store.audit_from(last + 1, &mut |number, mut record| {
            if record.at >= before {
                return false;
            }
            if read == AUDIT_BATCH {
                is_over = false;
                return false;
            }
            (read, end) = (read + 1, number);
            if erase(erasure, &mut record) {
                let key = number.to_be_bytes().to_vec();
                batch.put(schema::AUDIT, key, schema::encode(&record));
                changed += 1;
            }
            true
        })?;
        if end > last {
            Store::set_last_erased(erasure, end, &mut batch);
            self.commit_batch(batch)?;
        }
        Ok((changed, !is_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasure_clears_addresses_and_notes_of_nominations_alone() {
        let record = |from: &str, action: &str| AuditRecord {
            from: from.into(),
            action: action.into(),
            note: Some("seen in the log of mx.example.org".into()),
            ..AuditRecord::default()
        };
        let mut audited = record("2001:db8::1", "list");
        assert!(erase(AuditErasure::Addresses, &mut audited));
        assert!(audited.from.is_empty() && audited.note.is_some());
        assert!(!erase(
            AuditErasure::Addresses,
            &mut record("socket", "list")
        ));
        assert!(!erase(
            AuditErasure::ReporterTexts,
            &mut record("socket", "list")
        ));
        let mut nominated = record("socket", NOMINATE);
        assert!(erase(AuditErasure::ReporterTexts, &mut nominated));
        assert_eq!((nominated.note, nominated.from.as_str()), (None, "socket"));
    }
}
