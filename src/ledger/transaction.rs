//! A transaction: the verdicts that a commit changes, before and after, and the rows that it
//! writes.

use std::collections::HashMap;

use super::{
    error::LedgerError,
    import::Follow,
    receipt::{Receipt, Renewal},
    removals::Removal,
};
use crate::{
    index::RawFacts,
    model::{
        Change, Event, Hold, Mask, ReasonId, Serial, SourceId, Subject, Time, Verdict,
        history::{
            Command, EventKind, IdempotencyKey, OpenEnd, check_delivery_evidence, decide,
            expired_listings,
        },
        subject::covers_others,
    },
    store::{Batch, Dictionary, Encoded, Store, schema, stage::ChangedRow},
};

/// The author of events that are caused by the passing of time.
pub(super) const EXPIRY: &str = "expiry";
/// The longest note in an audit record, in characters. The subject's history has the whole note.
const MAX_NOTE_CHARS: usize = 400;

/// The outcome of a change that no rule forbids.
pub(super) enum ChangeOutcome {
    /// The change is part of the transaction. Has the ends of the listing for a renewal.
    Applied(Option<Renewal>),
    /// The same idempotent request was processed before.
    Duplicate(schema::StoredReceipt),
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

/// A transaction; see the module.
pub(super) struct Transaction {
    now: Time,
    /// Each subject's verdict before and after.
    pub(super) touched: HashMap<Subject, (Verdict, Verdict)>,
    events: Vec<(Subject, Event, Origin)>,
    /// Due times that have been handled, and are deleted.
    stale: Vec<(Time, Subject)>,
    feed_rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) dictionary: Option<Dictionary>,
    /// Audit records.
    pub(super) audit: Vec<schema::AuditRecord>,
    /// The keys of idempotent requests, and their subjects.
    pub(super) idempotency: Vec<(IdempotencyKey, Subject)>,
    /// Rows of relay tests; `None` deletes one.
    pub(super) relay_rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Ranges to delete: family and prefix.
    drops: Vec<(&'static str, Vec<u8>)>,
    /// Records of followed zones that are added (true) and deleted.
    records: Vec<(Vec<u8>, bool)>,
    /// Reasons whose listings change without a changed subject in the transaction: those of
    /// addresses, and those of domains.
    pub(super) extra: [Mask; 2],
    /// The properties of a source's list, for the comparison with the next one.
    pub(super) accepted: Option<(SourceId, schema::AcceptedList)>,
    /// An event for webhooks that is sent in place of the commit: its name and fields.
    pub(super) notice: Option<(&'static str, serde_json::Map<String, serde_json::Value>)>,
    /// Rows of the family [`schema::ACCOUNTS`].
    pub(super) account_rows: Vec<(Vec<u8>, Encoded)>,
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
            touched: HashMap::new(),
            events: Vec::new(),
            stale: Vec::new(),
            feed_rows: Vec::new(),
            dictionary: None,
            audit: Vec::new(),
            idempotency: Vec::new(),
            relay_rows: Vec::new(),
            drops: Vec::new(),
            records: Vec::new(),
            extra: [0; 2],
            accepted: None,
            notice: None,
            account_rows: Vec::new(),
            barrier: false,
            bulk: None,
            notes: Vec::new(),
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
        }
        self.touched.get_mut(subject).ok_or(LedgerError::Stopped)
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
            Command::Delist { .. }
                if covered(&change.subject) || self.touched.keys().any(covers_others) =>
            {
                self.covers(store, &change.subject)?
            }
            _ => Vec::new(),
        };
        let (_, verdict) = self.verdict(store, &change.subject)?;
        let revision = |v: &Verdict| schema::revision(v);
        if let Some(expected) = change.preconditions.expect
            && revision(verdict) != expected
        {
            return Err(LedgerError::PreconditionFailed(revision(verdict)));
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
        let origin = if matches!(change.command, Command::Expire) {
            Origin::Consequence
        } else {
            Origin::Request
        };
        for what in decided {
            let event = Event {
                at: now,
                author: change.author.clone(),
                what,
                evidence: change.evidence.clone(),
            };
            self.events.push((change.subject.clone(), event, origin));
        }
        self.idempotency.extend(
            change
                .preconditions
                .idempotency
                .map(|o| (o, change.subject.clone())),
        );
        if !matches!(change.command, Command::Expire) {
            self.audit.push(schema::AuditRecord {
                at: now,
                who: change.author.clone(),
                from: change.preconditions.from.to_string(),
                what: change.command.as_str().into(),
                about: change.subject.to_string(),
                why: change
                    .evidence
                    .as_ref()
                    .map(|e| e.text.chars().take(MAX_NOTE_CHARS).collect()),
                ..schema::AuditRecord::default()
            });
        }
        Ok(ChangeOutcome::Applied(renewal))
    }

    /// The receipt of the same request before; with commit 0 if it is in this transaction.
    fn stored_receipt(
        &self,
        store: &Store,
        idempotency: &IdempotencyKey,
    ) -> Result<Option<schema::StoredReceipt>, LedgerError> {
        if let Some((o, _)) = self
            .idempotency
            .iter()
            .rev()
            .find(|(o, _)| o.key == idempotency.key)
        {
            return Ok(Some(schema::StoredReceipt {
                body: o.body,
                ..schema::StoredReceipt::default()
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
        // For each reason and source only the nearest entry applies.
        let mut decided: Vec<(ReasonId, SourceId)> = Vec::new();
        let (_, own) = self.verdict(store, subject)?;
        decided.extend(
            own.entries
                .iter()
                .filter(|e| e.exclusion)
                .map(|e| (e.reason, e.source)),
        );
        for wider in subject.wider() {
            let verdict = match self.touched.get(&wider) {
                Some((_, v)) => v.clone(),
                None => store.verdict(&wider)?,
            };
            for e in verdict
                .entries
                .iter()
                .filter(|e| !decided.contains(&(e.reason, e.source)))
                .collect::<Vec<_>>()
            {
                decided.push((e.reason, e.source));
                if !e.exclusion
                    && !verdict.is_suppressed(e.reason, e.source)
                    && verdict.exempt.is_none()
                {
                    out.push((e.reason, e.source));
                }
            }
        }
        Ok(out)
    }

    /// Ends holds that suppress a subject of a wider listing if the source no longer has that
    /// listing.
    pub(super) fn release_orphaned_holds(&mut self, store: &Store) -> Result<(), LedgerError> {
        let wide = self.touched.iter().filter(|(s, _)| covers_others(s));
        let lost = wide.flat_map(|(s, (before, after))| {
            let gone = before.entries.iter().filter(|e| {
                !e.exclusion && after.entry(e.reason, e.source).is_none_or(|a| a.exclusion)
            });
            gone.map(|e| (s.clone(), e.source)).collect::<Vec<_>>()
        });
        let lost: Vec<(Subject, SourceId)> = lost.collect();
        let mut sources: Vec<SourceId> = lost.iter().map(|(_, s)| *s).collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            for subject in store.held(source)? {
                if lost
                    .iter()
                    .any(|(wide, s)| *s == source && wide.covers(&subject))
                {
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
        let (_, verdict) = self.verdict(store, subject)?;
        let lasting = |h: &&Hold| h.source == source && h.until == Hold::WITH_COVER;
        let reasons: Vec<ReasonId> = verdict
            .holds
            .iter()
            .filter(lasting)
            .map(|h| h.reason)
            .collect();
        for reason in reasons {
            let mut covered = false;
            for wider in subject.wider() {
                let listed = |v: &Verdict| v.entry(reason, source).is_some_and(|e| !e.exclusion);
                covered |= match self.touched.get(&wider) {
                    Some((_, v)) => listed(v),
                    None => listed(&store.verdict(&wider)?),
                };
            }
            let own = self
                .touched
                .get(subject)
                .is_some_and(|(_, v)| v.entry(reason, source).is_some_and(|e| !e.exclusion));
            if !covered && own {
                // The source also lists the subject itself, which stays suppressed as after any
                // removal.
                let what = EventKind::Held {
                    reason,
                    source,
                    until: self.now.plus(crate::model::history::DEFAULT_HOLD),
                };
                self.apply_event(store, subject, EXPIRY, what, self.now)?;
            } else if !covered {
                self.end_hold(subject, reason, source, EXPIRY);
            }
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
        self.events.push((
            subject.clone(),
            Event {
                at,
                author: author.into(),
                what,
                evidence: None,
            },
            Origin::Consequence,
        ));
        Ok(())
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

    fn end_hold(&mut self, subject: &Subject, reason: ReasonId, source: SourceId, author: &str) {
        let (now, what) = (self.now, EventKind::HoldEnded { reason, source });
        if let Some((_, verdict)) = self.touched.get_mut(subject) {
            verdict.fold(now, &what);
            self.events.push((
                subject.clone(),
                Event {
                    at: now,
                    author: author.into(),
                    what,
                    evidence: None,
                },
                Origin::Consequence,
            ));
        }
    }

    /// Sets a verdict that was read before and has not changed since.
    pub(super) fn seed(&mut self, subject: Subject, verdict: Verdict) {
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
        let (subject, old) = (&row.subject, &row.old);
        self.notes.extend(old.iter().filter_map(|e| {
            let note = e.note.clone()?;
            Some(schema::FeedNote {
                subject: subject.key(),
                source,
                reason: e.reason,
                note,
            })
        }));
        // A new entry exists since the commit, not since it was staged.
        for e in row.new.iter_mut().filter(|e| {
            !row.old
                .iter()
                .any(|o| (o.reason, o.exclusion) == (e.reason, e.exclusion))
        }) {
            e.since = now;
        }
        let mut key = schema::feed_prefix(source, generation);
        row.subject.write_key(&mut key);
        let value = (!row.new.is_empty()).then(|| {
            let mut out = Vec::new();
            schema::write_feed(&row.new, &mut out);
            out
        });
        self.feed_rows.push((key, value));
        let mut events = row.events(source);
        if ended {
            events = row
                .old
                .iter()
                .map(|e| EventKind::Expired {
                    reason: e.reason,
                    source,
                })
                .collect();
        }
        let mut has_lasting_hold = false;
        let (_, verdict) = self.verdict(store, &row.subject)?;
        for reason in row
            .old
            .iter()
            .map(|e| e.reason)
            .filter(|r| !row.new.iter().any(|e| e.reason == *r))
        {
            let own =
                |h: &Hold| (h.reason, h.source) == (reason, source) && h.until != Hold::WITH_COVER;
            if !ended && verdict.holds.iter().any(own) {
                events.push(EventKind::HoldEnded { reason, source });
            }
            has_lasting_hold |= verdict
                .holds
                .iter()
                .any(|h| (h.reason, h.source, h.until) == (reason, source, Hold::WITH_COVER));
        }
        for what in &events {
            verdict.fold(now, what);
        }
        for e in row.new {
            verdict.put(e.entry(source)); // keeps `since` of the row
        }
        for what in events {
            let origin = if matches!(what, EventKind::HoldEnded { .. }) {
                Origin::Consequence
            } else {
                Origin::FeedRow
            };
            self.events.push((
                row.subject.clone(),
                Event {
                    at: now,
                    author: author.into(),
                    what,
                    evidence: None,
                },
                origin,
            ));
        }
        if has_lasting_hold && !ended {
            self.release_orphaned_hold(store, source, &row.subject)?;
        }
        Ok(())
    }

    /// Ends the holds on entries that a source no longer has for a subject, after a large import.
    /// `verdict` is the subject's verdict with the new rows; `covered` says whether the source has
    /// a wider listing for a reason.
    pub(super) fn release(
        &mut self,
        source: SourceId,
        subject: &Subject,
        verdict: Verdict,
        covered: impl Fn(ReasonId) -> Result<bool, LedgerError>,
        author: &str,
    ) -> Result<(), LedgerError> {
        let mut ended = Vec::new();
        for h in verdict.holds.iter().filter(|h| h.source == source) {
            let stays = match h.until {
                Hold::WITH_COVER => covered(h.reason)?,
                _ => verdict.entry(h.reason, source).is_some(),
            };
            ended.extend((!stays).then_some(h.reason));
        }
        self.seed(subject.clone(), verdict);
        ended
            .into_iter()
            .for_each(|reason| self.end_hold(subject, reason, source, author));
        Ok(())
    }

    /// Sets the dictionary that is committed with the transaction.
    pub(super) fn set_dictionary(&mut self, v: Dictionary) {
        self.dictionary = Some(v);
    }

    /// Deletes the rows of a generation.
    pub(super) fn drop_generation(&mut self, source: SourceId, generation: u32) {
        self.drops
            .push((schema::FEEDS, schema::feed_prefix(source, generation)));
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
        let is = follow.as_ref().map(|f| f.is.copy);
        if let Some(copy) = was.filter(|c| Some(*c) != is) {
            self.drops
                .push((schema::RECORDS, schema::feed_prefix(source, copy)));
        }
        for (row, added) in follow.map(|f| f.records).unwrap_or_default() {
            let mut key = schema::feed_prefix(source, is.unwrap_or_default());
            key.extend(row);
            self.records.push((key, added));
        }
    }

    /// Deletes due times that have been handled.
    pub(super) fn clear_due(&mut self, due: Vec<(Time, Subject)>) {
        self.stale = due;
    }

    /// The due times that the transaction sets.
    pub(super) fn due_times(&self) -> impl Iterator<Item = Time> {
        self.touched
            .values()
            .filter_map(|(_, after)| after.next_due())
    }

    /// The subjects whose facts change, with their new facts, for the tables of the index.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&Subject, RawFacts)> {
        let changed = self
            .touched
            .iter()
            .map(|(s, (before, after))| (s, RawFacts::of(before), RawFacts::of(after)));
        changed
            .filter(|(_, before, after)| before != after)
            .map(|(s, _, after)| (s, after))
    }

    /// The reasons whose listings change: those of addresses, and those of domains.
    pub(super) fn masks(&self) -> [Mask; 2] {
        let mut out = self.extra;
        for (subject, (before, after)) in &self.touched {
            let (b, a) = (RawFacts::of(before), RawFacts::of(after));
            if b == a {
                continue;
            }
            let mask = b
                .facts
                .iter()
                .chain(&a.facts)
                .fold(0, |m, f| m | f.reason.bit());
            // An exemption can suppress wider listings of any reason.
            let mask = if b.exempt == a.exempt {
                mask
            } else {
                Mask::MAX
            };
            out[usize::from(!subject.is_address())] |= mask;
        }
        out
    }

    /// Writes all rows except those of [`Transaction::audit_rows`] and [`Transaction::journal`].
    pub(super) fn rows(&self, seq: u64, batch: &mut Batch) {
        if let Some(v) = &self.dictionary {
            crate::store::dictionary_rows(v, batch);
        }
        self.stale
            .iter()
            .for_each(|(t, s)| batch.delete(schema::DUE, schema::due_key(*t, s)));
        for (subject, (before, after)) in &self.touched {
            let key = subject.key();
            let own = |v| schema::own_verdict(v).map(|o| schema::encode(&o));
            match (own(before), own(after)) {
                (b, a) if b == a => {}
                (_, Some(row)) => batch.put(schema::VERDICTS, key, row),
                (_, None) => batch.delete(schema::VERDICTS, key),
            }
            let (was, is) = (before.next_due(), after.next_due());
            if was != is {
                was.into_iter()
                    .for_each(|t| batch.delete(schema::DUE, schema::due_key(t, subject)));
                is.into_iter()
                    .for_each(|t| batch.put(schema::DUE, schema::due_key(t, subject), vec![]));
            }
            let held = |v: &Verdict, s| v.holds.iter().any(|h| h.source == s);
            for h in before.holds.iter().filter(|h| !held(after, h.source)) {
                batch.delete(schema::HOLDS, schema::hold_key(h.source, subject));
            }
            for h in after.holds.iter().filter(|h| !held(before, h.source)) {
                batch.put(schema::HOLDS, schema::hold_key(h.source, subject), vec![]);
            }
        }
        for (key, value) in &self.feed_rows {
            match value {
                Some(v) => batch.put(schema::FEEDS, key.clone(), v.clone()),
                None => batch.delete(schema::FEEDS, key.clone()),
            }
        }
        for (key, added) in &self.records {
            match added {
                true => batch.put(schema::RECORDS, key.clone(), vec![]),
                false => batch.delete(schema::RECORDS, key.clone()),
            }
        }
        put_relay_rows(&self.relay_rows, batch);
        for (key, row) in &self.account_rows {
            batch.put(schema::ACCOUNTS, key.clone(), row.clone());
        }
        if let Some((source, list)) = &self.accepted {
            batch.put(
                schema::META,
                schema::accepted_key(*source),
                schema::encode(list),
            );
        }
        for (family, prefix) in &self.drops {
            batch.delete_range(family, prefix.clone(), schema::after(prefix));
        }
        for (place, (subject, event, origin)) in self.events.iter().enumerate() {
            let value = schema::encode(event);
            match *origin == Origin::FeedRow {
                true => batch.put(
                    schema::FEED_EVENTS,
                    schema::feed_event_key(event.at, subject, seq, place as u32),
                    value,
                ),
                false => batch.put(
                    schema::EVENTS,
                    schema::event_key(subject, seq, place as u32),
                    value,
                ),
            }
        }
    }

    /// Writes the audit records, numbered from `number`, and the receipts of idempotent requests.
    pub(super) fn audit_rows(&self, number: u64, receipt: &Receipt, batch: &mut Batch) {
        for (n, record) in (number..).zip(&self.audit) {
            let record = schema::AuditRecord {
                commit: record
                    .commit
                    .or((receipt.commit > 0).then_some(receipt.commit)),
                ..record.clone()
            };
            batch.put(
                schema::AUDIT,
                n.to_be_bytes().to_vec(),
                schema::encode(&record),
            );
        }
        let whole = self
            .audit
            .iter()
            .filter_map(|record| Some((record.idempotency?, 0)));
        let single = self.idempotency.iter().map(|(idempotency, subject)| {
            (*idempotency, self.revision(subject).unwrap_or_default())
        });
        for (idempotency, revision) in single.chain(whole) {
            let serials = receipt
                .serials
                .iter()
                .map(|(o, s)| (o.clone(), *s))
                .collect();
            let stored = schema::StoredReceipt {
                body: idempotency.body,
                commit: receipt.commit,
                serials,
                revision,
            };
            batch.put(
                schema::IDEMPOTENCY,
                schema::idempotency_key(self.now, &idempotency.key),
                schema::encode(&stored),
            );
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

    /// Writes the row of the journal and the sequence number. `bytes` is the total size of all
    /// journal rows before; returns it after this row.
    pub(super) fn journal(
        &self,
        seq: u64,
        serials: Vec<(String, Serial, Serial)>,
        bytes: u64,
        batch: &mut Batch,
    ) -> u64 {
        for (origin, _, to) in &serials {
            batch.put(
                schema::META,
                schema::serial_key(origin, *to),
                seq.to_be_bytes().to_vec(),
            );
        }
        let changed = self
            .touched
            .iter()
            .filter(|(_, (before, after))| before != after);
        let before = changed
            .map(|(s, (before, _))| (s.key(), before.clone()))
            .collect();
        let mut row = schema::Commit {
            at: self.now,
            bytes: 0,
            barrier: self.barrier,
            bulk: self.bulk.is_some(),
            before,
            serials,
        };
        row.bytes = bytes + schema::encode(&row).size() as u64;
        batch.put(
            schema::JOURNAL,
            seq.to_be_bytes().to_vec(),
            schema::encode(&row),
        );
        if let Some(source) = self.bulk {
            batch.put(
                schema::META,
                schema::bulk_key(seq),
                source.0.to_be_bytes().to_vec(),
            );
        }
        if !self.notes.is_empty() {
            batch.put(
                schema::META,
                schema::notes_key(seq),
                schema::encode(&self.notes),
            );
        }
        batch.put(schema::META, b"seq".to_vec(), seq.to_be_bytes().to_vec());
        row.bytes
    }
}

/// Writes rows of relay tests to a batch.
pub(super) fn put_relay_rows(rows: &[(Vec<u8>, Option<Vec<u8>>)], batch: &mut Batch) {
    for (key, value) in rows {
        match value {
            Some(v) => batch.put(schema::RELAY, key.clone(), v.clone()),
            None => batch.delete(schema::RELAY, key.clone()),
        }
    }
}
