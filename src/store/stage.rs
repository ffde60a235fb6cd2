//! An import before its commit: its lines are sorted and compared with the rows of the source. A
//! large difference is written as a new generation, in files that RocksDB ingests. The generation
//! is not used until a small batch names it.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufReader, BufWriter, Write},
    iter::Peekable,
    path::{Path, PathBuf},
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

/// The most lines that are sorted in memory; more are written to sorted files (runs).
const RUN_LINES: usize = 1 << 20;
/// A difference of at most this many subjects is committed row by row, with every before-image in
/// the journal.
pub const ROW_COMMIT_MAX: usize = 20_000;
/// How many subjects of each kind a report shows.
const SAMPLES: usize = 10;

/// The settings of a stage.
#[derive(Debug, Clone, Copy)]
pub struct StageOptions {
    /// The source; `None` for a dry run of a source that has no number yet.
    pub source: Option<SourceId>,
    /// How the import treats existing entries.
    pub mode: Mode,
    /// Whether the format can have implied exclusions ([`FeedEntry::implied`]), so that the stage
    /// has to keep the prefixes.
    pub exceptions: bool,
    /// The time of the import.
    pub now: Time,
    /// How many subjects the store has. By this number the stage decides whether building the
    /// tables again is faster than changing them.
    pub known: usize,
}

/// How an import treats the existing entries of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The list replaces the entries of the source.
    Replace,
    /// The entries of the list are added.
    Add,
    /// The entries of the list are removed.
    Remove,
    /// The list replaces the entries of the subjects given to [`Stage::patch`]; others stay.
    #[serde(skip_deserializing)]
    Patch,
}

/// A changed row: the entries of the source for a subject before and after.
#[derive(Debug, Clone)]
pub struct ChangedRow {
    /// The subject.
    pub subject: Subject,
    /// The entries before the import.
    pub old: Vec<FeedEntry>,
    /// The entries after the import.
    pub new: Vec<FeedEntry>,
}

/// A staged import.
#[derive(Debug)]
pub struct FinishedStage {
    /// The source; see [`StageOptions::source`].
    pub source: Option<SourceId>,
    /// The generation that it was compared with.
    pub base: u32,
    /// The counted changes.
    pub difference: ImportDifference,
    /// The extent of the source before and after; not counted for a patch, which does not read all
    /// rows.
    pub extents: Extents,
    /// The reasons that change: for addresses, and for domains.
    pub masks: [Mask; 2],
    /// The rows that change, or the new generation that replaces them.
    pub rows: StagedRows,
    /// The subjects that have a hold of the source.
    pub holds: HashMap<Subject, Vec<Hold>>,
}

/// The rows of a staged import.
#[derive(Debug)]
pub enum StagedRows {
    /// Few enough rows to commit one by one.
    Small(Vec<ChangedRow>),
    /// The number of a generation in files, and the subjects that change; `None` if they are so
    /// many that the tables are built again.
    Large(u32, Option<Vec<Subject>>),
}

/// A stage that was compared with the rows of the source, and is not written yet.
pub struct ComparedStage {
    staged: FinishedStage,
    counter: ExtentCounter,
    /// The changed rows; `None` if they are too many to commit them one by one.
    small: Option<Vec<ChangedRow>>,
    /// The changed subjects; `None` if they are more than `limit`.
    subjects: Option<Vec<Subject>>,
    /// With more subjects than this, building the tables again from the rows is as fast as changing
    /// them.
    limit: usize,
    /// The source has no rows and the list is long, so the list is compared while it is written.
    fresh: bool,
    dry: bool,
}

impl ComparedStage {
    /// The counted changes; zero if the source has no rows and the list is long.
    pub fn difference(&self) -> &ImportDifference {
        &self.staged.difference
    }

    /// The extent of the source before and after the import.
    pub fn extents(&self) -> Extents {
        self.counter.extents()
    }

    /// Counts a row, and keeps it if it changes. Each list is dropped when it gets too long to be
    /// used.
    fn add(&mut self, row: ChangedRow) {
        self.counter.add(&row.subject, &row.old, &row.new);
        if !self.staged.count(&row) {
            return;
        }
        self.subjects.take_if(|s| self.dry || s.len() >= self.limit);
        self.small
            .take_if(|s| self.dry || s.len() >= ROW_COMMIT_MAX);
        if let Some(subjects) = &mut self.subjects {
            subjects.push(row.subject.clone());
        }
        if let Some(small) = &mut self.small {
            small.push(row);
        }
    }
}

/// Lines in order, from memory or from a run. An error ends them.
type Lines<'a> = Box<dyn Iterator<Item = Result<(Subject, FeedEntry)>> + 'a>;

/// Collects the lines of an import.
pub struct Stage<'s> {
    store: &'s Store,
    options: StageOptions,
    base: u32,
    lines: Vec<Line>,
    runs: Vec<PathBuf>,
    /// Files that RocksDB has not ingested yet.
    files: Vec<PathBuf>,
    total: usize,
    /// Subjects that can cover others: prefixes, and domains with all names below them.
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

    /// Moves a sorted file into a family.
    pub(super) fn ingest(&self, family: &str, file: &Path) -> Result<()> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.with(|db| {
            Ok(db.ingest_external_file_cf_opts(&cf(db, family)?, &options, vec![file])?)
        })
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
        if self.lines.len() >= RUN_LINES {
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
        let folder = self.store.stage_path();
        std::fs::create_dir_all(&folder).map_err(io)?;
        let source = self.options.source;
        let name = source.map_or("new".into(), |s| s.0.to_string());
        let path = folder.join(format!("{name}-{}.run", self.runs.len()));
        self.lines.sort_by(|a, b| a.subject.cmp(&b.subject));
        self.runs.push(path.clone()); // first, so that an incomplete file is removed too
        let mut file = BufWriter::new(File::create(&path).map_err(io)?);
        let mut buf = Vec::new();
        for line in self.lines.drain(..) {
            line.write(self.options.now, &mut buf);
            file.write_all(&buf).map_err(io)?;
        }
        file.flush().map_err(io)
    }

    /// All lines in order, grouped by subject.
    fn groups(&self) -> Result<Groups<'_>> {
        let mut sources = Vec::new();
        for run in &self.runs {
            let mut file = BufReader::with_capacity(1 << 18, File::open(run).map_err(io)?);
            let lines = std::iter::from_fn(move || read_line(&mut file).map_err(io).transpose());
            sources.push((Box::new(lines) as Lines).peekable());
        }
        let line = |l: &Line| Ok((l.subject.clone(), l.entry(self.options.now)));
        sources.push((Box::new(self.lines.iter().map(line)) as Lines).peekable());
        let mut groups = Groups {
            sources,
            wide: &self.wide,
            all: matches!(self.options.mode, Mode::Remove | Mode::Patch),
            next: None,
        };
        groups.next = groups.read()?;
        Ok(groups)
    }

    /// Compares the lines with the rows of the source. With `dry`, no rows are kept.
    pub fn compared(&mut self, dry: bool) -> Result<ComparedStage> {
        self.lines.sort_by(|a, b| a.subject.cmp(&b.subject));
        let staged = FinishedStage {
            source: self.options.source,
            base: self.base,
            difference: ImportDifference::default(),
            extents: Extents::default(),
            masks: [0; 2],
            rows: StagedRows::Small(vec![]),
            holds: self.store.holds_on(self.options.source)?,
        };
        let is_patch = self.options.mode == Mode::Patch;
        let mut out = ComparedStage {
            staged,
            counter: ExtentCounter::default(),
            small: Some(vec![]),
            subjects: Some(vec![]),
            limit: (self.options.known + self.total) / 4,
            fresh: self.base == 0 && self.total > ROW_COMMIT_MAX && !dry && !is_patch,
            dry,
        };
        if is_patch {
            let mut rows = Vec::new();
            self.compare_some(&mut |row| rows.extend(Some(row).filter(|r| out.staged.count(r))))?;
            out.small = Some(rows);
        } else if !out.fresh {
            self.compare(&mut |row| {
                out.add(row);
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// Prepares the result for the commit. A large difference is written as a new generation,
    /// numbered by `generation`; a dry run writes nothing.
    pub fn finish(
        mut self,
        mut compared: ComparedStage,
        generation: impl FnOnce() -> Result<u32>,
    ) -> Result<FinishedStage> {
        let fresh = compared.fresh;
        let small = compared.small.take_if(|_| !fresh);
        compared.staged.rows = if compared.dry || small.is_some() {
            StagedRows::Small(small.unwrap_or_default())
        } else {
            let generation = generation()?;
            self.write_generation(generation, &mut |row| {
                if fresh {
                    compared.add(row);
                }
            })?;
            StagedRows::Large(generation, compared.subjects.take())
        };
        compared.staged.extents = compared.extents();
        Ok(compared.staged)
    }

    /// Visits every subject that the source has or will have, in order.
    fn compare(&self, f: &mut dyn FnMut(ChangedRow) -> Result<()>) -> Result<()> {
        let mut groups = self.groups()?;
        self.store.with(|db| {
            let mut rows = match self.options.source {
                Some(s) if self.base > 0 => {
                    let prefix = schema::feed_prefix(s, self.base);
                    Some(Cursor::new(db, schema::FEEDS, prefix, Some(s))?)
                }
                _ => None,
            };
            loop {
                let key = rows.as_ref().and_then(Cursor::key);
                let subject = |k| self.store.subject(k, "a feed's key");
                let stored = key.map(subject).transpose()?;
                let listed = groups.next.iter().map(|(subject, _)| subject);
                let Some(subject) = listed.chain(&stored).min().cloned() else {
                    break;
                };
                let mut old = Vec::new();
                if let Some(rows) = rows.as_mut().filter(|_| stored.as_ref() == Some(&subject)) {
                    old = schema::read_feed(rows.value())
                        .ok_or_else(|| super::damaged("a feed's row"))?;
                    rows.next();
                }
                let new = self.merge(&old, groups.take(&subject)?);
                f(ChangedRow { subject, old, new })?;
            }
            rows.map_or(Ok(()), |rows| rows.check())
        })
    }

    /// Visits a patch's subjects in order.
    fn compare_some(&self, f: &mut dyn FnMut(ChangedRow)) -> Result<()> {
        let mut groups = self.groups()?;
        for subject in &self.touched {
            let old = match self.options.source {
                Some(source) if self.base > 0 => self.store.feed_row(source, self.base, subject)?,
                _ => Vec::new(),
            };
            f(ChangedRow {
                new: self.merge(&old, groups.take(subject)?),
                old,
                subject: subject.clone(),
            });
        }
        match groups.next {
            None => Ok(()),
            Some((s, _)) => Err(StoreError::Io(format!(
                "a patch has lines for {s}, which is not one of its subjects"
            ))),
        }
    }

    /// The entries of the source for a subject after the import. An entry that stays keeps its
    /// `since`.
    fn merge(&self, old: &[FeedEntry], file: Vec<FeedEntry>) -> Vec<FeedEntry> {
        // Removing a listing must not end an exclusion, or the reverse.
        let is_same =
            |a: &FeedEntry, b: &FeedEntry| (a.reason, a.exclusion) == (b.reason, b.exclusion);
        let mut new = file;
        let kept =
            |keeps: &dyn Fn(&&FeedEntry) -> bool| old.iter().filter(keeps).cloned().collect();
        match self.options.mode {
            Mode::Replace | Mode::Patch => {}
            Mode::Remove => return kept(&|e| !new.iter().any(|f| is_same(f, e))),
            Mode::Add => {
                let mut all: Vec<_> = kept(&|e| !new.iter().any(|f| f.reason == e.reason));
                all.append(&mut new);
                new = all;
            }
        }
        for e in &mut new {
            if let Some(o) = old.iter().find(|o| is_same(o, e)) {
                e.since = o.since;
            }
        }
        new.sort_by_key(|e| e.reason);
        new
    }

    /// Writes all rows of the source after the import, and the events of the difference, and
    /// ingests both files.
    fn write_generation(
        &mut self,
        generation: u32,
        count: &mut dyn FnMut(ChangedRow),
    ) -> Result<()> {
        std::fs::create_dir_all(self.store.stage_path()).map_err(io)?;
        let StageOptions { source, now, .. } = self.options;
        let source = source.ok_or_else(|| io("its source has no number"))?;
        let path = |extension: &str| {
            self.store
                .stage_path()
                .join(format!("{}-{generation}.{extension}", source.0))
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
        let mut event_key = schema::feed_event_bucket(now).to_vec();
        let bucket_bytes = event_key.len();
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
            for (place, what) in row.events(source).into_iter().enumerate() {
                event_key.truncate(bucket_bytes);
                row.subject.write_key(&mut event_key);
                event_key.extend(seq.to_be_bytes());
                event_key.extend((place as u32).to_be_bytes());
                value.clear();
                schema::write_event(now, &author, &what, &mut value).map_err(io)?;
                events.put(&event_key, &value)?;
                m += 1;
            }
            count(row);
            Ok(())
        })?;
        for (count, mut file, family, name) in [
            (n, rows, schema::FEEDS, "rows"),
            (m, events, schema::FEED_EVENTS, "events"),
        ] {
            if count > 0 {
                file.finish()?;
                self.store.ingest(family, &path(name))?;
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
    /// The events of the change.
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
        let is_unchanged = |e: &FeedEntry| {
            self.old
                .iter()
                .any(|o| o.publishes_as(e) && o.since == e.since)
        };
        for e in self.new.iter().filter(|e| !is_unchanged(e)) {
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

impl FinishedStage {
    /// Counts a row; returns false if nothing changes.
    fn count(&mut self, row: &ChangedRow) -> bool {
        let d = &mut self.difference;
        let source = self.source.unwrap_or(SourceId::ALL);
        let is_held = |e: &FeedEntry, holds: &[Hold]| {
            !e.exclusion && holds.iter().any(|h| h.suppresses(e.reason, source))
        };
        if let Some(holds) = self.holds.get(&row.subject)
            && row.new.iter().any(|e| is_held(e, holds))
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
        // A note is not published, so its change does not change a serial.
        let lacks = |others: &[FeedEntry], e: &FeedEntry| !others.iter().any(|o| o.publishes_as(e));
        if row.old.iter().any(|e| lacks(&row.new, e)) || row.new.iter().any(|e| lacks(&row.old, e))
        {
            let reasons = row.old.iter().chain(&row.new).map(|e| e.reason.bit());
            let mask = &mut self.masks[usize::from(!row.subject.is_address())];
            *mask = reasons.fold(*mask, |mask, reason| mask | reason);
        }
        true
    }
}

/// Whether a row only excludes its subject from wider listings.
fn is_exclusion(row: &[FeedEntry]) -> bool {
    !row.is_empty() && row.iter().all(|e| e.exclusion)
}

/// Groups lines by subject, with at most one entry for each reason: an exclusion has priority over
/// a listing, otherwise the first line counts.
struct Groups<'a> {
    wide: &'a HashSet<Subject>,
    /// Implied exclusions stay even if the list has nothing wider, because the import removes
    /// entries or is a patch.
    all: bool,
    sources: Vec<Peekable<Lines<'a>>>,
    /// The next group.
    next: Option<(Subject, Vec<FeedEntry>)>,
}

impl Groups<'_> {
    /// Takes the entries of the next group if it is that of this subject.
    fn take(&mut self, subject: &Subject) -> Result<Vec<FeedEntry>> {
        let Some((_, entries)) = self.next.take_if(|(next, _)| next == subject) else {
            return Ok(Vec::new());
        };
        self.next = self.read()?;
        Ok(entries)
    }

    /// Reads a group. The group before it must not be used if this fails.
    fn read(&mut self) -> Result<Option<(Subject, Vec<FeedEntry>)>> {
        let mut first: Option<&Subject> = None;
        for source in &mut self.sources {
            // `next_if` would move each line out and back.
            if source.peek().is_some_and(Result::is_err) {
                source.next().transpose()?;
            }
            if let Some(Ok((subject, _))) = source.peek() {
                first = Some(first.map_or(subject, |f| f.min(subject)));
            }
        }
        let Some(subject) = first.cloned() else {
            return Ok(None);
        };
        let mut out: Vec<FeedEntry> = Vec::with_capacity(1);
        let is_of_group = |line: &Result<(Subject, _)>| line.as_ref().is_ok_and(|l| l.0 == subject);
        for source in &mut self.sources {
            while source.peek().is_some_and(is_of_group) {
                let Some(Ok((_, e))) = source.next() else {
                    break;
                };
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
        Ok(Some((subject, out)))
    }
}

/// The priority of entries of the same subject and reason: an exclusion in the list, then a
/// listing, then an implied exclusion.
fn rank(e: &FeedEntry) -> u8 {
    match (e.exclusion, e.implied) {
        (true, false) => 2,
        (false, _) => 1,
        (true, true) => 0,
    }
}

/// Whether a wider entry of the same source covers this subject.
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
