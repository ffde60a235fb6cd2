//! Makes the tables of a zone's past.

use super::Writer;
use crate::{
    index::{RawFacts, Tables},
    ledger::{
        diff::{DiffRequest, OldAndNew},
        error::LedgerError,
    },
    store::journal::Past,
};

impl Writer {
    /// The zone at the requested serial beside the zone now; `None` if the journal does not reach
    /// back that far, or the store is in doubt.
    pub(super) fn diff_since(
        &mut self,
        mut request: DiffRequest,
    ) -> Result<Option<OldAndNew>, LedgerError> {
        let in_doubt = self.health.poisoned().is_some();
        // Commits since the request was made belong to the difference too.
        if in_doubt
            || !self
                .store
                .before(&request.origin, request.seq, self.seq, &mut request.past)?
        {
            return Ok(None);
        }
        Ok(Some(OldAndNew {
            old: self.tables_before(&request.past),
            new: self.published.snapshot(),
            subjects: request.past.into_keys().collect(),
        }))
    }

    /// The tables with the verdicts of the past in them.
    fn tables_before(&mut self, past: &Past) -> Tables {
        self.builder
            .with(past.iter().map(|(s, v)| (s, RawFacts::of(v))))
    }
}
