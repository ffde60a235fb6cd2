//! Encodes an answer. The question is copied from the query, so that its letter case is kept.

use super::{
    Answer, MAX_NSID, Rcode, UDP_SIZE,
    answer::AnswerSection,
    query::Query,
    wire::{HEADER, rtype},
};
use crate::index::{
    Snapshot, ZoneView,
    delegation::is_address,
    records::{EXCLUDED_HINFO, Text},
    render::{codes, text_ttl, texts},
    zones::{Rr, StaticRecords},
};

/// The length of our OPT record without options, in bytes.
const OPT_BYTES: usize = 11;
/// How long a TCP connection may be idle, in units of 100 ms, as the keepalive option announces it
/// (RFC 7828).
pub const IDLE_DECISECONDS: u16 = 100;

/// Writes into a buffer, and records whether something did not fit.
struct Out<'a> {
    buf: &'a mut [u8],
    len: usize,
    full: bool,
}

impl<'a> Out<'a> {
    /// Continues a message of `len` bytes.
    #[inline]
    fn new(buf: &'a mut [u8], len: usize) -> Out<'a> {
        let full = false;
        Out { buf, len, full }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.buf.get_mut(self.len..end) {
            Some(to) => {
                to.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.full = true,
        }
    }

    fn u16(&mut self, n: u16) {
        self.put(&n.to_be_bytes());
    }

    /// Whether a record that [`Out::rr`] wrote after `start` has this data.
    fn has(&self, start: usize, data: &[u8]) -> bool {
        let mut at = start;
        while let Some([.., a, b]) = self.buf[..self.len].get(at..at + 12) {
            let end = at + 12 + usize::from(u16::from_be_bytes([*a, *b]));
            if self.buf.get(at + 12..end) == Some(data) {
                return true;
            }
            at = end;
        }
        false
    }

    /// Writes a record: owner (a pointer), type, class IN, TTL and data.
    fn rr(&mut self, owner: u16, rtype: u16, ttl: u32, data: &[u8]) {
        let mut head = [0u8; 12];
        head[..2].copy_from_slice(&(0xc000 | owner).to_be_bytes());
        head[2..4].copy_from_slice(&rtype.to_be_bytes());
        head[5] = 1;
        head[6..10].copy_from_slice(&ttl.to_be_bytes());
        head[10..].copy_from_slice(&(data.len() as u16).to_be_bytes());
        self.put(&head);
        self.put(data);
    }
}

/// Writes the error reply to a message that is not a valid query. The reply has the question if it
/// could be read (`question_end` is the end of the question, or 0), and an OPT record if the
/// message has one. Returns the length of the reply; 0 if it does not fit.
pub fn error_reply(
    message: &[u8],
    rcode: Rcode,
    question_end: usize,
    edns: bool,
    out: &mut [u8],
) -> usize {
    let Some(header) = message.first_chunk::<HEADER>() else {
        return 0;
    };
    let mut o = Out::new(out, 0);
    let question = message.get(HEADER..question_end).unwrap_or(&[]);
    // The opcode and RD are copied (RFC 8906 section 3.1.4).
    o.put(&[header[0], header[1], 0x80 | header[2] & 0x79, rcode as u8]);
    let (questions, additional) = (u8::from(!question.is_empty()), u8::from(edns));
    o.put(&[0, questions, 0, 0, 0, 0, 0, additional]);
    o.put(question);
    if edns {
        Options::default().put(&mut o, rcode);
    }
    if o.full { 0 } else { o.len }
}

/// Writes an answer. Returns its length (0 if not even the question fits), and whether it was
/// truncated (TC).
pub fn encode(
    snapshot: &Snapshot,
    query: &Query,
    answer: &Answer,
    out: &mut [u8],
) -> (usize, bool) {
    let Some(left) = out.len().checked_sub(query.question_end) else {
        return (0, false);
    };
    let options = Options::fit(snapshot, query, answer, left);
    let available = out.len() - options.map_or(0, |o| OPT_BYTES + o.len());
    let mut o = Out::new(&mut out[..available], 0);
    o.put(&query.message[..query.question_end]);
    let owner = HEADER as u16;
    let origin = owner + answer.origin_at as u16;
    let (mut an, mut ns, mut glue) = (0u16, 0u16, 0u16);
    if let Some(zone) = answer.zone.map(|z| &snapshot.zones.all()[z]) {
        an = body(&mut o, snapshot, zone, answer, owner, origin);
        if let Some(ttl) = answer.negative {
            soa(&mut o, snapshot, zone, answer, origin, origin, ttl);
            ns = 1;
        }
        match answer.body {
            AnswerSection::Static(fixed, rtype::NS) => {
                glue = additional(&mut o, zone, fixed, origin, false);
            }
            AnswerSection::Referral(fixed, at) => {
                for Rr { rtype, ttl, data } in fixed.rrs.iter().filter(|r| r.rtype == rtype::NS) {
                    o.rr(owner + at as u16, *rtype, *ttl, data);
                    ns += 1;
                }
                // A resolver cannot continue without these addresses: either all fit, or TC is set
                // (RFC 9471 section 3).
                glue = additional(&mut o, zone, fixed, origin, true);
            }
            _ => {}
        }
    }
    let truncated = o.full;
    let mut len = o.len;
    if truncated {
        // Only the question and TC are sent, so that the client retries over TCP (RFC 2181 section
        // 9).
        (an, ns, glue, len) = (0, 0, 0, query.question_end);
    }
    let mut ar = glue;
    if let Some(options) = options {
        let mut o = Out::new(out, len);
        options.put(&mut o, answer.rcode);
        len = o.len;
        ar += 1;
    }
    let flags = 0x80
        | query.message[2] & 0x01
        | if answer.authoritative() { 0x04 } else { 0 }
        | if truncated { 0x02 } else { 0 };
    let header = &mut out[2..HEADER];
    header[0] = flags;
    header[1] = answer.rcode as u8 & 15;
    header[2..4].copy_from_slice(&[0, 1]);
    header[4..6].copy_from_slice(&u16::to_be_bytes(an));
    header[6..8].copy_from_slice(&u16::to_be_bytes(ns));
    header[8..10].copy_from_slice(&u16::to_be_bytes(ar));
    (len, truncated)
}

/// Writes the answer section. Returns the number of its records.
fn body(
    o: &mut Out,
    snapshot: &Snapshot,
    zone: &ZoneView,
    answer: &Answer,
    owner: u16,
    origin: u16,
) -> u16 {
    let ttl = zone.ttls[0];
    let mut n = 0;
    match &answer.body {
        AnswerSection::None | AnswerSection::Referral(..) => {}
        AnswerSection::Codes(listing) => {
            let rrset = codes(zone, listing);
            for code in rrset.codes() {
                o.rr(owner, rtype::A, rrset.ttl, code);
                n += 1;
            }
        }
        AnswerSection::Excluded => {
            o.rr(owner, rtype::HINFO, ttl, EXCLUDED_HINFO);
            n = 1;
        }
        AnswerSection::Texts(listing) => {
            let start = o.len;
            let ttl = text_ttl(&snapshot.tables.interned, zone, listing);
            for (template, item) in texts(&snapshot.tables.interned, zone, listing) {
                let mut data = Text::default();
                data.fill(template, |out| listing.write_subject(item, out));
                // Two reasons can have the same text, but an RRset has each record once (RFC 2181
                // section 5).
                if !o.has(start, data.done()) {
                    o.rr(owner, rtype::TXT, ttl, data.done());
                    n += 1;
                }
            }
        }
        AnswerSection::Static(fixed, wanted) => {
            for Rr { rtype, ttl, data } in fixed.rrs.iter().filter(|r| r.rtype == *wanted) {
                o.rr(owner, *rtype, (*ttl).min(answer.max_ttl), data);
                n += 1;
            }
        }
        AnswerSection::Soa | AnswerSection::Transfer => {
            // Mirrors use the TTL of the SOA for negative answers as well (RFC 2308 section 5).
            soa(o, snapshot, zone, answer, owner, origin, zone.soa_ttl());
            n = 1;
        }
        AnswerSection::RefusedCode(code) => {
            o.rr(owner, rtype::A, zone.ttls[1], code);
            n = 1;
        }
    }
    n
}

/// Writes the addresses of the name servers in the zone. Returns the number of records. RRsets that
/// do not fit are left out, or, if they are `required`, make the answer truncated.
fn additional(
    o: &mut Out,
    zone: &ZoneView,
    fixed: &StaticRecords,
    origin: u16,
    required: bool,
) -> u16 {
    let mut n = 0;
    for server in fixed.rrs.iter().filter(|r| r.rtype == rtype::NS) {
        let Some((labels, addresses)) = zone.name_server(&server.data) else {
            continue;
        };
        for kind in [rtype::A, rtype::AAAA] {
            let (start, mut count) = (o.len, 0);
            for rr in addresses
                .rrs
                .iter()
                .filter(|r| is_address(r) && r.rtype == kind)
            {
                // The labels below the origin, then a pointer to it.
                o.put(labels);
                o.rr(origin, rr.rtype, rr.ttl, &rr.data);
                count += 1;
            }
            if o.full && !required {
                (o.len, o.full) = (start, false);
            } else {
                n += count;
            }
        }
    }
    n
}

/// Writes the SOA. `owner` and `origin` are offsets in the question.
fn soa(
    o: &mut Out,
    snapshot: &Snapshot,
    zone: &ZoneView,
    answer: &Answer,
    owner: u16,
    origin: u16,
    ttl: u32,
) {
    let serial = answer
        .zone
        .and_then(|z| snapshot.serials.get(z))
        .map_or(zone.spec.serial, |s| s.0);
    let names = &zone.soa_names;
    // The names are long and in nearly every reply, so the labels that they share with the origin
    // are written as a pointer to the question.
    let mut head = [0u8; 12];
    head[..2].copy_from_slice(&(0xc000 | owner).to_be_bytes());
    head[2..6].copy_from_slice(&[0, 6, 0, 1]);
    head[6..10].copy_from_slice(&ttl.to_be_bytes());
    o.put(&head);
    let start = o.len;
    for (part, shared) in &zone.soa_parts {
        o.put(&names[part.clone()]);
        if let Some(at) = shared {
            o.u16(0xc000 | (origin + at));
        }
    }
    let spec = &zone.spec;
    for n in [
        serial,
        spec.refresh.0 as u32,
        spec.retry.0 as u32,
        spec.expire.0 as u32,
        spec.minimum().0 as u32,
    ] {
        o.put(&n.to_be_bytes());
    }
    if !o.full {
        let len = (o.len - start) as u16;
        o.buf[start - 2..start].copy_from_slice(&len.to_be_bytes());
    }
}

/// The options of our OPT record.
#[derive(Clone, Copy, Default)]
struct Options<'a> {
    nsid: &'a [u8],
    keepalive: bool,
    ede: Option<(u16, &'a str)>,
}

impl<'a> Options<'a> {
    /// The options that fit in `available` bytes: the NSID is dropped first, then the text of the
    /// extended error, then the rest. `None` if not even an OPT record without options fits.
    fn fit(
        snapshot: &'a Snapshot,
        query: &Query,
        answer: &Answer<'a>,
        available: usize,
    ) -> Option<Options<'a>> {
        let edns = query.edns?;
        let nsid = snapshot.nsid.as_bytes();
        let nsid = if edns.nsid {
            &nsid[..nsid.len().min(MAX_NSID)]
        } else {
            &[]
        };
        let all = Options {
            nsid,
            keepalive: edns.keepalive,
            ede: answer.ede,
        };
        let without = Options { nsid: &[], ..all };
        let code_only = Options {
            ede: all.ede.map(|(code, _)| (code, "")),
            ..without
        };
        [all, without, code_only, Options::default()]
            .into_iter()
            .find(|o| OPT_BYTES + o.len() <= available)
    }

    fn len(&self) -> usize {
        let nsid = if self.nsid.is_empty() {
            0
        } else {
            4 + self.nsid.len()
        };
        nsid + if self.keepalive { 6 } else { 0 } + self.ede.map_or(0, |(_, text)| 6 + text.len())
    }

    /// Writes our OPT record: our buffer size, version 0, no flags (RFC 6891 section 6.1).
    fn put(&self, o: &mut Out, rcode: Rcode) {
        o.put(&[0, 0, rtype::OPT as u8]);
        o.u16(UDP_SIZE as u16);
        o.put(&[(rcode as u16 >> 4) as u8, 0, 0, 0]);
        o.u16(self.len() as u16);
        if !self.nsid.is_empty() {
            o.u16(3);
            o.u16(self.nsid.len() as u16);
            o.put(self.nsid);
        }
        if self.keepalive {
            o.put(&[0, 11, 0, 2]);
            o.u16(IDLE_DECISECONDS);
        }
        if let Some((code, text)) = self.ede {
            o.u16(15);
            o.u16(2 + text.len() as u16);
            o.u16(code);
            o.put(text.as_bytes());
        }
    }
}
