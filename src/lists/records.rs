//! Reads the records of a followed zone ([`crate::dns::incoming`]) as a list. The rules are those
//! of master files, with one difference: records of a zone have no order, so that texts of one
//! owner cannot be assigned to its codes; they are joined to one text.

use std::{io::empty, net::Ipv4Addr};

use super::{
    Input, ListReport, Options, Sink, master,
    record_text::{strings, type_and_data},
    text::label,
};
use crate::{
    dns::incoming::{name, parts},
    index::records::rtype,
};

/// How the records of a zone become entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// Those of a DNSBL: reversed addresses and names, with A and TXT records.
    Names,
    /// The rows of another orbsd ([`crate::index::rows`]).
    Rows,
}

/// The separator of an owner's texts.
const BETWEEN: &str = "; ";

/// An owner's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owner {
    /// Values of A records.
    pub(super) codes: Vec<Ipv4Addr>,
    /// The joined text; empty if there is none.
    pub(super) texts: Vec<String>,
    /// The data of the row record; empty if there is none.
    pub(super) row: Vec<u8>,
}

impl Owner {
    /// Adds a record. Records of other types only make their owner exist.
    pub(super) fn add(&mut self, kind: u16, data: &[u8]) {
        match kind {
            rtype::A => self
                .codes
                .extend(data.first_chunk::<4>().map(|a| Ipv4Addr::from(*a))),
            rtype::TXT => {
                let bytes = strings(data).collect::<Vec<_>>().concat();
                let text = String::from_utf8_lossy(&bytes);
                match self.texts.first_mut() {
                    None => self.texts.push(text.into_owned()),
                    Some(all) if bytes.is_empty() || all.split(BETWEEN).any(|t| t == text) => {}
                    Some(all) => *all += &format!("{BETWEEN}{text}"),
                }
            }
            rtype::ROW => data.clone_into(&mut self.row),
            _ => {}
        }
    }
}

/// Reads the records of a zone in their order.
pub struct Records<'a> {
    input: Input<'a>,
    mapping: Mapping,
    /// The current node, with its zero byte.
    node: Vec<u8>,
    owner: Owner,
    /// Whether the row with the identity of the other server was read.
    identified: bool,
}

impl<'a> Records<'a> {
    /// Creates the reader of a zone; messages name `zone`.
    pub fn new(
        mapping: Mapping,
        zone: &'a str,
        options: &'a Options,
        report: &'a mut ListReport,
        sink: Sink<'a>,
    ) -> Records<'a> {
        Records {
            input: input(zone, options, report, sink),
            mapping,
            node: Vec::new(),
            owner: Owner::default(),
            identified: false,
        }
    }

    /// Reads the next row.
    pub fn row(&mut self, row: &[u8]) -> Result<(), String> {
        let (node, kind, data) = parts(row).ok_or("a row of the zone's copy cannot be read")?;
        if node != self.node {
            self.finish_owner()?;
            node.clone_into(&mut self.node);
        }
        self.input.report.lines += 1;
        self.owner.add(kind, data);
        Ok(())
    }

    /// Processes the last owner.
    ///
    /// # Errors
    ///
    /// The sink has failed, or the rows have no identity of their server.
    pub fn finish(mut self) -> Result<(), String> {
        self.finish_owner()?;
        match self.mapping {
            Mapping::Rows if !self.identified => {
                super::rows::check_identity(self.input.options.store, &[])
            }
            _ => Ok(()),
        }
    }

    fn finish_owner(&mut self) -> Result<(), String> {
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
            Mapping::Rows if name == super::rows::IDENTITY => {
                self.identified = true;
                super::rows::check_identity(self.input.options.store, &owner.row)
            }
            Mapping::Rows => super::rows::take(&mut self.input, &name, &owner.row),
        }
    }
}

/// An input without lines, for entries that come from records.
pub(super) fn input<'a>(
    zone: &'a str,
    options: &'a Options,
    report: &'a mut ListReport,
    sink: Sink<'a>,
) -> Input<'a> {
    Input::new(Box::new(empty()), zone, options, report, sink)
}

/// Processes the records of an owner.
pub(super) fn own(input: &mut Input, name: &str, owner: &Owner) -> Result<(), String> {
    name.clone_into(&mut input.owner);
    master::own(input, name, &owner.codes, &owner.texts, 0)
}

/// Appends a row as a line of a master file under the zone's `$ORIGIN`. Types without a text form
/// here are written as in RFC 3597 section 5, which every server reads.
pub fn master_line(row: &[u8], out: &mut String) {
    let Some((node, kind, data)) = parts(row) else {
        return;
    };
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(len) = node.get(at).map(|l| usize::from(*l)).filter(|l| *l > 0) {
        labels.push(label(node.get(at + 1..=at + len).unwrap_or_default()));
        at += 1 + len;
    }
    labels.reverse();
    if labels.is_empty() {
        labels.push("@".into());
    }
    let (type_name, text) = type_and_data(kind, data).unwrap_or_else(|| {
        let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
        (
            format!("TYPE{kind}").into(),
            format!("\\# {} {hex}", data.len()),
        )
    });
    *out += &format!("{}\t{type_name}\t{text}\n", labels.join("."));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lines_of_a_master_file() {
        let line = |row: &[u8]| {
            let mut out = String::new();
            master_line(row, &mut out);
            out
        };
        assert_eq!(
            line(b"\x011\x02a.\x01*\0\0\x01\x7f\0\0\x02"),
            "*.a\\..1\tA\t127.0.0.2\n"
        );
        assert_eq!(line(b"\0\0\x02\x02ns\x01z\0"), "@\tNS\tns.z.\n");
        assert_eq!(
            line(b"\x01x\0\0\x10\x03a\"b\x02\\\xff"),
            "x\tTXT\t\"a\\\"b\" \"\\\\\\255\"\n"
        );
        assert_eq!(line(b"\x01x\0\0\x1c\x20\x01"), "x\tTYPE28\t\\# 2 2001\n");
        assert_eq!(
            line(b"\0\0\x06\0\x01m\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05"),
            "@\tSOA\t. m. 1 2 3 4 5\n"
        );
    }

    #[test]
    fn texts_of_one_owner_are_joined() {
        let mut o = Owner::default();
        for t in [&b"\x01a\x01b"[..], b"\x02ab", b"\x01c", b"\0"] {
            o.add(rtype::TXT, t);
        }
        assert_eq!(o.texts, ["ab; c"]);
    }
}
