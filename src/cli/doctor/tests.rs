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

mod delegation_checks;
mod machine_checks;
mod server_checks;
mod tester_checks;

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

fn server() -> ZoneServer {
    ZoneServer {
        zone: ORIGIN.into(),
        name: "ns1.bl.orbs.example".into(),
        address: SocketAddr::from(([192, 0, 2, 1], 53)),
    }
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
