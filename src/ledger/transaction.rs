//! A transaction: the verdicts that a commit changes, before and after, and the rows that it
//! writes.

use std::collections::{HashMap, HashSet};

use super::{
    error::LedgerError,
    feature_rows::FeatureNotice,
    import::Follow,
    receipt::{Receipt, Renewal},
    removals::Removal,
};
use crate::{
    index::{RawFact, RawFacts, derive::FactChange},
    model::{
        Change, Event, Hold, Mask, ReasonId, Serial, SightAge, SightLimits, SourceId, Subject,
        Time, Verdict,
        history::{
            Command, DEFAULT_HOLD, EventKind, IdempotencyKey, OpenEnd, check_delivery_evidence,
            decide, expired_listings,
        },
        subject::covers_others,
    },
    store::{
        Batch, Dictionary, EncodedRow, Store,
        schema::{self, AuditRecord, FeedEntry, StoredReceipt},
        stage::ChangedRow,
    },
};

/// The author of events that are caused by the passing of time.
pub(super) const EXPIRY: &str = "expiry";
/// The detail of an audit record about an exact listing.
const EXACT: &str = "exact";
/// The longest note in an audit record, in characters. The subject's history has the whole note.
const MAX_NOTE_CHARS: usize = 400;

/// The outcome of a change that no rule forbids.
pub(super) enum ChangeOutcome {
    /// The change is part of the transaction. Has the ends of the listing for a renewal.
    Applied(Option<Renewal>),
    /// The same idempotent request was processed before.
    Duplicate(StoredReceipt),
}

/// The origin of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A request.
    Request,
    /// An expiry, or the present entries of a source. A restored store makes the event again.
    Consequence,
    /// A row of an import.
    FeedRow,
}

/// The command of a change, with the end of a renewal filled in, and the ends of the listing if it
/// is a renewal.
fn resolve_renewal(verdict: &Verdict, change: &Change) -> (Command, Option<Renewal>) {
    let mut command = change.command.clone();
    let Command::List {
        reason,
        source,
        until,
        ..
    } = &mut command
    else {
        return (command, None);
    };
    let Some(entry) = verdict.entry(*reason, *source).filter(|e| !e.exclusion) else {
        return (command, None);
    };
    if change.preconditions.open_end == OpenEnd::Keep {
        *until = entry.until;
    }
    let renewal = Renewal {
        was: entry.until,
        until: *until,
    };
    (command, Some(renewal))
}

/// Whether a source lists a wider subject for a reason.
fn is_covered(
    subject: &Subject,
    (reason, source): (ReasonId, SourceId),
    verdict_of: impl Fn(&Subject) -> Result<Verdict, LedgerError>,
) -> Result<bool, LedgerError> {
    for wider in subject.wider() {
        if verdict_of(&wider)?.lists(reason, source) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What changes between two verdicts on a subject.
fn changed_facts(subject: &Subject, before: &Verdict, after: &Verdict) -> Vec<FactChange> {
    let family = subject.family();
    let [before, after] = [before, after].map(RawFacts::of);
    let change = |reasons, source, ages| FactChange {
        family,
        reasons,
        source,
        ages,
    };
    if before.exempt != after.exempt {
        // An exemption can suppress wider listings of any reason.
        return vec![change(Mask::MAX, None, None)];
    }
    let of_fact = |f: &RawFact, ages| {
        let source = Some(f.source).filter(|s| *s != SourceId::ALL);
        change(f.reason.bit(), source, ages)
    };
    let mut out = Vec::new();
    for f in &before.facts {
        match after.fact(f.reason, f.source) {
            None => out.push(of_fact(f, None)),
            Some(new) if new == f => {}
            Some(new) => {
                let is_same = RawFact {
                    aged: f.aged,
                    ..new.clone()
                } == *f;
                out.push(of_fact(f, is_same.then_some([f.aged, new.aged])));
            }
        }
    }
    let added = after.facts.iter();
    let added = added.filter(|f| before.fact(f.reason, f.source).is_none());
    out.extend(added.map(|f| of_fact(f, None)));
    out
}

/// A transaction; see the module.
#[derive(Default)]
pub(super) struct Transaction {
    now: Time,
    /// Each subject's verdict before and after.
    pub(super) touched: HashMap<Subject, (Verdict, Verdict)>,
    /// Whether one of these subjects can cover others.
    touches_wide: bool,
    events: Vec<(Subject, Event, Origin)>,
    /// Due times that have been handled, and are deleted.
    stale: Vec<(Time, Subject)>,
    /// Other rows: family, key and value; `None` deletes the row.
    rows: Vec<(&'static str, Vec<u8>, Option<EncodedRow>)>,
    /// The dictionary that is committed with the transaction.
    pub(super) dictionary: Option<Dictionary>,
    /// Audit records.
    pub(super) audit: Vec<AuditRecord>,
    /// The keys of idempotent requests, and their subjects.
    idempotency: Vec<(IdempotencyKey, Subject)>,
    /// Ranges to delete: family and prefix.
    drops: Vec<(&'static str, Vec<u8>)>,
    /// Reasons whose listings change without a changed subject in the transaction: those of
    /// addresses, and those of domains.
    pub(super) extra: [Mask; 2],
    /// Events for webhooks, each with a commit number of its own. If no listing changes, the first
    /// one is sent in place of the commit.
    pub(super) notices: Vec<FeatureNotice>,
    /// See [`schema::Commit::barrier`].
    pub(super) barrier: bool,
    /// See [`schema::Commit::bulk`]: the source whose rows change.
    pub(super) bulk: Option<SourceId>,
    /// The notes of feed rows before the commit.
    notes: Vec<schema::FeedNote>,
}

impl Transaction {
    pub(super) fn new(now: Time) -> Transaction {
        Transaction {
            now,
            ..Transaction::default()
        }
    }

    fn verdict(
        &mut self,
        store: &Store,
        subject: &Subject,
    ) -> Result<&mut (Verdict, Verdict), LedgerError> {
        if !self.touched.contains_key(subject) {
            let v = store.verdict(subject)?;
            self.touched.insert(subject.clone(), (v.clone(), v));
            self.touches_wide |= covers_others(subject);
        }
        self.touched.get_mut(subject).ok_or(LedgerError::Stopped)
    }

    /// The verdict on a subject after the changes so far.
    pub(super) fn present(&self, store: &Store, subject: &Subject) -> Result<Verdict, LedgerError> {
        match self.touched.get(subject) {
            Some((_, verdict)) => Ok(verdict.clone()),
            None => Ok(store.verdict(subject)?),
        }
    }

    /// Decides a change on top of the changes before it, and applies its events. `covered` says
    /// whether a wider listing may cover a subject.
    ///
    /// # Errors
    ///
    /// A precondition or a rule refuses the change, or the store cannot be read.
    pub(super) fn decide(
        &mut self,
        store: &Store,
        change: &Change,
        covered: impl Fn(&Subject) -> bool,
    ) -> Result<ChangeOutcome, LedgerError> {
        let now = self.now;
        if let Some(idempotency) = &change.preconditions.idempotency {
            match self.stored_receipt(store, idempotency)? {
                None => {}
                Some(stored) if stored.body != idempotency.body => {
                    return Err(LedgerError::IdempotencyKeyReused);
                }
                Some(stored) if stored.commit > 0 => return Ok(ChangeOutcome::Duplicate(stored)),
                Some(_) => return Ok(ChangeOutcome::Applied(None)),
            }
        }
        check_delivery_evidence(&change.command, change.evidence.as_ref())
            .map_err(LedgerError::Rule)?;
        let covers = match &change.command {
            Command::Delist { .. } if covered(&change.subject) || self.touches_wide => {
                self.covers(store, &change.subject)?
            }
            _ => Vec::new(),
        };
        let (_, verdict) = self.verdict(store, &change.subject)?;
        let revision = schema::revision(verdict);
        if change.preconditions.expect.is_some_and(|e| e != revision) {
            return Err(LedgerError::PreconditionFailed(revision));
        }
        let (command, renewal) = resolve_renewal(verdict, change);
        let decided = decide(
            verdict,
            &command,
            &covers,
            change.preconditions.breaks_hold,
            now,
            SourceId::is_feed,
        )
        .map_err(LedgerError::Rule)?;
        for what in &decided {
            verdict.fold(now, what);
        }
        let is_expiry = matches!(change.command, Command::Expire);
        let origin = if is_expiry {
            Origin::Consequence
        } else {
            Origin::Request
        };
        for what in decided {
            let event = Event {
                at: now,
                author: change.author.clone(),
                kind: what,
                evidence: change.evidence.clone(),
            };
            self.events.push((change.subject.clone(), event, origin));
        }
        let key = change.preconditions.idempotency;
        self.idempotency
            .extend(key.map(|key| (key, change.subject.clone())));
        if !is_expiry {
            let note = change.evidence.as_ref();
            self.audit.push(AuditRecord {
                at: now,
                author: change.author.clone(),
                from: change.preconditions.from.to_string(),
                action: change.command.as_str().into(),
                target: change.subject.to_string(),
                detail: match &change.command {
                    Command::List { text, .. } if text.exact => EXACT.into(),
                    _ => String::new(),
                },
                note: note.map(|e| e.text.chars().take(MAX_NOTE_CHARS).collect()),
                ..AuditRecord::default()
            });
        }
        Ok(ChangeOutcome::Applied(renewal))
    }

    /// The receipt of the same request before; with commit 0 if it is in this transaction.
    fn stored_receipt(
        &self,
        store: &Store,
        idempotency: &IdempotencyKey,
    ) -> Result<Option<StoredReceipt>, LedgerError> {
        let mut keys = self.idempotency.iter().rev();
        if let Some((o, _)) = keys.find(|(o, _)| o.key == idempotency.key) {
            return Ok(Some(StoredReceipt {
                body: o.body,
                ..StoredReceipt::default()
            }));
        }
        Ok(store.stored_receipt(self.now, &idempotency.key)?)
    }

    /// The reasons and sources of the wider listings that cover a subject.
    fn covers(
        &mut self,
        store: &Store,
        subject: &Subject,
    ) -> Result<Vec<(ReasonId, SourceId)>, LedgerError> {
        let mut out = Vec::new();
        let (_, own) = self.verdict(store, subject)?;
        let exclusions = own.entries.iter().filter(|e| e.exclusion);
        // For each reason and source only the nearest entry applies.
        let mut decided: Vec<_> = exclusions.map(|e| (e.reason, e.source)).collect();
        for wider in subject.wider() {
            let verdict = self.present(store, &wider)?;
            for e in &verdict.entries {
                let listing = (e.reason, e.source);
                if decided.contains(&listing) {
                    continue;
                }
                decided.push(listing);
                let suppressed = verdict.is_suppressed(e.reason, e.source);
                if !e.exclusion && !suppressed && verdict.exempt.is_none() {
                    out.push(listing);
                }
            }
        }
        Ok(out)
    }

    /// Ends holds that suppress a subject of a wider listing if the source no longer has that
    /// listing.
    pub(super) fn release_orphaned_holds(&mut self, store: &Store) -> Result<(), LedgerError> {
        let mut lost: Vec<(SourceId, Subject)> = Vec::new();
        for (subject, (before, after)) in &self.touched {
            let listed = before.entries.iter().filter(|e| !e.exclusion);
            let gone = listed.filter(|e| !after.lists(e.reason, e.source));
            if covers_others(subject) {
                lost.extend(gone.map(|e| (e.source, subject.clone())));
            }
        }
        lost.sort_unstable();
        for lost in lost.chunk_by(|a, b| a.0 == b.0) {
            let source = lost[0].0;
            for subject in store.held(source)? {
                if lost.iter().any(|(_, wide)| wide.covers(&subject)) {
                    self.release_orphaned_hold(store, source, &subject)?;
                }
            }
        }
        Ok(())
    }

    /// Ends a subject's holds [`Hold::WITH_COVER`] on a source if no listing of the source covers
    /// the subject.
    fn release_orphaned_hold(
        &mut self,
        store: &Store,
        source: SourceId,
        subject: &Subject,
    ) -> Result<(), LedgerError> {
        let (_, verdict) = self.verdict(store, subject)?.clone();
        let holds = verdict.holds.iter();
        for h in holds.filter(|h| h.source == source && h.until == Hold::WITH_COVER) {
            let reason = h.reason;
            if is_covered(subject, (reason, source), |s| self.present(store, s))? {
                continue;
            }
            // If the source also lists the subject itself, it stays suppressed as after any
            // removal.
            let event = match verdict.lists(reason, source) {
                true => EventKind::Held {
                    reason,
                    source,
                    until: self.now.plus(DEFAULT_HOLD),
                },
                false => EventKind::HoldEnded { reason, source },
            };
            self.apply_event(store, subject, EXPIRY, event, self.now)?;
        }
        Ok(())
    }

    /// Ends the expired listings of a subject, but not its holds and exemption.
    pub(super) fn end_listings(
        &mut self,
        store: &Store,
        subject: &Subject,
    ) -> Result<(), LedgerError> {
        let now = self.now;
        let (_, verdict) = self.verdict(store, subject)?;
        for what in expired_listings(verdict, now) {
            self.apply_event(store, subject, EXPIRY, what, now)?;
        }
        Ok(())
    }

    /// Notes which limits the entries of a subject have outlived. It is no event of the subject.
    pub(super) fn age(
        &mut self,
        store: &Store,
        subject: &Subject,
        limits: &SightLimits,
    ) -> Result<(), LedgerError> {
        let now = self.now;
        let (_, verdict) = self.verdict(store, subject)?;
        verdict.age(limits, now);
        Ok(())
    }

    /// Whether the transaction has no events.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Applies an event to a subject, as a consequence.
    pub(super) fn apply_event(
        &mut self,
        store: &Store,
        subject: &Subject,
        author: &str,
        what: EventKind,
        at: Time,
    ) -> Result<(), LedgerError> {
        let (_, verdict) = self.verdict(store, subject)?;
        verdict.fold(at, &what);
        self.push_event(subject, author, what, at, Origin::Consequence);
        Ok(())
    }

    fn push_event(
        &mut self,
        subject: &Subject,
        author: &str,
        what: EventKind,
        at: Time,
        origin: Origin,
    ) {
        let event = Event {
            at,
            author: author.into(),
            kind: what,
            evidence: None,
        };
        self.events.push((subject.clone(), event, origin));
    }

    /// The decisions that the removal log records.
    pub(super) fn removals(&self, v: &Dictionary) -> Vec<Removal> {
        let logged = self
            .events
            .iter()
            .filter(|(.., origin)| *origin != Origin::FeedRow);
        logged
            .filter_map(|(s, e, origin)| Removal::of(s, e, *origin == Origin::Consequence, v))
            .collect()
    }

    /// Sets a verdict that was read before and has not changed since.
    pub(super) fn seed(&mut self, subject: Subject, verdict: Verdict) {
        self.touches_wide |= covers_others(&subject);
        self.touched
            .entry(subject)
            .or_insert_with(|| (verdict.clone(), verdict));
    }

    /// Adds the changed row of a feed. Holds on entries that the feed has dropped end; if the feed
    /// has expired (`ended`), it has dropped nothing.
    pub(super) fn feed_row(
        &mut self,
        store: &Store,
        (source, generation): (SourceId, u32),
        author: &str,
        mut row: ChangedRow,
        ended: bool,
    ) -> Result<(), LedgerError> {
        let now = self.now;
        for e in &row.old {
            self.notes
                .extend(e.note.as_ref().map(|note| schema::FeedNote {
                    subject: row.subject.key(),
                    source,
                    reason: e.reason,
                    note: note.clone(),
                }));
        }
        // A new entry exists since the commit, not since it was staged.
        for e in &mut row.new {
            let same = |o: &FeedEntry| (o.reason, o.exclusion) == (e.reason, e.exclusion);
            if !row.old.iter().any(same) {
                e.since = now;
            }
        }
        let mut key = schema::feed_prefix(source, generation);
        row.subject.write_key(&mut key);
        let value = (!row.new.is_empty()).then(|| {
            let mut out = Vec::new();
            schema::write_feed(&row.new, &mut out);
            out
        });
        self.set(schema::FEEDS, key, value);
        let expired = |e: &FeedEntry| EventKind::Expired {
            reason: e.reason,
            source,
        };
        let mut events: Vec<EventKind> = match ended {
            true => row.old.iter().map(expired).collect(),
            false => row.events(source),
        };
        let mut has_lasting_hold = false;
        let (_, verdict) = self.verdict(store, &row.subject)?;
        let stays = |reason| row.new.iter().any(|e| e.reason == reason);
        for reason in row.old.iter().map(|e| e.reason).filter(|r| !stays(*r)) {
            let holds = verdict.holds.iter();
            for h in holds.filter(|h| (h.reason, h.source) == (reason, source)) {
                match h.until {
                    Hold::WITH_COVER => has_lasting_hold = true,
                    _ if !ended => events.push(EventKind::HoldEnded { reason, source }),
                    _ => {}
                }
            }
        }
        for what in &events {
            verdict.fold(now, what);
        }
        for e in row.new {
            verdict.put(e.entry(source)); // keeps `since` of the row
        }
        for what in events {
            let origin = match what {
                EventKind::HoldEnded { .. } => Origin::Consequence,
                _ => Origin::FeedRow,
            };
            self.push_event(&row.subject, author, what, now, origin);
        }
        if has_lasting_hold && !ended {
            self.release_orphaned_hold(store, source, &row.subject)?;
        }
        Ok(())
    }

    /// Ends the holds on entries that a source no longer has for a subject, after a large import.
    /// `verdict_of` returns the verdict on a subject with the new rows.
    pub(super) fn release(
        &mut self,
        store: &Store,
        source: SourceId,
        subject: &Subject,
        verdict_of: impl Fn(&Subject) -> Result<Verdict, LedgerError>,
        author: &str,
    ) -> Result<(), LedgerError> {
        let verdict = verdict_of(subject)?;
        self.seed(subject.clone(), verdict.clone());
        for h in verdict.holds.iter().filter(|h| h.source == source) {
            let stays = match h.until {
                Hold::WITH_COVER => is_covered(subject, (h.reason, source), &verdict_of)?,
                _ => verdict.entry(h.reason, source).is_some(),
            };
            if !stays {
                self.apply_event(store, subject, author, EventKind::hold_ended(h), self.now)?;
            }
        }
        Ok(())
    }

    /// Puts another row; without a value, deletes it.
    pub(super) fn set(
        &mut self,
        family: &'static str,
        key: Vec<u8>,
        value: Option<impl Into<EncodedRow>>,
    ) {
        self.rows.push((family, key, value.map(Into::into)));
    }

    /// Deletes rows that a large import has replaced.
    pub(super) fn drop_replaced(&mut self, source: SourceId, rows: Option<schema::ReplacedRows>) {
        if let Some(rows) = rows.filter(|rows| rows.generation > 0) {
            let prefix = schema::feed_prefix(source, rows.generation);
            self.drops.push((schema::FEEDS, prefix));
        }
    }

    /// Records the step of a source to another version of the zone that it follows, or the end of
    /// following (`follow` is `None`). `was` is the copy of the zone until now; it is changed, or
    /// deleted if the step uses another one.
    pub(super) fn update_followed_copy(
        &mut self,
        source: SourceId,
        was: Option<u32>,
        follow: Option<Follow>,
    ) {
        let is = follow.as_ref().map(|f| f.current.copy);
        if let Some(copy) = was.filter(|c| Some(*c) != is) {
            let prefix = schema::feed_prefix(source, copy);
            self.drops.push((schema::RECORDS, prefix));
        }
        for (row, added) in follow.map(|f| f.records).unwrap_or_default() {
            let mut key = schema::feed_prefix(source, is.unwrap_or_default());
            key.extend(row);
            self.set(schema::RECORDS, key, added.then(Vec::<u8>::new));
        }
    }

    /// Deletes due times that have been handled.
    pub(super) fn clear_due(&mut self, due: Vec<(Time, Subject)>) {
        self.stale = due;
    }

    /// The due times that the transaction sets.
    pub(super) fn due_times(&self, limits: &SightLimits) -> impl Iterator<Item = Time> {
        self.touched
            .values()
            .filter_map(|(_, after)| after.next_due(limits))
    }

    /// The subjects whose facts change, with their new facts, for the tables of the index.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&Subject, RawFacts)> {
        self.touched.iter().filter_map(|(s, (before, after))| {
            let (before, after) = (RawFacts::of(before), RawFacts::of(after));
            (before != after).then_some((s, after))
        })
    }

    /// What changes, for the serials of zones; each change once.
    pub(super) fn fact_changes(&self) -> HashSet<FactChange> {
        let mut out: HashSet<FactChange> = FactChange::of_masks(self.extra, self.bulk).collect();
        for (subject, (before, after)) in &self.touched {
            out.extend(changed_facts(subject, before, after));
        }
        out
    }

    /// The subjects whose listings in force change, each with its verdict before and after.
    pub(super) fn published_changes(&self) -> Vec<(&Subject, &Verdict, &Verdict)> {
        let listed = |v: &'_ Verdict| -> Vec<(ReasonId, SourceId, SightAge)> {
            v.in_force().map(|e| (e.reason, e.source, e.aged)).collect()
        };
        let touched = self.touched.iter();
        let changes = touched.map(|(subject, (before, after))| (subject, before, after));
        changes
            .filter(|(_, before, after)| listed(before) != listed(after))
            .collect()
    }

    /// Writes all rows except those of [`Transaction::audit_rows`] and [`Transaction::journal`].
    /// `limits` are those by which the due times of the store are made.
    pub(super) fn rows(&self, seq: u64, limits: &SightLimits, batch: &mut Batch) {
        if let Some(v) = &self.dictionary {
            crate::store::dictionary_rows(v, batch);
        }
        for (t, s) in &self.stale {
            batch.delete(schema::DUE, schema::due_key(*t, s));
        }
        for (subject, (before, after)) in &self.touched {
            let own = |v| schema::own_verdict(v).map(|o| schema::encode(&o));
            let (was, is) = (own(before), own(after));
            if was != is {
                batch.set(schema::VERDICTS, subject.key(), is);
            }
            let (was, is) = (before.next_due(limits), after.next_due(limits));
            if was != is {
                let key = |t| schema::due_key(t, subject);
                was.into_iter()
                    .for_each(|t| batch.delete(schema::DUE, key(t)));
                is.into_iter()
                    .for_each(|t| batch.put(schema::DUE, key(t), vec![]));
            }
            let held = |v: &Verdict, s| v.holds.iter().any(|h| h.source == s);
            for h in before.holds.iter().filter(|h| !held(after, h.source)) {
                batch.delete(schema::HOLDS, schema::hold_key(h.source, subject));
            }
            for h in after.holds.iter().filter(|h| !held(before, h.source)) {
                batch.put(schema::HOLDS, schema::hold_key(h.source, subject), vec![]);
            }
        }
        for (family, key, value) in &self.rows {
            batch.set(family, key.clone(), value.clone());
        }
        for (family, prefix) in &self.drops {
            batch.delete_range(family, prefix.clone(), schema::after(prefix));
        }
        for (place, (subject, event, origin)) in (0..).zip(&self.events) {
            let (family, key) = match origin {
                Origin::FeedRow => {
                    let key = schema::feed_event_key(event.at, subject, seq, place);
                    (schema::FEED_EVENTS, key)
                }
                _ => (schema::EVENTS, schema::event_key(subject, seq, place)),
            };
            batch.put(family, key, schema::encode(event));
        }
    }

    /// Writes the audit records, numbered from `number`, and the receipts of idempotent requests.
    pub(super) fn audit_rows(&self, number: u64, receipt: &Receipt, batch: &mut Batch) {
        let commit = (receipt.commit > 0).then_some(receipt.commit);
        for (n, record) in (number..).zip(&self.audit) {
            let record = AuditRecord {
                commit: record.commit.or(commit),
                ..record.clone()
            };
            let key = n.to_be_bytes().to_vec();
            batch.put(schema::AUDIT, key, schema::encode(&record));
        }
        let whole = self.audit.iter().filter_map(|r| Some((r.idempotency?, 0)));
        let single = self.idempotency.iter();
        let single =
            single.map(|(key, subject)| (*key, self.revision(subject).unwrap_or_default()));
        for (idempotency, revision) in single.chain(whole) {
            let stored = StoredReceipt {
                body: idempotency.body,
                commit: receipt.commit,
                serials: receipt.serials.clone().into_iter().collect(),
                revision,
            };
            let key = schema::idempotency_key(self.now, &idempotency.key);
            batch.put(schema::IDEMPOTENCY, key, schema::encode(&stored));
        }
    }

    /// The events of subjects.
    pub(super) fn events(&self) -> impl Iterator<Item = (&Subject, &Event)> {
        self.events.iter().map(|(s, e, _)| (s, e))
    }

    /// The revision of a subject after it.
    pub(super) fn revision(&self, subject: &Subject) -> Option<u64> {
        self.touched
            .get(subject)
            .map(|(_, after)| schema::revision(after))
    }

    /// The event that is sent in place of the commit, and those that follow it.
    pub(super) fn messages(&self) -> (Option<&FeatureNotice>, &[FeatureNotice]) {
        match self.notices.split_first() {
            Some((first, others)) if self.is_empty() => (Some(first), others),
            _ => (None, &self.notices),
        }
    }

    /// Writes the row of the journal and the sequence number. `bytes` is the total size of all
    /// journal rows before; returns it after this row.
    pub(super) fn journal(
        &self,
        seq: u64,
        serials: Vec<(String, Serial, Serial)>,
        bytes: u64,
        batch: &mut Batch,
    ) -> u64 {
        let number = seq.to_be_bytes().to_vec();
        for (origin, _, to) in &serials {
            let key = schema::serial_key(origin, *to);
            batch.put(schema::META, key, number.clone());
        }
        let changed = self.touched.iter();
        let changed = changed.filter(|(_, (before, after))| before != after);
        let mut row = schema::Commit {
            at: self.now,
            bytes: 0,
            barrier: self.barrier,
            bulk: self.bulk.is_some(),
            before: changed
                .map(|(s, (before, _))| (s.key(), before.clone()))
                .collect(),
            serials,
        };
        row.bytes = bytes + schema::encode(&row).size() as u64;
        batch.put(schema::JOURNAL, number.clone(), schema::encode(&row));
        if let Some(source) = self.bulk {
            let source = source.0.to_be_bytes().to_vec();
            batch.put(schema::META, schema::bulk_key(seq), source);
        }
        if !self.notes.is_empty() {
            let notes = schema::encode(&self.notes);
            batch.put(schema::META, schema::notes_key(seq), notes);
        }
        batch.put(schema::META, b"seq".to_vec(), number);
        row.bytes
    }
}
