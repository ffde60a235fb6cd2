//! A followed zone's rows ([`crate::dns::incoming`]) as a list: the rules are those of master files, with one difference.
//! Records of a zone have no order, so several texts of one owner can not be told apart: they are one text, joined.

use std::{io::empty, net::Ipv4Addr};

use super::{Input, Options, Report, Sink, master};
use crate::{
    dns::incoming::{name, parts},
    index::records::rtype,
};

/// How the names and records of a zone become a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// A DNSBL's: reversed addresses and names, with A and TXT records.
    Names,
}

/// What stands between the texts of one owner.
const BETWEEN: &str = "; ";

/// An owner's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owner {
    /// Values of A records.
    pub(super) codes: Vec<Ipv4Addr>,
    /// The text, if there is any.
    pub(super) texts: Vec<String>,
}

impl Owner {
    /// Adds a record. Records of other types only make their owner exist.
    pub(super) fn add(&mut self, kind: u16, data: &[u8]) {
        match kind {
            rtype::A => self.codes.extend(data.first_chunk::<4>().map(|a| Ipv4Addr::from(*a))),
            rtype::TXT => {
                let mut bytes = Vec::with_capacity(data.len());
                let mut rest = data;
                while let Some((len, tail)) = rest.split_first() {
                    let (string, tail) = tail.split_at(usize::from(*len).min(tail.len()));
                    bytes.extend(string);
                    rest = tail;
                }
                let text = String::from_utf8_lossy(&bytes);
                match self.texts.first_mut() {
                    None => self.texts.push(text.into_owned()),
                    Some(all) if bytes.is_empty() || all.split(BETWEEN).any(|t| t == text) => {}
                    Some(all) => *all += &format!("{BETWEEN}{text}"),
                }
            }
            _ => {}
        }
    }
}

/// Reads rows in their order.
pub struct Records<'a> {
    input: Input<'a>,
    mapping: Mapping,
    /// The node, with its zero byte, whose rows are being read.
    node: Vec<u8>,
    owner: Owner,
}

impl<'a> Records<'a> {
    /// Starts to read; `zone` is what messages name.
    pub fn new(mapping: Mapping, zone: &'a str, options: &'a Options, report: &'a mut Report, sink: Sink<'a>) -> Records<'a> {
        Records { input: input(zone, options, report, sink), mapping, node: Vec::new(), owner: Owner::default() }
    }

    /// Takes the next row.
    pub fn row(&mut self, row: &[u8]) -> Result<(), String> {
        let (node, kind, data) = parts(row).ok_or("a row of the zone's copy can not be read")?;
        if node != self.node {
            self.owned()?;
            node.clone_into(&mut self.node);
        }
        self.input.report.lines += 1;
        self.owner.add(kind, data);
        Ok(())
    }

    /// Takes what is left.
    pub fn finish(mut self) -> Result<(), String> {
        self.owned()
    }

    fn owned(&mut self) -> Result<(), String> {
        if self.node.is_empty() {
            return Ok(());
        }
        let name = name(&self.node);
        let owner = std::mem::take(&mut self.owner);
        match self.mapping {
            Mapping::Names => {
                master::enclosers(&mut self.input, &name)?;
                own(&mut self.input, &name, &owner)
            }
        }
    }
}

/// An input that has no lines: its entries come from records.
pub(super) fn input<'a>(zone: &'a str, options: &'a Options, report: &'a mut Report, sink: Sink<'a>) -> Input<'a> {
    Input::new(Box::new(empty()), zone, options, report, sink)
}

/// What an owner's own records say.
pub(super) fn own(input: &mut Input, name: &str, owner: &Owner) -> Result<(), String> {
    input.owner.clear();
    input.owner.push_str(name);
    master::own(input, name, &owner.codes, &owner.texts, 0)
}
