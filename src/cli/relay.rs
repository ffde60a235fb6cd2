//! `orbsd nominate`, `jobs`, `tests`, `claim`, `optout`, `evidence`: relay tests, through the
//! daemon.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    Common, Failure,
    client::{Client, with_query},
    output,
    text::{plain_line, some},
};
use crate::api::{
    ClaimRequest, ClaimResponse, EvidenceQuery, JobResponse, JobsQuery, NominationKind,
    NominationRequest, OptOutQuery, OptOutRequest, OptOutResponse, OptOutSubjectResponse, Page,
    ProofResponse, RelayTestResponse,
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

/// A job in a few lines.
pub(super) fn job(j: &JobResponse) {
    let waiting = some(": ", j.waiting_for.as_ref());
    println!("job {} {} {}{waiting}", j.id, j.target, j.state.as_str());
    if let Some(a) = j.assessment {
        let row = j
            .row
            .as_ref()
            .map_or_else(String::new, |r| format!(" ({r})"));
        println!("  {}{row}", a.as_str());
    }
    for r in &j.results {
        let d = &r.detail;
        let more = [&d.output, &d.text, &d.cause];
        let more = more.into_iter().flatten().next().map_or("", String::as_str);
        let code = d.code.map_or(String::new(), |c| {
            format!(" {c} at {}", d.stage.as_deref().unwrap_or_default())
        });
        println!("  {:<28} {}{code} {more}", r.test, r.outcome.as_str());
    }
}

pub(super) fn nominate(common: &Common, c: &Nominate) -> Result<(), Failure> {
    let kind = match c.kind.as_str() {
        "message" => NominationKind::Message,
        "log" => NominationKind::Log,
        "owner" => NominationKind::Owner,
        other => {
            return Err(Failure::Usage(format!(
                "kind: `{other}` is not message, log or owner"
            )));
        }
    };
    let request = NominationRequest {
        target: c.target.clone(),
        evidence: c.evidence.clone(),
        kind,
        at: c.at.clone(),
        port: c.port,
        names: c.names.clone(),
        tests: c.tests.clone(),
    };
    let done: JobResponse =
        Client::open(common)?.call_json(Method::POST, "/v1/nominations", &request)?;
    output::print(common.json, &done, job);
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
        let query = JobsQuery {
            open: c.open,
            ..JobsQuery::default()
        };
        let all: Page<JobResponse> = client.get(&with_query("/v1/jobs", &query))?;
        output::print(common.json, &all, |all| all.items.iter().for_each(job_line));
        return Ok(());
    };
    if c.transcript {
        let body = client.text(Method::GET, &format!("/v1/jobs/{id}/transcript"))?;
        output::block("", &body);
        return Ok(());
    }
    let path = format!("/v1/jobs/{id}");
    let done: JobResponse = match (c.approve, c.refuse) {
        (true, _) => client.call(Method::POST, &format!("{path}/approve"))?,
        (_, true) => client.call(Method::DELETE, &path)?,
        _ => client.get(&path)?,
    };
    output::print(common.json, &done, job);
    Ok(())
}

/// A job in one line.
fn job_line(j: &JobResponse) {
    let assessment = j.assessment.map(|a| a.as_str());
    let waiting = j.waiting_for.as_deref().or(assessment).unwrap_or("");
    println!(
        "{:>8} {:<40} {:<10} {:<9} {waiting}",
        j.id,
        j.target,
        j.trigger.as_str(),
        j.state.as_str()
    );
}

/// Show the relay tests
#[derive(Debug, Args)]
pub(super) struct Tests {}

pub(super) fn tests(common: &Common, _: &Tests) -> Result<(), Failure> {
    let all: Page<RelayTestResponse> = Client::open(common)?.get("/v1/catalogue")?;
    output::print(common.json, &all, |all| {
        for t in &all.items {
            let run = if t.chosen { "" } else { t.run.as_str() };
            println!(
                "{:<4} {:<28} {:<22} {run:<7} {}",
                t.id, t.name, t.class, t.description
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
    let request = ClaimRequest {
        target: c.target.clone(),
        proved: c.proved,
    };
    let done: ClaimResponse =
        Client::open(common)?.call_json(Method::POST, "/v1/claims", &request)?;
    output::print(common.json, &done, |d| {
        println!("{}", d.what_happens);
        for b in &d.blocked {
            println!(
                "blocked at {} ({}), tested from {}:",
                b.at.map(|t| t.to_string()).unwrap_or_default(),
                b.row.as_deref().unwrap_or_default(),
                b.source.as_deref().unwrap_or("this machine")
            );
            for r in &b.replies {
                println!("  {:<44} {}", r.sent, r.answered);
            }
        }
        job(&d.job);
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
    let path = "/v1/opt-outs";
    let line = |o: &OptOutResponse| println!("{} {} {} {}", o.subject, o.since, o.author, o.proof);
    match c.what.unwrap_or(OptoutCommand::List) {
        OptoutCommand::List => {
            let all: Page<OptOutResponse> = client.get(path)?;
            output::print(common.json, &all, |all| all.items.iter().for_each(line));
        }
        OptoutCommand::Add { subject, proof } => {
            let request = OptOutRequest { subject, proof };
            let done: OptOutResponse = client.call_json(Method::POST, path, &request)?;
            output::print(common.json, &done, line);
        }
        OptoutCommand::End { subject } => {
            let path = with_query(path, &OptOutQuery { subject });
            let done: OptOutSubjectResponse = client.call(Method::DELETE, &path)?;
            output::print(common.json, &done, |d| println!("{}", d.subject));
        }
    }
    Ok(())
}

/// Show the messages that came through a host
#[derive(Debug, Args)]
pub(super) struct Evidence {
    /// The address
    target: String,
}

pub(super) fn evidence(common: &Common, c: &Evidence) -> Result<(), Failure> {
    let query = EvidenceQuery {
        target: c.target.clone(),
    };
    let all: Page<ProofResponse> =
        Client::open(common)?.get(&with_query("/v1/evidence", &query))?;
    output::print(common.json, &all, |all| {
        for p in &all.items {
            println!(
                "proof {} {}: given to [{}] {}, came from [{}] {}: {}",
                p.id, p.test, p.input, p.sent, p.output, p.arrived, p.outcome
            );
            for part in [&p.envelope, &p.transcript, &p.message] {
                output::block("    ", part.as_deref().unwrap_or_default());
            }
        }
    });
    Ok(())
}
