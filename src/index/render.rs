//! A zone's rendering: every owner name with its records, as mirrors hold them.

use super::{
    build::Tables,
    find::{Listing, Where},
    space::{Hextets, Items, Mapped, Octets, Space},
    trie::Seen,
    values::ValueId,
    zones::{Fixed, MAX_NAME, ZoneView},
};
use crate::model::{Mask, ZoneKind};

/// What stands at an owner name.
#[derive(Debug, Clone, Copy)]
pub enum Rendered<'a> {
    /// Fixed records.
    Fixed(&'a Fixed),
    /// A listing.
    Listed(Listing<'a>),
    /// One HINFO record, so that the name exists and a wildcard above it does not speak for it.
    Blank,
}

/// Called with an owner's labels, relative to the origin, in wire form without a root label.
pub type Emit<'e> = &'e mut dyn FnMut(&[u8], Rendered);

/// Renders a zone: the apex first, then fixed names, then what is listed, IPv4 before IPv6.
pub fn render(tables: &Tables, zone: &ZoneView, emit: Emit) {
    let mut fixed: Vec<_> = zone.fixed.iter().filter(|(_, f)| !f.rrs.is_empty()).collect();
    fixed.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then(a.0.cmp(b.0)));
    for (place, f) in fixed {
        emit(place, Rendered::Fixed(f));
    }
    match zone.spec.kind {
        ZoneKind::Address => {
            let octets = || Octets { ip4: &tables.ip4, interned: &tables.interned };
            space(&octets(), &[], zone.mask, &mut |key, wild, items| {
                let mut addr = [0; 4];
                addr[..key.len()].copy_from_slice(key);
                let listing = Listing { own: items.as_slice(), cover: &[], at: Where::V4(u32::from_be_bytes(addr)) };
                let labels = key.iter().map(ToString::to_string);
                emit(&owner(labels, wild), Rendered::Listed(listing));
            });
            if zone.spec.mapped {
                space(&Mapped(octets()), &[], zone.mask, &mut |key, wild, items| {
                    let addr = key.iter().enumerate().fold(0, |a, (i, n)| a | u32::from(*n) << (28 - 4 * i));
                    let listing = Listing { own: items.as_slice(), cover: &[], at: Where::V4(addr) };
                    let above = super::trie::nibbles(0xffff << 32);
                    let labels = above[..24].iter().chain(key).map(|n| format!("{n:x}"));
                    emit(&owner(labels, wild), Rendered::Listed(listing));
                });
            }
            space(&Hextets { ip6: &tables.ip6, interned: &tables.interned }, &[], zone.mask, &mut |key, wild, items| {
                let addr = key.iter().enumerate().fold(0, |a, (i, n)| a | u128::from(*n) << (124 - 4 * i));
                let listing = Listing { own: items.as_slice(), cover: &[], at: Where::V6(addr) };
                emit(&owner(key.iter().map(|n| format!("{n:x}")), wild), Rendered::Listed(listing));
            });
        }
        ZoneKind::Domain => names(tables, zone, emit),
        ZoneKind::Catalog => {}
    }
}

/// An owner in wire form from its labels, the top one first.
fn owner(labels: impl DoubleEndedIterator<Item = String>, wild: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    if wild {
        out.extend([1, b'*']);
    }
    for l in labels.rev() {
        out.push(l.len() as u8);
        out.extend(l.as_bytes());
    }
    out
}

/// Renders what is below an open node. Tells a key, whether the owner is the wildcard below it, and the items.
fn space<S: Space>(s: &S, key: &[u8], zone: Mask, tell: &mut dyn FnMut(&[u8], bool, &Items)) {
    let wildcard = s.wildcard(key, zone);
    if !wildcard.is_empty() {
        tell(key, true, &wildcard);
    }
    let mut child = key.to_vec();
    child.push(0);
    for i in 0..S::ARITY {
        child[key.len()] = i as u8;
        if s.open(&child, zone) {
            space(s, &child, zone, tell);
            continue;
        }
        let value = s.value(&child, zone);
        if !value.is_empty() && !value.same(&wildcard) {
            tell(&child, child.len() < S::LEVELS, &value);
        }
    }
}

fn names(tables: &Tables, zone: &ZoneView, emit: Emit) {
    let listed = |v: ValueId| tables.interned.value(v).mask & zone.mask != 0;
    tables.names.render(zone.mask, &mut |key, seen| {
        if key.last() != Some(&0) {
            return; // within a label
        }
        let (own, below, branch) = match seen {
            Seen::Node(at) => (at.value.own, at.value.below, at.below & zone.mask != 0),
            Seen::Edge(v) => (v, v, true),
        };
        let labels: Vec<&[u8]> = key[..key.len() - 1].split(|b| *b == 0).collect();
        let mut name = Vec::with_capacity(key.len() + 3);
        for l in labels.iter().rev() {
            name.push(l.len() as u8);
            name.extend(*l);
        }
        // What is longer than a name can be under this origin is asked for by nobody.
        let room = MAX_NAME.saturating_sub(zone.origin.len());
        if name.len() > room {
            return;
        }
        let fixed = zone.fixed.get(&name[..]).is_some_and(|f| !f.rrs.is_empty());
        let listing = |v: ValueId| Listing { own: &tables.interned.value(v).items, cover: &[], at: Where::Name(&name) };
        if fixed {
            // Its own records stand there already; what is below it is listed all the same.
        } else if listed(own) {
            emit(&name, Rendered::Listed(listing(own)));
        } else if !listed(below) && !branch {
            emit(&name, Rendered::Blank);
        }
        if listed(below) && name.len() + 2 <= room {
            emit(&[&[1, b'*'], &name[..]].concat(), Rendered::Listed(listing(below)));
        }
    });
}
