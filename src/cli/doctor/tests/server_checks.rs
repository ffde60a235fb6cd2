//! Checks of the servers of a zone, of mirrors and of a resolver.

use super::*;

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
