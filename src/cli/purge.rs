//! `orbsd purge`.

use clap::Args;
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, with_query},
    output,
    text::plain_line,
};
use crate::api::{PurgeQuery, PurgeRequest, PurgeResponse};

/// Delist all listings of a source, reason, author, range or time
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

pub(super) fn run(common: &Common, c: &Purge) -> Result<(), CliError> {
    let request = PurgeRequest {
        source: c.source.clone(),
        reason: c.reason.clone(),
        author: c.author.clone(),
        prefix: c.prefix.clone(),
        domain: c.domain.clone(),
        from: c.from.clone(),
        to: c.to.clone(),
        hold: c.hold,
        note: c.note.clone(),
    };
    let path = with_query("/v1/purges", &PurgeQuery { dry_run: c.dry_run });
    let done: PurgeResponse = Client::open(common)?.call_json(Method::POST, &path, &request)?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    println!(
        "{} listings {}",
        done.count,
        if c.dry_run {
            "would be delisted"
        } else {
            "delisted"
        }
    );
    done.sample.iter().for_each(|s| println!("  {s}"));
    for r in &done.commits {
        println!("commit {}; to undo it: orbsd undo {}", r.commit, r.commit);
    }
    Ok(())
}
