//! The command `orbsd relay probe`, and reporters who send its results.

use std::time::{Duration, Instant};

use super::{RelayLab, mta::MtaBehavior, rules::open, v4};

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
    let greeting = |n, greeting| {
        start(
            n,
            MtaBehavior {
                greeting: Some(greeting),
                ..open()
            },
        )
    };
    let postfix = greeting(5, "220 h5.lab.example ESMTP Postfix");
    let unknown = greeting(6, "220 h6.lab.example mail");
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
    // The advice for what came through: that of the recognised product, or else the questions.
    let (_, text) = run(&postfix, &plain);
    assert!(text.contains("mynetworks = "), "{text}");
    let (_, text) = run(&unknown, &plain);
    assert!(text.contains("no product is recognised"), "{text}");
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
