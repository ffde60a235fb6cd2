//! Rows of relay tests, which the ledger stores without reading them.

use crate::{model::Change, store::schema::AuditRecord};

/// Rows of relay tests, with the changes and the audit record that are committed with them.
#[derive(Debug, Default)]
pub struct RelayRows {
    /// Keys and values; a value of `None` deletes the row.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Changes of listings.
    pub changes: Vec<Change>,
    /// The audit record.
    pub audit: Option<AuditRecord>,
}

impl RelayRows {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.changes.is_empty() && self.audit.is_none()
    }
}
