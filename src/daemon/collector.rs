//! Relay tests, put together: the desk, the collector, the tester.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use crate::{
    collect::{self, Collector},
    config::{Config, probe},
    ledger::{
        Ledger,
        desk::{Desk, Known},
    },
    resolve, schedule,
    serve::Certificates,
    smtp::Names,
    web::secrets,
};

/// Opens the collector's addresses.
pub fn bind(listen: &[SocketAddr]) -> Result<Vec<TcpListener>, String> {
    let one = |a: &SocketAddr| {
        let socket = if a.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(*a)?;
        socket.listen(1024)?.into_std()
    };
    listen.iter().map(|a| one(a).map_err(|e: std::io::Error| format!("collect.listen: {a}: {e}"))).collect()
}

/// Relay tests, before they start.
pub struct Tests {
    /// Where they are asked for and judged.
    pub desk: Desk,
    settings: probe::Settings,
    collector: Collector,
    /// Finds out what is known of a host's names.
    pub known: Known,
}

impl Tests {
    /// Makes the desk, and what runs on it.
    pub fn new(config: &Config, ledger: &Ledger, certificates: Option<&Arc<Certificates>>) -> Result<Tests, String> {
        let settings = config.probe.clone();
        let mut own = settings.desk.clone();
        if !own.domain.is_empty() {
            own.tokens = probe::tokens(&settings.key)?;
        }
        let desk = Desk::new(ledger.clone(), own);
        let tls = certificates.cloned().filter(|_| settings.receiver.tls).map(|c| Arc::new(move || c.ready().web.clone()) as collect::Tls);
        let collector = Collector {
            receiver: Arc::new(settings.receiver.clone()),
            tls,
            judge: collect::by_desk(desk.clone()),
            places: Arc::new(tokio::sync::Semaphore::new(collect::SESSIONS)),
            each: Arc::default(),
            crowds: settings.desk.special.clone(),
        };
        let known = known(desk.clone(), resolve::Names::new(&config.outgoing.resolvers).ok(), settings.receiver.addresses.clone());
        Ok(Tests { desk, settings, collector, known })
    }

    /// Starts collector and tester.
    pub fn start(self, back: &Runtime, listeners: Vec<TcpListener>, stop: &watch::Receiver<bool>) -> Result<Vec<JoinHandle<()>>, String> {
        let _in = back.enter();
        let mut out = Vec::new();
        let mut addresses = Vec::new();
        for l in listeners {
            addresses.extend(l.local_addr());
            let listener = tokio::net::TcpListener::from_std(l).map_err(|e| e.to_string())?;
            out.push(back.spawn(collect::run(listener, self.collector.clone())));
        }
        if !addresses.is_empty() {
            out.push(back.spawn(collect::watch(addresses, self.desk.clone())));
        }
        if !self.settings.desk.domain.is_empty() {
            let fresh = Arc::new(secrets::random::<8>);
            out.push(back.spawn(schedule::run(self.desk, self.settings.schedule, self.known, fresh, stop.clone())));
        }
        Ok(out)
    }
}

/// Finds a host's names: only those whose address, or whose MX, points at it.
pub fn known(desk: Desk, names: Option<resolve::Names>, collectors: Vec<IpAddr>) -> Known {
    let names = Arc::new(names);
    Arc::new(move |target, said| {
        let (names, settings, collectors) = (names.clone(), desk.settings(), collectors.clone());
        Box::pin(async move {
            let collector = collectors.into_iter().find(|c| c.is_ipv4() == target.is_ipv4());
            let mut out = Names { collector, ..settings.names(target) };
            let Some(names) = &*names else { return out };
            let said = said.into_iter().map(|n| n.trim_end_matches('.').to_ascii_lowercase());
            for name in names.pointers(target).await.into_iter().chain(said).filter(|n| plain(n)) {
                let parent = name.split_once('.').map(|(_, p)| p.to_string()).filter(|p| p.contains('.'));
                for domain in std::iter::once(name.clone()).chain(parent) {
                    if out.hosted.is_none() && takes_mail(names, &domain, target).await {
                        out.hosted = Some(domain);
                    }
                }
                if out.relay.is_none() && only(names, &name, target).await {
                    out.relay = Some(name);
                }
            }
            out
        })
    })
}

/// Whether a host takes a domain's mail, and nobody else does: a test that it hands on to another exchange would reach that.
async fn takes_mail(names: &resolve::Names, domain: &str, target: IpAddr) -> bool {
    let hosts = names.exchanges(domain).await;
    for host in &hosts {
        if !only(names, host, target).await {
            return false;
        }
    }
    !hosts.is_empty()
}

/// Whether a name is a host's, and of its family nobody else's.
async fn only(names: &resolve::Names, name: &str, target: IpAddr) -> bool {
    let Ok(all) = names.addresses(name).await else { return false };
    let mut family = all.iter().filter(|a| a.is_ipv4() == target.is_ipv4()).peekable();
    family.peek().is_some() && family.all(|a| *a == target)
}

/// A name that can stand in an address: what a stranger wrote into his zone is not taken as it is.
fn plain(name: &str) -> bool {
    name.len() <= 100
        && name.contains('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && name.parse::<IpAddr>().is_err()
}
