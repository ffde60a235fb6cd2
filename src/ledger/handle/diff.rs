//! Asks for the difference between two serials of a zone.

use super::Ledger;
use crate::{
    ledger::{
        command::WriterCommand,
        diff::{DiffRequest, OldAndNew},
        error::LedgerError,
    },
    model::Serial,
};

/// The most subjects that may have changed: the writer puts them into tables while others wait for
/// it.
const MAX_SUBJECTS: usize = 100_000;

impl Ledger {
    /// A zone when it had serial `from`, beside the present. `None` where the journal does not
    /// know, or too much changed. Blocks.
    pub fn diff_since(&self, origin: &str, from: Serial) -> Result<Option<OldAndNew>, LedgerError> {
        let seq = self.published.load().seq;
        match self.store.past(origin, from, seq, MAX_SUBJECTS)? {
            Some(past) => self.call(|r| {
                WriterCommand::DiffSince(
                    Box::new(DiffRequest {
                        origin: origin.into(),
                        past,
                        seq,
                    }),
                    r,
                )
            }),
            None => Ok(None),
        }
    }
}
