//! The health of the writer, which other threads read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::AtomicU64,
};

use parking_lot::Mutex;

use crate::{metrics::DurationHistogram, store::schema};

/// The state of the removal log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RemovalLogHealth {
    /// Why it cannot be written; the ledger refuses writes then.
    pub problem: Option<String>,
    /// The lines that were lost when it was restarted, until a newer backup exists.
    pub gap: Option<schema::RemovalGap>,
}

/// How many subjects a zone has begun and ceased to publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZoneChanges {
    /// Subjects that it has begun to publish.
    pub listed: u64,
    /// Subjects that it has ceased to publish.
    pub delisted: u64,
}

/// How long it takes to publish commits: from the moment at which a commit is durable until queries
/// are answered from it. Queries never wait for this; they are answered from the tables before it.
#[derive(Debug, Default)]
pub struct PublishTimes {
    /// The time on the clock.
    pub elapsed: DurationHistogram,
    /// The CPU time of the writer, without the time in which other threads had its core.
    pub cpu: DurationHistogram,
}

/// The state of the writer.
#[derive(Debug, Default)]
pub struct Health {
    poisoned: Mutex<Option<String>>,
    removals: Mutex<RemovalLogHealth>,
    /// Commits since the start.
    pub commits: AtomicU64,
    /// Changes since the start.
    pub changes: AtomicU64,
    /// How long it takes to publish commits.
    pub publish_times: PublishTimes,
    webhook_backlog: Mutex<HashMap<String, u64>>,
    zone_changes: Mutex<BTreeMap<String, ZoneChanges>>,
}

impl Health {
    /// Why the store cannot be written; `None` if it can.
    pub fn poisoned(&self) -> Option<String> {
        self.poisoned.lock().clone()
    }
    /// Why changes of listings are refused, because of the store or of the removal log; `None` if
    /// they are accepted.
    pub fn writes_refused(&self) -> Option<String> {
        self.poisoned().or_else(|| self.removals().problem)
    }
    /// The state of the removal log.
    pub fn removals(&self) -> RemovalLogHealth {
        self.removals.lock().clone()
    }
    pub(super) fn set_removal_problem(&self, problem: Option<String>) {
        self.removals.lock().problem = problem;
    }
    pub(super) fn set_removal_gap(&self, gap: Option<schema::RemovalGap>) {
        self.removals.lock().gap = gap;
    }
    /// The number of messages for each webhook, with dead letters. A webhook without an entry has
    /// no messages.
    pub fn webhook_backlog(&self) -> HashMap<String, u64> {
        self.webhook_backlog.lock().clone()
    }
    pub(super) fn set_webhook_backlog(&self, waiting: impl Iterator<Item = (String, u64)>) {
        *self.webhook_backlog.lock() = waiting.collect();
    }
    /// Takes how many subjects each zone has begun and ceased to publish since the last call.
    pub fn take_zone_changes(&self) -> BTreeMap<String, ZoneChanges> {
        std::mem::take(&mut *self.zone_changes.lock())
    }
    pub(super) fn add_zone_changes(&self, zone: &str, changes: ZoneChanges) {
        if changes == ZoneChanges::default() {
            return;
        }
        let mut all = self.zone_changes.lock();
        let sum = all.entry(zone.into()).or_default();
        sum.listed += changes.listed;
        sum.delisted += changes.delisted;
    }
    pub(crate) fn set(&self, why: Option<String>) {
        *self.poisoned.lock() = why;
    }
}
