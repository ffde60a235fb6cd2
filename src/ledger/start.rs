//! Opens the ledger: from an image and the journal after it, or from the rows of the store.

use std::sync::{Arc, atomic::AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{
    Health, Ledger, LedgerError, LedgerSettings,
    publish_rules::publish_rules,
    tables::{build, load},
    writer::{QUEUE_LENGTH, Writer},
};
use crate::{
    clock::Clock,
    index::{Builder, Published, values::Derivations},
    model::SightLimits,
    store::{Dictionary, FoundBy, Store, StoreError, UnknownCommit, journal::ChangedSince},
};

/// The tables at the last commit, and the commit of the image that they come from; 0 if the rows
/// were read instead.
fn tables(store: &Store, derivations: Derivations) -> Result<(Builder, u64), StoreError> {
    let v = store.dictionary();
    let (mut builder, seq) = match store.read_image(&derivations) {
        Ok(found) => found,
        Err(why) => {
            tracing::info!(why, "starting without an image; reading the store");
            return Ok((build(store, &v, derivations)?, 0));
        }
    };
    match store.changed_since(seq)? {
        ChangedSince::Everything => Ok((
            build(store, &v, derivations)?,
            if seq > store.seq()? { seq } else { 0 },
        )),
        ChangedSince::Subjects(subjects) => {
            load(store, &v, &mut builder, &subjects)?;
            Ok((builder, seq))
        }
    }
}

/// Reports commits that are missing, or may be missing, at the end of the store.
fn report_start(store: &Store, newest: u64, seq: u64) -> Result<(), StoreError> {
    let cut = store.log_truncation();
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
                "changes after commit {seq} that have no number (users, tokens, the audit log) are missing: {}",
                why(cut)
            )
        }
        (false, false) => match (cut, store.unknown_commit()) {
            (Some(why), None) => {
                tracing::warn!(
                    why,
                    "truncated the unsynchronised end of the write-ahead log; no acknowledged commit is missing"
                );
                return Ok(());
            }
            (Some(cut), Some(why)) => {
                format!(
                    "the write-ahead log was truncated after commit {seq} ({cut}), and {why}: acknowledged changes may be missing"
                )
            }
            (None, Some(UnknownCommit::Damaged)) => {
                format!(
                    "{}: it is unknown whether acknowledged commits after {seq} are missing",
                    UnknownCommit::Damaged
                )
            }
            (None, _) => return Ok(()),
        },
    };
    tracing::error!(what, "acknowledged changes are lost, or may be");
    store.integrity.record(FoundBy::Start, &what);
    store.start_from_here()
}

/// Opens the ledger on a store. What is due by the time of `clock` is ended before the first
/// answer. `on_thread_start` runs first on the writer's thread and on those that write images, for
/// example to lower their priority.
///
/// # Errors
///
/// The store cannot be read or written, the settings are not valid, or the writer's thread cannot
/// be started.
pub fn open(
    store: Store,
    settings: LedgerSettings,
    clock: Clock,
    on_thread_start: fn(),
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
    // The same numbers as those that `apply_settings` gives.
    let mut dictionary = Dictionary::clone(&store.dictionary());
    let rules = publish_rules(&settings, &mut dictionary, clock.now())?;
    let (builder, imaged) = tables(&store, Derivations::from(&rules))?;
    let seq = store.seq()?;
    // If the image is newer than the store, commits are lost: the store is an older copy, or the
    // disk did not sync. Mirrors may have the serials of lost commits.
    let newest = imaged.max(store.acknowledged());
    let lost = newest > seq;
    report_start(&store, newest, seq)?;
    let published = Arc::new(Published::default());
    let health = Arc::new(Health::default());
    health.set_removal_gap(store.removals_gap()?);
    let (committed, commits) = watch::channel(seq);
    let accounts = Arc::new(ArcSwap::from_pointee(super::Accounts::read(&store)?));
    let mut writer = Writer {
        seq,
        queues: Default::default(),
        removals: None,
        clock: clock.clone(),
        publishes_later: false,
        audited: store.audited()?,
        accounts: accounts.clone(),
        journal_bytes: store.journal_bytes()?,
        next_due: store.next_due()?,
        sight_limits: SightLimits::default(),
        unseen: Default::default(),
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
        on_thread_start,
    };
    writer.count_queues()?;
    writer.apply_settings(settings.clone(), lost)?;
    writer.turn_asked_names_once()?;
    // Check the whole removal log: a line that was removed while the daemon was stopped would
    // otherwise be noticed only by a restore.
    writer.watch_removals(true);
    writer.expire().map_err(|e| match e {
        // The start has no change that a caller could repeat.
        LedgerError::OutcomeUnknown(why) => LedgerError::Unavailable(why),
        e => e,
    })?;
    if imaged == 0 || lost {
        writer.write_image(false, None);
    }
    clock.save();
    let (jobs, rx) = mpsc::channel(QUEUE_LENGTH);
    let thread = std::thread::Builder::new()
        .name("ledger".into())
        .spawn(move || {
            on_thread_start();
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
