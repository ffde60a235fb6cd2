//! Users, tokens, webhooks, proposals and other named values: stored as rows, changed by the
//! writer, and read from one shared copy in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::LedgerError,
    held::{HELD, HeldList, held_key, held_row, read_held},
    map::Map,
    notices::{NOTICE, Notice, notice_key, read_notice},
    outbox::Webhook,
    proposals::{DAY, PROPOSE, Proposal, Proposals, read_row},
    rename::{NameKind, Rename},
};
use crate::{
    model::{Role, SourceId, Time, Token, User, history::IdempotencyKey},
    store::{Batch, Store, StoreError, schema},
};

/// Users, tokens and other named values. A change is made in a copy, which shares the rest.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// By name.
    pub users: Map<User>,
    /// By the first part of a token.
    pub tokens: Map<Token>,
    /// Webhooks by id.
    pub webhooks: Map<Webhook>,
    /// Listings that wait for the approval of another user.
    pub proposals: Proposals,
    /// The time at which each token was last used, to the hour.
    pub used: Map<Time>,
    /// The last imports by id: the start of each, and its report in JSON.
    pub imports: Map<(Time, Arc<str>)>,
    /// Lists that a guard stopped, by feed.
    pub held: Map<HeldList>,
    /// Notices, by [`notice_key`].
    pub notices: Map<Notice>,
}

impl Accounts {
    /// The role of a token now: its own, and at most that of its user.
    ///
    /// # Errors
    ///
    /// The token is revoked or expired, or its user is disabled.
    pub fn role(&self, token: &Token, now: Time) -> Result<Role, String> {
        if !token.is_active(now) {
            return Err("this token was revoked or has expired".into());
        }
        if !token.person {
            return Ok(token.role);
        }
        match self.users.get(&token.owner) {
            Some(p) if p.disabled.is_none() => Ok(token.role.min(p.role)),
            _ => Err("the user of this token is disabled".into()),
        }
    }

    /// Renames a reason or source in the restrictions of tokens and in held lists.
    pub(super) fn rename(&mut self, rename: &Rename, batch: &mut Batch) -> Result<(), LedgerError> {
        let all: Vec<Token> = self.tokens.values().cloned().collect();
        for mut token in all {
            let names = match rename.kind {
                NameKind::Reason => &mut token.bounds.reasons,
                NameKind::Source => &mut token.bounds.sources,
            };
            if names.contains(&rename.from) {
                names
                    .iter_mut()
                    .for_each(|n| rename.forward(rename.kind, n));
                put(batch, TOKEN, &token.id, &token);
                self.tokens.insert_mut(token.id.clone(), token);
            }
        }
        let held = self.held.get(&rename.from).cloned();
        if let Some(mut held) = held.filter(|_| rename.kind == NameKind::Source) {
            batch.delete(schema::ACCOUNTS, held_key(&rename.from));
            self.held.remove_mut(&rename.from);
            held.feed.clone_from(&rename.to);
            batch.put(schema::ACCOUNTS, held_key(&held.feed), held_row(&held)?);
            self.held.insert_mut(held.feed.clone(), held);
        }
        Ok(())
    }

    /// Sets the report of an import, and deletes the oldest if there are too many.
    pub(super) fn set_import(&mut self, id: String, at: Time, report: Arc<str>, batch: &mut Batch) {
        put(batch, IMPORT, &id, &(at, &*report));
        self.imports.insert_mut(id, (at, report));
        let oldest = self.imports.iter().min_by_key(|(_, (at, _))| *at);
        let oldest = oldest.map(|(id, _)| id.clone());
        if let Some(oldest) = oldest.filter(|_| self.imports.size() > MAX_IMPORT_REPORTS) {
            batch.delete(schema::ACCOUNTS, key(IMPORT, &oldest));
            self.imports.remove_mut(&oldest);
        }
    }

    /// Deletes the report of an import.
    pub(super) fn forget_import(&mut self, id: &str, batch: &mut Batch) {
        batch.delete(schema::ACCOUNTS, key(IMPORT, id));
        self.imports.remove_mut(id);
    }

    /// Deletes the reports of imports that `is_old` selects. Returns their number.
    pub(super) fn forget_imports(
        &mut self,
        is_old: impl Fn(Time) -> bool,
        batch: &mut Batch,
    ) -> u64 {
        let old = self.imports.iter().filter(|(_, (at, _))| is_old(*at));
        let old: Vec<String> = old.map(|(id, _)| id.clone()).collect();
        old.iter().for_each(|id| self.forget_import(id, batch));
        old.len() as u64
    }

    /// The number of enabled users with the role owner.
    pub fn owners(&self) -> usize {
        self.users
            .values()
            .filter(|p| p.role == Role::Owner && p.disabled.is_none())
            .count()
    }

    pub(super) fn read(store: &Store) -> Result<Accounts, StoreError> {
        let mut out = Accounts::default();
        for (key, value) in store.account_rows()? {
            let key = String::from_utf8_lossy(&key);
            // The names of users and held lists, and the ids of the others, are also in the values.
            let Some((kind, name)) = key.split_once('/') else {
                continue;
            };
            let name = name.to_string();
            match &key[..=kind.len()] {
                PERSON => out.users.insert_mut(name, read(&key, &value)?),
                TOKEN => out.tokens.insert_mut(name, read(&key, &value)?),
                WEBHOOK => out.webhooks.insert_mut(name, read(&key, &value)?),
                PROPOSAL => out.proposals.add(read_row(&value)?, true),
                USED => out.used.insert_mut(name, read(&key, &value)?),
                IMPORT => {
                    let (at, report): (Time, String) = read(&key, &value)?;
                    out.imports.insert_mut(name, (at, report.into()));
                }
                HELD => out.held.insert_mut(name, read_held(&value)?),
                NOTICE => {
                    let notice = read_notice(&value)?;
                    out.notices.insert_mut(notice_key(notice.number), notice);
                }
                _ => {}
            }
        }
        let (day, counts) = proposals_of_last_day(store)?;
        out.proposals.restore_day_counts(day, counts);
        Ok(out)
    }
}

/// Decodes the value of a row.
fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    let damaged = || format!("the row `{key}` of the accounts cannot be read");
    schema::decode(value).ok_or_else(|| StoreError::Damaged(damaged()))
}

/// Returns the day of the last audit record, and the number of proposals that each author made on
/// it. Reads at most [`MAX_AUDIT_SCAN`] records.
fn proposals_of_last_day(store: &Store) -> Result<(u64, BTreeMap<String, u32>), StoreError> {
    let (mut last_day, mut scanned) = (None, 0);
    let mut authors = HashMap::new();
    store.audit(u64::MAX, &mut |_, record| {
        let day = record.at.0 / DAY;
        scanned += 1;
        if day < *last_day.get_or_insert(day) || scanned > MAX_AUDIT_SCAN {
            return false;
        }
        // A proposal whose approval failed has another record. The first one, which is read last,
        // names its author.
        if record.action == PROPOSE {
            authors.insert(record.detail, record.author);
        }
        true
    })?;
    let mut counts = BTreeMap::new();
    authors
        .into_values()
        .for_each(|author| *counts.entry(author).or_default() += 1);
    Ok((last_day.unwrap_or_default(), counts))
}

/// The most audit records that a start reads.
const MAX_AUDIT_SCAN: usize = 50_000;

/// The key of a row: the prefix of its kind, and its name.
pub(super) fn key(kind: &str, name: &str) -> Vec<u8> {
    [kind, name].concat().into_bytes()
}

/// Adds a row to a batch.
pub(super) fn put(batch: &mut Batch, kind: &str, name: &str, value: &impl Serialize) {
    batch.put(schema::ACCOUNTS, key(kind, name), schema::encode(value));
}

pub(super) const WEBHOOK: &str = "webhook/";
pub(super) const PROPOSAL: &str = "proposal/";
pub(super) const PERSON: &str = "person/";
pub(super) const TOKEN: &str = "token/";
pub(super) const USED: &str = "used/";
const IMPORT: &str = "import/";
/// The most reports of imports that are kept.
const MAX_IMPORT_REPORTS: usize = 200;

/// A change of an account or of another named value. A value replaces the one that had its name.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// Sets a user if the present value is the expected one; `None`: there must be no such user.
    User(Option<Box<User>>, User),
    /// Sets a token.
    Token(Token),
    /// Adds a proposal, within the limits of its author.
    Proposal(Proposal),
    /// Adds a proposal again after its approval failed.
    ReturnedProposal(Proposal),
    /// Deletes proposals by id: all of them or none.
    DeleteProposals(Vec<String>),
    /// Sets a webhook.
    Webhook(Webhook),
    /// Deletes a webhook by id, with its messages in the outbox.
    DeleteWebhook(String),
    /// Writes only the audit record.
    AuditOnly,
    /// Sets the time at which a token was last used.
    TokenUsed(String, Time),
    /// Sets the report of an import: its id, its start, and the report in JSON.
    Import(String, Time, Arc<str>),
    /// Deletes the report of an import by id.
    DeleteImport(String),
    /// Sets the answer of an idempotent request: its status and body.
    Answer(IdempotencyKey, u16, String),
    /// Sets a feed's list that a guard stopped.
    HeldList(Box<HeldList>),
    /// Deletes the held list of a feed, by the feed's name.
    DeleteHeldList(String),
    /// Adds a notice, whose number no other notice may have.
    AddNotice(Box<Notice>),
    /// Ends the notice with a number, at a time.
    EndNotice(u64, Time),
    /// Forgets the shape of a source's last list, so that a list of another shape is accepted.
    ResetListShape(SourceId),
}
