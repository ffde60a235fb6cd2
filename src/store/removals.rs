//! The store's record of the removal log: the last line, its checksum, and a gap.

use super::{Result, Store, schema};

impl Store {
    /// The number of the last line of the removal log that this store has recorded; 0 for none.
    pub fn removals(&self) -> Result<u64> {
        match self.get(schema::META, b"removals")? {
            None => Ok(0),
            Some(v) => v
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| self.damaged("the last line of the removal log")),
        }
    }

    /// The checksum of that line; `None` if an older version wrote it.
    pub fn removals_sum(&self) -> Result<Option<u32>> {
        let row = self.get(schema::META, schema::REMOVALS_SUM)?;
        row.map(|v| {
            v.try_into()
                .map(u32::from_be_bytes)
                .map_err(|_| self.damaged("the checksum of the removal log"))
        })
        .transpose()
    }

    /// The lines that the removal log has lost since the last backup; `None` if it lost none.
    pub fn removals_gap(&self) -> Result<Option<schema::RemovalGap>> {
        let row = self.get(schema::META, schema::REMOVALS_GAP)?;
        row.map(|r| schema::decode(&r).ok_or_else(|| self.damaged("the gap of the removal log")))
            .transpose()
    }
}
