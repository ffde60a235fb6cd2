//! What the owner of a host sees while a claim is tested: each outcome as it comes, the release
//! before the test has ended, and the advice for a host that defers.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    RelayLab,
    mta::{Change, MtaBehavior},
    v4,
};

const REFUSED: &str = "554 5.7.1 Relay access denied";
const DEFERRED: &str = "454 4.7.1 <x@probe.example>: Relay access denied";

/// Proves a host open, and changes its reply to recipients in other domains.
fn listed_host(f: &RelayLab, host: u8, reply: &'static str) -> std::net::IpAddr {
    let open = MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    let mta = f.mta(v4(70, host), &format!("pace{host}"), open);
    let tests = json!({"tests": ["plain", "quoted-at-name", "percent-at-name"], "kind": "owner"});
    f.done(f.nominate(mta.addr, &tests));
    assert_eq!(f.dns(mta.addr), "NOERROR 127.0.0.2");
    mta.change(Change {
        foreign: Some(reply),
        ..Change::default()
    });
    mta.addr
}

/// Claims that a host is closed, as the command line or a web page without a proof does.
fn claim(f: &RelayLab, target: std::net::IpAddr) -> Value {
    let body = json!({ "target": target }).to_string();
    f.api.post("/v1/claims", &body).ok()
}

fn count(job: &Value, outcome: &str) -> usize {
    let results = job["results"].as_array().unwrap();
    results.iter().filter(|r| r["outcome"] == outcome).count()
}

#[test]
fn outcomes_are_stored_as_they_come_and_release_the_host_before_the_test_ends() {
    let f = RelayLab::with_pause("", "1s");
    let addr = listed_host(&f, 1, REFUSED);
    let begun = Instant::now();
    let id = claim(&f, addr)["job"]["id"].as_u64().unwrap();
    let mut shown = BTreeSet::new();
    while f.dns(addr) == "NOERROR 127.0.0.2" {
        shown.insert(count(&f.job(id), "refused"));
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(90), "{}", f.api.f.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (job, seconds) = (f.job(id), begun.elapsed().as_secs() as usize);
    assert_eq!(
        (&job["state"], &job["row"]),
        (&json!("running"), &json!("refused-control-accepted")),
        "{job:#}"
    );
    let all = job["results"].as_array().unwrap().len();
    assert!(count(&job, "refused") < all, "the rest of the test goes on");
    assert!(
        (5..=seconds + 2).contains(&shown.len()),
        "stored as they come, and at most once a second: {shown:?} in {seconds} s"
    );
}

/// Without the advice, the owner of a Postfix in Debian's configuration waited for three tries.
#[test]
fn owner_of_a_host_that_defers_is_told_at_once_and_brings_the_next_try_forward() {
    let f = RelayLab::with_pause("", "0s");
    let addr = listed_host(&f, 2, DEFERRED);
    let body = json!({"target": addr, "proved": true}).to_string();
    let claimed = || f.api.post("/v1/claims", &body).ok();
    let until = Instant::now() + Duration::from_secs(60);
    let id = claimed()["job"]["id"].as_u64().unwrap();
    while f.job(id)["advice"].is_null() {
        assert!(Instant::now() < until, "{:#}", f.job(id));
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = claimed();
    assert_eq!(told["advice"]["key"], "postfix-defers");
    let setting = &told["advice"]["setting"];
    assert!(
        setting["from"]
            .as_str()
            .unwrap()
            .ends_with("defer_unauth_destination")
            && setting["to"]
                .as_str()
                .unwrap()
                .ends_with("reject_unauth_destination"),
        "{setting}"
    );
    let waits = f.done(id);
    assert_eq!(waits["row"], "deferred-control-accepted");
    let after = claimed();
    assert!(after["release"].is_string() && after["advice"]["key"] == "postfix-defers");
    assert_eq!(
        f.dns(addr),
        "NOERROR 127.0.0.2",
        "it stays listed for five days"
    );
}
