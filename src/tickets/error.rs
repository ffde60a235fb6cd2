//! The errors of requests about tickets.

use crate::{
    ledger::LedgerError, model::time::Seconds, random::RandomError, relay::RelayError,
    store::StoreError,
};

/// The error of a request about a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketError {
    /// The request is invalid; the text names the field and the cause.
    Invalid(String),
    /// A limit is reached. The second field is the time after which to retry.
    LimitReached(String, Seconds),
    /// A rule or the state of the ticket forbids the request.
    Refused(String),
    /// The ticket does not exist.
    NotFound(String),
    /// The ledger refuses the change, or the store cannot be read.
    Ledger(LedgerError),
}

impl From<LedgerError> for TicketError {
    fn from(e: LedgerError) -> TicketError {
        TicketError::Ledger(e)
    }
}
impl From<StoreError> for TicketError {
    fn from(e: StoreError) -> TicketError {
        TicketError::Ledger(e.into())
    }
}
impl From<RandomError> for TicketError {
    fn from(e: RandomError) -> TicketError {
        TicketError::Ledger(LedgerError::Unavailable(e.to_string()))
    }
}
impl From<RelayError> for TicketError {
    fn from(e: RelayError) -> TicketError {
        match e {
            RelayError::Invalid(why) => TicketError::Invalid(why),
            RelayError::LimitReached(why, wait) => TicketError::LimitReached(why, wait),
            RelayError::Refused(why) => TicketError::Refused(why),
            RelayError::NotFound(why) => TicketError::NotFound(why),
            RelayError::Ledger(e) => TicketError::Ledger(e),
        }
    }
}
