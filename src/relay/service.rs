//! The service of relay tests: it decides who is tested, listed and released. Its rules are
//! [`super::policy`], [`super::control`] and [`super::proof`]. A decision goes to the ledger as rows
//! and changes of one commit, so that no listing exists without its proof. Decisions are made one
//! at a time: each reads what the one before it has written.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    policy::{Job, Outage},
    rows::{RelayBatch, key},
    settings::RelaySettings,
};
use crate::{
    clock::ClockReport,
    ledger::{Ledger, Receipt, Refused},
    model::{
        ReasonId, SourceId, Time, Verdict,
        history::{Once, PROBER_REASONS},
        time::Seconds,
    },
    store::schema::Audit,
};

/// The reasons that the tester's findings are listed under.
pub const REASONS: [&str; 4] = PROBER_REASONS;

/// The reason of those who asked not to be tested.
pub const NOTEST: &str = "notest";
/// How far ahead a claim that is not proved is given a place in the budget of its net; a day later
/// it would be granted untested.
pub(super) const AHEAD: Seconds = Seconds(86_400);
/// The door that says how the collector is.
pub const COLLECTOR: &str = "collector";
/// The most jobs that wait or run.
pub const MAX_OPEN: usize = 10_000;

/// Why the desk says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayError {
    /// It makes no sense; says which field and why.
    Invalid(String),
    /// A quota is used up; how long to wait.
    TooMany(String, Seconds),
    /// A rule says no.
    No(String),
    /// There is nothing of that name.
    Unknown(String),
    /// The ledger says no.
    Ledger(Refused),
}

impl From<Refused> for RelayError {
    fn from(e: Refused) -> RelayError {
        RelayError::Ledger(e)
    }
}
impl From<crate::store::StoreError> for RelayError {
    fn from(e: crate::store::StoreError) -> RelayError {
        RelayError::Ledger(e.into())
    }
}

/// Who asks, for the audit log.
#[derive(Debug, Clone)]
pub struct Actor {
    /// His name.
    pub name: String,
    /// Where he is.
    pub from: String,
    /// His request is not done twice.
    pub once: Option<Once>,
}

/// The desk. Clones share it.
#[derive(Clone)]
pub struct RelayService {
    pub(super) ledger: Ledger,
    settings: Arc<arc_swap::ArcSwap<RelaySettings>>,
    /// Held through each decision.
    turn: Arc<Mutex<Health>>,
    looks: Arc<Looks>,
    /// How far the last round came of what is looked at in turn, by prefix.
    rounds: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
}

/// What the doors have said about themselves.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// What is wrong, by door.
    pub(super) wrong: Vec<(&'static str, String)>,
    /// Since when something is.
    since: Option<Time>,
    /// Whether that is written down.
    open: bool,
}

/// Looks at the collector: how many were asked for, and which was the last that was done. Until
/// then nothing is tested; it is no outage.
#[derive(Debug, Default)]
struct Looks {
    asked: AtomicU64,
    done: AtomicU64,
    wake: Notify,
}

impl RelayService {
    /// Nothing is tested until somebody has looked how the collector is.
    pub fn unseen(&self) {
        self.looks.asked.fetch_add(1, Ordering::AcqRel);
        self.looks.wake.notify_one();
    }

    /// Waits until somebody asks for a look.
    pub async fn asked(&self) {
        self.looks.wake.notified().await;
    }

    /// Whether somebody has to look.
    pub fn is_unseen(&self) -> bool {
        self.looks.done.load(Ordering::Acquire) < self.looks.asked.load(Ordering::Acquire)
    }

    /// A look begins: its number.
    pub fn look(&self) -> u64 {
        self.looks.asked.load(Ordering::Acquire)
    }

    /// A look is done, and what it found is told. One that was asked for meanwhile is another.
    pub fn looked(&self, number: u64) {
        self.looks.done.fetch_max(number, Ordering::AcqRel);
    }

    /// Why no tests are made, and no messages judged.
    pub(super) fn why(&self, health: &Health) -> Option<String> {
        let mut all: Vec<String> = health
            .wrong
            .iter()
            .map(|(door, why)| format!("{door}: {why}"))
            .collect();
        all.extend(
            self.is_unseen()
                .then(|| format!("{COLLECTOR}: nobody has looked yet whether it is well")),
        );
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl RelayService {
    /// A desk on a ledger.
    pub fn new(ledger: Ledger, settings: RelaySettings) -> RelayService {
        RelayService {
            ledger,
            settings: Arc::new(arc_swap::ArcSwap::from_pointee(settings)),
            turn: Arc::default(),
            looks: Arc::default(),
            rounds: Arc::default(),
        }
    }

    /// Takes a new configuration.
    pub fn configure(&self, settings: RelaySettings) {
        // Nobody has looked yet where the mail goes of a domain that is used on the Internet from
        // now on.
        let begins = settings.is_outside() && !self.settings().is_outside();
        if begins {
            self.unseen();
        }
        self.settings.store(Arc::new(settings));
        if begins {
            // A look that began in between has seen the old ones.
            self.unseen();
        }
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// How the clock is.
    pub fn clock(&self) -> ClockReport {
        self.ledger.clock.report()
    }

    /// How tests are made now.
    pub fn settings(&self) -> Arc<RelaySettings> {
        self.settings.load_full()
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, Health> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A door says how it is: `None` for well, else what is wrong and since when. While one is not,
    /// nothing is tested or listed, and waiting periods stand still.
    pub fn well(
        &self,
        door: &'static str,
        wrong: Option<(String, Time)>,
        now: Time,
    ) -> Result<(), RelayError> {
        let mut health = self.turn();
        let mut next = health.wrong.clone();
        next.retain(|(d, _)| *d != door);
        let since = wrong.as_ref().map_or(now, |w| w.1.min(now));
        next.extend(wrong.map(|w| (door, w.0)));
        let mut sheet = self.sheet(now);
        if !next.is_empty() {
            health.wrong = next;
            let since = *health.since.get_or_insert(since);
            if !health.open {
                // Where it cannot be written down, the next word tries again.
                self.outage(&mut sheet, Some((since, None)))?;
                self.write(sheet, None)?;
                health.open = true;
            }
        } else if let Some(since) = health.since {
            self.outage(&mut sheet, (!health.open).then_some((since, Some(now))))?;
            self.write(sheet, None)?;
            *health = Health::default();
        }
        Ok(())
    }

    /// Ends the outages that are open, and notes one more.
    pub(super) fn outage(
        &self,
        sheet: &mut RelayBatch<'_>,
        more: Option<Outage>,
    ) -> Result<(), RelayError> {
        let now = sheet.now;
        let mut all: Vec<Outage> = sheet.get(key::OUTAGES)?.unwrap_or_default();
        all.iter_mut()
            .filter(|o| o.1.is_none())
            .for_each(|o| o.1 = Some(now));
        all.extend(more);
        all.drain(..all.len().saturating_sub(100));
        sheet.put(key::OUTAGES, &all);
        Ok(())
    }

    /// What is wrong with collector or clock.
    pub fn wrong(&self) -> Option<String> {
        self.why(&self.turn())
    }

    /// Why the ledger takes no writes.
    pub fn ledger_wrong(&self) -> Option<String> {
        self.ledger.health.writes_refused()
    }

    pub(super) fn sheet(&self, now: Time) -> RelayBatch<'_> {
        RelayBatch::new(&self.ledger, now)
    }

    /// Hands what was decided to the writer and waits until it is true.
    pub(super) fn write(
        &self,
        sheet: RelayBatch<'_>,
        line: Option<Audit>,
    ) -> Result<Option<Receipt>, RelayError> {
        let rows = sheet.rows(line);
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(self.ledger.commit_relay_rows(rows)?)
    }

    /// The rows under a prefix that are looked at now; the next round goes on behind them.
    pub(super) fn round(
        &self,
        sheet: &RelayBatch<'_>,
        prefix: &[u8],
        most: usize,
    ) -> Result<Vec<Vec<u8>>, RelayError> {
        let mut all = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = sheet.keys_behind(prefix, all.get(prefix).map_or(&[], Vec::as_slice), most)?;
        let behind = if keys.len() < most {
            Vec::new()
        } else {
            keys.last().cloned().unwrap_or_default()
        };
        all.insert(prefix.to_vec(), behind);
        Ok(keys)
    }

    pub(super) fn reason(&self, name: &str) -> Result<ReasonId, RelayError> {
        let found = self.ledger.store.vocabulary().reasons.get(name);
        found.ok_or_else(|| {
            RelayError::Ledger(Refused::Settings(format!(
                "the reason `{name}` is not in config.toml"
            )))
        })
    }

    pub(super) fn need(&self, sheet: &RelayBatch<'_>, id: u64) -> Result<Job, RelayError> {
        sheet
            .get(&key::number(b'J', id))?
            .ok_or_else(|| RelayError::Unknown(format!("there is no job {id}")))
    }
}

/// Whether the tester's findings list a host for a reason.
pub(super) fn is_listed(desk: &RelayService, verdict: &Verdict, reason: &str) -> bool {
    let reason = desk.ledger.store.vocabulary().reasons.get(reason);
    reason.is_some_and(|r| {
        verdict.entry(r, SourceId::PROBER).is_some_and(|e| !e.hole)
            && !verdict.held(r, SourceId::PROBER)
    })
}

pub(super) fn audit_record(
    who: &Actor,
    what: &str,
    about: &dyn ToString,
    detail: String,
    why: Option<String>,
    now: Time,
) -> Audit {
    Audit {
        at: now,
        who: who.name.clone(),
        from: who.from.clone(),
        what: what.into(),
        about: about.to_string(),
        detail,
        why,
        once: who.once,
        ..Audit::default()
    }
}
