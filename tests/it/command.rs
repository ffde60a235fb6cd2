//! The command line, with and without a daemon.

use std::{fs, time::Duration};

use crate::lab::{Daemon, Folder, query, shown, udp};

fn a(folder: &Folder, name: &str) -> String {
    shown(
        &udp(
            folder.addr(),
            &query(&format!("{name}.bl.orbs.example"), 1, true),
            Duration::from_secs(5),
        )
        .unwrap(),
    )
}

fn code(folder: &Folder, args: &[&str]) -> (i32, String) {
    let out = folder.orbsd(args);
    (
        out.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}

#[test]
fn list_command_returns_after_dns_answers_with_the_listing() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    f.ok(&[
        "list",
        "45.51.100.7",
        "--reason",
        "relay",
        "--until",
        "30d",
        "--note",
        "seen relaying",
    ]);
    assert_eq!(a(&f, "7.100.51.45"), "NOERROR 127.0.0.2");
    let found = f.json(&["lookup", "45.51.100.7", "--json"]);
    assert_eq!(found["listed"], true);
    assert_eq!(
        (
            &found["entries"][0]["reason"],
            &found["entries"][0]["source"]
        ),
        (&"relay".into(), &"operator".into())
    );
    assert_eq!(found["zones"][0]["codes"][0], "127.0.0.2");
    assert_eq!(found["history"][0]["event"], "listed");
    assert_eq!(found["history"][0]["evidence"]["text"], "seen relaying");
    assert!(
        found["history"][0]["author"]
            .as_str()
            .unwrap()
            .starts_with("uid:")
    );
    assert_eq!(code(&f, &["lookup", "45.51.100.8"]).0, 1);
    assert_eq!(code(&f, &["delist", "45.51.100.8"]).0, 1);
    f.ok(&["delist", "45.51.100.7"]);
    assert_eq!(a(&f, "7.100.51.45"), "NXDOMAIN soa 60");
    assert_eq!(
        f.json(&["lookup", "45.51.100.7", "--json"])["history"][1]["event"],
        "delisted"
    );
    // A special-purpose range needs permission.
    let (n, why) = code(&f, &["list", "198.51.100.7", "--reason", "relay"]);
    assert!(
        n == 1 && why.contains("--allow-special-ranges"),
        "{n} {why}"
    );
    f.ok(&[
        "list",
        "198.51.100.7",
        "--reason",
        "relay",
        "--allow-special-ranges",
    ]);
    assert_eq!(a(&f, "7.100.51.198"), "NOERROR 127.0.0.2");
    // Many from standard input, one of them invalid: it is reported, and the others are listed.
    let out = f.orbsd_with(
        &["list", "--reason", "netblock"],
        "46.1.0.0/16 # net\n\n47.1.1.300\n2a00:1::/32\n",
    );
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(2) && err.contains("47.1.1.300"),
        "{err}"
    );
    assert_eq!(a(&f, "1.1.1.46"), "NOERROR 127.0.0.3");
    let status = f.json(&["status", "--json"]);
    assert_eq!(
        (&status["running"], &status["listed"]["ipv4_hosts"]),
        (&true.into(), &1.into())
    );
    assert!(status["zones"][0]["counters"]["listed"].as_u64().unwrap() >= 2);
    assert!(daemon.stop().success());
    // Without a daemon the same commands work on the store itself.
    assert_eq!(f.json(&["status", "--json"])["running"], false);
    f.ok(&["list", "45.51.100.9", "--reason", "relay"]);
    assert_eq!(
        f.json(&["lookup", "45.51.100.9", "--json"])["zones"][0]["codes"][0],
        "127.0.0.2"
    );
    let _daemon = Daemon::start(&f);
    assert_eq!(a(&f, "9.100.51.45"), "NOERROR 127.0.0.2");
    assert_eq!(a(&f, "1.1.1.46"), "NOERROR 127.0.0.3");
}

#[test]
fn usage_and_configuration_errors_have_exit_code_2_and_name_the_place() {
    let f = Folder::new();
    for (args, part) in [
        (&["list", "45.1.1.1", "--reason", "relai"][..], "relay"),
        (&["list", "45.1.1.1"], "--reason"),
        (&["list", "45.1.1.7/24", "--reason", "relay"], "45.1.1.0/24"),
        (
            &["list", "45.1.1.1", "--reason", "relay", "--until", "soon"],
            "write a duration (90d, 12h, 1y), a date (2026-12-31)",
        ),
        (
            &[
                "import",
                "--source",
                "x",
                "--reason",
                "relay",
                "nowhere.txt",
            ],
            "nowhere.txt",
        ),
        (&["export", "bl", "--format", "pdf"], "master"),
        (&["--config", "nowhere.toml", "check"], "nowhere.toml"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let out = f.orbsd(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(2) && said.contains(part),
            "{args:?}: {:?} {said}",
            out.status
        );
    }
    assert_eq!(code(&f, &["export", "nosuch"]).0, 1);
    assert_eq!(code(&f, &["reload"]).0, 1);
    f.ok(&["check"]);
    f.write(
        "zones/bl.toml",
        "origin = 'bl.orbs.example'\nkind = 'address'\nns = []\ncontact = 'x'\npublish = [{reason='nope', code='10.0.0.2'}]\nfoo = 1",
    );
    let out = f.orbsd(&["check"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    for part in [
        "zones/bl.toml",
        "`foo`",
        "contact",
        "ns",
        "nope",
        "127.0.0.0/8",
    ] {
        assert!(
            out.status.code() == Some(2) && said.contains(part),
            "{part}: {said}"
        );
    }
}

#[test]
fn reload_applies_a_valid_configuration_and_refuses_an_invalid_one() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    let zone = fs::read_to_string(f.path().join("zones/bl.toml")).unwrap();
    f.write("zones/bl.toml", &zone.replace("127.0.0.2", "127.0.0.9"));
    f.ok(&["reload"]);
    assert_eq!(a(&f, "7.100.51.45"), "NOERROR 127.0.0.9");
    let soa = |f: &Folder| {
        shown(
            &udp(
                f.addr(),
                &query("bl.orbs.example", 6, true),
                Duration::from_secs(5),
            )
            .unwrap(),
        )
    };
    let serial = |f: &Folder| {
        soa(f)
            .split_whitespace()
            .nth(3)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    let before = serial(&f);
    f.write("zones/bl.toml", "origin = 3");
    assert_eq!(code(&f, &["reload"]).0, 2);
    daemon.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(a(&f, "7.100.51.45"), "NOERROR 127.0.0.9");
    f.write("zones/bl.toml", &zone);
    daemon.signal("HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(a(&f, "7.100.51.45"), "NOERROR 127.0.0.2");
    assert!(
        serial(&f) > before,
        "what is rendered from configuration moves the serial"
    );
    let before = serial(&f);
    daemon.stop();
    // The same while it was stopped. `serial` applies only to a new zone.
    f.write(
        "zones/bl.toml",
        &zone.replace("contact", "serial = 1000\nttl = '9m'\ncontact"),
    );
    let daemon = Daemon::start(&f);
    assert_eq!(serial(&f), before + 1);
    daemon.stop();
    let _daemon = Daemon::start(&f);
    assert_eq!(serial(&f), before + 1, "a restart alone moves nothing");
}

#[test]
fn second_daemon_on_the_same_store_is_refused_with_the_reason() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    let other = Folder::new();
    let config = fs::read_to_string(other.path().join("config.toml")).unwrap();
    let store = format!("[store]\npath = {:?}\n", f.path().join("data"));
    // The default socket is next to the store, where the daemon answers.
    let config = config.replace("[admin]", "[admin]\nsocket = 'other.sock'");
    other.write("config.toml", &format!("{store}{config}"));
    let out = other.orbsd(&["serve"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && said.contains("open in another process"),
        "{said}"
    );
    // A command there neither removes the lock nor changes anything, and works when the daemon has
    // stopped.
    let (n, said) = code(&other, &["list", "45.1.1.1", "--reason", "relay"]);
    assert!(n == 1 && said.contains("open in another process"), "{said}");
    assert_eq!(
        f.orbsd(&["serve"]).status.code(),
        Some(1),
        "the address is taken"
    );
    assert_eq!(code(&f, &["lookup", "45.1.1.1"]).0, 1);
    drop(daemon);
    other.ok(&["list", "45.1.1.1", "--reason", "relay"]);
}

/// Once, a line that is not UTF-8 ended the input without a message.
#[test]
fn every_line_of_standard_input_is_accepted_or_reported() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .args(["list", "--reason", "relay"])
        .current_dir(f.path())
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        b"45.1.1.1\n\xff\n45.1.1.2\n",
    )
    .unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(
        (a(&f, "1.1.1.45"), a(&f, "2.1.1.45")),
        ("NOERROR 127.0.0.2".into(), "NOERROR 127.0.0.2".into())
    );
}

/// While the daemon stops, requests that wait for a receipt do not delay the answers to queries.
#[test]
fn reload_and_shutdown_drop_no_queries() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (asker, addr) = (stop.clone(), f.addr());
    let asked = std::thread::spawn(move || {
        let mut n = 0;
        while !asker.load(std::sync::atomic::Ordering::Relaxed) {
            let reply = udp(
                addr,
                &query("1.1.1.45.bl.orbs.example", 1, true),
                Duration::from_secs(2),
            );
            assert!(
                shown(&reply.expect("an answer")).starts_with("NOERROR 127.0.0."),
                "query {n}"
            );
            n += 1;
        }
        n
    });
    let zone = fs::read_to_string(f.path().join("zones/bl.toml")).unwrap();
    for i in 0..20 {
        f.write(
            "zones/bl.toml",
            &zone.replace("127.0.0.2", &format!("127.0.0.{}", 4 + i)),
        );
        daemon.signal("HUP");
        std::thread::sleep(Duration::from_millis(20));
    }
    // An import that does not end delays the stop by seconds; queries are answered meanwhile.
    let mut import = std::process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .args(["import", "--source", "x", "--reason", "relay", "-"])
        .current_dir(f.path())
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    daemon.signal("TERM");
    std::thread::sleep(Duration::from_secs(2));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(asked.join().unwrap() > 200);
    assert!(daemon.stop().success());
    let _ = import.kill();
    let _ = import.wait();
}

#[test]
fn readiness_and_early_reload_are_reported_to_systemd() {
    let f = Folder::new();
    let socket = std::os::unix::net::UnixDatagram::bind(f.path().join("notify")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .arg("serve")
        .current_dir(f.path())
        .env("NOTIFY_SOCKET", f.path().join("notify"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(Daemon)
        .unwrap();
    // As soon as the signal handlers are installed.
    let early = std::time::Instant::now();
    while early.elapsed() < Duration::from_millis(60) && !f.path().join("data/LOCK").exists() {}
    if f.path().join("data/LOCK").exists() {
        child.signal("HUP");
    }
    let mut said = String::new();
    let mut until = |word: &str| {
        while !said.contains(word) {
            let mut buf = [0; 200];
            let n = socket.recv(&mut buf).unwrap();
            said += std::str::from_utf8(&buf[..n]).unwrap();
            said.push('\n');
        }
        said.clone()
    };
    until("READY=1");
    assert!(child.0.try_wait().unwrap().is_none(), "it runs");
    child.signal("HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    child.signal("TERM");
    until("STOPPING=1");
    assert!(child.stop().success());
}

/// A daemon that root starts switches to the configured user, with its store and socket. The test
/// needs root.
#[test]
fn daemon_switches_from_root_to_the_configured_user() {
    let me = fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
        .unwrap();
    let f = Folder::new();
    let config = fs::read_to_string(f.path().join("config.toml")).unwrap();
    f.write(
        "config.toml",
        &format!("{config}\n[process]\nuser = \"nobody\"\n"),
    );
    fs::set_permissions(
        f.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let daemon = Daemon::start(&f);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0.id())).unwrap();
    let ids: Vec<&str> = status
        .lines()
        .find(|l| l.starts_with("Uid:"))
        .unwrap()
        .split_whitespace()
        .skip(1)
        .collect();
    if me == 0 {
        assert!(ids.iter().all(|id| *id != "0"), "{ids:?}");
        let owner = |p: &str| {
            std::os::unix::fs::MetadataExt::uid(&fs::metadata(f.path().join(p)).unwrap())
                .to_string()
        };
        assert!(
            owner("data") == ids[0] && owner("run/orbsd.sock") == ids[0],
            "{ids:?}"
        );
    } else {
        assert!(
            ids.iter().all(|id| *id == me.to_string()),
            "who is not root stays who he is: {ids:?}"
        );
    }
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    assert_eq!(a(&f, "1.1.1.45"), "NOERROR 127.0.0.2");
    assert!(daemon.stop().success());
}

/// `check` reports problems that would otherwise appear when the daemon starts or the first test
/// runs.
#[test]
fn check_reports_what_listeners_and_tester_need() {
    let f = Folder::new();
    f.write(
        "zones/bl.toml",
        &format!(
            "{}\n[[record]]\nname = \"mail\"\ntype = \"MX\"\ndata = \"10 mx.orbs.example.\"\n",
            crate::lab::ZONE
        ),
    );
    fs::create_dir(f.path().join("folder")).unwrap();
    f.write("short", "x");
    let reasons: String = [
        "relay",
        "netblock",
        "spam",
        "input",
        "output",
        "unconfirmed",
        "notest",
    ]
    .map(|n| format!("[[reason]]\nname = \"{n}\"\n"))
    .concat();
    let check = |more: &str| {
        f.write("config.toml", &format!("{more}\n{reasons}"));
        let out = f.orbsd(&["check"]);
        let said = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap(), said)
    };
    let probe = "[admin]\nlisten = \"\"\n[probe]\ndomain = ";
    for (config, code, part) in [
        ("[collector]\nlisten = [\"127.0.0.1:8053\"]".to_string(), 2, "collector.listen: 127.0.0.1:8053 is already used by admin.listen"),
        ("[web]\nlisten = \"0.0.0.0:5300\"".into(), 2, "web.listen: 0.0.0.0:5300 is already used by dns.listen"),
        ("[dns]\nlisten = [\"0.0.0.0:53\", \"[::]:53\"]\n[collector]\nlisten = [\"0.0.0.0:25\", \"[::]:25\"]".into(), 0, "valid"),
        ("[collector]\nlisten = [\"[::]:25\", \"[::1]:25\"]".into(), 2, "collector.listen: [::1]:25 is already used by collector.listen"),
        (
            "[tls]\nquic = [\"127.0.0.1:5300\"]\ncertificate = \"a\"\nkey = \"b\"".into(),
            2,
            "tls.quic: 127.0.0.1:5300 is already used by dns.listen",
        ),
        (
            "[tls]\nquic = [\"127.0.0.1:853\"]\nh3 = [\"0.0.0.0:853\"]\ncertificate = \"a\"\nkey = \"b\"".into(),
            2,
            "tls.h3: 0.0.0.0:853 is already used by tls.quic",
        ),
        (format!("{probe}\"probe.bl.orbs.example\""), 2, "bl.orbs.example answers for it, and has no MX there"),
        (format!("{probe}\"bl.orbs.example\""), 2, "add a [[record]] with the name @ and the type MX"),
        (format!("{probe}\"mail.bl.orbs.example\""), 0, "valid"),
        (format!("{probe}\"mybl.orbs.example\""), 0, "valid"),
        (format!("{probe}\"probe.example\"\nkey = \"folder\""), 2, "folder is a folder; name a file"),
        (format!("{probe}\"probe.example\"\nkey = \"short\""), 2, "short has less than 32 bytes"),
        (format!("{probe}\"probe.example\"\nsource_addresses = [\"192.0.2.7\"]"), 0, "192.0.2.7 is not an address of this machine"),
        (format!("{probe}\"probe.example\"\nsource_addresses = [\"127.0.0.9\"]"), 0, "valid"),
    ] {
        let (is, said) = check(&config);
        assert!(is == code && said.contains(part), "{config}: {is} {said}");
    }
}

/// A token is sent unencrypted only to this machine, and its file must be private.
#[test]
fn token_is_not_sent_unencrypted_to_another_host() {
    let port = crate::lab::free_port();
    let config =
        crate::lab::CONFIG.replace("listen = \"\"", &format!("listen = \"0.0.0.0:{port}\""));
    let f = Folder::with(&config, &[("bl", crate::lab::ZONE)]);
    let _daemon = Daemon::start(&f);
    let path = f.write(
        "token",
        &f.ok(&["token", "create", "--owner", "anna", "--role", "reader"]),
    );
    let mode = |mode: u32| {
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(0o600);
    let remote = |host: &str, more: &[&str]| {
        let server = format!("{host}:{port}");
        let out = f.orbsd(&[&["status", "--server", &server, "--token", "token"], more].concat());
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    for host in ["http://127.0.0.1", "http://localhost", "http://127.9.9.9"] {
        assert_eq!(remote(host, &[]), (Some(0), String::new()), "{host}");
    }
    // The unspecified address also leads to this machine, but is not a loopback address.
    for host in [
        "http://0.0.0.0",
        "http://192.0.2.1",
        "http://[2001:db8::1]",
        "http://[::ffff:192.0.2.1]",
    ] {
        let (code, said) = remote(host, &[]);
        assert!(
            code == Some(2) && said.contains("--insecure") && said.contains("https://"),
            "{host}: {said}"
        );
    }
    assert_eq!(
        remote("http://0.0.0.0", &["--insecure"]),
        (Some(0), String::new())
    );
    let (code, said) = remote("https://127.0.0.1", &["--insecure"]);
    assert!(code == Some(2) && said.contains("--ca"), "{said}");
    // A device that never ends, and a file without a token.
    f.write("long", &"x".repeat(70_000));
    for (token, part) in [
        ("/dev/zero", "neither a regular file nor a pipe"),
        ("long", "longer than 65536 bytes"),
        ("zones", "neither"),
    ] {
        let server = format!("http://127.0.0.1:{port}");
        let out = f.orbsd(&["status", "--server", &server, "--token", token]);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(2) && text.contains(token) && text.contains(part),
            "{text}"
        );
    }
    for (bits, warned) in [
        (0o644, true),
        (0o604, true),
        (0o660, true),
        (0o602, true),
        (0o640, false),
        (0o400, false),
    ] {
        mode(bits);
        let (code, said) = remote("http://127.0.0.1", &[]);
        assert_eq!(
            (code, said.contains("chmod 600 token")),
            (Some(0), warned),
            "{bits:o}: {said}"
        );
    }
}
