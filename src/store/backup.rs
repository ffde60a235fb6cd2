//! A copy of a store while it is used, and the way back.

use std::path::Path;

use rocksdb::{DB, IteratorMode, Options, ReadOptions, checkpoint::Checkpoint};
use serde::{Deserialize, Serialize};

use super::{Result, Store, StoreError, cf, damaged, private::restrict_dir, schema};

/// The folder of the copy's database, beside its description.
const FOLDER: &str = "store";
/// What a copy holds, for people and for the way back.
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
    /// The last line of the log of removals that it knows.
    pub removals: u64,
    /// Rows, by family.
    pub rows: std::collections::BTreeMap<String, u64>,
    /// When it was made.
    pub at: String,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |e| StoreError::Io(format!("{}: {e}", path.display()))
}

/// Whether a folder can be written to as a new one: it is not there, or has nothing in it.
fn empty(path: &Path) -> Result<bool> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(io(path)(e)),
    }
}

/// Reads every block of a copy, which checks their sums, and tells what it holds. It is opened for reading alone.
fn read(path: &Path, at: String) -> Result<Backup> {
    let db = DB::open_cf_for_read_only(&Options::default(), path, schema::FAMILIES, false)?;
    let mut rows = std::collections::BTreeMap::new();
    for family in schema::FAMILIES {
        let mut how = ReadOptions::default();
        how.set_verify_checksums(true);
        how.fill_cache(false);
        how.set_readahead_size(1 << 20);
        let mut n = 0;
        for row in db.iterator_cf_opt(&cf(&db, family)?, how, IteratorMode::Start) {
            row?;
            n += 1;
        }
        rows.insert(family.to_string(), n);
    }
    let get = |key: &str| -> Result<Option<Vec<u8>>> { Ok(db.get_cf(&cf(&db, schema::META)?, key)?) };
    let number = |key: &str| -> Result<u64> { Ok(get(key)?.and_then(|v| v.try_into().ok()).map_or(0, u64::from_be_bytes)) };
    let version = get("version")?.and_then(|v| v.try_into().ok()).map(u32::from_be_bytes).ok_or_else(|| damaged("the copy's version"))?;
    let id = get("id")?.ok_or_else(|| damaged("the copy's identity"))?;
    let id = id.iter().map(|b| format!("{b:02x}")).collect();
    Ok(Backup { version, id, commit: number("seq")?, removals: number("removals")?, rows, at })
}

impl Store {
    /// Copies the store, as it stands between two commits, into a new folder, and reads the copy back. Files that do not
    /// change any more are linked where the folder lies on the same disk.
    pub fn backup(&self, to: &Path, at: String) -> Result<Backup> {
        if !empty(to)? {
            return Err(StoreError::Io(format!("{} is not empty; name a new folder", to.display())));
        }
        restrict_dir(to).map_err(io(to))?;
        self.with(|db| Ok(Checkpoint::new(db)?.create_checkpoint(to.join(FOLDER))?))?;
        restrict_dir(&to.join(FOLDER)).map_err(io(to))?;
        let found = read(&to.join(FOLDER), at)?;
        let text = serde_json::to_string_pretty(&found).unwrap_or_default();
        let description = to.join(DESCRIPTION);
        std::fs::write(&description, text + "\n").map_err(io(&description))?;
        restrict_dir(to).map_err(io(to))?;
        std::fs::File::open(&description).and_then(|f| f.sync_all()).map_err(io(&description))?;
        std::fs::File::open(to).and_then(|f| f.sync_all()).map_err(io(to))?;
        Ok(found)
    }
}

/// Puts a copy where a store has to lie, where nothing may be yet; checked before and after. The copy itself is not touched.
pub fn restore(from: &Path, to: &Path) -> Result<Backup> {
    let description = from.join(DESCRIPTION);
    let text = std::fs::read(&description).map_err(io(&description))?;
    let said: Backup = serde_json::from_slice(&text).map_err(|e| StoreError::Damaged(format!("{}: {e}", description.display())))?;
    if said.version > schema::VERSION {
        return Err(StoreError::Newer(said.version));
    }
    // The socket and such may be there already; a database may not.
    if to.join("CURRENT").exists() {
        return Err(StoreError::Io(format!("there is a store in {}; move it away first", to.display())));
    }
    restrict_dir(to).map_err(io(to))?;
    let source = from.join(FOLDER);
    let mut names: Vec<_> = std::fs::read_dir(&source).map_err(io(&source))?.flatten().map(|e| e.file_name()).collect();
    // What makes a folder a store comes last.
    names.sort_by_key(|n| n == "CURRENT");
    for name in names {
        let (a, b) = (source.join(&name), to.join(&name));
        std::fs::copy(&a, &b).map_err(io(&a))?;
        std::fs::File::open(&b).and_then(|f| f.sync_all()).map_err(io(&b))?;
    }
    restrict_dir(to).map_err(io(to))?;
    std::fs::File::open(to).and_then(|f| f.sync_all()).map_err(io(to))?;
    // An image, if one lies there, is of another store.
    let _ = std::fs::remove_file(to.join("image"));
    let found = read(to, said.at.clone())?;
    if found != said {
        return Err(StoreError::Damaged(format!("the copy in {} does not hold what {} says", from.display(), description.display())));
    }
    Ok(found)
}
