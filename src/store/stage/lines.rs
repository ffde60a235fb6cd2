//! The lines of an import as keys and rows of the store, which are sorted and compared without
//! being decoded. More than fit in [`RUN_BYTES`] are in sorted files (runs).

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
};

use super::super::schema::{self, FeedEntry};
use crate::model::{Subject, Time};

/// The most memory of the lines that are not in runs.
pub(super) const RUN_BYTES: usize = if cfg!(test) { 1 << 16 } else { 64 << 20 };

/// A line of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'l> {
    /// The subject's key.
    pub key: &'l [u8],
    /// The row with the line's entry alone.
    pub row: &'l [u8],
}

/// Where a line is in [`Lines::bytes`].
struct Place {
    /// The first bytes of the key, so that most comparisons read nothing else.
    head: [u64; 2],
    key: u32,
    row: u32,
}

/// Lines in memory.
#[derive(Default)]
pub(super) struct Lines {
    /// Keys, each after its length in two bytes, and rows, each after its length in four. Lines
    /// with the same row as the line before share it.
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// Where the row of the last line is.
    last_row: u32,
    row: Vec<u8>,
}

/// The first bytes of a key, which have the order of keys as far as they go.
fn head(key: &[u8]) -> [u64; 2] {
    let mut bytes = [0; 16];
    let len = key.len().min(16);
    bytes[..len].copy_from_slice(&key[..len]);
    let number = u128::from_be_bytes(bytes);
    [(number >> 64) as u64, number as u64]
}

/// The bytes at a place, after their length in `N` bytes.
fn sized<const N: usize>(bytes: &[u8], at: u32) -> &[u8] {
    let (len, rest) = bytes[at as usize..].split_at(N);
    let len = len.iter().fold(0, |len, b| len << 8 | usize::from(*b));
    &rest[..len]
}

impl Lines {
    /// The memory that the lines use.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    /// Adds the line of an import at the time `since`.
    pub fn push(&mut self, subject: &Subject, entry: FeedEntry, since: Time) {
        self.row.clear();
        schema::write_feed(&[FeedEntry { since, ..entry }], &mut self.row);
        if self.places.is_empty() || sized::<4>(&self.bytes, self.last_row) != self.row {
            self.last_row = self.bytes.len() as u32;
            self.bytes.extend((self.row.len() as u32).to_be_bytes());
            self.bytes.extend(&self.row);
        }
        let at = self.bytes.len();
        self.bytes.extend([0; 2]);
        subject.write_key(&mut self.bytes);
        let len = (self.bytes.len() - at - 2) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
        self.places.push(Place {
            head: head(&self.bytes[at + 2..]),
            key: at as u32,
            row: self.last_row,
        });
    }

    /// Sorts the lines by key. Lines of the same subject stay in the order of the file.
    pub fn sort(&mut self) {
        let key = |place: &Place| sized::<2>(&self.bytes, place.key);
        self.places.sort_unstable_by(|a, b| {
            let by_key = || key(a).cmp(key(b)).then(a.key.cmp(&b.key));
            a.head.cmp(&b.head).then_with(by_key)
        });
    }

    fn line(&self, i: usize) -> Option<Line<'_>> {
        let place = self.places.get(i)?;
        Some(Line {
            key: sized::<2>(&self.bytes, place.key),
            row: sized::<4>(&self.bytes, place.row),
        })
    }

    /// Writes the lines to a run in sorted order, and removes them from memory.
    pub fn write_run(&mut self, path: &Path) -> io::Result<()> {
        self.sort();
        let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
        for i in 0..self.places.len() {
            let Some(Line { key, row }) = self.line(i) else {
                break;
            };
            file.write_all(&(key.len() as u16).to_be_bytes())?;
            file.write_all(&(row.len() as u32).to_be_bytes())?;
            file.write_all(key)?;
            file.write_all(row)?;
        }
        self.bytes.clear();
        self.places.clear();
        file.flush()
    }
}

/// Sorted lines.
pub(super) enum Sorted<'l> {
    /// Lines in memory, and the number of the next one.
    Memory(&'l Lines, usize),
    /// Lines of a run.
    Run(Run),
}

/// A run that is read.
pub(super) struct Run {
    file: BufReader<File>,
    key: Vec<u8>,
    row: Vec<u8>,
    is_at_end: bool,
}

impl Run {
    /// Opens a run at its first line.
    pub fn open(path: &Path) -> io::Result<Run> {
        let mut run = Run {
            file: BufReader::with_capacity(1 << 16, File::open(path)?),
            key: Vec::new(),
            row: Vec::new(),
            is_at_end: false,
        };
        run.advance()?;
        Ok(run)
    }

    fn advance(&mut self) -> io::Result<()> {
        if self.file.fill_buf()?.is_empty() {
            self.is_at_end = true;
            return Ok(());
        }
        let (mut key, mut row) = ([0; 2], [0; 4]);
        self.file.read_exact(&mut key)?;
        self.file.read_exact(&mut row)?;
        self.key.resize(usize::from(u16::from_be_bytes(key)), 0);
        self.row.resize(u32::from_be_bytes(row) as usize, 0);
        self.file.read_exact(&mut self.key)?;
        self.file.read_exact(&mut self.row)
    }
}

impl Sorted<'_> {
    /// The next line; `None` at the end.
    fn line(&self) -> Option<Line<'_>> {
        match self {
            Sorted::Memory(lines, next) => lines.line(*next),
            Sorted::Run(run) => (!run.is_at_end).then_some(Line {
                key: &run.key,
                row: &run.row,
            }),
        }
    }

    fn advance(&mut self) -> io::Result<()> {
        match self {
            Sorted::Memory(_, next) => *next += 1,
            Sorted::Run(run) => run.advance()?,
        }
        Ok(())
    }
}

/// Merges sorted lines. Lines of the same subject are in the order of the file if the sources are.
pub(super) struct Merge<'l> {
    sources: Vec<Sorted<'l>>,
    /// The sources that have lines, in the order of their next lines.
    order: Vec<usize>,
}

impl<'l> Merge<'l> {
    pub fn new(sources: Vec<Sorted<'l>>) -> Merge<'l> {
        let mut merge = Merge {
            order: Vec::with_capacity(sources.len()),
            sources,
        };
        (0..merge.sources.len()).for_each(|source| merge.insert(source));
        merge
    }

    /// Puts a source into the order.
    fn insert(&mut self, source: usize) {
        let key = |source: usize| self.sources[source].line().map(|l| l.key);
        if let Some(own) = key(source) {
            let is_before = |other: &usize| (key(*other), *other) < (Some(own), source);
            let at = self.order.partition_point(is_before);
            self.order.insert(at, source);
        }
    }

    /// The next line; `None` at the end.
    pub fn line(&self) -> Option<Line<'_>> {
        self.sources[*self.order.first()?].line()
    }

    /// Goes to the line after the next one.
    pub fn advance(&mut self) -> io::Result<()> {
        if !self.order.is_empty() {
            let source = self.order.remove(0);
            self.sources[source].advance()?;
            self.insert(source);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReasonId;

    fn entry(reason: u8, text: Option<&str>, note: Option<&str>) -> FeedEntry {
        FeedEntry {
            reason: ReasonId(reason),
            exclusion: false,
            implied: true,
            since: Time(7),
            text: text.into(),
            note: note.map(Into::into),
        }
    }

    #[test]
    fn lines_of_runs_and_of_memory_merge_in_order() {
        let since = Time(1_800_000_000);
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            ("www.bad.example", entry(3, None, None)),
            ("45.1.1.1", entry(3, Some("see $"), None)),
            ("*.bad.example", entry(3, Some("see $"), None)),
            ("45.1.1.0/24", entry(3, None, Some("SBL1"))),
            ("45.1.1.1", entry(4, Some("a"), Some("b"))),
            ("bad.example", entry(3, None, None)),
            ("bad.examples", entry(3, None, None)),
            ("45.1.1.1", entry(3, Some("see $"), None)),
            ("2001:db8::1", entry(3, None, None)),
            ("2001:db8::/32", entry(3, None, None)),
        ];
        let mut expected: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut memory = Lines::default();
        let mut runs = Vec::new();
        for (i, (subject, entry)) in lines.into_iter().enumerate() {
            let subject: Subject = subject.parse().unwrap();
            memory.push(&subject, entry.clone(), since);
            let mut row = Vec::new();
            schema::write_feed(&[FeedEntry { since, ..entry }], &mut row);
            expected.push((subject.key(), row));
            if [3, 6].contains(&i) {
                let path = folder.path().join(i.to_string());
                memory.write_run(&path).unwrap();
                runs.push(path);
            }
        }
        memory.sort();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let runs = runs
            .iter()
            .map(|path| Sorted::Run(Run::open(path).unwrap()));
        let mut merge = Merge::new(runs.chain([Sorted::Memory(&memory, 0)]).collect());
        let mut merged = Vec::new();
        while let Some(line) = merge.line() {
            merged.push((line.key.to_vec(), line.row.to_vec()));
            merge.advance().unwrap();
        }
        assert_eq!(merged, expected);
    }
}
