use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    clock::{ClockState, tests::ManualTime},
    ledger::{
        Import, Ledger,
        tests::{BEGIN, Bench, DAY, EXPIRY_BATCH, RELAY},
    },
    model::{EntryText, Subject, time::Seconds},
    store::schema::FeedEntry,
};

/// A ledger in which 45.51.1.1 is listed for 90 days, and 45.51.1.2 for 400 days and exempt for 20.
fn listed_and_exempt() -> Bench {
    let b = Bench::new();
    b.list("45.51.1.1", 90);
    b.list("45.51.1.2", 400);
    b.exempt("45.51.1.2", 20);
    assert!(b.listed("45.51.1.1") && !b.listed("45.51.1.2"));
    b
}

#[test]
fn wall_clock_that_is_wrong_for_seconds_or_a_week_ends_nothing() {
    for seconds in [3, 7 * DAY] {
        let b = listed_and_exempt();
        b.time.step(60 * DAY as i64);
        b.pass(seconds);
        assert_eq!(b.ledger().clock.report().state, ClockState::Differs);
        assert!(b.listed("45.51.1.1") && !b.listed("45.51.1.2"));
        b.time.step(-60 * DAY as i64);
        b.pass(3);
        assert_eq!(b.ledger().clock.report().state, ClockState::Agrees);
        assert!(b.listed("45.51.1.1") && !b.listed("45.51.1.2"));
    }
}

#[test]
fn start_with_a_wall_clock_400_days_ahead_ends_nothing() {
    let mut b = listed_and_exempt();
    b.stop();
    b.time.reboot(60, 400 * DAY as i64);
    b.start();
    b.pass(DAY);
    assert_eq!(b.ledger().clock.report().state, ClockState::Unconfirmed);
    assert!(b.listed("45.51.1.1") && !b.listed("45.51.1.2"));
}

#[test]
fn listings_end_by_trusted_time_while_the_wall_clock_differs() {
    let b = listed_and_exempt();
    b.time.step(-60 * DAY as i64);
    b.pass(20 * DAY - 60);
    assert!(b.listed("45.51.1.1") && !b.listed("45.51.1.2"));
    b.pass(60);
    assert!(
        b.listed("45.51.1.2"),
        "its exemption has ended by trusted time"
    );
    b.pass(70 * DAY);
    assert!(!b.listed("45.51.1.1"));
}

#[test]
fn listings_that_are_due_during_a_suspend_end_after_it() {
    let b = Bench::new();
    b.list("45.51.1.1", 2);
    b.list("45.51.1.2", 4);
    b.time.pass(3 * DAY as i64);
    b.pass(1);
    assert!(!b.listed("45.51.1.1") && b.listed("45.51.1.2"));
}

#[test]
fn after_40_days_off_listings_end_only_when_the_clock_is_synchronised() {
    let mut b = Bench::new();
    b.list("45.51.1.1", 30);
    b.list("45.51.1.2", 60);
    b.stop();
    b.time.reboot(40 * DAY as i64, 0);
    b.start();
    b.pass(3600);
    assert!(
        b.listed("45.51.1.1") && b.listed("45.51.1.2"),
        "before synchronisation"
    );
    b.time.set_synchronised(true);
    b.pass(60);
    assert!(
        !b.listed("45.51.1.1") && b.listed("45.51.1.2"),
        "after synchronisation"
    );
}

#[test]
fn store_restored_on_another_machine_uses_the_clock_of_that_machine() {
    let mut b = listed_and_exempt();
    b.pass(120);
    let (copy, other) = (b.dir.path().join("copy"), tempfile::tempdir().unwrap());
    let made = b.ledger().store.backup(&copy, "now".into()).unwrap();
    assert!(
        made.commit > 0 && !walk(&copy).iter().any(|name| name == "clock"),
        "the clock's record is not part of a backup"
    );
    b.stop();
    let data = other.path().join("data");
    crate::store::Restoration::begin(&copy, &data)
        .unwrap()
        .finish()
        .unwrap();
    (b.dir, b.time) = (other, ManualTime::at(BEGIN + 100 * DAY as i64));
    b.start();
    assert_eq!(b.ledger().clock.report().state, ClockState::Agrees);
    assert!(
        !b.listed("45.51.1.1") && b.listed("45.51.1.2"),
        "100 days later by its wall clock"
    );
    b.pass(120);
    b.stop();
    assert!(data.join("clock").exists());
}

/// All names of files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .flat_map(|e| {
            if e.path().is_dir() {
                walk(&e.path())
            } else {
                vec![e.file_name().to_string_lossy().into_owned()]
            }
        })
        .collect()
}

/// Runs a function, and returns the commits that were published meanwhile.
fn commits_published(ledger: &Ledger, during: impl FnOnce()) -> BTreeSet<u64> {
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        let watcher = s.spawn(|| {
            let mut published = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                published.insert(ledger.published.snapshot().seq);
                std::thread::sleep(Duration::from_micros(200));
            }
            published.insert(ledger.published.snapshot().seq);
            published
        });
        during();
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    })
}

#[test]
fn listings_and_sources_end_before_exemptions_and_are_published_at_once() {
    let b = Bench::new();
    // Exemptions that are due first, more than fit into one commit.
    let n = 100 * EXPIRY_BATCH.0;
    let host = |i: usize| format!("45.{}.{}.7", 60 + i / 200, i % 200);
    let all: Vec<Change> = (0..n)
        .map(|i| {
            let until = Some(b.ledger().now().plus(Seconds(20 * DAY + i as u64)));
            Change::new(host(i).parse().unwrap(), "anna", Command::Exempt { until })
        })
        .collect();
    for part in all.chunks(1000) {
        b.ledger()
            .submit_many(part.to_vec(), crate::store::schema::AuditRecord::default())
            .unwrap();
    }
    // The listing and the source that cover them are due later.
    b.list("45.60.0.0/16", 30);
    let source = b.ledger().source("xbl").unwrap();
    let expires = Some(b.ledger().now().plus(Seconds(40 * DAY)));
    let mut import = Import {
        expires,
        ..Import::replace(source)
    };
    let entry = relay_entry(b.ledger());
    let wide: Subject = "45.61.0.0/16".parse().unwrap();
    b.ledger()
        .import_with(&mut import, |_, sink| sink(wide, entry))
        .unwrap();
    assert!(
        b.listed("45.60.0.1")
            && b.listed("45.61.0.1")
            && !b.listed(&host(0))
            && !b.listed(&host(300))
    );
    b.time.step(60 * DAY as i64);
    let before = b.ledger().published.snapshot().seq;
    b.ledger().clock.accept();
    let published = commits_published(b.ledger(), || b.tick());
    let after = b.ledger().published.snapshot().seq;
    assert!(after - before >= 4, "it took {} commits", after - before);
    assert!(
        published.iter().all(|seq| [before, after].contains(seq)),
        "{published:?} between {before} and {after}"
    );
    assert!(
        !b.listed(&host(0))
            && !b.listed(&host(300))
            && !b.listed("45.60.0.1")
            && !b.listed("45.61.0.1")
    );
    // Commits have the same order, so that a failure between them leaves no exempt host listed.
    let changed = |seq: u64, subject: &str| {
        let key = subject.parse::<Subject>().unwrap().key();
        b.ledger()
            .store
            .commit_row(seq)
            .unwrap()
            .is_some_and(|c| c.before.iter().any(|(k, _)| *k == key))
    };
    let commit_of = |subject: &str| {
        (before + 1..=after)
            .find(|seq| changed(*seq, subject))
            .unwrap()
    };
    for (wide, exempt) in [
        ("45.60.0.0/16", 0),
        ("45.61.0.0/16", 300),
        ("45.61.0.0/16", n - 1),
    ] {
        assert!(commit_of(wide) < commit_of(&host(exempt)), "{wide}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Jump(i64),
    Synchronise(bool),
    Restart,
    Reboot(i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let days = -100i64..100;
    prop_oneof![
        3 => (1u64..40_000).prop_map(Step::Pass),
        2 => (1u64..20 * DAY).prop_map(Step::Pass),
        3 => (days.clone(), -5000i64..5000).prop_map(|(d, s)| Step::Jump(d * DAY as i64 + s)),
        1 => any::<bool>().prop_map(Step::Synchronise),
        1 => Just(Step::Restart),
        1 => (0..40 * DAY as i64, days).prop_map(|(off, d)| Step::Reboot(off, d * DAY as i64)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Hosts are listed themselves and by a wider listing. After each step, each host is looked up.
    #[test]
    fn no_sequence_of_wall_clock_changes_lists_an_exempt_host(
        hosts in prop::collection::vec((1u64..80, 1u64..80), 1..8),
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let mut b = Bench::new();
        let host = |i: usize| format!("45.51.0.{}", i + 1);
        b.list("45.51.0.0/24", 60);
        let ends: Vec<Time> = hosts.iter().enumerate().map(|(i, (listed, exempt))| {
            b.exempt(&host(i), *exempt);
            b.list(&host(i), *listed);
            b.ledger().now().plus(Seconds(exempt * DAY))
        }).collect();
        let mut latest = b.ledger().now();
        for step in steps {
            match step {
                Step::Pass(seconds) => b.pass(seconds),
                Step::Jump(seconds) => b.time.step(seconds),
                Step::Synchronise(is) => b.time.set_synchronised(is),
                Step::Restart => {
                    b.stop();
                    b.time.pass(5);
                    b.start();
                }
                Step::Reboot(off, error) => {
                    b.stop();
                    b.time.reboot(off, error);
                    b.start();
                }
            }
            b.ledger().clock.check();
            b.tick();
            latest = latest.max(b.ledger().now());
            for (i, end) in ends.iter().enumerate() {
                prop_assert!(latest >= *end || !b.listed(&host(i)), "{} is exempt until {end}, and listed at {latest}", host(i));
            }
        }
    }
}

#[test]
fn a_source_that_is_not_imported_in_time_ends_as_a_whole_and_the_next_import_lists_again() {
    let b = Bench::new();
    let source = b.ledger().source("xbl").unwrap();
    let import = || {
        let mut import = Import {
            expires: Some(b.ledger().now().plus(Seconds(DAY))),
            ..Import::replace(source)
        };
        let lines = ["45.1.1.1", "45.1.1.2"];
        b.ledger()
            .import_with(&mut import, |_, sink| {
                lines
                    .iter()
                    .try_for_each(|s| sink(s.parse().unwrap(), relay_entry(b.ledger())))
            })
            .unwrap();
    };
    import();
    assert!(b.listed("45.1.1.1") && b.listed("45.1.1.2"));
    b.pass(DAY);
    assert!(!b.listed("45.1.1.1") && !b.listed("45.1.1.2"));
    import();
    assert!(b.listed("45.1.1.1"));
}

/// A feed's entry for the reason `relay`.
pub(in crate::ledger::writer) fn relay_entry(ledger: &Ledger) -> FeedEntry {
    FeedEntry {
        reason: RELAY,
        exclusion: false,
        implied: false,
        since: ledger.now(),
        text: EntryText::default(),
        note: None,
    }
}
