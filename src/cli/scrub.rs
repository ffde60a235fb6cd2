//! `orbsd scrub`.

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes},
    output,
    text::{list, text},
};

/// Read the whole store for damage now
///
/// A daemon does so once a day; `orbsd status` shows what was found, until a later scrub finds
/// nothing.
#[derive(Debug, Args)]
pub(super) struct Scrub {
    /// Forget that acknowledged commits are missing, after you have made their changes again
    #[arg(long)]
    accept_missing_commits: bool,
}

pub(super) fn run(common: &Common, c: &Scrub) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let asked = json!({"accept_missing_commits": c.accept_missing_commits});
    let report = client.json(Method::POST, "/v1/scrubs", bytes(asked.to_string()))?;
    match common.json {
        true => output::json(&report),
        false if client.is_daemon() => println!("the scrub begins; `orbsd status` shows its end"),
        false => print(&report),
    }
    Ok(())
}

/// Damage and scrubs, for `orbsd status` too.
pub(super) fn print(report: &Value) {
    for d in list(&report["damage"]) {
        let at = d["at"]
            .as_str()
            .map_or(String::new(), |at| format!(" at {at}"));
        println!(
            "DAMAGED: {} (found by {}{at})",
            text(&d["what"]),
            text(&d["found_by"])
        );
    }
    if let Some(why) = report["cut_at_start"].as_str() {
        println!(
            "the last unsynchronised record of the write-ahead log was cut at the start: {why}"
        );
    }
    let (running, last) = (&report["scrub"]["running"], &report["scrub"]["last"]);
    if running.is_object() {
        let of = format!(
            "{} of {} families, {} bytes",
            running["families_read"], running["families"], running["bytes"]
        );
        println!("scrub: running since {}: {of}", text(&running["started"]));
    }
    if last.is_object() {
        println!(
            "scrub: last ended {}: {} rows, {} families with damage",
            text(&last["ended"]),
            last["rows"],
            last["damaged_families"]
        );
    }
}
