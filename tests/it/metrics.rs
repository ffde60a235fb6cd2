//! Metrics: each of the table is served, with the values of the daemon.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    api::{Api, hooks::Sink},
    lab::{CONFIG, Daemon, free_port},
    transports::Secure,
};

const PAGE: &str = "docs/metrics.md";

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Returns the value of a sample, by its name and labels.
fn value(metrics: &str, sample: &str) -> Option<f64> {
    metrics
        .lines()
        .find_map(|l| l.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let api = Api::with(&format!(
        "{CONFIG}[generic_names]\nreason = \"spam\"\n[http_client]\nresolvers = [\"127.0.0.1:1\"]\n[query_sample]\none_in = 64\n"
    ));
    // Names are looked up only after the start.
    let until = Instant::now() + Duration::from_secs(20);
    let mut metrics = api.get("/metrics").text();
    while !metrics.contains("orbsd_generic_names_working") && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
        metrics = api.get("/metrics").text();
    }
    let served: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let page = fs::read_to_string(PAGE).unwrap();
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `orbsd_")?.split('`').next())
        .collect();
    let served: BTreeSet<&str> = served
        .iter()
        .map(|n| n.strip_prefix("orbsd_").unwrap())
        .collect();
    assert_eq!(served, documented);
    assert_eq!(
        value(
            &metrics,
            &format!(
                "orbsd_build_info{{version=\"{}\"}}",
                env!("CARGO_PKG_VERSION")
            )
        ),
        Some(1.0)
    );
    for disk in ["store", "removals"] {
        let of = |name: &str| {
            value(
                &metrics,
                &format!("orbsd_disk_{name}_bytes{{disk=\"{disk}\"}}"),
            )
            .unwrap()
        };
        assert!(of("free") > 0.0 && of("free") <= of("size"), "{metrics}");
    }
    assert!(
        value(&metrics, "orbsd_store_bytes").unwrap() > 1000.0,
        "{metrics}"
    );
    assert_eq!(
        [
            value(&metrics, "orbsd_tester_enabled"),
            value(&metrics, "orbsd_tester_ready")
        ],
        [Some(0.0), Some(0.0)]
    );
    assert!(
        !metrics.contains("\norbsd_tls_not_after_seconds "),
        "no certificate, no sample"
    );
}

#[test]
fn certificate_expiry_is_a_metric() {
    let s = Secure::new();
    let admin = free_port();
    let path = s.folder.path().join("config.toml");
    let config = fs::read_to_string(&path).unwrap().replace(
        "[admin]\nlisten = \"\"",
        &format!("[admin]\nlisten = '127.0.0.1:{admin}'"),
    );
    fs::write(&path, config).unwrap();
    let _daemon = Daemon::start(&s.folder);
    let token = s.folder.ok(&[
        "token",
        "create",
        "--owner",
        "prometheus",
        "--role",
        "reader",
    ]);
    let header = format!("authorization: Bearer {}", token.trim());
    let out = Command::new("curl")
        .args([
            "-sS",
            "-H",
            &header,
            &format!("http://127.0.0.1:{admin}/metrics"),
        ])
        .output()
        .unwrap();
    let end = value(
        &String::from_utf8_lossy(&out.stdout),
        "orbsd_tls_not_after_seconds",
    )
    .unwrap();
    // The certificate is invalid a minute after the time in the metric, and valid a minute before.
    let valid = |shift: i64| {
        let seconds = ((end - now()) as i64 + shift).to_string();
        let out = Command::new("openssl")
            .args(["x509", "-in", "c.pem", "-noout", "-checkend", &seconds])
            .current_dir(s.folder.path())
            .output();
        out.unwrap().status.success()
    };
    assert!(valid(-60) && !valid(60), "{end}");
}

/// Tables of a configuration that switch relay tests on.
pub fn tester_tables() -> String {
    let reasons = ["input", "output", "unconfirmed", "notest"]
        .map(|n| format!("[[reason]]\nname = \"{n}\"\n"))
        .concat();
    format!(
        "{reasons}[limits]\nallow_special_ranges = [\"127.64.0.0/10\"]\n[collector]\nlisten = [\"127.0.0.1:{}\"]\n[probe]\nenabled = true\ndomain = \"probe.example\"\n\
         ehlo_name = \"tester.example\"\n",
        free_port()
    )
}

#[test]
fn tester_readiness_is_a_metric() {
    let api = Api::with(&format!("{CONFIG}{}", tester_tables()));
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let (metrics, status) = (api.get("/metrics").text(), api.get("/v1/status").ok());
        assert_eq!(value(&metrics, "orbsd_tester_enabled"), Some(1.0));
        match value(&metrics, "orbsd_tester_ready") {
            Some(1.0) => break,
            _ => assert!(Instant::now() < until, "{status}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn webhook_backlog_is_a_metric() {
    let api = Api::with(&format!(
        "[http_client]\nallow_special_ranges = [\"127.0.0.1\"]\n{CONFIG}"
    ));
    let sink = Sink::new();
    sink.fail();
    let hook = api
        .post(
            "/v1/webhooks",
            &format!("{{\"url\":\"http://{}/\"}}", sink.addr),
        )
        .ok();
    let id = hook["id"].as_str().unwrap();
    let of = |name: &str| {
        value(
            &api.get("/metrics").text(),
            &format!("orbsd_webhook_{name}{{webhook=\"{id}\"}}"),
        )
    };
    assert_eq!((of("waiting"), of("oldest_seconds")), (Some(0.0), None));
    (1..4).for_each(|i| _ = api.list(&format!("45.1.1.{i}"), "relay"));
    assert_eq!(of("waiting"), Some(3.0));
    assert!((now() - of("oldest_seconds").unwrap()).abs() < 60.0);
    sink.take();
    api.post(&format!("/v1/webhooks/{id}/retry"), "").ok();
    let until = Instant::now() + Duration::from_secs(20);
    while of("waiting") != Some(0.0) {
        assert!(Instant::now() < until, "{}", api.get("/metrics").text());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(of("oldest_seconds"), None);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn served_metrics_are_well_formed_for_prometheus() {
    let api = Api::new();
    let metrics = api.f.write("metrics", &api.get("/metrics").text());
    let out = Command::new(crate::peers::peers().join("web/usr/bin/promtool"))
        .args(["check", "metrics"])
        .stdin(fs::File::open(metrics).unwrap())
        .output()
        .unwrap();
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn time_of_the_last_backup_is_a_metric() {
    let api = Api::new();
    let time = || value(&api.get("/metrics").text(), "orbsd_backup_time_seconds");
    assert_eq!(time(), Some(0.0), "there is no backup");
    api.f.ok(&["backup", "copy"]);
    assert!((now() - time().unwrap()).abs() < 60.0, "{:?}", time());
}
