//! `orbsd retire`: the end of a list, in order (RFC 6471 section 3.4).
//!
//! The plan is in the zone file, and the daemon acts on it; this command writes it there, cancels it,
//! and prints the steps that are done, those to come with their times, and the tasks of people.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Common, client::Client, output, text::join};
use crate::{
    api::{ReloadResponse, StatusResponse, ZoneStatusResponse},
    config::Config,
    model::{
        Time, Zone,
        domain::name_to_ascii,
        retire::{self, MONTH},
        retirement::{RetirementPlan, RetirementStage},
        time::parse_end,
    },
};

/// The line above the table that this command writes.
const MARK: &str = "# Written by `orbsd retire`; `orbsd retire ZONE --undo` cancels it.";

/// Retire a zone: announce its end, then empty it (RFC 6471)
#[derive(Debug, Args)]
pub(super) struct Retire {
    /// Origin of the zone, or its short name
    zone: String,
    /// Announce the end now, and empty the zone on this day (UTC) or after this duration
    #[arg(long, value_name = "TIME", conflicts_with = "undo")]
    empty_at: Option<String>,
    /// Text of the announcement [default: a text that names the day]
    #[arg(long, requires = "empty_at")]
    text: Option<String>,
    /// Announce the end less than a month before
    #[arg(long, requires = "empty_at")]
    short_notice: bool,
    /// Cancel the end: the zone lists what it listed before
    #[arg(long)]
    undo: bool,
}

/// Prints the plan of a retirement, and begins or cancels it with `--empty-at` or `--undo`.
pub(super) fn run(common: &Common, c: &Retire) -> Result<(), CliError> {
    if let Some(server) = &common.server {
        return run_remote(common, c, server);
    }
    let config = common.load()?;
    let now = crate::daemon::clock(&config, None).now();
    let zone = find(&config, &c.zone)?;
    let file = config.zones.join(format!("{}.toml", zone.short_name));
    match &c.empty_at {
        Some(when) => begin(common, c, now, zone, &file, when)?,
        None if c.undo => undo(common, zone, &file)?,
        None => {}
    }
    // The plan that is in the files now.
    let config = common.load()?;
    print_plan(common, now, find(&config, &c.zone)?, &file);
    Ok(())
}

/// Shows the plan of a zone of another server, which alone knows it.
fn run_remote(common: &Common, c: &Retire, server: &str) -> Result<(), CliError> {
    if c.empty_at.is_some() || c.undo {
        return Err(CliError::Usage(format!(
            "--server: the plan is in a zone file of {server}; run this on that machine"
        )));
    }
    let status: StatusResponse = Client::open(common)?.get("/v1/status")?;
    let is_named = |z: &&ZoneStatusResponse| z.file == c.zone || ascii(&z.zone) == ascii(&c.zone);
    let zone = status.zones.iter().find(is_named).ok_or_else(|| {
        let known = join(status.zones.iter().map(|z| &z.zone));
        let text = format!("{server} has no zone `{}`; it has {known}", c.zone);
        CliError::Refused(text)
    })?;
    let (name, plan) = (&zone.zone, &zone.retire);
    if common.json {
        output::json_line(&json!({"zone": name, "retiring": plan.is_some(), "plan": plan}));
        return Ok(());
    }
    let Some(plan) = plan else {
        println!("{name} is not being retired");
        return Ok(());
    };
    println!("{name}: {}", plan.stage.as_str());
    for (at, what) in [
        (plan.announced, "announced"),
        (plan.empty, "lists nothing"),
        (
            plan.unseen,
            "no resolver and no mirror has a listing any more",
        ),
        (
            plan.delegation,
            "the NS records may be removed from the parent zone",
        ),
    ] {
        println!("  {at}  {what}");
    }
    Ok(())
}

/// The name of a zone with A-labels, without the dot at its end.
fn ascii(name: &str) -> Box<str> {
    name_to_ascii(name.trim_end_matches('.')).unwrap_or_default()
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Zone, CliError> {
    let zones = &config.ledger.zones;
    let is_named = |z: &&Zone| z.short_name == name || ascii(&z.origin) == ascii(name);
    zones.iter().find(is_named).ok_or_else(|| {
        let known = join(zones.iter().map(|z| &z.short_name));
        CliError::Refused(format!("there is no zone `{name}`; there are {known}"))
    })
}

/// Writes the plan at the end of the zone's file.
fn begin(
    common: &Common,
    c: &Retire,
    now: Time,
    zone: &Zone,
    file: &Path,
    when: &str,
) -> Result<(), CliError> {
    if zone.retire.is_some() {
        return Err(CliError::Refused(format!(
            "{}: it is being retired already; --undo cancels that",
            file.display()
        )));
    }
    let empty = parse_end(when, now).map_err(|e| CliError::Usage(format!("--empty-at: {e}")))?;
    if empty < now.plus(MONTH) && !c.short_notice {
        return Err(CliError::Usage(format!(
            "--empty-at: {empty} is less than {MONTH} away; a list is announced for a month or more (RFC 6471 section 3.4); choose a later time, or add --short-notice"
        )));
    }
    let text = c.text.as_ref().map_or(String::new(), |t| {
        format!("text = {}\n", Value::from(t.as_str()))
    });
    let table =
        format!("\n{MARK}\n[retire]\nannounce_at = \"{now}\"\nempty_at = \"{empty}\"\n{text}");
    edit(common, file, |old| {
        let is_ended = old.is_empty() || old.ends_with('\n');
        let gap = if is_ended { "" } else { "\n" };
        Ok(format!("{old}{gap}{table}"))
    })
}

/// Removes the plan, if it is at the end of the file as this command wrote it.
fn undo(common: &Common, zone: &Zone, file: &Path) -> Result<(), CliError> {
    if zone.retire.is_none() {
        return Err(CliError::Refused(format!(
            "{}: it is not being retired",
            file.display()
        )));
    }
    edit(common, file, |old| {
        let at = old.rfind(&format!("{MARK}\n[retire]\n"));
        let is_last = |at: &usize| {
            let mut below = old[*at..].lines().skip(2).map(str::trim_start);
            !below.any(|l| l.starts_with(['[', '#']))
        };
        let at = at.filter(is_last).ok_or_else(|| {
            CliError::Refused(format!(
                "{}: [retire] was not written by this command; remove it and reload",
                file.display()
            ))
        })?;
        let kept = &old[..at];
        let without_gap = kept.strip_suffix('\n');
        let without_gap = without_gap.filter(|k| k.is_empty() || k.ends_with('\n'));
        Ok(without_gap.unwrap_or(kept).to_string())
    })
}

/// Changes the end of a zone's file and lets the daemon read it, if one runs. What is refused is
/// put back. The file stays the same one, with its owner and its mode.
fn edit(
    common: &Common,
    file: &Path,
    change: impl FnOnce(&str) -> Result<String, CliError>,
) -> Result<(), CliError> {
    let file_error = |e: std::io::Error| CliError::Refused(format!("{}: {e}", file.display()));
    // First, so that nothing is written if the daemon cannot reload.
    let mut client = Client::open(common)?;
    let running = client.get::<StatusResponse>("/v1/status")?.running;
    let old = fs::read_to_string(file).map_err(file_error)?;
    let new = change(&old)?;
    let put = |from: &str, to: &str| {
        let pairs = from.bytes().zip(to.bytes());
        let same = pairs.take_while(|(a, b)| a == b).count();
        let mut out = OpenOptions::new().append(true).open(file)?;
        out.set_len(same as u64)?;
        out.write_all(&to.as_bytes()[same..])?;
        out.sync_all()
    };
    let written = put(&old, &new).map_err(file_error);
    let mut result = written.and_then(|()| common.load()).map(drop);
    if result.is_ok() && running {
        result = client.post::<ReloadResponse>("/v1/reload").map(drop);
    }
    if result.is_err() {
        put(&new, &old).map_err(file_error)?;
    }
    result
}

/// Prints the plan: the steps that are done, those to come, and the tasks of people.
fn print_plan(common: &Common, now: Time, zone: &Zone, file: &Path) {
    let started = zone.retire.is_some();
    let planned = retire::Retire {
        announce_at: now,
        empty_at: now.plus(MONTH),
        text: None,
    };
    let retire = zone.retire.as_ref().unwrap_or(&planned);
    let plan = RetirementPlan::new(zone, retire, now);
    let name = zone.origin.trim_end_matches('.');
    let announcement = crate::index::zones::txt_data(&retire.announcement(name), name);
    let announcement =
        String::from_utf8_lossy(announcement.get(1..).unwrap_or_default()).into_owned();
    if common.json {
        return output::json_line(
            &json!({"zone": name, "file": file, "retiring": started, "plan": plan, "announcement": announcement}),
        );
    }
    if !started {
        println!("{name} is not being retired, and nothing was changed. If it were announced now:");
        println!();
    }
    let step = |number: u8, at: Time, text: &str| {
        let is_done = started && now >= at;
        let done = if is_done { "done " } else { "     " };
        println!("{done}{number}. {at}  {text}");
    };
    let further = |text: &str| println!("        {text}");
    let text = format!(
        "announced, for a month or more. The TXT records of {name} and of its test points:"
    );
    step(1, plan.announced, &text);
    further(&announcement);
    further(
        "Announce it too: on your web page, on mailing lists, to vendors who ship the list, to your mirrors.",
    );
    let text =
        "lists nothing; the serial moves, so mirrors fetch the empty zone. SOA, NS and test points";
    step(2, plan.empty, text);
    further(
        "stay: at no time is every address listed, and no mail is refused because of this zone.",
    );
    let text =
        "no resolver and no mirror has a listing any more (SOA expire and TTL after step 2).";
    step(3, plan.unseen, text);
    let text = "from now on the NS records may be removed from the parent zone. To end the queries";
    step(4, plan.delegation, text);
    further(
        "of the last clients, delegate it to TEST-NET-1 for some months, never to a server of others:",
    );
    further(&format!("    {name}. 2419200 IN NS gone.{name}."));
    further(&format!("    gone.{name}. 2419200 IN A 192.0.2.1"));
    further(
        "Then remove the zone file. Keep the domain registered for good: its owner can list every address.",
    );
    println!();
    let zone = &zone.short_name;
    match (started, plan.stage) {
        (false, _) => {
            let day = &plan.empty.to_string()[..10];
            println!("Begin: orbsd retire {zone} --empty-at {day}");
        }
        (_, RetirementStage::Over) => println!(
            "All steps on this server are done. To cancel until the NS records are removed: orbsd retire {zone} --undo"
        ),
        _ => println!("To cancel it: orbsd retire {zone} --undo"),
    }
}
