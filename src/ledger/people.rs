//! People and tokens: kept in the store, changed by the writer, and read from one shared book.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Job, Ledger, Proposal, Proposals, Refused,
    held::{HELD, HeldList, read_held},
    names::{NameOwner, check_free},
    outbox::Webhook,
    proposals::{DAY, PROPOSE, read_row},
    writer::Writer,
};
use crate::{
    model::{Person, Role, SourceId, Time, Token, history::Once},
    store::{Batch, Store, StoreError, schema},
};

/// A sorted map whose copies share what they have in common.
pub type Map<V> = rpds::RedBlackTreeMapSync<String, V>;

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
    pub(super) fn rename(
        &mut self,
        rename: &super::Rename,
        batch: &mut Batch,
    ) -> Result<(), Refused> {
        let all: Vec<Token> = self.tokens.values().cloned().collect();
        for mut token in all {
            let names = match rename.kind {
                super::NameKind::Reason => &mut token.bounds.reasons,
                super::NameKind::Source => &mut token.bounds.sources,
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
            .filter(|_| rename.kind == super::NameKind::Source);
        if let Some(mut held) = held {
            batch.delete(schema::PEOPLE, super::held::held_key(&rename.from));
            self.held.remove_mut(&rename.from);
            held.feed.clone_from(&rename.to);
            batch.put(
                schema::PEOPLE,
                super::held::held_key(&held.feed),
                super::held::held_row(&held)?,
            );
            self.held.insert_mut(held.feed.clone(), held);
        }
        Ok(())
    }

    /// Keeps what is told of an import, and forgets the oldest where they are too many.
    fn remember(&mut self, id: String, at: Time, told: Arc<str>, batch: &mut Batch) {
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

/// Who proposed how much on the day of the last record of the audit log, and that day. At most
/// [`MAX_AUDIT_SCAN`] records are read: one that is older counts no more.
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

/// How many records of the audit log are read at a start.
const MAX_AUDIT_SCAN: usize = 50_000;
const WEBHOOK: &str = "webhook/";
const PROPOSAL: &str = "proposal/";
const PERSON: &str = "person/";
const TOKEN: &str = "token/";
const USED: &str = "used/";
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

impl Ledger {
    /// Everybody who may do something.
    pub fn book(&self) -> Arc<Book> {
        self.book.load_full()
    }

    /// The same from a thread that may block.
    pub fn keep_blocking(&self, keep: Keep, line: Option<schema::Audit>) -> Result<(), Refused> {
        self.call(|r| Job::Keep(Box::new((keep, line)), r))
    }

    /// Keeps somebody, with a line in the audit log where it is a change.
    pub async fn keep(&self, keep: Keep, line: Option<schema::Audit>) -> Result<(), Refused> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(Job::Keep(Box::new((keep, line)), tx))
            .await
            .map_err(|_| Refused::Stopped)?;
        rx.await.unwrap_or(Err(Refused::Stopped))
    }
}

impl Ledger {
    /// Writes a line in the audit log for what is no change of the store itself.
    pub async fn note(&self, line: schema::Audit) -> Result<(), Refused> {
        self.keep(Keep::Nothing, Some(line)).await
    }
}

impl Writer {
    /// The part of [`Writer::keep`] that is about proposals.
    fn keep_of_proposals(
        &self,
        keep: Keep,
        book: &mut Book,
        batch: &mut Batch,
    ) -> Result<(), Refused> {
        let key = |id: &str| format!("{PROPOSAL}{id}").into_bytes();
        match keep {
            Keep::Proposal(p) => {
                // Two requests at the same time: the later takes the place of the earlier.
                if let Some(earlier) = book
                    .proposals
                    .same(&p.change)
                    .map(|e| e.id.clone())
                    .filter(|id| *id != p.id)
                {
                    batch.delete(schema::PEOPLE, key(&earlier));
                    book.proposals.remove(&earlier);
                }
                book.proposals.check(&p, self.settings.proposals)?;
                batch.put(schema::PEOPLE, key(&p.id), schema::encode(&p));
                book.proposals.add(p, true);
            }
            Keep::ReturnedProposal(p) => {
                batch.put(schema::PEOPLE, key(&p.id), schema::encode(&p));
                book.proposals.add(p, false);
            }
            Keep::NoProposals(ids) => {
                for id in ids {
                    batch.delete(schema::PEOPLE, key(&id));
                    if !book.proposals.remove(&id) {
                        return Err(Refused::Unknown(format!(
                            "there is no proposal `{id}` (any more)"
                        )));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, keep: Keep, line: Option<&schema::Audit>) -> Result<(), Refused> {
        line.map_or(Ok(()), |l| self.first(l))?;
        let mut book = Book::clone(&self.book.load());
        let mut batch = Batch::default();
        match keep {
            Keep::Person(was, p) => {
                if book.people.get(&p.name) != was.as_deref() {
                    return Err(Refused::Settings(format!(
                        "`{}` was changed meanwhile; look again",
                        p.name
                    )));
                }
                if was.is_none() {
                    check_free(&p.name, NameOwner::User, &book, &self.store.vocabulary())?;
                }
                batch.put(
                    schema::PEOPLE,
                    format!("{PERSON}{}", p.name).into_bytes(),
                    schema::encode(&p),
                );
                let owners = book.owners();
                book.people.insert_mut(p.name.clone(), p);
                if owners > 0 && book.owners() == 0 {
                    return Err(Refused::Settings(
                        "this is the last owner; make another one first".into(),
                    ));
                }
            }
            Keep::Token(t) => {
                // A token of an earlier store may have such a name, and is still revoked.
                if !t.person && !book.tokens.contains_key(&t.id) {
                    check_free(
                        &t.owner,
                        NameOwner::Program,
                        &book,
                        &self.store.vocabulary(),
                    )?;
                }
                batch.put(
                    schema::PEOPLE,
                    format!("{TOKEN}{}", t.id).into_bytes(),
                    schema::encode(&t),
                );
                book.tokens.insert_mut(t.id.clone(), t);
            }
            keep @ (Keep::Proposal(_) | Keep::ReturnedProposal(_) | Keep::NoProposals(_)) => {
                self.keep_of_proposals(keep, &mut book, &mut batch)?;
            }
            Keep::Webhook(h) => {
                batch.put(
                    schema::PEOPLE,
                    format!("{WEBHOOK}{}", h.id).into_bytes(),
                    schema::encode(&h),
                );
                book.webhooks.insert_mut(h.id.clone(), h);
            }
            Keep::NoWebhook(id) => {
                batch.delete(schema::PEOPLE, format!("{WEBHOOK}{id}").into_bytes());
                let prefix = [id.as_bytes(), &[0]].concat();
                batch.delete_range(schema::OUTBOX, prefix.clone(), schema::after(&prefix));
                book.webhooks.remove_mut(&id);
            }
            Keep::Nothing => {}
            Keep::Used(id, at) => {
                batch.put(
                    schema::PEOPLE,
                    format!("{USED}{id}").into_bytes(),
                    schema::encode(&at),
                );
                book.used.insert_mut(id, at);
            }
            Keep::Import(id, at, told) => book.remember(id, at, told, &mut batch),
            Keep::Answer(once, status, body) => {
                batch.put(
                    schema::ONCE,
                    schema::answer_key(self.clock.now(), &once.key),
                    schema::encode(&(once.body, status, body)),
                );
            }
            keep @ (Keep::HeldList(_) | Keep::NoHeldList(_) | Keep::ShapeReset(_)) => {
                self.keep_of_feed(keep, &mut book, &mut batch)?;
            }
        }
        if let Some(once) = line.and_then(|l| l.once) {
            let made = schema::Made {
                body: once.body,
                ..schema::Made::default()
            };
            batch.put(
                schema::ONCE,
                schema::once_key(self.clock.now(), &once.key),
                schema::encode(&made),
            );
        }
        line.into_iter().for_each(|l| {
            batch.put(
                schema::AUDIT,
                (self.audited + 1).to_be_bytes().to_vec(),
                schema::encode(l),
            );
        });
        self.commit_batch(batch)?;
        self.audited += u64::from(line.is_some());
        self.queues.retain(|id, _| book.webhooks.contains_key(id));
        self.report_queues();
        self.book.store(Arc::new(book));
        Ok(())
    }
}
