//! Erases data whose retention is over.

use super::Ledger;
use crate::{ledger::error::LedgerError, model::Time, store::AuditErasure};

impl Ledger {
    /// Removes old commits of the journal and old history of feeds. May block.
    pub fn trim(&self) -> Result<(), LedgerError> {
        self.call(|writer| writer.trim())
    }

    /// Removes reports of imports, and messages of webhooks, that are older than their retention.
    /// Returns the number of each. May block.
    pub fn forget_reports_and_messages(&self) -> Result<(u64, u64), LedgerError> {
        let periods = self.settings().retention;
        self.call(move |writer| writer.forget_reports_and_messages(periods))
    }

    /// Replaces the notes of events, by their keys. Returns how many had a note. May block.
    pub fn erase_event_notes(&self, keys: Vec<Vec<u8>>) -> Result<u64, LedgerError> {
        self.call(move |writer| writer.erase_event_notes(keys))
    }

    /// Replaces the notes of audit records, by their numbers. Returns how many had a note. May
    /// block.
    pub fn erase_audit_notes(&self, numbers: Vec<u64>) -> Result<u64, LedgerError> {
        self.call(move |writer| writer.erase_audit_notes(numbers))
    }

    /// Erases a part of the audit records that were written before a time, some records at a time.
    /// Returns how many were changed, and whether more have to be read. May block.
    pub fn erase_in_audit(
        &self,
        erasure: AuditErasure,
        before: Time,
    ) -> Result<(u64, bool), LedgerError> {
        self.call(move |writer| writer.erase_in_audit(erasure, before))
    }
}
