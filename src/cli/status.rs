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
    let daemon = client.is_daemon();
    let mut s = client.json(Method::GET, "/v1/status", bytes(""))?;
    s["running"] = daemon.into();
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
        println!(
            "zone {} serial {}: {} queries, {} listed, {} not listed, {} no data, {} refused, {} truncated",
            text(&z["zone"]),
            z["serial"],
            c["queries"],
            c["listed"],
            c["not_listed"],
            c["no_data"],
            c["refused"],
            c["truncated"]
        );
    }
    let o = &s["other"];
    println!("other: {} queries, {} refused, {} malformed, {} dropped", o["queries"], o["refused"], o["malformed"], o["dropped"]);
    for f in s["sources"].as_array().into_iter().flatten().filter(|f| f["feed"] == true) {
        let end = f["expires"].as_str().map_or(String::new(), |e| format!(", ends {e} unless refreshed"));
        println!("feed {} refreshed {}{end}", text(&f["source"]), text(&f["refreshed"]));
    }
}

/// Lets the daemon read its configuration again.
pub(super) fn reload(common: &Common) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    if !client.is_daemon() {
        return Err(Failure::No("no daemon runs".into()));
    }
    let done = client.json(Method::POST, "/v1/reload", bytes(""))?;
    if common.json {
        println!("{done}");
    } else {
        for z in done["zones"].as_array().into_iter().flatten() {
            println!("{} serial {}", z["zone"].as_str().unwrap_or(""), z["serial"]);
        }
    }
    Ok(())
}
