//! The sampled addresses by network: which of the 256 addresses of an IPv4 /24, and which of the 256
//! /64s of an IPv6 /56, were sampled.
//!
//! The table is set-associative: a keyed hash assigns each network to a set of 16 cells, so a
//! client cannot aim at a set. Half of a set is for networks that are new, the other half for those
//! that were sampled most often. A new network replaces only another new one, and takes one of the
//! other cells only after it was sampled more often than the network there. So queries for a
//! million networks, each of which is sampled once, replace no network that others ask about again
//! and again.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use crate::model::{Prefix4, Prefix6, Subject};

/// The cells of the table: 12 MB.
const CELLS: usize = 131_072;
/// The cells of a set.
const CELLS_PER_SET: usize = 16;
/// The cells of a set in which networks are that were sampled often.
const OFTEN_CELLS: usize = 8;

/// A network whose members are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SampledNetwork {
    /// The first 24 bits of an IPv4 address.
    V4(u32),
    /// The first 56 bits of an IPv6 address.
    V6(u64),
}

/// Divides an address into its network and its place there.
fn divide(addr: IpAddr) -> (SampledNetwork, u8) {
    match addr.to_canonical() {
        IpAddr::V4(a) => {
            let bits = u32::from(a);
            (SampledNetwork::V4(bits >> 8), bits as u8)
        }
        IpAddr::V6(a) => {
            let bits = (u128::from(a) >> 64) as u64;
            (SampledNetwork::V6(bits >> 8), bits as u8)
        }
    }
}

/// The members of a network that are in a prefix: the first one, and how many. `None` if there are
/// none.
fn members_inside(network: SampledNetwork, prefix: &Subject) -> Option<(usize, usize)> {
    match (network, prefix) {
        (SampledNetwork::V4(bits), Subject::V4(p)) => {
            let network = Prefix4::new(bits << 8, 24);
            if p.contains(network) {
                return Some((0, 256));
            }
            let is_inside = network.contains(*p);
            is_inside.then(|| ((p.first() & 255) as usize, 1 << (32 - p.len())))
        }
        (SampledNetwork::V6(bits), Subject::V6(p)) => {
            let network = Prefix6::new(u128::from(bits) << 72, 56);
            if p.contains(network) {
                return Some((0, 256));
            }
            let first = (p.first() >> 64) as u8;
            // Of a prefix inside a /64, the /64 counts.
            let is_inside = network.contains(*p);
            is_inside.then(|| (usize::from(first), 1 << (64 - p.len().min(64))))
        }
        _ => None,
    }
}

/// The members of a network, one bit for each.
type Members = [u64; 4];

/// What is known of a network, for the present half of the period and the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    network: Option<SampledNetwork>,
    counts: [u16; 2],
    members: [Members; 2],
}

impl Cell {
    /// How often the network was sampled; 0: the cell is free.
    fn count(&self) -> u32 {
        self.counts.iter().map(|n| u32::from(*n)).sum()
    }

    fn has(&self, member: usize) -> bool {
        let bit = |m: &Members| m[member / 64] >> (member % 64) & 1 == 1;
        self.members.iter().any(bit)
    }

    /// How many of some members were sampled.
    fn count_members(&self, first: usize, number: usize) -> u64 {
        if number < 256 {
            let members = first..first + number;
            return members.filter(|member| self.has(*member)).count() as u64;
        }
        let [now, before] = &self.members;
        let words = now.iter().zip(before);
        words.map(|(a, b)| u64::from((a | b).count_ones())).sum()
    }

    /// Forgets some members. Returns how many of them were sampled. If no other member was, the cell
    /// becomes free.
    fn forget_members(&mut self, first: usize, number: usize) -> u64 {
        let forgotten = self.count_members(first, number);
        for member in first..first + number {
            let kept = !(1 << (member % 64));
            self.members.iter_mut().for_each(|m| m[member / 64] &= kept);
        }
        if self.members == [Members::default(); 2] {
            *self = Cell::default();
        }
        forgotten
    }

    /// Counts a sample. Returns whether the member was sampled before.
    fn add(&mut self, member: u8) -> bool {
        let member = usize::from(member);
        let was_sampled = self.has(member);
        self.members[0][member / 64] |= 1 << (member % 64);
        self.counts[0] = self.counts[0].saturating_add(1);
        was_sampled
    }
}

/// The networks of the sample.
#[derive(Debug)]
pub(super) struct QueriedNetworks {
    hasher: RandomState,
    cells: Vec<Cell>,
    /// Where the search for a cell to replace begins, so that none is replaced over and over while
    /// the others of its set stay.
    next: usize,
}

impl QueriedNetworks {
    pub(super) fn new() -> QueriedNetworks {
        QueriedNetworks::with_cells(CELLS)
    }

    /// Makes a table of so many cells, a multiple of 16.
    pub(super) fn with_cells(cells: usize) -> QueriedNetworks {
        QueriedNetworks {
            hasher: RandomState::new(),
            cells: vec![Cell::default(); cells],
            next: 0,
        }
    }

    /// Counts a sampled address. Returns whether it (of IPv6: its /64) was sampled before.
    pub(super) fn add(&mut self, addr: IpAddr) -> bool {
        let (network, member) = divide(addr);
        let sets = self.cells.len() / CELLS_PER_SET;
        let set = self.hasher.hash_one(network) as usize % sets * CELLS_PER_SET;
        let Some(set) = self.cells.get_mut(set..set + CELLS_PER_SET) else {
            return false;
        };
        let known = set.iter().position(|c| c.network == Some(network));
        let Some(at) = known else {
            self.next = (self.next + 1) % (CELLS_PER_SET - OFTEN_CELLS);
            let after = self.next;
            let order = |i: usize| (i + after) % (CELLS_PER_SET - OFTEN_CELLS);
            let place = (OFTEN_CELLS..CELLS_PER_SET).min_by_key(|i| (set[*i].count(), order(*i)));
            let mut cell = Cell {
                network: Some(network),
                ..Cell::default()
            };
            cell.add(member);
            set[place.unwrap_or(OFTEN_CELLS)] = cell;
            return false;
        };
        let was_sampled = set[at].add(member);
        let rarest = (0..OFTEN_CELLS).min_by_key(|i| set[*i].count());
        if let Some(rarest) = rarest.filter(|_| at >= OFTEN_CELLS)
            && set[rarest].count() < set[at].count()
        {
            set.swap(rarest, at);
        }
        was_sampled
    }

    /// Begins another half of the period: what was sampled before the present half is forgotten.
    pub(super) fn begin_half(&mut self) {
        for cell in &mut self.cells {
            cell.counts = [0, cell.counts[0]];
            cell.members = [[0; 4], cell.members[0]];
            if cell.count() == 0 {
                cell.network = None;
            }
        }
    }

    /// How many members of networks in a prefix were sampled: addresses of IPv4, /64s of IPv6.
    pub(super) fn count(&self, prefix: &Subject) -> u64 {
        let counts = self.cells.iter().filter_map(|cell| {
            let (first, number) = members_inside(cell.network?, prefix)?;
            Some(cell.count_members(first, number))
        });
        counts.sum()
    }

    /// Forgets the members of networks in a prefix. Returns how many were sampled.
    pub(super) fn forget(&mut self, prefix: &Subject) -> u64 {
        let counts = self.cells.iter_mut().filter_map(|cell| {
            let (first, number) = members_inside(cell.network?, prefix)?;
            Some(cell.forget_members(first, number))
        });
        counts.sum()
    }

    /// The number of networks.
    pub(super) fn len(&self) -> usize {
        self.cells.iter().filter(|c| c.network.is_some()).count()
    }
}
