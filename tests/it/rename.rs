//! Names that leave the configuration while they have listings, and the renaming of reasons and
//! sources.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, query, shown, udp};

/// A folder with listings by an operator and by a feed, and a domain. The feed reads `xbl.txt`.
struct Lab {
    f: Folder,
    daemon: Option<Daemon>,
}

const FEED: &str =
    "\n[[feed]]\nname = \"xbl\"\npath = \"xbl.txt\"\nreason = \"netblock\"\ninterval = \"1s\"\n";

impl Lab {
    fn new() -> Lab {
        let f = Folder::with(
            &(CONFIG.to_string() + FEED),
            &[("bl", ZONE), ("dbl", DOMAINS)],
        );
        f.write("xbl.txt", "46.1.1.1\n46.1.1.2\n");
        let daemon = Some(Daemon::start(&f));
        let lab = Lab { f, daemon };
        lab.until("1.1.1.46", "NOERROR 127.0.0.3");
        lab.f.ok(&[
            "list", "45.1.1.1", "45.1.1.2", "45.1.1.3", "--reason", "relay",
        ]);
        lab.f.ok(&["list", "bad.example.com", "--reason", "spam"]);
        lab
    }
    fn a(&self, name: &str) -> String {
        shown(
            &udp(
                self.f.addr(),
                &query(&format!("{name}.bl.orbs.example"), 1, true),
                Duration::from_secs(5),
            )
            .unwrap(),
        )
    }
    fn until(&self, name: &str, answer: &str) {
        for _ in 0..400 {
            if self.a(name) == answer {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!(
            "{name}: {} and not {answer}: {}",
            self.a(name),
            self.f.log()
        );
    }
    /// Replaces a text in the configuration and the zone files.
    fn edit(&self, from: &str, to: &str) {
        for file in ["config.toml", "zones/bl.toml", "zones/dbl.toml"] {
            if let Ok(text) = fs::read_to_string(self.f.path().join(file)) {
                self.f.write(file, &text.replace(from, to));
            }
        }
    }
    /// Runs a command. Returns the exit code and the output of both streams.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let out = self.f.orbsd(args);
        (
            out.status.code().unwrap(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    }
    fn status(&self) -> Value {
        let out = self.f.orbsd(&["status", "--json"]);
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["unconfigured"].clone()
    }
    fn restart(&mut self) {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.f));
    }
}

#[test]
fn check_reports_lost_names_while_the_daemon_is_stopped() {
    let mut lab = Lab::new();
    lab.daemon = None;
    assert_eq!(lab.run(&["check"]).0, 0);
    for (from, to, part) in [
        (
            "\"relay\"",
            "\"openrelay\"",
            "reason `relay` has 3 listings and is no longer configured",
        ),
        (
            FEED,
            "",
            "source `xbl` has 2 listings and is no longer a [[feed]]",
        ),
        (
            "\"bl.orbs.example\"",
            "\"other.orbs.example\"",
            "zone bl.orbs.example publishes 5 listings and is no longer configured",
        ),
    ] {
        lab.edit(from, to);
        let (code, printed) = lab.run(&["check"]);
        assert!(
            code == 2 && printed.contains(part) && printed.contains("`--force` accepts it"),
            "{printed}"
        );
        assert_eq!(lab.run(&["check", "--force"]).0, 0);
        match to.is_empty() {
            true => drop(lab.f.write(
                "config.toml",
                &(fs::read_to_string(lab.f.path().join("config.toml")).unwrap() + from),
            )),
            false => lab.edit(to, from),
        }
    }
    // A store that cannot be read is named, and a folder without a store is a new one.
    let current = lab.f.path().join("data/CURRENT");
    fs::write(&current, "MANIFEST-999999\n").unwrap();
    let (code, printed) = lab.run(&["check"]);
    assert!(
        code == 0
            && printed.contains("the configuration was not compared with the names in the store"),
        "{printed}"
    );
    fs::remove_dir_all(lab.f.path().join("data")).unwrap();
    let (code, printed) = lab.run(&["check"]);
    assert!(code == 0 && !printed.contains("compared"), "{printed}");
}

#[test]
fn reload_that_leaves_listings_behind_is_refused_unless_forced() {
    for (from, to, part) in [
        (
            "\"relay\"",
            "\"openrelay\"",
            "reason `relay` has 3 listings and is no longer configured",
        ),
        (
            FEED,
            "",
            "source `xbl` has 2 listings and is no longer a [[feed]]",
        ),
        (
            "\"bl.orbs.example\"",
            "\"other.orbs.example\"",
            "zone bl.orbs.example publishes 5 listings and is no longer configured",
        ),
        (
            "{ reason = \"relay\", code = \"127.0.0.2\" }, ",
            "",
            "zone bl.orbs.example no longer publishes reason `relay`, which has 3 listings",
        ),
        (
            "\"domain\"",
            "\"address\"",
            "zone dbl.orbs.example publishes 1 listing and",
        ),
    ] {
        let lab = Lab::new();
        assert_eq!(lab.run(&["check"]).0, 0);
        lab.edit(from, to);
        let (code, output) = lab.run(&["check"]);
        assert!(
            code == 2 && output.contains(part) && output.contains("--force"),
            "{output}"
        );
        let (code, output) = lab.run(&["check", "--force"]);
        assert!(
            code == 0 && output.contains("warning: ") && output.contains(part),
            "{output}"
        );
        let (code, output) = lab.run(&["reload"]);
        assert!(
            code != 0 && output.contains(part) && output.contains("orbsd reload --force"),
            "{code} {output}"
        );
        lab.daemon.as_ref().unwrap().signal("HUP");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(
            (lab.a("1.1.1.45"), lab.a("1.1.1.46")),
            ("NOERROR 127.0.0.2".into(), "NOERROR 127.0.0.3".into()),
            "{part}"
        );
        lab.f.ok(&["reload", "--force"]);
        assert!(lab.status().as_array().unwrap().is_empty());
        // A loss that was accepted is not reported again.
        lab.f.ok(&["reload"]);
        assert_eq!(lab.run(&["check"]).0, 0);
    }
}

#[test]
fn name_without_listings_can_be_removed_from_the_configuration() {
    let lab = Lab::new();
    lab.f
        .ok(&["delist", "45.1.1.1", "45.1.1.2", "45.1.1.3", "--no-hold"]);
    lab.edit("\"relay\"", "\"openrelay\"");
    assert_eq!(lab.run(&["check"]).0, 0);
    lab.f.ok(&["reload"]);
}

#[test]
fn start_with_a_lost_name_serves_the_rest_and_reports_it_until_resolved() {
    let mut lab = Lab::new();
    lab.daemon = None;
    lab.edit("\"relay\"", "\"openrelay\"");
    lab.restart();
    assert_eq!(
        (lab.a("1.1.1.45"), lab.a("1.1.1.46")),
        ("NXDOMAIN soa 60".into(), "NOERROR 127.0.0.3".into())
    );
    assert!(
        lab.f
            .log()
            .contains("the configuration has lost a name: reason `relay` has 3 listings"),
        "{}",
        lab.f.log()
    );
    assert_eq!(lab.status()[0]["listings"], 3);
    let (code, output) = lab.run(&["status"]);
    assert!(
        code == 1 && output.contains("NOT CONFIGURED: reason `relay` has 3 listings"),
        "{output}"
    );
    let s: Value = serde_json::from_slice(&lab.f.orbsd(&["status", "--json"]).stdout).unwrap();
    assert!(
        s["writes"] == "accepted" && s["problem"].as_str().unwrap().contains("has lost a name"),
        "{s}"
    );
    let (code, output) = lab.run(&["reload"]);
    assert!(
        code != 0 && output.contains("reason `relay` has 3 listings"),
        "{output}"
    );
    // The new name has a number of its own now, which is not used.
    lab.f.ok(&["reason", "rename", "relay", "openrelay"]);
    assert_eq!(lab.a("1.1.1.45"), "NOERROR 127.0.0.2");
    assert!(lab.status().as_array().unwrap().is_empty());
    lab.f.ok(&["status"]);
    lab.f.ok(&["reload"]);
    lab.restart();
    assert_eq!(lab.a("1.1.1.45"), "NOERROR 127.0.0.2");
}

#[test]
fn renamed_reason_keeps_its_listings_holds_history_and_tokens() {
    let mut lab = Lab::new();
    lab.f.ok(&["delist", "45.1.1.3"]);
    let token = lab.f.json(&[
        "token", "create", "--owner", "feeder", "--role", "editor", "--reason", "relay", "--json",
    ]);
    // The files must have the new name before the rename.
    for (args, part) in [
        (
            ["reason", "rename", "relay", "openrelay"],
            "config.toml still has the [[reason]] `relay`",
        ),
        (
            ["reason", "rename", "nothing", "openrelay"],
            "config.toml has no [[reason]] `openrelay`",
        ),
    ] {
        let (code, output) = lab.run(&args);
        assert!(code != 0 && output.contains(part), "{output}");
    }
    lab.edit("\"relay\"", "\"openrelay\"");
    let (code, output) = lab.run(&["reason", "rename", "relay", "spam"]);
    assert!(
        code != 0 && output.contains("the reason `spam` is in use (1 listing)"),
        "{output}"
    );
    let (code, output) = lab.run(&["reason", "rename", "nothing", "openrelay"]);
    assert!(
        code != 0 && output.contains("there is no reason `nothing`"),
        "{output}"
    );
    let output = lab.f.ok(&["reason", "rename", "relay", "openrelay"]);
    assert!(
        output.contains("reason relay is now called openrelay"),
        "{output}"
    );
    for restarted in [false, true] {
        if restarted {
            lab.restart();
        }
        assert_eq!(
            (lab.a("1.1.1.45"), lab.a("3.1.1.45")),
            ("NOERROR 127.0.0.2".into(), "NXDOMAIN soa 60".into())
        );
        let output = lab.f.ok(&["lookup", "45.1.1.1"]);
        assert!(
            output.contains("openrelay") && !output.contains("`relay`"),
            "{output}"
        );
        let held = lab.f.json(&["lookup", "45.1.1.3", "--json"]);
        assert_eq!(held["holds"][0]["reason"], "openrelay", "{held}");
    }
    let tokens = lab.f.json(&["token", "list", "--json"]).to_string();
    assert!(
        tokens.contains("openrelay") && !tokens.contains("\"relay\""),
        "{tokens}: {token}"
    );
    assert!(
        lab.f.ok(&["audit"]).contains("reason.rename"),
        "{}",
        lab.f.ok(&["audit"])
    );
    lab.f.ok(&["list", "45.1.1.9", "--reason", "openrelay"]);
    assert_eq!(lab.run(&["list", "45.1.1.8", "--reason", "relay"]).0, 2);
    lab.f.ok(&["delist", "45.1.1.1"]);
    assert_eq!(lab.a("1.1.1.45"), "NXDOMAIN soa 60");
}

#[test]
fn copy_from_before_a_rename_is_restored_with_the_new_name() {
    let mut lab = Lab::new();
    lab.f.ok(&["backup", "copy"]);
    lab.f.ok(&["delist", "45.1.1.1"]);
    lab.edit("\"relay\"", "\"openrelay\"");
    lab.f.ok(&["reason", "rename", "relay", "openrelay"]);
    lab.f.ok(&["delist", "45.1.1.2"]);
    let log = lab.f.path().join("removals.log");
    fs::copy(lab.f.path().join("data/removals.log"), &log).unwrap();
    lab.daemon = None;
    fs::remove_dir_all(lab.f.path().join("data")).unwrap();
    lab.f
        .ok(&["restore", "copy", "--removal-log", "removals.log"]);
    lab.restart();
    let answers = ["1.1.1.45", "2.1.1.45", "3.1.1.45"].map(|n| lab.a(n));
    assert_eq!(
        answers,
        ["NXDOMAIN soa 60", "NXDOMAIN soa 60", "NOERROR 127.0.0.2"]
    );
    let held = lab.f.json(&["lookup", "45.1.1.1", "--json"]);
    assert_eq!(held["holds"][0]["reason"], "openrelay", "{held}");
    assert!(
        lab.status().as_array().unwrap().is_empty(),
        "{}",
        lab.status()
    );
}

#[test]
fn renamed_feed_keeps_its_rows() {
    let mut lab = Lab::new();
    let (code, output) = lab.run(&["source", "rename", "xbl", "zbl"]);
    assert!(
        code != 0 && output.contains("config.toml still has the [[feed]] `xbl`"),
        "{output}"
    );
    lab.edit("\"xbl\"", "\"zbl\"");
    let (code, output) = lab.run(&["reload"]);
    assert!(
        code != 0 && output.contains("`orbsd source rename xbl NEW`"),
        "{output}"
    );
    lab.f.ok(&["source", "rename", "xbl", "zbl"]);
    assert_eq!(lab.a("1.1.1.46"), "NOERROR 127.0.0.3");
    fs::rename(
        lab.f.write("new", "46.1.1.2\n46.1.1.3\n"),
        lab.f.path().join("xbl.txt"),
    )
    .unwrap();
    lab.until("3.1.1.46", "NOERROR 127.0.0.3");
    assert_eq!(
        lab.a("1.1.1.46"),
        "NXDOMAIN soa 60",
        "one source has the rows, not two"
    );
    let sources = lab.f.json(&["status", "--json"])["sources"].to_string();
    assert!(
        sources.contains("\"zbl\"") && !sources.contains("\"xbl\""),
        "{sources}"
    );
    lab.restart();
    assert_eq!(lab.a("2.1.1.46"), "NOERROR 127.0.0.3");
    for (old, new, part) in [
        ("operator", "me", "built in"),
        ("zbl", "prober", "built in"),
        ("zbl", "Bad Name", "not a valid name for a source"),
    ] {
        lab.edit(
            "name = \"zbl\"",
            &format!(
                "name = \"{}\"",
                if new == "Bad Name" { "fine" } else { "gone" }
            ),
        );
        // The feed may still be importing after the restart, which is refused first.
        let is_refused = |(_, output): &(i32, String)| output.contains("is being imported");
        let (code, output) = std::iter::repeat_with(|| lab.run(&["source", "rename", old, new]))
            .take(600)
            .find(|found| !is_refused(found))
            .expect("the import ends");
        assert!(
            code != 0 && (output.contains(part) || output.contains("config.toml has no [[feed]]")),
            "{output}"
        );
        lab.edit("name = \"gone\"", "name = \"zbl\"");
        lab.edit("name = \"fine\"", "name = \"zbl\"");
    }
}

#[test]
fn source_and_reason_are_renamed_without_a_daemon() {
    let f = Folder::new();
    f.write("a.txt", "46.1.1.1\n");
    f.ok(&["import", "--source", "old", "--reason", "relay", "a.txt"]);
    f.ok(&["source", "rename", "old", "new"]);
    f.write("a.txt", "46.1.1.2\n46.1.1.3\n");
    f.ok(&["import", "--source", "new", "--reason", "relay", "a.txt"]);
    assert_eq!(f.orbsd(&["lookup", "46.1.1.1"]).status.code(), Some(1));
    f.ok(&["lookup", "46.1.1.2"]);
    // A reason is renamed in the same way, after its files.
    let rename = |file: &str| {
        let text = fs::read_to_string(f.path().join(file)).unwrap();
        f.write(file, &text.replace("\"relay\"", "\"openrelay\""));
    };
    rename("config.toml");
    rename("zones/bl.toml");
    f.ok(&["reason", "rename", "relay", "openrelay"]);
    let found = f.json(&["lookup", "46.1.1.2", "--json"]);
    assert!(found.to_string().contains("openrelay"), "{found}");
}
