//! Suspensions: how they end, and what they leave as it was.

use super::*;
use crate::model::{Hold, Verdict, history::HoldFor};

const HOST: &str = "127.64.0.1";

/// A ticket whose listing is suspended.
fn suspended(b: &mut Bench) -> Ticket {
    b.list(HOST, "netblock");
    let ticket = b.proved(HOST);
    b.later(7 * DAY);
    b.tick();
    let ticket = b.get(&ticket);
    assert_eq!(ticket.state, TicketState::Suspended);
    assert!(!b.is_listed(HOST));
    ticket
}

fn verdict(b: &Bench) -> Verdict {
    let subject = HOST.parse().unwrap();
    b.tickets.ledger.store.verdict(&subject).unwrap()
}

fn change(b: &Bench, command: Command) {
    let change = Change::new(HOST.parse().unwrap(), "anna", command);
    commit(&b.tickets.ledger, change).unwrap();
}

fn netblock(b: &Bench) -> crate::model::ReasonId {
    let dictionary = b.tickets.ledger.store.dictionary();
    dictionary.reasons.get("netblock").unwrap()
}

#[test]
fn refused_suspension_publishes_the_listing_and_closes_the_ticket() {
    use TicketState::{NeedsProof, Refused, Review, Suspended};
    let mut b = Bench::new();
    let n = suspended(&mut b).number;
    let ticket = b.tickets.refuse(&operator(), n, "spam", b.now()).unwrap();
    assert_eq!(states(&ticket), [NeedsProof, Review, Suspended, Refused]);
    assert_eq!(ticket.closed, Some(b.now()));
    assert!(b.is_listed(HOST) && verdict(&b).holds.is_empty());
    assert!(b.tickets.waiting().unwrap().is_empty());
    b.tick();
    assert_eq!(b.get(&ticket), ticket, "it stays so");
    let again = b.tickets.refuse(&operator(), n, "spam", b.now());
    assert!(matches!(again, Err(TicketError::Refused(_))), "{again:?}");
}

#[test]
fn approved_suspension_delists_and_closes_the_ticket() {
    use TicketState::{Granted, NeedsProof, Review, Suspended};
    let mut b = Bench::new();
    let n = suspended(&mut b).number;
    let ticket = b.tickets.approve(&operator(), n, "", b.now()).unwrap();
    assert_eq!(states(&ticket), [NeedsProof, Review, Suspended, Granted]);
    assert!(ticket.removal.is_some_and(|r| !r.zones.is_empty()));
    assert_eq!(verdict(&b), Verdict::default());
    assert!(b.tickets.waiting().unwrap().is_empty());
}

#[test]
fn end_of_a_suspension_keeps_other_holds_on_its_reason() {
    let mut b = Bench::new();
    b.list(HOST, "netblock");
    let feed = b.tickets.ledger.source("ipsum").unwrap();
    let other = Hold {
        reason: netblock(&b),
        source: feed,
        since: b.now(),
        until: b.now().plus(Seconds(90 * DAY)),
    };
    let restore = Command::Restore {
        entries: verdict(&b).entries,
        exempt: None,
        holds: vec![other.clone()],
    };
    change(&b, restore);
    let ticket = suspended(&mut b);
    let holds = verdict(&b).holds;
    assert_eq!(holds.len(), 2, "{holds:?}");
    b.tickets
        .refuse(&operator(), ticket.number, "spam", b.now())
        .unwrap();
    let holds = verdict(&b).holds;
    let kept = |h: &Hold| (h.reason, h.source, h.until) == (other.reason, feed, other.until);
    assert!(holds.len() == 1 && kept(&holds[0]), "{holds:?}");
    assert!(b.is_listed(HOST), "that hold is on another source");
}

#[test]
fn hold_that_replaced_a_suspension_outlives_it() {
    let mut b = Bench::new();
    let ticket = suspended(&mut b);
    let (reason, until) = (netblock(&b), b.now().plus(Seconds(5 * DAY)));
    let until = Some(until);
    change(&b, Command::Hold { reason, until });
    let ticket = b.tickets.withdraw(ticket.number, b.now()).unwrap();
    assert_eq!(ticket.state, TicketState::Withdrawn);
    let holds = verdict(&b).holds;
    assert_eq!(
        holds.iter().map(|h| Some(h.until)).collect::<Vec<_>>(),
        [until]
    );
    assert!(!b.is_listed(HOST));
}

#[test]
fn removal_of_a_suspended_listing_leaves_the_hold_of_a_removal() {
    let mut b = Bench::new();
    let ticket = suspended(&mut b);
    let delist = Command::Delist {
        reason: Some(netblock(&b)),
        source: None,
        hold: HoldFor::Usual,
    };
    change(&b, delist);
    b.tick();
    let ticket = b.get(&ticket);
    assert_eq!(ticket.state, TicketState::Granted, "{:?}", states(&ticket));
    let holds = verdict(&b).holds;
    let month = crate::clock::wall().plus(Seconds(31 * DAY));
    assert!(holds.len() == 1 && holds[0].until < month, "{holds:?}");
    assert!(ticket.removal.is_some_and(|r| !r.zones.is_empty()));
}

#[test]
fn exemption_during_a_suspension_ends_the_ticket_and_the_suspension() {
    let mut b = Bench::new();
    let ticket = suspended(&mut b);
    change(&b, Command::Exempt { until: None });
    b.tick();
    assert_eq!(b.get(&ticket).state, TicketState::Ended);
    assert!(verdict(&b).holds.is_empty());
}

#[test]
fn end_of_an_exception_keeps_other_holds_on_its_reasons() {
    let mut b = Bench::new();
    b.list("127.64.0.0/24", "dynamic");
    let ticket = b.open(HOST);
    let name = Some("mail.example.org");
    b.tickets.name_found(ip(HOST), name, b.now()).unwrap();
    assert_eq!(b.get(&ticket).state, TicketState::Granted);
    let holds = verdict(&b).holds;
    let reason = holds[0].reason;
    let until = b.now().plus(Seconds(9 * DAY));
    let until = Some(until);
    change(&b, Command::Hold { reason, until });
    b.later(DAY);
    let other = Some("mail.example.net");
    b.tickets.name_found(ip(HOST), other, b.now()).unwrap();
    let ends: Vec<_> = verdict(&b).holds.iter().map(|h| Some(h.until)).collect();
    assert_eq!(ends, [until]);
}

#[test]
fn network_of_a_domain_is_its_registered_domain() {
    let b = Bench::new();
    let network = |name: &str| b.tickets.network(&name.parse().unwrap());
    assert_eq!(network("mail.a.co.uk"), network("a.co.uk"));
    assert_ne!(network("a.co.uk"), network("b.co.uk"));
    assert_eq!(network("mx.example.org"), "example.org");
}
