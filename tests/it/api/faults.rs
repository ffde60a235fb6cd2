//! `kill -9` during large writes, decompression bombs, and the metrics.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use super::Api;

/// Sends a request and does not wait for the answer.
fn send_only(api: &Api, path: &str, body: &str) -> TcpStream {
    let mut s = TcpStream::connect(api.addr).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        api.owner,
        body.len()
    );
    s.write_all(head.as_bytes()).unwrap();
    s
}

fn hosts(api: &Api) -> u64 {
    api.get("/v1/status").ok()["listed"]["ipv4_hosts"]
        .as_u64()
        .unwrap()
}

/// A purge of 60,000 listings is two commits, and so is its undo. Whenever the daemon is killed,
/// each commit is complete or missing.
#[test]
fn kill_9_during_a_purge_and_its_undo_leaves_only_complete_commits() {
    let mut api = Api::new();
    let lines: String = (0..60_000u32)
        .map(|i| {
            format!(
                "{{\"subject\":\"45.{}.{}.{}\",\"reason\":\"relay\"}}\n",
                i >> 16,
                i >> 8 & 255,
                i & 255
            )
        })
        .collect();
    api.post("/v1/bulk", &lines);
    assert_eq!(hosts(&api), 60_000);
    let mut seen = std::collections::BTreeSet::new();
    for wait in [1, 150, 300, 450, 600, 750, 900] {
        let s = send_only(&api, "/v1/purges", "{\"prefix\":\"45.0.0.0/16\"}");
        std::thread::sleep(Duration::from_millis(wait));
        drop(api.daemon.take()); // kill -9
        drop(s);
        api.start();
        let left = hosts(&api);
        assert!([60_000, 10_000, 0].contains(&left), "{left}");
        seen.insert(left);
        if left == 0 {
            break;
        }
        if left < 60_000 {
            break;
        }
    }
    let purged = api.post("/v1/purges", "{\"prefix\":\"45.0.0.0/16\"}").ok();
    assert_eq!(hosts(&api), 0, "{seen:?} {purged}");
    // The undo of the last commit of a purge, killed at any moment.
    let changes = api.get("/v1/changes?after=0&limit=1000").ok();
    let of = |c: &&Value| c["count"].as_u64().unwrap() >= 10_000;
    let commit = changes["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .find(of)
        .unwrap()
        .clone();
    let count = commit["count"].as_u64().unwrap();
    for wait in [1, 200, 500] {
        let s = send_only(
            &api,
            &format!("/v1/commits/{}/undo", commit["commit"]),
            "{}",
        );
        std::thread::sleep(Duration::from_millis(wait));
        drop(api.daemon.take());
        drop(s);
        api.start();
        let back = hosts(&api);
        assert!([0, count].contains(&back), "{back} of {count}");
        if back == count {
            break;
        }
    }
    let done = api
        .post(&format!("/v1/commits/{}/undo", commit["commit"]), "{}")
        .ok();
    assert!(
        hosts(&api) == count,
        "{}",
        done["changed_since"].as_array().unwrap().len()
    );
}

/// Data that grows without limit when it is unpacked is refused, and takes no memory.
#[test]
fn decompression_bomb_is_refused_in_constant_memory() {
    let api = Api::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..400).for_each(|_| packed.write_all(&vec![b'7'; 1 << 20]).unwrap());
    let bomb = packed.finish().unwrap();
    let mut s = TcpStream::connect(api.addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = "/v1/imports?source=xbl&reason=relay&format=list";
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        api.owner,
        bomb.len()
    );
    s.write_all(head.as_bytes()).unwrap();
    let _ = s.write_all(&bomb);
    let mut said = Vec::new();
    let _ = s.read_to_end(&mut said);
    assert!(
        String::from_utf8_lossy(&said).starts_with("HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    let status = std::fs::read_to_string(format!(
        "/proc/{}/status",
        api.daemon.as_ref().unwrap().0.id()
    ))
    .unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .unwrap();
    assert!(peak < 300_000, "{peak} kB");
    assert_eq!(api.get("/v1/reasons").status, 200);
}

/// Parses `/metrics` with the parser of Prometheus.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn prometheus_parser_accepts_the_metrics() {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    let file = api.f.write("metrics", &api.get("/metrics").text());
    let script = "import sys, json\nfrom prometheus_client.parser import text_string_to_metric_families as read\n\
                  print(json.dumps({s.name: s.value for f in read(open(sys.argv[1]).read()) for s in f.samples}))";
    let python = crate::peers::peers().join("venv/bin/python");
    let out = Command::new(python)
        .args(["-c", script])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let read: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(
        (&read["orbsd_writes_taken"], &read["orbsd_commit"]),
        (&json!(1), &json!(2))
    );
    assert!(read.as_object().unwrap().len() > 15, "{read}");
}
