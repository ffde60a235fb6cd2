//! The name server without sockets: it turns the bytes of a query into the bytes of an answer.

use std::net::IpAddr;

use crate::model::{Time, Uptime};

pub mod answer;
pub mod encode;
pub mod incoming;
#[cfg(test)]
#[path = "logins/tests.rs"]
mod logins;
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
pub use respond::{PendingQuery, prefetch, queried_address, respond};
pub use wire::Rcode;

/// The EDNS buffer size of this server, which avoids fragmentation on all common paths (DNS flag
/// day 2020).
pub const UDP_SIZE: usize = 1232;
/// The longest reply over UDP to a query without EDNS (RFC 1035 section 2.3.4).
pub const PLAIN_SIZE: usize = 512;
/// The longest message over TCP.
pub const TCP_SIZE: usize = 65_535;

/// The longest NSID of this server (RFC 5001), in bytes; a longer one is cut off.
pub const MAX_NSID: usize = 64;

/// How a query came, which decides the form of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP: one message of limited length.
    Datagram,
    /// TCP or TLS: messages of any length, and zone transfers.
    Stream,
    /// HTTPS, QUIC or HTTP/3: one message of any length, and therefore no transfers.
    SingleMessage,
}

/// Where a query came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The address of the client.
    pub addr: IpAddr,
    /// How the query came.
    pub transport: Transport,
    /// The DNS names in the client's verified certificate; empty without one.
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

/// When a query is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryTime {
    /// The wall clock, by which signatures are checked (RFC 8945 section 5.2.3).
    pub wall: Time,
    /// The time since the machine started, by which log-ins end. [`Uptime::MAX`] if no zone has
    /// log-ins.
    pub uptime: Uptime,
}

/// The time of a query for a server whose zones have no log-ins.
impl From<Time> for QueryTime {
    fn from(wall: Time) -> QueryTime {
        QueryTime {
            wall,
            uptime: Uptime::MAX,
        }
    }
}

/// The result of a query, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryOutcome {
    /// The length of the reply in the output, in bytes; 0 if there is no reply.
    pub len: usize,
    /// The zone of the query, by its slot in the counters ([`crate::index::ZoneView::slot`]).
    pub zone: Option<usize>,
    /// The kind of the answer.
    pub kind: AnswerKind,
    /// Whether the reply was truncated (TC).
    pub truncated: bool,
}

impl QueryOutcome {
    /// The result of a message that belongs to no zone. Without a reply it is dropped.
    pub fn without_zone(len: usize, kind: AnswerKind) -> QueryOutcome {
        QueryOutcome {
            len,
            zone: None,
            kind: if len == 0 { AnswerKind::Dropped } else { kind },
            truncated: false,
        }
    }
}

/// The kind of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// Records: the name is listed, or has another record of the type.
    Listed,
    /// NXDOMAIN.
    NotListed,
    /// NODATA: the name exists, the type does not.
    NoData,
    /// REFUSED.
    Refused,
    /// FORMERR, NOTIMP, BADVERS.
    Malformed,
    /// SERVFAIL.
    Failed,
    /// A transfer, which [`transfer`] writes. The reply in the output is the current SOA alone, for
    /// a transfer that does not fit in a datagram.
    Transfer,
    /// No reply at all.
    Dropped,
}
