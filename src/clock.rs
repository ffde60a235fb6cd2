//! Trusted time, by which listings start and end, zones retire, and stored data expires.
//!
//! A wall clock can be wrong for a moment, and a listing that it ended would not come back.
//! Therefore trusted time advances with the time since the machine started (CLOCK_BOOTTIME, which
//! counts suspend), from an anchor: `anchor.wall + (boottime - anchor.boottime)`. If the wall clock
//! differs by at most [`MAX_SLEW`], trusted time is slewed towards it. If it differs by more, it is
//! adopted after it has run steadily (see [`Clock::check`]), or when an operator accepts it
//! ([`Clock::accept`]).
//!
//! Once a minute a [record](record) is written into the store's folder, so that the next start knows
//! trusted time.
//!
//! Code whose times another machine compares with its own clock (TSIG, signatures of webhooks,
//! mail) uses [`wall`] instead.

mod record;
mod system;
#[cfg(test)]
pub(crate) mod tests;

use std::{path::PathBuf, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::model::Time;
use record::Record;
pub use system::{SystemTimeSource, thread_cpu_time, uptime, wall};

/// Milliseconds in a second, a minute and an hour.
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// The largest difference that is corrected by slewing.
const MAX_SLEW: i64 = 5 * SECOND;
/// Trusted time is slewed by one part in this many of the elapsed time.
const SLEW_DIVISOR: i64 = 100;
/// The largest drift of a steady wall clock against the time since the machine started.
const STEADY_DRIFT: i64 = 2 * SECOND;
/// The most that the time between two checks counts as steady.
const MAX_STEADY_STEP: i64 = MINUTE;
/// The time for which a synchronised wall clock has to run steadily before it is adopted.
const STEADY_SYNCHRONISED: i64 = 10 * MINUTE;
/// The time for which a wall clock near trusted time has to run steadily before it is adopted, if
/// it is not known to be synchronised.
const STEADY_NEAR: i64 = 60 * MINUTE;
/// The largest difference of a wall clock near trusted time: more than any error of a time zone.
const MAX_NEAR: i64 = 25 * HOUR;
/// The plausible wall clocks after a restart of the machine, relative to the last record.
const START_WINDOW: std::ops::RangeInclusive<i64> = -5 * MINUTE..=7 * 24 * HOUR;
/// The time between two writes of the record.
const SAVE_EVERY: i64 = MINUTE;

/// The boot id in a record of a machine that has none: every start then counts as one with another
/// boot id.
const UNKNOWN_BOOT: &str = "unknown";

/// The clocks that trusted time is computed from; tests have their own implementation.
pub trait TimeSource: Send + Sync {
    /// Milliseconds since 1970 by the wall clock.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since the machine started, suspend included.
    fn boottime_ms(&self) -> i64;
    /// The identity of this run of the machine; `None` if it is unknown.
    fn boot_id(&self) -> Option<String>;
    /// Whether the kernel reports that the wall clock is synchronised, to less than a second.
    fn is_synchronised(&self) -> bool;
}

/// `[clock] trust_at_start`: the wall clocks that are accepted at the first start after a restart
/// of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum TrustAtStart {
    /// A wall clock that the kernel reports as synchronised, or that is at most seven days after
    /// the last record.
    #[default]
    Plausible,
    /// Any wall clock.
    Always,
}

/// Whether trusted time and the wall clock agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// They agree.
    Agrees,
    /// The wall clock has jumped; trusted time advances without it.
    Differs,
    /// The wall clock was not plausible at the start; trusted time advances from the last record.
    Unconfirmed,
}

/// A report of the state of trusted time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClockReport {
    /// Whether it agrees with the wall clock, and if not, why.
    pub state: ClockState,
    /// Trusted time.
    pub trusted: Time,
    /// The wall clock.
    pub wall: Time,
    /// The seconds by which the wall clock is ahead of trusted time.
    pub offset_seconds: i64,
    /// The trusted time at which the state began; `None` while they agree.
    pub since: Option<Time>,
    /// Whether the kernel reports the wall clock as synchronised.
    pub synchronised: bool,
    /// The seconds for which the wall clock was observed to run steadily.
    pub steady_seconds: i64,
    /// The number of adoptions of the wall clock since the start.
    pub adoptions: u64,
    /// The trusted time before the last adoption.
    pub adopted_from: Option<Time>,
}

impl ClockReport {
    /// The problem for users; `None` while the clocks agree.
    pub fn problem(&self) -> Option<String> {
        let size = self.offset_seconds.unsigned_abs();
        let side = match self.offset_seconds {
            ..0 => "behind",
            _ => "ahead of",
        };
        let comparison = format!(
            "the wall clock is at {}, {size} s {side} trusted time {}",
            self.wall, self.trusted
        );
        let near = match self.state {
            ClockState::Differs if self.offset_seconds.abs() * SECOND <= MAX_NEAR => {
                ", after 60 steady minutes"
            }
            _ => "",
        };
        let remedy = format!(
            "it is adopted after 10 steady minutes if the kernel reports it as synchronised (NTP){near}, or by `orbsd clock accept`"
        );
        match self.state {
            ClockState::Agrees => None,
            ClockState::Differs => Some(format!("clock differs: {comparison}; {remedy}")),
            ClockState::Unconfirmed => Some(format!(
                "clock unconfirmed since the start: {comparison}; {remedy}"
            )),
        }
    }
}

/// One reading of all clocks.
#[derive(Debug, Clone, Copy)]
struct ClockReading {
    wall: i64,
    boottime: i64,
    synchronised: bool,
}

/// The present period in which the wall clock runs steadily.
#[derive(Debug, Clone, Copy)]
struct Steadiness {
    /// The reading at the beginning of the period.
    start: ClockReading,
    /// The observed part of the time since then, in milliseconds.
    observed: i64,
}

#[derive(Debug)]
struct Inner {
    /// Trusted time minus the time since the machine started.
    base: i64,
    /// Trusted time does not go below this, except by an adoption.
    floor: i64,
    state: ClockState,
    since: Option<Time>,
    steadiness: Steadiness,
    last: ClockReading,
    saved: Option<i64>,
    adoptions: u64,
    adopted_from: Option<Time>,
}

/// A change of the state by a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateChange {
    /// The wall clock differs now.
    Differs,
    /// The wall clock agrees again.
    Agrees,
    /// The wall clock was adopted: trusted time before and after.
    Adopted(Time, Time),
}

fn time(ms: i64) -> Time {
    Time(ms.max(0) as u64 / 1000)
}

impl Inner {
    fn trusted(&self, boottime: i64) -> i64 {
        (self.base + boottime).max(self.floor)
    }

    fn set(&mut self, state: ClockState, boottime: i64) {
        if self.state != state {
            self.state = state;
            self.since = (state != ClockState::Agrees).then(|| time(self.trusted(boottime)));
        }
    }

    /// Adopts the wall clock. Returns trusted time before and after.
    fn adopt(&mut self, r: ClockReading) -> (Time, Time) {
        let from = time(self.trusted(r.boottime));
        (self.base, self.floor) = (r.wall - r.boottime, r.wall);
        self.set(ClockState::Agrees, r.boottime);
        self.adoptions += 1;
        self.adopted_from = Some(from);
        (from, time(r.wall))
    }

    /// Compares a reading with trusted time; see [`Clock::check`] for the rules.
    fn observe(&mut self, r: ClockReading) -> Option<StateChange> {
        let elapsed = (r.boottime - self.last.boottime).max(0);
        self.last = r;
        let drift =
            (r.wall - self.steadiness.start.wall) - (r.boottime - self.steadiness.start.boottime);
        if drift.abs() > STEADY_DRIFT {
            self.steadiness = Steadiness {
                start: r,
                observed: 0,
            };
        } else {
            self.steadiness.observed += elapsed.min(MAX_STEADY_STEP);
        }
        let offset = r.wall - self.trusted(r.boottime);
        let synchronised = r.synchronised && self.steadiness.observed >= STEADY_SYNCHRONISED;
        let near = offset.abs() <= MAX_NEAR && self.steadiness.observed >= STEADY_NEAR;
        let adopt = |clock: &mut Inner| {
            let (from, to) = clock.adopt(r);
            StateChange::Adopted(from, to)
        };
        match self.state {
            ClockState::Unconfirmed => synchronised.then(|| adopt(self)),
            before if offset.abs() <= MAX_SLEW => {
                let max_step = elapsed / SLEW_DIVISOR;
                self.floor = self.trusted(r.boottime);
                self.base += offset.clamp(-max_step, max_step);
                self.set(ClockState::Agrees, r.boottime);
                (before == ClockState::Differs).then_some(StateChange::Agrees)
            }
            ClockState::Differs if synchronised || near => Some(adopt(self)),
            ClockState::Differs => None,
            ClockState::Agrees => {
                self.set(ClockState::Differs, r.boottime);
                Some(StateChange::Differs)
            }
        }
    }
}

/// Trusted time. Clones share it.
#[derive(Clone)]
pub struct Clock(Arc<ClockInner>);

struct ClockInner {
    source: Box<dyn TimeSource>,
    boot_id: Option<String>,
    /// The path of the record; `None` in tests and tools.
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
    /// Held while the record is written; true if the last write failed.
    saving: Mutex<bool>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.report()).finish()
    }
}

impl Clock {
    /// Starts a clock from the record at `path`. If the record is missing or damaged, the time of
    /// the store's last commit counts as a record of another run of the machine. Without either,
    /// the clock starts with the wall clock. Does not write the record.
    pub fn start(
        source: impl TimeSource + 'static,
        path: Option<PathBuf>,
        trust: TrustAtStart,
        last_commit: Option<Time>,
    ) -> Clock {
        let last = path.as_deref().and_then(|p| {
            let problem = match record::read(p) {
                Ok(None) => "there is no record of the clock".to_string(),
                Ok(record) => return record,
                Err(e) => e,
            };
            match last_commit {
                Some(at) => tracing::warn!(
                    "{}: {problem}; using the time of the store's last commit, {at}, instead",
                    p.display()
                ),
                None if p.exists() => {
                    tracing::warn!("{}: {problem}; using the wall clock", p.display());
                }
                None => {}
            }
            Record::of_last_commit(last_commit?)
        });
        let boot_id = source.boot_id();
        let r = read(&source);
        let (trusted, state) = start_time(last.as_ref(), r, boot_id.as_deref(), trust);
        let inner = Inner {
            base: trusted - r.boottime,
            floor: trusted,
            state,
            since: (state != ClockState::Agrees).then(|| time(trusted)),
            steadiness: Steadiness {
                start: r,
                observed: 0,
            },
            last: r,
            saved: None,
            adoptions: 0,
            adopted_from: None,
        };
        let clock = Clock(Arc::new(ClockInner {
            source: Box::new(source),
            boot_id,
            path,
            inner: Mutex::new(inner),
            saving: Mutex::new(false),
        }));
        if state == ClockState::Unconfirmed {
            clock.warn();
        }
        clock.check();
        clock
    }

    /// Starts a clock without a record, with the wall clock.
    pub fn without_record(source: impl TimeSource + 'static) -> Clock {
        Clock::start(source, None, TrustAtStart::Always, None)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock()
    }

    fn warn(&self) {
        tracing::warn!("{}", self.report().problem().unwrap_or_default());
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        let inner = self.lock();
        time(inner.trusted(self.0.source.boottime_ms()))
    }

    /// Compares the clocks. A wall clock that differs is adopted if the kernel reports it as
    /// synchronised and it has run steadily for ten minutes, or if it is within 25 hours of trusted
    /// time and has run steadily for an hour; after an unconfirmed start only the first rule
    /// applies.
    pub fn check(&self) {
        let change = {
            let mut inner = self.lock();
            let r = read(&*self.0.source);
            inner.observe(r)
        };
        match change {
            None => {}
            Some(StateChange::Differs) => self.warn(),
            Some(StateChange::Agrees) => {
                tracing::info!("the wall clock agrees with trusted time again");
            }
            Some(StateChange::Adopted(from, to)) => self.record_adoption(from, to),
        }
    }

    /// Checks the clock, and writes the record if a minute has passed. Call it each second. May
    /// block.
    pub fn tick(&self) {
        self.check();
        let due = {
            let inner = self.lock();
            inner
                .saved
                .is_none_or(|at| inner.last.boottime - at >= SAVE_EVERY)
        };
        if due {
            self.save();
        }
    }

    /// Adopts the wall clock at an operator's request. Returns trusted time before and after. May
    /// block.
    pub fn accept(&self) -> (Time, Time) {
        let (from, to) = {
            let mut inner = self.lock();
            inner.adopt(read(&*self.0.source))
        };
        self.record_adoption(from, to);
        (from, to)
    }

    fn record_adoption(&self, from: Time, to: Time) {
        tracing::warn!(%from, %to, "adopted the wall clock as trusted time");
        self.save();
    }

    /// Reports the state of the clock.
    pub fn report(&self) -> ClockReport {
        let inner = self.lock();
        let r = read(&*self.0.source);
        let trusted = inner.trusted(r.boottime);
        ClockReport {
            state: inner.state,
            trusted: time(trusted),
            wall: time(r.wall),
            offset_seconds: (r.wall - trusted) / SECOND,
            since: inner.since,
            synchronised: r.synchronised,
            steady_seconds: inner.steadiness.observed / SECOND,
            adoptions: inner.adoptions,
            adopted_from: inner.adopted_from,
        }
    }

    /// Writes the record. May block.
    pub fn save(&self) {
        let Some(path) = &self.0.path else { return };
        let boot_id = self.0.boot_id.as_deref().unwrap_or(UNKNOWN_BOOT);
        let mut failed = self.0.saving.lock();
        let record = {
            let mut inner = self.lock();
            let r = read(&*self.0.source);
            let (trusted, confirmed) = (
                inner.trusted(r.boottime),
                inner.state != ClockState::Unconfirmed,
            );
            inner.saved = Some(r.boottime);
            Record {
                boot_id: boot_id.into(),
                boottime: r.boottime,
                trusted,
                wall: r.wall,
                confirmed,
            }
        };
        let written = record::write(path, &record);
        if let (Err(e), false) = (&written, *failed) {
            tracing::warn!(
                "{}: writing the record of the clock failed: {e}; the next start will not know the present trusted time",
                path.display()
            );
        }
        *failed = written.is_err();
    }
}

fn read(source: &dyn TimeSource) -> ClockReading {
    ClockReading {
        wall: source.wall_ms(),
        boottime: source.boottime_ms(),
        synchronised: source.is_synchronised(),
    }
}

/// Trusted time at a start, in milliseconds, and the state of the clock.
fn start_time(
    last: Option<&Record>,
    r: ClockReading,
    boot_id: Option<&str>,
    trust: TrustAtStart,
) -> (i64, ClockState) {
    let Some(last) = last else {
        return (r.wall, ClockState::Agrees);
    };
    if Some(last.boot_id.as_str()) == boot_id && last.boottime <= r.boottime {
        let trusted = last.trusted + (r.boottime - last.boottime);
        return match (last.confirmed, trust) {
            (true, _) => (trusted, ClockState::Agrees),
            (false, TrustAtStart::Always) => (r.wall, ClockState::Agrees),
            (false, TrustAtStart::Plausible) => (trusted, ClockState::Unconfirmed),
        };
    }
    let plausible = START_WINDOW.contains(&(r.wall - last.trusted));
    if trust == TrustAtStart::Always || r.synchronised || plausible {
        return (r.wall, ClockState::Agrees);
    }
    (last.trusted, ClockState::Unconfirmed)
}
