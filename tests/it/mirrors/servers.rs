//! Name servers as mirrors, with the documented configurations.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{proxy::Proxy, wire};
use crate::{
    lab::free_port,
    peers::{self, peers},
};

/// The key in the documentation and in the tests.
pub const SECRET: &str = "Y2hhbmdlIG1lOiBtYWtlIG9uZSB3aXRoIG9yYnNkIGs=";
/// The line that separates the part of a configuration that is used once from the part for each
/// zone.
const EACH: &str = "One such block for each zone.\n";
/// The zone in the documentation.
const SHOWN: &str = "relays.orbs.example";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nsd,
    Knot,
    Bind,
    Powerdns,
}

pub const ALL: [Kind; 4] = [Kind::Nsd, Kind::Knot, Kind::Bind, Kind::Powerdns];

/// A mirror, with a proxy of its own.
pub struct Mirror {
    pub kind: Kind,
    pub addr: SocketAddr,
    pub wire: Proxy,
    /// The port of BIND's control channel.
    control: u16,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns the command of a program of `make peers`, without input.
pub fn program(name: &str) -> Command {
    let mut command = peers::program(name);
    command.stdin(Stdio::null());
    command
}

/// Returns the folder of the libraries of the unpacked programs.
fn libraries() -> PathBuf {
    peers().join(format!("root/usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}

/// Returns a documented text with the values of this machine. Each replaced text must occur.
fn filled(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(
            text.contains(from),
            "the documentation's configuration has no `{from}`"
        );
        text.replace(from, to)
    })
}

/// Repeats the part below the line for each zone.
fn for_each(text: &str, zones: &[&str]) -> String {
    let (once, each) = text.split_once(EACH).unwrap();
    let blocks: Vec<String> = zones.iter().map(|z| filled(each, &[(SHOWN, z)])).collect();
    format!("{once}{EACH}{}", blocks.join("\n"))
}

/// The parts of a documented file that depend on this machine.
type Pairs = Vec<(&'static str, String)>;

impl Kind {
    /// The configuration, the file of its catalog, and the replacements.
    fn files(self) -> (&'static str, &'static str) {
        match self {
            Kind::Nsd => ("nsd.conf", ""),
            Kind::Knot => ("knot.conf", "knot-catalog.conf"),
            Kind::Bind => ("named.conf", "named-catalog.conf"),
            Kind::Powerdns => ("pdns-zone.sh", "pdns-catalog.sh"),
        }
    }

    /// The address of the primary, in the documentation and here. It is the same in the parts for
    /// zones and for the catalog.
    fn primary(self, port: u16) -> (&'static str, String) {
        match self {
            Kind::Nsd | Kind::Knot => ("192.0.2.1@53", format!("127.0.0.1@{port}")),
            Kind::Bind => ("192.0.2.1 port 53", format!("127.0.0.1 port {port}")),
            Kind::Powerdns => ("192.0.2.1:53", format!("127.0.0.1:{port}")),
        }
    }

    fn pairs(self, dir: &str, here: SocketAddr, control: u16) -> Pairs {
        let listen = format!("{}@{}", here.ip(), here.port());
        match self {
            Kind::Nsd => vec![
                ("192.0.2.53@53", listen),
                ("192.0.2.1 ", "127.0.0.1 ".into()),
                ("username: nsd", "username: \"\"".into()),
                ("/var/lib/nsd", dir.into()),
                ("/run/nsd", dir.into()),
            ],
            Kind::Knot => vec![
                ("192.0.2.53@53", listen),
                ("address: 192.0.2.1\n", "address: 127.0.0.1\n".into()),
                ("    user: knot:knot\n", String::new()),
                ("/var/lib/knot", dir.into()),
                ("/run/knot", dir.into()),
                ("udp-workers: 2", "udp-workers: 1".into()),
                ("tcp-workers: 2", "tcp-workers: 1".into()),
                (
                    "journal-db-max-size: 4G",
                    "journal-db-max-size: 256M".into(),
                ),
            ],
            Kind::Bind => vec![
                (
                    "listen-on port 53 { 192.0.2.53; }",
                    format!("listen-on port {} {{ {}; }}", here.port(), here.ip()),
                ),
                ("/var/cache/bind", dir.into()),
                ("/run/named", dir.into()),
                (
                    "controls { };",
                    format!(
                        "controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ \"mirror\"; }}; }};"
                    ),
                ),
            ],
            Kind::Powerdns => vec![("pdnsutil ", format!("pdnsutil --config-dir={dir} "))],
        }
    }
}

/// Reads the documented file.
fn shown(name: &str) -> String {
    fs::read_to_string(format!("docs/mirrors/{name}")).unwrap()
}

impl Mirror {
    /// Prepares a mirror of the primary at `ours`. [`Mirror::start`] starts it.
    pub fn new(kind: Kind, ours: SocketAddr, zones: &[&str]) -> Mirror {
        Mirror::at(kind, ([127, 0, 0, 1], free_port()).into(), ours, zones)
    }

    /// As [`Mirror::new`], at an address. PowerDNS is always at 127.0.0.1.
    pub fn at(kind: Kind, addr: SocketAddr, ours: SocketAddr, zones: &[&str]) -> Mirror {
        Mirror::make(kind, addr, ours, |text| for_each(&text, zones))
    }

    /// Prepares a mirror at an address that knows only the catalog.
    pub fn with_catalog(kind: Kind, addr: SocketAddr, ours: SocketAddr) -> Mirror {
        Mirror::make(kind, addr, ours, |text| {
            let (once, _) = text.split_once(EACH).unwrap();
            let once = once.trim_end().trim_end_matches(['#', '/']);
            let catalog = shown(kind.files().1);
            let Some((options, zone)) = catalog.split_once("// In place of") else {
                return format!("{once}\n{catalog}");
            };
            // The configuration of BIND has a part within another.
            let before = "    zone-statistics none;\n";
            format!(
                "{}\n// In place of{zone}",
                filled(once, &[(before, &format!("{before}{options}"))])
            )
        })
    }

    /// NSD before 4.9 does not support catalogs; it includes the file `zones`.
    pub fn with_include(addr: SocketAddr, ours: SocketAddr, zones: &Path) -> Mirror {
        let include = format!("include: \"{}\"\n", zones.display());
        Mirror::make(Kind::Nsd, addr, ours, |text| {
            format!(
                "{}\n{include}",
                text.split_once(EACH)
                    .unwrap()
                    .0
                    .trim_end()
                    .trim_end_matches('#')
            )
        })
    }

    /// Runs `nsd-control`.
    pub fn control(&self, command: &str) {
        let out = program("nsd-control")
            .arg("-c")
            .arg(self.dir().join("nsd.conf"))
            .arg(command)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// Forces a transfer of a zone whatever its serial, by the printed command.
    pub fn force_transfer(&self, zone: &str) {
        let software = match self.kind {
            Kind::Nsd => "NSD",
            Kind::Knot => "Knot",
            Kind::Bind => "BIND",
            Kind::Powerdns => "PowerDNS",
        };
        let (_, command) = orbsd::model::serial::forced_transfers(zone)
            .into_iter()
            .find(|c| c.0 == software)
            .unwrap();
        let mut words = command.split(' ');
        let mut run = program(words.next().unwrap());
        match self.kind {
            Kind::Nsd => run.arg("-c").arg(self.dir().join("nsd.conf")),
            Kind::Knot => run.arg("-c").arg(self.dir().join("knot.conf")),
            Kind::Powerdns => run.arg(format!("--config-dir={}", self.dir().display())),
            Kind::Bind => {
                let key = self.dir().join("rndc.key");
                fs::write(
                    &key,
                    format!("key \"mirror\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n"),
                )
                .unwrap();
                run.args([
                    "-s",
                    "127.0.0.1",
                    "-p",
                    &self.control.to_string(),
                    "-y",
                    "mirror",
                    "-k",
                ])
                .arg(key)
            }
        };
        let out = run.args(words).output().unwrap();
        assert!(
            out.status.success(),
            "{command}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }

    fn make(
        kind: Kind,
        addr: SocketAddr,
        ours: SocketAddr,
        whole: impl FnOnce(String) -> String,
    ) -> Mirror {
        let mirror = Mirror {
            kind,
            addr,
            wire: Proxy::to(ours),
            control: free_port(),
            dir: tempfile::tempdir().unwrap(),
            child: None,
        };
        let dir = mirror.dir().to_str().unwrap().to_string();
        let (from, to) = kind.primary(mirror.wire.addr.port());
        let text = filled(&whole(shown(kind.files().0)), &[(from, &to)]);
        let pairs = kind.pairs(&dir, addr, mirror.control);
        let text = filled(
            &text,
            &pairs.iter().map(|(a, b)| (*a, &b[..])).collect::<Vec<_>>(),
        );
        match kind {
            Kind::Powerdns => mirror.commands(&text),
            _ => fs::write(mirror.dir().join(kind.files().0), text).unwrap(),
        }
        mirror
    }

    /// PowerDNS stores its zones in a database, which the documented commands fill.
    fn commands(&self, commands: &str) {
        let (dir, port) = (self.dir().display(), self.addr.port());
        let pairs = [
            ("local-address=192.0.2.53", "local-address=127.0.0.1"),
            ("local-port=53", &format!("local-port={port}")),
            ("allow-notify-from=192.0.2.1", "allow-notify-from=127.0.0.1"),
            (
                "setuid=pdns\nsetgid=pdns\n",
                &format!("module-dir={}/pdns\n", libraries().display()),
            ),
            ("/var/lib/powerdns", &dir.to_string()),
            ("/run/pdns", &dir.to_string()),
        ];
        fs::write(
            self.dir().join("pdns.conf"),
            filled(&shown("pdns.conf"), &pairs),
        )
        .unwrap();
        let path = format!(
            "{}:{}",
            peers().join("root/usr/bin").display(),
            std::env::var("PATH").unwrap()
        );
        let out = Command::new("sh")
            .args(["-ec", commands])
            .env("PATH", path)
            .env("LD_LIBRARY_PATH", libraries())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
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
            Kind::Bind => command.args([
                "-g".into(),
                "-n".into(),
                "1".into(),
                "-c".into(),
                conf("named.conf"),
            ]),
            Kind::Powerdns => command
                .arg(format!("--config-dir={}", self.dir().display()))
                .args([
                    "--daemon=no",
                    "--guardian=no",
                    "--receiver-threads=1",
                    "--loglevel=6",
                ]),
        };
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir().join("log"))
            .unwrap();
        self.child = Some(
            command
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .current_dir(self.dir())
                .spawn()
                .unwrap(),
        );
    }

    /// Stops the server in order, so that none of its children stays.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let _ = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        let until = Instant::now() + Duration::from_secs(10);
        while child.try_wait().is_ok_and(|s| s.is_none()) {
            if Instant::now() > until {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the end of its log, without the lines about each NOTIFY.
    pub fn log(&self) -> String {
        let log = fs::read(self.dir().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().filter(|l| !l.contains("notify for")).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Waits until it has a zone at the serial of the primary.
    pub fn in_step(&self, zone: &str, ours: SocketAddr, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let (has, want) = (wire::serial(self.addr, zone), wire::serial(ours, zone));
            if has == want && want.is_some() {
                return;
            }
            assert!(
                Instant::now() < until,
                "{:?} has {zone} at {has:?}, not {want:?}:\n{}",
                self.kind,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
