//! The health of the writer, which other threads read.

use std::{collections::HashMap, sync::atomic::AtomicU64};

use parking_lot::Mutex;

use crate::store::schema;

/// The state of the removal log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RemovalLogHealth {
    /// Why it cannot be written; the ledger refuses writes then.
    pub problem: Option<String>,
    /// The lines that were lost when it was restarted, until a newer backup exists.
    pub gap: Option<schema::RemovalGap>,
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
    webhook_backlog: Mutex<HashMap<String, u64>>,
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
    pub(crate) fn set(&self, why: Option<String>) {
        *self.poisoned.lock() = why;
    }
}
