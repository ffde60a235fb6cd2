//! The keys of the rows that relay testing stores.
//!
//! A key on disk is the letter of its table (see `LETTERS`), followed by the parts of the key in
//! the order that scans need.

use std::net::IpAddr;

use super::token::TokenId;
use crate::model::{Subject, Time};

/// The tables of relay testing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayTable {
    /// Jobs, by number.
    Jobs,
    /// The numbers of open jobs. No value.
    OpenJobs,
    /// When each open job is checked next. No value.
    DueJobs,
    /// The jobs of each host. No value.
    HostJobs,
    /// Transcripts, by job.
    Transcripts,
    /// The record of each host.
    Hosts,
    /// Hosts with a claim. The value states whether the claim is unproved and waits for its test.
    Claims,
    /// The budget of each /24 (IPv6: /48).
    PrefixBudgets,
    /// The budget of each autonomous system, or of each wide prefix.
    NetworkBudgets,
    /// Opt-outs, by subject.
    OptOuts,
    /// Reporters, by name.
    Reporters,
    /// The record of each issued token.
    Tokens,
    /// The hosts that each output delivers for.
    Outputs,
    /// Messages that reached the collector, by number.
    Proofs,
    /// The proofs of each input. No value.
    InputProofs,
    /// The proofs of each output. No value.
    OutputProofs,
    /// The proofs that listed a host, as input or output. No value.
    ListingProofs,
    /// The last number of a job or a proof.
    LastId,
    /// When the collector or the clock could not be trusted.
    Outages,
    /// When the collector was under load.
    Loads,
    /// When the service last ran.
    Heartbeat,
    /// Set once every proof that lists a host has its row in [`RelayTable::ListingProofs`].
    ListingProofsComplete,
}

/// The letter of each table on disk.
const LETTERS: [(RelayTable, u8); 22] = [
    (RelayTable::Jobs, b'J'),
    (RelayTable::OpenJobs, b'Q'),
    (RelayTable::DueJobs, b'W'),
    (RelayTable::HostJobs, b'L'),
    (RelayTable::Transcripts, b'S'),
    (RelayTable::Hosts, b'H'),
    (RelayTable::Claims, b'C'),
    (RelayTable::PrefixBudgets, b'N'),
    (RelayTable::NetworkBudgets, b'A'),
    (RelayTable::OptOuts, b'O'),
    (RelayTable::Reporters, b'R'),
    (RelayTable::Tokens, b'T'),
    (RelayTable::Outputs, b'X'),
    (RelayTable::Proofs, b'P'),
    (RelayTable::InputProofs, b'I'),
    (RelayTable::OutputProofs, b'Y'),
    (RelayTable::ListingProofs, b'G'),
    (RelayTable::LastId, b'n'),
    (RelayTable::Outages, b'o'),
    (RelayTable::Loads, b'l'),
    (RelayTable::Heartbeat, b'a'),
    (RelayTable::ListingProofsComplete, b'g'),
];

impl RelayTable {
    fn letter(self) -> u8 {
        LETTERS
            .iter()
            .find(|(table, _)| *table == self)
            .map_or(0, |(_, letter)| *letter)
    }

    fn of_letter(letter: u8) -> Option<RelayTable> {
        LETTERS
            .iter()
            .find(|(_, l)| *l == letter)
            .map(|(table, _)| *table)
    }
}

/// The queues of jobs that only wait for a free test slot, in the order of their priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Tests of proved claims.
    ProvedClaims,
    /// Tests of unproved claims.
    UnprovedClaims,
    /// All other tests.
    Others,
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

impl Due {
    /// The first and the last time that [`Due::At`] can encode. Queued jobs are encoded before all
    /// times and held jobs after them.
    const TIMES: (u64, u64) = (Queue::ALL.len() as u64, HELD - 1);

    fn encode(self) -> u64 {
        match self {
            Due::Queued(Queue::ProvedClaims) => 0,
            Due::Queued(Queue::UnprovedClaims) => 1,
            Due::Queued(Queue::Others) => 2,
            Due::At(time) => time.0.clamp(Due::TIMES.0, Due::TIMES.1),
            Due::Held => HELD,
        }
    }

    fn decode(number: u64) -> Due {
        match number {
            0 => Due::Queued(Queue::ProvedClaims),
            1 => Due::Queued(Queue::UnprovedClaims),
            2 => Due::Queued(Queue::Others),
            n if n < HELD => Due::At(Time(n)),
            _ => Due::Held,
        }
    }
}

const HELD: u64 = 1 << 63;

/// The key of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayKey {
    /// See [`RelayTable::Jobs`].
    Job(u64),
    /// See [`RelayTable::OpenJobs`].
    OpenJob(u64),
    /// See [`RelayTable::DueJobs`].
    DueJob(Due, u64),
    /// See [`RelayTable::HostJobs`].
    HostJob(IpAddr, u64),
    /// See [`RelayTable::Transcripts`].
    Transcript(u64),
    /// See [`RelayTable::Hosts`].
    Host(IpAddr),
    /// See [`RelayTable::Claims`].
    Claim(IpAddr),
    /// See [`RelayTable::PrefixBudgets`]. The value is the first address of the prefix.
    PrefixBudget(IpAddr),
    /// See [`RelayTable::NetworkBudgets`]. The value is the text of a [`super::networks::Network`].
    NetworkBudget(String),
    /// See [`RelayTable::OptOuts`].
    OptOut(Subject),
    /// See [`RelayTable::Reporters`].
    Reporter(String),
    /// See [`RelayTable::Tokens`].
    Token(TokenId),
    /// See [`RelayTable::Outputs`].
    Output(IpAddr),
    /// See [`RelayTable::Proofs`].
    Proof(u64),
    /// See [`RelayTable::InputProofs`].
    InputProof(IpAddr, u64),
    /// See [`RelayTable::OutputProofs`].
    OutputProof(IpAddr, u64),
    /// See [`RelayTable::ListingProofs`].
    ListingProof(IpAddr, u64),
    /// See [`RelayTable::LastId`].
    LastId,
    /// See [`RelayTable::Outages`].
    Outages,
    /// See [`RelayTable::Loads`].
    Loads,
    /// See [`RelayTable::Heartbeat`].
    Heartbeat,
    /// See [`RelayTable::ListingProofsComplete`].
    ListingProofsComplete,
}

/// Encodes an address as 16 bytes; an IPv4 address as its mapped IPv6 address.
fn address(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// The parts of a key after its letter.
enum Parts<'a> {
    None,
    Bytes(Vec<u8>),
    Text(&'a str),
    Number(u64),
    Numbers(u64, u64),
    Address(IpAddr),
    AddressAndNumber(IpAddr, u64),
}

impl RelayKey {
    fn parts(&self) -> (RelayTable, Parts<'_>) {
        use RelayKey as K;
        use RelayTable as T;
        match self {
            K::Job(n) => (T::Jobs, Parts::Number(*n)),
            K::OpenJob(n) => (T::OpenJobs, Parts::Number(*n)),
            K::DueJob(due, n) => (T::DueJobs, Parts::Numbers(due.encode(), *n)),
            K::HostJob(a, n) => (T::HostJobs, Parts::AddressAndNumber(*a, *n)),
            K::Transcript(n) => (T::Transcripts, Parts::Number(*n)),
            K::Host(a) => (T::Hosts, Parts::Address(*a)),
            K::Claim(a) => (T::Claims, Parts::Address(*a)),
            K::PrefixBudget(a) => (T::PrefixBudgets, Parts::Address(*a)),
            K::NetworkBudget(name) => (T::NetworkBudgets, Parts::Text(name)),
            K::OptOut(subject) => (T::OptOuts, Parts::Bytes(subject.key())),
            K::Reporter(name) => (T::Reporters, Parts::Text(name)),
            K::Token(id) => (T::Tokens, Parts::Number(u64::from_be_bytes(*id))),
            K::Output(a) => (T::Outputs, Parts::Address(*a)),
            K::Proof(n) => (T::Proofs, Parts::Number(*n)),
            K::InputProof(a, n) => (T::InputProofs, Parts::AddressAndNumber(*a, *n)),
            K::OutputProof(a, n) => (T::OutputProofs, Parts::AddressAndNumber(*a, *n)),
            K::ListingProof(a, n) => (T::ListingProofs, Parts::AddressAndNumber(*a, *n)),
            K::LastId => (T::LastId, Parts::None),
            K::Outages => (T::Outages, Parts::None),
            K::Loads => (T::Loads, Parts::None),
            K::Heartbeat => (T::Heartbeat, Parts::None),
            K::ListingProofsComplete => (T::ListingProofsComplete, Parts::None),
        }
    }

    /// Encodes the key as its bytes on disk.
    pub fn encode(&self) -> Vec<u8> {
        let (table, parts) = self.parts();
        let mut out = vec![table.letter()];
        match parts {
            Parts::None => {}
            Parts::Bytes(bytes) => out.extend(bytes),
            Parts::Text(text) => out.extend(text.as_bytes()),
            Parts::Number(n) => out.extend(n.to_be_bytes()),
            Parts::Numbers(a, b) => {
                out.extend(a.to_be_bytes());
                out.extend(b.to_be_bytes());
            }
            Parts::Address(a) => out.extend(address(a)),
            Parts::AddressAndNumber(a, n) => {
                out.extend(address(a));
                out.extend(n.to_be_bytes());
            }
        }
        out
    }

    /// Decodes a key from its bytes on disk; `None` if they are not a key.
    pub fn decode(bytes: &[u8]) -> Option<RelayKey> {
        use RelayTable as T;
        let (letter, rest) = bytes.split_first()?;
        let number = || rest.try_into().ok().map(u64::from_be_bytes);
        let numbers = || {
            let (a, b) = rest.split_first_chunk::<8>()?;
            Some((
                u64::from_be_bytes(*a),
                u64::from_be_bytes(b.try_into().ok()?),
            ))
        };
        let host = |b: &[u8]| {
            let bytes: [u8; 16] = b.try_into().ok()?;
            Some(IpAddr::from(bytes).to_canonical())
        };
        let host_and_number = || {
            let (a, n) = rest.split_at_checked(16)?;
            Some((host(a)?, u64::from_be_bytes(n.try_into().ok()?)))
        };
        let text = || String::from_utf8(rest.to_vec()).ok();
        Some(match RelayTable::of_letter(*letter)? {
            T::Jobs => RelayKey::Job(number()?),
            T::OpenJobs => RelayKey::OpenJob(number()?),
            T::DueJobs => {
                let (due, job) = numbers()?;
                RelayKey::DueJob(Due::decode(due), job)
            }
            T::HostJobs => {
                let (host, job) = host_and_number()?;
                RelayKey::HostJob(host, job)
            }
            T::Transcripts => RelayKey::Transcript(number()?),
            T::Hosts => RelayKey::Host(host(rest)?),
            T::Claims => RelayKey::Claim(host(rest)?),
            T::PrefixBudgets => RelayKey::PrefixBudget(host(rest)?),
            T::NetworkBudgets => RelayKey::NetworkBudget(text()?),
            T::OptOuts => RelayKey::OptOut(Subject::from_key(rest)?),
            T::Reporters => RelayKey::Reporter(text()?),
            T::Tokens => RelayKey::Token(rest.try_into().ok()?),
            T::Outputs => RelayKey::Output(host(rest)?),
            T::Proofs => RelayKey::Proof(number()?),
            T::InputProofs => {
                let (host, proof) = host_and_number()?;
                RelayKey::InputProof(host, proof)
            }
            T::OutputProofs => {
                let (host, proof) = host_and_number()?;
                RelayKey::OutputProof(host, proof)
            }
            T::ListingProofs => {
                let (host, proof) = host_and_number()?;
                RelayKey::ListingProof(host, proof)
            }
            T::LastId => RelayKey::LastId,
            T::Outages => RelayKey::Outages,
            T::Loads => RelayKey::Loads,
            T::Heartbeat => RelayKey::Heartbeat,
            T::ListingProofsComplete => RelayKey::ListingProofsComplete,
        })
    }

    /// Returns the number of the job or proof in the key; 0 if there is none.
    pub fn id(&self) -> u64 {
        match self.parts().1 {
            Parts::Number(n) | Parts::Numbers(_, n) | Parts::AddressAndNumber(_, n) => n,
            _ => 0,
        }
    }

    /// Returns the address in the key.
    pub fn host(&self) -> Option<IpAddr> {
        match self.parts().1 {
            Parts::Address(a) | Parts::AddressAndNumber(a, _) => Some(a),
            _ => None,
        }
    }
}

/// A range of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayRange {
    /// All rows of a table.
    All(RelayTable),
    /// The rows of a table that belong to one host.
    OfHost(RelayTable, IpAddr),
    /// The jobs with one [`Due`].
    DueAt(Due),
}

impl RelayRange {
    /// Returns the common prefix of the keys in the range.
    pub fn prefix(self) -> Vec<u8> {
        match self {
            RelayRange::All(table) => vec![table.letter()],
            RelayRange::OfHost(table, host) => [&[table.letter()][..], &address(host)].concat(),
            RelayRange::DueAt(due) => [
                &[RelayTable::DueJobs.letter()][..],
                &due.encode().to_be_bytes(),
            ]
            .concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_own_letter() {
        let letters: std::collections::BTreeSet<u8> = LETTERS.iter().map(|(_, l)| *l).collect();
        assert_eq!(letters.len(), LETTERS.len());
        for (table, letter) in LETTERS {
            assert_eq!(RelayTable::of_letter(letter), Some(table));
        }
    }

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
        let encoded: Vec<u64> = order.iter().map(|d| d.encode()).collect();
        assert!(encoded.is_sorted_by(|a, b| a < b), "{encoded:?}");
        assert_eq!(
            order.map(|d| Due::decode(d.encode()).encode()).to_vec(),
            encoded
        );
    }
}
