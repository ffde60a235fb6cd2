//! The store's record of the removal log: the last line, its checksum, and a gap.

use super::{Result, Store, schema};

impl Store {
    /// The number of the last line of the removal log that this store has recorded; 0 for none.
    pub fn removals(&self) -> Result<u64> {
        let line = self.read_number(b"removals", "the last line of the removal log")?;
        Ok(line.map_or(0, u64::from_be_bytes))
    }

    /// The checksum of that line; `None` if an older version wrote it.
    pub fn removals_sum(&self) -> Result<Option<u32>> {
        let sum = self.read_number(schema::REMOVALS_SUM, "the checksum of the removal log")?;
        Ok(sum.map(u32::from_be_bytes))
    }

    /// The lines that the removal log has lost since the last backup; `None` if it lost none.
    pub fn removals_gap(&self) -> Result<Option<schema::RemovalGap>> {
        let what = "the gap of the removal log";
        self.read(schema::META, schema::REMOVALS_GAP, what)
    }
}
