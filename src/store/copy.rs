//! Copies of followed zones: their records in order. An incremental transfer is checked against the
//! copy, and the rows of the feed are made from it. A new copy is written beside the current one
//! and is not used until a commit names it.

use std::path::PathBuf;

use rocksdb::SstFileWriter;

use super::{Result, Store, StoreError, feeds::Cursor, schema};
use crate::model::SourceId;

/// Bytes of records that are sorted in memory at a time; then they are written to a file that
/// RocksDB ingests.
const RUN: usize = 64 << 20;

/// Writes a copy.
pub struct CopyWriter<'s> {
    store: &'s Store,
    prefix: Vec<u8>,
    file: PathBuf,
    keys: Vec<Box<[u8]>>,
    bytes: usize,
    records: u64,
}

impl Store {
    /// Starts a copy. Removes first the records that have its number.
    pub fn write_copy(&self, source: SourceId, copy: u32) -> Result<CopyWriter<'_>> {
        let prefix = schema::feed_prefix(source, copy);
        self.drop_rows(schema::RECORDS, &prefix)?;
        Ok(CopyWriter {
            store: self,
            prefix,
            file: self
                .stage_path()
                .join(format!("{}-{copy}.records", source.0)),
            keys: Vec::new(),
            bytes: 0,
            records: 0,
        })
    }

    /// Removes a copy that no commit names.
    pub fn drop_copy(&self, source: SourceId, copy: u32) -> Result<()> {
        self.drop_rows(schema::RECORDS, &schema::feed_prefix(source, copy))
    }

    /// Whether a copy has a record.
    pub fn has_record(&self, source: SourceId, copy: u32, row: &[u8]) -> Result<bool> {
        let key = [&schema::feed_prefix(source, copy), row].concat();
        Ok(self.get(schema::RECORDS, &key)?.is_some())
    }

    /// Runs `f` with two readers of a copy's records.
    pub fn read_copy<T>(
        &self,
        source: SourceId,
        copy: u32,
        f: impl FnOnce([CopyReader; 2]) -> T,
    ) -> Result<T> {
        self.with(|db| {
            let prefix = schema::feed_prefix(source, copy);
            let reader = || Cursor::new(db, schema::RECORDS, prefix.clone(), None).map(CopyReader);
            Ok(f([reader()?, reader()?]))
        })
    }
}

/// A cursor over a copy's records.
pub struct CopyReader<'a>(Cursor<'a>);

impl CopyReader<'_> {
    /// Goes to the first record at or after `row`.
    pub fn seek(&mut self, row: &[u8]) -> Result<()> {
        self.0.seek(row);
        self.0.check()
    }

    /// The current record; `None` after the last one.
    pub fn row(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Goes to the next record.
    pub fn step(&mut self) -> Result<()> {
        self.0.next();
        self.0.check()
    }
}

impl CopyWriter<'_> {
    /// Adds a record; a duplicate is ignored.
    pub fn push(&mut self, row: &[u8]) -> Result<()> {
        let key = [&self.prefix, row].concat();
        self.bytes += key.len();
        self.records += 1;
        self.keys.push(key.into());
        if self.bytes >= RUN {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn spill(&mut self) -> Result<()> {
        self.bytes = 0;
        let mut keys = std::mem::take(&mut self.keys);
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(self.store.stage_path())
            .map_err(|e| StoreError::Io(format!("staging a zone: {e}")))?;
        let cache = rocksdb::Cache::new_lru_cache(1 << 20);
        let options = super::open::family_options(&cache);
        let mut file = SstFileWriter::create(&options);
        file.open(&self.file)?;
        keys.iter().try_for_each(|k| file.put(k, []))?;
        file.finish()?;
        self.store.ingest(schema::RECORDS, &self.file)
    }

    /// Writes the rest of the copy to disk, and returns the number of records. The copy is not used
    /// until a commit names it.
    pub fn finish(mut self) -> Result<u64> {
        self.spill()?;
        Ok(self.records)
    }
}

impl Drop for CopyWriter<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
