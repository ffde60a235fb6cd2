//! Tickets: requests of the owners of listed hosts, from the first click to the removal.

mod state;

pub use state::{ControlMethod, RemovalPolicy, TicketState};
