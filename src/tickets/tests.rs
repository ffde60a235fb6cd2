//! Tests of the service with a store and a service of relay tests, whose time the test moves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod corrections;
mod events;
mod mail;
mod open_limits;
mod retests;
mod self_tests;
mod suspensions;

use parking_lot::Mutex;
use std::sync::Arc;

use super::*;
use crate::{
    ledger::tests::commit,
    model::{Change, EventKind, SourceId, Subject, Time, Zone, history::Command, time::Seconds},
    random::Random,
    relay::{
        Actor,
        tests::{Bench as RelayBench, accepted, ip, refused},
    },
};

const DAY: u64 = 86_400;
const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [
    { reason = "relay", code = "127.0.0.2" }, { reason = "spamsource", code = "127.0.0.3" },
    { reason = "netblock", code = "127.0.0.4" }, { reason = "unconfirmed", code = "127.0.0.5" },
    { reason = "dynamic", code = "127.0.0.6" }, { reason = "output", code = "127.0.0.7" },
    { reason = "notest", code = "127.0.0.8" },
]
"#;

pub struct Bench {
    pub relay: RelayBench,
    pub tickets: TicketService,
    pub servers: Arc<Mutex<Vec<ZoneServer>>>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&[ZONE])
    }

    /// A bench with these zones.
    pub fn with(zones: &[&str]) -> Bench {
        let zone = |text: &&str| -> Zone { toml::from_str(text).unwrap() };
        let zones = zones.iter().map(zone).collect();
        let relay = RelayBench::with(&["spamsource", "netblock", "dynamic"], zones);
        let servers: Arc<Mutex<Vec<ZoneServer>>> = Arc::default();
        let known = servers.clone();
        let tickets = TicketService::new(
            relay.ledger().clone(),
            relay.relay.clone(),
            TicketSettings::default(),
            Arc::new(move || known.lock().clone()),
            Random::seeded(7),
        );
        Bench {
            relay,
            tickets,
            servers,
        }
    }

    pub fn now(&self) -> Time {
        self.relay.now
    }

    pub fn later(&mut self, seconds: u64) {
        self.relay.later(seconds);
    }

    pub fn tick(&self) {
        self.relay.relay.tick(self.now()).unwrap();
        self.tickets.tick(self.now()).unwrap();
    }

    pub fn list(&self, subject: &str, reason: &str) {
        let reason = self.tickets.ledger.store.dictionary().reasons.get(reason);
        let command = Command::List {
            reason: reason.unwrap(),
            source: SourceId::OPERATOR,
            until: None,
            text: Default::default(),
        };
        let mut change = Change::new(subject.parse().unwrap(), "anna", command);
        change.preconditions.special = true;
        commit(&self.tickets.ledger, change).unwrap();
    }

    fn request(&self, subject: &str) -> NewTicket {
        NewTicket {
            subject: subject.parse().unwrap(),
            policy: None,
            message: String::new(),
            language: "de".into(),
            client: None,
        }
    }

    pub fn open(&self, subject: &str) -> Ticket {
        self.tickets
            .open(&self.request(subject), self.now())
            .unwrap()
    }

    pub fn get(&self, ticket: &Ticket) -> Ticket {
        self.tickets.get(ticket.number).unwrap()
    }

    fn is_listed(&self, subject: &str) -> bool {
        let subject: Subject = subject.parse().unwrap();
        !self.tickets.listings(&subject).unwrap().is_empty()
    }

    /// A ticket for a listing that a person has to decide about, with a proof.
    pub fn proved(&self, subject: &str) -> Ticket {
        let ticket = self.open(subject);
        assert_eq!(ticket.state, TicketState::NeedsProof);
        self.tickets
            .prove(ticket.number, ControlMethod::Dns, self.now())
            .unwrap()
    }
}

pub fn operator() -> Actor {
    Actor {
        name: "anna".into(),
        from: "socket".into(),
        idempotency: None,
    }
}

fn states(ticket: &Ticket) -> Vec<TicketState> {
    ticket.steps.iter().map(|s| s.state).collect()
}

#[test]
fn removal_on_request_is_granted_at_once_and_held() {
    let b = Bench::new();
    b.list("127.64.0.1", "unconfirmed");
    let ticket = b.open("127.64.0.1");
    assert_eq!(ticket.state, TicketState::Granted);
    assert_eq!((ticket.number, ticket.language.as_str()), (1, "de"));
    assert!(!b.is_listed("127.64.0.1"));
    let verdict = b
        .tickets
        .ledger
        .store
        .verdict(&"127.64.0.1".parse().unwrap())
        .unwrap();
    assert_eq!(verdict.holds.len(), 1);
    assert!(verdict.holds[0].until >= b.now().plus(Seconds(30 * DAY - 5)));
    let history = b
        .tickets
        .ledger
        .store
        .history(&"127.64.0.1".parse().unwrap())
        .unwrap();
    assert!(history[1..].iter().all(|e| e.author == "ticket 1"));
    let removal = ticket.removal.unwrap();
    assert_eq!(removal.zones[0].zone, "bl.orbs.example");
    assert!(removal.ttl > 0);
}

#[test]
fn subject_that_is_not_listed_gets_no_ticket() {
    let b = Bench::new();
    let e = b.tickets.open(&b.request("127.64.0.1"), b.now());
    assert!(matches!(e, Err(TicketError::NotFound(_))), "{e:?}");
}

#[test]
fn ticket_is_found_only_by_its_secret() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.open("127.64.0.1");
    let found = b.tickets.find(ticket.secret.as_str()).unwrap();
    assert_eq!(found, ticket);
    let errors = [
        "",
        "1",
        &ticket.secret.as_str()[1..],
        "00000000000000000000000000",
    ]
    .map(|guess| b.tickets.find(guess).unwrap_err());
    assert!(errors.iter().all(|e| *e == errors[0]), "{errors:?}");
    // The number and the address of the release are no keys.
    assert!(
        b.tickets
            .find_released(ticket.secret.as_str(), b.now())
            .is_err()
    );
}

#[test]
fn removal_from_spam_traps_is_not_held_and_the_next_one_waits() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let mut waits = Vec::new();
    for _ in 0..5 {
        b.list(host, "spamsource");
        let ticket = b.open(host);
        let until = ticket.next_at.map_or(0, |at| at.0 - b.now().0);
        waits.push((until as f64 / DAY as f64).round() as u64);
        b.relay.now = ticket.next_at.unwrap_or(b.now());
        b.tick();
        let ticket = b.get(&ticket);
        assert_eq!(ticket.state, TicketState::Granted, "{:?}", states(&ticket));
        assert!(!b.is_listed(host));
        b.relay.now = crate::clock::wall();
    }
    assert_eq!(waits, [0, 1, 3, 7, 7]);
}

#[test]
fn request_for_an_address_of_a_listed_prefix_excludes_this_address_alone() {
    let b = Bench::new();
    b.list("127.64.1.0/24", "unconfirmed");
    let ticket = b.open("127.64.1.9");
    assert_eq!(ticket.state, TicketState::Granted);
    assert!(!b.is_listed("127.64.1.9"));
    assert!(b.is_listed("127.64.1.8"));
}

#[test]
fn request_needs_a_policy_if_several_apply() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    b.list("127.64.0.1", "unconfirmed");
    let request = b.request("127.64.0.1");
    let e = b.tickets.open(&request, b.now());
    assert!(
        matches!(&e, Err(TicketError::Invalid(text)) if text.contains("reviewed") && text.contains("on-request")),
        "{e:?}"
    );
    let one = NewTicket {
        policy: Some(RemovalPolicy::OnRequest),
        ..request
    };
    let ticket = b.tickets.open(&one, b.now()).unwrap();
    assert_eq!(ticket.reasons, ["unconfirmed"]);
    assert!(b.is_listed("127.64.0.1"), "for the other reason");
}

#[test]
fn reviewed_request_without_proof_waits_for_the_proof_or_an_explicit_wish() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.open("127.64.0.1");
    assert_eq!(ticket.state, TicketState::NeedsProof);
    assert_eq!(ticket.answer_by(), None);
    let ticket = b.tickets.ask_review(ticket.number, b.now()).unwrap();
    assert_eq!(ticket.state, TicketState::Review);
    assert_eq!(ticket.answer_by(), Some(b.now().plus(Seconds(2 * DAY))));
    assert_eq!(ticket.decision_by(), Some(b.now().plus(Seconds(7 * DAY))));
}

#[test]
fn reviewed_request_is_answered_and_approved_by_a_person() {
    let b = Bench::new();
    b.list("127.64.0.0/24", "netblock");
    let ticket = b.proved("127.64.0.0/24");
    assert_eq!(ticket.state, TicketState::Review);
    let n = ticket.number;
    b.tickets
        .add_message(n, "We have\r\nmoved.\u{7}", b.now())
        .unwrap();
    let ticket = b
        .tickets
        .reply(&operator(), n, "Since when?", b.now())
        .unwrap();
    assert_eq!(ticket.answer_by(), None, "it is answered");
    assert_eq!(ticket.messages[0].text, "We have\nmoved.\u{fffd}");
    assert_eq!(ticket.messages[1].operator.as_deref(), Some("anna"));
    assert!(b.is_listed("127.64.0.0/24"));
    let ticket = b.tickets.approve(&operator(), n, "", b.now()).unwrap();
    assert_eq!(ticket.state, TicketState::Granted);
    assert!(!b.is_listed("127.64.0.0/24"));
    let e = b.tickets.refuse(&operator(), n, "no", b.now());
    assert!(matches!(e, Err(TicketError::Refused(_))), "it is closed");
}

#[test]
fn conversation_of_a_requester_has_twenty_messages() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let n = b.open("127.64.0.1").number;
    for _ in 0..20 {
        b.tickets.add_message(n, "please", b.now()).unwrap();
    }
    let e = b.tickets.add_message(n, "please", b.now());
    assert!(matches!(e, Err(TicketError::Refused(_))));
    let long = "x".repeat(4001);
    assert!(matches!(
        b.tickets.add_message(n, &long, b.now()),
        Err(TicketError::Invalid(_))
    ));
}

#[test]
fn proved_request_that_nobody_answers_is_suspended_on_day_seven_until_a_person_refuses() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.proved("127.64.0.1");
    b.later(7 * DAY - 1);
    b.tick();
    assert_eq!(b.get(&ticket).state, TicketState::Review);
    b.later(1);
    b.tick();
    assert_eq!(b.get(&ticket).state, TicketState::Suspended);
    assert!(!b.is_listed("127.64.0.1"), "not published meanwhile");
    b.tick();
    assert_eq!(b.get(&ticket).state, TicketState::Suspended, "it stays so");
    assert_eq!(b.tickets.waiting().unwrap()[0].number, ticket.number);
    b.tickets
        .refuse(&operator(), ticket.number, "spam", b.now())
        .unwrap();
    assert!(b.is_listed("127.64.0.1"));
}

#[test]
fn approval_of_a_suspended_request_removes_the_listing_without_a_hold() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.proved("127.64.0.1");
    b.later(7 * DAY);
    b.tick();
    let ticket = b
        .tickets
        .approve(&operator(), ticket.number, "", b.now())
        .unwrap();
    assert_eq!(ticket.state, TicketState::Granted);
    let verdict = b.tickets.ledger.store.verdict(&ticket.subject).unwrap();
    assert!(verdict.entries.is_empty() && verdict.holds.is_empty());
}

#[test]
fn answered_or_unproved_request_is_not_suspended() {
    let mut b = Bench::new();
    for host in ["127.64.0.1", "127.65.0.1"] {
        b.list(host, "netblock");
    }
    let answered = b.proved("127.64.0.1");
    b.tickets
        .reply(&operator(), answered.number, "?", b.now())
        .unwrap();
    let unproved = b.open("127.65.0.1");
    b.tickets.ask_review(unproved.number, b.now()).unwrap();
    b.later(8 * DAY);
    b.tick();
    for ticket in [answered, unproved] {
        assert_eq!(b.get(&ticket).state, TicketState::Review);
    }
}

#[test]
fn one_request_of_each_network_is_suspended_and_fifty_a_day_the_oldest_first() {
    let mut b = Bench::new();
    let mut all = Vec::new();
    for i in 0..52 {
        let host = format!("127.{}.{}.1", 64 + i / 200, i % 200);
        b.list(&host, "netblock");
        all.push(b.proved(&host));
    }
    b.list("127.64.0.2", "netblock");
    let neighbour = b.proved("127.64.0.2");
    b.later(7 * DAY);
    b.tick();
    let suspended = |b: &Bench| {
        let is = |t: &&Ticket| b.get(t).state == TicketState::Suspended;
        all.iter().filter(is).count()
    };
    assert_eq!(suspended(&b), 50);
    assert_eq!(
        b.get(&all[51]).state,
        TicketState::Review,
        "the oldest first"
    );
    assert_eq!(
        b.get(&neighbour).state,
        TicketState::Review,
        "one for each network"
    );
    assert_eq!(b.tickets.over_limit(), 2, "the operator is alarmed");
    b.later(DAY + 1);
    b.tick();
    assert_eq!((suspended(&b), b.tickets.over_limit()), (52, 0));
}

#[test]
fn owner_of_a_range_removes_it_after_a_proof() {
    let b = Bench::new();
    b.list("127.64.2.0/24", "dynamic");
    let ticket = b.proved("127.64.2.0/24");
    assert_eq!(ticket.state, TicketState::Granted);
    assert!(!b.is_listed("127.64.2.0/24"));
}

#[test]
fn opt_out_is_ended_by_its_owner() {
    let b = Bench::new();
    let subject: Subject = "127.64.0.1".parse().unwrap();
    let opt_out = b
        .relay
        .relay
        .opt_out(&operator(), &subject, "mail", b.now());
    opt_out.unwrap();
    let ticket = b.proved("127.64.0.1");
    assert_eq!(ticket.state, TicketState::Granted);
    assert!(b.relay.relay.opt_outs().unwrap().is_empty());
    assert!(!b.is_listed("127.64.0.1"));
}

#[test]
fn closed_relay_is_granted_after_its_test() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.relay.prove(host);
    let ticket = b.open(host);
    assert_eq!(ticket.policy, RemovalPolicy::AfterRetest);
    assert_eq!(ticket.state, TicketState::Testing);
    let job = ticket.test.clone().unwrap().job;
    b.relay.relay.due(9, b.now()).unwrap();
    let job = b.relay.relay.job(job).unwrap();
    b.relay.run(&job, &refused());
    b.tick();
    let ticket = b.get(&ticket);
    assert_eq!(ticket.state, TicketState::Granted, "{:?}", states(&ticket));
    assert!(ticket.removal.is_some());
    assert!(!b.is_listed(host));
}

#[test]
fn open_relay_fails_and_may_be_tried_again() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.relay.prove(host);
    b.later(10);
    let ticket = b.open(host);
    b.relay.relay.due(9, b.now()).unwrap();
    let job = b.relay.relay.job(ticket.test.clone().unwrap().job).unwrap();
    let (_, ready) = b.relay.run(&job, &accepted());
    b.tick();
    assert_eq!(b.get(&ticket).state, TicketState::Waiting);
    b.relay.deliver(&ready[0], host);
    b.tick();
    let failed = b.get(&ticket);
    assert_eq!(failed.state, TicketState::Failed, "{:?}", states(&failed));
    assert!(failed.may_retry() && failed.may_ask_review());
    let again = b.tickets.retry(ticket.number, b.now()).unwrap();
    assert_eq!(again.state, TicketState::Testing);
    assert!(
        again.next_at > Some(b.now()),
        "it waits for the pause between claims"
    );
}

#[test]
fn second_requester_joins_the_test_and_sees_only_their_own_ticket() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.relay.prove(host);
    let first = b.open(host);
    let second = b.open(host);
    assert_ne!(first.secret, second.secret);
    assert_eq!(
        first.test.as_ref().map(|t| t.job),
        second.test.as_ref().map(|t| t.job)
    );
    b.tickets
        .add_message(first.number, "mine", b.now())
        .unwrap();
    assert!(b.get(&second).messages.is_empty());
    b.relay.relay.due(9, b.now()).unwrap();
    let job = b.relay.relay.job(first.test.clone().unwrap().job).unwrap();
    b.relay.run(&job, &refused());
    b.tick();
    for ticket in [first, second] {
        assert_eq!(b.get(&ticket).state, TicketState::Granted);
    }
}

#[test]
fn request_from_the_address_itself_is_proved_unless_strangers_act_through_it() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let own = NewTicket {
        client: Some(ip("127.64.0.1")),
        ..b.request("127.64.0.1")
    };
    let ticket = b.tickets.open(&own, b.now()).unwrap();
    assert_eq!(ticket.state, TicketState::Review);
    assert_eq!(ticket.proof.map(|p| p.method), Some(ControlMethod::Server));
    b.list("127.64.0.2", "spamsource");
    let own = NewTicket {
        client: Some(ip("127.64.0.2")),
        ..b.request("127.64.0.2")
    };
    assert_eq!(b.tickets.open(&own, b.now()).unwrap().proof, None);
}

#[test]
fn ticket_ends_if_its_listing_ends_in_another_way() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.open("127.64.0.1");
    let command = Command::Exempt { until: None };
    let change = Change::new(ticket.subject.clone(), "anna", command);
    commit(&b.tickets.ledger, change).unwrap();
    b.tick();
    assert_eq!(b.get(&ticket).state, TicketState::Ended);
}

#[test]
fn withdrawn_ticket_keeps_the_listing() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.open("127.64.0.1");
    let ticket = b.tickets.withdraw(ticket.number, b.now()).unwrap();
    assert_eq!(ticket.state, TicketState::Withdrawn);
    assert!(b.is_listed("127.64.0.1"));
    // A ticket whose requester does nothing is withdrawn, too.
    let idle = b.open("127.64.0.1");
    b.later(30 * DAY);
    b.tick();
    assert_eq!(b.get(&idle).state, TicketState::Withdrawn);
}

#[test]
fn removal_knows_when_each_server_had_it() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "unconfirmed");
    let ticket = b.open("127.64.0.1");
    let serial = ticket.removal.clone().unwrap().zones[0].serial;
    let server = |name: &str, serial| ZoneServer {
        zone: "bl.orbs.example".into(),
        name: name.into(),
        serial,
        answers: Some(true),
    };
    let older = crate::model::Serial(serial.0.wrapping_sub(1));
    *b.servers.lock() = vec![server("ns1", Some(serial)), server("ns2", Some(older))];
    b.later(3);
    let first = b.now();
    b.tick();
    b.later(5);
    *b.servers.lock() = vec![
        server("ns1", Some(serial.next())),
        server("ns2", Some(serial)),
    ];
    b.tick();
    let removal = b.get(&ticket).removal.unwrap();
    let all = b.tickets.removal_servers(&removal);
    let times: Vec<_> = all.iter().map(|s| (s.name.as_str(), s.at)).collect();
    assert_eq!(
        times,
        [
            ("this server", Some(removal.at)),
            ("ns1", Some(first)),
            ("ns2", Some(b.now()))
        ]
    );
    // A server that has had the removal keeps its time, whatever happens to it later.
    let silent = |name: &str, serial| ZoneServer {
        answers: Some(false),
        ..server(name, serial)
    };
    let unknown = ZoneServer {
        answers: None,
        ..server("ns5", None)
    };
    *b.servers.lock() = vec![
        silent("ns1", Some(serial)),
        server("ns3", Some(older)),
        silent("ns4", Some(older)),
        unknown,
    ];
    let all = b.tickets.removal_servers(&removal);
    let states: Vec<&str> = all.iter().map(|s| s.state.into()).collect();
    let expected = [
        "current", "current", "current", "behind", "silent", "unknown",
    ];
    assert_eq!(states, expected, "{all:?}");
    let id = removal.released.as_str();
    assert!(b.tickets.find_released(id, b.now()).is_ok());
    b.later(30 * DAY);
    assert!(b.tickets.find_released(id, b.now()).is_err());
}

#[test]
fn repeated_listing_is_noted_on_the_granted_ticket() {
    let b = Bench::new();
    b.list("127.64.0.1", "spamsource");
    let ticket = b.open("127.64.0.1");
    b.tick();
    assert_eq!(b.get(&ticket).removal.unwrap().listed_again, None);
    b.list("127.64.0.1", "spamsource");
    b.tick();
    assert!(b.get(&ticket).removal.unwrap().listed_again.is_some());
}

#[test]
fn open_tickets_of_a_subject_are_limited() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    for _ in 0..20 {
        b.open("127.64.0.1");
    }
    let e = b.tickets.open(&b.request("127.64.0.1"), b.now());
    assert!(matches!(e, Err(TicketError::LimitReached(..))), "{e:?}");
}

#[test]
fn closed_ticket_is_erased_after_ninety_days_with_all_its_rows() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "unconfirmed");
    b.list("127.64.0.2", "netblock");
    let ticket = b.open("127.64.0.1");
    let open = b.open("127.64.0.2");
    b.later(90 * DAY - 10);
    assert_eq!(b.tickets.erase_due(b.now()).unwrap(), 0);
    b.later(20);
    assert_eq!(b.tickets.erase_due(b.now()).unwrap(), 1);
    assert!(b.tickets.find(ticket.secret.as_str()).is_err());
    assert!(b.tickets.get(open.number).is_ok());
    let mut rows = Vec::new();
    b.tickets
        .ledger
        .store
        .feature_rows(
            crate::store::schema::FeatureFamily::Tickets,
            &[],
            &[],
            &mut |k, v| {
                rows.push([k, v].concat());
                Ok(true)
            },
        )
        .unwrap();
    let text = String::from_utf8_lossy(&rows.concat()).into_owned();
    assert!(
        !text.contains("127.64.0.1") && text.contains("127.64.0.2"),
        "{text}"
    );
}

/// Audit, history, journal and webhooks get what the ledger commits; the log gets what `tracing`
/// writes. The text of a ticket is in the family of tickets alone.
#[test]
fn text_of_a_ticket_is_in_its_own_family_alone() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let secret_text = "qzwxecrv";
    let request = NewTicket {
        message: format!("{secret_text} in the request"),
        client: Some(ip("127.64.0.1")),
        ..b.request("127.64.0.1")
    };
    let ticket = b.tickets.open(&request, b.now()).unwrap();
    let n = ticket.number;
    let changed = b.tickets.update(n, b.now(), |t| {
        t.contact = Some(TicketContact {
            address: format!("{secret_text}@example.org"),
            confirmed: None,
        });
        Ok(())
    });
    changed.unwrap();
    b.tickets.add_message(n, secret_text, b.now()).unwrap();
    b.tickets
        .reply(&operator(), n, secret_text, b.now())
        .unwrap();
    b.tickets
        .approve(&operator(), n, secret_text, b.now())
        .unwrap();
    let store = &b.tickets.ledger.store;
    let holders = store.families_with(secret_text.as_bytes()).unwrap();
    assert_eq!(holders, ["tickets"]);
    let holders = store
        .families_with(ticket.secret.as_str().as_bytes())
        .unwrap();
    assert_eq!(holders, ["tickets"]);
    let history = store.history(&ticket.subject).unwrap();
    assert!(
        history
            .iter()
            .any(|e| matches!(e.kind, EventKind::Delisted { .. }))
    );
}

#[test]
fn address_with_a_name_of_its_own_is_taken_out_of_a_dynamic_range_while_it_has_the_name() {
    let mut b = Bench::new();
    let (host, name) = ("127.64.3.9", Some("mail.example.org"));
    b.list("127.64.3.0/24", "dynamic");
    let ticket = b.open(host);
    assert_eq!(ticket.state, TicketState::NeedsProof);
    assert_eq!(b.tickets.names_due(b.now()).unwrap(), [ip(host)]);
    assert!(
        b.tickets.names_due(b.now()).unwrap().is_empty(),
        "once at a time"
    );
    // A generic name, or none, needs a proof of the owner of the range.
    b.tickets
        .name_found(ip(host), Some("dyn-127-64-3-9.isp.example"), b.now())
        .unwrap();
    assert_eq!(b.get(&ticket).state, TicketState::NeedsProof);
    assert!(b.tickets.names_due(b.now()).unwrap().is_empty());
    b.later(3600);
    assert_eq!(b.tickets.names_due(b.now()).unwrap(), [ip(host)]);
    b.tickets.name_found(ip(host), name, b.now()).unwrap();
    assert_eq!(b.get(&ticket).state, TicketState::Granted);
    assert!(!b.is_listed(host) && b.is_listed("127.64.3.8"));
    b.later(DAY);
    assert_eq!(b.tickets.names_due(b.now()).unwrap(), [ip(host)]);
    b.tickets.name_found(ip(host), name, b.now()).unwrap();
    assert!(!b.is_listed(host), "the name is the same");
    // One failed look-up ends nothing.
    b.tickets.name_found(ip(host), None, b.now()).unwrap();
    assert!(!b.is_listed(host));
    b.tickets
        .name_found(ip(host), Some("other.example.org"), b.now())
        .unwrap();
    assert!(b.is_listed(host), "the name has changed");
    b.later(DAY);
    assert!(b.tickets.names_due(b.now()).unwrap().is_empty());
}

#[test]
fn request_for_a_dynamic_range_does_not_depend_on_names() {
    let b = Bench::new();
    b.list("127.64.3.0/24", "dynamic");
    b.open("127.64.3.0/24");
    assert!(b.tickets.names_due(b.now()).unwrap().is_empty());
}
