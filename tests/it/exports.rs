//! Scheduled exports, loaded by the programs that they are for.

use std::{
    fs,
    io::{Read, Write},
    net::UdpSocket,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, query, shown, udp},
    peers::program,
};

fn folder(tables: &str) -> Folder {
    Folder::with(
        &format!("{CONFIG}{tables}"),
        &[("bl", ZONE), ("dbl", DOMAINS)],
    )
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn unpacked(path: PathBuf) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).map(flate2::read::GzDecoder::new);
    let _ = file.map(|mut f| f.read_to_string(&mut text));
    text
}

#[test]
fn scheduled_files_follow_the_zone_and_the_configuration() {
    let tables = "[[export]]\nzone='bl'\nformat='master'\npath='out/bl.zone'\ninterval = '1s'\n\
                  [[export]]\nzone='dbl.orbs.example'\nformat='rpz'\naction='drop'\npath='out/dbl.rpz.gz'\ninterval = '1s'\n";
    let f = folder(tables);
    let daemon = Daemon::start(&f);
    let (zone, rpz) = (
        f.path().join("out/bl.zone"),
        f.path().join("out/dbl.rpz.gz"),
    );
    until("both files at the start", || zone.exists() && rpz.exists());
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&zone).unwrap().permissions())
            & 0o777,
        0o644
    );
    // A concurrent reader gets a complete file: it begins and ends with the same SOA.
    let (stop, path) = (Arc::new(AtomicBool::new(false)), zone.clone());
    let stopped = stop.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        while !stopped.load(Ordering::Relaxed) {
            let text = fs::read_to_string(&path).unwrap();
            let soa = text.lines().nth(3).unwrap();
            assert!(
                soa.contains(" SOA ")
                    && text.matches(" SOA ").count() == 1
                    && text.lines().count() >= 12
                    && text.ends_with('\n'),
                "{text}"
            );
            seen += 1;
        }
        seen
    });
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    f.ok(&["list", ".bad.test", "--reason", "spam"]);
    until("the listing", || {
        fs::read_to_string(&zone)
            .unwrap()
            .contains("7.100.51.45 A 127.0.0.2")
    });
    until("the domain", || {
        unpacked(rpz.clone()).contains("\n*.bad.test CNAME rpz-drop.\n")
    });
    let many: String = (0..3000)
        .map(|i| format!("46.1.{}.{}\n", i / 200, i % 200))
        .collect();
    f.write("many", &many);
    f.ok(&["import", "--source", "x", "--reason", "relay", "many"]);
    until("the import", || {
        fs::read_to_string(&zone).unwrap().contains("1.0.1.46 A")
    });
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
    let status = f.json(&["status", "--json"]);
    let serial = status["zones"]
        .as_array()
        .unwrap()
        .iter()
        .find(|z| z["zone"] == "bl.orbs.example")
        .unwrap()["serial"]
        .clone();
    until("status", || {
        f.json(&["status", "--json"])["exports"][0]["serial"] == serial
    });
    assert!(
        fs::read_to_string(&zone)
            .unwrap()
            .starts_with(&format!("; bl.orbs.example serial {serial} as master\n"))
    );
    assert!(
        f.ok(&["status"])
            .contains("out/bl.zone as master of bl.orbs.example: serial")
    );
    // The next reload names another set, which is written at once although no listing has changed.
    let config = fs::read_to_string(f.path().join("config.toml")).unwrap();
    f.write("config.toml", &config.replace("'master'", "'cidr'"));
    f.ok(&["reload"]);
    until("the other format", || {
        fs::read_to_string(&zone)
            .unwrap()
            .starts_with(&format!("# bl.orbs.example serial {serial} as cidr\n45.51"))
    });
    assert!(daemon.stop().success());
    let before = fs::metadata(&zone).unwrap().modified().unwrap();
    fs::remove_file(&rpz).unwrap();
    let _daemon = Daemon::start(&f);
    until("the file that is missing at a start", || rpz.exists());
    assert_eq!(
        fs::metadata(&zone).unwrap().modified().unwrap(),
        before,
        "what is current is left alone"
    );
}

#[test]
fn invalid_export_tables_are_reported() {
    let tables = "[[export]]\nzone='nope'\nformat='list'\npath='a'\n[[export]]\nzone='dbl'\nformat='ipset'\npath='b'\n\
                  [[export]]\nzone='bl'\nformat='pdf'\npath='c'\n[[export]]\nzone='bl'\nformat='list'\npath='c'\ninterval = '0s'\n\
                  [[export]]\nzone='bl'\nformat='list'\n[[export]]\nzone='bl'\nformat='rpz'\naction='bang'\npath='d'\nevry='1s'\n";
    let f = folder(tables);
    let out = f.orbsd(&["check"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    for part in [
        "unknown zone `nope`; there are bl, dbl",
        "only for addresses",
        "`pdf`",
        "c would be written over the file of another [[export]]",
        "1s or more",
        "name a file",
        "`bang`",
        "evry",
    ] {
        assert!(
            out.status.code() == Some(2) && said.contains(part),
            "{part}: {said}"
        );
    }
    let f = Folder::new();
    for (args, part) in [
        (
            &["export", "dbl", "--format", "nftables"][..],
            "only for addresses",
        ),
        (
            &["export", "bl", "--format", "rpz", "--action", "bang"],
            "passthru",
        ),
        (
            &["export", "bl", "--format", "list", "--action", "drop"],
            "no action",
        ),
    ] {
        let out = f.orbsd(args);
        assert!(
            out.status.code() == Some(2) && String::from_utf8_lossy(&out.stderr).contains(part),
            "{args:?}"
        );
    }
}

/// A full disk keeps the old file; when there is space again, the new one is written.
#[test]
fn full_disk_keeps_the_old_file() {
    let f = folder("[[export]]\nzone='bl'\nformat='list'\npath='small/list'\ninterval = '1s'\n");
    fs::create_dir(f.path().join("small")).unwrap();
    let root = fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
        .unwrap();
    let log = fs::File::create(f.path().join("log")).unwrap();
    let child = Command::new("unshare")
        .args([
            if root { "-m" } else { "-rm" },
            "sh",
            "-c",
            "mount -t tmpfs -o size=64k x small && exec \"$0\" serve",
        ])
        .arg(env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(f.path())
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    // Its folder, as the daemon sees it.
    let seen = PathBuf::from(format!(
        "/proc/{}/root{}",
        child.id(),
        f.path().join("small").display()
    ));
    let daemon = Daemon(child);
    let list = || fs::read_to_string(seen.join("list")).unwrap_or_default();
    until("the first file", || {
        list().starts_with("# bl.orbs.example serial ")
    });
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    until("the listing", || list().contains("45.51.100.7"));
    let (old, many) = (
        list(),
        (0..20_000)
            .map(|i| format!("46.{}.{}.1\n", i / 200, i % 200))
            .collect::<String>(),
    );
    f.write("many", &many);
    f.ok(&["import", "--source", "x", "--reason", "relay", "many"]);
    until("the error", || f.ok(&["status"]).contains("NOT current"));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(list(), old);
    // A new try writes a file for a moment.
    until("the removal of what did not fit", || {
        fs::read_dir(&seen).unwrap().count() == 1
    });
    assert_eq!(
        f.log().matches("could not be exported").count(),
        1,
        "{}",
        f.log()
    );
    f.write("many", "46.1.1.1\n");
    f.ok(&[
        "import",
        "--source",
        "x",
        "--reason",
        "relay",
        "--allow-shrink",
        "many",
    ]);
    until("room again", || list().contains("46.1.1.1"));
    until("no problem", || {
        f.json(&["status", "--json"])["exports"][0]["problem"].is_null()
    });
    assert!(daemon.stop().success());
}

pub fn output_text(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// Addresses of both families, prefixes, and an exclusion; then listed and unlisted addresses.
fn listed() -> (Folder, [&'static str; 6], [&'static str; 6]) {
    let f = folder("");
    f.write("a.rbl", "45.51.100.7\n45.51.100.8\n46.0.0.0/8\n!46.1.2.0/25\n127.1.2.0/25\n2a00:1:2::/48\n2a00:1:2:3::/64\n2a00:9:0:0:1::1/128\n2a00::1/128\n");
    f.ok(&[
        "import",
        "--source",
        "a",
        "--reason",
        "relay",
        "--format",
        "rbldnsd",
        "--allow-special-ranges",
        "a.rbl",
    ]);
    f.write(
        "d.rbl",
        "bad.test\n*.worse.test\n!.ok.worse.test\nx.y.ok.worse.test\n",
    );
    f.ok(&[
        "import",
        "--source",
        "d",
        "--reason",
        "spam",
        "--format",
        "rbldnsd",
        "--dataset",
        "dnset",
        "d.rbl",
    ]);
    (
        f,
        [
            "45.51.100.7",
            "46.0.0.1",
            "46.1.2.128",
            "2a00:1:2:3::9",
            "2a00:9:0:0:1::1",
            "2a00::1",
        ],
        [
            "45.51.100.9",
            "46.1.2.5",
            "47.0.0.1",
            "2a00:1:3::1",
            "2a00:9:0:0:1::2",
            "127.0.0.2",
        ],
    )
}

/// Runs a script in a network namespace of its own, with `$TOOL`.
pub fn in_network(program: &Command, script: &str, f: &Folder) -> Output {
    let root = fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
        .unwrap();
    let mut command = Command::new("unshare");
    command
        .args([if root { "-n" } else { "-rn" }, "sh", "-euc", script])
        .env("TOOL", program.get_program())
        .current_dir(f.path());
    command.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.output().unwrap()
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn nft_loads_the_sets_and_replaces_them() {
    let nft = program("nft");
    let (f, inside, outside) = listed();
    f.ok(&["export", "bl", "--format", "nftables", "-o", "new.nft"]);
    f.write(
        "old.nft",
        "table inet orbsd {\n set bl_v4 { type ipv4_addr; flags interval; }\n}\nadd element inet orbsd bl_v4 { 47.0.0.0/8 }\n",
    );
    let empty = Folder::new();
    f.write(
        "empty.nft",
        &empty.ok(&["export", "bl", "--format", "nftables"]),
    );
    let mut script = "\"$TOOL\" -c -f new.nft; \"$TOOL\" -f old.nft; \"$TOOL\" -f new.nft; \"$TOOL\" -f new.nft\n".to_string();
    for (wanted, addresses) in [("in", inside), ("out", outside)] {
        for a in addresses {
            let set = if a.contains(':') { "bl_v6" } else { "bl_v4" };
            script += &format!(
                "\"$TOOL\" get element inet orbsd {set} '{{ {a} }}' >/dev/null 2>&1 && is=in || is=out\n[ $is = {wanted} ] || echo wrong: {a}\n"
            );
        }
    }
    script += "\"$TOOL\" -f empty.nft; \"$TOOL\" list ruleset | grep -c elements || echo emptied\n";
    let out = in_network(&nft, &script, &f);
    assert!(
        out.status.success() && output_text(&out) == "0\nemptied\n",
        "{}",
        output_text(&out)
    );
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn ipset_restores_the_sets_and_swaps_them_in() {
    let ipset = program("ipset");
    let (f, inside, outside) = listed();
    f.ok(&["export", "bl", "--format", "ipset", "-o", "new.ipset"]);
    let empty = Folder::new();
    f.write(
        "empty.ipset",
        &empty.ok(&["export", "bl", "--format", "ipset"]),
    );
    let mut script =
        "\"$TOOL\" restore < empty.ipset; \"$TOOL\" restore < new.ipset; \"$TOOL\" restore < new.ipset\n\"$TOOL\" list -n\n".to_string();
    for (wanted, addresses) in [("in", inside), ("out", outside)] {
        for a in addresses {
            let set = if a.contains(':') { "bl_v6" } else { "bl_v4" };
            script += &format!(
                "\"$TOOL\" test {set} {a} >/dev/null 2>&1 && is=in || is=out\n[ $is = {wanted} ] || echo wrong: {a}\n"
            );
        }
    }
    // A truncated file changes nothing.
    script += "head -n 5 empty.ipset | sed '$s/.*/add nonsense/' > cut; \"$TOOL\" restore < cut 2>/dev/null && echo taken\n";
    script += "\"$TOOL\" test bl_v4 45.51.100.7 2>/dev/null || echo lost\n";
    let out = in_network(&ipset, &script, &f);
    let mut words: Vec<String> = output_text(&out).lines().map(String::from).collect();
    words.sort();
    assert!(
        out.status.success() && words == ["bl_v4", "bl_v6"],
        "{}",
        output_text(&out)
    );
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn postfix_looks_up_the_table() {
    let mut postmap = program("postmap");
    let (f, inside, outside) = listed();
    f.ok(&["export", "bl", "--format", "postfix", "-o", "bl.cidr"]);
    // The users of the program need not exist here.
    f.write(
        "main.cf",
        "compatibility_level = 3.6\nmail_owner = daemon\nsetgid_group = mail\n",
    );
    postmap
        .args(["-c", ".", "-q", "-", "cidr:bl.cidr"])
        .current_dir(f.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = postmap.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all([inside, outside].concat().join("\n").as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    let found: Vec<String> = String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(String::from)
        .collect();
    let keys: Vec<&str> = found
        .iter()
        .filter_map(|l| l.split_once("\tREJECT Open relay, see https://orbs.example/"))
        .map(|(k, _)| k)
        .collect();
    assert_eq!(keys, inside, "{}", output_text(&out));
    assert!(
        found.contains(
            &"46.1.2.128\tREJECT Open relay, see https://orbs.example/46.0.0.0/8".to_string()
        ),
        "{found:?}"
    );
}

/// BIND checks the response policy zones, and applies them to clients by address and to names.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn bind_applies_the_response_policy_zones() {
    let mut named = program("named");
    let (f, ..) = listed();
    for zone in ["bl", "dbl"] {
        f.ok(&[
            "export",
            zone,
            "--format",
            "rpz",
            "-o",
            &format!("{zone}.rpz"),
        ]);
        let out = program("named-checkzone")
            .args(["-i", "local"])
            .arg(format!("{zone}.rpz.test"))
            .arg(f.path().join(format!("{zone}.rpz")))
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", output_text(&out));
    }
    f.write(
        "root",
        "$TTL 60\n@ SOA a. b. 1 60 60 60 60\n@ NS a.\na. A 192.0.2.1\n* A 192.0.2.53\n",
    );
    let port = Folder::new().port;
    f.write(
        "named.conf",
        &format!(
            "options {{ directory \"{}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none;\n\
             recursion yes; allow-query {{ any; }}; allow-recursion {{ any; }}; dnssec-validation no;\n\
             response-policy {{ zone \"bl.rpz.test\"; zone \"dbl.rpz.test\"; }} qname-wait-recurse no; }};\ncontrols {{ }};\n\
             zone \".\" {{ type primary; file \"root\"; }};\nzone \"bl.rpz.test\" {{ type primary; file \"bl.rpz\"; }};\n\
             zone \"dbl.rpz.test\" {{ type primary; file \"dbl.rpz\"; }};\n",
            f.path().display()
        ),
    );
    let log = fs::File::create(f.path().join("log")).unwrap();
    named
        .args(["-g", "-n", "1", "-c", "named.conf"])
        .current_dir(f.path())
        .stderr(log)
        .stdin(Stdio::null());
    let _named = Daemon(named.spawn().unwrap());
    let ask = |from: &str, name: &str| {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        let mut reply = [0; 1500];
        let n = socket
            .send(&query(name, 1, false))
            .and_then(|_| socket.recv(&mut reply))
            .ok()?;
        (n > 12 && reply[2] & 0x80 != 0).then(|| {
            shown(&reply[..n])
                .split(' ')
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
    };
    until("named with its policies", || {
        ask("127.1.2.3", "www.example").is_some_and(|a| a.starts_with("NXDOMAIN"))
    });
    let (yes, no) = (
        Some("NOERROR 192.0.2.53".to_string()),
        Some("NXDOMAIN soa".to_string()),
    );
    for (from, name, want) in [
        ("127.1.2.127", "www.example", &no),
        ("127.1.2.128", "www.example", &yes),
        ("127.0.0.1", "www.example", &yes),
        ("127.0.0.1", "bad.test", &no),
        ("127.0.0.1", "x.bad.test", &yes),
        ("127.0.0.1", "worse.test", &yes),
        ("127.0.0.1", "x.worse.test", &no),
        ("127.0.0.1", "a.b.worse.test", &no),
        ("127.0.0.1", "ok.worse.test", &yes),
        ("127.0.0.1", "z.ok.worse.test", &yes),
        ("127.0.0.1", "y.ok.worse.test", &yes),
        ("127.0.0.1", "z.y.ok.worse.test", &yes),
        ("127.0.0.1", "x.y.ok.worse.test", &no),
        ("127.0.0.1", "test", &yes),
    ] {
        let got = ask(from, name);
        let same = got == *want
            || (want == &no && got.as_deref().is_some_and(|g| g.starts_with("NXDOMAIN")));
        assert!(same, "{from} {name}: {got:?}\n{}", f.log());
    }
    assert!(
        !f.log().contains("invalid"),
        "every trigger is one: {}",
        f.log()
    );
    assert!(
        udp(
            ([127, 0, 0, 1], port).into(),
            &query("www.example", 1, false),
            Duration::from_secs(1)
        )
        .is_some()
    );
}
