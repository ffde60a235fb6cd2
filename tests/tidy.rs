//! Architecture lints: which module may import which, how long files and functions may be, and
//! which code is not allowed.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod documents;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each module, and the modules that it may import. All other imports are refused.
const MAY_IMPORT: [(&str, &[&str]); 40] = [
    ("model", &[]),
    ("metrics", &[]),
    ("index", &["model"]),
    ("dns", &["model", "index"]),
    ("lists", &["model", "index", "dns"]),
    ("smtp", &["model"]),
    ("random", &[]),
    ("clock", &["model"]),
    ("store", &["model", "random", "index"]),
    ("ledger", &["model", "clock", "index", "store", "metrics"]),
    ("imports", &["model", "index", "lists", "store", "ledger"]),
    (
        "api",
        &[
            "model",
            "clock",
            "lists",
            "metrics",
            "net",
            "store",
            "ledger",
            "relay",
            "tickets",
            "recipes",
            "advice",
            "generic_names",
            "reverse_names",
            "quality",
            "netblocks",
            "dynamic_ranges",
            "comparison",
        ],
    ),
    ("query_sample", &["model", "random"]),
    ("advice", &[]),
    ("comparison", &["model"]),
    ("bounce", &["model", "lists"]),
    ("trace", &["model"]),
    ("generic_names", &["model"]),
    ("recipes", &["model"]),
    ("texts", &[]),
    ("statistics", &["model", "store"]),
    ("quality", &["model", "store", "ledger", "relay", "tickets"]),
    (
        "privacy",
        &[
            "model",
            "random",
            "clock",
            "store",
            "ledger",
            "relay",
            "tickets",
            "reverse_names",
            "netblocks",
            "query_sample",
        ],
    ),
    (
        "reverse_names",
        &[
            "model",
            "net",
            "resolver",
            "clock",
            "generic_names",
            "store",
            "ledger",
            "random",
            "query_sample",
        ],
    ),
    (
        "tickets",
        &[
            "model",
            "random",
            "clock",
            "store",
            "ledger",
            "net",
            "resolver",
            "relay",
            "mail",
            "smtp",
            "texts",
            "bounce",
            "generic_names",
        ],
    ),
    (
        "site",
        &[
            "api",
            "model",
            "clock",
            "metrics",
            "net",
            "relay",
            "tickets",
            "advice",
            "bounce",
            "http",
            "ledger",
            "texts",
            "recipes",
            "privacy",
            "statistics",
            "quality",
            "netblocks",
            "dynamic_ranges",
        ],
    ),
    (
        "feeds",
        &[
            "api", "model", "random", "clock", "index", "dns", "lists", "store", "ledger",
            "imports",
        ],
    ),
    ("net", &["model"]),
    (
        "server",
        &[
            "api",
            "model",
            "random",
            "clock",
            "index",
            "dns",
            "ledger",
            "store",
            "metrics",
            "net",
            "query_sample",
        ],
    ),
    (
        "relay",
        &[
            "model", "random", "clock", "smtp", "store", "ledger", "net", "resolver", "advice",
        ],
    ),
    (
        "http",
        &[
            "privacy",
            "api",
            "model",
            "random",
            "clock",
            "index",
            "dns",
            "lists",
            "smtp",
            "store",
            "ledger",
            "imports",
            "metrics",
            "net",
            "relay",
            "tickets",
            "advice",
            "trace",
            "bounce",
            "texts",
            "recipes",
            "statistics",
            "reverse_names",
            "quality",
            "generic_names",
            "comparison",
            "netblocks",
            "dynamic_ranges",
            "query_sample",
        ],
    ),
    ("exports", &["api", "model", "index", "lists"]),
    ("netblocks", &["model", "store", "ledger", "query_sample"]),
    (
        "dynamic_ranges",
        &["model", "random", "store", "ledger", "tickets"],
    ),
    ("webhooks", &["model", "clock", "ledger"]),
    ("mail", &[]),
    ("resolver", &[]),
    (
        "config",
        &[
            "model",
            "random",
            "clock",
            "index",
            "dns",
            "lists",
            "smtp",
            "store",
            "ledger",
            "imports",
            "feeds",
            "server",
            "http",
            "exports",
            "webhooks",
            "mail",
            "resolver",
            "net",
            "relay",
            "tickets",
            "site",
            "texts",
            "reverse_names",
            "generic_names",
            "comparison",
            "netblocks",
            "query_sample",
        ],
    ),
    (
        "daemon",
        &[
            "privacy",
            "api",
            "model",
            "random",
            "clock",
            "index",
            "dns",
            "lists",
            "smtp",
            "store",
            "ledger",
            "feeds",
            "server",
            "http",
            "metrics",
            "exports",
            "webhooks",
            "mail",
            "resolver",
            "relay",
            "config",
            "net",
            "tickets",
            "site",
            "texts",
            "statistics",
            "reverse_names",
            "quality",
            "comparison",
            "netblocks",
            "dynamic_ranges",
            "query_sample",
        ],
    ),
    (
        "cli",
        &[
            "advice",
            "privacy",
            "api",
            "model",
            "random",
            "clock",
            "index",
            "dns",
            "lists",
            "smtp",
            "store",
            "ledger",
            "feeds",
            "server",
            "http",
            "metrics",
            "exports",
            "webhooks",
            "mail",
            "resolver",
            "relay",
            "config",
            "daemon",
            "net",
            "imports",
            "tickets",
            "site",
            "texts",
            "statistics",
            "reverse_names",
            "quality",
            "comparison",
            "netblocks",
            "dynamic_ranges",
        ],
    ),
];
const MAX_FILE_LINES: usize = 850;
const MAX_FUNCTION_LINES: usize = 140;
/// The most lines of a `mod.rs`, which only declares and re-exports. That of `src/api` names all
/// types of the API.
const MAX_MOD_FILE_LINES: usize = 180;

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        match path.is_dir() {
            true => sources(&path, out),
            false if path.extension().is_some_and(|e| e == "rs") => out.push(path),
            false => {}
        }
    }
}

/// All sources: the module, the path, the text without tests.
fn all() -> Vec<(String, String, String)> {
    let mut paths = Vec::new();
    sources(Path::new("src"), &mut paths);
    let one = |p: &PathBuf| {
        let text = fs::read_to_string(p).unwrap();
        let module = p
            .components()
            .nth(1)
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_string();
        let tests = p.file_name().unwrap() == "tests.rs"
            || p.components().any(|c| c.as_os_str() == "tests");
        let own = if tests {
            ""
        } else {
            text.split("\n#[cfg(test)]\n").next().unwrap_or("")
        };
        let own = if text.contains("\n#[cfg(test)]\nmod tests;") {
            text.replace("#[cfg(test)]\nmod tests;\n", "")
        } else {
            own.to_string()
        };
        (module, p.display().to_string(), own)
    };
    paths.iter().map(one).collect()
}

/// The modules that a text names: `crate::x` and the first segments of `use crate::{…}`.
fn imports(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let code: String = text
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .map(|l| format!("{l}\n"))
        .collect();
    for (i, _) in code.match_indices("crate::") {
        let rest = &code[i + 7..];
        if let Some(tree) = rest.strip_prefix('{') {
            let (mut depth, mut word) = (0, String::new());
            for c in tree.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => out.push(std::mem::take(&mut word)),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            out.push(word);
        } else {
            out.push(rest.into());
        }
    }
    let name = |w: String| {
        w.trim()
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or("")
            .to_string()
    };
    out.into_iter()
        .map(name)
        .filter(|w| w.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table: BTreeMap<_, _> = MAY_IMPORT.into();
    let mut wrong = Vec::new();
    for (module, path, text) in all()
        .iter()
        .filter(|f| !["lib", "main"].contains(&f.0.as_str()))
    {
        let may = table.get(module.as_str()).unwrap_or_else(|| {
            panic!("{path}: the module `{module}` is not in the table; add it to MAY_IMPORT")
        });
        for name in imports(text)
            .iter()
            .filter(|n| *n != module && !may.contains(&n.as_str()))
        {
            wrong.push(format!("{path} imports {name}"));
        }
        for (krate, home) in [
            ("rocksdb", "store"),
            ("axum", "http"),
            ("clap", "cli"),
            ("toml::", "config"),
        ] {
            // The catalogue of relay tests, the knowledge base and the data of other lists are TOML
            // too.
            // Pages are served by axum too.
            if module != home
                && (krate, module.as_str()) != ("axum", "site")
                && (krate, path.as_str()) != ("toml::", "src/relay/catalogue.rs")
                && (krate, path.as_str()) != ("toml::", "src/relay/form_notes.rs")
                && (krate, path.as_str()) != ("toml::", "src/advice/library.rs")
                && (krate, path.as_str()) != ("toml::", "src/advice/links.rs")
                && (krate, path.as_str()) != ("toml::", "src/privacy/kinds.rs")
                && (krate, path.as_str()) != ("toml::", "src/bounce/other_lists.rs")
                && (krate, path.as_str()) != ("toml::", "src/generic_names/catalogue.rs")
                && text.lines().any(|l| {
                    !l.trim_start().starts_with("//")
                        && l.contains(&format!("{krate}::").replace("::::", "::"))
                })
            {
                wrong.push(format!("{path} uses {krate}, which belongs to {home}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_and_functions_stay_short() {
    let mut wrong = Vec::new();
    for (_, path, text) in all() {
        let lines: Vec<&str> = text.lines().collect();
        let limit = if path.ends_with("mod.rs") {
            MAX_MOD_FILE_LINES
        } else {
            MAX_FILE_LINES
        };
        if lines.len() > limit {
            wrong.push(format!("{path}: {} lines, at most {limit}", lines.len()));
        }
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line
                .trim_start()
                .trim_start_matches("pub(super) ")
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub ");
            if !words
                .trim_start_matches("async ")
                .trim_start_matches("const ")
                .starts_with("fn ")
            {
                continue;
            }
            let end = lines[i..]
                .iter()
                .position(|l| *l == format!("{}}}", " ".repeat(indent)))
                .unwrap_or(0);
            if end > MAX_FUNCTION_LINES {
                wrong.push(format!(
                    "{path}:{}: a function of {end} lines, at most {MAX_FUNCTION_LINES}",
                    i + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn code_has_no_unfinished_parts_no_panics_and_unsafe_only_where_allowed() {
    let mut wrong = Vec::new();
    for (_, path, text) in all() {
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let at = format!("{path}:{}: {}", i + 1, line.trim());
            if ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!("]
                .iter()
                .any(|w| line.contains(w))
            {
                wrong.push(at.clone());
            }
            if code.contains("unsafe")
                && !["src/server/udp.rs", "src/server/sys.rs"].contains(&path.as_str())
            {
                wrong.push(at.clone());
            }
            if [".unwrap()", ".expect("].iter().any(|w| code.contains(w)) {
                wrong.push(at);
            }
        }
        let blocks = text.matches("unsafe {").count();
        let reasons = text.matches("// SAFETY:").count();
        if blocks > reasons {
            wrong.push(format!("{path}: {blocks} unsafe blocks, {reasons} reasons"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Files that may read the wall clock, because another machine compares it with its own (TSIG,
/// signatures of webhooks, the date of a message that `orbsd relay probe` sends without a store), or
/// because it is compared with times of files.
const WALL_CLOCK_FILES: [&str; 9] = [
    "src/server/udp.rs",
    "src/server/tcp.rs",
    "src/server/context.rs",
    "src/server/transfer.rs",
    "src/server/notify.rs",
    "src/feeds/wire.rs",
    "src/feeds/file.rs",
    "src/webhooks.rs",
    "src/cli/probe.rs",
];

#[test]
fn only_the_clock_reads_the_wall_clock() {
    // Names in the standard library, libc and crates that read the time of day.
    const READERS: [&str; 12] = [
        "SystemTime",
        "UNIX_EPOCH",
        "Timestamp::now",
        "Zoned::now",
        "Utc::now",
        "Local::now",
        "OffsetDateTime::now",
        "CLOCK_REALTIME",
        "gettimeofday",
        "clock_gettime",
        ".modified()",
        "libc::time(",
    ];
    let mut wrong = Vec::new();
    for (module, path, text) in all() {
        let code = text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim_start().starts_with("//"));
        for (i, line) in code {
            let at = format!("{path}:{}: {}", i + 1, line.trim());
            // systemd needs the monotonic clock.
            let monotonic = path == "src/server/sys.rs" && line.contains("CLOCK_MONOTONIC");
            if module != "clock"
                && !monotonic
                && READERS
                    .iter()
                    .any(|r| line.replace("SystemTimeSource", "").contains(r))
            {
                wrong.push(at.clone());
            }
            let wall = ["wall()", "clock::wall", "SystemTimeSource"]
                .iter()
                .any(|w| line.contains(w));
            // The daemon creates the clock of the process.
            let creates_clock = path == "src/daemon.rs"
                && line.contains("SystemTimeSource")
                && !line.contains("wall");
            if module != "clock"
                && wall
                && !creates_clock
                && !WALL_CLOCK_FILES.contains(&path.as_str())
            {
                wrong.push(at);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "use trusted time, from the ledger's clock: {wrong:#?}"
    );
}

/// The command line prints only through `cli/output.rs`, which escapes control characters. In
/// `cli`, `println!` and `eprintln!` are macros of that module that print one line each: they would
/// escape a line break in the format, and those of pretty JSON.
#[test]
fn command_line_prints_only_through_its_output_module() {
    let mut wrong = Vec::new();
    for (_, path, text) in all()
        .iter()
        .filter(|f| f.0 == "cli" && f.1 != "src/cli/output.rs")
    {
        for (i, line) in text.lines().enumerate() {
            let code = line.trim_start().split("// ").next().unwrap_or("");
            let print = code.contains("println!(");
            let other = ["print!(", "eprint!(", "std::println", "std::eprintln"]
                .iter()
                .any(|p| {
                    code.match_indices(p).any(|(n, _)| {
                        !code[..n].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
                });
            let stream = ["stdout()", "stderr()"].iter().any(|s| code.contains(s))
                && !code.contains("is_terminal()")
                && !code.contains("use_stderr()");
            if other || stream || print && (code.contains("\\n") || code.contains(":#}")) {
                wrong.push(format!("{path}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "print by println!, output::json or output::block: {wrong:#?}"
    );
}

#[test]
fn project_names_no_path_of_a_development_machine() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    sources(Path::new("tests"), &mut files);
    files.extend(
        [
            "README.md",
            "CHANGELOG.md",
            "Makefile",
            "Cargo.toml",
            "config.toml",
        ]
        .map(PathBuf::from),
    );
    for path in files.iter().filter(|p| !p.ends_with("tidy.rs")) {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for word in ["/work/", "/root/"] {
            assert!(
                !text.contains(word),
                "{} names a path of a development machine: {word}",
                path.display()
            );
        }
    }
}
