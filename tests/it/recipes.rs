//! Runs the code blocks of CONTRIBUTING.md and docs/ as they are printed; `guides.rs` runs those of
//! README.md and of the pages whose commands follow each other.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::lab::{CONFIG, Daemon, Folder, ZONE, free_port};

/// A fenced block of a document.
#[derive(Debug, Clone)]
pub struct Block {
    /// The document.
    pub document: String,
    /// The line of its first fence.
    pub line: usize,
    /// The word after the first fence.
    pub language: String,
    /// What it contains.
    pub text: String,
}

/// All blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(document).unwrap_or_else(|e| panic!("{document}: {e}"));
    let (mut out, mut open) = (Vec::new(), None::<Block>);
    for (i, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    document: document.into(),
                    line: i + 1,
                    language: language.into(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => out.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block without an end");
    out
}

/// The pages whose blocks are tested: all documents except the changelog.
fn pages() -> Vec<String> {
    let mut out = vec!["README.md".to_string(), "CONTRIBUTING.md".to_string()];
    let mut folders = vec!["docs".to_string()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false if path.ends_with(".md") => out.push(path),
                false => {}
            }
        }
    }
    out.sort();
    out
}

/// The blocks that no test in this file runs: a text in each, and the file that tests it or the
/// reason why it is not tested.
const ELSEWHERE: [(&str, &str); 35] = [
    ("sources = [\"a\"]", "tests/it/rules.rs"),
    ("--source a --reason listed", "tests/it/rules.rs"),
    ("queried recently: at least", "tests/it/generic_names.rs"),
    ("example/providers", "tests/it/dynamic_ranges.rs"),
    ("@ 3600 IN TXT \"orbsd-proof", "tests/it/dynamic_ranges.rs"),
    ("provider list --state", "tests/it/dynamic_ranges.rs"),
    ("isp-example.txt", "a feed with the reason of another block"),
    (
        "--source isp-example",
        "an import with the reason of another block",
    ),
    ("ORBSD CRITICAL", "src/cli/doctor/tests.rs"),
    ("feed-a, counted", "tests/it/quality.rs"),
    ("defer_unauth_destination", "tests/it/relay/pace.rs"),
    ("frontend orbs", "tests/it/proxies.rs"),
    ("map $remote_addr", "tests/it/proxies.rs"),
    ("scrape_configs", "tests/it/monitoring_kit.rs"),
    ("12425 entries", "tests/it/comparison.rs"),
    ("unix socket (HTTP)", "a picture"),
    ("nomination (evidence)", "a picture"),
    ("composition ", "a picture"),
    ("node      bounds", "a picture"),
    ("cargo test ", "commands that take minutes to build"),
    ("tls: on", "Knot 3.4, which Debian 12 does not have"),
    (
        "catalog: consumer",
        "NSD 4.9, which Debian 12 does not have",
    ),
    ("rndc zonestatus", "commands of a running BIND"),
    ("knotc zone-status", "commands of a running Knot"),
    ("nsd-control zonestatus", "commands of a running NSD"),
    ("pdns_control retrieve", "commands of a running PowerDNS"),
    ("script-login", "tests/logins.sh"),
    ("exec \"$@\"", "tests/logins.sh"),
    ("driver = lua", "tests/logins.sh"),
    ("auth_userdb_lookup", "tests/logins.sh"),
    ("check_policy_service", "tests/logins.sh"),
    ("login-policy unix", "tests/logins.sh"),
    ("has_logged_in", "tests/logins.sh"),
    ("permit_dnswl_client", "tests/logins.sh"),
    ("accept dnslists = logins", "tests/logins.sh"),
];

fn all() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks(page)).collect()
}

/// How this file tests a block.
#[derive(Debug, PartialEq, Eq)]
enum Check {
    Configuration,
    Commands,
    Session,
    NameServer,
    Elsewhere,
}

/// The page that is made from src/recipes, which `tests/mail.sh` runs.
const RECIPES: &str = "docs/mail-servers.md";
/// The pages whose commands install packages and change the machine: tests/packages runs them in
/// root directories of its own.
const PACKAGES: [&str; 2] = ["docs/installing.md", "docs/releasing.md"];

fn check_of(b: &Block) -> Option<Check> {
    if b.document == RECIPES || PACKAGES.contains(&b.document.as_str()) || crate::guides::runs(b) {
        return Some(Check::Elsewhere);
    }
    match b.language.as_str() {
        _ if ELSEWHERE.iter().any(|(part, _)| b.text.contains(part)) => Some(Check::Elsewhere),
        "toml" => Some(Check::Configuration),
        "sh" => Some(Check::Commands),
        "console" => Some(Check::Session),
        _ if b.text.contains("tls-auth")
            || b.text.contains("include: ")
            || b.text.contains("tls orbsd {") =>
        {
            Some(Check::NameServer)
        }
        _ => None,
    }
}

#[test]
fn every_documented_block_is_tested_or_excused() {
    let blocks = all();
    for b in &blocks {
        assert!(
            check_of(b).is_some(),
            "{}:{}: no test covers this block; tag it or add it to ELSEWHERE:\n{}",
            b.document,
            b.line,
            b.text
        );
    }
    for (part, _) in ELSEWHERE {
        assert!(
            blocks.iter().any(|b| b.text.contains(part)),
            "no block contains {part}; remove it from ELSEWHERE"
        );
    }
}

fn run(folder: &Folder, program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .current_dir(folder.path())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let output =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {output}");
    output
}

/// `orbsd check` accepts each block of configuration, together with the settings that the text
/// around it assumes.
#[test]
fn documented_configuration_is_accepted() {
    let mut checked = 0;
    for b in all()
        .iter()
        .filter(|b| check_of(b) == Some(Check::Configuration))
    {
        let reasons = [
            "input",
            "output",
            "unconfirmed",
            "notest",
            "drop-box",
            "spamsource",
        ]
        .map(|r| format!("[[reason]]\nname = \"{r}\"\n"));
        let mut base = format!("{CONFIG}{}", reasons.concat());
        let relays = ZONE.replace("bl.orbs.example", "relays.orbs.example");
        let first = b.text.lines().find(|l| !l.starts_with('#')).unwrap();
        let zones = match first {
            f if f.starts_with("origin") => {
                vec![
                    ("relays", relays),
                    (
                        "block",
                        format!(
                            "ns = ['ns1.a.example']\ncontact = 'h@a.example'\n{}",
                            b.text
                        ),
                    ),
                ]
            }
            "[transfer]" | "[[record]]" => vec![("relays", format!("{relays}\n{}", b.text))],
            _ => {
                base += &b.text;
                vec![("relays", relays)]
            }
        };
        if !base.contains("[[key]]") {
            base += "[[key]]\nname = \"mirror\"\nfile = \"keys/mirror\"\n";
        }
        let zones: Vec<(&str, &str)> = zones
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let f = Folder::with(&base, &zones);
        fs::create_dir_all(f.path().join("tls")).unwrap();
        fs::create_dir_all(f.path().join("keys")).unwrap();
        let key = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=a",
            "-keyout",
            "tls/privkey.pem",
        ];
        run(
            &f,
            "openssl",
            &[&key[..], &["-out", "tls/fullchain.pem"]].concat(),
        );
        fs::copy(
            f.path().join("tls/fullchain.pem"),
            f.path().join("tls/mirrors-ca.pem"),
        )
        .unwrap();
        f.write(
            "keys/mirror",
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n",
        );
        f.write("known-senders.txt", "192.0.2.0/24 Example Net\n");
        for secret in ["keys/mirror", "tls/privkey.pem"] {
            fs::set_permissions(
                f.path().join(secret),
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
            .unwrap();
        }
        let out = f.orbsd(&["check"]);
        assert!(
            out.status.success(),
            "{}:{}: {}",
            b.document,
            b.line,
            String::from_utf8_lossy(&out.stderr)
        );
        checked += 1;
    }
    assert!(checked >= 9, "{checked}");
}

/// The checkers of the name servers accept the blocks for them, together with the key that the page
/// assumes.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn documented_name_server_configuration_is_accepted() {
    let root = crate::peers::peers().join("root");
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|l| root.join(l));
    let mut checked = 0;
    for b in all()
        .iter()
        .filter(|b| check_of(b) == Some(Check::NameServer))
    {
        let f = Folder::new();
        let secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        let text = b.text.replace(
            "/etc/nsd/orbsd.zones",
            &f.write("orbsd.zones", "").display().to_string(),
        );
        let (program, text) = match text.contains("tls orbsd {") {
            true => (
                "usr/bin/named-checkconf",
                format!(
                    "key \"mirror\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n{text}"
                ),
            ),
            false => (
                "usr/sbin/nsd-checkconf",
                format!(
                    "key:\n    name: \"mirror\"\n    algorithm: hmac-sha256\n    secret: \"{secret}\"\n{text}"
                ),
            ),
        };
        f.write("conf", &text);
        let out = Command::new(root.join(program))
            .arg("conf")
            .current_dir(f.path())
            .env("LD_LIBRARY_PATH", std::env::join_paths(&libraries).unwrap())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{}:{}: {output}", b.document, b.line);
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}

/// Returns the code spans of all pages and of the comments in the shipped configuration, with their
/// pages.
fn spans() -> Vec<(String, String)> {
    let mut files = pages();
    files.push("config.toml".into());
    for zone in fs::read_dir("zones").unwrap() {
        files.push(zone.unwrap().path().display().to_string());
    }
    let mut out = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut fenced = false;
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                let odd = line.split('`').skip(1).step_by(2);
                out.extend(odd.map(|span| (file.clone(), span.to_string())));
            }
        }
    }
    out
}

/// A command that a page names outside of a block exists: the program accepts its words up to the
/// first option or placeholder.
#[test]
fn commands_that_documents_mention_exist() {
    let word =
        |w: &&str| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !w.starts_with('-');
    let mut commands: Vec<(Vec<String>, String)> = spans()
        .into_iter()
        .filter_map(|(page, span)| {
            let rest = span.strip_prefix("orbsd ")?;
            let words: Vec<String> = rest.split(' ').take_while(word).map(String::from).collect();
            (!words.is_empty()).then_some((words, page))
        })
        .collect();
    commands.sort();
    commands.dedup_by(|a, b| a.0 == b.0);
    assert!(commands.len() >= 30, "{commands:?}");
    for (words, page) in commands {
        let out = Command::new(env!("CARGO_BIN_EXE_orbsd"))
            .args(&words)
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{page}: there is no `orbsd {}`: {}",
            words.join(" "),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

/// A key that a page names as `[table] key` is in the shipped configuration.
#[test]
fn keys_that_documents_mention_exist() {
    let shipped = ["config.toml", "zones/relays.toml"].map(|f| fs::read_to_string(f).unwrap());
    let mut checked = 0;
    for (page, span) in spans() {
        let Some((table, key)) = span.split_once("] ") else {
            continue;
        };
        let key: String = key
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect();
        if !table.starts_with('[') || key.is_empty() {
            continue;
        }
        let header = format!("{table}]");
        let known = shipped.iter().any(|text| {
            text.lines()
                .map(|l| l.trim_start_matches("# "))
                .skip_while(|l| !l.starts_with(&header))
                .skip(1)
                .take_while(|l| !l.starts_with('['))
                .any(|l| l.split(" = ").next() == Some(key.as_str()))
        });
        assert!(
            known,
            "{page}: `{span}` is not in the shipped configuration"
        );
        checked += 1;
    }
    assert!(checked >= 20, "{checked}");
}

/// A folder with the shipped configuration on free ports, and its daemon.
fn shipped() -> (Folder, Daemon, u16, u16) {
    let (dns, admin) = (free_port(), free_port());
    let config = fs::read_to_string("config.toml")
        .unwrap()
        .replace("5300", &dns.to_string())
        .replace("8053", &admin.to_string());
    let f = Folder::with(&config, &[]);
    for zone in fs::read_dir("zones").unwrap() {
        let path = zone.unwrap().path();
        fs::copy(
            &path,
            f.path().join("zones").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    f.ok(&[
        "import",
        "--source",
        "sample",
        "--reason",
        "relay",
        "--allow-special-ranges",
        "zones/sample.txt",
    ]);
    let daemon = Daemon::spawn(&f);
    let until = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", admin)).is_err() {
        assert!(Instant::now() < until, "{}", f.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    (f, daemon, dns, admin)
}

/// A replacement for `orbsd` and `curl`: it runs the real program, passes on the output, and
/// records the exit code.
const ORBSD: &str = r#"#!/bin/sh
case "$1 $2" in
serve* | "relay probe" | restore*) timeout 9 "$ORBSD" "$@" --help > out 2>&1; code=$? ;;
*) timeout 9 "$ORBSD" "$@" > out 2> err; code=$? ;;
esac
echo "orbsd $code $* $(tail -n 1 err 2> /dev/null | cut -c 1-300)" >> "$RAN"
cat out
"#;
/// Stands in for `curl`: records the HTTP status.
const CURL: &str = r#"#!/bin/sh
echo "curl $("$CURL" -sS --max-time 3 -o /dev/null -w '%{http_code}' "$@" 2> /dev/null) $*" >> "$RAN"
"#;
/// Stands in for `dig`: records the answer; skips queries to addresses of TEST-NET-1.
const DIG: &str = r#"#!/bin/sh
case "$*" in *192.0.2.*) exit ;; esac
echo "dig $("$DIG" +time=2 +tries=1 +short "$@" | tr '\n' ' ') $*" >> "$RAN"
"#;

/// Whether printed lines match the lines of a page: `…` matches any text in a line, and any number
/// of lines if it is alone on a line.
pub fn is_shown(page: &[&str], lines: &[&str]) -> bool {
    let fits = |shown: &str, line: &str| {
        let mut parts = shown.split('…');
        let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or("")) else {
            return false;
        };
        let mut open = false;
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
            open = part.is_empty();
        }
        open || rest.is_empty()
    };
    match page.split_first() {
        None => lines.is_empty(),
        Some((&"…", more)) => (0..=lines.len()).any(|n| is_shown(more, &lines[n..])),
        Some((first, more)) => lines
            .split_first()
            .is_some_and(|(line, rest)| fits(first, line) && is_shown(more, rest)),
    }
}

/// Commands of a session print the output that the page shows below them, with the shipped
/// configuration and the sample list. The sessions of a page share an installation.
#[test]
fn documented_sessions_print_what_is_shown() {
    let mut commands = 0;
    for page in pages() {
        let sessions: Vec<Block> = blocks(&page)
            .into_iter()
            .filter(|b| check_of(b) == Some(Check::Session))
            .collect();
        if sessions.is_empty() {
            continue;
        }
        let (f, _daemon, dns, admin) = shipped();
        fs::create_dir(f.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_orbsd"), f.path().join("bin/orbsd"))
            .unwrap();
        let path = format!(
            "{}:{}",
            f.path().join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        for b in &sessions {
            let mut lines = b.text.lines().peekable();
            while let Some(line) = lines.next() {
                let command = line
                    .strip_prefix("$ ")
                    .unwrap_or_else(|| panic!("{page}:{}: no command: {line}", b.line))
                    .replace("5300", &dns.to_string())
                    .replace("8053", &admin.to_string());
                let mut shown = Vec::new();
                while let Some(line) = lines.next_if(|l| !l.starts_with("$ ")) {
                    shown.push(line);
                }
                let out = Command::new("sh")
                    .args(["-c", &format!("{command} 2>&1")])
                    .current_dir(f.path())
                    .env("PATH", &path)
                    .stdin(Stdio::null())
                    .output()
                    .unwrap();
                let printed = String::from_utf8_lossy(&out.stdout).into_owned();
                let printed_lines: Vec<&str> = printed.lines().collect();
                assert!(
                    is_shown(&shown, &printed_lines),
                    "{page}:{}: {command} prints\n{printed}\nbut the page shows\n{}",
                    b.line,
                    shown.join("\n")
                );
                commands += 1;
            }
        }
    }
    assert!(commands >= 1, "{commands}");
}

/// The commands of all pages run with the shipped configuration: each is accepted, and each that
/// can succeed there does.
#[test]
fn documented_commands_run() {
    let ran: String = all()
        .iter()
        .filter(|b| check_of(b) == Some(Check::Commands))
        .map(commands_of)
        .collect();
    let targets = fs::read_to_string("Makefile").unwrap();
    // These commands cannot succeed here: they have placeholders, name hosts that are not listed,
    // need relay tests, which are off, name tickets or a zone of their own, need a second person, or read an endless stream.
    let excused = [
        (
            "orbsd 1",
            &[
                "lookup 45.51.100.7",
                "undo 4711",
                "claim ",
                "export catalog",
                "tickets show 7",
                "tickets approve 7",
                "tickets reply 7",
                "tickets refuse 7",
                "notice end ",
                "logins logins",
                "netblock approve ",
                "netblock renew ",
                "netblock refuse ",
                "delist --listed-in-error ",
            ][..],
        ),
        // The example has no delegation and no backup.
        ("orbsd 2", &["doctor"]),
        ("orbsd 3", &["doctor"]),
        ("orbsd 124", &["watch"]),
        ("curl 404", &["/ID", "/commits/12/"]),
    ];
    for line in ran.lines() {
        let mut words = line.split(' ');
        let (program, result) = (words.next().unwrap(), words.next().unwrap_or(""));
        let good = match program {
            "orbsd" => result == "0",
            "curl" => ["200", "201", "202"].contains(&result),
            "make" => targets
                .lines()
                .any(|l| l.starts_with(&format!("{result}:"))),
            _ => true,
        };
        let how = format!("{program} {result}");
        let excuse = excused
            .iter()
            .any(|(e, parts)| *e == how && parts.iter().any(|p| line.contains(p)));
        assert!(good || excuse, "{line}\n\n{ran}");
    }
    for (program, least) in [("orbsd ", 30), ("curl ", 6), ("dig ", 2), ("make ", 1)] {
        let n = ran.lines().filter(|l| l.starts_with(program)).count();
        assert!(n >= least, "{n} of {program}\n{ran}");
    }
    assert!(
        ran.contains("dig 127.0.0.2 127.0.0.3  @127.0.0.1")
            && ran.contains("orbs.example/203.0.113.7"),
        "{ran}"
    );
}

/// Runs the commands of a block in a new installation; returns one line for each command, with its
/// result.
fn commands_of(b: &Block) -> String {
    let (f, _daemon, dns, admin) = shipped();
    let bin = f.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let executable = |name: &str, text: &str| f.write_script(&format!("bin/{name}"), text);
    executable("orbsd", ORBSD);
    executable("curl", CURL);
    executable("dig", DIG);
    for other in ["kdig", "nsd-control", "chown", "chmod"] {
        executable(other, "#!/bin/sh\n");
    }
    executable("make", "#!/bin/sh\necho \"make $1\" >> \"$RAN\"\n");
    f.write("domains.txt", "bad.example\n*.worse.example\n");
    f.write("ipsum.txt", "45.54.1.1\n45.54.1.2\n");
    f.write("data.rbl", ":127.0.0.2:Relay $\n45.53.1.1\n45.53.2.0/24\n");
    f.write("list.txt", "45.52.1.1\n");
    run(&f, "gzip", &["list.txt"]);
    let found = |name: &str| {
        run(&f, "sh", &["-c", &format!("command -v {name}")])
            .trim()
            .to_string()
    };
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let text = b
        .text
        .replace("5300", &dns.to_string())
        .replace("8053", &admin.to_string())
        .replace("/etc/prometheus/", "")
        .replace("/etc/dovecot/", "");
    let out = Command::new("sh")
        .args(["-e", "-c", &text])
        .current_dir(f.path())
        .env("PATH", &path)
        .env("RAN", f.path().join("ran"))
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .env("CURL", found("curl"))
        .env("DIG", found("dig"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}:{}: {}",
        b.document,
        b.line,
        String::from_utf8_lossy(&out.stderr)
    );
    fs::read_to_string(f.path().join("ran")).unwrap_or_default()
}
