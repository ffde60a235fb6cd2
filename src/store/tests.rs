//! Tests that a store of an earlier build opens, and that its rows keep the same bytes when they
//! are read and written again.

use std::{cell::Cell, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Batch, MAX_OPEN_TABLES, Store, StoreError, StoreSettings,
    configured::ConfiguredNames,
    schema::{
        self, AcceptedList, AuditRecord, Commit, FollowState, SourceRecord, StoredReceipt,
        ZoneRecord,
    },
};
use crate::{
    clock::{Clock, TrustAtStart, tests::ManualTime},
    ledger::{
        self, AccountChange, Follow, Import, Ledger, Proposal, ReasonSettings,
        guard::{Guard, GuardTrip},
        held::{FeedEvent, HeldList},
        outbox::{Message, Webhook},
    },
    model::{
        Change, EntryText, Event, Evidence, EvidenceKind, FeedPath, ReasonId, Role, Serial,
        SourceId, StoreId, Subject, Time, Token, TokenRestrictions, User, Verdict, Zone,
        access::tests::person,
        history::{Command, HoldFor, IdempotencyKey, OpenEnd},
        time::Seconds,
    },
};

mod upgrade;

thread_local! {
    /// How many iterators over rows this thread has opened.
    static ITERATORS: Cell<u64> = const { Cell::new(0) };
}

/// Counts an iterator that the store opens, for tests of how many rows are sought one by one.
pub(super) fn count_iterator() {
    ITERATORS.set(ITERATORS.get() + 1);
}

/// Every row of a store that version 0.1.0 wrote before its first release: family, key and value in
/// hexadecimal digits.
const ROWS: &str = include_str!("tests/store-6.rows");
const BEGIN: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const RELAY: ReasonId = ReasonId(0);
const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }, { reason = "input", code = "127.0.0.3" }]
"#;

fn settings(path: &Path) -> StoreSettings {
    StoreSettings {
        path: path.to_path_buf(),
        journal_age: Seconds(DAY),
        journal_size: 1 << 30,
        feed_event_age: Seconds(DAY),
        scrub_interval: Seconds(0),
        scrub_rate: 1 << 23,
        open_tables: MAX_OPEN_TABLES,
    }
}

fn store(path: &Path) -> Store {
    Store::open(settings(path)).unwrap()
}

fn open(path: &Path) -> Ledger {
    let reason = |name: &str| ReasonSettings {
        name: name.into(),
        text: "$ was tested".into(),
        lifetime: Some(Seconds(90 * DAY)),
        two_persons: false,
    };
    let zone: Zone = toml::from_str(ZONE).unwrap();
    let settings = ledger::LedgerSettings {
        reasons: vec![reason("relay"), reason("input")],
        zones: vec![zone],
        feeds: vec!["ipsum".into()],
        ..ledger::LedgerSettings::default()
    };
    let clock = Clock::start(
        ManualTime::at(BEGIN as i64),
        None,
        TrustAtStart::Always,
        None,
    );
    ledger::open(store(path), settings, clock, || ()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

/// Every row of a store, as in [`ROWS`].
fn rows(store: &Store) -> String {
    let mut out = String::new();
    for family in schema::FAMILIES {
        store
            .rows(family, &[], &mut |key, value| {
                out += &format!("{family} {} {}\n", hex(key), hex(value));
                Ok(true)
            })
            .unwrap();
    }
    out
}

/// Creates a store with these rows.
fn write(path: &Path, rows: &str) {
    let store = store(path);
    let mut batch = Batch::default();
    for family in schema::FAMILIES {
        batch.delete_range(family, vec![], vec![0xff; 32]);
    }
    store.commit(batch).unwrap();
    let mut batch = Batch::default();
    for row in rows.lines() {
        let mut row = row.split(' ');
        let family = row.next().unwrap();
        let family = schema::FAMILIES.iter().find(|f| **f == family).unwrap();
        let (key, value) = (row.next().unwrap(), row.next().unwrap());
        batch.put(family, bytes(key), bytes(value));
    }
    store.commit(batch).unwrap();
    store.close().unwrap();
}

fn same<T: Serialize + DeserializeOwned>(row: &[u8]) -> Vec<u8> {
    let value: T = schema::decode(row).unwrap();
    schema::encode(&value).into_bytes().unwrap()
}

/// Decodes a row by its type and encodes it again; `None` for rows of other modules and for plain
/// numbers.
fn reencode(family: &str, key: &[u8], row: &[u8]) -> Option<Vec<u8>> {
    let starts = |name: &str| key.starts_with(name.as_bytes());
    Some(match family {
        schema::VERDICTS => same::<Verdict>(row),
        schema::FEEDS => {
            let mut out = Vec::new();
            schema::write_feed(&schema::read_feed(row).unwrap(), &mut out);
            out
        }
        schema::EVENTS | schema::FEED_EVENTS => same::<Event>(row),
        schema::JOURNAL => same::<Commit>(row),
        schema::AUDIT => same::<AuditRecord>(row),
        schema::IDEMPOTENCY if key.len() == 20 => same::<StoredReceipt>(row),
        schema::IDEMPOTENCY => same::<(u64, u16, String)>(row),
        schema::OUTBOX => same::<Message>(row),
        schema::ACCOUNTS if starts("person/") => same::<User>(row),
        schema::ACCOUNTS if starts("token/") => same::<Token>(row),
        schema::ACCOUNTS if starts("webhook/") => same::<Webhook>(row),
        schema::ACCOUNTS if starts("proposal/") => same::<Proposal>(row),
        schema::ACCOUNTS if starts("used/") => same::<Time>(row),
        schema::ACCOUNTS if starts("import/") => same::<(Time, String)>(row),
        schema::ACCOUNTS if starts("held/") => {
            let text: String = schema::decode(row).unwrap();
            let held: HeldList = serde_json::from_str(&text).unwrap();
            let text = serde_json::to_string(&held).unwrap();
            schema::encode(&text).into_bytes().unwrap()
        }
        schema::META if starts("zone/") => same::<ZoneRecord>(row),
        schema::META if starts("sources") => same::<Vec<SourceRecord>>(row),
        schema::META if starts("reasons") => same::<Vec<String>>(row),
        schema::META if starts("accepted/") => same::<AcceptedList>(row),
        schema::META if starts("notes/") => same::<Vec<schema::FeedNote>>(row),
        schema::META if starts("configured") => same::<ConfiguredNames>(row),
        _ => return None,
    })
}

/// Checks the verdicts of the store that has [`ROWS`].
fn check_verdicts(ledger: &Ledger) {
    let verdict = |s: &str| ledger.store.verdict(&s.parse().unwrap()).unwrap();
    assert!(
        verdict("45.1.1.1")
            .entry(RELAY, SourceId::OPERATOR)
            .is_some()
    );
    assert!(verdict("45.1.1.2").is_suppressed(RELAY, SourceId::OPERATOR));
    assert!(verdict("45.1.1.3").exempt.is_some());
    assert!(verdict("46.1.0.0/16").entry(RELAY, SourceId(3)).is_some());
}

#[test]
fn rows_of_an_earlier_build_are_the_same_after_a_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), ROWS);
    let ledger = open(dir.path());
    let v = ledger.store.dictionary();
    assert_eq!(v.sources.get("ipsum"), Some(SourceId(3)));
    let accounts = ledger.accounts();
    assert_eq!(
        (
            accounts.users.size(),
            accounts.tokens.size(),
            accounts.webhooks.size()
        ),
        (1, 1, 1)
    );
    assert_eq!(
        (
            accounts.proposals.len(),
            accounts.held.size(),
            accounts.imports.size()
        ),
        (1, 1, 1)
    );
    check_verdicts(&ledger);
    ledger.stop().unwrap();
    let store = store(dir.path());
    let mut typed = std::collections::BTreeSet::new();
    for family in schema::FAMILIES {
        let mut again = |key: &[u8], row: &[u8]| {
            if let Some(written) = reencode(family, key, row) {
                assert_eq!(hex(&written), hex(row), "{family} {}", hex(key));
                typed.insert(family);
            }
            Ok(true)
        };
        store.rows(family, &[], &mut again).unwrap();
    }
    assert_eq!(typed.len(), 10, "{typed:?}");
    // The upgrade changes the version alone.
    let version = |n| format!("meta {} {n:08x}", hex(b"version"));
    let expected = ROWS.replace(&version(6), &version(schema::VERSION));
    assert_eq!(rows(&store), expected);
}

#[test]
fn version_is_read_from_older_newer_and_open_stores_without_changing_them() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Store::version_in(dir.path()).unwrap(), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let store = store(dir.path());
    for version in [schema::VERSION, schema::VERSION - 1, schema::VERSION + 1] {
        store.commit(super::upgrade::version_row(version)).unwrap();
        let before = rows(&store);
        assert_eq!(Store::version_in(dir.path()).unwrap(), Some(version));
        assert_eq!(rows(&store), before);
    }
    store.close().unwrap();
    let newer = Some(schema::VERSION + 1);
    assert_eq!(Store::version_in(dir.path()).unwrap(), newer);
    std::fs::write(dir.path().join("CURRENT"), "damaged").unwrap();
    assert!(Store::version_in(dir.path()).is_err());
}

/// A value that no serializer can write.
struct Broken;

impl Serialize for Broken {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("broken"))
    }
}

#[test]
fn value_that_cannot_be_encoded_stops_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let before = rows(&store);
    let mut batch = Batch::default();
    batch.put(schema::META, b"first".to_vec(), vec![1]);
    batch.put(schema::META, b"broken".to_vec(), schema::encode(&Broken));
    let e = store.commit(batch).unwrap_err();
    assert!(
        matches!(&e, StoreError::Encode(why) if why.contains("meta")),
        "{e}"
    );
    assert_eq!(rows(&store), before);
}

fn entry(
    text: Option<&str>,
    path: FeedPath,
    exclusion: bool,
    note: Option<&str>,
) -> schema::FeedEntry {
    schema::FeedEntry {
        reason: RELAY,
        exclusion,
        implied: false,
        since: Time(BEGIN),
        text: EntryText {
            text: text.map(Into::into),
            path,
            exact: false,
        },
        note: note.map(Into::into),
    }
}

fn import(ledger: &Ledger, source: SourceId, lines: &[(&str, schema::FeedEntry)]) {
    let mut settings = Import::replace(source);
    settings.max_age = Some(Seconds(7 * DAY));
    settings.limits = Some(Default::default());
    settings.shape.ipv4 = lines.len() as u64;
    settings.follow = Some(Follow {
        previous: ledger.store.dictionary().records[usize::from(source.0)]
            .followed
            .clone(),
        current: FollowState {
            zone: "up.example".into(),
            serial: Serial(lines.len() as u32),
            timers: [1, 2, 3],
            copy: 1,
            mapping: 7,
        },
        records: vec![(b"record".to_vec(), true)],
    });
    ledger
        .import_with(&mut settings, |_, sink| {
            lines
                .iter()
                .try_for_each(|(s, e)| sink(s.parse().unwrap(), e.clone()))
        })
        .unwrap();
}

#[test]
fn subjects_with_history_are_those_that_have_events_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let feed = ledger.source("ipsum").unwrap();
    import(
        &ledger,
        feed,
        &[("46.1.0.0/16", entry(None, FeedPath::Own, false, None))],
    );
    for subject in ["45.1.1.1", "2001:db9::/48", ".mail.spam.example"] {
        let command = Command::List {
            reason: RELAY,
            source: SourceId::OPERATOR,
            until: None,
            text: Default::default(),
        };
        let change = Change::new(subject.parse().unwrap(), "anna", command);
        ledger::tests::commit(&ledger, change).unwrap();
    }
    let found = |subjects: &[&str]| -> Vec<String> {
        let subjects: Vec<Subject> = subjects.iter().map(|s| s.parse().unwrap()).collect();
        let found = ledger.store.with_history(&subjects).unwrap();
        for subject in &subjects {
            let has_events = !ledger.store.history(subject).unwrap().is_empty();
            assert_eq!(found.contains(subject), has_events, "{subject}");
        }
        found.iter().map(ToString::to_string).collect()
    };
    // In the order of the request, whatever that of the keys is.
    let all = [
        "2001:db9::/48",
        "45.1.1.1",
        "45.1.1.2",
        "46.1.0.0/16",
        ".mail.spam.example",
    ];
    let with_events = [
        "2001:db9::/48",
        "45.1.1.1",
        "46.1.0.0/16",
        ".mail.spam.example",
    ];
    assert_eq!(found(&all), with_events);
    // The key of a wider or narrower subject is not that of the subject.
    let near = [
        "45.1.1.0/24",
        "46.0.0.0/8",
        "46.1.0.0/17",
        "2001:db9::/32",
        ".spam.example",
    ];
    assert_eq!(found(&near), [""; 0]);
    assert_eq!(
        found(&[".spam.example", ".mail.spam.example"]),
        [".mail.spam.example"]
    );
    assert_eq!(found(&[]), [""; 0]);
}

/// Writes `store-6.rows`. Run it only for a new version of the store.
#[test]
#[ignore = "writes the rows that the other test reads"]
fn write_rows() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let feed = ledger.source("ipsum").unwrap();
    let keep = |keep| {
        let line = AuditRecord {
            at: Time(BEGIN),
            author: "anna".into(),
            from: "192.0.2.1".into(),
            action: "keep".into(),
            target: "something".into(),
            detail: "a detail".into(),
            note: Some("a reason".into()),
            ..AuditRecord::default()
        };
        ledger.change_accounts_blocking(keep, Some(line)).unwrap();
    };
    keep(AccountChange::Webhook(Webhook {
        id: "w1".into(),
        url: "https://hook.example/".into(),
        secret: vec![1, 2, 3],
        since: Time(BEGIN),
        by: "anna".into(),
        paused: None,
    }));
    keep(AccountChange::User(
        None,
        User {
            totp: vec![4, 5],
            recovery: vec![[6; 32]],
            disabled: Some(Time(BEGIN + 1)),
            ..person("bert")
        },
    ));
    keep(AccountChange::Token(Token {
        id: "t1".into(),
        owner: "grafana".into(),
        person: false,
        role: Role::Reporter,
        bounds: TokenRestrictions {
            reasons: vec!["relay".into()],
            sources: vec!["operator".into()],
            prefixes: vec!["45.0.0.0/8".parse().unwrap()],
        },
        hash: [7; 32],
        since: Time(BEGIN),
        by: "anna".into(),
        expires: Some(Time(BEGIN + 90 * DAY)),
        per_minute: Some(60),
        revoked: None,
    }));
    let idempotency_key = |n: u8| IdempotencyKey {
        key: [n; 16],
        body: u64::from(n),
    };
    let change = |subject: &str, command, tag: u8| {
        let mut change = Change::new(subject.parse::<Subject>().unwrap(), "anna", command);
        change.evidence = Some(Evidence {
            kind: EvidenceKind::Probe,
            text: "a transcript".into(),
        });
        change.preconditions.from = "192.0.2.1".into();
        change.preconditions.idempotency = (tag > 0).then(|| idempotency_key(tag));
        change.preconditions.open_end = OpenEnd::Never;
        change
    };
    let list = |until: Option<u64>, text: Option<&str>| Command::List {
        reason: RELAY,
        source: SourceId::OPERATOR,
        until: until.map(|d| Time(BEGIN + d * DAY)),
        text: text.into(),
    };
    let delist = |reason, source| Command::Delist {
        reason,
        source,
        hold: HoldFor::Usual,
    };
    import(
        &ledger,
        feed,
        &[
            (
                "46.1.0.0/16",
                entry(
                    Some("$ is bad"),
                    FeedPath::via(vec![StoreId(9)]),
                    false,
                    Some("score 7"),
                ),
            ),
            ("46.1.2.0/24", entry(None, FeedPath::Own, true, None)),
            (
                "46.2.2.2",
                entry(None, FeedPath::Untraced, false, Some("score 8")),
            ),
            ("46.3.3.3", entry(None, FeedPath::Own, false, None)),
        ],
    );
    let changes = [
        change("45.1.1.1", list(Some(30), Some("45.1.1.1 relays")), 1),
        change("45.1.1.2", list(None, None), 0),
        change("45.1.1.2", delist(None, None), 2),
        change(
            "45.1.1.3",
            Command::Exempt {
                until: Some(Time(BEGIN + 60 * DAY)),
            },
            0,
        ),
        change("45.1.1.4", Command::Exempt { until: None }, 0),
        change("45.1.1.4", Command::Unexempt, 0),
        change("2001:db9::/48", list(None, None), 0),
        change(".spam.example", list(None, None), 0),
        change(
            "45.1.1.5",
            Command::Hold {
                reason: RELAY,
                until: None,
            },
            0,
        ),
        change(
            "45.1.1.6",
            Command::Hold {
                reason: RELAY,
                until: None,
            },
            0,
        ),
        change("45.1.1.6", Command::Unhold { reason: None }, 0),
        change("46.1.7.7", delist(Some(RELAY), Some(feed)), 0),
        change("46.2.2.2", delist(Some(RELAY), Some(feed)), 0),
    ];
    for one_change in changes {
        ledger::tests::commit(&ledger, one_change).unwrap();
    }
    import(
        &ledger,
        feed,
        &[
            (
                "46.1.0.0/16",
                entry(Some("$ is worse"), FeedPath::Own, false, Some("score 9")),
            ),
            ("46.2.2.2", entry(None, FeedPath::Own, false, None)),
        ],
    );
    let proposal = change("45.1.1.9", list(Some(9), Some("text")), 3);
    keep(AccountChange::Proposal(Proposal {
        id: "p1".into(),
        at: Time(BEGIN),
        change: proposal,
        person: "anna".into(),
    }));
    keep(AccountChange::TokenUsed("t1".into(), Time(BEGIN)));
    keep(AccountChange::Import(
        "i1".into(),
        Time(BEGIN),
        "{\"state\":\"done\"}".into(),
    ));
    keep(AccountChange::Answer(idempotency_key(4), 201, "{}".into()));
    let held = HeldList {
        feed: "ipsum".into(),
        mark: (1, 2, 3, 4, 5),
        since: Time(BEGIN),
        entries: 7,
        refreshes: 2,
        refused: false,
        trip: GuardTrip {
            guard: Guard::Shrink,
            reason: "entries fall".into(),
            extents: Default::default(),
            difference: Default::default(),
        },
    };
    let event = FeedEvent {
        event: "feed-held",
        fields: serde_json::Map::new(),
        held: Some(held),
    };
    ledger.announce_feed(event).unwrap();
    ledger.stop().unwrap();
    std::fs::write("src/store/tests/store-6.rows", rows(&store(dir.path()))).unwrap();
}
