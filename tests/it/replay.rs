//! Events, verdicts, journal, image and tables of a store agree.

use std::{collections::BTreeMap, fs};

use orbsd::{
    ledger::{Import, Ledger},
    model::{Change, EntryText, FeedPath, SourceId, StoreId, Subject, Verdict, history::Command},
    store::schema::FeedEntry,
};

use crate::lab::{Folder, commit, tick};

/// A pseudo-random number generator, so that a failure can be repeated with its seed.
struct Random(u64);
impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

const SUBJECTS: [&str; 12] = [
    "45.1.1.1",
    "45.1.1.2",
    "45.1.1.0/24",
    "45.1.0.0/16",
    "46.2.3.4",
    "46.2.0.0/15",
    "2a00:1::/32",
    "2a00:1::5",
    "bad.test",
    "*.bad.test",
    ".worse.test",
    "x.worse.test",
];

fn import(ledger: &Ledger, dice: &mut Random, name: &str) {
    let v = ledger.store.dictionary();
    let reasons = ["relay", "netblock", "spam"].map(|r| v.reasons.get(r).unwrap());
    let mut lines = Vec::new();
    for s in SUBJECTS {
        if dice.below(3) == 0 {
            let text = (dice.below(4) == 0).then(|| "own text of $".into());
            let reason = reasons[dice.below(3) as usize];
            let path = match dice.below(4) {
                0 => FeedPath::via(vec![StoreId(dice.below(3)), StoreId(9)]),
                1 => FeedPath::Untraced,
                _ => FeedPath::Own,
            };
            lines.push((
                s.parse().unwrap(),
                FeedEntry {
                    reason,
                    exclusion: dice.below(5) == 0,
                    implied: false,
                    since: Default::default(),
                    text: EntryText {
                        text,
                        path,
                        exact: false,
                    },
                    note: None,
                },
            ));
        }
    }
    let source = ledger.source(name).unwrap();
    let done = ledger.import_with(&mut Import::replace(source), |_, sink| {
        lines.into_iter().try_for_each(|(s, e)| sink(s, e))
    });
    done.unwrap_or_else(|e| panic!("{e:?}"));
}

fn change(ledger: &Ledger, dice: &mut Random) {
    let v = ledger.store.dictionary();
    let reason = v
        .reasons
        .get(["relay", "netblock", "spam"][dice.below(3) as usize])
        .unwrap();
    let source = SourceId(dice.below(3) as u16);
    let until = (dice.below(3) == 0)
        .then(|| orbsd::clock::wall().plus(orbsd::model::time::Seconds(1 + dice.below(2))));
    let command = match dice.below(8) {
        0..4 => Command::List {
            reason,
            source,
            until,
            text: (dice.below(3) == 0).then_some("word").into(),
        },
        4 => Command::Delist {
            reason: None,
            source: None,
            hold: Default::default(),
        },
        5 => Command::Delist {
            reason: Some(reason),
            source: None,
            hold: Default::default(),
        },
        6 => Command::Exempt { until },
        _ => Command::Unexempt,
    };
    let subject: Subject = SUBJECTS[dice.below(12) as usize].parse().unwrap();
    let change = Change {
        subject,
        author: "dice".into(),
        evidence: None,
        command,
        preconditions: Default::default(),
    };
    // A refused change is part of the test: it must change nothing.
    let _ = commit(ledger, change);
}

/// Waits until the writer has handled all earlier commands.
fn settle(ledger: &Ledger) {
    let command = Command::Delist {
        reason: None,
        source: None,
        hold: Default::default(),
    };
    let change = Change {
        subject: "44.4.4.4".parse().unwrap(),
        author: "dice".into(),
        evidence: None,
        command,
        preconditions: Default::default(),
    };
    assert!(
        commit(ledger, change).is_err(),
        "the change is refused, in order"
    );
}

/// Compares the fold of every subject's events with its verdict.
fn check_fold(ledger: &Ledger, seed: u64) {
    for s in SUBJECTS {
        let subject: Subject = s.parse().unwrap();
        let mut folded = Verdict::default();
        for e in ledger.store.history(&subject).unwrap() {
            folded.fold(e.at, &e.kind);
        }
        let stored = ledger.store.verdict(&subject).unwrap();
        assert_eq!(folded, stored, "seed {seed}: {s}");
    }
}

/// Checks that the before-images of the journal lead back to an empty store.
fn check_journal(ledger: &Ledger, seed: u64) {
    let last = ledger.store.seq().unwrap();
    let mut back: BTreeMap<Vec<u8>, Verdict> = BTreeMap::new();
    for seq in (1..=last).rev() {
        let Some(commit) = ledger.store.commit_row(seq).unwrap() else {
            break;
        };
        assert!(!commit.bulk, "all imports here are small");
        for (_, from, to) in &commit.serials {
            assert!(from <= to, "seed {seed}: {from} {to}");
        }
        back.extend(commit.before);
    }
    assert!(
        back.values().all(Verdict::is_empty),
        "seed {seed}: {back:?}"
    );
}

#[test]
fn verdicts_journal_and_image_agree_after_random_changes() {
    std::thread::scope(|s| (1..=12u64).for_each(|seed| drop(s.spawn(move || run(seed)))));
}

fn run(seed: u64) {
    let f = Folder::new();
    let mut dice = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let ledger = f.ledger();
    for step in 0..60 {
        match dice.below(10) {
            0 => import(&ledger, &mut dice, "one"),
            1 => import(&ledger, &mut dice, "two"),
            _ => change(&ledger, &mut dice),
        }
        if step % 20 == 19 {
            f.time.pass(1);
            tick(&ledger);
            tick(&ledger);
        }
    }
    // End everything that is due now, so that nothing ends between the checks below.
    f.time.pass(3);
    tick(&ledger);
    tick(&ledger);
    settle(&ledger);
    check_fold(&ledger, seed);
    check_journal(&ledger, seed);
    ledger.stop().unwrap();
    drop(ledger);
    // The tables from the image and those from the rows give the same zones.
    let export = || {
        ["bl", "dbl"].map(|z| {
            f.ok(&["export", z])
                .lines()
                .filter(|l| !l.contains("SOA"))
                .collect::<Vec<_>>()
                .join("\n")
        })
    };
    let imaged = export();
    fs::remove_file(f.path().join("data/image")).unwrap();
    for (a, b) in export().iter().zip(&imaged) {
        let other = a.lines().zip(b.lines()).find(|(a, b)| a != b);
        assert!(
            other.is_none() && a.len() == b.len(),
            "seed {seed}: {other:?}"
        );
    }
}

/// An import is compared again with subjects that have changed while it was staged.
#[test]
fn subjects_that_change_while_an_import_is_staged_are_compared_again() {
    for large in [false, true] {
        let f = Folder::new();
        let ledger = f.ledger();
        let v = ledger.store.dictionary();
        let relay = v.reasons.get("relay").unwrap();
        let source = ledger.source("xbl").unwrap();
        let entry = || FeedEntry {
            reason: relay,
            exclusion: false,
            implied: false,
            since: Default::default(),
            text: Default::default(),
            note: None,
        };
        let lines = if large { 25_000u32 } else { 10 };
        let import = |upto: u32, ledger: &Ledger, meanwhile: &dyn Fn()| {
            let done = ledger.import_with(&mut Import::replace(source), |_, sink| {
                (0..upto).try_for_each(|i| sink(Subject::host4(0x2d00_0000 + i * 3), entry()))?;
                meanwhile();
                Ok(())
            });
            done.unwrap_or_else(|e| panic!("{e:?}"))
        };
        import(lines, &ledger, &|| ());
        let submit = |command: Command, addr: u32| {
            let change = Change {
                subject: Subject::host4(addr),
                author: "t".into(),
                evidence: None,
                command,
                preconditions: Default::default(),
            };
            commit(&ledger, change).unwrap();
        };
        let own = Command::List {
            reason: relay,
            source: SourceId::OPERATOR,
            until: None,
            text: "own".into(),
        };
        // Meanwhile a listing that the feed keeps is removed, one that it drops is removed, and an
        // operator lists two subjects.
        let drops = lines / 2;
        import(lines - drops, &ledger, &|| {
            let off = Command::Delist {
                reason: None,
                source: Some(source),
                hold: Default::default(),
            };
            submit(off.clone(), 0x2d00_0000);
            submit(off, 0x2d00_0000 + (lines - 1) * 3);
            submit(own.clone(), 0x2d00_0003);
            submit(own.clone(), 0x2d00_0000 + (lines - 2) * 3);
        });
        let verdict = |i: u32| {
            ledger
                .store
                .verdict(&Subject::host4(0x2d00_0000 + i * 3))
                .unwrap()
        };
        assert!(
            verdict(0).is_suppressed(relay, source) && verdict(0).in_force().next().is_none(),
            "large {large}: suppressed, and the feed still has it"
        );
        assert!(
            verdict(lines - 1).is_empty(),
            "large {large}: dropped, so that the hold has ended: {:?}",
            verdict(lines - 1)
        );
        assert_eq!(
            (verdict(1).entries.len(), verdict(lines - 2).entries.len()),
            (2, 1),
            "large {large}"
        );
        let snapshot = ledger.published.snapshot();
        for i in 0..lines {
            let answered = snapshot.tables.ip4.get(0x2d00_0000 + i * 3).0
                != orbsd::index::values::FactsId::NONE;
            assert_eq!(
                answered,
                verdict(i).in_force().next().is_some(),
                "large {large}: {i}"
            );
        }
        ledger.stop().unwrap();
    }
}

/// A feed that was not refreshed has dropped nothing, whether it has few rows or many.
#[test]
fn expiry_of_a_feed_ends_its_listings_and_keeps_holds() {
    for lines in [10u32, 25_000] {
        let f = Folder::new();
        let ledger = f.ledger();
        let relay = ledger.store.dictionary().reasons.get("relay").unwrap();
        let source = ledger.source("xbl").unwrap();
        let import = |max_age: u64| {
            let mut what = Import {
                max_age: Some(orbsd::model::time::Seconds(max_age)),
                ..Import::replace(source)
            };
            let entry = || FeedEntry {
                reason: relay,
                exclusion: false,
                implied: false,
                since: Default::default(),
                text: Default::default(),
                note: None,
            };
            let done = ledger.import_with(&mut what, |_, sink| {
                (0..lines).try_for_each(|i| sink(Subject::host4(0x2d00_0000 + i), entry()))
            });
            done.unwrap_or_else(|e| panic!("{e:?}"));
        };
        import(2);
        let held = Subject::host4(0x2d00_0005);
        let command = Command::Delist {
            reason: None,
            source: None,
            hold: Default::default(),
        };
        let change = Change {
            subject: held.clone(),
            author: "t".into(),
            evidence: None,
            command,
            preconditions: Default::default(),
        };
        commit(&ledger, change).unwrap();
        let other = Subject::host4(0x2d00_0006);
        let dbl = |l: &Ledger| l.published.snapshot().serials[1];
        let before = dbl(&ledger);
        for _ in 0..100 {
            if ledger.store.verdict(&other).unwrap().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            tick(&ledger);
        }
        assert!(
            ledger.store.verdict(&other).unwrap().is_empty(),
            "{lines}: the listing has ended"
        );
        assert_eq!(
            dbl(&ledger),
            before,
            "{lines}: a zone that publishes none of it keeps its serial"
        );
        let mut folded = Verdict::default();
        ledger
            .store
            .history(&other)
            .unwrap()
            .iter()
            .for_each(|e| folded.fold(e.at, &e.kind));
        assert!(
            folded.is_empty(),
            "{lines}: history ends with it: {folded:?}"
        );
        import(3600);
        assert_eq!(
            ledger.store.verdict(&held).unwrap().in_force().count(),
            0,
            "{lines}: still suppressed"
        );
        assert_ne!(
            ledger.store.verdict(&other).unwrap().in_force().count(),
            0,
            "{lines}: listed again"
        );
        ledger.stop().unwrap();
    }
}

/// A start never needs events or commits that were deleted.
#[test]
fn events_of_feeds_are_deleted_after_their_time_and_others_are_kept() {
    let f = Folder::new();
    let ledger = f.ledger();
    let relay = ledger.store.dictionary().reasons.get("relay").unwrap();
    let source = ledger.source("xbl").unwrap();
    let both = Subject::host4(0x2d01_0101);
    let entry = || FeedEntry {
        reason: relay,
        exclusion: false,
        implied: false,
        since: Default::default(),
        text: Default::default(),
        note: None,
    };
    ledger
        .import_with(&mut Import::replace(source), |_, sink| {
            sink(both.clone(), entry())
        })
        .unwrap();
    let command = Command::List {
        reason: relay,
        source: SourceId::OPERATOR,
        until: None,
        text: Default::default(),
    };
    let change = Change {
        subject: both.clone(),
        author: "t".into(),
        evidence: None,
        command,
        preconditions: Default::default(),
    };
    commit(&ledger, change).unwrap();
    let store = ledger.store.clone();
    assert_eq!(store.history(&both).unwrap().len(), 2);
    let later = orbsd::clock::wall().plus(orbsd::model::time::Seconds(101 * 86_400));
    // A commit is deleted only after an image has it.
    let last = store.seq().unwrap();
    let kept = |imaged: u64| {
        if let Some(batch) = store.trim(later, imaged).unwrap() {
            store.commit(batch).unwrap();
        }
        (1..=last)
            .filter(|s| store.commit_row(*s).unwrap().is_some())
            .count() as u64
    };
    assert_eq!(kept(0), last);
    assert_eq!(
        store.history(&both).unwrap().len(),
        1,
        "the feed's event is deleted"
    );
    assert_eq!(store.history(&both).unwrap()[0].author, "t");
    assert_eq!(
        kept(last),
        1,
        "the last commit stays, because numbers continue from it"
    );
    assert_eq!(
        store.verdict(&both).unwrap().entries.len(),
        2,
        "the verdict is unchanged"
    );
    drop(store);
    ledger.stop().unwrap();
    let again = f.ledger();
    assert_eq!(again.store.verdict(&both).unwrap().entries.len(), 2);
    again.stop().unwrap();
}
