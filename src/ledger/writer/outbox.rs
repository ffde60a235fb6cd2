//! Queues messages for webhooks, in the batch of the commit that they report.

use std::collections::BTreeMap;

use super::Writer;
use crate::{
    ledger::{
        error::LedgerError,
        outbox::{ChangeNotice, CommitNotice, DeliveryResult, Message, Queues, key},
        transaction::Transaction,
    },
    model::{Serial, SourceId, Subject, Time, time::Seconds},
    store::{Batch, StoreError, schema},
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

impl Writer {
    /// Adds the messages about a commit to its batch; the webhooks that get one, and those whose
    /// queue is full.
    pub(super) fn announce(
        &self,
        seq: u64,
        transaction: &Transaction,
        serials: &BTreeMap<String, Serial>,
        batch: &mut Batch,
    ) -> Vec<(String, bool)> {
        let accounts = self.accounts.load_full();
        let mut out = Vec::new();
        for hook in accounts.webhooks.values().filter(|h| h.paused.is_none()) {
            let (waiting, gap) = self.queues.get(&hook.id).copied().unwrap_or_default();
            out.push((hook.id.clone(), waiting < WAITING));
            if waiting >= WAITING {
                continue;
            }
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
            let mut body = serde_json::to_value(&notice).unwrap_or_default();
            if let Some((event, fields)) = &transaction.notice {
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
    fn change_notices(&self, transaction: &Transaction) -> (Vec<ChangeNotice>, usize) {
        let mut subjects: Vec<&Subject> = transaction
            .touched
            .iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(s, _)| s)
            .collect();
        let count = subjects.len();
        subjects.sort();
        subjects.truncate(NAMED);
        let current = self.store.dictionary();
        let v = transaction.dictionary.as_ref().unwrap_or(&current);
        let mut changes: Vec<_> = transaction
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

    pub(super) fn record_delivery(
        &mut self,
        webhook: &str,
        commit: u64,
        tried: DeliveryResult,
    ) -> Result<(), LedgerError> {
        let key = key(webhook, commit);
        let Some(row) = self.store.outbox_row(&key)? else {
            return Err(LedgerError::NotFound(
                "there is no such message (any more)".into(),
            ));
        };
        let (mut batch, mut gone) = (Batch::default(), false);
        match (schema::decode::<Message>(&row), tried) {
            (None, _) | (_, DeliveryResult::Delivered) => {
                batch.delete(schema::OUTBOX, key);
                gone = true;
            }
            (Some(mut m), DeliveryResult::Failed(why)) => {
                m.tries += 1;
                m.next = self
                    .clock
                    .now()
                    .plus(Seconds((1 << m.tries.min(20)).min(PATIENCE)));
                m.problem = Some(why);
                m.dead = m.tries >= TRIES;
                batch.put(schema::OUTBOX, key, schema::encode(&m));
            }
            (Some(m), DeliveryResult::Retry) => {
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
    pub(in crate::ledger) fn count_queues(&mut self) -> Result<(), StoreError> {
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
