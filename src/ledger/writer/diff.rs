//! Makes the tables of a zone at an earlier serial.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::Writer;
use crate::{
    index::{RawFacts, Tables},
    ledger::{diff::OldAndNew, error::LedgerError},
    model::Subject,
    store::journal::EarlierVerdicts,
};

impl Writer {
    /// The zone before the changes in `verdicts`, which has those up to commit `seq`, and now; `None`
    /// if the journal does not reach back that far, or the store has failed.
    pub(in crate::ledger) fn diff_since(
        &mut self,
        origin: &str,
        mut verdicts: EarlierVerdicts,
        seq: u64,
    ) -> Result<Option<OldAndNew>, LedgerError> {
        // Commits since `seq` are part of the difference too.
        if self.health.poisoned().is_some()
            || !self
                .store
                .add_earlier_verdicts(origin, seq, self.seq, &mut verdicts)?
        {
            return Ok(None);
        }
        let earlier = verdicts.iter().map(|(s, v)| (s, RawFacts::of(v)));
        let old: Tables = self.builder.with(earlier);
        // What counts as the network around an address changes with it.
        let derivations = self.builder.derivations();
        let networks = verdicts.keys().flat_map(|s| derivations.networks_around(s));
        let networks: BTreeSet<Subject> = networks.collect();
        let subjects = verdicts.into_keys().chain(networks);
        Ok(Some(OldAndNew {
            old,
            new: self.published.snapshot(),
            subjects: subjects.collect(),
        }))
    }
}
