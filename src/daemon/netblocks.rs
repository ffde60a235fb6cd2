//! The periodic work for netblocks: entries end, and what is not kept is erased.

use tokio::sync::watch;

use crate::{
    config::Config,
    ledger::Ledger,
    netblocks::{NetblockService, SETTLE_INTERVAL},
    query_sample::QuerySample,
};

/// Makes the service of netblocks.
pub(super) fn service(config: &Config, ledger: &Ledger, sample: &QuerySample) -> NetblockService {
    let known_senders = config.known_senders.clone();
    NetblockService::new(ledger.clone(), known_senders, sample.clone())
}

/// Settles entries until `stop` is set.
pub async fn run(service: NetblockService, mut stop: watch::Receiver<bool>) {
    loop {
        let netblocks = service.clone();
        let done = tokio::task::spawn_blocking(move || netblocks.tick(netblocks.now())).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = ?e, "settling entries of netblocks failed"),
            Err(e) => tracing::error!(error = %e, "settling entries of netblocks failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(SETTLE_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}
