//! Composes relay testing: the service, the collector and the scheduler.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpListener,
    runtime::{Handle, Runtime},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    config::{Config, probe},
    http::secrets,
    ledger::Ledger,
    net::ConnectionLimiter,
    relay::{
        HostNameResolver, RelayService,
        collector::{self, Collector},
        health::{self, MailRouteCheck},
        name_lookup, scheduler,
    },
    resolver,
    server::{Certificates, tcp},
    tickets::inbound::RemovalMail,
};

/// Opens the addresses of the collector.
pub fn bind(listen: &[SocketAddr]) -> Result<Vec<TcpListener>, String> {
    listen
        .iter()
        .map(|a| tcp::bind(*a).map_err(|e| format!("collector.listen: {a}: {e}")))
        .collect()
}

/// Relay tests, before they start.
pub struct RelayTests {
    /// The service.
    pub service: RelayService,
    settings: probe::ProbeSettings,
    collector: Collector,
    /// Finds the names of a host.
    pub known: HostNameResolver,
    outside: MailRouteCheck,
}

impl RelayTests {
    /// Makes the service, the collector and the checks of the probe domain.
    pub fn new(
        config: &Config,
        ledger: &Ledger,
        certificates: Option<&Arc<Certificates>>,
        limiter: ConnectionLimiter,
    ) -> Result<RelayTests, String> {
        let settings = config.probe.clone();
        let mut own = settings.relay.clone();
        if !own.domain.is_empty() {
            own.tokens = probe::tokens(&settings.key)?;
        }
        let service = RelayService::new(ledger.clone(), own);
        let tls = certificates
            .cloned()
            .filter(|_| settings.receiver.tls)
            .map(|c| Arc::new(move || c.current().web.clone()) as collector::TlsSource);
        let judge = collector::by_service(service.clone());
        let asked = service.clone();
        let token = Arc::new(move |to: &str| {
            asked
                .settings()
                .tokens
                .find(to.as_bytes())
                .first()
                .map(|(_, id)| *id)
        });
        let collector = Collector {
            tls,
            token_of: token,
            ..Collector::new(settings.receiver.clone(), judge, limiter)
        };
        let names = Arc::new(resolver::Resolver::new(&config.http_client.resolvers, false).ok());
        let known = name_lookup::host_name_resolver(
            service.clone(),
            names.clone(),
            settings.receiver.addresses.clone(),
        );
        let outside =
            health::mail_route_check(service.clone(), names, settings.receiver.addresses.clone());
        Ok(RelayTests {
            service,
            settings,
            collector,
            known,
            outside,
        })
    }

    /// Lets the collector pass requests by mail on, if an address for them is configured.
    #[must_use]
    pub fn with_removal_mail(mut self, mail: Option<RemovalMail>) -> RelayTests {
        let Some(mail) = mail else { return self };
        let others = self.collector.handler.clone();
        // The handler runs on a thread that may block.
        self.collector.handler = Arc::new(move |message, from| match mail.accepts(message) {
            true => Handle::current().block_on(mail.receive(message, from)),
            false => others(message, from),
        });
        self
    }

    /// Starts the collector and the scheduler.
    pub fn start(
        self,
        background: &Runtime,
        listeners: Vec<TcpListener>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Vec<JoinHandle<()>>, String> {
        let _in = background.enter();
        let mut out = Vec::new();
        let mut addresses = Vec::new();
        for l in listeners {
            addresses.extend(l.local_addr());
            out.push(background.spawn(collector::run(l, self.collector.clone())));
        }
        if !addresses.is_empty() {
            self.service.request_check();
            out.push(background.spawn(health::watch(
                addresses,
                self.outside,
                self.collector.clone(),
                self.service.clone(),
            )));
        }
        // The scheduler runs even without a probe domain, because claims and stored data still
        // expire.
        let fresh = Arc::new(secrets::random::<8>);
        out.push(background.spawn(scheduler::run(
            self.service,
            self.settings.scheduler,
            self.known,
            fresh,
            stop.clone(),
        )));
        Ok(out)
    }
}
