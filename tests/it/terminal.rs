//! What others wrote does not reach a terminal: a hostile server answers every command that prints.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::lab::{Daemon, Folder};

/// Forges a line, sets a title, clears the screen by a one-byte control, turns the writing round.
const HOSTILE: &str = "x\nFORGED line\r\u{1b}]0;pwn\u{7}\u{1b}[2J\u{9b}2J\u{202e}evil\u{2066}\u{2028}FORGED\u{85}FORGED\u{200b}\u{7f}";

/// An object with every key that a printer of the command line reads; each text in it is hostile.
fn hostile(depth: u32) -> Value {
    let mut out = serde_json::Map::new();
    let texts = "about action address at author by cause class commit delegation detail empty envelope event expires feed \
                 format from id input kind last_used message name never_asked next_at note origin outcome output owner password \
                 path problem proof proposal rcode reason refreshed revoked role run says secret sent since source started \
                 state subject target test text token totp_uri transcript type until url version waiting_for was what \
                 what_happens who why writes wrong zone stage came paused published";
    for key in texts.split_whitespace() {
        out.insert(key.into(), HOSTILE.into());
    }
    if depth > 0 {
        let one = hostile(depth - 1);
        // Below the first level, what a printer reads there: a whole tree would be too large.
        let read = |key: &&str| {
            depth > 1
                || [
                    "entries",
                    "results",
                    "not_exported",
                    "evidence",
                    "counters",
                    "total",
                    "before",
                    "after",
                ]
                .contains(key)
        };
        for key in [
            "items",
            "entries",
            "holds",
            "covered_by",
            "zones",
            "history",
            "not_exported",
            "results",
            "exports",
            "sources",
            "feeds",
            "mirrors",
            "classes",
            "serials",
        ]
        .iter()
        .filter(|k| read(k))
        {
            out.insert((*key).into(), json!([one]));
        }
        for key in [
            "exempt",
            "evidence",
            "job",
            "held",
            "difference",
            "extents",
            "before",
            "after",
            "retire",
            "notified",
            "asked",
            "transfer",
            "tester",
            "counters",
            "receipt",
            "report",
            "total",
            "renewed",
        ]
        .iter()
        .filter(|k| read(k))
        {
            out.insert((*key).into(), one.clone());
        }
        for key in [
            "a",
            "txt",
            "sample",
            "sample_added",
            "sample_removed",
            "warnings",
            "subjects",
            "first",
            "undone",
            "changed_since",
            "recovery",
            "listed_by",
        ] {
            out.insert(key.into(), json!([HOSTILE, HOSTILE]));
        }
        out.insert("workers".into(), json!({HOSTILE: one}));
        out.insert("running".into(), true.into());
    }
    Value::Object(out)
}

/// A server that answers every request with the same status and body; its port.
fn server(status: u16, kind: &'static str, body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, body) = (stream.unwrap(), body.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(body.as_bytes());
                let _ = stream.flush();
                // Whatever of a body still comes is taken, so that the answer is not lost with a
                // reset.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    port
}

/// Every command that prints what a server says.
const COMMANDS: [&[&str]; 39] = [
    &["status"],
    &["status", "mirrors"],
    &["reload"],
    &["list", "45.1.1.1", "--reason", "relay"],
    &["delist", "45.1.1.1", "--no-hold"],
    &["exempt", "45.1.1.1"],
    &["lookup", "45.1.1.1"],
    &["feed", "list"],
    &["feed", "show", "x"],
    &["feed", "accept", "x"],
    &["feed", "refuse", "x"],
    &["source", "reset", "x"],
    &["undo", "5"],
    &["purge", "--source", "x"],
    &["holds"],
    &["holds", "add", "45.1.1.1", "--reason", "relay"],
    &["person", "list"],
    &["person", "add", "anna", "--role", "reader"],
    &["token", "list"],
    &["token", "create", "--for", "anna", "--role", "reader"],
    &["token", "revoke", "x"],
    &["audit", "--limit", "1"],
    &["backup", "/nowhere"],
    &["nominate", "45.1.1.1", "--evidence", "x"],
    &["jobs"],
    &["jobs", "1"],
    &["jobs", "1", "--transcript"],
    &["tests"],
    &["claim", "45.1.1.1"],
    &["optout"],
    &["evidence", "45.1.1.1"],
    &["proposal", "list"],
    &["proposal", "show", "x"],
    &["proposal", "approve", "x"],
    &["proposal", "refuse", "x"],
    &["webhook", "list"],
    &["webhook", "show", "x"],
    &["webhook", "add", "https://x.example/"],
    &["import", "--source", "x", "--reason", "relay", "list.txt"],
];

fn run(f: &Folder, args: &[&str], port: u16, json: bool) -> (String, String) {
    let server = format!("http://127.0.0.1:{port}");
    let mut args = [args, &["--server", &server, "--token", "token"]].concat();
    args.extend(json.then_some("--json"));
    let out = Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .args(&args)
        .current_dir(f.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        String::from_utf8(out.stdout).unwrap(),
        String::from_utf8(out.stderr).unwrap(),
    )
}

fn check(args: &[&str], printed: &str) {
    for line in printed.split('\n') {
        assert!(
            !line.contains(orbsd::model::text::needs_escape),
            "{args:?} prints {line:?}"
        );
        assert!(
            !line.starts_with("FORGED"),
            "{args:?} lets a text begin a line: {line}"
        );
    }
}

#[test]
fn text_of_a_hostile_server_is_escaped_by_every_command() {
    let f = Folder::new();
    f.write("token", "orbsd_a_b");
    f.write("list.txt", "45.1.1.1\n");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(
        f.path().join("token"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let body = hostile(2);
    let good = server(200, "application/json", format!("{body}\n"));
    let bad = server(409, "application/problem+json", format!("{body}\n"));
    let (mut shown, mut refused) = (0, 0);
    for args in COMMANDS {
        for (port, json) in [(good, false), (bad, false), (good, true), (bad, true)] {
            let (out, err) = run(&f, args, port, json);
            check(args, &out);
            check(args, &err);
            shown += usize::from(port == good && out.contains("\\u001b"));
            refused += usize::from(port == bad && err.contains("\\u001b"));
            if json && !args.contains(&"--transcript") {
                for read in serde_json::Deserializer::from_str(&out).into_iter::<Value>() {
                    assert!(
                        read.unwrap_or_else(|e| panic!("{args:?}: {e}")).is_object(),
                        "{args:?}"
                    );
                }
            }
        }
    }
    // They do print the hostile text, and it is the escaping that holds it back.
    assert!(
        shown > COMMANDS.len() && refused > COMMANDS.len(),
        "{shown} {refused}"
    );
    let events = format!(
        "event: commit\ndata: {}\n\nevent: gap\ndata: {}\n\n",
        hostile(1),
        hostile(1)
    );
    let stream = server(200, "text/event-stream", events);
    check(&["watch"], &run(&f, &["watch"], stream, false).0);
    let export = run(
        &f,
        &["export", "bl"],
        server(200, "text/plain", "a\nb\n".into()),
        false,
    );
    assert_eq!(export.0, "a\nb\n", "content goes to a pipe as it is");
}

#[test]
fn control_characters_are_refused_in_notes_proofs_and_evidence() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    for args in [
        &[
            "list",
            "45.1.1.1",
            "--reason",
            "relay",
            "--note",
            "x\n2026-11-29T09:00:00Z anna person.add mallory",
        ][..],
        &[
            "list",
            "45.1.1.1",
            "--reason",
            "relay",
            "--text",
            "x\u{1b}]0;pwn\u{7}",
        ],
        &["exempt", "45.1.1.1", "--note", "x\ty"],
        &["purge", "--source", "operator", "--note", "x\u{9b}"],
        &[
            "holds", "add", "45.1.1.1", "--reason", "relay", "--note", "\u{7f}",
        ],
        &["nominate", "45.1.1.1", "--evidence", "x\r\ny"],
        &["optout", "add", "45.1.1.1", "--proof", "x\u{85}"],
    ] {
        let out = f.orbsd(args);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(2) && why.contains("control character U+"),
            "{args:?}: {why}"
        );
        check(args, why.trim_start_matches(|c| c != '\n'));
    }
    // The API refuses them by itself, and names the field and the place.
    for (path, body, place) in [
        (
            "/v1/listings",
            json!({"subject": "45.1.1.1", "reason": "relay", "note": "ab\u{1b}"}),
            "note: character 3",
        ),
        (
            "/v1/purges",
            json!({"source": "operator", "note": "\n"}),
            "note: character 1",
        ),
        (
            "/v1/commits/1/undo",
            json!({"note": "\n"}),
            "note: character 1",
        ),
        (
            "/v1/reviews",
            json!({"target": "45.1.1.1", "note": "a\nb"}),
            "note: character 2",
        ),
        (
            "/v1/nominations",
            json!({"target": "45.1.1.1", "kind": "log", "evidence": "a\tb"}),
            "evidence: character 2",
        ),
        (
            "/v1/optouts",
            json!({"subject": "45.1.1.1", "proof": "a\u{2028}"}),
            "proof: character 2",
        ),
        (
            "/v1/holds",
            json!({"subject": "45.1.1.1", "reason": "relay", "note": "\u{0}"}),
            "note: character 1",
        ),
    ] {
        let answer = request(&f, "POST", path, &body.to_string());
        assert!(
            answer.starts_with("HTTP/1.1 422") && answer.contains(place),
            "{path}: {answer}"
        );
    }
    let answer = request(
        &f,
        "DELETE",
        "/v1/exemptions?subject=45.1.1.1&note=a%0Ab",
        "",
    );
    assert!(
        answer.starts_with("HTTP/1.1 422") && answer.contains("note: character 2"),
        "{answer}"
    );
}

/// A request through the daemon's socket; the whole answer.
pub fn request(f: &Folder, method: &str, path: &str, body: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(f.config().socket).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// An argument in an error of the command line begins no line, and no control of it reaches the
/// terminal.
#[test]
fn errors_of_the_command_line_are_escaped() {
    let f = Folder::new();
    for args in [
        vec![HOSTILE.trim_start_matches('x').trim_start()],
        vec!["lookup", "45.1.1.1", HOSTILE],
        vec!["--config"],
        vec![
            "import",
            &*Box::leak(format!("--mode={HOSTILE}").into_boxed_str()),
            "x",
        ],
        vec!["list", "45.1.1.1", "--reason", "relay", "--note", HOSTILE],
    ] {
        let out = f.orbsd(&args);
        let text = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(
            !text
                .chars()
                .any(|c| orbsd::model::text::needs_escape(c) && c != '\n'),
            "{text:?}"
        );
        assert!(!text.lines().any(|l| l.starts_with("FORGED")), "{text:?}");
    }
}

/// A command whose output nobody has got has not succeeded, and says so; a reader that has had
/// enough is no error.
#[test]
fn an_output_that_cannot_be_written_is_reported_with_its_own_code() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let run = |args: &[&str], out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orbsd"));
        let child = command
            .args(args)
            .current_dir(f.path())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.wait_with_output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let commands: [&[&str]; 8] = [
        &["lookup", "45.1.1.1"],
        &["lookup", "45.1.1.1", "--json"],
        &["list", "45.1.1.2", "--reason", "relay"],
        &["status"],
        &["check"],
        &["export", "bl", "--format", "list"],
        &["--help"],
        &["--version"],
    ];
    for args in commands {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let (code, text) = run(args, full.into());
        assert!(
            code == Some(74) && text.contains("orbsd: standard output: No space left on device"),
            "{args:?}: {code:?} {text}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(
            run(args, writer.into()),
            (Some(0), String::new()),
            "{args:?}"
        );
    }
    // What went wrong is reported all the same.
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (code, text) = run(&["retire", "nowhere", "--json"], full.into());
    assert!(
        code == Some(74) && text.contains("there is no zone `nowhere`"),
        "{code:?} {text}"
    );
}
