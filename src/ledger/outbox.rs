//! The outbox: what has to be sent out, kept in the same batch as what it tells of, until it was
//! taken or given up.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{Job, Ledger, Refused, group::Work, writer::Writer};
use crate::{
    model::{Serial, SourceId, Subject, Time, history::EventName, time::Seconds},
    store::{Batch, Store, StoreError, schema},
};

/// Messages that wait for one webhook at most; while there are more, commits are left out, and the
/// next message says so.
const WAITING: u64 = 10_000;
/// Subjects that a message names at most.
const NAMED: usize = 1000;
/// After so many tries a message is a dead letter.
const TRIES: u32 = 16;
/// The longest time between two tries.
const PATIENCE: u64 = 3600;

/// Somebody who is told what happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its number.
    pub id: String,
    /// Where messages go.
    pub url: String,
    /// What messages are signed with; both sides need it.
    pub secret: Vec<u8>,
    /// Since when.
    pub since: Time,
    /// Who made it.
    pub by: String,
    /// Since when nothing is sent.
    pub paused: Option<Time>,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The commit that it tells of: its number for its webhook.
    pub commit: u64,
    /// What is sent.
    pub body: String,
    /// Since when it waits.
    pub since: Time,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub next: Time,
    /// What came of the last try.
    pub problem: Option<String>,
    /// It was given up; somebody may have it tried again.
    pub dead: bool,
}

/// One change of a subject, as a webhook gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangeNotice {
    /// The subject.
    pub subject: String,
    /// What happened to it.
    pub event: EventName,
    /// The reason; null for an exemption.
    pub reason: Option<String>,
    /// The source; null: every source.
    pub source: Option<String>,
    /// When the effect of the change ends.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// What a webhook gets about a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitNotice {
    /// Always `commit`; other events are about feeds.
    pub event: String,
    /// The number of the commit.
    pub commit: u64,
    /// When it was made.
    #[schema(format = DateTime)]
    pub at: String,
    /// The new serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// What changed, in the order of the subjects; at most 1000 subjects.
    pub changes: Vec<ChangeNotice>,
    /// The number of subjects that changed.
    pub count: usize,
    /// True for a large import, whose subjects are too many to list.
    pub bulk: bool,
    /// True if commits before this one were not sent because too many waited.
    pub gap: bool,
}

/// What came of a try.
#[derive(Debug, Clone)]
pub enum Tried {
    /// It was taken.
    Taken,
    /// It was not.
    Failed(String),
    /// A dead letter is tried again.
    Again,
}

fn key(webhook: &str, commit: u64) -> Vec<u8> {
    [webhook.as_bytes(), &[0], &commit.to_be_bytes()].concat()
}

/// The messages of a webhook, in order, at most `limit`.
pub fn messages(store: &Store, webhook: &str, limit: usize) -> Result<Vec<Message>, StoreError> {
    let prefix = [webhook.as_bytes(), &[0]].concat();
    let damaged = || StoreError::Damaged("a message of the outbox cannot be read".into());
    let mut out = Vec::new();
    store.outbox(&prefix, &mut |key, value| {
        if !key.starts_with(&prefix) || out.len() >= limit {
            return Ok(false);
        }
        out.push(schema::decode(value).ok_or_else(damaged)?);
        Ok(true)
    })?;
    Ok(out)
}

/// What waits for each webhook, and whether something was left out.
pub(super) type Queues = HashMap<String, (u64, bool)>;

impl Ledger {
    /// Tells what came of sending a message.
    pub async fn tried(&self, webhook: &str, commit: u64, tried: Tried) -> Result<(), Refused> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(Job::Tried(Box::new((webhook.into(), commit, tried)), tx))
            .await
            .map_err(|_| Refused::Stopped)?;
        rx.await.unwrap_or(Err(Refused::Stopped))
    }
}

impl Writer {
    /// Adds the messages about a commit to its batch; the webhooks that get one, and those whose
    /// queue is full.
    pub(super) fn announce(
        &self,
        seq: u64,
        work: &Work,
        serials: &BTreeMap<String, Serial>,
        batch: &mut Batch,
    ) -> Vec<(String, bool)> {
        let book = self.book.load_full();
        let mut out = Vec::new();
        for hook in book.webhooks.values().filter(|h| h.paused.is_none()) {
            let (waiting, gap) = self.queues.get(&hook.id).copied().unwrap_or_default();
            out.push((hook.id.clone(), waiting < WAITING));
            if waiting >= WAITING {
                continue;
            }
            let (changes, count) = self.change_notices(work);
            let notice = CommitNotice {
                event: "commit".into(),
                commit: seq,
                at: self.clock.now().to_string(),
                serials: serials.iter().map(|(z, s)| (z.clone(), s.0)).collect(),
                changes,
                count,
                bulk: work.bulk.is_some(),
                gap,
            };
            let mut body = serde_json::to_value(&notice).unwrap_or_default();
            if let Some((event, fields)) = &work.notice {
                body = serde_json::json!({"event": event, "commit": seq, "at": self.clock.now().to_string(), "gap": gap});
                fields
                    .iter()
                    .for_each(|(key, value)| body[key] = value.clone());
            }
            let message = Message {
                commit: seq,
                body: body.to_string(),
                since: self.clock.now(),
                tries: 0,
                next: Time(0),
                problem: None,
                dead: false,
            };
            batch.put(schema::OUTBOX, key(&hook.id, seq), schema::encode(&message));
        }
        out
    }

    /// What changes about the first subjects of a commit, and how many subjects change.
    fn change_notices(&self, work: &Work) -> (Vec<ChangeNotice>, usize) {
        let mut subjects: Vec<&Subject> = work
            .touched
            .iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(s, _)| s)
            .collect();
        let count = subjects.len();
        subjects.sort();
        subjects.truncate(NAMED);
        let current = self.store.vocabulary();
        let v = work.vocabulary.as_ref().unwrap_or(&current);
        let mut changes: Vec<_> = work
            .events()
            .filter(|(s, _)| subjects.binary_search(s).is_ok())
            .collect();
        changes.sort_by_key(|(s, _)| *s);
        let changes = changes.into_iter().map(|(subject, event)| {
            let about = event.what.about();
            let source = about.filter(|(_, s)| *s != SourceId::ALL);
            ChangeNotice {
                subject: subject.to_string(),
                event: event.what.name(),
                reason: about.map(|(r, _)| v.reasons.name(r).into()),
                source: source.map(|(_, s)| v.sources.name(s).into()),
                until: event.what.until().map(|t| t.to_string()),
            }
        });
        (changes.collect(), count)
    }

    /// Counts them, after the batch is true.
    pub(super) fn announced(&mut self, told: Vec<(String, bool)>) {
        if told.is_empty() {
            return;
        }
        for (hook, taken) in told {
            let (waiting, gap) = self.queues.entry(hook).or_default();
            (*waiting, *gap) = (*waiting + u64::from(taken), !taken);
        }
        self.report_queues();
    }

    /// Lets readers see how long the queues are.
    pub(super) fn report_queues(&self) {
        self.health.set_webhook_backlog(
            self.queues
                .iter()
                .map(|(hook, (waiting, _))| (hook.clone(), *waiting)),
        );
    }

    pub(super) fn tried(
        &mut self,
        webhook: &str,
        commit: u64,
        tried: Tried,
    ) -> Result<(), Refused> {
        let key = key(webhook, commit);
        let Some(row) = self.store.outbox_row(&key)? else {
            return Err(Refused::Unknown(
                "there is no such message (any more)".into(),
            ));
        };
        let (mut batch, mut gone) = (Batch::default(), false);
        match (schema::decode::<Message>(&row), tried) {
            (None, _) | (_, Tried::Taken) => {
                batch.delete(schema::OUTBOX, key);
                gone = true;
            }
            (Some(mut m), Tried::Failed(why)) => {
                m.tries += 1;
                m.next = self
                    .clock
                    .now()
                    .plus(Seconds((1 << m.tries.min(20)).min(PATIENCE)));
                m.problem = Some(why);
                m.dead = m.tries >= TRIES;
                batch.put(schema::OUTBOX, key, schema::encode(&m));
            }
            (Some(m), Tried::Again) => {
                batch.put(
                    schema::OUTBOX,
                    key,
                    schema::encode(&Message {
                        tries: 0,
                        next: Time(0),
                        dead: false,
                        ..m
                    }),
                );
            }
        }
        self.commit_batch(batch)?;
        if let Some((waiting, _)) = self.queues.get_mut(webhook).filter(|_| gone) {
            *waiting = waiting.saturating_sub(1);
            self.report_queues();
        }
        Ok(())
    }

    /// How many messages wait for each webhook.
    pub(super) fn count_queues(&mut self) -> Result<(), StoreError> {
        let mut queues = Queues::new();
        self.store.outbox(&[], &mut |key, _| {
            let hook = key.split(|b| *b == 0).next().unwrap_or_default();
            queues
                .entry(String::from_utf8_lossy(hook).into_owned())
                .or_default()
                .0 += 1;
            Ok(true)
        })?;
        for (hook, (waiting, gap)) in &mut queues {
            // A full queue has left something out, as far as anybody knows.
            *gap = *waiting >= WAITING || self.queues.get(hook).is_some_and(|q| q.1);
        }
        self.queues = queues;
        self.report_queues();
        Ok(())
    }
}
