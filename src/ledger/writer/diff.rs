//! Makes the tables of a zone at an earlier serial.

use super::Writer;
use crate::{
    index::{RawFacts, Tables},
    ledger::{
        diff::{DiffRequest, OldAndNew},
        error::LedgerError,
    },
    store::journal::EarlierVerdicts,
};

impl Writer {
    /// The zone at the requested serial and now; `None` if the journal does not reach back that
    /// far, or the store has failed.
    pub(super) fn diff_since(
        &mut self,
        mut request: DiffRequest,
    ) -> Result<Option<OldAndNew>, LedgerError> {
        let store_failed = self.health.poisoned().is_some();
        // Commits since the request are part of the difference too.
        if store_failed
            || !self.store.add_earlier_verdicts(
                &request.origin,
                request.seq,
                self.seq,
                &mut request.earlier,
            )?
        {
            return Ok(None);
        }
        Ok(Some(OldAndNew {
            old: self.tables_before(&request.earlier),
            new: self.published.snapshot(),
            subjects: request.earlier.into_keys().collect(),
        }))
    }

    /// The tables with earlier verdicts in them.
    fn tables_before(&mut self, earlier: &EarlierVerdicts) -> Tables {
        self.builder
            .with(earlier.iter().map(|(s, v)| (s, RawFacts::of(v))))
    }
}
