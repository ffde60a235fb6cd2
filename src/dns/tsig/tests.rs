use super::*;
use hickory_proto::rr::TSigner;
use proptest::prelude::*;

/// When dnspython and dig signed what stands in the vectors.
const NOW: Time = Time(1_800_000_000);
const DIG: Time = Time(1795549482);

fn vectors(of: &str) -> Vec<Vec<u8>> {
    let lines = include_str!("vectors.txt")
        .lines()
        .filter_map(|l| l.strip_prefix(of)?.strip_prefix(' '));
    lines
        .map(|l| data_encoding::HEXLOWER.decode(l.as_bytes()).unwrap())
        .collect()
}

fn key(algorithm: Algorithm) -> TsigKey {
    TsigKey::new(
        "mirror.orbs.example",
        algorithm,
        &(0..32).collect::<Vec<u8>>(),
    )
    .unwrap()
}

fn keys(algorithm: Algorithm) -> Keys {
    Keys::new(vec![key(algorithm)]).unwrap()
}

/// A message without its TSIG, with room behind it.
fn bare(message: &[u8]) -> (Vec<u8>, usize) {
    let at = find(message).unwrap().unwrap();
    let mut out = message[..at].to_vec();
    out[11] -= 1;
    out.resize(2048, 0);
    (out, at)
}

fn tsig(message: &[u8]) -> TSIG {
    read(message, find(message).unwrap().unwrap()).unwrap().1
}

/// A query for `name` in wire form.
fn query(name: &[u8], id: u16) -> Vec<u8> {
    let id = id.to_be_bytes();
    [
        &[id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        name,
        &[0, 6, 0, 1],
    ]
    .concat()
}

fn signed(key: TsigKey, message: &[u8], now: Time) -> (TsigSession, Vec<u8>) {
    let mut buf = message.to_vec();
    buf.resize(4096, 0);
    let (session, end) = TsigSession::request(Arc::new(key), &mut buf, message.len(), now).unwrap();
    assert_eq!(end, message.len() + session.size());
    buf.truncate(end);
    (session, buf)
}

#[test]
fn tsig_of_requests_and_streams_agrees_with_another_implementation() {
    for algorithm in Algorithm::ALL {
        let request = &vectors(&format!("{} request", algorithm.name()))[0];
        let mut server = verify(&keys(algorithm), request, NOW).unwrap().unwrap();
        assert_eq!(server.key(), "mirror.orbs.example");
        let (body, len) = bare(request);
        let (mut client, ours) = signed(key(algorithm), &body[..len], NOW);
        assert_eq!(tsig(&ours), tsig(request));
        let replies = vectors(&format!("{} reply", algorithm.name()));
        assert_eq!(replies.len(), 5);
        for (i, reply) in replies.iter().enumerate() {
            let is_signed = client.check(reply, NOW).unwrap();
            assert_eq!(
                (is_signed, client.whole()),
                (i < 2 || i == 4, i < 2 || i == 4),
                "message {i}"
            );
            if i < 2 {
                let (mut body, len) = bare(reply);
                let end = server.sign(&mut body, len, NOW).unwrap();
                assert_eq!(tsig(&body[..end]), tsig(reply), "message {i}");
            }
        }
    }
}

#[test]
fn signature_of_dig_is_verified() {
    let request = &vectors("dig request")[0];
    assert!(
        verify(&keys(Algorithm::HmacSha512), request, DIG)
            .unwrap()
            .is_some()
    );
    // The same name with another algorithm is another key.
    let wrong = verify(&keys(Algorithm::HmacSha256), request, DIG).unwrap_err();
    assert_eq!((wrong.fault, wrong.rcode()), (TsigFault::BadKey, 9));
}

#[test]
fn signature_is_verified_by_hickory() {
    let mut name = Name::from_ascii("mirror.orbs.example").unwrap();
    name.set_fqdn(true);
    let signer = TSigner::new((0..32).collect(), TsigAlgorithm::HmacSha384, name, FUDGE).unwrap();
    let (_, request) = signed(key(Algorithm::HmacSha384), &query(b"\x02bl\0", 9), NOW);
    let (mut prior, time, _) = signer.verify_message_byte(&request, None, true).unwrap();
    assert_eq!(time, NOW.0);
    let mut server = verify(&keys(Algorithm::HmacSha384), &request, NOW)
        .unwrap()
        .unwrap();
    for i in 0..4 {
        let mut buf = query(b"\x02bl\0", 9);
        let len = buf.len();
        (buf[2], buf[3]) = (0x84, i);
        buf.resize(1000, 0);
        let end = server
            .sign(&mut buf, len, Time(NOW.0 + u64::from(i)))
            .unwrap();
        (prior, ..) = signer
            .verify_message_byte(&buf[..end], Some(&prior), i == 0)
            .unwrap();
    }
}

/// What a rejected request gets, and what its sender reads in it.
fn answered(
    request: &[u8],
    session: &mut TsigSession,
    keys: &Keys,
    now: Time,
    client_now: Time,
) -> (TsigFault, u8, Vec<u8>, Result<bool, TsigReplyError>) {
    let rejected = verify(keys, request, now).unwrap_err();
    let (fault, rcode, size) = (rejected.fault, rejected.rcode(), rejected.size());
    let mut reply = query(b"\x02bl\x04orbs\x07example\0", 7);
    (reply[2], reply[3]) = (0x81, rcode);
    let len = reply.len();
    reply.resize(2000, 0);
    let end = rejected.sign(&mut reply, len).unwrap();
    assert_eq!(end, len + size);
    reply.truncate(end);
    let said = session.check(&reply, client_now);
    (fault, rcode, reply, said)
}

#[test]
fn tsig_errors_are_those_of_the_rfc() {
    let (keys, good) = (keys(Algorithm::HmacSha256), key(Algorithm::HmacSha256));
    let body = query(b"\x02bl\x04orbs\x07example\0", 7);
    let other =
        |name: &str, secret: u8| TsigKey::new(name, Algorithm::HmacSha256, &[secret; 32]).unwrap();
    // 5.2.1: unsigned BADKEY, with the name that was asked for.
    let (mut s, request) = signed(other("nobody", 1), &body, NOW);
    let (fault, rcode, reply, said) = answered(&request, &mut s, &keys, NOW, NOW);
    assert_eq!(
        (fault, rcode, said),
        (TsigFault::BadKey, 9, Err(TsigReplyError::ServerError(17)))
    );
    assert!(tsig(&reply).mac.is_empty() && tsig(&reply).oid == 7);
    // 5.2.2: unsigned BADSIG.
    let (mut s, request) = signed(other("mirror.orbs.example", 1), &body, NOW);
    let (fault, rcode, reply, said) = answered(&request, &mut s, &keys, NOW, NOW);
    assert_eq!(
        (fault, rcode, said),
        (TsigFault::BadSig, 9, Err(TsigReplyError::ServerError(16)))
    );
    assert!(tsig(&reply).mac.is_empty());
    // 5.2.3: BADTIME, signed with the client's time, and ours in the other data; both ends of the
    // fudge are in.
    let (s, request) = signed(good.clone(), &body, NOW);
    for (now, fine) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let now = Time(NOW.0.wrapping_add_signed(now));
        assert_eq!(verify(&keys, &request, now).is_ok(), fine, "{now:?}");
        if !fine {
            let (fault, rcode, reply, said) = answered(&request, &mut s.clone(), &keys, now, NOW);
            assert_eq!(
                (fault, rcode, said),
                (TsigFault::BadTime, 9, Err(TsigReplyError::ServerError(18)))
            );
            assert_eq!(
                (tsig(&reply).time, tsig(&reply).other),
                (NOW.0, now.0.to_be_bytes()[2..].to_vec())
            );
        }
    }
    // 5.2.2.1 and 5.2.4: a MAC cut to half is looked at and refused by our choice; a shorter one is
    // malformed.
    for (mac, want) in [
        (31, TsigFault::BadTrunc),
        (16, TsigFault::BadTrunc),
        (15, TsigFault::Format),
        (0, TsigFault::Format),
    ] {
        let mut cut = tsig(&request);
        cut.mac.truncate(mac);
        let (mut message, len) = bare(&request);
        let record = bytes(
            &Name::from_ascii("mirror.orbs.example.").unwrap(),
            cut.clone(),
        )
        .unwrap();
        let end = append(&mut message, len, &record).unwrap();
        let wrong = verify(&keys, &message[..end], NOW).unwrap_err();
        assert_eq!(
            (wrong.fault, wrong.rcode()),
            (want, if want == TsigFault::Format { 1 } else { 9 }),
            "{mac}"
        );
        if want == TsigFault::BadTrunc {
            let mut s = TsigSession {
                prior: cut.mac,
                ..s.clone()
            };
            assert_eq!(
                answered(&message[..end], &mut s, &keys, NOW, NOW).3,
                Err(TsigReplyError::ServerError(22))
            );
            message[len - 1] ^= 1; // and a wrong one that is cut is BADSIG all the same
            assert_eq!(
                verify(&keys, &message[..end], NOW).unwrap_err().fault,
                TsigFault::BadSig
            );
        }
    }
}

#[test]
fn signed_tsig_error_agrees_with_another_implementation() {
    let request = &vectors("badtime request")[0];
    let theirs = &vectors("badtime reply")[0];
    let rejected = verify(&keys(Algorithm::HmacSha256), request, Time(NOW.0 + 1000)).unwrap_err();
    let (mut body, len) = bare(theirs);
    let end = rejected.sign(&mut body, len).unwrap();
    assert_eq!(tsig(&body[..end]), tsig(theirs));
}

#[test]
fn tsig_that_is_not_the_last_record_is_malformed() {
    let (_, request) = signed(key(Algorithm::HmacSha256), &query(b"\x02bl\0", 7), NOW);
    let at = find(&request).unwrap().unwrap();
    let fault = |m: &[u8]| {
        verify(&keys(Algorithm::HmacSha256), m, NOW)
            .unwrap_err()
            .fault
    };
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let with = |tail: &[u8], counts: [u8; 3]| {
        let mut m = [&request, tail].concat();
        (m[7], m[9], m[11]) = (counts[0], counts[1], counts[2]);
        m
    };
    for (wrong, what) in [
        (with(&opt, [0, 0, 2]), "before another record"),
        (with(&request[at..], [0, 0, 2]), "twice"),
        (with(&[], [1, 0, 0]), "an answer"),
        (with(&[], [0, 1, 0]), "an authority"),
        (with(&[0], [0, 0, 1]), "something behind it"),
        (request[..request.len() - 1].to_vec(), "cut"),
        (request[..11].to_vec(), "no header"),
    ] {
        assert_eq!(fault(&wrong), TsigFault::Format, "{what}");
    }
    // Its class is ANY and its TTL 0.
    let class = at + "mirror.orbs.example".len() + 2 + 3;
    for place in [class, class + 4] {
        let mut m = request.clone();
        m[place] ^= 1;
        assert_eq!(fault(&m), TsigFault::Format);
    }
    assert_eq!(find(&query(b"\x02bl\0", 7)), Ok(None));
    // Other additional records may stand before it.
    let body = [query(b"\x02bl\0", 7), opt.to_vec()].concat();
    let mut body = body;
    body[11] = 1;
    let (_, request) = signed(key(Algorithm::HmacSha256), &body, NOW);
    assert!(
        verify(&keys(Algorithm::HmacSha256), &request, NOW)
            .unwrap()
            .is_some()
    );
}

/// The messages of a stream, of which only some are signed.
fn stream(server: &mut TsigSession, signed: impl Fn(usize) -> bool, n: usize) -> Vec<Vec<u8>> {
    let one = |i: usize| {
        let mut m = query(b"\x02bl\0", 7);
        let len = m.len();
        (m[2], m[3]) = (0x84, (i % 16) as u8);
        m.resize(600, 0);
        let end = match signed(i) {
            true => server.sign(&mut m, len, NOW).unwrap(),
            false => {
                // What a server does that leaves some unsigned: they count for the next MAC.
                let mut context = server.pending.take().unwrap_or_else(|| server.context());
                context.update(&m[..len]);
                server.pending = Some(context);
                len
            }
        };
        m.truncate(end);
        m
    };
    (0..n).map(one).collect()
}

#[test]
fn stream_is_trusted_as_far_as_it_is_signed() {
    let keys = keys(Algorithm::HmacSha256);
    let (client, request) = signed(key(Algorithm::HmacSha256), &query(b"\x02bl\0", 7), NOW);
    let server = verify(&keys, &request, NOW).unwrap().unwrap();
    let all = stream(&mut server.clone(), |_| true, 5);
    let read = |messages: &[Vec<u8>]| {
        let mut c = client.clone();
        messages
            .iter()
            .try_for_each(|m| c.check(m, NOW).map(drop))
            .map(|()| c.whole())
    };
    assert_eq!(read(&all), Ok(true));
    assert_eq!(read(&[]), Ok(false));
    let mut other = all.clone();
    other.swap(2, 3);
    assert_eq!(read(&other), Err(TsigReplyError::Mac), "another order");
    other = all.clone();
    other.remove(1);
    assert_eq!(read(&other), Err(TsigReplyError::Mac), "one left out");
    other = all.clone();
    other[3] = bare(&all[3]).0[..19].to_vec();
    assert_eq!(
        read(&other),
        Err(TsigReplyError::Mac),
        "one robbed of its TSIG"
    );
    assert_eq!(
        read(&[query(b"\x02bl\0", 7)]),
        Err(TsigReplyError::Unsigned),
        "the first has to be signed"
    );
    let mut late = client.clone();
    assert_eq!(
        late.check(&all[0], Time(NOW.0 + 301)),
        Err(TsigReplyError::Time)
    );
    // Up to 99 unsigned ones in between.
    for (n, fine) in [(100, true), (101, false)] {
        let mut server = TsigSession { ..server.clone() };
        let messages = stream_of(&mut server, n);
        assert_eq!(read(&messages).is_ok(), fine, "{n}");
        assert!(
            !read(&messages[..messages.len() - 1]).unwrap_or(false),
            "the last has to be signed"
        );
    }
}

/// A signed message, unsigned ones up to the place `n`, and there a signed one.
fn stream_of(server: &mut TsigSession, n: usize) -> Vec<Vec<u8>> {
    let mut out = stream(server, |_| true, 1);
    let unsigned = stream(server, |_| false, n - 1);
    out.extend(unsigned);
    // The signed one is over all of them.
    let mut m = query(b"\x02bl\0", 7);
    let len = m.len();
    m[2] = 0x84;
    let mut tsig = server.blank(NOW);
    let mut context = server.pending.take().unwrap_or_else(|| server.context());
    context.update(&m);
    context.update(&timers(&tsig));
    tsig.mac = context.sign().as_ref().to_vec();
    m.resize(600, 0);
    let end = append(&mut m, len, &bytes(&server.owner, tsig).unwrap()).unwrap();
    m.truncate(end);
    out.push(m);
    out
}

#[test]
fn original_id_is_signed_and_names_ignore_case() {
    let keys = keys(Algorithm::HmacSha256);
    let (_, mut request) = signed(key(Algorithm::HmacSha256), &query(b"\x02bl\0", 7), NOW);
    let at = find(&request).unwrap().unwrap();
    request[0] ^= 0xff; // a forwarder's own ID
    request[at + 1] = b'M';
    request[at + 32] ^= 0x20; // in the algorithm's name
    assert_eq!(&request[at + 31..at + 35], b"\x0bHma".as_slice());
    let mut server = verify(&keys, &request, NOW).unwrap().unwrap();
    let mut reply = query(b"\x02bl\0", 7);
    reply.resize(400, 0);
    let end = server.sign(&mut reply, 20, NOW).unwrap();
    assert_eq!(tsig(&reply[..end]).oid, 7);
    let mut small = vec![0; 20 + server.size() - 1];
    assert_eq!(server.sign(&mut small, 20, NOW), None, "no room");
}

proptest! {
    #[test]
    fn signed_message_is_verified_and_any_change_is_detected(
        body in prop::collection::vec(any::<u8>(), 0..300), id: u16, which in 0..3usize, place: prop::sample::Index, bit in 0..8u32,
        time in 0u64..1 << 47, shift in -400i64..400,
    ) {
        let algorithm = Algorithm::ALL[which];
        let keys = keys(algorithm);
        // Whatever stands behind the question's fixed part is data of one record.
        let record = [&[0, 0, 16, 0, 1, 0, 0, 0, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
        let mut message = query(b"\x02bl\0", id);
        message[7] = 1;
        message.extend(record);
        let (mut client, request) = signed(key(algorithm), &message, Time(time));
        let now = Time(time.saturating_add_signed(shift));
        let seen = verify(&keys, &request, now);
        prop_assert_eq!(seen.is_ok(), now.0.abs_diff(time) <= 300);
        let mut changed = request.clone();
        let place = place.index(changed.len());
        changed[place] ^= 1 << bit;
        let at = find(&request).unwrap().unwrap();
        // The ID is not signed, and the letter case of the TSIG's names neither.
        let case = place > at && request[place].is_ascii_alphabetic() && bit == 5;
        if place >= 2 && !case {
            let found = verify(&keys, &changed, Time(time));
            prop_assert!(!matches!(found, Ok(Some(_))), "{} {}", place, bit);
        }
        if let Ok(Some(mut server)) = seen {
            let mut reply = message.clone();
            let len = reply.len();
            reply[2] |= 0x80;
            reply.resize(len + server.size(), 0);
            prop_assert_eq!(server.sign(&mut reply, len, now), Some(reply.len()));
            prop_assert_eq!(client.check(&reply, now), Ok(true));
            prop_assert!(client.whole());
        }
    }

    #[test]
    fn any_message_is_verified_or_refused(message in prop::collection::vec(any::<u8>(), 0..200), counts in prop::array::uniform4(0..3u8)) {
        let mut message = message;
        if message.len() >= 12 {
            for (i, n) in counts.into_iter().enumerate() {
                (message[4 + 2 * i], message[5 + 2 * i]) = (0, n);
            }
        }
        let keys = keys(Algorithm::HmacSha256);
        if let Err(r) = verify(&keys, &message, NOW) {
            let mut reply = vec![0; 4096];
            let size = r.size();
            prop_assert_eq!(r.sign(&mut reply, 12), Some(12 + size));
        }
    }
}
