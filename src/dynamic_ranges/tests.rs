//! Tests of the service with a store, the service of tickets, and a DNS of the test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod properties;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    edit::{ENTRY_PERIOD, EditAction, ProvidedEntry, ProviderEdit},
    provider::{ProofResult, ProviderState, RangeProvider},
    service::DynamicRangeService,
    tables::{EDITS, ENTRIES, PROVIDERS, RangeBatch},
};
use crate::{
    ledger::{Undo, tests::commit},
    model::{
        Change, Preconditions, ReasonId, SourceId, Subject, Time, Verdict,
        history::{Command, HoldFor},
        time::Seconds,
    },
    random::Random,
    store::schema::AuditRecord,
    tickets::{TicketError, TicketState, control_dns::ProofDns, tests::Bench as TicketBench},
};

const DAY: u64 = 86_400;
/// The range of the first provider, whose reverse zone is 8.64.127 and 9.64.127.
const RANGE: &str = "127.64.8.0/23";
/// A part of it that is delegated to somebody else by CNAME (RFC 2317).
const DELEGATED_HOST: &str = "127.64.8.200";

/// DNS of a test: zones by apex, CNAMEs, and TXT records that all share one text.
#[derive(Default)]
struct FakeDns {
    apexes: Mutex<Vec<String>>,
    aliases: Mutex<Vec<(String, String)>>,
    texts: Mutex<Vec<(String, String)>>,
    is_down: Mutex<bool>,
    is_silent: Mutex<bool>,
}

#[async_trait]
impl ProofDns for FakeDns {
    async fn pointers(&self, _: IpAddr) -> Vec<String> {
        Vec::new()
    }
    async fn addresses(&self, _: &str) -> Result<Vec<IpAddr>, String> {
        Ok(Vec::new())
    }
    async fn exchanges(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        if *self.is_down.lock() {
            return Err(format!("{name}: no answer"));
        }
        if *self.is_silent.lock() {
            std::future::pending::<()>().await;
        }
        let texts = self.texts.lock();
        let found = texts.iter().filter(|(owner, _)| owner == name);
        Ok(found.map(|(_, text)| text.clone()).collect())
    }
    async fn zone_apex(&self, name: &str) -> Result<Option<String>, String> {
        if *self.is_down.lock() {
            return Err(format!("{name}: no answer"));
        }
        let aliases = self.aliases.lock();
        let target = aliases.iter().find(|(owner, _)| owner == name);
        let name = target.map_or(name, |(_, target)| target);
        let apexes = self.apexes.lock();
        let has = |apex: &&String| name == **apex || name.ends_with(&format!(".{apex}"));
        Ok(apexes.iter().filter(has).max_by_key(|a| a.len()).cloned())
    }
}

struct Bench {
    tickets: TicketBench,
    ranges: DynamicRangeService,
    dns: Arc<FakeDns>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Bench {
        let mut tickets = TicketBench::new();
        let dns = Arc::new(FakeDns::default());
        dns.apexes.lock().extend(
            ["8.64.127", "9.64.127", "10.64.127"].map(|labels| format!("{labels}.in-addr.arpa")),
        );
        let more = ["64.127", "customer.8.64.127"];
        dns.apexes
            .lock()
            .extend(more.map(|labels| format!("{labels}.in-addr.arpa")));
        dns.aliases.lock().push((
            "200.8.64.127.in-addr.arpa".into(),
            "200.customer.8.64.127.in-addr.arpa".into(),
        ));
        tickets.tickets = tickets.tickets.clone().with_dns(dns.clone());
        let ranges =
            DynamicRangeService::new(tickets.tickets.clone(), "dynamic".into(), Random::seeded(5));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Bench {
            tickets,
            ranges,
            dns,
            runtime,
        }
    }

    fn now(&self) -> Time {
        self.tickets.now()
    }

    fn reason(&self) -> ReasonId {
        let dictionary = self.ranges.ledger.store.dictionary();
        dictionary.reasons.get("dynamic").unwrap()
    }

    fn open(&self, range: &str) -> RangeProvider {
        self.ranges.open(subject(range), self.now()).unwrap()
    }

    /// Puts the record of a provider into DNS, and looks for it.
    fn prove(&self, provider: &RangeProvider) {
        self.check(provider);
        let names = self.get(provider).zones;
        let text = provider.record_text();
        let records = names.into_iter().map(|name| (name, text.clone()));
        self.dns.texts.lock().extend(records);
        self.check(provider);
    }

    fn check(&self, provider: &RangeProvider) {
        self.runtime
            .block_on(self.ranges.check(provider.number))
            .unwrap();
    }

    /// A provider that has proved a range.
    fn proved(&self, range: &str) -> RangeProvider {
        let provider = self.open(range);
        self.prove(&provider);
        self.get(&provider)
    }

    fn get(&self, provider: &RangeProvider) -> RangeProvider {
        self.ranges.get(provider.number).unwrap()
    }

    fn edit(
        &self,
        provider: &RangeProvider,
        action: EditAction,
        of: &str,
    ) -> Result<RangeProvider, TicketError> {
        let edit = self.ranges.edit(provider.number, action, subject(of));
        self.runtime.block_on(edit)
    }

    fn undo(&self, provider: &RangeProvider, edit: u64) -> Result<RangeProvider, TicketError> {
        self.runtime
            .block_on(self.ranges.undo(provider.number, edit))
    }

    fn verdict(&self, of: &str) -> Verdict {
        self.ranges.ledger.store.verdict(&subject(of)).unwrap()
    }

    fn is_listed(&self, address: &str) -> bool {
        let listings = self.tickets.tickets.listings(&subject(address)).unwrap();
        !listings.is_empty()
    }

    /// The subjects of the entries in force.
    fn entries(&self, provider: &RangeProvider) -> Vec<String> {
        let detail = self.ranges.detail(self.get(provider)).unwrap();
        let mut out: Vec<String> = detail
            .entries
            .iter()
            .map(|e| e.subject.to_string())
            .collect();
        out.sort();
        out
    }

    /// The audit records, the newest first.
    fn audit(&self) -> Vec<AuditRecord> {
        let mut out = Vec::new();
        let store = &self.ranges.ledger.store;
        store
            .audit(u64::MAX, &mut |_, record| {
                out.push(record);
                true
            })
            .unwrap();
        out
    }

    fn last_commit(&self) -> u64 {
        let commits = self.audit().into_iter().filter_map(|r| r.commit);
        commits.max().unwrap()
    }

    fn undo_as_operator(&self, seq: u64, breaks_hold: bool) -> usize {
        let undo = Undo {
            seq,
            author: "anna".into(),
            why: None,
            preconditions: Preconditions {
                breaks_hold,
                ..Preconditions::default()
            },
            of: None,
            dry_run: false,
        };
        self.ranges.ledger.undo(&undo).unwrap().undone.len()
    }

    fn change(&self, of: &str, command: Command) {
        let mut change = Change::new(subject(of), "anna", command);
        change.preconditions.special = true;
        let _ = commit(&self.ranges.ledger, change);
    }

    fn list(&self, of: &str) {
        let command = Command::List {
            reason: self.reason(),
            source: SourceId::OPERATOR,
            until: None,
            text: Default::default(),
        };
        self.change(of, command);
    }
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T, TicketError>) -> String {
    match result.unwrap_err() {
        TicketError::Invalid(why)
        | TicketError::Refused(why)
        | TicketError::NotFound(why)
        | TicketError::LimitReached(why, _) => why,
        TicketError::Ledger(e) => format!("{e:?}"),
    }
}

#[test]
fn provider_edits_nothing_before_its_record_is_at_every_apex() {
    let b = Bench::new();
    let p = b.open(RANGE);
    b.check(&p);
    let names = ["8.64.127.in-addr.arpa", "9.64.127.in-addr.arpa"];
    assert_eq!(b.get(&p).zones, names);
    let text = p.record_text();
    b.dns.texts.lock().push((names[0].into(), text.clone()));
    b.check(&p);
    assert_eq!(b.get(&p).state(b.now()), ProviderState::Requested);
    let why = refused(b.edit(&p, EditAction::Add, "127.64.8.0/24"));
    assert!(why.contains("not proved yet"), "{why}");
    b.dns.texts.lock().push((names[1].into(), text));
    b.check(&p);
    assert_eq!(b.get(&p).state(b.now()), ProviderState::Proved);
    b.edit(&p, EditAction::Add, "127.64.8.0/24").unwrap();
    assert!(b.is_listed("127.64.8.7"));
}

#[test]
fn check_whose_request_was_given_up_does_not_prevent_the_next_one() {
    let b = Bench::new();
    let p = b.open(RANGE);
    *b.dns.is_silent.lock() = true;
    let given_up = b.runtime.block_on(async {
        let check = b.ranges.check(p.number);
        tokio::time::timeout(Duration::from_millis(20), check).await
    });
    assert!(given_up.is_err());
    *b.dns.is_silent.lock() = false;
    b.prove(&p);
    assert_eq!(b.get(&p).state(b.now()), ProviderState::Proved);
}

#[test]
fn range_that_lies_in_a_removed_one_is_not_listed_by_its_provider() {
    let b = Bench::new();
    let (wide, narrow) = (b.proved(RANGE), b.proved("127.64.8.0/24"));
    b.ranges
        .remove(wide.number, false, ("anna", "socket", None), b.now())
        .unwrap();
    let why = refused(b.edit(&narrow, EditAction::Add, "127.64.8.0/24"));
    assert!(why.contains("ask again after"), "{why}");
    assert!(!b.is_listed("127.64.8.24"));
}

#[test]
fn provider_without_a_proof_sees_no_entries_of_others() {
    let b = Bench::new();
    let (p, stranger) = (b.proved(RANGE), b.open(RANGE));
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    assert_eq!(b.entries(&p), [RANGE]);
    assert_eq!(b.entries(&stranger), [""; 0]);
}

#[test]
fn record_of_another_provider_proves_nothing() {
    let b = Bench::new();
    let (p, other) = (b.open("127.64.9.0/24"), b.open("127.64.9.0/24"));
    b.prove(&other);
    b.check(&p);
    assert_eq!(b.get(&p).state(b.now()), ProviderState::Requested);
    assert_eq!(b.get(&other).state(b.now()), ProviderState::Proved);
}

#[test]
fn provider_lists_a_range_and_takes_a_static_host_out_of_it() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.edit(&p, EditAction::TakeOut, "127.64.8.25").unwrap();
    assert!(b.is_listed("127.64.8.24") && b.is_listed("127.64.9.1"));
    assert!(!b.is_listed("127.64.8.25"));
    assert_eq!(b.entries(&p), ["127.64.8.0/23", "127.64.8.25"]);
    b.edit(&p, EditAction::PutBack, "127.64.8.25").unwrap();
    assert!(b.is_listed("127.64.8.25"));
    b.edit(&p, EditAction::Remove, RANGE).unwrap();
    assert!(!b.is_listed("127.64.8.24"));
    assert_eq!(b.entries(&p), [""; 0]);
}

#[test]
fn each_edit_has_an_audit_record_with_its_provider() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.edit(&p, EditAction::TakeOut, "127.64.8.25").unwrap();
    let all = b.audit();
    for (action, target) in [
        ("provider.request", RANGE),
        ("provider.prove", RANGE),
        ("provider.add", RANGE),
        ("list", RANGE),
        ("provider.take-out", "127.64.8.25"),
        ("hold", "127.64.8.25"),
    ] {
        let found = all
            .iter()
            .find(|r| r.action == action && r.target == target);
        let record = found.unwrap_or_else(|| panic!("{action} {target}: {all:#?}"));
        assert_eq!(record.author, "provider 1", "{action}");
        let text = serde_json::to_string(record).unwrap();
        assert!(!text.contains(p.secret.as_str()), "{text}");
    }
}

#[test]
fn provider_undoes_each_of_its_edits_once() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.edit(&p, EditAction::TakeOut, "127.64.8.25").unwrap();
    b.undo(&p, 2).unwrap();
    assert!(b.is_listed("127.64.8.25"));
    assert!(refused(b.undo(&p, 2)).contains("undone already"));
    b.undo(&p, 3).unwrap();
    assert!(!b.is_listed("127.64.8.25"), "the undo is undone");
    b.edit(&p, EditAction::Remove, RANGE).unwrap();
    b.undo(&p, 5).unwrap();
    assert!(b.is_listed("127.64.8.24"));
    b.undo(&p, 6).unwrap();
    assert!(!b.is_listed("127.64.8.24"));
    assert!(refused(b.undo(&p, 99)).contains("no edit 99"));
    let edits = b.ranges.detail(b.get(&p)).unwrap().edits;
    assert_eq!(edits.len(), 7);
    assert_eq!(edits[0].reverts, Some(6));
    assert_eq!(edits[5].reverted_by, Some(3));
}

#[test]
fn operator_undoes_each_edit_of_a_provider() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    let added = b.last_commit();
    b.edit(&p, EditAction::TakeOut, "127.64.8.25").unwrap();
    assert_eq!(
        b.undo_as_operator(b.last_commit(), false),
        0,
        "it is a hold"
    );
    assert_eq!(b.undo_as_operator(b.last_commit(), true), 1);
    assert!(b.is_listed("127.64.8.25"));
    assert_eq!(b.entries(&p), [RANGE]);
    assert_eq!(b.undo_as_operator(added, false), 1);
    assert!(!b.is_listed("127.64.8.24"));
    assert_eq!(b.entries(&p), [""; 0]);
    assert!(refused(b.undo(&p, 1)).contains("not listed by you"));
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.edit(&p, EditAction::Remove, RANGE).unwrap();
    assert_eq!(b.undo_as_operator(b.last_commit(), false), 1);
    assert!(b.is_listed("127.64.8.24"), "the removal is undone");
    refused(b.edit(&p, EditAction::Remove, RANGE));
    assert!(b.is_listed("127.64.8.24"), "by a decision of the operator");
}

#[test]
fn zone_that_is_delegated_is_not_proved_by_the_zone_above() {
    let b = Bench::new();
    let p = b.proved("127.64.8.0/24");
    let why = refused(b.edit(&p, EditAction::TakeOut, DELEGATED_HOST));
    assert!(why.contains("customer.8.64.127.in-addr.arpa"), "{why}");
    let why = refused(b.edit(&p, EditAction::Add, "127.64.8.192/28"));
    assert!(why.contains("customer.8.64.127.in-addr.arpa"), "{why}");
    b.edit(&p, EditAction::Add, "127.64.8.128/26").unwrap();
    let outside = refused(b.edit(&p, EditAction::Add, "127.64.9.0/24"));
    assert!(outside.contains("not within 127.64.8.0/24"), "{outside}");
    // A /24 that is delegated after the proof.
    let p = b.proved("127.64.12.0/23");
    assert_eq!(p.zones, ["64.127.in-addr.arpa"]);
    b.dns.apexes.lock().push("12.64.127.in-addr.arpa".into());
    for range in ["127.64.12.0/23", "127.64.12.0/24"] {
        let why = refused(b.edit(&p, EditAction::Add, range));
        assert!(why.contains("12.64.127.in-addr.arpa"), "{range}: {why}");
    }
    b.edit(&p, EditAction::Add, "127.64.13.0/24").unwrap();
}

#[test]
fn edit_waits_for_dns_and_changes_nothing_without_an_answer() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    *b.dns.is_down.lock() = true;
    let e = b.edit(&p, EditAction::TakeOut, "127.64.8.25").unwrap_err();
    assert!(matches!(e, TicketError::LimitReached(..)), "{e:?}");
    assert!(b.is_listed("127.64.8.25"));
    b.check(&p);
    assert!(b.get(&p).problem.unwrap().contains("no answer"));
    assert_eq!(b.get(&p).state(b.now()), ProviderState::Proved);
    b.edit(&p, EditAction::Remove, RANGE)
        .expect("an end needs no answer of DNS");
}

#[test]
fn listing_and_hold_of_others_stay_as_they_are() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.list("127.64.8.0/24");
    let before = b.verdict("127.64.8.0/24");
    for action in [EditAction::Add, EditAction::Remove] {
        refused(b.edit(&p, action, "127.64.8.0/24"));
    }
    assert_eq!(b.verdict("127.64.8.0/24"), before);
    let reason = b.reason();
    let until = Some(b.now().plus(Seconds(9 * DAY)));
    b.change("127.64.8.25", Command::Hold { reason, until });
    let before = b.verdict("127.64.8.25");
    for action in [EditAction::TakeOut, EditAction::PutBack] {
        refused(b.edit(&p, action, "127.64.8.25"));
    }
    assert_eq!(b.verdict("127.64.8.25"), before);
    // A host of the listing of an operator is taken out all the same: who owns the range decides.
    b.edit(&p, EditAction::TakeOut, "127.64.8.26").unwrap();
    assert!(!b.is_listed("127.64.8.26") && b.is_listed("127.64.8.27"));
}

#[test]
fn range_that_an_operator_has_delisted_is_not_listed_again() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    let command = Command::Delist {
        reason: None,
        source: None,
        hold: HoldFor::Usual,
    };
    b.change(RANGE, command);
    assert_eq!(b.entries(&p), [""; 0]);
    let why = refused(b.edit(&p, EditAction::Add, RANGE));
    assert!(why.contains("operator has removed"), "{why}");
}

#[test]
fn all_who_prove_a_range_edit_the_same_entries() {
    let b = Bench::new();
    let first = b.proved(RANGE);
    b.edit(&first, EditAction::Add, RANGE).unwrap();
    let second = b.proved(RANGE);
    assert_eq!(b.entries(&second), [RANGE]);
    b.edit(&second, EditAction::Remove, RANGE).unwrap();
    assert!(!b.is_listed("127.64.8.24"));
    let narrower = b.proved("127.64.8.0/24");
    b.edit(&first, EditAction::Add, "127.64.8.0/25").unwrap();
    refused(b.edit(&narrower, EditAction::Remove, "127.64.8.0/25"));
    assert!(
        b.is_listed("127.64.8.24"),
        "another range is another author"
    );
}

#[test]
fn entries_stay_when_the_record_is_gone_and_are_renewed_while_it_is_there() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.edit(&p, EditAction::TakeOut, "127.64.8.25").unwrap();
    let end = |of: &str| -> Time {
        let verdict = b.verdict(of);
        let listed = verdict.entry(b.reason(), SourceId::OPERATOR);
        listed.map_or_else(|| verdict.holds[0].until, |e| e.until.unwrap())
    };
    let ends = [end(RANGE), end("127.64.8.25")];
    let zones = b.get(&p).zones;
    let check = |result: ProofResult, days: u64| {
        let at = b.now().plus(Seconds(days * DAY));
        b.ranges.record_check(p.number, &result, at).unwrap();
        at
    };
    check(ProofResult::Found(zones.clone()), 29);
    assert_eq!(
        [end(RANGE), end("127.64.8.25")],
        ends,
        "they end late enough"
    );
    let lapsed = check(ProofResult::Missing(zones.clone()), 40);
    assert_eq!(b.get(&p).state(lapsed), ProviderState::Lapsed);
    assert_eq!(
        [end(RANGE), end("127.64.8.25")],
        ends,
        "not renewed, and not ended"
    );
    let e = b
        .ranges
        .apply(p.number, EditAction::Remove, &subject(RANGE), None, lapsed);
    assert!(refused(e).contains("was not found for 7 days"));
    let found = check(ProofResult::Found(zones), 41);
    let renewed = found.plus(ENTRY_PERIOD);
    assert_eq!([end(RANGE), end("127.64.8.25")], [renewed; 2]);
    assert_eq!(b.entries(&p), ["127.64.8.0/23", "127.64.8.25"]);
}

#[test]
fn operator_ends_the_edits_of_all_providers_of_a_range() {
    let b = Bench::new();
    let (p, other) = (b.proved(RANGE), b.proved(RANGE));
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.edit(&other, EditAction::TakeOut, "127.64.8.25").unwrap();
    let operator = ("anna", "socket", None);
    b.ranges.remove(p.number, false, operator, b.now()).unwrap();
    assert!(!b.is_listed("127.64.8.24"));
    assert!(b.verdict("127.64.8.25").is_empty());
    for provider in [&p, &other] {
        assert_eq!(b.get(provider).state(b.now()), ProviderState::Removed);
        let why = refused(b.edit(provider, EditAction::Add, RANGE));
        assert!(why.contains("operator has ended"), "{why}");
    }
    for range in [RANGE, "127.64.8.0/24", "127.64.0.0/16"] {
        let why = refused(b.ranges.open(subject(range), b.now()));
        assert!(why.contains("ask again after"), "{range}: {why}");
    }
    assert!(b.ranges.open(subject("127.64.10.0/24"), b.now()).is_ok());
    refused(b.ranges.remove(p.number, false, operator, b.now()));
    let record = b
        .audit()
        .into_iter()
        .find(|r| r.action == "provider.remove");
    let record = record.unwrap();
    assert_eq!(
        (record.author.as_str(), record.target.as_str()),
        ("anna", "provider 1")
    );
}

#[test]
fn removal_of_a_provider_can_keep_its_entries() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    b.ranges
        .remove(p.number, true, ("anna", "socket", None), b.now())
        .unwrap();
    assert!(b.is_listed("127.64.8.24"));
}

#[test]
fn owner_of_a_static_host_in_the_range_needs_no_provider() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    b.edit(&p, EditAction::Add, RANGE).unwrap();
    let tickets = &b.tickets.tickets;
    let host = "127.64.8.25";
    for (address, name, is_removed) in [
        (host, "mail.shop.example", true),
        ("127.64.8.26", "dsl-127-64-8-26.pool.isp.example", false),
    ] {
        let ticket = b.tickets.open(address);
        assert_eq!(ticket.state, TicketState::NeedsProof);
        let addr = address.parse().unwrap();
        tickets.name_found(addr, Some(name), b.now()).unwrap();
        let is_granted = b.tickets.get(&ticket).state == TicketState::Granted;
        assert_eq!(
            (is_granted, !b.is_listed(address)),
            (is_removed, is_removed),
            "{name}"
        );
    }
    assert!(b.is_listed("127.64.8.24"));
    // The exception of its owner is not the provider's to end.
    refused(b.edit(&p, EditAction::PutBack, host));
    assert!(!b.is_listed(host));
}

#[test]
fn server_without_a_reason_accepts_no_range() {
    let b = Bench::new();
    b.ranges.configure(String::new());
    let why = refused(b.ranges.open(subject(RANGE), b.now()));
    assert!(why.contains("accepts no dynamic ranges"), "{why}");
    b.ranges.configure("dynamic".into());
    let why = refused(b.ranges.open(subject("10.0.0.0/16"), b.now()));
    assert!(why.contains("cannot be listed"), "{why}");
}

#[test]
fn provider_is_found_only_by_its_secret_and_erased_in_time() {
    let b = Bench::new();
    let request = b.open(RANGE);
    let proved = b.proved("127.64.10.0/24");
    b.edit(&proved, EditAction::TakeOut, "127.64.10.9").unwrap();
    assert_eq!(b.ranges.find(request.secret.as_str()).unwrap(), request);
    refused(b.ranges.find("1"));
    let after = |days: u64| b.now().plus(Seconds(days * DAY));
    b.ranges.tick(after(7)).unwrap();
    refused(b.ranges.find(request.secret.as_str()));
    assert!(b.ranges.find(proved.secret.as_str()).is_ok());
    b.ranges.tick(after(98)).unwrap();
    refused(b.ranges.find(proved.secret.as_str()));
    let batch = RangeBatch::new(&b.ranges.ledger.store, b.now());
    assert!(batch.keys(ENTRIES, None, 9).unwrap().is_empty());
    assert!(batch.scan(&EDITS.all(), 9).unwrap().is_empty());
    assert!(batch.keys(PROVIDERS, None, 9).unwrap().is_empty());
}

#[test]
fn provider_makes_at_most_500_edits_a_day() {
    let b = Bench::new();
    let p = b.proved(RANGE);
    let mut batch = RangeBatch::new(&b.ranges.ledger.store, b.now());
    for number in 1..=500 {
        let edit = ProviderEdit {
            number,
            at: b.now(),
            action: EditAction::Remove,
            subject: subject(RANGE),
            reverts: None,
            reverted_by: None,
        };
        batch.put(EDITS, &(p.number, number), &edit);
    }
    let full = RangeProvider {
        last_edit: 500,
        ..p.clone()
    };
    batch.put(PROVIDERS, &p.number, &full);
    let rows = batch.into_rows().unwrap();
    b.ranges.ledger.commit_feature_rows(rows).unwrap();
    let why = refused(b.edit(&p, EditAction::Add, RANGE));
    assert!(why.contains("500 edits a day"), "{why}");
    let tomorrow = b.now().plus(Seconds(DAY + 60));
    let range = subject(RANGE);
    b.ranges
        .apply(p.number, EditAction::Add, &range, None, tomorrow)
        .unwrap();
}

#[test]
fn range_has_at_most_1000_entries_in_force() {
    let b = Bench::new();
    let p = b.proved("127.64.8.0/21");
    let until = b.now().plus(ENTRY_PERIOD);
    let mut batch = RangeBatch::new(&b.ranges.ledger.store, b.now());
    for n in 0..1000u32 {
        let host = Subject::host4(0x7f40_0900 + n);
        let command = Command::Hold {
            reason: b.reason(),
            until: Some(until),
        };
        batch
            .changes
            .push(Change::new(host.clone(), "provider 1", command));
        let entry = ProvidedEntry {
            subject: host.clone(),
            range: p.range.clone(),
            provider: p.number,
            at: b.now(),
            until,
        };
        batch.put(ENTRIES, &host, &entry);
    }
    let rows = batch.into_rows().unwrap();
    b.ranges.ledger.commit_feature_rows(rows).unwrap();
    let add = |at: &str| {
        let of = subject(at);
        b.ranges
            .apply(p.number, EditAction::Add, &of, None, b.now())
    };
    assert!(refused(add("127.64.8.0/24")).contains("1000 entries"));
    b.edit(&p, EditAction::PutBack, "127.64.9.0").unwrap();
    add("127.64.8.0/24").unwrap();
}
