//! The thread that reads the store and the removal log for damage, when that is due.

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

/// How often it looks whether a scrub is due, and whether the daemon stops.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long after a start a scrub that is due by time begins: a start has enough to read, and a
/// scrub flushes the write-ahead log.
const START_DELAY: Duration = Duration::from_secs(60);
/// How long it waits after a scrub that could not be done.
const RETRY: Duration = Duration::from_secs(300);

/// Starts the thread; it ends when `stop` is set.
pub(super) fn start(ledger: &Ledger, stop: &Arc<AtomicBool>) -> Result<(), String> {
    let (ledger, stop) = (ledger.clone(), stop.clone());
    let run = move || {
        sys::lower_priority();
        let mut wait = |time: Duration| sleep(time, &stop);
        let started = Instant::now();
        while wait(POLL_INTERVAL) {
            let is_due = ledger.store.scrub_wanted()
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

/// Sleeps; false where the daemon stops.
fn sleep(time: Duration, stop: &AtomicBool) -> bool {
    let mut left = time;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        let part = left.min(POLL_INTERVAL);
        std::thread::sleep(part);
        left -= part;
    }
    !stop.load(Ordering::Relaxed)
}

/// Reads everything once; false where it could not.
fn scrub(ledger: &Ledger, wait: &mut dyn FnMut(Duration) -> bool) -> bool {
    if let Some(path) = &ledger.settings().removals
        && let Err(why) = removal_log::verify(path)
    {
        tracing::debug!(why, "the removal log is looked at by its writer");
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
            tracing::warn!(error = %e, "the scrub could not be done; it is tried again");
            return false;
        }
    }
    true
}
