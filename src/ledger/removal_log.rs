//! The open removal log: written before each commit, and checked.
//!
//! A log that was deleted, emptied, truncated, damaged or replaced is noticed before the next line
//! is written, or within ten seconds. Depending on the setting `on_loss`, writes stop then, or the
//! log is restarted: with the lines that can still be read, the serials, and a record of the gap,
//! so that a later restore reports what is missing.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::removals::{
    Gap, Line, LineGaps, Ranges, Removal, encode, put_in_place, tail, visit, with_suffix,
};
use crate::{
    model::{Serial, Time},
    store::{Store, StoreError},
};

/// How far ahead serials are recorded, so that not every commit has to record its own.
const SERIALS_AHEAD: u32 = 4096;
/// The file mode of a log, which names hosts and people.
const MODE: u32 = 0o600;

/// What the ledger does if the removal log is lost or damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum OnLoss {
    /// It refuses writes until the log is intact again.
    #[default]
    Stop,
    /// It restarts the log, with a record of the missing lines.
    Restart,
}

/// The last line of the log that the store knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LastLine {
    /// The number of the line; 0 if there is none.
    pub(super) n: u64,
    /// The checksum of the line, if it is known.
    pub(super) sum: Option<u32>,
    /// The store's identity in hexadecimal digits.
    pub(super) store: String,
}

impl LastLine {
    pub(super) fn of(store: &Store) -> Result<LastLine, StoreError> {
        Ok(LastLine {
            n: store.removals()?,
            sum: store.removals_sum()?,
            store: store.id().iter().map(|b| format!("{b:02x}")).collect(),
        })
    }
}

/// Why a log is not the one that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLoss {
    /// The problem, for users; it begins with the path.
    pub(super) why: String,
    /// Whether the file belongs to another store or program. Such a file is never moved, and writes
    /// stop whatever the setting.
    pub(super) foreign: bool,
}

/// File metadata that stays the same as long as no other program changes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn of(m: &fs::Metadata) -> FileStamp {
        FileStamp {
            file: (m.dev(), m.ino()),
            len: m.len(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// The open removal log; see the module.
#[derive(Debug)]
pub(super) struct RemovalLog {
    path: PathBuf,
    /// The file that is written to; `None` if the log was lost before the start.
    file: Option<File>,
    /// The last line that was written.
    known: LastLine,
    /// The length of the complete lines in bytes.
    len: u64,
    /// Whether a failed write may have left bytes after the complete lines. The next write
    /// truncates the file first.
    dirty: bool,
    /// The recorded serial of each zone, which is ahead of the zone's own.
    ahead: BTreeMap<String, u32>,
    /// The metadata of the file after the last write or check.
    stamp: Option<FileStamp>,
    /// The loss that was found, and the metadata of the file then; `None` there: no file.
    loss: Option<(Option<FileStamp>, LogLoss)>,
}

impl RemovalLog {
    /// Opens a log, and creates one for a store that has none. A log that is lost or damaged is
    /// opened too; [`RemovalLog::check`] reports it.
    ///
    /// # Errors
    ///
    /// The path is not that of a plain file, or the file cannot be created.
    pub(super) fn open(path: &Path, known: LastLine) -> Result<RemovalLog, String> {
        let named = |e: std::io::Error| format!("removal_log.path: {}: {e}", path.display());
        if let Some(folder) = path.parent() {
            crate::store::private::create_dir(folder).map_err(named)?;
        }
        if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return Err(format!(
                "removal_log.path: {} is not a plain file",
                path.display()
            ));
        }
        // Before the first check, because it changes a time that the check records.
        crate::store::private::restrict_file(path);
        let mut log = RemovalLog {
            path: path.to_path_buf(),
            file: None,
            known,
            len: 0,
            dirty: false,
            ahead: BTreeMap::new(),
            stamp: None,
            loss: None,
        };
        if !path.exists() && log.known.n == 0 {
            open_file(path, true).map_err(named)?;
        }
        let _ = log.check(false);
        Ok(log)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the last line.
    pub(super) fn n(&self) -> u64 {
        self.known.n
    }

    /// The checksum of the last line, if it is known.
    pub(super) fn sum(&self) -> Option<u32> {
        self.known.sum
    }

    /// Checks that the file is the one that was written, with the content that was written. A
    /// `thorough` check reads the whole file; other checks read it only if its metadata has
    /// changed.
    ///
    /// # Errors
    ///
    /// The log is lost or damaged.
    pub(super) fn check(&mut self, thorough: bool) -> Result<(), LogLoss> {
        let found = fs::metadata(&self.path);
        let stamp = found.as_ref().ok().map(FileStamp::of);
        if let Some((seen, loss)) = &self.loss
            && *seen == stamp
        {
            return Err(loss.clone());
        }
        if self.loss.is_none() && stamp.is_some() && stamp == self.stamp && !thorough {
            return Ok(());
        }
        let result = match found {
            Ok(m) if !m.is_file() => Err(self.foreign("is not a plain file")),
            Ok(m) => self.examine(FileStamp::of(&m), thorough),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(match &self.file {
                Some(_) => self.lost("was deleted while it was open"),
                None => self.lost(&format!(
                    "is missing, and the store knows line {}",
                    self.known.n
                )),
            }),
            Err(e) => Err(self.lost(&format!("cannot be checked: {e}"))),
        };
        self.loss = result.as_ref().err().map(|loss| (stamp, loss.clone()));
        result
    }

    /// Checks an existing file, and continues with it if it is the log that was written.
    fn examine(&mut self, stamp: FileStamp, thorough: bool) -> Result<(), LogLoss> {
        let ours = self.file.is_some() && self.stamp.is_some_and(|s| s.file == stamp.file);
        if ours && stamp.len < self.len {
            return Err(self.lost(&format!(
                "was truncated to {} of {} bytes",
                stamp.len, self.len
            )));
        }
        let unreadable =
            |log: &RemovalLog, e: std::io::Error| log.lost(&format!("cannot be read: {e}"));
        let mut file = open_file(&self.path, false).map_err(|e| unreadable(self, e))?;
        let cause = if ours {
            "was changed"
        } else if self.file.is_some() {
            "was replaced"
        } else {
            "is damaged"
        };
        let (lines, len) = tail(&mut file).map_err(|e| unreadable(self, e))?;
        let mut last = (0, None);
        for line in &lines {
            let line = line.as_ref().map_err(|e| {
                self.lost(&format!("{cause}: a line near its end cannot be read: {e}"))
            })?;
            self.check_store(line)?;
            if line.n == self.known.n && self.known.sum.is_some_and(|known| known != line.sum) {
                return Err(self.lost(&format!(
                    "{cause}: line {} is not the one that was written",
                    line.n
                )));
            }
            last = (line.n, Some(line.sum));
        }
        self.check_first_line(&file, cause)?;
        if last.0 < self.known.n {
            let end = if last.0 == 0 {
                "is empty".into()
            } else {
                format!("ends with line {}", last.0)
            };
            return Err(self.lost(&format!("{end}, and the store knows line {}", self.known.n)));
        }
        if last.0 > self.known.n && self.file.is_some() && !self.dirty {
            return Err(
                self.foreign("was written to by another program; two daemons cannot share a log")
            );
        }
        if thorough || self.file.is_some() {
            self.check_all_lines(&file, cause)?;
        }
        self.stamp = Some(stamp);
        if ours && self.dirty {
            return Ok(()); // The next write removes what a failed one has left.
        }
        // Remove an incomplete last line, whose writing a power failure has interrupted.
        if len < stamp.len {
            file.set_len(len)
                .map_err(|e| self.lost(&format!("cannot be written: {e}")))?;
            self.stamp = file.metadata().ok().map(|m| FileStamp::of(&m));
        }
        // Only serials near the end of the log are known; others are recorded with the next commit.
        for line in lines.into_iter().flatten() {
            self.ahead.extend(line.serials);
        }
        (self.known.n, self.known.sum) = last;
        (self.len, self.file, self.dirty) = (len, Some(file), false);
        Ok(())
    }

    /// Checks that the first line belongs to this store.
    fn check_first_line(&self, file: &File, cause: &str) -> Result<(), LogLoss> {
        let mut first = Ok(());
        let _ = from_start(file).and_then(|mut reader| {
            visit(&mut reader, &mut |_, _, line| {
                let line = line.map_err(|e| format!("{cause}: its first line cannot be read: {e}"));
                first = line
                    .map_err(|why| self.lost(&why))
                    .and_then(|line| self.check_store(&line));
                Err(std::io::ErrorKind::Interrupted.into()) // stops after the first line
            })
        });
        first
    }

    fn check_store(&self, line: &Line) -> Result<(), LogLoss> {
        if line.store.is_empty() || line.store == self.known.store {
            return Ok(());
        }
        Err(self.foreign("is the log of another store"))
    }

    /// Checks every line, and that no line is missing without a record.
    fn check_all_lines(&self, file: &File, cause: &str) -> Result<(), LogLoss> {
        let found = from_start(file).and_then(|mut reader| find_damage(&mut reader));
        match found.map_err(|e| self.lost(&format!("cannot be read: {e}")))? {
            None => Ok(()),
            Some((Some(place), e)) => {
                Err(self.lost(&format!("{cause}: line {place} of the file: {e}")))
            }
            Some((None, gap)) => Err(self.lost(&format!("{cause}: {gap}"))),
        }
    }

    fn lost(&self, what: &str) -> LogLoss {
        LogLoss {
            why: format!("the removal log {} {what}", self.path.display()),
            foreign: false,
        }
    }

    fn foreign(&self, what: &str) -> LogLoss {
        LogLoss {
            why: format!(
                "the removal log {} {what}; name another file in `path` of [removal_log], or move this one away",
                self.path.display()
            ),
            foreign: true,
        }
    }

    /// Writes the decisions of a commit, and the serials that it moves beyond the recorded ones,
    /// and syncs the file. Without any of these nothing is written. The log has to be checked
    /// before.
    pub(super) fn write(
        &mut self,
        at: Time,
        events: Vec<Removal>,
        serials: &BTreeMap<String, Serial>,
    ) -> Result<(), String> {
        let past =
            |(o, s): &(&String, &Serial)| self.ahead.get(*o).is_none_or(|a| Serial(*a) < **s);
        let serials = ahead_of(serials.iter().filter(past));
        if events.is_empty() && serials.is_empty() {
            return Ok(());
        }
        self.append(Line {
            events,
            serials,
            ..self.next_line(at)
        })
    }

    /// Writes a rename of a reason or source, and syncs the file. The log has to be checked before.
    pub(super) fn rename(&mut self, at: Time, rename: &super::Rename) -> Result<(), String> {
        self.append(Line {
            rename: Some(rename.clone()),
            ..self.next_line(at)
        })
    }

    /// The next line, without content. The first line names the store.
    fn next_line(&self, at: Time) -> Line {
        let store = match self.known.n {
            0 => self.known.store.clone(),
            _ => String::new(),
        };
        Line {
            n: self.known.n + 1,
            at: at.to_string(),
            store,
            ..Line::default()
        }
    }

    fn append(&mut self, line: Line) -> Result<(), String> {
        let (mut bytes, sum) = encode(&line)?;
        bytes.push(b'\n');
        let unwritable = |path: &Path, e: &dyn std::fmt::Display| {
            format!("the removal log {} cannot be written: {e}", path.display())
        };
        let Some(file) = &mut self.file else {
            return Err(unwritable(&self.path, &"it is not open"));
        };
        let written = file
            .set_len(self.len)
            .and_then(|()| file.write_all(&bytes))
            .and_then(|()| file.sync_data());
        self.dirty = written.is_err();
        self.stamp = file.metadata().ok().map(|m| FileStamp::of(&m));
        written.map_err(|e| unwritable(&self.path, &e))?;
        (self.known.n, self.known.sum, self.len) =
            (line.n, Some(sum), self.len + bytes.len() as u64);
        self.ahead.extend(line.serials);
        Ok(())
    }

    /// Restarts the log at `path`, with the lines that can still be read and a record of the gap,
    /// which it returns. A file that is there is moved aside.
    ///
    /// # Errors
    ///
    /// The file there belongs to another store or program, or the log cannot be written.
    pub(super) fn restart(
        &mut self,
        path: &Path,
        at: Time,
        why: &str,
        serials: &BTreeMap<String, Serial>,
    ) -> Result<Gap, String> {
        if let Some((_, loss)) = self.loss.as_ref().filter(|(_, loss)| loss.foreign) {
            return Err(loss.why.clone());
        }
        let named = |e: std::io::Error| {
            format!(
                "the removal log {} cannot be restarted: {e}",
                path.display()
            )
        };
        // A file that was deleted or replaced is still open, and can be read.
        let source = self
            .file
            .as_ref()
            .map_or_else(|| File::open(path), File::try_clone);
        let source = match source {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            found => Some(found.map_err(named)?),
        };
        let new = with_suffix(path, ".new");
        let _ = fs::remove_file(&new);
        let mut out = BufWriter::new(open_file(&new, true).map_err(named)?);
        let missing = match &source {
            Some(file) => copy_lines(file, &self.known, &mut out).map_err(named)?,
            None => gap_after(0, self.known.n).into_iter().collect(),
        };
        let gap = Gap {
            missing,
            why: why.into(),
        };
        let line = Line {
            serials: ahead_of(serials),
            store: self.known.store.clone(),
            gap: Some(gap.clone()),
            ..self.next_line(at)
        };
        let (mut bytes, _) = encode(&line)?;
        bytes.push(b'\n');
        out.write_all(&bytes).map_err(named)?;
        let file = out.into_inner().map_err(|e| named(e.into_error()))?;
        file.sync_all().map_err(named)?;
        let lost = with_suffix(path, &format!(".lost-{}", line.n));
        let aside = path.exists().then_some(&*lost);
        put_in_place(&new, path, aside).map_err(named)?;
        let known = LastLine {
            n: line.n,
            sum: None,
            store: std::mem::take(&mut self.known.store),
        };
        *self = RemovalLog::open(path, known)?;
        self.check(false).map_err(|loss| loss.why)?;
        Ok(gap)
    }
}

/// Copies the lines of a log that can be read and that the store knows. Returns the runs of missing
/// lines.
fn copy_lines(
    source: &File,
    known: &LastLine,
    out: &mut impl Write,
) -> std::io::Result<Vec<(u64, u64)>> {
    let (mut missing, mut last, mut looks_like_a_log) = (Vec::new(), 0, true);
    visit(&mut from_start(source)?, &mut |place, bytes, line| {
        match line {
            Ok(line) if line.n > last && line.n <= known.n => {
                missing.extend(gap_after(last, line.n - 1));
                last = line.n;
                out.write_all(bytes)?;
                out.write_all(b"\n")?;
            }
            Ok(_) => {}
            Err(_) if place == 1 => {
                looks_like_a_log = bytes.first().is_none_or(|b| [b'{', 0].contains(b));
            }
            Err(_) => {}
        }
        Ok(())
    })?;
    if last == 0 && !looks_like_a_log {
        return Err(std::io::Error::other(
            "the file there is not a removal log; move it away, or name another one in `path` of [removal_log]",
        ));
    }
    missing.extend(gap_after(last, known.n));
    Ok(missing)
}

/// The run of numbers after `last` up to `to`, unless it is empty.
fn gap_after(last: u64, to: u64) -> Option<(u64, u64)> {
    (last < to).then_some((last + 1, to))
}

fn ahead_of<'a>(
    serials: impl IntoIterator<Item = (&'a String, &'a Serial)>,
) -> BTreeMap<String, u32> {
    serials
        .into_iter()
        .map(|(o, s)| (o.clone(), s.0.wrapping_add(SERIALS_AHEAD)))
        .collect()
}

fn open_file(path: &Path, new: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .create_new(new)
        .read(true)
        .append(true)
        .mode(MODE)
        .open(path)
}

fn from_start(mut file: &File) -> std::io::Result<BufReader<&File>> {
    file.rewind()?;
    Ok(BufReader::new(file))
}

/// Checks a whole log file, while the writer may be appending to it.
///
/// # Errors
///
/// The file cannot be read, a line is damaged, or lines are missing without a record.
pub fn verify(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let named = |e: std::io::Error| format!("{shown}: {e}");
    let file = File::open(path).map_err(named)?;
    match find_damage(&mut BufReader::new(file)).map_err(named)? {
        None => Ok(()),
        Some((Some(place), e)) => Err(format!("{shown}:{place}: {e}")),
        Some((None, gap)) => Err(format!("{shown}: {gap}")),
    }
}

/// Finds the first damaged line, with its number in the file, or else the lines that are missing
/// without a record.
fn find_damage(log: &mut impl BufRead) -> std::io::Result<Option<(Option<usize>, String)>> {
    let (mut damage, mut gaps) = (None, LineGaps::default());
    visit(log, &mut |place, _, line| {
        match line {
            Ok(line) => gaps.add(&line),
            Err(e) => _ = damage.get_or_insert((Some(place), e)),
        }
        Ok(())
    })?;
    let missing = gaps.unrecorded();
    let gap = (!missing.is_empty()).then(|| (None, format!("{} missing", Ranges(&missing))));
    Ok(damage.or(gap))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::removals::read, model::event::EventName};

    fn removal(subject: &str) -> Removal {
        let subject = subject.parse().unwrap();
        Removal {
            subject,
            decision: EventName::Held,
            reason: Some("relay".into()),
            source: None,
            until: Some(Time(9)),
            author: "a".into(),
        }
    }

    fn known(n: u64) -> LastLine {
        LastLine {
            n,
            sum: None,
            store: "0123".into(),
        }
    }

    fn serials(n: u32) -> BTreeMap<String, Serial> {
        BTreeMap::from([("bl.example".to_string(), Serial(n))])
    }

    /// A log of five lines.
    fn five(path: &Path) -> RemovalLog {
        let mut log = RemovalLog::open(path, known(0)).unwrap();
        (1..=5).for_each(|i| {
            log.write(Time(i), vec![removal(&format!("45.1.1.{i}"))], &serials(1))
                .unwrap();
        });
        log
    }

    fn numbers(path: &Path) -> Vec<u64> {
        read(path).unwrap().lines.iter().map(|l| l.n).collect()
    }

    #[test]
    fn serials_are_recorded_ahead_and_an_incomplete_line_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk/removals.log");
        let mut log = RemovalLog::open(&path, known(0)).unwrap();
        log.write(Time(1), vec![removal("45.1.1.1")], &serials(5))
            .unwrap();
        log.write(Time(2), vec![], &serials(6)).unwrap();
        log.write(Time(3), vec![], &serials(5 + SERIALS_AHEAD + 1))
            .unwrap();
        let found: Vec<_> = read(&path)
            .unwrap()
            .lines
            .iter()
            .map(|l| (l.n, l.events.len(), l.serials.get("bl.example").copied()))
            .collect();
        assert_eq!(
            found,
            [
                (1, 1, Some(5 + SERIALS_AHEAD)),
                (2, 0, Some(5 + 2 * SERIALS_AHEAD + 1))
            ]
        );
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"n\":3,\"at\":"].concat()).unwrap();
        let mut log = RemovalLog::open(
            &path,
            LastLine {
                sum: log.sum(),
                ..known(2)
            },
        )
        .unwrap();
        log.check(true).unwrap();
        log.write(Time(4), vec![removal("45.1.1.2")], &BTreeMap::new())
            .unwrap();
        assert_eq!(numbers(&path), [1, 2, 3]);
    }

    /// Damage to a log: its name, the change of the file, a part of the message, and the lines that
    /// are missing afterwards if the log was open, and if it was not.
    type Damage = (
        &'static str,
        fn(&Path),
        &'static str,
        &'static [(u64, u64)],
        &'static [(u64, u64)],
    );

    fn rewrite(path: &Path, f: impl Fn(Vec<String>) -> String) {
        let lines = fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|l| format!("{l}\n"))
            .collect();
        fs::write(path, f(lines)).unwrap();
    }

    /// Replaces the file by another one with the same name.
    fn replace(path: &Path, text: &[u8]) {
        let other = path.with_extension("other");
        fs::write(&other, text).unwrap();
        fs::rename(other, path).unwrap();
    }

    const DAMAGES: [Damage; 9] = [
        (
            "deleted",
            |p| fs::remove_file(p).unwrap(),
            "",
            &[],
            &[(1, 5)],
        ),
        (
            "emptied",
            |p| fs::write(p, "").unwrap(),
            "",
            &[(1, 5)],
            &[(1, 5)],
        ),
        (
            "truncated between lines",
            |p| rewrite(p, |l| l[..3].concat()),
            "",
            &[(4, 5)],
            &[(4, 5)],
        ),
        (
            "truncated within a line",
            |p| rewrite(p, |l| l.concat()[..l.concat().len() - 20].into()),
            "",
            &[(5, 5)],
            &[(5, 5)],
        ),
        (
            "its end zeroed",
            |p| {
                let mut bytes = fs::read(p).unwrap();
                let end = bytes.len() - 100;
                bytes[end..].fill(0);
                fs::write(p, bytes).unwrap();
            },
            "",
            &[(5, 5)],
            &[(5, 5)],
        ),
        (
            "zeroed",
            |p| fs::write(p, vec![0; fs::metadata(p).unwrap().len() as usize]).unwrap(),
            "",
            &[(1, 5)],
            &[(1, 5)],
        ),
        (
            "a byte flipped",
            |p| rewrite(p, |l| l.concat().replace("45.1.1.3", "45.1.1.7")),
            "checksum",
            &[(3, 3)],
            &[(3, 3)],
        ),
        (
            "replaced by an older copy",
            |p| {
                replace(
                    p,
                    fs::read_to_string(p)
                        .unwrap()
                        .split_inclusive('\n')
                        .take(2)
                        .collect::<String>()
                        .as_bytes(),
                );
            },
            "ends with line 2",
            &[],
            &[(3, 5)],
        ),
        (
            "replaced by an empty file",
            |p| replace(p, b""),
            "is empty",
            &[],
            &[(1, 5)],
        ),
    ];

    #[test]
    fn damaged_log_is_noticed_and_restarted_with_a_record_of_the_gap() {
        for (name, damage, message, missing_open, missing_later) in DAMAGES {
            for open in [true, false] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("removals.log");
                let mut log = five(&path);
                log.check(false).unwrap();
                let sum = log.sum();
                damage(&path);
                if !open {
                    log = RemovalLog::open(&path, LastLine { sum, ..known(5) }).unwrap();
                }
                let loss = log.check(!open).unwrap_err();
                assert!(loss.why.contains(message), "{name}: {}", loss.why);
                assert_eq!(log.check(false).unwrap_err(), loss, "{name}: it stays lost");
                let missing = if open { missing_open } else { missing_later };
                let gap = log.restart(&path, Time(9), "lost", &serials(7)).unwrap();
                assert_eq!(gap.missing, missing, "{name}, open: {open}");
                log.check(true).unwrap();
                log.write(Time(10), vec![removal("45.2.2.2")], &serials(8))
                    .unwrap();
                let gone = |n: &u64| missing.iter().any(|(a, b)| a <= n && n <= b);
                assert_eq!(
                    numbers(&path),
                    (1..=7).filter(|n| !gone(n)).collect::<Vec<_>>(),
                    "{name}, open: {open}"
                );
                let found = read(&path).unwrap();
                let record = found.lines.iter().find(|l| l.n == 6).unwrap();
                assert_eq!(record.gap.as_ref().map(|g| &g.missing[..]), Some(missing));
                assert_eq!(
                    record.serials["bl.example"],
                    7 + SERIALS_AHEAD,
                    "a restore continues after these serials"
                );
                assert_eq!(found.missing_after(0), missing.to_vec(), "{name}");
            }
        }
    }

    #[test]
    fn missing_line_is_found_by_a_thorough_check() {
        for (gone, missing) in [(0, "line 1 is"), (1, "line 2 is"), (3, "line 4 is")] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("removals.log");
            let sum = five(&path).sum();
            verify(&path).unwrap();
            rewrite(&path, |lines| {
                lines
                    .into_iter()
                    .enumerate()
                    .filter(|(i, _)| *i != gone)
                    .map(|(_, l)| l)
                    .collect()
            });
            assert!(verify(&path).unwrap_err().contains(missing), "line {gone}");
            let mut log = RemovalLog::open(&path, LastLine { sum, ..known(5) }).unwrap();
            assert!(
                log.check(true).unwrap_err().why.contains(missing),
                "line {gone}"
            );
            // A recorded gap is accepted.
            log.restart(&path, Time(9), "lost", &serials(7)).unwrap();
            verify(&path).unwrap();
            log.check(true).unwrap();
        }
    }

    #[test]
    fn file_of_another_store_or_program_is_never_moved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("removals.log");
        let mut log = five(&path);
        let other = LastLine {
            n: 5,
            sum: log.sum(),
            store: "4567".into(),
        };
        for (text, message) in [
            (fs::read(&path).unwrap(), "another store"),
            (b"root:x:0:0\n".to_vec(), "not a removal log"),
        ] {
            replace(&path, &text);
            let mut log = RemovalLog::open(&path, other.clone()).unwrap();
            log.check(false).unwrap_err();
            let why = log
                .restart(&path, Time(9), "lost", &serials(7))
                .unwrap_err();
            assert!(why.contains(message), "{why}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
        // Two daemons that share a log.
        let path = dir.path().join("shared.log");
        log = five(&path);
        RemovalLog::open(&path, known(5))
            .unwrap()
            .write(Time(9), vec![removal("45.1.1.9")], &BTreeMap::new())
            .unwrap();
        assert!(
            log.check(false)
                .unwrap_err()
                .why
                .contains("another program")
        );
    }

    #[test]
    fn intact_log_that_was_copied_or_touched_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("removals.log");
        let mut log = five(&path);
        let copy = fs::read(&path).unwrap();
        replace(&path, &copy);
        log.check(false).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        log.check(false).unwrap();
        fs::remove_file(&path).unwrap();
        log.check(false).unwrap_err();
        fs::write(&path, &copy).unwrap(); // an operator puts it back
        log.check(false).unwrap();
        log.write(Time(9), vec![removal("45.1.1.9")], &BTreeMap::new())
            .unwrap();
        assert_eq!(numbers(&path), [1, 2, 3, 4, 5, 6]);
    }
}
