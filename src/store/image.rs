//! The image: a file with the store's identity, the number of a commit, a digest of the rules by
//! which reasons are derived, the tables as of then and a checksum.

use std::{
    fs,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use super::Store;
use crate::index::{Builder, Tables, image, values::Derivations};

/// The first bytes of the file; the last of them is the version.
const MAGIC: &[u8; 8] = b"ORBSIMG\x06";
const HEADER_BYTES: usize = 8 + 16 + 8 + 8;
const BUFFER_BYTES: usize = 1 << 20;

impl Store {
    fn image_path(&self) -> std::path::PathBuf {
        self.path().join("image")
    }

    /// Writes the tables as of commit `seq`, whose values have these derived reasons. The file is
    /// replaced as a whole.
    pub fn write_image(
        &self,
        tables: &Tables,
        derivations: &Derivations,
        seq: u64,
    ) -> io::Result<()> {
        let tmp = self.path().join("image.new");
        let written = self
            .write_to(&tmp, tables, derivations, seq)
            .and_then(|()| fs::rename(&tmp, self.image_path()));
        if written.is_err() {
            let _ = fs::remove_file(&tmp); // the disk may be full
        }
        written
    }

    fn write_to(
        &self,
        tmp: &Path,
        tables: &Tables,
        derivations: &Derivations,
        seq: u64,
    ) -> io::Result<()> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, fs::File::create(tmp)?);
        let mut file = Summed::new(file);
        file.write_all(MAGIC)?;
        file.write_all(&self.id())?;
        file.write_all(&seq.to_le_bytes())?;
        file.write_all(&derivations.fingerprint().to_le_bytes())?;
        image::write(tables, &mut file)?;
        let sum = file.sum.clone().finalize();
        file.write_all(&sum.to_le_bytes())?;
        file.file.into_inner()?.sync_all()
    }

    /// Reads the image: the tables and their commit. `derivations` are the present ones.
    ///
    /// # Errors
    ///
    /// The reason why the image cannot be used. The caller then scans the store.
    pub fn read_image(&self, derivations: &Derivations) -> Result<(Builder, u64), String> {
        let open = fs::File::open(self.image_path()).map_err(|e| e.to_string())?;
        let mut file = Summed::new(BufReader::with_capacity(BUFFER_BYTES, open));
        let mut head = [0; HEADER_BYTES];
        file.read_exact(&mut head).map_err(|_| "it is truncated")?;
        if head[..8] != MAGIC[..] {
            return Err("it was written by another version".into());
        }
        if head[8..24] != self.id() {
            return Err("it belongs to another store".into());
        }
        let number = |from: usize| {
            let bytes = head[from..from + 8].try_into();
            bytes.map(u64::from_le_bytes).map_err(|_| "it is truncated")
        };
        let seq = number(24)?;
        if number(32)? != derivations.fingerprint() {
            return Err("it was written with other rules of zones".into());
        }
        let read = image::read(&mut file, derivations.clone());
        let builder = read.map_err(|e| e.to_string())?;
        let sum = file.sum.finalize();
        let mut end = Vec::new();
        let mut rest = file.file.take(5);
        rest.read_to_end(&mut end).map_err(|e| e.to_string())?;
        if end != sum.to_le_bytes() {
            return Err("its checksum is wrong".into());
        }
        Ok((builder, seq))
    }
}

/// A file, and the checksum of what was read from it or written to it.
struct Summed<F> {
    file: F,
    sum: crc32fast::Hasher,
}

impl<F> Summed<F> {
    fn new(file: F) -> Summed<F> {
        let sum = crc32fast::Hasher::new();
        Summed { file, sum }
    }
}

impl<F: Read> Read for Summed<F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(to)?;
        self.sum.update(&to[..n]);
        Ok(n)
    }
}

impl<F: Write> Write for Summed<F> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let n = self.file.write(from)?;
        self.sum.update(&from[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
