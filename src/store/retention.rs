//! How far the audit log was read for what has to be erased from it.

use super::{
    handle::{Batch, Result, Store},
    schema::{self, AuditRecord},
};
use crate::model::time::Seconds;

/// What is erased from old audit records. The records themselves are never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditErasure {
    /// The network address that the request came from.
    Addresses,
    /// What a reporter wrote about a nominated host.
    ReporterTexts,
}

impl AuditErasure {
    /// The key, in the family `meta`, of the number of the last record that was read.
    fn key(self) -> &'static [u8] {
        match self {
            AuditErasure::Addresses => b"erased/addresses",
            AuditErasure::ReporterTexts => b"erased/reporter-texts",
        }
    }
}

impl Store {
    /// The number of the last audit record that was read for an erasure; 0 if there is none.
    pub fn last_erased(&self, erasure: AuditErasure) -> Result<u64> {
        let read = self.read_number(erasure.key(), "the end of the erased audit records")?;
        Ok(read.map_or(0, u64::from_be_bytes))
    }

    /// Adds the number of the last record that was read for an erasure to a batch.
    pub fn set_last_erased(erasure: AuditErasure, number: u64, batch: &mut Batch) {
        let number = number.to_be_bytes().to_vec();
        batch.put(schema::META, erasure.key().to_vec(), number);
    }

    /// How long the history of feeds is kept, and how long commits stay in the journal.
    pub fn periods(&self) -> [Seconds; 2] {
        [self.settings.feed_event_age, self.settings.journal_age]
    }

    /// Visits the audit records from a number on, in ascending order, until `f` returns false.
    pub fn audit_from(&self, from: u64, f: &mut dyn FnMut(u64, AuditRecord) -> bool) -> Result<()> {
        self.rows(schema::AUDIT, &from.to_be_bytes(), &mut |k, v| {
            let number = self.number(k, "an audit record")?;
            let record = self.decode(v, format_args!("audit record {number}"))?;
            Ok(f(number, record))
        })
    }
}
