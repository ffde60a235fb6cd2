//! The IPv6 table: prefixes in order, with what each gives to the addresses inside it.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use super::{
    column::{Column, Ids},
    cover::InternContext,
    entries::{Entry, Key},
    tree::{Ancestor, Bounds, Leaf, NO_PARENT, Packed, Span, Step, Tree, Visitor},
    values::{FactsId, Interned, ValueId},
};
use crate::model::{Mask, Prefix6};

/// The IPv6 table. A copy shares everything.
#[derive(Debug, Clone, Default)]
pub struct Ip6 {
    pub(super) tree: Tree<Leaf6>,
}

/// Keeps the leaf of the last look-up, so that the next one nearby finds it at once.
#[derive(Default)]
pub struct Cursor<'a>(Cell<Option<Span<'a, Leaf6>>>);

/// What the addresses of a range answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// What the first of them answers.
    pub first: ValueId,
    /// The reasons by which some two of them differ.
    pub varied: Mask,
}

/// What a walk through the addresses of a network meets.
#[derive(Debug, Clone, Copy)]
pub(super) enum HostEntry {
    /// Facts that some addresses of the next leaf have; true if these are to be visited.
    Leaf(FactsId),
    /// An address with its facts; false ends the walk.
    Host(u128, FactsId),
}

/// Gets what some addresses answer: the first and last one, and their value; false ends the search.
pub type RunFn<'f> = &'f mut dyn FnMut(u128, u128, ValueId) -> bool;

impl Summary {
    /// The reasons that are not listed, or not listed, by one listing of at most `len` bits for the
    /// whole range.
    pub fn varies_at(self, len: u8, interned: &Interned) -> Mask {
        self.varied | interned.value(self.first).longer_than(len)
    }
}

/// Joins summaries of neighbours.
#[derive(Default)]
struct Fold {
    joined: Option<Summary>,
    /// If one of these reasons varies, nothing more is of interest.
    until: Mask,
}

impl Fold {
    /// Adds the next one; false if no more are needed.
    fn add(&mut self, next: Summary, interned: &Interned) -> bool {
        let Some(all) = &mut self.joined else {
            self.joined = Some(next);
            return next.varied & self.until == 0;
        };
        all.varied |= next.varied;
        if all.first != next.first {
            all.varied |= interned
                .value(next.first)
                .differs(interned.value(all.first));
        }
        all.varied & self.until == 0
    }

    fn add_run(&mut self, value: ValueId, interned: &Interned) -> bool {
        let run = Summary {
            first: value,
            varied: 0,
        };
        self.add(run, interned)
    }

    fn done(self) -> Summary {
        self.joined.unwrap_or(Summary {
            first: ValueId::EMPTY,
            varied: 0,
        })
    }
}

impl Ip6 {
    /// How many prefixes have facts.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// What an address answers.
    #[inline]
    pub fn get(&self, addr: u128) -> ValueId {
        let span = self.tree.leaf(&addr);
        span.leaf.covering(addr, 128, *span.from)
    }

    /// What the prefixes around a prefix, and it itself, give to the addresses in it.
    pub fn given<'a>(&'a self, p: Prefix6, cursor: &Cursor<'a>) -> ValueId {
        let span = self.span(p.first(), cursor);
        span.leaf.covering(p.first(), p.len(), *span.from)
    }

    /// What the addresses of a prefix answer.
    pub fn summary<'a>(&'a self, p: Prefix6, cursor: &Cursor<'a>, interned: &Interned) -> Summary {
        self.summary_until(p, 0, cursor, interned)
    }

    /// The same, but it is enough to know that a reason of `until` varies.
    fn summary_until<'a>(
        &'a self,
        p: Prefix6,
        until: Mask,
        cursor: &Cursor<'a>,
        interned: &Interned,
    ) -> Summary {
        let span = self.span(p.first(), cursor);
        let mut fold = Fold {
            until,
            ..Fold::default()
        };
        if span.to.is_none_or(|to| *to > p.last()) {
            span.leaf
                .runs((p.first(), p.last()), *span.from, &mut |_, _, value| {
                    fold.add_run(value, interned)
                });
        } else {
            self.tree.walk(
                Some(&p.first()),
                &mut Summing {
                    p,
                    fold: &mut fold,
                    interned,
                },
            );
        }
        fold.done()
    }

    /// Whether one of the reasons in `mask` varies in a prefix: not all of its addresses answer by
    /// one listing of at most its length.
    pub fn varies<'a>(
        &'a self,
        p: Prefix6,
        mask: Mask,
        cursor: &Cursor<'a>,
        interned: &Interned,
    ) -> bool {
        self.summary_until(p, mask, cursor, interned)
            .varies_at(p.len(), interned)
            & mask
            != 0
    }

    /// Reports what the addresses of a prefix answer, in order, as long as `emit` returns true;
    /// whether it always did. Where no reason of `mask` varies, several runs may be reported as one
    /// with the value of the first.
    pub fn runs(&self, p: Prefix6, mask: Mask, emit: RunFn) -> bool {
        self.run(p, Some(mask), emit)
    }

    /// The same, with every run on its own.
    pub fn each_run(&self, p: Prefix6, emit: RunFn) -> bool {
        self.run(p, None, emit)
    }

    fn run(&self, p: Prefix6, joined: Option<Mask>, emit: RunFn) -> bool {
        let mut visitor = Running {
            p,
            joined,
            emit,
            go: true,
        };
        self.tree.walk(Some(&p.first()), &mut visitor);
        visitor.go
    }

    /// The children of a prefix of whole nibbles, each a nibble longer, that an entry inside the
    /// prefix is in or covers; one bit each.
    pub fn branches<'a>(&'a self, p: Prefix6, cursor: &Cursor<'a>) -> u16 {
        let (mut out, mut at) = (0u16, p.first());
        let shift = 124 - u32::from(p.len());
        while let Some(e) = self.next_inside(p, at, cursor) {
            let child = (e.start >> shift) as u32 & 15;
            let last = (e.last().min(p.last()) >> shift) as u32 & 15;
            (child..=last).for_each(|i| out |= 1 << i);
            match p
                .first()
                .checked_add(u128::from(last + 1) << shift)
                .filter(|next| *next <= p.last() && last < 15)
            {
                Some(next) => at = next,
                None => break,
            }
        }
        out
    }

    /// The longest prefix of whole nibbles that all entries inside a prefix are inside of.
    pub fn chain<'a>(&'a self, p: Prefix6, cursor: &Cursor<'a>) -> Prefix6 {
        let Some(first) = self.next_inside(p, p.first(), cursor) else {
            return p;
        };
        let span = self.span(p.last(), cursor);
        let n = span.leaf.upto(p.last());
        let last = match n.checked_sub(1) {
            Some(i) => span.leaf.start(i),
            // Its range begins after the last entry.
            None => *span.from,
        };
        let common = (first.start ^ last.max(first.start)).leading_zeros() as u8;
        let len = common.min(first.len - 1) & !3;
        if len <= p.len() {
            p
        } else {
            Prefix6::new(first.start, len)
        }
    }

    /// The first entry from an address on that is inside a prefix and longer.
    fn next_inside<'a>(&'a self, p: Prefix6, from: u128, cursor: &Cursor<'a>) -> Option<Key6> {
        let mut at = from;
        loop {
            let span = self.span(at, cursor);
            let place = at.checked_sub(1).map_or(0, |before| span.leaf.upto(before));
            for i in place..span.leaf.len() {
                let key = span.leaf.key(i);
                if key.start > p.last() {
                    return None;
                }
                if key.len > p.len() {
                    return Some(key);
                }
            }
            at = *span.to.filter(|to| **to <= p.last())?;
        }
    }

    #[inline]
    fn span<'a>(&'a self, addr: u128, cursor: &Cursor<'a>) -> Span<'a, Leaf6> {
        match cursor.0.get() {
            Some(span) if *span.from <= addr && span.to.is_none_or(|to| addr < *to) => span,
            _ => {
                let span = self.tree.leaf(&addr);
                cursor.0.set(Some(span));
                span
            }
        }
    }

    /// Changes of prefixes in order of their keys, of each prefix the last one.
    pub(super) fn last_changes(changes: &[(Prefix6, FactsId)]) -> Vec<(Key6, FactsId)> {
        let mut sorted: Vec<(Key6, FactsId)> =
            changes.iter().map(|(p, f)| (Key6::of(*p), *f)).collect();
        sorted.sort_by_key(|(key, _)| *key);
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        sorted
    }

    /// Sets the facts of prefixes, which are in order and different. [`FactsId::NONE`] removes.
    pub(super) fn apply(&mut self, changes: &[(Key6, FactsId)], context: &mut InternContext) {
        self.tree.apply(changes, context);
    }

    /// The facts of a prefix; [`FactsId::NONE`] if it has none.
    pub(super) fn facts(&self, p: Prefix6) -> FactsId {
        let (leaf, key) = (self.tree.leaf(&p.first()).leaf, Key6::of(p));
        let places = (0..leaf.upto(p.first())).rev();
        let mut same_start = places.take_while(|i| leaf.start(*i) == key.start);
        let place = same_start.find(|i| leaf.key(*i) == key);
        place.map_or(FactsId::NONE, |i| FactsId(leaf.facts.get(i)))
    }

    /// Visits the single addresses of a prefix in order, each leaf of them only if `visit` wants one
    /// of the facts in it.
    pub(super) fn hosts(&self, p: Prefix6, visit: &mut dyn FnMut(HostEntry) -> bool) {
        self.tree.walk(Some(&p.first()), &mut Hosts { p, visit });
    }

    /// Visits every prefix with its facts, in order.
    pub(super) fn visit(&self, each: &mut dyn FnMut(Prefix6, FactsId)) {
        self.tree.leaves(&mut |Span { leaf, .. }| {
            for i in 0..leaf.len() {
                let key = leaf.key(i);
                each(Prefix6::new(key.start, key.len), FactsId(leaf.facts.get(i)));
            }
        });
    }

    /// Reports the numbers of facts and values in use, for the sweep.
    pub(super) fn used(&self, fact: &mut dyn FnMut(FactsId), value: &mut dyn FnMut(ValueId)) {
        self.tree.used(fact, value);
    }
}

impl std::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursor")
    }
}

/// Whether the range of a child is inside a prefix.
fn inside(p: Prefix6, from: u128, to: Option<&u128>) -> bool {
    from >= p.first()
        && match to {
            Some(to) => *to - 1 <= p.last(),
            None => p.last() == u128::MAX,
        }
}

struct Summing<'f> {
    p: Prefix6,
    fold: &'f mut Fold,
    interned: &'f Interned,
}

impl<'a> Visitor<'a, Leaf6> for Summing<'_> {
    fn child(&mut self, from: &'a u128, to: Option<&'a u128>, summary: &Summary) -> Step {
        if *from > self.p.last() {
            return Step::Stop;
        }
        if !inside(self.p, *from, to) {
            return Step::Enter;
        }
        match self.fold.add(*summary, self.interned) {
            true => Step::Skip,
            false => Step::Stop,
        }
    }
    fn leaf(&mut self, span: Span<'a, Leaf6>) -> bool {
        let Summing { p, fold, interned } = self;
        span.leaf
            .runs(clip(*p, span), *span.from, &mut |_, _, value| {
                fold.add_run(value, interned)
            })
    }
}

/// The part of a prefix that is in the range of a leaf.
fn clip(p: Prefix6, span: Span<Leaf6>) -> (u128, u128) {
    let last = span.to.map_or(u128::MAX, |to| to - 1);
    (p.first().max(*span.from), p.last().min(last))
}

struct Running<'f> {
    p: Prefix6,
    /// Runs between which none of these reasons varies may be reported as one.
    joined: Option<Mask>,
    emit: RunFn<'f>,
    go: bool,
}

impl<'a> Visitor<'a, Leaf6> for Running<'_> {
    fn child(&mut self, from: &'a u128, to: Option<&'a u128>, summary: &Summary) -> Step {
        if *from > self.p.last() {
            return Step::Stop;
        }
        let varies = self.joined.is_none_or(|mask| summary.varied & mask != 0);
        if varies || !inside(self.p, *from, to) {
            return Step::Enter;
        }
        let last = to.map_or(u128::MAX, |to| to - 1);
        self.go = (self.emit)(*from, last, summary.first);
        if self.go { Step::Skip } else { Step::Stop }
    }
    fn leaf(&mut self, span: Span<'a, Leaf6>) -> bool {
        self.go = span.leaf.runs(clip(self.p, span), *span.from, self.emit);
        self.go
    }
}

/// Visits the single addresses of a prefix.
struct Hosts<'f> {
    p: Prefix6,
    visit: &'f mut dyn FnMut(HostEntry) -> bool,
}

impl<'a> Visitor<'a, Leaf6> for Hosts<'_> {
    fn child(&mut self, from: &'a u128, _: Option<&'a u128>, _: &Summary) -> Step {
        match *from > self.p.last() {
            true => Step::Stop,
            false => Step::Enter,
        }
    }
    fn leaf(&mut self, span: Span<'a, Leaf6>) -> bool {
        let (leaf, (first, last)) = (span.leaf, clip(self.p, span));
        let mut is_wanted = false;
        leaf.facts.kinds(|n| {
            is_wanted = is_wanted || (self.visit)(HostEntry::Leaf(FactsId(n)));
        });
        if !is_wanted {
            return true;
        }
        let begin = first.checked_sub(1).map_or(0, |before| leaf.upto(before));
        let places = begin..leaf.upto(last);
        let mut hosts = places.filter(|i| leaf.lens.get(*i) == 128);
        hosts.all(|i| (self.visit)(HostEntry::Host(leaf.start(i), FactsId(leaf.facts.get(i)))))
    }
}

/// A prefix, before those inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key6 {
    start: u128,
    len: u8,
}

/// The bits of an address that are not in a prefix of `len` bits.
fn host_bits(len: u8) -> u128 {
    u128::MAX.checked_shr(u32::from(len)).unwrap_or(0)
}

impl Key6 {
    /// The key of a prefix.
    pub(super) fn of(p: Prefix6) -> Key6 {
        Key6 {
            start: p.first(),
            len: p.len(),
        }
    }
    /// The prefix.
    pub(super) fn prefix(self) -> Prefix6 {
        Prefix6::new(self.start, self.len)
    }
    fn last(self) -> u128 {
        self.start | host_bits(self.len)
    }
    #[inline]
    fn has(self, addr: u128) -> bool {
        (addr ^ self.start) & !host_bits(self.len) == 0
    }
}

impl Key for Key6 {
    fn contains(self, other: Key6) -> bool {
        other.len > self.len && self.has(other.start)
    }
    fn level(self) -> u8 {
        self.len
    }
    fn same_place(self, other: Key6) -> bool {
        self.start == other.start
    }
}

impl Bounds<u128, u128> for Box<[u128]> {
    fn new(all: Vec<u128>) -> Self {
        all.into()
    }
    #[inline]
    fn place(&self, probe: &u128) -> usize {
        self.partition_point(|b| b <= probe)
    }
    fn get(&self, i: usize) -> &u128 {
        &self[i]
    }
}

/// Where prefixes start: steps of a power of two from the first one on, in the narrowest numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Starts {
    Narrow(Box<[u16]>),
    Medium(Box<[u32]>),
    Wide(Box<[u64]>),
    Whole(Box<[u128]>),
}

impl Starts {
    fn new(all: &[u128]) -> Starts {
        let most = all.last().copied().unwrap_or(0);
        match most {
            n if n <= u128::from(u16::MAX) => {
                Starts::Narrow(all.iter().map(|n| *n as u16).collect())
            }
            n if n <= u128::from(u32::MAX) => {
                Starts::Medium(all.iter().map(|n| *n as u32).collect())
            }
            n if n <= u128::from(u64::MAX) => Starts::Wide(all.iter().map(|n| *n as u64).collect()),
            _ => Starts::Whole(all.into()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Starts::Narrow(all) => all.len(),
            Starts::Medium(all) => all.len(),
            Starts::Wide(all) => all.len(),
            Starts::Whole(all) => all.len(),
        }
    }

    #[inline]
    fn get(&self, i: usize) -> u128 {
        match self {
            Starts::Narrow(all) => u128::from(all[i]),
            Starts::Medium(all) => u128::from(all[i]),
            Starts::Wide(all) => u128::from(all[i]),
            Starts::Whole(all) => all[i],
        }
    }

    /// How many are at most `n`.
    #[inline]
    fn upto(&self, n: u128) -> usize {
        fn count<T: Copy + Ord + TryFrom<u128>>(all: &[T], n: u128) -> usize {
            match T::try_from(n) {
                Ok(n) => all.partition_point(|s| *s <= n),
                Err(_) => all.len(),
            }
        }
        match self {
            Starts::Narrow(all) => count(all, n),
            Starts::Medium(all) => count(all, n),
            Starts::Wide(all) => count(all, n),
            Starts::Whole(all) => count(all, n),
        }
    }
}

/// Prefixes in order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Leaf6 {
    /// The start of the first prefix.
    base: u128,
    /// By how many bits the numbers in `starts` are shifted.
    shift: u8,
    starts: Starts,
    lens: Column<u8>,
    facts: Ids,
    values: Ids,
    parents: Option<Box<[u16]>>,
    ancestors: Box<[Ancestor]>,
}

impl Leaf6 {
    #[inline]
    fn start(&self, i: usize) -> u128 {
        self.base + (self.starts.get(i) << self.shift)
    }

    #[inline]
    fn key(&self, i: usize) -> Key6 {
        Key6 {
            start: self.start(i),
            len: self.lens.get(i),
        }
    }

    #[inline]
    fn value(&self, i: usize) -> ValueId {
        ValueId(self.values.get(i))
    }

    /// Reads what a look-up reads first, for [`super::prefetch`].
    #[inline]
    pub(super) fn touch(&self) -> usize {
        self.starts.len() ^ self.ancestors.len()
    }

    /// Reads what a look-up of an address reads next, for [`super::prefetch`].
    #[inline]
    pub(super) fn touch_place(&self, addr: u128) -> usize {
        self.upto(addr)
    }

    /// How many prefixes start at an address or before it.
    #[inline]
    fn upto(&self, addr: u128) -> usize {
        match addr.checked_sub(self.base) {
            Some(n) => self.starts.upto(n >> self.shift),
            None => 0,
        }
    }

    /// The nearest prefix around an address in the leaf, among those up to a place.
    #[inline]
    fn around(&self, addr: u128, upto: usize, longest: u8) -> Option<usize> {
        let mut i = upto.checked_sub(1)?;
        loop {
            let key = self.key(i);
            if key.len <= longest && key.has(addr) {
                return Some(i);
            }
            i = match self.parents.as_ref()?[i] {
                NO_PARENT => return None,
                parent => usize::from(parent),
            };
        }
    }

    /// What the nearest prefix around an address gives, of those with at most `longest` bits.
    #[inline]
    fn covering(&self, addr: u128, longest: u8, bound: u128) -> ValueId {
        if let Some(i) = self.around(addr, self.upto(addr), longest) {
            return self.value(i);
        }
        let outer = self.ancestors.iter().rev();
        outer
            .filter(|a| a.len <= longest)
            .find(|a| (addr ^ bound) & !host_bits(a.len) == 0)
            .map_or(ValueId::EMPTY, |a| a.value)
    }

    /// Reports what the addresses of a range answer, which is in the range of the leaf, as long as
    /// `emit` returns true; whether it always did.
    fn runs(&self, (first, last): (u128, u128), bound: u128, emit: RunFn) -> bool {
        let mut around = Around {
            leaf: self,
            bound,
            own: self.around(first, self.upto(first), 128),
            ancestors: self.ancestors.partition_point(|a| {
                let key = Leaf6::ancestor_key(a, &bound);
                key.has(first)
            }),
        };
        let (mut at, mut next) = (first, self.upto(first));
        loop {
            let start = (next < self.len())
                .then(|| self.start(next))
                .filter(|start| *start <= last);
            let stop = start.map_or(last, |start| start - 1);
            while at <= stop {
                let (end, value) = around.at(at);
                let to = stop.min(end);
                if !emit(at, to, value) {
                    return false;
                }
                if to == last {
                    return true;
                }
                at = to + 1;
            }
            if start.is_none() {
                return true;
            }
            around.own = Some(next);
            next += 1;
        }
    }
}

/// The prefixes around an address, while it moves through the range of a leaf.
struct Around<'l> {
    leaf: &'l Leaf6,
    bound: u128,
    /// The nearest one in the leaf.
    own: Option<usize>,
    /// How many of the ancestors are around it.
    ancestors: usize,
}

impl Around<'_> {
    /// The last address that answers as the present one, if no other prefix starts before, and what
    /// they answer.
    fn at(&mut self, addr: u128) -> (u128, ValueId) {
        while let Some(i) = self.own {
            let last = self.leaf.key(i).last();
            if last >= addr {
                return (last, self.leaf.value(i));
            }
            let parents = self.leaf.parents.as_ref();
            self.own = parents
                .map(|p| p[i])
                .filter(|p| *p != NO_PARENT)
                .map(usize::from);
        }
        while let Some(a) = self.leaf.ancestors[..self.ancestors].last() {
            let last = Leaf6::ancestor_key(a, &self.bound).last();
            if last >= addr {
                return (last, a.value);
            }
            self.ancestors -= 1;
        }
        (u128::MAX, ValueId::EMPTY)
    }
}

impl Leaf for Leaf6 {
    type Key<'a> = Key6;
    type Probe = u128;
    type Bound = u128;
    type Bounds = Box<[u128]>;
    type Summary = Summary;

    fn shorter<'b, 'a: 'b>(key: Key6) -> Key6 {
        key
    }
    fn lowest() -> u128 {
        0
    }
    fn len(&self) -> usize {
        self.starts.len()
    }
    fn decode(&self, _: &mut Vec<u8>) -> Vec<Entry<Key6>> {
        let entry = |i| Entry {
            key: self.key(i),
            facts: FactsId(self.facts.get(i)),
            value: self.value(i),
            changed: false,
        };
        (0..self.len()).map(entry).collect()
    }
    fn encode(packed: &Packed<'_, '_, Self>, _: &Interned) -> Leaf6 {
        let entries = packed.entries;
        let base = entries.first().map_or(0, |e| e.key.start);
        let steps: Vec<u128> = entries.iter().map(|e| e.key.start - base).collect();
        let shift = steps
            .iter()
            .fold(0, |all, n| all | n)
            .trailing_zeros()
            .min(127);
        let starts: Vec<u128> = steps.iter().map(|n| n >> shift).collect();
        let lens: Vec<u8> = entries.iter().map(|e| e.key.len).collect();
        let facts: Vec<u32> = entries.iter().map(|e| e.facts.0).collect();
        let values: Vec<u32> = entries.iter().map(|e| e.value.0).collect();
        Leaf6 {
            base,
            shift: shift as u8,
            starts: Starts::new(&starts),
            lens: Column::new(&lens, 0),
            facts: Ids::new(&facts),
            values: Ids::new(&values),
            parents: packed.parents.clone(),
            ancestors: packed.ancestors.clone(),
        }
    }
    fn columns(&self) -> (&Ids, &Ids) {
        (&self.facts, &self.values)
    }
    fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }
    fn ancestor_key(a: &Ancestor, bound: &u128) -> Key6 {
        Key6 {
            start: bound & !host_bits(a.len),
            len: a.len,
        }
    }
    fn ancestor_parts(key: Key6) -> (u8, u8) {
        (key.len, 0)
    }
    fn holds(key: Key6, bound: &u128) -> bool {
        key.has(*bound)
    }
    fn before(key: Key6, bound: &u128) -> bool {
        key.start < *bound
    }
    fn separator(_: Key6, right: Key6) -> u128 {
        right.start
    }
    fn summary(&self, from: &u128, to: Option<&u128>, interned: &Interned) -> Summary {
        let mut fold = Fold::default();
        let last = to.map_or(u128::MAX, |to| to - 1);
        self.runs((*from, last), *from, &mut |_, _, value| {
            fold.add_run(value, interned)
        });
        fold.done()
    }
    fn is_sound(&self, from: &u128, to: Option<&u128>, limits: [usize; 2]) -> bool {
        let (n, last) = (self.len(), to.map_or(u128::MAX, |to| to - 1));
        let most = (0..n).map(|i| self.starts.get(i)).max().unwrap_or(0);
        let fits = n < usize::from(NO_PARENT)
            && self.shift < 128
            && most.leading_zeros() >= u32::from(self.shift)
            && self.base.checked_add(most << self.shift).is_some()
            && self.lens.has_rows(n)
            && self.facts.are_sound(n, limits[0])
            && self.values.are_sound(n, limits[1])
            && self.parents.as_ref().is_none_or(|all| all.len() == n);
        let is_key = |i: usize| {
            let key = self.key(i);
            key.len <= 128
                && key.start & host_bits(key.len) == 0
                && (*from..=last).contains(&key.start)
                && (i == 0 || self.key(i - 1) < key)
        };
        let is_parent = |(i, p): (usize, &u16)| {
            *p == NO_PARENT
                || (usize::from(*p) < i && self.key(usize::from(*p)).contains(self.key(i)))
        };
        fits && (0..n).all(is_key)
            && self
                .parents
                .iter()
                .all(|all| all.iter().enumerate().all(is_parent))
            && self
                .ancestors
                .iter()
                .all(|a| a.len <= 128 && a.is_sound(limits))
    }
    fn combine(all: &[Summary], interned: &Interned) -> Summary {
        let mut fold = Fold::default();
        all.iter().for_each(|s| {
            fold.add(*s, interned);
        });
        fold.done()
    }
}

/// The nibbles of an address, most significant first.
pub fn nibbles(addr: u128) -> [u8; 32] {
    std::array::from_fn(|i| (addr >> (124 - 4 * i)) as u8 & 15)
}
