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
        if let Some(stage) = z["retire"]["stage"].as_str() {
            let says = match stage {
                "announced" => format!("lists as ever until {}", text(&z["retire"]["empty"])),
                "empty" => format!("lists nobody since {}", text(&z["retire"]["empty"])),
                _ => "lists nobody and is waited for by nobody".to_string(),
            };
            println!("  retiring: {says}; its NS records may go from {} on", text(&z["retire"]["delegation"]));
        }
    }
    for e in s["exports"].as_array().into_iter().flatten() {
        let serial = e["serial"].as_u64().map_or("not written yet".to_string(), |n| format!("serial {n}"));
        let problem = e["problem"].as_str().map_or(String::new(), |p| format!("; NOT current: {p}"));
        println!("export {} as {} of {}: {serial}{problem}", text(&e["path"]), text(&e["format"]), text(&e["zone"]));
    }
    println!("no zone of ours: {}", counters(&s["other"]));
    for (name, c) in s["workers"].as_object().into_iter().flatten() {
        println!("worker {name}: {}", counters(&c["total"]));
    }
    for f in s["sources"].as_array().into_iter().flatten().filter(|f| f["feed"] == true) {
        let end = f["expires"].as_str().map_or(String::new(), |e| format!(", ends {e} unless refreshed"));
        println!("feed {} refreshed {}{end}", text(&f["source"]), text(&f["refreshed"]));
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
