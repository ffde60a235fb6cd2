//! A running feed: its settings and state, and how its thread waits and is woken.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{FeedSettings, state::FeedState};
use crate::{ledger::held::FileMark, model::Time, store::stage::ImportDifference};

/// The shortest time between two refreshes, whatever an SOA says.
pub(super) const MIN_WAIT_SECONDS: u64 = 1;
/// The longest time between two refreshes, whatever an SOA says.
pub(super) const MAX_WAIT_SECONDS: u64 = 7 * 86_400;

/// The file, and the way it is read, at the last import or hold.
pub(super) type LastCheck = Option<(FileMark, String)>;

/// A running feed.
pub(super) struct Feed {
    pub(super) settings: FeedSettings,
    pub(super) stop: AtomicBool,
    /// Wakes it to refresh now.
    pub(super) is_woken: Mutex<bool>,
    pub(super) wakeup: Condvar,
    pub(super) state: Mutex<FeedState>,
    /// The last check of a file; its lock is held by a check or a decision.
    pub(super) last_check: Mutex<LastCheck>,
}

impl Feed {
    pub(super) fn wake(&self) {
        *self.is_woken.lock() = true;
        self.wakeup.notify_all();
    }

    /// Records the result of a check and logs it if it is new; returns the time to wait.
    pub(super) fn record_result(
        &self,
        at: Time,
        result: Result<Option<(&'static str, ImportDifference)>, String>,
        note: Option<String>,
        wait: u64,
    ) -> u64 {
        let mut state = self.state.lock();
        let wait = wait.clamp(MIN_WAIT_SECONDS, MAX_WAIT_SECONDS);
        state.checked = Some(at);
        state.next = Some(Time(at.0 + wait));
        let name = &self.settings.name;
        if self.stop.load(Relaxed) {
            return wait; // whatever went wrong did so because of that
        }
        match result {
            Ok(change) => {
                if state.problem.take().is_some() {
                    tracing::info!(feed = name, "the feed is refreshed again");
                }
                if note.is_some() && note != state.note {
                    tracing::warn!(
                        feed = name,
                        note,
                        "the feed was refreshed, and there is something to look at"
                    );
                }
                if state.held.is_none() {
                    state.refreshed = state.checked;
                }
                if let Some((how, d)) = change {
                    state.how = Some(how);
                    state.note = note;
                    let serial = state.serial.map(|s| s.0);
                    tracing::info!(
                        feed = name,
                        how,
                        serial,
                        added = d.added,
                        changed = d.changed,
                        removed = d.removed,
                        "refreshed"
                    );
                } else if note.is_some() {
                    state.note = note;
                }
            }
            Err(why) => {
                if state.problem.as_ref() != Some(&why) {
                    tracing::warn!(feed = name, "the feed cannot be refreshed: {why}");
                }
                state.problem = Some(why);
            }
        }
        wait
    }

    /// Waits for a time or until it is woken; never less than the shortest time, so that a stream
    /// of NOTIFY cannot make it refresh all the time.
    pub(super) fn wait(&self, time: Duration) {
        let start = Instant::now();
        let mut is_woken = self.is_woken.lock();
        loop {
            let least = start.elapsed() >= Duration::from_secs(MIN_WAIT_SECONDS);
            let left = time.saturating_sub(start.elapsed());
            if self.stop.load(Relaxed) || left.is_zero() || (*is_woken && least) {
                break;
            }
            let left = if *is_woken {
                Duration::from_secs(MIN_WAIT_SECONDS).saturating_sub(start.elapsed())
            } else {
                left
            };
            self.wakeup
                .wait_for(&mut is_woken, left.max(Duration::from_millis(1)));
        }
        *is_woken = false;
    }
}
