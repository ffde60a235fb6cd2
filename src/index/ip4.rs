//! The IPv4 table: 256 × 256 blocks by /16; in a block the listed hosts as sorted 16-bit suffixes
//! or as a bitmap.
//!
//! Entries of hosts are apart from the covering table. A block's `ranges` are the disjoint runs in
//! which the cover differs from the /16's; an exclusion of a host from a wider listing is such a
//! run too. Copies share what did not change: a commit of one address copies the root, one row of
//! 256 blocks and one block.

use std::{collections::BTreeMap, sync::Arc};

use super::values::{FactsId, Interned, ValueId};
use crate::model::{Mask, Prefix4};

/// With more hosts than this in a block, a bitmap (8 kB) is smaller than the sorted suffixes.
pub(super) const SORTED_MAX: usize = 4096;

/// The listed hosts of a /16.
#[derive(Debug, Clone)]
pub enum Hosts {
    /// Sorted suffixes.
    Sorted(Box<[u16]>),
    /// One bit each, and the number of bits before every eighth word.
    Bits(Box<[u64; 1024]>, Box<[u16; 128]>),
}

impl Hosts {
    /// From sorted, distinct suffixes.
    pub fn new(suffixes: &[u16]) -> Hosts {
        if suffixes.len() <= SORTED_MAX {
            return Hosts::Sorted(suffixes.into());
        }
        let mut bits = Box::new([0u64; 1024]);
        for s in suffixes {
            bits[usize::from(*s) / 64] |= 1 << (s % 64);
        }
        let mut ranks = Box::new([0u16; 128]);
        let mut n = 0u32;
        for (i, chunk) in bits.chunks(8).enumerate() {
            // There cannot be 65,536 bits before a word: the last rank is at most 65,024.
            ranks[i] = n as u16;
            n += chunk.iter().map(|w| w.count_ones()).sum::<u32>();
        }
        Hosts::Bits(bits, ranks)
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Hosts::Sorted(s) => s.len(),
            Hosts::Bits(b, _) => b.iter().map(|w| w.count_ones() as usize).sum(),
        }
    }

    /// The position of a suffix among them.
    pub(super) fn find(&self, suffix: u16) -> Option<usize> {
        match self {
            Hosts::Sorted(s) => s.binary_search(&suffix).ok(),
            Hosts::Bits(b, _) if b[usize::from(suffix) / 64] >> (suffix % 64) & 1 == 0 => None,
            Hosts::Bits(..) => Some(self.rank(suffix)),
        }
    }

    /// How many are smaller than a suffix.
    pub(super) fn rank(&self, suffix: u16) -> usize {
        match self {
            Hosts::Sorted(s) => s.partition_point(|x| *x < suffix),
            Hosts::Bits(b, ranks) => {
                let word = usize::from(suffix) / 64;
                let whole: u32 = b[word / 8 * 8..word].iter().map(|w| w.count_ones()).sum();
                let part = (b[word] & ((1 << (suffix % 64)) - 1)).count_ones();
                usize::from(ranks[word / 8]) + (whole + part) as usize
            }
        }
    }

    /// Reports the positions and suffixes from `first` to `last`, in order.
    pub(super) fn each(&self, first: u16, last: u16, mut tell: impl FnMut(usize, u16)) {
        self.each_while(first, last, |place, suffix| {
            tell(place, suffix);
            true
        });
    }

    /// The same for as long as `tell` returns true; whether it always did.
    pub(super) fn each_while(
        &self,
        first: u16,
        last: u16,
        mut tell: impl FnMut(usize, u16) -> bool,
    ) -> bool {
        let mut place = self.rank(first);
        match self {
            Hosts::Sorted(s) => s[place..]
                .iter()
                .take_while(|s| **s <= last)
                .enumerate()
                .all(|(i, s)| tell(place + i, *s)),
            Hosts::Bits(b, _) => {
                for word in usize::from(first) / 64..=usize::from(last) / 64 {
                    let start = (word * 64) as u16;
                    let mut w = b[word] & (u64::MAX << first.saturating_sub(start).min(63));
                    while w != 0 {
                        let suffix = start | w.trailing_zeros() as u16;
                        if suffix > last {
                            return true;
                        }
                        if !tell(place, suffix) {
                            return false;
                        }
                        place += 1;
                        w &= w - 1;
                    }
                }
                true
            }
        }
    }

    /// All suffixes in order.
    pub fn to_vec(&self) -> Vec<u16> {
        match self {
            Hosts::Sorted(s) => s.to_vec(),
            Hosts::Bits(b, _) => {
                let mut out = Vec::new();
                for (i, word) in b.iter().enumerate() {
                    let mut w = *word;
                    while w != 0 {
                        out.push((i * 64) as u16 | w.trailing_zeros() as u16);
                        w &= w - 1;
                    }
                }
                out
            }
        }
    }
}

/// The different facts, and for each host its index among them.
pub type Table = (Box<[FactsId]>, Box<[u8]>);

/// The facts of a block's hosts, in the order of their suffixes, in the smallest of four forms.
/// Thin pointers: see [`Block`].
#[derive(Debug, Clone)]
#[allow(clippy::redundant_allocation, clippy::type_complexity)]
pub enum HostFacts {
    /// All the same.
    One(FactsId),
    /// At most 256 different ones, and which of them each host has.
    Few(Box<Table>),
    /// Numbers below 65,536.
    Short(Box<Box<[u16]>>),
    /// Any.
    Each(Box<Box<[FactsId]>>),
}

impl HostFacts {
    /// From one for each host.
    pub fn new(all: &[FactsId]) -> HostFacts {
        let (Some(first), Some(most)) = (all.first(), all.iter().map(|f| f.0).max()) else {
            return HostFacts::One(FactsId::NONE);
        };
        if all.iter().all(|f| f == first) {
            return HostFacts::One(*first);
        }
        let short = most <= u32::from(u16::MAX);
        match Few::new(all, if short { all.len() / 4 } else { 256 }) {
            Some(Few { kinds, places }) => HostFacts::Few(Box::new((kinds.into(), places.into()))),
            None if short => HostFacts::Short(Box::new(all.iter().map(|f| f.0 as u16).collect())),
            None => HostFacts::Each(Box::new(all.into())),
        }
    }

    /// The facts of the host at a position.
    pub fn get(&self, place: usize) -> FactsId {
        let known = match self {
            HostFacts::One(f) => Some(*f),
            HostFacts::Few(few) => few
                .1
                .get(place)
                .and_then(|p| few.0.get(usize::from(*p)))
                .copied(),
            HostFacts::Short(all) => all.get(place).map(|f| FactsId(u32::from(*f))),
            HostFacts::Each(all) => all.get(place).copied(),
        };
        known.unwrap_or(FactsId::NONE)
    }

    /// Every value that some host has, some of them more than once.
    pub fn kinds(&self, tell: &mut dyn FnMut(FactsId)) {
        match self {
            HostFacts::One(f) => tell(*f),
            HostFacts::Few(few) => few.0.iter().for_each(|f| tell(*f)),
            HostFacts::Short(all) => all.iter().for_each(|f| tell(FactsId(u32::from(*f)))),
            HostFacts::Each(all) => all.iter().for_each(|f| tell(*f)),
        }
    }
}

/// A table of different facts, and a place in it for each host.
struct Few {
    kinds: Vec<FactsId>,
    places: Vec<u8>,
}

impl Few {
    /// `None` if there are more than `limit` or 256 different ones: another form is smaller then.
    fn new(all: &[FactsId], limit: usize) -> Option<Few> {
        let mut out = Few {
            kinds: Vec::new(),
            places: Vec::with_capacity(all.len()),
        };
        for f in all {
            // Neighbours are most often the same.
            let place = match out.places.last() {
                Some(p) if out.kinds[usize::from(*p)] == *f => *p,
                _ => match out.kinds.iter().position(|k| k == f) {
                    Some(i) => i as u8,
                    None if out.kinds.len() < limit.min(256) => {
                        out.kinds.push(*f);
                        (out.kinds.len() - 1) as u8
                    }
                    None => return None,
                },
            };
            out.places.push(place);
        }
        Some(out)
    }
}

/// A run of addresses of a block in which the cover is not the /16's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First suffix.
    pub first: u16,
    /// Last suffix.
    pub last: u16,
    /// What covers it.
    pub value: ValueId,
}

/// A /16: one cache line with all that most look-ups need.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub struct Block {
    /// Listed hosts.
    pub hosts: Hosts,
    /// Runs with another cover than the /16's, sorted and disjoint, neighbours joined where equal.
    pub ranges: Box<[Range]>,
    /// The facts of the hosts.
    pub facts: HostFacts,
    /// The /16's cover: [`Row::cover`] of it, kept here too.
    pub default_value: ValueId,
}

const _: () = assert!(size_of::<Block>() == 64);

impl Block {
    /// A block without hosts and runs, under a cover.
    pub fn empty(default_value: ValueId) -> Block {
        Block {
            hosts: Hosts::Sorted(Box::new([])),
            facts: HostFacts::One(FactsId::NONE),
            ranges: Box::new([]),
            default_value,
        }
    }

    /// Whether it holds nothing that its row does not.
    pub fn is_empty(&self) -> bool {
        self.hosts.len() == 0 && self.ranges.is_empty()
    }

    /// The facts of a host.
    fn own(&self, suffix: u16) -> FactsId {
        self.hosts
            .find(suffix)
            .map_or(FactsId::NONE, |i| self.facts.get(i))
    }

    /// The cover at a suffix.
    fn cover(&self, suffix: u16) -> ValueId {
        let run = match &self.ranges[..] {
            [] => return self.default_value,
            ranges => ranges.get(ranges.partition_point(|r| r.last < suffix)),
        };
        run.filter(|r| r.first <= suffix)
            .map_or(self.default_value, |r| r.value)
    }

    /// Whether the cover of some address from `first` to `last` is not the /16's.
    pub(super) fn has_run(&self, first: u16, last: u16) -> bool {
        self.ranges
            .get(self.ranges.partition_point(|r| r.last < first))
            .is_some_and(|r| r.first <= last)
    }

    /// The runs from `first` to `last`, gaps included and filled with the /16's cover.
    fn runs(&self, first: u16, last: u16) -> impl Iterator<Item = ValueId> {
        let (default_value, from) = (
            self.default_value,
            self.ranges.partition_point(|r| r.last < first),
        );
        let mut at = u32::from(first);
        let mut inside = self.ranges[from..]
            .iter()
            .take_while(move |r| r.first <= last)
            .peekable();
        std::iter::from_fn(move || {
            if at > u32::from(last) {
                return None;
            }
            match inside.peek() {
                Some(r) if u32::from(r.first) <= at => {
                    at = u32::from(r.last) + 1;
                    inside.next().map(|r| r.value)
                }
                Some(r) => {
                    at = u32::from(r.first);
                    Some(default_value)
                }
                None => {
                    at = u32::from(last) + 1;
                    Some(default_value)
                }
            }
        })
    }

    /// The reasons of hosts from `first` to `last` that are not exempt.
    fn host_reasons(&self, first: u16, last: u16, interned: &Interned) -> Mask {
        let (from, to) = (
            self.hosts.rank(first),
            self.hosts.rank(last) + usize::from(self.hosts.find(last).is_some()),
        );
        if from == to {
            return 0;
        }
        let runs = &self.ranges[self.ranges.partition_point(|r| r.last < first)..];
        let mut runs = &runs[..runs.partition_point(|r| r.first <= last)];
        let exempt = self.default_value == ValueId::EXEMPT
            || runs.iter().any(|r| r.value == ValueId::EXEMPT);
        let mut mask = 0;
        if !exempt && (to - from == self.hosts.len() || matches!(self.facts, HostFacts::One(_))) {
            self.facts.kinds(&mut |f| mask |= interned.facts(f).mask);
        } else if !exempt {
            (from..to).for_each(|i| mask |= interned.facts(self.facts.get(i)).mask);
        } else {
            // Hosts and runs are both in order: each is passed once.
            self.hosts.each(first, last, |place, suffix| {
                while let [r, rest @ ..] = runs
                    && r.last < suffix
                {
                    runs = rest;
                }
                let cover = runs
                    .first()
                    .filter(|r| r.first <= suffix)
                    .map_or(self.default_value, |r| r.value);
                if cover != ValueId::EXEMPT {
                    mask |= interned.facts(self.facts.get(place)).mask;
                }
            });
        }
        mask
    }

    /// Whether one of the parts of `size` addresses between `first` and `last` has nothing in it
    /// that a zone lists. For most parts the first run or two decide, however many runs there are.
    fn has_unlisted_child(
        &self,
        (first, last): (u16, u16),
        size: u32,
        zone: Mask,
        interned: &Interned,
    ) -> bool {
        // The results for the last cover and the one before, because two usually alternate.
        let mut known = [(ValueId::EMPTY, false), (ValueId::EXEMPT, false)];
        let mut listed = |cover: ValueId| {
            if known[0].0 != cover {
                known.swap(0, 1);
            }
            if known[0].0 != cover {
                known[0] = (cover, interned.value(cover).mask & zone != 0);
            }
            known[0].1
        };
        (u32::from(first)..=u32::from(last))
            .step_by(size as usize)
            .any(|from| {
                let (from, to) = (from as u16, (from + size - 1) as u16);
                !self.runs(from, to).any(&mut listed)
                    && self.host_reasons(from, to, interned) & zone == 0
            })
    }

    /// Reports what the addresses from `first` to `last` answer by: their covers, then each host's
    /// facts with its cover.
    fn points(&self, first: u16, last: u16, emit: PointFn) -> bool {
        self.runs(first, last)
            .all(|cover| emit(FactsId::NONE, cover))
            && self.hosts.each_while(first, last, |place, suffix| {
                emit(self.facts.get(place), self.cover(suffix))
            })
    }

    /// The reasons that are not the same all over `first..=last`, a node of length `len`.
    pub fn varies_below(&self, first: u16, last: u16, len: u8, interned: &Interned) -> Mask {
        varied(self.runs(first, last), len, interned) | self.host_reasons(first, last, interned)
    }
}

/// Sees a host's own facts, if it has any, and the cover; false ends the search.
pub type PointFn<'f> = &'f mut dyn FnMut(FactsId, ValueId) -> bool;

/// The reasons that differ between some values, or are listed by something longer than `len`.
pub fn varied(values: impl Iterator<Item = ValueId>, len: u8, interned: &Interned) -> Mask {
    let mut first: Option<ValueId> = None;
    let mut out = 0;
    for id in values {
        match first {
            None => {
                first = Some(id);
                out |= interned.value(id).longer_than(len);
            }
            Some(f) if f != id => {
                out |= interned.value(id).longer_than(len)
                    | interned.value(id).differs(interned.value(f));
            }
            Some(_) => {}
        }
    }
    out
}

/// A /8: 256 blocks, and what existence needs to know of each without reading it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The value of /8 prefixes, and so of everything below that has nothing longer.
    pub at: ValueId,
    /// Reasons that vary inside the /8 because of prefixes.
    pub varied: Mask,
    /// The same for each /16; `None` if all are equal to `at`.
    pub covers: Option<Box<[ValueId; 256]>>,
    /// Reasons that vary inside each /16.
    pub touched: [Mask; 256],
    /// The blocks that have hosts or runs.
    pub blocks: [Option<Arc<Block>>; 256],
    /// Facts of prefixes up to /16.
    pub(super) wide: Arc<Nets>,
    /// By /16, facts of longer prefixes and of hosts that override a cover; empty if there are none
    /// at all.
    pub(super) narrow: Option<Arc<[Option<Arc<Nets>>; 256]>>,
}

/// Facts by prefix.
pub(super) type Nets = BTreeMap<Prefix4, FactsId>;

impl Default for Row {
    fn default() -> Row {
        let blocks = [const { None }; 256];
        Row {
            at: ValueId::EMPTY,
            varied: 0,
            covers: None,
            touched: [0; 256],
            blocks,
            wide: Arc::default(),
            narrow: None,
        }
    }
}

impl Row {
    /// The cover of a /16.
    pub fn cover(&self, b: u8) -> ValueId {
        self.covers.as_ref().map_or(self.at, |c| c[usize::from(b)])
    }

    /// The facts of prefixes longer than /16, and of hosts that override a cover, in a /16.
    pub(super) fn narrow(&self, b: u8) -> Option<&Nets> {
        self.narrow.as_ref()?[usize::from(b)].as_deref()
    }

    /// The facts of everything but plain hosts: prefixes up to /16, then the rest.
    pub fn nets(&self) -> impl Iterator<Item = (Prefix4, FactsId)> {
        let narrow = self.narrow.iter().flat_map(|all| all.iter()).flatten();
        self.wide
            .iter()
            .chain(narrow.flat_map(|nets| nets.iter()))
            .map(|(p, f)| (*p, *f))
    }

    /// Whether a prefix, or a host that overrides a cover, has facts.
    pub fn has_net(&self, p: Prefix4) -> bool {
        let nets = if p.len() > 16 {
            self.narrow((p.first() >> 16) as u8)
        } else {
            Some(&*self.wide)
        };
        nets.is_some_and(|n| n.contains_key(&p))
    }
}

/// The table: a row for each /8 that is not empty.
#[derive(Debug, Clone)]
pub struct Ip4 {
    /// By the first octet.
    pub rows: Arc<[Option<Arc<Row>>; 256]>,
}

impl Default for Ip4 {
    fn default() -> Ip4 {
        Ip4 {
            rows: Arc::new([const { None }; 256]),
        }
    }
}

impl Ip4 {
    fn row(&self, addr: u32) -> Option<&Row> {
        self.rows[(addr >> 24) as usize].as_deref()
    }

    /// An address: its own facts, and what covers it. [`ValueId::EXEMPT`] outweighs both.
    #[inline]
    pub fn get(&self, addr: u32) -> (FactsId, ValueId) {
        let Some(row) = self.row(addr) else {
            return (FactsId::NONE, ValueId::EMPTY);
        };
        let b = (addr >> 16) as u8;
        match &row.blocks[usize::from(b)] {
            None => (FactsId::NONE, row.cover(b)),
            Some(block) => (block.own(addr as u16), block.cover(addr as u16)),
        }
    }

    /// Prefetches what look-ups of some addresses will read, each step for all of them before the
    /// next, so that the waits for memory overlap. Changes nothing and answers nothing.
    #[inline]
    pub fn prefetch(&self, addrs: &[u32]) {
        let block = |a: u32| self.row(a)?.blocks[(a >> 16) as usize & 255].as_deref();
        let rows = addrs.iter().filter_map(|a| {
            self.row(*a)
                .map(|r| r.blocks[(*a >> 16) as usize & 255].is_some())
        });
        std::hint::black_box(rows.fold(false, |x, y| x ^ y));
        let blocks = || addrs.iter().filter_map(|a| Some((block(*a)?, *a as u16)));
        std::hint::black_box(blocks().fold(0, |x, (b, _)| x ^ b.default_value.0));
        // Hosts and runs are spread evenly enough that an address is near its share of the list.
        let place = |len: usize, a: u16| (len * usize::from(a)) >> 16;
        let host = |b: &Block, a| match &b.hosts {
            Hosts::Sorted(s) => s.get(place(s.len(), a)).copied().unwrap_or(0),
            Hosts::Bits(bits, _) => bits[usize::from(a) / 64] as u16,
        };
        let run = |b: &Block, a| b.ranges.get(place(b.ranges.len(), a)).map_or(0, |r| r.last);
        std::hint::black_box(blocks().fold(0, |x, (b, a)| x ^ host(b, a) ^ run(b, a)));
    }

    /// The reasons that vary within a prefix of less than 32 bits: they make names exist below it.
    pub fn varies_below(&self, p: Prefix4, interned: &Interned) -> Mask {
        if p.len() < 8 {
            // Nothing as wide as this is listed, so anything below makes names exist.
            let rows = self.rows[(p.first() >> 24) as usize..=(p.last() >> 24) as usize]
                .iter()
                .flatten();
            return rows.fold(0, |m, r| {
                m | r.varied | interned.value(r.at).mask | r.touched.iter().fold(0, |m, t| m | t)
            });
        }
        let Some(row) = self.row(p.first()) else {
            return 0;
        };
        let b = (p.first() >> 16) as u8;
        if p.len() == 16 {
            return row.touched[usize::from(b)];
        }
        if p.len() > 16 {
            let (first, last) = (p.first() as u16, p.last() as u16);
            return match &row.blocks[usize::from(b)] {
                None => 0,
                Some(block) => block.varies_below(first, last, p.len(), interned),
            };
        }
        let (from, to) = (usize::from(b), (p.last() >> 16) as usize & 255);
        let below = row.touched[from..=to].iter().fold(0, |m, t| m | t);
        if p.len() == 8 {
            return below | row.varied;
        }
        below | varied((from..=to).map(|b| row.cover(b as u8)), p.len(), interned)
    }

    /// Reports what the addresses of a prefix of 8 bits or more answer by, as long as `emit`
    /// returns true; whether it always did. A /16 in which no reason of `zone` varies is reported
    /// by its cover alone.
    pub fn points(&self, p: Prefix4, zone: Mask, emit: PointFn) -> bool {
        let Some(row) = self.row(p.first()) else {
            return emit(FactsId::NONE, ValueId::EMPTY);
        };
        (p.first() >> 16..=p.last() >> 16).all(|b| {
            let b = b as u8;
            match row.blocks[usize::from(b)]
                .as_deref()
                .filter(|_| row.touched[usize::from(b)] & zone != 0)
            {
                None => emit(FactsId::NONE, row.cover(b)),
                Some(block) if p.len() > 16 => {
                    block.points(p.first() as u16, p.last() as u16, emit)
                }
                Some(block) => block.points(0, u16::MAX, emit),
            }
        })
    }

    /// Tells every cover found in a prefix of 8 to 31 bits. Of their parts, those no longer than
    /// the prefix are what it gives to everything below it that nothing longer speaks of.
    pub fn cover(&self, p: Prefix4, take: &mut dyn FnMut(ValueId)) {
        let Some(row) = self.row(p.first()) else {
            return;
        };
        let b = (p.first() >> 16) as u8;
        match p.len() {
            8 => take(row.at),
            9..16 => (b..=(p.last() >> 16) as u8).for_each(|b| take(row.cover(b))),
            16 => take(row.cover(b)),
            _ => match row.blocks[usize::from(b)].as_deref() {
                None => take(row.cover(b)),
                Some(block) => block.runs(p.first() as u16, p.last() as u16).for_each(take),
            },
        }
    }

    /// Whether one of the parts of a prefix of 8 bits or more, each of length `len`, has nothing in
    /// it that a zone lists.
    pub fn has_unlisted_child(&self, p: Prefix4, len: u8, zone: Mask, interned: &Interned) -> bool {
        let Some(row) = self.row(p.first()) else {
            return true;
        };
        let b = (p.first() >> 16) as u8;
        if p.len() >= 16 {
            return match &row.blocks[usize::from(b)] {
                None => interned.value(row.cover(b)).mask & zone == 0,
                Some(block) => block.has_unlisted_child(
                    (p.first() as u16, p.last() as u16),
                    1 << (32 - len),
                    zone,
                    interned,
                ),
            };
        }
        let empty =
            |b: usize| (interned.value(row.cover(b as u8)).mask | row.touched[b]) & zone == 0;
        let size = 1 << (16 - len);
        (usize::from(b)..=(p.last() >> 16) as usize & 255)
            .step_by(size)
            .any(|from| (from..from + size).all(empty))
    }

    /// Whether no cover in the block of a prefix of 16 bits or more differs from the /16's.
    pub fn is_plain(&self, p: Prefix4) -> bool {
        let block = self
            .row(p.first())
            .and_then(|r| r.blocks[usize::from((p.first() >> 16) as u8)].as_deref());
        block.is_none_or(|b| b.ranges.is_empty())
    }

    /// The number of hosts with entries of their own.
    pub fn hosts(&self) -> usize {
        let rows = self.rows.iter().flatten();
        rows.flat_map(|r| r.blocks.iter().flatten())
            .map(|b| b.hosts.len())
            .sum()
    }
}
