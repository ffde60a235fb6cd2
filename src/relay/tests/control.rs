//! The consequences of controls for claims: release, waiting period, and blocked claims.

use super::*;
use crate::relay::{
    control::{DecisionRow, MAX_FORMS_PER_SESSION},
    policy::{BLOCKED_PAUSE, RECHECK_PERIOD},
};

const HOST: &str = "127.64.0.1";

impl Bench {
    /// Configures the source addresses of the tester, each with its EHLO name.
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

    /// Claims that the host is closed, a second later.
    fn claim_later(&mut self, proved: bool) -> Job {
        self.later(1);
        self.relay
            .claim(&who("owner"), ip(HOST), proved, self.now)
            .unwrap()
            .job
    }

    /// Runs a job to its end, with one outcome for all forms and one control in all sessions.
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
        let results = results_of(ready, outcome);
        let sessions = sessions(ready, check, job.source);
        self.relay
            .finish(
                job.id,
                results,
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

/// A fixture in which the host is proved open by the form `plain` and its listing has an end.
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
fn blocked_claim_does_not_fail_and_does_not_extend_the_listing() {
    let mut b = proved(&[]);
    let until = b.end_of_listing();
    let mut pauses = Vec::new();
    for n in 1..=5 {
        let job = b.claim_later(true);
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
    // One second passes between two claims.
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
    assert_eq!(
        b.end_of_listing(),
        until,
        "the end of the listing is not moved"
    );
    assert!(until.is_some());
    // Time alone does not release the host before the listing expires.
    b.later(8 * 86_400);
    b.tick();
    assert_eq!(b.listed(HOST), ["relay"]);
    // The owner can see the replies to each source address.
    let shown = b.relay.blocked_replies(ip(HOST)).unwrap();
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
    // Unproved claims are counted apart.
    let job = b.claim_later(false);
    assert!(job.not_before <= b.now);
    // Once it accepts our postmaster, the host is released, and the count begins anew.
    b.relay.decide(&who("anna"), job.id, false, b.now).unwrap();
    let job = b.claim_later(true);
    let (job, _) = b.run_with(&job, &refused(), &accepted_control());
    assert_eq!(
        (job.row, b.listed(HOST)),
        (Some(DecisionRow::RefusedControlAccepted), vec![])
    );
    assert_eq!(b.host().blocked, HostRecord::default().blocked);
}

#[test]
fn blocked_claim_is_tested_again_at_once_from_another_address() {
    let mut b = proved(&TWO);
    for (source, hello, pause) in [
        ("192.0.2.1", "tester.example", 0),
        ("198.51.100.7", "second.example", 0),
        ("192.0.2.1", "tester.example", BLOCKED_PAUSE.0 - 1),
    ] {
        let job = b.claim_later(true);
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
            .blocked_replies(ip(HOST))
            .unwrap()
            .iter()
            .filter_map(|s| s.source)
            .collect::<Vec<_>>()
            .len(),
        3
    );
}

#[test]
fn second_source_address_that_agrees_releases_a_proved_claim() {
    // Whether the claim is proved, the results from the second source address, and whether the host
    // is released now.
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
        let job = b.claim_later(proved_claim);
        let (job, _) = b.run_with(&job, &refused(), &other_control());
        assert_eq!(
            (job.row, b.listed(HOST)),
            (Some(DecisionRow::RefusedControlDiffers), vec!["relay"])
        );
        let release = b.host().claim.unwrap().release.unwrap();
        assert_eq!(release, b.now.plus(WAITING_PERIOD));
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
                "the waiting period goes on"
            );
        }
    }
    // Without a second source address, or with one in the same prefix or with the same name, the
    // claim waits.
    for sources in [
        &TWO[..1],
        &[TWO[0], ("192.0.2.9", Some("second.example"))],
        &[TWO[0], ("198.51.100.7", None)],
    ] {
        let mut b = proved(sources);
        let job = b.claim_later(true);
        b.run_with(&job, &refused(), &other_control());
        assert!(b.open_jobs().is_empty() && b.host().claim.unwrap().release.is_some());
    }
}

/// A host that refuses only our first address delivers a message of the second one, which fails the
/// claim.
#[test]
fn delivery_of_a_message_from_the_second_address_fails_the_claim() {
    let mut b = proved(&TWO);
    let job = b.claim_later(true);
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
fn released_host_is_rechecked_and_a_delivery_lists_it_again() {
    let mut b = proved(&TWO);
    let job = b.claim_later(true);
    b.run_with(&job, &refused(), &accepted_control());
    assert!(b.listed(HOST).is_empty());
    let recheck = b.open_jobs()[0].clone();
    assert_eq!(
        (recheck.trigger, recheck.state, recheck.source),
        (
            Trigger::Recheck,
            JobState::Deferred,
            Some(ip("198.51.100.7"))
        )
    );
    assert_eq!(recheck.only, ["plain"], "the recheck sends the same forms");
    assert_eq!(
        recheck.not_before,
        b.now.plus(Seconds(1 + RECHECK_PERIOD.0 / 2)),
        "at the random time"
    );
    assert!(
        !recheck.waiting_for.unwrap().contains("2026"),
        "the text does not reveal the time"
    );
    // A nomination before the recheck makes a whole test of its own.
    let other = b.nominate(HOST, "anna");
    assert_eq!(other.trigger, Trigger::Nomination);
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
    assert_eq!(
        b.listed(HOST),
        ["relay"],
        "a delivery lists the host at once, in spite of the hold"
    );
    b.end(&job, &ready, &accepted(), &accepted_control());
    // With one source address the recheck comes from that one. Refused forms change nothing.
    let mut b = proved(&TWO[..1]);
    let job = b.claim_later(true);
    b.run_with(&job, &refused(), &accepted_control());
    let recheck = b.open_jobs()[0].clone();
    assert_eq!(recheck.source, Some(ip("192.0.2.1")));
    b.run_with(&recheck, &refused(), &accepted_control());
    assert!(b.listed(HOST).is_empty() && b.open_jobs().is_empty());
}

#[test]
fn host_is_assessed_as_closed_only_with_an_accepted_control() {
    for (check, expected) in [
        (accepted_control(), Assessment::Closed),
        (same_control(), Assessment::Refused),
        (other_control(), Assessment::Refused),
        (ControlCheck::default(), Assessment::Refused),
    ] {
        let mut b = proved(&[]);
        let job = b.claim_later(true);
        let (job, _) = b.run_with(&job, &refused(), &check);
        assert_eq!(job.assessment(), expected, "{check:?}");
        // The recheck of a released host has controls, although no form counts as proved any more.
        let mut b = proved(&[]);
        let job = b.claim_later(true);
        b.run_with(&job, &refused(), &accepted_control());
        let recheck = b.open_jobs()[0].clone();
        let (job, ready) = b.run_with(&recheck, &refused(), &check);
        assert!(
            !ready.is_empty() && ready.iter().all(|r| r.control.is_some()),
            "{ready:?}"
        );
        assert_eq!(
            (job.trigger, job.assessment()),
            (Trigger::Recheck, expected),
            "{check:?}"
        );
    }
    // Rechecks of an earlier version have no controls.
    let job = Job {
        controls: Vec::new(),
        ..recheck_without_controls()
    };
    assert_eq!(job.assessment(), Assessment::Refused);
}

fn recheck_without_controls() -> Job {
    let mut b = proved(&[]);
    let job = b.claim_later(true);
    b.run_with(&job, &refused(), &accepted_control());
    let recheck = b.open_jobs()[0].clone();
    b.run_with(&recheck, &refused(), &accepted_control()).0
}

/// Once, the receipt of a claim had the end of a paused period, which was in the past.
#[test]
fn receipt_of_a_claim_has_the_end_of_a_paused_waiting_period() {
    let mut b = proved(&[]);
    let job = b.claim_later(true);
    b.run_with(&job, &refused(), &other_control());
    let claimed = |b: &mut Bench| b.relay.claim(&who("owner"), ip(HOST), true, b.now).unwrap();
    let first = claimed(&mut b);
    let end = first.release.unwrap();
    assert_eq!(
        (end, first.row, first.paused),
        (
            b.now.plus(WAITING_PERIOD),
            Some(DecisionRow::RefusedControlDiffers),
            false
        )
    );
    b.stop_collector();
    b.later(6 * 86_400);
    b.tick();
    let during = claimed(&mut b);
    assert_eq!(
        (during.release, during.paused),
        (Some(b.now.plus(WAITING_PERIOD)), true),
        "the end is not in the past"
    );
    b.relay
        .report_health(Component::Collector, None, b.now)
        .unwrap();
    let after = claimed(&mut b);
    assert_eq!(
        (after.release, after.paused),
        (Some(b.now.plus(WAITING_PERIOD)), false)
    );
    b.later(WAITING_PERIOD.0);
    b.tick();
    assert!(b.listed(HOST).is_empty());
}

#[test]
fn owners_test_sends_proved_forms_then_one_form_of_each_class_then_the_rest() {
    let mut b = proved(&[]);
    let job = b.claim_later(true);
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
        "the first groups have each class at each port"
    );
    assert_eq!(
        ready
            .iter()
            .filter(|r| r.phase == Phase::ProvedForms)
            .map(|r| r.test.as_str())
            .collect::<Vec<_>>(),
        ["plain"]
    );
    // The first groups suffice for a release. The rest lists the host again only by a delivery.
    let (first, rest): (Vec<PreparedMessage>, Vec<PreparedMessage>) =
        ready.into_iter().partition(|r| r.phase != Phase::Rest);
    let results = |of: &[PreparedMessage], o: &MessageOutcome| {
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
            results(&first[..part], &refused()),
            controls(&first, &accepted_control()),
            b.now,
        )
        .unwrap();
    assert_eq!(b.listed(HOST), ["relay"], "a class has no result yet");
    b.relay
        .progress(
            job.id,
            results(&first, &refused()),
            controls(&first, &accepted_control()),
            b.now,
        )
        .unwrap();
    assert!(b.listed(HOST).is_empty());
    assert_eq!(
        b.relay.job(job.id).unwrap().state,
        JobState::Running,
        "the rest of the test goes on"
    );
    let all = [results(&first, &refused()), results(&rest, &accepted())].concat();
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
        "an accepted message lists no host"
    );
    b.deliver(&rest[0], HOST);
    assert_eq!(b.listed(HOST), ["relay"]);
}

#[test]
fn host_is_not_released_early_without_an_accepted_control() {
    for check in [same_control(), other_control(), ControlCheck::default()] {
        let mut b = proved(&[]);
        let job = b.claim_later(true);
        b.relay.due(9, b.now).unwrap();
        let (job, ready) = b.begin(&job).unwrap();
        let results: Vec<MessageResult> = results_of(&ready, &refused());
        b.relay
            .progress(job.id, results, controls(&ready, &check), b.now)
            .unwrap();
        assert_eq!(b.listed(HOST), ["relay"]);
        assert!(
            b.host().claim.is_some(),
            "the claim is decided at the end of the test"
        );
    }
}

#[test]
fn form_that_is_proved_while_a_claim_is_tested_is_sent_again_with_a_control() {
    let mut b = Bench::new();
    let two_forms = Nomination {
        only: ["plain", "percent-at-name"].map(Into::into).into(),
        ..b.nomination(HOST, "log")
    };
    let earlier = b.nominate_as("anna", two_forms);
    let (_, sent_before) = b.run(&earlier, &accepted());
    b.deliver(&sent_before[0], HOST);
    b.later(10);
    let job = b.claim_later(false);
    b.relay.due(9, b.now).unwrap();
    let (job, ready) = b.begin(&job).unwrap();
    // The queue of the host delivers another message, which it accepted before it was closed.
    let late = &sent_before[1];
    b.deliver(late, HOST);
    let waits = b.end(&job, &ready, &refused(), &accepted_control());
    assert_eq!(
        (waits.state, b.listed(HOST)),
        (JobState::Deferred, vec!["relay"])
    );
    b.now = b.now.max(waits.not_before);
    b.relay.due(9, b.now).unwrap();
    let (job, again) = b.begin(&waits).unwrap();
    let sent: Vec<&str> = again.iter().map(|m| m.test.as_str()).collect();
    assert_eq!(sent, [late.test.as_str()]);
    assert!(again[0].control.is_some());
    let done = b.end(&job, &again, &refused(), &accepted_control());
    assert_eq!(
        (done.state, done.row, b.listed(HOST)),
        (
            JobState::Done,
            Some(DecisionRow::RefusedControlAccepted),
            vec![]
        )
    );
}

#[test]
fn session_has_one_sender_and_at_most_eight_forms() {
    let mut b = Bench::new();
    let all = Nomination {
        only: Vec::new(),
        ..b.nomination(HOST, "log")
    };
    let job = b.nominate_as("anna", all);
    let (job, ready) = b.begin(&job).unwrap();
    assert!(
        ready.iter().all(|r| r.control.is_none()),
        "no form is proved yet"
    );
    for r in &ready {
        b.deliver(r, HOST);
    }
    b.end(&job, &ready, &accepted(), &accepted_control());
    b.later(90_000);
    let job = b.claim_later(true);
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
            // The message and the stored result have the sender that is sent.
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
        "forms share sessions"
    );
    let order: Vec<u32> = ready
        .iter()
        .map(|r| r.control.as_ref().unwrap().session)
        .collect();
    assert!(
        order.is_sorted(),
        "the messages of a session follow each other"
    );
}

/// If only a reporter's tester has proved the host open, all forms count.
#[test]
fn all_forms_count_if_no_form_of_ours_is_proved() {
    let mut b = Bench::new();
    let n = Nomination {
        remote: true,
        ..b.nomination(HOST, "log")
    };
    let job = b.nominate_as("rep", n);
    let (_, ready) = b.begin(&job).unwrap();
    b.deliver(&ready[0], HOST);
    assert_eq!(b.listed(HOST), ["unconfirmed"]);
    let job = b.claim_later(true);
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

/// Rows of an earlier version lack the new fields.
#[test]
fn rows_of_an_earlier_version_are_parsed() {
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
