//! Tests of replies: their bytes, and what hickory-proto reads in them.

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;

use super::*;
use crate::{
    index::{Builder, Changes, RawFact, RawFacts, Snapshot, ZoneSet, zones::rtype},
    model::{ReasonId, Serial, SourceId, Time},
};

mod name_servers;

fn peer(stream: bool) -> Peer<'static> {
    Peer {
        transport: if stream {
            Transport::Stream
        } else {
            Transport::Datagram
        },
        ..Peer::udp([192, 0, 2, 53].into())
    }
}

/// A snapshot of `bl.orbs.example` (addresses) and `dbl.orbs.example` (domains) with these
/// listings.
pub(crate) fn snapshot(listed: &[(&str, u8, Option<&str>)]) -> Snapshot {
    let mut b = Builder::default();
    for (s, r, text) in listed {
        let fact = RawFact {
            aged: Default::default(),
            reason: ReasonId(*r),
            source: SourceId(0),
            exclusion: false,
            text: (*text).into(),
        };
        let id = b.intern(&RawFacts {
            exempt: false,
            facts: vec![fact],
        });
        let mut c = Changes::default();
        b.add(&mut c, &s.parse().unwrap(), id);
        b.apply(c);
    }
    let record = "[[record]]\nname = '@'\ntype = 'A'\ndata = '198.51.100.80'\n[[record]]\nname = 'www'\ntype = 'AAAA'\ndata = '2001:db8::80'\n";
    let zones = vec![zone_with("address", record), zone_with("domain", "")];
    Snapshot {
        tables: b.tables().clone(),
        zones: Arc::new(ZoneSet::new(zones).unwrap()),
        serials: vec![Serial(7), Serial(8)].into(),
        seq: 1,
        sound: true,
        nsid: "test-1".into(),
        keys: Default::default(),
    }
}

fn zone_with(kind: &str, tail: &str) -> crate::index::ZoneView {
    let name = if kind == "domain" { "dbl" } else { "bl" };
    let text = format!(
        "origin = '{name}.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example', 'ns2.elsewhere.test']\ncontact = 'host@orbs.example'\n\
         ttl = '5m'\nnegative_ttl = '1m'\nnodata_ttl = '2m'\n\
         publish = [{{reason='r0', code='127.0.0.2'}}, {{reason='r1', code='127.0.0.3', text='One $ and $$'}}]\n{tail}"
    );
    let mut reasons = crate::model::Reasons::default();
    let texts = ["r0", "r1"]
        .map(|r| {
            (
                reasons.add(r).map(|_| r.to_string()).unwrap(),
                format!("{r} says $"),
            )
        })
        .into();
    crate::index::ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &texts).unwrap()
}

pub(crate) fn query(name: &str, qtype: u16, edns: bool) -> Vec<u8> {
    let mut m = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for l in name.split('.').filter(|l| !l.is_empty()) {
        m.push(l.len() as u8);
        m.extend(l.as_bytes());
    }
    m.push(0);
    m.extend(qtype.to_be_bytes());
    m.extend([0, 1]);
    if edns {
        m.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    m
}

#[test]
fn queried_address_is_that_of_a_whole_name_in_a_zone_of_addresses() {
    let s = snapshot(&[("45.1.1.7", 0, None)]);
    let nibbles = |addr: &str| -> String {
        let bits = u128::from(addr.parse::<std::net::Ipv6Addr>().unwrap());
        (0..32)
            .map(|i| format!("{:x}.", bits >> (4 * i) & 15))
            .collect()
    };
    let six = nibbles("2a01:4f8::9");
    let address = |name: &str, qtype: u16| {
        let found = queried_address(&s, &query(&format!("{name}.orbs.example"), qtype, true));
        found.map(|a| a.to_string())
    };
    for qtype in [rtype::A, rtype::TXT, rtype::ANY] {
        assert_eq!(address("7.1.1.45.bl", qtype).as_deref(), Some("45.1.1.7"));
    }
    assert_eq!(address("8.1.1.45.BL", rtype::A).unwrap(), "45.1.1.8");
    assert_eq!(
        address(&format!("{six}bl"), rtype::A).unwrap(),
        "2a01:4f8::9"
    );
    let short = format!("{}bl", &six[2..]);
    for (name, qtype) in [
        ("7.1.1.45.bl", rtype::MX),
        ("7.1.1.45.bl", rtype::IXFR),
        ("1.1.45.bl", rtype::A),
        ("x.7.1.1.45.bl", rtype::A),
        ("256.1.1.45.bl", rtype::A),
        ("www.bl", rtype::A),
        ("7.1.1.45.dbl", rtype::A),
        ("name.test.dbl", rtype::A),
        ("7.1.1.45.elsewhere", rtype::A),
        (&short, rtype::A),
    ] {
        assert_eq!(address(name, qtype), None, "{name}");
    }
    let mut reply = query("7.1.1.45.bl.orbs.example", rtype::A, false);
    reply[2] |= 0x80;
    assert_eq!(queried_address(&s, &reply), None);
    assert_eq!(queried_address(&s, &reply[..9]), None);
}

fn raw(s: &Snapshot, q: &[u8], stream: bool) -> (QueryOutcome, Vec<u8>) {
    let mut out = vec![0; TCP_SIZE];
    let outcome = respond(s, q, peer(stream), Time(0), &mut out);
    out.truncate(outcome.len);
    (outcome, out)
}

fn ask(s: &Snapshot, name: &str, qtype: u16) -> Message {
    let (_, out) = raw(s, &query(name, qtype, true), false);
    Message::from_vec(&out).unwrap()
}

fn answers(m: &Message) -> Vec<String> {
    m.answers.iter().map(|r| r.data.to_string()).collect()
}

fn soa_ttl(m: &Message) -> Option<u32> {
    m.authorities.first().map(|r| r.ttl)
}

#[test]
fn a1_a2_a3_listed_address_has_a_and_txt() {
    let s = snapshot(&[
        ("198.51.100.7", 0, None),
        ("2606:4700::7", 0, None),
        ("203.0.113.0/24", 1, None),
    ]);
    let m = ask(&s, "7.100.51.198.bl.orbs.example", rtype::A);
    assert_eq!(answers(&m), ["127.0.0.2"]);
    assert!(
        m.metadata.authoritative
            && !m.metadata.recursion_available
            && m.metadata.recursion_desired
            && m.authorities.is_empty()
    );
    assert_eq!(m.answers[0].ttl, 300);
    assert_eq!(
        answers(&ask(&s, "7.100.51.198.bl.orbs.example", rtype::TXT)),
        ["r0 says 198.51.100.7"]
    );
    // A6: every address of a range; the text names the range, since a mirror's wildcard cannot name
    // the address.
    assert_eq!(
        answers(&ask(&s, "99.113.0.203.bl.orbs.example", rtype::TXT)),
        ["One 203.0.113.0/24 and $"]
    );
}

#[test]
fn a13_c8_ipv6_is_32_nibbles() {
    let s = snapshot(&[("2606:4700::7", 0, None)]);
    let name = |a: &str| {
        let a: std::net::Ipv6Addr = a.parse().unwrap();
        let n: Vec<String> = crate::index::ip6::nibbles(a.to_bits())
            .iter()
            .rev()
            .map(|n| format!("{n:x}"))
            .collect();
        format!("{}.bl.orbs.example", n.join("."))
    };
    assert_eq!(
        answers(&ask(&s, &name("2606:4700::7"), rtype::A)),
        ["127.0.0.2"]
    );
    assert_eq!(
        answers(&ask(&s, &name("2606:4700::7").to_uppercase(), rtype::A)),
        ["127.0.0.2"]
    );
    assert_eq!(
        ask(&s, &name("2606:4700::8"), rtype::A)
            .metadata
            .response_code,
        ResponseCode::NXDomain
    );
    let m = ask(&s, "6.0.6.2.bl.orbs.example", rtype::A);
    assert_eq!(
        (m.metadata.response_code, soa_ttl(&m)),
        (ResponseCode::NoError, Some(120))
    );
    assert_eq!(
        ask(&s, "7.0.6.2.bl.orbs.example", rtype::A)
            .metadata
            .response_code,
        ResponseCode::NXDomain
    );
}

#[test]
fn a7_c2_c7_absent_name_is_nxdomain_with_soa_and_branch_is_nodata() {
    let s = snapshot(&[("198.51.100.7", 0, None)]);
    for qtype in [rtype::A, rtype::TXT, rtype::AAAA, rtype::ANY] {
        let m = ask(&s, "8.100.51.198.bl.orbs.example", qtype);
        assert_eq!(
            (m.metadata.response_code, soa_ttl(&m)),
            (ResponseCode::NXDomain, Some(60))
        );
        let m = ask(&s, "100.51.198.bl.orbs.example", qtype);
        assert_eq!(
            (m.metadata.response_code, soa_ttl(&m)),
            (ResponseCode::NoError, Some(120))
        );
    }
    let m = ask(&s, "7.100.51.198.bl.orbs.example", rtype::AAAA);
    assert_eq!(
        (m.metadata.response_code, soa_ttl(&m), m.answers.len()),
        (ResponseCode::NoError, Some(60), 0)
    );
    for odd in [
        "256.100.51.198",
        "07.100.51.198",
        "x.100.51.198",
        "1.7.100.51.198",
        "101.51.198",
    ] {
        assert_eq!(
            ask(&s, &format!("{odd}.bl.orbs.example"), rtype::A)
                .metadata
                .response_code,
            ResponseCode::NXDomain,
            "{odd}"
        );
    }
    let soa = &m.authorities[0];
    assert_eq!(
        soa.data.to_string(),
        "ns1.orbs.example. host.orbs.example. 7 600 300 604800 120"
    );
}

#[test]
fn a17_a18_a19_a20_a21_c3_test_points_are_built_in() {
    let s = snapshot(&[]);
    assert_eq!(
        answers(&ask(&s, "2.0.0.127.bl.orbs.example", rtype::A)),
        ["127.0.0.2", "127.0.0.3"]
    );
    assert_eq!(
        answers(&ask(&s, "2.0.0.127.bl.orbs.example", rtype::TXT)),
        ["r0 says 127.0.0.2"]
    );
    assert_eq!(
        answers(&ask(&s, "3.0.0.127.bl.orbs.example", rtype::A)),
        ["127.0.0.3"]
    );
    let mapped = |n: u8| {
        format!("{n}.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.orbs.example")
    };
    assert_eq!(
        answers(&ask(&s, &mapped(2), rtype::A)),
        ["127.0.0.2", "127.0.0.3"]
    );
    for absent in [
        "1.0.0.127.bl.orbs.example",
        "4.0.0.127.bl.orbs.example",
        &mapped(1),
        "invalid.dbl.orbs.example",
        "INVALID.dbl.orbs.example",
    ] {
        assert_eq!(
            ask(&s, absent, rtype::A).metadata.response_code,
            ResponseCode::NXDomain,
            "{absent}"
        );
    }
    assert_eq!(
        answers(&ask(&s, "TEST.dbl.orbs.example", rtype::A)),
        ["127.0.0.2", "127.0.0.3"]
    );
    assert_eq!(
        ask(&s, "0.0.127.bl.orbs.example", rtype::A)
            .metadata
            .response_code,
        ResponseCode::NoError
    );
}

#[test]
fn a22_c10_apex_and_static_names_have_their_records() {
    let s = snapshot(&[]);
    assert_eq!(
        answers(&ask(&s, "bl.orbs.example", rtype::NS)),
        ["ns1.orbs.example.", "ns2.elsewhere.test."]
    );
    assert_eq!(
        answers(&ask(&s, "bl.orbs.example", rtype::SOA)),
        ["ns1.orbs.example. host.orbs.example. 7 600 300 604800 120"]
    );
    assert_eq!(
        answers(&ask(&s, "bl.orbs.example", rtype::A)),
        ["198.51.100.80"]
    );
    assert_eq!(
        answers(&ask(&s, "WWW.bl.orbs.example", rtype::AAAA)),
        ["2001:db8::80"]
    );
    assert_eq!(
        answers(&ask(&s, "dbl.orbs.example", rtype::SOA)),
        ["ns1.orbs.example. host.orbs.example. 8 600 300 604800 120"]
    );
    for (name, qtype) in [
        ("127.bl.orbs.example", rtype::NS),
        ("127.bl.orbs.example", rtype::SOA),
        ("www.bl.orbs.example", rtype::A),
    ] {
        let m = ask(&s, name, qtype);
        assert_eq!(
            (
                m.metadata.response_code,
                m.answers.len(),
                m.authorities.len()
            ),
            (ResponseCode::NoError, 0, 1),
            "{name}"
        );
    }
}

#[test]
fn c4_c5_c6_question_keeps_its_case_and_record_order_is_fixed() {
    let s = snapshot(&[("198.51.100.7", 1, Some("own text of $"))]);
    let (_, out) = raw(
        &s,
        &query("7.100.51.198.BL.oRbS.example", rtype::A, false),
        false,
    );
    assert!(out.windows(3).any(|w| w == b"\x02BL") && out.windows(5).any(|w| w == b"\x04oRbS"));
    assert_eq!(
        answers(&ask(&s, "7.100.51.198.bl.orbs.example", rtype::TXT)),
        ["own text of 198.51.100.7"]
    );
    let long = snapshot(&[("198.51.100.7", 1, Some(&"ä$ ".repeat(200)))]);
    let m = ask(&long, "7.100.51.198.bl.orbs.example", rtype::TXT);
    let text = m.answers[0].data.to_string();
    assert!(
        text.len() == 255 && text.bytes().all(|b| (32..127).contains(&b)),
        "{text}"
    );
}

#[test]
fn c9_other_types_are_nodata_and_any_is_the_first_rrset() {
    let s = snapshot(&[("198.51.100.7", 0, None)]);
    for qtype in [
        rtype::AAAA,
        rtype::CAA,
        43,
        48,
        65,
        1000,
        rtype::NS,
        rtype::SOA,
        256,
    ] {
        let m = ask(&s, "7.100.51.198.bl.orbs.example", qtype);
        assert_eq!(
            (
                m.metadata.response_code,
                m.answers.len(),
                m.authorities.len()
            ),
            (ResponseCode::NoError, 0, 1),
            "type {qtype}"
        );
    }
    assert_eq!(
        answers(&ask(&s, "7.100.51.198.bl.orbs.example", rtype::ANY)),
        ["127.0.0.2"]
    );
}

#[test]
fn rfc8906_headers_and_edns_get_the_replies_of_the_rfc() {
    let s = snapshot(&[]);
    let rcode = |q: &[u8]| raw(&s, q, false).1.get(3).map(|b| b & 15);
    // Opcode 15, header alone: NOTIMP with that opcode.
    let out = raw(&s, &[0, 1, 0x79, 0, 0, 0, 0, 0, 0, 0, 0, 0], false).1;
    assert_eq!((out.len(), out[2], out[3]), (12, 0xf9, 4));
    assert_eq!(
        rcode(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Some(1),
        "no question"
    );
    assert_eq!(rcode(&[0, 1, 0x80, 0, 0, 1]), None);
    assert_eq!(
        rcode(&[0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        None,
        "a reply is dropped"
    );
    let two = [
        &[0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0][..],
        &query("bl.orbs.example", 1, false)[12..],
    ]
    .concat();
    assert_eq!(rcode(&two), Some(1));
    // Z, AD and CD are not copied.
    let mut q = query("bl.orbs.example", rtype::SOA, false);
    q[3] = 0x70;
    assert_eq!(raw(&s, &q, false).1[3], 0);
    // EDNS: version 1 is BADVERS; ours is version 0, 1232, no flags; unknown options and flags are
    // ignored.
    let mut q = query("bl.orbs.example", rtype::SOA, true);
    let ttl = q.len() - 6;
    (q[ttl + 1], q[ttl + 2]) = (1, 0x80);
    let m = Message::from_vec(&raw(&s, &q, false).1).unwrap();
    let edns = m.edns.as_ref().unwrap();
    let rcode = u16::from(m.metadata.response_code);
    assert_eq!(
        (rcode, edns.version(), edns.max_payload(), m.answers.len()),
        (16, 0, 1232, 0),
        "BADVERS"
    );
    let mut q = query("bl.orbs.example", rtype::SOA, true);
    let end = q.len();
    (q[end - 4], q[end - 3]) = (0xff, 0xff);
    q[end - 1] = 8;
    q.extend([0, 100, 0, 0, 0, 3, 0, 0]);
    let m = Message::from_vec(&raw(&s, &q, false).1).unwrap();
    let edns = m.edns.as_ref().unwrap();
    assert_eq!(
        (
            m.metadata.response_code,
            m.answers.len(),
            edns.flags().dnssec_ok
        ),
        (ResponseCode::NoError, 1, false)
    );
    assert!(
        raw(&s, &q, false)
            .1
            .windows(10)
            .any(|w| w == b"\0\x03\0\x06test-1"),
        "NSID"
    );
    // A query without OPT gets none back, and one outside of our zones gets REFUSED without AA.
    assert!(
        Message::from_vec(&raw(&s, &query("bl.orbs.example", 6, false), false).1)
            .unwrap()
            .edns
            .is_none()
    );
    let m = ask(&s, "example.org", rtype::A);
    assert_eq!(
        (m.metadata.response_code, m.metadata.authoritative),
        (ResponseCode::Refused, false)
    );
    assert_eq!(
        ask(&s, "bl.orbs.example", rtype::AXFR)
            .metadata
            .response_code,
        ResponseCode::Refused
    );
}

#[test]
fn reply_that_does_not_fit_is_truncated_with_tc() {
    let publish: Vec<String> = (2..64)
        .map(|i| format!("{{reason='x{i}', code='127.0.0.{i}'}}"))
        .collect();
    let text = format!(
        "origin='bl.orbs.example'\nkind='address'\nns=['ns1.orbs.example']\ncontact='h@orbs.example'\npublish=[{}]",
        publish.join(",")
    );
    let mut reasons = crate::model::Reasons::default();
    (2..64).for_each(|i| drop(reasons.add(&format!("x{i}"))));
    let zone = crate::index::ZoneView::new(
        &toml::from_str(&text).unwrap(),
        &reasons,
        &Default::default(),
    )
    .unwrap();
    let mut s = snapshot(&[]);
    s.zones = Arc::new(ZoneSet::new(vec![zone]).unwrap());
    for (edns, stream, cut) in [
        (false, false, true),
        (true, false, false),
        (false, true, false),
    ] {
        let (o, out) = raw(
            &s,
            &query("2.0.0.127.bl.orbs.example", rtype::A, edns),
            stream,
        );
        assert_eq!((o.truncated, out[2] & 2 != 0), (cut, cut));
        assert_eq!(
            Message::from_vec(&out).unwrap().answers.len(),
            if cut { 0 } else { 62 }
        );
    }
}

#[test]
fn c1_client_without_permission_to_query_is_refused_with_the_reason() {
    let mut s = snapshot(&[("198.51.100.7", 0, None)]);
    s.zones = Arc::new(
        ZoneSet::new(vec![zone_with(
            "address",
            "[query]\nallow=['10.0.0.0/8', '::/0']",
        )])
        .unwrap(),
    );
    let (o, out) = raw(
        &s,
        &query("7.100.51.198.bl.orbs.example", rtype::A, true),
        false,
    );
    assert_eq!((o.kind, out[3] & 15), (AnswerKind::Refused, 5));
    assert!(
        out.windows(6)
            .any(|w| w[..2] == [0, 15] && w[4..] == [0, 18]),
        "EDE 18"
    );
    let code = "[query]\nallow=['10.0.0.0/8']\nrefused_code='127.255.255.254'";
    s.zones = Arc::new(ZoneSet::new(vec![zone_with("address", code)]).unwrap());
    assert_eq!(
        answers(&ask(&s, "7.100.51.198.bl.orbs.example", rtype::A)),
        ["127.255.255.254"]
    );
    let ok = Peer::udp([10, 1, 1, 1].into());
    let mut out = vec![0; 1232];
    assert_eq!(
        respond(
            &s,
            &query("7.100.51.198.bl.orbs.example", rtype::A, true),
            ok,
            Time(0),
            &mut out
        )
        .kind,
        AnswerKind::Listed
    );
}

#[test]
fn untrusted_store_answers_servfail() {
    let mut s = snapshot(&[("198.51.100.7", 0, None)]);
    s.sound = false;
    let m = ask(&s, "7.100.51.198.bl.orbs.example", rtype::A);
    assert_eq!(
        (m.metadata.response_code, m.answers.len()),
        (ResponseCode::ServFail, 0)
    );
}

/// A snapshot of these zones, with the listings of [`snapshot`].
fn with_zones(listed: &[(&str, u8, Option<&str>)], zones: Vec<crate::index::ZoneView>) -> Snapshot {
    let mut s = snapshot(listed);
    s.zones = Arc::new(ZoneSet::new(zones).unwrap());
    s
}

#[test]
fn exempt_name_in_a_listed_tree_is_a_node_with_hinfo() {
    let mut b = Builder::default();
    let fact = RawFact {
        aged: Default::default(),
        reason: ReasonId(0),
        source: SourceId(0),
        exclusion: false,
        text: Default::default(),
    };
    for (s, facts) in [
        (
            ".bad.test",
            RawFacts {
                exempt: false,
                facts: vec![fact],
            },
        ),
        (
            ".good.bad.test",
            RawFacts {
                exempt: true,
                facts: vec![],
            },
        ),
    ] {
        let id = b.intern(&facts);
        let mut c = Changes::default();
        b.add(&mut c, &s.parse().unwrap(), id);
        b.apply(c);
    }
    let s = Snapshot {
        tables: b.tables().clone(),
        ..snapshot(&[])
    };
    for qtype in [rtype::HINFO, rtype::ANY] {
        let m = ask(&s, "good.bad.test.dbl.orbs.example", qtype);
        assert_eq!(
            (answers(&m), m.answers[0].ttl, m.authorities.len()),
            (vec!["exempt ".into()], 300, 0)
        );
    }
    for qtype in [rtype::A, rtype::TXT] {
        let m = ask(&s, "good.bad.test.dbl.orbs.example", qtype);
        assert_eq!(
            (m.metadata.response_code, m.answers.len(), soa_ttl(&m)),
            (ResponseCode::NoError, 0, Some(60))
        );
    }
    let m = ask(&s, "x.bad.test.dbl.orbs.example", rtype::HINFO);
    assert_eq!(
        (m.metadata.response_code, m.answers.len()),
        (ResponseCode::NoError, 0)
    );
}

#[test]
fn equal_texts_are_one_record_and_the_first_reason_with_a_text_is_used() {
    let listed = [
        ("198.51.100.7", 0, Some("same $")),
        ("198.51.100.8", 1, None),
        ("198.51.100.9", 0, Some("")),
    ];
    let mut s = with_zones(&listed, vec![zone_with("address", "txt = 'all'")]);
    let facts = |r, text: &str| RawFact {
        aged: Default::default(),
        reason: ReasonId(r),
        source: SourceId(0),
        exclusion: false,
        text: text.into(),
    };
    let mut b = Builder::default();
    for (a, one, two) in [
        ("198.51.100.7", "same $", "same $"),
        ("198.51.100.8", "one", "two"),
        ("198.51.100.9", "", "two"),
    ] {
        let id = b.intern(&RawFacts {
            exempt: false,
            facts: vec![facts(0, one), facts(1, two)],
        });
        let mut c = Changes::default();
        b.add(&mut c, &a.parse().unwrap(), id);
        b.apply(c);
    }
    s.tables = b.tables().clone();
    let txt = |s: &Snapshot, d: u8| {
        answers(&ask(
            s,
            &format!("{d}.100.51.198.bl.orbs.example"),
            rtype::TXT,
        ))
    };
    assert_eq!(txt(&s, 7), ["same 198.51.100.7"]);
    assert_eq!(txt(&s, 8), ["one", "two"]);
    s.zones = Arc::new(ZoneSet::new(vec![zone_with("address", "")]).unwrap());
    assert_eq!(
        (txt(&s, 8), txt(&s, 9)),
        (vec!["one".to_string()], vec!["two".to_string()])
    );
}

#[test]
fn reply_to_edns_has_opt_and_the_question() {
    let s = snapshot(&[]);
    let name = "bl.orbs.example";
    let check = |q: &[u8], rcode: u16, question: bool, opt: bool| {
        let (o, out) = raw(&s, q, false);
        let m = Message::from_vec(&out).unwrap();
        assert_eq!(
            (o.kind, u16::from(m.metadata.response_code)),
            (AnswerKind::Malformed, rcode),
            "{q:?}"
        );
        assert_eq!(
            (m.queries.len(), m.edns.is_some()),
            (usize::from(question), opt),
            "{q:?}"
        );
        assert_eq!(m.edns.map_or(1232, |e| e.max_payload()), 1232);
        assert!(!question || out[12..].starts_with(&query(name, rtype::SOA, false)[12..]));
        assert!(!m.metadata.authoritative && out[2] & 0x78 == q[2] & 0x78);
    };
    let mut notify = query(name, rtype::SOA, true);
    notify[2] |= 4 << 3;
    check(&notify, 4, true, true);
    let mut plain = query(name, rtype::SOA, false);
    plain[2] |= 4 << 3;
    check(&plain, 4, true, false);
    let (mut two, mut cut, mut missing) = (
        query(name, rtype::SOA, true),
        query(name, rtype::SOA, true),
        query(name, rtype::SOA, true),
    );
    two[11] = 2;
    two.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    check(&two, 1, true, true);
    let end = cut.len();
    cut[end - 1] = 9; // more option bytes than there are
    check(&cut, 1, true, true);
    missing[11] = 3; // more records than there are
    check(&missing, 1, true, true);
    let mut questions = [
        &[0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1][..],
        &query(name, 1, false)[12..],
        &query(name, 1, false)[12..],
    ]
    .concat();
    questions.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    check(&questions, 1, false, true);
    check(
        &[
            0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0,
        ],
        1,
        false,
        true,
    );
    check(&[0, 1, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, false, false);
}

#[test]
fn edns_options_that_do_not_fit_are_left_out() {
    let mut s = with_zones(&[], vec![zone_with("address", "[query]\nallow = []")]);
    s.nsid = "n".repeat(300).into();
    let mut q = query("7.100.51.198.bl.orbs.example", rtype::A, true);
    let end = q.len();
    q[end - 1] = 4;
    q.extend([0, 3, 0, 0]);
    let has = |out: &[u8], what: &[u8]| out.windows(what.len()).any(|w| w == what);
    let (nsid, ede, text) = ([0, 3, 0, MAX_NSID as u8], [0, 15, 0], "may not query");
    let mut parts = std::collections::BTreeSet::new();
    for room in 0..600 {
        let mut out = vec![0xee; room];
        let o = respond(&s, &q, peer(false), Time(0), &mut out);
        if o.len == 0 {
            assert!(room < end - 11, "{room}");
            continue;
        }
        let out = &out[..o.len];
        let m = Message::from_vec(out).unwrap();
        assert_eq!(m.metadata.response_code, ResponseCode::Refused);
        assert_eq!(m.edns.is_some(), room >= end, "{room}");
        parts.insert((has(out, &nsid), has(out, &ede), has(out, text.as_bytes())));
    }
    let combinations = [
        (false, false, false),
        (false, true, false),
        (false, true, true),
        (true, true, true),
    ];
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), combinations);
}

#[test]
fn counters_follow_the_zone_and_a_refused_code_counts_as_refused() {
    let code = "[query]\nallow=['10.0.0.0/8']\nrefused_code='127.255.255.254'";
    let mut s = with_zones(
        &[],
        vec![zone_with("address", code), zone_with("domain", "")],
    );
    let of = |s: &Snapshot, name: &str| {
        let o = raw(s, &query(name, rtype::A, true), false).0;
        (o.zone, o.kind)
    };
    assert_eq!(
        of(&s, "7.100.51.198.bl.orbs.example"),
        (Some(0), AnswerKind::Refused)
    );
    assert_eq!(
        of(&s, "x.dbl.orbs.example"),
        (Some(1), AnswerKind::NotListed)
    );
    s.zones = Arc::new(s.zones.next(vec![zone_with("domain", "")]).unwrap());
    assert_eq!(
        of(&s, "x.dbl.orbs.example"),
        (Some(1), AnswerKind::NotListed),
        "the other zone is gone"
    );
    assert_eq!(
        of(&s, "7.100.51.198.bl.orbs.example"),
        (None, AnswerKind::Refused)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Any datagram gets a reply that hickory-proto accepts, within its limit, or none.
    #[test]
    fn any_datagram_is_answered_or_dropped(mut bytes in prop::collection::vec(any::<u8>(), 0..80), shape in 0..4u8, cut in 0..60usize, stream: bool) {
        let s = snapshot(&[("198.51.100.7", 0, None), ("198.51.0.0/20", 1, None), ("2606:4700::/32", 0, None), ("*.bad.test", 1, None)]);
        if shape > 0 {
            let name = ["7.100.51.198.bl.orbs.example", "x.bad.test.dbl.orbs.example", "0.7.4.6.0.6.2.bl.orbs.example"][usize::from(shape) - 1];
            let mut q = query(name, 1, cut % 2 == 0);
            for (i, b) in bytes.iter().enumerate().take(3) {
                let at = (usize::from(*b) * 7 + i * 13) % q.len();
                q[at] ^= bytes[bytes.len() - 1 - i];
            }
            q.truncate(q.len() - cut % 8);
            bytes = q;
        }
        let (o, out) = raw(&s, &bytes, stream);
        prop_assert!(stream || out.len() <= UDP_SIZE);
        prop_assert_eq!(o.kind == AnswerKind::Dropped, out.is_empty());
        if !out.is_empty() {
            prop_assert!(out[2] & 0x80 != 0 && out[..2] == bytes[..2]);
            prop_assert!(Message::from_vec(&out).is_ok(), "{:?}", out);
        }
    }
}
