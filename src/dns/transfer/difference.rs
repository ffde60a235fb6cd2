//! The records that a mirror has to remove and add to get from one serial to another.

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

/// The most bytes of records that a difference has in memory; beyond that, the whole zone is
/// transferred.
pub const MAX_DIFFERENCE_BYTES: usize = 64 << 20;

/// The removed and added records, condensed: a record that was added and removed again is in
/// neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDifference {
    /// The serial that the mirror has.
    pub from: Serial,
    /// The serial that it gets.
    pub to: Serial,
    /// Packed records: owner's length and labels, type, TTL, data's length, data.
    removed: Vec<u8>,
    added: Vec<u8>,
    /// The number of removed and added records.
    pub records: usize,
}

/// Receives a record: owner relative to the origin, type, TTL, data.
type RecordSink<'s> = &'s mut dyn FnMut(&[u8], u16, u32, &[u8]);

impl ZoneDifference {
    /// Computes the difference of a zone between `old` and the snapshot; `subjects` has every
    /// changed subject. Returns `None` if it is too large, or larger than the zone.
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
        let mut room = MAX_DIFFERENCE_BYTES;
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
        for [before, after] in owners
            .into_values()
            .filter(|[before, after]| before != after)
        {
            for (set, other, to) in [
                (&before, &after, &mut out.removed),
                (&after, &before, &mut out.added),
            ] {
                for record in packed(set).filter(|r| !packed(other).any(|o| o == *r)) {
                    to.extend(record);
                    out.records += 1;
                }
            }
        }
        has_at_least(new, zone, view, out.records).then_some(out)
    }

    /// Passes the removed records to `sink`.
    pub fn removed(&self, sink: RecordSink) {
        unpack(&self.removed, sink);
    }

    /// Passes the added records to `sink`.
    pub fn added(&self, sink: RecordSink) {
        unpack(&self.added, sink);
    }

    /// The size of the packed records, in bytes.
    pub fn size(&self) -> usize {
        self.removed.len() + self.added.len()
    }
}

/// Whether a zone has at least `count` records. Rendering stops after that many.
fn has_at_least(tables: &Tables, zone: &ZoneView, view: View, count: usize) -> bool {
    let mut left = count;
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

fn unpack(bytes: &[u8], sink: RecordSink) {
    for r in packed(bytes) {
        let (owner, rest) = r[1..].split_at(usize::from(r[0]));
        let ([a, b, c, d, e, f, _, _], data) = (&rest[..8], &rest[8..]) else {
            continue;
        };
        sink(
            owner,
            u16::from_be_bytes([*a, *b]),
            u32::from_be_bytes([*c, *d, *e, *f]),
            data,
        );
    }
}
