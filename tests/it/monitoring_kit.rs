//! The files for Prometheus and Grafana in contrib/: the alert rules pass their tests, rules and
//! dashboard name only metrics and labels that exist, and a real Prometheus evaluates them on a
//! daemon with every feature.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    api::{Api, hooks::Sink},
    lab::{Daemon, free_port, query, udp},
    logins::LOGINS,
    metrics::tester_tables,
    peers::peers,
    recipes,
    transports::Secure,
};

const CONFIG: &str = "contrib/prometheus/prometheus.yml";
const RULES: &str = "contrib/prometheus/orbsd.rules.yml";
const RULE_TESTS: &str = "contrib/prometheus/orbsd.rules.test.yml";
const DASHBOARD: &str = "contrib/grafana/orbsd.json";

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The values of a key of YAML whose values are on the lines of their keys.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|l| l.trim().trim_start_matches("- "));
    let value = |l: &'t str| l.strip_prefix(key)?.strip_prefix(": ");
    lines
        .filter_map(value)
        .map(|v| v.trim_matches('\''))
        .collect()
}

/// The expressions of the alert rules.
fn rule_expressions() -> Vec<String> {
    let rules = read(RULES);
    let found = values(&rules, "expr");
    assert_eq!(found.len(), values(&rules, "alert").len());
    found.into_iter().map(|e| e.replace("''", "'")).collect()
}

/// The expressions of the dashboard, by the titles of their panels.
fn dashboard_expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut out = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            out.push((title.into(), target["expr"].as_str().unwrap().into()));
        }
    }
    assert!(out.len() >= 30, "{}", out.len());
    out
}

/// The labels of each metric in docs/metrics.md, which is the table of the code. A histogram has
/// the names of its parts.
fn documented_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let mut out = BTreeMap::new();
    for line in read("docs/metrics.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells[..] else {
            continue;
        };
        let name = name.trim_matches('`');
        if !name.starts_with("orbsd_") {
            continue;
        }
        let labels = labels.split(", ").map(|l| l.trim_matches('`').to_string());
        let labels: BTreeSet<String> = labels.filter(|l| !l.is_empty()).collect();
        if kind == "histogram" {
            for part in ["bucket", "sum", "count"] {
                out.insert(format!("{name}_{part}"), labels.clone());
            }
        } else {
            out.insert(name.to_string(), labels);
        }
    }
    assert!(out.len() > 80, "{}", out.len());
    out
}

/// The words of an expression, and the characters between them.
fn tokens(expression: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let mut out = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => rest[1..].find('"').unwrap() + 2,
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        out.push(&rest[..len]);
        rest = &rest[len..];
    }
    out.retain(|t| !t.trim().is_empty());
    out
}

/// The metrics that an expression names, and the labels that it selects or groups by.
fn names_of(expression: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new());
    let tokens = tokens(expression);
    for (i, token) in tokens.iter().enumerate() {
        if token.starts_with("orbsd_") {
            metrics.insert(token.to_string());
        }
        let groups = ["by", "on", "ignoring", "without"].contains(token);
        if groups && tokens.get(i + 1) == Some(&"(") {
            let list = tokens[i + 2..].iter().take_while(|t| **t != ")");
            labels.extend(list.filter(|t| **t != ",").map(|t| t.to_string()));
        }
        // A metric before `==` is compared.
        let is_label =
            token.starts_with(|c: char| c.is_ascii_lowercase()) && !metrics.contains(*token);
        if is_label && ["=", "!"].iter().any(|o| tokens.get(i + 1) == Some(o)) {
            labels.insert(token.to_string());
        }
    }
    (metrics, labels)
}

#[test]
fn names_of_an_expression_are_its_metrics_and_labels() {
    let (metrics, labels) = names_of(
        r#"sum by (job, zone) (rate(orbsd_a_total{kind="x y",name=~"$n"}[5m])) / ignoring (le) orbsd_b == 1"#,
    );
    assert_eq!(Vec::from_iter(metrics), ["orbsd_a_total", "orbsd_b"]);
    assert_eq!(
        Vec::from_iter(labels),
        ["job", "kind", "le", "name", "zone"]
    );
}

#[test]
fn rules_and_dashboard_name_only_metrics_and_labels_of_the_table() {
    let documented = documented_metrics();
    let dashboard = dashboard_expressions().into_iter().map(|(_, e)| e);
    for expression in rule_expressions().into_iter().chain(dashboard) {
        let (metrics, labels) = names_of(&expression);
        // Prometheus adds these to all samples.
        let mut known: BTreeSet<String> = ["job", "instance"].map(String::from).into();
        for metric in &metrics {
            let labels = documented.get(metric);
            known.extend(
                labels
                    .unwrap_or_else(|| panic!("{expression}: no metric {metric}"))
                    .clone(),
            );
        }
        assert!(
            labels.is_subset(&known),
            "{expression}: {labels:?}, but its metrics have {known:?}"
        );
        assert!(
            !metrics.is_empty() || expression.starts_with("up{"),
            "{expression}"
        );
    }
}

/// The texts of an alert use only labels that its samples have.
#[test]
fn texts_of_alerts_name_only_labels_of_their_metrics() {
    let documented = documented_metrics();
    let mut checked = 0;
    for rule in read(RULES).split("- alert: ").skip(1) {
        let (metrics, _) = names_of(values(rule, "expr")[0]);
        let labels = metrics.iter().flat_map(|m| documented[m].iter());
        let known: BTreeSet<&str> = labels.map(String::as_str).chain(["instance"]).collect();
        for text in rule.split("$labels.").skip(1) {
            let label = text.split(' ').next().unwrap();
            assert!(known.contains(label), "{label}: {rule}");
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do() {
    let rules = read(RULES);
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for alert in alerts {
        for key in ["summary", "action", "documentation"] {
            assert_eq!(values(alert, key).len(), 1, "{key}: {alert}");
        }
        let action = values(alert, "action")[0];
        assert!(action.ends_with('.'), "{alert}");
        assert!(
            ["critical", "warning"]
                .iter()
                .any(|s| alert.contains(&format!("labels: {{ severity: {s} }}"))),
            "{alert}"
        );
    }
}

#[test]
fn page_about_monitoring_shows_the_scrape_job_of_the_kit() {
    let blocks = recipes::blocks("docs/monitoring.md");
    let shown = blocks.iter().find(|b| b.language == "yaml").unwrap();
    let file = read(CONFIG);
    let settings: String = file
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(shown.text.ends_with(&settings), "{}", shown.text);
}

/// Runs a command of promtool in a folder.
fn promtool(folder: &Path, args: &[&str]) {
    let out = Command::new(peers().join("web/usr/bin/promtool"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let output =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {output}");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn alert_rules_pass_their_tests_and_every_alert_has_one() {
    let (rules, tests) = (read(RULES), read(RULE_TESTS));
    for alert in values(&rules, "alert") {
        let expected = format!("{{alertname=\"{alert}\"}}");
        assert!(tests.contains(&expected), "{RULE_TESTS} lacks {alert}");
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("orbsd.rules.yml", &rules);
    write("orbsd.rules.test.yml", &tests);
    write("orbsd.token", "orbsd_x_y\n");
    let config = read(CONFIG);
    write(
        "prometheus.yml",
        &config.replace("/etc/prometheus/orbsd.token", "orbsd.token"),
    );
    promtool(folder.path(), &["check", "config", "prometheus.yml"]);
    promtool(folder.path(), &["check", "rules", "orbsd.rules.yml"]);
    promtool(folder.path(), &["test", "rules", "orbsd.rules.test.yml"]);
}

/// The health check of the compose file runs in the container; here, its command asks a daemon with
/// other paths.
#[test]
fn health_check_of_the_compose_file_succeeds_only_while_the_daemon_runs() {
    let compose = read("packaging/compose.yaml");
    let command: Vec<String> = serde_json::from_str(values(&compose, "test")[0]).unwrap();
    assert_eq!(command[..2], ["CMD", "/usr/bin/orbsd"]);
    let mut api = Api::new();
    let config = api.f.path().join("config.toml").display().to_string();
    let socket = api.f.config().socket.display().to_string();
    let arguments: Vec<String> = command[2..]
        .iter()
        .map(|a| a.replace("/etc/orbsd/config.toml", &config))
        .map(|a| a.replace("/run/orbsd/orbsd.sock", &socket))
        .collect();
    assert!(arguments.contains(&config) && arguments.contains(&socket));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert!(api.f.orbsd(&arguments).status.success());
    api.daemon.take().unwrap().stop();
    assert!(!api.f.orbsd(&arguments).status.success());
}

/// A daemon with every feature that has metrics: TLS, a feed, a mirror, a webhook that fails, recent
/// log-ins, generic names, the sample of queries and the relay tester.
fn server_with_every_feature(sink: &Sink) -> Api {
    let more = format!(
        "{}[generic_names]\nreason = \"spam\"\n[query_sample]\none_in = 64\n\
         [http_client]\nresolvers = [\"127.0.0.1:1\"]\nallow_special_ranges = [\"127.0.0.1\"]\n\
         [[feed]]\nname = \"xbl\"\npath = \"list.txt\"\nreason = \"relay\"\nmax_age = \"2d\"\n",
        tester_tables()
    );
    let secure = Secure::with(&more);
    let f = secure.folder;
    let port = free_port();
    let config = fs::read_to_string(f.path().join("config.toml")).unwrap();
    let listen = format!("[admin]\nlisten = \"127.0.0.1:{port}\"");
    f.write(
        "config.toml",
        &config.replace("[admin]\nlisten = \"\"", &listen),
    );
    f.write("zones/logins.toml", LOGINS);
    f.write("list.txt", "45.52.0.1\n45.52.0.2\n");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    f.write(
        "data.mirrors.json",
        &serde_json::json!({"version": 2, "mirrors": [
            ["bl.orbs.example", {"Other": ["192.0.2.1", null]}, {"seen": now.as_secs(), "has": 1}],
        ]})
        .to_string(),
    );
    let daemon = Daemon::start(&f);
    let mut api = Api {
        f,
        daemon: Some(daemon),
        addr: ([127, 0, 0, 1], port).into(),
        owner: String::new(),
    };
    api.owner = api.token("root", "owner", &[]);
    sink.fail();
    let webhook = format!("{{\"url\":\"http://{}/\"}}", sink.addr);
    api.post("/v1/webhooks", &webhook).ok();
    api.list("45.1.1.1", "relay");
    api.f.ok(&["backup", "copy"]);
    api
}

/// A real Prometheus.
struct Prometheus {
    _process: Daemon,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Prometheus {
    /// Starts it with the kit's files, so that it scrapes the daemon.
    fn start(api: &Api) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("orbsd.token", &api.token("prometheus", "reader", &[]));
        write("orbsd.rules.yml", &read(RULES));
        let config = read(CONFIG)
            .replace("/etc/prometheus/orbsd.token", "orbsd.token")
            .replace("127.0.0.1:8053", &api.addr.to_string());
        let often = "global: { scrape_interval: 1s, evaluation_interval: 1s }\n";
        write("prometheus.yml", &format!("{often}{config}"));
        let port = free_port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(peers().join("prometheus/usr/bin/prometheus"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Prometheus {
            _process: Daemon(process),
            _folder: folder,
            port,
        }
    }

    /// Returns the data of a successful request; `None` while it starts.
    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let base = format!("http://127.0.0.1:{}{path}", self.port);
        let url = url::Url::parse_with_params(&base, parameters).unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut reply = agent.get(url.as_str()).call().ok()?;
        let text = reply.body_mut().read_to_string().unwrap();
        let reply: Value = serde_json::from_str(&text).ok()?;
        assert_eq!(reply["status"], "success", "{parameters:?}: {reply}");
        Some(reply["data"].clone())
    }

    /// The number of samples of an expression at this moment.
    fn samples(&self, expression: &str) -> Option<usize> {
        let data = self.get("/api/v1/query", &[("query", expression)])?;
        Some(data["result"].as_array().unwrap().len())
    }
}

/// Panels of the dashboard that have no samples on a sound daemon without requests.
const EMPTY_PANELS: [&str; 1] = ["Removals that correct an error"];

/// Every expression of a panel has samples, every rule is evaluated, and no alert fires but for what
/// the daemon lacks.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn prometheus_evaluates_rules_and_dashboard_on_a_daemon_with_every_feature() {
    let sink = Sink::new();
    let api = server_with_every_feature(&sink);
    let prometheus = Prometheus::start(&api);
    let until = Instant::now() + Duration::from_secs(120);
    let log = || fs::read_to_string(prometheus._folder.path().join("log")).unwrap();
    let mut waiting: Vec<(String, String)> = dashboard_expressions()
        .into_iter()
        .map(|(title, e)| {
            let e = e.replace("$job", ".*").replace("$instance", ".*");
            (title, e.replace("$__rate_interval", "20s"))
        })
        .collect();
    while !waiting.is_empty() {
        // Queries keep the rates above zero.
        for name in ["1.1.1.45.bl.orbs.example", "2.1.1.45.bl.orbs.example"] {
            udp(
                api.f.addr(),
                &query(name, 1, true),
                Duration::from_millis(500),
            );
        }
        waiting.retain(|(title, e)| match prometheus.samples(e) {
            Some(n) => n == 0 && !EMPTY_PANELS.contains(&title.as_str()),
            None => true,
        });
        assert!(
            Instant::now() < until,
            "no samples: {waiting:#?}\n{}\n{}",
            log(),
            api.get("/metrics").text()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    let rules = loop {
        let data = prometheus.get("/api/v1/rules", &[]).unwrap();
        let groups = data["groups"].as_array().unwrap().clone();
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|g| g["rules"].as_array().unwrap().clone())
            .collect();
        if rules.iter().all(|r| r["health"] != "unknown") {
            break rules;
        }
        assert!(Instant::now() < until, "{data}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(rules.len(), rule_expressions().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // The names of what it serves are those of the table.
    let data = prometheus
        .get(
            "/api/v1/label/__name__/values",
            &[("match[]", "{job=\"orbsd\"}")],
        )
        .unwrap();
    let documented = documented_metrics();
    for name in data.as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(
            documented.contains_key(name) || !name.starts_with("orbsd_"),
            "{name} is not in docs/metrics.md"
        );
    }
    // The values of the daemon are those that Prometheus has.
    assert_eq!(prometheus.samples("orbsd_backup_time_seconds > 0"), Some(1));
    assert_eq!(prometheus.samples("orbsd_writes_taken == 1"), Some(1));
}
