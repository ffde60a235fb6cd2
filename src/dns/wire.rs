//! The wire format of messages (RFC 1035 section 4): constants, and helpers that read names and
//! numbers.

use std::ops::Range;

pub use crate::index::records::{MAX_NAME, rtype};

/// The length of a header, in bytes.
pub const HEADER: usize = 12;
/// The most labels of a name.
pub const MAX_LABELS: usize = 127;
/// Opcode NOTIFY (RFC 1996 section 3.1), at its position in the third byte of a header.
pub const OPCODE_NOTIFY: u8 = 4 << 3;

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    NotAuth = 9,
    BadVers = 16,
}

/// The end of the name at an offset. A compression pointer ends a name (RFC 1035 section 4.1.4).
/// Returns `None` if the message ends in the name, or if the name has too many labels or a label
/// that is too long.
#[inline]
pub fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..=MAX_LABELS {
        match *message.get(at)? {
            0 => return Some(at + 1),
            n if n < 64 => at += 1 + usize::from(n),
            n if n >= 0xc0 => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

/// The 16-bit number at an offset.
#[inline]
pub fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(
        message.get(at..at + 2)?.try_into().ok()?,
    ))
}

/// The header of a message with one question and no additional records: `flags` is its third byte.
pub fn header(id: [u8; 2], flags: u8, answers: u8, authorities: u8) -> [u8; HEADER] {
    [
        id[0],
        id[1],
        flags,
        0,
        0,
        1,
        0,
        answers,
        0,
        authorities,
        0,
        0,
    ]
}

/// A record without its owner (RFC 1035 section 4.1.3).
pub struct RecordHead {
    /// The type.
    pub rtype: u16,
    /// The class.
    pub class: u16,
    /// The time to live, in seconds.
    pub ttl: u32,
    /// The position of the data in the message.
    pub data: Range<usize>,
}

impl RecordHead {
    /// Reads the record whose owner ends at an offset; `None` if the message ends before it.
    #[inline]
    pub fn read(message: &[u8], at: usize) -> Option<RecordHead> {
        let [t0, t1, c0, c1, ttl @ .., l0, l1] = *message.get(at..)?.first_chunk::<10>()?;
        let end = at + 10 + usize::from(u16::from_be_bytes([l0, l1]));
        (end <= message.len()).then_some(RecordHead {
            rtype: u16::from_be_bytes([t0, t1]),
            class: u16::from_be_bytes([c0, c1]),
            ttl: u32::from_be_bytes(ttl),
            data: at + 10..end,
        })
    }
}

/// The four counts of a header: questions, answers, authorities, additional records.
#[inline]
pub fn counts(header: &[u8; HEADER]) -> [usize; 4] {
    [4, 6, 8, 10].map(|at| usize::from(u16::from_be_bytes([header[at], header[at + 1]])))
}
