//! Requests a zone at an earlier serial and now.

use super::Ledger;
use crate::{
    ledger::{diff::OldAndNew, error::LedgerError},
    model::Serial,
};

/// The most changed subjects. Other commands wait while the writer puts them into tables.
const MAX_SUBJECTS: usize = 100_000;

impl Ledger {
    /// A zone when it had the serial `from`, and now; `None` if the journal does not reach back
    /// that far, or too many subjects have changed. Blocks.
    pub fn diff_since(&self, origin: &str, from: Serial) -> Result<Option<OldAndNew>, LedgerError> {
        let seq = self.published.load().seq;
        let found = self
            .store
            .verdicts_at_serial(origin, from, seq, MAX_SUBJECTS)?;
        let Some(earlier) = found else {
            return Ok(None);
        };
        let origin = origin.to_string();
        self.call(move |writer| writer.diff_since(&origin, earlier, seq))
    }
}
