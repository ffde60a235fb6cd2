//! Runs an import: stages its lines, compares them, prepares the tables and hands all of it to the
//! writer.

use super::Ledger;
use crate::{
    ledger::{
        command::Job,
        error::Refused,
        guard::{self, ListRefusal, NewList, Passed},
        import::{Handed, IMPORTS, Import, ImportError, Prepared, Ready, Sink},
        receipt::{ImportResult, Receipt},
        tables::{build, load},
    },
    model::Time,
    store::{
        StoreError, Vocabulary,
        stage::{Compared, Mode, Rows, Terms},
    },
};

/// How often an import's tables are prepared again because too much was written meanwhile, before
/// others have to wait.
const TRIES: usize = 3;

impl Ledger {
    /// Runs an import: `lines` brings every line to the sink it is given, or ends with an error; it
    /// may also set what the file says of itself. Blocks; one at a time for each source.
    pub fn import_with(
        &self,
        what: &mut Import,
        lines: impl FnOnce(&mut Import, Sink) -> Result<(), String>,
    ) -> Result<ImportResult, ImportError> {
        if !what.source.is_feed() {
            return Err(ImportError::NotAFeed(
                self.store.vocabulary().sources.name(what.source).into(),
            ));
        }
        let busy = || self.busy.lock().unwrap_or_else(|e| e.into_inner());
        {
            let mut busy = busy();
            if busy.len() >= IMPORTS || !busy.insert(what.source) {
                return Err(ImportError::Busy);
            }
        }
        let result = self.import_alone(what, lines);
        busy().remove(&what.source);
        result
    }

    fn import_alone(
        &self,
        what: &mut Import,
        lines: impl FnOnce(&mut Import, Sink) -> Result<(), String>,
    ) -> Result<ImportResult, ImportError> {
        let known = self.published.load().tables.counts().iter().sum();
        let Import {
            source,
            mode,
            exceptions,
            ..
        } = *what;
        let mut stage = self.store.stage(Terms {
            source,
            mode,
            exceptions,
            now: self.clock.now(),
            known,
        });
        stage.patch(std::mem::take(&mut what.touched));
        let mut broken = None;
        let read = lines(what, &mut |subject, entry| {
            stage.push(subject, entry).map_err(|e| {
                let text = e.to_string();
                broken = Some(e);
                text
            })
        });
        if let Some(e) = broken {
            return Err(e.into());
        }
        read.map_err(ImportError::Input)?;
        if let Some(t) = what.expires.filter(|t| *t <= self.clock.now()) {
            return Err(ImportError::Over(t));
        }
        let compared = stage.compared(what.dry_run)?;
        let passed = self.compare_with_last(what, &compared)?;
        let mut refused = None;
        let generation = || {
            self.call(|r| Job::Generation(source, r)).map_err(|e| {
                let text = e.text(&self.store.vocabulary());
                refused = Some(e);
                StoreError::Io(text)
            })
        };
        let staged = stage.finish(compared, generation);
        if let Some(e) = refused {
            return Err(ImportError::Refused(e));
        }
        let staged = staged?;
        let difference = staged.difference.clone();
        if what.dry_run {
            return Ok(ImportResult {
                receipt: None,
                difference,
            });
        }
        let expires = self.expires(what);
        let generation = match &staged.rows {
            Rows::Large(g, _) => Some(*g),
            Rows::Small(_) => None,
        };
        let ready = Ready {
            staged,
            expires,
            ended: false,
            follow: what.follow.take(),
            asked: what.asked.take(),
            was_expires: None,
            passed: passed.map(|p| (what.shape, p)),
            mode,
            base: 0,
            prepared: Prepared::Nothing,
        };
        let receipt = self.hand_in(ready);
        if let (
            Some(g),
            Err(ImportError::Refused(
                Refused::Settings(_) | Refused::Poisoned(_) | Refused::Stopped,
            )),
        ) = (generation, &receipt)
        {
            // It is certain that it did not become true: its rows go at once, if they can.
            let _ = self.store.drop_generation(source, g);
        }
        Ok(ImportResult {
            receipt: Some(receipt?),
            difference,
        })
    }

    /// When the source's life ends after an import, unless it is imported again.
    fn expires(&self, what: &Import) -> Option<Time> {
        let said = what
            .expires
            .into_iter()
            .chain(what.max_age.map(|a| self.clock.now().plus(a)))
            .min();
        // Where a part of the list comes or goes, the life of the whole stays as it is.
        let stays = || {
            self.store
                .vocabulary()
                .records
                .get(usize::from(what.source.0))
                .and_then(|r| r.expires)
        };
        said.or_else(|| {
            if what.mode == Mode::Replace {
                None
            } else {
                stays()
            }
        })
    }

    /// Compares the list with the source's last one, if limits are set.
    fn compare_with_last(
        &self,
        what: &Import,
        compared: &Compared,
    ) -> Result<Option<Passed>, ImportError> {
        let Some(limits) = &what.limits else {
            return Ok(None);
        };
        let last = self.store.accepted_list(what.source)?;
        let list = NewList {
            mode: what.mode,
            shape: &what.shape,
            extents: &compared.extents(),
        };
        guard::check(&list, last.as_ref(), limits, self.clock.now())
            .map(Some)
            .map_err(|mut refusal| {
                if let ListRefusal::Guard(trip) = &mut refusal {
                    trip.difference = compared.difference().clone();
                }
                ImportError::List(refusal)
            })
    }

    /// Prepares a staged import beside the writer and hands it in, again while too much was written
    /// meanwhile.
    fn hand_in(&self, mut ready: Ready) -> Result<Receipt, ImportError> {
        for last in (0..TRIES).rev() {
            self.prepare(&mut ready)?;
            match self
                .call(|r| Job::Import(Box::new(ready), r))
                .map_err(ImportError::Refused)?
            {
                Handed::Done(receipt) => return Ok(receipt),
                Handed::Stale(again) => ready = *again,
            }
            if last == 0 {
                ready.prepared = Prepared::Nothing;
            }
        }
        match self
            .call(|r| Job::Import(Box::new(ready), r))
            .map_err(ImportError::Refused)?
        {
            Handed::Done(receipt) => Ok(receipt),
            Handed::Stale(_) => Err(ImportError::Busy),
        }
    }

    fn prepare(&self, ready: &mut Ready) -> Result<(), ImportError> {
        let source = ready.staged.source;
        match &ready.staged.rows {
            Rows::Small(rows) => {
                ready.base = self.store.seq()?;
                let mut read = Vec::with_capacity(rows.len());
                self.store.verdicts(
                    &self.store.vocabulary(),
                    rows.iter().map(|r| &r.subject),
                    &mut |s, v| {
                        read.push((s.clone(), v));
                        Ok(())
                    },
                )?;
                ready.prepared = Prepared::Verdicts(read);
            }
            Rows::Large(generation, listed) => {
                let (mut builder, base) = match listed {
                    Some(_) => self.call(Job::Fork).map_err(ImportError::Refused)?,
                    None => (Box::default(), self.store.seq()?),
                };
                let mut v = Vocabulary::clone(&self.store.vocabulary());
                v.records[usize::from(source.0)].generation = *generation;
                match listed {
                    Some(list) => load(&self.store, &v, &mut builder, list)?,
                    None => *builder = build(&self.store, &v)?,
                }
                (ready.base, ready.prepared) = (base, Prepared::Tables(builder));
            }
        }
        Ok(())
    }
}
