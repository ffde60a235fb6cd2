//! Records the results of webhook deliveries.

use super::Ledger;
use crate::ledger::{error::LedgerError, outbox::DeliveryResult};

impl Ledger {
    /// Records the result of the delivery of a message, named by its webhook and commit.
    pub async fn record_delivery(
        &self,
        webhook: &str,
        commit: u64,
        result: DeliveryResult,
    ) -> Result<(), LedgerError> {
        let webhook = webhook.to_string();
        self.call_async(move |writer| writer.record_delivery(&webhook, commit, result))
            .await
    }
}
