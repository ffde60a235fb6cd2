//! Example values of the pages about the lists.

use super::example_lookups::{after, ago};
use crate::{
    api::{
        DataKindResponse, ListCodeResponse, ListDayResponse, ListQualityResponse, ListResponse,
        ListStatusResponse, NoticeState, PolicyResponse, PrivacyKindsResponse,
        PublicNetblockContactResponse, PublicNetblockResponse, PublicNoticeResponse,
        PublicNoticesResponse, PublicStatusResponse, PublishedReasonPolicyResponse,
        ReasonListResponse, RelayTestResponse, RemovalPoliciesResponse, SurveyCountResponse,
        SurveyMonthResponse, TestPointsResponse,
    },
    http::{public_lists, relay_tests_of},
    model::{
        Zone, ZoneKind,
        zone::{Publish, Recommendation},
    },
    netblocks::{ContactAnswer, ContactRequest, NetblockEnd, NetblockState, NetblockText},
    quality::{
        ClaimFigures, Percentiles, ProofFigures, QualityFigures, RemovalFigures, RequestFigures,
    },
    recipes,
    relay::Catalogue,
    tickets::RemovalPolicy,
};

const DAY: u64 = 86_400;

/// The kinds of lists, with their names.
pub(super) fn all() -> Vec<(&'static str, ListResponse)> {
    let bitmask = ListResponse {
        bitmask: true,
        codes: vec![
            code("127.0.0.2", "relay", Some(90)),
            code("127.0.0.4", "proxy", Some(30)),
            code("127.0.0.8", "partner", None),
        ],
        ..list("combined", ZoneKind::Address, "127.0.0.2", "relay")
    };
    let ending = ListResponse {
        use_for: String::new(),
        recommended: Recommendation::Score,
        ends: Some(after(40 * DAY)),
        open: false,
        ..list("outputs", ZoneKind::Address, "127.0.0.4", "output")
    };
    let ignored = ListResponse {
        use_for: "Research: it shows whose owners asked for no relay tests.".into(),
        not_for: "Any decision about mail.".into(),
        recommended: Recommendation::Ignore,
        recipes: Vec::new(),
        ..list("notest", ZoneKind::Address, "127.0.0.13", "notest")
    };
    vec![
        (
            "list",
            list("relays", ZoneKind::Address, "127.0.0.2", "relay"),
        ),
        (
            "list-domains",
            list("domains", ZoneKind::Domain, "127.0.0.2", "spam"),
        ),
        (
            "list-digests",
            list("digests", ZoneKind::Hash, "127.0.0.2", "spam"),
        ),
        ("list-bitmask", bitmask),
        ("list-ending", ending),
        ("list-ignored", ignored),
    ]
}

fn code(code: &str, reason: &str, days: Option<u64>) -> ListCodeResponse {
    ListCodeResponse {
        code: code.into(),
        reason: reason.into(),
        rule: None,
        text: format!("Listed for {reason}, see https://relays.example/$"),
        lifetime_seconds: days.map(|d| d * DAY),
    }
}

fn list(alias: &str, kind: ZoneKind, address: &str, reason: &str) -> ListResponse {
    let zone = format!("{alias}.relays.example");
    let spec = Zone {
        short_name: alias.into(),
        origin: zone.clone(),
        kind,
        publish: vec![Publish {
            reason: reason.into(),
            code: address.parse().unwrap_or([127, 0, 0, 2].into()),
            ..Publish::default()
        }],
        ..Zone::default()
    };
    let recipes = recipes::of(&spec).into_iter().map(public_lists::recipe);
    ListResponse {
        alias: alias.into(),
        kind,
        use_for: "Refusing mail of hosts that deliver mail for strangers.".into(),
        not_for: String::new(),
        criteria: String::new(),
        recommended: Recommendation::Refuse,
        codes: vec![code(address, reason, Some(90))],
        bitmask: false,
        ttls: [300, 300, 3600],
        contact: "hostmaster@relays.example".into(),
        test_points: TestPointsResponse {
            listed: "127.0.0.2".into(),
            listed_name: format!("2.0.0.127.{zone}"),
            unlisted: "127.0.0.1".into(),
            unlisted_name: format!("1.0.0.127.{zone}"),
        },
        open: true,
        ends: None,
        recipes: recipes.collect(),
        zone,
    }
}

/// The figures of 30 days, without one on which the server did not run.
fn days(entries: u64) -> Vec<ListDayResponse> {
    let ages = (0..30).rev().filter(|age| *age != 11);
    let day = |age: u64| ListDayResponse {
        day: ago(age * DAY),
        entries: (age != 20).then_some(entries - entries * age / 60),
        listed: 20 + age * 7 % 13,
        delisted: 10 + age * 5 % 11,
    };
    ages.map(day).collect()
}

/// The policy of a site, for a complete configuration or for one that names no contact.
pub(super) fn policy(is_complete: bool) -> PolicyResponse {
    let reason = |name: &str, policy, days: Option<u64>| PublishedReasonPolicyResponse {
        reason: name.into(),
        text: format!("Listed for {name}, see https://relays.example/$"),
        lifetime_seconds: days.map(|d| d * DAY),
        lists: vec![ReasonListResponse {
            zone: "relays.relays.example".into(),
            alias: "relays".into(),
            code: "127.0.0.2".into(),
        }],
        policy,
        proof_required: policy == RemovalPolicy::OwnerOfRange,
        approved: policy == RemovalPolicy::Reviewed,
    };
    PolicyResponse {
        lists: all().into_iter().map(|(_, list)| list).collect(),
        reasons: vec![
            reason("relay", RemovalPolicy::AfterRetest, Some(90)),
            reason("output", RemovalPolicy::WithLastInput, Some(90)),
            reason("spamsource", RemovalPolicy::OnRequest, Some(7)),
            reason("dynamic", RemovalPolicy::OwnerOfRange, None),
            reason("manual", RemovalPolicy::Reviewed, Some(1)),
            reason("notest", RemovalPolicy::ByOwner, None),
            reason("partner", RemovalPolicy::None, Some(30)),
        ],
        removal: RemovalPoliciesResponse {
            reasons: Vec::new(),
            feeds: RemovalPolicy::OnRequest,
            others: RemovalPolicy::Reviewed,
        },
        special_ranges: match is_complete {
            true => vec!["198.51.100.0/24".into()],
            false => Vec::new(),
        },
        tests_relays: is_complete,
        test_contact: match is_complete {
            true => "tests@relays.example".into(),
            false => String::new(),
        },
        quality: match is_complete {
            true => vec![quality()],
            false => Vec::new(),
        },
    }
}

/// The figures of a list with many proofs, and with few claims and requests.
fn quality() -> ListQualityResponse {
    let days = |median, p90, largest| Percentiles {
        median,
        p90,
        largest,
    };
    ListQualityResponse {
        zone: "relays.relays.example".into(),
        alias: "relays".into(),
        counted: ago(DAY / 2),
        figures: QualityFigures {
            proofs: ProofFigures {
                entries: 18_420,
                proved: 18_311,
                proved_recently: 12_004,
                age_days: Some(days(19, 71, 89)),
            },
            claims: ClaimFigures {
                closed: 9,
                open: 3,
                blocked: 2,
                undecided: 1,
                release_seconds: Some(days(240, 3900, 5 * DAY)),
            },
            removals: RemovalFigures {
                removals: 46,
                listed_in_error: 2,
                spread_seconds: Some(days(12, 75, 640)),
                spreading: 1,
            },
            requests: RequestFigures {
                requests: 17,
                due_2_days: 16,
                answered_2_days: 15,
                due_7_days: 14,
                answered_7_days: 14,
            },
        },
    }
}

/// The survey of two months.
pub(super) fn survey() -> Vec<SurveyMonthResponse> {
    let counts = |all: &[(&str, u64, u64)]| {
        let count = |(name, tested, delivered): &(&str, u64, u64)| SurveyCountResponse {
            name: (*name).into(),
            tested: *tested,
            delivered: *delivered,
        };
        all.iter().map(count).collect::<Vec<_>>()
    };
    let month = |month: &str| SurveyMonthResponse {
        month: month.into(),
        tested: 1_240,
        delivered: 86,
        classes: counts(&[("open", 1_240, 61), ("percent-path", 1_201, 14)]),
        families: counts(&[
            ("exim", 310, 12),
            ("other", 25, 9),
            ("postfix", 640, 41),
            ("unknown", 265, 24),
        ]),
    };
    vec![month("2026-11"), month("2026-10")]
}

/// A network that is listed, and one whose listing has ended.
pub(super) fn netblocks() -> Vec<PublicNetblockResponse> {
    let contact = |days, request, answer, answered: Option<u64>| PublicNetblockContactResponse {
        asked_at: ago(days * DAY),
        request,
        answer,
        answered_at: answered.map(|days| ago(days * DAY)),
    };
    let listed = PublicNetblockResponse {
        prefix: "45.51.100.0/24".into(),
        path: "/netblocks/45.51.100.0/24".into(),
        state: NetblockState::Listed,
        reason: NetblockText::IgnoresComplaints {
            complaints: 41,
            days: 60,
        },
        text: String::new(),
        listed_at: ago(40 * DAY),
        until: after(50 * DAY),
        renewed_at: vec![ago(3 * DAY)],
        ended_at: None,
        end: None,
        contacts: vec![
            contact(90, ContactRequest::Complaint, ContactAnswer::None, None),
            contact(
                70,
                ContactRequest::Stop,
                ContactAnswer::Undeliverable,
                Some(70),
            ),
            contact(47, ContactRequest::Notice, ContactAnswer::Refused, Some(45)),
        ],
    };
    let ended = PublicNetblockResponse {
        prefix: "2001:db8:100::/48".into(),
        path: "/netblocks/2001:db8:100::/48".into(),
        state: NetblockState::Ended,
        reason: NetblockText::Hijacked {},
        renewed_at: Vec::new(),
        ended_at: Some(ago(5 * DAY)),
        end: Some(NetblockEnd::Delisted),
        contacts: Vec::new(),
        ..listed.clone()
    };
    vec![listed, ended]
}

/// The catalogue of tests.
pub(super) fn tests() -> Vec<RelayTestResponse> {
    relay_tests_of(&Catalogue::standard(), &[])
}

fn notice(number: u64, title: &str, text: &str, state: NoticeState) -> PublicNoticeResponse {
    let is_over = state == NoticeState::Over;
    PublicNoticeResponse {
        number,
        title: title.into(),
        text: text.into(),
        zones: match is_over {
            true => vec![
                "relays.relays.example".into(),
                "domains.relays.example".into(),
            ],
            false => Vec::new(),
        },
        state,
        from: match state {
            NoticeState::Planned => after(3 * DAY),
            _ => ago(2 * DAY),
        },
        until: is_over.then(|| ago(DAY)),
        added: ago(4 * DAY),
        updated: ago(DAY),
    }
}

/// Notices in each state.
pub(super) fn notices() -> PublicNoticesResponse {
    PublicNoticesResponse {
        updated: Some(ago(DAY)),
        items: vec![
            notice(
                3,
                "Work on the second name server on Sunday",
                "From 06:00 to 07:00 UTC. Answers are not affected.",
                NoticeState::Planned,
            ),
            notice(
                2,
                "Tests are delayed",
                "Tests begin up to an hour late.\n\nNo listing is affected.",
                NoticeState::Current,
            ),
            notice(
                1,
                "A source was removed from two lists",
                "It listed addresses by mistake from 09:00 to 09:40 UTC.\nAll its listings were removed.",
                NoticeState::Over,
            ),
        ],
    }
}

/// The state of a server that works, or of one that refuses changes.
pub(super) fn status(is_up: bool) -> PublicStatusResponse {
    let list = |alias: &str, entries: u64, mirrors: usize| ListStatusResponse {
        zone: format!("{alias}.relays.example"),
        alias: alias.into(),
        serial: 1_796_019_002,
        changed: is_up.then(|| ago(148)),
        age_seconds: is_up.then_some(148),
        entries: is_up.then_some(entries),
        days: match alias {
            // A list whose figures begin today.
            "outputs" => Vec::new(),
            _ => days(entries),
        },
        mirrors,
        current_mirrors: mirrors.saturating_sub(1),
        lag_seconds: (mirrors > 0).then_some(90),
        ends: (alias == "outputs").then(|| after(40 * DAY)),
    };
    PublicStatusResponse {
        up: is_up,
        now: ago(0),
        started: ago(12 * DAY),
        lists: vec![
            list("relays", 1_234_567, 2),
            list("outputs", 4321, 2),
            list("domains", 1, 0),
            list("manual", 0, 0),
        ],
        removals_30_days: is_up.then_some(1204),
        counted: is_up.then(|| ago(240)),
        notices: match is_up {
            true => Vec::new(),
            false => notices().items,
        },
    }
}

/// Some kinds of stored data.
pub(super) fn privacy() -> PrivacyKindsResponse {
    let kind =
        |name: &str, content: &str, purpose: &str, retention: &str, erasable| DataKindResponse {
            name: name.into(),
            content: content.into(),
            purpose: purpose.into(),
            readers: "operators of this server".into(),
            retention: retention.into(),
            erasable,
        };
    PrivacyKindsResponse {
        kinds: vec![
            kind(
                "tickets",
                "Requests for removal, their messages and mail addresses",
                "to answer the requests",
                "90 days after a request is closed",
                true,
            ),
            kind(
                "listings",
                "Listed addresses with their history",
                "to publish the lists, and to answer complaints about them",
                "2 years after a listing ends",
                false,
            ),
        ],
    }
}
