//! Makes the tables of a zone at an earlier serial.

use super::Writer;
use crate::{
    index::{RawFacts, Tables},
    ledger::{diff::OldAndNew, error::LedgerError},
    store::journal::Past,
};

impl Writer {
    /// The zone before the changes in `past`, which has those up to commit `seq`, and now; `None`
    /// if the journal does not reach back that far, or the store has failed.
    pub(in crate::ledger) fn diff_since(
        &mut self,
        origin: &str,
        mut past: Past,
        seq: u64,
    ) -> Result<Option<OldAndNew>, LedgerError> {
        // Commits since `seq` are part of the difference too.
        if self.health.poisoned().is_some()
            || !self.store.before(origin, seq, self.seq, &mut past)?
        {
            return Ok(None);
        }
        let earlier = past.iter().map(|(s, v)| (s, RawFacts::of(v)));
        let old: Tables = self.builder.with(earlier);
        Ok(Some(OldAndNew {
            old,
            new: self.published.snapshot(),
            subjects: past.into_keys().collect(),
        }))
    }
}
