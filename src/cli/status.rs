//! `orbsd status` and `orbsd reload`.

use hyper::Method;

use super::{
    Common, Failure,
    client::{Client, with_query},
    feed::print_details,
    output,
    text::some,
    zone::print_commands,
};
use crate::{
    api::{
        FeedResponse, MirrorResponse, Page, ReloadQuery, ReloadResponse, RetirementStage,
        StatusResponse, WriteState,
    },
    metrics::Totals,
};

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
        let found: Page<MirrorResponse> = client.get("/v1/mirrors")?;
        output::print(common.json, &found, |found| print_mirrors(&found.items));
        return Ok(());
    }
    let s: StatusResponse = client.get("/v1/status")?;
    output::print(common.json, &s, print);
    match s.problem {
        None => Ok(()),
        Some(_) if common.json => Err(Failure::No(String::new())), // the document has it
        Some(why) if s.writes == WriteState::Refused => {
            Err(Failure::No(format!("no writes are accepted: {why}")))
        }
        Some(why) => Err(Failure::No(why)),
    }
}

fn print(s: &StatusResponse) {
    let state = if s.running {
        format!("running since {}", s.started)
    } else {
        "not running".into()
    };
    println!(
        "orbsd {} {state}, commit {}, writes {}",
        s.version,
        s.commit,
        s.writes.as_str()
    );
    s.clock.problem.iter().for_each(|why| println!("{why}"));
    println!(
        "listed: {} IPv4 addresses, {} IPv4 prefixes, {} IPv6, {} domains",
        s.listed.ipv4_hosts, s.listed.ipv4_prefixes, s.listed.ipv6, s.listed.domains
    );
    for z in &s.zones {
        println!(
            "zone {} serial {}: {}",
            z.zone,
            z.serial,
            counters(&z.counters)
        );
        if let Some(r) = &z.retire {
            let state = match r.stage {
                RetirementStage::Announced => format!("lists as before until {}", r.empty),
                RetirementStage::Empty => format!("lists nothing since {}", r.empty),
                RetirementStage::Over => "lists nothing, and its delegation may go".to_string(),
            };
            println!(
                "  retiring: {state}; its NS records may go from {} on",
                r.delegation
            );
        }
    }
    for l in &s.unconfigured {
        println!("LEFT BEHIND: {}", l.message);
    }
    for e in &s.exports {
        let serial = match e.serial {
            Some(n) => format!("serial {n}"),
            None => "not written yet".to_string(),
        };
        println!(
            "export {} as {} of {}: {serial}{}",
            e.path.display(),
            e.format,
            e.zone,
            some("; NOT current: ", e.problem.as_ref())
        );
        e.changes.iter().for_each(|change| println!("  {change}"));
    }
    if let Some(gap) = &s.removal_log.gap {
        let missing: Vec<String> = gap
            .missing
            .iter()
            .map(|(from, to)| format!("{from}-{to}"))
            .collect();
        println!(
            "the removal log began anew at {} without lines {}: {}; make a backup now",
            gap.at,
            missing.join(", "),
            gap.cause
        );
    }
    super::scrub::print(&s.integrity);
    if let Some(why) = &s.tester.problem {
        println!("relay tests stand still: {why}");
    }
    println!("no zone of ours: {}", counters(&s.no_zone));
    for (name, w) in &s.workers {
        println!("worker {name}: {}", counters(&w.total));
    }
    for f in s.sources.iter().filter(|f| f.feed) {
        let end = f
            .expires
            .map_or(String::new(), |e| format!(", ends {e} unless refreshed"));
        let refreshed = f.refreshed.map(|t| t.to_string()).unwrap_or_default();
        println!("feed {} refreshed {refreshed}{end}", f.source);
    }
    s.feeds.iter().for_each(feed);
}

/// What refreshes a feed, and how that goes.
fn feed(f: &FeedResponse) {
    let next = match f.next {
        Some(t) => format!("next look {t}"),
        None => "being looked at".into(),
    };
    println!(
        "feed {} follows {} ({}){}, {next}",
        f.feed,
        f.from,
        f.kind.as_str(),
        some(", serial ", f.serial)
    );
    print_details(f);
}

fn print_mirrors(mirrors: &[MirrorResponse]) {
    if mirrors.is_empty() {
        println!("no mirror is configured, and none has asked");
    }
    mirrors.iter().for_each(print_mirror);
}

fn print_mirror(m: &MirrorResponse) {
    let other = if m.configured {
        ""
    } else {
        " (not configured)"
    };
    let state = match (m.behind, m.mirror_serial) {
        (Some(b), _) if b.serials == 0 => "in step".to_string(),
        (Some(b), _) => format!("{} serials behind for {} s", b.serials, b.seconds),
        (None, None) => "has not been seen to have any serial".into(),
        (None, Some(serial)) => format!("has serial {serial}, which is ahead of ours"),
    };
    println!(
        "{} serial {} {}{}{other}: {state}",
        m.zone,
        m.serial,
        m.address,
        some(" key ", m.key.as_ref())
    );
    if let Some(commands) = &m.needs_transfer {
        println!("  ours was not newer for it, so it keeps its old zone: force a transfer there");
        print_commands(commands);
    }
    if let Some(n) = &m.last_notify {
        let answer = match (n.rcode.as_deref(), &n.problem) {
            (Some("NOERROR"), _) => {
                format!("acknowledged after {} ms", n.answer_ms.unwrap_or_default())
            }
            (Some(rcode), _) => format!("answered {rcode}"),
            (None, Some(problem)) => format!("tried {} times: {problem}", n.tries),
            (None, None) => format!("tried {} times, no answer yet", n.tries),
        };
        println!("  notified of {} at {}: {answer}", n.serial, n.at);
    }
    if let Some(r) = &m.last_request {
        let what = match r.serial {
            Some(s) => format!("what came after {s}"),
            None => "for the SOA".into(),
        };
        println!("  asked {what} at {}", r.at);
    }
    if let Some(t) = &m.last_transfer {
        println!(
            "  took {} at {}: {}, {} bytes in {} ms",
            t.to,
            t.at,
            t.kind.as_str(),
            t.bytes,
            t.ms
        );
    }
}

/// All counters in one line, without those that are zero, except for the first.
fn counters(c: &Totals) -> String {
    let all = [
        (c.queries, "queries"),
        (c.listed, "listed"),
        (c.not_listed, "not listed"),
        (c.no_data, "no data"),
        (c.refused, "refused"),
        (c.malformed, "malformed"),
        (c.failed, "failed"),
        (c.truncated, "truncated"),
        (c.dropped, "dropped"),
        (c.bytes_in, "bytes in"),
        (c.bytes_out, "bytes out"),
    ];
    let shown = all.iter().enumerate().filter(|(i, c)| *i == 0 || c.0 > 0);
    shown
        .map(|(_, (n, name))| format!("{n} {name}"))
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
    let path = with_query("/v1/reload", &ReloadQuery { force: c.force });
    let done: ReloadResponse = client.call(Method::POST, &path)?;
    if common.json {
        output::json_line(&done);
        return Ok(());
    }
    done.warnings.iter().for_each(|w| println!("warning: {w}"));
    for (zone, serial) in &done.serials {
        println!("{zone} serial {serial}");
    }
    Ok(())
}
