//! The tables as bytes, so that a start does not have to read the store: reasons and sources, never
//! codes.
//!
//! Layout, all numbers little-endian: texts, facts, IPv4 blocks, then everything that is not a
//! plain IPv4 host as subject keys. Covers are compiled again when it is read. Version, store,
//! sequence and checksum around it belong to the store.

use super::{
    build::{Builder, Tables, others},
    ip4::{Block, HostFacts, Hosts},
    values::{Fact, FactsId, TextId, ValueId},
};
use crate::model::{EntryText, FeedPath, ReasonId, SourceId, StoreId, Subject};

/// Writes the tables.
pub fn write(tables: &Tables) -> Vec<u8> {
    let mut out = Vec::with_capacity(tables.ip4.hosts() * 2 + (1 << 16));
    let interned = &tables.interned;
    let [texts, facts, _] = interned.counts();
    put32(&mut out, texts as u32);
    for t in interned.texts() {
        write_text(&mut out, t);
    }
    put32(&mut out, facts as u32);
    for f in interned.all_facts() {
        out.push(u8::from(f.exempt));
        put32(&mut out, f.facts.len() as u32);
        for fact in &f.facts {
            out.extend([fact.reason.0, u8::from(fact.exclusion)]);
            out.extend(fact.source.0.to_le_bytes());
            put32(&mut out, fact.text.0);
        }
    }
    let blocks = tables
        .ip4
        .rows
        .iter()
        .enumerate()
        .filter_map(|(a, r)| Some((a, r.as_deref()?)));
    let blocks = blocks.flat_map(|(a, r)| {
        r.blocks
            .iter()
            .enumerate()
            .filter_map(move |(b, x)| Some((a << 8 | b, x.as_deref()?)))
    });
    for (ab, block) in blocks.filter(|(_, x)| x.hosts.len() > 0) {
        out.push(1);
        out.extend((ab as u16).to_le_bytes());
        write_block(&mut out, block);
    }
    out.push(0);
    for (subject, facts) in others(tables) {
        let key = subject.key();
        out.extend((key.len() as u16).to_le_bytes());
        out.extend(key);
        put32(&mut out, facts.0);
    }
    out
}

/// A text: the hops of its path, the stores of it, a byte that says whether there is a text, its
/// length and the text.
fn write_text(out: &mut Vec<u8>, t: &EntryText) {
    out.push(t.path.hops());
    t.path
        .stores()
        .iter()
        .for_each(|s| out.extend(s.0.to_le_bytes()));
    out.push(u8::from(t.is_some()));
    let text = t.as_deref().unwrap_or_default();
    put32(out, text.len() as u32);
    out.extend(text.as_bytes());
}

fn read_text(r: &mut Reader) -> Result<EntryText, &'static str> {
    let path = match r.u8()? {
        FeedPath::UNTRACED_HOPS => FeedPath::Untraced,
        hops => FeedPath::via(
            (0..hops)
                .map(|_| r.array().map(|b| StoreId(u64::from_le_bytes(b))))
                .collect::<Result<_, _>>()?,
        ),
    };
    let there = r.u8()? != 0;
    let len = r.u32()? as usize;
    let text = std::str::from_utf8(r.take(len)?).map_err(|_| "a text is not UTF-8")?;
    Ok(EntryText {
        text: there.then(|| text.into()),
        path,
    })
}

fn write_block(out: &mut Vec<u8>, block: &Block) {
    let suffixes = block.hosts.to_vec();
    put32(out, suffixes.len() as u32);
    suffixes.iter().for_each(|s| out.extend(s.to_le_bytes()));
    match &block.facts {
        HostFacts::One(f) => {
            out.push(1);
            put32(out, f.0);
        }
        _ => {
            out.push(2);
            (0..suffixes.len()).for_each(|i| put32(out, block.facts.get(i).0));
        }
    }
}

fn put32(out: &mut Vec<u8>, n: u32) {
    out.extend(n.to_le_bytes());
}

/// Reads tables into a new builder. An error says that the image is damaged; nothing of it is used
/// then.
pub fn read(bytes: &[u8]) -> Result<Builder, &'static str> {
    let mut r = Reader(bytes);
    let mut builder = Builder::default();
    let texts: Vec<TextId> = (0..r.u32()?)
        .map(|_| Ok(builder.intern_text(&read_text(&mut r)?)))
        .collect::<Result<_, &str>>()?;
    let text = |id: u32| match id {
        u32::MAX => Ok(TextId::NONE),
        id => texts
            .get(id as usize)
            .copied()
            .ok_or("a fact names a text that is not there"),
    };
    let mut facts = Vec::new();
    for _ in 0..r.u32()? {
        let exempt = r.u8()? != 0;
        let n = r.u32()?;
        let mut list = Vec::new();
        for _ in 0..n {
            let (reason, exclusion) = (ReasonId(r.u8()?), r.u8()? != 0);
            let source = SourceId(r.u16()?);
            list.push(Fact {
                reason,
                source,
                exclusion,
                text: text(r.u32()?)?,
            });
        }
        facts.push(builder.intern_facts(exempt, list.into()));
    }
    let fact = |id: u32| {
        facts
            .get(id as usize)
            .copied()
            .ok_or("a subject names facts that are not there")
    };
    while r.u8()? == 1 {
        let ab = r.u16()?;
        let n = r.u32()? as usize;
        let suffixes: Vec<u16> = r
            .take(n * 2)?
            .chunks_exact(2)
            .map(|c| u16::from_le_bytes([c[0], c[1]]))
            .collect();
        if !suffixes.is_sorted_by(|a, b| a < b) {
            return Err("a block is not in order");
        }
        let facts = match r.u8()? {
            1 => HostFacts::One(fact(r.u32()?)?),
            _ => HostFacts::new(
                &(0..n)
                    .map(|_| fact(r.u32()?))
                    .collect::<Result<Vec<FactsId>, _>>()?,
            ),
        };
        builder.put_block(
            ab,
            Block {
                hosts: Hosts::new(&suffixes),
                facts,
                ..Block::empty(ValueId::EMPTY)
            },
        );
    }
    let mut others = Vec::new();
    while !r.0.is_empty() {
        let len = usize::from(r.u16()?);
        let subject = Subject::from_key(r.take(len)?).ok_or("a subject's key cannot be read")?;
        others.push((subject, fact(r.u32()?)?));
    }
    builder.put_others(others);
    Ok(builder)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "it ends too early")
    }
    fn u8(&mut self) -> Result<u8, &'static str> {
        self.array().map(|[b]| b)
    }
    fn u16(&mut self) -> Result<u16, &'static str> {
        self.array().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }
}
