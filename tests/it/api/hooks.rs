//! Webhooks, with a receiver that accepts, fails, hangs and recovers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Api;

const ACCEPT: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;
const REDIRECTS: u8 = 3;

/// A receiver of webhook messages.
pub struct Sink {
    pub addr: SocketAddr,
    how: Arc<AtomicU8>,
    /// The headers and bodies, in order of arrival.
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl Sink {
    pub fn new() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Sink {
            addr: listener.local_addr().unwrap(),
            how: Arc::default(),
            got: Arc::default(),
        };
        let (how, got) = (sink.how.clone(), sink.got.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (how, got) = (how.clone(), got.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    let (mut head, mut len) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).unwrap_or(0) < 3 {
                            break;
                        }
                        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ")
                        {
                            len = n.trim().parse().unwrap();
                        }
                        head += &line;
                    }
                    // A client may close a connection before it sends a request.
                    if head.is_empty() {
                        return;
                    }
                    let mut body = vec![0; len];
                    stream.read_exact(&mut body).unwrap();
                    let answer = match how.load(Ordering::Relaxed) {
                        ACCEPT => "204 No Content\r\n",
                        FAILS => "500 No\r\ncontent-length: 0\r\n",
                        REDIRECTS => {
                            "302 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n"
                        }
                        _ => return std::thread::sleep(Duration::from_secs(60)),
                    };
                    if how.load(Ordering::Relaxed) == ACCEPT {
                        got.lock()
                            .unwrap()
                            .push((head, String::from_utf8(body).unwrap()));
                    }
                    let _ = stream
                        .get_mut()
                        .write_all(format!("HTTP/1.1 {answer}\r\n").as_bytes());
                });
            }
        });
        sink
    }
    /// Answers 500 from now on.
    pub fn fail(&self) {
        self.how.store(FAILS, Ordering::Relaxed);
    }
    /// Accepts messages from now on.
    pub fn take(&self) {
        self.how.store(ACCEPT, Ordering::Relaxed);
    }
    /// Waits until `n` messages have arrived, and returns them in order.
    pub fn wait(&self, n: usize) -> Vec<(String, Value)> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let got = self.got.lock().unwrap().clone();
            if got.len() >= n {
                return got
                    .into_iter()
                    .map(|(h, b)| (h, serde_json::from_str(&b).unwrap()))
                    .collect();
            }
            assert!(Instant::now() < until, "{} of {n} came", got.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn allowed() -> String {
    format!(
        "[http_client]\nallow_special_ranges = [\"127.0.0.1\"]\n{}",
        crate::lab::CONFIG
    )
}

fn hook(api: &Api, url: &str) -> (String, String) {
    let made = api
        .post("/v1/webhooks", &json!({"url": url}).to_string())
        .ok();
    (
        made["id"].as_str().unwrap().into(),
        made["secret"].as_str().unwrap().into(),
    )
}

#[test]
fn webhook_delivers_each_commit_signed_in_order_and_retries_until_accepted() {
    let mut api = Api::with(&allowed());
    let sink = Sink::new();
    let (id, secret) = hook(&api, &format!("http://{}/orbsd?a=b", sink.addr));
    assert!(!api.get("/v1/webhooks").text().contains(&secret));
    api.list("45.1.1.1", "relay");
    let (head, body) = sink.wait(1).remove(0);
    assert!(head.starts_with("POST /orbsd?a=b HTTP/1.1\r\n"), "{head}");
    let mut changes = body["changes"].clone();
    let until = changes[0]["until"].take();
    assert!(until.is_string(), "{body}");
    assert_eq!(
        changes,
        json!([{"subject": "45.1.1.1", "event": "listed", "reason": "relay", "source": "operator", "until": null}])
    );
    assert_eq!(
        (&body["event"], &body["count"]),
        (&json!("commit"), &json!(1))
    );
    // The signature is as documented.
    let of = |name: &str| {
        head.lines()
            .find_map(|l| l.strip_prefix(name))
            .unwrap()
            .trim()
            .to_string()
    };
    let signature = of("orbsd-signature: ");
    let (t, v1) = signature
        .strip_prefix("t=")
        .unwrap()
        .split_once(",v1=")
        .unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let raw = sink.got.lock().unwrap()[0].1.clone();
    let tag: Vec<u8> = (0..v1.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&v1[i..i + 2], 16).unwrap())
        .collect();
    ring::hmac::verify(&key, format!("{t}.{raw}").as_bytes(), &tag).unwrap();
    assert_eq!(of("orbsd-delivery: "), format!("{id}-{}", body["commit"]));
    // The receiver fails, hangs and redirects. No message is lost, even after kill -9.
    for (how, subject) in [
        (FAILS, "45.1.1.2"),
        (HANGS, "45.1.1.3"),
        (REDIRECTS, "45.1.1.4"),
    ] {
        sink.how.store(how, Ordering::Relaxed);
        api.list(subject, "relay");
        std::thread::sleep(Duration::from_millis(300));
    }
    let waiting = api.get(&format!("/v1/webhooks/{id}/messages")).ok();
    assert_eq!(waiting["items"].as_array().unwrap().len(), 3);
    assert!(
        waiting["items"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("500"),
        "{waiting}"
    );
    drop(api.daemon.take());
    api.start();
    sink.how.store(ACCEPT, Ordering::Relaxed);
    api.post(&format!("/v1/webhooks/{id}/retry"), "").ok();
    let all = sink.wait(4);
    let subjects: Vec<&str> = all
        .iter()
        .map(|(_, b)| b["changes"][0]["subject"].as_str().unwrap())
        .collect();
    assert_eq!(subjects, ["45.1.1.1", "45.1.1.2", "45.1.1.3", "45.1.1.4"]);
    let until = Instant::now() + Duration::from_secs(5);
    while !api.get(&format!("/v1/webhooks/{id}/messages")).ok()["items"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    // No messages are queued for a paused webhook.
    api.call(
        &api.owner,
        "PATCH",
        &format!("/v1/webhooks/{id}"),
        &[],
        "{\"paused\":true}",
    )
    .ok();
    api.list("45.1.1.5", "relay");
    assert!(
        api.get(&format!("/v1/webhooks/{id}/messages")).ok()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    api.call(&api.owner, "DELETE", &format!("/v1/webhooks/{id}"), &[], "")
        .ok();
    assert!(
        api.get("/v1/webhooks").ok()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// URLs that lead to this machine or to an internal network are not connected to.
#[test]
fn webhook_cannot_reach_internal_addresses() {
    let api = Api::new();
    let sink = Sink::new();
    let urls = [
        format!("http://{}/", sink.addr),
        format!("http://localhost:{}/", sink.addr.port()),
        format!("http://[::ffff:127.0.0.1]:{}/", sink.addr.port()),
        format!("http://{}/v1/status", api.addr),
        "http://169.254.169.254/latest/meta-data".to_string(),
        format!("http://0.0.0.0:{}/", sink.addr.port()),
    ];
    let hooks: Vec<String> = urls.iter().map(|u| hook(&api, u).0).collect();
    for bad in ["ftp://x.example/", "http://a:b@x.example/", "x", ""] {
        assert_eq!(
            api.post("/v1/webhooks", &json!({"url": bad}).to_string())
                .problem(),
            "invalid",
            "{bad}"
        );
    }
    api.list("45.1.1.1", "relay");
    for (url, id) in urls.iter().zip(hooks) {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let waiting = api.get(&format!("/v1/webhooks/{id}/messages")).ok();
            if let Some(problem) = waiting["items"][0]["problem"].as_str() {
                assert!(problem.contains("special range"), "{url}: {problem}");
                break;
            }
            assert!(Instant::now() < until, "{url}: {waiting}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(sink.got.lock().unwrap().is_empty());
}

/// Names are resolved by the configured servers. A name that leads to this machine is not connected
/// to.
#[test]
fn webhook_host_is_resolved_by_the_configured_servers_and_its_address_is_checked() {
    for (allow, sent) in [("", false), ("\"127.0.0.0/8\"", true)] {
        let port = crate::lab::free_port();
        let config = crate::lab::CONFIG.replace(
            "127.0.0.1:PORT",
            &format!("127.0.0.1:PORT\", \"127.0.0.1:{port}"),
        );
        let config = format!(
            "[http_client]\nallow_special_ranges = [{allow}]\nresolvers = [\"127.0.0.1:{port}\"]\n{config}"
        );
        let api = Api::with(&config);
        // The test itself is the DNS server of the name.
        let zone = std::fs::read_to_string(api.f.path().join("zones/bl.toml")).unwrap();
        api.f.write(
            "zones/bl.toml",
            &format!("{zone}\n[[record]]\nname = \"hooks\"\ntype = \"A\"\ndata = \"127.0.0.1\"\n"),
        );
        api.f.ok(&["reload"]);
        let sink = Sink::new();
        let (id, _) = hook(
            &api,
            &format!("http://hooks.bl.orbs.example:{}/", sink.addr.port()),
        );
        api.list("45.1.1.1", "relay");
        if sent {
            assert_eq!(sink.wait(1)[0].1["count"], 1);
            continue;
        }
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let waiting = api.get(&format!("/v1/webhooks/{id}/messages")).ok();
            match waiting["items"][0]["problem"].as_str() {
                Some(p) => break assert!(p.contains("127.0.0.1 is in a special range"), "{p}"),
                None => assert!(Instant::now() < until, "{waiting}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(sink.got.lock().unwrap().is_empty());
    }
}

#[test]
fn mail_webhook_requires_a_smart_host() {
    let api = Api::new();
    let refused = api.post("/v1/webhooks", "{\"url\":\"mailto:ops@orbs.example\"}");
    assert!(
        refused.problem() == "invalid" && refused.text().contains("set `smarthost`"),
        "{}",
        refused.text()
    );
}

/// A `mailto:` webhook delivers through the smart host. A message that the smart host refuses is
/// sent again.
#[test]
fn mail_webhook_delivers_through_the_smart_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let smarthost = listener.local_addr().unwrap();
    let (got, refuse) = (
        Arc::new(Mutex::new(Vec::<String>::new())),
        Arc::new(AtomicU8::new(1)),
    );
    let (mails, refuses) = (got.clone(), refuse.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let say = |s: &mut BufReader<std::net::TcpStream>, t: &str| {
                s.get_mut()
                    .write_all(format!("{t}\r\n").as_bytes())
                    .unwrap();
            };
            say(&mut stream, "220 smart.example");
            let (mut mail, mut data) = (String::new(), false);
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap_or(0) > 0 {
                let word = line
                    .split_whitespace()
                    .next()
                    .unwrap_or("")
                    .to_ascii_uppercase();
                mail += &line;
                match (data, word.as_str()) {
                    (true, ".") => {
                        data = false;
                        mails.lock().unwrap().push(std::mem::take(&mut mail));
                        say(&mut stream, "250 taken");
                    }
                    (true, _) => {}
                    (_, "RCPT") if refuses.swap(0, Ordering::Relaxed) == 1 => {
                        say(&mut stream, "450 later");
                    }
                    (_, "DATA") => {
                        data = true;
                        say(&mut stream, "354 go on");
                    }
                    (_, "QUIT") => say(&mut stream, "221 bye"),
                    _ => say(&mut stream, "250 fine"),
                }
                line.clear();
            }
        }
    });
    let mail = format!(
        "[mail]\nsmarthost = \"{smarthost}\"\nfrom = \"orbsd@orbs.example\"\nrequire_starttls = false\n"
    );
    let api = Api::with(&format!("{mail}{}", crate::lab::CONFIG));
    assert_eq!(
        api.post("/v1/webhooks", "{\"url\":\"mailto:nobody\"}")
            .problem(),
        "invalid"
    );
    let (id, _) = hook(&api, "mailto:ops@orbs.example");
    api.list("45.1.1.1", "relay");
    let until = Instant::now() + Duration::from_secs(20);
    while got.lock().unwrap().is_empty() {
        assert!(
            Instant::now() < until,
            "{}",
            api.get(&format!("/v1/webhooks/{id}/messages")).text()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let mail = got.lock().unwrap()[0].clone();
    for part in [
        "MAIL FROM:<orbsd@orbs.example>",
        "RCPT TO:<ops@orbs.example>",
        "Subject: orbsd: commit",
        "Auto-Submitted: auto-generated",
        "45.1.1.1",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    assert_eq!(
        refuse.load(Ordering::Relaxed),
        0,
        "the first delivery is refused"
    );
}
