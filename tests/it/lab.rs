//! The environment of tests: a ledger with its transports in this process, or the real daemon as a
//! child.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_proto::{op::Message, rr::RecordType};
use orbsd::{
    clock::{Clock, SystemTimeSource, TimeSource},
    config::Config,
    ledger::{self, Ledger, LedgerError, Receipt},
    model::Change,
    net::{ConnectionLimiter, Shares},
    server::{self, ServerContext},
    store::Store,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS13};

use crate::hickory::{Client, Transport};

pub const CONFIG: &str = r#"
[admin]
listen = ""
[dns]
listen = ["127.0.0.1:PORT"]
workers = 2
[[reason]]
name = "relay"
text = "Open relay, see https://orbs.example/$"
lifetime = "90d"
[[reason]]
name = "netblock"
text = "Netblock $"
[[reason]]
name = "spam"
text = "Spam $"
"#;

pub const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }, { reason = "netblock", code = "127.0.0.3" }]
"#;

pub const DOMAINS: &str = r#"
origin = "dbl.orbs.example"
kind = "domain"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "spam", code = "127.0.1.2" }]
"#;

pub const URIS: &str = r#"
origin = "ubl.orbs.example"
kind = "domain"
addresses = "both"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "uri", code = "127.0.1.8" }]
"#;

pub const DIGESTS: &str = r#"
origin = "ebl.orbs.example"
kind = "hash"
digest = "sha1-hex"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "drop-box", code = "127.0.1.6" }]
"#;

/// A zone of bit masks, with a TTL for one reason.
pub const MASKS: &str = r#"
origin = "mask.orbs.example"
kind = "address"
bitmask = true
txt = "all"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [
  { reason = "relay", code = "127.0.0.4" },
  { reason = "netblock", code = "127.0.0.64", ttl = "1m" },
]
"#;

/// A zone with delegations, with and without glue.
pub const DELEGATING: &str = r#"
origin = "top.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }]
[[record]]
name = "lab"
type = "NS"
data = "ns1.lab.top.orbs.example"
[[record]]
name = "lab"
type = "NS"
data = "ns.elsewhere.example"
[[record]]
name = "ns1.lab"
type = "A"
data = "192.0.2.53"
[[record]]
name = "ns1.lab"
type = "AAAA"
data = "2001:db8::53"
[[record]]
name = "x.far"
type = "NS"
data = "ns.elsewhere.example"
"#;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Submits a change, and waits until it is committed.
pub fn commit(ledger: &Ledger, change: Change) -> Result<Receipt, LedgerError> {
    block_on(async { ledger.submit(change).await?.receipt().await })
}

/// Reports to a ledger that a second has passed.
pub fn tick(ledger: &Ledger) {
    block_on(ledger.tick());
}

/// The clock of a ledger in this process: it starts with the wall clock.
pub fn clock() -> Clock {
    Clock::without_record(SystemTimeSource::default())
}

/// The clocks of this machine, ahead by what a test lets pass without waiting.
#[derive(Clone, Default)]
pub struct TestTime(Arc<AtomicU32>);

impl TestTime {
    /// Lets time pass.
    pub fn pass(&self, seconds: u32) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
    fn ahead_ms(&self) -> i64 {
        i64::from(self.0.load(Ordering::Relaxed)) * 1000
    }
}

impl TimeSource for TestTime {
    fn wall_ms(&self) -> i64 {
        SystemTimeSource::default().wall_ms() + self.ahead_ms()
    }
    fn boottime_ms(&self) -> i64 {
        SystemTimeSource::default().boottime_ms() + self.ahead_ms()
    }
    fn boot_id(&self) -> Option<String> {
        SystemTimeSource::default().boot_id()
    }
    fn is_synchronised(&self) -> bool {
        false
    }
}

/// Returns a port of this host that is free for both UDP and TCP. It is below the kernel's range
/// for clients, so that no client takes it before the server starts, and each port is returned once
/// in this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(std::process::id().wrapping_mul(61));
        let port = 11_000 + (n % 21_000) as u16;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            return port;
        }
    }
}

/// A folder with a configuration.
pub struct Folder {
    pub dir: tempfile::TempDir,
    pub port: u16,
    /// The time of its ledgers in this process.
    pub time: TestTime,
}

impl Folder {
    pub fn new() -> Folder {
        Folder::with(CONFIG, &[("bl", ZONE), ("dbl", DOMAINS)])
    }
    pub fn with(config: &str, zones: &[(&str, &str)]) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(
            dir.path().join("config.toml"),
            config.replace("PORT", &port.to_string()),
        )
        .unwrap();
        for (name, text) in zones {
            fs::write(dir.path().join(format!("zones/{name}.toml")), text).unwrap();
        }
        Folder {
            dir,
            port,
            time: TestTime::default(),
        }
    }
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
    pub fn config(&self) -> Config {
        Config::load(&self.path().join("config.toml")).unwrap()
    }
    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
    pub fn ledger(&self) -> Ledger {
        let config = self.config();
        ledger::open(
            Store::open(config.store.clone()).unwrap(),
            config.ledger,
            Clock::without_record(self.time.clone()),
            || (),
        )
        .map_err(|e| format!("{e:?}"))
        .unwrap()
    }
    /// Runs the command line. Returns the exit code and the output.
    pub fn orbsd(&self, args: &[&str]) -> Output {
        self.orbsd_with(args, "")
    }
    pub fn orbsd_with(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orbsd"))
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }
    /// Runs the command line, which has to succeed. Returns the output.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.orbsd(args);
        assert!(
            out.status.success(),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let out = self.orbsd(args);
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&out.stderr)))
    }
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
    /// Writes a program that everybody may run. Another process writes it: while this one has a
    /// file open for writing, a child that some other test starts at that moment has it open, too,
    /// and a program that is open for writing cannot be run.
    pub fn write_program(&self, name: &str, from: &Path) -> PathBuf {
        let path = self.path().join(name);
        let done = Command::new("install")
            .args(["-m", "755"])
            .args([from, &path])
            .status();
        assert!(done.unwrap().success(), "{}", path.display());
        path
    }
    /// The same with a text.
    pub fn write_script(&self, name: &str, text: &str) -> PathBuf {
        let draft = self.write(&format!("{name}.draft"), text);
        let path = self.write_program(name, &draft);
        fs::remove_file(draft).unwrap();
        path
    }
}

/// A child process that ends with the test, even if the test fails.
pub struct Daemon(pub Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// Starts the daemon and waits for its first answer.
    pub fn start(folder: &Folder) -> Daemon {
        let daemon = Daemon::spawn(folder);
        let until = Instant::now() + Duration::from_secs(20);
        while udp(
            folder.addr(),
            &query("2.0.0.127.bl.orbs.example", 1, true),
            Duration::from_millis(100),
        )
        .is_none()
        {
            assert!(
                Instant::now() < until,
                "the daemon does not answer: {}",
                folder.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }
    pub fn spawn(folder: &Folder) -> Daemon {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.path().join("log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_orbsd"))
            .arg("serve")
            .current_dir(folder.path())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        Daemon(child.unwrap())
    }
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }
    /// Stops the daemon in order, even if it was told to stop before.
    pub fn stop(mut self) -> std::process::ExitStatus {
        if self.0.try_wait().unwrap().is_none() {
            self.signal("TERM");
        }
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Folder {
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

/// Returns the files of a folder that contain some bytes.
pub fn files_with(folder: &std::path::Path, bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files_with(&path, bytes));
        } else if fs::read(&path)
            .unwrap_or_default()
            .windows(bytes.len())
            .any(|w| w == bytes)
        {
            out.push(path.display().to_string());
        }
    }
    out
}

pub fn query(name: &str, qtype: u16, edns: bool) -> Vec<u8> {
    let mut m = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for l in name.split('.').filter(|l| !l.is_empty()) {
        m.push(l.len() as u8);
        m.extend(l.as_bytes());
    }
    m.push(0);
    m.extend(qtype.to_be_bytes());
    m.extend([0, 1]);
    if edns {
        m.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    m
}

pub fn udp(to: SocketAddr, query: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let s = UdpSocket::bind(if to.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    })
    .unwrap();
    s.set_read_timeout(Some(patience)).unwrap();
    s.connect(to).unwrap();
    s.send(query).ok()?;
    let mut buf = vec![0; 4096];
    let n = s.recv(&mut buf).ok()?;
    buf.truncate(n);
    // While no server listens, a socket can get the same port that it queries, and then receives
    // its own query.
    (buf[2] & 0x80 != 0).then_some(buf)
}

pub fn tcp(to: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let mut s = TcpStream::connect(to).ok()?;
    s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    s.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())
        .ok()?;
    read_tcp(&mut s)
}

pub fn read_tcp(s: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    s.read_exact(&mut len).ok()?;
    let mut out = vec![0; usize::from(u16::from_be_bytes(len))];
    s.read_exact(&mut out).ok()?;
    Some(out)
}

/// An answer as text: the rcode and the data of the records; or `no data` with the SOA's TTL for
/// negative answers.
pub fn shown(reply: &[u8]) -> String {
    let m = Message::from_vec(reply).unwrap();
    let data: Vec<String> = m.answers.iter().map(|r| r.data.to_string()).collect();
    let rcode = format!("{:?}", m.metadata.response_code).to_uppercase();
    let rcode = if rcode == "NXDOMAIN" {
        "NXDOMAIN".to_string()
    } else {
        rcode
    };
    let authority = match m.authorities.first() {
        None => String::new(),
        Some(ns) if ns.record_type() == RecordType::NS => {
            let servers = m.authorities.iter().map(|r| r.data.to_string());
            let glue = m.additionals.iter();
            let glue = glue.map(|r| format!("{}={}", r.name, r.data));
            let all: Vec<String> = servers.chain(glue).collect();
            let authoritative = if m.metadata.authoritative { " aa" } else { "" };
            format!(" referral {} {}{authoritative}", ns.name, all.join(" "))
        }
        Some(soa) => format!(" soa {}", soa.ttl),
    };
    [rcode, data.join(" ")].join(" ").trim().to_string() + &authority
}

/// A ledger with UDP and TCP listeners in this process.
pub struct Lab {
    pub ledger: Ledger,
    pub shared: ServerContext,
    pub addr: SocketAddr,
    http3: Option<(SocketAddr, ClientConfig)>,
    folder: Folder,
    runtime: Option<tokio::runtime::Runtime>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Lab {
    pub fn new(folder: Folder) -> Lab {
        let ledger = folder.ledger();
        let shared = ServerContext::new(&ledger, None);
        let addr = folder.addr();
        let threads = (0..2).map(|i| {
            let socket = server::udp::bind(addr).unwrap();
            let shared = shared.clone();
            std::thread::spawn(move || {
                server::udp::run(&socket, &shared, &format!("udp-{i}")).unwrap();
            })
        });
        let threads = threads.collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _in = runtime.enter();
            server::tcp::bind(addr).unwrap()
        };
        let limiter = ConnectionLimiter::with_transfers(
            2048,
            64,
            &Shares::default(),
            std::sync::Arc::new(|_| false),
        );
        runtime.spawn(server::tcp::run(listener, shared.clone(), limiter));
        Lab {
            folder,
            ledger,
            shared,
            addr,
            http3: None,
            runtime: Some(runtime),
            threads,
        }
    }

    /// Lets time pass, and ends what is due.
    pub fn pass(&self, seconds: u32) {
        self.folder.time.pass(seconds);
        tick(&self.ledger);
        // Commands are carried out in order: what is due has ended when this one has its answer.
        let _ = self.ledger.verify_removals();
    }

    /// Also serves HTTP/3.
    pub fn with_http3(folder: Folder) -> Lab {
        let issued = rcgen::generate_simple_self_signed(["ns.orbs.example".into()]).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.write(name, text);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let certificates = server::Certificates::open(server::CertificateFiles {
            certificate: write("c.pem", &issued.cert.pem()),
            key: write("k.pem", &issued.signing_key.serialize_pem()),
            clients: None,
        })
        .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut lab = Lab::new(folder);
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let sockets = server::http3::bind(addr).unwrap();
        let served = server::http3::run(sockets, lab.shared.clone(), Arc::new(certificates));
        lab.runtime.as_ref().unwrap().spawn(served);
        lab.http3 = Some((addr, config));
        lab
    }

    /// The reply over HTTP/3, on a connection of its own.
    fn ask_http3(&self, addr: SocketAddr, config: &ClientConfig, query: &[u8]) -> String {
        let message = Message::from_vec(query).unwrap();
        let reply = self.runtime.as_ref().unwrap().block_on(async {
            let client = Client::connect(Transport::Http3, addr, config).await?;
            client.ask(&message).await
        });
        shown(&reply.unwrap().to_vec().unwrap())
    }

    /// Sends the same query over every transport; the answers have to agree.
    pub fn ask(&self, name: &str, qtype: u16) -> String {
        let q = query(name, qtype, true);
        let mut out = vec![0; orbsd::dns::TCP_SIZE];
        let peer = orbsd::dns::Peer::udp([127, 0, 0, 1].into());
        let snapshot = self.ledger.published.snapshot();
        let n = orbsd::dns::respond(&snapshot, &q, peer, orbsd::model::Time(0), &mut out).len;
        let pure = shown(&out[..n]);
        assert_eq!(
            shown(&udp(self.addr, &q, Duration::from_secs(5)).unwrap()),
            pure,
            "UDP"
        );
        assert_eq!(shown(&tcp(self.addr, &q).unwrap()), pure, "TCP");
        if let Some((addr, config)) = &self.http3 {
            assert_eq!(self.ask_http3(*addr, config, &q), pure, "HTTP/3");
        }
        pure
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shared
            .stop
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.threads.drain(..).for_each(|t| drop(t.join()));
        if let Some(r) = self.runtime.take() {
            r.shutdown_background();
        }
        let _ = self.ledger.stop();
    }
}
