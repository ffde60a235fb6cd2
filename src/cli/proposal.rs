//! `orbsd proposal`: listings that wait for another user.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, escape, with_query},
    text::some,
};
use crate::{
    api::{
        ProposalDeletionQuery, ProposalDeletionResponse, ProposalResponse, ProposalsQuery,
        ReceiptResponse,
    },
    model::text::counted,
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
    Show(Id),
    /// Approve a proposal of another user, and list its subject
    Approve(Id),
    /// Refuse a proposal
    Refuse(Id),
    /// Delete all proposals of an author
    Delete {
        /// Author of the proposals
        #[arg(long)]
        author: String,
    },
}

#[derive(Debug, Args)]
struct Id {
    /// ID of the proposal
    id: String,
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
            client.print_list(common, &with_query("/v1/proposals", &query), print_line)
        }
        ProposalCommand::Show(Id { id }) => {
            let found: ProposalResponse = client.get(&path(id))?;
            common.print(&found, print_whole)
        }
        ProposalCommand::Approve(Id { id }) => {
            let done: ReceiptResponse = client.post(&format!("{}/approve", path(id)))?;
            common.print(&done, |done| {
                println!("{id}: approved and listed (commit {})", done.commit);
            })
        }
        ProposalCommand::Refuse(Id { id }) => {
            let done: ProposalResponse = client.delete(&path(id))?;
            common.print(&done, |done| {
                println!("{id}: refused; {} is not listed", done.subject);
            })
        }
        ProposalCommand::Delete { author } => {
            let query = ProposalDeletionQuery {
                author: author.clone(),
            };
            let path = with_query("/v1/proposals", &query);
            let done: ProposalDeletionResponse = client.delete(&path)?;
            common.print(&done, |done| {
                println!("{author}: {} deleted", counted(done.deleted, "proposal"));
            })
        }
    }
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
    let until = until
        .as_deref()
        .unwrap_or("after the lifetime of the reason");
    println!("  ends: {until}");
    p.text.iter().for_each(|t| println!("  text: {t}"));
    p.note.iter().for_each(|t| println!("  note: {t}"));
    println!(
        "  another person approves it with `orbsd proposal approve {}`",
        p.id
    );
}
