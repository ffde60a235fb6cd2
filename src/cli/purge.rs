//! `orbsd purge`.

use clap::Args;

use super::{
    CliError, Common,
    client::{Client, with_query},
    text::{plain_line, print_commit},
};
use crate::{
    api::{PurgeQuery, PurgeRequest, PurgeResponse},
    model::text::counted,
};

/// Delist all listings of a source, reason, author, prefix, domain or time
#[derive(Debug, Args)]
pub(super) struct Purge {
    /// Delist only listings of this source; a feed lists them again at its next import
    #[arg(long)]
    source: Option<String>,
    /// Delist only listings for this reason
    #[arg(long)]
    reason: Option<String>,
    /// Delist only listings that this author made last
    #[arg(long)]
    author: Option<String>,
    /// Delist only addresses of this prefix
    #[arg(long)]
    prefix: Option<String>,
    /// Delist only this domain and its subdomains
    #[arg(long)]
    domain: Option<String>,
    /// Delist only listings made at this time or later: date, RFC 3339 time, or duration before now (7d)
    #[arg(long)]
    from: Option<String>,
    /// Delist only listings made at this time or earlier
    #[arg(long)]
    to: Option<String>,
    /// Hold the subjects for 30 days, as `orbsd delist` does
    #[arg(long)]
    hold: bool,
    /// Show the effect, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Note for the history
    #[arg(long, value_parser = plain_line)]
    note: Option<String>,
}

pub(super) fn run(common: &Common, c: Purge) -> Result<(), CliError> {
    let request = PurgeRequest {
        source: c.source,
        reason: c.reason,
        author: c.author,
        prefix: c.prefix,
        domain: c.domain,
        from: c.from,
        to: c.to,
        hold: c.hold,
        note: c.note,
    };
    let path = with_query("/v1/purges", &PurgeQuery { dry_run: c.dry_run });
    let done: PurgeResponse = Client::open(common)?.post_json(&path, &request)?;
    let verb = match c.dry_run {
        true => "would be delisted",
        false => "delisted",
    };
    common.print(&done, |done| {
        println!("{} {verb}", counted(done.count, "listing"));
        done.sample.iter().for_each(|s| println!("  {s}"));
        done.commits.iter().for_each(|r| print_commit(r.commit));
    })
}
