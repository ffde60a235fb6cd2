//! The handle of an open store: all modules read from it, and the ledger commits synced batches.

use std::{
    collections::HashMap,
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use rocksdb::{DB, Direction, IteratorMode, WriteBatch, WriteOptions};
use serde::de::DeserializeOwned;

use super::{
    encoded::EncodedRow,
    integrity::{FoundBy, Integrity},
    schema::{self, FeatureFamily, SourceRecord, ZoneRecord},
};
use crate::model::{
    Event, Hold, Reasons, SourceId, Sources, StoreId, Subject, Time, Verdict, history::EventKind,
};

/// Settings of the store: `[store]` and `[journal]`.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The folder.
    pub path: PathBuf,
    /// How long commits stay in the journal.
    pub journal_age: crate::model::time::Seconds,
    /// How large the journal may grow, in bytes.
    pub journal_size: u64,
    /// How long the history of feeds is kept.
    pub feed_event_age: crate::model::time::Seconds,
    /// How often the whole store is read to find damage; 0 for never.
    pub scrub_interval: crate::model::time::Seconds,
    /// The most bytes of rows that a scrub reads in a second.
    pub scrub_rate: u64,
    /// How many of its table files may be open at the same time.
    pub open_tables: u16,
}

/// Why an operation of the store failed; named by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store {} is open in another process; is an orbsd running on it?", .0.display())]
    Locked(PathBuf),
    /// A newer version wrote the store.
    #[error(
        "the store was written by a newer orbsd (store version {0}; this program supports {version}); run the newer program, or restore an older backup",
        version = schema::VERSION
    )]
    Newer(u32),
    /// An older version wrote the store, and only its upgrade makes it readable.
    #[error(
        "the store was written by an older orbsd (store version {0}; this program reads {version}); start the daemon, which upgrades it",
        version = schema::VERSION
    )]
    Older(u32),
    /// Its data cannot be decoded: restore it from a backup.
    #[error("the store is damaged: {0}; restore it from a backup")]
    Damaged(String),
    /// The disk or the file system failed; the operation may succeed when the cause is removed.
    #[error("the store cannot be read or written: {0}")]
    Io(String),
    /// A value could not be encoded. Nothing was written.
    #[error("a row could not be encoded ({0}); nothing was written; please report this as a bug")]
    Encode(String),
}

impl From<rocksdb::Error> for StoreError {
    fn from(e: rocksdb::Error) -> StoreError {
        match e.kind() {
            rocksdb::ErrorKind::Corruption => StoreError::Damaged(e.into_string()),
            _ => StoreError::Io(e.into_string()),
        }
    }
}

/// The result of reading and writing.
pub type Result<T> = std::result::Result<T, StoreError>;

pub(super) fn damaged(what: impl Display) -> StoreError {
    StoreError::Damaged(format!("{what} cannot be read"))
}

/// The numbered names of reasons and sources, and the records of the sources.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    /// Reasons.
    pub reasons: Reasons,
    /// Sources.
    pub sources: Sources,
    /// By source number.
    pub records: Vec<SourceRecord>,
}

impl Dictionary {
    /// Whether an event with the number `seq` in its key belongs to a commit: its commit is not
    /// after `last`, or a commit has named its generation.
    fn counts(&self, seq: u64, last: u64) -> bool {
        if seq >> 63 == 0 {
            return seq <= last;
        }
        let generation = seq as u32;
        let record = self.records.get((seq >> 32) as usize & 0xffff);
        record.is_some_and(|r| generation <= r.generation && !r.dead.contains(&generation))
    }
    /// The number of a source; a new name gets one.
    ///
    /// # Errors
    ///
    /// There are too many sources, or the name is not valid.
    pub fn add_source(&mut self, name: &str) -> std::result::Result<SourceId, String> {
        let id = self.sources.add(name)?;
        if usize::from(id.0) == self.records.len() {
            self.records.push(SourceRecord {
                name: name.into(),
                ..SourceRecord::default()
            });
        }
        Ok(id)
    }
    /// The feeds that have rows: source and generation.
    pub fn feeds(&self) -> impl Iterator<Item = (SourceId, u32)> {
        let all = self.records.iter().enumerate();
        all.filter(|(_, r)| r.generation > 0)
            .map(|(i, r)| (SourceId(i as u16), r.generation))
    }
}

/// An open store. All modules may read it; only the ledger writes.
pub struct Store {
    pub(super) db: RwLock<Option<DB>>,
    pub(super) settings: StoreSettings,
    pub(super) id: [u8; 16],
    pub(super) dictionary: RwLock<Arc<Dictionary>>,
    /// The record of the store's integrity.
    pub integrity: Integrity,
    /// The last commit that was acknowledged before the store was opened, 0 if unknown; and whether
    /// acknowledged rows are missing.
    pub(super) acknowledged: (u64, bool),
    /// Why the last acknowledged commit is not known; `None` if it is.
    pub(super) unknown_commit: Option<super::UnknownCommit>,
    /// Why the end of the write-ahead log was truncated when the store was opened; `None` if it was
    /// intact.
    pub(super) truncation: Mutex<Option<String>>,
    /// How commits fail in a unit test.
    #[cfg(test)]
    pub(crate) fault: Mutex<Option<CommitFault>>,
}

/// How commits fail in a unit test.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// Nothing is written, and an error is returned.
    NotWritten,
    /// Everything is written, and an error is returned.
    Written,
}

/// Rows that are written together.
#[derive(Default)]
pub struct Batch(Vec<RowWrite>, Vec<RangeDelete>);

/// Family, key and value; `None` removes the row.
type RowWrite = (&'static str, Vec<u8>, Option<EncodedRow>);
/// Family, first key, and the first key after the range.
type RangeDelete = (&'static str, Vec<u8>, Vec<u8>);
/// A visitor: receives the key and value of a row; returns false to end the visit.
pub type RowFn<'f> = &'f mut dyn FnMut(&[u8], &[u8]) -> Result<bool>;

impl Batch {
    /// Puts a row.
    pub fn put(&mut self, family: &'static str, key: Vec<u8>, value: impl Into<EncodedRow>) {
        self.0.push((family, key, Some(value.into())));
    }
    /// Puts a row; without a value, removes it.
    pub fn set(
        &mut self,
        family: &'static str,
        key: Vec<u8>,
        value: Option<impl Into<EncodedRow>>,
    ) {
        self.0.push((family, key, value.map(Into::into)));
    }
    /// Removes a row.
    pub fn delete(&mut self, family: &'static str, key: Vec<u8>) {
        self.0.push((family, key, None));
    }
    /// Removes the rows with keys from `from` (inclusive) to `to` (exclusive).
    pub fn delete_range(&mut self, family: &'static str, from: Vec<u8>, to: Vec<u8>) {
        self.1.push((family, from, to));
    }
    /// Adds the rows of another batch after those of this one.
    pub(super) fn append(&mut self, other: Batch) {
        self.0.extend(other.0);
        self.1.extend(other.1);
    }
}

impl Store {
    /// The current names and sources.
    pub fn dictionary(&self) -> Arc<Dictionary> {
        self.dictionary.read().clone()
    }

    /// The identity of this store.
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The identity of this store in the paths of rows: the first half of [`Store::id`].
    pub fn store_id(&self) -> StoreId {
        self.id.first_chunk().map_or(StoreId::default(), |half| {
            StoreId(u64::from_be_bytes(*half))
        })
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Why the end of the write-ahead log was truncated when the store was opened; `None` if it was
    /// intact.
    pub fn log_truncation(&self) -> Option<String> {
        self.truncation.lock().clone()
    }

    /// Runs `f` on the open database. Damage that it finds is recorded.
    pub(super) fn with<T>(&self, f: impl FnOnce(&DB) -> Result<T>) -> Result<T> {
        let result = match self.db.read().as_ref() {
            Some(db) => f(db),
            None => Err(StoreError::Io(
                "it was closed after an error; the daemon opens it again when the cause is gone"
                    .into(),
            )),
        };
        if let Err(StoreError::Damaged(why)) = &result {
            self.integrity.record(FoundBy::Use, why);
        }
        result
    }

    /// The error for a row that cannot be decoded: damage, which is recorded.
    pub(super) fn damaged(&self, what: impl Display) -> StoreError {
        let error = damaged(what);
        if let StoreError::Damaged(why) = &error {
            self.integrity.record(FoundBy::Use, why);
        }
        error
    }

    pub(super) fn get(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with(|db| Ok(db.get_cf(&cf(db, family)?, key)?))
    }

    /// Reads and decodes a row. `what` names it in an error.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        family: &'static str,
        key: &[u8],
        what: impl Display,
    ) -> Result<Option<T>> {
        let row = self.get(family, key)?;
        row.map(|row| self.decode(&row, what)).transpose()
    }

    /// Decodes a row. `what` names it in an error.
    pub(super) fn decode<T: DeserializeOwned>(&self, row: &[u8], what: impl Display) -> Result<T> {
        schema::decode(row).ok_or_else(|| self.damaged(what))
    }

    /// Reads the bytes of a number in the family `meta`. `what` names it in an error.
    pub(super) fn read_number<const N: usize>(
        &self,
        key: &[u8],
        what: &str,
    ) -> Result<Option<[u8; N]>> {
        let row = self.get(schema::META, key)?;
        row.map(|row| row.try_into().map_err(|_| self.damaged(what)))
            .transpose()
    }

    /// Decodes a key that is a number.
    pub(super) fn number(&self, key: &[u8], what: &str) -> Result<u64> {
        key.try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| self.damaged(what))
    }

    /// Decodes the subject in a key.
    pub(super) fn subject(&self, key: &[u8], what: &str) -> Result<Subject> {
        Subject::from_key(key).ok_or_else(|| self.damaged(what))
    }

    /// Visits the rows of a family from `from` on, until `f` returns false.
    pub(super) fn rows(&self, family: &'static str, from: &[u8], f: RowFn) -> Result<()> {
        self.visit(family, from, Direction::Forward, f)
    }

    /// Visits the rows of a family in one direction from `from` on, until `f` returns false.
    fn visit(&self, family: &str, from: &[u8], direction: Direction, f: RowFn) -> Result<()> {
        self.with(|db| {
            #[cfg(test)]
            super::tests::count_iterator();
            for row in db.iterator_cf(&cf(db, family)?, IteratorMode::From(from, direction)) {
                let (key, value) = row?;
                if !f(&key, &value)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Visits the rows whose keys begin with a prefix, until `f` returns false. `f` receives the
    /// rest of the key.
    pub(super) fn rows_under(&self, family: &'static str, prefix: &[u8], f: RowFn) -> Result<()> {
        self.rows(
            family,
            prefix,
            &mut |key, value| match key.strip_prefix(prefix) {
                Some(rest) => f(rest, value),
                None => Ok(false),
            },
        )
    }

    /// The first `N` bytes of the first key of a family from `from` on; `None` if there is no row.
    pub(super) fn first_key<const N: usize>(
        &self,
        family: &'static str,
        from: &[u8],
    ) -> Result<Option<[u8; N]>> {
        let mut found = None;
        self.rows(family, from, &mut |key, _| {
            found = key.first_chunk().copied();
            Ok(false)
        })?;
        Ok(found)
    }

    /// The different first `N` bytes of the keys of a family, in order: one read for each.
    pub(super) fn key_prefixes<const N: usize>(
        &self,
        family: &'static str,
    ) -> Result<Vec<[u8; N]>> {
        let (mut out, mut from) = (Vec::new(), Vec::new());
        while let Some(prefix) = self.first_key::<N>(family, &from)? {
            from = schema::after(&prefix);
            out.push(prefix);
        }
        Ok(out)
    }

    /// The number of the last commit.
    pub fn seq(&self) -> Result<u64> {
        let seq = self.read_number(b"seq", "the sequence number")?;
        Ok(seq.map_or(0, u64::from_be_bytes))
    }

    /// The verdict of a subject, with the entries of feeds.
    pub fn verdict(&self, subject: &Subject) -> Result<Verdict> {
        self.verdict_in(&self.dictionary(), subject)
    }

    /// The verdict of a subject, with the feeds' generations of `dictionary`.
    pub fn verdict_in(&self, dictionary: &Dictionary, subject: &Subject) -> Result<Verdict> {
        let mut out = self.own_verdict(subject)?;
        for (source, generation) in dictionary.feeds() {
            let entries = self.feed_row(source, generation, subject)?;
            entries.into_iter().for_each(|e| out.put(e.entry(source)));
        }
        Ok(out)
    }

    /// All events of a subject, in order.
    pub fn history(&self, subject: &Subject) -> Result<Vec<Event>> {
        let mut out: Vec<(u64, u32, Event)> = Vec::new();
        let key = subject.key();
        let mut read_family = |prefix: &[u8], family| {
            self.rows_under(family, prefix, &mut |tail, v| {
                // A key with more bytes is that of another subject.
                if let Some((seq, place)) = tail.split_first_chunk()
                    && let Ok(place) = place.try_into()
                {
                    let event = self.decode(v, format_args!("an event of {subject}"))?;
                    out.push((u64::from_be_bytes(*seq), u32::from_be_bytes(place), event));
                }
                Ok(true)
            })
        };
        for bucket in self.key_prefixes::<4>(schema::FEED_EVENTS)? {
            read_family(&[&bucket[..], &key].concat(), schema::FEED_EVENTS)?;
        }
        read_family(&key, schema::EVENTS)?;
        let seq = self.seq()?;
        let dictionary = self.dictionary();
        out.retain(|(s, ..)| dictionary.counts(*s, seq));
        Ok(with_ends(in_order(out).into_iter(), &dictionary))
    }

    /// Returns those of some subjects that have events. The subjects that could cover an address are
    /// many, and hardly any of them is there: a read of one tells about all that would precede it.
    pub fn with_history(&self, subjects: &[Subject]) -> Result<Vec<Subject>> {
        let mut keys: Vec<(Vec<u8>, usize)> = subjects
            .iter()
            .enumerate()
            .map(|(i, s)| (s.key(), i))
            .collect();
        keys.sort_unstable();
        let mut found = vec![false; subjects.len()];
        let mut mark = |family: &str, bucket: &[u8]| {
            self.with(|db| {
                let mut rows = db.raw_iterator_cf(&cf(db, family)?);
                let mut at = 0;
                while let Some((key, subject)) = keys.get(at) {
                    rows.seek([bucket, key].concat());
                    let Some(row) = rows.key().and_then(|row| row.strip_prefix(bucket)) else {
                        break;
                    };
                    if row
                        .strip_prefix(&key[..])
                        .is_some_and(|tail| tail.len() == 12)
                    {
                        found[*subject] = true;
                    }
                    // A key that is less than the row that was found has no rows.
                    let row = row.to_vec();
                    at += 1;
                    while keys
                        .get(at)
                        .is_some_and(|(k, _)| **k < *row && !row.starts_with(k))
                    {
                        at += 1;
                    }
                }
                Ok(rows.status()?)
            })
        };
        for bucket in self.key_prefixes::<4>(schema::FEED_EVENTS)? {
            mark(schema::FEED_EVENTS, &bucket)?;
        }
        mark(schema::EVENTS, &[])?;
        let all = subjects.iter().zip(found);
        Ok(all.filter(|(_, f)| *f).map(|(s, _)| s.clone()).collect())
    }

    /// The subjects that are due at `now` (a listing, hold or exemption of theirs ends), with their
    /// due dates, in the order of these: at most `limit`, and only those after `last`.
    pub fn due(
        &self,
        last: Option<&(Time, Subject)>,
        now: Time,
        limit: usize,
    ) -> Result<Vec<(Time, Subject)>> {
        let mut out = Vec::new();
        // The first key after one is the same with a zero byte.
        let from = last.map_or(Vec::new(), |(at, subject)| {
            [schema::due_key(*at, subject), vec![0]].concat()
        });
        self.rows(schema::DUE, &from, &mut |k, _| {
            let (at, key) = k
                .split_first_chunk()
                .ok_or_else(|| self.damaged("a due date"))?;
            let at = Time(u64::from_be_bytes(*at));
            if at > now || out.len() >= limit {
                return Ok(false);
            }
            out.push((at, self.subject(key, "a due date")?));
            Ok(true)
        })?;
        Ok(out)
    }

    /// The next due date; `None` if nothing ends.
    pub fn next_due(&self) -> Result<Option<Time>> {
        let first = self.first_key(schema::DUE, &[])?;
        Ok(first.map(|at| Time(u64::from_be_bytes(at))))
    }

    /// The subjects that have a hold of a source.
    pub fn held(&self, source: SourceId) -> Result<Vec<Subject>> {
        let mut out = Vec::new();
        self.rows_under(schema::HOLDS, &source.0.to_be_bytes(), &mut |key, _| {
            out.push(self.subject(key, "a hold")?);
            Ok(true)
        })?;
        Ok(out)
    }

    /// The subjects that have a hold of a source or of all sources, with all their holds.
    pub fn holds_on(&self, source: Option<SourceId>) -> Result<HashMap<Subject, Vec<Hold>>> {
        let mut out = HashMap::new();
        for source in source.into_iter().chain([SourceId::ALL]) {
            for subject in self.held(source)? {
                let holds = self.own_verdict(&subject)?.holds;
                out.insert(subject, holds);
            }
        }
        Ok(out)
    }

    /// The stored part of a subject's verdict, without entries of feeds.
    fn own_verdict(&self, subject: &Subject) -> Result<Verdict> {
        let what = format_args!("the verdict of {subject}");
        let stored = self.read(schema::VERDICTS, &subject.key(), what)?;
        Ok(stored.unwrap_or_default())
    }

    /// The outcome of an idempotent request; `None` if no request with this key was stored.
    pub fn stored_receipt(
        &self,
        now: Time,
        key: &[u8; 16],
    ) -> Result<Option<schema::StoredReceipt>> {
        self.read_idempotent(
            now,
            |day| schema::idempotency_key(day, key),
            "the outcome of a request",
        )
    }

    /// The stored answer to an idempotent request: a hash of the request, the status, and the body;
    /// `None` if no request with this key was stored.
    pub fn answer(&self, now: Time, key: &[u8; 16]) -> Result<Option<(u64, u16, String)>> {
        self.read_idempotent(
            now,
            |day| schema::answer_key(day, key),
            "the answer to a request",
        )
    }

    /// Reads a row of an idempotent request that was stored today or yesterday.
    fn read_idempotent<T: DeserializeOwned>(
        &self,
        now: Time,
        key: impl Fn(Time) -> Vec<u8>,
        what: &str,
    ) -> Result<Option<T>> {
        let yesterday = Time(now.0.saturating_sub(schema::DAY));
        match self.read(schema::IDEMPOTENCY, &key(now), what)? {
            None => self.read(schema::IDEMPOTENCY, &key(yesterday), what),
            found => Ok(found),
        }
    }

    /// A row of a feature.
    pub fn feature_row(&self, family: FeatureFamily, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get(family.name(), key)
    }

    /// Visits the rows of a feature whose keys begin with a prefix, from `from` on, until `f`
    /// returns false.
    pub fn feature_rows(
        &self,
        family: FeatureFamily,
        prefix: &[u8],
        from: &[u8],
        f: RowFn,
    ) -> Result<()> {
        let from = if from < prefix { prefix } else { from };
        self.rows(family.name(), from, &mut |k, v| {
            Ok(k.starts_with(prefix) && f(k, v)?)
        })
    }

    /// The families that have a row with these bytes.
    #[cfg(test)]
    pub fn families_with(&self, bytes: &[u8]) -> Result<Vec<&'static str>> {
        let mut out = Vec::new();
        for family in schema::FAMILIES {
            let has = |row: &[u8]| row.windows(bytes.len()).any(|w| w == bytes);
            self.rows(family, &[], &mut |k, v| {
                if has(k) || has(v) {
                    out.push(family);
                    return Ok(false);
                }
                Ok(true)
            })?;
        }
        Ok(out)
    }

    /// Rewrites the files of the family of tickets, so that erased rows are gone from them.
    pub fn compact_tickets(&self) -> Result<()> {
        self.with(|db| {
            let family = cf(db, FeatureFamily::Tickets.name())?;
            db.flush_cf(&family)?;
            db.compact_range_cf(&family, None::<&[u8]>, None::<&[u8]>);
            Ok(())
        })
    }

    /// Visits the rows of a feature whose keys begin with a prefix and are less than `before`, in
    /// descending order, until `f` returns false.
    pub fn feature_rows_desc(
        &self,
        family: FeatureFamily,
        prefix: &[u8],
        before: &[u8],
        f: RowFn,
    ) -> Result<()> {
        self.visit(family.name(), before, Direction::Reverse, &mut |k, v| {
            Ok(k >= before || (k.starts_with(prefix) && f(k, v)?))
        })
    }

    /// Keys and values of the family `people`: users, tokens and other named values.
    pub fn account_rows(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut out = Vec::new();
        self.rows(schema::ACCOUNTS, &[], &mut |k, v| {
            out.push((k.to_vec(), v.to_vec()));
            Ok(true)
        })?;
        Ok(out)
    }

    /// Visits the audit records with numbers up to `from`, in descending order, until `f` returns
    /// false.
    pub fn audit(
        &self,
        from: u64,
        f: &mut dyn FnMut(u64, schema::AuditRecord) -> bool,
    ) -> Result<()> {
        let from = from.to_be_bytes();
        self.visit(schema::AUDIT, &from, Direction::Reverse, &mut |k, v| {
            let number = self.number(k, "an audit record")?;
            Ok(f(
                number,
                self.decode(v, format_args!("audit record {number}"))?,
            ))
        })
    }

    /// The audit records of a commit.
    pub fn audit_of(&self, seq: u64) -> Result<Vec<schema::AuditRecord>> {
        let mut out = Vec::new();
        self.audit(u64::MAX, &mut |_, line| {
            let is_older = line.commit.is_some_and(|c| c < seq);
            out.extend(Some(line).filter(|l| l.commit == Some(seq)));
            !is_older
        })?;
        Ok(out)
    }

    /// The number of the last audit record; 0 if there is none.
    pub fn audited(&self) -> Result<u64> {
        let mut last = 0;
        self.visit(
            schema::AUDIT,
            &[u8::MAX; 8],
            Direction::Reverse,
            &mut |k, _| {
                last = self.number(k, "an audit record")?;
                Ok(false)
            },
        )?;
        Ok(last)
    }

    /// The last accepted list of a source; `None` if no list was compared yet.
    pub fn accepted_list(&self, source: SourceId) -> Result<Option<schema::AcceptedList>> {
        let what = "the shape of a source's last list";
        self.read(schema::META, &schema::accepted_key(source), what)
    }

    /// Visits the messages of the outbox from `from` on, in order, until `f` returns false.
    pub fn outbox(&self, from: &[u8], f: RowFn) -> Result<()> {
        self.rows(schema::OUTBOX, from, f)
    }

    /// A message of the outbox.
    pub fn outbox_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get(schema::OUTBOX, key)
    }

    /// The origins of all zones that were ever served, with their records.
    pub fn zones(&self) -> Result<Vec<(String, ZoneRecord)>> {
        let mut out = Vec::new();
        self.rows_under(schema::META, b"zone/", &mut |origin, v| {
            let origin = String::from_utf8_lossy(origin).into_owned();
            let record = self.decode(v, format_args!("the record of zone {origin}"))?;
            out.push((origin, record));
            Ok(true)
        })?;
        Ok(out)
    }

    /// The record of a zone.
    pub fn zone(&self, origin: &str) -> Result<Option<ZoneRecord>> {
        let what = format_args!("the record of zone {origin}");
        self.read(schema::META, format!("zone/{origin}").as_bytes(), what)
    }

    /// Writes a batch and syncs it to disk.
    ///
    /// # Errors
    ///
    /// A value could not be encoded: nothing was written. Or the disk failed: the batch may have
    /// been written, and the caller has to read the store to find out.
    pub fn commit(&self, batch: Batch) -> Result<()> {
        #[cfg(test)]
        self.fail_as(CommitFault::NotWritten)?;
        let number = |(family, key, value): &RowWrite| {
            let is_seq = *family == schema::META && key == b"seq";
            let value = value
                .as_ref()
                .filter(|_| is_seq)?
                .clone()
                .into_bytes()
                .ok()?;
            value.first_chunk().map(|n| u64::from_be_bytes(*n))
        };
        let commit = batch.0.iter().rev().find_map(number);
        self.with(|db| {
            let mut out = WriteBatch::default();
            for (family, from, to) in batch.1 {
                out.delete_range_cf(&cf(db, family)?, from, to);
            }
            for (family, key, value) in batch.0 {
                match value.map(EncodedRow::into_bytes).transpose() {
                    Err(e) => return Err(StoreError::Encode(format!("family {family}: {e}"))),
                    Ok(Some(v)) => out.put_cf(&cf(db, family)?, key, v),
                    Ok(None) => out.delete_cf(&cf(db, family)?, key),
                }
            }
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            db.write_opt(out, &synced)?;
            self.integrity
                .acknowledge(commit, db.latest_sequence_number());
            #[cfg(test)]
            self.fail_as(CommitFault::Written)?;
            Ok(())
        })
    }

    /// Fails if a test has requested this fault.
    #[cfg(test)]
    fn fail_as(&self, fault: CommitFault) -> Result<()> {
        match *self.fault.lock() == Some(fault) {
            true => Err(StoreError::Io("fault of a test".into())),
            false => Ok(()),
        }
    }

    /// Flushes the write buffers into table files, so that the next start has no log to replay.
    pub fn flush(&self) -> Result<()> {
        self.with(|db| {
            for family in schema::FAMILIES {
                db.flush_cf(&cf(db, family)?)?;
            }
            Ok(())
        })
    }

    /// Replaces the dictionary after its rows were committed; only the ledger calls it.
    pub fn set_dictionary(&self, v: Dictionary) {
        *self.dictionary.write() = Arc::new(v);
    }
}

/// Sorts events by their commits, so that a clock step does not change the order. An event that was
/// staged before its commit had a number is sorted by its time, before the other events of the same
/// second.
fn in_order(mut all: Vec<(u64, u32, Event)>) -> Vec<Event> {
    all.sort_by_key(|(seq, place, _)| (*seq, *place));
    let split = all.partition_point(|(seq, ..)| seq >> 63 == 0);
    let mut staged: Vec<Event> = all.split_off(split).into_iter().map(|(.., e)| e).collect();
    staged.sort_by_key(|e| e.at);
    let (mut staged, mut out, mut latest) = (staged.into_iter().peekable(), Vec::new(), Time(0));
    for (.., e) in all {
        latest = latest.max(e.at);
        while let Some(s) = staged.next_if(|s| s.at <= latest) {
            out.push(s);
        }
        out.push(e);
    }
    out.extend(staged);
    out
}

/// Adds the events that the ends of whole feeds imply to the events of a subject.
fn with_ends(events: impl Iterator<Item = Event>, dictionary: &Dictionary) -> Vec<Event> {
    let mut ends: Vec<(Time, SourceId)> = Vec::new();
    for (i, r) in dictionary.records.iter().enumerate() {
        ends.extend(r.ends.iter().map(|t| (*t, SourceId(i as u16))));
    }
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let (mut out, mut verdict) = (Vec::new(), Verdict::default());
    let mut end = |upto: Option<Time>, verdict: &mut Verdict, out: &mut Vec<Event>| {
        while let Some((at, source)) = ends.next_if(|(t, _)| upto.is_none_or(|u| *t < u)) {
            let reasons: Vec<_> = verdict
                .entries
                .iter()
                .filter(|e| e.source == source)
                .map(|e| e.reason)
                .collect();
            for reason in reasons {
                let what = EventKind::Expired { reason, source };
                verdict.fold(at, &what);
                out.push(Event {
                    at,
                    author: dictionary.sources.name(source).into(),
                    kind: what,
                    evidence: None,
                });
            }
        }
    };
    for e in events {
        end(Some(e.at), &mut verdict, &mut out);
        verdict.fold(e.at, &e.kind);
        out.push(e);
    }
    end(None, &mut verdict, &mut out);
    out
}

/// Adds the rows of a dictionary to a batch.
pub fn dictionary_rows(v: &Dictionary, batch: &mut Batch) {
    let mut put = |key: &[u8], value| batch.put(schema::META, key.to_vec(), value);
    put(b"reasons", schema::encode(&v.reasons.0.all()));
    put(b"sources", schema::encode(&v.records));
}

/// A column family of an open database.
pub(super) fn cf<'a>(db: &'a DB, family: &str) -> Result<&'a rocksdb::ColumnFamily> {
    db.cf_handle(family)
        .ok_or_else(|| StoreError::Damaged(format!("the column family `{family}` is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReasonId;

    #[test]
    fn history_is_in_commit_order_when_the_clock_steps_back() {
        let event = |at: u64, what| Event {
            at: Time(at),
            author: "t".into(),
            kind: what,
            evidence: None,
        };
        let (reason, source) = (ReasonId(0), SourceId(3));
        let all = vec![
            (
                1u64 << 63 | 7,
                0,
                event(14, EventKind::Dropped { reason, source }),
            ),
            (
                1 << 63 | 5,
                0,
                event(10, EventKind::HoldEnded { reason, source }),
            ),
            (2, 0, event(7, EventKind::ExemptEnded)),
            (1, 1, event(10, EventKind::Exempted { until: None })),
            (1, 0, event(10, EventKind::Delisted { reason, source })),
        ];
        let at: Vec<u64> = in_order(all.clone()).iter().map(|e| e.at.0).collect();
        assert_eq!(at, [10, 10, 10, 7, 14]);
        let mut verdict = Verdict::default();
        let ordered = in_order(all);
        assert_eq!(
            ordered[0].kind,
            EventKind::HoldEnded { reason, source },
            "a staged event comes first in its second"
        );
        ordered.iter().for_each(|e| verdict.fold(e.at, &e.kind));
        assert!(verdict.exempt.is_none());
    }
}
