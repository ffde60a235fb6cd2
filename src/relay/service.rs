//! The service of relay tests: it decides who is tested, listed and released. Its rules are
//! [`super::policy`], [`super::control`] and [`super::proof`]. A decision goes to the ledger as rows
//! and changes of one commit, so that no listing exists without its proof. Decisions are made one
//! at a time: each reads what the one before it has written.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    batch::RelayBatch,
    keys::{RelayKey, RelayRange},
    policy::{InvalidTransition, Job, Outage},
    settings::RelaySettings,
};
use crate::{
    clock::ClockReport,
    ledger::{Ledger, LedgerError, Receipt},
    model::{
        ReasonId, SourceId, Time, Verdict,
        history::{IdempotencyKey, PROBER_REASONS},
        time::Seconds,
    },
    store::schema::AuditRecord,
};

/// The reasons that the results of tests are listed under: `relay`, `input`, `unconfirmed` and
/// `output`.
pub const REASONS: [&str; 4] = PROBER_REASONS;
/// Those of the host that was tested; the last of [`REASONS`] is that of a host that delivers for
/// others.
pub(super) const INPUT_REASONS: [&str; 3] = [REASONS[0], REASONS[1], REASONS[2]];
/// The reason of a host that delivers what other hosts took.
pub(super) const OUTPUT_REASON: &str = REASONS[3];
/// The reason of hosts whose owners asked not to have them tested.
pub const NOTEST: &str = "notest";
/// How far ahead an unproved claim is given a place in the budget of its prefix; a day later it
/// would be granted untested.
pub(super) const LOOKAHEAD: Seconds = Seconds(86_400);
/// The most jobs that wait or run.
pub const MAX_OPEN_JOBS: usize = 10_000;
/// The most outages that are remembered.
const MAX_OUTAGES: usize = 100;

/// Why the service refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayError {
    /// The request is invalid; the text names the field and the cause.
    Invalid(String),
    /// A limit is reached; how long to wait.
    LimitReached(String, Seconds),
    /// A rule forbids it.
    Refused(String),
    /// There is no such thing.
    NotFound(String),
    /// The ledger refuses it.
    Ledger(LedgerError),
}

impl From<LedgerError> for RelayError {
    fn from(e: LedgerError) -> RelayError {
        RelayError::Ledger(e)
    }
}
impl From<crate::store::StoreError> for RelayError {
    fn from(e: crate::store::StoreError) -> RelayError {
        RelayError::Ledger(e.into())
    }
}
impl From<InvalidTransition> for RelayError {
    fn from(e: InvalidTransition) -> RelayError {
        RelayError::Refused(e.to_string())
    }
}

/// Who makes a request, for the audit log.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The name.
    pub name: String,
    /// Where the request comes from.
    pub from: String,
    /// The key of an idempotent request.
    pub once: Option<IdempotencyKey>,
}

/// What has to work so that tests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The wall clock.
    Clock,
    /// The collector.
    Collector,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Component::Clock => "clock",
            Component::Collector => "collector",
        })
    }
}

/// The service of relay tests. Clones share it.
#[derive(Clone)]
pub struct RelayService {
    pub(super) ledger: Ledger,
    settings: Arc<arc_swap::ArcSwap<RelaySettings>>,
    /// Held through each decision.
    health: Arc<Mutex<Health>>,
    checks: Arc<Checks>,
    /// The last row of each range that was visited, for ranges that are visited in rounds.
    rounds: Arc<Mutex<HashMap<RelayRange, RelayKey>>>,
}

/// The state of the components.
#[derive(Debug, Default)]
pub(super) struct Health {
    problems: Vec<(Component, String)>,
    /// Since when there is a problem.
    since: Option<Time>,
    /// Whether the outage is stored.
    is_stored: bool,
}

impl Health {
    /// Whether a component does not work.
    pub(super) fn has_problem(&self, component: Component) -> bool {
        self.problems.iter().any(|(c, _)| *c == component)
    }
}

/// Checks of the collector: how many were requested, and which was the last that ended. Until a
/// requested check has ended nothing is tested; that is not an outage.
#[derive(Debug, Default)]
struct Checks {
    requested: AtomicU64,
    ended: AtomicU64,
    wake: Notify,
}

impl RelayService {
    /// Requests a check of the collector; nothing is tested until it has ended.
    pub fn request_check(&self) {
        self.checks.requested.fetch_add(1, Ordering::AcqRel);
        self.checks.wake.notify_one();
    }

    /// Waits until a check is requested.
    pub async fn check_requested(&self) {
        self.checks.wake.notified().await;
    }

    /// Whether a requested check has not ended.
    pub fn is_check_pending(&self) -> bool {
        self.checks.ended.load(Ordering::Acquire) < self.checks.requested.load(Ordering::Acquire)
    }

    /// Begins a check: its number.
    pub fn begin_check(&self) -> u64 {
        self.checks.requested.load(Ordering::Acquire)
    }

    /// Ends a check whose result is reported. A check that was requested meanwhile is another one.
    pub fn end_check(&self, number: u64) {
        self.checks.ended.fetch_max(number, Ordering::AcqRel);
    }

    /// Why no tests are made, and no messages accepted.
    pub(super) fn problem_in(&self, health: &Health) -> Option<String> {
        let mut all: Vec<String> = health
            .problems
            .iter()
            .map(|(component, why)| format!("{component}: {why}"))
            .collect();
        if self.is_check_pending() {
            all.push(format!("{}: not checked yet", Component::Collector));
        }
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl RelayService {
    /// A service on a ledger.
    pub fn new(ledger: Ledger, settings: RelaySettings) -> RelayService {
        RelayService {
            ledger,
            settings: Arc::new(arc_swap::ArcSwap::from_pointee(settings)),
            health: Arc::default(),
            checks: Arc::default(),
            rounds: Arc::default(),
        }
    }

    /// Applies new settings.
    pub fn configure(&self, settings: RelaySettings) {
        // Where the mail of a domain goes that is used on the Internet from now on is not known.
        let begins = settings.is_outside() && !self.settings().is_outside();
        if begins {
            self.request_check();
        }
        self.settings.store(Arc::new(settings));
        if begins {
            // A check that began in between has used the old settings.
            self.request_check();
        }
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// The state of the clock.
    pub fn clock(&self) -> ClockReport {
        self.ledger.clock.report()
    }

    /// The settings.
    pub fn settings(&self) -> Arc<RelaySettings> {
        self.settings.load_full()
    }

    /// Begins a decision: no other one is made until the guard is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock()
    }

    /// Reports the state of a component: none where it works, else the problem and since when there
    /// is one. While a component does not work nothing is tested or listed, and waiting periods
    /// stand still.
    pub fn report_health(
        &self,
        component: Component,
        problem: Option<(String, Time)>,
        now: Time,
    ) -> Result<(), RelayError> {
        let mut health = self.lock();
        let mut problems = health.problems.clone();
        problems.retain(|(c, _)| *c != component);
        let since = problem.as_ref().map_or(now, |p| p.1.min(now));
        problems.extend(problem.map(|p| (component, p.0)));
        let mut batch = self.batch(now);
        if !problems.is_empty() {
            health.problems = problems;
            let since = *health.since.get_or_insert(since);
            if !health.is_stored {
                // Where it cannot be stored, the next report tries again.
                self.add_outage(&mut batch, Some((since, None)))?;
                self.write(batch, None)?;
                health.is_stored = true;
            }
        } else if let Some(since) = health.since {
            self.add_outage(
                &mut batch,
                (!health.is_stored).then_some((since, Some(now))),
            )?;
            self.write(batch, None)?;
            *health = Health::default();
        }
        Ok(())
    }

    /// Ends the outages that are open, and adds one more.
    pub(super) fn add_outage(
        &self,
        batch: &mut RelayBatch<'_>,
        more: Option<Outage>,
    ) -> Result<(), RelayError> {
        let now = batch.now;
        let mut all: Vec<Outage> = batch.get(&RelayKey::Outages)?.unwrap_or_default();
        all.iter_mut()
            .filter(|o| o.1.is_none())
            .for_each(|o| o.1 = Some(now));
        all.extend(more);
        all.drain(..all.len().saturating_sub(MAX_OUTAGES));
        batch.put(&RelayKey::Outages, &all);
        Ok(())
    }

    /// Why no tests are made: the problem of clock or collector.
    pub fn problem(&self) -> Option<String> {
        self.problem_in(&self.lock())
    }

    /// Why the ledger accepts no writes.
    pub fn ledger_problem(&self) -> Option<String> {
        self.ledger.health.writes_refused()
    }

    pub(super) fn batch(&self, now: Time) -> RelayBatch<'_> {
        RelayBatch::new(&self.ledger, now)
    }

    /// Commits a decision, and waits until it is durable and visible.
    pub(super) fn write(
        &self,
        batch: RelayBatch<'_>,
        audit: Option<AuditRecord>,
    ) -> Result<Option<Receipt>, RelayError> {
        let rows = batch.into_rows(audit)?;
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(self.ledger.commit_relay_rows(rows)?)
    }

    /// The next rows of a range, at most `most`; the round after it goes on where this one ends.
    pub(super) fn next_round(
        &self,
        batch: &RelayBatch<'_>,
        range: RelayRange,
        most: usize,
    ) -> Result<Vec<RelayKey>, RelayError> {
        let mut rounds = self.rounds.lock();
        let keys = batch.scan_after(range, rounds.get(&range), most)?;
        match keys.last().filter(|_| keys.len() >= most) {
            Some(last) => drop(rounds.insert(range, last.clone())),
            None => drop(rounds.remove(&range)),
        }
        Ok(keys)
    }

    pub(super) fn reason(&self, name: &str) -> Result<ReasonId, RelayError> {
        let found = self.ledger.store.dictionary().reasons.get(name);
        found.ok_or_else(|| {
            RelayError::Ledger(LedgerError::Invalid(format!(
                "the reason `{name}` is not in config.toml"
            )))
        })
    }

    /// Whether source `prober` lists a host for a reason.
    pub(super) fn is_listed(&self, verdict: &Verdict, reason: &str) -> bool {
        let reason = self.ledger.store.dictionary().reasons.get(reason);
        reason.is_some_and(|r| {
            verdict
                .entry(r, SourceId::PROBER)
                .is_some_and(|e| !e.exclusion)
                && !verdict.held(r, SourceId::PROBER)
        })
    }

    /// Whether source `prober` lists a host because a message went through it.
    pub(super) fn is_listed_as_input(&self, verdict: &Verdict) -> bool {
        INPUT_REASONS.iter().any(|r| self.is_listed(verdict, r))
    }

    pub(super) fn find_job(&self, batch: &RelayBatch<'_>, id: u64) -> Result<Job, RelayError> {
        batch
            .get(&RelayKey::Job(id))?
            .ok_or_else(|| RelayError::NotFound(format!("there is no job {id}")))
    }
}

/// The audit record of a request.
pub(super) fn audit_record(
    actor: &Actor,
    what: &str,
    about: &dyn ToString,
    detail: String,
    why: Option<String>,
    now: Time,
) -> AuditRecord {
    AuditRecord {
        at: now,
        who: actor.name.clone(),
        from: actor.from.clone(),
        what: what.into(),
        about: about.to_string(),
        detail,
        why,
        idempotency: actor.once,
        ..AuditRecord::default()
    }
}
