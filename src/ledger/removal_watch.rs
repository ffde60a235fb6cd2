//! The writer and its log of removals: what is written to it, and what is done when it is lost.

use std::{collections::BTreeMap, path::Path};

use super::{
    LedgerError, RemovalLogHealth,
    removal_log::{Known, OnLoss, RemovalLog},
    transaction::Transaction,
    writer::Writer,
};
use crate::{
    model::Serial,
    store::{Batch, schema},
};

/// What a person can do about a lost log.
const ADVICE: &str = "put the file back, or set `on_loss = \"restart\"` in [removal_log] and reload: the log begins anew then, and says what it lacks";

impl Writer {
    /// Opens the log at a path.
    pub(super) fn open_removals(&self, path: &Path) -> Result<RemovalLog, LedgerError> {
        let store = self.store.id().iter().map(|b| format!("{b:02x}")).collect();
        let known = Known {
            n: self.store.removals()?,
            sum: self.store.removals_sum()?,
            store,
        };
        let known = match &self.removals {
            // A line whose commit failed was written all the same.
            Some(log) if log.n() > known.n => Known {
                n: log.n(),
                sum: log.sum(),
                ..known
            },
            _ => known,
        };
        RemovalLog::open(path, known).map_err(LedgerError::Invalid)
    }

    /// Takes another log, or none, in place of the one that is open. A log that is still whole
    /// moves to the new place.
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
                    return tracing::info!(path = %path.display(), "the log of removals goes on at another place");
                }
                Err(e) => tracing::error!(error = e, "the log of removals could not be moved"),
            }
        }
        self.removals = other;
        self.watch_removals(false);
    }

    /// Writes down, before it is true, what a store that is restored one day has to know.
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
            // What ends by its own time has nothing to say there but serials, which are written
            // when the log is back.
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

    /// Writes down, before it is true, that a reason or source gets another name.
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

    /// Looks whether the log is still the one that was written. Where it is lost, writes stop or it
    /// begins anew, by the setting.
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
                    tracing::info!(path = %log.path().display(), "the log of removals is whole again; writes are taken");
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
            // What to do about a file that is not ours is said with it; no setting touches it.
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
                    "no writes are taken: the log of removals is lost or damaged"
                );
            }
            self.health.set_removals(RemovalLogHealth {
                problem: Some(why),
                gap: self.health.removals().gap,
            });
        }
    }

    /// Lets the log begin anew at a path, and keeps in the store what is missing.
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
            tracing::error!(path = %path.display(), %gap, "the log of removals began anew; make a backup now: older copies cannot be restored without loss");
            batch.put(
                schema::META,
                schema::REMOVALS_GAP.to_vec(),
                schema::encode(&kept),
            );
            health.gap = Some(kept);
        } else {
            tracing::warn!(path = %path.display(), why, "the log of removals was written anew; nothing is missing");
        }
        self.health.set_removals(health);
        self.store.commit(batch).map_err(|e| e.to_string())
    }

    /// Reads the whole log.
    pub(super) fn verify_removals(&mut self) -> Result<(), LedgerError> {
        self.watch_removals(true);
        Ok(())
    }

    /// A copy of the store knows the log up to a line: what was lost before it is needed no more.
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

/// The rows that say up to which line the store knows its log.
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
