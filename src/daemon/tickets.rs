//! Composes tickets: the service with the mirrors' serials, and its periodic work.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    ledger::Ledger,
    model::Serial,
    random::Random,
    relay::RelayService,
    server::Mirrors,
    tickets::{TicketService, TicketSettings, ZoneServer, ZoneServers},
};

/// How often tickets follow their tests and listings.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How often overdue answers and decisions are looked for, in polls.
const CLOCKS_EVERY: u64 = 15;

/// Makes the service of tickets.
pub fn service(
    settings: TicketSettings,
    ledger: &Ledger,
    relay: &RelayService,
    mirrors: &Arc<Mirrors>,
) -> TicketService {
    let servers = zone_servers(ledger, mirrors);
    let (ledger, relay) = (ledger.clone(), relay.clone());
    TicketService::new(ledger, relay, settings, servers, Random::system())
}

/// The public name servers of the zones: the configured mirrors.
fn zone_servers(ledger: &Ledger, mirrors: &Arc<Mirrors>) -> ZoneServers {
    let (published, mirrors) = (ledger.published.clone(), mirrors.clone());
    Arc::new(move || {
        let report = mirrors.report(&published.snapshot()).into_iter();
        report
            .filter(|m| m.configured)
            .map(|m| ZoneServer {
                zone: m.zone,
                name: m.address,
                serial: m.mirror_serial.map(Serial),
            })
            .collect()
    })
}

/// Follows open tickets and recent removals until `stop` is set.
pub async fn run(service: TicketService, mut stop: watch::Receiver<bool>) {
    for round in 0u64.. {
        let tickets = service.clone();
        let checks_clocks = round % CLOCKS_EVERY == 0;
        let work = move || {
            tickets.tick(tickets.now())?;
            match checks_clocks {
                true => tickets.report_overdue(tickets.now()),
                false => Ok(()),
            }
        };
        let done = tokio::task::spawn_blocking(work).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = ?e, "due work for tickets failed"),
            Err(e) => tracing::error!(error = %e, "due work for tickets failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}
