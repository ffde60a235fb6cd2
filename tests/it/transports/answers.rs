//! Every encrypted transport answers as UDP does, to several clients.

use std::{process::Command, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use hickory_proto::op::{Message, ResponseCode};
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes, header};

use super::{CLIENT_TIMEOUT, Secure, framed, get, http, over_quic};
use crate::{
    hickory::Transport,
    lab::{query, tcp, udp},
};

fn asked(query: &[u8]) -> Request<Full<Bytes>> {
    get(&format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(query)))
}

fn post(kind: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let to = Request::post("https://ns.orbs.example/dns-query").header(header::CONTENT_TYPE, kind);
    to.body(Full::from(body)).unwrap()
}

/// Hundreds of queries of every kind, with ID 0.
fn queries() -> Vec<Vec<u8>> {
    let mut names: Vec<String> = (0..20)
        .map(|d| format!("{d}.100.51.45.bl.orbs.example"))
        .collect();
    let in_bl = [
        "",
        "45.",
        "51.45.",
        "100.51.45.",
        "1.1.1.46.",
        "1.46.",
        "46.",
        "1.47.",
        "256.1.1.1.",
        "x.",
        "a.7.100.51.45.",
        "7.100.51.45.7.",
    ];
    names.extend(in_bl.map(|n| format!("{n}bl.orbs.example")));
    names.extend((1..5).map(|n| format!("{n}.0.0.127.bl.orbs.example")));
    names.push(format!(
        "5.{}2.0.0.0.0.0.a.2.bl.orbs.example",
        "0.".repeat(23)
    ));
    names.push(format!(
        "7.{}1.0.0.0.0.0.a.2.bl.orbs.example",
        "0.".repeat(23)
    ));
    names.push("1.0.0.0.0.0.a.2.bl.orbs.example".into());
    names.extend(
        [
            "",
            "test.",
            "invalid.",
            "bad.test.",
            "x.bad.test.",
            "worse.test.",
            "a.b.worse.test.",
        ]
        .map(|n| format!("{n}dbl.orbs.example")),
    );
    names.extend(
        [
            "7.100.51.45.closed.orbs.example",
            "example.org",
            "",
            "orbs.example",
            "BL.ORBS.example",
        ]
        .map(String::from),
    );
    let mut out = Vec::new();
    for name in &names {
        // A, NS, SOA, MX, TXT, AAAA, ANY, CAA, and an unknown type.
        for qtype in [1, 2, 6, 15, 16, 28, 255, 257, 1000] {
            out.extend([true, false].map(|edns| query(name, qtype, edns)));
        }
    }
    let plain = query("7.100.51.45.bl.orbs.example", 1, true);
    let with = |at: usize, value: u8| {
        let mut q = plain.clone();
        q[at] = value;
        q
    };
    let edns = plain.len() - 11;
    out.extend([
        with(edns + 6, 1),
        with(5, 2),
        with(5, 0),
        with(2, 0x28),
        with(2, 0x20),
        with(edns - 1, 3),
        with(edns - 1, 77),
        with(11, 2),
    ]);
    out.extend([
        with(12, 0xc0),
        plain[..12].to_vec(),
        plain[..20].to_vec(),
        [&plain[..], b"more"].concat(),
        with(3, 0xf0),
        with(9, 1),
    ]);
    // Options: NSID, and an unknown one.
    out.extend([3u8, 99].map(|code| [&with(edns + 10, 4)[..], &[0, code, 0, 0]].concat()));
    for q in &mut out {
        q[..2].copy_from_slice(&[0, 0]);
    }
    out
}

/// hickory-server decodes the query before our code gets it, so only well-formed queries are sent.
#[test]
fn hickory_clients_get_the_answers_of_udp_on_every_encrypted_transport() {
    let s = Secure::new();
    let daemon = s.listed();
    let all: Vec<_> = queries()
        .into_iter()
        .step_by(3)
        .filter_map(|q| {
            let message = Message::from_vec(&q).ok()?;
            (message.to_vec().ok()? == q).then_some((q, message))
        })
        .collect();
    assert!(all.len() > 150, "{}", all.len());
    for transport in Transport::ALL {
        s.runtime.block_on(async {
            // hickory-server closes an HTTP/3 connection after 100 queries.
            for part in all.chunks(90) {
                let client = s.hickory(transport).await.unwrap();
                for (query, message) in part {
                    let wanted = udp(s.folder.addr(), query, CLIENT_TIMEOUT).unwrap();
                    let wanted = Message::from_vec(&wanted).unwrap();
                    let got = client
                        .ask(message)
                        .await
                        .unwrap_or_else(|e| panic!("{transport:?}: {e}: {message}"));
                    assert_eq!(got, wanted, "{transport:?}");
                }
            }
        });
    }
    assert!(daemon.stop().success());
    let log = s.folder.log();
    assert!(!log.contains("orbs.example:"), "a line for a query: {log}");
}

#[test]
fn every_transport_answers_as_udp_does() {
    let s = Secure::new();
    let daemon = s.listed();
    let all = queries();
    assert!(all.len() > 500, "{}", all.len());
    let mut rcodes = std::collections::BTreeMap::new();
    s.runtime.block_on(async {
        let (mut dot, mut doh) = (s.dot().await, s.doh().await);
        let (_endpoint, doq) = s.doq().await.unwrap();
        for q in &all {
            let wanted = udp(s.folder.addr(), q, Duration::from_secs(5))
                .unwrap_or_else(|| panic!("no answer over UDP: {q:?}"));
            let read = Message::from_vec(&wanted).unwrap();
            *rcodes
                .entry(format!("{:?}", read.metadata.response_code))
                .or_insert(0) += 1;
            let posted = http(&mut doh, post("application/dns-message", q.clone())).await;
            let got = http(&mut doh, asked(q)).await;
            let others = [
                ("TCP", tcp(s.folder.addr(), q).unwrap()),
                ("DoT", framed(&mut dot, q).await.unwrap()),
                ("DoH POST", posted.2.to_vec()),
                ("DoH GET", got.2.to_vec()),
                ("DoQ", over_quic(&doq, q).await.unwrap()),
            ];
            for (transport, bytes) in others {
                let other = Message::from_vec(&bytes).unwrap();
                let records = |m: &Message| {
                    [
                        m.answers.clone(),
                        m.authorities.clone(),
                        m.additionals.clone(),
                    ]
                };
                assert_eq!(
                    (&other.metadata, &other.queries, &other.edns),
                    (&read.metadata, &read.queries, &read.edns),
                    "{transport}: {q:?}"
                );
                assert_eq!(records(&other), records(&read), "{transport}: {q:?}");
                assert_eq!(bytes, wanted, "{transport}: {q:?}");
            }
            for (status, headers, _) in [&posted, &got] {
                assert_eq!(
                    (*status, headers[header::CONTENT_TYPE].as_bytes()),
                    (StatusCode::OK, &b"application/dns-message"[..])
                );
                let least = read
                    .answers
                    .iter()
                    .map(|r| r.ttl)
                    .min()
                    .or(read.authorities.first().map(|r| r.ttl));
                let kept = least.map_or("no-store".into(), |ttl| format!("max-age={ttl}"));
                assert_eq!(
                    headers[header::CACHE_CONTROL].to_str().unwrap(),
                    kept,
                    "{q:?}"
                );
            }
        }
        // A transport whose answer is one message has no transfers.
        for qtype in [251, 252] {
            let mut q = query("bl.orbs.example", qtype, true);
            q[..2].copy_from_slice(&[0, 0]);
            for reply in [
                http(&mut doh, asked(&q)).await.2.to_vec(),
                over_quic(&doq, &q).await.unwrap(),
            ] {
                let said = Message::from_vec(&reply).unwrap();
                assert_eq!(said.metadata.response_code, ResponseCode::Refused);
                assert!(
                    reply.windows(12).any(|w| w == b"no transfers"),
                    "an extended error says why"
                );
            }
        }
    });
    // BADVERS has the number of BADSIG (RFC 6895 section 2.3), and the library calls it that.
    for rcode in [
        "NoError", "NXDomain", "Refused", "FormErr", "NotImp", "BADSIG",
    ] {
        assert!(rcodes.contains_key(rcode), "{rcodes:?} has no {rcode}");
    }
    // Each transport has its own counters.
    let workers = s.folder.json(&["status", "--json"])["workers"].clone();
    let count = |name: String| {
        workers[&name]["total"]["queries"]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {workers}"))
    };
    let n = all.len() as u64;
    assert_eq!(
        [
            count(format!("tls-{}", s.dot)),
            count(format!("https-{}", s.doh)),
            count(format!("quic-{}", s.doq))
        ],
        [n, 2 * n + 2, n + 2]
    );
    assert!(daemon.stop().success());
    assert!(
        !s.folder.log().contains("orbs.example:"),
        "no line for a query: {}",
        s.folder.log()
    );
}

#[test]
fn request_without_a_query_gets_an_error_that_says_why() {
    let s = Secure::new();
    let _daemon = s.listed();
    let good = [
        &[0, 0][..],
        &query("7.100.51.45.bl.orbs.example", 1, true)[2..],
    ]
    .concat();
    let mut reply = good.clone();
    reply[2] |= 0x80;
    s.runtime.block_on(async {
        let mut doh = s.doh().await;
        for (request, status) in [
            (get("/"), StatusCode::NOT_FOUND),
            (get("/dns-query"), StatusCode::BAD_REQUEST),
            (get("/dns-query?x=1&dns=%20"), StatusCode::BAD_REQUEST),
            (get("/dns-query?dns="), StatusCode::BAD_REQUEST),
            (asked(&reply), StatusCode::BAD_REQUEST),
            (
                post("text/plain", good.clone()),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            (
                post("application/dns-message", vec![0; 9000]),
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            (
                Request::put("https://ns.orbs.example/dns-query")
                    .body(Full::default())
                    .unwrap(),
                StatusCode::METHOD_NOT_ALLOWED,
            ),
        ] {
            let shown = format!("{request:?}");
            let (got, headers, body) = http(&mut doh, request).await;
            assert_eq!(got, status, "{shown}");
            assert!(
                headers[header::CONTENT_TYPE]
                    .as_bytes()
                    .starts_with(b"text/plain")
                    && body.len() > 10,
                "it says why: {shown}"
            );
        }
        assert_eq!(
            http(&mut doh, asked(&good)).await.0,
            StatusCode::OK,
            "the connection goes on"
        );
        // A violation of the rules of DoQ ends the connection with DOQ_PROTOCOL_ERROR.
        let mut numbered = good.clone();
        numbered[1] = 7;
        for bad in [numbered, reply.clone(), vec![0; 3], vec![0; 9000]] {
            let (_endpoint, doq) = s.doq().await.unwrap();
            match over_quic(&doq, &bad).await {
                Err(quinn::ConnectionError::ApplicationClosed(c)) => {
                    assert_eq!(c.error_code, 2u32.into(), "{}", bad.len());
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn openssl_is_answered_over_tls_1_3() {
    let s = Secure::new();
    let _daemon = s.listed();
    let openssl = |args: &[&str]| {
        let to = s.dot.to_string();
        let out = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &to,
                "-servername",
                "ns.orbs.example",
                "-verify_return_error",
                "-CAfile",
                "ca.pem",
            ])
            .args(args)
            .current_dir(s.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    let (fine, said) = openssl(&["-alpn", "dot"]);
    assert!(
        fine && said.contains("ALPN protocol: dot")
            && said.contains("TLSv1.3")
            && said.contains("Verify return code: 0"),
        "{said}"
    );
    assert!(openssl(&[]).0, "without a protocol name");
    for (args, part) in [
        (["-alpn", "h2"], "no application protocol"),
        (["-tls1_2", "-showcerts"], "protocol version"),
    ] {
        let (fine, said) = openssl(&args);
        assert!(!fine && said.contains(part), "{args:?}: {said}");
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn kdig_is_answered_on_every_encrypted_transport() {
    let s = Secure::new();
    let _daemon = s.listed();
    let root = crate::peers::peers().join("root");
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|l| root.join(l));
    let ca = format!("+tls-ca={}", s.folder.path().join("ca.pem").display());
    for (port, flags) in [
        (s.dot.port(), &["+tls"][..]),
        (s.doh.port(), &["+https"]),
        (s.doh.port(), &["+https", "+https-get"]),
        (s.doq.port(), &["+quic"]),
    ] {
        let out = Command::new(root.join("usr/bin/kdig"))
            .args([
                "@127.0.0.1",
                "-p",
                &port.to_string(),
                &ca,
                "+tls-hostname=ns.orbs.example",
                "+timeout=5",
                "+retry=0",
            ])
            .args(flags)
            .args([
                "7.100.51.45.bl.orbs.example",
                "A",
                "7.100.51.45.bl.orbs.example",
                "TXT",
                "8.100.51.45.bl.orbs.example",
                "A",
            ])
            .env("LD_LIBRARY_PATH", std::env::join_paths(&libraries).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        for part in [
            "127.0.0.2",
            "\"Open relay, see https://orbs.example/45.51.100.7\"",
            "NXDOMAIN",
            "TLS1.3",
        ] {
            assert!(said.contains(part), "{flags:?}: {part}\n{said}");
        }
    }
}
