//! `orbsd proposal`: listings that wait for another user.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, escape, with_query},
    output,
    text::some,
};
use crate::api::{
    Page, ProposalDeletionQuery, ProposalDeletionResponse, ProposalResponse, ProposalsQuery,
    ReceiptResponse,
};

/// Show listings that wait for another user, and decide about them
#[derive(Debug, Args)]
pub(super) struct Proposal {
    #[command(subcommand)]
    command: ProposalCommand,
}

#[derive(Debug, Subcommand)]
enum ProposalCommand {
    /// Show all proposals, the oldest first, one per line
    List {
        /// Show only the proposals of this author
        #[arg(long)]
        author: Option<String>,
    },
    /// Show one proposal
    Show {
        /// ID of the proposal
        id: String,
    },
    /// Approve a proposal of another user, and list its subject
    Approve {
        /// ID of the proposal
        id: String,
    },
    /// Refuse a proposal
    Refuse {
        /// ID of the proposal
        id: String,
    },
    /// Delete all proposals of an author
    Delete {
        /// Author of the proposals
        #[arg(long)]
        author: String,
    },
}

/// Shows proposals, or decides about them.
pub(super) fn run(common: &Common, c: &Proposal) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let path = |id: &str| format!("/v1/proposals/{}", escape(id));
    match &c.command {
        ProposalCommand::List { author } => {
            let query = ProposalsQuery {
                author: author.clone(),
            };
            let all: Page<ProposalResponse> = client.get(&with_query("/v1/proposals", &query))?;
            output::print(common.json, &all, |all| {
                all.items.iter().for_each(print_line);
            });
        }
        ProposalCommand::Show { id } => {
            let found: ProposalResponse = client.get(&path(id))?;
            output::print(common.json, &found, print_whole);
        }
        ProposalCommand::Approve { id } => {
            let path = format!("{}/approve", path(id));
            let done: ReceiptResponse = client.call(Method::POST, &path)?;
            output::print(common.json, &done, |done| {
                println!("{id}: approved and listed (commit {})", done.commit);
            });
        }
        ProposalCommand::Refuse { id } => {
            let done: ProposalResponse = client.call(Method::DELETE, &path(id))?;
            output::print(common.json, &done, |done| {
                println!("{id}: refused; {} is not listed", done.subject);
            });
        }
        ProposalCommand::Delete { author } => {
            let query = ProposalDeletionQuery {
                author: author.clone(),
            };
            let path = with_query("/v1/proposals", &query);
            let done: ProposalDeletionResponse = client.call(Method::DELETE, &path)?;
            output::print(common.json, &done, |done| {
                println!("{author}: {} proposals deleted", done.deleted);
            });
        }
    }
    Ok(())
}

fn print_line(p: &ProposalResponse) {
    let note = some(": ", p.note.as_ref());
    println!(
        "{} {} {} by {}, {}{note}",
        p.id, p.at, p.subject, p.author, p.reason
    );
}

fn print_whole(p: &ProposalResponse) {
    println!("{}: {} for {} ({})", p.id, p.subject, p.reason, p.source);
    println!("  proposed by {} at {}", p.author, p.at);
    let until = p.until.map(|t| t.to_string());
    println!(
        "  ends: {}",
        until
            .as_deref()
            .unwrap_or("after the lifetime of the reason")
    );
    p.text.iter().for_each(|t| println!("  text: {t}"));
    p.note.iter().for_each(|t| println!("  note: {t}"));
    println!(
        "  another person approves it with `orbsd proposal approve {}`",
        p.id
    );
}
