//! Users, tokens, webhooks and what else is kept by name: reading, and asking for changes.

use std::sync::Arc;

use super::Ledger;
use crate::{
    ledger::{
        accounts::{AccountChange, Accounts},
        command::WriterCommand,
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
        line: Option<schema::AuditRecord>,
    ) -> Result<(), LedgerError> {
        self.call(|r| WriterCommand::ChangeAccounts(Box::new((change, line)), r))
    }

    /// Changes an account, with an audit record unless the change is not one that a person made.
    pub async fn change_accounts(
        &self,
        change: AccountChange,
        line: Option<schema::AuditRecord>,
    ) -> Result<(), LedgerError> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(WriterCommand::ChangeAccounts(Box::new((change, line)), tx))
            .await
            .map_err(|_| LedgerError::Stopped)?;
        rx.await.unwrap_or(Err(LedgerError::Stopped))
    }

    /// Writes an audit record of an action that changes nothing else in the store.
    pub async fn note(&self, line: schema::AuditRecord) -> Result<(), LedgerError> {
        self.change_accounts(AccountChange::AuditOnly, Some(line))
            .await
    }
}
