//! The writer's loop: takes jobs in order, changes that wait together as one group.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::{
    GROUP, Health, Job, Receipt, Refused, Reply, Settings,
    group::{Decided, Work},
    removal_log::RemovalLog,
};
use crate::{
    clock::Clock,
    index::{Builder, Published, Snapshot, ZoneSet, ZoneView},
    model::{
        Change, Serial, SourceId, Subject, Time,
        history::{Ask, OpenEnd, PROBER_LIFETIME, PROBER_REASONS},
        verdict::own_text,
    },
    store::{Batch, Store, StoreError, Vocabulary, journal::Since, schema, vocabulary_rows},
};

/// After how many changed subjects a new image is written.
const IMAGE_EVERY: usize = 100_000;
/// How often the journal is trimmed, in ticks of a second.
const TRIM_EVERY: u64 = 60;
/// How often an image is written however little has changed, in ticks: what is trimmed from the
/// journal has to be in it.
const IMAGE_TICKS: u64 = 3600;
/// How often the log of removals is looked at, in ticks; it is looked at before each write too.
const WATCH_EVERY: u64 = 10;

pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) builder: Builder,
    pub(super) book: Arc<ArcSwap<super::Book>>,
    pub(super) published: Arc<Published>,
    pub(super) health: Arc<Health>,
    /// Tells whoever waits for commits; see [`Ledger::commits`](super::Ledger::commits).
    pub(super) told: watch::Sender<u64>,
    pub(super) settings: Settings,
    pub(super) zones: Arc<ZoneSet>,
    pub(super) serials: Vec<Serial>,
    pub(super) seq: u64,
    pub(super) journal_bytes: u64,
    /// What waits for each webhook.
    pub(super) queues: super::outbox::Queues,
    /// The log of removals.
    pub(super) removals: Option<RemovalLog>,
    /// Trusted time.
    pub(super) clock: Clock,
    /// Whether what is due is being ended: it is published when all of it has ended.
    pub(super) expiring: bool,
    /// The number of the last line of the audit log.
    pub(super) audited: u64,
    pub(super) next_due: Option<Time>,
    pub(super) since_image: usize,
    /// The commit that the image on disk stands at; 0 for none.
    pub(super) imaged: Arc<AtomicU64>,
    pub(super) ticks: u64,
    /// The tick at which an image is written if anything has changed since the last one.
    pub(super) next_image: u64,
    /// The image that is being written.
    pub(super) image: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    /// Runs until it is told to stop, or nobody can tell it anything any more.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(GROUP);
        while jobs.blocking_recv_many(&mut waiting, GROUP) > 0 {
            if let Some(stopped) = self.turn(&mut waiting) {
                let _ = stopped.send(self.stop());
                return;
            }
        }
        let _ = self.stop();
    }

    /// One turn: what waits, in order; changes in a row are one commit.
    fn turn(&mut self, waiting: &mut Vec<Job>) -> Option<Reply<()>> {
        // Before a change is accepted or refused: the log of removals may be lost or back, or begin
        // anew by a new setting.
        if waiting.iter().any(|job| !matches!(job, Job::Tick)) {
            self.watch_removals(false);
        }
        let mut group: Vec<(Change, Reply<Receipt>)> = Vec::new();
        for job in waiting.drain(..) {
            if let Job::Change(change, reply) = job {
                group.push((change, reply));
                continue;
            }
            self.changes(std::mem::take(&mut group));
            match job {
                Job::Change(..) => {}
                Job::Tick => self.tick(),
                Job::Import(ready, reply) => self.import(*ready, reply),
                Job::Fork(reply) => {
                    drop(reply.send(Ok((Box::new(self.builder.clone()), self.seq))));
                }
                Job::Generation(source, reply) => drop(reply.send(self.generation(source))),
                Job::Source(name, reply) => drop(reply.send(self.source(&name))),
                Job::Tried(all, reply) => {
                    let (webhook, commit, tried) = *all;
                    drop(reply.send(self.tried(&webhook, commit, tried)));
                }
                Job::Many(all, reply) => drop(reply.send(self.many(all.0, all.1))),
                Job::Record(entry, reply) => drop(reply.send(self.record(*entry))),
                Job::FeedEvent(event, reply) => drop(reply.send(self.announce_feed(*event))),
                Job::Keep(all, reply) => drop(reply.send(self.keep(all.0, all.1.as_ref()))),
                Job::VerifyRemovals(reply) => drop(reply.send(self.verify_removals())),
                Job::BackedUp(line, reply) => drop(reply.send(self.backed_up(line))),
                Job::Past(asked, reply) => drop(reply.send(self.past(*asked))),
                Job::Configure(settings, reply) => {
                    drop(reply.send(self.configure(*settings)));
                    self.told.send_replace(self.seq); // whatever changed: zones and their mirrors may be others
                }
                Job::Serial(request, reply) => drop(reply.send(self.set_serial(&request))),
                Job::Rename(all, reply) => {
                    let (rename, settings, line) = *all;
                    drop(reply.send(self.rename(&rename, settings, &line)));
                    self.told.send_replace(self.seq);
                }
                Job::Stop(reply) => return Some(reply),
            }
            self.tell();
        }
        self.changes(group);
        None
    }

    /// check → decide → commit → apply → publish → receipt, for a group.
    fn changes(&mut self, group: Vec<(Change, Reply<Receipt>)>) {
        if group.is_empty() {
            return;
        }
        let mut work = Work::new(self.clock.now());
        let mut decided = Vec::with_capacity(group.len());
        for (change, reply) in group {
            let subject = change.subject.clone();
            let result = self
                .check(change)
                .and_then(|c| work.decide(&self.store, &c, |s| self.covered(s)));
            decided.push((reply, subject, result));
        }
        let accepted = decided
            .iter()
            .any(|(.., r)| matches!(r, Ok(Decided::Now(_))));
        let result = match accepted {
            true => work
                .uncover(&self.store)
                .and_then(|()| self.commit(&work, None)),
            false => Err(Refused::Stopped),
        };
        for (reply, subject, decision) in decided {
            let _ = reply.send(match (decision, &result) {
                (Ok(Decided::Now(renewal)), r) => r.clone().map(|r| Receipt {
                    revision: work.revision(&subject),
                    renewal,
                    ..r
                }),
                (Ok(Decided::Before(made)), _) => Ok(made.into()),
                // The refusal may rest on a change before it in the group, of which nobody knows
                // now.
                (Err(Refused::Rule(_)), Err(e)) if accepted => Err(e.clone()),
                (Err(e), _) => Err(e),
            });
        }
        self.tell();
    }

    /// The last step of a commit: whoever waits for one is woken.
    fn tell(&self) {
        self.told
            .send_if_modified(|told| std::mem::replace(told, self.seq) != self.seq);
    }

    /// Whether something wider may list a subject: told by the tables where they are quick to tell.
    pub(super) fn covered(&self, subject: &Subject) -> bool {
        match subject {
            Subject::V4(p) if p.is_host() => {
                self.builder.tables().ip4.get(p.first()).1 != crate::index::values::ValueId::EMPTY
            }
            _ => true,
        }
    }

    /// Refuses what must not be listed, and fills in what was left out.
    pub(super) fn check(&self, mut change: Change) -> Result<Change, Refused> {
        if let Some(why) = self.health.writes_refused() {
            return Err(Refused::Poisoned(why));
        }
        use crate::model::special::{Unlistable, unlistable};
        if matches!(change.ask, Ask::Exempt { .. })
            && unlistable(&change.subject, &[]) == Some(Unlistable::TooWide)
        {
            return Err(Refused::Unlistable(Unlistable::TooWide)); // nothing that wide is listed
        }
        if let Ask::List {
            reason,
            source,
            until,
            text,
        } = &mut change.ask
        {
            match unlistable(&change.subject, &self.settings.special) {
                Some(Unlistable::Special) if change.terms.special => {}
                Some(why) => return Err(Refused::Unlistable(why)),
                None => {}
            }
            let name = self.store.vocabulary().reasons.name(*reason).to_string();
            let Some(known) = self.settings.reasons.iter().find(|r| r.name == name) else {
                return Err(Refused::Settings(format!(
                    "the reason `{name}` is not in config.toml"
                )));
            };
            if until.is_some() {
                change.terms.open_end = OpenEnd::Lifetime; // it is not open
            } else {
                // What tests have found always ends (safety rule S14).
                let tested = *source == SourceId::PROBER && PROBER_REASONS.contains(&name.as_str());
                let lifetime = known
                    .lifetime
                    .filter(|_| change.terms.open_end != OpenEnd::Never || tested);
                *until = lifetime
                    .or(tested.then_some(PROBER_LIFETIME))
                    .map(|l| self.clock.now().plus(l));
            }
            if let Some(t) = text {
                *t = own_text(t, &change.subject).into();
            }
        }
        Ok(change)
    }

    /// Commits a piece of work and publishes it. `tables` are those that a large import has
    /// prepared: they take the place of the builder's.
    pub(super) fn commit(
        &mut self,
        work: &Work,
        tables: Option<Builder>,
    ) -> Result<Receipt, Refused> {
        let seq = self.seq + 1;
        let (receipt, mut moved) = self.receipt(seq, work);
        let changed = work.touched.len();
        let mut batch = self.batch(seq, work, &receipt);
        self.log_removals(work, &receipt.serials, &mut batch)?;
        let told = self.announce(seq, work, &receipt.serials, &mut batch);
        self.commit_batch(batch)?;
        self.audited += work.audit.len() as u64;
        self.announced(told);
        // Not before: nobody may read, or prepare an import, by a generation that might not be
        // true.
        if let Some(v) = &work.vocabulary {
            self.store.set_vocabulary(v.clone());
        }
        self.seq = seq;
        self.serials.swap_with_slice(&mut moved);
        self.next_due = self.next_due.into_iter().chain(work.dues()).min();
        if let Some(tables) = tables {
            self.builder = tables;
        }
        self.apply(work);
        if !self.expiring {
            self.publish();
        }
        self.health.commits.fetch_add(1, Ordering::Relaxed);
        self.health
            .changes
            .fetch_add(changed as u64, Ordering::Relaxed);
        self.since_image += changed;
        if self.since_image >= IMAGE_EVERY {
            self.write_image(false, None);
        }
        Ok(receipt)
    }

    /// The serials that move with a piece of work, and all serials after it.
    fn receipt(&self, seq: u64, work: &Work) -> (Receipt, Vec<Serial>) {
        let masks = work.masks();
        let mut serials = self.serials.clone();
        let mut receipt = Receipt {
            commit: seq,
            ..Receipt::default()
        };
        for (zone, serial) in self.zones.all().iter().zip(&mut serials) {
            let names = zone.spec.kind != crate::model::ZoneKind::Address;
            if masks[usize::from(names)] & zone.mask != 0 {
                *serial = serial.next();
                receipt.serials.insert(zone.name.to_string(), *serial);
            }
        }
        (receipt, serials)
    }

    /// The rows of a piece of work.
    fn batch(&mut self, seq: u64, work: &Work, receipt: &Receipt) -> Batch {
        let mut batch = Batch::default();
        work.rows(seq, &mut batch);
        work.asked_rows(self.audited + 1, receipt, &mut batch);
        for (origin, serial) in &receipt.serials {
            let hash = self
                .zones
                .by_name(origin)
                .map_or(0, |i| self.zones.all()[i].hash);
            put_zone(&mut batch, origin, *serial, hash);
        }
        let was = |origin: &str| {
            self.zones
                .by_name(origin)
                .and_then(|i| self.serials.get(i).copied())
                .unwrap_or_default()
        };
        let serials = receipt
            .serials
            .iter()
            .map(|(o, s)| (o.clone(), was(o), *s))
            .collect();
        self.journal_bytes = work.journal(seq, serials, self.journal_bytes, &mut batch);
        batch
    }

    /// Brings the tables to where a piece of work left its subjects.
    fn apply(&mut self, work: &Work) {
        let mut changes = crate::index::Changes::default();
        for (subject, facts) in work.facts() {
            let id = self.builder.intern(&facts);
            self.builder.add(&mut changes, subject, id);
        }
        self.builder.apply(changes);
    }

    /// Every query from now on sees what the builder has.
    pub(super) fn publish(&self) {
        self.publish_as(true);
    }

    /// The same; `sound` is false where the store cannot be trusted: every query gets SERVFAIL.
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
        for damage in self.store.date_damage(self.clock.now()) {
            tracing::error!(
                found_by = damage.found_by.as_str(),
                what = damage.what,
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
            tracing::error!(error = %e, "what is due could not be ended");
        }
        self.retire();
        if self.ticks >= self.next_image && self.seq > self.imaged.load(Ordering::Relaxed) {
            self.write_image(false, None);
        }
        if self.ticks.is_multiple_of(TRIM_EVERY) {
            match self
                .store
                .trim(self.clock.now(), self.imaged.load(Ordering::Relaxed))
                .and_then(|b| b.map_or(Ok(()), |b| self.store.commit(b)))
            {
                Ok(()) => {}
                Err(e) => tracing::warn!(error = %e, "the journal could not be trimmed"),
            }
            if let Err(e) = self.drop_kept() {
                tracing::warn!(error = ?e, "rows that cannot come back any more could not be dropped");
            }
        }
    }

    /// Empties the zones whose day has come.
    fn retire(&mut self) {
        let now = self.clock.now();
        let due: Vec<String> = self
            .zones
            .all()
            .iter()
            .filter(|z| z.falls_empty(now))
            .map(|z| z.name.to_string())
            .collect();
        if due.is_empty() {
            return;
        }
        match self.take_over(self.settings.clone(), false) {
            Ok(receipt) => {
                tracing::warn!(zones = ?due, serials = ?receipt.serials, "retired: lists nobody from now on");
            }
            Err(e) => {
                tracing::error!(zones = ?due, why = e.text(&self.store.vocabulary()), "a zone could not be emptied; tried again");
            }
        }
    }

    /// Opens the store again after an error, and finds out whether the commit in doubt is there.
    fn recover(&mut self) {
        let found = self
            .store
            .reopen()
            .and_then(|()| self.store.seq())
            .and_then(|seq| match seq < self.seq {
                true => Err(StoreError::Damaged(format!(
                    "commits {} to {} were acknowledged and are missing",
                    seq + 1,
                    self.seq
                ))),
                false => self.catch_up(seq),
            });
        if let Err(e) = found {
            if matches!(e, StoreError::Damaged(_)) {
                tracing::error!(error = %e, "every query gets SERVFAIL until the store can be trusted again");
                self.publish_as(false);
            }
            return self.health.set(Some(e.to_string()));
        }
        self.health.set(None);
        // A configuration that was in doubt may be on disk: what is served has to have a serial of
        // its own.
        match self.take_over(self.settings.clone(), false) {
            Ok(_) => tracing::info!(commit = self.seq, "the store works again; writes are taken"),
            Err(e) => self.health.set(Some(e.text(&self.store.vocabulary()))),
        }
    }

    /// Takes over commits that are in the store and not yet in the tables.
    fn catch_up(&mut self, last: u64) -> Result<(), StoreError> {
        if last > self.seq {
            let v = self.store.vocabulary();
            match self.store.changed_since(self.seq)? {
                Since::Subjects(subjects) => load(&self.store, &v, &mut self.builder, &subjects)?,
                Since::Everything => self.builder = super::start::build(&self.store, &v)?,
            }
            self.seq = last;
            for (zone, serial) in self.zones.all().iter().zip(&mut self.serials) {
                *serial = self.store.zone(&zone.name)?.map_or(*serial, |r| r.serial);
            }
            self.publish();
        }
        self.journal_bytes = self.store.journal_bytes()?;
        self.next_due = self.store.next_due()?;
        // What was in doubt may be there too.
        self.audited = self.store.audited()?;
        self.book.store(Arc::new(super::Book::read(&self.store)?));
        self.count_queues()?;
        Ok(())
    }

    /// Takes a new configuration; none while it is not known what the store has.
    fn configure(&mut self, settings: Settings) -> Result<Receipt, Refused> {
        match self.health.poisoned() {
            Some(why) => Err(Refused::Poisoned(why)),
            None => {
                let receipt = self.take_over(settings, false)?;
                self.note_configured(true)?;
                Ok(receipt)
            }
        }
    }

    /// Takes a configuration: zones, reasons, limits. Zones that render differently get a new
    /// serial and a barrier. Where commits are `lost`, all serials jump.
    pub(super) fn take_over(&mut self, settings: Settings, lost: bool) -> Result<Receipt, Refused> {
        let mut vocabulary = Vocabulary::clone(&self.store.vocabulary());
        // Another log counts only when all the rest is taken: until then the old one does.
        let other = match (&self.removals, &settings.removals) {
            (Some(log), Some(path)) if log.path() == path => None,
            (_, Some(path)) => Some(Some(self.open_removals(path)?)),
            (None, None) => None,
            (Some(_), None) => Some(None),
        };
        for r in &settings.reasons {
            vocabulary.reasons.add(&r.name).map_err(Refused::Settings)?;
        }
        let texts: HashMap<String, String> = settings
            .reasons
            .iter()
            .map(|r| (r.name.clone(), r.text.clone()))
            .collect();
        let now = self.clock.now();
        let store = self.store.store_id();
        let view = |z| {
            Ok(ZoneView::new(z, &vocabulary.reasons, &texts)?
                .of_store(store)
                .at(now))
        };
        let views = settings.zones.iter().map(|z| {
            view(z).map_err(|e: String| Refused::Settings(format!("zone {}: {e}", z.origin)))
        });
        let zones = self
            .zones
            .next(views.collect::<Result<_, _>>()?)
            .map_err(Refused::Settings)?;
        let mut work = Work::new(now);
        let (mut serials, mut moved) = (Vec::new(), Vec::new());
        let mut receipt = Receipt {
            commit: self.seq,
            ..Receipt::default()
        };
        let mut batch = Batch::default();
        for zone in zones.all() {
            let old = self.store.zone(&zone.name)?;
            let serial = self.zone_serial(zone, old, lost);
            serials.push(serial);
            if old.is_none_or(|r| (r.serial, r.hash) != (serial, zone.hash)) {
                put_zone(&mut batch, &zone.name, serial, zone.hash);
                receipt.serials.insert(zone.name.to_string(), serial);
                moved.push((
                    zone.name.to_string(),
                    old.map_or(serial, |r| r.serial),
                    serial,
                ));
            }
        }
        // A zone that is not served does not follow the changes: if it comes back, it is another
        // one.
        let mut gone = false;
        for (origin, record) in self.store.zones()? {
            if record.hash != 0 && zones.by_name(&origin).is_none() {
                put_zone(&mut batch, &origin, record.serial, 0);
                gone = true;
            }
        }
        self.warn_of_serials(zones.all(), &serials);
        let words = vocabulary.reasons.0.all() != self.store.vocabulary().reasons.0.all();
        if words || gone || !receipt.serials.is_empty() {
            receipt.commit = self.seq + 1;
            work.barrier = true;
            vocabulary_rows(&vocabulary, &mut batch);
            let bytes = work.journal(receipt.commit, moved, self.journal_bytes, &mut batch);
            if self.removals.is_some() {
                self.log_removals(&work, &receipt.serials, &mut batch)?;
            }
            self.commit_batch(batch)?;
            (self.seq, self.journal_bytes) = (receipt.commit, bytes);
            self.store.set_vocabulary(vocabulary);
        }
        (self.settings, self.zones, self.serials) = (settings, Arc::new(zones), serials);
        self.publish();
        if let Some(other) = other {
            self.take_removals(other);
        }
        self.note_configured(false)?;
        Ok(receipt)
    }

    /// Gives a name its number.
    fn source(&mut self, name: &str) -> Result<SourceId, Refused> {
        let mut v = Vocabulary::clone(&self.store.vocabulary());
        let id = v.sources.add(name).map_err(Refused::Settings)?;
        if usize::from(id.0) == v.records.len() {
            super::names::check_free(
                name,
                super::names::NameOwner::Source,
                &self.book.load(),
                &self.store.vocabulary(),
            )?;
            v.records.push(schema::SourceRecord {
                name: name.into(),
                ..Default::default()
            });
            self.save(v)?;
        }
        Ok(id)
    }

    /// Writes a vocabulary and takes it over.
    pub(super) fn save(&self, v: Vocabulary) -> Result<(), Refused> {
        let mut batch = Batch::default();
        vocabulary_rows(&v, &mut batch);
        self.commit_batch(batch)?;
        self.store.set_vocabulary(v);
        Ok(())
    }

    /// Commits rows. A failure leaves it open whether they are there: no writes are taken until
    /// that is found out.
    pub(super) fn commit_batch(&self, batch: Batch) -> Result<(), Refused> {
        if let Some(why) = self.health.poisoned() {
            return Err(Refused::Poisoned(why));
        }
        self.store.commit(batch).map_err(|e| {
            tracing::error!(error = %e, "a commit failed: no writes are taken until the store works again");
            self.health.set(Some(e.to_string()));
            Refused::InDoubt(e.to_string())
        })
    }

    /// Writes an image of what is published, beside the work; then does `then`. `flush` empties the
    /// log too.
    pub(super) fn write_image(&mut self, flush: bool, then: Option<Box<dyn FnOnce() + Send>>) {
        if let Some(last) = self.image.take_if(|h| h.is_finished() || flush) {
            let _ = last.join();
        }
        if self.image.is_some() {
            return;
        }
        (self.since_image, self.next_image) = (0, self.ticks + IMAGE_TICKS);
        let (store, tables, seq, imaged) = (
            self.store.clone(),
            self.builder.tables().clone(),
            self.seq,
            self.imaged.clone(),
        );
        self.image = Some(std::thread::spawn(move || {
            match store.write_image(&tables, seq) {
                Ok(()) => imaged.store(seq, Ordering::Relaxed),
                Err(e) => {
                    tracing::warn!(error = %e, "the image could not be written; the next start may have to read the store instead");
                }
            }
            if let Some(then) = then {
                then();
            }
            if flush && let Err(e) = store.flush() {
                tracing::warn!(error = %e, "the log could not be flushed");
            }
        }));
    }

    fn stop(&mut self) -> Result<(), Refused> {
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

/// Sets the facts of some subjects (in order) to what the store says, with the feeds' generations
/// of `vocabulary`.
pub(super) fn load(
    store: &Store,
    vocabulary: &Vocabulary,
    builder: &mut Builder,
    subjects: &[Subject],
) -> Result<(), StoreError> {
    const CHUNK: usize = 1 << 16;
    for chunk in subjects.chunks(CHUNK) {
        let mut changes = crate::index::Changes::default();
        store.verdicts(vocabulary, chunk, &mut |subject, verdict| {
            let id = builder.intern(&crate::index::RawFacts::of(&verdict));
            builder.add(&mut changes, subject, id);
            Ok(())
        })?;
        builder.apply(changes);
    }
    Ok(())
}
