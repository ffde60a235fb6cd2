//! Example values of tickets.

use super::example_lookups::{after, ago, postfix};
use crate::{
    api::{
        BlockedClaimResponse, BlockedReplyResponse, CommandResponse, ConfirmationKind,
        ConfirmationResponse, ControlOptionResponse, ControlProofResponse, MessageAuthor,
        OutcomeKind, ReleasedResponse, RemovalResponse, RemovalServerResponse,
        RepairAdviceResponse, RepetitionResponse, SelfTestPageResponse, TestOutcomeResponse,
        TicketContactResponse, TicketMessageResponse, TicketResponse, TicketStepResponse,
        TicketTestResponse, Timestamp,
    },
    relay::advice::RepairAdvice,
    tickets::{ControlMethod, RemovalPolicy, RemovalServerState, TicketKind, TicketState},
};

const DAY: u64 = 86_400;

/// A ticket in each state, with its name.
pub(super) fn all() -> Vec<(&'static str, TicketResponse)> {
    vec![
        ("ticket-needs-proof", needs_proof()),
        ("ticket-delayed", delayed()),
        ("ticket-testing", testing()),
        ("ticket-waiting", waiting()),
        ("ticket-blocked", blocked()),
        ("ticket-failed", failed()),
        ("ticket-review", review(TicketState::Review)),
        ("ticket-suspended", review(TicketState::Suspended)),
        ("ticket-granted", granted(false)),
        ("ticket-granted-everywhere", granted(true)),
        ("ticket-refused", refused()),
        (
            "ticket-test-needs-proof",
            self_test(TicketState::NeedsProof),
        ),
        ("ticket-test-delayed", self_test(TicketState::Delayed)),
        ("ticket-test-testing", self_test(TicketState::Testing)),
        ("ticket-test-blocked", self_test(TicketState::Blocked)),
        ("ticket-test-failed", self_test(TicketState::Failed)),
        ("ticket-test-tested", self_test(TicketState::Tested)),
        ("ticket-test-withdrawn", self_test(TicketState::Withdrawn)),
        ("ticket-withdrawn", closed(TicketState::Withdrawn)),
        ("ticket-ended", closed(TicketState::Ended)),
        ("correction-review", correction(TicketState::Review)),
        ("correction-granted", correction(TicketState::Granted)),
        ("correction-refused", correction(TicketState::Refused)),
        ("correction-withdrawn", correction(TicketState::Withdrawn)),
    ]
}

fn ticket(state: TicketState) -> TicketResponse {
    TicketResponse {
        kind: TicketKind::Removal,
        number: 1042,
        path: format!("/tickets/example-secret-path-{}", state.as_str()),
        subject: "45.51.100.7".into(),
        listed_in: vec!["relays.example".into()],
        reasons: vec!["relay".into()],
        policy: RemovalPolicy::AfterRetest,
        state,
        opened: ago(200),
        changed: ago(5),
        closed: None,
        next_at: None,
        retry_at: None,
        may_retry: false,
        may_ask_review: false,
        answer_by: None,
        decision_by: None,
        listing_ends: Some(after(88 * DAY)),
        steps: vec![step(200, TicketState::Testing)],
        test: None,
        repetition: None,
        proof_required: false,
        proof: None,
        control_options: Vec::new(),
        code_expires: None,
        messages: Vec::new(),
        messages_left: 20,
        contact: None,
        removal: None,
    }
}

/// A ticket about a test that the holder of an address asked for.
fn self_test(state: TicketState) -> TicketResponse {
    let is_proved = state != TicketState::NeedsProof;
    let proof = ControlProofResponse {
        method: ControlMethod::Dns,
        at: ago(100),
        until: after(30 * DAY),
    };
    let ran = state.is_tested() || state == TicketState::Testing;
    let outcome = match state {
        TicketState::Failed => OutcomeKind::Delivered,
        _ => OutcomeKind::Refused,
    };
    let repetition = RepetitionResponse {
        days: 30,
        until: after(365 * DAY),
    };
    TicketResponse {
        kind: TicketKind::Test,
        path: format!("/tickets/example-secret-path-test-{}", state.as_str()),
        listed_in: Vec::new(),
        reasons: Vec::new(),
        policy: RemovalPolicy::None,
        listing_ends: None,
        next_at: (state == TicketState::Delayed).then(|| after(3000)),
        retry_at: state.is_tested().then(|| after(3000)),
        may_retry: state.is_tested(),
        closed: (state == TicketState::Withdrawn).then(|| ago(5)),
        steps: vec![step(200, TicketState::NeedsProof), step(100, state)],
        test: ran.then(|| TicketTestResponse {
            ended: state.is_tested().then(|| ago(10)),
            ..test(outcome, 554)
        }),
        repetition: (state == TicketState::Tested).then_some(repetition),
        proof_required: true,
        proof: is_proved.then_some(proof),
        control_options: match is_proved {
            true => Vec::new(),
            false => needs_proof().control_options,
        },
        code_expires: (!is_proved).then(|| after(DAY)),
        ..ticket(state)
    }
}

/// A correction of a page of the knowledge base.
fn correction(state: TicketState) -> TicketResponse {
    let is_open = state == TicketState::Review;
    let message = |author, text: &str| TicketMessageResponse {
        at: ago(200),
        author,
        text: text.into(),
    };
    let mut messages = vec![message(
        MessageAuthor::Requester,
        "Product: postfix\nVersion: 3.9\nSource: https://www.postfix.org/announcements.html\n\nThe default is another one since this version.",
    )];
    if state == TicketState::Refused {
        messages.push(message(
            MessageAuthor::Operator,
            "The announcement says that the default stays. Do you have another source?",
        ));
    }
    TicketResponse {
        kind: TicketKind::Correction,
        path: format!("/tickets/example-secret-path-correction-{}", state.as_str()),
        subject: "postfix".into(),
        listed_in: Vec::new(),
        reasons: Vec::new(),
        policy: RemovalPolicy::None,
        closed: (!is_open).then(|| ago(5)),
        answer_by: is_open.then(|| after(2 * DAY)),
        decision_by: is_open.then(|| after(7 * DAY)),
        listing_ends: None,
        steps: match is_open {
            true => vec![step(200, TicketState::Review)],
            false => vec![step(200, TicketState::Review), step(5, state)],
        },
        messages_left: if is_open { 19 } else { 0 },
        messages,
        ..ticket(state)
    }
}

/// What the page of tests says.
pub(super) fn self_test_page(tests_relays: bool) -> SelfTestPageResponse {
    SelfTestPageResponse {
        tests_relays,
        forms: 52,
        client: Some("45.51.100.7".into()),
        client_is_known: tests_relays,
    }
}

fn step(seconds: u64, state: TicketState) -> TicketStepResponse {
    let at = ago(seconds);
    TicketStepResponse { at, state }
}

fn options() -> Vec<ControlOptionResponse> {
    let command = |program: &str, command: &str| CommandResponse {
        program: program.into(),
        command: command.into(),
    };
    vec![
        ControlOptionResponse::Server {
            commands: vec![
                command(
                    "curl",
                    "curl -4 -X POST https://relays.example/prove/EXAMPLECODE",
                ),
                command(
                    "wget",
                    "wget -4 -nv -O - --post-data=x https://relays.example/prove/EXAMPLECODE",
                ),
            ],
        },
        ControlOptionResponse::Mail {
            addresses: vec!["postmaster@example.net".into(), "abuse@example.net".into()],
        },
        ControlOptionResponse::Dns {
            names: vec!["mail.example.net".into(), "100.51.45.in-addr.arpa".into()],
            at_every_name: false,
            text: "orbsd-proof=EXAMPLECODE".into(),
        },
    ]
}

fn outcome(
    test: &str,
    description: &str,
    had_passed: bool,
    outcome: OutcomeKind,
    code: Option<u16>,
) -> TestOutcomeResponse {
    TestOutcomeResponse {
        test: test.into(),
        description: description.into(),
        had_passed,
        outcome,
        code,
    }
}

fn test(first: OutcomeKind, code: u16) -> TicketTestResponse {
    let refused = OutcomeKind::Refused;
    TicketTestResponse {
        job: 12,
        not_before: ago(190),
        begun: Some(ago(180)),
        ended: None,
        total: 76,
        outcomes: vec![
            outcome(
                "plain",
                "An ordinary sender and an ordinary recipient.",
                true,
                first,
                Some(code),
            ),
            outcome(
                "percent-at-name",
                "The percent hack at the relay's name.",
                true,
                refused,
                Some(554),
            ),
            outcome(
                "null-sender",
                "The null sender, as in bounces. No bounce can be returned.",
                false,
                refused,
                Some(554),
            ),
            outcome(
                "quoted-address",
                "The whole address in quotes; abused on a large scale in the summer of 1999.",
                false,
                refused,
                Some(501),
            ),
        ],
        row: None,
        is_preliminary: false,
        release: None,
        next_try: None,
        advice: None,
        product_advice: postfix(),
        blocked: Vec::new(),
    }
}

fn needs_proof() -> TicketResponse {
    TicketResponse {
        policy: RemovalPolicy::OwnerOfRange,
        reasons: vec!["dynamic".into()],
        proof_required: true,
        control_options: options(),
        code_expires: Some(after(DAY)),
        steps: vec![step(200, TicketState::NeedsProof)],
        ..ticket(TicketState::NeedsProof)
    }
}

fn delayed() -> TicketResponse {
    TicketResponse {
        policy: RemovalPolicy::OnRequest,
        reasons: vec!["spamsource".into()],
        next_at: Some(after(3 * DAY)),
        steps: vec![step(200, TicketState::Delayed)],
        ..ticket(TicketState::Delayed)
    }
}

fn testing() -> TicketResponse {
    TicketResponse {
        test: Some(test(OutcomeKind::Refused, 554)),
        control_options: options(),
        code_expires: Some(after(DAY)),
        ..ticket(TicketState::Testing)
    }
}

fn waiting() -> TicketResponse {
    TicketResponse {
        next_at: Some(after(5 * DAY)),
        may_retry: true,
        may_ask_review: true,
        test: Some(TicketTestResponse {
            ended: Some(ago(10)),
            row: Some("deferred-control-accepted".into()),
            release: Some(after(5 * DAY)),
            next_try: Some(after(600)),
            is_preliminary: true,
            advice: Some(RepairAdviceResponse::from(RepairAdvice::PostfixDefers)),
            ..test(OutcomeKind::Deferred, 454)
        }),
        steps: vec![
            step(200, TicketState::Testing),
            step(10, TicketState::Waiting),
        ],
        ..ticket(TicketState::Waiting)
    }
}

fn blocked() -> TicketResponse {
    let reply = |sent: &str, answered: &str| BlockedReplyResponse {
        sent: sent.into(),
        answered: answered.into(),
    };
    TicketResponse {
        may_retry: true,
        retry_at: Some(after(900)),
        may_ask_review: true,
        proof: Some(ControlProofResponse {
            method: ControlMethod::Server,
            at: ago(60),
            until: after(30 * DAY),
        }),
        test: Some(TicketTestResponse {
            ended: Some(ago(10)),
            row: Some("refused-control-same".into()),
            blocked: vec![BlockedClaimResponse {
                source: Some("198.51.100.25".into()),
                at: Some(ago(10)),
                row: Some("refused-control-same".into()),
                replies: vec![
                    reply("plain RCPT", "554 5.7.1 Client host blocked <b>by us</b>"),
                    reply(
                        "RCPT TO:<postmaster>",
                        "554 5.7.1 Client host blocked <b>by us</b>",
                    ),
                ],
            }],
            ..test(OutcomeKind::Refused, 554)
        }),
        steps: vec![
            step(200, TicketState::Testing),
            step(10, TicketState::Blocked),
        ],
        ..ticket(TicketState::Blocked)
    }
}

fn failed() -> TicketResponse {
    TicketResponse {
        may_retry: true,
        may_ask_review: true,
        test: Some(TicketTestResponse {
            ended: Some(ago(10)),
            row: Some("delivered".into()),
            ..test(OutcomeKind::Delivered, 250)
        }),
        control_options: options(),
        code_expires: Some(ago(DAY)),
        steps: vec![
            step(200, TicketState::Testing),
            step(10, TicketState::Failed),
        ],
        ..ticket(TicketState::Failed)
    }
}

fn message(seconds: u64, author: MessageAuthor, text: &str) -> TicketMessageResponse {
    TicketMessageResponse {
        at: ago(seconds),
        author,
        text: text.into(),
    }
}

pub(super) fn review(state: TicketState) -> TicketResponse {
    TicketResponse {
        policy: RemovalPolicy::Reviewed,
        reasons: vec!["manual".into()],
        answer_by: Some(after(DAY)),
        decision_by: Some(after(6 * DAY)),
        messages: vec![
            message(
                150,
                MessageAuthor::Requester,
                "We have replaced the server.\nPlease look at it again: <script>alert(1)</script>",
            ),
            message(
                50,
                MessageAuthor::Operator,
                "Thank you. We test it tonight.",
            ),
        ],
        messages_left: 19,
        contact: Some(TicketContactResponse {
            address: "a…@example.net".into(),
            confirmed: false,
        }),
        steps: vec![step(200, TicketState::Review)],
        ..ticket(state)
    }
}

fn removal(everywhere: bool) -> RemovalResponse {
    let server = |server: &str, at: Option<Timestamp>| RemovalServerResponse {
        zone: "relays.example".into(),
        server: server.into(),
        at,
        state: match (at, server) {
            (Some(_), _) => RemovalServerState::Current,
            (None, "ns2.relays.example") => RemovalServerState::Behind,
            (None, _) => RemovalServerState::Silent,
        },
    };
    RemovalResponse {
        at: ago(5),
        zones: vec!["relays.example".into()],
        servers: vec![
            server("ns0.relays.example", Some(ago(5))),
            server("ns1.relays.example", Some(ago(3))),
            server("ns2.relays.example", everywhere.then(|| ago(2))),
            server("ns3.relays.example", everywhere.then(|| ago(2))),
        ],
        cache_seconds: 300,
        everywhere_at: everywhere.then(|| ago(2)),
        released: Some("/released/exampleid00".into()),
    }
}

fn granted(everywhere: bool) -> TicketResponse {
    TicketResponse {
        listed_in: Vec::new(),
        closed: Some(ago(5)),
        test: Some(TicketTestResponse {
            row: Some("refused-control-accepted".into()),
            ..test(OutcomeKind::Refused, 554)
        }),
        contact: Some(TicketContactResponse {
            address: "a…@example.net".into(),
            confirmed: true,
        }),
        steps: vec![
            step(200, TicketState::Testing),
            step(5, TicketState::Granted),
        ],
        removal: Some(removal(everywhere)),
        ..ticket(TicketState::Granted)
    }
}

fn refused() -> TicketResponse {
    let text = "The whole network still sends mail to our traps.";
    TicketResponse {
        closed: Some(ago(5)),
        steps: vec![
            step(200, TicketState::Review),
            step(5, TicketState::Refused),
        ],
        messages: vec![message(5, MessageAuthor::Operator, text)],
        messages_left: 0,
        ..ticket(TicketState::Refused)
    }
}

fn closed(state: TicketState) -> TicketResponse {
    TicketResponse {
        closed: Some(ago(5)),
        steps: vec![step(200, TicketState::Testing), step(5, state)],
        ..ticket(state)
    }
}

/// The public page of a removal.
pub(super) fn released(listed_again: bool) -> ReleasedResponse {
    ReleasedResponse {
        subject: "45.51.100.7".into(),
        listed_again,
        removal: removal(true),
    }
}

/// What a code confirms.
pub(super) fn confirmation(name: &str) -> ConfirmationResponse {
    let confirmed = name == "confirm-done";
    ConfirmationResponse {
        kind: match name {
            "confirm-control" => ConfirmationKind::Control,
            _ => ConfirmationKind::Contact,
        },
        number: 1042,
        ticket_kind: TicketKind::Removal,
        subject: "45.51.100.7".into(),
        confirmed,
        path: confirmed.then(|| "/tickets/example-secret-path-review".into()),
    }
}
