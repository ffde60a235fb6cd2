//! Claims by the control of their tests: what is released, what waits, what is blocked, and what
//! comes after it.

use super::*;
use crate::relay::{
    control::{DecisionRow, MAX_FORMS_PER_SESSION},
    policy::{BLOCKED_PAUSE, RECHECK_WITHIN},
};

const HOST: &str = "127.64.0.1";

impl Bench {
    /// Two addresses of the tester, in nets of their own and with names of their own.
    fn with_sources(mut self, all: &[(&str, Option<&str>)]) -> Bench {
        let one = |(a, name): &(&str, Option<&str>)| TesterSource {
            address: ip(a),
            ehlo_name: name.map(String::from),
        };
        let settings = RelaySettings {
            sources: all.iter().map(one).collect(),
            ..(*self.relay.settings()).clone()
        };
        self.relay.configure(settings);
        self.later(1);
        self
    }

    fn claim(&mut self, proved: bool) -> Job {
        self.later(1);
        self.relay
            .claim(&who("owner"), ip(HOST), proved, self.now)
            .unwrap()
            .job
    }

    /// Runs a job: one reply to all forms and one control in all sessions, from the job's source.
    fn run_with(
        &mut self,
        job: &Job,
        outcome: &MessageOutcome,
        check: &ControlCheck,
    ) -> (Job, Vec<PreparedMessage>) {
        self.now = self.now.max(job.not_before);
        self.relay.due(9, self.now).unwrap();
        let (job, ready) = self.begin(job).unwrap();
        let mut job = self.end(&job, &ready, outcome, check);
        while job.state != JobState::Done {
            self.now = self.now.max(job.not_before);
            self.relay.due(9, self.now).unwrap();
            let (again, messages) = self.begin(&job).unwrap();
            job = self.end(&again, &messages, outcome, check);
        }
        (job, ready)
    }

    fn end(
        &mut self,
        job: &Job,
        ready: &[PreparedMessage],
        outcome: &MessageOutcome,
        check: &ControlCheck,
    ) -> Job {
        let ran = ready
            .iter()
            .map(|r| MessageResult {
                place: r.place,
                outcome: outcome.clone(),
            })
            .collect();
        let sessions = sessions(ready, check, job.source);
        self.relay
            .finish(
                job.id,
                ran,
                sessions,
                &parse_transcript("C EHLO\n"),
                self.now,
            )
            .unwrap()
    }

    fn host(&self) -> HostRecord {
        self.relay.host(ip(HOST)).unwrap()
    }

    fn end_of_listing(&self) -> Option<Time> {
        let verdict = self
            .relay
            .ledger
            .store
            .verdict(&Subject::host(ip(HOST)))
            .unwrap();
        verdict
            .entries
            .iter()
            .find(|e| e.source == SourceId::PROBER)
            .and_then(|e| e.until)
    }

    fn open_jobs(&self) -> Vec<Job> {
        self.relay.jobs(None, true, 9).unwrap()
    }
}

fn sessions(
    ready: &[PreparedMessage],
    check: &ControlCheck,
    source: Option<IpAddr>,
) -> Vec<ControlSession> {
    controls(ready, check)
        .into_iter()
        .map(|s| ControlSession { source, ..s })
        .collect()
}

fn same_control() -> ControlCheck {
    control_reply(550, "no")
}
fn other_control() -> ControlCheck {
    control_reply(550, "5.1.1 no such user")
}

/// The host is proved open by its form `plain`, and its listing has an end.
fn proved(sources: &[(&str, Option<&str>)]) -> Bench {
    let mut b = Bench::new().with_sources(sources);
    b.prove(HOST);
    b.later(10);
    b
}

const TWO: [(&str, Option<&str>); 2] = [
    ("192.0.2.1", None),
    ("198.51.100.7", Some("second.example")),
];

#[test]
fn a_blocked_claim_has_not_failed_and_moves_no_end() {
    let mut b = proved(&[]);
    let until = b.end_of_listing();
    let mut pauses = Vec::new();
    for n in 1..=5 {
        let job = b.claim(true);
        pauses.push(job.not_before.0.saturating_sub(b.now.0));
        let (job, _) = b.run_with(&job, &refused(), &same_control());
        assert_eq!(
            (job.row, b.listed(HOST)),
            (Some(DecisionRow::RefusedControlSame), vec!["relay"])
        );
        let host = b.host();
        assert_eq!(
            (host.claim, host.failed, host.blocked[1].count),
            (None, HostRecord::default().failed, n)
        );
    }
    // A second passes between two claims.
    assert_eq!(
        pauses,
        [
            0,
            BLOCKED_PAUSE.0 - 1,
            BLOCKED_PAUSE.0 - 1,
            BLOCKED_PAUSE.0 - 1,
            3600 - 1
        ]
    );
    assert_eq!(b.end_of_listing(), until, "its end is not moved");
    assert!(until.is_some());
    // Nothing that time does releases it before its end.
    b.later(8 * 86_400);
    b.relay.tick(b.now).unwrap();
    assert_eq!(b.listed(HOST), ["relay"]);
    // Its owner sees who was answered what.
    let shown = b.relay.blocked(ip(HOST)).unwrap();
    assert_eq!(
        (shown.len(), shown[0].row),
        (5, Some(DecisionRow::RefusedControlSame))
    );
    assert!(
        shown[0]
            .replies
            .contains(&("control: RCPT TO:<postmaster>".into(), "550 no".into())),
        "{:?}",
        shown[0]
    );
    // A claim that is not proved has a count of its own.
    let job = b.claim(false);
    assert!(job.not_before <= b.now);
    // Let in, it is released; and the count begins anew.
    b.relay.decide(&who("anna"), job.id, false, b.now).unwrap();
    let job = b.claim(true);
    let (job, _) = b.run_with(&job, &refused(), &accepted_control());
    assert_eq!(
        (job.row, b.listed(HOST)),
        (Some(DecisionRow::RefusedControlAccepted), vec![])
    );
    assert_eq!(b.host().blocked, HostRecord::default().blocked);
}

#[test]
fn a_blocked_claim_is_tested_again_at_once_from_another_address() {
    let mut b = proved(&TWO);
    for (source, hello, pause) in [
        ("192.0.2.1", "tester.example", 0),
        ("198.51.100.7", "second.example", 0),
        ("192.0.2.1", "tester.example", BLOCKED_PAUSE.0 - 1),
    ] {
        let job = b.claim(true);
        assert_eq!(
            (job.source, job.not_before.0.saturating_sub(b.now.0)),
            (Some(ip(source)), pause)
        );
        let (_, ready) = b.run_with(&job, &refused(), &same_control());
        assert!(
            ready
                .iter()
                .any(|r| r.envelope.hello.as_deref() == Some(&format!("EHLO {hello}"))),
            "{hello}"
        );
    }
    assert_eq!(
        b.relay
            .blocked(ip(HOST))
            .unwrap()
            .iter()
            .filter_map(|s| s.source)
            .collect::<Vec<_>>()
            .len(),
        3
    );
}

#[test]
fn a_second_address_that_sees_the_same_releases_a_proved_claim() {
    // Whether the claim is proved; what the second address sees; whether the host is released now.
    for (proved_claim, second, released) in [
        (true, Some((refused(), other_control())), true),
        (true, Some((refused(), ControlCheck::default())), true),
        (true, Some((refused(), same_control())), false),
        (true, Some((accepted(), accepted_control())), false),
        (
            true,
            Some((MessageOutcome::inconclusive("cut"), ControlCheck::default())),
            false,
        ),
        (false, None, false),
    ] {
        let mut b = proved(&TWO);
        let job = b.claim(proved_claim);
        let (job, _) = b.run_with(&job, &refused(), &other_control());
        assert_eq!(
            (job.row, b.listed(HOST)),
            (Some(DecisionRow::RefusedControlDiffers), vec!["relay"])
        );
        let release = b.host().claim.unwrap().release.unwrap();
        assert_eq!(release, b.now.plus(WAITING));
        let asked = b.open_jobs();
        assert_eq!(asked.len(), usize::from(second.is_some()), "{asked:?}");
        if let Some((outcome, check)) = second {
            assert_eq!(
                (asked[0].source, asked[0].only.as_slice()),
                (Some(ip("198.51.100.7")), &["plain".to_string()][..])
            );
            b.later(1);
            b.run_with(&asked[0].clone(), &outcome, &check);
        }
        assert_eq!(b.listed(HOST).is_empty(), released);
        if !released {
            assert_eq!(
                b.host().claim.unwrap().release,
                Some(release),
                "the waiting period runs on"
            );
        }
    }
    // Without such an address, or with one of the same net or name, the claim waits.
    for sources in [
        &TWO[..1],
        &[TWO[0], ("192.0.2.9", Some("second.example"))],
        &[TWO[0], ("198.51.100.7", None)],
    ] {
        let mut b = proved(sources);
        let job = b.claim(true);
        b.run_with(&job, &refused(), &other_control());
        assert!(b.open_jobs().is_empty() && b.host().claim.unwrap().release.is_some());
    }
}

/// A host that refuses our first address alone is found out by the second one: what it delivers
/// fails the claim.
#[test]
fn a_delivery_to_the_second_address_fails_the_claim() {
    let mut b = proved(&TWO);
    let job = b.claim(true);
    b.run_with(&job, &refused(), &other_control());
    let second = b.open_jobs()[0].clone();
    b.later(1);
    b.relay.due(9, b.now).unwrap();
    let (second, ready) = b.begin(&second).unwrap();
    b.deliver(&ready[0], HOST);
    b.end(&second, &ready, &accepted(), &accepted_control());
    assert_eq!(
        (b.host().claim, b.host().failed[1].0, b.listed(HOST)),
        (None, 1, vec!["relay"])
    );
}

#[test]
fn a_released_host_is_tested_once_more_and_a_delivery_lists_it_again() {
    let mut b = proved(&TWO);
    let job = b.claim(true);
    b.run_with(&job, &refused(), &accepted_control());
    assert!(b.listed(HOST).is_empty());
    let recheck = b.open_jobs()[0].clone();
    assert_eq!(
        (recheck.cause, recheck.state, recheck.source),
        (
            Trigger::Recheck,
            JobState::Deferred,
            Some(ip("198.51.100.7"))
        )
    );
    assert_eq!(recheck.only, ["plain"], "the same forms");
    assert_eq!(
        recheck.not_before,
        b.now.plus(Seconds(1 + RECHECK_WITHIN.0 / 2)),
        "by the random number"
    );
    assert!(
        !recheck.waiting_for.unwrap().contains("2026"),
        "and nobody is told when"
    );
    // A nomination in between is a whole test of its own.
    let other = b.nominate(HOST, "anna");
    assert_eq!(other.cause, Trigger::Nomination);
    b.relay
        .decide(&who("anna"), other.id, false, b.now)
        .unwrap();
    b.now = recheck.not_before;
    b.relay.due(9, b.now).unwrap();
    let (job, ready) = b.begin(&b.relay.job(recheck.id).unwrap()).unwrap();
    assert!(
        ready.iter().all(
            |r| r.test == "plain" && r.envelope.hello.as_deref() == Some("EHLO second.example")
        )
    );
    b.deliver(&ready[0], HOST);
    assert_eq!(b.listed(HOST), ["relay"], "at once, and against the hold");
    b.end(&job, &ready, &accepted(), &accepted_control());
    // With one address it comes from that one; what it refuses changes nothing.
    let mut b = proved(&TWO[..1]);
    let job = b.claim(true);
    b.run_with(&job, &refused(), &accepted_control());
    let recheck = b.open_jobs()[0].clone();
    assert_eq!(recheck.source, Some(ip("192.0.2.1")));
    b.run_with(&recheck, &refused(), &accepted_control());
    assert!(b.listed(HOST).is_empty() && b.open_jobs().is_empty());
}

#[test]
fn a_host_counts_as_closed_where_a_control_shows_that_it_does_not_refuse_the_tester_alone() {
    for (check, expected) in [
        (accepted_control(), Assessment::Closed),
        (same_control(), Assessment::Refused),
        (other_control(), Assessment::Refused),
        (ControlCheck::default(), Assessment::Refused),
    ] {
        let mut b = proved(&[]);
        let job = b.claim(true);
        let (job, _) = b.run_with(&job, &refused(), &check);
        assert_eq!(job.assessment(), expected, "{check:?}");
        // The recheck of a released host has controls, though nothing counts as come through any
        // more.
        let mut b = proved(&[]);
        let job = b.claim(true);
        b.run_with(&job, &refused(), &accepted_control());
        let recheck = b.open_jobs()[0].clone();
        let (job, ready) = b.run_with(&recheck, &refused(), &check);
        assert!(
            !ready.is_empty() && ready.iter().all(|r| r.control.is_some()),
            "{ready:?}"
        );
        assert_eq!(
            (job.cause, job.assessment()),
            (Trigger::Recheck, expected),
            "{check:?}"
        );
    }
    // An earlier version made rechecks without controls.
    let job = Job {
        controls: Vec::new(),
        ..recheck_without_controls()
    };
    assert_eq!(job.assessment(), Assessment::Refused);
}

fn recheck_without_controls() -> Job {
    let mut b = proved(&[]);
    let job = b.claim(true);
    b.run_with(&job, &refused(), &accepted_control());
    let recheck = b.open_jobs()[0].clone();
    b.run_with(&recheck, &refused(), &accepted_control()).0
}

/// The answer to a claim named the end of a period that stood still, which was in the past.
#[test]
fn a_claim_names_the_end_of_a_waiting_period_that_stood_still() {
    let mut b = proved(&[]);
    let job = b.claim(true);
    b.run_with(&job, &refused(), &other_control());
    let claimed = |b: &mut Bench| b.relay.claim(&who("owner"), ip(HOST), true, b.now).unwrap();
    let first = claimed(&mut b);
    let end = first.release.unwrap();
    assert_eq!(
        (end, first.row, first.paused),
        (
            b.now.plus(WAITING),
            Some(DecisionRow::RefusedControlDiffers),
            false
        )
    );
    b.relay
        .report_health(Component::Collector, Some(("down".into(), b.now)), b.now)
        .unwrap();
    b.later(6 * 86_400);
    b.relay.tick(b.now).unwrap();
    let during = claimed(&mut b);
    assert_eq!(
        (during.release, during.paused),
        (Some(b.now.plus(WAITING)), true),
        "not a time in the past"
    );
    b.relay
        .report_health(Component::Collector, None, b.now)
        .unwrap();
    let after = claimed(&mut b);
    assert_eq!(
        (after.release, after.paused),
        (Some(b.now.plus(WAITING)), false)
    );
    b.later(WAITING.0);
    b.relay.tick(b.now).unwrap();
    assert!(b.listed(HOST).is_empty());
}

#[test]
fn an_owners_test_sends_what_came_through_first_and_one_of_each_class_then() {
    let mut b = proved(&[]);
    let job = b.claim(true);
    b.relay.due(9, b.now).unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    let phases: Vec<Phase> = ready.iter().map(|r| r.phase).collect();
    assert!(phases.is_sorted() && phases.contains(&Phase::Rest));
    let class = |r: &PreparedMessage| (job.results[r.place].class.clone(), r.envelope.port);
    let first: Vec<_> = ready
        .iter()
        .filter(|r| r.phase != Phase::Rest)
        .map(class)
        .collect();
    assert!(
        ready.iter().all(|r| first.contains(&class(r))),
        "each class, and each port"
    );
    assert_eq!(
        ready
            .iter()
            .filter(|r| r.phase == Phase::ProvedForms)
            .map(|r| r.test.as_str())
            .collect::<Vec<_>>(),
        ["plain"]
    );
    // The first groups suffice: released before the rest has run, which lists it again only by a
    // delivery.
    let (first, rest): (Vec<PreparedMessage>, Vec<PreparedMessage>) =
        ready.into_iter().partition(|r| r.phase != Phase::Rest);
    let ran = |of: &[PreparedMessage], o: &MessageOutcome| {
        of.iter()
            .map(|r| MessageResult {
                place: r.place,
                outcome: o.clone(),
            })
            .collect::<Vec<_>>()
    };
    let part = first.len() / 2;
    b.relay
        .progress(
            job.id,
            ran(&first[..part], &refused()),
            controls(&first, &accepted_control()),
            b.now,
        )
        .unwrap();
    assert_eq!(b.listed(HOST), ["relay"], "a class is missing");
    b.relay
        .progress(
            job.id,
            ran(&first, &refused()),
            controls(&first, &accepted_control()),
            b.now,
        )
        .unwrap();
    assert!(b.listed(HOST).is_empty());
    assert_eq!(
        b.relay.job(job.id).unwrap().state,
        JobState::Running,
        "the rest runs on"
    );
    let all = [ran(&first, &refused()), ran(&rest, &accepted())].concat();
    let job = b
        .relay
        .finish(
            job.id,
            all,
            controls(&first, &accepted_control()),
            &[],
            b.now,
        )
        .unwrap();
    assert!(
        b.listed(HOST).is_empty() && job.state == JobState::Done,
        "acceptance lists nobody"
    );
    b.deliver(&rest[0], HOST);
    assert_eq!(b.listed(HOST), ["relay"]);
}

#[test]
fn a_claim_is_not_released_early_without_its_control() {
    for check in [same_control(), other_control(), ControlCheck::default()] {
        let mut b = proved(&[]);
        let job = b.claim(true);
        b.relay.due(9, b.now).unwrap();
        let (job, ready) = b.begin(&job).unwrap();
        let ran: Vec<MessageResult> = ready
            .iter()
            .map(|r| MessageResult {
                place: r.place,
                outcome: refused(),
            })
            .collect();
        b.relay
            .progress(job.id, ran, controls(&ready, &check), b.now)
            .unwrap();
        assert_eq!(b.listed(HOST), ["relay"]);
        assert!(b.host().claim.is_some(), "the end of the test decides");
    }
}

#[test]
fn the_forms_of_a_session_share_a_sender_and_are_eight_at_most() {
    let mut b = Bench::new();
    let all = Nomination {
        only: Vec::new(),
        ..b.nomination(HOST, "log")
    };
    let job = b.relay.nominate(&who("anna"), all, b.now).unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    assert!(
        ready.iter().all(|r| r.control.is_none()),
        "nothing of it has come through yet"
    );
    for r in &ready {
        b.deliver(r, HOST);
    }
    b.end(&job, &ready, &accepted(), &accepted_control());
    b.later(90_000);
    let job = b.claim(true);
    b.relay.due(9, b.now).unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    let mut groups: HashMap<u32, Vec<&PreparedMessage>> = HashMap::new();
    ready.iter().for_each(|r| {
        groups
            .entry(r.control.as_ref().unwrap().session)
            .or_default()
            .push(r);
    });
    for group in groups.values() {
        assert!(group.len() <= MAX_FORMS_PER_SESSION);
        let first = &group[0].envelope;
        for r in group {
            assert_eq!(
                (&r.envelope.from, &r.envelope.hello, r.envelope.port),
                (&first.from, &first.hello, first.port)
            );
            assert_eq!(
                r.control.as_ref().unwrap().recipients,
                ["<postmaster>", "<postmaster@relay.example>"]
            );
            // What the message says of its sender, and what the row says, is what is sent.
            let text = String::from_utf8(r.message.clone()).unwrap();
            assert!(
                text.contains(&format!("X-Envelope-Sender: {}\r\n", r.envelope.from)),
                "{text}"
            );
            assert_eq!(job.results[r.place].envelope.0, r.envelope.from);
        }
    }
    assert!(
        groups.values().any(|g| g.len() == MAX_FORMS_PER_SESSION),
        "whole sessions, and not one for each form"
    );
    let order: Vec<u32> = ready
        .iter()
        .map(|r| r.control.as_ref().unwrap().session)
        .collect();
    assert!(order.is_sorted(), "a session's messages follow each other");
}

/// Where only somebody else's tester has proved it open, every form counts.
#[test]
fn all_forms_count_where_none_of_ours_came_through() {
    let mut b = Bench::new();
    let n = Nomination {
        remote: true,
        ..b.nomination(HOST, "log")
    };
    let job = b.relay.nominate(&who("rep"), n, b.now).unwrap();
    let (_, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], HOST);
    assert_eq!(b.listed(HOST), ["unconfirmed"]);
    let job = b.claim(true);
    b.relay.due(9, b.now).unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    assert!(
        ready
            .iter()
            .all(|r| r.phase == Phase::ProvedForms && r.control.is_some())
    );
    let job = b.end(&job, &ready, &refused(), &same_control());
    assert_eq!(job.row, Some(DecisionRow::RefusedControlSame));
}

/// Rows of a store of before have none of the new fields.
#[test]
fn rows_of_an_earlier_store_open() {
    let job = r#"{"id":7,"target":"127.64.0.1","port":null,"cause":{"claim":{"proved":true}},"by":"owner","grounds":{"kind":"claim","text":"x","at":1},
        "at":1,"state":"done","waiting_for":null,"not_before":1,"agreed":true,"remote":false,"only":[],"tries":1,"cuts":2,"begun":1,"ended":2,
        "results":[{"test":"plain","class":"open","token":"00","envelope":["<a>","<b>"],"outcome":"inconclusive","why":"put off","put_off":"rcpt"},
                   {"test":"plain","class":"open","token":"00","envelope":["<a>","<b>"],"outcome":"later","stage":"rcpt","code":450,"text":"x"}]}"#;
    let job: Job = serde_json::from_str(job).unwrap();
    assert_eq!(
        (
            job.approved,
            job.interruptions,
            job.source,
            job.controls.len(),
            job.row
        ),
        (true, 2, None, 0, None)
    );
    assert!(matches!(
        job.results[0].outcome,
        MessageOutcome::Inconclusive {
            deferred_at: Some(SmtpStage::Rcpt),
            blocklist: false,
            ..
        }
    ));
    assert!(matches!(
        job.results[1].outcome,
        MessageOutcome::TempFail { code: 450, .. }
    ));
    let host = r#"{"tested":1,"grounds":[],"remote":[],"port":null,"failed":[[0,null],[1,5]],"claim":{"at":1,"by":"owner","proved":true,"job":7,
        "due":1,"release":null},"unproved":null,"released":null,"outputs":[],"names":[]}"#;
    let host: HostRecord = serde_json::from_str(host).unwrap();
    assert_eq!(
        (
            host.blocked,
            host.claim.unwrap().second_job,
            host.failed[1].0
        ),
        (HostRecord::default().blocked, None, 1)
    );
    let ready: PreparedMessage = serde_json::from_str(r#"{"place":0,"test":"plain","envelope":{"test":"plain","hello":null,"from":"<>","to":["<a>"],"probe":0,"utf8":false,"port":"smtp"},"message":[]}"#).unwrap();
    assert_eq!((ready.control, ready.phase), (None, Phase::Rest));
}
