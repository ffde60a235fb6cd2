//! The name servers of the field as mirrors, with the configurations that the documentation shows.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{proxy::Proxy, wire};
use crate::{lab::free_port, peers::peers};

/// The key of the documentation, and of the tests.
pub const SECRET: &str = "Y2hhbmdlIG1lOiBtYWtlIG9uZSB3aXRoIG9yYnNkIGs=";
/// Above this line a configuration stands once, below it once for each zone.
const EACH: &str = "One such block for each zone.\n";
/// The zone of the documentation.
const SHOWN: &str = "relays.orbs.example";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nsd,
    Knot,
    Bind,
    Powerdns,
}

pub const ALL: [Kind; 4] = [Kind::Nsd, Kind::Knot, Kind::Bind, Kind::Powerdns];

/// A mirror that runs, behind a wire of its own.
pub struct Mirror {
    pub kind: Kind,
    pub addr: SocketAddr,
    pub wire: Proxy,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program of `make peers`, with the libraries that came along.
pub fn program(name: &str) -> Command {
    let root = peers().join("root");
    let found = ["usr/sbin", "usr/bin"].iter().map(|d| root.join(d).join(name)).find(|p| p.exists());
    let mut command = Command::new(found.unwrap_or_else(|| panic!("there is no {name} under {}: run `make peers`", root.display())));
    command.env("LD_LIBRARY_PATH", libraries()).stdin(Stdio::null());
    command
}

/// Where the libraries of the unpacked programs lie.
fn libraries() -> PathBuf {
    peers().join(format!("root/usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}

/// A text of the documentation with what is of this machine in it. What is to be replaced has to be there.
fn filled(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the documentation's configuration has no `{from}`");
        text.replace(from, to)
    })
}

/// Its part below the line, for each of the zones.
fn for_each(text: &str, zones: &[&str]) -> String {
    let (once, each) = text.split_once(EACH).unwrap();
    let blocks: Vec<String> = zones.iter().map(|z| filled(each, &[(SHOWN, z)])).collect();
    format!("{once}{EACH}{}", blocks.join("\n"))
}

impl Mirror {
    /// Prepares a mirror of what is at `ours`; it starts with [`Mirror::start`].
    pub fn new(kind: Kind, ours: SocketAddr, zones: &[&str]) -> Mirror {
        let port = free_port();
        let mut mirror = Mirror {
            kind,
            addr: ([127, 0, 0, 1], port).into(),
            wire: Proxy::to(ours),
            dir: tempfile::tempdir().unwrap(),
            child: None,
        };
        mirror.configure(zones);
        mirror
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn configure(&mut self, zones: &[&str]) {
        let dir = self.dir().to_str().unwrap().to_string();
        let (here, there) = (self.addr.port(), self.wire.addr.port());
        let read = |name: &str| fs::read_to_string(format!("docs/mirrors/{name}")).unwrap();
        let write = |name: &str, text: &str| fs::write(self.dir().join(name), text).unwrap();
        match self.kind {
            Kind::Nsd => {
                let pairs = [
                    ("192.0.2.53@53", format!("127.0.0.1@{here}")),
                    ("192.0.2.1@53", format!("127.0.0.1@{there}")),
                    ("192.0.2.1 ", "127.0.0.1 ".into()),
                    ("username: nsd", "username: \"\"".into()),
                    ("/var/lib/nsd", dir.clone()),
                    ("/run/nsd", dir),
                ];
                write("nsd.conf", &for_each(&filled(&read("nsd.conf"), &pairs.each_ref().map(|(a, b)| (*a, &b[..]))), zones));
            }
            Kind::Knot => {
                let pairs = [
                    ("192.0.2.53@53", format!("127.0.0.1@{here}")),
                    ("192.0.2.1@53", format!("127.0.0.1@{there}")),
                    ("address: 192.0.2.1\n", "address: 127.0.0.1\n".into()),
                    ("    user: knot:knot\n", String::new()),
                    ("/var/lib/knot", dir.clone()),
                    ("/run/knot", dir),
                    ("udp-workers: 2", "udp-workers: 1".into()),
                    ("tcp-workers: 2", "tcp-workers: 1".into()),
                    ("journal-db-max-size: 4G", "journal-db-max-size: 256M".into()),
                ];
                write("knot.conf", &for_each(&filled(&read("knot.conf"), &pairs.each_ref().map(|(a, b)| (*a, &b[..]))), zones));
            }
            Kind::Bind => {
                let pairs = [
                    ("listen-on port 53 { 192.0.2.53; }", format!("listen-on port {here} {{ 127.0.0.1; }}")),
                    ("192.0.2.1 port 53", format!("127.0.0.1 port {there}")),
                    ("/var/cache/bind", dir.clone()),
                    ("/run/named", dir),
                ];
                write("named.conf", &for_each(&filled(&read("named.conf"), &pairs.each_ref().map(|(a, b)| (*a, &b[..]))), zones));
            }
            Kind::Powerdns => {
                let pairs = [
                    ("local-address=192.0.2.53", "local-address=127.0.0.1".into()),
                    ("local-port=53", format!("local-port={here}")),
                    ("allow-notify-from=192.0.2.1", "allow-notify-from=127.0.0.1".into()),
                    ("setuid=pdns\nsetgid=pdns\n", format!("module-dir={}/pdns\n", libraries().display())),
                    ("/var/lib/powerdns", dir.clone()),
                    ("/run/pdns", dir.clone()),
                ];
                write("pdns.conf", &filled(&read("pdns.conf"), &pairs.each_ref().map(|(a, b)| (*a, &b[..]))));
                let pairs = [("192.0.2.1:53", &format!("127.0.0.1:{there}")[..]), ("pdnsutil ", &format!("pdnsutil --config-dir={dir} "))];
                let commands = filled(&read("pdns-zone.sh"), &pairs);
                let path = format!("{}:{}", peers().join("root/usr/bin").display(), std::env::var("PATH").unwrap());
                let out = Command::new("sh")
                    .args(["-ec", &for_each(&commands, zones)])
                    .env("PATH", path)
                    .env("LD_LIBRARY_PATH", libraries())
                    .output()
                    .unwrap();
                assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            }
        }
    }

    pub fn start(&mut self) {
        let conf = |name: &str| self.dir().join(name).into_os_string();
        let mut command = match self.kind {
            Kind::Nsd => program("nsd"),
            Kind::Knot => program("knotd"),
            Kind::Bind => program("named"),
            Kind::Powerdns => program("pdns_server"),
        };
        match self.kind {
            Kind::Nsd => command.args(["-d".into(), "-c".into(), conf("nsd.conf")]),
            Kind::Knot => command.args(["-c".into(), conf("knot.conf")]),
            Kind::Bind => command.args(["-g".into(), "-n".into(), "1".into(), "-c".into(), conf("named.conf")]),
            Kind::Powerdns => command.arg(format!("--config-dir={}", self.dir().display())).args(["--daemon=no", "--guardian=no", "--receiver-threads=1", "--loglevel=6"]),
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir().join("log")).unwrap();
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).current_dir(self.dir()).spawn().unwrap());
    }

    /// Ends it in order, so that none of its own children stays.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(10);
        while child.try_wait().is_ok_and(|s| s.is_none()) {
            if Instant::now() > until {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        let log = fs::read(self.dir().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log[log.floor_char_boundary(log.len().saturating_sub(6000))..].to_string()
    }

    /// Waits until it has a zone at a serial.
    pub fn at(&self, zone: &str, serial: u32, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let has = wire::serial(self.addr, zone);
            if has == Some(serial) {
                return;
            }
            assert!(Instant::now() < until, "{:?} has {zone} at {has:?}, not {serial}:\n{}", self.kind, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
