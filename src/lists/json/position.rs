//! The position of a JSON reader in its file.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read},
};

use crate::lists::Input;

/// The position of the reader: the line and column of the last byte that was read. If only one line
/// is parsed, the column is where its value begins, and `line` is its text.
pub(super) struct Position<'l> {
    pub(super) at: Cell<(u64, usize)>,
    pub(super) line: Option<&'l str>,
}

impl Position<'_> {
    /// Line and column of a word that was just read.
    pub(super) fn of(&self, word: &str) -> (u64, usize) {
        let (line, column) = self.at.get();
        let start = match self.line {
            Some(text) => column + text.find(word).map_or(1, |i| i + 1),
            None => column.saturating_sub(word.len()).max(1),
        };
        (line, start)
    }
}

/// A reader that counts lines and columns.
pub(super) struct PositionReader<'p, R> {
    pub(super) inner: R,
    pub(super) position: &'p Position<'p>,
}

impl<R: Read> Read for PositionReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let (mut line, mut column) = self.position.at.get();
        for b in &buf[..n] {
            (line, column) = if *b == b'\n' {
                (line + 1, 0)
            } else {
                (line, column + 1)
            };
        }
        self.position.at.set((line, column));
        Ok(n)
    }
}

/// The input, shared by the visitors of one value.
pub(super) type SharedInput<'w, 'i> = RefCell<&'w mut Input<'i>>;
