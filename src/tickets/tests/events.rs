//! Events about tickets, and the commits that they belong to.

use super::*;
use crate::{
    ledger::{
        AccountChange,
        outbox::{Webhook, messages},
    },
    store::{CommitFault, journal::ChangedSince},
};

const HOST: &str = "127.64.0.1";

/// A bench with a webhook and a listing that is removed on request.
fn with_webhook() -> Bench {
    let b = Bench::new();
    b.list(HOST, "unconfirmed");
    let webhook = Webhook {
        id: "w1".into(),
        url: "https://hook.example/".into(),
        secret: vec![1],
        since: b.now(),
        by: "anna".into(),
        paused: None,
    };
    let change = AccountChange::Webhook(webhook);
    let ledger = &b.tickets.ledger;
    ledger.change_accounts_blocking(change, None).unwrap();
    b
}

/// The messages of the webhook: the number of the commit, the event, and the state of the ticket.
fn events(b: &Bench) -> Vec<(u64, String, String)> {
    let all = messages(&b.tickets.ledger.store, "w1", 100).unwrap();
    let read = |m: crate::ledger::outbox::Message| {
        let body: serde_json::Value = serde_json::from_str(&m.body).unwrap();
        assert_eq!(body["commit"], m.commit);
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_string();
        (m.commit, text("event"), text("state"))
    };
    all.into_iter().map(read).collect()
}

/// Opens a ticket that is granted at once, while the store fails; then lets the store work again.
fn open_with(b: &Bench, fault: CommitFault) {
    let store = &b.tickets.ledger.store;
    *store.fault.lock() = Some(fault);
    let opened = b.tickets.open(&b.request(HOST), b.now());
    assert!(matches!(opened, Err(TicketError::Ledger(_))), "{opened:?}");
    *store.fault.lock() = None;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    for _ in 0..200 {
        runtime.block_on(b.tickets.ledger.tick());
        if b.tickets.ledger.health.poisoned().is_none() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{:?}", b.tickets.ledger.health.poisoned());
}

/// The daemon can die after each write. The first write has the removal, the ticket and both events.
#[test]
fn removal_and_its_events_are_one_write() {
    let b = with_webhook();
    let before = b.tickets.ledger.store.seq().unwrap();
    open_with(&b, CommitFault::Written);
    assert!(!b.is_listed(HOST));
    let ticket = b.tickets.get(1).unwrap();
    assert_eq!(ticket.state, TicketState::Granted);
    let event = |n, event: &str, state: &str| (before + n, event.to_string(), state.to_string());
    let expected = [
        event(1, "commit", ""),
        event(2, "ticket-opened", ""),
        event(3, "ticket-closed", "granted"),
    ];
    assert_eq!(events(&b), expected);
    // Each number has a row of the journal, so that readers of changes do not stop at an event.
    let changed = b.tickets.ledger.store.changed_since(before).unwrap();
    let ChangedSince::Subjects(subjects) = changed else {
        panic!("the journal lacks a commit");
    };
    assert_eq!(subjects, [HOST.parse().unwrap()]);
    // What the daemon does after that write is done when it runs again.
    assert!(ticket.removal.clone().unwrap().zones.is_empty());
    b.tick();
    let removal = b.get(&ticket).removal.unwrap();
    assert_eq!(removal.zones[0].zone, "bl.orbs.example");
    assert!(removal.ttl > 0);
    assert_eq!(events(&b).len(), 3, "nothing is reported twice");
}

#[test]
fn failed_write_leaves_neither_removal_nor_events() {
    let b = with_webhook();
    open_with(&b, CommitFault::NotWritten);
    assert!(b.is_listed(HOST) && b.tickets.get(1).is_err());
    assert_eq!(events(&b), []);
    b.open(HOST);
    let names: Vec<String> = events(&b).into_iter().map(|(_, event, _)| event).collect();
    assert_eq!(names, ["commit", "ticket-opened", "ticket-closed"]);
}

#[test]
fn event_without_a_change_of_a_listing_takes_the_place_of_the_commit() {
    let b = with_webhook();
    b.list("127.64.0.2", "netblock");
    let listed = b.tickets.ledger.store.seq().unwrap();
    let ticket = b.open("127.64.0.2");
    b.tickets.withdraw(ticket.number, b.now()).unwrap();
    let after: Vec<_> = events(&b).into_iter().filter(|e| e.0 > listed).collect();
    let event = |n, event: &str, state: &str| (listed + n, event.to_string(), state.to_string());
    let expected = [
        event(1, "ticket-opened", ""),
        event(2, "ticket-closed", "withdrawn"),
    ];
    assert_eq!(after, expected);
}

/// A relay test releases a host by a commit of its own; the ticket follows it.
#[test]
fn ticket_whose_host_was_released_before_a_crash_is_closed_with_its_event() {
    let mut b = with_webhook();
    let host = "127.64.0.9";
    b.relay.prove(host);
    b.later(10);
    let ticket = b.open(host);
    b.relay
        .relay
        .review(&operator(), ip(host), "released", b.now())
        .unwrap();
    b.tick();
    let ticket = b.get(&ticket);
    assert_eq!(ticket.state, TicketState::Granted, "{:?}", states(&ticket));
    let last = events(&b).pop().unwrap();
    assert_eq!(
        (last.1.as_str(), last.2.as_str()),
        ("ticket-closed", "granted")
    );
}
