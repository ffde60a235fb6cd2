//! The tables of relay testing.

use std::net::IpAddr;

use super::{
    policy::{Budget, HostRecord, Job, OptOut, Outage, OutputRecord, ReporterRecord},
    proof::{IssuedToken, Proof},
    survey::MonthlySurvey,
    token::TokenId,
};
use crate::{
    ledger::{Feature, FeatureNotice, FeatureTable, KeyPart},
    model::{Subject, Time},
    store::schema::FeatureFamily,
};

/// The feature of relay testing.
#[derive(Debug)]
pub enum Relay {}

impl Feature for Relay {
    const FAMILY: FeatureFamily = FeatureFamily::Relay;
    type Notice = FeatureNotice;
}

/// A table of relay testing.
pub type RelayTable<K, V> = FeatureTable<Relay, K, V>;

/// Jobs, by number.
pub const JOBS: &RelayTable<u64, Job> = &RelayTable::new(b'J');
/// The numbers of open jobs.
pub const OPEN_JOBS: &RelayTable<u64, ()> = &RelayTable::new(b'Q');
/// When each open job is checked next.
pub const DUE_JOBS: &RelayTable<(Due, u64), ()> = &RelayTable::new(b'W');
/// The jobs of each host.
pub const HOST_JOBS: &RelayTable<(IpAddr, u64), ()> = &RelayTable::new(b'L');
/// Transcripts, by job.
pub const TRANSCRIPTS: &RelayTable<u64, String> = &RelayTable::new(b'S');
/// The record of each host.
pub const HOSTS: &RelayTable<IpAddr, HostRecord> = &RelayTable::new(b'H');
/// Hosts with a claim. The value states whether the claim is unproved and waits for its test.
pub const CLAIMS: &RelayTable<IpAddr, Option<bool>> = &RelayTable::new(b'C');
/// The budget of each /24 (IPv6: /48), by its first address.
pub const PREFIX_BUDGETS: &RelayTable<IpAddr, Budget> = &RelayTable::new(b'N');
/// The budget of each autonomous system, or of each wide prefix, by the text of its
/// [`super::networks::Network`].
pub const NETWORK_BUDGETS: &RelayTable<String, Budget> = &RelayTable::new(b'A');
/// Opt-outs, by subject.
pub const OPT_OUTS: &RelayTable<Subject, OptOut> = &RelayTable::new(b'O');
/// Reporters, by name.
pub const REPORTERS: &RelayTable<String, ReporterRecord> = &RelayTable::new(b'R');
/// The record of each issued token.
pub const TOKENS: &RelayTable<TokenId, IssuedToken> = &RelayTable::new(b'T');
/// The hosts that each output delivers for.
pub const OUTPUTS: &RelayTable<IpAddr, OutputRecord> = &RelayTable::new(b'X');
/// Messages that reached the collector, by number.
pub const PROOFS: &RelayTable<u64, Proof> = &RelayTable::new(b'P');
/// The proofs of each input.
pub const INPUT_PROOFS: &RelayTable<(IpAddr, u64), ()> = &RelayTable::new(b'I');
/// The proofs of each output.
pub const OUTPUT_PROOFS: &RelayTable<(IpAddr, u64), ()> = &RelayTable::new(b'Y');
/// The proofs that listed a host, as input or output.
pub const LISTING_PROOFS: &RelayTable<(IpAddr, u64), ()> = &RelayTable::new(b'G');
/// What the tests of each month found, by the month (`2026-11`).
pub const SURVEY: &RelayTable<String, MonthlySurvey> = &RelayTable::new(b'v');
/// The last number of a job or a proof.
pub const LAST_ID: &RelayTable<(), u64> = &RelayTable::new(b'n');
/// When the collector or the clock could not be trusted.
pub const OUTAGES: &RelayTable<(), Vec<Outage>> = &RelayTable::new(b'o');
/// When the collector was under load.
pub const LOADS: &RelayTable<(), Vec<Outage>> = &RelayTable::new(b'l');
/// When the service last ran.
pub const HEARTBEAT: &RelayTable<(), Time> = &RelayTable::new(b'a');
/// Set once every proof that lists a host has its row in [`LISTING_PROOFS`].
pub const LISTING_PROOFS_COMPLETE: &RelayTable<(), bool> = &RelayTable::new(b'g');

/// The queues of jobs that only wait for a free test slot, in the order of their priority. Their
/// numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Tests of proved claims.
    ProvedClaims = 0,
    /// Tests of unproved claims.
    UnprovedClaims = 1,
    /// All other tests.
    Others = 2,
}

impl Queue {
    /// All queues.
    pub const ALL: [Queue; 3] = [Queue::ProvedClaims, Queue::UnprovedClaims, Queue::Others];
}

/// When an open job is checked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// As soon as a test slot is free.
    Queued(Queue),
    /// At a time.
    At(Time),
    /// After a person has decided, or the configuration has changed.
    Held,
}

const HELD: u64 = 1 << 63;

/// Queued jobs are encoded before all times, and held jobs after them.
impl KeyPart for Due {
    fn encode(&self, out: &mut Vec<u8>) {
        let number = match self {
            Due::Queued(queue) => *queue as u64,
            Due::At(time) => time.0.clamp(Queue::ALL.len() as u64, HELD - 1),
            Due::Held => HELD,
        };
        number.encode(out);
    }
    fn decode(bytes: &[u8]) -> Option<Due> {
        let number = u64::decode(bytes)?;
        let queue = Queue::ALL.into_iter().find(|q| *q as u64 == number);
        Some(match queue {
            Some(queue) => Due::Queued(queue),
            None if number < HELD => Due::At(Time(number)),
            None => Due::Held,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_jobs_sort_before_all_times_and_held_jobs_after_them() {
        let order = [
            Due::Queued(Queue::ProvedClaims),
            Due::Queued(Queue::UnprovedClaims),
            Due::Queued(Queue::Others),
            Due::At(Time(0)),
            Due::At(Time(1_700_000_000)),
            Due::At(Time(u64::MAX)),
            Due::Held,
        ];
        let encoded = order.map(|due| DUE_JOBS.of(&due).prefix);
        assert!(encoded.is_sorted_by(|a, b| a < b), "{encoded:?}");
        let decoded = encoded
            .each_ref()
            .map(|key| Due::decode(&key[1..]).unwrap());
        assert_eq!(decoded.map(|due| DUE_JOBS.of(&due).prefix), encoded);
    }
}
