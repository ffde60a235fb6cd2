//! Records the results of webhook deliveries.

use super::Ledger;
use crate::ledger::{command::WriterCommand, error::LedgerError, outbox::DeliveryResult};

impl Ledger {
    /// Records the result of the delivery of a message, named by its webhook and commit.
    pub async fn record_delivery(
        &self,
        webhook: &str,
        commit: u64,
        result: DeliveryResult,
    ) -> Result<(), LedgerError> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.jobs
            .send(WriterCommand::DeliveryResult(
                Box::new((webhook.into(), commit, result)),
                tx,
            ))
            .await
            .map_err(|_| LedgerError::Stopped)?;
        rx.await.unwrap_or(Err(LedgerError::Stopped))
    }
}
