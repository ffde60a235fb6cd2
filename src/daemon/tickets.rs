//! Composes tickets: the service with the mirrors' serials, and its periodic work.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    config::Config,
    ledger::Ledger,
    mail::{MailSettings, Mailer},
    model::Serial,
    random::Random,
    relay::RelayService,
    resolver::Resolver,
    server::Mirrors,
    tickets::{
        TicketService, TicketSettings, ZoneServer, ZoneServers,
        inbound::{self, RemovalMail},
        outbox::{self, MailSender},
    },
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

/// Lets a service look up names for proofs of control.
#[must_use]
pub fn with_resolver(service: TicketService, resolvers: &[std::net::SocketAddr]) -> TicketService {
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
pub fn mail_sender(settings: &MailSettings) -> Result<Option<MailSender>, String> {
    let mailer = Mailer::new(settings)?.map(Arc::new);
    Ok(mailer.map(|mailer| -> MailSender {
        Arc::new(move |mail| {
            let mailer = mailer.clone();
            Box::pin(async move { mailer.send_automatic(&mail).await })
        })
    }))
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

/// Follows open tickets and recent removals, and sends their mail, until `stop` is set.
pub async fn run(service: TicketService, sender: Option<MailSender>, stop: watch::Receiver<bool>) {
    let mail = outbox::run(service.clone(), sender, stop.clone());
    tokio::join!(follow(service, stop), mail);
}

async fn follow(service: TicketService, mut stop: watch::Receiver<bool>) {
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
