//! `orbsd watch`.

use clap::Args;
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, bytes, unreadable, with_query},
    text::join,
};
use crate::{
    api::{ChangeEndResponse, ChangeGapResponse, ChangesQuery, CommitResponse},
    model::text::counted,
};

/// How many subjects of a commit are printed.
const MAX_SUBJECTS: usize = 8;

/// Print commits until the daemon stops
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Start after this commit [default: now]
    #[arg(long)]
    after: Option<u64>,
}

pub(super) fn run(common: &Common, c: &Watch) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    if !client.is_daemon() {
        return Err(CliError::Refused(
            "no daemon is running; start it with `orbsd serve`".into(),
        ));
    }
    let query = ChangesQuery {
        after: c.after,
        ..ChangesQuery::default()
    };
    let path = with_query("/v1/changes", &query);
    let accept = ("accept", "text/event-stream");
    let mut body = client.request(Method::GET, &path, accept, bytes(""))?;
    let (mut rest, mut event, mut data) = (String::new(), String::new(), String::new());
    while let Some(piece) = client.piece(&mut body)? {
        rest += &String::from_utf8_lossy(&piece);
        while let Some(n) = rest.find('\n') {
            let line: String = rest.drain(..=n).collect();
            match line.trim_end().split_once(':') {
                Some(("event", e)) => event = e.trim().into(),
                Some(("data", d)) => data = d.trim().into(),
                None if line.trim().is_empty() && !data.is_empty() => {
                    show(common, &event, &std::mem::take(&mut data))?;
                    if event == "end" {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
    Err(CliError::Refused("the daemon closed the connection".into()))
}

/// Prints an event of the stream.
fn show(common: &Common, event: &str, data: &str) -> Result<(), CliError> {
    if common.json {
        println!("{data}");
        return Ok(());
    }
    match event {
        "commit" => {
            let c: CommitResponse = serde_json::from_str(data).map_err(|e| unreadable(&e))?;
            let serials = join(c.serials.iter().map(|(z, s)| format!("{z} {s}")));
            let mut subjects: Vec<&str> = c.changes.iter().map(|c| c.subject.as_str()).collect();
            subjects.dedup();
            subjects.truncate(MAX_SUBJECTS);
            let more = match c.bulk {
                true => "a large import".into(),
                false => format!("{}: {}", counted(c.count, "subject"), subjects.join(", ")),
            };
            println!("{} commit {}: {more} [{serials}]", c.at, c.commit);
        }
        "gap" => {
            let gap: ChangeGapResponse = serde_json::from_str(data).map_err(|e| unreadable(&e))?;
            println!("the journal does not have the commits before {}", gap.next);
        }
        _ => {
            let end: ChangeEndResponse = serde_json::from_str(data).map_err(|e| unreadable(&e))?;
            println!("{}", end.detail);
        }
    }
    Ok(())
}
