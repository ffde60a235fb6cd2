//! The state that all transports share (snapshot, counters, transfers), and how a query is answered
//! and counted.

use std::{
    cell::RefCell,
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
};

use super::{Mirrors, transfer::Transfers};
use crate::{
    clock::{uptime, wall},
    dns::{AnswerKind, Peer, QueryOutcome, QueryTime, TCP_SIZE, queried_address, respond},
    index::{Published, Snapshot},
    metrics::{Metrics, Totals, WorkerCounters},
    model::Uptime,
    query_sample::{QueriedAddress, QuerySample, QuerySampler},
};

thread_local! {
    /// The buffer of an answer: one for each thread, not one for each connection.
    pub(super) static ANSWER_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; TCP_SIZE]);
}

/// See [`ServerContext::on_notify`].
pub type NotifyHandler = Arc<dyn Fn(&[u8], IpAddr, Option<&str>) -> bool + Send + Sync>;

/// The state that every transport needs.
#[derive(Clone)]
pub struct ServerContext {
    /// The snapshot from which answers are made.
    pub published: Arc<Published>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The sample of queried addresses.
    pub sample: QuerySample,
    /// Zone transfers. `None` without a ledger.
    pub transfers: Option<Arc<Transfers>>,
    /// Handles a NOTIFY: the zone in wire form, the sender, and the key that signed it. Returns
    /// whether the zone is followed.
    pub on_notify: Option<NotifyHandler>,
    /// Set when the server stops.
    pub stop: Arc<AtomicBool>,
}

impl ServerContext {
    /// Creates the state for a ledger. `mirrors` records the requests and transfers of mirrors.
    pub fn new(ledger: &crate::ledger::Ledger, mirrors: Option<Arc<Mirrors>>) -> ServerContext {
        let transfers = Some(Arc::new(Transfers::new(ledger.clone(), mirrors)));
        ServerContext {
            published: ledger.published.clone(),
            metrics: Arc::default(),
            sample: QuerySample::default(),
            transfers,
            on_notify: None,
            stop: Arc::default(),
        }
    }

    /// The reply to a NOTIFY for a zone that is followed, signed as the request was; `None` for
    /// other messages. It can wait for a lock.
    pub(super) fn acknowledge_notify(&self, message: &[u8], addr: IpAddr) -> Option<Vec<u8>> {
        let on_notify = self.on_notify.as_ref()?;
        let (zone, _) = crate::dns::incoming::notified(message)?;
        let keys = self.published.load().keys.clone();
        let mut session = crate::dns::tsig::verify(&keys, message, wall()).ok()?;
        if !on_notify(&zone, addr, session.as_ref().map(|s| s.key())) {
            return None;
        }
        let mut out = crate::dns::notify::acknowledge(message)?;
        session
            .as_mut()
            .is_none_or(|s| s.sign_message(&mut out, wall()))
            .then_some(out)
    }
}

/// Reads the clocks that answers from a snapshot need.
#[inline]
pub(super) fn query_time(snapshot: &Snapshot) -> QueryTime {
    QueryTime {
        wall: wall(),
        uptime: match snapshot.zones.has_logins() {
            true => uptime(),
            false => Uptime::MAX,
        },
    }
}

/// Counts one answer.
#[inline]
pub fn count(totals: &mut Totals, outcome: &QueryOutcome, bytes_in: usize) {
    totals.queries += 1;
    totals.bytes_in += bytes_in as u64;
    totals.bytes_out += outcome.len as u64;
    totals.truncated += u64::from(outcome.truncated);
    let counter = match outcome.kind {
        AnswerKind::Listed => &mut totals.listed,
        AnswerKind::NotListed => &mut totals.not_listed,
        AnswerKind::NoData => &mut totals.no_data,
        AnswerKind::Transfer => &mut totals.transfers,
        AnswerKind::Refused => &mut totals.refused,
        AnswerKind::Malformed => &mut totals.malformed,
        AnswerKind::Failed => &mut totals.failed,
        AnswerKind::Dropped => &mut totals.dropped,
    };
    *counter += 1;
}

/// Counts a query for the sample, and adds its address if it is chosen.
#[inline]
pub(super) fn sample_query(
    sampler: &QuerySampler,
    snapshot: &Snapshot,
    query: &[u8],
    outcome: &QueryOutcome,
) {
    if sampler.is_next() {
        add_to_sample(sampler, snapshot, query, outcome);
    }
}

/// Adds the address of a query to the sample, if it was answered from a zone of addresses.
#[cold]
fn add_to_sample(
    sampler: &QuerySampler,
    snapshot: &Snapshot,
    query: &[u8],
    outcome: &QueryOutcome,
) {
    let is_listed = match outcome.kind {
        AnswerKind::Listed => true,
        AnswerKind::NotListed | AnswerKind::NoData => false,
        _ => return,
    };
    if let Some(addr) = queried_address(snapshot, query) {
        sampler.add(QueriedAddress { addr, is_listed });
    }
}

/// Adds one answer to the counters of a worker.
pub(super) fn count_one(counters: &WorkerCounters, outcome: &QueryOutcome, bytes_in: usize) {
    let mut totals = Totals::default();
    count(&mut totals, outcome, bytes_in);
    counters.of(outcome.zone).add(&totals);
}

/// Answers and counts a query of a transport whose answers are one message each. Appends the answer
/// to `output`; returns false if there is none.
pub(super) fn reply(
    query: &[u8],
    peer: Peer<'_>,
    shared: &ServerContext,
    counters: &WorkerCounters,
    output: &mut Vec<u8>,
) -> bool {
    ANSWER_BUFFER.with_borrow_mut(|buffer| {
        let snapshot = shared.published.load();
        let outcome = respond(&snapshot, query, peer, query_time(&snapshot), buffer);
        count_one(counters, &outcome, query.len());
        sample_query(shared.sample.streams(), &snapshot, query, &outcome);
        output.extend(&buffer[..outcome.len]);
        outcome.len > 0
    })
}
