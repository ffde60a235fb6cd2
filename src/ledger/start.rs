//! Starting: from an image and the journal after it, or from the rows.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::{
    Health, Ledger, QUEUE, Refused, Settings,
    writer::{Writer, load},
};
use crate::{
    index::{Builder, Changes, Published, RawFacts},
    store::{Store, StoreError, journal::Since},
};

/// How many subjects a scan gathers before it builds.
const CHUNK: usize = 1 << 18;

/// Builds the tables from the rows.
pub(super) fn build(store: &Store) -> Result<Builder, StoreError> {
    let mut builder = Builder::default();
    let mut changes = Changes::default();
    store.scan(&mut |subject, verdict| {
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

/// The tables at the last commit: from the image where it can be used.
fn tables(store: &Store) -> Result<(Builder, bool), StoreError> {
    let (mut builder, seq) = match store.read_image() {
        Ok(found) => found,
        Err(why) => {
            tracing::info!(why, "no image to start from; reading the store");
            return Ok((build(store)?, false));
        }
    };
    match store.changed_since(seq)? {
        Since::Everything => Ok((build(store)?, false)),
        Since::Subjects(subjects) => {
            load(store, &mut builder, &subjects)?;
            Ok((builder, true))
        }
    }
}

/// Opens the ledger on a store: what fell due while it was stopped is ended before the first answer. `on_start` runs on
/// the writer's thread first, to lower its priority where that is wanted.
pub fn open(store: Store, settings: Settings, on_start: impl FnOnce() + Send + 'static) -> Result<Ledger, Refused> {
    let store = Arc::new(store);
    let (builder, imaged) = tables(&store)?;
    let published = Arc::new(Published::default());
    let health = Arc::new(Health::default());
    let mut writer = Writer {
        seq: store.seq()?,
        journal_bytes: store.journal_bytes()?,
        next_due: store.next_due()?,
        store: store.clone(),
        builder,
        published: published.clone(),
        health: health.clone(),
        settings: Settings::default(),
        zones: Arc::default(),
        serials: Vec::new(),
        since_image: if imaged { 0 } else { usize::MAX / 2 },
        ticks: 0,
        rebuild: false,
        image: None,
    };
    writer.configure(settings.clone())?;
    writer.expire()?;
    writer.expire_sources()?;
    if writer.since_image > 0 {
        writer.write_image(false, None);
    }
    let (jobs, rx) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || {
        on_start();
        writer.run(rx);
    });
    thread.map_err(|e| Refused::Settings(format!("the writer's thread could not be started: {e}")))?;
    Ok(Ledger { jobs, published, store, health, busy: Arc::default(), settings: Arc::new(Mutex::new(Arc::new(settings))) })
}
