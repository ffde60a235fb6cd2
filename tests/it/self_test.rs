//! "Test your server": the test that the holder of an address asks for, with a real tester and a
//! mail server on this machine.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use serde_json::{Value, json};

use crate::relay::{RelayLab, mta::MtaBehavior, v4};

fn view(lab: &RelayLab, ticket: &Value) -> Value {
    let path = ticket["path"].as_str().unwrap();
    lab.api.call("", "GET", path, &[], "").ok()
}

fn wait(lab: &RelayLab, ticket: &Value, state: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let found = view(lab, ticket);
        if found["state"] == state {
            return found;
        }
        assert!(
            Instant::now() < until,
            "{state}: {found:#}\n{}",
            lab.api.f.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Sends a request from an address of this machine.
fn post_from(lab: &RelayLab, from: IpAddr, path: &str, body: &Value) -> Value {
    let to = lab.api.addr;
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream: TcpStream = socket.into();
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {reply}"))
}

#[test]
fn holder_reads_what_the_server_delivers_and_nobody_is_listed() {
    let lab = RelayLab::new("");
    let addr = v4(9, 1);
    let percent = MtaBehavior {
        percent: true,
        ..MtaBehavior::default()
    };
    let _mta = lab.mta(addr, "own", percent);
    // A request from an address that nobody has nominated proves nothing.
    let unknown = post_from(&lab, addr, "/test", &json!({ "address": addr }));
    assert_eq!(unknown["kind"], "test", "{unknown:#}");
    assert_eq!(unknown["state"], "needs-proof");
    // A nomination whose test found nothing, and one that waits for the next day.
    lab.done(lab.nominate(addr, &json!({"tests": ["plain"]})));
    lab.nominate(
        addr,
        &json!({"tests": ["plain"], "evidence": "another line"}),
    );
    let ticket = post_from(&lab, addr, "/test", &json!({ "address": addr }));
    assert_eq!(ticket["state"], "testing", "{ticket:#}");
    wait(&lab, &ticket, "failed");
    let until = Instant::now() + Duration::from_secs(90);
    let tested = loop {
        let found = view(&lab, &ticket);
        if found["test"]["ended"].is_string() {
            break found;
        }
        assert!(Instant::now() < until, "{found:#}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let outcomes = tested["test"]["outcomes"].as_array().unwrap();
    let of = |test: &str| {
        let found = outcomes.iter().find(|o| o["test"] == test);
        found.map(|o| o["outcome"].clone()).unwrap_or_default()
    };
    assert_eq!(of("percent-at-name"), "delivered", "{tested:#}");
    assert_eq!(lab.dns(addr), "NXDOMAIN soa 60");
    let lookup = format!("/lookup?subject={addr}");
    let lookup = lab.api.call("", "GET", &lookup, &[], "");
    assert_eq!(lookup.ok()["listed"], false);
    let path = ticket["path"].as_str().unwrap();
    let session = format!("{path}/transcript");
    let session = lab.api.call("", "GET", &session, &[], "");
    let session = String::from_utf8(session.body).unwrap();
    assert!(session.contains("C RCPT TO:<"), "{session}");
    let retry = format!("{path}/retry");
    let again = lab.api.call("", "POST", &retry, &[], "{}");
    assert_eq!(again.status, 429, "once an hour");
    let repeat = format!("{path}/repeat");
    let repeat = lab.api.call("", "POST", &repeat, &[], r#"{"days":30}"#);
    let repetition = repeat.ok()["repetition"].clone();
    let lookup = format!("/lookup?subject={addr}");
    let shown = lab.api.call("", "GET", &lookup, &[], "").ok();
    assert_eq!(shown["test_repetition"], repetition, "{shown:#}");
    assert_eq!(repetition["days"], 30);
    let secret = path.rsplit('/').next().unwrap();
    assert!(!shown.to_string().contains(secret), "nobody is named");
    let months = lab.api.call("", "GET", "/survey", &[], "").ok();
    assert_eq!(months["items"][0]["tested"], 2, "{months:#}");
    assert!(!months.to_string().contains("127.64"), "{months}");
}

/// Starts a test of a nominated host at its own request, and waits for its end. Returns the outcomes
/// by the names of the tests.
fn tested(lab: &RelayLab, addr: IpAddr) -> BTreeMap<String, String> {
    lab.done(lab.nominate(addr, &json!({"tests": ["plain"]})));
    lab.nominate(
        addr,
        &json!({"tests": ["plain"], "evidence": "another line"}),
    );
    let ticket = post_from(lab, addr, "/test", &json!({ "address": addr }));
    assert_eq!(ticket["state"], "testing", "{ticket:#}");
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let found = view(lab, &ticket);
        if found["test"]["ended"].is_string() {
            let outcomes = found["test"]["outcomes"].as_array().unwrap().iter();
            let text = |o: &Value, key: &str| o[key].as_str().unwrap().to_string();
            return outcomes
                .map(|o| (text(o, "test"), text(o, "outcome")))
                .collect();
        }
        assert!(Instant::now() < until, "{found:#}\n{}", lab.api.f.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn forms_that_harm_a_product_are_not_sent_for_its_holder_either() {
    let lab = RelayLab::new("");
    let harmful = [
        "relay-literal-sender",
        "relay-ip-sender-unbracketed",
        "helo-target-literal",
    ];
    for (n, greeting, are_sent) in [
        (21, "220 x ESMTP Postfix", true),
        (
            22,
            "220 x ESMTP Service (Lotus Domino Release 5.0.8) ready",
            false,
        ),
    ] {
        let addr = v4(n, 1);
        let behavior = MtaBehavior {
            greeting: Some(greeting),
            ..MtaBehavior::default()
        };
        let _mta = lab.mta(addr, &format!("product{n}"), behavior);
        let outcomes = tested(&lab, addr);
        assert_ne!(outcomes["plain"], "skipped", "{greeting}: {outcomes:#?}");
        for form in harmful {
            let is_sent = outcomes.get(form).is_some_and(|o| o != "skipped");
            assert_eq!(is_sent, are_sent, "{greeting}: {form}: {outcomes:#?}");
        }
    }
}

#[test]
fn mistakes_of_the_form_are_named() {
    let lab = RelayLab::new("");
    for (body, status, part) in [
        (json!({"address": "mail.example.com"}), 422, "address"),
        (json!({"address": "127.64.9.0/24"}), 422, "one mail server"),
        (
            json!({"address": "127.64.9.1", "repeat_days": 3}),
            422,
            "7 to 90",
        ),
        (json!({"address": "192.0.2.1"}), 409, ""),
    ] {
        let reply = lab.api.call("", "POST", "/test", &[], &body.to_string());
        assert_eq!(
            reply.status,
            status,
            "{body}: {}",
            String::from_utf8_lossy(&reply.body)
        );
        let text = String::from_utf8(reply.body).unwrap();
        assert!(text.contains(part), "{body}: {text}");
    }
}
