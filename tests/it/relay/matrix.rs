//! The matrix of all kinds of servers and all tests, with the expected outcome of each pair.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    RelayLab,
    mta::{Disposition, MtaBehavior},
    v4,
};

/// A kind of server: its name, its behaviour, and the answer of DNS after the tests.
type Kind = (&'static str, MtaBehavior, &'static str);

fn kinds() -> Vec<Kind> {
    let closed = MtaBehavior::default;
    let open = || MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    vec![
        ("closed", closed(), ""),
        ("wide-open", open(), "127.0.0.2"),
        (
            "percent-only",
            MtaBehavior {
                percent: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "quoted-only",
            MtaBehavior {
                quoted: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "bang-only",
            MtaBehavior {
                bang: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "route-only",
            MtaBehavior {
                route: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "forged-local-sender",
            MtaBehavior {
                own_sender: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "unqualified-sender",
            MtaBehavior {
                bare_sender: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "first-recipient-local",
            MtaBehavior {
                after_local: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "bare-recipient",
            MtaBehavior {
                bare_recipient: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "encapsulated",
            MtaBehavior {
                encapsulated: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "accept-then-drop",
            MtaBehavior {
                disposition: Disposition::Drop,
                ..open()
            },
            "",
        ),
        (
            "accept-then-bounce",
            MtaBehavior {
                disposition: Disposition::Bounce,
                ..open()
            },
            "",
        ),
        (
            "greylisting",
            MtaBehavior {
                greylist: true,
                ..closed()
            },
            "",
        ),
        (
            "greylisting-open",
            MtaBehavior {
                greylist: true,
                ..open()
            },
            "127.0.0.2",
        ),
        (
            "cuts-after-errors",
            MtaBehavior {
                cut_after: Some(3),
                ..closed()
            },
            "",
        ),
        (
            "tarpit",
            MtaBehavior {
                silent: true,
                ..closed()
            },
            "",
        ),
        (
            "multi-stage",
            MtaBehavior {
                via: Some(v4(200, 1)),
                ..open()
            },
            "127.0.0.3",
        ),
        (
            "no-host-name",
            MtaBehavior {
                greeting: Some("220 ESMTP"),
                ..closed()
            },
            "",
        ),
        (
            "530-on-everything",
            MtaBehavior {
                always: Some("530 log in first"),
                ..closed()
            },
            "",
        ),
        (
            "shut-door",
            MtaBehavior {
                greeting: Some("554 go away"),
                ..closed()
            },
            "",
        ),
        (
            "loops-back-to-sender",
            MtaBehavior {
                disposition: Disposition::BackToSender,
                ..open()
            },
            "",
        ),
        (
            "delivers-twice",
            MtaBehavior {
                disposition: Disposition::Twice,
                ..open()
            },
            "127.0.0.2",
        ),
        (
            "delivers-late",
            MtaBehavior {
                disposition: Disposition::Hold,
                ..open()
            },
            "",
        ),
        (
            "strips-headers",
            MtaBehavior {
                strips: true,
                ..open()
            },
            "127.0.0.2",
        ),
        (
            "upper-case-local-part",
            MtaBehavior {
                lowers: true,
                ..open()
            },
            "127.0.0.2",
        ),
        (
            "local-bang",
            MtaBehavior {
                local_bang: true,
                ..closed()
            },
            "",
        ),
        (
            "open-submission",
            MtaBehavior {
                submission: true,
                ..closed()
            },
            "127.0.0.2",
        ),
        (
            "offers-utf8",
            MtaBehavior {
                utf8: true,
                ..open()
            },
            "127.0.0.2",
        ),
        (
            "dangerous-product",
            MtaBehavior {
                greeting: Some("220 x ESMTP Service (Lotus Domino Release 5.0.8) ready"),
                ..closed()
            },
            "",
        ),
        (
            "self-bombing-product",
            MtaBehavior {
                greeting: Some("220 cc:Mail Link to SMTP ready"),
                ..open()
            },
            "",
        ),
    ]
}

/// Returns the expected outcome of a test at a kind of server. It is derived from the kind, not
/// from the code of the server.
fn expected(kind: &str, test: &str) -> &'static str {
    let submission = ["submission-no-auth", "submissions-no-auth"].contains(&test);
    if submission {
        return if kind == "open-submission" {
            "delivered"
        } else {
            "skipped"
        };
    }
    // A server that accepts EHLO shows whether it offers SMTPUTF8.
    let offers = test == "utf8-local-part"
        && !["tarpit", "530-on-everything", "shut-door", "offers-utf8"].contains(&kind);
    if test == "known-local-user-sender" || offers || kind == "self-bombing-product" {
        return "skipped";
    }
    let plain = [
        "plain",
        "same-address",
        "unresolvable-sender",
        "foreign-sender",
        "unqualified-sender",
        "null-sender",
        "relay-name-sender",
        "relay-literal-sender",
        "relay-ip-sender-unbracketed",
        "hosted-domain-sender",
        "relay-postmaster-sender",
        "bare-recipient",
        "bare-sender",
        "sender-parameter-noise",
        "source-routed-sender",
        "collector-literal",
        "case-and-dot",
        "space-before-bracket",
        "helo-relay-name",
        "helo-local",
        "localhost-sender",
        "helo-target-literal",
        "no-helo",
        "local-then-foreign",
        "foreign-then-local",
        "route-name",
        "route-literal",
        "route-two-hops",
    ];
    // A delivered form that is sent again from our own domain.
    let (test, again) = test
        .strip_suffix("+plain-sender")
        .map_or((test, false), |t| (t, true));
    let own = [
        "relay-name-sender",
        "relay-literal-sender",
        "relay-ip-sender-unbracketed",
        "hosted-domain-sender",
        "relay-postmaster-sender",
    ];
    // Tests whose sender alternates between the relay's name and its literal.
    let recipient_plain = [
        "collector-literal",
        "case-and-dot",
        "space-before-bracket",
        "route-name",
        "route-literal",
        "route-two-hops",
    ];
    let delivered = |yes: bool| if yes { "delivered" } else { "refused" };
    let accepted = |yes: bool| if yes { "accepted" } else { "refused" };
    match kind {
        // Without its header fields the message looks like a report.
        "strips-headers" if test == "same-address" => "bounced",
        "offers-utf8" => delivered(plain.contains(&test) || test == "utf8-local-part"),
        "wide-open"
        | "delivers-twice"
        | "strips-headers"
        | "upper-case-local-part"
        | "multi-stage"
        | "greylisting-open" => delivered(plain.contains(&test)),
        "accept-then-drop" | "delivers-late" => accepted(plain.contains(&test)),
        // No report comes back to us if the sender is null or belongs to the relay.
        "accept-then-bounce" | "loops-back-to-sender" => match test {
            "null-sender"
            | "localhost-sender"
            | "unqualified-sender"
            | "unresolvable-sender"
            | "foreign-sender" => "accepted",
            _ if own.contains(&test) || recipient_plain.contains(&test) => "accepted",
            _ if plain.contains(&test) => "bounced",
            _ => "refused",
        },
        "percent-only" => delivered(
            [
                "percent-at-name",
                "percent-at-literal",
                "percent-at-hosted",
                "percent-bare",
                "percent-empty-host",
                "mixed-operators",
            ]
            .contains(&test),
        ),
        "quoted-only" => delivered(
            [
                "quoted-address",
                "quoted-percent",
                "quoted-at-name",
                "quoted-at-literal",
            ]
            .contains(&test),
        ),
        "bang-only" => delivered(
            [
                "bang-bare",
                "bang-at-name",
                "bang-at-literal",
                "bang-chain",
                "mixed-operators",
            ]
            .contains(&test),
        ),
        "route-only" => delivered(
            [
                "route-name",
                "route-literal",
                "route-two-hops",
                "colon-forms",
            ]
            .contains(&test),
        ),
        "encapsulated" => delivered(test == "encapsulated-smtp"),
        "forged-local-sender" => {
            delivered(own.contains(&test) || recipient_plain.contains(&test) && !again)
        }
        "unqualified-sender" => delivered(test == "unqualified-sender"),
        "first-recipient-local" => delivered(test == "local-then-foreign"),
        "bare-recipient" => delivered(test == "bare-recipient"),
        "tarpit" => "inconclusive",
        "local-bang" => accepted(
            [
                "bang-bare",
                "bang-at-name",
                "bang-at-literal",
                "bang-chain",
                "mixed-operators",
            ]
            .contains(&test),
        ),
        // An address as the domain of a sender or in EHLO is skipped. The senders of recipient
        // forms alternate.
        "dangerous-product" => match test {
            "relay-literal-sender"
            | "relay-ip-sender-unbracketed"
            | "localhost-sender"
            | "helo-local"
            | "helo-target-literal" => "skipped",
            _ if plain.contains(&test) && !recipient_plain.contains(&test) => "refused",
            _ => BY_SENDER,
        },
        _ => "refused",
    }
}

/// The expected outcome depends on the sender that was used.
const BY_SENDER: &str = "by its sender";

/// Returns `skipped` if all messages of a test had an address as the domain of their sender.
fn by_sender(job: &Value, test: &str) -> &'static str {
    let mut of = job["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["test"] == test);
    if of.all(|r| r["from"].as_str().unwrap().contains("@[")) {
        "skipped"
    } else {
        "refused"
    }
}

/// Returns one outcome for each test: the strongest of its messages.
fn cells(job: &Value) -> BTreeMap<String, String> {
    let order = [
        "skipped",
        "refused",
        "inconclusive",
        "later",
        "accepted",
        "bounced",
        "delivered",
    ];
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for r in job["results"].as_array().unwrap() {
        let (test, outcome) = (
            r["test"].as_str().unwrap().to_string(),
            r["outcome"].as_str().unwrap().to_string(),
        );
        let rank = |o: &str| order.iter().position(|x| *x == o).unwrap();
        let cell = out.entry(test).or_insert_with(|| outcome.clone());
        if rank(&outcome) > rank(cell) {
            *cell = outcome;
        }
    }
    out
}

/// Renders the matrix as text: a line for each test, a column for each kind.
fn drawn(kinds: &[(&str, Value)], matrix: &BTreeMap<String, Vec<String>>) -> String {
    let mut out = String::from(
        "Relay tests against kinds of servers: D delivered, B bounced, a accepted, . refused, ? inconclusive, - skipped.\n",
    );
    for (n, (kind, job)) in kinds.iter().enumerate() {
        let _ = writeln!(
            out,
            "{}{:<24} {}",
            "  ".repeat(n),
            kind,
            job["assessment"].as_str().unwrap_or("")
        );
    }
    let letter = |o: &str| match o {
        "delivered" => 'D',
        "bounced" => 'B',
        "accepted" => 'a',
        "refused" => '.',
        "skipped" => '-',
        "" => ' ',
        _ => '?',
    };
    for (test, row) in matrix {
        let _ = writeln!(
            out,
            "{} {test}",
            row.iter()
                .map(|o| format!("{} ", letter(o)))
                .collect::<String>()
        );
    }
    out
}

#[test]
fn every_test_has_the_expected_outcome_at_every_kind_of_server() {
    let f = RelayLab::new(
        "enabled_tests = [\"local-then-foreign\", \"foreign-then-local\", \"localhost-sender\", \"helo-local\"]\n",
    );
    let all: Vec<(Kind, IpAddr, _)> = kinds()
        .into_iter()
        .zip(1u8..)
        .map(|(k, n)| {
            let addr = v4(n, 1);
            let mta = f.mta(addr, k.0, k.1.clone());
            (k, addr, mta)
        })
        .collect();
    // A host that is closed on IPv4 and open on IPv6: each address is assessed by itself.
    let six: IpAddr = std::net::Ipv6Addr::LOCALHOST.into();
    f.mta(v4(100, 1), "dual4", MtaBehavior::default());
    f.mta(
        six,
        "dual6",
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    let jobs: Vec<u64> = all
        .iter()
        .map(|(_, a, _)| f.nominate(*a, &json!({})))
        .collect();
    let dual = [
        f.nominate(v4(100, 1), &json!({})),
        f.nominate(six, &json!({})),
    ];
    let mut wrong = String::new();
    let mut matrix: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (column, ((kind, addr, mta), id)) in all.iter().zip(&jobs).enumerate() {
        let job = f.done(*id);
        let cells = cells(&job);
        for (test, is) in &cells {
            let should = match expected(kind.0, test) {
                BY_SENDER => by_sender(&job, test),
                should => should,
            };
            matrix
                .entry(test.clone())
                .or_insert_with(|| vec![String::new(); all.len()])[column]
                .clone_from(is);
            if should != is {
                let _ = writeln!(wrong, "{} × {test}: {is}, not {should}", kind.0);
            }
        }
        let dns = f.dns(*addr);
        let says = if kind.2.is_empty() {
            "NXDOMAIN soa 60".to_string()
        } else {
            format!("NOERROR {}", kind.2)
        };
        if dns != says {
            let _ = writeln!(wrong, "{}: DNS says {dns}, not {says}", kind.0);
        }
        // One session at a time, and one that is closing. A tarpit does not notice closed sessions.
        let most = mta.max_sessions.load(std::sync::atomic::Ordering::SeqCst);
        if most > 2 && kind.0 != "tarpit" {
            let _ = writeln!(wrong, "{}: {most} sessions at a time", kind.0);
        }
    }
    let table = drawn(
        &all.iter()
            .zip(&jobs)
            .map(|((k, ..), id)| (k.0, f.job(*id)))
            .collect::<Vec<_>>(),
        &matrix,
    );
    std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/relay-matrix.txt"),
        &table,
    )
    .unwrap();
    assert!(wrong.is_empty(), "{wrong}\n{table}");
    let [four, six_job] = dual.map(|id| f.done(id));
    assert_eq!(
        (&four["assessment"], &six_job["assessment"]),
        (&json!("closed"), &json!("open"))
    );
    assert_eq!(
        (f.dns(v4(100, 1)).as_str(), f.dns(six).as_str()),
        ("NXDOMAIN soa 60", "NOERROR 127.0.0.2")
    );
    assert_eq!(cells(&six_job)["ipv6"], "delivered");
    for (test, is) in cells(&six_job).iter().filter(|(t, _)| *t != "ipv6") {
        // The collector has no IPv6 address for its literal.
        let should = if test == "collector-literal" {
            "skipped"
        } else {
            expected("wide-open", test)
        };
        assert_eq!(is, should, "over IPv6: {test}");
    }
    check_assessments(&f, &all, &jobs);
}

/// Checks the assessments of the jobs, a late delivery, and the public evidence.
fn check_assessments(
    f: &RelayLab,
    all: &[(Kind, IpAddr, std::sync::Arc<super::mta::Mta>)],
    jobs: &[u64],
) {
    let by: BTreeMap<&str, (usize, Value)> = all
        .iter()
        .enumerate()
        .map(|(i, (k, ..))| (k.0, (i, f.job(jobs[i]))))
        .collect();
    for (kind, says) in [
        ("closed", "closed"),
        ("accept-then-drop", "accepted"),
        ("accept-then-bounce", "accepted"),
        ("greylisting", "closed"),
        ("greylisting-open", "open"),
        ("cuts-after-errors", "closed"),
        ("tarpit", "inconclusive"),
        ("530-on-everything", "blocked"),
        ("shut-door", "blocked"),
        ("no-host-name", "closed"),
        ("local-bang", "accepted"),
        ("self-bombing-product", "untestable"),
        ("delivers-late", "accepted"),
        ("multi-stage", "open"),
    ] {
        assert_eq!(by[kind].1["assessment"], says, "{kind}");
    }
    // A blocked host is not listed, and the second word of the greeting is not taken for a name.
    for kind in ["no-host-name", "530-on-everything"] {
        let lines = all[by[kind].0].2.received_lines.lock().unwrap().join("\n");
        assert!(
            !lines.contains("@ESMTP") && !lines.contains("AUTH") && !lines.contains("VRFY"),
            "{lines}"
        );
    }
    // An output is not listed at once.
    assert_eq!(f.dns(v4(200, 1)), "NXDOMAIN soa 60");
    // A late delivery lists the host.
    let (i, _) = by["delivers-late"];
    assert!(all[i].2.release() > 0);
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while f.dns(all[i].1) != "NOERROR 127.0.0.2" {
        assert!(std::time::Instant::now() < until, "{}", f.dns(all[i].1));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(f.job(jobs[i])["assessment"], "open");
    // The public answer has the number of the proof and no private data.
    let public = f.api.get(&format!("/lookup?ip={}", all[i].1)).ok();
    let proof = &public["relay_tests"]["proofs"][0];
    assert_eq!(
        (&proof["input"], &proof["output"]),
        (&json!(all[i].1), &json!(all[i].1))
    );
    let shown = f.api.get(&format!("/evidence/{}", proof["id"])).ok();
    assert!(
        shown["message"].is_null() && shown["transcript"].is_null(),
        "{shown}"
    );
    let full = f.api.get(&format!("/v1/evidence?target={}", all[i].1)).ok();
    let first = &full["items"][0];
    assert!(
        first["message"]
            .as_str()
            .unwrap()
            .contains("X-Envelope-Recipient")
            && first["transcript"].as_str().unwrap().contains("C RCPT TO:"),
        "{first:#}"
    );
}
