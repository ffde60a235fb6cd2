//! Real programs of the field: resolvers and mail servers that ask us, and rbldnsd on the same files.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::lab::{Daemon, Folder, query, udp};

/// Where the fetched servers lie.
fn peers() -> PathBuf {
    let at = std::env::var_os("ORBSD_PEERS").expect("ORBSD_PEERS names the folder of `make peers`; run `make test`");
    let path = PathBuf::from(at);
    assert!(path.join("root/usr/sbin/rbldnsd").exists(), "{}: run `make peers`", path.display());
    path
}

/// Strict resolvers and real mail servers see what is listed and what is not.
#[test]
fn c_unbound_postfix_exim_spamassassin_and_rspamd_know_the_listed_from_the_clean() {
    let dir = tempfile::tempdir().unwrap();
    let script = std::env::current_dir().unwrap().join("tests/mail.sh");
    // Postfix needs users beside root: real root has them, anybody else takes a range of subordinate ids.
    let root = fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0).unwrap();
    let ways: &[&str] = if root { &["-mn"] } else { &["-rmn", "--map-auto"] };
    let out = Command::new("unshare")
        .args(ways)
        .arg("sh")
        .arg(&script)
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .env("PEERS", peers())
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let logs = || {
        let read = |n: &str| fs::read_to_string(dir.path().join(n)).unwrap_or_default();
        format!(
            "{said}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            String::from_utf8_lossy(&out.stderr),
            read("orbsd.log"),
            read("un/log"),
            read("pf/log"),
            read("ex/err"),
            read("sa/err"),
            read("rs/log/log")
        )
    };
    for want in [
        "7.100.51.45 A: NOERROR 127.0.0.2",
        "7.100.51.45 TXT: NOERROR \"Open relay, see https://orbs.example/lookup?subject=45.51.100.7\"",
        "8.100.51.45 A: NXDOMAIN",
        "9.100.51.45 A: NXDOMAIN",
        "1.2.3.46 A: NOERROR 127.0.0.2",
        "1.2.3.47 A: NXDOMAIN",
        "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.0.0.7.4.6.0.6.2 A: NOERROR 127.0.0.2",
        "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.1.0.0.0.0.0.7.4.6.0.6.2 A: NXDOMAIN",
        // rspamd's and Haraka's probes: a list is dead unless the one is listed and the other does not exist.
        "1.0.0.127 A: NXDOMAIN",
        "2.0.0.127 A: NOERROR 127.0.0.2",
        "postfix clean: 250",
        "postscreen clean: 250",
        "exim clean: 250",
        "exim listed: 550 Open relay, see https://orbs.example/lookup?subject=45.51.100.7",
        "spamassassin listed: RCVD_IN_ORBS=2",
        "spamassassin clean: none",
        "rspamd listed: ORBS_RELAY 2.0",
        "rspamd clean: none",
    ] {
        assert!(said.lines().any(|l| l.trim_end().starts_with(want)), "missing: {want}\n{}", logs());
    }
    for name in ["postfix listed: 5", "postscreen listed: 5"] {
        let line = said.lines().find(|l| l.starts_with(name));
        assert!(line.is_some_and(|l| l.contains("bl.orbs.example")), "missing: {name}\n{}", logs());
    }
    assert!(said.contains("https://orbs.example/lookup?subject=45.51.100.7"), "Postfix shows our text\n{}", logs());
}

struct Peer(Child);
impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What both say to a name: rcode, A and TXT records.
fn both(q: &[u8], to: std::net::SocketAddr) -> Option<(u8, Vec<String>)> {
    let reply = udp(to, q, Duration::from_secs(3))?;
    let m = hickory_proto::op::Message::from_vec(&reply).ok()?;
    let mut data: Vec<String> = m.answers.iter().map(|r| r.data.to_string()).collect();
    data.sort();
    Some((reply[3] & 15, data))
}

const FILES: [(&str, &str, &str); 3] = [
    (
        "ip4trie",
        "a",
        ":127.0.0.2:first $\n45.0.0.0/8\n!45.1.0.0/16\n45.1.2.0/24\n45.1.2.128/25 :3:second $\n!45.1.2.200\n45.1.2.201 :2:own\n46.1.1.1\n46.1.2.0/23\n",
    ),
    ("ip4set", "b", ":127.0.0.2:set $\n47.1.1.1\n47.1.2\n47.2.0.0-47.2.0.99\n47.3.1.4-9\n!47.1.2.7\n48.1-3\n!48.2.5\n48.2.5.9\n"),
    (
        "dnset",
        "c",
        ":127.0.0.2:name $\nbad.test\n*.worse.test\n.both.test\n!ok.both.test\n.deep.ok.both.test :3:deep\nmany.labels.of.one.test\n",
    ),
];

/// rbldnsd files keep rbldnsd's meaning: thousands of answers are the same. What differs is known by name: names that
/// only have others below them, and the text's `$`, which names the listed prefix with us.
#[test]
fn rbldnsd_says_the_same_on_the_same_files() {
    let f = Folder::new();
    for (kind, name, text) in FILES {
        f.write(name, &format!("$SOA 300 a.x b.x 1 600 300 86400 60\n$NS 300 a.x\n{text}"));
        let zone = format!(
            "origin='{name}.orbs.example'\nkind='{}'\nns=['ns1.orbs.example','ns2.orbs.example']\ncontact='h@orbs.example'\n\
             publish=[{{reason='relay', code='127.0.0.2'}}, {{reason='netblock', code='127.0.0.3'}}]",
            if kind == "dnset" { "domain" } else { "address" }
        );
        f.write(&format!("zones/{name}.toml"), &zone);
        f.ok(&["import", "--source", name, "--codes", name, "--format", "rbldnsd", name]);
    }
    let _daemon = Daemon::start(&f);
    let root = peers().join("root");
    let port = Folder::new().port;
    let zones: Vec<String> = FILES.iter().map(|(kind, name, _)| format!("{name}.orbs.example:{kind}:{name}")).collect();
    let mut command = Command::new(root.join("usr/sbin/rbldnsd"));
    command.args(["-n", "-b", &format!("127.0.0.1/{port}"), "-w"]).arg(f.path()).args(&zones);
    if fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0).unwrap() {
        fs::set_permissions(f.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        command.args(["-u", "nobody:nogroup"]);
    }
    let _peer = Peer(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let to = ([127, 0, 0, 1], port).into();
    let until = Instant::now() + Duration::from_secs(10);
    while both(&query("1.1.1.46.a.orbs.example", 1, false), to).is_none() {
        assert!(Instant::now() < until, "rbldnsd does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut names: Vec<String> = Vec::new();
    let mut add4 = |a: u32, zones: &[&str]| {
        let [a, b, c, d] = a.to_be_bytes();
        zones.iter().for_each(|z| names.push(format!("{d}.{c}.{b}.{a}.{z}.orbs.example")));
    };
    for spot in [
        0x2d01_0000u32,
        0x2d01_0200,
        0x2e01_0100,
        0x2e01_0200,
        0x2f01_0100,
        0x2f01_0200,
        0x2f02_0000,
        0x2f03_0100,
        0x3001_0000,
        0x3002_0500,
    ] {
        (0..300).for_each(|i| add4(spot + i, if spot >> 24 < 0x2f { &["a"] } else { &["b"] }));
    }
    for n in ["bad.test", "worse.test", "both.test", "ok.both.test", "deep.ok.both.test", "many.labels.of.one.test", "other.test"] {
        names.extend(["", "x.", "y.x."].map(|p| format!("{p}{n}.c.orbs.example")));
    }
    let (mut same, mut branches) = (0, 0);
    for name in &names {
        let a = query(name, 1, false);
        let (ours, theirs) = (both(&a, f.addr()).unwrap(), both(&a, to).unwrap());
        if (ours.0, theirs.0) == (0, 3) && ours.1.is_empty() {
            branches += 1; // it exists because of what is below it; rbldnsd knows no such names
            continue;
        }
        assert_eq!(ours, theirs, "{name} A");
        let t = query(name, 16, false);
        let (ours, theirs) = (both(&t, f.addr()).unwrap(), both(&t, to).unwrap());
        let kind = |d: &[String]| d.iter().map(|t| t.split_whitespace().next().unwrap_or("").to_string()).collect::<Vec<_>>();
        assert_eq!(kind(&ours.1), kind(&theirs.1), "{name} TXT");
        same += 1;
    }
    assert!(same > 2500 && branches < 10, "{same} {branches}");
}
