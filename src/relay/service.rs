//! The service of relay tests: it decides which hosts are tested, listed and released. The rules
//! are in [`super::policy`], [`super::control`] and [`super::proof`]. The ledger commits the rows
//! and changes of a decision together, so that a listing is never stored without its proof. A lock
//! serialises decisions, so that each sees the rows of the previous one.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    batch::RelayBatch,
    policy::{InvalidTransition, Job, Outage},
    settings::RelaySettings,
    tables::{JOBS, OUTAGES},
};
use crate::{
    clock::ClockReport,
    ledger::{Ledger, LedgerError, Receipt, Rounds},
    model::{
        Event, ReasonId, SourceId, Subject, Time, Verdict, history::PROBER_REASONS, time::Seconds,
    },
};

/// The reasons for which tests list hosts: `relay`, `input`, `unconfirmed` and `output`.
pub const REASONS: [&str; 4] = PROBER_REASONS;
/// The reasons for which the tested host is listed.
pub(super) const INPUT_REASONS: [&str; 3] = [REASONS[0], REASONS[1], REASONS[2]];
/// The reason for which an output is listed.
pub(super) const OUTPUT_REASON: &str = REASONS[3];
/// The reason for which opt-outs are published.
pub const OPT_OUT_REASON: &str = "notest";
/// How far ahead the budget is reserved for an unproved claim. A day later the claim would be
/// granted untested.
pub(super) const LOOKAHEAD: Seconds = Seconds(86_400);
/// The most open jobs.
pub const MAX_OPEN_JOBS: usize = 10_000;
/// The most outages that are stored.
const MAX_OUTAGES: usize = 100;

/// The error of a request to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayError {
    /// The request is invalid; the text names the field and the cause.
    Invalid(String),
    /// A limit is reached. The second field is the time after which to retry.
    LimitReached(String, Seconds),
    /// A rule forbids the request.
    Refused(String),
    /// The object does not exist.
    NotFound(String),
    /// The ledger refuses the change.
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

/// A component that tests depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Component {
    /// The wall clock.
    Clock,
    /// The collector.
    Collector,
}

/// The service of relay tests. Clones share the state.
#[derive(Clone)]
pub struct RelayService {
    pub(super) ledger: Ledger,
    settings: Arc<arc_swap::ArcSwap<RelaySettings>>,
    /// Locked during each decision.
    health: Arc<Mutex<RelayHealth>>,
    checks: Arc<Checks>,
    /// For tables that are read in rounds.
    pub(super) rounds: Rounds,
}

/// The health of the components.
#[derive(Debug, Default)]
pub(super) struct RelayHealth {
    problems: Vec<(Component, String)>,
    /// When the current outage began.
    since: Option<Time>,
    /// Whether the current outage is stored.
    is_stored: bool,
}

impl RelayHealth {
    /// Whether a component has a problem.
    pub(super) fn has_problem(&self, component: Component) -> bool {
        self.problems.iter().any(|(c, _)| *c == component)
    }
}

/// The number of requested checks of the collector, and the last one that has ended. No host is
/// tested while a requested check is pending; that is not an outage.
#[derive(Debug, Default)]
struct Checks {
    requested: AtomicU64,
    ended: AtomicU64,
    wake: Notify,
}

impl RelayService {
    /// Requests a check of the collector. No host is tested until it has ended.
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

    /// Begins a check. Returns its number.
    pub fn begin_check(&self) -> u64 {
        self.checks.requested.load(Ordering::Acquire)
    }

    /// Ends a check after its result was reported. Checks that were requested meanwhile stay
    /// pending.
    pub fn end_check(&self, number: u64) {
        self.checks.ended.fetch_max(number, Ordering::AcqRel);
    }

    /// Returns why no tests are run and no messages accepted, if there is a problem.
    pub(super) fn problem_in(&self, health: &RelayHealth) -> Option<String> {
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
    /// Creates a service on a ledger.
    pub fn new(ledger: Ledger, settings: RelaySettings) -> RelayService {
        RelayService {
            ledger,
            settings: Arc::new(arc_swap::ArcSwap::from_pointee(settings)),
            health: Arc::default(),
            checks: Arc::default(),
            rounds: Rounds::default(),
        }
    }

    /// Applies new settings.
    pub fn configure(&self, settings: RelaySettings) {
        // If hosts on the Internet are tested from now on, the mail route has to be checked first.
        let begins = settings.may_test_internet() && !self.settings().may_test_internet();
        if begins {
            self.request_check();
        }
        self.settings.store(Arc::new(settings));
        if begins {
            // A check that began before the store has used the old settings.
            self.request_check();
        }
    }

    /// Returns the trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// Returns the state of the clock.
    pub fn clock(&self) -> ClockReport {
        self.ledger.clock.report()
    }

    /// Returns the settings.
    pub fn settings(&self) -> Arc<RelaySettings> {
        self.settings.load_full()
    }

    /// Begins a decision. Other decisions wait until the guard is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, RelayHealth> {
        self.health.lock()
    }

    /// Reports the health of a component: its problem and since when, or `None`. While a component
    /// has a problem, no host is tested or listed, and waiting periods are paused.
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
                // If this fails, the next report tries again.
                self.add_outage(&mut batch, Some((since, None)))?;
                self.write(batch)?;
                health.is_stored = true;
            }
        } else if let Some(since) = health.since {
            self.add_outage(
                &mut batch,
                (!health.is_stored).then_some((since, Some(now))),
            )?;
            self.write(batch)?;
            *health = RelayHealth::default();
        }
        Ok(())
    }

    /// Ends open outages, and adds one more.
    pub(super) fn add_outage(
        &self,
        batch: &mut RelayBatch<'_>,
        more: Option<Outage>,
    ) -> Result<(), RelayError> {
        let now = batch.now;
        batch.update(OUTAGES, &(), |all| {
            for open in all.iter_mut().filter(|o| o.1.is_none()) {
                open.1 = Some(now);
            }
            all.extend(more);
            all.drain(..all.len().saturating_sub(MAX_OUTAGES));
        })?;
        Ok(())
    }

    /// Returns the problem of the clock or the collector because of which no tests are run.
    pub fn problem(&self) -> Option<String> {
        self.problem_in(&self.lock())
    }

    /// Returns why the ledger refuses writes.
    pub fn ledger_problem(&self) -> Option<String> {
        self.ledger.health.writes_refused()
    }

    pub(super) fn batch(&self, now: Time) -> RelayBatch<'_> {
        RelayBatch::new(&self.ledger.store, now)
    }

    /// Commits a decision, and waits until it is durable and visible.
    pub(super) fn write(&self, batch: RelayBatch<'_>) -> Result<Option<Receipt>, RelayError> {
        Ok(self.ledger.commit_feature_rows(batch.into_rows()?)?)
    }

    pub(super) fn reason(&self, name: &str) -> Result<ReasonId, RelayError> {
        let found = self.ledger.store.dictionary().reasons.get(name);
        found.ok_or_else(|| {
            RelayError::Ledger(LedgerError::Invalid(format!(
                "reason `{name}` is missing; add it to config.toml"
            )))
        })
    }

    /// Whether the source `prober` lists a host for a reason, without a hold.
    pub(super) fn is_listed(&self, verdict: &Verdict, reason: &str) -> bool {
        let reason = self.ledger.store.dictionary().reasons.get(reason);
        reason.is_some_and(|r| {
            let entry = verdict.entry(r, SourceId::PROBER);
            entry.is_some_and(|e| !e.exclusion) && !verdict.is_suppressed(r, SourceId::PROBER)
        })
    }

    /// Whether the source `prober` lists a host as a tested host, and not only as an output.
    pub(super) fn is_listed_as_input(&self, verdict: &Verdict) -> bool {
        INPUT_REASONS.iter().any(|r| self.is_listed(verdict, r))
    }

    /// Returns when the last event of a host happened that `wanted` selects, among those about the
    /// given reasons.
    pub(super) fn last_event(
        &self,
        target: IpAddr,
        reasons: &[&str],
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Option<Time>, RelayError> {
        let history = self.ledger.store.history(&Subject::host(target))?;
        let dictionary = self.ledger.store.dictionary();
        let reasons: Vec<ReasonId> = reasons
            .iter()
            .filter_map(|r| dictionary.reasons.get(r))
            .collect();
        let is_about = |e: &Event| e.kind.about().is_some_and(|(r, _)| reasons.contains(&r));
        let selected = history.iter().filter(|e| is_about(e) && wanted(e));
        Ok(selected.map(|e| e.at).max())
    }

    pub(super) fn find_job(&self, batch: &RelayBatch<'_>, id: u64) -> Result<Job, RelayError> {
        batch
            .get(JOBS, &id)?
            .ok_or_else(|| RelayError::NotFound(format!("there is no job {id}")))
    }
}
