//! Waiting periods, and grants of untested claims.

use super::*;

/// A closed Postfix in Debian's configuration (`defer_unauth_destination`) always replies 454 to
/// other clients.
#[test]
fn host_that_always_defers_is_released_after_the_waiting_period() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    b.later(10);
    let later = |stage| MessageOutcome::TempFail {
        stage,
        code: 454,
        text: "4.7.1 Relay access denied".into(),
    };
    let claimed = |b: &mut Bench, outcome: &MessageOutcome| {
        let mut job = b.claim(host).job;
        while job.state != JobState::Done {
            b.now = job.not_before.max(b.now);
            assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
            job = b.run(&job, outcome).0;
        }
        (job.assessment(), b.open_claim(host))
    };
    // A deferral before RCPT shows nothing about relaying.
    assert_eq!(
        claimed(&mut b, &later(SmtpStage::Hello)),
        (Assessment::Blocked, None)
    );
    let (assessment, claim) = claimed(&mut b, &later(SmtpStage::Rcpt));
    assert_eq!(
        (assessment, claim.unwrap().release),
        (Assessment::Inconclusive, Some(b.now.plus(WAITING_PERIOD)))
    );
    b.now = Time(b.now.plus(WAITING_PERIOD).0 - 1);
    b.tick();
    assert_eq!(b.listed(host), ["relay"]);
    b.later(1);
    b.tick();
    assert!(b.listed(host).is_empty());
}

#[test]
fn host_that_accepts_is_released_after_five_days_without_delivery_or_outage() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let ready = b.begin_waiting(host);
    b.later(86_400);
    b.stop_collector();
    assert!(
        b.relay.due(9, b.now).unwrap().is_empty(),
        "no tests are run in an outage"
    );
    let to = vec![ready[0].envelope.to[0].trim_matches(['<', '>']).to_string()];
    let incoming = ReceivedMessage {
        hello: String::new(),
        from: String::new(),
        to,
        data: vec![],
    };
    assert!(
        matches!(
            b.relay.arrived(&incoming, ip("127.64.0.2"), b.now),
            Err(RelayError::Refused(_))
        ),
        "no message is accepted in an outage"
    );
    // The daemon is stopped during the outage. Once, the time of both counted twice.
    b.tick();
    b.later(2 * 86_400);
    b.restart();
    let release = b.open_claim(host).unwrap().release.unwrap();
    b.now = Time(release.plus(Seconds(2 * 86_400)).0 - 1);
    b.tick();
    assert_eq!(
        b.listed(host),
        ["relay"],
        "the waiting period was paused for two days"
    );
    b.later(1);
    b.tick();
    assert!(b.listed(host).is_empty());
}

#[test]
fn untested_claim_is_granted_after_two_days() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    let off = RelaySettings {
        enabled: false,
        ..(*b.relay.settings()).clone()
    };
    b.relay.configure(off);
    b.later(10);
    let claim = b
        .relay
        .claim(&who("owner"), ip(host), false, b.now)
        .unwrap();
    assert_eq!(claim.job.state, JobState::Held);
    b.later(GRANT_UNTESTED_AFTER.0 - 1);
    b.tick();
    assert_eq!(b.listed(host), ["relay"]);
    b.later(1);
    b.tick();
    assert!(b.listed(host).is_empty());
    let history = b
        .relay
        .ledger
        .store
        .history(&Subject::host(ip(host)))
        .unwrap();
    assert!(history.iter().any(|e| {
        e.evidence
            .as_ref()
            .is_some_and(|e| e.text.starts_with("on-request"))
    }));
    assert_eq!(b.relay.job(claim.job.id).unwrap().state, JobState::Done);
}

/// Once, a proved claim began the waiting period of an earlier unproved claim again, and an
/// inconclusive test ended it.
#[test]
fn proved_claim_keeps_the_waiting_period_that_runs() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    b.later(10);
    let first = b.relay.claim(&who("x"), ip(host), false, b.now).unwrap();
    let (_, sent) = b.run(&first.job, &accepted());
    let release = b.now.plus(WAITING_PERIOD);
    b.later(4 * 86_400);
    let own = b.claim(host);
    assert_eq!(own.release, Some(release));
    b.run(&own.job, &MessageOutcome::inconclusive("cut"));
    b.now = release;
    // A message that was sent for the first claim and is delivered refutes both.
    let mut late = Bench {
        n: 9000,
        now: Time(release.0 - 5),
        relay: b.relay.clone(),
        _dir: tempfile::tempdir().unwrap(),
    };
    let claim = b.open_claim(host).unwrap();
    assert!(claim.is_refuted(first.job.at) && !claim.is_refuted(Time(first.job.at.0 - 1)));
    b.tick();
    assert!(b.listed(host).is_empty());
    late.later(10);
    late.deliver(&sent[0], host);
    assert!(
        late.listed(host).is_empty(),
        "the message was sent before the latest claim, so it leads to a review"
    );
    assert_eq!(
        late.relay.jobs(None, true, 9).unwrap()[0].trigger,
        Trigger::Review
    );
}

/// Once, each claim of a closed host that replies 454 failed if one of its proved forms could not
/// be sent again.
#[test]
fn host_that_refuses_all_is_released_although_a_form_cannot_be_sent() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let only = |name: &str| Nomination {
        only: vec![name.into()],
        ..b.nomination(host, "log")
    };
    let job = b.nominate_as("anna", only("relay-name-sender"));
    let (_, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], host);
    b.relay.finish(job.id, vec![], vec![], &[], b.now).unwrap();
    b.later(60);
    let mut job = b.claim(host).job;
    let names = HostNames {
        relay: None,
        ..Bench::names_of(&b.relay, ip(host))
    };
    while job.state != JobState::Done {
        b.now = b.now.max(job.not_before);
        b.relay.due(9, b.now).unwrap();
        let (begun, ready) = b.begin_with(&job, &names).unwrap();
        let later = MessageOutcome::TempFail {
            stage: SmtpStage::Rcpt,
            code: 454,
            text: "4.7.1 Relay access denied".into(),
        };
        let ran = results_of(&ready, &later);
        job = b
            .relay
            .finish(
                begun.id,
                ran,
                controls(&ready, &accepted_control()),
                &[],
                b.now,
            )
            .unwrap();
    }
    assert_eq!(
        b.open_claim(host).unwrap().release,
        Some(b.now.plus(WAITING_PERIOD))
    );
}
