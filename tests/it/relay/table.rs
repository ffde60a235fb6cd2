//! A server for each row of the table that decides claims (docs/relay.md).

use std::{net::IpAddr, sync::Arc};

use serde_json::{Value, json};

use super::{
    RelayLab,
    mta::{Change, Mta, MtaBehavior, connect},
    v4,
};

/// The first source address of the tester.
const FIRST: [u8; 4] = [127, 65, 1, 1];
/// A second source address, in another prefix and with another name.
const SECOND: [u8; 4] = [127, 66, 1, 1];

const DENIED: &str = "550 5.7.1 relaying denied";

fn field(sources: &str) -> RelayLab {
    RelayLab::new(&format!("source_addresses = {sources}\n"))
}

/// Starts a server and proves it open by a test. An empty `test` means the whole catalogue.
fn proved(f: &RelayLab, n: u8, test: &str) -> (IpAddr, Arc<Mta>) {
    let addr = v4(n, 1);
    let mta = f.mta(
        addr,
        &format!("row{n}"),
        MtaBehavior {
            open: true,
            percent: true,
            ..MtaBehavior::default()
        },
    );
    let tests: Vec<&str> = Some(test).into_iter().filter(|t| !t.is_empty()).collect();
    let job = f.done(f.nominate(addr, &json!({"tests": tests})));
    assert_eq!(
        (&job["assessment"], f.dns(addr).as_str()),
        (&json!("open"), "NOERROR 127.0.0.2"),
        "{n}"
    );
    (addr, mta)
}

fn claim(f: &RelayLab, addr: IpAddr, proved: bool) -> Value {
    f.api
        .post(
            "/v1/claims",
            &json!({"target": addr, "proved": proved}).to_string(),
        )
        .ok()
}

/// Returns the row of a claim's test, and whether the host is released, or the claim waits, has
/// failed or is blocked.
fn follows(f: &RelayLab, addr: IpAddr, tested: &Value) -> (String, &'static str) {
    let row = tested["row"].as_str().unwrap_or("").to_string();
    if f.dns(addr).starts_with("NXDOMAIN") {
        return (row, "released");
    }
    // A second claim shows the state of the first.
    let again = claim(f, addr, true);
    let what = match () {
        () if again["release"].is_string() => "waits",
        () if !again["blocked"].as_array().is_none_or(Vec::is_empty) => "blocked",
        () => "failed",
    };
    (row, what)
}

#[test]
fn every_row_of_the_table_is_reached_by_a_real_session() {
    let f = field(&format!("[\"{}\"]", IpAddr::from(FIRST)));
    let differs = Change {
        postmaster: Some("550 5.1.1 no such user here"),
        ..Change::default()
    };
    let same = Change {
        postmaster: Some(DENIED),
        ..Change::default()
    };
    let later = Change {
        foreign: Some("454 4.7.1 relay access denied"),
        ..Change::default()
    };
    let percent = "percent-at-name";
    let rows: Vec<(&str, &str, Option<Change>, &str)> = vec![
        ("delivered", "plain", None, "failed"),
        (
            "accepted",
            "plain",
            Some(Change {
                drops: true,
                ..Change::default()
            }),
            "waits",
        ),
        (
            "refused-control-accepted",
            "plain",
            Some(Change::default()),
            "released",
        ),
        ("refused-control-differs", "plain", Some(differs), "waits"),
        (
            "refused-control-differs",
            "plain",
            Some(Change {
                postmaster: Some("450 4.2.0 later"),
                ..Change::default()
            }),
            "waits",
        ),
        // A control ends at RCPT and does not support a refusal after it.
        (
            "refused-control-differs",
            "plain",
            Some(Change {
                data: Some("554 5.7.1 no"),
                ..Change::default()
            }),
            "waits",
        ),
        (
            "refused-control-differs",
            "plain",
            Some(Change {
                message: Some("550 5.7.1 no"),
                ..Change::default()
            }),
            "waits",
        ),
        (
            "deferred-control-failed",
            "plain",
            Some(Change {
                message: Some("451 4.7.1 later"),
                ..Change::default()
            }),
            "blocked",
        ),
        (
            "refused-control-same",
            "plain",
            Some(same.clone()),
            "blocked",
        ),
        (
            "refused-control-same",
            "plain",
            Some(Change {
                foreign: Some("550 5.7.1 <{}>: see our blocklist"),
                ..Change::default()
            }),
            "blocked",
        ),
        (
            "deferred-control-accepted",
            "plain",
            Some(later.clone()),
            "waits",
        ),
        (
            "deferred-control-failed",
            "plain",
            Some(Change {
                postmaster: later.foreign,
                ..later
            }),
            "blocked",
        ),
        (
            "login-required",
            "plain",
            Some(Change {
                mail: Some("530 5.7.0 log in"),
                auth: true,
                ..Change::default()
            }),
            "waits",
        ),
        // Some forms use HELO or no greeting.
        (
            "login-required",
            "",
            Some(Change {
                mail: Some("530 5.7.0 log in"),
                auth: true,
                ..Change::default()
            }),
            "waits",
        ),
        (
            "shut-out",
            "plain",
            Some(Change {
                mail: Some("530 5.7.0 log in"),
                ..Change::default()
            }),
            "blocked",
        ),
        (
            "shut-out",
            "",
            Some(Change {
                mail: Some("530 5.7.0 log in"),
                ..Change::default()
            }),
            "blocked",
        ),
        (
            "shut-out",
            "plain",
            Some(Change {
                greeting: Some("554 go away"),
                ..Change::default()
            }),
            "blocked",
        ),
        (
            "incomplete-control-accepted",
            percent,
            Some(Change::default()),
            "waits",
        ),
        ("incomplete-control-failed", percent, Some(same), "blocked"),
    ];
    let mut claims = Vec::new();
    for (n, (row, test, change, outcome)) in (1u8..).zip(rows) {
        let (addr, mta) = proved(&f, n, test);
        if test == percent {
            // The owner removes the name that the form needs.
            f.names.remove_host(addr);
        }
        if let Some(change) = change {
            mta.change(change);
        }
        claims.push((
            row,
            outcome,
            addr,
            claim(&f, addr, true)["job"]["id"].as_u64().unwrap(),
            mta,
        ));
    }
    let mut wrong = Vec::new();
    for (row, outcome, addr, id, mta) in &claims {
        let tested = f.done(*id);
        let found = follows(&f, *addr, &tested);
        if found != ((*row).to_string(), *outcome) {
            wrong.push(format!(
                "{addr}: {found:?}, not {row} and {outcome}: {} {}",
                tested["assessment"], tested["controls"]
            ));
        }
        // S8, S10: a control names only postmaster, and RSET follows it.
        let lines = mta.received_lines.lock().unwrap();
        for (i, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, l)| l.starts_with("RCPT TO:<postmaster"))
        {
            assert!(
                lines[i + 1].starts_with("RSET")
                    || lines[i + 1].starts_with("RCPT TO:<postmaster@"),
                "{line}: {}",
                lines[i + 1]
            );
        }
        assert!(
            lines
                .iter()
                .all(|l| !l.starts_with("AUTH") && !l.starts_with("VRFY"))
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Once, an open relay that replied 550 only to our tester was released at once.
#[test]
fn host_that_refuses_only_the_first_source_address_stays_listed() {
    let sources = format!(
        "[\"{}\", {{ address = \"{}\", ehlo_name = \"second.example\" }}]",
        IpAddr::from(FIRST),
        IpAddr::from(SECOND)
    );
    let f = field(&sources);
    let (addr, mta) = proved(&f, 1, "plain");
    let alone = Change {
        only: Some(FIRST.into()),
        foreign: Some(DENIED),
        postmaster: Some(DENIED),
        ..Change::default()
    };
    mta.change(alone);
    let first = f.done(claim(&f, addr, true)["job"]["id"].as_u64().unwrap());
    assert_eq!(
        (&first["row"], &first["source"]),
        (&json!("refused-control-same"), &json!(IpAddr::from(FIRST))),
        "{first:#}"
    );
    assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    // The next claim is tested at once from the second address, which the host does not recognise.
    let again = claim(&f, addr, true);
    let shown = again["blocked"][0].to_string();
    assert!(
        shown.contains("127.65.1.1")
            && shown.contains("control: RCPT TO:<postmaster>")
            && shown.contains("relaying denied"),
        "{again:#}"
    );
    let second = f.done(again["job"]["id"].as_u64().unwrap());
    assert_eq!(
        (&second["assessment"], &second["source"]),
        (&json!("open"), &json!(IpAddr::from(SECOND))),
        "{second:#}"
    );
    assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    assert!(
        mta.received_lines
            .lock()
            .unwrap()
            .iter()
            .any(|l| l == "EHLO second.example")
    );
    // Only the owner sees the blocked claim, in a look-up from the address itself.
    let look_up = |from: IpAddr| {
        use std::io::{Read, Write};
        let mut stream = connect(from, f.api.addr).unwrap();
        write!(
            stream,
            "GET /lookup?ip={addr} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        all
    };
    assert!(
        look_up(addr).contains("\"blocked\"") && look_up(addr).contains("refused-control-same"),
        "{}",
        look_up(addr)
    );
    assert!(!look_up(v4(9, 9)).contains("refused-control-same"));
    // If postmaster is refused with another text, the second source address decides.
    let (open, mta) = proved(&f, 2, "plain");
    let user = Some("550 5.1.1 no such user");
    mta.change(Change {
        only: Some(FIRST.into()),
        foreign: Some(DENIED),
        postmaster: user,
        ..Change::default()
    });
    let (closed, mta) = proved(&f, 3, "plain");
    mta.change(Change {
        foreign: Some(DENIED),
        postmaster: user,
        ..Change::default()
    });
    for addr in [open, closed] {
        let tested = f.done(claim(&f, addr, true)["job"]["id"].as_u64().unwrap());
        assert_eq!(tested["row"], "refused-control-differs", "{tested:#}");
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while f.dns(closed) != "NXDOMAIN soa 60" {
        assert!(
            std::time::Instant::now() < until,
            "{}",
            f.api.get("/v1/jobs").ok()
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(f.dns(open), "NOERROR 127.0.0.2");
    let jobs = f.api.get("/v1/jobs").ok();
    let recheck = jobs["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|j| j["trigger"] == "recheck")
        .unwrap_or_else(|| panic!("{jobs:#}"));
    assert_eq!(
        (&recheck["target"], &recheck["state"]),
        (&json!(closed), &json!("deferred"))
    );
}
