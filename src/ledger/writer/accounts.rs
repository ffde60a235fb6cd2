//! Commits changes of users, tokens, webhooks, proposals and other named values.

use std::sync::Arc;

use super::Writer;
use crate::{
    ledger::{
        accounts::{AccountChange, Accounts, PERSON, PROPOSAL, TOKEN, USED, WEBHOOK},
        error::LedgerError,
        names::{NameOwner, check_free},
    },
    store::{Batch, schema},
};

impl Writer {
    /// Applies a change of proposals; a part of [`Writer::change_accounts`].
    fn change_proposals(
        &self,
        change: AccountChange,
        accounts: &mut Accounts,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        let key = |id: &str| format!("{PROPOSAL}{id}").into_bytes();
        match change {
            AccountChange::Proposal(p) => {
                // Of two requests at the same time, the later replaces the earlier.
                if let Some(earlier) = accounts
                    .proposals
                    .same(&p.change)
                    .map(|e| e.id.clone())
                    .filter(|id| *id != p.id)
                {
                    batch.delete(schema::ACCOUNTS, key(&earlier));
                    accounts.proposals.remove(&earlier);
                }
                accounts.proposals.check(&p, self.settings.proposals)?;
                batch.put(schema::ACCOUNTS, key(&p.id), schema::encode(&p));
                accounts.proposals.add(p, true);
            }
            AccountChange::ReturnedProposal(p) => {
                batch.put(schema::ACCOUNTS, key(&p.id), schema::encode(&p));
                accounts.proposals.add(p, false);
            }
            AccountChange::DeleteProposals(ids) => {
                for id in ids {
                    batch.delete(schema::ACCOUNTS, key(&id));
                    if !accounts.proposals.remove(&id) {
                        return Err(LedgerError::NotFound(format!(
                            "there is no proposal `{id}`; it may have been decided or deleted"
                        )));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Commits a change of an account with its audit record, and publishes the accounts.
    pub(super) fn change_accounts(
        &mut self,
        change: AccountChange,
        audit: Option<&schema::AuditRecord>,
    ) -> Result<(), LedgerError> {
        audit.map_or(Ok(()), |a| self.check_idempotency(a))?;
        let mut accounts = Accounts::clone(&self.accounts.load());
        let mut batch = Batch::default();
        match change {
            AccountChange::User(was, p) => {
                if accounts.users.get(&p.name) != was.as_deref() {
                    return Err(LedgerError::Conflict(format!(
                        "`{}` was changed meanwhile; read it again",
                        p.name
                    )));
                }
                if was.is_none() {
                    check_free(
                        &p.name,
                        NameOwner::User,
                        &accounts,
                        &self.store.dictionary(),
                    )?;
                }
                batch.put(
                    schema::ACCOUNTS,
                    format!("{PERSON}{}", p.name).into_bytes(),
                    schema::encode(&p),
                );
                let owners = accounts.owners();
                accounts.users.insert_mut(p.name.clone(), p);
                if owners > 0 && accounts.owners() == 0 {
                    return Err(LedgerError::Conflict(
                        "this is the last owner; make another user an owner first".into(),
                    ));
                }
            }
            AccountChange::Token(t) => {
                // A token of an earlier version may have such a name, and can still be revoked.
                if !t.person && !accounts.tokens.contains_key(&t.id) {
                    check_free(
                        &t.owner,
                        NameOwner::Program,
                        &accounts,
                        &self.store.dictionary(),
                    )?;
                }
                batch.put(
                    schema::ACCOUNTS,
                    format!("{TOKEN}{}", t.id).into_bytes(),
                    schema::encode(&t),
                );
                accounts.tokens.insert_mut(t.id.clone(), t);
            }
            change @ (AccountChange::Proposal(_)
            | AccountChange::ReturnedProposal(_)
            | AccountChange::DeleteProposals(_)) => {
                self.change_proposals(change, &mut accounts, &mut batch)?;
            }
            AccountChange::Webhook(h) => {
                batch.put(
                    schema::ACCOUNTS,
                    format!("{WEBHOOK}{}", h.id).into_bytes(),
                    schema::encode(&h),
                );
                accounts.webhooks.insert_mut(h.id.clone(), h);
            }
            AccountChange::DeleteWebhook(id) => {
                batch.delete(schema::ACCOUNTS, format!("{WEBHOOK}{id}").into_bytes());
                let prefix = [id.as_bytes(), &[0]].concat();
                batch.delete_range(schema::OUTBOX, prefix.clone(), schema::after(&prefix));
                accounts.webhooks.remove_mut(&id);
            }
            AccountChange::AuditOnly => {}
            AccountChange::TokenUsed(id, at) => {
                batch.put(
                    schema::ACCOUNTS,
                    format!("{USED}{id}").into_bytes(),
                    schema::encode(&at),
                );
                accounts.used.insert_mut(id, at);
            }
            AccountChange::Import(id, at, report) => {
                accounts.set_import(id, at, report, &mut batch);
            }
            AccountChange::Answer(idempotency, status, body) => {
                batch.put(
                    schema::IDEMPOTENCY,
                    schema::answer_key(self.clock.now(), &idempotency.key),
                    schema::encode(&(idempotency.body, status, body)),
                );
            }
            change @ (AccountChange::HeldList(_)
            | AccountChange::DeleteHeldList(_)
            | AccountChange::ResetListShape(_)) => {
                self.change_feed_state(change, &mut accounts, &mut batch)?;
            }
        }
        if let Some(idempotency) = audit.and_then(|a| a.idempotency) {
            let stored = schema::StoredReceipt {
                body: idempotency.body,
                ..schema::StoredReceipt::default()
            };
            batch.put(
                schema::IDEMPOTENCY,
                schema::idempotency_key(self.clock.now(), &idempotency.key),
                schema::encode(&stored),
            );
        }
        audit.into_iter().for_each(|record| {
            batch.put(
                schema::AUDIT,
                (self.audited + 1).to_be_bytes().to_vec(),
                schema::encode(record),
            );
        });
        self.commit_batch(batch)?;
        self.audited += u64::from(audit.is_some());
        self.queues
            .retain(|id, _| accounts.webhooks.contains_key(id));
        self.report_queues();
        self.accounts.store(Arc::new(accounts));
        Ok(())
    }
}
