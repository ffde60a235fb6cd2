//! Hostile hosts at the tester, hostile clients at the collector, and a flood of claims.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    RelayLab,
    collector::exchange,
    mta::{Disposition, MtaBehavior, connect},
    v4,
};

type Session = fn(TcpStream) -> std::io::Result<()>;

/// Starts a host that runs `session` for each connection.
fn start_host(addr: IpAddr, port: u16, session: Session) {
    let listener = TcpListener::bind((addr, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream
                .set_write_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            std::thread::spawn(move || session(stream));
        }
    });
}

/// Sends a text for ever.
fn endless(mut s: TcpStream, text: &[u8]) -> std::io::Result<()> {
    loop {
        s.write_all(text)?;
    }
}

/// Sends the next reply after each received line, then closes.
fn script(s: TcpStream, replies: &[&str]) -> std::io::Result<()> {
    let mut out = s.try_clone()?;
    let mut lines = BufReader::new(s);
    for r in replies {
        out.write_all(r.as_bytes())?;
        lines.read_line(&mut String::new())?;
    }
    Ok(())
}

/// Each host with its name, port (0: SMTP, 1: submission, 2: submission under TLS), session,
/// expected outcome, and a part of the reason.
const HOSTS: [(&str, usize, Session, &str, &str); 12] = [
    (
        "a greeting without end",
        0,
        |s| endless(s, b"220-hello\r\n"),
        "inconclusive",
        "more than 100 lines",
    ),
    (
        "a line without end",
        0,
        |s| endless(s, &[b'2'; 1000]),
        "inconclusive",
        "longer than 2048 bytes",
    ),
    (
        "zeros without end",
        0,
        |s| endless(s, &[0; 1000]),
        "inconclusive",
        "longer than 2048 bytes",
    ),
    (
        "a byte now and then",
        0,
        |mut s| {
            for b in b"220-slow".iter().cycle().take(100) {
                s.write_all(&[*b])?;
                std::thread::sleep(Duration::from_millis(300));
            }
            Ok(())
        },
        "inconclusive",
        "no reply in time",
    ),
    (
        "two codes in one reply",
        0,
        |s| script(s, &["220 x\r\n", "250-a\r\n550 b\r\n"]),
        "inconclusive",
        "different codes",
    ),
    (
        "all replies at once",
        0,
        |s| {
            script(
                s,
                &[
                    "220 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 taken\r\n250 e\r\n",
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                ],
            )
        },
        "accepted",
        "",
    ),
    (
        "421 as the greeting",
        0,
        |s| script(s, &["421 later\r\n"]),
        "inconclusive",
        "deferred 3 times, last with 421",
    ),
    (
        "421 to RCPT, then closed",
        0,
        |s| script(s, &["220 x\r\n", "250 x\r\n", "250 x\r\n", "421 bye\r\n"]),
        "inconclusive",
        "deferred 3 times, last with 421",
    ),
    (
        "garbage for TLS",
        1,
        |s| {
            script(
                s,
                &[
                    "220 x\r\n",
                    "250-x\r\n250 STARTTLS\r\n",
                    "220 go\r\n",
                    "\u{0}\u{1}\u{2}no TLS at all\r\n",
                    "",
                    "",
                ],
            )
        },
        "inconclusive",
        "TLS failed",
    ),
    (
        "replies before TLS (CVE-2011-0411)",
        1,
        |s| {
            script(
                s,
                &[
                    "220 x\r\n",
                    "250-x\r\n250 STARTTLS\r\n",
                    "220 go\r\n250 mine\r\n250 mine\r\n",
                    "",
                    "",
                ],
            )
        },
        "inconclusive",
        "the server sent data before TLS began",
    ),
    (
        "silence for TLS",
        1,
        |s| {
            script(
                s,
                &[
                    "220 x\r\n",
                    "250-x\r\n250 STARTTLS\r\n",
                    "220 go\r\n",
                    "",
                    "",
                    "",
                ],
            )
        },
        "inconclusive",
        "TLS",
    ),
    (
        "plain text under TLS",
        2,
        |s| script(s, &["220 x\r\n", "250 x\r\n"]),
        "skipped",
        "TLS failed",
    ),
];

#[test]
fn hostile_hosts_are_inconclusive_and_delay_no_other_test() {
    let f = RelayLab::new("");
    let ports = [f.port, f.submission[0], f.submission[1]];
    let tests = ["plain", "submission-no-auth", "submissions-no-auth"];
    let begun = Instant::now();
    let jobs: Vec<u64> = HOSTS
        .iter()
        .zip(1u8..)
        .map(|((_, port, session, ..), n)| {
            start_host(v4(n, 1), ports[*port], *session);
            f.nominate(v4(n, 1), &json!({"tests": [tests[*port]]}))
        })
        .collect();
    for ((what, _, _, outcome, why), (id, n)) in HOSTS.iter().zip(jobs.iter().zip(1u8..)) {
        let job = f.done(*id);
        let r = &job["results"][0];
        assert_eq!(r["outcome"], *outcome, "{what}: {job:#}");
        assert!(
            r["detail"]["cause"].as_str().unwrap_or("").contains(why),
            "{what}: {job:#}"
        );
        assert_eq!(f.dns(v4(n, 1)), "NXDOMAIN soa 60", "{what}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(45),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        f.job(jobs[6])["assessment"],
        "blocked",
        "deferred before RCPT"
    );
    assert_eq!(f.job(jobs[7])["assessment"], "inconclusive");
}

/// Messages that are hard to parse, with a valid token, and the expected reply to each.
fn messages(body: &str) -> Vec<(&'static str, String, &'static str)> {
    let nested: String = (0..400)
        .map(|i| {
            format!(
                "--b{i}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n",
                i + 1
            )
        })
        .collect();
    let many: String = (0..15_000).map(|_| "a:\r\n").collect();
    let received = |n: usize| "Received: from a by b\r\n".repeat(n);
    vec![
        (
            "parts in parts",
            format!("Content-Type: multipart/mixed; boundary=b0\r\n\r\n{nested}{body}"),
            "250 2.0.0 recorded",
        ),
        (
            "fields without end",
            format!("{many}\r\n{body}"),
            "250 2.0.0 recorded",
        ),
        (
            "a field without end",
            format!("Subject: x\r\n{}\r\n{body}", " y\r\n".repeat(12_000)),
            "250 2.0.0 recorded",
        ),
        ("no fields", format!("\r\n{body}"), "250 2.0.0 recorded"),
        (
            "control characters",
            format!("Subject: \u{202e}\u{7f}\u{1b}[2J\r\n: :\r\n=?x?q?\r\n\r\n{body}"),
            "250 2.0.0 recorded",
        ),
        (
            "in base64",
            format!(
                "Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                "QUJD".repeat(200)
            ),
            "250 2.0.0 recorded",
        ),
        (
            "the most Received fields",
            format!("{}\r\n{body}", received(25)),
            "250 2.0.0 recorded",
        ),
        (
            "a mail loop",
            format!("{}\r\n{body}", received(26)),
            "554 5.4.6",
        ),
        (
            "too long",
            format!("\r\n{}", "x\r\n".repeat(30_000)),
            "552 5.3.4",
        ),
        ("a NUL", "Subject: x\r\n\r\n\u{0}\r\n".into(), "550 5.6.0"),
        ("no token", "Subject: x\r\n\r\nx\r\n".into(), "550 5.7.1"),
    ]
}

#[test]
fn messages_that_are_hard_to_parse_are_handled_in_time_and_can_be_displayed() {
    let f = RelayLab::new("");
    let target = v4(1, 1);
    f.mta(
        target,
        "hard",
        MtaBehavior {
            open: true,
            disposition: Disposition::Hold,
            ..MtaBehavior::default()
        },
    );
    let job = f.done(f.nominate(target, &json!({"tests": ["plain"]})));
    let to = job["results"][0]["to"].as_str().unwrap().to_string();
    for ((what, message, reply), n) in messages(&format!("{to}\r\n")).into_iter().zip(10u8..) {
        let to = if what == "no token" {
            "<postmaster@probe.example>"
        } else {
            &to
        };
        let begun = Instant::now();
        let replies = exchange(
            &f,
            v4(n, 1),
            &[
                "EHLO x\r\n",
                "MAIL FROM:<x@x.example>\r\n",
                &format!("RCPT TO:{to}\r\n"),
                "DATA\r\n",
                &format!("{message}.\r\n"),
            ],
        );
        assert!(
            replies.last().unwrap().starts_with(reply),
            "{what}: {replies:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{what}: {:?}",
            begun.elapsed()
        );
    }
    // The operator sees each message, and the host itself sees it without the local parts of third
    // parties.
    let all = f.api.get(&format!("/v1/evidence?target={target}")).ok();
    let proofs = all["items"].as_array().unwrap();
    assert_eq!(proofs.len(), 7, "{all:#}");
    for p in proofs {
        let mut stream = connect(target, f.api.addr).unwrap();
        let begun = Instant::now();
        write!(
            stream,
            "GET /evidence/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            p["id"]
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200") && begun.elapsed() < Duration::from_secs(3),
            "{:?} {text:.200}",
            begun.elapsed()
        );
        let shown: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(shown["message"].is_string(), "{shown:#}");
    }
}

/// Makes a claim over HTTP. Returns the status.
fn claim(f: &RelayLab, from: IpAddr, target: IpAddr) -> u16 {
    let Ok(mut stream) = connect(from, f.api.addr) else {
        return 0;
    };
    let body = json!({"target": target}).to_string();
    let head = format!(
        "POST /claims HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}",
        body.len()
    );
    let mut text = String::new();
    let _ = write!(stream, "{head}\r\n\r\n{body}").and_then(|()| stream.read_to_string(&mut text));
    text.split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0)
}

#[test]
fn flood_of_claims_does_not_keep_owners_out() {
    let f = RelayLab::new("");
    let hosts: Vec<IpAddr> = (1..=6).map(|n| v4(n, 1)).collect();
    let mtas: Vec<_> = hosts
        .iter()
        .map(|a| {
            f.mta(
                *a,
                &format!("h{}", a.to_string().replace('.', "-")),
                MtaBehavior {
                    open: true,
                    ..MtaBehavior::default()
                },
            )
        })
        .collect();
    let jobs: Vec<u64> = hosts
        .iter()
        .map(|a| f.nominate(*a, &json!({"tests": ["plain"]})))
        .collect();
    jobs.iter()
        .for_each(|id| assert_eq!(f.done(*id)["assessment"], "open"));
    mtas.iter().for_each(|m| m.close());
    // Forty addresses claim for hosts that are not listed, and for one listed host of another
    // owner.
    let flood: Vec<u16> = std::thread::scope(|s| {
        let one = |n: u8| {
            let f = &f;
            let stranger = v4(100 + n, 1);
            s.spawn(move || {
                (0..50u8)
                    .map(|i| claim(f, stranger, if i % 2 == 0 { v4(90, i) } else { v4(6, 1) }))
                    .collect::<Vec<u16>>()
            })
        };
        let all: Vec<_> = (0..40).map(one).collect();
        // Meanwhile claims of owners are accepted in time.
        for host in &hosts[..5] {
            let begun = Instant::now();
            assert_eq!(claim(&f, *host, *host), 202, "{host}");
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{:?}",
                begun.elapsed()
            );
        }
        all.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let count = |status: u16| flood.iter().filter(|s| **s == status).count();
    assert_eq!(
        flood.len(),
        count(202) + count(404) + count(429),
        "{flood:?}"
    );
    assert!(
        count(429) >= 40 * 40 && count(404) >= 40,
        "each address may claim ten times a minute: {} {} {}",
        count(202),
        count(404),
        count(429)
    );
    // Closed hosts are released, no matter who claimed first.
    let until = Instant::now() + Duration::from_secs(90);
    for host in &hosts {
        while f.dns(*host) != "NXDOMAIN soa 60" {
            assert!(
                Instant::now() < until,
                "{host}: {}",
                f.api.get("/v1/jobs").text()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    // All claims for that host led to one test.
    let all = f.api.get("/v1/jobs?open=false").ok();
    let of = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|j| j["target"] == "127.64.6.1" && j["trigger"] == "claim");
    assert_eq!(of.count(), 1);
}
