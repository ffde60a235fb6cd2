//! A query to its reply.

use super::{Kind, Malformed, Outcome, Peer, Query, Rcode, Room, TCP_SIZE, answer, encode, tsig};
use crate::{index::Snapshot, model::Time};

/// Answers a query: the one way from its first byte to the last of its reply, for every front.
///
/// `out` holds at least [`TCP_SIZE`] bytes for a stream and [`UDP_SIZE`] for UDP. `now` is the
/// clock, which signatures are held to (RFC 8945 section 5.2.3). No I/O, no lock; no allocation but
/// for a signature.
pub fn respond(
    snapshot: &Snapshot,
    query: &[u8],
    peer: Peer<'_>,
    now: Time,
    out: &mut [u8],
) -> Outcome {
    let mut room = Room::default();
    let mut parsed = match Query::parse(query, &mut room) {
        Ok(q) => q,
        Err(Malformed::Drop) => {
            return Outcome {
                len: 0,
                zone: None,
                kind: Kind::Dropped,
                truncated: false,
            };
        }
        Err(Malformed::Reply {
            rcode,
            question_end,
            edns,
        }) => {
            let len = encode::bare(query, rcode, question_end, edns, out);
            let kind = if len == 0 {
                Kind::Dropped
            } else {
                Kind::Malformed
            };
            return Outcome {
                len,
                zone: None,
                kind,
                truncated: false,
            };
        }
    };
    let mut session = None;
    if parsed.signed {
        match tsig::verify(&snapshot.keys, query, now) {
            Ok(s) => session = s,
            Err(rejected) => return reject(*rejected, &parsed, out),
        }
    }
    if let Some(e) = parsed.edns.as_mut().filter(|_| !peer.stream) {
        e.keepalive = false; // RFC 7828 section 3.2.1: never over UDP
    }
    let mut scratch = answer::Scratch::default();
    let answer = answer::answer(
        snapshot,
        &parsed,
        peer,
        session.as_ref().map(tsig::Session::key),
        &mut scratch,
    );
    let limit = if peer.stream {
        TCP_SIZE
    } else {
        parsed.udp_limit()
    }
    .min(out.len());
    let sealed = session.as_ref().map_or(0, tsig::Session::size);
    let (mut len, truncated) = encode::encode(
        snapshot,
        &parsed,
        &answer,
        &mut out[..limit.saturating_sub(sealed)],
    );
    if let Some(session) = session.as_mut().filter(|_| len > 0) {
        len = session.sign(&mut out[..limit], len, now).unwrap_or(0);
    }
    let kind = if len == 0 {
        Kind::Dropped
    } else {
        answer.kind()
    };
    Outcome {
        len,
        zone: answer.zone.map(|z| snapshot.zones.all()[z].slot),
        kind,
        truncated,
    }
}

/// The reply to a request whose signature is not right (RFC 8945 section 5.3.2).
#[cold]
fn reject(rejected: tsig::Rejected, query: &Query, out: &mut [u8]) -> Outcome {
    let (rcode, kind) = if rejected.rcode() == 1 {
        (Rcode::FormErr, Kind::Malformed)
    } else {
        (Rcode::NotAuth, Kind::Refused)
    };
    let len = encode::bare(
        query.message,
        rcode,
        query.question_end,
        query.edns.is_some(),
        out,
    );
    let len = rejected.sign(out, len).unwrap_or(len);
    Outcome {
        len,
        zone: None,
        kind: if len == 0 { Kind::Dropped } else { kind },
        truncated: false,
    }
}
