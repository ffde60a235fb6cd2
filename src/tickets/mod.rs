//! Tickets: requests of the owners of listed hosts, from the first click to the removal, and
//! corrections of the knowledge base.
//!
//! [`TicketService`] decides and stores; the pure rules are in `state`, `policies`, [`codes`] and
//! [`control`].

#[cfg(feature = "daemon")]
mod batch;
#[cfg(feature = "daemon")]
mod clocks;
pub mod codes;
pub mod control;
#[cfg(feature = "daemon")]
pub mod control_dns;
#[cfg(feature = "daemon")]
pub mod corrections;
#[cfg(feature = "daemon")]
mod erasure;
#[cfg(feature = "daemon")]
mod error;
#[cfg(feature = "daemon")]
mod exceptions;
#[cfg(feature = "daemon")]
mod follow;
#[cfg(feature = "daemon")]
pub mod inbound;
#[cfg(feature = "daemon")]
pub mod limits;
#[cfg(feature = "daemon")]
mod listings;
#[cfg(feature = "daemon")]
pub mod mail_rows;
#[cfg(feature = "daemon")]
pub mod mail_text;
#[cfg(feature = "daemon")]
mod notice;
#[cfg(feature = "daemon")]
mod open_limits;
#[cfg(feature = "daemon")]
pub mod outbox;
mod policies;
#[cfg(feature = "daemon")]
mod proofs;
#[cfg(feature = "daemon")]
mod removals;
#[cfg(feature = "daemon")]
mod requests;
#[cfg(feature = "daemon")]
mod reviews;
#[cfg(feature = "daemon")]
mod secret;
#[cfg(feature = "daemon")]
mod self_tests;
#[cfg(feature = "daemon")]
mod servers;
#[cfg(feature = "daemon")]
mod service;
mod state;
#[cfg(feature = "daemon")]
mod suspensions;
#[cfg(feature = "daemon")]
mod tables;
#[cfg(feature = "daemon")]
mod ticket;
#[cfg(feature = "daemon")]
mod zone_server;

#[cfg(all(test, feature = "daemon"))]
pub(crate) mod tests;

pub use policies::{FEED_POLICY_KEY, OTHER_POLICY_KEY, RemovalPolicies};
pub use state::{
    ControlMethod, RemovalPolicy, RemovalServerState, TicketEvent, TicketKind, TicketState,
};
#[cfg(feature = "daemon")]
pub use {
    batch::TicketBatch,
    clocks::{TicketClockState, TicketClocks},
    erasure::TicketRow,
    error::TicketError,
    listings::TicketListing,
    notice::{CLOSED_STATES, TicketClock, TicketCounts},
    proofs::Confirmation,
    requests::{NewTicket, PROOF_PERIOD},
    reviews::Approval,
    secret::TicketSecret,
    self_tests::{NewSelfTest, REPEAT_DAYS},
    servers::RemovalServer,
    service::{RELEASE_PAGE_PERIOD, TicketFilter, TicketService, TicketSettings},
    ticket::{
        ANSWER_WITHIN, ControlProof, DECIDE_WITHIN, NameException, Repetition, Review, Ticket,
        TicketContact, TicketMessage, TicketRemoval, TicketStep, TicketTest, ZoneRemoval,
    },
    zone_server::{ZoneServer, ZoneServers},
};
