//! Asks for a newer serial of a zone.

use super::Ledger;
use crate::ledger::{
    command::Job,
    error::Refused,
    serials::{SerialChange, SerialRequest},
};

impl Ledger {
    /// Gives a zone a newer serial. May block.
    ///
    /// # Errors
    ///
    /// [`Refused::Serial`] where the serial is not newer than the zone's own, or, without `force`,
    /// than those of mirrors.
    pub fn set_serial(&self, request: SerialRequest) -> Result<SerialChange, Refused> {
        self.call(|r| Job::Serial(Box::new(request), r))
    }
}
