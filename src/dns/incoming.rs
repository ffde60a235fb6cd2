//! Incoming transfers: a strict reader of the replies to AXFR (RFC 5936) and IXFR (RFC 1995),
//! message by message.
//!
//! Records are returned as *rows*, the form in which a followed zone is stored: the owner's labels
//! below the zone from the right, each after its length, then a zero byte, the type, and the data
//! with uncompressed names. Sorted rows have a node's own records before those of the nodes below
//! it, and equal records are equal rows.

use std::ops::Range;

use super::{
    Rcode,
    wire::{MAX_LABELS, MAX_NAME, RecordHead, header, rtype},
};
use crate::model::Serial;

/// The most records of one transfer.
pub const MAX_RECORDS: u64 = 1 << 27;
/// The most bytes of one transfer, all messages together.
pub const MAX_BYTES: u64 = 1 << 34;
/// The DNSSEC types that are not entries of a list: RRSIG, NSEC, NSEC3 and NSEC3PARAM.
const SIGNING: [u16; 4] = [46, 47, 50, 51];

/// The fields of a zone's SOA that a secondary needs (RFC 1035 section 3.3.13); intervals are in
/// seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soa {
    /// The version of the zone.
    pub serial: Serial,
    /// How long to wait before the next check for a new version.
    pub refresh: u32,
    /// How long to wait before the next check after a failed one.
    pub retry: u32,
    /// How long the zone stays valid without a successful check.
    pub expire: u32,
}

/// A query of a secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferQuery {
    /// The SOA alone.
    Soa,
    /// The whole zone.
    Axfr,
    /// The changes after a serial.
    Ixfr(Serial),
}

impl TransferQuery {
    fn rtype(self) -> u16 {
        match self {
            TransferQuery::Soa => rtype::SOA,
            TransferQuery::Axfr => rtype::AXFR,
            TransferQuery::Ixfr(_) => rtype::IXFR,
        }
    }
}

/// A record of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordChange<'a> {
    /// Whether the record belongs to a whole zone, not to a difference.
    pub whole: bool,
    /// Whether the difference removes the record.
    pub removed: bool,
    /// The record as a row; see the module.
    pub row: &'a [u8],
}

/// The end of a complete reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEnd {
    /// The zone has not changed, or only its SOA was requested.
    UpToDate(Soa),
    /// The reply had all records of the zone.
    Axfr(Soa),
    /// The reply had all changes from the serial of the query to this one.
    Ixfr(Soa),
}

/// Encodes a query for a zone: header, question, and for an IXFR our SOA (RFC 1995 section 3).
pub fn transfer_query(id: u16, zone: &[u8], query: TransferQuery) -> Vec<u8> {
    let has_soa = matches!(query, TransferQuery::Ixfr(_));
    let mut out = header(id.to_be_bytes(), 0, 0, u8::from(has_soa)).to_vec();
    out.extend(zone);
    out.extend(query.rtype().to_be_bytes());
    out.extend([0, 1]);
    if let TransferQuery::Ixfr(serial) = query {
        // Both names of the SOA's data are the root.
        out.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        out.extend(serial.0.to_be_bytes());
        out.extend([0; 16]);
    }
    out
}

enum State {
    /// No record was read.
    Start,
    /// The first SOA was read.
    First(Soa),
    /// The records of a whole zone are read.
    Whole(Soa),
    /// The removed records of a difference from this serial are read.
    Removed(Soa, Serial),
    /// The added records of a difference to this serial are read.
    Added(Soa, Serial),
    Done(TransferEnd),
}

/// Reads the messages of one reply in order.
pub struct TransferReader<'z> {
    zone: &'z [u8],
    id: u16,
    query: TransferQuery,
    state: State,
    records: u64,
    bytes: u64,
    /// Records with names outside the zone, which are left out (RFC 5936 section 3.5).
    pub outside: u64,
    /// Whether the records of the apex are returned too, with the first SOA.
    pub apex: bool,
    owner: Name,
    row: Vec<u8>,
    /// The offsets of a name's labels; a reused buffer.
    starts: Vec<u8>,
}

impl<'z> TransferReader<'z> {
    /// Creates a reader of the reply to `query`; `zone` is in wire form and lower case.
    pub fn new(zone: &'z [u8], id: u16, query: TransferQuery) -> TransferReader<'z> {
        TransferReader {
            zone,
            id,
            query,
            state: State::Start,
            records: 0,
            bytes: 0,
            outside: 0,
            apex: false,
            owner: Name::default(),
            row: Vec::with_capacity(512),
            starts: Vec::with_capacity(MAX_LABELS),
        }
    }

    /// How the reply ended; `None` while it is incomplete.
    pub fn end(&self) -> Option<TransferEnd> {
        match &self.state {
            State::Done(end) => Some(*end),
            _ => None,
        }
    }

    /// The zone's newest SOA; `None` before it was read.
    pub fn soa(&self) -> Option<Soa> {
        match self.state {
            State::Start => None,
            State::First(s)
            | State::Whole(s)
            | State::Removed(s, _)
            | State::Added(s, _)
            | State::Done(TransferEnd::UpToDate(s) | TransferEnd::Axfr(s) | TransferEnd::Ixfr(s)) => {
                Some(s)
            }
        }
    }

    /// Reads a message, and passes its records to `sink`. The error is a text for operators.
    pub fn message(
        &mut self,
        message: &[u8],
        sink: &mut dyn FnMut(RecordChange) -> Result<(), String>,
    ) -> Result<(), String> {
        let short = || "a message of the reply is cut short".to_string();
        self.bytes += message.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(format!("the zone has more than {MAX_BYTES} bytes"));
        }
        if self.end().is_some() {
            return Err("there are messages after the last SOA".into());
        }
        let answers = self.header(message)?;
        let mut at = self.question(message)?;
        let mut owner = std::mem::take(&mut self.owner);
        for _ in 0..answers {
            at = owner.read(message, at).ok_or_else(short)?;
            let head = RecordHead::read(message, at).ok_or_else(short)?;
            at = head.data.end;
            self.records += 1;
            if self.records > MAX_RECORDS {
                return Err(format!("the zone has more than {MAX_RECORDS} records"));
            }
            if head.class == 1 {
                self.record(message, &owner, head, sink)?;
            }
        }
        self.owner = owner;
        // An SOA alone in its message means that nothing has changed, or that the rest follows in
        // later messages or over TCP.
        if let State::First(soa) = self.state {
            let have = match self.query {
                TransferQuery::Soa => Some(soa.serial),
                TransferQuery::Axfr => None,
                TransferQuery::Ixfr(have) => Some(have),
            };
            if have.is_some_and(|h| h.partial_cmp(&soa.serial) != Some(std::cmp::Ordering::Less)) {
                self.state = State::Done(TransferEnd::UpToDate(soa));
            }
        }
        Ok(())
    }

    /// Checks the header. Returns the number of answers.
    fn header(&self, message: &[u8]) -> Result<u16, String> {
        let header: &[u8; 12] = message
            .first_chunk()
            .ok_or("a message of the reply has no header")?;
        if u16::from_be_bytes([header[0], header[1]]) != self.id || header[2] & 0xf8 != 0x80 {
            return Err("a message is not a reply to the query".into());
        }
        if header[3] & 15 != 0 {
            return Err(refusal(header[3] & 15));
        }
        if header[2] & 2 != 0 && self.query != TransferQuery::Soa {
            return Err("a message of the transfer is truncated (TC)".into());
        }
        Ok(u16::from_be_bytes([header[6], header[7]]))
    }

    /// Checks the question, which every message after the first may omit (RFC 5936 section 2.2.1).
    /// Returns its end.
    fn question(&mut self, message: &[u8]) -> Result<usize, String> {
        let count = u16::from_be_bytes([message[4], message[5]]);
        if count == 0 && !matches!(self.state, State::Start) {
            return Ok(12);
        }
        let other_question =
            || "a message of the reply has a different question than the query".to_string();
        let at = self
            .owner
            .read(message, 12)
            .filter(|_| count == 1)
            .ok_or_else(other_question)?;
        let [high, low] = self.query.rtype().to_be_bytes();
        if self.owner.bytes() != self.zone || message.get(at..at + 4) != Some(&[high, low, 0, 1]) {
            return Err(other_question());
        }
        Ok(at + 4)
    }

    /// Handles a record, and passes its row to the sink if it is part of the zone's content.
    fn record(
        &mut self,
        message: &[u8],
        owner: &Name,
        head: RecordHead,
        sink: &mut dyn FnMut(RecordChange) -> Result<(), String>,
    ) -> Result<(), String> {
        let kind = head.rtype;
        let apex = owner.bytes() == self.zone;
        let (whole, removed) = if kind == rtype::SOA && apex {
            let is_first = matches!(self.state, State::Start);
            self.handle_apex_soa(soa(message, head.data.clone()).ok_or("the SOA cannot be read")?)?;
            if !is_first {
                return Ok(());
            }
            (true, false)
        } else {
            match self.state {
                // The reply to a query for the SOA can have other records, such as those of an
                // alias.
                State::Start | State::First(_) if self.query == TransferQuery::Soa => return Ok(()),
                State::Start => {
                    return Err("the reply does not start with the SOA of the zone".into());
                }
                State::First(soa) => {
                    self.state = State::Whole(soa);
                    (true, false)
                }
                State::Whole(_) => (true, false),
                State::Removed(..) => (false, true),
                State::Added(..) => (false, false),
                State::Done(_) => return Err("there are records after the last SOA".into()),
            }
        };
        if apex && !self.apex || SIGNING.contains(&kind) {
            return Ok(()); // the zone's own records are not entries
        }
        if !below(owner, self.zone, &mut self.starts, &mut self.row) {
            self.outside += 1;
            return Ok(());
        }
        self.row.extend(kind.to_be_bytes());
        data(message, kind, head.data, &mut self.row).ok_or("a record's data cannot be read")?;
        sink(RecordChange {
            whole,
            removed,
            row: &self.row,
        })
    }

    /// Handles an SOA at the apex, which ends a part of the reply and begins the next.
    fn handle_apex_soa(&mut self, soa: Soa) -> Result<(), String> {
        let older = |a: Serial, b: Serial| a.partial_cmp(&b) == Some(std::cmp::Ordering::Less);
        let not_contiguous = || {
            "the differences are not contiguous: one does not start at the serial at which the previous one ended"
                .to_string()
        };
        self.state = match (&self.state, self.query) {
            (State::Start, _) => State::First(soa),
            (State::First(first), TransferQuery::Ixfr(have))
                if soa.serial == have && older(have, first.serial) =>
            {
                State::Removed(*first, soa.serial)
            }
            (
                State::First(first) | State::Whole(first),
                TransferQuery::Axfr | TransferQuery::Ixfr(_),
            ) => match soa.serial == first.serial {
                true => State::Done(TransferEnd::Axfr(*first)),
                false => {
                    return Err(format!(
                        "the last SOA of the zone has the serial {}, but the first has {}",
                        soa.serial, first.serial
                    ));
                }
            },
            (State::Removed(first, from), _)
                if older(*from, soa.serial) && !older(first.serial, soa.serial) =>
            {
                State::Added(*first, soa.serial)
            }
            (State::Added(first, to), _) if soa.serial == *to => match *to == first.serial {
                true => State::Done(TransferEnd::Ixfr(*first)),
                false => State::Removed(*first, *to),
            },
            (State::Removed(..) | State::Added(..), _) => return Err(not_contiguous()),
            (State::First(_) | State::Whole(_), TransferQuery::Soa) => {
                return Err("the reply has more than one SOA".into());
            }
            (State::Done(_), _) => return Err("there are records after the last SOA".into()),
        };
        Ok(())
    }
}

/// Describes an RCODE, and names the likely cause.
fn refusal(code: u8) -> String {
    match code {
        c if c == Rcode::Refused as u8 => "the server refused the query (REFUSED): it has to allow this host to transfer the zone, or requires a TSIG key".into(),
        c if c == Rcode::ServFail as u8 => "the server failed (SERVFAIL): it may not have loaded the zone".into(),
        c if c == Rcode::NotImp as u8 => "the server does not support this kind of query (NOTIMP)".into(),
        c if c == Rcode::FormErr as u8 => "the server could not read the query (FORMERR)".into(),
        3 => "the zone does not exist on the server (NXDOMAIN)".into(),
        9 => "the server does not serve this zone, or the key is wrong (NOTAUTH)".into(),
        c => format!("the server answered with RCODE {c}"),
    }
}

/// The SOA in a record's data.
fn soa(message: &[u8], data: Range<usize>) -> Option<Soa> {
    let mut name = Name::default();
    let at = name.read(message, data.start)?;
    let at = name.read(message, at)?;
    let numbers: &[u8; 20] = message.get(at..data.end)?.try_into().ok()?;
    let [serial, refresh, retry, expire, _minimum] = numbers.as_chunks::<4>().0 else {
        return None;
    };
    Some(Soa {
        serial: Serial(u32::from_be_bytes(*serial)),
        refresh: u32::from_be_bytes(*refresh),
        retry: u32::from_be_bytes(*retry),
        expire: u32::from_be_bytes(*expire),
    })
}

/// Writes the node of an owner and its zero byte into `row`. Returns false if the owner is not in
/// the zone.
fn below(owner: &Name, zone: &[u8], starts: &mut Vec<u8>, row: &mut Vec<u8>) -> bool {
    let name = owner.bytes();
    let Some(rest) = name.strip_suffix(zone) else {
        return false;
    };
    starts.clear();
    let mut at = 0;
    while at < rest.len() {
        starts.push(at as u8);
        at += 1 + usize::from(rest[at]);
    }
    row.clear();
    if at != rest.len() {
        return false; // the zone's bytes begin inside a label
    }
    for start in starts.iter().rev().map(|s| usize::from(*s)) {
        row.extend(&rest[start..=start + usize::from(rest[start])]);
    }
    row.push(0);
    true
}

/// The position of the names in the data of types whose names may be compressed (RFC 3597 section
/// 4): the bytes before them, and their number.
fn names_in(kind: u16) -> (usize, usize) {
    match kind {
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => (0, 1),
        6 | 14 | 17 => (0, 2),
        15 | 18 | 21 | 36 => (2, 1),
        26 => (2, 2),
        33 => (6, 1),
        _ => (0, 0),
    }
}

/// Appends a record's data with uncompressed names in lower case.
fn data(message: &[u8], kind: u16, data: Range<usize>, out: &mut Vec<u8>) -> Option<()> {
    let (before, names) = names_in(kind);
    out.extend(message.get(data.clone())?.get(..before)?);
    let mut at = data.start + before;
    for _ in 0..names {
        let mut name = Name::default();
        at = name.read(message, at)?;
        out.extend(name.bytes());
    }
    out.extend(message.get(at..data.end)?);
    Some(())
}

/// A name in wire form and lower case.
struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Default for Name {
    fn default() -> Name {
        Name {
            bytes: [0; MAX_NAME],
            len: 0,
        }
    }
}

impl Name {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Reads a name, compressed or not. Returns its end. Pointers have to point backwards (RFC 1035
    /// section 4.1.4), so that the loop ends.
    fn read(&mut self, message: &[u8], mut at: usize) -> Option<usize> {
        let (mut end, mut low) = (None, at);
        self.len = 0;
        loop {
            let len = usize::from(*message.get(at)?);
            match len {
                0 => break,
                1..64 => {
                    let label = message.get(at..=at + len)?;
                    self.bytes
                        .get_mut(self.len..self.len + 1 + len)
                        .filter(|_| self.len + 1 + len < MAX_NAME)?
                        .copy_from_slice(label);
                    self.len += 1 + len;
                    at += 1 + len;
                }
                192.. => {
                    let to = (len & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    if to >= low || to < 12 {
                        return None;
                    }
                    (at, low) = (to, to);
                }
                _ => return None,
            }
        }
        self.bytes[self.len] = 0;
        self.len += 1;
        // Length bytes are below 64, so none of them is a letter.
        self.bytes[..self.len].make_ascii_lowercase();
        Some(end.unwrap_or(at + 1))
    }
}

/// Splits a row into the node with its zero byte, the type and the data; `None` if it is not a row.
pub fn parts(row: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let mut at = 0;
    while *row.get(at)? != 0 {
        at += 1 + usize::from(row[at]);
    }
    let (node, rest) = row.split_at_checked(at + 1)?;
    let (kind, data) = rest.split_first_chunk()?;
    Some((node, u16::from_be_bytes(*kind), data))
}

/// The node of a relative name: the labels from the right, each after its length. Empty for the
/// apex.
pub fn node(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 1);
    for label in name.rsplit('.').filter(|l| !l.is_empty()) {
        out.push(label.len().min(63) as u8);
        out.extend(label.as_bytes().iter().take(63).map(u8::to_ascii_lowercase));
    }
    out
}

/// The relative name of a node. A byte that is not a printable character becomes `?`, which no
/// subject contains.
pub fn name(node: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(len) = node.get(at).filter(|l| **l > 0) {
        let end = (at + 1 + usize::from(*len)).min(node.len());
        labels.push(&node[at + 1..end]);
        at = end;
    }
    let mut out = String::with_capacity(node.len());
    for label in labels.iter().rev() {
        if !out.is_empty() {
            out.push('.');
        }
        out.extend(label.iter().map(|b| {
            if b.is_ascii_graphic() && *b != b'.' {
                *b as char
            } else {
                '?'
            }
        }));
    }
    out
}

/// Parses a NOTIFY (RFC 1996). Returns the zone in wire form and lower case, and the serial if the
/// message has one; `None` if the message is not a valid NOTIFY.
pub fn notified(message: &[u8]) -> Option<(Vec<u8>, Option<Serial>)> {
    let header: &[u8; 12] = message.first_chunk()?;
    if header[2] & 0xf8 != 0x20 || header[4..6] != [0, 1] {
        return None;
    }
    let mut zone = Name::default();
    let at = zone.read(message, 12)?;
    if message.get(at..at + 4)? != [0, 6, 0, 1] {
        return None;
    }
    let mut serial = None;
    if u16::from_be_bytes([header[6], header[7]]) > 0 {
        let mut owner = Name::default();
        let head = RecordHead::read(message, owner.read(message, at + 4)?)?;
        if (head.rtype, head.class) == (rtype::SOA, 1) && owner.bytes() == zone.bytes() {
            serial = soa(message, head.data).map(|s| s.serial);
        }
    }
    Some((zone.bytes().to_vec(), serial))
}

#[cfg(test)]
mod tests;
