//! orbsd
pub mod model;
pub mod index;
pub mod dns;
#[cfg(feature = "daemon")]
pub mod store;
#[cfg(feature = "daemon")]
pub mod ledger;
pub mod metrics;
#[cfg(feature = "daemon")]
pub mod serve;
