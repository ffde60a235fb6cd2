//! The bytes of the runs of a list: in memory while they are few, then in a file without a name,
//! which ends with the process that has it open.

use std::{
    cell::RefCell,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The most bytes that are not in the file.
const PENDING_BYTES: usize = if cfg!(test) { 1 << 8 } else { 1 << 20 };

/// The bytes of all runs of a list, one after the other.
#[derive(Debug)]
pub(super) struct RunBytes {
    folder: PathBuf,
    /// The file; `None` while all bytes are in memory.
    file: Option<File>,
    /// The bytes in the file.
    stored: u64,
    /// The bytes behind these.
    pending: Vec<u8>,
    /// Why the file could not be read.
    failure: RefCell<Option<io::Error>>,
}

impl RunBytes {
    /// Creates an empty place, whose file is in a folder if it needs one.
    pub(super) fn in_folder(folder: &Path) -> RunBytes {
        RunBytes {
            folder: folder.into(),
            file: None,
            stored: 0,
            pending: Vec::new(),
            failure: RefCell::new(None),
        }
    }

    /// The number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.stored + self.pending.len() as u64
    }

    /// Where bytes are added.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Moves the added bytes to the file if they are many.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the message names the folder.
    pub(super) fn flush_if_full(&mut self) -> io::Result<()> {
        if self.pending.len() < PENDING_BYTES {
            return Ok(());
        }
        self.flush()
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.folder.display())))
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        file.write_all_at(&self.pending, self.stored)?;
        self.stored += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Fills a buffer with the bytes from a place on.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there are not so many bytes.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let in_file = self.stored.saturating_sub(at).min(buffer.len() as u64) as usize;
        let (from_file, from_memory) = buffer.split_at_mut(in_file);
        if let Some(file) = self.file.as_ref().filter(|_| in_file > 0) {
            file.read_exact_at(from_file, at)?;
        }
        let start = at.saturating_sub(self.stored) as usize;
        let pending = self.pending.get(start..start + from_memory.len());
        from_memory.copy_from_slice(pending.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Notes that the bytes could not be read.
    pub(super) fn fail(&self, e: io::Error) {
        self.failure.borrow_mut().get_or_insert(e);
    }

    /// Returns the first noted failure.
    ///
    /// # Errors
    ///
    /// The bytes could not be read.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.failure.borrow_mut().take() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// Makes the place as long as if it had bytes in the file.
    #[cfg(test)]
    pub(super) fn pretend_len(&mut self, bytes: u64) {
        self.stored = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_across_file_and_memory() {
        let place = tempfile::tempdir().unwrap();
        let mut bytes = RunBytes::in_folder(place.path());
        let all: Vec<u8> = (0..=255).cycle().take(3 * PENDING_BYTES + 7).collect();
        for part in all.chunks(PENDING_BYTES / 3) {
            bytes.pending().extend(part);
            bytes.flush_if_full().unwrap();
        }
        assert_eq!(bytes.len(), all.len() as u64);
        for start in [0, 1, PENDING_BYTES - 1, all.len() - 8, all.len()] {
            let mut read = vec![0; all.len() - start];
            bytes.read(start as u64, &mut read).unwrap();
            assert_eq!(read, all[start..]);
        }
        assert!(bytes.read(1, &mut vec![0; all.len()]).is_err());
        // The file has no name.
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn few_bytes_need_no_file() {
        let mut bytes = RunBytes::in_folder(Path::new("/nonexistent"));
        bytes.pending().extend([1, 2, 3]);
        bytes.flush_if_full().unwrap();
        let mut read = [0; 2];
        bytes.read(1, &mut read).unwrap();
        assert_eq!(read, [2, 3]);
    }

    #[test]
    fn failure_is_reported_once() {
        let bytes = RunBytes::in_folder(Path::new("/nonexistent"));
        bytes.check().unwrap();
        bytes.fail(io::Error::other("first"));
        bytes.fail(io::Error::other("second"));
        assert_eq!(bytes.check().unwrap_err().to_string(), "first");
    }
}
