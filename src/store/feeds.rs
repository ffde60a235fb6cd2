//! Reads the rows of all feeds in key order at once: for a full build of the index, and for many
//! subjects.

use rocksdb::{DB, DBRawIterator, ReadOptions};

use super::{Dictionary, Result, Store, StoreError, cf, damaged, schema};
use crate::model::{Event, SourceId, Subject, Verdict};
use schema::FeedEntry;

/// Receives a subject's key, the subject and its verdict; returns whether to continue.
type VerdictFn<'a> = &'a mut dyn FnMut(&[u8], Subject, Verdict) -> Result<bool>;

/// A cursor over one family's rows under a prefix.
pub(super) struct Cursor<'a> {
    rows: DBRawIterator<'a>,
    prefix: Vec<u8>,
    /// The source of these rows; `None` for the rows of the family `verdicts`.
    source: Option<SourceId>,
}

/// A cursor that has to move further than this many rows seeks, because that is cheaper.
const STEPS: usize = 16;

impl<'a> Cursor<'a> {
    pub(super) fn new(
        db: &'a DB,
        family: &str,
        prefix: Vec<u8>,
        source: Option<SourceId>,
    ) -> Result<Cursor<'a>> {
        #[cfg(test)]
        super::tests::count_iterator();
        let mut o = ReadOptions::default();
        o.set_readahead_size(1 << 20);
        o.fill_cache(false);
        if !prefix.is_empty() {
            o.set_iterate_upper_bound(schema::after(&prefix));
        }
        let mut rows = db.raw_iterator_cf_opt(&cf(db, family)?, o);
        rows.seek(&prefix);
        Ok(Cursor {
            rows,
            prefix,
            source,
        })
    }

    /// Goes to the first row at or after `key`, in either direction.
    pub(super) fn seek(&mut self, key: &[u8]) {
        self.rows.seek([&self.prefix, key].concat());
    }

    /// The subject's key of the current row.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.rows.key().map(|k| &k[self.prefix.len()..])
    }

    pub(super) fn value(&self) -> &[u8] {
        self.rows.value().unwrap_or(&[])
    }

    pub(super) fn next(&mut self) {
        self.rows.next();
    }

    /// Goes forward to the first row at or after `key`.
    fn advance(&mut self, key: &[u8]) {
        for _ in 0..STEPS {
            match self.key() {
                Some(k) if k < key => self.rows.next(),
                _ => return,
            }
        }
        self.rows.seek([&self.prefix, key].concat());
    }

    /// Returns the events of a subject, by its key, in the order of their commits. The keys have to
    /// ascend from call to call; none is the beginning of another one.
    fn events(&mut self, key: &[u8]) -> Result<Vec<Event>> {
        self.advance(key);
        let mut out = Vec::new();
        while self.key().is_some_and(|row| row.starts_with(key)) {
            out.push(schema::decode(self.value()).ok_or_else(|| damaged("an event"))?);
            self.next();
        }
        Ok(out)
    }

    /// Returns the error at which reading stopped, if it was not the end.
    pub(super) fn check(&self) -> Result<()> {
        self.rows.status().map_err(Into::into)
    }

    /// Adds the current row to a verdict.
    fn join(&self, verdict: &mut Verdict) -> Result<()> {
        match self.source {
            Some(source) => {
                let entries =
                    schema::read_feed(self.value()).ok_or_else(|| damaged("a feed's row"))?;
                entries
                    .into_iter()
                    .for_each(|e| verdict.put(e.entry(source)));
            }
            None => {
                // The rows of this family come first, so the verdict has no entries yet.
                *verdict = schema::decode(self.value()).ok_or_else(|| damaged("a verdict"))?;
            }
        }
        Ok(())
    }
}

impl Store {
    fn cursors<'a>(&self, db: &'a DB, dictionary: &Dictionary) -> Result<Vec<Cursor<'a>>> {
        let mut out = vec![Cursor::new(db, schema::VERDICTS, vec![], None)?];
        for (source, generation) in dictionary.feeds() {
            out.push(Cursor::new(
                db,
                schema::FEEDS,
                schema::feed_prefix(source, generation),
                Some(source),
            )?);
        }
        Ok(out)
    }

    /// Visits the verdict of every subject that has one, in order, with the feeds' generations of
    /// `dictionary`.
    pub fn scan(
        &self,
        dictionary: &Dictionary,
        f: &mut dyn FnMut(Subject, Verdict) -> Result<()>,
    ) -> Result<()> {
        self.scan_range(dictionary, &[], &[u8::MAX; 32], &mut |s, v| {
            f(s, v).map(|()| true)
        })
        .map(drop)
    }

    /// Visits, in order, the verdicts of the subjects whose keys are `from` or later and before
    /// `to`, until `f` returns false. Returns whether it reached the end.
    pub fn scan_range(
        &self,
        dictionary: &Dictionary,
        from: &[u8],
        to: &[u8],
        f: &mut dyn FnMut(Subject, Verdict) -> Result<bool>,
    ) -> Result<bool> {
        self.with(|db| {
            self.scan_keys(db, dictionary, [from, to], &mut |_, subject, verdict| {
                f(subject, verdict)
            })
        })
    }

    /// Visits, in order, the verdicts of the subjects whose keys are `from` or later, each with the
    /// events of the subject that are not those of feeds, until `f` returns false. Returns whether
    /// it reached the end.
    pub fn scan_with_events(
        &self,
        dictionary: &Dictionary,
        from: &[u8],
        f: &mut dyn FnMut(Subject, Verdict, Vec<Event>) -> Result<bool>,
    ) -> Result<bool> {
        self.with(|db| {
            let mut rows = Cursor::new(db, schema::EVENTS, vec![], None)?;
            let keys = [from, &[u8::MAX; 32]];
            let is_complete =
                self.scan_keys(db, dictionary, keys, &mut |key, subject, verdict| {
                    let events = rows.events(key)?;
                    f(subject, verdict, events)
                })?;
            rows.check()?;
            Ok(is_complete)
        })
    }

    /// Visits, in order, the verdicts of the subjects whose keys are `from` or later and before
    /// `to`, each with its key, until `f` returns false. Returns whether it reached the end.
    fn scan_keys(
        &self,
        db: &DB,
        dictionary: &Dictionary,
        [from, to]: [&[u8]; 2],
        f: VerdictFn<'_>,
    ) -> Result<bool> {
        let mut cursors = self.cursors(db, dictionary)?;
        if !from.is_empty() {
            cursors.iter_mut().for_each(|c| c.seek(from));
        }
        while let Some(key) = cursors
            .iter()
            .filter_map(Cursor::key)
            .min()
            .map(<[u8]>::to_vec)
        {
            if *key >= *to {
                break;
            }
            let subject = self.subject(&key, "a subject's key")?;
            let mut verdict = Verdict::default();
            for c in cursors.iter_mut().filter(|c| c.key() == Some(&key)) {
                c.join(&mut verdict)?;
                c.next();
            }
            if !f(&key, subject, verdict)? {
                return Ok(false);
            }
        }
        cursors.iter().try_for_each(Cursor::check)?;
        Ok(true)
    }

    /// Visits, in order, the subjects after `after` that have entries of sources other than feeds,
    /// an exemption or holds, with these, until `f` returns false. Returns whether it reached the
    /// end.
    pub fn decided(
        &self,
        after: Option<&Subject>,
        f: &mut dyn FnMut(Subject, Verdict) -> Result<bool>,
    ) -> Result<bool> {
        let mut is_complete = true;
        let from = after.map(Subject::key).unwrap_or_default();
        self.rows(schema::VERDICTS, &from, &mut |key, row| {
            if after.is_some() && *key == *from {
                return Ok(true);
            }
            let subject = self.subject(key, "a subject's key")?;
            let own = self.decode(row, format_args!("the verdict of {subject}"))?;
            is_complete = f(subject, own)?;
            Ok(is_complete)
        })?;
        Ok(is_complete)
    }

    /// Visits, in order, the verdicts of the subjects whose rows differ between two generations of a
    /// source: the one before and the one that `dictionary` has.
    pub fn changed_verdicts(
        &self,
        dictionary: &Dictionary,
        source: SourceId,
        before: u32,
        f: &mut dyn FnMut(Subject, Verdict) -> Result<()>,
    ) -> Result<()> {
        let after = dictionary
            .records
            .get(usize::from(source.0))
            .map_or(0, |r| r.generation);
        self.with(|db| {
            let rows = |generation| {
                let prefix = schema::feed_prefix(source, generation);
                Cursor::new(db, schema::FEEDS, prefix, Some(source))
            };
            let (mut old, mut new) = (rows(before)?, rows(after)?);
            let mut others = self.cursors(db, dictionary)?;
            others.retain(|c| c.source != Some(source));
            let mut key = Vec::new();
            while let Some(next) = old.key().into_iter().chain(new.key()).min() {
                key.clear();
                key.extend(next);
                let [is_old, is_new] = [&old, &new].map(|rows| rows.key() == Some(&key));
                if !(is_old && is_new && old.value() == new.value()) {
                    let mut verdict = Verdict::default();
                    for c in &mut others {
                        c.advance(&key);
                        if c.key() == Some(&key) {
                            c.join(&mut verdict)?;
                        }
                    }
                    if is_new {
                        new.join(&mut verdict)?;
                    }
                    f(self.subject(&key, "a feed's key")?, verdict)?;
                }
                for (rows, is_here) in [(&mut old, is_old), (&mut new, is_new)] {
                    if is_here {
                        rows.next();
                    }
                }
            }
            others
                .iter()
                .chain([&old, &new])
                .try_for_each(Cursor::check)
        })
    }

    /// Visits the verdicts of the given subjects, which have to be in order, with the feeds'
    /// generations of `dictionary`.
    pub fn verdicts<'s>(
        &self,
        dictionary: &Dictionary,
        subjects: impl IntoIterator<Item = &'s Subject>,
        f: &mut dyn FnMut(&Subject, Verdict) -> Result<()>,
    ) -> Result<()> {
        self.with(|db| {
            let mut cursors = self.cursors(db, dictionary)?;
            for subject in subjects {
                let key = subject.key();
                let mut verdict = Verdict::default();
                for c in &mut cursors {
                    c.advance(&key);
                    if c.key() == Some(&key) {
                        c.join(&mut verdict)?;
                    }
                }
                f(subject, verdict)?;
            }
            cursors.iter().try_for_each(Cursor::check)
        })
    }
}

impl Store {
    /// The row of a subject in a generation of a source.
    pub(super) fn stored_feed_row(
        &self,
        source: SourceId,
        generation: u32,
        subject: &Subject,
    ) -> Result<Option<Vec<u8>>> {
        let mut key = schema::feed_prefix(source, generation);
        subject.write_key(&mut key);
        self.get(schema::FEEDS, &key)
    }

    /// The entries for a subject in a generation of a source.
    pub fn feed_row(
        &self,
        source: SourceId,
        generation: u32,
        subject: &Subject,
    ) -> Result<Vec<FeedEntry>> {
        match self.stored_feed_row(source, generation, subject)? {
            None => Ok(Vec::new()),
            Some(row) => schema::read_feed(&row)
                .ok_or_else(|| self.damaged(format_args!("a feed's row of {subject}"))),
        }
    }

    /// Visits the rows of a generation of a source, until `f` returns false.
    pub fn feed_scan<E: From<StoreError>>(
        &self,
        source: SourceId,
        generation: u32,
        f: &mut dyn FnMut(Subject, Vec<FeedEntry>) -> std::result::Result<bool, E>,
    ) -> std::result::Result<(), E> {
        let mut visited = Ok(true);
        self.with(|db| {
            let prefix = schema::feed_prefix(source, generation);
            let mut rows = Cursor::new(db, schema::FEEDS, prefix, Some(source))?;
            while let Some(key) = rows.key().filter(|_| matches!(visited, Ok(true))) {
                let subject = self.subject(key, "a feed's key")?;
                let entries =
                    schema::read_feed(rows.value()).ok_or_else(|| self.damaged("a feed's row"))?;
                visited = f(subject, entries);
                rows.next();
            }
            rows.check()
        })?;
        visited.map(drop)
    }

    /// The rows of a generation of a source, at most `limit`.
    pub fn feed_rows(
        &self,
        source: SourceId,
        generation: u32,
        limit: usize,
    ) -> Result<Vec<(Subject, Vec<FeedEntry>)>> {
        let mut out = Vec::new();
        self.feed_scan(source, generation, &mut |subject, entries| {
            out.push((subject, entries));
            Result::Ok(out.len() < limit)
        })?;
        Ok(out)
    }
}
