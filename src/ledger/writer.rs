//! The writer's loop: handles commands in order. Consecutive changes that wait become one commit.

mod accounts;
mod asked_names;
mod configure;
mod diff;
mod expiry;
mod feature_rows;
mod feeds;
mod image;
mod import;
mod netblock_rule;
mod outbox;
mod recover;
mod rename;
mod retention;
mod serials;
mod sights;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    accounts::Accounts,
    error::LedgerError,
    health::{Health, ZoneChanges},
    outbox::Queues,
    receipt::Receipt,
    removal_log::RemovalLog,
    settings::LedgerSettings,
    transaction::{ChangeOutcome, Transaction},
};
use crate::{
    clock::{Clock, thread_cpu_time},
    index::{Builder, Published, Snapshot, ZoneSet, derive::Listed},
    model::{
        Change, Serial, SightAge, SightLimits, SourceId, Subject, Time, Verdict,
        history::{Command, OpenEnd, PROBER_LIFETIME, PROBER_REASONS},
        verdict::own_text,
    },
    store::{Batch, Store, StoreError, schema},
};

/// The most commands that wait for the writer. Further callers wait until one is taken.
pub(super) const QUEUE_LENGTH: usize = 4096;
/// The most changes in one group commit.
const GROUP_COMMIT_MAX: usize = 1024;
/// The number of changed subjects after which a new image is written.
const IMAGE_EVERY: usize = 100_000;
/// The time between two trims of the journal, in ticks of a second.
const TRIM_EVERY: u64 = 60;
/// The time between two checks of the removal log, in ticks. It is also checked before each write.
const WATCH_EVERY: u64 = 10;

pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// A command to the writer.
#[allow(clippy::large_enum_variant)] // Nearly all commands are changes; a box for each costs time.
pub(super) enum WriterCommand {
    Change(Change, Reply<Receipt>),
    /// Runs a function, which sends its own reply.
    Run(Box<dyn FnOnce(&mut Writer) + Send>),
    /// A second has passed.
    Tick,
    Stop(Reply<()>),
}

pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) builder: Builder,
    pub(super) accounts: Arc<ArcSwap<Accounts>>,
    pub(super) published: Arc<Published>,
    pub(super) health: Arc<Health>,
    /// Notifies receivers of commits; see [`Ledger::commits`](super::Ledger::commits).
    pub(super) committed: watch::Sender<u64>,
    pub(super) settings: LedgerSettings,
    pub(super) zones: Arc<ZoneSet>,
    pub(super) serials: Vec<Serial>,
    pub(super) seq: u64,
    pub(super) journal_bytes: u64,
    /// The length of each webhook's queue.
    pub(super) queues: Queues,
    /// The removal log.
    pub(super) removals: Option<RemovalLog>,
    /// Trusted time.
    pub(super) clock: Clock,
    /// Whether a step of several commits is being made, which are published together at its end.
    pub(super) publishes_later: bool,
    /// The number of the last audit record.
    pub(super) audited: u64,
    pub(super) next_due: Option<Time>,
    /// The limits on the last sight of listings that the zones have.
    pub(super) sight_limits: SightLimits,
    /// The feeds that have outlived limits, as the zones have them.
    pub(super) unseen: BTreeSet<(SightAge, SourceId)>,
    pub(super) since_image: usize,
    /// The commit of the image on disk; 0: there is none.
    pub(super) imaged: Arc<AtomicU64>,
    pub(super) ticks: u64,
    /// The tick at which an image is written if anything has changed since the last one.
    pub(super) next_image: u64,
    /// The image that is being written.
    pub(super) image: Option<std::thread::JoinHandle<()>>,
    /// The function that a thread which writes an image calls first.
    pub(super) on_thread_start: fn(),
}

impl Writer {
    /// Runs until it gets the command to stop, or all senders are gone.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<WriterCommand>) {
        let mut waiting = Vec::with_capacity(GROUP_COMMIT_MAX);
        while jobs.blocking_recv_many(&mut waiting, GROUP_COMMIT_MAX) > 0 {
            if let Some(stopped) = self.run_commands(&mut waiting) {
                let _ = stopped.send(self.stop());
                return;
            }
        }
        let _ = self.stop();
    }

    /// Runs the waiting commands in order. Consecutive changes are one commit. Returns the reply
    /// channel of a command to stop.
    fn run_commands(&mut self, waiting: &mut Vec<WriterCommand>) -> Option<Reply<()>> {
        // The removal log may be lost, may work again, or may be restarted by a new setting.
        if waiting
            .iter()
            .any(|command| !matches!(command, WriterCommand::Tick))
        {
            self.watch_removals(false);
        }
        let mut group: Vec<(Change, Reply<Receipt>)> = Vec::new();
        for command in waiting.drain(..) {
            if let WriterCommand::Change(change, reply) = command {
                group.push((change, reply));
                continue;
            }
            self.changes(std::mem::take(&mut group));
            match command {
                WriterCommand::Change(..) => {}
                WriterCommand::Run(run) => run(self),
                WriterCommand::Tick => self.tick(),
                WriterCommand::Stop(reply) => return Some(reply),
            }
            self.notify();
        }
        self.changes(group);
        None
    }

    /// Checks, decides, commits, applies and publishes a group of changes, and sends the receipts.
    fn changes(&mut self, group: Vec<(Change, Reply<Receipt>)>) {
        if group.is_empty() {
            return;
        }
        let mut transaction = Transaction::new(self.clock.now());
        let mut decided = Vec::with_capacity(group.len());
        for (change, reply) in group {
            let subject = change.subject.clone();
            decided.push((reply, subject, self.decide(&mut transaction, change)));
        }
        let accepted = decided
            .iter()
            .any(|(.., r)| matches!(r, Ok(ChangeOutcome::Applied(_))));
        let result = match accepted {
            true => self.commit_changes(&mut transaction),
            false => Err(LedgerError::Stopped),
        };
        for (reply, subject, decision) in decided {
            let _ = reply.send(match (decision, &result) {
                (Ok(ChangeOutcome::Applied(renewal)), r) => r.clone().map(|r| Receipt {
                    revision: transaction.revision(&subject),
                    renewal,
                    ..r
                }),
                (Ok(ChangeOutcome::Duplicate(stored)), _) => Ok(stored.into()),
                // The refusal may depend on an earlier change of the group, whose outcome is not a
                // success.
                (Err(LedgerError::Rule(_)), Err(e)) if accepted => Err(e.clone()),
                (Err(e), _) => Err(e),
            });
        }
        self.notify();
    }

    /// The last step of a commit: notifies its receivers.
    fn notify(&self) {
        self.committed
            .send_if_modified(|committed| std::mem::replace(committed, self.seq) != self.seq);
    }

    /// Checks a change and decides it on top of the changes that a transaction has.
    pub(super) fn decide(
        &self,
        transaction: &mut Transaction,
        change: Change,
    ) -> Result<ChangeOutcome, LedgerError> {
        if self.settings.netblocks.required {
            netblock_rule::check(&self.store, &change)?;
        }
        self.decide_approved(transaction, change)
    }

    /// As [`Writer::decide`], for a change that may list a prefix because it has an entry, or because
    /// a provider has proved it.
    pub(super) fn decide_approved(
        &self,
        transaction: &mut Transaction,
        change: Change,
    ) -> Result<ChangeOutcome, LedgerError> {
        let change = self.check(change)?;
        transaction.decide(&self.store, &change, |s| self.covered(s))
    }

    /// Commits changes, and ends the holds that have lost the listing that they suppress.
    pub(super) fn commit_changes(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<Receipt, LedgerError> {
        transaction.release_orphaned_holds(&self.store)?;
        self.commit(transaction, None)
    }

    /// Whether a wider listing may cover a subject. Exact only for single IPv4 addresses, for which
    /// the tables answer it quickly.
    fn covered(&self, subject: &Subject) -> bool {
        match subject {
            Subject::V4(p) if p.is_host() => {
                self.builder.tables().ip4.get(p.first()).1 != crate::index::values::ValueId::EMPTY
            }
            _ => true,
        }
    }

    /// Refuses subjects that must not be listed, and completes the change with defaults.
    fn check(&self, mut change: Change) -> Result<Change, LedgerError> {
        if let Some(why) = self.health.writes_refused() {
            return Err(LedgerError::Unavailable(why));
        }
        use crate::model::special::{Unlistable, unlistable};
        if matches!(change.command, Command::Exempt { .. })
            && unlistable(&change.subject, &[]) == Some(Unlistable::TooWide)
        {
            return Err(LedgerError::Unlistable(Unlistable::TooWide)); // No listing is so wide.
        }
        let exact = change.command.check_exact(&change.subject);
        exact.map_err(LedgerError::Invalid)?;
        if let Command::List {
            reason,
            source,
            until,
            text,
        } = &mut change.command
        {
            match unlistable(&change.subject, &self.settings.special) {
                Some(Unlistable::Special) if change.preconditions.special => {}
                Some(why) => return Err(LedgerError::Unlistable(why)),
                None => {}
            }
            let name = self.store.dictionary().reasons.name(*reason).to_string();
            let Some(known) = self.settings.reasons.iter().find(|r| r.name == name) else {
                return Err(LedgerError::Invalid(format!(
                    "the reason `{name}` is not in config.toml"
                )));
            };
            if until.is_some() {
                change.preconditions.open_end = OpenEnd::Lifetime; // The end is not open.
            } else {
                // Listings by relay tests always expire (safety rule S14).
                let tested = *source == SourceId::PROBER && PROBER_REASONS.contains(&name.as_str());
                let lifetime = known
                    .lifetime
                    .filter(|_| change.preconditions.open_end != OpenEnd::Never || tested);
                *until = lifetime
                    .or(tested.then_some(PROBER_LIFETIME))
                    .map(|l| self.clock.now().plus(l));
            }
            if let Some(t) = &mut text.text {
                *t = own_text(t, &change.subject).into();
            }
        }
        Ok(change)
    }

    /// Commits a transaction and publishes it. `tables` are the tables that a large import has
    /// prepared, which replace the builder's.
    pub(super) fn commit(
        &mut self,
        transaction: &Transaction,
        tables: Option<Builder>,
    ) -> Result<Receipt, LedgerError> {
        let seq = self.seq + 1;
        let (receipt, mut moved) = self.receipt(seq, transaction);
        let changed = transaction.touched.len();
        let mut batch = self.batch(seq, transaction, &receipt);
        self.log_removals(transaction, &receipt.serials, &mut batch)?;
        let (last, queues) = self.announce(seq, transaction, &receipt.serials, &mut batch);
        // Made before the commit, so that queries are answered from a durable commit at once, and
        // dropped if the commit fails.
        let mut replaced = tables;
        let builder = replaced.as_mut().unwrap_or(&mut self.builder);
        let next = builder.with(transaction.facts());
        self.commit_batch(batch)?;
        self.audited += transaction.audit.len() as u64;
        self.announced(queues);
        // After the commit, because readers and imports must not see an uncommitted generation.
        if let Some(v) = &transaction.dictionary {
            self.store.set_dictionary(v.clone());
        }
        self.seq = last;
        self.serials.swap_with_slice(&mut moved);
        self.next_due = self
            .next_due
            .into_iter()
            .chain(transaction.due_times(&self.sight_limits))
            .min();
        let (started, cpu) = (Instant::now(), thread_cpu_time());
        if let Some(builder) = &mut replaced {
            std::mem::swap(&mut self.builder, builder);
        }
        self.builder.adopt(next);
        if !self.publishes_later {
            self.publish();
            let times = &self.health.publish_times;
            times.elapsed.add(started.elapsed());
            times.cpu.add(thread_cpu_time().saturating_sub(cpu));
        }
        self.published.sweep();
        self.builder.sweep_if_due();
        self.count_zone_changes(transaction);
        self.health
            .commits
            .fetch_add(last + 1 - seq, Ordering::Relaxed);
        self.health
            .changes
            .fetch_add(changed as u64, Ordering::Relaxed);
        self.since_image += changed;
        if self.since_image >= IMAGE_EVERY {
            self.write_image(false, None);
        }
        Ok(receipt)
    }

    /// Counts the subjects that each zone begins or ceases to publish.
    fn count_zone_changes(&self, transaction: &Transaction) {
        let changes = transaction.published_changes();
        for zone in self.zones.all() {
            let mut counts = ZoneChanges::default();
            let of_zone = changes.iter().filter(|(s, ..)| zone.spec.has_kind_of(s));
            for (subject, before, after) in of_zone {
                let publishes = |v: &Verdict| {
                    let listed = v.in_force().map(|e| Listed {
                        reason: e.reason,
                        source: e.source,
                        aged: e.aged,
                    });
                    zone.mask != 0 && zone.publishes(subject.family(), &listed)
                };
                match (publishes(before), publishes(after)) {
                    (false, true) => counts.listed += 1,
                    (true, false) => counts.delisted += 1,
                    _ => {}
                }
            }
            self.health.add_zone_changes(&zone.name, counts);
        }
    }

    /// The receipt of a transaction, and the serials of all zones after it.
    fn receipt(&self, seq: u64, transaction: &Transaction) -> (Receipt, Vec<Serial>) {
        let changes = transaction.fact_changes();
        let mut serials = self.serials.clone();
        let mut receipt = Receipt {
            commit: seq,
            ..Receipt::default()
        };
        for (zone, serial) in self.zones.all().iter().zip(&mut serials) {
            if zone.changed_by(&changes) {
                *serial = serial.next();
                receipt.serials.insert(zone.name.to_string(), *serial);
            }
        }
        (receipt, serials)
    }

    /// The rows of a transaction.
    fn batch(&mut self, seq: u64, transaction: &Transaction, receipt: &Receipt) -> Batch {
        let mut batch = Batch::default();
        transaction.rows(seq, &self.sight_limits, &mut batch);
        transaction.audit_rows(self.audited + 1, receipt, &mut batch);
        let mut serials = Vec::new();
        for (zone, was) in self.zones.all().iter().zip(&self.serials) {
            if let Some(serial) = receipt.serials.get(&*zone.name) {
                put_zone(&mut batch, &zone.name, *serial, zone.hash);
                serials.push((zone.name.to_string(), *was, *serial));
            }
        }
        // The journal has them by name.
        serials.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.journal_bytes = transaction.journal(seq, serials, self.journal_bytes, &mut batch);
        batch
    }

    /// Publishes the builder's tables, from which all further queries are answered.
    pub(super) fn publish(&self) {
        self.publish_as(true);
    }

    /// Publishes the tables. If `sound` is false, because the store is damaged, queries get
    /// SERVFAIL.
    fn publish_as(&self, sound: bool) {
        self.published.replace(Snapshot {
            tables: self.builder.tables().clone(),
            zones: self.zones.clone(),
            serials: self.serials.clone().into(),
            seq: self.seq,
            sound,
            nsid: self.settings.nsid.as_str().into(),
            keys: self.settings.keys.clone(),
        });
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.published.sweep();
        for damage in self.store.integrity.date_damage(self.clock.now()) {
            tracing::error!(
                found_by = damage.found_by.as_str(),
                what = damage.description,
                "the store is damaged; restore it from a backup"
            );
        }
        if self.ticks.is_multiple_of(WATCH_EVERY) {
            self.watch_removals(false);
        }
        if self.health.poisoned().is_some() {
            self.recover();
            return;
        }
        if let Err(e) = self.expire() {
            let error = e.text(&self.store.dictionary());
            tracing::error!(%error, "ending due listings failed");
        }
        self.retire();
        self.follow_feed_sights();
        if self.ticks >= self.next_image && self.seq > self.imaged.load(Ordering::Relaxed) {
            self.write_image(false, None);
        }
        if self.ticks.is_multiple_of(TRIM_EVERY) {
            if let Err(e) = self.trim() {
                let error = e.text(&self.store.dictionary());
                tracing::warn!(error, "trimming the journal failed");
            }
            if let Err(e) = self.drop_kept() {
                tracing::warn!(error = ?e, "deleting replaced rows failed");
            }
        }
    }

    /// Commits a dictionary and uses it.
    pub(super) fn save(&self, v: crate::store::Dictionary) -> Result<(), LedgerError> {
        let mut batch = Batch::default();
        crate::store::dictionary_rows(&v, &mut batch);
        self.commit_batch(batch)?;
        self.store.set_dictionary(v);
        Ok(())
    }

    /// Commits rows that are not part of a numbered commit, with the audit record of their request.
    pub(super) fn commit_audited(
        &mut self,
        mut batch: Batch,
        audit: Option<schema::AuditRecord>,
    ) -> Result<(), LedgerError> {
        let mut transaction = Transaction::new(self.clock.now());
        transaction.audit.extend(audit);
        transaction.audit_rows(self.audited + 1, &Receipt::default(), &mut batch);
        self.commit_batch(batch)?;
        self.audited += transaction.audit.len() as u64;
        Ok(())
    }

    /// Commits new serials of zones, which each have their row in the batch: origin, serial before
    /// and after.
    pub(super) fn commit_serials(
        &mut self,
        transaction: &Transaction,
        receipt: &Receipt,
        moved: Vec<(String, Serial, Serial)>,
        mut batch: Batch,
    ) -> Result<(), LedgerError> {
        let (commit, before) = (receipt.commit, self.journal_bytes);
        let bytes = transaction.journal(commit, moved, before, &mut batch);
        transaction.audit_rows(self.audited + 1, receipt, &mut batch);
        self.log_removals(transaction, &receipt.serials, &mut batch)?;
        self.commit_batch(batch)?;
        self.audited += transaction.audit.len() as u64;
        (self.seq, self.journal_bytes) = (commit, bytes);
        Ok(())
    }

    /// Commits rows. After a failure it is unknown whether they are stored; writes are refused
    /// until [`Writer::recover`] has found out.
    pub(super) fn commit_batch(&self, batch: Batch) -> Result<(), LedgerError> {
        if let Some(why) = self.health.poisoned() {
            return Err(LedgerError::Unavailable(why));
        }
        self.store.commit(batch).map_err(|e| {
            if matches!(e, StoreError::Encode(_)) {
                return LedgerError::Unavailable(e.to_string()); // Certainly not written.
            }
            tracing::error!(error = %e, "commit failed; writes are refused until the store works again");
            self.health.set(Some(e.to_string()));
            LedgerError::OutcomeUnknown(e.to_string())
        })
    }

    fn stop(&mut self) -> Result<(), LedgerError> {
        if self.health.poisoned().is_none() {
            self.write_image(true, None);
        }
        if let Some(last) = self.image.take() {
            let _ = last.join();
        }
        self.clock.save();
        self.store.close().map_err(Into::into)
    }
}

pub(super) fn put_zone(batch: &mut Batch, origin: &str, serial: Serial, hash: u64) {
    batch.put(
        schema::META,
        format!("zone/{origin}").into_bytes(),
        schema::encode(&schema::ZoneRecord { serial, hash }),
    );
}
