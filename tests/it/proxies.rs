//! HTTP behind proxies: a client is identified by PROXY v2 or by `Forwarded` of a trusted proxy,
//! whatever the client itself sends. Real proxies are configured with the lines that `orbsd check`
//! and docs/proxies.md print.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, free_port},
    recipes,
};

/// A daemon whose `[web]` trusts this machine.
struct Web {
    folder: Folder,
    port: u16,
    _daemon: Daemon,
}

impl Web {
    fn new(lines: &str) -> Web {
        let port = free_port();
        let folder = Folder::with(
            &format!("[web]\nlisten = '127.0.0.1:{port}'\n{lines}\n{CONFIG}"),
            &[("bl", ZONE), ("dbl", DOMAINS)],
        );
        let daemon = Daemon::start(&folder);
        Web {
            folder,
            port,
            _daemon: daemon,
        }
    }

    /// Sends bytes, and reads the response until the end.
    fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let _ = stream.write_all(bytes);
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Looks up the client itself, after some bytes and with some header fields.
    fn ask(&self, before: &[u8], fields: &str) -> String {
        let request =
            format!("GET /lookup HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n");
        self.talk(&[before, request.as_bytes()].concat())
    }
}

/// The subject that an answer is about.
fn subject(answer: &str) -> String {
    answer
        .split("\"subject\":\"")
        .nth(1)
        .and_then(|s| s.split('"').next())
        .unwrap_or("")
        .into()
}

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[command, family],
        &(rest.len() as u16).to_be_bytes(),
        rest,
    ]
    .concat()
}

const CLIENT: [u8; 12] = [45, 1, 1, 1, 127, 0, 0, 1, 0, 80, 0, 81];

#[test]
fn proxy_connection_without_a_proxy_v2_header_is_closed() {
    let web = Web::new("trusted_proxies = ['127.0.0.1']\nforwarded_header = false");
    let good = header(0x21, 0x11, &CLIENT);
    assert_eq!(subject(&web.ask(&good, "")), "45.1.1.1");
    // Header fields of the client are not trusted; once, clients could claim other hosts with them.
    for fields in [
        "forwarded: for=45.2.2.2\r\n",
        "x-forwarded-for: 45.2.2.2\r\nx-real-ip: 45.2.2.2\r\n",
    ] {
        assert_eq!(subject(&web.ask(&good, fields)), "45.1.1.1", "{fields}");
    }
    // A second header is from the client itself.
    assert!(
        web.ask(
            &[
                &good[..],
                &header(0x21, 0x11, &[45, 2, 2, 2, 127, 0, 0, 1, 0, 80, 0, 81])
            ]
            .concat(),
            ""
        )
        .contains(" 400 ")
    );
    assert_eq!(
        subject(&web.ask(&header(0x20, 0x00, &[]), "")),
        "127.0.0.1",
        "a health check of the proxy"
    );
    // Without a header, or with one of version 1, an invalid one, or one without a client address,
    // there is no answer.
    for bad in [
        &b""[..],
        b"PROXY TCP4 45.2.2.2 127.0.0.1 80 81\r\n",
        &header(0x21, 0x11, &CLIENT[..4]),
        &header(0x21, 0x00, &[]),
        &header(0x21, 0x12, &CLIENT),
        &header(0x21, 0x31, &[0; 216]),
        &good[..13],
    ] {
        for fields in ["", "forwarded: for=45.2.2.2\r\n"] {
            assert_eq!(web.ask(bad, fields), "", "{bad:?}");
        }
    }
    let log = web.folder.log();
    assert_eq!(
        log.matches("connection of a trusted proxy closed").count(),
        1,
        "logged once a minute: {log}"
    );
    assert!(
        log.contains("forwarded_header = true"),
        "the log names the remedy: {log}"
    );
}

#[test]
fn invalid_proxy_v2_header_is_logged_with_the_reason() {
    for (bad, text) in [
        (
            header(0x21, 0x12, &CLIENT),
            "names a client of IPv4 and DGRAM",
        ),
        (
            header(0x21, 0x00, &[]),
            "names a client of UNSPEC and UNSPEC",
        ),
        (
            header(0x21, 0x31, &[0; 216]),
            "names a client of UNIX and STREAM",
        ),
        (
            header(0x21, 0x11, &[0; 5000]),
            "has 5000 bytes after the first 16; at most 4096 are accepted",
        ),
    ] {
        let web = Web::new("trusted_proxies = ['127.0.0.1']\nforwarded_header = false");
        assert_eq!(web.ask(&bad, ""), "");
        let log = web.folder.log();
        assert!(
            log.contains(text) && !log.contains("does not start with"),
            "{text}: {log}"
        );
    }
}

#[test]
fn client_behind_a_proxy_is_counted_by_its_own_address() {
    let web = Web::new(
        "trusted_proxies = ['127.0.0.1']\nforwarded_header = false\n[connections]\nweb = 64",
    );
    let open = |client: [u8; 4]| {
        let mut stream = TcpStream::connect(("127.0.0.1", web.port)).unwrap();
        stream
            .write_all(&header(0x21, 0x11, &[&client[..], &CLIENT[4..]].concat()))
            .unwrap();
        stream
    };
    // Four connections are the share of an address.
    let greedy: Vec<TcpStream> = (0..10).map(|_| open([45, 1, 1, 1])).collect();
    let others: Vec<TcpStream> = (0..3).map(|n| open([46, n, 1, 1])).collect();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let counted = &web.folder.json(&["status", "--json"])["connections"]["web"];
        if counted["open"] == 7 && counted["shed_of_share"] == 6 {
            break;
        }
        assert!(Instant::now() < until, "{counted}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        subject(&web.ask(&header(0x21, 0x11, &CLIENT), "")),
        "45.1.1.1",
        "its newest connection is served"
    );
    drop((greedy, others));
}

#[test]
fn only_the_last_element_of_the_configured_forwarded_header_is_trusted() {
    let web = Web::new("trusted_proxies = ['127.0.0.1']\nforwarded_header = true");
    let ask = |fields: &str| web.ask(b"", fields);
    assert_eq!(
        subject(&ask("forwarded: for=1.2.3.4, for=45.1.1.1\r\n")),
        "45.1.1.1"
    );
    assert_eq!(
        subject(&ask("forwarded: for=\"\r\nforwarded: for=45.1.1.1\r\n")),
        "45.1.1.1"
    );
    assert_eq!(
        subject(&ask("forwarded: for=\"[2a00::1]:99\"\r\n")),
        "2a00::1"
    );
    assert_eq!(subject(&ask("")), "127.0.0.1", "the proxy itself");
    for bad in [
        "unknown",
        "_hidden",
        "",
        "\"45.1.1.1",
        "2a00::1",
        "45.1.1.1;for=45.2.2.2",
        "45.1.1.1, x",
    ] {
        let answer = ask(&format!("forwarded: for={bad}\r\n"));
        assert!(
            answer.contains(" 400 ")
                && answer.contains("/problems/malformed")
                && answer.contains("Forwarded"),
            "{bad}: {answer}"
        );
    }
    // A PROXY header is not read on this listener.
    assert!(web.ask(&header(0x21, 0x11, &CLIENT), "").contains(" 400 "));
    // Another address is not a trusted proxy.
    let web = Web::new("trusted_proxies = ['192.0.2.1']\nforwarded_header = true");
    assert_eq!(
        subject(&web.ask(b"", "forwarded: for=45.1.1.1\r\n")),
        "127.0.0.1"
    );
}

/// A proxy that is a child of this test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Proxy {
    /// Starts a program of `make peers` in a folder, and waits until it listens on a port.
    fn start(folder: &Folder, program: &str, args: &[&str], port: u16) -> Proxy {
        let root = crate::peers::peers().join("web");
        let libraries =
            ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|l| root.join(l));
        let log = fs::File::create(folder.path().join("proxy.log")).unwrap();
        let child = Command::new(root.join("usr/sbin").join(program))
            .args(args)
            .current_dir(folder.path())
            .env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}; run `make peers`"));
        let mut proxy = Proxy(child);
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = proxy.0.try_wait().unwrap();
            let log = fs::read_to_string(folder.path().join("proxy.log")).unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "{program}: {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// HAProxy with a configuration.
    fn haproxy(folder: &Folder, config: &str, port: u16) -> Proxy {
        folder.write("haproxy.cfg", &format!("defaults\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n{config}"));
        Proxy::start(folder, "haproxy", &["-db", "-f", "haproxy.cfg"], port)
    }

    /// nginx with the content of its `http` block.
    fn nginx(folder: &Folder, http: &str, port: u16) -> Proxy {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|t| format!("{t}_temp_path tmp-{t};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {{ }}\nhttp {{\naccess_log off;\n{temporary}{http}\n}}\n"
        );
        folder.write("nginx.conf", &config);
        let path = folder.path().display().to_string();
        Proxy::start(
            folder,
            "nginx",
            &["-p", &path, "-c", "nginx.conf", "-e", "stderr"],
            port,
        )
    }
}

/// Returns the client that orbsd sees behind a proxy on a port, over IPv4 and IPv6, whatever the
/// client itself sends.
fn clients_are_seen_and_cannot_forge(port: u16) {
    let ask = |from: &str, fields: &[&str]| {
        let url = if from.contains(':') {
            format!("http://[::1]:{port}/lookup")
        } else {
            format!("http://127.0.0.1:{port}/lookup")
        };
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "10", "--interface", from, &url]);
        fields.iter().for_each(|f| _ = command.args(["-H", f]));
        let out = command.output().expect("curl is installed (tests/need.sh)");
        subject(&String::from_utf8_lossy(&out.stdout))
    };
    let six = TcpStream::connect(("::1", port)).is_ok();
    for from in ["127.0.0.1", "127.0.0.5", "::1"]
        .into_iter()
        .filter(|f| six || !f.contains(':'))
    {
        for fields in [
            &[][..],
            &["forwarded: for=45.2.2.2"],
            &["forwarded: for=\""],
            &["forwarded: for=45.2.2.2;x=\"", "forwarded: for=45.3.3.3"],
            &["x-forwarded-for: 45.2.2.2", "x-real-ip: 45.2.2.2"],
        ] {
            assert_eq!(ask(from, fields), from, "{fields:?}");
        }
    }
}

/// Compares the exact text of `orbsd check` about an old `trust` key, in both configurations.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn check_prints_working_replacements_for_the_old_trust_key() {
    let port = free_port();
    let orbsd = free_port();
    let config = |lines: &str| {
        format!(
            "[web]\nlisten = '127.0.0.1:{orbsd}'\ntrusted_proxies = ['127.0.0.1']\n{lines}{CONFIG}"
        )
    };
    let folder = Folder::with(&config(""), &[("bl", ZONE), ("dbl", DOMAINS)]);
    let out = folder.orbsd(&["check"]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(
        said.contains("web.trusted_proxies: ") && !folder.orbsd(&["serve"]).status.success(),
        "{said}"
    );
    let lines = said.lines();
    let choices: Vec<&str> = lines
        .filter(|l| l.trim().starts_with("forwarded_header = "))
        .map(str::trim)
        .collect();
    assert_eq!(
        choices,
        ["forwarded_header = false", "forwarded_header = true"]
    );
    // Returns the line after a label, or all lines that follow it without one.
    let line = |label: &str, n: usize| -> String {
        let from = said.lines().skip_while(|l| !l.contains(label)).take(n);
        from.map(|l| format!("    {}\n", l.split(label).last().unwrap().trim()))
            .collect()
    };
    let (front, back) = (
        format!("    bind 127.0.0.1:{port}\n    bind ::1:{port}\n"),
        "    mode http\n",
    );
    let front =
        format!("frontend f\n    mode http\n{front}    default_backend b\nbackend b\n{back}");
    let server = line("HAProxy, in `backend`:", 1);
    let plain = format!("    server orbsd 127.0.0.1:{orbsd}\n");
    assert_eq!(
        server.trim(),
        format!("server orbsd 127.0.0.1:{orbsd} send-proxy-v2")
    );
    folder.write(
        "config.toml",
        &config("forwarded_header = false\n").replace("PORT", &folder.port.to_string()),
    );
    folder.ok(&["check"]);
    {
        let _daemon = Daemon::start(&folder);
        let _proxy = Proxy::haproxy(&folder, &format!("{front}{server}"), port);
        clients_are_seen_and_cannot_forge(port);
    }
    folder.write(
        "config.toml",
        &config("forwarded_header = true\n").replace("PORT", &folder.port.to_string()),
    );
    folder.ok(&["check"]);
    let _daemon = Daemon::start(&folder);
    let forwarded = said
        .split("forwarded_header = true")
        .nth(1)
        .unwrap()
        .lines()
        .skip_while(|l| !l.contains("HAProxy"))
        .take(2);
    let forwarded: String = forwarded
        .map(|l| format!("    {}\n", &l[l.find("http-request").unwrap()..]))
        .collect();
    {
        let _proxy = Proxy::haproxy(&folder, &format!("{front}{forwarded}{plain}"), port);
        clients_are_seen_and_cannot_forge(port);
    }
    let (http, location) = (
        line("nginx, in `http`:", 1),
        line("nginx, in `location`:", 1),
    );
    let server = format!(
        "listen 127.0.0.1:{port}; listen [::1]:{port}; location / {{ proxy_pass http://127.0.0.1:{orbsd}; {location} }}"
    );
    let _proxy = Proxy::nginx(&folder, &format!("{http}\nserver {{ {server} }}"), port);
    clients_are_seen_and_cannot_forge(port);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn documented_proxy_configurations_work() {
    let blocks = recipes::blocks("docs/proxies.md");
    let find = |language: &str, part: &str| {
        let found = blocks
            .iter()
            .find(|b| b.language == language && b.text.contains(part));
        found
            .unwrap_or_else(|| panic!("docs/proxies.md has no {language} block with {part}"))
            .text
            .clone()
    };
    for (proxy, forwarded) in [
        ("haproxy", "forwarded_header = false"),
        ("nginx", "forwarded_header = true"),
    ] {
        let (port, orbsd) = (free_port(), free_port());
        let local = |text: String| text.replace("8054", &orbsd.to_string());
        let folder = Folder::with(
            &format!("{}\n{CONFIG}", local(find("toml", forwarded))),
            &[("bl", ZONE), ("dbl", DOMAINS)],
        );
        folder.ok(&["check"]);
        let _daemon = Daemon::start(&folder);
        let config = local(find(proxy, "127.0.0.1:8054"));
        let _proxy = match proxy {
            "haproxy" => {
                let config = config.replace(
                    ":443,:::443 v6only ssl crt /etc/haproxy/orbs.example.pem",
                    &format!("127.0.0.1:{port},::1:{port}"),
                );
                Proxy::haproxy(&folder, &config, port)
            }
            _ => {
                let keep = |l: &&str| !l.trim().starts_with("ssl_certificate");
                let config: String = config
                    .lines()
                    .filter(keep)
                    .map(|l| format!("{l}\n"))
                    .collect();
                let config = config
                    .replace("[::]:443 ssl", &format!("[::1]:{port}"))
                    .replace("443 ssl", &format!("127.0.0.1:{port}"));
                Proxy::nginx(&folder, &config, port)
            }
        };
        clients_are_seen_and_cannot_forge(port);
    }
}
