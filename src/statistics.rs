//! The figures of each list for each of the last 30 days, for the public page about the state of
//! the lists. They are kept in a file beside the store's folder.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{model::Time, store::private};

/// The number of days with figures, today included.
pub const DAYS: u64 = 30;
/// The seconds of a day.
const DAY: u64 = 86_400;
/// The most lists with figures.
const MAX_LISTS: usize = 1000;
/// The version of the file.
const VERSION: u32 = 1;

/// The figures of a list for a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayFigures {
    /// The published entries, as they were last counted on that day; `None` if they were not.
    pub entries: Option<u64>,
    /// Subjects that the list began to publish on that day.
    pub listed: u64,
    /// Subjects that the list ceased to publish on that day.
    pub delisted: u64,
}

/// What was counted in a list since the last count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListCount {
    /// The published entries.
    pub entries: Option<u64>,
    /// Subjects that the list began to publish.
    pub listed: u64,
    /// Subjects that the list ceased to publish.
    pub delisted: u64,
}

/// The figures of lists, by days since 1970.
type Days = BTreeMap<u64, BTreeMap<String, DayFigures>>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct StatisticsFile {
    version: u32,
    days: Days,
}

#[derive(Debug, Default)]
struct State {
    path: Option<PathBuf>,
    days: Days,
}

/// The figures. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Statistics(Arc<Mutex<State>>);

impl Statistics {
    /// Reads the file at a path, which need not exist. A file that cannot be read is logged, and
    /// replaced by the next count.
    pub fn open(path: PathBuf) -> Statistics {
        let days = read(&path).unwrap_or_else(|why| {
            let path = path.display();
            tracing::warn!(%path, error = why, "figures of the last days not read; they begin anew");
            Days::new()
        });
        Statistics(Arc::new(Mutex::new(State {
            path: Some(path),
            days,
        })))
    }

    /// Adds what was counted to the figures of today, by list, and writes the file.
    pub fn add(&self, now: Time, counts: &BTreeMap<String, ListCount>) {
        let mut state = self.0.lock();
        let today = now.0 / DAY;
        let day = state.days.entry(today).or_default();
        for (list, count) in counts.iter().take(MAX_LISTS) {
            let figures = day.entry(list.clone()).or_default();
            figures.entries = count.entries.or(figures.entries);
            figures.listed += count.listed;
            figures.delisted += count.delisted;
        }
        state
            .days
            .retain(|day, _| *day + DAYS > today && *day <= today);
        let Some(path) = state.path.clone() else {
            return;
        };
        let file = StatisticsFile {
            version: VERSION,
            days: state.days.clone(),
        };
        if let Err(error) = write(&path, &file) {
            let path = path.display();
            tracing::warn!(%path, %error, "figures of the last days not written");
        }
    }

    /// The figures of a list, by the first second of each day; the oldest first.
    pub fn of_list(&self, list: &str, now: Time) -> Vec<(Time, DayFigures)> {
        let state = self.0.lock();
        let oldest = (now.0 / DAY).saturating_sub(DAYS - 1);
        let days = state.days.range(oldest..);
        days.filter_map(|(day, lists)| Some((Time(day * DAY), *lists.get(list)?)))
            .collect()
    }
}

fn read(path: &Path) -> Result<Days, String> {
    let text = match fs::read_to_string(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Days::new()),
        text => text.map_err(|e| e.to_string())?,
    };
    let file: StatisticsFile = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    match file.version {
        VERSION => Ok(file.days),
        other => Err(format!("version {other} of its form is not known here")),
    }
}

fn write(path: &Path, file: &StatisticsFile) -> std::io::Result<()> {
    let text = serde_json::to_vec(file)?;
    let new = path.with_extension("json.new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => private::create_file(&new, &text)?,
    }
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(entries: Option<u64>, listed: u64, delisted: u64) -> BTreeMap<String, ListCount> {
        let count = ListCount {
            entries,
            listed,
            delisted,
        };
        [("bl.example".to_string(), count)].into()
    }

    #[test]
    fn counts_of_a_day_are_added_and_days_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.statistics.json");
        let statistics = Statistics::open(path.clone());
        for day in 0..40 {
            statistics.add(Time(day * DAY), &count(Some(day), 2, 1));
            statistics.add(Time(day * DAY + 600), &count(None, 1, 0));
        }
        let now = Time(39 * DAY + 700);
        let figures = statistics.of_list("bl.example", now);
        assert_eq!(figures.len() as u64, DAYS);
        let expected = |entries| DayFigures {
            entries: Some(entries),
            listed: 3,
            delisted: 1,
        };
        assert_eq!(figures[0], (Time(10 * DAY), expected(10)));
        assert_eq!(figures[29], (Time(39 * DAY), expected(39)));
        assert_eq!(statistics.of_list("other.example", now), []);
        let read = Statistics::open(path.clone());
        assert_eq!(read.of_list("bl.example", now), figures, "after a restart");
        // A list that has no figures today keeps those of other days.
        let later = read.of_list("bl.example", Time(41 * DAY));
        assert_eq!((later.len(), later[0].0), (28, Time(12 * DAY)));
        fs::write(&path, "{").unwrap();
        assert_eq!(Statistics::open(path).of_list("bl.example", now), []);
    }
}
