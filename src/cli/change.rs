//! `orbsd list`, `delist`, `exempt`: a stream of changes.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use hyper::Method;
use tokio::sync::mpsc;

use super::{
    Common, Failure,
    client::{Client, pieces, with_query},
    output,
    text::plain_line,
};
use crate::{
    api::{BulkQuery, BulkResponse, ListingRequest, Operation, RemainingListing, RenewalResponse},
    lists::word,
};

/// Subjects of a command: arguments, or lines of standard input.
#[derive(Debug, Args)]
struct Subjects {
    /// Addresses, prefixes, ranges or domains; without any, one a line from standard input
    subjects: Vec<String>,
    /// Clear host bits in prefixes instead of refusing them
    #[arg(long)]
    host_bits: bool,
    /// What was seen, for the history
    #[arg(long, value_parser = plain_line)]
    note: Option<String>,
}

/// `orbsd list`
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    subjects: Subjects,
    /// Why: a reason of config.toml
    #[arg(long)]
    reason: String,
    /// Who says so
    #[arg(long)]
    source: Option<String>,
    /// Set when the listing ends: 30d, 2026-12-31T00:00:00Z, or never (default: a listing that is
    /// there keeps its end, a new one gets its reason's lifetime)
    #[arg(long)]
    until: Option<String>,
    /// A text of its own, `$` standing for the subject
    #[arg(long, value_parser = plain_line)]
    text: Option<String>,
    /// List it although it lies in a special-purpose range
    #[arg(long)]
    special: bool,
    /// List it although a removal was granted and holds it down
    #[arg(long)]
    break_hold: bool,
    /// List it although no zone publishes such a subject for the reason
    #[arg(long)]
    unpublished: bool,
    /// Public suffixes that may be listed, such as tk,xyz
    #[arg(long, value_name = "SUFFIX", value_delimiter = ',')]
    allow_suffix: Vec<String>,
}

/// `orbsd delist`
#[derive(Debug, Args)]
pub(super) struct Delist {
    #[command(flatten)]
    subjects: Subjects,
    /// Only this reason
    #[arg(long)]
    reason: Option<String>,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    /// How long nobody may list it again (30d where it is not said)
    #[arg(long)]
    until: Option<String>,
    /// Delist what was listed by mistake: any source may list it again at any time. Prints who
    /// still lists it
    #[arg(long, conflicts_with = "until")]
    no_hold: bool,
}

/// `orbsd exempt`
#[derive(Debug, Args)]
pub(super) struct Exempt {
    #[command(flatten)]
    subjects: Subjects,
    /// When that ends by itself
    #[arg(long)]
    until: Option<String>,
    /// Publish the subjects again
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

pub(super) fn list_subjects(common: &Common, c: List) -> Result<(), Failure> {
    let request = ListingRequest {
        op: Operation::List,
        reason: Some(c.reason),
        source: c.source,
        until: c.until,
        text: c.text,
        special: c.special,
        break_hold: c.break_hold,
        unpublished: c.unpublished,
        allow_suffix: c.allow_suffix,
        ..ListingRequest::default()
    };
    send(common, c.subjects, request, "listed")
}

pub(super) fn delist(common: &Common, c: Delist) -> Result<(), Failure> {
    let request = ListingRequest {
        op: Operation::Delist,
        reason: c.reason,
        source: c.source,
        until: c.until,
        no_hold: c.no_hold,
        ..ListingRequest::default()
    };
    send(common, c.subjects, request, "delisted")
}

pub(super) fn exempt(common: &Common, c: Exempt) -> Result<(), Failure> {
    let (op, done) = if c.remove {
        (Operation::Unexempt, "no longer exempt")
    } else {
        (Operation::Exempt, "exempt")
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
    match word::parse_address(word, &word::Rules::default()) {
        Some(Ok(subjects)) if subjects.len() > 1 => {
            subjects.iter().map(ToString::to_string).collect()
        }
        _ => vec![word.into()],
    }
}

/// Sends one change for each subject, and prints the result of each.
fn send(common: &Common, s: Subjects, request: ListingRequest, done: &str) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let (tx, rx) = mpsc::channel(64);
    let (names, names_rx) = std::sync::mpsc::sync_channel::<String>(8192);
    let until = request.until.clone();
    let request = ListingRequest {
        host_bits: s.host_bits,
        note: s.note,
        ..request
    };
    std::thread::spawn(move || {
        let stdin = std::io::stdin();
        let lines: Box<dyn Iterator<Item = String>> = if s.subjects.is_empty() {
            if stdin.is_terminal() {
                eprintln!("reading subjects from standard input, one a line");
            }
            // What is not UTF-8 is refused by the daemon with its line, like any other word that is
            // no subject.
            Box::new(
                stdin
                    .lock()
                    .split(b'\n')
                    .map_while(Result::ok)
                    .map(|l| String::from_utf8_lossy(&l).into_owned()),
            )
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
            if buffer.len() > 32 * 1024
                && tx
                    .blocking_send(Ok(std::mem::take(&mut buffer).into()))
                    .is_err()
            {
                return;
            }
        }
        let _ = tx.blocking_send(Ok(buffer.into()));
    });
    let path = with_query("/v1/bulk", &BulkQuery { published: true });
    let response = client.send(Method::POST, &path, pieces(rx))?;
    let mut body = client.check(response)?;
    let (mut rest, mut count, mut failed, mut usage) = (Vec::new(), 0u64, 0u64, false);
    while let Some(piece) = client.piece(&mut body)? {
        rest.extend(piece);
        while let Some(n) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=n).collect();
            let result: BulkResponse =
                serde_json::from_slice(&line).map_err(|e| Failure::No(e.to_string()))?;
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
        (0, _) => Err(Failure::Usage("there was no subject".into())),
        (_, 0) => Ok(()),
        (n, f) if usage => Err(Failure::Usage(format!(
            "{f} of {n} were not understood or not taken"
        ))),
        (n, f) => Err(Failure::No(format!("{f} of {n} were refused"))),
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
            "{subject}: proposed ({id}), not listed yet; another person approves it: orbsd proposal approve {id}"
        );
        return;
    }
    let zones = match &result.published {
        Some(zones) if zones.is_empty() => "; not published".to_string(),
        Some(zones) => {
            let zones: Vec<String> = zones.iter().map(ToString::to_string).collect();
            format!("; {}", zones.join(", "))
        }
        None => String::new(),
    };
    let end = result.renewed.as_ref().map_or(String::new(), renewal);
    let done = if end.is_empty() { done } else { "renewed" };
    let commit = result.commit.unwrap_or_default();
    println!("{subject}: {done} (commit {commit}{zones}){end}");
    if let Some(remaining) = &result.remaining {
        let others: Vec<String> = remaining.iter().map(|r| other(subject, r)).collect();
        let others = if others.is_empty() {
            "no source".into()
        } else {
            others.join(", ")
        };
        println!("  still listed by: {others}");
    }
}

/// A listing that remains, in words.
fn other(subject: &str, r: &RemainingListing) -> String {
    let kind = if r.feed { "feed " } else { "" };
    let place = if r.subject == subject {
        String::new()
    } else {
        format!(" as part of {}", r.subject)
    };
    format!("{kind}{} for {}{place}", r.source, r.reason)
}

/// When a renewed listing ends, and when it would have ended.
fn renewal(renewed: &RenewalResponse) -> String {
    let end = |t: Option<crate::api::Timestamp>| t.map_or("never".into(), |t| t.to_string());
    match (end(renewed.previous_until), end(renewed.until)) {
        (was, until) if was == until => format!("; ends {until}, as before"),
        (was, until) => format!("; ends {until} (was {was})"),
    }
}
