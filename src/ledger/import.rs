//! Imports: staged beside the writer, made true by it in one small commit.

use super::{
    ImportResult, Job, Ledger, Receipt, Refused, Reply,
    group::Work,
    now,
    writer::{Writer, load},
};
use crate::{
    model::{Mask, SourceId, Subject, Time, time::Seconds},
    store::{
        StoreError, Vocabulary,
        schema::{FeedEntry, SourceRecord},
        stage::{Difference, Mode, Rows, Staged},
    },
};

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
}

/// Why an import did not happen; nothing has changed then.
#[derive(Debug)]
pub enum ImportError {
    /// Another import of the same source is under way.
    Busy,
    /// The source's listings are decided one by one.
    NotAFeed(String),
    /// The ledger or the store said no.
    Refused(Refused),
    /// The lines ended with an error; its text was told to whoever reads them.
    Input(String),
}

impl ImportError {
    /// In words for people.
    pub fn text(&self, vocabulary: &Vocabulary) -> String {
        match self {
            ImportError::Busy => "another import of this source is under way".into(),
            ImportError::NotAFeed(name) => {
                format!(
                    "`{name}` is no feed: list its subjects one by one (`orbsd list` reads them from standard input), or import under another name"
                )
            }
            ImportError::Refused(r) => r.text(vocabulary),
            ImportError::Input(why) => why.clone(),
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
    expires: Option<Time>,
}

/// Where an import's lines go.
pub type Sink<'a> = &'a mut dyn FnMut(Subject, FeedEntry) -> Result<(), String>;

impl Ledger {
    /// Runs an import: `lines` brings every line to the sink it is given, or ends with an error; it may also set what the
    /// file says of itself. Blocks; one at a time for each source.
    pub fn import_with(
        &self,
        what: &mut Import,
        lines: impl FnOnce(&mut Import, Sink) -> Result<(), String>,
    ) -> Result<ImportResult, ImportError> {
        if what.source.0 < 3 {
            return Err(ImportError::NotAFeed(self.store.vocabulary().sources.name(what.source).into()));
        }
        if !self.busy.lock().unwrap_or_else(|e| e.into_inner()).insert(what.source) {
            return Err(ImportError::Busy);
        }
        let result = self.import_alone(what, lines);
        self.busy.lock().unwrap_or_else(|e| e.into_inner()).remove(&what.source);
        result
    }

    fn import_alone(
        &self,
        what: &mut Import,
        lines: impl FnOnce(&mut Import, Sink) -> Result<(), String>,
    ) -> Result<ImportResult, ImportError> {
        let mut stage = self.store.stage(what.source, what.mode, now());
        lines(what, &mut |subject, entry| stage.push(subject, entry).map_err(|e| e.to_string())).map_err(ImportError::Input)?;
        let source = what.source;
        let generation = || self.call(|r| Job::Generation(source, r)).map_err(|e| StoreError::Io(format!("{e:?}")));
        let staged = stage.finish(what.dry_run, generation)?;
        let difference = staged.difference.clone();
        if what.dry_run {
            return Ok(ImportResult { receipt: None, difference });
        }
        let expires = what.expires.into_iter().chain(what.max_age.map(|a| now().plus(a))).min();
        let receipt = self.call(|r| Job::Import(Box::new(Ready { staged, expires }), r)).map_err(ImportError::Refused)?;
        Ok(ImportResult { receipt: Some(receipt), difference })
    }
}

/// A number that no generation of the source has had; those that never became true are dead from now on.
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
        let Some(r) = v.records.get_mut(usize::from(source.0)) else { return Err(Refused::Settings("there is no such source".into())) };
        let n = fresh(r);
        self.save(v)?;
        Ok(n)
    }

    /// Makes a staged import true. The receipt of a large one comes when its image is written, beside the work, so that a
    /// start right after it is as quick as any.
    pub(super) fn import(&mut self, ready: Ready, reply: Reply<Receipt>) {
        let bulk = matches!(ready.staged.rows, Rows::Large(..));
        let result = self.make_true(ready);
        if bulk && result.is_ok() {
            self.write_image(true, Some(Box::new(|| drop(reply.send(result)))));
        } else {
            let _ = reply.send(result);
        }
    }

    fn make_true(&mut self, ready: Ready) -> Result<Receipt, Refused> {
        if let Some(why) = self.health.poisoned() {
            return Err(Refused::Poisoned(why));
        }
        let Ready { staged, expires } = ready;
        let source = staged.source;
        let mut v = Vocabulary::clone(&self.store.vocabulary());
        let author = v.sources.name(source).to_string();
        let Some(record) = v.records.get_mut(usize::from(source.0)) else {
            return Err(Refused::Settings("there is no such source".into()));
        };
        if record.generation != staged.base {
            return Err(Refused::Settings("the source changed while the import was staged; import it again".into()));
        }
        (record.feed, record.refreshed, record.expires) = (true, now(), expires);
        let mut work = Work::new(now());
        let mut subjects = None;
        match staged.rows {
            Rows::Small(rows) => {
                if record.generation == 0 {
                    // Never one that was staged before: its rows may still be there.
                    record.generation = fresh(record);
                }
                let generation = record.generation;
                for row in rows {
                    work.feed_row(&self.store, source, generation, &author, row)?;
                }
                work.vocabulary(v.clone());
            }
            Rows::Large(generation, listed) => {
                let base = std::mem::replace(&mut record.generation, generation);
                work.extra = staged.masks;
                (work.barrier, work.bulk) = (true, true);
                for subject in self.store.held(source)? {
                    if !self.store.has_feed_row(source, generation, &subject)? {
                        work.release(&self.store, source, &subject, &author)?;
                    }
                }
                if base > 0 {
                    work.drop_generation(source, base);
                }
                work.vocabulary(v.clone());
                subjects = Some(listed);
            }
        }
        let old = self.store.vocabulary();
        // The commit's own tables see the new generation; on failure nobody does.
        self.store.set_vocabulary(v);
        let receipt = self.commit_import(&work, subjects);
        if receipt.is_err() {
            self.store.set_vocabulary(Vocabulary::clone(&old));
        }
        receipt
    }

    /// Commits, then brings the tables of a large import up to date before they are published.
    fn commit_import(&mut self, work: &Work, subjects: Option<Option<Vec<Subject>>>) -> Result<Receipt, Refused> {
        let receipt = self.commit(work)?;
        let loaded = match subjects {
            None => return Ok(receipt),
            Some(Some(list)) => load(&self.store, &mut self.builder, &list),
            Some(None) => super::start::build(&self.store).map(|b| self.builder = b),
        };
        if let Err(e) = loaded {
            self.rebuild = true;
            self.health.set(Some(e.to_string()));
            return Err(Refused::InDoubt(e.to_string()));
        }
        self.publish();
        Ok(receipt)
    }

    /// Ends the whole life of feeds that were not imported in time: one commit for each.
    pub(super) fn expire_sources(&mut self) -> Result<(), StoreError> {
        let v = self.store.vocabulary();
        let over = |t: Option<Time>| t.is_some_and(|t| t <= now());
        let due: Vec<usize> = (0..v.records.len()).filter(|i| over(v.records[*i].expires)).collect();
        for i in due {
            let source = SourceId(i as u16);
            tracing::warn!(source = v.records[i].name, "the feed was not imported in time; its listings end");
            let base = v.records[i].generation;
            let Ok(generation) = self.generation(source) else { return Ok(()) };
            let staged =
                Staged { source, base, difference: Difference::default(), masks: [Mask::MAX; 2], rows: Rows::Large(generation, None) };
            match self.make_true(Ready { staged, expires: None }) {
                Ok(_) => self.write_image(true, None),
                Err(e) => tracing::error!(error = ?e, "the feed's listings could not be ended"),
            }
        }
        Ok(())
    }
}
