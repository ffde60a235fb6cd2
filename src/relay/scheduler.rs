//! The tester's clock: starts jobs when there is a turn, has what is due done, and watches that
//! time goes as it should.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    catalogue::MAX_MESSAGES,
    messages::Phase,
    name_lookup::HostNameResolver,
    policy::{Job, JobState},
    service::{RelayError, RelayService},
    tester::{self, RunReport, TesterSettings},
    token::TokenId,
};
use crate::{clock::ClockReport, model::Time};

/// How often jobs are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often what is due is done, in looks.
const DUE_EVERY: u64 = 5;
/// How often what is old is forgotten, in looks.
const FORGET_EVERY: u64 = 3600;
/// How long the names of a host may take to be found.
const NAMES: Duration = Duration::from_secs(30);
/// Jobs that are started at one look.
const STARTS: usize = 256;

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Hosts that are tested at the same time.
    pub concurrency: usize,
    /// How long after the last message to wait for what comes, before a job is judged.
    pub settle: Duration,
    /// How a host is talked to.
    pub probe: TesterSettings,
}

/// Makes numbers of tokens that nobody can guess.
pub type TokenSource = Arc<dyn Fn() -> Result<TokenId, String> + Send + Sync>;

/// Runs until it is told to stop. A test that is under way then is run again after the next start.
pub async fn run(
    desk: RelayService,
    settings: SchedulerSettings,
    known: HostNameResolver,
    fresh: TokenSource,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(settings.concurrency));
    let mut adoptions = desk.clock().adoptions;
    let resumed = blocking(&desk, |d| d.resume(d.now())).await;
    complain("jobs that a stop had cut", resumed);
    let starting: InFlightJobs = Arc::default();
    for look in 0u64.. {
        let wrong = clock_problem(&desk.clock(), &mut adoptions);
        let told = blocking(&desk, move |d| d.well("clock", wrong, d.now())).await;
        complain("the state of the clock", told);
        if look % DUE_EVERY == 0 {
            complain("what is due", blocking(&desk, |d| d.tick(d.now())).await);
        }
        if look % FORGET_EVERY == FORGET_EVERY - 1 {
            complain("what is old", blocking(&desk, |d| d.forget(d.now())).await);
        }
        // Those that are being started stand in line still.
        let begun = starting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        let free = places.available_permits().min(STARTS);
        let most = if free == 0 { 0 } else { free + begun };
        match blocking(&desk, move |d| d.due(most, d.now())).await {
            Ok(jobs) => {
                for job in jobs {
                    let Some(turn) = InFlight::take(&starting, job.id) else {
                        continue;
                    };
                    let Ok(place) = places.clone().try_acquire_owned() else {
                        break;
                    };
                    let (desk, settings, known, fresh) =
                        (desk.clone(), settings.clone(), known.clone(), fresh.clone());
                    tokio::spawn(async move {
                        let _held = (place, turn);
                        if let Err(e) = test(&desk, &settings, &job, known, fresh).await {
                            tracing::warn!(job = job.id, target = %job.target, error = ?e, "a relay test did not begin, or its results were lost");
                        }
                    });
                }
            }
            e => complain("jobs", e.map(drop)),
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// Jobs that a task has in hand.
type InFlightJobs = Arc<Mutex<HashSet<u64>>>;

struct InFlight(InFlightJobs, u64);

impl InFlight {
    fn take(all: &InFlightJobs, id: u64) -> Option<InFlight> {
        all.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id)
            .then(|| InFlight(all.clone(), id))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.1);
    }
}

/// Runs a job from its names to its results.
async fn test(
    desk: &RelayService,
    settings: &SchedulerSettings,
    job: &Job,
    known: HostNameResolver,
    fresh: TokenSource,
) -> Result<(), RelayError> {
    let id = job.id;
    // A name server that does not answer holds up its own host alone.
    let names = timeout(NAMES, known(job.target, job.names.clone())).await;
    let names = match names {
        Ok(names) => names,
        Err(_) => desk.settings().names(job.target),
    };
    // Forms that came through are sent once more: twice as many at most.
    let mut ids = (0..2 * MAX_MESSAGES)
        .map(|_| fresh())
        .collect::<Result<Vec<TokenId>, _>>()
        .map_err(RelayError::No)?;
    let (job, messages) = blocking(desk, move |d| {
        d.begin(id, &names, &mut || ids.pop().unwrap_or_default(), d.now())
    })
    .await?;
    tracing::info!(job = id, target = %job.target, messages = messages.len(), "a relay test begins");
    let asked = desk.clone();
    // Whoever opts out meanwhile hears no more of it, and nobody does where the operator has
    // switched it off (S18).
    let target = job.target;
    let mut go = move || {
        asked.job(id).is_ok_and(|j| j.state == JobState::Running)
            && asked.settings().ready(target).is_ok()
    };
    let how = settings.probe.for_job(job.cause.is_by_owner(), job.source);
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
            &mut |_, _| {},
            &mut go,
        )
        .await;
        let (ran, controls) = (report.ran.clone(), report.controls.clone());
        complain(
            "a release",
            blocking(desk, move |d| d.progress(id, ran, controls, d.now())).await,
        );
        sleep(how.pause).await;
    }
    let remaining = TesterSettings {
        limit: how.limit.saturating_sub(begun.elapsed()),
        ..how.share(rest.len(), messages.len())
    };
    report.append(
        tester::run(
            job.target,
            job.port,
            rest,
            &remaining,
            &mut |_, _| {},
            &mut go,
        )
        .await,
    );
    sleep(settings.settle).await;
    for pause in [1, 10, 60, 600, 3600] {
        let RunReport {
            ran,
            controls,
            transcript,
        } = report.clone();
        match blocking(desk, move |d| {
            d.finish(id, ran, controls, &transcript, d.now())
        })
        .await
        {
            Ok(job) => {
                tracing::info!(job = id, target = %job.target, state = ?job.state, said = ?job.assessment(), "a relay test has run");
                return Ok(());
            }
            // The store may work again.
            Err(RelayError::Ledger(e)) => {
                tracing::warn!(job = id, error = ?e, "the results of a test could not be written down yet");
            }
            Err(e) => return Err(e),
        }
        sleep(Duration::from_secs(pause)).await;
    }
    Err(RelayError::No(
        "the results could not be written down".into(),
    ))
}

async fn blocking<T: Send + 'static>(
    desk: &RelayService,
    f: impl FnOnce(&RelayService) -> Result<T, RelayError> + Send + 'static,
) -> Result<T, RelayError> {
    let desk = desk.clone();
    tokio::task::spawn_blocking(move || f(&desk))
        .await
        .unwrap_or_else(|e| Err(RelayError::No(e.to_string())))
}

fn complain(what: &str, result: Result<(), RelayError>) {
    if let Err(e) = result {
        tracing::warn!(error = ?e, "the desk of relay tests could not do its work: {what}");
    }
}

/// Why no tests are made by this clock, and since when. Time that an adoption has skipped is an
/// outage: nothing could have come in it.
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
