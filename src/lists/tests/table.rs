//! Runs the test cases of `tests/lists/table.txt`: list files, options and outcomes.

use std::{collections::BTreeSet, fs, path::Path};

use super::super::*;
use crate::model::{ReasonId, subject::HostBits};

/// The result of reading one list.
struct Outcome {
    subjects: BTreeSet<String>,
    report: ListReport,
    /// Why it is refused.
    refusal: Option<String>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists")
}

/// How many errors an option allows in a list with this number of entries.
fn allowance(option: &str, lines: u64) -> u64 {
    match option.strip_prefix("skip_errors=") {
        None => 3.max(lines * 5 / 100),
        Some(n) => n.strip_suffix('%').map_or_else(
            || n.parse().unwrap(),
            |p| lines * p.parse::<u64>().unwrap() / 100,
        ),
    }
}

fn outcome(files: &str, options: &str) -> Outcome {
    let words: Vec<&str> = options.split_whitespace().filter(|w| *w != "-").collect();
    let value = |key: &str| {
        words
            .iter()
            .find_map(|w| w.strip_prefix(key))
            .map(String::from)
    };
    let has = |word: &str| words.contains(&word);
    let codes = vec![
        ([127, 0, 0, 2].into(), ReasonId(0)),
        ([127, 0, 0, 3].into(), ReasonId(1)),
    ];
    let options = Options {
        reasoning: if has("codes") {
            ReasonMapping::Codes(codes)
        } else {
            ReasonMapping::One(ReasonId(0))
        },
        host_bits: if has("host_bits") {
            HostBits::Clear
        } else {
            HostBits::Refuse
        },
        special: has("special"),
        column: value("column="),
        dataset: value("dataset="),
        subzone: value("subzone="),
        digest: value("digest=").map(|d| crate::model::Digest::parse(&d).unwrap()),
        allow_suffixes: value("allow_suffix=")
            .map_or(Vec::new(), |s| s.split(',').map(String::from).collect()),
        ..Options::default()
    };
    let mut out = Outcome {
        subjects: BTreeSet::new(),
        report: ListReport::default(),
        refusal: None,
    };
    for file in files.split('+') {
        let bytes = fs::read(folder().join("files").join(file)).unwrap();
        let mut head = plain(Box::new(&bytes[..])).map_err(|e| e.to_string());
        let format = match (value("format="), &mut head) {
            (Some(name), _) => Ok(name),
            (None, Ok(lines)) => lines
                .fill_buf()
                .map_err(|e| e.to_string())
                .and_then(guess)
                .map(String::from),
            (None, Err(e)) => Err(e.clone()),
        };
        let subjects = &mut out.subjects;
        let result = format
            .map_err(|e| format!("{file}: {e}"))
            .and_then(|format| {
                read(
                    &format,
                    Box::new(&bytes[..]),
                    file,
                    &options,
                    &mut out.report,
                    &mut |e| {
                        if !e.implied {
                            subjects.insert(format!(
                                "{}{}",
                                if e.exclusion { "!" } else { "" },
                                e.subject
                            ));
                        }
                        Ok(())
                    },
                )
            });
        if let Err(why) = result {
            out.refusal.get_or_insert(why);
        }
    }
    let r = &out.report;
    let problems = || {
        r.problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let skip = words.iter().find(|w| w.starts_with("skip_errors"));
    let shape = &r.shape;
    let listed = shape.ipv4 + shape.ipv6 + shape.names + shape.digests;
    let refusal = match r.errors {
        _ if out.refusal.is_some() => None,
        n if n > skip.map_or(0, |o| allowance(o, r.accepted + n)) => Some(problems()),
        n if listed == 0 && (n > 0 || !has("allow_empty")) => {
            let what = if shape.exclusions > 0 {
                "only exclusions were taken"
            } else {
                "nothing was taken"
            };
            Some(format!(
                "{files}: {what}\n{}\n{}",
                problems(),
                [r.notes(), r.warnings.clone()].concat().join("\n")
            ))
        }
        _ => None,
    };
    out.refusal = out.refusal.or(refusal);
    out
}

/// Joins `a` and `*.a` to `.a`.
fn joined(subjects: &BTreeSet<String>) -> BTreeSet<String> {
    let mut out = subjects.clone();
    for s in subjects {
        let (mark, name) = s.strip_prefix('!').map_or(("", s.as_str()), |n| ("!", n));
        let below = format!("{mark}*.{name}");
        if subjects.contains(&below) {
            out.remove(s);
            out.remove(&below);
            out.insert(format!("{mark}.{name}"));
        }
    }
    out
}

fn listed(details: &str) -> BTreeSet<String> {
    joined(
        &details
            .split_whitespace()
            .filter(|w| *w != "-")
            .map(String::from)
            .collect(),
    )
}

/// The difference from the expected outcome; `None` if there is none.
fn fault(kind: &str, details: &str, is: &Outcome) -> Option<String> {
    let got = joined(&is.subjects);
    let takes = |want: &BTreeSet<String>| match &is.refusal {
        Some(why) => Some(format!("refused: {why}")),
        None if got == *want => None,
        None => Some(format!(
            "lists {:?} too much and lacks {:?}; errors: {:?}",
            got.difference(want).collect::<Vec<_>>(),
            want.difference(&got).collect::<Vec<_>>(),
            is.report
                .problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        )),
    };
    let refused = |parts: &str| {
        let Some(why) = &is.refusal else {
            return Some(format!("taken: {got:?}"));
        };
        let lower = why.to_lowercase();
        let missing: Vec<&str> = parts
            .split(" && ")
            .filter(|p| !lower.contains(&p.trim().to_lowercase()))
            .collect();
        (!missing.is_empty()).then(|| format!("the refusal lacks {missing:?}: {why}"))
    };
    match kind {
        "takes" => takes(&listed(details)),
        "takes-at-least" => match &is.refusal {
            Some(why) => Some(format!("refused: {why}")),
            None => listed(details)
                .difference(&got)
                .next()
                .map(|s| format!("lacks {s}")),
        },
        "refused" => refused(details),
        "left-out" => takes(&listed(details.split(" ; ").next().unwrap_or(""))),
        "either" => {
            let (want, parts) = details.split_once("||").unwrap_or((details, ""));
            takes(&listed(want)).and(refused(parts))
        }
        other => Some(format!("`{other}` is not a kind of outcome")),
    }
}

#[test]
fn every_listed_file_has_the_expected_outcome() {
    let table = fs::read_to_string(folder().join("table.txt")).unwrap();
    let mut wrong = Vec::new();
    for (i, line) in table
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'))
    {
        let [files, options, kind, details] = line.split(" | ").collect::<Vec<_>>()[..] else {
            wrong.push(format!("table.txt:{}: a row has four fields", i + 1));
            continue;
        };
        // A list that replaces another one is tested on a daemon.
        if files.starts_with("over:") {
            continue;
        }
        let is = outcome(files, options);
        wrong.extend(
            fault(kind, details, &is)
                .map(|f| format!("table.txt:{}: {files} {options}: {kind}: {f}", i + 1)),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
