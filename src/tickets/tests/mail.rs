//! Mail about tickets: codes, attempts, and requests by mail.

use super::*;
use crate::{
    mail::{AutomaticMail, MailError},
    texts::Language,
    tickets::{
        control::ControlSettings,
        inbound::{MailRequest, RejectedMail},
        mail_rows::{MAX_QUEUED, OUTBOX, QueuedMail},
        mail_text::MailKind,
        outbox::{MailSender, round},
    },
};

const HOST: &str = "127.64.0.1";

/// A bench that sends mail.
fn with_mail() -> Bench {
    let b = Bench::new();
    b.tickets.configure(TicketSettings {
        control: ControlSettings {
            base_url: "https://lists.example".into(),
            mail: true,
            ..ControlSettings::default()
        },
        ..TicketSettings::default()
    });
    b
}

/// Sends the mail that is due, with the result of each. Returns what was given to the smart host.
fn send(b: &Bench, result: fn(&AutomaticMail) -> Result<(), MailError>) -> Vec<AutomaticMail> {
    let sent: Arc<Mutex<Vec<AutomaticMail>>> = Arc::default();
    let seen = sent.clone();
    let sender: MailSender = Arc::new(move |mail| {
        let out = result(&mail);
        seen.lock().push(mail);
        Box::pin(async move { out })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let sending = round(&b.tickets, Some(&sender));
    runtime.unwrap().block_on(sending).unwrap();
    let sent = sent.lock();
    sent.clone()
}

/// The code of the link in the only mail that is due.
fn sent_code(b: &Bench) -> String {
    let [mail] = &send(b, |_| Ok(()))[..] else {
        panic!("one mail is due");
    };
    let (_, code) = mail.text.split_once("/confirm/").unwrap();
    code.split_whitespace().next().unwrap().into()
}

fn queued(b: &Bench) -> usize {
    let batch = b.tickets.batch(b.now());
    batch.keys(OUTBOX, None, MAX_QUEUED).unwrap().len()
}

#[test]
fn contact_code_confirms_only_the_address_that_it_was_sent_to() {
    let b = with_mail();
    b.list(HOST, "netblock");
    let n = b.open(HOST).number;
    let now = b.tickets.now();
    b.tickets.set_contact(n, "mine@example.org", now).unwrap();
    let code = sent_code(&b);
    b.tickets.set_contact(n, "victim@example.net", now).unwrap();
    let e = b.tickets.confirm(&code, None, now);
    assert!(matches!(e, Err(TicketError::NotFound(_))), "{e:?}");
    let contact = b.tickets.get(n).unwrap().contact.unwrap();
    assert_eq!(
        (contact.confirmed, &*contact.address),
        (None, "victim@example.net")
    );
    let code = sent_code(&b);
    assert!(b.tickets.confirm(&code, None, now).is_ok());
}

#[test]
fn end_of_the_mail_ends_the_contact_code() {
    let b = with_mail();
    b.list(HOST, "netblock");
    let n = b.open(HOST).number;
    let now = b.tickets.now();
    b.tickets.set_contact(n, "mine@example.org", now).unwrap();
    let code = sent_code(&b);
    b.tickets.unsubscribe(n, now).unwrap();
    let e = b.tickets.confirmation(&code, None, now);
    assert!(matches!(e, Err(TicketError::NotFound(_))), "{e:?}");
}

#[test]
fn mail_that_is_refused_for_good_is_dropped_and_the_rest_is_sent() {
    let b = with_mail();
    let now = b.tickets.now();
    for (host, to) in [(HOST, "bad"), ("127.64.0.2", "a"), ("127.64.0.3", "b")] {
        b.list(host, "netblock");
        let n = b.open(host).number;
        let to = format!("{to}@example.org");
        b.tickets.set_contact(n, &to, now).unwrap();
    }
    let sent = send(&b, |mail| match mail.to.starts_with("bad@") {
        true => Err(MailError::Permanent("550 5.1.1 unknown".into())),
        false => Ok(()),
    });
    assert_eq!((sent.len(), queued(&b)), (3, 0));
}

#[test]
fn mail_waits_while_the_smart_host_fails() {
    let b = with_mail();
    let now = b.tickets.now();
    for (host, to) in [(HOST, "a@example.org"), ("127.64.0.2", "b@example.org")] {
        b.list(host, "netblock");
        let n = b.open(host).number;
        b.tickets.set_contact(n, to, now).unwrap();
    }
    let sent = send(&b, |_| Err(MailError::Temporary("451 4.3.0 later".into())));
    assert_eq!((sent.len(), queued(&b)), (1, 2));
}

fn by_mail(b: &Bench, author: &str) -> Result<u64, RejectedMail> {
    let request = MailRequest {
        subjects: vec![HOST.parse().unwrap()],
        author: author.into(),
        language: Language::negotiate("de"),
        answers: None,
    };
    request.open(&b.tickets, b.tickets.now())
}

#[test]
fn request_by_mail_is_not_granted_unless_its_answer_is_queued() {
    let b = with_mail();
    b.list(HOST, "unconfirmed");
    let mail = QueuedMail {
        ticket: 99,
        kind: MailKind::Answer,
        to: "x@example.org".into(),
        answers: None,
        tries: 0,
        next_at: b.now(),
        queued_at: b.now(),
    };
    let fill = |batch: &mut TicketBatch<'_>| {
        (0..MAX_QUEUED as u64).for_each(|id| batch.put(OUTBOX, &id, &mail));
        Ok(())
    };
    b.tickets.decide(b.now(), fill).unwrap();
    let e = by_mail(&b, "anna@example.org").unwrap_err().to_string();
    assert!(e.starts_with("451 4.7.1 too much mail is waiting"), "{e}");
    assert!(b.is_listed(HOST) && b.tickets.get(1).is_err());
    // The failed request does not count as the one of the day.
    let free = |batch: &mut TicketBatch<'_>| {
        batch.delete(OUTBOX, &0);
        Ok(())
    };
    b.tickets.decide(b.now(), free).unwrap();
    assert_eq!(by_mail(&b, "anna@example.org"), Ok(1));
    assert!(!b.is_listed(HOST));
    assert_eq!(queued(&b), MAX_QUEUED);
}

#[test]
fn second_request_of_a_day_by_mail_is_refused_for_good() {
    let b = with_mail();
    b.list(HOST, "netblock");
    assert_eq!(by_mail(&b, "anna@example.org"), Ok(1));
    let e = by_mail(&b, "Anna@example.org").unwrap_err().to_string();
    assert!(e.starts_with("550 5.7.1 one request a day by mail"), "{e}");
    assert_eq!(by_mail(&b, "ben@example.org"), Ok(2));
}
