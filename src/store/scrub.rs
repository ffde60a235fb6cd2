//! The scrub: reads all rows from disk at intervals, at a limited rate, and verifies checksums.
//!
//! It reads a checkpoint, which consists of links to the store's files. So it also reads blocks
//! that the store has cached, holds no lock, and does not change the store's cache.

use std::{path::Path, time::Duration};

use rocksdb::{DB, IteratorMode, Options, ReadOptions, checkpoint::Checkpoint};

use super::{
    FoundBy, Result, ScrubProgress, ScrubReport, Store, StoreError, cf,
    schema::{self, FAMILIES},
};
use crate::model::Time;

/// The folder of the checkpoint, inside the store's.
pub(super) const FOLDER: &str = "scrub";
/// Bytes of rows that are read between two waits.
const SLICE_BYTES: u64 = 256 << 10;

/// Waits for a time; returns false if the scrub has to stop.
pub type Wait<'a> = &'a mut dyn FnMut(Duration) -> bool;

/// Read options that verify every block and leave the cache alone.
pub(super) fn checked() -> ReadOptions {
    let mut o = ReadOptions::default();
    o.set_verify_checksums(true);
    o.fill_cache(false);
    o.set_readahead_size(1 << 20);
    o
}

/// Options of a read-only copy: few open files, because the store and the listeners need the rest.
pub(super) fn copy_options() -> Options {
    let mut options = Options::default();
    options.set_max_open_files(20); // RocksDB's minimum
    options
}

impl Store {
    /// The last commit that was acknowledged before the store was opened; 0 if it is not known.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.0
    }

    /// Why the last commit that was acknowledged before the store was opened is not known; `None`
    /// if it is.
    pub fn unknown_commit(&self) -> Option<super::UnknownCommit> {
        self.unknown_commit
    }

    /// Whether rows that were acknowledged before the store was opened are missing.
    pub fn lacks_rows(&self) -> bool {
        self.acknowledged.1
    }

    /// Makes the last commit the last acknowledged one, after missing commits were recorded as
    /// damage.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn start_from_here(&self) -> Result<()> {
        let sequence = self.with(|db| Ok(db.latest_sequence_number()))?;
        self.integrity.start_from(self.seq()?, sequence);
        Ok(())
    }

    /// Whether the interval since the last scrub has passed.
    pub fn scrub_due(&self, now: Time) -> bool {
        self.integrity.scrub_due(now, self.settings.scrub_interval)
    }

    /// Reads every row of every family. If it finds no damage, earlier damage counts as repaired.
    /// Returns the report; `None` if `wait` stopped the scrub.
    ///
    /// # Errors
    ///
    /// The checkpoint could not be created or read. Damage is recorded and is not an error.
    pub fn scrub(&self, now: &dyn Fn() -> Time, wait: Wait) -> Result<Option<ScrubReport>> {
        let progress = ScrubProgress {
            started: now(),
            families: (0, FAMILIES.len()),
            bytes: 0,
        };
        let before = self.integrity.scrub_began(progress);
        let folder = self.path().join(FOLDER);
        let _ = std::fs::remove_dir_all(&folder);
        let read = self
            .with(|db| Ok(Checkpoint::new(db)?.create_checkpoint(&folder)?))
            .and_then(|()| self.scrub_copy(&folder, progress, wait));
        let _ = std::fs::remove_dir_all(&folder);
        let report = read.map(|report| report.map(|r| ScrubReport { ended: now(), ..r }));
        let complete = report.as_ref().ok().copied().flatten();
        self.integrity.scrub_ended(complete, &before);
        report
    }

    fn scrub_copy(
        &self,
        folder: &Path,
        mut progress: ScrubProgress,
        wait: Wait,
    ) -> Result<Option<ScrubReport>> {
        let mut report = ScrubReport {
            started: progress.started,
            ..ScrubReport::default()
        };
        let damaged = |e: rocksdb::Error, family: &str| match StoreError::from(e) {
            StoreError::Damaged(why) => {
                // The message names the file in the store, not in the checkpoint.
                let why = why.replace(&*folder.to_string_lossy(), &self.path().to_string_lossy());
                self.integrity
                    .record(FoundBy::Scrub, &format!("{family}: {why}"));
                Ok(())
            }
            e => Err(e),
        };
        let db = match DB::open_cf_for_read_only(&copy_options(), folder, FAMILIES, false) {
            Ok(db) => db,
            Err(e) => {
                damaged(e, schema::META)?;
                return Ok(Some(ScrubReport {
                    damaged: 1,
                    ..report
                }));
            }
        };
        let mut unpaid = 0;
        for (n, family) in FAMILIES.into_iter().enumerate() {
            progress.families.0 = n;
            for row in db.iterator_cf_opt(&cf(&db, family)?, checked(), IteratorMode::Start) {
                let (key, value) = match row {
                    Ok(row) => row,
                    Err(e) => {
                        damaged(e, family)?;
                        report.damaged += 1;
                        break;
                    }
                };
                let bytes = (key.len() + value.len()) as u64;
                (report.rows, report.bytes, unpaid) =
                    (report.rows + 1, report.bytes + bytes, unpaid + bytes);
                if unpaid >= SLICE_BYTES {
                    progress.bytes = report.bytes;
                    self.integrity.scrub_goes_on(progress);
                    let time = Duration::from_secs_f64(
                        unpaid as f64 / self.settings.scrub_rate.max(1) as f64,
                    );
                    unpaid = 0;
                    if !wait(time) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(report))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        model::time::Seconds,
        store::{Batch, StoreSettings},
    };

    fn settings(path: &Path) -> StoreSettings {
        StoreSettings {
            path: path.to_path_buf(),
            journal_age: Seconds(86_400),
            journal_size: 1 << 30,
            feed_event_age: Seconds(86_400),
            open_tables: crate::store::MAX_OPEN_TABLES,
            scrub_interval: Seconds(86_400),
            scrub_rate: 1 << 20,
        }
    }

    fn open(path: &Path) -> Store {
        Store::open(settings(path)).unwrap()
    }

    /// Commits a number, with rows.
    fn commit(store: &Store, seq: u64, rows: u32) {
        let mut batch = Batch::default();
        batch.put(schema::META, b"seq".to_vec(), seq.to_be_bytes().to_vec());
        for i in 0..rows {
            // Data that does not compress: the rate is that of rows.
            let value: Vec<u8> = (0..100u32)
                .map(|k| (i.wrapping_mul(2_654_435_761).rotate_left(k) >> 7) as u8)
                .collect();
            batch.put(
                schema::RELAY,
                [&seq.to_be_bytes()[..], &i.to_be_bytes()].concat(),
                value,
            );
        }
        store.commit(batch).unwrap();
    }

    fn scrub(store: &Store, at: u64) -> ScrubReport {
        store.scrub(&|| Time(at), &mut |_| true).unwrap().unwrap()
    }

    /// The largest table file, its bytes, and its bytes with a damaged block in the middle.
    fn table(path: &Path) -> (std::path::PathBuf, Vec<u8>, Vec<u8>) {
        let files = fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "sst"));
        let file = files
            .max_by_key(|p| fs::metadata(p).unwrap().len())
            .unwrap();
        let bytes = fs::read(&file).unwrap();
        let mut damaged = bytes.clone();
        let middle = bytes.len() / 2;
        damaged[middle] ^= 1;
        (file, bytes, damaged)
    }

    /// The newest write-ahead log.
    fn wal(path: &Path) -> std::path::PathBuf {
        let files = fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "log"));
        files.max().unwrap()
    }

    #[test]
    fn damage_is_reported_after_a_restart_until_a_scrub_finds_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        commit(&store, 1, 20_000);
        store.flush().unwrap();
        assert_eq!(
            (scrub(&store, 10).damaged, store.integrity.damage()),
            (0, vec![])
        );
        assert!(!store.scrub_due(Time(11)) && store.scrub_due(Time(10 + 86_400)));
        let (file, whole, damaged) = table(dir.path());
        fs::write(&file, damaged).unwrap();
        assert_eq!(scrub(&store, 20).damaged, 1);
        let found = store.integrity.damage();
        assert!(
            found.len() == 1
                && found[0].found_by == FoundBy::Scrub
                && found[0].description.starts_with("probes: "),
            "{found:?}"
        );
        assert!(!found[0].description.contains("/scrub/"), "{found:?}");
        assert_eq!(store.integrity.date_damage(Time(21)).len(), 1);
        assert!(store.integrity.date_damage(Time(22)).is_empty());
        scrub(&store, 25);
        assert_eq!(
            store.integrity.damage()[0].at,
            Some(Time(21)),
            "the same damage is recorded once"
        );
        store.close().unwrap();
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.integrity.damage().len(), 1);
        assert!(
            store.integrity.scrub_wanted(),
            "known damage is scrubbed at once"
        );
        fs::write(&file, whole).unwrap();
        scrub(&store, 30);
        assert!(store.integrity.damage().is_empty());
        store.close().unwrap();
        drop(store);
        assert!(open(dir.path()).integrity.damage().is_empty());
    }

    #[test]
    fn damage_found_by_a_read_or_a_backup_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let store = open(&path);
        commit(&store, 1, 20_000);
        store.flush().unwrap();
        store.close().unwrap();
        drop(store);
        let (file, _, damaged) = table(&path);
        fs::write(&file, damaged).unwrap();
        let store = open(&path);
        let mut rows = 0;
        let read = store.feature_rows(schema::FeatureFamily::Relay, &[], &[], &mut |_, _| {
            rows += 1;
            Ok(true)
        });
        assert!(matches!(read, Err(StoreError::Damaged(_))) && rows > 0);
        assert_eq!(
            store
                .integrity
                .damage()
                .iter()
                .map(|d| d.found_by)
                .collect::<Vec<_>>(),
            [FoundBy::Use]
        );
        assert!(store.integrity.scrub_wanted(), "a scrub checks the rest");
        assert!(
            store
                .backup(&dir.path().join("copy"), String::new())
                .is_err()
        );
        assert!(
            store
                .integrity
                .damage()
                .iter()
                .any(|d| d.found_by == FoundBy::Backup)
        );
        // A row with a valid checksum that cannot be decoded is damage too.
        let mut batch = Batch::default();
        batch.put(schema::META, b"removals".to_vec(), vec![1, 2, 3]);
        store.commit(batch).unwrap();
        assert!(store.removals().is_err() && store.integrity.damage().len() == 3);
    }

    #[test]
    fn scrub_obeys_its_rate_limit_and_stops_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        commit(&store, 1, 30_000);
        let mut waited = Duration::ZERO;
        let mut progress = 0;
        let report = store.scrub(&|| Time(5), &mut |time| {
            waited += time;
            progress = store.integrity.scrubs().0.unwrap().bytes;
            true
        });
        let report = report.unwrap().unwrap();
        let wanted = report.bytes as f64 / (1 << 20) as f64;
        assert!(
            (waited.as_secs_f64() - wanted).abs() < 0.3 && wanted > 3.0,
            "{waited:?} for {wanted} MiB"
        );
        assert!(progress > 3 << 20 && store.integrity.scrubs() == (None, Some(report)));
        assert_eq!(store.scrub(&|| Time(6), &mut |_| false).unwrap(), None);
        assert_eq!(
            store.integrity.scrubs().1,
            Some(report),
            "a stopped scrub does not replace the last report"
        );
        assert!(!dir.path().join(FOLDER).exists());
    }

    #[test]
    fn cut_unacknowledged_record_is_not_damage() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        (1..=3).for_each(|n| commit(&store, n, 1));
        let acknowledged = fs::read(dir.path().join(super::super::integrity::LAST_COMMIT)).unwrap();
        commit(&store, 4, 1);
        drop(store);
        // A power loss while the fourth commit was written.
        fs::write(
            dir.path().join(super::super::integrity::LAST_COMMIT),
            acknowledged,
        )
        .unwrap();
        let (log, bytes) = (wal(dir.path()), fs::read(wal(dir.path())).unwrap());
        fs::write(&log, &bytes[..bytes.len() - 30]).unwrap();
        let store = open(dir.path());
        assert!(store.log_truncation().is_some());
        assert_eq!((store.seq().unwrap(), store.acknowledged()), (3, 3));
        drop(store);
        assert!(open(dir.path()).log_truncation().is_none());
    }

    #[test]
    fn damaged_or_missing_record_of_the_last_commit_is_detected() {
        use super::super::{UnknownCommit, integrity::LAST_COMMIT};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LAST_COMMIT);
        let store = open(dir.path());
        commit(&store, 1, 1);
        drop(store);
        let sound = fs::read(&path).unwrap();
        let flipped = sound
            .iter()
            .enumerate()
            .map(|(i, b)| if i == 17 { b ^ 1 } else { *b })
            .collect();
        let cases: [(Vec<u8>, Option<UnknownCommit>); 5] = [
            (sound.clone(), None),
            (flipped, Some(UnknownCommit::Damaged)),
            (sound[..20].to_vec(), Some(UnknownCommit::Damaged)),
            (Vec::new(), Some(UnknownCommit::Missing)),
            (vec![0; sound.len()], Some(UnknownCommit::Missing)),
        ];
        for (bytes, unknown) in cases {
            fs::write(&path, &bytes).unwrap();
            let store = open(dir.path());
            assert_eq!(store.unknown_commit(), unknown);
            assert_eq!(store.acknowledged(), if unknown.is_none() { 1 } else { 0 });
        }
    }

    #[test]
    fn missing_acknowledged_commit_is_detected() {
        for (what, damage) in [
            (
                "the last record truncated",
                &(|b: &[u8]| b[..b.len() - 7].to_vec()) as &dyn Fn(&[u8]) -> Vec<u8>,
            ),
            ("a byte of the last record flipped", &|b| {
                b.iter()
                    .enumerate()
                    .map(|(i, x)| if i == b.len() - 9 { x ^ 1 } else { *x })
                    .collect()
            }),
            ("a byte in the middle flipped", &|b| {
                b.iter()
                    .enumerate()
                    .map(|(i, x)| if i == b.len() / 2 { x ^ 1 } else { *x })
                    .collect()
            }),
            ("all of it lost", &|_| Vec::new()),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            commit(&store, 1, 1);
            store.flush().unwrap();
            (2..=9).for_each(|n| commit(&store, n, 1));
            drop(store);
            let log = wal(dir.path());
            fs::write(&log, damage(&fs::read(&log).unwrap())).unwrap();
            let store = open(dir.path());
            assert!(
                store.seq().unwrap() < 9 && store.acknowledged() == 9,
                "{what}: {}",
                store.seq().unwrap()
            );
            assert!(store.lacks_rows(), "{what}");
            drop(store);
            let store = open(dir.path());
            assert!(store.lacks_rows(), "{what}: until it is recorded");
            store.start_from_here().unwrap();
            drop(store);
            assert!(
                !open(dir.path()).lacks_rows(),
                "{what}: after it was recorded"
            );
        }
    }

    /// Rows of users, tokens and audit records belong to no numbered commit.
    #[test]
    fn missing_acknowledged_row_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        commit(&store, 1, 1);
        let mut batch = Batch::default();
        batch.put(schema::ACCOUNTS, b"Panna".to_vec(), b"x".to_vec());
        store.commit(batch).unwrap();
        drop(store);
        let store = open(dir.path());
        assert!(!store.lacks_rows() && store.log_truncation().is_none());
        let mut batch = Batch::default();
        batch.put(schema::ACCOUNTS, b"Pbert".to_vec(), b"x".to_vec());
        store.commit(batch).unwrap();
        drop(store);
        let log = wal(dir.path());
        let bytes = fs::read(&log).unwrap();
        fs::write(&log, &bytes[..bytes.len() - 5]).unwrap();
        let store = open(dir.path());
        assert!(store.lacks_rows() && store.acknowledged() == store.seq().unwrap());
    }
}
