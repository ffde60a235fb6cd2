//! Nominations: which hosts are tested, held, refused or deferred.

use super::*;

/// S1, S2, S3: the tester is off until the operator names a contact; tests need recent evidence;
/// few hosts of a prefix are tested.
#[test]
fn host_that_may_not_be_tested_is_held_refused_or_deferred() {
    let b = Bench::new();
    let nominate = |n: Nomination| b.relay.nominate(&who("anna"), n, b.now);
    let public = nominate(b.nomination("8.8.8.8", "log")).unwrap();
    assert_eq!(
        (
            public.state,
            public.waiting_for.unwrap().contains("allow_public")
        ),
        (JobState::Held, true)
    );
    let special = nominate(b.nomination("198.51.100.1", "log")).unwrap();
    assert_eq!(
        (
            special.state,
            special.waiting_for.unwrap().contains("special")
        ),
        (JobState::Held, true)
    );
    let mut old = b.nomination("127.64.0.1", "log");
    old.evidence.at = Time(b.now.0 - 15 * 86_400);
    assert!(matches!(nominate(old), Err(RelayError::Invalid(e)) if e.contains("14 days")));
    let mut none = b.nomination("127.64.0.1", "log");
    none.evidence.text = " ".into();
    assert!(matches!(nominate(none), Err(RelayError::Invalid(e)) if e.starts_with("evidence")));
    let mut future = b.nomination("127.64.0.1", "log");
    future.evidence.at = b.now.plus(Seconds(9999));
    assert!(matches!(nominate(future), Err(RelayError::Invalid(_))));
    let mut b = b;
    for i in 1..=3 {
        let job = b.nominate(&format!("127.64.0.{i}"), "anna");
        assert_eq!(job.state, JobState::Queued);
        b.run(&job, &refused());
    }
    let fourth = b.nominate("127.64.0.4", "anna");
    assert_eq!(
        (fourth.state, fourth.not_before),
        (JobState::Deferred, b.now.plus(Seconds(86_400)))
    );
    assert_eq!(
        b.nominate("127.64.1.4", "anna").state,
        JobState::Queued,
        "another prefix has its own budget"
    );
    assert_eq!(
        b.nominate("127.64.0.4", "bert").id,
        fourth.id,
        "a host has one job at a time"
    );
    b.later(86_401);
    let due: Vec<u64> = b
        .relay
        .due(9, b.now)
        .unwrap()
        .iter()
        .map(|j| j.id)
        .collect();
    assert!(due.contains(&fourth.id));
}

/// A waiting job is merged with later nominations, so a reporter cannot shield a host by nominating
/// it first or with a test that cannot be sent.
#[test]
fn waiting_job_gets_newer_evidence_and_more_tests() {
    let mut b = Bench::new();
    let bring = |b: &Bench, by: &str, decides: bool, only: &[&str]| {
        let n = Nomination {
            decides,
            only: only.iter().map(|t| (*t).to_string()).collect(),
            ..b.nomination("127.64.0.1", "log")
        };
        b.nominate_as(by, n)
    };
    let held = bring(&b, "rep", false, &["known-local-user-sender"]);
    assert_eq!(held.state, JobState::Held);
    b.later(60);
    assert_eq!(
        bring(&b, "rep2", false, &["plain"]).state,
        JobState::Held,
        "nominations of two unapproved reporters do not approve the job"
    );
    // Evidence that led to an earlier test does not delay newer evidence.
    let newer = b.nomination("127.64.0.1", "log").evidence;
    let joined = bring(&b, "anna", true, &["bang-bare"]);
    assert_eq!((joined.id, joined.state), (held.id, JobState::Queued));
    assert_eq!(
        joined.only,
        ["known-local-user-sender", "plain", "bang-bare"]
    );
    assert_eq!(
        (&joined.evidence, joined.by.as_str()),
        (&newer, "anna"),
        "the newer evidence, and the reporter who needs no approval"
    );
    assert!(
        bring(&b, "anna", true, &[]).only.is_empty(),
        "an empty list means all tests"
    );
    // A test of another port is another job.
    let other = Nomination {
        port: Some(2525),
        ..b.nomination("127.64.0.1", "log")
    };
    assert_ne!(b.nominate_as("anna", other).id, joined.id);
    // A job without messages does not delay the next test.
    let none = Nomination {
        only: vec!["known-local-user-sender".into()],
        ..b.nomination("127.65.0.1", "log")
    };
    let job = b.nominate_as("anna", none);
    let (job, _) = b.run(&job, &refused());
    assert_eq!(
        (job.assessment(), b.nominate("127.65.0.1", "anna").state),
        (Assessment::Untestable, JobState::Queued)
    );
}

#[test]
fn address_of_the_collector_is_held() {
    let b = Bench::new();
    let ours = b.nominate("127.127.0.1", "anna");
    assert_eq!(ours.state, JobState::Held);
}
