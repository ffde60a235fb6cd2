//! Outputs: hosts that deliver messages which other hosts accepted.

use super::*;

#[test]
fn output_is_listed_after_two_unrelated_inputs_and_the_grace_period() {
    let mut b = Bench::new();
    let out = "127.70.0.1";
    let mut jobs = HashMap::new();
    for (host, by) in [("127.64.0.1", "anna"), ("127.65.0.1", "bert")] {
        let job = b.nominate(host, by);
        let (job, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], out);
        assert_eq!(b.listed(host), ["input"]);
        jobs.insert(host, job);
    }
    b.tick();
    assert!(b.listed(out).is_empty());
    b.later(7 * 86_400);
    b.tick();
    assert_eq!(b.listed(out), ["output"]);
    assert!(
        matches!(b.relay.claim(&who("x"), ip(out), true, b.now), Err(RelayError::Refused(why)) if why.contains("127.64.0.1"))
    );
    for (host, left) in [("127.64.0.1", 1), ("127.65.0.1", 0)] {
        let claim = b.claim(host);
        b.run(&claim.job, &refused());
        b.tick();
        assert_eq!(
            b.listed(out).len(),
            left,
            "the output is delisted with its last input"
        );
    }
    // An output whose inputs were tested for their owners is never listed.
    for host in ["127.66.0.1", "127.67.0.1"] {
        let job = b
            .relay
            .nominate(&who(host), b.nomination(host, "owner"), b.now)
            .unwrap();
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], "127.71.0.1");
    }
    b.later(30 * 86_400);
    b.tick();
    assert!(b.listed("127.71.0.1").is_empty());
}

/// An output that was delisted, or whose listing has expired, is listed again only by later
/// deliveries.
#[test]
fn delisted_output_needs_new_proofs() {
    let mut b = Bench::new();
    let out = "127.70.0.1";
    let deliver_from_both_inputs = |b: &mut Bench| {
        for (host, by) in [("127.64.0.1", "anna"), ("127.65.0.1", "bert")] {
            let job = b.nominate(host, by);
            b.now = job.not_before.max(b.now);
            b.relay.due(9, b.now).unwrap();
            let (_, ready) = b.run(&job, &accepted());
            b.deliver(&ready[0], out);
        }
        b.later(7 * 86_400);
        b.tick();
    };
    deliver_from_both_inputs(&mut b);
    assert_eq!(b.listed(out), ["output"]);
    // An operator delists it: it is not listed again, although its inputs are open.
    let listing = (b.relay.reason("output").unwrap(), Some(SourceId::PROBER));
    let mut batch = b.relay.batch(b.now);
    let subject = Subject::host(ip(out));
    batch.delist(
        subject,
        listing,
        HoldFor::Nothing,
        "anna",
        "reviewed".into(),
    );
    b.relay.write(batch).unwrap();
    b.later(30 * 86_400);
    b.tick();
    assert!(b.listed(out).is_empty() && b.relay.output(ip(out)).unwrap().inputs.is_empty());
    deliver_from_both_inputs(&mut b);
    assert_eq!(b.listed(out), ["output"], "new proofs");
    // After a review a hold keeps it from being listed.
    b.relay
        .review(&who("anna"), ip(out), "a smart host that was fixed", b.now)
        .unwrap();
    assert!(b.listed(out).is_empty());
    deliver_from_both_inputs(&mut b);
    assert!(b.listed(out).is_empty());
}
