//! Changes the IPv4 table: hosts are merged block by block, covers are compiled anew where a prefix
//! changed.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    cover::{InternContext, State},
    ip4::{Block, HostFacts, Hosts, Ip4, Nets, Range, Row, SORTED_MAX, varied},
    values::{FactsId, Interned, ValueId},
};
use crate::model::Prefix4;

/// The prefixes that no other one contains, of prefixes in order.
fn outermost(prefixes: impl Iterator<Item = Prefix4>) -> Vec<Prefix4> {
    let mut out: Vec<Prefix4> = Vec::new();
    for p in prefixes {
        if !out.last().is_some_and(|last| last.contains(p)) {
            out.push(p);
        }
    }
    out
}

impl Ip4 {
    /// Sets the facts of some subjects: `hosts` (sorted by address, each once) and `nets` (in any
    /// order; hosts that override a cover are among them too). [`FactsId::NONE`] removes them.
    pub(super) fn apply(
        &mut self,
        hosts: &[(u32, FactsId)],
        nets: &[(Prefix4, FactsId)],
        pool: &mut InternContext,
    ) {
        for group in hosts.chunk_by(|a, b| a.0 >> 24 == b.0 >> 24) {
            let row = self.row_mut((group[0].0 >> 24) as u8);
            for block in group.chunk_by(|a, b| a.0 >> 16 == b.0 >> 16) {
                row.merge_hosts(block, pool);
            }
        }
        let mut stale: BTreeSet<(u8, Option<u8>)> = BTreeSet::new();
        if !pool.interner.derivations.is_empty() {
            // A host's own listing and those around it count together.
            stale.extend(
                hosts
                    .iter()
                    .map(|(h, _)| ((h >> 24) as u8, Some((h >> 16) as u8))),
            );
        }
        for (p, facts) in nets {
            let (a, b) = ((p.first() >> 24) as u8, (p.first() >> 16) as u8);
            self.row_mut(a).set_net(*p, *facts);
            stale.insert((a, (p.len() > 16).then_some(b)));
        }
        let whole: Vec<u8> = stale
            .iter()
            .filter(|(_, b)| b.is_none())
            .map(|(a, _)| *a)
            .collect();
        for a in &whole {
            self.row_mut(*a).compile_all(*a, pool);
        }
        let mut blocks = stale
            .iter()
            .filter_map(|(a, b)| Some((*a, (*b)?)))
            .filter(|(a, _)| !whole.contains(a))
            .peekable();
        while let Some((a, b)) = blocks.next() {
            let row = self.row_mut(a);
            row.compile_block(a, b, pool);
            if blocks.peek().is_none_or(|(next, _)| *next != a) {
                row.summarise(pool);
            }
        }
        let touched = hosts
            .iter()
            .map(|(h, _)| h >> 24)
            .chain(nets.iter().map(|(p, _)| p.first() >> 24));
        let mut last = None;
        for a in touched {
            if last.replace(a) != Some(a)
                && self.rows[a as usize].as_ref().is_some_and(|r| r.is_empty())
            {
                Arc::make_mut(&mut self.rows)[a as usize] = None;
            }
        }
    }

    fn row_mut(&mut self, a: u8) -> &mut Row {
        let slot = &mut Arc::make_mut(&mut self.rows)[usize::from(a)];
        Arc::make_mut(slot.get_or_insert_default())
    }

    /// Puts a block of an image into place; covers are compiled later.
    pub(super) fn put_block(&mut self, ab: u16, block: Block, interned: &Interned) {
        let row = self.row_mut((ab >> 8) as u8);
        let b = (ab & 255) as u8;
        row.blocks[usize::from(b)] = Some(Arc::new(Block {
            default_value: row.cover(b),
            ..block
        }));
        row.retouch(b, interned);
    }
}

impl Row {
    fn is_empty(&self) -> bool {
        self.wide.is_empty()
            && self.narrow.is_none()
            && self.at == ValueId::EMPTY
            && self.covers.is_none()
            && self.blocks.iter().all(Option::is_none)
    }

    /// Sets the facts of a prefix or of a host that overrides a cover; of the narrow ones only
    /// those of the /16 are copied.
    fn set_net(&mut self, p: Prefix4, facts: FactsId) {
        let set = |nets: &mut Nets| match facts {
            FactsId::NONE => drop(nets.remove(&p)),
            _ => drop(nets.insert(p, facts)),
        };
        if p.len() <= 16 {
            return set(Arc::make_mut(&mut self.wide));
        }
        let all = Arc::make_mut(
            self.narrow
                .get_or_insert_with(|| Arc::new([const { None }; 256])),
        );
        let slot = &mut all[(p.first() >> 16) as usize & 255];
        let nets = Arc::make_mut(slot.get_or_insert_default());
        set(nets);
        if nets.is_empty() {
            *slot = None;
            if all.iter().all(Option::is_none) {
                self.narrow = None;
            }
        }
    }

    /// Sets the facts of some hosts of one block.
    fn merge_hosts(&mut self, changes: &[(u32, FactsId)], pool: &mut InternContext) {
        let b = (changes[0].0 >> 16) as u8;
        let default_value = self.cover(b);
        let block = Arc::make_mut(
            self.blocks[usize::from(b)]
                .get_or_insert_with(|| Arc::new(Block::empty(default_value))),
        );
        match changes {
            [(addr, facts)] if block.set_one(*addr as u16, *facts) => {}
            _ => block.merge(changes),
        }
        if block.is_empty() {
            self.blocks[usize::from(b)] = None;
        }
        self.retouch(b, pool.interned);
    }

    /// The summary of one block after it changed.
    fn retouch(&mut self, b: u8, interned: &Interned) {
        let block = self.blocks[usize::from(b)].as_deref();
        self.touched[usize::from(b)] =
            block.map_or(0, |block| block.varies_below(0, u16::MAX, 16, interned));
    }

    /// The facts of prefixes of at most 16 bits for a /16.
    fn state(&self, a: u8, b: u8, pool: &InternContext) -> State {
        let mut state = State::default();
        for len in 8..=16 {
            let p = Prefix4::new(u32::from_be_bytes([a, b, 0, 0]), len);
            if let Some(facts) = self.wide.get(&p) {
                pool.enter(&mut state, *facts, len);
            }
        }
        state
    }

    /// Compiles the covers of the whole /8.
    fn compile_all(&mut self, a: u8, pool: &mut InternContext) {
        for b in 0..=255 {
            self.compile_block(a, b, pool);
        }
        self.summarise(pool);
    }

    /// Compiles the cover of one /16 and the runs inside it. [`Row::summarise`] comes after the
    /// last.
    fn compile_block(&mut self, a: u8, b: u8, pool: &mut InternContext) {
        let state = self.state(a, b, pool);
        let (default_value, ranges) = self.runs(a, b, &state, pool);
        let slot = &mut self.blocks[usize::from(b)];
        if slot
            .as_ref()
            .is_none_or(|block| *block.ranges != *ranges || block.default_value != default_value)
        {
            let block =
                Arc::make_mut(slot.get_or_insert_with(|| Arc::new(Block::empty(default_value))));
            (block.ranges, block.default_value) = (ranges.into(), default_value);
            if block.is_empty() {
                *slot = None;
            }
        }
        if default_value != self.cover(b) {
            let at = self.at;
            self.covers.get_or_insert_with(|| Box::new([at; 256]))[usize::from(b)] = default_value;
        }
        self.retouch(b, pool.interned);
    }

    /// The runs of a block that differ from its cover, and that cover: a walk over the nested
    /// prefixes in order.
    fn runs(&self, a: u8, b: u8, state: &State, pool: &mut InternContext) -> (ValueId, Vec<Range>) {
        let mut default_value = pool.resolve(state);
        let base = u32::from_be_bytes([a, b, 0, 0]);
        let mut stack = vec![(Prefix4::new(base, 16), state.clone(), default_value)];
        let mut out: Vec<Range> = Vec::new();
        let mut at = base;
        // Adds the run up to `last` to the runs so far.
        let mut emit = |at: &mut u32, end: u64, value: ValueId| {
            if end <= u64::from(*at) {
                return;
            }
            let (first, last) = (*at as u16, (end - 1) as u16);
            match out.last_mut() {
                Some(r) if r.value == value && u32::from(r.last) + 1 == u32::from(first) => {
                    r.last = last;
                }
                _ => out.push(Range { first, last, value }),
            }
            *at = (end - 1) as u32;
            *at = at.wrapping_add(1);
        };
        let end_of = |p: Prefix4| u64::from(p.last()) + 1;
        let mut full = u64::from(base);
        let nets = self.narrow(b).into_iter().flatten().map(|(p, f)| (*p, *f));
        let joined = !pool.interner.derivations.is_empty();
        let mut nets: Vec<(Prefix4, FactsId)> = nets.collect();
        if joined && let Some(block) = &self.blocks[usize::from(b)] {
            // What nothing covers has only its own listings.
            let covers: Vec<Prefix4> = match state.is_unlisted() {
                true => outermost(nets.iter().map(|(p, _)| *p)),
                false => vec![Prefix4::new(base, 16)],
            };
            for cover in covers {
                let (first, last) = (cover.first() as u16, cover.last() as u16);
                block.hosts.each(first, last, |place, suffix| {
                    let host = Prefix4::new(base | u32::from(suffix), 32);
                    nets.push((host, block.facts.get(place)));
                });
            }
            nets.sort_by_key(|(p, _)| *p);
            nets.dedup_by_key(|(p, _)| *p);
        }
        for (p, facts) in &nets {
            while let Some((top, _, value)) = stack.last().filter(|(top, ..)| !top.contains(*p)) {
                if end_of(*top) > full {
                    emit(&mut at, end_of(*top), *value);
                    full = full.max(end_of(*top));
                }
                stack.pop();
            }
            let Some((_, state, value)) = stack.last() else {
                break;
            };
            let overrides = pool.interned.facts(*facts).overrides_parent();
            if p.is_host() && !overrides && state.is_unlisted() {
                continue; // its own listings are all that it has
            }
            if u64::from(p.first()) > full {
                emit(&mut at, u64::from(p.first()), *value);
                full = u64::from(p.first());
            }
            let mut state = state.clone();
            if p.is_host() && !joined {
                state.enter_exclusions(pool.interned.facts(*facts));
            } else {
                pool.enter(&mut state, *facts, p.len());
            }
            let value = pool.resolve(&state);
            stack.push((*p, state, value));
        }
        while let Some((top, _, value)) = stack.pop() {
            if end_of(top) > full {
                emit(&mut at, end_of(top), value);
                full = end_of(top);
            }
        }
        if !out.iter().any(|r| r.value == default_value) {
            // The /16 has no entry of its own left: the value of the /8 takes its place.
            default_value = pool.common(out.iter().map(|r| r.value), 16);
        }
        out.retain(|r| r.value != default_value);
        (default_value, out)
    }

    /// The summary of the whole /8, after its covers changed.
    fn summarise(&mut self, pool: &mut InternContext) {
        let covers: Vec<ValueId> = (0..=255).map(|b| self.cover(b)).collect();
        self.at = pool.common(covers.iter().copied(), 8);
        self.varied = varied(covers.iter().copied(), 8, pool.interned);
        let same = covers.iter().all(|c| *c == self.at);
        self.covers = if same {
            None
        } else {
            covers.try_into().ok().map(Box::new)
        };
    }
}

impl Block {
    /// The fast path for one host: inserts, removes or overwrites it in place. Returns false, with
    /// nothing changed, if the block needs another form.
    fn set_one(&mut self, suffix: u16, facts: FactsId) -> bool {
        let there = self.hosts.find(suffix);
        let place = there.unwrap_or_else(|| self.hosts.rank(suffix));
        match (there, facts) {
            (None, FactsId::NONE) => true,
            (Some(_), FactsId::NONE) => {
                self.hosts.remove(suffix) && self.facts.splice(place, 1, None)
            }
            (Some(_), f) => self.facts.splice(place, 1, Some(f)),
            (None, f) => {
                self.hosts.has_room()
                    && self.facts.splice(place, 0, Some(f))
                    && self.hosts.insert(suffix)
            }
        }
    }

    /// Sets the facts of some hosts, sorted, each once.
    fn merge(&mut self, changes: &[(u32, FactsId)]) {
        let old = self.hosts.to_vec();
        let (mut suffixes, mut facts) = (
            Vec::with_capacity(old.len() + changes.len()),
            Vec::with_capacity(old.len() + changes.len()),
        );
        let mut put = |s: u16, f: FactsId| {
            if f != FactsId::NONE {
                suffixes.push(s);
                facts.push(f);
            }
        };
        let mut i = 0;
        for (addr, f) in changes {
            let s = *addr as u16;
            while i < old.len() && old[i] < s {
                put(old[i], self.facts.get(i));
                i += 1;
            }
            if i < old.len() && old[i] == s {
                i += 1;
            }
            put(s, *f);
        }
        for (j, s) in old.iter().enumerate().skip(i) {
            put(*s, self.facts.get(j));
        }
        self.hosts = Hosts::new(&suffixes);
        self.facts = HostFacts::new(&facts);
    }
}

impl Hosts {
    /// Whether one more host fits the form.
    fn has_room(&self) -> bool {
        match self {
            Hosts::Sorted(s) => s.len() < SORTED_MAX,
            Hosts::Bits(..) => true,
        }
    }

    /// Adds a suffix that is not in the set, if there is room.
    fn insert(&mut self, suffix: u16) -> bool {
        match self {
            Hosts::Sorted(s) => {
                let at = s.partition_point(|x| *x < suffix);
                *s = [&s[..at], &[suffix], &s[at..]].concat().into();
            }
            Hosts::Bits(bits, ranks) => {
                bits[usize::from(suffix) / 64] |= 1 << (suffix % 64);
                ranks[usize::from(suffix) / 512 + 1..]
                    .iter_mut()
                    .for_each(|r| *r = r.wrapping_add(1));
            }
        }
        true
    }

    /// Removes a suffix that is in the set; returns false if too few are left for the form.
    fn remove(&mut self, suffix: u16) -> bool {
        match self {
            Hosts::Sorted(s) => {
                let at = s.partition_point(|x| *x < suffix);
                *s = [&s[..at], &s[at + 1..]].concat().into();
            }
            Hosts::Bits(..) if self.len() <= SORTED_MAX + 1 => return false,
            Hosts::Bits(bits, ranks) => {
                bits[usize::from(suffix) / 64] &= !(1 << (suffix % 64));
                ranks[usize::from(suffix) / 512 + 1..]
                    .iter_mut()
                    .for_each(|r| *r = r.wrapping_sub(1));
            }
        }
        true
    }
}

impl HostFacts {
    /// Replaces `old` (none or one) by `new` facts at `place`. Returns false if they do not fit the
    /// form.
    fn splice(&mut self, place: usize, old: usize, new: Option<FactsId>) -> bool {
        fn put<T: Copy>(all: &[T], place: usize, old: usize, new: Option<T>) -> Box<[T]> {
            [&all[..place], new.as_slice(), &all[place + old..]]
                .concat()
                .into()
        }
        match (self, new) {
            (HostFacts::One(one), new) => new.is_none_or(|f| f == *one),
            (HostFacts::Few(few), new) => {
                let (kinds, places) = &mut **few;
                let kind = match new.map(|f| kinds.iter().position(|k| *k == f)) {
                    Some(None) => return false,
                    Some(Some(k)) => Some(k as u8),
                    None => None,
                };
                let gone = (old > 0).then(|| places[place]);
                *places = put(places, place, old, kind);
                // Facts that no host has any more must not be reported: names would exist because
                // of them.
                if let Some(g) = gone.filter(|g| !places.contains(g)) {
                    let last = (kinds.len() - 1) as u8;
                    places
                        .iter_mut()
                        .filter(|p| **p == last)
                        .for_each(|p| *p = g);
                    let mut left = std::mem::take(kinds).into_vec();
                    left.swap_remove(usize::from(g));
                    *kinds = left.into();
                }
                true
            }
            (HostFacts::Short(_), Some(FactsId(f))) if f > u32::from(u16::MAX) => false,
            (HostFacts::Short(all), new) => {
                **all = put(all, place, old, new.map(|f| f.0 as u16));
                true
            }
            (HostFacts::Each(all), new) => {
                **all = put(all, place, old, new);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn check(block: &Block, model: &BTreeMap<u16, FactsId>) -> Result<(), TestCaseError> {
        prop_assert_eq!(block.hosts.len(), model.len());
        prop_assert_eq!(
            block.hosts.to_vec(),
            model.keys().copied().collect::<Vec<_>>()
        );
        for (place, (suffix, facts)) in model.iter().enumerate() {
            prop_assert_eq!(
                (block.hosts.find(*suffix), block.facts.get(place)),
                (Some(place), *facts)
            );
        }
        let ends = model
            .keys()
            .step_by(model.len() / 4 + 1)
            .map(|s| (s.saturating_sub(70), s.saturating_add(70)));
        for (first, last) in ends.chain([(0, u16::MAX), (63, 64), (1, 1), (u16::MAX, u16::MAX)]) {
            let (mut got, before) = (Vec::new(), model.range(..first).count());
            block
                .hosts
                .each(first, last, |place, suffix| got.push((place, suffix)));
            let wanted: Vec<_> = model
                .range(first..=last)
                .enumerate()
                .map(|(i, (s, _))| (before + i, *s))
                .collect();
            prop_assert_eq!(got, wanted);
        }
        let mut kinds = BTreeSet::new();
        block.facts.kinds(&mut |f| {
            kinds.insert(f);
        });
        let wanted: BTreeSet<_> = model.values().copied().collect();
        prop_assert!(kinds == wanted || model.is_empty());
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// A block in every form (sorted and bits; one, few, short and any facts) equals a map
        /// after changes one by one and many at a time.
        #[test]
        fn a_block_is_a_map(
            size in prop_oneof![Just(0usize), Just(5), Just(300), 4090usize..4100, Just(30_000)],
            kinds in prop_oneof![Just(1u32), Just(3), Just(250), Just(3000), Just(90_000)],
            one_by_one in prop::collection::vec((any::<u16>(), 0u32..4, any::<bool>()), 1..60),
        ) {
            let mut block = Block::empty(ValueId::EMPTY);
            let fact = |i: u32| FactsId(1 + i % kinds);
            let mut model: BTreeMap<u16, FactsId> = (0..size as u32).map(|i| (i.wrapping_mul(40_503) as u16, fact(i * 7))).collect();
            let all: Vec<(u32, FactsId)> = model.iter().map(|(s, f)| (u32::from(*s), *f)).collect();
            if !all.is_empty() {
                block.merge(&all);
            }
            check(&block, &model)?;
            for (suffix, what, near) in one_by_one {
                // Half of the time one that is in the block.
                let suffix = if near { model.range(suffix..).next().map_or(suffix, |(s, _)| *s) } else { suffix };
                let facts = if what == 0 { FactsId::NONE } else { fact(u32::from(suffix) * what) };
                if !block.set_one(suffix, facts) {
                    block.merge(&[(u32::from(suffix), facts)]);
                }
                if what == 0 { model.remove(&suffix) } else { model.insert(suffix, facts) };
            }
            check(&block, &model)?;
        }
    }
}
