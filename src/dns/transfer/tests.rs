//! Tests of transfers as hickory-proto reads them, and of the laws between them.

use std::{collections::BTreeSet, sync::Arc};

use hickory_proto::{op::Message, rr::RecordType};
use proptest::prelude::*;

use super::{super::tests::query, *};
use crate::{
    dns::{AnswerKind, TCP_SIZE, respond},
    index::{Builder, HASH, RawFact, RawFacts, ZoneSet, any_world, apply, test_zone},
    model::{ReasonId, SourceId, Subject, Time},
};

/// A zone's records as text, without the SOA.
type Zone = BTreeSet<String>;

fn snapshot(builder: &Builder, zone: ZoneView, serial: u32) -> Snapshot {
    Snapshot {
        tables: builder.tables().clone(),
        zones: Arc::new(ZoneSet::new(vec![zone]).unwrap()),
        serials: vec![Serial(serial)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    }
}

/// All records of a transfer as hickory-proto reads them, and its messages.
fn read(
    write: impl FnOnce(&mut MessageWriter) -> bool,
) -> (Vec<hickory_proto::rr::Record>, Vec<Vec<u8>>) {
    let q = query("bl.orbs.example", rtype::AXFR, true);
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut take = |m: &mut Vec<u8>| {
        messages.push(m.clone());
        true
    };
    assert!(write(&mut MessageWriter::new(
        &q,
        q.len() - 11,
        true,
        &mut take
    )));
    let mut records = Vec::new();
    for m in &messages {
        let m = Message::from_vec(m).unwrap();
        assert!(
            m.metadata.authoritative
                && m.metadata.id == 0xabcd
                && m.edns.is_some()
                && m.queries.len() == 1
        );
        records.extend(m.answers.iter().cloned());
    }
    (records, messages)
}

fn text(r: &hickory_proto::rr::Record) -> String {
    format!("{} {} {} {}", r.name, r.ttl, r.record_type(), r.data)
}

fn full(s: &Snapshot, view: View) -> Zone {
    let (records, _) = read(|w| axfr(s, 0, view, w));
    let (first, last) = (&records[0], &records[records.len() - 1]);
    assert!(
        first == last && first.record_type() == RecordType::SOA,
        "from SOA to SOA"
    );
    let inner: Vec<String> = records[1..records.len() - 1].iter().map(text).collect();
    let set: Zone = inner.iter().cloned().collect();
    assert_eq!(set.len(), inner.len(), "each record once");
    assert!(!set.iter().any(|r| r.contains(" SOA ")));
    set
}

/// Applies an IXFR answer as RFC 1995 section 4 says, strictly.
fn applied(mut zone: Zone, difference: &ZoneDifference, view: &ZoneView) -> Zone {
    let (records, _) = read(|w| ixfr(view, difference, w));
    let soas: Vec<usize> = records
        .iter()
        .enumerate()
        .filter(|(_, r)| r.record_type() == RecordType::SOA)
        .map(|(i, _)| i)
        .collect();
    let [0, 1, middle, last] = soas[..] else {
        panic!("{soas:?}")
    };
    assert_eq!(last, records.len() - 1);
    let serial = |i: usize| {
        records[i]
            .data
            .to_string()
            .split(' ')
            .nth(2)
            .unwrap()
            .parse()
            .unwrap()
    };
    let serials: [u32; 4] = [serial(0), serial(1), serial(middle), serial(last)];
    assert_eq!(
        serials,
        [
            difference.to.0,
            difference.from.0,
            difference.to.0,
            difference.to.0
        ]
    );
    for r in &records[2..middle] {
        assert!(zone.remove(&text(r)), "{} was not there", text(r));
    }
    for r in &records[middle + 1..last] {
        assert!(zone.insert(text(r)), "{} was there", text(r));
    }
    assert_eq!(difference.records, records.len() - 4);
    zone
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Law 7: the IXFRs from a to b and from b to c have the result of the IXFR from a to c, and of
    /// the AXFR of c; only changed records are sent.
    #[test]
    fn ixfr_is_axfr_record_for_record(a in any_world(), b in any_world(), c in any_world(), txt in any::<bool>()) {
        let txt = if txt { "txt = 'all'" } else { "" };
        let hashes = test_zone("hash", &[0, 1, 2], &format!("{HASH}\n{txt}"));
        let mapped = test_zone("address", &[2], "ipv4_mapped = true");
        let both = test_zone("domain", &[0, 1], "addresses = 'both'");
        for zone in [test_zone("address", &[0, 1], txt), test_zone("domain", &[0, 1, 2], txt), both, mapped, hashes] {
            let mut builder = Builder::default();
            let mut at = |world: &[(Subject, RawFacts)], serial: u32| {
                apply(&mut builder, world);
                snapshot(&builder, zone.clone(), serial)
            };
            let gone = a.iter().step_by(2).map(|(s, _)| (s.clone(), RawFacts::default()));
            let b: Vec<_> = gone.chain(b.clone()).collect();
            let (one, two, three) = (at(&a, u32::MAX), at(&b, 0), at(&c, 5));
            let subjects = |worlds: &[&[(Subject, RawFacts)]]| worlds.iter().flat_map(|w| w.iter().map(|(s, _)| s.clone())).collect::<Vec<_>>();
            for view in [View::Names, View::Rows] {
                let step = |from: &Snapshot, to: &Snapshot, subjects: &[Subject]| {
                    ZoneDifference::new(&from.tables, serial(from, 0), to, 0, view, subjects)
                };
                let zones = [full(&one, view), full(&two, view), full(&three, view)];
                let way = [
                    (step(&one, &two, &subjects(&[&b])), 0, 1),
                    (step(&two, &three, &subjects(&[&c])), 1, 2),
                    (step(&one, &three, &subjects(&[&b, &c])), 0, 2),
                ];
                for (difference, from, to) in way {
                    let changed = zones[from].symmetric_difference(&zones[to]).count();
                    match difference {
                        None => prop_assert!(changed > zones[to].len(), "{changed} of {}", zones[to].len()),
                        Some(d) => {
                            prop_assert_eq!(d.records, changed, "condensed");
                            prop_assert_eq!(&applied(zones[from].clone(), &d, &zone), &zones[to]);
                        }
                    }
                }
            }
        }
    }
}

fn listed(n: u32) -> Builder {
    let fact = RawFact {
        aged: Default::default(),
        reason: ReasonId(0),
        source: SourceId(0),
        exclusion: false,
        text: Default::default(),
    };
    let facts = RawFacts {
        exempt: false,
        facts: vec![fact],
    };
    let mut builder = Builder::default();
    let world: Vec<_> = (0..n)
        .map(|i| (Subject::host4(0x2d00_0000 + i * 7), facts.clone()))
        .collect();
    apply(&mut builder, &world);
    builder
}

/// Regression: each IPv6 name pointed to the previous one, and dnspython gave up on the chain.
#[test]
fn compressed_names_have_short_chains_of_pointers() {
    let fact = RawFact {
        aged: Default::default(),
        reason: ReasonId(0),
        source: SourceId(0),
        exclusion: false,
        text: Default::default(),
    };
    let facts = RawFacts {
        exempt: false,
        facts: vec![fact],
    };
    let mut builder = Builder::default();
    let six = |i: u128| {
        Subject::V6(crate::model::Prefix6::host(
            0x2a00 << 112 | i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 16,
        ))
    };
    let world: Vec<_> = (0..2_000).map(|i| (six(i), facts.clone())).collect();
    apply(&mut builder, &world);
    let s = snapshot(&builder, test_zone("address", &[0], ""), 3);
    let (_, messages) = read(|w| axfr(&s, 0, View::Names, w));
    let mut most = 0;
    for m in &messages {
        let mut at = 12 + 17 + 4;
        for _ in 0..u16::from_be_bytes([m[6], m[7]]) {
            let (mut hops, mut p) = (0, at);
            while m[p] != 0 {
                let pointer = m[p] & 0xc0 == 0xc0;
                hops += u32::from(pointer);
                p = if pointer {
                    usize::from(u16::from_be_bytes([m[p] & 0x3f, m[p + 1]]))
                } else {
                    p + 1 + usize::from(m[p])
                };
            }
            most = most.max(hops);
            at = crate::dns::wire::skip_name(m, at).unwrap();
            at += 10 + usize::from(u16::from_be_bytes([m[at + 8], m[at + 9]]));
        }
    }
    assert!((2..=4).contains(&most), "{most}");
}

#[test]
fn transfer_messages_are_filled_and_names_compressed() {
    let s = snapshot(&listed(20_000), test_zone("address", &[0], ""), 3);
    let (records, messages) = read(|w| axfr(&s, 0, View::Names, w));
    assert_eq!(
        records.len(),
        2 + 1 + 20_000 * 2 + 4,
        "two SOA, NS, hosts, two test points"
    );
    let last = messages.len() - 1;
    assert!(
        messages[..last]
            .iter()
            .all(|m| m.len() >= FULL && m.len() < FULL + 1024)
    );
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let each = bytes as f64 / records.len() as f64;
    assert!(each < 30.0, "{each} bytes a record");
    // A sink that returns false gets no more messages.
    let (mut received, q) = (0, query("bl.orbs.example", rtype::AXFR, false));
    let mut take = |_: &mut Vec<u8>| {
        received += 1;
        received < 3
    };
    let mut w = MessageWriter::new(&q, q.len(), false, &mut take);
    assert!(!axfr(&s, 0, View::Names, &mut w));
    assert!(
        w.records < 5_000,
        "{} records were written after the sink had stopped",
        w.records
    );
    assert_eq!(received, 3);
}

/// An IXFR query with the mirror's serial.
fn ixfr_query(serial: u32) -> Vec<u8> {
    let mut q = query("bl.orbs.example", rtype::IXFR, false);
    q[9] = 1;
    q.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 24, 0xc0, 12, 0xc0, 12]);
    q.extend(serial.to_be_bytes());
    q.extend([0; 16]);
    q
}

#[test]
fn transfer_request_is_granted_or_refused_by_the_zone_rules() {
    let may = "[transfer]\nallow = ['192.0.2.0/24', 'key:Mirror.', 'cert:ns.example']";
    let s = snapshot(&listed(10), test_zone("address", &[0], ""), 100);
    let mut zone = s.zones.all()[0].spec.clone();
    zone.transfer = toml::from_str::<
        std::collections::BTreeMap<String, crate::model::zone::TransferRules>,
    >(may)
    .unwrap()["transfer"]
        .clone();
    let mut reasons = crate::model::Reasons::default();
    (0..3).for_each(|i| drop(reasons.add(&format!("r{i}"))));
    let view = ZoneView::new(&zone, &reasons, &Default::default()).unwrap();
    let s = Snapshot {
        zones: Arc::new(ZoneSet::new(vec![view]).unwrap()),
        ..s
    };
    let (mirror, stranger) = ([192, 0, 2, 9].into(), [198, 51, 100, 1].into());
    let mut out = vec![0; TCP_SIZE];
    let mut ask = |q: &[u8], peer: Peer<'_>| {
        let o = respond(&s, q, peer, Time(0), &mut out);
        (
            o.kind,
            out[3] & 15,
            Message::from_vec(&out[..o.len]).unwrap().answers.len(),
        )
    };
    let axfr = query("bl.orbs.example", rtype::AXFR, true);
    assert_eq!(ask(&axfr, Peer::tcp(mirror)), (AnswerKind::Transfer, 0, 1));
    assert_eq!(
        ask(&axfr, Peer::udp(mirror)),
        (AnswerKind::Refused, 5, 0),
        "not over UDP"
    );
    assert_eq!(ask(&axfr, Peer::tcp(stranger)), (AnswerKind::Refused, 5, 0));
    let names = ["ns.example".to_string()];
    assert_eq!(
        ask(
            &axfr,
            Peer {
                certificate_names: &names,
                ..Peer::tcp(stranger)
            }
        ),
        (AnswerKind::Transfer, 0, 1)
    );
    assert!(s.zones.all()[0].may_transfer(stranger, Some("mirror"), &[]));
    assert!(!s.zones.all()[0].may_transfer(stranger, Some("mirrors"), &["ns2.example".into()]));
    assert_eq!(
        ask(
            &query("x.bl.orbs.example", rtype::AXFR, true),
            Peer::tcp(mirror)
        ),
        (AnswerKind::Refused, 9, 0),
        "NOTAUTH"
    );
    for peer in [Peer::tcp(mirror), Peer::udp(mirror)] {
        for theirs in [99, 100, 101, 100u32.wrapping_add(1 << 31)] {
            assert_eq!(
                ask(&ixfr_query(theirs), peer),
                (AnswerKind::Transfer, 0, 1),
                "{theirs}"
            );
        }
    }
    assert_eq!(
        ask(
            &query("bl.orbs.example", rtype::IXFR, true),
            Peer::udp(mirror)
        ),
        (AnswerKind::Malformed, 1, 0),
        "no serial"
    );
    let mut cut = ixfr_query(99);
    cut.truncate(cut.len() - 1);
    let o = respond(&s, &cut, Peer::tcp(mirror), Time(0), &mut out);
    assert_eq!((o.kind, out[3] & 15), (AnswerKind::Malformed, 1));
}
