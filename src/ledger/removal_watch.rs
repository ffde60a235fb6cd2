//! The writer's use of the removal log: what it writes, and how it handles a loss.

use std::{collections::BTreeMap, path::Path};

use super::{
    LedgerError,
    removal_log::{LastLine, OnLoss, RemovalLog},
    transaction::Transaction,
    writer::Writer,
};
use crate::{
    model::{Serial, Time},
    store::{Batch, LastBackup, schema},
};

/// What an operator can do about a lost log.
const ADVICE: &str = "put the file back, or set `on_loss = \"restart\"` in [removal_log] and reload, which restarts the log with a record of the missing lines";

impl Writer {
    /// Opens the removal log at a path.
    pub(super) fn open_removals(&self, path: &Path) -> Result<RemovalLog, LedgerError> {
        let mut known = LastLine::of(&self.store)?;
        // The log may have a line whose commit failed.
        if let Some(log) = self.removals.as_ref().filter(|log| log.n() > known.n) {
            (known.n, known.sum) = (log.n(), log.sum());
        }
        RemovalLog::open(path, known).map_err(LedgerError::Invalid)
    }

    /// Switches to another log, or to none. A log that is intact is copied to the new path.
    pub(super) fn switch_removal_log(&mut self, other: Option<RemovalLog>) {
        if let (Some(old), Some(new)) = (&mut self.removals, &other)
            && !new.path().exists()
            && old.check(false).is_ok()
        {
            let why = format!("it was at {} before", old.path().display());
            let path = new.path().to_path_buf();
            match self.restart_removals(&path, &why) {
                Ok(()) => {
                    return tracing::info!(path = %path.display(), "the removal log was moved");
                }
                Err(e) => tracing::error!(error = e, "the removal log could not be moved"),
            }
        }
        self.removals = other;
        self.watch_removals(false);
    }

    /// Writes the decisions of a transaction to the removal log, before they are committed.
    pub(super) fn log_removals(
        &mut self,
        transaction: &Transaction,
        serials: &BTreeMap<String, Serial>,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        if self.removals.is_none() {
            return Ok(());
        }
        let events = transaction.removals(&self.store.dictionary());
        self.write_removal_log(!events.is_empty(), batch, |log, now| {
            log.write(now, events, serials)
        })
    }

    /// Writes a rename to the removal log, before it is committed.
    pub(super) fn log_rename(
        &mut self,
        rename: &super::Rename,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        self.write_removal_log(true, batch, |log, now| log.rename(now, rename))
    }

    /// Writes to the removal log, if there is one, and adds the new last line to a batch. While the
    /// log is lost, an error refuses what is `required`.
    fn write_removal_log(
        &mut self,
        required: bool,
        batch: &mut Batch,
        write: impl FnOnce(&mut RemovalLog, Time) -> Result<(), String>,
    ) -> Result<(), LedgerError> {
        self.watch_removals(false);
        let Some(log) = &mut self.removals else {
            return Ok(());
        };
        match self.health.removals().problem {
            None => {}
            Some(why) if required => return Err(LedgerError::Unavailable(why)),
            // An expiry writes only serials, which are recorded when the log works again.
            Some(_) => return Ok(()),
        }
        let known = log.n();
        write(log, self.clock.now()).map_err(LedgerError::Unavailable)?;
        if log.n() > known {
            known_line(log.n(), log.sum(), batch);
        }
        Ok(())
    }

    /// Checks that the log is still the one that was written. If it is lost, writes stop or the log
    /// is restarted, depending on the setting `on_loss`.
    pub(super) fn watch_removals(&mut self, thorough: bool) {
        let before = self.health.removals().problem;
        let Some(log) = &mut self.removals else {
            return self.health.set_removal_problem(None);
        };
        let loss = match log.check(thorough) {
            Ok(()) => {
                if before.is_some() {
                    tracing::info!(path = %log.path().display(), "the removal log is intact again; writes are accepted");
                    self.health.set_removal_problem(None);
                }
                return;
            }
            Err(loss) => loss,
        };
        let path = log.path().to_path_buf();
        let restarted = match self.settings.on_loss {
            // The message names the remedy; no setting permits moving another store's file.
            _ if loss.foreign => Err(loss.why),
            OnLoss::Restart => self
                .restart_removals(&path, &loss.why)
                .map_err(|e| format!("{}; {e}", loss.why)),
            OnLoss::Stop => Err(format!("{}; {ADVICE}", loss.why)),
        };
        if let Err(why) = restarted {
            if before.as_ref() != Some(&why) {
                tracing::error!(
                    why,
                    "writes are refused: the removal log is lost or damaged"
                );
            }
            self.health.set_removal_problem(Some(why));
        }
    }

    /// Restarts the log at a path, and records the missing lines in the store.
    fn restart_removals(&mut self, path: &Path, why: &str) -> Result<(), String> {
        let Some(log) = &mut self.removals else {
            return Ok(());
        };
        let zones = self.store.zones().map_err(|e| e.to_string())?;
        let serials = zones
            .into_iter()
            .map(|(origin, zone)| (origin, zone.serial));
        let now = self.clock.now();
        let gap = log.restart(path, now, why, &serials.collect())?;
        let kept = schema::RemovalGap {
            line: log.n(),
            at: now,
            missing: gap.missing.clone(),
            why: gap.why.clone(),
        };
        let mut batch = Batch::default();
        known_line(log.n(), log.sum(), &mut batch);
        self.health.set_removal_problem(None);
        if gap.missing.is_empty() {
            tracing::warn!(path = %path.display(), why, "the removal log was restarted; no line is missing");
        } else {
            tracing::error!(path = %path.display(), %gap, "the removal log was restarted; make a backup now: older copies cannot be restored without loss");
            let key = schema::REMOVALS_GAP.to_vec();
            batch.put(schema::META, key, schema::encode(&kept));
            self.health.set_removal_gap(Some(kept));
        }
        self.store.commit(batch).map_err(|e| e.to_string())
    }

    /// Reads the whole removal log, and handles damage.
    pub(super) fn verify_removals(&mut self) -> Result<(), LedgerError> {
        self.watch_removals(true);
        Ok(())
    }

    /// Records a backup. Lines of the log that were lost before its last line are no longer needed.
    pub(super) fn backed_up(&mut self, backup: LastBackup) -> Result<(), LedgerError> {
        let mut batch = Batch::default();
        backup.record(&mut batch);
        let gap = self.health.removals().gap;
        let is_covered = gap.is_some_and(|gap| gap.line <= backup.removal_line);
        if is_covered {
            batch.delete(schema::META, schema::REMOVALS_GAP.to_vec());
        }
        self.commit_batch(batch)?;
        if is_covered {
            self.health.set_removal_gap(None);
        }
        Ok(())
    }
}

/// Adds the rows with the last line of the log that the store knows.
pub(super) fn known_line(n: u64, sum: Option<u32>, batch: &mut Batch) {
    let number = n.to_be_bytes().to_vec();
    batch.put(schema::META, b"removals".to_vec(), number);
    let sum = sum.map(|sum| sum.to_be_bytes().to_vec());
    batch.set(schema::META, schema::REMOVALS_SUM.to_vec(), sum);
}
