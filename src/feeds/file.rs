//! The file of a feed: its identity, its age, and its import.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{
    clock::wall,
    imports::{self, Files, ImportFailure, ImportOutcome, ImportRequest},
    ledger::{Ledger, held::FileMark},
    model::{Time, time::Seconds},
};

/// The identity of the current version of a file.
pub fn mark(path: &Path) -> Result<FileMark, String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if meta.is_dir() {
        return Err(format!(
            "{} is a directory; name a file in it",
            path.display()
        ));
    }
    Ok(of(&meta))
}

fn of(m: &Metadata) -> FileMark {
    (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec())
}

/// Imports a file as `orbsd import` does. `max_age` counts from the file's modification, so that a
/// list ends if its file is no longer written, however often the daemon is restarted. `mark` is the
/// version that the caller has checked.
///
/// # Errors
///
/// The file is older than `max_age`, was changed while it was read, or cannot be imported.
pub fn import(
    ledger: &Ledger,
    path: &Path,
    request: &ImportRequest,
    mark: FileMark,
) -> Result<ImportOutcome, ImportFailure> {
    let shown = path.display().to_string();
    let written = Time(u64::try_from(mark.3).unwrap_or(0));
    let age = age(written, ledger.now(), wall());
    let max_age = request
        .max_age
        .map(|max| Seconds(max.0.saturating_sub(age.0)));
    if max_age == Some(Seconds(0)) {
        return Err(ImportFailure::Invalid(format!(
            "{shown} was written at {written} and is older than max_age; check the program that writes it"
        )));
    }
    let file = File::open(path).map_err(|e| ImportFailure::Invalid(format!("{shown}: {e}")))?;
    let request = ImportRequest {
        max_age,
        ..request.clone()
    };
    imports::run(
        ledger,
        &request,
        &mut OneFile {
            name: Some(shown),
            file,
            mark,
        },
    )
}

/// The age of a file. The wall clock may have been wrong when the file was written, or may be wrong
/// now. So the lower of the ages by trusted time and by the wall clock counts, and no list ends
/// because of a wrong clock.
fn age(written: Time, trusted: Time, wall: Time) -> Seconds {
    Seconds(trusted.min(wall).0.saturating_sub(written.0))
}

/// A file to import, which must not change while it is read.
struct OneFile {
    name: Option<String>,
    file: File,
    mark: FileMark,
}

impl Files for OneFile {
    fn next_file(&mut self) -> io::Result<Option<String>> {
        let name = self.name.take();
        if name.is_none() && of(&self.file.metadata()?) != self.mark {
            return Err(io::Error::other(
                "the file was changed while it was read; it will be read again",
            ));
        }
        Ok(name)
    }
}

impl Read for OneFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_age_is_the_lower_of_both_clocks() {
        let day = |n: u64| Time(n * 86_400);
        let ages = |written, trusted, wall| age(day(written), day(trusted), day(wall)).0 / 86_400;
        assert_eq!(ages(10, 12, 12), 2);
        assert_eq!(ages(10, 12, 72), 2, "the wall clock is ahead now");
        assert_eq!(
            ages(72, 12, 72),
            0,
            "it was ahead when the file was written"
        );
        assert_eq!(ages(72, 73, 13), 0, "the wall clock is behind now");
        assert_eq!(
            ages(13, 73, 13),
            0,
            "it was behind when the file was written"
        );
    }
}
