//! The difference between the renderings of one zone from two tables, computed only where subjects
//! changed.
//!
//! Values below a node depend on the subjects that cover them or are below it, so a subject that
//! changed can change the owners inside it, and, on the way to it, whether nodes branch and have
//! wildcards. A node's owners depend on its own value and on its parent's wildcard: if that
//! differs, all children of the node are compared.

use std::collections::HashSet;

use super::{
    build::Tables,
    listing::Items,
    names::name_key,
    parts::ChildSet,
    render::{Emit, Rendered, below, digest, name, render_branch, render_leaf},
    rows::{Bits4, Bits6, digest_row, name_row},
    space::{Ip4Octets, Ip6Nibbles, LabelTree, MappedIp4Nibbles},
    zones::{MAX_NAME, ZoneView},
};
use crate::{
    index::Listing,
    model::{Mask, Scope, Subject, ZoneKind},
};

/// A view of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// Owner names, as name servers have them.
    Names,
    /// [`super::rows`].
    Rows,
}

/// Gets an owner (labels relative to the origin in wire form, without a root label) of the old
/// (false) or the new (true) rendering; false ends the search.
pub type EmitChange<'f> = &'f mut dyn FnMut(bool, &[u8], Rendered) -> bool;

/// Reports owners of the old and of the new rendering: all those that differ, and some that do not.
/// An owner that both have is reported for both. `subjects` are all that changed; the zone is the
/// same for both. Returns false if `found` ended the search.
pub fn difference(
    old: &Tables,
    new: &Tables,
    zone: &ZoneView,
    view: View,
    subjects: &[Subject],
    found: EmitChange,
) -> bool {
    let mut go = true;
    let mut found = |new, owner: &[u8], at: Rendered| {
        go = go && found(new, owner, at);
        go
    };
    addresses([old, new], (zone, view), subjects, &mut found);
    match zone.spec.kind {
        ZoneKind::Domain => names([old, new], (zone, view), subjects, &mut found),
        ZoneKind::Hash => digests([old, new], (zone, view), subjects, &mut found),
        ZoneKind::Address | ZoneKind::Catalog => {}
    }
    go
}

/// A run of addresses, left-aligned in 128 bits: first and last.
type Span = (u128, u128);

/// Sorted and disjoint: a run inside another one is dropped.
fn spans(all: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut all: Vec<Span> = all.collect();
    all.sort_unstable_by_key(|(first, last)| (*first, !*last));
    let mut out: Vec<Span> = Vec::with_capacity(all.len());
    for s in all {
        if out.last().is_none_or(|l| l.1 < s.1) {
            out.push(s);
        }
    }
    out
}

/// Addresses of all families that the zone has.
fn addresses(
    sides: [&Tables; 2],
    (zone, view): (&ZoneView, View),
    subjects: &[Subject],
    found: EmitChange,
) {
    fn octets(t: &Tables) -> Ip4Octets<'_> {
        Ip4Octets {
            ip4: &t.ip4,
            interned: &t.interned,
        }
    }
    fn nibbles(t: &Tables) -> Ip6Nibbles<'_> {
        Ip6Nibbles::new(&t.ip6, &t.interned)
    }
    let is_rows = view == View::Rows;
    let [old, new] = sides;
    if zone.has_ip4 {
        let spans = spans(subjects.iter().filter_map(|s| match s {
            Subject::V4(p) => Some((
                u128::from(p.first()) << 96,
                u128::from(p.last()) << 96 | u128::MAX >> 32,
            )),
            _ => None,
        }));
        let (a, b) = (octets(old), octets(new));
        if is_rows {
            family([&Bits4(a), &Bits4(b)], zone.mask, &spans, found);
        } else {
            family([&a, &b], zone.mask, &spans, found);
            if zone.has_ip6 && zone.spec.ipv4_mapped {
                let mapped = [&MappedIp4Nibbles(a), &MappedIp4Nibbles(b)];
                family(mapped, zone.mask, &spans, found);
            }
        }
    }
    if zone.has_ip6 {
        let spans = spans(subjects.iter().filter_map(|s| match s {
            Subject::V6(p) => Some((p.first(), p.last())),
            _ => None,
        }));
        let (a, b) = (nibbles(old), nibbles(new));
        if is_rows {
            family([&Bits6(a), &Bits6(b)], zone.mask, &spans, found);
        } else {
            family([&a, &b], zone.mask, &spans, found);
        }
    }
}

fn family<S: LabelTree>(sides: [&S; 2], zone: Mask, spans: &[Span], found: EmitChange) {
    if !spans.is_empty() {
        let mut walk = Walk {
            sides,
            zone,
            owner: Vec::with_capacity(MAX_NAME),
            go: true,
            found,
        };
        walk.both(&mut Vec::with_capacity(S::LEVELS), spans);
    }
}

struct Walk<'a, 'f, S> {
    /// The old and the new space.
    sides: [&'a S; 2],
    zone: Mask,
    owner: Vec<u8>,
    go: bool,
    found: EmitChange<'f>,
}

impl<S: LabelTree> Walk<'_, '_, S> {
    /// A node that is open on both sides.
    fn both(&mut self, key: &mut Vec<u8>, spans: &[Span]) {
        let [(old_wild, old_parts), (new_wild, new_parts)] =
            self.sides.map(|s| render_branch(s, key, self.zone));
        let same = old_wild.same(&new_wild);
        if !same {
            for (side, wild) in [&old_wild, &new_wild]
                .into_iter()
                .enumerate()
                .filter(|(_, w)| !w.is_empty())
            {
                self.go = self.go && tell::<S>(&mut self.owner, self.found, side, key, true, wild);
            }
        }
        let mut parts = old_parts.or(new_parts);
        if same {
            parts = parts.and(touched::<S>(key, spans));
        }
        for i in parts.iter() {
            if !self.go {
                return;
            }
            key.push(i);
            let inside = within::<S>(key, spans);
            let open = self.sides.map(|s| s.open(key, self.zone));
            if open == [true, true] {
                // Nothing below depends on what is above.
                if !inside.is_empty() {
                    self.both(key, inside);
                }
            } else {
                self.one(0, open[0], key, &old_wild);
                self.one(1, open[1], key, &new_wild);
            }
            key.pop();
        }
    }

    /// All owners that one side has at and below a node.
    fn one(&mut self, side: usize, open: bool, key: &mut Vec<u8>, wildcard: &Items) {
        let s = self.sides[side];
        let Walk {
            owner,
            go,
            found,
            zone,
            ..
        } = self;
        let mut tell =
            |key: &[u8], wild: bool, items: &Items| tell::<S>(owner, found, side, key, wild, items);
        *go = *go
            && match open {
                true => below(s, key, *zone, &mut tell),
                false => render_leaf(s, key, *zone, wildcard, &mut tell),
            };
    }
}

fn tell<S: LabelTree>(
    owner: &mut Vec<u8>,
    found: EmitChange,
    side: usize,
    key: &[u8],
    wild: bool,
    items: &Items,
) -> bool {
    S::owner(key, wild, owner);
    found(
        side == 1,
        owner,
        Rendered::Listed(Listing {
            own: items.as_slice(),
            cover: &[],
            at: S::at(key),
        }),
    )
}

/// How many bits a label stands for.
fn bits<S: LabelTree>() -> u32 {
    S::ARITY.trailing_zeros()
}

/// The addresses of a node, left-aligned.
fn span<S: LabelTree>(key: &[u8]) -> Span {
    let (mut first, mut shift) = (0u128, 128);
    for k in key {
        shift -= bits::<S>();
        first |= u128::from(*k) << shift;
    }
    (
        first,
        first | 1u128.checked_shl(shift).map_or(u128::MAX, |n| n - 1),
    )
}

/// The spans that overlap a node.
fn within<'s, S: LabelTree>(key: &[u8], spans: &'s [Span]) -> &'s [Span] {
    let (first, last) = span::<S>(key);
    let from = spans.partition_point(|s| s.1 < first);
    let to = spans.partition_point(|s| s.0 <= last);
    &spans[from..to]
}

/// The children of a node that overlap one of the spans, which overlap the node.
fn touched<S: LabelTree>(key: &[u8], spans: &[Span]) -> ChildSet {
    let (first, last) = span::<S>(key);
    let shift = 128 - bits::<S>() * (key.len() as u32 + 1);
    let label = |addr: u128| ((addr >> shift) & u128::from(S::ARITY - 1)) as u8;
    let mut out = ChildSet::default();
    spans
        .iter()
        .for_each(|s| out.span(label(s.0.max(first)), label(s.1.min(last))));
    out
}

/// Domains: every name on the way to a subject, and, where something below changed, all names
/// there.
fn names(
    sides: [&Tables; 2],
    (zone, view): (&ZoneView, View),
    subjects: &[Subject],
    found: EmitChange,
) {
    let mut go = true;
    let mut done: HashSet<Vec<u8>> = HashSet::new();
    let domains = subjects.iter().filter_map(|s| match s {
        Subject::Domain(d) => Some(d),
        _ => None,
    });
    for d in domains {
        let key = name_key(d.name());
        if !zone.has_name_key(&key) {
            continue;
        }
        let ends = key
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == 0)
            .map(|(i, _)| i + 1);
        for end in ends {
            both_names(sides, (zone, view), &key[..end], &mut done, &mut go, found);
        }
        if d.scope() == Scope::Name {
            continue;
        }
        for t in sides {
            let mut keys: Vec<Vec<u8>> = Vec::new();
            t.names.existing(&key, zone.mask, &mut |k, _| {
                if !done.contains(k) {
                    keys.push(k.to_vec());
                }
                true
            });
            for k in keys {
                both_names(sides, (zone, view), &k, &mut done, &mut go, found);
                if !go {
                    return;
                }
            }
        }
    }
}

/// Digests: each one that changed, and nothing around it.
fn digests(
    sides: [&Tables; 2],
    (zone, view): (&ZoneView, View),
    subjects: &[Subject],
    found: EmitChange,
) {
    let mut labels: Vec<&str> = subjects
        .iter()
        .filter_map(|s| match s {
            Subject::Domain(d) => Some(d.name()),
            _ => None,
        })
        .collect();
    labels.sort_unstable();
    labels.dedup();
    for label in labels {
        for (new, t) in [false, true].into_iter().zip(sides) {
            let emit: Emit = &mut |owner, r| found(new, owner, r);
            let go = match view {
                View::Names => digest(t, zone, label.as_bytes(), emit),
                View::Rows => digest_row(t, zone, label.as_bytes(), emit),
            };
            if !go {
                return;
            }
        }
    }
}

fn both_names(
    sides: [&Tables; 2],
    (zone, view): (&ZoneView, View),
    key: &[u8],
    done: &mut HashSet<Vec<u8>>,
    go: &mut bool,
    found: EmitChange,
) {
    if done.contains(key) {
        return;
    }
    done.insert(key.to_vec());
    for (new, t) in [false, true].into_iter().zip(sides) {
        let emit: Emit = &mut |owner, r| found(new, owner, r);
        *go = *go
            && match view {
                View::Names => {
                    t.names.varies(key) & zone.mask == 0
                        || name(t, zone, key, t.names.value(key), emit)
                }
                View::Rows => name_row(&t.names, &t.interned, zone, key, emit),
            };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        index::{
            Builder, RawFacts,
            render::{records, render},
            rows,
            tests::{
                HASH, MASKS, RULES, any_world, apply, numbered_rules, test_zone,
                test_zone_with_rules,
            },
            values::Derivations,
        },
        model::{FeedPath, StoreId},
    };

    type Owners = BTreeMap<Vec<u8>, Vec<(u16, u32, Vec<u8>)>>;

    fn shown(t: &Tables, zone: &ZoneView, at: &Rendered) -> Vec<(u16, u32, Vec<u8>)> {
        let mut out = Vec::new();
        records(&t.interned, zone, at, &mut |rtype, ttl, data| {
            out.push((rtype, ttl, data.to_vec()));
        });
        out
    }

    fn rendered(t: &Tables, zone: &ZoneView) -> Owners {
        let mut out = Owners::new();
        render(t, zone, &mut |owner, at| {
            let old = out.insert(owner.to_vec(), shown(t, zone, &at));
            assert_eq!(old, None, "{} is rendered twice", owner.escape_ascii());
        });
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// The old rendering with the difference applied is the new one, and little else than what
        /// differs is reported.
        #[test]
        fn a_rendering_and_the_difference_give_the_next_rendering(before in any_world(), after in any_world(), publish in 0..3usize) {
            let mut builder = Builder::default();
            apply(&mut builder, &before);
            let old = builder.tables().clone();
            // Some entries go, some stay, some are added again.
            let gone = before.iter().step_by(2).map(|(s, _)| (s.clone(), RawFacts::default()));
            let changes: Vec<_> = gone.chain(after).collect();
            for part in changes.chunks(3) {
                apply(&mut builder, part);
            }
            let new = builder.tables().clone();
            let subjects: Vec<Subject> = changes.iter().map(|(s, _)| s.clone()).collect();
            let publish = [&[0, 1, 2][..], &[1], &[2, 0]][publish];
            let domain = |extra| test_zone("domain", publish, extra);
            let masks = ["address", "domain"].map(|kind| test_zone(kind, publish, MASKS));
            let codes = [
                test_zone("address", publish, "ipv4_mapped = true"),
                domain("txt = 'all'"),
                domain("addresses = true"),
                domain("addresses = 'both'\nipv4_mapped = true"),
                test_zone("hash", publish, HASH),
            ];
            for zone in codes.into_iter().chain(masks) {
                let (was, is) = (rendered(&old, &zone), rendered(&new, &zone));
                let mut sides = [Owners::new(), Owners::new()];
                difference(&old, &new, &zone, View::Names, &subjects, &mut |side, owner, at| {
                    let t = if side { &new } else { &old };
                    let double = sides[usize::from(side)].insert(owner.to_vec(), shown(t, &zone, &at));
                    assert_eq!(double, None, "{} is told twice", owner.escape_ascii());
                    true
                });
                let mut next = was.clone();
                for (owner, r) in &sides[0] {
                    prop_assert_eq!(was.get(owner), Some(r), "{}", owner.escape_ascii());
                    next.remove(owner);
                }
                for (owner, r) in &sides[1] {
                    let there = next.insert(owner.clone(), r.clone());
                    prop_assert_eq!(there, None, "{} was there before", owner.escape_ascii());
                }
                prop_assert_eq!(&next, &is);
            }
        }
    }

    /// Gives the facts paths: none for 0, unknown for 9, else that many stores.
    fn with_paths(mut world: Vec<(Subject, RawFacts)>, hops: &[u8]) -> Vec<(Subject, RawFacts)> {
        for (f, hops) in world
            .iter_mut()
            .flat_map(|(_, f)| &mut f.facts)
            .zip(hops.iter().cycle())
        {
            f.text.path = match hops {
                0 => FeedPath::Own,
                9 => FeedPath::Untraced,
                n => FeedPath::via((0..u64::from(*n)).map(StoreId).collect::<Vec<_>>()),
            };
        }
        world
    }

    fn sent(t: &Tables, zone: &ZoneView) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut out = BTreeMap::new();
        rows::render_rows(t, zone, &mut |owner, at| {
            if let Some(data) = rows::data(&t.interned, zone, owner, &at) {
                assert_eq!(
                    out.insert(owner.to_vec(), data),
                    None,
                    "{} is rendered twice",
                    owner.escape_ascii()
                );
            }
            true
        });
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// The same where single addresses count as networks, which are part of the difference.
        #[test]
        fn networks_around_changed_addresses_are_part_of_the_difference(before in any_world(), after in any_world(), rule in 10..RULES.len()) {
            let derivations = Derivations::from(&numbered_rules());
            let mut builder = Builder::deriving(derivations.clone());
            apply(&mut builder, &before);
            let old = builder.tables().clone();
            let gone = before.iter().step_by(2).map(|(s, _)| (s.clone(), RawFacts::default()));
            let changes: Vec<_> = gone.chain(after).collect();
            apply(&mut builder, &changes);
            let new = builder.tables().clone();
            let changed = changes.iter().map(|(s, _)| s);
            let networks = changed.clone().flat_map(|s| derivations.networks_around(s));
            let subjects: Vec<Subject> = changed.cloned().chain(networks).collect();
            let zone = test_zone_with_rules("address", &[rule]);
            let (mut next, is) = (rendered(&old, &zone), rendered(&new, &zone));
            let mut come = Owners::new();
            difference(&old, &new, &zone, View::Names, &subjects, &mut |side, owner, at| {
                match side {
                    true => drop(come.insert(owner.to_vec(), shown(&new, &zone, &at))),
                    false => drop(next.remove(owner)),
                }
                true
            });
            next.extend(come);
            prop_assert_eq!(&next, &is);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// The same for rows, whatever paths the listings have.
        #[test]
        fn rows_and_their_difference_give_the_next_rows(
            before in any_world(),
            after in any_world(),
            hops in prop::collection::vec(0..10u8, 16),
        ) {
            let (before, after) = (with_paths(before, &hops), with_paths(after, &hops[3..]));
            let mut builder = Builder::default();
            apply(&mut builder, &before);
            let old = builder.tables().clone();
            let gone = before.iter().step_by(2).map(|(s, _)| (s.clone(), RawFacts::default()));
            let changes: Vec<_> = gone.chain(after).collect();
            apply(&mut builder, &changes);
            let new = builder.tables().clone();
            let subjects: Vec<Subject> = changes.iter().map(|(s, _)| s.clone()).collect();
            for zone in [
                test_zone("address", &[0, 1], ""),
                test_zone("domain", &[0, 1], ""),
                test_zone("domain", &[0, 1], "addresses = true"),
                test_zone("domain", &[0, 1], "addresses = 'both'"),
                test_zone("hash", &[0, 1], HASH),
            ] {
                let mut next = sent(&old, &zone);
                let mut come = BTreeMap::new();
                difference(&old, &new, &zone, View::Rows, &subjects, &mut |side, owner, at| {
                    let Some(data) = rows::data(&if side { &new } else { &old }.interned, &zone, owner, &at) else { return true };
                    if side {
                        come.insert(owner.to_vec(), data);
                    } else {
                        assert_eq!(next.remove(owner), Some(data), "{}", owner.escape_ascii());
                    }
                    true
                });
                for (owner, data) in come {
                    prop_assert_eq!(next.insert(owner.clone(), data), None, "{} was there before", owner.escape_ascii());
                }
                prop_assert_eq!(next, sent(&new, &zone));
            }
        }
    }

    /// One host among many: what is told is that host, and the way to it is all that is looked at.
    #[test]
    fn one_host_is_one_owner() {
        let listed = RawFacts {
            exempt: false,
            facts: vec![crate::index::RawFact {
                aged: Default::default(),
                reason: crate::model::ReasonId(0),
                source: crate::model::SourceId(0),
                exclusion: false,
                text: Default::default(),
            }],
        };
        let world: Vec<_> = (0..100_000u32)
            .map(|i| (Subject::host4(0x2d00_0000 + i * 37), listed.clone()))
            .collect();
        let mut builder = Builder::default();
        apply(&mut builder, &world);
        let old = builder.tables().clone();
        let subject: Subject = "45.0.0.3".parse().unwrap();
        apply(&mut builder, &[(subject.clone(), listed)]);
        let zone = test_zone("address", &[0], "");
        let mut told = Vec::new();
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            told.clear();
            difference(
                &old,
                builder.tables(),
                &zone,
                View::Names,
                std::slice::from_ref(&subject),
                &mut |new, owner, _| {
                    told.push((new, owner.to_vec()));
                    true
                },
            );
        }
        println!("the difference of one host: {:?}", begun.elapsed() / 100);
        assert_eq!(told, [(true, b"\x013\x010\x010\x0245".to_vec())]);
    }
}
