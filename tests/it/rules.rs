//! Zones that publish several listings together: rules of `publish`, from configuration to answers,
//! transfers, look-ups and restarts.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    api::Api,
    lab::{CONFIG, Daemon, Folder, ZONE, query, shown, udp},
    mirrors::wire::{lines, take},
};

/// Zones beside [`ZONE`], each with one rule, by their short names.
const RULES: [(&str, &str); 5] = [
    ("both", "all = ['relay', 'netblock'], text = 'Both $'"),
    ("two", "any = ['relay', 'netblock'], min_sources = 2"),
    (
        "score",
        "any = ['relay', 'netblock'], weights = { operator = 3, feed-a = 2, feed-b = 2 }, min_score = 4",
    ),
    ("feeds", "reason = 'relay', sources = ['feed-a', 'feed-b']"),
    ("six", "any = ['relay', 'netblock'], families = ['ipv6']"),
];

fn zone(name: &str, rule: &str) -> String {
    format!(
        "origin = '{name}.orbs.example'\nkind = 'address'\nns = ['ns1.orbs.example', 'ns2.orbs.example']\ncontact = 'hostmaster@orbs.example'\n\
         publish = [{{ {rule}, code = '127.0.0.9' }}]\n[transfer]\nallow = ['127.0.0.0/8']\n"
    )
}

fn folder() -> Folder {
    let rules = RULES.map(|(name, rule)| (name, zone(name, rule)));
    let mut zones = vec![("bl", ZONE)];
    zones.extend(rules.iter().map(|(name, text)| (*name, text.as_str())));
    Folder::with(CONFIG, &zones)
}

/// The zones that list an address given as the labels of its name.
fn listing(f: &Folder, labels: &str) -> Vec<&'static str> {
    let ask = |zone: &str| {
        let name = format!("{labels}.{zone}.orbs.example");
        shown(&udp(f.addr(), &query(&name, 1, true), Duration::from_secs(5)).unwrap())
    };
    let all = RULES.iter().map(|(name, _)| *name);
    all.filter(|zone| ask(zone).contains("127.0.0.9")).collect()
}

/// Everything that the tests list: by hand and as two feeds.
fn fill(f: &Folder) {
    for (name, reason, text) in [
        (
            "feed-a",
            "relay",
            "45.51.100.7\n45.51.100.8\n2a01:4f8::/32\n",
        ),
        ("feed-b", "netblock", "45.51.100.0/24\n2a01:4f8:1::/48\n"),
    ] {
        let path = f.write(&format!("{name}.txt"), text);
        f.ok(&[
            "import",
            "--reason",
            reason,
            "--source",
            name,
            path.to_str().unwrap(),
        ]);
    }
    f.ok(&["list", "45.51.100.7", "--reason", "netblock"]);
    f.ok(&["list", "45.52.0.1", "--reason", "relay"]);
}

/// What is published of [`fill`], by the labels of the names.
fn check_published(f: &Folder) {
    let v6 = |last: &str| format!("{last}{}8.f.4.0.1.0.a.2", "0.".repeat(32 - 8 - 1));
    for (labels, zones) in [
        // By feed-a for relay, by feed-b for netblock through the /24, by hand for netblock.
        ("7.100.51.45", &["both", "two", "score", "feeds"][..]),
        ("8.100.51.45", &["both", "two", "score", "feeds"]),
        ("9.100.51.45", &[]),
        ("1.0.52.45", &[]),
        (&v6("1."), &["feeds", "six"]),
    ] {
        assert_eq!(listing(f, labels), zones, "{labels}");
    }
}

fn rules_of(found: &Value, zone: &str) -> Vec<Value> {
    let zones = found["zones"].as_array().unwrap();
    let zone = zones
        .iter()
        .find(|z| z["zone"] == format!("{zone}.orbs.example"))
        .unwrap();
    zone["rules"].as_array().cloned().unwrap_or_default()
}

#[test]
fn rules_publish_what_their_listings_are_together() {
    let f = folder();
    let daemon = Daemon::start(&f);
    fill(&f);
    check_published(&f);
    // Transfers have the same.
    let records = lines(&take(f.addr(), "both.orbs.example", None).unwrap().records);
    let listed = records.iter().filter(|r| r.contains(" A 127.0.0.9"));
    let listed: Vec<&str> = listed.filter_map(|r| r.split(".both").next()).collect();
    assert!(
        listed.contains(&"7.100.51.45") && listed.contains(&"8.100.51.45"),
        "{records:#?}"
    );
    assert!(!listed.contains(&"9.100.51.45"), "{records:#?}");
    let text = records.iter().any(|r| r.contains("Both 45.51.100.8"));
    assert!(text, "{records:#?}");
    // A listing more or less changes it at once.
    f.ok(&["list", "45.52.0.1", "--reason", "netblock"]);
    assert_eq!(listing(&f, "1.0.52.45"), ["both"]);
    f.ok(&["delist", "45.52.0.1", "--reason", "relay"]);
    assert_eq!(listing(&f, "1.0.52.45"), [""; 0]);
    assert!(daemon.stop().success());
}

#[test]
fn rules_are_explained_by_look_ups() {
    let f = folder();
    let daemon = Daemon::start(&f);
    fill(&f);
    let found = f.json(&["--json", "lookup", "45.51.100.8"]);
    let two = rules_of(&found, "two");
    assert_eq!(two[0]["listed"], true, "{two:#?}");
    assert_eq!(
        two[0]["explanation"], "2 of 2 sources needed: feed-a, feed-b",
        "{two:#?}"
    );
    let found = f.json(&["--json", "lookup", "45.52.0.1"]);
    let both = rules_of(&found, "both");
    assert_eq!(both[0]["listed"], false, "{both:#?}");
    assert_eq!(both[0]["missing_reasons"][0], "netblock", "{both:#?}");
    let score = rules_of(&found, "score");
    assert_eq!(
        score[0]["explanation"],
        "listed by operator; a score of 3, 4 needed"
    );
    assert_eq!(
        rules_of(&found, "feeds"),
        [""; 0],
        "no listing of it counts"
    );
    let said = f.ok(&["lookup", "45.52.0.1"]);
    assert!(
        said.contains("does not list it: 1 of 2 sources needed: operator"),
        "{said}"
    );
    assert!(daemon.stop().success());
}

/// What a zone answers for an address given as the labels of its name.
fn answer(f: &Folder, labels: &str, zone: &str) -> String {
    let name = format!("{labels}.{zone}.orbs.example");
    shown(&udp(f.addr(), &query(&name, 1, true), Duration::from_secs(5)).unwrap())
}

/// Waits until a zone does not list an address.
fn until_it_left(f: &Folder, labels: &str, zone: &str) {
    let begin = Instant::now();
    while !answer(f, labels, zone).starts_with("NXDOMAIN") {
        assert!(begin.elapsed() < Duration::from_secs(60), "{labels}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_was_not_seen_for_long_leaves_a_zone_with_a_limit_and_returns() {
    let rule = "any = ['relay', 'netblock'], seen_within = '5s'";
    let recent = zone("recent", rule);
    let f = Folder::with(CONFIG, &[("bl", ZONE), ("recent", &recent)]);
    let daemon = Daemon::start(&f);
    let (feed, host) = ("7.100.51.45", "1.0.52.45");
    let list = f.write("a.txt", "45.51.100.7\n");
    let list = list.to_str().unwrap();
    let import = ["import", "--reason", "relay", "--source", "feed-a", list];
    f.ok(&import);
    f.ok(&["list", "45.52.0.1", "--reason", "relay"]);
    let commit = f.json(&["status", "--json"])["commit"].to_string();
    for labels in [feed, host] {
        assert_eq!(answer(&f, labels, "recent"), "NOERROR 127.0.0.9");
    }
    for labels in [feed, host] {
        until_it_left(&f, labels, "recent");
        assert_eq!(answer(&f, labels, "bl"), "NOERROR 127.0.0.2");
    }
    for (subject, source) in [("45.51.100.7", "feed-a"), ("45.52.0.1", "operator")] {
        let found = f.json(&["--json", "lookup", subject]);
        let rules = rules_of(&found, "recent");
        assert_eq!(rules[0]["listed"], false, "{rules:#?}");
        let explanation = format!("not seen within 5s: {source}");
        assert_eq!(rules[0]["explanation"], explanation, "{rules:#?}");
        assert_eq!(found["entries"].as_array().unwrap().len(), 1);
    }
    let public = f.json(&["--json", "lookup", "45.52.0.1"]);
    assert_eq!(
        public["history"].as_array().unwrap().len(),
        1,
        "{public:#?}"
    );
    assert!(daemon.stop().success());
    // A start publishes the same; what is seen again returns at once.
    let daemon = Daemon::start(&f);
    for labels in [feed, host] {
        assert!(answer(&f, labels, "recent").starts_with("NXDOMAIN"));
    }
    f.ok(&["list", "45.52.0.1", "--reason", "relay"]);
    assert_eq!(answer(&f, host, "recent"), "NOERROR 127.0.0.9");
    f.ok(&import);
    assert_eq!(answer(&f, feed, "recent"), "NOERROR 127.0.0.9");
    let records = lines(&take(f.addr(), "recent.orbs.example", None).unwrap().records);
    let has = |labels: &str| records.iter().any(|r| r.starts_with(labels));
    assert!(has(feed) && has(host), "{records:#?}");
    // Neither its age nor its renewal prevents an undo of the listing.
    f.ok(&["undo", &commit]);
    assert!(answer(&f, host, "bl").starts_with("NXDOMAIN"));
    assert!(daemon.stop().success());
}

/// The labels of an address of 2a01:4f8:1::/64 with this end.
fn labels6(end: u8) -> String {
    let nibbles = format!("2a0104f80001000000000000000000{end:02x}");
    let nibbles: Vec<String> = nibbles.chars().rev().map(String::from).collect();
    nibbles.join(".")
}

#[test]
fn address_is_published_as_its_network_and_look_ups_lead_to_it() {
    let wide = zone("wide", "reason = 'relay', width = { ipv6 = 64 }");
    let f = Folder::with(CONFIG, &[("bl", ZONE), ("wide", &wide)]);
    let daemon = Daemon::start(&f);
    let [listed, neighbour] = ["2a01:4f8:1::1", "2a01:4f8:1::77"];
    let said = f.ok(&["list", listed, "--reason", "relay"]);
    assert!(
        said.contains("wide.orbs.example 127.0.0.9 as 2a01:4f8:1::/64"),
        "{said}"
    );
    assert_eq!(answer(&f, &labels6(0x77), "wide"), "NOERROR 127.0.0.9");
    assert!(answer(&f, &labels6(0x77), "bl").starts_with("NXDOMAIN"));
    let records = lines(&take(f.addr(), "wide.orbs.example", None).unwrap().records);
    let has = |owner: String| records.iter().any(|r| r.starts_with(&owner));
    assert!(has(format!("*.{}.wide", &labels6(0)[32..])), "{records:#?}");
    assert!(!has(labels6(1)), "{records:#?}");
    // Look-ups of any address of the network.
    for subject in [listed, neighbour] {
        let found = f.json(&["--json", "lookup", subject]);
        let rules = rules_of(&found, "wide");
        assert_eq!(rules[0]["listed"], true, "{rules:#?}");
        assert_eq!(rules[0]["network"], "2a01:4f8:1::/64");
        assert_eq!(rules[0]["addresses"][0], listed);
        assert_eq!(
            rules[0]["explanation"],
            "listed by operator; 2a01:4f8:1::1 counts as 2a01:4f8:1::/64"
        );
    }
    let refused = f.orbsd(&["delist", neighbour]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        said.contains("wide.orbs.example publishes its network 2a01:4f8:1::/64, because 2a01:4f8:1::1 is listed"),
        "{said}"
    );
    f.ok(&["exempt", neighbour]);
    assert!(answer(&f, &labels6(0x77), "wide").starts_with("NXDOMAIN"));
    f.ok(&["delist", listed, "--no-hold"]);
    assert!(answer(&f, &labels6(0x78), "wide").starts_with("NXDOMAIN"));
    // Exactly the address.
    let said = f.ok(&["list", listed, "--reason", "relay", "--exact"]);
    assert!(!said.contains("/64"), "{said}");
    assert_eq!(answer(&f, &labels6(1), "wide"), "NOERROR 127.0.0.9");
    assert!(answer(&f, &labels6(0x78), "wide").starts_with("NXDOMAIN"));
    let found = f.json(&["--json", "lookup", listed]);
    assert_eq!(found["entries"][0]["exact"], true, "{found:#?}");
    let last = found["history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["exact"], true, "{found:#?}");
    let refused = f.orbsd(&["list", "2a01:4f8:1::/64", "--reason", "relay", "--exact"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("not a single IPv6 address"), "{said}");
    let commit = f.json(&["status", "--json"])["commit"].to_string();
    f.ok(&["undo", &commit]);
    assert!(answer(&f, &labels6(1), "wide").starts_with("NXDOMAIN"));
    assert!(daemon.stop().success());
}

#[test]
fn zones_and_list_pages_name_the_rule() {
    let both = zone("both", RULES[0].1);
    let api = Api::with_zones(CONFIG, &[("bl", ZONE), ("both", &both)]);
    let zones = api.get("/v1/zones").ok();
    let zone = zones["items"].as_array().unwrap().iter();
    let mut zone = zone.filter(|z| z["zone"] == "both.orbs.example");
    let published = &zone.next().unwrap()["publish"][0];
    assert_eq!(published["reason"], "relay and netblock");
    assert_eq!(published["rule"], "netblock and relay");
    let list = api.get("/zones/both.orbs.example").ok();
    let code = &list["codes"][0];
    assert_eq!(code["rule"], "netblock and relay");
    assert_eq!(code["lifetime_seconds"], 90 * 86_400, "that of relay");
}

#[test]
fn changed_rules_apply_to_the_whole_list_after_a_reload_or_a_start() {
    let f = folder();
    let daemon = Daemon::start(&f);
    fill(&f);
    let serial = |zone: &str| crate::mirrors::wire::serial(f.addr(), zone).unwrap();
    let (two, both) = (serial("two.orbs.example"), serial("both.orbs.example"));
    let rule = "any = ['relay', 'netblock'], min_sources = 3";
    f.write("zones/two.toml", &zone("two", rule));
    f.ok(&["reload"]);
    assert_eq!(
        listing(&f, "7.100.51.45"),
        ["both", "two", "score", "feeds"]
    );
    assert_eq!(listing(&f, "8.100.51.45"), ["both", "score", "feeds"]);
    assert!(serial("two.orbs.example") > two, "a new serial");
    assert_eq!(serial("both.orbs.example"), both, "nothing of it changed");
    assert!(daemon.stop().success());
    // An image of other rules is not used.
    let rule = "any = ['relay', 'netblock'], min_sources = 2";
    f.write("zones/two.toml", &zone("two", rule));
    let daemon = Daemon::start(&f);
    check_published(&f);
    assert!(daemon.stop().success());
    // Rules that no zone has any more leave nothing behind.
    for (name, _) in RULES {
        fs::remove_file(f.path().join(format!("zones/{name}.toml"))).unwrap();
    }
    let daemon = Daemon::start(&f);
    let name = "8.100.51.45.bl.orbs.example";
    let reply = udp(f.addr(), &query(name, 1, true), Duration::from_secs(5)).unwrap();
    assert_eq!(shown(&reply), "NOERROR 127.0.0.2 127.0.0.3");
    assert!(daemon.stop().success());
}

#[test]
fn check_refuses_rules_that_nothing_can_meet_and_warns_of_misspelt_sources() {
    let f = folder();
    for (rule, part) in [
        ("all = ['relay', 'netblok']", "did you mean `netblock`?"),
        ("reason = 'relay', all = ['netblock']", "exclude each other"),
        (
            "reason = 'relay', sources = ['a'], min_sources = 2",
            "nothing can be listed",
        ),
        ("reason = 'relay', min_score = 2", "no source has a weight"),
        ("reason = 'relay', seen_within = '0s'", "use a longer time"),
        (
            "reason = 'relay', seen_within = 'soon'",
            "`soon` is not a duration",
        ),
        ("reason = 'relay', families = ['ipv5']", "ipv5"),
        (
            "reason = 'relay', width = { ipv6 = 24 }",
            "width: ipv6 = 24 is not between 32 and 64",
        ),
        ("reason = 'relay', width = { ipv4 = 24 }", "`ipv4`"),
        ("sources = ['operator']", "reason"),
    ] {
        f.write("zones/two.toml", &zone("two", rule));
        let out = f.orbsd(&["check"]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{rule}");
        let is_placed = said.contains("zones/two.toml:5");
        assert!(said.contains(part) && is_placed, "{rule}: {said}");
    }
    f.write(
        "zones/two.toml",
        &zone("two", "reason = 'relay', sources = ['operater']"),
    );
    let said = f.ok(&["check"]);
    assert!(said.contains("did you mean `operator`?"), "{said}");
}

/// The recipe of `docs/rbldnsd.md`, with the zone files, data files and commands that it names.
#[test]
fn two_zones_that_use_one_code_for_different_things_share_a_reason() {
    let zone = |name: &str, source: &str| {
        format!(
            "origin = '{name}.orbs.example'\nkind = 'address'\nns = ['ns1.orbs.example', 'ns2.orbs.example']\ncontact = 'hostmaster@orbs.example'\n\
             publish = [{{ reason = 'listed', sources = ['{source}'], code = '127.0.0.2' }}]\n"
        )
    };
    let config = format!("{CONFIG}[[reason]]\nname = 'listed'\ntext = 'Listed $'\n");
    let (one, two) = (zone("one", "a"), zone("two", "b"));
    let f = Folder::with(&config, &[("bl", ZONE), ("one", &one), ("two", &two)]);
    let daemon = Daemon::start(&f);
    f.write("a.rbl", ":127.0.0.2:\n45.51.100.7\n45.51.100.8\n");
    f.write("b.rbl", ":127.0.0.2:\n45.51.100.8\n45.51.100.9\n");
    for source in ["a", "b"] {
        let file = format!("{source}.rbl");
        f.ok(&[
            "import", "--source", source, "--reason", "listed", "--format", "rbldnsd", &file,
        ]);
    }
    for (labels, zones) in [
        ("7.100.51.45", &["one"][..]),
        ("8.100.51.45", &["one", "two"]),
        ("9.100.51.45", &["two"]),
        ("10.100.51.45", &[]),
    ] {
        let listing = ["one", "two"].map(|z| answer(&f, labels, z).contains("127.0.0.2"));
        let expected = ["one", "two"].map(|z| zones.contains(&z));
        assert_eq!(listing, expected, "{labels}");
    }
    assert!(daemon.stop().success());
}
