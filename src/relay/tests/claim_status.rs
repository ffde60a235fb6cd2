//! What the owner of a host sees of a claim while it is tested, and which tests it can bring
//! forward.

use super::*;
use crate::{
    relay::{
        advice::RepairAdvice,
        claim_status::ClaimStatus,
        control::DecisionRow,
        policy::{ClaimState, EARLY_TRY_PAUSE, MAX_EARLY_TRIES, RETEST_PAUSE},
    },
    smtp::Interruption,
};

const HOST: &str = "127.64.0.1";

/// The reply of Postfix in Debian's configuration to other clients.
fn postfix_defers() -> MessageOutcome {
    MessageOutcome::TempFail {
        stage: SmtpStage::Rcpt,
        code: 454,
        text: "4.7.1 <unknown@probe.example>: Relay access denied".into(),
    }
}

impl Bench {
    fn status(&self, job: &Job) -> ClaimStatus {
        self.relay
            .claim_status(job.target, job.id, self.now)
            .unwrap()
    }

    fn claim_unproved(&self) -> Job {
        let claim = self.relay.claim(&who("x"), ip(HOST), false, self.now);
        claim.unwrap().job
    }

    fn progress(
        &self,
        job: &Job,
        results: Vec<MessageResult>,
        controls: Vec<ControlSession>,
    ) -> Job {
        self.relay
            .progress(job.id, results, controls, self.now)
            .unwrap();
        self.relay.job(job.id).unwrap()
    }
}

/// Proves the host open and claims that it is closed.
fn claimed() -> (Bench, Job) {
    let mut b = Bench::new();
    b.prove(HOST);
    b.later(10);
    let job = b.claim(HOST).job;
    (b, job)
}

/// S4: the owner asked for the test by the button, with or without a proof.
#[test]
fn claims_are_tested_at_the_pace_of_owners_and_nominations_are_not() {
    for proved in [false, true] {
        assert!(Trigger::Claim { proved }.is_by_owner());
    }
    assert!(Trigger::Owner.is_by_owner());
    for trigger in [Trigger::Nomination, Trigger::Review, Trigger::Recheck] {
        assert!(!trigger.is_by_owner());
    }
}

#[test]
fn outcomes_are_shown_as_they_come_and_the_host_is_released_by_the_last_that_it_needs() {
    let (mut b, job) = claimed();
    let (job, ready) = b.begin(&job).unwrap();
    let begun = b.status(&job);
    assert_eq!(
        (begun.state, begun.row, begun.next_try),
        (ClaimState::Testing, None, None)
    );
    let first: Vec<bool> = ready
        .iter()
        .map(|m| begun.had_passed(&begun.job.results[m.place]))
        .collect();
    assert!(
        first[0] && first.is_sorted_by(|a, b| a >= b),
        "the forms that had passed are tried first: {first:?}"
    );
    let needed = ready.iter().filter(|m| m.phase != Phase::Rest).count();
    for n in 1..needed {
        // A session has its last control when the next one begins.
        let mut sessions = controls(&ready[..n], &accepted_control());
        if n == 1 {
            sessions[0].after = ControlCheck::default();
        }
        let job = b.progress(&job, results_of(&ready[..n], &refused()), sessions);
        assert_eq!(
            job.results
                .iter()
                .filter(|r| r.outcome.is_refused())
                .count(),
            n
        );
        // The last sample may have a class that is closed already, at another port.
        if n + 1 < needed {
            assert_eq!(b.status(&job).state, ClaimState::Testing, "{n} of {needed}");
        }
    }
    let sessions = controls(&ready, &accepted_control());
    b.progress(
        &job,
        results_of(&ready[..needed], &refused()),
        sessions.clone(),
    );
    let released = b.status(&job);
    assert_eq!(
        (released.state, released.row),
        (
            ClaimState::Released,
            Some(DecisionRow::RefusedControlAccepted)
        )
    );
    assert_eq!(released.job.state, JobState::Running, "the rest goes on");
    assert!(b.listed(HOST).is_empty());
    // A delivery of the rest lists the host again, and the page says so.
    b.later(1);
    b.deliver(&ready[needed], HOST);
    assert_eq!(b.status(&job).state, ClaimState::Failed);
    assert_eq!(b.listed(HOST), ["relay"]);
}

/// Once, the owner of a Postfix in Debian's configuration learned after three tries that it waits.
#[test]
fn owner_of_a_host_that_defers_is_told_after_the_first_try() {
    let (mut b, job) = claimed();
    let (job, ready) = b.begin(&job).unwrap();
    let sessions = controls(&ready, &accepted_control());
    // The advice does not wait for the last control of the session, and the time does.
    let mut open = sessions.clone();
    open[0].after = ControlCheck::default();
    b.progress(&job, results_of(&ready[..1], &postfix_defers()), open);
    let advised = b.status(&job);
    assert_eq!(
        (advised.advice, advised.release),
        (Some(RepairAdvice::PostfixDefers), None)
    );
    b.progress(
        &job,
        results_of(&ready[..1], &postfix_defers()),
        sessions.clone(),
    );
    let [second, third] = b.relay.settings().retry_delays;
    let latest = b.now.plus(second).plus(third).plus(WAITING_PERIOD);
    let told = b.status(&job);
    assert!(told.is_preliminary);
    assert_eq!(
        (told.state, told.row, told.release, told.advice),
        (
            ClaimState::Testing,
            Some(DecisionRow::DeferredControlAccepted),
            Some(latest),
            Some(RepairAdvice::PostfixDefers)
        )
    );
    let mut job = b
        .relay
        .finish(
            job.id,
            results_of(&ready, &postfix_defers()),
            sessions,
            &[],
            b.now,
        )
        .unwrap();
    assert_eq!(b.status(&job).next_try, Some(job.not_before));
    assert_eq!(b.status(&job).release, Some(latest));
    while job.state != JobState::Done {
        b.now = job.not_before;
        assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
        job = b.run(&job, &postfix_defers()).0;
    }
    let waits = b.status(&job);
    assert_eq!(
        (waits.state, waits.is_preliminary, waits.release),
        (ClaimState::Waiting, false, Some(latest)),
        "the preliminary time was right"
    );
    assert_eq!(
        waits.advice,
        Some(RepairAdvice::PostfixDefers),
        "the advice is kept, although the replies are not"
    );
}

#[test]
fn claim_brings_the_next_try_of_a_host_that_defers_forward() {
    let (mut b, job) = claimed();
    let (job, _) = b.run(&job, &postfix_defers());
    let usual = job.not_before;
    assert_eq!(b.status(&job).retry_at, b.now.plus(EARLY_TRY_PAUSE));
    b.later(30);
    assert_eq!(b.claim(HOST).job.id, job.id);
    let early = b.relay.job(job.id).unwrap();
    assert!(
        early.not_before < usual && early.not_before == job.begun.unwrap().plus(EARLY_TRY_PAUSE)
    );
    assert_eq!(
        b.claim(HOST).job.early_tries,
        1,
        "it is not brought forward twice"
    );
    // The owner has changed the line meanwhile: the host refuses, and is released.
    b.now = early.not_before;
    assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
    let (job, _) = b.run(&early, &refused());
    assert_eq!(b.status(&job).state, ClaimState::Released);
    assert!(b.listed(HOST).is_empty());
    assert_eq!(job.advice, None, "a host that refuses needs no advice");
}

/// A server that defers unknown clients for a while (greylisting) must not be taken for one that
/// always defers.
#[test]
fn tries_that_were_brought_forward_do_not_count_and_are_limited() {
    let (mut b, job) = claimed();
    let (mut job, _) = b.run(&job, &postfix_defers());
    for n in 1..=MAX_EARLY_TRIES {
        b.later(EARLY_TRY_PAUSE.0);
        let next = b.claim(HOST).job;
        assert_eq!((next.state, next.early_tries), (JobState::Queued, n));
        job = b.run(&next, &postfix_defers()).0;
        assert_eq!((job.state, job.tries), (JobState::Deferred, 1));
    }
    b.later(EARLY_TRY_PAUSE.0);
    let limited = b.claim(HOST).job;
    assert_eq!(
        (limited.state, limited.not_before),
        (JobState::Deferred, job.not_before)
    );
    assert!(b.status(&job).retry_at > b.now);
}

#[test]
fn host_in_its_waiting_period_is_tested_again_by_a_claim_after_fifteen_minutes() {
    let (mut b, job) = claimed();
    let (job, _) = b.run(&job, &accepted());
    let waits = b.status(&job);
    let release = waits.release.unwrap();
    assert_eq!(
        (waits.state, waits.retry_at),
        (ClaimState::Waiting, b.now.plus(RETEST_PAUSE))
    );
    b.later(RETEST_PAUSE.0 - 1);
    assert_eq!(b.claim(HOST).job.id, job.id, "too early");
    b.later(1);
    let again = b.claim(HOST);
    assert!(again.job.id > job.id && again.release == Some(release));
    assert_eq!(
        b.status(&job).job.id,
        again.job.id,
        "the page of the first test follows"
    );
    b.run(&again.job, &MessageOutcome::inconclusive("cut"));
    assert_eq!(
        b.status(&job).release,
        Some(release),
        "a test without a result does not move the end of the period"
    );
    b.later(RETEST_PAUSE.0);
    let last = b.claim(HOST).job;
    b.run(&last, &refused());
    assert_eq!(b.status(&last).state, ClaimState::Released);
    assert!(b.listed(HOST).is_empty());
}

#[test]
fn unproved_claim_is_tested_once_a_day_in_the_waiting_period_too() {
    let mut b = Bench::new();
    b.prove(HOST);
    b.later(10);
    let job = b.claim_unproved();
    let (job, _) = b.run(&job, &accepted());
    b.later(RETEST_PAUSE.0);
    assert_eq!(b.claim_unproved().id, job.id);
    assert_eq!(
        b.status(&job).retry_at,
        job.begun.unwrap().plus(MIN_TEST_INTERVAL)
    );
    b.later(MIN_TEST_INTERVAL.0);
    assert!(b.claim_unproved().id > job.id);
}

#[test]
fn page_of_an_unproved_claim_follows_the_proved_one_that_replaced_it() {
    let mut b = Bench::new();
    b.prove(HOST);
    b.later(10);
    let first = b.claim_unproved();
    let proved = b.claim(HOST).job;
    let status = b.status(&first);
    assert_eq!((status.job.id, status.proved), (proved.id, true));
    b.run(&proved, &refused());
    assert_eq!(b.status(&proved).state, ClaimState::Released);
}

#[test]
fn failed_blocked_and_withdrawn_claims_are_told_apart_after_their_end() {
    let (mut b, job) = claimed();
    let (job, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], HOST);
    assert_eq!(b.status(&job).state, ClaimState::Failed, "at once");
    let (mut b, job) = claimed();
    let greeting = MessageOutcome::Refused {
        stage: SmtpStage::Connect,
        code: 554,
        text: "no".into(),
    };
    let (job, _) = b.run(&job, &greeting);
    assert_eq!(b.status(&job).state, ClaimState::Blocked);
    let (b, job) = claimed();
    let subject = Subject::host(ip(HOST));
    b.relay
        .opt_out(&who("owner"), &subject, "mail", b.now)
        .unwrap();
    assert_eq!(b.status(&job).state, ClaimState::Withdrawn);
    let other = b.nominate("127.64.0.9", "anna");
    assert!(matches!(
        b.relay.claim_status(ip("127.64.0.9"), other.id, b.now),
        Err(RelayError::NotFound(_))
    ));
}

/// Outcomes are stored as they come. Without the last control of its session, a refusal would lead
/// to the waiting period.
#[test]
fn refusals_of_a_session_without_its_last_control_are_tested_again_after_a_stop() {
    let (mut b, job) = claimed();
    let (job, ready) = b.begin(&job).unwrap();
    let mut sessions = controls(&ready, &accepted_control());
    sessions[0].after = ControlCheck::default();
    b.progress(&job, results_of(&ready[..1], &refused()), sessions);
    b.restart();
    let stopped = b.relay.job(job.id).unwrap();
    assert!(stopped.controls.is_empty());
    assert_eq!(
        stopped.results[ready[0].place].outcome,
        MessageOutcome::Interrupted {
            why: Interruption::Stopped
        }
    );
    b.now = stopped.not_before;
    assert_eq!(b.relay.due(9, b.now).unwrap().len(), 1);
    let (job, again) = b.run(&stopped, &refused());
    assert_eq!(again.len(), ready.len(), "all messages are sent");
    assert_eq!(b.status(&job).state, ClaimState::Released);
}
