//! Starting: from an image and the journal after it, or from the rows.

use std::sync::{Arc, atomic::AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{
    Health, Ledger, LedgerError, LedgerSettings, QUEUE_LENGTH,
    tables::{build, load},
    writer::Writer,
};
use crate::{
    clock::Clock,
    index::{Builder, Published},
    store::{FoundBy, Store, StoreError, UnknownCommit, journal::ChangedSince},
};

/// The tables at the last commit, and the commit of the image they came from; 0 where the rows were
/// read instead.
fn tables(store: &Store) -> Result<(Builder, u64), StoreError> {
    let v = store.dictionary();
    let (mut builder, seq) = match store.read_image() {
        Ok(found) => found,
        Err(why) => {
            tracing::info!(why, "no image to start from; reading the store");
            return Ok((build(store, &v)?, 0));
        }
    };
    match store.changed_since(seq)? {
        ChangedSince::Everything => {
            Ok((build(store, &v)?, if seq > store.seq()? { seq } else { 0 }))
        }
        ChangedSince::Subjects(subjects) => {
            load(store, &v, &mut builder, &subjects)?;
            Ok((builder, seq))
        }
    }
}

/// Reports what the start found out about the end of the store.
fn report_start(store: &Store, newest: u64, seq: u64) -> Result<(), StoreError> {
    let cut = store.cut();
    let why = |cut: Option<String>| match cut {
        Some(why) => format!("the write-ahead log is damaged: {why}"),
        None => "the store is older than what it has acknowledged".into(),
    };
    let what = match (newest > seq, store.lacks_rows()) {
        (true, _) => format!(
            "commits {} to {newest} were acknowledged and are missing: {}",
            seq + 1,
            why(cut)
        ),
        (false, true) => {
            format!(
                "changes after commit {seq} that have no number (people, tokens, the audit log) are missing: {}",
                why(cut)
            )
        }
        (false, false) => match (cut, store.unknown_commit()) {
            (Some(why), None) => {
                tracing::warn!(
                    why,
                    "the last unsynchronised record of the write-ahead log was cut; no acknowledged commit is missing"
                );
                return Ok(());
            }
            (Some(cut), Some(why)) => {
                format!(
                    "the end of the write-ahead log was cut after commit {seq} ({cut}), and {why}: acknowledged changes may be missing"
                )
            }
            (None, Some(UnknownCommit::Damaged)) => {
                format!(
                    "{}: whether commits after {seq} were acknowledged and are missing is not known",
                    UnknownCommit::Damaged
                )
            }
            (None, _) => return Ok(()),
        },
    };
    tracing::error!(what, "acknowledged changes are lost, or may be");
    store.record_damage(FoundBy::Start, &what);
    store.start_from_here()
}

/// Opens the ledger on a store, by the time of `clock`: what fell due while it was stopped is ended
/// before the first answer. `on_start` runs on the writer's thread first, to lower its priority
/// where that is wanted.
pub fn open(
    store: Store,
    settings: LedgerSettings,
    clock: Clock,
    on_start: impl FnOnce() + Send + 'static,
) -> Result<Ledger, LedgerError> {
    if let Some(path) = &settings.removals {
        super::restore::catch_up(
            &store,
            path,
            settings.on_loss,
            &settings.mirrors,
            clock.now(),
        )?;
    }
    let store = Arc::new(store);
    let (builder, imaged) = tables(&store)?;
    let seq = store.seq()?;
    // An image ahead of the store: commits are lost, by a copy from an older day or by a disk that
    // lied. Mirrors may have seen their serials.
    let newest = imaged.max(store.acknowledged());
    let lost = newest > seq;
    report_start(&store, newest, seq)?;
    let published = Arc::new(Published::default());
    let health = Arc::new(Health::default());
    health.set_removals(super::RemovalLogHealth {
        problem: None,
        gap: store.removals_gap()?,
    });
    let (committed, commits) = watch::channel(seq);
    let accounts = Arc::new(ArcSwap::from_pointee(super::Accounts::read(&store)?));
    let mut writer = Writer {
        seq,
        queues: Default::default(),
        removals: None,
        clock: clock.clone(),
        expiring: false,
        audited: store.audited()?,
        accounts: accounts.clone(),
        journal_bytes: store.journal_bytes()?,
        next_due: store.next_due()?,
        store: store.clone(),
        builder,
        published: published.clone(),
        health: health.clone(),
        committed,
        settings: LedgerSettings {
            mirrors: settings.mirrors.clone(),
            ..LedgerSettings::default()
        },
        zones: Arc::default(),
        serials: Vec::new(),
        since_image: 0,
        imaged: Arc::new(AtomicU64::new(if lost { 0 } else { imaged })),
        ticks: 0,
        next_image: 0,
        image: None,
    };
    writer.count_queues()?;
    writer.apply_settings(settings.clone(), lost)?;
    // All of the log: a line that somebody took out while the store was stopped is missed by a
    // restore alone.
    writer.watch_removals(true);
    writer.expire()?;
    if imaged == 0 || lost {
        writer.write_image(false, None);
    }
    clock.save();
    let (jobs, rx) = mpsc::channel(QUEUE_LENGTH);
    let thread = std::thread::Builder::new()
        .name("ledger".into())
        .spawn(move || {
            on_start();
            writer.run(rx);
        });
    thread.map_err(|e| {
        LedgerError::Unavailable(format!("the writer's thread could not be started: {e}"))
    })?;
    Ok(Ledger {
        jobs,
        published,
        store,
        health,
        clock,
        commits,
        accounts,
        busy: Arc::default(),
        settings: Arc::new(Mutex::new(Arc::new(settings))),
        left: Arc::default(),
    })
}
