//! `orbsd scrub`.

use clap::Args;

use super::{CliError, Common, client::Client, text::some};
use crate::{
    api::{IntegrityResponse, ScrubRequest},
    model::text::counted,
};

/// Read the whole store now to find damage
#[derive(Debug, Args)]
pub(super) struct Scrub {
    /// Forget missing acknowledged commits, after you have made their changes again
    #[arg(long)]
    accept_missing_commits: bool,
}

pub(super) fn run(common: &Common, c: &Scrub) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let request = ScrubRequest {
        accept_missing_commits: c.accept_missing_commits,
    };
    let report: IntegrityResponse = client.post_json("/v1/scrubs", &request)?;
    common.print(&report, |report| match client.is_daemon() {
        true => println!("scrub started; `orbsd status` shows its result"),
        false => print(report),
    })
}

/// Damage and scrubs, for `orbsd status` too.
pub(super) fn print(report: &IntegrityResponse) {
    for d in &report.damage {
        println!(
            "DAMAGED: {} (found by {}{})",
            d.description,
            d.found_by.as_str(),
            some(" at ", d.at)
        );
    }
    if let Some(why) = &report.cut_at_start {
        println!(
            "the last unsynchronised record of the write-ahead log was cut at the start: {why}"
        );
    }
    if let Some(r) = &report.scrub.running {
        println!(
            "scrub: running since {}: {} of {} families, {} bytes",
            r.started, r.families_read, r.families, r.bytes
        );
    }
    if let Some(r) = &report.scrub.last {
        println!(
            "scrub: last ended {}: {}, {} with damage",
            r.ended,
            counted(r.rows, "row"),
            counted(r.damaged_families, "family")
        );
    }
}
