//! Renames reasons and sources, and finds names that have left the configuration.

use std::time::{Duration, Instant};

use super::Ledger;
use crate::{
    ledger::{
        error::LedgerError,
        left_behind::{LeftBehind, left_behind},
        receipt::Receipt,
        rename::{NameKind, Rename},
        settings::LedgerSettings,
    },
    store::schema,
};

impl Ledger {
    /// The names that were configured, are not in `settings`, and have listings. Blocks; reads
    /// every verdict if a name is gone.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn left_behind(&self, settings: &LedgerSettings) -> Result<Vec<LeftBehind>, LedgerError> {
        Ok(left_behind(&self.store, settings)?)
    }

    /// As [`Ledger::left_behind`], for the present configuration; at most a minute old. Blocks.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn left_behind_now(&self) -> Result<Vec<LeftBehind>, LedgerError> {
        const MAX_AGE: Duration = Duration::from_secs(60);
        let mut left = self.left.lock();
        if let Some((_, found)) = left.as_ref().filter(|(at, _)| at.elapsed() < MAX_AGE) {
            return Ok(found.clone());
        }
        let found = self.left_behind(&self.settings())?;
        *left = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    /// Renames a reason or source, and applies the configuration with the new name. Blocks.
    ///
    /// # Errors
    ///
    /// The configuration or the store does not permit the rename; nothing has changed then.
    pub fn rename(
        &self,
        rename: Rename,
        settings: LedgerSettings,
        audit: schema::AuditRecord,
    ) -> Result<Receipt, LedgerError> {
        let source = (rename.kind == NameKind::Source)
            .then(|| self.store.dictionary().sources.get(&rename.from))
            .flatten();
        if source.is_some_and(|s| self.busy.lock().contains(&Some(s))) {
            return Err(LedgerError::Conflict(format!(
                "a list of `{}` is being imported; run this again when it is done",
                rename.from
            )));
        }
        let settings = LedgerSettings {
            mirrors: self.settings().mirrors.clone(),
            ..settings
        };
        let applied = settings.clone();
        let receipt = self.call(move |writer| writer.rename(&rename, applied, audit))?;
        self.set_settings(settings);
        Ok(receipt)
    }
}
