//! Commits rows of relay tests.

use super::Ledger;
use crate::ledger::{error::LedgerError, receipt::Receipt, relay_rows::RelayRows};

impl Ledger {
    /// Commits rows of relay tests with the changes that belong to them: all or nothing. Returns
    /// the receipt if a listing was changed.
    pub fn commit_relay_rows(&self, rows: RelayRows) -> Result<Option<Receipt>, LedgerError> {
        self.call(|writer| writer.commit_relay_rows(rows))
    }
}
