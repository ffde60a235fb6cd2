//! `orbsd backup` and `orbsd restore`.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{
    Common, Failure,
    client::{Client, bytes},
};
use crate::{
    ledger::{self, removals},
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
    let made = Client::open(common)?.json(Method::POST, "/v1/backups", bytes(json!({"path": path}).to_string()))?;
    match common.json {
        true => println!("{made:#}"),
        false => println!("{}: commit {}, {} rows, read back", path.display(), made["commit"], made["rows"]),
    }
    Ok(())
}

/// Put a copy where the store has to lie, and replay what was taken off since
///
/// No daemon may run, and no store may lie there: move the old one away. The log of removals of `[removals] path` is what
/// keeps from being listed again who was taken off after the copy was made.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `orbsd backup` has made
    folder: PathBuf,
    /// The log of removals
    #[arg(long)]
    removals: Option<PathBuf>,
    /// There is no log: whoever was taken off since is listed again, and all serials jump beyond any mirror's
    #[arg(long, conflicts_with = "removals")]
    without_removals: bool,
    /// Replay a log that lacks lines or has damaged ones: whoever was taken off in those is listed again
    #[arg(long, requires = "removals")]
    allow_gap: bool,
}

pub(super) fn restore(common: &Common, c: &Restore) -> Result<(), Failure> {
    if c.removals.is_none() && !c.without_removals {
        return Err(Failure::Usage(
            "without the log of removals, whoever was taken off after the copy was made is listed again; name it with --removals FILE, or say --without-removals"
                .into(),
        ));
    }
    let config = common.load()?;
    // Read first: nothing is put anywhere for a log that can not be read.
    let log = c.removals.as_ref().map(|p| removals::read(p)).transpose().map_err(Failure::No)?;
    let no = |e: store::StoreError| Failure::No(e.to_string());
    // Dropped before its end, it leaves nothing that could start.
    let restoration = Restoration::begin(&c.folder, &config.store.path).map_err(no)?;
    let found = restoration.found.clone();
    let store = Store::open(store::Settings { path: restoration.path(), ..config.store.clone() }).map_err(no)?;
    let refused = |e: ledger::Refused| Failure::No(e.text(&store.vocabulary()));
    let missing = log.as_ref().map(|l| ledger::check_log(&store, l, c.allow_gap)).transpose().map_err(refused)?.unwrap_or_default();
    let done = ledger::restore(&store, log.as_ref().map(|l| &l.lines[..])).map_err(refused)?;
    if let Some(place) = &config.ledger.removals {
        match &c.removals {
            Some(log) => removals::install(log, place).map_err(Failure::No)?,
            None => ledger::begin_log(&store, place).map_err(refused)?,
        }
    }
    store.close().map_err(no)?;
    restoration.finish().map_err(no)?;
    if common.json {
        let serials: std::collections::BTreeMap<_, _> = done.serials.iter().map(|(o, s)| (o, s.0)).collect();
        println!(
            "{:#}",
            json!({"commit": found.commit, "lines": done.lines, "decisions": done.decisions, "missing": missing, "serials": serials})
        );
        return Ok(());
    }
    println!("restored to commit {}; {} decisions since then were replayed", found.commit, done.decisions);
    if !missing.is_empty() {
        println!("the log lacks lines {missing:?}: whoever was taken off in them is listed again");
    }
    done.serials.iter().for_each(|(origin, serial)| println!("  {origin}: goes on behind serial {serial}"));
    Ok(())
}
