//! Many changes as one commit, and the way back from a commit.

use std::collections::{HashMap, HashSet};

use super::{
    Import, ImportError, ImportResult, Job, Ledger, Receipt, Refused,
    group::{Decided, Work},
    writer::Writer,
};
use crate::{
    model::{Change, SourceId, Subject, Terms, Verdict, history::Ask, time::Seconds},
    store::{
        StoreError,
        schema::{Audit, Commit, FeedEntry, revision},
        stage::{Difference, Mode},
    },
};

/// How many subjects one commit of many changes has at most.
pub const MANY: usize = 50_000;

/// Who wants a commit undone, and how much of it.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The commit.
    pub seq: u64,
    /// Who asks.
    pub author: String,
    /// Why, in his words.
    pub why: Option<String>,
    /// See [`Terms`].
    pub terms: Terms,
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
    pub rows: Option<Difference>,
    /// Subjects whose listing did not come back, since a removal was granted.
    pub held: Vec<Subject>,
}

/// A subject of a commit: where it stood before it, and whether it still stands as the commit left it.
struct Touched {
    subject: Subject,
    before: Verdict,
    now: Verdict,
    same: bool,
}

/// Which commit each commit that is a way back took back.
type Backs = HashMap<u64, u64>;

/// Whether of the commits that changed a subject after `seq` every one has been taken back. What comes back has a later day, so
/// verdicts do not tell: of two commits only the last could be taken back. And a row that somebody listed again since, or a hold
/// that was granted again, looks alike and is another's word.
fn all_taken_back(seq: u64, later: &[u64], backs: &Backs) -> bool {
    let mut standing = HashSet::new();
    let mut last = None;
    for &commit in later {
        let back = backs.get(&commit).copied();
        // What was decided one by one and what feeds said come back by a commit each.
        let same = back.is_some() && back == last;
        last = back;
        if same {
            continue;
        }
        // To take back a way back is to do again.
        let mut of = commit;
        while let Some(was) = backs.get(&of).filter(|was| **was > seq) {
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
    pub fn submit_many(&self, changes: Vec<Change>, line: Audit) -> Result<Receipt, Refused> {
        self.call(|r| Job::Many(Box::new((changes, line)), r))
    }

    /// Takes a commit back as far as its subjects still stand as it left them. May block.
    pub fn undo(&self, undo: &Undo) -> Result<Undone, Refused> {
        let Some(commit) = self.store.commit_row(undo.seq)? else {
            return Err(Refused::Unknown(format!("the journal has no commit {} (any more)", undo.seq)));
        };
        if commit.bulk {
            return self.undo_bulk(undo, &commit);
        }
        let touched = self.touched(undo, &commit)?;
        let mut out = Undone::default();
        let (mut changes, mut feeds): (Vec<Change>, Vec<SourceId>) = (Vec::new(), Vec::new());
        for t in &touched {
            if !t.same {
                out.changed_since.push(t.subject.clone());
                continue;
            }
            // A removal that was granted since, or by the commit itself, stands unless it may be broken.
            let granted = t.now.holds.iter().any(|h| !t.before.holds.iter().any(|o| (o.reason, o.source) == (h.reason, h.source)));
            if granted && !undo.terms.breaks_hold {
                out.held.push(t.subject.clone());
                continue;
            }
            let rows = |v: &Verdict| {
                v.entries.iter().filter(|e| e.source.is_feed()).map(|e| (e.reason, e.source, e.hole, e.text.clone())).collect::<Vec<_>>()
            };
            let (was, is) = (rows(&t.before), rows(&t.now));
            for s in was.iter().chain(&is).filter(|r| !was.contains(r) || !is.contains(r)).map(|r| r.1) {
                if !feeds.contains(&s) {
                    feeds.push(s);
                }
            }
            changes.extend(undo.own(&t.subject, &t.now, &t.before, &t.before));
            out.undone.push(t.subject.clone());
        }
        if undo.dry_run {
            return Ok(out);
        }
        // Holds come back before what they hold down does.
        if !changes.is_empty() {
            let mut line = undo.line(self.now(), out.undone.len());
            line.once = line.once.filter(|_| feeds.is_empty());
            out.receipt = Some(self.submit_many(changes, line)?);
        }
        let undone: HashSet<&Subject> = out.undone.iter().collect();
        let same: Vec<&Touched> = touched.iter().filter(|t| undone.contains(&t.subject)).collect();
        let last = feeds.len();
        for (n, source) in (1..).zip(feeds) {
            let mut line = undo.line(self.now(), same.len());
            line.once = line.once.filter(|_| n == last);
            out.receipt = self.undo_feed(line, source, &same)?.receipt;
        }
        Ok(out)
    }

    /// The subjects of a commit that are asked about.
    fn touched(&self, undo: &Undo, commit: &Commit) -> Result<Vec<Touched>, Refused> {
        let theirs: Option<HashSet<String>> = match &undo.of {
            None => None,
            Some(who) => Some(self.store.audit_of(undo.seq)?.into_iter().filter(|l| l.who == *who).map(|l| l.about).collect()),
        };
        // What somebody else did to the same subject in it is not his to take back.
        let others: HashSet<String> = match &undo.of {
            None => HashSet::new(),
            Some(who) => self.store.audit_of(undo.seq)?.into_iter().filter(|l| l.who != *who).map(|l| l.about).collect(),
        };
        let (later, bulk) = self.store.later(undo.seq, commit)?;
        let backs = self.backs(undo.seq)?;
        let mut out = Vec::new();
        for (key, before) in &commit.before {
            let Some(subject) = Subject::from_key(key) else { continue };
            if theirs.as_ref().is_some_and(|t| !t.contains(&subject.to_string())) {
                continue;
            }
            let now = self.store.verdict(&subject)?;
            let of_feed = before.entries.iter().chain(&now.entries).any(|e| e.source.is_feed());
            let stands = later.get(key).is_none_or(|(left, by)| *left == now || all_taken_back(undo.seq, by, &backs));
            let same = stands && !(bulk && of_feed) && !others.contains(&subject.to_string());
            out.push(Touched { subject, before: before.clone(), now, same });
        }
        out.sort_by(|a, b| a.subject.cmp(&b.subject));
        Ok(out)
    }

    /// The ways back among the commits after one.
    fn backs(&self, seq: u64) -> Result<Backs, Refused> {
        let mut backs = Backs::new();
        self.store.audit(u64::MAX, &mut |_, line| {
            let past = line.commit.is_some_and(|c| c <= seq);
            backs.extend(line.commit.zip(taken_back(&line)));
            !past
        })?;
        Ok(backs)
    }

    /// Brings a feed's rows back, for the subjects that still stand as the commit left them.
    fn undo_feed(&self, line: Audit, source: SourceId, same: &[&Touched]) -> Result<ImportResult, Refused> {
        let subjects = same.iter().map(|t| t.subject.clone()).collect();
        let mut import = Import { mode: Mode::Patch, touched: subjects, asked: Some(line), ..Import::replace(source) };
        let result = self.import_with(&mut import, |_, sink| {
            for t in same {
                for e in t.before.entries.iter().filter(|e| e.source == source) {
                    let entry = FeedEntry { reason: e.reason, hole: e.hole, weak: false, since: e.since, text: e.text.clone(), note: None };
                    sink(t.subject.clone(), entry)?;
                }
            }
            Ok(())
        });
        self.imported(result)
    }

    /// Takes a large import back: what it replaced is imported again, while it is kept.
    fn undo_bulk(&self, undo: &Undo, commit: &Commit) -> Result<Undone, Refused> {
        let v = self.store.vocabulary();
        let kept = v.records.iter().enumerate().find_map(|(i, r)| Some((SourceId(i as u16), r.kept.filter(|k| k.commit == undo.seq)?)));
        let Some((source, kept)) = kept else {
            let why = "the rows that it replaced are kept until the source's next import, and that has come";
            return Err(Refused::Unknown(format!("commit {} can not be undone: {why}", undo.seq)));
        };
        // Holds that it ended come back before what they held down does.
        let mut changes = Vec::new();
        for t in self.touched(undo, commit)? {
            let missing = t.before.holds.iter().filter(|h| h.source == source && !t.now.held(h.reason, source)).cloned();
            let target = Verdict { holds: t.now.holds.iter().cloned().chain(missing).collect(), ..t.now.clone() };
            changes.extend(undo.own(&t.subject, &t.now, &t.now, &target));
        }
        if !undo.dry_run && !changes.is_empty() {
            self.submit_many(changes, Audit { once: None, ..undo.line(self.now(), 0) })?;
        }
        // A life that was over comes back for a moment, and ends with the next tick.
        let expires = kept.expires.map(|t| t.max(self.clock.now().plus(Seconds(2))));
        let mut import = Import { dry_run: undo.dry_run, asked: Some(undo.line(self.now(), 0)), expires, ..Import::replace(source) };
        let result = self.import_with(&mut import, |_, sink| {
            let still = self.store.vocabulary().records.get(usize::from(source.0)).and_then(|r| r.kept) == Some(kept);
            match kept.generation {
                _ if !still => Err("the source was imported meanwhile".into()),
                0 => Ok(()),
                generation => {
                    let each = &mut |subject: Subject, entries: Vec<FeedEntry>| {
                        entries.into_iter().try_for_each(|e| sink(subject.clone(), e)).map_err(StoreError::Io)
                    };
                    self.store.feed_scan(source, generation, each).map_err(|e| e.to_string())
                }
            }
        });
        let result = self.imported(result)?;
        Ok(Undone { receipt: result.receipt, rows: Some(result.difference), ..Undone::default() })
    }

    fn imported(&self, result: Result<ImportResult, ImportError>) -> Result<ImportResult, Refused> {
        result.map_err(|e| match e {
            ImportError::Refused(r) => r,
            e => Refused::Settings(e.text(&self.store.vocabulary())),
        })
    }
}

/// What the audit log calls a way back, and what it is about.
const UNDO: &str = "undo";
const ABOUT: &str = "commit ";

/// The commit that a line of the audit log says was taken back.
fn taken_back(line: &Audit) -> Option<u64> {
    (line.what == UNDO).then(|| line.about.strip_prefix(ABOUT)?.parse().ok())?
}

impl Undo {
    /// The change that brings what is decided one by one of a subject from `now` to where `own` (entries and exemption) and
    /// `holds` stood; none where it stands there.
    fn own(&self, subject: &Subject, now: &Verdict, own: &Verdict, holds: &Verdict) -> Option<Change> {
        let decided = |v: &Verdict| (v.entries.iter().filter(|e| !e.source.is_feed()).cloned().collect::<Vec<_>>(), v.exempt.clone());
        if decided(now) == decided(own) && now.holds == holds.holds {
            return None;
        }
        let (entries, exempt) = decided(own);
        let ask = Ask::Restore { entries, exempt, holds: holds.holds.clone() };
        let mut change = Change::new(subject.clone(), self.author.clone(), ask);
        change.evidence = self.why.clone().map(crate::model::Evidence::word);
        change.terms = Terms { expect: Some(revision(now)), once: None, ..self.terms.clone() };
        Some(change)
    }

    fn line(&self, at: crate::model::Time, subjects: usize) -> Audit {
        Audit {
            at,
            who: self.author.clone(),
            from: self.terms.from.to_string(),
            what: UNDO.into(),
            about: format!("{ABOUT}{}", self.seq),
            detail: format!("{subjects} subjects"),
            why: self.why.clone(),
            commit: None,
            once: self.terms.once,
        }
    }
}

impl Writer {
    /// Refuses what came with the same key before.
    pub(super) fn first(&self, line: &Audit) -> Result<(), Refused> {
        match &line.once {
            Some(once) if self.store.made(self.clock.now(), &once.key)?.is_some() => Err(Refused::Again),
            _ => Ok(()),
        }
    }

    /// Many changes as one commit: all, or none where one is refused.
    pub(super) fn many(&mut self, changes: Vec<Change>, line: Audit) -> Result<Receipt, Refused> {
        self.first(&line)?;
        let mut work = Work::new(self.clock.now());
        for change in changes {
            match self.check(change).and_then(|c| work.decide(&self.store, &c, |s| self.covered(s)))? {
                Decided::Now => {}
                Decided::Before(made) => return Ok(made.into()),
            }
        }
        work.audit = vec![line];
        work.uncover(&self.store)?;
        self.commit(&work, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A later commit that looked alike was taken for the one before, and its word was taken back with it.
    #[test]
    fn commits_count_until_they_are_taken_back() {
        let backs: Backs = [(12, 11), (13, 12), (14, 11), (20, 10), (21, 20), (31, 30), (32, 30), (33, 10)].into();
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
            assert_eq!(all_taken_back(10, later, &backs), all, "{later:?}");
        }
    }
}
