//! The store: what outlives a request. The only code that knows RocksDB.

pub mod feeds;
pub mod image;
pub mod journal;
pub mod schema;
pub mod stage;
pub mod upgrade;

mod handle;
mod open;

pub use handle::{Batch, Settings, Store, StoreError, Vocabulary, vocabulary_rows};
use handle::{Result, cf, damaged};
