use proptest::prelude::*;

use super::*;
use crate::index::records::wire_name;

fn soa_record(serial: u32) -> Vec<u8> {
    let numbers = [serial, 10, 5, 100, 1].map(u32::to_be_bytes).concat();
    [
        &[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0][..],
        &numbers,
    ]
    .concat()
}

fn a(label: &str, last: u8) -> Vec<u8> {
    [
        &[label.len() as u8],
        label.as_bytes(),
        &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, last],
    ]
    .concat()
}

fn message(kind: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0, 7, 0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
    out.extend(wire_name("z.example").unwrap());
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(records.concat());
    out
}

/// The changes in a reply: `+` and `-` with names, and `W` for records of a whole zone.
fn read(
    query: TransferQuery,
    messages: &[Vec<u8>],
) -> Result<(Option<TransferEnd>, Vec<String>), String> {
    let zone = wire_name("z.example").unwrap();
    let mut incoming = TransferReader::new(&zone, 7, query);
    let mut out = Vec::new();
    for m in messages {
        incoming.message(m, &mut |c| {
            let (node, ..) = parts(c.row).unwrap();
            out.push(format!(
                "{}{}{}",
                if c.removed { '-' } else { '+' },
                if c.whole { "W" } else { "" },
                name(node)
            ));
            Ok(())
        })?;
    }
    Ok((incoming.end(), out))
}

fn serial(end: Option<TransferEnd>) -> (u8, u32) {
    match end {
        None => (0, 0),
        Some(TransferEnd::UpToDate(s)) => (1, s.serial.0),
        Some(TransferEnd::Axfr(s)) => (2, s.serial.0),
        Some(TransferEnd::Ixfr(s)) => (3, s.serial.0),
    }
}

#[test]
fn axfr_reply_is_between_two_soas_in_any_number_of_messages() {
    let (s, ixfr) = (soa_record, TransferQuery::Ixfr(Serial(1)));
    let one = [message(252, &[s(9), a("x", 2), a("y", 2), s(9)])];
    let many = [
        message(252, &[s(9)]),
        message(252, &[a("x", 2)]),
        message(252, &[a("y", 2), s(9)]),
    ];
    for m in [&one[..], &many] {
        let (end, out) = read(TransferQuery::Axfr, m).unwrap();
        assert_eq!(
            (serial(end), out),
            ((2, 9), vec!["+Wx".to_string(), "+Wy".into()])
        );
    }
    let (end, out) = read(ixfr, &[message(251, &[s(9), a("x", 2), s(9)])]).unwrap();
    assert_eq!((serial(end), out), ((2, 9), vec!["+Wx".to_string()]));
    assert_eq!(
        serial(read(ixfr, &[message(251, &[s(9), s(9)])]).unwrap().0),
        (2, 9),
        "an empty zone"
    );
    // Signatures and names outside the zone are left out.
    let mut outside = a("x", 2);
    outside.splice(2..4, *b"\x01q\x00");
    let mut signed = a("x", 2);
    signed[5] = 46;
    let (end, out) = read(
        TransferQuery::Axfr,
        &[message(252, &[s(9), outside, signed, s(9)])],
    )
    .unwrap();
    assert_eq!((serial(end), out.len()), ((2, 9), 0));
}

#[test]
fn ixfr_reply_is_a_chain_of_differences() {
    let s = soa_record;
    let ixfr = |records: &[Vec<u8>]| read(TransferQuery::Ixfr(Serial(1)), &[message(251, records)]);
    let (end, out) = ixfr(&[
        s(3),
        s(1),
        a("x", 2),
        s(2),
        a("y", 2),
        s(2),
        a("y", 2),
        s(3),
        a("w", 3),
        a("v", 3),
        s(3),
    ])
    .unwrap();
    assert_eq!(
        (serial(end), out.join(" ").as_str()),
        ((3, 3), "-x +y -y +w +v")
    );
    let (end, _) = ixfr(&[s(3), s(1), s(3), a("y", 2), s(3)]).unwrap();
    assert_eq!(serial(end), (3, 3), "condensed, nothing is removed");
    assert_eq!(serial(ixfr(&[s(1)]).unwrap().0), (1, 1));
    assert_eq!(
        serial(ixfr(&[s(0)]).unwrap().0),
        (1, 0),
        "the server has an older serial"
    );
    assert_eq!(
        serial(ixfr(&[s(3)]).unwrap().0),
        (0, 0),
        "the reply is incomplete"
    );
    assert_eq!(serial(ixfr(&[s(3), s(1), a("x", 2)]).unwrap().0), (0, 0));
    for wrong in [
        vec![s(3), s(2), a("x", 2), s(3), s(3)], // not from our serial
        vec![s(3), s(1), s(2), a("x", 2), s(1), s(3), s(3)], // not contiguous
        vec![s(3), s(1), a("x", 2), s(1), s(3)], // not forward
        vec![s(3), s(1), a("x", 2), s(9), s(9)], // beyond the newest
        vec![s(3), s(1), a("x", 2), s(3), s(3), a("y", 2)], // records after the end
        vec![s(3), a("x", 2), s(4)],             // a whole zone with two serials
        vec![a("x", 2), s(3)],                   // no SOA first
    ] {
        assert!(ixfr(&wrong).is_err());
    }
}

#[test]
fn reply_to_another_query_is_refused_with_a_reason() {
    let good = message(252, &[soa_record(9), soa_record(9)]);
    for (at, value, part) in [
        (1, 8, "not a reply"),
        (2, 4, "not a reply"),
        (3, 5, "allow this host"),
        (3, 9, "NOTAUTH"),
        (2, 0x86, "truncated"),
        (13, b'q', "a different question"),
        (5, 0, "a different question"),
    ] {
        let mut m = good.clone();
        m[at] = value;
        let e = read(TransferQuery::Axfr, &[m]).unwrap_err();
        assert!(e.contains(part), "{part}: {e}");
    }
    assert!(
        read(TransferQuery::Axfr, &[good.clone(), good])
            .unwrap_err()
            .contains("after the last SOA")
    );
}

#[test]
fn transfer_queries_are_encoded_and_notify_is_parsed() {
    let zone = wire_name("z.example").unwrap();
    let q = transfer_query(7, &zone, TransferQuery::Ixfr(Serial(5)));
    let m = hickory_proto::op::Message::from_vec(&q).unwrap();
    assert_eq!(m.queries[0].to_string(), "z.example. IN IXFR");
    assert!(
        m.authorities[0].data.to_string().contains(" 5 "),
        "{}",
        m.authorities[0].data
    );
    let mut n = transfer_query(7, &zone, TransferQuery::Soa);
    n[2] = 0x24;
    assert_eq!(notified(&n), Some((zone.clone(), None)));
    n[7] = 1;
    n.extend(soa_record(77));
    assert_eq!(notified(&n), Some((zone, Some(Serial(77)))));
    n[2] = 0xa4;
    assert_eq!(notified(&n), None, "a reply");
}

/// Compressed and uncompressed names in any letter case give the same row, so that a removal finds
/// its record.
#[test]
fn names_in_record_data_are_decompressed() {
    let mx = |name: &[u8]| {
        [
            &[
                1,
                b'X',
                0xc0,
                12,
                0,
                15,
                0,
                1,
                0,
                0,
                0,
                0,
                0,
                name.len() as u8 + 2,
                0,
                10,
            ],
            name,
        ]
        .concat()
    };
    let rows = |records: &[Vec<u8>]| {
        let zone = wire_name("z.example").unwrap();
        let mut out = Vec::new();
        TransferReader::new(&zone, 7, TransferQuery::Axfr)
            .message(&message(252, records), &mut |c| {
                out.push(c.row.to_vec());
                Ok(())
            })
            .unwrap();
        out
    };
    let out = rows(&[
        soa_record(1),
        mx(b"\x01m\xc0\x0c"),
        mx(b"\x01M\x01Z\x07Example\0"),
    ]);
    assert_eq!(out[0], out[1]);
    assert_eq!(out[0], b"\x01x\0\0\x0f\0\x0a\x01m\x01z\x07example\0");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, query in prop::sample::select(vec![TransferQuery::Soa, TransferQuery::Axfr, TransferQuery::Ixfr(Serial(1))]), cut in 0usize..200, flip in 0usize..200, with: u8) {
        let zone = wire_name("z.example").unwrap();
        let _ = TransferReader::new(&zone, 7, query).message(&bytes, &mut |_| Ok(()));
        let _ = (notified(&bytes), parts(&bytes), name(&bytes));
        // Also a valid reply with small changes.
        let mut near = message(252, &[soa_record(9), a("x", 2), soa_record(9)]);
        let len = near.len();
        near[flip % len] = with;
        near.truncate(len - cut % len);
        near.append(&mut bytes);
        let _ = TransferReader::new(&zone, 7, TransferQuery::Axfr).message(&near, &mut |_| Ok(()));
    }
}
