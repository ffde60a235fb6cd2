//! The scheduler: starts jobs when a test slot is free, runs periodic work, and reports the health
//! of the clock.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    catalogue::MAX_MESSAGES,
    control::ControlSession,
    messages::MessageResult,
    name_lookup::HostNameResolver,
    policy::{Job, JobState},
    service::{Component, RelayError, RelayService},
    tester::{self, RunObserver, RunReport, TesterSettings},
    token::TokenId,
};
use crate::{clock::ClockReport, model::Time};

/// How often due jobs are looked up.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often due claims and outputs are processed, in polls.
const DUE_EVERY: u64 = 5;
/// The timeout of the look-up of a host's names.
const NAME_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest time between two stores of the outcomes of a running test.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The most jobs that are started at once.
const MAX_STARTS: usize = 256;

/// The settings of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// The most hosts that are tested at the same time.
    pub concurrency: usize,
    /// How long to wait for deliveries after the last message.
    pub collect_wait: Duration,
    /// How messages are sent to a host.
    pub tester: TesterSettings,
}

/// Returns unguessable identifiers of tokens.
pub type TokenSource = Arc<dyn Fn() -> Result<TokenId, String> + Send + Sync>;

/// Runs until `stop` is set. Tests that are running then are resumed after the next start.
pub async fn run(
    service: RelayService,
    settings: SchedulerSettings,
    resolve_names: HostNameResolver,
    token_source: TokenSource,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(settings.concurrency));
    let mut adoptions = service.clock().adoptions;
    log_failure(
        "resume jobs",
        blocking(&service, |d| d.resume(d.now())).await,
    );
    let starting: InFlightJobs = Arc::default();
    for round in 0u64.. {
        let problem = clock_problem(&service.clock(), &mut adoptions);
        let reported = blocking(&service, move |d| {
            d.report_health(Component::Clock, problem, d.now())
        });
        log_failure("report clock health", reported.await);
        if round % DUE_EVERY == 0 {
            let done = blocking(&service, |d| d.tick(d.now())).await;
            log_failure("process due claims and outputs", done);
        }
        // Jobs that are being started are still in their queues.
        let starting_count = starting.lock().len();
        let free = permits.available_permits().min(MAX_STARTS);
        let most = if free == 0 { 0 } else { free + starting_count };
        match blocking(&service, move |d| d.due(most, d.now())).await {
            Ok(jobs) => {
                for job in jobs {
                    let Some(in_flight) = InFlight::begin(&starting, job.id) else {
                        continue;
                    };
                    let Ok(permit) = permits.clone().try_acquire_owned() else {
                        break;
                    };
                    let (service, settings, resolve_names, token_source) = (
                        service.clone(),
                        settings.clone(),
                        resolve_names.clone(),
                        token_source.clone(),
                    );
                    tokio::spawn(async move {
                        let _held = (permit, in_flight);
                        if let Err(e) =
                            test(&service, &settings, &job, resolve_names, token_source).await
                        {
                            tracing::warn!(job = job.id, target = %job.target, error = ?e, "relay test not started, or its results not stored");
                        }
                    });
                }
            }
            e => log_failure("find due jobs", e.map(drop)),
        }
        tokio::select! {
            () = sleep(POLL_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// The numbers of the jobs that tasks are running.
type InFlightJobs = Arc<Mutex<HashSet<u64>>>;

struct InFlight(InFlightJobs, u64);

impl InFlight {
    fn begin(all: &InFlightJobs, id: u64) -> Option<InFlight> {
        all.lock().insert(id).then(|| InFlight(all.clone(), id))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// Runs one job: finds the names of the host, sends the messages, and stores the results.
async fn test(
    service: &RelayService,
    settings: &SchedulerSettings,
    job: &Job,
    resolve_names: HostNameResolver,
    token_source: TokenSource,
) -> Result<(), RelayError> {
    let id = job.id;
    // A name server that does not answer delays only the test of this host.
    let names = timeout(NAME_TIMEOUT, resolve_names(job.target, job.names.clone())).await;
    let names = match names {
        Ok(names) => names,
        Err(_) => service.settings().names(job.target),
    };
    // Delivered forms are sent again, so a job needs at most twice as many tokens.
    let mut ids = (0..2 * MAX_MESSAGES)
        .map(|_| token_source())
        .collect::<Result<Vec<TokenId>, _>>()
        .map_err(RelayError::Refused)?;
    let (job, messages) = blocking(service, move |d| {
        d.begin(id, &names, &mut || ids.pop().unwrap_or_default(), d.now())
    })
    .await?;
    tracing::info!(job = id, target = %job.target, messages = messages.len(), "relay test started");
    let sender = settings
        .tester
        .for_job(job.trigger.is_by_owner(), job.source);
    let (sent, received) = watch::channel(Progress::default());
    let follower = TestFollower {
        service: service.clone(),
        job: job.id,
        target: job.target,
        sent,
    };
    let report = async {
        let mut follower = follower;
        let report = tester::run(job.target, job.port, &messages, &sender, &mut follower).await;
        // The last outcomes are stored with the report.
        drop(follower);
        report
    };
    let progress = async {
        // Only the owner of a host watches a test.
        if job.is_claim() {
            store_progress(service, id, received).await;
        }
    };
    let (report, ()) = tokio::join!(report, progress);
    sleep(settings.collect_wait).await;
    for pause in [1, 10, 60, 600, 3600] {
        let report = report.clone();
        let stored = blocking(service, move |d| {
            let RunReport {
                results,
                controls,
                transcript,
            } = report;
            d.finish(id, results, controls, &transcript, d.now())
        });
        match stored.await {
            Ok(job) => {
                tracing::info!(job = id, target = %job.target, state = ?job.state, assessment = ?job.assessment(), "relay test finished");
                return Ok(());
            }
            // Storing is retried, because the store may recover.
            Err(RelayError::Ledger(e)) => {
                tracing::warn!(job = id, error = ?e, "test results not stored; will retry");
            }
            Err(e) => return Err(e),
        }
        sleep(Duration::from_secs(pause)).await;
    }
    Err(RelayError::Refused(
        "the results could not be stored".into(),
    ))
}

/// The results and sessions of a test so far.
type Progress = (Vec<MessageResult>, Vec<ControlSession>);

/// Passes the outcomes of a running test on, and stops it where it may not continue.
struct TestFollower {
    service: RelayService,
    job: u64,
    target: IpAddr,
    /// Has the newest progress only.
    sent: watch::Sender<Progress>,
}

impl RunObserver for TestFollower {
    /// No message is sent after an opt-out, or after the operator has switched the tester off
    /// (safety rule S18).
    fn may_continue(&mut self) -> bool {
        let is_running = |j: Job| j.state == JobState::Running;
        self.service.job(self.job).is_ok_and(is_running)
            && self.service.settings().allows_our_test(self.target).is_ok()
    }

    fn progress(&mut self, results: &[MessageResult], controls: &[ControlSession]) {
        self.sent
            .send_replace((results.to_vec(), controls.to_vec()));
    }
}

/// Stores the outcomes of a running test as they come, at most once in [`PROGRESS_INTERVAL`], until
/// the test has ended. If a store fails, the next one has the same outcomes and later ones.
async fn store_progress(service: &RelayService, id: u64, mut received: watch::Receiver<Progress>) {
    while received.changed().await.is_ok() {
        let (results, controls) = received.borrow_and_update().clone();
        let stored = blocking(service, move |d| d.progress(id, results, controls, d.now()));
        log_failure("store outcomes of a running test", stored.await);
        sleep(PROGRESS_INTERVAL).await;
    }
}

async fn blocking<T: Send + 'static>(
    service: &RelayService,
    f: impl FnOnce(&RelayService) -> Result<T, RelayError> + Send + 'static,
) -> Result<T, RelayError> {
    let service = service.clone();
    tokio::task::spawn_blocking(move || f(&service))
        .await
        .unwrap_or_else(|e| Err(RelayError::Refused(e.to_string())))
}

fn log_failure(task: &str, result: Result<(), RelayError>) {
    if let Err(e) = result {
        tracing::warn!(task, error = ?e, "relay scheduler task failed");
    }
}

/// Returns the problem of the clock, and since when it exists. Time that an adoption of the wall
/// clock has skipped is an outage, because no message could be delivered in it.
fn clock_problem(clock: &ClockReport, adoptions: &mut u64) -> Option<(String, Time)> {
    let adopted = std::mem::replace(adoptions, clock.adoptions) != clock.adoptions;
    match clock.problem() {
        Some(why) => Some((why, clock.since.unwrap_or(clock.trusted))),
        None if adopted => Some((
            "the wall clock was adopted as trusted time".into(),
            clock.adopted_from.unwrap_or(clock.trusted),
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, tests::ManualTime};

    /// S18.
    #[test]
    fn clock_difference_is_a_problem_and_skipped_time_is_an_outage() {
        let time = ManualTime::at(1_000_000);
        let clock = Clock::without_record(time.clone());
        let mut adoptions = 0;
        let mut problem = || {
            clock.check();
            clock_problem(&clock.report(), &mut adoptions)
        };
        assert_eq!(problem(), None);
        time.step(60 * 86_400);
        let (why, since) = problem().unwrap();
        assert!(
            why.contains("clock differs") && since == Time(1_000_000),
            "{why} {since}"
        );
        time.step(-60 * 86_400);
        assert_eq!(problem(), None, "the wall clock is right again");
        time.step(3600);
        clock.accept();
        assert_eq!(
            problem().map(|p| p.1),
            Some(Time(1_000_000)),
            "the skipped hour is an outage"
        );
        assert_eq!(problem(), None);
    }
}
