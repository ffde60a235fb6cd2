//! Runs an import: stages its lines, compares them with the present rows, prepares the tables, and
//! submits the result to the writer.

use super::Ledger;
use crate::{
    ledger::{
        error::LedgerError,
        guard::{self, ListAcceptance, ListRefusal, NewList},
        import::{
            Import, ImportError, ImportReply, LineSink, MAX_IMPORTS, PreparedTables, StagedImport,
        },
        receipt::{ImportResult, Receipt},
        tables::load_generation,
        writer::WriterCommand,
    },
    model::{SourceId, Time},
    store::{
        Dictionary, StoreError,
        stage::{ComparedStage, Mode, StageOptions, StagedRows},
    },
};

/// How often an import's tables are prepared if too much is committed meanwhile. After that the
/// writer prepares them, and other commands wait.
const PREPARE_ATTEMPTS: usize = 3;

impl Ledger {
    /// Runs an import. `lines` passes every line to the sink, or returns an error; it may also set
    /// properties of the import that the file states. Blocks. A source has one import at a time.
    ///
    /// # Errors
    ///
    /// See [`ImportError`]; nothing has changed then.
    pub fn import_with(
        &self,
        request: &mut Import,
        lines: impl FnOnce(&mut Import, LineSink) -> Result<(), String>,
    ) -> Result<ImportResult, ImportError> {
        match request.source {
            Some(source) if !source.is_feed() => {
                let name = self.store.dictionary().sources.name(source).into();
                return Err(ImportError::NotAFeed(name));
            }
            None if !request.dry_run => {
                let why = "a source without a number permits only a dry run";
                return Err(LedgerError::Invalid(why.into()).into());
            }
            _ => {}
        }
        let busy = || self.busy.lock();
        {
            let mut busy = busy();
            if busy.len() >= MAX_IMPORTS || !busy.insert(request.source) {
                return Err(ImportError::Busy);
            }
        }
        let result = self.import_alone(request, lines);
        busy().remove(&request.source);
        result
    }

    fn import_alone(
        &self,
        request: &mut Import,
        lines: impl FnOnce(&mut Import, LineSink) -> Result<(), String>,
    ) -> Result<ImportResult, ImportError> {
        let Import { source, mode, .. } = *request;
        let mut stage = self.store.stage(StageOptions {
            source,
            mode,
            now: self.clock.now(),
        });
        stage.patch(std::mem::take(&mut request.touched));
        let mut stage_error = None;
        let read = lines(request, &mut |subject, entry| {
            stage.push(&subject, entry).map_err(|e| {
                let text = e.to_string();
                stage_error = Some(e);
                text
            })
        });
        if let Some(e) = stage_error {
            return Err(e.into());
        }
        read.map_err(ImportError::Input)?;
        if let Some(t) = request.expires.filter(|t| *t <= self.clock.now()) {
            return Err(ImportError::Expired(t));
        }
        let compared = stage.compared(request.dry_run)?;
        let passed = self.compare_with_last(request, &compared)?;
        let mut refused = None;
        let generation = || {
            let source = source.ok_or_else(|| StoreError::Io("the source has no number".into()))?;
            self.call(move |writer| writer.generation(source))
                .map_err(|e| {
                    let text = e.text(&self.store.dictionary());
                    refused = Some(e);
                    StoreError::Io(text)
                })
        };
        let staged = stage.finish(compared, generation);
        if let Some(e) = refused {
            return Err(ImportError::Ledger(e));
        }
        let staged = staged?;
        let difference = staged.difference.clone();
        let Some(source) = source.filter(|_| !request.dry_run) else {
            return Ok(ImportResult {
                receipt: None,
                difference,
            });
        };
        let expires = self.expires(request, source);
        let generation = match &staged.rows {
            StagedRows::Large(g) => Some(*g),
            StagedRows::Small(_) => None,
        };
        let staged_import = StagedImport {
            source,
            staged,
            expires,
            ended: false,
            follow: request.follow.take(),
            audit: request.audit.take(),
            was_expires: None,
            passed: passed.map(|p| (request.shape, p)),
            mode,
            base: 0,
            prepared: PreparedTables::Nothing,
        };
        let receipt = self.submit_import(staged_import);
        if let (
            Some(g),
            Err(ImportError::Ledger(
                LedgerError::Conflict(_)
                | LedgerError::Invalid(_)
                | LedgerError::NotFound(_)
                | LedgerError::Unavailable(_)
                | LedgerError::Stopped,
            )),
        ) = (generation, &receipt)
        {
            // The import was certainly not committed, so that its rows can be dropped at once.
            let _ = self.store.drop_generation(source, g);
        }
        Ok(ImportResult {
            receipt: Some(receipt?),
            difference,
        })
    }

    /// The time at which the source expires after an import, unless it is imported again.
    fn expires(&self, request: &Import, source: SourceId) -> Option<Time> {
        let requested = request
            .expires
            .into_iter()
            .chain(request.max_age.map(|a| self.clock.now().plus(a)))
            .min();
        // An import that changes only a part of the list keeps the expiry of the source.
        let present = || {
            self.store
                .dictionary()
                .records
                .get(usize::from(source.0))
                .and_then(|r| r.expires)
        };
        requested.or_else(|| {
            if request.mode == Mode::Replace {
                None
            } else {
                present()
            }
        })
    }

    /// Compares the list with the source's last one, if limits are set.
    fn compare_with_last(
        &self,
        request: &Import,
        compared: &ComparedStage,
    ) -> Result<Option<ListAcceptance>, ImportError> {
        let Some(limits) = &request.limits else {
            return Ok(None);
        };
        let last = match request.source {
            Some(source) => self.store.accepted_list(source)?,
            None => None,
        };
        let list = NewList {
            mode: request.mode,
            shape: &request.shape,
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

    /// Prepares a staged import while the writer works on, and submits it; repeats this if too much
    /// was committed meanwhile.
    fn submit_import(&self, mut staged_import: StagedImport) -> Result<Receipt, ImportError> {
        for attempt in 0..=PREPARE_ATTEMPTS {
            staged_import.prepared = PreparedTables::Nothing;
            if attempt < PREPARE_ATTEMPTS {
                self.prepare(&mut staged_import)?;
            }
            let reply = self.request(|reply| {
                WriterCommand::Run(Box::new(|writer| writer.import(staged_import, reply)))
            });
            match reply? {
                ImportReply::Done(receipt) => return Ok(receipt),
                ImportReply::Stale(returned) => staged_import = *returned,
            }
        }
        Err(ImportError::Busy)
    }

    fn prepare(&self, staged_import: &mut StagedImport) -> Result<(), ImportError> {
        let source = staged_import.source;
        match &staged_import.staged.rows {
            StagedRows::Small(rows) => {
                staged_import.base = self.store.seq()?;
                let mut read = Vec::with_capacity(rows.len());
                self.store.verdicts(
                    &self.store.dictionary(),
                    rows.iter().map(|r| &r.subject),
                    &mut |s, v| {
                        read.push((s.clone(), v));
                        Ok(())
                    },
                )?;
                staged_import.prepared = PreparedTables::Verdicts(read);
            }
            StagedRows::Large(generation) => {
                let (mut builder, base) =
                    self.call(|writer| Ok((Box::new(writer.builder.clone()), writer.seq)))?;
                let mut v = Dictionary::clone(&self.store.dictionary());
                v.records[usize::from(source.0)].generation = *generation;
                load_generation(
                    &self.store,
                    &v,
                    &mut builder,
                    source,
                    staged_import.staged.base,
                )?;
                (staged_import.base, staged_import.prepared) =
                    (base, PreparedTables::Tables(builder));
            }
        }
        Ok(())
    }
}
