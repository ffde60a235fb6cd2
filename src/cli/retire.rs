//! `orbsd retire`: the end of a list, in order (RFC 6471 section 3.4).
//!
//! The plan stands in the zone's file, where the daemon acts on it by itself; this command writes
//! it there, takes it back, and tells at any time what is done, what comes and when, and what only
//! people can do.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::{Common, Failure, client::Client};
use crate::{
    api::{ReloadResponse, StatusResponse},
    config::Config,
    model::{
        Time, Zone,
        domain::name_to_ascii,
        retire::{self, MONTH},
        retirement::{RetirementPlan, RetirementStage},
        time::parse_end,
    },
};

/// What stands above the table that this command writes.
const MARK: &str = "# Written by `orbsd retire`; `orbsd retire ZONE --undo` takes it back.";

/// End a list in order: announce it, then let it list nobody
#[derive(Debug, Args)]
pub(super) struct Retire {
    /// A zone's file name without its ending, or its origin
    zone: String,
    /// Announce it now, and let it list nobody from this day (UTC) or after this time (60d) on
    #[arg(long, conflicts_with = "undo")]
    empty: Option<String>,
    /// What the announcement says, instead of our words
    #[arg(long, requires = "empty")]
    text: Option<String>,
    /// Announce it for less than a month
    #[arg(long, requires = "empty")]
    soon: bool,
    /// Take it back: the zone lists again what it listed
    #[arg(long)]
    undo: bool,
}

/// Shows the plan; begins it or takes it back where that is said.
pub(super) fn run(common: &Common, c: &Retire) -> Result<(), Failure> {
    if let Some(server) = &common.server {
        return run_remote(common, c, server);
    }
    let config = common.load()?;
    let now = crate::daemon::clock(&config, None).now();
    let zone = find(&config, &c.zone)?;
    let file = config.zones.join(format!("{}.toml", zone.short_name));
    match &c.empty {
        Some(when) => begin(common, c, now, (zone, &file), when)?,
        None if c.undo => undo(common, zone, &file)?,
        None => {}
    }
    // What is in the files now, whoever wrote it.
    let config = common.load()?;
    tell(common, now, find(&config, &c.zone)?, &file);
    Ok(())
}

/// Shows the plan of a zone of another server, which alone knows it.
fn run_remote(common: &Common, c: &Retire, server: &str) -> Result<(), Failure> {
    if c.empty.is_some() || c.undo {
        return Err(Failure::Usage(format!(
            "--server: the plan is in a zone file of {server}; run this on that machine"
        )));
    }
    let status: StatusResponse = Client::open(common)?.get("/v1/status")?;
    let ascii = |n: &str| name_to_ascii(n.trim_end_matches('.')).unwrap_or_default();
    let Some(zone) = status
        .zones
        .iter()
        .find(|z| z.file == c.zone || ascii(&z.zone) == ascii(&c.zone))
    else {
        let known: Vec<&str> = status.zones.iter().map(|z| z.zone.as_str()).collect();
        return Err(Failure::No(format!(
            "{server} has no zone `{}`; it has {}",
            c.zone,
            known.join(", ")
        )));
    };
    let (name, plan) = (&zone.zone, &zone.retire);
    if common.json {
        println!(
            "{}",
            json!({"zone": name, "retiring": plan.is_some(), "plan": plan})
        );
    } else if let Some(plan) = plan {
        println!("{name}: {}", plan.stage.as_str());
        for (at, what) in [
            (plan.announced, "announced"),
            (plan.empty, "lists nobody"),
            (
                plan.unseen,
                "no resolver and no mirror knows a listing any more",
            ),
            (plan.delegation, "the NS records in the parent zone may go"),
        ] {
            println!("  {at}  {what}");
        }
    } else {
        println!("{name} is not being retired");
    }
    Ok(())
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Zone, Failure> {
    let ascii = |n: &str| name_to_ascii(n.trim_end_matches('.')).unwrap_or_default();
    let zones = &config.ledger.zones;
    zones
        .iter()
        .find(|z| z.short_name == name || ascii(&z.origin) == ascii(name))
        .ok_or_else(|| {
            let known: Vec<&str> = zones.iter().map(|z| z.short_name.as_str()).collect();
            Failure::No(format!(
                "there is no zone `{name}`; there are {}",
                known.join(", ")
            ))
        })
}

/// Writes the plan at the end of the zone's file.
fn begin(
    common: &Common,
    c: &Retire,
    now: Time,
    (zone, file): (&Zone, &Path),
    when: &str,
) -> Result<(), Failure> {
    if zone.retire.is_some() {
        return Err(Failure::No(format!(
            "{}: it is being retired already; --undo takes that back",
            file.display()
        )));
    }
    let empty = parse_end(when, now).map_err(|e| Failure::Usage(format!("--empty: {e}")))?;
    if empty < now.plus(MONTH) && !c.soon {
        return Err(Failure::Usage(format!(
            "--empty: {empty} is less than {MONTH} away; a list is announced for a month or more (RFC 6471 section 3.4), or say --soon"
        )));
    }
    let text = c.text.as_ref().map_or(String::new(), |t| {
        format!("text = {}\n", Value::from(t.as_str()))
    });
    let table =
        format!("\n{MARK}\n[retire]\nannounce_at = \"{now}\"\nempty_at = \"{empty}\"\n{text}");
    edit(common, file, |old| {
        let gap = if old.is_empty() || old.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Ok(format!("{old}{gap}{table}"))
    })
}

/// Takes the plan out again, where it stands at the end of the file as it was written.
fn undo(common: &Common, zone: &Zone, file: &Path) -> Result<(), Failure> {
    if zone.retire.is_none() {
        return Err(Failure::No(format!(
            "{}: it is not being retired",
            file.display()
        )));
    }
    edit(common, file, |old| {
        let at = old.rfind(&format!("{MARK}\n[retire]\n"));
        let last = |at: &usize| {
            !old[*at..]
                .lines()
                .skip(2)
                .any(|l| l.trim_start().starts_with(['[', '#']))
        };
        let Some(at) = at.filter(last) else {
            return Err(Failure::No(format!(
                "{}: [retire] was not written by this command; take it out and reload",
                file.display()
            )));
        };
        let kept = &old[..at];
        Ok(kept
            .strip_suffix('\n')
            .filter(|k| k.is_empty() || k.ends_with('\n'))
            .unwrap_or(kept)
            .to_string())
    })
}

/// Changes the end of a zone's file and lets the daemon read it, if one runs. What is refused is
/// put back. The file stays the same one, with its owner and its mode.
fn edit(
    common: &Common,
    file: &Path,
    change: impl FnOnce(&str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| Failure::No(format!("{}: {e}", file.display()));
    // First, so that nothing is written where nobody can be told.
    let mut client = Client::open(common)?;
    let running = client.get::<StatusResponse>("/v1/status")?.running;
    let old = fs::read_to_string(file).map_err(wrong)?;
    let new = change(&old)?;
    let put = |from: &str, to: &str| {
        let same = from
            .bytes()
            .zip(to.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let mut out = OpenOptions::new().append(true).open(file)?;
        out.set_len(same as u64)?;
        out.write_all(&to.as_bytes()[same..])?;
        out.sync_all()
    };
    let taken = put(&old, &new)
        .map_err(wrong)
        .and_then(|()| common.load())
        .and_then(|_| match running {
            true => client
                .call::<ReloadResponse>(Method::POST, "/v1/reload")
                .map(drop),
            false => Ok(()),
        });
    if taken.is_err() {
        put(&new, &old).map_err(wrong)?;
    }
    taken
}

/// Tells the plan: what is done, what comes, what people have to do.
fn tell(common: &Common, now: Time, zone: &Zone, file: &Path) {
    let started = zone.retire.is_some();
    let planned = retire::Retire {
        announce_at: now,
        empty_at: now.plus(MONTH),
        text: None,
    };
    let retire = zone.retire.as_ref().unwrap_or(&planned);
    let plan = RetirementPlan::new(zone, retire, now);
    let name = zone.origin.trim_end_matches('.');
    let words = crate::index::zones::txt_data(&retire.announcement(name), name);
    let words = String::from_utf8_lossy(words.get(1..).unwrap_or_default()).into_owned();
    if common.json {
        println!(
            "{}",
            json!({"zone": name, "file": file, "retiring": started, "plan": plan, "announcement": words})
        );
        return;
    }
    if !started {
        println!("{name} is not being retired, and nothing was changed. If it were announced now:");
        println!();
    }
    let done = |at: Time| {
        if started && now >= at {
            "done "
        } else {
            "     "
        }
    };
    println!(
        "{}1. {}  announced, for a month or more. TXT at {name} and at its test points says:",
        done(plan.announced),
        plan.announced
    );
    println!("        {words}");
    println!(
        "        Say it too: on your web page, on mailing lists, to vendors who ship the list, to your mirrors."
    );
    println!(
        "{}2. {}  lists nobody; the serial moves, so mirrors take the empty zone. SOA, NS and test points",
        done(plan.empty),
        plan.empty
    );
    println!(
        "        stay: nothing ever answers for everybody, and no mail is refused because of us."
    );
    println!(
        "{}3. {}  no resolver and no mirror knows a listing any more (SOA expire and TTL after step 2).",
        done(plan.unseen),
        plan.unseen
    );
    println!(
        "{}4. {}  from now on the NS records in the parent zone may go; not before. To send the last",
        done(plan.delegation),
        plan.delegation
    );
    println!(
        "        clients to nobody, put names in TEST-NET-1 there for some months, with a long TTL; never a server of others:"
    );
    println!("            {name}. 2419200 IN NS gone.{name}.");
    println!("            gone.{name}. 2419200 IN A 192.0.2.1");
    println!(
        "        Then take the zone file away. Keep the domain registered for good: who owns it can list the world."
    );
    println!();
    match (started, plan.stage) {
        (false, _) => println!(
            "Begin: orbsd retire {} --empty {}",
            zone.short_name,
            &plan.empty.to_string()[..10]
        ),
        (_, RetirementStage::Over) => println!(
            "All that is done here is done. Until the NS records go: orbsd retire {} --undo",
            zone.short_name
        ),
        _ => println!("Take it back: orbsd retire {} --undo", zone.short_name),
    }
}
