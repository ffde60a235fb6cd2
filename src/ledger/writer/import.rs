//! Commits staged imports, and ends feeds that were not imported in time.

use super::Writer;
use crate::{
    ledger::{
        command::Reply,
        error::Refused,
        guard::{self, NewList},
        import::{Handed, Prepared, Ready},
        tables::{build, load},
        transaction::Work,
    },
    model::SourceId,
    store::{
        Vocabulary,
        journal::Since,
        schema::{AcceptedList, Audit, Kept, ListShape, MAX_ENDS, SourceRecord},
        stage::{Difference, Mode, Row, Rows, SMALL, Staged},
    },
};

/// A number that no generation of the source has had; those that never became true are dead from
/// now on.
fn fresh(r: &mut SourceRecord) -> u32 {
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
    /// A number for a generation; those before it that never became true are dead from now on.
    pub(super) fn generation(&mut self, source: SourceId) -> Result<u32, Refused> {
        let mut v = Vocabulary::clone(&self.store.vocabulary());
        let Some(r) = v.records.get_mut(usize::from(source.0)) else {
            return Err(Refused::Settings("there is no such source".into()));
        };
        let n = fresh(r);
        self.save(v)?;
        Ok(n)
    }

    /// Makes a staged import true. The receipt of a large one comes when its image is written,
    /// beside the work, so that a start right after it is as quick as any.
    pub(super) fn import(&mut self, ready: Ready, reply: Reply<Handed>) {
        let bulk = matches!(ready.staged.rows, Rows::Large(..));
        let result = self.make_true(ready);
        if bulk && matches!(result, Ok(Handed::Done(_))) {
            self.write_image(true, Some(Box::new(|| drop(reply.send(result)))));
        } else {
            let _ = reply.send(result);
        }
    }

    fn make_true(&mut self, mut ready: Ready) -> Result<Handed, Refused> {
        // What ends by its own time says nothing in the log of removals, and ends while that is
        // lost.
        let refused = if ready.ended {
            self.health.poisoned()
        } else {
            self.health.writes_refused()
        };
        if let Some(why) = refused {
            return Err(Refused::Poisoned(why));
        }
        let source = ready.staged.source;
        let mut v = Vocabulary::clone(&self.store.vocabulary());
        let Some(record) = v.records.get_mut(usize::from(source.0)) else {
            return Err(Refused::Settings("there is no such source".into()));
        };
        if record.generation != ready.staged.base {
            return Err(Refused::Settings(
                "the source changed while the import was staged; import it again".into(),
            ));
        }
        if ready
            .follow
            .as_ref()
            .is_some_and(|f| f.was != record.followed)
        {
            return Err(Refused::Settings(
                "the source was imported, or ended, while its zone was read; it is read again"
                    .into(),
            ));
        }
        let was = std::mem::replace(
            &mut record.followed,
            ready.follow.as_ref().map(|f| f.is.clone()),
        );
        ready.was_expires = record.expires;
        (record.feed, record.expires) = (true, ready.expires);
        if ready.ended {
            record.masks = [0; 2];
        } else {
            record.refreshed = self.clock.now();
            record.masks[0] |= ready.staged.masks[0];
            record.masks[1] |= ready.staged.masks[1];
        }
        let changed = self.store.changed_since(ready.base)?;
        let (mut work, tables) =
            match std::mem::replace(&mut ready.staged.rows, Rows::Small(vec![])) {
                Rows::Small(rows) => (self.small(&ready, rows, v, &changed)?, None),
                Rows::Large(generation, listed) => {
                    v.records[usize::from(source.0)].generation = generation;
                    let builder = match (
                        std::mem::replace(&mut ready.prepared, Prepared::Nothing),
                        &changed,
                    ) {
                        (Prepared::Tables(mut b), Since::Subjects(subjects)) => {
                            load(&self.store, &v, &mut b, subjects)?;
                            *b
                        }
                        (Prepared::Tables(_), Since::Everything) => {
                            ready.staged.rows = Rows::Large(generation, listed);
                            return Ok(Handed::Stale(Box::new(ready)));
                        }
                        _ => build(&self.store, &v)?,
                    };
                    (self.large(&ready, v)?, Some(builder))
                }
            };
        work.accepted = self.accepted_list(&ready)?.map(|list| (source, list));
        work.copied(source, was.map(|f| f.copy), ready.follow.take());
        ready
            .asked
            .as_ref()
            .map_or(Ok(()), |line| self.first(line))?;
        work.audit.extend(ready.asked.take().map(|a| Audit {
            detail: ready.staged.difference.words(),
            ..a
        }));
        self.commit(&work, tables).map(Handed::Done)
    }

    /// What is kept of the list for the comparison with the next one; `None` where that stays as it
    /// is.
    fn accepted_list(&self, ready: &Ready) -> Result<Option<AcceptedList>, Refused> {
        let last = self.store.accepted_list(ready.staged.source)?;
        if let Some((shape, passed)) = &ready.passed {
            let list = NewList {
                mode: ready.mode,
                shape,
                extents: &ready.staged.extents,
            };
            return Ok(Some(guard::accepted(
                &list,
                last,
                *passed,
                self.clock.now(),
            )));
        }
        let Some(last) = last else { return Ok(None) };
        // Entries that ended or were taken off on purpose are not held against the next list; and
        // what an undo brings back may be of another kind than the list that it undoes.
        let keeps_shape = ready.ended || ready.follow.is_some() || ready.mode == Mode::Remove;
        Ok(Some(AcceptedList {
            shape: if keeps_shape {
                last.shape
            } else {
                ListShape::default()
            },
            peaks: Vec::new(),
        }))
    }

    /// Few rows: each with its before-image in the journal.
    fn small(
        &self,
        ready: &Ready,
        rows: Vec<Row>,
        mut v: Vocabulary,
        changed: &Since,
    ) -> Result<Work, Refused> {
        let source = ready.staged.source;
        let author = v.sources.name(source).to_string();
        let record = &mut v.records[usize::from(source.0)];
        if record.generation == 0 {
            // Never one that was staged before: its rows may still be there.
            record.generation = fresh(record);
        }
        let generation = record.generation;
        let mut work = Work::new(self.clock.now());
        // What a large import has replaced stays: the journal knows which rows have changed since.
        // Only its time follows the source's, and with the source's life it ends.
        match &mut record.kept {
            Some(k) if !ready.ended && matches!(ready.mode, Mode::Replace | Mode::Add) => {
                k.expires = ready.expires;
            }
            kept if ready.ended => {
                kept.take()
                    .into_iter()
                    .filter(|k| k.generation > 0)
                    .for_each(|k| work.drop_generation(source, k.generation));
            }
            _ => {}
        }
        if let (Prepared::Verdicts(read), Since::Subjects(changed)) = (&ready.prepared, changed) {
            let still = read
                .iter()
                .filter(|(s, _)| changed.binary_search(s).is_err());
            still.for_each(|(s, verdict)| work.seed(s.clone(), verdict.clone()));
        }
        for row in rows {
            work.feed_row(&self.store, (source, generation), &author, row, ready.ended)?;
        }
        if !ready.ended {
            work.uncover(&self.store)?;
        }
        work.vocabulary(v);
        Ok(work)
    }

    /// Many: the new generation takes the place of the old one.
    fn large(&self, ready: &Ready, mut v: Vocabulary) -> Result<Work, Refused> {
        let source = ready.staged.source;
        let author = v.sources.name(source).to_string();
        let mut work = Work::new(self.clock.now());
        work.extra = ready.staged.masks;
        (work.barrier, work.bulk) = (true, Some(source));
        if ready.ended {
            let ends = &mut v.records[usize::from(source.0)].ends;
            ends.push(self.clock.now());
            ends.drain(..ends.len().saturating_sub(MAX_ENDS));
        } else {
            for subject in self.store.held(source)? {
                let verdict = self.store.verdict_in(&v, &subject)?;
                let covered = |reason| {
                    for wider in subject.wider() {
                        if self
                            .store
                            .verdict_in(&v, &wider)?
                            .entry(reason, source)
                            .is_some_and(|e| !e.hole)
                        {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                };
                work.release(source, &subject, verdict, covered, &author)?;
            }
        }
        // The rows that it takes the place of stay until the next large import, so that it can be
        // undone.
        let kept = Kept {
            commit: self.seq + 1,
            generation: ready.staged.base,
            expires: ready.was_expires,
        };
        let older = v.records[usize::from(source.0)].kept.replace(kept);
        older
            .into_iter()
            .filter(|k| k.generation > 0)
            .for_each(|k| work.drop_generation(source, k.generation));
        work.vocabulary(v);
        Ok(work)
    }

    /// Drops what large imports have replaced, when the journal no longer has them: they cannot be
    /// undone any more.
    pub(super) fn drop_kept(&mut self) -> Result<(), Refused> {
        let mut v = Vocabulary::clone(&self.store.vocabulary());
        let mut gone = Vec::new();
        for (i, record) in v.records.iter_mut().enumerate() {
            if let Some(kept) = record.kept
                && self.store.commit_row(kept.commit)?.is_none()
            {
                record.kept = None;
                gone.push((SourceId(i as u16), kept.generation));
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.save(v)?;
        for (source, generation) in gone.into_iter().filter(|(_, generation)| *generation > 0) {
            self.store.drop_generation(source, generation)?;
        }
        Ok(())
    }

    /// Ends the whole life of a feed that was not imported in time.
    pub(super) fn end_source(&mut self, source: SourceId) -> Result<(), Refused> {
        let v = self.store.vocabulary();
        let record = &v.records[usize::from(source.0)];
        tracing::warn!(
            source = record.name,
            "the feed was not imported in time; its listings end"
        );
        let rows = self.store.feed_rows(source, record.generation, SMALL + 1)?;
        let few = rows.len() <= SMALL;
        let rows = match few {
            true => Rows::Small(
                rows.into_iter()
                    .map(|(subject, old)| Row {
                        subject,
                        old,
                        new: vec![],
                    })
                    .collect(),
            ),
            false => Rows::Large(self.generation(source)?, None),
        };
        let staged = Staged {
            source,
            base: record.generation,
            difference: Difference::default(),
            extents: Default::default(),
            masks: record.masks,
            rows,
            holds: Default::default(),
        };
        self.make_true(Ready {
            staged,
            expires: None,
            ended: true,
            follow: None,
            asked: None,
            was_expires: None,
            passed: None,
            mode: Mode::Replace,
            base: self.seq,
            prepared: Prepared::Nothing,
        })?;
        if !few {
            self.write_image(true, None);
        }
        Ok(())
    }
}
