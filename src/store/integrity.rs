//! The record of the store's integrity: unrepaired damage, the last scrub, and the last
//! acknowledged commit, by which a start detects that commits are missing.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::model::{Time, time::Seconds};

/// The file in the store's folder with the damage and the last scrub, in JSON.
pub(super) const REPORT: &str = "integrity.json";
/// The file in the store's folder with the last acknowledged commit: the store's identity, the
/// commit's number, RocksDB's sequence number of the last row, and a checksum.
pub(super) const LAST_COMMIT: &str = "last-commit";
/// The most findings that are kept; further ones add no information.
const MAX_DAMAGE: usize = 32;

/// Damage of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// When the writer recorded it; `None` until then.
    pub at: Option<Time>,
    /// How it was found.
    pub found_by: FoundBy,
    /// A description of the damage.
    #[serde(rename = "what")]
    pub description: String,
}

/// How damage is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[strum(serialize_all = "lowercase")]
pub enum FoundBy {
    /// By a read or write of a row.
    Use,
    /// By reading a backup back.
    Backup,
    /// By a scrub.
    Scrub,
    /// At a start: acknowledged commits are missing. A scrub does not clear this.
    Start,
}

impl FoundBy {
    /// The name, as in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A complete scrub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// When it began.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// The number of rows that were read.
    pub rows: u64,
    /// The bytes of these rows.
    pub bytes: u64,
    /// Column families with damage.
    pub damaged: u64,
}

/// A running scrub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// When it began.
    pub started: Time,
    /// The number of column families that were read, and the number of all.
    pub families: (usize, usize),
    /// Bytes of rows that were read.
    pub bytes: u64,
}

/// The content of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Report {
    damage: Vec<Damage>,
    scrub: Option<ScrubReport>,
}

#[derive(Debug, Default)]
struct State {
    report: Report,
    progress: Option<ScrubProgress>,
    /// A scrub has to begin now: it was requested, or damage was found.
    wanted: bool,
}

/// The integrity record of an open store; see the documentation of this module.
#[derive(Debug)]
pub struct Integrity {
    folder: PathBuf,
    state: Mutex<State>,
    /// The open file [`LAST_COMMIT`], and the identity of the store.
    last_commit: OnceLock<(File, [u8; 16])>,
    /// The content of that file.
    acknowledged: Mutex<AcknowledgedWrite>,
    /// Whether the record is kept in memory only, because the store is open for reading.
    pub(super) is_read_only: bool,
}

/// The last acknowledged write. A write without a numbered commit, such as that of a user, only
/// changes the sequence number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AcknowledgedWrite {
    /// The number of the commit.
    pub(super) commit: u64,
    /// RocksDB's sequence number of the last row.
    pub(super) sequence: u64,
}

/// Why the last acknowledged commit is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCommit {
    /// The file is missing or empty, as in a store of an older version or after a restore.
    #[error("the file last-commit is missing")]
    Missing,
    /// The file belongs to another store.
    #[error("the file last-commit belongs to another store")]
    OfAnotherStore,
    /// The file cannot be read, or its checksum is wrong.
    #[error("the file last-commit is damaged")]
    Damaged,
}

impl Integrity {
    /// Reads the record of a store.
    pub(super) fn open(folder: &Path) -> Integrity {
        let read = std::fs::read(folder.join(REPORT))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let report: Report = read.unwrap_or_default();
        // If damage is known, the first scrub begins at once.
        let state = State {
            wanted: !report.damage.is_empty(),
            report,
            progress: None,
        };
        Integrity {
            folder: folder.to_path_buf(),
            state: Mutex::new(state),
            last_commit: OnceLock::new(),
            acknowledged: Mutex::default(),
            is_read_only: false,
        }
    }

    /// Writes the record. An error is only logged, because the server can run without the file.
    fn save(&self, state: &State) {
        if self.is_read_only {
            return;
        }
        let (path, new) = (
            self.folder.join(REPORT),
            self.folder.join(format!("{REPORT}.new")),
        );
        let text = serde_json::to_vec_pretty(&state.report).unwrap_or_default();
        let written = std::fs::write(&new, text)
            .and_then(|()| File::open(&new)?.sync_all())
            .and_then(|()| std::fs::rename(&new, &path));
        if let Err(e) = written {
            tracing::warn!(error = %e, path = %path.display(), "the report on the store's integrity could not be written");
        }
    }

    /// Records damage, unless the same damage is recorded already.
    pub fn record(&self, found_by: FoundBy, what: &str) {
        let mut state = self.state.lock();
        if state.report.damage.iter().any(|d| d.description == what)
            || state.report.damage.len() >= MAX_DAMAGE
        {
            return;
        }
        state.report.damage.push(Damage {
            at: None,
            found_by,
            description: what.into(),
        });
        state.wanted |= found_by != FoundBy::Start;
        self.save(&state);
    }

    /// The unrepaired damage.
    pub fn damage(&self) -> Vec<Damage> {
        self.state.lock().report.damage.clone()
    }

    /// Sets the time of new damage, and returns the new damage.
    pub fn date_damage(&self, now: Time) -> Vec<Damage> {
        let mut state = self.state.lock();
        if state.report.damage.iter().all(|d| d.at.is_some()) {
            return Vec::new();
        }
        let mut new = Vec::new();
        for d in state.report.damage.iter_mut().filter(|d| d.at.is_none()) {
            d.at = Some(now);
            new.push(d.clone());
        }
        self.save(&state);
        new
    }

    /// Removes the damage of missing commits, after an operator has accepted it.
    pub fn accept_missing_commits(&self) {
        let mut state = self.state.lock();
        state.report.damage.retain(|d| d.found_by != FoundBy::Start);
        self.save(&state);
    }

    /// Removes all damage, because the store is new and the file belongs to an earlier one.
    pub(super) fn forget(&self) {
        *self.state.lock() = State::default();
        let _ = std::fs::remove_file(self.folder.join(REPORT));
    }

    /// Makes the next scrub begin at once.
    pub fn want_scrub(&self) {
        self.state.lock().wanted = true;
    }

    /// Whether a scrub has to begin at once: it was requested, or damage was found.
    pub fn scrub_wanted(&self) -> bool {
        self.state.lock().wanted
    }

    pub(super) fn scrub_due(&self, now: Time, every: Seconds) -> bool {
        let due = |last: &ScrubReport| last.ended.0.saturating_add(every.0) <= now.0;
        every.0 > 0 && self.state.lock().report.scrub.as_ref().is_none_or(due)
    }

    /// The running scrub, and the last complete one.
    pub fn scrubs(&self) -> (Option<ScrubProgress>, Option<ScrubReport>) {
        let state = self.state.lock();
        (state.progress, state.report.scrub)
    }

    /// Begins a scrub; returns the damage that counts as repaired if the scrub finds none.
    pub(super) fn scrub_began(&self, progress: ScrubProgress) -> Vec<Damage> {
        let mut state = self.state.lock();
        (state.progress, state.wanted) = (Some(progress), false);
        state
            .report
            .damage
            .iter()
            .filter(|d| d.found_by != FoundBy::Start)
            .cloned()
            .collect()
    }

    pub(super) fn scrub_goes_on(&self, progress: ScrubProgress) {
        self.state.lock().progress = Some(progress);
    }

    /// Ends a scrub, with a report if it read everything. If it found no damage, the damage
    /// `before` it counts as repaired.
    pub(super) fn scrub_ended(&self, report: Option<ScrubReport>, before: &[Damage]) {
        let mut state = self.state.lock();
        state.progress = None;
        let Some(report) = report else { return };
        if report.damaged == 0 {
            state
                .report
                .damage
                .retain(|d| !before.iter().any(|b| b.description == d.description));
        }
        state.report.scrub = Some(report);
        self.save(&state);
    }

    /// Reads the last acknowledged write of the store with this identity. From now on
    /// [`Integrity::acknowledge`] updates it.
    ///
    /// # Errors
    ///
    /// The reason why it is not known.
    pub(super) fn acknowledged(&self, id: [u8; 16]) -> Result<AcknowledgedWrite, UnknownCommit> {
        let path = self.folder.join(LAST_COMMIT);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path);
        let file = file.map_err(|_| UnknownCommit::Damaged)?;
        let mut bytes = [0; RECORD_BYTES];
        let number = |bytes: &[u8; RECORD_BYTES], at: usize| {
            bytes[at..]
                .first_chunk()
                .map_or(0, |b| u64::from_le_bytes(*b))
        };
        let read = file.read_exact_at(&mut bytes, 0);
        let is_empty = file.metadata().is_ok_and(|m| m.len() == 0);
        let _ = self.last_commit.set((file, id));
        let found = AcknowledgedWrite {
            commit: number(&bytes, 16),
            sequence: number(&bytes, 24),
        };
        // After a power loss a new file can be empty, or contain only zero bytes.
        if is_empty || (read.is_ok() && bytes == [0; RECORD_BYTES]) {
            return Err(UnknownCommit::Missing);
        }
        let written_by = bytes.first_chunk().copied().unwrap_or_default();
        if read.is_err() || bytes != record(written_by, found) {
            return Err(UnknownCommit::Damaged);
        }
        if written_by != id {
            return Err(UnknownCommit::OfAnotherStore);
        }
        *self.acknowledged.lock() = found;
        Ok(found)
    }

    /// Makes the given numbers the last acknowledged ones, after missing commits were recorded.
    pub(super) fn start_from(&self, commit: u64, sequence: u64) {
        *self.acknowledged.lock() = AcknowledgedWrite::default();
        self.acknowledge(Some(commit), sequence);
    }

    /// Records the numbers of a write that is on disk. The file is not synced: it detects damage,
    /// not the effects of a power loss, and it is never ahead of the written data.
    pub(super) fn acknowledge(&self, commit: Option<u64>, sequence: u64) {
        if let Some((file, id)) = self.last_commit.get() {
            let mut last = self.acknowledged.lock();
            *last = AcknowledgedWrite {
                commit: commit.unwrap_or(last.commit),
                sequence: last.sequence.max(sequence),
            };
            let _ = file.write_all_at(&record(*id, *last), 0);
        }
    }
}

/// The size of the file [`LAST_COMMIT`].
const RECORD_BYTES: usize = 36;

fn record(id: [u8; 16], last: AcknowledgedWrite) -> [u8; RECORD_BYTES] {
    let mut out = [0; RECORD_BYTES];
    out[..16].copy_from_slice(&id);
    out[16..24].copy_from_slice(&last.commit.to_le_bytes());
    out[24..32].copy_from_slice(&last.sequence.to_le_bytes());
    let sum = crc32fast::hash(&out[..32]);
    out[32..].copy_from_slice(&sum.to_le_bytes());
    out
}
