//! `orbsd tickets`: requests for removal, and corrections of the knowledge base.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, with_query},
    output,
    text::{join, some},
};
use crate::{
    api::{
        MessageAuthor, Page, TicketApprovalRequest, TicketDecisionRequest, TicketDetailResponse,
        TicketSummaryResponse, TicketsQuery,
    },
    model::text::counted,
    tickets::{TicketKind, TicketState},
};

/// Show requests for removal and corrections, and decide about them
#[derive(Debug, Args)]
pub(super) struct Tickets {
    #[command(subcommand)]
    command: TicketsCommand,
}

#[derive(Debug, Subcommand)]
enum TicketsCommand {
    /// Show tickets, those that wait for a person first, one per line
    List(List),
    /// Show a ticket with its conversation
    Show(Number),
    /// Reply to the requester
    Reply {
        #[command(flatten)]
        ticket: Number,
        /// Text for the requester
        text: String,
    },
    /// Approve a ticket: delist its subject, or accept its correction
    Approve {
        #[command(flatten)]
        ticket: Number,
        /// Text for the requester [default: none]
        text: Option<String>,
        /// Count the removal as a listing in error
        #[arg(long)]
        listed_in_error: bool,
    },
    /// Refuse a ticket; a listed subject stays listed until the listing ends
    Refuse {
        #[command(flatten)]
        ticket: Number,
        /// Text that tells the requester why
        text: String,
    },
}

#[derive(Debug, Args)]
struct List {
    /// Show only tickets that wait for a person
    #[arg(long)]
    waiting: bool,
    /// Show only tickets in this state, such as review or granted
    #[arg(long, value_parser = state)]
    state: Option<TicketState>,
    /// Show only tickets of this address, prefix, domain or product
    #[arg(long)]
    subject: Option<String>,
    /// Maximum number of tickets
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Args)]
struct Number {
    /// Number of the ticket
    number: u64,
}

/// Shows tickets, or decides about one.
pub(super) fn run(common: &Common, c: Tickets) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    match c.command {
        TicketsCommand::List(c) => list(common, &mut client, c),
        TicketsCommand::Show(Number { number }) => {
            let found: TicketDetailResponse = client.get(&path(number))?;
            common.print(&found, print_whole)
        }
        TicketsCommand::Reply { ticket, text } => {
            let request = TicketDecisionRequest { text };
            decide(common, &mut client, ticket.number, "reply", &request)
        }
        TicketsCommand::Approve {
            ticket,
            text,
            listed_in_error,
        } => {
            let request = TicketApprovalRequest {
                text: text.unwrap_or_default(),
                listed_in_error,
            };
            decide(common, &mut client, ticket.number, "approve", &request)
        }
        TicketsCommand::Refuse { ticket, text } => {
            let request = TicketDecisionRequest { text };
            decide(common, &mut client, ticket.number, "refuse", &request)
        }
    }
}

/// Parses the name of a state.
fn state(text: &str) -> Result<TicketState, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a state; docs/removal.md lists all"))
}

fn path(number: u64) -> String {
    format!("/v1/tickets/{number}")
}

fn list(common: &Common, client: &mut Client, c: List) -> Result<(), CliError> {
    let mut query = TicketsQuery {
        state: c.state,
        waiting: c.waiting,
        subject: c.subject,
        ..TicketsQuery::default()
    };
    let mut all = Page::all([]);
    while all.items.len() < c.limit {
        query.limit = Some((c.limit - all.items.len()).min(1000));
        let page: Page<TicketSummaryResponse> = client.get(&with_query("/v1/tickets", &query))?;
        all.items.extend(page.items);
        all.next.clone_from(&page.next);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    common.print(&all, |all| all.items.iter().for_each(print_line))
}

fn decide(
    common: &Common,
    client: &mut Client,
    number: u64,
    action: &str,
    request: &impl serde::Serialize,
) -> Result<(), CliError> {
    let path = format!("{}/{action}", path(number));
    let decided: TicketDetailResponse = client.call_json(Method::POST, &path, request)?;
    common.print(&decided, |t| {
        println!(
            "{number}: {}, {}",
            t.summary.subject,
            t.summary.state.as_str()
        );
    })
}

fn print_line(t: &TicketSummaryResponse) {
    let due = some(", answer by ", t.answer_by);
    let due = match due.is_empty() {
        true => some(", decide by ", t.decision_by),
        false => due,
    };
    let proof = match t.proof {
        Some(method) => format!(", control proved by {}", <&str>::from(method)),
        None => String::new(),
    };
    let about = match t.kind {
        TicketKind::Removal => join(&t.reasons),
        TicketKind::Correction => "the knowledge base".into(),
        TicketKind::Test => "for its holder".into(),
    };
    println!(
        "{} {} {} {}: {about}, opened {}, {}{proof}{due}",
        t.number,
        t.kind.as_str(),
        t.subject,
        t.state.as_str(),
        t.opened,
        counted(t.messages, "message")
    );
}

fn print_whole(t: &TicketDetailResponse) {
    print_line(&t.summary);
    let policy: &str = t.summary.policy.into();
    let needs = if t.proof_required {
        ", needs a proof of control"
    } else {
        ""
    };
    if t.summary.kind.is_about_listings() {
        println!(
            "  policy {policy}{needs}; listed in {}",
            match t.listed_in.is_empty() {
                true => "no zone".into(),
                false => join(&t.listed_in),
            }
        );
    }
    let ends = some("  the listing ends by itself at ", t.listing_ends);
    if !ends.is_empty() {
        println!("{ends}");
    }
    if let Some(at) = t.next_at {
        println!("  next step at {at}");
    }
    for step in &t.steps {
        println!("  {} {}", step.at, step.state.as_str());
    }
    if let Some(r) = &t.removal {
        println!("  removed at {} from {}", r.at, join(&r.zones));
    }
    match (&t.conversation, &t.contact) {
        (None, _) => println!("  the conversation needs the role editor"),
        (Some(_), Some(c)) => match c.confirmed {
            Some(at) => println!("  notified: {} (confirmed {at})", c.address),
            None => println!("  not notified: {} is not confirmed", c.address),
        },
        (Some(_), None) => {}
    }
    for m in t.conversation.iter().flatten() {
        let author = match (m.author, &m.user) {
            (MessageAuthor::Operator, Some(user)) => user.as_str(),
            (MessageAuthor::Operator, None) => "operator",
            (MessageAuthor::Requester, _) => "requester",
        };
        println!("  {} {author}:", m.at);
        output::block("    ", &m.text);
    }
}
