//! `orbsd feed` and `orbsd source`: lists that a guard stopped, and the shape of a source's last
//! list.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// Show feeds, and decide about lists that are held
#[derive(Debug, Args)]
pub(super) struct Feed {
    #[command(subcommand)]
    command: FeedCommand,
}

#[derive(Debug, Subcommand)]
enum FeedCommand {
    /// Show all feeds, one a line
    List,
    /// Show a feed, and what its held list would change
    Show {
        /// The feed's name
        name: String,
    },
    /// Accept the list that is held, and import it
    Accept {
        /// The feed's name
        name: String,
    },
    /// Refuse the list that is held: the old list stays until the file changes
    Refuse {
        /// The feed's name
        name: String,
    },
}

/// Shows feeds, or decides about one.
pub(super) fn feed(common: &Common, c: &Feed) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let mut call = |method, name: &str, action: &str| {
        let path = format!("/v1/feeds/{}{action}", escape(name));
        client.json(method, &path, bytes(""))
    };
    match &c.command {
        FeedCommand::List => {
            let all = client.json(Method::GET, "/v1/feeds", bytes(""))?;
            match common.json {
                true => output::json(&all),
                false => list(&all["items"]).for_each(print_line),
            }
        }
        FeedCommand::Show { name } => {
            let found = call(Method::GET, name, "")?;
            match common.json {
                true => output::json(&found),
                false => print(&found),
            }
        }
        FeedCommand::Accept { name } => {
            let done = call(Method::POST, name, "/accept")?;
            let d = &done["difference"];
            match common.json {
                true => output::json(&done),
                false => println!(
                    "{name}: held list accepted, {} added, {} changed, {} removed, {} as before; commit {}",
                    d["added"], d["changed"], d["removed"], d["same"], done["receipt"]["commit"]
                ),
            }
        }
        FeedCommand::Refuse { name } => {
            let done = call(Method::POST, name, "/refuse")?;
            match common.json {
                true => output::json(&done),
                false => {
                    println!(
                        "{name}: held list refused; the old list stays until the file changes"
                    );
                }
            }
        }
    }
    Ok(())
}

/// How a feed is, in one word.
fn condition(f: &Value) -> &'static str {
    match (f["problem"].is_string(), f["held"]["refused"].as_bool()) {
        (true, _) => "failing",
        (false, Some(false)) => "held",
        (false, Some(true)) => "list refused",
        (false, None) => "current",
    }
}

fn print_line(f: &Value) {
    let refreshed = f["refreshed"].as_str().unwrap_or("never");
    println!(
        "{} ({}): {}, refreshed {refreshed}, from {}",
        text(&f["feed"]),
        text(&f["kind"]),
        condition(f),
        text(&f["from"])
    );
}

fn print(f: &Value) {
    print_line(f);
    for (key, what) in [("problem", "problem"), ("note", "note")] {
        f[key]
            .as_str()
            .into_iter()
            .for_each(|t| println!("  {what}: {t}"));
    }
    print_looped(f);
    print_held(f);
}

/// How much was left out since it came through this server.
pub(super) fn print_looped(f: &Value) {
    if let Some(looped) = f["looped"].as_u64() {
        println!(
            "  left out, since it came through this server or through too many: {looped} (since the daemon's start)"
        );
    }
}

/// What a held list would change, and what can be done.
pub(super) fn print_held(f: &Value) {
    let (held, name) = (&f["held"], text(&f["feed"]));
    if !held.is_object() {
        return;
    }
    let state = if held["refused"] == true {
        "list refused"
    } else {
        "list held"
    };
    println!(
        "  {state} since {}: {}",
        text(&held["since"]),
        text(&held["reason"])
    );
    let (d, e) = (&held["difference"], &held["extents"]);
    println!(
        "  entries: {} now, {} with it; {} would be added, {} changed, {} removed",
        e["before"]["entries"], e["after"]["entries"], d["added"], d["changed"], d["removed"]
    );
    for (key, sign) in [("sample_added", '+'), ("sample_removed", '-')] {
        list(&d[key]).for_each(|s| println!("    {sign} {}", text(s)));
    }
    if let Some(after) = held["accepted_after"].as_str() {
        println!(
            "  `orbsd feed accept {name}` imports it, `orbsd feed refuse {name}` keeps the old list until the file changes;"
        );
        println!(
            "  accepted at {after} if the feed brings three more like it ({} came)",
            held["refreshes"]
        );
    }
}

/// Change what is known of a source
#[derive(Debug, Args)]
pub(super) struct Source {
    #[command(subcommand)]
    command: SourceCommand,
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// Forget the shape of the last list (kind, final record), so that a list of another shape may
    /// follow; removes no entry
    Reset {
        /// The source's name
        name: String,
    },
    /// Rename a source with its listings and history; a feed has its new name in config.toml
    /// already
    Rename {
        /// The old name
        old: String,
        /// The new name
        new: String,
    },
}

/// Changes what is known of a source.
pub(super) fn source(common: &Common, c: &Source) -> Result<(), Failure> {
    let name = match &c.command {
        SourceCommand::Reset { name } => name,
        SourceCommand::Rename { old, new } => {
            return super::rename::rename(common, "source", old, new);
        }
    };
    let done = Client::open(common)?.json(
        Method::POST,
        &format!("/v1/sources/{}/reset", escape(name)),
        bytes(""),
    )?;
    match common.json {
        true => output::json(&done),
        false => println!("{name}: the shape of the last list is forgotten; its entries stay"),
    }
    Ok(())
}
