//! The shutdown of a zone (RFC 6471 section 3.4): before it, while it is announced, while the zone
//! is empty, and its undo.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::lab::{Daemon, Folder, query, shown, udp};

fn ask(f: &Folder, name: &str, qtype: u16) -> String {
    let name = if name.is_empty() {
        "bl.orbs.example".to_string()
    } else {
        format!("{name}.bl.orbs.example")
    };
    shown(&udp(f.addr(), &query(&name, qtype, true), Duration::from_secs(5)).unwrap())
}

fn serial(f: &Folder) -> u64 {
    ask(f, "", 6)
        .split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap()
}

fn zone(f: &Folder) -> serde_json::Value {
    f.json(&["status", "--json"])["zones"]
        .as_array()
        .unwrap()
        .iter()
        .find(|z| z["zone"] == "bl.orbs.example")
        .unwrap()
        .clone()
}

/// Checks what holds at every stage: the zone exists, its test points answer, and it does not list
/// everything.
fn sound(f: &Folder) {
    assert_eq!(ask(f, "2.0.0.127", 1), "NOERROR 127.0.0.2 127.0.0.3");
    assert_eq!(ask(f, "3.0.0.127", 1), "NOERROR 127.0.0.3");
    assert_eq!(ask(f, "", 2), "NOERROR ns1.orbs.example. ns2.orbs.example.");
    for name in [
        "1.0.0.127",
        "9.9.9.9",
        "7.7.51.45",
        "random",
        "x.7.100.51.45",
    ] {
        assert_eq!(ask(f, name, 1), "NXDOMAIN soa 60", "{name}");
    }
    assert_eq!(ask(f, "", 1), "NOERROR soa 60", "no A at the apex");
}

#[test]
fn retire_plan_of_a_remote_server_is_fetched_from_it() {
    let port = crate::lab::free_port();
    let config =
        crate::lab::CONFIG.replace("listen = \"\"", &format!("listen = \"127.0.0.1:{port}\""));
    let far = Folder::with(&config, &[("bl", crate::lab::ZONE)]);
    let _daemon = Daemon::start(&far);
    let token = far.write(
        "token",
        &far.ok(&["token", "create", "--owner", "anna", "--role", "reader"]),
    );
    fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // No file of this machine's server is read.
    let near = Folder::with(crate::lab::CONFIG, &[]);
    let server = format!("http://127.0.0.1:{port}");
    let run = |args: &[&str]| {
        let out = near.orbsd(
            &[
                &["retire"],
                args,
                &["--server", &server, "--token", token.to_str().unwrap()],
            ]
            .concat(),
        );
        (
            out.status.code(),
            String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr),
        )
    };
    assert_eq!(
        run(&["bl"]),
        (Some(0), "bl.orbs.example is not being retired\n".into())
    );
    far.ok(&["retire", "bl", "--empty-at", "60d"]);
    for name in ["bl", "bl.orbs.example."] {
        let (code, text) = run(&[name]);
        assert!(
            code == Some(0) && text.contains("lists nothing") && text.contains("announced"),
            "{text}"
        );
    }
    let (code, text) = run(&["nowhere"]);
    assert!(
        code == Some(1) && text.contains("has no zone `nowhere`; it has bl.orbs.example"),
        "{text}"
    );
    for args in [&["bl", "--undo"][..], &["bl", "--empty-at", "60d"]] {
        let (code, text) = run(args);
        assert!(
            code == Some(2) && text.contains("run this on that machine"),
            "{text}"
        );
    }
}

#[test]
fn retired_zone_is_announced_then_empty_and_never_lists_everything() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    let file = f.path().join("zones/bl.toml");
    let before = fs::read_to_string(&file).unwrap();
    for (subject, reason) in [
        ("45.51.100.7", "relay"),
        ("46.1.0.0/16", "netblock"),
        ("2a00:1::/32", "relay"),
    ] {
        f.ok(&["list", subject, "--reason", reason]);
    }
    let lists = |f: &Folder| [ask(f, "7.100.51.45", 1), ask(f, "1.2.1.46", 1)];
    let (yes, nobody) = (
        ["NOERROR 127.0.0.2", "NOERROR 127.0.0.3"],
        ["NXDOMAIN soa 60", "NXDOMAIN soa 60"],
    );
    // A dry run changes nothing.
    let first = serial(&f);
    let plan = f.ok(&["retire", "bl"]);
    assert!(
        plan.contains("nothing was changed")
            && plan.contains("--empty-at 20")
            && plan.contains("192.0.2.1"),
        "{plan}"
    );
    assert_eq!(
        (serial(&f), fs::read_to_string(&file).unwrap()),
        (first, before.clone())
    );
    assert_eq!(f.json(&["retire", "bl", "--json"])["retiring"], false);
    // The shutdown is announced for a month, unless the operator permits less.
    for args in [
        &["retire", "bl", "--empty-at", "10d"][..],
        &["retire", "bl", "--empty-at", "someday"],
        &["retire", "bl", "--short-notice"],
    ] {
        assert_eq!(f.orbsd(args).status.code(), Some(2), "{args:?}");
    }
    for args in [&["retire", "nope"][..], &["retire", "bl", "--undo"]] {
        assert_eq!(f.orbsd(args).status.code(), Some(1), "{args:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    // Announced: the zone lists as before, with the announcement.
    let said = f.ok(&["retire", "bl", "--empty-at", "4s", "--short-notice"]);
    let began = Instant::now();
    assert!(
        said.contains("lists nothing from 20") && said.contains("--undo"),
        "{said}"
    );
    assert_eq!(lists(&f), yes);
    sound(&f);
    for name in ["", "2.0.0.127", "3.0.0.127"] {
        assert!(
            ask(&f, name, 16).starts_with(
                "NOERROR bl.orbs.example is being shut down: it lists nothing from 20"
            ),
            "{}",
            ask(&f, name, 16)
        );
    }
    assert!(serial(&f) > first);
    assert_eq!(zone(&f)["retire"]["stage"], "announced");
    assert!(
        f.ok(&["status"])
            .contains("retiring: lists as before until 20")
    );
    assert_eq!(
        f.orbsd(&["retire", "bl", "--empty-at", "90d"])
            .status
            .code(),
        Some(1),
        "it is under way"
    );

    // The zone becomes empty by itself, at its second.
    let announced = serial(&f);
    while lists(&f) != nobody {
        assert!(began.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() > Duration::from_secs(2));
    sound(&f);
    assert!(serial(&f) > announced, "mirrors have to see that it moved");
    assert_eq!(zone(&f)["retire"]["stage"], "empty");
    for (format, lines) in [("list", 1), ("cidr", 1), ("jsonl", 1)] {
        assert_eq!(
            f.ok(&["export", "bl", "--format", format]).lines().count(),
            lines,
            "{format}"
        );
    }
    // A mirror gets SOA, NS, announcement and test points.
    let master = f.ok(&["export", "bl", "--format", "master"]);
    assert!(
        master.contains("2.0.0.127 A 127.0.0.2")
            && master.contains("@ TXT \"bl.orbs.example is being shut down"),
        "{master}"
    );
    assert!(
        !master.contains('*') && !master.contains(".45 ") && !master.contains(".46 "),
        "{master}"
    );
    // Listings are still stored, and not published.
    f.ok(&["list", "45.51.100.8", "--reason", "relay"]);
    assert_eq!(ask(&f, "8.100.51.45", 1), "NXDOMAIN soa 60");
    let empty = serial(&f);
    assert!(daemon.stop().success());
    let daemon = Daemon::start(&f);
    assert_eq!(
        (lists(&f), serial(&f)),
        (nobody.map(String::from), empty),
        "a restart changes nothing"
    );
    sound(&f);

    // The undo restores all listings.
    let said = f.ok(&["retire", "bl", "--undo"]);
    assert!(said.contains("not being retired"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(
        (lists(&f), ask(&f, "8.100.51.45", 1)),
        (yes.map(String::from), "NOERROR 127.0.0.2".into())
    );
    assert!(serial(&f) > empty && zone(&f)["retire"].is_null());
    assert_eq!(ask(&f, "", 16), "NOERROR soa 60");
    sound(&f);
    assert!(daemon.stop().success());
}

#[test]
fn retirement_due_while_stopped_applies_before_the_first_answer() {
    let f = Folder::new();
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    let file = f.path().join("zones/bl.toml");
    let before = fs::read_to_string(&file).unwrap();
    // A table that was written by hand, with its own text; no daemon is running.
    f.write("zones/bl.toml", &format!("{before}[retire]\nannounce_at = '2020-01-01'\nempty_at = '2020-03-01'\ntext = 'Gone for $$0, $'\n"));
    assert!(
        f.ok(&["check"])
            .contains("lists nothing from 2020-03-01T00:00:00Z on")
    );
    assert!(
        f.ok(&["retire", "bl"])
            .contains("All steps on this server are done")
    );
    let out = f.orbsd(&["retire", "bl", "--undo"]);
    assert!(
        out.status.code() == Some(1)
            && String::from_utf8_lossy(&out.stderr).contains("remove it and reload"),
        "it is somebody's own"
    );
    let _daemon = Daemon::start(&f);
    assert_eq!(ask(&f, "7.100.51.45", 1), "NXDOMAIN soa 60");
    assert_eq!(ask(&f, "", 16), "NOERROR Gone for $0, bl.orbs.example");
    sound(&f);
    assert_eq!(zone(&f)["retire"]["stage"], "over");
    f.write(
        "zones/bl.toml",
        &before.replace(
            "kind",
            "retire = { announce_at = '2020-01-01', empty_at = 'soon' }\nkind",
        ),
    );
    let out = f.orbsd(&["check"]);
    assert!(
        out.status.code() == Some(2) && String::from_utf8_lossy(&out.stderr).contains("2026-12-31")
    );
}
