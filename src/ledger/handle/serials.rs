//! Sets a newer serial of a zone.

use super::Ledger;
use crate::ledger::{
    error::LedgerError,
    serials::{SerialChange, SerialRequest},
};

impl Ledger {
    /// Sets a newer serial of a zone. May block.
    ///
    /// # Errors
    ///
    /// [`LedgerError::SerialNotNewer`]: the serial is not newer than the zone's own, or, without
    /// `force`, than that of a mirror.
    pub fn set_serial(&self, request: SerialRequest) -> Result<SerialChange, LedgerError> {
        self.call(move |writer| writer.set_serial(&request))
    }
}
