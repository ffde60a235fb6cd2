//! The stored results of comparisons: one folder for each name, with the figures and the lists as
//! text files. A new result replaces the last one when it is complete.
//!
//! The results are files beside the database and not rows of it: a list of another operator can be
//! long, is not part of a backup, and has to be easy to remove.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{entries::EntrySet, figures::ComparisonFigures, samples::SampleGroup};
use crate::model::{Time, time::Seconds};

/// The folder of the results, in the folder of the store.
const FOLDER: &str = "comparisons";
/// The file of the figures.
const RESULT: &str = "result.json";
/// The bytes of a list that are written at a time.
const WRITE_BYTES: usize = 256 << 10;
/// The most names with a result.
const MAX_COMPARISONS: usize = 64;
/// How long a result is kept: it says what two lists had on one day.
pub const KEPT: Seconds = Seconds(90 * 86_400);
/// The ends of the names of a folder that is written, and of one that is being replaced.
const NEW: &str = ".new";
const OLD: &str = ".old";
/// The end of the name of the file with the time of the last transfer.
const TRANSFER: &str = ".transfer";

/// The last result of the comparison with another list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredComparison {
    /// The short name of the other list.
    pub name: String,
    /// The short name of our list, in the names of files.
    pub us: String,
    /// Where the other list came from: `FILE`, `axfr:SERVER/ZONE` or `source:NAME`.
    pub with: String,
    /// The origin of our zone.
    pub zone: String,
    /// When the lists were compared.
    pub compared_at: Time,
    /// When the other list was read.
    pub read_at: Time,
    /// Lines of the other list that could not be read.
    pub errors: u64,
    /// The first errors, with their lines.
    pub problems: Vec<String>,
    /// Entries of the other list that were left out, such as test points.
    pub left_out: u64,
    /// The figures.
    pub figures: ComparisonFigures,
    /// Samples of the entries that only the other list has.
    pub samples: Vec<SampleGroup>,
    /// Entries that only the other list has and that our own tests found closed.
    pub closed_by_us: u64,
}

/// A list of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum ComparisonFile {
    /// The other list.
    List,
    /// The entries that only the other list has.
    OnlyTheirs,
    /// Those that tests found closed.
    Closed,
    /// Those that our own tests found closed.
    ClosedByUs,
}

impl ComparisonFile {
    /// The name in the folder of the result.
    fn stored_name(self) -> &'static str {
        match self {
            ComparisonFile::List => "list.txt",
            ComparisonFile::OnlyTheirs => "only-theirs.txt",
            ComparisonFile::Closed => "closed.txt",
            ComparisonFile::ClosedByUs => "closed-by-us.txt",
        }
    }

    /// The name under which it is published: `rsslist.txt`, `rss-vs-orbs.txt`,
    /// `rss-vs-orbs-ok.txt`.
    pub fn published_name(self, name: &str, us: &str) -> String {
        match self {
            ComparisonFile::List => format!("{name}list.txt"),
            ComparisonFile::OnlyTheirs => format!("{name}-vs-{us}.txt"),
            ComparisonFile::Closed | ComparisonFile::ClosedByUs => format!("{name}-vs-{us}-ok.txt"),
        }
    }
}

/// The folder of all results.
#[derive(Debug, Clone)]
pub struct ComparisonFolder(PathBuf);

/// A result that is being written.
#[derive(Debug)]
pub struct NewComparison<'f> {
    folder: &'f ComparisonFolder,
    name: String,
    path: PathBuf,
}

fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |e| io::Error::new(e.kind(), format!("{path}: {e}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(named(path)(e)),
        _ => Ok(()),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(named(path)(e)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| named(path)(e.into())),
    }
}

impl ComparisonFolder {
    /// The results beside the database of a store.
    pub fn of_store(store: &Path) -> ComparisonFolder {
        ComparisonFolder(store.join(FOLDER))
    }

    /// Creates an empty list, which is written to a file without a name in the folder if it is long.
    ///
    /// # Errors
    ///
    /// The folder cannot be created.
    pub fn entry_set(&self) -> io::Result<EntrySet> {
        fs::create_dir_all(&self.0).map_err(named(&self.0))?;
        Ok(EntrySet::in_folder(&self.0))
    }

    fn path(&self, name: &str, end: &str) -> PathBuf {
        self.0.join(format!("{name}{end}"))
    }

    /// All results by name.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn all(&self) -> io::Result<Vec<StoredComparison>> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(named(&self.0))?,
        };
        let mut out = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.contains('.') {
                out.extend(self.get(&name)?);
            }
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// The result of a name that [`check_name`](super::check_name) accepts.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn get(&self, name: &str) -> io::Result<Option<StoredComparison>> {
        read_json(&self.path(name, "").join(RESULT))
    }

    /// Opens a list of a result.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open(&self, name: &str, file: ComparisonFile) -> io::Result<File> {
        let path = self.path(name, "").join(file.stored_name());
        File::open(&path).map_err(named(&path))
    }

    /// Begins a result.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or there are too many results.
    pub fn begin(&self, name: &str) -> io::Result<NewComparison<'_>> {
        let known = self.all()?;
        if known.len() >= MAX_COMPARISONS && known.iter().all(|c| c.name != name) {
            return Err(io::Error::other(format!(
                "there are results for {MAX_COMPARISONS} lists, which is the most; delete one of them"
            )));
        }
        let path = self.path(name, NEW);
        remove(&path)?;
        fs::create_dir_all(&path).map_err(named(&path))?;
        Ok(NewComparison {
            folder: self,
            name: name.into(),
            path,
        })
    }

    /// Removes a result. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// The folder cannot be removed.
    pub fn delete(&self, name: &str) -> io::Result<bool> {
        let exists = self.path(name, "").exists();
        [NEW, OLD, ""]
            .iter()
            .try_for_each(|end| remove(&self.path(name, end)))?;
        Ok(exists)
    }

    /// Removes the results that are older than [`KEPT`].
    ///
    /// # Errors
    ///
    /// A folder cannot be read or removed.
    pub fn remove_old(&self, now: Time) -> io::Result<()> {
        let all = self.all()?;
        let is_old = |c: &&StoredComparison| c.compared_at.plus(KEPT) < now;
        let mut old = all.iter().filter(is_old);
        old.try_for_each(|c| self.delete(&c.name).map(drop))
    }

    /// When the zone of a list was last asked for.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn last_transfer(&self, name: &str) -> io::Result<Option<Time>> {
        read_json(&self.path(name, TRANSFER))
    }

    /// Stores that the zone of a list is asked for.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn note_transfer(&self, name: &str, now: Time) -> io::Result<()> {
        fs::create_dir_all(&self.0).map_err(named(&self.0))?;
        let (path, new) = (self.path(name, TRANSFER), self.path(name, ".transfer.new"));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(&now)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(named(&path))
    }
}

impl Drop for NewComparison<'_> {
    /// Removes what was not finished: the disk may be full. After [`NewComparison::finish`] there
    /// is nothing.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl NewComparison<'_> {
    /// Creates a list of the result.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn create(&self, file: ComparisonFile) -> io::Result<BufWriter<File>> {
        let path = self.path.join(file.stored_name());
        File::create(&path)
            .map(|file| BufWriter::with_capacity(WRITE_BYTES, file))
            .map_err(named(&path))
    }

    /// Writes the figures, and replaces the last result by this one.
    ///
    /// # Errors
    ///
    /// A file cannot be written; the last result stays.
    pub fn finish(self, result: &StoredComparison) -> io::Result<()> {
        let path = self.path.join(RESULT);
        // Without its figures, a result could not be read after a power failure.
        let mut file = File::create(&path).map_err(named(&path))?;
        let written = file.write_all(&serde_json::to_vec(result)?);
        written
            .and_then(|()| file.sync_all())
            .map_err(named(&path))?;
        let (last, old) = (
            self.folder.path(&self.name, ""),
            self.folder.path(&self.name, OLD),
        );
        remove(&old)?;
        if last.exists() {
            fs::rename(&last, &old).map_err(named(&last))?;
        }
        fs::rename(&self.path, &last).map_err(named(&last))?;
        remove(&old)
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    fn result(name: &str, compared_at: u64) -> StoredComparison {
        StoredComparison {
            name: name.into(),
            us: "orbs".into(),
            compared_at: Time(compared_at),
            ..StoredComparison::default()
        }
    }

    fn store(folder: &ComparisonFolder, result: &StoredComparison, text: &str) {
        let new = folder.begin(&result.name).unwrap();
        for file in ComparisonFile::VARIANTS {
            new.create(*file)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        new.finish(result).unwrap();
    }

    #[test]
    fn new_result_replaces_the_last_one_when_it_is_complete() {
        let place = tempfile::tempdir().unwrap();
        let folder = ComparisonFolder::of_store(place.path());
        assert_eq!(folder.all().unwrap(), []);
        store(&folder, &result("rss", 1), "one\n");
        let unfinished = folder.begin("rss").unwrap();
        unfinished.create(ComparisonFile::List).unwrap();
        drop(unfinished);
        assert_eq!(folder.all().unwrap(), [result("rss", 1)]);
        store(&folder, &result("rss", 2), "two\n");
        store(&folder, &result("dul", 3), "three\n");
        assert_eq!(folder.all().unwrap(), [result("dul", 3), result("rss", 2)]);
        let file = folder.open("rss", ComparisonFile::Closed).unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "two\n");
        assert!(folder.delete("rss").unwrap());
        assert!(!folder.delete("rss").unwrap());
        assert_eq!(folder.all().unwrap(), [result("dul", 3)]);
    }

    #[test]
    fn old_results_are_removed_and_the_time_of_a_transfer_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = ComparisonFolder::of_store(place.path());
        assert_eq!(folder.last_transfer("rss").unwrap(), None);
        store(&folder, &result("rss", 100), "");
        folder.note_transfer("rss", Time(100)).unwrap();
        folder.remove_old(Time(100).plus(KEPT)).unwrap();
        assert_eq!(folder.all().unwrap().len(), 1);
        folder.remove_old(Time(101).plus(KEPT)).unwrap();
        assert_eq!(folder.all().unwrap(), []);
        assert_eq!(folder.last_transfer("rss").unwrap(), Some(Time(100)));
    }

    #[test]
    fn number_of_results_is_limited() {
        let place = tempfile::tempdir().unwrap();
        let folder = ComparisonFolder::of_store(place.path());
        (0..MAX_COMPARISONS).for_each(|i| store(&folder, &result(&format!("l{i}"), 1), ""));
        let e = folder.begin("more").unwrap_err();
        assert!(e.to_string().contains("delete one"), "{e}");
        folder.begin("l0").unwrap();
    }

    #[test]
    fn files_are_named_as_orbs_named_them() {
        let names = [
            ComparisonFile::List,
            ComparisonFile::OnlyTheirs,
            ComparisonFile::Closed,
        ];
        let names = names.map(|f| f.published_name("rss", "orbs"));
        assert_eq!(
            names,
            ["rsslist.txt", "rss-vs-orbs.txt", "rss-vs-orbs-ok.txt"]
        );
    }
}
