//! `orbsd provider`: providers of dynamic ranges.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, with_query},
    text::some,
};
use crate::{
    api::{
        ProvidedEntryResponse, ProviderDetailResponse, ProviderEditResponse, ProviderRemovalQuery,
        ProviderSummaryResponse, ProvidersQuery,
    },
    dynamic_ranges::ProviderState,
    model::text::counted,
};

/// Show and remove providers, who prove dynamic ranges by DNS and edit them
#[derive(Debug, Args)]
pub(super) struct Provider {
    #[command(subcommand)]
    command: ProviderCommand,
}

#[derive(Debug, Subcommand)]
enum ProviderCommand {
    /// Show all providers, one per line
    List {
        /// Show only providers in this state: requested, proved, lapsed or removed
        #[arg(long, value_parser = state)]
        state: Option<ProviderState>,
    },
    /// Show a provider with its ranges, hosts and last edits
    Show(Number),
    /// End the edits of all providers of a range, and withdraw what they did in it
    Remove {
        #[command(flatten)]
        provider: Number,
        /// Keep what they have listed and taken out until its end
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Debug, Args)]
struct Number {
    /// Number of the provider
    number: u64,
}

fn state(text: &str) -> Result<ProviderState, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not requested, proved, lapsed or removed"))
}

/// Shows and removes providers.
pub(super) fn run(common: &Common, c: &Provider) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    match &c.command {
        ProviderCommand::List { state } => {
            let path = with_query("/v1/providers", &ProvidersQuery { state: *state });
            client.print_list(common, &path, print_line)
        }
        ProviderCommand::Show(provider) => {
            let found: ProviderDetailResponse = client.get(&path(provider.number))?;
            common.print(&found, print_whole)
        }
        ProviderCommand::Remove { provider, keep } => {
            let query = ProviderRemovalQuery { keep: *keep };
            let path = with_query(&path(provider.number), &query);
            let done: ProviderDetailResponse = client.delete(&path)?;
            common.print(&done, |done| {
                println!("{}: its providers can edit no more", done.provider.range);
            })
        }
    }
}

fn path(number: u64) -> String {
    format!("/v1/providers/{number}")
}

fn print_line(p: &ProviderSummaryResponse) {
    let state: &str = p.state.into();
    println!(
        "{} {} {state}, {}{}",
        p.number,
        p.range,
        counted(p.edits, "edit"),
        some(", record found at ", p.proved_at)
    );
}

fn print_entry(what: &str, e: &ProvidedEntryResponse) {
    println!("  {what} {} since {}, until {}", e.subject, e.at, e.until);
}

fn print_edit(e: &ProviderEditResponse) {
    let action: &str = e.action.into();
    println!(
        "  edit {}: {} {action} {}{}{}",
        e.number,
        e.at,
        e.subject,
        some(", undoes edit ", e.reverts),
        some(", undone by edit ", e.reverted_by)
    );
}

fn print_whole(p: &ProviderDetailResponse) {
    let found = &p.provider;
    let state: &str = found.state.into();
    println!("{}: {} {state}", p.author, found.range);
    println!("  requested at {}", found.opened);
    for name in &found.record_names {
        println!("  record at {name}");
    }
    if let (Some(at), Some(until)) = (found.proved_at, found.proved_until) {
        println!("  record found at {at}; edits are accepted until {until}");
    }
    if let Some(problem) = &found.problem {
        println!(
            "  last look-up{}: {problem}",
            some(" at ", found.checked_at)
        );
    }
    if let (Some(at), Some(by)) = (found.removed_at, &p.removed_by) {
        println!("  removed at {at} by {by}");
    }
    found.ranges.iter().for_each(|e| print_entry("lists", e));
    found.hosts.iter().for_each(|e| print_entry("takes out", e));
    found.edits.iter().for_each(print_edit);
}
