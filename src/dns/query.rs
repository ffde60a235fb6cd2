//! A query, decoded once: header, question, EDNS.

use super::{
    PLAIN_SIZE, UDP_SIZE,
    wire::{HEADER, MAX_LABELS, MAX_NAME, Rcode, counts, rtype, skip_name, u16_at},
};

/// The most records of a query that are looked at; one with more is malformed.
const MAX_RECORDS: usize = 16;

/// Why a message is not answered as a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It gets no reply: it is a reply itself, or too short to have a header.
    Drop,
    /// With an rcode and no records.
    Reply {
        /// Why.
        rcode: Rcode,
        /// Where the question ends; 0 where it cannot be read.
        question_end: usize,
        /// Whether it has an OPT record: the reply has one then (RFC 6891 section 6.1.1).
        edns: bool,
    },
}

/// EDNS of a query (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The sender's buffer size.
    pub size: u16,
    /// The version it speaks.
    pub version: u8,
    /// It asks for this server's name (RFC 5001).
    pub nsid: bool,
    /// It has the TCP keepalive option (RFC 7828).
    pub keepalive: bool,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The whole message.
    pub message: &'a [u8],
    /// Where the question ends.
    pub question_end: usize,
    /// The type asked for.
    pub qtype: u16,
    /// The class asked for.
    pub qclass: u16,
    /// EDNS, if it has any.
    pub edns: Option<Edns>,
    /// It has a TSIG record.
    pub signed: bool,
    /// The name asked for.
    pub labels: Labels<'a>,
}

/// A buffer for a name in lower case, on the stack of the caller.
#[derive(Debug)]
pub struct NameBuf {
    name: [u8; MAX_NAME],
    starts: [u8; MAX_LABELS],
}

impl Default for NameBuf {
    fn default() -> NameBuf {
        NameBuf {
            name: [0; MAX_NAME],
            starts: [0; MAX_LABELS],
        }
    }
}

/// The name of a query, as the look-up needs it.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Lower case, wire form, with the root label.
    pub name: &'a [u8],
    /// Where the labels start.
    pub starts: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads a message. One question is asked for (RFC 9619), uncompressed; an OPT record may stand
    /// anywhere behind it. The name is put into `name_buf` in lower case.
    #[inline]
    pub fn parse(message: &'a [u8], name_buf: &'a mut NameBuf) -> Result<Query<'a>, Malformed> {
        let header: &[u8; HEADER] = message.first_chunk().ok_or(Malformed::Drop)?;
        if header[2] & 0x80 != 0 {
            return Err(Malformed::Drop); // a reply: two servers could answer each other for ever
        }
        let rcode = if header[2] & 0x78 != 0 {
            Rcode::NotImp
        } else {
            Rcode::FormErr
        };
        if header[4..6] != [0, 1] {
            return Err(Malformed::reply(rcode, header, message, 0));
        }
        let formerr = Malformed::Reply {
            rcode,
            question_end: 0,
            edns: false,
        };
        let (labels, at) = read_name(message, HEADER, name_buf).ok_or(formerr)?;
        let mut q = Query {
            message,
            question_end: 0,
            qtype: 0,
            qclass: 0,
            edns: None,
            signed: false,
            labels,
        };
        q.qtype = u16_at(message, at).ok_or(formerr)?;
        q.qclass = u16_at(message, at + 2).ok_or(formerr)?;
        q.question_end = at + 4;
        if rcode == Rcode::NotImp {
            return Err(Malformed::reply(rcode, header, message, q.question_end));
        }
        if header[6..12] != [0; 6] && q.read_records(header).is_none() {
            return Err(Malformed::reply(rcode, header, message, q.question_end));
        }
        Ok(q)
    }

    /// Goes through what stands behind the question for the OPT record. `None`: malformed.
    fn read_records(&mut self, header: &[u8; HEADER]) -> Option<()> {
        let [_, answers, authorities, additionals] = counts(header);
        let total = answers + authorities + additionals;
        if total > MAX_RECORDS {
            return None;
        }
        let mut at = self.question_end;
        for i in 0..total {
            let root = self.message.get(at) == Some(&0);
            at = skip_name(self.message, at)?;
            let fixed = self.message.get(at..at + 10)?;
            let len = usize::from(u16_at(fixed, 8)?);
            let data = self.message.get(at + 10..at + 10 + len)?;
            self.signed |= u16_at(fixed, 0)? == rtype::TSIG;
            if u16_at(fixed, 0)? == rtype::OPT {
                // One, at the root, among the additional records (RFC 6891 section 6.1.1).
                if self.edns.is_some() || !root || i < answers + authorities {
                    return None;
                }
                let mut edns = Edns {
                    size: u16_at(fixed, 2)?,
                    version: fixed[5],
                    nsid: false,
                    keepalive: false,
                };
                read_options(data, &mut edns)?;
                self.edns = Some(edns);
            }
            at += 10 + len;
        }
        Some(())
    }

    /// How long a reply over UDP may be: the smaller of both sizes, 512 without EDNS.
    pub fn udp_limit(&self) -> usize {
        self.edns.map_or(PLAIN_SIZE, |e| {
            usize::from(e.size).clamp(PLAIN_SIZE, UDP_SIZE)
        })
    }
}

impl Malformed {
    /// A reply without records, with an OPT record where the message has one that can be found.
    #[cold]
    fn reply(
        rcode: Rcode,
        header: &[u8; HEADER],
        message: &[u8],
        question_end: usize,
    ) -> Malformed {
        let edns = find_opt(header, message).unwrap_or(false);
        Malformed::Reply {
            rcode,
            question_end,
            edns,
        }
    }
}

/// Whether there is an OPT record, whatever else is wrong. `None`: the message cannot be read so
/// far.
fn find_opt(header: &[u8; HEADER], message: &[u8]) -> Option<bool> {
    let [questions, records @ ..] = counts(header);
    let mut at = HEADER;
    for _ in 0..questions.min(MAX_RECORDS) {
        at = skip_name(message, at)? + 4;
    }
    let total: usize = records.iter().sum();
    for _ in 0..total.min(MAX_RECORDS) {
        let root = message.get(at) == Some(&0);
        at = skip_name(message, at)?;
        if root && u16_at(message, at)? == rtype::OPT {
            return Some(true);
        }
        at += 10 + usize::from(u16_at(message, at + 8)?);
    }
    Some(false)
}

/// Reads the question's name. Returns its labels, and where it ends.
#[inline]
fn read_name<'a>(
    message: &[u8],
    start: usize,
    name_buf: &'a mut NameBuf,
) -> Option<(Labels<'a>, usize)> {
    let (mut at, mut count) = (start, 0);
    loop {
        let len = usize::from(*message.get(at)?);
        if len == 0 {
            break;
        }
        // 255 bytes with the root label (RFC 1035 section 2.3.4); a pointer has no place in a
        // question.
        if len > 63 || at + 1 + len - start >= MAX_NAME || count >= MAX_LABELS {
            return None;
        }
        name_buf.starts[count] = (at - start) as u8;
        count += 1;
        at += 1 + len;
    }
    let name = &mut name_buf.name[..at + 1 - start];
    name.copy_from_slice(message.get(start..=at)?);
    // Length bytes are below 64 and so not letters: lower case leaves them alone.
    name.make_ascii_lowercase();
    Some((
        Labels {
            name,
            starts: &name_buf.starts[..count],
        },
        at + 1,
    ))
}

/// The IPv4 address that a message's first four labels seem to spell, for
/// [`crate::index::ip4::Ip4::prefetch`]. The answer does not depend on this guess.
#[inline]
pub fn guess_ipv4(message: &[u8]) -> Option<u32> {
    let mut at = HEADER;
    let mut addr = 0u32;
    for shift in [0, 8, 16, 24] {
        let len = usize::from(*message.get(at)?);
        if len > 3 {
            return None;
        }
        let digits = message.get(at + 1..at + 1 + len)?;
        let octet = digits.iter().fold(0u32, |n, d| {
            n.wrapping_mul(10)
                .wrapping_add(u32::from(d.wrapping_sub(b'0')))
        });
        addr |= (octet & 255) << shift;
        at += 1 + len;
    }
    Some(addr)
}

fn read_options(mut data: &[u8], edns: &mut Edns) -> Option<()> {
    while !data.is_empty() {
        let (code, len) = (u16_at(data, 0)?, usize::from(u16_at(data, 2)?));
        data = data.get(4 + len..)?;
        match code {
            3 => edns.nsid = true,
            11 => edns.keepalive = true,
            _ => {}
        }
    }
    Some(())
}
