//! Composes tickets: the service with the serials of public name servers, and its periodic work.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::served::ServedSerials;
use crate::{
    api::MirrorResponse,
    config::Config,
    http::Report,
    ledger::Ledger,
    mail::{MailSettings, Mailer},
    random::Random,
    relay::RelayService,
    resolver::Resolver,
    tickets::{
        TicketService,
        inbound::{self, RemovalMail},
        outbox::{self, MailSender},
    },
};

/// How often tickets follow their tests and listings.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How often overdue answers and decisions are looked for, in polls.
const CLOCKS_EVERY: u64 = 15;
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

/// Lets a service look up names for proofs of control.
fn with_resolver(service: TicketService, resolvers: &[std::net::SocketAddr]) -> TicketService {
    // A machine without /etc/resolv.conf offers no proofs by DNS.
    match Resolver::uncached(resolvers) {
        Ok(resolver) => service.with_dns(Arc::new(resolver)),
        Err(error) => {
            tracing::warn!(error, "proofs of control by DNS are not possible");
            service
        }
    }
}

/// Makes the receiver of requests by mail; `None` if no address is configured.
///
/// # Errors
///
/// SPF and DKIM cannot be checked on this machine.
pub fn removal_mail(
    config: &Config,
    tickets: &TicketService,
) -> Result<Option<RemovalMail>, String> {
    let address = &config.proofs.removal_address;
    if address.is_empty() {
        return Ok(None);
    }
    let authenticator = Resolver::new(&config.http_client.resolvers, false)
        .and_then(|resolver| resolver.mail_authenticator())
        .map_err(|e| format!("collector.removal_address: SPF cannot be checked: {e}"))?;
    Ok(Some(RemovalMail {
        address: address.clone(),
        tickets: tickets.clone(),
        authenticator: Arc::new(authenticator),
        host_name: config.probe.receiver.hello.clone(),
        find_subjects: inbound::subject_finder(&tickets.ledger, &config.base_url),
    }))
}

/// Returns what sends mail about tickets; `None` if no smart host is configured.
///
/// # Errors
///
/// The smart host is not valid.
fn mail_sender(settings: &MailSettings) -> Result<Option<MailSender>, String> {
    let mailer = Mailer::new(settings)?.map(Arc::new);
    Ok(mailer.map(|mailer| -> MailSender {
        Arc::new(move |mail| {
            let mailer = mailer.clone();
            Box::pin(async move { mailer.send_automatic(&mail).await })
        })
    }))
}

/// What the periodic work for tickets needs.
pub struct Work {
    /// The service of tickets.
    pub service: TicketService,
    /// The serials of public name servers.
    pub served: ServedSerials,
    /// The servers that look up reverse names; empty: those of this machine.
    pub resolvers: Vec<SocketAddr>,
    /// Sends mail; `None` if no smart host is configured.
    pub sender: Option<MailSender>,
}

impl Work {
    /// Makes the service of tickets with all that its work needs. `mirrors` reports the configured
    /// mirrors.
    ///
    /// # Errors
    ///
    /// The smart host is not valid.
    pub fn new(
        config: &Config,
        ledger: &Ledger,
        relay: &RelayService,
        mirrors: Report<Vec<MirrorResponse>>,
    ) -> Result<Work, String> {
        let resolvers = config.http_client.resolvers.clone();
        let served = served(config, ledger, mirrors);
        Ok(Work {
            service: with_resolver(service(config, ledger, relay, &served), &resolvers),
            served,
            resolvers,
            sender: mail_sender(&config.mail)?,
        })
    }
}

/// Follows open tickets and recent removals, and sends their mail, until `stop` is set.
pub async fn run(work: Work, stop: watch::Receiver<bool>) {
    let mail = outbox::run(work.service.clone(), work.sender, stop.clone());
    let follow = follow(work.service, work.served, work.resolvers, stop);
    tokio::join!(follow, mail);
}

async fn follow(
    service: TicketService,
    served: ServedSerials,
    resolvers: Vec<SocketAddr>,
    mut stop: watch::Receiver<bool>,
) {
    let resolver = Arc::new(Resolver::new(&resolvers, false).ok());
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
