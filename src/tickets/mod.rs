//! Tickets: requests of the owners of listed hosts, from the first click to the removal.

pub mod codes;
pub mod control;
#[cfg(feature = "daemon")]
pub mod control_dns;
mod state;

pub use state::{ControlMethod, RemovalPolicy, TicketState};
