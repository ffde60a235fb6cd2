//! Commits staged imports, and ends the listings of feeds that were not imported in time.

use super::{Reply, Writer};
use crate::{
    index::derive::FactChange,
    ledger::{
        error::LedgerError,
        guard::{self, NewList},
        health::ZoneChanges,
        import::{ImportReply, PreparedTables, StagedImport},
        tables::{load, load_generation},
        transaction::Transaction,
    },
    model::{SourceId, Subject},
    store::{
        Dictionary,
        journal::ChangedSince,
        schema::{self, AcceptedList, ListShape, MAX_ENDS, ReplacedRows, SourceRecord},
        stage::{ChangedRow, FinishedStage, ImportDifference, Mode, ROW_COMMIT_MAX, StagedRows},
    },
};

/// Returns a number that no generation of the source has had. Earlier generations that were not
/// committed are marked as dead.
fn new_generation(r: &mut SourceRecord) -> u32 {
    let n = r.next.max(r.generation) + 1;
    for dead in r.generation + 1..n {
        if !r.dead.contains(&dead) {
            r.dead.push(dead);
        }
    }
    r.next = n;
    n
}

impl Writer {
    /// Returns the number for a new generation of a source; see [`new_generation`].
    pub(in crate::ledger) fn generation(&mut self, source: SourceId) -> Result<u32, LedgerError> {
        let mut v = Dictionary::clone(&self.store.dictionary());
        let Some(r) = v.records.get_mut(usize::from(source.0)) else {
            return Err(LedgerError::NotFound("there is no such source".into()));
        };
        let n = new_generation(r);
        self.save(v)?;
        Ok(n)
    }

    /// Commits a staged import. The receipt of a large import is sent after its image is written,
    /// so that a restart right after it is quick.
    pub(in crate::ledger) fn import(
        &mut self,
        staged_import: StagedImport,
        reply: Reply<ImportReply>,
    ) {
        let bulk = matches!(staged_import.staged.rows, StagedRows::Large(..));
        let result = self.commit_import(staged_import);
        self.follow_feed_sights();
        if bulk && matches!(result, Ok(ImportReply::Done(_))) {
            self.write_image(true, Some(Box::new(|| drop(reply.send(result)))));
        } else {
            let _ = reply.send(result);
        }
    }

    fn commit_import(
        &mut self,
        mut staged_import: StagedImport,
    ) -> Result<ImportReply, LedgerError> {
        // The expiry of a source writes nothing to the removal log, and needs only the store.
        let refused = if staged_import.ended {
            self.health.poisoned()
        } else {
            self.health.writes_refused()
        };
        if let Some(why) = refused {
            return Err(LedgerError::Unavailable(why));
        }
        let source = staged_import.source;
        let mut v = Dictionary::clone(&self.store.dictionary());
        let Some(record) = v.records.get_mut(usize::from(source.0)) else {
            return Err(LedgerError::NotFound("there is no such source".into()));
        };
        if record.generation != staged_import.staged.base {
            return Err(LedgerError::Conflict(
                "the source changed while the import was staged; import it again".into(),
            ));
        }
        let follow = staged_import.follow.as_ref();
        if follow.is_some_and(|f| f.previous != record.followed) {
            return Err(LedgerError::Conflict(
                "the source was imported, or has expired, while its zone was read; the zone is read again"
                    .into(),
            ));
        }
        let was = std::mem::replace(&mut record.followed, follow.map(|f| f.current.clone()));
        staged_import.was_expires = record.expires;
        (record.feed, record.expires) = (true, staged_import.expires);
        if staged_import.ended {
            record.masks = [0; 2];
        } else {
            record.refreshed = self.clock.now();
            record.masks[0] |= staged_import.staged.masks[0];
            record.masks[1] |= staged_import.staged.masks[1];
        }
        let changed = self.store.changed_since(staged_import.base)?;
        let (mut transaction, tables) =
            match std::mem::replace(&mut staged_import.staged.rows, StagedRows::Small(vec![])) {
                StagedRows::Small(rows) => (self.small(&staged_import, rows, v, &changed)?, None),
                StagedRows::Large(generation) => {
                    v.records[usize::from(source.0)].generation = generation;
                    let prepared =
                        std::mem::replace(&mut staged_import.prepared, PreparedTables::Nothing);
                    let mut builder = match (prepared, &changed) {
                        (PreparedTables::Tables(mut b), ChangedSince::Subjects(subjects)) => {
                            load(&self.store, &v, &mut b, subjects)?;
                            *b
                        }
                        (PreparedTables::Tables(_), ChangedSince::Everything) => {
                            staged_import.staged.rows = StagedRows::Large(generation);
                            return Ok(ImportReply::Stale(Box::new(staged_import)));
                        }
                        _ => {
                            let mut b = self.builder.clone();
                            load_generation(
                                &self.store,
                                &v,
                                &mut b,
                                source,
                                staged_import.staged.base,
                            )?;
                            b
                        }
                    };
                    // The rules of zones may have changed since the preparation.
                    let derivations = self.builder.derivations();
                    if builder.derivations() != derivations {
                        builder = builder.rederived(derivations.clone());
                    }
                    (self.large(&staged_import, v)?, Some(builder))
                }
            };
        if let Some(list) = self.accepted_list(&staged_import)? {
            let (key, row) = (schema::accepted_key(source), schema::encode(&list));
            transaction.set(schema::META, key, Some(row));
        }
        transaction.update_followed_copy(source, was.map(|f| f.copy), staged_import.follow.take());
        if let Some(mut audit) = staged_import.audit.take() {
            self.check_idempotency(audit.idempotency)?;
            audit.detail = staged_import.staged.difference.to_string();
            transaction.audit.push(audit);
        }
        let large = tables.is_some().then(|| {
            let staged = &staged_import.staged;
            (staged.masks, staged.difference.clone())
        });
        let done = self.commit(&transaction, tables)?;
        if let Some((masks, difference)) = large {
            let changes: Vec<_> = FactChange::of_masks(masks, Some(source)).collect();
            self.count_large_import(&changes, &difference);
        }
        Ok(ImportReply::Done(done))
    }

    /// Counts a large import, whose subjects are not read one by one, in each zone that publishes a
    /// reason of it.
    fn count_large_import(&self, changes: &[FactChange], difference: &ImportDifference) {
        let d = difference;
        let counts = ZoneChanges {
            listed: d.added.saturating_sub(d.excluded_added),
            delisted: d.removed.saturating_sub(d.excluded_removed),
        };
        for zone in self.zones.all() {
            if zone.changed_by(changes) {
                self.health.add_zone_changes(&zone.name, counts);
            }
        }
    }

    /// The properties of the list for the comparison with the next one; `None`: the stored ones
    /// stay.
    fn accepted_list(
        &self,
        staged_import: &StagedImport,
    ) -> Result<Option<AcceptedList>, LedgerError> {
        let last = self.store.accepted_list(staged_import.source)?;
        if let Some((shape, passed)) = &staged_import.passed {
            let list = NewList {
                mode: staged_import.mode,
                shape,
                extents: &staged_import.staged.extents,
            };
            let now = self.clock.now();
            return Ok(Some(guard::accepted(&list, last, *passed, now)));
        }
        let Some(last) = last else { return Ok(None) };
        // The next list is not compared with peaks from before intended removals. An undo may
        // restore a list of another shape.
        let keeps_shape = staged_import.ended
            || staged_import.follow.is_some()
            || staged_import.mode == Mode::Remove;
        let shape = match keeps_shape {
            true => last.shape,
            false => ListShape::default(),
        };
        Ok(Some(AcceptedList {
            shape,
            peaks: Vec::new(),
        }))
    }

    /// The transaction of an import with few rows, each of which has a before-image in the journal.
    fn small(
        &self,
        staged_import: &StagedImport,
        rows: Vec<ChangedRow>,
        mut v: Dictionary,
        changed: &ChangedSince,
    ) -> Result<Transaction, LedgerError> {
        let source = staged_import.source;
        let author = v.sources.name(source).to_string();
        let record = &mut v.records[usize::from(source.0)];
        if record.generation == 0 {
            // Not a number that was staged before, whose rows may still exist.
            record.generation = new_generation(record);
        }
        let generation = record.generation;
        let mut transaction = Transaction::new(self.clock.now());
        // Keep the rows that the last large import has replaced: the journal has the changes since.
        // They expire with the source.
        if staged_import.ended {
            transaction.drop_replaced(source, record.kept.take());
        } else if let Some(kept) = &mut record.kept
            && matches!(staged_import.mode, Mode::Replace | Mode::Add)
        {
            kept.expires = staged_import.expires;
        }
        if let (PreparedTables::Verdicts(read), ChangedSince::Subjects(changed)) =
            (&staged_import.prepared, changed)
        {
            for (subject, verdict) in read {
                if changed.binary_search(subject).is_err() {
                    transaction.seed(subject.clone(), verdict.clone());
                }
            }
        }
        for row in rows {
            let of = (source, generation);
            transaction.feed_row(&self.store, of, &author, row, staged_import.ended)?;
        }
        if !staged_import.ended {
            transaction.release_orphaned_holds(&self.store)?;
        }
        transaction.dictionary = Some(v);
        Ok(transaction)
    }

    /// The transaction of an import with many rows, whose new generation replaces the old one.
    fn large(
        &self,
        staged_import: &StagedImport,
        mut v: Dictionary,
    ) -> Result<Transaction, LedgerError> {
        let source = staged_import.source;
        let author = v.sources.name(source).to_string();
        let mut transaction = Transaction::new(self.clock.now());
        transaction.extra = staged_import.staged.masks;
        (transaction.barrier, transaction.bulk) = (true, Some(source));
        if staged_import.ended {
            let ends = &mut v.records[usize::from(source.0)].ends;
            ends.push(self.clock.now());
            ends.drain(..ends.len().saturating_sub(MAX_ENDS));
        } else {
            for subject in self.store.held(source)? {
                let verdict_of = |s: &Subject| Ok(self.store.verdict_in(&v, s)?);
                transaction.release(&self.store, source, &subject, verdict_of, &author)?;
            }
        }
        // Keep the replaced rows until the next large import, so that this one can be undone.
        let kept = ReplacedRows {
            commit: self.seq + 1,
            generation: staged_import.staged.base,
            expires: staged_import.was_expires,
        };
        let older = v.records[usize::from(source.0)].kept.replace(kept);
        transaction.drop_replaced(source, older);
        transaction.dictionary = Some(v);
        Ok(transaction)
    }

    /// Deletes the rows that large imports have replaced if the journal no longer has the import,
    /// which then cannot be undone.
    pub(super) fn drop_kept(&mut self) -> Result<(), LedgerError> {
        let mut v = Dictionary::clone(&self.store.dictionary());
        let mut dropped = Vec::new();
        for (i, record) in v.records.iter_mut().enumerate() {
            if let Some(kept) = record.kept
                && self.store.commit_row(kept.commit)?.is_none()
            {
                record.kept = None;
                dropped.push((SourceId(i as u16), kept.generation));
            }
        }
        if dropped.is_empty() {
            return Ok(());
        }
        self.save(v)?;
        for (source, generation) in dropped {
            if generation > 0 {
                self.store.drop_generation(source, generation)?;
            }
        }
        Ok(())
    }

    /// Ends the listings of a feed that was not imported in time.
    pub(super) fn end_source(&mut self, source: SourceId) -> Result<(), LedgerError> {
        let v = self.store.dictionary();
        let record = &v.records[usize::from(source.0)];
        tracing::warn!(
            source = record.name,
            "the feed has expired because it was not imported in time; ending its listings"
        );
        let rows = self
            .store
            .feed_rows(source, record.generation, ROW_COMMIT_MAX + 1)?;
        let few = rows.len() <= ROW_COMMIT_MAX;
        let ended = |(subject, old)| ChangedRow {
            subject,
            old,
            new: vec![],
        };
        let rows = match few {
            true => StagedRows::Small(rows.into_iter().map(ended).collect()),
            false => StagedRows::Large(self.generation(source)?),
        };
        let staged = FinishedStage {
            source: Some(source),
            base: record.generation,
            difference: ImportDifference::default(),
            extents: Default::default(),
            masks: record.masks,
            rows,
            holds: Default::default(),
        };
        self.commit_import(StagedImport {
            source,
            staged,
            expires: None,
            ended: true,
            follow: None,
            audit: None,
            was_expires: None,
            passed: None,
            mode: Mode::Replace,
            base: self.seq,
            prepared: PreparedTables::Nothing,
        })?;
        if !few {
            self.write_image(true, None);
        }
        Ok(())
    }
}
