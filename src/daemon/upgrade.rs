//! Reports the upgrade of a store of an earlier version, which can take minutes, to the service
//! manager and in the log.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::store::UpgradeProgress;

/// How long the service manager waits for the next report of an upgrade, or for the end of the start
/// after the last one: as long as `TimeoutStartSec` of the unit.
const START_EXTENSION: Duration = Duration::from_secs(600);
/// The least time between two log lines about an upgrade.
const UPGRADE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Reports the progress of a long upgrade of the store, so that the service manager does not stop
/// the start.
#[derive(Default)]
pub(super) struct UpgradeReport {
    /// When the last line was logged.
    logged: Option<Instant>,
}

impl UpgradeReport {
    /// Reports one step of the progress.
    pub(super) fn add(&mut self, progress: UpgradeProgress) {
        super::notify(NotifyState::ExtendTimeoutUsec(
            START_EXTENSION.as_micros() as u32
        ));
        let is_due = |at: Instant| at.elapsed() >= UPGRADE_LOG_INTERVAL;
        if self.logged.is_none_or(is_due) {
            let UpgradeProgress { version, subjects } = progress;
            tracing::info!(version, subjects, "upgrading the store");
            self.logged = Some(Instant::now());
        }
    }
}
