//! The transports of DNS: UDP, TCP, TLS, HTTPS, QUIC and HTTP/3. All of them call
//! [`crate::dns::respond`], and all but HTTP/3 send its bytes as they are. Transfers and NOTIFY to
//! the mirrors are here too.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    clock::wall,
    dns::{Kind, Outcome, Peer, respond},
    index::Published,
    metrics::{Metrics, Totals, WorkerCounters},
};

mod certificates;
pub mod http3;
mod https;
pub mod mirrors;
pub mod notify;
mod quic;
mod reserved;
pub mod secure;
pub mod sys;
pub mod tcp;
mod tls;
pub mod transfer;
pub mod udp;

pub use certificates::{Certificates, Files, PreparedCertificates};
pub use mirrors::Mirrors;
pub use reserved::ReservedClients;

/// Settings of the doors: `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP workers for each address; 0: one per core.
    pub workers: usize,
}

/// See [`Shared::notified`].
pub type Notified = Arc<dyn Fn(&[u8], std::net::IpAddr, Option<&str>) -> bool + Send + Sync>;

/// What every front needs.
#[derive(Clone)]
pub struct Shared {
    /// What answers come from.
    pub published: Arc<Published>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Zones on their way to mirrors; none where there is no ledger behind.
    pub transfers: Option<Arc<transfer::Transfers>>,
    /// Who is told of a NOTIFY: the zone in wire form, who sent it, and the key that signed it.
    /// True where it is followed.
    pub notified: Option<Notified>,
    /// Set when it is time to stop.
    pub stop: Arc<std::sync::atomic::AtomicBool>,
}

impl Shared {
    /// Of the fronts of a ledger; what mirrors ask for and get is told to `mirrors`.
    pub fn new(ledger: &crate::ledger::Ledger, mirrors: Option<Arc<Mirrors>>) -> Shared {
        let transfers = Some(Arc::new(transfer::Transfers::new(ledger.clone(), mirrors)));
        Shared {
            published: ledger.published.clone(),
            metrics: Arc::default(),
            transfers,
            notified: None,
            stop: Arc::default(),
        }
    }

    /// The reply to a NOTIFY for a zone that is followed, signed as the request was; none for any
    /// other. May take a lock.
    fn notify(&self, message: &[u8], addr: std::net::IpAddr) -> Option<Vec<u8>> {
        let notified = self.notified.as_ref()?;
        let (zone, _) = crate::dns::incoming::notified(message)?;
        let keys = self.published.load().keys.clone();
        let mut session = crate::dns::tsig::verify(&keys, message, wall()).ok()?;
        if !notified(&zone, addr, session.as_ref().map(|s| s.key())) {
            return None;
        }
        let mut out = crate::dns::notify::taken(message)?;
        session
            .as_mut()
            .is_none_or(|s| s.seal_message(&mut out, wall()))
            .then_some(out)
    }
}

/// Counts one answer.
#[inline]
pub fn count(totals: &mut Totals, outcome: &Outcome, bytes_in: usize) {
    totals.queries += 1;
    totals.bytes_in += bytes_in as u64;
    totals.bytes_out += outcome.len as u64;
    totals.truncated += u64::from(outcome.truncated);
    let place = match outcome.kind {
        Kind::Listed => &mut totals.listed,
        Kind::NotListed => &mut totals.not_listed,
        Kind::NoData => &mut totals.no_data,
        Kind::Transfer => &mut totals.transfers,
        Kind::Refused => &mut totals.refused,
        Kind::Malformed => &mut totals.malformed,
        Kind::Failed => &mut totals.failed,
        Kind::Dropped => &mut totals.dropped,
    };
    *place += 1;
}

/// Answers a query of a front whose answers are one message each, behind what stands in `output`,
/// and counts it. False where there is no answer.
fn reply(
    query: &[u8],
    peer: Peer<'_>,
    shared: &Shared,
    counters: &WorkerCounters,
    output: &mut Vec<u8>,
) -> bool {
    tcp::ANSWER.with_borrow_mut(|buffer| {
        let outcome = respond(&shared.published.load(), query, peer, wall(), buffer);
        let mut totals = Totals::default();
        count(&mut totals, &outcome, query.len());
        counters.of(outcome.zone).add(&totals);
        output.extend(&buffer[..outcome.len]);
        outcome.len > 0
    })
}
