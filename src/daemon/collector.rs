//! Relay tests, put together: the desk, the collector, the tester.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{net::TcpListener, runtime::Runtime, sync::watch, task::JoinHandle};

use crate::{
    collect::{self, Collector, Outside},
    config::{Config, probe},
    ledger::{
        Ledger,
        desk::{Desk, Known},
    },
    net::ConnectionLimiter,
    resolve, schedule,
    serve::{Certificates, tcp},
    smtp::Names,
    web::secrets,
};

/// Opens the collector's addresses.
pub fn bind(listen: &[SocketAddr]) -> Result<Vec<TcpListener>, String> {
    listen
        .iter()
        .map(|a| tcp::bind(*a).map_err(|e| format!("collect.listen: {a}: {e}")))
        .collect()
}

/// Relay tests, before they start.
pub struct Tests {
    /// Where they are asked for and judged.
    pub desk: Desk,
    settings: probe::Settings,
    collector: Collector,
    /// Finds out what is known of a host's names.
    pub known: Known,
    outside: Outside,
}

impl Tests {
    /// Makes the desk, and what runs on it.
    pub fn new(
        config: &Config,
        ledger: &Ledger,
        certificates: Option<&Arc<Certificates>>,
        limiter: ConnectionLimiter,
    ) -> Result<Tests, String> {
        let settings = config.probe.clone();
        let mut own = settings.desk.clone();
        if !own.domain.is_empty() {
            own.tokens = probe::tokens(&settings.key)?;
        }
        let desk = Desk::new(ledger.clone(), own);
        let tls = certificates
            .cloned()
            .filter(|_| settings.receiver.tls)
            .map(|c| Arc::new(move || c.ready().web.clone()) as collect::Tls);
        let judge = collect::by_desk(desk.clone());
        let asked = desk.clone();
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
            known: token,
            ..Collector::new(settings.receiver.clone(), judge, limiter)
        };
        let names = Arc::new(resolve::Names::new(&config.outgoing.resolvers, false).ok());
        let known = known(
            desk.clone(),
            names.clone(),
            settings.receiver.addresses.clone(),
        );
        let outside = outside(desk.clone(), names, settings.receiver.addresses.clone());
        Ok(Tests {
            desk,
            settings,
            collector,
            known,
            outside,
        })
    }

    /// Starts collector and tester.
    pub fn start(
        self,
        back: &Runtime,
        listeners: Vec<TcpListener>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Vec<JoinHandle<()>>, String> {
        let _in = back.enter();
        let mut out = Vec::new();
        let mut addresses = Vec::new();
        for l in listeners {
            addresses.extend(l.local_addr());
            out.push(back.spawn(collect::run(l, self.collector.clone())));
        }
        if !addresses.is_empty() {
            self.desk.unseen();
            out.push(back.spawn(collect::watch(
                addresses,
                self.outside,
                self.collector.clone(),
                self.desk.clone(),
            )));
        }
        // Without a probe domain nothing is tested, and claims and what is old still have their
        // times.
        let fresh = Arc::new(secrets::random::<8>);
        out.push(back.spawn(schedule::run(
            self.desk,
            self.settings.schedule,
            self.known,
            fresh,
            stop.clone(),
        )));
        Ok(out)
    }
}

/// Finds a host's names: only those whose address, or whose MX, points at it.
pub fn known(desk: Desk, names: Arc<Option<resolve::Names>>, collectors: Vec<IpAddr>) -> Known {
    Arc::new(move |target, said| {
        let (names, settings, collectors) = (names.clone(), desk.settings(), collectors.clone());
        Box::pin(async move {
            let collector = collectors
                .into_iter()
                .find(|c| c.is_ipv4() == target.is_ipv4());
            let mut out = Names {
                collector,
                ..settings.names(target)
            };
            let Some(names) = &*names else { return out };
            find_names(names, said, &mut out).await;
            out
        })
    })
}

/// Fills the names of a host that are missing, from its reverse DNS and from what was said of it.
pub async fn find_names(names: &resolve::Names, said: Vec<String>, out: &mut Names) {
    let target = out.target;
    let said = said
        .into_iter()
        .map(|n| n.trim_end_matches('.').to_ascii_lowercase());
    for name in names
        .pointers(target)
        .await
        .into_iter()
        .chain(said)
        .filter(|n| plain(n))
    {
        let parent = name
            .split_once('.')
            .map(|(_, p)| p.to_string())
            .filter(|p| p.contains('.'));
        for domain in std::iter::once(name.clone()).chain(parent) {
            if out.hosted.is_none() && takes_mail(names, &domain, target).await {
                out.hosted = Some(domain);
            }
        }
        if out.relay.is_none() && is_own(names, &name, target).await {
            out.relay = Some(name);
        }
    }
}

/// Looks where the probe domain's mail goes, while hosts on the Internet may be tested, by us or by
/// reporters: what comes elsewhere proves nothing, and somebody else gets it (safety rule S10).
fn outside(desk: Desk, names: Arc<Option<resolve::Names>>, addresses: Vec<IpAddr>) -> Outside {
    Arc::new(move || {
        let (names, settings, addresses) = (names.clone(), desk.settings(), addresses.clone());
        Box::pin(async move {
            // Who listens everywhere is reached under each address of the machine. The tester's are
            // no collector's.
            let ours =
                |a: IpAddr| addresses.contains(&a) || (settings.at_home)(&settings.listen, a);
            match &*names {
                Some(names) if settings.is_outside() => {
                    goes_elsewhere(names, &settings.domain, &ours).await
                }
                _ => Ok(None),
            }
        })
    })
}

/// What is wrong with a domain's MX: each of its addresses has to be ours. The error is that of a
/// resolver that does not answer.
async fn goes_elsewhere(
    names: &resolve::Names,
    domain: &str,
    ours: &(dyn Fn(IpAddr) -> bool + Send + Sync),
) -> Result<Option<String>, String> {
    let mut hosts = names.exchanges(domain).await?;
    if hosts.is_empty() {
        // Then mail goes to the domain's own addresses (RFC 5321 section 5.1).
        hosts.push(domain.into());
    }
    let mut some = false;
    for host in &hosts {
        let addresses = names.addresses(host).await?;
        some |= !addresses.is_empty();
        if let Some(addr) = addresses.iter().find(|a| !ours(**a)) {
            let how = "[collect] addresses names those under which the collector is reached";
            return Ok(Some(format!(
                "mail for {domain} goes to {host}, {addr}, which is no address of the collector; {how}"
            )));
        }
    }
    Ok(
        (!some)
            .then(|| format!("DNS has no MX of {domain} with an address: no message would come")),
    )
}

/// Whether a host takes a domain's mail, and nobody else does: a test that it hands on to another
/// exchange would reach that.
async fn takes_mail(names: &resolve::Names, domain: &str, target: IpAddr) -> bool {
    let Ok(hosts) = names.exchanges(domain).await else {
        return false;
    };
    for host in &hosts {
        if !only(names, host, target).await {
            return false;
        }
    }
    !hosts.is_empty()
}

/// Whether a name is a host's own, and its mail too: another exchange would get what the host hands
/// on.
async fn is_own(names: &resolve::Names, name: &str, target: IpAddr) -> bool {
    let Ok(hosts) = names.exchanges(name).await else {
        return false;
    };
    only(names, name, target).await && (hosts.is_empty() || takes_mail(names, name, target).await)
}

/// Whether a name is a host's, and of its family nobody else's.
async fn only(names: &resolve::Names, name: &str, target: IpAddr) -> bool {
    let Ok(all) = names.addresses(name).await else {
        return false;
    };
    let mut family = all
        .iter()
        .filter(|a| a.is_ipv4() == target.is_ipv4())
        .peekable();
    family.peek().is_some() && family.all(|a| *a == target)
}

/// A name that can stand in an address: what a stranger wrote into his zone is not taken as it is.
fn plain(name: &str) -> bool {
    name.len() <= 100
        && name.contains('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && name.parse::<IpAddr>().is_err()
}
