//! Hostile clients that hold connections: other clients, mirrors, the tester and the store are
//! still served.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{Request, body::Bytes};
use orbsd::dns::tsig::TsigSession;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{sleep, timeout},
};

use crate::{
    api::Api,
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, free_port, query, read_tcp, shown},
    relay::{
        RelayLab,
        mta::{MtaBehavior, connect},
        v4,
    },
    transports::Secure,
};

/// The time within which other clients have to be served.
const SERVICE_TIME: Duration = Duration::from_secs(2);

/// Connections of hostile clients, until this value is dropped.
struct Attack(Option<tokio::runtime::Runtime>);

impl Attack {
    /// Starts an attack: each source holds `each` connections, and sends `payload` on each, again
    /// after each pause, or once without a pause. A closed connection is opened again after two
    /// seconds.
    fn start(
        to: SocketAddr,
        sources: &[IpAddr],
        each: usize,
        payload: &[u8],
        pause: Option<Duration>,
    ) -> Attack {
        let _ = orbsd::server::sys::raise_file_limit();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        for source in sources {
            for _ in 0..each {
                runtime.spawn(hold(to, *source, payload.to_vec(), pause));
            }
        }
        Attack(Some(runtime))
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn hold(to: SocketAddr, source: IpAddr, payload: Vec<u8>, pause: Option<Duration>) {
    loop {
        let _ = session(to, source, &payload, pause).await;
        sleep(Duration::from_secs(2)).await;
    }
}

async fn session(
    to: SocketAddr,
    source: IpAddr,
    payload: &[u8],
    pause: Option<Duration>,
) -> std::io::Result<()> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    let mut stream = socket.connect(to).await?;
    let mut buffer = [0; 512];
    loop {
        stream.write_all(payload).await?;
        let until = tokio::time::Instant::now() + pause.unwrap_or(Duration::from_secs(3600));
        while let Ok(read) = tokio::time::timeout_at(until, stream.read(&mut buffer)).await {
            if read? == 0 {
                return Ok(());
            }
        }
    }
}

/// Returns the number of open connections of a listener.
fn open_connections(f: &Folder, listener: &str) -> u64 {
    f.json(&["status", "--json"])["connections"][listener]["open"]
        .as_u64()
        .unwrap()
}

fn framed(query: &[u8]) -> Vec<u8> {
    [&(query.len() as u16).to_be_bytes()[..], query].concat()
}

/// Sends a query over TCP from an address. Returns the answer and the time that it took.
fn ask(to: SocketAddr, from: IpAddr, query: &[u8]) -> (Option<Vec<u8>>, Duration) {
    let begun = Instant::now();
    let answer = connect(from, to).ok().and_then(|mut s| {
        s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        s.write_all(&framed(query)).ok()?;
        read_tcp(&mut s)
    });
    (answer, begun.elapsed())
}

/// Asserts that queries of another client and transfers of a mirror are answered in time.
fn assert_others_are_served(to: SocketAddr, client: IpAddr, mirror: IpAddr) {
    // Wait until the attack holds all connections that it can get.
    std::thread::sleep(Duration::from_millis(2500));
    for round in 0..6 {
        let (answer, elapsed) = ask(to, client, &query("2.0.0.127.bl.orbs.example", 1, true));
        assert_eq!(
            answer.map(|a| shown(&a)).as_deref(),
            Some("NOERROR 127.0.0.2 127.0.0.3"),
            "{round}: after {elapsed:?}"
        );
        assert!(elapsed < SERVICE_TIME, "{round}: {elapsed:?}");
        let (zone, elapsed) = ask(to, mirror, &query("bl.orbs.example", 252, false));
        let zone = zone.unwrap_or_else(|| panic!("{round}: no transfer after {elapsed:?}"));
        assert!(
            zone[3] & 15 == 0 && u16::from_be_bytes([zone[6], zone[7]]) > 2,
            "{round}: {}",
            shown(&zone)
        );
        assert!(elapsed < SERVICE_TIME, "{round}: {elapsed:?}");
        std::thread::sleep(Duration::from_millis(150));
    }
}

fn folder(config: &str, allow: &str) -> Folder {
    Folder::with(
        &format!("{CONFIG}{config}"),
        &[
            ("bl", &format!("{ZONE}[transfer]\nallow = [{allow}]\n")),
            ("dbl", DOMAINS),
        ],
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The pause between queries on a busy connection. Once, such a connection kept its slot for as
/// long as a connection may live.
const BUSY: Option<Duration> = Some(Duration::from_millis(400));

#[test]
fn forty_addresses_of_one_network_do_not_block_other_clients() {
    let f = folder("", "'127.0.0.0/8'");
    let _daemon = Daemon::start(&f);
    let attackers: Vec<IpAddr> = (1..=40).map(|n| [127, 9, 1, n].into()).collect();
    let busy = framed(&query("1.2.3.4.bl.orbs.example", 1, true));
    let _attack = Attack::start(f.addr(), &attackers, 20, &busy, BUSY);
    assert_others_are_served(f.addr(), ip("127.77.0.1"), ip("127.77.0.2"));
    // Clients of the same network are served too.
    assert_others_are_served(f.addr(), ip("127.9.1.200"), ip("127.9.1.201"));
    let open = open_connections(&f, "dns");
    assert!((200..=258).contains(&open), "{open}");
}

#[test]
fn many_networks_at_the_limit_do_not_block_other_clients() {
    for (payload, pause, allow) in [
        (
            framed(&query("1.2.3.4.bl.orbs.example", 1, true)),
            BUSY,
            "'127.0.0.0/8'",
        ),
        (
            framed(&query("1.2.3.4.bl.orbs.example", 1, true)),
            BUSY,
            "'127.77.0.2'",
        ),
        (vec![0, 30, 1], None, "'127.0.0.0/8'"),
        (vec![], None, "'127.0.0.0/8'"),
    ] {
        let f = folder("[connections]\ndns = 256\n", allow);
        let _daemon = Daemon::start(&f);
        let attackers: Vec<IpAddr> = (0..96)
            .map(|n| [127, 10 + n / 4, n % 4, 1].into())
            .collect();
        let _attack = Attack::start(f.addr(), &attackers, 4, &payload, pause);
        assert_others_are_served(f.addr(), ip("127.77.0.1"), ip("127.77.0.2"));
        let open = open_connections(&f, "dns");
        assert!((200..=256).contains(&open), "{payload:?}: {open}");
    }
}

/// Set in the process that runs a test in a network namespace.
const IN_NAMESPACE: &str = "ORBSD_TEST_IN_NAMESPACE";

/// Runs a test of this file in a network namespace of its own. Returns false in the process that
/// runs there.
fn ran_in_namespace(test: &str) -> bool {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        return false;
    }
    let root = std::fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
        .unwrap();
    let out = Command::new("unshare")
        .args(if root { &["-n"][..] } else { &["-rn"] })
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(IN_NAMESPACE, "1")
        .output()
        .unwrap();
    let output =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && output.contains("1 passed"),
        "{output}"
    );
    true
}

#[test]
fn thirty_three_subnets_of_an_ipv6_network_do_not_block_other_clients() {
    if ran_in_namespace(
        "connections::thirty_three_subnets_of_an_ipv6_network_do_not_block_other_clients",
    ) {
        return;
    }
    let ip_command = |args: &[&str]| {
        assert!(
            Command::new("ip").args(args).status().unwrap().success(),
            "{args:?}"
        );
    };
    ip_command(&["link", "set", "lo", "up"]);
    let attackers: Vec<IpAddr> = (0..33)
        .map(|n| ip(&format!("2001:db8:0:40{n:02x}::1")))
        .collect();
    let others = [
        "2001:db9::53",
        "2001:db9:1::1",
        "2001:db9:2::1",
        "2001:db8:0:40ff::1",
        "2001:db8:0:40fe::1",
    ]
    .map(ip);
    for addr in attackers.iter().chain(&others) {
        ip_command(&[
            "-6",
            "addr",
            "add",
            &format!("{addr}/128"),
            "dev",
            "lo",
            "nodad",
        ]);
    }
    let config = CONFIG.replace(
        "[\"127.0.0.1:PORT\"]",
        "[\"127.0.0.1:PORT\", \"[::]:PORT\"]",
    );
    let f = Folder::with(
        &config,
        &[
            ("bl", &format!("{ZONE}[transfer]\nallow = ['::/0']\n")),
            ("dbl", DOMAINS),
        ],
    );
    let _daemon = Daemon::start(&f);
    let to = SocketAddr::new(others[0], f.port);
    let busy = framed(&query("1.2.3.4.bl.orbs.example", 1, true));
    let _attack = Attack::start(to, &attackers, 16, &busy, BUSY);
    assert_others_are_served(to, others[1], others[2]);
    // Clients of the same network are served too.
    assert_others_are_served(to, others[3], others[4]);
    let open = open_connections(&f, "dns");
    assert!((200..=258).contains(&open), "{open}");
}

/// A request for a whole zone, signed with a key.
fn signed_axfr(key: Arc<orbsd::model::TsigKey>) -> Vec<u8> {
    let mut request = query("bl.orbs.example", 252, false);
    let len = request.len();
    request.resize(512, 0);
    let (_, end) = TsigSession::request(key, &mut request, len, orbsd::clock::wall()).unwrap();
    request.truncate(end);
    request
}

/// Whether an address keeps its connection while other addresses of its network use up the share of
/// the network.
fn keeps_connection(f: &Folder, addr: IpAddr) -> bool {
    let soa = framed(&query("bl.orbs.example", 6, true));
    let mut kept = connect(addr, f.addr()).unwrap();
    let mut exchange = || kept.write_all(&soa).is_ok() && read_tcp(&mut kept).is_some();
    assert!(exchange());
    let attackers: Vec<IpAddr> = (1..=20).map(|n| [127, 9, 1, n].into()).collect();
    let _attack = Attack::start(f.addr(), &attackers, 4, &soa, BUSY);
    std::thread::sleep(Duration::from_millis(2500));
    exchange()
}

/// All addresses may transfer this zone, and one client has a key. Only the client with the key
/// gets reserved slots.
#[test]
fn transfer_with_a_key_reserves_slots_across_a_restart_and_one_by_a_wide_prefix_does_not() {
    let f = folder("[connections]\ndns = 64\n", "");
    let made = f.json(&["key", "create", "mirror.example", "--json"]);
    let config = format!(
        "{CONFIG}[connections]\ndns = 64\n{}",
        made["lines"]["orbsd_config"].as_str().unwrap()
    );
    f.write("config.toml", &config.replace("PORT", &f.port.to_string()));
    f.write(
        "zones/bl.toml",
        &format!("{ZONE}[transfer]\nallow = ['0.0.0.0/0', 'key:mirror.example']\n"),
    );
    let key = f
        .config()
        .ledger
        .keys
        .get("mirror.example")
        .unwrap()
        .clone();
    let daemon = Daemon::start(&f);
    let (mirror, stranger) = (ip("127.9.1.250"), ip("127.9.1.251"));
    assert!(ask(f.addr(), mirror, &signed_axfr(key)).0.is_some());
    assert!(
        ask(f.addr(), stranger, &query("bl.orbs.example", 252, false))
            .0
            .is_some()
    );
    assert!(daemon.stop().success());
    let _daemon = Daemon::start(&f);
    assert!(keeps_connection(&f, mirror));
    assert!(!keeps_connection(&f, stranger));
}

/// Sends an HTTP request from an address. Returns the first line of the response and the time that
/// it took.
fn http(to: SocketAddr, from: IpAddr, request: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut text = String::new();
    if let Ok(mut s) = connect(from, to) {
        s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = s
            .write_all(request.as_bytes())
            .and_then(|()| s.read_to_string(&mut text).map(drop));
    }
    (text.lines().next().unwrap_or("").into(), begun.elapsed())
}

#[test]
fn twenty_addresses_do_not_block_the_http_listeners() {
    let web: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let api = Api::with(&format!("{CONFIG}[web]\nlisten = \"{web}\"\n"));
    let attackers: Vec<IpAddr> = (0..20)
        .map(|n| [127, 20 + n % 5, 0, n + 1].into())
        .collect();
    let ask = |from: &str, path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
            api.owner
        )
    };
    for payload in [
        "GET /lookup HTTP/1.1\r\nx: ",
        "POST /claims HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        "",
    ] {
        for (to, path) in [(web, "/lookup?subject=45.1.1.1"), (api.addr, "/v1/reasons")] {
            let _attack = Attack::start(to, &attackers, 64, payload.as_bytes(), None);
            let until = Instant::now() + Duration::from_secs(10);
            while open_connections(&api.f, if to == web { "web" } else { "admin" }) < 500 {
                assert!(
                    Instant::now() < until,
                    "{}",
                    api.f.json(&["status", "--json"])["connections"]
                );
                std::thread::sleep(Duration::from_millis(100));
            }
            for _ in 0..3 {
                for from in ["127.99.0.1", "127.20.0.200"] {
                    let (status, elapsed) = http(to, ip(from), &ask(from, path));
                    assert!(
                        status.contains("200 OK") && elapsed < SERVICE_TIME,
                        "{payload:?}, {to}: {status:?} after {elapsed:?}"
                    );
                }
            }
        }
    }
}

/// Issue 17: the pages of the public site, with bodies of pasted bounces that come slowly.
#[test]
fn ten_thousand_connections_with_slow_bodies_do_not_block_the_pages() {
    let web: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let api = Api::with(&format!("{CONFIG}[web]\nlisten = \"{web}\"\n"));
    let attackers: Vec<IpAddr> = (0..2000u16)
        .map(|n| [127, 20 + (n / 200) as u8, (n % 200) as u8, 1].into())
        .collect();
    // After the first time, the payload is a part of the body.
    let payload = b"POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\n";
    for pause in [None, Some(Duration::from_secs(3))] {
        let _attack = Attack::start(web, &attackers, 5, payload, pause);
        let until = Instant::now() + Duration::from_secs(20);
        while open_connections(&api.f, "web") < 900 {
            assert!(Instant::now() < until, "the attack does not begin");
            std::thread::sleep(Duration::from_millis(100));
        }
        for n in 0..5 {
            for path in ["/", "/lookup?subject=45.1.1.1"] {
                let from = format!("127.{}.0.9", 90 + n);
                let request = format!(
                    "GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/html\r\nconnection: close\r\n\r\n"
                );
                // The attack and the server share the cores of this machine: 9,000 connections are
                // refused and opened again every two seconds.
                let served = (0..3).any(|_| {
                    let (status, elapsed) = http(web, ip(&from), &request);
                    status.contains("200 OK") && elapsed < 2 * SERVICE_TIME
                });
                assert!(served, "{path} for {from}");
            }
        }
    }
}

/// Pipelines requests, and reads 8 KiB of the answers every 0.4 s, until the connection is closed.
async fn read_slowly(to: SocketAddr, source: IpAddr, requests: Vec<u8>) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind(SocketAddr::new(source, 0))?;
    let (mut reader, mut writer) = socket.connect(to).await?.into_split();
    tokio::spawn(async move { while writer.write_all(&requests).await.is_ok() {} });
    let mut buffer = [0; 8192];
    while reader.read(&mut buffer).await? > 0 {
        sleep(Duration::from_millis(400)).await;
    }
    Ok(())
}

/// Once, all connections made progress within each second, so that no slot was given to other
/// clients.
#[test]
fn pipelined_requests_that_are_read_slowly_cannot_keep_others_out() {
    let web: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let api = Api::with(&format!(
        "{CONFIG}[web]\nlisten = \"{web}\"\n[connections]\nweb = 64\nadmin = 64\n"
    ));
    let request = |path: &str, from: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {from}\r\nauthorization: Bearer {}\r\n",
            api.owner
        )
    };
    for (to, path) in [
        (web, "/lookup?subject=45.51.1.1"),
        (api.addr, "/v1/reasons"),
    ] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let payload = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(200);
        for n in 0..16u8 {
            for _ in 0..5 {
                let (payload, source) = (
                    payload.clone().into_bytes(),
                    [127, 20 + n % 4, n % 2, n + 1].into(),
                );
                runtime.spawn(async move {
                    loop {
                        let _ = read_slowly(to, source, payload.clone()).await;
                        sleep(Duration::from_millis(500)).await;
                    }
                });
            }
        }
        std::thread::sleep(Duration::from_millis(2500));
        for n in 0..10 {
            let from = format!("127.{}.0.1", 99 + n);
            let (status, elapsed) = http(
                to,
                ip(&from),
                &(request(path, &from) + "connection: close\r\n\r\n"),
            );
            assert!(
                status.contains("200 OK") && elapsed < SERVICE_TIME,
                "{to}, {n}: {status:?} after {elapsed:?}"
            );
        }
        runtime.shutdown_background();
    }
}

/// Holds a connection with one answer that is never read, and a short one every 0.6 s.
async fn hold_stuck_stream(s: &Secure, source: Ipv4Addr) -> Option<()> {
    let stream = s.tls(s.doh, "h2", source).await?;
    let (mut send, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await
        .ok()?;
    tokio::spawn(connection);
    let path = data_encoding::BASE64URL_NOPAD.encode(&query("1.2.3.4.bl.orbs.example", 1, true));
    let uri = format!("https://ns.orbs.example/dns-query?dns={path}");
    let request = |method: &str| {
        Request::builder()
            .method(method)
            .uri(&uri)
            .body(())
            .unwrap()
    };
    let _stuck = send.send_request(request("GET"), true).ok()?.0.await.ok()?;
    loop {
        send = send.ready().await.ok()?;
        send.send_request(request("HEAD"), true)
            .ok()?
            .0
            .await
            .ok()?;
        sleep(Duration::from_millis(600)).await;
    }
}

/// Once, each answer that was read renewed the protection of one that was not.
#[test]
fn stalled_http2_streams_cannot_keep_others_out() {
    let s = Secure::with("[connections]\ndns = 64\n");
    let _daemon = s.listed();
    let s = Arc::new(s);
    for n in 0..32u8 {
        for _ in 0..3 {
            let (secure, source) = (s.clone(), Ipv4Addr::new(127, 20 + n % 16, n, 1));
            s.runtime.spawn(async move {
                loop {
                    hold_stuck_stream(&secure, source).await;
                    sleep(Duration::from_millis(500)).await;
                }
            });
        }
    }
    std::thread::sleep(Duration::from_millis(4000));
    assert!(open_connections(&s.folder, "dns") > 50);
    for n in 0..10 {
        let (answer, elapsed) = ask(
            s.folder.addr(),
            [127, 99 + n, 0, 1].into(),
            &query("2.0.0.127.bl.orbs.example", 1, true),
        );
        assert!(
            answer.is_some() && elapsed < SERVICE_TIME,
            "{n}: {elapsed:?}"
        );
    }
}

#[test]
fn idle_smtp_sessions_of_168_addresses_do_not_stop_the_tester() {
    let f = RelayLab::new("\n[connections]\ncollector = 512\n");
    let mta = f.mta(
        v4(7, 1),
        "h7",
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    // 42 networks with 4 addresses each, in 14 wide networks. One half sends commands, the other
    // half is silent.
    let attackers: Vec<IpAddr> = (0..168u8)
        .map(|n| [127, 128 + n / 12, n / 4 % 3, n % 4 + 1].into())
        .collect();
    let (silent, speaking) = attackers.split_at(84);
    let _silent = Attack::start(f.collector, silent, 4, b"", None);
    let _speaking = Attack::start(f.collector, speaking, 4, b"NOOP\r\n", BUSY);
    std::thread::sleep(Duration::from_millis(2500));
    for _ in 0..3 {
        let begun = Instant::now();
        let mut s = connect(ip("127.99.0.1"), f.collector).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut text = [0; 3];
        s.read_exact(&mut text).unwrap();
        assert!(
            &text == b"220" && begun.elapsed() < SERVICE_TIME,
            "{:?}",
            begun.elapsed()
        );
    }
    let begun = Instant::now();
    let job = f.done(f.nominate(v4(7, 1), &json!({"tests": ["plain"]})));
    assert_eq!(job["assessment"], "open", "{job:#}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let status = f.api.get("/v1/status").ok();
    assert!(status["tester"]["problem"].is_null(), "{status}");
    let sessions = &status["connections"]["collect"];
    assert!(
        sessions["open"].as_u64().unwrap() > 400 && sessions["shed"].as_u64().unwrap() > 0,
        "{sessions}"
    );
    drop(mta);
}

#[test]
fn client_connections_leave_file_descriptors_to_the_store() {
    let collector: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let admin: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let reasons: String = ["input", "output", "unconfirmed", "notest"]
        .map(|n| format!("[[reason]]\nname = \"{n}\"\ntext = \"{n} $\"\n"))
        .concat();
    let config = CONFIG.replace("listen = \"\"", &format!("listen = \"{admin}\""));
    let f = Folder::with(
        &format!(
            "{config}{reasons}[probe]\ndomain = \"probe.example\"\n[collector]\nlisten = [\"{collector}\"]\n"
        ),
        &[("bl", ZONE), ("dbl", DOMAINS)],
    );
    let log = std::fs::File::create(f.path().join("log")).unwrap();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 256 && exec \"$0\" serve",
            env!("CARGO_BIN_EXE_orbsd"),
        ])
        .current_dir(f.path());
    let daemon = Daemon(command.stderr(log).stdin(Stdio::null()).spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    while ask(
        f.addr(),
        ip("127.77.0.1"),
        &query("2.0.0.127.bl.orbs.example", 1, true),
    )
    .0
    .is_none()
    {
        assert!(Instant::now() < until, "{}", f.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        f.log().contains("may open 256 files") && f.log().contains("dns 2048 to"),
        "{}",
        f.log()
    );
    let attackers: Vec<IpAddr> = (0..100).map(|n| [127, 100 + n, 0, 1].into()).collect();
    let _attacks =
        [f.addr(), admin, collector].map(|to| Attack::start(to, &attackers, 2, b"", None));
    std::thread::sleep(Duration::from_millis(1500));
    let list: String = (0..20_000u32)
        .map(|n| format!("45.{}.{}.{}\n", n / 65_536, n / 256 % 256, n % 256))
        .collect();
    f.write("list.txt", &list);
    for mode in ["replace", "add"] {
        f.ok(&[
            "import", "--source", "xbl", "--reason", "relay", "--mode", mode, "list.txt",
        ]);
    }
    f.ok(&["backup", "copy"]);
    let (answer, elapsed) = ask(
        f.addr(),
        ip("127.77.0.1"),
        &query("7.1.0.45.bl.orbs.example", 1, true),
    );
    assert!(answer.is_some() && elapsed < SERVICE_TIME, "{elapsed:?}");
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.0.id()))
        .unwrap()
        .count();
    assert!(open < 240, "{open} of 256 files are open");
    assert!(!f.log().contains("Too many open files"), "{}", f.log());
}

#[test]
fn permits_are_returned_when_connections_close() {
    let f = folder("[connections]\ndns = 64\n", "'127.0.0.0/8'");
    let daemon = Daemon::start(&f);
    let files = || {
        std::fs::read_dir(format!("/proc/{}/fd", daemon.0.id()))
            .unwrap()
            .count()
    };
    let before = files();
    let attackers: Vec<IpAddr> = (0..60).map(|n| [127, 100 + n, 0, 1].into()).collect();
    let attack = Attack::start(
        f.addr(),
        &attackers,
        2,
        &framed(&query("bl.orbs.example", 6, true)),
        BUSY,
    );
    let until = Instant::now() + Duration::from_secs(10);
    while open_connections(&f, "dns") < 55 || !(before + 50..=before + 70).contains(&files()) {
        assert!(
            Instant::now() < until,
            "{before}, {}, {}",
            files(),
            open_connections(&f, "dns")
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(attack);
    let until = Instant::now() + Duration::from_secs(5);
    while open_connections(&f, "dns") > 0 || files() > before + 5 {
        assert!(
            Instant::now() < until,
            "{before}, {}, {}",
            files(),
            open_connections(&f, "dns")
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        assert!(
            timeout(SERVICE_TIME, tokio::net::TcpStream::connect(f.addr()))
                .await
                .unwrap()
                .is_ok()
        );
    });
}
