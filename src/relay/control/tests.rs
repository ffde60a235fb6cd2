#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use strum::VariantArray;

use super::*;
use crate::smtp::outcome::names_blocklist;

fn refused(stage: SmtpStage, code: u16, text: &str) -> MessageOutcome {
    MessageOutcome::Refused {
        stage,
        code,
        text: text.into(),
    }
}
fn deferred(stage: SmtpStage) -> MessageOutcome {
    MessageOutcome::Inconclusive {
        why: "deferred".into(),
        deferred_at: Some(stage),
        blocklist: false,
    }
}
fn tried(test: &str, outcome: MessageOutcome) -> TestResult {
    let envelope = (
        "<b@probe.example>".into(),
        format!("<t{test}aaaaaaaaaaaaaaaaaaa@probe.example>"),
    );
    TestResult {
        test: test.into(),
        class: "open".into(),
        token: "1".into(),
        envelope,
        outcome,
    }
}
fn check(code: u16, text: &str) -> ControlCheck {
    ControlCheck {
        replies: vec![RecipientReply {
            recipient: "<postmaster>".into(),
            code,
            text: text.into(),
        }],
        failure: None,
    }
}
fn never() -> ControlCheck {
    ControlCheck {
        replies: vec![],
        failure: Some("cut".into()),
    }
}
fn session(places: &[usize], before: ControlCheck, after: ControlCheck) -> ControlSession {
    ControlSession {
        ehlo: true,
        auth: true,
        places: places.to_vec(),
        before,
        after,
        ..ControlSession::default()
    }
}
fn proved_forms(tests: &[&str]) -> ProvedForms {
    ProvedForms {
        tests: tests.iter().map(|t| (*t).to_string()).collect(),
        other_port: false,
    }
}
/// The row of one form's outcome, with the same control before and after.
fn row_of(outcome: MessageOutcome, control: &ControlCheck) -> DecisionRow {
    decision_row(
        &[tried("plain", outcome)],
        &proved_forms(&["plain"]),
        &[session(&[0], control.clone(), control.clone())],
    )
}

const DENIED: &str = "5.7.1 Relaying denied";

#[test]
fn every_row_of_the_table_has_its_outcome() {
    use ClaimOutcome::{Blocked, Failed, Released, Waiting, WaitingForSecondSource};
    let (yes, other, same, none) = (
        check(250, "ok"),
        check(550, "5.1.1 no such user"),
        check(550, DENIED),
        check(450, "later"),
    );
    let closed = || refused(SmtpStage::Rcpt, 550, DENIED);
    let delivered = || MessageOutcome::Delivered {
        output: "192.0.2.1".parse().unwrap(),
        at: crate::model::Time(1),
    };
    let accepted = || MessageOutcome::Accepted {
        text: String::new(),
    };
    let login = || refused(SmtpStage::Mail, 530, "5.7.0 log in");
    let cut = || MessageOutcome::inconclusive("cut");
    // The outcome of a form, the controls, the expected row, and the consequences for an unproved
    // claim, a proved one, and a proved one with a second source address.
    let table: Vec<(
        MessageOutcome,
        Vec<&ControlCheck>,
        DecisionRow,
        [ClaimOutcome; 3],
    )> = vec![
        (
            delivered(),
            vec![&yes, &other, &same, &none],
            DecisionRow::Delivered,
            [Failed; 3],
        ),
        (
            accepted(),
            vec![&yes, &other, &same, &none],
            DecisionRow::Accepted,
            [Waiting; 3],
        ),
        (
            MessageOutcome::Bounced {
                at: crate::model::Time(1),
            },
            vec![&yes, &same],
            DecisionRow::Accepted,
            [Waiting; 3],
        ),
        (
            closed(),
            vec![&yes],
            DecisionRow::RefusedControlAccepted,
            [Released; 3],
        ),
        (
            closed(),
            vec![&other, &none],
            DecisionRow::RefusedControlDiffers,
            [Waiting, Waiting, WaitingForSecondSource],
        ),
        (
            refused(SmtpStage::Data, 554, DENIED),
            vec![&yes, &other, &none],
            DecisionRow::RefusedControlDiffers,
            [Waiting, Waiting, WaitingForSecondSource],
        ),
        (
            refused(SmtpStage::Body, 550, DENIED),
            vec![&yes, &other, &none],
            DecisionRow::RefusedControlDiffers,
            [Waiting, Waiting, WaitingForSecondSource],
        ),
        (
            closed(),
            vec![&same],
            DecisionRow::RefusedControlSame,
            [Blocked; 3],
        ),
        (
            deferred(SmtpStage::Rcpt),
            vec![&yes],
            DecisionRow::DeferredControlAccepted,
            [Waiting; 3],
        ),
        (
            deferred(SmtpStage::Rcpt),
            vec![&other, &same, &none],
            DecisionRow::DeferredControlFailed,
            [Blocked; 3],
        ),
        (
            deferred(SmtpStage::Data),
            vec![&yes, &other, &none],
            DecisionRow::DeferredControlFailed,
            [Blocked; 3],
        ),
        (
            login(),
            vec![&none, &same],
            DecisionRow::LoginRequired,
            [Blocked, Waiting, Waiting],
        ),
        (
            refused(SmtpStage::Mail, 550, "5.7.1 no"),
            vec![&none],
            DecisionRow::LoginRequired,
            [Blocked, Waiting, Waiting],
        ),
        (
            refused(SmtpStage::Mail, 550, "5.7.9 no"),
            vec![&yes, &none, &same],
            DecisionRow::ShutOut,
            [Blocked; 3],
        ),
        (
            refused(SmtpStage::Connect, 554, "go away"),
            vec![&none],
            DecisionRow::ShutOut,
            [Blocked; 3],
        ),
        (
            deferred(SmtpStage::Hello),
            vec![&none],
            DecisionRow::ShutOut,
            [Blocked; 3],
        ),
        (cut(), vec![&none], DecisionRow::ShutOut, [Blocked; 3]),
        (
            MessageOutcome::Skipped { why: String::new() },
            vec![&yes],
            DecisionRow::IncompleteControlAccepted,
            [Waiting; 3],
        ),
        (
            MessageOutcome::Skipped { why: String::new() },
            vec![&other, &same, &none],
            DecisionRow::IncompleteControlFailed,
            [Blocked; 3],
        ),
    ];
    let mut covered: Vec<DecisionRow> = Vec::new();
    for (outcome, controls, expected, outcomes) in table {
        for control in controls {
            let found = row_of(outcome.clone(), control);
            assert_eq!(found, expected, "{outcome:?} with {control:?}");
            let follows = [
                found.outcome(false, SecondSource::Available),
                found.outcome(true, SecondSource::Unavailable),
                found.outcome(true, SecondSource::Available),
            ];
            assert_eq!(follows, outcomes, "{found:?}");
        }
        covered.push(expected);
    }
    assert!(
        DecisionRow::VARIANTS.iter().all(|r| covered.contains(r)),
        "a row without a test"
    );
    // A second source address that agrees releases a host with a proved claim only.
    let differs = DecisionRow::RefusedControlDiffers;
    assert_eq!(differs.outcome(true, SecondSource::Agrees), Released);
    assert_eq!(differs.outcome(false, SecondSource::Agrees), Waiting);
    assert!(DecisionRow::RefusedControlAccepted.confirms_refusal() && differs.confirms_refusal());
    assert!(
        DecisionRow::VARIANTS
            .iter()
            .filter(|r| r.confirms_refusal())
            .count()
            == 2
    );
}

/// An open relay that accepts each recipient and refuses our tester at DATA or after the message
/// accepts postmaster too.
#[test]
fn accepted_postmaster_does_not_support_a_refusal_after_rcpt() {
    let yes = || check(250, "ok");
    let at = |stages: &[SmtpStage]| -> DecisionRow {
        let forms: Vec<TestResult> = stages
            .iter()
            .enumerate()
            .map(|(i, s)| tried(&format!("form-{i}"), refused(*s, 554, DENIED)))
            .collect();
        let places: Vec<usize> = (0..forms.len()).collect();
        decision_row(
            &forms,
            &ProvedForms::default(),
            &[session(&places, yes(), yes())],
        )
    };
    assert_eq!(
        at(&[SmtpStage::Rcpt, SmtpStage::Rcpt]),
        DecisionRow::RefusedControlAccepted
    );
    for stage in [SmtpStage::Data, SmtpStage::Body] {
        assert_eq!(at(&[stage]), DecisionRow::RefusedControlDiffers);
        assert_eq!(
            at(&[SmtpStage::Rcpt, stage]),
            DecisionRow::RefusedControlDiffers,
            "one form is enough"
        );
        assert_eq!(
            row_of(deferred(stage), &yes()),
            DecisionRow::DeferredControlFailed
        );
    }
    // A form that was not proved does not count.
    let forms = [
        tried("plain", refused(SmtpStage::Rcpt, 550, DENIED)),
        tried("bang", refused(SmtpStage::Data, 554, DENIED)),
    ];
    assert_eq!(
        decision_row(
            &forms,
            &proved_forms(&["plain"]),
            &[session(&[0], yes(), yes())]
        ),
        DecisionRow::RefusedControlAccepted
    );
}

/// A session with HELO, or without a greeting, does not show whether the server offers AUTH. Only
/// sessions with EHLO count.
#[test]
fn login_is_offered_if_every_session_with_ehlo_offers_auth() {
    let forms = [
        tried("plain", refused(SmtpStage::Mail, 530, "5.7.0 log in")),
        tried("no-helo", refused(SmtpStage::Mail, 530, "5.7.0 log in")),
    ];
    let of = |offers: [(bool, bool); 2]| {
        let one = |(i, (ehlo, auth)): (usize, (bool, bool))| ControlSession {
            ehlo,
            auth,
            ..session(&[i], never(), never())
        };
        decision_row(
            &forms,
            &proved_forms(&["plain", "no-helo"]),
            &offers.into_iter().enumerate().map(one).collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        of([(true, true), (false, false)]),
        DecisionRow::LoginRequired
    );
    assert_eq!(of([(true, true), (true, true)]), DecisionRow::LoginRequired);
    assert_eq!(of([(true, true), (true, false)]), DecisionRow::ShutOut);
    assert_eq!(of([(true, false), (false, false)]), DecisionRow::ShutOut);
    assert_eq!(of([(false, false), (false, false)]), DecisionRow::ShutOut);
}

/// The documentation has each row by its name, with its consequences.
#[test]
fn documented_table_of_rows_equals_the_decision_function() {
    let text = include_str!("../../../docs/relay.md");
    for row in DecisionRow::VARIANTS {
        let line = text
            .lines()
            .find(|l| l.starts_with(&format!("| `{}` |", row.name())))
            .unwrap_or_else(|| panic!("{}", row.name()));
        let (unproved, proved) = (
            row.outcome(false, SecondSource::Unavailable),
            row.outcome(true, SecondSource::Unavailable),
        );
        let as_documented = |o| match o {
            ClaimOutcome::Failed => "stays",
            ClaimOutcome::Waiting | ClaimOutcome::WaitingForSecondSource => "waiting period",
            ClaimOutcome::Released => "released",
            ClaimOutcome::Blocked => "blocked",
        };
        assert!(
            line.contains(as_documented(unproved)) && line.contains(as_documented(proved)),
            "{line}"
        );
        assert_eq!(serde_json::to_value(row).unwrap(), row.name());
    }
}

/// A server that starts to refuse us within a session does not count as one that accepts us.
#[test]
fn control_counts_before_and_after_the_forms_of_every_session() {
    let (yes, same) = (check(250, "ok"), check(550, DENIED));
    let forms = [
        tried("plain", refused(SmtpStage::Rcpt, 550, DENIED)),
        tried("percent", refused(SmtpStage::Rcpt, 550, DENIED)),
    ];
    let of = |sessions: &[ControlSession]| {
        decision_row(&forms, &proved_forms(&["plain", "percent"]), sessions)
    };
    assert_eq!(
        of(&[session(&[0, 1], yes.clone(), yes.clone())]),
        DecisionRow::RefusedControlAccepted
    );
    assert_eq!(
        of(&[session(&[0, 1], yes.clone(), same.clone())]),
        DecisionRow::RefusedControlSame
    );
    assert_eq!(
        of(&[session(&[0, 1], yes.clone(), never())]),
        DecisionRow::RefusedControlDiffers
    );
    assert_eq!(
        of(&[session(&[0, 1], yes.clone(), ControlCheck::default())]),
        DecisionRow::RefusedControlDiffers
    );
    assert_eq!(
        of(&[session(&[0], yes.clone(), yes.clone())]),
        DecisionRow::RefusedControlDiffers,
        "a form without a session"
    );
    assert_eq!(
        of(&[
            session(&[0], yes.clone(), yes.clone()),
            session(&[1], same, yes.clone())
        ]),
        DecisionRow::RefusedControlSame
    );
    // One accepted recipient is enough: many servers accept postmaster only at their domain.
    let mut both = check(550, DENIED);
    both.replies.extend(yes.replies);
    assert_eq!(
        of(&[session(&[0, 1], both.clone(), both)]),
        DecisionRow::RefusedControlAccepted
    );
}

#[test]
fn replies_that_differ_in_addresses_and_numbers_are_the_same() {
    let form = Comparable::new(
        550,
        "5.7.1 <tabcdef@probe.example>: Relay denied for [192.0.2.7] (id 4711-a)",
        "<tabcdef@probe.example>",
    );
    let control = Comparable::new(
        550,
        "5.7.1 <postmaster>: relay  denied for [192.0.2.7] (id 4712-b)",
        "<postmaster>",
    );
    assert_eq!(form, control);
    for other in [
        "5.1.1 <postmaster>: relay denied for [192.0.2.7] (id 1234)",
        "5.7.1 <postmaster>: no",
        "<postmaster>: relay denied for x",
    ] {
        assert_ne!(form, Comparable::new(550, other, "<postmaster>"), "{other}");
    }
    assert_ne!(
        form,
        Comparable {
            code: 554,
            ..control
        }
    );
    assert_eq!(
        Comparable::new(
            550,
            "no a%b.example@c.example here",
            "<a%b.example@c.example>"
        )
        .text,
        "no @ here"
    );
}

/// Replies that mention blocklists move a row towards blocked, never towards release.
#[test]
fn replies_about_blocklists_move_a_row_only_towards_blocked() {
    for text in [
        "5.7.1 Blocked using zen.spamhaus.org",
        "your host is on our blacklist",
        "poor reputation",
        "see RBL: x",
        "on a DNSBL.",
    ] {
        assert!(names_blocklist(text), "{text}");
        assert_eq!(
            row_of(refused(SmtpStage::Rcpt, 550, text), &check(250, "ok")),
            DecisionRow::RefusedControlSame
        );
        assert_eq!(
            row_of(refused(SmtpStage::Mail, 530, text), &never()),
            DecisionRow::ShutOut
        );
        // A control whose reply mentions a blocklist does not support a release.
        assert_eq!(
            row_of(refused(SmtpStage::Rcpt, 550, DENIED), &check(550, text)),
            DecisionRow::RefusedControlDiffers
        );
    }
    let deferred_for_blocklist = MessageOutcome::Inconclusive {
        why: String::new(),
        deferred_at: Some(SmtpStage::Rcpt),
        blocklist: true,
    };
    assert_eq!(
        row_of(deferred_for_blocklist, &check(250, "ok")),
        DecisionRow::DeferredControlFailed
    );
    for text in [
        DENIED,
        "4.7.1 Relay access denied",
        "terrible marble",
        "you are not on the list of our clients",
    ] {
        assert!(!names_blocklist(text), "{text}");
    }
}

#[test]
fn forms_with_different_outcomes_are_decided_by_the_least_favourable() {
    let yes = [session(&[0, 1], check(250, "ok"), check(250, "ok"))];
    let two = |a, b| {
        decision_row(
            &[tried("plain", a), tried("percent", b)],
            &proved_forms(&["plain", "percent"]),
            &yes,
        )
    };
    let closed = || refused(SmtpStage::Rcpt, 550, DENIED);
    assert_eq!(two(closed(), closed()), DecisionRow::RefusedControlAccepted);
    assert_eq!(
        two(closed(), deferred(SmtpStage::Rcpt)),
        DecisionRow::DeferredControlAccepted
    );
    assert_eq!(
        two(closed(), MessageOutcome::inconclusive("cut")),
        DecisionRow::IncompleteControlAccepted
    );
    assert_eq!(
        two(closed(), MessageOutcome::Skipped { why: String::new() }),
        DecisionRow::IncompleteControlAccepted
    );
    let one = [tried("plain", closed())];
    assert_eq!(
        decision_row(&one, &proved_forms(&["plain", "gone"]), &yes),
        DecisionRow::IncompleteControlAccepted,
        "a proved form is no longer in the catalogue"
    );
    let moved = ProvedForms {
        other_port: true,
        ..proved_forms(&["plain"])
    };
    assert_eq!(
        decision_row(&one, &moved, &yes),
        DecisionRow::IncompleteControlAccepted
    );
    // A class that is not closed.
    let mut open_class = vec![
        tried("plain", closed()),
        tried("bang-bare", MessageOutcome::inconclusive("cut")),
    ];
    open_class[1].class = "bang".into();
    assert_eq!(
        decision_row(&open_class, &proved_forms(&["plain"]), &yes),
        DecisionRow::IncompleteControlAccepted
    );
    // If no form of ours was proved, all forms count, except those that need a name which the host
    // does not have.
    let all = [
        tried("plain", closed()),
        tried("percent", MessageOutcome::Skipped { why: String::new() }),
    ];
    assert_eq!(
        decision_row(&all, &ProvedForms::default(), &yes),
        DecisionRow::RefusedControlAccepted
    );
    let all = [
        tried("plain", closed()),
        tried("percent", deferred(SmtpStage::Rcpt)),
    ];
    assert_eq!(
        decision_row(&all, &ProvedForms::default(), &yes),
        DecisionRow::DeferredControlAccepted
    );
    assert_eq!(
        decision_row(&[], &ProvedForms::default(), &[]),
        DecisionRow::IncompleteControlFailed
    );
}

/// The reply of a host that refuses only our tester, at a step. Some templates repeat the
/// recipient.
fn refusal(step: SmtpStage, code: u16, template: usize, recipient: &str, n: u32) -> (u16, String) {
    let text = match template {
        0 => "go away".to_string(),
        1 => format!("5.7.1 <{recipient}> is not for you [192.0.2.9] ({n:08})"),
        2 => format!("4.7.1 client host rejected: {recipient}"),
        _ => String::new(),
    };
    (
        code,
        format!("{text}{}", if step == SmtpStage::Rcpt { "" } else { "!" }),
    )
}

proptest! {
    /// A host that refuses only our tester refuses every recipient. Such a host is not released at
    /// all, or, if it refuses at DATA or later, not at once.
    #[test]
    fn host_that_refuses_only_our_tester_is_not_released(
        step in 0usize..6, code in 400u16..600, template in 0usize..4, forms in 1usize..9, all: bool, proved: bool, second: bool, auth: bool,
    ) {
        let step = [SmtpStage::Connect, SmtpStage::Hello, SmtpStage::Mail, SmtpStage::Rcpt, SmtpStage::Data, SmtpStage::Body][step];
        let mut results = Vec::new();
        for i in 0..forms {
            let mut r = tried(&format!("form-{i}"), MessageOutcome::inconclusive(""));
            let (code, text) = refusal(step, code, template, &r.envelope.1, i as u32);
            r.outcome = if code < 500 { deferred(step) } else { refused(step, code, &text) };
            results.push(r);
        }
        let control = |n| match step {
            SmtpStage::Rcpt => { let (code, text) = refusal(step, code, template, "<postmaster>", n); check(code, &text) }
            SmtpStage::Data | SmtpStage::Body => check(250, "ok"),
            _ => never(),
        };
        let places: Vec<usize> = (0..forms).collect();
        let session = ControlSession { auth, places, before: control(98), after: control(99), ..ControlSession::default() };
        let names: Vec<String> = results.iter().map(|r| r.test.clone()).collect();
        let which = if all { ProvedForms::default() } else { proved_forms(&names.iter().map(String::as_str).collect::<Vec<_>>()) };
        let row = decision_row(&results, &which, &[session]);
        let second = if second { SecondSource::Available } else { SecondSource::Unavailable };
        let outcome = row.outcome(proved, second);
        // The exception is a server that requires a login: a proved claim begins the waiting
        // period.
        let login = auth && step <= SmtpStage::Mail && proved;
        // A host that accepts each recipient and refuses later waits, or a second source address
        // tests it.
        let past_rcpt = step > SmtpStage::Rcpt && code >= 500;
        let waits = matches!(outcome, ClaimOutcome::Waiting | ClaimOutcome::WaitingForSecondSource);
        prop_assert!(outcome == ClaimOutcome::Blocked || past_rcpt && waits || login && outcome == ClaimOutcome::Waiting, "{row:?}: {outcome:?}");
    }

    /// Whatever a host replies: unless it accepted postmaster before and after the forms in every
    /// session, the test of one source address does not release it at once.
    #[test]
    fn host_is_not_released_at_once_unless_postmaster_is_accepted(
        outcomes in proptest::collection::vec((0u8..7, 0usize..6, 500u16..560, "[a-z0-9 .<>@]{0,30}"), 1..10),
        checks in proptest::collection::vec((0u8..3, 400u16..600, "[a-z0-9 .<>@]{0,30}"), 2..6),
        which in 0usize..3, proved: bool,
    ) {
        let stages = [SmtpStage::Connect, SmtpStage::Hello, SmtpStage::Mail, SmtpStage::Rcpt, SmtpStage::Data, SmtpStage::Body];
        let results: Vec<TestResult> = outcomes.iter().enumerate().map(|(i, (kind, stage, code, text))| {
            let stage = stages[*stage];
            tried(&format!("form-{i}"), match kind {
                0 => MessageOutcome::Accepted { text: text.clone() },
                1 => deferred(stage),
                2 => MessageOutcome::inconclusive(text.clone()),
                3 => MessageOutcome::Skipped { why: text.clone() },
                _ => refused(stage, *code, text),
            })
        }).collect();
        let checks: Vec<ControlCheck> = checks.iter().map(|(kind, code, text)| match kind {
            0 => never(),
            1 => check(250, text),
            _ => check(*code, text),
        }).collect();
        let sessions: Vec<ControlSession> = checks.chunks(2).enumerate().map(|(i, c)| {
            session(&[i], c[0].clone(), c.get(1).cloned().unwrap_or_default())
        }).collect();
        let which = [ProvedForms::default(), proved_forms(&["form-0"]), proved_forms(&["form-0", "form-1"])][which].clone();
        let row = decision_row(&results, &which, &sessions);
        let yes = |c: &ControlCheck| c.replies.iter().any(|r| r.code / 100 == 2);
        let postmaster_accepted = sessions.iter().all(|s| yes(&s.before) && yes(&s.after));
        let counts = |r: &&TestResult| which.tests.is_empty() || which.tests.contains(&r.test);
        let past_rcpt = results.iter().filter(counts).any(|r| r.outcome.refused_at().is_some_and(|s| s > SmtpStage::Rcpt));
        if row.outcome(proved, SecondSource::Unavailable) == ClaimOutcome::Released {
            prop_assert!(postmaster_accepted && !past_rcpt, "{row:?}");
            let any_accepted = results.iter().any(|r| matches!(r.outcome, MessageOutcome::Accepted { .. }));
            prop_assert!(!any_accepted);
        }
    }
}
