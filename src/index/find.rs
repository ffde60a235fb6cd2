//! Finds what a zone has at a name, as RFC 4592 would find it in the zone's rendering.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    build::Tables,
    listing::{Items, Listing, Where},
    space::{Ip4Octets, Ip6Nibbles, LabelTree, MappedIp4Nibbles},
    values::{FactsId, ValueId},
    zones::{StaticRecords, ZoneView},
};
use crate::model::{Mask, ZoneKind, domain::MAX_LABEL, zone_addresses::octet};

/// A name below a zone's origin, decoded once: the address or branch that its labels spell from the
/// right.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The labels in wire form, lower case, without a root label.
    pub labels: &'a [u8],
    /// The places of their length bytes.
    pub starts: &'a [u8],
    /// How many labels there are.
    pub count: usize,
    /// As many octets as the labels spell from the right, at most four.
    pub octets: [u8; 4],
    /// How many.
    pub octets_len: usize,
    /// As many nibbles as the labels spell from the right.
    pub nibbles: [u8; 32],
    /// How many.
    pub nibbles_len: usize,
}

impl<'a> Asked<'a> {
    /// Decodes labels in wire form, lower case; `starts` are the places of their length bytes.
    #[inline]
    pub fn new(labels: &'a [u8], starts: &'a [u8]) -> Asked<'a> {
        let mut out = Asked {
            labels,
            starts,
            count: starts.len(),
            octets: [0; 4],
            octets_len: 0,
            nibbles: [0; 32],
            nibbles_len: 0,
        };
        for (i, label) in from_right(labels, starts).enumerate() {
            if i == out.octets_len
                && i < 4
                && let Some(o) = octet(label)
            {
                out.octets[i] = o;
                out.octets_len += 1;
            }
            if i == out.nibbles_len
                && i < 32
                && let [c] = label
                && let Some(n) = (*c as char).to_digit(16)
            {
                out.nibbles[i] = n as u8;
                out.nibbles_len += 1;
            }
            if i >= out.octets_len.max(out.nibbles_len) {
                break;
            }
        }
        out
    }

    /// The address that the whole name spells in a zone: as four octets, or as 32 nibbles.
    pub fn address(&self, zone: &ZoneView) -> Option<IpAddr> {
        if zone.has_ip4 && self.count == 4 && self.octets_len == 4 {
            return Some(Ipv4Addr::from(self.octets).into());
        }
        let is_whole = zone.has_ip6 && self.count == 32 && self.nibbles_len == 32;
        is_whole.then(|| Ipv6Addr::from(address6(&self.nibbles)).into())
    }

    /// Whether the name is in the part of a domain zone that has addresses: below a label of an
    /// address ([`crate::model::ZoneAddresses::is_label`]).
    fn is_below_address_label(&self, zone: &ZoneView) -> bool {
        (zone.has_ip4 && self.octets_len > 0) || (zone.has_ip6 && self.nibbles_len > 0)
    }

    /// Whether the name is below the wildcard at its last `n` labels. The wildcard itself is an
    /// ordinary name and has nothing below it, so no wildcard matches there (RFC 4592 sections
    /// 2.1.1 and 4.2).
    pub(super) fn below_wildcard(&self, n: usize) -> bool {
        n + 1 < self.count && self.suffix(n + 1).starts_with(&[1, b'*'])
    }

    /// The last `n` labels.
    fn suffix(&self, n: usize) -> &'a [u8] {
        let start = self.starts.get(self.count - n);
        &self.labels[start.map_or(self.labels.len(), |s| usize::from(*s))..]
    }

    /// The labels without their length bytes, from the right.
    pub fn labels_from_right(&self) -> impl Iterator<Item = &'a [u8]> {
        from_right(self.labels, self.starts)
    }
}

fn from_right<'a>(labels: &'a [u8], starts: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    starts.iter().rev().map(move |start| {
        let start = usize::from(*start);
        &labels[start + 1..start + 1 + usize::from(labels[start])]
    })
}

/// What a zone has at a name.
#[derive(Debug)]
pub enum Found<'a> {
    /// Static records: the apex, a configured record, a test point.
    Static(&'a StaticRecords),
    /// It is listed.
    Listed(Listing<'a>),
    /// An exclusion below a listed tree: it has one HINFO record, so that no wildcard matches it.
    Excluded,
    /// It exists because other names are below it.
    Empty,
    /// There is no such name.
    Missing,
}

/// Finds what the zone has at a name. `scratch` holds what has to be joined; nothing is allocated.
pub fn find<'a>(
    tables: &'a Tables,
    zone: &'a ZoneView,
    asked: &'a Asked,
    scratch: &'a mut Option<Items>,
) -> Found<'a> {
    // The fast path, for nearly every query: a whole IPv4 address.
    let whole4 = asked.count == 4 && asked.octets_len == 4 && zone.has_ip4;
    if whole4 && asked.octets[0] != 127 {
        let addr = u32::from_be_bytes(asked.octets);
        let (own, cover) = tables.ip4.get(addr);
        if cover != ValueId::EXEMPT && (own, cover) != (FactsId::NONE, ValueId::EMPTY) {
            let (own, cover) = (tables.interned.facts(own), tables.interned.value(cover));
            if (own.mask | cover.mask) & zone.mask != 0 {
                return Found::Listed(Listing {
                    own: &own.items,
                    cover: &cover.items,
                    at: Where::V4(addr),
                });
            }
        }
        if asked.nibbles_len < 4 && !zone.may_have_static(asked.suffix(1)) {
            return Found::Missing;
        }
    }
    // A whole IPv6 address.
    let whole6 = asked.count == 32 && asked.nibbles_len == 32;
    if whole6
        && zone.has_ip6
        && let Some(last) = asked.labels.last_chunk::<2>()
        && !zone.may_have_static(last)
        && !(zone.spec.ipv4_mapped && asked.nibbles[..24] == MAPPED)
    {
        let addr = address6(&asked.nibbles);
        let value = tables.interned.value(tables.ip6.get(addr));
        if value.mask & zone.mask == 0 {
            return Found::Missing; // a wildcard above it would have listed it
        }
        return Found::Listed(Listing {
            own: &value.items,
            cover: &[],
            at: Where::V6(addr),
        });
    }
    let fixed = deepest_fixed(zone, asked);
    if let Some((n, f)) = fixed
        && n == asked.count
        && (!f.rrs.is_empty() || n == 0)
    {
        return Found::Static(f);
    }
    let fixed = fixed.map_or(0, |(n, _)| n);
    match zone.spec.kind {
        ZoneKind::Address => find_address(tables, zone, asked, fixed, scratch),
        ZoneKind::Domain if asked.is_below_address_label(zone) => {
            find_address(tables, zone, asked, fixed, scratch)
        }
        ZoneKind::Domain => find_name(tables, zone, asked, fixed),
        ZoneKind::Hash => find_digest(tables, zone, asked, fixed),
        ZoneKind::Catalog if fixed == asked.count => Found::Empty,
        ZoneKind::Catalog => Found::Missing,
    }
}

/// The longest end of the name that is a static name or is above one.
pub(super) fn deepest_fixed<'a>(
    zone: &'a ZoneView,
    asked: &Asked,
) -> Option<(usize, &'a StaticRecords)> {
    if asked.count > 0 && !zone.may_have_static(asked.suffix(1)) {
        return zone.fixed.get(&[][..]).map(|f| (0, f));
    }
    let mut found = None;
    for n in 0..=asked.count {
        match zone.fixed.get(asked.suffix(n)) {
            Some(f) => found = Some((n, f)),
            None => break,
        }
    }
    found
}

/// The first address that begins with some nibbles.
fn address6(nibbles: &[u8]) -> u128 {
    let bits = nibbles.iter().fold(0, |a, n| a << 4 | u128::from(*n));
    match nibbles.len() {
        0 => 0,
        n => bits << (128 - 4 * n),
    }
}

/// The nibbles above `::ffff:0:0/96`.
const MAPPED: [u8; 24] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 15, 15, 15,
];

fn find_address<'a>(
    tables: &'a Tables,
    zone: &ZoneView,
    asked: &Asked,
    fixed: usize,
    scratch: &'a mut Option<Items>,
) -> Found<'a> {
    let octets = Ip4Octets {
        ip4: &tables.ip4,
        interned: &tables.interned,
    };
    let hextets = Ip6Nibbles::new(&tables.ip6, &tables.interned);
    let nibbles_len = if zone.has_ip6 { asked.nibbles_len } else { 0 };
    let (key4, key6) = (
        &asked.octets[..asked.octets_len],
        &asked.nibbles[..nibbles_len],
    );
    let mut buf4 = [0u8; 4];
    buf4[..key4.len()].copy_from_slice(key4);
    let at4 = Where::V4(u32::from_be_bytes(buf4));
    let at6 = Where::V6(address6(key6));
    let mapped = zone.spec.ipv4_mapped && key6.len() >= 24 && key6[..24] == MAPPED;
    if asked.count == 4 && key4.len() == 4 {
        let items = octets.value(key4, zone.mask);
        if !items.is_empty() {
            return Found::Listed(Listing {
                own: scratch.insert(items).as_slice(),
                cover: &[],
                at: at4,
            });
        }
    }
    if mapped {
        let key = &key6[24..];
        let at = Where::V4(
            key.iter()
                .enumerate()
                .fold(0, |a, (i, n)| a | u32::from(*n) << (28 - 4 * i)),
        );
        return mapped_tree(
            &MappedIp4Nibbles(octets),
            key,
            asked,
            fixed,
            zone.mask,
            at,
            scratch,
        );
    }
    if asked.count == 32 && key6.len() == 32 {
        let items = hextets.value(key6, zone.mask);
        if !items.is_empty() {
            return Found::Listed(Listing {
                own: scratch.insert(items).as_slice(),
                cover: &[],
                at: at6,
            });
        }
        return Found::Missing; // a wildcard above it would have listed it
    }
    let deep4 = octets.deepest(key4, zone.mask);
    let deep6 = hextets.deepest(key6, zone.mask);
    let deep = deep4.max(deep6).max(fixed);
    if deep == asked.count {
        return Found::Empty;
    }
    if asked.below_wildcard(deep) {
        // A static name has no such label next to it, and a node without a wildcard matches
        // nothing.
        return Found::Missing;
    }
    if deep == deep4 && deep4 > 0 {
        let items = octets.wildcard(&key4[..deep4], zone.mask);
        if !items.is_empty() {
            return Found::Listed(Listing {
                own: scratch.insert(items).as_slice(),
                cover: &[],
                at: at4,
            });
        }
    }
    if deep == deep6 && deep6 > 0 {
        let items = hextets.wildcard(&key6[..deep6], zone.mask);
        if !items.is_empty() {
            return Found::Listed(Listing {
                own: scratch.insert(items).as_slice(),
                cover: &[],
                at: at6,
            });
        }
    }
    Found::Missing
}

/// The same under `::ffff:0:0/96`, where only IPv4 is: `key` spells the labels below it.
fn mapped_tree<'a>(
    space: &MappedIp4Nibbles,
    key: &[u8],
    asked: &Asked,
    fixed: usize,
    zone: Mask,
    at: Where<'a>,
    scratch: &'a mut Option<Items>,
) -> Found<'a> {
    let (count, fixed) = (
        asked.count - MAPPED.len(),
        fixed.saturating_sub(MAPPED.len()),
    );
    if count == key.len() && count == MappedIp4Nibbles::LEVELS {
        let items = space.value(key, zone);
        if !items.is_empty() {
            return Found::Listed(Listing {
                own: scratch.insert(items).as_slice(),
                cover: &[],
                at,
            });
        }
    }
    let deep = space.deepest(key, zone);
    if deep.max(fixed) == count {
        return Found::Empty;
    }
    if deep >= fixed && deep > 0 && !asked.below_wildcard(MAPPED.len() + deep) {
        let items = space.wildcard(&key[..deep], zone);
        if !items.is_empty() {
            return Found::Listed(Listing {
                own: scratch.insert(items).as_slice(),
                cover: &[],
                at,
            });
        }
    }
    Found::Missing
}

/// Finds a digest: a name of one label that has the zone's form. There is nothing below it, and
/// there are no wildcards.
fn find_digest<'a>(
    tables: &'a Tables,
    zone: &ZoneView,
    asked: &'a Asked,
    fixed: usize,
) -> Found<'a> {
    if let Some((_, label)) = asked.labels.split_first()
        && asked.count == 1
        && let Some(v) = digest_value(tables, zone, label)
    {
        return Found::Listed(Listing {
            own: &tables.interned.value(v).items,
            cover: &[],
            at: Where::Name(asked.labels),
        });
    }
    if fixed == asked.count {
        Found::Empty
    } else {
        Found::Missing
    }
}

/// What a hash zone answers for a label in lower case; `None` if it is not listed or not a digest
/// of the zone's form.
pub(super) fn digest_value(tables: &Tables, zone: &ZoneView, label: &[u8]) -> Option<ValueId> {
    if !zone.spec.digest.is_some_and(|d| d.matches(label)) {
        return None;
    }
    let mut key = [0; MAX_LABEL + 1];
    key.get_mut(..label.len())?.copy_from_slice(label);
    let own = tables.names.value(&key[..=label.len()]).own;
    (tables.interned.value(own).mask & zone.mask != 0).then_some(own)
}

fn find_name<'a>(tables: &'a Tables, zone: &ZoneView, asked: &'a Asked, fixed: usize) -> Found<'a> {
    // The key: labels from the right, each with a zero after it. A name has at most 255 bytes.
    let mut key = [0u8; 256];
    let mut len = 0;
    for label in asked.labels_from_right() {
        if label.contains(&0) {
            break; // a zero byte is in no listed name, and would look like the end of a label
        }
        key[len..len + label.len()].copy_from_slice(label);
        len += label.len() + 1;
    }
    let key = &key[..len];
    let deepest = tables.names.deepest(key, zone.mask);
    let deep = key[..deepest.len].iter().filter(|b| **b == 0).count();
    let below = tables.interned.value(deepest.value.below);
    if deep == asked.count && deep > 0 {
        let own = tables.interned.value(deepest.value.own);
        if own.mask & zone.mask != 0 {
            return Found::Listed(Listing {
                own: &own.items,
                cover: &[],
                at: Where::Name(asked.labels),
            });
        }
        return if below.mask & zone.mask != 0 || deepest.branches {
            Found::Empty
        } else {
            Found::Excluded
        };
    }
    if fixed == asked.count {
        return Found::Empty;
    }
    if deep >= fixed && deep > 0 && below.mask & zone.mask != 0 && !asked.below_wildcard(deep) {
        return Found::Listed(Listing {
            own: &below.items,
            cover: &[],
            at: Where::Name(asked.labels),
        });
    }
    Found::Missing
}
