//! The rules of relay testing on a real daemon.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{RelayLab, mta::MtaBehavior, v4};

/// An open relay.
pub(super) fn open() -> MtaBehavior {
    MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    }
}

/// From nomination to release over the API, with a DNS query at each step.
#[test]
fn host_is_listed_by_a_test_and_released_by_a_review() {
    let f = RelayLab::new("");
    let addr = v4(1, 1);
    let mta = f.mta(addr, "loop", open());
    let only = json!({"tests": ["plain"]});
    assert_eq!(f.dns(addr), "NXDOMAIN soa 60");
    let job = f.done(f.nominate(addr, &only));
    assert_eq!(
        (&job["assessment"], f.dns(addr).as_str()),
        (&json!("open"), "NOERROR 127.0.0.2")
    );
    // The host is still open, so the claim is tested and fails.
    let claim = |proved: bool| {
        f.api.post(
            "/v1/claims",
            &json!({"target": addr, "proved": proved}).to_string(),
        )
    };
    let first = claim(true).ok();
    let what_happens = first["what_happens"].as_str().unwrap();
    assert!(
        what_happens.starts_with("It is tested now, and released when every test is refused."),
        "{what_happens}"
    );
    let tested = f.done(first["job"]["id"].as_u64().unwrap());
    assert_eq!(
        (&tested["trigger"], &tested["assessment"]),
        (&json!("claim"), &json!("open"))
    );
    assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    // The next claim waits an hour, and the response states it.
    let early = claim(true).ok();
    assert_eq!(early["job"]["state"], "deferred");
    assert!(
        early["what_happens"]
            .as_str()
            .unwrap()
            .starts_with("It is tested at "),
        "{early}"
    );
    // The public endpoint accepts claims too. From another address the claim is not proved, and it
    // joins the open claim.
    let public = f
        .api
        .call(
            "",
            "POST",
            "/claims",
            &[],
            &json!({"target": addr}).to_string(),
        )
        .ok();
    assert_eq!(
        (&public["proved"], &public["job"]["id"]),
        (&json!(false), &early["job"]["id"])
    );
    assert_eq!(
        f.api
            .call(
                "",
                "POST",
                "/claims",
                &[],
                &json!({"target": addr, "proved": true}).to_string()
            )
            .problem(),
        "invalid"
    );
    // An operator releases the host by a review.
    assert_eq!(
        f.api
            .post(
                "/v1/reviews",
                &json!({"target": addr, "note": " "}).to_string()
            )
            .problem(),
        "invalid"
    );
    f.api
        .post(
            "/v1/reviews",
            &json!({"target": addr, "note": "closed, verified by hand"}).to_string(),
        )
        .ok();
    assert_eq!(f.dns(addr), "NXDOMAIN soa 60");
    assert_eq!(claim(true).problem(), "not-found");
    assert!(mta.messages.load(Ordering::SeqCst) >= 2);
    // Each step has an audit record.
    let log = f.api.get("/v1/audit").ok().to_string();
    for action in ["nominate", "claim", "review"] {
        assert!(
            log.contains(&format!("\"action\":\"{action}\"")),
            "{action}: {log}"
        );
    }
}

/// A claim for a closed host releases it at once.
#[test]
fn closed_host_is_released_at_once_by_a_claim() {
    let f = RelayLab::new("");
    let addr = v4(1, 1);
    let mta = f.mta(
        addr,
        "shut",
        MtaBehavior {
            disposition: super::mta::Disposition::Hold,
            ..open()
        },
    );
    let job = f.nominate(addr, &json!({"tests": ["plain"]}));
    f.done(job);
    assert_eq!(
        f.dns(addr),
        "NXDOMAIN soa 60",
        "an accepted message does not list the host"
    );
    mta.release();
    assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    // The owner closes the host.
    mta.close();
    let claim = f
        .api
        .post(
            "/v1/claims",
            &json!({"target": addr, "proved": true}).to_string(),
        )
        .ok();
    let job = f.done(claim["job"]["id"].as_u64().unwrap());
    assert_eq!(
        (&job["assessment"], f.dns(addr).as_str()),
        (&json!("closed"), "NXDOMAIN soa 60")
    );
    let subject = f.api.get(&format!("/v1/subjects/{addr}")).ok();
    assert_eq!(
        subject["holds"][0]["reason"], "relay",
        "a hold keeps feeds from listing it"
    );
}

/// S1, S2, S3 and S6 over the API.
#[test]
fn hosts_that_may_not_be_tested_are_held_or_refused() {
    let f = RelayLab::new("");
    let nominate = |body: serde_json::Value| f.api.post("/v1/nominations", &body.to_string());
    let good = json!({"target": "198.51.100.1", "evidence": "x", "kind": "log"});
    let job = nominate(good.clone()).ok();
    assert_eq!(job["state"], "held");
    assert_eq!(
        nominate(json!({"target": "8.8.8.8", "evidence": "x", "kind": "log"})).ok()["state"],
        "held"
    );
    for (bad, why) in [
        (
            json!({"target": "198.51.100.0/24", "evidence": "x", "kind": "log"}),
            "not networks",
        ),
        (
            json!({"target": "mail.example", "evidence": "x", "kind": "log"}),
            "not an IP address",
        ),
        (
            json!({"target": "198.51.100.2", "evidence": "", "kind": "log"}),
            "evidence",
        ),
        (json!({"target": "198.51.100.2", "kind": "log"}), "evidence"),
        (
            json!({"target": "198.51.100.2", "evidence": "x", "kind": "rumour"}),
            "rumour",
        ),
        (
            json!({"target": "198.51.100.2", "evidence": "x", "kind": "log", "at": "2020-01-01T00:00:00Z"}),
            "14 days",
        ),
        (
            json!({"target": "198.51.100.2", "evidence": "x", "kind": "log", "tests": ["nope"]}),
            "nope",
        ),
    ] {
        let reply = nominate(bad);
        assert_eq!(
            (reply.status, reply.text().contains(why)),
            (422, true),
            "{why}: {}",
            reply.text()
        );
    }
    // An opt-out is published, and refuses nominations of the hosts that it covers.
    f.api.post(
        "/v1/opt-outs",
        &json!({"subject": "198.51.100.0/24", "proof": "mail from the RIR contact"}).to_string(),
    );
    let reply = f.api.post(
        "/v1/opt-outs",
        &json!({"subject": "127.64.9.0/24", "proof": "a phone call"}).to_string(),
    );
    assert_eq!(reply.status, 201, "{}", reply.text());
    // A reporter may not give names or select tests, which could forge a proof or hide an open
    // relay.
    let rep = f.api.token("namer", "reporter", &[]);
    for more in [
        json!({"names": ["mine.example"]}),
        json!({"tests": ["bang-bare"]}),
    ] {
        let mut body = json!({"target": v4(8, 9), "evidence": "x", "kind": "log"});
        more.as_object()
            .unwrap()
            .iter()
            .for_each(|(k, v)| body[k] = v.clone());
        assert_eq!(
            f.api
                .call(&rep, "POST", "/v1/nominations", &[], &body.to_string())
                .problem(),
            "forbidden",
            "{body}"
        );
    }
    let refused = nominate(json!({"target": "127.64.9.1", "evidence": "x", "kind": "log"}));
    assert_eq!(
        (
            refused.status,
            refused.text().contains("asked not to be tested")
        ),
        (409, true)
    );
    assert_eq!(f.dns(v4(9, 1)), "NOERROR 127.0.0.13");
    f.api
        .call(
            &f.api.owner,
            "DELETE",
            "/v1/opt-outs?subject=127.64.9.0/24",
            &[],
            "",
        )
        .ok();
    assert_eq!(f.dns(v4(9, 1)), "NXDOMAIN soa 60");
    // The first nominations of a reporter need approval.
    let rep = f.api.token("rep", "reporter", &[]);
    let job = f
        .api
        .call(
            &rep,
            "POST",
            "/v1/nominations",
            &[],
            &json!({"target": v4(8, 1), "evidence": "x", "kind": "message"}).to_string(),
        )
        .ok();
    assert_eq!(
        (
            &job["state"],
            job["waiting_for"].as_str().unwrap().contains("approval")
        ),
        (&json!("held"), true)
    );
    let id = job["id"].as_u64().unwrap();
    assert_eq!(
        f.api
            .call(&rep, "POST", &format!("/v1/jobs/{id}/approve"), &[], "")
            .problem(),
        "forbidden"
    );
    assert_eq!(
        f.api
            .call(&f.api.owner, "DELETE", &format!("/v1/jobs/{id}"), &[], "")
            .ok()["state"],
        "done"
    );
    let owner = f.api.call(
        &rep,
        "POST",
        "/v1/nominations",
        &[],
        &json!({"target": v4(8, 1), "evidence": "x", "kind": "owner"}).to_string(),
    );
    assert_eq!(owner.problem(), "forbidden");
}

/// S1: with the default configuration no host is tested.
#[test]
fn tester_is_off_by_default() {
    let api = crate::api::Api::new();
    for (target, why) in [
        ("198.51.100.1", "special range"),
        ("127.0.0.1", "special range"),
        ("45.1.1.1", "the tester is off"),
        ("2a00::1", "the tester is off"),
    ] {
        let job = api
            .post(
                "/v1/nominations",
                &json!({"target": target, "evidence": "x", "kind": "log"}).to_string(),
            )
            .ok();
        assert_eq!(
            (
                &job["state"],
                job["waiting_for"].as_str().unwrap().contains(why)
            ),
            (&json!("held"), true),
            "{job}"
        );
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(
        api.get("/v1/jobs?open=true").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let status = api.get("/v1/status").ok();
    assert_eq!(status["tester"], json!({"enabled": false, "problem": null}));
}

/// S4: one session at a time, with pauses and a minimum duration. S8, S9: one command at a time,
/// and messages identify the tester.
#[test]
fn host_is_tested_slowly_and_messages_identify_the_tester() {
    let f = RelayLab::new(
        "contact = \"relaytest@orbs.example\"\ninfo_url = \"https://orbs.example/tests\"\n",
    );
    let addr = v4(1, 1);
    let mta = f.mta(addr, "paced", open());
    let config = std::fs::read_to_string(f.api.f.path().join("config.toml")).unwrap();
    assert!(config.contains("pause = \"0s\""));
    let mut f = f;
    f.api.daemon.take().unwrap().stop();
    f.api.f.write(
        "config.toml",
        &config
            .replace("pause = \"0s\"", "pause = \"1s\"")
            .replace("min_duration = \"0s\"", "min_duration = \"8s\""),
    );
    f.api.start();
    let begun = Instant::now();
    f.done(f.nominate(
        addr,
        &json!({"tests": ["plain", "null-sender", "percent-at-literal", "quoted-address"]}),
    ));
    let elapsed = begun.elapsed();
    assert!(
        elapsed >= Duration::from_secs(8),
        "three pauses, eight seconds in total: {elapsed:?}"
    );
    assert_eq!(
        (
            mta.max_sessions.load(Ordering::SeqCst),
            mta.messages.load(Ordering::SeqCst)
        ),
        (1, 2)
    );
    let text = mta.received_lines.lock().unwrap().join("\n");
    assert!(
        !text.contains("AUTH")
            && !text.contains("VRFY")
            && !text.contains("EXPN")
            && text.contains("EHLO tester.example"),
        "{text}"
    );
    let evidence = f.api.get(&format!("/v1/evidence?target={addr}")).ok();
    let message = evidence["items"][0]["message"].as_str().unwrap();
    for part in [
        "relaytest@orbs.example",
        "https://orbs.example/tests",
        "Auto-Submitted: auto-generated",
        "job 1 (log)",
        "X-Envelope-Sender:",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// S10, S18: while DNS directs the mail of the probe domain elsewhere, a third party would get the
/// test messages.
#[test]
fn no_host_is_tested_while_the_mail_route_is_wrong() {
    let mut f = RelayLab::new(
        "allow_public = true\ncontact = \"relaytest@orbs.example\"\ninfo_url = \"https://orbs.example/tests\"\n",
    );
    let addr = v4(1, 1);
    f.mta(addr, "waits", open());
    let says = |f: &RelayLab, part: &str| {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let wrong = f.api.get("/v1/status").ok()["tester"]["problem"].clone();
            match wrong.as_str() {
                Some(w) if !part.is_empty() && w.contains(part) => return,
                None if part.is_empty() => return,
                _ => assert!(Instant::now() < until, "{part}: {wrong}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    says(&f, "probe.example has no MX with an address in DNS");
    let id = f.nominate(addr, &json!({"tests": ["plain"]}));
    let again = |f: &mut RelayLab| {
        f.api.daemon.take().unwrap().stop();
        f.api.start();
    };
    f.names.host(v4(9, 9), "probe.example");
    again(&mut f);
    says(
        &f,
        "goes to probe.example, 127.64.9.9, which is not an address of the collector",
    );
    assert_eq!(
        (f.job(id)["state"].clone(), f.dns(addr).as_str()),
        (json!("queued"), "NXDOMAIN soa 60")
    );
    // A reporter gets no messages either, because a third party would receive them.
    let order =
        json!({"target": v4(2, 1), "evidence": "x", "kind": "log", "tests": ["plain"]}).to_string();
    let refused = f.api.post("/v1/probes", &order);
    assert!(
        refused.status == 409 && refused.text().contains("127.64.9.9"),
        "{}",
        refused.text()
    );
    f.names.remove_host(v4(9, 9));
    f.names.host(f.collector.ip(), "probe.example");
    again(&mut f);
    says(&f, "");
    assert_eq!(
        (f.done(id)["assessment"].clone(), f.dns(addr).as_str()),
        (json!("open"), "NOERROR 127.0.0.2")
    );
    // After a reload that allows hosts on the Internet, the mail route is checked before the first
    // test.
    let config = std::fs::read_to_string(f.api.f.path().join("config.toml")).unwrap();
    f.api.f.write(
        "config.toml",
        &config.replace("allow_public = true", "allow_public = false"),
    );
    f.names.remove_host(f.collector.ip());
    f.names.host(v4(9, 9), "probe.example");
    f.mta(v4(3, 1), "waits-too", open());
    again(&mut f);
    says(&f, "");
    f.api.f.write("config.toml", &config);
    f.api.f.ok(&["reload"]);
    let id = f.nominate(v4(3, 1), &json!({"tests": ["plain"]}));
    says(&f, "goes to probe.example, 127.64.9.9");
    assert_eq!(f.job(id)["state"], "queued");
}

/// As with DSBL, the reporter sends the messages and our collector receives them. The listing is
/// unconfirmed unless the reporter is trusted.
#[test]
fn reporters_own_test_lists_as_unconfirmed_unless_trusted() {
    let f = RelayLab::new("trusted_reporters = [\"trusty\"]\n");
    let port = f.port.to_string();
    for (n, who, code) in [(1, "rep", "127.0.0.8"), (2, "trusty", "127.0.0.2")] {
        let addr = v4(n, 1);
        f.mta(addr, &format!("r{n}"), open());
        let token = f
            .api
            .f
            .write(&format!("{who}.token"), &f.api.token(who, "editor", &[]));
        let server = format!("http://{}", f.api.addr);
        let target = addr.to_string();
        let out = f.api.f.orbsd(&[
            "--server",
            &server,
            "--token",
            token.to_str().unwrap(),
            "relay",
            "probe",
            &target,
            "--port",
            &port,
            "--pause",
            "0s",
            "--test",
            "plain",
            "--wait",
            "5s",
            "--evidence",
            "message 4711",
        ]);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(f.dns(addr), format!("NOERROR {code}"));
    }
    // A test needs evidence.
    let token = f.api.f.path().join("rep.token");
    let server = format!("http://{}", f.api.addr);
    let out = f.api.f.orbsd(&[
        "--server",
        &server,
        "--token",
        token.to_str().unwrap(),
        "relay",
        "probe",
        &v4(1, 1).to_string(),
    ]);
    assert_eq!(
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stderr).contains("--evidence")
        ),
        (Some(64), true)
    );
    // Results of another reporter are refused, and a reported delivery is ignored.
    let other = f.api.token("other", "editor", &[]);
    let made = f.api.call(
        &other,
        "POST",
        "/v1/probes",
        &[],
        &json!({"target": v4(3, 1), "evidence": "x", "kind": "log", "tests": ["plain"]})
            .to_string(),
    );
    let made = made.ok();
    let path = format!("/v1/jobs/{}/results", made["job"]);
    let lie = json!({"results": [{"place": 0, "outcome": {"outcome": "delivered", "output": v4(3, 1), "at": 1}}]}).to_string();
    assert_eq!(f.api.post(&path, &lie).problem(), "forbidden");
    let job = f.api.call(&other, "POST", &path, &[], &lie).ok();
    assert_eq!(
        (&job["assessment"], f.dns(v4(3, 1)).as_str()),
        (&json!("inconclusive"), "NXDOMAIN soa 60")
    );
}
