//! A leaf of the table of names: each key is stored as what differs from the key before it, and
//! every sixteenth one has its place in a list that is searched first.

use serde::{Deserialize, Serialize};

use super::{
    column::{Column, Ids},
    entries::{Entry, Key},
    tree::{Ancestor, Bounds, Leaf, NO_PARENT, Packed},
    values::{FactsId, Interned, ValueId},
};
use crate::model::{Mask, Scope};

/// What a name answers itself, and what everything below it answers that has nothing nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeValue {
    /// The name itself.
    pub own: ValueId,
    /// The names below it.
    pub below: ValueId,
}

/// The longest key: a name of 253 bytes and the zero after its last label.
const MAX_KEY: usize = 254;

pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The scopes in the order of their entries: what a name and everything below it have, the name
/// alone, everything below it alone.
const TREE: u8 = 0;
const NAME: u8 = 1;
const BELOW: u8 = 2;

/// A name and a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameKey<'a> {
    bytes: &'a [u8],
    scope: u8,
}

impl<'a> NameKey<'a> {
    pub(super) fn new(bytes: &'a [u8], scope: Scope) -> NameKey<'a> {
        let scope = match scope {
            Scope::Tree => TREE,
            Scope::Name => NAME,
            Scope::Below => BELOW,
        };
        NameKey { bytes, scope }
    }
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }
    pub(super) fn scope(self) -> Scope {
        match self.scope {
            NAME => Scope::Name,
            BELOW => Scope::Below,
            _ => Scope::Tree,
        }
    }
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
#[derive(Debug, Serialize, Deserialize)]
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
    pub(super) touch: Column<Mask>,
    parents: Option<Box<[Parent]>>,
    ancestors: Box<[Ancestor]>,
}

/// The nearest entry around another one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Parent {
    /// Its place, or [`NO_PARENT`].
    place: u16,
    /// How many bytes its key has.
    len: u8,
}

/// Where a key is in a leaf.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spot {
    /// How many entries are before it.
    pub(super) at: usize,
    /// The same with its own entries; equal to `at` if it has none.
    pub(super) end: usize,
    /// How many bytes it shares with the entry before its own.
    pub(super) shared: usize,
    /// How many bytes the key of that entry has.
    pub(super) before: usize,
    /// How many bytes it shares with the entry behind its own.
    pub(super) after: usize,
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
pub(super) struct Keys<'l> {
    leaf: &'l NameLeaf,
    /// The next entry, and where it is in the bytes.
    next: usize,
    at: usize,
    key: Vec<u8>,
}

impl Keys<'_> {
    pub(super) fn next(&mut self) -> Option<(usize, &[u8])> {
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

    /// Whether the stored bytes are keys in order, in the range of the leaf.
    fn has_sound_keys(&self, from: &[u8], to: Option<&[u8]>) -> bool {
        let all = usize::from(self.prefix);
        if self.bytes.len() < all
            || self.starts.len() != self.len().div_ceil(RESTART)
            || self.heads.len() != self.starts.len()
        {
            return false;
        }
        let (mut at, mut key) = (all, self.bytes[..all].to_vec());
        let (mut last, mut last_scope) = (Vec::new(), TREE);
        for i in 0..self.len() {
            let Some([shared, len]) = self.bytes.get(at..at + 2) else {
                return false;
            };
            let (shared, len) = (usize::from(*shared), usize::from(*len));
            let Some(rest) = self.bytes.get(at + 2..at + 2 + len) else {
                return false;
            };
            let restart = i.is_multiple_of(RESTART);
            if restart || len > 0 {
                if shared < all || shared > key.len() || (restart && shared != all) {
                    return false;
                }
                key.truncate(shared);
                key.extend(rest);
                key.push(0);
                if i == 0 && *key < *from {
                    return false;
                }
            }
            let place = i / RESTART;
            if restart
                && (self.starts[place] as usize != at || self.heads[place] != head(&key[all..]))
            {
                return false;
            }
            let scope = self.scopes.get(i);
            if (&last, last_scope) >= (&key, scope) && i > 0 || key.len() > MAX_KEY {
                return false;
            }
            last.clone_from(&key);
            last_scope = scope;
            at += 2 + len;
        }
        let after = to.is_none_or(|to| *last < *to);
        at == self.bytes.len() && after
    }

    /// What all keys begin with.
    #[inline]
    fn prefix(&self) -> &[u8] {
        &self.bytes[..usize::from(self.prefix)]
    }

    /// All keys from an entry on.
    pub(super) fn keys_from(&self, i: usize) -> Keys<'_> {
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
    pub(super) fn common(&self, i: usize, key: &[u8]) -> usize {
        let prefix = self.prefix();
        let all = common(prefix, key);
        if all < prefix.len() {
            return all;
        }
        let (mut at, mut shared) = (self.starts[i / RESTART] as usize, key.len());
        for j in i - i % RESTART..=i {
            let stored = self.stored(at);
            at = stored.next;
            let restart = j.is_multiple_of(RESTART);
            // Else it differs from the key where the one before it does.
            if restart || (!stored.rest.is_empty() && stored.shared <= shared) {
                shared = match compare(stored.rest, &key[stored.shared..]) {
                    Compared::Before(more) | Compared::After(more) => stored.shared + more,
                    Compared::Equal => key.len(),
                };
            }
        }
        shared
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

    /// Reads what a search reads first, for [`super::prefetch`].
    #[inline]
    pub(super) fn touch(&self) -> usize {
        self.heads.len() ^ self.ancestors.len() ^ self.bytes.first().map_or(0, |b| usize::from(*b))
    }

    /// Reads what a search reads next, for [`super::prefetch`]: about the place of a key.
    #[inline]
    pub(super) fn touch_place(&self, key: &[u8]) -> usize {
        let sought = head(key.get(usize::from(self.prefix)..).unwrap_or_default());
        let block = self.heads.partition_point(|h| *h <= sought);
        let start = self.starts.get(block.saturating_sub(1));
        let byte = start.and_then(|s| self.bytes.get(*s as usize));
        byte.map_or(0, |b| usize::from(*b))
    }

    /// Finds a key.
    #[inline]
    pub(super) fn search(&self, key: &[u8]) -> Spot {
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
    pub(super) fn touched(&self, spot: &Spot) -> Mask {
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
    pub(super) fn value(&self, spot: &Spot, key: &[u8], bound: &[u8]) -> NodeValue {
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
    fn columns(&self) -> (&Ids, &Ids) {
        (&self.facts, &self.values)
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
    fn is_sound(&self, from: &Box<[u8]>, to: Option<&Box<[u8]>>, limits: [usize; 2]) -> bool {
        let n = self.len();
        let fits = n < usize::from(NO_PARENT)
            && self.scopes.has_rows(n)
            && self.scopes.kinds().iter().all(|s| *s <= BELOW)
            && self.touch.has_rows(n)
            && self.facts.are_sound(n, limits[0])
            && self.values.are_sound(n, limits[1]);
        let is_ancestor = |a: &Ancestor| {
            usize::from(a.len) <= from.len() && a.scope <= BELOW && a.is_sound(limits)
        };
        let is_parent = |(i, p): (usize, &Parent)| p.place == NO_PARENT || usize::from(p.place) < i;
        fits && self.has_sound_keys(from, to.map(|to| &**to))
            && self.ancestors.iter().all(is_ancestor)
            && self
                .parents
                .as_ref()
                .is_none_or(|all| all.len() == n && all.iter().enumerate().all(is_parent))
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
