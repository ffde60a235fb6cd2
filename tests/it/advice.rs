//! The knowledge base tried with real programs: each is recognised by what it sends, and a server
//! that is open by the mistake of an entry is closed by the lines of that entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock},
};

use orbsd::{
    advice::{Confidence, Library, SessionPart, find_entry, recognise_lines},
    relay::{
        products::{host_replies, products_of},
        transcript::parse_transcript,
    },
};
use serde_json::{Value, json};

use crate::relay::real::run_laboratory;

/// Returns what the laboratory found about the servers of a product. It runs once for all tests of
/// this process.
fn facts_of(product: &'static str) -> Value {
    type Runs = BTreeMap<&'static str, Arc<OnceLock<Value>>>;
    static RUNS: Mutex<Runs> = Mutex::new(BTreeMap::new());
    let run = RUNS.lock().unwrap().entry(product).or_default().clone();
    run.get_or_init(|| run_laboratory("tests/demo/advice.py", &[product]))
        .clone()
}

/// Checks that the servers of a product are opened by the mistake of an entry, that the look-up
/// shows this entry first, that its lines close them, and that a claim releases them. `checks` has,
/// for each server, texts that the command of the entry prints before and after the change.
fn check_entry(product: &'static str, entry: &str, checks: &[(&str, &str, &str)]) {
    let facts = facts_of(product);
    let hosts: BTreeSet<&str> = facts.as_object().unwrap().keys().map(|k| &**k).collect();
    assert_eq!(hosts, checks.iter().map(|c| c.0).collect(), "{facts:#}");
    let (_, advised) = find_entry(product, entry).unwrap();
    for (host, before, after) in checks {
        let fact = &facts[host];
        let at = format!("{host}: {fact:#}");
        assert_eq!(
            (&fact["assessment"], &fact["listed"]),
            (&json!("open"), &json!("127.0.0.2")),
            "{at}"
        );
        for test in &advised.fails {
            assert_eq!(fact["outcomes"][test], "delivered", "{test}: {at}");
        }
        // The page shows the entry as it is in the file.
        assert_eq!(fact["recognised"][0], product, "{at}");
        let suggestion = &fact["suggestion"];
        assert_eq!(
            (&suggestion["product"], &suggestion["entry"]["id"]),
            (&json!(product), &json!(entry)),
            "{at}"
        );
        let shown = suggestion["entry"]["changes"].as_array().unwrap();
        let shown: Vec<&str> = shown.iter().map(|c| c["lines"].as_str().unwrap()).collect();
        let lines = advised.change.iter().map(|c| c.lines.trim_matches('\n'));
        assert_eq!(shown, lines.collect::<Vec<_>>());
        // The command tells an open server from a closed one.
        let printed = |when: &str| fact[when].as_str().unwrap().to_string();
        assert!(printed("check before").contains(before), "{before}: {at}");
        assert!(printed("check after").contains(after), "{after}: {at}");
        assert_ne!(printed("check before"), printed("check after"), "{at}");
        // All forms of the catalogue are refused.
        assert!(fact["not closed"].is_null(), "{at}");
        let results = fact["claim"]["results"].as_array().unwrap();
        let refused = results.iter().filter(|r| r[1] == "refused");
        assert!(refused.clone().count() >= 40, "{at}");
        for result in refused {
            let code = result[2]["code"].as_u64().unwrap_or_default();
            assert!((500..600).contains(&code), "{result}: {at}");
        }
        for result in results.iter().filter(|r| r[1] != "refused") {
            assert_eq!(result[1], "skipped", "{result}: {at}");
        }
        // The claim releases the server.
        assert_eq!(
            (&fact["claim"]["row"], &fact["dns after"]),
            (&json!("refused-control-accepted"), &json!("NXDOMAIN")),
            "{at}"
        );
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn postfix() {
    let checks = [(
        "pf-wide",
        "mynetworks = 0.0.0.0/0",
        "mynetworks = 127.0.0.0/8 [::1]/128",
    )];
    check_entry("postfix", "trusted-networks", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn exim() {
    let checks = ["ex-wide", "ex-debian"].map(|host| (host, "0.0.0.0/0", "127.0.0.1"));
    check_entry("exim", "relay-from-hosts", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn sendmail() {
    let checks = [(
        "sm-wide",
        "check_rcpt       returns: RELAY",
        "$# error $@ 5 . 7 . 1 $: \"550 Relaying denied\"",
    )];
    check_entry("sendmail", "access-map", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn opensmtpd() {
    let checks = [(
        "os-any",
        "match from any for any action",
        "configuration OK",
    )];
    check_entry("opensmtpd", "match-any", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn haraka() {
    let checks = [
        ("hk-halves", "128.0.0.0/1", "127.0.0.1/32"),
        ("hk-all", "all=true", "all=false"),
    ];
    check_entry("haraka", "relay-plugin", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn aiosmtpd() {
    check_entry(
        "aiosmtpd",
        "proxy-handler",
        &[("ai-proxy", "python", "python")],
    );
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn owner_who_follows_only_the_look_up_closes_the_server_and_is_released() {
    for (product, host) in [
        ("postfix", "pf-wide"),
        ("exim", "ex-debian"),
        ("sendmail", "sm-wide"),
        ("opensmtpd", "os-any"),
    ] {
        let facts = facts_of(product);
        let fact = &facts[host];
        let steps = [
            &fact["listed"],
            &fact["suggestion"]["product"],
            &fact["claim"]["assessment"],
            &fact["dns after"],
        ];
        assert_eq!(
            json!(steps),
            json!(["127.0.0.2", product, "closed", "NXDOMAIN"]),
            "{facts:#}"
        );
    }
}

/// The programs that run here, and the products that their texts show. A filter that passes on the
/// replies of the server behind it is recognised together with that server.
const PROGRAMS: [(&str, &[&str]); 15] = [
    ("postfix", &["postfix"]),
    ("postscreen", &["postfix", "postscreen"]),
    ("exim", &["exim"]),
    ("sendmail", &["sendmail"]),
    ("opensmtpd", &["opensmtpd"]),
    ("haraka", &["haraka"]),
    ("aiosmtpd", &["aiosmtpd"]),
    ("python-smtpd", &["aiosmtpd"]),
    ("qpsmtpd", &["qpsmtpd"]),
    ("courier", &["courier"]),
    ("amavis", &["amavis"]),
    ("dovecot-submission", &["dovecot-submission"]),
    ("chasquid", &["chasquid"]),
    ("msmtpd", &["msmtpd"]),
    ("clamsmtp", &["clamsmtp", "postfix"]),
];

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn real_programs_are_recognised_as_their_own_product_and_as_no_other() {
    let facts = facts_of("texts");
    let mut seen: Vec<(SessionPart, String)> = Vec::new();
    for (program, products) in PROGRAMS {
        let fact = &facts[program];
        let transcript = parse_transcript(fact["transcript"].as_str().unwrap());
        let found = products_of(&transcript);
        let ids: BTreeSet<&str> = found.iter().map(|r| r.product.id.as_str()).collect();
        assert_eq!(
            ids,
            products.iter().copied().collect(),
            "{program}: {fact:#}"
        );
        let help: Vec<(SessionPart, String)> = fact["help"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| (SessionPart::Help, line.as_str().unwrap().into()))
            .collect();
        for other in recognise_lines(help.iter().map(|(part, line)| (*part, &**line))) {
            assert!(
                products.contains(&&*other.product.id),
                "{program}: {help:?}"
            );
        }
        seen.extend(help);
        seen.extend(host_replies(&transcript));
    }
    // A pattern is marked as tried only if a program has sent such a line here.
    for product in Library::get().products() {
        for recognition in &product.recognition {
            let pattern = regex::Regex::new(&recognition.pattern).unwrap();
            let is_seen = seen
                .iter()
                .any(|(part, line)| *part == recognition.part && pattern.is_match(line));
            assert!(
                is_seen || recognition.confidence != Confidence::Tried,
                "{}: no program has sent {}",
                product.id,
                recognition.pattern
            );
        }
    }
}

#[test]
fn each_test_that_an_entry_names_exists() {
    let source = include_str!("advice.rs");
    let compact: String = source.split_whitespace().collect();
    let mut named = 0;
    for product in Library::get().products() {
        for entry in &product.entry {
            let Some(test) = &entry.test else { continue };
            let function = test.strip_prefix("advice::").unwrap_or("?");
            let at = format!("{}#{}: {test}", product.id, entry.id);
            assert!(source.contains(&format!("\nfn {function}() {{")), "{at}");
            let checked = format!("check_entry(\"{}\",\"{}\",", product.id, entry.id);
            assert!(compact.contains(&checked), "{at} does not check the entry");
            named += 1;
        }
    }
    assert!(named >= 5, "{named}");
}
