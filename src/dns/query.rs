//! The parser of queries: header, question and EDNS.

use super::{
    PLAIN_SIZE, UDP_SIZE,
    wire::{HEADER, MAX_LABELS, MAX_NAME, Rcode, counts, rtype, skip_name, u16_at},
};

/// The most records of a query; one with more is malformed.
const MAX_RECORDS: usize = 16;

/// Why a message is not answered as a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryError {
    /// It gets no reply, since it is a reply itself, or too short for a header.
    Drop,
    /// It gets a reply with an RCODE and no records.
    Reply {
        /// The RCODE of the reply.
        rcode: Rcode,
        /// The end of the question; 0 if it cannot be read.
        question_end: usize,
        /// Whether the message has an OPT record, so that the reply has one (RFC 6891 section
        /// 6.1.1).
        edns: bool,
    },
}

/// EDNS of a query (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The sender's buffer size.
    pub size: u16,
    /// The EDNS version of the sender.
    pub version: u8,
    /// Whether the query requests the NSID (RFC 5001).
    pub nsid: bool,
    /// Whether the query has the TCP keepalive option (RFC 7828).
    pub keepalive: bool,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The whole message.
    pub message: &'a [u8],
    /// The end of the question.
    pub question_end: usize,
    /// The type of the question.
    pub qtype: u16,
    /// The class of the question.
    pub qclass: u16,
    /// The EDNS of the query, if it has any.
    pub edns: Option<Edns>,
    /// Whether the query has a TSIG record.
    pub signed: bool,
    /// The name of the question.
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

/// The name of a query in the form for the look-up.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The name in wire form and lower case, with the root label.
    pub name: &'a [u8],
    /// The offsets of the labels.
    pub starts: &'a [u8],
}

impl<'a> Query<'a> {
    /// Parses a message. It must have one question (RFC 9619) with an uncompressed name; an OPT
    /// record may be anywhere after it. The name is copied to `name_buf` in lower case.
    #[inline]
    pub fn parse(message: &'a [u8], name_buf: &'a mut NameBuf) -> Result<Query<'a>, QueryError> {
        let header: &[u8; HEADER] = message.first_chunk().ok_or(QueryError::Drop)?;
        if header[2] & 0x80 != 0 {
            return Err(QueryError::Drop); // a reply: two servers could answer each other without end
        }
        let rcode = if header[2] & 0x78 != 0 {
            Rcode::NotImp
        } else {
            Rcode::FormErr
        };
        if header[4..6] != [0, 1] {
            return Err(QueryError::reply(rcode, header, message, 0));
        }
        let formerr = QueryError::Reply {
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
            return Err(QueryError::reply(rcode, header, message, q.question_end));
        }
        if header[6..12] != [0; 6] && q.read_records(header).is_none() {
            return Err(QueryError::reply(rcode, header, message, q.question_end));
        }
        Ok(q)
    }

    /// Reads the records after the question. Returns `None` if the message is malformed.
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
                // There may be one, at the root, in the additional section (RFC 6891 section
                // 6.1.1).
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

    /// The longest reply over UDP, in bytes: the smaller of both buffer sizes, or 512 without EDNS.
    pub fn udp_limit(&self) -> usize {
        self.edns.map_or(PLAIN_SIZE, |e| {
            usize::from(e.size).clamp(PLAIN_SIZE, UDP_SIZE)
        })
    }
}

impl QueryError {
    /// A reply without records, and with an OPT record if the message has one that can be found.
    #[cold]
    fn reply(
        rcode: Rcode,
        header: &[u8; HEADER],
        message: &[u8],
        question_end: usize,
    ) -> QueryError {
        let edns = find_opt(header, message).unwrap_or(false);
        QueryError::Reply {
            rcode,
            question_end,
            edns,
        }
    }
}

/// Whether the message has an OPT record, whatever else is wrong with it. Returns `None` if its
/// records cannot be read.
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

/// Reads the question's name. Returns its labels and its end.
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
        // A name has at most 255 bytes with the root label (RFC 1035 section 2.3.4), and is not
        // compressed in a question.
        if len > 63 || at + 1 + len - start >= MAX_NAME || count >= MAX_LABELS {
            return None;
        }
        name_buf.starts[count] = (at - start) as u8;
        count += 1;
        at += 1 + len;
    }
    let name = &mut name_buf.name[..at + 1 - start];
    name.copy_from_slice(message.get(start..=at)?);
    // Length bytes are below 64, and therefore not changed as letters.
    name.make_ascii_lowercase();
    Some((
        Labels {
            name,
            starts: &name_buf.starts[..count],
        },
        at + 1,
    ))
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
