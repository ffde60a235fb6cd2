//! The periodic work for dynamic ranges: records of providers are looked up, and rows that are too
//! old are erased.

use tokio::sync::watch;

use crate::{
    config::Config,
    dynamic_ranges::{CHECK_INTERVAL, DynamicRangeService},
    random::Random,
    tickets::{TicketError, TicketService},
};

/// Makes the service beside that of tickets.
pub fn service(config: &Config, tickets: &TicketService) -> DynamicRangeService {
    let reason = config.dynamic_ranges.clone();
    DynamicRangeService::new(tickets.clone(), reason, Random::system())
}

/// Looks up records and erases rows until `stop` is set.
pub async fn run(service: DynamicRangeService, mut stop: watch::Receiver<bool>) {
    loop {
        let ranges = service.clone();
        let work = move || {
            let now = ranges.now();
            ranges.tick(now)?;
            ranges.due(now)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(due)) => due.into_iter().for_each(|number| look_up(&service, number)),
            Ok(Err(e)) => tracing::warn!(error = ?e, "reading the providers of ranges failed"),
            Err(e) => tracing::error!(error = %e, "reading the providers of ranges failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// Looks up the record of a provider. The service limits how many are looked up at the same time.
fn look_up(service: &DynamicRangeService, number: u64) {
    let service = service.clone();
    tokio::spawn(async move {
        match service.check(number).await {
            // It was erased meanwhile, or this machine has no resolver, which the start reports.
            Ok(()) | Err(TicketError::NotFound(_) | TicketError::Refused(_)) => {}
            Err(e) => {
                tracing::warn!(provider = number, error = ?e, "looking up the record of a provider failed");
            }
        }
    });
}
