//! The writer's use of the removal log: what it writes, and how it handles a loss.

use std::{collections::BTreeMap, path::Path};

use super::{
    LedgerError, RemovalLogHealth,
    removal_log::{LastLine, OnLoss, RemovalLog},
    transaction::Transaction,
    writer::Writer,
};
use crate::{
    model::Serial,
    store::{Batch, schema},
};

/// What an operator can do about a lost log.
const ADVICE: &str = "put the file back, or set `on_loss = \"restart\"` in [removal_log] and reload, which restarts the log with a record of the missing lines";

impl Writer {
    /// Opens the removal log at a path.
    pub(super) fn open_removals(&self, path: &Path) -> Result<RemovalLog, LedgerError> {
        let store = self.store.id().iter().map(|b| format!("{b:02x}")).collect();
        let known = LastLine {
            n: self.store.removals()?,
            sum: self.store.removals_sum()?,
            store,
        };
        let known = match &self.removals {
            // The log may have a line whose commit failed.
            Some(log) if log.n() > known.n => LastLine {
                n: log.n(),
                sum: log.sum(),
                ..known
            },
            _ => known,
        };
        RemovalLog::open(path, known).map_err(LedgerError::Invalid)
    }

    /// Switches to another log, or to none. A log that is intact is copied to the new path.
    pub(super) fn switch_removal_log(&mut self, other: Option<RemovalLog>) {
        if let (Some(old), Some(new)) = (&mut self.removals, &other)
            && !new.path().exists()
            && old.check(false).is_ok()
        {
            let (path, why) = (
                new.path().to_path_buf(),
                format!("it was at {} before", old.path().display()),
            );
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
        self.watch_removals(false);
        let Some(log) = &mut self.removals else {
            return Ok(());
        };
        let events = transaction.removals(&self.store.dictionary());
        if let Some(why) = self.health.removals().problem {
            // An expiry writes only serials, which are recorded when the log works again.
            return if events.is_empty() {
                Ok(())
            } else {
                Err(LedgerError::Unavailable(why))
            };
        }
        let known = log.n();
        log.write(self.clock.now(), events, serials)
            .map_err(LedgerError::Unavailable)?;
        if log.n() > known {
            known_line(log, batch);
        }
        Ok(())
    }

    /// Writes a rename to the removal log, before it is committed.
    pub(super) fn log_rename(
        &mut self,
        rename: &super::Rename,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        self.watch_removals(false);
        let Some(log) = &mut self.removals else {
            return Ok(());
        };
        if let Some(why) = self.health.removals().problem {
            return Err(LedgerError::Unavailable(why));
        }
        log.rename(self.clock.now(), rename)
            .map_err(LedgerError::Unavailable)?;
        known_line(log, batch);
        Ok(())
    }

    /// Checks that the log is still the one that was written. If it is lost, writes stop or the log
    /// is restarted, depending on the setting `on_loss`.
    pub(super) fn watch_removals(&mut self, thorough: bool) {
        let before = self.health.removals();
        let Some(log) = &mut self.removals else {
            return self.health.set_removals(RemovalLogHealth {
                problem: None,
                ..before
            });
        };
        let loss = match log.check(thorough) {
            Ok(()) => {
                if before.problem.is_some() {
                    tracing::info!(path = %log.path().display(), "the removal log is intact again; writes are accepted");
                    self.health.set_removals(RemovalLogHealth {
                        problem: None,
                        ..before
                    });
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
            if before.problem.as_ref() != Some(&why) {
                tracing::error!(
                    why,
                    "writes are refused: the removal log is lost or damaged"
                );
            }
            self.health.set_removals(RemovalLogHealth {
                problem: Some(why),
                gap: self.health.removals().gap,
            });
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
            .map(|(origin, record)| (origin, record.serial))
            .collect();
        let now = self.clock.now();
        let gap = log.restart(path, now, why, &serials)?;
        let kept = schema::RemovalGap {
            line: log.n(),
            at: now,
            missing: gap.missing.clone(),
            why: gap.why.clone(),
        };
        let mut batch = Batch::default();
        known_line(log, &mut batch);
        let mut health = RemovalLogHealth {
            problem: None,
            gap: self.health.removals().gap,
        };
        if !gap.missing.is_empty() {
            tracing::error!(path = %path.display(), %gap, "the removal log was restarted; make a backup now: older copies cannot be restored without loss");
            batch.put(
                schema::META,
                schema::REMOVALS_GAP.to_vec(),
                schema::encode(&kept),
            );
            health.gap = Some(kept);
        } else {
            tracing::warn!(path = %path.display(), why, "the removal log was restarted; no line is missing");
        }
        self.health.set_removals(health);
        self.store.commit(batch).map_err(|e| e.to_string())
    }

    /// Reads the whole removal log, and handles damage.
    pub(super) fn verify_removals(&mut self) -> Result<(), LedgerError> {
        self.watch_removals(true);
        Ok(())
    }

    /// Records a backup that includes the log up to a line: lines that were lost before it are no
    /// longer needed.
    pub(super) fn backed_up(&mut self, line: u64) -> Result<(), LedgerError> {
        let health = self.health.removals();
        if health.gap.as_ref().is_some_and(|gap| gap.line <= line) {
            let mut batch = Batch::default();
            batch.delete(schema::META, schema::REMOVALS_GAP.to_vec());
            self.commit_batch(batch)?;
            self.health.set_removals(RemovalLogHealth {
                gap: None,
                ..health
            });
        }
        Ok(())
    }
}

/// Adds the rows with the last line of the log that the store knows.
pub(super) fn known_line(log: &RemovalLog, batch: &mut Batch) {
    batch.put(
        schema::META,
        b"removals".to_vec(),
        log.n().to_be_bytes().to_vec(),
    );
    match log.sum() {
        Some(sum) => batch.put(
            schema::META,
            schema::REMOVALS_SUM.to_vec(),
            sum.to_be_bytes().to_vec(),
        ),
        None => batch.delete(schema::META, schema::REMOVALS_SUM.to_vec()),
    }
}
