//! Undo and purge, and the changes that they keep.

use serde_json::{Value, json};

use super::Api;

fn undo(api: &Api, commit: &Value, more: &Value) -> Value {
    let mut more = more.clone();
    let dry_run = more
        .as_object_mut()
        .and_then(|m| m.remove("dry_run"))
        .is_some_and(|d| d == true);
    let path = format!("/v1/commits/{commit}/undo?dry_run={dry_run}");
    api.post(&path, &more.to_string()).ok()
}

#[test]
fn undo_reverts_only_subjects_that_have_not_changed_since() {
    let api = Api::new();
    let lines: String = (1..=4)
        .map(|i| format!("{{\"subject\":\"45.1.1.{i}\",\"reason\":\"relay\"}}\n"))
        .collect();
    api.post("/v1/bulk", &lines);
    // A purge is one commit, however the listings were grouped into commits.
    let purged = api.post("/v1/purges", "{\"prefix\":\"45.1.1.0/24\"}").ok();
    assert_eq!(
        (
            &purged["count"],
            purged["commits"].as_array().unwrap().len()
        ),
        (&json!(4), 1)
    );
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    let commit = &purged["commits"][0]["commit"];
    api.list("45.1.1.3", "netblock");
    let told = undo(&api, commit, &json!({"dry_run": true}));
    assert_eq!(
        (told["undone"].as_array().unwrap().len(), &told["receipt"]),
        (3, &Value::Null)
    );
    let done = undo(&api, commit, &json!({"note": "wrong net"}));
    assert_eq!(done["changed_since"], json!(["45.1.1.3"]));
    assert_eq!(
        ["1.1.1.45", "3.1.1.45", "4.1.1.45"].map(|n| api.dns(n)),
        [
            "NOERROR 127.0.0.2",
            "NOERROR 127.0.0.3",
            "NOERROR 127.0.0.2"
        ]
    );
    // An undo is a commit itself, and can be undone.
    let again = undo(&api, &done["receipt"]["commit"], &json!({}));
    assert_eq!(again["undone"].as_array().unwrap().len(), 3);
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    // The subjects are as the purge has left them, so the purge can be undone again.
    assert_eq!(
        undo(&api, commit, &json!({}))["undone"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
    assert_eq!(
        api.post("/v1/commits/99999/undo", "{}").problem(),
        "not-found"
    );
    assert_eq!(
        api.get("/v1/audit?action=undo").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn undo_keeps_granted_removals() {
    let api = Api::new();
    let (id, _) = api.list("45.1.1.1", "relay");
    let gone = api
        .call(&api.owner, "DELETE", &format!("/v1/listings/{id}"), &[], "")
        .ok();
    let done = undo(&api, &gone["commit"], &json!({}));
    assert_eq!(
        (&done["held"], &done["undone"]),
        (&json!(["45.1.1.1"]), &json!([]))
    );
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    let done = undo(&api, &gone["commit"], &json!({"break_hold": true}));
    assert_eq!(done["undone"], json!(["45.1.1.1"]));
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
}

#[test]
fn undo_of_one_author_keeps_changes_of_others() {
    let api = Api::new();
    let (anna, bert) = (
        api.token("anna", "editor", &[]),
        api.token("bert", "editor", &[]),
    );
    // Each listing is undone alone, whether they share a commit or not.
    let list = |token: &str, net: u8| {
        let lines: String = (0..50)
            .map(|i| format!("{{\"subject\":\"45.{net}.1.{i}\",\"reason\":\"relay\"}}\n"))
            .collect();
        api.call(token, "POST", "/v1/bulk", &[], &lines).text()
    };
    let commits: std::collections::BTreeSet<u64> = std::thread::scope(|s| {
        let all = [(&anna, 1), (&bert, 2)].map(|(t, n)| s.spawn(move || list(t, n)));
        let lines: Vec<String> = all.into_iter().map(|h| h.join().unwrap()).collect();
        lines
            .iter()
            .flat_map(|l| l.lines())
            .map(|l| {
                serde_json::from_str::<Value>(l).unwrap()["commit"]
                    .as_u64()
                    .unwrap()
            })
            .collect()
    });
    for c in commits {
        undo(&api, &json!(c), &json!({"author": "anna"}));
    }
    for i in [0, 49] {
        assert_eq!(
            [format!("{i}.1.1.45"), format!("{i}.1.2.45")].map(|n| api.dns(&n)),
            ["NXDOMAIN soa 60", "NOERROR 127.0.0.2"]
        );
    }
}

fn import(api: &Api, name: &str, lines: std::ops::Range<u32>, more: &[&str]) -> Value {
    let text: String = lines
        .map(|i| format!("45.{}.{}.{}\n", i >> 16, i >> 8 & 255, i & 255))
        .collect();
    api.f.write(name, &text);
    api.f.json(
        &[
            &[
                "import", "--source", "xbl", "--reason", "relay", "--json", name,
            ][..],
            more,
        ]
        .concat(),
    )
}

/// Tests a small import and a large one, each as the first of a source and as a later one.
#[test]
fn undo_restores_the_listings_of_a_feed() {
    for lines in [500u32, 30_000] {
        let api = Api::new();
        let told = import(&api, "a.txt", 0..lines, &["--dry-run"]);
        assert_eq!(
            (&told["difference"]["added"], &told["receipt"]),
            (&json!(lines), &Value::Null)
        );
        let first = import(&api, "a.txt", 0..lines, &[]);
        assert_eq!(told["difference"], first["difference"]);
        let second = import(&api, "b.txt", lines / 2..lines * 2, &[]);
        assert_eq!(
            ["0.0.0.45", "255.1.0.45"]
                .map(|n| api.dns(n))
                .map(|a| a.starts_with("NXDOMAIN")),
            [true, lines != 500]
        );
        let exported = |api: &Api| {
            api.get("/v1/zones/bl/export?format=list")
                .text()
                .lines()
                .skip(1)
                .map(String::from)
                .collect::<Vec<_>>()
        };
        // Wait for another second: restored entries have a later start, and the commit before can
        // still be undone.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        undo(&api, &second["receipt"]["commit"], &json!({}));
        let back = exported(&api);
        assert_eq!(
            (back.len(), back[0].as_str()),
            (lines as usize, "45.0.0.0"),
            "{lines}"
        );
        if lines > 20_000 {
            // The rows of a large import are kept until the next one.
            assert_eq!(
                api.post(
                    &format!("/v1/commits/{}/undo", first["receipt"]["commit"]),
                    "{}"
                )
                .problem(),
                "not-found"
            );
        } else {
            let said = undo(&api, &first["receipt"]["commit"], &json!({}));
            let left = exported(&api);
            assert!(
                left.is_empty(),
                "{said} {} of them: {:?}",
                left.len(),
                left.first()
            );
        }
    }
}

#[test]
fn undo_of_a_first_large_import_removes_all_its_listings() {
    let mut api = Api::new();
    let first = import(&api, "a.txt", 0..30_000, &[]);
    drop(api.daemon.take()); // kill -9: what is kept for it is on disk
    api.start();
    let done = undo(&api, &first["receipt"]["commit"], &json!({"dry_run": true}));
    assert_eq!(done["difference"]["removed"], 30_000);
    undo(&api, &first["receipt"]["commit"], &json!({}));
    assert_eq!(api.dns("1.1.0.45"), "NXDOMAIN soa 60");
    assert_eq!(api.get("/v1/status").ok()["listed"]["ipv4_hosts"], 0);
}

#[test]
fn purge_dry_run_reports_the_changes_without_making_them() {
    let api = Api::new();
    let anna = api.token("anna", "editor", &[]);
    for i in 1..=3 {
        api.call(
            &anna,
            "POST",
            "/v1/listings",
            &[],
            &json!({"subject": format!("45.1.1.{i}"), "reason": "relay"}).to_string(),
        )
        .ok();
        api.list(&format!("45.1.2.{i}"), "netblock");
    }
    import(&api, "a.txt", 0..300, &[]);
    let purge =
        |what: &Value, dry: bool| api.post(&format!("/v1/purges?dry_run={dry}"), &what.to_string());
    assert_eq!(purge(&json!({}), false).problem(), "invalid");
    assert_eq!(purge(&json!({"author": "anna"}), true).ok()["count"], 3);
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
    assert_eq!(purge(&json!({"author": "anna"}), false).ok()["count"], 3);
    assert_eq!(
        ["1.1.1.45", "1.2.1.45"].map(|n| api.dns(n)),
        ["NXDOMAIN soa 60", "NOERROR 127.0.0.3"]
    );
    // A removed listing of a feed returns with the next import, unless it has a hold.
    assert_eq!(
        purge(&json!({"source": "xbl", "prefix": "45.0.0.0/25"}), false).ok()["count"],
        128
    );
    assert_eq!(api.dns("5.0.0.45"), "NXDOMAIN soa 60");
    assert_eq!(
        purge(
            &json!({"source": "xbl", "prefix": "45.0.0.200/32", "hold": true}),
            false
        )
        .ok()["count"],
        1
    );
    import(&api, "a.txt", 0..300, &[]);
    assert_eq!(
        ["5.0.0.45", "200.0.0.45"].map(|n| api.dns(n)),
        ["NOERROR 127.0.0.2", "NXDOMAIN soa 60"]
    );
    let out = api.f.ok(&["purge", "--reason", "netblock", "--dry-run"]);
    assert!(out.starts_with("3 listings would be delisted"), "{out}");
}

#[test]
fn undo_and_purge_work_on_the_command_line() {
    let api = Api::new();
    let file = api.f.write("token", &api.owner);
    let server = format!("http://{}", api.addr);
    let remote = |args: &[&str]| {
        api.f.orbsd(
            &[
                args,
                &["--server", &server, "--token", file.to_str().unwrap()],
            ]
            .concat(),
        )
    };
    let listed = remote(&["list", "45.1.1.1", "--reason", "relay", "--json"]);
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let commit = serde_json::from_slice::<Value>(&listed.stdout).unwrap()["commit"].to_string();
    assert_eq!(remote(&["lookup", "45.1.1.1"]).status.code(), Some(0));
    assert!(remote(&["undo", &commit]).status.success());
    assert_eq!(remote(&["lookup", "45.1.1.1"]).status.code(), Some(1));
    assert!(
        remote(&["hold", "add", "45.1.1.1", "--reason", "relay"])
            .status
            .success()
    );
    assert!(
        String::from_utf8_lossy(&remote(&["hold", "list"]).stdout)
            .contains("45.1.1.1: relay by every source")
    );
    assert_eq!(
        remote(&["list", "45.1.1.1", "--reason", "relay"])
            .status
            .code(),
        Some(1)
    );
    assert!(
        remote(&["list", "45.1.1.1", "--reason", "relay", "--break-hold"])
            .status
            .success()
    );
    assert!(
        String::from_utf8_lossy(&remote(&["audit", "--action", "undo"]).stdout).contains("commit ")
    );
    api.f.write("token", "orbsd_a_b");
    let refused = remote(&["status"]);
    assert!(
        refused.status.code() == Some(1)
            && String::from_utf8_lossy(&refused.stderr).contains("the token is unknown"),
        "{refused:?}"
    );
}

/// Once, an undone import restored listings that were removed from its source since, and an ended
/// hold was reported as undone.
#[test]
fn undo_restores_holds_before_the_listings_that_they_suppress() {
    for lines in [300u32, 30_000] {
        let api = Api::new();
        import(&api, "a.txt", 0..lines, &[]);
        api.f.ok(&["delist", "45.0.0.7", "--source", "xbl"]);
        assert_eq!(api.dns("7.0.0.45"), "NXDOMAIN soa 60");
        // The feed drops the entry, which ends the hold. That import was a mistake.
        let broken = import(&api, "b.txt", lines - 5..lines, &["--allow-shrink"]);
        assert!(
            api.get("/v1/holds").ok()["items"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        undo(&api, &broken["receipt"]["commit"], &json!({}));
        assert_eq!(
            ["6.0.0.45", "7.0.0.45"].map(|n| api.dns(n)),
            ["NOERROR 127.0.0.2", "NXDOMAIN soa 60"],
            "{lines}"
        );
    }
    let api = Api::new();
    let held = api
        .post(
            "/v1/holds",
            "{\"subject\":\"45.1.1.1\",\"reason\":\"relay\"}",
        )
        .ok();
    assert_eq!(
        undo(&api, &held["commit"], &json!({}))["held"],
        json!(["45.1.1.1"])
    );
    let broken = api
        .call(&api.owner, "DELETE", "/v1/holds?subject=45.1.1.1", &[], "")
        .ok();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    undo(&api, &broken["commit"], &json!({}));
    assert_eq!(
        api.get("/v1/holds").ok()["items"][0]["subject"],
        "45.1.1.1",
        "an ended hold is restored"
    );
    undo(&api, &held["commit"], &json!({"break_hold": true}));
    assert!(
        api.get("/v1/holds").ok()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// Once, an undo also reverted later changes that looked the same: a hold that was granted again, a
/// row that was imported again.
#[test]
fn undo_keeps_listings_that_were_made_again_since() {
    let api = Api::new();
    let hold = |note: &str| {
        api.post(
            "/v1/holds",
            &json!({"subject": "45.1.1.1", "reason": "relay", "note": note}).to_string(),
        )
        .ok()
    };
    let held = hold("first");
    let imported = import(&api, "a.txt", 0..300, &[]);
    api.call(&api.owner, "DELETE", "/v1/holds?subject=45.1.1.1", &[], "")
        .ok();
    import(&api, "b.txt", 0..1, &["--allow-shrink"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    hold("again");
    import(&api, "a.txt", 0..300, &[]);
    let said = undo(&api, &held["commit"], &json!({"break_hold": true}));
    assert_eq!(said["changed_since"], json!(["45.1.1.1"]));
    assert_eq!(api.get("/v1/holds").ok()["items"][0]["subject"], "45.1.1.1");
    let said = undo(&api, &imported["receipt"]["commit"], &json!({}));
    assert_eq!(
        (
            &said["undone"],
            said["changed_since"].as_array().unwrap().len()
        ),
        (&json!(["45.0.0.0"]), 299)
    );
    assert_eq!(
        ["0.0.0.45", "1.0.0.45"].map(|n| api.dns(n)),
        ["NXDOMAIN soa 60", "NOERROR 127.0.0.2"]
    );
}

/// Once, a host that was listed itself and by a wider listing of the same source stayed listed by
/// the wider one.
#[test]
fn removal_also_suppresses_the_wider_listing_of_the_same_source() {
    let api = Api::new();
    api.f
        .ok(&["list", "45.1.1.0/24", "45.1.1.1", "--reason", "relay"]);
    api.f.ok(&["delist", "45.1.1.1", "--source", "operator"]);
    assert_eq!(
        ["1.1.1.45", "2.1.1.45"].map(|n| api.dns(n)),
        ["NXDOMAIN soa 60", "NOERROR 127.0.0.2"]
    );
    // A feed that lists both, and then drops only the host.
    api.f.write("a.txt", "46.1.1.0/24\n46.1.1.1\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    api.f.ok(&["delist", "46.1.1.1", "--source", "xbl"]);
    api.f.write("a.txt", "46.1.1.0/24\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    assert_eq!(
        ["1.1.1.46", "2.1.1.46"].map(|n| api.dns(n)),
        ["NXDOMAIN soa 60", "NOERROR 127.0.0.2"]
    );
    api.f.write("a.txt", "47.1.1.1\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    let holds = api.get("/v1/holds").ok();
    let subjects: Vec<&str> = holds["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        subjects,
        ["45.1.1.1"],
        "the hold on the feed's entry ended with its prefix: {holds}"
    );
}

fn large(api: &Api, source: &str, from: u32, to: u32, more: &[&str]) -> Value {
    let text: String = (from..to)
        .map(|i| format!("45.{}.{}.{}\n", i >> 16, i >> 8 & 255, i & 255))
        .collect();
    api.f.write("large.txt", &text);
    api.f.json(
        &[
            &[
                "import",
                "--source",
                source,
                "--reason",
                "relay",
                "--json",
                "large.txt",
            ][..],
            more,
        ]
        .concat(),
    )
}

/// Once, after a large import of any source each row of an earlier import was reported as changed
/// since.
#[test]
fn large_import_can_be_undone_after_one_of_another_source() {
    let api = Api::new();
    let small = import(&api, "a.txt", 0..300, &[]);
    api.list("45.0.0.5", "netblock");
    large(&api, "big", 0, 30_000, &[]);
    let commit = &small["receipt"]["commit"];
    let told = undo(&api, commit, &json!({"dry_run": true}));
    assert_eq!(
        (
            told["undone"].as_array().unwrap().len(),
            &told["changed_since"]
        ),
        (299, &json!(["45.0.0.5"]))
    );
    let said = api.f.ok(&["undo", &commit.to_string(), "--dry-run"]);
    assert!(
        said.starts_with(&format!(
            "commit {commit}: 299 subjects would be undone\n  subjects: 45.0.0.0, "
        )),
        "{said}"
    );
    assert!(
        said.contains("1 changed since by commit ")
            && said.contains("dry run: nothing was changed"),
        "{said}"
    );
    assert!(said.lines().count() <= 5, "{said}");
    undo(&api, commit, &json!({}));
    let subject = api.get("/v1/subjects/45.0.0.6").ok();
    let sources: Vec<&str> = subject["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["big"], "the other source's row stays: {subject}");
}

/// Rows that a later large import of the same source has changed are kept, and the report names
/// that commit.
#[test]
fn undo_keeps_rows_of_a_later_large_import_and_names_its_commit() {
    let api = Api::new();
    large(&api, "xbl", 0, 60_000, &[]);
    let dropped = large(&api, "xbl", 10, 60_000, &[]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // The list has five of the ten again, and 24,990 new ones.
    let later = large(&api, "xbl", 5, 85_000, &[]);
    let told = undo(
        &api,
        &dropped["receipt"]["commit"],
        &json!({"dry_run": true}),
    );
    assert_eq!(
        (
            told["undone"].as_array().unwrap().len(),
            told["changed_since"].as_array().unwrap().len()
        ),
        (5, 5),
        "{told}"
    );
    let by = &told["changed_by"][0];
    assert_eq!(
        (&by["commit"], &by["count"]),
        (&later["receipt"]["commit"], &json!(5)),
        "{told}"
    );
    assert!(
        by["description"].as_str().unwrap().contains("xbl"),
        "{told}"
    );
}

/// Once, a partial purge prevented the undo of a large import, and the message blamed an import
/// that did not exist.
#[test]
fn large_import_can_be_undone_after_a_partial_purge() {
    let api = Api::new();
    let first = large(&api, "big", 0, 30_000, &[]);
    let purged = api
        .post(
            "/v1/purges",
            "{\"source\":\"big\",\"prefix\":\"45.0.0.0/24\"}",
        )
        .ok();
    let purge = &purged["commits"][0]["commit"];
    let told = undo(&api, &first["receipt"]["commit"], &json!({"dry_run": true}));
    assert_eq!(
        (
            &told["difference"]["removed"],
            told["changed_since"].as_array().unwrap().len()
        ),
        (&json!(29_744), 256)
    );
    assert_eq!(
        (
            &told["changed_by"][0]["commit"],
            told["changed_by"][0]["description"]
                .as_str()
                .unwrap()
                .starts_with("purge")
        ),
        (purge, true)
    );
    undo(&api, purge, &json!({}));
    let done = undo(&api, &first["receipt"]["commit"], &json!({}));
    assert_eq!(
        (&done["difference"]["removed"], &done["changed_since"]),
        (&json!(30_000), &json!([]))
    );
    // Another large import makes the undo impossible; the message names it.
    let first = large(&api, "big", 0, 30_000, &[]);
    let second = large(&api, "big", 20_000, 60_000, &["--allow-shrink"]);
    let refused = api.post(
        &format!("/v1/commits/{}/undo", first["receipt"]["commit"]),
        "{}",
    );
    assert!(
        refused.text().contains(&format!(
            "commit {} has replaced the source `big`",
            second["receipt"]["commit"]
        )),
        "{}",
        refused.text()
    );
}

#[test]
fn undo_restores_rows_with_their_notes() {
    use orbsd::{
        ledger::{Import, Undo},
        model::Preconditions,
        store::schema::FeedEntry,
    };
    let f = crate::lab::Folder::new();
    let ledger = f.ledger();
    let (source, reason) = (
        ledger.source("xbl").unwrap(),
        ledger.store.dictionary().reasons.get("relay").unwrap(),
    );
    let run = |noted: bool| {
        let done = ledger.import_with(&mut Import::replace(source), |_, sink| {
            let entry = |note| FeedEntry {
                reason,
                exclusion: false,
                implied: false,
                since: Default::default(),
                text: Default::default(),
                note,
            };
            sink("45.1.1.2".parse().unwrap(), entry(None))?;
            if noted {
                sink(
                    "45.1.1.1".parse().unwrap(),
                    entry(Some("seen by a trap".into())),
                )
            } else {
                Ok(())
            }
        });
        done.unwrap().receipt.unwrap().commit
    };
    run(true);
    let seq = run(false);
    ledger
        .undo(&Undo {
            seq,
            author: "t".into(),
            why: None,
            preconditions: Preconditions::default(),
            of: None,
            dry_run: false,
        })
        .unwrap();
    let generation = ledger.store.dictionary().records[usize::from(source.0)].generation;
    let row = ledger
        .store
        .feed_row(source, generation, &"45.1.1.1".parse().unwrap())
        .unwrap();
    assert_eq!(row[0].note.as_deref(), Some("seen by a trap"));
    ledger.stop().unwrap();
}

/// Once, each of two commits required that the other be undone first.
#[test]
fn undo_of_an_irreversible_large_import_is_refused_with_the_reason() {
    let api = Api::new();
    let first = import(&api, "a.txt", 0..30_000, &[])["receipt"]["commit"].to_string();
    let second = import(&api, "b.txt", 30_000..60_000, &[])["receipt"]["commit"].to_string();
    let refused = |commit: &str| {
        let out = api.f.orbsd(&["undo", commit]);
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let said = refused(&first);
    assert!(
        said.contains(&format!("commit {second} has replaced the source"))
            && said.contains("import the list"),
        "{said}"
    );
    assert!(!said.contains("first"), "{said}");
    api.f.ok(&["undo", &second]);
    let said = refused(&first);
    assert!(
        said.contains("cannot be undone") && !said.contains("first"),
        "{said}"
    );
}

#[test]
fn undo_of_a_commit_without_listings_is_refused_with_the_reason() {
    let api = Api::new();
    api.f.ok(&["zone", "serial", "bl", "90000"]);
    let commit = api.get("/v1/status").ok()["commit"].to_string();
    let out = api.f.orbsd(&["undo", &commit]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.code() == Some(1)
            && said.contains("changed no listing")
            && said.contains("zone.serial"),
        "{said}"
    );
}
