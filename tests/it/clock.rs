//! The daemon with a wrong wall clock. libfaketime changes only the wall clock of the daemon.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    api::Api,
    lab::{Daemon, query, shown, udp},
    peers::peers,
};

const DAY: i64 = 86_400;
/// The listed host, and the one that is listed and exempt.
const LISTED: &str = "45.51.1.1";
const EXEMPT: &str = "45.51.1.2";

/// A daemon whose wall clock the test controls.
pub struct Machine {
    pub api: Api,
    ahead: PathBuf,
}

impl Machine {
    pub fn new() -> Machine {
        let api = Api::new();
        let ahead = api.f.path().join("ahead");
        let mut machine = Machine { api, ahead };
        machine.restart(0);
        machine
    }

    /// Sets how far the wall clock is ahead, in seconds.
    pub fn set(&self, ahead: i64) {
        fs::write(self.ahead.with_extension("new"), format!("{ahead:+}\n")).unwrap();
        fs::rename(self.ahead.with_extension("new"), &self.ahead).unwrap();
    }

    /// Restarts the daemon with a wall clock that is `ahead` seconds ahead.
    fn restart(&mut self, ahead: i64) {
        if let Some(daemon) = self.api.daemon.take() {
            daemon.stop();
        }
        self.set(ahead);
        let libraries = fs::read_dir(peers().join("root/usr/lib"))
            .unwrap()
            .flatten();
        let mut libraries = libraries.map(|e| e.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries
            .find(|p| p.exists())
            .expect("libfaketime was not fetched");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.api.f.path().join("log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_orbsd"))
            .arg("serve")
            .current_dir(self.api.f.path())
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.ahead)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.api.daemon = Some(Daemon(child));
        self.until("it answers", |m| {
            std::net::TcpStream::connect(m.api.addr).is_ok()
        });
    }

    pub fn until(&self, what: &str, done: impl Fn(&Machine) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < end, "{what}\n{}", self.api.f.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn clock(&self) -> Value {
        self.api.f.json(&["--json", "status"])["clock"].clone()
    }

    pub fn state(&self) -> String {
        self.clock()["state"].as_str().unwrap().to_string()
    }

    fn lists(&self, addr: &str) -> bool {
        let reversed: Vec<&str> = addr.rsplit('.').collect();
        let question = query(&format!("{}.bl.orbs.example", reversed.join(".")), 1, true);
        shown(&udp(self.api.f.addr(), &question, Duration::from_secs(5)).unwrap())
            .starts_with("NOERROR 127.")
    }

    /// Checks that nothing has ended because of the wall clock.
    fn check_unchanged(&self) {
        assert!(
            self.lists(LISTED) && !self.lists(EXEMPT),
            "{}\n{}",
            self.clock(),
            self.api.f.log()
        );
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn jump_of_the_wall_clock_ends_nothing_and_is_reported() {
    let mut m = Machine::new();
    m.api.f.ok(&[
        "list", LISTED, "--reason", "relay", "--until", "90d", "--note", "x",
    ]);
    m.api.f.ok(&[
        "list", EXEMPT, "--reason", "relay", "--until", "400d", "--note", "x",
    ]);
    m.api
        .f
        .ok(&["exempt", EXEMPT, "--until", "20d", "--note", "x"]);
    m.check_unchanged();
    let health = |m: &Machine| m.api.call("", "GET", "/health/ready", &[], "");
    let metric = |m: &Machine, name: &str| {
        let text = m.api.call(&m.api.owner, "GET", "/metrics", &[], "").text();
        text.lines()
            .find_map(|l| l.strip_prefix(&format!("orbsd_{name} ")))
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(
        (m.state(), health(&m).text(), metric(&m, "clock_differs")),
        ("agrees".into(), "ready\n".into(), 0.0)
    );
    // Sixty days ahead for three seconds.
    m.set(60 * DAY);
    m.until("the difference is seen", |m| m.state() == "differs");
    std::thread::sleep(Duration::from_secs(3));
    m.check_unchanged();
    let degraded = health(&m);
    assert!(
        degraded.status == 200 && degraded.text().starts_with("degraded: clock differs: "),
        "{}",
        degraded.text()
    );
    assert_eq!(metric(&m, "clock_differs"), 1.0);
    assert!((metric(&m, "clock_offset_seconds") - 60.0 * DAY as f64).abs() < 5.0);
    assert!(m.api.f.ok(&["status"]).contains("clock differs: "));
    assert!(m.api.f.log().contains("clock differs: "));
    m.set(0);
    m.until("it is back", |m| m.state() == "agrees");
    m.check_unchanged();
    // A restart with a wall clock 400 days ahead, and one with a correct one.
    m.restart(400 * DAY);
    m.until("it is seen at the start", |m| m.state() == "differs");
    m.check_unchanged();
    m.restart(0);
    m.check_unchanged();
    assert_eq!(m.state(), "agrees");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn duration_from_now_is_warned_about_while_the_clocks_differ() {
    let m = Machine::new();
    m.api.f.write("list", "45.51.9.1\n");
    let warned = |args: &[&str]| {
        let out = m.api.f.orbsd(args);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{args:?}: {text}");
        text.contains("was counted from trusted time; clock differs: ")
    };
    let relative = ["list", LISTED, "--reason", "relay", "--until", "90d"];
    let import = [
        "import",
        "--source",
        "x",
        "--reason",
        "relay",
        "--max-age",
        "30d",
        "list",
    ];
    assert!(!warned(&relative) && !warned(&import));
    m.set(60 * DAY);
    m.until("the difference is seen", |m| m.state() == "differs");
    assert!(warned(&relative) && warned(&import) && warned(&["exempt", EXEMPT, "--until", "20d"]));
    assert!(!warned(&[
        "list",
        LISTED,
        "--reason",
        "relay",
        "--until",
        "2090-01-01"
    ]));
    assert!(!warned(&["list", LISTED, "--reason", "relay"]));
}

/// Without this rule, a lost record and a wrong wall clock would end the whole list.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn start_without_a_record_of_the_clock_uses_the_last_commit() {
    let mut m = Machine::new();
    m.api.f.ok(&[
        "list", LISTED, "--reason", "relay", "--until", "90d", "--note", "x",
    ]);
    m.api.f.ok(&[
        "list", EXEMPT, "--reason", "relay", "--until", "400d", "--note", "x",
    ]);
    m.api
        .f
        .ok(&["exempt", EXEMPT, "--until", "20d", "--note", "x"]);
    let record = m.api.f.config().clock();
    for damaged in [false, true] {
        m.api.daemon.take().unwrap().stop();
        match damaged {
            true => fs::write(&record, "damaged").unwrap(),
            false => fs::remove_file(&record).unwrap(),
        }
        m.restart(400 * DAY);
        m.until("it is seen at the start", |m| m.state() == "unconfirmed");
        m.check_unchanged();
        assert!(
            m.api.f.log().contains("the store's last commit"),
            "{}",
            m.api.f.log()
        );
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn listings_that_are_due_end_when_an_owner_accepts_the_wall_clock() {
    let m = Machine::new();
    m.api.f.ok(&[
        "list", LISTED, "--reason", "relay", "--until", "30d", "--note", "x",
    ]);
    m.api.f.ok(&[
        "list", EXEMPT, "--reason", "relay", "--until", "40d", "--note", "x",
    ]);
    m.api
        .f
        .ok(&["exempt", EXEMPT, "--until", "20d", "--note", "x"]);
    m.set(60 * DAY);
    m.until("the difference is seen", |m| m.state() == "differs");
    // A token that is valid by trusted time and has expired by the wall clock.
    let operator = m.api.token("otto", "operator", &["--expires", "10d"]);
    assert_eq!(
        m.api
            .call(&operator, "POST", "/v1/clock/accept", &[], "")
            .status,
        403,
        "only owners may accept"
    );
    m.check_unchanged();
    let shown = m.api.f.orbsd(&["clock", "show"]);
    assert!(
        shown.status.code() == Some(1)
            && String::from_utf8_lossy(&shown.stderr).contains("orbsd clock accept")
    );
    let output = m.api.f.ok(&["clock", "accept"]);
    assert!(output.starts_with("trusted time is "), "{output}");
    m.until("what is due has ended", |m| {
        !m.lists(LISTED) && !m.lists(EXEMPT)
    });
    assert_eq!(m.state(), "agrees");
    assert!(m.api.f.ok(&["audit"]).contains("clock.accept"));
    assert_eq!(
        m.api.call(&operator, "GET", "/v1/status", &[], "").status,
        401,
        "the token has expired"
    );
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn command_without_a_daemon_uses_the_record_of_the_clock() {
    let mut m = Machine::new();
    m.api.f.ok(&[
        "list", LISTED, "--reason", "relay", "--until", "90d", "--note", "x",
    ]);
    m.set(60 * DAY);
    m.until("the difference is seen", |m| m.state() == "differs");
    m.api.daemon.take().unwrap().stop();
    // The wall clock of this command is correct, and so was trusted time.
    assert_eq!(m.state(), "agrees");
    assert!(m.api.f.ok(&["lookup", LISTED]).contains("relay"));
    assert!(m.api.f.ok(&["clock", "accept"]).contains("(+0 s)"));
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn figures_of_quality_are_counted_again_on_the_next_day() {
    let m = Machine::new();
    let days = || {
        let found = m
            .api
            .f
            .json(&["--json", "zone", "quality", "bl", "--days", "400"]);
        match found.as_array().unwrap().first() {
            Some(zone) => zone["days"].as_array().unwrap().clone(),
            None => Vec::new(),
        }
    };
    m.until("they are counted at the start", |_| days().len() == 1);
    m.api.f.ok(&[
        "list", LISTED, "--reason", "relay", "--until", "90d", "--note", "x",
    ]);
    m.api.f.ok(&[
        "list", EXEMPT, "--reason", "relay", "--until", "90d", "--note", "x",
    ]);
    m.api.f.ok(&["delist", EXEMPT, "--listed-in-error"]);
    for (ahead, removals, reports) in [(2 * DAY, 1, 2), (60 * DAY, 0, 3)] {
        m.set(ahead);
        m.until("the difference is seen", |m| m.state() == "differs");
        m.api.f.ok(&["clock", "accept"]);
        m.until("they are counted again", |_| days().len() == reports);
        let figures = days().pop().unwrap()["figures"].clone();
        assert_eq!(figures["proofs"]["entries"], 1, "{figures}");
        assert_eq!(figures["removals"]["listed_in_error"], removals);
        assert_eq!(figures["removals"]["removals"], removals);
    }
}
