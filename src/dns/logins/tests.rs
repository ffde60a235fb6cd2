//! Volatile zones through `respond()`: each answer is the one that RFC 4592 finds in the owner names
//! of the log-ins that have not ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;

use super::{tests::query, *};
use crate::{
    index::{Published, Snapshot, ZoneSet, ZoneView, zones::rtype},
    model::{Serial, Time},
};

const ORIGIN: &str = "logins.orbs.example";

fn zone(tail: &str) -> ZoneView {
    let text = format!(
        "origin = '{ORIGIN}'\nkind = 'address'\ndurability = 'volatile'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n\
         query.allow = ['192.0.2.0/24']\n{tail}"
    );
    ZoneView::new(
        &toml::from_str(&text).unwrap(),
        &Default::default(),
        &Default::default(),
    )
    .unwrap()
}

fn snapshot(zone: ZoneView) -> Snapshot {
    Snapshot {
        zones: Arc::new(ZoneSet::new(vec![zone]).unwrap()),
        serials: vec![Serial(7)].into(),
        sound: true,
        ..Snapshot::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The owner name of an address, relative to the origin.
fn owner(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(a) => {
            let hex = format!("{:032x}", a.to_bits());
            let labels: Vec<String> = hex.chars().rev().map(String::from).collect();
            labels.join(".")
        }
    }
}

fn report(snapshot: &Snapshot, addresses: &[IpAddr], end: u64) {
    let logins = snapshot.zones.all()[0].logins.as_ref().unwrap();
    let published: Vec<IpAddr> = addresses
        .iter()
        .filter_map(|a| logins.rules.published(*a))
        .collect();
    logins.table.report(&published, Uptime(end), Uptime(0));
}

fn ask_from(client: &str, snapshot: &Snapshot, name: &str, qtype: u16, now: u64) -> Message {
    let time = QueryTime {
        wall: Time(0),
        uptime: Uptime(now),
    };
    let mut out = [0; UDP_SIZE];
    let name = match name {
        "" => ORIGIN.to_string(),
        name => format!("{name}.{ORIGIN}"),
    };
    let q = query(&name, qtype, true);
    let outcome = respond(snapshot, &q, Peer::udp(ip(client)), time, &mut out);
    Message::from_vec(&out[..outcome.len]).unwrap()
}

fn ask(snapshot: &Snapshot, name: &str, qtype: u16, now: u64) -> Message {
    ask_from("192.0.2.53", snapshot, name, qtype, now)
}

fn answers(m: &Message) -> Vec<(u32, String)> {
    m.answers
        .iter()
        .map(|r| (r.ttl, r.data.to_string()))
        .collect()
}

#[test]
fn ttl_of_a_log_in_is_at_most_the_time_that_is_left() {
    let s = snapshot(zone("[logins]\ncode = '127.0.0.9'\ntext = 'Logged in'\n"));
    report(&s, &[ip("198.51.100.7")], 60_000);
    let name = "7.100.51.198";
    for (now, ttl) in [(0, 5), (54_000, 5), (55_001, 4), (58_000, 2), (59_999, 0)] {
        let m = ask(&s, name, rtype::A, now);
        assert_eq!(answers(&m), [(ttl, "127.0.0.9".into())], "{now}");
        assert_eq!(
            answers(&ask(&s, name, rtype::TXT, now)),
            [(ttl, "Logged in".into())]
        );
    }
    let m = ask(&s, name, rtype::A, 60_000);
    assert_eq!(m.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(m.authorities[0].ttl, 0);
    let m = ask(&s, name, rtype::AAAA, 0);
    assert_eq!(m.metadata.response_code, ResponseCode::NoError);
    assert_eq!((m.answers.len(), m.authorities[0].ttl), (0, 0));
}

#[test]
fn test_points_exist_in_a_volatile_zone_without_log_ins() {
    let s = snapshot(zone(""));
    let mapped = owner(IpAddr::V6(
        std::net::Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped(),
    ));
    for name in ["2.0.0.127", &mapped] {
        let m = ask(&s, name, rtype::A, 0);
        assert_eq!(answers(&m), [(5, "127.0.0.2".into())], "{name}");
    }
    for (name, qtype) in [
        ("0.0.127", rtype::A),
        ("2.0.0.127", rtype::TXT),
        ("", rtype::A),
    ] {
        let m = ask(&s, name, qtype, 0);
        assert_eq!(m.metadata.response_code, ResponseCode::NoError, "{name}");
        assert!(m.answers.is_empty());
    }
    for name in ["1.0.0.127", "3.0.0.127", "7.100.51.198", "127.198", "x"] {
        let m = ask(&s, name, rtype::A, 0);
        assert_eq!(m.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
}

#[test]
fn apex_has_soa_and_ns_and_no_client_gets_a_transfer() {
    let s = snapshot(zone(""));
    assert_eq!(ask(&s, "", rtype::SOA, 0).answers.len(), 1);
    assert_eq!(ask(&s, "", rtype::NS, 0).answers.len(), 1);
    for qtype in [rtype::AXFR, rtype::IXFR] {
        let m = ask(&s, "", qtype, 0);
        assert_eq!(m.metadata.response_code, ResponseCode::Refused);
    }
    let m = ask(&s, "_rows", rtype::AXFR, 0);
    assert_eq!(m.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn client_outside_of_the_zones_list_is_refused() {
    let s = snapshot(zone(""));
    report(&s, &[ip("198.51.100.7")], 60_000);
    let m = ask_from("198.51.100.7", &s, "7.100.51.198", rtype::A, 0);
    assert_eq!(m.metadata.response_code, ResponseCode::Refused);
    assert!(m.answers.is_empty());
}

#[test]
fn log_ins_stay_when_the_configuration_is_read_again() {
    let first = ZoneSet::new(vec![zone("")]).unwrap();
    let table = |set: &ZoneSet| set.all()[0].logins.as_ref().unwrap().table.clone();
    let address = [ip("198.51.100.7")];
    table(&first).report(&address, Uptime(60_000), Uptime(0));
    assert!(first.has_logins());
    let count = |set: &ZoneSet| table(set).counts().entries;
    let same = first
        .next(vec![zone("[logins]\nlifetime = '1h'\n")])
        .unwrap();
    assert_eq!(count(&same), 1);
    // Prefixes of another length are other names.
    let wider = same
        .next(vec![zone("[logins]\nipv6_prefix = 64\n")])
        .unwrap();
    assert_eq!(count(&wider), 0);
    assert_eq!(count(&ZoneSet::new(vec![zone("")]).unwrap()), 0);
}

#[test]
fn published_state_is_shared_by_clones_of_a_snapshot() {
    let published = Published::new(snapshot(zone("")));
    let kept = published.snapshot();
    report(&published.load(), &[ip("198.51.100.7")], 60_000);
    assert_eq!(ask(&kept, "7.100.51.198", rtype::A, 0).answers.len(), 1);
}

/// What a name has: the data of its A record; `None` for NODATA; or nothing at all.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Listed,
    NoData,
    Missing,
}

/// Finds a name in owner names as RFC 4592 does. All names are relative to the origin.
fn find_in(owners: &BTreeSet<String>, with_a: &BTreeMap<String, bool>, name: &str) -> Expected {
    let exists = |n: &str| {
        n.is_empty()
            || owners
                .iter()
                .any(|o| o == n || o.strip_suffix(n).is_some_and(|head| head.ends_with('.')))
    };
    let of = |owner: &str| match with_a.get(owner) {
        Some(true) => Expected::Listed,
        _ => Expected::NoData,
    };
    if exists(name) {
        return of(name);
    }
    let mut encloser = name;
    while !exists(encloser) {
        encloser = encloser.split_once('.').map_or("", |(_, rest)| rest);
    }
    let wildcard = match encloser {
        "" => "*".to_string(),
        encloser => format!("*.{encloser}"),
    };
    match owners.contains(&wildcard) {
        true => of(&wildcard),
        false => Expected::Missing,
    }
}

/// Addresses that share octets and nibbles, so that names of branches meet.
fn any_address() -> impl Strategy<Value = IpAddr> {
    let octet = prop::sample::select(vec![1u8, 2, 16, 33]);
    let nibbles = prop::sample::select(vec![0x2001u16, 0x2111, 0x1234, 0x1]);
    prop_oneof![
        [octet.clone(), octet.clone(), octet.clone(), octet].prop_map(IpAddr::from),
        (
            prop::sample::select(vec![0x2001u16, 0x3321, 0x1216]),
            nibbles.clone(),
            nibbles
        )
            .prop_map(|(a, b, c)| IpAddr::from([a, b, 0, 0, c, 0, 0, c])),
    ]
}

proptest! {
    #[test]
    fn answers_equal_a_look_up_in_the_log_ins_that_have_not_ended(
        logins in prop::collection::vec((any_address(), 1u64..100), 0..12),
        prefix in prop::sample::select(vec![64, 128]),
        now in 0u64..100,
        probes in prop::collection::vec((any_address(), 0usize..40, prop::sample::select(vec!["", "x.", "*.", "1.", "x.*.", "1.*."])), 40),
    ) {
        let s = snapshot(zone(&format!("[logins]\nipv6_prefix = {prefix}\n[[record]]\nname = 'www'\ntype = 'A'\ndata = '192.0.2.80'\n")));
        let mut ends = BTreeMap::new();
        for (address, end) in &logins {
            report(&s, &[*address], *end);
            ends.insert(s.zones.all()[0].logins.as_ref().unwrap().rules.published(*address).unwrap(), *end);
        }
        let mut with_a = BTreeMap::from([(String::new(), false), ("www".into(), true), ("2.0.0.127".into(), true)]);
        with_a.insert(owner(ip("::ffff:127.0.0.2")), true);
        for (address, _) in ends.iter().filter(|(_, end)| **end > now) {
            let name = owner(*address);
            let name = match (address, prefix) {
                (IpAddr::V6(_), 64) => format!("*.{}", &name[32..]),
                _ => name,
            };
            with_a.insert(name, true);
        }
        let owners: BTreeSet<String> = with_a.keys().filter(|n| !n.is_empty()).cloned().collect();
        let near = logins.iter().map(|(a, end)| (*a, (*end % 40) as usize, "")).collect::<Vec<_>>();
        for (address, skipped, head) in probes.into_iter().chain(near) {
            let name = owner(address);
            let rest: Vec<&str> = name.split('.').skip(skipped).collect();
            let name = format!("{head}{}", rest.join(".")).trim_end_matches('.').to_string();
            let m = ask(&s, &name, rtype::A, now);
            let got = match (m.metadata.response_code, m.answers.is_empty()) {
                (ResponseCode::NoError, false) => Expected::Listed,
                (ResponseCode::NoError, true) => Expected::NoData,
                (ResponseCode::NXDomain, _) => Expected::Missing,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(got, find_in(&owners, &with_a, &name), "{} in {:?}", name, owners);
        }
    }
}
