//! `orbsd list`, `delist`, `exempt`: a stream of changes.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{
    Common, Failure,
    client::{Client, pieces},
    text::{list, plain_line, text},
};
use crate::lists::word;

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
    let more = json!({
        "op": "list", "reason": c.reason, "source": c.source, "until": c.until, "text": c.text, "special": c.special,
        "break_hold": c.break_hold, "unpublished": c.unpublished, "allow_suffix": c.allow_suffix,
    });
    send(common, c.subjects, more, "listed")
}

pub(super) fn delist(common: &Common, c: Delist) -> Result<(), Failure> {
    send(
        common,
        c.subjects,
        json!({"op": "delist", "reason": c.reason, "source": c.source, "until": c.until, "no_hold": c.no_hold}),
        "delisted",
    )
}

pub(super) fn exempt(common: &Common, c: Exempt) -> Result<(), Failure> {
    let op = if c.remove { "unexempt" } else { "exempt" };
    let more = json!({"op": op, "until": c.until, "allow_suffix": c.allow_suffix});
    send(
        common,
        c.subjects,
        more,
        if c.remove {
            "no longer exempt"
        } else {
            "exempt"
        },
    )
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

/// Sends one change for each subject and tells what became of each.
fn send(common: &Common, s: Subjects, more: Value, done: &str) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let (tx, rx) = mpsc::channel(64);
    let (names, names_rx) = std::sync::mpsc::sync_channel::<String>(8192);
    let until = more["until"].as_str().map(String::from);
    let mut fixed: Map<String, Value> = match more {
        Value::Object(m) => m.into_iter().filter(|(_, v)| !v.is_null()).collect(),
        _ => Map::new(),
    };
    fixed.insert("host_bits".into(), s.host_bits.into());
    s.note
        .into_iter()
        .for_each(|n| drop(fixed.insert("note".into(), n.into())));
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
                let mut order = fixed.clone();
                order.insert("subject".into(), subject.clone().into());
                buffer.extend(Value::Object(order).to_string().into_bytes());
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
    let response = client.send(Method::POST, "/v1/bulk?published=true", pieces(rx))?;
    let mut body = client.accepted(response)?.into_body();
    let (mut rest, mut count, mut failed, mut usage) = (Vec::new(), 0u64, 0u64, false);
    while let Some(piece) = client.piece(&mut body)? {
        rest.extend(piece);
        while let Some(n) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=n).collect();
            let answer: Value =
                serde_json::from_slice(&line).map_err(|e| Failure::No(e.to_string()))?;
            let subject = names_rx.recv().unwrap_or_default();
            count += 1;
            report(common, &subject, &answer, done);
            if ![201, 202].iter().any(|s| answer["status"] == *s) {
                failed += 1;
                usage |= answer["status"] == 422;
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

fn report(common: &Common, subject: &str, answer: &Value, done: &str) {
    if common.json {
        let mut out = answer.clone();
        out["subject"] = subject.into();
        println!("{out}");
    } else if answer["status"] == 201 {
        let zones: Vec<&str> = list(&answer["published"]).map(text).collect();
        let zones = match answer["published"].is_array() {
            true if zones.is_empty() => "; not published".to_string(),
            true => format!("; {}", zones.join(", ")),
            false => String::new(),
        };
        let end = renewal(&answer["renewed"]);
        let done = if end.is_empty() { done } else { "renewed" };
        println!(
            "{subject}: {done} (commit {}{zones}){end}",
            answer["commit"]
        );
        if answer["still_listed_by"].is_array() {
            let others: Vec<&str> = list(&answer["still_listed_by"]).map(text).collect();
            let others = if others.is_empty() {
                "nobody".into()
            } else {
                others.join(", ")
            };
            println!("  still listed by: {others}");
        }
    } else if answer["status"] == 202 {
        let id = text(&answer["proposal"]);
        println!(
            "{subject}: proposed ({id}), not listed yet; another person approves it: orbsd proposal approve {id}"
        );
    } else {
        eprintln!(
            "{subject}: {}",
            answer["detail"].as_str().unwrap_or("refused")
        );
    }
}

/// When a listing ends that was there already, and when it would have ended; nothing for a new one.
fn renewal(renewed: &Value) -> String {
    if !renewed.is_object() {
        return String::new();
    }
    let end = |key: &str| renewed[key].as_str().unwrap_or("never").to_string();
    match (end("was"), end("until")) {
        (was, until) if was == until => format!("; ends {until}, as before"),
        (was, until) => format!("; ends {until} (was {was})"),
    }
}
