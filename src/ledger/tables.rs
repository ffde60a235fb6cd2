//! Builds the tables of the index from rows of the store.

use crate::{
    index::{Builder, Changes, RawFacts},
    model::Subject,
    store::{Dictionary, Store, StoreError},
};

/// The number of subjects that are read from the store at a time.
const READ_CHUNK: usize = 1 << 16;
/// The number of subjects that a scan collects before it applies them.
const CHUNK: usize = 1 << 18;

/// Builds the tables from all rows.
pub(super) fn build(store: &Store, dictionary: &Dictionary) -> Result<Builder, StoreError> {
    let mut builder = Builder::default();
    let mut changes = Changes::default();
    store.scan(dictionary, &mut |subject, verdict| {
        let id = builder.intern(&RawFacts::of(&verdict));
        builder.add(&mut changes, &subject, id);
        if changes.len() >= CHUNK {
            builder.apply(std::mem::take(&mut changes));
        }
        Ok(())
    })?;
    builder.apply(changes);
    Ok(builder)
}

/// Loads the facts of some subjects (in order) from the store, with the generations of feeds in
/// `dictionary`.
pub(super) fn load(
    store: &Store,
    dictionary: &Dictionary,
    builder: &mut Builder,
    subjects: &[Subject],
) -> Result<(), StoreError> {
    for chunk in subjects.chunks(READ_CHUNK) {
        let mut changes = Changes::default();
        store.verdicts(dictionary, chunk, &mut |subject, verdict| {
            let id = builder.intern(&RawFacts::of(&verdict));
            builder.add(&mut changes, subject, id);
            Ok(())
        })?;
        builder.apply(changes);
    }
    Ok(())
}
