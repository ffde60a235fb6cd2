//! Streams of bulk changes and of events, also interrupted ones.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use super::Api;

fn line(i: u32) -> String {
    format!(
        "{{\"subject\":\"45.{}.{}.{}\",\"reason\":\"relay\"}}\n",
        i >> 16 & 255,
        i >> 8 & 255,
        i & 255
    )
}

/// An interrupted stream with a key is sent again: processed lines get the same answers, the others
/// are processed.
#[test]
fn idempotent_stream_continues_where_it_was_interrupted() {
    let mut api = Api::new();
    let lines: Vec<String> = (0..3000).map(line).collect();
    // Half of it, in a chunked body without an end.
    let mut s = TcpStream::connect(api.addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!(
        "POST /v1/bulk HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: s1\r\ntransfer-encoding: chunked\r\n\r\n",
        api.owner
    );
    s.write_all(head.as_bytes()).unwrap();
    for part in lines[..1500].chunks(100) {
        let part = part.concat();
        s.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes())
            .unwrap();
    }
    // Half a line more, then disconnect.
    s.write_all(b"20\r\n{\"subject\":\"46.1.1.1\",\"reason\":\"\r\n")
        .unwrap();
    let mut got = vec![0; 4096];
    let n = s.read(&mut got).unwrap();
    assert!(String::from_utf8_lossy(&got[..n]).contains("200 OK"));
    drop(s);
    drop(api.daemon.take()); // kill -9 in the middle of it
    api.start();
    let answers = api
        .call(
            &api.owner,
            "POST",
            "/v1/bulk",
            &[("idempotency-key", "s1")],
            &lines.concat(),
        )
        .text();
    let answers: Vec<Value> = answers
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(answers.len(), 3000);
    assert!(
        answers
            .iter()
            .enumerate()
            .all(|(i, a)| a["status"] == 201 && a["line"] == i as u64 + 1)
    );
    let again = api
        .call(
            &api.owner,
            "POST",
            "/v1/bulk",
            &[("idempotency-key", "s1")],
            &lines.concat(),
        )
        .text();
    let commits = |a: &[Value]| {
        a.iter()
            .map(|a| a["commit"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let again: Vec<Value> = again
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(
        commits(&again),
        commits(&answers),
        "the answer is repeated, not the change"
    );
    assert_eq!(api.get("/v1/status").ok()["listed"]["ipv4_hosts"], 3000);
    assert_eq!(
        api.dns("1.1.1.46"),
        "NXDOMAIN soa 60",
        "an incomplete line is not processed"
    );
}

#[test]
fn every_line_of_a_stream_is_answered_in_order_with_its_problem() {
    let api = Api::new();
    let body = "{\"subject\":\"45.1.1.1\",\"reason\":\"relay\"}\n\n{\"subject\":\"45.1.1.1\"}\nnonsense\n{\"op\":\"delist\",\"subject\":\"45.9.9.9\"}\n{\"op\":\"hold\",\"subject\":\"45.1.1.9\",\"reason\":\"relay\"}\n{\"subject\":\"45.1.1.9\",\"reason\":\"relay\"}";
    let answers = api.post("/v1/bulk", body);
    assert_eq!(answers.header("content-type"), "application/x-ndjson");
    let all: Vec<Value> = answers
        .text()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let short: Vec<(u64, u64)> = all
        .iter()
        .map(|a| (a["line"].as_u64().unwrap(), a["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        short,
        [(1, 201), (3, 422), (4, 400), (5, 404), (6, 201), (7, 409)]
    );
    assert_eq!(
        (
            &all[1]["problem"]["errors"][0]["field"],
            &all[5]["problem"]["code"]
        ),
        (&"reason".into(), &"held".into())
    );
}

/// The stream of changes starts after a commit, has each change as it happens, and ends with a
/// final line when the daemon stops.
#[test]
fn changes_are_streamed_until_the_daemon_stops() {
    let mut api = Api::new();
    api.list("45.1.1.1", "relay");
    let page = api.get("/v1/changes?after=0&limit=1000").ok();
    let last = page["last"].as_u64().unwrap();
    assert!(
        page["gap"] == false
            && page["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|c| c["changes"][0]["subject"] == "45.1.1.1"),
        "{page}"
    );
    let mut s = TcpStream::connect(api.addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "GET /v1/changes?after={} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n\r\n",
        last - 1,
        api.owner
    );
    s.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(s).lines().map_while(Result::ok);
    let mut next = |what: &str| {
        let found = lines.by_ref().find(|l| l.contains(what));
        found.unwrap_or_else(|| panic!("no {what}"))
    };
    next("event: commit");
    next("45.1.1.1");
    api.list("45.1.1.2", "relay");
    next("45.1.1.2");
    let daemon = api.daemon.take().unwrap();
    daemon.signal("TERM");
    next("event: end");
    let end = next("data:");
    assert!(end.contains("the daemon stops"), "{end}");
    assert!(daemon.stop().success());
}

/// The client of a stream that ends because the daemon stops learns which line was not processed.
/// All acknowledged lines are stored.
#[test]
fn running_stream_ends_with_a_final_line_when_the_daemon_stops() {
    let mut api = Api::new();
    let mut s = TcpStream::connect(api.addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/bulk HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        api.owner
    );
    s.write_all(head.as_bytes()).unwrap();
    let part = (0..200).map(line).collect::<String>();
    s.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes())
        .unwrap();
    let mut lines = BufReader::new(s.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines
            .by_ref()
            .any(|l| l.contains("\"line\":200,\"status\":201"))
    );
    let daemon = api.daemon.take().unwrap();
    daemon.signal("TERM");
    let end = lines.by_ref().find(|l| l.contains("\"line\":201")).unwrap();
    assert!(
        end.contains("503") && end.contains("the daemon stops"),
        "{end}"
    );
    drop(s);
    assert!(daemon.stop().success());
    api.start();
    assert_eq!(api.get("/v1/status").ok()["listed"]["ipv4_hosts"], 200);
}

#[test]
fn overlong_line_ends_the_stream() {
    let api = Api::new();
    let body = format!(
        "{}{{\"subject\":\"45.1.1.9\",\"note\":\"{}\"}}\n",
        line(1),
        "x".repeat(200_000)
    );
    let answers: Vec<Value> = api
        .post("/v1/bulk", &body)
        .text()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(
        (&answers[0]["status"], &answers[1]["status"], answers.len()),
        (&201.into(), &413.into(), 2),
        "{answers:?}"
    );
}
