//! `orbsd doctor`: a sound server has no fault, and each fault that is put in is named with its
//! remedy.

mod faults;
mod world;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    lab::Folder,
    mirrors::servers::{Kind, Mirror},
};
use world::{PRIMARY, SECOND, THIRD, World};

/// The findings of a run, with its exit code.
pub struct Report {
    pub code: i32,
    pub findings: Vec<Value>,
}

impl Report {
    /// Runs `orbsd doctor --json` with these arguments.
    pub fn of(folder: &Folder, arguments: &[&str]) -> Report {
        let out = folder.orbsd(&[&["--json", "doctor"], arguments].concat());
        let findings = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| {
            let stderr = String::from_utf8_lossy(&out.stderr);
            panic!("{e}: {}{stderr}", String::from_utf8_lossy(&out.stdout))
        });
        Report {
            code: out.status.code().unwrap(),
            findings,
        }
    }

    /// The findings with a state.
    pub fn with(&self, state: &str) -> Vec<&Value> {
        let all = self.findings.iter();
        all.filter(|f| f["state"] == state).collect()
    }

    /// The one finding of a check about a target.
    pub fn one(&self, check: &str, target: &str) -> &Value {
        let all = self.findings.iter();
        let found: Vec<&Value> = all
            .filter(|f| f["check"] == check && f["target"].as_str().unwrap().contains(target))
            .collect();
        let [one] = found[..] else {
            panic!("{check} {target}: {found:#?} of {:#?}", self.findings);
        };
        one
    }

    /// Checks that a finding is a fault, with parts of its text and of its remedy.
    pub fn fault(&self, check: &str, target: &str, what: &str, remedy: &str) {
        let found = self.one(check, target);
        assert_eq!(found["state"], "fault", "{found:#}");
        for (field, part) in [("what", what), ("remedy", remedy)] {
            let text = found[field].as_str().unwrap();
            assert!(text.contains(part), "{field} without {part}: {found:#}");
        }
        assert_eq!(self.code, 2, "a fault has exit code 2: {found:#}");
    }

    pub fn good(&self, check: &str, target: &str) {
        let found = self.one(check, target);
        assert_eq!(found["state"], "good", "{found:#}");
    }
}

/// The longest run on a sound server with two mirrors.
const MAX_RUN: Duration = Duration::from_secs(5);

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn sound_server_with_two_mirrors_has_no_fault() {
    let mut world = World::prepared(&[PRIMARY, SECOND, THIRD], "");
    let ours = world.primary();
    let mut mirrors = [(Kind::Nsd, SECOND), (Kind::Knot, THIRD)]
        .map(|(kind, ip)| Mirror::at(kind, world.at(ip), ours, &[world::ZONE]));
    world.start();
    for i in 0..40 {
        world
            .folder
            .ok(&["list", &format!("45.51.100.{i}"), "--reason", "relay"]);
    }
    world.folder.ok(&["backup", "copy"]);
    mirrors.iter_mut().for_each(Mirror::start);
    for mirror in &mirrors {
        mirror.in_step(world::ZONE, ours, Duration::from_secs(30));
    }
    let begin = Instant::now();
    let report = world.doctor(&[]);
    let took = begin.elapsed();
    assert_eq!(report.with("fault"), Vec::<&Value>::new());
    // Only what this machine cannot have may be missing.
    for finding in [report.with("not-seen"), report.with("warning")].concat() {
        assert!(
            ["synchronised", "disk", "open-files"].contains(&finding["check"].as_str().unwrap()),
            "{finding:#}"
        );
    }
    for server in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        for check in [
            "answer",
            "edns",
            "tcp",
            "test-points",
            "serial",
            "agreement",
        ] {
            report.good(check, &format!("({server})"));
        }
    }
    report.good("agreement", "(127.0.0.2)");
    assert!(
        report.one("agreement", "(127.0.0.2)")["what"]
            .as_str()
            .unwrap()
            .contains("8 names")
    );
    for name in ["ns1", "ns2", "ns3"] {
        report.good("glue", &format!("{name}.{}", world::ZONE));
    }
    report.good("resolver", "through the resolver");
    assert!(took <= MAX_RUN, "{took:?}");
}

#[test]
fn output_has_a_table_a_line_for_monitoring_and_exit_codes() {
    let mut world = World::prepared(&[PRIMARY], "");
    world.start();
    let run = |arguments: &[&str]| {
        let out = world
            .folder
            .orbsd(&[&["doctor", "--only", "backup"], arguments].concat());
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let (code, table) = run(&[]);
    assert_eq!(code, Some(2), "{table}");
    assert!(
        table.starts_with("backup\n  fault    age store: no backup"),
        "{table}"
    );
    assert!(
        table.contains("\n           -> run `orbsd backup DIR`"),
        "{table}"
    );
    assert!(
        table.ends_with("1 fault, 0 warnings, 0 not seen, 1 good\n"),
        "{table}"
    );
    let (code, line) = run(&["--nagios"]);
    assert_eq!(code, Some(2));
    assert!(
        line.starts_with("ORBSD CRITICAL: 1 fault,") && line.lines().count() == 1,
        "{line}"
    );
    world.folder.ok(&["backup", "copy"]);
    let (code, table) = run(&[]);
    assert_eq!(
        (code, table.as_str()),
        (Some(0), "0 faults, 0 warnings, 0 not seen, 2 good\n")
    );
    let (code, table) = run(&["--all"]);
    assert!(
        code == Some(0) && table.contains("  good     age store: the last backup is of"),
        "{table}"
    );
    let (code, line) = run(&["--nagios"]);
    assert!(code == Some(0) && line.starts_with("ORBSD OK"), "{line}");
    // Wrong usage is not a fault of the server.
    assert_eq!(run(&["--from", "nowhere"]).0, Some(3));
    assert_eq!(run(&["--only", "everything"]).0, Some(3));
}

#[test]
fn what_only_the_daemon_knows_is_not_seen_while_it_does_not_run() {
    let world = World::prepared(&[PRIMARY], "");
    let report = world.doctor(&["--only", "daemon,backup,feeds"]);
    report.fault(
        "running",
        "orbsd.sock",
        "no daemon",
        "systemctl start orbsd",
    );
    for area in ["backup", "feeds"] {
        let all = report.findings.iter().filter(|f| f["area"] == area);
        let states: Vec<&Value> = all.map(|f| &f["state"]).collect();
        assert_eq!(states, ["not-seen"], "{area}");
    }
    // The store was not opened.
    assert!(!world.folder.path().join("data/CURRENT").exists());
}

#[test]
fn resolver_that_does_not_answer_is_not_seen_and_another_one_can_be_asked() {
    let mut world = World::prepared(&[PRIMARY], "");
    world.start();
    world.resolver.set_silent(true);
    // It forwards this zone, too.
    world
        .resolver
        .forward("elsewhere.example", world.at(PRIMARY));
    let report = world.doctor(&["--only", "delegation"]);
    assert_eq!(report.with("fault"), Vec::<&Value>::new());
    assert_eq!(report.one("ns", world::ZONE)["state"], "not-seen");
    assert_eq!(report.code, 3);
    let other = world.another_resolver();
    let report = world.doctor(&["--only", "delegation", "--from", &other.to_string()]);
    report.good("ns", world::ZONE);
    assert_eq!(report.code, 0, "{:#?}", report.findings);
}

#[test]
fn site_has_to_answer_listed_clients_too() {
    let port = crate::lab::free_port();
    let site =
        format!("[web]\nlisten = \"127.0.0.1:{port}\"\nbase_url = \"http://127.0.0.1:{port}\"\n");
    let mut world = World::prepared(&[PRIMARY], &site);
    let report = world.doctor(&["--only", "site"]);
    report.fault("pages", "http://127.0.0.1", "does not answer", "base_url");
    report.fault("listed-client", "127.0.0.2", "does not answer", "RFC 6471");
    world.start();
    world.wait_for(port);
    let report = world.doctor(&["--only", "site"]);
    report.good("pages", "http://127.0.0.1");
    report.good("listed-client", "127.0.0.2");
    assert_eq!(report.code, 0);
}
