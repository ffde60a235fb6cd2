//! The nameserver, without sockets: a query's bytes in, an answer's bytes out.

use std::net::IpAddr;

pub mod answer;
pub mod encode;
pub mod incoming;
#[cfg(test)]
#[path = "law8/tests.rs"]
mod law8;
pub mod lifetime;
pub mod notify;
pub mod query;
mod respond;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod tsig;
pub mod wire;

pub use answer::{Answer, Rcode};
use query::{Malformed, Query, Room};
pub use respond::respond;

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
        Peer {
            addr,
            stream: false,
            single: false,
            names: &[],
        }
    }
    /// A client on a plain stream.
    pub fn tcp(addr: IpAddr) -> Peer<'static> {
        Peer {
            addr,
            stream: true,
            single: false,
            names: &[],
        }
    }
    /// A client that gets one message, of any length, for each query.
    pub fn single(addr: IpAddr) -> Peer<'static> {
        Peer {
            single: true,
            ..Peer::tcp(addr)
        }
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
    /// A transfer, which [`transfer`] writes; the reply in the output is the current SOA alone, for
    /// a datagram into which the transfer does not fit.
    Transfer,
    /// No reply at all.
    Dropped,
}
