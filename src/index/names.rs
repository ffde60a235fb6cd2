//! The table of names: domains and digests in the order of their labels from the right.
//!
//! A key is the labels from the right, a zero after each, so that everything below a name stands
//! behind it. A name has up to three entries, one for each scope. In a leaf, each key is stored as
//! what differs from the key before it; every sixteenth one has its place in a list that is
//! searched first.

use super::{
    column::{Column, Ids},
    cover::InternContext,
    entries::{Entry, Key},
    tree::{Ancestor, Bounds, Leaf, NO_PARENT, Packed, Span, Step, Tree, Visitor},
    values::{FactsId, Interned, ValueId},
};
use crate::model::{Domain, Mask, Scope};

/// The table of names. A copy shares everything.
#[derive(Debug, Clone, Default)]
pub struct Names {
    tree: Tree<NameLeaf>,
}

/// What a name answers itself, and what everything below it answers that has nothing nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeValue {
    /// The name itself.
    pub own: ValueId,
    /// The names below it.
    pub below: ValueId,
}

/// What a zone has on the way to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deepest {
    /// How many bytes of the key the deepest name has that exists in the zone: the name itself or
    /// one above it.
    pub len: usize,
    /// What that name answers and gives, as far as the zone can see it.
    pub value: NodeValue,
    /// Whether a name below it exists in the zone; only for the name itself.
    pub branches: bool,
}

/// Gets a name's key, and what it answers and gives; false ends the visit.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], NodeValue) -> bool;

/// The key of a domain: its labels from the right, a zero after each.
pub fn name_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    for label in name.rsplit('.') {
        key.extend(label.as_bytes());
        key.push(0);
    }
    key
}

/// The length of the part of a key that has only whole labels, of its first `len` bytes.
fn whole_labels(key: &[u8], len: usize) -> usize {
    key[..len]
        .iter()
        .rposition(|b| *b == 0)
        .map_or(0, |i| i + 1)
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Names {
    /// How many pairs of a name and a scope have facts.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// What a name answers and gives.
    pub fn value(&self, key: &[u8]) -> NodeValue {
        let span = self.tree.leaf(key);
        span.leaf.value(&span.leaf.search(key), key, span.from)
    }

    /// The reasons by which a name, or some name below it, differs from what is above it: they make
    /// it exist.
    pub fn varies(&self, key: &[u8]) -> Mask {
        let span = self.tree.leaf(key);
        let spot = span.leaf.search(key);
        span.leaf.touched(&spot) | self.varies_below(key)
    }

    /// The reasons by which some name strictly below a name differs from what is above that one.
    pub fn varies_below(&self, key: &[u8]) -> Mask {
        let mut below = Below { key, mask: 0 };
        self.tree.walk(Some(key), &mut below);
        below.mask
    }

    /// Finds the deepest name that exists in a zone with these reasons, on the way from the top to
    /// a name.
    #[inline]
    pub fn deepest(&self, key: &[u8], zone: Mask) -> Deepest {
        let span = self.tree.leaf(key);
        let spot = span.leaf.search(key);
        let value = span.leaf.value(&spot, key, span.from);
        // What shares most with the name is next to it in the order.
        let after = self.after(key, zone, span, &spot);
        let own = span.leaf.touched(&spot) & zone != 0;
        if own || after == key.len() {
            return Deepest {
                len: key.len(),
                value,
                branches: after == key.len(),
            };
        }
        let len = after.max(self.before(key, zone, span, &spot, after));
        let NodeValue { below, .. } = value;
        Deepest {
            len,
            value: NodeValue { own: below, below },
            branches: true,
        }
    }

    /// How much of a key, in whole labels, the next name of a zone shares.
    fn after(&self, key: &[u8], zone: Mask, span: Span<NameLeaf>, spot: &Spot) -> usize {
        let leaf = span.leaf;
        if spot.end < leaf.len() {
            if leaf.touch.get(spot.end) & zone != 0 {
                return whole_labels(key, spot.after);
            }
            if let Some(i) = (spot.end..leaf.len()).find(|i| leaf.touch.get(*i) & zone != 0) {
                return whole_labels(key, leaf.common(i, key));
            }
        }
        // What comes later shares no more than the bound of the next leaf does.
        match span.to {
            Some(to) if whole_labels(key, common(to, key)) > 0 => {
                self.nearest(Some(to), key, zone, Side::After)
            }
            _ => 0,
        }
    }

    /// The same for the name before; of interest only if it is more than `least`.
    fn before(
        &self,
        key: &[u8],
        zone: Mask,
        span: Span<NameLeaf>,
        spot: &Spot,
        least: usize,
    ) -> usize {
        let leaf = span.leaf;
        if spot.at > 0 {
            if leaf.touch.get(spot.at - 1) & zone != 0 {
                return whole_labels(key, spot.shared);
            }
            if whole_labels(key, spot.shared) <= least {
                return 0;
            }
            if let Some(i) = (0..spot.at).rfind(|i| leaf.touch.get(*i) & zone != 0) {
                return whole_labels(key, leaf.common(i, key));
            }
        }
        if whole_labels(key, common(span.from, key)) <= least {
            return 0;
        }
        self.nearest(None, key, zone, Side::Before)
    }

    /// How much of a key, in whole labels, the nearest name of a zone before or after it shares.
    fn nearest(&self, from: Option<&[u8]>, key: &[u8], zone: Mask, side: Side) -> usize {
        let mut nearest = Nearest {
            key,
            zone,
            side,
            shared: 0,
        };
        match side {
            Side::Before => self.tree.walk_back(key, &mut nearest),
            Side::After => self.tree.walk(from, &mut nearest),
        }
        nearest.shared
    }

    /// Visits, in order, every name at or below `above` that exists in a zone with these reasons,
    /// except `above` itself; false if `visit` ended it.
    pub fn existing(&self, above: &[u8], zone: Mask, visit: Visit) -> bool {
        let mut existing = Existing {
            names: self,
            above,
            zone,
            last: above.to_vec(),
            go: true,
            visit,
        };
        self.tree.walk(Some(above), &mut existing);
        existing.go
    }

    /// Sets the facts of domains; the last change of a domain counts. [`FactsId::NONE`] removes.
    pub(super) fn apply(&mut self, changes: &[(Domain, FactsId)], context: &mut InternContext) {
        let keys: Vec<(Vec<u8>, u8, FactsId)> = changes
            .iter()
            .map(|(d, f)| (name_key(d.name()), place_of(d.scope()), *f))
            .collect();
        let mut sorted: Vec<(NameKey<'_>, FactsId)> = keys
            .iter()
            .map(|(bytes, scope, f)| {
                let scope = *scope;
                (NameKey { bytes, scope }, *f)
            })
            .collect();
        sorted.sort_by_key(|(key, _)| *key);
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        self.tree.apply(&sorted, context);
    }

    /// Visits every domain with its facts, in order.
    pub(super) fn visit(&self, each: &mut dyn FnMut(&[u8], Scope, FactsId)) {
        let mut leaves = |leaf: &NameLeaf| {
            let mut room = Vec::new();
            for e in leaf.decode(&mut room) {
                let scope = [Scope::Tree, Scope::Name, Scope::Below][usize::from(e.key.scope)];
                each(e.key.bytes, scope, e.facts);
            }
        };
        self.tree.walk(None, &mut Leaves(&mut leaves));
    }

    /// Reports the numbers of facts and values in use, for the sweep.
    pub(super) fn used(&self, fact: &mut dyn FnMut(FactsId), value: &mut dyn FnMut(ValueId)) {
        let mut each = |leaf: &NameLeaf| {
            leaf.facts.kinds(|n| fact(FactsId(n)));
            leaf.values.kinds(|n| value(ValueId(n)));
            for a in &leaf.ancestors {
                fact(a.facts);
                value(a.value);
            }
        };
        self.tree.walk(None, &mut Leaves(&mut each));
    }
}

/// Visits all leaves.
struct Leaves<'f>(&'f mut dyn FnMut(&NameLeaf));

impl<'a> Visitor<'a, NameLeaf> for Leaves<'_> {
    fn child(&mut self, _: &'a Box<[u8]>, _: Option<&'a Box<[u8]>>, _: &Mask) -> Step {
        Step::Enter
    }
    fn leaf(&mut self, span: Span<'a, NameLeaf>) -> bool {
        (self.0)(span.leaf);
        true
    }
}

/// Where a neighbour is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Finds the nearest entry of a zone before or after a key.
struct Nearest<'k> {
    key: &'k [u8],
    zone: Mask,
    side: Side,
    /// How much of the key the entry shares, in whole labels.
    shared: usize,
}

impl<'a> Visitor<'a, NameLeaf> for Nearest<'_> {
    fn child(&mut self, _: &'a Box<[u8]>, _: Option<&'a Box<[u8]>>, touch: &Mask) -> Step {
        if touch & self.zone == 0 {
            Step::Skip
        } else {
            Step::Enter
        }
    }
    fn leaf(&mut self, span: Span<'a, NameLeaf>) -> bool {
        let leaf = span.leaf;
        let of_zone = |i: &usize| leaf.touch.get(*i) & self.zone != 0;
        let spot = leaf.search(self.key);
        let found = match self.side {
            Side::Before => (0..spot.at).rfind(of_zone),
            Side::After => (spot.end..leaf.len()).find(of_zone),
        };
        match found {
            Some(i) => {
                self.shared = whole_labels(self.key, leaf.common(i, self.key));
                false
            }
            None => true,
        }
    }
}

/// Collects the reasons of the entries below a name.
struct Below<'k> {
    key: &'k [u8],
    mask: Mask,
}

impl<'a> Visitor<'a, NameLeaf> for Below<'_> {
    fn child(&mut self, from: &'a Box<[u8]>, to: Option<&'a Box<[u8]>>, touch: &Mask) -> Step {
        if &**from > self.key && !from.starts_with(self.key) {
            return Step::Stop;
        }
        let whole = from.starts_with(self.key)
            && from.len() > self.key.len()
            && to.is_some_and(|to| to.starts_with(self.key));
        if !whole && touch & !self.mask != 0 {
            return Step::Enter;
        }
        self.mask |= if whole { *touch } else { 0 };
        Step::Skip
    }
    fn leaf(&mut self, span: Span<'a, NameLeaf>) -> bool {
        let leaf = span.leaf;
        let mut keys = leaf.keys_from(leaf.search(self.key).end);
        while let Some((i, key)) = keys.next() {
            if !key.starts_with(self.key) {
                return false;
            }
            self.mask |= leaf.touch.get(i);
        }
        true
    }
}

/// Visits the existing names below a name.
struct Existing<'n, 'v> {
    names: &'n Names,
    above: &'n [u8],
    zone: Mask,
    /// The last name that was visited, or `above`.
    last: Vec<u8>,
    go: bool,
    visit: Visit<'v>,
}

impl<'a> Visitor<'a, NameLeaf> for Existing<'_, '_> {
    fn child(&mut self, from: &'a Box<[u8]>, _: Option<&'a Box<[u8]>>, touch: &Mask) -> Step {
        if &**from > self.above && !from.starts_with(self.above) {
            Step::Stop
        } else if touch & self.zone == 0 {
            Step::Skip
        } else {
            Step::Enter
        }
    }
    fn leaf(&mut self, span: Span<'a, NameLeaf>) -> bool {
        let leaf = span.leaf;
        let mut keys = leaf.keys_from(leaf.search(self.above).end);
        while let Some((i, key)) = keys.next() {
            if !key.starts_with(self.above) {
                return false;
            }
            if leaf.touch.get(i) & self.zone == 0 || key == self.last {
                continue;
            }
            // The names between the last one and this one exist because of it.
            let mut len = whole_labels(key, common(&self.last, key));
            while len < key.len() && self.go {
                let label = key[len..].iter().position(|b| *b == 0);
                len = label.map_or(key.len(), |n| len + n + 1);
                self.go = (self.visit)(&key[..len], self.names.value(&key[..len]));
            }
            if !self.go {
                return false;
            }
            self.last.clear();
            self.last.extend(key);
        }
        true
    }
}

/// The scopes in the order of their entries: what a name and everything below it have, the name
/// alone, everything below it alone.
const TREE: u8 = 0;
const NAME: u8 = 1;
const BELOW: u8 = 2;

fn place_of(scope: Scope) -> u8 {
    match scope {
        Scope::Tree => TREE,
        Scope::Name => NAME,
        Scope::Below => BELOW,
    }
}

/// A name and a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameKey<'a> {
    bytes: &'a [u8],
    scope: u8,
}

impl Key for NameKey<'_> {
    fn contains(self, other: Self) -> bool {
        let deeper = other.bytes.len() > self.bytes.len();
        self.scope != NAME
            && other.bytes.starts_with(self.bytes)
            && (deeper || (self.scope == TREE && other.scope != TREE))
    }
    fn level(self) -> u8 {
        self.bytes.iter().filter(|b| **b == 0).count() as u8
    }
    fn same_place(self, other: Self) -> bool {
        self.bytes == other.bytes
    }
}

/// The first bytes of a key as a number in the same order.
#[inline]
fn head(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(eight)
        }
    }
}

/// Bounds with the first bytes of each in one list, after what all of them begin with.
#[derive(Debug)]
pub struct NameBounds {
    prefix: usize,
    heads: Box<[u64]>,
    all: Box<[Box<[u8]>]>,
}

impl Bounds<Box<[u8]>, [u8]> for NameBounds {
    fn new(all: Vec<Box<[u8]>>) -> NameBounds {
        let prefix = match (all.first(), all.last()) {
            (Some(first), Some(last)) => common(first, last),
            _ => 0,
        };
        NameBounds {
            prefix,
            heads: all.iter().map(|b| head(&b[prefix..])).collect(),
            all: all.into(),
        }
    }
    #[inline]
    fn place(&self, probe: &[u8]) -> usize {
        let Some(first) = self.all.first() else {
            return 0;
        };
        let prefix = &first[..self.prefix];
        let Some(rest) = probe.strip_prefix(prefix) else {
            return if probe < prefix { 0 } else { self.all.len() };
        };
        let sought = head(rest);
        let from = self.heads.partition_point(|h| *h < sought);
        let same = self.heads[from..].partition_point(|h| *h == sought);
        from + self.all[from..from + same].partition_point(|b| &**b <= probe)
    }
    fn get(&self, i: usize) -> &Box<[u8]> {
        &self.all[i]
    }
}

/// Every so many keys do not depend on the key before; in tests more often, see [`super::tree`].
const RESTART: usize = if cfg!(test) { 3 } else { 16 };

/// Names in order.
#[derive(Debug)]
pub struct NameLeaf {
    /// What all keys begin with; then for each entry how many bytes it shares with the key before
    /// it, how many follow, and these, without the zero at the end. Every [`RESTART`]th shares only
    /// what all do. Other entries without bytes of their own have the key before.
    bytes: Box<[u8]>,
    /// Of every [`RESTART`]th key, the first bytes after what all share.
    heads: Box<[u64]>,
    /// Where it is in `bytes`.
    starts: Box<[u32]>,
    /// How many bytes all keys share.
    prefix: u8,
    len: u16,
    scopes: Column<u8>,
    facts: Ids,
    values: Ids,
    /// The reasons by which each entry differs from what is above its name, as far as it is seen.
    touch: Column<Mask>,
    parents: Option<Box<[Parent]>>,
    ancestors: Box<[Ancestor]>,
}

/// The nearest entry around another one.
#[derive(Debug, Clone, Copy)]
struct Parent {
    /// Its place, or [`NO_PARENT`].
    place: u16,
    /// How many bytes its key has.
    len: u8,
}

/// Where a key is in a leaf.
#[derive(Debug, Clone, Copy, Default)]
struct Spot {
    /// How many entries are before it.
    at: usize,
    /// The same with its own entries; equal to `at` if it has none.
    end: usize,
    /// How many bytes it shares with the entry before its own.
    shared: usize,
    /// How many bytes the key of that entry has.
    before: usize,
    /// How many bytes it shares with the entry behind its own.
    after: usize,
}

/// An entry's place in the bytes of a leaf.
struct Stored<'l> {
    /// How many bytes it shares with the key before.
    shared: usize,
    /// What follows, without the zero at the end.
    rest: &'l [u8],
    /// Where the next entry is.
    next: usize,
}

/// Goes through the keys of a leaf.
struct Keys<'l> {
    leaf: &'l NameLeaf,
    /// The next entry, and where it is in the bytes.
    next: usize,
    at: usize,
    key: Vec<u8>,
}

impl Keys<'_> {
    fn next(&mut self) -> Option<(usize, &[u8])> {
        let i = self.next;
        if i >= self.leaf.len() {
            return None;
        }
        let stored = self.leaf.stored(self.at);
        self.at = stored.next;
        self.next += 1;
        if i.is_multiple_of(RESTART) || !stored.rest.is_empty() {
            self.key.truncate(stored.shared);
            self.key.extend(stored.rest);
            self.key.push(0);
        }
        Some((i, &self.key))
    }
}

/// How an entry compares with a key, of which the bytes before are equal.
enum Compared {
    /// It is before the key, with which it shares so many bytes more.
    Before(usize),
    /// It is the key.
    Equal,
    /// It is behind the key, with which it shares so many bytes more.
    After(usize),
}

#[inline]
fn compare(rest: &[u8], sought: &[u8]) -> Compared {
    let same = common(rest, sought);
    // The entry's bytes end with a zero that is not stored.
    let entry = rest.get(same).copied().unwrap_or(0);
    match sought.get(same) {
        None => Compared::After(same),
        Some(b) if *b < entry => Compared::After(same),
        Some(b) if *b > entry => Compared::Before(same),
        Some(_) if same + 1 == sought.len() => Compared::Equal,
        Some(_) => Compared::Before(same + 1),
    }
}

impl NameLeaf {
    #[inline]
    fn stored(&self, at: usize) -> Stored<'_> {
        let (shared, len) = (usize::from(self.bytes[at]), usize::from(self.bytes[at + 1]));
        let next = at + 2 + len;
        Stored {
            shared,
            rest: &self.bytes[at + 2..next],
            next,
        }
    }

    /// What all keys begin with.
    #[inline]
    fn prefix(&self) -> &[u8] {
        &self.bytes[..usize::from(self.prefix)]
    }

    /// All keys from an entry on.
    fn keys_from(&self, i: usize) -> Keys<'_> {
        let restart = (i / RESTART).min(self.starts.len().saturating_sub(1));
        let mut keys = Keys {
            leaf: self,
            next: restart * RESTART,
            at: self.starts.get(restart).map_or(0, |s| *s as usize),
            key: self.prefix().to_vec(),
        };
        while keys.next < i && keys.next().is_some() {}
        keys
    }

    /// How many bytes an entry shares with a key.
    fn common(&self, i: usize, key: &[u8]) -> usize {
        let mut keys = self.keys_from(i);
        keys.next().map_or(0, |(_, k)| common(k, key))
    }

    /// The block of [`RESTART`] entries in which a key is or would be.
    #[inline]
    fn block(&self, rest: &[u8]) -> usize {
        let sought = head(rest);
        let from = self.heads.partition_point(|h| *h < sought);
        let same = self.heads[from..].partition_point(|h| *h == sought);
        let before = |s: &u32| {
            let stored = self.stored(*s as usize);
            matches!(compare(stored.rest, rest), Compared::Before(_))
        };
        let before = from + self.starts[from..from + same].partition_point(before);
        before.saturating_sub(1)
    }

    /// Finds a key.
    #[inline]
    fn search(&self, key: &[u8]) -> Spot {
        let prefix = self.prefix();
        let mut matched = common(prefix, key);
        let rest = &key[matched..];
        let block = match (prefix.get(matched), rest.first()) {
            (None, _) => self.block(rest),
            (Some(all), Some(b)) if b > all => self.starts.len().saturating_sub(1),
            // It is before all entries.
            _ => {
                return Spot {
                    after: matched,
                    ..Spot::default()
                };
            }
        };
        let all = matched;
        let (mut i, mut before) = (block * RESTART, 0);
        let mut at = self.starts.get(block).map_or(0, |s| *s as usize);
        while i < self.len() {
            let stored = self.stored(at);
            let restart = i.is_multiple_of(RESTART);
            if restart || !stored.rest.is_empty() {
                // An entry that shares more than that with the one before it is before the key, too.
                let from = if restart { all } else { matched };
                if stored.shared < from {
                    return Spot {
                        at: i,
                        end: i,
                        shared: matched,
                        before,
                        after: stored.shared,
                    };
                }
                if stored.shared == from {
                    match compare(stored.rest, &key[from..]) {
                        Compared::Before(more) => matched = from + more,
                        Compared::Equal => return self.own(key, i, stored.next, (matched, before)),
                        Compared::After(more) => {
                            return Spot {
                                at: i,
                                end: i,
                                shared: matched,
                                before,
                                after: from + more,
                            };
                        }
                    }
                }
                before = stored.shared + stored.rest.len() + 1;
            }
            at = stored.next;
            i += 1;
        }
        Spot {
            at: i,
            end: i,
            shared: matched,
            before,
            after: 0,
        }
    }

    /// The place of a key whose first entry was found.
    fn own(
        &self,
        key: &[u8],
        at: usize,
        mut next: usize,
        (shared, before): (usize, usize),
    ) -> Spot {
        let mut spot = Spot {
            at,
            end: at + 1,
            shared,
            before,
            after: 0,
        };
        while spot.end < self.len() {
            let stored = self.stored(next);
            if spot.end.is_multiple_of(RESTART) {
                let prefix = usize::from(self.prefix);
                match compare(stored.rest, &key[prefix..]) {
                    Compared::Equal => {}
                    Compared::Before(more) | Compared::After(more) => {
                        spot.after = prefix + more;
                        break;
                    }
                }
            } else if !stored.rest.is_empty() {
                spot.after = stored.shared;
                break;
            }
            next = stored.next;
            spot.end += 1;
        }
        spot
    }

    /// The reasons by which the own entries of a key differ from what is above it.
    fn touched(&self, spot: &Spot) -> Mask {
        (spot.at..spot.end).fold(0, |m, i| m | self.touch.get(i))
    }

    /// What the entries around a key give to it.
    #[inline]
    fn inherited(&self, spot: &Spot, key: &[u8], bound: &[u8]) -> ValueId {
        if let Some(last) = spot.at.checked_sub(1) {
            let mut candidate = Parent {
                place: last as u16,
                len: spot.before as u8,
            };
            while candidate.place != NO_PARENT {
                let place = usize::from(candidate.place);
                if usize::from(candidate.len) <= spot.shared && self.scopes.get(place) != NAME {
                    return ValueId(self.values.get(place));
                }
                match &self.parents {
                    Some(parents) => candidate = parents[place],
                    None => break,
                }
            }
        }
        if self.ancestors.is_empty() {
            return ValueId::EMPTY;
        }
        let shared = common(key, bound);
        // An ancestor has names below it here, so the key itself is not one.
        let around = self.ancestors.iter().rev();
        around
            .into_iter()
            .find(|a| usize::from(a.len) <= shared && usize::from(a.len) < key.len())
            .map_or(ValueId::EMPTY, |a| a.value)
    }

    /// What a key answers and gives.
    #[inline]
    fn value(&self, spot: &Spot, key: &[u8], bound: &[u8]) -> NodeValue {
        let above = self.inherited(spot, key, bound);
        let mut out = NodeValue {
            own: above,
            below: above,
        };
        for i in spot.at..spot.end {
            let value = ValueId(self.values.get(i));
            match self.scopes.get(i) {
                NAME => out.own = value,
                BELOW => out.below = value,
                _ => (out.own, out.below) = (value, value),
            }
        }
        out
    }
}

impl Leaf for NameLeaf {
    type Key<'a> = NameKey<'a>;
    type Probe = [u8];
    type Bound = Box<[u8]>;
    type Bounds = NameBounds;
    type Summary = Mask;

    fn shorter<'b, 'a: 'b>(key: NameKey<'a>) -> NameKey<'b> {
        key
    }
    fn lowest() -> Box<[u8]> {
        Box::default()
    }
    fn len(&self) -> usize {
        usize::from(self.len)
    }
    fn decode<'a>(&self, room: &'a mut Vec<u8>) -> Vec<Entry<NameKey<'a>>> {
        let mut ends = Vec::with_capacity(self.len());
        let mut keys = self.keys_from(0);
        while let Some((_, key)) = keys.next() {
            room.extend(key);
            ends.push(room.len());
        }
        let room: &'a [u8] = room;
        let mut from = 0;
        let entry = |(i, end): (usize, usize)| {
            let bytes = &room[from..end];
            from = end;
            Entry {
                key: NameKey {
                    bytes,
                    scope: self.scopes.get(i),
                },
                facts: FactsId(self.facts.get(i)),
                value: ValueId(self.values.get(i)),
                changed: false,
            }
        };
        ends.into_iter().enumerate().map(entry).collect()
    }
    fn encode(packed: &Packed<'_, '_, Self>, interned: &Interned) -> NameLeaf {
        let entries = packed.entries;
        let prefix = match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => {
                common(first.key.bytes, last.key.bytes).min(first.key.bytes.len() - 1)
            }
            _ => 0,
        };
        let mut bytes: Vec<u8> = entries
            .first()
            .map_or(Vec::new(), |e| e.key.bytes[..prefix].to_vec());
        let (mut heads, mut starts) = (Vec::new(), Vec::new());
        let mut last: &[u8] = &[];
        for (i, e) in entries.iter().enumerate() {
            let key = e.key.bytes;
            let shared = if i.is_multiple_of(RESTART) {
                starts.push(bytes.len() as u32);
                heads.push(head(&key[prefix..]));
                prefix
            } else {
                common(last, key)
            };
            let rest = key[..key.len() - 1].get(shared..).unwrap_or(&[]);
            bytes.extend([shared as u8, rest.len() as u8]);
            bytes.extend(rest);
            last = key;
        }
        let scopes: Vec<u8> = entries.iter().map(|e| e.key.scope).collect();
        let facts: Vec<u32> = entries.iter().map(|e| e.facts.0).collect();
        let values: Vec<u32> = entries.iter().map(|e| e.value.0).collect();
        let parents = packed.parents.as_ref().map(|all| {
            let parent = |place: &u16| Parent {
                place: *place,
                len: match *place {
                    NO_PARENT => 0,
                    place => entries[usize::from(place)].key.bytes.len() as u8,
                },
            };
            all.iter().map(parent).collect()
        });
        NameLeaf {
            bytes: bytes.into(),
            heads: heads.into(),
            starts: starts.into(),
            prefix: prefix as u8,
            len: entries.len() as u16,
            scopes: Column::new(&scopes, TREE),
            facts: Ids::new(&facts),
            values: Ids::new(&values),
            touch: Column::new(&touches(packed, interned), 0),
            parents,
            ancestors: packed.ancestors.clone(),
        }
    }
    fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }
    fn ancestor_key<'b>(a: &Ancestor, bound: &'b Box<[u8]>) -> NameKey<'b> {
        NameKey {
            bytes: &bound[..usize::from(a.len)],
            scope: a.scope,
        }
    }
    fn ancestor_parts(key: NameKey<'_>) -> (u8, u8) {
        (key.bytes.len() as u8, key.scope)
    }
    fn holds(key: NameKey<'_>, bound: &Box<[u8]>) -> bool {
        key.scope != NAME && bound.starts_with(key.bytes)
    }
    fn before(key: NameKey<'_>, bound: &Box<[u8]>) -> bool {
        key.bytes < &**bound
    }
    fn separator(left: NameKey<'_>, right: NameKey<'_>) -> Box<[u8]> {
        // The shortest that is behind the left one and, like all of its beginnings, not behind the
        // right one.
        right.bytes[..common(left.bytes, right.bytes) + 1].into()
    }
    fn summary(&self, _: &Box<[u8]>, _: Option<&Box<[u8]>>, _: &Interned) -> Mask {
        self.touch.kinds().iter().fold(0, |m, t| m | t)
    }
    fn combine(all: &[Mask], _: &Interned) -> Mask {
        all.iter().fold(0, |m, t| m | t)
    }
}

/// For each entry the reasons by which it differs from what is above its name, as far as it is
/// seen: what a name and everything below it have is not seen where both have entries of their own.
fn touches(packed: &Packed<'_, '_, NameLeaf>, interned: &Interned) -> Vec<Mask> {
    let entries = packed.entries;
    let mut out = Vec::with_capacity(entries.len());
    while out.len() < entries.len() {
        let first = out.len();
        let bytes = entries[first].key.bytes;
        let above = packed.inherited[first];
        let own = entries[first..].iter().take_while(|e| e.key.bytes == bytes);
        let own: Vec<_> = own.collect();
        for e in &own {
            let hidden = e.key.scope == TREE && own.len() == 3;
            out.push(if hidden || e.value == above {
                0
            } else {
                interned.value(e.value).differs(interned.value(above))
            });
        }
    }
    out
}
