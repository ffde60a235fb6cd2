//! A ledger for unit tests, and the tests of failed commits.

use std::time::{Duration, Instant};

use super::{ExpiryBatch, Import, Ledger, LedgerError, LedgerSettings, ReasonSettings, Receipt};
use crate::{
    clock::{Clock, TrustAtStart, tests::ManualTime},
    dns::{AnswerKind, Peer, respond},
    index::Snapshot,
    model::{
        Change, EntryText, ReasonId, SourceId, Subject, Zone, history::Command, time::Seconds,
    },
    store::{
        CommitFault, Store,
        schema::{AuditRecord, FeedEntry},
        stage::Mode,
    },
};

pub(super) const DAY: u64 = 86_400;
pub(super) const BEGIN: i64 = 1_800_000_000;

const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }]
"#;
pub(super) const RELAY: ReasonId = ReasonId(0);

/// A small batch, so that a few subjects need several commits.
pub(super) const EXPIRY_BATCH: ExpiryBatch = ExpiryBatch(4);

/// Settings with one zone and one reason, published as a return code.
fn settings(code: &str) -> LedgerSettings {
    let zone: Zone = toml::from_str(&ZONE.replace("127.0.0.2", code)).unwrap();
    let relay = ReasonSettings {
        name: "relay".into(),
        text: "x".into(),
        lifetime: Some(Seconds(90 * DAY)),
        two_persons: false,
    };
    LedgerSettings {
        reasons: vec![relay],
        zones: vec![zone],
        expiry_batch: EXPIRY_BATCH,
        ..LedgerSettings::default()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Submits a change, and waits until it is committed.
pub(crate) fn commit(ledger: &Ledger, change: Change) -> Result<Receipt, LedgerError> {
    block_on(async { ledger.submit(change).await?.receipt().await })
}

/// A ledger on a machine whose clocks the test controls.
pub(super) struct Bench {
    pub(super) time: ManualTime,
    pub(super) dir: tempfile::TempDir,
    /// The settings with which the ledger starts.
    pub(super) settings: LedgerSettings,
    ledger: Option<Ledger>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let mut bench = Bench {
            time: ManualTime::at(BEGIN),
            dir: tempfile::tempdir().unwrap(),
            settings: settings("127.0.0.2"),
            ledger: None,
        };
        bench.start();
        bench
    }

    /// Starts the ledger, as the daemon does.
    pub(super) fn start(&mut self) {
        let path = self.dir.path().join("data");
        let store = crate::store::StoreSettings {
            path: path.clone(),
            journal_age: Seconds(DAY),
            journal_size: 1 << 30,
            feed_event_age: Seconds(DAY),
            scrub_interval: Seconds(0),
            scrub_rate: 1 << 23,
            open_tables: crate::store::MAX_OPEN_TABLES,
        };
        let clock = Clock::start(
            self.time.clone(),
            Some(path.join("clock")),
            TrustAtStart::Plausible,
            None,
        );
        self.ledger = Some(
            super::open(
                Store::open(store).unwrap(),
                self.settings.clone(),
                clock,
                || (),
            )
            .unwrap(),
        );
    }

    pub(super) fn stop(&mut self) {
        self.ledger.take().unwrap().stop().unwrap();
    }

    pub(super) fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    /// Lets time pass, checks the clock, and ends what is due.
    pub(super) fn pass(&self, seconds: u64) {
        self.time.run(&self.ledger().clock, seconds as i64);
        self.tick();
    }

    pub(super) fn tick(&self) {
        block_on(self.ledger().tick());
        self.ledger().call(|_| Ok(())).unwrap();
    }

    pub(super) fn change(&self, subject: &str, command: Command) {
        self.submit(subject, command).unwrap();
    }

    fn submit(&self, subject: &str, command: Command) -> Result<Receipt, LedgerError> {
        let change = Change::new(subject.parse().unwrap(), "anna", command);
        commit(self.ledger(), change)
    }

    pub(super) fn list(&self, subject: &str, days: u64) {
        let until = Some(self.ledger().now().plus(Seconds(days * DAY)));
        self.change(
            subject,
            Command::List {
                reason: RELAY,
                source: SourceId::OPERATOR,
                until,
                text: Default::default(),
            },
        );
    }

    pub(super) fn exempt(&self, subject: &str, days: u64) {
        self.change(
            subject,
            Command::Exempt {
                until: Some(self.ledger().now().plus(Seconds(days * DAY))),
            },
        );
    }

    /// Whether DNS lists an address.
    pub(super) fn listed(&self, addr: &str) -> bool {
        self.answer(addr).is_some()
    }

    /// The address that DNS answers with; `None` if the answer does not list.
    fn answer(&self, addr: &str) -> Option<[u8; 4]> {
        self.answer_from(&self.ledger().published.snapshot(), addr)
    }

    /// The same from a snapshot.
    fn answer_from(&self, snapshot: &Snapshot, addr: &str) -> Option<[u8; 4]> {
        let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in addr.rsplit('.').chain(["bl", "orbs", "example"]) {
            query.push(label.len() as u8);
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        let mut out = vec![0; 4096];
        let from = "192.0.2.1".parse().unwrap();
        let done = respond(
            snapshot,
            &query,
            Peer::udp(from),
            self.ledger().now(),
            &mut out,
        );
        (done.kind == AnswerKind::Listed).then(|| *out[..done.len].last_chunk().unwrap())
    }
}

impl Bench {
    /// Lists an address for 90 days.
    fn try_list(&self, addr: &str) -> Result<Receipt, LedgerError> {
        let command = Command::List {
            reason: RELAY,
            source: SourceId::OPERATOR,
            until: None,
            text: Default::default(),
        };
        self.submit(addr, command)
    }

    fn fail_commits(&self, fault: CommitFault) {
        *self.ledger().store.fault.lock() = Some(fault);
    }

    /// Lets commits succeed again, and waits until the ledger has found that out.
    fn recover(&self) {
        *self.ledger().store.fault.lock() = None;
        for _ in 0..200 {
            self.tick();
            if self.ledger().health.poisoned().is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("writes are refused: {:?}", self.ledger().health.poisoned());
    }
}

#[test]
fn failed_commit_stops_writes_until_the_store_works_again() {
    let b = Bench::new();
    b.try_list("45.1.1.1").unwrap();
    b.fail_commits(CommitFault::NotWritten);
    assert!(matches!(
        b.try_list("45.1.1.2"),
        Err(LedgerError::OutcomeUnknown(_))
    ));
    assert!(matches!(
        b.try_list("45.1.1.3"),
        Err(LedgerError::Unavailable(_))
    ));
    assert!(b.ledger().health.poisoned().is_some());
    assert!(b.listed("45.1.1.1"), "queries are answered meanwhile");
    assert!(!b.listed("45.1.1.2"));
    b.recover();
    b.try_list("45.1.1.3").unwrap();
    assert!(b.listed("45.1.1.3"));
    assert!(!b.listed("45.1.1.2"), "the failed commit was not stored");
}

#[test]
fn commit_stored_despite_its_error_is_published_after_recovery() {
    let b = Bench::new();
    b.try_list("45.1.1.1").unwrap();
    b.fail_commits(CommitFault::Written);
    assert!(matches!(
        b.try_list("45.1.1.2"),
        Err(LedgerError::OutcomeUnknown(_))
    ));
    assert!(matches!(
        b.try_list("45.1.1.3"),
        Err(LedgerError::Unavailable(_))
    ));
    assert!(!b.listed("45.1.1.2"), "not before its outcome is known");
    b.recover();
    assert!(b.listed("45.1.1.2") && !b.listed("45.1.1.3"));
    b.try_list("45.1.1.3").unwrap();
    let history = b.ledger().store.history(&Subject::host4(0x2d01_0102));
    assert_eq!(history.unwrap().len(), 1);
}

/// A configuration whose commit failed must not be served later under a serial that mirrors already
/// have for other content.
#[test]
fn reload_with_unknown_outcome_gives_each_content_its_own_serial() {
    let b = Bench::new();
    b.try_list("45.1.1.1").unwrap();
    let served = || {
        let serial = b.ledger().published.snapshot().serials[0];
        (serial, b.answer("45.1.1.1"))
    };
    let first = served();
    b.fail_commits(CommitFault::Written);
    assert!(matches!(
        b.ledger().configure(settings("127.0.0.9")),
        Err(LedgerError::OutcomeUnknown(_))
    ));
    assert!(matches!(
        b.ledger().configure(settings("127.0.0.9")),
        Err(LedgerError::Unavailable(_))
    ));
    assert_eq!(served(), first, "the old configuration stays");
    b.recover();
    let second = served();
    assert_eq!(second.1, first.1);
    assert!(second.0 > first.0);
    b.ledger().configure(settings("127.0.0.9")).unwrap();
    let third = served();
    assert_eq!(third.1, Some([127, 0, 0, 9]));
    assert!(third.0 > second.0);
    b.ledger().configure(settings("127.0.0.2")).unwrap();
    assert!(served().0 > third.0);
}

/// A commit moves an exemption from one host to the other, so that in each snapshot exactly one of
/// them is listed.
#[test]
fn a_query_never_sees_half_of_a_commit() {
    let b = Bench::new();
    let hosts = ["45.1.1.1", "45.1.1.2"];
    hosts.iter().for_each(|h| drop(b.try_list(h).unwrap()));
    b.exempt(hosts[0], 1000);
    let end = Instant::now() + Duration::from_secs(1);
    let commits_seen = std::thread::scope(|s| {
        let reader = || {
            let (mut last, mut seen) = ((0, None), 0);
            while Instant::now() < end {
                let snapshot = b.ledger().published.load();
                let now = (snapshot.seq, Some(snapshot.serials[0]));
                assert!(now >= last, "{now:?} after {last:?}");
                seen += u64::from(now > last);
                last = now;
                let listed = hosts.map(|h| b.answer_from(&snapshot, h).is_some());
                assert_ne!(listed[0], listed[1], "{now:?}");
            }
            seen
        };
        let readers = [s.spawn(reader), s.spawn(reader), s.spawn(reader)];
        let mut exempt = 0;
        while Instant::now() < end {
            let change =
                |host: usize, command| Change::new(hosts[host].parse().unwrap(), "anna", command);
            let changes = vec![
                change(exempt, Command::Unexempt),
                change(1 - exempt, Command::Exempt { until: None }),
            ];
            let done = b.ledger().submit_many(changes, AuditRecord::default());
            done.unwrap();
            exempt = 1 - exempt;
        }
        readers.map(|r| r.join().unwrap())
    });
    assert!(commits_seen.iter().all(|n| *n > 2), "{commits_seen:?}");
}

/// A list of a feed, which becomes its whole list or, with [`Mode::Remove`], leaves it.
fn import(ledger: &Ledger, source: SourceId, mode: Mode, hosts: &[&Subject]) {
    let mut import = Import {
        mode,
        ..Import::replace(source)
    };
    let imported = ledger.import_with(&mut import, |_, sink| {
        hosts.iter().try_for_each(|host| {
            let entry = FeedEntry {
                reason: RELAY,
                exclusion: false,
                implied: false,
                since: ledger.now(),
                text: EntryText::default(),
                note: None,
            };
            sink((*host).clone(), entry)
        })
    });
    imported.unwrap();
}

/// One feed has all hosts, and the other one in turn the even ones, the odd ones, and none after its
/// end. So whole commits list one of these sets, and half of an import another one.
#[test]
fn rule_over_two_sources_is_kept_while_a_feed_is_imported_and_ends() {
    // More entries of each list than one commit of the store has.
    const HOSTS: u32 = 44_000;
    let mut b = Bench::new();
    b.stop();
    b.settings.zones[0].publish[0].min_sources = Some(2);
    b.start();
    let hosts: Vec<Subject> = (0..HOSTS)
        .map(|n| Subject::host4(0x2d01_0000 + n))
        .collect();
    let of_parity =
        |parity: usize| -> Vec<&Subject> { hosts.iter().skip(parity).step_by(2).collect() };
    let ledger = b.ledger();
    let [all, some] = ["feed-a", "feed-b"].map(|name| ledger.source(name).unwrap());
    import(
        ledger,
        all,
        Mode::Replace,
        &hosts.iter().collect::<Vec<_>>(),
    );
    let end = Instant::now() + Duration::from_secs(4);
    let seen = std::thread::scope(|s| {
        let reader = || {
            let (mut last, mut seen) = (0, [0; 3]);
            while Instant::now() < end {
                let snapshot = ledger.published.load();
                assert!(snapshot.seq >= last);
                last = snapshot.seq;
                let listed: Vec<bool> = (0..HOSTS)
                    .step_by(997)
                    .map(|n| format!("45.1.{}.{}", n >> 8, n & 255))
                    .map(|host| b.answer_from(&snapshot, &host).is_some())
                    .collect();
                // The step is odd, so that even and odd hosts take turns.
                let state = match listed.contains(&true) {
                    false => 2,
                    true => usize::from(!listed[0]),
                };
                let is_listed = |i: usize| state < 2 && i % 2 == state;
                let is_whole = (0..listed.len()).all(|i| listed[i] == is_listed(i));
                assert!(is_whole, "commit {last}: {listed:?}");
                seen[state] += 1;
            }
            seen
        };
        let readers = [s.spawn(reader), s.spawn(reader)];
        while Instant::now() < end {
            for parity in [0, 1] {
                import(ledger, some, Mode::Replace, &of_parity(parity));
            }
            import(ledger, some, Mode::Remove, &of_parity(1));
        }
        readers.map(|r| r.join().unwrap())
    });
    let total = [0, 1, 2].map(|state| seen[0][state] + seen[1][state]);
    assert!(total.iter().all(|n| *n > 0), "{total:?}");
}
