//! Commits rows of a feature.

use super::Ledger;
use crate::ledger::{error::LedgerError, feature_rows::FeatureRows, receipt::Receipt};

impl Ledger {
    /// Commits rows of a feature with the changes that belong to them: all or nothing. Returns the
    /// receipt if a listing was changed.
    pub fn commit_feature_rows(&self, rows: FeatureRows) -> Result<Option<Receipt>, LedgerError> {
        if rows.is_empty() {
            return Ok(None);
        }
        self.call(|writer| writer.commit_feature_rows(rows))
    }
}
