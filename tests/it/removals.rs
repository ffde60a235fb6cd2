//! Checks of the removal log, restores with it, and reports of damage.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    lab::{CONFIG, Folder},
};

fn restarting() -> Api {
    Api::with(&CONFIG.replace("[admin]", "[removal_log]\non_loss = \"restart\"\n[admin]"))
}

fn log(api: &Api) -> PathBuf {
    api.f.path().join("data/removals.log")
}

fn status(api: &Api) -> Value {
    api.get("/v1/status").ok()
}

/// Runs a command that must fail with exit code 1. Returns its standard error.
fn failed(f: &Folder, args: &[&str]) -> String {
    let out = f.orbsd(args);
    assert_eq!(
        out.status.code(),
        Some(1),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stdout)
    );
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Starts a scrub, and waits until it has ended.
fn scrub(api: &Api) -> Value {
    let last = |s: &Value| s["integrity"]["scrub"]["last"]["started"].clone();
    // Times are whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let before = last(&status(api));
    api.f.ok(&["scrub"]);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let s = status(api);
        if last(&s) != before {
            // The parts of one status are read one after the other.
            return status(api);
        }
        assert!(Instant::now() < until, "{s}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Changes must not be acknowledged while their lines go to a deleted file.
#[test]
fn deleted_removal_log_stops_writes_until_it_is_back() {
    let mut api = Api::new();
    for i in 1..=3 {
        api.list(&format!("45.1.1.{i}"), "relay");
    }
    api.f.ok(&["delist", "45.1.1.1"]);
    let whole = fs::read(log(&api)).unwrap();
    fs::remove_file(log(&api)).unwrap();
    assert!(failed(&api.f, &["delist", "45.1.1.2"]).contains("was deleted while it was open"));
    assert_eq!(api.dns("2.1.1.45"), "NOERROR 127.0.0.2");
    assert!(
        failed(&api.f, &["list", "45.1.1.9", "--reason", "relay"]).contains("writes are refused")
    );
    assert!(
        failed(&api.f, &["status"]).contains("on_loss"),
        "the message names the remedy"
    );
    assert_eq!(api.get("/health/ready").status, 503);
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_removals_log_whole 0\n")
    );
    // The same after a restart.
    assert!(api.daemon.take().unwrap().stop().success());
    api.start();
    assert!(
        status(&api)["problem"]
            .as_str()
            .unwrap()
            .contains("is missing, and the store knows line")
    );
    assert!(failed(&api.f, &["delist", "45.1.1.2"]).contains("is missing"));
    fs::write(log(&api), whole).unwrap();
    api.f.ok(&["list", "45.1.1.8", "--reason", "relay"]);
    api.f.ok(&["delist", "45.1.1.2"]);
    assert_eq!(
        (&status(&api)["problem"], api.get("/health/ready").status),
        (&Value::Null, 200)
    );
    assert!(fs::read_to_string(log(&api)).unwrap().contains("45.1.1.2"));
}

/// All lines that are left are valid.
#[test]
fn line_deleted_from_the_removal_log_is_found_at_a_start_and_by_a_scrub() {
    let mut api = Api::new();
    for i in 1..=4 {
        api.list(&format!("45.1.1.{i}"), "relay");
        api.f.ok(&["delist", &format!("45.1.1.{i}")]);
    }
    let whole = fs::read_to_string(log(&api)).unwrap();
    let cut: String = whole
        .split_inclusive('\n')
        .filter(|l| !l.contains("45.1.1.2"))
        .collect();
    assert!(cut.len() < whole.len());
    assert!(api.daemon.take().unwrap().stop().success());
    fs::write(log(&api), &cut).unwrap();
    api.start();
    assert!(
        status(&api)["problem"]
            .as_str()
            .unwrap()
            .contains("line 3 is missing"),
        "{}",
        status(&api)
    );
    assert!(failed(&api.f, &["delist", "45.1.1.9"]).contains("line 3 is missing"));
    fs::write(log(&api), &whole).unwrap();
    api.f.ok(&["exempt", "45.1.1.9"]);
    let whole = fs::read_to_string(log(&api)).unwrap();
    // Written in place, so that only a scrub or the next write can find it.
    fs::write(
        log(&api),
        whole
            .split_inclusive('\n')
            .filter(|l| !l.contains("45.1.1.2"))
            .collect::<String>(),
    )
    .unwrap();
    assert!(scrub(&api)["problem"].is_string());
}

#[test]
fn write_without_removals_is_also_refused_after_a_loss_of_the_log() {
    let write: [&[&str]; 2] = [
        &["list", "45.1.1.2", "--reason", "relay"],
        &["zone", "serial", "bl", "90000"],
    ];
    for args in write {
        let api = Api::new();
        api.list("45.1.1.1", "relay");
        fs::remove_file(log(&api)).unwrap();
        let output = failed(&api.f, args);
        assert!(
            output.contains("was deleted while it was open"),
            "{args:?}: {output}"
        );
    }
}

#[test]
fn removal_log_of_another_store_stops_writes_whatever_the_setting() {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    let other = Folder::new();
    other.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    other.ok(&["delist", "45.1.1.1"]);
    fs::copy(other.path().join("data/removals.log"), log(&api)).unwrap();
    let output = failed(&api.f, &["delist", "45.1.1.1"]);
    assert!(
        output.contains("is the log of another store")
            && output.contains("move this one away")
            && !output.contains("on_loss"),
        "{output}"
    );
}

/// Without a record of the gap, only the restore would find the missing lines.
#[test]
fn truncated_removal_log_is_restarted_and_a_restore_names_the_missing_lines() {
    let mut api = restarting();
    for i in 1..=4 {
        api.list(&format!("45.1.1.{i}"), "relay");
    }
    api.f.ok(&["backup", "copy"]);
    let known = status(&api)["removal_log"]["line"].as_u64().unwrap();
    // A file that is deleted while it is open loses nothing.
    fs::remove_file(log(&api)).unwrap();
    api.f.ok(&["delist", "45.1.1.1"]);
    assert_eq!(status(&api)["removal_log"]["gap"], Value::Null);
    assert!(fs::read_to_string(log(&api)).unwrap().contains("45.1.1.1"));
    api.f.ok(&["delist", "45.1.1.2"]);
    assert!(api.daemon.take().unwrap().stop().success());
    let text = fs::read_to_string(log(&api)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let lost = lines.iter().position(|l| l.contains("45.1.1.1")).unwrap();
    fs::write(log(&api), lines[..lost].concat()).unwrap();
    api.start();
    let s = status(&api);
    let missing = s["removal_log"]["gap"]["missing"].clone();
    assert_eq!(missing, json!([[known + 2, known + 3]]), "{s}");
    assert!(
        s["writes"] == "accepted" && s["problem"].as_str().unwrap().contains("make a backup"),
        "{s}"
    );
    assert!(api.get("/health/ready").text().starts_with("degraded: "));
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_removals_log_missing_lines 2\n")
    );
    api.f.ok(&["delist", "45.1.1.3"]);
    // A later backup has all decisions of the missing lines.
    assert!(
        fs::read_to_string(api.f.path().join("log"))
            .unwrap()
            .contains("was restarted")
    );
    api.f.ok(&["backup", "copy2"]);
    assert_eq!(
        (
            &status(&api)["removal_log"]["gap"],
            &status(&api)["problem"]
        ),
        (&Value::Null, &Value::Null)
    );
    drop(api.daemon.take());
    fs::copy(log(&api), api.f.path().join("saved.log")).unwrap();
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    let output = failed(&api.f, &["restore", "copy", "--removal-log", "saved.log"]);
    assert!(
        output.contains(&format!("lines {} to {} are missing", known + 2, known + 3))
            && output.contains("--allow-gap"),
        "{output}"
    );
    assert!(
        !api.f.path().join("data/CURRENT").exists()
            && !api.f.path().join("data/restoring").exists()
    );
    let output = api.f.json(&[
        "restore",
        "copy",
        "--removal-log",
        "saved.log",
        "--allow-gap",
        "--json",
    ]);
    assert_eq!(output["missing"], missing);
    api.start();
    assert_eq!(
        ["1.1.1.45", "2.1.1.45", "3.1.1.45"].map(|n| api.dns(n).starts_with("NOERROR")),
        [true, true, false]
    );
    assert_eq!(
        status(&api)["problem"],
        Value::Null,
        "the log was copied to its configured path"
    );
    api.f.ok(&["delist", "45.1.1.1"]);
    // The newer copy does not need the missing lines.
    drop(api.daemon.take());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f
        .ok(&["restore", "copy2", "--removal-log", "saved.log"]);
}

/// A copy without the decisions since must not be able to start.
#[test]
fn failed_restore_leaves_nothing_that_can_start() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    api.f.ok(&["delist", "45.1.1.1"]);
    drop(api.daemon.take());
    let data = api.f.path().join("data");
    let whole = fs::read_to_string(log(&api)).unwrap();
    fs::remove_dir_all(&data).unwrap();
    // The log of another store, and one with a gap.
    let other = Folder::new();
    other.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    other.ok(&["delist", "45.1.1.1"]);
    fs::copy(
        other.path().join("data/removals.log"),
        api.f.path().join("other.log"),
    )
    .unwrap();
    let bare = whole
        .lines()
        .last()
        .unwrap()
        .split(",\"sum\"")
        .next()
        .unwrap()
        .replace("\"n\":2", "\"n\":9");
    api.f.write("gap.log", &format!("{bare}}}\n"));
    for file in ["other.log", "gap.log"] {
        failed(&api.f, &["restore", "copy", "--removal-log", file]);
        let left: Vec<_> = fs::read_dir(&data)
            .map(|d| d.flatten().map(|e| e.file_name()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{file}: {left:?}");
    }
    // A restore that was killed.
    fs::create_dir_all(data.join("restoring")).unwrap();
    fs::write(data.join("restoring/CURRENT"), "x").unwrap();
    fs::write(data.join("000007.sst"), "half").unwrap();
    assert!(failed(&api.f, &["serve"]).contains("a restore was interrupted"));
    api.f.write("whole.log", &whole);
    api.f.ok(&["restore", "copy", "--removal-log", "whole.log"]);
    assert!(!data.join("000007.sst").exists() && !data.join("restoring").exists());
    api.start();
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
}

/// If the older log stayed, its missing lines would be reported as lost.
#[test]
fn restore_replaces_an_older_log_and_refuses_that_of_another_store() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["delist", "45.1.1.1"]);
    api.f.ok(&["backup", "copy"]);
    let older = fs::read(log(&api)).unwrap();
    api.f.ok(&["exempt", "45.1.1.2"]);
    assert!(api.daemon.take().unwrap().stop().success());
    let whole = fs::read(log(&api)).unwrap();
    fs::write(api.f.path().join("saved.log"), &whole).unwrap();
    let other = Folder::new();
    other.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    other.ok(&["delist", "45.1.1.1"]);
    let foreign = fs::read(other.path().join("data/removals.log")).unwrap();
    let data = api.f.path().join("data");
    let prepare = |there: &[u8]| {
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        fs::write(log(&api), there).unwrap();
    };
    for there in [&b""[..], &older] {
        prepare(there);
        api.f.ok(&["restore", "copy", "--removal-log", "saved.log"]);
        let is = fs::read(log(&api)).unwrap();
        assert!(
            is == whole,
            "no gap is recorded: {}",
            String::from_utf8_lossy(&is)
        );
        assert_eq!(
            data.join("removals.log.replaced-1").exists(),
            !there.is_empty()
        );
    }
    for (there, why) in [
        (&foreign[..], "is the log of another store"),
        (b"root:x:0:0\n", "is not a removal log"),
    ] {
        prepare(there);
        assert!(failed(&api.f, &["restore", "copy", "--removal-log", "saved.log"]).contains(why));
        assert!(
            fs::read(log(&api)).unwrap() == there && fs::read_dir(&data).unwrap().count() == 1,
            "nothing was done"
        );
    }
}

/// A start must not report that no acknowledged commit is missing if it cannot know.
#[test]
fn damaged_record_of_the_last_commit_is_reported_until_it_is_accepted() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    drop(api.daemon.take());
    let path = api.f.path().join("data/last-commit");
    let mut bytes = fs::read(&path).unwrap();
    bytes[17] ^= 1;
    fs::write(&path, bytes).unwrap();
    api.start();
    let s = status(&api);
    assert!(
        s["problem"]
            .as_str()
            .unwrap()
            .contains("last-commit is damaged")
            && s["writes"] == "accepted",
        "{s}"
    );
    api.f.ok(&["scrub", "--accept-missing-commits"]);
    assert_eq!(status(&api)["problem"], Value::Null);
    drop(api.daemon.take());
    api.start();
    assert_eq!(status(&api)["problem"], Value::Null);
}

#[test]
fn truncated_write_ahead_log_without_last_commit_is_reported_as_possible_loss() {
    let mut api =
        Api::with(&CONFIG.replace("[admin]", "[store]\nscrub_interval = \"0s\"\n[admin]"));
    api.list("45.1.1.1", "relay");
    std::thread::sleep(Duration::from_millis(500));
    api.f.ok(&["list", "45.1.1.2", "--reason", "relay"]);
    drop(api.daemon.take()); // kill -9
    let logs = fs::read_dir(api.f.path().join("data"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let wal = logs.filter(|p| {
        p.file_name()
            .unwrap()
            .to_string_lossy()
            .strip_suffix(".log")
            .is_some_and(|n| n.parse::<u64>().is_ok())
    });
    let wal = wal.max().unwrap();
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() - 5]).unwrap();
    for file in ["last-commit", "image"] {
        let _ = fs::remove_file(api.f.path().join("data").join(file));
    }
    api.start();
    let s = status(&api);
    let problem = s["problem"].as_str().unwrap();
    assert!(
        problem.contains("last-commit is missing") && problem.contains("may be missing"),
        "{s}"
    );
    assert!(!api.f.log().contains("no acknowledged commit is missing"));
}

#[test]
fn backup_into_a_folder_that_the_store_empties_is_refused() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    for folder in ["data/stage/x", "data/scrub/a/b", "data/restoring"] {
        assert!(
            failed(&f, &["backup", folder]).contains("which the store empties"),
            "{folder}"
        );
        assert!(!f.path().join(folder).exists());
    }
}

/// The log names the store, so that a copy with a new identity needs a new log.
#[test]
fn restore_with_a_new_identity_replays_the_log_and_starts_a_new_one() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    api.f.ok(&["delist", "45.1.1.1"]);
    assert!(api.daemon.take().unwrap().stop().success());
    fs::copy(log(&api), api.f.path().join("old.log")).unwrap();
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f.ok(&[
        "restore",
        "copy",
        "--removal-log",
        "old.log",
        "--new-identity",
    ]);
    api.start();
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    assert_eq!(
        (&status(&api)["problem"], api.get("/health/ready").status),
        (&Value::Null, 200)
    );
    let store = |text: &str| {
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["store"].clone()
    };
    let (old, new) = (
        fs::read_to_string(api.f.path().join("old.log")).unwrap(),
        fs::read_to_string(log(&api)).unwrap(),
    );
    assert!(
        store(&new).is_string() && store(&old) != store(&new),
        "{new}"
    );
    api.list("45.1.1.2", "relay");
    assert!(api.daemon.take().unwrap().stop().success());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f.ok(&["restore", "copy", "--removal-log", "old.log"]);
}

#[test]
fn restore_without_the_log_starts_a_new_one() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["delist", "45.1.1.1"]);
    api.f.ok(&["backup", "copy"]);
    drop(api.daemon.take());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f.ok(&["restore", "copy", "--without-removal-log"]);
    api.start();
    assert_eq!(status(&api)["problem"], Value::Null);
    api.f.ok(&["exempt", "45.1.1.2"]);
}

#[test]
fn changed_byte_in_the_removal_log_is_found_and_the_remedy_is_named() {
    let mut api = Api::new();
    for i in 1..=4 {
        api.list(&format!("45.1.1.{i}"), "relay");
    }
    api.f.ok(&["backup", "copy"]);
    for i in 1..=3 {
        api.f.ok(&["delist", &format!("45.1.1.{i}")]);
    }
    let flipped = fs::read_to_string(log(&api))
        .unwrap()
        .replace("45.1.1.2", "45.1.1.4");
    // Written in place, as by a faulty disk.
    fs::write(log(&api), &flipped).unwrap();
    let s = scrub(&api);
    assert!(
        s["problem"]
            .as_str()
            .is_some_and(|p| p.contains("the checksum does not match") && p.contains("on_loss")),
        "{s}"
    );
    drop(api.daemon.take());
    api.f.write("flipped.log", &flipped);
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    let output = failed(&api.f, &["restore", "copy", "--removal-log", "flipped.log"]);
    assert!(
        output.contains("flipped.log:") && output.contains("--allow-gap"),
        "{output}"
    );
    api.f.ok(&[
        "restore",
        "copy",
        "--removal-log",
        "flipped.log",
        "--allow-gap",
    ]);
    api.start();
    let answers =
        ["1.1.1.45", "2.1.1.45", "3.1.1.45", "4.1.1.45"].map(|n| api.dns(n).starts_with("NOERROR"));
    assert_eq!(
        answers,
        [false, true, false, true],
        "a changed digit delists no host"
    );
    assert_eq!(
        scrub(&api)["problem"],
        Value::Null,
        "the damage that --allow-gap accepted is not reported again"
    );
    api.f.ok(&["delist", "45.1.1.2"]);
    assert!(
        fs::read_to_string(log(&api))
            .unwrap()
            .contains("--allow-gap"),
        "the new log records the reason of its gap"
    );
}

#[test]
fn damage_is_reported_until_it_is_repaired_and_after_restarts() {
    let mut api = Api::new();
    let lines: String = (0..30_000u32)
        .map(|i| format!("{}\n", std::net::Ipv4Addr::from(0x2d00_0000 + i * 7)))
        .collect();
    api.f.write("a.txt", &lines);
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    assert!(api.daemon.take().unwrap().stop().success());
    let tables = fs::read_dir(api.f.path().join("data"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let table = tables
        .filter(|p| p.extension().is_some_and(|e| e == "sst"))
        .max_by_key(|p| fs::metadata(p).unwrap().len())
        .unwrap();
    let whole = fs::read(&table).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&table, &damaged).unwrap();
    api.start();
    assert!(failed(&api.f, &["backup", "copy"]).contains("damaged"));
    for restarted in [false, true] {
        if restarted {
            drop(api.daemon.take());
            api.start();
        }
        let s = status(&api);
        assert!(
            s["problem"].as_str().is_some_and(|p| p.contains("damaged"))
                && s["writes"] == "accepted",
            "{s}"
        );
        assert!(
            api.get("/health/ready")
                .text()
                .starts_with("degraded: the store is damaged")
        );
        assert!(
            !api.get("/metrics")
                .text()
                .contains("orbsd_store_damage 0\n")
        );
        assert_eq!(api.f.orbsd(&["status"]).status.code(), Some(1));
        api.dns("0.0.0.45");
    }
    fs::write(&table, &whole).unwrap();
    let s = scrub(&api);
    assert_eq!(
        (&s["problem"], &s["integrity"]["damage"]),
        (&Value::Null, &json!([])),
        "{s}"
    );
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_store_damage 0\n")
    );
}

/// A damaged last record of the write-ahead log must not be dropped without a report.
#[test]
fn acknowledged_commit_that_is_missing_at_a_start_is_damage() {
    // The checkpoint of a scrub would flush the log that is truncated here.
    let mut api =
        Api::with(&CONFIG.replace("[admin]", "[store]\nscrub_interval = \"0s\"\n[admin]"));
    api.list("45.1.1.1", "relay");
    let s = status(&api);
    // The use of the token is recorded after the answer; the listing has to be the last record.
    std::thread::sleep(Duration::from_millis(500));
    api.f.ok(&["list", "45.1.1.2", "--reason", "relay"]);
    let (commit, serial) = (
        s["commit"].as_u64().unwrap() + 1,
        s["zones"][0]["serial"].as_u64().unwrap() + 1,
    );
    drop(api.daemon.take()); // kill -9
    let logs = fs::read_dir(api.f.path().join("data"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let wal = logs.filter(|p| {
        p.file_name()
            .unwrap()
            .to_string_lossy()
            .strip_suffix(".log")
            .is_some_and(|n| n.parse::<u64>().is_ok())
    });
    let wal = wal.max().unwrap();
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() - 5]).unwrap();
    api.start();
    assert_eq!(
        [api.dns("1.1.1.45"), api.dns("2.1.1.45")].map(|a| a.starts_with("NOERROR")),
        [true, false]
    );
    let s = status(&api);
    assert!(
        s["problem"]
            .as_str()
            .unwrap()
            .contains(&format!("to {commit} were acknowledged and are missing")),
        "{s}"
    );
    assert!(
        s["zones"][0]["serial"].as_u64().unwrap() > serial,
        "the serial has jumped"
    );
    api.list("45.1.1.2", "relay");
    assert!(
        scrub(&api)["problem"].is_string(),
        "a scrub does not repair it"
    );
    api.f.ok(&["scrub", "--accept-missing-commits"]);
    assert_eq!(status(&api)["problem"], Value::Null);
    drop(api.daemon.take());
    api.start();
    assert_eq!(status(&api)["problem"], Value::Null);
}
