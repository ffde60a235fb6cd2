//! What happens when as many tickets are open, or wait for a person, as may.

use super::*;
use crate::tickets::{
    open_limits::{MAX_MADE_ROOM, MAX_UNPROVED_REVIEWS},
    service::MAX_OPEN_TICKETS,
    tables::{OPEN, TICKETS, WAITING},
};

/// The number of the first ticket that [`fill`] stores.
const FIRST: u64 = 1000;

/// Fills the server with copies of an open ticket, each of which changed a second after the one
/// before.
fn fill(b: &Bench, ticket: &Ticket) {
    let copy = |batch: &mut TicketBatch<'_>| {
        for n in 0..MAX_OPEN_TICKETS as u64 - 1 {
            let copy = Ticket {
                number: FIRST + n,
                changed: ticket.changed.plus(Seconds(n)),
                ..ticket.clone()
            };
            batch.put(TICKETS, &copy.number, &copy);
            batch.put(OPEN, &copy.number, &());
        }
        Ok(())
    };
    b.tickets.decide(b.now(), copy).unwrap();
}

#[test]
fn request_that_is_granted_at_once_is_not_refused_on_a_full_server() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    b.list("127.64.0.2", "netblock");
    b.list("127.64.0.3", "unconfirmed");
    fill(&b, &b.proved("127.64.0.1"));
    let e = b.tickets.open(&b.request("127.64.0.2"), b.now());
    assert!(matches!(e, Err(TicketError::LimitReached(..))), "{e:?}");
    assert_eq!(b.open("127.64.0.3").state, TicketState::Granted);
}

#[test]
fn full_server_withdraws_tickets_without_a_proof_that_have_waited_longest() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    b.list("127.64.0.2", "netblock");
    let first = b.open("127.64.0.1");
    fill(&b, &first);
    let proved = FIRST + 1;
    b.tickets
        .prove(proved, ControlMethod::Dns, b.now())
        .unwrap();
    assert_eq!(b.open("127.64.0.2").state, TicketState::NeedsProof);
    let state = |n| b.tickets.get(n).unwrap().state;
    assert_eq!(state(first.number), TicketState::Withdrawn);
    assert_eq!(state(proved), TicketState::Review);
    // The first one and the proved one are not among the copies that are withdrawn.
    let last = FIRST + MAX_MADE_ROOM as u64 - 1;
    assert_eq!(state(last), TicketState::Withdrawn);
    assert_eq!(state(last + 1), TicketState::NeedsProof);
}

#[test]
fn requests_without_a_proof_do_not_keep_those_with_one_from_a_review() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    b.list("127.64.0.2", "netblock");
    let ticket = b.open("127.64.0.1");
    let other = b.open("127.64.0.2");
    let wait = |batch: &mut TicketBatch<'_>| {
        let numbers = FIRST..FIRST + MAX_UNPROVED_REVIEWS as u64;
        numbers.for_each(|n| batch.put(WAITING, &n, &()));
        Ok(())
    };
    b.tickets.decide(b.now(), wait).unwrap();
    let e = b.tickets.ask_review(ticket.number, b.now());
    assert!(matches!(e, Err(TicketError::LimitReached(..))), "{e:?}");
    let proved = b
        .tickets
        .prove(other.number, ControlMethod::Dns, b.now())
        .unwrap();
    assert_eq!(proved.state, TicketState::Review);
}
