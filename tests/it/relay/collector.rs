//! The collector of test messages, and the evidence that it stores.

use std::{
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{RelayLab, mta::connect, rules::open, v4};

/// Sends each step to the collector. Returns its greeting and its reply to each.
pub fn exchange(f: &RelayLab, source: IpAddr, steps: &[&str]) -> Vec<String> {
    let stream = connect(source, f.collector).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    let mut replies = Vec::new();
    for step in std::iter::once(&"").chain(steps) {
        if out.write_all(step.as_bytes()).is_err() {
            break;
        }
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).unwrap_or(0) == 0 || line.as_bytes().get(3) != Some(&b'-')
            {
                break;
            }
        }
        replies.push(line.trim_end().to_string());
    }
    replies
}

/// The collector accepts test messages only, and does not relay.
#[test]
fn collector_does_not_relay_and_accepts_only_test_messages() {
    let f = RelayLab::new("");
    let from = v4(50, 1);
    let exchange_lines = |steps: &[&str]| exchange(&f, from, steps);
    let r = exchange_lines(&[
        "EHLO x\r\n",
        "MAIL FROM:<>\r\n",
        "RCPT TO:<a@elsewhere.example>\r\n",
        "RCPT TO:<a@PROBE.EXAMPLE.>\r\n",
        "RCPT TO:<a@[127.127.0.1]>\r\n",
        "DATA\r\n",
        "Subject: buy\r\n\r\nx\r\n.\r\n",
    ]);
    let codes: Vec<&str> = r.iter().map(|l| &l[..3]).collect();
    assert_eq!(
        codes,
        ["220", "250", "250", "550", "250", "250", "354", "550"],
        "{r:?}"
    );
    assert!(r[7].contains("not a test message of this host"));
    // X03, sent in one piece.
    let r = exchange_lines(&[
        "EHLO x\r\n",
        "MAIL FROM:<>\r\n",
        "RCPT TO:<a@probe.example>\r\n",
        "DATA\r\n",
        "Subject: x\r\n\r\nx\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@probe.example>\r\nDATA\r\nx\r\n.\r\n",
    ]);
    assert!(r[5].starts_with("550 5.6.0") && r.len() == 6, "{r:?}");
    // Silent sessions do not delay others.
    let held: Vec<_> = (0..300)
        .map(|i| connect(v4(60 + (i / 100) as u8, 1), f.collector).unwrap())
        .collect();
    let begun = Instant::now();
    assert_eq!(&exchange_lines(&["NOOP\r\n"])[1][..3], "250");
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(held);
    // orbsd's own tests find the collector closed.
    let port = f.collector.port().to_string();
    let out = f.api.f.orbsd(&[
        "relay",
        "probe",
        "127.127.0.1",
        "--port",
        &port,
        "--pause",
        "0s",
        "--domain",
        "other-probe.example",
        "--relay",
        "collector.example",
        "--hosted",
        "collector.example",
        "--wait",
        "0s",
    ]);
    assert_eq!(
        out.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
}

/// STARTTLS between our tester and our collector, which listens on a submission port.
#[test]
fn tester_and_collector_support_starttls() {
    let key = rcgen::generate_simple_self_signed(vec!["collector.example".to_string()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("cert.pem", key.cert.pem()),
        ("key.pem", key.signing_key.serialize_pem()),
    ] {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let at = dir.path().display();
    let f = RelayLab::new(&format!(
        "[tls]\ncertificate = \"{at}/cert.pem\"\nkey = \"{at}/key.pem\"\n"
    ));
    let mut f = f;
    f.api.daemon.take().unwrap().stop();
    let config = std::fs::read_to_string(f.api.f.path().join("config.toml")).unwrap();
    let config = config
        .replace("[collector]\n", "[collector]\ntls = true\n")
        .replace(
            &format!("ports = [{}, {}, ", f.port, f.submission[0]),
            &format!("ports = [{}, {}, ", f.port, f.collector.port()),
        );
    f.api.f.write("config.toml", &config);
    f.api.start();
    let out = f.api.f.orbsd(&[
        "relay",
        "probe",
        "127.127.0.1",
        "--domain",
        "other.example",
        "--pause",
        "0s",
        "--wait",
        "0s",
        "--test",
        "submission-no-auth",
    ]);
    let text = String::from_utf8_lossy(&out.stdout);
    for line in [
        "C STARTTLS",
        "- TLS",
        "RCPT TO:<t",
        "S 550 5.7.1",
        "every kind of test was refused",
    ] {
        assert!(
            text.contains(line),
            "{line}: {text}{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(
        text.matches("C EHLO").count(),
        2,
        "once before TLS, and again after it: {text}"
    );
    // A command in the same packet as STARTTLS is not read after TLS began (CVE-2011-0411), and
    // invalid TLS ends the session.
    let hello = ["220", "250", "554"];
    let codes = |steps: &[&str]| {
        exchange(&f, v4(50, 1), steps)
            .iter()
            .map(|l| l.chars().take(3).collect::<String>())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        codes(&[
            "EHLO x\r\n",
            "STARTTLS\r\nMAIL FROM:<>\r\n",
            "RCPT TO:<a@probe.example>\r\n"
        ])[..3],
        hello
    );
    let garbage = codes(&[
        "EHLO x\r\n",
        "STARTTLS\r\n",
        "\u{1}\u{2}not TLS at all\r\n\r\n",
        "MAIL FROM:<>\r\n",
    ]);
    assert!(
        garbage[2] == "220"
            && !garbage[3..]
                .iter()
                .any(|c| c.starts_with(['2', '3', '4', '5'])),
        "{garbage:?}"
    );
    assert_eq!(codes(&["NOOP\r\n"]), ["220", "250"]);
}

/// Each audience sees its part of the evidence.
#[test]
fn evidence_is_redacted_for_each_audience() {
    let f = RelayLab::new("contact = \"relaytest@orbs.example\"\n");
    let addr = v4(1, 1);
    f.mta(addr, "seen", open());
    f.done(f.nominate(
        addr,
        &json!({"tests": ["relay-name-sender"], "evidence": "user@victim.example got it"}),
    ));
    let public = f
        .api
        .call("", "GET", &format!("/lookup?ip={addr}"), &[], "")
        .ok();
    let id = public["relay_tests"]["proofs"][0]["id"].clone();
    let shown = f.api.call("", "GET", &format!("/evidence/{id}"), &[], "");
    let mut evidence = shown.json();
    // What the knowledge base says of a product is no evidence, and can name commands.
    evidence.as_object_mut().unwrap().remove("product_advice");
    let evidence = evidence.to_string();
    for private in ["victim.example", "relay test <", "EHLO", "transcript"] {
        assert!(!evidence.contains(private), "{private}: {evidence}");
    }
    // The reply codes are public, the transcript is not.
    assert_eq!(
        shown.ok()["reply_codes"].as_array().unwrap()[..6],
        json!([220, 250, 250, 250, 354, 250]).as_array().unwrap()[..]
    );
    // The owner asks from the address itself.
    let own = |id: &serde_json::Value| {
        let stream = connect(addr, f.api.addr).unwrap();
        let mut out = stream.try_clone().unwrap();
        write!(
            out,
            "GET /evidence/{id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut all = String::new();
        std::io::Read::read_to_string(&mut BufReader::new(stream), &mut all).unwrap();
        all
    };
    let text = own(&id);
    assert!(
        text.contains("X-Envelope-Recipient") && text.contains("C RCPT TO:"),
        "{text}"
    );
    assert!(
        text.contains("From: relay test <relaytest@orbs.example>")
            && text.contains("Contact: relaytest@orbs.example"),
        "{text}"
    );
    // Another delivery names third parties. Operators see their addresses, the owner does not.
    let to = f.api.get("/v1/jobs/1").ok()["results"][0]["to"]
        .as_str()
        .unwrap()
        .to_string();
    let data = "Received: from x (anna.b@victim.example)\r\n\r\nx\r\n.\r\n";
    let steps = [
        "EHLO x\r\n",
        "MAIL FROM:<carl@victim.example>\r\n",
        &format!("RCPT TO:{to}\r\n"),
        "DATA\r\n",
        data,
    ];
    assert!(
        exchange(&f, v4(1, 2), &steps)
            .last()
            .unwrap()
            .starts_with("250 2.0.0 recorded")
    );
    let second = f.api.get(&format!("/v1/evidence?target={addr}")).ok()["items"][0].clone();
    assert!(
        second["message"]
            .as_str()
            .unwrap()
            .contains("anna.b@victim.example"),
        "{second}"
    );
    let text = own(&second["id"]);
    assert!(
        text.contains("@victim.example") && !text.contains("anna.b") && !text.contains("carl@"),
        "{text}"
    );
    let all = f.api.get(&format!("/v1/evidence?target={addr}")).ok();
    assert!(
        all["items"][1]["message"]
            .as_str()
            .unwrap()
            .contains("Received: by seen.lab.example")
    );
    let reader = f.api.token("r", "reader", &[]);
    let less = f
        .api
        .call(
            &reader,
            "GET",
            &format!("/v1/evidence?target={addr}"),
            &[],
            "",
        )
        .ok();
    assert!(less["items"][0]["message"].is_null());
    // The evidence of a released host is not public; its owner still sees it.
    f.api
        .post(
            "/v1/reviews",
            &json!({"target": addr, "note": "reviewed"}).to_string(),
        )
        .ok();
    assert_eq!(
        f.api
            .call("", "GET", &format!("/evidence/{id}"), &[], "")
            .problem(),
        "not-found"
    );
    // A stranger cannot tell it from one that does not exist.
    let detail = |id: &str| {
        let problem = f.api.call("", "GET", &format!("/evidence/{id}"), &[], "");
        problem.json()["detail"].as_str().unwrap().replace(id, "N")
    };
    assert_eq!(detail(&id.to_string()), detail("4000000"));
    assert!(own(&id).contains("C RCPT TO:"));
}
