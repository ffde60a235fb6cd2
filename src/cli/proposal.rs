//! `orbsd proposal`: listings that wait for another person.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// Show listings that wait for another person, and decide about them
#[derive(Debug, Args)]
pub(super) struct Proposal {
    #[command(subcommand)]
    command: ProposalCommand,
}

#[derive(Debug, Subcommand)]
enum ProposalCommand {
    /// Show all proposals, the oldest first, one a line
    List {
        /// Show only the proposals of this author
        #[arg(long)]
        author: Option<String>,
    },
    /// Show one proposal
    Show {
        /// The proposal's number
        id: String,
    },
    /// Approve a proposal of another person: list its subject
    Approve {
        /// The proposal's number
        id: String,
    },
    /// Refuse a proposal: remove it without a listing
    Refuse {
        /// The proposal's number
        id: String,
    },
    /// Delete all proposals of an author
    Delete {
        /// The author of the proposals
        #[arg(long)]
        author: String,
    },
}

/// Prints an answer of the API.
type Printer<'a> = Box<dyn Fn(&Value) + 'a>;

/// Shows proposals, or decides about them.
pub(super) fn run(common: &Common, c: &Proposal) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let mut call = |method, path: String| client.json(method, &path, bytes(""));
    let (done, print): (Value, Printer) = match &c.command {
        ProposalCommand::List { author } => {
            let query = author
                .as_ref()
                .map_or(String::new(), |a| format!("?author={}", escape(a)));
            (
                call(Method::GET, format!("/v1/proposals{query}"))?,
                Box::new(|all| list(&all["items"]).for_each(print_line)),
            )
        }
        ProposalCommand::Show { id } => (
            call(Method::GET, format!("/v1/proposals/{}", escape(id)))?,
            Box::new(print_whole),
        ),
        ProposalCommand::Approve { id } => {
            let done = call(
                Method::POST,
                format!("/v1/proposals/{}/approve", escape(id)),
            )?;
            (
                done,
                Box::new(move |done| {
                    println!("{id}: approved and listed (commit {})", done["commit"]);
                }),
            )
        }
        ProposalCommand::Refuse { id } => {
            let done = call(Method::DELETE, format!("/v1/proposals/{}", escape(id)))?;
            (
                done,
                Box::new(move |done| {
                    println!("{id}: refused; {} is not listed", text(&done["subject"]));
                }),
            )
        }
        ProposalCommand::Delete { author } => {
            let done = call(
                Method::DELETE,
                format!("/v1/proposals?author={}", escape(author)),
            )?;
            (
                done,
                Box::new(move |done| println!("{author}: {} proposals deleted", done["deleted"])),
            )
        }
    };
    match common.json {
        true => output::json(&done),
        false => print(&done),
    }
    Ok(())
}

fn print_line(p: &Value) {
    let note = p["note"]
        .as_str()
        .map_or(String::new(), |n| format!(": {n}"));
    println!(
        "{} {} {} by {}, {}{note}",
        text(&p["id"]),
        text(&p["at"]),
        text(&p["subject"]),
        text(&p["by"]),
        text(&p["reason"])
    );
}

fn print_whole(p: &Value) {
    println!(
        "{}: {} for {} ({})",
        text(&p["id"]),
        text(&p["subject"]),
        text(&p["reason"]),
        text(&p["source"])
    );
    println!("  proposed by {} at {}", text(&p["by"]), text(&p["at"]));
    println!(
        "  ends: {}",
        p["until"].as_str().unwrap_or("after the reason's lifetime")
    );
    for key in ["text", "note"] {
        p[key]
            .as_str()
            .into_iter()
            .for_each(|t| println!("  {key}: {t}"));
    }
    println!(
        "  another person approves it with `orbsd proposal approve {}`",
        text(&p["id"])
    );
}
