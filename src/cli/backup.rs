//! `orbsd backup` and `orbsd restore`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{Common, Failure, client::Client, output};
use crate::{
    api::{BackupRequest, BackupResponse},
    clock::Clock,
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
/// No daemon may run, and no store may lie there: move the old one away. The log of removals of
/// `[removals] path` is what keeps from being listed again who was taken off after the copy was
/// made.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `orbsd backup` has made
    folder: PathBuf,
    /// The log of removals
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
            "without the log of removals, whoever was taken off after the copy was made is listed again; name it with --removals FILE, or say --without-removals"
                .into(),
        ));
    }
    let config = common.load()?;
    // Read first: nothing is put anywhere for a log that cannot be read.
    let log = c
        .removals
        .as_ref()
        .map(|p| removals::read(p))
        .transpose()
        .map_err(Failure::No)?;
    let no = |e: store::StoreError| Failure::No(e.to_string());
    // Dropped before its end, it leaves nothing that could start.
    let restoration = Restoration::begin(&c.folder, &config.store.path).map_err(no)?;
    let found = restoration.found.clone();
    let mut store = Store::open(store::Settings {
        path: restoration.path(),
        ..config.store.clone()
    })
    .map_err(no)?;
    let clock = crate::daemon::clock(&config);
    let serials = serials(&config, &clock, &found.at, c.force);
    let (missing, done) =
        bring_up_to_date(&mut store, c, log.as_ref(), &serials, &config, clock.now())
            .map_err(|e| Failure::No(e.text(&store.vocabulary())))?;
    store.close().map_err(no)?;
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

/// Replays the log into a copy that is not at its place yet, gives it its serials and, where that
/// is wanted, an identity of its own, and puts the log where the daemon looks for it. Returns the
/// runs of missing lines too.
fn bring_up_to_date(
    store: &mut Store,
    c: &Restore,
    log: Option<&removals::Contents>,
    serials: &ledger::RestoreSerials,
    config: &Config,
    now: Time,
) -> Result<(Vec<(u64, u64)>, ledger::Replayed), ledger::Refused> {
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
                removals::install(log, place).map_err(ledger::Refused::Settings)?;
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
fn serials(config: &Config, clock: &Clock, copied: &str, force: bool) -> ledger::RestoreSerials {
    let age = copied
        .parse::<Time>()
        .map_or(u64::MAX, |at| clock.now().0.saturating_sub(at.0));
    let mirrors = Arc::new(Mirrors::open(config.mirrors(), clock.clone())).seen_serials();
    ledger::RestoreSerials {
        age,
        mirrors,
        force,
    }
}

/// A zone whose serial is not newer for some mirrors.
pub(super) fn left_behind_json(
    (zone, serial, mirrors): &(String, Serial, Vec<SeenMirror>),
) -> serde_json::Value {
    let commands: std::collections::BTreeMap<_, _> = forced_transfers(zone).into_iter().collect();
    json!({"zone": zone, "serial": serial, "mirrors": mirrors, "commands": commands})
}
