//! Feeds' rows read in order, all sources side by side: for a full build, and for many subjects at once.

use rocksdb::{DB, DBRawIterator, ReadOptions};

use super::{Result, Store, cf, damaged, schema};
use crate::model::{SourceId, Subject, Verdict};

/// A place in one family's rows under a prefix.
pub(super) struct Cursor<'a> {
    rows: DBRawIterator<'a>,
    prefix: Vec<u8>,
    /// Whose rows these are; `None` for verdicts decided one by one.
    source: Option<SourceId>,
}

/// Past this many steps a jump is cheaper.
const STEPS: usize = 16;

impl<'a> Cursor<'a> {
    pub(super) fn new(db: &'a DB, family: &str, prefix: Vec<u8>, source: Option<SourceId>) -> Result<Cursor<'a>> {
        let mut o = ReadOptions::default();
        o.set_readahead_size(1 << 20);
        o.fill_cache(false);
        if !prefix.is_empty() {
            o.set_iterate_upper_bound(schema::after(&prefix));
        }
        let mut rows = db.raw_iterator_cf_opt(&cf(db, family)?, o);
        rows.seek(&prefix);
        Ok(Cursor { rows, prefix, source })
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

    /// Goes on to the first row at or behind `key`.
    fn advance(&mut self, key: &[u8]) {
        for _ in 0..STEPS {
            match self.key() {
                Some(k) if k < key => self.rows.next(),
                _ => return,
            }
        }
        self.rows.seek([&self.prefix, key].concat());
    }

    /// Reading stops at the end and at an error alike; this tells which.
    pub(super) fn check(&self) -> Result<()> {
        self.rows.status().map_err(Into::into)
    }

    /// Joins the current row to a verdict.
    fn join(&self, verdict: &mut Verdict) -> Result<()> {
        match self.source {
            Some(source) => {
                let entries = schema::read_feed(self.value()).ok_or_else(|| damaged("a feed's row"))?;
                entries.into_iter().for_each(|e| verdict.put(e.entry(source)));
            }
            None => {
                let own: schema::Own = schema::decode(self.value()).ok_or_else(|| damaged("a verdict"))?;
                own.entries.into_iter().for_each(|e| verdict.put(e));
                (verdict.exempt, verdict.holds) = (own.exempt, own.holds);
            }
        }
        Ok(())
    }
}

impl Store {
    fn cursors<'a>(&self, db: &'a DB) -> Result<Vec<Cursor<'a>>> {
        let mut out = vec![Cursor::new(db, schema::VERDICTS, vec![], None)?];
        for (source, generation) in self.vocabulary().feeds() {
            out.push(Cursor::new(db, schema::FEEDS, schema::feed_prefix(source, generation), Some(source))?);
        }
        Ok(out)
    }

    /// Visits the verdict of every subject that has one, in order.
    pub fn scan(&self, f: &mut dyn FnMut(Subject, Verdict) -> Result<()>) -> Result<()> {
        self.with(|db| {
            let mut cursors = self.cursors(db)?;
            while let Some(key) = cursors.iter().filter_map(Cursor::key).min().map(<[u8]>::to_vec) {
                let subject = Subject::from_key(&key).ok_or_else(|| damaged("a subject's key"))?;
                let mut verdict = Verdict::default();
                for c in cursors.iter_mut().filter(|c| c.key() == Some(&key)) {
                    c.join(&mut verdict)?;
                }
                for c in cursors.iter_mut() {
                    if c.key() == Some(&key) {
                        c.next();
                    }
                }
                f(subject, verdict)?;
            }
            cursors.iter().try_for_each(Cursor::check)
        })
    }

    /// Visits the verdicts of some subjects, which are in order.
    pub fn verdicts(&self, subjects: &[Subject], f: &mut dyn FnMut(&Subject, Verdict) -> Result<()>) -> Result<()> {
        self.with(|db| {
            let mut cursors = self.cursors(db)?;
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
    /// Whether a generation of a source has a row for a subject.
    pub fn has_feed_row(&self, source: SourceId, generation: u32, subject: &Subject) -> Result<bool> {
        let mut key = schema::feed_prefix(source, generation);
        subject.write_key(&mut key);
        Ok(self.get(schema::FEEDS, &key)?.is_some())
    }
}
