//! `orbsd undo`, `purge`, `holds`, `watch`: the way back, many at once, what is held down, and what
//! happens.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, plain_line, text},
};

/// How many subjects of each kind a report names.
const SAMPLES: usize = 10;

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
    let asked = json!({"author": c.author, "dry_run": c.dry_run, "break_hold": c.break_hold, "note": c.note});
    let done = Client::open(common)?.json(
        Method::POST,
        &format!("/v1/commits/{}/undo", c.commit),
        bytes(asked.to_string()),
    )?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    let (subjects, rows) = (list(&done["undone"]).count(), &done["difference"]);
    let would = if c.dry_run {
        "would be taken back"
    } else {
        "taken back"
    };
    if rows.is_object() {
        let n = |k: &str| rows[k].as_u64().unwrap_or(0);
        println!(
            "commit {}: {would}: {} rows added, {} changed, {} removed, {} the same",
            c.commit,
            n("added"),
            n("changed"),
            n("removed"),
            n("same")
        );
        samples("added", &rows["sample_added"], n("added"));
        samples("removed", &rows["sample_removed"], n("removed"));
        if n("held") > 0 {
            println!("{} of them are held down by a granted removal", n("held"));
        }
    } else {
        println!("commit {}: {subjects} subjects {would}", c.commit);
        samples("subjects", &done["undone"], subjects as u64);
    }
    for by in list(&done["changed_by"]) {
        println!(
            "{} changed since by commit {} ({}), left alone",
            by["count"],
            by["commit"],
            text(&by["what"])
        );
        samples("changed", &by["sample"], by["count"].as_u64().unwrap_or(0));
    }
    let held = list(&done["held"]).count();
    if held > 0 {
        println!(
            "{held} held down by a granted removal, left alone; --break-hold lists them again"
        );
        samples("held", &done["held"], held as u64);
    }
    match done["receipt"]["commit"].as_u64() {
        Some(n) => println!("commit {n}; take it back with: orbsd undo {n}"),
        None if c.dry_run => println!("dry run: nothing was changed"),
        None => println!("nothing was taken back"),
    }
    Ok(())
}

/// The first few subjects of a list, of so many.
fn samples(what: &str, all: &Value, count: u64) {
    let first: Vec<&str> = list(all).map(text).take(SAMPLES).collect();
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
    let asked = json!({
        "source": c.source, "reason": c.reason, "author": c.author, "prefix": c.prefix, "domain": c.domain,
        "from": c.from, "to": c.to, "hold": c.hold, "note": c.note,
    });
    let done = Client::open(common)?.json(
        Method::POST,
        &format!("/v1/purges?dry_run={}", c.dry_run),
        bytes(asked.to_string()),
    )?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    println!(
        "{} listings {}",
        done["count"],
        if c.dry_run { "would go" } else { "are gone" }
    );
    list(&done["sample"]).for_each(|s| println!("  {}", text(s)));
    list(&done["commits"]).for_each(|r| {
        println!(
            "commit {}; take it back with: orbsd undo {}",
            r["commit"], r["commit"]
        );
    });
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
    let done = match c.what.unwrap_or(HoldsCommand::List) {
        HoldsCommand::List => {
            let mut after = String::new();
            loop {
                let page = client.json(
                    Method::GET,
                    &format!("/v1/holds?limit=1000{after}"),
                    bytes(""),
                )?;
                for h in list(&page["items"]) {
                    if common.json {
                        println!("{h}");
                        continue;
                    }
                    let source = h["source"]
                        .as_str()
                        .map_or("whoever says it".into(), |s| format!("by {s}"));
                    let until = h["until"].as_str().unwrap_or("something wider ends");
                    println!(
                        "{}: {} {source}, since {} until {until}",
                        text(&h["subject"]),
                        text(&h["reason"]),
                        text(&h["since"])
                    );
                }
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={}", escape(next)),
                    None => return Ok(()),
                }
            }
        }
        HoldsCommand::Add {
            subject,
            reason,
            until,
            note,
        } => {
            let asked = json!({"subject": subject, "reason": reason, "until": until, "note": note});
            client.json(Method::POST, "/v1/holds", bytes(asked.to_string()))?
        }
        HoldsCommand::End {
            subject,
            reason,
            note,
        } => {
            let or = |k: &str, v: Option<String>| {
                v.map_or(String::new(), |v| format!("&{k}={}", escape(&v)))
            };
            let more = [or("reason", reason), or("note", note)].concat();
            client.json(
                Method::DELETE,
                &format!("/v1/holds?subject={}{more}", escape(&subject)),
                bytes(""),
            )?
        }
    };
    match common.json {
        true => output::json(&done),
        false => println!("commit {}", done["commit"]),
    }
    Ok(())
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
    let path = format!(
        "/v1/changes{}",
        c.since.map_or(String::new(), |s| format!("?since={s}"))
    );
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
                    show(common, &event, &std::mem::take(&mut data));
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

fn show(common: &Common, event: &str, data: &str) {
    if common.json {
        println!("{data}");
        return;
    }
    let v: Value = serde_json::from_str(data).unwrap_or_default();
    match event {
        "commit" => {
            let serials: Vec<String> = list(&v["serials"])
                .map(|s| format!("{} {}", text(&s["zone"]), s["to"]))
                .collect();
            let subjects: Vec<&str> = list(&v["subjects"]).map(text).take(8).collect();
            let more = if v["bulk"] == true {
                "a large import".into()
            } else {
                format!("{} subjects: {}", v["count"], subjects.join(", "))
            };
            println!(
                "{} commit {}: {more} [{}]",
                text(&v["at"]),
                v["commit"],
                serials.join(", ")
            );
        }
        "gap" => println!(
            "the journal no longer has what came before commit {}",
            v["next"]
        ),
        _ => println!("{}", v["reason"].as_str().unwrap_or("the end")),
    }
}
