//! The limits on the last sight of listings by which the due times in the store were made.

use super::{Batch, Result, Store, schema};
use crate::model::SightLimits;

const LIMITS: &[u8] = b"seen-within";

impl Store {
    /// The limits by which the due times were made.
    pub fn sight_limits(&self) -> Result<SightLimits> {
        let what = "the limits on the last sight";
        let stored = self.read(schema::META, LIMITS, what)?;
        Ok(stored.unwrap_or_default())
    }
}

/// Adds the row of the limits to a batch.
pub fn put_sight_limits(limits: &SightLimits, batch: &mut Batch) {
    batch.put(schema::META, LIMITS.to_vec(), schema::encode(limits));
}
