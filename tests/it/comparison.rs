//! Comparisons with other lists, with the real daemon: by the command line, by the API, and what
//! the public gets of them.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    browser::crawl::get,
    lab::{CONFIG, DIGESTS, Daemon, Folder, free_port, query, udp},
    peers::program,
    primary::{ORIGIN, Primary, a},
    relay::{RelayLab, mta::MtaBehavior, v4},
};

fn lines(path: &std::path::Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(Into::into).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn stderr_of(f: &Folder, args: &[&str]) -> String {
    let out = f.orbsd(args);
    assert!(!out.status.success(), "{args:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The share of two groups of entries, in percent.
fn percent(comparison: &Value, part: &str, whole: &str) -> Value {
    let shares = comparison["shares"].as_array().unwrap();
    let found = shares
        .iter()
        .find(|s| s["part"] == part && s["whole"] == whole);
    found.unwrap_or_else(|| panic!("{part}/{whole}: {comparison:#}"))["percent"].clone()
}

#[test]
fn comparison_of_a_file_has_counts_shares_and_the_three_files_of_orbs() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.1", "--reason", "relay"]);
    f.ok(&["list", "46.0.0.0/24", "--reason", "netblock"]);
    f.ok(&["list", "2a00:1::/32", "--reason", "netblock"]);
    f.ok(&["list", "45.51.100.99", "--reason", "relay"]);
    // One host that both have, one inside a prefix of ours, a prefix that we have in part, IPv6 of
    // both kinds, and four hosts that only they have.
    f.write(
        "RSS.txt",
        "45.51.100.1\n46.0.0.7\n46.0.0.0/23\n2a00:1::7\n2a00:2::/48\n45.51.100.2\n45.51.100.3\n45.51.100.4\n47.0.0.1\n",
    );
    f.write(
        "tested.txt",
        "45.51.100.2 closed\n45.51.100.3 open\n45.51.100.4 closed # later\n45.51.100.1 closed\n",
    );
    let args = [
        "compare",
        "--with",
        "RSS.txt",
        "--tested",
        "tested.txt",
        "--zone",
        "bl",
        "--us",
        "orbs",
        "--write",
        "out",
    ];
    let compared = f.json(&[&args[..], &["--json"]].concat());
    let total = json!({
        "theirs": 9, "ours": 4, "both": 3, "only_theirs": 6, "partly_ours": 1, "only_ours": 2,
        "tested_open": 1, "tested_closed": 2, "untested": 3,
    });
    assert_eq!(compared["total"], total, "{compared:#}");
    assert_eq!(compared["ipv6"]["only_theirs"], 1);
    assert_eq!(compared["ipv4_addresses"]["both"], "257");
    assert_eq!(percent(&compared, "tested_closed", "tested"), json!(66.7));
    assert_eq!(percent(&compared, "tested_closed", "theirs"), json!(22.2));
    assert_eq!(compared["samples"][0]["group"], "45.0.0.0/8");
    assert_eq!(compared["samples"][0]["entries"], 3);
    let out = f.path().join("out");
    assert_eq!(lines(&out.join("rsslist.txt")).len(), 9);
    let only = [
        "45.51.100.2",
        "45.51.100.3",
        "45.51.100.4",
        "46.0.0.0/23",
        "47.0.0.1",
        "2a00:2::/48",
    ];
    assert_eq!(lines(&out.join("rss-vs-orbs.txt")), set(&only));
    let closed = ["45.51.100.2", "45.51.100.4"];
    assert_eq!(lines(&out.join("rss-vs-orbs-ok.txt")), set(&closed));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    let text = f.ok(&args);
    for part in [
        "of those only theirs: 1 tested open, 2 tested closed, 3 untested; 1 partly ours",
        " 66.7 %: 2 entries that only the other list has and tests found closed of 3 tested entries",
        "only theirs in 45.0.0.0/8: 3, such as ",
        "6 entries in rss-vs-orbs.txt",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The comparison starts no test, and lists nothing.
    assert_eq!(f.orbsd(&["lookup", "45.51.100.3"]).status.code(), Some(1));
}

/// The audit of RSS in June 2000: 31,193 hosts, of which 12,425 were not in ORBS, of which tests
/// found 828 open.
#[test]
fn audit_of_rss_prints_the_shares_of_the_documentation() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let host = |i: u32| std::net::Ipv4Addr::from(0x2d00_0001 + 7 * i);
    let all = |hosts: std::ops::Range<u32>| -> String {
        hosts.map(|i| format!("{}\n", host(i))).collect()
    };
    let (listed, missing, open) = (31_193, 12_425, 828);
    f.write("rss.txt", &all(0..listed));
    f.write("orbs.txt", &all(missing..listed + 10_000));
    let result = |i| format!("{} {}\n", host(i), if i < open { "open" } else { "closed" });
    f.write("tested.txt", &(0..missing).map(result).collect::<String>());
    f.ok(&[
        "import", "--source", "orbs", "--reason", "relay", "orbs.txt",
    ]);
    let text = f.ok(&[
        "compare",
        "--with",
        "rss.txt",
        "--tested",
        "tested.txt",
        "--zone",
        "bl",
        "--us",
        "orbs",
        "--write",
        "out",
    ]);
    let shown = crate::recipes::blocks("docs/comparison.md");
    let shown = shown.iter().find(|b| b.language == "text").unwrap();
    assert_eq!(shown.text.lines().count(), 3);
    for line in shown.text.lines() {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    let out = |name: &str| lines(&f.path().join("out").join(name)).len();
    let files = ["rsslist.txt", "rss-vs-orbs.txt", "rss-vs-orbs-ok.txt"];
    assert_eq!(files.map(out), [31_193, 12_425, 11_597]);
}

#[test]
fn mistakes_of_a_comparison_are_named() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("list.txt", "45.51.100.2\n");
    f.write("bad.txt", "45.51.100.2 maybe\n");
    f.write("empty.txt", "# nothing\n");
    for (args, part) in [
        (&["--with", "list.txt"][..], "there are bl, dbl"),
        (&["--with", "list.txt", "--zone", "nosuch"], "nosuch"),
        (&["--with", "none.txt", "--zone", "bl"], "none.txt"),
        (
            &["--with", "empty.txt", "--zone", "bl"],
            "no entries that can be compared",
        ),
        (
            &["--with", "list.txt", "--zone", "bl", "--name", "A/b"],
            "not a short name",
        ),
        (
            &["--with", "source:nosuch", "--zone", "bl"],
            "there is no source `nosuch`",
        ),
        (
            &["--with", "axfr:192.0.2.1/x.example", "--zone", "bl"],
            "no [[comparison]]",
        ),
        (
            &["--with", "list.txt", "--zone", "bl", "--tested", "bad.txt"],
            "bad.txt:1: `maybe` is not a result",
        ),
        (&["--tested", "bad.txt"], "--with"),
    ] {
        let why = stderr_of(&f, &[&["compare"][..], args].concat());
        assert!(why.contains(part), "{args:?}: {why}");
    }
}

#[test]
fn names_are_compared_with_their_scopes() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    for name in ["bad.example", ".worse.example", "*.below.example"] {
        f.ok(&["list", name, "--reason", "spam"]);
    }
    f.write(
        "names.txt",
        "bad.example\n.bad.example\nmail.worse.example\nworse.example\nbelow.example\n*.below.example\nnew.example\n",
    );
    let c = f.json(&["compare", "--with", "names.txt", "--zone", "dbl", "--json"]);
    // `.bad.example` also means the names below it, and `below.example` itself is not listed.
    let names = &c["names"];
    assert_eq!(
        (&names["theirs"], &names["both"]),
        (&json!(7), &json!(4)),
        "{c:#}"
    );
    assert_eq!(
        (&names["partly_ours"], &names["only_theirs"]),
        (&json!(1), &json!(3))
    );
    // They have only two names of the tree of `worse.example`.
    assert_eq!(
        (&names["ours"], &names["only_ours"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(c["total"], *names);
}

/// Digests are compared in any letter case, and are one group of samples.
#[test]
fn lists_of_digests_are_compared_with_a_hash_zone() {
    let config = format!("{CONFIG}[[reason]]\nname = 'drop-box'\ntext = 'Drop box $'\n");
    let f = Folder::with(&config, &[("bl", crate::lab::ZONE), ("ebl", DIGESTS)]);
    let _daemon = Daemon::start(&f);
    let digest = |i: u64| format!("{:040x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let list = |range: std::ops::Range<u64>| -> String {
        range.map(|i| format!("{}\n", digest(i))).collect()
    };
    f.write("ours.txt", &list(0..50));
    f.ok(&[
        "import", "--source", "own", "--reason", "drop-box", "ours.txt",
    ]);
    // A digest of another form is a line with an error.
    let theirs = list(20..100).to_uppercase();
    f.write(
        "theirs.txt",
        &format!("{theirs}d41d8cd98f00b204e9800998ecf8427e\n"),
    );
    let c = f.json(&[
        "compare",
        "--with",
        "theirs.txt",
        "--zone",
        "ebl",
        "--write",
        "out",
        "--json",
    ]);
    let names = &c["names"];
    let numbers = [
        "theirs",
        "ours",
        "both",
        "only_theirs",
        "only_ours",
        "untested",
    ];
    let expected = [80, 50, 30, 50, 20, 50].map(|n| json!(n));
    assert_eq!(numbers.map(|n| names[n].clone()), expected, "{c:#}");
    assert_eq!(c["total"], *names);
    assert_eq!(c["errors"], 1, "{c:#}");
    assert_eq!(percent(&c, "only_theirs", "theirs"), json!(62.5));
    let samples = c["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 1, "{c:#}");
    assert_eq!(
        (&samples[0]["group"], &samples[0]["entries"]),
        (&json!("digests"), &json!(50))
    );
    let only = lines(&f.path().join("out/theirs-vs-ebl.txt"));
    assert_eq!(only, (50..100).map(digest).collect());
    // The list of a source is compared in the same way.
    let c = f.json(&["compare", "--with", "source:own", "--zone", "ebl", "--json"]);
    assert_eq!(
        (&c["names"]["theirs"], &c["names"]["only_theirs"]),
        (&json!(50), &json!(50))
    );
}

/// Each zone is asked for at most once a day, by permission of its operator.
#[test]
fn zone_of_another_operator_is_transferred_by_permission_and_once_a_day() {
    let peer = Primary::new([a("2.0.0.127", 2), a("2.100.51.45", 2), a("1.100.51.45", 2)]);
    let with = format!("axfr:{}/{ORIGIN}", peer.addr);
    let config = |permission: &str| {
        format!(
            "{CONFIG}[[comparison]]\nname = 'peer'\nagainst = 'bl'\nserver = '{}'\nzone = '{ORIGIN}'\n{permission}\n",
            peer.addr
        )
    };
    let transfers = || {
        let script = peer.script.lock().unwrap();
        script.log.iter().filter(|l| l.starts_with("AXFR")).count()
    };
    let f = Folder::with(&config(""), &[("bl", crate::lab::ZONE)]);
    let _daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.1", "--reason", "relay"]);
    let args = ["compare", "--with", &with, "--json"];
    let why = stderr_of(&f, &args);
    assert!(why.contains("allow_transfer = true"), "{why}");
    assert_eq!(transfers(), 0);
    let permitted = config("allow_transfer = true").replace("PORT", &f.port.to_string());
    f.write("config.toml", &permitted);
    f.ok(&["reload"]);
    let first = f.json(&args);
    // The test point is not an entry.
    assert_eq!(
        (&first["total"]["theirs"], &first["left_out"]),
        (&json!(2), &json!(1)),
        "{first:#}"
    );
    assert_eq!(first["total"]["only_theirs"], 1);
    assert_eq!(first["name"], "peer");
    assert_eq!(transfers(), 1);
    // The second comparison of the day has the entries of the first transfer, and our list of now.
    peer.step(&[], &[a("3.100.51.45", 2)]);
    f.ok(&["list", "45.51.100.2", "--reason", "relay"]);
    let second = f.json(&args);
    assert_eq!(
        (&second["total"]["theirs"], &second["total"]["both"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(second["read_at"], first["read_at"]);
    assert_eq!(transfers(), 1);
    let why = stderr_of(&f, &[&args[..], &["--name", "other"]].concat());
    assert!(why.contains("the list is `peer`"), "{why}");
    // Without the list of the first transfer there is nothing to compare until tomorrow.
    fs::remove_dir_all(f.path().join("data/comparisons/peer")).unwrap();
    let why = stderr_of(&f, &args);
    assert!(why.contains("asked for less than a day ago"), "{why}");
    assert_eq!(transfers(), 1);
}

/// The secret of a key, in base64.
const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A name server that ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn zone_of_nsd_is_compared_with_a_key() {
    let port = free_port();
    let f = Folder::with(
        &format!(
            "{CONFIG}[[key]]\nname = 'peer'\nfile = 'keys/peer'\n[[comparison]]\nname = 'nsd'\nagainst = 'bl'\nserver = '127.0.0.1:{port}'\nzone = 'bl.peer.example'\nkey = 'peer'\nallow_transfer = true\n"
        ),
        &[("bl", crate::lab::ZONE)],
    );
    fs::create_dir(f.path().join("keys")).unwrap();
    let key = f.write("keys/peer", SECRET);
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    // A /24 as a wildcard, hosts, and the test point.
    let hosts: String = (1..=200)
        .map(|i| format!("{i}.100.51.45 A 127.0.0.2\n"))
        .collect();
    fs::write(
        dir.path().join("zone"),
        format!(
            "$ORIGIN bl.peer.example.\n$TTL 60\n@ SOA ns.peer.example. x.peer.example. 1 60 60 600 60\n@ NS ns.peer.example.\n2.0.0.127 A 127.0.0.2\n*.0.0.46 A 127.0.0.2\n{hosts}"
        ),
    )
    .unwrap();
    fs::write(
        dir.path().join("nsd.conf"),
        format!(
            "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n server-count: 1\n database: \"\"\n zonesdir: \"{at}\"\n zonelistfile: \"{at}/list\"\n xfrdfile: \"{at}/xfrd\"\n xfrdir: \"{at}\"\n pidfile: \"{at}/pid\"\n\
             remote-control:\n control-enable: no\n\
             key:\n name: \"peer\"\n algorithm: hmac-sha256\n secret: \"{SECRET}\"\n\
             zone:\n name: \"bl.peer.example\"\n zonefile: \"zone\"\n provide-xfr: 127.0.0.1 peer\n"
        ),
    )
    .unwrap();
    let mut nsd = program("nsd");
    nsd.args(["-d", "-c"]).arg(dir.path().join("nsd.conf"));
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let nsd = nsd
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let _peer = Peer(nsd.spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    let soa = query("bl.peer.example", 6, false);
    while udp(
        ([127, 0, 0, 1], port).into(),
        &soa,
        Duration::from_millis(200),
    )
    .is_none()
    {
        let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        assert!(Instant::now() < until, "{log}");
    }
    let _daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.1", "--reason", "relay"]);
    f.ok(&["list", "46.0.0.0/25", "--reason", "netblock"]);
    let with = format!("axfr:127.0.0.1:{port}/bl.peer.example");
    let c = f.json(&["compare", "--with", &with, "--write", "out", "--json"]);
    let total = &c["total"];
    assert_eq!(
        (&total["theirs"], &total["both"]),
        (&json!(201), &json!(1)),
        "{c:#}"
    );
    assert_eq!(
        (&total["partly_ours"], &total["only_ours"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(c["ipv4_addresses"]["both"], "129");
    let list = lines(&f.path().join("out/nsdlist.txt"));
    assert!(
        list.contains("46.0.0.0/24") && list.len() == 201,
        "{list:?}"
    );
}

#[test]
fn source_is_compared_with_the_other_sources_of_a_zone() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let import = |source: &str, list: &str| {
        f.write(source, list);
        f.ok(&["import", "--source", source, "--reason", "relay", source]);
    };
    import("alpha", "45.51.100.1\n45.51.100.2\n45.51.100.3\n");
    import("beta", "45.51.100.2\n45.51.100.4\n45.51.100.5\n");
    f.ok(&["list", "45.51.100.3", "--reason", "netblock"]);
    let c = f.json(&[
        "compare",
        "--with",
        "source:alpha",
        "--zone",
        "bl",
        "--json",
    ]);
    assert_eq!(c["name"], "alpha");
    let total = &c["total"];
    assert_eq!(
        (&total["theirs"], &total["both"]),
        (&json!(3), &json!(2)),
        "{c:#}"
    );
    assert_eq!(
        (&total["ours"], &total["only_ours"]),
        (&json!(4), &json!(2))
    );
    // An entry that alpha keeps and beta has dropped.
    std::thread::sleep(Duration::from_millis(1100));
    import(
        "beta",
        "45.51.100.4\n45.51.100.5\n45.51.100.1\n45.51.100.6\n",
    );
    let overlap = f.json(&["compare", "--overlap", "--json"]);
    let source = |name: &str| {
        let all = overlap["sources"].as_array().unwrap();
        all.iter().find(|s| s["source"] == name).unwrap().clone()
    };
    assert_eq!(source("alpha")["entries"], 3, "{overlap:#}");
    assert_eq!(
        (&source("alpha")["alone"], &source("beta")["alone"]),
        (&json!(1), &json!(3))
    );
    let kept = &source("alpha")["oldest_dropped_by_others"];
    assert_eq!(
        (&kept["subject"], &kept["dropped_by"]),
        (&json!("45.51.100.2"), &json!("beta"))
    );
    assert_eq!(source("beta")["oldest_dropped_by_others"], Value::Null);
    let pairs = overlap["pairs"].as_array().unwrap();
    let pair = pairs
        .iter()
        .find(|p| p["sides"][0]["source"] == "alpha" && p["sides"][1]["source"] == "beta")
        .unwrap();
    assert_eq!(
        (&pair["both"], &pair["same_time"]),
        (&json!(1), &json!(0)),
        "{pair:#}"
    );
    assert_eq!(
        (&pair["sides"][0]["only"], &pair["sides"][1]["only"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(
        (&pair["sides"][0]["first"], &pair["sides"][1]["first"]),
        (&json!(1), &json!(0))
    );
    assert!(
        pair["sides"][0]["median_lead"].as_u64().unwrap() >= 1,
        "{pair:#}"
    );
    let text = f.ok(&["compare", "--overlap"]);
    for part in [
        "alpha: 3 entries, 1 in no other source",
        "  not dropped: 45.51.100.2 since ",
        "alpha and beta: 1 in both, 2 only in alpha, 3 only in beta",
        "  alpha was first 1 time, by a median of ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn comparisons_need_the_permission_of_imports() {
    let api = Api::new();
    let reader = api.user("rita", "reader");
    let operator = api.user("olaf", "operator");
    let bound = api.token("feeder", "operator", &["--source", "feeder"]);
    let compare = |token: &str| {
        let path = "/v1/comparisons?name=rss&zone=bl";
        api.call(token, "POST", path, &[], "45.51.100.7\n")
    };
    assert_eq!(compare("").status, 401);
    assert_eq!(compare(&reader).status, 403);
    assert_eq!(compare(&bound).status, 403);
    assert_eq!(compare(&operator).ok()["total"]["only_theirs"], 1);
    let get = |token: &str, path: &str| api.call(token, "GET", path, &[], "");
    let list = "/v1/comparisons/rss/rsslist.txt";
    for path in ["/v1/comparisons", "/v1/comparisons/rss", list] {
        let refused = ["", &reader].map(|token| get(token, path).status);
        assert_eq!(refused, [401, 403], "{path}");
    }
    assert_eq!(get(&operator, list).text(), "45.51.100.7\n");
    assert_eq!(get(&operator, "/v1/comparisons/rss").ok()["name"], "rss");
    assert_eq!(get("", "/v1/overlap").status, 401);
    assert!(get(&reader, "/v1/overlap").ok()["pairs"].is_array());
    for path in [
        "rss/other.txt",
        "rss/..%2Fresult.json",
        "nosuch",
        "..%2Fdata",
    ] {
        let reply = get(&operator, &format!("/v1/comparisons/{path}"));
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    let audit = api.get("/v1/audit").ok().to_string();
    assert!(audit.contains("\"action\":\"compare\""), "{audit}");
    let delete = |token: &str| api.call(token, "DELETE", "/v1/comparisons/rss", &[], "");
    assert_eq!(delete(&reader).status, 403);
    assert_eq!(delete(&operator).ok()["name"], "rss");
    assert_eq!(delete(&operator).status, 404);
}

/// Public are counts, shares, and addresses that our own tests found closed; the other entries are
/// public only if the operator of the list permits it.
#[test]
fn public_gets_figures_and_what_our_own_tests_found_closed() {
    let web = free_port();
    let more = format!(
        "[web]\nlisten = '127.0.0.1:{web}'\nbase_url = 'http://127.0.0.1:{web}'\n\
         [[comparison]]\nname = 'free'\ntitle = 'A list for everybody'\nurl = 'https://free.example/'\nrepublish = true\n"
    );
    let lab = RelayLab::new(&more);
    let (closed, open, untested, by_others) = (v4(9, 1), v4(9, 2), v4(9, 3), v4(9, 4));
    let _closed = lab.mta(closed, "shut", MtaBehavior::default());
    let behavior = MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    let _open = lab.mta(open, "wide", behavior);
    let plain = json!({"tests": ["plain"]});
    let jobs = [closed, open].map(|addr| lab.nominate(addr, &plain));
    let found = jobs.map(|job| lab.done(job)["assessment"].clone());
    assert_eq!(found, [json!("closed"), json!("open")]);
    let f = &lab.api.f;
    f.ok(&["delist", &open.to_string()]);
    let list = format!("{closed}\n{open}\n{untested}\n{by_others}\n");
    f.write("rss.txt", &list);
    f.write("free.txt", &list);
    f.write("tested.txt", &format!("{by_others} closed\n"));
    for file in ["rss.txt", "free.txt"] {
        let c = f.json(&[
            "compare",
            "--with",
            file,
            "--tested",
            "tested.txt",
            "--json",
        ]);
        let total = &c["total"];
        let tested = [
            &total["tested_open"],
            &total["tested_closed"],
            &total["untested"],
        ];
        assert_eq!(tested, [&json!(1), &json!(2), &json!(1)], "{c:#}");
    }
    let site = format!("http://127.0.0.1:{web}");
    let all = lab.api.call("", "GET", "/compare", &[], "").ok();
    let [free, rss] = &all["items"].as_array().unwrap()[..] else {
        panic!("{all:#}");
    };
    assert_eq!(
        (&free["name"], &rss["name"]),
        (&json!("free"), &json!("rss"))
    );
    assert_eq!(rss["total"]["tested_closed"], 2);
    let files = |c: &Value| -> Vec<(String, u64)> {
        let file = |f: &Value| {
            (
                f["file"].as_str().unwrap().into(),
                f["entries"].as_u64().unwrap(),
            )
        };
        c["files"].as_array().unwrap().iter().map(file).collect()
    };
    assert_eq!(files(rss), [("rss-vs-bl-ok.txt".to_string(), 1)]);
    assert_eq!(files(free).len(), 3);
    // Of the other list, only the address that our own test found closed is public.
    assert!(!rss.to_string().contains("127.64."), "{rss:#}");
    let file = |path: &str| get(&site, &format!("/compare/{path}"), "en");
    assert_eq!(file("rss/rss-vs-bl-ok.txt").body, format!("{closed}\n"));
    for hidden in [
        "rss/rsslist.txt",
        "rss/rss-vs-bl.txt",
        "rss/closed.txt",
        "nosuch/x.txt",
    ] {
        assert_eq!(file(hidden).status, 404, "{hidden}");
    }
    assert_eq!(file("free/freelist.txt").body, list);
    assert_eq!(
        file("free/free-vs-bl-ok.txt").body,
        format!("{closed}\n{by_others}\n")
    );
    let page = get(&site, "/compare", "en").body;
    for part in [
        "A list for everybody",
        "href=\"https://free.example/\"",
        "rss-vs-bl-ok.txt",
        "66.7",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("127.64."), "{page}");
    assert!(
        get(&site, "/compare", "de")
            .body
            .contains("Vergleiche mit anderen Listen")
    );
}
