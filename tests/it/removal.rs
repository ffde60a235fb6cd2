//! Removals on request: tickets on a real daemon, from the request to what DNS and mirrors show.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use orbsd::{clock::wall, model::Time, tickets::NewTicket};
use serde_json::{Value, json};

use crate::{
    api::{Api, Reply},
    lab::{CONFIG, Daemon, shown, udp},
    privacy,
    relay::{RelayLab, mta::MtaBehavior, v4},
};

const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [
  { reason = "relay", code = "127.0.0.2" }, { reason = "netblock", code = "127.0.0.3" },
  { reason = "unconfirmed", code = "127.0.0.8" }, { reason = "spamsource", code = "127.0.0.9" },
]
"#;

fn config() -> String {
    let reasons: String = ["unconfirmed", "spamsource"]
        .map(|n| format!("[[reason]]\nname = \"{n}\"\ntext = \"{n} $\"\n"))
        .concat();
    format!("{CONFIG}{reasons}")
}

fn api() -> Api {
    Api::with_zones(&config(), &[("bl", ZONE)])
}

/// Asks for a removal, without a token.
fn request(api: &Api, subject: &str) -> Reply {
    let body = json!({ "subject": subject }).to_string();
    api.call("", "POST", "/tickets", &[], &body)
}

fn ticket(api: &Api, path: &Value) -> Value {
    api.call("", "GET", path.as_str().unwrap(), &[], "").ok()
}

fn post(api: &Api, path: &Value, action: &str, body: &Value) -> Reply {
    let path = format!("{}/{action}", path.as_str().unwrap());
    api.call("", "POST", &path, &[], &body.to_string())
}

/// Waits until a ticket is in a state.
fn wait(api: &Api, path: &Value, state: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let found = ticket(api, path);
        if found["state"] == state {
            return found;
        }
        assert!(
            Instant::now() < until,
            "{state}: {found:#}\n{}",
            api.f.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn request_is_granted_at_once_and_dns_stops_listing() {
    let api = api();
    api.list("45.1.1.1", "unconfirmed");
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.8");
    let reply = request(&api, "45.1.1.1");
    assert_eq!(reply.status, 201);
    let made = reply.ok();
    assert_eq!(made["state"], "granted", "{made:#}");
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    let removal = &made["removal"];
    assert_eq!(removal["zones"], json!(["bl.orbs.example"]));
    assert_eq!(removal["servers"][0]["at"], removal["at"]);
    assert!(removal["cache_seconds"].as_u64().unwrap() > 0);
    assert_eq!(ticket(&api, &made["path"])["state"], "granted");
    // The partner who refuses the mail sees the release, and nothing of the requester.
    let page = removal["released"].as_str().unwrap();
    let public = api.call("", "GET", page, &[], "").ok();
    assert_eq!(public["subject"], "45.1.1.1");
    assert_eq!(public["listed_again"], false);
    assert!(!public.to_string().contains("/tickets/"), "{public}");
    // The hold keeps the reason away, and its author is the number of the ticket.
    let found = api.get("/v1/subjects/45.1.1.1").ok();
    assert_eq!(found["holds"][0]["reason"], "unconfirmed");
    let history = found["history"].as_array().unwrap();
    assert!(
        history[1..].iter().all(|e| e["author"] == "ticket 1"),
        "{found:#}"
    );
    assert_eq!(request(&api, "45.1.1.1").problem(), "not-found");
}

#[test]
fn listing_of_a_feed_is_removed_here_alone_and_stays_away_after_the_next_import() {
    let api = api();
    api.f.write("feed.txt", "46.1.1.1\n47.0.0.0/16\n");
    let import = |api: &Api| {
        api.f.ok(&[
            "import", "--source", "xbl", "--reason", "netblock", "feed.txt",
        ])
    };
    import(&api);
    for (subject, name, neighbour) in [
        ("46.1.1.1", "1.1.1.46", None),
        ("47.0.9.9", "9.9.0.47", Some("8.9.0.47")),
    ] {
        assert_eq!(api.dns(name), "NOERROR 127.0.0.3");
        let made = request(&api, subject).ok();
        assert_eq!(
            (&made["state"], &made["policy"]),
            (&json!("granted"), &json!("on-request"))
        );
        assert_eq!(api.dns(name), "NXDOMAIN soa 60");
        import(&api);
        assert_eq!(api.dns(name), "NXDOMAIN soa 60");
        if let Some(other) = neighbour {
            assert_eq!(api.dns(other), "NOERROR 127.0.0.3");
        }
    }
}

#[test]
fn reviewed_request_is_a_conversation_that_ends_with_a_decision() {
    let api = api();
    api.list("45.1.1.1", "netblock");
    let made = request(&api, "45.1.1.1").ok();
    let path = &made["path"];
    assert_eq!(
        (&made["state"], &made["proof_required"]),
        (&json!("needs-proof"), &json!(true))
    );
    let asked = post(&api, path, "review", &json!({})).ok();
    assert_eq!(asked["state"], "review");
    assert!(asked["answer_by"].is_string() && asked["decision_by"].is_string());
    let text = "<script>alert(1)</script>\r\nplease";
    let written = post(&api, path, "messages", &json!({ "text": text })).ok();
    assert_eq!(written["messages"][0]["text"], text.replace('\r', ""));
    assert_eq!(written["messages_left"], 19);
    assert_eq!(
        post(&api, path, "messages", &json!({"text": "x".repeat(4001)})).problem(),
        "invalid"
    );
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.3");
    let withdrawn = post(&api, path, "withdraw", &json!({})).ok();
    assert_eq!(withdrawn["state"], "withdrawn");
    assert_eq!(
        post(&api, path, "withdraw", &json!({})).problem(),
        "conflict"
    );
    assert_eq!(
        post(&api, path, "messages", &json!({"text": "x"})).problem(),
        "conflict"
    );
    // The audit log names the ticket by its number.
    let audit = api.get("/v1/audit").text();
    assert!(
        audit.contains("ticket 1") && !audit.contains("alert("),
        "{audit}"
    );
    assert!(!api.f.log().contains("alert("));
    let secret = path.as_str().unwrap().trim_start_matches("/tickets/");
    assert!(!audit.contains(secret) && !api.f.log().contains(secret));
}

#[test]
fn tickets_survive_a_restart() {
    let mut api = api();
    api.list("45.1.1.1", "netblock");
    let made = request(&api, "45.1.1.1").ok();
    drop(api.daemon.take());
    api.start();
    let found = ticket(&api, &made["path"]);
    assert_eq!(
        (&found["number"], &found["state"]),
        (&json!(1), &json!("needs-proof"))
    );
}

#[test]
fn guessed_path_leads_to_no_ticket_and_says_nothing_about_others() {
    let api = api();
    api.list("45.1.1.1", "netblock");
    let made = request(&api, "45.1.1.1").ok();
    let path = made["path"].as_str().unwrap();
    let secret = path.trim_start_matches("/tickets/");
    assert!(secret.len() == 26, "128 bits: {secret}");
    let detail = |guess: &str| {
        let reply = api.call("", "GET", &format!("/tickets/{guess}"), &[], "");
        assert_eq!(reply.problem(), "not-found", "{guess}");
        reply.json()["detail"].clone()
    };
    let changed = |c: char| if c == '0' { '1' } else { '0' };
    let near: String = secret[..1]
        .chars()
        .map(changed)
        .chain(secret[1..].chars())
        .collect();
    let all = [
        "1",
        "x",
        &near,
        &secret[..25],
        &"0".repeat(26),
        "%2e%2e%2f1",
    ];
    let first = detail(all[0]);
    for guess in all {
        assert_eq!(detail(guess), first, "{guess}");
    }
    for action in ["retry", "review", "messages", "withdraw"] {
        let path = json!(format!("/tickets/{near}"));
        let reply = post(&api, &path, action, &json!({"text": "x"}));
        assert_eq!(reply.problem(), "not-found", "{action}");
    }
    assert_eq!(ticket(&api, &made["path"])["messages"], json!([]));
}

#[test]
fn flood_of_requests_is_limited_and_told_when_to_come_again() {
    let api = api();
    api.list("45.1.1.1", "netblock");
    let limited = (0..200)
        .map(|_| request(&api, "45.1.1.1"))
        .find(|r| r.status == 429);
    let limited = limited.expect("a limit is reached");
    assert_eq!(limited.problem(), "too-many-requests");
    assert!(limited.header("retry-after").parse::<u64>().unwrap() > 0);
    // Nothing was removed meanwhile.
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.3");
}

/// A mirror that answers queries for the SOA with a serial that the test sets, and no NOTIFY.
fn mirror(serial: Arc<AtomicU32>) -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            let end = 12 + buf[12..n].iter().position(|b| *b == 0).unwrap() + 5;
            if buf[2] & 0x78 != 0 {
                continue;
            }
            let mut reply = buf[..end].to_vec();
            (reply[2], reply[3]) = (0x84, 0);
            reply[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
            reply.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0]);
            reply.extend(serial.load(Ordering::SeqCst).to_be_bytes());
            reply.extend([0; 16]);
            let _ = socket.send_to(&reply, from);
        }
    });
    addr
}

#[test]
fn ticket_shows_when_the_mirror_serves_the_removal() {
    let serial = Arc::new(AtomicU32::new(1));
    let addr = mirror(serial.clone());
    let zone = format!("{ZONE}[transfer]\nnotify = [{{ address = \"{addr}\" }}]\n");
    let api = Api::with_zones(&config(), &[("bl", &zone)]);
    api.list("45.1.1.1", "unconfirmed");
    let made = request(&api, "45.1.1.1").ok();
    let servers = made["removal"]["servers"].as_array().unwrap().clone();
    assert_eq!(servers.len(), 2, "{servers:?}");
    assert_eq!(servers[1]["server"], addr.to_string());
    assert!(servers[1]["at"].is_null() && made["removal"]["everywhere_at"].is_null());
    std::thread::sleep(Duration::from_secs(3));
    assert!(ticket(&api, &made["path"])["removal"]["everywhere_at"].is_null());
    let current = api.get("/v1/zones/bl").ok()["serial"].as_u64().unwrap();
    serial.store(current as u32, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let found = ticket(&api, &made["path"]);
        if found["removal"]["everywhere_at"].is_string() {
            assert_eq!(
                found["removal"]["servers"][1]["at"],
                found["removal"]["everywhere_at"]
            );
            break;
        }
        assert!(Instant::now() < until, "{found:#}\n{}", api.f.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn relay_is_tested_granted_after_it_was_closed_and_its_outcomes_are_shown() {
    let f = RelayLab::new("");
    let addr = v4(3, 1);
    let open = MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    let mta = f.mta(addr, "owner", open);
    f.done(f.nominate(addr, &json!({"tests": ["plain"]})));
    let listed = || f.dns(addr) == "NOERROR 127.0.0.2";
    assert!(listed());
    // Still open: the test of the first ticket fails.
    let made = request(&f.api, &addr.to_string()).ok();
    assert_eq!(
        (&made["policy"], &made["state"]),
        (&json!("after-retest"), &json!("testing"))
    );
    let failed = wait(&f.api, &made["path"], "failed");
    let outcomes = failed["test"]["outcomes"].as_array().unwrap();
    assert!(
        outcomes.iter().any(|o| o["outcome"] == "delivered"),
        "{failed:#}"
    );
    assert_eq!(
        outcomes[0]["test"], "plain",
        "the form that had passed is first"
    );
    assert_eq!(
        (&failed["may_retry"], &outcomes[0]["had_passed"]),
        (&json!(true), &json!(true))
    );
    assert!(failed["retry_at"].is_string() && listed());
    // Closed: a person who reviews it needs no test; the host is removed, and DNS shows it.
    mta.close();
    let n = failed["number"].as_u64().unwrap();
    assert_eq!(n, 1);
    let second = request(&f.api, &addr.to_string()).ok();
    assert_eq!(second["number"], 2);
    assert_ne!(second["path"], made["path"]);
    assert!(
        second["next_at"].is_string(),
        "it waits after the failed one: {second:#}"
    );
}

#[test]
fn closed_relay_is_released_by_the_test_of_its_ticket() {
    let f = RelayLab::new("");
    let addr = v4(3, 2);
    let open = MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    let mta = f.mta(addr, "closed", open);
    f.done(f.nominate(addr, &json!({"tests": ["plain"]})));
    mta.close();
    let made = request(&f.api, &addr.to_string()).ok();
    let also = request(&f.api, &addr.to_string()).ok();
    assert_eq!(
        made["test"]["job"], also["test"]["job"],
        "it joins the test"
    );
    let granted = wait(&f.api, &made["path"], "granted");
    assert_eq!(f.dns(addr), "NXDOMAIN soa 60");
    let states: Vec<&Value> = granted["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["state"])
        .collect();
    assert_eq!(states, ["testing", "granted"]);
    assert!(granted["removal"]["released"].is_string());
    wait(&f.api, &also["path"], "granted");
    let claims = f.api.get("/v1/audit").text().matches("\"claim\"").count();
    assert_eq!(claims, 1, "one test for both tickets");
}

#[test]
fn wider_listing_excludes_the_address_alone_on_the_wire() {
    let api = api();
    api.list("45.2.0.0/16", "unconfirmed");
    assert_eq!(request(&api, "45.2.3.4").ok()["state"], "granted");
    let ask = |name: &str| {
        let query = crate::lab::query(&format!("{name}.bl.orbs.example"), 1, true);
        shown(&udp(api.f.addr(), &query, Duration::from_secs(5)).unwrap())
    };
    assert_eq!(ask("4.3.2.45"), "NXDOMAIN soa 60");
    assert_eq!(ask("5.3.2.45"), "NOERROR 127.0.0.8");
    let export = api.get("/v1/zones/bl/export?format=rbldnsd").text();
    // Prefixes of one value are exported without the address, and cover all the others.
    for (line, is_there) in [
        ("45.2.3.4", false),
        ("45.2.0.0/16", false),
        ("45.2.3.5", true),
        ("45.2.3.0/30", true),
    ] {
        let found = export.lines().any(|l| l == line);
        assert_eq!(
            found, is_there,
            "mirrors get the exclusion: {line} in {export}"
        );
    }
}

/// Whether a file below a folder has a text.
fn is_in_files(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => is_in_files(&path, text),
            // A file may have been replaced meanwhile.
            false => fs::read(&path).is_ok_and(|bytes| {
                let mut windows = bytes.windows(text.len());
                windows.any(|w| w == text.as_bytes())
            }),
        }
    })
}

#[test]
fn ticket_that_came_due_in_a_backup_is_erased_before_a_listener_answers() {
    const PRIVATE: &str = "Answer to anna@victim.example, please.";
    let mut api = api();
    for subject in ["45.1.1.1", "45.1.1.2"] {
        api.list(subject, "netblock");
    }
    drop(api.daemon.take());
    let ledger = api.f.ledger();
    let tickets = privacy::tickets(&api.f, &ledger);
    let old = Time(wall().0 - 100 * 86_400);
    let open = |subject: &str, message: &str, at: Time| {
        let request = NewTicket {
            subject: subject.parse().unwrap(),
            policy: None,
            message: message.into(),
            language: String::new(),
            client: None,
        };
        let ticket = tickets.open(&request, at).unwrap();
        tickets.withdraw(ticket.number, at).unwrap();
        ticket
    };
    let due = open("45.1.1.1", PRIVATE, old);
    let recent = open("45.1.1.2", "It is closed.", Time(wall().0 - 80 * 86_400));
    drop(tickets);
    ledger.stop().unwrap();
    drop(ledger);
    api.f.ok(&["backup", "copy"]);
    let data = api.f.path().join("data");
    fs::remove_dir_all(&data).unwrap();
    api.f.ok(&["restore", "copy", "--without-removal-log"]);
    assert!(is_in_files(&data, PRIVATE), "the backup had it");
    // A client that asks from the start never gets the ticket.
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, addr, path) = (is_over.clone(), api.addr, due.path());
    let client = std::thread::spawn(move || {
        let mut answers = Vec::new();
        while !over.load(Ordering::SeqCst) {
            if let Ok(mut stream) = TcpStream::connect(addr) {
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(request.as_bytes());
                let mut answer = String::new();
                let _ = stream.read_to_string(&mut answer);
                answers.extend(answer.lines().next().map(String::from));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        answers
    });
    api.daemon = Some(Daemon::start(&api.f));
    let status = api.f.json(&["status", "--json"]);
    assert_eq!(status["retention"]["erased"]["tickets"], 1, "{status}");
    assert!(
        !is_in_files(&data, PRIVATE),
        "nor do the files of the store"
    );
    let found = api.call("", "GET", &recent.path(), &[], "").ok();
    assert_eq!(found["state"], "withdrawn");
    std::thread::sleep(Duration::from_millis(200));
    is_over.store(true, Ordering::SeqCst);
    let answers = client.join().unwrap();
    assert!(!answers.is_empty());
    assert!(
        answers.iter().all(|a| a == "HTTP/1.1 404 Not Found"),
        "{answers:?}"
    );
}
