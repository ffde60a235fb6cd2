//! The handle of the ledger: reads the published and the stored state, and sends commands to the
//! writer.

mod accounts;
mod diff;
mod feature_rows;
mod feeds;
mod import;
mod outbox;
mod rename;
mod retention;
mod serials;

use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    accounts::Accounts,
    error::LedgerError,
    health::Health,
    left_behind::LeftBehind,
    receipt::Receipt,
    settings::LedgerSettings,
    writer::{Reply, Writer, WriterCommand},
};
use crate::{
    clock::Clock,
    index::Published,
    model::{Change, SourceId, Time},
    store::{LastBackup, Store},
};

/// The handle of the ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    pub(super) jobs: mpsc::Sender<WriterCommand>,
    /// The published snapshot, from which queries are answered.
    pub published: Arc<Published>,
    /// The store, for reading.
    pub store: Arc<Store>,
    /// The state of the writer.
    pub health: Arc<Health>,
    /// Trusted time.
    pub clock: Clock,
    /// Notifies of the last commit, after it is published and acknowledged, and of each new
    /// configuration, even if the number of the commit is the same.
    pub commits: watch::Receiver<u64>,
    pub(super) accounts: Arc<ArcSwap<Accounts>>,
    /// The sources that are being imported.
    pub(super) busy: Arc<Mutex<HashSet<Option<SourceId>>>>,
    pub(super) settings: Arc<Mutex<Arc<LedgerSettings>>>,
    pub(super) left: Arc<Mutex<FoundLeftBehind>>,
}

/// The names that the configuration has left behind, and when they were looked up; `None` if they
/// have not been looked up since the configuration changed.
pub(super) type FoundLeftBehind = Option<(std::time::Instant, Vec<LeftBehind>)>;

/// A submitted change. Its receipt arrives when it is stored and published.
pub struct Pending(oneshot::Receiver<Result<Receipt, LedgerError>>);

impl Pending {
    /// Waits for the receipt.
    pub async fn receipt(self) -> Result<Receipt, LedgerError> {
        self.0.await.unwrap_or(Err(LedgerError::Stopped))
    }
}

/// A command that runs a function and sends its result.
fn replying<T: Send + 'static>(
    run: impl FnOnce(&mut Writer) -> Result<T, LedgerError> + Send + 'static,
    reply: Reply<T>,
) -> WriterCommand {
    WriterCommand::Run(Box::new(move |writer| drop(reply.send(run(writer)))))
}

impl Ledger {
    /// Submits a change. Waits only while the queue is full.
    pub async fn submit(&self, change: Change) -> Result<Pending, LedgerError> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .send(WriterCommand::Change(change, tx))
            .await
            .map_err(|_| LedgerError::Stopped)?;
        Ok(Pending(rx))
    }

    /// Sends a command to the writer and waits for its reply, on a thread that may block.
    pub(super) fn request<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> WriterCommand,
    ) -> Result<T, LedgerError> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .blocking_send(command(tx))
            .map_err(|_| LedgerError::Stopped)?;
        rx.blocking_recv().unwrap_or(Err(LedgerError::Stopped))
    }

    /// Runs a function on the writer's thread and waits for its result, on a thread that may block.
    pub(super) fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.request(|reply| replying(run, reply))
    }

    /// Runs a function on the writer's thread and waits for its result.
    async fn call_async<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (tx, rx) = oneshot::channel();
        let sent = self.jobs.send(replying(run, tx)).await;
        sent.map_err(|_| LedgerError::Stopped)?;
        rx.await.unwrap_or(Err(LedgerError::Stopped))
    }

    /// Applies new settings. May block.
    pub fn configure(&self, settings: LedgerSettings) -> Result<Receipt, LedgerError> {
        let settings = LedgerSettings {
            mirrors: self.settings().mirrors.clone(),
            ..settings
        };
        let applied = settings.clone();
        let receipt = self.call(|writer| writer.configure(applied))?;
        self.set_settings(settings);
        Ok(receipt)
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub(super) fn set_settings(&self, settings: LedgerSettings) {
        *self.settings.lock() = Arc::new(settings);
        *self.left.lock() = None;
    }

    /// The present settings.
    pub fn settings(&self) -> Arc<LedgerSettings> {
        self.settings.lock().clone()
    }

    /// The number of a source; a new name gets one. May block.
    pub fn source(&self, name: &str) -> Result<SourceId, LedgerError> {
        match self.store.dictionary().sources.get(name) {
            Some(s) => Ok(s),
            None => {
                let name = name.to_string();
                self.call(move |writer| writer.source(&name))
            }
        }
    }

    /// Reports that a second has passed: the writer ends what is due, and retries a failed store.
    pub async fn tick(&self) {
        let _ = self.jobs.send(WriterCommand::Tick).await;
    }

    /// Lets the writer read the whole removal log and handle damage. May block.
    pub fn verify_removals(&self) -> Result<(), LedgerError> {
        self.call(Writer::verify_removals)
    }

    /// Records a backup that was written and read back. May block.
    pub fn backed_up(&self, backup: LastBackup) -> Result<(), LedgerError> {
        self.call(move |writer| writer.backed_up(backup))
    }

    /// Stops the writer, which writes an image and closes the store. May block.
    pub fn stop(&self) -> Result<(), LedgerError> {
        self.request(WriterCommand::Stop)
    }
}
