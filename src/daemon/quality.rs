//! Runs the job that counts the figures of quality, on a thread of low priority.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{quality::QualityJob, server::sys};

/// The time between two checks whether the job is due, and whether the daemon stops.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Starts the thread that runs the job when it is due; it ends when `stop` is set.
pub(super) fn start(job: QualityJob, stop: &Arc<AtomicBool>) -> Result<(), String> {
    let stop = stop.clone();
    let run = move || {
        sys::lower_priority();
        let is_stopped = || stop.load(Ordering::Relaxed);
        while !is_stopped() {
            if job.is_due() {
                job.run(&is_stopped);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    };
    std::thread::Builder::new()
        .name("quality".into())
        .spawn(run)
        .map(drop)
        .map_err(|e| e.to_string())
}
