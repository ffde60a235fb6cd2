//! Guards of imports: shrink and growth guards, held feeds, allowances of errors, and lists that
//! are refused whatever the options.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE},
};

/// Addresses from `from` to `to` in 45.51.0.0/16, one on each line.
fn hosts(from: u32, to: u32) -> String {
    let mut out = String::new();
    (from..to).for_each(|i| _ = writeln!(out, "45.51.{}.{}", i >> 8, i & 255));
    out
}

fn import(f: &Folder, args: &[&str]) -> (i32, String) {
    let out = f.orbsd(&[&["import", "--source", "xbl", "--reason", "relay"], args].concat());
    (
        out.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout),
    )
}

fn entries(f: &Folder) -> usize {
    f.ok(&["export", "bl", "--format", "list"])
        .lines()
        .filter(|l| !l.starts_with('#'))
        .count()
}

fn listed(f: &Folder, subject: &str) -> bool {
    f.json(&["lookup", subject, "--json"])["listed"] == true
}

/// Waits until a condition holds.
fn until(what: &str, f: &Folder, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "{what}: {}", f.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn list_that_shrinks_too_far_is_refused_with_exit_code_3() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("all.txt", &hosts(0, 100));
    f.write("few.txt", &hosts(0, 40));
    assert_eq!(import(&f, &["all.txt"]).0, 0);
    for options in [&[][..], &["--skip-errors"], &["--dry-run"]] {
        let (code, output) = import(&f, &[options, &["few.txt"]].concat());
        assert_eq!(code, 3, "{output}");
        for part in [
            "few.txt: the entries fall by more than 50 %, from 100 to 40",
            "60 would be removed, such as 45.51.0.40",
            "nothing was changed",
            "--allow-shrink",
        ] {
            assert!(output.contains(part), "{part}: {output}");
        }
        assert_eq!(entries(&f), 100);
    }
    assert_eq!(import(&f, &["--dry-run", "--allow-shrink", "few.txt"]).0, 0);
    assert_eq!(entries(&f), 100);
    assert_eq!(import(&f, &["--allow-shrink", "few.txt"]).0, 0);
    assert_eq!(entries(&f), 40);
    // The same list is within the limits after a permitted loss.
    assert_eq!(import(&f, &["few.txt"]).0, 0);
    // Losses within the limit, and one beyond the limit of a day.
    f.write("half.txt", &hosts(0, 20));
    assert_eq!(import(&f, &["half.txt"]).0, 0);
    f.write("fewer.txt", &hosts(0, 7));
    assert_eq!(import(&f, &["fewer.txt"]).0, 3, "80 % within a day");
    f.write("few.txt", &hosts(0, 9));
    assert_eq!(import(&f, &["few.txt"]).0, 0);
}

/// Each step is within the limit, and all together are not.
#[test]
fn list_that_shrinks_step_by_step_within_a_day_is_refused() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    for n in [200, 110, 60] {
        f.write("x.txt", &hosts(0, n));
        assert_eq!(import(&f, &["x.txt"]).0, 0, "{n}");
    }
    drop(daemon); // The lists of the day are known after a kill.
    let _daemon = Daemon::start(&f);
    f.write("x.txt", &hosts(0, 33));
    let (code, output) = import(&f, &["x.txt"]);
    assert!(
        code == 3 && output.contains("24 hours, from 200 to 33"),
        "{code} {output}"
    );
    assert_eq!(entries(&f), 60);
}

#[test]
fn shrink_guard_counts_covered_addresses() {
    let f = Folder::new();
    let nets: String = (0..30).fold(String::new(), |all, i| all + &format!("46.{i}.0.0/16\n"));
    f.write("nets.txt", &nets);
    f.write("hosts.txt", &nets.replace("/16", ""));
    assert_eq!(import(&f, &["nets.txt"]).0, 0);
    let (code, output) = import(&f, &["hosts.txt"]);
    assert!(
        code == 3 && output.contains("covered IPv4 addresses"),
        "{code} {output}"
    );
}

#[test]
fn list_that_grows_too_far_is_refused() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("few.txt", &hosts(0, 100));
    f.write("many.txt", &hosts(0, 12_000));
    f.write("wide.txt", &(hosts(0, 100) + "46.0.0.0/9\n"));
    assert_eq!(import(&f, &["few.txt"]).0, 0);
    for (file, part) in [
        ("many.txt", "from 100 to 12000"),
        ("wide.txt", "an IPv4 prefix of /9"),
    ] {
        let (code, output) = import(&f, &[file]);
        assert!(
            code == 3 && output.contains(part) && output.contains("--allow-growth"),
            "{code} {output}"
        );
        assert_eq!(entries(&f), 100);
    }
    assert_eq!(import(&f, &["--allow-growth", "many.txt"]).0, 0);
    assert_eq!(entries(&f), 12_000);
    // A large list that shrinks is refused before any of it is written.
    assert_eq!(import(&f, &["few.txt"]).0, 3);
    assert_eq!(entries(&f), 12_000);
}

/// No option permits the change, and the reset removes no entries.
#[test]
fn change_between_addresses_and_names_needs_a_reset_of_the_source() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let spam = |args: &[&str]| {
        let out = f.orbsd(&[&["import", "--source", "xbl", "--reason", "spam"], args].concat());
        (
            out.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    f.write("addresses.txt", &hosts(0, 10));
    f.write("names.txt", "bad.example\nworse.example\n");
    assert_eq!(import(&f, &["addresses.txt"]).0, 0);
    for options in [
        &[][..],
        &[
            "--skip-errors=100%",
            "--allow-shrink",
            "--allow-growth",
            "--allow-empty",
        ],
    ] {
        let (code, output) = spam(&[options, &["names.txt"]].concat());
        assert!(
            code == 3
                && output.contains("`orbsd source reset xbl`")
                && output.contains("only names"),
            "{code} {output}"
        );
    }
    assert_eq!(entries(&f), 10);
    assert_eq!(
        f.orbsd(&["source", "reset", "nowhere"]).status.code(),
        Some(1)
    );
    assert_eq!(
        f.orbsd(&["source", "reset", "operator"]).status.code(),
        Some(1)
    );
    f.ok(&["source", "reset", "xbl"]);
    assert_eq!(entries(&f), 10, "no entry is removed");
    let audit = f.ok(&["audit"]);
    assert!(audit.contains("source.reset"), "{audit}");
    assert_eq!(spam(&["names.txt"]).0, 0);
    assert!(listed(&f, "bad.example") && entries(&f) == 0);
    // After an undo, a list of the old kind is accepted.
    let commit = f.json(&["status", "--json"])["commit"].to_string();
    f.ok(&["undo", &commit]);
    assert_eq!(entries(&f), 10);
    assert_eq!(import(&f, &["addresses.txt"]).0, 0);
}

#[test]
fn list_with_only_exclusions_is_refused() {
    let f = Folder::new();
    f.write("a.rbl", "45.51.0.0/24\n!45.51.0.7\n");
    f.write("b.rbl", "!45.51.0.7\n!45.51.0.8\n");
    assert_eq!(import(&f, &["--format", "rbldnsd", "a.rbl"]).0, 0);
    for options in [
        &[][..],
        &["--skip-errors", "--allow-empty", "--allow-shrink"],
    ] {
        let (code, output) = import(&f, &[options, &["--format", "rbldnsd", "b.rbl"]].concat());
        assert!(
            code == 3 && output.contains("only exclusions"),
            "{code} {output}"
        );
    }
    assert!(listed(&f, "45.51.0.6"));
}

/// The final record is missing, or its count is wrong.
#[test]
fn list_without_the_final_record_of_the_last_one_is_refused() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let entry = |i: u32| {
        format!("{{\"cidr\":\"45.5{i}.0.0/24\",\"sblid\":\"SBL90000{i}\",\"rir\":\"arin\"}}\n")
    };
    let last = "{\"type\":\"metadata\",\"timestamp\":1790000000,\"size\":246,\"records\":4}\n";
    let all: String = (0..4).map(entry).collect();
    f.write("whole.json", &(all.clone() + last));
    f.write("cut.json", &all);
    f.write("short.json", &(entry(0) + &entry(1) + last));
    // A source whose last list had no final record accepts one without it.
    assert_eq!(import(&f, &["cut.json"]).0, 0);
    assert_eq!(import(&f, &["whole.json"]).0, 0);
    for options in [&[][..], &["--skip-errors=100%", "--allow-shrink"]] {
        let (code, output) = import(&f, &[options, &["cut.json"]].concat());
        assert!(
            code == 3
                && output.contains("`orbsd source reset xbl`")
                && output.contains("truncated"),
            "{code} {output}"
        );
        let (code, output) = import(&f, &[options, &["short.json"]].concat());
        assert!(
            code == 3 && output.contains("short.json"),
            "{code} {output}"
        );
        assert_eq!(entries(&f), 4);
    }
    f.ok(&["source", "reset", "xbl"]);
    assert_eq!(import(&f, &["cut.json"]).0, 0);
    let found = f.json(&["lookup", "45.51.0.0/24", "--json"]);
    assert_eq!(found["entries"][0]["note"], "SBL900001", "{found}");
}

/// Servers sometimes send a message instead of a list.
#[test]
fn error_message_of_a_server_is_not_accepted_as_a_list() {
    let api = feed("skip_errors = \"100%\"");
    for (text, part) in [
        ("Too many requests. Come again later\n", "xbl.txt"),
        (
            "Forbidden\nYou may not read this list from here.\n",
            "xbl.txt",
        ),
        (
            "<!doctype html>\n<html lang=\"en\">\n<body><p>The list has moved to 45.51.100.9</p></body>\n</html>\n",
            "HTML",
        ),
        ("", "no entries"),
    ] {
        replace(&api.f, text);
        until(text, &api.f, || {
            state(&api.f)["problem"]
                .as_str()
                .is_some_and(|p| p.contains(part))
        });
        assert_eq!(entries(&api.f), 100);
        for options in [&[][..], &["--skip-errors=100%", "--allow-shrink"]] {
            let (code, output) = import(&api.f, &[options, &["xbl.txt"]].concat());
            assert_eq!(code, 3, "{text}: {output}");
        }
        assert_eq!(entries(&api.f), 100);
        replace(&api.f, &hosts(0, 100));
        until("the good list", &api.f, || {
            state(&api.f)["problem"].is_null()
        });
    }
}

#[test]
fn errors_are_allowed_by_number_and_by_share() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let list =
        |entries: u32, errors: u32| hosts(0, entries) + &"45.51.0.300/33\n".repeat(errors as usize);
    for (entries_, errors, option, code) in [
        (10, 1, "", 3),
        (10, 3, "--skip-errors", 0),
        (10, 4, "--skip-errors", 3),
        (96, 4, "--skip-errors", 0),
        (96, 6, "--skip-errors", 3),
        (10, 4, "--skip-errors=4", 0),
        (10, 5, "--skip-errors=4", 3),
        (90, 10, "--skip-errors=10%", 0),
        (90, 11, "--skip-errors=10%", 3),
        (0, 2, "--skip-errors=100%", 3),
        (10, 1, "--skip-errors=some", 2),
        (10, 1, "--skip-errors=101%", 2),
    ] {
        let f2 = format!("x{entries_}-{errors}.txt");
        f.write(&f2, &list(entries_, errors));
        let args: Vec<&str> = [option]
            .into_iter()
            .filter(|o| !o.is_empty())
            .chain(["--allow-shrink", &f2])
            .collect();
        let (got, output) = import(&f, &args);
        assert_eq!(got, code, "{entries_} {errors} {option}: {output}");
        if code == 3 {
            assert!(
                output.contains(&format!("{f2}:{}:", entries_ + 1))
                    && output.contains("nothing was changed"),
                "{output}"
            );
        }
    }
    // An entry that a rule leaves out is not an error.
    f.write("special.txt", &(hosts(0, 10) + &"10.0.0.1\n".repeat(50)));
    assert_eq!(import(&f, &["--allow-shrink", "special.txt"]).0, 0);
}

#[test]
fn refused_list_is_a_problem_of_its_own_kind_in_the_api() {
    let api = Api::new();
    let import = |query: &str, body: &str| {
        api.post(
            &format!("/v1/imports?source=xbl&reason=relay&{query}"),
            body,
        )
    };
    import("", &hosts(0, 100)).ok();
    let refused = import("", &hosts(0, 10));
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (422, "list-refused")
    );
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("from 100 to 10")
    );
    assert_eq!(
        import("dry_run=true", &hosts(0, 10)).problem(),
        "list-refused"
    );
    assert_eq!(import("", "").problem(), "list-refused");
    assert_eq!(import("", "45.51.0.300/33\n").problem(), "list-refused");
    assert_eq!(
        import("skip_errors=perhaps", &hosts(0, 100)).problem(),
        "invalid"
    );
    assert_eq!(import("format=xls", &hosts(0, 100)).problem(), "invalid");
    import("skip_errors=1", &(hosts(0, 100) + "45.51.0.300/33\n")).ok();
    import("allow_shrink=true", &hosts(0, 10)).ok();
    assert!(
        api.get("/problems/list-refused")
            .text()
            .contains("orbsd source reset")
    );
    // Only an operator resets a source, and a restricted token only its own source.
    let editor = api.token("anna", "editor", &[]);
    let bound = api.token("feeder", "operator", &["--source", "other"]);
    for token in [&editor, &bound] {
        assert_eq!(
            api.call(token, "POST", "/v1/sources/xbl/reset", &[], "")
                .problem(),
            "forbidden"
        );
        assert_eq!(
            api.call(token, "POST", "/v1/feeds/xbl/accept", &[], "")
                .problem(),
            "forbidden"
        );
    }
    api.post("/v1/sources/xbl/reset", "").ok();
    assert_eq!(api.post("/v1/feeds/xbl/accept", "").problem(), "not-found");
    assert_eq!(api.get("/v1/feeds/xbl").problem(), "not-found");
}

#[test]
fn note_of_a_feed_entry_is_shown_to_operators_and_not_published() {
    use orbsd::{
        model::Time,
        store::{schema::FeedEntry, stage::Mode},
    };
    let f = Folder::new();
    let ledger = f.ledger();
    let source = ledger.source("drop").unwrap();
    let reason = ledger.store.dictionary().reasons.get("relay").unwrap();
    let run = |note: Option<&str>, mode: Mode| {
        let entry = FeedEntry {
            reason,
            exclusion: false,
            implied: false,
            since: Time(0),
            text: Default::default(),
            note: note.map(Into::into),
        };
        let mut what = orbsd::ledger::Import {
            mode,
            ..orbsd::ledger::Import::replace(source)
        };
        ledger
            .import_with(&mut what, |_, sink| {
                sink("45.51.0.0/24".parse().unwrap(), entry)
            })
            .unwrap()
    };
    run(Some("SBL900001"), Mode::Replace);
    let done = run(Some("SBL900002"), Mode::Replace);
    assert_eq!((done.difference.changed, done.difference.same), (1, 0));
    assert!(
        done.receipt.unwrap().serials.is_empty(),
        "a note is not published"
    );
    let again = run(Some("SBL900002"), Mode::Replace);
    assert_eq!(again.difference.same, 1);
    ledger.stop().unwrap();
    let found = f.json(&["lookup", "45.51.0.0/24", "--json"]);
    assert_eq!(found["entries"][0]["note"], "SBL900002");
    assert!(f.ok(&["lookup", "45.51.0.7"]).contains("45.51.0.0/24"));
    assert_eq!(
        f.json(&["lookup", "45.51.0.7", "--json"])["covered_by"][0]["entries"][0]["note"],
        "SBL900002"
    );
    for format in ["master", "rbldnsd", "jsonl", "list"] {
        assert!(
            !f.ok(&["export", "bl", "--format", format])
                .contains("SBL90000"),
            "{format}"
        );
    }
}

/// A daemon with a file feed of 100 addresses, and more settings of the feed.
fn feed(more: &str) -> Api {
    let feed = format!(
        "\n[http_client]\nallow_special_ranges = [\"127.0.0.1\"]\n[[feed]]\nname = \"xbl\"\npath = \"xbl.txt\"\nreason = \"relay\"\ninterval = \"1s\"\n{more}\n"
    );
    let api = Api::with_zones(
        &(CONFIG.to_string() + &feed),
        &[("bl", ZONE), ("dbl", DOMAINS)],
    );
    replace(&api.f, &hosts(0, 100));
    until("the first list", &api.f, || listed(&api.f, "45.51.0.99"));
    api
}

/// Replaces the file atomically, as a download does.
fn replace(f: &Folder, text: &str) {
    fs::rename(f.write("xbl.new", text), f.path().join("xbl.txt")).unwrap();
}

fn state(f: &Folder) -> Value {
    f.json(&["feed", "show", "xbl", "--json"])
}

fn until_held(f: &Folder) {
    until("held", f, || state(f)["held"]["refused"] == false);
}

#[test]
fn held_list_is_reported_and_can_be_accepted() {
    let mut api = feed("max_age = \"2d\"");
    let sink = crate::api::hooks::Sink::new();
    api.post(
        "/v1/webhooks",
        &json!({"url": format!("http://{}/", sink.addr)}).to_string(),
    )
    .ok();
    let expires = |api: &Api| {
        api.f.json(&["status", "--json"])["sources"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()["expires"]
            .clone()
    };
    let ends = expires(&api);
    replace(&api.f, &hosts(0, 10));
    until_held(&api.f);
    let held = state(&api.f)["held"].clone();
    assert_eq!(
        (&held["before"]["entries"], &held["after"]["entries"]),
        (&json!(100), &json!(10))
    );
    assert_eq!(
        (
            &held["difference"]["removed"],
            held["difference"]["sample_removed"]
                .as_array()
                .unwrap()
                .len()
        ),
        (&json!(90), 10)
    );
    assert_eq!(entries(&api.f), 100, "the old list is in force");
    assert_eq!(expires(&api), ends, "its expiry is unchanged");
    // Status, metrics, log, webhook.
    let status = api.f.ok(&["status"]);
    assert!(
        status.contains("list held since") && status.contains("orbsd feed accept xbl"),
        "{status}"
    );
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_feed_held{feed=\"xbl\"} 1\n")
    );
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_feed_failing{feed=\"xbl\"} 0\n")
    );
    assert_eq!(
        api.f.log().matches("feed held: ").count(),
        1,
        "{}",
        api.f.log()
    );
    let (_, message) = sink.wait(1).remove(0);
    assert_eq!(
        (
            &message["event"],
            &message["feed"],
            &message["difference"]["removed"]
        ),
        (&json!("feed-held"), &json!("xbl"), &json!(90))
    );
    assert!(api.f.ok(&["feed", "list"]).contains("xbl (file): held"));
    // The list stays held after a restart, and is not reported again.
    drop(api.daemon.take());
    api.start();
    until_held(&api.f);
    assert_eq!(state(&api.f)["held"]["since"], held["since"]);
    assert_eq!(
        api.f.log().matches("feed held: ").count(),
        1,
        "{}",
        api.f.log()
    );
    assert!(api.f.ok(&["feed", "accept", "xbl"]).contains("90 removed"));
    assert_eq!(entries(&api.f), 10);
    assert!(state(&api.f)["held"].is_null());
    assert!(api.f.ok(&["audit"]).contains("feed.accept"));
    assert_eq!(
        api.f.orbsd(&["feed", "accept", "xbl"]).status.code(),
        Some(1),
        "no list is held"
    );
    std::thread::sleep(Duration::from_millis(1500));
    assert!(state(&api.f)["held"].is_null());
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_feed_held{feed=\"xbl\"} 0\n")
    );
}

#[test]
fn refused_list_is_ignored_until_the_file_changes() {
    let api = feed("");
    replace(&api.f, &hosts(0, 10));
    until_held(&api.f);
    api.f.ok(&["feed", "refuse", "xbl"]);
    assert!(api.f.ok(&["audit"]).contains("feed.refuse"));
    assert_eq!(
        api.f.orbsd(&["feed", "refuse", "xbl"]).status.code(),
        Some(1),
        "the list was refused already"
    );
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(
        (state(&api.f)["held"]["refused"].clone(), entries(&api.f)),
        (json!(true), 100)
    );
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_feed_held{feed=\"xbl\"} 0\n")
    );
    replace(&api.f, &hosts(0, 12));
    until_held(&api.f);
    assert_eq!(entries(&api.f), 100);
    // A list within the limits ends the hold.
    replace(&api.f, &hosts(0, 90));
    until("the good list", &api.f, || state(&api.f)["held"].is_null());
    assert_eq!(entries(&api.f), 90);
}

#[test]
fn file_that_has_changed_since_it_was_held_is_not_accepted() {
    let api = feed("");
    replace(&api.f, &hosts(0, 10));
    until_held(&api.f);
    replace(&api.f, &hosts(0, 30));
    let out = api.f.orbsd(&["feed", "accept", "xbl"]);
    // The feed may have read the file before the command; then the new list is held and accepted.
    if out.status.success() {
        assert_eq!(entries(&api.f), 30);
    } else {
        let output = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(output.contains("has changed"), "{output}");
        assert_eq!(entries(&api.f), 100);
        assert_eq!(state(&api.f)["held"]["after"]["entries"], 30);
    }
}

#[test]
fn held_list_is_accepted_after_the_wait_and_three_similar_lists() {
    let api = feed("shrink_wait = \"2s\"");
    replace(&api.f, &hosts(0, 40));
    until_held(&api.f);
    for n in 1..=3 {
        assert_eq!(entries(&api.f), 100, "after {n}");
        std::thread::sleep(Duration::from_millis(1100));
        replace(&api.f, &hosts(0, 40 + n));
        until("the next", &api.f, || {
            state(&api.f)["held"]["refreshes"] == n || state(&api.f)["held"].is_null()
        });
    }
    until("accepted", &api.f, || entries(&api.f) == 43);
    assert!(state(&api.f)["held"].is_null());
    let audit = api.f.ok(&["audit"]);
    assert!(audit.contains("feed.accept"), "{audit}");
}

#[test]
fn feed_with_an_invalid_list_keeps_the_old_one_and_reports_the_problem() {
    let api = feed("skip_errors = true");
    let sink = crate::api::hooks::Sink::new();
    api.post(
        "/v1/webhooks",
        &json!({"url": format!("http://{}/", sink.addr)}).to_string(),
    )
    .ok();
    replace(&api.f, &"45.51.0.300/33\n".repeat(5));
    until("the problem", &api.f, || {
        state(&api.f)["problem"]
            .as_str()
            .is_some_and(|p| p.contains("5 lines with errors"))
    });
    assert_eq!(entries(&api.f), 100);
    assert!(
        api.get("/metrics")
            .text()
            .contains("orbsd_feed_failing{feed=\"xbl\"} 1\n")
    );
    let (_, message) = sink.wait(1).remove(0);
    assert_eq!(
        (&message["event"], &message["feed"]),
        (&json!("feed-refused"), &json!("xbl"))
    );
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(sink.wait(1).len(), 1, "reported once");
    replace(&api.f, "");
    until("the empty list", &api.f, || {
        state(&api.f)["problem"]
            .as_str()
            .is_some_and(|p| p.contains("no entries"))
    });
    replace(&api.f, &(hosts(0, 100) + "45.51.0.300/33\n"));
    until("the good list", &api.f, || {
        state(&api.f)["problem"].is_null()
    });
}
