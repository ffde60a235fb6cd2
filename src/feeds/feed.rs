//! A running feed: its settings and state, and how its thread waits and is woken.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{FeedSettings, FeedSource};
use crate::{
    api::{FeedKind, FeedResponse},
    ledger::held::FileMark,
    lists::records::Mapping,
    model::Time,
    store::stage::ImportDifference,
};

/// The shortest time between two refreshes, whatever the timers of an SOA are.
pub(super) const MIN_WAIT_SECONDS: u64 = 1;
/// The longest time between two refreshes, whatever the timers of an SOA are.
pub(super) const MAX_WAIT_SECONDS: u64 = 7 * 86_400;

/// The file and the settings by which it was read at the last import or hold.
pub(super) type LastCheck = Option<(FileMark, String)>;

/// A running feed.
pub(super) struct Feed {
    pub(super) settings: FeedSettings,
    pub(super) stop: AtomicBool,
    /// Set to refresh at once.
    pub(super) is_woken: Mutex<bool>,
    pub(super) wakeup: Condvar,
    pub(super) state: Mutex<FeedResponse>,
    /// The addresses of the server of a zone, which may send a NOTIFY.
    pub(super) addresses: Mutex<Vec<IpAddr>>,
    /// The last check of a file. A check or a decision holds the lock while it runs.
    pub(super) last_check: Mutex<LastCheck>,
}

impl Feed {
    pub(super) fn new(settings: FeedSettings) -> Feed {
        let (kind, from) = match &settings.kind {
            FeedSource::File { path, .. } => (FeedKind::File, path.display().to_string()),
            FeedSource::Zone {
                server, mapping, ..
            } => {
                let kind = match mapping {
                    Mapping::Rows => FeedKind::Orbsd,
                    Mapping::Names => FeedKind::Axfr,
                };
                (kind, format!("{} at {}", server.zone, server.address))
            }
        };
        let feed = settings.name.clone();
        let publisher = settings.publisher.clone();
        Feed {
            settings,
            stop: AtomicBool::new(false),
            is_woken: Mutex::new(false),
            wakeup: Condvar::new(),
            state: Mutex::new(FeedResponse {
                feed,
                title: publisher.title,
                lookup_url: publisher.lookup_url,
                removal_url: publisher.removal_url,
                kind,
                from,
                ..FeedResponse::default()
            }),
            addresses: Mutex::default(),
            last_check: Mutex::default(),
        }
    }

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
        state.checked = Some(at.into());
        state.next = Some(Time(at.0 + wait).into());
        let name = &self.settings.name;
        if self.stop.load(Relaxed) {
            return wait; // the stop caused the error
        }
        match result {
            Ok(change) => {
                if state.problem.take().is_some() {
                    tracing::info!(feed = name, "the feed is refreshed again");
                }
                if note.is_some() && note != state.note {
                    tracing::warn!(feed = name, note, "feed refreshed with a warning");
                }
                if state.held.is_none() {
                    state.refreshed = state.checked;
                }
                if let Some((how, d)) = change {
                    state.how = Some(how.into());
                    state.note = note;
                    tracing::info!(
                        feed = name,
                        how,
                        serial = state.serial,
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

    /// Waits for a time or until it is woken, but at least for the shortest time, so that a stream
    /// of NOTIFY messages cannot make it refresh without a pause.
    pub(super) fn wait(&self, time: Duration) {
        let start = Instant::now();
        let mut is_woken = self.is_woken.lock();
        loop {
            let shortest = Duration::from_secs(MIN_WAIT_SECONDS);
            let until = if *is_woken { time.min(shortest) } else { time };
            let left = until.saturating_sub(start.elapsed());
            if self.stop.load(Relaxed) || left.is_zero() {
                break;
            }
            self.wakeup
                .wait_for(&mut is_woken, left.max(Duration::from_millis(1)));
        }
        *is_woken = false;
    }
}
