//! Many changes as one commit, and the undo of a commit.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Import, ImportError, ImportResult, Ledger, LedgerError, Receipt,
    transaction::{ChangeOutcome, Transaction},
    writer::Writer,
};
use crate::{
    model::{
        Change, Entry, Hold, Preconditions, SourceId, Subject, Verdict,
        history::{Command, IdempotencyKey},
        text::counted,
        time::Seconds,
    },
    store::{
        StoreError,
        schema::{AuditRecord, Commit, FeedEntry, ReplacedRows, revision},
        stage::{ImportDifference, Mode},
    },
};

/// The most subjects in one commit of many changes.
pub const MAX_CHANGES: usize = 50_000;

/// A request to undo a commit.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The commit.
    pub seq: u64,
    /// The author of the request.
    pub author: String,
    /// The author's reason.
    pub why: Option<String>,
    /// See [`Preconditions`].
    pub preconditions: Preconditions,
    /// Undo only the changes of this author; a commit can have the changes of several.
    pub of: Option<String>,
    /// Whether to report the changes without making them.
    pub dry_run: bool,
}

/// The result of an undo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoResult {
    /// The commit of the undo; `None` if there was nothing to undo, or for a dry run.
    pub receipt: Option<Receipt>,
    /// The subjects that are as they were before the commit.
    pub undone: Vec<Subject>,
    /// The subjects that have changed since the commit, and were not changed.
    pub changed_since: Vec<Subject>,
    /// The changes of rows, for a large import.
    pub rows: Option<ImportDifference>,
    /// The subjects that were not changed because of a granted removal.
    pub held: Vec<Subject>,
    /// The commits that have changed the subjects of `changed_since`.
    pub changed_by: Vec<ChangedBy>,
}

/// Subjects that a later commit has changed, or another author in the same commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedBy {
    /// The commit.
    pub commit: u64,
    /// A description of the commit, for users.
    pub description: String,
    /// The number of subjects.
    pub count: usize,
    /// Some of the subjects.
    pub sample: Vec<Subject>,
}

/// The most subjects of a later commit that a report names.
const SAMPLES: usize = 10;
/// The most later commits that a report names.
const MAX_CHANGED_BY: usize = 20;

/// A subject of a commit, with its verdicts before the commit and now.
struct CommitSubject {
    subject: Subject,
    before: Verdict,
    now: Verdict,
    /// The feeds whose entries the commit has changed.
    feeds: Vec<SourceId>,
    /// The last commit that has changed the subject since, or the commit itself if another author
    /// has changed the subject in it; `None` if the subject is as the commit has left it.
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

/// The commit that each undo commit has undone.
type Reverts = HashMap<u64, u64>;

/// Whether all commits that changed a subject after `seq` have been undone.
///
/// Verdicts cannot be compared for this: an undo restores a listing with a later `since`, and a
/// listing or hold that another author has made again can look the same.
fn is_fully_reverted(seq: u64, later: &[u64], reverts: &Reverts) -> bool {
    let mut in_force = HashSet::new();
    let mut last = None;
    for &commit in later {
        let reverted = reverts.get(&commit).copied();
        // An undo can be two commits: one for single decisions and one for each feed.
        let same_undo = reverted.is_some() && reverted == last;
        last = reverted;
        if same_undo {
            continue;
        }
        // The undo of an undo puts the first commit in force again.
        let mut first = commit;
        while let Some(was) = reverts.get(&first).filter(|was| **was > seq) {
            first = *was;
        }
        if !in_force.remove(&first) {
            in_force.insert(first);
        }
    }
    in_force.is_empty()
}

impl Ledger {
    /// Makes many changes in one commit: all or nothing. May block.
    pub fn submit_many(
        &self,
        changes: Vec<Change>,
        audit: AuditRecord,
    ) -> Result<Receipt, LedgerError> {
        self.call(|writer| writer.change_many(changes, audit))
    }

    /// Undoes a commit for the subjects that have not changed since. May block.
    ///
    /// # Errors
    ///
    /// The commit is not in the journal, or cannot be undone.
    pub fn undo(&self, undo: &Undo) -> Result<UndoResult, LedgerError> {
        let Some(commit) = self.store.commit_row(undo.seq)? else {
            return Err(LedgerError::NotFound(format!(
                "the journal has no commit {}; commits are kept for the time of `[journal] max_age`",
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
                self.describe_commit(undo.seq, None)?
            )));
        }
        let subjects = self.commit_subjects(undo, &commit)?;
        let mut out = UndoResult::default();
        let (mut changes, mut feeds) = (Vec::new(), Vec::new());
        let mut undone: Vec<&CommitSubject> = Vec::new();
        for t in &subjects {
            if t.changed_by.is_some() {
                out.changed_since.push(t.subject.clone());
                continue;
            }
            // A removal that was granted since, or by the commit itself, is kept unless the undo
            // may end holds.
            let same = |a: &Hold, b: &Hold| (a.reason, a.source) == (b.reason, b.source);
            let had = |h: &Hold| t.before.holds.iter().any(|o| same(o, h));
            if !undo.preconditions.breaks_hold && !t.now.holds.iter().all(had) {
                out.held.push(t.subject.clone());
                continue;
            }
            let rows = |v: &Verdict, s| {
                let rows = of_source(v, s).into_iter();
                rows.map(|e| (e.reason, e.exclusion, e.text.clone()))
                    .collect::<Vec<_>>()
            };
            for s in &t.feeds {
                if rows(&t.before, *s) != rows(&t.now, *s) && !feeds.contains(s) {
                    feeds.push(*s);
                }
            }
            changes.extend(undo.restore(&t.subject, &t.now, &t.before));
            undone.push(t);
        }
        out.undone = undone.iter().map(|t| t.subject.clone()).collect();
        let changed = subjects
            .iter()
            .filter_map(|t| Some((t.changed_by?, &t.subject)));
        out.changed_by = self.changed_by(changed, undo.seq)?;
        if undo.dry_run {
            return Ok(out);
        }
        // Restore holds before the listings that they suppress.
        if !changes.is_empty() {
            let mut record = undo.audit_record(self.now(), undone.len());
            record.idempotency = record.idempotency.filter(|_| feeds.is_empty());
            out.receipt = Some(self.submit_many(changes, record)?);
        }
        let last = feeds.len();
        for (n, source) in (1..).zip(feeds) {
            let mut record = undo.audit_record(self.now(), undone.len());
            record.idempotency = record.idempotency.filter(|_| n == last);
            out.receipt = self.undo_feed(record, source, undo.seq, &undone)?.receipt;
        }
        Ok(out)
    }

    /// The subjects of a commit, or those that the requested author has changed in it.
    fn commit_subjects(
        &self,
        undo: &Undo,
        commit: &Commit,
    ) -> Result<Vec<CommitSubject>, LedgerError> {
        let (mut of_author, mut of_others) = (HashSet::new(), HashSet::new());
        if let Some(author) = &undo.of {
            for record in self.store.audit_of(undo.seq)? {
                match record.author == *author {
                    true => of_author.insert(record.target),
                    false => of_others.insert(record.target),
                };
            }
        }
        let (later, bulks) = self.store.later_changes(undo.seq, commit)?;
        let reverts = self.reverts(undo.seq)?;
        // The last large import that may have changed a source's rows, unless all are undone.
        let bulk_of = |source: SourceId| {
            let of_source = bulks
                .iter()
                .filter(|(_, of)| of.is_none_or(|of| of == source));
            let all: Vec<u64> = of_source.map(|(at, _)| *at).collect();
            let last = all.last().copied();
            last.filter(|_| !is_fully_reverted(undo.seq, &all, &reverts))
        };
        let mut out = Vec::new();
        for (key, before) in &commit.before {
            let Some(subject) = Subject::from_key(key) else {
                continue;
            };
            let name = subject.to_string();
            if undo.of.is_some() && !of_author.contains(&name) {
                continue;
            }
            let now = self.store.verdict(&subject)?;
            let later = later.get(key);
            let events = self.store.events_of_commit(&subject, undo.seq, commit.at)?;
            let mut after = before.clone();
            events.iter().for_each(|e| after.fold(e.at, &e.kind));
            if events.is_empty() {
                after = later.map_or(&now, |(left, _)| left).clone();
            }
            let feeds = changed_feeds(before, &after);
            // A large import has no before-images. Compare the present rows with those that the
            // commit has left, for the sources that the commit has changed.
            let by_bulk = feeds
                .iter()
                .find_map(|s| bulk_of(*s).filter(|_| of_source(&after, *s) != of_source(&now, *s)));
            let counts = |e: &&Entry| {
                !e.source.is_feed() || feeds.contains(&e.source) || bulk_of(e.source).is_none()
            };
            let is_unchanged = |left: &Verdict| {
                let [left, now] = [left, &now].map(Verdict::without_sights);
                let of = |v: &Verdict| v.entries.iter().filter(counts).cloned().collect::<Vec<_>>();
                of(&left) == of(&now) && (&left.exempt, &left.holds) == (&now.exempt, &now.holds)
            };
            let by_later = later.filter(|(left, by)| {
                !is_unchanged(left) && !is_fully_reverted(undo.seq, by, &reverts)
            });
            // A subject that another author has also changed in this commit is not undone.
            let by_others = of_others.contains(&name).then_some(undo.seq);
            let changed_by = by_later
                .and_then(|(_, by)| by.last().copied())
                .or(by_bulk)
                .or(by_others);
            out.push(CommitSubject {
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
            entry.description = match entry.commit == seq {
                true => "another author, in the same commit".into(),
                false => self.describe_commit(entry.commit, entry.sample.first())?,
            };
        }
        Ok(out)
    }

    /// Describes a commit for users.
    fn describe_commit(
        &self,
        commit: u64,
        subject: Option<&Subject>,
    ) -> Result<String, LedgerError> {
        let v = self.store.dictionary();
        if let Some(r) = self.store.audit_of(commit)?.first() {
            return Ok(format!("{} {} by {}", r.action, r.target, r.author));
        }
        if let Some(source) = self.store.bulk_source(commit)? {
            return Ok(format!("a large import of {}", v.sources.name(source)));
        }
        let (Some(subject), Some(row)) = (subject, self.store.commit_row(commit)?) else {
            return Ok("unknown".into());
        };
        let events = self.store.events_of_commit(subject, commit, row.at)?;
        Ok(match events.first() {
            Some(e) => format!("a change by {}", e.author),
            None => "a large import".into(),
        })
    }

    /// The undo commits after a commit.
    fn reverts(&self, seq: u64) -> Result<Reverts, LedgerError> {
        let mut reverts = Reverts::new();
        self.store.audit(u64::MAX, &mut |_, record| {
            let reached = record.commit.is_some_and(|c| c <= seq);
            reverts.extend(record.commit.zip(reverted_commit(&record)));
            !reached
        })?;
        Ok(reverts)
    }

    /// Restores the rows of a feed for subjects that are as the commit has left them.
    fn undo_feed(
        &self,
        audit: AuditRecord,
        source: SourceId,
        seq: u64,
        undone: &[&CommitSubject],
    ) -> Result<ImportResult, LedgerError> {
        let undone = undone.iter().filter(|t| t.feeds.contains(&source));
        let notes = self.store.notes_before(seq)?.into_iter();
        let notes = notes.filter(|n| n.source == source);
        let mut notes: HashMap<_, _> = notes.map(|n| ((n.subject, n.reason), n.note)).collect();
        let mut import = Import {
            mode: Mode::Patch,
            touched: undone.clone().map(|t| t.subject.clone()).collect(),
            audit: Some(audit),
            ..Import::replace(source)
        };
        let result = self.import_with(&mut import, |_, sink| {
            for t in undone {
                for e in of_source(&t.before, source) {
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

    /// Undoes a large import: imports the rows again that it has replaced, if they are still
    /// stored.
    fn undo_bulk(&self, undo: &Undo, commit: &Commit) -> Result<UndoResult, LedgerError> {
        let v = self.store.dictionary();
        let replaced = v.records.iter().enumerate().find_map(|(i, r)| {
            let kept = r.kept.filter(|k| k.commit == undo.seq)?;
            Some((SourceId(i as u16), r.generation, kept))
        });
        let Some((source, generation, kept)) = replaced else {
            return Err(LedgerError::NotFound(self.why_irreversible(undo.seq)?));
        };
        // Rows that have changed since stay as they are.
        let reverts = self.reverts(undo.seq)?;
        let mut changed = self.store.rows_changed_since(undo.seq, source)?;
        changed.retain(|_, by| !is_fully_reverted(undo.seq, by, &reverts));
        let by = changed
            .iter()
            .filter_map(|(subject, by)| Some((*by.last()?, subject)));
        let changed_by = self.changed_by(by, undo.seq)?;
        // Restore the holds that it has ended before the listings that they suppress.
        let mut changes = Vec::new();
        for t in self.commit_subjects(undo, commit)? {
            let mut target = t.now.clone();
            for h in t.before.holds.iter().filter(|h| h.source == source) {
                if !t.now.is_suppressed(h.reason, source) {
                    target.holds.push(h.clone());
                }
            }
            changes.extend(undo.restore(&t.subject, &t.now, &target));
        }
        if !undo.dry_run && !changes.is_empty() {
            let record = AuditRecord {
                idempotency: None,
                ..undo.audit_record(self.now(), 0)
            };
            self.submit_many(changes, record)?;
        }
        // An import needs an end in the future; a source that had expired expires with the next
        // tick.
        let soon = self.now().plus(Seconds(2));
        let mut import = Import {
            dry_run: undo.dry_run,
            audit: Some(undo.audit_record(self.now(), 0)),
            expires: kept.expires.map(|t| t.max(soon)),
            ..Import::replace(source)
        };
        let result = self.import_with(&mut import, |_, sink| {
            let v = self.store.dictionary();
            let record = &v.records[usize::from(source.0)];
            let is_kept = |rows: ReplacedRows| rows.generation == kept.generation;
            if record.generation != generation || !record.kept.is_some_and(is_kept) {
                return Err("the source was imported meanwhile; try again".into());
            }
            let mut push = |subject: &Subject, entries: Vec<FeedEntry>| {
                let mut entries = entries.into_iter();
                entries.try_for_each(|e| sink(subject.clone(), e))
            };
            for subject in changed.keys() {
                let row = self.store.feed_row(source, generation, subject);
                push(subject, row.map_err(|e| e.to_string())?)?;
            }
            if kept.generation == 0 {
                return Ok(());
            }
            let each = &mut |subject: Subject, entries| match changed.contains_key(&subject) {
                true => Ok(true),
                false => push(&subject, entries)
                    .map(|()| true)
                    .map_err(StoreError::Io),
            };
            let scanned = self.store.feed_scan(source, kept.generation, each);
            scanned.map_err(|e| e.to_string())
        });
        let result = self.imported(result)?;
        Ok(UndoResult {
            receipt: result.receipt,
            rows: Some(result.difference),
            changed_since: changed.into_keys().collect(),
            changed_by,
            ..UndoResult::default()
        })
    }

    /// Why a large import cannot be undone.
    fn why_irreversible(&self, seq: u64) -> Result<String, LedgerError> {
        let message = |why: String| Ok(format!("commit {seq} cannot be undone: {why}"));
        let Some(source) = self.store.bulk_source(seq)? else {
            return message("the rows that it replaced are no longer stored".into());
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
                let what = self.describe_commit(at, None)?;
                message(format!(
                    "commit {at} has replaced the source `{name}` since ({what}), and only the rows before the newest such commit are stored; import the list again"
                ))
            }
            None => message(format!(
                "the source `{name}` has expired since, and the rows before the commit were deleted"
            )),
        }
    }

    /// Converts the error of an import.
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

/// The name of an undo in the audit log.
const UNDO: &str = "undo";
/// The prefix of the commit's number in the audit record of an undo.
const ABOUT: &str = "commit ";

/// The commit that an audit record says was undone.
fn reverted_commit(record: &AuditRecord) -> Option<u64> {
    (record.action == UNDO).then(|| record.target.strip_prefix(ABOUT)?.parse().ok())?
}

impl Undo {
    /// The change that gives a subject the state `target`, without entries of feeds; `None` if it
    /// has that state already.
    fn restore(&self, subject: &Subject, now: &Verdict, target: &Verdict) -> Option<Change> {
        let own = |v: &Verdict| {
            let entries = v.entries.iter().filter(|e| !e.source.is_feed());
            entries.cloned().collect::<Vec<_>>()
        };
        let (entries, exempt, holds) = (own(target), &target.exempt, &target.holds);
        if (own(now), &now.exempt, &now.holds) == (entries.clone(), exempt, holds) {
            return None;
        }
        let command = Command::Restore {
            entries,
            exempt: exempt.clone(),
            holds: holds.clone(),
        };
        let mut change = Change::new(subject.clone(), self.author.clone(), command);
        change.evidence = self.why.clone().map(crate::model::Evidence::statement);
        change.preconditions = Preconditions {
            expect: Some(revision(now)),
            idempotency: None,
            ..self.preconditions.clone()
        };
        Some(change)
    }

    fn audit_record(&self, at: crate::model::Time, subjects: usize) -> AuditRecord {
        AuditRecord {
            at,
            author: self.author.clone(),
            from: self.preconditions.from.to_string(),
            action: UNDO.into(),
            target: format!("{ABOUT}{}", self.seq),
            detail: counted(subjects, "subject"),
            note: self.why.clone(),
            commit: None,
            idempotency: self.preconditions.idempotency,
        }
    }
}

impl Writer {
    /// Refuses an idempotent request that was processed before.
    pub(super) fn check_idempotency(
        &self,
        request: Option<IdempotencyKey>,
    ) -> Result<(), LedgerError> {
        let Some(request) = request else {
            return Ok(());
        };
        match self.store.stored_receipt(self.clock.now(), &request.key)? {
            Some(_) => Err(LedgerError::Duplicate),
            None => Ok(()),
        }
    }

    /// Makes many changes in one commit; if one is refused, none is made.
    pub(super) fn change_many(
        &mut self,
        changes: Vec<Change>,
        audit: AuditRecord,
    ) -> Result<Receipt, LedgerError> {
        self.check_idempotency(audit.idempotency)?;
        let mut transaction = Transaction::new(self.clock.now());
        for change in changes {
            if let ChangeOutcome::Duplicate(stored) = self.decide(&mut transaction, change)? {
                return Ok(stored.into());
            }
        }
        transaction.audit = vec![audit];
        self.commit_changes(&mut transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A later commit that only looks the same must not count as an undo.
    #[test]
    fn commit_is_in_force_until_it_is_undone() {
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
        for (later, reverted) in [
            (&[][..], true),
            (&[11], false),
            (&[11, 12], true),
            (&[11, 12, 13], false),
            (&[11, 12, 13, 14], true),
            // The commit itself is undone, and that undo is undone.
            (&[20], false),
            (&[20, 21], true),
            (&[20, 21, 33], false),
            // An undo of two commits, without and with another commit between them.
            (&[30, 31, 32], true),
            (&[30, 31, 15, 32], false),
            (&[15, 30, 31, 32], false),
            // The undo of a commit that did not change the subject.
            (&[12], false),
        ] {
            assert_eq!(
                is_fully_reverted(10, later, &reverts),
                reverted,
                "{later:?}"
            );
        }
    }
}
