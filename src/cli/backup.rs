//! `orbsd backup` and `orbsd restore`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{Common, Failure, client::Client, output, owner};
use crate::{
    api::{BackupRequest, BackupResponse},
    config::Config,
    ledger::{self, removals},
    model::{
        Serial, Time,
        serial::{SeenMirror, forced_transfers, left_behind},
    },
    server::Mirrors,
    store::{self, Restoration, Store},
};

/// Copy the store into a new folder, while it is used, and read the copy back
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// A folder that is not there yet, or empty
    folder: PathBuf,
}

pub(super) fn backup(common: &Common, c: &Backup) -> Result<(), Failure> {
    let path = std::path::absolute(&c.folder)?;
    let request = BackupRequest {
        path: path.display().to_string(),
    };
    let made: BackupResponse =
        Client::open(common)?.call_json(Method::POST, "/v1/backups", &request)?;
    match common.json {
        true => output::json(&made),
        false => println!(
            "{}: commit {}, {} rows, read back",
            path.display(),
            made.commit,
            made.rows
        ),
    }
    Ok(())
}

/// Put a copy where the store has to lie, and replay what was taken off since
///
/// No daemon may run, and no store may lie there: move the old one away. The removal log of
/// `[removal_log] path` is what keeps from being listed again who was taken off after the copy was
/// made.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `orbsd backup` has made
    folder: PathBuf,
    /// The removal log
    #[arg(long)]
    removals: Option<PathBuf>,
    /// There is no log: whoever was taken off since is listed again, and serials jump as far as the
    /// zones may have come since
    #[arg(long, conflicts_with = "removals")]
    without_removals: bool,
    /// Replay a log that lacks lines or has damaged ones: whoever was taken off in those is listed
    /// again
    #[arg(long, requires = "removals")]
    allow_gap: bool,
    /// Restore although the serials will not be newer for some mirrors, on which a transfer has to
    /// be forced then
    #[arg(long)]
    force: bool,
    /// Give the copy an identity of its own: the store that it was copied from goes on elsewhere,
    /// and servers that follow both, or each other, have to tell them apart
    #[arg(long)]
    new_identity: bool,
}

pub(super) fn restore(common: &Common, c: &Restore) -> Result<(), Failure> {
    if c.removals.is_none() && !c.without_removals {
        return Err(Failure::Usage(
            "without the removal log, whoever was taken off after the copy was made is listed again; name it with --removals FILE, or say --without-removals"
                .into(),
        ));
    }
    let config = common.load()?;
    let owner = owner::of_daemon(&config)?;
    let given = owner.map(|_| files_of_daemon(&config)).unwrap_or_default();
    let give = || {
        given
            .iter()
            .try_for_each(|path| owner.map_or(Ok(()), |owner| owner.give(path)))
    };
    // What is left of one that was refused, such as the store's folder, has to be the daemon's too.
    restore_with(common, c, &config, &give).inspect_err(|_| drop(give()))
}

/// Does the restore; `give` gives to the daemon's user what was written.
fn restore_with(
    common: &Common,
    c: &Restore,
    config: &Config,
    give: &dyn Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Read first: nothing is put anywhere for a log that cannot be read.
    let log = c
        .removals
        .as_ref()
        .map(|p| removals::read(p))
        .transpose()
        .map_err(Failure::No)?;
    let place = config
        .ledger
        .removals
        .as_deref()
        .filter(|_| !c.new_identity);
    let placement = match (&c.removals, &log, place) {
        (Some(path), Some(log), Some(place)) => {
            removals::placement(path, log, place).map_err(Failure::No)?
        }
        _ => removals::Placement::Keep,
    };
    let no = |e: store::StoreError| Failure::No(e.to_string());
    // Dropped before its end, it leaves nothing that could start.
    let restoration = Restoration::begin(&c.folder, &config.store.path).map_err(no)?;
    let found = restoration.found.clone();
    let mut store = Store::open(store::StoreSettings {
        path: restoration.path(),
        ..config.store.clone()
    })
    .map_err(no)?;
    let clock = crate::daemon::clock(config, None);
    let mirrors = Arc::new(Mirrors::open(config.mirrors(), clock.clone()));
    warn_of_mirrors(&mirrors, log.is_some());
    let serials = serials(&mirrors, clock.now(), &found.at, c.force);
    let (missing, done) = bring_up_to_date(
        &mut store,
        c,
        (log.as_ref(), placement),
        &serials,
        config,
        clock.now(),
    )
    .map_err(|e| Failure::No(e.text(&store.dictionary())))?;
    store.close().map_err(no)?;
    if let Err(e) = mirrors.keep_restored(&done.serials) {
        eprintln!("orbsd: warning: {e}; another restore of this copy may give the same serials");
    }
    // Before the last step, so that nothing can start that the daemon cannot open.
    give()?;
    restoration.finish().map_err(no)?;
    if common.json {
        let serials: std::collections::BTreeMap<_, _> =
            done.serials.iter().map(|(o, s)| (o, s.0)).collect();
        let left: Vec<_> = done.left_behind.iter().map(left_behind_json).collect();
        output::json(&json!({
            "commit": found.commit, "lines": done.lines, "decisions": done.decisions, "missing": missing, "serials": serials,
            "left_behind": left,
        }));
        return Ok(());
    }
    println!(
        "restored to commit {}; {} decisions since then were replayed",
        found.commit, done.decisions
    );
    if !missing.is_empty() {
        println!("the log lacks lines {missing:?}: whoever was taken off in them is listed again");
    }
    done.serials
        .iter()
        .for_each(|(origin, serial)| println!("  {origin}: goes on after serial {serial}"));
    for (zone, serial, mirrors) in &done.left_behind {
        println!("warning: {}", left_behind(zone, *serial, mirrors));
    }
    Ok(())
}

/// What a restore writes: the store, the file of the mirrors and the removal log, with the
/// folders that it makes for them.
fn files_of_daemon(config: &Config) -> Vec<PathBuf> {
    let removals = config.ledger.removals.clone();
    let all = config
        .mirrors()
        .into_iter()
        .chain([config.store.path.clone()])
        .chain(removals);
    all.map(|path| owner::missing_folder(&path).map_or(path.clone(), Into::into))
        .collect()
}

/// Replays the log into a copy that is not at its place yet, gives it its serials and, where that
/// is wanted, an identity of its own, and puts the log where the daemon looks for it. Returns the
/// runs of missing lines too.
fn bring_up_to_date(
    store: &mut Store,
    c: &Restore,
    (log, placement): (Option<&removals::Contents>, removals::Placement),
    serials: &ledger::RestoreSerials,
    config: &Config,
    now: Time,
) -> Result<(Vec<(u64, u64)>, ledger::RestoreReport), ledger::LedgerError> {
    let missing = log
        .map(|l| ledger::check_log(store, l, c.allow_gap))
        .transpose()?
        .unwrap_or_default();
    let done = ledger::restore(store, log.map(|l| &l.lines[..]), serials, now)?;
    // The log names the old identity, so not before it was replayed.
    if c.new_identity {
        store.renew_identity()?;
    }
    if let Some(place) = &config.ledger.removals {
        match (&c.removals, c.new_identity) {
            (Some(log), false) => {
                if let Some(aside) = removals::install(log, place, placement)
                    .map_err(ledger::LedgerError::Invalid)?
                {
                    eprintln!(
                        "orbsd: the removal log that was at {} is kept as {}",
                        place.display(),
                        aside.display()
                    );
                }
                // What cannot be read in it was accepted with --allow-gap; a scrub would report it
                // as damage for ever.
                ledger::begin_log(
                    store,
                    place,
                    "unreadable lines were left out by a restore with --allow-gap",
                    now,
                )?;
            }
            (None, false) => {
                ledger::begin_log(store, place, "the store was restored without it", now)?;
            }
            (_, true) => ledger::begin_log(
                store,
                place,
                "the store was restored with a new identity",
                now,
            )?,
        }
    }
    Ok((missing, done))
}

/// What serials are decided by: the copy's age, and what mirrors were seen to have, which is no
/// part of the copy.
fn serials(mirrors: &Arc<Mirrors>, now: Time, copied: &str, force: bool) -> ledger::RestoreSerials {
    let copied = copied.parse::<Time>().unwrap_or_default();
    let age = now.0.saturating_sub(copied.0);
    ledger::RestoreSerials {
        age,
        mirrors: mirrors.seen_serials(),
        given_out: mirrors.given_out(),
        copied,
        force,
    }
}

/// Says what is not known of the serials that mirrors have, and how to make it known.
fn warn_of_mirrors(mirrors: &Mirrors, has_log: bool) {
    mirrors
        .problems()
        .iter()
        .for_each(|p| eprintln!("orbsd: warning: {p}"));
    if !has_log && !mirrors.knows_serials() {
        eprintln!(
            "orbsd: warning: no serial is known that a mirror has or that a zone gave out after the copy: {place} is missing; a \
             mirror that is ahead of this restore keeps its old zone. If the folder of the old store has mirrors.json, copy it to \
             {place} and run this restore again before the daemon starts",
            place = mirrors.path().display()
        );
    }
}

/// A zone whose serial is not newer for some mirrors.
pub(super) fn left_behind_json(
    (zone, serial, mirrors): &(String, Serial, Vec<SeenMirror>),
) -> serde_json::Value {
    let commands: std::collections::BTreeMap<_, _> = forced_transfers(zone).into_iter().collect();
    json!({"zone": zone, "serial": serial, "mirrors": mirrors, "commands": commands})
}
