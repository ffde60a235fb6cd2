//! A table sorted by key whose copies share what did not change: a B+tree of packed leaves.
//!
//! A leaf holds up to [`MOST`] entries in a form that is read in place. It knows the entries of
//! earlier leaves that its first place is inside of ([`Ancestor`]), so that one leaf answers a
//! look-up. A change makes its leaf anew, with a copy of the nodes above it. Each node keeps a
//! summary of each child, so that a question about a range reads a bounded number of nodes.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    column::Ids,
    cover::InternContext,
    entries::{Around, Entry, Key, compile, merge},
    values::{FactsId, Interned, ValueId},
};

/// The most entries of a leaf, besides those at the place of its last one. Tests have small leaves,
/// so that a few entries make a deep tree.
pub(super) const MOST: usize = if cfg!(test) { 4 } else { 256 };
/// A leaf with fewer entries is joined with its neighbour.
const FEWEST: usize = if cfg!(test) { 2 } else { 48 };
/// The most children of a node.
const FAN: usize = if cfg!(test) { 4 } else { 128 };
/// A node with fewer children is joined with its neighbour.
const FEWEST_CHILDREN: usize = if cfg!(test) { 2 } else { 32 };
/// So many changes are made at once, so that the room that they take has a bound.
const AT_ONCE: usize = if cfg!(test) { 16 } else { 1 << 16 };

/// An entry of an earlier leaf around the start of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ancestor {
    /// How much of the leaf's bound is its key: bits of an address, bytes of a name's key.
    pub len: u8,
    /// What [`Leaf::ancestor_parts`] says besides.
    pub scope: u8,
    /// Its facts.
    pub facts: FactsId,
    /// What it gives to everything inside it.
    pub value: ValueId,
}

impl Ancestor {
    /// Whether its numbers are below these limits: how many facts and values there are.
    pub fn is_sound(&self, limits: [usize; 2]) -> bool {
        (self.facts.0 as usize) < limits[0] && (self.value.0 as usize) < limits[1]
    }
}

/// The bounds between the children of a node.
pub(super) trait Bounds<B, P: ?Sized>: std::fmt::Debug {
    /// From bounds in order.
    fn new(all: Vec<B>) -> Self;
    /// How many of them are at or before a place.
    fn place(&self, probe: &P) -> usize;
    /// One of them.
    fn get(&self, i: usize) -> &B;
}

/// Packed entries.
pub(super) trait Leaf:
    Sized + std::fmt::Debug + Serialize + DeserializeOwned + 'static
{
    /// The key of an entry.
    type Key<'a>: Key;
    /// A place to look for.
    type Probe: ?Sized;
    /// Where a leaf begins: no entry before it is in the leaf.
    type Bound: Clone + Ord + std::fmt::Debug + Serialize + DeserializeOwned;
    /// The bounds of a node's children.
    type Bounds: Bounds<Self::Bound, Self::Probe>;
    /// What a node keeps about a child.
    type Summary: Copy + std::fmt::Debug;

    /// The same key, for a shorter time.
    fn shorter<'b, 'a: 'b>(key: Self::Key<'a>) -> Self::Key<'b>;
    /// The bound before everything.
    fn lowest() -> Self::Bound;
    /// How many entries there are.
    fn len(&self) -> usize;
    /// All entries; `room` holds their keys.
    fn decode<'a>(&self, room: &'a mut Vec<u8>) -> Vec<Entry<Self::Key<'a>>>;
    /// Packs entries; see [`Packed`].
    fn encode(packed: &Packed<'_, '_, Self>, interned: &Interned) -> Self;
    /// The entries of earlier leaves around its bound, from the outside in.
    fn ancestors(&self) -> &[Ancestor];
    /// The facts and the values of all entries.
    fn columns(&self) -> (&Ids, &Ids);
    /// The key of an ancestor.
    fn ancestor_key<'b>(ancestor: &Ancestor, bound: &'b Self::Bound) -> Self::Key<'b>;
    /// The length and scope by which an ancestor names its key.
    fn ancestor_parts(key: Self::Key<'_>) -> (u8, u8);
    /// Whether a bound is inside a key.
    fn holds(key: Self::Key<'_>, bound: &Self::Bound) -> bool;
    /// Whether a key is before a bound.
    fn before(key: Self::Key<'_>, bound: &Self::Bound) -> bool;
    /// A short bound after one key and not after another.
    fn separator(left: Self::Key<'_>, right: Self::Key<'_>) -> Self::Bound;
    /// The summary of the leaf, which ends before `to`.
    fn summary(
        &self,
        from: &Self::Bound,
        to: Option<&Self::Bound>,
        interned: &Interned,
    ) -> Self::Summary;
    /// Whether a leaf from a file is one that [`Leaf::encode`] can have made for its range: nothing
    /// that reads it panics. `limits`: how many facts and values there are.
    fn is_sound(&self, from: &Self::Bound, to: Option<&Self::Bound>, limits: [usize; 2]) -> bool;
    /// The summary of neighbours.
    fn combine(all: &[Self::Summary], interned: &Interned) -> Self::Summary;
}

/// The entries of a leaf that is made.
pub(super) struct Packed<'e, 'k, L: Leaf> {
    /// The entries in order.
    pub entries: &'e [Entry<L::Key<'k>>],
    /// For each entry the nearest one around it in the leaf; `None` if no entry is inside another
    /// one of the leaf.
    pub parents: Option<Box<[u16]>>,
    /// For each entry what it inherits.
    pub inherited: Vec<ValueId>,
    /// The entries of earlier leaves around the bound.
    pub ancestors: Box<[Ancestor]>,
}

/// In [`Packed::parents`]: no entry of the leaf.
pub(super) const NO_PARENT: u16 = u16::MAX;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node<L: Leaf> {
    /// Entries.
    Leaf(Arc<L>),
    /// Children.
    Inner(Arc<Inner<L>>),
}

impl<L: Leaf> Clone for Node<L> {
    fn clone(&self) -> Node<L> {
        match self {
            Node::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Node::Inner(inner) => Node::Inner(inner.clone()),
        }
    }
}

/// A node's children in order.
#[derive(Debug)]
pub(super) struct Inner<L: Leaf> {
    /// Where all children but the first begin.
    bounds: L::Bounds,
    children: Box<[Node<L>]>,
    summaries: Box<[L::Summary]>,
}

impl<L: Leaf> Inner<L> {
    /// Where a child begins, and where the next one does; `from` and `to` are those of the node.
    fn range<'a>(
        &'a self,
        i: usize,
        from: &'a L::Bound,
        to: Option<&'a L::Bound>,
    ) -> (&'a L::Bound, Option<&'a L::Bound>) {
        let from = match i {
            0 => from,
            i => self.bounds.get(i - 1),
        };
        match i + 1 == self.children.len() {
            true => (from, to),
            false => (from, Some(self.bounds.get(i))),
        }
    }
}

/// A child that is being made: where it begins, and its summary.
struct Part<L: Leaf> {
    bound: L::Bound,
    node: Node<L>,
    summary: L::Summary,
}

/// The table.
#[derive(Debug)]
pub(super) struct Tree<L: Leaf> {
    root: Node<L>,
    lowest: L::Bound,
    len: usize,
}

impl<L: Leaf> Clone for Tree<L> {
    fn clone(&self) -> Tree<L> {
        Tree {
            root: self.root.clone(),
            lowest: self.lowest.clone(),
            len: self.len,
        }
    }
}

impl<L: Leaf> Default for Tree<L> {
    fn default() -> Tree<L> {
        let nothing = Packed {
            entries: &[],
            parents: None,
            inherited: Vec::new(),
            ancestors: Box::default(),
        };
        Tree {
            root: Node::Leaf(Arc::new(L::encode(&nothing, &Interned::default()))),
            lowest: L::lowest(),
            len: 0,
        }
    }
}

/// A leaf and the range that it speaks for: from its bound to the next one.
pub(super) struct Span<'a, L: Leaf> {
    /// The leaf.
    pub leaf: &'a L,
    /// Where it begins.
    pub from: &'a L::Bound,
    /// Where the next one begins; `None` for the last.
    pub to: Option<&'a L::Bound>,
}

impl<L: Leaf> Clone for Span<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<L: Leaf> Copy for Span<'_, L> {}

/// What a walk does at a child.
pub(super) enum Step {
    /// Looks into it.
    Enter,
    /// Goes on behind it.
    Skip,
    /// Ends the walk.
    Stop,
}

/// What a walk meets.
pub(super) trait Visitor<'a, L: Leaf> {
    /// A child, before it is entered: its range and summary.
    fn child(&mut self, from: &'a L::Bound, to: Option<&'a L::Bound>, summary: &L::Summary)
    -> Step;
    /// A leaf; false ends the walk.
    fn leaf(&mut self, span: Span<'a, L>) -> bool;
}

impl<L: Leaf> Tree<L> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The leaf of a place.
    #[inline]
    pub fn leaf(&self, probe: &L::Probe) -> Span<'_, L> {
        let (mut node, mut from, mut to) = (&self.root, &self.lowest, None);
        loop {
            match node {
                Node::Leaf(leaf) => return Span { leaf, from, to },
                Node::Inner(inner) => {
                    let i = inner.bounds.place(probe);
                    (from, to) = inner.range(i, from, to);
                    node = &inner.children[i];
                }
            }
        }
    }

    /// From leaves in order, each with its bound; the first one begins at the lowest. `None` if
    /// they are none that a tree can have. `limits`: see [`Leaf::is_sound`].
    pub fn from_leaves(
        leaves: Vec<(L::Bound, L)>,
        interned: &Interned,
        limits: [usize; 2],
    ) -> Option<Tree<L>> {
        let lowest = L::lowest();
        let bounds = || leaves.iter().map(|(bound, _)| bound);
        if bounds().next() != Some(&lowest) || !bounds().is_sorted_by(|a, b| a < b) {
            return None;
        }
        let mut len = 0;
        let mut summaries = Vec::with_capacity(leaves.len());
        for (i, (from, leaf)) in leaves.iter().enumerate() {
            let to = leaves.get(i + 1).map(|(to, _)| to);
            if !leaf.is_sound(from, to, limits) {
                return None;
            }
            len += leaf.len();
            summaries.push(leaf.summary(from, to, interned));
        }
        let parts = leaves.into_iter().zip(summaries);
        let mut parts: Vec<Part<L>> = parts
            .map(|((bound, leaf), summary)| Part {
                bound,
                node: Node::Leaf(Arc::new(leaf)),
                summary,
            })
            .collect();
        while parts.len() > 1 {
            parts = group(parts, &lowest, interned);
        }
        let root = parts.pop()?.node;
        Some(Tree { root, lowest, len })
    }

    /// Visits all leaves in order.
    pub fn leaves<'a>(&'a self, each: &mut dyn FnMut(Span<'a, L>)) {
        self.walk(None, &mut Leaves(each));
    }

    /// Reports the numbers of facts and values in use, for the sweep.
    pub fn used(&self, fact: &mut dyn FnMut(FactsId), value: &mut dyn FnMut(ValueId)) {
        self.leaves(&mut |Span { leaf, .. }| {
            let (facts, values) = leaf.columns();
            facts.kinds(|n| fact(FactsId(n)));
            values.kinds(|n| value(ValueId(n)));
            for a in leaf.ancestors() {
                fact(a.facts);
                value(a.value);
            }
        });
    }

    /// Walks through the nodes in order, from the one of a place on; without a place, from the
    /// first.
    pub fn walk<'a>(&'a self, probe: Option<&L::Probe>, visitor: &mut impl Visitor<'a, L>) {
        walk(
            &self.root,
            (&self.lowest, None),
            probe,
            Order::Ascending,
            visitor,
        );
    }

    /// Walks through the nodes against their order, from the one of a place on.
    pub fn walk_back<'a>(&'a self, probe: &L::Probe, visitor: &mut impl Visitor<'a, L>) {
        walk(
            &self.root,
            (&self.lowest, None),
            Some(probe),
            Order::Descending,
            visitor,
        );
    }

    /// Sets the facts of keys, which are in order and different; [`FactsId::NONE`] removes a key.
    pub fn apply(&mut self, changes: &[(L::Key<'_>, FactsId)], context: &mut InternContext) {
        for some in changes.chunks(AT_ONCE) {
            self.apply_some(some, context);
        }
    }

    fn apply_some(&mut self, changes: &[(L::Key<'_>, FactsId)], context: &mut InternContext) {
        let mut update = Update {
            covers: Vec::new(),
            added: 0,
            context,
        };
        let mut parts = update.node(&self.root, &self.lowest, None, changes);
        while parts.len() > 1 {
            parts = group(parts, &self.lowest, update.context.interned);
        }
        self.len = self.len.wrapping_add_signed(update.added);
        if let Some(part) = parts.pop() {
            self.root = part.node;
        }
        while let Node::Inner(inner) = &self.root
            && let [only] = &*inner.children
        {
            self.root = only.clone();
        }
    }
}

/// Visits every leaf.
struct Leaves<'f, 'a, L: Leaf>(&'f mut dyn FnMut(Span<'a, L>));

impl<'a, L: Leaf> Visitor<'a, L> for Leaves<'_, 'a, L> {
    fn child(&mut self, _: &'a L::Bound, _: Option<&'a L::Bound>, _: &L::Summary) -> Step {
        Step::Enter
    }
    fn leaf(&mut self, span: Span<'a, L>) -> bool {
        (self.0)(span);
        true
    }
}

/// In which order a walk meets children.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

fn walk<'a, L: Leaf>(
    node: &'a Node<L>,
    (from, to): (&'a L::Bound, Option<&'a L::Bound>),
    probe: Option<&L::Probe>,
    order: Order,
    visitor: &mut impl Visitor<'a, L>,
) -> bool {
    let inner = match node {
        Node::Leaf(leaf) => return visitor.leaf(Span { leaf, from, to }),
        Node::Inner(inner) => inner,
    };
    let last = inner.children.len() - 1;
    let start = match (probe, order) {
        (Some(probe), _) => inner.bounds.place(probe),
        (None, Order::Ascending) => 0,
        (None, Order::Descending) => last,
    };
    let mut i = start;
    loop {
        let (from, to) = inner.range(i, from, to);
        // Only the first child is entered at the place; all others from their ends.
        let probe = probe.filter(|_| i == start);
        match visitor.child(from, to, &inner.summaries[i]) {
            Step::Stop => return false,
            Step::Skip => {}
            Step::Enter => {
                if !walk(&inner.children[i], (from, to), probe, order, visitor) {
                    return false;
                }
            }
        }
        match order {
            Order::Ascending if i < last => i += 1,
            Order::Descending if i > 0 => i -= 1,
            _ => return true,
        }
    }
}

/// One run of [`Tree::apply`].
struct Update<'c, 'p, 'x, L: Leaf> {
    /// Changed keys so far that what follows may be inside of.
    covers: Vec<(L::Key<'c>, FactsId)>,
    /// How many entries there are more than before.
    added: isize,
    context: &'x mut InternContext<'p>,
}

impl<'c, L: Leaf> Update<'c, '_, '_, L> {
    /// A node with changes in its range, or inside a changed key.
    fn node(
        &mut self,
        node: &Node<L>,
        from: &L::Bound,
        to: Option<&L::Bound>,
        changes: &[(L::Key<'c>, FactsId)],
    ) -> Vec<Part<L>> {
        let inner = match node {
            Node::Leaf(leaf) => return self.leaf(leaf, from, to, changes),
            Node::Inner(inner) => inner,
        };
        let mut parts: Vec<Part<L>> = Vec::with_capacity(inner.children.len() + 1);
        let mut rest = changes;
        for (i, child) in inner.children.iter().enumerate() {
            let (from, to) = inner.range(i, from, to);
            let here = to.map_or(rest.len(), |to| {
                rest.partition_point(|(key, _)| L::before(*key, to))
            });
            let (mine, others) = rest.split_at(here);
            rest = others;
            self.covers.retain(|(key, _)| L::holds(*key, from));
            if mine.is_empty() && self.covers.is_empty() {
                parts.push(Part {
                    bound: from.clone(),
                    node: child.clone(),
                    summary: inner.summaries[i],
                });
            } else {
                parts.extend(self.node(child, from, to, mine));
            }
        }
        self.join_small(&mut parts, to);
        group(parts, from, self.context.interned)
    }

    fn leaf(
        &mut self,
        leaf: &L,
        from: &L::Bound,
        to: Option<&L::Bound>,
        changes: &[(L::Key<'c>, FactsId)],
    ) -> Vec<Part<L>> {
        let mut room = Vec::new();
        let mut around: Vec<Around<L::Key<'_>>> = leaf
            .ancestors()
            .iter()
            .map(|a| Around::new(L::ancestor_key(a, from), a.facts, a.value, false))
            .collect();
        for (key, facts) in self.covers.iter().filter(|(key, _)| L::holds(*key, from)) {
            let key = L::shorter(*key);
            around.retain(|a| a.key != key);
            // Without facts it gives nothing, but what is inside it has to be computed anew.
            around.push(Around::new(key, *facts, ValueId::EMPTY, true));
        }
        around.sort_by_key(|a| a.key);
        let own: Vec<_> = changes
            .iter()
            .map(|(key, f)| (L::shorter(*key), *f))
            .collect();
        let mut entries = merge(leaf.decode(&mut room), &own);
        let changed: Vec<L::Key<'_>> = match to {
            // Only what later leaves may be inside of is of interest.
            Some(to) => {
                let changed = entries.iter().filter(|e| e.changed && L::holds(e.key, to));
                changed.map(|e| e.key).collect()
            }
            None => Vec::new(),
        };
        compile(&mut around, &mut entries, self.context);
        around.retain(|a| a.facts != FactsId::NONE);
        entries.retain(|e| e.facts != FactsId::NONE);
        self.added += entries.len() as isize - leaf.len() as isize;
        if let Some(to) = to {
            let later = changes.iter().filter(|(key, _)| L::holds(*key, to));
            let later = later.filter(|(key, _)| changed.contains(&L::shorter(*key)));
            self.covers.extend(later.copied());
        }
        pack(from, to, &around, &entries, self.context.interned)
    }

    /// Joins leaves and nodes with few entries with a neighbour.
    fn join_small(&mut self, parts: &mut Vec<Part<L>>, to: Option<&L::Bound>) {
        let mut i = 0;
        while parts.len() > 1 && i < parts.len() {
            let left = i.min(parts.len() - 2);
            let size = |node: &Node<L>| match node {
                Node::Leaf(leaf) => leaf.len(),
                Node::Inner(inner) => inner.children.len(),
            };
            let small = match &parts[i].node {
                Node::Leaf(_) => FEWEST,
                Node::Inner(_) => FEWEST_CHILDREN,
            };
            if size(&parts[i].node) >= small {
                i += 1;
                continue;
            }
            let mut tail = parts.split_off(left);
            let rest = tail.split_off(2);
            let end = rest.first().map(|p| p.bound.clone());
            let end = end.as_ref().or(to);
            let joined = self.join(tail, end);
            // Two small ones may have become one that is small as well.
            let again = joined.len() == 1 && size(&joined[0].node) < small && !rest.is_empty();
            i = if again { left } else { left + joined.len() };
            parts.extend(joined);
            parts.extend(rest);
        }
    }

    /// Two neighbours as one, or as two of about the same size.
    fn join(&mut self, two: Vec<Part<L>>, to: Option<&L::Bound>) -> Vec<Part<L>> {
        match &two[..] {
            [
                Part {
                    bound,
                    node: Node::Leaf(a),
                    ..
                },
                Part {
                    node: Node::Leaf(b),
                    ..
                },
            ] => {
                let (mut room, mut more) = (Vec::new(), Vec::new());
                let around: Vec<Around<L::Key<'_>>> = a
                    .ancestors()
                    .iter()
                    .map(|x| Around::new(L::ancestor_key(x, bound), x.facts, x.value, false))
                    .collect();
                let mut entries = a.decode(&mut room);
                entries.extend(b.decode(&mut more));
                pack(bound, to, &around, &entries, self.context.interned)
            }
            [
                Part {
                    bound,
                    node: Node::Inner(a),
                    ..
                },
                Part {
                    bound: middle,
                    node: Node::Inner(b),
                    ..
                },
            ] => {
                let mut parts = children(a, bound);
                parts.extend(children(b, middle));
                let bound = bound.clone();
                self.join_small(&mut parts, to);
                group(parts, &bound, self.context.interned)
            }
            _ => two,
        }
    }
}

/// The children of a node as parts.
fn children<L: Leaf>(inner: &Inner<L>, from: &L::Bound) -> Vec<Part<L>> {
    let all = inner.children.iter().zip(&inner.summaries).enumerate();
    all.map(|(i, (node, summary))| Part {
        bound: inner.range(i, from, None).0.clone(),
        node: node.clone(),
        summary: *summary,
    })
    .collect()
}

/// Packs entries into leaves, the first of which begins at `from`.
fn pack<'k, L: Leaf>(
    from: &L::Bound,
    to: Option<&L::Bound>,
    around: &[Around<L::Key<'k>>],
    entries: &[Entry<L::Key<'k>>],
    interned: &Interned,
) -> Vec<Part<L>> {
    let leaves = entries.len().div_ceil(MOST).max(1);
    let size = entries.len().div_ceil(leaves).max(1);
    let mut out: Vec<Part<L>> = Vec::with_capacity(leaves);
    // The entries around the next one, as far as they are in earlier leaves.
    let mut open: Vec<_> = around.iter().map(|a| (a.key, a.facts, a.value)).collect();
    let (mut bound, mut start) = (from.clone(), 0);
    loop {
        let mut end = (start + size).min(entries.len());
        while end > start
            && end < entries.len()
            && entries[end - 1].key.same_place(entries[end].key)
        {
            end += 1;
        }
        let next =
            (end < entries.len()).then(|| L::separator(entries[end - 1].key, entries[end].key));
        open.retain(|(key, ..)| L::holds(*key, &bound));
        let leaf = one_leaf::<L>(&open, &entries[start..end], interned);
        let summary = leaf.summary(&bound, next.as_ref().or(to), interned);
        out.push(Part {
            bound,
            node: Node::Leaf(Arc::new(leaf)),
            summary,
        });
        let Some(next) = next else { return out };
        for e in &entries[start..end] {
            while open.last().is_some_and(|(key, ..)| !key.contains(e.key)) {
                open.pop();
            }
            open.push((e.key, e.facts, e.value));
        }
        (bound, start) = (next, end);
    }
}

/// The leaf of some entries; `around` are those of earlier leaves around its bound.
fn one_leaf<'k, L: Leaf>(
    around: &[(L::Key<'k>, FactsId, ValueId)],
    entries: &[Entry<L::Key<'k>>],
    interned: &Interned,
) -> L {
    let (mut parents, mut inherited) = (
        Vec::with_capacity(entries.len()),
        Vec::with_capacity(entries.len()),
    );
    let mut stack: Vec<usize> = Vec::new();
    for (i, e) in entries.iter().enumerate() {
        while stack
            .last()
            .is_some_and(|top| !entries[*top].key.contains(e.key))
        {
            stack.pop();
        }
        let outer = || {
            let outer = around.iter().rev().find(|(key, ..)| key.contains(e.key));
            outer.map_or(ValueId::EMPTY, |(_, _, value)| *value)
        };
        parents.push(stack.last().map_or(NO_PARENT, |top| *top as u16));
        inherited.push(stack.last().map_or_else(outer, |top| entries[*top].value));
        stack.push(i);
    }
    let nested = parents.iter().any(|p| *p != NO_PARENT);
    let ancestors = around.iter().map(|(key, facts, value)| {
        let (len, scope) = L::ancestor_parts(*key);
        Ancestor {
            len,
            scope,
            facts: *facts,
            value: *value,
        }
    });
    L::encode(
        &Packed {
            entries,
            parents: nested.then(|| parents.into()),
            inherited,
            ancestors: ancestors.collect(),
        },
        interned,
    )
}

/// Puts parts under as few nodes as hold them. A single part gets a node, too, so that all leaves
/// are equally deep.
fn group<L: Leaf>(parts: Vec<Part<L>>, from: &L::Bound, interned: &Interned) -> Vec<Part<L>> {
    let nodes = parts.len().div_ceil(FAN).max(1);
    let size = parts.len().div_ceil(nodes).max(1);
    let mut out = Vec::with_capacity(nodes);
    let mut parts = parts.into_iter().peekable();
    let mut bound = from.clone();
    while parts.peek().is_some() {
        let mine: Vec<Part<L>> = parts.by_ref().take(size).collect();
        let mut bounds = Vec::with_capacity(mine.len());
        let (mut children, mut summaries) = (Vec::new(), Vec::new());
        for p in mine {
            bounds.push(p.bound);
            children.push(p.node);
            summaries.push(p.summary);
        }
        bounds.remove(0);
        let summary = L::combine(&summaries, interned);
        let node = Node::Inner(Arc::new(Inner {
            bounds: L::Bounds::new(bounds),
            children: children.into(),
            summaries: summaries.into(),
        }));
        out.push(Part {
            bound,
            node,
            summary,
        });
        bound = match parts.peek() {
            Some(next) => next.bound.clone(),
            None => break,
        };
    }
    out
}
