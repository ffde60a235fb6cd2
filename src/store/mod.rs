//! The store: what outlives a request. The only code that knows RocksDB.

#[cfg(feature = "daemon")]
pub mod backup;
#[cfg(feature = "daemon")]
pub mod copy;
pub mod extent;
#[cfg(feature = "daemon")]
pub mod feeds;
#[cfg(feature = "daemon")]
pub mod image;
#[cfg(feature = "daemon")]
pub mod journal;
pub mod schema;
#[cfg(feature = "daemon")]
pub mod stage;
#[cfg(feature = "daemon")]
pub mod upgrade;

#[cfg(feature = "daemon")]
mod handle;
#[cfg(feature = "daemon")]
mod open;

#[cfg(feature = "daemon")]
pub use backup::restore;
#[cfg(feature = "daemon")]
pub use handle::{Batch, Fault, MAX_OPEN_TABLES, Settings, Store, StoreError, Vocabulary, vocabulary_rows};
#[cfg(feature = "daemon")]
use handle::{Result, cf, damaged};
