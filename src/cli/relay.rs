//! `orbsd nominate`, `jobs`, `tests`, `claim`, `optout`, `evidence`: relay tests, through the
//! daemon.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, plain_line, text},
};

/// Bring a host to be tested: single addresses, with evidence not older than 14 days
#[derive(Debug, Args)]
pub(super) struct Nominate {
    /// One IP address
    target: String,
    /// What was seen: a message's id, a line of a log, the owner's words
    #[arg(long, value_parser = plain_line)]
    evidence: String,
    /// message, log, or owner where he has proved that the host is his
    #[arg(long, default_value = "log")]
    kind: String,
    /// When it was seen (RFC 3339); now where it is left out
    #[arg(long)]
    at: Option<String>,
    /// Instead of 25
    #[arg(long)]
    port: Option<u16>,
    /// A name that the host may have, such as that of its greeting; again for more. Only one that
    /// points at it is used
    #[arg(long = "name")]
    names: Vec<String>,
    /// Only this test; again for more
    #[arg(long = "test")]
    tests: Vec<String>,
}

fn show(common: &Common, v: &Value, short: impl FnOnce(&Value)) {
    if common.json {
        output::json(&v);
    } else {
        short(v);
    }
}

/// A job in a few lines.
pub(super) fn job(j: &Value) {
    let waiting = j["waiting_for"]
        .as_str()
        .map_or(String::new(), |w| format!(": {w}"));
    println!(
        "job {} {} {}{waiting}",
        j["id"],
        text(&j["target"]),
        text(&j["state"])
    );
    if let Some(says) = j["says"].as_str() {
        let row = j["row"]
            .as_str()
            .map_or_else(String::new, |r| format!(" ({r})"));
        println!("  {says}{row}");
    }
    for r in list(&j["results"]) {
        let d = &r["detail"];
        let more = ["output", "text", "why"]
            .iter()
            .find_map(|k| d[*k].as_str())
            .unwrap_or("");
        let code = d["code"]
            .as_u64()
            .map_or(String::new(), |c| format!(" {c} at {}", text(&d["stage"])));
        println!(
            "  {:<28} {}{code} {more}",
            text(&r["test"]),
            text(&r["outcome"])
        );
    }
}

pub(super) fn nominate(common: &Common, c: &Nominate) -> Result<(), Failure> {
    let asked = json!({"target": c.target, "evidence": c.evidence, "kind": c.kind, "at": c.at, "port": c.port, "names": c.names, "tests": c.tests});
    let done =
        Client::open(common)?.json(Method::POST, "/v1/nominations", bytes(asked.to_string()))?;
    show(common, &done, job);
    Ok(())
}

/// Show what is tested, and decide about what waits for a person
#[derive(Debug, Args)]
pub(super) struct Jobs {
    /// One job, with its results
    id: Option<u64>,
    /// Only those that wait or run
    #[arg(long)]
    open: bool,
    /// Let the job run
    #[arg(long, requires = "id", conflicts_with = "refuse")]
    approve: bool,
    /// End the job
    #[arg(long, requires = "id")]
    refuse: bool,
    /// Show what was said
    #[arg(long, requires = "id")]
    transcript: bool,
}

pub(super) fn jobs(common: &Common, c: &Jobs) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let Some(id) = c.id else {
        let all = client.json(Method::GET, &format!("/v1/jobs?open={}", c.open), bytes(""))?;
        show(common, &all, |all| {
            for j in list(&all["items"]) {
                let waiting = j["waiting_for"]
                    .as_str()
                    .or(j["says"].as_str())
                    .unwrap_or("");
                println!(
                    "{:>8} {:<40} {:<10} {:<9} {waiting}",
                    j["id"],
                    text(&j["target"]),
                    text(&j["cause"]),
                    text(&j["state"])
                );
            }
        });
        return Ok(());
    };
    if c.transcript {
        let body = client.text(Method::GET, &format!("/v1/jobs/{id}/transcript"))?;
        output::block("", &body);
        return Ok(());
    }
    let done = match (c.approve, c.refuse) {
        (true, _) => client.json(Method::POST, &format!("/v1/jobs/{id}/approve"), bytes(""))?,
        (_, true) => client.json(Method::DELETE, &format!("/v1/jobs/{id}"), bytes(""))?,
        _ => client.json(Method::GET, &format!("/v1/jobs/{id}"), bytes(""))?,
    };
    show(common, &done, job);
    Ok(())
}

/// Show the relay tests
#[derive(Debug, Args)]
pub(super) struct Tests {}

pub(super) fn tests(common: &Common, _: &Tests) -> Result<(), Failure> {
    let all = Client::open(common)?.json(Method::GET, "/v1/tests", bytes(""))?;
    show(common, &all, |all| {
        for t in list(&all["items"]) {
            let run = if t["chosen"] == true {
                ""
            } else {
                text(&t["run"])
            };
            println!(
                "{:<4} {:<28} {:<22} {:<7} {}",
                text(&t["id"]),
                text(&t["name"]),
                text(&t["class"]),
                run,
                text(&t["what"])
            );
        }
    });
    Ok(())
}

/// Say that a listed host is closed: it is tested again, and released when it is
#[derive(Debug, Args)]
pub(super) struct Claim {
    /// The address
    target: String,
    /// The claimant has proved that he speaks for it
    #[arg(long)]
    proved: bool,
}

pub(super) fn claim(common: &Common, c: &Claim) -> Result<(), Failure> {
    let asked = json!({"target": c.target, "proved": c.proved});
    let done = Client::open(common)?.json(Method::POST, "/v1/claims", bytes(asked.to_string()))?;
    show(common, &done, |d| {
        println!("{}", text(&d["what_happens"]));
        for b in d["blocked"].as_array().into_iter().flatten() {
            println!(
                "blocked at {} ({}), tested from {}:",
                text(&b["at"]),
                text(&b["row"]),
                b["source"].as_str().unwrap_or("this machine")
            );
            for r in b["replies"].as_array().into_iter().flatten() {
                println!("  {:<44} {}", text(&r["sent"]), text(&r["answered"]));
            }
        }
        job(&d["job"]);
    });
    Ok(())
}

/// Those who asked not to be tested
#[derive(Debug, Args)]
pub(super) struct Optout {
    #[command(subcommand)]
    what: Option<OptoutCommand>,
}

#[derive(Debug, Subcommand)]
enum OptoutCommand {
    /// Show them
    List,
    /// Test nobody in an address or prefix from now on
    Add {
        subject: String,
        /// How control of it was proved
        #[arg(long, value_parser = plain_line)]
        proof: String,
    },
    /// End it
    End { subject: String },
}

pub(super) fn optout(common: &Common, c: Optout) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let done = match c.what.unwrap_or(OptoutCommand::List) {
        OptoutCommand::List => client.json(Method::GET, "/v1/optouts", bytes(""))?,
        OptoutCommand::Add { subject, proof } => client.json(
            Method::POST,
            "/v1/optouts",
            bytes(json!({"subject": subject, "proof": proof}).to_string()),
        )?,
        OptoutCommand::End { subject } => client.json(
            Method::DELETE,
            &format!("/v1/optouts?subject={}", escape(&subject)),
            bytes(""),
        )?,
    };
    show(common, &done, |d| {
        let one = |o: &Value| {
            println!(
                "{} {} {} {}",
                text(&o["subject"]),
                text(&o["since"]),
                text(&o["by"]),
                text(&o["proof"])
            );
        };
        if d["items"].is_array() {
            list(&d["items"]).for_each(one);
        } else {
            one(d);
        }
    });
    Ok(())
}

/// Show the messages that came through a host
#[derive(Debug, Args)]
pub(super) struct Evidence {
    /// The address
    target: String,
}

pub(super) fn evidence(common: &Common, c: &Evidence) -> Result<(), Failure> {
    let all = Client::open(common)?.json(
        Method::GET,
        &format!("/v1/evidence?target={}", escape(&c.target)),
        bytes(""),
    )?;
    show(common, &all, |all| {
        for p in list(&all["items"]) {
            println!(
                "proof {} {}: given to [{}] {}, came from [{}] {}: {}",
                p["id"],
                text(&p["test"]),
                text(&p["input"]),
                text(&p["sent"]),
                text(&p["output"]),
                text(&p["came"]),
                text(&p["outcome"])
            );
            ["envelope", "transcript", "message"]
                .iter()
                .for_each(|part| output::block("    ", text(&p[*part])));
        }
    });
    Ok(())
}
