//! Nominations: what is tested, held, refused or deferred.

use super::*;

/// S1, S2, S3: off until somebody says who he is; evidence; single hosts and few of a net.
#[test]
fn host_that_may_not_be_tested_is_held_refused_or_deferred() {
    let b = Bench::new();
    let say = |n: Nomination| b.relay.nominate(&who("anna"), n, b.now);
    let public = say(b.nomination("8.8.8.8", "log")).unwrap();
    assert_eq!(
        (
            public.state,
            public.waiting_for.unwrap().contains("allow_public")
        ),
        (JobState::Held, true)
    );
    let special = say(b.nomination("198.51.100.1", "log")).unwrap();
    assert_eq!(
        (
            special.state,
            special.waiting_for.unwrap().contains("special")
        ),
        (JobState::Held, true)
    );
    let mut old = b.nomination("127.64.0.1", "log");
    old.grounds.at = Time(b.now.0 - 15 * 86_400);
    assert!(matches!(say(old), Err(RelayError::Invalid(e)) if e.contains("14 days")));
    let mut none = b.nomination("127.64.0.1", "log");
    none.grounds.text = " ".into();
    assert!(matches!(say(none), Err(RelayError::Invalid(e)) if e.starts_with("evidence")));
    let mut future = b.nomination("127.64.0.1", "log");
    future.grounds.at = b.now.plus(Seconds(9999));
    assert!(matches!(say(future), Err(RelayError::Invalid(_))));
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
        "another net"
    );
    assert_eq!(
        b.nominate("127.64.0.4", "bert").id,
        fourth.id,
        "one job for a host at a time"
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

/// A job that waits takes what others bring: nobody shields a host by bringing it first, or with a
/// test that cannot be made.
#[test]
fn waiting_job_takes_newer_evidence_and_more_tests() {
    let mut b = Bench::new();
    let bring = |b: &Bench, by: &str, decides: bool, only: &[&str]| {
        let n = Nomination {
            decides,
            only: only.iter().map(|t| (*t).to_string()).collect(),
            ..b.nomination("127.64.0.1", "log")
        };
        b.relay.nominate(&who(by), n, b.now).unwrap()
    };
    let held = bring(&b, "rep", false, &["known-local-user-sender"]);
    assert_eq!(held.state, JobState::Held);
    b.later(60);
    assert_eq!(
        bring(&b, "rep2", false, &["plain"]).state,
        JobState::Held,
        "two strangers are no person"
    );
    // Evidence that has led to a test already puts no other off.
    let newer = b.nomination("127.64.0.1", "log").grounds;
    let joined = bring(&b, "anna", true, &["bang-bare"]);
    assert_eq!((joined.id, joined.state), (held.id, JobState::Queued));
    assert_eq!(
        joined.only,
        ["known-local-user-sender", "plain", "bang-bare"]
    );
    assert_eq!(
        (&joined.grounds, joined.by.as_str()),
        (&newer, "anna"),
        "the newer evidence, and whoever it needs no person for"
    );
    assert!(bring(&b, "anna", true, &[]).only.is_empty(), "all of them");
    // At another port it is another test.
    let other = Nomination {
        port: Some(2525),
        ..b.nomination("127.64.0.1", "log")
    };
    assert_ne!(
        b.relay.nominate(&who("anna"), other, b.now).unwrap().id,
        joined.id
    );
    // What sends nothing is no test: the next one is not put off by it.
    let none = Nomination {
        only: vec!["known-local-user-sender".into()],
        ..b.nomination("127.65.0.1", "log")
    };
    let job = b.relay.nominate(&who("anna"), none, b.now).unwrap();
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
