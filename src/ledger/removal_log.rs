//! The open log of removals: written before each commit, and watched.
//!
//! A log that was deleted, emptied, cut, damaged or replaced is noticed before the next line is
//! written, and within ten seconds where none is. By the setting `on_loss` writes stop then, or the
//! log begins anew: with the lines that can still be read, the serials, and a record of the gap, so
//! that a later restore says what is missing.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufReader, BufWriter, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::removals::{Gap, Holes, Line, Ranges, Removal, encode, tail, visit, with_suffix};
use crate::model::{Serial, Time};

/// How far ahead serials are written down, so that not every commit has to.
const SERIALS_AHEAD: u32 = 4096;
/// The mode of a log: it names hosts and people.
const MODE: u32 = 0o600;

/// What is done when the log of removals is lost or damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Nothing is written until the log is whole again.
    #[default]
    Stop,
    /// The log begins anew, with a record of what is missing.
    Restart,
}

/// What the store knows of its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The number of the last line; 0 where there is none.
    pub(super) n: u64,
    /// Its checksum, where it is known.
    pub(super) sum: Option<u32>,
    /// The store's identity in hexadecimal digits.
    pub(super) store: String,
}

/// Why a log is not the one that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// What is wrong with it, for people; begins with its path.
    pub(super) why: String,
    /// The file is not ours: it is never moved, and writes stop whatever the setting says.
    pub(super) foreign: bool,
}

/// What the file system says of a file that nobody has touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(m: &fs::Metadata) -> Stamp {
        Stamp {
            file: (m.dev(), m.ino()),
            len: m.len(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct RemovalLog {
    path: PathBuf,
    /// The file that is written to; none while the log is lost since the start.
    file: Option<File>,
    /// What the store knows: the last line that was written.
    known: Known,
    /// The bytes of whole lines: what a failed write left after them goes before the next one.
    len: u64,
    /// A failed write may have left bytes after them.
    dirty: bool,
    ahead: BTreeMap<String, u32>,
    /// The file as the last write or examination left it.
    stamp: Option<Stamp>,
    /// What is wrong with it, and the file of which that was found; none where there is no file.
    loss: Option<(Option<Stamp>, Loss)>,
}

impl RemovalLog {
    /// Opens a log, and makes one for a store that has none. A log that is lost or damaged is
    /// opened too, and [`RemovalLog::check`] reports it.
    ///
    /// # Errors
    /// The path cannot be that of a log.
    pub(super) fn open(path: &Path, known: Known) -> Result<RemovalLog, String> {
        let named = |e: std::io::Error| format!("removal_log.path: {}: {e}", path.display());
        if let Some(folder) = path.parent() {
            crate::store::private::create_dir(folder).map_err(named)?;
        }
        if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return Err(format!(
                "removal_log.path: {} is no plain file",
                path.display()
            ));
        }
        // Before the first check: it changes a time that the check remembers.
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

    /// The checksum of the last line, where it is known.
    pub(super) fn sum(&self) -> Option<u32> {
        self.known.sum
    }

    /// Whether the file is the one that was written, as it was written. A `thorough` check reads
    /// all of it; another one does so only where the file system says that somebody else has
    /// touched it.
    pub(super) fn check(&mut self, thorough: bool) -> Result<(), Loss> {
        let found = fs::metadata(&self.path);
        let stamp = found.as_ref().ok().map(Stamp::of);
        if let Some((seen, loss)) = &self.loss
            && *seen == stamp
        {
            return Err(loss.clone());
        }
        if self.loss.is_none() && stamp.is_some() && stamp == self.stamp && !thorough {
            return Ok(());
        }
        let result = match found {
            Ok(m) if !m.is_file() => Err(self.foreign("is no plain file")),
            Ok(m) => self.examine(Stamp::of(&m), thorough),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(match &self.file {
                Some(_) => self.lost("was deleted while it was open"),
                None => self.lost(&format!(
                    "is missing, and the store knows line {}",
                    self.known.n
                )),
            }),
            Err(e) => Err(self.lost(&format!("cannot be looked at: {e}"))),
        };
        self.loss = result.as_ref().err().map(|loss| (stamp, loss.clone()));
        result
    }

    /// Looks at a file that is there, and goes on with it where it is the log that was written.
    fn examine(&mut self, stamp: Stamp, thorough: bool) -> Result<(), Loss> {
        let ours = self.file.is_some() && self.stamp.is_some_and(|s| s.file == stamp.file);
        if ours && stamp.len < self.len {
            return Err(self.lost(&format!("was cut to {} of {} bytes", stamp.len, self.len)));
        }
        let unreadable =
            |log: &RemovalLog, e: std::io::Error| log.lost(&format!("cannot be read: {e}"));
        let mut file = open_file(&self.path, false).map_err(|e| unreadable(self, e))?;
        let how = if ours {
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
                self.lost(&format!("{how}: a line near its end cannot be read: {e}"))
            })?;
            if !line.store.is_empty() && line.store != self.known.store {
                return Err(self.foreign("is the log of another store"));
            }
            if line.n == self.known.n && self.known.sum.is_some_and(|known| known != line.sum) {
                return Err(self.lost(&format!(
                    "{how}: its line {} is not the one that was written",
                    line.n
                )));
            }
            last = (line.n, Some(line.sum));
        }
        self.first_line(&file, how)?;
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
                self.foreign("was written to by another program; no two daemons may share a log")
            );
        }
        if thorough || self.file.is_some() {
            self.read_all(&file, how)?;
        }
        self.stamp = Some(stamp);
        if ours && self.dirty {
            return Ok(()); // the next write cuts what a failed one has left
        }
        // A line that was being written when the power went ends here, so that the next one is
        // whole.
        if len < stamp.len {
            file.set_len(len)
                .map_err(|e| self.lost(&format!("cannot be written: {e}")))?;
            self.stamp = file.metadata().ok().map(|m| Stamp::of(&m));
        }
        // A serial that stands further up is written down again with the next commit.
        for line in lines.into_iter().flatten() {
            self.ahead.extend(line.serials);
        }
        (self.known.n, self.known.sum) = last;
        (self.len, self.file, self.dirty) = (len, Some(file), false);
        Ok(())
    }

    /// Whose log it is.
    fn first_line(&self, file: &File, how: &str) -> Result<(), Loss> {
        let mut first = Ok(());
        let _ = from_start(file).and_then(|mut reader| {
            visit(&mut reader, &mut |_, _, line| {
                first = match line {
                    Ok(line) if !line.store.is_empty() && line.store != self.known.store => {
                        Err(self.foreign("is the log of another store"))
                    }
                    Ok(_) => Ok(()),
                    Err(e) => Err(self.lost(&format!("{how}: its first line cannot be read: {e}"))),
                };
                Err(std::io::ErrorKind::Interrupted.into()) // one is enough
            })
        });
        first
    }

    /// Reads every line.
    fn read_all(&self, file: &File, how: &str) -> Result<(), Loss> {
        let (mut wrong, mut holes) = (None, Holes::default());
        let read = from_start(file).and_then(|mut reader| {
            visit(&mut reader, &mut |(place, _), _, line| {
                match line {
                    Ok(line) => holes.add(&line),
                    Err(e) => {
                        wrong = wrong
                            .take()
                            .or(Some(format!("{how}: line {place} of the file: {e}")));
                    }
                }
                Ok(())
            })
        });
        read.map_err(|e| self.lost(&format!("cannot be read: {e}")))?;
        let missing = holes.unrecorded();
        if wrong.is_none() && !missing.is_empty() {
            wrong = Some(format!("{how}: {} missing", Ranges(&missing)));
        }
        wrong.map_or(Ok(()), |why| Err(self.lost(&why)))
    }

    fn lost(&self, what: &str) -> Loss {
        Loss {
            why: format!("the log of removals {} {what}", self.path.display()),
            foreign: false,
        }
    }

    fn foreign(&self, what: &str) -> Loss {
        Loss {
            why: format!(
                "the log of removals {} {what}; name another file in `path` of [removal_log], or move this one away",
                self.path.display()
            ),
            foreign: true,
        }
    }

    /// Writes what a commit decides, and the serials that it moves beyond those that were written
    /// down; synced. Nothing is written where there is nothing to say. The log has to be checked
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
        let store = if self.known.n == 0 {
            self.known.store.clone()
        } else {
            String::new()
        };
        self.append(Line {
            n: self.known.n + 1,
            at: at.to_string(),
            events,
            serials,
            store,
            ..Line::default()
        })
    }

    /// Writes that a reason or source gets another name; synced. The log has to be checked before.
    pub(super) fn rename(&mut self, at: Time, rename: &super::Rename) -> Result<(), String> {
        let store = if self.known.n == 0 {
            self.known.store.clone()
        } else {
            String::new()
        };
        self.append(Line {
            n: self.known.n + 1,
            at: at.to_string(),
            rename: Some(rename.clone()),
            store,
            ..Line::default()
        })
    }

    fn append(&mut self, line: Line) -> Result<(), String> {
        let (mut bytes, sum) = encode(&line)?;
        bytes.push(b'\n');
        let unwritable = |path: &Path, e: &dyn std::fmt::Display| {
            format!(
                "the log of removals {} cannot be written: {e}",
                path.display()
            )
        };
        let Some(file) = &mut self.file else {
            return Err(unwritable(&self.path, &"it is not open"));
        };
        let written = file
            .set_len(self.len)
            .and_then(|()| file.write_all(&bytes))
            .and_then(|()| file.sync_data());
        self.dirty = written.is_err();
        self.stamp = file.metadata().ok().map(|m| Stamp::of(&m));
        written.map_err(|e| unwritable(&self.path, &e))?;
        (self.known.n, self.known.sum, self.len) =
            (line.n, Some(sum), self.len + bytes.len() as u64);
        self.ahead.extend(line.serials);
        Ok(())
    }

    /// Begins the log anew at `path`: with the lines that can still be read, and a record of the
    /// gap, of which it tells. What is there is moved aside.
    ///
    /// # Errors
    /// The file there is not ours, or nothing can be written.
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
                "the log of removals {} cannot begin anew: {e}",
                path.display()
            )
        };
        // A file that was deleted or replaced is still open, whole.
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
        let n = self.known.n + 1;
        let gap = Gap {
            missing,
            why: why.into(),
        };
        let store = self.known.store.clone();
        let line = Line {
            n,
            at: at.to_string(),
            serials: ahead_of(serials),
            store,
            gap: Some(gap.clone()),
            ..Line::default()
        };
        let (mut bytes, _) = encode(&line)?;
        bytes.push(b'\n');
        let file = out
            .write_all(&bytes)
            .and_then(|()| {
                out.into_inner()
                    .map_err(std::io::IntoInnerError::into_error)
            })
            .map_err(named)?;
        file.sync_all().map_err(named)?;
        if path.exists() {
            fs::rename(path, with_suffix(path, &format!(".lost-{n}"))).map_err(named)?;
        }
        fs::rename(&new, path).map_err(named)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
            .map_err(named)?;
        *self = RemovalLog::open(
            path,
            Known {
                n,
                sum: None,
                store: std::mem::take(&mut self.known.store),
            },
        )?;
        self.check(false).map_err(|loss| loss.why)?;
        Ok(gap)
    }
}

/// Copies the lines of a log that can be read and that the store knows; which ones are missing.
fn copy_lines(
    source: &File,
    known: &Known,
    out: &mut impl Write,
) -> std::io::Result<Vec<(u64, u64)>> {
    let (mut missing, mut last, mut looks_like_one) = (Vec::new(), 0, true);
    visit(&mut from_start(source)?, &mut |(place, _), bytes, line| {
        match line {
            Ok(line) if line.n > last && line.n <= known.n => {
                missing.extend(gap_after(last, line.n - 1));
                last = line.n;
                out.write_all(bytes)?;
                out.write_all(b"\n")?;
            }
            Ok(_) => {}
            Err(_) if place == 1 => {
                looks_like_one = bytes.first().is_none_or(|b| [b'{', 0].contains(b));
            }
            Err(_) => {}
        }
        Ok(())
    })?;
    if last == 0 && !looks_like_one {
        return Err(std::io::Error::other(
            "the file there is not a log of removals; move it away, or name another one in `path` of [removal_log]",
        ));
    }
    missing.extend(gap_after(last, known.n));
    Ok(missing)
}

/// The numbers after one up to another, where there are any.
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

/// Reads the whole of a log beside its writer; the error says what is wrong with it.
pub fn verify(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let named = |e: std::io::Error| format!("{shown}: {e}");
    let (mut wrong, mut holes) = (None, Holes::default());
    let file = File::open(path).map_err(named)?;
    visit(&mut BufReader::new(file), &mut |(place, _), _, line| {
        match line {
            Ok(line) => holes.add(&line),
            Err(e) => wrong = wrong.take().or(Some(format!("{shown}:{place}: {e}"))),
        }
        Ok(())
    })
    .map_err(named)?;
    let missing = holes.unrecorded();
    match wrong {
        Some(why) => Err(why),
        None if missing.is_empty() => Ok(()),
        None => Err(format!("{shown}: {} missing", Ranges(&missing))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::removals::{Decision, read};

    fn removal(subject: &str) -> Removal {
        let subject = subject.parse().unwrap();
        Removal {
            subject,
            what: Decision::Held,
            reason: Some("relay".into()),
            source: None,
            until: Some(Time(9)),
            author: "a".into(),
        }
    }

    fn known(n: u64) -> Known {
        Known {
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
    fn serials_are_written_ahead_and_a_cut_line_is_left_out() {
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
            Known {
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

    /// What can happen to a log: a name, what is done to the file, what the text says, and the
    /// lines that are missing afterwards where it was open, and where it was not.
    type Accident = (
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

    /// The same in another file under the same name.
    fn replace(path: &Path, text: &[u8]) {
        let other = path.with_extension("other");
        fs::write(&other, text).unwrap();
        fs::rename(other, path).unwrap();
    }

    const ACCIDENTS: [Accident; 9] = [
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
            "cut between lines",
            |p| rewrite(p, |l| l[..3].concat()),
            "",
            &[(4, 5)],
            &[(4, 5)],
        ),
        (
            "cut in a line",
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
    fn a_log_that_is_lost_or_damaged_is_noticed_and_begins_anew_with_a_record_of_the_gap() {
        for (name, accident, says, missing_open, missing_later) in ACCIDENTS {
            for open in [true, false] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("removals.log");
                let mut log = five(&path);
                log.check(false).unwrap();
                let sum = log.sum();
                accident(&path);
                if !open {
                    log = RemovalLog::open(&path, Known { sum, ..known(5) }).unwrap();
                }
                let loss = log.check(!open).unwrap_err();
                assert!(loss.why.contains(says), "{name}: {}", loss.why);
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
                    "a restore goes on after them"
                );
                assert_eq!(found.missing_after(0), missing.to_vec(), "{name}");
            }
        }
    }

    #[test]
    fn a_line_that_is_missing_in_the_log_is_found_by_a_thorough_check() {
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
            let mut log = RemovalLog::open(&path, Known { sum, ..known(5) }).unwrap();
            assert!(
                log.check(true).unwrap_err().why.contains(missing),
                "line {gone}"
            );
            // On record it is known.
            log.restart(&path, Time(9), "lost", &serials(7)).unwrap();
            verify(&path).unwrap();
            log.check(true).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_not_ours_is_never_moved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("removals.log");
        let mut log = five(&path);
        let other = Known {
            n: 5,
            sum: log.sum(),
            store: "4567".into(),
        };
        for (text, how) in [
            (fs::read(&path).unwrap(), "another store"),
            (b"root:x:0:0\n".to_vec(), "not a log"),
        ] {
            replace(&path, &text);
            let mut log = RemovalLog::open(&path, other.clone()).unwrap();
            log.check(false).unwrap_err();
            let why = log
                .restart(&path, Time(9), "lost", &serials(7))
                .unwrap_err();
            assert!(why.contains(how), "{why}");
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
    fn a_log_that_was_copied_or_touched_and_is_whole_is_no_loss() {
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
        fs::write(&path, &copy).unwrap(); // a person puts it back
        log.check(false).unwrap();
        log.write(Time(9), vec![removal("45.1.1.9")], &BTreeMap::new())
            .unwrap();
        assert_eq!(numbers(&path), [1, 2, 3, 4, 5, 6]);
    }
}
