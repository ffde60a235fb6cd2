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
    store::{self, Store},
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
    /// Give the copy an identity of its own: the store that it was copied from goes on elsewhere, and servers that follow
    /// both, or each other, have to tell them apart
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
    // Read first: nothing is put anywhere for a log that can not be read.
    let lines = c.removals.as_ref().map(|p| removals::read(p)).transpose().map_err(Failure::No)?;
    let no = |e: store::StoreError| Failure::No(e.to_string());
    let found = store::restore(&c.folder, &config.store.path).map_err(no)?;
    let mut store = Store::open(config.store.clone()).map_err(no)?;
    if c.new_identity {
        store.renew_identity().map_err(no)?;
    }
    let done = ledger::restore(&store, lines.as_deref()).map_err(|e| Failure::No(e.text(&store.vocabulary())))?;
    store.close().map_err(no)?;
    if common.json {
        let serials: std::collections::BTreeMap<_, _> = done.serials.iter().map(|(o, s)| (o, s.0)).collect();
        println!("{:#}", json!({"commit": found.commit, "lines": done.lines, "decisions": done.decisions, "serials": serials}));
        return Ok(());
    }
    println!("restored to commit {}; {} decisions since then were replayed", found.commit, done.decisions);
    done.serials.iter().for_each(|(origin, serial)| println!("  {origin}: goes on behind serial {serial}"));
    Ok(())
}
