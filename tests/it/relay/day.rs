//! The life of listings over weeks, with a clock that the test moves, on a real daemon.

use std::{
    net::IpAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    RelayLab,
    mta::{Disposition, MtaBehavior},
    v4,
};
use crate::{lab::Daemon, peers::peers};

/// Restarts the daemon with a clock that the test moves.
fn with_clock(f: &mut RelayLab) -> Clock {
    f.api.daemon.take().unwrap().stop();
    // libfaketime changes the time since boot, so the stored clock record would seem to be of
    // another machine.
    std::fs::remove_file(f.api.f.path().join("data/clock")).unwrap();
    let file = f.api.f.path().join("clock");
    let clock = Clock { file, ahead: 0 };
    clock.set();
    let lib = std::fs::read_dir(peers().join("root/usr/lib"))
        .unwrap()
        .flatten()
        .map(|e| e.path().join("faketime/libfaketimeMT.so.1"));
    let lib = lib
        .into_iter()
        .find(|p| p.exists())
        .expect("libfaketime was not fetched");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(f.api.f.path().join("log"))
        .unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .arg("serve")
        .current_dir(f.api.f.path())
        .env("LD_PRELOAD", lib)
        .env("FAKETIME_TIMESTAMP_FILE", &clock.file)
        .env("FAKETIME_NO_CACHE", "1")
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    f.api.daemon = Some(Daemon(child));
    let until = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(f.api.addr).is_err() {
        assert!(Instant::now() < until, "{}", f.api.f.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    clock
}

struct Clock {
    file: std::path::PathBuf,
    ahead: u64,
}

impl Clock {
    fn set(&self) {
        std::fs::write(&self.file, format!("+{}\n", self.ahead)).unwrap();
    }
    fn forward(&mut self, seconds: u64) {
        self.ahead += seconds;
        self.set();
    }
}

const HOUR: u64 = 3600;

fn wait(f: &RelayLab, what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < until, "{what}\n{}", f.api.f.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn host_is_listed_tested_released_and_listed_again_by_a_feed() {
    let mut f = RelayLab::new("");
    let mut clock = with_clock(&mut f);
    let addr: IpAddr = v4(1, 1);
    let mta = f.mta(
        addr,
        "day",
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    let only = json!({"tests": ["plain"]});
    let listed = |f: &RelayLab| f.dns(addr) == "NOERROR 127.0.0.2";
    let claim = |f: &RelayLab| -> Value {
        f.api
            .post(
                "/v1/claims",
                &json!({"target": addr, "proved": true}).to_string(),
            )
            .ok()
    };
    // The nominated host is tested, delivers, and is listed.
    let job = f.done(f.nominate(addr, &only));
    assert_eq!((&job["assessment"], listed(&f)), (&json!("open"), true));
    // The same evidence does not lead to a second test, and newer evidence not before the next day.
    let again = f.job(f.nominate(addr, &only));
    assert_eq!(again["state"], "deferred");
    f.api
        .call(
            &f.api.owner,
            "DELETE",
            &format!("/v1/jobs/{}", again["id"]),
            &[],
            "",
        )
        .ok();
    // The first claim is tested at once, and the host is still open. The next claim waits an hour,
    // the one after it four.
    for (hours, text) in [(0, "tested now"), (1, "tested at"), (4, "tested at")] {
        let c = claim(&f);
        assert!(
            c["what_happens"].as_str().unwrap().contains(text),
            "{hours}: {c}"
        );
        let id = c["job"]["id"].as_u64().unwrap();
        if hours > 0 {
            clock.forward(hours * HOUR - 60);
            std::thread::sleep(Duration::from_millis(1500));
            assert_eq!(
                f.job(id)["state"],
                "deferred",
                "the test waits for its time"
            );
            clock.forward(61);
        }
        assert_eq!(f.done(id)["assessment"], "open");
        assert!(listed(&f));
    }
    // The owner closes the host and claims: sixteen hours later it is tested, refuses, and is
    // released at once.
    mta.close();
    let id = claim(&f)["job"]["id"].as_u64().unwrap();
    clock.forward(16 * HOUR + 1);
    assert_eq!(f.done(id)["assessment"], "closed");
    wait(&f, "released", || !listed(&f));
    // A feed cannot list the host during the hold, and lists it afterwards.
    f.api.f.write("feed.txt", &format!("{addr}\n"));
    f.api.f.ok(&[
        "import",
        "--source",
        "xbl",
        "--reason",
        "relay",
        "--allow-special-ranges",
        "feed.txt",
    ]);
    assert!(!listed(&f));
    clock.forward(31 * 24 * HOUR);
    wait(&f, "the hold has ended", || listed(&f));
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn listings_expire_and_accepting_hosts_are_released_after_the_waiting_period() {
    let mut f = RelayLab::new("");
    let mut clock = with_clock(&mut f);
    let (one, two) = (v4(1, 1), v4(2, 1));
    f.mta(
        one,
        "ends",
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    let held = f.mta(
        two,
        "held",
        MtaBehavior {
            open: true,
            disposition: Disposition::Hold,
            ..MtaBehavior::default()
        },
    );
    for addr in [one, two] {
        f.done(f.nominate(addr, &json!({"tests": ["plain"]})));
    }
    // A message that is delivered after ten days counts.
    clock.forward(10 * 24 * HOUR);
    assert!(held.release() > 0);
    wait(&f, "a late delivery lists the host", || {
        f.dns(two) == "NOERROR 127.0.0.2"
    });
    // The test of the claim is accepted and not delivered. The host is released after five days.
    let c = f
        .api
        .post(
            "/v1/claims",
            &json!({"target": two, "proved": true}).to_string(),
        )
        .ok();
    let job = f.done(c["job"]["id"].as_u64().unwrap());
    assert_eq!(job["assessment"], "accepted");
    clock.forward(5 * 24 * HOUR - 600);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(f.dns(two), "NOERROR 127.0.0.2");
    clock.forward(700);
    wait(&f, "five days", || f.dns(two) == "NXDOMAIN soa 60");
    // A message of the claim's own test is delivered after all, so the host is listed again.
    held.release();
    wait(&f, "a message that was sent after the claim counts", || {
        f.dns(two) == "NOERROR 127.0.0.2"
    });
    // The other listing expires 90 days after its proof.
    assert_eq!(f.dns(one), "NOERROR 127.0.0.2");
    clock.forward(75 * 24 * HOUR);
    wait(&f, "90 days", || f.dns(one) == "NXDOMAIN soa 60");
}

/// S16: a listed host is released even if the tester and its domain no longer exist.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn claims_are_granted_without_a_tester() {
    let mut f = RelayLab::new("");
    let addr = v4(1, 1);
    f.mta(
        addr,
        "left",
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    f.done(f.nominate(addr, &json!({"tests": ["plain"]})));
    // The reason has no lifetime, but listings of tests expire all the same.
    let shown = f.api.get(&format!("/v1/listings?prefix={addr}")).ok();
    assert!(shown["items"][0]["until"].is_string(), "{shown}");
    let config = std::fs::read_to_string(f.api.f.path().join("config.toml")).unwrap();
    f.api.f.write(
        "config.toml",
        &config.replace(
            "enabled = true\ndomain = \"probe.example\"",
            "enabled = false\ndomain = \"\"",
        ),
    );
    let mut clock = with_clock(&mut f);
    let c = f
        .api
        .post(
            "/v1/claims",
            &json!({"target": addr, "proved": true}).to_string(),
        )
        .ok();
    assert_eq!(c["job"]["state"], "held", "{c}");
    clock.forward(47 * HOUR);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    clock.forward(2 * HOUR);
    wait(&f, "granted on request", || {
        f.dns(addr) == "NXDOMAIN soa 60"
    });
}

/// A reporter's own tester sends the controls too, and the server stores their results.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn remote_tester_sends_and_reports_controls() {
    let mut f = RelayLab::new("");
    let mut clock = with_clock(&mut f);
    let addr: IpAddr = v4(1, 1);
    let mta = f.mta(
        addr,
        "remote",
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    f.done(f.nominate(addr, &json!({"tests": ["plain"]})));
    assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    mta.close();
    clock.forward(25 * HOUR);
    let token = f
        .api
        .f
        .write("rep.token", &f.api.token("rep", "editor", &[]));
    let (server, target, port) = (
        format!("http://{}", f.api.addr),
        addr.to_string(),
        f.port.to_string(),
    );
    let args = [
        "--json",
        "--server",
        &server,
        "--token",
        token.to_str().unwrap(),
        "relay",
        "probe",
        &target,
        "--port",
        &port,
    ];
    let more = [
        "--wait",
        "0s",
        "--pause",
        "0s",
        "--test",
        "plain",
        "--evidence",
        "message 4711",
    ];
    let out = f.api.f.orbsd(&[&args[..], &more[..]].concat());
    let job: Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    assert_eq!(
        (&job["controls"][0]["before"], &job["controls"][0]["after"]),
        (&json!([250]), &json!([250])),
        "{job:#}"
    );
    assert_eq!(
        mta.received_lines
            .lock()
            .unwrap()
            .iter()
            .filter(|l| *l == "RCPT TO:<postmaster>")
            .count(),
        2
    );
}
