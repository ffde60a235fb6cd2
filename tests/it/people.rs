//! System users and orbsd users: private files, the identity of users at the socket, proposals and
//! webhooks.

mod system_users;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{self, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    lab::{CONFIG, Daemon, Folder, commit},
};

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Returns a group of this machine other than root's: name and number.
fn group() -> (String, u32) {
    let all = fs::read_to_string("/etc/group").unwrap();
    let parse = |l: &str| {
        let mut parts = l.split(':');
        Some((parts.next()?.to_string(), parts.nth(1)?.parse().ok()?))
    };
    all.lines()
        .filter_map(parse)
        .find(|(_, gid)| *gid > 0)
        .unwrap()
}

/// Runs the command line with a umask of 0, and as another user and group if they are given.
/// Returns the exit code and the output.
fn orbsd(f: &Folder, args: &[&str], ids: Option<(u32, u32)>) -> (i32, String) {
    // The directory of the binary may be closed to other users.
    let binary = f.path().join("orbsd");
    if !binary.exists() && fs::hard_link(env!("CARGO_BIN_EXE_orbsd"), &binary).is_err() {
        f.write_program("orbsd", Path::new(env!("CARGO_BIN_EXE_orbsd")));
    }
    let mut command = process::Command::new("sh");
    command
        .args(["-c", "umask 0; exec \"$@\"", "sh"])
        .arg(binary)
        .args(args)
        .current_dir(f.path())
        .stdin(Stdio::null());
    if let Some((uid, gid)) = ids {
        command.uid(uid).gid(gid);
    }
    let out = command.output().unwrap();
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

#[test]
fn approval_requires_a_different_user() {
    let config = CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    );
    let api = Api::with(&config);
    let (anna, bert) = (api.user("anna", "editor"), api.user("bert", "editor"));
    let again = api.token("anna", "editor", &[]);
    // Programs of root, and root at the socket, are one person.
    let (bot, other) = (
        api.token("bot", "editor", &[]),
        api.token("other", "editor", &[]),
    );
    let propose = |token: &str, subject: &str| {
        let body = json!({"subject": subject, "reason": "netblock"}).to_string();
        let made = api.call(token, "POST", "/v1/listings", &[], &body);
        assert_eq!(made.status, 202, "{}", made.text());
        made.json()["proposal"].as_str().unwrap().to_string()
    };
    let approve = |token: &str, id: &str| {
        api.call(
            token,
            "POST",
            &format!("/v1/proposals/{id}/approve"),
            &[],
            "",
        )
    };
    let id = propose(&anna, "45.1.0.0/16");
    assert_eq!(
        approve(&again, &id).problem(),
        "forbidden",
        "two tokens of one user are one"
    );
    approve(&bert, &id).ok();
    let id = propose(&bot, "45.2.0.0/16");
    assert_eq!(approve(&other, &id).problem(), "forbidden");
    let out = api.f.orbsd(&["proposal", "approve", &id]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1)
            && why.contains("both act for uid:0")
            && why.contains("requires approval"),
        "{why}"
    );
    approve(&anna, &id).ok();
    // Under a reason that needs no second person, root approves a report by a program of root.
    let reporter = api.token("trapper", "reporter", &[]);
    let body = json!({"subject": "45.3.1.1", "reason": "relay"}).to_string();
    let id = api
        .call(&reporter, "POST", "/v1/listings", &[], &body)
        .json()["proposal"]
        .as_str()
        .unwrap()
        .to_string();
    api.f.ok(&["proposal", "approve", &id]);
    assert_eq!(api.dns("1.1.3.45"), "NOERROR 127.0.0.2");
}

#[test]
fn root_and_the_daemons_user_count_as_one_person() {
    if !is_root() {
        return;
    }
    let config = CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    ) + "\n[process]\nuser = \"nobody\"\n";
    let f = Folder::with(&config, &[("bl", crate::lab::ZONE)]);
    fs::set_permissions(f.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let _daemon = Daemon::start(&f);
    let run = fs::metadata(f.path().join("run")).unwrap();
    let nobody = Some((run.uid(), run.gid()));
    assert!(run.uid() > 0 && run.mode() & 0o777 == 0o750, "{run:?}");
    f.ok(&["list", "45.1.1.1", "--reason", "netblock"]);
    let id = f.json(&["proposal", "list", "--json"])["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_string();
    let (code, text) = orbsd(&f, &["proposal", "approve", &id], nobody);
    assert!(
        code == 1 && text.contains("both act for uid:0"),
        "{code} {text}"
    );
    // The user of the daemon is an owner, too.
    assert_eq!(
        orbsd(&f, &["user", "add", "anna", "--role", "editor"], nobody).0,
        0
    );
}

#[test]
fn names_of_users_programs_and_sources_do_not_collide() {
    let api = Api::new();
    api.f.write("list.txt", "45.1.1.1\n");
    let import = |source: &str| {
        api.f.orbsd(&[
            "import", "--source", source, "--reason", "relay", "list.txt",
        ])
    };
    assert!(import("ipsum").status.success());
    api.f.ok(&["user", "add", "anna", "--role", "editor"]);
    for args in [
        &["user", "add", "ipsum", "--role", "editor"][..],
        &["user", "add", "tester", "--role", "editor"],
        &["user", "add", "Expiry", "--role", "editor"],
        &["user", "add", "root", "--role", "owner"],
        &["token", "create", "--owner", "ipsum", "--role", "operator"],
        &["token", "create", "--owner", "claimant", "--role", "reader"],
        &["token", "create", "--owner", "tester", "--role", "reader"],
    ] {
        let out = api.f.orbsd(args);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(1) && why.contains("share one name space"),
            "{args:?}: {why}"
        );
    }
    for source in ["anna", "root", "expiry"] {
        let out = import(source);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            !out.status.success() && why.contains("share one name space"),
            "{source}: {why}"
        );
    }
    // `check` reports names that a feed of the configuration would collide with.
    let config = fs::read_to_string(api.f.path().join("config.toml")).unwrap();
    let feed = |name: &str| {
        format!("{config}\n[[feed]]\nname = \"{name}\"\npath = \"list.txt\"\nreason = \"relay\"\n")
    };
    api.f.write("config.toml", &feed("anna"));
    let text = api.f.ok(&["check"]);
    assert!(
        text.contains("`anna` is the name of a user and of a source"),
        "{text}"
    );
    api.f.write("config.toml", &feed("tester"));
    let out = api.f.orbsd(&["check"]);
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("built-in author")
            && out.status.code() == Some(2)
    );
    // A program is not taken for a user whose name was mistyped.
    let out = api
        .f
        .orbsd(&["token", "create", "--owner", "carl", "--role", "reader"]);
    assert!(
        out.status.success() && String::from_utf8_lossy(&out.stderr).contains("carl is not a user")
    );
}

/// The end of an exemption is recorded as a decision even if its author has the name of a source of
/// an earlier store.
#[test]
fn removal_is_logged_whatever_its_authors_name() {
    use orbsd::model::{Change, history::Command};
    let f = Folder::new();
    let ledger = f.ledger();
    ledger.source("bob").unwrap();
    for (n, author) in ["bob", "expiry", "anna"].into_iter().enumerate() {
        let subject: orbsd::model::Subject = format!("45.51.7.{n}").parse().unwrap();
        for ask in [Command::Exempt { until: None }, Command::Unexempt] {
            commit(&ledger, Change::new(subject.clone(), author, ask)).unwrap();
        }
    }
    let ended: Vec<(String, String)> =
        orbsd::ledger::removals::read(&f.path().join("data/removals.log"))
            .unwrap()
            .lines
            .into_iter()
            .flat_map(|l| l.events)
            .filter(|e| e.decision == orbsd::model::event::EventName::ExemptEnded)
            .map(|e| (e.author, e.subject.to_string()))
            .collect();
    let expected = [
        ("bob", "45.51.7.0"),
        ("expiry", "45.51.7.1"),
        ("anna", "45.51.7.2"),
    ];
    assert_eq!(ended, expected.map(|(a, s)| (a.to_string(), s.to_string())));
    ledger.stop().unwrap();
}

#[test]
fn one_reporter_cannot_fill_the_queue_and_others_stay_fast() {
    let config =
        CONFIG.to_string() + "\n[limits]\nmax_pending_proposals = 40\nmax_proposals_per_day = 60\n";
    let api = Api::with(&config);
    let (eve, carl, editor) = (
        api.token("eve", "reporter", &[]),
        api.token("carl", "reporter", &[]),
        api.token("editor", "editor", &[]),
    );
    let propose = |token: &str, n: u32| {
        let body = json!({"subject": format!("45.{}.{}.1", n >> 8, n & 255), "reason": "relay", "note": "x".repeat(2000)}).to_string();
        api.call(token, "POST", "/v1/listings", &[], &body)
    };
    let list = |n: u32| {
        let begun = Instant::now();
        api.call(
            &editor,
            "POST",
            "/v1/listings",
            &[],
            &json!({"subject": format!("46.1.1.{n}"), "reason": "relay"}).to_string(),
        )
        .ok();
        begun.elapsed()
    };
    let mut alone: Vec<Duration> = (0..15).map(list).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut beside = std::thread::scope(|s| {
        for worker in 0..4u32 {
            let (stop, propose, eve) = (&stop, &propose, &eve);
            s.spawn(move || {
                for n in (0..).take_while(|_| !stop.load(std::sync::atomic::Ordering::Relaxed)) {
                    propose(eve, worker * 1000 + n % 1000);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        let times: Vec<Duration> = (100..115).map(list).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        times
    });
    alone.sort();
    beside.sort();
    assert!(
        beside[7] < alone[7] * 10 + Duration::from_millis(50),
        "{alone:?} {beside:?}"
    );
    let waiting = |author: &str| {
        api.get(&format!("/v1/proposals?author={author}")).ok()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((waiting("eve"), waiting("carl")), (40, 0));
    let refused = propose(&eve, 60_000);
    assert!(
        refused.problem() == "conflict"
            && refused.text().contains("eve has 40 proposals that wait"),
        "{}",
        refused.text()
    );
    assert_eq!(propose(&carl, 1).status, 202, "another reporter is served");
    // The proposals are deleted in bulk, and still count for the limit of the day.
    let text = api.f.ok(&["proposal", "delete", "--author", "eve"]);
    assert!(text.contains("eve: 40 proposals deleted"), "{text}");
    assert_eq!((waiting("eve"), waiting("carl")), (0, 1));
    let answers: Vec<u16> = (0..21).map(|n| propose(&eve, 61_000 + n).status).collect();
    assert_eq!(
        (answers.iter().filter(|s| **s == 202).count(), answers[20]),
        (20, 429),
        "{answers:?}"
    );
    assert!(
        propose(&eve, 62_000)
            .header("retry-after")
            .parse::<u64>()
            .unwrap()
            <= 86_400
    );
    let mut api = api;
    api.daemon.take().unwrap().stop();
    api.daemon = Some(Daemon::start(&api.f));
    let body = json!({"subject": "45.2.2.2", "reason": "relay"}).to_string();
    assert_eq!(
        api.call(&eve, "POST", "/v1/listings", &[], &body).status,
        429,
        "a restart forgets nothing"
    );
    assert_eq!(
        api.call(&carl, "POST", "/v1/listings", &[], &body).status,
        202
    );
    // An author's own role cannot delete proposals, and restricted tokens delete only those within
    // their restrictions.
    assert_eq!(
        api.call(&eve, "DELETE", "/v1/proposals?author=eve", &[], "")
            .problem(),
        "forbidden"
    );
    let bound = api.token("bound", "editor", &["--reason", "netblock"]);
    assert_eq!(
        api.call(&bound, "DELETE", "/v1/proposals?author=eve", &[], "")
            .ok()["deleted"],
        0
    );
}

#[test]
fn pending_listing_reports_how_to_approve_it() {
    let config = CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    );
    let api = Api::with(&config);
    let out = api.f.orbsd(&[
        "list",
        "45.70.1.1",
        "--reason",
        "netblock",
        "--note",
        "seen",
        "--until",
        "30d",
    ]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.code() == Some(0) && text.contains("45.70.1.1: proposed ("),
        "{text}"
    );
    let id = text.split(['(', ')']).nth(1).unwrap().to_string();
    assert!(
        text.contains(&format!(
            "another user approves it: orbsd proposal approve {id}"
        )),
        "{text}"
    );
    let again = api.f.ok(&[
        "list",
        "45.70.1.1",
        "--reason",
        "netblock",
        "--note",
        "seen",
        "--until",
        "30d",
    ]);
    assert!(
        again.contains(&id),
        "the same author and listing are the same proposal: {again}"
    );
    let all = api.f.ok(&["proposal", "list"]);
    assert_eq!(all.matches("45.70.1.1").count(), 1, "{all}");
    assert!(
        all.lines().count() == 1 && all.contains(&id) && all.contains("netblock: seen"),
        "{all}"
    );
    let one = api.f.ok(&["proposal", "show", &id]);
    assert!(
        one.contains("proposed by uid:") && one.contains("ends: 20") && one.contains("note: seen"),
        "{one}"
    );
    assert_eq!(
        api.f.orbsd(&["proposal", "show", "nothing"]).status.code(),
        Some(1)
    );
    assert_eq!(
        api.f.orbsd(&["proposal", "approve", &id]).status.code(),
        Some(1),
        "not by who proposed it"
    );
    let bert = api.user("bert", "editor");
    api.f.write("token", &bert);
    fs::set_permissions(
        api.f.path().join("token"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let server = format!("http://{}", api.addr);
    let text = api.f.ok(&[
        "proposal", "approve", &id, "--server", &server, "--token", "token",
    ]);
    assert!(text.contains("approved and listed (commit "), "{text}");
    assert_eq!(api.dns("1.1.70.45"), "NOERROR 127.0.0.3");
    api.f.ok(&["list", "45.71.1.1", "--reason", "netblock"]);
    let id = api.f.json(&["proposal", "list", "--json"])["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        api.f
            .ok(&["proposal", "refuse", &id])
            .contains("45.71.1.1 is not listed")
    );
    assert_eq!(api.f.ok(&["proposal", "list"]), "");
}

#[test]
fn webhooks_are_managed_by_the_command_line() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let made = f.json(&["webhook", "add", "https://hook.example/", "--json"]);
    let id = made["id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().len() > 20);
    let text = f.ok(&["webhook", "list"]);
    assert!(
        text.lines().count() == 1 && text.contains(id) && text.contains("https://hook.example/"),
        "{text}"
    );
    f.ok(&["webhook", "pause", id]);
    assert!(f.ok(&["webhook", "show", id]).contains("paused since"));
    f.ok(&["webhook", "resume", id]);
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let shown = f.ok(&["webhook", "show", id]);
    assert!(
        shown.contains("waiting: 1 message\n") && shown.contains("  commit "),
        "{shown}"
    );
    f.ok(&["webhook", "retry", id]);
    f.ok(&["webhook", "remove", id]);
    assert_eq!(f.ok(&["webhook", "list"]), "");
    assert_eq!(f.orbsd(&["webhook", "show", id]).status.code(), Some(1));
}

#[test]
fn renewal_keeps_the_end_unless_another_is_given() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let until =
        |subject: &str| f.json(&["lookup", subject, "--json"])["entries"][0]["until"].clone();
    // A reason with a lifetime.
    let first = f.ok(&[
        "list",
        "45.1.1.1",
        "--reason",
        "relay",
        "--until",
        "2031-01-02T00:00:00Z",
    ]);
    assert!(
        first.contains(": listed (") && !first.contains("ends"),
        "{first}"
    );
    let text = f.ok(&["list", "45.1.1.1", "--reason", "relay", "--note", "again"]);
    assert!(
        text.contains(": renewed (") && text.contains("ends 2031-01-02T00:00:00Z, as before"),
        "{text}"
    );
    assert_eq!(until("45.1.1.1"), "2031-01-02T00:00:00Z");
    let text = f.ok(&[
        "list",
        "45.1.1.1",
        "--reason",
        "relay",
        "--until",
        "2032-01-02T00:00:00Z",
    ]);
    assert!(
        text.contains("ends 2032-01-02T00:00:00Z (was 2031-01-02T00:00:00Z)"),
        "{text}"
    );
    let text = f.ok(&["list", "45.1.1.1", "--reason", "relay", "--until", "never"]);
    assert!(
        text.contains("ends never (was 2032-01-02T00:00:00Z)"),
        "{text}"
    );
    let text = f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    assert!(text.contains("ends never, as before"), "{text}");
    assert_eq!(until("45.1.1.1"), Value::Null);
    // A reason without a lifetime.
    f.ok(&[
        "list",
        "45.1.1.2",
        "--reason",
        "netblock",
        "--until",
        "2031-01-02T00:00:00Z",
    ]);
    f.ok(&["list", "45.1.1.2", "--reason", "netblock"]);
    assert_eq!(until("45.1.1.2"), "2031-01-02T00:00:00Z");
    // Each of several lines in a stream applies after those before it.
    let out = f.orbsd_with(
        &[
            "list",
            "--reason",
            "relay",
            "--until",
            "2033-01-01T00:00:00Z",
        ],
        "45.1.1.3\n45.1.1.3\n",
    );
    assert!(String::from_utf8_lossy(&out.stdout).contains("ends 2033-01-01T00:00:00Z, as before"));
    // A new listing gets the lifetime of its reason.
    f.ok(&["list", "45.1.1.4", "--reason", "relay"]);
    assert!(until("45.1.1.4").is_string());
}

#[test]
fn delisting_without_a_hold_reports_remaining_listings() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("list.txt", "45.1.1.1\n");
    f.ok(&[
        "import", "--source", "ipsum", "--reason", "relay", "list.txt",
    ]);
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    f.ok(&["list", "45.1.0.0/16", "--reason", "netblock"]);
    let text = f.ok(&["delist", "45.1.1.1", "--no-hold"]);
    assert!(
        text.contains(
            "still listed by: feed ipsum for relay, operator for netblock as part of 45.1.0.0/16"
        ),
        "{text}"
    );
    f.ok(&["list", "46.1.1.1", "--reason", "relay"]);
    assert!(
        f.ok(&["delist", "46.1.1.1", "--no-hold"])
            .contains("still listed by: no source")
    );
}
