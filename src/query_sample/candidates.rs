//! Addresses whose reverse names are worth a look-up.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    net::Ipv4Addr,
};

use crate::model::Subject;

/// The most addresses that wait: 40 KB.
pub(super) const MAX_CANDIDATES: usize = 1024;

/// The network of which one address waits.
fn network(addr: Ipv4Addr) -> u32 {
    u32::from(addr) >> 8
}

/// The addresses that wait, at most one of each /24. If the queue is full, another address replaces
/// one at a random place, so that a client that fills it does not keep others out.
#[derive(Debug, Default)]
pub(super) struct CandidateQueue {
    waiting: VecDeque<Ipv4Addr>,
    networks: HashSet<u32>,
    hasher: RandomState,
    /// How many addresses were added since the start.
    added: u64,
}

impl CandidateQueue {
    /// Adds an address, unless one of its network waits.
    pub(super) fn add(&mut self, addr: Ipv4Addr) {
        if !self.networks.insert(network(addr)) {
            return;
        }
        self.added += 1;
        if self.waiting.len() < MAX_CANDIDATES {
            self.waiting.push_back(addr);
            return;
        }
        let place = self.hasher.hash_one((addr, self.added)) as usize % MAX_CANDIDATES;
        let replaced = std::mem::replace(&mut self.waiting[place], addr);
        self.networks.remove(&network(replaced));
    }

    /// Takes the address that has waited longest.
    pub(super) fn take_first(&mut self) -> Option<Ipv4Addr> {
        let first = self.waiting.pop_front()?;
        self.networks.remove(&network(first));
        Some(first)
    }

    /// Forgets the addresses in a prefix.
    pub(super) fn forget(&mut self, prefix: &Subject) {
        let (waiting, networks) = (&mut self.waiting, &mut self.networks);
        waiting.retain(|addr| {
            let is_kept = !prefix.covers(&Subject::host((*addr).into()));
            if !is_kept {
                networks.remove(&network(*addr));
            }
            is_kept
        });
    }

    /// Forgets all addresses.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.networks.clear();
    }

    /// The number of addresses that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many addresses were added since the start.
    pub(super) fn added(&self) -> u64 {
        self.added
    }
}
