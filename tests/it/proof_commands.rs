//! Proofs of control by real programs: the printed commands, and the printed record in Knot, which
//! unbound asks.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    lab::{free_port, query, udp},
    name_server::NameServer,
    peers::{peers, program},
    proofs::{Lab, option},
};

/// The addresses of the test's network, both of the site and of the listed host: what a host sends
/// to an address of its own comes from that address.
const ADDRESSES: [&str; 2] = ["45.51.100.7", "2a00:51::7"];
/// Set in the process that is in the network of the test.
const IN_NETWORK: &str = "ORBSD_TEST_NETWORK";

/// Runs a test of this file in a network of its own, where `lists.example` is this host. Returns
/// whether this process is in it; otherwise the test has been run.
fn is_in_network(test: &str) -> bool {
    if std::env::var_os(IN_NETWORK).is_some() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let [four, six] = ADDRESSES;
    let hosts = format!("127.0.0.1 localhost\n{four} lists.example\n{six} lists.example\n");
    fs::write(dir.path().join("hosts"), hosts).unwrap();
    let script = format!(
        "ip link set lo up; ip addr add {four}/32 dev lo; ip -6 addr add {six}/128 dev lo; mount --bind hosts /etc/hosts\n\
         exec \"$@\""
    );
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let out = Command::new("unshare")
        .args([
            if is_root { "-mn" } else { "-rmn" },
            "sh",
            "-ec",
            &script,
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--include-ignored", "--nocapture"])
        .env(IN_NETWORK, "1")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_run = text(&out.stdout).contains("1 passed");
    assert!(
        out.status.success() && is_run,
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
    false
}

/// Runs a printed command in a shell whose programs are those of a folder. Returns its output.
fn run(command: &str, programs: &Path) -> String {
    let root = peers().join("proof-clients");
    let lib = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let libraries = format!("{0}/usr/{lib}:{0}/{lib}", root.display());
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let out = Command::new("timeout")
        .args(["30", "sh", "-c", command])
        .env("PATH", path)
        .env("LD_LIBRARY_PATH", libraries)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&out.stdout), text(&out.stderr))
}

/// The page of a ticket as a browser gets it, with its entities replaced.
fn page(lab: &Lab, ticket: &Value) -> String {
    let (here, path) = ([127, 0, 0, 1].into(), ticket["path"].as_str().unwrap());
    let page = lab.send_with(here, lab.web, "GET", path, "Accept: text/html\r\n", "");
    let pairs = [
        ("&#38;", "&"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    pairs
        .iter()
        .fold(page.text(), |text, (from, to)| text.replace(from, to))
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn every_printed_command_proves_control_from_the_listed_address() {
    let test = "proof_commands::every_printed_command_proves_control_from_the_listed_address";
    if !is_in_network(test) {
        return;
    }
    let port = free_port();
    let listen: SocketAddr = (std::net::Ipv6Addr::UNSPECIFIED, port).into();
    let lab = Lab::with(listen, &format!("http://lists.example:{port}"));
    let clients = peers().join("proof-clients");
    // The implementations of each program.
    let programs = [
        ("curl", "usr/bin/curl"),
        ("wget", "usr/bin/wget"),
        ("nc", "bin/nc.openbsd"),
        ("nc", "usr/bin/ncat"),
    ];
    for subject in ADDRESSES {
        lab.api.list(subject, "netblock");
        for (name, file) in programs {
            let ticket = lab.post("/tickets", &json!({ "subject": subject })).ok();
            let commands = option(&ticket, "server").unwrap()["commands"].clone();
            let html = page(&lab, &ticket);
            for command in commands.as_array().unwrap() {
                // PowerShell is not in Debian.
                let program = command["program"].as_str().unwrap();
                assert!(["curl", "wget", "nc", "PowerShell"].contains(&program));
                let command = command["command"].as_str().unwrap();
                assert!(html.contains(command), "{command}\n{html}");
            }
            let is_it = |c: &&Value| c["program"] == name;
            let command = commands.as_array().unwrap().iter().find(is_it).unwrap();
            let command = command["command"].as_str().unwrap();
            let folder = tempfile::tempdir().unwrap();
            symlink(clients.join(file), folder.path().join(name)).unwrap();
            // The other family proves the other address, and the response says so.
            let (own, other) = match subject {
                "2a00:51::7" => (" -6 ", " -4 "),
                _ => (" -4 ", " -6 "),
            };
            let wrong = run(&command.replace(own, other), folder.path());
            let is_explained = wrong.contains("not proved: this request comes from")
                || name == "wget" && wrong.contains("409");
            assert!(is_explained, "{subject} {file}: {wrong}");
            assert!(lab.ticket(&ticket)["proof"].is_null(), "{subject} {file}");
            let output = run(command, folder.path());
            let proved = format!("proved: {subject} is yours");
            assert!(output.contains(&proved), "{command} by {file}: {output}");
            assert_eq!(lab.ticket(&ticket)["proof"]["method"], "server");
        }
    }
    // The address that a command requests explains itself to a browser, with the same commands.
    let ticket = lab.post("/tickets", &json!({"subject": ADDRESSES[1]})).ok();
    let command = option(&ticket, "server").unwrap()["commands"][0]["command"].clone();
    let (_, code) = command.as_str().unwrap().rsplit_once("/prove/").unwrap();
    let (here, accept) = ([127, 0, 0, 1].into(), "Accept: text/html\r\n");
    let seen = lab.send_with(here, lab.web, "GET", &format!("/prove/{code}"), accept, "");
    let expected = format!("curl -X POST http://lists.example:{port}/prove/{code}");
    assert!(seen.text().contains(&expected), "{}", seen.text());
    let folder = tempfile::tempdir().unwrap();
    symlink(clients.join("usr/bin/curl"), folder.path().join("curl")).unwrap();
    let output = run(&expected.replace("curl", "curl -6"), folder.path());
    assert!(output.contains("proved: 2a00:51::7 is yours"), "{output}");
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Knot with zones of the test, and unbound that asks it.
struct Dns {
    dir: tempfile::TempDir,
    knot: SocketAddr,
    unbound: SocketAddr,
    serial: u32,
    _servers: [Server; 2],
}

const ZONES: [&str; 5] = [
    "100.51.45.in-addr.arpa",
    "101.51.45.in-addr.arpa",
    "0-63.101.51.45.in-addr.arpa",
    "102.51.45.in-addr.arpa",
    "shop.example",
];

impl Dns {
    fn start() -> Dns {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display().to_string();
        let [knot, unbound] = [0; 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let zones: String = ZONES
            .iter()
            .map(|z| format!("  - domain: {z}\n    file: {z}.zone\n"))
            .collect();
        let config = format!(
            "server:\n    listen: 127.0.0.1@{}\n    rundir: {at}\ndatabase:\n    storage: {at}\n    journal-db-max-size: 64M\n    kasp-db-max-size: 64M\n    timer-db-max-size: 64M\n\
             template:\n  - id: default\n    storage: {at}\n    journal-content: none\n    zonefile-load: whole\nzone:\n{zones}",
            knot.port()
        );
        fs::write(dir.path().join("knot.conf"), config).unwrap();
        ZONES.iter().for_each(|z| write_zone(dir.path(), z, 1, &[]));
        let stubs: String = ZONES
            .iter()
            .map(|z| {
                format!(
                    "stub-zone:\n  name: {z}\n  stub-addr: 127.0.0.1@{}\n",
                    knot.port()
                )
            })
            .collect();
        let config = format!(
            "server:\n  interface: 127.0.0.1\n  port: {}\n  do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  directory: \"{at}\"\n  pidfile: \"\"\n  use-syslog: no\n\
             \x20 access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  do-ip6: no\nremote-control:\n  control-enable: no\n{stubs}",
            unbound.port()
        );
        fs::write(dir.path().join("unbound.conf"), config).unwrap();
        let start = |name: &str, config: &str| {
            let log = fs::File::create(dir.path().join(format!("{name}.log"))).unwrap();
            let mut command = program(name);
            command.arg("-c").arg(dir.path().join(config));
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap());
            Server(command.stderr(log).spawn().unwrap())
        };
        let servers = [
            start("knotd", "knot.conf"),
            start("unbound", "unbound.conf"),
        ];
        let dns = Dns {
            dir,
            knot,
            unbound,
            serial: 1,
            _servers: servers,
        };
        let soa = query("shop.example", 6, false);
        dns.wait("an answer", || {
            udp(dns.unbound, &soa, Duration::from_secs(1)).is_some_and(|r| r[7] == 1)
        });
        dns
    }

    fn wait(&self, what: &str, is_met: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !is_met() {
            let log = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap();
            assert!(
                Instant::now() < until,
                "{what}\n{}{}",
                log("knotd.log"),
                log("unbound.log")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Publishes a TXT record as the page shows it, by an edit of the zone file.
    fn publish(&mut self, zone: &str, name: &str, text: &str) {
        self.serial += 1;
        write_zone(self.dir.path(), zone, self.serial, &[(name, text)]);
        let mut reload = program("knotc");
        reload.arg("-c").arg(self.dir.path().join("knot.conf"));
        let out = reload.args(["zone-reload", zone]).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        let txt = query(name, 16, false);
        self.wait("the record", || {
            udp(self.knot, &txt, Duration::from_secs(1)).is_some_and(|r| r[7] == 1)
        });
        // What unbound has remembered about the name is forgotten after a second.
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn write_zone(dir: &Path, zone: &str, serial: u32, texts: &[(&str, &str)]) {
    let mut text = format!(
        "$TTL 1\n{zone}. SOA ns.{zone}. host.{zone}. {serial} 60 60 600 1\n{zone}. NS ns.{zone}.\nns.{zone}. A 127.0.0.1\n"
    );
    match zone {
        "101.51.45.in-addr.arpa" => {
            let part = format!("0-63.{zone}");
            text += &format!(
                "{part}. NS ns.{part}.\nns.{part}. A 127.0.0.1\n9.{zone}. CNAME 9.{part}.\n"
            );
        }
        "100.51.45.in-addr.arpa" => text += &format!("7.{zone}. PTR mail.shop.example.\n"),
        _ => {}
    }
    for (name, data) in texts {
        text += &format!("{name}. TXT \"{data}\"\n");
    }
    fs::write(dir.join(format!("{zone}.zone")), text).unwrap();
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn printed_record_proves_control_when_knot_serves_it() {
    let mut dns = Dns::start();
    let plain = ([127, 0, 0, 1], free_port()).into();
    let none = NameServer::default();
    let lab = Lab::with_resolver(plain, "http://lists.example", dns.unbound, none);
    // The subject, its reason, the zone in which the record is added, and its place among the names
    // that the page shows.
    let cases = [
        ("45.51.100.7", "netblock", "100.51.45.in-addr.arpa", 0),
        ("45.51.100.8", "netblock", "100.51.45.in-addr.arpa", 0),
        ("45.51.100.9", "netblock", "100.51.45.in-addr.arpa", 1),
        ("45.51.101.9", "netblock", "0-63.101.51.45.in-addr.arpa", 1),
        ("45.51.102.0/24", "netblock", "102.51.45.in-addr.arpa", 0),
        ("shop.example", "spam", "shop.example", 0),
    ];
    for (subject, reason, zone, place) in cases {
        let ticket = lab.open(subject, reason);
        let known = lab.wait(&ticket, "the names", |t| {
            option(t, "dns").is_some_and(|o| o["names"].as_array().unwrap().len() > place)
        });
        let record = option(&known, "dns").unwrap();
        let (name, text) = (
            record["names"][place].as_str().unwrap(),
            record["text"].as_str().unwrap(),
        );
        assert!(name.ends_with(zone), "{subject}: {record}");
        let html = page(&lab, &ticket);
        assert!(html.contains(name) && html.contains(text), "{html}");
        let check = format!("{}/check-dns", ticket["path"].as_str().unwrap());
        let missing = lab.post(&check, &Value::Null);
        assert_eq!(missing.problem(), "conflict", "{subject}");
        assert!(missing.text().contains(name), "{}", missing.text());
        dns.publish(zone, name, text);
        let proved = lab.post(&check, &Value::Null).ok();
        assert_eq!(proved["proof"]["method"], "dns", "{subject}: {proved:#}");
    }
    // A delegated part can add the record at the name to which the CNAME leads.
    let ticket = lab.open("45.51.101.9", "netblock");
    let text = option(&ticket, "dns").unwrap()["text"].as_str().unwrap();
    let part = "0-63.101.51.45.in-addr.arpa";
    dns.publish(part, &format!("9.{part}"), text);
    let check = format!("{}/check-dns", ticket["path"].as_str().unwrap());
    assert_eq!(
        lab.post(&check, &Value::Null).ok()["proof"]["method"],
        "dns"
    );
}
