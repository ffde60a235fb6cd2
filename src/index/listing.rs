//! What is listed at a point: the items of a value, and the subject that they are about.

use super::values::{Item, TextId};
use crate::model::{MAX_REASONS, Mask, Prefix4, Prefix6, ReasonId, SourceId};

/// How many items fit without an allocation: a subject with more reasons is as rare as a zone with
/// as many codes.
const INLINE: usize = 6;

/// The items of an answer, at most one for each reason.
#[derive(Debug, Clone)]
pub struct Items {
    len: usize,
    items: [Item; INLINE],
    /// All of them, if there are more than that.
    more: Vec<Item>,
}

impl Default for Items {
    fn default() -> Items {
        let none = Item::new(ReasonId(0), 0, TextId::NONE, (0, SourceId(0)));
        Items {
            len: 0,
            items: [none; INLINE],
            more: Vec::new(),
        }
    }
}

impl Items {
    /// Adds the items of a zone whose reasons are not there yet; for the others, takes the shorter
    /// path for rows.
    #[inline]
    pub fn extend(&mut self, from: &[Item], zone: Mask) {
        for i in from {
            if zone & i.reason.bit() == 0 {
                continue;
            }
            if let Some(there) = self
                .as_mut_slice()
                .iter_mut()
                .find(|j| j.reason == i.reason)
            {
                *there = there.with_shortest_path(i);
            } else if self.len < MAX_REASONS {
                self.add(*i);
            }
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Item] {
        if self.len > INLINE {
            &mut self.more
        } else {
            &mut self.items[..self.len]
        }
    }

    #[inline]
    fn add(&mut self, item: Item) {
        match self.items.get_mut(self.len) {
            Some(place) => *place = item,
            None => {
                if self.more.is_empty() {
                    self.more.extend(self.items);
                }
                self.more.push(item);
            }
        }
        self.len += 1;
    }

    /// The items as a slice.
    pub fn as_slice(&self) -> &[Item] {
        self.items.get(..self.len).unwrap_or(&self.more)
    }

    /// Whether there are none: not listed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items for answers, without those for rows, so that a zone's owner names do not depend on
    /// paths.
    #[must_use]
    pub fn shown(mut self) -> Items {
        self.as_mut_slice()
            .iter_mut()
            .for_each(|i| *i = Item::new(i.reason, i.len, i.text, (0, SourceId(0))));
        self
    }

    /// What rows send, without what answers show: so that a zone's rows do not depend on listings
    /// that are not sent.
    #[must_use]
    pub fn sent(&self) -> Items {
        let mut out = Items::default();
        self.as_slice()
            .iter()
            .filter_map(Item::sent)
            .for_each(|i| out.add(i));
        out
    }

    /// Whether both have the same items, in any order.
    pub fn same(&self, other: &Items) -> bool {
        self.len == other.len && self.as_slice().iter().all(|i| other.as_slice().contains(i))
    }
}

/// The listed subject, as far as the tables know it: `$` stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where<'a> {
    /// An IPv4 address, or the first of a branch.
    V4(u32),
    /// An IPv6 address, or the first of a branch.
    V6(u128),
    /// A name's labels in wire form.
    Name(&'a [u8]),
}

/// A listing: items of the subject's own, then of what covers it. If both have a reason, the first
/// counts.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// Its own.
    pub own: &'a [Item],
    /// What covers it.
    pub cover: &'a [Item],
    /// What it is about.
    pub at: Where<'a>,
}

impl Listing<'_> {
    /// The item of a reason.
    #[inline]
    pub fn item(&self, reason: ReasonId) -> Option<Item> {
        self.own
            .iter()
            .chain(self.cover)
            .find(|i| i.reason == reason)
            .copied()
    }

    /// Writes the subject that is listed by `item`.
    pub fn write_subject(&self, item: Item, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        match self.at {
            Where::V4(a) => dotted(Prefix4::new(a, item.len.min(32)), out),
            Where::V6(a) => write!(out, "{}", Prefix6::new(a, item.len)),
            Where::Name(labels) => {
                let count = labels_in(labels).count();
                let mut dot = "";
                for label in labels_in(labels).skip(count.saturating_sub(usize::from(item.len))) {
                    write!(out, "{dot}{}", label.escape_ascii())?;
                    dot = ".";
                }
                Ok(())
            }
        }
    }
}

/// Writes an IPv4 address or prefix; a transfer calls it for each of millions.
fn dotted(p: Prefix4, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
    let (mut text, mut len) = ([0u8; 24], 0);
    let mut number = |n: u8, after: u8| {
        let digits = [n / 100, n / 10 % 10, n % 10];
        let from = digits.iter().position(|d| *d > 0).unwrap_or(2);
        for d in digits[from..].iter().map(|d| b'0' + d).chain([after]) {
            text[len] = d;
            len += 1;
        }
    };
    let octets = p.first().to_be_bytes();
    octets
        .into_iter()
        .zip(*b".../")
        .for_each(|(o, after)| number(o, after));
    if !p.is_host() {
        number(p.len(), b'/');
    }
    out.write_str(std::str::from_utf8(&text[..len - 1]).unwrap_or_default())
}

/// The labels of a name in wire form without a root label.
pub fn labels_in(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = wire.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*len))?;
        wire = rest;
        Some(label)
    })
}
