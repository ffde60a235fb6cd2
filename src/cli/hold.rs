//! `orbsd hold`: subjects that no source may list.

use clap::{Args, Subcommand};
use hyper::Method;

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
            client.call_json(Method::POST, "/v1/holds", &request)?
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
            client.call(Method::DELETE, &with_query("/v1/holds", &query))?
        }
    };
    match common.json {
        true => output::json(&done),
        false => println!("commit {}", done.commit),
    }
    Ok(())
}

fn list_holds(common: &Common, client: &mut Client) -> Result<(), CliError> {
    let mut query = PageQuery {
        limit: Some(1000),
        ..PageQuery::default()
    };
    loop {
        let page: Page<HoldResponse> = client.get(&with_query("/v1/holds", &query))?;
        for h in &page.items {
            if common.json {
                output::json_line(h);
                continue;
            }
            let source = match &h.source {
                Some(s) => format!("by {s}"),
                None => "by every source".into(),
            };
            let until = match h.until {
                Some(t) => t.to_string(),
                None => "a wider listing ends".into(),
            };
            println!(
                "{}: {} {source}, since {} until {until}",
                h.subject, h.reason, h.since
            );
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}
