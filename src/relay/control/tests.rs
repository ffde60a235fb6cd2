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
        why: "put off".into(),
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
fn came(tests: &[&str]) -> CameThrough {
    CameThrough {
        tests: tests.iter().map(|t| (*t).to_string()).collect(),
        other_port: false,
    }
}
/// The row of one form's outcome, with the same control before and after.
fn row_of(outcome: MessageOutcome, control: &ControlCheck) -> DecisionRow {
    decision_row(
        &[tried("plain", outcome)],
        &came(&["plain"]),
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
    // Forms, control; the row; what follows for a claim that is not proved, proved, and proved with
    // a second address that can ask.
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
    let mut seen: Vec<DecisionRow> = Vec::new();
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
        seen.push(expected);
    }
    assert!(
        DecisionRow::VARIANTS.iter().all(|r| seen.contains(r)),
        "a row without a test"
    );
    // A second address that sees the same releases a proved claim, and no other.
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

/// An open relay that accepts each recipient, and refuses our tester at DATA or after the message,
/// accepts postmaster like all others.
#[test]
fn a_refusal_after_rcpt_is_not_controlled_by_an_accepted_postmaster() {
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
            &CameThrough::default(),
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
    // A form that had not come through says nothing about those that had.
    let forms = [
        tried("plain", refused(SmtpStage::Rcpt, 550, DENIED)),
        tried("bang", refused(SmtpStage::Data, 554, DENIED)),
    ];
    assert_eq!(
        decision_row(&forms, &came(&["plain"]), &[session(&[0], yes(), yes())]),
        DecisionRow::RefusedControlAccepted
    );
}

/// A session that greets with HELO, or not at all, shows no AUTH; those with EHLO speak for the
/// server.
#[test]
fn a_login_is_offered_by_every_session_that_said_ehlo() {
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
            &came(&["plain", "no-helo"]),
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

/// The documentation has each row once, by its name, with what follows.
#[test]
fn the_table_of_the_documentation_has_every_row() {
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
        let word = |o| match o {
            ClaimOutcome::Failed => "stays",
            ClaimOutcome::Waiting | ClaimOutcome::WaitingForSecondSource => "waiting period",
            ClaimOutcome::Released => "released",
            ClaimOutcome::Blocked => "blocked",
        };
        assert!(
            line.contains(word(unproved)) && line.contains(word(proved)),
            "{line}"
        );
        assert_eq!(serde_json::to_value(row).unwrap(), row.name());
    }
}

/// A server that shuts us out in the middle of a session is not taken for one that lets us in.
#[test]
fn a_control_counts_both_times_and_in_every_session() {
    let (yes, same) = (check(250, "ok"), check(550, DENIED));
    let forms = [
        tried("plain", refused(SmtpStage::Rcpt, 550, DENIED)),
        tried("percent", refused(SmtpStage::Rcpt, 550, DENIED)),
    ];
    let of =
        |sessions: &[ControlSession]| decision_row(&forms, &came(&["plain", "percent"]), sessions);
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
    // One of the two names is enough: many a server has no postmaster but at its domain.
    let mut both = check(550, DENIED);
    both.replies.extend(yes.replies);
    assert_eq!(
        of(&[session(&[0, 1], both.clone(), both)]),
        DecisionRow::RefusedControlAccepted
    );
}

#[test]
fn a_refusal_is_the_same_whatever_addresses_and_numbers_it_repeats() {
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

/// Such texts move a row towards blocked, never towards release.
#[test]
fn texts_about_blocklists_only_move_towards_blocked() {
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
        // A control that speaks of one is no reason to release.
        assert_eq!(
            row_of(refused(SmtpStage::Rcpt, 550, DENIED), &check(550, text)),
            DecisionRow::RefusedControlDiffers
        );
    }
    let put_off = MessageOutcome::Inconclusive {
        why: String::new(),
        deferred_at: Some(SmtpStage::Rcpt),
        blocklist: true,
    };
    assert_eq!(
        row_of(put_off, &check(250, "ok")),
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
fn forms_of_several_kinds_are_decided_by_the_weakest() {
    let yes = [session(&[0, 1], check(250, "ok"), check(250, "ok"))];
    let two = |a, b| {
        decision_row(
            &[tried("plain", a), tried("percent", b)],
            &came(&["plain", "percent"]),
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
        decision_row(&one, &came(&["plain", "gone"]), &yes),
        DecisionRow::IncompleteControlAccepted,
        "it is not in the catalogue any more"
    );
    let moved = CameThrough {
        other_port: true,
        ..came(&["plain"])
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
        decision_row(&open_class, &came(&["plain"]), &yes),
        DecisionRow::IncompleteControlAccepted
    );
    // Where no form of ours had come through, all count, but for those that the host has no name
    // for.
    let all = [
        tried("plain", closed()),
        tried("percent", MessageOutcome::Skipped { why: String::new() }),
    ];
    assert_eq!(
        decision_row(&all, &CameThrough::default(), &yes),
        DecisionRow::RefusedControlAccepted
    );
    let all = [
        tried("plain", closed()),
        tried("percent", deferred(SmtpStage::Rcpt)),
    ];
    assert_eq!(
        decision_row(&all, &CameThrough::default(), &yes),
        DecisionRow::DeferredControlAccepted
    );
    assert_eq!(
        decision_row(&[], &CameThrough::default(), &[]),
        DecisionRow::IncompleteControlFailed
    );
}

/// How a host answers that refuses our tester alone: the step, the code, and a text in which it may
/// repeat what it was asked.
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
    /// A host that refuses us alone says so to every recipient: no step, code or text of it
    /// releases the host, now or later. One that does so at DATA or after the message is not
    /// released now.
    #[test]
    fn no_host_that_refuses_us_alone_is_released(
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
        let which = if all { CameThrough::default() } else { came(&names.iter().map(String::as_str).collect::<Vec<_>>()) };
        let row = decision_row(&results, &which, &[session]);
        let second = if second { SecondSource::Available } else { SecondSource::Unavailable };
        let outcome = row.outcome(proved, second);
        // The one exception is a server that asks for a login, which an owner has to prove; he
        // waits.
        let login = auth && step <= SmtpStage::Mail && proved;
        // Nor can a host that accepts each recipient be told from one that changed its mind: it
        // waits, or a second address looks.
        let past_rcpt = step > SmtpStage::Rcpt && code >= 500;
        let waits = matches!(outcome, ClaimOutcome::Waiting | ClaimOutcome::WaitingForSecondSource);
        prop_assert!(outcome == ClaimOutcome::Blocked || past_rcpt && waits || login && outcome == ClaimOutcome::Waiting, "{row:?}: {outcome:?}");
    }

    /// Whatever a host answers: one that has not accepted postmaster both times, in every session,
    /// is not released at once by the word of one address.
    #[test]
    fn no_replies_release_at_once_without_an_accepted_postmaster(
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
        let made: Vec<ControlCheck> = checks.iter().map(|(kind, code, text)| match kind {
            0 => never(),
            1 => check(250, text),
            _ => check(*code, text),
        }).collect();
        let sessions: Vec<ControlSession> = made.chunks(2).enumerate().map(|(i, c)| {
            session(&[i], c[0].clone(), c.get(1).cloned().unwrap_or_default())
        }).collect();
        let which = [CameThrough::default(), came(&["form-0"]), came(&["form-0", "form-1"])][which].clone();
        let row = decision_row(&results, &which, &sessions);
        let yes = |c: &ControlCheck| c.replies.iter().any(|r| r.code / 100 == 2);
        let let_in = sessions.iter().all(|s| yes(&s.before) && yes(&s.after));
        let counts = |r: &&TestResult| which.tests.is_empty() || which.tests.contains(&r.test);
        let past_rcpt = results.iter().filter(counts).any(|r| r.outcome.refused_at().is_some_and(|s| s > SmtpStage::Rcpt));
        if row.outcome(proved, SecondSource::Unavailable) == ClaimOutcome::Released {
            prop_assert!(let_in && !past_rcpt, "{row:?}");
            let taken = results.iter().any(|r| matches!(r.outcome, MessageOutcome::Accepted { .. }));
            prop_assert!(!taken);
        }
    }
}
