//! Imports: staged beside the writer, made true by it in one small commit.

use super::{
    ImportResult, Job, Ledger, Receipt, Refused, Reply,
    group::Work,
    guard::{self, ListLimits, ListRefusal, NewList, Passed},
    writer::{Writer, load},
};
use crate::{
    index::Builder,
    model::{SourceId, Subject, Time, Verdict, time::Seconds},
    store::{
        StoreError, Vocabulary,
        journal::Since,
        schema::{
            AcceptedList, Audit, FeedEntry, Followed, Kept, ListShape, MAX_ENDS, SourceRecord,
        },
        stage::{Compared, Difference, Mode, Row, Rows, SMALL, Staged, Terms},
    },
};

/// How many imports run at the same time.
const IMPORTS: usize = 4;
/// How often an import's tables are prepared again because too much was written meanwhile, before
/// others have to wait.
const TRIES: usize = 3;

/// What an import is about.
#[derive(Debug, Clone)]
pub struct Import {
    /// Whose listings.
    pub source: SourceId,
    /// How what is there is treated.
    pub mode: Mode,
    /// Only tell what would change.
    pub dry_run: bool,
    /// When the source's whole life ends unless it is imported again, counted from now.
    pub max_age: Option<Seconds>,
    /// The same as a point in time, from the file itself.
    pub expires: Option<Time>,
    /// See [`Terms::exceptions`].
    pub exceptions: bool,
    /// The zone that it comes from, where it does; any other import ends the source's following.
    pub follow: Option<Follow>,
    /// The subjects of a [`Mode::Patch`], in order; at most [`SMALL`].
    pub touched: Vec<Subject>,
    /// Who asks for it, where it is not the source itself: a line for the audit log.
    pub asked: Option<Audit>,
    /// How far the list may differ from the source's last one; `None` where any difference is
    /// meant.
    pub limits: Option<ListLimits>,
    /// What the list consists of, where `limits` are set.
    pub shape: ListShape,
}

/// A step of a source from one version of the zone that it follows to another.
#[derive(Debug, Clone, Default)]
pub struct Follow {
    /// Where it stood when this was worked out; otherwise the import is refused.
    pub was: Option<Followed>,
    /// Where it stands afterwards.
    pub is: Followed,
    /// The records of the copy that come (true) and go, where the copy stays the same one.
    pub records: Vec<(Vec<u8>, bool)>,
}

impl Import {
    /// Makes the source's listings equal to the lines.
    pub fn replace(source: SourceId) -> Import {
        Import {
            source,
            mode: Mode::Replace,
            dry_run: false,
            max_age: None,
            expires: None,
            exceptions: true,
            follow: None,
            touched: Vec::new(),
            asked: None,
            limits: None,
            shape: ListShape::default(),
        }
    }
}

/// Why an import did not happen; nothing has changed then.
#[derive(Debug)]
pub enum ImportError {
    /// Another import of the same source is under way, or too many of others.
    Busy,
    /// The list ended before it came.
    Over(Time),
    /// The source's listings are decided one by one.
    NotAFeed(String),
    /// The ledger or the store said no.
    Refused(Refused),
    /// The lines ended with an error; its text was told to whoever reads them.
    Input(String),
    /// The list must not replace the source's last one.
    List(ListRefusal),
}

impl ImportError {
    /// In words for people.
    pub fn text(&self, vocabulary: &Vocabulary) -> String {
        match self {
            ImportError::Busy => format!(
                "another import of this source is under way, or {IMPORTS} of others; try again when it is done"
            ),
            ImportError::Over(t) => {
                format!("the list says that it ended at {t}; nothing was changed")
            }
            ImportError::NotAFeed(name) => {
                format!(
                    "`{name}` is not a feed source; use `orbsd list`, or import under another source name"
                )
            }
            ImportError::Refused(r) => r.text(vocabulary),
            ImportError::Input(why) => why.clone(),
            ImportError::List(refusal) => refusal.describe("NAME"),
        }
    }
}

impl From<StoreError> for ImportError {
    fn from(e: StoreError) -> ImportError {
        ImportError::Refused(e.into())
    }
}

/// A staged import on its way to the writer.
pub(super) struct Ready {
    staged: Staged,
    /// When the source's life ends from now on.
    expires: Option<Time>,
    /// True where its life has ended, and nobody dropped anything.
    ended: bool,
    /// See [`Import::follow`].
    follow: Option<Follow>,
    /// See [`Import::asked`].
    asked: Option<Audit>,
    /// When the source's life would have ended without it.
    was_expires: Option<Time>,
    /// See [`Import::shape`]; `None` where the list was not compared with the last one.
    passed: Option<(ListShape, Passed)>,
    mode: Mode,
    /// The commit that was the last one when `prepared` was read.
    base: u64,
    prepared: Prepared,
}

/// What was read and built beside the writer; it only has to look again at what changed after
/// `base`.
enum Prepared {
    /// The verdicts of the rows' subjects.
    Verdicts(Vec<(Subject, Verdict)>),
    /// The tables with the import in them.
    Tables(Box<Builder>),
    /// Nothing: the writer builds the tables itself.
    Nothing,
}

/// What became of an import that was handed in.
pub(super) enum Handed {
    /// It is true.
    Done(Receipt),
    /// Too much was written meanwhile: it has to be prepared again.
    Stale(Box<Ready>),
}

/// Where an import's lines go.
pub type Sink<'a> = &'a mut dyn FnMut(Subject, FeedEntry) -> Result<(), String>;

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
                Refused::Settings(_)
                | Refused::Conflict(_)
                | Refused::Unknown(_)
                | Refused::Poisoned(_)
                | Refused::Stopped,
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
                    None => *builder = super::start::build(&self.store, &v)?,
                }
                (ready.base, ready.prepared) = (base, Prepared::Tables(builder));
            }
        }
        Ok(())
    }
}

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
            return Err(Refused::Unknown("there is no such source".into()));
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
            return Err(Refused::Unknown("there is no such source".into()));
        };
        if record.generation != ready.staged.base {
            return Err(Refused::Conflict(
                "the source changed while the import was staged; import it again".into(),
            ));
        }
        if ready
            .follow
            .as_ref()
            .is_some_and(|f| f.was != record.followed)
        {
            return Err(Refused::Conflict(
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
                        _ => super::start::build(&self.store, &v)?,
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
