//! The removal log: a file outside the store, preferably on another disk, so that a store that is
//! restored from an older copy does not list hosts that were removed since.
//!
//! Each line is JSON with a number and a checksum. A commit that delists, suppresses or exempts
//! writes and syncs its line before its batch, and the batch has the line's number and checksum. A
//! restored store therefore knows which lines are new to it, and a running one notices that its log
//! is not the one that it wrote ([`super::removal_log`]). Lines also have, some way ahead, the
//! serials that may have been published.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        Event, SourceId, Subject, Time,
        event::{EventKind, EventName},
    },
    store::Dictionary,
};

/// The bytes at the end of a log that a start reads first; it reads more if the last line is
/// longer.
const TAIL: u64 = 64 * 1024;
/// The text before and after the checksum of a line, which is eight hexadecimal digits.
const SUM: (&[u8], &[u8]) = (b",\"sum\":\"", b"\"}");

/// A line of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The number, from 1.
    pub n: u64,
    /// The time at which it was written (RFC 3339).
    pub at: String,
    /// The decisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Removal>,
    /// For each origin a serial that the zone has not passed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serials: BTreeMap<String, u32>,
    /// A rename of a reason or source. The lines after it use the new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<super::Rename>,
    /// The identity of the store in hexadecimal digits; in the first line of a log, and in the line
    /// with which it was restarted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub store: String,
    /// The missing lines, in the line with which the log was restarted after a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// The checksum, as it was read.
    #[serde(skip)]
    pub sum: u32,
}

/// Lines that a log has lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first and last number of each run of missing lines.
    pub missing: Vec<(u64, u64)>,
    /// Why they are missing.
    pub why: String,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.missing[..] {
            [] => write!(f, "no line is missing ({})", self.why),
            _ => write!(f, "{} missing ({})", Ranges(&self.missing), self.why),
        }
    }
}

/// Formats runs of line numbers: `lines 3 to 5, 9 are`.
pub(super) struct Ranges<'a>(pub(super) &'a [(u64, u64)]);

impl std::fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = |(a, b): &(u64, u64)| {
            if a == b {
                a.to_string()
            } else {
                format!("{a} to {b}")
            }
        };
        let all: Vec<String> = self.0.iter().map(one).collect();
        match &self.0 {
            [(a, b)] if a == b => write!(f, "line {a} is"),
            _ => write!(f, "lines {} are", all.join(", ")),
        }
    }
}

/// A decision that a restore replays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The subject.
    pub subject: Subject,
    /// The kind of the decision: a listing was removed, a hold or an exemption began or ended.
    #[serde(rename = "what")]
    pub decision: EventName,
    /// The reason; `None` for exemptions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The source; `None`: all sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The end of the hold or exemption, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The author.
    pub author: String,
}

impl Removal {
    /// The decision to log for an event; `None` if it needs no record.
    ///
    /// The end of a hold or exemption is not logged if it is a `consequence` of its time or of the
    /// entries of a source, because it happens again in a restored store.
    pub fn of(subject: &Subject, e: &Event, consequence: bool, v: &Dictionary) -> Option<Removal> {
        match e.kind.name() {
            EventName::HoldEnded | EventName::ExemptEnded if !consequence => {}
            EventName::Delisted | EventName::Held | EventName::Exempted => {}
            _ => return None,
        }
        let about = e.kind.about();
        let source = about.filter(|(_, s)| *s != SourceId::ALL);
        Some(Removal {
            subject: subject.clone(),
            decision: e.kind.name(),
            reason: about.map(|(r, _)| v.reasons.name(r).to_string()),
            source: source.map(|(_, s)| v.sources.name(s).to_string()),
            until: match e.kind {
                EventKind::Held { until, .. } => Some(until),
                EventKind::Exempted { until } => until,
                _ => None,
            },
            author: e.author.clone(),
        })
    }

    /// The event of the decision, with the numbers of a store; `None` if the store does not know
    /// the names, or such an event is not a decision.
    pub fn event_kind(&self, v: &Dictionary) -> Option<EventKind> {
        let listing = || {
            let source = self.source.as_ref();
            let source = source.map_or(Some(SourceId::ALL), |s| v.sources.get(s));
            Some((v.reasons.get(self.reason.as_ref()?)?, source?))
        };
        match self.decision {
            EventName::Delisted => {
                listing().map(|(reason, source)| EventKind::Delisted { reason, source })
            }
            EventName::Held => {
                let ((reason, source), until) = (listing()?, self.until?);
                Some(EventKind::Held {
                    reason,
                    source,
                    until,
                })
            }
            EventName::HoldEnded => {
                listing().map(|(reason, source)| EventKind::HoldEnded { reason, source })
            }
            EventName::Exempted => Some(EventKind::Exempted { until: self.until }),
            EventName::ExemptEnded => Some(EventKind::ExemptEnded),
            _ => None,
        }
    }
}

/// Encodes a line of a log, without the newline. Returns it with its checksum.
pub(super) fn encode(line: &Line) -> Result<(Vec<u8>, u32), String> {
    let mut bytes = serde_json::to_vec(line).map_err(|e| e.to_string())?;
    bytes.pop(); // the brace that closes it
    let sum = crc32fast::hash(&bytes);
    bytes.extend([SUM.0, format!("{sum:08x}").as_bytes(), SUM.1].concat());
    Ok((bytes, sum))
}

/// Decodes a line of a log. Lines of earlier versions have no checksum; the checksum of all their
/// bytes is used.
pub(super) fn decode(bytes: &[u8]) -> Result<Line, String> {
    let tail = SUM.0.len() + 8 + SUM.1.len();
    let (body, end) = bytes.split_at(bytes.len().saturating_sub(tail));
    let mut sum = crc32fast::hash(bytes);
    if let Some(digits) = end.strip_prefix(SUM.0).and_then(|e| e.strip_suffix(SUM.1)) {
        sum = crc32fast::hash(body);
        if digits != format!("{sum:08x}").as_bytes() {
            return Err("the checksum does not match".into());
        }
    }
    serde_json::from_slice(bytes)
        .map(|line| Line { sum, ..line })
        .map_err(|e| e.to_string())
}

/// The contents of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The lines that can be read, in order.
    pub lines: Vec<Line>,
    /// The positions of the lines that cannot be read, with the reason.
    pub damaged: Vec<String>,
    /// Whether the last line cannot be read. Then the number of missing lines is unknown.
    pub end_damaged: bool,
}

/// Collects the runs of missing line numbers while the lines are read in order.
#[derive(Debug, Default)]
pub(super) struct LineGaps {
    last: Option<u64>,
    found: Vec<(u64, u64)>,
    recorded: Vec<(u64, u64)>,
}

impl LineGaps {
    pub(super) fn add(&mut self, line: &Line) {
        // A log begins with line 1, or with one that names the store.
        let before = self
            .last
            .replace(line.n)
            .or(line.store.is_empty().then_some(0));
        if let Some(last) = before.filter(|last| line.n != last + 1) {
            self.found
                .push((last + 1, line.n.saturating_sub(1).max(last + 1)));
        }
        self.recorded
            .extend(line.gap.iter().flat_map(|gap| &gap.missing));
    }

    /// The runs that no recorded gap covers.
    pub(super) fn unrecorded(self) -> Vec<(u64, u64)> {
        let covered =
            |(a, b): &(u64, u64)| self.recorded.iter().any(|(from, to)| from <= a && b <= to);
        self.found.into_iter().filter(|run| !covered(run)).collect()
    }
}

impl Contents {
    /// The runs of missing lines that no recorded gap covers.
    pub(super) fn unrecorded_gaps(&self) -> Vec<(u64, u64)> {
        let mut holes = LineGaps::default();
        self.lines.iter().for_each(|l| holes.add(l));
        holes.unrecorded()
    }

    /// The runs of missing lines after line `known`.
    pub fn missing_after(&self, known: u64) -> Vec<(u64, u64)> {
        let mut last = known;
        let mut out = Vec::new();
        for line in self.lines.iter().filter(|l| l.n > known) {
            if line.n > last + 1 {
                out.push((last + 1, line.n - 1));
            }
            last = last.max(line.n);
        }
        out
    }
}

/// Receives a line of a log: its number in the file, its bytes, and the decoded line.
pub(super) type LineFn<'f> =
    &'f mut dyn FnMut(usize, &[u8], Result<Line, String>) -> std::io::Result<()>;

/// Passes each line of a log to `f`, with its number in the file from 1. A last line without a newline was not written completely, and is left out.
pub(super) fn visit(file: &mut impl BufRead, f: LineFn) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for place in 1.. {
        bytes.clear();
        file.read_until(b'\n', &mut bytes)?;
        match bytes.split_last() {
            Some((b'\n', line)) => f(place, line, decode(line))?,
            _ => break,
        }
    }
    Ok(())
}

/// Reads a log.
///
/// # Errors
///
/// The file cannot be read, or none of its lines is a line of a removal log.
pub fn read(path: &Path) -> Result<Contents, String> {
    let shown = path.display();
    let mut out = Contents::default();
    let file = File::open(path).map_err(|e| format!("{shown}: {e}"))?;
    let visited = visit(&mut BufReader::new(file), &mut |place, _, line| {
        out.end_damaged = line.is_err();
        match line {
            Ok(line) => out.lines.push(line),
            Err(e) => out.damaged.push(format!("{shown}:{place}: {e}")),
        }
        Ok(())
    });
    visited.map_err(|e| format!("{shown}: {e}"))?;
    match out.damaged.first() {
        Some(first) if out.lines.is_empty() => Err(format!("{first}; this is not a removal log")),
        _ => Ok(out),
    }
}

/// Counts the subjects that were delisted or held since a time. It reads the part of the log that
/// may be as young, which it finds by the times of some lines.
///
/// # Errors
///
/// The file cannot be read.
pub fn count_since(path: &Path, since: Time) -> std::io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut from, mut to) = (0, file.get_ref().metadata()?.len());
    // The time of the first whole line after a position.
    let mut time_after = |at: u64| -> std::io::Result<Option<Time>> {
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        file.read_until(b'\n', &mut bytes)?;
        bytes.clear();
        file.read_until(b'\n', &mut bytes)?;
        let line = bytes.strip_suffix(b"\n").map(decode);
        Ok(line.and_then(Result::ok).and_then(|l| l.at.parse().ok()))
    };
    while to - from > TAIL {
        let middle = from + (to - from) / 2;
        match time_after(middle)? {
            Some(at) if at < since => from = middle,
            _ => to = middle,
        }
    }
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(from))?;
    let mut count = 0;
    visit(&mut file, &mut |_, _, line| {
        // The first line may be the end of one, and is older then.
        let Some(line) = line
            .ok()
            .filter(|l| l.at.parse().is_ok_and(|at: Time| at >= since))
        else {
            return Ok(());
        };
        let mut subjects: Vec<String> = line
            .events
            .iter()
            .filter(|e| matches!(e.decision, EventName::Delisted | EventName::Held))
            .map(|e| e.subject.to_string())
            .collect();
        subjects.sort_unstable();
        subjects.dedup();
        count += subjects.len() as u64;
        Ok(())
    })?;
    Ok(count)
}

/// What a restore does at the configured path of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The replayed log itself is there, and stays.
    Keep,
    /// No file is there; the log is copied.
    New,
    /// An empty or older log of the same store is there; it is moved aside, and the log is copied.
    Replace,
}

/// Decides how to bring the file `log` with its `contents` to the path `place`.
///
/// # Errors
///
/// The file at `place` is not an older log of the same store.
pub fn placement(log: &Path, contents: &Contents, place: &Path) -> Result<Placement, String> {
    let shown = place.display();
    let found = match std::fs::metadata(place) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Placement::New),
        found => found.map_err(|e| format!("{shown}: {e}"))?,
    };
    if std::fs::canonicalize(log).is_ok_and(|a| std::fs::canonicalize(place).is_ok_and(|b| a == b))
    {
        return Ok(Placement::Keep);
    }
    if found.is_file() && found.len() == 0 {
        return Ok(Placement::Replace);
    }
    let foreign = |what: &str| {
        Err(format!(
            "{shown} {what}; move it away, or name another file in `path` of [removal_log]"
        ))
    };
    if !found.is_file() {
        return foreign("is not a plain file");
    }
    let Ok(there) = read(place) else {
        return foreign("is not a removal log");
    };
    let stores = |c: &Contents| {
        let stores = c.lines.iter().map(|l| l.store.clone());
        stores.filter(|s| !s.is_empty()).collect::<Vec<_>>()
    };
    let (ours, theirs) = (stores(contents), stores(&there));
    // Lines of earlier versions do not name the store.
    let other_line = |l: &Line| contents.lines.iter().any(|o| o.n == l.n && o.sum != l.sum);
    let is_other = if ours.is_empty() || theirs.is_empty() {
        there.lines.iter().any(other_line)
    } else {
        theirs.iter().any(|s| !ours.contains(s))
    };
    if is_other {
        return foreign("is the log of another store");
    }
    match (there.lines.last(), contents.lines.last()) {
        (None, _) => foreign("is not a removal log"),
        (Some(there), last) if there.n > last.map_or(0, |l| l.n) => Err(format!(
            "{shown} is newer than {}: it goes up to line {}; name it with --removal-log, or move it away",
            log.display(),
            there.n
        )),
        _ => Ok(Placement::Replace),
    }
}

/// Copies a replayed log to the path where the daemon expects it. Returns the new path of a file
/// that was moved aside.
pub fn install(log: &Path, place: &Path, placement: Placement) -> Result<Option<PathBuf>, String> {
    let named = |e: std::io::Error| format!("{}: {e}", place.display());
    if placement == Placement::Keep {
        return Ok(None);
    }
    let moved =
        placement == Placement::Replace && std::fs::metadata(place).is_ok_and(|m| m.len() > 0);
    let mut names = (1..).map(|n| with_suffix(place, &format!(".replaced-{n}")));
    let aside = moved.then(|| names.find(|p| !p.exists())).flatten();
    let folder = place.parent();
    folder
        .map_or(Ok(()), crate::store::private::create_dir)
        .map_err(named)?;
    // Copy under another name first, so that an incomplete copy is never taken for the log.
    let new = with_suffix(place, ".new");
    std::fs::copy(log, &new).map_err(named)?;
    crate::store::private::restrict_file(&new);
    File::open(&new).and_then(|f| f.sync_all()).map_err(named)?;
    put_in_place(&new, place, aside.as_deref()).map_err(named)?;
    Ok(aside)
}

/// Renames a complete file to its path `place`. A file that is there is renamed to `aside`.
pub(super) fn put_in_place(new: &Path, place: &Path, aside: Option<&Path>) -> std::io::Result<()> {
    aside.map_or(Ok(()), |aside| std::fs::rename(place, aside))?;
    std::fs::rename(new, place)?;
    let folder = place.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Appends a suffix to the file name of a path.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads the last complete lines of a log: at least one, if there is one. Returns them and the
/// number of bytes up to their end. A start needs no more than these, however long the log is.
pub(super) fn tail(file: &mut File) -> std::io::Result<(Vec<Result<Line, String>>, u64)> {
    let size = file.metadata()?.len();
    let mut window = TAIL;
    loop {
        let from = size.saturating_sub(window);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(window).read_to_end(&mut bytes)?;
        // The first line may begin before the window.
        let start = if from == 0 {
            Some(0)
        } else {
            bytes.iter().position(|b| *b == b'\n').map(|i| i + 1)
        };
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        match start.filter(|s| *s < end || from == 0) {
            None => window *= 8,
            Some(start) => {
                let lines = bytes[start.min(end)..end]
                    .split(|b| *b == b'\n')
                    .filter(|l| !l.is_empty());
                return Ok((lines.map(decode).collect(), from + end as u64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with a changed digit is still JSON; without a checksum, a restore would delist
    /// another host.
    #[test]
    fn changed_byte_of_a_line_is_found() {
        let line = Line {
            n: 7,
            at: "2026-01-01T00:00:00Z".into(),
            store: "ab".into(),
            ..Line::default()
        };
        let (bytes, sum) = encode(&line).unwrap();
        assert_eq!(
            decode(&bytes),
            Ok(Line {
                sum,
                ..line.clone()
            })
        );
        let body = bytes.len() - SUM.0.len() - 8 - SUM.1.len();
        for i in 0..body {
            let mut bytes = bytes.clone();
            bytes[i] ^= 1;
            assert!(decode(&bytes).is_err(), "byte {i}");
        }
        // Lines of earlier versions have no checksum.
        assert_eq!(
            decode(b"{\"n\":7,\"at\":\"2026-01-01T00:00:00Z\",\"store\":\"ab\"}")
                .unwrap()
                .store,
            line.store
        );
    }

    #[test]
    fn damaged_line_is_reported_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("removals.log");
        let mut text = Vec::new();
        for n in 1..=3 {
            text.extend(
                encode(&Line {
                    n,
                    ..Line::default()
                })
                .unwrap()
                .0,
            );
            text.push(b'\n');
        }
        text.extend(b"{\"n\":4,\"at\":"); // not written completely
        let second = text.iter().position(|b| *b == b'\n').unwrap() + 6;
        text[second] ^= 1;
        std::fs::write(&path, &text).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.lines.iter().map(|l| l.n).collect::<Vec<_>>(), [1, 3]);
        assert!(
            found.damaged.len() == 1 && found.damaged[0].contains("removals.log:2: "),
            "{found:?}"
        );
        std::fs::write(&path, "nonsense\n{}\n").unwrap();
        assert!(read(&path).unwrap_err().contains("removals.log:1: "));
    }

    #[test]
    fn restore_replaces_only_an_older_log_of_the_same_store() {
        let dir = tempfile::tempdir().unwrap();
        let log = |name: &str, store: &str, lines: std::ops::RangeInclusive<u64>| {
            let path = dir.path().join(name);
            let mut text = Vec::new();
            for n in lines {
                let store = if n == 1 {
                    store.to_string()
                } else {
                    String::new()
                };
                text.extend(
                    encode(&Line {
                        n,
                        store,
                        ..Line::default()
                    })
                    .unwrap()
                    .0,
                );
                text.push(b'\n');
            }
            std::fs::write(&path, text).unwrap();
            path
        };
        let given = log("given", "ab", 1..=3);
        let contents = read(&given).unwrap();
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let garbage = dir.path().join("garbage");
        std::fs::write(&garbage, "root:x:0:0").unwrap();
        let at = |place: &Path| placement(&given, &contents, place);
        assert_eq!(at(&dir.path().join("nothing")), Ok(Placement::New));
        assert_eq!(at(&given), Ok(Placement::Keep));
        assert_eq!(at(&empty), Ok(Placement::Replace));
        assert_eq!(at(&log("older", "ab", 1..=2)), Ok(Placement::Replace));
        assert!(
            at(&log("newer", "ab", 1..=4))
                .unwrap_err()
                .contains("goes up to line 4")
        );
        assert!(
            at(&log("foreign", "cd", 1..=2))
                .unwrap_err()
                .contains("another store")
        );
        assert!(at(&garbage).unwrap_err().contains("is not a removal log"));
        assert!(at(dir.path()).unwrap_err().contains("is not a plain file"));
        let older = dir.path().join("older");
        let before = std::fs::read(&older).unwrap();
        let aside = install(&given, &older, Placement::Replace)
            .unwrap()
            .unwrap();
        assert_eq!(
            (
                std::fs::read(&older).unwrap(),
                std::fs::read(aside).unwrap()
            ),
            (std::fs::read(&given).unwrap(), before)
        );
    }

    #[test]
    fn removals_since_a_time_are_counted_once_for_each_subject_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("removals.log");
        let event = |i: u64, decision| Removal {
            subject: format!("45.2.{}.{}", i >> 8, i & 255).parse().unwrap(),
            decision,
            reason: Some("relay".into()),
            source: None,
            until: None,
            author: "a".into(),
        };
        let mut text = Vec::new();
        for i in 0..2000 {
            let line = Line {
                n: i + 1,
                at: Time(1_000_000 + i * 60).to_string(),
                events: vec![
                    event(i, EventName::Delisted),
                    event(i, EventName::Held),
                    event(i + 1, EventName::Exempted),
                ],
                ..Line::default()
            };
            text.extend(encode(&line).unwrap().0);
            text.push(b'\n');
        }
        assert!(text.len() as u64 > 4 * TAIL);
        std::fs::write(&path, &text).unwrap();
        for (since, expected) in [(0, 2000), (500, 1500), (1999, 1), (2000, 0)] {
            let since = Time(1_000_000 + since * 60);
            assert_eq!(count_since(&path, since).unwrap(), expected, "{since}");
        }
    }

    #[test]
    fn tail_has_the_last_line_even_if_it_is_very_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("removals.log");
        let events = (0..3000).map(|i| Removal {
            subject: format!("45.2.{}.{}", i >> 8, i & 255).parse().unwrap(),
            decision: EventName::Delisted,
            reason: None,
            source: None,
            until: None,
            author: "a".into(),
        });
        let (mut text, _) = encode(&Line {
            n: 9,
            events: events.collect(),
            ..Line::default()
        })
        .unwrap();
        text.push(b'\n');
        assert!(text.len() as u64 > 2 * TAIL);
        std::fs::write(&path, &text).unwrap();
        let (lines, len) = tail(&mut File::open(&path).unwrap()).unwrap();
        assert_eq!(
            lines
                .last()
                .map(|l| l.as_ref().map(|l| (l.n, l.events.len())).unwrap()),
            Some((9, 3000))
        );
        assert_eq!(len, text.len() as u64);
    }
}
