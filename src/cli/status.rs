//! `orbsd status` and `orbsd reload`.

use hyper::Method;
use serde_json::Value;

use super::{
    Common, Failure,
    client::{Client, bytes},
    feed::{print_held, print_looped},
    output,
    zone::print_commands,
};
use crate::lists::write::ExportReport;

/// Show how the daemon is: zones, serials, counters
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(subcommand)]
    of: Option<Of>,
}

#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Show each zone's mirrors: what they were told, asked for and have, and how far behind they
    /// are
    Mirrors,
}

/// Shows how the daemon is. Exit code 1 while it takes no writes, or something is damaged.
pub(super) fn run(common: &Common, args: &Status) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    if let Some(Of::Mirrors) = args.of {
        let found = client.json(Method::GET, "/v1/mirrors", bytes(""))?;
        match common.json {
            true => output::json(&found),
            false => print_mirrors(&found),
        }
        return Ok(());
    }
    let s = client.json(Method::GET, "/v1/status", bytes(""))?;
    if common.json {
        output::json(&s);
    } else {
        print(&s);
    }
    match s["problem"].as_str() {
        None => Ok(()),
        Some(_) if common.json => Err(Failure::No(String::new())), // the document has said it
        Some(why) if s["writes"] == "refused" => {
            Err(Failure::No(format!("no writes are taken: {why}")))
        }
        Some(why) => Err(Failure::No(why.into())),
    }
}

fn print(s: &Value) {
    let text = |v: &Value| v.as_str().unwrap_or("").to_string();
    let state = if s["running"] == true {
        format!("running since {}", text(&s["started"]))
    } else {
        "not running".into()
    };
    println!(
        "orbsd {} {state}, commit {}, writes {}",
        text(&s["version"]),
        s["commit"],
        text(&s["writes"])
    );
    if let Some(why) = s["clock"]["problem"].as_str() {
        println!("{why}");
    }
    let l = &s["listed"];
    println!(
        "listed: {} IPv4 addresses, {} IPv4 prefixes, {} IPv6, {} domains",
        l["ipv4_hosts"], l["ipv4_prefixes"], l["ipv6"], l["domains"]
    );
    for z in s["zones"].as_array().into_iter().flatten() {
        let c = &z["counters"];
        println!(
            "zone {} serial {}: {}",
            text(&z["zone"]),
            z["serial"],
            counters(c)
        );
        if let Some(stage) = z["retire"]["stage"].as_str() {
            let says = match stage {
                "announced" => format!("lists as ever until {}", text(&z["retire"]["empty"])),
                "empty" => format!("lists nobody since {}", text(&z["retire"]["empty"])),
                _ => "lists nobody and is waited for by nobody".to_string(),
            };
            println!(
                "  retiring: {says}; its NS records may go from {} on",
                text(&z["retire"]["delegation"])
            );
        }
    }
    for l in s["left_behind"].as_array().into_iter().flatten() {
        println!("LEFT BEHIND: {}", text(&l["message"]));
    }
    for e in s["exports"].as_array().into_iter().flatten() {
        let serial = e["serial"]
            .as_u64()
            .map_or("not written yet".to_string(), |n| format!("serial {n}"));
        let problem = e["problem"]
            .as_str()
            .map_or(String::new(), |p| format!("; NOT current: {p}"));
        println!(
            "export {} as {} of {}: {serial}{problem}",
            text(&e["path"]),
            text(&e["format"]),
            text(&e["zone"])
        );
        let report =
            serde_json::from_value::<ExportReport>(e["changes"].clone()).unwrap_or_default();
        report
            .changes
            .iter()
            .for_each(|change| println!("  {change}"));
    }
    let gap = &s["removals"]["gap"];
    if gap.is_object() {
        let of = text(&gap["why"]);
        println!(
            "the removal log was restarted at {} without lines {}: {of}; make a backup now",
            text(&gap["at"]),
            gap["missing"]
        );
    }
    super::scrub::print(&s["integrity"]);
    if let Some(why) = s["tester"]["wrong"].as_str() {
        println!("relay tests stand still: {why}");
    }
    println!("no zone of ours: {}", counters(&s["other"]));
    for (name, c) in s["workers"].as_object().into_iter().flatten() {
        println!("worker {name}: {}", counters(&c["total"]));
    }
    for f in s["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|f| f["feed"] == true)
    {
        let end = f["expires"]
            .as_str()
            .map_or(String::new(), |e| format!(", ends {e} unless refreshed"));
        println!(
            "feed {} refreshed {}{end}",
            text(&f["source"]),
            text(&f["refreshed"])
        );
    }
    s["feeds"].as_array().into_iter().flatten().for_each(feed);
}

/// What refreshes a feed, and how that goes.
fn feed(f: &Value) {
    let text = |key: &str| f[key].as_str().unwrap_or("");
    let serial = f["serial"]
        .as_u64()
        .map_or(String::new(), |s| format!(", serial {s}"));
    let next = if text("next").is_empty() {
        "being looked at".into()
    } else {
        format!("next look {}", text("next"))
    };
    println!(
        "feed {} follows {} ({}){serial}, {next}",
        text("feed"),
        text("from"),
        text("kind")
    );
    for (key, what) in [("problem", "problem"), ("note", "note")] {
        if !text(key).is_empty() {
            println!("  {what}: {}", text(key));
        }
    }
    print_looped(f);
    print_held(f);
}

fn print_mirrors(found: &Value) {
    let mirrors = found["mirrors"].as_array().map_or(&[][..], |m| m);
    if mirrors.is_empty() {
        println!("no mirror is configured, and none has asked");
    }
    for m in mirrors {
        let text = |v: &Value| v.as_str().unwrap_or("").to_string();
        let key = m["key"]
            .as_str()
            .map_or(String::new(), |k| format!(" key {k}"));
        let other = if m["configured"] == true {
            ""
        } else {
            " (not configured)"
        };
        let state = match (&m["behind"], &m["has"]) {
            (b, _) if b["serials"] == 0 => "in step".to_string(),
            (b, _) if b.is_object() => {
                format!("{} serials behind for {} s", b["serials"], b["seconds"])
            }
            (_, Value::Null) => "has not been seen to have any serial".into(),
            (_, has) => format!("has serial {has}, which is ahead of ours"),
        };
        println!(
            "{} serial {} {}{key}{other}: {state}",
            text(&m["zone"]),
            m["serial"],
            text(&m["address"])
        );
        if m["needs_transfer"].is_object() {
            println!(
                "  ours was not newer for it, so it keeps its old zone: force a transfer there"
            );
            print_commands(&m["needs_transfer"]);
        }
        let n = &m["notified"];
        if n.is_object() {
            let answer = match (n["rcode"].as_str(), n["problem"].as_str()) {
                (Some("NOERROR"), _) => format!("acknowledged after {} ms", n["answer_ms"]),
                (Some(rcode), _) => format!("answered {rcode}"),
                (None, Some(problem)) => format!("tried {} times: {problem}", n["tries"]),
                (None, None) => format!("tried {} times, no answer yet", n["tries"]),
            };
            println!(
                "  notified of {} at {}: {answer}",
                n["serial"],
                text(&n["at"])
            );
        }
        let a = &m["asked"];
        if a.is_object() {
            let what = a["serial"]
                .as_u64()
                .map_or("for the SOA".into(), |s| format!("what came after {s}"));
            println!("  asked {what} at {}", text(&a["at"]));
        }
        let t = &m["transfer"];
        if t.is_object() {
            println!(
                "  took {} at {}: {}, {} bytes in {} ms",
                t["to"],
                text(&t["at"]),
                text(&t["kind"]),
                t["bytes"],
                t["ms"]
            );
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
    let shown = SHOWN
        .iter()
        .enumerate()
        .filter(|(i, (key, _))| *i == 0 || c[key] != 0);
    shown
        .map(|(_, (key, name))| format!("{} {name}", c[key]))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Let the running daemon read its configuration again
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// Accept a configuration that no longer has a reason, feed or zone which has listings
    #[arg(long)]
    force: bool,
}

/// Lets the daemon read its configuration again.
pub(super) fn reload(common: &Common, c: &Reload) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let done = client.json(
        Method::POST,
        &format!("/v1/reload?force={}", c.force),
        bytes(""),
    )?;
    if common.json {
        println!("{done}");
    } else {
        done["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|w| println!("warning: {}", w.as_str().unwrap_or("")));
        for z in done["zones"].as_array().into_iter().flatten() {
            println!(
                "{} serial {}",
                z["zone"].as_str().unwrap_or(""),
                z["serial"]
            );
        }
    }
    Ok(())
}
