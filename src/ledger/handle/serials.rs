//! Asks for a newer serial of a zone.

use super::Ledger;
use crate::ledger::{
    command::WriterCommand,
    error::LedgerError,
    serials::{SerialChange, SerialRequest},
};

impl Ledger {
    /// Gives a zone a newer serial. May block.
    ///
    /// # Errors
    ///
    /// [`LedgerError::SerialNotNewer`] where the serial is not newer than the zone's own, or, without `force`,
    /// than those of mirrors.
    pub fn set_serial(&self, request: SerialRequest) -> Result<SerialChange, LedgerError> {
        self.call(|r| WriterCommand::SetSerial(Box::new(request), r))
    }
}
