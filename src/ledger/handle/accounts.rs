//! Reads and changes users, tokens, webhooks and other named values.

use std::sync::Arc;

use super::Ledger;
use crate::{
    ledger::{
        accounts::{AccountChange, Accounts},
        error::LedgerError,
    },
    store::schema,
};

impl Ledger {
    /// Users, tokens and other named values.
    pub fn accounts(&self) -> Arc<Accounts> {
        self.accounts.load_full()
    }

    /// Changes an account, from a thread that may block; see [`Ledger::change_accounts`].
    pub fn change_accounts_blocking(
        &self,
        change: AccountChange,
        audit: Option<schema::AuditRecord>,
    ) -> Result<(), LedgerError> {
        self.call(|writer| writer.change_accounts(change, audit))
    }

    /// Changes an account. A change that a person requested has an audit record.
    pub async fn change_accounts(
        &self,
        change: AccountChange,
        audit: Option<schema::AuditRecord>,
    ) -> Result<(), LedgerError> {
        self.call_async(|writer| writer.change_accounts(change, audit))
            .await
    }

    /// Writes the audit record of an action that changes nothing else in the store.
    pub async fn note(&self, audit: schema::AuditRecord) -> Result<(), LedgerError> {
        self.change_accounts(AccountChange::AuditOnly, Some(audit))
            .await
    }
}
