//! The handle of the ledger: reads what is published and stored, and sends commands to the writer.

mod accounts;
mod diff;
mod feeds;
mod import;
mod outbox;
mod relay_rows;
mod rename;
mod serials;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    accounts::Book,
    command::{Job, Reply},
    error::Refused,
    health::Health,
    left_behind::LeftBehind,
    receipt::Receipt,
    settings::Settings,
};
use crate::{
    clock::Clock,
    index::Published,
    model::{Change, SourceId, Time},
    store::Store,
};

/// The way to the writer. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    pub(super) jobs: mpsc::Sender<Job>,
    /// What answers come from.
    pub published: Arc<Published>,
    /// What can be read.
    pub store: Arc<Store>,
    /// How it is.
    pub health: Arc<Health>,
    /// Trusted time.
    pub clock: Clock,
    /// The number of the last commit, told after it is published and acknowledged; also told,
    /// whatever the number, when a configuration was taken.
    pub commits: watch::Receiver<u64>,
    pub(super) book: Arc<ArcSwap<Book>>,
    pub(super) busy: Arc<Mutex<HashSet<SourceId>>>,
    pub(super) settings: Arc<Mutex<Arc<Settings>>>,
    /// What the configuration in force has left behind, and when that was found out.
    pub(super) left: Arc<Mutex<FoundLeftBehind>>,
}

/// What a configuration has left behind, and when that was found out; `None` where it was not
/// looked for.
pub(super) type FoundLeftBehind = Option<(std::time::Instant, Vec<LeftBehind>)>;

/// A change on its way; its receipt comes when it is synced and answered.
pub struct Pending(oneshot::Receiver<Result<Receipt, Refused>>);

impl Pending {
    /// Waits for the receipt.
    pub async fn receipt(self) -> Result<Receipt, Refused> {
        self.0.await.unwrap_or(Err(Refused::Stopped))
    }
    /// Waits for the receipt on a thread that may block.
    pub fn wait(self) -> Result<Receipt, Refused> {
        self.0.blocking_recv().unwrap_or(Err(Refused::Stopped))
    }
}

impl Ledger {
    /// Hands a change in; waits only while the queue is full.
    pub async fn submit(&self, change: Change) -> Result<Pending, Refused> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .send(Job::Change(change, tx))
            .await
            .map_err(|_| Refused::Stopped)?;
        Ok(Pending(rx))
    }

    /// The same from a thread that may block.
    pub fn submit_blocking(&self, change: Change) -> Result<Pending, Refused> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .blocking_send(Job::Change(change, tx))
            .map_err(|_| Refused::Stopped)?;
        Ok(Pending(rx))
    }

    pub(super) fn call<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Refused> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .blocking_send(job(tx))
            .map_err(|_| Refused::Stopped)?;
        rx.blocking_recv().unwrap_or(Err(Refused::Stopped))
    }

    /// Takes a new configuration. May block.
    pub fn configure(&self, settings: Settings) -> Result<Receipt, Refused> {
        let settings = Settings {
            mirrors: self.settings().mirrors.clone(),
            ..settings
        };
        let receipt = self.call(|r| Job::Configure(Box::new(settings.clone()), r))?;
        self.set_settings(settings);
        Ok(receipt)
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub(super) fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(|e| e.into_inner()) = Arc::new(settings);
        *self.left.lock().unwrap_or_else(|e| e.into_inner()) = None;
    }

    /// The configuration that is in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }

    /// The number of a source, given now if it has none. May block.
    pub fn source(&self, name: &str) -> Result<SourceId, Refused> {
        match self.store.vocabulary().sources.get(name) {
            Some(s) => Ok(s),
            None => self.call(|r| Job::Source(name.into(), r)),
        }
    }

    /// A second has passed: what is due is ended, and a failed store tried again.
    pub async fn tick(&self) {
        let _ = self.jobs.send(Job::Tick).await;
    }

    /// The same from a thread that may block.
    pub fn tick_blocking(&self) {
        let _ = self.jobs.blocking_send(Job::Tick);
    }

    /// Reads the whole log of removals through the writer, which acts on what is wrong with it. May
    /// block.
    pub fn verify_removals(&self) -> Result<(), Refused> {
        self.call(Job::VerifyRemovals)
    }

    /// Reports a copy of the store that knows the log of removals up to a line. May block.
    pub fn backed_up(&self, line: u64) -> Result<(), Refused> {
        self.call(|r| Job::BackedUp(line, r))
    }

    /// Stops the writer: an image is written, the store closed. May block.
    pub fn stop(&self) -> Result<(), Refused> {
        self.call(Job::Stop)
    }
}
