//! `orbsd feed` and `orbsd source`.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, escape},
};
use crate::api::{FeedDecisionResponse, FeedResponse, HeldListResponse, SourceResetResponse};

/// Show feeds, and decide about held lists
#[derive(Debug, Args)]
pub(super) struct Feed {
    #[command(subcommand)]
    command: FeedCommand,
}

#[derive(Debug, Subcommand)]
enum FeedCommand {
    /// Show all feeds, one per line
    List,
    /// Show a feed, and the changes of its held list
    Show(FeedName),
    /// Import the held list
    Accept(FeedName),
    /// Refuse the held list; the old list stays until the file changes
    Refuse(FeedName),
}

#[derive(Debug, Args)]
struct FeedName {
    /// Name of the feed
    name: String,
}

/// Shows feeds, or decides about one.
pub(super) fn feed(common: &Common, c: &Feed) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let path = |name: &str| format!("/v1/feeds/{}", escape(name));
    match &c.command {
        FeedCommand::List => client.print_list(common, "/v1/feeds", print_line),
        FeedCommand::Show(FeedName { name }) => {
            let found: FeedResponse = client.get(&path(name))?;
            common.print(&found, print)
        }
        FeedCommand::Accept(FeedName { name }) => {
            let done: FeedDecisionResponse = client.post(&format!("{}/accept", path(name)))?;
            common.print(&done, |done| {
                let d = done.difference.clone().unwrap_or_default();
                println!(
                    "{name}: held list accepted, {} added, {} changed, {} removed, {} as before; commit {}",
                    d.added,
                    d.changed,
                    d.removed,
                    d.same,
                    done.receipt.as_ref().map_or(0, |r| r.commit)
                );
            })
        }
        FeedCommand::Refuse(FeedName { name }) => {
            let done: FeedDecisionResponse = client.post(&format!("{}/refuse", path(name)))?;
            common.print(&done, |_| {
                println!("{name}: held list refused; the old list stays until the file changes");
            })
        }
    }
}

/// The state of a feed in one word.
fn condition(f: &FeedResponse) -> &'static str {
    match (&f.problem, &f.held) {
        (Some(_), _) => "failing",
        (None, Some(h)) if h.refused => "list refused",
        (None, Some(_)) => "held",
        (None, None) => "current",
    }
}

fn print_line(f: &FeedResponse) {
    let refreshed = f.refreshed.map_or("never".to_string(), |t| t.to_string());
    println!(
        "{} ({}): {}, refreshed {refreshed}, from {}",
        f.feed,
        f.kind.as_str(),
        condition(f),
        f.from
    );
}

fn print(f: &FeedResponse) {
    print_line(f);
    print_details(f);
}

/// The problem, the note and the held list of a feed.
pub(super) fn print_details(f: &FeedResponse) {
    for (text, what) in [(&f.problem, "problem"), (&f.note, "note")] {
        text.iter().for_each(|t| println!("  {what}: {t}"));
    }
    if f.looped > 0 {
        println!(
            "  left out, since it came through this server or through too many: {} (since the daemon's start)",
            f.looped
        );
    }
    if let Some(held) = &f.held {
        print_held(&f.feed, held);
    }
}

/// What a held list would change, and what can be done.
fn print_held(name: &str, held: &HeldListResponse) {
    let state = match held.refused {
        true => "list refused",
        false => "list held",
    };
    println!("  {state} since {}: {}", held.since, held.limit);
    let d = &held.difference;
    println!(
        "  entries: {} now, {} with it; {} would be added, {} changed, {} removed",
        held.before.entries, held.after.entries, d.added, d.changed, d.removed
    );
    for (sample, sign) in [(&d.sample_added, '+'), (&d.sample_removed, '-')] {
        sample.iter().for_each(|s| println!("    {sign} {s}"));
    }
    if let Some(after) = held.accepted_after {
        println!(
            "  `orbsd feed accept {name}` imports it, `orbsd feed refuse {name}` keeps the old list until the file changes;"
        );
        println!(
            "  accepted at {after} if the feed brings three more like it ({} came)",
            held.refreshes
        );
    }
}

/// Rename a source, forget its last shape, or show its error rates
#[derive(Debug, Args)]
pub(super) struct Source {
    #[command(subcommand)]
    command: SourceCommand,
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// Forget the shape of the last list, so that the next one may differ
    Reset {
        /// Name of the source
        name: String,
    },
    /// Rename a source; change the name of a feed in config.toml first
    Rename {
        /// Old name
        old: String,
        /// New name
        new: String,
    },
    /// Show daily figures of sources: proofs, claims, errors and answered requests
    Quality {
        /// Name of the source [default: all sources that have figures]
        source: Option<String>,
        /// Number of days, today included, at most 400
        #[arg(long, default_value_t = 1)]
        days: u64,
    },
}

/// Renames or resets a source, or shows figures.
pub(super) fn source(common: &Common, c: Source) -> Result<(), CliError> {
    let name = match c.command {
        SourceCommand::Reset { name } => name,
        SourceCommand::Rename { old, new } => {
            return super::rename::rename(common, "source", &old, &new);
        }
        SourceCommand::Quality { source, days } => {
            return super::quality::of_sources(common, source, days);
        }
    };
    let path = format!("/v1/sources/{}/reset", escape(&name));
    let done: SourceResetResponse = Client::open(common)?.post(&path)?;
    common.print(&done, |_| {
        println!("{name}: the shape of the last list is forgotten; its entries stay");
    })
}
