//! The tables as a file, so that a start does not have to read the store: reasons and sources,
//! never codes.
//!
//! Layout: sections of records. A record is its length (32 bits, little-endian) and its bytes; an
//! empty one ends a section. Sections: texts; facts; values; blocks of IPv4 hosts; IPv4 prefixes;
//! the leaves of the table of IPv6; those of the table of names. Texts, facts and values keep their
//! numbers, so that leaves are stored as they are. What IPv4 prefixes cover is compiled again.
//! Version, store, commit and checksum around it belong to the store.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::{
    build::{Builder, Tables},
    ip4::{Block, HostFacts, Hosts},
    ip6::Ip6,
    names::Names,
    tree::{Leaf, Span, Tree},
    values::{Derivations, Fact, FactsId, Interned, Interner, Item, ValueId},
};
use crate::model::{EntryText, FeedPath, Prefix4, StoreId};

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its content is none that this version writes.
    #[error("{0}")]
    Damaged(&'static str),
}

/// Writes the tables.
///
/// # Errors
///
/// What writing to `out` says.
pub fn write(tables: &Tables, out: &mut impl Write) -> io::Result<()> {
    let mut out = RecordWriter {
        out,
        record: Vec::new(),
    };
    let interned = &tables.interned;
    for text in interned.texts() {
        out.put(|record| write_text(record, text))?;
    }
    out.end()?;
    for f in interned.all_facts() {
        out.put_value(&(f.exempt, &f.facts))?;
    }
    out.end()?;
    for value in interned.values() {
        out.put_value(&value.items)?;
    }
    out.end()?;
    for (a, row) in (0u16..).zip(tables.ip4.rows.iter()) {
        for (b, block) in (0u16..).zip(row.iter().flat_map(|r| &r.blocks)) {
            if let Some(block) = block.as_deref().filter(|block| block.hosts.len() > 0) {
                out.put(|record| write_block(record, a << 8 | b, block))?;
            }
        }
    }
    out.end()?;
    for (p, facts) in tables.ip4.rows.iter().flatten().flat_map(|row| row.nets()) {
        out.put_value(&(p.first(), p.len(), facts))?;
    }
    out.end()?;
    write_leaves(&tables.ip6.tree, &mut out)?;
    write_leaves(&tables.names.tree, &mut out)
}

/// Reads tables that [`write`] wrote. `derivations` are those with which they were built.
///
/// # Errors
///
/// The image is damaged; nothing of it can be used then.
pub fn read(input: &mut impl Read, derivations: Derivations) -> Result<Builder, ImageError> {
    let mut input = RecordReader {
        input,
        record: Vec::new(),
    };
    let interned = read_interned(&mut input, derivations)?;
    let [_, facts, values] = interned.0.counts();
    let is_known = |f: &FactsId| (f.0 as usize) < facts;
    let mut blocks = Vec::new();
    while let Some(record) = input.next()? {
        let block = read_block(record).filter(|(_, block)| {
            let mut known = true;
            block.facts.kinds(&mut |f| known &= is_known(&f));
            known
        });
        blocks.push(block.ok_or(ImageError::Damaged("a block of IPv4 hosts is damaged"))?);
    }
    let mut nets = Vec::new();
    while let Some((first, len, facts)) = input.next_value::<(u32, u8, FactsId)>()? {
        let net = (8..=32).contains(&len).then(|| Prefix4::new(first, len));
        match net.filter(|p| p.first() == first && is_known(&facts)) {
            Some(p) => nets.push((p, facts)),
            None => return Err(ImageError::Damaged("an IPv4 prefix is damaged")),
        }
    }
    let tree = read_leaves(&mut input, &interned.0, [facts, values])?;
    let ip6 = Ip6 { tree };
    let tree = read_leaves(&mut input, &interned.0, [facts, values])?;
    let names = Names { tree };
    Ok(Builder::from_image(interned, blocks, nets, ip6, names))
}

fn read_interned<R: Read>(
    input: &mut RecordReader<R>,
    derivations: Derivations,
) -> Result<(Interned, Interner), ImageError> {
    let (mut texts, mut facts, mut values) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(record) = input.next()? {
        texts.push(read_text(&mut Bytes(record)).ok_or(ImageError::Damaged("a text is damaged"))?);
    }
    while let Some(record) = input.next_value::<(bool, Box<[Fact]>)>()? {
        facts.push(record);
    }
    while let Some(items) = input.next_value::<Box<[Item]>>()? {
        values.push(items);
    }
    Interner::restore(texts, facts, values, derivations)
        .ok_or(ImageError::Damaged("facts or values are damaged"))
}

fn write_leaves<L: Leaf, W: Write>(
    tree: &Tree<L>,
    out: &mut RecordWriter<'_, W>,
) -> io::Result<()> {
    let mut written = Ok(());
    tree.leaves(&mut |Span { leaf, from, .. }| {
        if written.is_ok() {
            written = out.put_value(&(from, leaf));
        }
    });
    written.and_then(|()| out.end())
}

fn read_leaves<L: Leaf, R: Read>(
    input: &mut RecordReader<R>,
    interned: &Interned,
    limits: [usize; 2],
) -> Result<Tree<L>, ImageError> {
    let mut leaves: Vec<(L::Bound, L)> = Vec::new();
    while let Some(leaf) = input.next_value()? {
        leaves.push(leaf);
    }
    Tree::from_leaves(leaves, interned, limits)
        .ok_or(ImageError::Damaged("a leaf of a table is damaged"))
}

/// In the third part of a stored text: there is a text.
const HAS_TEXT: u8 = 1;
/// The entry is exact.
const IS_EXACT: u8 = 1 << 1;

/// A text: the hops of its path, the stores of it, a byte of flags, and the text.
fn write_text(out: &mut Vec<u8>, t: &EntryText) {
    out.push(t.path.hops());
    t.path
        .stores()
        .iter()
        .for_each(|s| out.extend(s.0.to_le_bytes()));
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(flag(t.is_some(), HAS_TEXT) | flag(t.exact, IS_EXACT));
    out.extend(t.as_deref().unwrap_or_default().as_bytes());
}

fn read_text(r: &mut Bytes) -> Option<EntryText> {
    let path = match r.array()? {
        [FeedPath::UNTRACED_HOPS] => FeedPath::Untraced,
        [hops] => FeedPath::via(
            (0..hops)
                .map(|_| Some(StoreId(u64::from_le_bytes(r.array()?))))
                .collect::<Option<_>>()?,
        ),
    };
    let [flags] = r.array()?;
    let text = std::str::from_utf8(r.0).ok()?;
    Some(EntryText {
        text: (flags & HAS_TEXT != 0).then(|| text.into()),
        path,
        exact: flags & IS_EXACT != 0,
    })
}

/// A block: its number; the number of hosts and their suffixes; the facts of all, or of each.
fn write_block(out: &mut Vec<u8>, ab: u16, block: &Block) {
    let suffixes = block.hosts.to_vec();
    out.extend(ab.to_le_bytes());
    out.extend((suffixes.len() as u32).to_le_bytes());
    suffixes.iter().for_each(|s| out.extend(s.to_le_bytes()));
    match &block.facts {
        HostFacts::One(f) => out.extend(f.0.to_le_bytes()),
        all => (0..suffixes.len()).for_each(|i| out.extend(all.get(i).0.to_le_bytes())),
    }
}

fn read_block(record: &[u8]) -> Option<(u16, Block)> {
    let mut r = Bytes(record);
    let ab = u16::from_le_bytes(r.array()?);
    let n = u32::from_le_bytes(r.array()?) as usize;
    let suffixes = r.take(n.checked_mul(2)?)?.chunks_exact(2);
    let suffixes: Vec<u16> = suffixes.map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
    let facts = r.0.chunks_exact(4);
    let facts: Vec<FactsId> = facts
        .map(|c| FactsId(u32::from_le_bytes([c[0], c[1], c[2], c[3]])))
        .collect();
    let facts = match &facts[..] {
        [all] => HostFacts::One(*all),
        each if each.len() == n => HostFacts::new(each),
        _ => return None,
    };
    let block = Block {
        hosts: Hosts::new(&suffixes),
        facts,
        ..Block::empty(ValueId::EMPTY)
    };
    let sound = n > 0 && suffixes.is_sorted_by(|a, b| a < b) && r.0.len().is_multiple_of(4);
    sound.then_some((ab, block))
}

struct RecordWriter<'w, W> {
    out: &'w mut W,
    record: Vec<u8>,
}

impl<W: Write> RecordWriter<'_, W> {
    fn put(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.record.clear();
        fill(&mut self.record);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let len = self.record.len() as u32;
        self.out.write_all(&len.to_le_bytes())?;
        self.out.write_all(&self.record)
    }

    fn put_value(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.record.clear();
        let record = std::mem::take(&mut self.record);
        self.record = postcard::to_extend(value, record).map_err(io::Error::other)?;
        self.write()
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(&[0; 4])
    }
}

struct RecordReader<'r, R> {
    input: &'r mut R,
    record: Vec<u8>,
}

impl<R: Read> RecordReader<'_, R> {
    /// The next record; `None` at the end of the section.
    fn next(&mut self) -> Result<Option<&[u8]>, ImageError> {
        let mut len = [0; 4];
        self.input.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        self.record.clear();
        // Room is made as bytes come, so a damaged length costs nothing.
        let read = self
            .input
            .by_ref()
            .take(u64::from(len))
            .read_to_end(&mut self.record)?;
        if read < len as usize {
            return Err(ImageError::Damaged("it ends too early"));
        }
        Ok((len > 0).then_some(&self.record))
    }

    fn next_value<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, ImageError> {
        let Some(record) = self.next()? else {
            return Ok(None);
        };
        match postcard::take_from_bytes(record) {
            Ok((value, [])) => Ok(Some(value)),
            _ => Err(ImageError::Damaged("a record cannot be read")),
        }
    }
}

/// The rest of a record.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}
