//! The table of names: domains and digests in the order of their labels from the right.
//!
//! A key is the labels from the right, a zero after each, so that everything below a name stands
//! behind it. A name has up to three entries, one for each scope.

use super::{
    cover::InternContext,
    name_leaf::{NameKey, NameLeaf, NodeValue, Spot, common},
    tree::{Leaf, Span, Step, Tree, Visitor},
    values::{FactsId, ValueId},
};
use crate::model::{Domain, Mask, Scope};

/// The table of names. A copy shares everything.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub(super) tree: Tree<NameLeaf>,
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
        let keys: Vec<(Vec<u8>, Scope, FactsId)> = changes
            .iter()
            .map(|(d, f)| (name_key(d.name()), d.scope(), *f))
            .collect();
        let mut sorted: Vec<(NameKey<'_>, FactsId)> = keys
            .iter()
            .map(|(bytes, scope, f)| (NameKey::new(bytes, *scope), *f))
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
        self.tree.leaves(&mut |Span { leaf, .. }| {
            let mut room = Vec::new();
            for e in leaf.decode(&mut room) {
                each(e.key.bytes(), e.key.scope(), e.facts);
            }
        });
    }

    /// Reports the numbers of facts and values in use, for the sweep.
    pub(super) fn used(&self, fact: &mut dyn FnMut(FactsId), value: &mut dyn FnMut(ValueId)) {
        self.tree.used(fact, value);
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
