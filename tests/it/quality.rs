//! The daily figures of zones and sources, on a real daemon with real tests of relays.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    relay::{RelayLab, mta::MtaBehavior, v4},
};

const ZONE: &str = "bl.orbs.example";

fn folder(api: &Api) -> PathBuf {
    api.f.config().quality()
}

/// The files of reports, in order of their days.
fn files(api: &Api) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(api)).into_iter().flatten().flatten();
    let paths = entries.map(|e| e.path());
    let mut out: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    out.sort();
    out
}

/// Waits until there are reports of so many days.
fn wait_for_reports(api: &Api, count: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    while files(api).len() < count {
        assert!(Instant::now() < until, "{}", api.f.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Restarts the daemon without its reports, so that it counts those of today again.
fn count_again(api: &mut Api) {
    wait_for_reports(api, 1);
    api.daemon.take().unwrap().stop();
    fs::remove_dir_all(folder(api)).unwrap();
    api.start();
    wait_for_reports(api, 1);
}

/// The last figures of a zone or source.
fn figures(api: &Api, kind: &str, name: &str) -> Value {
    let found = api.f.json(&["--json", kind, "quality", name]);
    let days = found[0]["days"].as_array().unwrap();
    days.last().unwrap()["figures"].clone()
}

#[test]
fn figures_are_those_of_listings_tests_removals_and_requests() {
    let mut f = RelayLab::new("");
    let (closed, open) = (v4(1, 1), v4(1, 2));
    let relay = || MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    let mtas = [closed, open].map(|addr| f.mta(addr, &format!("m{}", addr_end(addr)), relay()));
    for addr in [closed, open] {
        f.done(f.nominate(addr, &json!({"tests": ["plain"]})));
        assert_eq!(f.dns(addr), "NOERROR 127.0.0.2");
    }
    // Both owners claim that they have closed their hosts, and one has.
    mtas[0].close();
    for addr in [closed, open] {
        let claim = json!({"target": addr, "proved": true}).to_string();
        let claim = f.api.post("/v1/claims", &claim).ok();
        f.done(claim["job"]["id"].as_u64().unwrap());
    }
    // A feed lists the open host too, and two addresses that nobody has tested.
    let feed = format!("{open}\n45.1.1.8\n45.1.1.9\n");
    f.api.f.write("feed.txt", &feed);
    f.api.f.ok(&[
        "import", "--source", "feed-a", "--reason", "relay", "feed.txt",
    ]);
    // A listing that was an error, and one that its owner removes.
    f.api.list("45.1.1.1", "unconfirmed");
    f.api.list("45.1.1.2", "unconfirmed");
    f.api.f.ok(&["delist", "45.1.1.1", "--listed-in-error"]);
    let request = json!({"subject": "45.1.1.2"}).to_string();
    let ticket = f.api.call("", "POST", "/tickets", &[], &request).ok();
    assert_eq!(ticket["state"], "granted", "{ticket:#}");

    count_again(&mut f.api);
    let api = &f.api;
    let (zone, feed) = (figures(api, "zone", ZONE), figures(api, "source", "feed-a"));
    let age = json!({"median": 0, "p90": 0, "largest": 0});
    let proofs = json!({"entries": 3, "proved": 1, "proved_recently": 1, "age_days": age});
    assert_eq!((&zone["proofs"], &feed["proofs"]), (&proofs, &proofs));
    let prober = figures(api, "source", "prober");
    for claims in [&zone["claims"], &prober["claims"]] {
        assert_eq!(
            (&claims["closed"], &claims["open"]),
            (&json!(1), &json!(1)),
            "{claims}"
        );
        assert!(claims["release_seconds"]["largest"].as_u64().unwrap() < 120);
    }
    let removals = &zone["removals"];
    let counts = (&removals["removals"], &removals["listed_in_error"]);
    assert_eq!(counts, (&json!(3), &json!(1)), "{removals}");
    assert!(removals["spread_seconds"].is_object() || removals["spreading"] == 1);
    let operator = figures(api, "source", "operator");
    let removals = &operator["removals"];
    let counts = (&removals["removals"], &removals["listed_in_error"]);
    assert_eq!(counts, (&json!(2), &json!(1)), "{removals}");
    let requests = json!({
        "requests": 1,
        "due_2_days": 1, "answered_2_days": 1, "due_7_days": 1, "answered_7_days": 1,
    });
    for figures in [&zone, &operator] {
        assert_eq!(figures["requests"], requests);
    }

    let metrics = api.get("/metrics").text();
    for sample in [
        "quality_entries{kind=\"source\",name=\"feed-a\",proved=\"any\"} 3",
        "quality_entries{kind=\"source\",name=\"feed-a\",proved=\"ever\"} 1",
        "quality_claims{kind=\"zone\",name=\"bl.orbs.example\",result=\"open\"} 1",
        "quality_removals{kind=\"zone\",name=\"bl.orbs.example\",cause=\"error\"} 1",
        "quality_requests_answered{kind=\"source\",name=\"operator\",limit=\"2d\"} 1",
    ] {
        let sample = format!("\norbsd_{sample}\n");
        assert!(metrics.contains(&sample), "{sample}{metrics}");
    }
    let shown = api.f.ok(&["source", "quality", "feed-a"]);
    let line = "entries: 3, proved 1, in the last 30 days 1; last proof: median 0 days ago";
    assert!(shown.contains(line), "{shown}");
    let public = api.call("", "GET", "/policy", &[], "").ok();
    assert_eq!(public["quality"][0]["figures"], zone);
    // No figure names an address.
    let stored = fs::read_to_string(&files(api)[0]).unwrap();
    let all = api.get("/v1/quality").text();
    for text in [stored, all, shown] {
        assert!(
            !text.contains("127.64.") && !text.contains("45.1."),
            "{text}"
        );
    }
}

fn addr_end(addr: std::net::IpAddr) -> String {
    addr.to_string().rsplit('.').next().unwrap().into()
}

#[test]
fn figures_of_a_day_are_counted_once_and_earlier_days_are_kept() {
    let mut api = Api::new();
    wait_for_reports(&api, 1);
    let counted = |api: &Api, days: &str| {
        let found = api.f.json(&["--json", "zone", "quality", "--days", days]);
        let days = found[0]["days"].as_array().unwrap().clone();
        days.iter()
            .map(|d| d["counted"].clone())
            .collect::<Vec<_>>()
    };
    let first = counted(&api, "1");
    api.daemon.take().unwrap().stop();
    api.start();
    // The thread checks each half second whether the job is due.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(counted(&api, "1"), first, "{}", api.f.log());
    // The report becomes that of the day before, as if midnight had passed.
    api.daemon.take().unwrap().stop();
    let path = files(&api).remove(0);
    let mut report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let yesterday = report["counted"].as_u64().unwrap() - 86_400;
    report["counted"] = yesterday.into();
    let day = orbsd::model::Time(yesterday).to_string();
    let name = format!("{}.json", day.split('T').next().unwrap());
    fs::write(path.with_file_name(name), report.to_string()).unwrap();
    fs::remove_file(path).unwrap();
    api.start();
    wait_for_reports(&api, 2);
    assert_eq!(counted(&api, "400").len(), 2);
    assert_eq!(counted(&api, "1").len(), 1);
}

#[test]
fn query_for_figures_of_an_unknown_name_or_of_too_many_days_is_refused() {
    let api = Api::new();
    wait_for_reports(&api, 1);
    let problem = |query: &str| api.get(&format!("/v1/quality?{query}")).problem();
    assert_eq!(problem("zone=none.example"), "not-found");
    assert_eq!(problem("source=none"), "not-found");
    assert_eq!(problem("days=0"), "invalid");
    assert_eq!(problem("days=401"), "invalid");
    let only = api.get("/v1/quality?zone=bl").ok();
    assert_eq!(only["zones"].as_array().unwrap().len(), 1, "{only}");
    assert_eq!(only["zones"][0]["zone"], ZONE);
    assert_eq!(only["sources"], json!([]));
    let token = api.call("", "GET", "/v1/quality", &[], "");
    assert_eq!(token.status, 401, "figures of sources are for operators");
}
