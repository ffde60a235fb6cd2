//! Runs the job that erases old data: before a listener answers, and then daily on a thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    comparison::Comparisons,
    netblocks::NetblockService,
    privacy::{Erasures, PersonalData, RetentionJob},
    query_sample::QuerySample,
    reverse_names::ReverseNames,
    server::sys,
    tickets::TicketService,
};

/// The time between two checks whether the job is due, and whether the daemon stops.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the job once. If erasures on request cannot be repeated, the daemon does not start: it
/// would show what was erased. Another failure does not keep it from starting; `orbsd status`
/// reports it.
pub(super) async fn run_first(
    tickets: &TicketService,
    netblocks: &NetblockService,
    reverse_names: &ReverseNames,
    query_sample: &QuerySample,
    erasures: Erasures,
) -> Result<RetentionJob, String> {
    let job = RetentionJob::new(PersonalData {
        ledger: tickets.ledger.clone(),
        relay: tickets.relay.clone(),
        tickets: tickets.clone(),
        netblocks: netblocks.clone(),
        reverse_names: reverse_names.clone(),
        query_sample: query_sample.clone(),
        erasures,
    });
    let first = job.clone();
    tokio::task::spawn_blocking(move || first.run_at_start())
        .await
        .map_err(|e| e.to_string())?
        .map_err(|why| {
            format!("{why}; the daemon does not start before this is corrected, because the store may have data that was erased on request")
        })?;
    Ok(job)
}

/// Starts the thread that runs the job when it is due, and removes old results of comparisons; it
/// ends when `stop` is set.
pub(super) fn start(
    job: RetentionJob,
    comparisons: Comparisons,
    stop: &Arc<AtomicBool>,
) -> Result<(), String> {
    let stop = stop.clone();
    let run = move || {
        sys::lower_priority();
        while !stop.load(Ordering::Relaxed) {
            if job.is_due() {
                let run = job.run(None);
                if let Err(e) = comparisons.remove_old(run.at) {
                    tracing::warn!(error = %e, "old comparisons cannot be removed; trying again tomorrow");
                }
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    };
    std::thread::Builder::new()
        .name("retention".into())
        .spawn(run)
        .map(drop)
        .map_err(|e| e.to_string())
}
