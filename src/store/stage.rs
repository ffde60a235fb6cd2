//! An import before its commit: its lines are sorted and compared with the rows of the source. A
//! large difference is written as a new generation, in files that RocksDB ingests. The generation
//! is not used until a small batch names it.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use rocksdb::{IngestExternalFileOptions, SstFileWriter};

use super::{
    Result, Store, StoreError, cf, damaged,
    extent::Extents,
    extent_counter::{ExtentCounter, Place},
    feeds::Cursor,
    schema,
};
use crate::model::{
    Domain, Hold, Mask, Scope, SourceId, Subject, Time,
    event::EventKind,
    prefix,
    subject::{covers_others, tag},
};
use schema::FeedEntry;

mod difference;
mod lines;

pub use difference::ImportDifference;
use lines::{Lines, Merge, RUN_BYTES, Run, Sorted};

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
    /// The time of the import.
    pub now: Time,
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

/// A subject and its row before and after an import, as the store has them; a row is empty if there
/// is none. Most rows of a list are compared and stored in this form.
#[derive(Debug, Clone, Copy)]
struct StoredChange<'r> {
    key: &'r [u8],
    old: &'r [u8],
    new: &'r [u8],
}

impl StoredChange<'_> {
    fn subject(&self) -> Result<Subject> {
        Subject::from_key(self.key).ok_or_else(|| damaged("a feed's key"))
    }

    fn decode(&self) -> Result<ChangedRow> {
        Ok(ChangedRow {
            subject: self.subject()?,
            old: entries(self.old)?,
            new: entries(self.new)?,
        })
    }
}

/// The entries of a row; none if it is empty.
fn entries(row: &[u8]) -> Result<Vec<FeedEntry>> {
    match row {
        [] => Ok(Vec::new()),
        row => schema::read_feed(row).ok_or_else(|| damaged("a feed's row")),
    }
}

/// The reasons that a row lists, and those that it excludes.
fn masks(row: &[u8]) -> Result<[Mask; 2]> {
    schema::feed_masks(row).ok_or_else(|| damaged("a feed's row"))
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
    /// The number of a generation in files.
    Large(u32),
}

/// A stage that was compared with the rows of the source, and is not written yet.
pub struct ComparedStage {
    staged: FinishedStage,
    counter: ExtentCounter,
    /// The changed rows; `None` if they are too many to commit them one by one.
    small: Option<Vec<ChangedRow>>,
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

    /// Counts a row, and keeps it if it changes, unless there are too many to be used.
    fn add(&mut self, change: StoredChange) -> Result<()> {
        let masks = [masks(change.old)?, masks(change.new)?];
        let place = Place::of_key(change.key).ok_or_else(|| damaged("a feed's key"))?;
        self.counter.add(place, masks);
        if self.staged.count(change, masks)? {
            self.small
                .take_if(|s| self.dry || s.len() >= ROW_COMMIT_MAX);
            if let Some(small) = &mut self.small {
                small.push(change.decode()?);
            }
        }
        Ok(())
    }
}

/// Collects the lines of an import.
pub struct Stage<'s> {
    store: &'s Store,
    options: StageOptions,
    base: u32,
    lines: Lines,
    runs: Vec<PathBuf>,
    /// Files that RocksDB has not ingested yet.
    files: Vec<PathBuf>,
    total: usize,
    /// Whether a line is [implied](FeedEntry::implied).
    has_implied: bool,
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
            lines: Lines::default(),
            runs: vec![],
            files: vec![],
            total: 0,
            has_implied: false,
            touched: vec![],
        }
    }
}

impl Stage<'_> {
    /// Adds a line.
    pub fn push(&mut self, subject: &Subject, entry: FeedEntry) -> Result<()> {
        self.has_implied |= entry.implied;
        self.lines.push(subject, entry, self.options.now);
        self.total += 1;
        if self.lines.size() >= RUN_BYTES {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// The subjects that a patch is about, in order: at most [`ROW_COMMIT_MAX`].
    pub fn patch(&mut self, touched: Vec<Subject>) {
        self.touched = touched;
    }

    /// Writes the lines in memory to a run.
    fn spill(&mut self) -> Result<()> {
        let folder = self.store.stage_path();
        std::fs::create_dir_all(&folder).map_err(io)?;
        let source = self.options.source;
        let name = source.map_or("new".into(), |s| s.0.to_string());
        let path = folder.join(format!("{name}-{}.run", self.runs.len()));
        self.runs.push(path.clone()); // first, so that an incomplete file is removed too
        self.lines.write_run(&path).map_err(io)
    }

    /// All lines in order.
    fn merge(&self) -> Result<Merge<'_>> {
        let mut sources = Vec::with_capacity(self.runs.len() + 1);
        for run in &self.runs {
            sources.push(Sorted::Run(Run::open(run).map_err(io)?));
        }
        sources.push(Sorted::Memory(&self.lines, 0));
        Ok(Merge::new(sources))
    }

    /// All lines in order, grouped by subject.
    fn groups(&self) -> Result<Groups<'_>> {
        let all = matches!(self.options.mode, Mode::Remove | Mode::Patch);
        Ok(Groups {
            lines: self.merge()?,
            wide: if all { HashSet::new() } else { self.wide()? },
            all,
        })
    }

    /// The listed subjects that can cover others: prefixes, and domains with all names below them.
    /// Only implied lines need them.
    fn wide(&self) -> Result<HashSet<Subject>> {
        let mut wide = HashSet::new();
        let mut lines = self.merge()?;
        while self.has_implied
            && let Some(line) = lines.line()
        {
            let [listed, _] = masks(line.row)?;
            let subject = Subject::from_key(line.key).filter(|s| listed != 0 && covers_others(s));
            wide.extend(subject);
            lines.advance().map_err(io)?;
        }
        Ok(wide)
    }

    /// Compares the lines with the rows of the source. With `dry`, no rows are kept.
    pub fn compared(&mut self, dry: bool) -> Result<ComparedStage> {
        self.lines.sort();
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
            fresh: self.base == 0 && self.total > ROW_COMMIT_MAX && !dry && !is_patch,
            dry,
        };
        if is_patch {
            let mut rows = Vec::new();
            self.compare_some(&mut |change| {
                if out
                    .staged
                    .count(change, [masks(change.old)?, masks(change.new)?])?
                {
                    rows.push(change.decode()?);
                }
                Ok(())
            })?;
            out.small = Some(rows);
        } else if !out.fresh {
            self.compare(&mut |change| out.add(change))?;
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
            self.write_generation(generation, &mut |change| match fresh {
                true => compared.add(change),
                false => Ok(()),
            })?;
            StagedRows::Large(generation)
        };
        compared.staged.extents = compared.extents();
        Ok(compared.staged)
    }

    /// Visits every subject that the source has or will have, in order.
    fn compare(&self, f: &mut dyn FnMut(StoredChange) -> Result<()>) -> Result<()> {
        let mut groups = self.groups()?;
        let (mut key, mut group, mut new) = (Vec::new(), Group::default(), Vec::new());
        self.store.with(|db| {
            let mut rows = match self.options.source {
                Some(s) if self.base > 0 => {
                    let prefix = schema::feed_prefix(s, self.base);
                    Some(Cursor::new(db, schema::FEEDS, prefix, Some(s))?)
                }
                _ => None,
            };
            loop {
                let (stored, listed) = (rows.as_ref().and_then(Cursor::key), groups.key());
                let Some(next) = stored.into_iter().chain(listed).min() else {
                    break;
                };
                key.clear();
                key.extend(next);
                let row = rows.as_mut().filter(|rows| rows.key() == Some(&key));
                let old = row.as_ref().map_or(&[][..], |rows| rows.value());
                groups.take(&key, &mut group)?;
                self.replace(old, &group, &mut new)?;
                f(StoredChange {
                    key: &key,
                    old,
                    new: &new,
                })?;
                row.into_iter().for_each(|rows| rows.next());
            }
            rows.map_or(Ok(()), |rows| rows.check())
        })
    }

    /// Visits a patch's subjects in order.
    fn compare_some(&self, f: &mut dyn FnMut(StoredChange) -> Result<()>) -> Result<()> {
        let mut groups = self.groups()?;
        let (mut group, mut new) = (Group::default(), Vec::new());
        for subject in &self.touched {
            let key = &subject.key();
            let old = match self.options.source {
                Some(source) if self.base > 0 => {
                    self.store.stored_feed_row(source, self.base, subject)?
                }
                _ => None,
            };
            let old = &old.unwrap_or_default();
            groups.take(key, &mut group)?;
            self.replace(old, &group, &mut new)?;
            f(StoredChange {
                key,
                old,
                new: &new,
            })?;
        }
        match groups.key() {
            None => Ok(()),
            Some(key) => Err(StoreError::Io(format!(
                "a patch has lines for {}, which is not one of its subjects",
                Subject::from_key(key).map_or_else(String::new, |s| s.to_string())
            ))),
        }
    }

    /// Writes the row of a subject after the import into `new`.
    fn replace(&self, old: &[u8], group: &Group, new: &mut Vec<u8>) -> Result<()> {
        new.clear();
        let mode = self.options.mode;
        match group {
            Group::Empty => {
                if matches!(mode, Mode::Add | Mode::Remove) {
                    new.extend(old);
                }
                return Ok(());
            }
            // Nearly all rows of nearly all lists: one entry, which is new or has not changed.
            Group::One(row) if mode != Mode::Remove && old.is_empty() => {
                new.extend(row);
                return Ok(());
            }
            Group::One(row) if mode != Mode::Remove && schema::differs_only_in_time(old, row) => {
                new.extend(old);
                return Ok(());
            }
            Group::One(_) | Group::Entries(_) => {}
        }
        let file = match group {
            Group::Empty => Vec::new(),
            Group::One(row) => entries(row)?,
            Group::Entries(entries) => entries.clone(),
        };
        let merged = self.merge_entries(&entries(old)?, file);
        if !merged.is_empty() {
            schema::write_feed(&merged, new);
        }
        Ok(())
    }

    /// The entries of the source for a subject after the import. An entry that stays keeps its
    /// `since`.
    fn merge_entries(&self, old: &[FeedEntry], file: Vec<FeedEntry>) -> Vec<FeedEntry> {
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
        count: &mut dyn FnMut(StoredChange) -> Result<()>,
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
        let mut key = prefix.clone();
        let mut written = WrittenEvents::default();
        let mut event_key = schema::feed_event_bucket(now).to_vec();
        let bucket_bytes = event_key.len();
        let (mut n, mut m) = (0u64, 0u64);
        self.compare(&mut |change| {
            if !change.new.is_empty() {
                key.truncate(prefix.len());
                key.extend(change.key);
                rows.put(&key, change.new)?;
                n += 1;
            }
            if change.old != change.new {
                written.write(change, (source, &author), now)?;
                for (place, value) in (0u32..).zip(&written.values) {
                    event_key.truncate(bucket_bytes);
                    event_key.extend(change.key);
                    event_key.extend(seq.to_be_bytes());
                    event_key.extend(place.to_be_bytes());
                    events.put(&event_key, value)?;
                    m += 1;
                }
            }
            count(change)
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
    /// Whether the change is visible to anyone but operators.
    fn is_published(&self) -> bool {
        let lacks = |others: &[FeedEntry], e: &FeedEntry| !others.iter().any(|o| o.publishes_as(e));
        self.old.iter().any(|e| lacks(&self.new, e)) || self.new.iter().any(|e| lacks(&self.old, e))
    }

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
    /// Counts a row with the reasons that it lists and excludes before and after; returns false if
    /// nothing changes.
    fn count(&mut self, change: StoredChange, [old, new]: [[Mask; 2]; 2]) -> Result<bool> {
        if !self.holds.is_empty() && self.holds.contains_key(&change.subject()?) {
            self.count_held(&change.decode()?);
        }
        let d = &mut self.difference;
        if change.old == change.new {
            d.same += u64::from(!change.old.is_empty());
            d.excluded_same += u64::from(is_exclusion(old));
            return Ok(false);
        }
        let (was_there, is_there) = (!change.old.is_empty(), !change.new.is_empty());
        let excluded = is_exclusion(if is_there { new } else { old });
        let (count, sample) = match (was_there, is_there) {
            (false, _) => {
                d.excluded_added += u64::from(excluded);
                (&mut d.added, Some(&mut d.sample_added))
            }
            (_, false) => {
                d.excluded_removed += u64::from(excluded);
                (&mut d.removed, Some(&mut d.sample_removed))
            }
            _ => (&mut d.changed, None),
        };
        *count += 1;
        if let Some(s) = sample.filter(|s| s.len() < SAMPLES) {
            let subject = change.subject()?;
            s.push(if excluded {
                format!("!{subject} (excluded)")
            } else {
                subject.to_string()
            });
        }
        // A note is not published, so its change does not change a serial.
        let publishes = match was_there && is_there {
            true => change.decode()?.is_published(),
            false => true,
        };
        if publishes {
            let is_name = change.key.first() == Some(&tag::DOMAIN);
            self.masks[usize::from(is_name)] |= old[0] | old[1] | new[0] | new[1];
        }
        Ok(true)
    }

    /// Counts a row if a hold keeps an entry of it unlisted.
    fn count_held(&mut self, row: &ChangedRow) {
        let source = self.source.unwrap_or(SourceId::ALL);
        let is_held = |e: &FeedEntry, holds: &[Hold]| {
            !e.exclusion && holds.iter().any(|h| h.suppresses(e.reason, source))
        };
        if let Some(holds) = self.holds.get(&row.subject)
            && row.new.iter().any(|e| is_held(e, holds))
        {
            let d = &mut self.difference;
            d.held += 1;
            if d.sample_held.len() < SAMPLES {
                d.sample_held.push(row.subject.to_string());
            }
        }
    }
}

/// Whether a row with these reasons only excludes its subject from wider listings.
fn is_exclusion([listed, excluded]: [Mask; 2]) -> bool {
    listed == 0 && excluded != 0
}

/// The encoded events of the last written change. Most changes of a list have the same.
#[derive(Default)]
struct WrittenEvents {
    /// The row of the subject that was added last.
    added: Vec<u8>,
    values: Vec<Vec<u8>>,
}

impl WrittenEvents {
    fn write(
        &mut self,
        change: StoredChange,
        (source, author): (SourceId, &str),
        now: Time,
    ) -> Result<()> {
        if change.old.is_empty() && change.new == self.added {
            return Ok(());
        }
        self.added.clear();
        if change.old.is_empty() {
            self.added.extend(change.new);
        }
        self.values.clear();
        for event in change.decode()?.events(source) {
            let mut value = Vec::new();
            schema::write_event(now, author, &event, &mut value).map_err(io)?;
            self.values.push(value);
        }
        Ok(())
    }
}

/// The lines of one subject.
#[derive(Default)]
enum Group {
    /// There are none.
    #[default]
    Empty,
    /// The row of its only entry.
    One(Vec<u8>),
    /// Its entries.
    Entries(Vec<FeedEntry>),
}

/// Groups lines by subject, with at most one entry for each reason: an exclusion has priority over
/// a listing, otherwise the first line counts.
struct Groups<'a> {
    wide: HashSet<Subject>,
    /// Implied exclusions stay even if the list has nothing wider, because the import removes
    /// entries or is a patch.
    all: bool,
    lines: Merge<'a>,
}

impl Groups<'_> {
    /// The key of the next group.
    fn key(&self) -> Option<&[u8]> {
        self.lines.line().map(|line| line.key)
    }

    /// Takes the next group if it is that of this key.
    fn take(&mut self, key: &[u8], group: &mut Group) -> Result<()> {
        let mut first = match std::mem::take(group) {
            Group::One(row) => row,
            _ => Vec::new(),
        };
        first.clear();
        let mut more: Vec<FeedEntry> = Vec::new();
        while let Some(line) = self.lines.line().filter(|line| line.key == key) {
            if first.is_empty() {
                first.extend(line.row);
            } else if *line.row != *first {
                more.extend(entries(line.row)?);
            }
            self.lines.advance().map_err(io)?;
        }
        if first.is_empty() {
            return Ok(());
        }
        if more.is_empty() && !schema::is_implied(&first) {
            *group = Group::One(first);
            return Ok(());
        }
        let mut out = entries(&first)?;
        for e in more {
            match out.iter_mut().find(|o| o.reason == e.reason) {
                Some(o) if rank(&e) > rank(o) => *o = e,
                Some(_) => {}
                None => out.push(e),
            }
        }
        if out.iter().any(|e| e.implied) && !self.all {
            let subject = Subject::from_key(key).ok_or_else(|| damaged("a feed's key"))?;
            let is_covered = covered(&subject, &self.wide);
            out.retain(|e| !e.implied || is_covered);
        }
        out.iter_mut().for_each(|e| e.implied = false);
        out.sort_by_key(|e| e.reason);
        *group = Group::Entries(out);
        Ok(())
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
