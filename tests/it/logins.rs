//! Recent log-ins: a volatile zone of the real daemon, and mail servers that use it.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    api::{Api, Reply},
    lab::{CONFIG, Folder, ZONE, files_with, query, shown, udp},
    mail_host::MailHost,
};

pub const LOGINS: &str = r#"
origin = "logins.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
durability = "volatile"
[query]
allow = ["127.0.0.1"]
[logins]
allow = ["dovecot"]
"#;

/// A second zone, with a lifetime of two seconds and another program.
fn short() -> String {
    let short = LOGINS.replace("logins.orbs", "short.orbs");
    short.replace("[\"dovecot\"]", "[\"courier\"]\nlifetime = \"2s\"")
}

fn api() -> Api {
    let short = short();
    Api::with_zones(
        CONFIG,
        &[("bl", ZONE), ("logins", LOGINS), ("short", &short)],
    )
}

/// The DNS answer for a name in a zone.
fn dns(api: &Api, zone: &str, reversed: &str) -> String {
    let q = query(&format!("{reversed}.{zone}.orbs.example"), 1, true);
    shown(&udp(api.f.addr(), &q, Duration::from_secs(5)).unwrap())
}

fn log_in(api: &Api, token: &str, zone: &str, address: &str) -> Reply {
    let body = json!({ "addresses": [address] }).to_string();
    api.call(
        token,
        "POST",
        &format!("/v1/zones/{zone}/logins"),
        &[],
        &body,
    )
}

#[test]
fn log_in_is_published_before_it_is_acknowledged_and_until_its_end() {
    let api = api();
    let token = api.token("courier", "login", &[]);
    assert!(dns(&api, "short", "7.100.51.45").starts_with("NXDOMAIN"));
    let began = Instant::now();
    let reply = log_in(&api, &token, "short", "45.51.100.7").ok();
    assert_eq!(
        (&reply["published"], &reply["left_out"]),
        (&json!(1), &json!(0))
    );
    let acknowledged = Instant::now();
    assert!(dns(&api, "short", "7.100.51.45").contains("127.0.0.2"));
    assert!(dns(&api, "short", "100.51.45").starts_with("NOERROR"));
    // The end is two seconds after the request was processed.
    let lifetime = Duration::from_secs(2);
    let mut last_seen = acknowledged;
    loop {
        let asked = Instant::now();
        if !dns(&api, "short", "7.100.51.45").contains("127.0.0.2") {
            assert!(asked.elapsed() + (asked - began) >= lifetime);
            break;
        }
        last_seen = asked;
        assert!(
            asked - acknowledged <= lifetime,
            "it is published for too long"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        last_seen - began > Duration::from_secs(1),
        "it ended too early"
    );
    assert!(dns(&api, "short", "100.51.45").starts_with("NXDOMAIN"));
}

#[test]
fn token_with_the_role_login_reports_to_its_zone_and_does_nothing_else() {
    let api = api();
    let token = api.token("dovecot", "login", &[]);
    log_in(&api, &token, "logins", "45.51.100.7").ok();
    log_in(&api, &token, "logins.orbs.example", "2606:4700::7").ok();
    let refused = log_in(&api, &token, "short", "45.51.100.7");
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("name it in `allow` of [logins]"),
        "{}",
        refused.text()
    );
    for (method, path) in [
        ("GET", "/v1/zones/logins/logins"),
        ("GET", "/v1/zones"),
        ("GET", "/v1/me"),
        ("GET", "/metrics"),
        ("POST", "/v1/listings"),
    ] {
        let reply = api.call(&token, method, path, &[], "{}");
        assert_eq!(reply.status, 403, "{method} {path}");
    }
    // Another token of a higher role, which the zone does not name.
    let editor = api.token("editor", "editor", &[]);
    assert_eq!(log_in(&api, &editor, "logins", "45.51.100.9").status, 403);
    assert_eq!(log_in(&api, "", "logins", "45.51.100.9").status, 401);
    assert!(dns(&api, "logins", "9.100.51.45").starts_with("NXDOMAIN"));
    // A token that is restricted to a prefix, and an operator.
    let bound = api.token("dovecot", "login", &["--prefix", "45.51.0.0/16"]);
    log_in(&api, &bound, "logins", "45.51.100.9").ok();
    assert_eq!(log_in(&api, &bound, "logins", "45.52.100.9").status, 403);
    assert!(dns(&api, "logins", "9.100.52.45").starts_with("NXDOMAIN"));
    let path = "/v1/zones/logins/logins?address=45.51.100.9";
    let ended = api.call(&bound, "DELETE", path, &[], "").ok();
    assert_eq!(ended["ended"], true);
    assert!(dns(&api, "logins", "9.100.51.45").starts_with("NXDOMAIN"));
    let again = api.call(&api.owner, "DELETE", path, &[], "").ok();
    assert_eq!(again["ended"], false);
}

#[test]
fn request_with_a_wrong_address_changes_nothing() {
    let api = api();
    let post = |body: &str| api.post("/v1/zones/logins/logins", body);
    for (body, part) in [
        (r#"{"addresses": []}"#, "1 to 1000"),
        (
            r#"{"addresses": ["45.51.100.7", "45.51.100.0/24"]}"#,
            "addresses.1",
        ),
        (
            r#"{"addresses": ["45.51.100.7", "x.example"]}"#,
            "addresses.1",
        ),
        (r#"{"address": "45.51.100.7"}"#, "unknown field"),
    ] {
        let reply = post(body);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (422, "invalid"),
            "{body}"
        );
        assert!(reply.text().contains(part), "{body}: {}", reply.text());
    }
    let many: Vec<String> = (0..1001)
        .map(|n| format!("45.51.{}.{}", n / 250, n % 250))
        .collect();
    assert_eq!(post(&json!({ "addresses": many }).to_string()).status, 422);
    assert!(dns(&api, "logins", "7.100.51.45").starts_with("NXDOMAIN"));
    let reply = post(&json!({ "addresses": many[..1000] }).to_string()).ok();
    assert_eq!(reply["published"], 1000);
    // Clients cannot be told apart by these.
    let reply = post(r#"{"addresses": ["127.0.0.1", "::1", "fe80::1", "::ffff:45.60.1.1"]}"#).ok();
    assert_eq!(
        (&reply["published"], &reply["left_out"]),
        (&json!(1), &json!(3))
    );
    assert!(dns(&api, "logins", "1.1.60.45").contains("127.0.0.2"));
    for zone in ["bl", "nowhere"] {
        let reply = log_in(&api, &api.owner, zone, "45.51.100.7");
        assert!(
            [404, 409].contains(&reply.status),
            "{zone}: {}",
            reply.text()
        );
    }
}

#[test]
fn counts_and_presence_are_for_operators() {
    let api = api();
    let token = api.token("dovecot", "login", &[]);
    for address in ["45.51.100.7", "45.51.100.7", "45.51.100.8"] {
        log_in(&api, &token, "logins", address).ok();
    }
    let counts = api.get("/v1/zones/logins/logins").ok();
    let of = |key: &str| counts[key].as_u64().unwrap();
    assert_eq!([of("entries"), of("reported"), of("evicted")], [2, 3, 0]);
    assert_eq!((of("lifetime_seconds"), of("max_entries")), (1800, 1 << 20));
    assert!(counts["login"].is_null());
    let shown = api.f.ok(&["logins", "logins", "--address", "45.51.100.8"]);
    assert!(
        shown.contains("logins.orbs.example: 2 of at most 1048576"),
        "{shown}"
    );
    assert!(
        shown.contains("45.51.100.8 is published until 2"),
        "{shown}"
    );
    let absent = api
        .f
        .orbsd(&["logins", "logins", "--address", "45.51.100.9"]);
    assert_eq!(absent.status.code(), Some(1));
    let personal = |address: &str| {
        let report = api.f.json(&["privacy", "show", address, "--json"]);
        report["findings"].to_string().contains("recent-logins")
    };
    assert!(personal("45.51.100.8") && !personal("45.51.100.9"));
    let metrics = api.get("/metrics").text();
    for line in [
        "orbsd_logins{zone=\"logins.orbs.example\"} 2",
        "orbsd_logins_reported_total{zone=\"logins.orbs.example\"} 3",
        "orbsd_logins_evicted_total{zone=\"logins.orbs.example\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn log_ins_stay_at_a_reload_and_are_gone_after_a_start_and_never_on_disk() {
    let mut api = api();
    let token = api.token("dovecot", "login", &[]);
    log_in(&api, &token, "logins", "45.51.100.7").ok();
    api.list("45.51.100.99", "relay");
    api.f.ok(&["reload"]);
    assert!(dns(&api, "logins", "7.100.51.45").contains("127.0.0.2"));
    let events = api.get("/v1/changes").ok().to_string();
    let audit = api.get("/v1/audit").ok().to_string();
    assert!(events.contains("45.51.100.99") && audit.contains("45.51.100.99"));
    assert!(!events.contains("45.51.100.7\"") && !audit.contains("45.51.100.7\""));
    let subject = api.get("/v1/subjects/45.51.100.7").ok();
    assert_eq!(subject["listed"], false, "{subject}");
    assert!(
        !subject.to_string().contains("logins.orbs.example"),
        "{subject}"
    );
    assert!(api.daemon.take().unwrap().stop().success());
    for (bytes, is_there) in [
        (&b"45.51.100.7"[..], false),
        (&[45, 51, 100, 7], false),
        (&[45, 51, 100, 99], true),
    ] {
        let files = files_with(api.f.path(), bytes);
        assert_eq!(!files.is_empty(), is_there, "{bytes:?}: {files:?}");
    }
    api.start();
    assert!(dns(&api, "logins", "7.100.51.45").starts_with("NXDOMAIN"));
}

#[test]
fn volatile_zone_is_neither_transferred_nor_exported_nor_shown() {
    let catalog = "origin = 'catalog.orbs.example'\nkind = 'catalog'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\ntransfer.allow = ['127.0.0.1']\n";
    let web = crate::lab::free_port();
    let config = format!("{CONFIG}[web]\nlisten = \"127.0.0.1:{web}\"\n");
    let api = Api::with_zones(
        &config,
        &[("bl", ZONE), ("logins", LOGINS), ("catalog", catalog)],
    );
    log_in(&api, &api.owner, "logins", "45.51.100.7").ok();
    for qtype in [251, 252] {
        let q = query("logins.orbs.example", qtype, true);
        let reply = shown(&crate::lab::tcp(api.f.addr(), &q).unwrap());
        assert!(reply.starts_with("REFUSED"), "{reply}");
    }
    let soa = query("logins.orbs.example", 6, true);
    let soa = shown(&udp(api.f.addr(), &soa, Duration::from_secs(5)).unwrap());
    assert!(soa.starts_with("NOERROR"), "{soa}");
    for path in ["export", "export?format=axfr", "export/report?format=list"] {
        let reply = api.get(&format!("/v1/zones/logins/{path}"));
        assert_eq!(reply.status, 409, "{path}: {}", reply.text());
    }
    let members = api.get("/v1/zones/catalog/export").text();
    assert!(
        members.contains("bl.orbs.example") && !members.contains("logins"),
        "{members}"
    );
    let public = Api {
        addr: ([127, 0, 0, 1], web).into(),
        ..api
    };
    let lists = public
        .call("", "GET", "/zones", &[("accept", "application/json")], "")
        .text();
    assert!(
        lists.contains("bl.orbs.example") && !lists.contains("logins"),
        "{lists}"
    );
}

#[test]
fn check_refuses_an_open_volatile_zone_and_its_export() {
    let check = |config: &str, zone: &str| {
        let f = Folder::with(config, &[("bl", ZONE), ("logins", zone)]);
        let out = f.orbsd(&["check"]);
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    let (fine, text) = check(CONFIG, LOGINS);
    assert!(fine, "{text}");
    let (fine, text) = check(CONFIG, &LOGINS.replace("127.0.0.1", "0.0.0.0/0"));
    assert!(
        !fine && text.contains("logins.toml:8:") && text.contains("who is logged in"),
        "{text}"
    );
    let (fine, text) = check(
        CONFIG,
        &LOGINS.replace("[query]\nallow = [\"127.0.0.1\"]\n", ""),
    );
    assert!(!fine && text.contains("who is logged in"), "{text}");
    let export = "[[export]]\nzone = \"logins\"\nformat = \"list\"\npath = \"x\"\n";
    let (fine, text) = check(&format!("{CONFIG}{export}"), LOGINS);
    assert!(!fine && text.contains("not exported"), "{text}");
}

#[test]
fn documented_zone_has_every_key_of_log_ins_and_passes_check() {
    let page = fs::read_to_string("docs/recent-logins.md").unwrap();
    let (_, rest) = page.split_once("```toml\n# zones/logins.toml\n").unwrap();
    let (zone, _) = rest.split_once("```").unwrap();
    let zone = format!(
        "ns = ['ns1.orbs.example', 'ns2.orbs.example']\ncontact = 'hostmaster@orbs.example'\n{zone}"
    );
    for key in ["allow", "lifetime", "code", "text", "ipv6_prefix"] {
        assert!(zone.contains(&format!("\n{key} = ")), "{key}");
    }
    let f = Folder::with(CONFIG, &[("bl", ZONE), ("logins", &zone)]);
    let out = f.orbsd(&["check"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && !text.contains("logins"), "{text}");
}

/// Neither strangers nor programs can use the zone as it is shipped, and only its own machine may
/// query it.
#[test]
fn shipped_zone_of_log_ins_is_closed_until_it_names_others() {
    let shipped = fs::read_to_string("zones/logins.toml").unwrap();
    let api = Api::with_zones(CONFIG, &[("bl", ZONE), ("logins", &shipped)]);
    let token = api.token("dovecot", "login", &[]);
    let refused = log_in(&api, &token, "logins", "45.51.100.7");
    assert_eq!(refused.status, 403, "{}", refused.text());
    let q = query("2.0.0.127.logins.orbs.example", 1, true);
    let from = |source: &str| {
        let socket = std::net::UdpSocket::bind((source, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket.send_to(&q, api.f.addr()).unwrap();
        let mut reply = [0; 512];
        let len = socket.recv(&mut reply).unwrap();
        shown(&reply[..len])
    };
    assert!(from("127.0.0.1").contains("127.0.0.2"));
    assert!(from("127.0.0.9").starts_with("REFUSED"));
    let named = shipped.replace("allow = []", "allow = [\"dovecot\"]");
    assert_ne!(named, shipped);
    api.f.write("zones/logins.toml", &named);
    api.f.ok(&["reload"]);
    log_in(&api, &token, "logins", "45.51.100.7").ok();
    assert!(dns(&api, "logins", "7.100.51.45").contains("127.0.0.2"));
}

#[test]
fn command_without_a_daemon_says_that_there_are_no_log_ins() {
    let f = Folder::with(CONFIG, &[("bl", ZONE), ("logins", LOGINS)]);
    let out = f.orbsd(&["logins", "logins"]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("no daemon runs"), "{text}");
}

/// A log-in at Dovecot opens relaying at Postfix and Exim within a second, and its end closes it,
/// with the files of docs/recent-logins as they are.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn postfix_and_exim_relay_for_users_who_have_logged_in_at_dovecot() {
    const LIFETIME: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let recipes = std::env::current_dir().unwrap().join("docs/recent-logins");
    let lifetime = [("LIFETIME", LIFETIME.to_string())];
    let host = MailHost::run(dir, "logins.sh", &recipes, &lifetime);
    let printed = &host.printed;
    let logs = || {
        host.logs(&[
            "orbsd.log",
            "un/log",
            "pf/log",
            "pf/err",
            "ex/err",
            "dovecot.log",
            "dovecot.err",
            "lua.log",
            "lua.err",
        ])
    };
    assert!(!printed.contains("FAILED"), "{}", logs());
    let found: BTreeMap<&str, &str> = printed.lines().filter_map(|l| l.split_once(": ")).collect();
    let value = |key: &str| found.get(key).copied().unwrap_or("").trim();
    let expect = |key: &str, start: &str| {
        assert!(value(key).starts_with(start), "{key}: {start}\n{}", logs());
    };
    for who in ["before", "failed", "stranger", "ended"] {
        expect(
            &format!("{who} postfix"),
            "554 5.7.1 <friend@elsewhere.test>: Relay access denied",
        );
        expect(&format!("{who} exim"), "550 relay not permitted");
    }
    for who in ["pop3", "imap"] {
        expect(&format!("{who} postfix"), "250 ");
        expect(&format!("{who} exim"), "250 ");
        let milliseconds: u64 = value(&format!("{who} listed after")).parse().unwrap();
        assert!(milliseconds <= 1000, "{milliseconds} ms\n{}", logs());
    }
    for server in ["postfix", "exim"] {
        expect(&format!("lua {server}"), "250 ");
    }
    expect("pop3 login", "+OK");
    expect("imap login", "a OK");
    expect("failed login", "-ERR");
    // With Lua a log-in is published before its reply.
    expect("lua failed", "-ERR");
    expect("lua login", "a OK");
    assert!(value("lua login").ends_with(" 127.0.0.2"), "{}", logs());
    assert!(!value("lua failed").contains("127.0.0.2"), "{}", logs());
    assert_eq!(value("lua account"), "8 0 reported", "{}", logs());
    // A log-in succeeds without orbsd, and only one waits for it.
    for (key, start) in [("frozen", "a OK"), ("paused", "+OK"), ("down", "+OK")] {
        expect(&format!("lua {key}"), start);
    }
    let waited = |key: &str| value(key).parse::<u64>().unwrap();
    let (frozen, paused) = (waited("lua frozen after"), waited("lua paused after"));
    assert!((500..2000).contains(&frozen), "{frozen} ms\n{}", logs());
    assert!(paused < 400, "{paused} ms\n{}", logs());
    let gone: u64 = value("imap gone after").parse().unwrap();
    let lifetime = LIFETIME * 1000;
    // A resolver counts TTLs in whole seconds, and the log-in itself takes a while.
    assert!(
        (lifetime..lifetime + 2000).contains(&gone),
        "{gone} ms\n{}",
        logs()
    );
    expect("count", "logins.orbs.example");
    expect("presence", "45.51.100.8 is published until");
    // Nothing is on disk, where a listing is.
    assert!(value("files").parse::<u32>().unwrap() > 3, "{}", logs());
    for (key, want) in [
        ("text on disk", ""),
        ("bytes on disk", ""),
        ("after a start", "NXDOMAIN"),
        ("audit", "0"),
    ] {
        assert_eq!(value(key), want, "{key}\n{}", logs());
    }
    assert_ne!(value("list on disk"), "0", "{}", logs());
    // permit_dnswl_client never overrides reject_unauth_destination.
    expect("permit_dnswl_client alone relays", "554 5.7.1");
    expect("permit_dnswl_client alone accepts", "250 ");
    expect("stranger to a user", "554 5.7.1 Service unavailable");
}

/// Connections with and without a request that is under way, as programs that report log-ins keep
/// them.
#[test]
fn stop_ends_whatever_connections_are_open() {
    use std::io::Write;
    let mut api = api();
    let token = api.token("dovecot", "login", &[]);
    let addresses: Vec<String> = (0..1000)
        .map(|n| format!("45.52.{}.{}", n / 250, n % 250))
        .collect();
    let body = json!({ "addresses": addresses }).to_string();
    let request = format!(
        "POST /v1/zones/logins/logins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // An idle one, one with half a request, and one whose reply nobody reads.
    let sent = [0, request.len() / 2, request.len()];
    let open: Vec<std::net::TcpStream> = (0..5)
        .flat_map(|_| sent)
        .map(|bytes| {
            let mut stream = std::net::TcpStream::connect(api.addr).unwrap();
            stream.write_all(&request.as_bytes()[..bytes]).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    assert!(api.daemon.take().unwrap().stop().success());
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    drop(open);
}
