//! The tester's clock: starts jobs when there is a turn, has what is due done, and watches that time goes as it should.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    ledger::{
        desk::{Denied, Desk, Known, Phase},
        now,
    },
    model::{
        Time,
        retest::{Job, State},
    },
    probe::{self, RunReport},
    smtp::{catalogue::MAX_MESSAGES, token::Id},
};

/// How often jobs are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often what is due is done, in looks.
const DUE_EVERY: u64 = 5;
/// How often what is old is forgotten, in looks.
const FORGET_EVERY: u64 = 3600;
/// A clock that is off by more between two looks has jumped.
const JUMP: Duration = Duration::from_secs(60);
/// How long a clock has to go steadily after a jump.
const STEADY: Duration = Duration::from_secs(600);
/// How long the names of a host may take to be found.
const NAMES: Duration = Duration::from_secs(30);
/// Jobs that are started at one look.
const STARTS: usize = 256;

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Hosts that are tested at the same time.
    pub concurrency: usize,
    /// How long after the last message to wait for what comes, before a job is judged.
    pub settle: Duration,
    /// How a host is talked to.
    pub probe: probe::Settings,
}

/// Makes numbers of tokens that nobody can guess.
pub type Fresh = Arc<dyn Fn() -> Result<Id, String> + Send + Sync>;

/// Runs until it is told to stop. A test that is under way then is run again after the next start.
pub async fn run(desk: Desk, settings: Settings, known: Known, fresh: Fresh, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(settings.concurrency));
    let resumed = blocking(&desk, |d| d.resume(now())).await;
    complain("jobs that a stop had cut", resumed);
    let mut clock = Clock::new(now(), Instant::now());
    let starting: Starting = Arc::default();
    for look in 0u64.. {
        let wrong = clock.look(now(), Instant::now());
        let told = blocking(&desk, move |d| d.well("clock", wrong, now())).await;
        complain("the state of the clock", told);
        if look % DUE_EVERY == 0 {
            complain("what is due", blocking(&desk, |d| d.tick(now())).await);
        }
        if look % FORGET_EVERY == FORGET_EVERY - 1 {
            complain("what is old", blocking(&desk, |d| d.forget(now())).await);
        }
        // Those that are being started stand in line still.
        let begun = starting.lock().unwrap_or_else(PoisonError::into_inner).len();
        let free = places.available_permits().min(STARTS);
        let most = if free == 0 { 0 } else { free + begun };
        match blocking(&desk, move |d| d.due(most, now())).await {
            Ok(jobs) => {
                for job in jobs {
                    let Some(turn) = Turn::take(&starting, job.id) else { continue };
                    let Ok(place) = places.clone().try_acquire_owned() else { break };
                    let (desk, settings, known, fresh) = (desk.clone(), settings.clone(), known.clone(), fresh.clone());
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
type Starting = Arc<Mutex<HashSet<u64>>>;

struct Turn(Starting, u64);

impl Turn {
    fn take(all: &Starting, id: u64) -> Option<Turn> {
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(id).then(|| Turn(all.clone(), id))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Runs a job from its names to its results.
async fn test(desk: &Desk, settings: &Settings, job: &Job, known: Known, fresh: Fresh) -> Result<(), Denied> {
    let id = job.id;
    // A name server that does not answer holds up its own host alone.
    let names = timeout(NAMES, known(job.target, job.names.clone())).await;
    let names = match names {
        Ok(names) => names,
        Err(_) => desk.settings().names(job.target),
    };
    // Forms that came through are sent once more: twice as many at most.
    let mut ids = (0..2 * MAX_MESSAGES).map(|_| fresh()).collect::<Result<Vec<Id>, _>>().map_err(Denied::No)?;
    let (job, messages) = blocking(desk, move |d| d.begin(id, &names, &mut || ids.pop().unwrap_or_default(), now())).await?;
    tracing::info!(job = id, target = %job.target, messages = messages.len(), "a relay test begins");
    let asked = desk.clone();
    // Whoever opts out meanwhile hears no more of it, and nobody does where the operator has switched it off (S18).
    let target = job.target;
    let mut go = move || asked.job(id).is_ok_and(|j| j.state == State::Running) && asked.settings().ready(target).is_ok();
    let how = settings.probe.for_job(job.cause.is_by_owner(), job.source);
    // A claim's first groups may suffice for a release.
    let split = messages.iter().position(|m| m.phase == Phase::Rest).filter(|_| job.is_claim()).unwrap_or(0);
    let (first, rest) = messages.split_at(split);
    let (mut report, begun) = (RunReport::default(), Instant::now());
    if !first.is_empty() {
        report = probe::run(job.target, job.port, first, &how.share(first.len(), messages.len()), &mut |_, _| {}, &mut go).await;
        let (ran, controls) = (report.ran.clone(), report.controls.clone());
        complain("a release", blocking(desk, move |d| d.progress(id, ran, controls, now())).await);
        sleep(how.pause).await;
    }
    let remaining = probe::Settings { limit: how.limit.saturating_sub(begun.elapsed()), ..how.share(rest.len(), messages.len()) };
    report.append(probe::run(job.target, job.port, rest, &remaining, &mut |_, _| {}, &mut go).await);
    sleep(settings.settle).await;
    for pause in [1, 10, 60, 600, 3600] {
        let RunReport { ran, controls, transcript } = report.clone();
        match blocking(desk, move |d| d.finish(id, ran, controls, &transcript, now())).await {
            Ok(job) => {
                tracing::info!(job = id, target = %job.target, state = ?job.state, said = ?job.assessment(), "a relay test has run");
                return Ok(());
            }
            // The store may work again.
            Err(Denied::Ledger(e)) => tracing::warn!(job = id, error = ?e, "the results of a test could not be written down yet"),
            Err(e) => return Err(e),
        }
        sleep(Duration::from_secs(pause)).await;
    }
    Err(Denied::No("the results could not be written down".into()))
}

async fn blocking<T: Send + 'static>(desk: &Desk, f: impl FnOnce(&Desk) -> Result<T, Denied> + Send + 'static) -> Result<T, Denied> {
    let desk = desk.clone();
    tokio::task::spawn_blocking(move || f(&desk)).await.unwrap_or_else(|e| Err(Denied::No(e.to_string())))
}

fn complain(what: &str, result: Result<(), Denied>) {
    if let Err(e) = result {
        tracing::warn!(error = ?e, "the desk of relay tests could not do its work: {what}");
    }
}

/// Holds the clock of the day against one that only goes forward.
#[derive(Debug)]
struct Clock {
    day: Time,
    steady: Instant,
    jumped: Option<(Instant, i64, Time)>,
}

impl Clock {
    fn new(day: Time, steady: Instant) -> Clock {
        Clock { day, steady, jumped: None }
    }

    /// What is wrong with it, if anything, and since when.
    fn look(&mut self, day: Time, steady: Instant) -> Option<(String, Time)> {
        let went = day.0 as i64 - self.day.0 as i64;
        let should = (steady - self.steady).as_secs() as i64;
        let off = went - should;
        let before = self.day;
        (self.day, self.steady) = (day, steady);
        if off.unsigned_abs() > JUMP.as_secs() {
            tracing::warn!(seconds = off, "the clock has jumped: no tests and no listings until it goes steadily");
            self.jumped = Some((steady, off, before));
        }
        self.jumped.take_if(|(at, ..)| steady - *at >= STEADY);
        self.jumped.map(|(_, off, before)| (format!("it jumped by {off} s; it has to go steadily for ten minutes"), before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S18.
    #[test]
    fn a_clock_that_jumps_is_not_trusted_for_ten_minutes() {
        let begun = Instant::now();
        let at = |s: u64| begun + Duration::from_secs(s);
        let mut c = Clock::new(Time(1000), at(0));
        assert_eq!(c.look(Time(1001), at(1)), None);
        assert_eq!(c.look(Time(1050), at(2)), None, "within a minute");
        assert!(c.look(Time(90_000), at(3)).is_some());
        assert!(c.look(Time(90_500), at(503)).is_some());
        assert_eq!(c.look(Time(90_601), at(604)), None);
        assert!(c.look(Time(80_000), at(605)).is_some(), "backwards too");
    }
}
