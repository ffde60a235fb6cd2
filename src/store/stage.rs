//! An import before its commit: its lines sorted, compared with what the source has, and, if the
//! difference is large, written as a new generation in files that RocksDB ingests. It is invisible
//! until one small batch names it.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufReader, BufWriter, Write},
    iter::Peekable,
    path::PathBuf,
    rc::Rc,
};

use rocksdb::{IngestExternalFileOptions, SstFileWriter};

use super::{
    Result, Store, StoreError, cf, extent::Extents, extent_counter::ExtentCounter, feeds::Cursor,
    schema,
};
use crate::model::{Domain, Hold, Mask, Scope, SourceId, Subject, Time, event::EventKind, prefix};
use schema::FeedEntry;

mod difference;
mod line;

pub use difference::ImportDifference;
use line::{Line, read_line};

/// Lines that are sorted in memory at a time; more are written to sorted files (runs).
const RUN: usize = 1 << 20;
/// A difference of at most this many subjects is committed row by row, with every before-image in
/// the journal.
pub const ROW_COMMIT_MAX: usize = 20_000;
/// How many subjects of each kind a report shows.
const SAMPLES: usize = 10;

/// The settings of a stage.
#[derive(Debug, Clone, Copy)]
pub struct StageOptions {
    /// The source; none for a dry run of a source that has no number yet.
    pub source: Option<SourceId>,
    /// How present entries are treated.
    pub mode: Mode,
    /// Whether exclusions may follow from values or from the order of names, so that prefixes have
    /// to be remembered.
    pub exceptions: bool,
    /// The time of the import.
    pub now: Time,
    /// How many subjects the store has: this decides whether building the tables anew is quicker
    /// than changing them.
    pub known: usize,
}

/// How an import treats the present entries of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Afterwards the source has what the list has.
    Replace,
    /// The entries of the list are added.
    Add,
    /// The entries of the list are removed.
    Remove,
    /// For some subjects the list is complete; the others stay. Only for callers who know which
    /// subjects these are.
    #[serde(skip_deserializing)]
    Patch,
}

/// A changed row: the entries of the source for a subject before and after.
#[derive(Debug, Clone)]
pub struct ChangedRow {
    /// The subject.
    pub subject: Subject,
    /// Before.
    pub old: Vec<FeedEntry>,
    /// After.
    pub new: Vec<FeedEntry>,
}

/// A staged import.
#[derive(Debug)]
pub struct Staged {
    /// The source; see [`StageOptions::source`].
    pub source: Option<SourceId>,
    /// The generation that it was compared with.
    pub base: u32,
    /// What changes.
    pub difference: ImportDifference,
    /// What the source lists before and after; not counted for a patch, which does not see all
    /// rows.
    pub extents: Extents,
    /// The reasons that change: of addresses, and of domains.
    pub masks: [Mask; 2],
    /// The rows that change, or the new generation that replaces them.
    pub rows: StagedRows,
    /// The subjects that have a hold of the source.
    pub holds: HashMap<Subject, Vec<Hold>>,
}

/// See [`Staged::rows`].
#[derive(Debug)]
pub enum StagedRows {
    /// Few enough to commit one by one.
    Small(Vec<ChangedRow>),
    /// A whole generation in files; and the subjects that change, unless the tables have to be
    /// built anew anyway.
    Large(u32, Option<Vec<Subject>>),
}

/// A stage that was compared with what the source has, and is not written yet.
pub struct Compared {
    staged: Staged,
    counter: ExtentCounter,
    changed: Changed,
    /// The source has no rows and the list is long: it is compared while it is written.
    fresh: bool,
    dry: bool,
}

impl Compared {
    /// What would change; empty if the source has no rows and the list is long.
    pub fn difference(&self) -> &ImportDifference {
        &self.staged.difference
    }

    /// What the source lists before and would list after.
    pub fn extents(&self) -> Extents {
        self.counter.extents()
    }

    /// Counts a row; returns false if nothing changes.
    fn note(&mut self, row: &ChangedRow) -> bool {
        self.counter.add(&row.subject, &row.old, &row.new);
        self.staged.note(row)
    }
}

/// Lines in order, from memory or from a run.
type Lines<'a> = Peekable<Box<dyn Iterator<Item = (Subject, FeedEntry)> + 'a>>;

/// Collects the lines of an import.
pub struct Stage<'s> {
    store: &'s Store,
    options: StageOptions,
    base: u32,
    lines: Vec<Line>,
    runs: Vec<PathBuf>,
    /// Files that RocksDB has not ingested.
    files: Vec<PathBuf>,
    total: usize,
    /// Subjects that can cover others: prefixes, and domains with what is below them.
    wide: HashSet<Subject>,
    /// The subjects of a patch, in order.
    touched: Vec<Subject>,
}

fn io(e: impl std::fmt::Display) -> StoreError {
    StoreError::Io(format!("staging an import: {e}"))
}

impl Store {
    /// The folder in which imports write runs.
    pub(super) fn stage_path(&self) -> PathBuf {
        self.path().join("stage")
    }

    /// Starts a stage for an import.
    pub fn stage(&self, options: StageOptions) -> Stage<'_> {
        let dictionary = self.dictionary();
        let record = |s: SourceId| dictionary.records.get(usize::from(s.0));
        let base = options.source.and_then(record).map_or(0, |r| r.generation);
        Stage {
            store: self,
            options,
            base,
            lines: vec![],
            runs: vec![],
            files: vec![],
            total: 0,
            wide: HashSet::new(),
            touched: vec![],
        }
    }
}

impl Stage<'_> {
    /// Adds a line.
    pub fn push(&mut self, subject: Subject, entry: FeedEntry) -> Result<()> {
        if self.options.exceptions
            && !entry.exclusion
            && crate::model::subject::covers_others(&subject)
        {
            self.wide.insert(subject.clone());
        }
        self.lines.push(Line::new(subject, entry));
        self.total += 1;
        if self.lines.len() >= RUN {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// The subjects that a patch is about, in order: at most [`ROW_COMMIT_MAX`].
    pub fn patch(&mut self, touched: Vec<Subject>) {
        self.touched = touched;
    }

    /// Writes the lines in memory to a run, sorted. Lines of the same subject stay in the order of
    /// the file.
    fn spill(&mut self) -> Result<()> {
        std::fs::create_dir_all(self.store.stage_path()).map_err(io)?;
        let name = self
            .options
            .source
            .map_or("new".into(), |s| s.0.to_string());
        let path = self
            .store
            .stage_path()
            .join(format!("{name}-{}.run", self.runs.len()));
        self.lines.sort_by(|a, b| a.subject.cmp(&b.subject));
        self.runs.push(path.clone()); // first, so that it goes even if it cannot be written whole
        let mut file = BufWriter::new(File::create(&path).map_err(io)?);
        let mut buf = Vec::new();
        for line in self.lines.drain(..) {
            line.write(self.options.now, &mut buf);
            file.write_all(&buf).map_err(io)?;
        }
        file.flush().map_err(io)
    }

    /// All lines in order, joined by subject.
    fn groups(&self) -> Result<Groups<'_>> {
        let broken = Rc::new(RefCell::new(None));
        let mut sources: Vec<Lines> = Vec::new();
        for run in &self.runs {
            let mut file = BufReader::with_capacity(1 << 18, File::open(run).map_err(io)?);
            let broken = broken.clone();
            let lines: Box<dyn Iterator<Item = (Subject, FeedEntry)>> =
                Box::new(std::iter::from_fn(move || match read_line(&mut file) {
                    Ok(line) => line,
                    Err(e) => {
                        *broken.borrow_mut() = Some(io(e));
                        None
                    }
                }));
            sources.push(lines.peekable());
        }
        let rest = self
            .lines
            .iter()
            .map(|l| (l.subject.clone(), l.entry(self.options.now)));
        let rest: Box<dyn Iterator<Item = (Subject, FeedEntry)>> = Box::new(rest);
        sources.push(rest.peekable());
        Ok(Groups {
            sources,
            wide: &self.wide,
            all: matches!(self.options.mode, Mode::Remove | Mode::Patch),
            broken,
        })
    }

    /// Compares the lines with what the source has; `dry` keeps no rows.
    pub fn compared(&mut self, dry: bool) -> Result<Compared> {
        self.lines.sort_by(|a, b| a.subject.cmp(&b.subject));
        let staged = Staged {
            source: self.options.source,
            base: self.base,
            difference: ImportDifference::default(),
            extents: Extents::default(),
            masks: [0; 2],
            rows: StagedRows::Small(vec![]),
            holds: self.store.holds_on(self.options.source)?,
        };
        let changed = Changed {
            small: Some(vec![]),
            subjects: Some(vec![]),
            limit: (self.options.known + self.total) / 4,
        };
        let fresh = self.base == 0
            && self.total > ROW_COMMIT_MAX
            && !dry
            && self.options.mode != Mode::Patch;
        let mut out = Compared {
            staged,
            counter: ExtentCounter::default(),
            changed,
            fresh,
            dry,
        };
        if self.options.mode == Mode::Patch {
            let mut rows = Vec::new();
            self.compare_some(&mut |row| rows.extend(Some(row).filter(|r| out.staged.note(r))))?;
            out.changed.small = Some(rows);
        } else if !fresh {
            self.compare(&mut |row| {
                if out.note(&row) {
                    out.changed.add(row, dry);
                }
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// Prepares the result for the commit. A large difference is written as a new generation,
    /// numbered by `generation`; a dry run writes nothing.
    pub fn finish(
        mut self,
        mut compared: Compared,
        generation: impl FnOnce() -> Result<u32>,
    ) -> Result<Staged> {
        let small = compared.changed.small.take_if(|_| !compared.fresh);
        if compared.dry || small.is_some() {
            compared.staged.extents = compared.extents();
            compared.staged.rows = StagedRows::Small(small.unwrap_or_default());
            return Ok(compared.staged);
        }
        let generation = generation()?;
        let mut note = |row: &ChangedRow| {
            if compared.fresh && compared.note(row) {
                compared.changed.add(row.clone(), false);
            }
        };
        self.write_generation(generation, &mut note)?;
        compared.staged.extents = compared.extents();
        compared.staged.rows = StagedRows::Large(generation, compared.changed.subjects);
        Ok(compared.staged)
    }

    /// Visits every subject that the source has or will have, in order.
    fn compare(&self, f: &mut dyn FnMut(ChangedRow) -> Result<()>) -> Result<()> {
        let groups = &mut self.groups()?;
        let mut next = groups.next();
        groups.check()?;
        self.store.with(|db| {
            let rows = self.options.source.filter(|_| self.base > 0);
            let mut old = match rows.map(|s| (schema::feed_prefix(s, self.base), s)) {
                Some((prefix, s)) => Some(Cursor::new(db, schema::FEEDS, prefix, Some(s))?),
                None => None,
            };
            loop {
                let old_subject = old
                    .as_ref()
                    .and_then(Cursor::key)
                    .map(|k| Subject::from_key(k).ok_or_else(|| super::damaged("a feed's key")))
                    .transpose()?;
                let subject = match (&next, old_subject) {
                    (None, None) => break,
                    (Some((n, _)), Some(o)) => o.min(n.clone()),
                    (Some((n, _)), None) => n.clone(),
                    (None, Some(o)) => o,
                };
                let mut row = ChangedRow {
                    old: Vec::new(),
                    new: Vec::new(),
                    subject,
                };
                if let Some(old) = &mut old
                    && old.key() == Some(&row.subject.key())
                {
                    row.old = schema::read_feed(old.value())
                        .ok_or_else(|| super::damaged("a feed's row"))?;
                    old.next();
                }
                let file = match next.take_if(|(n, _)| *n == row.subject) {
                    Some((_, entries)) => {
                        next = groups.next();
                        groups.check()?;
                        entries
                    }
                    None => Vec::new(),
                };
                row.new = self.merge(&row.old, file);
                f(row)?;
            }
            old.map_or(Ok(()), |old| old.check())
        })
    }

    /// Visits a patch's subjects in order.
    fn compare_some(&self, f: &mut dyn FnMut(ChangedRow)) -> Result<()> {
        let groups = &mut self.groups()?;
        let mut next = groups.next();
        for subject in &self.touched {
            let old = match self.options.source {
                Some(source) if self.base > 0 => self.store.feed_row(source, self.base, subject)?,
                _ => Vec::new(),
            };
            let file = match next.take_if(|(n, _)| n == subject) {
                Some((_, entries)) => {
                    next = groups.next();
                    entries
                }
                None => Vec::new(),
            };
            f(ChangedRow {
                new: self.merge(&old, file),
                old,
                subject: subject.clone(),
            });
        }
        groups.check()?;
        match next {
            None => Ok(()),
            Some((s, _)) => Err(StoreError::Io(format!(
                "a patch that does not name {s} has lines for it"
            ))),
        }
    }

    /// The entries of the source for a subject after the import. An entry that stays keeps its
    /// first day.
    fn merge(&self, old: &[FeedEntry], file: Vec<FeedEntry>) -> Vec<FeedEntry> {
        let in_file = |e: &FeedEntry| file.iter().any(|f| f.reason == e.reason);
        // Removing a listing ends a listing, and removing an exclusion ends an exclusion: this
        // lists nothing.
        let the_same = |e: &FeedEntry| {
            file.iter()
                .any(|f| (f.reason, f.exclusion) == (e.reason, e.exclusion))
        };
        let mut new = match self.options.mode {
            Mode::Replace | Mode::Patch => file,
            Mode::Remove => return old.iter().filter(|e| !the_same(e)).cloned().collect(),
            Mode::Add => old
                .iter()
                .filter(|e| !in_file(e))
                .cloned()
                .chain(file.iter().cloned())
                .collect(),
        };
        for e in &mut new {
            if let Some(o) = old
                .iter()
                .find(|o| (o.reason, o.exclusion) == (e.reason, e.exclusion))
            {
                e.since = o.since;
            }
        }
        new.sort_by_key(|e| e.reason);
        new
    }

    /// Writes all that the source has afterwards, and the events of the difference, and ingests
    /// both files.
    fn write_generation(
        &mut self,
        generation: u32,
        note: &mut dyn FnMut(&ChangedRow),
    ) -> Result<()> {
        std::fs::create_dir_all(self.store.stage_path()).map_err(io)?;
        let StageOptions { source, now, .. } = self.options;
        let source = source.ok_or_else(|| io("its source has no number"))?;
        let path = |what: &str| {
            self.store
                .stage_path()
                .join(format!("{}-{generation}.{what}", source.0))
        };
        self.files = vec![path("rows"), path("events")];
        let cache = rocksdb::Cache::new_lru_cache(1 << 20);
        let options = super::open::family_options(&cache);
        let (mut rows, mut events) = (
            SstFileWriter::create(&options),
            SstFileWriter::create(&options),
        );
        rows.open(path("rows"))?;
        events.open(path("events"))?;
        let prefix = schema::feed_prefix(source, generation);
        let seq = schema::staged_seq(source, generation);
        let author = self.store.dictionary().sources.name(source).to_string();
        let (mut key, mut value) = (prefix.clone(), Vec::new());
        let mut bucket = schema::feed_event_key(now, &Subject::host4(0), 0, 0);
        bucket.truncate(4);
        let (mut n, mut m) = (0u64, 0u64);
        self.compare(&mut |row| {
            if !row.new.is_empty() {
                key.truncate(prefix.len());
                row.subject.write_key(&mut key);
                value.clear();
                schema::write_feed(&row.new, &mut value);
                rows.put(&key, &value)?;
                n += 1;
            }
            note(&row);
            for (place, what) in row.events(source).into_iter().enumerate() {
                bucket.truncate(4);
                row.subject.write_key(&mut bucket);
                bucket.extend(seq.to_be_bytes());
                bucket.extend((place as u32).to_be_bytes());
                value.clear();
                schema::write_event(now, &author, &what, &mut value).map_err(io)?;
                events.put(&bucket, &value)?;
                m += 1;
            }
            Ok(())
        })?;
        let mut how = IngestExternalFileOptions::default();
        how.set_move_files(true);
        for (count, mut file, family, name) in [
            (n, rows, schema::FEEDS, "rows"),
            (m, events, schema::FEED_EVENTS, "events"),
        ] {
            if count > 0 {
                file.finish()?;
                self.store.with(|db| {
                    Ok(db.ingest_external_file_cf_opts(&cf(db, family)?, &how, vec![path(name)])?)
                })?;
            }
        }
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for file in self.runs.iter().chain(&self.files) {
            let _ = std::fs::remove_file(file);
        }
    }
}

impl ChangedRow {
    /// The events of a subject.
    pub fn events(&self, source: SourceId) -> Vec<EventKind> {
        let gone = self
            .old
            .iter()
            .filter(|o| !self.new.iter().any(|e| e.reason == o.reason));
        let mut out: Vec<EventKind> = gone
            .map(|o| EventKind::Dropped {
                reason: o.reason,
                source,
            })
            .collect();
        let said = |e: &FeedEntry| {
            self.old
                .iter()
                .any(|o| o.publishes_as(e) && o.since == e.since)
        };
        for e in self.new.iter().filter(|e| !said(e)) {
            out.push(EventKind::Listed {
                reason: e.reason,
                source,
                until: None,
                exclusion: e.exclusion,
                text: e.text.clone(),
            });
        }
        out
    }
}

impl Staged {
    /// Counts a row; returns false if nothing changes.
    fn note(&mut self, row: &ChangedRow) -> bool {
        let d = &mut self.difference;
        if let Some(holds) = self.holds.get(&row.subject)
            && row.new.iter().any(|e| {
                !e.exclusion
                    && holds
                        .iter()
                        .any(|h| h.on(e.reason, self.source.unwrap_or(SourceId::ALL)))
            })
        {
            d.held += 1;
            if d.sample_held.len() < SAMPLES {
                d.sample_held.push(row.subject.to_string());
            }
        }
        if row.old == row.new {
            d.same += u64::from(!row.old.is_empty());
            d.excluded_same += u64::from(is_exclusion(&row.old));
            return false;
        }
        let excluded = is_exclusion(if row.new.is_empty() {
            &row.old
        } else {
            &row.new
        });
        let (count, sample) = match (row.old.is_empty(), row.new.is_empty()) {
            (true, _) => {
                d.excluded_added += u64::from(excluded);
                (&mut d.added, Some(&mut d.sample_added))
            }
            (_, true) => {
                d.excluded_removed += u64::from(excluded);
                (&mut d.removed, Some(&mut d.sample_removed))
            }
            _ => (&mut d.changed, None),
        };
        *count += 1;
        if let Some(s) = sample.filter(|s| s.len() < SAMPLES) {
            s.push(if excluded {
                format!("!{} (excluded)", row.subject)
            } else {
                row.subject.to_string()
            });
        }
        // A note is not published, so its change moves no serial.
        let published =
            |e: &FeedEntry, others: &[FeedEntry]| !others.iter().any(|o| o.publishes_as(e));
        let changes = row
            .old
            .iter()
            .filter(|e| published(e, &row.new))
            .chain(row.new.iter().filter(|e| published(e, &row.old)));
        let mask = if changes.count() == 0 {
            0
        } else {
            row.old
                .iter()
                .chain(&row.new)
                .fold(0, |m, e| m | e.reason.bit())
        };
        self.masks[usize::from(!row.subject.is_address())] |= mask;
        true
    }
}

/// Whether a row only excludes its subject from wider listings.
fn is_exclusion(row: &[FeedEntry]) -> bool {
    !row.is_empty() && row.iter().all(|e| e.exclusion)
}

/// The changes of an import, as far as they are needed: both lists end when they get too long.
struct Changed {
    small: Option<Vec<ChangedRow>>,
    subjects: Option<Vec<Subject>>,
    /// With more subjects than this, building the tables anew from the rows is as quick as changing
    /// them.
    limit: usize,
}

impl Changed {
    fn add(&mut self, row: ChangedRow, dry: bool) {
        self.subjects.take_if(|s| dry || s.len() >= self.limit);
        self.small.take_if(|s| dry || s.len() >= ROW_COMMIT_MAX);
        if let Some(subjects) = &mut self.subjects {
            subjects.push(row.subject.clone());
        }
        if let Some(small) = &mut self.small {
            small.push(row);
        }
    }
}

/// Joins lines by subject: at most one entry for each reason, an exclusion before a listing,
/// otherwise the first.
struct Groups<'a> {
    wide: &'a HashSet<Subject>,
    /// Exclusions stay even if the list has nothing wider: they are to be removed, or belong to a
    /// patch.
    all: bool,
    sources: Vec<Lines<'a>>,
    /// A run that could not be read to its end: results that follow from it must not be used.
    broken: Rc<RefCell<Option<StoreError>>>,
}

impl Groups<'_> {
    fn check(&self) -> Result<()> {
        self.broken.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn next(&mut self) -> Option<(Subject, Vec<FeedEntry>)> {
        let subject = match &mut self.sources[..] {
            [only] => only.peek()?.0.clone(),
            many => many
                .iter_mut()
                .filter_map(|s| s.peek().map(|(s, _)| s))
                .min()?
                .clone(),
        };
        let mut out: Vec<FeedEntry> = Vec::with_capacity(1);
        for source in &mut self.sources {
            while let Some((_, e)) = source.next_if(|(s, _)| *s == subject) {
                match out.iter_mut().find(|o| o.reason == e.reason) {
                    Some(o) if rank(&e) > rank(o) => *o = e,
                    Some(_) => {}
                    None => out.push(e),
                }
            }
        }
        out.retain(|e| !e.implied || self.all || covered(&subject, self.wide));
        out.iter_mut().for_each(|e| e.implied = false);
        out.sort_by_key(|e| e.reason);
        Some((subject, out))
    }
}

/// Rank of entries of the same subject and reason: an exclusion in the list, then a listing, then
/// an exclusion that only follows from another value.
fn rank(e: &FeedEntry) -> u8 {
    match (e.exclusion, e.implied) {
        (true, false) => 2,
        (false, _) => 1,
        (true, true) => 0,
    }
}

/// Whether something wider in the same source lists this subject too.
fn covered(subject: &Subject, wide: &HashSet<Subject>) -> bool {
    match subject {
        Subject::V4(p) => {
            (prefix::MIN_LISTED_LEN4..p.len()).any(|l| wide.contains(&Subject::V4(p.widen(l))))
        }
        Subject::V6(p) => {
            (prefix::MIN_LISTED_LEN6..p.len()).any(|l| wide.contains(&Subject::V6(p.widen(l))))
        }
        Subject::Domain(d) => {
            let above = d.name().match_indices('.').map(|(i, _)| &d.name()[i + 1..]);
            let has = |n: &str, s| wide.contains(&Subject::Domain(Domain::from_canonical(n, s)));
            above
                .into_iter()
                .any(|n| has(n, Scope::Below) || has(n, Scope::Tree))
                || (d.scope() != Scope::Tree && has(d.name(), Scope::Tree))
        }
    }
}
