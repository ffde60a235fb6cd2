//! The store: all persistent data. The only module that uses RocksDB.

#[cfg(feature = "daemon")]
pub mod backup;
#[cfg(feature = "daemon")]
pub mod configured;
#[cfg(feature = "daemon")]
pub mod copy;
mod encoded;
pub mod extent;
pub mod extent_counter;
mod families;
#[cfg(feature = "daemon")]
pub mod feeds;
#[cfg(feature = "daemon")]
pub mod image;
#[cfg(feature = "daemon")]
mod integrity;
#[cfg(feature = "daemon")]
pub mod journal;
#[cfg(feature = "daemon")]
pub mod private;
pub mod schema;
#[cfg(feature = "daemon")]
pub mod scrub;
#[cfg(feature = "daemon")]
pub mod stage;
#[cfg(feature = "daemon")]
pub mod upgrade;

#[cfg(feature = "daemon")]
mod handle;
#[cfg(feature = "daemon")]
mod open;
#[cfg(feature = "daemon")]
mod removals;
#[cfg(feature = "daemon")]
mod retention;
#[cfg(feature = "daemon")]
mod sights;
#[cfg(feature = "daemon")]
#[cfg(test)]
mod tests;

#[cfg(feature = "daemon")]
pub use backup::{Backup, LastBackup, Restoration};
pub use encoded::EncodedRow;
#[cfg(all(test, feature = "daemon"))]
pub(crate) use handle::CommitFault;
#[cfg(feature = "daemon")]
pub use handle::{Batch, Dictionary, Store, StoreError, StoreSettings, dictionary_rows};
#[cfg(feature = "daemon")]
use handle::{Result, cf, damaged};
#[cfg(feature = "daemon")]
pub use integrity::{Damage, FoundBy, ScrubProgress, ScrubReport, UnknownCommit};
#[cfg(feature = "daemon")]
pub use open::MAX_OPEN_TABLES;
#[cfg(feature = "daemon")]
pub use retention::AuditErasure;
#[cfg(feature = "daemon")]
pub use sights::put_sight_limits;
#[cfg(feature = "daemon")]
pub use upgrade::UpgradeProgress;
