//! The doors for DNS: UDP workers and the TCP front, which all call [`crate::dns::respond`]; and NOTIFY to the mirrors.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    dns::{Kind, Outcome},
    index::Published,
    metrics::{Metrics, Totals},
};

pub mod mirrors;
pub mod notify;
pub mod sys;
pub mod tcp;
pub mod transfer;
pub mod udp;

pub use mirrors::Mirrors;

/// Settings of the doors: `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP workers for each address; 0: one per core.
    pub workers: usize,
}

/// What every front needs.
#[derive(Clone)]
pub struct Shared {
    /// What answers come from.
    pub published: Arc<Published>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Zones on their way to mirrors; none where there is no ledger behind.
    pub transfers: Option<Arc<transfer::Transfers>>,
    /// Set when it is time to stop.
    pub stop: Arc<std::sync::atomic::AtomicBool>,
}

impl Shared {
    /// Of the fronts of a ledger.
    pub fn new(ledger: &crate::ledger::Ledger) -> Shared {
        let transfers = Some(Arc::new(transfer::Transfers::new(ledger.clone())));
        Shared { published: ledger.published.clone(), metrics: Arc::default(), transfers, stop: Arc::default() }
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
