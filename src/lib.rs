//! orbsd
pub mod model;
pub mod index;
pub mod dns;
