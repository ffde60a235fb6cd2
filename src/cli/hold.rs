//! `orbsd hold`: subjects that no source may list.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, with_query},
    output,
    text::plain_line,
};
use crate::api::{HoldEndQuery, HoldRequest, HoldResponse, Page, PageQuery, ReceiptResponse};

/// Hold subjects: no source may list them for some time
#[derive(Debug, Args)]
pub(super) struct Hold {
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Show all holds
    List,
    /// Hold a subject for a reason, for every source
    Add {
        /// Address, prefix or domain
        subject: String,
        /// Reason of config.toml
        #[arg(long)]
        reason: String,
        /// End of the hold: duration, date or RFC 3339 time [default: 30d]
        #[arg(long)]
        until: Option<String>,
        /// Note for the history
        #[arg(long, value_parser = plain_line)]
        note: Option<String>,
    },
    /// End the holds of a subject
    End {
        /// Address, prefix or domain
        subject: String,
        /// End only the hold for this reason
        #[arg(long)]
        reason: Option<String>,
        /// Note for the history
        #[arg(long, value_parser = plain_line)]
        note: Option<String>,
    },
}

pub(super) fn run(common: &Common, c: Hold) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let done: ReceiptResponse = match c.command {
        HoldCommand::List => return list_holds(common, &mut client),
        HoldCommand::Add {
            subject,
            reason,
            until,
            note,
        } => {
            let request = HoldRequest {
                subject,
                reason,
                until,
                note,
            };
            client.post_json("/v1/holds", &request)?
        }
        HoldCommand::End {
            subject,
            reason,
            note,
        } => {
            let query = HoldEndQuery {
                subject,
                reason,
                note,
            };
            client.delete(&with_query("/v1/holds", &query))?
        }
    };
    common.print(&done, |d| println!("commit {}", d.commit))
}

fn list_holds(common: &Common, client: &mut Client) -> Result<(), CliError> {
    let mut query = PageQuery {
        limit: Some(1000),
        ..PageQuery::default()
    };
    loop {
        let page: Page<HoldResponse> = client.get(&with_query("/v1/holds", &query))?;
        page.items.iter().for_each(|h| print(common, h));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}

fn print(common: &Common, h: &HoldResponse) {
    if common.json {
        return output::json_line(h);
    }
    let source = h.source.as_deref().unwrap_or("every source");
    let until = h.until.map(|t| t.to_string());
    let until = until.as_deref().unwrap_or("a wider listing ends");
    println!(
        "{}: {} by {source}, since {} until {until}",
        h.subject, h.reason, h.since
    );
}
