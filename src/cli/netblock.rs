//! `orbsd netblock`: networks that two persons list.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, escape, with_query},
    text::{join, plain_line, some},
};
use crate::{
    api::{
        CollateralResponse, NetblockContactRequest, NetblockContactResponse,
        NetblockRenewalRequest, NetblockRequest, NetblockResponse, NetblocksQuery,
    },
    model::text::counted,
    netblocks::{ContactAnswer, ContactRequest, NetblockState, NetblockText},
};

/// List networks by the decision of two persons, with a public page for each
#[derive(Debug, Args)]
pub(super) struct Netblock {
    #[command(subcommand)]
    command: NetblockCommand,
}

#[derive(Debug, Subcommand)]
enum NetblockCommand {
    /// Propose a listing for another person to approve, and show what it covers
    Propose(Propose),
    /// Record what the owner of a network was asked, or what came back
    Contact(Contact),
    /// Approve the proposal or renewal of another person, and list the network
    Approve(Prefix),
    /// Propose a later end of a listed network, for another person to approve
    Renew {
        #[command(flatten)]
        prefix: Prefix,
        /// End, at most a year ahead: date, RFC 3339 time, or duration from now (90d)
        #[arg(long)]
        until: String,
    },
    /// Refuse the proposal or the renewal that waits
    Refuse(Prefix),
    /// Show the entry of a network
    Show(Prefix),
    /// Show all entries, one per line
    List {
        /// Show only entries in this state: proposed, listed or ended
        #[arg(long, value_parser = state)]
        state: Option<NetblockState>,
    },
    /// Count the addresses, exemptions and known senders that a listing covers
    Collateral(Prefix),
}

#[derive(Debug, Args)]
struct Prefix {
    /// Prefix, such as 192.0.2.0/24
    prefix: String,
}

#[derive(Debug, Args)]
struct Propose {
    #[command(flatten)]
    prefix: Prefix,
    /// Public reason: spam-from-many, spam-support, ignores-complaints, open-relays, hijacked or holder-request
    #[arg(long)]
    kind: String,
    /// Number of addresses that send spam, for spam-from-many
    #[arg(long)]
    addresses: Option<u32>,
    /// Number of complaints, for ignores-complaints
    #[arg(long)]
    complaints: Option<u32>,
    /// Number of days of the complaints, for ignores-complaints
    #[arg(long)]
    days: Option<u32>,
    /// Number of open relays, for open-relays
    #[arg(long)]
    hosts: Option<u32>,
    /// End, at most a year ahead: date, RFC 3339 time, or duration from now
    #[arg(long, default_value = "90d")]
    until: String,
    /// Note for operators, which is never public
    #[arg(long, value_parser = plain_line, default_value = "")]
    note: String,
    /// Show what the listing would cover, and propose nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Contact {
    #[command(flatten)]
    prefix: Prefix,
    /// Number of an earlier contact, to record what came back
    #[arg(long)]
    number: Option<usize>,
    /// What the owner was asked: complaint, stop or notice
    #[arg(long, value_parser = request, required_unless_present = "number", conflicts_with = "number")]
    request: Option<ContactRequest>,
    /// When the owner was asked: date, RFC 3339 time, or duration before now [default: now]
    #[arg(long, conflicts_with = "number")]
    asked_at: Option<String>,
    /// What came back: none, undeliverable, promised, refused or other [default: none]
    #[arg(long, value_parser = answer)]
    answer: Option<ContactAnswer>,
    /// When it came back: date, RFC 3339 time, or duration before now
    #[arg(long)]
    answered_at: Option<String>,
    /// Address that the request was sent to, which is never public
    #[arg(long, value_parser = plain_line, default_value = "", conflicts_with = "number")]
    address: String,
    /// Words of both sides, which are never public
    #[arg(long, value_parser = plain_line, default_value = "", conflicts_with = "number")]
    words: String,
}

fn state(text: &str) -> Result<NetblockState, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not proposed, listed or ended"))
}

fn request(text: &str) -> Result<ContactRequest, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not complaint, stop or notice"))
}

fn answer(text: &str) -> Result<ContactAnswer, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not none, undeliverable, promised, refused or other"))
}

impl Propose {
    /// The public text; the error names a parameter that the kind needs or does not have.
    fn text(&self) -> Result<NetblockText, CliError> {
        let given = [
            ("addresses", self.addresses),
            ("complaints", self.complaints),
            ("days", self.days),
            ("hosts", self.hosts),
        ];
        let mut text = serde_json::Map::new();
        text.insert("kind".into(), self.kind.as_str().into());
        let given = given.into_iter().filter_map(|(name, n)| Some((name, n?)));
        text.extend(given.map(|(name, n)| (name.to_string(), n.into())));
        serde_json::from_value(text.into())
            .map_err(|e| CliError::Usage(format!("--kind {}: {e}", self.kind)))
    }
}

/// Shows, proposes, approves and renews entries of networks.
pub(super) fn run(common: &Common, c: Netblock) -> Result<(), CliError> {
    // Its errors need no daemon.
    let text = match &c.command {
        NetblockCommand::Propose(p) => Some(p.text()?),
        _ => None,
    };
    let mut client = Client::open(common)?;
    match (c.command, text) {
        (NetblockCommand::Propose(p), Some(text)) => propose(common, &mut client, p, text),
        (NetblockCommand::Propose(_), None) => Ok(()),
        (NetblockCommand::Contact(c), _) => contact(common, &mut client, c),
        (NetblockCommand::Approve(p), _) => {
            show_collateral(common, &mut client, &p.prefix)?;
            let path = format!("{}/approve", path(&p.prefix));
            let done: NetblockResponse = client.post(&path)?;
            common.print(&done, |done| {
                println!("{} is listed until {}", done.prefix, done.until);
            })
        }
        (NetblockCommand::Renew { prefix, until }, _) => {
            let path = format!("{}/renew", path(&prefix.prefix));
            let done: NetblockResponse =
                client.call_json(Method::POST, &path, &NetblockRenewalRequest { until })?;
            common.print(&done, print_waiting)
        }
        (NetblockCommand::Refuse(p), _) => {
            let done: NetblockResponse = client.delete(&path(&p.prefix))?;
            common.print(&done, |done| {
                let state: &str = done.state.into();
                println!("{}: refused; the entry is {state}", done.prefix);
            })
        }
        (NetblockCommand::Show(p), _) => {
            let found: NetblockResponse = client.get(&path(&p.prefix))?;
            common.print(&found, print_whole)
        }
        (NetblockCommand::List { state }, _) => {
            let path = with_query("/v1/netblocks", &NetblocksQuery { state });
            client.print_list(common, &path, print_line)
        }
        (NetblockCommand::Collateral(p), _) => {
            let found = collateral(&mut client, &p.prefix)?;
            common.print(&found, print_collateral)
        }
    }
}

fn path(prefix: &str) -> String {
    format!("/v1/netblocks/{}", escape(prefix))
}

fn collateral(client: &mut Client, prefix: &str) -> Result<CollateralResponse, CliError> {
    client.get(&format!("{}/collateral", path(prefix)))
}

/// Shows what a listing covers before a decision; with `--json` only the decision is printed.
fn show_collateral(common: &Common, client: &mut Client, prefix: &str) -> Result<(), CliError> {
    let found = collateral(client, prefix)?;
    if !common.json {
        print_collateral(&found);
    }
    Ok(())
}

fn propose(
    common: &Common,
    client: &mut Client,
    p: Propose,
    public_text: NetblockText,
) -> Result<(), CliError> {
    let prefix = p.prefix.prefix;
    if p.dry_run {
        let found = collateral(client, &prefix)?;
        return common.print(&found, print_collateral);
    }
    show_collateral(common, client, &prefix)?;
    let request = NetblockRequest {
        prefix,
        public_text,
        until: p.until,
        note: p.note,
    };
    let done: NetblockResponse = client.post_json("/v1/netblocks", &request)?;
    common.print(&done, print_waiting)
}

fn contact(common: &Common, client: &mut Client, c: Contact) -> Result<(), CliError> {
    let path = format!("{}/contacts", path(&c.prefix.prefix));
    let request = NetblockContactRequest {
        number: c.number,
        request: c.request,
        asked_at: c.asked_at,
        answer: c.answer,
        answered_at: c.answered_at,
        address: c.address,
        words: c.words,
    };
    let done: NetblockResponse = client.post_json(&path, &request)?;
    common.print(&done, |done| done.contacts.iter().for_each(print_contact))
}

fn print_collateral(c: &CollateralResponse) {
    let least = if c.complete { "" } else { "at least " };
    println!("{}: {}", c.prefix, counted(&c.addresses, "address"));
    for (reason, n) in &c.listed {
        println!("  listed already for {reason}: {least}{n}");
    }
    println!("  exemptions: {least}{}", c.exemption_count);
    c.exemptions.iter().for_each(|e| println!("    {e}"));
    println!("  known senders: {}", c.known_sender_count);
    c.known_senders.iter().for_each(|s| println!("    {s}"));
    match &c.queried {
        None => println!("  queried recently: not sampled"),
        Some(q) => {
            let unit = match q.prefix_length {
                64 => "/64 prefix",
                _ => "address",
            };
            println!(
                "  queried recently: at least {} since {}, in a sample of one in {} queries",
                counted(q.count, unit),
                q.since,
                q.one_in
            );
        }
    }
}

fn print_waiting(n: &NetblockResponse) {
    let until = n.renewal.as_ref().map_or(n.until, |r| r.until);
    println!(
        "{}: waits for another person, until {until}; they approve it with `orbsd netblock approve {}`",
        n.prefix, n.prefix
    );
}

fn print_line(n: &NetblockResponse) {
    let state: &str = n.state.into();
    let waits = n.renewal.as_ref().map(|_| "a renewal waits");
    println!(
        "{} {state} until {}: {}{}",
        n.prefix,
        n.until,
        n.text,
        some(" ", waits)
    );
}

fn print_contact(c: &NetblockContactResponse) {
    let (request, answer): (&str, &str) = (c.request.into(), c.answer.into());
    let address = c.address.as_ref().filter(|a| !a.is_empty());
    let words = c.words.as_ref().filter(|w| !w.is_empty());
    println!(
        "  contact {}: {} {request}{}, answer: {answer}{}{}",
        c.number,
        c.asked_at,
        some(" to ", address),
        some(" at ", c.answered_at),
        some(": ", words)
    );
}

fn print_whole(n: &NetblockResponse) {
    let state: &str = n.state.into();
    println!("{}: {state}; {}", n.prefix, n.text);
    println!("  proposed by {} at {}", n.proposed_by, n.proposed_at);
    let approved = [n.approved_by.clone(), n.approved_at.map(|t| t.to_string())];
    if approved.iter().all(Option::is_some) {
        println!("  approved by {}", join(approved.into_iter().flatten()));
    }
    println!("  ends: {}", n.until);
    if let Some(r) = &n.renewal {
        println!("  renewal proposed by {} until {}", r.author, r.until);
    }
    if let (Some(at), Some(end)) = (n.ended_at, n.end) {
        println!("  ended at {at}: {}", <&str>::from(end));
    }
    if !n.note.is_empty() {
        println!("  note: {}", n.note);
    }
    n.contacts.iter().for_each(print_contact);
    for s in &n.history {
        println!("  {} {}{}", s.at, s.action, some(" by ", s.author.as_ref()));
    }
}
