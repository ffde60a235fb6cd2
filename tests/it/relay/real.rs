//! Relay tests of real Postfix, Exim, OpenSMTPD and sendmail in a closed network.

use std::process::Command;

use serde_json::Value;

use crate::peers::peers;

/// Runs the laboratory and returns its results.
fn laboratory(more: &[&str]) -> Value {
    run_laboratory("tests/demo/lab.py", more)
}

/// Runs a script of the laboratory and returns the facts that it prints.
pub fn run_laboratory(script: &str, more: &[&str]) -> Value {
    let out = Command::new("python3")
        .args([
            script,
            env!("CARGO_BIN_EXE_orbsd"),
            peers().to_str().unwrap(),
            "facts",
        ])
        .args(more)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&out.stdout).into_owned();
    let from = output
        .find('{')
        .unwrap_or_else(|| panic!("{output}{}", String::from_utf8_lossy(&out.stderr)));
    serde_json::from_str(&output[from..]).unwrap_or_else(|e| panic!("{e}: {output}"))
}

/// Returns the tests with an outcome.
fn all_of<'a>(v: &'a Value, outcome: &str) -> Vec<&'a str> {
    v.as_object()
        .unwrap()
        .iter()
        .filter(|(_, o)| *o == outcome)
        .map(|(t, _)| t.as_str())
        .collect()
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn postfix_and_exim_are_assessed_correctly_in_each_configuration() {
    let f = laboratory(&[]);
    let pair = |v: &Value, is: &str| {
        assert_eq!(
            *v,
            serde_json::json!([is, is]),
            "answers of orbsd and of the mirror: {f}"
        );
    };
    pair(&f["before"], "NXDOMAIN");
    pair(&f["listed"], "127.0.0.2");
    // Names for forms are found in DNS. Skipped are the form that needs a known user, and closed
    // ports.
    for host in ["pf-open", "pf-closed", "ex-closed", "ex-open"] {
        assert_eq!(
            all_of(&f[host], "skipped"),
            [
                "known-local-user-sender",
                "submission-no-auth",
                "submissions-no-auth"
            ],
            "{host}"
        );
    }
    // Closed servers refuse every test and are not listed.
    for host in ["pf-closed", "ex-closed", "pf-grey"] {
        assert!(all_of(&f[host], "refused").len() >= 45, "{host}: {f}");
        for outcome in ["delivered", "accepted", "inconclusive", "bounced"] {
            assert_eq!(all_of(&f[host], outcome), Vec::<&str>::new(), "{host}");
        }
        let says = if host == "pf-closed" {
            &f["closed says"]
        } else {
            &f[format!("{host} says")]
        };
        assert_eq!(says, "closed", "{host}");
    }
    pair(&f["closed"], "NXDOMAIN");
    pair(&f["ex-closed dns"], "NXDOMAIN");
    pair(&f["pf-grey dns"], "NXDOMAIN");
    // Debian's Postfix always defers other clients. That proves nothing, and a claim releases the
    // host.
    assert!(all_of(&f["pf-defer"], "inconclusive").len() >= 40, "{f}");
    assert_eq!(
        (&f["pf-defer says"], &f["put off"][0], &f["put off"][1]),
        (
            &"inconclusive".into(),
            &"inconclusive".into(),
            &"inconclusive".into()
        )
    );
    pair(&f["pf-defer dns"], "NXDOMAIN");
    assert!(
        f["put off"][2].is_string()
            && f["put off"][3]
                .as_str()
                .unwrap()
                .contains("it is released at"),
        "{}",
        f["put off"]
    );
    // Open relays of several kinds.
    let has = |host: &str, test: &str, outcome: &str| {
        assert_eq!(f[host][test], outcome, "{host} × {test}");
    };
    has("pf-open", "plain", "delivered");
    has("pf-open", "percent-at-name", "delivered");
    has("pf-domain", "plain", "delivered");
    for host in ["pf-sender", "ex-sender"] {
        has(host, "plain", "refused");
        has(host, "relay-name-sender", "delivered");
        has(host, "hosted-domain-sender", "delivered");
        // The form was delivered because of its sender; from our own domain it is refused.
        has(host, "percent-at-name", "delivered");
        has(host, "percent-at-name+plain-sender", "refused");
    }
    for host in [
        "ex-open",
        "ex-domain",
        "ex-hosts",
        "pf-client",
        "pf-recipient",
    ] {
        has(host, "plain", "delivered");
    }
    has("ex-percent", "plain", "refused");
    has("ex-percent", "percent-at-name", "delivered");
    has("ex-percent", "percent-at-name+plain-sender", "delivered");
    for host in [
        "pf-domain",
        "pf-sender",
        "pf-client",
        "pf-recipient",
        "ex-open",
        "ex-percent",
        "ex-sender",
        "ex-domain",
        "ex-hosts",
    ] {
        pair(&f[format!("{host} dns")], "127.0.0.2");
    }
    // The input is listed, its output is not.
    pair(&f["input"], "127.0.0.3");
    pair(&f["output"], "NXDOMAIN");
    // A claim of an open host fails, and the next one waits. A closed host is released, on the
    // mirror too.
    assert_eq!(
        (&f["early"][0], &f["early"][1]),
        (&Value::from("open"), &Value::from("deferred"))
    );
    pair(&f["early"][2], "127.0.0.2");
    assert_eq!(
        (&f["released"][0], &f["released"][2]),
        (
            &Value::from("closed"),
            &Value::from("refused-control-accepted")
        )
    );
    assert_eq!(f["put off"][4], "deferred-control-accepted");
    pair(&f["released"][1], "NXDOMAIN");
}

/// The bound of the owner's test: four minutes from the claim to the release, with the pauses of the
/// tester and the limits of errors of Postfix that are the defaults.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn owner_of_a_postfix_waits_at_most_four_minutes_for_the_release_or_the_advice() {
    let f = laboratory(&["pace"]);
    assert_eq!(f["listed before"], serde_json::json!([true, true]), "{f}");
    for host in ["pf-refuses", "pf-defers"] {
        assert!(all_of(&f[host], "delivered").len() >= 20, "{host}: {f}");
    }
    assert_eq!(f["release"][1], "refused-control-accepted", "{f}");
    let seconds = |key: &str| f[key].as_f64().unwrap();
    println!(
        "released after {:.0} s, told after {:.0} s",
        seconds("released after"),
        seconds("told after")
    );
    assert!(seconds("released after") <= 240.0, "{f}");
    assert!(seconds("told after") <= 240.0, "{f}");
    assert!(
        f["shown"].as_array().unwrap().len() >= 10,
        "outcomes are shown as they come: {f}"
    );
    assert_eq!(
        (&f["told"][1], &f["told"][2]),
        (&Value::from("postfix-defers"), &Value::from(true)),
        "{f}"
    );
}

/// Slow tests, which only `make drill` runs.
mod drill {
    use super::*;

    /// The paths of these servers are fixed at build time, so each runs in its own root
    /// directory.
    #[test]
    #[ignore = "takes long; run `make drill`"]
    fn opensmtpd_and_sendmail_are_assessed_correctly_in_each_configuration() {
        let f = laboratory(&["drill"]);
        let pair = |host: &str, is: &str| {
            assert_eq!(
                f[format!("{host} dns")],
                serde_json::json!([is, is]),
                "answers of orbsd and of the mirror: {host}"
            );
        };
        for host in ["os-closed", "sm-closed"] {
            assert!(
                all_of(&f[host], "refused").len() >= 44,
                "{host}: {}",
                f[host]
            );
            for outcome in ["delivered", "accepted", "bounced"] {
                assert_eq!(all_of(&f[host], outcome), Vec::<&str>::new(), "{host}");
            }
            assert_eq!(f[format!("{host} says")], "closed", "{host}: {}", f[host]);
            pair(host, "NXDOMAIN");
        }
        let has = |host: &str, test: &str, outcome: &str| {
            assert_eq!(f[host][test], outcome, "{host} × {test}");
        };
        for host in ["os-open", "os-domain", "sm-open", "sm-domain"] {
            has(host, "plain", "delivered");
        }
        for host in ["os-sender", "sm-sender"] {
            has(host, "plain", "refused");
            has(host, "relay-name-sender", "delivered");
            has(host, "hosted-domain-sender", "delivered");
        }
        for host in [
            "os-open",
            "os-domain",
            "os-sender",
            "sm-open",
            "sm-domain",
            "sm-sender",
        ] {
            pair(host, "127.0.0.2");
        }
    }
}
