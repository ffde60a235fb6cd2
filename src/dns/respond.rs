//! The entry point of all transports: a query's bytes in, a reply's bytes out.

use super::{
    AnswerKind, Peer, QueryOutcome, Rcode, TCP_SIZE, answer, encode,
    query::{NameBuf, Query, QueryError},
    tsig,
};
use crate::{index::Snapshot, model::Time};

/// Answers a query. Every transport calls only this function.
///
/// `out` holds at least [`TCP_SIZE`] bytes for a stream and [`super::UDP_SIZE`] for UDP. `now` is
/// the wall clock, by which signatures are checked (RFC 8945 section 5.2.3). It does no I/O, takes
/// no lock, and allocates only for a signature.
pub fn respond(
    snapshot: &Snapshot,
    query: &[u8],
    peer: Peer<'_>,
    now: Time,
    out: &mut [u8],
) -> QueryOutcome {
    let mut name_buf = NameBuf::default();
    let mut parsed = match Query::parse(query, &mut name_buf) {
        Ok(q) => q,
        Err(QueryError::Drop) => return QueryOutcome::without_zone(0, AnswerKind::Dropped),
        Err(QueryError::Reply {
            rcode,
            question_end,
            edns,
        }) => {
            let len = encode::error_reply(query, rcode, question_end, edns, out);
            return QueryOutcome::without_zone(len, AnswerKind::Malformed);
        }
    };
    let mut session = None;
    if parsed.signed {
        match tsig::verify(&snapshot.keys, query, now) {
            Ok(s) => session = s,
            Err(rejected) => return reject(*rejected, &parsed, out),
        }
    }
    if let Some(e) = parsed.edns.as_mut().filter(|_| peer.is_datagram()) {
        e.keepalive = false; // RFC 7828 section 3.2.1: never over UDP
    }
    let mut scratch = answer::Scratch::default();
    let answer = answer::answer(
        snapshot,
        &parsed,
        peer,
        session.as_ref().map(tsig::TsigSession::key),
        &mut scratch,
    );
    let limit = if peer.is_datagram() {
        parsed.udp_limit()
    } else {
        TCP_SIZE
    }
    .min(out.len());
    let signature = session.as_ref().map_or(0, tsig::TsigSession::size);
    let (mut len, truncated) = encode::encode(
        snapshot,
        &parsed,
        &answer,
        &mut out[..limit.saturating_sub(signature)],
    );
    if let Some(session) = session.as_mut().filter(|_| len > 0) {
        len = session.sign(&mut out[..limit], len, now).unwrap_or(0);
    }
    let kind = if len == 0 {
        AnswerKind::Dropped
    } else {
        answer.kind()
    };
    QueryOutcome {
        len,
        zone: answer.zone.map(|z| snapshot.zones.all()[z].slot),
        kind,
        truncated,
    }
}

/// The reply to a request with an invalid signature (RFC 8945 section 5.3.2).
#[cold]
fn reject(rejected: tsig::RejectedRequest, query: &Query, out: &mut [u8]) -> QueryOutcome {
    let (rcode, kind) = if rejected.rcode() == 1 {
        (Rcode::FormErr, AnswerKind::Malformed)
    } else {
        (Rcode::NotAuth, AnswerKind::Refused)
    };
    let len = encode::error_reply(
        query.message,
        rcode,
        query.question_end,
        query.edns.is_some(),
        out,
    );
    let len = rejected.sign(out, len).unwrap_or(len);
    QueryOutcome::without_zone(len, kind)
}
