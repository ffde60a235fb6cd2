//! People and tokens: kept in the store, changed by the writer, and read from one shared book.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    error::Refused,
    held::{HELD, HeldList, held_key, held_row, read_held},
    map::Map,
    outbox::Webhook,
    proposals::{DAY, PROPOSE, Proposal, Proposals, read_row},
    rename::{NameKind, Rename},
};
use crate::{
    model::{Person, Role, SourceId, Time, Token, history::Once},
    store::{Batch, Store, StoreError, schema},
};

/// Everybody who may do something, beside those who reach the socket. A change is made in a copy,
/// which shares all else.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By name.
    pub people: Map<Person>,
    /// By the first part of a token.
    pub tokens: Map<Token>,
    /// Who is told what happens, by number.
    pub webhooks: Map<Webhook>,
    /// Listings that wait for another person.
    pub proposals: Proposals,
    /// When each of them was used last, to the hour.
    pub used: Map<Time>,
    /// The last imports by number: when each began, and what is told of it, in JSON.
    pub imports: Map<(Time, Arc<str>)>,
    /// Lists that a guard stopped, by feed.
    pub held: Map<HeldList>,
}

impl Book {
    /// What a token may do now: its role, and no more than its person's. The error says why it may
    /// nothing.
    pub fn role(&self, token: &Token, now: Time) -> Result<Role, String> {
        if !token.alive(now) {
            return Err("this token was revoked, or its time is over".into());
        }
        if !token.person {
            return Ok(token.role);
        }
        match self.people.get(&token.owner) {
            Some(p) if p.disabled.is_none() => Ok(token.role.min(p.role)),
            _ => Err("the person whose token this is may do nothing any more".into()),
        }
    }

    /// Renames a reason or source in the bounds of tokens and in held lists.
    pub(super) fn rename(&mut self, rename: &Rename, batch: &mut Batch) -> Result<(), Refused> {
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
                batch.put(
                    schema::PEOPLE,
                    format!("{TOKEN}{}", token.id).into_bytes(),
                    schema::encode(&token),
                );
                self.tokens.insert_mut(token.id.clone(), token);
            }
        }
        let held = self
            .held
            .get(&rename.from)
            .cloned()
            .filter(|_| rename.kind == NameKind::Source);
        if let Some(mut held) = held {
            batch.delete(schema::PEOPLE, held_key(&rename.from));
            self.held.remove_mut(&rename.from);
            held.feed.clone_from(&rename.to);
            batch.put(schema::PEOPLE, held_key(&held.feed), held_row(&held)?);
            self.held.insert_mut(held.feed.clone(), held);
        }
        Ok(())
    }

    /// Keeps what is told of an import, and forgets the oldest where they are too many.
    pub(super) fn remember(&mut self, id: String, at: Time, told: Arc<str>, batch: &mut Batch) {
        batch.put(
            schema::PEOPLE,
            format!("{IMPORT}{id}").into_bytes(),
            schema::encode(&(at, &*told)),
        );
        self.imports.insert_mut(id, (at, told));
        let oldest = self
            .imports
            .iter()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(id, _)| id.clone());
        if let Some(oldest) = oldest.filter(|_| self.imports.size() > IMPORTS) {
            batch.delete(schema::PEOPLE, format!("{IMPORT}{oldest}").into_bytes());
            self.imports.remove_mut(&oldest);
        }
    }

    /// How many people can make people: there is to be one left.
    pub fn owners(&self) -> usize {
        self.people
            .values()
            .filter(|p| p.role == Role::Owner && p.disabled.is_none())
            .count()
    }

    pub(super) fn read(store: &Store) -> Result<Book, StoreError> {
        let mut out = Book::default();
        for (key, value) in store.people()? {
            let damaged = || {
                StoreError::Damaged(format!(
                    "what is kept of {} cannot be read",
                    String::from_utf8_lossy(&key)
                ))
            };
            if key.starts_with(PERSON.as_bytes()) {
                let p: Person = schema::decode(&value).ok_or_else(damaged)?;
                out.people.insert_mut(p.name.clone(), p);
            } else if key.starts_with(TOKEN.as_bytes()) {
                let t: Token = schema::decode(&value).ok_or_else(damaged)?;
                out.tokens.insert_mut(t.id.clone(), t);
            } else if key.starts_with(WEBHOOK.as_bytes()) {
                let h: Webhook = schema::decode(&value).ok_or_else(damaged)?;
                out.webhooks.insert_mut(h.id.clone(), h);
            } else if key.starts_with(PROPOSAL.as_bytes()) {
                out.proposals.add(read_row(&value)?, true);
            } else if let Some(id) = key.strip_prefix(USED.as_bytes()) {
                let at: Time = schema::decode(&value).ok_or_else(damaged)?;
                out.used
                    .insert_mut(String::from_utf8_lossy(id).into_owned(), at);
            } else if let Some(id) = key.strip_prefix(IMPORT.as_bytes()) {
                let import: (Time, String) = schema::decode(&value).ok_or_else(damaged)?;
                out.imports.insert_mut(
                    String::from_utf8_lossy(id).into_owned(),
                    (import.0, import.1.into()),
                );
            } else if key.starts_with(HELD.as_bytes()) {
                let held = read_held(&value)?;
                out.held.insert_mut(held.feed.clone(), held);
            }
        }
        let (day, made) = proposed_on_last_day(store)?;
        out.proposals.count_made(day, made);
        Ok(out)
    }
}

/// Returns the day of the last audit record, and how many proposals each author made on it. Reads at
/// most [`MAX_AUDIT_SCAN`] records.
fn proposed_on_last_day(store: &Store) -> Result<(u64, BTreeMap<String, u32>), StoreError> {
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
        if record.what == PROPOSE {
            authors.insert(record.detail, record.who);
        }
        true
    })?;
    let mut made = BTreeMap::new();
    authors
        .into_values()
        .for_each(|author| *made.entry(author).or_default() += 1);
    Ok((last_day.unwrap_or_default(), made))
}

/// How many audit records are read at a start.
const MAX_AUDIT_SCAN: usize = 50_000;

pub(super) const WEBHOOK: &str = "webhook/";
pub(super) const PROPOSAL: &str = "proposal/";
pub(super) const PERSON: &str = "person/";
pub(super) const TOKEN: &str = "token/";
pub(super) const USED: &str = "used/";
const IMPORT: &str = "import/";
/// How many imports are remembered.
const IMPORTS: usize = 200;

/// Somebody or something to keep; what had the name before is replaced.
#[derive(Debug, Clone)]
pub enum Keep {
    /// A person, where it still is as it was (none: is not there yet).
    Person(Option<Box<Person>>, Person),
    /// A token.
    Token(Token),
    /// A listing that waits for another person, within the limits of its author.
    Proposal(Proposal),
    /// A proposal whose approval failed: it waits again.
    ReturnedProposal(Proposal),
    /// Proposals that wait no longer, by number; all of them or none.
    NoProposals(Vec<String>),
    /// A webhook.
    Webhook(Webhook),
    /// A webhook that is no more, with all that waits for it.
    NoWebhook(String),
    /// Nothing but the line.
    Nothing,
    /// The last use of a token.
    Used(String, Time),
    /// An import: its number, when it began, and what is told of it.
    Import(String, Time, Arc<str>),
    /// The answer to a request that must not be done twice: its status and body.
    Answer(Once, u16, String),
    /// A feed's list that a guard stopped.
    HeldList(Box<HeldList>),
    /// The list of a feed, by name, is held no longer.
    NoHeldList(String),
    /// The shape of a source's last list is forgotten, so that a list of another shape may follow.
    ShapeReset(SourceId),
}
