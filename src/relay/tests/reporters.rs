//! Reporters: reputation, quota, trust, and tests that they run themselves.

use super::*;

#[test]
fn new_reporter_needs_approval_and_has_a_daily_quota() {
    let mut b = Bench::new();
    let nominate = |b: &Bench, t: &str| {
        b.relay.nominate(
            &who("rep"),
            Nomination {
                decides: false,
                ..b.nomination(t, "log")
            },
            b.now,
        )
    };
    for i in 0..5 {
        let job = nominate(&b, &format!("127.64.{i}.1")).unwrap();
        assert_eq!(
            (
                job.state,
                job.waiting_for.as_ref().unwrap().contains("approval")
            ),
            (JobState::Held, true),
            "{i}"
        );
        let job = b.relay.decide(&who("anna"), job.id, true, b.now).unwrap();
        let (_, ready) = b.run(&job, &accepted());
        if i == 0 {
            b.deliver(&ready[0], "127.64.0.1");
        }
    }
    assert_eq!(
        nominate(&b, "127.64.7.1").unwrap().state,
        JobState::Queued,
        "a reputation of two in seven needs no approval"
    );
    for i in 0..60u32 {
        match nominate(&b, &format!("127.65.{i}.1")) {
            Err(RelayError::LimitReached(why, wait)) => {
                assert!(why.contains("50") && i == 44, "{why} {i}");
                assert_eq!((b.now.0 + wait.0) % 86_400, 0, "until the next day");
                return;
            }
            other => drop(other.unwrap()),
        }
    }
    panic!("the quota was not enforced");
}

#[test]
fn test_of_an_untrusted_reporter_lists_as_unconfirmed() {
    let mut b = Bench::new();
    for (by, host, reason) in [
        ("rep", "127.64.0.1", "unconfirmed"),
        ("trusty", "127.65.0.1", "relay"),
    ] {
        let job = b.nominate_as(
            by,
            Nomination {
                remote: true,
                ..b.nomination(host, "log")
            },
        );
        assert!(
            b.relay.due(9, b.now).unwrap().is_empty(),
            "our tester does not run it"
        );
        let (job, ready) = b.begin(&job).unwrap();
        b.deliver(&ready[0], host);
        assert_eq!(b.listed(host), [reason]);
        let job = b.relay.finish(job.id, vec![], vec![], &[], b.now).unwrap();
        assert_eq!(
            (job.state, job.assessment()),
            (JobState::Done, Assessment::Open)
        );
    }
}

/// Once, a reporter who had lost trust could list hosts for fourteen more days with older tokens.
#[test]
fn reporter_without_trust_lists_no_host_by_old_tokens() {
    let mut b = Bench::new();
    let own = Nomination {
        remote: true,
        ..b.nomination("127.64.0.1", "log")
    };
    let job = b.nominate_as("trusty", own);
    let (_, ready) = b.begin(&job).unwrap();
    b.relay.configure(RelaySettings {
        trusted_reporters: Vec::new(),
        ..(*b.relay.settings()).clone()
    });
    b.deliver(&ready[0], "127.64.0.9");
    assert!(b.listed("127.64.0.1").is_empty());
    b.deliver(&ready[0], "127.64.0.1");
    assert_eq!(b.listed("127.64.0.1"), ["unconfirmed"]);
}

/// Once, few rules applied to reporters' own tests: hosts on the Internet were tested before the
/// operator had named a contact, and each reporter could test the same host.
#[test]
fn tests_of_reporters_obey_the_rules() {
    let mut b = Bench::new();
    let nominate_remote = |b: &Bench, target: &str, text: &str| {
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Log,
            text: text.into(),
            at: b.now,
        };
        b.relay.nominate(
            &who("trusty"),
            Nomination {
                remote: true,
                evidence,
                ..b.nomination(target, "log")
            },
            b.now,
        )
    };
    assert!(
        matches!(nominate_remote(&b, "8.8.8.8", "seen"), Err(RelayError::Refused(why)) if why.contains("allow_public"))
    );
    let first = nominate_remote(&b, "127.64.0.1", "seen").unwrap();
    assert_eq!(first.state, JobState::Queued);
    b.begin(&first).unwrap();
    b.relay
        .finish(first.id, Vec::new(), vec![], &[], b.now)
        .unwrap();
    b.later(60);
    b.relay.forget(b.now).unwrap();
    // The reporter has to retry later, and no waiting job is stored that would block others.
    let (day, month) = (
        nominate_remote(&b, "127.64.0.1", "seen again"),
        nominate_remote(&b, "127.64.0.1", "seen"),
    );
    let wait = |e: Result<Job, RelayError>| {
        if let Err(RelayError::LimitReached(_, wait)) = e {
            wait
        } else {
            panic!("{e:?}")
        }
    };
    assert_eq!(
        (wait(day).0, wait(month).0),
        (86_400 - 60, 30 * 86_400 - 60)
    );
    assert!(b.relay.jobs(None, true, 9).unwrap().is_empty());
    assert_eq!(
        b.nominate("127.64.0.1", "anna").state,
        JobState::Queued,
        "a reporter's test does not delay ours"
    );
}

/// Once, a later reporter of the same host got the credit, and a test that the owner requested
/// became a nomination.
#[test]
fn first_reporter_of_a_host_keeps_the_credit() {
    let mut b = Bench::new();
    for i in 0..5 {
        let job = b.nominate(&format!("127.64.{i}.1"), "known");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], &format!("127.64.{i}.1"));
        b.relay.finish(job.id, vec![], vec![], &[], b.now).ok();
    }
    b.later(86_401);
    let first = b.nominate_as_reporter("known", "127.65.0.1");
    assert_eq!((first.state, first.approved), (JobState::Queued, false));
    let other = b.nominate_as_reporter("other", "127.65.0.1");
    assert_eq!((other.by.as_str(), other.approved), ("known", false));
    let editor = b.nominate("127.65.0.1", "anna");
    assert_eq!(
        (editor.id, editor.by.as_str(), editor.approved),
        (first.id, "known", true)
    );
    let owner = b
        .relay
        .nominate(&who("anna"), b.nomination("127.66.0.1", "owner"), b.now)
        .unwrap();
    let joined = b.nominate_as_reporter("unknown", "127.66.0.1");
    assert_eq!(
        (joined.id, joined.trigger, joined.by.as_str()),
        (owner.id, Trigger::Owner, "anna")
    );
}

/// Runs a reporter's own test of a host. Returns the job and its messages.
fn own_test(b: &mut Bench, by: &str, host: &str) -> (Job, Vec<PreparedMessage>) {
    b.later(86_400);
    let n = Nomination {
        remote: true,
        ..b.nomination(host, "log")
    };
    let job = b.nominate_as(by, n);
    let (job, ready) = b.begin(&job).unwrap();
    (
        b.relay.finish(job.id, vec![], vec![], &[], b.now).unwrap(),
        ready,
    )
}

/// Once, the messages of a trusted reporter were given to another one.
#[test]
fn messages_of_one_reporter_are_not_given_to_another() {
    let b = Bench::new();
    let remote = |by: &str| {
        b.relay.nominate(
            &who(by),
            Nomination {
                remote: true,
                ..b.nomination("127.65.0.1", "log")
            },
            b.now,
        )
    };
    remote("trusty").unwrap();
    assert!(matches!(remote("mallory"), Err(RelayError::Refused(_))));
}

#[test]
fn delivery_of_an_untrusted_reporters_message_fails_no_claim() {
    let mut b = Bench::new();
    let host = "127.67.0.1";
    b.prove(host);
    b.later(1);
    b.claim(host);
    b.later(86_400);
    let own = Nomination {
        remote: true,
        ..b.nomination(host, "log")
    };
    let job = b.nominate_as("mallory", own);
    let (_, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], host);
    assert!(b.open_claim(host).is_some());
}

/// Once, an untrusted reporter could list any host by delivering our message.
#[test]
fn untrusted_reporters_message_from_another_host_lists_no_host() {
    let mut b = Bench::new();
    let (_, ready) = own_test(&mut b, "mallory", "127.64.0.1");
    b.deliver(&ready[0], "127.99.0.1");
    assert!(b.listed("127.64.0.1").is_empty());
    let proof = &b.relay.proofs(ip("127.64.0.1"), true, 9).unwrap()[0];
    assert!(String::from(proof.outcome.clone()).contains("another host than the tested one"));
}

#[test]
fn reporters_own_test_delays_no_test_of_ours() {
    let mut b = Bench::new();
    let (job, _) = own_test(&mut b, "mallory", "127.64.0.1");
    let local_job = b.nominate("127.64.0.1", "anna");
    assert_eq!(
        (local_job.state, local_job.id == job.id),
        (JobState::Queued, false)
    );
}

/// Once, a delivery for an untrusted reporter broke the hold of a release and led to a review.
#[test]
fn untrusted_reporters_delivery_breaks_no_hold_and_leads_to_no_review() {
    let mut b = Bench::new();
    let host = "127.65.0.1";
    b.prove(host);
    let (_, remote_messages) = own_test(&mut b, "mallory", host);
    b.later(1);
    b.deliver(&remote_messages[0], host);
    assert_eq!(b.listed(host), ["relay", "unconfirmed"]);
    let claim = b.claim(host);
    b.run(&claim.job, &refused());
    assert!(b.listed(host).is_empty());
    let (_, later) = own_test(&mut b, "other", host);
    b.deliver(&later[0], host);
    assert!(b.listed(host).is_empty(), "the hold stays in force");
    b.deliver(&remote_messages[0], "127.65.0.77");
    let open = b.relay.jobs(None, true, 99).unwrap();
    assert!(open.iter().all(|j| j.trigger != Trigger::Review));
}
