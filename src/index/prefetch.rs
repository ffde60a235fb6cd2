//! Reads ahead what the look-ups of a batch of queries will read, so that their waits for memory
//! overlap. It changes nothing and answers nothing.

use super::{build::Tables, find::Asked, ip6::Leaf6, name_leaf::NameLeaf, zones::ZoneView};
use crate::model::ZoneKind;

/// The most look-ups of a family that are prefetched together.
const MOST: usize = 64;
/// So many bytes of a name decide where in a leaf it is, for all but very few names.
const NAME_BYTES: usize = 48;

/// The first bytes of a name's key.
#[derive(Clone, Copy)]
struct NameStart {
    bytes: [u8; NAME_BYTES],
    len: usize,
}

/// The look-ups of a batch.
pub struct Prefetch<'t> {
    tables: &'t Tables,
    v4: Batch<u32>,
    v6: Batch<(u128, Option<&'t Leaf6>)>,
    names: Batch<(NameStart, Option<&'t NameLeaf>)>,
}

/// At most [`MOST`] things; what is added after these is left out.
struct Batch<T> {
    all: [T; MOST],
    len: usize,
}

impl<T: Copy> Batch<T> {
    fn new(none: T) -> Batch<T> {
        Batch {
            all: [none; MOST],
            len: 0,
        }
    }
    fn add(&mut self, one: T) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = one;
            self.len += 1;
        }
    }
    fn all(&self) -> &[T] {
        &self.all[..self.len]
    }
}

impl<'t> Prefetch<'t> {
    /// A batch without look-ups.
    pub fn new(tables: &'t Tables) -> Prefetch<'t> {
        let start = NameStart {
            bytes: [0; NAME_BYTES],
            len: 0,
        };
        Prefetch {
            tables,
            v4: Batch::new(0),
            v6: Batch::new((0, None)),
            names: Batch::new((start, None)),
        }
    }

    /// Adds the look-up of a name in a zone.
    #[inline]
    pub fn add(&mut self, zone: &ZoneView, asked: &Asked) {
        match zone.spec.kind {
            // The nibbles of an IPv6 address can begin like four octets: 2.0.0.1.
            _ if zone.has_ip4 && asked.count == 4 && asked.octets_len == 4 => {
                self.v4.add(u32::from_be_bytes(asked.octets));
            }
            _ if zone.has_ip6 && asked.nibbles_len == 32 => {
                let addr = asked.nibbles.iter();
                let addr = addr.fold(0, |a, n| a << 4 | u128::from(*n));
                self.v6
                    .add((addr, Some(self.tables.ip6.tree.leaf(&addr).leaf)));
            }
            ZoneKind::Domain | ZoneKind::Hash if asked.count > 0 => {
                let start = NameStart::new(asked);
                let leaf = self.tables.names.tree.leaf(&start.bytes[..start.len]).leaf;
                self.names.add((start, Some(leaf)));
            }
            _ => {}
        }
    }

    /// Reads ahead, each step for all look-ups before the next.
    #[inline]
    pub fn run(&self) {
        self.tables.ip4.prefetch(self.v4.all());
        let leaves6 = || {
            self.v6
                .all()
                .iter()
                .filter_map(|(a, leaf)| Some((a, (*leaf)?)))
        };
        let names = || {
            self.names
                .all()
                .iter()
                .filter_map(|(n, leaf)| Some((n, (*leaf)?)))
        };
        let mut seen = 0;
        leaves6().for_each(|(_, leaf)| seen ^= leaf.touch());
        names().for_each(|(_, leaf)| seen ^= leaf.touch());
        leaves6().for_each(|(a, leaf)| seen ^= leaf.touch_place(*a));
        names().for_each(|(n, leaf)| seen ^= leaf.touch_place(&n.bytes[..n.len]));
        std::hint::black_box(seen);
    }
}

impl NameStart {
    fn new(asked: &Asked) -> NameStart {
        let mut out = NameStart {
            bytes: [0; NAME_BYTES],
            len: 0,
        };
        for label in asked.labels_from_right() {
            let to = (out.len + label.len()).min(NAME_BYTES);
            out.bytes[out.len..to].copy_from_slice(&label[..to - out.len]);
            out.len = (to + 1).min(NAME_BYTES);
        }
        out
    }
}
