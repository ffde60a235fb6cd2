//! `orbsd list`, `delist` and `exempt`: a stream of changes.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use hyper::Method;
use tokio::sync::mpsc;

use super::{
    CliError, Common,
    client::{Client, pieces, with_query},
    output,
    text::{join, plain_line, some},
};
use crate::{
    api::{
        BulkQuery, BulkResponse, ListingRequest, Operation, RemainingListing, RenewalResponse,
        Timestamp,
    },
    lists::entry,
};

/// The subjects of a command.
#[derive(Debug, Args)]
struct Subjects {
    /// Addresses, prefixes, ranges or domains [default: lines of standard input]
    subjects: Vec<String>,
    /// Clear host bits of prefixes instead of refusing them
    #[arg(long)]
    clear_host_bits: bool,
    /// Note for the history
    #[arg(long, value_parser = plain_line)]
    note: Option<String>,
}

/// List subjects
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    subjects: Subjects,
    /// Reason of config.toml
    #[arg(long)]
    reason: String,
    /// Source of the listing [default: operator]
    #[arg(long)]
    source: Option<String>,
    /// End: duration, date, RFC 3339 time or `never` [default: the old end, or the reason's lifetime]
    #[arg(long)]
    until: Option<String>,
    /// Text of the TXT record; `$` is the subject [default: the text of the reason]
    #[arg(long, value_parser = plain_line)]
    text: Option<String>,
    /// Publish a single IPv6 address as it is, never as the network around it
    #[arg(long)]
    exact: bool,
    /// List subjects in special-purpose ranges
    #[arg(long)]
    allow_special_ranges: bool,
    /// List subjects that are on hold
    #[arg(long)]
    break_hold: bool,
    /// List subjects that no zone publishes for the reason
    #[arg(long)]
    allow_unpublished: bool,
    /// Public suffixes that may be listed, such as tk,xyz
    #[arg(long, value_name = "SUFFIX", value_delimiter = ',')]
    allow_suffix: Vec<String>,
}

/// Delist subjects, and hold them for some time
#[derive(Debug, Args)]
pub(super) struct Delist {
    #[command(flatten)]
    subjects: Subjects,
    /// Delist only listings for this reason
    #[arg(long)]
    reason: Option<String>,
    /// Delist only listings of this source
    #[arg(long)]
    source: Option<String>,
    /// End of the hold: duration, date or RFC 3339 time [default: 30d]
    #[arg(long)]
    until: Option<String>,
    /// Do not hold the subjects, and print the sources that still list them
    #[arg(long, conflicts_with = "until")]
    no_hold: bool,
    /// Count the removal as a listing in error
    #[arg(long)]
    listed_in_error: bool,
}

/// Exempt subjects: publish no listing of them
#[derive(Debug, Args)]
pub(super) struct Exempt {
    #[command(flatten)]
    subjects: Subjects,
    /// End: duration, date or RFC 3339 time [default: never]
    #[arg(long)]
    until: Option<String>,
    /// End the exemption
    #[arg(long)]
    remove: bool,
    /// Public suffixes that may be exempted, such as tk,xyz
    #[arg(
        long,
        value_name = "SUFFIX",
        value_delimiter = ',',
        conflicts_with = "remove"
    )]
    allow_suffix: Vec<String>,
}

pub(super) fn list_subjects(common: &Common, c: List) -> Result<(), CliError> {
    let request = ListingRequest {
        op: Operation::List,
        reason: Some(c.reason),
        source: c.source,
        until: c.until,
        text: c.text,
        exact: c.exact,
        special: c.allow_special_ranges,
        break_hold: c.break_hold,
        unpublished: c.allow_unpublished,
        allow_suffix: c.allow_suffix,
        ..ListingRequest::default()
    };
    send(common, c.subjects, request, "listed")
}

pub(super) fn delist(common: &Common, c: Delist) -> Result<(), CliError> {
    let request = ListingRequest {
        op: Operation::Delist,
        reason: c.reason,
        source: c.source,
        until: c.until,
        no_hold: c.no_hold,
        listed_in_error: c.listed_in_error,
        ..ListingRequest::default()
    };
    send(common, c.subjects, request, "delisted")
}

pub(super) fn exempt(common: &Common, c: Exempt) -> Result<(), CliError> {
    let (op, done) = match c.remove {
        true => (Operation::Unexempt, "no longer exempt"),
        false => (Operation::Exempt, "exempt"),
    };
    let request = ListingRequest {
        op,
        until: c.until,
        allow_suffix: c.allow_suffix,
        ..ListingRequest::default()
    };
    send(common, c.subjects, request, done)
}

/// The subjects of a word: the prefixes of a range that has several, otherwise the word itself,
/// which the daemon reads.
pub(super) fn prefixes(word: &str) -> Vec<String> {
    match entry::parse_address(word, &entry::Rules::default()) {
        Some(Ok(subjects)) if subjects.len() > 1 => {
            subjects.iter().map(ToString::to_string).collect()
        }
        _ => vec![word.into()],
    }
}

/// The bytes of changes that are sent at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// Sends one change for each subject, and prints the result of each.
fn send(common: &Common, s: Subjects, request: ListingRequest, done: &str) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let (tx, rx) = mpsc::channel(64);
    let (names, names_rx) = std::sync::mpsc::sync_channel::<String>(8192);
    let until = request.until.clone();
    let request = ListingRequest {
        clear_host_bits: s.clear_host_bits,
        note: s.note,
        ..request
    };
    std::thread::spawn(move || {
        let stdin = std::io::stdin();
        let lines: Box<dyn Iterator<Item = String>> = if s.subjects.is_empty() {
            if stdin.is_terminal() {
                eprintln!("reading subjects from standard input, one per line");
            }
            // The daemon refuses a line that is not UTF-8, like any other that is not a subject.
            let lines = stdin.lock().split(b'\n').map_while(Result::ok);
            Box::new(lines.map(|l| String::from_utf8_lossy(&l).into_owned()))
        } else {
            Box::new(s.subjects.into_iter())
        };
        let mut buffer = Vec::new();
        for line in lines {
            let word = line.split(['#', ';']).next().unwrap_or("").trim();
            if word.is_empty() {
                continue;
            }
            for subject in prefixes(word) {
                let change = ListingRequest {
                    subject: subject.clone(),
                    ..request.clone()
                };
                buffer.extend(serde_json::to_vec(&change).unwrap_or_default());
                buffer.push(b'\n');
                if names.send(subject).is_err() {
                    return;
                }
            }
            if buffer.len() > PIECE_BYTES {
                let piece = std::mem::take(&mut buffer);
                if tx.blocking_send(Ok(piece.into())).is_err() {
                    return;
                }
            }
        }
        let _ = tx.blocking_send(Ok(buffer.into()));
    });
    let path = with_query("/v1/bulk", &BulkQuery { published: true });
    let kind = ("content-type", "application/octet-stream");
    let mut body = client.request(Method::POST, &path, kind, pieces(rx))?;
    let (mut rest, mut count, mut failed, mut usage) = (Vec::new(), 0u64, 0u64, false);
    while let Some(piece) = client.piece(&mut body)? {
        rest.extend(piece);
        while let Some(n) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=n).collect();
            let result: BulkResponse =
                serde_json::from_slice(&line).map_err(|e| CliError::Refused(e.to_string()))?;
            let subject = names_rx.recv().unwrap_or_default();
            count += 1;
            report(common, &subject, &result, done);
            if ![201, 202].contains(&result.status) {
                failed += 1;
                usage |= result.status == 422;
            }
        }
    }
    client.warn_of_clock(until.as_deref().filter(|_| count > failed));
    match (count, failed) {
        (0, _) => Err(CliError::Usage(
            "no subject was given; name one, or write one per line to standard input".into(),
        )),
        (_, 0) => Ok(()),
        (n, f) if usage => Err(CliError::Usage(format!(
            "{f} of {n} are invalid or were refused"
        ))),
        (n, f) => Err(CliError::Refused(format!("{f} of {n} were refused"))),
    }
}

/// The result of a change with its subject, for `--json`.
#[derive(serde::Serialize)]
struct SubjectResult<'a> {
    subject: &'a str,
    #[serde(flatten)]
    result: &'a BulkResponse,
}

fn report(common: &Common, subject: &str, result: &BulkResponse, done: &str) {
    if common.json {
        output::json_line(&SubjectResult { subject, result });
        return;
    }
    if let Some(problem) = &result.problem {
        eprintln!("{subject}: {}", problem.detail);
        return;
    }
    if let Some(id) = &result.proposal {
        println!(
            "{subject}: proposed ({id}), not listed yet; another user approves it: orbsd proposal approve {id}"
        );
        return;
    }
    let zones = match &result.published {
        Some(zones) if zones.is_empty() => "; not published".to_string(),
        Some(zones) => format!("; {}", join(zones)),
        None => String::new(),
    };
    let end = result.renewed.as_ref().map_or(String::new(), renewal);
    let done = if end.is_empty() { done } else { "renewed" };
    let commit = result.commit.unwrap_or_default();
    println!("{subject}: {done} (commit {commit}{zones}){end}");
    if let Some(remaining) = &result.remaining {
        let others: Vec<String> = remaining.iter().map(|r| other(subject, r)).collect();
        let others = match others.is_empty() {
            true => "no source".into(),
            false => join(&others),
        };
        println!("  still listed by: {others}");
    }
}

/// A listing that remains, in words.
fn other(subject: &str, r: &RemainingListing) -> String {
    let kind = if r.feed { "feed " } else { "" };
    let place = Some(&r.subject).filter(|s| *s != subject);
    let place = some(" as part of ", place);
    format!("{kind}{} for {}{place}", r.source, r.reason)
}

/// When a renewed listing ends, and when it would have ended.
fn renewal(renewed: &RenewalResponse) -> String {
    let end = |t: Option<Timestamp>| t.map_or("never".into(), |t| t.to_string());
    match (end(renewed.previous_until), end(renewed.until)) {
        (was, until) if was == until => format!("; ends {until}, as before"),
        (was, until) => format!("; ends {until} (was {was})"),
    }
}
