//! Writes the records of a transfer into full messages with compressed names.

use crate::dns::wire::rtype;

/// The number of bytes at which a message is full: a compression pointer reaches no further (RFC
/// 1035 section 4.1.4).
pub const FULL: usize = 16 * 1024;
/// The most bytes of a message (RFC 1035 section 4.2.2) before a signature is appended.
const MAX_BYTES: usize = 65_535 - 1024;
/// The offset of the question's name in every message: the name of the zone.
const ORIGIN: u16 = 12;
/// The most pointers that a reader follows for a name, because some readers reject longer chains.
const MAX_CHAIN: u8 = 4;
/// The most labels of a name.
const MAX_LABELS: usize = 128;

/// Receives a complete message without its length, and may append a signature. Returns false to
/// stop the transfer.
pub type MessageSink<'t> = &'t mut dyn FnMut(&mut Vec<u8>) -> bool;

/// Writes records into messages, and passes these to a sink.
pub struct MessageWriter<'t> {
    /// The header and the question, with which every message begins.
    head: Vec<u8>,
    /// Our OPT record, if the query had one (RFC 6891 section 6.1.1).
    opt: Option<[u8; 11]>,
    message: Vec<u8>,
    count: u16,
    last: Name,
    sink: MessageSink<'t>,
    is_wanted: bool,
    /// Bytes of messages that were passed to the sink.
    pub bytes: u64,
    /// Records written.
    pub records: u64,
}

/// The owner that was written last, with the offsets of its labels in the name and in the message.
struct Name {
    wire: Vec<u8>,
    labels: usize,
    starts: [u8; MAX_LABELS],
    offsets: [u16; MAX_LABELS],
    /// How many pointers a reader follows from each label.
    chains: [u8; MAX_LABELS],
}

impl<'t> MessageWriter<'t> {
    /// Creates a writer of the answer to a query, whose question ends at `question_end`. `edns`
    /// adds our OPT record.
    pub fn new(
        query: &[u8],
        question_end: usize,
        edns: bool,
        sink: MessageSink<'t>,
    ) -> MessageWriter<'t> {
        let mut head = query[..question_end.min(query.len())].to_vec();
        // QR and AA are set; the opcode and RD are copied. Every message repeats the question,
        // which has the origin's name.
        head[2] = 0x84 | head[2] & 0x79;
        head[3] = 0;
        head[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        let [hi, lo] = (super::super::UDP_SIZE as u16).to_be_bytes();
        let opt = edns.then_some([0, 0, rtype::OPT as u8, hi, lo, 0, 0, 0, 0, 0, 0]);
        let last = Name {
            wire: Vec::with_capacity(256),
            labels: 0,
            starts: [0; MAX_LABELS],
            offsets: [0; MAX_LABELS],
            chains: [0; MAX_LABELS],
        };
        let message = Vec::with_capacity(FULL + 1024);
        let mut out = MessageWriter {
            head,
            opt,
            message,
            count: 0,
            last,
            sink,
            is_wanted: true,
            bytes: 0,
            records: 0,
        };
        out.begin();
        out
    }

    /// Whether the sink still accepts messages.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Adds a record. `owner` is relative to the origin, in wire form without a root label; `data`
    /// is not compressed.
    pub fn record(&mut self, owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) {
        if !self.is_wanted {
            return;
        }
        if self.message.len() >= FULL
            || self.message.len() + owner.len() + data.len() + 12 > MAX_BYTES
        {
            self.flush();
        }
        if self.last.labels > 0 && self.last.wire == owner {
            self.pointer(self.last.offsets[0]);
        } else if owner.is_empty() {
            self.pointer(ORIGIN);
        } else {
            self.name(owner);
        }
        let mut fixed = [0u8; 10];
        fixed[..2].copy_from_slice(&rtype.to_be_bytes());
        fixed[3] = 1;
        fixed[4..8].copy_from_slice(&ttl.to_be_bytes());
        fixed[8..].copy_from_slice(&(data.len() as u16).to_be_bytes());
        self.message.extend(fixed);
        self.message.extend(data);
        self.count += 1;
        self.records += 1;
    }

    /// Writes a compression pointer.
    fn pointer(&mut self, offset: u16) {
        self.message.extend((0xc000 | offset).to_be_bytes());
    }

    /// Writes a name: its labels up to those that it shares with the last one, then a pointer.
    fn name(&mut self, owner: &[u8]) {
        let mut starts = [0u8; MAX_LABELS];
        let (mut n, mut at) = (0, 0);
        while at < owner.len() && n < MAX_LABELS {
            starts[n] = at as u8;
            n += 1;
            at += usize::from(owner[at]) + 1;
        }
        let last = &mut self.last;
        let label = |wire: &'_ [u8], start: u8| {
            let start = usize::from(start);
            start..start + usize::from(wire[start]) + 1
        };
        let mut common = 0;
        while common < n && common < last.labels {
            let (a, b) = (
                label(owner, starts[n - 1 - common]),
                label(&last.wire, last.starts[last.labels - 1 - common]),
            );
            if owner[a] != last.wire[b] {
                break;
            }
            common += 1;
        }
        while common > 0 && last.chains[last.labels - common] >= MAX_CHAIN - 1 {
            common -= 1;
        }
        let new_labels = n - common;
        let shared = last.labels - common..last.labels;
        let (chain, offset) = if common > 0 {
            (last.chains[shared.start] + 1, last.offsets[shared.start])
        } else {
            (1, ORIGIN)
        };
        last.chains.copy_within(shared.clone(), new_labels);
        last.chains[..new_labels].fill(chain);
        last.offsets.copy_within(shared, new_labels);
        for (i, start) in starts[..new_labels].iter().enumerate() {
            // The offset is below 16 KiB, because a longer message is passed to the sink before the
            // next name.
            last.offsets[i] = (self.message.len() + usize::from(*start)) as u16;
        }
        let end = if common > 0 {
            usize::from(starts[new_labels])
        } else {
            owner.len()
        };
        last.wire.clear();
        last.wire.extend(owner);
        (last.starts, last.labels) = (starts, n);
        self.message.extend(&owner[..end]);
        self.pointer(offset);
    }

    fn begin(&mut self) {
        self.message.clear();
        self.message.extend(&self.head);
        (self.count, self.last.labels) = (0, 0);
    }

    fn flush(&mut self) {
        if self.count == 0 || !self.is_wanted {
            return;
        }
        self.message[6..8].copy_from_slice(&self.count.to_be_bytes());
        if let Some(opt) = self.opt {
            self.message.extend(opt);
            self.message[10..12].copy_from_slice(&[0, 1]);
        }
        self.is_wanted = (self.sink)(&mut self.message);
        self.bytes += self.message.len() as u64;
        self.begin();
    }

    /// Passes the last message to the sink. Returns false if the sink stopped before the end.
    pub fn finish(&mut self) -> bool {
        self.flush();
        self.is_wanted
    }
}
