//! Which messages at the collector prove an open relay.

use super::*;

#[test]
fn acceptance_lists_no_host_and_delivery_does() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (job, ready) = b.run(&job, &accepted());
    assert_eq!(
        (job.state, job.assessment(), b.listed("127.64.0.1").len()),
        (JobState::Done, Assessment::Accepted, 0)
    );
    assert_eq!(
        b.deliver(&ready[0], "127.64.0.1"),
        ArrivalOutcome::Recorded(2)
    );
    assert_eq!(b.listed("127.64.0.1"), ["relay"]);
    assert_eq!(b.relay.job(job.id).unwrap().assessment(), Assessment::Open);
    let proof = &b.relay.proofs(ip("127.64.0.1"), true, 10).unwrap()[0];
    assert_eq!(
        (
            String::from(proof.outcome.clone()).as_str(),
            proof.test.as_str()
        ),
        ("relay", "plain")
    );
    let history = b
        .relay
        .ledger
        .store
        .history(&Subject::host(ip("127.64.0.1")))
        .unwrap();
    assert!(
        history[0]
            .evidence
            .as_ref()
            .unwrap()
            .text
            .contains("proof 2"),
        "{history:?}"
    );
}

/// Terminals and logs may display the envelope of a proof.
#[test]
fn proof_keeps_its_envelope_without_control_characters() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (_, ready) = b.run(&job, &accepted());
    let to = ready[0].envelope.to[ready[0].envelope.probe]
        .trim_matches(['<', '>'])
        .to_string();
    let incoming = ReceivedMessage {
        hello: "x\u{1b}[31m\u{9b}2J".into(),
        from: "a\u{1b}[2Jb\u{202e}@c".into(),
        to: vec![to, "y\u{7}\n@z".into()],
        data: [&ready[0].message[..], b"\r\nx\x1b[2J\xe2\x80\xae"].concat(),
    };
    assert_eq!(
        b.relay.arrived(&incoming, ip("127.64.0.1"), b.now).unwrap(),
        ArrivalOutcome::Recorded(2)
    );
    let proof = b.relay.proof(2).unwrap();
    for text in [&proof.hello, &proof.from, &proof.to[1]] {
        assert!(
            !text.contains(crate::model::text::needs_escape)
                && text.contains(char::REPLACEMENT_CHARACTER),
            "{text:?}"
        );
    }
    assert!(!proof.message.contains(['\u{1b}', '\u{202e}']) && proof.message.contains("[2J"));
}

/// S17.
#[test]
fn wrong_reused_late_or_foreign_token_lists_no_host() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    let other = TokenCodec::new(b"other").text(TokenKind::Probe, &[9; 8]);
    assert_eq!(
        b.arrive(&format!("{other}@probe.example"), b"", host),
        ArrivalOutcome::NoToken
    );
    let unknown = b.relay.settings().tokens.text(TokenKind::Probe, &[9; 8]);
    assert_eq!(
        b.arrive(&format!("{unknown}@probe.example"), b"", host),
        ArrivalOutcome::NoToken,
        "a token with a valid signature that was never issued"
    );
    let back = ready[0].envelope.from.trim_matches(['<', '>']).to_string();
    b.arrive(&back, &ready[0].message, host);
    assert_eq!(
        b.arrive("postmaster@probe.example", &ready[0].message, host),
        ArrivalOutcome::NoToken
    );
    assert!(b.listed(host).is_empty());
    assert_eq!(
        b.relay.job(job.id).unwrap().results[0].outcome.as_str(),
        "bounced"
    );
    b.later(14 * 86_400 + 1);
    b.deliver(&ready[0], host);
    assert!(b.listed(host).is_empty());
    assert_eq!(
        String::from(
            b.relay.proofs(ip(host), true, 9).unwrap()[0]
                .outcome
                .clone()
        ),
        "too late: the token was older than 14 days"
    );
    let ready = b.prove(host);
    let commits = b.relay.ledger.store.seq().unwrap();
    b.deliver(&ready[0], host);
    assert_eq!(
        b.relay.ledger.store.seq().unwrap(),
        commits,
        "a repeated delivery is not stored"
    );
}

/// Once, messages in the queue of a host listed it again after a review.
#[test]
fn message_sent_before_a_review_lists_no_host() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    b.later(10);
    let claim = b.claim(host);
    let (_, sent) = b.run(&claim.job, &accepted());
    b.later(86_400);
    b.relay
        .review(&who("anna"), ip(host), "reviewed", b.now)
        .unwrap();
    b.later(86_400);
    b.deliver(&sent[0], host);
    assert!(b.listed(host).is_empty());
    assert_eq!(
        b.relay.jobs(None, true, 9).unwrap()[0].trigger,
        Trigger::Review
    );
}

/// A test whose sender and recipient are one address.
fn same_address_test(b: &mut Bench, host: &str) -> (Job, Vec<PreparedMessage>) {
    let n = Nomination {
        only: vec!["same-address".into()],
        ..b.nomination(host, "log")
    };
    let job = b.nominate_as("anna", n);
    b.run(&job, &accepted())
}

/// Once, a bounce to the probe's own address was taken for the probe.
#[test]
fn bounce_to_the_address_of_the_probe_lists_no_host() {
    let mut b = Bench::new();
    let (_, ready) = same_address_test(&mut b, "127.68.0.1");
    let to = ready[0].envelope.from.trim_matches(['<', '>']).to_string();
    let incoming = ReceivedMessage {
        hello: "x".into(),
        from: String::new(),
        to: vec![to],
        data: b"Subject: Returned mail\r\n\r\n".to_vec(),
    };
    b.relay.arrived(&incoming, ip("127.68.0.1"), b.now).unwrap();
    assert!(b.listed("127.68.0.1").is_empty());
}

/// Once, a report without the marks of one was taken for the message if both addresses are the
/// same.
#[test]
fn report_that_quotes_the_message_is_a_bounce_and_the_message_itself_lists() {
    let mut b = Bench::new();
    let (job, ready) = same_address_test(&mut b, "127.67.0.1");
    let to = ready[0].envelope.to[0].trim_matches(['<', '>']).to_string();
    let quoted = [
        &b"Subject: Undeliverable\r\nFrom: <postmaster@x.example>\r\n\r\nThis came back:\r\n"[..],
        &ready[0].message,
    ]
    .concat();
    b.arrive(&to, &quoted, "127.67.0.1");
    assert!(b.listed("127.67.0.1").is_empty());
    assert_eq!(
        b.relay.job(job.id).unwrap().results[0].outcome.as_str(),
        "bounced"
    );
    b.arrive(&to, &ready[0].message, "127.67.0.1");
    assert_eq!(
        b.listed("127.67.0.1"),
        ["relay"],
        "the message itself lists the host"
    );
}

/// Once, each further host that delivered the same message caused another listing and another
/// proof.
#[test]
fn message_from_many_hosts_is_stored_at_most_forty_times() {
    let mut b = Bench::new();
    let job = b.nominate("127.69.0.1", "anna");
    let (_, ready) = b.run(&job, &accepted());
    for i in 0..40 {
        b.deliver(&ready[0], &format!("127.80.0.{}", i % 30));
    }
    let commits = b.relay.ledger.store.seq().unwrap();
    let stored = b.relay.proofs(ip("127.69.0.1"), true, 999).unwrap().len();
    b.deliver(&ready[0], "127.80.0.3");
    b.deliver(&ready[0], "127.80.0.99");
    let now = b.relay.proofs(ip("127.69.0.1"), true, 999).unwrap().len();
    assert!(stored <= 40 && now <= stored + 1);
    assert_eq!(b.relay.ledger.store.seq().unwrap(), commits);
}

/// Once, a message that proves nothing was stored as often as it was delivered.
#[test]
fn message_that_the_host_refused_is_stored_once_for_each_output() {
    let mut b = Bench::new();
    let job = b.nominate("127.66.0.1", "anna");
    let (_, ready) = b.run(&job, &refused());
    for _ in 0..3 {
        b.deliver(&ready[0], "127.66.0.1");
    }
    assert_eq!(b.relay.proofs(ip("127.66.0.1"), true, 99).unwrap().len(), 1);
    for i in 0..100 {
        b.deliver(&ready[0], &format!("127.81.0.{i}"));
    }
    assert_eq!(
        b.relay.proofs(ip("127.66.0.1"), true, 999).unwrap().len(),
        40
    );
}
