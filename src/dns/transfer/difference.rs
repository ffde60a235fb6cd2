//! What a mirror has to take out and put in to come from one serial to another.

use std::collections::BTreeMap;

use super::view::{records_of, render_view, serial};
use crate::{
    index::{
        Snapshot, Tables, ZoneView,
        difference::{self, View},
        render::Rendered,
    },
    model::{Serial, Subject},
};

/// The most bytes of records that a difference holds in memory; a larger one is a full transfer.
pub const MAX_DIFFERENCE: usize = 64 << 20;

/// Records to take out and to put in, condensed: what came and went is in neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDifference {
    /// The serial that the mirror has.
    pub from: Serial,
    /// The serial that it gets.
    pub to: Serial,
    /// Packed records: owner's length and labels, type, TTL, data's length, data.
    removed: Vec<u8>,
    added: Vec<u8>,
    /// How many records there are in both.
    pub records: usize,
}

/// Sees a record: owner relative to the origin, type, TTL, data.
type See<'s> = &'s mut dyn FnMut(&[u8], u16, u32, &[u8]);

impl ZoneDifference {
    /// The difference of a zone between `old` and the snapshot, where `subjects` are all that
    /// changed. `None` where it is too large, or larger than the zone.
    pub fn new(
        old: &Tables,
        from: Serial,
        snapshot: &Snapshot,
        number: usize,
        view: View,
        subjects: &[Subject],
    ) -> Option<ZoneDifference> {
        let (zone, new) = (&snapshot.zones.all()[number], &snapshot.tables);
        let mut owners: BTreeMap<Box<[u8]>, [Vec<u8>; 2]> = BTreeMap::new();
        let mut room = MAX_DIFFERENCE;
        let small =
            difference::difference(old, new, zone, view, subjects, &mut |side, owner, at| {
                let sets = owners.entry(owner.into()).or_default();
                let set = &mut sets[usize::from(side)];
                let tables = if side { new } else { old };
                records_of(
                    view,
                    &tables.interned,
                    zone,
                    owner,
                    &at,
                    &mut |rtype, ttl, data| pack(set, owner, rtype, ttl, data),
                );
                let used = set.len() + owner.len();
                room = room.saturating_sub(used);
                room > 0
            });
        if !small {
            return None;
        }
        let to = serial(snapshot, number);
        let mut out = ZoneDifference {
            from,
            to,
            removed: Vec::new(),
            added: Vec::new(),
            records: 0,
        };
        for [was, is] in owners.into_values().filter(|[was, is]| was != is) {
            for (set, other, to) in [(&was, &is, &mut out.removed), (&is, &was, &mut out.added)] {
                for record in packed(set).filter(|r| !packed(other).any(|o| o == *r)) {
                    to.extend(record);
                    out.records += 1;
                }
            }
        }
        larger(new, zone, view, out.records).then_some(out)
    }

    /// The records to take out.
    pub fn removed(&self, see: See) {
        unpack(&self.removed, see);
    }

    /// The records to put in.
    pub fn added(&self, see: See) {
        unpack(&self.added, see);
    }

    /// How many bytes it holds.
    pub fn size(&self) -> usize {
        self.removed.len() + self.added.len()
    }
}

/// Whether a zone has at least so many records; it is rendered no further than that.
fn larger(tables: &Tables, zone: &ZoneView, view: View, than: usize) -> bool {
    let mut left = than;
    left == 0
        || !render_view(view, tables, zone, &mut |owner, at: Rendered| {
            records_of(view, &tables.interned, zone, owner, &at, &mut |_, _, _| {
                left = left.saturating_sub(1);
            });
            left > 0
        })
}

fn pack(out: &mut Vec<u8>, owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) {
    out.push(owner.len() as u8);
    out.extend(owner);
    out.extend(rtype.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
}

/// The packed records one by one.
fn packed(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let owner = usize::from(*bytes.first()?);
        let len = usize::from(u16::from_be_bytes(*bytes.get(owner + 7..)?.first_chunk()?));
        let (record, rest) = bytes.split_at_checked(owner + 9 + len)?;
        bytes = rest;
        Some(record)
    })
}

fn unpack(bytes: &[u8], see: See) {
    for r in packed(bytes) {
        let (owner, rest) = r[1..].split_at(usize::from(r[0]));
        let ([a, b, c, d, e, f, _, _], data) = (&rest[..8], &rest[8..]) else {
            continue;
        };
        see(
            owner,
            u16::from_be_bytes([*a, *b]),
            u32::from_be_bytes([*c, *d, *e, *f]),
            data,
        );
    }
}
