//! Many changes as one commit, and the way back from a commit.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Import, ImportError, ImportResult, Ledger, LedgerError, Receipt, WriterCommand,
    transaction::{ChangeOutcome, Transaction},
    writer::Writer,
};
use crate::{
    model::{
        Change, Entry, Preconditions, SourceId, Subject, Verdict, history::Command, time::Seconds,
    },
    store::{
        StoreError,
        schema::{AuditRecord, Commit, FeedEntry, revision},
        stage::{ImportDifference, Mode},
    },
};

/// How many subjects one commit of many changes has at most.
pub const MAX_CHANGES: usize = 50_000;

/// Who wants a commit undone, and how much of it.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The commit.
    pub seq: u64,
    /// Who asks.
    pub author: String,
    /// Why, in his words.
    pub why: Option<String>,
    /// See [`Preconditions`].
    pub preconditions: Preconditions,
    /// Only what this one did; a commit can hold the changes of many.
    pub of: Option<String>,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// What became of a commit's subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// The commit that took it back; `None` where there was nothing to take back, or only told.
    pub receipt: Option<Receipt>,
    /// Subjects that stand as they stood before it.
    pub undone: Vec<Subject>,
    /// Subjects that have changed since, and were left alone.
    pub changed_since: Vec<Subject>,
    /// Of a large import: what changed, row by row.
    pub rows: Option<ImportDifference>,
    /// Subjects whose listing did not come back, since a removal was granted.
    pub held: Vec<Subject>,
    /// By which commits the subjects that were left alone have changed.
    pub changed_by: Vec<ChangedBy>,
}

/// Subjects that a later commit has changed, or another author in the same commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedBy {
    /// The commit.
    pub commit: u64,
    /// What it was, for people.
    pub what: String,
    /// How many subjects.
    pub count: usize,
    /// Some of them.
    pub sample: Vec<Subject>,
}

/// How many subjects of each later commit a report names.
const SAMPLES: usize = 10;
/// How many later commits a report names.
const MAX_CHANGED_BY: usize = 20;

/// A subject of a commit: where it stood before it and stands now.
struct Touched {
    subject: Subject,
    before: Verdict,
    now: Verdict,
    /// The feeds whose entries the commit has changed.
    feeds: Vec<SourceId>,
    /// The commit that has changed it since, or the commit itself where another author has changed
    /// it there too; none where it stands as the commit left it.
    changed_by: Option<u64>,
}

/// The entries of a source.
fn of_source(v: &Verdict, source: SourceId) -> Vec<&Entry> {
    v.entries.iter().filter(|e| e.source == source).collect()
}

/// The feeds whose entries differ.
fn changed_feeds(before: &Verdict, after: &Verdict) -> Vec<SourceId> {
    let mut out: Vec<SourceId> = before
        .entries
        .iter()
        .chain(&after.entries)
        .map(|e| e.source)
        .filter(|s| s.is_feed())
        .collect();
    out.sort_unstable();
    out.dedup();
    out.retain(|s| of_source(before, *s) != of_source(after, *s));
    out
}

/// Which commit each commit that is a way back took back.
type Reverts = HashMap<u64, u64>;

/// Whether of the commits that changed a subject after `seq` every one has been taken back. What
/// comes back has a later day, so verdicts do not tell: of two commits only the last could be taken
/// back. And a row that somebody listed again since, or a hold that was granted again, looks alike
/// and is another's word.
fn is_fully_reverted(seq: u64, later: &[u64], reverts: &Reverts) -> bool {
    let mut standing = HashSet::new();
    let mut last = None;
    for &commit in later {
        let back = reverts.get(&commit).copied();
        // What was decided one by one and what feeds said come back by a commit each.
        let same = back.is_some() && back == last;
        last = back;
        if same {
            continue;
        }
        // To take back a way back is to do again.
        let mut of = commit;
        while let Some(was) = reverts.get(&of).filter(|was| **was > seq) {
            of = *was;
        }
        if !standing.remove(&of) {
            standing.insert(of);
        }
    }
    standing.is_empty()
}

impl Ledger {
    /// Makes many changes one commit, all or none. May block.
    pub fn submit_many(
        &self,
        changes: Vec<Change>,
        line: AuditRecord,
    ) -> Result<Receipt, LedgerError> {
        self.call(|r| WriterCommand::ChangeMany(Box::new((changes, line)), r))
    }

    /// Takes a commit back as far as its subjects still stand as it left them. May block.
    pub fn undo(&self, undo: &Undo) -> Result<Undone, LedgerError> {
        let Some(commit) = self.store.commit_row(undo.seq)? else {
            return Err(LedgerError::NotFound(format!(
                "the journal has no commit {} (any more)",
                undo.seq
            )));
        };
        if commit.bulk {
            return self.undo_bulk(undo, &commit);
        }
        if commit.before.is_empty() {
            return Err(LedgerError::NotFound(format!(
                "commit {} cannot be undone: it changed no listing, hold or exemption ({}), and serials only move forward",
                undo.seq,
                self.what_was(undo.seq, None)?
            )));
        }
        let touched = self.touched(undo, &commit)?;
        let mut out = Undone::default();
        let (mut changes, mut feeds): (Vec<Change>, Vec<SourceId>) = (Vec::new(), Vec::new());
        for t in &touched {
            if t.changed_by.is_some() {
                out.changed_since.push(t.subject.clone());
                continue;
            }
            // A removal that was granted since, or by the commit itself, stands unless it may be
            // broken.
            let granted = t.now.holds.iter().any(|h| {
                !t.before
                    .holds
                    .iter()
                    .any(|o| (o.reason, o.source) == (h.reason, h.source))
            });
            if granted && !undo.preconditions.breaks_hold {
                out.held.push(t.subject.clone());
                continue;
            }
            let rows = |v: &Verdict, s| {
                of_source(v, s)
                    .into_iter()
                    .map(|e| (e.reason, e.exclusion, e.text.clone()))
                    .collect::<Vec<_>>()
            };
            for s in t
                .feeds
                .iter()
                .filter(|s| rows(&t.before, **s) != rows(&t.now, **s))
            {
                if !feeds.contains(s) {
                    feeds.push(*s);
                }
            }
            changes.extend(undo.own(&t.subject, &t.now, &t.before, &t.before));
            out.undone.push(t.subject.clone());
        }
        out.changed_by = self.changed_by(
            touched
                .iter()
                .filter_map(|t| Some((t.changed_by?, &t.subject))),
            undo.seq,
        )?;
        if undo.dry_run {
            return Ok(out);
        }
        // Holds come back before what they hold down does.
        if !changes.is_empty() {
            let mut line = undo.line(self.now(), out.undone.len());
            line.idempotency = line.idempotency.filter(|_| feeds.is_empty());
            out.receipt = Some(self.submit_many(changes, line)?);
        }
        let undone: HashSet<&Subject> = out.undone.iter().collect();
        let same: Vec<&Touched> = touched
            .iter()
            .filter(|t| undone.contains(&t.subject))
            .collect();
        let last = feeds.len();
        for (n, source) in (1..).zip(feeds) {
            let mut line = undo.line(self.now(), same.len());
            line.idempotency = line.idempotency.filter(|_| n == last);
            out.receipt = self.undo_feed(line, source, undo.seq, &same)?.receipt;
        }
        Ok(out)
    }

    /// The subjects of a commit that are asked about.
    fn touched(&self, undo: &Undo, commit: &Commit) -> Result<Vec<Touched>, LedgerError> {
        let theirs: Option<HashSet<String>> = match &undo.of {
            None => None,
            Some(who) => Some(
                self.store
                    .audit_of(undo.seq)?
                    .into_iter()
                    .filter(|l| l.who == *who)
                    .map(|l| l.about)
                    .collect(),
            ),
        };
        // What somebody else did to the same subject in it is not his to take back.
        let others: HashSet<String> = match &undo.of {
            None => HashSet::new(),
            Some(who) => self
                .store
                .audit_of(undo.seq)?
                .into_iter()
                .filter(|l| l.who != *who)
                .map(|l| l.about)
                .collect(),
        };
        let (later, bulks) = self.store.later(undo.seq, commit)?;
        let reverts = self.reverts(undo.seq)?;
        // The last large import that may have changed a source's rows, and was not taken back.
        let bulk_of = |source: SourceId| {
            let all: Vec<u64> = bulks
                .iter()
                .filter(|(_, of)| of.is_none_or(|of| of == source))
                .map(|(at, _)| *at)
                .collect();
            all.last()
                .copied()
                .filter(|_| !is_fully_reverted(undo.seq, &all, &reverts))
        };
        let mut out = Vec::new();
        for (key, before) in &commit.before {
            let Some(subject) = Subject::from_key(key) else {
                continue;
            };
            if theirs
                .as_ref()
                .is_some_and(|t| !t.contains(&subject.to_string()))
            {
                continue;
            }
            let now = self.store.verdict(&subject)?;
            let later = later.get(key);
            let events = self.store.events_at(undo.seq, commit.at, &subject)?;
            let mut after = before.clone();
            events.iter().for_each(|e| after.fold(e.at, &e.what));
            if events.is_empty() {
                after = later.map_or(&now, |(left, _)| left).clone();
            }
            let feeds = changed_feeds(before, &after);
            // A large import has no before-images: the rows tell whether it changed what the commit
            // has left. Rows of a source that the commit did not touch are of no account.
            let by_bulk = feeds
                .iter()
                .find_map(|s| bulk_of(*s).filter(|_| of_source(&after, *s) != of_source(&now, *s)));
            let stands = |left: &Verdict| {
                let counts = |e: &&Entry| {
                    !e.source.is_feed() || feeds.contains(&e.source) || bulk_of(e.source).is_none()
                };
                let of = |v: &Verdict| {
                    (
                        v.entries.iter().filter(counts).cloned().collect::<Vec<_>>(),
                        v.exempt.clone(),
                        v.holds.clone(),
                    )
                };
                of(left) == of(&now)
            };
            let by_later = later
                .filter(|(left, by)| !stands(left) && !is_fully_reverted(undo.seq, by, &reverts));
            let by_others = others.contains(&subject.to_string()).then_some(undo.seq);
            let changed_by = by_later
                .and_then(|(_, by)| by.last().copied())
                .or(by_bulk)
                .or(by_others);
            out.push(Touched {
                subject,
                before: before.clone(),
                now,
                feeds,
                changed_by,
            });
        }
        out.sort_by(|a, b| a.subject.cmp(&b.subject));
        Ok(out)
    }

    /// The commits that have changed subjects, with samples; the newest first.
    fn changed_by<'s>(
        &self,
        all: impl Iterator<Item = (u64, &'s Subject)>,
        seq: u64,
    ) -> Result<Vec<ChangedBy>, LedgerError> {
        let mut by: BTreeMap<u64, ChangedBy> = BTreeMap::new();
        for (commit, subject) in all {
            let entry = by.entry(commit).or_insert_with(|| ChangedBy {
                commit,
                ..ChangedBy::default()
            });
            entry.count += 1;
            if entry.sample.len() < SAMPLES {
                entry.sample.push(subject.clone());
            }
        }
        let mut out: Vec<ChangedBy> = by.into_values().rev().take(MAX_CHANGED_BY).collect();
        for entry in &mut out {
            entry.what = match entry.commit == seq {
                true => "another author, in the same commit".into(),
                false => self.what_was(entry.commit, entry.sample.first())?,
            };
        }
        Ok(out)
    }

    /// What a commit was, for people.
    fn what_was(&self, commit: u64, subject: Option<&Subject>) -> Result<String, LedgerError> {
        let v = self.store.dictionary();
        if let Some(line) = self.store.audit_of(commit)?.into_iter().next() {
            return Ok(format!("{} {} by {}", line.what, line.about, line.who));
        }
        if let Some(source) = self.store.bulk_source(commit)? {
            return Ok(format!("a large import of {}", v.sources.name(source)));
        }
        let (Some(subject), Some(row)) = (subject, self.store.commit_row(commit)?) else {
            return Ok("not known".into());
        };
        let author = self
            .store
            .events_at(commit, row.at, subject)?
            .into_iter()
            .next()
            .map(|e| e.author);
        Ok(author.map_or("a large import".into(), |author| {
            format!("a change by {author}")
        }))
    }

    /// The ways back among the commits after one.
    fn reverts(&self, seq: u64) -> Result<Reverts, LedgerError> {
        let mut reverts = Reverts::new();
        self.store.audit(u64::MAX, &mut |_, line| {
            let past = line.commit.is_some_and(|c| c <= seq);
            reverts.extend(line.commit.zip(reverted_commit(&line)));
            !past
        })?;
        Ok(reverts)
    }

    /// Brings a feed's rows back, for the subjects that still stand as the commit left them.
    fn undo_feed(
        &self,
        line: AuditRecord,
        source: SourceId,
        seq: u64,
        same: &[&Touched],
    ) -> Result<ImportResult, LedgerError> {
        let same: Vec<&&Touched> = same.iter().filter(|t| t.feeds.contains(&source)).collect();
        let subjects = same.iter().map(|t| t.subject.clone()).collect();
        let notes = self
            .store
            .notes_before(seq)?
            .into_iter()
            .filter(|n| n.source == source);
        let mut notes: HashMap<_, _> = notes.map(|n| ((n.subject, n.reason), n.note)).collect();
        let mut import = Import {
            mode: Mode::Patch,
            touched: subjects,
            asked: Some(line),
            ..Import::replace(source)
        };
        let result = self.import_with(&mut import, |_, sink| {
            for t in same {
                for e in t.before.entries.iter().filter(|e| e.source == source) {
                    let note = notes.remove(&(t.subject.key(), e.reason));
                    let entry = FeedEntry {
                        reason: e.reason,
                        exclusion: e.exclusion,
                        implied: false,
                        since: e.since,
                        text: e.text.clone(),
                        note,
                    };
                    sink(t.subject.clone(), entry)?;
                }
            }
            Ok(())
        });
        self.imported(result)
    }

    /// Takes a large import back: what it replaced is imported again, while it is kept.
    fn undo_bulk(&self, undo: &Undo, commit: &Commit) -> Result<Undone, LedgerError> {
        let v = self.store.dictionary();
        let kept = v.records.iter().enumerate().find_map(|(i, r)| {
            Some((SourceId(i as u16), r.kept.filter(|k| k.commit == undo.seq)?))
        });
        let Some((source, kept)) = kept else {
            return Err(LedgerError::NotFound(self.why_irreversible(undo.seq)?));
        };
        let generation = v
            .records
            .get(usize::from(source.0))
            .map_or(0, |r| r.generation);
        // Rows that were changed since stay as they are now.
        let reverts = self.reverts(undo.seq)?;
        let mut changed = self.store.rows_changed_since(undo.seq, source)?;
        changed.retain(|_, by| !is_fully_reverted(undo.seq, by, &reverts));
        let changed_by = self.changed_by(
            changed
                .iter()
                .filter_map(|(subject, by)| Some((*by.last()?, subject))),
            undo.seq,
        )?;
        // Holds that it ended come back before what they held down does.
        let mut changes = Vec::new();
        for t in self.touched(undo, commit)? {
            let missing = t
                .before
                .holds
                .iter()
                .filter(|h| h.source == source && !t.now.held(h.reason, source))
                .cloned();
            let target = Verdict {
                holds: t.now.holds.iter().cloned().chain(missing).collect(),
                ..t.now.clone()
            };
            changes.extend(undo.own(&t.subject, &t.now, &t.now, &target));
        }
        if !undo.dry_run && !changes.is_empty() {
            self.submit_many(
                changes,
                AuditRecord {
                    idempotency: None,
                    ..undo.line(self.now(), 0)
                },
            )?;
        }
        // A life that was over comes back for a moment, and ends with the next tick.
        let expires = kept
            .expires
            .map(|t| t.max(self.clock.now().plus(Seconds(2))));
        let mut import = Import {
            dry_run: undo.dry_run,
            asked: Some(undo.line(self.now(), 0)),
            expires,
            ..Import::replace(source)
        };
        let result = self.import_with(&mut import, |_, sink| {
            let record = self
                .store
                .dictionary()
                .records
                .get(usize::from(source.0))
                .cloned()
                .unwrap_or_default();
            if record.generation != generation
                || record.kept.map(|k| k.generation) != Some(kept.generation)
            {
                return Err("the source was imported meanwhile; try again".into());
            }
            let mut push = |subject: &Subject, entries: Vec<FeedEntry>| {
                entries
                    .into_iter()
                    .try_for_each(|e| sink(subject.clone(), e))
            };
            for subject in changed.keys() {
                push(
                    subject,
                    self.store
                        .feed_row(source, generation, subject)
                        .map_err(|e| e.to_string())?,
                )?;
            }
            if kept.generation == 0 {
                return Ok(());
            }
            let each = &mut |subject: Subject, entries: Vec<FeedEntry>| match changed
                .contains_key(&subject)
            {
                true => Ok(()),
                false => push(&subject, entries).map_err(StoreError::Io),
            };
            self.store
                .feed_scan(source, kept.generation, each)
                .map_err(|e| e.to_string())
        });
        let result = self.imported(result)?;
        let changed_since = changed.into_keys().collect();
        Ok(Undone {
            receipt: result.receipt,
            rows: Some(result.difference),
            changed_since,
            changed_by,
            ..Undone::default()
        })
    }

    /// Why a large import cannot be undone.
    fn why_irreversible(&self, seq: u64) -> Result<String, LedgerError> {
        let no = |why: String| Ok(format!("commit {seq} cannot be undone: {why}"));
        let Some(source) = self.store.bulk_source(seq)? else {
            return no("its source and the rows that it replaced are not known (any more)".into());
        };
        let name = self.store.dictionary().sources.name(source).to_string();
        let mut newer = None;
        self.store.commits(seq + 1, &mut |at, commit| {
            if commit.bulk && self.store.bulk_source(at)? == Some(source) {
                newer = Some(at);
            }
            Ok(true)
        })?;
        match newer {
            Some(at) => {
                let what = self.what_was(at, None)?;
                no(format!(
                    "commit {at} has replaced the source `{name}` as a whole since ({what}), and only the rows before the newest such commit are kept; import the list that is wanted again"
                ))
            }
            None => no(format!(
                "the life of the source `{name}` has ended since, and the rows before it were dropped"
            )),
        }
    }

    fn imported(
        &self,
        result: Result<ImportResult, ImportError>,
    ) -> Result<ImportResult, LedgerError> {
        result.map_err(|e| match e {
            ImportError::Ledger(r) => r,
            e => LedgerError::Conflict(e.text(&self.store.dictionary())),
        })
    }
}

/// What the audit log calls a way back, and what it is about.
const UNDO: &str = "undo";
const ABOUT: &str = "commit ";

/// The commit that a line of the audit log says was taken back.
fn reverted_commit(line: &AuditRecord) -> Option<u64> {
    (line.what == UNDO).then(|| line.about.strip_prefix(ABOUT)?.parse().ok())?
}

impl Undo {
    /// The change that brings what is decided one by one of a subject from `now` to where `own`
    /// (entries and exemption) and `holds` stood; none where it stands there.
    fn own(
        &self,
        subject: &Subject,
        now: &Verdict,
        own: &Verdict,
        holds: &Verdict,
    ) -> Option<Change> {
        let decided = |v: &Verdict| {
            (
                v.entries
                    .iter()
                    .filter(|e| !e.source.is_feed())
                    .cloned()
                    .collect::<Vec<_>>(),
                v.exempt.clone(),
            )
        };
        if decided(now) == decided(own) && now.holds == holds.holds {
            return None;
        }
        let (entries, exempt) = decided(own);
        let command = Command::Restore {
            entries,
            exempt,
            holds: holds.holds.clone(),
        };
        let mut change = Change::new(subject.clone(), self.author.clone(), command);
        change.evidence = self.why.clone().map(crate::model::Evidence::word);
        change.preconditions = Preconditions {
            expect: Some(revision(now)),
            idempotency: None,
            ..self.preconditions.clone()
        };
        Some(change)
    }

    fn line(&self, at: crate::model::Time, subjects: usize) -> AuditRecord {
        AuditRecord {
            at,
            who: self.author.clone(),
            from: self.preconditions.from.to_string(),
            what: UNDO.into(),
            about: format!("{ABOUT}{}", self.seq),
            detail: format!("{subjects} subjects"),
            why: self.why.clone(),
            commit: None,
            idempotency: self.preconditions.idempotency,
        }
    }
}

impl Writer {
    /// Refuses what came with the same key before.
    pub(super) fn check_idempotency(&self, line: &AuditRecord) -> Result<(), LedgerError> {
        match &line.idempotency {
            Some(once)
                if self
                    .store
                    .stored_receipt(self.clock.now(), &once.key)?
                    .is_some() =>
            {
                Err(LedgerError::Duplicate)
            }
            _ => Ok(()),
        }
    }

    /// Many changes as one commit: all, or none where one is refused.
    pub(super) fn change_many(
        &mut self,
        changes: Vec<Change>,
        line: AuditRecord,
    ) -> Result<Receipt, LedgerError> {
        self.check_idempotency(&line)?;
        let mut transaction = Transaction::new(self.clock.now());
        for change in changes {
            match self
                .check(change)
                .and_then(|c| transaction.decide(&self.store, &c, |s| self.covered(s)))?
            {
                ChangeOutcome::Applied(_) => {}
                ChangeOutcome::Duplicate(made) => return Ok(made.into()),
            }
        }
        transaction.audit = vec![line];
        transaction.release_orphaned_holds(&self.store)?;
        self.commit(&transaction, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A later commit that looked alike was taken for the one before, and its word was taken back
    /// with it.
    #[test]
    fn commits_count_until_they_are_taken_back() {
        let reverts: Reverts = [
            (12, 11),
            (13, 12),
            (14, 11),
            (20, 10),
            (21, 20),
            (31, 30),
            (32, 30),
            (33, 10),
        ]
        .into();
        for (later, all) in [
            (&[][..], true),
            (&[11], false),
            (&[11, 12], true),
            (&[11, 12, 13], false),
            (&[11, 12, 13, 14], true),
            // Taken back itself, and that taken back.
            (&[20], false),
            (&[20, 21], true),
            (&[20, 21, 33], false),
            // A way back of two commits, and somebody between them.
            (&[30, 31, 32], true),
            (&[30, 31, 15, 32], false),
            (&[15, 30, 31, 32], false),
            // Before the subject came into it.
            (&[12], false),
        ] {
            assert_eq!(is_fully_reverted(10, later, &reverts), all, "{later:?}");
        }
    }
}
