//! Backups: copies a store while it is in use, and restores such a copy.

use std::path::{Path, PathBuf};

use rocksdb::{DB, IteratorMode, checkpoint::Checkpoint};
use serde::{Deserialize, Serialize};

use super::{Batch, Result, Store, StoreError, cf, damaged, private::restrict_dir, schema};
use crate::model::Time;

/// The folder of the copy's database, beside its description.
const FOLDER: &str = "store";
/// The file that describes a copy, for operators and for the restore.
const DESCRIPTION: &str = "backup.json";

/// The key of the row in the family `meta`.
const LAST_BACKUP: &[u8] = b"last-backup";

/// The last backup that was written and read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// When it was made.
    pub at: Time,
    /// The last commit in it.
    pub commit: u64,
    /// The last line of the removal log that it has.
    pub removal_line: u64,
}

impl LastBackup {
    /// Adds the row to a batch.
    pub fn record(&self, batch: &mut Batch) {
        batch.put(schema::META, LAST_BACKUP.to_vec(), schema::encode(self));
    }
}

/// The content of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The version of the store's format.
    pub version: u32,
    /// The store's identity.
    pub id: String,
    /// The last commit in it.
    pub commit: u64,
    /// The last line of the removal log that its store had recorded.
    pub removals: u64,
    /// The number of rows by column family.
    pub rows: std::collections::BTreeMap<String, u64>,
    /// The time of the copy.
    pub at: String,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |e| StoreError::Io(format!("{}: {e}", path.display()))
}

/// Whether a folder is empty or does not exist.
fn is_empty_folder(path: &Path) -> Result<bool> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(io(path)(e)),
    }
}

impl Backup {
    /// Opens the database of a copy read-only, reads every block, which verifies the checksums, and
    /// returns the description of its content. `at` is the time of the copy.
    ///
    /// # Errors
    ///
    /// The copy cannot be read, or is damaged.
    pub fn read(path: &Path, at: String) -> Result<Backup> {
        let options = super::scrub::copy_options();
        // A copy of an older version lacks the families that were added since.
        let present = DB::list_cf(&options, path)?;
        let families = schema::FAMILIES.into_iter();
        let families: Vec<&str> = families
            .filter(|family| present.iter().any(|p| p == family))
            .collect();
        let db = DB::open_cf_for_read_only(&options, path, &families, false)?;
        let mut rows = std::collections::BTreeMap::new();
        for family in families {
            let mut n = 0;
            for row in db.iterator_cf_opt(
                &cf(&db, family)?,
                super::scrub::checked(),
                IteratorMode::Start,
            ) {
                row?;
                n += 1;
            }
            rows.insert(family.to_string(), n);
        }
        let get =
            |key: &str| -> Result<Option<Vec<u8>>> { Ok(db.get_cf(&cf(&db, schema::META)?, key)?) };
        let number = |key: &str| -> Result<u64> {
            Ok(get(key)?
                .and_then(|v| v.try_into().ok())
                .map_or(0, u64::from_be_bytes))
        };
        let version = get("version")?
            .and_then(|v| v.try_into().ok())
            .map(u32::from_be_bytes)
            .ok_or_else(|| damaged("the copy's version"))?;
        let id = get("id")?.ok_or_else(|| damaged("the copy's identity"))?;
        let id = id.iter().map(|b| format!("{b:02x}")).collect();
        Ok(Backup {
            version,
            id,
            commit: number("seq")?,
            removals: number("removals")?,
            rows,
            at,
        })
    }
}

impl Store {
    /// The last backup of this store that was written and read back; `None` if none was recorded.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the record is damaged.
    pub fn last_backup(&self) -> Result<Option<LastBackup>> {
        self.read(schema::META, LAST_BACKUP, "the last backup")
    }

    /// Copies the store, in a state between two commits, into a new folder, and reads the copy back
    /// to verify it. Files that RocksDB no longer changes become hard links if the folder is on the
    /// same file system.
    ///
    /// # Errors
    ///
    /// The folder is not empty or is one that the store empties, or the copy cannot be written or
    /// read back.
    pub fn backup(&self, to: &Path, at: String) -> Result<Backup> {
        if !is_empty_folder(to)? {
            return Err(StoreError::Io(format!(
                "{} is not empty; name a new folder",
                to.display()
            )));
        }
        if let Some(own) = self.own_folder(to) {
            return Err(StoreError::Io(format!(
                "{} is in {}, which the store empties; name another folder",
                to.display(),
                own.display()
            )));
        }
        restrict_dir(to).map_err(io(to))?;
        self.with(|db| Ok(Checkpoint::new(db)?.create_checkpoint(to.join(FOLDER))?))?;
        restrict_dir(&to.join(FOLDER)).map_err(io(to))?;
        // Files of the copy are links to the store's own files, so damage in one is damage in the
        // other.
        let found = Backup::read(&to.join(FOLDER), at).inspect_err(|e| {
            if let StoreError::Damaged(why) = e {
                self.integrity.record(super::FoundBy::Backup, why);
            }
        })?;
        let text = serde_json::to_string_pretty(&found).unwrap_or_default();
        let description = to.join(DESCRIPTION);
        std::fs::write(&description, text + "\n").map_err(io(&description))?;
        restrict_dir(to).map_err(io(to))?;
        sync(&description)?;
        sync(to)?;
        Ok(found)
    }

    /// The working folder of the store that contains a path; `None` if the path is in none of them.
    fn own_folder(&self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).ok()?;
        // Only the existing part can have symbolic links.
        let existing = path.ancestors().find(|p| p.exists())?;
        let path = std::fs::canonicalize(existing)
            .ok()?
            .join(path.strip_prefix(existing).ok()?);
        let store = std::fs::canonicalize(self.path()).ok()?;
        let own = [
            self.stage_path().file_name()?.into(),
            super::scrub::FOLDER.into(),
            std::ffi::OsString::from(RESTORING),
        ];
        own.into_iter()
            .map(|name| store.join(name))
            .find(|folder| path.starts_with(folder))
    }
}

/// The folder, inside that of the store, in which a copy is prepared before it becomes the store.
const RESTORING: &str = "restoring";
/// The file without which RocksDB finds no database in a folder. A restore moves it last.
const CURRENT: &str = "CURRENT";

/// A restore in progress. The copy cannot be opened as a store before [`Restoration::finish`]. If
/// the value is dropped before that, all files of the restore are removed.
#[derive(Debug)]
pub struct Restoration {
    to: PathBuf,
    /// The content of the copy.
    pub found: Backup,
    finished: bool,
}

impl Restoration {
    /// Copies a backup into a working folder inside the folder of the store, and verifies the copy.
    /// Removes first the files that an interrupted restore has left there. Does not change the
    /// backup.
    ///
    /// # Errors
    ///
    /// There is a store already, or the copy cannot be read or written.
    pub fn begin(from: &Path, to: &Path) -> Result<Restoration> {
        let description = from.join(DESCRIPTION);
        let text = std::fs::read(&description).map_err(io(&description))?;
        let manifest: Backup = serde_json::from_slice(&text)
            .map_err(|e| StoreError::Damaged(format!("{}: {e}", description.display())))?;
        if manifest.version > schema::VERSION {
            return Err(StoreError::Newer(manifest.version));
        }
        // The socket and similar files may exist; a database may not.
        if to.join(CURRENT).exists() {
            return Err(StoreError::Io(format!(
                "there is a store in {}; move it away first",
                to.display()
            )));
        }
        remove_leftovers(to)?;
        if let Some(name) = database_files(to)?.first() {
            return Err(StoreError::Io(format!(
                "there is a file of a store in {}: {name}; move it away first",
                to.display()
            )));
        }
        let out = Restoration {
            to: to.to_path_buf(),
            found: manifest,
            finished: false,
        };
        let (source, path) = (from.join(FOLDER), out.path());
        restrict_dir(to)
            .and_then(|()| restrict_dir(&path))
            .map_err(io(&path))?;
        for entry in std::fs::read_dir(&source).map_err(io(&source))? {
            let name = entry.map_err(io(&source))?.file_name();
            let (a, b) = (source.join(&name), path.join(&name));
            std::fs::copy(&a, &b).map_err(io(&a))?;
            sync(&b)?;
        }
        sync(&path)?;
        if Backup::read(&path, out.found.at.clone())? != out.found {
            return Err(StoreError::Damaged(format!(
                "the content of the copy in {} differs from its description {}",
                from.display(),
                description.display()
            )));
        }
        Ok(out)
    }

    /// The folder of the copy, in which it can be changed before it becomes the store.
    pub fn path(&self) -> PathBuf {
        self.to.join(RESTORING)
    }

    /// Makes the copy the store. Before the last step no store can be opened.
    pub fn finish(mut self) -> Result<()> {
        let path = self.path();
        // These files describe the store that was here before.
        for name in [
            "image",
            super::integrity::LAST_COMMIT,
            super::integrity::REPORT,
        ] {
            let _ = std::fs::remove_file(self.to.join(name));
        }
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .map_err(io(&path))?
            .flatten()
            .map(|e| e.file_name())
            .collect();
        names.sort_by_key(|n| n == CURRENT);
        for name in names {
            if name == CURRENT {
                sync(&self.to)?;
            }
            let place = self.to.join(&name);
            std::fs::rename(path.join(&name), &place).map_err(io(&place))?;
        }
        sync(&self.to)?;
        self.finished = true;
        let _ = std::fs::remove_dir(&path);
        Ok(())
    }
}

impl Drop for Restoration {
    fn drop(&mut self) {
        if !self.finished
            && let Err(e) = remove_leftovers(&self.to)
        {
            tracing::warn!(error = %e, "files of a failed restore could not be removed");
        }
    }
}

/// Syncs a file or a folder to disk.
fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path)
        .and_then(|f| f.sync_all())
        .map_err(io(path))
}

/// Whether a restore into a folder was interrupted.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.join(RESTORING).exists()
}

/// The names of the database files in a folder.
pub(super) fn database_files(path: &Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(out),
        found => found.map_err(io(path))?,
    };
    for entry in entries {
        let entry = entry.map_err(io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let one = name.ends_with(".sst")
            || name.ends_with(".log")
                && name
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b".log".contains(&b));
        // An empty file contains no data of a store.
        if (one || name.starts_with("MANIFEST-")) && entry.metadata().is_ok_and(|m| m.len() > 0) {
            out.push(name);
        }
    }
    Ok(out)
}

/// Removes the files of an interrupted restore: its folder, and the database files that it had
/// already moved. Without `CURRENT` those belong to no store, and there were none before the
/// restore began.
fn remove_leftovers(to: &Path) -> Result<()> {
    if !is_unfinished(to) || to.join(CURRENT).exists() {
        return Ok(());
    }
    for name in database_files(to)? {
        let path = to.join(name);
        std::fs::remove_file(&path).map_err(io(&path))?;
    }
    let folder = to.join(RESTORING);
    std::fs::remove_dir_all(&folder).map_err(io(&folder))
}
