//! Composes tickets: the service with the serials of public name servers, and its periodic work.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::served::ServedSerials;
use crate::{
    api::MirrorResponse, config::Config, http::Report, ledger::Ledger, random::Random,
    relay::RelayService, resolver::Resolver, tickets::TicketService,
};

/// How often tickets follow their tests and listings.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The timeout of the look-up of a reverse name with its confirmation.
const NAME_TIMEOUT: Duration = Duration::from_secs(20);
/// The most names of an address that are confirmed.
const MAX_NAMES: usize = 4;

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
pub async fn run(
    service: TicketService,
    served: ServedSerials,
    resolvers: Vec<SocketAddr>,
    mut stop: watch::Receiver<bool>,
) {
    let resolver = Arc::new(Resolver::new(&resolvers, false).ok());
    loop {
        let tickets = service.clone();
        let done = tokio::task::spawn_blocking(move || tickets.tick(tickets.now())).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = ?e, "due work for tickets failed"),
            Err(e) => tracing::error!(error = %e, "due work for tickets failed"),
        }
        served.ask(&service.awaited());
        look_up_names(&service, &resolver).await;
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// Looks up the reverse names that requests and exceptions wait for, without waiting for the
/// results.
async fn look_up_names(service: &TicketService, resolver: &Arc<Option<Resolver>>) {
    let tickets = service.clone();
    let due = tokio::task::spawn_blocking(move || tickets.names_due(tickets.now())).await;
    let due = match due {
        Ok(Ok(due)) => due,
        Ok(Err(e)) => return tracing::warn!(error = ?e, "finding due reverse names failed"),
        Err(e) => return tracing::error!(error = %e, "finding due reverse names failed"),
    };
    for addr in due {
        let (service, resolver) = (service.clone(), resolver.clone());
        tokio::spawn(async move {
            let name = match &*resolver {
                Some(resolver) => {
                    let found = tokio::time::timeout(NAME_TIMEOUT, confirmed_name(resolver, addr));
                    found.await.unwrap_or_default()
                }
                None => None,
            };
            let done = tokio::task::spawn_blocking(move || {
                service.name_found(addr, name.as_deref(), service.now())
            });
            if let Ok(Err(e)) = done.await {
                tracing::warn!(error = ?e, "deciding by a reverse name failed");
            }
        });
    }
}

/// The forward-confirmed reverse name of an address.
async fn confirmed_name(resolver: &Resolver, addr: IpAddr) -> Option<String> {
    for name in resolver.pointers(addr).await.into_iter().take(MAX_NAMES) {
        let addresses = resolver.addresses(&name).await.unwrap_or_default();
        if addresses.contains(&addr) {
            return Some(name);
        }
    }
    None
}
