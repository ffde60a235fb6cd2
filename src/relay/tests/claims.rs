//! Claims: their pauses, and the consequences of their tests.

use super::*;

/// S5, and the rule that a test releases, begins the waiting period, or fails a claim.
#[test]
fn claims_are_paced_and_end_by_their_test() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    assert!(matches!(
        b.relay.claim(&who("owner"), ip("127.64.0.9"), true, b.now),
        Err(RelayError::NotFound(_))
    ));
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let claimed = b.claim(host);
        pauses.push((claimed.job.not_before.0 - b.now.0) / 3600);
        assert_eq!(b.claim(host).job.id, claimed.job.id, "the same claim");
        b.now = claimed.job.not_before;
        b.relay.due(9, b.now).unwrap();
        let (_, ready) = b.run(&claimed.job, &accepted());
        assert!(b.open_claim(host).unwrap().release.is_some());
        b.deliver(&ready[0], host);
        assert_eq!(b.open_claim(host), None, "the claim has failed");
    }
    assert_eq!(pauses, [0, 1, 4, 16, 64]);
    // Unproved claims have pauses of their own and never delay a proved claim.
    let before = b.relay.host(ip(host)).unwrap().claim_time(true, &[], b.now);
    let unproved_claim = b
        .relay
        .claim(&who("claimant"), ip(host), false, b.now)
        .unwrap();
    assert_eq!(unproved_claim.job.not_before, b.now);
    let (_, ready) = b.run(&unproved_claim.job, &accepted());
    b.deliver(&ready[0], host);
    assert_eq!(
        b.relay.host(ip(host)).unwrap().claim_time(true, &[], b.now),
        before
    );
    assert_eq!(
        b.relay
            .claim(&who("claimant"), ip(host), false, b.now)
            .unwrap()
            .job
            .not_before,
        b.now.plus(MIN_TEST_INTERVAL),
        "one test a day"
    );
    // A closed host is released at once, for every reason and source, and suppressed by a hold.
    b.later(1);
    let last = b.claim(host);
    b.now = last.job.not_before.max(b.now);
    b.relay.due(9, b.now).unwrap();
    let (last, _) = b.run(&last.job, &refused());
    assert!(
        b.listed(host).is_empty(),
        "{:?} {:?}",
        last.row,
        last.controls
    );
    // A message that was sent before the release lists no host and leads to a review.
    assert!(matches!(
        b.deliver(&ready[0], "127.64.9.9"),
        ArrivalOutcome::Recorded(_)
    ));
    assert!(b.listed(host).is_empty());
    // The recheck of the release waits, too.
    let mut review = b.relay.jobs(None, true, 9).unwrap();
    review.retain(|j| j.trigger != Trigger::Recheck);
    assert_eq!((review.len(), review[0].trigger), (1, Trigger::Review));
    // A message that was sent after the release lists the host in spite of the hold.
    b.now = review[0].not_before;
    b.relay.due(9, b.now).unwrap();
    let (_, ready) = b.run(&review[0], &accepted());
    b.deliver(&ready[0], host);
    assert_eq!(b.listed(host), ["relay"]);
}

/// Once, an owner could remove the name of the host, and with it the tests that use the name, so
/// that all others were refused.
#[test]
fn form_that_cannot_be_made_again_is_not_a_refusal() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate_test(host, "percent-at-name");
    let (job, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], host);
    b.relay.finish(job.id, vec![], vec![], &[], b.now).unwrap();
    assert_eq!(
        (b.listed(host), b.relay.host(ip(host)).unwrap().names),
        (vec!["relay"], vec!["relay.example".to_string()])
    );
    b.later(60);
    for (nameless, released) in [(true, false), (false, true)] {
        let claim = b.claim(host);
        assert_eq!(
            claim.job.names,
            ["relay.example"],
            "the next test verifies the name again"
        );
        let mut names = Bench::names_of(&b.relay, ip(host));
        if nameless {
            names.relay = None;
        }
        let (job, ready) = b.begin_with(&claim.job, &names).unwrap();
        let ran = results_of(&ready, &refused());
        let job = b
            .relay
            .finish(
                job.id,
                ran,
                controls(&ready, &accepted_control()),
                &[],
                b.now,
            )
            .unwrap();
        assert_eq!(
            (job.assessment(), b.listed(host).is_empty()),
            (Assessment::Closed, released)
        );
        if nameless {
            let waits = b.open_claim(host).unwrap().release.unwrap();
            assert_eq!(waits, b.now.plus(WAITING_PERIOD));
            // A message that the host refused does not count if it is delivered.
            let again = ready.iter().find(|r| r.test == "plain").unwrap().clone();
            b.deliver(&again, host);
            assert!(b.open_claim(host).is_some());
            b.later(3601);
            b.relay
                .review(&who("anna"), ip(host), "for the test", b.now)
                .unwrap();
            b.later(1);
            let job = b.nominate_as(
                "anna",
                Nomination {
                    only: vec!["percent-at-name".into()],
                    ..b.nomination(host, "owner")
                },
            );
            b.now = b.now.max(job.not_before);
            b.relay.due(9, b.now).unwrap();
            let (job, ready) = b.begin(&job).unwrap();
            b.deliver(&ready[0], host);
            b.relay.finish(job.id, vec![], vec![], &[], b.now).unwrap();
            b.later(60);
        }
    }
}

/// A form that was proved at one port and refused at another does not release the host at once.
#[test]
fn claim_is_tested_at_the_proved_port() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate_as(
        "anna",
        Nomination {
            port: Some(2525),
            ..b.nomination(host, "log")
        },
    );
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    // A later test of another port, and a nomination, do not change the port of the claim's test.
    b.later(86_401);
    let job = b.nominate(host, "anna");
    b.run(&job, &refused());
    b.later(1);
    let claim = b.claim(host);
    assert_eq!(claim.job.port, Some(2525));
    // A nomination does not change the test of a claim; one of another port makes another job.
    let same = Nomination {
        port: Some(2525),
        ..b.nomination(host, "log")
    };
    assert_eq!(b.nominate_as("bert", same).id, claim.job.id);
    assert_eq!(b.relay.job(claim.job.id).unwrap(), claim.job);
    let other = Nomination {
        port: Some(25),
        ..b.nomination(host, "log")
    };
    let other = b.nominate_as("bert", other);
    assert_eq!(
        (other.port, other.id == claim.job.id),
        (None, false),
        "25 is the default port"
    );
    b.run(&claim.job, &refused());
    assert!(b.listed(host).is_empty());
}

/// Once, an open relay with the greeting of a product that is skipped was released untested.
#[test]
fn host_that_blocks_testing_is_not_released_untested() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    b.later(10);
    let claim = b.claim(host);
    let (job, _) = b.run(
        &claim.job,
        &MessageOutcome::Skipped {
            why: "the greeting names a product that tests have harmed".into(),
        },
    );
    assert_eq!(
        (job.state, job.assessment()),
        (JobState::Done, Assessment::Untestable)
    );
    b.later(3 * GRANT_UNTESTED_AFTER.0);
    b.tick();
    assert_eq!(
        b.listed(host),
        ["relay"],
        "it stays listed until it expires or a person reviews it"
    );
    // An opt-out during the waiting period does not release it either.
    let claim = b.claim(host);
    b.run(&claim.job, &accepted());
    b.relay
        .opt_out(&who("anna"), &Subject::host(ip(host)), "x", b.now)
        .unwrap();
    b.later(WAITING_PERIOD.0 + 1);
    b.tick();
    assert_eq!((b.listed(host), b.open_claim(host)), (vec!["relay"], None));
}

/// Once, a host that was listed by an untrusted reporter was released because it closed its port.
#[test]
fn unconfirmed_host_without_a_connection_is_not_released() {
    let mut b = Bench::new();
    let host = "127.68.0.1";
    b.later(86_400);
    let n = Nomination {
        remote: true,
        ..b.nomination(host, "log")
    };
    let job = b.nominate_as("mallory", n);
    let (job, ready) = b.begin(&job).unwrap();
    b.relay.finish(job.id, vec![], vec![], &[], b.now).unwrap();
    b.deliver(&ready[0], host);
    assert_eq!(b.listed(host), ["unconfirmed"]);
    b.later(60);
    let claim = b.claim(host);
    let (job, _) = b.run(&claim.job, &MessageOutcome::inconclusive("no connection"));
    assert_eq!(
        (job.assessment(), b.open_claim(host)),
        (Assessment::Inconclusive, None)
    );
    assert_eq!(b.listed(host), ["unconfirmed"]);
}
