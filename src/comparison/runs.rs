//! Sorted runs: values in any order, kept in little memory and read back in order. A full buffer is
//! sorted and stored as a run, in which each value is written as its difference from the one before.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

/// The memory of the values that are not in runs yet, in bytes.
const BUFFER_BYTES: usize = if cfg!(test) { 1 << 9 } else { 8 << 20 };
/// The most memory of the runs of one list, in bytes: some eighty million addresses.
const MAX_RUN_BYTES: usize = 256 << 20;

/// A value of a run.
pub(super) trait RunValue: Ord + Clone + Default {
    /// The memory that it uses in a buffer, in bytes.
    fn size(&self) -> usize;
    /// Writes it as its difference from the value before it.
    fn write(&self, previous: &Self, out: &mut Vec<u8>);
    /// Replaces the value by the one after it, and takes that one's bytes. `None` if the bytes are
    /// not those of a value.
    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()>;
}

/// Values that are sorted when they are read.
#[derive(Debug, Clone)]
pub(super) struct Runs<T> {
    buffer: Vec<T>,
    buffered: usize,
    runs: Vec<Vec<u8>>,
    written: usize,
}

impl<T> Default for Runs<T> {
    fn default() -> Runs<T> {
        Runs {
            buffer: Vec::new(),
            buffered: 0,
            runs: Vec::new(),
            written: 0,
        }
    }
}

impl<T: RunValue> Runs<T> {
    /// Adds a value.
    ///
    /// # Errors
    ///
    /// The values need more memory than is permitted.
    pub(super) fn push(&mut self, value: T) -> Result<(), ListTooLong> {
        self.buffered += value.size();
        self.buffer.push(value);
        match self.buffered >= BUFFER_BYTES {
            true => self.write_run(),
            false => Ok(()),
        }
    }

    /// Writes the buffered values as a run.
    pub(super) fn write_run(&mut self) -> Result<(), ListTooLong> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.buffer.sort_unstable();
        let (mut run, mut previous) = (Vec::new(), T::default());
        for value in self.buffer.drain(..) {
            value.write(&previous, &mut run);
            previous = value;
        }
        run.shrink_to_fit();
        self.buffered = 0;
        self.written += run.len();
        self.runs.push(run);
        match self.written > MAX_RUN_BYTES {
            true => Err(ListTooLong),
            false => Ok(()),
        }
    }

    /// Visits all values in order, also equal ones. The buffered values have to be written first.
    pub(super) fn merge(&self) -> Merge<'_, T> {
        let runs = self.runs.iter();
        Merge(runs.filter_map(|run| RunReader::open(run)).collect())
    }
}

/// A list needs more memory than a comparison may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the list is too long to be compared: it needs more than {} MiB of memory; compare parts of it",
    MAX_RUN_BYTES >> 20
)]
pub struct ListTooLong;

/// A run that is read.
struct RunReader<'r, T> {
    next: T,
    rest: &'r [u8],
}

impl<T: RunValue> RunReader<'_, T> {
    /// Opens a run at its first value; `None` if it has none.
    fn open(run: &[u8]) -> Option<RunReader<'_, T>> {
        let mut reader = RunReader {
            next: T::default(),
            rest: run,
        };
        reader.advance().then_some(reader)
    }

    /// Goes to the value after the next one. Returns whether there is one.
    fn advance(&mut self) -> bool {
        !self.rest.is_empty() && self.next.read_next(&mut self.rest).is_some()
    }
}

impl<T: Ord> Ord for RunReader<'_, T> {
    /// The reader with the least next value is the greatest, as [`BinaryHeap`] needs it.
    fn cmp(&self, other: &Self) -> Ordering {
        other.next.cmp(&self.next)
    }
}

impl<T: Ord> PartialOrd for RunReader<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for RunReader<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for RunReader<'_, T> {}

/// The values of several runs in order.
pub(super) struct Merge<'r, T>(BinaryHeap<RunReader<'r, T>>);

impl<T: RunValue> Iterator for Merge<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut least = self.0.peek_mut()?;
        let value = least.next.clone();
        if !least.advance() {
            PeekMut::pop(least);
        }
        Some(value)
    }
}

/// Writes a number in as few bytes as it needs (LEB128).
fn write_number(mut n: u128, out: &mut Vec<u8>) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u128> {
    let mut n = 0;
    for shift in (0..u128::BITS).step_by(7) {
        let byte = *bytes.split_off_first()?;
        n |= u128::from(byte & 0x7f) << shift;
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
    fn size(&self) -> usize {
        size_of::<Key4>()
    }

    fn write(&self, previous: &Key4, out: &mut Vec<u8>) {
        write_number(u128::from(self.0.wrapping_sub(previous.0)), out);
    }

    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()> {
        self.0 = self.0.wrapping_add(read_number(bytes)? as u64);
        Some(())
    }
}

/// An IPv6 address or prefix of a list: the first address, and the mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key6(pub(super) u128, pub(super) u16);

impl RunValue for Key6 {
    fn size(&self) -> usize {
        size_of::<Key6>()
    }

    fn write(&self, previous: &Key6, out: &mut Vec<u8>) {
        let difference = self.0.wrapping_sub(previous.0);
        // Most entries are networks, whose differences end in many zeros.
        let zeros = difference.trailing_zeros() % u128::BITS;
        out.push(zeros as u8);
        write_number(difference >> zeros, out);
        out.extend(self.1.to_be_bytes());
    }

    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let zeros = *bytes.split_off_first()?;
        let difference = read_number(bytes)?.checked_shl(u32::from(zeros))?;
        self.0 = self.0.wrapping_add(difference);
        self.1 = u16::from_be_bytes(bytes.split_off(..2)?.try_into().ok()?);
        Some(())
    }
}

/// A name of a list: the key of its subject, and a byte that says whether it is an exclusion.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameKey(pub(super) Vec<u8>);

impl RunValue for NameKey {
    fn size(&self) -> usize {
        size_of::<NameKey>() + self.0.len()
    }

    fn write(&self, previous: &NameKey, out: &mut Vec<u8>) {
        let shared = self.0.iter().zip(&previous.0).take_while(|(a, b)| a == b);
        let shared = shared.count();
        write_number(shared as u128, out);
        write_number((self.0.len() - shared) as u128, out);
        out.extend(&self.0[shared..]);
    }

    fn read_next(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let shared = usize::try_from(read_number(bytes)?).ok()?;
        let more = usize::try_from(read_number(bytes)?).ok()?;
        self.0.truncate(shared);
        self.0.extend(bytes.split_off(..more)?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted<T: RunValue>(values: Vec<T>) -> (Vec<T>, Vec<T>) {
        let mut runs = Runs::default();
        for value in values.clone() {
            runs.push(value).unwrap();
        }
        runs.write_run().unwrap();
        let mut expected = values;
        expected.sort();
        (runs.merge().collect(), expected)
    }

    proptest! {
        #[test]
        fn runs_return_all_values_in_order(
            ip4 in prop::collection::vec(prop_oneof![any::<u64>(), 0..400u64], 0..300),
            ip6 in prop::collection::vec((any::<u128>(), any::<u8>(), any::<u16>()), 0..200),
            names in prop::collection::vec(prop::collection::vec(0..3u8, 0..9), 0..200),
        ) {
            let (read, expected) = sorted(ip4.into_iter().map(Key4).collect());
            prop_assert_eq!(read, expected);
            let network = |(a, zeros, mark): (u128, u8, u16)| Key6(a << (zeros % 128), mark);
            let (read, expected) = sorted(ip6.into_iter().map(network).collect());
            prop_assert_eq!(read, expected);
            let (read, expected) = sorted(names.into_iter().map(NameKey).collect());
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn list_beyond_the_limit_is_refused() {
        let mut runs = Runs {
            written: MAX_RUN_BYTES,
            ..Runs::default()
        };
        runs.push(Key4(7)).unwrap();
        let e = runs.write_run().unwrap_err();
        assert!(e.to_string().contains("256 MiB"), "{e}");
    }
}
