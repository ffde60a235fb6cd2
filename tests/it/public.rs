//! The pages about the lists, with the real daemon.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    browser::crawl::{crawl, get},
    lab::{Daemon, Folder, free_port, query, udp},
    relay::mta::connect,
};

const CONFIG: &str = r#"
[admin]
listen = ""
[dns]
listen = ["127.0.0.1:PORT"]
workers = 1
[web]
listen = "127.0.0.1:WEB"
base_url = "http://127.0.0.1:WEB"
[site]
name = "Example lists"
operator = "The <Example> operator"
contact = "list@orbs.example"
alternate_contact = "https://status.example.net/orbs"
legal_notice = "Example Street 1\nExample Town"
[[reason]]
name = "relay"
text = "Open relay, see https://orbs.example/$"
lifetime = "90d"
[[reason]]
name = "dynamic"
text = "Dynamic range $"
lifetime = "365d"
[[reason]]
name = "manual"
text = "Listed by hand $"
lifetime = "90d"
require_approval = true
[[reason]]
name = "spam"
text = "Spam $"
lifetime = "30d"
[[reason]]
name = "own-reason"
text = "A reason <of the operator> $"
"#;

const COMMON: &str =
    "ns = ['ns1.orbs.example', 'ns2.orbs.example']\ncontact = 'hostmaster@orbs.example'\n";

/// A daemon with a site.
struct Site {
    folder: Folder,
    base: String,
    _daemon: Daemon,
}

impl Site {
    fn new() -> Site {
        let web = free_port();
        let zone = |origin: &str, kind: &str, rest: &str| {
            format!("origin = '{origin}'\nkind = '{kind}'\n{COMMON}{rest}")
        };
        let zones = [
            (
                "bl",
                zone(
                    "bl.orbs.example",
                    "address",
                    "publish = [{ reason = 'relay', code = '127.0.0.2' }, { reason = 'manual', code = '127.0.0.9' }, { reason = 'own-reason', code = '127.0.0.14' }]",
                ),
            ),
            (
                "dyn",
                zone(
                    "dyn.orbs.example",
                    "address",
                    "publish = [{ reason = 'dynamic', code = '127.0.0.10' }]\n[about]\nrecommended = 'score'\nuse_for = 'Scoring mail of <dynamic> ranges.'",
                ),
            ),
            (
                "dbl",
                zone(
                    "dbl.orbs.example",
                    "domain",
                    "publish = [{ reason = 'spam', code = '127.0.1.2' }]",
                ),
            ),
            ("catalog", zone("catalog.orbs.example", "catalog", "")),
        ];
        let zones: Vec<(&str, &str)> = zones.iter().map(|(n, t)| (*n, t.as_str())).collect();
        let folder = Folder::with(&CONFIG.replace("WEB", &web.to_string()), &zones);
        let daemon = Daemon::start(&folder);
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", web)).is_err() {
            assert!(Instant::now() < until, "{}", folder.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        folder.ok(&["list", "45.51.100.7", "--reason", "relay"]);
        folder.ok(&["list", "45.60.0.0/16", "--reason", "dynamic"]);
        folder.ok(&["list", "bad.example", "--reason", "spam"]);
        Site {
            folder,
            base: format!("http://127.0.0.1:{web}"),
            _daemon: daemon,
        }
    }

    fn html(&self, path: &str) -> String {
        let response = get(&self.base, path, "en");
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        response.body
    }

    /// Opens a connection from an address, and sends a part of a request.
    fn connect(&self, source: impl Into<IpAddr>, part: &str) -> TcpStream {
        let site: SocketAddr = self.base.trim_start_matches("http://").parse().unwrap();
        let mut stream = connect(source.into(), site).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        stream
    }

    fn json(&self, path: &str) -> Value {
        let mut response = ureq::get(format!("{}{path}", self.base))
            .header("accept", "application/json")
            .call()
            .unwrap_or_else(|e| panic!("{path}: {e}"));
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }
}

/// Parses XML with an independent parser, and returns the texts of some elements.
fn xml_texts(xml: &str, elements: &[&str]) -> Vec<String> {
    let program = "import sys, xml.etree.ElementTree as E\n\
                   root = E.parse(sys.stdin.buffer).getroot()\n\
                   for n in sys.argv[1:]:\n    \
                   for e in root.iter('{http://www.w3.org/2005/Atom}' + n): print(n, repr(e.text))";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .args(elements)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), xml.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{xml}");
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(String::from)
        .collect()
}

#[test]
fn no_link_of_the_site_is_dead_or_leads_to_an_unknown_host() {
    let site = Site::new();
    site.folder.ok(&[
        "notice",
        "add",
        "A feed was purged.\n\nAll is well again.",
        "--title",
        "Purge",
    ]);
    let start = ["/", "/45.51.100.7", "/zones/dyn", "/bad.example"].map(String::from);
    let found = crawl(&site.base, &start);
    assert!(found.broken.is_empty(), "{:#?}", found.broken);
    for path in [
        "/zones",
        "/zones/bl",
        "/zones/dbl",
        "/policy",
        "/tests",
        "/opt-out",
        "/open-relay",
        "/advice",
        "/links",
        "/notices",
        "/status",
    ] {
        assert!(found.pages.contains_key(path), "no link leads to {path}");
    }
    for (path, page) in &found.pages {
        // The knowledge base and the page of links lead to pages of others.
        let is_about_others = path.starts_with("/advice") || path.starts_with("/links");
        let external = page.body.split("href=\"http").skip(1);
        for part in external.filter(|_| !is_about_others) {
            let link = part.split('"').next().unwrap_or_default();
            assert!(
                link.starts_with("s://status.example.net/"),
                "{path}: http{link}"
            );
        }
        assert!(
            !page.body.contains("<dynamic>") && !page.body.contains("<of the"),
            "{path}"
        );
    }
}

#[test]
fn list_page_has_codes_test_points_and_settings_of_its_zone() {
    let site = Site::new();
    let page = site.html("/zones/bl");
    for part in [
        "127.0.0.9",
        "2.0.0.127.bl.orbs.example",
        "1.0.0.127.bl.orbs.example",
        "reject_rbl_client bl.orbs.example=127.0.0.[2;9;14]",
        "dnslists    = bl.orbs.example=127.0.0.2,127.0.0.9,127.0.0.14",
        "FEATURE(`enhdnsbl&#39;, `bl.orbs.example&#39;",
        "Let one sender through",
        "Exempt one recipient",
        "If the list is down",
        "filter-dnsbl",
        "A reason &lt;of the operator&gt;",
        "data-copy",
    ] {
        let shown = page
            .replace("&#x27;", "&#39;")
            .replace("&#60;", "&lt;")
            .replace("&#62;", "&gt;");
        assert!(shown.contains(part), "{part} is missing\n{page}");
    }
    // A list that is one sign among several has no settings that refuse mail.
    let score = site.html("/zones/dyn.orbs.example");
    assert!(!score.contains("reject_rbl_client") && score.contains("postscreen_dnsbl_sites"));
    let domains = site.html("/zones/dbl");
    assert!(domains.contains("reject_rhsbl_sender dbl.orbs.example=127.0.1.2"));
    assert!(domains.contains("dig +short test.dbl.orbs.example"));
    assert_eq!(get(&site.base, "/zones/catalog", "en").status, 404);
    assert_eq!(get(&site.base, "/zones/nowhere", "en").status, 404);
    let json = site.json("/zones/bl");
    assert_eq!(json["codes"][0]["code"], "127.0.0.2");
    assert_eq!(json["recipes"][0]["parts"][0]["purpose"], "use");
}

#[test]
fn status_shows_zones_figures_and_current_notices() {
    let site = Site::new();
    let status = site.json("/status");
    assert_eq!(status["up"], true);
    let list = |alias: &str| {
        let lists = status["lists"].as_array().unwrap();
        lists.iter().find(|l| l["alias"] == alias).unwrap().clone()
    };
    assert_eq!(list("bl")["entries"], 1);
    assert_eq!(list("dyn")["entries"], 1);
    assert_eq!(list("dbl")["entries"], 1);
    assert!(
        list("bl")["age_seconds"].as_u64().is_some_and(|s| s < 120),
        "{status:#}"
    );
    assert_eq!(status["removals_30_days"], 0);
    assert!(
        !status["lists"]
            .as_array()
            .unwrap()
            .iter()
            .any(|l| l["alias"] == "catalog")
    );
    let page = site.html("/status");
    assert!(
        page.contains("bl.orbs.example: one entry") && page.contains("<svg"),
        "{page}"
    );
    let added = site.folder.ok(&[
        "notice",
        "add",
        "A mirror is down.",
        "--title",
        "Mirror & <b>x</b>",
    ]);
    let page = site.html("/status");
    assert!(
        page.contains("Mirror &amp; &lt;b&gt;x&lt;/b&gt;")
            || page.contains("Mirror &#38; &#60;b&#62;x"),
        "{added}\n{page}"
    );
    assert!(site.html("/").contains("class=\"banner\""));
}

#[test]
fn feed_of_notices_is_valid_atom() {
    let site = Site::new();
    let empty = get(&site.base, "/notices.atom", "en");
    assert!(
        empty.content_type.starts_with("application/atom+xml"),
        "{}",
        empty.content_type
    );
    assert_eq!(xml_texts(&empty.body, &["entry"]).len(), 0);
    let title = "Purge of <xbl> & \"others\"";
    site.folder.ok(&[
        "notice",
        "add",
        "First line ]]> <b>\n\nSecond.",
        "--title",
        title,
    ]);
    let feed = get(&site.base, "/notices.atom", "en").body;
    let found = xml_texts(
        &feed,
        &["title", "id", "updated", "published", "content", "name"],
    );
    let has = |part: &str| found.iter().any(|l| l.contains(part));
    for part in [
        "title 'Example lists'",
        "Purge of <xbl> & \"others\"",
        "First line ]]> <b>",
        "/notices#notice-1",
        "name 'The <Example> operator'",
    ] {
        assert!(has(part), "{part} is missing: {found:#?}");
    }
    // RFC 4287 section 4.1: each feed and entry has exactly one id, title and updated.
    for (element, count) in [("id", 2), ("title", 2), ("updated", 2), ("published", 1)] {
        let n = found
            .iter()
            .filter(|l| l.starts_with(&format!("{element} ")))
            .count();
        assert_eq!(n, count, "{element}: {found:#?}");
    }
}

#[test]
fn files_for_programs_say_who_to_contact_and_what_to_index() {
    let site = Site::new();
    let security = get(&site.base, "/.well-known/security.txt", "en");
    assert!(security.content_type.starts_with("text/plain"));
    let line = |name: &str| {
        let found = security
            .body
            .lines()
            .find_map(|l| l.strip_prefix(name))
            .unwrap_or_default();
        found.trim_start_matches(": ").to_string()
    };
    assert_eq!(line("Contact"), "mailto:list@orbs.example");
    assert!(line("Expires").ends_with("T00:00:00Z"), "{}", security.body);
    assert_eq!(
        line("Canonical"),
        format!("{}/.well-known/security.txt", site.base)
    );
    let robots = get(&site.base, "/robots.txt", "en").body;
    assert!(
        robots.contains("Disallow: /\n") && robots.contains("Allow: /policy"),
        "{robots}"
    );
    let header = |path: &str| {
        let response = ureq::get(format!("{}{path}", site.base))
            .header("accept", "text/html")
            .call()
            .unwrap();
        response.headers().get("x-robots-tag").is_some()
    };
    assert!(header("/45.51.100.7") && !header("/policy"));
}

/// How a duty of RFC 6471 is met.
enum Duty {
    /// A page says it.
    Page(&'static str, &'static str),
    /// A command does it: its arguments, whether it succeeds, and a part of its output.
    Command(&'static [&'static str], bool, &'static str),
    /// Other tests show it, or it is up to the operator.
    Elsewhere(&'static str),
}

use Duty::{Command as Run, Elsewhere, Page};

/// The duties B1 to B29 of RFC 6471, in the order of its sections.
#[rustfmt::skip]
const DUTIES: [(u8, &[Duty]); 29] = [
    (1, &[Page("/policy", "Reasons for a listing"), Page("/", "href=\"/policy\"")]),
    (2, &[Run(&["list", "45.51.100.9", "--reason", "nonsense"], false, "nonsense"), Page("/policy", "Only what meets the criteria")]),
    (3, &[Page("/zones/bl", "What it is for"), Page("/zones/bl", "What it is not for")]),
    (4, &[Elsewhere("the pages are served over HTTP, and this test makes no DNS query for them; the operator chooses the host of base_url")]),
    (5, &[Page("/45.51.100.7", "45.51.100.7"), Page("/45.51.100.7", "bl.orbs.example")]),
    (6, &[Page("/policy", "Proof and history"), Elsewhere("the time line of a look-up is tested by src/http/lookup and tests/it/api")]),
    (7, &[Page("/policy", "Tests and traps list single addresses"), Page("/zones", "As one sign among several")]),
    (8, &[Run(&["lookup", "45.51.100.7"], true, "until"), Page("/zones/bl", "90 days")]),
    (9, &[Page("/policy", "A second person approves each listing."), Page("/policy", "No; a person reviews it")]),
    (10, &[Page("/policy", "90 days after the last evidence")]),
    (11, &[Page("/45.51.100.7", "method=\"post\""), Page("/policy", "mailto:list@orbs.example")]),
    (12, &[Page("/policy", "We do not use our own lists for mail to our contact address"), Elsewhere("tests/it/relay: the public listener answers clients at listed addresses")]),
    (13, &[Page("/policy", "https://status.example.net/orbs")]),
    (14, &[Page("/policy", "answered within two days and decided within seven"), Elsewhere("the clocks of tickets are tested in src/tickets and by their metrics")]),
    (15, &[Page("/policy", "Everybody may ask for a removal")]),
    (16, &[Page("/policy", "if new evidence lists it again, the next one waits longer"), Elsewhere("limits and waits are tested in src/tickets")]),
    (17, &[Page("/policy", "A removal has no other conditions")]),
    (18, &[Page("/policy", "There is no fee, no donation and no faster way for money"), Page("/", "Free. No account.")]),
    (19, &[Elsewhere("`orbsd check` warns of an origin that is not a sub-domain: src/model/zone.rs")]),
    (20, &[Page("/zones", "dyn.orbs.example"), Page("/zones", "bl.orbs.example")]),
    (21, &[Page("/status", "Mirrors"), Elsewhere("capacity and name servers are up to the operator; transfers and mirrors are tested in tests/it/mirrors")]),
    (22, &[Page("/zones/bl", "is always listed, with every code"), Page("/zones/bl", "is never listed"), Page("/zones/dbl", "invalid")]),
    (23, &[Page("/policy", "None mixes good and bad entries")]),
    (24, &[Page("/policy", "announced a month ahead"), Run(&["retire", "--help"], true, "--empty-at")]),
    (25, &[Run(&["list", "127.0.0.1", "--reason", "relay"], false, "127.0.0.1"), Run(&["list", "10.0.0.1", "--reason", "relay"], false, "10.0.0.1"), Page("/policy", "reserved and local addresses are never listed")]),
    (26, &[Page("/tests", "No network is ever scanned"), Page("/tests", "No host is tested more than once in 24 hours")]),
    (27, &[Page("/policy", "The first removal is immediate"), Page("/policy", "the host is tested again, and removed when it is closed")]),
    (28, &[Page("/zones/bl", "Ask through your own resolver"), Elsewhere("counters of refused and malformed queries are tested in tests/it/metrics.rs; clients are refused by [query]")]),
    (29, &[Run(&["purge", "--help"], true, "--source"), Page("/policy", "we correct all of it, prevent it from coming back, and report it"), Page("/notices", "There are no notices.")]),
];

#[test]
fn every_duty_of_rfc_6471_is_met_or_explained() {
    let site = Site::new();
    let mut missing = Vec::new();
    for (i, (number, checks)) in DUTIES.iter().enumerate() {
        assert_eq!(usize::from(*number), i + 1, "a duty is missing");
        assert!(!checks.is_empty(), "B{number}");
        for check in *checks {
            match check {
                Page(path, part) => {
                    let page = site.html(path).replace("&#x27;", "'").replace("&#39;", "'");
                    if !page.contains(part) {
                        missing.push(format!("B{number}: {path} does not say `{part}`"));
                    }
                }
                Run(args, succeeds, part) => {
                    let out = site.folder.orbsd(args);
                    let text = String::from_utf8_lossy(&out.stdout).into_owned()
                        + &String::from_utf8_lossy(&out.stderr);
                    if out.status.success() != *succeeds || !text.contains(part) {
                        missing.push(format!("B{number}: orbsd {args:?}: {text}"));
                    }
                }
                Elsewhere(reason) => assert!(reason.len() > 20, "B{number}"),
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    // B22 in DNS: the test points of both kinds of zones.
    let answers = |name: &str| {
        let reply = udp(
            site.folder.addr(),
            &query(name, 1, true),
            Duration::from_secs(3),
        )
        .unwrap();
        u16::from_be_bytes([reply[6], reply[7]])
    };
    assert_eq!(answers("2.0.0.127.bl.orbs.example"), 3);
    assert_eq!(answers("1.0.0.127.bl.orbs.example"), 0);
    assert_eq!(answers("test.dbl.orbs.example"), 1);
    assert_eq!(answers("invalid.dbl.orbs.example"), 0);
}

/// The head of a form with a bounce, and the first part of its body.
const SLOW_FORM: &str = "POST /lookup HTTP/1.1\r\nhost: x\r\naccept: text/html\r\nconnection: close\r\n\
    content-type: application/x-www-form-urlencoded\r\ncontent-length: 500\r\n\r\ntext=45.51.100.7+";

/// Reads the status of a response until the connection is closed.
fn status_of(mut stream: TcpStream) -> String {
    let mut response = String::new();
    let read = stream.read_to_string(&mut response);
    let line = response.lines().next().unwrap_or_default();
    format!(
        "{line} {}",
        read.err().map_or(String::new(), |e| e.to_string())
    )
}

#[test]
fn idle_connections_and_slow_forms_of_many_addresses_do_not_keep_others_out() {
    let site = Site::new();
    let source = |n: u16| [127, 30 + (n % 8) as u8, (n / 8) as u8, 1];
    let idle: Vec<TcpStream> = (0..400).map(|n| site.connect(source(n), "")).collect();
    let mut slow: Vec<TcpStream> = (0..80)
        .map(|n| site.connect(source(n), SLOW_FORM))
        .collect();
    for path in ["/", "/45.51.100.7", "/status"] {
        for client in [[127, 0, 0, 1], [127, 99, 0, 1]] {
            let begun = Instant::now();
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/html\r\nconnection: close\r\n\r\n"
            );
            let status = status_of(site.connect(client, &request));
            let elapsed = begun.elapsed();
            assert!(
                status.starts_with("HTTP/1.1 200") && elapsed < Duration::from_secs(5),
                "{path} for {client:?}: {status} after {elapsed:?}"
            );
        }
    }
    // A slow client that goes on gets its page as well.
    let mut honest = slow.pop().unwrap();
    let rest = 500 - SLOW_FORM.split("\r\n\r\n").nth(1).unwrap().len();
    honest.write_all("+".repeat(rest).as_bytes()).unwrap();
    let status = status_of(honest);
    assert!(status.starts_with("HTTP/1.1 303"), "{status}");
    drop((idle, slow));
}

#[test]
fn form_whose_body_does_not_arrive_times_out() {
    let site = Site::new();
    let begun = Instant::now();
    let status = status_of(site.connect([127, 30, 0, 1], SLOW_FORM));
    assert!(
        status.starts_with("HTTP/1.1 408") && begun.elapsed() < Duration::from_secs(45),
        "{status} after {:?}",
        begun.elapsed()
    );
}
