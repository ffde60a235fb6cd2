//! Tests of the service with a store, whose time the test moves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{entry::PRIVATE_PERIOD, *};
use crate::{
    ledger::{LedgerError, Undo, tests::commit},
    model::{
        Change, Preconditions, SourceId, Subject, Time, Zone,
        history::{Command, HoldFor},
        time::Seconds,
    },
    relay::tests::Bench as RelayBench,
};

const DAY: u64 = 86_400;
const NET: &str = "127.64.1.0/24";
const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "netblock", code = "127.0.0.4" }, { reason = "relay", code = "127.0.0.2" }]
"#;

/// Authors and the persons that they act for: the program of anna is anna.
const AUTHORS: [(&str, &str); 4] = [
    ("anna", "anna"),
    ("annas-program", "anna"),
    ("bert", "bert"),
    ("carl", "carl"),
];

struct Bench {
    relay: RelayBench,
    netblocks: NetblockService,
}

impl Bench {
    fn new() -> Bench {
        let zone: Zone = toml::from_str(ZONE).unwrap();
        let relay = RelayBench::with(&["netblock"], vec![zone]);
        let known = KnownSenders::parse("127.64.1.16/28 Example Mail").unwrap();
        let netblocks = NetblockService::new(relay.ledger().clone(), known, Default::default());
        Bench { relay, netblocks }
    }

    fn now(&self) -> Time {
        self.relay.now
    }

    fn later(&mut self, seconds: u64) {
        self.relay.later(seconds);
    }

    fn after(&self, days: u64) -> Time {
        self.now().plus(Seconds(days * DAY))
    }

    fn propose(&self, prefix: &str, days: u64, by: usize) -> Result<Netblock, NetblockError> {
        let new = NewNetblock {
            prefix: net(prefix),
            text: NetblockText::SpamFromMany { addresses: 120 },
            until: self.after(days),
            note: "a private note".into(),
        };
        self.netblocks.propose(new, &author(by), self.now())
    }

    fn ask(&self, prefix: &str, by: usize) -> Result<Netblock, NetblockError> {
        let contact = NetblockContact {
            asked_at: self.now(),
            request: ContactRequest::Complaint,
            answer: ContactAnswer::None,
            answered_at: None,
            address: "abuse@isp.example".into(),
            words: "private words".into(),
            author: author(by).name,
        };
        let prefix = net(prefix);
        self.netblocks
            .add_contact(&prefix, contact, &author(by), self.now())
    }

    fn approve(&self, prefix: &str, by: usize) -> Result<Netblock, NetblockError> {
        self.netblocks
            .approve(&net(prefix), &author(by), self.now())
    }

    fn renew(&self, prefix: &str, days: u64, by: usize) -> Result<Netblock, NetblockError> {
        let until = self.after(days);
        self.netblocks
            .renew(&net(prefix), until, &author(by), self.now())
    }

    fn refuse(&self, prefix: &str, by: usize) -> Result<Netblock, NetblockError> {
        self.netblocks.refuse(&net(prefix), &author(by), self.now())
    }

    fn get(&self, prefix: &str) -> Result<Netblock, NetblockError> {
        self.netblocks.get(&net(prefix), self.now())
    }

    fn tick(&self) {
        self.netblocks.tick(self.now()).unwrap();
    }

    /// The end of the listing of a prefix; `None` if it is not listed.
    fn listed_until(&self, prefix: &str) -> Option<Time> {
        let store = &self.netblocks.ledger.store;
        let reason = store.dictionary().reasons.get("netblock").unwrap();
        let verdict = store.verdict(&net(prefix)).unwrap();
        verdict.entry(reason, SourceId::OPERATOR)?.until
    }

    fn change(&self, prefix: &str, command: Command) -> Result<u64, LedgerError> {
        let mut change = Change::new(net(prefix), "operator", command);
        change.preconditions.special = true;
        commit(&self.netblocks.ledger, change).map(|r| r.commit)
    }

    fn delist(&self, prefix: &str) -> Result<u64, LedgerError> {
        let reason = self
            .netblocks
            .ledger
            .store
            .dictionary()
            .reasons
            .get("netblock");
        let command = Command::Delist {
            reason,
            source: None,
            hold: HoldFor::Nothing,
        };
        self.change(prefix, command)
    }

    fn list(&self, subject: &str, reason: &str) -> Result<u64, LedgerError> {
        let reason = self.netblocks.ledger.store.dictionary().reasons.get(reason);
        let command = Command::List {
            reason: reason.unwrap(),
            source: SourceId::OPERATOR,
            until: None,
            text: Default::default(),
        };
        self.change(subject, command)
    }

    /// A listed network, proposed by anna and approved by bert.
    fn listed(prefix: &str, days: u64) -> Bench {
        let b = Bench::new();
        b.propose(prefix, days, 0).unwrap();
        b.ask(prefix, 0).unwrap();
        b.approve(prefix, 2).unwrap();
        b
    }
}

fn net(text: &str) -> Subject {
    text.parse().unwrap()
}

fn author(n: usize) -> NetblockAuthor {
    let (name, person) = AUTHORS[n];
    NetblockAuthor {
        name: name.into(),
        person: person.into(),
        from: "socket".into(),
        idempotency: None,
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, NetblockError>) -> String {
    match result.unwrap_err() {
        NetblockError::Invalid(why)
        | NetblockError::Refused(why)
        | NetblockError::SamePerson(why)
        | NetblockError::NotFound(why) => why,
        NetblockError::Ledger(e) => format!("{e:?}"),
    }
}

#[test]
fn network_is_listed_after_another_person_has_approved_it() {
    let b = Bench::new();
    b.propose(NET, 90, 0).unwrap();
    assert_eq!(b.listed_until(NET), None);
    assert!(refused(b.approve(NET, 2)).contains("what its owner was asked"));
    b.ask(NET, 0).unwrap();
    for by in [0, 1] {
        let e = b.approve(NET, by).unwrap_err();
        assert!(matches!(e, NetblockError::SamePerson(_)), "{e:?}");
        assert_eq!(b.listed_until(NET), None);
    }
    let entry = b.approve(NET, 2).unwrap();
    assert_eq!(entry.state, NetblockState::Listed);
    assert_eq!(b.listed_until(NET), Some(b.after(90)));
    assert!(refused(b.approve(NET, 3)).contains("nothing about"));
    assert!(refused(b.propose(NET, 90, 3)).contains("listed already"));
    assert!(b.netblocks.has_public_page(&net(NET)).unwrap());
}

#[test]
fn owner_need_not_be_asked_about_a_hijacked_network() {
    let b = Bench::new();
    let new = NewNetblock {
        prefix: net(NET),
        text: NetblockText::Hijacked {},
        until: b.after(30),
        note: String::new(),
    };
    b.netblocks.propose(new, &author(0), b.now()).unwrap();
    assert_eq!(b.approve(NET, 2).unwrap().state, NetblockState::Listed);
}

#[test]
fn fields_that_cannot_be_true_are_refused() {
    let b = Bench::new();
    assert!(refused(b.propose("127.64.1.7", 9, 0)).contains("prefix of several addresses"));
    assert!(refused(b.propose("10.0.0.0/8", 9, 0)).contains("cannot be listed"));
    assert!(refused(b.propose(NET, 0, 0)).contains("in the past"));
    assert!(refused(b.propose(NET, 367, 0)).contains("more than a year"));
    let with = |text| NewNetblock {
        prefix: net(NET),
        text,
        until: b.after(9),
        note: String::new(),
    };
    let none = with(NetblockText::SpamFromMany { addresses: 0 });
    assert!(refused(b.netblocks.propose(none, &author(0), b.now())).contains("addresses"));
    let mut long = with(NetblockText::SpamSupport {});
    long.note = "x".repeat(2001);
    assert!(refused(b.netblocks.propose(long, &author(0), b.now())).contains("2000 bytes"));
    b.propose(NET, 366, 0).unwrap();
    let answer = |at| {
        let answer = (ContactAnswer::Refused, at);
        b.netblocks
            .answer_contact(&net(NET), 1, answer, &author(0), b.now())
    };
    assert!(refused(answer(Some(b.now()))).contains("no contact 1"));
    b.ask(NET, 0).unwrap();
    assert!(refused(answer(None)).contains("required with an answer"));
    assert!(refused(answer(Some(b.after(1)))).contains("in the future"));
    let answered = answer(Some(b.now())).unwrap();
    assert_eq!(answered.contacts[0].answer, ContactAnswer::Refused);
    assert!(refused(b.renew(NET, 90, 0)).contains("only a listed one"));
}

#[test]
fn entry_without_an_approved_renewal_ends_at_its_end() {
    let mut b = Bench::listed(NET, 30);
    let end = b.after(30);
    b.later(29 * DAY);
    b.renew(NET, 60, 0).unwrap();
    assert!(refused(b.renew(NET, 90, 3)).contains("waits for another person"));
    assert_eq!(b.listed_until(NET), Some(end), "it is not approved");
    b.later(DAY);
    // A page shows the end before the next tick stores it.
    let entry = b.get(NET).unwrap();
    assert_eq!(entry.ended, Some((end, NetblockEnd::Expired)));
    assert!(refused(b.approve(NET, 2)).contains("is ended"));
    b.tick();
    assert_eq!(b.listed_until(NET), None, "by the end of the entry");
    assert_eq!(b.get(NET).unwrap().state, NetblockState::Ended);
}

#[test]
fn renewal_of_two_persons_moves_the_end() {
    let mut b = Bench::listed(NET, 30);
    b.later(20 * DAY);
    assert!(refused(b.renew(NET, 5, 0)).contains("not later than the present end"));
    assert!(refused(b.renew(NET, 400, 0)).contains("more than a year"));
    b.renew(NET, 100, 2).unwrap();
    assert!(matches!(
        b.approve(NET, 2),
        Err(NetblockError::SamePerson(_))
    ));
    // The person who proposed the entry may approve the renewal of another one.
    let entry = b.approve(NET, 0).unwrap();
    assert_eq!(entry.renewed, [b.now()]);
    assert_eq!(b.listed_until(NET), Some(b.after(100)));
    b.renew(NET, 200, 2).unwrap();
    b.refuse(NET, 3).unwrap();
    let entry = b.get(NET).unwrap();
    assert_eq!((entry.state, entry.renewal), (NetblockState::Listed, None));
    b.later(99 * DAY);
    b.tick();
    assert_eq!(b.get(NET).unwrap().state, NetblockState::Listed);
}

#[test]
fn delisting_ends_the_entry() {
    let mut b = Bench::listed(NET, 30);
    b.renew(NET, 60, 0).unwrap();
    b.later(60);
    b.delist(NET).unwrap();
    let end = Some((b.now(), NetblockEnd::Delisted));
    assert_eq!(b.get(NET).unwrap().ended, end);
    assert!(refused(b.approve(NET, 2)).contains("is ended"));
    assert_eq!(b.listed_until(NET), None);
    b.tick();
    b.later(60);
    assert_eq!(b.get(NET).unwrap().ended, end, "the tick has stored it");
    // A new entry continues the history.
    let steps = b.get(NET).unwrap().history.len();
    let entry = b.propose(NET, 30, 2).unwrap();
    assert_eq!(entry.history.len(), steps + 1);
    assert!(entry.contacts.is_empty() && !entry.is_public());
}

#[test]
fn proposal_that_nobody_approves_lapses() {
    let mut b = Bench::new();
    b.propose(NET, 90, 0).unwrap();
    assert!(refused(b.propose(NET, 90, 2)).contains("already"));
    b.later(30 * DAY);
    assert!(refused(b.approve(NET, 2)).contains("is ended"));
    let lapsed = b.get(NET).unwrap().ended.map(|(_, end)| end);
    assert_eq!(lapsed, Some(NetblockEnd::NotApproved));
    b.propose(NET, 90, 0).unwrap();
    assert_eq!(b.refuse(NET, 0).unwrap().state, NetblockState::Ended);
    assert!(!b.netblocks.has_public_page(&net(NET)).unwrap());
}

#[test]
fn private_parts_and_then_the_entry_are_erased() {
    let mut b = Bench::listed(NET, 30);
    let private = ["a private note", "abuse@isp.example", "private words"];
    let stored = |b: &Bench, text: &str| {
        let found = b.netblocks.ledger.store.families_with(text.as_bytes());
        found.unwrap().contains(&"netblocks")
    };
    b.later(30 * DAY);
    b.tick();
    assert!(private.iter().all(|text| stored(&b, text)));
    b.later(PRIVATE_PERIOD.0);
    b.tick();
    assert!(!private.iter().any(|text| stored(&b, text)));
    assert_eq!(b.get(NET).unwrap().contacts.len(), 1);
    b.later(300 * DAY);
    b.tick();
    assert!(refused(b.get(NET)).contains("there is no entry"));
}

#[test]
fn private_texts_that_name_a_person_are_erased_on_request() {
    let b = Bench::listed(NET, 30);
    let named = |text: &str| text.contains("isp.example");
    let found = b.netblocks.find_texts(&named).unwrap();
    assert_eq!(found, [(net(NET), "abuse@isp.example".to_string())]);
    assert_eq!(b.netblocks.erase_texts(&named).unwrap(), 1);
    let entry = b.get(NET).unwrap();
    assert_eq!(entry.contacts[0].address, crate::model::retention::ERASED);
    assert_eq!(entry.contacts[0].words, "private words");
    assert_eq!(b.netblocks.erase_texts(&named).unwrap(), 0);
    assert_eq!(entry.state, NetblockState::Listed);
}

#[test]
fn collateral_names_what_a_listing_covers() {
    let b = Bench::new();
    b.list("127.64.1.7", "relay").unwrap();
    b.list("127.64.1.64/26", "relay").unwrap();
    b.list("127.64.1.65", "relay").unwrap();
    b.list("127.64.2.1", "relay").unwrap();
    b.change("127.64.1.200", Command::Exempt { until: None })
        .unwrap();
    let found = b.netblocks.collateral(&net(NET)).unwrap();
    assert_eq!(found.addresses, 256);
    assert_eq!(found.listed, BTreeMap::from([("relay".into(), 65)]));
    assert_eq!(found.exemptions, [net("127.64.1.200")]);
    assert_eq!(found.known_senders[0].name, "Example Mail");
    assert!(found.is_complete);
    b.list("127.64.0.0/16", "netblock").unwrap();
    let found = b.netblocks.collateral(&net(NET)).unwrap();
    assert_eq!(found.listed["netblock"], 256);
}

#[test]
fn required_entries_refuse_every_other_listing_of_a_prefix() {
    let b = Bench::listed(NET, 30);
    let ledger = &b.netblocks.ledger;
    let mut settings = (*ledger.settings()).clone();
    settings.netblocks.required = true;
    ledger.configure(settings).unwrap();
    for reason in ["relay", "netblock"] {
        for prefix in ["127.64.9.0/24", "127.64.9.0/31", NET] {
            let e = b.list(prefix, reason).unwrap_err();
            assert!(
                matches!(&e, LedgerError::Conflict(why) if why.contains("orbsd netblock propose")),
                "{prefix}: {e:?}"
            );
        }
        b.list("127.64.9.1", reason).unwrap();
    }
    // The undo of a removal would list it again by the decision of one person.
    let seq = b.delist(NET).unwrap();
    let undo = Undo {
        seq,
        author: "anna".into(),
        why: None,
        preconditions: Preconditions::default(),
        of: None,
        dry_run: false,
    };
    assert!(matches!(ledger.undo(&undo), Err(LedgerError::Conflict(_))));
    assert_eq!(b.listed_until(NET), None);
    b.propose(NET, 30, 0).unwrap();
    b.ask(NET, 0).unwrap();
    b.approve(NET, 2).unwrap();
    assert!(b.listed_until(NET).is_some());
}

/// A step of a random history; the numbers are a network, an author and days.
#[derive(Debug, Clone, Copy)]
enum Step {
    Propose(usize, usize, u64),
    Ask(usize, usize),
    Approve(usize, usize),
    Renew(usize, usize, u64),
    Refuse(usize, usize),
    Delist(usize),
    Later(u64),
}

const NETS: [&str; 2] = [NET, "127.64.0.0/16"];

fn step() -> impl Strategy<Value = Step> {
    let (net, by) = (0..NETS.len(), 0..AUTHORS.len());
    prop_oneof![
        3 => (net.clone(), by.clone(), 1u64..400).prop_map(|(n, b, d)| Step::Propose(n, b, d)),
        3 => (net.clone(), by.clone()).prop_map(|(n, b)| Step::Ask(n, b)),
        5 => (net.clone(), by.clone()).prop_map(|(n, b)| Step::Approve(n, b)),
        3 => (net.clone(), by.clone(), 1u64..400).prop_map(|(n, b, d)| Step::Renew(n, b, d)),
        1 => (net.clone(), by).prop_map(|(n, b)| Step::Refuse(n, b)),
        1 => net.prop_map(Step::Delist),
        2 => (1u64..60).prop_map(Step::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The model knows only who proposed last. Whenever a listing appears or ends later than before,
    /// the step was an approval by another person, and the end is at most a year ahead.
    #[test]
    fn no_history_of_commands_lists_a_network_by_one_person(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut b = Bench::new();
        let mut proposers: BTreeMap<usize, usize> = BTreeMap::new();
        let mut before = [None, None];
        for step in steps {
            let (mut approver, mut proposer) = (None, None);
            match step {
                Step::Propose(n, by, days) => {
                    proposer = b.propose(NETS[n], days, by).ok().map(|_| (n, by));
                }
                Step::Renew(n, by, days) => {
                    proposer = b.renew(NETS[n], days, by).ok().map(|_| (n, by));
                }
                Step::Ask(n, by) => drop(b.ask(NETS[n], by)),
                Step::Approve(n, by) => {
                    approver = b.approve(NETS[n], by).ok().map(|_| (n, by));
                }
                Step::Refuse(n, by) => drop(b.refuse(NETS[n], by)),
                Step::Delist(n) => drop(b.delist(NETS[n])),
                Step::Later(days) => b.later(days * DAY),
            }
            b.tick();
            for (n, before) in before.iter_mut().enumerate() {
                let until = b.listed_until(NETS[n]);
                if until > *before {
                    let (of, by) = approver.expect("only an approval lists");
                    let proposed_by = proposers[&n];
                    prop_assert_eq!(of, n);
                    prop_assert_ne!(AUTHORS[by].1, AUTHORS[proposed_by].1);
                    prop_assert!(until <= Some(b.now().plus(MAX_PERIOD)));
                }
                let state = b.get(NETS[n]).ok().map(|e| (e.state, e.until));
                let is_listed = until.map(|until| (NetblockState::Listed, until));
                prop_assert_eq!(is_listed, state.filter(|s| s.0 == NetblockState::Listed));
                *before = until;
            }
            proposers.extend(proposer);
        }
    }
}
