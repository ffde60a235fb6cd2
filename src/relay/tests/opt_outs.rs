//! Opt-outs.

use super::*;

/// S6.
#[test]
fn opt_out_ends_waiting_jobs_and_keeps_listings() {
    let mut b = Bench::new();
    b.prove("127.64.0.1");
    let waiting = b.nominate("127.64.0.2", "anna");
    let (running, messages) = {
        let j = b.nominate("127.64.0.3", "anna");
        b.begin(&j).unwrap()
    };
    let net: Subject = "127.64.0.0/24".parse().unwrap();
    b.relay.opt_out(&who("anna"), &net, "PTR", b.now).unwrap();
    for id in [waiting.id, running.id] {
        let job = b.relay.job(id).unwrap();
        assert_eq!(
            (job.state, job.waiting_for.unwrap().contains("asked")),
            (JobState::Done, true)
        );
    }
    b.deliver(&messages[0], "127.64.0.3");
    assert!(b.listed("127.64.0.3").is_empty());
    assert_eq!(
        b.listed("127.64.0.1"),
        ["relay"],
        "it stays listed until it expires"
    );
    assert!(matches!(
        b.relay
            .nominate(&who("anna"), b.nomination("127.64.0.9", "log"), b.now),
        Err(RelayError::Refused(_))
    ));
    let v = b.relay.ledger.store.verdict(&net).unwrap();
    assert_eq!(v.entries[0].source, SourceId::OPERATOR);
    b.relay.opt_in(&who("anna"), &net, b.now).unwrap();
    assert!(
        b.relay
            .ledger
            .store
            .verdict(&net)
            .unwrap()
            .entries
            .is_empty()
            && b.relay.opt_outs().unwrap().is_empty()
    );
    b.nominate("127.64.0.9", "anna");
}

/// Once, a claim had an opted-out host tested, or was granted after two days without a test.
#[test]
fn claim_of_an_opted_out_host_is_refused() {
    let mut b = Bench::new();
    b.prove("127.64.0.1");
    b.relay
        .opt_out(&who("anna"), &"127.64.0.1".parse().unwrap(), "x", b.now)
        .unwrap();
    let claimed = b.relay.claim(&who("owner"), ip("127.64.0.1"), true, b.now);
    assert!(
        matches!(claimed, Err(RelayError::Refused(why)) if why.contains("127.64.0.1 asked not to be tested"))
    );
}

#[test]
fn opt_out_ends_a_running_claim_and_the_host_stays_listed() {
    let mut b = Bench::new();
    b.prove("127.64.0.1");
    b.later(1);
    let claim = b
        .relay
        .claim(&who("owner"), ip("127.64.0.1"), true, b.now)
        .unwrap();
    let (running, _) = b.begin(&claim.job).unwrap();
    b.relay
        .opt_out(&who("anna"), &"127.64.0.1".parse().unwrap(), "x", b.now)
        .unwrap();
    assert_eq!(
        (
            b.relay.job(running.id).unwrap().state,
            b.relay.host(ip("127.64.0.1")).unwrap().claim
        ),
        (JobState::Done, None)
    );
    b.later(3 * GRANT_UNTESTED_AFTER.0);
    b.tick();
    assert_eq!(
        b.listed("127.64.0.1"),
        ["relay"],
        "it stays listed until it expires"
    );
}
