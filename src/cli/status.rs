//! `orbsd status` and `orbsd reload`.

use hyper::Method;
use serde_json::Value;

use super::{
    Common, Failure,
    client::{Client, bytes},
};

/// Shows how the daemon is. Exit code 1 while it takes no writes.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let s = client.json(Method::GET, "/v1/status", bytes(""))?;
    if common.json {
        println!("{s:#}");
    } else {
        print(&s);
    }
    match s["problem"].as_str() {
        Some(why) => Err(Failure::No(format!("no writes are taken: {why}"))),
        None => Ok(()),
    }
}

fn print(s: &Value) {
    let text = |v: &Value| v.as_str().unwrap_or("").to_string();
    let state = if s["running"] == true { format!("running since {}", text(&s["started"])) } else { "not running".into() };
    println!("orbsd {} {state}, commit {}, writes {}", text(&s["version"]), s["commit"], text(&s["writes"]));
    let l = &s["listed"];
    println!(
        "listed: {} IPv4 addresses, {} IPv4 prefixes, {} IPv6, {} domains",
        l["ipv4_hosts"], l["ipv4_prefixes"], l["ipv6"], l["domains"]
    );
    for z in s["zones"].as_array().into_iter().flatten() {
        let c = &z["counters"];
        println!("zone {} serial {}: {}", text(&z["zone"]), z["serial"], counters(c));
    }
    println!("no zone of ours: {}", counters(&s["other"]));
    for (name, c) in s["workers"].as_object().into_iter().flatten() {
        println!("worker {name}: {}", counters(&c["total"]));
    }
    for f in s["sources"].as_array().into_iter().flatten().filter(|f| f["feed"] == true) {
        let end = f["expires"].as_str().map_or(String::new(), |e| format!(", ends {e} unless refreshed"));
        println!("feed {} refreshed {}{end}", text(&f["source"]), text(&f["refreshed"]));
    }
    s["feeds"].as_array().into_iter().flatten().for_each(feed);
}

/// What refreshes a feed, and how that goes.
fn feed(f: &Value) {
    let text = |key: &str| f[key].as_str().unwrap_or("");
    let serial = f["serial"].as_u64().map_or(String::new(), |s| format!(", serial {s}"));
    let next = if text("next").is_empty() { "being looked at".into() } else { format!("next look {}", text("next")) };
    println!("feed {} follows {} ({}){serial}, {next}", text("feed"), text("from"), text("kind"));
    for (key, what) in [("problem", "problem"), ("note", "note")] {
        if !text(key).is_empty() {
            println!("  {what}: {}", text(key));
        }
    }
}

/// All counters in one line; those that are nought are left out, but for the first.
fn counters(c: &Value) -> String {
    const SHOWN: [(&str, &str); 11] = [
        ("queries", "queries"),
        ("listed", "listed"),
        ("not_listed", "not listed"),
        ("no_data", "no data"),
        ("refused", "refused"),
        ("malformed", "malformed"),
        ("failed", "failed"),
        ("truncated", "truncated"),
        ("dropped", "dropped"),
        ("bytes_in", "bytes in"),
        ("bytes_out", "bytes out"),
    ];
    let shown = SHOWN.iter().enumerate().filter(|(i, (key, _))| *i == 0 || c[key] != 0);
    shown.map(|(_, (key, name))| format!("{} {name}", c[key])).collect::<Vec<_>>().join(", ")
}

/// Lets the daemon read its configuration again.
pub(super) fn reload(common: &Common) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let done = client.json(Method::POST, "/v1/reload", bytes(""))?;
    if common.json {
        println!("{done}");
    } else {
        done["warnings"].as_array().into_iter().flatten().for_each(|w| println!("warning: {}", w.as_str().unwrap_or("")));
        for z in done["zones"].as_array().into_iter().flatten() {
            println!("{} serial {}", z["zone"].as_str().unwrap_or(""), z["serial"]);
        }
    }
    Ok(())
}
