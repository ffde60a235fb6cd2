//! Example values of look-ups.

use crate::{
    advice::{SessionPart, recognise},
    api::{
        AdviceResponse, BounceResponse, HostNameResponse, LookupAnswer, LookupReasonResponse,
        LookupResponse, LookupZoneResponse, NetworkResponse, OtherListResponse,
        PastListingResponse, ProofResponse, PublicProofResponse, PublicSourceResponse,
        RelayFindingsResponse, RemovalOptionResponse, RepetitionResponse, TimelineEventResponse,
        TimelineKind, Timestamp,
    },
    http,
    model::Time,
    tickets::RemovalPolicy,
};

/// The time of the examples: 2026-11-30T06:12:30Z.
pub(super) const NOW: Time = Time(1_796_019_150);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time before the examples.
pub(super) fn ago(seconds: u64) -> Timestamp {
    Timestamp(Time(NOW.0 - seconds))
}

/// A time after the examples.
pub(super) fn after(seconds: u64) -> Timestamp {
    Timestamp(Time(NOW.0 + seconds))
}

/// All look-ups, with their names.
pub(super) fn all() -> Vec<(&'static str, LookupResponse)> {
    vec![
        ("lookup-listed", listed()),
        ("lookup-source", by_source()),
        ("lookup-reviewed", reviewed()),
        ("lookup-was-listed", was_listed()),
        ("lookup-stale", stale()),
        ("lookup-other-list", other_list()),
        ("lookup-never-listed", never_listed()),
    ]
}

fn empty(subject: &str, answer: LookupAnswer) -> LookupResponse {
    LookupResponse {
        subject: subject.into(),
        unicode: None,
        answer,
        listed: false,
        zones: Vec::new(),
        never_asked: Vec::new(),
        relay_tests: None,
        test_repetition: None,
        what_to_do: String::new(),
        past: None,
        other_lists: Vec::new(),
        bounce: None,
        trace: None,
        removal: Vec::new(),
        timeline: Vec::new(),
        host_name: None,
        network: None,
        cache_seconds: 300,
        dig: Vec::new(),
    }
}

fn zone(zone: &str, code: &str, reasons: Vec<LookupReasonResponse>) -> LookupZoneResponse {
    LookupZoneResponse {
        zone: zone.into(),
        codes: vec![code.into()],
        texts: vec!["Open relay, see https://relays.example/45.51.100.7".into()],
        reasons,
        rules: Vec::new(),
        contact: "hostmaster@relays.example".into(),
    }
}

fn reason(
    reason: &str,
    listed: &str,
    source: Option<PublicSourceResponse>,
) -> LookupReasonResponse {
    LookupReasonResponse {
        reason: reason.into(),
        listed: listed.into(),
        network: None,
        since: ago(2 * DAY + 3 * HOUR),
        until: Some(after(88 * DAY)),
        source,
        netblock: (reason == "netblock").then(|| format!("/netblocks/{listed}")),
    }
}

fn removal(policy: RemovalPolicy, reason: &str) -> RemovalOptionResponse {
    RemovalOptionResponse {
        policy,
        reasons: vec![reason.into()],
        proof_required: false,
        may_request: true,
        available_at: None,
        open: false,
    }
}

/// The advice for a Postfix that delivered an ordinary message.
pub(super) fn postfix() -> AdviceResponse {
    let greeting = "220 mail.example.net ESMTP Postfix (Debian/GNU)";
    let recognised = recognise(SessionPart::Greeting, greeting);
    http::advice_of(&recognised, &["plain"])
}

fn public_proof(id: u64, test: &str, description: &str) -> PublicProofResponse {
    PublicProofResponse {
        id,
        test: test.into(),
        description: description.into(),
        input: "45.51.100.7".into(),
        output: "45.51.100.7".into(),
        arrived: ago(2 * DAY + 3 * HOUR + id),
        reply_codes: vec![250, 250, 250, 354, 250],
    }
}

fn listed() -> LookupResponse {
    let exotic = [
        ("percent-at-name", "The percent hack at the relay's name."),
        (
            "quoted-address",
            "The whole address in quotes; abused on a large scale in the summer of 1999.",
        ),
        (
            "source-routed-sender",
            "A sender with a source route through the relay.",
        ),
    ];
    let mut proofs = vec![public_proof(
        71,
        "plain",
        "An ordinary sender and an ordinary recipient.",
    )];
    let exotic = exotic.iter().zip(72..);
    proofs.extend(exotic.map(|((test, description), id)| public_proof(id, test, description)));
    let event = |seconds, kind, reason: &str| TimelineEventResponse {
        at: ago(seconds),
        kind,
        reason: Some(reason.into()),
    };
    LookupResponse {
        listed: true,
        zones: vec![zone(
            "relays.example",
            "127.0.0.2",
            vec![reason("relay", "45.51.100.7", None)],
        )],
        relay_tests: Some(RelayFindingsResponse {
            proofs,
            blocked: Vec::new(),
            inputs: Vec::new(),
            product_advice: postfix(),
        }),
        removal: vec![removal(RemovalPolicy::AfterRetest, "relay")],
        timeline: vec![
            event(2 * DAY + 3 * HOUR, TimelineKind::Listed, "relay"),
            event(40 * DAY, TimelineKind::Removed, "relay"),
            event(47 * DAY, TimelineKind::Listed, "relay"),
        ],
        host_name: Some(HostNameResponse {
            name: Some("mail.example.net".into()),
            confirmed: true,
            at: ago(3 * HOUR),
        }),
        network: Some(NetworkResponse {
            asn: 64_500,
            holder: Some("EXAMPLE-NET".into()),
        }),
        dig: vec![
            "dig +short 7.100.51.45.relays.example A".into(),
            "dig +short 7.100.51.45.relays.example TXT".into(),
        ],
        ..empty("45.51.100.7", LookupAnswer::Listed)
    }
}

fn by_source() -> LookupResponse {
    let source = PublicSourceResponse {
        name: "drop".into(),
        title: "Example DROP".into(),
        lookup_url: Some("https://drop.example/lookup/45.51.100.9".into()),
        removal_url: Some("https://drop.example/removal".into()),
    };
    LookupResponse {
        listed: true,
        zones: vec![zone(
            "netblocks.example",
            "127.0.0.9",
            vec![reason("netblock", "45.51.100.0/24", Some(source))],
        )],
        removal: vec![removal(RemovalPolicy::OnRequest, "netblock")],
        ..empty("45.51.100.9", LookupAnswer::ListedBySource)
    }
}

fn reviewed() -> LookupResponse {
    LookupResponse {
        listed: true,
        zones: vec![
            zone(
                "manual.example",
                "127.0.0.4",
                vec![reason("manual", "2001:db8:7::/48", None)],
            ),
            zone(
                "spam.example",
                "127.0.0.11",
                vec![reason("spamsource", "2001:db8:7::25", None)],
            ),
        ],
        removal: vec![
            RemovalOptionResponse {
                proof_required: true,
                open: true,
                ..removal(RemovalPolicy::Reviewed, "manual")
            },
            RemovalOptionResponse {
                available_at: Some(after(2 * DAY)),
                ..removal(RemovalPolicy::OnRequest, "spamsource")
            },
        ],
        ..empty("2001:db8:7::25", LookupAnswer::Listed)
    }
}

fn was_listed() -> LookupResponse {
    LookupResponse {
        past: Some(PastListingResponse {
            zones: vec!["relays.example".into()],
            ended: ago(12 * MINUTE),
            everywhere_at: Some(ago(11 * MINUTE)),
        }),
        ..empty("45.51.100.7", LookupAnswer::WasListed)
    }
}

fn bounce(zone: &str) -> BounceResponse {
    BounceResponse {
        refusing_host: Some("mx1.example.org".into()),
        zones: vec![zone.into()],
        stale: false,
        other_subjects: vec!["192.0.2.77".into()],
    }
}

fn stale() -> LookupResponse {
    LookupResponse {
        bounce: Some(BounceResponse {
            stale: true,
            ..bounce("relays.example")
        }),
        ..was_listed()
    }
}

fn other_list() -> LookupResponse {
    LookupResponse {
        other_lists: vec![
            OtherListResponse {
                zone: "bl.example.com".into(),
                name: "Example Blocklist".into(),
                known: true,
                alive: true,
                lookup_url: Some("https://example.com/lookup?ip=45.51.100.8".into()),
                removal_url: Some("https://example.com/removal".into()),
                note: None,
            },
            OtherListResponse {
                zone: "old.example.com".into(),
                name: "Old Blocklist".into(),
                known: true,
                alive: false,
                lookup_url: None,
                removal_url: None,
                note: Some("Closed since June 2024.".into()),
            },
        ],
        bounce: Some(bounce("bl.example.com")),
        ..empty("45.51.100.8", LookupAnswer::OtherList)
    }
}

fn never_listed() -> LookupResponse {
    LookupResponse {
        host_name: Some(HostNameResponse {
            name: None,
            confirmed: false,
            at: ago(20 * MINUTE),
        }),
        dig: vec!["dig +short 8.100.51.45.relays.example A".into()],
        test_repetition: Some(RepetitionResponse {
            days: 30,
            until: after(365 * DAY),
        }),
        ..empty("45.51.100.8", LookupAnswer::NeverListed)
    }
}

/// A proof, for the public or for its owner.
pub(super) fn proof(is_owner: bool) -> ProofResponse {
    let text = |text: &str| is_owner.then(|| text.to_string());
    ProofResponse {
        id: 71,
        test: "plain".into(),
        input: "45.51.100.7".into(),
        output: "45.51.100.7".into(),
        sent: ago(2 * DAY + 3 * HOUR + 9),
        arrived: ago(2 * DAY + 3 * HOUR),
        reply_codes: vec![250, 250, 250, 354, 250],
        outcome: "relay".into(),
        product_advice: postfix(),
        envelope: text("EHLO mail.example.net MAIL FROM:<…> RCPT TO:<…>"),
        message: text(
            "Received: from mail.example.net (45.51.100.7)\n\tby collector.relays.example\nSubject: Test of an open relay\n\nThis message was sent to find out whether 45.51.100.7 delivers mail for strangers.",
        ),
        transcript: text(
            "> EHLO tester.relays.example\n< 250\n> MAIL FROM:<…>\n< 250\n> RCPT TO:<…>\n< 250\n",
        ),
    }
}
