//! Tests that the holders of addresses ask for.

use super::*;
use crate::{
    relay::{PreparedMessage, policy::Trigger},
    tickets::control::ControlFacts,
};

const HOST: &str = "127.64.0.1";

fn request(host: &str, client: Option<&str>, repeat_days: Option<u16>) -> NewSelfTest {
    NewSelfTest {
        target: ip(host),
        language: "en".into(),
        client: client.map(ip),
        repeat_days,
    }
}

impl Bench {
    fn open_self_test(&self, request: &NewSelfTest) -> Ticket {
        self.tickets.open_self_test(request, self.now()).unwrap()
    }

    /// A ticket about a test whose requester has proved to hold the address.
    fn proved_self_test(&self, host: &str, repeat_days: Option<u16>) -> Ticket {
        let ticket = self.open_self_test(&request(host, None, repeat_days));
        assert_eq!(ticket.state, TicketState::NeedsProof);
        let prove = |method| self.tickets.prove(ticket.number, method, self.now());
        prove(ControlMethod::Dns).unwrap()
    }

    /// A ticket about a test of an address whose requester has proved to hold its reverse zone.
    fn self_test_of_zone(&self, host: &str, zone: &str) -> Ticket {
        let ticket = self.open_self_test(&request(host, None, None));
        let facts = ControlFacts {
            at: self.now(),
            host_name: None,
            null_mx: false,
            zones: vec![zone.into()],
        };
        let (n, now) = (ticket.number, self.now());
        let changed = self.tickets.update(n, now, |ticket| {
            ticket.control_facts = Some(facts);
            Ok(())
        });
        changed.unwrap();
        self.tickets.prove(n, ControlMethod::Dns, now).unwrap()
    }

    /// Runs the last test of a ticket with one outcome for all messages.
    fn run_self_test(
        &mut self,
        ticket: &Ticket,
        outcome: &crate::smtp::MessageOutcome,
    ) -> Vec<PreparedMessage> {
        let now = self.now();
        self.relay.relay.due(9, now).unwrap();
        let job = self.get(ticket).test.unwrap().job;
        let job = self.relay.relay.job(job).unwrap();
        assert_eq!(job.trigger, Trigger::SelfTest);
        let (_, ready) = self.relay.run(&job, outcome);
        self.tick();
        ready
    }
}

#[test]
fn delivered_message_of_a_holders_test_lists_nobody() {
    let mut b = Bench::new();
    let ticket = b.proved_self_test(HOST, None);
    assert_eq!(ticket.state, TicketState::Testing);
    let ready = b.run_self_test(&ticket, &accepted());
    assert!(ready.len() > 40, "all forms are sent: {}", ready.len());
    assert_eq!(
        b.get(&ticket).state,
        TicketState::Tested,
        "nothing was delivered yet"
    );
    b.relay.deliver(&ready[0], HOST);
    b.relay.deliver(&ready[1], "127.64.0.2");
    b.tick();
    let ticket = b.get(&ticket);
    assert_eq!(ticket.state, TicketState::Failed);
    for host in [HOST, "127.64.0.2"] {
        assert!(!b.is_listed(host), "{host}");
        assert!(b.relay.listed(host).is_empty(), "{host}");
    }
    let proofs = b.relay.relay.proofs(ip(HOST), true, 9).unwrap();
    assert_eq!(proofs.len(), 2);
    assert!(proofs.iter().all(|p| !b.relay.relay.is_public(p).unwrap()));
}

#[test]
fn holders_test_of_a_listed_host_neither_releases_it_nor_delays_its_claim() {
    let mut b = Bench::new();
    b.relay.prove(HOST);
    b.later(10);
    let ticket = b.proved_self_test(HOST, None);
    b.run_self_test(&ticket, &refused());
    assert_eq!(b.get(&ticket).state, TicketState::Tested);
    assert!(b.is_listed(HOST));
    let claim = b.open(HOST);
    assert_eq!(claim.state, TicketState::Testing);
    let job = b.relay.relay.job(claim.test.unwrap().job).unwrap();
    assert!(job.not_before <= b.now(), "tested at once");
}

#[test]
fn holders_test_does_not_delay_the_test_of_a_nomination() {
    let mut b = Bench::new();
    let ticket = b.proved_self_test(HOST, None);
    b.run_self_test(&ticket, &refused());
    b.later(10);
    let job = b.relay.nominate(HOST, "anna");
    assert!(job.not_before <= b.now(), "{job:?}");
}

#[test]
fn request_from_the_address_starts_a_test_only_if_it_is_listed_or_nominated() {
    let mut b = Bench::new();
    let own = request(HOST, Some(HOST), None);
    let ticket = b.open_self_test(&own);
    assert_eq!(
        ticket.state,
        TicketState::NeedsProof,
        "tenants and VPN exits"
    );
    let (code, _) = b.tickets.control_code(&ticket, b.now()).unwrap();
    let by_request =
        |b: &Bench, code: &str| b.tickets.prove_by_request(code, Some(ip(HOST)), b.now());
    assert!(by_request(&b, &code).is_err());
    let (options, _) = b.tickets.control_options(&ticket, b.now());
    let is_server = |o: &super::super::control::ControlOption| {
        matches!(o, super::super::control::ControlOption::Server(_))
    };
    assert!(!options.iter().any(is_server), "the page does not offer it");
    b.relay.nominate(HOST, "anna");
    assert_eq!(by_request(&b, &code).unwrap().state, TicketState::Testing);
    b.relay.prove("127.64.0.9");
    b.later(4000);
    let listed = request("127.64.0.9", Some("127.64.0.9"), None);
    assert_eq!(b.open_self_test(&listed).state, TicketState::Testing);
    let stranger = request("127.64.0.9", Some("127.64.0.8"), None);
    assert_eq!(b.open_self_test(&stranger).state, TicketState::NeedsProof);
}

#[test]
fn address_is_tested_once_an_hour_and_three_times_a_day() {
    let mut b = Bench::new();
    let first = b.proved_self_test(HOST, None);
    b.run_self_test(&first, &refused());
    let second = b.proved_self_test(HOST, None);
    assert_eq!(second.state, TicketState::Delayed, "within an hour");
    assert_eq!(second.next_at, Some(first.opened.plus(Seconds(3600))));
    b.later(3601);
    b.tick();
    assert_eq!(
        b.get(&second).state,
        TicketState::Testing,
        "it begins by itself"
    );
    b.run_self_test(&second, &refused());
    b.later(3601);
    let third = b.tickets.retry(first.number, b.now()).unwrap();
    b.run_self_test(&third, &refused());
    b.later(3601);
    let e = b.tickets.retry(first.number, b.now()).unwrap_err();
    assert!(matches!(e, TicketError::LimitReached(..)), "{e:?}");
}

#[test]
fn proofs_of_a_zone_start_tests_of_ten_addresses_on_each_day() {
    let mut b = Bench::new();
    let all: Vec<Ticket> = (1..=22)
        .map(|i| b.self_test_of_zone(&format!("127.64.{i}.1"), "64.127.in-addr.arpa"))
        .collect();
    let started = |b: &Bench| all.iter().filter(|t| b.get(t).test.is_some()).count();
    assert_eq!(started(&b), 10);
    let rest = all.iter().skip(10);
    assert!(rest.clone().all(|t| t.state == TicketState::Delayed));
    let other = b.self_test_of_zone("127.65.1.1", "65.127.in-addr.arpa");
    assert_eq!(other.state, TicketState::Testing, "another zone");
    for (days, expected) in [(1, 20), (2, 22)] {
        b.later(DAY + 1);
        b.tick();
        assert_eq!(started(&b), expected, "after {days} days");
        b.later(3600);
        b.tick();
        assert_eq!(started(&b), expected, "an hour later");
    }
}

#[test]
fn test_that_the_hourly_limit_delays_is_not_counted_for_its_zone() {
    let mut b = Bench::new();
    let zone = "64.127.in-addr.arpa";
    let first = b.self_test_of_zone(HOST, zone);
    b.run_self_test(&first, &refused());
    let again = b.self_test_of_zone(HOST, zone);
    assert_eq!(again.state, TicketState::Delayed, "within an hour");
    for i in 1..=9 {
        let ticket = b.self_test_of_zone(&format!("127.64.{i}.1"), zone);
        assert_eq!(ticket.state, TicketState::Testing, "address {i}");
    }
    let eleventh = b.self_test_of_zone("127.64.10.1", zone);
    assert_eq!(eleventh.state, TicketState::Delayed);
}

#[test]
fn retry_on_another_day_counts_for_the_zone_of_the_proof() {
    let mut b = Bench::new();
    let zone = "64.127.in-addr.arpa";
    let first = b.self_test_of_zone(HOST, zone);
    b.run_self_test(&first, &refused());
    b.later(DAY + 1);
    for i in 1..=10 {
        b.self_test_of_zone(&format!("127.64.{i}.1"), zone);
    }
    let e = b.tickets.retry(first.number, b.now()).unwrap_err();
    assert!(matches!(e, TicketError::LimitReached(..)), "{e:?}");
}

#[test]
fn opt_out_holds_for_the_holders_test() {
    let b = Bench::new();
    let subject: Subject = "127.64.0.0/24".parse().unwrap();
    b.relay
        .relay
        .opt_out(&operator(), &subject, "a letter", b.now())
        .unwrap();
    let e = b
        .tickets
        .open_self_test(&request(HOST, None, None), b.now());
    assert!(
        matches!(&e, Err(TicketError::Refused(text)) if text.contains("opt-out")),
        "{e:?}"
    );
}

#[test]
fn repetition_changes_the_state_only_with_the_result_and_ends_by_any_proof() {
    let mut b = Bench::new();
    let ticket = b.proved_self_test(HOST, Some(7));
    b.run_self_test(&ticket, &refused());
    let tested = b.get(&ticket);
    assert_eq!(tested.state, TicketState::Tested);
    let first = tested.test.clone().unwrap().job;
    assert_eq!(
        tested.next_at,
        Some(tested.test.clone().unwrap().at.plus(Seconds(7 * DAY)))
    );
    b.later(7 * DAY + 1);
    b.tick();
    let again = b.get(&ticket);
    assert!(again.test.as_ref().unwrap().job > first, "repeated");
    assert_eq!(
        states(&again),
        states(&tested),
        "no news without a new result"
    );
    let ready = b.run_self_test(&ticket, &accepted());
    b.relay.deliver(&ready[0], HOST);
    b.tick();
    assert_eq!(
        b.get(&ticket).state,
        TicketState::Failed,
        "the result has changed"
    );
    let other = b.proved_self_test(HOST, None);
    assert!(b.tickets.shown_repetition(&other).unwrap().is_some());
    b.tickets
        .set_repetition(other.number, None, b.now())
        .unwrap();
    assert_eq!(b.get(&ticket).repeat, None, "anybody with a proof ends it");
    let stranger = b.open_self_test(&request(HOST, None, None));
    let e = b.tickets.set_repetition(stranger.number, Some(30), b.now());
    assert!(matches!(e, Err(TicketError::Refused(_))), "{e:?}");
}

#[test]
fn repetition_is_public_while_it_stands_and_only_with_a_proof_of_control() {
    let mut b = Bench::new();
    let subject: Subject = HOST.parse().unwrap();
    let public = |b: &Bench| b.tickets.standing_repetition(&subject, b.now()).unwrap();
    b.open_self_test(&request(HOST, None, Some(7)));
    assert_eq!(public(&b), None, "a wish without a proof");
    let ticket = b.proved_self_test(HOST, Some(30));
    assert_eq!(public(&b), ticket.repeat);
    b.run_self_test(&ticket, &refused());
    b.later(40 * DAY);
    let shown = public(&b);
    assert_eq!(
        shown, ticket.repeat,
        "the proof is used up, the consent is not"
    );
    b.later(330 * DAY);
    assert_eq!(public(&b), None, "it has ended");
}

#[test]
fn days_of_a_repetition_are_from_7_to_90() {
    let b = Bench::new();
    for days in [0, 6, 91] {
        let e = b
            .tickets
            .open_self_test(&request(HOST, None, Some(days)), b.now());
        assert!(matches!(e, Err(TicketError::Invalid(_))), "{days}: {e:?}");
    }
    assert_eq!(
        b.open_self_test(&request(HOST, None, Some(90)))
            .repeat
            .unwrap()
            .days,
        90
    );
}

#[test]
fn ticket_about_a_test_delists_nothing() {
    let b = Bench::new();
    b.list(HOST, "unconfirmed");
    let ticket = b.proved_self_test(HOST, None);
    let withdrawn = b.tickets.withdraw(ticket.number, b.now()).unwrap();
    assert_eq!(withdrawn.state, TicketState::Withdrawn);
    assert!(b.is_listed(HOST));
    assert!(!ticket.may_ask_review());
}
