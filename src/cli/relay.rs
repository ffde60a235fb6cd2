//! `orbsd relay`: relay tests.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    advice::{self, Advice},
    client::{Client, with_query},
    job, output,
    probe::{self, Probe},
    text::{plain_line, some},
};
use crate::api::{
    ClaimRequest, ClaimResponse, EvidenceQuery, JobResponse, JobsQuery, NominationKind,
    NominationRequest, OptOutQuery, OptOutRequest, OptOutResponse, OptOutSubjectResponse,
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
    Advice(Advice),
    Probe(Box<Probe>),
}

/// Runs a command of relay tests.
pub(super) fn run(common: &Common, c: Relay) -> Result<(), CliError> {
    match c.command {
        RelayCommand::Nominate(c) => nominate(common, c),
        RelayCommand::Jobs(c) => jobs(common, &c),
        RelayCommand::Claim(c) => claim(common, &c),
        RelayCommand::OptOut(c) => opt_out(common, c),
        RelayCommand::Evidence(c) => evidence(common, &c),
        RelayCommand::Catalogue => catalogue(common),
        RelayCommand::Advice(c) => advice::run(common, c),
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

fn nominate(common: &Common, c: Nominate) -> Result<(), CliError> {
    let kinds = [
        NominationKind::Message,
        NominationKind::Log,
        NominationKind::Owner,
    ];
    let kind = kinds.into_iter().find(|k| k.as_str() == c.kind);
    let kind = kind.ok_or_else(|| {
        let text = format!("kind: `{}` is not message, log or owner", c.kind);
        CliError::Usage(text)
    })?;
    let request = NominationRequest {
        target: c.target,
        evidence: c.evidence,
        kind,
        at: c.at,
        port: c.port,
        names: c.names,
        tests: c.tests,
    };
    let done: JobResponse = Client::open(common)?.post_json("/v1/nominations", &request)?;
    common.print(&done, job::print)
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
        return client.print_list(common, &with_query("/v1/jobs", &query), job_line);
    };
    let path = format!("/v1/jobs/{id}");
    if c.transcript {
        output::block("", &client.text(&format!("{path}/transcript"))?);
        return Ok(());
    }
    let done: JobResponse = match (c.approve, c.refuse) {
        (true, _) => client.post(&format!("{path}/approve"))?,
        (_, true) => client.delete(&path)?,
        _ => client.get(&path)?,
    };
    common.print(&done, job::print)
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
    let print = |t: &RelayTestResponse| {
        let run = if t.chosen { "" } else { t.run.as_str() };
        println!(
            "{:<4} {:<28} {:<22} {run:<7} {}",
            t.id, t.name, t.class, t.description
        );
    };
    Client::open(common)?.print_list(common, "/v1/catalogue", print)
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
    let done: ClaimResponse = Client::open(common)?.post_json("/v1/claims", &request)?;
    common.print(&done, |d| {
        println!("{}", d.what_happens);
        for b in &d.blocked {
            println!(
                "blocked at {} ({}), tested from {}:",
                some("", b.at),
                b.row.as_deref().unwrap_or_default(),
                b.source.as_deref().unwrap_or("this machine")
            );
            for r in &b.replies {
                println!("  {:<44} {}", r.sent, r.answered);
            }
        }
        job::print(&d.job);
    })
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
        OptOutCommand::List => client.print_list(common, path, line),
        OptOutCommand::Add { subject, proof } => {
            let request = OptOutRequest { subject, proof };
            let done: OptOutResponse = client.post_json(path, &request)?;
            common.print(&done, line)
        }
        OptOutCommand::End { subject } => {
            let path = with_query(path, &OptOutQuery { subject });
            let done: OptOutSubjectResponse = client.delete(&path)?;
            common.print(&done, |d| println!("{}", d.subject))
        }
    }
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
    let print = |p: &ProofResponse| {
        println!(
            "proof {} {}: sent to [{}] {}, arrived from [{}] {}: {}",
            p.id, p.test, p.input, p.sent, p.output, p.arrived, p.outcome
        );
        for part in [&p.envelope, &p.transcript, &p.message] {
            output::block("    ", part.as_deref().unwrap_or_default());
        }
    };
    Client::open(common)?.print_list(common, &with_query("/v1/evidence", &query), print)
}
