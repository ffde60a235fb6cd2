//! Feeds that follow another server's zone, or a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use orbsd::{
    feeds::{
        FeedSettings, FeedSource, Feeds,
        follow::{FollowTask, RefreshKind, RefreshResult},
        wire::{Server, TransferError},
    },
    imports::Reasons,
    index::records::wire_name,
    ledger::Ledger,
    lists::records::Mapping,
    model::{Algorithm, Keys, Subject, TsigKey, time::Seconds},
};

use crate::{
    lab::{Daemon, Folder, query, shown, udp},
    primary::{Behavior, ORIGIN, Primary, Record, a, txt},
};

fn server(p: &Primary) -> Server {
    Server::new(&p.addr.to_string(), ORIGIN, None).unwrap()
}

fn refresh_with(
    ledger: &Ledger,
    server: &Server,
    codes: &str,
) -> Result<RefreshResult, TransferError> {
    let reasons = Reasons {
        reason: None,
        code_zone: Some(codes.into()),
    };
    let stop = AtomicBool::new(false);
    let following = FollowTask {
        ledger,
        name: "peer",
        server,
        mapping: Mapping::Names,
        transit: false,
        reasons: &reasons,
        max_age: None,
        stop: &stop,
    };
    following.refresh()
}

fn refresh(ledger: &Ledger, p: &Primary) -> Result<RefreshResult, TransferError> {
    refresh_with(ledger, &server(p), "bl")
}

type Listed = BTreeMap<Subject, Vec<(u8, bool, Option<Box<str>>)>>;

/// Returns the listings of the source.
fn listed(ledger: &Ledger) -> Listed {
    let v = ledger.store.dictionary();
    let Some(id) = v.sources.get("peer") else {
        return Listed::new();
    };
    let rows = ledger
        .store
        .feed_rows(id, v.records[usize::from(id.0)].generation, usize::MAX)
        .unwrap();
    rows.into_iter()
        .map(|(s, of)| {
            (
                s,
                of.into_iter()
                    .map(|e| (e.reason.0, e.exclusion, e.text.text))
                    .collect(),
            )
        })
        .collect()
}

fn names(ledger: &Ledger) -> BTreeSet<String> {
    listed(ledger).keys().map(ToString::to_string).collect()
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

fn ip6_name(rest: &str) -> String {
    format!("{rest}.{}.8.b.d.0.0.a.2", ["0"; 24].join("."))
}

#[test]
fn followed_zone_is_imported_and_only_changes_are_written() {
    let f = Folder::new();
    let ledger = f.ledger();
    let six = ip6_name("1");
    let p = Primary::new([
        a("1.1.1.45", 2),
        txt("1.1.1.45", "see http://x/$"),
        a("*.2.45", 3),
        a("7.2.2.45", 2),
        a(&six, 2),
        a("*.8.b.d.0.0.a.2", 2),
        a("2.0.0.127", 2),
        a("www", 2),
        ("ns".into(), 1, vec![192, 0, 2, 1]),
    ]);
    let done = refresh(&ledger, &p).unwrap();
    assert_eq!(
        (done.kind, done.soa.serial.0, p.asked()),
        (RefreshKind::Whole, 1, vec!["AXFR".to_string()])
    );
    let all = listed(&ledger);
    let of = |s: &str| all.get(&s.parse::<Subject>().unwrap()).cloned();
    assert_eq!(
        of("45.1.1.1"),
        Some(vec![(0, false, Some("see http://x/$$".into()))])
    );
    assert_eq!(of("45.2.0.0/16"), Some(vec![(1, false, None)]));
    assert_eq!(
        of("45.2.2.7"),
        Some(vec![(0, false, None), (1, true, None)]),
        "the longest match is whole"
    );
    assert_eq!(
        of("45.2.2.0/24"),
        Some(vec![(0, true, None), (1, true, None)]),
        "the closest encloser"
    );
    assert_eq!(of("2a00:db80::/28"), Some(vec![(0, false, None)]));
    assert_eq!(
        of("2a00:db80::1"),
        Some(vec![(0, false, None), (1, true, None)])
    );
    assert_eq!(of("127.0.0.2"), None);
    // Few records, few rows: no other row is written.
    p.step(&[a("1.1.1.45", 2)], &[a("1.1.1.45", 3), a("9.1.1.45", 2)]);
    let done = refresh(&ledger, &p).unwrap();
    let d = &done.difference;
    assert_eq!(
        (done.kind, d.added, d.changed, d.removed, d.same, p.asked()),
        (RefreshKind::Changes, 1, 1, 0, 0, vec!["IXFR 1".to_string()])
    );
    // No change: one SOA query, and the expiry of the source is extended.
    let done = refresh(&ledger, &p).unwrap();
    assert_eq!((done.kind, p.asked()), (RefreshKind::Same, vec![]));
    // After another import the source no longer has that version of the zone.
    let id = ledger.source("peer").unwrap();
    let mut what = orbsd::ledger::Import::replace(id);
    ledger.import_with(&mut what, |_, _| Ok(())).unwrap();
    assert_eq!(refresh(&ledger, &p).unwrap().kind, RefreshKind::Whole);
    ledger.stop().unwrap();
}

/// A small random number generator, so that a seed reproduces a history.
struct Random(u64);

impl Random {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
    fn record(&mut self) -> Record {
        let labels = ["1", "2", "45", "46"];
        let depth = 1 + self.roll(4);
        let mut name = (0..depth)
            .map(|_| labels[self.roll(4)])
            .collect::<Vec<_>>()
            .join(".");
        match self.roll(6) {
            0 => name = ip6_name(["1", "2", "a"][self.roll(3)]),
            1 => name = ["8.b.d.0.0.a.2", "0.0.8.b.d.0.0.a.2"][self.roll(2)].into(),
            2 => name = format!("{}.com", ["x", "y", "z.x"][self.roll(3)]),
            _ => {}
        }
        if self.roll(3) == 0 || depth < 3 {
            name = format!("*.{name}");
        }
        match self.roll(6) {
            0 => txt(&name, ["why", "because $"][self.roll(2)]),
            1 => (name, 1, vec![192, 0, 2, 1]),
            2 | 3 => a(&name, 3),
            _ => a(&name, 2),
        }
    }
}

#[test]
fn random_histories_by_ixfr_equal_an_axfr() {
    for seed in 1..=4u64 {
        let mut dice = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let dir = Folder::new();
        let ledger = dir.ledger();
        let p = Primary::new((0..30).map(|_| dice.record()).collect::<Vec<_>>());
        refresh(&ledger, &p).unwrap();
        for round in 0..5 {
            for _ in 0..1 + dice.roll(3) {
                let zone = p.script.lock().unwrap().versions.last().unwrap().1.clone();
                let gone: Vec<Record> =
                    zone.iter().filter(|_| dice.roll(6) == 0).cloned().collect();
                let come: Vec<Record> = (0..dice.roll(6))
                    .map(|_| dice.record())
                    .filter(|r| !zone.contains(r))
                    .collect();
                p.step(&gone, &come);
            }
            p.asked();
            assert_eq!(refresh(&ledger, &p).unwrap().kind, RefreshKind::Changes);
            let fresh = Folder::new();
            let other = fresh.ledger();
            assert_eq!(refresh(&other, &p).unwrap().kind, RefreshKind::Whole);
            assert_eq!(
                listed(&ledger),
                listed(&other),
                "seed {seed}, round {round}"
            );
            assert!(p.asked()[0].starts_with("IXFR "));
            other.stop().unwrap();
        }
        ledger.stop().unwrap();
    }
}

#[test]
fn failed_transfer_changes_nothing_or_is_replaced_by_an_axfr() {
    let f = Folder::new();
    let ledger = f.ledger();
    let zone: Vec<Record> = (1..60).map(|i| a(&format!("{i}.1.1.45"), 2)).collect();
    let p = Primary::new(zone);
    refresh(&ledger, &p).unwrap();
    let before = listed(&ledger);
    p.step(&[a("1.1.1.45", 2)], &[a("1.1.1.46", 2)]);
    for (how, why) in [
        (Behavior::Cut(150), "closed the connection"),
        (Behavior::Cut(1), "closed the connection"),
        (Behavior::Garbage, "not a reply to the query"),
        (Behavior::Refused, "allow this host"),
    ] {
        p.set(how);
        let e = refresh(&ledger, &p).unwrap_err().text();
        assert!(e.contains(why), "{how:?}: {e}");
        assert_eq!(listed(&ledger), before, "{how:?}");
    }
    // An interrupted first transfer changes nothing.
    let fresh = Folder::new();
    let other = fresh.ledger();
    for how in [Behavior::Cut(700), Behavior::OtherEnd] {
        p.set(how);
        refresh(&other, &p).unwrap_err();
        assert_eq!(listed(&other), Listed::new(), "{how:?}");
    }
    other.stop().unwrap();
    for (how, asked) in [
        (Behavior::BadDifference, vec!["IXFR 1", "AXFR"]),
        (Behavior::NoIxfr, vec!["IXFR 2", "AXFR"]),
        (Behavior::WholeZone, vec!["IXFR 3"]),
        (Behavior::Correct, vec!["IXFR 4"]),
    ] {
        p.set(how);
        p.asked();
        let done = refresh(&ledger, &p).unwrap();
        assert_eq!(p.asked(), asked);
        assert_eq!(done.kind == RefreshKind::Changes, how == Behavior::Correct);
        let serial = p.script.lock().unwrap().versions.last().unwrap().0;
        assert_eq!(done.soa.serial.0, serial);
        p.step(
            &[a(&format!("{serial}.1.1.45"), 2)],
            &[a(&format!("{serial}.2.1.46"), 2)],
        );
    }
    assert_eq!(
        names(&ledger)
            .iter()
            .filter(|n| n.starts_with("46."))
            .count(),
        4
    );
    ledger.stop().unwrap();
}

/// Rows also depend on the configuration, which can change without the zone.
#[test]
fn changed_codes_rebuild_the_list_from_the_stored_zone() {
    let f = Folder::new();
    let p = Primary::new([a("1.1.1.45", 2), a("2.1.1.45", 9)]);
    let ledger = f.ledger();
    let done = refresh(&ledger, &p).unwrap();
    assert!(
        done.note
            .unwrap()
            .contains("2.1.1.45: `127.0.0.9` is not a code of the zone"),
        "told, and the rest is taken"
    );
    assert_eq!(names(&ledger), set(&["45.1.1.1"]));
    p.asked();
    ledger.stop().unwrap();
    let zone = fs::read_to_string(f.path().join("zones/bl.toml")).unwrap();
    f.write("zones/bl.toml", &zone.replace("127.0.0.3", "127.0.0.9"));
    let ledger = f.ledger();
    let done = refresh(&ledger, &p).unwrap();
    assert_eq!(
        (done.kind, done.note, p.asked()),
        (RefreshKind::Remade, None, vec![])
    );
    assert_eq!(names(&ledger), set(&["45.1.1.1", "45.1.1.2"]));
    // Codes of which none matches are a mistake in the configuration: no listing ends.
    p.step(&[], &[]);
    assert!(
        refresh_with(&ledger, &server(&p), "dbl")
            .unwrap_err()
            .text()
            .contains("no record of the zone can be used")
    );
    assert_eq!(names(&ledger), set(&["45.1.1.1", "45.1.1.2"]));
    ledger.stop().unwrap();
}

#[test]
fn followed_transfers_are_signed_and_verified() {
    let f = Folder::new();
    let ledger = f.ledger();
    let p = Primary::new(
        (1..30)
            .map(|i| a(&format!("{i}.1.1.45"), 2))
            .collect::<Vec<_>>(),
    );
    let key = |secret: &[u8]| TsigKey::new("mirror", Algorithm::HmacSha256, secret).unwrap();
    p.script.lock().unwrap().keys = Keys::new(vec![key(&[7; 32])]).unwrap();
    let with = |k: Option<TsigKey>| Server {
        key: k.map(Arc::new),
        ..server(&p)
    };
    refresh_with(&ledger, &with(Some(key(&[7; 32]))), "bl").unwrap();
    assert_eq!(names(&ledger).len(), 29);
    p.step(&[], &[a("1.1.1.46", 2)]);
    for wrong in [Some(key(&[8; 32])), None] {
        refresh_with(&ledger, &with(wrong), "bl").unwrap_err();
    }
    // A server that does not sign is not trusted.
    p.script.lock().unwrap().keys = Keys::default();
    let e = refresh_with(&ledger, &with(Some(key(&[7; 32]))), "bl")
        .unwrap_err()
        .text();
    assert!(e.contains("not signed"), "{e}");
    assert_eq!(names(&ledger).len(), 29);
    ledger.stop().unwrap();
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn notify_from_the_primary_refreshes_the_feed_at_once() {
    let f = Folder::new();
    let ledger = f.ledger();
    let p = Primary::new([a("1.1.1.45", 2)]);
    let feeds = Feeds::new(ledger.clone(), || ());
    feeds.configure(&[FeedSettings {
        name: "peer".into(),
        kind: FeedSource::zone(server(&p)),
        reasons: Reasons {
            reason: Some("relay".into()),
            code_zone: None,
        },
        every: Seconds(300),
        publisher: Default::default(),
        max_age: None,
    }]);
    until("the first transfer", || {
        feeds.states()[0].refreshed.is_some()
    });
    let zone = wire_name(ORIGIN).unwrap();
    let other = wire_name("other.example").unwrap();
    assert!(
        !feeds.notified(&zone, [192, 0, 2, 9].into(), None),
        "a stranger"
    );
    assert!(
        !feeds.notified(&zone, [192, 0, 2, 9].into(), Some("mirror")),
        "a key of ours, but not that feed's"
    );
    assert!(!feeds.notified(&other, [127, 0, 0, 1].into(), None));
    p.step(&[], &[a("2.1.1.45", 4)]);
    assert!(feeds.notified(&zone, [127, 0, 0, 1].into(), None));
    until("the change", || {
        names(&ledger) == set(&["45.1.1.1", "45.1.1.2"])
    });
    assert_eq!(feeds.states()[0].how.as_deref(), Some("changes"));
    feeds.stop();
    ledger.stop().unwrap();
}

fn followed(p: &Primary, more: &str) -> Folder {
    let feed = format!(
        "\n[[feed]]\nname = \"peer\"\nkind = \"axfr\"\nserver = \"{}\"\nzone = \"{ORIGIN}\"\ninterval = \"1s\"\n{more}",
        p.addr
    );
    Folder::with(
        &(crate::lab::CONFIG.to_string() + &feed),
        &[("bl", crate::lab::ZONE), ("dbl", crate::lab::DOMAINS)],
    )
}

fn status(f: &Folder) -> serde_json::Value {
    f.json(&["status", "--json"])["feeds"][0].clone()
}

#[test]
fn daemon_follows_a_zone_after_a_kill_and_expires_it_without_a_refresh() {
    let p = Primary::new([a("1.1.1.45", 2), txt("1.1.1.45", "their word")]);
    p.script.lock().unwrap().timers = [1, 1, 3];
    let f = followed(&p, "code_zone = \"bl\"");
    let ask = |name: &str, kind| {
        shown(
            &udp(
                f.addr(),
                &query(&format!("{name}.bl.orbs.example"), kind, true),
                Duration::from_secs(5),
            )
            .unwrap(),
        )
    };
    let daemon = Daemon::start(&f);
    until("the listing", || ask("1.1.1.45", 1) == "NOERROR 127.0.0.2");
    assert_eq!(ask("1.1.1.45", 16), "NOERROR their word");
    assert_eq!(status(&f)["serial"], 1);
    p.step(&[], &[a("2.1.1.45", 3)]);
    until("the change", || ask("2.1.1.45", 1) == "NOERROR 127.0.0.3");
    drop(daemon); // kill -9
    p.step(&[a("1.1.1.45", 2)], &[]);
    p.asked();
    let daemon = Daemon::start(&f);
    until("the next change", || {
        ask("1.1.1.45", 1).starts_with("NXDOMAIN")
    });
    assert_eq!(p.asked(), ["IXFR 2"], "it goes on where it was");
    // The server is gone: one line in the log, and after `expire` the listings end.
    p.set(Behavior::Refused);
    until("the end", || ask("2.1.1.45", 1).starts_with("NXDOMAIN"));
    assert!(
        status(&f)["problem"]
            .as_str()
            .unwrap()
            .contains("allow this host")
    );
    assert_eq!(
        f.log().matches("the feed cannot be refreshed").count(),
        1,
        "{}",
        f.log()
    );
    assert!(f.ok(&["status"]).contains("problem: "));
    p.set(Behavior::Correct);
    until("its return", || ask("2.1.1.45", 1) == "NOERROR 127.0.0.3");
    assert!(p.asked().contains(&"AXFR".to_string()));
    daemon.stop();
}

#[test]
fn transfer_command_imports_shows_or_writes_a_zone() {
    let p = Primary::new([
        a("1.1.1.45", 2),
        txt("1.1.1.45", "say \"hi\""),
        a("*.2.45", 3),
        a("2.0.0.127", 2),
    ]);
    let f = Folder::new();
    let from = p.addr.to_string();
    let d = f.json(&[
        "transfer",
        "--from",
        &from,
        ORIGIN,
        "--code-zone",
        "bl",
        "--dry-run",
        "--json",
    ]);
    assert_eq!(
        (&d["difference"]["added"], &d["receipt"], &d["source"]),
        (&2.into(), &serde_json::Value::Null, &ORIGIN.into())
    );
    let said = f.ok(&[
        "transfer",
        "--from",
        &from,
        ORIGIN,
        "--code-zone",
        "bl",
        "--source",
        "peer",
    ]);
    assert!(said.contains("2 added"), "{said}");
    assert_eq!(
        f.json(&["lookup", "45.1.1.1", "--json"])["zones"][0]["texts"][0],
        "say \"hi\""
    );
    assert_eq!(f.json(&["lookup", "45.2.9.9", "--json"])["listed"], true);
    f.ok(&["transfer", "--from", &from, ORIGIN, "--output", "zone.txt"]);
    let text = fs::read_to_string(f.path().join("zone.txt")).unwrap();
    assert!(
        text.starts_with(&format!("$ORIGIN {ORIGIN}.\n$TTL 3600\n@\tSOA\t. . 1 ")),
        "{text}"
    );
    assert!(
        text.contains("@\tNS\tn.\n")
            && text.contains("*.2.45\tA\t127.0.0.3\n")
            && text.contains("\"say \\\"hi\\\"\""),
        "{text}"
    );
    let d = f.json(&[
        "import",
        "--json",
        "--source",
        "peer",
        "--code-zone",
        "bl",
        "--format",
        "master",
        "zone.txt",
    ]);
    assert_eq!(
        (&d["difference"]["same"], &d["difference"]["changed"]),
        (&2.into(), &0.into())
    );
    // Interrupted: nothing has changed, and the reason is reported.
    p.set(Behavior::Cut(120));
    let out = f.orbsd(&[
        "transfer",
        "--from",
        &from,
        ORIGIN,
        "--code-zone",
        "bl",
        "--source",
        "peer",
    ]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1)
            && said.contains("closed the connection before the end; nothing was changed"),
        "{said}"
    );
    let out = f.orbsd(&["transfer", "--from", &from, ORIGIN, "--output", "zone.txt"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(fs::read_to_string(f.path().join("zone.txt")).unwrap(), text);
    let out = f.orbsd(&[
        "transfer", "--from", &from, ORIGIN, "--reason", "relay", "--key", "none",
    ]);
    assert!(
        out.status.code() == Some(2)
            && String::from_utf8_lossy(&out.stderr).contains("neither a [[key]]")
    );
}

#[test]
fn file_feed_is_read_again_after_a_change() {
    let feed =
        "\n[[feed]]\nname = \"xbl\"\npath = \"xbl.txt\"\nreason = \"relay\"\ninterval = \"1s\"\n";
    let f = Folder::with(
        &(crate::lab::CONFIG.to_string() + feed),
        &[("bl", crate::lab::ZONE), ("dbl", crate::lab::DOMAINS)],
    );
    let _daemon = Daemon::start(&f);
    let listed = |s: &str| f.json(&["lookup", s, "--json"])["listed"] == true;
    until("the problem", || {
        status(&f)["problem"]
            .as_str()
            .is_some_and(|p| p.contains("xbl.txt"))
    });
    f.write("xbl.txt", "45.1.1.1\n");
    until("the file", || listed("45.1.1.1"));
    let commit = || f.json(&["status", "--json"])["commit"].clone();
    let before = commit();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(commit(), before, "a file that stays is not read");
    f.write("xbl.txt", "45.1.1.2\nnope_!\n");
    until("the error", || {
        status(&f)["problem"]
            .as_str()
            .is_some_and(|p| p.contains("xbl.txt:2:1"))
    });
    assert!(listed("45.1.1.1"));
    f.write("xbl.txt", "45.1.1.2\n45.1.1.3\n");
    until("the change", || listed("45.1.1.3") && !listed("45.1.1.1"));
    assert!(status(&f)["problem"].is_null());
    // After a reload without the feed, its listings stay until they expire.
    f.write(
        "config.toml",
        &crate::lab::CONFIG.replace("PORT", &f.port.to_string()),
    );
    f.ok(&["reload", "--force"]);
    assert_eq!(
        f.json(&["status", "--json"])["feeds"],
        serde_json::json!([])
    );
    assert!(listed("45.1.1.3"));
}
