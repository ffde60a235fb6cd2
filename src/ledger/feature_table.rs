//! Tables of features, each with the types of its keys and values.
//!
//! A key on disk is the letter of its table, followed by the parts of the key in the order that
//! scans need. A value on disk is JSON, because the rows are few and long-lived, and later versions
//! add fields.

use std::{marker::PhantomData, net::IpAddr};

use super::feature_rows::FeatureNotice;
use crate::{
    model::{Subject, Time},
    store::schema::FeatureFamily,
};

/// A feature that has rows in a family of its own.
pub trait Feature {
    /// The family.
    const FAMILY: FeatureFamily;
    /// An event of the feature, of which webhooks are notified.
    type Notice: Into<FeatureNotice>;
}

/// A table of the feature `F` with keys `K` and values `V`.
#[derive(Debug)]
pub struct FeatureTable<F, K, V> {
    letter: u8,
    types: PhantomData<fn(F, K) -> V>,
}

impl<F, K: KeyPart, V> FeatureTable<F, K, V> {
    /// Defines the table with a letter.
    pub const fn new(letter: u8) -> FeatureTable<F, K, V> {
        FeatureTable {
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

    /// Returns the range of all rows.
    pub fn all(&self) -> KeyRange<K> {
        KeyRange {
            prefix: vec![self.letter],
            keys: PhantomData,
        }
    }
}

impl<F, A: KeyPart, V> FeatureTable<F, (A, u64), V> {
    /// Returns the range of the rows whose keys have the same first part. If parts have no fixed
    /// length, keys whose first part only begins with it are in the range too.
    pub fn of(&self, first: &A) -> KeyRange<(A, u64)> {
        let mut out = self.all();
        first.encode(&mut out.prefix);
        out
    }
}

/// The rows of a table whose keys begin with the same bytes.
#[derive(Debug)]
pub struct KeyRange<K> {
    /// The first bytes of the keys on disk.
    pub prefix: Vec<u8>,
    keys: PhantomData<fn() -> K>,
}

impl<K: KeyPart> KeyRange<K> {
    /// Decodes a key of the range from its bytes on disk; `None` if they are not a key.
    pub fn decode(&self, bytes: &[u8]) -> Option<K> {
        K::decode(bytes.get(1..)?)
    }
}

/// A key, or a part of it, as bytes on disk.
pub trait KeyPart: Sized {
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Decodes the bytes; `None` if they are not valid.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl KeyPart for () {
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}

impl KeyPart for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }
}

impl KeyPart for Time {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn decode(bytes: &[u8]) -> Option<Time> {
        u64::decode(bytes).map(Time)
    }
}

/// An address has 16 bytes; an IPv4 address is mapped to IPv6.
impl KeyPart for IpAddr {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(match self {
            IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
            IpAddr::V6(a) => a.octets(),
        });
    }
    fn decode(bytes: &[u8]) -> Option<IpAddr> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        Some(IpAddr::from(bytes).to_canonical())
    }
}

impl<const N: usize> KeyPart for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self);
    }
    fn decode(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
}

impl KeyPart for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

impl KeyPart for Subject {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.key());
    }
    fn decode(bytes: &[u8]) -> Option<Subject> {
        Subject::from_key(bytes)
    }
}

impl<A: KeyPart> KeyPart for (A, u64) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
    fn decode(bytes: &[u8]) -> Option<(A, u64)> {
        let (first, number) = bytes.split_last_chunk::<8>()?;
        Some((A::decode(first)?, u64::from_be_bytes(*number)))
    }
}
