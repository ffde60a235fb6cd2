//! Builds the tables of the index from rows of the store.

use crate::{
    index::{
        Builder, Changes, RawFacts,
        values::{Derivations, FactsId},
    },
    model::{SourceId, Subject, Verdict},
    store::{Dictionary, Store, StoreError},
};

/// The number of subjects that are read from the store at a time.
const CHUNK: usize = 1 << 16;

/// Changes of a builder that are applied in chunks.
struct Loader<'b> {
    builder: &'b mut Builder,
    changes: Changes,
    /// The last verdict and its facts. Most entries of a list have the same.
    last: Option<(Verdict, FactsId)>,
}

impl Loader<'_> {
    fn new(builder: &mut Builder) -> Loader<'_> {
        Loader {
            builder,
            changes: Changes::default(),
            last: None,
        }
    }

    fn add(&mut self, subject: &Subject, verdict: Verdict) {
        let facts = match &self.last {
            Some((last, facts)) if has_same_facts(last, &verdict) => *facts,
            _ => {
                let facts = self.builder.intern(&RawFacts::of(&verdict));
                self.last = Some((verdict, facts));
                facts
            }
        };
        self.builder.add(&mut self.changes, subject, facts);
        if self.changes.len() >= CHUNK {
            self.apply();
        }
    }

    fn apply(&mut self) {
        // Facts that no entry has any more lose their number.
        self.last = None;
        self.builder.apply(std::mem::take(&mut self.changes));
    }
}

/// Whether two verdicts without exemptions and holds have the same facts.
fn has_same_facts(a: &Verdict, b: &Verdict) -> bool {
    let is_plain = |v: &Verdict| v.exempt.is_none() && v.holds.is_empty();
    is_plain(a)
        && is_plain(b)
        && a.entries.len() == b.entries.len()
        && a.entries.iter().zip(&b.entries).all(|(a, b)| {
            (a.reason, a.source, a.exclusion, a.aged, &a.text)
                == (b.reason, b.source, b.exclusion, b.aged, &b.text)
        })
}

/// Builds the tables from all rows, with these derived reasons.
pub(super) fn build(
    store: &Store,
    dictionary: &Dictionary,
    derivations: Derivations,
) -> Result<Builder, StoreError> {
    let mut builder = Builder::deriving(derivations);
    let mut loader = Loader::new(&mut builder);
    store.scan(dictionary, &mut |subject, verdict| {
        loader.add(&subject, verdict);
        Ok(())
    })?;
    loader.apply();
    Ok(builder)
}

/// Loads the facts of the subjects whose rows differ between a generation of a source and the one
/// that `dictionary` has.
pub(super) fn load_generation(
    store: &Store,
    dictionary: &Dictionary,
    builder: &mut Builder,
    source: SourceId,
    before: u32,
) -> Result<(), StoreError> {
    let mut loader = Loader::new(builder);
    store.changed_verdicts(dictionary, source, before, &mut |subject, verdict| {
        loader.add(&subject, verdict);
        Ok(())
    })?;
    loader.apply();
    Ok(())
}

/// Loads the facts of some subjects (in order) from the store, with the generations of feeds in
/// `dictionary`.
pub(super) fn load(
    store: &Store,
    dictionary: &Dictionary,
    builder: &mut Builder,
    subjects: &[Subject],
) -> Result<(), StoreError> {
    let mut loader = Loader::new(builder);
    store.verdicts(dictionary, subjects, &mut |subject, verdict| {
        loader.add(subject, verdict);
        Ok(())
    })?;
    loader.apply();
    Ok(())
}
