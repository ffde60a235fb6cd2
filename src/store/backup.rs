//! A copy of a store that is in use, and its restoration.

use std::path::{Path, PathBuf};

use rocksdb::{DB, IteratorMode, checkpoint::Checkpoint};
use serde::{Deserialize, Serialize};

use super::{Result, Store, StoreError, cf, damaged, private::restrict_dir, schema};

/// The folder of the copy's database, beside its description.
const FOLDER: &str = "store";
/// What a copy holds, for people and for the restore.
const DESCRIPTION: &str = "backup.json";

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The version of the store's format.
    pub version: u32,
    /// The store's identity.
    pub id: String,
    /// The last commit in it.
    pub commit: u64,
    /// The last line of the removal log that it knows.
    pub removals: u64,
    /// Rows, by family.
    pub rows: std::collections::BTreeMap<String, u64>,
    /// When it was made.
    pub at: String,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |e| StoreError::Io(format!("{}: {e}", path.display()))
}

/// Whether a folder can be written to as a new one: it does not exist, or is empty.
fn empty(path: &Path) -> Result<bool> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(io(path)(e)),
    }
}

/// Reads every block of a copy, which verifies their checksums, and returns what it holds. Opens
/// the copy read-only.
fn read(path: &Path, at: String) -> Result<Backup> {
    let db =
        DB::open_cf_for_read_only(&super::scrub::copy_options(), path, schema::FAMILIES, false)?;
    let mut rows = std::collections::BTreeMap::new();
    for family in schema::FAMILIES {
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

impl Store {
    /// Copies the store, as it is between two commits, into a new folder, and reads the copy back.
    /// Files that do not change any more are hard links if the folder is on the same file system.
    pub fn backup(&self, to: &Path, at: String) -> Result<Backup> {
        if !empty(to)? {
            return Err(StoreError::Io(format!(
                "{} is not empty; name a new folder",
                to.display()
            )));
        }
        if let Some(own) = self.own_folder(to) {
            return Err(StoreError::Io(format!(
                "{} is in {}, which the store empties; name a folder elsewhere",
                to.display(),
                own.display()
            )));
        }
        restrict_dir(to).map_err(io(to))?;
        self.with(|db| Ok(Checkpoint::new(db)?.create_checkpoint(to.join(FOLDER))?))?;
        restrict_dir(&to.join(FOLDER)).map_err(io(to))?;
        // Files of the copy are links to the store's own files, so damage in one is damage in the
        // other.
        let found = read(&to.join(FOLDER), at).inspect_err(|e| {
            if let StoreError::Damaged(why) = e {
                self.record_damage(super::FoundBy::Backup, why);
            }
        })?;
        let text = serde_json::to_string_pretty(&found).unwrap_or_default();
        let description = to.join(DESCRIPTION);
        std::fs::write(&description, text + "\n").map_err(io(&description))?;
        restrict_dir(to).map_err(io(to))?;
        std::fs::File::open(&description)
            .and_then(|f| f.sync_all())
            .map_err(io(&description))?;
        std::fs::File::open(to)
            .and_then(|f| f.sync_all())
            .map_err(io(to))?;
        Ok(found)
    }

    /// The folder of the store's own work that a path is in, if it is.
    fn own_folder(&self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).ok()?;
        // By what is there already: the rest of the path has no links.
        let there = path.ancestors().find(|p| p.exists())?;
        let path = std::fs::canonicalize(there)
            .ok()?
            .join(path.strip_prefix(there).ok()?);
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
/// The file that makes a folder a store: it is moved last.
const CURRENT: &str = "CURRENT";

/// A copy that becomes a store. Nothing of it can be opened before [`Restoration::finish`]; if it
/// is dropped before, it leaves nothing.
#[derive(Debug)]
pub struct Restoration {
    to: PathBuf,
    /// What the copy holds.
    pub found: Backup,
    finished: bool,
}

impl Restoration {
    /// Copies a backup into a folder of its own, inside the folder of the store, and verifies it
    /// before and after. Removes first what an interrupted restore has left there. Does not touch
    /// the backup.
    ///
    /// # Errors
    /// There is a store already, or the copy cannot be read or written.
    pub fn begin(from: &Path, to: &Path) -> Result<Restoration> {
        let description = from.join(DESCRIPTION);
        let text = std::fs::read(&description).map_err(io(&description))?;
        let manifest: Backup = serde_json::from_slice(&text)
            .map_err(|e| StoreError::Damaged(format!("{}: {e}", description.display())))?;
        if manifest.version > schema::VERSION {
            return Err(StoreError::Newer(manifest.version));
        }
        // The socket and similar files may be there already; a database may not.
        if to.join(CURRENT).exists() {
            return Err(StoreError::Io(format!(
                "there is a store in {}; move it away first",
                to.display()
            )));
        }
        remove_leftovers(to)?;
        if let Some(name) = database_files(to)?.first() {
            return Err(StoreError::Io(format!(
                "there is a part of a store in {}: {name}; move it away first",
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
            std::fs::File::open(&b)
                .and_then(|f| f.sync_all())
                .map_err(io(&b))?;
        }
        sync_folder(&path)?;
        if read(&path, out.found.at.clone())? != out.found {
            return Err(StoreError::Damaged(format!(
                "the copy in {} does not hold what {} says",
                from.display(),
                description.display()
            )));
        }
        Ok(out)
    }

    /// The copy's folder, for changes before it becomes the store.
    pub fn path(&self) -> PathBuf {
        self.to.join(RESTORING)
    }

    /// Makes the copy the store. Nothing can be opened before the last step.
    pub fn finish(mut self) -> Result<()> {
        let path = self.path();
        // What was kept beside another store does not belong to this one.
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
                sync_folder(&self.to)?;
            }
            let place = self.to.join(&name);
            std::fs::rename(path.join(&name), &place).map_err(io(&place))?;
        }
        sync_folder(&self.to)?;
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
            tracing::warn!(error = %e, "what a failed restore has left could not be removed");
        }
    }
}

fn sync_folder(path: &Path) -> Result<()> {
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
        // A file without a byte holds nothing.
        if (one || name.starts_with("MANIFEST-")) && entry.metadata().is_ok_and(|m| m.len() > 0) {
            out.push(name);
        }
    }
    Ok(out)
}

/// Removes what an interrupted restore has left: its folder, and files that it has moved to their
/// place already. Without `CURRENT` they do not belong to a store, and before the restore began
/// there were none.
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
