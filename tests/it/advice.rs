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

/// A server, and texts that the command of the entry prints before and after the change.
type Check<'a> = (&'a str, &'a str, &'a str);

/// Checks that the servers of a product are opened by the mistake of an entry, that the look-up
/// shows this entry first, that its lines close them, and that a claim releases them.
fn check_entry(product: &'static str, entry: &str, checks: &[Check<'_>]) {
    check_run(product, product, entry, checks);
}

/// As [`check_entry`], for a run of the laboratory whose name is not that of the product.
fn check_run(run: &'static str, product: &str, entry: &str, checks: &[Check<'_>]) {
    check_advice(run, product, entry, checks, |fact| {
        check_suggestion(fact, product, entry);
        check_closed(fact);
    });
}

/// Checks that servers are opened by the mistake of an entry, and that the lines of the entry are
/// those that their owners read. `more` checks the rest.
fn check_advice(
    run: &'static str,
    product: &str,
    entry: &str,
    checks: &[Check<'_>],
    more: impl Fn(&Value),
) {
    let facts = facts_of(run);
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
        // Without IPv6 in the laboratory, its form is not sent.
        for test in advised.fails.iter().filter(|t| *t != "ipv6") {
            assert_eq!(fact["outcomes"][test], "delivered", "{test}: {at}");
        }
        // The page shows the entry as it is in the file.
        let shown = fact["suggestion"]["entry"]["changes"].as_array().unwrap();
        let shown: Vec<&str> = shown.iter().map(|c| c["lines"].as_str().unwrap()).collect();
        let lines = advised.change.iter().map(|c| c.plain_lines());
        assert_eq!(shown, lines.collect::<Vec<_>>());
        // The command tells an open server from a closed one.
        let printed = |when: &str| fact[when].as_str().unwrap().to_string();
        assert!(printed("check before").contains(before), "{before}: {at}");
        assert!(printed("check after").contains(after), "{after}: {at}");
        assert_ne!(printed("check before"), printed("check after"), "{at}");
        more(fact);
    }
}

/// Checks that the look-up recognises the product and shows the entry first.
fn check_suggestion(fact: &Value, product: &str, entry: &str) {
    assert_eq!(fact["recognised"][0], product, "{fact:#}");
    assert_eq!(fact["suggested"][0], json!([product, entry]), "{fact:#}");
}

/// Checks that a server refuses all forms of the catalogue, and that a claim releases it.
fn check_closed(fact: &Value) {
    assert!(fact["not closed"].is_null(), "{fact:#}");
    let results = fact["claim"]["results"].as_array().unwrap();
    let refused = results.iter().filter(|r| r[1] == "refused");
    assert!(refused.clone().count() >= 40, "{fact:#}");
    for result in refused {
        let code = result[2]["code"].as_u64().unwrap_or_default();
        assert!((500..600).contains(&code), "{result}: {fact:#}");
    }
    for result in results.iter().filter(|r| r[1] != "refused") {
        assert_eq!(result[1], "skipped", "{result}: {fact:#}");
    }
    assert_eq!(
        (&fact["claim"]["row"], &fact["dns after"]),
        (&json!("refused-control-accepted"), &json!("NXDOMAIN")),
        "{fact:#}"
    );
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
fn pure_proxy() {
    let checks = [("py-proxy", "python", "python")];
    check_run("pure-proxy", "aiosmtpd", "pure-proxy", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn courier() {
    let checks = [(
        "co-delivered",
        "default:10\tallow,RELAYCLIENT",
        "default:127.0.0.1\tallow,RELAYCLIENT",
    )];
    check_entry("courier", "smtpaccess", &checks);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn qpsmtpd() {
    let checks = [("qp-wide", "relayclients:10.", "relayclients:127.0.0.1")];
    check_entry("qpsmtpd", "relayclients", &checks);
}

/// What the check of an entry about a filter in front of Postfix prints before and after.
const FRONT: (&str, &str) = ("content_filter =\n", "smtp       inet");

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn amavis() {
    check_entry("amavis", "in-front", &[("av-front", FRONT.0, FRONT.1)]);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn clamsmtp() {
    check_entry("clamsmtp", "in-front", &[("cs-front", FRONT.0, FRONT.1)]);
}

/// spampd shows nothing of itself, so the look-up shows Postfix and, among its first entries, the
/// one that leads to the page of spampd.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn spampd() {
    let checks = [("sp-front", FRONT.0, FRONT.1)];
    check_advice("spampd", "spampd", "public-address", &checks, |fact| {
        assert_eq!(fact["recognised"], json!(["postfix"]), "{fact:#}");
        let suggested = fact["suggested"].as_array().unwrap();
        assert!(
            suggested.contains(&json!(["postfix", "hidden-clients"])),
            "{fact:#}"
        );
        let (_, leading) = find_entry("postfix", "hidden-clients").unwrap();
        assert!(leading.why.in_language("en").contains("spampd"));
        check_closed(fact);
    });
}

/// msmtpd has no rule that could refuse a recipient: it is closed when strangers do not reach it.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn msmtpd() {
    let checks = [("ms-public", "10.64.27.1:25", "127.0.0.1:25")];
    check_advice("msmtpd", "msmtpd", "interface", &checks, |fact| {
        check_suggestion(fact, "msmtpd", "interface");
        let results = fact["claim"]["results"].as_array().unwrap();
        for result in results.iter().filter(|r| r[1] != "skipped") {
            assert_eq!(result[1], "inconclusive", "{result}: {fact:#}");
            let cause = result[2]["cause"].as_str().unwrap();
            assert!(cause.starts_with("no connection"), "{result}: {fact:#}");
        }
        assert_eq!(fact["claim"]["row"], "shut-out", "{fact:#}");
    });
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
const PROGRAMS: [(&str, &[&str]); 16] = [
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
    ("spampd", &["spampd", "postfix"]),
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
            let checked = format!("\"{}\",\"{}\",", product.id, entry.id);
            assert!(compact.contains(&checked), "{at} does not check the entry");
            named += 1;
        }
    }
    assert!(named >= 13, "{named}");
}
