//! The rules of relay testing on a real daemon.

use std::{
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    RelayLab,
    mta::{MtaBehavior, connect},
    v4,
};

fn open() -> MtaBehavior {
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

/// The exit codes of `orbsd relay probe`. It lists no host.
#[test]
fn probe_command_reports_by_exit_code_and_lists_no_host() {
    let f = RelayLab::new("");
    let (port, collector) = (
        f.port.to_string(),
        format!("127.127.0.2:{}", crate::lab::free_port()),
    );
    let at: std::net::SocketAddr = collector.parse().unwrap();
    let start = |n: u8, behavior: MtaBehavior| {
        let addr = v4(n, 1);
        super::Mta::start(addr, f.port, &format!("h{n}.lab.example"), behavior, at);
        addr.to_string()
    };
    let (shut, open_, drop_, closed_door) = (
        start(1, MtaBehavior::default()),
        start(2, open()),
        start(
            3,
            MtaBehavior {
                disposition: super::mta::Disposition::Drop,
                ..open()
            },
        ),
        start(
            4,
            MtaBehavior {
                greeting: Some("554 no"),
                ..MtaBehavior::default()
            },
        ),
    );
    let run = |target: &str, more: &[&str]| {
        let base = [
            "relay",
            "probe",
            target,
            "--port",
            &port,
            "--pause",
            "0s",
            "--collector",
            &collector,
            "--wait",
            "1s",
        ];
        let out = f.api.f.orbsd(&[&base[..], more].concat());
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    let plain = ["--test", "plain", "--test", "percent-at-literal"];
    let (code, text) = run(&shut, &plain);
    assert_eq!(
        (
            code,
            text.contains("every kind of test was refused") && text.contains("C RCPT TO:<t")
        ),
        (Some(0), true),
        "{text}"
    );
    let (code, text) = run(&open_, &plain);
    assert_eq!(
        (code, text.contains("it is an open relay")),
        (Some(2), true),
        "{text}"
    );
    assert_eq!(run(&drop_, &plain).0, Some(3));
    assert_eq!(run(&closed_door, &plain).0, Some(4));
    assert_eq!(
        run(&open_, &["--mail-from", "<>", "--rcpt-to", "<{u}@{d}>"]).0,
        Some(2)
    );
    assert_eq!(run(&shut, &["--test", "nope"]).0, Some(64));
    assert_eq!(
        run("8.8.8.8", &plain).0,
        Some(64),
        "hosts on the Internet are refused"
    );
    assert_eq!(run("nowhere", &plain).0, Some(64));
    assert_eq!(run(&shut, &["--rcpt-to", "<{x}>"]).0, Some(64));
    assert_eq!(f.dns(v4(2, 1)), "NXDOMAIN soa 60");
    // All tests at once, with JSON output.
    let out = f.api.f.orbsd(&[
        "--json",
        "relay",
        "probe",
        &shut,
        "--port",
        &port,
        "--pause",
        "0s",
        "--relay",
        "h1.lab.example",
        "--hosted",
        "lab.example",
    ]);
    let all: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(
        all["results"].as_array().unwrap().len() > 40 && all["assessment"] == "closed",
        "{all:#}"
    );
}

/// `orbsd relay probe` finds the names of a host in DNS, as the daemon does.
#[test]
fn probe_command_finds_the_names_of_a_host() {
    let f = RelayLab::new("");
    // The resolver does not ask a server for the reverse DNS of 127.0.0.0/8, so one name is given.
    let addr = v4(1, 1);
    f.mta(addr, "named", MtaBehavior::default());
    let run = |more: &[&str]| {
        let base = [
            "relay",
            "probe",
            &addr.to_string(),
            "--port",
            &f.port.to_string(),
            "--pause",
            "0s",
            "--wait",
            "0s",
        ];
        let out = f.api.f.orbsd(&[&base[..], more].concat());
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    // The given name is verified, and its domain's mail exchange is found.
    let (code, text) = run(&[
        "--test",
        "percent-at-hosted",
        "--test",
        "percent-at-name",
        "--relay",
        "named.lab.example",
    ]);
    assert_eq!(
        (
            code,
            text.matches("%probe.example@named.lab.example>").count() >= 2
        ),
        (Some(0), true),
        "{text}"
    );
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

/// Once, `orbsd relay probe` exited with the code of a closed host if its results could not be sent.
#[test]
fn results_that_cannot_be_sent_are_an_error() {
    let mut f = RelayLab::new("");
    let addr = v4(1, 1);
    let mta = f.mta(addr, "unheard", MtaBehavior::default());
    let token = f
        .api
        .f
        .write("rep.token", &f.api.token("rep", "editor", &[]));
    let (server, target, port) = (
        format!("http://{}", f.api.addr),
        addr.to_string(),
        f.port.to_string(),
    );
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(f.api.f.path())
        .args([
            "--server",
            &server,
            "--token",
            token.to_str().unwrap(),
            "relay",
            "probe",
            &target,
            "--port",
            &port,
            "--wait",
            "1s",
        ])
        .args([
            "--evidence",
            "message 4711",
            "--pause",
            "3s",
            "--test",
            "plain",
            "--test",
            "null-sender",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while mta.received_lines.lock().unwrap().is_empty() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    f.api.daemon.take().unwrap().stop();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.code() == Some(1) && text.contains("Connection refused"),
        "{:?} {text} {}",
        out.status,
        String::from_utf8_lossy(&out.stdout)
    );
}

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
    for private in ["victim.example", "relay test <", "EHLO", "transcript"] {
        assert!(
            !shown.text().contains(private),
            "{private}: {}",
            shown.text()
        );
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
