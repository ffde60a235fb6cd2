//! Attacks and mistakes of API clients.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use serde_json::json;

use super::Api;
use crate::lab::CONFIG;

/// Once, text that is not an address counted as no filter, and a purge removed everything.
#[test]
fn invalid_prefix_is_refused_and_never_matches_everything() {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    for bad in ["com", "localhost", "spam.example"] {
        assert_eq!(
            api.post(
                "/v1/purges?dry_run=true",
                &json!({"prefix": bad}).to_string()
            )
            .problem(),
            "invalid",
            "{bad}"
        );
        assert_eq!(
            api.get(&format!("/v1/listings?prefix={bad}")).problem(),
            "invalid",
            "{bad}"
        );
    }
    assert_eq!(
        api.post("/v1/purges", "{\"domain\":\"com\"}").ok()["count"],
        0
    );
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
}

/// Once, a token exceeded its restrictions by fields that a command ignores, or by a command
/// without the check.
#[test]
fn restricted_token_cannot_exceed_its_restrictions() {
    let api = Api::new();
    let operator = api.token("bound", "operator", &["--reason", "relay"]);
    let owner = api.token("bound", "owner", &["--prefix", "45.0.0.0/8"]);
    let source = api.token("bound", "editor", &["--source", "operator"]);
    let call = |token: &str, method: &str, path: &str, body: &str| {
        api.call(token, method, path, &[], body)
    };
    for (token, method, path, body) in [
        (
            &operator,
            "POST",
            "/v1/exemptions",
            "{\"subject\":\"45.77.0.0/16\"}",
        ),
        (
            &operator,
            "DELETE",
            "/v1/exemptions?subject=45.77.0.0%2F16",
            "",
        ),
        (
            &operator,
            "POST",
            "/v1/webhooks",
            "{\"url\":\"http://x.example/\"}",
        ),
        (&operator, "POST", "/v1/reload", ""),
        (
            &owner,
            "POST",
            "/v1/tokens",
            "{\"owner\":\"evil\",\"role\":\"owner\"}",
        ),
        (
            &owner,
            "POST",
            "/v1/users",
            "{\"name\":\"evil\",\"role\":\"owner\"}",
        ),
        (
            &owner,
            "POST",
            "/v1/holds",
            "{\"subject\":\"46.1.1.1\",\"reason\":\"relay\"}",
        ),
    ] {
        let reply = call(token, method, path, body);
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
    }
    let line =
        "{\"op\":\"hold\",\"subject\":\"46.0.0.3\",\"reason\":\"relay\",\"source\":\"operator\"}";
    assert!(
        call(&source, "POST", "/v1/bulk", line)
            .text()
            .contains("\"status\":403")
    );
}

/// Once, one person renewed a listing that requires approval, and a refused proposal was listed.
#[test]
fn renewal_also_requires_approval_by_a_second_person() {
    let api = Api::with(&CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    ));
    let (anna, bert) = (api.user("anna", "editor"), api.user("bert", "editor"));
    let body =
        json!({"subject": "45.1.0.0/16", "reason": "netblock", "until": "1d", "note": "seen"})
            .to_string();
    let send = || {
        api.call(
            &anna,
            "POST",
            "/v1/listings",
            &[("idempotency-key", "k")],
            &body,
        )
    };
    let made = send().json();
    assert_eq!(
        send().json()["proposal"],
        made["proposal"],
        "a repeated request is the same proposal"
    );
    let proposal = made["proposal"].as_str().unwrap();
    api.call(
        &bert,
        "POST",
        &format!("/v1/proposals/{proposal}/approve"),
        &[],
        "",
    )
    .ok();
    let found = api.get("/v1/listings?author=anna").ok();
    assert!(
        found["items"][0]["note"]
            .as_str()
            .unwrap()
            .contains("approved by bert"),
        "{found}"
    );
    let renew = api.call(
        &anna,
        "PATCH",
        &format!("/v1/listings/{}", made["id"].as_str().unwrap()),
        &[],
        "{\"until\":\"3650d\"}",
    );
    assert_eq!(renew.status, 202, "{}", renew.text());
    let second = renew.json()["proposal"].as_str().unwrap().to_string();
    api.call(&bert, "DELETE", &format!("/v1/proposals/{second}"), &[], "")
        .ok();
    assert_eq!(
        api.call(
            &bert,
            "POST",
            &format!("/v1/proposals/{second}/approve"),
            &[],
            ""
        )
        .problem(),
        "not-found"
    );
    let until = api
        .get(&format!("/v1/listings/{}", made["id"].as_str().unwrap()))
        .ok()["until"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(until.starts_with("202"), "{until}");
}

/// A proposal is approved and refused at the same moment. Only one request succeeds, and the list
/// agrees with it.
#[test]
fn simultaneous_approval_and_refusal_have_one_outcome() {
    let api = Api::with(&CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    ));
    let (anna, bert) = (api.user("anna", "editor"), api.user("bert", "editor"));
    for i in 1..=20 {
        let body = json!({"subject": format!("45.{i}.0.0/16"), "reason": "netblock"}).to_string();
        let id = api.call(&anna, "POST", "/v1/listings", &[], &body).json()["proposal"]
            .as_str()
            .unwrap()
            .to_string();
        let (approved, refused) = std::thread::scope(|s| {
            let a = s.spawn(|| {
                api.call(
                    &bert,
                    "POST",
                    &format!("/v1/proposals/{id}/approve"),
                    &[],
                    "",
                )
                .status
            });
            let b = s.spawn(|| {
                api.call(
                    &api.owner,
                    "DELETE",
                    &format!("/v1/proposals/{id}"),
                    &[],
                    "",
                )
                .status
            });
            (a.join().unwrap(), b.join().unwrap())
        });
        assert!(
            [(200, 404), (404, 200)].contains(&(approved, refused)),
            "{approved} {refused}"
        );
        assert_eq!(
            api.dns(&format!("1.1.{i}.45")).starts_with("NOERROR"),
            approved == 200
        );
    }
}

/// Once, a concurrent password reset enabled a user who had just been disabled.
#[test]
fn concurrent_changes_of_a_user_are_serialized() {
    let api = Api::new();
    api.f.ok(&["user", "add", "anna", "--role", "editor"]);
    for _ in 0..5 {
        let change = |body: &str| {
            api.call(&api.owner, "PATCH", "/v1/users/anna", &[], body)
                .status
        };
        let (reset, off) = std::thread::scope(|s| {
            let a = s.spawn(|| change("{\"reset\":true}"));
            let b = s.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                change("{\"disabled\":true}")
            });
            (a.join().unwrap(), b.join().unwrap())
        });
        assert!(
            off != 200 || !api.get("/v1/users").ok()["items"][0]["disabled"].is_null(),
            "{reset} {off}"
        );
        change("{\"disabled\":false}");
    }
}

/// Unsupported parts of a request are refused and not ignored, so that clients do not rely on them.
#[test]
fn unsupported_headers_and_values_are_refused() {
    let api = Api::new();
    let with = |path: &str, header: (&str, &str), body: &str| {
        api.call(&api.owner, "POST", path, &[header], body)
    };
    assert_eq!(
        with(
            "/v1/purges",
            ("if-match", "\"0000000000000000\""),
            "{\"reason\":\"relay\"}"
        )
        .problem(),
        "invalid"
    );
    assert_eq!(
        with("/v1/reload", ("idempotency-key", "k"), "").problem(),
        "invalid"
    );
    assert_eq!(
        with("/v1/bulk", ("if-match", "\"0000000000000000\""), "{}").problem(),
        "invalid"
    );
    let long = json!({"reason": "relay", "note": "x".repeat(3000)}).to_string();
    assert_eq!(api.post("/v1/purges", &long).problem(), "invalid");
    assert_eq!(api.get("/v1/changes?after=99999").ok()["gap"], true);
    assert_eq!(
        api.get("/v1/changes?after=18446744073709551615").ok()["gap"],
        true
    );
    assert_eq!(
        api.post("/v1/webhooks", "{\"url\":\"http://x.example:99999/\"}")
            .problem(),
        "invalid"
    );
}

/// Once, clients that did not read occupied all connections of the listener, and all threads.
#[test]
fn clients_that_do_not_read_are_closed_and_others_served() {
    let api = Api::new();
    let lines: String = (0..60_000u32)
        .map(|i| format!("45.{}.{}.{}\n", i >> 16, i >> 8 & 255, i & 255))
        .collect();
    api.f.write("a.txt", &lines);
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    let ask = |path: &str, times: usize| {
        let mut s = TcpStream::connect(api.addr).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            api.owner
        );
        let _ = s.write_all(request.repeat(times).as_bytes());
        s
    };
    let held: Vec<TcpStream> = (0..28)
        .map(|i| {
            ask(
                if i % 2 == 0 {
                    "/v1/zones/bl/export"
                } else {
                    "/openapi.json"
                },
                200,
            )
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    // The look-up still works, and the sixteenth export is told to wait.
    let begun = Instant::now();
    assert_eq!(
        api.call("", "GET", "/lookup?subject=45.0.0.1", &[], "")
            .status,
        200
    );
    // This happens long before the others are closed, even on a busy machine.
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let mut cut = 0;
    std::thread::sleep(Duration::from_secs(17));
    for mut s in held {
        s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut sink = vec![0; 1 << 20];
        // Data in transit arrives, then the end.
        let end = loop {
            match s.read(&mut sink) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(e) => break e.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        cut += usize::from(end);
    }
    assert!(cut >= 20, "{cut} of 28 were cut");
    assert_eq!(api.get("/v1/zones/bl/export").status, 200);
}

/// A request whose body does not arrive times out, and so does a stream whose next line does not
/// arrive.
#[test]
fn slow_request_bodies_time_out() {
    let api = Api::new();
    let send = |path: &str, body: &str| {
        let mut s = TcpStream::connect(api.addr).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\n{body}",
            api.owner
        );
        s.write_all(head.as_bytes()).unwrap();
        s
    };
    let mut single = send("/v1/listings", "{\"subject\":");
    let mut stream = send(
        "/v1/bulk",
        "{\"subject\":\"45.1.1.1\",\"reason\":\"relay\"}\n{\"subj",
    );
    let begun = Instant::now();
    let mut said = vec![0; 4096];
    let n = single.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..n]).into_owned();
    assert!(
        said.starts_with("HTTP/1.1 408") && begun.elapsed() < Duration::from_secs(45),
        "{said}"
    );
    let mut lines = String::new();
    while !lines.contains("\"timeout\"") {
        let mut some = vec![0; 4096];
        let n = stream.read(&mut some).unwrap();
        assert!(n > 0, "{lines}");
        lines += &String::from_utf8_lossy(&some[..n]);
    }
    assert!(
        lines.contains("\"line\":1,\"status\":201") && begun.elapsed() < Duration::from_secs(80),
        "{lines}"
    );
    assert_eq!(
        api.dns("1.1.1.45"),
        "NOERROR 127.0.0.2",
        "the complete line is processed"
    );
}

/// Two thousand idle connections from many addresses are closed after a while, and do not affect
/// the socket.
#[test]
fn thousands_of_idle_connections_do_not_block_other_clients() {
    let api = Api::new();
    let addr: std::net::SocketAddr = api.addr;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let held = runtime.block_on(async {
        let mut held = Vec::new();
        for i in 0..2000u32 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket
                .bind((std::net::Ipv4Addr::from(0x7f00_0100 + i / 25), 0).into())
                .unwrap();
            if let Ok(Ok(s)) =
                tokio::time::timeout(Duration::from_millis(200), socket.connect(addr)).await
            {
                held.push(s);
            }
        }
        held
    });
    assert!(held.len() > 1000, "{}", held.len());
    api.f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    // Each connection is closed after the request timeout; then others get their slots.
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let mut s = TcpStream::connect(addr).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = s.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut said = String::new();
        let _ = s.read_to_string(&mut said);
        if said.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < until, "no client is served");
    }
    drop(held);
}

/// 40 MB that are refused early, sent by a client that writes everything before it reads, and by
/// the command line.
#[test]
fn upload_that_is_refused_early_gets_its_answer() {
    let api = Api::new();
    let big = "45.51.1.1 # a list that is refused\n".repeat(1_200_000);
    api.f.write("big", &big);
    api.f.write("token", &api.owner);
    fs::set_permissions(
        api.f.path().join("token"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let server = format!("http://{}", api.addr);
    for run in 0..10 {
        let mut stream = TcpStream::connect(api.addr).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let head = format!(
            "POST /v1/imports?source=x HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            big.len()
        );
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(big.as_bytes()));
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.starts_with(b"HTTP/1.1 401 "),
            "{run}: {}",
            String::from_utf8_lossy(&answer)
        );
        let import = ["import", "--source", "x", "--reason", "nonsense", "big"];
        let remote = ["--server", &server, "--token", "token"];
        for args in [&import[..], &[&remote[..], &import[..]].concat()] {
            let out = api.f.orbsd(args);
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(
                !out.status.success() && text.contains("nonsense"),
                "{run}, {args:?}: {text}"
            );
        }
    }
}
