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
            assert!(Instant::now() < end, "{name}: {ours:?} here, {theirs:?} there\n{}", follower.ok(&["status"]));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn v4(a: u32) -> String {
    let [a, b, c, d] = a.to_be_bytes();
    format!("{d}.{c}.{b}.{a}.bl.orbs.example")
}

#[test]
fn x_an_orbsd_that_follows_rows_answers_as_the_one_it_follows() {
    let follower =
        Folder::with(CONFIG, &[("bl", &zone("bl.orbs.example", "address", "")), ("dbl", &zone("dbl.orbs.example", "domain", ""))]);
    let transfer = format!("[transfer]\nallow = ['127.0.0.0/8']\nnotify = ['{}']\n", follower.addr());
    let leader = Folder::with(
        CONFIG,
        &[("bl", &zone("bl.orbs.example", "address", &transfer)), ("dbl", &zone("dbl.orbs.example", "domain", &transfer))],
    );
    let _leader = Daemon::start(&leader);
    let feed = |name: &str, zone: &str| {
        format!("[[feed]]\nname = '{name}'\nkind = 'orbsd'\nserver = '{}'\nzone = '{zone}.orbs.example'\ncodes = '{zone}'\n", leader.addr())
    };
    let config = std::fs::read_to_string(follower.path().join("config.toml")).unwrap();
    follower.write("config.toml", &(config + &feed("up-bl", "bl") + &feed("up-dbl", "dbl")));
    leader.ok(&["list", "45.1.0.0/16", "--reason", "netblock"]);
    leader.ok(&["list", "45.1.2.3", "--reason", "relay"]);
    let _follower = Daemon::start(&follower);
    leader.write("x.rbl", ":127.0.0.2:own $$ of $\n45.2.0.0/15\n!45.2.128.0/17\n45.2.200.7 :3:hole's own $\n2a00:1::/32\n!2a00:1:5::/48\n");
    leader.ok(&["import", "--source", "xbl", "--codes", "bl", "--format", "rbldnsd", "x.rbl"]);
    leader.ok(&["list", ".bad.test", "--reason", "spam"]);
    leader.ok(&["list", "x.good.bad.test", "--reason", "relay"]);
    leader.ok(&["exempt", ".good.bad.test"]);
    leader.ok(&["exempt", "45.1.7.0/24"]);
    let mut names: Vec<String> =
        [0x2d01_0001u32, 0x2d01_0203, 0x2d01_0204, 0x2d01_0707, 0x2d02_0001, 0x2d02_8001, 0x2d02_c807, 0x2d03_0001, 0x2d04_0001]
            .map(v4)
            .into();
    names.extend(["bad", "x.bad", "good.bad", "x.good.bad", "y.good.bad", "other"].map(|n| format!("{n}.test.dbl.orbs.example")));
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
    assert!(begun.elapsed() < Duration::from_secs(5), "told, and not found by the timers: {:?}", begun.elapsed());
    equal(&leader, &follower, &names);
    let feeds = follower.json(&["status", "--json"])["feeds"].clone();
    assert!(feeds.as_array().unwrap().iter().any(|f| f["kind"] == "orbsd" && f["problem"].is_null()), "{feeds:#}");
}
