//! A source that is a local file, read again when it has changed.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{
    intake::{self, Asked, Done, Failed, Files},
    ledger::{Ledger, held::FileMark},
    model::{Time, time::Seconds},
};

/// A file's mark.
pub fn mark(path: &Path) -> Result<FileMark, String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if meta.is_dir() {
        return Err(format!("{} is a directory; name a file in it", path.display()));
    }
    Ok(of(&meta))
}

fn of(m: &Metadata) -> FileMark {
    (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec())
}

/// Imports a file as `orbsd import` does. Its life is counted from when it was written, so that a file that nobody writes
/// any more ends, whoever starts the daemon again.
pub fn import(ledger: &Ledger, path: &Path, asked: &Asked, seen: FileMark) -> Result<Done, Failed> {
    let shown = path.display().to_string();
    // Its time is of a wall clock, which may have been ahead when it was written.
    let written = Time(u64::try_from(seen.3).unwrap_or(0)).min(ledger.now());
    let left = match asked.max_age {
        None => None,
        Some(age) => match written.plus(age).0.saturating_sub(ledger.now().0) {
            0 => {
                let why = format!("{shown} was written at {written}, longer ago than its max_age; is it still refreshed?");
                return Err(Failed::Invalid(why));
            }
            left => Some(Seconds(left)),
        },
    };
    let file = File::open(path).map_err(|e| Failed::Invalid(format!("{shown}: {e}")))?;
    let mut one = One { name: Some(shown), file, seen };
    intake::run(ledger, &Asked { max_age: left, ..asked.clone() }, &mut one)
}

/// The one file.
struct One {
    name: Option<String>,
    file: File,
    seen: FileMark,
}

impl Files for One {
    fn next_file(&mut self) -> io::Result<Option<String>> {
        let name = self.name.take();
        if name.is_none() && of(&self.file.metadata()?) != self.seen {
            return Err(io::Error::other("the file was written while it was read; it is read again"));
        }
        Ok(name)
    }
}

impl Read for One {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}
