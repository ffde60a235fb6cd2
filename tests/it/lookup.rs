//! Look-ups on the public listener of a real daemon: the five answers, pasted bounces, the past,
//! reverse names, and hostile texts.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use ureq::http;

use crate::{
    api::Api,
    lab::{CONFIG, DOMAINS, ZONE, free_port},
    name_server::NameServer,
};

const LISTED: &str = "45.51.100.7";

/// A daemon with its public listener, and a DNS server that records what is asked.
struct Site {
    api: Api,
    web: SocketAddr,
    names: NameServer,
}

impl Site {
    fn new() -> Site {
        Site::with_zones(&[("bl", ZONE), ("dbl", DOMAINS)])
    }

    fn with_zones(zones: &[(&str, &str)]) -> Site {
        let web: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let dns: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let names = NameServer::start(dns);
        names.pointer(LISTED.parse().unwrap(), "mail.sender.example");
        names.address("mail.sender.example", LISTED.parse().unwrap());
        let config = format!(
            "{CONFIG}[web]\nlisten = \"{web}\"\nbase_url = \"https://list.example\"\n[http_client]\nresolvers = [\"{dns}\"]\n\
             [probe]\nasn_table = \"asn.txt\"\n\
             [[feed]]\nname = \"xbl\"\npath = \"xbl.txt\"\nreason = \"netblock\"\ninterval = \"1s\"\ntitle = \"Exploits\"\n\
             lookup_url = \"https://exploits.example/?q={{}}\"\nremoval_url = \"https://exploits.example/remove\"\n"
        );
        // Relative paths start at the folder of the configuration.
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("asn.txt");
        let feed = folder.path().join("xbl.txt");
        std::fs::write(&table, "45.51.0.0/16 64500 Example Net\n").unwrap();
        std::fs::write(&feed, "45.60.1.1\n45.60.9.0/24\n").unwrap();
        let config = config
            .replace("\"asn.txt\"", &format!("\"{}\"", table.display()))
            .replace("\"xbl.txt\"", &format!("\"{}\"", feed.display()));
        let api = Api::with_zones(&config, zones);
        // The daemon has read both files when the feed is refreshed.
        let until = Instant::now() + Duration::from_secs(30);
        while api.get("/v1/feeds/xbl").ok()["refreshed"].is_null() {
            assert!(Instant::now() < until, "{}", api.f.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Site { api, web, names }
    }

    fn call(&self, method: &str, path: &str, accept: &str, body: &str) -> (u16, String, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.web))
            .header("accept", accept)
            .header("content-type", "application/json");
        let sent = match method {
            "GET" => agent.run(request.body(()).unwrap()),
            _ => agent.run(request.body(body.to_string()).unwrap()),
        };
        let mut reply = sent.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let location = reply.headers().get("location");
        let location = location.map_or("", |l| l.to_str().unwrap()).to_string();
        let status = reply.status().as_u16();
        (status, reply.body_mut().read_to_string().unwrap(), location)
    }

    /// The JSON of a page.
    fn get(&self, path: &str) -> Value {
        let (status, body, _) = self.call("GET", path, "application/json", "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The JSON for a pasted text.
    fn paste(&self, text: &str) -> Value {
        let body = json!({ "text": text }).to_string();
        let (status, body, _) = self.call("POST", "/lookup", "application/json", &body);
        assert_eq!(status, 200, "{text}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The page for a pasted text.
    fn paste_html(&self, text: &str) -> (u16, String, String) {
        let body = json!({ "text": text }).to_string();
        self.call("POST", "/lookup", "text/html", &body)
    }

    fn delist(&self, subject: &str) {
        self.api.f.ok(&["delist", subject]);
    }
}

fn bounce(client: &str, zone: &str) -> String {
    format!(
        "<bob@dest.example>: host mx.dest.example[8.20.30.40] said: 554 5.7.1 Service\n    unavailable; Client host [{client}] blocked using {zone}; see the list\n    (in reply to RCPT TO command)\n"
    )
}

const WIDE: &str = "origin = 'wide.orbs.example'\nkind = 'address'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n\
    publish = [{ reason = 'relay', width = { ipv6 = 64 }, code = '127.0.0.9' }]\n";

#[test]
fn look_up_of_a_neighbour_leads_to_the_listed_address() {
    let site = Site::with_zones(&[("bl", ZONE), ("wide", WIDE)]);
    let (listed, neighbour) = ("2a01:4f8:1::1", "2a01:4f8:1::77");
    site.api.list(listed, "relay");
    let found = site.get(&format!("/{neighbour}"));
    assert_eq!(found["answer"], "listed");
    let reason = &found["zones"][0]["reasons"][0];
    assert_eq!(reason["listed"], listed, "{found:#}");
    assert_eq!(reason["network"], "2a01:4f8:1::/64", "{found:#}");
    assert_eq!(found.get("removal"), None, "{found:#}");
    for (language, text) in [
        ("en", "is listed, and this list has the whole network"),
        ("de", "das ganze Netz"),
        ("ja", "ネットワーク"),
    ] {
        let path = format!("/{neighbour}?lang={language}");
        let (_, page, _) = site.call("GET", &path, "text/html", "");
        let is_linked = page.contains(&format!("/{listed}"));
        assert!(page.contains(text) && is_linked, "{language}: {page}");
    }
    let request = json!({ "subject": neighbour, "message": "please" }).to_string();
    let (status, problem, _) = site.call("POST", "/tickets", "application/json", &request);
    assert_eq!(status, 404, "{problem}");
    assert!(
        problem.contains("because 2a01:4f8:1::1 is listed"),
        "{problem}"
    );
    site.delist(listed);
    assert_eq!(site.get(&format!("/{neighbour}"))["listed"], false);
}

#[test]
fn look_up_begins_with_one_of_five_answers() {
    let site = Site::new();
    site.api.list(LISTED, "relay");
    let found = site.get(&format!("/{LISTED}"));
    assert_eq!(found["answer"], "listed");
    let reason = &found["zones"][0]["reasons"][0];
    assert_eq!(
        (&reason["reason"], &reason["listed"]),
        (&json!("relay"), &json!(LISTED))
    );
    assert_eq!(reason.get("source"), None, "{reason}");
    assert_eq!(found["timeline"][0]["kind"], "listed");
    assert_eq!(
        found["network"],
        json!({"asn": 64500, "holder": "Example Net"})
    );
    assert_eq!(
        found["dig"][0],
        "dig +noall +answer 7.100.51.45.bl.orbs.example A 7.100.51.45.bl.orbs.example TXT"
    );
    assert!(found["cache_seconds"].as_u64().unwrap() > 0);
    assert!(!found["removal"].as_array().unwrap().is_empty(), "{found}");
    let text = found.to_string();
    assert!(!text.contains("root") && !text.contains("author"), "{text}");

    site.delist(LISTED);
    let found = site.get(&format!("/{LISTED}"));
    assert_eq!(
        (&found["answer"], &found["listed"]),
        (&json!("was-listed"), &json!(false))
    );
    assert_eq!(found["past"]["zones"], json!(["bl.orbs.example"]));
    assert_eq!(found["past"]["everywhere_at"], found["past"]["ended"]);
    let kinds: Vec<&str> = found["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"removed") && kinds.contains(&"listed"),
        "{kinds:?}"
    );

    for subject in ["45.60.1.1", "45.60.9.8"] {
        let found = site.get(&format!("/{subject}"));
        assert_eq!(found["answer"], "listed-by-source", "{found}");
        let source = &found["zones"][0]["reasons"][0]["source"];
        assert_eq!(source["title"], "Exploits");
        assert_eq!(
            source["lookup_url"],
            format!("https://exploits.example/?q={subject}")
        );
        assert_eq!(source["removal_url"], "https://exploits.example/remove");
        assert!(found["what_to_do"].as_str().unwrap().contains("Exploits"));
    }

    let found = site.paste(&bounce("45.51.100.99", "zen.spamhaus.org"));
    assert_eq!(
        (&found["answer"], &found["subject"]),
        (&json!("other-list"), &json!("45.51.100.99"))
    );
    let list = &found["other_lists"][0];
    assert_eq!(
        (&list["name"], &list["alive"]),
        (&json!("Spamhaus ZEN"), &json!(true))
    );
    assert!(
        list["lookup_url"]
            .as_str()
            .unwrap()
            .contains("45.51.100.99"),
        "{list}"
    );
    assert_eq!(found["bounce"]["refusing_host"], "mx.dest.example");

    let found = site.get("/45.51.100.99");
    assert_eq!(found["answer"], "never-listed");
    assert_eq!(found["what_to_do"], "Nothing: it is not listed here.");
}

#[test]
fn bounce_of_our_zone_for_an_unlisted_subject_is_an_old_copy() {
    let site = Site::new();
    site.api.list(LISTED, "relay");
    let text = bounce(LISTED, "bl.orbs.example");
    let found = site.paste(&text);
    assert_eq!(
        (&found["answer"], &found["bounce"]["stale"]),
        (&json!("listed"), &json!(false))
    );
    site.delist(LISTED);
    let found = site.paste(&text);
    assert_eq!(
        (&found["answer"], &found["bounce"]["stale"]),
        (&json!("was-listed"), &json!(true))
    );
    assert!(
        found["what_to_do"].as_str().unwrap().contains("old copy"),
        "{found}"
    );
    let found = site.paste(&bounce("45.51.100.99", "bl.orbs.example"));
    assert_eq!(
        (&found["answer"], &found["bounce"]["stale"]),
        (&json!("never-listed"), &json!(true))
    );
    // A link of our own, and a queried name, are only the subject.
    for text in [
        "https://list.example/45.51.100.7",
        "7.100.51.45.bl.orbs.example",
        "[45.51.100.7]:25",
    ] {
        let (status, _, location) = site.paste_html(text);
        assert_eq!((status, location.as_str()), (303, "/45.51.100.7"), "{text}");
    }
}

#[test]
fn wider_prefix_that_lists_or_listed_is_named() {
    let site = Site::new();
    site.api.list("45.70.0.0/16", "relay");
    site.api.list("45.80.1.0", "relay");
    let found = site.get("/45.70.3.4");
    assert_eq!(
        (&found["answer"], &found["zones"][0]["reasons"][0]["listed"]),
        (&json!("listed"), &json!("45.70.0.0/16"))
    );
    for path in [
        "/45.70.0.0/16",
        "/45.70.3.0/24",
        "/lookup?subject=45.70.3.0/24",
    ] {
        assert_eq!(site.get(path)["answer"], "listed", "{path}");
    }
    assert_eq!(
        site.get("/45.80.1.0/24")["answer"],
        "never-listed",
        "only its first address is listed"
    );
    assert_eq!(site.get("/45.80.1.0")["answer"], "listed");
    // A hold of one address ends the listing of the range for it.
    let held = json!({"subject": "45.70.3.4", "reason": "relay", "until": "10d"}).to_string();
    site.api.post("/v1/holds", &held).ok();
    let found = site.get("/45.70.3.4");
    assert_eq!(
        (&found["answer"], &found["past"]["zones"]),
        (&json!("was-listed"), &json!(["bl.orbs.example"]))
    );
    site.delist("45.70.0.0/16");
    let found = site.get("/45.70.3.5");
    assert_eq!(found["answer"], "was-listed", "{found}");
    assert_eq!(site.get("/45.71.3.5")["answer"], "never-listed");
}

#[test]
fn domain_is_looked_up_in_both_its_forms() {
    let site = Site::new();
    site.api.list("xn--bcher-kva.example", "spam");
    for path in [
        "/xn--bcher-kva.example",
        "/lookup?subject=b%C3%BCcher.example",
    ] {
        let found = site.get(path);
        assert_eq!(found["answer"], "listed", "{path}");
        assert_eq!(
            (&found["subject"], &found["unicode"]),
            (&json!("xn--bcher-kva.example"), &json!("bücher.example"))
        );
    }
    // A homograph of a well-known name shows its A-label.
    let found = site.get("/lookup?subject=%D0%B0%D1%80%D1%80%D3%8F%D0%B5.com");
    assert_eq!(found["subject"], "xn--80ak6aa92e.com");
    let (_, page, _) = site.call(
        "GET",
        "/lookup?subject=%D0%B0%D1%80%D1%80%D3%8F%D0%B5.com",
        "text/html",
        "",
    );
    assert!(page.contains("xn--80ak6aa92e.com"));
    let found =
        site.paste("554 Sender address [a@xn--bcher-kva.example] blocked using dbl.orbs.example");
    assert_eq!(
        (&found["answer"], &found["subject"]),
        (&json!("listed"), &json!("xn--bcher-kva.example"))
    );
}

#[test]
fn reverse_name_is_found_in_the_background_for_listed_addresses_only() {
    let site = Site::new();
    site.names.take_asked();
    for path in [
        "/45.51.100.99",
        "/lookup?subject=45.51.100.98",
        "/nobody.example",
    ] {
        site.get(path);
    }
    site.paste(&bounce("45.51.100.97", "zen.spamhaus.org"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(site.names.take_asked(), Vec::<String>::new());
    site.api.list(LISTED, "relay");
    let first = site.get(&format!("/{LISTED}"));
    assert_eq!(first.get("host_name"), None, "no page waits: {first}");
    let until = Instant::now() + Duration::from_secs(20);
    let found = loop {
        let found = site.get(&format!("/{LISTED}"));
        if found["host_name"].is_object() {
            break found;
        }
        assert!(Instant::now() < until, "{:?}", site.names.take_asked());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (
            &found["host_name"]["name"],
            &found["host_name"]["confirmed"]
        ),
        (&json!("mail.sender.example"), &json!(true))
    );
    let asked = site.names.take_asked();
    assert!(
        asked
            .iter()
            .all(|n| n.starts_with("7.100.51.45.") || *n == "mail.sender.example"),
        "{asked:?}"
    );
    let metrics = site.api.get("/metrics").text();
    assert!(metrics.contains("orbsd_reverse_names_known 1"), "{metrics}");
}

#[test]
fn hostile_texts_stay_text() {
    let site = Site::new();
    for text in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "45.51.100.7<script>alert(1)</script>",
        "blocked using <svg onload=alert(1)>.example",
        "\u{202e}7.001.15.54",
        "\u{1b}[31mred",
        "javascript:alert(1)",
        "https://evil.example/%3Cscript%3E",
        "{{ 7*7 }}",
        "a\r\nSet-Cookie: x=y",
    ] {
        let (status, page, location) = site.paste_html(text);
        assert!([200, 303, 422].contains(&status), "{text}: {status}");
        for bad in [
            "<script>alert",
            "onerror=alert(1)>",
            "<svg onload",
            "\u{1b}",
        ] {
            assert!(!page.contains(bad), "{text}: {bad}");
        }
        assert!(
            location.is_empty() || location.starts_with('/') && !location.starts_with("//"),
            "{location}"
        );
    }
    for path in [
        "/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/..%2f..%2fetc%2fpasswd",
        "/wp-login.php",
        "/%00",
        "/%E2%80%AE1.2.3.4",
    ] {
        for accept in ["text/html", "application/json"] {
            let (status, page, _) = site.call("GET", path, accept, "");
            assert!([400, 404, 422].contains(&status), "{path}: {status}");
            assert!(!page.contains("<script>alert"), "{path}");
        }
    }
    let (status, page, _) = site.call(
        "GET",
        "/lookup?subject=%3Cscript%3Ealert(1)%3C/script%3E",
        "text/html",
        "",
    );
    assert!(status == 422 && !page.contains("<script>alert"), "{status}");
    let large = "x ".repeat(40_000);
    let (status, _, _) = site.paste_html(&large);
    assert!([413, 422].contains(&status), "{status}");
}
