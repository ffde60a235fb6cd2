//! The thread that runs due scrubs, which check the store and the removal log for damage.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    ledger::{Ledger, removal_log},
    server::sys,
};

/// The time between two checks whether a scrub is due, and whether the daemon stops.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The time after a start in which no scheduled scrub begins, because a start reads much itself,
/// and a scrub flushes the write-ahead log.
const START_DELAY: Duration = Duration::from_secs(60);
/// The time to wait after a failed scrub.
const RETRY: Duration = Duration::from_secs(300);

/// Starts the thread; it ends when `stop` is set.
pub(super) fn start(ledger: &Ledger, stop: &Arc<AtomicBool>) -> Result<(), String> {
    let (ledger, stop) = (ledger.clone(), stop.clone());
    let run = move || {
        sys::lower_priority();
        let mut wait = |time: Duration| sleep(time, &stop);
        let started = Instant::now();
        while wait(POLL_INTERVAL) {
            let is_due = ledger.store.integrity.scrub_wanted()
                || (started.elapsed() >= START_DELAY && ledger.store.scrub_due(ledger.now()));
            if is_due && !scrub(&ledger, &mut wait) && !wait(RETRY) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("scrub".into())
        .spawn(run)
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Sleeps; returns false if the daemon stops.
fn sleep(time: Duration, stop: &AtomicBool) -> bool {
    let mut left = time;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        let part = left.min(POLL_INTERVAL);
        std::thread::sleep(part);
        left -= part;
    }
    !stop.load(Ordering::Relaxed)
}

/// Reads everything once; returns false if the scrub has failed.
fn scrub(ledger: &Ledger, wait: &mut dyn FnMut(Duration) -> bool) -> bool {
    if let Some(path) = &ledger.settings().removals
        && let Err(why) = removal_log::verify(path)
    {
        tracing::debug!(why, "the removal log is damaged; the writer handles it");
        let _ = ledger.verify_removals();
    }
    match ledger.store.scrub(&|| ledger.now(), wait) {
        Ok(Some(report)) => tracing::info!(
            rows = report.rows,
            bytes = report.bytes,
            damaged = report.damaged,
            "scrub ended"
        ),
        Ok(None) => {}
        Err(e) => {
            tracing::warn!(error = %e, "the scrub has failed; retrying");
            return false;
        }
    }
    true
}
