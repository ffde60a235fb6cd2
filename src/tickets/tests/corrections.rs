//! Corrections of the knowledge base: a person decides, and no listing changes.

use super::*;
use crate::tickets::{
    corrections::{MAX_CORRECTION_CHARS, NewCorrection},
    tables::OPEN,
};

const DOMAINS: &str = r#"
origin = "dbl.orbs.example"
kind = "domain"
ns = ["ns1.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "netblock", code = "127.0.1.2" }, { reason = "unconfirmed", code = "127.0.1.3" }]
"#;

fn correction(text: &str) -> NewCorrection {
    NewCorrection {
        product: "postfix".into(),
        entry: "relay-domains".into(),
        version: "3.9".into(),
        text: text.into(),
        source: "https://www.postfix.example/\nVersion: 1".into(),
        language: "de".into(),
    }
}

fn send(b: &Bench) -> Ticket {
    let request = correction("The default has changed.");
    b.tickets.open_correction(&request, b.now()).unwrap()
}

/// The events of the domain `postfix`.
fn history(b: &Bench) -> usize {
    let subject: Subject = "postfix".parse().unwrap();
    b.tickets.ledger.store.history(&subject).unwrap().len()
}

#[test]
fn correction_waits_for_a_person_with_its_fields_as_lines() {
    let b = Bench::new();
    let ticket = send(&b);
    assert_eq!(ticket.kind, TicketKind::Correction);
    assert_eq!(ticket.subject.to_string(), "postfix");
    assert_eq!(states(&ticket), [TicketState::Review]);
    assert!(ticket.answer_by().is_some() && !ticket.policy.requires_proof());
    assert_eq!(
        ticket.messages[0].text.replace('\u{fffd}', " "),
        "Product: postfix\nEntry: relay-domains\nVersion: 3.9\nSource: https://www.postfix.example/ Version: 1\n\nThe default has changed."
    );
    let waiting = b.tickets.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
}

#[test]
fn correction_without_a_text_or_with_a_long_field_is_refused_with_its_field() {
    let b = Bench::new();
    let long = NewCorrection {
        version: "1".repeat(201),
        ..correction("a")
    };
    let unknown = NewCorrection {
        product: "192.0.2.1".into(),
        ..correction("a")
    };
    for (request, field) in [
        (correction(" \n"), "text:"),
        (correction(&"a".repeat(MAX_CORRECTION_CHARS + 1)), "text:"),
        (long, "version:"),
        (unknown, "product:"),
    ] {
        let e = b.tickets.open_correction(&request, b.now());
        assert!(
            matches!(&e, Err(TicketError::Invalid(why)) if why.starts_with(field)),
            "{e:?}"
        );
    }
}

#[test]
fn correction_never_touches_a_listing_of_the_same_name() {
    let mut b = Bench::with(&[ZONE, DOMAINS]);
    b.list("postfix", "netblock");
    b.list("postfix", "unconfirmed");
    let (events, holds) = (history(&b), 0);
    let [accepted, refused, withdrawn] = [send(&b), send(&b), send(&b)];
    for ticket in [&accepted, &refused, &withdrawn] {
        let n = ticket.number;
        let proved = b.tickets.prove(n, ControlMethod::Dns, b.now());
        assert!(matches!(proved, Err(TicketError::Refused(_))), "{proved:?}");
        assert!(b.tickets.retry(n, b.now()).is_err());
        assert!(b.tickets.ask_review(n, b.now()).is_err());
        assert!(b.tickets.send_code(n, "", b.now()).is_err());
        let renewed = b.tickets.renew_control_code(n, b.now()).unwrap();
        assert!(b.tickets.control_options(&renewed, b.now()).0.is_empty());
    }
    for _ in 0..40 {
        b.later(DAY);
        b.tick();
    }
    assert_eq!(b.get(&accepted).state, TicketState::Review, "not suspended");
    let ticket = b
        .tickets
        .approve(&operator(), accepted.number, "Thank you.", b.now())
        .unwrap();
    assert_eq!(ticket.state, TicketState::Granted);
    assert!(ticket.removal.is_none() && ticket.test.is_none());
    let ticket = b
        .tickets
        .refuse(&operator(), refused.number, "No.", b.now())
        .unwrap();
    assert_eq!(ticket.state, TicketState::Refused);
    let ticket = b.tickets.withdraw(withdrawn.number, b.now()).unwrap();
    assert_eq!(ticket.state, TicketState::Withdrawn);
    b.later(DAY);
    b.tick();
    let subject: Subject = "postfix".parse().unwrap();
    assert_eq!(b.tickets.listings(&subject).unwrap().len(), 2);
    let verdict = b.tickets.ledger.store.verdict(&subject).unwrap();
    assert_eq!(verdict.holds.len(), holds);
    assert_eq!(history(&b), events);
}

#[test]
fn correction_of_a_name_that_is_not_listed_stays_open_until_somebody_decides() {
    let mut b = Bench::new();
    let ticket = send(&b);
    for _ in 0..100 {
        b.later(DAY);
        b.tick();
    }
    assert_eq!(b.get(&ticket).state, TicketState::Review);
    let now = b.now();
    let answered = b.tickets.add_message(ticket.number, "Also 3.8.", now);
    assert_eq!(answered.unwrap().messages.len(), 2);
    let approved = b.tickets.approve(&operator(), ticket.number, "", now);
    assert_eq!(approved.unwrap().state, TicketState::Granted);
}

#[test]
fn corrections_of_a_product_are_limited_and_do_not_keep_its_name_from_a_removal() {
    let b = Bench::with(&[ZONE, DOMAINS]);
    b.list("postfix", "netblock");
    let first = send(&b);
    let copy = |batch: &mut TicketBatch<'_>| {
        for n in 1..20 {
            batch.save(&Ticket {
                number: 1000 + n,
                ..first.clone()
            });
        }
        Ok(())
    };
    b.tickets.decide(b.now(), copy).unwrap();
    let e = b.tickets.open_correction(&correction("a"), b.now());
    assert!(
        matches!(&e, Err(TicketError::LimitReached(why, _)) if why.contains("corrections of postfix")),
        "{e:?}"
    );
    assert_eq!(b.open("postfix").state, TicketState::NeedsProof);
}

#[test]
fn corrections_of_a_product_are_limited_by_the_hour() {
    let b = Bench::new();
    for _ in 0..20 {
        let ticket = send(&b);
        b.tickets.withdraw(ticket.number, b.now()).unwrap();
    }
    let e = b.tickets.open_correction(&correction("a"), b.now());
    assert!(
        matches!(&e, Err(TicketError::LimitReached(why, _)) if why.contains("an hour")),
        "{e:?}"
    );
    let other = NewCorrection {
        product: "exim".into(),
        ..correction("a")
    };
    assert!(b.tickets.open_correction(&other, b.now()).is_ok());
}

#[test]
fn correction_counts_against_the_limit_of_open_tickets_and_makes_no_room() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.open("127.64.0.1");
    let fill = |batch: &mut TicketBatch<'_>| {
        let numbers = 1000..1000 + super::super::service::MAX_OPEN_TICKETS as u64;
        numbers.for_each(|n| batch.put(OPEN, &n, &()));
        Ok(())
    };
    b.tickets.decide(b.now(), fill).unwrap();
    let e = b.tickets.open_correction(&correction("a"), b.now());
    assert!(matches!(e, Err(TicketError::LimitReached(..))), "{e:?}");
    assert_eq!(b.get(&ticket).state, TicketState::NeedsProof);
}

#[test]
fn ticket_that_an_earlier_version_stored_is_a_request_for_removal() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let mut stored = serde_json::to_value(b.open("127.64.0.1")).unwrap();
    let removed = stored.as_object_mut().unwrap().remove("kind");
    assert_eq!(removed, Some("removal".into()));
    let ticket: Ticket = serde_json::from_value(stored).unwrap();
    assert_eq!(ticket.kind, TicketKind::Removal);
    let correction = serde_json::to_value(send(&b)).unwrap();
    assert_eq!(correction["kind"], "correction");
}
