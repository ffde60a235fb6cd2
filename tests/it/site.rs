//! The public site, asked by a client of HTTP as browsers and programs do.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{
    api::Api,
    lab::{CONFIG, files_with, free_port},
};

const HTML: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

struct Site {
    api: Api,
    addr: SocketAddr,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut fields = lines.filter_map(|l| l.split_once(": "));
        let found = fields.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

impl Site {
    fn start() -> Site {
        let addr: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let config =
            format!("{CONFIG}[web]\nlisten = \"{addr}\"\nbase_url = \"https://list.example\"\n");
        let api = Api::with(&config);
        Site { api, addr }
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: list.example\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        // The server may answer and close before it has read a body that is too long.
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Reply {
            status: head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0),
            head: head.into(),
            body: body.into(),
        }
    }

    fn page(&self, path: &str) -> Reply {
        self.send("GET", path, HTML, "")
    }

    fn json(&self, path: &str) -> Reply {
        self.send("GET", path, "", "")
    }

    fn form(&self, path: &str, headers: &str, body: &str) -> Reply {
        let headers = format!("{HTML}Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.send("POST", path, &headers, body)
    }
}

#[test]
fn look_up_is_a_page_for_browsers_and_json_for_programs() {
    let site = Site::start();
    site.api.f.ok(&[
        "list",
        "45.51.100.7",
        "--reason",
        "relay",
        "--note",
        "secret note",
    ]);
    for path in [
        "/45.51.100.7",
        "/lookup?subject=45.51.100.7",
        "/lookup?ip=45.51.100.7",
        "/nph-lookup?45.51.100.7",
    ] {
        let page = site.page(path);
        assert_eq!(page.status, 200, "{path}: {}", page.head);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(
            page.body.contains("45.51.100.7</span> has been listed in"),
            "{path}: {}",
            page.body
        );
        assert!(!page.body.contains("secret note"), "{path}");
        let json = site.json(path);
        assert_eq!(json.status, 200, "{path}: {}", json.head);
        let value: Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!(value["listed"], true, "{path}");
        for reply in [page, json] {
            assert_eq!(
                reply.header("vary"),
                Some("Accept, Accept-Language"),
                "{path}"
            );
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(reply.header("x-robots-tag"), Some("noindex"), "{path}");
        }
    }
    let prefix = site.page("/45.51.100.0/24");
    assert_eq!(prefix.status, 200);
    let domain = site.page("/example.com");
    assert!(
        domain.body.contains("is not listed here"),
        "{}",
        domain.body
    );
}

#[test]
fn language_is_chosen_by_the_header_and_by_the_switch() {
    let site = Site::start();
    let german = format!("{HTML}Accept-Language: de-AT,de;q=0.9\r\n");
    let page = site.send("GET", "/", &german, "");
    assert!(page.body.contains("<html lang=\"de\">"), "{}", page.body);
    assert_eq!(page.header("content-language"), Some("de"));
    let page = site.send("GET", "/?lang=ja", &german, "");
    assert!(page.body.contains("<html lang=\"ja\">"), "{}", page.body);
    assert!(
        page.body.contains("action=\"/lookup?lang=ja\""),
        "{}",
        page.body
    );
    let sent = site.form("/lookup?lang=ja", "", "text=192.0.2.1");
    assert_eq!(sent.header("location"), Some("/192.0.2.1?lang=ja"));
}

#[test]
fn pasted_text_leads_to_the_page_of_its_subject_on_this_site() {
    let site = Site::start();
    for (text, path) in [
        ("192.0.2.1", "/192.0.2.1"),
        ("+192.0.2.1%0D%0A", "/192.0.2.1"),
        ("2001:DB8::1", "/2001:db8::1"),
        ("192.0.2.0/24", "/192.0.2.0/24"),
        ("example.com", "/example.com"),
    ] {
        let sent = site.form("/lookup", "", &format!("text={text}"));
        assert_eq!(sent.status, 303, "{text}: {}", sent.body);
        assert_eq!(sent.header("location"), Some(path), "{text}");
    }
    for text in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "%0D%0ALocation:+https://evil.example",
    ] {
        let sent = site.form("/lookup", "", &format!("text={text}"));
        let location = sent.header("location").unwrap_or("/");
        assert!(
            location.starts_with('/') && !location.starts_with("//"),
            "{text}: {location}"
        );
        assert!(!location.contains('\\'), "{text}: {location}");
    }
    let wrong = site.form("/lookup", "", "text=%3Cscript%3Ealert(1)%3C/script%3E");
    assert_eq!(wrong.status, 422, "{}", wrong.head);
    assert!(
        wrong.body.contains("aria-invalid=\"true\""),
        "{}",
        wrong.body
    );
    assert!(!wrong.body.contains("<script>"), "{}", wrong.body);
}

#[test]
fn pasted_text_stays_when_the_language_of_its_answer_is_switched() {
    let site = Site::start();
    let text = "text=554+5.7.1+Service+unavailable%3B+client+%5B45.51.100.7%5D+blocked+using+bl.elsewhere.example%0Ax%22%3Cy";
    let page = site.form("/lookup", "", text);
    assert_eq!(page.status, 200, "{}", page.head);
    let switch = page.body.split("</nav>").next().unwrap();
    assert!(
        switch.contains("formaction=\"/lookup?lang=de\"") && !switch.contains("href=\"/lookup"),
        "{switch}"
    );
    assert!(
        switch.contains("blocked using bl.elsewhere.example\nx&#34;&#60;y\"")
            || switch.contains("blocked using bl.elsewhere.example\nx&#34;&lt;y\""),
        "{switch}"
    );
    let german = site.form("/lookup?lang=de", "", text);
    assert!(
        german.body.contains("<html lang=\"de\">") && german.body.contains("bl.elsewhere.example"),
        "{}",
        german.body
    );
}

#[test]
fn posts_of_other_sites_are_refused() {
    let site = Site::start();
    site.api.f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: https://list.example\r\n",
    ] {
        for path in [
            "/tickets",
            "/claims",
            "/lookup",
            "/tickets/x/retry",
            "/confirm/x",
            "/prove/x",
        ] {
            let sent = site.form(path, headers, "subject=45.51.100.7&text=45.51.100.7");
            assert_eq!(sent.status, 403, "{path} {headers}: {}", sent.head);
        }
    }
    let own = site.form(
        "/lookup",
        "Origin: https://list.example\r\n",
        "text=45.51.100.7",
    );
    assert_eq!(own.status, 303);
    let browser = "Origin: https://list.example\r\nSec-Fetch-Site: same-origin\r\n";
    assert_eq!(site.form("/prove/x", browser, "").status, 403);
}

#[test]
fn path_tricks_and_wrong_methods_are_errors_with_a_page() {
    let site = Site::start();
    for path in [
        "//evil.example",
        "/45.51.100.0%2F24",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2fCargo.toml",
        "/a/b/c",
        "/not_a_subject!",
        "/tickets/AAAAAAAAAAAAAAAAAAAAAAAAAA",
        "/released/AAAAAAAAAAAAAAAA",
        "/evidence/1",
    ] {
        let page = site.page(path);
        assert_eq!(page.status, 404, "{path}: {}", page.head);
        assert!(
            page.body.contains("<h1>This page does not exist</h1>"),
            "{path}: {}",
            page.body
        );
        assert!(page.header("content-security-policy").is_some());
        let json = site.json(path);
        assert_eq!(json.status, 404);
        assert_eq!(
            json.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
    }
    let page = site.page("/192.0.2.1/999");
    assert_eq!(page.status, 422, "{}", page.head);
    assert!(page.body.contains("aria-invalid=\"true\""), "{}", page.body);
    let page = site.send("DELETE", "/", HTML, "");
    assert_eq!(page.status, 405, "{}", page.head);
    assert_eq!(page.header("allow"), Some("GET,HEAD"));
    for path in ["/tickets", "/tickets/x/retry"] {
        assert_eq!(site.page(path).status, 405, "{path}");
    }
}

#[test]
fn bodies_and_queries_have_limits() {
    let site = Site::start();
    let long = format!("text={}", "a".repeat(300_000));
    assert_eq!(site.form("/lookup", "", &long).status, 413);
    let long = format!("text={}", "a".repeat(70_000));
    assert_eq!(site.form("/tickets/x/messages", "", &long).status, 413);
    let long = format!("/lookup?subject={}", "a".repeat(3000));
    assert_eq!(site.page(&long).status, 413);
}

#[test]
fn request_about_an_unlisted_subject_is_refused_with_a_page() {
    let site = Site::start();
    let reply = site.form(
        "/tickets",
        "Origin: https://list.example\r\n",
        "subject=45.51.100.9",
    );
    assert!((400..500).contains(&reply.status), "{}", reply.head);
    assert!(reply.body.contains("<h1>"), "{}", reply.body);
}

#[test]
fn files_of_the_site_are_kept_and_pages_are_not() {
    let site = Site::start();
    let home = site.page("/");
    assert_eq!(home.header("cache-control"), Some("max-age=60"));
    assert_eq!(home.header("x-robots-tag"), None);
    let css = home
        .body
        .split("rel=\"stylesheet\" href=\"")
        .nth(1)
        .unwrap();
    let css = site.page(css.split('"').next().unwrap());
    assert_eq!(css.header("content-type"), Some("text/css; charset=utf-8"));
    assert!(css.header("cache-control").unwrap().contains("immutable"));
    assert!(home.header("set-cookie").is_none());
}

#[test]
fn knowledge_base_is_searched_by_words_and_by_a_pasted_greeting() {
    let site = Site::start();
    for (path, expected) in [
        ("/advice", "/advice/postfix"),
        ("/advice?q=EIMS", "/advice/eims"),
        (
            "/advice?q=220+mail.example.com+ESMTP+Exim+4.96+Mon%2C+30+Nov+2026+14%3A00%3A00+%2B0000",
            "version 4.96",
        ),
        ("/advice/postfix", "reject_unauth_destination"),
        ("/advice/guides/authentication", "587"),
        ("/advice?q=%3Cscript%3Ezzzz", "Nothing was found"),
    ] {
        let page = site.page(path);
        assert_eq!(page.status, 200, "{path}: {}", page.head);
        assert!(page.body.contains(expected), "{path}: {}", page.body);
        assert!(!page.body.contains("<script>"), "{path}");
        assert_eq!(site.json(path).status, 200, "{path}");
    }
    let found: Value = serde_json::from_str(&site.json("/advice?q=postfix").body).unwrap();
    assert_eq!(found["products"][0]["id"], "postfix");
    assert_eq!(site.page("/advice/no-such-product").status, 404);
    assert_eq!(site.page("/advice/guides/no-such-guide").status, 404);
}

#[test]
fn pasted_headers_lead_to_the_host_that_handed_the_message_over() {
    let site = Site::start();
    let headers = "Received: from inner.example.net (inner.example.net [10.0.0.7])\n\tby mx.example.net (Postfix) with ESMTP id 1;\n\tMon, 30 Nov 2026 14:00:01 +0000\nReceived: from relay.example.com (relay.example.com [45.51.100.7])\n\tby inner.example.net (Postfix) with ESMTP id 2;\n\tMon, 30 Nov 2026 14:00:00 +0000\nReceived: from forged.example.org (forged.example.org [46.1.1.1])\n\tby relay.example.com with SMTP id 3; Mon, 30 Nov 2026 13:59:59 +0000\nSubject: x\n";
    let look_up = |own: &str| -> Value {
        let body = serde_json::json!({ "text": headers, "own": own }).to_string();
        let reply = site.send(
            "POST",
            "/lookup",
            "Content-Type: application/json\r\n",
            &body,
        );
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    };
    let found = look_up("");
    assert_eq!(found["subject"], "45.51.100.7", "{found:#}");
    let standing = |found: &Value| -> Vec<String> {
        let hops = found["trace"]["hops"].as_array().unwrap().iter();
        hops.map(|h| h["standing"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(standing(&found), ["own", "handed-over", "unproved"]);
    let found = look_up("45.51.100.0/24");
    assert_eq!(
        found["subject"], "46.1.1.1",
        "the reader marks a server as own"
    );
    let form = form_urlencoded(headers);
    let page = site.form("/lookup", "Sec-Fetch-Site: same-origin\r\n", &form);
    assert!(page.body.contains("was handed over by"), "{}", page.body);
    let body = serde_json::json!({ "text": headers, "own": "nonsense" }).to_string();
    let reply = site.send(
        "POST",
        "/lookup",
        "Content-Type: application/json\r\n",
        &body,
    );
    assert_eq!(reply.status, 422, "{}", reply.body);
    assert!(reply.body.contains("own: `nonsense`"), "{}", reply.body);
}

#[test]
fn pasted_headers_are_neither_stored_nor_logged() {
    let mut site = Site::start();
    site.api.list("45.51.100.99", "relay");
    let headers = "Received: from client-name.example.com (client-name.example.com [45.51.100.7])\n\tby mx.example.net (Postfix) with ESMTP id queue4711;\n\tMon, 30 Nov 2026 14:00:00 +0000\nSubject: words-of-the-subject\n";
    let page = site.form(
        "/lookup",
        "Sec-Fetch-Site: same-origin\r\n",
        &form_urlencoded(headers),
    );
    assert!(page.body.contains("45.51.100.7"), "{}", page.body);
    let body = serde_json::json!({ "text": headers, "own": "45.51.100.0/24" }).to_string();
    let json = "Content-Type: application/json\r\n";
    assert_eq!(site.send("POST", "/lookup", json, &body).status, 200);
    assert!(site.api.daemon.take().unwrap().stop().success());
    for (bytes, is_stored) in [
        (&b"client-name"[..], false),
        (b"queue4711", false),
        (b"words-of-the-subject", false),
        (b"45.51.100.7", false),
        (&[45, 51, 100, 7], false),
        (&[45, 51, 100, 99], true),
    ] {
        let files = files_with(site.api.f.path(), bytes);
        assert_eq!(!files.is_empty(), is_stored, "{bytes:?}: {files:?}");
    }
}

fn form_urlencoded(text: &str) -> String {
    let encoded: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
    format!("text={encoded}")
}

#[test]
fn correction_of_the_knowledge_base_opens_a_ticket_that_an_operator_answers() {
    let site = Site::start();
    let product = site.page("/advice/postfix");
    assert!(
        product
            .body
            .contains("action=\"/advice/postfix/corrections\""),
        "{}",
        product.body
    );
    let browser = "Origin: null\r\nSec-Fetch-Site: same-origin\r\n";
    let body = "entry=&version=3.9&text=The+default+has+changed.&source=the+announcement";
    let path = "/advice/postfix/corrections";
    let forged = site.form(path, "Sec-Fetch-Site: cross-site\r\n", body);
    assert_eq!(forged.status, 403);
    let sent = site.form(path, browser, body);
    assert_eq!(sent.status, 303, "{}{}", sent.head, sent.body);
    let ticket = sent.header("location").unwrap().to_string();
    let page = site.page(&ticket);
    for text in [
        "Your correction about Postfix",
        "The default has changed.",
        "Source: the announcement",
        "href=\"/advice/postfix\"",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    for text in ["Listed now in", "removed", "Removal", "is yours"] {
        assert!(!page.body.contains(text), "{text}: {}", page.body);
    }
    // A program gets the ticket; a page and an entry that do not exist are refused.
    let json = "Content-Type: application/json\r\n";
    let made = site.send("POST", path, json, r#"{"text": "No."}"#);
    assert_eq!(made.status, 201, "{}", made.body);
    let made: Value = serde_json::from_str(&made.body).unwrap();
    assert_eq!(made["kind"], "correction");
    assert_eq!(made["state"], "review");
    for (path, body, status) in [
        (
            "/advice/no-such-product/corrections",
            r#"{"text": "No."}"#,
            404,
        ),
        (path, r#"{"text": "No.", "entry": "no-such-entry"}"#, 422),
        (path, r#"{"text": " "}"#, 422),
    ] {
        let refused = site.send("POST", path, json, body);
        assert_eq!(refused.status, status, "{path} {body}: {}", refused.body);
    }
    let listed = site.api.f.ok(&["tickets", "list", "--waiting"]);
    assert!(
        listed.contains("1 correction postfix review: the knowledge base"),
        "{listed}"
    );
    site.api.f.ok(&["tickets", "approve", "1", "Thank you."]);
    let page = site.page(&ticket);
    assert!(
        page.body
            .contains("Your correction about Postfix was accepted"),
        "{}",
        page.body
    );
    let shown = site.api.get("/v1/tickets/1").ok();
    assert_eq!(shown["kind"], "correction");
    assert_eq!(shown["state"], "granted");
    assert!(shown["removal"].is_null());
}

#[test]
fn pages_of_tests_and_links_have_their_notes_and_the_same_as_json() {
    let site = Site::start();
    let page = site.page("/tests");
    for text in [
        "id=\"test-plain\"",
        "href=\"/advice/exchange-server\"",
        "href=\"#tester-nmap\"",
        "swaks --server mail.example.com",
        "Why does another tester say that I am closed?",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    // The page never says that a server is secure; a product has the word in its name.
    let text = page.body.to_lowercase().replace("cisco secure email", "");
    assert!(!text.replace("cisco-secure-email", "").contains("secure"));
    let tests: Value = serde_json::from_str(&site.json("/tests").body).unwrap();
    assert_eq!(tests["items"][0]["notes"]["testers"][0]["id"], "orbs");
    assert!(tests["testers"].as_array().unwrap().len() >= 10);
    let page = site.page("/links");
    for text in ["id=\"testers\"", "closed since 2024-06-05", "SpamCop"] {
        assert!(page.body.contains(text), "{text}");
    }
    let links: Value = serde_json::from_str(&site.json("/links").body).unwrap();
    assert_eq!(links["groups"][0]["group"], "testers");
}

#[test]
fn correction_of_a_guide_opens_a_ticket_of_its_page() {
    let site = Site::start();
    let path = "/advice/authentication/corrections";
    let guide = site.page("/advice/guides/authentication");
    let form = format!("action=\"{path}\"");
    assert!(guide.body.contains(&form), "{}", guide.body);
    let browser = "Origin: null\r\nSec-Fetch-Site: same-origin\r\n";
    let sent = site.form(path, browser, "version=&text=Port+465+first.&source=");
    assert_eq!(sent.status, 303, "{}{}", sent.head, sent.body);
    let ticket = site.page(sent.header("location").unwrap());
    let link = "href=\"/advice/guides/authentication\"";
    assert!(ticket.body.contains(link), "{}", ticket.body);
    let json = "Content-Type: application/json\r\n";
    let refused = site.send(
        "POST",
        path,
        json,
        r#"{"text": "No.", "entry": "rcpthosts"}"#,
    );
    assert_eq!(refused.status, 422, "{}", refused.body);
}

#[test]
fn command_and_api_give_the_same_advice() {
    let site = Site::start();
    let command = |args: &[&str]| site.api.f.ok(&[&["relay", "advice"][..], args].concat());
    let json = |args: &[&str]| -> Value {
        let base = ["--json", "relay", "advice"];
        serde_json::from_str(&site.api.f.ok(&[&base[..], args].concat())).unwrap()
    };
    assert!(command(&["postfix"]).contains("postconf -e 'mynetworks = "));
    assert_eq!(json(&["postfix"]), site.api.get("/v1/advice/postfix").ok());
    let guide = ["--guide", "authentication"];
    assert_eq!(
        json(&guide),
        site.api.get("/v1/advice/guides/authentication").ok()
    );
    assert_eq!(
        json(&["sendmail", "relay"]),
        site.api.get("/v1/advice?q=sendmail+relay").ok()
    );
    let exim = command(&[
        "--greeting",
        "220 a.example ESMTP Exim 4.96 Mon, 30 Nov 2026 14:00:00 +0000",
    ]);
    assert!(exim.starts_with("Exim 4.96"), "{exim}");
    // Without a product, both have the questions.
    let unknown = json(&["--greeting", "220 a.example mail"]);
    assert_eq!(unknown["questions"].as_array().unwrap().len(), 5);
    let found = site.api.get("/v1/advice?q=zzzz-no-such-word").ok();
    assert_eq!(unknown["questions"], found["questions"]);
    let text = command(&["--greeting", "220 a.example mail"]);
    assert!(text.contains("--guide sending-only"), "{text}");
}
