//! Subjects as users write them: digests, ranges, public suffixes, and stored names that are no
//! longer accepted.

use std::time::{Duration, Instant};

use orbsd::model::{Change, Domain, SourceId, Subject, history::Command};
use serde_json::json;

use crate::{
    api::Api,
    lab::{CONFIG, DIGESTS, DOMAINS, Daemon, Folder, ZONE, commit, query, shown, udp},
};

const DIGEST: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const DIGITS: &str = "1234567890123456789012345678901234567890";
const SUFFIX: &str = "is a public suffix";

fn config(more: &str) -> String {
    format!("{CONFIG}[[reason]]\nname = \"drop-box\"\ntext = \"Drop box $\"\n{more}")
}

fn zones() -> [(&'static str, &'static str); 3] {
    [("bl", ZONE), ("dbl", DOMAINS), ("ebl", DIGESTS)]
}

fn a(f: &Folder, name: &str) -> String {
    shown(
        &udp(
            f.addr(),
            &query(&format!("{name}.orbs.example"), 1, true),
            Duration::from_secs(5),
        )
        .unwrap(),
    )
}

/// Returns the exit code and the output of both streams.
fn run(f: &Folder, args: &[&str]) -> (i32, String) {
    let out = f.orbsd(args);
    (
        out.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
    )
}

/// Checks that a command fails with a usage error whose message has all of these parts.
fn refused(f: &Folder, args: &[&str], parts: &[&str]) {
    let (code, text) = run(f, args);
    assert_eq!(code, 2, "{args:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?}: {part}: {text}");
    }
}

#[test]
fn digest_is_listed_found_exported_imported_and_delisted() {
    let f = Folder::with(&config(""), &zones());
    let _daemon = Daemon::start(&f);
    let listed = f.ok(&[
        "list",
        &DIGEST.to_uppercase(),
        DIGITS,
        "--reason",
        "drop-box",
    ]);
    assert!(listed.contains("ebl.orbs.example 127.0.1.6"), "{listed}");
    assert_eq!(a(&f, &format!("{DIGEST}.ebl")), "NOERROR 127.0.1.6");
    assert_eq!(a(&f, &format!("{DIGITS}.ebl")), "NOERROR 127.0.1.6");
    assert_eq!(a(&f, &format!("{DIGEST}.dbl")), "NXDOMAIN soa 60");
    for digest in [DIGEST, DIGITS] {
        let found = f.json(&["lookup", digest, "--json"]);
        let zones: Vec<_> = found["zones"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|z| z["codes"] != json!([]))
            .collect();
        assert_eq!(
            (zones.len(), &zones[0]["zone"]),
            (1, &json!("ebl.orbs.example")),
            "{found:#}"
        );
    }
    refused(
        &f,
        &["list", &DIGEST[1..], "--reason", "drop-box"],
        &["40 hexadecimal digits", "it has 39"],
    );
    refused(
        &f,
        &["list", &DIGEST.replace('d', "g"), "--reason", "drop-box"],
        &["sha1-hex", "'g'"],
    );
    refused(
        &f,
        &["list", &format!("*.{DIGEST}"), "--reason", "drop-box"],
        &[DIGEST],
    );
    refused(&f, &["list", DIGEST, "--reason", "spam"], &["one label"]);
    refused(
        &f,
        &["list", "bad.example", "--reason", "drop-box"],
        &["ebl.orbs.example publishes sha1-hex digests", "`spam`"],
    );
    // Exports have only the digests, and an import reads them unchanged.
    f.ok(&[
        "list",
        "bad.example",
        "--reason",
        "drop-box",
        "--allow-unpublished",
    ]);
    let list = f.ok(&["export", "ebl", "--format", "list"]);
    let lines: Vec<&str> = list.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(lines, [DIGITS, DIGEST]);
    refused(
        &f,
        &["export", "ebl", "--format", "rpz"],
        &["digests", "rbldnsd"],
    );
    refused(&f, &["export", "ebl", "--format", "nftables"], &["jsonl"]);
    let data = f.write("ebl.rbl", &f.ok(&["export", "ebl", "--format", "rbldnsd"]));
    f.ok(&["exempt", DIGEST]);
    assert_eq!(a(&f, &format!("{DIGEST}.ebl")), "NXDOMAIN soa 60");
    f.ok(&["exempt", "--remove", DIGEST]);
    f.ok(&["delist", DIGEST, DIGITS, "--no-hold"]);
    assert_eq!(a(&f, &format!("{DIGITS}.ebl")), "NXDOMAIN soa 60");
    f.ok(&[
        "import",
        "--source",
        "ebl",
        "--code-zone",
        "ebl",
        "--format",
        "rbldnsd",
        "--dataset",
        "dnset",
        &data.display().to_string(),
    ]);
    assert_eq!(a(&f, &format!("{DIGEST}.ebl")), "NOERROR 127.0.1.6");
    assert_eq!(a(&f, &format!("{DIGITS}.ebl")), "NOERROR 127.0.1.6");
}

/// Waits until a follower gives this answer.
fn answers(follower: &Folder, name: &str, want: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while a(follower, name) != want {
        assert!(
            Instant::now() < end,
            "{name}: {} and not {want}\n{}",
            a(follower, name),
            follower.ok(&["status"])
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn hash_zone_is_followed_by_rows_and_by_transfers() {
    let open = format!("{DIGESTS}[transfer]\nallow = ['127.0.0.0/8']\n");
    let leader = Folder::with(&config(""), &[("bl", ZONE), ("ebl", &open)]);
    let _leader = Daemon::start(&leader);
    leader.ok(&[
        "list", DIGEST, DIGITS, "--reason", "drop-box", "--text", "own $",
    ]);
    for kind in ["orbsd", "axfr"] {
        let feed = format!(
            "[[feed]]\nname = 'up'\nkind = '{kind}'\nserver = '{}'\nzone = 'ebl.orbs.example'\ncode_zone = 'ebl'\n",
            leader.addr()
        );
        let follower = Folder::with(&config(&feed), &zones());
        let _follower = Daemon::start(&follower);
        answers(&follower, &format!("{DIGEST}.ebl"), "NOERROR 127.0.1.6");
        answers(&follower, &format!("{DIGITS}.ebl"), "NOERROR 127.0.1.6");
        answers(&follower, &format!("x.{DIGEST}.ebl"), "NXDOMAIN soa 60");
        let txt = udp(
            follower.addr(),
            &query(&format!("{DIGEST}.ebl.orbs.example"), 16, true),
            Duration::from_secs(5),
        )
        .unwrap();
        assert_eq!(shown(&txt), format!("NOERROR own {DIGEST}"), "{kind}");
    }
}

#[test]
fn invalid_stored_name_is_answered_found_counted_and_removed() {
    let f = Folder::new();
    {
        let ledger = f.ledger();
        let reason = ledger.store.dictionary().reasons.get("spam").unwrap();
        for name in ["too", "45.51.100.x", "7.100.51.45.in-addr.arpa"] {
            let change = Change {
                subject: Subject::Domain(Domain::parse_any(name).unwrap()),
                author: "old".into(),
                evidence: None,
                command: Command::List {
                    reason,
                    source: SourceId::OPERATOR,
                    until: None,
                    text: Default::default(),
                },
                preconditions: Default::default(),
            };
            commit(&ledger, change).unwrap();
        }
        ledger.stop().unwrap();
    }
    refused(
        &f,
        &["list", "too", "--reason", "spam"],
        &["`too` has one label"],
    );
    let _daemon = Daemon::start(&f);
    assert_eq!(a(&f, "too.dbl"), "NOERROR 127.0.1.2");
    for name in ["too", "45.51.100.x", "7.100.51.45.in-addr.arpa"] {
        assert_eq!(
            f.json(&["lookup", name, "--json"])["entries"][0]["reason"],
            "spam",
            "{name}"
        );
    }
    let check = f.ok(&["check"]);
    for part in [
        "1 name that would not be accepted today (a single label): too",
        "(a reverse name): 7.100.51.45.in-addr.arpa",
    ] {
        assert!(check.contains(part), "{part}: {check}");
    }
    assert_eq!(f.json(&["check", "--json"])["names"]["checked"], 3);
    f.ok(&["delist", "too", "45.51.100.x"]);
    assert_eq!(a(&f, "too.dbl"), "NXDOMAIN soa 60");
    assert_eq!(run(&f, &["lookup", "45.51.100.x"]).0, 1);
    assert!(!f.ok(&["check"]).contains("too"));
    // Another spelling of a prefix is that prefix if the store has no such name.
    f.ok(&["list", "45.51.101.0/24", "--reason", "relay"]);
    f.ok(&["delist", "45.51.101.*"]);
    assert_eq!(a(&f, "7.101.51.45.bl"), "NXDOMAIN soa 60");
}

#[test]
fn address_range_is_one_change_for_each_prefix() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let out = f.ok(&[
        "list",
        "45.51.100.0-45.51.100.9",
        "45.51.101.0 - 45.51.101.255",
        "--reason",
        "relay",
    ]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    for (line, part) in lines.iter().zip([
        "45.51.100.0/29: listed",
        "45.51.100.8/31: listed",
        "45.51.101.0 - 45.51.101.255: listed",
    ]) {
        assert!(line.starts_with(part), "{line}");
    }
    assert_eq!(
        (a(&f, "9.100.51.45.bl"), a(&f, "10.100.51.45.bl")),
        ("NOERROR 127.0.0.2".into(), "NXDOMAIN soa 60".into())
    );
    assert_eq!(a(&f, "200.101.51.45.bl"), "NOERROR 127.0.0.2");
    let found = f.ok(&["lookup", "45.51.100.0-45.51.100.9"]);
    assert!(
        found.contains("45.51.100.0/29: listed") && found.contains("45.51.100.8/31: listed"),
        "{found}"
    );
    assert!(
        f.ok(&["lookup", "45.51.101.0/255.255.255.0"])
            .contains("45.51.101.0/24: listed")
    );
    f.ok(&["exempt", "45.51.100.0-45.51.100.9"]);
    assert_eq!(a(&f, "9.100.51.45.bl"), "NXDOMAIN soa 60");
    f.ok(&["exempt", "--remove", "45.51.100.0-45.51.100.9"]);
    f.ok(&["delist", "45.51.100.0-45.51.100.9"]);
    assert_eq!(run(&f, &["lookup", "45.51.100.0-45.51.100.9"]).0, 1);
    for slip in [
        "45.51.100.0-45.51.99.9",
        "45.51.100.01",
        "0x7f.0.0.1",
        "45.51.100.0/24/8",
        "45.51.100.1:25",
    ] {
        refused(&f, &["list", slip, "--reason", "relay"], &[slip]);
        refused(&f, &["exempt", slip], &[slip]);
    }
    assert!(
        f.ok(&["export", "bl", "--format", "list"])
            .lines()
            .all(|l| l.starts_with(['#', '4']))
    );
}

#[test]
fn request_for_one_subject_refuses_a_range_of_several_prefixes() {
    let api = Api::new();
    let body = json!({"subject": "45.1.1.0-45.1.1.9", "reason": "relay"}).to_string();
    for path in ["/v1/listings", "/v1/exemptions"] {
        let body = if path.ends_with("exemptions") {
            json!({"subject": "45.1.1.0-45.1.1.9"}).to_string()
        } else {
            body.clone()
        };
        let reply = api.post(path, &body);
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid"));
        let detail = reply.json()["detail"].as_str().unwrap().to_string();
        assert!(
            detail.contains("range of 2 prefixes") && detail.contains("45.1.1.0/29, 45.1.1.8/31"),
            "{detail}"
        );
    }
    let bulk = api.post(
        "/v1/bulk",
        &format!("{body}\n{{\"subject\":\"45.1.2.0-45.1.2.255\",\"reason\":\"relay\"}}\n"),
    );
    let text = bulk.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["status"], &lines[1]["status"]),
        (&json!(422), &json!(201)),
        "{text}"
    );
    assert!(
        lines[1]["published"].is_null(),
        "only where it is asked for"
    );
    assert_eq!(api.dns("200.2.1.45"), "NOERROR 127.0.0.2");
}

#[test]
fn unpublished_subject_is_refused_unless_permitted() {
    let api = Api::new();
    let f = &api.f;
    let parts = [
        "bad.example (a name)",
        "bl.orbs.example publishes addresses",
        "`spam` (dbl.orbs.example)",
        "--allow-unpublished",
    ];
    refused(f, &["list", "bad.example", "--reason", "relay"], &parts);
    refused(
        f,
        &["list", "45.1.1.1", "--reason", "spam"],
        &["45.1.1.1 (an address)", "`relay` (bl.orbs.example)"],
    );
    let listing = json!({"subject": "bad.example", "reason": "relay"});
    let reply = api.post("/v1/listings", &listing.to_string());
    assert_eq!(
        (reply.status, reply.json()["errors"][0]["field"].clone()),
        (422, json!("subject"))
    );
    let meant = json!({"subject": "bad.example", "reason": "relay", "unpublished": true});
    let id = api.post("/v1/listings", &meant.to_string()).ok()["id"]
        .as_str()
        .unwrap()
        .to_string();
    // A present listing is renewed, and an exemption has no reason.
    assert_eq!(api.post("/v1/listings", &listing.to_string()).status, 201);
    api.call(
        &api.owner,
        "PATCH",
        &format!("/v1/listings/{id}"),
        &[],
        "{\"until\":\"1d\"}",
    )
    .ok();
    assert!(
        f.ok(&["list", "bad.example", "--reason", "relay"])
            .contains("; not published)")
    );
    let trap = json!({"subject": "trapped.example", "reason": "relay", "source": "trap"});
    assert_eq!(
        api.post("/v1/listings", &trap.to_string()).status,
        201,
        "what a trap has seen is kept"
    );
    f.ok(&["exempt", "good.example"]);
    f.ok(&["delist", "bad.example"]);
}

#[test]
fn public_suffix_is_listed_only_if_permitted() {
    let api = Api::new();
    let f = &api.f;
    for name in ["tk", "*.tk", "co.uk", ".com"] {
        let bare = name.trim_start_matches("*.").trim_start_matches('.');
        refused(
            f,
            &["list", name, "--reason", "spam"],
            &[SUFFIX, &format!("--allow-suffix {bare}")],
        );
        refused(f, &["exempt", name], &[SUFFIX]);
    }
    refused(
        f,
        &["list", "xyz", "--reason", "spam", "--allow-suffix", "tk"],
        &[SUFFIX],
    );
    f.ok(&[
        "list",
        "*.tk",
        "xyz",
        "--reason",
        "spam",
        "--allow-suffix",
        "tk,xyz",
    ]);
    assert_eq!(a(f, "bad.tk.dbl"), "NOERROR 127.0.1.2");
    let one = json!({"subject": "co.uk", "reason": "spam"});
    assert_eq!(api.post("/v1/listings", &one.to_string()).status, 422);
    let named = json!({"subject": "co.uk", "reason": "spam", "allow_suffix": ["co.uk"]});
    assert_eq!(api.post("/v1/listings", &named.to_string()).status, 201);
    api.post(
        "/v1/exemptions",
        &json!({"subject": "tk", "allow_suffix": ["tk"]}).to_string(),
    )
    .ok();
    let counted = api.get("/v1/names/rejected").ok();
    assert_eq!(
        counted["classes"][0]["class"], "a public suffix",
        "{counted}"
    );
    f.ok(&["delist", "*.tk", "xyz"]);
    // A suffix in the private section of the list belongs to one owner.
    f.ok(&["list", "github.io", "--reason", "spam"]);
}

#[test]
fn listing_reports_its_zones_and_proposal_reports_the_needed_approval() {
    let two = CONFIG.replace(
        "name = \"netblock\"",
        "name = \"netblock\"\nrequire_approval = true",
    );
    let f = Folder::with(&two, &[("bl", ZONE), ("dbl", DOMAINS)]);
    let _daemon = Daemon::start(&f);
    let out = f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    assert!(
        out.starts_with("45.51.100.7: listed (commit ")
            && out.trim().ends_with("; bl.orbs.example 127.0.0.2)"),
        "{out}"
    );
    let (code, text) = run(
        &f,
        &["list", "45.70.1.1", "45.70.1.2", "--reason", "netblock"],
    );
    assert_eq!(code, 0, "{text}");
    for (line, subject) in text.lines().zip(["45.70.1.1", "45.70.1.2"]) {
        assert!(
            line.starts_with(&format!("{subject}: proposed ("))
                && line.contains("another user approves it: orbsd proposal approve "),
            "{line}"
        );
    }
    assert_eq!(a(&f, "1.1.70.45.bl"), "NXDOMAIN soa 60");
}
