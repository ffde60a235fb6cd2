//! Commits changes of users, tokens, webhooks, proposals and other named values.

use std::sync::Arc;

use super::Writer;
use crate::{
    ledger::{
        accounts::{AccountChange, Accounts, PERSON, PROPOSAL, TOKEN, USED, WEBHOOK, key, put},
        error::LedgerError,
        held::{held_key, held_row},
        names::{NameOwner, check_free},
        notices::{NOTICE, notice_key, notice_row, surplus},
    },
    store::{
        Batch,
        schema::{self, AcceptedList, AuditRecord, ListShape},
    },
};

impl Writer {
    /// Commits a change of an account with its audit record, and publishes the accounts.
    pub(in crate::ledger) fn change_accounts(
        &mut self,
        change: AccountChange,
        audit: Option<AuditRecord>,
    ) -> Result<(), LedgerError> {
        self.check_idempotency(audit.as_ref().and_then(|a| a.idempotency))?;
        let mut accounts = Accounts::clone(&self.accounts.load());
        let mut batch = Batch::default();
        self.apply_account_change(change, &mut accounts, &mut batch)?;
        self.commit_audited(batch, audit)?;
        self.queues
            .retain(|id, _| accounts.webhooks.contains_key(id));
        self.report_queues();
        self.accounts.store(Arc::new(accounts));
        Ok(())
    }

    fn apply_account_change(
        &self,
        change: AccountChange,
        accounts: &mut Accounts,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        let v = self.store.dictionary();
        match change {
            AccountChange::User(was, p) => {
                if accounts.users.get(&p.name) != was.as_deref() {
                    return Err(LedgerError::Conflict(format!(
                        "`{}` was changed meanwhile; read it again",
                        p.name
                    )));
                }
                if was.is_none() {
                    check_free(&p.name, NameOwner::User, accounts, &v)?;
                }
                put(batch, PERSON, &p.name, &p);
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
                    check_free(&t.owner, NameOwner::Program, accounts, &v)?;
                }
                put(batch, TOKEN, &t.id, &t);
                accounts.tokens.insert_mut(t.id.clone(), t);
            }
            AccountChange::Proposal(p) => {
                // Of two requests at the same time, the later replaces the earlier.
                let earlier = accounts.proposals.same(&p.change).map(|e| e.id.clone());
                if let Some(earlier) = earlier.filter(|id| *id != p.id) {
                    batch.delete(schema::ACCOUNTS, key(PROPOSAL, &earlier));
                    accounts.proposals.remove(&earlier);
                }
                accounts.proposals.check(&p, self.settings.proposals)?;
                put(batch, PROPOSAL, &p.id, &p);
                accounts.proposals.add(p, true);
            }
            AccountChange::ReturnedProposal(p) => {
                put(batch, PROPOSAL, &p.id, &p);
                accounts.proposals.add(p, false);
            }
            AccountChange::DeleteProposals(ids) => {
                for id in ids {
                    batch.delete(schema::ACCOUNTS, key(PROPOSAL, &id));
                    if !accounts.proposals.remove(&id) {
                        return Err(LedgerError::NotFound(format!(
                            "there is no proposal `{id}`; it may have been decided or deleted"
                        )));
                    }
                }
            }
            AccountChange::Webhook(h) => {
                put(batch, WEBHOOK, &h.id, &h);
                accounts.webhooks.insert_mut(h.id.clone(), h);
            }
            AccountChange::DeleteWebhook(id) => {
                batch.delete(schema::ACCOUNTS, key(WEBHOOK, &id));
                let prefix = [id.as_bytes(), &[0]].concat();
                batch.delete_range(schema::OUTBOX, prefix.clone(), schema::after(&prefix));
                accounts.webhooks.remove_mut(&id);
            }
            AccountChange::AuditOnly => {}
            AccountChange::TokenUsed(id, at) => {
                put(batch, USED, &id, &at);
                accounts.used.insert_mut(id, at);
            }
            AccountChange::Import(id, at, report) => accounts.set_import(id, at, report, batch),
            AccountChange::DeleteImport(id) => accounts.forget_import(&id, batch),
            AccountChange::Answer(idempotency, status, body) => batch.put(
                schema::IDEMPOTENCY,
                schema::answer_key(self.clock.now(), &idempotency.key),
                schema::encode(&(idempotency.body, status, body)),
            ),
            AccountChange::HeldList(held) => {
                batch.put(schema::ACCOUNTS, held_key(&held.feed), held_row(&held)?);
                accounts.held.insert_mut(held.feed.clone(), *held);
            }
            AccountChange::DeleteHeldList(feed) => {
                batch.delete(schema::ACCOUNTS, held_key(&feed));
                accounts.held.remove_mut(&feed);
            }
            AccountChange::AddNotice(notice) => {
                let key_of_new = notice_key(notice.number);
                if accounts.notices.contains_key(&key_of_new) {
                    return Err(LedgerError::Conflict(format!(
                        "another user has just added notice {}; try again",
                        notice.number
                    )));
                }
                if let Some(oldest) = surplus(&accounts.notices, self.clock.now())? {
                    batch.delete(schema::ACCOUNTS, key(NOTICE, &oldest));
                    accounts.notices.remove_mut(&oldest);
                }
                let row = notice_row(&notice)?;
                batch.put(schema::ACCOUNTS, key(NOTICE, &key_of_new), row);
                accounts.notices.insert_mut(key_of_new, *notice);
            }
            AccountChange::EndNotice(number, at) => {
                let id = notice_key(number);
                let found = accounts.notices.get(&id).cloned();
                let mut notice = found.ok_or_else(|| {
                    LedgerError::NotFound(format!(
                        "there is no notice {number}; `orbsd notice list` shows all"
                    ))
                })?;
                if notice.is_over(at) {
                    return Err(LedgerError::Conflict(format!(
                        "notice {number} is over already"
                    )));
                }
                notice.ended = Some(at);
                batch.put(schema::ACCOUNTS, key(NOTICE, &id), notice_row(&notice)?);
                accounts.notices.insert_mut(id, notice);
            }
            AccountChange::ResetListShape(source) => {
                let reset = AcceptedList {
                    shape: ListShape::default(),
                    ..self.store.accepted_list(source)?.unwrap_or_default()
                };
                let key = schema::accepted_key(source);
                batch.put(schema::META, key, schema::encode(&reset));
            }
        }
        Ok(())
    }
}
