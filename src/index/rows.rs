//! A zone as *rows*, for a server that keeps a list of its own: a prefix is one row and not its
//! owner names.
//!
//! Addresses are cut into the largest prefixes that say the same all over, domains into the names
//! that differ from what is above them. Both are compared by the listing that is sent
//! ([`Items::sent`]), not by the one that answers show: rows are the canonical form of what they
//! say, and a boundary between two rows exists only where the listing that is sent changes. A
//! follower stores each row as a listing, so that a row which repeats the one above it, at a name
//! that was listed once, would be sent round a ring of servers for ever. The owner is the subject:
//! the prefix length, the address's parts from the right, and `4` or `6`; a name and `d`. The data
//! (type [`rtype::ROW`]) is the version of this form, then what the subject answers; of a name,
//! what it answers itself and what it gives to everything below it. An answer is a count (with 128
//! added where something that is said above is not said here), and for each reason the code, the
//! path, the length of the text and the text, in which `$` stands for the subject and `$$` for a
//! dollar.
//!
//! The *path* keeps what servers that follow each other have listed long ago from coming back for
//! ever. It names the stores that the listing came through, this one first and the one that lists
//! it by its own word last: their number in one byte, then eight bytes each. Of several listings
//! the one with the shortest path is sent. A follower leaves out what came through itself and what
//! came through [`MAX_HOPS`](crate::model::MAX_HOPS) stores. One row at [`IDENTITY`] has the form
//! and this store's identity alone.

use super::{
    build::Tables,
    find::digest_value,
    listing::{Items, Listing, Where},
    names::Names,
    parts::ChildSet,
    render::{Emit, NameRow, Rendered, below},
    space::{Ip4Octets, Ip6Nibbles, LabelTree, Tell},
    values::{Interned, Item, OWN, ValueId},
    zones::{Text, ZoneView, rtype},
};
use crate::model::{Mask, Prefix4, Prefix6, StoreId, ZoneKind};

/// The label under a zone's origin where its rows are transferred, in wire form.
pub const ROWS: &[u8] = b"\x05_rows";
/// The owner of the row that has the sender's identity, in wire form. No subject's row has this
/// name.
pub const IDENTITY: &[u8] = b"\x03_id";
/// The version of the form of rows.
pub const FORM: u8 = 2;

/// IPv4 by bits.
pub struct Bits4<'a>(pub Ip4Octets<'a>);
/// IPv6 by bits.
pub struct Bits6<'a>(pub Ip6Nibbles<'a>);

fn prefix4(key: &[u8]) -> Prefix4 {
    let addr = key
        .iter()
        .enumerate()
        .fold(0, |a, (i, b)| a | u32::from(*b) << (31 - i));
    Prefix4::new(addr, key.len() as u8)
}

fn prefix6(key: &[u8]) -> Prefix6 {
    let addr = key
        .iter()
        .enumerate()
        .fold(0, |a, (i, b)| a | u128::from(*b) << (127 - i));
    Prefix6::new(addr, key.len() as u8)
}

fn decimal(n: impl Into<u32>, out: &mut Vec<u8>) {
    let text = n.into().to_string();
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

/// Compares what rows send of the addresses of a node.
struct Uniform {
    /// The node's length in bits.
    len: u8,
    first: Option<Items>,
}

impl Uniform {
    /// Whether an address with these items can be in one row with those before it. A listing longer
    /// than the node does not cover all of it.
    fn admits(&mut self, items: &Items) -> bool {
        let sent = items.sent();
        if sent.as_slice().iter().any(|i| i.len > self.len) {
            return false;
        }
        match &self.first {
            Some(first) => first.same(&sent),
            None => {
                self.first = Some(sent);
                true
            }
        }
    }
}

impl LabelTree for Bits4<'_> {
    const ARITY: u16 = 2;
    const LEVELS: usize = 32;
    fn varies_below(&self, key: &[u8]) -> Mask {
        // More than what is sent: `open` looks closer.
        self.0.ip4.varies_below(prefix4(key), self.0.interned)
    }
    fn value(&self, key: &[u8], zone: Mask) -> Items {
        // Only nodes that are not open have a row, and all their addresses send the same.
        let (own, cover) = self.0.ip4.get(prefix4(key).first());
        super::space::address(self.0.interned, own, cover, zone).sent()
    }
    fn is_ambiguous(_: &[u8]) -> bool {
        true // rows have no wildcards
    }
    fn is_uniform(&self, _: &[u8]) -> bool {
        false
    }
    fn has_unlisted_child(&self, _: &[u8], _: Mask) -> bool {
        true
    }
    fn open(&self, key: &[u8], zone: Mask) -> bool {
        if key.len() < 8 {
            return self.varies_below(key) & zone != 0; // nothing is listed that wide
        }
        let mut uniform = Uniform {
            len: key.len() as u8,
            first: None,
        };
        let mut last = None;
        key.len() < Self::LEVELS
            && !self.0.ip4.points(prefix4(key), zone, &mut |own, cover| {
                // Neighbours are most often the same.
                last == Some((own, cover)) || {
                    last = Some((own, cover));
                    uniform.admits(&super::space::address(self.0.interned, own, cover, zone))
                }
            })
    }
    fn child_candidates(&self, _: &[u8], _: Mask, _: &Items) -> ChildSet {
        ChildSet::all(2)
    }
    fn label(_: u8, _: &mut Vec<u8>) {}
    fn at(key: &[u8]) -> Where<'static> {
        Where::V4(prefix4(key).first())
    }
    fn owner(key: &[u8], _: bool, out: &mut Vec<u8>) {
        out.clear();
        decimal(key.len() as u32, out);
        prefix4(key)
            .first()
            .to_be_bytes()
            .iter()
            .rev()
            .for_each(|o| decimal(*o, out));
        out.extend(b"\x014");
    }
}

impl LabelTree for Bits6<'_> {
    const ARITY: u16 = 2;
    const LEVELS: usize = 128;
    fn varies_below(&self, key: &[u8]) -> Mask {
        // More than what is sent: `open` looks closer.
        let p = prefix6(key);
        self.0.summary(p).varies_at(p.len(), self.0.interned)
    }
    fn value(&self, key: &[u8], zone: Mask) -> Items {
        // Only nodes that are not open have a row, and all their addresses send the same.
        let first = self.0.ip6.get(prefix6(key).first());
        let mut out = Items::default();
        out.extend(&self.0.interned.value(first).items, zone);
        out.sent()
    }
    fn is_ambiguous(_: &[u8]) -> bool {
        true
    }
    fn is_uniform(&self, _: &[u8]) -> bool {
        false
    }
    fn has_unlisted_child(&self, _: &[u8], _: Mask) -> bool {
        true
    }
    fn open(&self, key: &[u8], zone: Mask) -> bool {
        let mut uniform = Uniform {
            len: key.len() as u8,
            first: None,
        };
        let mut last = None;
        key.len() < Self::LEVELS
            && !self.0.ip6.runs(prefix6(key), zone, &mut |_, _, v| {
                last == Some(v) || {
                    last = Some(v);
                    let mut items = Items::default();
                    items.extend(&self.0.interned.value(v).items, zone);
                    uniform.admits(&items)
                }
            })
    }
    fn child_candidates(&self, _: &[u8], _: Mask, _: &Items) -> ChildSet {
        ChildSet::all(2)
    }
    fn label(_: u8, _: &mut Vec<u8>) {}
    fn at(key: &[u8]) -> Where<'static> {
        Where::V6(prefix6(key).first())
    }
    fn owner(key: &[u8], _: bool, out: &mut Vec<u8>) {
        out.clear();
        decimal(key.len() as u32, out);
        super::ip6::nibbles(prefix6(key).first())
            .iter()
            .rev()
            .for_each(|n| super::space::hex(*n, out));
        out.extend(b"\x016");
    }
}

/// Renders a zone as rows, until `emit` returns false.
pub fn render_rows(tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    emit(IDENTITY, Rendered::Identity(zone.store)) && render_subjects(tables, zone, emit)
}

fn render_subjects(tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    fn family<S: LabelTree>(s: &S, zone: Mask, emit: Emit) -> bool {
        let mut owner = Vec::with_capacity(80);
        let tell: Tell = &mut |key, wild, items| {
            S::owner(key, wild, &mut owner);
            emit(
                &owner,
                Rendered::Listed(Listing {
                    own: items.as_slice(),
                    cover: &[],
                    at: S::at(key),
                }),
            )
        };
        below(s, &mut Vec::with_capacity(S::LEVELS), zone, tell)
    }
    let octets = || Ip4Octets {
        ip4: &tables.ip4,
        interned: &tables.interned,
    };
    let nibbles = || Ip6Nibbles::new(&tables.ip6, &tables.interned);
    let is_digests = zone.spec.kind == ZoneKind::Hash;
    (!zone.has_ip4 || family(&Bits4(octets()), zone.mask, emit))
        && (!zone.has_ip6 || family(&Bits6(nibbles()), zone.mask, emit))
        && (!zone.spec.has_names()
            || tables
                .names
                .existing(&[], zone.mask, &mut |key, _| match key {
                    [label @ .., 0] if is_digests => digest_row(tables, zone, label, emit),
                    _ if is_digests || !zone.has_name_key(key) => true,
                    _ => name_row(&tables.names, &tables.interned, zone, key, emit),
                }))
}

/// The row of a digest, like that of a name with nothing above and below it.
pub(super) fn digest_row(tables: &Tables, zone: &ZoneView, label: &[u8], emit: Emit) -> bool {
    let Some(v) = digest_value(tables, zone, label) else {
        return true;
    };
    let (mut own, none) = (Items::default(), Items::default());
    own.extend(&tables.interned.value(v).items, zone.mask);
    let own = own.sent();
    let mut place = vec![label.len() as u8];
    place.extend(label);
    let owner = [&place, &b"\x01d"[..]].concat();
    if owner.len() + ROWS.len() + zone.origin.len() > super::zones::MAX_NAME {
        return true; // as for names: it cannot be asked for
    }
    emit(
        &owner,
        Rendered::Row(NameRow {
            own: &own,
            below: &none,
            given: &none,
            labels: &place,
        }),
    )
}

/// The row of a name, where what is sent of it differs from what is above it. `key` ends with a
/// label.
pub(super) fn name_row(
    names: &Names,
    interned: &Interned,
    zone: &ZoneView,
    key: &[u8],
    emit: Emit,
) -> bool {
    let parent = key[..key.len() - 1]
        .iter()
        .rposition(|b| *b == 0)
        .map_or(0, |i| i + 1);
    let items = |v: ValueId| {
        let mut out = Items::default();
        out.extend(&interned.value(v).items, zone.mask);
        out.sent()
    };
    let given = items(names.value(&key[..parent]).below);
    let value = names.value(key);
    let (own, below) = (items(value.own), items(value.below));
    if own.same(&given) && below.same(&given) {
        return true;
    }
    let mut owner = Vec::with_capacity(key.len() + 3);
    for l in key[..key.len() - 1].rsplit(|b| *b == 0) {
        owner.push(l.len() as u8);
        owner.extend(l);
    }
    let place = owner.clone();
    owner.extend(b"\x01d");
    if owner.len() + ROWS.len() + zone.origin.len() > super::zones::MAX_NAME {
        return true; // no client can ask for it either
    }
    emit(
        &owner,
        Rendered::Row(NameRow {
            own: &own,
            below: &below,
            given: &given,
            labels: &place,
        }),
    )
}

/// Something that is listed above is not listed here.
const EXCEPTION: u8 = 0x80;

/// The data of a row; `None` if nothing of it belongs into a row.
pub fn data(interned: &Interned, zone: &ZoneView, owner: &[u8], at: &Rendered) -> Option<Vec<u8>> {
    let mut out = vec![FORM];
    match at {
        Rendered::Identity(store) => out.extend(store.0.to_be_bytes()),
        Rendered::Listed(l) => {
            // The first label of the owner is the prefix length.
            let digits = owner.get(1..=usize::from(owner[0])).unwrap_or(&[]);
            let len = digits
                .iter()
                .fold(0u8, |n, d| n.wrapping_mul(10).wrapping_add(d - b'0'));
            answer(interned, zone, l, len, l.own, &mut out);
        }
        Rendered::Row(row) => {
            for items in [row.own, row.below] {
                let (place, items) = (out.len(), items.as_slice());
                let listing = Listing {
                    own: items,
                    cover: &[],
                    at: Where::Name(row.labels),
                };
                answer(
                    interned,
                    zone,
                    &listing,
                    super::listing::labels_in(row.labels).count() as u8,
                    items,
                    &mut out,
                );
                let excepted = |g: &Item| !items.iter().any(|i| i.reason == g.reason);
                if row.given.as_slice().iter().any(excepted) {
                    out[place] |= EXCEPTION;
                }
            }
        }
        _ => return None,
    }
    // A row without an answer has only what must not be sent on.
    out[1..].iter().any(|b| *b != 0).then_some(out)
}

fn answer(
    interned: &Interned,
    zone: &ZoneView,
    listing: &Listing,
    len: u8,
    items: &[Item],
    out: &mut Vec<u8>,
) {
    let place = out.len();
    out.push(0);
    for p in &zone.publish {
        let Some(item) = items.iter().find(|i| i.reason == p.reason) else {
            continue;
        };
        let template = interned.own_text(item.text).unwrap_or(&p.text);
        let mut text = Text::default();
        if item.len == OWN || item.len == len {
            text.fill(&template.replace('$', "$$"), |_| Ok(()));
        } else {
            // Something wider is listed: its name is part of the text, and no other dollar stands
            // for a subject.
            let mut filled = Text::default();
            filled.fill(template, |out| listing.write_subject(*item, out));
            let literal = String::from_utf8_lossy(&filled.done()[1..]).replace('$', "$$");
            text.fill(&literal.replace('$', "$$"), |_| Ok(()));
        }
        out.extend(p.code);
        let path = interned.path(item.text).stores();
        out.push(path.len() as u8 + 1);
        [zone.store]
            .iter()
            .chain(path)
            .for_each(|s| out.extend(s.0.to_be_bytes()));
        out.extend(text.done());
        out[place] += 1;
    }
}

/// One reason of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The code that the zone answers.
    pub code: [u8; 4],
    /// The stores that it came through, the sender first.
    pub path: Vec<StoreId>,
    /// The text.
    pub text: &'a [u8],
}

/// One answer of a row: whether something listed above is not listed here, and each reason.
pub type Said<'a> = (bool, Vec<Listed<'a>>);

/// Reads the row at [`IDENTITY`]: the identity of the sending store. `None` for another form, or no
/// form.
pub fn read_identity(data: &[u8]) -> Option<StoreId> {
    let (form, id) = data.split_first()?;
    (*form == FORM).then(|| id.try_into().map(|id| StoreId(u64::from_be_bytes(id))).ok())?
}

/// Reads a row's data: one answer for an address, two for a name. `None` for another form, or no
/// form.
pub fn read(data: &[u8]) -> Option<Vec<Said<'_>>> {
    let (form, mut rest) = data.split_first()?;
    let mut out = Vec::new();
    while let Some((count, tail)) = rest.split_first() {
        rest = tail;
        let mut all = Vec::new();
        for _ in 0..count & !EXCEPTION {
            let (code, tail) = rest.split_first_chunk::<4>()?;
            let (hops, tail) = tail.split_first()?;
            let (stores, tail) = tail.split_at_checked(usize::from(*hops) * 8)?;
            let (len, tail) = tail.split_first()?;
            let (text, tail) = tail.split_at_checked(usize::from(*len))?;
            let path = stores
                .as_chunks::<8>()
                .0
                .iter()
                .map(|id| StoreId(u64::from_be_bytes(*id)))
                .collect();
            all.push(Listed {
                code: *code,
                path,
                text,
            });
            rest = tail;
        }
        out.push((count & EXCEPTION != 0, all));
    }
    (*form == FORM && (1..=2).contains(&out.len())).then_some(out)
}

/// A record's type and data, for a transfer of rows.
pub fn records(
    interned: &Interned,
    zone: &ZoneView,
    owner: &[u8],
    at: &Rendered,
    tell: &mut dyn FnMut(u16, u32, &[u8]),
) {
    if let Some(data) = data(interned, zone, owner, at) {
        tell(rtype::ROW, zone.ttls[0], &data);
    }
}
