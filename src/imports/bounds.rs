//! The limits of one import: the number of lines, and the reading time.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    time::{Duration, Instant},
};

/// The most lines of one import: ten times the longest known list, which is read in minutes.
const MAX_LINES: u64 = 200_000_000;
/// The most lines without an entry. A megabyte of gzip can have a thousand million empty lines, and
/// lists have headers of some hundred lines.
const MAX_LINES_WITHOUT_ENTRY: u64 = 10_000_000;
/// The lines without an entry that do not count for each entry; an object in indented JSON needs
/// them.
const EXTRA_LINES_PER_ENTRY: u64 = 16;
/// The longest reading time, without the time of waiting for the sender. A list of [`MAX_LINES`]
/// takes half of it.
const MAX_READING: Duration = Duration::from_secs(600);

/// The limits of one import.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub lines: u64,
    pub barren_lines: u64,
    pub reading: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            lines: MAX_LINES,
            barren_lines: MAX_LINES_WITHOUT_ENTRY,
            reading: MAX_READING,
        }
    }
}

/// Counts what one import has read, over all of its files.
#[derive(Debug)]
pub(super) struct Meter {
    bounds: Bounds,
    started: Instant,
    waited: Cell<Duration>,
    lines: Cell<u64>,
    entries: Cell<u64>,
}

impl Meter {
    pub fn new(bounds: Bounds) -> Meter {
        Meter {
            bounds,
            started: Instant::now(),
            waited: Cell::default(),
            lines: Cell::default(),
            entries: Cell::default(),
        }
    }

    /// Counts an entry.
    pub fn entry(&self) {
        self.entries.set(self.entries.get() + 1);
    }

    /// Counts the line ends of a block of text.
    ///
    /// # Errors
    ///
    /// Names the limit that was exceeded.
    fn count(&self, block: &[u8]) -> io::Result<()> {
        let lines = self.lines.get() + block.iter().filter(|b| **b == b'\n').count() as u64;
        self.lines.set(lines);
        let Bounds {
            lines: most,
            barren_lines,
            reading,
        } = self.bounds;
        if lines > most {
            return Err(io::Error::other(format!(
                "the list has more than {most} lines; import it in parts, with --mode add"
            )));
        }
        let entries = self.entries.get();
        // The entries of this block are counted after it, so allow one for each line.
        let barren = lines.saturating_sub(entries.saturating_mul(EXTRA_LINES_PER_ENTRY + 1));
        if barren > barren_lines {
            return Err(io::Error::other(format!(
                "more than {barren_lines} lines have no entry (of {lines} lines, {entries} have one); check that it is a list"
            )));
        }
        if self.started.elapsed().saturating_sub(self.waited.get()) > reading {
            let seconds = reading.as_secs();
            return Err(io::Error::other(format!(
                "reading the list takes more than {seconds} s; import it in parts"
            )));
        }
        Ok(())
    }
}

/// A reader that measures the time of waiting for the sender of a file.
pub(super) struct TimedReader<'a, R> {
    pub inner: R,
    pub meter: &'a Meter,
}

impl<R: Read> Read for TimedReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        let read = self.inner.read(buf);
        self.meter
            .waited
            .set(self.meter.waited.get() + since.elapsed());
        read
    }
}

/// A reader of the unpacked text of a file that counts its lines.
pub(super) struct LineCounter<'a, R> {
    pub inner: R,
    pub meter: &'a Meter,
    /// Bytes of the inner buffer that were counted and are not consumed yet.
    pub ahead: usize,
}

impl<R: BufRead> BufRead for LineCounter<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let block = self.inner.fill_buf()?;
        if self.ahead == 0 && !block.is_empty() {
            self.ahead = block.len();
            self.meter.count(block)?;
        }
        Ok(block)
    }

    fn consume(&mut self, n: usize) {
        self.ahead = self.ahead.saturating_sub(n);
        self.inner.consume(n);
    }
}

impl<R: BufRead> Read for LineCounter<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let block = self.fill_buf()?;
        let n = block.len().min(buf.len());
        buf[..n].copy_from_slice(&block[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text line by line. Returns the number of lines, or the error.
    fn read(text: &str, bounds: Bounds, entries: bool) -> Result<usize, String> {
        let meter = Meter::new(bounds);
        let inner = io::BufReader::with_capacity(
            64,
            TimedReader {
                inner: text.as_bytes(),
                meter: &meter,
            },
        );
        let mut counted = LineCounter {
            inner,
            meter: &meter,
            ahead: 0,
        };
        let mut line = Vec::new();
        let mut lines = 0;
        while counted
            .read_until(b'\n', &mut line)
            .map_err(|e| e.to_string())?
            > 0
        {
            lines += 1;
            if entries && line != b"\n" {
                meter.entry();
            }
            line.clear();
        }
        Ok(lines)
    }

    #[test]
    fn list_with_too_many_lines_is_refused() {
        let bounds = Bounds {
            lines: 100,
            ..Bounds::default()
        };
        assert_eq!(read(&"45.1.1.1\n".repeat(100), bounds, true), Ok(100));
        assert!(
            read(&"45.1.1.1\n".repeat(101), bounds, true)
                .unwrap_err()
                .contains("more than 100 lines")
        );
    }

    #[test]
    fn list_with_too_many_lines_without_entries_is_refused() {
        let bounds = Bounds {
            barren_lines: 1000,
            ..Bounds::default()
        };
        assert!(
            read(&"\n".repeat(1001), bounds, true)
                .unwrap_err()
                .contains("no entry")
        );
        assert_eq!(read(&"\n".repeat(1000), bounds, true), Ok(1000));
        assert_eq!(
            read(&"45.1.1.1\n".repeat(5000), bounds, true),
            Ok(5000),
            "lines with entries do not count"
        );
        // The objects of indented JSON take several lines.
        assert_eq!(
            read(&"x\n\n\n\n\n\n\n\n".repeat(2000), bounds, true),
            Ok(16_000)
        );
    }

    #[test]
    fn reading_time_is_limited_without_the_time_of_the_sender() {
        let bounds = Bounds {
            reading: Duration::ZERO,
            ..Bounds::default()
        };
        assert!(
            read("45.1.1.1\n", bounds, true)
                .unwrap_err()
                .contains("more than 0 s")
        );
        struct Slow;
        impl Read for Slow {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                std::thread::sleep(Duration::from_millis(60));
                buf[0] = b'\n';
                Ok(1)
            }
        }
        let meter = Meter::new(Bounds {
            reading: Duration::from_millis(50),
            ..Bounds::default()
        });
        let mut slow = TimedReader {
            inner: Slow,
            meter: &meter,
        };
        let mut buf = [0; 1];
        for _ in 0..3 {
            assert_eq!(slow.read(&mut buf).unwrap(), 1);
            meter.count(&buf).unwrap();
        }
    }
}
