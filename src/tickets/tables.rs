//! The tables of tickets, each with the types of its keys and values.
//!
//! A key on disk is the letter of its table, followed by the key. A value on disk is JSON. The
//! letters `m`, `w` and `l` are those of the tables of mail, in [`super::mail_rows`].

use std::marker::PhantomData;

use super::ticket::{NameException, Suspension, Ticket};
use crate::model::{Subject, Time};

/// A table with keys `K` and values `V`.
#[derive(Debug)]
pub struct TicketTable<K, V> {
    letter: u8,
    types: PhantomData<fn(K) -> V>,
}

/// Tickets, by number.
pub const TICKETS: &TicketTable<u64, Ticket> = &TicketTable::new(b't');
/// The numbers of tickets, by the hash of their secret.
pub const SECRETS: &TicketTable<[u8; 32], u64> = &TicketTable::new(b's');
/// The numbers of tickets, by the hash of the address of their release.
pub const RELEASES: &TicketTable<[u8; 32], u64> = &TicketTable::new(b'r');
/// The numbers of open tickets.
pub const OPEN: &TicketTable<u64, ()> = &TicketTable::new(b'o');
/// The numbers of tickets that wait for a person.
pub const WAITING: &TicketTable<u64, ()> = &TicketTable::new(b'q');
/// Tickets with a removal that some public server may not have yet.
pub const SPREADING: &TicketTable<u64, ()> = &TicketTable::new(b'p');
/// Tickets with a removal, until they are erased: whether their subject is listed again.
pub const REMOVED: &TicketTable<u64, ()> = &TicketTable::new(b'v');
/// The numbers of closed tickets, by the time at which they closed.
pub const CLOSED: &TicketTable<(Time, u64), ()> = &TicketTable::new(b'c');
/// Addresses that are not published because they have a name of their own.
pub const EXCEPTIONS: &TicketTable<Subject, NameException> = &TicketTable::new(b'e');
/// The suspensions of the last days.
pub const SUSPENSIONS: &TicketTable<(), Vec<Suspension>> = &TicketTable::new(b'd');
/// The tickets of each subject.
pub const SUBJECTS: &TicketTable<(Subject, u64), ()> = &TicketTable::new(b'j');
/// The number of the last erasure on request that was carried out here.
pub const LAST_ERASURE: &TicketTable<(), u64> = &TicketTable::new(b'x');
/// The last number of a ticket.
pub const LAST_NUMBER: &TicketTable<(), u64> = &TicketTable::new(b'n');

impl<K: TicketKey, V> TicketTable<K, V> {
    /// Defines the table with a letter.
    pub const fn new(letter: u8) -> TicketTable<K, V> {
        TicketTable {
            letter,
            types: PhantomData,
        }
    }

    /// Encodes a key as its bytes on disk.
    pub fn encode(&self, key: &K) -> Vec<u8> {
        let mut out = vec![self.letter];
        key.encode(&mut out);
        out
    }

    /// Returns the first bytes of all keys.
    pub fn encode_prefix(&self) -> Vec<u8> {
        vec![self.letter]
    }

    /// Decodes a key from its bytes on disk; `None` if they are not a key.
    pub fn decode(&self, bytes: &[u8]) -> Option<K> {
        K::decode(bytes.strip_prefix(&[self.letter])?)
    }
}

/// A key as bytes on disk.
pub trait TicketKey: Sized {
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Decodes the bytes; `None` if they are not valid.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl TicketKey for () {
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}

impl TicketKey for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }
}

impl TicketKey for Time {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn decode(bytes: &[u8]) -> Option<Time> {
        u64::decode(bytes).map(Time)
    }
}

impl TicketKey for [u8; 32] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self);
    }
    fn decode(bytes: &[u8]) -> Option<[u8; 32]> {
        bytes.try_into().ok()
    }
}

impl TicketKey for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

impl TicketKey for Subject {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.key());
    }
    fn decode(bytes: &[u8]) -> Option<Subject> {
        Subject::from_key(bytes)
    }
}

impl<A: TicketKey> TicketKey for (A, u64) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
    fn decode(bytes: &[u8]) -> Option<(A, u64)> {
        let (first, number) = bytes.split_last_chunk::<8>()?;
        Some((A::decode(first)?, u64::from_be_bytes(*number)))
    }
}
