//! Permissions: the table of routes and roles, tokens, users, the audit log.

use std::io::{Read, Write};

use orbsd::model::Role;
use serde_json::json;

use super::Api;
use crate::lab::CONFIG;

/// Calls every route of the table with a token of every role, and without a token. A forbidden
/// request is refused before its body is read.
#[test]
fn permissions_of_every_role_match_the_table() {
    let api = Api::new();
    let tokens: Vec<(Role, String)> = Role::ALL
        .iter()
        .map(|r| (*r, api.token("program", r.name(), &[])))
        .collect();
    for (method, path, least) in routes(&api) {
        let (method, path) = (method.as_str(), path.as_str());
        let path = path
            .replace("{id}", "x")
            .replace("{seq}", "0")
            .replace("{name}", "x")
            .replace("{code}", "x")
            .replace("{zone}", "nowhere")
            .replace("{subject}", "45.1.1.1");
        let open = api.call("", method, &path, &[], "");
        match least {
            None => assert!(
                ![401, 403].contains(&open.status),
                "{method} {path}: {open:?}"
            ),
            Some(_) => assert_eq!(
                (open.status, open.problem().as_str()),
                (401, "unauthorized"),
                "{method} {path}"
            ),
        }
        for (role, token) in &tokens {
            // The guard decides before it reads the body, and no body here has an effect.
            let reply = api.call(token, method, &path, &[], "{\"nothing\":");
            let refused = least.is_some_and(|l| *role < l);
            assert_eq!(
                reply.status == 403,
                refused,
                "{method} {path} as {}: {}",
                role.name(),
                reply.text()
            );
            assert_ne!(reply.status, 401, "{method} {path}");
            assert!(reply.status < 500, "{method} {path}: {}", reply.text());
            assert_eq!(reply.header("x-request-id").len(), 16, "{method} {path}");
        }
    }
}

/// Returns all routes of the OpenAPI document, each with the role that it requires.
fn routes(api: &Api) -> Vec<(String, String, Option<Role>)> {
    let document = api.call("", "GET", "/openapi.json", &[], "").json();
    let mut out = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let description = operation["description"].as_str().unwrap_or("");
            let role = description
                .split_once("Requires the role `")
                .map(|(_, rest)| rest.split('`').next().unwrap().parse().unwrap());
            out.push((method.to_uppercase(), path.clone(), role));
        }
    }
    assert!(out.len() > 80, "{out:?}");
    out
}

#[test]
fn token_is_invalid_after_its_expiry_its_revocation_or_with_a_disabled_user() {
    let api = Api::new();
    let anna = api
        .f
        .json(&["user", "add", "anna", "--role", "editor", "--json"]);
    assert_eq!(anna["recovery_codes"].as_array().unwrap().len(), 10);
    assert!(
        anna["totp_uri"]
            .as_str()
            .unwrap()
            .contains("otpauth://totp/orbsd:anna")
    );
    let password = anna["password"].as_str().unwrap();
    assert!(password.len() >= 20);
    assert!(
        !String::from_utf8_lossy(&std::fs::read(api.f.path().join("log")).unwrap())
            .contains(password)
    );
    let refused = api
        .f
        .orbsd(&["token", "create", "--owner", "anna", "--role", "operator"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("anna has the role editor"));
    let token = api.token("anna", "editor", &[]);
    let status = |token: &str| api.call(token, "GET", "/v1/reasons", &[], "").status;
    assert_eq!(status(&token), 200);
    // A lower role of the user limits the token.
    api.f.ok(&["user", "role", "anna", "reader"]);
    assert_eq!(
        api.call(&token, "POST", "/v1/listings", &[], "{}").status,
        403
    );
    api.f.ok(&["user", "disable", "anna"]);
    assert_eq!(status(&token), 401);
    api.f.ok(&["user", "enable", "anna"]);
    assert_eq!(status(&token), 200);
    let id = token.split('_').nth(1).unwrap().to_string();
    api.f.ok(&["token", "revoke", &id]);
    assert_eq!(status(&token), 401);
    let short = api.token("program", "reader", &["--expires", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(status(&short), 401);
    // Malformed tokens are refused too: another secret, another ID, other schemes.
    let good = api.token("program", "reader", &[]);
    let (head, tail) = good.split_at(good.len() - 1);
    let other = format!("{head}{}", if tail == "a" { "b" } else { "a" });
    for bad in [other.as_str(), "orbsd_x_y", "x", &good.to_uppercase()] {
        assert_eq!(status(bad), 401, "{bad}");
    }
    let all = api.f.json(&["token", "list", "--json"]);
    let shown = all["items"].as_array().unwrap();
    assert!(
        shown.iter().any(|t| !t["last_used"].is_null()) && !all.to_string().contains("hash"),
        "{all}"
    );
    // The last owner cannot be demoted.
    api.f.ok(&["user", "add", "otto", "--role", "owner"]);
    let refused = api.f.orbsd(&["user", "disable", "otto"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("last owner"));
}

#[test]
fn token_is_limited_by_its_restrictions_and_its_rate_limit() {
    let api = Api::new();
    let bound = api.token(
        "feed",
        "editor",
        &["--reason", "relay", "--prefix", "45.0.0.0/8"],
    );
    let list = |subject: &str, reason: &str| {
        api.call(
            &bound,
            "POST",
            "/v1/listings",
            &[],
            &json!({"subject": subject, "reason": reason}).to_string(),
        )
    };
    assert_eq!(list("45.1.1.1", "relay").status, 201);
    assert_eq!(list("46.1.1.1", "relay").problem(), "forbidden");
    assert_eq!(list("45.1.1.1", "netblock").problem(), "forbidden");
    let lines = "{\"subject\":\"45.1.1.2\",\"reason\":\"relay\"}\n{\"subject\":\"46.1.1.2\",\"reason\":\"relay\"}\n{\"op\":\"delist\",\"subject\":\"45.1.1.1\"}\n";
    let answers = api.call(&bound, "POST", "/v1/bulk", &[], lines).text();
    let status: Vec<u64> = answers
        .lines()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["status"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(status, [201, 403, 403], "{answers}");
    let slow = api.token("slow", "reader", &["--per-minute", "3"]);
    let replies: Vec<_> = (0..5)
        .map(|_| api.call(&slow, "GET", "/v1/reasons", &[], ""))
        .collect();
    let all: Vec<u16> = replies.iter().map(|r| r.status).collect();
    // A new minute may have begun in between.
    assert!(
        all[..3].iter().all(|s| *s == 200) && all.iter().filter(|s| **s == 429).count() >= 1,
        "{all:?}"
    );
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(reply.header("ratelimit-limit"), "3", "{n}");
        let left: u32 = reply.header("ratelimit-remaining").parse().unwrap();
        assert!(
            left < 3 && (left == 0 || reply.status == 200),
            "{n}: {left}"
        );
        let reset: u64 = reply.header("ratelimit-reset").parse().unwrap();
        assert!((1..=60).contains(&reset), "{n}: {reset}");
    }
    assert_eq!(api.get("/v1/reasons").header("ratelimit-limit"), "");
    // The client is told to wait until the next minute, not for a fixed ten seconds.
    let told = replies.iter().find(|r| r.status == 429).unwrap();
    let wait: u64 = told.header("retry-after").parse().unwrap();
    assert!(
        (1..=60).contains(&wait) && told.json()["retry_after"] == wait,
        "{}",
        told.text()
    );
}

/// Once, 21 wrong tokens blocked valid ones from the same address for the rest of the minute.
#[test]
fn valid_token_is_accepted_after_invalid_ones_from_the_same_address() {
    let api = Api::new();
    let wrong = |token: &str| api.call(token, "GET", "/v1/reasons", &[], "");
    let statuses: Vec<u16> = (0..45).map(|_| wrong("orbsd_aaaaaaaa_b").status).collect();
    assert!(
        statuses[..20].iter().all(|s| *s == 401) && statuses[40..].iter().all(|s| *s == 429),
        "{statuses:?}"
    );
    for _ in 0..30 {
        assert_eq!(api.get("/v1/reasons").status, 200);
    }
    // Wrong tokens are still refused, with the time to wait.
    let told = wrong("x");
    assert_eq!(
        (told.status, told.problem().as_str()),
        (429, "too-many-requests")
    );
    assert!((1..=60).contains(&told.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(api.call("", "GET", "/v1/reasons", &[], "").status, 401);
}

#[test]
fn every_write_has_an_audit_record() {
    let api = Api::new();
    let token = api.token("anna", "editor", &[]);
    let body =
        json!({"subject": "45.1.1.1", "reason": "relay", "note": "seen by hand"}).to_string();
    let made = api.call(&token, "POST", "/v1/listings", &[], &body).ok();
    api.f.ok(&["delist", "45.1.1.1", "--note", "closed"]);
    api.f.write("a.txt", "46.1.1.1\n46.1.1.2\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    let lines = api.f.orbsd(&["audit", "--json"]);
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&lines.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let what: Vec<&str> = lines
        .iter()
        .map(|l| l["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        what,
        ["import", "delist", "list", "token.create", "token.create"]
    );
    assert_eq!(
        (
            &lines[2]["author"],
            &lines[2]["from"],
            &lines[2]["target"],
            &lines[2]["note"],
            &lines[2]["commit"]
        ),
        (
            &json!("anna"),
            &json!("127.0.0.1"),
            &json!("45.1.1.1"),
            &json!("seen by hand"),
            &made["commit"]
        )
    );
    assert!(
        lines[1]["from"] == "socket" && lines[1]["author"].as_str().unwrap().starts_with("uid:"),
        "{}",
        lines[1]
    );
    assert!(
        lines[0]["detail"].as_str().unwrap().starts_with("2 added"),
        "{}",
        lines[0]
    );
    let page = api.get("/v1/audit?action=list&author=anna").ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let page = api.get("/v1/audit?limit=2").ok();
    let next = page["next"].as_str().unwrap();
    assert_eq!(
        api.get(&format!("/v1/audit?limit=2&after={next}")).ok()["items"][0]["action"],
        "list"
    );
    let ndjson = api.call(
        &api.owner,
        "GET",
        "/v1/audit",
        &[("accept", "application/x-ndjson")],
        "",
    );
    assert_eq!(ndjson.text().lines().count(), 5);
}

#[test]
fn listing_that_requires_approval_waits_for_a_second_person() {
    let api = Api::with(&CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    ));
    let (anna, bert) = (api.user("anna", "editor"), api.user("bert", "editor"));
    let body = json!({"subject": "45.1.0.0/16", "reason": "netblock"}).to_string();
    let made = api.call(&anna, "POST", "/v1/listings", &[], &body);
    assert_eq!(made.status, 202, "{}", made.text());
    let id = made.json()["proposal"].as_str().unwrap().to_string();
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    assert_eq!(api.get("/v1/proposals").ok()["items"][0]["author"], "anna");
    let approve = |token: &str| {
        api.call(
            token,
            "POST",
            &format!("/v1/proposals/{id}/approve"),
            &[],
            "",
        )
    };
    assert_eq!(approve(&anna).problem(), "forbidden");
    approve(&bert).ok();
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.3");
    assert_eq!(approve(&bert).problem(), "not-found");
    // Listings by a reporter always wait for approval.
    let reporter = api.token("carl", "reporter", &[]);
    let body = json!({"subject": "46.1.1.1", "reason": "relay"}).to_string();
    let id = api
        .call(&reporter, "POST", "/v1/listings", &[], &body)
        .json()["proposal"]
        .as_str()
        .unwrap()
        .to_string();
    api.call(&anna, "DELETE", &format!("/v1/proposals/{id}"), &[], "")
        .ok();
    assert!(
        api.get("/v1/proposals").ok()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(api.dns("1.1.1.46"), "NXDOMAIN soa 60");
}

/// Each malformed request gets a 4xx response or a closed connection, and the daemon continues.
#[test]
fn malformed_requests_are_refused_without_effect() {
    let api = Api::new();
    let raw = |bytes: &[u8]| {
        let mut s = std::net::TcpStream::connect(api.addr).unwrap();
        s.set_read_timeout(Some(std::time::Duration::from_secs(5)))
            .unwrap();
        let _ = s.write_all(bytes);
        let _ = s.shutdown(std::net::Shutdown::Write);
        let mut out = Vec::new();
        let _ = s.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    for bad in [
        &b"\0\0\0"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/reasons HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\nb\r\n\r\n",
        b"GET /v1/reasons HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
        b"POST /v1/bulk HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/bulk HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nzz\r\n",
        &[&b"GET /"[..], &[b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat(),
    ] {
        let said = raw(bad);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    // A body that is longer than a single change can be is not read to its end.
    let big = format!(
        "{{\"subject\":\"45.1.1.1\",\"note\":\"{}\"}}",
        "x".repeat(300_000)
    );
    assert_eq!(
        api.post("/v1/listings", &big).problem(),
        "content-too-large"
    );
    // Header injection: no response header repeats text of the client.
    let reply = api.get("/v1/zones/x%0d%0aset-cookie:%20a=b/export");
    assert!(
        reply.status == 404 && reply.header("set-cookie").is_empty(),
        "{reply:?}"
    );
    assert_eq!(api.get("/v1/reasons").status, 200);
}

/// Idle connections are limited for each address, and do not keep other clients out.
#[test]
fn connections_of_one_address_are_limited() {
    let api = Api::new();
    let held: Vec<_> = (0..200)
        .filter_map(|_| std::net::TcpStream::connect(api.addr).ok())
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    api.f.ok(&["status"]); // the socket's door is another one
    drop(held);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(api.get("/v1/reasons").status, 200);
}

#[test]
fn me_returns_the_caller_with_role_restrictions_and_token() {
    let api = Api::new();
    let token = api.token(
        "feed",
        "editor",
        &["--reason", "relay", "--per-minute", "60", "--expires", "1d"],
    );
    let me = api.call(&token, "GET", "/v1/me", &[], "").ok();
    assert_eq!(
        (&me["name"], &me["role"], &me["bounds"]["reasons"]),
        (&json!("feed"), &json!("editor"), &json!(["relay"]))
    );
    assert_eq!(me["from"], "127.0.0.1");
    assert!(
        me["token"]["per_minute"] == 60 && me["token"]["expires"].is_string(),
        "{me}"
    );
}

/// RFC 9457: the type of a problem is the URL of a page that explains it.
#[test]
fn problem_type_is_a_page_of_this_server() {
    let api = Api::new();
    let problem = api.get("/v1/listings/x").json();
    let expected = format!("http://{}/problems/not-found", api.addr);
    assert_eq!(problem["type"], expected);
    let page = api.call("", "GET", "/problems/not-found", &[], "");
    assert!(page.status == 200 && page.text().starts_with("not-found (404)"));
}
