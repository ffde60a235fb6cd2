//! Sorted runs: values in any order, kept in little memory and read back in order. A full buffer is
//! sorted and stored as a run, in which each value is written as its difference from the one before.
//! Values that come in order need no buffer: they are one run.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    io,
    ops::Range,
    path::Path,
};

use super::{
    keys::{RunBuffer, RunValue},
    run_bytes::RunBytes,
};

/// The memory of the values that are not in runs yet, in bytes.
const BUFFER_BYTES: usize = if cfg!(test) { 1 << 9 } else { 24 << 20 };
/// The most bytes of the runs of one list: some seven hundred million addresses, or a hundred
/// million names.
const MAX_RUN_BYTES: u64 = 2 << 30;
/// The bytes that are read of a run at a time.
const BLOCK_BYTES: usize = if cfg!(test) { 1 << 10 } else { 64 << 10 };
/// The longest value in a run, in bytes: the two lengths of a name and its key.
const MAX_VALUE_BYTES: usize = 2 + 255;

/// Values that are sorted when they are read.
#[derive(Debug)]
pub(super) struct Runs<T: RunValue> {
    bytes: RunBytes,
    runs: Vec<Range<u64>>,
    /// Where the run begins that is being written.
    start: u64,
    /// The value that was written last.
    last: T,
    /// Whether all values have come in order, so that they are one run.
    is_ordered: bool,
    buffer: T::Buffer,
}

impl<T: RunValue> Runs<T> {
    /// Creates an empty list. Runs that do not fit into memory are written to a file in a folder.
    pub(super) fn in_folder(folder: &Path) -> Runs<T> {
        Runs {
            bytes: RunBytes::in_folder(folder),
            runs: Vec::new(),
            start: 0,
            last: T::default(),
            is_ordered: true,
            buffer: T::Buffer::default(),
        }
    }

    /// Adds a value.
    ///
    /// # Errors
    ///
    /// The values need more space than is permitted, or the file cannot be written.
    pub(super) fn push(&mut self, value: &T) -> io::Result<()> {
        if self.is_ordered {
            if self.last <= *value {
                return write(&mut self.bytes, &mut self.last, value);
            }
            self.end_run();
            self.is_ordered = false;
        }
        self.buffer.push(value);
        match self.buffer.bytes() >= BUFFER_BYTES {
            true => self.write_buffer(),
            false => Ok(()),
        }
    }

    /// Writes the buffered values as a run. Only what was added before is read.
    ///
    /// # Errors
    ///
    /// As for [`Runs::push`].
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.is_ordered {
            true => self.end_run(),
            false => self.write_buffer()?,
        }
        self.buffer = T::Buffer::default();
        Ok(())
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let (bytes, last) = (&mut self.bytes, &mut self.last);
        self.buffer
            .drain_sorted(&mut |value| write(bytes, last, value))?;
        self.end_run();
        Ok(())
    }

    fn end_run(&mut self) {
        let end = self.bytes.len();
        if end > self.start {
            self.runs.push(self.start..end);
        }
        (self.start, self.last) = (end, T::default());
    }

    /// Visits all values in order, also equal ones. The list has to be finished first.
    pub(super) fn merge(&self) -> Merge<'_, T> {
        let readers = self.runs.iter().cloned();
        let readers = readers.filter_map(|run| RunReader::open(&self.bytes, run).map(Box::new));
        Merge(readers.collect())
    }

    /// Reports a failure to read a run, which has ended its values.
    ///
    /// # Errors
    ///
    /// The file could not be read.
    pub(super) fn check(&self) -> io::Result<()> {
        self.bytes.check()
    }
}

/// Writes a value behind the one before it in its run.
fn write<T: RunValue>(bytes: &mut RunBytes, last: &mut T, value: &T) -> io::Result<()> {
    value.write(last, bytes.pending());
    last.clone_from(value);
    bytes.flush_if_full()?;
    match bytes.len() > MAX_RUN_BYTES {
        true => Err(io::Error::other(ListTooLong)),
        false => Ok(()),
    }
}

/// A list needs more space than a comparison may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the list is too long to be compared: it needs more than {} GiB of space; compare parts of it",
    MAX_RUN_BYTES >> 30
)]
struct ListTooLong;

/// A run that is read.
struct RunReader<'r, T> {
    next: T,
    source: &'r RunBytes,
    /// What of the run is read and not used from `used` on.
    block: Vec<u8>,
    used: usize,
    /// The part of the run that is not read yet.
    rest: Range<u64>,
}

impl<T: RunValue> RunReader<'_, T> {
    /// Opens a run at its first value; `None` if it has none.
    fn open(source: &RunBytes, run: Range<u64>) -> Option<RunReader<'_, T>> {
        let mut reader = RunReader {
            next: T::default(),
            source,
            block: Vec::new(),
            used: 0,
            rest: run,
        };
        reader.advance().then_some(reader)
    }

    /// Goes to the value after the next one. Returns whether there is one.
    fn advance(&mut self) -> bool {
        let read = self.try_advance();
        read.unwrap_or_else(|e| {
            self.source.fail(e);
            false
        })
    }

    fn try_advance(&mut self) -> io::Result<bool> {
        if self.block.len() - self.used < MAX_VALUE_BYTES && !self.rest.is_empty() {
            self.read_block()?;
        }
        let mut bytes = &self.block[self.used..];
        if bytes.is_empty() {
            return Ok(false);
        }
        let read = self.next.read_next(&mut bytes);
        self.used = self.block.len() - bytes.len();
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a sorted run is damaged");
        read.map(|()| true).ok_or_else(damaged)
    }

    fn read_block(&mut self) -> io::Result<()> {
        self.block.drain(..self.used);
        self.used = 0;
        let kept = self.block.len();
        let end = self.rest.end.min(self.rest.start + BLOCK_BYTES as u64);
        self.block
            .resize(kept + (end - self.rest.start) as usize, 0);
        self.source.read(self.rest.start, &mut self.block[kept..])?;
        self.rest.start = end;
        Ok(())
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
pub(super) struct Merge<'r, T>(BinaryHeap<Box<RunReader<'r, T>>>);

impl<T: RunValue> Merge<'_, T> {
    /// Replaces a value by the next one. Returns whether there is one.
    pub(super) fn read(&mut self, value: &mut T) -> bool {
        let Some(mut least) = self.0.peek_mut() else {
            return false;
        };
        value.clone_from(&least.next);
        if !least.advance() {
            PeekMut::pop(least);
        }
        true
    }
}

impl<T: RunValue> Iterator for Merge<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut value = T::default();
        self.read(&mut value).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::keys::{Key4, Key6, NameKey},
        *,
    };

    fn sorted<T: RunValue>(values: &[T]) -> (Vec<T>, Vec<T>) {
        let place = tempfile::tempdir().unwrap();
        let mut runs = Runs::in_folder(place.path());
        for value in values {
            runs.push(value).unwrap();
        }
        runs.finish().unwrap();
        let mut expected = values.to_vec();
        expected.sort();
        let merged = runs.merge().collect();
        runs.check().unwrap();
        (merged, expected)
    }

    proptest! {
        #[test]
        fn runs_return_all_values_in_order(
            ip4 in prop::collection::vec(prop_oneof![any::<u64>(), 0..400u64], 0..300),
            ip6 in prop::collection::vec((any::<u128>(), any::<u8>(), any::<u16>()), 0..200),
            names in prop::collection::vec(prop::collection::vec(0..3u8, 0..30), 0..200),
            is_ordered: bool,
        ) {
            let mut ip4: Vec<Key4> = ip4.into_iter().map(Key4).collect();
            let network = |(a, zeros, mark): (u128, u8, u16)| Key6(a << (zeros % 128), mark);
            let mut ip6: Vec<Key6> = ip6.into_iter().map(network).collect();
            let mut names: Vec<NameKey> = names.iter().map(|n| NameKey::of_bytes(n)).collect();
            if is_ordered {
                ip4.sort();
                ip6.sort();
                names.sort();
            }
            let (read, expected) = sorted(&ip4);
            prop_assert_eq!(read, expected);
            let (read, expected) = sorted(&ip6);
            prop_assert_eq!(read, expected);
            let (read, expected) = sorted(&names);
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn ordered_values_are_one_run_and_others_are_several() {
        let place = tempfile::tempdir().unwrap();
        let runs = |values: &mut dyn Iterator<Item = u64>| {
            let mut runs = Runs::in_folder(place.path());
            values.for_each(|v| runs.push(&Key4(v)).unwrap());
            runs.finish().unwrap();
            runs.runs.len()
        };
        assert_eq!(runs(&mut (0..1000)), 1);
        assert!(runs(&mut (0..1000).rev()) > 2);
        assert_eq!(runs(&mut std::iter::empty()), 0);
    }

    #[test]
    fn list_beyond_the_limit_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let mut runs = Runs::in_folder(place.path());
        runs.bytes.pretend_len(MAX_RUN_BYTES);
        let e = runs.push(&Key4(7)).unwrap_err();
        assert!(e.to_string().contains("2 GiB"), "{e}");
    }

    #[test]
    fn folder_that_cannot_be_written_is_reported() {
        let place = tempfile::tempdir().unwrap();
        let mut runs = Runs::in_folder(&place.path().join("none"));
        let e = (0..1000u64).find_map(|i| runs.push(&Key4(i << 32)).err());
        assert!(e.unwrap().to_string().contains("none"));
    }
}
