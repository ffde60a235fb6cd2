//! Listings by generic reverse names: finds addresses whose names a provider has made, lists them
//! under a source of their own, and ends a listing when the name changes.
//!
//! [`engine::GenericNameEngine`] has the rules, and no clock and no I/O; [`GenericNameService`] runs
//! it: it asks DNS, reads candidates from the store, and commits the changes. Nothing here runs
//! while a DNS query is answered.

mod engine;
mod host;
mod lookup;
mod ranges;
mod remembered;
mod schedule;
mod service;
mod settings;
#[cfg(test)]
mod tests;

pub use lookup::{AssessedName, AssessedNames, NameDns, assess_address};
pub use service::{GenericNameService, GenericNameStatus};
pub use settings::{GenericNameSettings, MAX_RANGE_ADDRESSES};
