//! Composes tickets: the service with the serials of public name servers, and its periodic work.

use std::{net::SocketAddr, time::Duration};

use tokio::sync::watch;

use super::served::ServedSerials;
use crate::{
    api::MirrorResponse, config::Config, http::Report, ledger::Ledger, random::Random,
    relay::RelayService, tickets::TicketService,
};

/// How often tickets follow their tests and listings.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Makes the service of tickets.
pub fn service(
    config: &Config,
    ledger: &Ledger,
    relay: &RelayService,
    served: &ServedSerials,
) -> TicketService {
    let settings = config.tickets.clone();
    let (ledger, relay) = (ledger.clone(), relay.clone());
    TicketService::new(
        ledger,
        relay,
        settings,
        served.zone_servers(),
        Random::system(),
    )
}

/// Makes the list of public name servers. `mirrors` reports the configured mirrors.
pub fn served(
    config: &Config,
    ledger: &Ledger,
    mirrors: Report<Vec<MirrorResponse>>,
) -> ServedSerials {
    let own = config.dns.listen.iter().map(SocketAddr::ip);
    ServedSerials::new(ledger, mirrors, own.collect())
}

/// Follows open tickets and recent removals until `stop` is set.
pub async fn run(service: TicketService, served: ServedSerials, mut stop: watch::Receiver<bool>) {
    loop {
        let tickets = service.clone();
        let done = tokio::task::spawn_blocking(move || tickets.tick(tickets.now())).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = ?e, "due work for tickets failed"),
            Err(e) => tracing::error!(error = %e, "due work for tickets failed"),
        }
        served.ask(&service.awaited());
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}
