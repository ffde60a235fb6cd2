//! The command line, with a daemon and without.

use std::{fs, time::Duration};

use crate::lab::{Daemon, Folder, query, shown, udp};

fn a(folder: &Folder, name: &str) -> String {
    shown(&udp(folder.addr(), &query(&format!("{name}.bl.orbs.example"), 1, true), Duration::from_secs(5)).unwrap())
}

fn code(folder: &Folder, args: &[&str]) -> (i32, String) {
    let out = folder.orbsd(args);
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_listing_from_the_command_line_is_in_dns_when_it_returns() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.7", "--reason", "relay", "--until", "30d", "--note", "seen relaying"]);
    assert_eq!(a(&f, "7.100.51.45"), "NOERROR 127.0.0.2");
    let found = f.json(&["lookup", "45.51.100.7", "--json"]);
    assert_eq!(found["listed"], true);
    assert_eq!((&found["entries"][0]["reason"], &found["entries"][0]["source"]), (&"relay".into(), &"operator".into()));
    assert_eq!(found["zones"][0]["a"][0], "127.0.0.2");
    assert_eq!(found["history"][0]["event"], "listed");
    assert_eq!(found["history"][0]["evidence"]["text"], "seen relaying");
    assert!(found["history"][0]["author"].as_str().unwrap().starts_with("uid:"));
    assert_eq!(code(&f, &["lookup", "45.51.100.8"]).0, 1);
    assert_eq!(code(&f, &["delist", "45.51.100.8"]).0, 1);
    f.ok(&["delist", "45.51.100.7"]);
    assert_eq!(a(&f, "7.100.51.45"), "NXDOMAIN soa 60");
    assert_eq!(f.json(&["lookup", "45.51.100.7", "--json"])["history"][1]["event"], "delisted");
    // Special ranges need the word.
    let (n, why) = code(&f, &["list", "198.51.100.7", "--reason", "relay"]);
    assert!(n == 1 && why.contains("--special"), "{n} {why}");
    f.ok(&["list", "198.51.100.7", "--reason", "relay", "--special"]);
    assert_eq!(a(&f, "7.100.51.198"), "NOERROR 127.0.0.2");
    // Many from standard input, with a bad one among them: it is named, the others are taken.
    let out = f.orbsd_with(&["list", "--reason", "netblock"], "46.1.0.0/16 # net\n\n47.1.1.300\n2a00:1::/32\n");
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && err.contains("47.1.1.300"), "{err}");
    assert_eq!(a(&f, "1.1.1.46"), "NOERROR 127.0.0.3");
    let status = f.json(&["status", "--json"]);
    assert_eq!((&status["running"], &status["listed"]["ipv4_hosts"]), (&true.into(), &1.into()));
    assert!(status["zones"][0]["counters"]["listed"].as_u64().unwrap() >= 2);
    assert!(daemon.stop().success());
    // Without a daemon the same commands work on the store itself.
    assert_eq!(f.json(&["status", "--json"])["running"], false);
    f.ok(&["list", "45.51.100.9", "--reason", "relay"]);
    assert_eq!(f.json(&["lookup", "45.51.100.9", "--json"])["zones"][0]["a"][0], "127.0.0.2");
    let _daemon = Daemon::start(&f);
    assert_eq!(a(&f, "9.100.51.45"), "NOERROR 127.0.0.2");
    assert_eq!(a(&f, "1.1.1.46"), "NOERROR 127.0.0.3");
}

#[test]
fn wrong_usage_and_configuration_are_exit_code_2_with_the_place() {
    let f = Folder::new();
    for (args, part) in [
        (&["list", "45.1.1.1", "--reason", "relai"][..], "relay"),
        (&["list", "45.1.1.1"], "--reason"),
        (&["list", "45.1.1.7/24", "--reason", "relay"], "45.1.1.0/24"),
        (&["list", "45.1.1.1", "--reason", "relay", "--until", "soon"], "neither a duration"),
        (&["import", "--source", "x", "--reason", "relay", "nowhere.txt"], "nowhere.txt"),
        (&["export", "bl", "--format", "pdf"], "master"),
        (&["--config", "nowhere.toml", "check"], "nowhere.toml"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let out = f.orbsd(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(2) && said.contains(part), "{args:?}: {:?} {said}", out.status);
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
    for part in ["zones/bl.toml", "`foo`", "contact", "ns", "nope", "127.0.0.0/8"] {
        assert!(out.status.code() == Some(2) && said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_reload_takes_what_is_sound_and_refuses_what_is_not() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    let zone = fs::read_to_string(f.path().join("zones/bl.toml")).unwrap();
    f.write("zones/bl.toml", &zone.replace("127.0.0.2", "127.0.0.9"));
    f.ok(&["reload"]);
    assert_eq!(a(&f, "7.100.51.45"), "NOERROR 127.0.0.9");
    let soa = |f: &Folder| shown(&udp(f.addr(), &query("bl.orbs.example", 6, true), Duration::from_secs(5)).unwrap());
    let serial = |f: &Folder| soa(f).split_whitespace().nth(3).unwrap().parse::<u32>().unwrap();
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
    assert!(serial(&f) > before, "what is rendered from configuration moves the serial");
    let before = serial(&f);
    daemon.stop();
    // Also while it was stopped; and `serial` is the least.
    f.write("zones/bl.toml", &zone.replace("contact", "serial = 1000\nttl = '9m'\ncontact"));
    let daemon = Daemon::start(&f);
    assert_eq!(serial(&f), 1000.max(before + 1));
    daemon.stop();
    let _daemon = Daemon::start(&f);
    assert_eq!(serial(&f), 1000, "a restart alone moves nothing");
}

#[test]
fn a_second_daemon_on_the_same_store_is_told_why_not() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let other = Folder::new();
    let config = fs::read_to_string(other.path().join("config.toml")).unwrap();
    let store = format!("[store]\npath = {:?}\n", f.path().join("data"));
    other.write("config.toml", &format!("{store}{config}"));
    let out = other.orbsd(&["serve"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && said.contains("open in another process"), "{said}");
    let out = f.orbsd(&["serve"]);
    assert_eq!(out.status.code(), Some(2));
}
