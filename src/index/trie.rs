//! A trie over bytes whose copies share what did not change: IPv6 by nibbles, domains by their
//! reversed labels.
//!
//! A node keeps the facts of its key and, compiled, what the key and everything below it answers.
//! It also keeps the reasons that vary below it, so that existence is one read. Edges hold as many
//! bytes as have no branch.

use std::sync::Arc;

use super::{
    cover::{Pool, State},
    values::{FactsId, ValueId},
};
use crate::model::Mask;

/// The difference between the two kinds of key: how a node's facts join those above.
pub trait Kind {
    /// Enters a node: `below` is the state for everything below it (on entry the parent's); returns
    /// the state of the key itself if that differs.
    fn enter(facts: &[(u8, FactsId)], key: &[u8], below: &mut State, pool: &Pool) -> Option<State>;
    /// How many children make a node full, so that its own value is no longer visible; `None` if
    /// the number is unlimited.
    const FULL: Option<usize>;
    /// The length of a key, as an item counts it.
    fn len(key: &[u8]) -> u8;
}

/// A node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// The bytes from the parent to here.
    frag: Box<[u8]>,
    /// The facts of this key: (scope or prefix length, facts), sorted.
    facts: Box<[(u8, FactsId)]>,
    /// What the key answers.
    pub value: ValueId2,
    /// Reasons that vary strictly below.
    pub below: Mask,
    /// Reasons by which this node and those below it differ from what the parent gives.
    pub touch: Mask,
    kids: Box<[Arc<Node>]>,
}

/// What a key answers itself, and what it gives to everything below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueId2 {
    /// The key itself.
    pub own: ValueId,
    /// Everything below that has nothing longer.
    pub below: ValueId,
}

impl Default for ValueId2 {
    fn default() -> ValueId2 {
        ValueId2 {
            own: ValueId::EMPTY,
            below: ValueId::EMPTY,
        }
    }
}

/// The result at a position of a key.
#[derive(Debug, Clone, Copy, Default)]
pub struct At {
    /// What it answers and gives.
    pub value: ValueId2,
    /// Reasons that vary strictly below.
    pub below: Mask,
    /// Reasons by which it or something below differs from what is above: they make a name exist.
    pub touch: Mask,
}

/// The trie.
#[derive(Debug, Clone, Default)]
pub struct Trie {
    root: Arc<Node>,
    len: usize,
}

impl Trie {
    /// How many (key, scope) pairs have facts.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The result at the end of `key`.
    pub fn at(&self, key: &[u8]) -> At {
        let mut out = At::default();
        self.walk(key, |depth, at| {
            if depth == key.len() {
                out = at;
            }
        });
        out
    }

    /// Reports the result after every byte of `key`, from none to all, in order.
    pub fn walk(&self, key: &[u8], mut tell: impl FnMut(usize, At)) {
        let (mut node, mut depth) = (&*self.root, 0);
        tell(0, node.at());
        while depth < key.len() {
            let rest = &key[depth..];
            let gap = At {
                value: ValueId2 {
                    own: node.value.below,
                    below: node.value.below,
                },
                below: 0,
                touch: 0,
            };
            let Some(kid) = node.kid(rest).map(|i| &*node.kids[i]) else {
                (depth + 1..=key.len()).for_each(|d| tell(d, gap));
                return;
            };
            let same = kid
                .frag
                .iter()
                .zip(rest)
                .take_while(|(a, b)| a == b)
                .count();
            // The edge itself has no facts, but something below has.
            let edge = At {
                below: kid.touch,
                touch: kid.touch,
                ..gap
            };
            (1..same.min(kid.frag.len() - 1) + 1).for_each(|d| tell(depth + d, edge));
            if same < kid.frag.len() {
                (same + 1..=rest.len()).for_each(|d| tell(depth + d, gap));
                return;
            }
            depth += same;
            node = kid;
            tell(depth, node.at());
        }
    }

    /// The nibbles that go on from `key` to something that differs from it in one of the reasons in
    /// `mask`; one bit each.
    pub fn next<'a>(&'a self, key: &[u8], mask: Mask, finger: &mut Finger<'a>) -> u16 {
        match self.place(key, finger) {
            Place::Node(node) => node
                .kids
                .iter()
                .filter(|k| k.touch & mask != 0)
                .fold(0, |m, k| m | 1 << k.frag[0]),
            Place::Edge(_, kid, at) if kid.touch & mask != 0 => 1 << kid.frag[at],
            Place::Edge(..) | Place::Gap(_) => 0,
        }
    }

    /// The result at the end of `key`, searched from where the last look-up ended.
    pub fn at_from<'a>(&'a self, key: &[u8], finger: &mut Finger<'a>) -> At {
        let gap = |above: &Node| At {
            value: ValueId2 {
                own: above.value.below,
                below: above.value.below,
            },
            below: 0,
            touch: 0,
        };
        match self.place(key, finger) {
            Place::Node(node) => node.at(),
            Place::Edge(above, kid, _) => At {
                below: kid.touch,
                touch: kid.touch,
                ..gap(above)
            },
            Place::Gap(above) => gap(above),
        }
    }

    /// What follows `key` on an edge, except for the last byte, and what the node above it gives;
    /// empty if the key does not end on an edge.
    pub fn edge_from<'a>(&'a self, key: &[u8], finger: &mut Finger<'a>) -> (ValueId, &'a [u8]) {
        match self.place(key, finger) {
            Place::Edge(above, kid, at) => (above.value.below, &kid.frag[at..kid.frag.len() - 1]),
            Place::Node(node) | Place::Gap(node) => (node.value.below, &[]),
        }
    }

    /// Reports the values that the addresses at and below `key` answer, in a trie of nibbles, as
    /// long as `emit` returns true; whether it always did. Where no reason of `mask` varies, what
    /// the node above gives is reported.
    pub fn points<'a>(
        &'a self,
        key: &[u8],
        mask: Mask,
        finger: &mut Finger<'a>,
        emit: PointFn,
    ) -> bool {
        match self.place(key, finger) {
            Place::Node(node) => node.points(mask, emit),
            Place::Gap(above) => emit(above.value.below),
            Place::Edge(above, kid, _) => {
                emit(above.value.below) && (kid.touch & mask == 0 || kid.points(mask, emit))
            }
        }
    }

    fn place<'a>(&'a self, key: &[u8], finger: &mut Finger<'a>) -> Place<'a> {
        let common = finger
            .key
            .iter()
            .zip(key)
            .take_while(|(a, b)| a == b)
            .count();
        while finger.path.last().is_some_and(|(depth, _)| *depth > common) {
            finger.path.pop();
        }
        finger.key.truncate(common);
        finger.key.extend(&key[common..]);
        let (mut depth, mut node) = finger.path.last().copied().unwrap_or((0, &*self.root));
        while depth < key.len() {
            let rest = &key[depth..];
            let Some(kid) = node.kid(rest).map(|i| &*node.kids[i]) else {
                return Place::Gap(node);
            };
            let same = kid
                .frag
                .iter()
                .zip(rest)
                .take_while(|(a, b)| a == b)
                .count();
            if same < kid.frag.len() {
                return if same == rest.len() {
                    Place::Edge(node, kid, same)
                } else {
                    Place::Gap(node)
                };
            }
            (depth, node) = (depth + same, kid);
            finger.path.push((depth, node));
        }
        Place::Node(node)
    }

    /// Visits in order everything strictly below `key`, as [`Trie::render`] does.
    pub fn render_below(&self, key: &[u8], mask: Mask, visit: Visit) {
        let (mut node, mut depth) = (&*self.root, 0);
        while depth < key.len() {
            let rest = &key[depth..];
            let Some(kid) = node.kid(rest).map(|i| &*node.kids[i]) else {
                return;
            };
            let same = kid
                .frag
                .iter()
                .zip(rest)
                .take_while(|(a, b)| a == b)
                .count();
            if same < kid.frag.len() {
                if same == rest.len() && kid.touch & mask != 0 {
                    // In the middle of an edge: the rest of the edge, then the node.
                    kid.render_edge(same, mask, node.value.below, &mut key.to_vec(), visit);
                }
                return;
            }
            depth += same;
            node = kid;
        }
        node.render(mask, &mut key.to_vec(), visit);
    }

    /// Sets the facts at a key under a scope; [`FactsId::NONE`] removes them.
    pub(super) fn set<K: Kind>(&mut self, key: &[u8], scope: u8, facts: FactsId, pool: &mut Pool) {
        let change = Change { key, scope, facts };
        let had = self.root.facts_at(key, scope);
        self.len = self.len + usize::from(facts != FactsId::NONE) - usize::from(had);
        insert::<K>(&mut self.root, 0, &State::default(), &change, pool);
    }

    /// Visits every node with facts: key, facts; and all values, for the sweep.
    pub(super) fn visit(&self, facts: FactsFn, values: ValueFn) {
        let mut key = Vec::new();
        self.root.visit(&mut key, facts, values);
    }

    /// Visits in order every key and edge that may have something to render, until `visit` returns
    /// false.
    pub fn render(&self, mask: Mask, visit: Visit) -> bool {
        self.root.render(mask, &mut Vec::new(), visit)
    }
}

/// The end of a look-up and the way to it: the next look-up of a key nearby goes on from there.
#[derive(Debug, Default)]
pub struct Finger<'a> {
    key: Vec<u8>,
    /// The nodes on the way, each with its depth.
    path: Vec<(usize, &'a Node)>,
}

/// Where a key ends: at a node, on the edge between two, or outside the trie.
enum Place<'a> {
    Node(&'a Node),
    Edge(&'a Node, &'a Node, usize),
    Gap(&'a Node),
}

/// Gets what some address answers; false ends the search.
pub type PointFn<'f> = &'f mut dyn FnMut(ValueId) -> bool;
/// Gets a key and its facts.
pub(super) type FactsFn<'f> = &'f mut dyn FnMut(&[u8], &[(u8, FactsId)]);
/// Gets a value in use.
pub(super) type ValueFn<'f> = &'f mut dyn FnMut(ValueId);

/// Gets a key and what is there; false ends the visit.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], Seen) -> bool;

/// What [`Trie::render`] visits.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// A node with a value of its own.
    Node(At),
    /// A byte of an edge that leads to one; its value is what the node above gives.
    Edge(ValueId),
}

impl Node {
    fn at(&self) -> At {
        At {
            value: self.value,
            below: self.below,
            touch: self.touch,
        }
    }

    fn kid(&self, rest: &[u8]) -> Option<usize> {
        let first = rest.first()?;
        if self.kids.len() == 1 {
            return (self.kids[0].frag[0] == *first).then_some(0);
        }
        self.kids.binary_search_by_key(first, |k| k.frag[0]).ok()
    }

    fn facts_at(&self, key: &[u8], scope: u8) -> bool {
        if key.is_empty() {
            return self.facts.iter().any(|(s, _)| *s == scope);
        }
        let kid = self.kid(key).map(|i| &self.kids[i]);
        kid.is_some_and(|k| {
            key.strip_prefix(&*k.frag)
                .is_some_and(|rest| k.facts_at(rest, scope))
        })
    }

    /// Sets the value from the state, after the children are final; then the summaries, also the
    /// children's.
    fn summarise<K: Kind>(&mut self, key: &[u8], own: ValueId, below: ValueId, pool: &mut Pool) {
        let full = K::FULL.is_some_and(|n| self.is_full(n));
        self.value = if full {
            let shared = pool.common(self.kids.iter().map(|k| k.value.below), K::len(key));
            ValueId2 {
                own: shared,
                below: shared,
            }
        } else {
            ValueId2 { own, below }
        };
        let mine = pool.interned.value(self.value.below);
        self.below = 0;
        for kid in &mut self.kids {
            let differs = |v: ValueId| {
                if v == self.value.below {
                    0
                } else {
                    pool.interned.value(v).differs(mine)
                }
            };
            let touch = kid.below | differs(kid.value.own) | differs(kid.value.below);
            if kid.touch != touch {
                Arc::make_mut(kid).touch = touch;
            }
            self.below |= touch;
        }
    }

    /// Whether its children, `n` for a whole node, leave nothing of its own.
    fn is_full(&self, n: usize) -> bool {
        self.kids.len() == n && self.kids.iter().all(|k| k.frag.len() == 1)
    }

    fn points(&self, mask: Mask, emit: PointFn) -> bool {
        // What a full node gives is what its children share, and no address answers by it.
        let varying = self.kids.iter().filter(|k| k.touch & mask != 0);
        let full = Nibbles::FULL.is_some_and(|n| self.is_full(n))
            && varying.clone().count() == self.kids.len();
        (full || emit(self.value.below)) && varying.into_iter().all(|k| k.points(mask, emit))
    }

    fn visit(&self, key: &mut Vec<u8>, facts: FactsFn, values: ValueFn) {
        let start = key.len();
        key.extend(&self.frag);
        values(self.value.own);
        values(self.value.below);
        if !self.facts.is_empty() {
            facts(key, &self.facts);
        }
        for kid in &self.kids {
            kid.visit(key, facts, values);
        }
        key.truncate(start);
    }

    fn render(&self, mask: Mask, key: &mut Vec<u8>, visit: Visit) -> bool {
        let mut kids = self.kids.iter().filter(|k| k.touch & mask != 0);
        kids.all(|kid| kid.render_edge(0, mask, self.value.below, key, visit))
    }

    /// The edge to this node from its byte `from` on, and the node; `above` is what the node above
    /// gives.
    fn render_edge(
        &self,
        from: usize,
        mask: Mask,
        above: ValueId,
        key: &mut Vec<u8>,
        visit: Visit,
    ) -> bool {
        let start = key.len();
        let mut go = true;
        for b in &self.frag[from..self.frag.len() - 1] {
            key.push(*b);
            go = go && visit(key, Seen::Edge(above));
        }
        key.push(self.frag[self.frag.len() - 1]);
        go = go && visit(key, Seen::Node(self.at())) && self.render(mask, key, visit);
        key.truncate(start);
        go
    }
}

struct Change<'a> {
    key: &'a [u8],
    scope: u8,
    facts: FactsId,
}

/// Changes the facts at `change.key` somewhere at or below `node`, which ends at `depth`; `above`
/// is the parent's state.
fn insert<K: Kind>(
    node: &mut Arc<Node>,
    depth: usize,
    above: &State,
    change: &Change,
    pool: &mut Pool,
) {
    let key = change.key;
    let node = Arc::make_mut(node);
    if depth == key.len() {
        let mut facts: Vec<_> = node
            .facts
            .iter()
            .copied()
            .filter(|(s, _)| *s != change.scope)
            .collect();
        if change.facts != FactsId::NONE {
            facts.push((change.scope, change.facts));
            facts.sort_unstable();
        }
        node.facts = facts.into();
        recompile::<K>(node, &mut key.to_vec(), above, pool);
        return;
    }
    let mut state = above.clone();
    let own = K::enter(&node.facts, &key[..depth], &mut state, pool);
    let rest = &key[depth..];
    match node.kid(rest) {
        None if change.facts == FactsId::NONE => return,
        None => {
            let mut kid = Node {
                frag: rest.into(),
                facts: [(change.scope, change.facts)].into(),
                ..Node::default()
            };
            recompile::<K>(&mut kid, &mut key.to_vec(), &state, pool);
            let at = node.kids.partition_point(|k| k.frag[0] < rest[0]);
            let mut kids = std::mem::take(&mut node.kids).into_vec();
            kids.insert(at, Arc::new(kid));
            node.kids = kids.into();
        }
        Some(i) => {
            let same = node.kids[i]
                .frag
                .iter()
                .zip(rest)
                .take_while(|(a, b)| a == b)
                .count();
            if same < node.kids[i].frag.len() {
                if change.facts == FactsId::NONE {
                    return;
                }
                node.kids[i] = split::<K>(&node.kids[i], same, &key[..depth + same], &state, pool);
            }
            insert::<K>(&mut node.kids[i], depth + same, &state, change, pool);
            tidy(node, i);
        }
    }
    let below = pool.resolve(&state);
    let own = own.map_or(below, |s| pool.resolve(&s));
    node.summarise::<K>(&key[..depth], own, below, pool);
}

/// A new node in the middle of the edge to `kid`.
fn split<K: Kind>(
    kid: &Arc<Node>,
    same: usize,
    key: &[u8],
    state: &State,
    pool: &mut Pool,
) -> Arc<Node> {
    let mut lower = (**kid).clone();
    let frag = std::mem::take(&mut lower.frag);
    lower.frag = frag[same..].into();
    let mut upper = Node {
        frag: frag[..same].into(),
        kids: [Arc::new(lower)].into(),
        ..Node::default()
    };
    let value = pool.resolve(state);
    upper.summarise::<K>(key, value, value, pool);
    Arc::new(upper)
}

/// Removes a child without facts, or joins it with its only child.
fn tidy(node: &mut Node, i: usize) {
    let kid = &node.kids[i];
    if !kid.facts.is_empty() || kid.kids.len() > 1 {
        return;
    }
    match kid.kids.first() {
        None => {
            let mut kids = std::mem::take(&mut node.kids).into_vec();
            kids.remove(i);
            node.kids = kids.into();
        }
        Some(only) => {
            let mut joined = (**only).clone();
            joined.frag = [&*kid.frag, &*only.frag].concat().into();
            node.kids[i] = Arc::new(joined);
        }
    }
}

/// Computes a node and everything below it anew, from the state above it. `key` ends at the node.
fn recompile<K: Kind>(node: &mut Node, key: &mut Vec<u8>, above: &State, pool: &mut Pool) {
    let mut state = above.clone();
    let own = K::enter(&node.facts, key, &mut state, pool);
    for kid in &mut node.kids {
        let start = key.len();
        key.extend(&kid.frag);
        recompile::<K>(Arc::make_mut(kid), key, &state, pool);
        key.truncate(start);
    }
    let below = pool.resolve(&state);
    let own = own.map_or(below, |s| pool.resolve(&s));
    node.summarise::<K>(key, own, below, pool);
}

/// IPv6 by nibbles, most significant first, one a byte.
pub struct Nibbles;

impl Kind for Nibbles {
    const FULL: Option<usize> = Some(16);
    fn enter(
        facts: &[(u8, FactsId)],
        _key: &[u8],
        below: &mut State,
        pool: &Pool,
    ) -> Option<State> {
        facts
            .iter()
            .for_each(|(len, f)| pool.enter(below, *f, *len));
        None
    }
    fn len(key: &[u8]) -> u8 {
        key.len() as u8 * 4
    }
}

/// Domains by reversed labels, a zero after each.
pub struct Labels;

impl Labels {
    /// Scopes in a node's facts, in the order in which they are entered.
    pub const TREE: u8 = 0;
    /// `*.a.b`.
    pub const BELOW: u8 = 1;
    /// `a.b`.
    pub const NAME: u8 = 2;
}

impl Kind for Labels {
    const FULL: Option<usize> = None;
    fn enter(facts: &[(u8, FactsId)], key: &[u8], below: &mut State, pool: &Pool) -> Option<State> {
        if facts.is_empty() {
            return None;
        }
        let mut own = below.clone();
        for (scope, f) in facts {
            if *scope != Labels::NAME {
                pool.enter(below, *f, Labels::len(key));
            }
            if *scope != Labels::BELOW {
                pool.enter(&mut own, *f, Labels::len(key));
            }
        }
        Some(own)
    }
    fn len(key: &[u8]) -> u8 {
        key.iter().filter(|b| **b == 0).count() as u8
    }
}

/// The nibbles of an address, most significant first.
pub fn nibbles(addr: u128) -> [u8; 32] {
    std::array::from_fn(|i| (addr >> (124 - 4 * i)) as u8 & 15)
}
