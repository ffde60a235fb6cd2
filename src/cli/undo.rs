//! `orbsd undo`.

use clap::Args;

use super::{
    CliError, Common,
    client::{Client, with_query},
    text::{plain_line, print_commit},
};
use crate::{
    api::{UndoQuery, UndoRequest, UndoResponse},
    model::text::counted,
};

/// How many subjects of each kind a report names.
const SAMPLES: usize = 10;

/// Undo a commit for all subjects that have not changed since
#[derive(Debug, Args)]
pub(super) struct Undo {
    /// Number of the commit, which every change prints
    commit: u64,
    /// Undo only the changes of this author
    #[arg(long)]
    author: Option<String>,
    /// Show the effect, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// List subjects again although they are on hold
    #[arg(long)]
    break_hold: bool,
    /// Note for the history
    #[arg(long, value_parser = plain_line)]
    note: Option<String>,
}

pub(super) fn run(common: &Common, c: Undo) -> Result<(), CliError> {
    let request = UndoRequest {
        author: c.author,
        break_hold: c.break_hold,
        note: c.note,
    };
    let query = UndoQuery { dry_run: c.dry_run };
    let path = with_query(&format!("/v1/commits/{}/undo", c.commit), &query);
    let done: UndoResponse = Client::open(common)?.post_json(&path, &request)?;
    common.print(&done, |done| print(done, c.commit, c.dry_run))
}

fn print(done: &UndoResponse, commit: u64, dry_run: bool) {
    let would = if dry_run { "would be undone" } else { "undone" };
    if let Some(rows) = &done.difference {
        println!(
            "commit {commit}: {would}: {} added, {} changed, {} removed, {} the same",
            counted(rows.added, "row"),
            rows.changed,
            rows.removed,
            rows.same
        );
        samples("added", &rows.sample_added, rows.added);
        samples("removed", &rows.sample_removed, rows.removed);
        if rows.held > 0 {
            println!("{} of them are on hold", rows.held);
        }
    } else {
        let subjects = done.undone.len();
        println!("commit {commit}: {} {would}", counted(subjects, "subject"));
        samples("subjects", &done.undone, subjects as u64);
    }
    for by in &done.changed_by {
        println!(
            "{} changed since by commit {} ({}), unchanged",
            by.count, by.commit, by.description
        );
        samples("changed", &by.sample, by.count as u64);
    }
    let held = done.held.len();
    if held > 0 {
        println!("{held} on hold, unchanged; --break-hold lists them again");
        samples("held", &done.held, held as u64);
    }
    match &done.receipt {
        Some(r) => print_commit(r.commit),
        None if dry_run => println!("dry run: nothing was changed"),
        None => println!("nothing was undone"),
    }
}

/// Prints the first subjects of a list of `count`.
fn samples(what: &str, all: &[String], count: u64) {
    let first = &all[..all.len().min(SAMPLES)];
    if !first.is_empty() {
        let is_cut = count > first.len() as u64;
        let more = if is_cut { ", …" } else { "" };
        println!("  {what}: {}{more}", first.join(", "));
    }
}
