//! `orbsd audit`.

use clap::Args;

use super::{
    CliError, Common,
    client::{Client, with_query},
    output,
    text::some,
};
use crate::api::{AuditQuery, AuditRecordResponse, Page};

/// Show the audit log of changes, the newest first
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Show only changes of this author
    #[arg(long)]
    author: Option<String>,
    /// Show only this action, such as delist or token.create
    #[arg(long)]
    action: Option<String>,
    /// Show only changes of this subject or name
    #[arg(long)]
    target: Option<String>,
    /// Show only changes at this time or later: date, RFC 3339 time, or duration before now (7d)
    #[arg(long)]
    from: Option<String>,
    /// Show only changes at this time or earlier
    #[arg(long)]
    to: Option<String>,
    /// Maximum number of records
    #[arg(long, default_value_t = 100)]
    limit: u64,
}

pub(super) fn run(common: &Common, c: Audit) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let mut query = AuditQuery {
        author: c.author,
        action: c.action,
        target: c.target,
        from: c.from,
        to: c.to,
        ..AuditQuery::default()
    };
    let mut left = c.limit;
    while left > 0 {
        query.limit = Some(left.min(1000) as usize);
        let page: Page<AuditRecordResponse> = client.get(&with_query("/v1/audit", &query))?;
        left = left.saturating_sub(page.items.len() as u64);
        page.items.iter().for_each(|r| print(common, r));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    Ok(())
}

fn print(common: &Common, r: &AuditRecordResponse) {
    if common.json {
        return output::json_line(r);
    }
    let detail = some(", ", Some(&r.detail).filter(|d| !d.is_empty()));
    let note = some(": ", r.note.as_ref());
    let commit = r.commit.map_or(String::new(), |c| format!(" (commit {c})"));
    println!(
        "{} {} {} {}{detail}{note}{commit}, from {}",
        r.at, r.author, r.action, r.target, r.from
    );
}
