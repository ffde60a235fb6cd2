//! An answer to its bytes. The question is copied as it was asked, so that its letter case comes back.

use super::{
    Answer, Rcode, UDP_SIZE,
    answer::{Body, texts},
    query::Query,
};
use crate::index::{
    Snapshot, ZoneView,
    zones::{Rr, rtype},
};

/// The length of a header.
const HEADER: usize = 12;
/// The most an OPT record of ours takes beside NSID and an extended error's text.
const OPT: usize = 11;
/// How long a TCP connection may idle, in units of 100 ms, as told by the keepalive option (RFC 7828).
pub const IDLE_DECISECONDS: u16 = 100;

/// Writes into a buffer and remembers if it did not fit.
struct Out<'a> {
    buf: &'a mut [u8],
    len: usize,
    full: bool,
}

impl Out<'_> {
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

    /// Owner (a pointer), type, class IN, TTL and data.
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

/// A reply without any section but, where it can be read, the question: for a message that is no query for us.
pub fn bare(message: &[u8], rcode: Rcode, out: &mut [u8]) -> usize {
    let (Some(header), Some(to)) = (message.first_chunk::<HEADER>(), out.first_chunk_mut::<HEADER>()) else { return 0 };
    *to = *header;
    to[2] = 0x80 | header[2] & 0x79; // the opcode and RD come back (RFC 8906 section 3.1.4)
    to[3] = rcode as u8;
    to[4..].fill(0);
    HEADER
}

/// Writes an answer; tells its length and whether it was cut short (TC).
pub fn encode(snapshot: &Snapshot, query: &Query, answer: &Answer, out: &mut [u8]) -> (usize, bool) {
    let reserved = query.edns.map_or(0, |_| opt_len(snapshot, query, answer));
    let room = out.len().saturating_sub(reserved);
    let mut o = Out { buf: &mut out[..room], len: 0, full: false };
    o.put(&query.message[..query.question_end]);
    let owner = HEADER as u16;
    let origin = owner + answer.origin_at as u16;
    let (mut an, mut ns) = (0u16, 0u16);
    if let Some(zone) = answer.zone.map(|z| &snapshot.zones.all()[z]) {
        an = body(&mut o, snapshot, zone, answer, owner, origin);
        if let Some(ttl) = answer.negative {
            soa(&mut o, snapshot, zone, answer, origin, ttl);
            ns = 1;
        }
    }
    let truncated = o.full;
    let mut len = o.len;
    if truncated {
        // Nothing but the question and TC: a client has to come again over TCP (RFC 2181 section 9).
        (an, ns, len) = (0, 0, query.question_end);
    }
    let mut ar = 0;
    if query.edns.is_some() {
        let mut o = Out { buf: out, len, full: false };
        opt(&mut o, snapshot, query, answer);
        len = o.len;
        ar = 1;
    }
    let flags = 0x80 | query.message[2] & 0x01 | if answer.authoritative() { 0x04 } else { 0 } | if truncated { 0x02 } else { 0 };
    let header = &mut out[2..HEADER];
    header[0] = flags;
    header[1] = answer.rcode as u8 & 15;
    header[2..4].copy_from_slice(&[0, 1]);
    header[4..6].copy_from_slice(&u16::to_be_bytes(an));
    header[6..8].copy_from_slice(&u16::to_be_bytes(ns));
    header[8..10].copy_from_slice(&u16::to_be_bytes(ar));
    (len, truncated)
}

/// The answer section; tells how many records it has.
fn body(o: &mut Out, snapshot: &Snapshot, zone: &ZoneView, answer: &Answer, owner: u16, origin: u16) -> u16 {
    let ttl = zone.ttls[0];
    let mut n = 0;
    match &answer.body {
        Body::None => {}
        Body::Codes(listing) => {
            let mut given = [[0u8; 4]; 64];
            for p in &zone.publish {
                if listing.item(p.reason).is_some() && !given[..usize::from(n)].contains(&p.code) {
                    given[usize::from(n)] = p.code;
                    o.rr(owner, rtype::A, ttl, &p.code);
                    n += 1;
                }
            }
        }
        Body::Texts(listing) => {
            for (template, item) in texts(snapshot, zone, listing) {
                let mut data = Text { buf: [0; 256], len: 1 };
                data.fill(template, |out| listing.write_subject(item, out));
                o.rr(owner, rtype::TXT, ttl, data.done());
                n += 1;
            }
        }
        Body::Fixed(fixed, wanted) => {
            for Rr { rtype, ttl, data } in fixed.rrs.iter().filter(|r| r.rtype == *wanted) {
                o.rr(owner, *rtype, *ttl, data);
                n += 1;
            }
        }
        Body::Soa => {
            soa(o, snapshot, zone, answer, origin, ttl);
            n = 1;
        }
        Body::RefusedCode(code) => {
            o.rr(owner, rtype::A, zone.ttls[1], code);
            n = 1;
        }
    }
    n
}

/// The data of a zone's SOA.
pub fn soa_data(zone: &ZoneView, serial: u32) -> ([u8; 540], usize) {
    let mut data = [0u8; 540];
    let names = zone.soa_names.len();
    data[..names].copy_from_slice(&zone.soa_names);
    let spec = &zone.spec;
    let numbers = [serial, spec.refresh.0 as u32, spec.retry.0 as u32, spec.expire.0 as u32, spec.minimum().0 as u32];
    for (i, n) in numbers.iter().enumerate() {
        data[names + 4 * i..names + 4 * i + 4].copy_from_slice(&n.to_be_bytes());
    }
    (data, names + 20)
}

fn soa(o: &mut Out, snapshot: &Snapshot, zone: &ZoneView, answer: &Answer, origin: u16, ttl: u32) {
    let serial = answer.zone.and_then(|z| snapshot.serials.get(z)).map_or(zone.spec.serial, |s| s.0);
    let names = &zone.soa_names;
    // The names are long and in nearly every reply: what they share with the origin is a pointer to the question.
    let mut head = [0u8; 12];
    head[..2].copy_from_slice(&(0xc000 | origin).to_be_bytes());
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
    for n in [serial, spec.refresh.0 as u32, spec.retry.0 as u32, spec.expire.0 as u32, spec.minimum().0 as u32] {
        o.put(&n.to_be_bytes());
    }
    if !o.full {
        let len = (o.len - start) as u16;
        o.buf[start - 2..start].copy_from_slice(&len.to_be_bytes());
    }
}

fn opt_len(snapshot: &Snapshot, query: &Query, answer: &Answer) -> usize {
    let nsid = query.edns.is_some_and(|e| e.nsid) && !snapshot.nsid.is_empty();
    let nsid = if nsid { 4 + snapshot.nsid.len() } else { 0 };
    let keepalive = if query.edns.is_some_and(|e| e.keepalive) { 6 } else { 0 };
    OPT + nsid + keepalive + answer.ede.map_or(0, |(_, text)| 6 + text.len())
}

/// Our OPT record: our own size, version 0, no flags (RFC 6891 section 6.1).
fn opt(o: &mut Out, snapshot: &Snapshot, query: &Query, answer: &Answer) {
    o.put(&[0, 0, rtype::OPT as u8]);
    o.u16(UDP_SIZE as u16);
    o.put(&[(answer.rcode as u16 >> 4) as u8, 0, 0, 0]);
    o.u16((opt_len(snapshot, query, answer) - OPT) as u16);
    if query.edns.is_some_and(|e| e.nsid) && !snapshot.nsid.is_empty() {
        o.u16(3);
        o.u16(snapshot.nsid.len() as u16);
        o.put(snapshot.nsid.as_bytes());
    }
    if query.edns.is_some_and(|e| e.keepalive) {
        o.put(&[0, 11, 0, 2]);
        o.u16(IDLE_DECISECONDS);
    }
    if let Some((code, text)) = answer.ede {
        o.u16(15);
        o.u16(2 + text.len() as u16);
        o.u16(code);
        o.put(text.as_bytes());
    }
}

/// TXT data in the making: one string of at most 255 printable bytes.
struct Text {
    buf: [u8; 256],
    len: usize,
}

impl Text {
    fn push(&mut self, b: u8) {
        if self.len < 256 {
            self.buf[self.len] = if (32..127).contains(&b) { b } else { b'?' };
            self.len += 1;
        }
    }

    /// The template with `$` replaced by the subject, and `$$` by `$`.
    fn fill(&mut self, template: &str, subject: impl Fn(&mut dyn std::fmt::Write) -> std::fmt::Result) {
        let mut bytes = template.bytes().peekable();
        while let Some(b) = bytes.next() {
            if b == b'$' && bytes.next_if_eq(&b'$').is_none() {
                // Writing here never fails: what is too long is cut.
                let _ = subject(self);
            } else {
                self.push(b);
            }
        }
    }

    fn done(&mut self) -> &[u8] {
        self.buf[0] = (self.len - 1) as u8;
        &self.buf[..self.len]
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        s.bytes().for_each(|b| self.push(b));
        Ok(())
    }
}
