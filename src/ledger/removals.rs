//! The log of removals: a file of its own, meant for another disk, so that a store that is restored from an older copy does
//! not list again what was taken off since.
//!
//! Each line is JSON with a number. A commit that takes off, holds down or exempts writes its line, synced, before the batch
//! that makes it true, and the batch names the line's number: a restored store knows which lines it has not seen. Lines also
//! carry, a good deal ahead, the serials that may have been handed out.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Event, Serial, SourceId, Subject, Time, history::What},
    store::Vocabulary,
};

/// How far ahead serials are written down, so that not every commit has to.
const AHEAD: u32 = 4096;
/// Bytes of a log's end that a start reads first; more where its last line is longer.
const TAIL: u64 = 64 * 1024;

/// A line of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub n: u64,
    /// When it was written (RFC 3339).
    pub at: String,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Removal>,
    /// Serials that no zone has passed, by origin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serials: BTreeMap<String, u32>,
    /// A reason or source that got another name: the lines after it use the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<super::Rename>,
}

/// A decision that a restored store has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The subject.
    pub subject: Subject,
    /// What was decided.
    pub what: Decision,
    /// The reason, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The source; none where it is every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it ends by itself, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Who decided.
    pub author: String,
}

/// The kinds of decision that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Taken off.
    Delisted,
    /// Held down.
    Held,
    /// No longer held down.
    HoldEnded,
    /// Never to be published.
    Exempted,
    /// That is over.
    ExemptEnded,
}

impl Removal {
    /// What has to be logged of an event, if anything.
    pub fn of(subject: &Subject, e: &Event, v: &Vocabulary) -> Option<Removal> {
        // What a feed or the time ends, it ends again in the restored store, when that stands where it stood.
        let by_itself = e.author == super::group::EXPIRY || v.sources.get(&e.author).is_some_and(SourceId::is_feed);
        if by_itself && matches!(e.what, What::HoldEnded { .. } | What::ExemptEnded) {
            return None;
        }
        let (what, about, until) = match &e.what {
            What::Delisted { reason, source } => (Decision::Delisted, Some((reason, source)), None),
            What::Held { reason, source, until } => (Decision::Held, Some((reason, source)), Some(*until)),
            What::HoldEnded { reason, source } => (Decision::HoldEnded, Some((reason, source)), None),
            What::Exempted { until } => (Decision::Exempted, None, *until),
            What::ExemptEnded => (Decision::ExemptEnded, None, None),
            What::Listed { .. } | What::Expired { .. } | What::Dropped { .. } => return None,
        };
        let reason = about.map(|(r, _)| v.reasons.name(*r).to_string());
        let source = about.filter(|(_, s)| **s != SourceId::ALL).map(|(_, s)| v.sources.name(*s).to_string());
        Some(Removal { subject: subject.clone(), what, reason, source, until, author: e.author.clone() })
    }

    /// The event again, in a store's words; none where the store does not know the names.
    pub fn what(&self, v: &Vocabulary) -> Option<What> {
        let reason = || self.reason.as_ref().and_then(|r| v.reasons.get(r));
        let source = || self.source.as_ref().map_or(Some(SourceId::ALL), |s| v.sources.get(s));
        Some(match self.what {
            Decision::Delisted => What::Delisted { reason: reason()?, source: source()? },
            Decision::Held => What::Held { reason: reason()?, source: source()?, until: self.until? },
            Decision::HoldEnded => What::HoldEnded { reason: reason()?, source: source()? },
            Decision::Exempted => What::Exempted { until: self.until },
            Decision::ExemptEnded => What::ExemptEnded,
        })
    }
}

/// An open log.
#[derive(Debug)]
pub(super) struct Removals {
    path: PathBuf,
    file: File,
    /// The number of the last line.
    pub(super) n: u64,
    /// The bytes of whole lines: what a failed write left behind them goes before the next one.
    len: u64,
    ahead: BTreeMap<String, u32>,
}

/// Reads a log. A last line that was being written when the power went is left out; any other that can not be read is an
/// error with its place.
pub fn read(path: &Path) -> Result<Vec<Line>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|e| format!("{shown}: {e}"))?;
    let (mut out, mut bad): (Vec<Line>, Option<String>) = (Vec::new(), None);
    for (i, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|e| format!("{shown}: {e}"))?;
        if let Some(why) = bad {
            return Err(why);
        }
        match serde_json::from_slice::<Line>(&line) {
            Ok(l) => out.push(l),
            Err(e) => bad = Some(format!("{shown}:{}: {e}; this is no log of removals, or it is damaged", i + 1)),
        }
    }
    Ok(out)
}

/// The last whole lines of a log, at least one where there is one, and the bytes up to their end: all that a start needs,
/// however long the log is.
pub(super) fn tail(path: &Path) -> Result<(Vec<Line>, u64), String> {
    let shown = path.display();
    let named = |e: std::io::Error| format!("{shown}: {e}");
    let mut file = File::open(path).map_err(named)?;
    let size = file.metadata().map_err(named)?.len();
    let mut window = TAIL;
    loop {
        let from = size.saturating_sub(window);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes)).map_err(named)?;
        // The first line of the window may have begun before it.
        let start = if from == 0 { Some(0) } else { bytes.iter().position(|b| *b == b'\n').map(|i| i + 1) };
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        match start.filter(|s| *s < end || from == 0) {
            None => window *= 8,
            Some(start) => {
                let lines = bytes[start.min(end)..end].split(|b| *b == b'\n').filter(|l| !l.is_empty());
                let lines: Result<Vec<Line>, _> = lines.map(serde_json::from_slice).collect();
                let lines = lines.map_err(|e| format!("{shown}: {e}; this is no log of removals, or its end is damaged"))?;
                return Ok((lines, from + end as u64));
            }
        }
    }
}

impl Removals {
    /// Opens a log, and makes it where there is none. `known` is the last line that the store knows.
    pub(super) fn open(path: &Path, known: u64) -> Result<Removals, String> {
        let named = |e: std::io::Error| format!("removals.path: {}: {e}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(named)?;
        }
        if std::fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return Err(format!("removals.path: {} is no plain file", path.display()));
        }
        let (lines, len) = if path.exists() { tail(path)? } else { (Vec::new(), 0) };
        // A serial that stands further up is written down again with the next commit.
        let mut ahead = BTreeMap::new();
        lines.iter().for_each(|l| ahead.extend(l.serials.clone()));
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(named)?;
        // A cut last line ends here, so that the next one is whole.
        file.set_len(len).and_then(|()| file.flush()).map_err(named)?;
        let n = lines.last().map_or(0, |l| l.n).max(known);
        Ok(Removals { path: path.to_path_buf(), file, n, len, ahead })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what a commit decides, and the serials that it moves beyond those that were written down; synced. Nothing is
    /// written where there is nothing to say.
    pub(super) fn write(&mut self, at: Time, events: Vec<Removal>, serials: &BTreeMap<String, Serial>) -> Result<(), String> {
        let past = |(o, s): &(&String, &Serial)| self.ahead.get(*o).is_none_or(|a| Serial(*a) < **s);
        let serials: BTreeMap<String, u32> = serials.iter().filter(past).map(|(o, s)| (o.clone(), s.0.wrapping_add(AHEAD))).collect();
        if events.is_empty() && serials.is_empty() {
            return Ok(());
        }
        self.append(&Line { n: self.n + 1, at: at.to_string(), events, serials: serials.clone(), rename: None })?;
        self.ahead.extend(serials);
        Ok(())
    }

    /// Writes that a reason or source gets another name; synced.
    pub(super) fn rename(&mut self, at: Time, rename: &super::Rename) -> Result<(), String> {
        self.append(&Line { n: self.n + 1, at: at.to_string(), rename: Some(rename.clone()), ..Line::default() })
    }

    fn append(&mut self, line: &Line) -> Result<(), String> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        let written = self.file.set_len(self.len).and_then(|()| self.file.write_all(&bytes)).and_then(|()| self.file.sync_data());
        written.map_err(|e| format!("the log of removals {} can not be written: {e}", self.path.display()))?;
        (self.n, self.len) = (line.n, self.len + bytes.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal(subject: &str) -> Removal {
        let subject = subject.parse().unwrap();
        Removal { subject, what: Decision::Held, reason: Some("relay".into()), source: None, until: Some(Time(9)), author: "a".into() }
    }

    #[test]
    fn lines_read_back_and_a_cut_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk/removals.log");
        let mut log = Removals::open(&path, 0).unwrap();
        let serials = |n: u32| BTreeMap::from([("bl.example".to_string(), Serial(n))]);
        log.write(Time(1), vec![removal("45.1.1.1")], &serials(5)).unwrap();
        log.write(Time(2), vec![], &serials(6)).unwrap();
        log.write(Time(3), vec![], &serials(5 + AHEAD + 1)).unwrap();
        let lines = read(&path).unwrap();
        assert_eq!(
            lines.iter().map(|l| (l.n, l.events.len(), l.serials.get("bl.example").copied())).collect::<Vec<_>>(),
            [(1, 1, Some(5 + AHEAD)), (2, 0, Some(5 + 2 * AHEAD + 1))]
        );
        let mut cut = std::fs::read(&path).unwrap();
        cut.extend(b"{\"n\":3,\"at\":");
        std::fs::write(&path, &cut).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
        let mut log = Removals::open(&path, 7).unwrap();
        log.write(Time(4), vec![removal("45.1.1.2")], &BTreeMap::new()).unwrap();
        assert_eq!(read(&path).unwrap().last().unwrap().n, 8, "never a number that the store has seen");
        // A line that is longer than what is read of the end first, and nothing whole behind it.
        let many = (0..2000).map(|i| removal(&format!("45.2.{}.{}", i >> 8, i & 255))).collect();
        log.write(Time(5), many, &BTreeMap::new()).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        assert!(whole > 2 * TAIL);
        let (lines, len) = tail(&path).unwrap();
        assert_eq!((lines.last().map(|l| (l.n, l.events.len())), len), (Some((9, 2000)), whole));
        assert_eq!(Removals::open(&path, 0).unwrap().n, 9);
        std::fs::write(&path, "nonsense\n{}\n").unwrap();
        assert!(read(&path).unwrap_err().contains("removals.log:1: "));
    }
}
