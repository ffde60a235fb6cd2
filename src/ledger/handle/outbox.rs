//! Reports what became of a message to a webhook.

use super::Ledger;
use crate::ledger::{command::WriterCommand, error::LedgerError, outbox::DeliveryResult};

impl Ledger {
    /// Tells what came of sending a message.
    pub async fn record_delivery(
        &self,
        webhook: &str,
        commit: u64,
        tried: DeliveryResult,
    ) -> Result<(), LedgerError> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(WriterCommand::DeliveryResult(
                Box::new((webhook.into(), commit, tried)),
                tx,
            ))
            .await
            .map_err(|_| LedgerError::Stopped)?;
        rx.await.unwrap_or(Err(LedgerError::Stopped))
    }
}
