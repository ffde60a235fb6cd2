//! Tests `tests/lists/table.txt` on a daemon: lists that replace another list, by command and as a
//! feed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE};

/// The time within which feeds have to read their files.
const FEED_TIMEOUT: Duration = Duration::from_secs(60);

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/lists/files")
        .join(name)
}

/// A row of the table in which a list replaces another one.
struct Row {
    line: usize,
    good: String,
    files: Vec<String>,
    options: Vec<String>,
    kind: String,
    details: String,
}

fn rows() -> Vec<Row> {
    let table =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists/table.txt"))
            .unwrap();
    let row = |(i, line): (usize, &str)| {
        let fields: Vec<&str> = line.strip_prefix("over:")?.split(" | ").collect();
        let (good, files) = fields[0].split_once('+')?;
        Some(Row {
            line: i + 1,
            good: good.into(),
            files: files.split('+').map(String::from).collect(),
            options: fields[1]
                .split_whitespace()
                .filter(|o| *o != "-")
                .map(String::from)
                .collect(),
            kind: fields[2].into(),
            details: fields[3].into(),
        })
    };
    table.lines().enumerate().filter_map(row).collect()
}

/// A folder with a reason `any`, for which zones publish addresses and names.
fn folder(feeds: &str) -> Folder {
    let config = format!("{CONFIG}[[reason]]\nname = \"any\"\ntext = \"Any $\"\n{feeds}");
    let any = |zone: &str, code: &str| {
        zone.replace(
            "publish = [",
            &format!("publish = [{{ reason = \"any\", code = \"{code}\" }}, "),
        )
    };
    Folder::with(
        &config,
        &[
            ("bl", &any(ZONE, "127.0.0.9")),
            ("dbl", &any(DOMAINS, "127.0.1.9")),
        ],
    )
}

/// The options of a row as those of `orbsd import`.
fn arguments(options: &[String]) -> Vec<String> {
    options
        .iter()
        .map(|o| format!("--{}", o.replacen('_', "-", 1)))
        .collect()
}

fn import(f: &Folder, source: &str, options: &[String], files: &[String]) -> (i32, String) {
    let mut args: Vec<String> = ["import", "--source", source, "--reason", "any"]
        .map(String::from)
        .into();
    args.extend(arguments(options));
    args.extend(files.iter().map(|n| file(n).display().to_string()));
    let out = f.orbsd(&args.iter().map(String::as_str).collect::<Vec<_>>());
    (
        out.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout),
    )
}

/// Whether an import of these files would change nothing.
fn is_unchanged(f: &Folder, source: &str, options: &[String], files: &[String]) -> bool {
    let options: Vec<String> = options
        .iter()
        .filter(|o| !o.starts_with("skip_errors"))
        .cloned()
        .collect();
    let (code, output) = import(
        f,
        source,
        &[options, vec!["dry_run".into()]].concat(),
        files,
    );
    code == 0 && output.contains("listings: 0 to add, 0 to change, 0 to remove")
}

/// The options that describe how a file is read, without those that permit errors or losses.
fn reading(row: &Row) -> Vec<String> {
    row.options
        .iter()
        .filter(|o| o.starts_with("column") || o.starts_with("format"))
        .cloned()
        .collect()
}

#[test]
fn invalid_file_does_not_replace_a_list() {
    let f = folder("");
    let _daemon = Daemon::start(&f);
    let mut wrong = Vec::new();
    for (i, row) in rows().iter().enumerate() {
        let source = format!("s{i}");
        let (code, output) = import(&f, &source, &reading(row), std::slice::from_ref(&row.good));
        assert_eq!(code, 0, "table.txt:{}: the good list: {output}", row.line);
        let (code, output) = import(&f, &source, &row.options, &row.files);
        let fault = match (row.kind.as_str(), code) {
            ("refused", 3) => {
                let lower = output.to_lowercase();
                let missing: Vec<&str> = row
                    .details
                    .split(" && ")
                    .filter(|p| !lower.contains(&p.to_lowercase()))
                    .collect();
                (!missing.is_empty()).then(|| format!("the refusal lacks {missing:?}: {output}"))
            }
            ("takes", 0) | ("either", 0 | 3) => None,
            (kind, code) => Some(format!("{kind}: exit code {code}: {output}")),
        };
        let fault = fault.or_else(|| {
            let kept = code == 3
                && !is_unchanged(&f, &source, &reading(row), std::slice::from_ref(&row.good));
            kept.then(|| "the good list has changed".into())
        });
        wrong.extend(fault.map(|why| {
            format!(
                "table.txt:{}: {:?} over {} {:?}: {why}",
                row.line, row.files, row.good, row.options
            )
        }));
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn invalid_file_does_not_replace_the_list_of_a_feed() {
    // Each single file once: a feed has one file, and a file that is always refused needs no other
    // options.
    let mut bad: BTreeMap<String, Row> = BTreeMap::new();
    for row in rows()
        .into_iter()
        .filter(|r| r.kind == "refused" && r.files.len() == 1 && reading(r).is_empty())
    {
        bad.entry(row.files[0].clone()).or_insert(row);
    }
    let bad: Vec<Row> = bad.into_values().take(60).collect();
    let feeds: String = (0..bad.len())
        .map(|i| format!("[[feed]]\nname = \"s{i}\"\npath = \"s{i}.txt\"\nreason = \"any\"\ninterval = \"1s\"\nskip_errors = \"100%\"\n"))
        .collect();
    let f = folder(&feeds);
    for (i, row) in bad.iter().enumerate() {
        fs::copy(file(&row.good), f.path().join(format!("s{i}.txt"))).unwrap();
    }
    let _daemon = Daemon::start(&f);
    let all_feeds = |what: &str, done: &dyn Fn(&serde_json::Value) -> bool| {
        let end = Instant::now() + FEED_TIMEOUT;
        loop {
            let feeds = f.json(&["feed", "list", "--json"]);
            let feeds = feeds["items"].as_array().cloned().unwrap_or_default();
            let open: Vec<String> = feeds
                .iter()
                .filter(|x| !done(x))
                .map(|x| format!("{x}"))
                .collect();
            if feeds.len() == bad.len() && open.is_empty() {
                return;
            }
            assert!(
                Instant::now() < end,
                "{what}: {} of {} feeds: {}",
                open.len(),
                bad.len(),
                open.join("\n")
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    all_feeds("refreshed", &|x| {
        !x["refreshed"].is_null() && x["problem"].is_null()
    });
    for (i, row) in bad.iter().enumerate() {
        // Replace the file atomically.
        let new = f.path().join(format!("s{i}.new"));
        fs::copy(file(&row.files[0]), &new).unwrap();
        fs::rename(&new, f.path().join(format!("s{i}.txt"))).unwrap();
    }
    all_feeds("refused or held", &|x| {
        !x["problem"].is_null() || !x["held"].is_null()
    });
    for (i, row) in bad.iter().enumerate() {
        let good = std::slice::from_ref(&row.good);
        assert!(
            is_unchanged(&f, &format!("s{i}"), &[], good),
            "table.txt:{}: {:?} over {}",
            row.line,
            row.files,
            row.good
        );
    }
}
