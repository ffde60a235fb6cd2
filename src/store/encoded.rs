//! Encoded values of rows. If a value cannot be encoded, the commit of its batch fails, so that no
//! row is written without its value.

use serde::Serialize;

/// An encoded value, or the reason why it could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRow(Result<Vec<u8>, String>);

impl EncodedRow {
    /// Encodes a value with postcard, after a byte for the version of the form.
    pub(super) fn new<T: Serialize + ?Sized>(form: u8, value: &T) -> EncodedRow {
        EncodedRow(postcard::to_extend(value, vec![form]).map_err(|e| e.to_string()))
    }

    /// The bytes.
    ///
    /// # Errors
    ///
    /// The value could not be encoded.
    pub fn into_bytes(self) -> Result<Vec<u8>, String> {
        self.0
    }

    /// The size in bytes; 0 if the value could not be encoded.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::len)
    }
}

impl From<Vec<u8>> for EncodedRow {
    fn from(bytes: Vec<u8>) -> EncodedRow {
        EncodedRow(Ok(bytes))
    }
}
