//! Tickets that a relay test decides: repeated tests, and repeated decisions.

use super::*;

const HOST: &str = "127.64.0.1";

/// A ticket whose test found the host open.
fn failed(b: &mut Bench) -> Ticket {
    let ticket = waiting(b);
    b.relay.deliver(&ticket.1, HOST);
    b.tick();
    let ticket = b.get(&ticket.0);
    assert_eq!(ticket.state, TicketState::Failed);
    ticket
}

/// A ticket in its waiting period, and a message that the host has accepted.
fn waiting(b: &mut Bench) -> (Ticket, crate::relay::PreparedMessage) {
    b.relay.prove(HOST);
    b.later(10);
    let ticket = b.open(HOST);
    b.relay.relay.due(9, b.now()).unwrap();
    let job = b.relay.relay.job(ticket.test.clone().unwrap().job).unwrap();
    let (_, mut ready) = b.relay.run(&job, &accepted());
    b.tick();
    let ticket = b.get(&ticket);
    assert_eq!(ticket.state, TicketState::Waiting);
    (ticket, ready.remove(0))
}

#[test]
fn retry_of_a_test_that_has_not_ended_joins_it() {
    let b = {
        let mut b = Bench::new();
        b.relay.prove(HOST);
        b.later(10);
        b
    };
    let before = b.open(HOST);
    assert_eq!(before.state, TicketState::Testing);
    let after = b.tickets.retry(before.number, b.now()).unwrap();
    assert_eq!(after.state, TicketState::Testing);
    assert_eq!(states(&after), states(&before));
    let job = |t: &Ticket| t.test.as_ref().map(|t| t.job);
    assert_eq!(job(&after), job(&before));
    assert_eq!(
        b.relay.relay.jobs(None, false, 9).unwrap().len(),
        2,
        "no new job"
    );
}

#[test]
fn retry_in_the_waiting_period_keeps_its_end() {
    let mut b = Bench::new();
    let (before, _) = waiting(&mut b);
    let release = before.next_at;
    assert!(release > Some(b.now()));
    let early = b.tickets.retry(before.number, b.now()).unwrap();
    assert_eq!(
        (early.state, early.next_at),
        (TicketState::Waiting, release)
    );
    let job = |t: &Ticket| t.test.as_ref().map(|t| t.job);
    assert_eq!(job(&early), job(&before), "too early for another test");
    b.later(DAY);
    let later = b.tickets.retry(before.number, b.now()).unwrap();
    assert_eq!(
        (later.state, later.next_at),
        (TicketState::Waiting, release)
    );
    assert!(job(&later) > job(&before), "the host is tested again");
    assert_eq!(states(&later), states(&before));
}

#[test]
fn closed_ticket_is_not_tested_again() {
    let mut b = Bench::new();
    let ticket = failed(&mut b);
    b.tickets.withdraw(ticket.number, b.now()).unwrap();
    let e = b.tickets.retry(ticket.number, b.now());
    assert!(matches!(e, Err(TicketError::Refused(_))), "{e:?}");
}

#[test]
fn second_approval_of_a_tested_host_is_refused_and_changes_nothing() {
    let mut b = Bench::new();
    let n = failed(&mut b).number;
    b.tickets.ask_review(n, b.now()).unwrap();
    let who = operator();
    let first = b.tickets.approve(&who, n, "It is closed.", b.now());
    let first = first.unwrap();
    assert_eq!(first.state, TicketState::Granted);
    assert!(!b.is_listed(HOST));
    let store = &b.tickets.ledger.store;
    let events = store.history(&first.subject).unwrap();
    let commits = store.seq().unwrap();
    let second = b.tickets.approve(&who, n, "It is closed.", b.now());
    let why = format!("ticket {n} is closed: granted");
    assert!(
        matches!(&second, Err(TicketError::Refused(text)) if *text == why),
        "{second:?}"
    );
    assert_eq!(b.get(&first), first);
    assert_eq!(store.history(&first.subject).unwrap(), events);
    assert_eq!(store.seq().unwrap(), commits);
}
