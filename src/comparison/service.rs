//! What handlers of comparisons share: the settings, the results, and how a zone is transferred.

use std::{io::Read, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use super::{
    folder::ComparisonFolder,
    settings::{ComparisonSettings, TransferSettings},
};
use crate::model::{Time, time::Seconds};

/// The shortest time between two requests for the zone of another operator.
const TRANSFER_PAUSE: Seconds = Seconds(86_400);

/// Opens the text of a zone of another server, as a master file.
pub type TransferZone =
    Arc<dyn Fn(&TransferSettings) -> Result<Box<dyn Read + Send>, String> + Send + Sync>;

/// Comparisons with other lists. Clones share the state.
#[derive(Clone)]
pub struct Comparisons {
    settings: Arc<ArcSwap<Vec<ComparisonSettings>>>,
    /// The stored results.
    pub folder: ComparisonFolder,
    /// How a zone is transferred.
    pub transfer: TransferZone,
    running: Arc<Mutex<()>>,
}

impl Comparisons {
    /// Creates the service with the settings of the configuration.
    pub fn new(
        settings: Vec<ComparisonSettings>,
        folder: ComparisonFolder,
        transfer: TransferZone,
    ) -> Comparisons {
        Comparisons {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            folder,
            transfer,
            running: Arc::default(),
        }
    }

    /// Applies new settings.
    pub fn configure(&self, settings: Vec<ComparisonSettings>) {
        self.settings.store(Arc::new(settings));
    }

    /// The settings of a list.
    pub fn settings_of(&self, name: &str) -> Option<ComparisonSettings> {
        self.settings
            .load()
            .iter()
            .find(|s| s.name == name)
            .cloned()
    }

    /// The settings of the list whose zone a request names.
    ///
    /// # Errors
    ///
    /// No table has the zone, or its operator has not permitted the transfer.
    pub fn transfer_of(
        &self,
        server: &str,
        zone: &str,
    ) -> Result<(ComparisonSettings, TransferSettings), String> {
        let all = self.settings.load();
        let found = all.iter().find_map(|s| {
            let transfer = s.transfer.as_ref().filter(|t| t.is_at(server, zone))?;
            Some((s.clone(), transfer.clone()))
        });
        match found {
            None => Err(format!(
                "no [[comparison]] has the server `{server}` and the zone `{zone}`; add one to config.toml, with allow_transfer = true if the operator of the zone permits it"
            )),
            Some((settings, transfer)) if !transfer.is_permitted => Err(format!(
                "[[comparison]] `{}`: the transfer of `{zone}` is not permitted; set allow_transfer = true if the operator of the zone permits it, or compare with a file",
                settings.name
            )),
            Some(found) => Ok(found),
        }
    }

    /// When the zone of a list can be asked for again; `None` if it can be now.
    ///
    /// # Errors
    ///
    /// The time of the last transfer cannot be read.
    pub fn next_transfer(&self, name: &str, now: Time) -> std::io::Result<Option<Time>> {
        let last = self.folder.last_transfer(name)?;
        let next = last.map(|at| at.plus(TRANSFER_PAUSE));
        Ok(next.filter(|next| *next > now))
    }

    /// Begins a comparison; `None` while another one runs.
    pub fn begin(&self) -> Option<MutexGuard<'_, ()>> {
        self.running.try_lock()
    }

    /// Removes old results, unless a comparison runs, which does it too.
    ///
    /// # Errors
    ///
    /// See [`ComparisonFolder::remove_old`].
    pub fn remove_old(&self, now: Time) -> std::io::Result<()> {
        match self.begin() {
            Some(_running) => self.folder.remove_old(now),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparisons(place: &std::path::Path, is_permitted: bool) -> Comparisons {
        let settings = ComparisonSettings {
            name: "rss".into(),
            transfer: Some(TransferSettings {
                server: "192.0.2.53".into(),
                zone: "relays.example".into(),
                key: None,
                is_permitted,
            }),
            ..ComparisonSettings::default()
        };
        let transfer: TransferZone = Arc::new(|_| Err("no transfers in this test".into()));
        Comparisons::new(vec![settings], ComparisonFolder::of_store(place), transfer)
    }

    #[test]
    fn only_a_permitted_zone_can_be_transferred() {
        let place = tempfile::tempdir().unwrap();
        let find = |is_permitted, server, zone| {
            let comparisons = comparisons(place.path(), is_permitted);
            comparisons.transfer_of(server, zone).map(|(s, _)| s.name)
        };
        let found = find(true, "192.0.2.53", "Relays.Example.");
        assert_eq!(found, Ok("rss".into()));
        let e = find(false, "192.0.2.53", "relays.example").unwrap_err();
        assert!(e.contains("allow_transfer = true"), "{e}");
        let e = find(true, "192.0.2.54", "relays.example").unwrap_err();
        assert!(e.contains("no [[comparison]]"), "{e}");
    }

    #[test]
    fn zone_is_asked_for_at_most_once_a_day() {
        let place = tempfile::tempdir().unwrap();
        let comparisons = comparisons(place.path(), true);
        let next = |now| comparisons.next_transfer("rss", Time(now)).unwrap();
        assert_eq!(next(1_000), None);
        comparisons
            .folder
            .note_transfer("rss", Time(1_000))
            .unwrap();
        assert_eq!(next(1_000 + 86_399), Some(Time(1_000 + 86_400)));
        assert_eq!(next(1_000 + 86_400), None);
    }

    #[test]
    fn one_comparison_runs_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let comparisons = comparisons(place.path(), true);
        let running = comparisons.begin();
        assert!(running.is_some());
        assert!(comparisons.clone().begin().is_none());
        drop(running);
        assert!(comparisons.begin().is_some());
    }
}
