//! The image: a file with the compiled tables, the store's identity and the number of their commit.

use std::{
    fs,
    io::{Read, Write},
};

use super::Store;
use crate::index::{Builder, Tables, image};

/// The first bytes of the file; the last of them is the version.
const MAGIC: &[u8; 8] = b"ORBSIMG\x03";
const HEADER_BYTES: usize = 8 + 16 + 8 + 4;

impl Store {
    fn image_path(&self) -> std::path::PathBuf {
        self.path().join("image")
    }

    /// Writes the tables as of commit `seq`. The file is replaced as a whole.
    pub fn write_image(&self, tables: &Tables, seq: u64) -> std::io::Result<()> {
        let body = image::write(tables);
        let tmp = self.path().join("image.new");
        let written = self
            .write_to(&tmp, seq, &body)
            .and_then(|()| fs::rename(&tmp, self.image_path()));
        if written.is_err() {
            let _ = fs::remove_file(&tmp); // the disk may be full
        }
        written
    }

    fn write_to(&self, tmp: &std::path::Path, seq: u64, body: &[u8]) -> std::io::Result<()> {
        let mut file = fs::File::create(tmp)?;
        file.write_all(MAGIC)?;
        file.write_all(&self.id())?;
        file.write_all(&seq.to_le_bytes())?;
        file.write_all(&sum(&self.id(), seq, body).to_le_bytes())?;
        file.write_all(body)?;
        file.sync_all()
    }

    /// Reads the image: the tables and their commit.
    ///
    /// # Errors
    ///
    /// The reason why the image cannot be used. The caller then scans the store.
    pub fn read_image(&self) -> Result<(Builder, u64), String> {
        let mut bytes = Vec::new();
        let read = fs::File::open(self.image_path()).and_then(|mut f| f.read_to_end(&mut bytes));
        read.map_err(|e| e.to_string())?;
        let (head, body) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or("it is truncated")?;
        if head[..8] != MAGIC[..] {
            return Err("it was written by another version".into());
        }
        if head[8..24] != self.id() {
            return Err("it belongs to another store".into());
        }
        let seq = u64::from_le_bytes(head[24..32].try_into().map_err(|_| "it is truncated")?);
        if head[32..] != sum(&self.id(), seq, body).to_le_bytes() {
            return Err("its checksum is wrong".into());
        }
        Ok((image::read(body)?, seq))
    }
}

/// The checksum of an image, the store's identity and the commit.
fn sum(id: &[u8; 16], seq: u64, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(id);
    sum.update(&seq.to_le_bytes());
    sum.update(body);
    sum.finalize()
}
