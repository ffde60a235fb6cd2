//! Serials only move forward, for the zone and for every mirror.

use std::fs;

use serde_json::{Value, json};

use orbsd::store::{
    Batch, Store,
    schema::{self, ZoneRecord},
};

use crate::{
    api::Api,
    lab::{CONFIG, Daemon, Folder, MASKS, ZONE},
    mirrors::wire::{lines, serial_of, take},
};

const NAME: &str = "bl.orbs.example";
const HALF: u32 = 1 << 31;

fn zone(more: &str) -> String {
    format!("{more}\n{ZONE}[transfer]\nallow = ['127.0.0.0/8']\n")
}

fn api() -> Api {
    Api::with_zones(CONFIG, &[("bl", &zone(""))])
}

fn serial(api: &Api) -> u32 {
    api.get("/v1/zones/bl").ok()["serial"].as_u64().unwrap() as u32
}

/// Whether a serial is newer by RFC 1982.
fn newer(is: u32, was: u32) -> bool {
    (1..HALF).contains(&is.wrapping_sub(was))
}

/// Stops the daemon and deletes its store.
fn lose_the_store(api: &mut Api) {
    assert!(api.daemon.take().unwrap().stop().success());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
}

fn stderr(out: &std::process::Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Restores the same copy twice, then a copy of the restored store.
#[test]
fn repeated_restores_without_the_log_give_newer_serials_for_a_mirror() {
    let mut api = api();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    let mut had = serial(&api);
    for round in 0..3 {
        assert!(take(api.f.addr(), NAME, None).is_ok(), "a mirror follows");
        lose_the_store(&mut api);
        api.f.ok(&["restore", "copy", "--without-removal-log"]);
        api.start();
        let is = serial(&api);
        assert!(newer(is, had), "round {round}: {is} after {had}");
        assert!(is.wrapping_sub(had) <= (1 << 30) + 1);
        api.list(&format!("45.1.2.{round}"), "relay");
        had = serial(&api);
        if round == 1 {
            fs::remove_dir_all(api.f.path().join("copy")).unwrap();
            api.f.ok(&["backup", "copy"]);
        }
    }
    let shown = api.f.json(&["mirror", "list", "--json"]);
    assert_eq!(shown["items"][0]["needs_transfer"], Value::Null, "{shown}");
}

/// Earlier versions answered one record for each code of a zone of bit masks. A mirror that has such a
/// zone transfers it as a whole.
#[test]
fn zone_that_renders_differently_after_an_upgrade_sends_no_difference_from_before() {
    let masks = format!("{MASKS}[transfer]\nallow = ['127.0.0.0/8']\n");
    let mut api = Api::with_zones(CONFIG, &[("bl", &zone("")), ("mask", &masks)]);
    let name = "mask.orbs.example";
    api.list("45.1.1.1", "relay");
    let first = take(api.f.addr(), name, None).unwrap();
    let had = serial_of(&first.records[0]);
    api.list("45.1.1.1", "netblock");
    let is_ixfr = |api: &Api, name: &str, had| {
        let records = take(api.f.addr(), name, had).unwrap().records;
        (
            records.get(1).and_then(serial_of).is_some(),
            lines(&records),
        )
    };
    let (ixfr, records) = is_ixfr(&api, name, had);
    assert!(ixfr, "{records:#?}");
    let both = format!("1.1.1.45.{name}. 60 A 127.0.0.68");
    assert!(records.contains(&both), "{records:#?}");
    assert!(
        records.contains(&format!("1.1.1.45.{name}. 300 A 127.0.0.4")),
        "{records:#?}"
    );
    let other = serial_of(&take(api.f.addr(), NAME, None).unwrap().records[0]);
    assert!(api.daemon.take().unwrap().stop().success());

    // The hash of an earlier version.
    let store = Store::open(api.f.config().store).unwrap();
    let record = store.zone(name).unwrap().unwrap();
    let earlier = ZoneRecord {
        hash: record.hash ^ 1,
        ..record
    };
    let mut batch = Batch::default();
    batch.put(
        schema::META,
        format!("zone/{name}").into_bytes(),
        schema::encode(&earlier),
    );
    store.commit(batch).unwrap();
    store.close().unwrap();
    api.start();

    let (ixfr, records) = is_ixfr(&api, name, had);
    assert!(!ixfr && records.contains(&both), "{records:#?}");
    let now = serial_of(&take(api.f.addr(), name, None).unwrap().records[0]);
    assert!(
        newer(now.unwrap(), had.unwrap() + 1),
        "{now:?} after {had:?}"
    );
    let same = serial_of(&take(api.f.addr(), NAME, None).unwrap().records[0]);
    assert_eq!(same, other, "other zones keep their serials");
}

/// The file of two mirrors that are so far apart that no serial is newer for both.
fn far_apart() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let row =
        |addr: &str, has: u32| json!([NAME, {"Other": [addr, null]}, {"seen": now, "has": has}]);
    json!({"version": 2, "mirrors": [row("192.0.2.1", 10), row("192.0.2.2", 10 + HALF)]})
        .to_string()
}

#[test]
fn restore_without_a_newer_serial_for_a_mirror_is_refused_unless_forced() {
    let mut api = api();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    lose_the_store(&mut api);
    let known = far_apart();
    api.f.write("data.mirrors.json", &known);
    let refused = api.f.orbsd(&["restore", "copy", "--without-removal-log"]);
    let output = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{output}");
    let named = [
        "192.0.2.2 has 2147483658",
        "nsd-control force_transfer bl.orbs.example",
        "knotc zone-retransfer",
        "rndc retransfer",
    ];
    for part in named
        .iter()
        .chain(&["pdns_control retrieve", "nothing was restored", "--force"])
    {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(
        fs::read_to_string(api.f.path().join("data.mirrors.json")).unwrap() == known,
        "the file of the mirrors is unchanged"
    );
    let _ = fs::remove_dir_all(api.f.path().join("data"));
    let output = api
        .f
        .ok(&["restore", "copy", "--without-removal-log", "--force"]);
    named
        .iter()
        .for_each(|part| assert!(output.contains(part), "{output}"));
    api.start();
    let shown = api.f.ok(&["mirror", "list"]);
    assert!(
        shown.contains("192.0.2.2") && shown.contains("knotc zone-retransfer bl.orbs.example"),
        "{shown}"
    );
    let metrics = api.get("/metrics").text();
    assert!(
        metrics.contains(
            "orbsd_mirror_needs_transfer{zone=\"bl.orbs.example\",mirror=\"192.0.2.2\",key=\"\"} 1"
        ),
        "{metrics}"
    );
    assert!(
        metrics.contains(
            "orbsd_mirror_needs_transfer{zone=\"bl.orbs.example\",mirror=\"192.0.2.1\",key=\"\"} 0"
        ),
        "{metrics}"
    );
    assert!(
        api.f.log().contains("rndc retransfer bl.orbs.example"),
        "{}",
        api.f.log()
    );
}

#[test]
fn serial_of_the_zone_file_applies_only_to_a_new_zone_and_an_operator_sets_newer_ones() {
    let mut api = Api::with_zones(CONFIG, &[("bl", &zone("serial = 500"))]);
    assert_eq!(serial(&api), 500);
    api.f.write("zones/bl.toml", &zone("serial = 9000"));
    api.f.ok(&["reload"]);
    assert_eq!(serial(&api), 500);
    assert!(
        api.f
            .log()
            .contains("orbsd zone serial bl.orbs.example 9000"),
        "{}",
        api.f.log()
    );
    let copy = take(api.f.addr(), NAME, None).unwrap();
    assert_eq!(
        api.f.ok(&["zone", "serial", "bl", "9000"]).lines().count(),
        1
    );
    assert_eq!(serial(&api), 9000);
    let step = take(api.f.addr(), NAME, Some(500)).unwrap();
    assert!(
        step.records.len() == 4 && copy.records.len() > 4,
        "the same zone under another serial: {:?}",
        step.records
    );
    for old in [9000, 8999, 9000 + HALF] {
        let refused = api.f.orbsd(&["zone", "serial", NAME, &old.to_string()]);
        assert!(
            refused.status.code() == Some(1) && stderr(&refused).contains("is not newer"),
            "{old}: {}",
            stderr(&refused)
        );
    }
    assert_eq!(
        api.f
            .orbsd(&["zone", "serial", "nowhere", "9"])
            .status
            .code(),
        Some(1)
    );
    // Beyond half of the number space, 1 is newer by RFC 1982. The `serial` of the file must not be
    // used nevertheless.
    api.f.write("zones/bl.toml", &zone(""));
    api.f.ok(&["zone", "serial", "bl", "2147483640"]);
    take(api.f.addr(), NAME, Some(9000)).unwrap();
    api.f.ok(&["zone", "serial", "bl", "3000000000"]);
    assert!(api.daemon.take().unwrap().stop().success());
    api.start();
    assert_eq!(serial(&api), 3_000_000_000);
    let audit = api.f.ok(&["audit"]);
    assert!(
        audit.contains("zone.serial") && audit.contains("3000000000"),
        "{audit}"
    );
}

#[test]
fn serial_that_is_not_newer_for_a_mirror_is_refused_unless_forced() {
    let api = api();
    api.list("45.1.1.1", "relay");
    let had = serial(&api);
    take(api.f.addr(), NAME, None).unwrap();
    let first = had.wrapping_add(HALF - 1);
    let set = |n: u32, force: bool| {
        api.post(
            "/v1/zones/bl/serial",
            &json!({"serial": n, "force": force}).to_string(),
        )
    };
    assert_eq!(set(first, false).ok()["left_behind"], json!([]));
    let second = first.wrapping_add(HALF - 1);
    let refused = set(second, false);
    assert!(
        refused.problem() == "conflict" && refused.text().contains("127.0.0.1 has"),
        "{}",
        refused.text()
    );
    assert_eq!(serial(&api), first);
    let done = set(second, true).ok();
    assert_eq!(
        (&done["serial"], &done["left_behind"][0]["address"]),
        (&json!(second), &json!("127.0.0.1"))
    );
    assert_eq!(
        done["commands"]["Knot"],
        "knotc zone-retransfer bl.orbs.example"
    );
    let needs = || api.f.json(&["mirror", "list", "--json"])["items"][0]["needs_transfer"].clone();
    assert!(needs()["BIND"].is_string(), "{}", needs());
    // The mirror gets the whole zone even when the zone has reached its serial.
    api.list("45.1.1.2", "relay");
    api.list("45.1.1.3", "relay");
    api.list("45.1.1.4", "relay");
    assert!(newer(serial(&api), had));
    let whole = take(api.f.addr(), NAME, Some(had)).unwrap();
    assert!(
        whole.records.len() > 10,
        "the whole zone: {:?}",
        whole.records
    );
    // The transfer is recorded after its last byte is sent.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while needs() != Value::Null {
        assert!(std::time::Instant::now() < until, "{}", needs());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(
        api.call("", "POST", "/v1/zones/bl/serial", &[], "{}")
            .status,
        401
    );
}

/// The serials of mirrors count after the return of a zone, and after the loss of the store.
#[test]
fn returning_zone_has_a_newer_serial_for_its_mirrors() {
    let mut api = Api::with_zones(
        CONFIG,
        &[
            ("bl", &zone("serial = 100")),
            ("other", &ZONE.replace("bl.orbs", "other.orbs")),
        ],
    );
    api.list("45.1.1.1", "relay");
    take(api.f.addr(), NAME, None).unwrap();
    let had = serial(&api);
    let text = fs::read_to_string(api.f.path().join("zones/bl.toml")).unwrap();
    fs::remove_file(api.f.path().join("zones/bl.toml")).unwrap();
    api.f.ok(&["reload", "--force"]);
    api.f.write("zones/bl.toml", &text);
    api.f.ok(&["reload"]);
    assert_eq!(serial(&api), had + 1);
    lose_the_store(&mut api);
    api.daemon = Some(Daemon::start(&api.f));
    let shown = api.f.json(&["status", "--json"]);
    let is = shown["zones"]
        .as_array()
        .unwrap()
        .iter()
        .find(|z| z["zone"] == NAME)
        .unwrap()["serial"]
        .as_u64()
        .unwrap() as u32;
    assert!(newer(is, had) && is >= had + (1 << 20), "{is} after {had}");
}

/// The first restore has a mirror with a newer serial than the log, and the second has none.
#[test]
fn restore_with_the_log_continues_after_its_serials_and_those_of_mirrors() {
    let config = CONFIG.replace(
        "[admin]",
        "[removal_log]\npath = \"disk2/removals.log\"\n[admin]",
    );
    let f = Folder::with(&config, &[("bl", &zone(""))]);
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    f.ok(&["backup", "copy"]);
    f.ok(&["delist", "45.1.1.1"]);
    fs::remove_dir_all(f.path().join("data")).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let row = json!([NAME, {"Other": ["192.0.2.1", null]}, {"seen": now, "has": 70_000}]);
    f.write(
        "data.mirrors.json",
        &json!({"version": 2, "mirrors": [row]}).to_string(),
    );
    let output = f.json(&[
        "restore",
        "copy",
        "--removal-log",
        "disk2/removals.log",
        "--json",
    ]);
    assert_eq!(
        (&output["serials"][NAME], &output["left_behind"]),
        (&json!(70_001), &json!([])),
        "{output}"
    );
    fs::remove_dir_all(f.path().join("data")).unwrap();
    fs::remove_file(f.path().join("data.mirrors.json")).unwrap();
    let output = f.json(&[
        "restore",
        "copy",
        "--removal-log",
        "disk2/removals.log",
        "--json",
    ]);
    let after = output["serials"][NAME].as_u64().unwrap();
    assert!((4096..9000).contains(&after), "{output}");
}

/// The copy is ten days old: the step must still grow with the age.
#[test]
fn repeated_restores_of_an_old_copy_give_different_serials() {
    let f = Folder::with(CONFIG, &[("bl", &zone(""))]);
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    f.ok(&["backup", "copy"]);
    let text = fs::read_to_string(f.path().join("copy/backup.json")).unwrap();
    let mut copy: Value = serde_json::from_str(&text).unwrap();
    let at: jiff::Timestamp = copy["at"].as_str().unwrap().parse().unwrap();
    copy["at"] = json!((at - jiff::SignedDuration::from_hours(240)).to_string());
    f.write("copy/backup.json", &copy.to_string());
    let restore = || {
        let _ = fs::remove_dir_all(f.path().join("data"));
        let out = f.orbsd(&["restore", "copy", "--without-removal-log", "--json"]);
        assert!(out.status.success(), "{}", stderr(&out));
        let output: Value = serde_json::from_slice(&out.stdout).unwrap();
        (
            output["serials"][NAME].as_u64().unwrap() as u32,
            stderr(&out),
        )
    };
    fs::remove_dir_all(f.path().join("data")).unwrap();
    let (first, warned) = restore();
    assert!(
        warned.contains("data.mirrors.json is missing") && warned.contains("copy it to"),
        "{warned}"
    );
    let (second, warned) = restore();
    assert!(
        newer(second, first) && !warned.contains("missing"),
        "{second} after {first}: {warned}"
    );
    // Without the file of the mirrors, only the age of the copy has grown.
    fs::remove_file(f.path().join("data.mirrors.json")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (third, _) = restore();
    assert!(newer(third, first), "{third} after {first}");
    f.write("data.mirrors.json", "{");
    let (_, warned) = restore();
    assert!(
        warned.contains("data.mirrors.json: ") && warned.contains("is ignored"),
        "{warned}"
    );
}

/// The log has serials ahead, so that one after such a jump looks older than that of the copy.
#[test]
fn restore_with_the_log_continues_after_a_jump_by_almost_half_of_the_number_space() {
    let mut api = api();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    let to = serial(&api) + HALF - 2;
    api.f.ok(&["zone", "serial", NAME, &to.to_string()]);
    take(api.f.addr(), NAME, None).unwrap();
    assert!(api.daemon.take().unwrap().stop().success());
    fs::copy(
        api.f.path().join("data/removals.log"),
        api.f.path().join("saved.log"),
    )
    .unwrap();
    for known in [true, false] {
        fs::remove_dir_all(api.f.path().join("data")).unwrap();
        if !known {
            fs::remove_file(api.f.path().join("data.mirrors.json")).unwrap();
        }
        let output = api
            .f
            .json(&["restore", "copy", "--removal-log", "saved.log", "--json"]);
        let is = output["serials"][NAME].as_u64().unwrap() as u32;
        assert!(
            newer(is, to) && is.wrapping_sub(to) < 10_000,
            "{is} after {to}, mirrors known: {known}"
        );
    }
}

#[test]
fn jump_of_a_serial_is_recorded_for_restores_at_once() {
    let mut api = api();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    api.f.ok(&["zone", "serial", NAME, "2000000000"]);
    let kept = || {
        fs::read_to_string(api.f.path().join("data.mirrors.json"))
            .unwrap_or_default()
            .contains("2000000000")
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !kept() {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(api.daemon.take()); // kill -9
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    let output = api
        .f
        .json(&["restore", "copy", "--without-removal-log", "--json"]);
    assert!(
        newer(
            output["serials"][NAME].as_u64().unwrap() as u32,
            2_000_000_000
        ),
        "{output}"
    );
}
