//! The nameserver, without sockets: a query's bytes in, an answer's bytes out.

use std::net::IpAddr;

use crate::{index::Snapshot, model::Time};

pub mod answer;
pub mod encode;
pub mod incoming;
#[cfg(test)]
#[path = "law8/tests.rs"]
mod law8;
pub mod query;
#[cfg(test)]
mod tests;
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
    /// The names in the certificate that the client has proved to have; none without one.
    pub names: &'a [String],
}

impl Peer<'_> {
    /// A client that sent a datagram.
    pub fn udp(addr: IpAddr) -> Peer<'static> {
        Peer { addr, stream: false, names: &[] }
    }
    /// A client on a plain stream.
    pub fn tcp(addr: IpAddr) -> Peer<'static> {
        Peer { addr, stream: true, names: &[] }
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
    /// No reply at all.
    Dropped,
}

/// Answers a query: the one way from its first byte to the last of its reply, for every front.
///
/// `out` holds at least [`TCP_SIZE`] bytes for a stream and [`UDP_SIZE`] for UDP. `now` is the clock. No I/O, no lock, no
/// allocation.
pub fn respond(snapshot: &Snapshot, query: &[u8], peer: Peer<'_>, now: Time, out: &mut [u8]) -> Outcome {
    let _ = now; // nothing that is answered today depends on it: what has run out is taken off by an event
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
    if let Some(e) = parsed.edns.as_mut().filter(|_| !peer.stream) {
        e.keepalive = false; // RFC 7828 section 3.2.1: never over UDP
    }
    let mut scratch = answer::Scratch::default();
    let answer = answer::answer(snapshot, &parsed, peer, &mut scratch);
    let limit = if peer.stream { TCP_SIZE } else { parsed.udp_limit() }.min(out.len());
    let (len, truncated) = encode::encode(snapshot, &parsed, &answer, &mut out[..limit]);
    let kind = if len == 0 { Kind::Dropped } else { answer.kind() };
    Outcome { len, zone: answer.zone.map(|z| snapshot.zones.all()[z].slot), kind, truncated }
}
