//! Opening a store: options, version, identity.

use std::path::Path;

use parking_lot::{Mutex, RwLock};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, Env, LruCacheOptions, Options,
};

use super::{
    Batch, Dictionary, Result, Store, StoreError, StoreSettings, damaged, integrity::Integrity,
    schema, upgrade,
};
use crate::{
    model::{Reasons, SourceId, Sources, reason::NameTable},
    random::Random,
};

/// The write-ahead log is flushed when it is larger than this, because a start after a crash has to
/// replay it.
const MAX_LOG_BYTES: u64 = 16 << 20;
/// Memory for blocks of table files, index and filter blocks included.
const BLOCK_CACHE_BYTES: usize = 24 << 20;
/// Memory of each family for rows that are not in table files yet.
const WRITE_BUFFER_BYTES: usize = 4 << 20;

pub(super) fn family_options(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    // A feed with millions of rows has filters of megabytes. They are partitioned, so that a
    // look-up reads one page.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4096);
    table.set_pin_top_level_index_and_filter(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_block_cache(cache);
    table.set_format_version(5);
    let mut o = Options::default();
    o.set_block_based_table_factory(&table);
    o.set_write_buffer_size(WRITE_BUFFER_BYTES);
    o.set_compression_type(DBCompressionType::Lz4);
    o
}

/// Opens the database, and returns why the end of its write-ahead log was truncated, if it was. The
/// first attempt requires a log that is intact to its last byte. If that fails, everything before
/// the first damaged record is used: after a power loss that record was being written, and was
/// never acknowledged. The ledger checks whether an acknowledged record is missing.
fn open_db(settings: &StoreSettings) -> Result<(DB, Option<String>)> {
    match open_with(settings, DBRecoveryMode::AbsoluteConsistency) {
        Err(StoreError::Damaged(why)) if settings.path.join("CURRENT").exists() => {
            // Other damage, such as a damaged table, is an error in either mode.
            open_with(settings, DBRecoveryMode::PointInTime).map(|db| (db, Some(why)))
        }
        opened => opened.map(|db| (db, None)),
    }
}

fn open_with(settings: &StoreSettings, recovery: DBRecoveryMode) -> Result<DB> {
    // Few shards, because each has to hold the largest block.
    let mut lru = LruCacheOptions::default();
    lru.set_capacity(BLOCK_CACHE_BYTES);
    lru.set_num_shard_bits(2);
    let cache = Cache::new_lru_cache_opts(&lru);
    let mut o = family_options(&cache);
    let fresh = is_fresh(&settings.path)?;
    o.create_if_missing(fresh);
    // A store of an older version lacks families; the upgrade fills them.
    o.create_missing_column_families(true);
    o.set_max_total_wal_size(MAX_LOG_BYTES);
    o.set_wal_recovery_mode(recovery);
    o.set_paranoid_checks(true);
    o.set_max_open_files(settings.open_tables.into());
    o.set_keep_log_file_num(2);
    o.set_max_background_jobs(2);
    o.set_avoid_unnecessary_blocking_io(true);
    if let Ok(mut env) = Env::new() {
        // Queries have priority over flushes and compactions.
        env.lower_thread_pool_cpu_priority();
        env.lower_high_priority_thread_pool_cpu_priority();
        o.set_env(&env);
    }
    let families = schema::FAMILIES.map(|f| ColumnFamilyDescriptor::new(f, family_options(&cache)));
    DB::open_cf_descriptors(&o, &settings.path, families).map_err(|e| match e.to_string() {
        // Match only RocksDB's message about its lock file, not "block", a path or a damaged file.
        text if text.contains("While lock file")
            || text.contains("lock hold by current process") =>
        {
            StoreError::Locked(settings.path.clone())
        }
        text if text.contains("Column families not opened") => {
            StoreError::Newer(schema::VERSION + 1)
        }
        _ => e.into(),
    })
}

/// Whether a folder has no database yet. A folder with database files but without `CURRENT` is a
/// damaged store and not a new one.
fn is_fresh(path: &Path) -> Result<bool> {
    if path.join("CURRENT").exists() {
        return Ok(false);
    }
    if super::backup::is_unfinished(path) {
        return Err(StoreError::Damaged(
            "a restore was interrupted; run `orbsd restore` again".into(),
        ));
    }
    if let Some(name) = super::backup::database_files(path)?.first() {
        return Err(StoreError::Damaged(format!(
            "the folder has {name}, but no file CURRENT"
        )));
    }
    Ok(true)
}

/// Whether a folder has a database. The error names the file that cannot be looked up.
fn has_database(folder: &Path) -> Result<bool> {
    let current = folder.join("CURRENT");
    current
        .try_exists()
        .map_err(|e| StoreError::Io(format!("{}: {e}", current.display())))
}

/// The most table files that a store keeps open, if the system allows so many open files.
pub const MAX_OPEN_TABLES: u16 = 256;

/// 16 random bytes, the identity of a store.
fn new_id() -> Result<[u8; 16]> {
    Random::system()
        .bytes()
        .map_err(|e| StoreError::Io(format!("random bytes for the identity of the store: {e}")))
}

impl Store {
    /// Opens a store, and creates it if there is none. A store of an older version is upgraded.
    ///
    /// # Errors
    ///
    /// Another process has it open, a newer version wrote it, it is damaged, or the disk failed.
    pub fn open(settings: StoreSettings) -> Result<Store> {
        Store::open_watched(settings, &mut |_| ())
    }

    /// Opens a store as [`Store::open`] does. `watch` receives the progress of a long upgrade.
    ///
    /// # Errors
    ///
    /// As of [`Store::open`].
    pub fn open_watched(
        settings: StoreSettings,
        watch: upgrade::UpgradeWatch<'_>,
    ) -> Result<Store> {
        super::private::restrict_dir(&settings.path)
            .map_err(|e| StoreError::Io(format!("{}: {e}", settings.path.display())))?;
        let (db, truncation) = open_db(&settings)?;
        let sequence = db.latest_sequence_number();
        let mut store = Store::new(settings, db, truncation);
        match store.version()? {
            None if store.is_empty()? => store.initialise()?,
            None => return Err(damaged("the version")),
            Some(version) => upgrade::run(&store, version, watch)?,
        }
        store.id = store
            .get(schema::META, b"id")?
            .and_then(|v| v.try_into().ok())
            .ok_or_else(|| damaged("the store's identity"))?;
        let last = store.integrity.acknowledged(store.id);
        store.unknown_commit = last.err();
        let last = last.unwrap_or_default();
        store.acknowledged = (last.commit, sequence < last.sequence);
        store.load_dictionary()?;
        store.drop_stages()?;
        Ok(store)
    }

    fn new(settings: StoreSettings, db: DB, truncation: Option<String>) -> Store {
        Store {
            integrity: Integrity::open(&settings.path),
            db: RwLock::new(Some(db)),
            settings,
            id: [0; 16],
            dictionary: RwLock::default(),
            acknowledged: (0, false),
            unknown_commit: None,
            truncation: Mutex::new(truncation),
            #[cfg(test)]
            fault: Mutex::default(),
        }
    }

    /// The version of the store; `None` if it has none.
    fn version(&self) -> Result<Option<u32>> {
        let version = self.get(schema::META, b"version")?;
        let bytes = version.map(|v| v.try_into().map_err(|_| damaged("the version")));
        Ok(bytes.transpose()?.map(u32::from_be_bytes))
    }

    /// The version of the store in a folder, also while another process has it open and if a newer
    /// program wrote it. `None` if there is no store.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or has no version.
    pub fn version_in(folder: &Path) -> Result<Option<u32>> {
        if !has_database(folder)? {
            return Ok(None);
        }
        let options = super::scrub::copy_options();
        let db = DB::open_cf_for_read_only(&options, folder, [schema::META], false)?;
        let bytes = db.get_cf(&super::cf(&db, schema::META)?, b"version")?;
        let version = bytes.and_then(|v| v.try_into().ok());
        let version = version.map(u32::from_be_bytes);
        version.ok_or_else(|| damaged("the version")).map(Some)
    }

    /// Opens a store read-only, also while another process has it open; nothing in its folder
    /// changes. `None` if there is no store.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or another version wrote it.
    pub fn open_read_only(settings: StoreSettings) -> Result<Option<Store>> {
        // First, because a store of another version may lack families.
        match Store::version_in(&settings.path)? {
            Some(schema::VERSION) => {}
            None => return Ok(None),
            Some(newer) if newer > schema::VERSION => return Err(StoreError::Newer(newer)),
            Some(older) => return Err(StoreError::Older(older)),
        }
        let options = super::scrub::copy_options();
        let families = schema::FAMILIES;
        let db = DB::open_cf_for_read_only(&options, &settings.path, families, false)?;
        let mut store = Store::new(settings, db, None);
        store.integrity.is_read_only = true;
        store.load_dictionary()?;
        Ok(Some(store))
    }

    /// Gives a copied store a new identity, so that servers which follow each other can distinguish
    /// the copy from the original. Zones get new serials at the next start, because every row of
    /// them contains the identity.
    pub fn renew_identity(&mut self) -> Result<()> {
        let id = new_id()?;
        let mut batch = Batch::default();
        batch.put(schema::META, b"id".to_vec(), id.to_vec());
        self.commit(batch)?;
        self.id = id;
        Ok(())
    }

    fn is_empty(&self) -> Result<bool> {
        for family in schema::FAMILIES {
            if self.first_key::<0>(family, &[])?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the first rows of a new store.
    fn initialise(&self) -> Result<()> {
        self.integrity.forget();
        let mut batch = upgrade::version_row(schema::VERSION);
        batch.put(schema::META, b"id".to_vec(), new_id()?.to_vec());
        let mut v = Dictionary::default();
        for name in SourceId::DECIDING {
            v.sources.add(name).map_err(StoreError::Io)?;
            v.records.push(schema::SourceRecord {
                name: name.into(),
                ..Default::default()
            });
        }
        super::dictionary_rows(&v, &mut batch);
        self.commit(batch)
    }

    fn load_dictionary(&self) -> Result<()> {
        let row = |name: &str| {
            self.get(schema::META, name.as_bytes())?
                .ok_or_else(|| damaged(format_args!("the row `{name}`")))
        };
        let reasons: Vec<String> =
            schema::decode(&row("reasons")?).ok_or_else(|| damaged("the reasons"))?;
        let records: Vec<schema::SourceRecord> =
            schema::decode(&row("sources")?).ok_or_else(|| damaged("the sources"))?;
        let names = records.iter().map(|r| r.name.clone()).collect();
        let v = Dictionary {
            reasons: Reasons(NameTable::new(reasons)),
            sources: Sources(NameTable::new(names)),
            records,
        };
        self.set_dictionary(v);
        Ok(())
    }

    /// Removes generations and copies that no commit named or that were replaced, and files of
    /// interrupted imports.
    fn drop_stages(&self) -> Result<()> {
        self.drop_stale(schema::FEEDS, |r, n| {
            r.generation == n || r.kept.is_some_and(|k| k.generation == n)
        })?;
        self.drop_stale(schema::RECORDS, |r, n| {
            r.followed.as_ref().is_some_and(|f| f.copy == n)
        })?;
        let _ = std::fs::remove_dir_all(self.stage_path());
        Ok(())
    }

    /// Removes all rows under a source and a number, except those for which `counts` returns true.
    fn drop_stale(
        &self,
        family: &'static str,
        counts: impl Fn(&schema::SourceRecord, u32) -> bool,
    ) -> Result<()> {
        let v = self.dictionary();
        for prefix in self.key_prefixes::<6>(family)? {
            let [s0, s1, number @ ..] = prefix;
            let source = usize::from(u16::from_be_bytes([s0, s1]));
            let number = u32::from_be_bytes(number);
            if !v.records.get(source).is_some_and(|r| counts(r, number)) {
                self.drop_rows(family, &prefix)?;
            }
        }
        Ok(())
    }

    /// Removes the rows of a generation that no commit names.
    pub fn drop_generation(&self, source: SourceId, generation: u32) -> Result<()> {
        self.drop_rows(schema::FEEDS, &schema::feed_prefix(source, generation))
    }

    /// Removes all rows under a prefix: whole files at once, then the rest.
    pub(super) fn drop_rows(&self, family: &'static str, prefix: &[u8]) -> Result<()> {
        let to = schema::after(prefix);
        self.with(|db| Ok(db.delete_file_in_range_cf(&super::cf(db, family)?, prefix, &to)?))?;
        let mut batch = Batch::default();
        batch.delete_range(family, prefix.to_vec(), to);
        self.commit(batch)
    }

    /// Closes and opens the database again, because RocksDB refuses writes after some errors until
    /// then.
    pub fn reopen(&self) -> Result<()> {
        let mut slot = self.db.write();
        *slot = None;
        let (db, truncation) = open_db(&self.settings)?;
        *slot = Some(db);
        drop(slot);
        *self.truncation.lock() = truncation;
        self.load_dictionary()
    }

    /// Flushes and closes the store; every later operation fails.
    pub fn close(&self) -> Result<()> {
        let flushed = self.flush();
        *self.db.write() = None;
        flushed
    }
}
