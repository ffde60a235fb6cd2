//! The scheduler: starts jobs when a place is free, does what is due, and reports the state of the
//! clock.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    catalogue::MAX_MESSAGES,
    messages::Phase,
    name_lookup::HostNameResolver,
    policy::{Job, JobState},
    service::{Component, RelayError, RelayService},
    tester::{self, RunReport, TesterSettings},
    token::TokenId,
};
use crate::{clock::ClockReport, model::Time};

/// How often jobs are looked up.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often due work is done, in polls.
const DUE_EVERY: u64 = 5;
/// How often old rows are removed, in polls.
const FORGET_EVERY: u64 = 3600;
/// How long the look-up of a host's names may take.
const NAME_TIMEOUT: Duration = Duration::from_secs(30);
/// The most jobs that are started at once.
const MAX_STARTS: usize = 256;

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Hosts that are tested at the same time.
    pub concurrency: usize,
    /// How long to wait for deliveries after the last message.
    pub collect_wait: Duration,
    /// How messages are sent to a host.
    pub tester: TesterSettings,
}

/// Makes unguessable numbers of tokens.
pub type TokenSource = Arc<dyn Fn() -> Result<TokenId, String> + Send + Sync>;

/// Runs until `stop` is set. A test that runs then goes on after the next start.
pub async fn run(
    service: RelayService,
    settings: SchedulerSettings,
    known: HostNameResolver,
    fresh: TokenSource,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(settings.concurrency));
    let mut adoptions = service.clock().adoptions;
    let resumed = blocking(&service, |d| d.resume(d.now())).await;
    complain("jobs that a stop had cut", resumed);
    let starting: InFlightJobs = Arc::default();
    for look in 0u64.. {
        let problem = clock_problem(&service.clock(), &mut adoptions);
        let reported = blocking(&service, move |d| {
            d.report_health(Component::Clock, problem, d.now())
        })
        .await;
        complain("the state of the clock", reported);
        if look % DUE_EVERY == 0 {
            complain("what is due", blocking(&service, |d| d.tick(d.now())).await);
        }
        if look % FORGET_EVERY == FORGET_EVERY - 1 {
            complain(
                "what is old",
                blocking(&service, |d| d.forget(d.now())).await,
            );
        }
        // Jobs that are being started are still in their queues.
        let begun = starting.lock().len();
        let free = permits.available_permits().min(MAX_STARTS);
        let most = if free == 0 { 0 } else { free + begun };
        match blocking(&service, move |d| d.due(most, d.now())).await {
            Ok(jobs) => {
                for job in jobs {
                    let Some(in_flight) = InFlight::begin(&starting, job.id) else {
                        continue;
                    };
                    let Ok(permit) = permits.clone().try_acquire_owned() else {
                        break;
                    };
                    let (service, settings, known, fresh) = (
                        service.clone(),
                        settings.clone(),
                        known.clone(),
                        fresh.clone(),
                    );
                    tokio::spawn(async move {
                        let _held = (permit, in_flight);
                        if let Err(e) = test(&service, &settings, &job, known, fresh).await {
                            tracing::warn!(job = job.id, target = %job.target, error = ?e, "a relay test did not begin, or its results were lost");
                        }
                    });
                }
            }
            e => complain("jobs", e.map(drop)),
        }
        tokio::select! {
            () = sleep(POLL_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// The jobs that tasks are running.
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

/// Runs a job from its names to its results.
async fn test(
    service: &RelayService,
    settings: &SchedulerSettings,
    job: &Job,
    known: HostNameResolver,
    fresh: TokenSource,
) -> Result<(), RelayError> {
    let id = job.id;
    // A name server that does not answer delays only its own host.
    let names = timeout(NAME_TIMEOUT, known(job.target, job.names.clone())).await;
    let names = match names {
        Ok(names) => names,
        Err(_) => service.settings().names(job.target),
    };
    // Forms that came through are sent once more: twice as many at most.
    let mut ids = (0..2 * MAX_MESSAGES)
        .map(|_| fresh())
        .collect::<Result<Vec<TokenId>, _>>()
        .map_err(RelayError::Refused)?;
    let (job, messages) = blocking(service, move |d| {
        d.begin(id, &names, &mut || ids.pop().unwrap_or_default(), d.now())
    })
    .await?;
    tracing::info!(job = id, target = %job.target, messages = messages.len(), "a relay test begins");
    let watched = service.clone();
    // No message is sent after an opt-out, or after the operator has switched the tester off (S18).
    let target = job.target;
    let mut go = move || {
        watched.job(id).is_ok_and(|j| j.state == JobState::Running)
            && watched.settings().allows_our_test(target).is_ok()
    };
    let how = settings.tester.for_job(job.cause.is_by_owner(), job.source);
    // A claim's first groups may suffice for a release.
    let split = messages
        .iter()
        .position(|m| m.phase == Phase::Rest)
        .filter(|_| job.is_claim())
        .unwrap_or(0);
    let (first, rest) = messages.split_at(split);
    let (mut report, begun) = (RunReport::default(), Instant::now());
    if !first.is_empty() {
        report = tester::run(
            job.target,
            job.port,
            first,
            &how.share(first.len(), messages.len()),
            &mut |_| {},
            &mut go,
        )
        .await;
        let (ran, controls) = (report.ran.clone(), report.controls.clone());
        complain(
            "a release",
            blocking(service, move |d| d.progress(id, ran, controls, d.now())).await,
        );
        sleep(how.pause).await;
    }
    let remaining = TesterSettings {
        max_extra: how.max_extra.saturating_sub(begun.elapsed()),
        ..how.share(rest.len(), messages.len())
    };
    report.append(tester::run(job.target, job.port, rest, &remaining, &mut |_| {}, &mut go).await);
    sleep(settings.collect_wait).await;
    for pause in [1, 10, 60, 600, 3600] {
        let RunReport {
            ran,
            controls,
            transcript,
        } = report.clone();
        match blocking(service, move |d| {
            d.finish(id, ran, controls, &transcript, d.now())
        })
        .await
        {
            Ok(job) => {
                tracing::info!(job = id, target = %job.target, state = ?job.state, said = ?job.assessment(), "a relay test has run");
                return Ok(());
            }
            // The store may recover.
            Err(RelayError::Ledger(e)) => {
                tracing::warn!(job = id, error = ?e, "the results of a test could not be written down yet");
            }
            Err(e) => return Err(e),
        }
        sleep(Duration::from_secs(pause)).await;
    }
    Err(RelayError::Refused(
        "the results could not be written down".into(),
    ))
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

fn complain(what: &str, result: Result<(), RelayError>) {
    if let Err(e) = result {
        tracing::warn!(what, error = ?e, "relay scheduler task failed");
    }
}

/// The problem of the clock, and since when there is one. Time that an adoption has skipped is an
/// outage: nothing could be delivered in it.
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
    fn no_tests_are_made_while_the_clock_differs_and_skipped_time_is_an_outage() {
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
        assert_eq!(problem(), None, "it is back");
        time.step(3600);
        clock.accept();
        assert_eq!(
            problem().map(|p| p.1),
            Some(Time(1_000_000)),
            "an hour was skipped"
        );
        assert_eq!(problem(), None);
    }
}
