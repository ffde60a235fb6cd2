//! The children of a node that can answer otherwise than the node, so that a rendering visits the
//! children that exist and not all that could.

use super::{
    ip4::{Block, Ip4},
    listing::Items,
    values::{Interned, ValueId},
};
use crate::model::{Mask, Prefix4};

/// A set of children, by their labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChildSet([u64; 4]);

impl ChildSet {
    /// The first `n` children, at most 256.
    pub fn all(n: u16) -> ChildSet {
        let mut out = ChildSet::default();
        out.span(0, (n.clamp(1, 256) - 1) as u8);
        out
    }
    /// Adds one.
    pub fn add(&mut self, i: u8) {
        self.0[usize::from(i) / 64] |= 1 << (i % 64);
    }
    /// Adds those from `first` to `last`.
    pub fn span(&mut self, first: u8, last: u8) {
        (first..=last).for_each(|i| self.add(i));
    }
    /// The union of two sets.
    #[must_use]
    pub fn or(self, other: ChildSet) -> ChildSet {
        ChildSet(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }
    /// The intersection of two sets.
    #[must_use]
    pub fn and(self, other: ChildSet) -> ChildSet {
        ChildSet(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }
    /// The labels in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        self.0.into_iter().enumerate().flat_map(|(w, mut bits)| {
            std::iter::from_fn(move || {
                let i = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(w as u8 * 64 + i as u8)
            })
        })
    }
}

impl From<u16> for ChildSet {
    fn from(bits: u16) -> ChildSet {
        ChildSet([u64::from(bits), 0, 0, 0])
    }
}

/// Compares the value of covers with that of a node; neighbours usually have the same cover.
struct Same<'a> {
    interned: &'a Interned,
    zone: Mask,
    value: &'a Items,
    last: Option<(ValueId, bool)>,
}

impl Same<'_> {
    fn is(&mut self, cover: ValueId) -> bool {
        if let Some((id, same)) = self.last
            && id == cover
        {
            return same;
        }
        let mut items = Items::default();
        items.extend(&self.interned.value(cover).items, self.zone);
        let same = items.same(self.value);
        self.last = Some((cover, same));
        same
    }
}

/// The children of `p`, each `bits` longer, that have hosts, or another cover than `value`.
pub fn child_candidates4(
    ip4: &Ip4,
    interned: &Interned,
    p: Prefix4,
    bits: u8,
    zone: Mask,
    value: &Items,
) -> ChildSet {
    let child = p.len() + bits;
    let index = |addr: u32| ((addr >> (32 - child)) & ((1 << bits) - 1)) as u8;
    let mut out = ChildSet::default();
    let mut same = Same {
        interned,
        zone,
        value,
        last: None,
    };
    if child <= 8 {
        let rows = (p.first() >> 24)..=(p.last() >> 24);
        rows.filter(|a| ip4.rows[*a as usize].is_some())
            .for_each(|a| out.add(index(a << 24)));
        return out;
    }
    let Some(row) = ip4.rows[(p.first() >> 24) as usize].as_deref() else {
        return out;
    };
    let b = (p.first() >> 16) as u8;
    if child <= 16 {
        for b in b..=(p.last() >> 16) as u8 {
            if row.blocks[usize::from(b)].is_some() || !same.is(row.cover(b)) {
                out.add(index(p.first() & 0xff00_0000 | u32::from(b) << 16));
            }
        }
        return out;
    }
    match row.blocks[usize::from(b)].as_deref() {
        None if same.is(row.cover(b)) => out,
        None => ChildSet::all(1 << bits),
        Some(block) => {
            in_block(
                block,
                (p.first() as u16, p.last() as u16),
                &|s| index(u32::from(s)),
                &mut same,
                &mut out,
            );
            out
        }
    }
}

fn in_block(
    block: &Block,
    (first, last): (u16, u16),
    index: &dyn Fn(u16) -> u8,
    same: &mut Same,
    out: &mut ChildSet,
) {
    block.hosts.each(first, last, |_, s| out.add(index(s)));
    let mut at = u32::from(first);
    let from = block.ranges.partition_point(|r| r.last < first);
    for r in block.ranges[from..].iter().take_while(|r| r.first <= last) {
        if at < u32::from(r.first) && !same.is(block.default_value) {
            out.span(index(at as u16), index(r.first - 1));
        }
        if !same.is(r.value) {
            out.span(index(r.first.max(first)), index(r.last.min(last)));
        }
        at = u32::from(r.last) + 1;
    }
    if at <= u32::from(last) && !same.is(block.default_value) {
        out.span(index(at as u16), index(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_parts_keeps_what_was_added() {
        let mut p = ChildSet::default();
        [0, 63, 64, 255].into_iter().for_each(|i| p.add(i));
        assert_eq!(p.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!(ChildSet::all(256).iter().count(), 256);
        assert_eq!(ChildSet::all(16).iter().last(), Some(15));
        let mut span = ChildSet::default();
        span.span(60, 70);
        assert_eq!(p.and(span).iter().collect::<Vec<_>>(), [63, 64]);
        assert_eq!(p.or(span).iter().count(), 13);
        assert_eq!(ChildSet::from(0x8001).iter().collect::<Vec<_>>(), [0, 15]);
    }
}
