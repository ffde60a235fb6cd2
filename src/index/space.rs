//! How a zone's addresses become owner names, for one family at a time.
//!
//! A *node* is a whole number of labels from the top: octets of IPv4, nibbles of IPv6. A node is
//! *open* in a zone if something below it differs from the rest of it; then it exists, and its
//! children are named one by one. A node that is not open is uniform: a wildcard at the node or
//! above it answers for it. An open node has a wildcard if it has a value and no whole child is
//! without one. This is the rendering of a zone; the answers in [`super::find`] follow the same
//! rules without making it, and mirrors answer from it by RFC 4592.

use super::{
    ip4::Ip4,
    ip6::{Cursor, Ip6, Summary},
    listing::{Items, Where},
    parts::{ChildSet, child_candidates4},
    values::{FactsId, Interned, ValueId},
};
use crate::model::{Mask, Prefix4, Prefix6};

/// Gets a key, whether the owner is the wildcard below it, and the items; false ends the rendering.
pub(super) type Tell<'t> = &'t mut dyn FnMut(&[u8], bool, &Items) -> bool;

/// One family's addresses as a tree of labels. Keys are labels from the top.
pub trait LabelTree {
    /// How many children a node has.
    const ARITY: u16;
    /// How many labels an address has.
    const LEVELS: usize;
    /// The reasons that vary within a node.
    fn varies_below(&self, key: &[u8]) -> Mask;
    /// What a node gives to everything below it that has nothing longer; for a whole address, its
    /// answer.
    fn value(&self, key: &[u8], zone: Mask) -> Items;
    /// Whether a wildcard at this node could match a name of the other family.
    fn is_ambiguous(key: &[u8]) -> bool;
    /// True only if no child of an open node is without a value while the node has one.
    fn is_uniform(&self, key: &[u8]) -> bool;
    /// Whether a child of a node has nothing that a zone lists: no value, and nothing below it.
    fn has_unlisted_child(&self, key: &[u8], zone: Mask) -> bool;
    /// The children of a node that can answer otherwise than `value`, the node's own, or contain
    /// something that does.
    fn child_candidates(&self, key: &[u8], zone: Mask, value: &Items) -> ChildSet;
    /// Extends the key of an open node by its only child, as long as nothing else is below it.
    fn skip_chain(&self, _key: &mut Vec<u8>, _zone: Mask) {}
    /// Renders a node that has hosts and that nothing covers, by a fast path, since most nodes are
    /// like this. `None` if there is more to it.
    fn fast_path(&self, _key: &mut Vec<u8>, _zone: Mask, _tell: Tell) -> Option<bool> {
        None
    }
    /// Appends a label in wire form.
    fn label(label: u8, out: &mut Vec<u8>);
    /// The labels above all keys, in wire form.
    const ABOVE: &'static [u8] = &[];
    /// The address of a key; the first one of a branch.
    fn at(key: &[u8]) -> Where<'static>;

    /// Puts an owner's labels, relative to the origin, into `out` in wire form without a root
    /// label.
    fn owner(key: &[u8], wild: bool, out: &mut Vec<u8>) {
        out.clear();
        if wild {
            out.extend([1, b'*']);
        }
        key.iter().rev().for_each(|l| Self::label(*l, out));
        out.extend(Self::ABOVE);
    }

    /// Whether something below a node differs from the rest, or it has to be named in full.
    fn open(&self, key: &[u8], zone: Mask) -> bool {
        key.is_empty()
            || (key.len() < Self::LEVELS
                && (self.varies_below(key) & zone != 0
                    || (Self::is_ambiguous(key) && !self.value(key, zone).is_empty())))
    }

    /// The value of the wildcard at an open node; empty if there is none.
    fn wildcard(&self, key: &[u8], zone: Mask) -> Items {
        self.wildcard_of(key, zone, || self.value(key, zone))
    }

    /// The same, with the node's value given.
    fn wildcard_of(&self, key: &[u8], zone: Mask, value: impl FnOnce() -> Items) -> Items {
        if key.is_empty() || key.len() >= Self::LEVELS || Self::is_ambiguous(key) {
            return Items::default();
        }
        let value = value();
        if value.is_empty() || self.is_uniform(key) || !self.has_unlisted_child(key, zone) {
            value
        } else {
            Items::default()
        }
    }

    /// How many labels the deepest existing name has on the way to a key.
    fn deepest(&self, key: &[u8], zone: Mask) -> usize {
        // What is above an open node is open.
        let (mut open, mut closed) = (0, key.len() + 1);
        while closed - open > 1 {
            let middle = usize::midpoint(open, closed);
            match self.open(&key[..middle], zone) {
                true => open = middle,
                false => closed = middle,
            }
        }
        match key.get(..closed) {
            Some(next) if self.exists(next, zone) => closed,
            _ => open,
        }
    }

    /// Whether a name exists: it has records, or a name below it has.
    fn exists(&self, key: &[u8], zone: Mask) -> bool {
        if self.open(key, zone) {
            return true;
        }
        let value = self.value(key, zone);
        let parent = &key[..key.len() - 1];
        // Inside a uniform node, only the wildcard of that node or a higher one matches.
        !value.is_empty() && self.open(parent, zone) && !self.wildcard(parent, zone).same(&value)
    }
}

/// IPv4 by octets.
pub struct Ip4Octets<'a> {
    /// The table.
    pub ip4: &'a Ip4,
    /// Its interned things.
    pub interned: &'a Interned,
}

/// The prefix of a key of octets.
fn prefix4(key: &[u8]) -> Prefix4 {
    let addr = key
        .iter()
        .enumerate()
        .fold(0, |a, (i, o)| a | u32::from(*o) << (24 - 8 * i));
    Prefix4::new(addr, key.len() as u8 * 8)
}

/// The answer of an address in a zone.
fn host(ip4: &Ip4, interned: &Interned, addr: u32, zone: Mask) -> Items {
    let (own, cover) = ip4.get(addr);
    address(interned, own, cover, zone)
}

/// What an address answers in a zone by its own facts and what covers it.
pub(super) fn address(interned: &Interned, own: FactsId, cover: ValueId, zone: Mask) -> Items {
    let mut out = Items::default();
    if cover == ValueId::EXEMPT {
        return out;
    }
    if own != FactsId::NONE {
        out.extend(&interned.facts(own).items, zone);
    }
    out.extend(&interned.value(cover).items, zone);
    out
}

pub(super) fn value4(ip4: &Ip4, interned: &Interned, p: Prefix4, zone: Mask) -> Items {
    if p.is_host() {
        return host(ip4, interned, p.first(), zone);
    }
    let mut out = Items::default();
    if p.len() >= 8 {
        out.extend_cover(ip4, interned, p, zone);
    }
    out
}

impl Items {
    fn extend_cover(&mut self, ip4: &Ip4, interned: &Interned, p: Prefix4, zone: Mask) {
        ip4.cover(p, &mut |v| {
            let value = interned.value(v);
            if value.mask & zone != 0 {
                for i in value.items.iter().filter(|i| i.len <= p.len()) {
                    self.extend(std::slice::from_ref(i), zone);
                }
            }
        });
    }
}

impl LabelTree for Ip4Octets<'_> {
    const ARITY: u16 = 256;
    const LEVELS: usize = 4;
    fn varies_below(&self, key: &[u8]) -> Mask {
        self.ip4.varies_below(prefix4(key), self.interned)
    }
    fn value(&self, key: &[u8], zone: Mask) -> Items {
        value4(self.ip4, self.interned, prefix4(key), zone).shown()
    }
    fn is_ambiguous(key: &[u8]) -> bool {
        // A label of one digit is a nibble too: `*.2` would match every IPv6 name that ends in 2.
        key.iter().all(|o| *o < 10)
    }
    fn is_uniform(&self, key: &[u8]) -> bool {
        key.len() >= 2 && self.ip4.is_plain(prefix4(key))
    }
    fn has_unlisted_child(&self, key: &[u8], zone: Mask) -> bool {
        self.ip4
            .has_unlisted_child(prefix4(key), key.len() as u8 * 8 + 8, zone, self.interned)
    }
    fn child_candidates(&self, key: &[u8], zone: Mask, value: &Items) -> ChildSet {
        child_candidates4(self.ip4, self.interned, prefix4(key), 8, zone, value)
    }
    fn fast_path(&self, key: &mut Vec<u8>, zone: Mask, tell: Tell) -> Option<bool> {
        let [a, b, c] = **key else { return None };
        let block = self.ip4.rows[usize::from(a)].as_deref()?.blocks[usize::from(b)].as_deref()?;
        let (first, last) = (u16::from_be_bytes([c, 0]), u16::from_be_bytes([c, 255]));
        if block.default_value == ValueId::EXEMPT
            || self.interned.value(block.default_value).mask & zone != 0
            || block.has_run(first, last)
        {
            return None;
        }
        let mut go = true;
        block.hosts.each(first, last, |place, suffix| {
            let facts = self.interned.facts(block.facts.get(place));
            if go && facts.mask & zone != 0 {
                let mut items = Items::default();
                items.extend(&facts.items, zone);
                key.push(suffix as u8);
                go = tell(key, false, &items);
                key.pop();
            }
        });
        Some(go)
    }
    fn label(label: u8, out: &mut Vec<u8>) {
        let (h, t, u) = (label / 100, label / 10 % 10, label % 10);
        match (h, t) {
            (0, 0) => out.extend([1, b'0' + u]),
            (0, _) => out.extend([2, b'0' + t, b'0' + u]),
            _ => out.extend([3, b'0' + h, b'0' + t, b'0' + u]),
        }
    }
    fn at(key: &[u8]) -> Where<'static> {
        Where::V4(prefix4(key).first())
    }
}

/// A nibble as a label.
pub(super) fn hex(label: u8, out: &mut Vec<u8>) {
    out.extend([1, b"0123456789abcdef"[usize::from(label & 15)]]);
}

/// The labels above `::ffff:0:0/96`: twenty times `0`, below them four times `f`.
const MAPPED_ABOVE: [u8; 48] = {
    let mut out = [1; 48];
    let mut i = 0;
    while i < 24 {
        out[2 * i + 1] = if i < 4 { b'f' } else { b'0' };
        i += 1;
    }
    out
};

/// IPv4 by nibbles, as it appears under `::ffff:0:0/96` in a zone with `ipv4_mapped = true`.
pub struct MappedIp4Nibbles<'a>(pub Ip4Octets<'a>);

fn prefix4_nibbles(key: &[u8]) -> Prefix4 {
    let addr = key
        .iter()
        .enumerate()
        .fold(0, |a, (i, n)| a | u32::from(*n) << (28 - 4 * i));
    Prefix4::new(addr, key.len() as u8 * 4)
}

impl LabelTree for MappedIp4Nibbles<'_> {
    const ARITY: u16 = 16;
    const LEVELS: usize = 8;
    fn varies_below(&self, key: &[u8]) -> Mask {
        self.0
            .ip4
            .varies_below(prefix4_nibbles(key), self.0.interned)
    }
    fn value(&self, key: &[u8], zone: Mask) -> Items {
        value4(self.0.ip4, self.0.interned, prefix4_nibbles(key), zone).shown()
    }
    fn is_ambiguous(_: &[u8]) -> bool {
        false // 24 labels stand above it
    }
    fn is_uniform(&self, key: &[u8]) -> bool {
        key.len() >= 4 && self.0.ip4.is_plain(prefix4_nibbles(key))
    }
    fn has_unlisted_child(&self, key: &[u8], zone: Mask) -> bool {
        self.0.ip4.has_unlisted_child(
            prefix4_nibbles(key),
            key.len() as u8 * 4 + 4,
            zone,
            self.0.interned,
        )
    }
    fn child_candidates(&self, key: &[u8], zone: Mask, value: &Items) -> ChildSet {
        child_candidates4(
            self.0.ip4,
            self.0.interned,
            prefix4_nibbles(key),
            4,
            zone,
            value,
        )
    }
    fn label(label: u8, out: &mut Vec<u8>) {
        hex(label, out);
    }
    const ABOVE: &'static [u8] = &MAPPED_ABOVE;
    fn at(key: &[u8]) -> Where<'static> {
        Where::V4(prefix4_nibbles(key).first())
    }
}

/// IPv6 by nibbles.
pub struct Ip6Nibbles<'a> {
    /// The table.
    pub ip6: &'a Ip6,
    /// Its interned things.
    pub interned: &'a Interned,
    /// Where the last look-up ended.
    cursor: Cursor<'a>,
}

/// The prefix of a key of nibbles.
fn prefix6(key: &[u8]) -> Prefix6 {
    let addr = key
        .iter()
        .enumerate()
        .fold(0, |a, (i, n)| a | u128::from(*n) << (124 - 4 * i));
    Prefix6::new(addr, key.len() as u8 * 4)
}

impl<'a> Ip6Nibbles<'a> {
    /// The addresses of a table.
    pub fn new(ip6: &'a Ip6, interned: &'a Interned) -> Ip6Nibbles<'a> {
        Ip6Nibbles {
            ip6,
            interned,
            cursor: Cursor::default(),
        }
    }

    /// What the addresses of a prefix answer.
    pub(super) fn summary(&self, p: Prefix6) -> Summary {
        self.ip6.summary(p, &self.cursor, self.interned)
    }
}

impl LabelTree for Ip6Nibbles<'_> {
    const ARITY: u16 = 16;
    const LEVELS: usize = 32;
    fn varies_below(&self, key: &[u8]) -> Mask {
        let p = prefix6(key);
        self.summary(p).varies_at(p.len(), self.interned)
    }
    fn value(&self, key: &[u8], zone: Mask) -> Items {
        let p = prefix6(key);
        let summary = self.summary(p);
        let varied = summary.varies_at(p.len(), self.interned) & zone;
        let mut out = Items::default();
        // By a reason that does not vary, all addresses answer what the first one does.
        out.extend(&self.interned.value(summary.first).items, zone & !varied);
        if varied != 0 {
            let given = self.ip6.given(p, &self.cursor);
            out.extend(&self.interned.value(given).items, varied);
        }
        out.shown()
    }
    fn open(&self, key: &[u8], zone: Mask) -> bool {
        let p = prefix6(key);
        key.is_empty()
            || (key.len() < Self::LEVELS
                && (self.ip6.varies(p, zone, &self.cursor, self.interned)
                    || (Self::is_ambiguous(key) && !self.value(key, zone).is_empty())))
    }
    fn is_ambiguous(key: &[u8]) -> bool {
        key.len() < 4
    }
    fn is_uniform(&self, _: &[u8]) -> bool {
        false
    }
    fn has_unlisted_child(&self, key: &[u8], zone: Mask) -> bool {
        let p = prefix6(key);
        (0..16u128).any(|n| {
            let child = Prefix6::new(p.first() | n << (124 - p.len()), p.len() + 4);
            let summary = self.summary(child);
            (self.interned.value(summary.first).mask | summary.varied) & zone == 0
        })
    }
    fn child_candidates(&self, key: &[u8], _: Mask, _: &Items) -> ChildSet {
        // Without entries, everything below has what the node gives.
        self.ip6.branches(prefix6(key), &self.cursor).into()
    }
    fn skip_chain(&self, key: &mut Vec<u8>, zone: Mask) {
        let p = prefix6(key);
        let given = self.ip6.given(p, &self.cursor);
        if self.interned.value(given).mask & zone == 0 {
            let chain = self.ip6.chain(p, &self.cursor);
            let whole = super::ip6::nibbles(chain.first());
            key.extend(&whole[key.len()..usize::from(chain.len() / 4)]);
        }
    }
    fn label(label: u8, out: &mut Vec<u8>) {
        hex(label, out);
    }
    fn at(key: &[u8]) -> Where<'static> {
        Where::V6(prefix6(key).first())
    }
}
