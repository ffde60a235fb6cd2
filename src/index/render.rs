//! A zone's rendering: every owner name with its records, as mirrors hold them.

use super::{
    build::Tables,
    find::digest_value,
    listing::{Items, Listing, Where},
    name_leaf::NodeValue,
    parts::ChildSet,
    records::EXCLUDED_HINFO,
    rrsets::{CodeRrset, Published},
    space::{Ip4Octets, Ip6Nibbles, LabelTree, MappedIp4Nibbles, Tell},
    values::{Interned, Item},
    zones::{MAX_NAME, StaticRecords, Text, ZoneView, rtype},
};
use crate::model::{Mask, StoreId, ZoneKind, zone::TxtPolicy};

/// What an owner name has.
#[derive(Debug, Clone, Copy)]
pub enum Rendered<'a> {
    /// Static records.
    Static(&'a StaticRecords),
    /// A listing.
    Listed(Listing<'a>),
    /// A name's row; only in [`super::rows`].
    Row(NameRow<'a>),
    /// The store that sends rows; only in [`super::rows`].
    Identity(StoreId),
    /// One HINFO record, so that the name exists and a wildcard above does not match it.
    Excluded,
}

/// What is sent ([`Items::sent`]) of a name itself, of everything below it, and of what is above
/// it.
#[derive(Debug, Clone, Copy)]
pub struct NameRow<'a> {
    pub(super) own: &'a Items,
    pub(super) below: &'a Items,
    pub(super) given: &'a Items,
    pub(super) labels: &'a [u8],
}

/// Called with an owner's labels, relative to the origin, in wire form without a root label; false
/// ends the rendering.
pub type Emit<'e> = &'e mut dyn FnMut(&[u8], Rendered) -> bool;

/// Renders a zone: the apex first, then static names, then listings, IPv4 before IPv6. The SOA is
/// not among them.
pub fn render(tables: &Tables, zone: &ZoneView, emit: &mut dyn FnMut(&[u8], Rendered)) {
    render_while(tables, zone, &mut |owner, at| {
        emit(owner, at);
        true
    });
}

/// The same, until `emit` returns false.
pub fn render_while(tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    let mut fixed: Vec<_> = zone
        .fixed
        .iter()
        .filter(|(_, f)| !f.rrs.is_empty())
        .collect();
    fixed.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then(a.0.cmp(b.0)));
    for (place, f) in fixed {
        if !emit(place, Rendered::Static(f)) {
            return false;
        }
    }
    addresses(tables, zone, emit) && (!zone.spec.has_names() || names(tables, zone, emit))
}

/// Renders the addresses that a zone lists, until `emit` returns false.
fn addresses(tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    let octets = || Ip4Octets {
        ip4: &tables.ip4,
        interned: &tables.interned,
    };
    (!zone.has_ip4 || family(&octets(), zone.mask, emit))
        && (!(zone.has_ip6 && zone.spec.ipv4_mapped)
            || family(&MappedIp4Nibbles(octets()), zone.mask, emit))
        && (!zone.has_ip6
            || family(
                &Ip6Nibbles::new(&tables.ip6, &tables.interned),
                zone.mask,
                emit,
            ))
}

/// Renders the names or digests that a zone lists or excludes, until `emit` returns false.
pub fn names(tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    let is_digests = zone.spec.kind == ZoneKind::Hash;
    tables
        .names
        .existing(&[], zone.mask, &mut |key, value| match key {
            [label @ .., 0] if is_digests => digest(tables, zone, label, emit),
            _ => is_digests || !zone.has_name_key(key) || name(tables, zone, key, value, emit),
        })
}

/// Renders one name of a hash zone: a digest, which has nothing below it. `label` may be several
/// labels, which are not a digest.
pub(super) fn digest(tables: &Tables, zone: &ZoneView, label: &[u8], emit: Emit) -> bool {
    let Some(v) = digest_value(tables, zone, label) else {
        return true;
    };
    let mut place = Vec::with_capacity(label.len() + 1);
    place.push(label.len() as u8);
    place.extend(label);
    let listing = Listing {
        own: &tables.interned.value(v).items,
        cover: &[],
        at: Where::Name(&place),
    };
    emit(&place, Rendered::Listed(listing))
}

/// Renders the addresses of one family.
fn family<S: LabelTree>(s: &S, zone: Mask, emit: Emit) -> bool {
    let mut owner = Vec::with_capacity(MAX_NAME);
    below(
        s,
        &mut Vec::with_capacity(S::LEVELS),
        zone,
        &mut |key, wild, items| {
            S::owner(key, wild, &mut owner);
            emit(
                &owner,
                Rendered::Listed(Listing {
                    own: items.as_slice(),
                    cover: &[],
                    at: S::at(key),
                }),
            )
        },
    )
}

/// The wildcard value of an open node, and its children to visit.
pub(super) fn render_branch<S: LabelTree>(s: &S, key: &[u8], zone: Mask) -> (Items, ChildSet) {
    let value = if key.is_empty() {
        Items::default()
    } else {
        s.value(key, zone)
    };
    let wildcard = s.wildcard_of(key, zone, || value.clone());
    // Children that are like the node need no name if the wildcard matches them.
    let parts = if value.same(&wildcard) {
        s.child_candidates(key, zone, &value)
    } else {
        ChildSet::all(S::ARITY)
    };
    (wildcard, parts)
}

/// Renders everything below an open node.
pub(super) fn below<S: LabelTree>(s: &S, key: &mut Vec<u8>, zone: Mask, tell: Tell) -> bool {
    let depth = key.len();
    s.skip_chain(key, zone);
    let (wildcard, parts) = render_branch(s, key, zone);
    let mut go = wildcard.is_empty() || tell(key, true, &wildcard);
    for i in parts.iter() {
        key.push(i);
        go = go
            && s.fast_path(key, zone, tell)
                .unwrap_or_else(|| match s.open(key, zone) {
                    true => below(s, key, zone, tell),
                    false => render_leaf(s, key, zone, &wildcard, tell),
                });
        key.pop();
    }
    key.truncate(depth);
    go
}

/// Renders a node of uniform value, under its parent's wildcard.
pub(super) fn render_leaf<S: LabelTree>(
    s: &S,
    key: &[u8],
    zone: Mask,
    wildcard: &Items,
    tell: Tell,
) -> bool {
    let value = s.value(key, zone);
    value.is_empty() || value.same(wildcard) || tell(key, key.len() < S::LEVELS, &value)
}

/// Renders one existing name of a domain zone, and the wildcard below it.
pub(super) fn name(
    tables: &Tables,
    zone: &ZoneView,
    key: &[u8],
    value: NodeValue,
    emit: Emit,
) -> bool {
    let interned = &tables.interned;
    let listed = |v| interned.value(v).mask & zone.mask != 0;
    let NodeValue { own, below } = value;
    let name = owner(key);
    // A name that is too long under this origin is never asked for.
    let room = MAX_NAME.saturating_sub(zone.origin.len());
    if name.len() - 2 > room {
        return true;
    }
    let place = &name[2..];
    let listing = |v| Listing {
        own: &interned.value(v).items,
        cover: &[],
        at: Where::Name(place),
    };
    let go = if zone.fixed.get(place).is_some_and(|f| !f.rrs.is_empty()) {
        true // its own records stand there already; what is below it is listed all the same
    } else if listed(own) {
        emit(place, Rendered::Listed(listing(own)))
    } else {
        let branches = || tables.names.varies_below(key) & zone.mask != 0;
        listed(below) || branches() || emit(place, Rendered::Excluded)
    };
    go && (!listed(below) || name.len() > room || emit(&name, Rendered::Listed(listing(below))))
}

/// A name of a domain zone that no client can ask for, because name and origin together are longer
/// than a name can be (RFC 1035 section 2.3.4). It is not in the zone's rendering.
#[derive(Debug, Clone, Copy)]
pub struct TooLong<'a> {
    /// Its labels in wire form, relative to the origin, without a root label.
    pub labels: &'a [u8],
    /// Whether the name itself can be asked for: then only the names below it are too long.
    pub fits: bool,
    /// Whether the name is listed.
    pub own: bool,
    /// Whether the names below it are listed.
    pub below: bool,
    /// Whether the name or what is below it is an exclusion from a listed wildcard above it.
    pub excluded: bool,
}

/// Reports the names that a domain zone lists or excludes and that are too long for its origin.
pub fn too_long(tables: &Tables, zone: &ZoneView, emit: &mut dyn FnMut(TooLong)) {
    let room = MAX_NAME.saturating_sub(zone.origin.len());
    if zone.spec.kind != ZoneKind::Domain {
        return;
    }
    tables.names.existing(&[], zone.mask, &mut |key, value| {
        // The key has as many bytes as the labels in wire form.
        if key.len() + 2 > room && zone.has_name_key(key) {
            let listed = |v| tables.interned.value(v).mask & zone.mask != 0;
            let (own, below, fits) = (listed(value.own), listed(value.below), key.len() <= room);
            if !fits || (below && !own) {
                let parent = key[..key.len() - 1]
                    .iter()
                    .rposition(|b| *b == 0)
                    .map_or(&[][..], |i| &key[..=i]);
                let excluded =
                    !fits && (!own || !below) && listed(tables.names.value(parent).below);
                emit(TooLong {
                    labels: &owner(key)[2..],
                    fits,
                    own,
                    below,
                    excluded,
                });
            }
        }
        true
    });
}

/// The labels of a key of the names, in wire form, after a label `*`.
fn owner(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 3);
    name.extend([1, b'*']);
    for l in key[..key.len() - 1].rsplit(|b| *b == 0) {
        name.push(l.len() as u8);
        name.extend(l);
    }
    name
}

/// The A RRset of items, each of another reason.
pub fn codes_of(zone: &ZoneView, items: &[Item]) -> CodeRrset {
    let listed = |p: &&Published| items.iter().any(|i| i.reason == p.reason);
    CodeRrset::new(zone.spec.bitmask, zone.publish.iter().filter(listed))
}

/// The A RRset of a listing.
#[inline]
pub fn codes(zone: &ZoneView, listing: &Listing) -> CodeRrset {
    let listed = |p: &&Published| listing.item(p.reason).is_some();
    CodeRrset::new(zone.spec.bitmask, zone.publish.iter().filter(listed))
}

/// The texts of a listing in the order of the zone, each with its item: of the first reason that
/// has one, or of all, by the zone's settings.
pub fn texts<'a>(
    interned: &'a Interned,
    zone: &'a ZoneView,
    listing: &'a Listing,
) -> impl Iterator<Item = (&'a str, Item)> {
    texts_with_ttl(interned, zone, listing).map(|(text, item, _)| (text, item))
}

fn texts_with_ttl<'a>(
    interned: &'a Interned,
    zone: &'a ZoneView,
    listing: &'a Listing,
) -> impl Iterator<Item = (&'a str, Item, u32)> {
    let listed = zone
        .publish
        .iter()
        .filter_map(|p| Some((p, listing.item(p.reason)?)));
    let texts = listed.map(|(p, item)| {
        let text = interned.own_text(item.text).unwrap_or(&p.text);
        (text, item, p.ttl)
    });
    texts.filter(|(t, ..)| !t.is_empty()).take(zone.max_texts())
}

/// The TTL of the TXT RRset of a listing, in seconds: the least of the reasons whose texts it has
/// (RFC 2181 section 5.2).
pub fn text_ttl(interned: &Interned, zone: &ZoneView, listing: &Listing) -> u32 {
    zone.uniform_ttl.unwrap_or_else(|| {
        let ttls = texts_with_ttl(interned, zone, listing).map(|(.., ttl)| ttl);
        ttls.min().unwrap_or(zone.ttls[0])
    })
}

/// The records of an owner in the order of an answer: type, TTL in seconds, data in wire form. Each
/// record appears once.
pub fn records(
    interned: &Interned,
    zone: &ZoneView,
    at: &Rendered,
    tell: &mut dyn FnMut(u16, u32, &[u8]),
) {
    let ttl = zone.ttls[0];
    match at {
        Rendered::Static(f) => f.rrs.iter().for_each(|r| tell(r.rtype, r.ttl, &r.data)),
        Rendered::Excluded => tell(rtype::HINFO, ttl, EXCLUDED_HINFO),
        Rendered::Row(_) | Rendered::Identity(_) => {}
        Rendered::Listed(l) => {
            let rrset = codes(zone, l);
            for code in rrset.codes() {
                tell(rtype::A, rrset.ttl, code);
            }
            let ttl = text_ttl(interned, zone, l);
            let mut said: Vec<Box<[u8]>> = Vec::new();
            let many = zone.spec.txt == TxtPolicy::All;
            for (template, item) in texts(interned, zone, l) {
                let mut data = Text::default();
                data.fill(template, |out| l.write_subject(item, out));
                let data = data.done();
                if many && said.iter().any(|s| **s == *data) {
                    continue;
                }
                tell(rtype::TXT, ttl, data);
                if many {
                    said.push(data.into());
                }
            }
        }
    }
}
