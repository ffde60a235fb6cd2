//! The serials that the public name servers of zones serve. They are asked for the SOA after a
//! removal, so that its page can show when each server has it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    api::MirrorResponse,
    feeds::wire::Server,
    http::Report,
    ledger::Ledger,
    model::Serial,
    tickets::{ZoneServer, ZoneServers},
};

/// How long to wait before a server is asked again, after its first answer that is too old. The
/// wait doubles with each one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// The most servers that are asked at the same time; each uses a thread.
const MAX_PARALLEL: usize = 8;
/// How long the addresses of a name server are used.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(3600);

/// A public name server of a zone: a configured mirror, or one of the zone's NS records.
#[derive(Debug, Clone)]
struct PublicServer {
    /// Whether it is a configured mirror, whose name is its address.
    is_mirror: bool,
    /// Its addresses; empty until they are looked up.
    addresses: Vec<SocketAddr>,
    resolved: Option<Instant>,
    serial: Option<Serial>,
    /// Whether it answered when it was last asked; `None` if it was not asked yet.
    answers: Option<bool>,
    /// The serial that it had transferred when it was last asked, if it is a configured mirror.
    transferred: Option<u32>,
    /// When it is asked next.
    next: Instant,
    tries: u32,
    is_busy: bool,
}

/// The serials of public name servers, by zone and name.
#[derive(Clone)]
pub struct ServedSerials {
    ledger: Ledger,
    mirrors: Report<Vec<MirrorResponse>>,
    /// The addresses of this server's own listeners.
    own: Vec<IpAddr>,
    servers: Arc<Mutex<BTreeMap<(String, String), PublicServer>>>,
}

impl ServedSerials {
    /// Knows no serials yet. `own` are the addresses on which this server answers.
    pub fn new(
        ledger: &Ledger,
        mirrors: Report<Vec<MirrorResponse>>,
        own: Vec<IpAddr>,
    ) -> ServedSerials {
        ServedSerials {
            ledger: ledger.clone(),
            mirrors,
            own,
            servers: Arc::default(),
        }
    }

    /// Returns the servers with the serials that they have, for tickets: configured mirrors by
    /// their addresses, and name servers whose addresses are known. A mirror that is also a name
    /// server is named once.
    pub fn zone_servers(&self) -> ZoneServers {
        let this = self.clone();
        Arc::new(move || {
            let (mirrors, named): (BTreeMap<_, _>, BTreeMap<_, _>) = this
                .servers
                .lock()
                .clone()
                .into_iter()
                .partition(|(_, s)| s.is_mirror);
            let addresses: Vec<(&String, IpAddr)> = named
                .iter()
                .flat_map(|((zone, _), s)| s.addresses.iter().map(move |a| (zone, a.ip())))
                .collect();
            let mut out: Vec<ZoneServer> = Vec::new();
            for m in this.configured() {
                let ip = m.address.parse::<SocketAddr>().ok().map(|a| a.ip());
                let is_named = |ip| {
                    addresses
                        .iter()
                        .any(|(zone, a)| **zone == m.zone && *a == ip)
                };
                if ip.is_some_and(is_named) {
                    continue;
                }
                // A mirror that answers no queries of ours is known by its transfers alone.
                let asked = mirrors.get(&(m.zone.clone(), m.address.clone()));
                let served = asked.and_then(|s| s.serial);
                out.push(ZoneServer {
                    zone: m.zone,
                    name: m.address,
                    serial: served.or(m.mirror_serial.map(Serial)),
                    answers: asked.and_then(|s| s.answers),
                });
            }
            for ((zone, name), server) in named {
                if !server.addresses.is_empty() && !this.is_own(&server) {
                    out.push(ZoneServer {
                        zone,
                        name,
                        serial: server.serial,
                        answers: server.answers,
                    });
                }
            }
            out
        })
    }

    fn configured(&self) -> impl Iterator<Item = MirrorResponse> {
        (self.mirrors)().into_iter().filter(|m| m.configured)
    }

    fn is_own(&self, server: &PublicServer) -> bool {
        let mut addresses = server.addresses.iter();
        addresses.any(|a| self.own.contains(&a.ip()))
    }

    /// Asks the name servers of zones that need a serial and do not have it yet.
    pub fn ask(&self, awaited: &BTreeMap<String, Serial>) {
        let snapshot = self.ledger.published.snapshot();
        let zones = snapshot.zones.all().iter();
        for zone in zones.filter(|z| awaited.contains_key(&*z.name)) {
            for name in &zone.spec.ns {
                let host = name.trim_end_matches('.').to_ascii_lowercase();
                let key = (zone.name.to_string(), host);
                self.servers
                    .lock()
                    .entry(key)
                    .or_insert_with(|| PublicServer::new(false));
            }
        }
        for m in self.configured().filter(|m| awaited.contains_key(&m.zone)) {
            let mut servers = self.servers.lock();
            let entry = servers.entry((m.zone, m.address));
            let server = entry.or_insert_with(|| PublicServer::new(true));
            // A mirror that has transferred the zone serves it now.
            if !server.is_busy && server.transferred != m.mirror_serial {
                server.transferred = m.mirror_serial;
                (server.next, server.tries) = (Instant::now(), 0);
            }
        }
        let now = Instant::now();
        let mut due = Vec::new();
        {
            let mut servers = self.servers.lock();
            let busy = servers.values().filter(|s| s.is_busy).count();
            for ((zone, name), server) in servers.iter_mut() {
                let Some(wanted) = awaited.get(zone) else {
                    continue;
                };
                let lacks = server.serial.is_none_or(|s| s < *wanted);
                if busy + due.len() < MAX_PARALLEL && lacks && !server.is_busy && server.next <= now
                {
                    server.is_busy = true;
                    due.push((zone.clone(), name.clone(), server.clone()));
                }
            }
        }
        for (zone, name, server) in due {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.ask_one(zone, name, server));
        }
    }

    /// Asks one server for its serial. May block for some seconds.
    fn ask_one(&self, zone: String, name: String, mut server: PublicServer) {
        let is_fresh = |at: Instant| at.elapsed() < ADDRESS_LIFETIME;
        if !server.resolved.is_some_and(is_fresh) {
            let found = Server::new(&name, &zone, None).and_then(|s| s.addresses());
            server.addresses = found.unwrap_or_default();
            server.resolved = Some(Instant::now());
        }
        let mut addresses = server.addresses.iter();
        let answer = addresses.find_map(|a| {
            let server = Server::new(&a.to_string(), &zone, None).ok()?;
            Some(server.soa().ok()?.serial)
        });
        server.answers = Some(answer.is_some());
        if answer.is_some() && answer != server.serial {
            (server.serial, server.tries) = (answer, 0);
        }
        let wait = FIRST_WAIT * 2u32.saturating_pow(server.tries.min(16));
        server.next = Instant::now() + wait.min(MAX_WAIT);
        server.tries = server.tries.saturating_add(1);
        server.is_busy = false;
        self.servers.lock().insert((zone, name), server);
    }
}

impl PublicServer {
    fn new(is_mirror: bool) -> PublicServer {
        PublicServer {
            is_mirror,
            addresses: Vec::new(),
            resolved: None,
            serial: None,
            answers: None,
            transferred: None,
            next: Instant::now(),
            tries: 0,
            is_busy: false,
        }
    }
}
