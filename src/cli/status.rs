//! `orbsd status` and `orbsd reload`.

use super::{
    CliError, Common,
    client::{Client, with_query},
    feed::print_details,
    output,
    text::{join, some},
};
use crate::{
    api::{
        FeedResponse, GenericNamesStatusResponse, ReloadQuery, ReloadResponse, RetentionResponse,
        RetirementStage, StatusResponse, TicketsStatusResponse, WriteState,
    },
    metrics::Totals,
    model::text::counted,
};

/// Shows the state of the daemon. Exit code 1 while it accepts no writes, or something is damaged.
pub(super) fn run(common: &Common) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let s: StatusResponse = client.get("/v1/status")?;
    common.print(&s, print)?;
    match s.problem {
        None => Ok(()),
        Some(_) if common.json => Err(CliError::Refused(String::new())), // the document has it
        Some(why) if s.writes == WriteState::Refused => {
            Err(CliError::Refused(format!("no writes are accepted: {why}")))
        }
        Some(why) => Err(CliError::Refused(why)),
    }
}

fn print(s: &StatusResponse) {
    let state = match s.running {
        true => format!("running since {}", s.started),
        false => "not running".into(),
    };
    println!(
        "orbsd {} {state}, commit {}, writes {}",
        s.version,
        s.commit,
        s.writes.as_str()
    );
    s.clock.problem.iter().for_each(|why| println!("{why}"));
    println!(
        "listed: {}, {}, {} IPv6, {}",
        counted(s.listed.ipv4_hosts, "IPv4 address"),
        counted(s.listed.ipv4_prefixes, "IPv4 prefix"),
        s.listed.ipv6,
        counted(s.listed.domains, "domain")
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
        println!("NOT CONFIGURED: {}", l.message);
    }
    for e in &s.exports {
        let serial = e.serial.map(|n| format!("serial {n}"));
        let serial = serial.as_deref().unwrap_or("not written yet");
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
        let missing = gap.missing.iter().map(|(from, to)| format!("{from}-{to}"));
        println!(
            "the removal log began anew at {} without lines {}: {}; make a backup now",
            gap.at,
            join(missing),
            gap.cause
        );
    }
    super::scrub::print(&s.integrity);
    if let Some(why) = &s.tester.problem {
        println!("relay tests are paused: {why}");
    }
    tickets(&s.tickets);
    retention(&s.retention);
    generic_names(&s.generic_names);
    println!("other zones: {}", counters(&s.no_zone));
    for (name, w) in &s.workers {
        println!("worker {name}: {}", counters(&w.total));
    }
    for f in s.sources.iter().filter(|f| f.feed) {
        let end = f.expires.map(|e| format!(", ends {e} unless refreshed"));
        let (refreshed, end) = (some("", f.refreshed), end.unwrap_or_default());
        println!("feed {} refreshed {refreshed}{end}", f.source);
    }
    s.feeds.iter().for_each(feed);
}

/// Prints the requests for removal that wait.
fn tickets(t: &TicketsStatusResponse) {
    t.problem
        .iter()
        .for_each(|why| println!("tickets cannot be read: {why}"));
    if t.open == 0 {
        return;
    }
    println!("tickets: {} open, {} wait for a person", t.open, t.waiting);
    for (clock, c) in [("answered", &t.answer), ("decided", &t.decision)] {
        if let (Some(ticket), Some(due)) = (c.next_ticket, c.next_due) {
            let overdue = match c.overdue {
                0 => String::new(),
                n => format!("; OVERDUE: {n}"),
            };
            println!("  to be {clock} first: ticket {ticket} by {due}{overdue}");
        }
    }
    if t.over_limit > 0 {
        println!(
            "  waiting for a suspension, because the limit of the day is reached: {}",
            counted(t.over_limit, "ticket")
        );
    }
}

/// Prints the last run of the job that erases old data.
fn retention(r: &RetentionResponse) {
    let Some(at) = r.last_run else { return };
    let erased: Vec<_> = r.erased.iter().filter(|(_, n)| **n > 0).collect();
    match (&r.problem, erased.is_empty()) {
        (Some(why), _) => println!("old data was NOT erased at {at}: {why}"),
        (None, true) => println!("old data: nothing to erase at {at}"),
        (None, false) => {
            let counts = erased.iter().map(|(key, n)| format!("{n} {key}"));
            println!("old data: erased at {at}: {}", join(counts));
        }
    }
}

/// Prints the state of listings by generic names.
fn generic_names(g: &GenericNamesStatusResponse) {
    if !g.enabled {
        return;
    }
    println!(
        "generic names: {} listed, {} waiting for a look-up, {} of {} failed",
        g.listed,
        g.waiting,
        g.failed,
        counted(g.lookups, "look-up")
    );
    if let Some(why) = &g.problem {
        println!("  no names are looked up: {why}");
    }
    for (count, what) in [
        (g.dropped, "candidates did not fit into the queue"),
        (g.over_limit, "names were not listed: max_listed is reached"),
    ] {
        if count > 0 {
            println!("  {count} {what}");
        }
    }
}

/// Prints the state of a feed.
fn feed(f: &FeedResponse) {
    let next = f.next.map(|t| format!("next check {t}"));
    let next = next.as_deref().unwrap_or("being checked");
    println!(
        "feed {} follows {} ({}){}, {next}",
        f.feed,
        f.from,
        f.kind.as_str(),
        some(", serial ", f.serial)
    );
    print_details(f);
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
    join(shown.map(|(_, (n, name))| format!("{n} {name}")))
}

/// Make the daemon read its configuration again
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// Accept a configuration without a reason, feed or zone that has listings
    #[arg(long)]
    force: bool,
}

pub(super) fn reload(common: &Common, c: &Reload) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let path = with_query("/v1/reload", &ReloadQuery { force: c.force });
    let done: ReloadResponse = client.post(&path)?;
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
