//! The state of the writer that others may read.

use std::{
    collections::HashMap,
    sync::{Mutex, atomic::AtomicU64},
};

use crate::store::schema;

/// How the log of removals is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RemovalsHealth {
    /// Why nothing can be written to it, so that no writes are taken.
    pub problem: Option<String>,
    /// What it lost when it began anew; until a backup knows all that is missing.
    pub gap: Option<schema::RemovalGap>,
}

/// What the outside may know of the writer.
#[derive(Debug, Default)]
pub struct Health {
    poisoned: Mutex<Option<String>>,
    removals: Mutex<RemovalsHealth>,
    /// Commits since the start.
    pub commits: AtomicU64,
    /// Changes since the start.
    pub changes: AtomicU64,
    webhook_backlog: Mutex<HashMap<String, u64>>,
}

impl Health {
    /// Why the store cannot be written; `None` where all is well.
    pub fn poisoned(&self) -> Option<String> {
        self.poisoned
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
    /// Why no changes of listings are taken: the store, or the log of removals. `None` where all is
    /// well.
    pub fn writes_refused(&self) -> Option<String> {
        self.poisoned().or_else(|| self.removals().problem)
    }
    /// How the log of removals is.
    pub fn removals(&self) -> RemovalsHealth {
        self.removals
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
    pub(super) fn set_removals(&self, health: RemovalsHealth) {
        *self.removals.lock().unwrap_or_else(|e| e.into_inner()) = health;
    }
    /// How many messages wait for each webhook, dead letters too; none for a webhook that is not in
    /// it.
    pub fn webhook_backlog(&self) -> HashMap<String, u64> {
        self.webhook_backlog
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
    pub(super) fn set_webhook_backlog(&self, waiting: impl Iterator<Item = (String, u64)>) {
        *self
            .webhook_backlog
            .lock()
            .unwrap_or_else(|e| e.into_inner()) = waiting.collect();
    }
    pub(super) fn set(&self, why: Option<String>) {
        *self.poisoned.lock().unwrap_or_else(|e| e.into_inner()) = why;
    }
}
