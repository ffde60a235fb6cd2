//! Backup and restore: hosts that were removed after the copy was made stay removed.

use std::{fs, process::Command};

use serde_json::json;

use super::Api;
use crate::lab::Folder;

fn run(f: &Folder, args: &[&str]) {
    assert!(
        Command::new(args[0])
            .args(&args[1..])
            .current_dir(f.path())
            .status()
            .unwrap()
            .success(),
        "{args:?}"
    );
}

/// The drill: back up, delist, lose the disk, restore. The host stays delisted, also after its feed
/// is imported again.
#[test]
fn restored_store_keeps_removals_made_since_the_copy() {
    let config = crate::lab::CONFIG.replace(
        "[admin]",
        "[removal_log]\npath = \"disk2/removals.log\"\n[admin]",
    );
    let mut api = Api::with(&config);
    api.list("45.1.1.1", "relay");
    api.list("45.1.1.2", "relay");
    api.f.write("a.txt", "46.1.1.1\n46.1.1.2\n47.0.0.0/16\n");
    let import = |api: &Api| {
        api.f.json(&[
            "import", "--source", "xbl", "--reason", "relay", "--json", "a.txt",
        ])
    };
    import(&api);
    let said = api.f.ok(&["backup", "copy"]);
    assert!(said.contains("read back"), "{said}");
    let again = api.f.orbsd(&["backup", "copy"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
    assert_eq!(
        api.post("/v1/backups", "{\"path\":\"/tmp/x\"}").problem(),
        "forbidden"
    );
    for taken in ["45.1.1.1", "46.1.1.1", "47.0.9.9"] {
        api.f.ok(&["delist", taken]);
    }
    api.f.ok(&["exempt", "46.1.1.2"]);
    api.list("45.1.1.3", "relay"); // lost with the disk
    let serial = |api: &Api| api.get("/v1/zones/bl").ok()["serial"].as_u64().unwrap();
    let seen = serial(&api);
    let names = [
        "1.1.1.45", "2.1.1.45", "3.1.1.45", "1.1.1.46", "2.1.1.46", "9.9.0.47", "8.9.0.47",
    ];
    let listed = |api: &Api| names.map(|n| api.dns(n) == "NOERROR 127.0.0.2");
    assert_eq!(listed(&api), [false, true, true, false, false, false, true]);
    let refused = api
        .f
        .orbsd(&["restore", "copy", "--removal-log", "disk2/removals.log"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("move it away first"),
        "{refused:?}"
    );
    drop(api.daemon.take()); // kill -9, and the disk is gone
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    let refused = api.f.orbsd(&["restore", "copy"]);
    assert!(
        refused.status.code() == Some(2)
            && String::from_utf8_lossy(&refused.stderr).contains("--without-removal-log")
    );
    let said = api.f.json(&[
        "restore",
        "copy",
        "--removal-log",
        "disk2/removals.log",
        "--json",
    ]);
    assert_eq!(said["lines"], 4, "{said}");
    api.start();
    assert_eq!(
        listed(&api),
        [false, true, false, false, false, false, true]
    );
    assert!(
        serial(&api) > seen && serial(&api) < seen + 100_000,
        "{} after {seen}",
        serial(&api)
    );
    import(&api);
    assert_eq!(
        listed(&api),
        [false, true, false, false, false, false, true]
    );
    let history = api.get("/v1/subjects/46.1.1.1").ok();
    assert_eq!(history["holds"][0]["source"], json!(null), "{history}");
    // A second copy has the lines that the first one lacked, so no line of the log is replayed
    // twice.
    api.f
        .ok(&["list", "45.1.1.1", "--reason", "relay", "--break-hold"]);
    api.f.ok(&["backup", "copy2"]);
    drop(api.daemon.take());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f
        .ok(&["restore", "copy2", "--removal-log", "disk2/removals.log"]);
    api.start();
    assert_eq!(listed(&api), [true, true, false, false, false, false, true]);
}

#[test]
fn serials_jump_past_possible_ones_if_a_restore_has_no_log() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    api.f.ok(&["delist", "45.1.1.1"]);
    let serial = |api: &Api| api.get("/v1/zones/bl").ok()["serial"].as_u64().unwrap();
    let seen = serial(&api);
    drop(api.daemon.take());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f.ok(&["restore", "copy", "--without-removal-log"]);
    api.start();
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
    let jumped = serial(&api) - seen;
    assert!(
        (1 << 20..=(1 << 20) + 600_000).contains(&jumped),
        "{} after {seen}",
        serial(&api)
    );
}

#[test]
fn damaged_copy_is_not_restored() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    f.ok(&["backup", "copy"]); // also where no daemon runs
    run(&f, &["mv", "data", "old"]);
    let sst = fs::read_dir(f.path().join("copy/store"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "sst"))
        .unwrap();
    let mut bytes = fs::read(&sst).unwrap();
    let middle = bytes.len() / 3;
    bytes[..middle].iter_mut().for_each(|b| *b ^= 0x55);
    fs::remove_file(&sst).unwrap(); // it may be a link to the store's own
    fs::write(&sst, bytes).unwrap();
    let refused = f.orbsd(&["restore", "copy", "--without-removal-log"]);
    assert_eq!(
        refused.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
}

/// A change that cannot be logged is refused with the reason. Changes that need no log are made.
#[test]
fn removal_that_cannot_be_logged_is_refused_without_loss() {
    let config = crate::lab::CONFIG.replace(
        "[admin]",
        "[removal_log]\npath = \"disk2/removals.log\"\n[admin]",
    );
    let f = Folder::with(
        &config,
        &[("bl", crate::lab::ZONE), ("dbl", crate::lab::DOMAINS)],
    );
    let script = r#"
set -u
trap 'kill $pid 2> /dev/null' EXIT
mkdir disk2 && mount -t tmpfs -o size=64k tmpfs disk2 || exit 90
$ORBSD serve 2> log & pid=$!
for i in $(seq 50); do [ -S run/orbsd.sock ] && break; sleep 0.1; done
$ORBSD list 45.1.1.1 45.1.1.2 --reason relay > /dev/null || exit 91
head -c 1000000 /dev/zero > disk2/fill 2> /dev/null
seq 1 250 | sed 's/^/46.1.1./' | $ORBSD list --reason relay > /dev/null || exit 92
seq 1 250 | sed 's/^/46.1.1./' | $ORBSD delist > done 2> refused
grep -q 'removal log' refused || exit 93
$ORBSD lookup 46.1.1.250 > /dev/null || exit 94
rm disk2/fill
$ORBSD delist 45.1.1.1 > /dev/null || exit 95
grep -q '45.1.1.1' disk2/removals.log || exit 96
kill $pid; wait $pid
rm -f disk2/removals.log; mkdir disk2/removals.log
$ORBSD list 45.1.1.9 --reason relay 2>&1 | grep -q 'is not a plain file' || exit 97
"#;
    let status = Command::new("unshare")
        .args(["-rm", "--pid", "--fork", "--kill-child", "sh", "-c", script])
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(f.path())
        .status();
    assert_eq!(status.unwrap().code(), Some(0), "{}", f.log());
}

/// Once, a refused reload left the daemon without its removal log.
#[test]
fn refused_reload_keeps_the_removal_log() {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    let config = fs::read_to_string(api.f.path().join("config.toml")).unwrap();
    fs::create_dir(api.f.path().join("folder")).unwrap();
    api.f.write(
        "config.toml",
        &format!("[removal_log]\npath = \"folder\"\n{config}"),
    );
    assert_ne!(api.f.orbsd(&["reload"]).status.code(), Some(0));
    api.f.write("config.toml", &config);
    api.f.ok(&["delist", "45.1.1.1"]);
    assert!(
        fs::read_to_string(api.f.path().join("data/removals.log"))
            .unwrap()
            .contains("delisted")
    );
}

/// A store that was copied back by hand replays its log at the next start. A zone that was added
/// after the copy continues after its last serial. Entries that only a feed has ended are not
/// replayed.
#[test]
fn store_replays_missing_log_lines_at_a_start() {
    let config = crate::lab::CONFIG.replace(
        "[admin]",
        "[removal_log]\npath = \"disk2/removals.log\"\n[admin]",
    );
    let mut api = Api::with(&config);
    api.list("45.1.1.1", "relay");
    api.f.write("a.txt", "46.1.1.1\n46.1.1.2\n");
    let import = |api: &Api| {
        api.f
            .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"])
    };
    import(&api);
    assert!(api.daemon.take().unwrap().stop().success());
    run(&api.f, &["cp", "-r", "data", "copy"]);
    let zone = fs::read_to_string(api.f.path().join("zones/bl.toml")).unwrap();
    api.f.write(
        "zones/new.toml",
        &zone.replace("bl.orbs.example", "new.orbs.example"),
    );
    api.start();
    for i in 0..5 {
        api.list(&format!("44.1.1.{i}"), "relay");
    }
    api.f.ok(&["delist", "45.1.1.1"]);
    api.f.ok(&["delist", "46.1.1.1", "--source", "xbl"]);
    api.f.write("a.txt", "46.1.1.2\n");
    import(&api); // drops it, which ends the hold
    let seen = api.get("/v1/zones/new").ok()["serial"].as_u64().unwrap();
    drop(api.daemon.take());
    run(&api.f, &["rm", "-r", "data"]);
    run(&api.f, &["mv", "copy", "data"]);
    api.start();
    assert_eq!(
        ["1.1.1.45", "1.1.1.46", "2.1.1.46"].map(|n| api.dns(n)),
        ["NXDOMAIN soa 60", "NXDOMAIN soa 60", "NOERROR 127.0.0.2"]
    );
    let now = api.get("/v1/zones/new").ok()["serial"].as_u64().unwrap();
    assert!(now > seen, "{now} after {seen}");
    // The log of another store is recognised.
    assert!(api.daemon.take().unwrap().stop().success());
    let log = fs::read_to_string(api.f.path().join("disk2/removals.log")).unwrap();
    let cut: String = log
        .lines()
        .enumerate()
        .filter(|(i, _)| *i != 1)
        .map(|(_, l)| format!("{l}\n"))
        .collect();
    api.f.ok(&["backup", "b"]);
    api.f.write("cut.log", &cut);
    run(&api.f, &["mv", "data", "gone"]);
    let refused = api.f.orbsd(&["restore", "b", "--removal-log", "cut.log"]);
    assert!(
        refused.status.code() == Some(1)
            && String::from_utf8_lossy(&refused.stderr).contains("gap"),
        "{refused:?}"
    );
}
