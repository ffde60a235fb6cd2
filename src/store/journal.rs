//! The journal: commits by number, and how it is kept from growing.

use std::collections::{HashMap, HashSet};

use super::{Batch, Result, Store, schema};
use crate::model::{Serial, Subject, Time, Verdict};
use schema::Commit;

/// What a start has to do after an image: the subjects to look at again, or everything.
#[derive(Debug, PartialEq, Eq)]
pub enum Since {
    /// These subjects changed.
    Subjects(Vec<Subject>),
    /// Too much to list, or the journal no longer reaches back that far.
    Everything,
}

/// Subjects that changed, and where they stood before.
pub type Past = HashMap<Subject, Verdict>;

/// Where a commit left a subject, and the commits that changed it since.
pub type Later = (Verdict, Vec<u64>);

/// How many rows of the journal go at one time.
const TRIM_ROWS: usize = 100_000;

impl Store {
    /// Where the subjects stood, when a zone had serial `from`, that changed up to commit `last`; `None` where the journal
    /// does not know: it does not reach back so far, no commit gave the zone exactly that serial, there is a barrier for
    /// the zone on the way, or more than `limit` subjects changed.
    pub fn past(&self, origin: &str, from: Serial, last: u64, limit: usize) -> Result<Option<Past>> {
        let Some(row) = self.get(schema::META, &schema::serial_key(origin, from))? else { return Ok(None) };
        let seq = row.try_into().map(u64::from_be_bytes).map_err(|_| self.damaged("the number of a serial's commit"))?;
        let gave = |c: &Commit| c.serials.iter().any(|(o, _, to)| o == origin && *to == from);
        if !self.commit_row(seq)?.is_some_and(|c| gave(&c)) {
            return Ok(None);
        }
        let mut out = Past::new();
        let whole = self.before(origin, seq, last, &mut out)?;
        Ok((whole && out.len() <= limit).then_some(out))
    }

    /// Adds to `past` the subjects that changed after commit `seq` up to `last`, unless they are in it. False where there
    /// is a barrier for the zone.
    pub fn before(&self, origin: &str, seq: u64, last: u64, past: &mut Past) -> Result<bool> {
        let (mut next, mut barred) = (seq + 1, false);
        self.rows(schema::JOURNAL, &next.to_be_bytes(), &mut |k, v| {
            let at = k.try_into().map(u64::from_be_bytes).map_err(|_| self.damaged("a journal key"))?;
            if at != next || at > last {
                return Ok(false);
            }
            next += 1;
            let commit: Commit = schema::decode(v).ok_or_else(|| self.damaged(&format!("commit {at}")))?;
            barred = commit.barrier && commit.serials.iter().any(|(o, ..)| o == origin);
            for (key, verdict) in commit.before {
                let subject = Subject::from_key(&key).ok_or_else(|| self.damaged("a journal subject"))?;
                past.entry(subject).or_insert(verdict);
            }
            Ok(!barred)
        })?;
        Ok(!barred && next > last)
    }

    /// Of the subjects of a commit that changed after it: where it left each, and the commits that changed it, in order. And
    /// whether anything changed that is too much to list.
    pub fn later(&self, seq: u64, commit: &Commit) -> Result<(HashMap<Vec<u8>, Later>, bool)> {
        let asked: HashSet<&[u8]> = commit.before.iter().map(|(key, _)| &key[..]).collect();
        let (mut out, mut bulk) = (HashMap::<Vec<u8>, Later>::new(), false);
        self.commits(seq + 1, &mut |at, commit| {
            bulk |= commit.bulk;
            for (key, verdict) in commit.before.into_iter().filter(|(key, _)| asked.contains(&key[..])) {
                out.entry(key).or_insert_with(|| (verdict, Vec::new())).1.push(at);
            }
            Ok(true)
        })?;
        Ok((out, bulk))
    }

    /// Visits the commits that the journal has, from `seq` on, until `f` says false.
    pub fn commits(&self, seq: u64, f: &mut dyn FnMut(u64, Commit) -> Result<bool>) -> Result<()> {
        self.rows(schema::JOURNAL, &seq.to_be_bytes(), &mut |k, v| {
            let at = k.try_into().map(u64::from_be_bytes).map_err(|_| self.damaged("a journal key"))?;
            f(at, schema::decode(v).ok_or_else(|| self.damaged(&format!("commit {at}")))?)
        })
    }

    /// A commit by its number.
    pub fn commit_row(&self, seq: u64) -> Result<Option<Commit>> {
        let row = self.get(schema::JOURNAL, &seq.to_be_bytes())?;
        row.map(|r| schema::decode(&r).ok_or_else(|| self.damaged(&format!("commit {seq}")))).transpose()
    }

    /// What changed after commit `seq`, up to the last one.
    pub fn changed_since(&self, seq: u64) -> Result<Since> {
        let last = self.seq()?;
        let mut next = seq + 1;
        let mut out = Vec::new();
        let mut bulk = false;
        self.rows(schema::JOURNAL, &next.to_be_bytes(), &mut |k, v| {
            let at = k.try_into().map(u64::from_be_bytes).map_err(|_| self.damaged("a journal key"))?;
            if at != next || at > last {
                return Ok(false);
            }
            next += 1;
            let commit: Commit = schema::decode(v).ok_or_else(|| self.damaged(&format!("commit {at}")))?;
            bulk |= commit.bulk;
            for (key, _) in commit.before {
                out.push(Subject::from_key(&key).ok_or_else(|| self.damaged("a journal subject"))?);
            }
            Ok(!bulk)
        })?;
        if bulk || next != last + 1 || seq > last {
            return Ok(Since::Everything);
        }
        out.sort();
        out.dedup();
        Ok(Since::Subjects(out))
    }

    /// Bytes ever written to the journal: what the next row counts on from.
    pub fn journal_bytes(&self) -> Result<u64> {
        let seq = self.seq()?;
        Ok(self.commit_row(seq)?.map_or(0, |c| c.bytes))
    }

    /// The rows of old commits and of old feeds' events that may go now, as a batch; `None` where there are none. Commits
    /// behind `imaged` stay: a start needs them.
    pub fn trim(&self, now: Time, imaged: u64) -> Result<Option<Batch>> {
        let (age, size) = (self.settings.journal_age.0, self.settings.journal_size);
        let total = self.journal_bytes()?;
        let last = self.seq()?;
        let mut keep_from = None;
        let mut batch = Batch::default();
        let mut rows = 0;
        self.rows(schema::JOURNAL, &[], &mut |k, v| {
            let at = k.try_into().map(u64::from_be_bytes).map_err(|_| self.damaged("a journal key"))?;
            let commit: Commit = schema::decode(v).ok_or_else(|| self.damaged(&format!("commit {at}")))?;
            let old = commit.at.0 + age < now.0 || total - commit.bytes.min(total) > size;
            rows += 1;
            let goes = old && at < last && at <= imaged && rows <= TRIM_ROWS;
            if goes {
                keep_from = Some(at + 1);
                commit.serials.iter().for_each(|(o, _, to)| batch.delete(schema::META, schema::serial_key(o, *to)));
            }
            Ok(goes)
        })?;
        let oldest = (now.0.saturating_sub(self.settings.churn_age.0) / schema::BUCKET) as u32;
        let mut first = None;
        self.rows(schema::CHURN, &[], &mut |k, _| {
            first = k.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
            Ok(false)
        })?;
        let today = (now.0 / schema::DAY) as u32;
        let mut stale = false;
        self.rows(schema::ONCE, &[], &mut |k, _| {
            stale = k.first_chunk::<4>().is_some_and(|b| u32::from_be_bytes(*b) + 1 < today);
            Ok(false)
        })?;
        if stale {
            batch.delete_range(schema::ONCE, vec![], (today - 1).to_be_bytes().to_vec());
        }
        if let Some(seq) = keep_from {
            batch.delete_range(schema::JOURNAL, vec![0], seq.to_be_bytes().to_vec());
        }
        if first.is_some_and(|f| f < oldest) {
            batch.delete_range(schema::CHURN, vec![0], oldest.to_be_bytes().to_vec());
        }
        Ok((stale || keep_from.is_some() || first.is_some_and(|f| f < oldest)).then_some(batch))
    }
}
