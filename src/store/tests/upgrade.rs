//! Tests of the upgrade from version 8, which reads all entries with their events.

use std::{collections::BTreeMap, path::Path};

use rocksdb::{DB, Options};

use super::{
    BEGIN, ITERATORS, RELAY, ROWS, bytes, check_verdicts, hex, open, rows, settings, store,
};
use crate::{
    model::{
        Entry, EntryText, Event, EventKind, ReasonId, SightAge, SourceId, Subject, Time, Verdict,
    },
    store::{
        Backup, Batch, CommitFault, Restoration, Store, StoreError, cf, schema,
        upgrade::{UpgradeProgress, last_sights, version_row},
    },
};

/// The subjects that a batch of these tests reads.
const BATCH: usize = 100;

fn entry(reason: ReasonId, exclusion: bool) -> Entry {
    Entry {
        reason,
        source: SourceId::OPERATOR,
        since: Time(BEGIN),
        until: None,
        exclusion,
        text: EntryText::default(),
        seen: Time(BEGIN),
        aged: SightAge::default(),
    }
}

fn listed(reason: ReasonId, at: u64) -> Event {
    Event {
        at: Time(at),
        author: "anna".into(),
        kind: EventKind::Listed {
            reason,
            source: SourceId::OPERATOR,
            until: None,
            exclusion: false,
            text: EntryText::default(),
        },
        evidence: None,
    }
}

/// Writes the rows of a store of version 8 with so many listed subjects, and returns their verdicts
/// as version 9 has them: by the rule, and not by the rows.
fn fill(store: &Store, subjects: u32) -> BTreeMap<Vec<u8>, Verdict> {
    const INPUT: ReasonId = ReasonId(1);
    let mut batch = version_row(8);
    let mut expected = BTreeMap::new();
    for n in 0..subjects {
        let subject: Subject = match n % 4 {
            0 => format!("2001:db9:{n:x}::/48").parse().unwrap(),
            1 => format!("host{n}.spam.example").parse().unwrap(),
            _ => Subject::host(std::net::Ipv4Addr::from(0x2d00_0000 + n).into()),
        };
        // Some were renewed many times, some never, and some only for another reason.
        let renewals = [0, 1, 40, 3][n as usize % 4];
        let reason = if n % 3 == 0 { INPUT } else { RELAY };
        for i in 0..=renewals {
            let event = listed(if i == 0 { RELAY } else { reason }, BEGIN + 60 * i);
            let key = schema::event_key(&subject, 1 + i, n);
            batch.put(schema::EVENTS, key, schema::encode(&event));
        }
        // The events of some others remain, and their listings have ended.
        if n % 10 == 9 {
            continue;
        }
        let mut verdict = Verdict::default();
        verdict.put(entry(RELAY, n % 7 == 6));
        batch.put(schema::VERDICTS, subject.key(), schema::encode(&verdict));
        if reason == RELAY && n % 7 != 6 {
            verdict.entries[0].seen = Time(BEGIN + 60 * renewals);
        }
        expected.insert(subject.key(), verdict);
    }
    store.commit(batch).unwrap();
    expected
}

fn verdicts(store: &Store) -> BTreeMap<Vec<u8>, Verdict> {
    let mut out = BTreeMap::new();
    store
        .rows(schema::VERDICTS, &[], &mut |key, row| {
            out.insert(key.to_vec(), schema::decode(row).unwrap());
            Ok(true)
        })
        .unwrap();
    out
}

#[test]
fn upgrade_to_version_9_gives_listings_their_last_sight() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let expected = fill(&store, 2000);
    store.close().unwrap();
    let store = super::store(dir.path());
    assert_eq!(verdicts(&store), expected);
    assert_eq!(
        Store::version_in(dir.path()).unwrap(),
        Some(schema::VERSION)
    );
    let renewed = |v: &&Verdict| v.entries[0].seen > v.entries[0].since;
    assert!(expected.values().filter(renewed).count() > 500);
}

#[test]
fn upgrade_opens_two_iterators_a_batch_and_none_for_each_entry() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let listed = fill(&store, 2000).len();
    let before = ITERATORS.get();
    last_sights(&store, BATCH, &mut |_| ()).unwrap();
    let opened = ITERATORS.get() - before;
    let batches = listed as u64 / BATCH as u64 + 1;
    assert!(opened > 0 && opened <= 2 * batches, "{opened}");
    // The count is one of all iterators: a read of one subject's rows adds to it.
    let before = ITERATORS.get();
    store.history(&"45.0.0.2".parse().unwrap()).unwrap();
    assert!(ITERATORS.get() > before);
}

#[test]
fn upgrade_that_fails_at_any_batch_continues_after_the_last_one_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let whole = store(dir.path());
    let expected = fill(&whole, 1000);
    let listed = expected.len() as u64;
    last_sights(&whole, BATCH, &mut |_| ()).unwrap();
    let batches = listed / BATCH as u64 + 1;
    assert!(batches >= 8);
    for fault in [CommitFault::NotWritten, CommitFault::Written] {
        for failing in 0..batches {
            let dir = tempfile::tempdir().unwrap();
            let store = store(dir.path());
            fill(&store, 1000);
            let mut begun = 0;
            let failed = last_sights(&store, BATCH, &mut |_| {
                if begun == failing {
                    *store.fault.lock() = Some(fault);
                }
                begun += 1;
            });
            assert!(matches!(failed, Err(StoreError::Io(_))), "batch {failing}");
            *store.fault.lock() = None;
            // A start after the last batch has the new version already.
            let written = failing + u64::from(fault == CommitFault::Written);
            if written < batches {
                let mut read = Vec::new();
                last_sights(&store, BATCH, &mut |p: UpgradeProgress| {
                    assert_eq!(p.version, 9);
                    read.push(p.subjects);
                })
                .unwrap();
                assert_eq!(read.len() as u64, batches - written, "{fault:?} {failing}");
                assert_eq!(read[0], 0);
            }
            assert_eq!(verdicts(&store), expected, "{fault:?} {failing}");
            assert_eq!(rows(&store), rows_of_another(&whole, &store));
        }
    }
}

/// The rows of a store, with the identity of another one.
fn rows_of_another(store: &Store, other: &Store) -> String {
    rows(store).replace(&hex(&store.id()), &hex(&other.id()))
}

#[test]
fn upgrade_begins_again_if_an_older_program_has_committed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let expected = fill(&store, 1000);
    let mut begun = 0;
    let failed = last_sights(&store, BATCH, &mut |_| {
        begun += 1;
        if begun == 5 {
            *store.fault.lock() = Some(CommitFault::NotWritten);
        }
    });
    assert!(failed.is_err());
    *store.fault.lock() = None;
    // The older program renews the first listing and does not know the time of a last sight.
    let (key, mut verdict) = expected
        .iter()
        .next()
        .map(|(k, v)| (k.clone(), v.clone()))
        .unwrap();
    let subject = Subject::from_key(&key).unwrap();
    let mut batch = Batch::default();
    batch.put(schema::META, b"seq".to_vec(), 99u64.to_be_bytes().to_vec());
    let event = listed(RELAY, BEGIN + 999_999);
    batch.put(
        schema::EVENTS,
        schema::event_key(&subject, 99, 0),
        schema::encode(&event),
    );
    store.commit(batch).unwrap();
    last_sights(&store, BATCH, &mut |_| ()).unwrap();
    verdict.entries[0].seen = Time(BEGIN + 999_999);
    assert_eq!(verdicts(&store)[&key], verdict);
}

/// Writes the rows of an earlier build as a store of a version, without the families that later
/// versions have added.
fn write_version(path: &Path, version: u32) {
    let added = [
        (schema::TICKETS, 7),
        (schema::NETBLOCKS, 8),
        (schema::DYNAMIC_RANGES, 9),
    ];
    let is_later = |family: &&str| {
        added
            .iter()
            .any(|(f, since)| f == family && *since > version)
    };
    let families = schema::FAMILIES.into_iter().filter(|f| !is_later(f));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = DB::open_cf(&options, path, families).unwrap();
    for row in ROWS.lines() {
        let row: Vec<&str> = row.split(' ').collect();
        let family = cf(&db, row[0]).unwrap();
        db.put_cf(&family, bytes(row[1]), bytes(row[2])).unwrap();
    }
    let meta = cf(&db, schema::META).unwrap();
    db.put_cf(&meta, "version", version.to_be_bytes()).unwrap();
}

#[test]
fn backup_of_an_earlier_version_without_later_families_is_restored() {
    for version in 6..schema::VERSION {
        let dir = tempfile::tempdir().unwrap();
        let (backup, place) = (dir.path().join("backup"), dir.path().join("data"));
        let copy = backup.join("store");
        std::fs::create_dir_all(&copy).unwrap();
        write_version(&copy, version);
        // It cannot be read before its upgrade, and the error says so.
        let refused = Store::open_read_only(settings(&copy));
        assert!(
            matches!(refused, Err(StoreError::Older(v)) if v == version),
            "{version}"
        );
        let found = Backup::read(&copy, "2026-01-02T03:04:05Z".into()).unwrap();
        assert_eq!(found.version, version);
        let text = serde_json::to_vec(&found).unwrap();
        std::fs::write(backup.join("backup.json"), text).unwrap();
        let restoration = Restoration::begin(&backup, &place).unwrap();
        store(&restoration.path()).close().unwrap();
        restoration.finish().unwrap();
        assert_eq!(Store::version_in(&copy).unwrap(), Some(version));
        let ledger = open(&place);
        check_verdicts(&ledger);
        ledger.stop().unwrap();
        assert!(Store::open_read_only(settings(&place)).unwrap().is_some());
        assert_eq!(Store::version_in(&place).unwrap(), Some(schema::VERSION));
    }
}

#[test]
fn read_only_store_of_a_newer_version_is_refused_as_newer() {
    let dir = tempfile::tempdir().unwrap();
    let written = store(dir.path());
    let newer = schema::VERSION + 1;
    written.commit(version_row(newer)).unwrap();
    written.close().unwrap();
    let refused = Store::open_read_only(settings(dir.path()));
    assert!(matches!(refused, Err(StoreError::Newer(v)) if v == newer));
    let empty = tempfile::tempdir().unwrap();
    assert!(
        Store::open_read_only(settings(empty.path()))
            .unwrap()
            .is_none()
    );
}
