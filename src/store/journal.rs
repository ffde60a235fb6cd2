//! The journal: reads commits by number, and removes old ones.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Batch, Result, Store, schema};
use crate::model::{Entry, Event, Serial, SourceId, Subject, Time, Verdict};
use schema::{Commit, FeedNote};

/// The subjects that changed since a commit; a start reads them after it has loaded an image.
#[derive(Debug, PartialEq, Eq)]
pub enum ChangedSince {
    /// These subjects changed.
    Subjects(Vec<Subject>),
    /// Too many subjects changed to list them, or the journal does not reach back to the commit.
    Everything,
}

/// Subjects that changed, and their verdicts before the change.
pub type EarlierVerdicts = HashMap<Subject, Verdict>;

/// For each subject's key: its verdict after a commit, and the commits that changed it since.
pub type LaterChanges = HashMap<Vec<u8>, (Verdict, Vec<u64>)>;

/// A large import: its commit, and its source if known.
pub type Bulk = (u64, Option<SourceId>);

/// How many rows of the journal are removed at a time.
const TRIM_ROWS: usize = 100_000;

impl Store {
    /// The subjects that changed between the zone's serial `from` and commit `last`, with their
    /// verdicts at that serial. `None` if that is unknown: the journal does not reach back so far,
    /// no commit gave the zone exactly that serial, there is a barrier for the zone in between, or
    /// more than `limit` subjects changed.
    pub fn verdicts_at_serial(
        &self,
        origin: &str,
        from: Serial,
        last: u64,
        limit: usize,
    ) -> Result<Option<EarlierVerdicts>> {
        let Some(row) = self.get(schema::META, &schema::serial_key(origin, from))? else {
            return Ok(None);
        };
        let seq = self.number(&row, "the number of a serial's commit")?;
        let gave = |c: &Commit| {
            c.serials
                .iter()
                .any(|(o, _, to)| o == origin && *to == from)
        };
        if !self.commit_row(seq)?.is_some_and(|c| gave(&c)) {
            return Ok(None);
        }
        let mut out = EarlierVerdicts::new();
        let whole = self.add_earlier_verdicts(origin, seq, last, &mut out)?;
        Ok((whole && out.len() <= limit).then_some(out))
    }

    /// Adds to `earlier` the subjects that changed after commit `seq` up to `last`, unless it has
    /// them already. Returns false if there is a barrier for the zone, or the journal lacks a
    /// commit.
    pub fn add_earlier_verdicts(
        &self,
        origin: &str,
        seq: u64,
        last: u64,
        earlier: &mut EarlierVerdicts,
    ) -> Result<bool> {
        self.commits_between(seq, last, &mut |commit| {
            let is_barrier = commit.barrier && commit.serials.iter().any(|(o, ..)| o == origin);
            for (key, verdict) in commit.before {
                let subject = self.subject(&key, "a journal subject")?;
                earlier.entry(subject).or_insert(verdict);
            }
            Ok(!is_barrier)
        })
    }

    /// Visits the commits after `seq` up to `last`, until `f` returns false. Returns whether it
    /// visited all of them: false if `f` returned false, or the journal lacks one.
    fn commits_between(
        &self,
        seq: u64,
        last: u64,
        f: &mut dyn FnMut(Commit) -> Result<bool>,
    ) -> Result<bool> {
        let (mut next, mut goes_on) = (seq + 1, true);
        if next <= last {
            self.commits(next, &mut |at, commit| {
                if at != next {
                    return Ok(false);
                }
                next += 1;
                goes_on = f(commit)?;
                Ok(goes_on && next <= last)
            })?;
        }
        Ok(goes_on && next > last)
    }

    /// For each subject of a commit that was changed by later commits: its verdict after the
    /// commit, and the later commits in order. Also the later large imports, of which the journal
    /// has no subjects, with their sources if known.
    pub fn later_changes(&self, seq: u64, commit: &Commit) -> Result<(LaterChanges, Vec<Bulk>)> {
        let keys: HashSet<&[u8]> = commit.before.iter().map(|(key, _)| &key[..]).collect();
        let (mut out, mut bulks) = (LaterChanges::new(), Vec::new());
        self.commits(seq + 1, &mut |at, commit| {
            bulks.extend(commit.bulk.then_some(at));
            for (key, verdict) in commit
                .before
                .into_iter()
                .filter(|(key, _)| keys.contains(&key[..]))
            {
                out.entry(key)
                    .or_insert_with(|| (verdict, Vec::new()))
                    .1
                    .push(at);
            }
            Ok(true)
        })?;
        let bulks: Result<_> = bulks
            .into_iter()
            .map(|at| Ok((at, self.bulk_source(at)?)))
            .collect();
        Ok((out, bulks?))
    }

    /// The source of a large import, by its commit; `None` if an older version made it.
    pub fn bulk_source(&self, seq: u64) -> Result<Option<SourceId>> {
        let what = "the source of a large import";
        let source = self.read_number(&schema::bulk_key(seq), what)?;
        Ok(source.map(|n| SourceId(u16::from_be_bytes(n))))
    }

    /// The notes that the rows of a commit had before it.
    pub fn notes_before(&self, seq: u64) -> Result<Vec<FeedNote>> {
        let what = format_args!("the notes of commit {seq}");
        let notes = self.read(schema::META, &schema::notes_key(seq), what)?;
        Ok(notes.unwrap_or_default())
    }

    /// The events of a subject in the commit `seq` with the time `at`, in order.
    pub fn events_of_commit(&self, subject: &Subject, seq: u64, at: Time) -> Result<Vec<Event>> {
        let mut out: Vec<([u8; 4], Event)> = Vec::new();
        for (family, key) in [
            (schema::EVENTS, schema::event_key(subject, seq, 0)),
            (
                schema::FEED_EVENTS,
                schema::feed_event_key(at, subject, seq, 0),
            ),
        ] {
            let without_place = &key[..key.len() - 4];
            self.rows_under(family, without_place, &mut |place, v| {
                let Ok(place) = place.try_into() else {
                    return Ok(false);
                };
                out.push((
                    place,
                    self.decode(v, format_args!("an event of {subject}"))?,
                ));
                Ok(true)
            })?;
        }
        out.sort_by_key(|(place, _)| *place);
        Ok(out.into_iter().map(|(_, event)| event).collect())
    }

    /// The subjects whose entries of a source have changed after commit `seq`, and the commits that
    /// changed them. There must be no large import of the source after `seq`.
    pub fn rows_changed_since(
        &self,
        seq: u64,
        source: SourceId,
    ) -> Result<BTreeMap<Subject, Vec<u64>>> {
        let of_source = |v: &Verdict| {
            v.entries
                .iter()
                .filter(|e| e.source == source)
                .cloned()
                .collect::<Vec<_>>()
        };
        // The last commit with the subject, the entries before it, and the commits that changed the
        // entries.
        let mut all: HashMap<Vec<u8>, (u64, Vec<Entry>, Vec<u64>)> = HashMap::new();
        self.commits(seq + 1, &mut |at, commit| {
            for (key, verdict) in commit.before {
                let now = of_source(&verdict);
                let (last, entries, changed) = all
                    .entry(key)
                    .or_insert_with(|| (at, now.clone(), Vec::new()));
                if *entries != now {
                    changed.push(*last);
                }
                (*last, *entries) = (at, now);
            }
            Ok(true)
        })?;
        let mut out = BTreeMap::new();
        for (key, (last, entries, mut changed)) in all {
            let subject = self.subject(&key, "a journal subject")?;
            if of_source(&self.verdict(&subject)?) != entries {
                changed.push(last);
            }
            if !changed.is_empty() {
                out.insert(subject, changed);
            }
        }
        Ok(out)
    }

    /// Visits the commits of the journal from `seq` on, until `f` returns false.
    pub fn commits(&self, seq: u64, f: &mut dyn FnMut(u64, Commit) -> Result<bool>) -> Result<()> {
        self.rows(schema::JOURNAL, &seq.to_be_bytes(), &mut |k, v| {
            let at = self.number(k, "a journal key")?;
            f(at, self.decode(v, format_args!("commit {at}"))?)
        })
    }

    /// A commit by its number.
    pub fn commit_row(&self, seq: u64) -> Result<Option<Commit>> {
        self.read(
            schema::JOURNAL,
            &seq.to_be_bytes(),
            format_args!("commit {seq}"),
        )
    }

    /// The time of the last commit; `None` if there is none, or the journal no longer has it.
    pub fn last_commit_time(&self) -> Result<Option<Time>> {
        Ok(self.commit_row(self.seq()?)?.map(|c| c.at))
    }

    /// The subjects that changed after commit `seq`.
    pub fn changed_since(&self, seq: u64) -> Result<ChangedSince> {
        let last = self.seq()?;
        let mut out = Vec::new();
        let is_complete = self.commits_between(seq, last, &mut |commit| {
            for (key, _) in commit.before {
                out.push(self.subject(&key, "a journal subject")?);
            }
            Ok(!commit.bulk)
        })?;
        if !is_complete || seq > last {
            return Ok(ChangedSince::Everything);
        }
        out.sort();
        out.dedup();
        Ok(ChangedSince::Subjects(out))
    }

    /// The number of bytes that were ever written to the journal.
    pub fn journal_bytes(&self) -> Result<u64> {
        let seq = self.seq()?;
        Ok(self.commit_row(seq)?.map_or(0, |c| c.bytes))
    }

    /// A batch that removes old commits, old feed events and old idempotent requests; `None` if
    /// there are none. Commits after `imaged` stay, because a start needs them.
    pub fn trim(&self, now: Time, imaged: u64) -> Result<Option<Batch>> {
        let (age, size) = (self.settings.journal_age.0, self.settings.journal_size);
        let total = self.journal_bytes()?;
        let last = self.seq()?;
        let mut keep_from = None;
        let mut batch = Batch::default();
        let mut rows = 0;
        self.commits(0, &mut |at, commit| {
            let old = commit.at.0 + age < now.0 || total - commit.bytes.min(total) > size;
            rows += 1;
            let goes = old && at < last && at <= imaged && rows <= TRIM_ROWS;
            if goes {
                keep_from = Some(at + 1);
                commit
                    .serials
                    .iter()
                    .for_each(|(o, _, to)| batch.delete(schema::META, schema::serial_key(o, *to)));
            }
            Ok(goes)
        })?;
        let oldest = (now.0.saturating_sub(self.settings.feed_event_age.0) / schema::BUCKET) as u32;
        let first_number = |family| -> Result<Option<u32>> {
            Ok(self.first_key(family, &[])?.map(u32::from_be_bytes))
        };
        let has_old_events = first_number(schema::FEED_EVENTS)?.is_some_and(|f| f < oldest);
        let today = (now.0 / schema::DAY) as u32;
        let stale = first_number(schema::IDEMPOTENCY)?.is_some_and(|day| day + 1 < today);
        if stale {
            batch.delete_range(
                schema::IDEMPOTENCY,
                vec![],
                (today - 1).to_be_bytes().to_vec(),
            );
        }
        if let Some(seq) = keep_from {
            batch.delete_range(schema::JOURNAL, vec![0], seq.to_be_bytes().to_vec());
            batch.delete_range(schema::META, schema::bulk_key(0), schema::bulk_key(seq));
            batch.delete_range(schema::META, schema::notes_key(0), schema::notes_key(seq));
        }
        if has_old_events {
            batch.delete_range(schema::FEED_EVENTS, vec![0], oldest.to_be_bytes().to_vec());
        }
        Ok((stale || keep_from.is_some() || has_old_events).then_some(batch))
    }
}
