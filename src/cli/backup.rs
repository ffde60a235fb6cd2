//! `orbsd backup` and `orbsd restore`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use clap::Args;
use serde_json::json;

use super::{CliError, Common, client::Client, output, owner};
use crate::{
    api::{BackupRequest, BackupResponse},
    config::Config,
    ledger::{self, removals},
    model::{
        Serial, Time,
        serial::{MirrorSerial, forced_transfers, left_behind},
        text::counted,
    },
    server::Mirrors,
    store::{self, Restoration, Store},
};

/// Copy the store to a new folder while it is in use, and verify the copy
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// New or empty folder
    folder: PathBuf,
}

pub(super) fn backup(common: &Common, c: &Backup) -> Result<(), CliError> {
    let path = std::path::absolute(&c.folder)?;
    let request = BackupRequest {
        path: path.display().to_string(),
    };
    let made: BackupResponse = Client::open(common)?.post_json("/v1/backups", &request)?;
    let (commit, rows) = (made.commit, made.rows);
    common.print(&made, |_| {
        println!(
            "{}: commit {commit}, {}, read back",
            path.display(),
            counted(rows, "row")
        );
    })
}

/// Put a backup in place of the store, and replay the removals since
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Folder that `orbsd backup` has written
    folder: PathBuf,
    /// Removal log of the lost store
    #[arg(long, value_name = "FILE")]
    removal_log: Option<PathBuf>,
    /// Restore without a removal log: subjects delisted since the backup are listed again
    #[arg(long, conflicts_with = "removal_log")]
    without_removal_log: bool,
    /// Accept a removal log with missing or damaged lines: their subjects are listed again
    #[arg(long, requires = "removal_log")]
    allow_gap: bool,
    /// Restore although the serials are not newer for some mirrors
    #[arg(long)]
    force: bool,
    /// Give the copy a new identity, because the original stays in use
    #[arg(long)]
    new_identity: bool,
}

pub(super) fn restore(common: &Common, c: &Restore) -> Result<(), CliError> {
    if c.removal_log.is_none() && !c.without_removal_log {
        return Err(CliError::Usage(
            "without the removal log, subjects that were delisted after the backup are listed again; name the log with --removal-log FILE, or add --without-removal-log"
                .into(),
        ));
    }
    let config = common.load()?;
    let owner = owner::of_daemon(&config)?;
    let files = files_of_daemon(&config);
    let give = || match owner {
        Some(owner) => files.iter().try_for_each(|path| owner.give(path)),
        None => Ok(()),
    };
    // The remains of a refused restore, such as the store's folder, belong to the daemon too.
    restore_with(common, c, &config, &give).inspect_err(|_| drop(give()))
}

/// Does the restore; `give` gives the written files to the daemon's user.
fn restore_with(
    common: &Common,
    c: &Restore,
    config: &Config,
    give: &dyn Fn() -> Result<(), CliError>,
) -> Result<(), CliError> {
    // First, so that nothing is written if the log cannot be read.
    let path = c.removal_log.as_deref();
    let log = path.map(removals::read).transpose();
    let log = log.map_err(CliError::Refused)?;
    let place = config.ledger.removals.as_deref();
    let place = place.filter(|_| !c.new_identity);
    let placement = match (path, &log, place) {
        (Some(path), Some(log), Some(place)) => {
            removals::placement(path, log, place).map_err(CliError::Refused)?
        }
        _ => removals::Placement::Keep,
    };
    let refused = |e: store::StoreError| CliError::Refused(e.to_string());
    // If it is dropped before its end, no store is left that could start.
    let restoration = Restoration::begin(&c.folder, &config.store.path).map_err(refused)?;
    let found = restoration.found.clone();
    let settings = store::StoreSettings {
        path: restoration.path(),
        ..config.store.clone()
    };
    let mut store = Store::open(settings).map_err(refused)?;
    let clock = crate::daemon::clock(config, None);
    let mirrors = Arc::new(Mirrors::open(config.mirrors(), clock.clone()));
    warn_of_mirrors(&mirrors, log.is_some());
    let serials = serials(&mirrors, clock.now(), &found.at, c.force);
    let (missing, done) = bring_up_to_date(
        &mut store,
        c,
        log.as_ref(),
        placement,
        &serials,
        config,
        clock.now(),
    )
    .map_err(|e| CliError::Refused(e.text(&store.dictionary())))?;
    store.close().map_err(refused)?;
    if let Err(e) = mirrors.keep_restored(&done.serials) {
        eprintln!("orbsd: warning: {e}; another restore of this copy may give the same serials");
    }
    // Before the last step, so that nothing can start that the daemon cannot open.
    give()?;
    restoration.finish().map_err(refused)?;
    if let Some(warning) = owner::warning_of_root(&config.store.path) {
        eprintln!("orbsd: warning: {warning}");
    }
    if common.json {
        let serials = done.serials.iter().map(|(o, s)| (o, s.0));
        let serials: BTreeMap<_, _> = serials.collect();
        let left: Vec<_> = done.left_behind.iter().map(left_behind_json).collect();
        output::json(&json!({
            "commit": found.commit, "lines": done.lines, "decisions": done.decisions, "missing": missing, "serials": serials,
            "left_behind": left,
        }));
        return Ok(());
    }
    println!(
        "restored to commit {}; replayed: {} since then",
        found.commit,
        counted(done.decisions, "change")
    );
    if !missing.is_empty() {
        println!(
            "the log lacks lines {missing:?}: the subjects that were delisted in them are listed again"
        );
    }
    done.serials
        .iter()
        .for_each(|(origin, serial)| println!("  {origin}: continues after serial {serial}"));
    for (zone, serial, mirrors) in &done.left_behind {
        println!("warning: {}", left_behind(zone, *serial, mirrors));
    }
    Ok(())
}

/// The files that a restore writes: the store, the file of the mirrors and the removal log, with
/// their folders.
fn files_of_daemon(config: &Config) -> Vec<PathBuf> {
    let mut files = config.mirrors();
    files.push(config.store.path.clone());
    files.extend(config.ledger.removals.clone());
    let files = files.into_iter();
    files
        .map(|path| owner::missing_folder(&path).map_or(path.clone(), Into::into))
        .collect()
}

/// Replays the log into a copy that is not in place yet, sets its serials and, on request, a new
/// identity, and puts the log where the daemon expects it. Returns the missing lines too.
fn bring_up_to_date(
    store: &mut Store,
    c: &Restore,
    log: Option<&removals::Contents>,
    placement: removals::Placement,
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
        let cause = match (&c.removal_log, c.new_identity) {
            (Some(log), false) => {
                let aside = removals::install(log, place, placement);
                if let Some(aside) = aside.map_err(ledger::LedgerError::Invalid)? {
                    eprintln!(
                        "orbsd: the previous removal log at {} is now {}",
                        place.display(),
                        aside.display()
                    );
                }
                // What cannot be read in it was accepted with --allow-gap; a scrub would report it
                // as damage for ever.
                "unreadable lines were left out by a restore with --allow-gap"
            }
            (None, false) => "the store was restored without it",
            (_, true) => "the store was restored with a new identity",
        };
        ledger::begin_log(store, place, cause, now)?;
    }
    Ok((missing, done))
}

/// The input for the new serials: the age of the copy, and the serials that mirrors were seen to
/// have, which are not in the copy.
fn serials(mirrors: &Arc<Mirrors>, now: Time, copied: &str, force: bool) -> ledger::RestoreSerials {
    let copied = copied.parse::<Time>().unwrap_or_default();
    ledger::RestoreSerials {
        age: now.0.saturating_sub(copied.0),
        mirrors: mirrors.mirror_serials(),
        given_out: mirrors.given_out(),
        copied,
        force,
    }
}

/// Warns if the serials of the mirrors are unknown.
fn warn_of_mirrors(mirrors: &Mirrors, has_log: bool) {
    for problem in mirrors.problems() {
        eprintln!("orbsd: warning: {problem}");
    }
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
    (zone, serial, mirrors): &(String, Serial, Vec<MirrorSerial>),
) -> serde_json::Value {
    let commands: BTreeMap<_, _> = forced_transfers(zone).into_iter().collect();
    json!({"zone": zone, "serial": serial, "mirrors": mirrors, "commands": commands})
}
