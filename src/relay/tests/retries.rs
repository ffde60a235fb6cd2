//! Deferred, repeated and interrupted tests.

use super::*;
use crate::store::schema::FeatureFamily;

#[test]
fn deferred_message_is_sent_three_times_with_one_token() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let later = MessageOutcome::TempFail {
        stage: SmtpStage::Rcpt,
        code: 450,
        text: "greylisted".into(),
    };
    let (mut job, first) = b.run(&job, &later);
    let mut pauses = Vec::new();
    for _ in 0..2 {
        pauses.push(job.not_before.0 - b.now.0);
        b.now = job.not_before;
        assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
        let (next, again) = b.run(&job, &later);
        assert_eq!(
            (again.len(), &again[0].envelope),
            (1, &first[0].envelope),
            "the same token"
        );
        job = next;
    }
    assert_eq!(pauses, [300, 900]);
    assert_eq!(
        (job.state, job.assessment()),
        (JobState::Done, Assessment::Inconclusive)
    );
    assert!(
        matches!(&job.results[0].outcome, MessageOutcome::Inconclusive { why, deferred_at: Some(SmtpStage::Rcpt), .. } if why == "deferred 3 times, last with 450")
    );
}

/// A form that was delivered with a sender of the host's own domain is sent again from our domain.
#[test]
fn delivered_recipient_form_is_sent_again_from_our_domain() {
    let mut b = Bench::new();
    let job = b.nominate_test("127.64.0.1", "percent-at-name");
    let (job, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], "127.64.0.1");
    let job = b
        .relay
        .finish(
            job.id,
            results_of(&ready[..1], &accepted()),
            vec![],
            &[],
            b.now,
        )
        .unwrap();
    assert_eq!(job.state, JobState::Deferred);
    b.later(2);
    assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
    let (job, again) = b.run(&job, &refused());
    assert_eq!(
        (again.len(), again[0].test.as_str(), job.state),
        (1, "percent-at-name+plain-sender", JobState::Done)
    );
    assert!(again[0].envelope.from.ends_with("@probe.example>"));
    assert_eq!(
        job.assessment(),
        Assessment::Open,
        "the proof stays in force"
    );
}

#[test]
fn interrupted_test_sends_the_rest_later_and_old_tokens_are_removed() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (job, first) = b.begin(&job).unwrap();
    b.relay.resume(b.now).unwrap();
    let waiting = b.relay.job(job.id).unwrap();
    assert_eq!(waiting.state, JobState::Deferred);
    b.now = waiting.not_before;
    b.relay.due(9, b.now).unwrap();
    let (job, again) = b.run(&waiting, &accepted());
    assert_eq!(
        (again[0].envelope.clone(), job.state),
        (first[0].envelope.clone(), JobState::Done)
    );
    b.later(400 * 86_400);
    b.relay.forget(b.now).unwrap();
    assert!(matches!(b.relay.job(job.id), Err(RelayError::NotFound(_))));
    let mut rows = 0;
    b.relay
        .ledger
        .store
        .feature_rows(FeatureFamily::Relay, b"T", b"T", &mut |_, _| {
            rows += 1;
            Ok(true)
        })
        .unwrap();
    assert_eq!(rows, 0);
}

/// If the tester is switched off during a test, unsent messages have no result and are sent when it
/// is on again.
#[test]
fn test_that_was_switched_off_has_no_result() {
    let mut b = Bench::new();
    let two = Nomination {
        only: vec!["plain".into(), "null-sender".into()],
        ..b.nomination("127.64.0.1", "log")
    };
    let job = b.nominate_as("anna", two);
    let (job, ready) = b.begin(&job).unwrap();
    let settings = (*b.relay.settings()).clone();
    b.relay.configure(RelaySettings {
        enabled: false,
        ..settings.clone()
    });
    let job = b
        .relay
        .finish(
            job.id,
            results_of(&ready[..1], &refused()),
            vec![],
            &[],
            b.now,
        )
        .unwrap();
    assert_eq!(job.state, JobState::Deferred);
    b.now = job.not_before;
    assert!(b.relay.due(9, b.now).unwrap().is_empty());
    assert_eq!(b.relay.job(job.id).unwrap().state, JobState::Held);
    b.relay.configure(settings);
    assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
    let (job, rest) = b.run(&b.relay.job(job.id).unwrap(), &refused());
    assert_eq!(
        (rest.len(), &rest[0].envelope, job.state, job.assessment()),
        (1, &ready[1].envelope, JobState::Done, Assessment::Closed)
    );
}

/// Once, a job that was switched off ended without an audit record, and only the first interruption
/// was not counted as a try.
#[test]
fn repeatedly_switched_off_test_ends_with_an_audit_record() {
    let mut b = Bench::new();
    let mut job = b.nominate("127.64.0.1", "anna");
    let settings = (*b.relay.settings()).clone();
    while job.state != JobState::Done {
        b.begin(&job).unwrap();
        b.relay.configure(RelaySettings {
            enabled: false,
            ..settings.clone()
        });
        job = b
            .relay
            .finish(job.id, Vec::new(), vec![], &[], b.now)
            .unwrap();
        b.relay.configure(settings.clone());
        b.now = b.now.max(job.not_before);
    }
    let mut lines = Vec::new();
    let each = &mut |_, line: crate::store::schema::AuditRecord| {
        lines.push(line.action);
        true
    };
    b.relay.ledger.store.audit(u64::MAX, each).unwrap();
    assert_eq!(
        (job.tries, job.interruptions, lines),
        (0, 20, vec!["test".to_string(), "nominate".to_string()])
    );
}

/// Once, three restarts made a closed host that replies 454 inconclusive, so that its owner's claim
/// failed, and counted against a reporter.
#[test]
fn interruption_is_not_a_try() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    b.later(10);
    let later = MessageOutcome::TempFail {
        stage: SmtpStage::Rcpt,
        code: 454,
        text: "4.7.1 Relay access denied".into(),
    };
    let mut job = b.claim(host).job;
    for cut in 0..9 {
        b.now = job.not_before.max(b.now);
        b.relay.due(9, b.now).unwrap();
        if cut % 2 == 0 {
            b.begin(&job).unwrap();
            b.relay.resume(b.now).unwrap();
            job = b.relay.job(job.id).unwrap();
            assert_eq!((job.state, job.tries), (JobState::Deferred, cut / 2));
        } else if job.state != JobState::Done {
            job = b.run(&job, &later).0;
        }
        if job.state == JobState::Done {
            break;
        }
    }
    let claim = b.open_claim(host).unwrap();
    assert_eq!(
        (job.tries, job.interruptions, claim.release),
        (3, 3, Some(b.now.plus(WAITING_PERIOD)))
    );
    // A job that is not a claim's ends after many interruptions, which does not count for or
    // against the reporter.
    let mut job = b.nominate("127.66.0.1", "bert");
    while job.state != JobState::Done {
        b.now = job.not_before.max(b.now);
        b.relay.due(9, b.now).unwrap();
        b.begin(&job).unwrap();
        b.relay.resume(b.now).unwrap();
        job = b.relay.job(job.id).unwrap();
    }
    let reporter = b.relay.batch(b.now).get(REPORTERS, &"bert".into()).unwrap();
    assert!(
        job.interruptions == 20 && reporter.is_none_or(|r| r.recent.is_empty()),
        "{job:?}"
    );
}
