//! `orbsd lookup`.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{
    Common, Failure,
    change::prefixes,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// `orbsd lookup`
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// An address, a prefix, a range or a domain
    subject: String,
}

/// Exit code 0: listed in some zone (of a range: one of its prefixes); 1: not listed.
pub(super) fn run(common: &Common, c: &Lookup) -> Result<(), Failure> {
    if c.subject.trim().is_empty() {
        return Err(Failure::Usage(
            "say an address, a prefix or a domain".into(),
        ));
    }
    let mut client = Client::open(common)?;
    let mut listed = false;
    for subject in prefixes(&c.subject) {
        let found = client.json(
            Method::GET,
            &format!("/v1/subjects/{}", escape(&subject)),
            bytes(""),
        )?;
        if common.json {
            output::json(&found);
        } else {
            print(&found);
        }
        listed |= found["listed"] == true;
    }
    if listed {
        Ok(())
    } else {
        Err(Failure::No(String::new()))
    }
}

fn print(found: &Value) {
    let state = if found["listed"] == true {
        "listed"
    } else {
        "not listed"
    };
    println!("{}: {state}", text(&found["subject"]));
    if !found["exempt"].is_null() {
        println!("  exempt since {}", text(&found["exempt"]["since"]));
    }
    for e in list(&found["entries"]) {
        let kind = match (e["hole"] == true, e["held"] == true) {
            (true, _) => "excepted by",
            (_, true) => "held down, though listed by",
            _ => "listed by",
        };
        let until = e["until"]
            .as_str()
            .map_or(String::new(), |u| format!(" until {u}"));
        println!(
            "  {}: {kind} {} since {}{until}",
            text(&e["reason"]),
            text(&e["source"]),
            text(&e["since"])
        );
        e["note"]
            .as_str()
            .into_iter()
            .for_each(|n| println!("    note: {n}"));
    }
    for h in list(&found["holds"]) {
        let source = h["source"]
            .as_str()
            .map_or(String::new(), |s| format!(" by {s}"));
        let until = h["until"]
            .as_str()
            .map_or(" as long as something wider lists it".into(), |u| {
                format!(" until {u}")
            });
        println!(
            "  {}: held down{source} since {}{until}",
            text(&h["reason"]),
            text(&h["since"])
        );
    }
    for c in list(&found["covered_by"]) {
        for e in list(&c["entries"]) {
            println!(
                "  covered by {}: {} by {} since {}",
                text(&c["subject"]),
                text(&e["reason"]),
                text(&e["source"]),
                text(&e["since"])
            );
        }
        if c["exempt"] == true {
            println!("  exempt with {}", text(&c["subject"]));
        }
    }
    for z in list(&found["zones"]) {
        let a: Vec<&str> = list(&z["a"]).map(text).collect();
        let shown = match z["never_asked"].as_str() {
            Some(why) => why.to_string(),
            None if a.is_empty() => "no answer".to_string(),
            None => a.join(" "),
        };
        println!("  {}: {shown}", text(&z["zone"]));
        list(&z["txt"]).for_each(|t| println!("    \"{}\"", text(t)));
        let formats: Vec<&str> = list(&z["not_exported"])
            .map(|l| text(&l["format"]))
            .collect();
        if let Some(first) = list(&z["not_exported"]).next() {
            let why = if z["never_asked"].is_null() {
                format!(": {}", text(&first["why"]))
            } else {
                String::new()
            };
            println!("    left out of exports as {}{why}", formats.join(", "));
        }
    }
    for h in list(&found["history"]) {
        let about = h["reason"].as_str().map_or(String::new(), |r| {
            format!(
                " for {r} ({})",
                h["source"].as_str().unwrap_or("every source")
            )
        });
        let note = h["evidence"]["text"]
            .as_str()
            .map_or(String::new(), |n| format!(": {n}"));
        println!(
            "  {} {}{about} by {}{note}",
            text(&h["at"]),
            text(&h["event"]),
            text(&h["author"])
        );
    }
}
