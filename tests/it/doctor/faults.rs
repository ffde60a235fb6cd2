//! Twelve faults, one in each test.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{
    Report,
    world::{PRIMARY, SECOND, World, ZONE},
};
use crate::{
    clock::Machine,
    lab::free_port,
    mirrors::servers::{Kind, Mirror},
    name_server::NameServer,
};

/// A started server without mirrors.
fn started(more: &str) -> World {
    let mut world = World::prepared(&[PRIMARY], more);
    world.start();
    world
}

#[test]
fn missing_glue_is_named_with_the_record_to_add() {
    let world = started("");
    world.doctor(&["--only", "delegation"]).good("glue", "ns1");
    world
        .parent
        .delegate(ZONE, &[("ns1.bl.orbs.example", None)]);
    let report = world.doctor(&["--only", "delegation"]);
    report.fault(
        "glue",
        "bl.orbs.example: ns1.bl.orbs.example",
        "no glue",
        "add to the zone orbs.example.: ns1.bl.orbs.example. A 127.0.0.1",
    );
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn stale_mirror_is_named_with_its_serial() {
    let mut world = World::prepared(&[PRIMARY, SECOND], "");
    let ours = world.primary();
    let mut mirror = Mirror::at(Kind::Nsd, world.at(SECOND), ours, &[ZONE]);
    world.start();
    mirror.start();
    mirror.in_step(ZONE, ours, Duration::from_secs(30));
    let target = "ns2.bl.orbs.example (127.0.0.2)";
    world.doctor(&["--only", "servers"]).good("serial", target);
    // It may transfer no longer.
    world.write_zone("allow=['10.0.0.0/8']");
    world.folder.ok(&["reload"]);
    world
        .folder
        .ok(&["list", "45.51.100.7", "--reason", "relay"]);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        // After its refresh of two seconds it counts as stale.
        std::thread::sleep(Duration::from_secs(3));
        let report = world.doctor(&["--only", "servers"]);
        if report.one("serial", target)["state"] == "fault" {
            report.fault("serial", target, "stale", "transfer.allow");
            report.good("tcp", target);
            return;
        }
        assert!(Instant::now() < until, "{:#?}", report.findings);
    }
}

#[test]
fn store_that_others_can_read_is_named_with_the_command() {
    let world = started("");
    let store = world.folder.path().join("data");
    let report = world.doctor(&["--only", "machine"]);
    let is_good = |f: &&serde_json::Value| f["check"] == "mode" && f["state"] == "good";
    assert!(
        report
            .findings
            .iter()
            .any(|f| f["target"] == "data" && is_good(&f))
    );
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    let report = world.doctor(&["--only", "machine"]);
    let all: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f["check"] == "mode" && f["state"] == "fault")
        .collect();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0]["target"], "data");
    assert!(all[0]["what"].as_str().unwrap().contains("0755"));
    assert_eq!(all[0]["remedy"], "run `chmod 700 data`");
    assert_eq!(report.code, 2);
}

#[test]
fn dead_feed_is_named_with_its_file() {
    let world = started(
        "[[feed]]\nname = \"xbl\"\nreason = \"relay\"\nkind = \"file\"\npath = \"xbl.txt\"\ninterval = \"1s\"\n",
    );
    let until = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let report = world.doctor(&["--only", "feeds"]);
        if report.one("refresh", "xbl")["state"] != "not-seen" {
            break report;
        }
        assert!(Instant::now() < until, "the feed is never checked");
        std::thread::sleep(Duration::from_millis(200));
    };
    report.fault("refresh", "xbl", "never refreshed", "xbl.txt");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn wrong_clock_is_named_with_the_commands() {
    let machine = Machine::new();
    let doctor = || Report::of(&machine.api.f, &["--only", "clock"]);
    doctor().good("time", "wall clock");
    machine.set(3600);
    machine.until("the difference is seen", |m| m.state() == "differs");
    doctor().fault("time", "wall clock", "clock differs", "orbsd clock accept");
    let report = doctor();
    let synchronised = report.one("synchronised", "wall clock");
    assert!(
        synchronised["state"] == "good"
            || synchronised["remedy"].as_str().unwrap().contains("chrony")
    );
}

#[test]
fn full_disk_is_named_with_its_free_space() {
    let world = World::prepared(&[PRIMARY], "");
    let script = r#"
set -u
mkdir -p data && mount -t tmpfs -o size=100m,mode=700 tmpfs data || exit 90
$ORBSD serve 2> log & daemon=$!
tries=0
until [ -S run/orbsd.sock ]; do
    tries=$((tries + 1)); [ $tries -lt 200 ] || exit 91
    sleep 0.1
done
$ORBSD --json doctor --only machine > before
head -c 70000000 /dev/zero > data/filler
$ORBSD --json doctor --only machine > after
echo $? > code
kill $daemon; wait $daemon
umount data
"#;
    let out = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(world.folder.path())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{:?} {} {}",
        out.status,
        String::from_utf8_lossy(&out.stderr),
        world.folder.log()
    );
    let read = |name: &str| fs::read_to_string(world.folder.path().join(name)).unwrap();
    let report = |name: &str, code| Report {
        code,
        findings: serde_json::from_str(&read(name)).unwrap(),
    };
    let before = report("before", 0);
    assert_eq!(
        before.one("disk", "disk of store")["state"],
        "warning",
        "100 MiB are little"
    );
    let code = read("code").trim().parse().unwrap();
    report("after", code).fault(
        "disk",
        "disk of store",
        "of 100 MiB are free",
        "[store] path",
    );
}

/// Writes a certificate that is valid until a year, and its key.
fn write_certificate(world: &World, end: i32) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["ns.orbs.example".into()]).unwrap();
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(end, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    world.folder.write("c.pem", &certificate.pem());
    let path = world.folder.write("k.pem", &key.serialize_pem());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn expired_certificate_is_named_with_its_end() {
    let port = free_port();
    let tls = format!(
        "[tls]\nlisten = [\"127.0.0.1:{port}\"]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n"
    );
    let mut world = World::prepared(&[PRIMARY], &tls);
    write_certificate(&world, 2020);
    world.start();
    let report = world.doctor(&["--only", "certificates"]);
    report.fault("end", "c.pem", "expired at 2020-01-01", "renew it");
    write_certificate(&world, 2099);
    let report = world.doctor(&["--only", "certificates"]);
    report.good("end", "c.pem");
    assert_eq!(report.code, 0);
}

/// Mirrors that are equal to each other can all be stale.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn serials_are_not_called_good_if_this_server_has_none_to_compare_with() {
    let mut world = World::prepared(&[PRIMARY, SECOND], "");
    let ours = world.primary();
    let mut mirror = Mirror::at(Kind::Nsd, world.at(SECOND), ours, &[ZONE]);
    world.start();
    mirror.start();
    mirror.in_step(ZONE, ours, Duration::from_secs(30));
    assert!(world.daemon.take().unwrap().stop().success());
    let report = world.doctor(&["--only", "servers"]);
    let target = "ns2.bl.orbs.example (127.0.0.2)";
    report.good("answer", target);
    assert_eq!(
        report.one("serial", target)["state"],
        "not-seen",
        "{:#?}",
        report.findings
    );
}

#[test]
fn lame_server_is_named_with_its_answer() {
    let mut world = World::prepared(&[PRIMARY, SECOND], "");
    let _lame = NameServer::start(world.at(SECOND));
    world.start();
    let report = world.doctor(&["--only", "servers"]);
    report.fault(
        "answer",
        "bl.orbs.example at ns2.bl.orbs.example (127.0.0.2)",
        "lame",
        "remove it from `ns`",
    );
    report.good("answer", "(127.0.0.1)");
}

#[test]
fn blocked_tcp_is_named_with_the_port() {
    let mut world = World::prepared(&[PRIMARY, SECOND], "");
    // It has the whole zone over UDP, and does not listen on TCP.
    let mirror = NameServer::start(world.at(SECOND));
    mirror.forward(ZONE, world.primary());
    world.start();
    let report = world.doctor(&["--only", "servers"]);
    let target = "bl.orbs.example at ns2.bl.orbs.example (127.0.0.2)";
    report.fault("tcp", target, "does not answer over TCP", "TCP port 53");
    for check in ["answer", "edns", "test-points", "serial"] {
        report.good(check, target);
    }
}

#[test]
fn missing_ptr_of_the_tester_is_named_with_the_record() {
    let (web, collector) = (free_port(), free_port());
    let reasons = ["input", "output", "unconfirmed", "notest"]
        .map(|n| format!("[[reason]]\nname = \"{n}\"\ntext = \"{n} $\"\n"))
        .concat();
    let world = started(&format!(
        "[web]\nlisten = \"127.0.0.1:{web}\"\nbase_url = \"http://127.0.0.1:{web}\"\n\
         [probe]\nenabled = true\nallow_public = true\ndomain = \"probe.example\"\nehlo_name = \"test.orbs.example\"\n\
         contact = \"relaytest@orbs.example\"\ninfo_url = \"http://127.0.0.1:{web}/\"\n\
         [collector]\nlisten = [\"127.0.0.1:{collector}\"]\npublic_addresses = [\"45.51.100.9\"]\n{reasons}"
    ));
    let address = "45.51.100.9".parse().unwrap();
    let resolver = &world.resolver;
    resolver.zone("probe.example");
    resolver.zone("orbs.example");
    resolver.exchange("probe.example", "mx.probe.example");
    resolver.address("mx.probe.example", address);
    resolver.address("test.orbs.example", address);
    resolver.text("probe.example", "v=spf1 ip4:45.51.100.9 -all");
    resolver.exchange("orbs.example", "mx.orbs.example");
    world.wait_for(web);
    let doctor = || world.doctor(&["--only", "tester", "--dnsbl", ZONE]);
    let report = doctor();
    report.fault(
        "ptr",
        "45.51.100.9",
        "no PTR",
        "let the provider of 45.51.100.9 set its PTR record to test.orbs.example.",
    );
    for (check, target) in [
        ("mx", "probe.example"),
        ("spf", "probe.example from 45.51.100.9"),
        ("contact", "relaytest@orbs.example"),
        ("info-url", "http://127.0.0.1"),
        ("dnsbl", "45.51.100.9 at bl.orbs.example"),
    ] {
        report.good(check, target);
    }
    resolver.pointer(address, "test.orbs.example");
    let report = doctor();
    report.good("ptr", "45.51.100.9");
    assert_eq!(report.code, 0, "{:#?}", report.findings);
    world
        .folder
        .ok(&["list", "45.51.100.9", "--reason", "relay"]);
    doctor().fault(
        "dnsbl",
        "45.51.100.9 at bl.orbs.example",
        "127.0.0.2",
        "bl.orbs.example",
    );
}

#[test]
fn missing_backup_is_named_with_the_command() {
    let world = started("");
    world
        .doctor(&["--only", "backup"])
        .fault("age", "store", "no backup", "orbsd backup DIR");
    world.folder.ok(&["backup", "copy"]);
    world.doctor(&["--only", "backup"]).good("age", "store");
    // It is known after a restart, too.
    let mut world = world;
    world.daemon.take().unwrap().stop();
    world.start();
    world.doctor(&["--only", "backup"]).good("age", "store");
}

#[test]
fn refused_configuration_is_named_with_its_line() {
    let world = started("");
    let valid = world.doctor(&["--only", "configuration"]);
    assert!(valid.with("fault").is_empty(), "{:#?}", valid.findings);
    let zone = fs::read_to_string(world.folder.path().join("zones/bl.toml")).unwrap();
    world.folder.write(
        "zones/bl.toml",
        &zone.replace("reason='relay'", "reason='rely'"),
    );
    let report = world.doctor(&[]);
    report.fault("files", "zones/bl.toml:", "relay", "orbsd check");
    // What needs the configuration is not seen; what the daemon knows is.
    for area in ["delegation", "servers", "listeners", "site"] {
        let mut all = report.findings.iter().filter(|f| f["area"] == area);
        assert!(all.all(|f| f["state"] == "not-seen"), "{area}");
    }
    report.good("running", "orbsd.sock");
}
