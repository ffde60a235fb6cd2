//! Rows of a feature in a family of its own, which the ledger stores without reading them.

use crate::{
    model::Change,
    store::schema::{AuditRecord, FeatureFamily},
};

/// Rows of a feature, with the changes and the audit record that are committed with them.
#[derive(Debug)]
pub struct FeatureRows {
    /// The family of the rows.
    pub family: FeatureFamily,
    /// Keys and values; a value of `None` deletes the row.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Changes of listings.
    pub changes: Vec<Change>,
    /// The audit record.
    pub audit: Option<AuditRecord>,
    /// Events for webhooks, each a message of its own, in the order of their messages.
    pub notices: Vec<FeatureNotice>,
}

/// An event of a feature, of which webhooks are notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureNotice {
    /// The name of the event.
    pub event: &'static str,
    /// The fields of the event.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl FeatureRows {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.changes.is_empty() && self.audit.is_none()
    }
}
