//! The values of sorted runs: addresses, prefixes and names as keys that have the order of a
//! comparison.

use std::io;

use crate::model::{Domain, Scope};

/// A value of a run.
pub(super) trait RunValue: Ord + Clone + Default {
    /// The values that are not in a run yet.
    type Buffer: RunBuffer<Self>;
    /// Writes it as its difference from the value before it.
    fn write(&self, previous: &Self, out: &mut Vec<u8>);
    /// Replaces the value by the one after it, and takes that one's bytes. `None` if the bytes are
    /// not those of a value.
    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()>;
}

/// Values in memory, to be sorted.
pub(super) trait RunBuffer<T>: Default {
    /// Adds a value.
    fn push(&mut self, value: &T);
    /// The memory that the values use, in bytes.
    fn bytes(&self) -> usize;
    /// Visits the values in order, and removes them.
    ///
    /// # Errors
    ///
    /// That of the visitor.
    fn drain_sorted(&mut self, visit: &mut dyn FnMut(&T) -> io::Result<()>) -> io::Result<()>;
}

impl<T: Ord + Copy> RunBuffer<T> for Vec<T> {
    fn push(&mut self, value: &T) {
        Vec::push(self, *value);
    }

    fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    fn drain_sorted(&mut self, visit: &mut dyn FnMut(&T) -> io::Result<()>) -> io::Result<()> {
        self.sort_unstable();
        self.iter().try_for_each(visit)?;
        self.clear();
        Ok(())
    }
}

/// Writes a number in as few bytes as it needs (LEB128).
fn write_number(mut n: u64, out: &mut Vec<u8>) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes.split_off_first()?;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// An IPv4 address or prefix of a list, with its mark ([`Mark`](super::entries::Mark)), as one
/// number: the first address, and below it the mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key4(pub(super) u64);

impl RunValue for Key4 {
    type Buffer = Vec<Key4>;

    fn write(&self, previous: &Key4, out: &mut Vec<u8>) {
        write_number(self.0.wrapping_sub(previous.0), out);
    }

    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()> {
        self.0 = self.0.wrapping_add(read_number(bytes)?);
        Some(())
    }
}

/// An IPv6 address or prefix of a list: the first address, and the mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key6(pub(super) u128, pub(super) u16);

impl RunValue for Key6 {
    type Buffer = Vec<Key6>;

    fn write(&self, previous: &Key6, out: &mut Vec<u8>) {
        let difference = self.0.wrapping_sub(previous.0);
        // Most entries are networks, whose differences end in many zeros.
        let zeros = difference.trailing_zeros() % u128::BITS;
        out.push(zeros as u8);
        let shifted = difference >> zeros;
        write_number(shifted as u64, out);
        write_number((shifted >> 64) as u64, out);
        out.extend(self.1.to_be_bytes());
    }

    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let zeros = *bytes.split_off_first()?;
        let low = u128::from(read_number(bytes)?);
        let shifted = u128::from(read_number(bytes)?) << 64 | low;
        let difference = shifted.checked_shl(u32::from(zeros))?;
        self.0 = self.0.wrapping_add(difference);
        self.1 = u16::from_be_bytes(bytes.split_off(..2)?.try_into().ok()?);
        Some(())
    }
}

/// The scopes of a name by their numbers.
pub(super) const SCOPES: [Scope; 3] = [Scope::Name, Scope::Below, Scope::Tree];

/// A name of a list: its labels from the top-level domain on, each with a zero byte behind it, and
/// then its scope and whether it is an exclusion, in a byte that is less than any of a label. At
/// most 255 bytes.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameKey(Vec<u8>);

impl Clone for NameKey {
    fn clone(&self) -> NameKey {
        NameKey(self.0.clone())
    }

    /// Keeps the memory of the value that is replaced.
    fn clone_from(&mut self, source: &NameKey) {
        self.0.clone_from(&source.0);
    }
}

impl NameKey {
    /// Replaces the key by that of a domain.
    pub(super) fn set(&mut self, domain: &Domain, is_exclusion: bool) {
        self.0.clear();
        for label in domain.name().rsplit('.') {
            self.0.extend(label.as_bytes());
            self.0.push(0);
        }
        let scope = 1 + domain.scope() as u8;
        self.0.push(scope << 1 | u8::from(is_exclusion));
    }

    /// The labels, each with a zero byte behind it.
    pub(super) fn labels(&self) -> &[u8] {
        self.0.split_last().map_or(&[], |(_, labels)| labels)
    }

    /// The number of the scope in [`SCOPES`], and whether the name is an exclusion.
    pub(super) fn mark(&self) -> (usize, bool) {
        let mark = self.0.last().map_or(2, |mark| *mark);
        let scope = usize::from(mark >> 1).saturating_sub(1);
        (scope.min(SCOPES.len() - 1), mark & 1 == 1)
    }

    /// A key of any bytes.
    #[cfg(test)]
    pub(super) fn of_bytes(bytes: &[u8]) -> NameKey {
        NameKey(bytes.into())
    }
}

impl RunValue for NameKey {
    type Buffer = NameBuffer;

    fn write(&self, previous: &NameKey, out: &mut Vec<u8>) {
        let shared = self.0.iter().zip(&previous.0).take_while(|(a, b)| a == b);
        let shared = shared.count();
        out.extend([shared as u8, (self.0.len() - shared) as u8]);
        out.extend(&self.0[shared..]);
    }

    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let shared = usize::from(*bytes.split_off_first()?);
        let more = usize::from(*bytes.split_off_first()?);
        self.0.truncate(shared);
        self.0.extend_from_slice(bytes.split_off(..more)?);
        Some(())
    }
}

/// A name of a [`NameBuffer`].
#[derive(Debug, Clone, Copy)]
struct BufferedName {
    /// The first bytes, by which most names differ, as numbers that have their order.
    head: [u64; 2],
    /// Where the bytes begin.
    start: u32,
    len: u8,
}

/// Names in memory: their bytes one after the other, so that none has memory of its own.
#[derive(Debug, Default)]
pub(super) struct NameBuffer {
    names: Vec<BufferedName>,
    bytes: Vec<u8>,
}

/// The first bytes of a key as numbers; bytes that it does not have are zero.
fn head(key: &[u8]) -> [u64; 2] {
    let mut head = [0; 16];
    let len = key.len().min(head.len());
    head[..len].copy_from_slice(&key[..len]);
    let head = u128::from_be_bytes(head);
    [(head >> 64) as u64, head as u64]
}

impl RunBuffer<NameKey> for NameBuffer {
    fn push(&mut self, NameKey(key): &NameKey) {
        self.names.push(BufferedName {
            head: head(key),
            start: self.bytes.len() as u32,
            len: key.len() as u8,
        });
        self.bytes.extend(key);
    }

    fn bytes(&self) -> usize {
        self.bytes.len() + self.names.len() * size_of::<BufferedName>()
    }

    fn drain_sorted(
        &mut self,
        visit: &mut dyn FnMut(&NameKey) -> io::Result<()>,
    ) -> io::Result<()> {
        let NameBuffer { names, bytes } = self;
        let key = |name: &BufferedName| {
            let start = name.start as usize;
            &bytes[start..start + usize::from(name.len)]
        };
        names.sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| key(a).cmp(key(b))));
        let mut value = NameKey::default();
        for name in names.iter() {
            value.0.clear();
            value.0.extend(key(name));
            visit(&value)?;
        }
        names.clear();
        bytes.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_of_buffered_names_is_that_of_their_bytes(
            names in prop::collection::vec(prop::collection::vec(0..3u8, 0..40), 0..60),
        ) {
            let mut buffer = NameBuffer::default();
            names.iter().for_each(|n| buffer.push(&NameKey::of_bytes(n)));
            let mut read = Vec::new();
            buffer.drain_sorted(&mut |n| { read.push(n.0.clone()); Ok(()) }).unwrap();
            let mut expected = names;
            expected.sort();
            prop_assert_eq!(read, expected);
            prop_assert_eq!(buffer.bytes(), 0);
        }
    }

    #[test]
    fn keys_of_names_have_the_order_of_domains_and_read_back() {
        let texts = [
            "a.example",
            ".a.example",
            "*.a.example",
            "x.a.example",
            "example",
        ];
        let mut domains = texts.map(|t| Domain::parse(t).unwrap());
        domains.sort();
        let keys = domains.clone().map(|domain| {
            let mut key = NameKey::default();
            key.set(&domain, false);
            assert_eq!(SCOPES[key.mark().0], domain.scope());
            assert!(!key.mark().1);
            let mut exclusion = key.clone();
            exclusion.set(&domain, true);
            assert!(key < exclusion && exclusion.mark().1);
            key
        });
        assert!(keys.is_sorted(), "{domains:?}");
        assert_eq!(keys[0].labels(), b"example\0");
    }

    #[test]
    fn longest_name_is_a_key_of_255_bytes() {
        let labels = [
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(61),
        ];
        let domain = Domain::from_canonical(&labels.join("."), Scope::Tree);
        let mut key = NameKey::default();
        key.set(&domain, true);
        assert_eq!(key.0.len(), 255);
        let mut bytes = Vec::new();
        key.write(&NameKey::default(), &mut bytes);
        let mut read = NameKey::default();
        read.read_next(&mut bytes.as_slice()).unwrap();
        assert_eq!(read, key);
    }
}
