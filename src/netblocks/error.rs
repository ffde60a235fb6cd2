//! The errors of requests about netblocks.

use crate::{ledger::LedgerError, store::StoreError};

/// The error of a request about a netblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetblockError {
    /// The request is invalid; the text names the field and the cause.
    Invalid(String),
    /// A rule or the state of the entry forbids the request.
    Refused(String),
    /// The caller may not decide, because another person has to.
    SamePerson(String),
    /// There is no entry of this prefix.
    NotFound(String),
    /// The ledger refuses the change, or the store cannot be read.
    Ledger(LedgerError),
}

impl From<LedgerError> for NetblockError {
    fn from(e: LedgerError) -> NetblockError {
        NetblockError::Ledger(e)
    }
}

impl From<StoreError> for NetblockError {
    fn from(e: StoreError) -> NetblockError {
        NetblockError::Ledger(e.into())
    }
}
