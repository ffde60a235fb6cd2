//! `orbsd relay`: relay tests.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, with_query},
    job, output,
    probe::{self, Probe},
    text::plain_line,
};
use crate::api::{
    ClaimRequest, ClaimResponse, EvidenceQuery, JobResponse, JobsQuery, NominationKind,
    NominationRequest, OptOutQuery, OptOutRequest, OptOutResponse, OptOutSubjectResponse, Page,
    ProofResponse, RelayTestResponse,
};

/// Test hosts for open relays
#[derive(Debug, Args)]
pub(super) struct Relay {
    #[command(subcommand)]
    command: RelayCommand,
}

#[derive(Debug, Subcommand)]
enum RelayCommand {
    Nominate(Nominate),
    Jobs(Jobs),
    Claim(Claim),
    OptOut(OptOut),
    Evidence(Evidence),
    /// Show the catalogue of relay tests
    Catalogue,
    Probe(Box<Probe>),
}

/// Runs a command of relay tests.
pub(super) fn run(common: &Common, c: Relay) -> Result<(), CliError> {
    match c.command {
        RelayCommand::Nominate(c) => nominate(common, &c),
        RelayCommand::Jobs(c) => jobs(common, &c),
        RelayCommand::Claim(c) => claim(common, &c),
        RelayCommand::OptOut(c) => opt_out(common, c),
        RelayCommand::Evidence(c) => evidence(common, &c),
        RelayCommand::Catalogue => catalogue(common),
        RelayCommand::Probe(c) => probe::run(common, &c),
    }
}

/// Nominate a host for a relay test
#[derive(Debug, Args)]
struct Nominate {
    /// IP address of the host
    target: String,
    /// Evidence, at most 14 days old: message ID, log line, or statement of the owner
    #[arg(long, value_parser = plain_line)]
    evidence: String,
    /// Kind of the evidence: message, log, or owner (who has proved control of the host)
    #[arg(long, default_value = "log")]
    kind: String,
    /// Time of the evidence (RFC 3339) [default: now]
    #[arg(long)]
    at: Option<String>,
    /// Port of the host [default: 25]
    #[arg(long)]
    port: Option<u16>,
    /// Possible name of the host; used only if it points at the host; repeat for more
    #[arg(long = "name")]
    names: Vec<String>,
    /// Run only this test; repeat for more
    #[arg(long = "test")]
    tests: Vec<String>,
}

fn nominate(common: &Common, c: &Nominate) -> Result<(), CliError> {
    let kind = match c.kind.as_str() {
        "message" => NominationKind::Message,
        "log" => NominationKind::Log,
        "owner" => NominationKind::Owner,
        other => {
            return Err(CliError::Usage(format!(
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
    output::print(common.json, &done, job::print);
    Ok(())
}

/// Show test jobs, and approve or refuse those that wait for an editor
#[derive(Debug, Args)]
struct Jobs {
    /// Show this job with its results [default: all jobs]
    id: Option<u64>,
    /// Show only jobs that wait or run
    #[arg(long)]
    open: bool,
    /// Approve the job
    #[arg(long, requires = "id", conflicts_with = "refuse")]
    approve: bool,
    /// Refuse the job
    #[arg(long, requires = "id")]
    refuse: bool,
    /// Show the SMTP transcript
    #[arg(long, requires = "id")]
    transcript: bool,
}

fn jobs(common: &Common, c: &Jobs) -> Result<(), CliError> {
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
    output::print(common.json, &done, job::print);
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

fn catalogue(common: &Common) -> Result<(), CliError> {
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

/// Claim that a listed host is closed, so that it is tested again
#[derive(Debug, Args)]
struct Claim {
    /// IP address of the host
    target: String,
    /// Confirm that the claimant has proved control of the host
    #[arg(long)]
    proved: bool,
}

fn claim(common: &Common, c: &Claim) -> Result<(), CliError> {
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
        job::print(&d.job);
    });
    Ok(())
}

/// Manage opt-outs: addresses that are never tested
#[derive(Debug, Args)]
struct OptOut {
    #[command(subcommand)]
    command: OptOutCommand,
}

#[derive(Debug, Subcommand)]
enum OptOutCommand {
    /// Show all opt-outs
    List,
    /// Add an opt-out, which ends waiting and running tests
    Add {
        /// Address or prefix
        subject: String,
        /// How the owner has proved control
        #[arg(long, value_parser = plain_line)]
        proof: String,
    },
    /// End an opt-out
    End {
        /// Address or prefix
        subject: String,
    },
}

fn opt_out(common: &Common, c: OptOut) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let path = "/v1/opt-outs";
    let line = |o: &OptOutResponse| println!("{} {} {} {}", o.subject, o.since, o.author, o.proof);
    match c.command {
        OptOutCommand::List => {
            let all: Page<OptOutResponse> = client.get(path)?;
            output::print(common.json, &all, |all| all.items.iter().for_each(line));
        }
        OptOutCommand::Add { subject, proof } => {
            let request = OptOutRequest { subject, proof };
            let done: OptOutResponse = client.call_json(Method::POST, path, &request)?;
            output::print(common.json, &done, line);
        }
        OptOutCommand::End { subject } => {
            let path = with_query(path, &OptOutQuery { subject });
            let done: OptOutSubjectResponse = client.call(Method::DELETE, &path)?;
            output::print(common.json, &done, |d| println!("{}", d.subject));
        }
    }
    Ok(())
}

/// Show the test messages that a host delivered
#[derive(Debug, Args)]
struct Evidence {
    /// IP address of the host
    target: String,
}

fn evidence(common: &Common, c: &Evidence) -> Result<(), CliError> {
    let query = EvidenceQuery {
        target: c.target.clone(),
    };
    let all: Page<ProofResponse> =
        Client::open(common)?.get(&with_query("/v1/evidence", &query))?;
    output::print(common.json, &all, |all| {
        for p in &all.items {
            println!(
                "proof {} {}: sent to [{}] {}, arrived from [{}] {}: {}",
                p.id, p.test, p.input, p.sent, p.output, p.arrived, p.outcome
            );
            for part in [&p.envelope, &p.transcript, &p.message] {
                output::block("    ", part.as_deref().unwrap_or_default());
            }
        }
    });
    Ok(())
}
