//! The entry point of all transports: a query's bytes in, a reply's bytes out.

use std::net::IpAddr;

use super::{
    AnswerKind, Peer, QueryOutcome, QueryTime, Rcode, TCP_SIZE,
    answer::{self, ZonePlace},
    encode,
    query::{NameBuf, Query, QueryError},
    tsig,
    wire::rtype,
};
use crate::index::{Prefetch, Snapshot};

/// Answers a query. All transports but UDP call only this function.
///
/// `out` holds at least [`TCP_SIZE`] bytes for a stream and [`super::UDP_SIZE`] for UDP. It does no
/// I/O, takes no lock, and allocates only for a signature.
pub fn respond(
    snapshot: &Snapshot,
    query: &[u8],
    peer: Peer<'_>,
    now: impl Into<QueryTime>,
    out: &mut [u8],
) -> QueryOutcome {
    let mut name_buf = NameBuf::default();
    PendingQuery::read(snapshot, query, &mut name_buf).answer(snapshot, peer, now, out)
}

/// A message that was read and not answered yet: the first half of [`respond`]. UDP reads a whole
/// batch before it answers any of it, so that [`prefetch`] knows what the answers will look up.
#[derive(Debug)]
pub struct PendingQuery<'a> {
    message: &'a [u8],
    query: Result<Query<'a>, QueryError>,
    /// What the name of the question is; `None` if it is in no zone.
    place: Option<ZonePlace<'a>>,
}

impl<'a> PendingQuery<'a> {
    /// Reads a message, whose name is copied to `name_buf`, and finds the zone of the name.
    #[inline]
    pub fn read(
        snapshot: &Snapshot,
        message: &'a [u8],
        name_buf: &'a mut NameBuf,
    ) -> PendingQuery<'a> {
        let query = Query::parse(message, name_buf);
        let place = query.as_ref().ok();
        PendingQuery {
            message,
            place: place.and_then(|q| ZonePlace::of(snapshot, q.labels)),
            query,
        }
    }

    /// Answers it from the snapshot by which it was read; see [`respond`].
    #[inline]
    pub fn answer(
        self,
        snapshot: &Snapshot,
        peer: Peer<'_>,
        now: impl Into<QueryTime>,
        out: &mut [u8],
    ) -> QueryOutcome {
        let now = now.into();
        let mut query = match self.query {
            Ok(q) => q,
            Err(QueryError::Drop) => return QueryOutcome::without_zone(0, AnswerKind::Dropped),
            Err(QueryError::Reply {
                rcode,
                question_end,
                edns,
            }) => {
                let len = encode::error_reply(self.message, rcode, question_end, edns, out);
                return QueryOutcome::without_zone(len, AnswerKind::Malformed);
            }
        };
        let mut session = None;
        if query.signed {
            match tsig::verify(&snapshot.keys, self.message, now.wall) {
                Ok(s) => session = s,
                Err(rejected) => return reject(*rejected, &query, out),
            }
        }
        if let Some(e) = query.edns.as_mut().filter(|_| peer.is_datagram()) {
            e.keepalive = false; // RFC 7828 section 3.2.1: never over UDP
        }
        let mut items = None;
        let answer = answer::answer(
            snapshot,
            &query,
            self.place.as_ref(),
            peer,
            session.as_ref().map(tsig::TsigSession::key),
            now.uptime,
            &mut items,
        );
        let limit = if peer.is_datagram() {
            query.udp_limit()
        } else {
            TCP_SIZE
        }
        .min(out.len());
        let signature = session.as_ref().map_or(0, tsig::TsigSession::size);
        let (mut len, truncated) = encode::encode(
            snapshot,
            &query,
            &answer,
            &mut out[..limit.saturating_sub(signature)],
        );
        if let Some(session) = session.as_mut().filter(|_| len > 0) {
            len = session.sign(&mut out[..limit], len, now.wall).unwrap_or(0);
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
}

/// Reads ahead what the answers to some queries will look up.
#[inline]
pub fn prefetch<'p, 'a: 'p>(
    snapshot: &Snapshot,
    queries: impl Iterator<Item = &'p PendingQuery<'a>>,
) {
    let mut prefetch = Prefetch::new(&snapshot.tables);
    for place in queries.filter_map(|q| q.place.as_ref()) {
        prefetch.add(&snapshot.zones.all()[place.zone], &place.asked);
    }
    prefetch.run();
}

/// Returns the address whose listing a query asks for: that in its name. `None` for other names and
/// other types of records, and for zones of recent log-ins, whose addresses belong to users.
pub fn queried_address(snapshot: &Snapshot, message: &[u8]) -> Option<IpAddr> {
    let mut name_buf = NameBuf::default();
    let query = Query::parse(message, &mut name_buf).ok()?;
    if !matches!(query.qtype, rtype::A | rtype::TXT | rtype::ANY) {
        return None;
    }
    let place = ZonePlace::of(snapshot, query.labels)?;
    let zone = &snapshot.zones.all()[place.zone];
    match zone.logins {
        None => place.asked.address(zone),
        Some(_) => None,
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
