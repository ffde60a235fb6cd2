//! From every older version on disk to this one.

use super::{Result, Store, StoreError, schema};

/// Brings a store of version `from` up to date, or says why it can not be used.
///
/// There is one version so far. The next one adds its step here and keeps a store of this one as a test fixture.
pub fn run(_store: &Store, from: u32) -> Result<()> {
    match from {
        schema::VERSION => Ok(()),
        v if v > schema::VERSION => Err(StoreError::Newer(v)),
        v => Err(StoreError::Damaged(format!("its version {v} was never released"))),
    }
}
