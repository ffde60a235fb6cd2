//! The record of the store's integrity: damage that was found, until it is repaired; the last
//! scrub; and the last acknowledged commit, so that a start notices if it is missing.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::model::{Time, time::Seconds};

/// The file beside the database with the damage and the last scrub, in JSON.
pub(super) const REPORT: &str = "integrity.json";
/// The file beside the database with the last acknowledged commit: the store's identity, the
/// commit's number, the database's own number of the last row that was written, a checksum.
pub(super) const LAST_COMMIT: &str = "last-commit";
/// How many findings are kept; more are of the same kind.
const MAX_DAMAGE: usize = 32;

/// Damage of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// When the writer noticed it; `None` before that.
    pub at: Option<Time>,
    /// How it was found.
    pub found_by: FoundBy,
    /// What is damaged, for people.
    pub what: String,
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
    /// By a start: acknowledged commits are missing. No scrub can repair that.
    Start,
}

impl FoundBy {
    /// The origin as a word.
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
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Column families with damage.
    pub damaged: u64,
}

/// A running scrub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// When it began.
    pub started: Time,
    /// Column families that were read, and how many there are.
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
    /// A scrub is wanted now: it was requested, or damage was found.
    wanted: bool,
}

/// See the documentation of the module.
#[derive(Debug)]
pub(super) struct Integrity {
    folder: PathBuf,
    state: Mutex<State>,
    last_commit: OnceLock<(File, [u8; 16])>,
    /// The content.
    acknowledged: Mutex<Acknowledged>,
}

/// The last acknowledged write. Rows that belong to no numbered commit, such as those of users,
/// have only the second number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// The number of the commit.
    pub(super) commit: u64,
    /// The database's number of the last row.
    pub(super) sequence: u64,
}

/// Why it is not known what was acknowledged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownCommit {
    /// The file is not there or empty, as in a store of an older version or one that was just
    /// restored.
    Missing,
    /// The file is another store's.
    OfAnotherStore,
    /// The file cannot be read, or its checksum does not fit.
    Damaged,
}

impl std::fmt::Display for UnknownCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            UnknownCommit::Missing => "the file last-commit is missing",
            UnknownCommit::OfAnotherStore => "the file last-commit is that of another store",
            UnknownCommit::Damaged => "the file last-commit is damaged",
        })
    }
}

impl Integrity {
    /// Reads the record of a store.
    pub(super) fn open(folder: &Path) -> Integrity {
        let read = std::fs::read(folder.join(REPORT))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let report: Report = read.unwrap_or_default();
        // Known damage is checked again at once.
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
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Writes the record. If the disk takes no file, the server goes on.
    fn save(&self, state: &State) {
        let (path, new) = (
            self.folder.join(REPORT),
            self.folder.join(format!("{REPORT}.new")),
        );
        let text = serde_json::to_vec_pretty(&state.report).unwrap_or_default();
        let written = std::fs::write(&new, text)
            .and_then(|()| File::open(&new)?.sync_all())
            .and_then(|()| std::fs::rename(&new, &path));
        if let Err(e) = written {
            tracing::warn!(error = %e, path = %path.display(), "the report on the store's integrity could not be kept");
        }
    }

    /// Records damage; the same damage is recorded once.
    pub(super) fn record(&self, found_by: FoundBy, what: &str) {
        let mut state = self.state();
        if state.report.damage.iter().any(|d| d.what == what)
            || state.report.damage.len() >= MAX_DAMAGE
        {
            return;
        }
        state.report.damage.push(Damage {
            at: None,
            found_by,
            what: what.into(),
        });
        state.wanted |= found_by != FoundBy::Start;
        self.save(&state);
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        self.state().report.damage.clone()
    }

    /// Sets the time of new damage, and returns all damage.
    pub(super) fn date(&self, now: Time) -> Vec<Damage> {
        let mut state = self.state();
        if state.report.damage.iter().all(|d| d.at.is_some()) {
            return Vec::new();
        }
        let new = state.report.damage.iter_mut().filter(|d| d.at.is_none());
        let new = new
            .map(|d| {
                d.at = Some(now);
                d.clone()
            })
            .collect();
        self.save(&state);
        new
    }

    /// Forgets that commits are missing, after a person has accepted it.
    pub(super) fn accept(&self) {
        let mut state = self.state();
        state.report.damage.retain(|d| d.found_by != FoundBy::Start);
        self.save(&state);
    }

    /// Forgets everything: the store is new, and the file is of another one.
    pub(super) fn forget(&self) {
        *self.state() = State::default();
        let _ = std::fs::remove_file(self.folder.join(REPORT));
    }

    pub(super) fn want_scrub(&self) {
        self.state().wanted = true;
    }

    pub(super) fn scrub_wanted(&self) -> bool {
        self.state().wanted
    }

    pub(super) fn scrub_due(&self, now: Time, every: Seconds) -> bool {
        let due = |last: &ScrubReport| last.ended.0.saturating_add(every.0) <= now.0;
        every.0 > 0 && self.state().report.scrub.as_ref().is_none_or(due)
    }

    pub(super) fn scrubs(&self) -> (Option<ScrubProgress>, Option<ScrubReport>) {
        let state = self.state();
        (state.progress, state.report.scrub)
    }

    /// Begins a scrub; returns the damage that it may show to be repaired.
    pub(super) fn scrub_began(&self, progress: ScrubProgress) -> Vec<Damage> {
        let mut state = self.state();
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
        self.state().progress = Some(progress);
    }

    /// Ends a scrub, with a report if it read everything. Damage from before it counts as repaired
    /// if it found none.
    pub(super) fn scrub_ended(&self, report: Option<ScrubReport>, before: &[Damage]) {
        let mut state = self.state();
        state.progress = None;
        let Some(report) = report else { return };
        if report.damaged == 0 {
            state
                .report
                .damage
                .retain(|d| !before.iter().any(|b| b.what == d.what));
        }
        state.report.scrub = Some(report);
        self.save(&state);
    }

    /// What a store with this identity has acknowledged last. From now on
    /// [`Integrity::acknowledge`] keeps it.
    ///
    /// # Errors
    /// It is not known.
    pub(super) fn acknowledged(&self, id: [u8; 16]) -> Result<Acknowledged, UnknownCommit> {
        let path = self.folder.join(LAST_COMMIT);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path);
        let file = file.map_err(|_| UnknownCommit::Damaged)?;
        let mut bytes = [0; RECORD];
        let number = |bytes: &[u8; RECORD], at: usize| {
            bytes[at..]
                .first_chunk()
                .map_or(0, |b| u64::from_le_bytes(*b))
        };
        let read = file.read_exact_at(&mut bytes, 0);
        let is_empty = file.metadata().is_ok_and(|m| m.len() == 0);
        let _ = self.last_commit.set((file, id));
        let found = Acknowledged {
            commit: number(&bytes, 16),
            sequence: number(&bytes, 24),
        };
        // A file that was new when the power went can be empty, or have noughts.
        if is_empty || (read.is_ok() && bytes == [0; RECORD]) {
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

    /// The missing commits are recorded: from now on the present state counts.
    pub(super) fn start_from(&self, commit: u64, sequence: u64) {
        *self.acknowledged.lock() = Acknowledged::default();
        self.acknowledge(Some(commit), sequence);
    }

    /// Records the numbers of what is on disk. The file is not synced: it serves after damage and
    /// not after a power loss, and it is never ahead of what was written.
    pub(super) fn acknowledge(&self, commit: Option<u64>, sequence: u64) {
        if let Some((file, id)) = self.last_commit.get() {
            let mut last = self.acknowledged.lock();
            *last = Acknowledged {
                commit: commit.unwrap_or(last.commit),
                sequence: last.sequence.max(sequence),
            };
            let _ = file.write_all_at(&record(*id, *last), 0);
        }
    }
}

/// The bytes of the file with the last commit.
const RECORD: usize = 36;

fn record(id: [u8; 16], last: Acknowledged) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    out[..16].copy_from_slice(&id);
    out[16..24].copy_from_slice(&last.commit.to_le_bytes());
    out[24..32].copy_from_slice(&last.sequence.to_le_bytes());
    let sum = crc32fast::hash(&out[..32]);
    out[32..].copy_from_slice(&sum.to_le_bytes());
    out
}
