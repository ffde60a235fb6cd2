//! Checks the documentation: the flow tables of docs/design.md name existing files and functions,
//! and each step leads to the next; links have a target; and the book has every page.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The flows that docs/design.md has a table for.
const FLOWS: [&str; 7] = [
    "Query",
    "Listing",
    "Import",
    "Transfer",
    "Relay test",
    "Removal",
    "Reload",
];

/// A row of a flow table.
struct Step {
    line: usize,
    file: String,
    function: String,
    /// How control or data reach the next row.
    next: String,
}

/// The table below a heading of docs/design.md.
fn steps(design: &str, flow: &str) -> Vec<Step> {
    let heading = format!("### {flow}");
    design
        .lines()
        .enumerate()
        .skip_while(|(_, l)| *l != heading)
        .skip(1)
        .take_while(|(_, l)| !l.starts_with('#'))
        .filter(|(_, l)| l.starts_with("| `src/"))
        .map(|(i, l)| {
            let cells: Vec<&str> = l.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "docs/design.md:{}: four columns", i + 1);
            Step {
                line: i + 1,
                file: cells[1].trim_matches('`').into(),
                function: cells[2]
                    .trim_matches('`')
                    .rsplit("::")
                    .next()
                    .unwrap()
                    .into(),
                next: cells[4].into(),
            }
        })
        .collect()
}

fn is_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// Whether code contains a word outside of comments and, for a function, outside of its definition.
fn names(code: &str, word: &str) -> bool {
    let definition = format!("fn {word}");
    code.lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .any(|l| is_word(&l.replace(&definition, ""), word))
}

#[test]
fn flow_tables_name_functions_that_lead_to_each_other() {
    let design = fs::read_to_string("docs/design.md").unwrap();
    let mut wrong = Vec::new();
    for flow in FLOWS {
        let steps = steps(&design, flow);
        if steps.len() < 5 {
            wrong.push(format!("docs/design.md: no table below \"### {flow}\""));
        }
        let read = |s: &Step| fs::read_to_string(&s.file).unwrap_or_default();
        for (step, next) in steps
            .iter()
            .zip(steps.iter().skip(1).map(Some).chain([None]))
        {
            let at = format!("docs/design.md:{}: {}", step.line, step.file);
            let code = read(step);
            if code.is_empty() {
                wrong.push(format!("{at} does not exist"));
            } else if !is_word(&code, &format!("fn {}", step.function)) {
                wrong.push(format!("{at} has no function `{}`", step.function));
            }
            let Some(next) = next else {
                continue;
            };
            let mut parts = step.next.split('`');
            let (how, value) = (parts.next().unwrap().trim(), parts.next());
            match (how, value) {
                ("calls", None) if names(&code, &next.function) => {}
                ("calls", None) => wrong.push(format!("{at} does not call `{}`", next.function)),
                ("returns" | "value" | "channel", Some(value)) => {
                    // A path such as `Job::Import` is searched for as written.
                    for file in [step, next] {
                        if !names(&read(file), value) {
                            wrong.push(format!(
                                "docs/design.md:{}: {} does not name `{value}`",
                                step.line, file.file
                            ));
                        }
                    }
                }
                _ => wrong.push(format!(
                    "docs/design.md:{}: write `calls`, or `returns`, `value` or `channel` with a type",
                    step.line
                )),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "correct the flow tables of docs/design.md: {wrong:#?}"
    );
}

fn documents(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => documents(&path, out),
            false if path.extension().is_some_and(|e| e == "md") => out.push(path),
            false => {}
        }
    }
}

/// The anchor of a heading, as mdBook and code hosts generate it.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Finds a file, and a heading of it by its anchor. An empty heading is the file itself.
fn find_target(file: &Path, heading: &str) -> Result<(), String> {
    // A picture has no headings.
    let content = fs::read(file).map_err(|e| e.to_string())?;
    let content = String::from_utf8_lossy(&content).into_owned();
    let mut headings = content.lines().filter(|l| l.starts_with('#'));
    let known = headings.any(|l| anchor(l.trim_start_matches('#').trim()) == heading);
    match heading.is_empty() || known {
        true => Ok(()),
        false => Err("there is no such heading".into()),
    }
}

#[test]
fn links_in_alert_rules_have_targets() {
    let rules = fs::read_to_string("contrib/prometheus/orbsd.rules.yml").unwrap();
    let lines = rules.lines().map(str::trim);
    let links: Vec<&str> = lines
        .filter_map(|l| l.strip_prefix("documentation: "))
        .collect();
    assert!(links.len() >= 20, "{links:?}");
    for link in links {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let found = find_target(Path::new(file), heading);
        assert_eq!(found, Ok(()), "{link}");
    }
}

#[test]
fn links_in_documents_have_targets() {
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "contrib/README.md",
    ]
    .map(PathBuf::from)
    .into();
    documents(Path::new("docs"), &mut pages);
    let mut wrong = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|l| !l.contains("://"))
        {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            if let Err(problem) = find_target(&target, heading) {
                wrong.push(format!("{}: {link}: {problem}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The code spans of a page.
fn code_spans(page: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    text.lines()
        .flat_map(|l| l.split('`').skip(1).step_by(2))
        .map(String::from)
        .collect()
}

/// All sources of a module as one text; the sources of all modules if there is no such module.
fn code_of(module: &str) -> String {
    fn read(path: &Path, out: &mut String) {
        match path.is_dir() {
            true => fs::read_dir(path)
                .unwrap()
                .for_each(|entry| read(&entry.unwrap().path(), out)),
            false => *out += &fs::read_to_string(path).unwrap_or_default(),
        }
    }
    let (folder, file) = (format!("src/{module}"), format!("src/{module}.rs"));
    let mut out = String::new();
    match Path::new(&folder).exists() || Path::new(&file).exists() {
        true => [folder, file]
            .iter()
            .for_each(|p| read(Path::new(p), &mut out)),
        false => read(Path::new("src"), &mut out),
    }
    out
}

#[test]
fn paths_in_documents_exist() {
    let part = |p: &str| p.chars().all(|c| c.is_alphanumeric() || c == '_') && !p.is_empty();
    let mut wrong = Vec::new();
    for span in code_spans("docs/design.md") {
        let parts: Vec<&str> = span.split("::").collect();
        if parts.len() > 1 && parts.iter().all(|p| part(p)) {
            let code = code_of(parts[0]);
            let known = |p: &&str| {
                is_word(&code, p) || Path::new(&format!("src/{}/{p}.rs", parts[0])).exists()
            };
            if !parts[1..].iter().all(known) {
                wrong.push(format!("docs/design.md: there is no {span} in src"));
            }
        }
    }
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md"].map(PathBuf::from).into();
    documents(Path::new("docs"), &mut pages);
    for page in pages.iter().map(|p| p.display().to_string()) {
        for span in code_spans(&page) {
            let is_path = ["src/", "tests/", "benches/", "zones/", "docs/"]
                .iter()
                .any(|folder| span.starts_with(folder));
            let made = span.contains('*') || span == "zones/ebl.toml";
            if is_path && !made && !Path::new(&span).exists() {
                wrong.push(format!("{page}: no {span}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn book_has_every_page() {
    let summary = fs::read_to_string("docs/SUMMARY.md").unwrap();
    let mut pages = Vec::new();
    documents(Path::new("docs"), &mut pages);
    for page in pages {
        let name = page.strip_prefix("docs").unwrap().display().to_string();
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "docs/SUMMARY.md does not have {name}"
        );
    }
}

#[test]
fn page_of_recent_logins_shows_its_files_as_they_are() {
    let page = fs::read_to_string("docs/recent-logins.md").unwrap();
    let mut files = 0;
    for entry in fs::read_dir("docs/recent-logins").unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let shown = page.contains(&format!("\n{text}```\n"));
        assert!(shown, "docs/recent-logins.md: no {}", path.display());
        files += 1;
    }
    assert_eq!(files, 9);
}

#[test]
fn measurements_of_the_first_page_are_those_of_the_benchmarks() {
    let page = fs::read_to_string("README.md").unwrap();
    let mut rows = 0;
    for row in page.lines().filter(|l| l.contains("](benches/")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, what, measured, from, command, _] = cells[..] else {
            panic!("README.md: a row of measurements has four columns: {row}");
        };
        let file = from.split(['(', ')']).nth(1).unwrap();
        let results = fs::read_to_string(file).unwrap();
        assert!(
            results.contains(measured),
            "README.md: {what}: {file} has no {measured}"
        );
        let script = command
            .split(' ')
            .find(|w| w.starts_with("benches/"))
            .unwrap();
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        let writer = fs::read_to_string(script).unwrap();
        assert!(
            writer.contains(name),
            "README.md: {what}: {script} does not write {name}"
        );
        rows += 1;
    }
    assert_eq!(rows, 5);
}

#[test]
fn safety_rules_are_numbered_without_gaps() {
    let page = fs::read_to_string("docs/safety-rules.md").unwrap();
    let numbers: BTreeSet<u32> = page
        .lines()
        .filter_map(|l| l.strip_prefix("**S")?.split('.').next()?.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=20).collect());
}
