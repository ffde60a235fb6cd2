//! A transaction: the subjects that a commit changes, before and after, and the rows that it writes.

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
        history::{Command, EventKind, IdempotencyKey, OpenEnd, decide, ended_listings, proven},
        subject::covers_others,
    },
    store::{Batch, Dictionary, Encoded, Store, schema, stage::ChangedRow},
};

/// The author of events that follow from the time.
pub(super) const EXPIRY: &str = "expiry";
/// The longest note in an audit record, in characters; the subject's history has all of it.
const MAX_WHY: usize = 400;

/// The outcome of a change that no rule forbids.
pub(super) enum ChangeOutcome {
    /// It is part of the transaction; for a renewal, with the ends of the listing.
    Applied(Option<Renewal>),
    /// The same idempotent request was done before.
    Duplicate(schema::StoredReceipt),
}

/// The origin of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A request.
    Request,
    /// A time, or what a source lists now: it follows again in a restored store.
    Consequence,
    /// A row of an import.
    FeedRow,
}

/// What is asked for, with the end that an open one means, and the ends of the listing where it
/// renews one.
fn renewed(verdict: &Verdict, change: &Change) -> (Command, Option<Renewal>) {
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

/// A transaction that is being built; see the module.
pub(super) struct Transaction {
    now: Time,
    /// Each subject's verdict before and after.
    pub(super) touched: HashMap<Subject, (Verdict, Verdict)>,
    events: Vec<(Subject, Event, Origin)>,
    /// Due dates that have been handled.
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
    /// Reasons whose listings change without a changed subject in the transaction: of addresses, of
    /// domains.
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
    /// The notes of feeds' rows before it.
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

    /// Decides a change on what stands after the changes before it, and folds the events in.
    /// `covered` tells whether something wider may list a subject.
    pub(super) fn decide(
        &mut self,
        store: &Store,
        change: &Change,
        covered: impl Fn(&Subject) -> bool,
    ) -> Result<ChangeOutcome, LedgerError> {
        let now = self.now;
        if let Some(once) = &change.preconditions.idempotency {
            match self.stored_receipt(store, once)? {
                None => {}
                Some(made) if made.body != once.body => {
                    return Err(LedgerError::IdempotencyKeyReused);
                }
                Some(made) if made.commit > 0 => return Ok(ChangeOutcome::Duplicate(made)),
                Some(_) => return Ok(ChangeOutcome::Applied(None)),
            }
        }
        proven(&change.command, change.evidence.as_ref()).map_err(LedgerError::Rule)?;
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
        if let Some(seen) = change.preconditions.expect
            && revision(verdict) != seen
        {
            return Err(LedgerError::PreconditionFailed(revision(verdict)));
        }
        let (command, renewal) = renewed(verdict, change);
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
                    .map(|e| e.text.chars().take(MAX_WHY).collect()),
                ..schema::AuditRecord::default()
            });
        }
        Ok(ChangeOutcome::Applied(renewal))
    }

    /// What became of the same request before; with commit 0 where it is in this group.
    fn stored_receipt(
        &self,
        store: &Store,
        once: &IdempotencyKey,
    ) -> Result<Option<schema::StoredReceipt>, LedgerError> {
        if let Some((o, _)) = self
            .idempotency
            .iter()
            .rev()
            .find(|(o, _)| o.key == once.key)
        {
            return Ok(Some(schema::StoredReceipt {
                body: o.body,
                ..schema::StoredReceipt::default()
            }));
        }
        Ok(store.stored_receipt(self.now, &once.key)?)
    }

    /// The reasons and sources by which something wider lists a subject.
    fn covers(
        &mut self,
        store: &Store,
        subject: &Subject,
    ) -> Result<Vec<(ReasonId, SourceId)>, LedgerError> {
        let mut out = Vec::new();
        let mut said: Vec<(ReasonId, SourceId)> = Vec::new();
        let (_, own) = self.verdict(store, subject)?;
        said.extend(
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
            // The nearest word of each source counts.
            for e in verdict
                .entries
                .iter()
                .filter(|e| !said.contains(&(e.reason, e.source)))
                .collect::<Vec<_>>()
            {
                said.push((e.reason, e.source));
                if !e.exclusion && !verdict.held(e.reason, e.source) && verdict.exempt.is_none() {
                    out.push((e.reason, e.source));
                }
            }
        }
        Ok(out)
    }

    /// Ends what keeps addresses out of a prefix that its source no longer lists.
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

    /// Ends a subject's holds that last with what covers it, where nothing of the source does any
    /// more.
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
                // The source lists the address itself too: that stays down as any removal does.
                let what = EventKind::Held {
                    reason,
                    source,
                    until: self.now.plus(crate::model::history::HOLD),
                };
                self.folded(store, subject, EXPIRY, what, self.now)?;
            } else if !covered {
                self.end_hold(subject, reason, source, EXPIRY);
            }
        }
        Ok(())
    }

    /// Ends the listings of a subject whose time is over, and nothing else of it.
    pub(super) fn end_listings(
        &mut self,
        store: &Store,
        subject: &Subject,
    ) -> Result<(), LedgerError> {
        let now = self.now;
        let (_, verdict) = self.verdict(store, subject)?;
        for what in ended_listings(verdict, now) {
            self.folded(store, subject, EXPIRY, what, now)?;
        }
        Ok(())
    }

    /// Whether nothing has happened.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Folds in an event about a subject.
    pub(super) fn folded(
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

    /// What the log of removals has to know of it.
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

    /// Takes over a verdict that was read before and has not changed since.
    pub(super) fn seed(&mut self, subject: Subject, verdict: Verdict) {
        self.touched
            .entry(subject)
            .or_insert_with(|| (verdict.clone(), verdict));
    }

    /// A feed's changed row, on what stands now. What the feed has dropped is held no longer; but
    /// where the feed's whole life has `ended`, it has dropped nothing.
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
        // What is new stands since its event, not since it was staged.
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
        let mut lasting = false;
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
            lasting |= verdict
                .holds
                .iter()
                .any(|h| (h.reason, h.source, h.until) == (reason, source, Hold::WITH_COVER));
        }
        for what in &events {
            verdict.fold(now, what);
        }
        for e in row.new {
            verdict.put(e.entry(source)); // with its first day
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
        if lasting && !ended {
            self.release_orphaned_hold(store, source, &row.subject)?;
        }
        Ok(())
    }

    /// Ends the holds on what a source no longer says of a subject, whose verdict is the one to
    /// come. `covered` tells of a reason whether the source will list something wider.
    pub(super) fn release(
        &mut self,
        source: SourceId,
        subject: &Subject,
        verdict: Verdict,
        covered: impl Fn(ReasonId) -> Result<bool, LedgerError>,
        author: &str,
    ) -> Result<(), LedgerError> {
        let mut gone = Vec::new();
        for h in verdict.holds.iter().filter(|h| h.source == source) {
            let stays = match h.until {
                Hold::WITH_COVER => covered(h.reason)?,
                _ => verdict.entry(h.reason, source).is_some(),
            };
            gone.extend((!stays).then_some(h.reason));
        }
        self.seed(subject.clone(), verdict);
        gone.into_iter()
            .for_each(|reason| self.end_hold(subject, reason, source, author));
        Ok(())
    }

    /// The sources' records change with it.
    pub(super) fn dictionary(&mut self, v: Dictionary) {
        self.dictionary = Some(v);
    }

    /// The rows of a replaced generation go.
    pub(super) fn drop_generation(&mut self, source: SourceId, generation: u32) {
        self.drops
            .push((schema::FEEDS, schema::feed_prefix(source, generation)));
    }

    /// A source steps to another version of the zone that it follows, or follows none any more: the
    /// copy that counted until now goes, or changes.
    pub(super) fn copied(&mut self, source: SourceId, was: Option<u32>, follow: Option<Follow>) {
        let is = follow.as_ref().map(|f| f.is.copy);
        if let Some(copy) = was.filter(|c| Some(*c) != is) {
            self.drops
                .push((schema::RECORDS, schema::feed_prefix(source, copy)));
        }
        for (row, there) in follow.map(|f| f.records).unwrap_or_default() {
            let mut key = schema::feed_prefix(source, is.unwrap_or_default());
            key.extend(row);
            self.records.push((key, there));
        }
    }

    /// Takes the due dates that brought these subjects here out, whatever became of them.
    pub(super) fn clear_due(&mut self, due: Vec<(Time, Subject)>) {
        self.stale = due;
    }

    /// The due dates that it sets.
    pub(super) fn dues(&self) -> impl Iterator<Item = Time> {
        self.touched
            .values()
            .filter_map(|(_, after)| after.next_due())
    }

    /// What the tables have to be told: the subjects whose facts changed, and the facts.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&Subject, RawFacts)> {
        let changed = self
            .touched
            .iter()
            .map(|(s, (before, after))| (s, RawFacts::of(before), RawFacts::of(after)));
        changed
            .filter(|(_, before, after)| before != after)
            .map(|(s, _, after)| (s, after))
    }

    /// The reasons whose listings change: of addresses, of domains.
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
            // An exemption can take anything out of wider listings.
            let mask = if b.exempt == a.exempt {
                mask
            } else {
                Mask::MAX
            };
            out[usize::from(!subject.is_address())] |= mask;
        }
        out
    }

    /// The rows of its verdicts, events and due dates.
    pub(super) fn rows(&self, seq: u64, batch: &mut Batch) {
        if let Some(v) = &self.dictionary {
            crate::store::dictionary_rows(v, batch);
        }
        self.stale
            .iter()
            .for_each(|(t, s)| batch.delete(schema::DUE, schema::due_key(*t, s)));
        for (subject, (before, after)) in &self.touched {
            let key = subject.key();
            let own = |v| schema::Own::of(v).map(|o| schema::encode(&o));
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
        for (key, there) in &self.records {
            match there {
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
            let value = schema::event_value(event);
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

    /// The rows of who asked for it, from line `number` of the audit log on, and of requests that
    /// must not be done twice.
    pub(super) fn asked_rows(&self, number: u64, receipt: &Receipt, batch: &mut Batch) {
        for (n, line) in (number..).zip(&self.audit) {
            let line = schema::AuditRecord {
                commit: line
                    .commit
                    .or((receipt.commit > 0).then_some(receipt.commit)),
                ..line.clone()
            };
            batch.put(
                schema::AUDIT,
                n.to_be_bytes().to_vec(),
                schema::encode(&line),
            );
        }
        let whole = self
            .audit
            .iter()
            .filter_map(|line| Some((line.idempotency?, 0)));
        let single = self
            .idempotency
            .iter()
            .map(|(once, subject)| (*once, self.revision(subject).unwrap_or_default()));
        for (once, revision) in single.chain(whole) {
            let serials = receipt
                .serials
                .iter()
                .map(|(o, s)| (o.clone(), *s))
                .collect();
            let made = schema::StoredReceipt {
                body: once.body,
                commit: receipt.commit,
                serials,
                revision,
            };
            batch.put(
                schema::IDEMPOTENCY,
                schema::idempotency_key(self.now, &once.key),
                schema::encode(&made),
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

    /// Its row in the journal, and the sequence number; tells how many bytes the journal has ever
    /// had.
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
/// Puts rows of relay tests into a batch.
pub(super) fn put_relay_rows(rows: &[(Vec<u8>, Option<Vec<u8>>)], batch: &mut Batch) {
    for (key, value) in rows {
        match value {
            Some(v) => batch.put(schema::RELAY, key.clone(), v.clone()),
            None => batch.delete(schema::RELAY, key.clone()),
        }
    }
}
