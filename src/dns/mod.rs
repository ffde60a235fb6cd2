//! The nameserver, without sockets: a query's bytes in, an answer's bytes out.

use std::net::IpAddr;

pub mod answer;
pub mod encode;
pub mod incoming;
mod min_ttl;
pub mod notify;
pub mod query;
mod respond;
#[cfg(test)]
#[path = "rfc4592/tests.rs"]
mod rfc4592;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod tsig;
pub mod wire;

pub use answer::Answer;
pub use min_ttl::min_ttl;
pub use respond::respond;
pub use wire::Rcode;

/// Our EDNS buffer size: what fits every path without fragments (DNS flag day 2020).
pub const UDP_SIZE: usize = 1232;
/// The longest reply over UDP to a query without EDNS (RFC 1035 section 2.3.4).
pub const PLAIN_SIZE: usize = 512;
/// The longest message over TCP.
pub const TCP_SIZE: usize = 65_535;

/// The longest name this server gives itself for NSID (RFC 5001); what is longer is cut.
pub const MAX_NSID: usize = 64;

/// How a query came, and so what its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP: one message of limited length.
    Datagram,
    /// TCP or TLS: messages of any length, zone transfers too.
    Stream,
    /// HTTPS, QUIC or HTTP/3: one message of any length, so no transfers.
    SingleMessage,
}

/// Where a query came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The client.
    pub addr: IpAddr,
    /// How its query came.
    pub transport: Transport,
    /// The DNS names in the client's certificate, whose key the client has; empty without one.
    pub certificate_names: &'a [String],
}

impl Peer<'_> {
    /// A client that sent a datagram.
    pub fn udp(addr: IpAddr) -> Peer<'static> {
        Peer {
            addr,
            transport: Transport::Datagram,
            certificate_names: &[],
        }
    }
    /// A client on a plain stream.
    pub fn tcp(addr: IpAddr) -> Peer<'static> {
        Peer {
            transport: Transport::Stream,
            ..Peer::udp(addr)
        }
    }
    /// A client that gets one message, of any length, for each query.
    pub fn single_message(addr: IpAddr) -> Peer<'static> {
        Peer {
            transport: Transport::SingleMessage,
            ..Peer::udp(addr)
        }
    }
    /// Whether the query came as a datagram.
    pub fn is_datagram(&self) -> bool {
        self.transport == Transport::Datagram
    }
}

/// The result of a query, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryOutcome {
    /// The bytes of the reply in the output; 0 for no reply.
    pub len: usize,
    /// The zone that was asked, by its slot in the counters ([`crate::index::ZoneView::slot`]).
    pub zone: Option<usize>,
    /// What kind of answer it is.
    pub kind: AnswerKind,
    /// Whether it was cut short (TC).
    pub truncated: bool,
}

/// What kind of answer a query got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
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
    /// A transfer, which [`transfer`] writes. The reply in the output is the current SOA alone, for a
    /// datagram that is too short for the transfer.
    Transfer,
    /// No reply at all.
    Dropped,
}
