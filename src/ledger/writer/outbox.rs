//! Queues messages for webhooks, in the batch of the commit that they report.

use std::collections::BTreeMap;

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError,
        feature_rows::FeatureNotice,
        outbox::{ChangeNotice, CommitNotice, DeliveryResult, Message, Queues, key},
        transaction::Transaction,
    },
    model::{Serial, SourceId, Subject, Time, time::Seconds},
    store::{Batch, StoreError, schema},
};

/// The most messages that wait for one webhook. While its queue is full, commits are left out,
/// which the next message reports.
const MAX_QUEUE: u64 = 10_000;

/// The most subjects that a message names.
const MAX_SUBJECTS: usize = 1000;

/// The number of failed deliveries after which a message is a dead letter.
const MAX_TRIES: u32 = 16;

/// The longest time between two deliveries, in seconds.
const MAX_RETRY_SECONDS: u64 = 3600;

impl Writer {
    /// Adds the messages about a commit to its batch. Events that follow it have commit numbers of
    /// their own, with rows of the journal that change nothing, so that each webhook gets all messages
    /// in order. Returns the last number and the queues, for [`Writer::announced`].
    pub(super) fn announce(
        &mut self,
        seq: u64,
        transaction: &Transaction,
        serials: &BTreeMap<String, Serial>,
        batch: &mut Batch,
    ) -> (u64, Queues) {
        let mut queues = self.queues.clone();
        let (in_place, following) = transaction.messages();
        self.queue_messages(seq, &mut queues, batch, |gap| match in_place {
            Some(notice) => self.event_body(seq, notice, gap),
            None => self.commit_body(seq, transaction, serials, gap),
        });
        let mut last = seq;
        for notice in following {
            last += 1;
            let empty = Transaction::new(self.clock.now());
            self.journal_bytes = empty.journal(last, Vec::new(), self.journal_bytes, batch);
            self.queue_messages(last, &mut queues, batch, |gap| {
                self.event_body(last, notice, gap)
            });
        }
        (last, queues)
    }

    /// Adds a message for each webhook to a batch and to the queues. A webhook whose queue is full
    /// does not get it. `body` receives whether the webhook lacks commits before this one.
    fn queue_messages(
        &self,
        commit: u64,
        queues: &mut Queues,
        batch: &mut Batch,
        body: impl Fn(bool) -> serde_json::Value,
    ) {
        let accounts = self.accounts.load();
        for hook in accounts.webhooks.values().filter(|h| h.paused.is_none()) {
            let (waiting, gap) = queues.entry(hook.id.clone()).or_default();
            if *waiting >= MAX_QUEUE {
                *gap = true;
                continue;
            }
            let message = Message {
                commit,
                body: body(*gap).to_string(),
                since: self.clock.now(),
                tries: 0,
                next: Time(0),
                problem: None,
                dead: false,
            };
            let row = schema::encode(&message);
            batch.put(schema::OUTBOX, key(&hook.id, commit), row);
            (*waiting, *gap) = (*waiting + 1, false);
        }
    }

    /// The message about a commit.
    fn commit_body(
        &self,
        seq: u64,
        transaction: &Transaction,
        serials: &BTreeMap<String, Serial>,
        gap: bool,
    ) -> serde_json::Value {
        let (changes, count) = self.change_notices(transaction);
        let notice = CommitNotice {
            event: "commit".into(),
            commit: seq,
            at: self.clock.now().to_string(),
            serials: serials.iter().map(|(z, s)| (z.clone(), s.0)).collect(),
            changes,
            count,
            bulk: transaction.bulk.is_some(),
            gap,
        };
        serde_json::to_value(&notice).unwrap_or_default()
    }

    /// The message about an event.
    fn event_body(&self, seq: u64, notice: &FeatureNotice, gap: bool) -> serde_json::Value {
        let at = self.clock.now().to_string();
        let mut body =
            serde_json::json!({"event": notice.event, "commit": seq, "at": at, "gap": gap});
        for (key, value) in &notice.fields {
            body[key] = value.clone();
        }
        body
    }

    /// What changes about the first subjects of a commit, and how many subjects change.
    fn change_notices(&self, transaction: &Transaction) -> (Vec<ChangeNotice>, usize) {
        let touched = transaction.touched.iter();
        let changed = touched.filter(|(_, (before, after))| before != after);
        let mut subjects: Vec<&Subject> = changed.map(|(s, _)| s).collect();
        let count = subjects.len();
        subjects.sort();
        subjects.truncate(MAX_SUBJECTS);
        let current = self.store.dictionary();
        let v = transaction.dictionary.as_ref().unwrap_or(&current);
        let changes = transaction.events();
        let mut changes: Vec<_> = changes
            .filter(|(s, _)| subjects.binary_search(s).is_ok())
            .collect();
        changes.sort_by_key(|(s, _)| *s);
        let changes = changes.into_iter().map(|(subject, event)| {
            let about = event.kind.about();
            let source = about.filter(|(_, s)| *s != SourceId::ALL);
            ChangeNotice {
                subject: subject.to_string(),
                event: event.kind.name(),
                reason: about.map(|(r, _)| v.reasons.name(r).into()),
                source: source.map(|(_, s)| v.sources.name(s).into()),
                until: event.kind.until().map(|t| t.to_string()),
            }
        });
        (changes.collect(), count)
    }

    /// Counts the messages of [`Writer::announce`], after the batch is committed.
    pub(super) fn announced(&mut self, queues: Queues) {
        if !queues.is_empty() {
            self.queues = queues;
            self.report_queues();
        }
    }

    /// Publishes the lengths of the queues in [`Health`](crate::ledger::Health).
    pub(super) fn report_queues(&self) {
        let queues = self.queues.iter();
        self.health
            .set_webhook_backlog(queues.map(|(hook, (waiting, _))| (hook.clone(), *waiting)));
    }

    /// Records the result of a delivery: deletes the message, or sets the time of the next
    /// delivery.
    pub(in crate::ledger) fn record_delivery(
        &mut self,
        webhook: &str,
        commit: u64,
        result: DeliveryResult,
    ) -> Result<(), LedgerError> {
        let key = key(webhook, commit);
        let Some(row) = self.store.outbox_row(&key)? else {
            return Err(LedgerError::NotFound(
                "there is no such message; it may have been delivered or deleted".into(),
            ));
        };
        let (mut batch, mut deleted) = (Batch::default(), false);
        match (schema::decode::<Message>(&row), result) {
            (None, _) | (_, DeliveryResult::Delivered) => {
                batch.delete(schema::OUTBOX, key);
                deleted = true;
            }
            (Some(mut m), result) => {
                if let DeliveryResult::Failed(why) = result {
                    m.tries += 1;
                    let wait = (1 << m.tries.min(20)).min(MAX_RETRY_SECONDS);
                    m.next = self.clock.now().plus(Seconds(wait));
                    m.problem = Some(why);
                    m.dead = m.tries >= MAX_TRIES;
                } else {
                    (m.tries, m.next, m.dead) = (0, Time(0), false);
                }
                batch.put(schema::OUTBOX, key, schema::encode(&m));
            }
        }
        self.commit_batch(batch)?;
        if let Some((waiting, _)) = self.queues.get_mut(webhook).filter(|_| deleted) {
            *waiting = waiting.saturating_sub(1);
            self.report_queues();
        }
        Ok(())
    }

    /// Counts the messages of each webhook in the store.
    pub(in crate::ledger) fn count_queues(&mut self) -> Result<(), StoreError> {
        let mut queues = Queues::new();
        self.store.outbox(&[], &mut |key, _| {
            let hook = key.split(|b| *b == 0).next().unwrap_or_default();
            let hook = String::from_utf8_lossy(hook).into_owned();
            queues.entry(hook).or_default().0 += 1;
            Ok(true)
        })?;
        for (hook, (waiting, gap)) in &mut queues {
            // A full queue may have left out commits.
            *gap = *waiting >= MAX_QUEUE || self.queues.get(hook).is_some_and(|q| q.1);
        }
        self.queues = queues;
        self.report_queues();
        Ok(())
    }
}
