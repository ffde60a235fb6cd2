//! The figures of random histories equal those of a naive model; and the job reads the facts of a
//! real store.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    claims::{ClaimResult, DecidedClaim},
    job::Failure,
    requests::RequestTimes,
    tally::{CountedZone, Tally},
    *,
};
use crate::{
    ledger::tests::commit,
    model::{
        Change, Event, EventKind, Evidence, EvidenceKind, Hold, ReasonId, SourceId, Subject, Time,
        Verdict, Zone, ZoneKind,
        history::{Command, HoldFor},
        time::Seconds,
    },
    relay::tests::{accepted, ip, refused, who},
    tickets::{
        Approval, TicketState, ZoneServer,
        tests::{Bench, operator},
    },
};

const DAY: u64 = 86_400;
const NOW: Time = Time(1000 * DAY);

/// Zones of addresses that publish the reasons 0, 1 and both, and one of names that publishes both.
fn zones() -> Vec<CountedZone> {
    let zone = |name: &str, kind, reasons| CountedZone {
        name: name.into(),
        zone: Zone {
            kind,
            ..Zone::default()
        },
        reasons,
    };
    vec![
        zone("zero", ZoneKind::Address, 0b01),
        zone("one", ZoneKind::Address, 0b10),
        zone("both", ZoneKind::Address, 0b11),
        zone("names", ZoneKind::Domain, 0b11),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let kinds = [
        EvidenceKind::Statement,
        EvidenceKind::Import,
        EvidenceKind::Delivery,
        EvidenceKind::Trap,
    ];
    let evidence = proptest::option::of(proptest::sample::select(kinds.to_vec()));
    let (reason, source) = ((0u8..3).prop_map(ReasonId), (0u16..5).prop_map(SourceId));
    (0u64..120, 0u8..6, reason, source, evidence).prop_map(|(age, what, reason, source, kind)| {
        let kind_of_event = match what {
            0..=2 => EventKind::Listed {
                reason,
                source,
                until: None,
                exclusion: what == 2 && source.0 == 4,
                text: Default::default(),
            },
            3 => EventKind::Delisted { reason, source },
            4 => EventKind::Held {
                reason,
                source,
                until: NOW.plus(Seconds(DAY)),
            },
            _ => EventKind::Expired { reason, source },
        };
        Event {
            at: Time(NOW.0 - age * DAY / 2),
            author: "anna".into(),
            kind: kind_of_event,
            evidence: kind.map(|kind| Evidence {
                kind,
                text: String::new(),
            }),
        }
    })
}

/// The events of some subjects, each in order of time.
fn any_histories() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let one = proptest::collection::vec(any_event(), 0..8).prop_map(|mut events| {
        events.sort_by_key(|e| e.at);
        events
    });
    proptest::collection::vec(one, 0..30)
}

fn subject(number: usize) -> Subject {
    match number % 3 {
        0 => format!("host{number}.example").parse().unwrap(),
        _ => format!("45.1.1.{number}").parse().unwrap(),
    }
}

fn verdict(events: &[Event]) -> Verdict {
    let mut out = Verdict::default();
    events.iter().for_each(|e| out.fold(e.at, &e.kind));
    out
}

/// When a subject was last proved for a reason: the last proof after the last removal.
fn naive_proof(events: &[Event], reason: ReasonId) -> Option<Time> {
    let of_reason = |e: &&Event| e.kind.about().is_some_and(|(r, _)| r == reason);
    let is_removal =
        |e: &Event| matches!(e.kind, EventKind::Delisted { .. } | EventKind::Held { .. });
    let own: Vec<&Event> = events.iter().filter(of_reason).collect();
    let begin = own.iter().rposition(|e| is_removal(e)).map_or(0, |i| i + 1);
    let proofs = own[begin..].iter().filter(|e| match &e.kind {
        EventKind::Listed {
            source, exclusion, ..
        } => {
            let kind = e.evidence.as_ref().map(|e| e.kind);
            let is_message = [Some(EvidenceKind::Delivery), Some(EvidenceKind::Trap)];
            !exclusion && (is_message.contains(&kind) || *source == SourceId::TRAP)
        }
        _ => false,
    });
    proofs.map(|e| e.at).next_back()
}

/// The figures of entries, by the last proof of each.
fn naive_figures(entries: &[Option<Time>]) -> ProofFigures {
    let mut ages: Vec<u64> = entries.iter().flatten().map(|at| NOW.0 - at.0).collect();
    ages.sort_unstable();
    let rank = |percent: usize| ages[(ages.len() * percent).div_ceil(100) - 1] / DAY;
    ProofFigures {
        entries: entries.len() as u64,
        proved: ages.len() as u64,
        proved_recently: ages.iter().filter(|age| **age <= 30 * DAY).count() as u64,
        age_days: (!ages.is_empty()).then(|| Percentiles {
            median: rank(50),
            p90: rank(90),
            largest: rank(100),
        }),
    }
}

fn any_claims() -> impl Strategy<Value = Vec<(usize, u8, u16, DecidedClaim)>> {
    let result = proptest::sample::select(vec![
        ClaimResult::Closed,
        ClaimResult::Open,
        ClaimResult::Blocked,
        ClaimResult::Undecided,
    ]);
    let one = (0usize..6, 0u8..3, 0u16..4, result, 0u64..500, any::<bool>()).prop_map(
        |(number, reason, source, result, took, released)| {
            let claim = DecidedClaim {
                made: Time(NOW.0 - 1000),
                decided: Time(NOW.0 - 1000 + took),
                result,
                released,
            };
            (number, reason, source, claim)
        },
    );
    proptest::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn proofs_of_random_histories_equal_those_of_a_naive_model(histories in any_histories()) {
        let mut tally = Tally::new(NOW, zones(), 0);
        let (mut by_zone, mut by_source) = (BTreeMap::new(), BTreeMap::new());
        for (number, events) in histories.iter().enumerate() {
            let (subject, verdict) = (subject(number), verdict(events));
            tally.add_subject(&subject, &verdict, events);
            let last = |reasons: &[ReasonId]| {
                reasons.iter().filter_map(|r| naive_proof(events, *r)).max()
            };
            for zone in zones() {
                let fits = zone.zone.kind == ZoneKind::Domain && matches!(subject, Subject::Domain(_))
                    || zone.zone.kind == ZoneKind::Address && matches!(subject, Subject::V4(_));
                let listed = verdict.in_force().map(|e| e.reason);
                let listed: Vec<_> = listed.filter(|r| r.0 < 2 && zone.reasons & r.bit() != 0).collect();
                let entries: &mut Vec<_> = by_zone.entry(zone.name).or_default();
                if fits && !listed.is_empty() {
                    entries.push(last(&listed));
                }
            }
            for source in (0..5).map(SourceId) {
                let listed = verdict.in_force().filter(|e| e.source == source);
                let listed: Vec<_> = listed.map(|e| e.reason).collect();
                if !listed.is_empty() {
                    let entries: &mut Vec<_> = by_source.entry(source).or_default();
                    entries.push(last(&listed));
                }
            }
        }
        let (zone_figures, source_figures) = tally.figures();
        for (zone, entries) in &by_zone {
            prop_assert_eq!(zone_figures[zone].proofs, naive_figures(entries), "{}", zone);
        }
        prop_assert_eq!(source_figures.len(), by_source.len());
        for (source, entries) in &by_source {
            prop_assert_eq!(source_figures[source].proofs, naive_figures(entries));
        }
    }

    #[test]
    fn random_claims_and_removals_equal_those_of_a_naive_model(facts in any_claims()) {
        let mut tally = Tally::new(NOW, zones(), 0);
        for (number, reason, source, claim) in &facts {
            let listed = [(ReasonId(*reason), SourceId(*source))];
            tally.add_claim(&subject(*number), &listed, claim);
            tally.add_removal(&subject(*number), &listed, claim.released);
        }
        let (zone_figures, source_figures) = tally.figures();
        let check = |figures: &QualityFigures, own: Vec<&DecidedClaim>| {
            let count = |result| own.iter().filter(|c| c.result == result).count() as u64;
            let mut times: Vec<u64> = own.iter().filter(|c| c.released).map(|c| c.decided.0 - c.made.0).collect();
            times.sort_unstable();
            let largest = times.last().copied();
            let claims = figures.claims;
            assert_eq!(
                [claims.closed, claims.open, claims.blocked, claims.undecided],
                [ClaimResult::Closed, ClaimResult::Open, ClaimResult::Blocked, ClaimResult::Undecided].map(count)
            );
            assert_eq!(claims.release_seconds.map(|p| p.largest), largest);
            let removals = figures.removals;
            assert_eq!(removals.removals, own.len() as u64);
            assert_eq!(removals.listed_in_error, times.len() as u64);
        };
        for zone in zones() {
            let is_name = zone.zone.kind == ZoneKind::Domain;
            let own = facts.iter().filter(|(number, reason, ..)| {
                *reason < 2 && zone.reasons & ReasonId(*reason).bit() != 0 && (number % 3 == 0) == is_name
            });
            check(&zone_figures[&zone.name], own.map(|f| &f.3).collect());
        }
        for (source, figures) in &source_figures {
            check(figures, facts.iter().filter(|f| f.2 == source.0).map(|f| &f.3).collect());
        }
    }

    #[test]
    fn random_requests_equal_those_of_a_naive_model(
        facts in proptest::collection::vec((0u64..30 * DAY, proptest::option::of(0u64..12 * DAY)), 0..60)
    ) {
        let mut tally = Tally::new(NOW, zones(), 0);
        for (age, took) in &facts {
            let asked = Time(NOW.0 - age);
            let answered = took.map(|took| asked.plus(Seconds(took))).filter(|at| *at <= NOW);
            let request = RequestTimes { asked, answered };
            tally.add_request(&subject(1), (0b01, &[SourceId(9)]), &request);
        }
        let took = |(age, took): &(u64, Option<u64>)| took.filter(|took| took <= age);
        let within = |days: u64| facts.iter().filter(|f| took(f).is_some_and(|t| t <= days * DAY)).count() as u64;
        let due = |days: u64| facts.iter().filter(|f| took(f).is_some() || f.0 > days * DAY).count() as u64;
        let expected = RequestFigures {
            requests: facts.len() as u64,
            due_2_days: due(2),
            answered_2_days: within(2),
            due_7_days: due(7),
            answered_7_days: within(7),
        };
        let (zones, sources) = tally.figures();
        prop_assert_eq!(zones["zero"].requests, expected);
        prop_assert_eq!(zones["one"].requests, RequestFigures::default());
        prop_assert!(facts.is_empty() || sources[&SourceId(9)].requests == expected);
    }
}

#[test]
fn held_entry_is_not_counted_and_ends_its_proofs() {
    let listed = |at, source, kind| Event {
        at: Time(at),
        author: "anna".into(),
        kind: EventKind::Listed {
            reason: ReasonId(0),
            source: SourceId(source),
            until: None,
            exclusion: false,
            text: Default::default(),
        },
        evidence: Some(Evidence {
            kind,
            text: String::new(),
        }),
    };
    let hold = |until| Hold {
        reason: ReasonId(0),
        source: SourceId::ALL,
        since: Time(20),
        until,
    };
    let held = Event {
        kind: EventKind::held(&hold(NOW)),
        ..listed(20, 0, EvidenceKind::Statement)
    };
    let ended = Event {
        kind: EventKind::hold_ended(&hold(NOW)),
        ..listed(30, 0, EvidenceKind::Statement)
    };
    let feed = listed(10, 7, EvidenceKind::Import);
    let proof = listed(15, 1, EvidenceKind::Delivery);
    let figures = |events: &[Event]| {
        let mut tally = Tally::new(NOW, zones(), 0);
        tally.add_subject(&subject(1), &verdict(events), events);
        let (zones, sources) = tally.figures();
        let feed = sources.get(&SourceId(7)).copied().unwrap_or_default();
        (zones["zero"].proofs, feed.proofs)
    };
    let (zone, source) = figures(&[feed.clone(), proof.clone()]);
    assert_eq!((zone.entries, zone.proved), (1, 1));
    assert_eq!((source.entries, source.proved), (1, 1), "our proof counts");
    let (zone, source) = figures(&[feed.clone(), proof.clone(), held.clone()]);
    assert_eq!((zone.entries, source.entries), (0, 0));
    let (zone, source) = figures(&[feed, proof, held, ended]);
    assert_eq!((zone.entries, zone.proved, zone.age_days), (1, 0, None));
    assert_eq!((source.entries, source.proved), (1, 0));
}

fn job(b: &Bench) -> QualityJob {
    QualityJob::new(b.tickets.clone(), QualityArchive::default())
}

fn count(b: &Bench, now: Time) -> QualityReport {
    let job = job(b);
    let report = job.count(now, &|| false);
    report.map_err(|e| format!("{e:?}")).unwrap()
}

const ZONE: &str = "bl.orbs.example";

#[test]
fn report_of_an_empty_store_has_its_zone_and_no_source() {
    let b = Bench::new();
    let report = count(&b, b.now());
    assert_eq!(report.zones[ZONE], QualityFigures::default());
    assert!(report.sources.is_empty(), "{:?}", report.sources);
}

#[test]
fn entry_is_proved_by_a_delivered_message_and_not_by_a_statement() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "netblock");
    b.list("127.64.0.2", "spamsource");
    b.relay.prove("127.64.0.9");
    let report = count(&b, b.now().plus(Seconds(40 * DAY)));
    let proofs = |f: &QualityFigures| (f.proofs.entries, f.proofs.proved, f.proofs.proved_recently);
    assert_eq!(proofs(&report.zones[ZONE]), (3, 1, 0));
    let age = report.zones[ZONE].proofs.age_days.unwrap();
    assert!((38..=40).contains(&age.largest), "{age:?}");
    assert_eq!(proofs(&report.sources["operator"]), (2, 0, 0));
    assert_eq!(report.sources["operator"].proofs.age_days, None);
    assert_eq!(proofs(&report.sources["prober"]), (1, 1, 0));
    let report = count(&b, b.now());
    assert_eq!(proofs(&report.sources["prober"]), (1, 1, 1));
}

#[test]
fn removal_that_states_an_error_is_counted_for_zone_and_source() {
    let b = Bench::new();
    for host in 1..=3 {
        b.list(&format!("127.64.0.{host}"), "netblock");
    }
    let ticket = b.proved("127.64.0.1");
    let approval = Approval {
        text: "",
        listed_in_error: true,
    };
    let approved = b
        .tickets
        .approve(&operator(), ticket.number, approval, b.now());
    approved.unwrap();
    let other = b.proved("127.64.0.2");
    b.tickets
        .approve(&operator(), other.number, "", b.now())
        .unwrap();
    let command = Command::Delist {
        reason: None,
        source: None,
        hold: HoldFor::Usual,
    };
    let mut change = Change::new("127.64.0.3".parse().unwrap(), "anna", command);
    change.evidence = Some(Evidence::listed_in_error(None));
    commit(&b.tickets.ledger, change).unwrap();
    let report = count(&b, b.now().plus(Seconds(60)));
    for figures in [&report.zones[ZONE], &report.sources["operator"]] {
        assert_eq!(figures.proofs.entries, 0);
        assert_eq!(figures.removals.removals, 3);
        assert_eq!(figures.removals.listed_in_error, 2);
    }
    let later = count(&b, b.now().plus(Seconds(31 * DAY)));
    assert_eq!(later.zones[ZONE].removals, RemovalFigures::default());
}

#[test]
fn approval_of_a_correction_states_no_error_of_a_listing() {
    let b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let ticket = b.proved("127.64.0.1");
    b.tickets
        .refuse(&operator(), ticket.number, "It is correct.", b.now())
        .unwrap();
    let approval = Approval {
        text: "",
        listed_in_error: true,
    };
    let approved = b
        .tickets
        .approve(&operator(), ticket.number, approval, b.now());
    assert!(approved.is_err(), "it is closed");
    let report = count(&b, b.now().plus(Seconds(60)));
    assert_eq!(report.zones[ZONE].removals.listed_in_error, 0);
}

/// Waits for the next second of the ledger, whose clock is the real one, and sets the bench to it: a
/// claim is later than the listing that it is about.
fn wait_for_next_second(b: &mut Bench) {
    let listed = b.tickets.ledger.now();
    while b.tickets.ledger.now() <= listed {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    b.relay.now = b.tickets.ledger.now();
}

#[test]
fn closed_and_open_claims_are_counted_with_the_time_to_their_release() {
    let mut b = Bench::new();
    for (host, is_closed) in [("127.64.0.1", true), ("127.64.0.2", false)] {
        b.relay.prove(host);
        wait_for_next_second(&mut b);
        let claim = b.relay.relay.claim(&who("owner"), ip(host), true, b.now());
        let job = claim.unwrap().job;
        let outcome = if is_closed { refused() } else { accepted() };
        let (_, ready) = b.relay.run(&job, &outcome);
        if !is_closed {
            b.relay.deliver(&ready[0], host);
        }
    }
    b.later(3600);
    b.tick();
    let report = count(&b, b.now());
    for figures in [&report.zones[ZONE], &report.sources["prober"]] {
        let claims = figures.claims;
        assert_eq!((claims.closed, claims.open), (1, 1), "{claims:?}");
        assert!(claims.release_seconds.is_some());
        assert_eq!(figures.proofs.entries, 1, "only one is released");
    }
}

#[test]
fn removal_is_spreading_until_the_last_server_has_it() {
    let mut b = Bench::new();
    let server = |name: &str, serial| ZoneServer {
        zone: ZONE.into(),
        name: name.into(),
        serial,
        answers: Some(true),
    };
    *b.servers.lock() = vec![server("ns1", None), server("ns2", None)];
    b.list("127.64.0.1", "unconfirmed");
    let ticket = b.open("127.64.0.1");
    let removals = |b: &Bench| count(b, b.now()).zones[ZONE].removals;
    assert_eq!(
        (removals(&b).spreading, removals(&b).spread_seconds),
        (1, None)
    );
    let serial = b.get(&ticket).removal.unwrap().zones[0].serial;
    for (after, servers) in [(40, 1), (50, 2)] {
        b.later(after);
        let all = [server("ns1", Some(serial)), server("ns2", Some(serial))];
        *b.servers.lock() = all.into_iter().take(servers).collect();
        if servers == 1 {
            b.servers.lock().push(server("ns2", None));
        }
        b.tick();
    }
    let removals = removals(&b);
    assert_eq!(removals.spreading, 0);
    let took = removals.spread_seconds.unwrap().largest;
    assert!((90..=95).contains(&took), "{took}");
}

#[test]
fn request_is_answered_by_a_reply_and_the_clock_does_not_run_before_the_proof() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "netblock");
    b.list("127.64.0.2", "netblock");
    let (first, second) = (b.open("127.64.0.1"), b.open("127.64.0.2"));
    assert_eq!(count(&b, b.now()).zones[ZONE].requests.requests, 0);
    b.later(3 * DAY);
    for ticket in [&first, &second] {
        let number = ticket.number;
        b.tickets.ask_review(number, b.now()).unwrap();
    }
    b.later(DAY);
    b.tickets
        .reply(&operator(), first.number, "Why?", b.now())
        .unwrap();
    b.later(2 * DAY);
    let expected = RequestFigures {
        requests: 2,
        due_2_days: 2,
        answered_2_days: 1,
        due_7_days: 1,
        answered_7_days: 1,
    };
    assert_eq!(count(&b, b.now()).zones[ZONE].requests, expected);
    let report = count(&b, b.now());
    assert_eq!(report.sources["operator"].requests, expected);
}

#[test]
fn suspension_of_a_listing_is_not_a_removal() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "netblock");
    let number = b.proved("127.64.0.1").number;
    b.later(7 * DAY);
    b.tick();
    let state = |b: &Bench| b.tickets.get(number).unwrap().state;
    let figures = |b: &Bench| {
        let figures = count(b, b.now()).zones[ZONE];
        (figures.proofs.entries, figures.removals.removals)
    };
    assert_eq!(state(&b), TicketState::Suspended);
    assert_eq!(figures(&b), (0, 0));
    let approved = b.tickets.approve(&operator(), number, "", b.now());
    assert_eq!(approved.unwrap().state, TicketState::Granted);
    assert_eq!(figures(&b), (0, 1));
}

#[test]
fn opt_out_is_not_counted() {
    let b = Bench::with(&[
        r#"
        origin = "bl.orbs.example"
        kind = "address"
        ns = ["ns1.orbs.example"]
        contact = "hostmaster@orbs.example"
        publish = [{ reason = "netblock", code = "127.0.0.4" }, { reason = "notest", code = "127.0.0.8" }]
        "#,
        r#"
        origin = "notest.orbs.example"
        kind = "address"
        ns = ["ns1.orbs.example"]
        contact = "hostmaster@orbs.example"
        publish = [{ reason = "notest", code = "127.0.0.13" }]
        "#,
    ]);
    let relay = &b.relay.relay;
    for host in ["127.64.0.1", "127.64.0.2"] {
        let subject = host.parse().unwrap();
        relay
            .opt_out(&who("owner"), &subject, "its owner asked", b.now())
            .unwrap();
    }
    relay
        .opt_in(&who("owner"), &"127.64.0.2".parse().unwrap(), b.now())
        .unwrap();
    b.list("127.64.0.1", "netblock");
    let report = count(&b, b.now());
    assert_eq!(report.zones.keys().collect::<Vec<_>>(), [ZONE]);
    for figures in [&report.zones[ZONE], &report.sources["operator"]] {
        assert_eq!(figures.proofs.entries, 1);
        assert_eq!(figures.removals, RemovalFigures::default());
    }
}

#[test]
fn figures_do_not_depend_on_how_many_rows_are_read_at_a_time() {
    let mut b = Bench::new();
    for host in 1..=5 {
        b.list(&format!("127.64.0.{host}"), "unconfirmed");
    }
    b.list("127.64.1.0/24", "netblock");
    for host in ["127.64.0.1", "127.64.0.2", "127.64.1.7"] {
        b.open(host);
    }
    for host in ["127.64.0.8", "127.64.0.9"] {
        b.relay.prove(host);
        wait_for_next_second(&mut b);
        let claim = b.relay.relay.claim(&who("owner"), ip(host), true, b.now());
        b.relay.run(&claim.unwrap().job, &refused());
    }
    b.later(60);
    let expected = count(&b, b.now());
    let figures = &expected.zones[ZONE];
    assert_eq!(
        (figures.proofs.entries, figures.removals.removals),
        (4, 4),
        "{figures:?}"
    );
    assert_eq!((figures.claims.closed, figures.requests.requests), (2, 2));
    for rows in 1..12 {
        let parts = job(&b).count_in_parts(b.now(), [rows; 2], &|| false);
        let parts = parts.map_err(|e| format!("{e:?}")).unwrap();
        assert_eq!(parts, expected, "{rows}");
    }
}

#[test]
fn figures_name_no_address() {
    let mut b = Bench::new();
    b.list("127.64.0.1", "unconfirmed");
    b.open("127.64.0.1");
    b.relay.prove("127.64.0.9");
    let json = serde_json::to_string(&count(&b, b.now())).unwrap();
    assert!(!json.contains("127.64."), "{json}");
}

#[test]
fn count_stops_with_the_daemon_and_is_due_once_a_day() {
    let b = Bench::new();
    let job = job(&b);
    let stopped = job.count(b.now(), &|| true);
    assert!(matches!(stopped, Err(Failure::Stopped)));
    assert!(job.is_due());
    job.run(&|| false);
    assert!(!job.is_due());
}
