//! `orbsd undo`, `purge`, `holds` and `watch`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    Common, Failure,
    client::{Client, with_query},
    output,
    text::plain_line,
};
use crate::api::{
    ChangeEndResponse, ChangeGapResponse, ChangesQuery, CommitResponse, HoldEndQuery, HoldRequest,
    HoldResponse, Page, PageQuery, PurgeQuery, PurgeRequest, PurgeResponse, ReceiptResponse,
    UndoQuery, UndoRequest, UndoResponse,
};

/// How many subjects of each kind a report names.
const SAMPLES: usize = 10;
/// How many subjects of a commit `watch` names.
const WATCHED: usize = 8;

/// Take a commit back, as far as its subjects still stand as it left them
#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The commit's number, as every write tells it
    commit: u64,
    /// Only what this author did in it; the changes of many share a commit
    #[arg(long)]
    author: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// Bring listings back also where a removal was granted
    #[arg(long)]
    break_hold: bool,
    /// Why, for the history
    #[arg(long, value_parser = plain_line)]
    note: Option<String>,
}

pub(super) fn undo(common: &Common, c: &Undo) -> Result<(), Failure> {
    let request = UndoRequest {
        author: c.author.clone(),
        break_hold: c.break_hold,
        note: c.note.clone(),
    };
    let query = UndoQuery { dry_run: c.dry_run };
    let path = with_query(&format!("/v1/commits/{}/undo", c.commit), &query);
    let done: UndoResponse = Client::open(common)?.call_json(Method::POST, &path, &request)?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    let would = if c.dry_run {
        "would be taken back"
    } else {
        "taken back"
    };
    if let Some(rows) = &done.difference {
        println!(
            "commit {}: {would}: {} rows added, {} changed, {} removed, {} the same",
            c.commit, rows.added, rows.changed, rows.removed, rows.same
        );
        samples("added", &rows.sample_added, rows.added);
        samples("removed", &rows.sample_removed, rows.removed);
        if rows.held > 0 {
            println!("{} of them are held by a granted removal", rows.held);
        }
    } else {
        let subjects = done.undone.len();
        println!("commit {}: {subjects} subjects {would}", c.commit);
        samples("subjects", &done.undone, subjects as u64);
    }
    for by in &done.changed_by {
        println!(
            "{} changed since by commit {} ({}), left alone",
            by.count, by.commit, by.description
        );
        samples("changed", &by.sample, by.count as u64);
    }
    let held = done.held.len();
    if held > 0 {
        println!("{held} held by a granted removal, left alone; --break-hold lists them again");
        samples("held", &done.held, held as u64);
    }
    match &done.receipt {
        Some(r) => println!(
            "commit {}; take it back with: orbsd undo {}",
            r.commit, r.commit
        ),
        None if c.dry_run => println!("dry run: nothing was changed"),
        None => println!("nothing was taken back"),
    }
    Ok(())
}

/// The first few subjects of a list, of so many.
fn samples(what: &str, all: &[String], count: u64) {
    let first = &all[..all.len().min(SAMPLES)];
    if !first.is_empty() {
        let more = if count > first.len() as u64 {
            ", …"
        } else {
            ""
        };
        println!("  {what}: {}{more}", first.join(", "));
    }
}

/// Take off all listings that have something in common
#[derive(Debug, Args)]
pub(super) struct Purge {
    /// Only by this source; of a feed it goes until the feed's next import
    #[arg(long)]
    source: Option<String>,
    /// Only for this reason
    #[arg(long)]
    reason: Option<String>,
    /// Only what this author listed last
    #[arg(long)]
    author: Option<String>,
    /// Only what this prefix covers
    #[arg(long)]
    prefix: Option<String>,
    /// Only this domain and what is below it
    #[arg(long)]
    domain: Option<String>,
    /// Only what is listed since this time or later: a date, an RFC 3339 time, or a duration before
    /// now (7d)
    #[arg(long)]
    from: Option<String>,
    /// Only what is listed since this time or earlier
    #[arg(long)]
    to: Option<String>,
    /// Hold the reasons down for 30 days, as a granted removal does
    #[arg(long)]
    hold: bool,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Why, for the history
    #[arg(long, value_parser = plain_line)]
    note: Option<String>,
}

pub(super) fn purge(common: &Common, c: &Purge) -> Result<(), Failure> {
    let request = PurgeRequest {
        source: c.source.clone(),
        reason: c.reason.clone(),
        author: c.author.clone(),
        prefix: c.prefix.clone(),
        domain: c.domain.clone(),
        from: c.from.clone(),
        to: c.to.clone(),
        hold: c.hold,
        note: c.note.clone(),
    };
    let path = with_query("/v1/purges", &PurgeQuery { dry_run: c.dry_run });
    let done: PurgeResponse = Client::open(common)?.call_json(Method::POST, &path, &request)?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    println!(
        "{} listings {}",
        done.count,
        if c.dry_run { "would go" } else { "are gone" }
    );
    done.sample.iter().for_each(|s| println!("  {s}"));
    for r in &done.commits {
        println!(
            "commit {}; take it back with: orbsd undo {}",
            r.commit, r.commit
        );
    }
    Ok(())
}

/// What is held down, since a removal was granted
#[derive(Debug, Args)]
pub(super) struct Holds {
    #[command(subcommand)]
    what: Option<HoldsCommand>,
}

#[derive(Debug, Subcommand)]
enum HoldsCommand {
    /// Show all holds
    List,
    /// Hold a reason down, whoever says it
    Add {
        subject: String,
        #[arg(long)]
        reason: String,
        /// How long (30d where it is not said)
        #[arg(long)]
        until: Option<String>,
        /// Why, for the history
        #[arg(long, value_parser = plain_line)]
        note: Option<String>,
    },
    /// Break the holds of a subject, or only for one reason
    End {
        subject: String,
        #[arg(long)]
        reason: Option<String>,
        /// Why, for the history
        #[arg(long, value_parser = plain_line)]
        note: Option<String>,
    },
}

pub(super) fn holds(common: &Common, c: Holds) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let done: ReceiptResponse = match c.what.unwrap_or(HoldsCommand::List) {
        HoldsCommand::List => return list_holds(common, &mut client),
        HoldsCommand::Add {
            subject,
            reason,
            until,
            note,
        } => {
            let request = HoldRequest {
                subject,
                reason,
                until,
                note,
            };
            client.call_json(Method::POST, "/v1/holds", &request)?
        }
        HoldsCommand::End {
            subject,
            reason,
            note,
        } => {
            let query = HoldEndQuery {
                subject,
                reason,
                note,
            };
            client.call(Method::DELETE, &with_query("/v1/holds", &query))?
        }
    };
    match common.json {
        true => output::json(&done),
        false => println!("commit {}", done.commit),
    }
    Ok(())
}

fn list_holds(common: &Common, client: &mut Client) -> Result<(), Failure> {
    let mut query = PageQuery {
        limit: Some(1000),
        ..PageQuery::default()
    };
    loop {
        let page: Page<HoldResponse> = client.get(&with_query("/v1/holds", &query))?;
        for h in &page.items {
            if common.json {
                output::json_line(h);
                continue;
            }
            let source = match &h.source {
                Some(s) => format!("by {s}"),
                None => "by every source".into(),
            };
            let until = match h.until {
                Some(t) => t.to_string(),
                None => "something wider ends".into(),
            };
            println!(
                "{}: {} {source}, since {} until {until}",
                h.subject, h.reason, h.since
            );
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Show commits as they come, until the daemon stops or you do
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Begin behind this commit instead of now
    #[arg(long)]
    since: Option<u64>,
}

pub(super) fn watch(common: &Common, c: &Watch) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    if !client.is_daemon() {
        return Err(Failure::No(
            "no daemon runs, so nothing happens that could be watched".into(),
        ));
    }
    let query = ChangesQuery {
        after: c.since,
        ..ChangesQuery::default()
    };
    let path = with_query("/v1/changes", &query);
    let mut body = client.stream(&path, "text/event-stream")?;
    let (mut rest, mut event, mut data) = (String::new(), String::new(), String::new());
    while let Some(piece) = client.piece(&mut body)? {
        rest += &String::from_utf8_lossy(&piece);
        while let Some(n) = rest.find('\n') {
            let line: String = rest.drain(..=n).collect();
            match line.trim_end().split_once(':') {
                Some(("event", e)) => event = e.trim().into(),
                Some(("data", d)) => data = d.trim().into(),
                None if line.trim().is_empty() && !data.is_empty() => {
                    show(common, &event, &std::mem::take(&mut data))?;
                    if event == "end" {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
    Err(Failure::No("the daemon went away".into()))
}

/// Prints an event of the stream.
fn show(common: &Common, event: &str, data: &str) -> Result<(), Failure> {
    if common.json {
        println!("{data}");
        return Ok(());
    }
    let unread = |e| Failure::No(format!("the response of the daemon cannot be read: {e}"));
    match event {
        "commit" => {
            let c: CommitResponse = serde_json::from_str(data).map_err(unread)?;
            let serials: Vec<String> = c.serials.iter().map(|(z, s)| format!("{z} {s}")).collect();
            let mut subjects: Vec<&str> = c.changes.iter().map(|c| c.subject.as_str()).collect();
            subjects.dedup();
            subjects.truncate(WATCHED);
            let more = if c.bulk {
                "a large import".into()
            } else {
                format!("{} subjects: {}", c.count, subjects.join(", "))
            };
            println!(
                "{} commit {}: {more} [{}]",
                c.at,
                c.commit,
                serials.join(", ")
            );
        }
        "gap" => {
            let gap: ChangeGapResponse = serde_json::from_str(data).map_err(unread)?;
            println!(
                "the journal no longer has what came before commit {}",
                gap.next
            );
        }
        _ => {
            let end: ChangeEndResponse = serde_json::from_str(data).map_err(unread)?;
            println!("{}", end.detail);
        }
    }
    Ok(())
}
