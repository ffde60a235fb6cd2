//! An orbsd that follows another one by rows, told by NOTIFY.

use std::time::{Duration, Instant};

use crate::lab::{Daemon, Folder, query, shown, udp};

const CONFIG: &str = r#"
[admin]
listen = ""
[dns]
listen = ["127.0.0.1:PORT"]
workers = 1
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

fn zone(origin: &str, kind: &str, tail: &str) -> String {
    format!(
        "origin = '{origin}'\nkind = '{kind}'\nns = ['ns1.orbs.example', 'ns2.orbs.example']\ncontact = 'h@orbs.example'\ntxt = 'all'\n\
         publish = [{{ reason = 'relay', code = '127.0.0.2' }}, {{ reason = 'netblock', code = '127.0.0.3' }}, {{ reason = 'spam', code = '127.0.0.4' }}]\n{tail}"
    )
}

/// What both answer to a name, A and TXT.
fn answers(f: &Folder, name: &str) -> [String; 2] {
    [1, 16].map(|qtype| {
        let reply = udp(f.addr(), &query(name, qtype, true), Duration::from_secs(5)).unwrap();
        let mut words: Vec<&str> = Vec::new();
        let text = shown(&reply);
        words.extend(text.split_whitespace());
        words.sort_unstable();
        words.join(" ")
    })
}

/// Waits until the follower says what the leader says to all these names.
fn equal(leader: &Folder, follower: &Folder, names: &[String]) {
    let end = Instant::now() + Duration::from_secs(20);
    for name in names {
        loop {
            let (ours, theirs) = (answers(leader, name), answers(follower, name));
            if ours == theirs {
                break;
            }
            assert!(
                Instant::now() < end,
                "{name}: {ours:?} here, {theirs:?} there\n{}",
                follower.ok(&["status"])
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn v4(a: u32) -> String {
    let [a, b, c, d] = a.to_be_bytes();
    format!("{d}.{c}.{b}.{a}.bl.orbs.example")
}

#[test]
fn server_that_follows_rows_answers_like_its_primary() {
    let follower = Folder::with(
        CONFIG,
        &[
            ("bl", &zone("bl.orbs.example", "address", "")),
            ("dbl", &zone("dbl.orbs.example", "domain", "")),
        ],
    );
    let transfer = format!(
        "[transfer]\nallow = ['127.0.0.0/8']\nnotify = ['{}']\n",
        follower.addr()
    );
    let leader = Folder::with(
        CONFIG,
        &[
            ("bl", &zone("bl.orbs.example", "address", &transfer)),
            ("dbl", &zone("dbl.orbs.example", "domain", &transfer)),
        ],
    );
    let _leader = Daemon::start(&leader);
    let feed = |name: &str, zone: &str| {
        format!(
            "[[feed]]\nname = '{name}'\nkind = 'orbsd'\nserver = '{}'\nzone = '{zone}.orbs.example'\ncode_zone = '{zone}'\n",
            leader.addr()
        )
    };
    let config = std::fs::read_to_string(follower.path().join("config.toml")).unwrap();
    follower.write(
        "config.toml",
        &(config + &feed("up-bl", "bl") + &feed("up-dbl", "dbl")),
    );
    leader.ok(&["list", "45.1.0.0/16", "--reason", "netblock"]);
    leader.ok(&["list", "45.1.2.3", "--reason", "relay"]);
    let _follower = Daemon::start(&follower);
    leader.write("x.rbl", ":127.0.0.2:own $$ of $\n45.2.0.0/15\n!45.2.128.0/17\n45.2.200.7 :3:hole's own $\n2a00:1::/32\n!2a00:1:5::/48\n");
    leader.ok(&[
        "import",
        "--source",
        "xbl",
        "--code-zone",
        "bl",
        "--format",
        "rbldnsd",
        "x.rbl",
    ]);
    leader.ok(&["list", ".bad.test", "--reason", "spam"]);
    leader.ok(&["list", "x.good.bad.test", "--reason", "relay"]);
    leader.ok(&["exempt", ".good.bad.test"]);
    leader.ok(&["exempt", "45.1.7.0/24"]);
    let mut names: Vec<String> = [
        0x2d01_0001u32,
        0x2d01_0203,
        0x2d01_0204,
        0x2d01_0707,
        0x2d02_0001,
        0x2d02_8001,
        0x2d02_c807,
        0x2d03_0001,
        0x2d04_0001,
    ]
    .map(v4)
    .into();
    names.extend(
        [
            "bad",
            "x.bad",
            "good.bad",
            "x.good.bad",
            "y.good.bad",
            "other",
        ]
        .map(|n| format!("{n}.test.dbl.orbs.example")),
    );
    let six = |a: &str| {
        let n: Vec<String> = a
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets()
            .iter()
            .flat_map(|o| [o >> 4, o & 15])
            .rev()
            .map(|n| format!("{n:x}"))
            .collect();
        format!("{}.bl.orbs.example", n.join("."))
    };
    names.extend(["2a00:1::5", "2a00:1:5::5", "2a00:1:6::5", "2a00:2::5"].map(six));
    equal(&leader, &follower, &names);
    // And on, by differences, each told by NOTIFY; a prefix is one row and not its names.
    leader.ok(&["delist", "45.1.0.0/16"]);
    leader.ok(&["exempt", "--remove", ".good.bad.test"]);
    leader.ok(&["list", "45.2.200.0/24", "--reason", "netblock"]);
    let begun = Instant::now();
    leader.ok(&["list", "45.4.0.1", "--reason", "relay", "--note", "n"]);
    equal(&leader, &follower, &[v4(0x2d04_0001)]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "told, and not found by the timers: {:?}",
        begun.elapsed()
    );
    equal(&leader, &follower, &names);
    let feeds = follower.json(&["status", "--json"])["feeds"].clone();
    assert!(
        feeds
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["kind"] == "orbsd" && f["problem"].is_null()),
        "{feeds:#}"
    );
}

/// `count` servers; each publishes the same zone and tells all others of it.
fn servers(count: usize) -> Vec<Folder> {
    let all: Vec<Folder> = (0..count)
        .map(|_| Folder::with(CONFIG, &[("bl", &zone("bl.orbs.example", "address", ""))]))
        .collect();
    for (i, f) in all.iter().enumerate() {
        let others: Vec<String> = all
            .iter()
            .enumerate()
            .filter(|(j, _)| *j != i)
            .map(|(_, f)| format!("'{}'", f.addr()))
            .collect();
        let transfer = format!(
            "[transfer]\nallow = ['127.0.0.0/8']\nnotify = [{}]\n",
            others.join(", ")
        );
        f.write(
            "zones/bl.toml",
            &zone("bl.orbs.example", "address", &transfer),
        );
    }
    all
}

/// Adds a feed to a server's configuration.
fn follow(f: &Folder, name: &str, kind: &str, from: &Folder) {
    let config = std::fs::read_to_string(f.path().join("config.toml")).unwrap();
    let feed = format!(
        "[[feed]]\nname = '{name}'\nkind = '{kind}'\nserver = '{}'\nzone = 'bl.orbs.example'\ncode_zone = 'bl'\ninterval = '1s'\n",
        from.addr()
    );
    f.write("config.toml", &(config + &feed));
}

/// Waits until all servers answer alike.
fn all_answer(servers: &[Folder], name: &str, expected: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    for f in servers {
        while !answers(f, name)[0].contains(expected) {
            assert!(
                Instant::now() < end,
                "{name}: {:?}, not {expected}\n{}",
                answers(f, name),
                f.ok(&["status"])
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn serials(servers: &[Folder]) -> Vec<serde_json::Value> {
    servers
        .iter()
        .map(|f| f.json(&["status", "--json"])["zones"].clone())
        .map(|z| z[0]["serial"].clone())
        .collect()
}

/// In a ring, what ends at its origin ends everywhere, and then no serial moves.
fn ring(count: usize) {
    let all = servers(count);
    for i in 0..count {
        follow(&all[i], "ring", "orbsd", &all[(i + 1) % count]);
    }
    let _daemons: Vec<Daemon> = all.iter().map(Daemon::start).collect();
    all[0].ok(&["list", "45.1.2.3", "--reason", "relay"]);
    all[1].ok(&["list", "45.1.0.0/16", "--reason", "netblock"]);
    let names = ["3.2.1.45.bl.orbs.example", "9.9.1.45.bl.orbs.example"];
    names.iter().for_each(|n| all_answer(&all, n, "127.0.0."));
    all[0].ok(&["delist", "45.1.2.3", "--no-hold"]);
    all[1].ok(&["delist", "45.1.0.0/16", "--no-hold"]);
    names.iter().for_each(|n| all_answer(&all, n, "NXDOMAIN"));
    let mut last = serials(&all);
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = serials(&all);
        if now == last {
            break;
        }
        assert!(Instant::now() < end, "serials move on: {last:?}, {now:?}");
        last = now;
    }
    names.iter().for_each(|n| all_answer(&all, n, "NXDOMAIN"));
}

#[test]
fn ended_entries_end_in_a_ring_of_two() {
    ring(2);
}

#[test]
fn ended_entries_end_in_a_ring_of_three() {
    ring(3);
}

#[test]
fn server_that_follows_itself_is_refused_and_warned_of() {
    let all = servers(2);
    follow(&all[0], "mirror", "orbsd", &all[0]);
    let warning = all[0].ok(&["check"]);
    assert!(
        warning.contains("feed \"mirror\"") && warning.contains("is this server itself"),
        "{warning}"
    );
    let _daemon = Daemon::start(&all[0]);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let status = all[0].json(&["status", "--json"]);
        if status["feeds"][0]["problem"]
            .as_str()
            .is_some_and(|p| p.contains("the identity of this server's own store"))
        {
            break;
        }
        assert!(Instant::now() < end, "{status:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A zone transfer has no paths: what it brings is not sent on, unless the operator says so.
#[test]
fn entries_of_a_zone_transfer_are_sent_on_only_in_transit() {
    let all = servers(3);
    follow(&all[1], "plain", "axfr", &all[0]);
    follow(&all[2], "rows", "orbsd", &all[1]);
    let warning = all[1].ok(&["check"]);
    assert!(
        warning.contains("feed \"plain\"") && warning.contains("to each other for ever"),
        "{warning}"
    );
    let _daemons: Vec<Daemon> = all.iter().map(Daemon::start).collect();
    all[0].ok(&["list", "45.1.2.3", "--reason", "relay"]);
    all[1].ok(&["list", "45.1.2.4", "--reason", "relay"]);
    all_answer(&all[1..], "4.2.1.45.bl.orbs.example", "127.0.0.2");
    all_answer(&all[..2], "3.2.1.45.bl.orbs.example", "127.0.0.2");
    assert!(answers(&all[2], "3.2.1.45.bl.orbs.example")[0].contains("NXDOMAIN"));
    let config = std::fs::read_to_string(all[1].path().join("config.toml")).unwrap();
    all[1].write(
        "config.toml",
        &config.replace("interval = '1s'", "interval = '1s'\ntransit = true"),
    );
    all[1].ok(&["reload"]);
    all_answer(&all, "3.2.1.45.bl.orbs.example", "127.0.0.2");
}

/// A copy of a store that goes on elsewhere follows the original only with an identity of its own.
#[test]
fn restored_copy_has_the_identity_of_its_original_unless_told() {
    let all = servers(2);
    let daemon = Daemon::start(&all[0]);
    all[0].ok(&["list", "45.1.2.3", "--reason", "relay"]);
    let copy = all[0].path().join("copy");
    all[0].ok(&["backup", copy.to_str().unwrap()]);
    follow(&all[1], "original", "orbsd", &all[0]);
    let restore = |more: &[&str]| {
        let _ = std::fs::remove_dir_all(all[1].path().join("data"));
        let words = [
            &["restore", copy.to_str().unwrap(), "--without-removal-log"],
            more,
        ]
        .concat();
        all[1].ok(&words);
        Daemon::start(&all[1])
    };
    let problem = || all[1].json(&["status", "--json"])["feeds"][0].clone();
    let wait = |what: &dyn Fn(&serde_json::Value) -> bool| {
        let end = Instant::now() + Duration::from_secs(10);
        while !what(&problem()) {
            assert!(Instant::now() < end, "{:#}", problem());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let same = restore(&[]);
    wait(&|f| {
        f["problem"]
            .as_str()
            .is_some_and(|p| p.contains("restore --new-identity"))
    });
    same.stop();
    let _other = restore(&["--new-identity"]);
    wait(&|f| f["refreshed"].is_string() && f["problem"].is_null());
    drop(daemon);
}
