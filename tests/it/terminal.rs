//! Text from untrusted sources does not control the terminal: a hostile server answers every
//! command that prints.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::lab::{Daemon, Folder};

/// Forges a line, sets the title, clears the screen by a one-byte control, reverses the text
/// direction.
const HOSTILE: &str = "x\nFORGED line\r\u{1b}]0;pwn\u{7}\u{1b}[2J\u{9b}2J\u{202e}evil\u{2066}\u{2028}FORGED\u{85}FORGED\u{200b}\u{7f}";

/// The OpenAPI document of a daemon.
fn document() -> Value {
    let api = crate::api::Api::new();
    api.call("", "GET", "/openapi.json", &[], "").json()
}

/// Returns a value of a schema in which every text is hostile.
fn hostile(document: &Value, schema: &Value) -> Value {
    let of = |s: &Value| hostile(document, s);
    if let Some(path) = schema["$ref"].as_str() {
        return of(document.pointer(&path[1..]).unwrap());
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let one = choices.iter().find(|c| c["type"] != "null");
            return one.map_or(Value::Null, of);
        }
    }
    if let Some(value) = schema["enum"].as_array().and_then(|all| all.last()) {
        return value.clone();
    }
    if schema["const"].is_string() {
        return schema["const"].clone();
    }
    let mut out = serde_json::Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        out.extend(of(part).as_object().unwrap().clone());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        out.insert(name.clone(), of(property));
    }
    if schema["additionalProperties"].is_object() {
        out.insert(HOSTILE.into(), of(&schema["additionalProperties"]));
    }
    if !out.is_empty() {
        return Value::Object(out);
    }
    let kinds = match &schema["type"] {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    match kinds
        .iter()
        .find_map(|k| k.as_str().filter(|k| *k != "null"))
    {
        Some("string") if schema["format"] == "date-time" => "2026-01-01T00:00:00Z".into(),
        Some("string") => HOSTILE.into(),
        Some("integer" | "number") => 201.into(),
        Some("boolean") => true.into(),
        Some("array") => {
            let tuple = schema["prefixItems"].as_array();
            match tuple {
                Some(items) => items.iter().map(of).collect(),
                None => {
                    let n = schema["minItems"].as_u64().unwrap_or(1).max(1);
                    (0..n).map(|_| of(&schema["items"])).collect()
                }
            }
        }
        _ => json!({}),
    }
}

/// Returns the body of the response to a request line, by its schema, for success or a problem.
fn respond(document: &Value, request: &str, good: bool) -> String {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap_or("/"));
    let path = path.split('?').next().unwrap();
    let matches = |template: &str| {
        let (a, b) = (template.split('/'), path.split('/'));
        a.clone().count() == b.clone().count()
            && a.zip(b).all(|(a, b)| a == b || a.starts_with('{'))
    };
    let paths = document["paths"].as_object().unwrap();
    let operation = paths
        .iter()
        .filter(|(template, _)| matches(template))
        .map(|(_, item)| &item[method.to_lowercase()])
        .find(|o| o.is_object())
        .unwrap_or_else(|| panic!("no operation for {request}"));
    let responses = operation["responses"].as_object().unwrap();
    let (status, response) = match good {
        true => responses.iter().find(|(s, _)| s.starts_with('2')).unwrap(),
        false => responses.iter().find(|(s, _)| *s == "409").unwrap(),
    };
    let (kind, content) = response["content"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let mut body = match kind.as_str() {
        "text/plain" => return reply(status, kind, &json!(HOSTILE).to_string()),
        _ => hostile(document, &content["schema"]),
    };
    if path == "/v1/bulk" {
        body["status"] = if good { 201 } else { 409 }.into();
        if good {
            body["problem"].take();
            body["proposal"].take();
        }
    }
    reply(status, kind, &format!("{body}\n"))
}

fn reply(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Starts a server whose response depends on the request line. Returns its port.
fn server(respond: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let respond = std::sync::Arc::new(respond);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, respond) = (stream.unwrap(), respond.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let _ = stream.write_all(respond(head.lines().next().unwrap_or("")).as_bytes());
                let _ = stream.flush();
                // The rest of a body is read, so that a reset does not lose the answer.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    port
}

/// Every command that prints text of a server.
const COMMANDS: [&[&str]; 39] = [
    &["status"],
    &["mirror", "list"],
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
    &["hold", "list"],
    &["hold", "add", "45.1.1.1", "--reason", "relay"],
    &["user", "list"],
    &["user", "add", "anna", "--role", "reader"],
    &["token", "list"],
    &["token", "create", "--owner", "anna", "--role", "reader"],
    &["token", "revoke", "x"],
    &["audit", "--limit", "1"],
    &["backup", "/nowhere"],
    &["relay", "nominate", "45.1.1.1", "--evidence", "x"],
    &["relay", "jobs"],
    &["relay", "jobs", "1"],
    &["relay", "jobs", "1", "--transcript"],
    &["relay", "catalogue"],
    &["relay", "claim", "45.1.1.1"],
    &["relay", "opt-out", "list"],
    &["relay", "evidence", "45.1.1.1"],
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
    let document = document();
    let schema = |name: &str| {
        hostile(
            &document,
            &json!({"$ref": format!("#/components/schemas/{name}")}),
        )
    };
    let responder = |good| {
        let document = document.clone();
        server(move |request| respond(&document, request, good))
    };
    let (good, bad) = (responder(true), responder(false));
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
    // The commands do print the hostile text; only the escaping makes it harmless.
    assert!(
        shown > COMMANDS.len() && refused > COMMANDS.len(),
        "{shown} {refused}"
    );
    let events = format!(
        "event: commit\ndata: {}\n\nevent: gap\ndata: {}\n\nevent: end\ndata: {}\n\n",
        schema("CommitResponse"),
        schema("ChangeGapResponse"),
        schema("ChangeEndResponse")
    );
    let stream = server(move |_| reply("200", "text/event-stream", &events));
    check(&["watch"], &run(&f, &["watch"], stream, false).0);
    let export = run(
        &f,
        &["export", "bl"],
        server(|_| reply("200", "text/plain", "a\nb\n")),
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
            "hold", "add", "45.1.1.1", "--reason", "relay", "--note", "\u{7f}",
        ],
        &["relay", "nominate", "45.1.1.1", "--evidence", "x\r\ny"],
        &["relay", "opt-out", "add", "45.1.1.1", "--proof", "x\u{85}"],
    ] {
        let out = f.orbsd(args);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(2) && why.contains("control character U+"),
            "{args:?}: {why}"
        );
        check(args, why.trim_start_matches(|c| c != '\n'));
    }
    // The API itself refuses them, and names the field and the position.
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
            "/v1/opt-outs",
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

/// Sends a request through the daemon's socket. Returns the whole response.
pub fn request(f: &Folder, method: &str, path: &str, body: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(f.config().socket).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// An argument in an error of the command line does not begin a line, and none of its control
/// characters reaches the terminal.
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

/// A command whose output cannot be written fails with a message. A reader that closes early is not
/// an error.
#[test]
fn output_write_error_has_its_own_exit_code() {
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
    // The error is reported nevertheless.
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
