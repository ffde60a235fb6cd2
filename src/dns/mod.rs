//! The nameserver, without sockets: a query's bytes in, an answer's bytes out.

use std::net::IpAddr;

use crate::{index::Snapshot, model::Time};

pub mod answer;
pub mod encode;
pub mod incoming;
#[cfg(test)]
#[path = "law8/tests.rs"]
mod law8;
pub mod lifetime;
pub mod notify;
pub mod query;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod tsig;

pub use answer::{Answer, Rcode};
use query::{Malformed, Query, Room};

/// Our EDNS buffer size: what fits every path without fragments (DNS flag day 2020).
pub const UDP_SIZE: usize = 1232;
/// The longest reply over UDP to a query without EDNS (RFC 1035 section 2.3.4).
pub const PLAIN_SIZE: usize = 512;
/// The longest message over TCP.
pub const TCP_SIZE: usize = 65_535;

/// The longest name this server gives itself for NSID (RFC 5001); what is longer is cut.
pub const MAX_NSID: usize = 64;

/// Where a query came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The client.
    pub addr: IpAddr,
    /// Over a stream (TCP and its like) and not UDP.
    pub stream: bool,
    /// An answer is one message (HTTPS, QUIC): no transfers.
    pub single: bool,
    /// The names in the certificate that the client has proved to have; none without one.
    pub names: &'a [String],
}

impl Peer<'_> {
    /// A client that sent a datagram.
    pub fn udp(addr: IpAddr) -> Peer<'static> {
        Peer { addr, stream: false, single: false, names: &[] }
    }
    /// A client on a plain stream.
    pub fn tcp(addr: IpAddr) -> Peer<'static> {
        Peer { addr, stream: true, single: false, names: &[] }
    }
    /// A client that gets one message, of any length, for each query.
    pub fn single(addr: IpAddr) -> Peer<'static> {
        Peer { single: true, ..Peer::tcp(addr) }
    }
}

/// What became of a query; what the counters count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The length of the reply in the output; 0 for silence.
    pub len: usize,
    /// The zone that was asked, by its slot in the counters ([`crate::index::ZoneView::slot`]).
    pub zone: Option<usize>,
    /// What kind of answer it is.
    pub kind: Kind,
    /// Whether it was cut short (TC).
    pub truncated: bool,
}

/// What kind of answer a query got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Listed, or another record that is there.
    Listed,
    /// NXDOMAIN.
    NotListed,
    /// The name is there, the type is not.
    NoData,
    /// REFUSED.
    Refused,
    /// FORMERR, NOTIMP, BADVERS.
    Malformed,
    /// SERVFAIL.
    Failed,
    /// A transfer, which [`transfer`] writes; the reply in the output is the current SOA alone, for a datagram into which
    /// the transfer does not fit.
    Transfer,
    /// No reply at all.
    Dropped,
}

/// Answers a query: the one way from its first byte to the last of its reply, for every front.
///
/// `out` holds at least [`TCP_SIZE`] bytes for a stream and [`UDP_SIZE`] for UDP. `now` is the clock, which signatures are
/// held to (RFC 8945 section 5.2.3). No I/O, no lock; no allocation but for a signature.
pub fn respond(snapshot: &Snapshot, query: &[u8], peer: Peer<'_>, now: Time, out: &mut [u8]) -> Outcome {
    let mut room = Room::default();
    let mut parsed = match Query::parse(query, &mut room) {
        Ok(q) => q,
        Err(Malformed::Drop) => return Outcome { len: 0, zone: None, kind: Kind::Dropped, truncated: false },
        Err(Malformed::Reply { rcode, question_end, edns }) => {
            let len = encode::bare(query, rcode, question_end, edns, out);
            let kind = if len == 0 { Kind::Dropped } else { Kind::Malformed };
            return Outcome { len, zone: None, kind, truncated: false };
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
    let answer = answer::answer(snapshot, &parsed, peer, session.as_ref().map(tsig::Session::key), &mut scratch);
    let limit = if peer.stream { TCP_SIZE } else { parsed.udp_limit() }.min(out.len());
    let sealed = session.as_ref().map_or(0, tsig::Session::size);
    let (mut len, truncated) = encode::encode(snapshot, &parsed, &answer, &mut out[..limit.saturating_sub(sealed)]);
    if let Some(session) = session.as_mut().filter(|_| len > 0) {
        len = session.sign(&mut out[..limit], len, now).unwrap_or(0);
    }
    let kind = if len == 0 { Kind::Dropped } else { answer.kind() };
    Outcome { len, zone: answer.zone.map(|z| snapshot.zones.all()[z].slot), kind, truncated }
}

/// The reply to a request whose signature is not right (RFC 8945 section 5.3.2).
#[cold]
fn reject(rejected: tsig::Rejected, query: &Query, out: &mut [u8]) -> Outcome {
    let (rcode, kind) = if rejected.rcode() == 1 { (Rcode::FormErr, Kind::Malformed) } else { (Rcode::NotAuth, Kind::Refused) };
    let len = encode::bare(query.message, rcode, query.question_end, query.edns.is_some(), out);
    let len = rejected.sign(out, len).unwrap_or(len);
    Outcome { len, zone: None, kind: if len == 0 { Kind::Dropped } else { kind }, truncated: false }
}
