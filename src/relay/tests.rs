#![allow(clippy::unwrap_used, clippy::expect_used)]

mod control;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use proptest::prelude::*;

use super::{
    arrivals::ArrivalOutcome,
    catalogue::Catalogue,
    control::{ControlCheck, ControlSession},
    host_names::HostNames,
    jobs::Nomination,
    message::TesterIdentity,
    messages::{MessageResult, Phase, PreparedMessage},
    networks::Networks,
    outcome::Assessment,
    policy::{
        BETWEEN, EvidenceSummary, HostRecord, Job, JobState, Outage, ReporterRecord, Trigger,
        UNTESTED, WAITING, lost,
    },
    proof::TOKEN_LIFE,
    queue::{LINES, save},
    rows::key,
    service::{Actor, COLLECTOR, NOTEST, REASONS, RelayError, RelayService, is_listed},
    settings::{RelaySettings, TesterSource},
    token::{TokenCodec, TokenKind},
};
use crate::{
    clock::{Clock, SystemTimeSource, wall},
    ledger::{self, ReasonSettings},
    model::{
        SourceId, Subject, Time,
        history::{Ask, HoldFor},
        time::Seconds,
    },
    smtp::{Outcome, Stage, outcome::RecipientReply, session::ReceivedMessage},
    store::Store,
};

/// A desk with everything around it, and a clock that the test moves.
pub struct Bench {
    pub desk: RelayService,
    pub now: Time,
    n: u64,
    _dir: tempfile::TempDir,
}

pub fn ip(t: &str) -> IpAddr {
    t.parse().unwrap()
}

impl Bench {
    pub fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::store::Settings {
            path: dir.path().join("data"),
            journal_age: Seconds(86_400),
            open_tables: crate::store::MAX_OPEN_TABLES,
            journal_size: 1 << 30,
            churn_age: Seconds(86_400),
            scrub_every: Seconds(0),
            scrub_rate: 1 << 23,
        };
        let reasons = REASONS.iter().chain([&NOTEST]).map(|name| ReasonSettings {
            name: (*name).into(),
            text: "x".into(),
            lifetime: Some(Seconds(90 * 86_400)),
            two_persons: false,
        });
        let special: Vec<Subject> = vec![
            "127.64.0.0/10".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ];
        let own = ledger::Settings {
            reasons: reasons.collect(),
            zones: Vec::new(),
            feeds: Vec::new(),
            special: special.clone(),
            nsid: String::new(),
            keys: Default::default(),
            removals: None,
            ..ledger::Settings::default()
        };
        let ledger = ledger::open(
            Store::open(settings).unwrap(),
            own,
            Clock::without_record(SystemTimeSource::default()),
            || (),
        )
        .unwrap();
        let settings = RelaySettings {
            enabled: true,
            public: false,
            domain: "probe.example".into(),
            foreign: Some("other.example".into()),
            hello: "tester.example".into(),
            operator: TesterIdentity::default(),
            at_home: |_, addr| addr == ip("198.51.100.9"),
            listen: vec!["127.127.0.1:25".parse().unwrap()],
            port: 25,
            addresses: vec![ip("127.127.0.1")],
            special,
            per_net: 3,
            per_network: 30,
            networks: Arc::default(),
            unproved: 100,
            quota: 50,
            trusted: vec!["trusty".into()],
            chosen: Vec::new(),
            notice: Seconds(7 * 86_400),
            retry: [Seconds(300), Seconds(900)],
            catalogue: Arc::new(Catalogue::standard()),
            tokens: TokenCodec::new(b"secret"),
            sources: Vec::new(),
            random: |most| most / 2,
        };
        Bench {
            desk: RelayService::new(ledger, settings),
            now: wall(),
            n: 0,
            _dir: dir,
        }
    }

    fn nomination(&self, target: &str, kind: &str) -> Nomination {
        let grounds = EvidenceSummary {
            kind: kind.into(),
            text: format!("seen {}", self.now.0),
            at: self.now,
        };
        Nomination {
            target: ip(target),
            port: None,
            grounds,
            decides: true,
            owner: kind == "owner",
            remote: false,
            names: Vec::new(),
            only: vec!["plain".into()],
        }
    }

    pub fn nominate(&self, target: &str, by: &str) -> Job {
        self.desk
            .nominate(&who(by), self.nomination(target, "log"), self.now)
            .unwrap()
    }

    /// What a reporter brings who does not decide himself.
    fn bring(&self, by: &str, target: &str) -> Job {
        self.desk
            .nominate(
                &who(by),
                Nomination {
                    decides: false,
                    only: Vec::new(),
                    ..self.nomination(target, "log")
                },
                self.now,
            )
            .unwrap()
    }

    pub fn begin(&mut self, job: &Job) -> Result<(Job, Vec<PreparedMessage>), RelayError> {
        let n = &mut self.n;
        let mut fresh = || {
            *n += 1;
            n.to_be_bytes()
        };
        self.desk.begin(
            job.id,
            &Bench::names_of(&self.desk, job.target),
            &mut fresh,
            self.now,
        )
    }

    fn names_of(desk: &RelayService, target: IpAddr) -> HostNames {
        let s = desk.settings();
        HostNames {
            target,
            relay: Some("relay.example".into()),
            hosted: None,
            user: None,
            domain: s.domain.clone(),
            foreign: s.foreign.clone(),
            collector: Some(ip("127.127.0.1")),
            hello: s.hello.clone(),
        }
    }

    /// Runs a job with one outcome for all its messages.
    pub fn run(&mut self, job: &Job, outcome: &Outcome) -> (Job, Vec<PreparedMessage>) {
        let (job, ready) = self.begin(job).unwrap();
        let ran = ready
            .iter()
            .map(|r| MessageResult {
                place: r.place,
                outcome: outcome.clone(),
            })
            .collect();
        // What is left alone by its greeting is not asked for its postmaster either.
        let check = if matches!(outcome, Outcome::Skipped { .. }) {
            ControlCheck::default()
        } else {
            accepted_control()
        };
        (
            self.desk
                .finish(job.id, ran, controls(&ready, &check), "C EHLO\n", self.now)
                .unwrap(),
            ready,
        )
    }

    /// A host is brought, and proves open; the messages that it was sent.
    fn prove(&mut self, host: &str) -> Vec<PreparedMessage> {
        let job = self.nominate(host, "anna");
        let (_, ready) = self.run(&job, &accepted());
        self.deliver(&ready[0], host);
        ready
    }

    /// The same message comes out of a host.
    pub fn deliver(&self, ready: &PreparedMessage, output: &str) -> ArrivalOutcome {
        let to = ready.envelope.to[ready.envelope.probe]
            .trim_matches(['<', '>'])
            .to_string();
        self.arrive(&to, &ready.message, output)
    }

    pub fn arrive(&self, to: &str, message: &[u8], output: &str) -> ArrivalOutcome {
        let incoming = ReceivedMessage {
            hello: "x".into(),
            from: "s@relay.example".into(),
            to: vec![to.into()],
            data: message.to_vec(),
        };
        self.desk.arrived(&incoming, ip(output), self.now).unwrap()
    }

    pub fn later(&mut self, seconds: u64) {
        self.now = self.now.plus(Seconds(seconds));
    }

    pub fn listed(&self, target: &str) -> Vec<&'static str> {
        let verdict = self
            .desk
            .ledger
            .store
            .verdict(&Subject::host(ip(target)))
            .unwrap();
        REASONS
            .into_iter()
            .filter(|r| is_listed(&self.desk, &verdict, r))
            .collect()
    }
}

pub fn who(name: &str) -> Actor {
    Actor {
        name: name.into(),
        from: "test".into(),
        once: None,
    }
}
fn refused() -> Outcome {
    Outcome::Refused {
        stage: Stage::Rcpt,
        code: 550,
        text: "no".into(),
    }
}
/// A control whose postmaster was accepted.
pub fn accepted_control() -> ControlCheck {
    control_reply(250, "ok")
}
pub fn control_reply(code: u16, text: &str) -> ControlCheck {
    ControlCheck {
        replies: vec![RecipientReply {
            recipient: "<postmaster>".into(),
            code,
            text: text.into(),
        }],
        failure: None,
    }
}
/// The sessions of messages, with the same control before and after.
pub fn controls(ready: &[PreparedMessage], check: &ControlCheck) -> Vec<ControlSession> {
    let mut out: Vec<(u32, ControlSession)> = Vec::new();
    for r in ready {
        let Some(plan) = &r.control else { continue };
        if out.last().is_none_or(|(n, _)| *n != plan.session) {
            let greeting = r.envelope.hello.clone().unwrap_or_default();
            let session = ControlSession {
                greeting,
                before: check.clone(),
                after: check.clone(),
                ..ControlSession::default()
            };
            out.push((plan.session, session));
        }
        out.last_mut().unwrap().1.places.push(r.place);
    }
    out.into_iter().map(|(_, s)| s).collect()
}
fn accepted() -> Outcome {
    Outcome::Accepted {
        text: "queued".into(),
    }
}

#[test]
fn acceptance_lists_nobody_and_delivery_does() {
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
    assert_eq!(b.desk.job(job.id).unwrap().assessment(), Assessment::Open);
    let proof = &b.desk.proofs(ip("127.64.0.1"), true, 10).unwrap()[0];
    assert_eq!(
        (proof.outcome.as_str(), proof.test.as_str()),
        ("relay", "plain")
    );
    let history = b
        .desk
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

/// What a host says at the collector reaches terminals and logs one day.
#[test]
fn an_envelope_is_kept_without_control_characters() {
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
        b.desk.arrived(&incoming, ip("127.64.0.1"), b.now).unwrap(),
        ArrivalOutcome::Recorded(2)
    );
    let proof = b.desk.proof(2).unwrap();
    for text in [&proof.hello, &proof.from, &proof.to[1]] {
        assert!(
            !text.contains(crate::model::text::needs_escape)
                && text.contains(char::REPLACEMENT_CHARACTER),
            "{text:?}"
        );
    }
    assert!(!proof.message.contains(['\u{1b}', '\u{202e}']) && proof.message.contains("[2J"));
}

/// S1, S2, S3: off until somebody says who he is; evidence; single hosts and few of a net.
#[test]
fn what_may_not_be_tested_is_held_refused_or_put_off() {
    let b = Bench::new();
    let say = |n: Nomination| b.desk.nominate(&who("anna"), n, b.now);
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
    let due: Vec<u64> = b.desk.due(9, b.now).unwrap().iter().map(|j| j.id).collect();
    assert!(due.contains(&fourth.id));
}

#[test]
fn a_reporter_is_watched_until_he_was_right_and_has_a_quota() {
    let mut b = Bench::new();
    let bring = |b: &Bench, t: &str| {
        b.desk.nominate(
            &who("rep"),
            Nomination {
                decides: false,
                ..b.nomination(t, "log")
            },
            b.now,
        )
    };
    for i in 0..5 {
        let job = bring(&b, &format!("127.64.{i}.1")).unwrap();
        assert_eq!(
            (
                job.state,
                job.waiting_for.as_ref().unwrap().contains("a person")
            ),
            (JobState::Held, true),
            "{i}"
        );
        let job = b.desk.decide(&who("anna"), job.id, true, b.now).unwrap();
        let (_, ready) = b.run(&job, &accepted());
        if i == 0 {
            b.deliver(&ready[0], "127.64.0.1");
        }
    }
    assert_eq!(
        bring(&b, "127.64.7.1").unwrap().state,
        JobState::Queued,
        "two in seven"
    );
    for i in 0..60u32 {
        match bring(&b, &format!("127.65.{i}.1")) {
            Err(RelayError::TooMany(why, wait)) => {
                assert!(why.contains("50") && i == 44, "{why} {i}");
                assert_eq!((b.now.0 + wait.0) % 86_400, 0, "until the next day");
                return;
            }
            other => drop(other.unwrap()),
        }
    }
    panic!("no quota");
}

/// S5 and the three-way rule.
#[test]
fn claims_are_paced_and_end_as_the_test_says() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    assert!(matches!(
        b.desk.claim(&who("owner"), ip("127.64.0.9"), true, b.now),
        Err(RelayError::Unknown(_))
    ));
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let claimed = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
        pauses.push((claimed.job.not_before.0 - b.now.0) / 3600);
        assert_eq!(
            b.desk
                .claim(&who("owner"), ip(host), true, b.now)
                .unwrap()
                .job
                .id,
            claimed.job.id,
            "the same claim"
        );
        b.now = claimed.job.not_before;
        b.desk.due(9, b.now).unwrap();
        let (_, ready) = b.run(&claimed.job, &accepted());
        assert!(
            b.desk
                .host(ip(host))
                .unwrap()
                .claim
                .unwrap()
                .release
                .is_some()
        );
        b.deliver(&ready[0], host);
        assert_eq!(b.desk.host(ip(host)).unwrap().claim, None, "it has failed");
    }
    assert_eq!(pauses, [0, 1, 4, 16, 64]);
    // An unproved claim of somebody else has a pace of its own, and never delays a proved one.
    let before = b.desk.host(ip(host)).unwrap().claim_time(true, &[], b.now);
    let theirs = b
        .desk
        .claim(&who("claimant"), ip(host), false, b.now)
        .unwrap();
    assert_eq!(theirs.job.not_before, b.now);
    let (_, ready) = b.run(&theirs.job, &accepted());
    b.deliver(&ready[0], host);
    assert_eq!(
        b.desk.host(ip(host)).unwrap().claim_time(true, &[], b.now),
        before
    );
    assert_eq!(
        b.desk
            .claim(&who("claimant"), ip(host), false, b.now)
            .unwrap()
            .job
            .not_before,
        b.now.plus(BETWEEN),
        "one a day"
    );
    // Closed: released at once, for every reason and source, and held down.
    b.later(1);
    let last = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    b.now = last.job.not_before.max(b.now);
    b.desk.due(9, b.now).unwrap();
    let (last, _) = b.run(&last.job, &refused());
    assert!(
        b.listed(host).is_empty(),
        "{:?} {:?}",
        last.row,
        last.controls
    );
    // A message from before the release lists nobody, and has it tested again.
    assert!(matches!(
        b.deliver(&ready[0], "127.64.9.9"),
        ArrivalOutcome::Recorded(_)
    ));
    assert!(b.listed(host).is_empty());
    // (The recheck of the release waits, too.)
    let mut review = b.desk.jobs(None, true, 9).unwrap();
    review.retain(|j| j.cause != Trigger::Recheck);
    assert_eq!((review.len(), review[0].cause), (1, Trigger::Review));
    // Newer evidence does, also against the hold.
    b.now = review[0].not_before;
    b.desk.due(9, b.now).unwrap();
    let (_, ready) = b.run(&review[0], &accepted());
    b.deliver(&ready[0], host);
    assert_eq!(b.listed(host), ["relay"]);
}

/// Its owner took the relay's name away, and with it the tests that use the name: all others were
/// refused.
#[test]
fn a_test_that_can_not_be_made_again_is_no_refusal() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b
        .desk
        .nominate(
            &who("anna"),
            Nomination {
                only: vec!["percent-at-name".into()],
                ..b.nomination(host, "log")
            },
            b.now,
        )
        .unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], host);
    b.desk.finish(job.id, vec![], vec![], "", b.now).unwrap();
    assert_eq!(
        (b.listed(host), b.desk.host(ip(host)).unwrap().names),
        (vec!["relay"], vec!["relay.example".to_string()])
    );
    b.later(60);
    for (nameless, released) in [(true, false), (false, true)] {
        let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
        assert_eq!(
            claim.job.names,
            ["relay.example"],
            "the next test looks whether it is still its own"
        );
        let mut names = Bench::names_of(&b.desk, ip(host));
        if nameless {
            names.relay = None;
        }
        let mut n = 1_000_000 + u64::from(released) * 1000;
        let mut fresh = || {
            n += 1;
            n.to_be_bytes()
        };
        let (job, ready) = b
            .desk
            .begin(claim.job.id, &names, &mut fresh, b.now)
            .unwrap();
        let ran = ready
            .iter()
            .map(|r| MessageResult {
                place: r.place,
                outcome: refused(),
            })
            .collect();
        let job = b
            .desk
            .finish(
                job.id,
                ran,
                controls(&ready, &accepted_control()),
                "",
                b.now,
            )
            .unwrap();
        assert_eq!(
            (job.assessment(), b.listed(host).is_empty()),
            (Assessment::Closed, released)
        );
        if nameless {
            let waits = b
                .desk
                .host(ip(host))
                .unwrap()
                .claim
                .unwrap()
                .release
                .unwrap();
            assert_eq!(waits, b.now.plus(WAITING));
            // What was refused cannot have come through: whoever brings it.
            let again = ready.iter().find(|r| r.test == "plain").unwrap().clone();
            b.deliver(&again, host);
            assert!(b.desk.host(ip(host)).unwrap().claim.is_some());
            b.later(3601);
            b.desk
                .review(&who("anna"), ip(host), "for the test", b.now)
                .unwrap();
            b.later(1);
            let job = b
                .desk
                .nominate(
                    &who("anna"),
                    Nomination {
                        only: vec!["percent-at-name".into()],
                        ..b.nomination(host, "owner")
                    },
                    b.now,
                )
                .unwrap();
            b.now = b.now.max(job.not_before);
            b.desk.due(9, b.now).unwrap();
            let (job, ready) = b.begin(&job).unwrap();
            b.deliver(&ready[0], host);
            b.desk.finish(job.id, vec![], vec![], "", b.now).unwrap();
            b.later(60);
        }
    }
}

/// A closed Postfix as Debian ships it (`defer_unauth_destination`) says 454 to every stranger, for
/// good.
#[test]
fn a_host_that_puts_strangers_off_for_good_is_released_after_the_waiting_period() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let later = |stage| Outcome::TempFail {
        stage,
        code: 454,
        text: "4.7.1 Relay access denied".into(),
    };
    let claimed = |b: &mut Bench, outcome: &Outcome| {
        let mut job = b
            .desk
            .claim(&who("owner"), ip(host), true, b.now)
            .unwrap()
            .job;
        while job.state != JobState::Done {
            b.now = job.not_before.max(b.now);
            assert_eq!(b.desk.due(9, b.now).unwrap().len(), 1);
            job = b.run(&job, outcome).0;
        }
        (job.assessment(), b.desk.host(ip(host)).unwrap().claim)
    };
    // To be put off before a recipient is named says nothing about relaying.
    assert_eq!(
        claimed(&mut b, &later(Stage::Hello)),
        (Assessment::Blocked, None)
    );
    let (says, claim) = claimed(&mut b, &later(Stage::Rcpt));
    assert_eq!(
        (says, claim.unwrap().release),
        (Assessment::Inconclusive, Some(b.now.plus(WAITING)))
    );
    b.now = Time(b.now.plus(WAITING).0 - 1);
    b.desk.tick(b.now).unwrap();
    assert_eq!(b.listed(host), ["relay"]);
    b.later(1);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(host).is_empty());
}

#[test]
fn what_was_accepted_and_never_came_is_released_after_five_days_and_outages_stand_still() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    b.run(&claim.job, &accepted());
    b.later(86_400);
    b.desk
        .well("collector", Some(("down".into(), b.now)), b.now)
        .unwrap();
    assert!(b.desk.due(9, b.now).unwrap().is_empty(), "no tests");
    let to = vec![ready[0].envelope.to[0].trim_matches(['<', '>']).to_string()];
    let incoming = ReceivedMessage {
        hello: String::new(),
        from: String::new(),
        to,
        data: vec![],
    };
    assert!(
        matches!(
            b.desk.arrived(&incoming, ip("127.64.0.2"), b.now),
            Err(RelayError::No(_))
        ),
        "no listing"
    );
    // It was stopped in the midst of it, and the end of both is the same: what was lost counted
    // twice.
    b.desk.tick(b.now).unwrap();
    b.later(2 * 86_400);
    let again = RelayService::new(b.desk.ledger.clone(), (*b.desk.settings()).clone());
    again.resume(b.now).unwrap();
    b.desk = again;
    let release = b
        .desk
        .host(ip(host))
        .unwrap()
        .claim
        .unwrap()
        .release
        .unwrap();
    b.now = Time(release.plus(Seconds(2 * 86_400)).0 - 1);
    b.desk.tick(b.now).unwrap();
    assert_eq!(b.listed(host), ["relay"], "two days were lost");
    b.later(1);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(host).is_empty());
}

#[test]
fn a_claim_that_nobody_tests_is_granted_after_two_days() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    let off = RelaySettings {
        enabled: false,
        ..(*b.desk.settings()).clone()
    };
    b.desk.configure(off);
    b.later(10);
    let claim = b.desk.claim(&who("owner"), ip(host), false, b.now).unwrap();
    assert_eq!(claim.job.state, JobState::Held);
    b.later(UNTESTED.0 - 1);
    b.desk.tick(b.now).unwrap();
    assert_eq!(b.listed(host), ["relay"]);
    b.later(1);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(host).is_empty());
    let history = b
        .desk
        .ledger
        .store
        .history(&Subject::host(ip(host)))
        .unwrap();
    assert!(history.iter().any(|e| {
        e.evidence
            .as_ref()
            .is_some_and(|e| e.text.starts_with("on-request"))
    }));
    assert_eq!(b.desk.job(claim.job.id).unwrap().state, JobState::Done);
}

/// S6.
#[test]
fn an_opt_out_drains_what_waits_and_keeps_what_was_proved() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], "127.64.0.1");
    let waiting = b.nominate("127.64.0.2", "anna");
    let (running, messages) = {
        let j = b.nominate("127.64.0.3", "anna");
        b.begin(&j).unwrap()
    };
    let net: Subject = "127.64.0.0/24".parse().unwrap();
    b.desk.opt_out(&who("anna"), &net, "PTR", b.now).unwrap();
    for id in [waiting.id, running.id] {
        let job = b.desk.job(id).unwrap();
        assert_eq!(
            (job.state, job.waiting_for.unwrap().contains("asked")),
            (JobState::Done, true)
        );
    }
    b.deliver(&messages[0], "127.64.0.3");
    assert!(b.listed("127.64.0.3").is_empty());
    assert_eq!(b.listed("127.64.0.1"), ["relay"], "it stays until it ends");
    assert!(matches!(
        b.desk
            .nominate(&who("anna"), b.nomination("127.64.0.9", "log"), b.now),
        Err(RelayError::No(_))
    ));
    let v = b.desk.ledger.store.verdict(&net).unwrap();
    assert_eq!(v.entries[0].source, SourceId::OPERATOR);
    b.desk.opt_in(&who("anna"), &net, b.now).unwrap();
    assert!(
        b.desk
            .ledger
            .store
            .verdict(&net)
            .unwrap()
            .entries
            .is_empty()
            && b.desk.opt_outs().unwrap().is_empty()
    );
    b.nominate("127.64.0.9", "anna");
}

#[test]
fn an_output_is_listed_after_two_inputs_of_strangers_and_the_notice_and_goes_with_them() {
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
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(out).is_empty());
    b.later(7 * 86_400);
    b.desk.tick(b.now).unwrap();
    assert_eq!(b.listed(out), ["output"]);
    assert!(
        matches!(b.desk.claim(&who("x"), ip(out), true, b.now), Err(RelayError::No(why)) if why.contains("127.64.0.1"))
    );
    for (host, left) in [("127.64.0.1", 1), ("127.65.0.1", 0)] {
        let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
        b.run(&claim.job, &refused());
        b.desk.tick(b.now).unwrap();
        assert_eq!(b.listed(out).len(), left, "it goes with its last input");
    }
    // One whose inputs were tested for their owners is never listed.
    for host in ["127.66.0.1", "127.67.0.1"] {
        let job = b
            .desk
            .nominate(&who(host), b.nomination(host, "owner"), b.now)
            .unwrap();
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], "127.71.0.1");
    }
    b.later(30 * 86_400);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed("127.71.0.1").is_empty());
}

/// S17.
#[test]
fn wrong_reused_late_and_foreign_tokens_list_nobody() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    let other = TokenCodec::new(b"other").text(TokenKind::Probe, &[9; 8]);
    assert_eq!(
        b.arrive(&format!("{other}@probe.example"), b"", host),
        ArrivalOutcome::NoToken
    );
    let unknown = b.desk.settings().tokens.text(TokenKind::Probe, &[9; 8]);
    assert_eq!(
        b.arrive(&format!("{unknown}@probe.example"), b"", host),
        ArrivalOutcome::NoToken,
        "signed by us, and never issued"
    );
    let back = ready[0].envelope.from.trim_matches(['<', '>']).to_string();
    b.arrive(&back, &ready[0].message, host);
    assert_eq!(
        b.arrive("postmaster@probe.example", &ready[0].message, host),
        ArrivalOutcome::NoToken
    );
    assert!(b.listed(host).is_empty());
    assert_eq!(
        b.desk.job(job.id).unwrap().results[0].outcome.word(),
        "bounced"
    );
    b.later(14 * 86_400 + 1);
    b.deliver(&ready[0], host);
    assert!(b.listed(host).is_empty());
    assert_eq!(
        b.desk.proofs(ip(host), true, 9).unwrap()[0].outcome,
        "too late: the token was older than 14 days"
    );
    let ready = b.prove(host);
    let commits = b.desk.ledger.store.seq().unwrap();
    b.deliver(&ready[0], host);
    assert_eq!(b.desk.ledger.store.seq().unwrap(), commits, "twice is once");
}

#[test]
fn a_reporters_own_test_is_unconfirmed_unless_he_is_trusted() {
    let mut b = Bench::new();
    for (by, host, reason) in [
        ("rep", "127.64.0.1", "unconfirmed"),
        ("trusty", "127.65.0.1", "relay"),
    ] {
        let job = b
            .desk
            .nominate(
                &who(by),
                Nomination {
                    remote: true,
                    ..b.nomination(host, "log")
                },
                b.now,
            )
            .unwrap();
        assert!(
            b.desk.due(9, b.now).unwrap().is_empty(),
            "our tester leaves it alone"
        );
        let (job, ready) = b.begin(&job).unwrap();
        b.deliver(&ready[0], host);
        assert_eq!(b.listed(host), [reason]);
        let job = b.desk.finish(job.id, vec![], vec![], "", b.now).unwrap();
        assert_eq!(
            (job.state, job.assessment()),
            (JobState::Done, Assessment::Open)
        );
    }
}

#[test]
fn what_is_put_off_is_tried_again_with_the_same_token_three_times() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let later = Outcome::TempFail {
        stage: Stage::Rcpt,
        code: 450,
        text: "greylisted".into(),
    };
    let (mut job, first) = b.run(&job, &later);
    let mut pauses = Vec::new();
    for _ in 0..2 {
        pauses.push(job.not_before.0 - b.now.0);
        b.now = job.not_before;
        assert_eq!(b.desk.due(9, b.now).unwrap().len(), 1);
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
        matches!(&job.results[0].outcome, Outcome::Inconclusive { why, deferred_at: Some(Stage::Rcpt), .. } if why == "put off 3 times, last with 450")
    );
}

/// A form that came through with a sender of the host's own is sent once more from our domain.
#[test]
fn a_recipients_form_is_told_from_its_sender() {
    let mut b = Bench::new();
    let job = b
        .desk
        .nominate(
            &who("anna"),
            Nomination {
                only: vec!["percent-at-name".into()],
                ..b.nomination("127.64.0.1", "log")
            },
            b.now,
        )
        .unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], "127.64.0.1");
    let job = b
        .desk
        .finish(
            job.id,
            vec![MessageResult {
                place: 0,
                outcome: accepted(),
            }],
            vec![],
            "",
            b.now,
        )
        .unwrap();
    assert_eq!(job.state, JobState::Deferred);
    b.later(2);
    assert_eq!(b.desk.due(9, b.now).unwrap().len(), 1);
    let (job, again) = b.run(&job, &refused());
    assert_eq!(
        (again.len(), again[0].test.as_str(), job.state),
        (1, "percent-at-name+plain-sender", JobState::Done)
    );
    assert!(again[0].envelope.from.ends_with("@probe.example>"));
    assert_eq!(job.assessment(), Assessment::Open, "what was proved stays");
}

#[test]
fn a_stop_in_the_middle_runs_the_rest_later_and_old_rows_are_forgotten() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (job, first) = b.begin(&job).unwrap();
    b.desk.resume(b.now).unwrap();
    let waiting = b.desk.job(job.id).unwrap();
    assert_eq!(waiting.state, JobState::Deferred);
    b.now = waiting.not_before;
    b.desk.due(9, b.now).unwrap();
    let (job, again) = b.run(&waiting, &accepted());
    assert_eq!(
        (again[0].envelope.clone(), job.state),
        (first[0].envelope.clone(), JobState::Done)
    );
    b.later(400 * 86_400);
    b.desk.forget(b.now).unwrap();
    assert!(matches!(b.desk.job(job.id), Err(RelayError::Unknown(_))));
    let mut rows = 0;
    b.desk
        .ledger
        .store
        .probes(b"T", b"T", &mut |_, _| {
            rows += 1;
            Ok(true)
        })
        .unwrap();
    assert_eq!(rows, 0);
}

/// What cannot be written down while it is so is written down when it can: nothing of an outage is
/// lost.
#[test]
fn an_outage_that_could_not_be_written_down_is_written_later() {
    let b = Bench::new();
    let written = || {
        b.desk
            .sheet(b.now)
            .get::<Vec<Outage>>(key::OUTAGES)
            .unwrap()
            .unwrap_or_default()
    };
    let full = |full: bool| {
        b.desk
            .ledger
            .health
            .set(full.then(|| "the disk is full".into()));
    };
    let at = |n: u64| b.now.plus(Seconds(n));
    let down = |n: u64| {
        b.desk
            .well("collector", Some(("down".into(), at(n))), at(n))
    };
    // It is still so when it can be written down.
    full(true);
    assert!(down(0).is_err());
    assert_eq!(
        (b.desk.wrong().as_deref(), written()),
        (Some("collector: down"), vec![]),
        "nothing is tested all the same"
    );
    full(false);
    down(30).unwrap();
    assert_eq!(written(), [(at(0), None)]);
    b.desk.well("collector", None, at(60)).unwrap();
    assert_eq!(written(), [(at(0), Some(at(60)))]);
    // It is over when it can be written down.
    full(true);
    assert!(down(100).is_err());
    assert!(b.desk.well("collector", None, at(130)).is_err());
    full(false);
    b.desk.well("collector", None, at(160)).unwrap();
    assert_eq!(written(), [(at(0), Some(at(60))), (at(100), Some(at(160)))]);
    assert_eq!(b.desk.wrong(), None);
}

/// Idle sessions of strangers held all places of the collector, and after two days every claim that
/// waited was granted untested.
#[test]
fn load_delays_what_is_granted_untested_by_seven_days_at_most() {
    let day = |n: u64| n * 86_400;
    for (load, granted) in [(0, 2), (1, 3), (5, 7), (30, 9)] {
        let mut b = Bench::new();
        let host = "127.64.0.1";
        let job = b.nominate(host, "anna");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], host);
        b.later(10);
        b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
        let claimed = b.now;
        let at = |n: u64| claimed.plus(Seconds(n));
        b.desk.loaded((load > 0).then_some(at(0)), at(0)).unwrap();
        b.desk.loaded((load > 0).then_some(at(0)), at(30)).unwrap();
        for hour in (0..day(12)).step_by(3600) {
            if hour == day(load) {
                b.desk.loaded(None, at(hour)).unwrap();
            }
            b.desk.tick(at(hour)).unwrap();
            assert_eq!(
                b.listed(host).is_empty(),
                hour >= day(granted),
                "{load} days of load, after {hour} s"
            );
        }
        assert_eq!(b.desk.wrong(), None, "tests go on under load");
    }
}

/// What was sent under load may not have come: it says nothing for the host.
#[test]
fn waiting_periods_stand_still_under_load_also_over_a_restart() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    b.run(&claim.job, &accepted());
    b.desk.tick(b.now).unwrap();
    let begun = b.now;
    b.desk.loaded(Some(b.now), b.now).unwrap();
    b.later(2 * 86_400);
    b.desk.tick(b.now).unwrap();
    // Stopped under load, and back a moment later, without load.
    b.desk = RelayService::new(b.desk.ledger.clone(), (*b.desk.settings()).clone());
    b.desk.resume(b.now).unwrap();
    b.desk.loaded(None, b.now).unwrap();
    b.now = begun.plus(WAITING).plus(Seconds(2 * 86_400 - 1));
    b.desk.tick(b.now).unwrap();
    assert_eq!(b.listed(host), ["relay"]);
    b.later(200);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(host).is_empty());
}

/// S12: evidence is kept while its host is listed, and 90 days after.
#[test]
fn evidence_outlives_its_listing_by_ninety_days() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (job, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    let proofs = |b: &Bench| b.desk.proofs(ip(host), true, 9).unwrap().len();
    b.later(200 * 86_400);
    b.desk.forget(b.now).unwrap();
    assert_eq!(
        (proofs(&b), b.desk.transcript(job.id).unwrap().is_empty()),
        (1, false),
        "it is still listed"
    );
    b.desk
        .review(&who("anna"), ip(host), "closed", b.now)
        .unwrap();
    // The release stands in the history at the time of the ledger's own clock, which is now.
    let released = wall();
    b.desk.forget(released.plus(Seconds(89 * 86_400))).unwrap();
    assert_eq!(proofs(&b), 1);
    b.desk.forget(released.plus(Seconds(91 * 86_400))).unwrap();
    assert_eq!(
        (proofs(&b), b.desk.transcript(job.id).unwrap().is_empty()),
        (0, true)
    );
}

/// An outage that a stop has cut froze every waiting period; time that nobody was there did not
/// count as lost.
#[test]
fn a_stop_ends_an_outage_and_is_one_itself() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    b.run(&claim.job, &accepted());
    let begun = b.now;
    b.desk.tick(b.now).unwrap();
    b.desk
        .well("collector", Some(("down".into(), b.now)), b.now)
        .unwrap();
    // Away for two days, then back: a desk that knows nothing of what was wrong.
    b.later(2 * 86_400);
    b.desk = RelayService::new(b.desk.ledger.clone(), (*b.desk.settings()).clone());
    b.desk.resume(b.now).unwrap();
    let outages: Vec<Outage> = b.desk.sheet(b.now).get(key::OUTAGES).unwrap().unwrap();
    assert!(outages.iter().all(|o| o.1.is_some()), "{outages:?}");
    let lost = lost(&outages, begun, b.now);
    assert!(
        lost >= Seconds(2 * 86_400) && lost <= Seconds(4 * 86_400 + 10),
        "{lost:?}"
    );
    b.now = begun.plus(WAITING).plus(lost);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(host).is_empty());
}

/// Findings of a review: who gets whose tokens, whom an opt-out keeps from a claim's test, whose
/// word fails a claim, who starts together, what a danger test takes.
#[test]
fn what_a_review_has_found() {
    let mut b = Bench::new();
    // A claim had an opted-out host tested.
    let job = b.nominate("127.64.0.1", "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], "127.64.0.1");
    b.desk
        .opt_out(&who("anna"), &"127.64.0.1".parse().unwrap(), "x", b.now)
        .unwrap();
    let claim = |b: &Bench| b.desk.claim(&who("owner"), ip("127.64.0.1"), true, b.now);
    // And an open host was let out for good that way: a claim of one that nobody may test was
    // granted after two days.
    assert!(
        matches!(claim(&b), Err(RelayError::No(why)) if why.contains("127.64.0.1 asked not to be tested"))
    );
    b.desk
        .opt_in(&who("anna"), &"127.64.0.1".parse().unwrap(), b.now)
        .unwrap();
    let (running, _) = b.begin(&claim(&b).unwrap().job).unwrap();
    b.desk
        .opt_out(&who("anna"), &"127.64.0.1".parse().unwrap(), "x", b.now)
        .unwrap();
    assert_eq!(
        (
            b.desk.job(running.id).unwrap().state,
            b.desk.host(ip("127.64.0.1")).unwrap().claim
        ),
        (JobState::Done, None)
    );
    b.later(3 * UNTESTED.0);
    b.desk.tick(b.now).unwrap();
    assert_eq!(b.listed("127.64.0.1"), ["relay"], "it stays until it ends");
    // A trusted reporter's messages were handed to another one.
    let remote = |b: &Bench, by: &str| {
        b.desk.nominate(
            &who(by),
            Nomination {
                remote: true,
                ..b.nomination("127.65.0.1", "log")
            },
            b.now,
        )
    };
    remote(&b, "trusty").unwrap();
    assert!(matches!(remote(&b, "mallory"), Err(RelayError::No(_))));
    // Hosts of one net began together, all against an empty budget; so did two tests of one host.
    let jobs: Vec<Job> = (1..=5)
        .map(|i| b.nominate(&format!("127.66.0.{i}"), "anna"))
        .collect();
    let began = jobs.iter().filter(|j| b.begin(j).is_ok()).count();
    assert_eq!(began, 3);
    // An untrusted reporter's own message failed an owner's claim.
    let host = "127.67.0.1";
    b.prove(host);
    b.later(1);
    b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    b.later(86_400);
    let own = Nomination {
        remote: true,
        ..b.nomination(host, "log")
    };
    let job = b.desk.nominate(&who("mallory"), own, b.now).unwrap();
    let (_, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], host);
    assert!(b.desk.host(ip(host)).unwrap().claim.is_some());
    // The collector could be nominated, and was listed.
    let ours = b
        .desk
        .nominate(
            &who("anna"),
            Nomination {
                target: ip("127.127.0.1"),
                ..b.nomination(host, "log")
            },
            b.now,
        )
        .unwrap();
    assert_eq!(ours.state, JobState::Held);
    // A bounce to the probe's own address was taken for the probe.
    let job = b
        .desk
        .nominate(
            &who("anna"),
            Nomination {
                target: ip("127.68.0.1"),
                only: vec!["same-address".into()],
                ..b.nomination(host, "log")
            },
            b.now,
        )
        .unwrap();
    let (_, ready) = b.run(&job, &accepted());
    let to = ready[0].envelope.from.trim_matches(['<', '>']).to_string();
    let incoming = ReceivedMessage {
        hello: "x".into(),
        from: String::new(),
        to: vec![to],
        data: b"Subject: Returned mail\r\n\r\n".to_vec(),
    };
    b.desk.arrived(&incoming, ip("127.68.0.1"), b.now).unwrap();
    assert!(b.listed("127.68.0.1").is_empty());
    // The same message from ever more hosts listed again and again, and was kept each time.
    let job = b.nominate("127.69.0.1", "anna");
    let (_, ready) = b.run(&job, &accepted());
    for i in 0..40 {
        b.deliver(&ready[0], &format!("127.80.0.{}", i % 30));
    }
    let commits = b.desk.ledger.store.seq().unwrap();
    let kept = b.desk.proofs(ip("127.69.0.1"), true, 999).unwrap().len();
    b.deliver(&ready[0], "127.80.0.3");
    b.deliver(&ready[0], "127.80.0.99");
    assert_eq!(b.desk.ledger.store.seq().unwrap(), commits);
    assert!(kept <= 40 && b.desk.proofs(ip("127.69.0.1"), true, 999).unwrap().len() <= kept + 1);
}

#[test]
fn what_a_second_review_has_found() {
    let mut b = Bench::new();
    // An untrusted reporter handed our message in himself, and listed whom he liked.
    let own = |b: &mut Bench, host: &str| {
        b.later(86_400);
        let n = Nomination {
            remote: true,
            ..b.nomination(host, "log")
        };
        let job = b.desk.nominate(&who("mallory"), n, b.now).unwrap();
        let (job, ready) = b.begin(&job).unwrap();
        (
            b.desk.finish(job.id, vec![], vec![], "", b.now).unwrap(),
            ready,
        )
    };
    let (job, ready) = own(&mut b, "127.64.0.1");
    b.deliver(&ready[0], "127.99.0.1");
    assert!(b.listed("127.64.0.1").is_empty());
    assert!(
        b.desk.proofs(ip("127.64.0.1"), true, 9).unwrap()[0]
            .outcome
            .contains("another host than the tested one")
    );
    // After he had been there nobody else's test was made for a day.
    let theirs = b.nominate("127.64.0.1", "anna");
    assert_eq!(
        (theirs.state, theirs.id == job.id),
        (JobState::Queued, false)
    );
    b.run(&theirs, &refused());
    // His word broke the hold of a release, and kept a claim from its end.
    let host = "127.65.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    let (_, his) = own(&mut b, host);
    b.later(1);
    b.deliver(&his[0], host);
    assert_eq!(b.listed(host), ["relay", "unconfirmed"]);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    let (_, ready) = b.begin(&claim.job).unwrap();
    let ran = ready
        .iter()
        .map(|r| MessageResult {
            place: r.place,
            outcome: refused(),
        })
        .collect();
    b.desk
        .finish(
            claim.job.id,
            ran,
            controls(&ready, &accepted_control()),
            "",
            b.now,
        )
        .unwrap();
    assert!(b.listed(host).is_empty());
    b.later(86_400);
    let n = Nomination {
        remote: true,
        ..b.nomination(host, "log")
    };
    let job = b.desk.nominate(&who("other"), n, b.now).unwrap();
    let (_, again) = b.begin(&job).unwrap();
    b.deliver(&again[0], host);
    assert!(b.listed(host).is_empty(), "the hold stands");
    // A message of his from before the release had it tested again, and again.
    b.deliver(&his[0], "127.65.0.77");
    assert!(
        b.desk
            .jobs(None, true, 99)
            .unwrap()
            .iter()
            .all(|j| j.cause != Trigger::Review)
    );
    // A host that was listed by his word alone shut its door, and was let go for it.
    let alone = "127.68.0.1";
    let (_, his) = own(&mut b, alone);
    b.deliver(&his[0], alone);
    assert_eq!(b.listed(alone), ["unconfirmed"]);
    b.later(60);
    let claim = b.desk.claim(&who("owner"), ip(alone), true, b.now).unwrap();
    let (job, _) = b.run(&claim.job, &Outcome::inconclusive("no connection"));
    assert_eq!(
        (job.assessment(), b.desk.host(ip(alone)).unwrap().claim),
        (Assessment::Inconclusive, None)
    );
    // What proves nothing was kept as often as it was sent.
    let job = b.nominate("127.66.0.1", "anna");
    let (_, ready) = b.run(&job, &refused());
    for _ in 0..3 {
        b.deliver(&ready[0], "127.66.0.1");
    }
    assert_eq!(b.desk.proofs(ip("127.66.0.1"), true, 99).unwrap().len(), 1);
    for i in 0..100 {
        b.deliver(&ready[0], &format!("127.81.0.{i}"));
    }
    assert_eq!(
        b.desk.proofs(ip("127.66.0.1"), true, 999).unwrap().len(),
        40
    );
    // A report that calls itself none went for the message, where both addresses are the same.
    let same = Nomination {
        only: vec!["same-address".into()],
        ..b.nomination("127.67.0.1", "log")
    };
    let job = b.desk.nominate(&who("anna"), same, b.now).unwrap();
    let (_, ready) = b.run(&job, &accepted());
    let to = ready[0].envelope.to[0].trim_matches(['<', '>']).to_string();
    let quoted = [
        &b"Subject: Undeliverable\r\nFrom: <postmaster@x.example>\r\n\r\nThis came back:\r\n"[..],
        &ready[0].message,
    ]
    .concat();
    b.arrive(&to, &quoted, "127.67.0.1");
    assert!(b.listed("127.67.0.1").is_empty());
    assert_eq!(
        b.desk.job(job.id).unwrap().results[0].outcome.word(),
        "bounced"
    );
    b.arrive(&to, &ready[0].message, "127.67.0.1");
    assert_eq!(b.listed("127.67.0.1"), ["relay"], "the message itself");
}

/// A job that waits takes what others bring: nobody shields a host by bringing it first, or with a
/// test that cannot be made.
#[test]
fn a_job_that_waits_takes_in_what_others_bring() {
    let mut b = Bench::new();
    let bring = |b: &Bench, by: &str, decides: bool, only: &[&str]| {
        let n = Nomination {
            decides,
            only: only.iter().map(|t| (*t).to_string()).collect(),
            ..b.nomination("127.64.0.1", "log")
        };
        b.desk.nominate(&who(by), n, b.now).unwrap()
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
        b.desk.nominate(&who("anna"), other, b.now).unwrap().id,
        joined.id
    );
    // What sends nothing is no test: the next one is not put off by it.
    let none = Nomination {
        only: vec!["known-local-user-sender".into()],
        ..b.nomination("127.65.0.1", "log")
    };
    let job = b.desk.nominate(&who("anna"), none, b.now).unwrap();
    let (job, _) = b.run(&job, &refused());
    assert_eq!(
        (job.assessment(), b.nominate("127.65.0.1", "anna").state),
        (Assessment::Untestable, JobState::Queued)
    );
}

/// What came through at one port was refused at another: that is no release at once.
#[test]
fn a_claim_is_tested_at_the_port_that_was_proved() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b
        .desk
        .nominate(
            &who("anna"),
            Nomination {
                port: Some(2525),
                ..b.nomination(host, "log")
            },
            b.now,
        )
        .unwrap();
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    // A later test of the other port, refused, and the word of others change nothing about it.
    b.later(86_401);
    let job = b.nominate(host, "anna");
    b.run(&job, &refused());
    b.later(1);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    assert_eq!(claim.job.port, Some(2525));
    // A nomination does not change a claim's test; one of another port is another.
    let same = Nomination {
        port: Some(2525),
        ..b.nomination(host, "log")
    };
    assert_eq!(
        b.desk.nominate(&who("bert"), same, b.now).unwrap().id,
        claim.job.id
    );
    assert_eq!(b.desk.job(claim.job.id).unwrap(), claim.job);
    let other = Nomination {
        port: Some(25),
        ..b.nomination(host, "log")
    };
    let other = b.desk.nominate(&who("bert"), other, b.now).unwrap();
    assert_eq!(
        (other.port, other.id == claim.job.id),
        (None, false),
        "25 is the usual one"
    );
    b.run(&claim.job, &refused());
    assert!(b.listed(host).is_empty());
}

/// Switched off while it ran: what was not sent is no result, and the rest is made when the tester
/// is on again.
#[test]
fn a_test_that_was_switched_off_is_no_result() {
    let mut b = Bench::new();
    let two = Nomination {
        only: vec!["plain".into(), "null-sender".into()],
        ..b.nomination("127.64.0.1", "log")
    };
    let job = b.desk.nominate(&who("anna"), two, b.now).unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    let settings = (*b.desk.settings()).clone();
    b.desk.configure(RelaySettings {
        enabled: false,
        ..settings.clone()
    });
    let job = b
        .desk
        .finish(
            job.id,
            vec![MessageResult {
                place: 0,
                outcome: refused(),
            }],
            vec![],
            "",
            b.now,
        )
        .unwrap();
    assert_eq!(job.state, JobState::Deferred);
    b.now = job.not_before;
    assert!(b.desk.due(9, b.now).unwrap().is_empty());
    assert_eq!(b.desk.job(job.id).unwrap().state, JobState::Held);
    b.desk.configure(settings);
    assert_eq!(b.desk.due(9, b.now).unwrap().len(), 1);
    let (job, rest) = b.run(&b.desk.job(job.id).unwrap(), &refused());
    assert_eq!(
        (rest.len(), &rest[0].envelope, job.state, job.assessment()),
        (1, &ready[1].envelope, JobState::Done, Assessment::Closed)
    );
}

/// A job that was switched off ended without a line in the audit log; and of several switch-offs
/// only the first was no try.
#[test]
fn a_test_that_is_switched_off_again_and_again_ends_and_is_in_the_audit_log() {
    let mut b = Bench::new();
    let mut job = b.nominate("127.64.0.1", "anna");
    let settings = (*b.desk.settings()).clone();
    while job.state != JobState::Done {
        b.begin(&job).unwrap();
        b.desk.configure(RelaySettings {
            enabled: false,
            ..settings.clone()
        });
        job = b
            .desk
            .finish(job.id, Vec::new(), vec![], "", b.now)
            .unwrap();
        b.desk.configure(settings.clone());
        b.now = b.now.max(job.not_before);
    }
    let mut lines = Vec::new();
    let each = &mut |_, line: crate::store::schema::Audit| {
        lines.push(line.what);
        true
    };
    b.desk.ledger.store.audit(u64::MAX, each).unwrap();
    assert_eq!(
        (job.tries, job.interruptions, lines),
        (0, 20, vec!["test".to_string(), "nominate".to_string()])
    );
}

/// Three restarts made a closed host that says 454 to everybody inconclusive, and its owner's claim
/// failed by them; a reporter was wrong by them.
#[test]
fn what_we_cut_off_ourselves_is_no_try() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let later = Outcome::TempFail {
        stage: Stage::Rcpt,
        code: 454,
        text: "4.7.1 Relay access denied".into(),
    };
    let mut job = b
        .desk
        .claim(&who("owner"), ip(host), true, b.now)
        .unwrap()
        .job;
    for cut in 0..9 {
        b.now = job.not_before.max(b.now);
        b.desk.due(9, b.now).unwrap();
        if cut % 2 == 0 {
            b.begin(&job).unwrap();
            b.desk.resume(b.now).unwrap();
            job = b.desk.job(job.id).unwrap();
            assert_eq!((job.state, job.tries), (JobState::Deferred, cut / 2));
        } else if job.state != JobState::Done {
            job = b.run(&job, &later).0;
        }
        if job.state == JobState::Done {
            break;
        }
    }
    let claim = b.desk.host(ip(host)).unwrap().claim.unwrap();
    assert_eq!(
        (job.tries, job.interruptions, claim.release),
        (3, 3, Some(b.now.plus(WAITING)))
    );
    // Of others there is an end, which is no word about whoever brought them.
    let mut job = b.nominate("127.66.0.1", "bert");
    while job.state != JobState::Done {
        b.now = job.not_before.max(b.now);
        b.desk.due(9, b.now).unwrap();
        b.begin(&job).unwrap();
        b.desk.resume(b.now).unwrap();
        job = b.desk.job(job.id).unwrap();
    }
    let known = b
        .desk
        .sheet(b.now)
        .get::<ReporterRecord>(&key::reporter("bert"))
        .unwrap();
    assert!(
        job.interruptions == 20 && known.is_none_or(|r| r.recent.is_empty()),
        "{job:?}"
    );
}

/// Whoever proved that he speaks for the host was worse off: his claim began the waiting period of
/// an unproved one again, and an inconclusive test ended it.
#[test]
fn a_proved_claim_keeps_the_waiting_period_that_runs() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let first = b.desk.claim(&who("x"), ip(host), false, b.now).unwrap();
    let (_, sent) = b.run(&first.job, &accepted());
    let release = b.now.plus(WAITING);
    b.later(4 * 86_400);
    let own = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    assert_eq!(own.release, Some(release));
    b.run(&own.job, &Outcome::inconclusive("cut"));
    b.now = release;
    // What was sent for the first one, and comes, speaks against both.
    let mut late = Bench {
        n: 9000,
        now: Time(release.0 - 5),
        desk: b.desk.clone(),
        _dir: tempfile::tempdir().unwrap(),
    };
    let claim = b.desk.host(ip(host)).unwrap().claim.unwrap();
    assert!(claim.is_refuted(first.job.at) && !claim.is_refuted(Time(first.job.at.0 - 1)));
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(host).is_empty());
    late.later(10);
    late.deliver(&sent[0], host);
    assert!(
        late.listed(host).is_empty(),
        "sent before the latest claim: it is tested again"
    );
    assert_eq!(
        late.desk.jobs(None, true, 9).unwrap()[0].cause,
        Trigger::Review
    );
}

/// What was in the queue of a host that an operator had looked at listed it again.
#[test]
fn what_was_sent_before_a_review_lists_no_more() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    let (_, sent) = b.run(&claim.job, &accepted());
    b.later(86_400);
    b.desk
        .review(&who("anna"), ip(host), "looked at it", b.now)
        .unwrap();
    b.later(86_400);
    b.deliver(&sent[0], host);
    assert!(b.listed(host).is_empty());
    assert_eq!(
        b.desk.jobs(None, true, 9).unwrap()[0].cause,
        Trigger::Review
    );
}

/// A reporter whose word was taken away listed for fourteen days more, with what he had been given
/// before.
#[test]
fn whoever_is_trusted_no_more_lists_no_more() {
    let mut b = Bench::new();
    let own = Nomination {
        remote: true,
        ..b.nomination("127.64.0.1", "log")
    };
    let job = b.desk.nominate(&who("trusty"), own, b.now).unwrap();
    let (_, ready) = b.begin(&job).unwrap();
    b.desk.configure(RelaySettings {
        trusted: Vec::new(),
        ..(*b.desk.settings()).clone()
    });
    b.deliver(&ready[0], "127.64.0.9");
    assert!(b.listed("127.64.0.1").is_empty());
    b.deliver(&ready[0], "127.64.0.1");
    assert_eq!(b.listed("127.64.0.1"), ["unconfirmed"]);
}

/// Tests that reporters send themselves were bound by few rules: they went to the Internet before
/// the operator had said who he is, and one host got as many as there were reporters.
#[test]
fn what_reporters_send_keeps_the_rules_too() {
    let mut b = Bench::new();
    let own = |b: &Bench, target: &str, text: &str| {
        let grounds = EvidenceSummary {
            kind: "log".into(),
            text: text.into(),
            at: b.now,
        };
        b.desk.nominate(
            &who("trusty"),
            Nomination {
                remote: true,
                grounds,
                ..b.nomination(target, "log")
            },
            b.now,
        )
    };
    assert!(
        matches!(own(&b, "8.8.8.8", "seen"), Err(RelayError::No(why)) if why.contains("allow_public"))
    );
    let first = own(&b, "127.64.0.1", "seen").unwrap();
    assert_eq!(first.state, JobState::Queued);
    b.begin(&first).unwrap();
    b.desk
        .finish(first.id, Vec::new(), vec![], "", b.now)
        .unwrap();
    b.later(60);
    b.desk.forget(b.now).unwrap();
    // Told to come again, and nothing of his waits that would keep others out.
    let (day, month) = (
        own(&b, "127.64.0.1", "seen again"),
        own(&b, "127.64.0.1", "seen"),
    );
    let wait = |e: Result<Job, RelayError>| {
        if let Err(RelayError::TooMany(_, wait)) = e {
            wait
        } else {
            panic!("{e:?}")
        }
    };
    assert_eq!(
        (wait(day).0, wait(month).0),
        (86_400 - 60, 30 * 86_400 - 60)
    );
    assert!(b.desk.jobs(None, true, 9).unwrap().is_empty());
    assert_eq!(
        b.nominate("127.64.0.1", "anna").state,
        JobState::Queued,
        "it delays none of ours"
    );
}

/// A collector that nobody had looked at yet was well, and who listens everywhere tested and listed
/// itself.
#[test]
fn nothing_is_tested_before_the_collector_was_looked_at_nor_ourselves() {
    let b = Bench::new();
    b.desk.unseen();
    let job = b.nominate("127.64.0.1", "anna");
    assert!(
        b.desk.due(9, b.now).unwrap().is_empty()
            && b.desk.wrong().unwrap().contains("nobody has looked")
    );
    let look = b.desk.look();
    b.desk.unseen();
    b.desk.well(COLLECTOR, None, b.now).unwrap();
    b.desk.looked(look);
    assert!(b.desk.is_unseen(), "asked for while one was under way");
    b.desk.looked(b.desk.look());
    assert_eq!(b.desk.due(9, b.now).unwrap(), [job]);
    assert_eq!(
        b.desk
            .sheet(b.now)
            .get::<Vec<Outage>>(key::OUTAGES)
            .unwrap(),
        None,
        "no outage"
    );
    let settings = RelaySettings {
        public: true,
        ..(*b.desk.settings()).clone()
    };
    b.desk.configure(settings.clone());
    assert!(
        b.desk.wrong().is_some(),
        "from now on it counts where its mail goes"
    );
    assert!(
        settings.ready(ip("198.51.100.8")).is_err(),
        "no host of the Internet"
    );
    assert!(settings.may(ip("8.8.8.8")).is_ok());
    let home = RelaySettings {
        at_home: |_, addr| addr == ip("8.8.8.8"),
        ..settings.clone()
    };
    assert!(home.may(ip("8.8.8.8")).unwrap_err().contains("ours"));
    // Another name counts from the next start on, and with it hosts on the Internet.
    let renamed = |hello: &str| {
        settings.reloaded(RelaySettings {
            hello: hello.into(),
            ..settings.clone()
        })
    };
    assert!(
        renamed(&settings.hello).may(ip("8.8.8.8")).is_ok()
            && renamed("other.example").may(ip("8.8.8.8")).is_err()
    );
    let deaf = RelaySettings {
        listen: Vec::new(),
        ..settings.clone()
    };
    assert!(
        deaf.reloaded(settings)
            .ready(ip("127.64.0.1"))
            .unwrap_err()
            .contains("no collector")
    );
}

/// An open relay took on the greeting of a product that is left alone, and was let out untested.
#[test]
fn whoever_shuts_tests_out_is_not_let_out_untested() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (_, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    b.later(10);
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    let (job, _) = b.run(
        &claim.job,
        &Outcome::Skipped {
            why: "the greeting names a product that tests have harmed".into(),
        },
    );
    assert_eq!(
        (job.state, job.assessment()),
        (JobState::Done, Assessment::Untestable)
    );
    b.later(3 * UNTESTED.0);
    b.desk.tick(b.now).unwrap();
    assert_eq!(
        b.listed(host),
        ["relay"],
        "until it ends, or a person has looked"
    );
    // Nor by an opt-out while the five days of a claim run.
    let claim = b.desk.claim(&who("owner"), ip(host), true, b.now).unwrap();
    b.run(&claim.job, &accepted());
    b.desk
        .opt_out(&who("anna"), &Subject::host(ip(host)), "x", b.now)
        .unwrap();
    b.later(WAITING.0 + 1);
    b.desk.tick(b.now).unwrap();
    assert_eq!(
        (b.listed(host), b.desk.host(ip(host)).unwrap().claim),
        (vec!["relay"], None)
    );
}

/// A closed host that says 454 failed each claim as long as one of the tests that had come through
/// could not be made again.
#[test]
fn a_host_that_takes_nothing_is_released_though_a_test_can_not_be_made_again() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let only = |name: &str| Nomination {
        only: vec![name.into()],
        ..b.nomination(host, "log")
    };
    let job = b
        .desk
        .nominate(&who("anna"), only("relay-name-sender"), b.now)
        .unwrap();
    let (_, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], host);
    b.desk.finish(job.id, vec![], vec![], "", b.now).unwrap();
    b.later(60);
    let mut job = b
        .desk
        .claim(&who("owner"), ip(host), true, b.now)
        .unwrap()
        .job;
    let names = HostNames {
        relay: None,
        ..Bench::names_of(&b.desk, ip(host))
    };
    let mut n = 1_000_000u64;
    while job.state != JobState::Done {
        b.now = b.now.max(job.not_before);
        b.desk.due(9, b.now).unwrap();
        let mut fresh = || {
            n += 1;
            n.to_be_bytes()
        };
        let (begun, ready) = b.desk.begin(job.id, &names, &mut fresh, b.now).unwrap();
        let later = Outcome::TempFail {
            stage: Stage::Rcpt,
            code: 454,
            text: "4.7.1 Relay access denied".into(),
        };
        let ran = ready
            .iter()
            .map(|r| MessageResult {
                place: r.place,
                outcome: later.clone(),
            })
            .collect();
        job = b
            .desk
            .finish(
                begun.id,
                ran,
                controls(&ready, &accepted_control()),
                "",
                b.now,
            )
            .unwrap();
    }
    assert_eq!(
        b.desk.host(ip(host)).unwrap().claim.unwrap().release,
        Some(b.now.plus(WAITING))
    );
}

/// Whoever joined what others had brought took their reputation, and an owner's test became a
/// stranger's.
#[test]
fn who_brought_a_host_first_keeps_the_word() {
    let mut b = Bench::new();
    for i in 0..5 {
        let job = b.nominate(&format!("127.64.{i}.1"), "known");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], &format!("127.64.{i}.1"));
        b.desk.finish(job.id, vec![], vec![], "", b.now).ok();
    }
    b.later(86_401);
    let first = b.bring("known", "127.65.0.1");
    assert_eq!((first.state, first.approved), (JobState::Queued, false));
    let other = b.bring("other", "127.65.0.1");
    assert_eq!((other.by.as_str(), other.approved), ("known", false));
    let editor = b.nominate("127.65.0.1", "anna");
    assert_eq!(
        (editor.id, editor.by.as_str(), editor.approved),
        (first.id, "known", true)
    );
    let owner = b
        .desk
        .nominate(&who("anna"), b.nomination("127.66.0.1", "owner"), b.now)
        .unwrap();
    let joined = b.bring("nobody", "127.66.0.1");
    assert_eq!(
        (joined.id, joined.cause, joined.by.as_str()),
        (owner.id, Trigger::Owner, "anna")
    );
}

/// Proofs of an earlier version are marked when it starts.
#[test]
fn proofs_of_an_earlier_store_still_count() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    let mut sheet = b.desk.sheet(b.now);
    for k in sheet.keys(b"G", 9).unwrap() {
        sheet.drop_row(k);
    }
    b.desk.write(sheet, None).unwrap();
    assert!(b.desk.listing(ip(host), 9, |_| true).unwrap().is_empty());
    b.desk.resume(b.now).unwrap();
    assert_eq!(b.desk.listing(ip(host), 9, |_| true).unwrap().len(), 1);
}

/// The owners of a whole net claim: all are tested, and none is granted for want of a turn.
#[test]
fn proved_claims_of_a_net_are_all_tested() {
    let mut b = Bench::new();
    let hosts: Vec<String> = (1..=7).map(|i| format!("127.64.0.{i}")).collect();
    for host in &hosts {
        let job = b.nominate(host, "anna");
        b.now = job.not_before.max(b.now);
        b.desk.due(9, b.now).unwrap();
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], host);
        b.later(9 * 3600);
    }
    for host in &hosts {
        assert_eq!(
            b.desk
                .claim(&who("owner"), ip(host), true, b.now)
                .unwrap()
                .job
                .state,
            JobState::Queued,
            "{host}"
        );
    }
}

/// An output that was taken off, or whose listing has ended, is listed for what comes from then on.
#[test]
fn an_output_that_was_taken_off_needs_new_proofs() {
    let mut b = Bench::new();
    let out = "127.70.0.1";
    let feed = |b: &mut Bench| {
        for (host, by) in [("127.64.0.1", "anna"), ("127.65.0.1", "bert")] {
            let job = b.nominate(host, by);
            b.now = job.not_before.max(b.now);
            b.desk.due(9, b.now).unwrap();
            let (_, ready) = b.run(&job, &accepted());
            b.deliver(&ready[0], out);
        }
        b.later(7 * 86_400);
        b.desk.tick(b.now).unwrap();
    };
    feed(&mut b);
    assert_eq!(b.listed(out), ["output"]);
    // By an operator, in the ordinary way: it stays off while the hold lasts, though its inputs are
    // open.
    let ask = Ask::Delist {
        reason: Some(b.desk.reason("output").unwrap()),
        source: Some(SourceId::PROBER),
        hold: HoldFor::Nothing,
    };
    let mut sheet = b.desk.sheet(b.now);
    sheet.change(
        Subject::host(ip(out)),
        "anna",
        ask,
        "looked at".into(),
        false,
    );
    b.desk.write(sheet, None).unwrap();
    b.later(30 * 86_400);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(out).is_empty() && b.desk.output(ip(out)).unwrap().inputs.is_empty());
    feed(&mut b);
    assert_eq!(b.listed(out), ["output"], "new proofs");
    // After a review it is left alone for a while.
    b.desk
        .review(&who("anna"), ip(out), "a smart host that has acted", b.now)
        .unwrap();
    assert!(b.listed(out).is_empty());
    feed(&mut b);
    assert!(b.listed(out).is_empty());
}

/// S12: what was said to a host that proved closed is kept for 90 days, not for as long as its job.
#[test]
fn transcripts_of_closed_hosts_are_forgotten_after_ninety_days() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (job, _) = b.run(&job, &refused());
    let script = |b: &Bench| b.desk.transcript(job.id).unwrap();
    b.later(89 * 86_400);
    b.desk.forget(b.now).unwrap();
    assert!(!script(&b).is_empty());
    b.later(2 * 86_400);
    b.desk.forget(b.now).unwrap();
    assert_eq!(
        (script(&b).as_str(), b.desk.job(job.id).unwrap().id),
        ("", job.id)
    );
}

/// S3: hosts of a network, whatever nets they lie in; proved claims are asked for.
#[test]
fn a_network_has_few_hosts_tested_in_a_day() {
    let mut b = Bench::new();
    let table = Networks::read("127.64.0.0/16 64500\n127.65.0.0/16 64500\n").unwrap();
    b.desk.configure(RelaySettings {
        per_network: 4,
        networks: Arc::new(table),
        ..(*b.desk.settings()).clone()
    });
    for i in 0..4 {
        let job = b.nominate(&format!("127.{}.{i}.1", 64 + i % 2), "anna");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], &job.target.to_string());
    }
    let fifth = b.nominate("127.65.9.1", "anna");
    assert_eq!(
        (fifth.state, fifth.not_before),
        (JobState::Deferred, b.now.plus(Seconds(86_400)))
    );
    assert!(fifth.waiting_for.unwrap().starts_with("AS64500"));
    assert_eq!(
        b.nominate("127.66.0.1", "anna").state,
        JobState::Queued,
        "of another network"
    );
    assert_eq!(
        b.desk
            .claim(&who("owner"), ip("127.64.0.1"), true, b.now)
            .unwrap()
            .job
            .state,
        JobState::Queued
    );
}

/// A flood of claims without proof was granted untested, or else kept waiting for ever: now only as
/// many are taken as are tested.
#[test]
fn claims_are_taken_as_far_as_they_can_be_tested_in_time() {
    let mut b = Bench::new();
    b.desk.configure(RelaySettings {
        per_net: 1000,
        per_network: 1000,
        ..(*b.desk.settings()).clone()
    });
    let hosts: Vec<String> = (0..14).map(|i| format!("127.64.{}.{i}", i / 12)).collect();
    for host in &hosts {
        let job = b.nominate(host, "anna");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], host);
    }
    b.desk.configure(RelaySettings {
        per_net: 3,
        unproved: 8,
        ..(*b.desk.settings()).clone()
    });
    let claim = |b: &Bench, host: &str| b.desk.claim(&who("claimant"), ip(host), false, b.now);
    let taken: Vec<bool> = hosts[..12].iter().map(|h| claim(&b, h).is_ok()).collect();
    assert_eq!(
        taken.iter().filter(|t| **t).count(),
        6,
        "three today and three tomorrow: {taken:?}"
    );
    let Err(RelayError::TooMany(why, wait)) = claim(&b, &hosts[11]) else {
        panic!("it was taken")
    };
    assert!(
        why.contains("its network") && why.ends_with(&b.now.plus(wait).to_string()),
        "{why} {wait:?}"
    );
    assert!(claim(&b, &hosts[12]).is_ok() && claim(&b, &hosts[13]).is_ok());
    let other = b.nominate("127.66.0.1", "anna");
    let (_, ready) = b.run(&other, &accepted());
    b.deliver(&ready[0], "127.66.0.1");
    assert!(
        matches!(claim(&b, "127.66.0.1"), Err(RelayError::TooMany(why, _)) if why.contains("tomorrow")),
        "eight wait"
    );
    assert!(
        b.desk
            .claim(&who("owner"), ip("127.66.0.1"), true, b.now)
            .is_ok(),
        "a proved one is taken"
    );
    // All that were taken are tested within two days, and none is granted.
    for _ in 0..49 {
        while let Some(job) = b.desk.due(1, b.now).unwrap().first() {
            b.run(job, &accepted());
        }
        b.desk.tick(b.now).unwrap();
        b.later(3600);
    }
    assert!(b.desk.jobs(None, true, 99).unwrap().is_empty());
    assert!(hosts.iter().all(|h| b.listed(h) == ["relay"]));
    assert_eq!(
        b.desk.unproved(&b.desk.sheet(b.now)).unwrap(),
        0,
        "those that wait for their release wait for no test"
    );
    // One that nobody tests is granted, proved or not.
    b.later(30 * 86_400);
    b.desk
        .review(&who("anna"), ip(&hosts[1]), "x", b.now)
        .unwrap();
    claim(&b, &hosts[13]).unwrap();
    b.later(2 * UNTESTED.0);
    b.desk.tick(b.now).unwrap();
    assert!(b.listed(&hosts[13]).is_empty());
}

#[test]
fn claims_and_nominations_take_turns_and_proved_claims_go_first() {
    let mut b = Bench::new();
    for i in 0..6 {
        let host = format!("127.{}.0.1", 64 + i);
        let job = b.nominate(&host, "anna");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], &host);
    }
    b.later(86_401);
    for i in 10..20 {
        b.nominate(&format!("127.{}.0.1", 64 + i), "anna");
    }
    for i in 0..6 {
        b.desk
            .claim(&who("x"), ip(&format!("127.{}.0.1", 64 + i)), i >= 5, b.now)
            .unwrap();
    }
    let kinds = |b: &Bench, most, after| {
        let all = b.desk.due(most, b.now.plus(Seconds(after))).unwrap();
        all.iter()
            .map(|j| match j.cause {
                Trigger::Claim { proved } => {
                    if proved {
                        'P'
                    } else {
                        'C'
                    }
                }
                _ => 'N',
            })
            .collect::<String>()
    };
    let at = (4 - b.now.0 % 4) % 4;
    assert_eq!(kinds(&b, 8, at), "PCNNCCNN");
    assert_eq!(
        [1, 2, 3].map(|n| kinds(&b, 3, at + n)),
        ["CPN", "PNC", "NPC"]
    );
    assert_eq!(kinds(&b, 99, at).len(), 16);
}

/// Looking for work read every open job each second, and a page of jobs read all that there ever
/// were.
#[test]
fn work_is_found_without_reading_what_waits() {
    let mut b = Bench::new();
    b.desk.configure(RelaySettings {
        per_net: 1,
        per_network: 100_000,
        ..(*b.desk.settings()).clone()
    });
    let first = b.nominate("127.64.0.1", "anna");
    b.run(&first, &refused());
    let mut sheet = b.desk.sheet(b.now);
    for i in 0..9000u32 {
        let job = Job {
            id: 1000 + u64::from(i),
            target: ip(&format!("127.64.0.{}", 2 + i % 250)),
            ..first.clone()
        };
        let state = if i % 2 == 0 {
            JobState::Held
        } else {
            JobState::Deferred
        };
        let job = Job {
            state,
            not_before: b.now.plus(Seconds(u64::from(i))),
            approved: false,
            by: "new".into(),
            ..job
        };
        save(&mut sheet, &job).unwrap();
    }
    b.desk.write(sheet, None).unwrap();
    let job = b.nominate("127.65.0.1", "anna");
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        let due = b.desk.due(8, b.now).unwrap();
        assert_eq!(due.iter().map(|j| j.id).collect::<Vec<_>>(), [job.id]);
    }
    let each = begun.elapsed() / 20;
    assert!(each < std::time::Duration::from_millis(100), "{each:?}");
    let page: Vec<u64> = b
        .desk
        .jobs(Some(9000), true, 3)
        .unwrap()
        .iter()
        .map(|j| j.id)
        .collect();
    assert_eq!(page, [8999, 8998, 8997]);
    assert_eq!(
        b.desk
            .jobs(Some(1001), true, 3)
            .unwrap()
            .iter()
            .map(|j| j.id)
            .collect::<Vec<_>>(),
        [1000, job.id]
    );
    assert_eq!(b.desk.jobs(None, false, 20_000).unwrap().len(), 9002);
    // Those whose time has come are looked at, a thousand at a time.
    b.later(9001);
    b.desk.due(0, b.now).unwrap();
    let sheet = b.desk.sheet(b.now);
    assert_eq!(
        sheet.whens(LINES[2] + 1, b.now.0, 9000).unwrap().len(),
        3500
    );
}

/// A store of before says of no job when it is looked at.
#[test]
fn open_jobs_of_an_earlier_store_are_taken_over() {
    let mut b = Bench::new();
    let queued = b.nominate("127.64.0.1", "anna");
    let job = b.nominate("127.65.0.1", "anna");
    let (job, _) = b.begin(&job).unwrap();
    let mut sheet = b.desk.sheet(b.now);
    for k in sheet.keys(b"W", 99).unwrap() {
        sheet.drop_row(k);
    }
    b.desk.write(sheet, None).unwrap();
    assert!(b.desk.due(9, b.now).unwrap().is_empty());
    b.desk.resume(b.now).unwrap();
    assert_eq!(b.desk.due(9, b.now).unwrap()[0].id, queued.id);
    b.later(300);
    assert_eq!(
        b.desk
            .due(9, b.now)
            .unwrap()
            .iter()
            .map(|j| j.id)
            .collect::<Vec<_>>(),
        [queued.id, job.id]
    );
}

/// Hosts, nets and reporters were remembered for ever.
#[test]
fn who_was_quiet_for_long_is_forgotten() {
    let mut b = Bench::new();
    for (host, delivers) in [("127.64.0.1", true), ("127.65.0.1", false)] {
        let job = b
            .desk
            .nominate(
                &who("rep"),
                Nomination {
                    decides: false,
                    ..b.nomination(host, "log")
                },
                b.now,
            )
            .unwrap();
        let job = b.desk.decide(&who("anna"), job.id, true, b.now).unwrap();
        let (_, ready) = b.run(&job, &accepted());
        if delivers {
            b.deliver(&ready[0], host);
        }
    }
    let rows = |b: &Bench, letter: &[u8]| b.desk.sheet(b.now).keys(letter, 99).unwrap().len();
    assert_eq!([b"H", b"N", b"A", b"R"].map(|l| rows(&b, l)), [2, 2, 2, 1]);
    b.later(2 * 86_400);
    b.desk.forget(b.now).unwrap();
    assert_eq!([b"H", b"N", b"A", b"R"].map(|l| rows(&b, l)), [2, 0, 0, 1]);
    b.later(402 * 86_400);
    b.desk.forget(b.now).unwrap();
    assert_eq!(
        [b"H", b"N", b"A", b"R"].map(|l| rows(&b, l)),
        [1, 0, 0, 0],
        "a listed host is known"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Whatever happens in whatever order: nobody is listed without a message that was sent to him
    /// after his last release, came within its time, and was none that came back.
    #[test]
    fn no_sequence_lists_without_a_valid_delivery(steps in proptest::collection::vec((0u8..10, 0usize..4, 0usize..6, any::<u32>()), 1..60)) {
        let mut b = Bench::new();
        let hosts = ["127.64.0.1", "127.65.0.1", "127.66.0.1", "127.67.0.1"];
        let mut sent: Vec<(usize, Time, PreparedMessage, bool)> = Vec::new();
        let mut proved: Vec<(usize, Time)> = Vec::new();
        let mut fed: HashMap<usize, usize> = HashMap::new();
        for (op, host, other, n) in steps {
            let target = hosts[host];
            match op {
                0 | 1 => drop(b.desk.nominate(&who(["anna", "bert"][other % 2]), b.nomination(target, if other == 5 { "owner" } else { "log" }), b.now)),
                2 | 3 => {
                    let due = b.desk.due(9, b.now).unwrap();
                    if let Some(job) = due.get(other % due.len().max(1)) {
                        let outcome = [accepted(), refused(), Outcome::inconclusive("x"), Outcome::TempFail { stage: Stage::Rcpt, code: 450, text: String::new() }][n as usize % 4].clone();
                        let i = hosts.iter().position(|h| ip(h) == job.target).unwrap();
                        let Ok((job, ready)) = b.begin(job) else { continue };
                        let ran = ready.iter().map(|r| MessageResult { place: r.place, outcome: outcome.clone() }).collect();
                        b.desk.finish(job.id, ran, controls(&ready, &accepted_control()), "", b.now).unwrap();
                        // What was refused proves nothing, whoever brings it.
                        let open = !matches!(outcome, Outcome::Refused { .. });
                        sent.extend(ready.into_iter().map(|r| (i, b.now, r, open)));
                    }
                }
                4 | 5 if !sent.is_empty() => {
                    let (i, at, ready, open) = &sent[n as usize % sent.len()];
                    let output = if other < 3 { hosts[*i] } else { hosts[(*i + 1) % 4] };
                    b.deliver(ready, output);
                    if *open && b.now <= at.plus(TOKEN_LIFE) {
                        proved.push((*i, *at));
                        if other >= 3 {
                            *fed.entry((*i + 1) % 4).or_default() += 1;
                        }
                    }
                }
                6 if !sent.is_empty() => {
                    // It comes back, or somebody makes one up.
                    let (_, _, ready, _) = &sent[n as usize % sent.len()];
                    let back = ready.envelope.from.trim_matches(['<', '>']).to_string();
                    b.arrive(&back, &ready.message, target);
                    b.arrive(&format!("t{}@probe.example", "a".repeat(26)), b"", target);
                }
                7 => drop(b.desk.claim(&who("owner"), ip(target), other % 2 == 0, b.now)),
                8 => b.later(u64::from(n) % (4 * 86_400)),
                _ => b.desk.tick(b.now).unwrap(),
            }
            for (i, h) in hosts.iter().enumerate() {
                let released = b.desk.host(ip(h)).unwrap().released;
                let valid = proved.iter().any(|(p, at)| *p == i && released.is_none_or(|r| *at > r));
                for reason in b.listed(h) {
                    let right = if reason == "output" { fed.get(&i).is_some_and(|n| *n >= 2) } else { valid };
                    prop_assert!(right, "{h} is listed as {reason}");
                }
            }
        }
    }
}
