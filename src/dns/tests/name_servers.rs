//! Name servers of a zone and of delegated names, with their addresses.

use super::*;

/// A snapshot of one zone with these name servers and records.
fn with_glue(ns: &str, records: &str) -> Snapshot {
    let text = format!(
        "origin = 'bl.orbs.example'\nkind = 'address'\nns = [{ns}]\ncontact = 'h@orbs.example'\n\
         publish = [{{reason = 'relay', code = '127.0.0.2'}}]\n{records}"
    );
    let mut reasons = crate::model::Reasons::default();
    reasons.add("relay").unwrap();
    let zone = crate::index::ZoneView::new(
        &toml::from_str(&text).unwrap(),
        &reasons,
        &Default::default(),
    )
    .unwrap();
    Snapshot {
        zones: Arc::new(ZoneSet::new(vec![zone]).unwrap()),
        serials: vec![Serial(1)].into(),
        sound: true,
        ..snapshot(&[])
    }
}

fn record_of(name: &str, kind: &str, data: &str) -> String {
    format!("[[record]]\nname = '{name}'\ntype = '{kind}'\ndata = '{data}'\n")
}

/// The parts of an answer as hickory-proto reads them: AA, TC, and the records of each section.
fn sections(
    snapshot: &Snapshot,
    name: &str,
    qtype: u16,
    peer: Peer<'_>,
) -> (bool, bool, [Vec<String>; 3]) {
    let mut q = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    name.split('.')
        .for_each(|l| q.extend([&[l.len() as u8], l.as_bytes()].concat()));
    q.push(0);
    q.extend(qtype.to_be_bytes());
    q.extend([0, 1]);
    let mut out = vec![0; TCP_SIZE];
    let n = respond(snapshot, &q, peer, Time(0), &mut out).len;
    let m = hickory_proto::op::Message::from_vec(&out[..n]).unwrap();
    let text = |all: &[hickory_proto::rr::Record]| {
        all.iter()
            .map(|r| format!("{} {} {}", r.name, r.record_type(), r.data))
            .collect()
    };
    let read = [text(&m.answers), text(&m.authorities), text(&m.additionals)];
    (m.metadata.authoritative, m.metadata.truncation, read)
}

#[test]
fn ns_answer_has_the_addresses_of_name_servers_in_the_zone() {
    let records = record_of("ns1", "A", "192.0.2.1")
        + &record_of("ns1", "AAAA", "2001:db8::1")
        + &record_of("@", "A", "192.0.2.9");
    let s = with_glue(
        "'ns1.bl.orbs.example', 'bl.orbs.example', 'ns2.orbs.example'",
        &records,
    );
    let udp = Peer::udp([192, 0, 2, 77].into());
    let (aa, tc, [answer, authority, additional]) = sections(&s, "BL.orbs.example", rtype::NS, udp);
    assert_eq!((aa, tc, answer.len(), authority.len()), (true, false, 3, 0));
    let owner = |r: &str| r.to_lowercase();
    assert_eq!(
        additional.iter().map(|r| owner(r)).collect::<Vec<_>>(),
        [
            "ns1.bl.orbs.example. a 192.0.2.1",
            "ns1.bl.orbs.example. aaaa 2001:db8::1",
            "bl.orbs.example. a 192.0.2.9"
        ]
    );
    assert_eq!(
        sections(&s, "bl.orbs.example", rtype::SOA, udp).2[2],
        Vec::<String>::new()
    );
    assert_eq!(
        sections(&s, "ns1.bl.orbs.example", rtype::A, udp).2[0],
        ["ns1.bl.orbs.example. A 192.0.2.1"]
    );
}

#[test]
fn ns_answer_leaves_out_addresses_that_do_not_fit() {
    let many: String = (0..40)
        .map(|i| record_of("ns1", "A", &format!("192.0.2.{i}")))
        .collect();
    let s = with_glue(
        "'ns1.bl.orbs.example'",
        &(many + &record_of("ns1", "AAAA", "2001:db8::1")),
    );
    let (_, tc, [answer, _, additional]) = sections(
        &s,
        "bl.orbs.example",
        rtype::NS,
        Peer::udp([192, 0, 2, 77].into()),
    );
    assert_eq!(
        (tc, answer.len(), additional),
        (
            false,
            1,
            vec!["ns1.bl.orbs.example. AAAA 2001:db8::1".to_string()]
        )
    );
    let (_, _, [.., additional]) = sections(
        &s,
        "bl.orbs.example",
        rtype::NS,
        Peer::tcp([192, 0, 2, 77].into()),
    );
    assert_eq!(additional.len(), 41);
}

#[test]
fn delegated_name_is_a_referral_with_glue() {
    let records = record_of("lab", "NS", "ns1.lab.bl.orbs.example")
        + &record_of("lab", "NS", "ns.elsewhere.example")
        + &record_of("ns1.lab", "A", "192.0.2.1")
        + &record_of("ns1.lab", "AAAA", "2001:db8::1");
    let s = with_glue("'ns1.orbs.example'", &records);
    let udp = Peer::udp([192, 0, 2, 77].into());
    for (name, qtype) in [
        ("x.y.lab", rtype::A),
        ("lab", rtype::NS),
        ("lab", rtype::A),
        ("ns1.lab", rtype::A),
    ] {
        let (aa, tc, [answer, authority, additional]) =
            sections(&s, &format!("{name}.bl.orbs.example"), qtype, udp);
        assert_eq!(
            (aa, tc, answer.len(), authority.len()),
            (false, false, 0, 2),
            "{name}"
        );
        assert!(
            authority
                .iter()
                .all(|r| r.starts_with("lab.bl.orbs.example. NS ")),
            "{authority:?}"
        );
        assert_eq!(
            additional,
            [
                "ns1.lab.bl.orbs.example. A 192.0.2.1",
                "ns1.lab.bl.orbs.example. AAAA 2001:db8::1"
            ]
        );
    }
    let (aa, _, [answer, authority, _]) = sections(&s, "lab.bl.orbs.example", rtype::DS, udp);
    assert!(
        aa && answer.is_empty() && authority.len() == 1 && authority[0].contains("SOA"),
        "{authority:?}"
    );
    assert_eq!(
        sections(&s, "xlab.bl.orbs.example", rtype::A, udp).2[1].len(),
        1,
        "a name that only ends like the delegated one"
    );
    // A referral whose glue does not fit is truncated (RFC 9471 section 3.1).
    let many: String = (0..40)
        .map(|i| record_of("ns1.lab", "A", &format!("192.0.2.{i}")))
        .collect();
    let s = with_glue(
        "'ns1.orbs.example'",
        &(record_of("lab", "NS", "ns1.lab.bl.orbs.example") + &many),
    );
    assert!(sections(&s, "x.lab.bl.orbs.example", rtype::A, udp).1);
    let (_, tc, [.., additional]) = sections(
        &s,
        "x.lab.bl.orbs.example",
        rtype::A,
        Peer::tcp([192, 0, 2, 77].into()),
    );
    assert_eq!((tc, additional.len()), (false, 40));
}
