//! Pages for operators on the listener of the API, with the real daemon: comparisons in a browser,
//! with a user name and a token by HTTP Basic authentication.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::api::{Api, Reply};

/// The `Accept` field of a browser.
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// Sends a request as a browser does, with a user name and a password.
fn browse(api: &Api, method: &str, path: &str, user: &str, password: &str) -> Reply {
    let credentials = BASE64.encode(format!("{user}:{password}").as_bytes());
    let credentials = format!("Basic {credentials}");
    let headers = [HTML, ("authorization", &credentials)];
    api.call("", method, path, &headers, "")
}

fn page(api: &Api, path: &str, token: &str) -> String {
    let reply = browse(api, "GET", path, "olaf", token);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    reply.text()
}

/// A daemon with a comparison, and tokens of an operator and a reader.
fn compared() -> (Api, [String; 2]) {
    let api = Api::new();
    let operator = api.user("olaf", "operator");
    let reader = api.user("rita", "reader");
    api.f.ok(&["list", "45.51.100.1", "--reason", "relay"]);
    let path = "/v1/comparisons?name=rss&zone=bl&file=rss.txt";
    let list = "45.51.100.1\n45.51.100.2\n46.0.0.0/24\n<script>alert(1)</script>\n";
    let compared = api.call(&operator, "POST", path, &[], list).ok();
    assert_eq!(compared["total"]["only_theirs"], 2, "{compared:#}");
    (api, [operator, reader])
}

/// All numbers and texts of a value, but for the names of its fields.
fn leaves(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| leaves(v, out)),
        Value::Object(fields) => fields.values().for_each(|v| leaves(v, out)),
        Value::Number(n) => out.push(n.to_string()),
        Value::String(text) => out.push(text.clone()),
        Value::Bool(_) | Value::Null => {}
    }
}

#[test]
fn page_and_json_of_a_comparison_are_one_value() {
    let (api, [operator, _]) = compared();
    let path = "/v1/comparisons/rss";
    let json = api.call(&operator, "GET", path, &[], "").ok();
    let html = page(&api, path, &operator);
    let mut parts = Vec::new();
    for field in ["name", "title", "zone", "with", "total", "samples", "files"] {
        leaves(&json[field], &mut parts);
    }
    assert!(parts.len() > 20, "{parts:?}");
    for part in parts {
        assert!(html.contains(&part), "{part}: {html}");
    }
    for share in json["shares"].as_array().unwrap() {
        let percent = format!("{:.1} %", share["percent"].as_f64().unwrap());
        assert!(html.contains(&percent), "{percent}: {html}");
    }
    assert!(html.contains("orbsd compare --with rss.txt --zone bl.orbs.example --name rss"));
    // A line that could not be read is shown as text.
    assert_eq!(json["errors"], 1, "{json:#}");
    assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
    assert!(!html.contains("<script"), "{html}");
    let all = page(&api, "/v1/comparisons", &operator);
    assert!(all.contains("href=\"/v1/comparisons/rss\""), "{all}");
    // Programs get JSON from the same resource, whatever a browser gets.
    let accept = [("accept", "application/json")];
    assert_eq!(api.call(&operator, "GET", path, &accept, "").ok(), json);
    // A browser that sends a token as programs do gets the page too.
    let reply = api.call(&operator, "GET", path, &[HTML], "");
    assert_eq!(reply.text(), html);
}

#[test]
fn page_has_links_to_the_files_and_headers_that_protect_it() {
    let (api, [operator, _]) = compared();
    let html = page(&api, "/v1/comparisons/rss", &operator);
    for (file, lines) in [
        ("rsslist.txt", 3),
        ("rss-vs-bl.txt", 2),
        ("rss-vs-bl-ok.txt", 0),
    ] {
        let path = format!("/v1/comparisons/rss/{file}");
        assert!(html.contains(&format!("href=\"{path}\"")), "{path}: {html}");
        let reply = browse(&api, "GET", &path, "olaf", &operator);
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.text().lines().count(), lines, "{path}");
    }
    let reply = browse(&api, "GET", "/v1/comparisons", "olaf", &operator);
    let policy = reply.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(
        !policy.contains("script") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert!(!reply.header("x-request-id").is_empty());
    let head = browse(&api, "HEAD", "/v1/comparisons", "olaf", &operator);
    assert_eq!((head.status, head.body.len()), (200, 0));
    // The style sheet is there without credentials, as it has nothing of the store.
    let text = reply.text();
    let sheet = text.split("href=\"/assets/site.").nth(1).unwrap();
    let sheet = format!("/assets/site.{}", sheet.split('"').next().unwrap());
    let sheet = api.call("", "GET", &sheet, &[], "");
    assert_eq!(sheet.header("content-type"), "text/css; charset=utf-8");
}

#[test]
fn page_needs_the_permission_of_the_json() {
    let (api, [operator, reader]) = compared();
    for path in [
        "/v1/comparisons",
        "/v1/comparisons/rss",
        "/v1/comparisons/rss/rsslist.txt",
    ] {
        let reply = api.call("", "GET", path, &[HTML], "");
        assert_eq!(reply.status, 401, "{path}");
        assert!(
            reply.header("www-authenticate").starts_with("Basic "),
            "{path}"
        );
        assert!(!reply.text().contains("45.51.100"), "{path}");
        assert_eq!(
            browse(&api, "GET", path, "rita", &reader).status,
            403,
            "{path}"
        );
        assert_eq!(
            browse(&api, "GET", path, "olaf", &operator).status,
            200,
            "{path}"
        );
        // The user name is that of the token, and the password is the whole token.
        assert_eq!(
            browse(&api, "GET", path, "rita", &operator).status,
            401,
            "{path}"
        );
        assert_eq!(
            browse(&api, "GET", path, "olaf", "orbsd_x_y").status,
            401,
            "{path}"
        );
        // A program is asked for a token, as before.
        let reply = api.call("", "GET", path, &[], "");
        assert_eq!(reply.problem(), "unauthorized");
        assert!(
            reply.header("www-authenticate").starts_with("Bearer "),
            "{path}"
        );
    }
    assert_eq!(
        browse(&api, "GET", "/v1/comparisons/none", "olaf", &operator).status,
        404
    );
    let overlap = browse(&api, "GET", "/v1/overlap", "rita", &reader);
    assert_eq!(overlap.status, 200, "{}", overlap.text());
}

/// A browser adds the credentials to requests that other sites make it send.
#[test]
fn credentials_of_a_browser_change_nothing() {
    let (api, [operator, _]) = compared();
    let path = "/v1/comparisons?name=other&zone=bl";
    for (method, path) in [
        ("POST", path),
        ("DELETE", "/v1/comparisons/rss"),
        ("POST", "/v1/listings"),
        // Nor are they accepted for what has no page.
        ("GET", "/v1/listings"),
        ("GET", "/v1/audit"),
    ] {
        let reply = browse(&api, method, path, "olaf", &operator);
        assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text());
        assert!(reply.header("www-authenticate").starts_with("Bearer "));
    }
    // Nor for the JSON of a page.
    let credentials = BASE64.encode(format!("olaf:{operator}").as_bytes());
    let credentials = format!("Basic {credentials}");
    let headers = [
        ("accept", "application/json"),
        ("authorization", &credentials),
    ];
    assert_eq!(
        api.call("", "GET", "/v1/comparisons", &headers, "").status,
        401
    );
    let names = api.call(&operator, "GET", "/v1/comparisons", &[], "").ok();
    assert_eq!(names["items"].as_array().unwrap().len(), 1, "{names:#}");
}

#[test]
fn wrong_tokens_of_browsers_are_limited_as_those_of_programs() {
    let (api, [operator, _]) = compared();
    let status = || browse(&api, "GET", "/v1/comparisons", "olaf", "orbsd_x_y").status;
    let tries: Vec<u16> = (0..25).map(|_| status()).collect();
    assert_eq!((tries[0], tries[24]), (401, 429), "{tries:?}");
    let program = api.call("orbsd_x_y", "GET", "/v1/comparisons", &[], "");
    assert_eq!(program.status, 429);
    page(&api, "/v1/comparisons", &operator);
}

#[test]
fn overlap_is_a_matrix_of_the_sources() {
    let (api, [operator, _]) = compared();
    for (source, list) in [("alpha", "45.52.0.1\n45.52.0.2\n"), ("beta", "45.52.0.2\n")] {
        api.f.write(source, list);
        api.f
            .ok(&["import", "--source", source, "--reason", "relay", source]);
    }
    let html = page(&api, "/v1/overlap", &operator);
    for part in ["1 (50.0 %)", "1 (100.0 %)", "alpha and beta"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let json = api.call(&operator, "GET", "/v1/overlap", &[], "").ok();
    let pairs = json["pairs"].as_array().unwrap();
    let is_pair = |p: &&Value| {
        let [a, b] = [0, 1].map(|i| p["sides"][i]["source"].as_str().unwrap());
        [(a, b), (b, a)].contains(&("alpha", "beta"))
    };
    let pair = pairs.iter().find(is_pair).unwrap();
    assert_eq!(pair["both"], json!(1), "{json:#}");
}
