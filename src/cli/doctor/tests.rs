//! Rules of the checks.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use hickory_resolver::proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, NS, SOA},
    },
};
use mail_auth::SpfResult;
use proptest::prelude::*;

use super::{
    certificates::assess_end,
    configuration::split_place,
    daemon,
    delegation::{self, Addresses, Referral},
    files::{assess_files, disk, file_limit},
    finding::{Area, Examination, Finding, State},
    query::NoAnswer,
    report::{self, nagios_line, worst_exit},
    run::parse_resolver,
    sample::{self, TestNames},
    servers::{self, Reply, ZoneServer},
    site, tester, zones,
};
use crate::{
    api::{FeedResponse, LagResponse, LastBackupResponse, RemovalGapResponse, RemovalLogResponse},
    cli::DoctorExit,
    clock::{Clock, TrustAtStart, tests::ManualTime},
    http::Disk,
    model::{
        Serial, Subject, Time, Zone, ZoneKind,
        time::Seconds,
        zone::{QueryRules, Record as StaticRecord},
    },
};

const NOW: Time = Time(1_800_000_000);
const DAY: u64 = 86_400;
const ORIGIN: &str = "bl.orbs.example";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn examination() -> Examination {
    Examination::new(Area::Machine, "test", "target")
}

/// Checks the state of a finding, and that its remedy has a text.
fn expect(finding: &Finding, state: State, what: &str, remedy: &str) {
    assert_eq!(finding.state, state, "{finding:?}");
    assert!(finding.what.contains(what), "{what}: {finding:?}");
    assert!(finding.remedy.contains(remedy), "{remedy}: {finding:?}");
    assert_eq!(
        finding.remedy.is_empty(),
        state == State::Good,
        "every finding but a good one says what to do: {finding:?}"
    );
}

fn zone() -> Zone {
    let record = |name: &str, kind: &str, data: &str| StaticRecord {
        name: name.into(),
        kind: kind.into(),
        data: data.into(),
        ttl: None,
    };
    Zone {
        origin: "BL.orbs.example.".into(),
        ns: vec!["ns1.bl.orbs.example".into(), "ns2.other.example.".into()],
        records: vec![
            record("ns1", "A", "192.0.2.1"),
            record("@", "TXT", "a list"),
        ],
        ..Zone::default()
    }
}

fn addresses(all: &[(&str, &str)]) -> Addresses {
    let mut out = Addresses::new();
    for (name, address) in all {
        out.entry((*name).into()).or_default().insert(ip(address));
    }
    out
}

fn sound_referral() -> Referral {
    Referral {
        parent: "orbs.example".into(),
        servers: BTreeSet::from(["ns1.bl.orbs.example".into(), "ns2.other.example".into()]),
        glue: addresses(&[("ns1.bl.orbs.example", "192.0.2.1")]),
        ..Referral::default()
    }
}

fn resolved() -> Addresses {
    addresses(&[
        ("ns1.bl.orbs.example", "192.0.2.1"),
        ("ns2.other.example", "198.51.100.2"),
    ])
}

/// The findings that are not good.
fn problems(found: &Referral, resolved: &Addresses) -> Vec<Finding> {
    let all = delegation::assess(&zone(), found, resolved).into_iter();
    all.filter(|f| f.state != State::Good).collect()
}

#[test]
fn delegation_with_its_servers_and_glue_is_good() {
    assert_eq!(problems(&sound_referral(), &resolved()), []);
    let all = delegation::assess(&zone(), &sound_referral(), &resolved());
    let checks: Vec<&str> = all.iter().map(|f| f.check).collect();
    assert_eq!(checks, ["ns", "glue", "address"]);
}

#[test]
fn missing_glue_is_a_fault_with_the_record_to_add() {
    let found = Referral {
        glue: Addresses::new(),
        ..sound_referral()
    };
    let all = problems(&found, &resolved());
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].target, "bl.orbs.example: ns1.bl.orbs.example");
    expect(
        &all[0],
        State::Fault,
        "no glue",
        "add to the zone orbs.example.: ns1.bl.orbs.example. A 192.0.2.1",
    );
}

#[test]
fn glue_with_another_address_is_a_fault() {
    let found = Referral {
        glue: addresses(&[("ns1.bl.orbs.example", "192.0.2.99")]),
        ..sound_referral()
    };
    let all = problems(&found, &resolved());
    assert_eq!(all.len(), 1, "{all:?}");
    expect(
        &all[0],
        State::Fault,
        "192.0.2.99",
        "ns1.bl.orbs.example. A 192.0.2.1",
    );
}

#[test]
fn server_outside_of_the_zone_needs_an_address_and_no_glue() {
    let known = addresses(&[("ns1.bl.orbs.example", "192.0.2.1")]);
    let all = problems(&sound_referral(), &known);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (all[0].check, all[0].target.as_str()),
        ("address", "bl.orbs.example: ns2.other.example")
    );
    expect(&all[0], State::Fault, "no address", "ns2.other.example");
}

#[test]
fn zone_without_delegation_is_a_fault_with_the_records_to_add() {
    for found in [
        Referral {
            is_missing: true,
            parent: "orbs.example".into(),
            ..Referral::default()
        },
        Referral {
            parent: "orbs.example".into(),
            ..Referral::default()
        },
    ] {
        let all = problems(&found, &resolved());
        assert_eq!(all.len(), 1, "{all:?}");
        expect(
            &all[0],
            State::Fault,
            "does not delegate",
            "bl.orbs.example. NS ns1.bl.orbs.example., bl.orbs.example. NS ns2.other.example.",
        );
    }
}

#[test]
fn delegation_and_zone_with_different_servers_are_a_warning() {
    let mut found = sound_referral();
    found.servers.remove("ns2.other.example");
    let all = problems(&found, &resolved());
    expect(
        &all[0],
        State::Warning,
        "does not name ns2.other.example",
        "delegation",
    );
    let mut found = sound_referral();
    found.servers.insert("ns3.other.example".into());
    let known = addresses(&[
        ("ns2.other.example", "198.51.100.2"),
        ("ns3.other.example", "198.51.100.3"),
    ]);
    let all = problems(&found, &known);
    expect(
        &all[0],
        State::Warning,
        "names ns3.other.example",
        "zone file",
    );
}

#[test]
fn parent_that_has_the_zone_itself_shows_no_glue_and_that_is_no_fault() {
    let found = Referral {
        is_authoritative: true,
        glue: Addresses::new(),
        ..sound_referral()
    };
    assert_eq!(problems(&found, &resolved()), []);
}

#[test]
fn referral_is_read_from_all_sections() {
    let mut reply = Message::response(1, OpCode::Query);
    let ns = |text: &str| Record::from_rdata(name(ORIGIN), 60, RData::NS(NS(name(text))));
    reply.add_authority(ns("NS1.bl.orbs.example"));
    reply.add_authority(ns("ns2.other.example"));
    let glue = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
    reply.add_additional(Record::from_rdata(name("ns1.BL.orbs.example"), 60, glue));
    assert_eq!(
        delegation::referral("orbs.example", &reply),
        sound_referral()
    );
    let mut reply = Message::response(1, OpCode::Query);
    reply.metadata.response_code = ResponseCode::NXDomain;
    assert!(delegation::referral("orbs.example", &reply).is_missing);
}

fn server() -> ZoneServer {
    ZoneServer {
        zone: ORIGIN.into(),
        name: "ns1.bl.orbs.example".into(),
        address: SocketAddr::from(([192, 0, 2, 1], 53)),
    }
}

const TARGET: &str = "bl.orbs.example at ns1.bl.orbs.example (192.0.2.1)";

/// A reply with these answers.
fn reply(code: ResponseCode, authoritative: bool, answers: Vec<RData>) -> Reply {
    let mut out = Message::response(1, OpCode::Query);
    out.add_query(Query::query(name(ORIGIN), RecordType::SOA));
    out.metadata.response_code = code;
    out.metadata.authoritative = authoritative;
    for data in answers {
        out.add_answer(Record::from_rdata(name(ORIGIN), 60, data));
    }
    Ok(out)
}

fn soa(serial: u32) -> RData {
    RData::SOA(SOA::new(name("ns"), name("host"), serial, 60, 60, 60, 60))
}

fn silent() -> Reply {
    Err(NoAnswer::Failed("no answer within 1500 ms".into()))
}

#[test]
fn authoritative_soa_gives_the_serial() {
    let found = servers::assess_answer(
        &server(),
        &zone(),
        &reply(ResponseCode::NoError, true, vec![soa(7)]),
    );
    let (finding, serial) = found.unwrap();
    assert_eq!((finding.state, serial), (State::Good, Serial(7)));
    assert_eq!(finding.target, TARGET);
}

#[test]
fn server_without_the_zone_is_lame() {
    for (reply, how) in [
        (reply(ResponseCode::Refused, false, vec![]), "REFUSED"),
        (reply(ResponseCode::ServFail, false, vec![]), "SERVFAIL"),
        (
            reply(ResponseCode::NoError, false, vec![soa(7)]),
            "not authoritative",
        ),
    ] {
        let finding = servers::assess_answer(&server(), &zone(), &reply).unwrap_err();
        expect(&finding, State::Fault, "lame", "transfer.allow");
        assert!(finding.what.contains(how), "{finding:?}");
    }
}

#[test]
fn refusal_by_the_rules_of_the_zone_is_not_seen() {
    let zone = Zone {
        query: QueryRules {
            allow: vec!["10.0.0.0/8".into()],
            ..QueryRules::default()
        },
        ..zone()
    };
    let finding = servers::assess_answer(
        &server(),
        &zone,
        &reply(ResponseCode::Refused, false, vec![]),
    );
    expect(
        &finding.unwrap_err(),
        State::NotSeen,
        "query.allow",
        "machine",
    );
}

#[test]
fn silent_server_is_a_fault_and_one_without_a_route_is_not_seen() {
    let finding = servers::assess_answer(&server(), &zone(), &silent()).unwrap_err();
    expect(
        &finding,
        State::Fault,
        "does not answer over UDP",
        "port 53",
    );
    let unreachable = Err(NoAnswer::Unreachable("no route".into()));
    let finding = servers::assess_answer(&server(), &zone(), &unreachable).unwrap_err();
    expect(&finding, State::NotSeen, "cannot reach", "machine");
}

#[test]
fn server_has_to_answer_over_tcp_and_with_edns() {
    let sound = reply(ResponseCode::NoError, true, vec![soa(7)]);
    expect(
        &servers::assess_tcp(&server(), &sound),
        State::Good,
        "TCP",
        "",
    );
    expect(
        &servers::assess_tcp(&server(), &silent()),
        State::Fault,
        "over TCP",
        "TCP port 53",
    );
    expect(
        &servers::assess_edns(&server(), &sound),
        State::Warning,
        "without it",
        "RFC 6891",
    );
    expect(
        &servers::assess_edns(&server(), &silent()),
        State::Fault,
        "EDNS",
        "RFC 6891",
    );
    let mut with_edns = sound.unwrap();
    with_edns.set_edns(Edns::new());
    expect(
        &servers::assess_edns(&server(), &Ok(with_edns)),
        State::Good,
        "EDNS",
        "",
    );
}

#[test]
fn test_points_have_to_be_listed_and_missing() {
    let code = || RData::A(A(Ipv4Addr::new(127, 0, 0, 2)));
    let listed = reply(ResponseCode::NoError, true, vec![code()]);
    let missing = reply(ResponseCode::NXDomain, true, vec![]);
    let names = TestNames::of(&zone());
    let assess = |a: &Reply, b: &Reply| servers::assess_test_names(&server(), &names, a, b);
    expect(&assess(&listed, &missing), State::Good, "test point", "");
    expect(
        &assess(&missing, &missing),
        State::Fault,
        "2.0.0.127.bl.orbs.example is not listed: NXDOMAIN",
        "transfer",
    );
    expect(
        &assess(&listed, &listed),
        State::Fault,
        "1.0.0.127.bl.orbs.example does not give NXDOMAIN",
        "wildcard",
    );
    // An address outside of 127.0.0.0/8 is that of a parked domain.
    let parked = reply(
        ResponseCode::NoError,
        true,
        vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 80)))],
    );
    expect(
        &assess(&parked, &missing),
        State::Fault,
        "192.0.2.80",
        "transfer",
    );
}

#[test]
fn test_names_are_those_of_the_kind() {
    let domain = Zone {
        kind: ZoneKind::Domain,
        ..zone()
    };
    let names = TestNames::of(&domain);
    assert_eq!(
        (names.listed.as_str(), names.unlisted.as_str()),
        ("test.bl.orbs.example", "invalid.bl.orbs.example")
    );
}

fn lag(serials: u32, seconds: u64) -> Option<LagResponse> {
    Some(LagResponse { serials, seconds })
}

#[test]
fn mirror_that_is_behind_is_judged_by_its_lag() {
    let zone = Zone {
        refresh: Seconds(600),
        ..zone()
    };
    let assess =
        |has, ours, lag| servers::assess_serial(&server(), &zone, (Serial(has), Serial(ours)), lag);
    expect(&assess(7, 7, None), State::Good, "serial 7", "");
    expect(
        &assess(6, 7, lag(1, 60)),
        State::Good,
        "1 serials behind for 60 s",
        "",
    );
    expect(
        &assess(6, 7, lag(1, 61)),
        State::Warning,
        "61 s",
        "orbsd mirror list",
    );
    expect(
        &assess(6, 7, lag(1, 601)),
        State::Fault,
        "stale",
        "transfer.allow",
    );
    expect(&assess(6, 7, None), State::Fault, "stale", "transfer.allow");
    expect(
        &assess(8, 7, None),
        State::Fault,
        "newer",
        "orbsd zone serial",
    );
    // Serials wrap (RFC 1982).
    expect(
        &assess(u32::MAX, 3, lag(4, 700)),
        State::Fault,
        "stale",
        "transfer.allow",
    );
}

#[test]
fn other_answer_at_the_same_serial_is_a_fault() {
    let names = [
        "7.100.51.45.bl.orbs.example".to_string(),
        "8.100.51.45.bl.orbs.example".to_string(),
    ];
    let listed = Some((ResponseCode::NoError, vec!["127.0.0.2".to_string()]));
    let missing = Some((ResponseCode::NXDomain, vec![]));
    let ours = [listed.clone(), listed.clone()];
    let assess = |theirs: &[_]| servers::assess_sample(&server(), &names, theirs, &ours);
    expect(
        &assess(&[listed.clone(), listed.clone()]).unwrap(),
        State::Good,
        "2 names",
        "",
    );
    // A name without an answer is not compared.
    expect(
        &assess(&[listed.clone(), None]).unwrap(),
        State::Good,
        "1 name",
        "",
    );
    assert_eq!(assess(&[None, None]), None);
    let finding = assess(&[listed, missing]).unwrap();
    expect(
        &finding,
        State::Fault,
        "8.100.51.45.bl.orbs.example: NXDOMAIN, not NOERROR 127.0.0.2",
        "nsd-control",
    );
}

#[test]
fn sample_has_names_of_the_zone_only_and_is_spread() {
    let listed: Vec<Subject> = (0..40)
        .map(|i| format!("45.51.100.{i}").parse().unwrap())
        .chain(["bad.example".parse().unwrap()])
        .collect();
    let names = sample::names(&zone(), &listed);
    assert_eq!(names.len(), 8);
    assert_eq!(names[0], "0.100.51.45.bl.orbs.example");
    assert_eq!(names[7], "35.100.51.45.bl.orbs.example");
    let domains = Zone {
        kind: ZoneKind::Domain,
        ..zone()
    };
    assert_eq!(
        sample::names(&domains, &listed),
        ["bad.example.bl.orbs.example"]
    );
}

#[test]
fn resolver_has_to_give_the_test_points() {
    let names = TestNames::of(&zone());
    let assess = |listed, unlisted| zones::assess_resolver(ORIGIN, &names, listed, unlisted);
    let code = || Ok(vec![ip("127.0.0.2")]);
    expect(&assess(code(), Ok(vec![])), State::Good, "test point", "");
    expect(
        &assess(Ok(vec![]), Ok(vec![])),
        State::Fault,
        "no mail server sees",
        "--from",
    );
    expect(
        &assess(code(), Ok(vec![ip("192.0.2.80")])),
        State::Fault,
        "everything is listed",
        "NXDOMAIN",
    );
    expect(
        &assess(Err("silent".into()), Ok(vec![])),
        State::NotSeen,
        "silent",
        "--from",
    );
}

/// The findings about a clock.
fn clock_findings(clock: &Clock) -> Vec<Finding> {
    clock.check();
    daemon::clock(&(&clock.report()).into())
}

#[test]
fn clock_that_differs_or_is_not_synchronised_is_named_with_its_remedy() {
    let time = ManualTime::at(1_800_000_000);
    let own = Clock::start(time.clone(), None, TrustAtStart::Plausible, None);
    let [agrees, synchronised] = &clock_findings(&own)[..] else {
        panic!("two findings");
    };
    assert_eq!(agrees.state, State::Good);
    expect(synchronised, State::Warning, "synchronised", "chrony");
    assert_eq!(synchronised.target, "wall clock");
    time.set_synchronised(true);
    assert!(clock_findings(&own).iter().all(|f| f.state == State::Good));
    time.step(3600);
    let found = clock_findings(&own);
    expect(
        &found[0],
        State::Fault,
        "3600 s ahead of",
        "orbsd clock accept",
    );
}

fn feed() -> FeedResponse {
    FeedResponse {
        feed: "xbl".into(),
        from: "lists/xbl.txt".into(),
        checked: Some(NOW.into()),
        refreshed: Some(Time(NOW.0 - 900).into()),
        ..FeedResponse::default()
    }
}

#[test]
fn feed_without_a_refresh_for_three_intervals_is_dead() {
    let problem = || Some("lists/xbl.txt: No such file or directory".to_string());
    let assess = |f: FeedResponse, interval| daemon::feed(&f, Some(Seconds(interval)), NOW);
    let failing = || FeedResponse {
        problem: problem(),
        ..feed()
    };
    expect(&assess(feed(), 900)[0], State::Good, "last refreshed", "");
    expect(
        &assess(failing(), 300)[0],
        State::Warning,
        "No such file",
        "lists/xbl.txt",
    );
    let dead = &assess(failing(), 299)[0];
    expect(dead, State::Fault, "No such file", "orbsd feed show xbl");
    assert_eq!((dead.check, dead.target.as_str()), ("refresh", "xbl"));
    let never = FeedResponse {
        refreshed: None,
        ..failing()
    };
    expect(
        &assess(never, 86_400)[0],
        State::Fault,
        "never refreshed",
        "xbl",
    );
    // Without the configuration, the interval is unknown.
    expect(
        &daemon::feed(&failing(), None, NOW)[0],
        State::Fault,
        "No such file",
        "xbl",
    );
    expect(
        &assess(feed(), 200)[0],
        State::Warning,
        "3 intervals",
        "xbl",
    );
    let new = FeedResponse {
        checked: None,
        refreshed: None,
        ..feed()
    };
    expect(
        &assess(new, 900)[0],
        State::NotSeen,
        "not been checked",
        "later",
    );
}

#[test]
fn missing_and_old_backups_are_named() {
    let backup = |age: u64| LastBackupResponse {
        at: Time(NOW.0 - age).into(),
        commit: 7,
    };
    expect(
        &daemon::backup(None, NOW),
        State::Fault,
        "no backup",
        "orbsd backup",
    );
    expect(
        &daemon::backup(Some(&backup(2 * DAY)), NOW),
        State::Good,
        "commit 7",
        "",
    );
    expect(
        &daemon::backup(Some(&backup(2 * DAY + 1)), NOW),
        State::Warning,
        "2d ago",
        "orbsd backup",
    );
    expect(
        &daemon::backup(Some(&backup(7 * DAY + 1)), NOW),
        State::Fault,
        "7d ago",
        "timer",
    );
}

#[test]
fn lost_removal_log_is_a_fault() {
    let mut log = RemovalLogResponse {
        path: Some("data/removals.log".into()),
        line: Some(3),
        problem: None,
        gap: None,
    };
    expect(&daemon::removal_log(&log), State::Good, "complete", "");
    log.gap = Some(RemovalGapResponse {
        line: 3,
        at: NOW.into(),
        missing: vec![(1, 2)],
        cause: "it was truncated".into(),
    });
    expect(
        &daemon::removal_log(&log),
        State::Fault,
        "truncated",
        "orbsd backup",
    );
    log.problem = Some("it was deleted".into());
    expect(
        &daemon::removal_log(&log),
        State::Fault,
        "deleted",
        "on_loss",
    );
}

#[test]
fn disk_is_judged_by_its_free_space_and_the_size_of_the_store() {
    let mib = |n: u64| n << 20;
    let assess = |free: u64, store: u64| {
        let found = Disk {
            name: "store",
            free: mib(free),
            size: mib(100_000),
        };
        disk(&found, mib(store))
    };
    expect(&assess(512, 10), State::Good, "512 MiB of 100000 MiB", "");
    expect(&assess(511, 10), State::Warning, "511 MiB", "[store] path");
    expect(&assess(63, 10), State::Fault, "63 MiB", "[store] path");
    expect(
        &assess(3999, 4000),
        State::Warning,
        "4000 MiB",
        "larger disk",
    );
    expect(&assess(999, 4000), State::Fault, "999 MiB", "larger disk");
    assert_eq!(assess(999, 4000).target, "disk of store");
}

#[test]
fn open_files_near_the_limit_are_a_fault_and_lowered_connections_a_warning() {
    let short = || Some("[connections] is reduced".to_string());
    expect(
        &assess_files(examination(), Some(20), 1024, None),
        State::Good,
        "20 files",
        "",
    );
    expect(
        &assess_files(examination(), None, 1024, None),
        State::Good,
        "at most 1024",
        "",
    );
    expect(
        &assess_files(examination(), Some(20), 256, short()),
        State::Warning,
        "reduced",
        "LimitNOFILE",
    );
    expect(
        &assess_files(examination(), Some(922), 1024, short()),
        State::Fault,
        "922 files",
        "LimitNOFILE",
    );
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max processes             100                  200                  processes \n\
                  Max open files            1024                 524288               files     \n";
    assert_eq!(file_limit(limits), Some(1024));
    assert_eq!(
        file_limit("Max open files            unlimited            unlimited            files"),
        Some(u64::MAX)
    );
    assert_eq!(file_limit("Max processes 5 5 processes"), None);
}

#[test]
fn certificate_is_judged_by_its_end() {
    let assess = |end: u64| assess_end(examination(), Time(end), NOW);
    expect(&assess(NOW.0), State::Fault, "expired", "renew");
    expect(
        &assess(NOW.0 + 14 * DAY - 1),
        State::Warning,
        "less than",
        "renew",
    );
    expect(&assess(NOW.0 + 14 * DAY), State::Good, "valid until", "");
}

#[test]
fn reverse_dns_of_the_tester_has_to_agree_in_both_directions() {
    let own = ip("192.0.2.25");
    let assess = |names: &[&str], back: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).into()).collect();
        let back: Vec<IpAddr> = back.iter().map(|a| ip(a)).collect();
        tester::assess_pointer(examination(), own, "test.orbs.example", &names, &back)
    };
    expect(
        &assess(&["test.orbs.example"], &["192.0.2.25"]),
        State::Good,
        "both directions",
        "",
    );
    expect(
        &assess(&[], &["192.0.2.25"]),
        State::Fault,
        "no PTR",
        "PTR record to test.orbs.example.",
    );
    expect(
        &assess(&["host-25.isp.example"], &["192.0.2.25"]),
        State::Fault,
        "host-25.isp.example",
        "192.0.2.25",
    );
    expect(
        &assess(&["test.orbs.example"], &[]),
        State::Fault,
        "lead back",
        "192.0.2.25",
    );
}

#[test]
fn probe_domain_needs_an_mx_that_leads_to_the_collector() {
    let assess = |hosts: &[&str], found: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).into()).collect();
        let found: Vec<IpAddr> = found.iter().map(|a| ip(a)).collect();
        tester::assess_exchanges(
            examination(),
            "probe.example",
            &hosts,
            &found,
            &[ip("192.0.2.25")],
        )
    };
    expect(
        &assess(&["mx.probe.example"], &["192.0.2.25"]),
        State::Good,
        "mx.probe.example",
        "",
    );
    expect(
        &assess(&[], &[]),
        State::Fault,
        "no MX",
        "probe.example. MX 10",
    );
    expect(
        &assess(&["mx.probe.example"], &[]),
        State::Fault,
        "no address",
        "192.0.2.25",
    );
    expect(
        &assess(&["mx.probe.example"], &["192.0.2.26"]),
        State::Fault,
        "does not lead",
        "192.0.2.25",
    );
}

#[test]
fn sender_policy_of_the_probe_domain_has_to_permit_the_tester() {
    let assess =
        |result| tester::assess_spf(examination(), "probe.example", ip("192.0.2.25"), result);
    expect(&assess(Ok(SpfResult::Pass)), State::Good, "permits", "");
    expect(
        &assess(Ok(SpfResult::None)),
        State::Fault,
        "no SPF record",
        "v=spf1 ip4:192.0.2.25 -all",
    );
    expect(&assess(Ok(SpfResult::Fail)), State::Fault, "Fail", "v=spf1");
    expect(
        &assess(Ok(SpfResult::TempError)),
        State::NotSeen,
        "looked up",
        "--from",
    );
    expect(
        &assess(Err("silent".into())),
        State::NotSeen,
        "silent",
        "--from",
    );
}

#[test]
fn tester_on_a_blocklist_is_a_fault_and_a_refused_query_is_not_seen() {
    let assess = |found| tester::assess_listing(ip("192.0.2.25"), "bl.other.example", found);
    let answer = |text: &str| Ok(vec![ip(text)]);
    expect(&assess(Ok(vec![])), State::Good, "not listed", "");
    expect(
        &assess(answer("127.0.0.2")),
        State::Fault,
        "127.0.0.2",
        "bl.other.example",
    );
    expect(
        &assess(answer("127.255.255.254")),
        State::NotSeen,
        "refuses",
        "--from",
    );
    expect(
        &assess(Err("silent".into())),
        State::NotSeen,
        "silent",
        "--from",
    );
    // A parked domain answers with an address of its own.
    expect(&assess(answer("192.0.2.80")), State::Good, "not listed", "");
}

#[test]
fn page_has_to_answer_with_success_or_a_redirection() {
    let assess = |found| site::assess(examination(), &found, "open it");
    for status in [200, 204, 302] {
        expect(&assess(Ok(status)), State::Good, &status.to_string(), "");
    }
    for status in [403, 404, 500] {
        expect(
            &assess(Ok(status)),
            State::Fault,
            &status.to_string(),
            "open it",
        );
    }
    expect(
        &assess(Err("refused".into())),
        State::Fault,
        "refused",
        "open it",
    );
}

#[test]
fn error_of_the_configuration_is_split_into_place_and_text() {
    assert_eq!(
        split_place("zones/bl.toml:3: ttl: it is too long", "config.toml"),
        ("zones/bl.toml:3", "ttl: it is too long")
    );
    assert_eq!(
        split_place("there is no [[reason]]: define one", "config.toml"),
        ("config.toml", "there is no [[reason]]: define one")
    );
}

#[test]
fn resolver_is_an_address_with_or_without_a_port() {
    assert_eq!(
        parse_resolver("192.0.2.53"),
        Ok(([192, 0, 2, 53], 53).into())
    );
    assert_eq!(
        parse_resolver("192.0.2.53:5353"),
        Ok(([192, 0, 2, 53], 5353).into())
    );
    assert_eq!(parse_resolver("2001:db8::53").unwrap().port(), 53);
    assert!(
        parse_resolver("dns.example")
            .unwrap_err()
            .contains("dns.example")
    );
}

#[test]
fn line_for_monitoring_has_the_counts_and_the_worst_finding() {
    let all = [
        Examination::new(Area::Daemon, "running", "daemon").good("it runs"),
        Examination::new(Area::Servers, "tcp", "bl at ns1").warning("slow", "hurry"),
        Examination::new(Area::Site, "pages", "https://orbs.example/")
            .fault("404 | gone", "open it"),
    ];
    assert_eq!(
        nagios_line(&all),
        "ORBSD CRITICAL: 1 fault, 1 warning, 0 not seen, 1 good; pages https://orbs.example/: 404 / gone | faults=1 warnings=1 not_seen=0 good=1"
    );
    assert_eq!(
        nagios_line(&all[..1]),
        "ORBSD OK: 0 faults, 0 warnings, 0 not seen, 1 good | faults=0 warnings=0 not_seen=0 good=1"
    );
}

fn states() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0..4usize, 0..3usize), 0..12)
}

proptest! {
    /// The exit code is that of the worst finding, and the order is by area, the worst first.
    #[test]
    fn worst_finding_decides_the_exit_code(kinds in states()) {
        let areas = [Area::Configuration, Area::Servers, Area::Site];
        let mut findings: Vec<Finding> = kinds
            .iter()
            .map(|(state, area)| {
                let examination = Examination::new(areas[*area], "check", "target");
                match state {
                    0 => examination.good("a"),
                    1 => examination.not_seen("a", "b"),
                    2 => examination.warning("a", "b"),
                    _ => examination.fault("a", "b"),
                }
            })
            .collect();
        report::sort(&mut findings);
        let worst = kinds.iter().map(|(state, _)| *state).max().unwrap_or(0);
        let expected = [None, Some(DoctorExit::Unknown), Some(DoctorExit::Warning), Some(DoctorExit::Fault)][worst];
        prop_assert_eq!(worst_exit(&findings), expected);
        for pair in findings.windows(2) {
            prop_assert!(pair[0].area < pair[1].area || pair[0].area == pair[1].area && pair[0].state >= pair[1].state);
        }
    }

    /// Each octet or nibble of an address is one label, the last one first.
    #[test]
    fn reversed_names_have_the_labels_of_the_address(v4 in any::<u32>(), v6 in any::<u128>()) {
        let octets: Vec<String> = v4.to_be_bytes().iter().rev().map(ToString::to_string).collect();
        prop_assert_eq!(sample::reversed(Ipv4Addr::from_bits(v4).into(), ORIGIN), format!("{}.{ORIGIN}", octets.join(".")));
        let nibbles: Vec<String> = format!("{v6:032x}").chars().rev().map(String::from).collect();
        let address = std::net::Ipv6Addr::from_bits(v6).into();
        prop_assert_eq!(sample::reversed(address, ORIGIN), format!("{}.{ORIGIN}", nibbles.join(".")));
    }

    /// A mirror is good only at our serial, or with a known and short lag.
    #[test]
    fn mirror_at_another_serial_without_known_lag_is_never_good(has in any::<u32>(), ours in any::<u32>()) {
        let finding = servers::assess_serial(&server(), &zone(), (Serial(has), Serial(ours)), None);
        prop_assert_eq!(finding.state == State::Good, has == ours);
    }
}
