//! Reports what became of a message to a webhook.

use super::Ledger;
use crate::ledger::{command::Job, error::Refused, outbox::Tried};

impl Ledger {
    /// Tells what came of sending a message.
    pub async fn tried(&self, webhook: &str, commit: u64, tried: Tried) -> Result<(), Refused> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(Job::Tried(Box::new((webhook.into(), commit, tried)), tx))
            .await
            .map_err(|_| Refused::Stopped)?;
        rx.await.unwrap_or(Err(Refused::Stopped))
    }
}
