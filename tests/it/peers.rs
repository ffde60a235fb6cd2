//! Interoperability: resolvers and mail servers that query orbsd, and rbldnsd on the same files.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use orbsd::model::{Digest, Zone, ZoneKind, zone::Publish};

use crate::{
    lab::{Daemon, Folder, query, udp},
    mail_host::MailHost,
};

/// The folder of `make peers`. A test that uses it is ignored, so that `cargo test` passes on a
/// clone without it; `make test` runs ignored tests too.
pub fn peers() -> PathBuf {
    let at = std::env::var_os("ORBSD_PEERS")
        .expect("ORBSD_PEERS is not set to the folder of `make peers`; run `make test`");
    assert_caller_is_ignored();
    PathBuf::from(at)
}

/// Fails if the test of this thread is not among the ignored ones.
fn assert_caller_is_ignored() {
    static IGNORED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let thread = std::thread::current();
    // Threads that a test started have no name, and a single test thread is the main thread.
    let Some(test) = thread.name().filter(|n| *n != "main") else {
        return;
    };
    let ignored = IGNORED.get_or_init(|| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--list", "--ignored", "--format", "terse"])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    });
    assert!(
        ignored.lines().any(|l| l == format!("{test}: test")),
        "`{test}` uses peers: mark it with #[ignore = \"needs the programs of `make peers`; run `make test`\"]"
    );
}

/// A fetched program, with its libraries.
pub fn program(name: &str) -> Command {
    let root = peers().join("root");
    let found = ["usr/sbin", "usr/bin", "sbin", "bin"]
        .iter()
        .map(|d| root.join(d).join(name))
        .find(|p| p.exists())
        .unwrap_or_else(|| panic!("{name} is missing in {}: run `make peers`", root.display()));
    let libraries = ["x86_64-linux-gnu", "aarch64-linux-gnu", "postfix"]
        .map(|l| format!("{0}/usr/lib/{l}:{0}/lib/{l}", root.display()));
    let mut command = Command::new(found);
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command
}

/// Writes the parts of all recipes for the zones of `tests/mail.sh`, as ID/PURPOSE.FILE.
fn write_recipes(folder: &std::path::Path) {
    let zone = |short_name: &str, kind, codes: &[&str]| Zone {
        short_name: short_name.into(),
        origin: format!("{short_name}.orbs.example"),
        kind,
        publish: codes
            .iter()
            .map(|code| Publish {
                reason: (*code).into(),
                code: code.parse().unwrap(),
                ..Publish::default()
            })
            .collect(),
        ..Zone::default()
    };
    let mut masks = zone("mask", ZoneKind::Address, &["127.0.0.2", "127.0.0.4"]);
    masks.bitmask = true;
    let mut digests = zone("hbl", ZoneKind::Hash, &["127.0.2.2"]);
    digests.digest = Some(Digest::Sha1Hex);
    let zones = [
        (
            zone("bl", ZoneKind::Address, &["127.0.0.2", "127.0.0.3"]),
            "",
        ),
        (zone("dbl", ZoneKind::Domain, &["127.0.1.2"]), ""),
        (digests, ""),
        (masks, "-mask"),
    ];
    for (zone, ending) in zones {
        for recipe in orbsd::recipes::of(&zone) {
            let folder = folder.join(format!("{}{ending}", recipe.id));
            fs::create_dir_all(&folder).unwrap();
            for part in recipe.parts {
                let purpose: &str = part.purpose.into();
                let name = part.file.rsplit('/').next().unwrap();
                let path = folder.join(format!("{purpose}.{name}"));
                let earlier = fs::read_to_string(&path).unwrap_or_default();
                fs::write(&path, earlier + &part.text).unwrap();
            }
        }
    }
}

/// Strict resolvers and real mail servers distinguish listed hosts from others with every recipe of
/// src/recipes as it is: what is listed is refused, what is allowed or exempt is accepted, and if
/// the list is down, mail is accepted.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn every_recipe_recognises_what_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    write_recipes(&dir.path().join("recipes"));
    let recipes = dir.path().join("recipes");
    let host = MailHost::run(dir, "mail.sh", &recipes, &[]);
    let said = &host.printed;
    let logs = || {
        host.logs(&[
            "orbsd.log",
            "un/log",
            "pf/log",
            "ex/err",
            "sa/err",
            "rs/log/log",
            "sm/err",
            "os/log",
            "hk/log",
            "rpz/log",
        ])
    };
    let expect = |want: &str| {
        let printed = said.lines().any(|l| l.trim_end().starts_with(want));
        assert!(printed, "missing: {want}\n{}", logs());
    };
    for want in [
        "7.100.51.45 A: NOERROR 127.0.0.2",
        "7.100.51.45 TXT: NOERROR \"Open relay, see https://orbs.example/45.51.100.7\"",
        "8.100.51.45 A: NXDOMAIN",
        "9.100.51.45 A: NXDOMAIN",
        "1.2.3.46 A: NOERROR 127.0.0.2",
        "1.2.3.47 A: NXDOMAIN",
        "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.0.0.7.4.6.0.6.2 A: NOERROR 127.0.0.2",
        "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.1.0.0.0.0.0.7.4.6.0.6.2 A: NXDOMAIN",
        // The probes of rspamd and Haraka: a list counts as dead unless one test point is listed
        // and the other does not exist.
        "1.0.0.127 A: NXDOMAIN",
        "2.0.0.127 A: NOERROR 127.0.0.2 127.0.0.3",
        "exim listed: 550 Open relay, see https://orbs.example/45.51.100.7",
        "exim-domain listed: 550 Spam domain bad.example",
        "spamassassin listed: RBL_BL=6",
        "spamassassin clean: none",
        "spamassassin allowed: RBL_BL=6,RBL_BL_ALLOW=-6",
        "spamassassin exempt: RBL_BL=6,RBL_BL_EXEMPT=-6",
        "spamassassin down: none",
        "rspamd listed: RBL_BL 6.0",
        "rspamd-mask listed: RBL_MASK 6.0",
        "rspamd-domain listed: RBL_DBL 6.0",
        "rspamd-hash listed: RBL_HBL 6.0",
        "spamassassin-mask listed: RBL_MASK=6",
        "spamassassin-mask clean: none",
        "spamassassin-mask allowed: RBL_MASK=6,RBL_MASK_ALLOW=-6",
        "spamassassin-domain listed: RBL_DBL=6",
        "spamassassin-domain clean: none",
        "spamassassin-domain literal: RBL_DBL=6",
        "spamassassin-domain other literal: none",
        "rspamd-domain literal: RBL_DBL 6.0",
        "rspamd-domain other literal: none",
        "spamassassin-domain allowed: RBL_DBL=6,RBL_DBL_ALLOW=-6",
        "spamassassin-domain exempt: RBL_DBL=6,RBL_DBL_EXEMPT=-6",
        "spamassassin-hash listed: RBL_HBL=6",
        "spamassassin-hash clean: none",
        "spamassassin-hash allowed: RBL_HBL=6,RBL_HBL_ALLOW=-6",
        "spamassassin-hash exempt: RBL_HBL=6,RBL_HBL_EXEMPT=-6",
        "exim-mask listed: 550",
        "rspamd refuses: 0",
        "unbound listed: NXDOMAIN",
        "unbound clean: NOERROR",
        "unbound allowed: NOERROR",
    ] {
        expect(want);
    }
    // Programs test the bits of 127.0.0.2, and of 127.0.0.6 for two reasons.
    for want in [
        "spamassassin-bits listed: B2=1,RBL_MASK=6",
        "spamassassin-bits both: B12=1,B2=1,B4=1,RBL_MASK=6",
        "rspamd-bits listed: BIT_2",
        "rspamd-bits both: BIT_2 BIT_4",
        "exim-bits listed: 550 holds: =2 =2/4 &2 ==2 =&2 !=6 !&4 !&8 !==6 !=&8",
        "exim-bits both: 550 holds: =6 &2 &4 &6 ==6 =&2 =&6 !=2 !&8 !=&8",
        "exim-bits clean: 550 holds:",
    ] {
        let printed = said.lines().any(|l| l.trim_end() == want);
        assert!(printed, "missing: {want}\n{}", logs());
    }
    for server in [
        "postfix",
        "postscreen",
        "postfix-domain",
        "postfix-mask",
        "sendmail",
        "sendmail dnsbl",
    ] {
        let line = said
            .lines()
            .find(|l| l.starts_with(&format!("{server} listed: 5")));
        assert!(
            line.is_some_and(|l| l.contains(".orbs.example")),
            "missing: {server} listed\n{}",
            logs()
        );
    }
    for want in [
        "opensmtpd listed: 5",
        "haraka listed: 5",
        "haraka domain zone: 5",
    ] {
        expect(want);
    }
    for server in [
        "postfix",
        "postfix-domain",
        "postfix-mask",
        "exim",
        "exim-domain",
        "exim-mask",
        "sendmail",
    ] {
        for client in ["clean", "allowed", "exempt"] {
            expect(&format!("{server} {client}: 250"));
        }
    }
    for want in [
        "postscreen clean: 250",
        "postscreen allowed: 250",
        "sendmail dnsbl clean: 250",
    ] {
        expect(want);
    }
    for client in ["clean", "allowed", "exempt"] {
        expect(&format!("opensmtpd {client}: 250"));
        for list in ["", "-mask", "-domain", "-hash"] {
            expect(&format!("rspamd{list} {client}: none"));
        }
    }
    for want in ["haraka clean: 250", "haraka allowed: 250"] {
        expect(want);
    }
    for server in ["postfix", "exim", "sendmail", "haraka"] {
        expect(&format!("{server} down: 250"));
    }
    expect("rspamd down: none");
    assert!(
        said.contains("https://orbs.example/45.51.100.7"),
        "Postfix shows our text\n{}",
        logs()
    );
}

struct Peer(Child);
impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answers of both servers to a name: rcode, A and TXT records.
fn both(q: &[u8], to: std::net::SocketAddr) -> Option<(u8, Vec<String>)> {
    let reply = udp(to, q, Duration::from_secs(3))?;
    let m = hickory_proto::op::Message::from_vec(&reply).ok()?;
    let mut data: Vec<String> = m.answers.iter().map(|r| r.data.to_string()).collect();
    data.sort();
    Some((reply[3] & 15, data))
}

/// Data set type, file and zone, data; each in networks of its own, because all zones here publish
/// the same reasons. Known differences (`src/lists/rbldnsd.rs`) are left out here.
const FILES: [(&str, &str, &str); 8] = [
    (
        "ip4trie",
        "a",
        ":127.0.0.2:first $\n45.0.0.0/8\n!45.1.0.0/16\n45.1.2.0/24\n45.1.2.128/25 :3:second $\n!45.1.2.200\n45.1.2.201 :2:own\n46.1.1.1\n46.1.2.0/23\n",
    ),
    (
        "ip4set",
        "b",
        ":127.0.0.2:set $\n47.1.1.1\n47.1.2\n47.2.0.0-47.2.0.99\n47.3.1.4-9\n!47.1.2.7\n48.1-3\n!48.2.5\n48.2.5.9\n",
    ),
    (
        "dnset",
        "c",
        ":127.0.0.2:name $\nbad.test\n*.worse.test\n.both.test\n!ok.both.test\n.deep.ok.both.test :3:deep\nmany.labels.of.one.test\n",
    ),
    (
        "ip6trie",
        "d",
        "$1 word\n$= frame $= end\n:127.0.0.2:six $1\n2a00:1::/32\n!2a00:1:5::/48\n2a00:1:5:7::/64 :3:inner $$ $7\n2a00:2:3:4::5 :2:=bare\n",
    ),
    (
        "ip6tset",
        "e",
        ":127.0.0.2:tset\n2a00:10:1:2\n2a00:10:1:3\n!2a00:10:1:2::7\n",
    ),
    (
        "ip4tset",
        "f",
        ":127.0.0.3:all $\n49.60.1.1\n49.60.1.2 :2:ignored\n49.60.2.9\n",
    ),
    (
        "combined",
        "g",
        "$DATASET ip4trie @\n:127.0.0.2:four $\n50.70.0.0/16\n!50.70.3.0/24\n50.70.3.9 :3:back\n$DATASET ip6trie @\n:127.0.0.3:six\n2a00:70::/32\n\
         $DATASET ip4trie:w white\n50.71.0.0/16\n$DATASET generic @\n4.3.72.50 A 127.0.0.2\n",
    ),
    (
        "generic",
        "h",
        "4.3.2.53 A 127.0.0.2\n9.8.7.53 600 A 127.0.0.3\n",
    ),
];

/// Both servers on the same files: our folder and daemon, theirs, and the addresses of both.
fn side_by_side() -> (Folder, Daemon, Peer, std::net::SocketAddr) {
    let f = Folder::new();
    for (kind, name, text) in FILES {
        f.write(
            name,
            &format!("$SOA 300 a.x b.x 1 600 300 86400 60\n$NS 300 a.x\n{text}"),
        );
        let zone = format!(
            "origin='{name}.orbs.example'\nkind='{}'\nns=['ns1.orbs.example','ns2.orbs.example']\ncontact='h@orbs.example'\n\
             publish=[{{reason='relay', code='127.0.0.2'}}, {{reason='netblock', code='127.0.0.3'}}]",
            if kind == "dnset" { "domain" } else { "address" }
        );
        f.write(&format!("zones/{name}.toml"), &zone);
        f.ok(&[
            "import",
            "--source",
            name,
            "--code-zone",
            name,
            "--format",
            "rbldnsd",
            "--dataset",
            kind,
            name,
        ]);
    }
    let daemon = Daemon::start(&f);
    let root = peers().join("root");
    let port = crate::lab::free_port();
    let zones: Vec<String> = FILES
        .iter()
        .map(|(kind, name, _)| format!("{name}.orbs.example:{kind}:{name}"))
        .collect();
    let mut command = Command::new(root.join("usr/sbin/rbldnsd"));
    command
        .args(["-n", "-b", &format!("127.0.0.1/{port}"), "-w"])
        .arg(f.path())
        .args(&zones);
    if fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
        .unwrap()
    {
        fs::set_permissions(
            f.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        command.args(["-u", "nobody:nogroup"]);
    }
    let peer = Peer(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let to = ([127, 0, 0, 1], port).into();
    let until = Instant::now() + Duration::from_secs(10);
    while both(&query("1.1.1.46.a.orbs.example", 1, false), to).is_none() {
        assert!(Instant::now() < until, "rbldnsd does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    (f, daemon, peer, to)
}

/// The names that both are queried for.
fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let four = |a: u32| {
        let [a, b, c, d] = a.to_be_bytes();
        format!("{d}.{c}.{b}.{a}")
    };
    for (zone, spots) in [
        (
            "a",
            &[0x2d01_0000u32, 0x2d01_0200, 0x2e01_0100, 0x2e01_0200][..],
        ),
        (
            "b",
            &[
                0x2f01_0100,
                0x2f01_0200,
                0x2f02_0000,
                0x2f03_0100,
                0x3001_0000,
                0x3002_0500,
            ],
        ),
        ("f", &[0x313c_0100, 0x313c_0200]),
        ("g", &[0x3246_0000, 0x3246_0300, 0x3247_0000, 0x3248_0300]),
        ("h", &[0x3502_0300, 0x3507_0800]),
    ] {
        spots.iter().for_each(|spot| {
            names.extend((0..300).map(|i| format!("{}.{zone}.orbs.example", four(spot + i))));
        });
    }
    for (zone, spot, step) in [
        ("d", 0x2a00_0001_0000u128 << 80, 1u128 << 78),
        ("d", 0x2a00_0001_0005u128 << 80, 1 << 62),
        ("d", 0x2a00_0002_0003_0004u128 << 64, 1),
        ("e", 0x2a00_0010_0001_0002u128 << 64, 1),
        ("e", 0x2a00_0010_0001_0000u128 << 64, 1 << 62),
        ("g", 0x2a00_0070_0000u128 << 80, 1 << 94),
    ] {
        for i in 0..60 {
            let nibbles: Vec<String> = format!("{:032x}", spot + step * i)
                .chars()
                .rev()
                .map(String::from)
                .collect();
            names.push(format!("{}.{zone}.orbs.example", nibbles.join(".")));
        }
    }
    for n in [
        "bad.test",
        "worse.test",
        "both.test",
        "ok.both.test",
        "deep.ok.both.test",
        "many.labels.of.one.test",
        "other.test",
    ] {
        names.extend(["", "x.", "y.x."].map(|p| format!("{p}{n}.c.orbs.example")));
    }
    names
}

/// Replaces every address, prefix and name in a text by `@`, because `$` is the listed subject here
/// and the queried name in rbldnsd.
fn without_subject(text: &str) -> String {
    let subject = |w: &&str| {
        w.trim_matches('"').parse::<orbsd::model::Subject>().is_ok() && w.contains(['.', ':'])
    };
    text.split(' ')
        .map(|w| if subject(&w) { "@" } else { w })
        .collect::<Vec<_>>()
        .join(" ")
        .replace('"', "")
}

/// rbldnsd files keep the meaning that they have in rbldnsd: thousands of A and TXT answers are the
/// same.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn rbldnsd_gives_the_same_answers_for_the_same_files() {
    let (f, _daemon, _peer, to) = side_by_side();
    let (mut same, mut branches) = (0, Vec::new());
    for name in &names() {
        let a = query(name, 1, false);
        let (ours, theirs) = (both(&a, f.addr()).unwrap(), both(&a, to).unwrap());
        if (ours.0, theirs.0) == (0, 3) && ours.1.is_empty() {
            branches.push(name.clone());
            continue;
        }
        assert_eq!(ours, theirs, "{name} A");
        let t = query(name, 16, false);
        let (ours, theirs) = (both(&t, f.addr()).unwrap(), both(&t, to).unwrap());
        let texts = |d: &[String]| d.iter().map(|t| without_subject(t)).collect::<Vec<_>>();
        // A generic set has no texts; orbsd uses that of the reason.
        if !name.ends_with("h.orbs.example") && !name.ends_with(".72.50.g.orbs.example") {
            assert_eq!(texts(&ours.1), texts(&theirs.1), "{name} TXT");
        }
        same += 1;
    }
    // Empty non-terminals exist in orbsd and not in rbldnsd.
    let known = ["worse.test", "ok.both.test"].map(|n| format!("{n}.c.orbs.example"));
    assert!(branches.iter().all(|b| known.contains(b)), "{branches:?}");
    assert!(same > 5000, "{same}");
}

/// The intended differences from rbldnsd.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn documented_differences_from_rbldnsd_are_complete() {
    let (f, _daemon, _peer, to) = side_by_side();
    let asked = |name: &str, qtype: u16, edns: bool| {
        let q = query(&format!("{name}.orbs.example"), qtype, edns);
        let reply = |to| {
            let r = udp(to, &q, Duration::from_secs(3))?;
            Some((r[3] & 15, r[11]))
        };
        (reply(f.addr()), reply(to))
    };
    // The rcode and the number of additional records: orbsd, rbldnsd.
    assert_eq!(
        asked("1.1.46.a", 1, false),
        (Some((0, 0)), Some((3, 0))),
        "an empty branch is NODATA, not NXDOMAIN"
    );
    assert_eq!(
        asked("1.1.1.46.a", 1, true),
        (Some((0, 1)), Some((0, 0))),
        "an OPT in every reply to an OPT"
    );
    assert_eq!(
        asked("1.1.1.46.a", 257, false),
        (Some((0, 0)), Some((4, 0))),
        "CAA is NODATA, not NOTIMP"
    );
    assert_eq!(
        asked("2.0.0.127.a", 1, false),
        (Some((0, 0)), Some((3, 0))),
        "test points are built in"
    );
    let tcp = |to: std::net::SocketAddr| {
        crate::lab::tcp(to, &query("1.1.1.46.a.orbs.example", 1, false)).is_some()
    };
    assert_eq!((tcp(f.addr()), tcp(to)), (true, false), "TCP is answered");
    let text = |to| {
        both(&query("9.0.0.45.a.orbs.example", 16, false), to)
            .unwrap()
            .1
    };
    assert_eq!(
        (text(f.addr()), text(to)),
        (
            vec!["first 45.0.0.0/8".to_string()],
            vec!["first 45.0.0.9".to_string()]
        ),
        "`$` is the listed subject"
    );
}
