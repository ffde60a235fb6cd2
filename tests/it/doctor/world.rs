//! A server with a delegated zone, the parent's name server, and a resolver, each on a loopback
//! address of its own and on the same port.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use hickory_proto::rr::{RData, RecordType, rdata::NS};

use super::Report;
use crate::{
    lab::{Daemon, Folder},
    mirrors::worlds,
    name_server::{NameServer, name},
};

pub const ZONE: &str = "bl.orbs.example";
pub const PRIMARY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
pub const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
pub const THIRD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const PARENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const OTHER_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

pub struct World {
    pub folder: Folder,
    pub parent: NameServer,
    pub resolver: NameServer,
    pub daemon: Option<Daemon>,
    servers: Vec<IpAddr>,
}

impl World {
    /// A zone with a name server at each address, which is delegated with glue. The daemon is not
    /// started. `more` is added to `config.toml`.
    pub fn prepared(servers: &[IpAddr], more: &str) -> World {
        let resolvers = format!("[http_client]\nresolvers = [\"{RESOLVER}:PORT\"]\n{more}");
        let folder = worlds::folder_with(&worlds::config(&resolvers), &[]);
        let at = |ip| SocketAddr::new(ip, folder.port);
        let world = World {
            parent: NameServer::start(at(PARENT)),
            resolver: NameServer::start(at(RESOLVER)),
            servers: servers.into(),
            daemon: None,
            folder,
        };
        world.write_zone("");
        let glue: Vec<_> = world.names().into_iter().zip(servers).collect();
        let glue: Vec<_> = glue.iter().map(|(n, a)| (n.as_str(), Some(**a))).collect();
        world.parent.delegate(ZONE, &glue);
        world.fill(&world.resolver);
        world
    }

    /// The records of a resolver.
    fn fill(&self, resolver: &NameServer) {
        resolver.zone("orbs.example");
        let server = RData::NS(NS(name("ns.orbs.example")));
        resolver.add(RecordType::NS, "orbs.example", server);
        resolver.address("ns.orbs.example", PARENT);
        resolver.forward(ZONE, self.primary());
    }

    /// Starts another resolver with the same records.
    pub fn another_resolver(&self) -> SocketAddr {
        let address = self.at(OTHER_RESOLVER);
        self.fill(&NameServer::start(address));
        address
    }

    /// The names of the zone's servers.
    pub fn names(&self) -> Vec<String> {
        (1..=self.servers.len())
            .map(|i| format!("ns{i}.{ZONE}"))
            .collect()
    }

    /// Writes the zone file; `more` is added to `[transfer]`.
    pub fn write_zone(&self, more: &str) {
        let names: Vec<String> = self.names().iter().map(|n| format!("'{n}'")).collect();
        let records = self
            .servers
            .iter()
            .enumerate()
            .map(|(i, ip)| format!("[[record]]\nname='ns{}'\ntype='A'\ndata='{ip}'\n", i + 1));
        let mirrors = self.servers.iter().filter(|ip| **ip != PRIMARY);
        let mirrors = mirrors.map(|ip| format!("{{address='{}',key='mirror'}}", self.at(*ip)));
        let allow = match more {
            "" => "allow=['127.0.0.0/8','key:mirror']",
            more => more,
        };
        let text = format!(
            "origin='{ZONE}'\nkind='address'\nns=[{}]\ncontact='h@orbs.example'\nrefresh='2s'\nretry='1s'\n\
             publish=[{{reason='relay',code='127.0.0.2'}}]\n{}[transfer]\n{allow}\nnotify=[{}]\n",
            names.join(","),
            records.collect::<String>(),
            mirrors.collect::<Vec<_>>().join(","),
        );
        self.folder.write("zones/bl.toml", &text);
    }

    /// An address with the port of all servers.
    pub fn at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.folder.port)
    }

    pub fn primary(&self) -> SocketAddr {
        self.at(PRIMARY)
    }

    /// Starts the daemon.
    pub fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.folder));
    }

    /// Waits until the daemon accepts connections at a port.
    pub fn wait_for(&self, port: u16) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((PRIMARY, port)).is_err() {
            assert!(Instant::now() < until, "{}", self.folder.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `orbsd doctor` with the port of all servers.
    pub fn doctor(&self, arguments: &[&str]) -> Report {
        let port = self.folder.port.to_string();
        let arguments = [&["--dns-port", &port], arguments].concat();
        Report::of(&self.folder, &arguments)
    }
}
