//! The reports of the last days, each in a file of its own in a folder beside the store.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::figures::QualityFigures;
use crate::{model::Time, store::private};

/// The number of days whose reports are kept, today included.
pub const ARCHIVE_DAYS: u64 = 400;
/// The seconds of a day.
const DAY: u64 = 86_400;
/// The version of the files.
const VERSION: u32 = 1;

/// The figures of all zones and sources on a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityReport {
    /// When they were counted.
    pub counted: Time,
    /// The figures of each zone, by its name.
    pub zones: BTreeMap<String, QualityFigures>,
    /// The figures of each source, by its name. Sources without any are left out.
    pub sources: BTreeMap<String, QualityFigures>,
}

impl QualityReport {
    /// The first second of the day, in UTC.
    pub fn day(&self) -> Time {
        first_second(self.counted)
    }
}

#[derive(Serialize, Deserialize)]
struct ReportFile {
    version: u32,
    #[serde(flatten)]
    report: QualityReport,
}

#[derive(Debug, Default)]
struct State {
    folder: Option<PathBuf>,
    last: Mutex<Option<Arc<QualityReport>>>,
}

/// The reports of the last days. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct QualityArchive(Arc<State>);

impl QualityArchive {
    /// Opens the archive in a folder, which need not exist.
    pub fn open(folder: PathBuf) -> QualityArchive {
        let last = match newest(&folder) {
            Ok(Some(path)) => read_or_warn(&path),
            Ok(None) => None,
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "daily figures of quality not read");
                None
            }
        };
        QualityArchive(Arc::new(State {
            folder: Some(folder),
            last: Mutex::new(last.map(Arc::new)),
        }))
    }

    /// The last report; `None` before the first one.
    pub fn last(&self) -> Option<Arc<QualityReport>> {
        self.0.last.lock().clone()
    }

    /// The reports of the last `days` days, today included; the oldest first. Days without one are
    /// left out. Reads files.
    pub fn days(&self, now: Time, days: u64) -> Vec<QualityReport> {
        let Some(folder) = &self.0.folder else {
            let last = self.last();
            return last.map(|last| (*last).clone()).into_iter().collect();
        };
        let today = now.0 / DAY;
        let first = today.saturating_sub(days.clamp(1, ARCHIVE_DAYS) - 1);
        let paths = (first..=today).map(|day| folder.join(file_name(Time(day * DAY))));
        paths
            .filter(|path| path.exists())
            .filter_map(|path| read_or_warn(&path))
            .collect()
    }

    /// Stores the report of a day, in place of an earlier one of that day, and removes those that
    /// are too old.
    ///
    /// # Errors
    ///
    /// A file cannot be written; the report is the last one all the same.
    pub fn add(&self, report: QualityReport) -> io::Result<()> {
        let report = Arc::new(report);
        *self.0.last.lock() = Some(report.clone());
        let Some(folder) = &self.0.folder else {
            return Ok(());
        };
        write(folder, &report)?;
        let oldest = report.day().0.saturating_sub((ARCHIVE_DAYS - 1) * DAY);
        let oldest = file_name(Time(oldest));
        // Dates sort as text.
        for path in report_files(folder)? {
            if path.file_name().is_some_and(|name| name < oldest.as_str()) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn first_second(time: Time) -> Time {
    Time(time.0 / DAY * DAY)
}

/// The name of the file of a day: its date.
fn file_name(time: Time) -> String {
    let time = first_second(time).to_string();
    format!("{}.json", time.split('T').next().unwrap_or_default())
}

/// The files of reports, in no order.
fn report_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.flatten().map(|e| e.path());
    Ok(paths
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect())
}

fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    Ok(report_files(folder)?.into_iter().max())
}

fn read_or_warn(path: &Path) -> Option<QualityReport> {
    match read(path) {
        Ok(report) => Some(report),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, error, "daily figures of quality not read");
            None
        }
    }
}

fn read(path: &Path) -> Result<QualityReport, String> {
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let file: ReportFile = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    match file.version {
        VERSION => Ok(file.report),
        other => Err(format!("version {other} of its form is not known here")),
    }
}

fn write(folder: &Path, report: &QualityReport) -> io::Result<()> {
    let file = ReportFile {
        version: VERSION,
        report: report.clone(),
    };
    let path = folder.join(file_name(report.counted));
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => private::create_file(&new, &serde_json::to_vec(&file)?)?,
    }
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(day: u64) -> QualityReport {
        let mut figures = QualityFigures::default();
        figures.proofs.entries = day;
        QualityReport {
            counted: Time(day * DAY + 60),
            zones: [("bl.example".into(), figures)].into(),
            sources: BTreeMap::new(),
        }
    }

    #[test]
    fn reports_of_400_days_are_kept_and_read_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("data.quality");
        let archive = QualityArchive::open(folder.clone());
        assert_eq!(archive.last(), None);
        assert_eq!(archive.days(Time(DAY), 400), []);
        for day in 1..=ARCHIVE_DAYS + 5 {
            archive.add(report(day)).unwrap();
        }
        let archive = QualityArchive::open(folder.clone());
        let now = Time((ARCHIVE_DAYS + 5) * DAY + 900);
        assert_eq!(archive.last(), Some(Arc::new(report(ARCHIVE_DAYS + 5))));
        let days = archive.days(now, u64::MAX);
        assert_eq!(days.len() as u64, ARCHIVE_DAYS);
        assert_eq!(days[0], report(6));
        assert_eq!(archive.days(now, 2), [report(404), report(405)]);
        assert_eq!(fs::read_dir(&folder).unwrap().count() as u64, ARCHIVE_DAYS);
    }

    #[test]
    fn later_report_of_a_day_replaces_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let archive = QualityArchive::open(folder.path().into());
        let later = QualityReport {
            counted: Time(DAY + 7200),
            ..QualityReport::default()
        };
        archive.add(report(1)).unwrap();
        archive.add(later.clone()).unwrap();
        assert_eq!(archive.days(Time(DAY + 9000), 1), [later]);
    }

    #[test]
    fn damaged_file_loses_only_its_day() {
        let folder = tempfile::tempdir().unwrap();
        let archive = QualityArchive::open(folder.path().into());
        archive.add(report(1)).unwrap();
        archive.add(report(2)).unwrap();
        fs::write(folder.path().join("1970-01-02.json"), "{").unwrap();
        assert_eq!(archive.days(Time(2 * DAY), 9), [report(2)]);
    }
}
