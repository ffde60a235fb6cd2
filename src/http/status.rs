//! How the daemon is: for people, for watchers, and for Prometheus.

use std::sync::atomic::Ordering::Relaxed;

use std::fmt::Write as _;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{App, clock, error::Problem, export::counters, integrity, shapes::Page};
use crate::{
    metrics::{MAX_ZONES, Totals},
    model::retirement::RetirementPlan,
};

/// `GET /v1/status`: version, store, zones with their counters, sources.
#[utoipa::path(get, path = "/v1/status", tag = "state", responses((status = 200, body = Value), Problem))]
pub(super) async fn status(State(app): State<App>) -> Json<Value> {
    let snapshot = app.ledger.published.snapshot();
    let v = app.ledger.store.dictionary();
    let [hosts, nets, ip6, names] = snapshot.tables.counts();
    let zones = snapshot.zones.all().iter().enumerate().map(|(i, z)| {
        json!({
            "zone": z.name, "file": z.spec.stem, "kind": z.spec.kind, "serial": snapshot.serials.get(i),
            "counters": app.metrics.zone(Some(z.slot)),
            "retire": z.spec.retire.as_ref().map(|r| RetirementPlan::new(&z.spec, r, app.ledger.now())),
        })
    });
    let sources = v.records.iter().map(|r| {
        json!({
            "source": r.name, "feed": r.feed,
            "refreshed": r.feed.then(|| r.refreshed.to_string()),
            "expires": r.expires.map(|t| t.to_string()),
        })
    });
    let by_zone = |counts: &[Totals]| -> Map<String, Value> {
        let all = snapshot.zones.all().iter();
        all.filter_map(|z| {
            Some((
                z.name.to_string(),
                json!(counts.get(z.slot.min(MAX_ZONES - 1))?),
            ))
        })
        .collect()
    };
    let workers: Map<String, Value> = app
        .metrics
        .by_worker()
        .into_iter()
        .map(|(n, total, zones)| (n, json!({"total": total, "zones": by_zone(&zones)})))
        .collect();
    let refused = app.ledger.health.writes_refused();
    let degraded = integrity::degraded(&app).await;
    // It waits for whoever decides something now, who may wait for the disk.
    let relay = app.relay.clone();
    let wrong = tokio::task::spawn_blocking(move || relay.problem())
        .await
        .unwrap_or_else(|e| Some(e.to_string()));
    let ledger = app.ledger.clone();
    let left = tokio::task::spawn_blocking(move || ledger.left_behind_now()).await;
    let left = left
        .map_err(|e| e.to_string())
        .and_then(|l| l.map_err(|e| e.text(&v)));
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "running": app.daemon,
        "started": app.started.to_string(),
        "now": app.ledger.now().to_string(),
        "clock": clock::shown(&app.ledger.clock.report()),
        "commit": snapshot.seq,
        "writes": if refused.is_some() { "refused" } else { "taken" },
        "problem": refused.or_else(|| degraded.into_iter().next()),
        "removals": integrity::removals(&app),
        "integrity": integrity::report(&app),
        "commits": app.ledger.health.commits.load(Relaxed),
        "changes": app.ledger.health.changes.load(Relaxed),
        "listed": {"ipv4_hosts": hosts, "ipv4_prefixes": nets, "ipv6": ip6, "domains": names},
        "zones": zones.collect::<Vec<_>>(),
        "sources": sources.collect::<Vec<_>>(),
        "feeds": (app.feeds)(),
        "exports": (app.files)(),
        "left_behind": left.map_or_else(|e| json!({"problem": e}), |l| json!(l.iter().map(super::rename::left_behind).collect::<Vec<_>>())),
        "tester": {"enabled": app.relay.settings().enabled, "wrong": wrong},
        "connections": (app.connections)().into_iter().map(|(name, s)| (name.to_string(), json!(s))).collect::<Map<_, _>>(),
        "other": app.metrics.zone(None),
        "workers": workers,
    }))
}

/// `GET /v1/mirrors`: each zone's mirrors: what they were told, asked for and have, and how far
/// behind they are.
#[utoipa::path(get, path = "/v1/mirrors", tag = "state", responses((status = 200, body = Value), Problem))]
pub(super) async fn mirrors(State(app): State<App>) -> Json<Value> {
    Json((app.mirrors)())
}

/// `GET /health/ready`: 200 while writes are taken, 503 with the reason while they are not. A body
/// that begins with `degraded` names what is wrong although writes are taken, one line for each.
#[utoipa::path(get, path = "/health/ready", security(()), tag = "state", responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = String, content_type = "text/plain")))]
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    match app.ledger.health.writes_refused() {
        None => {
            let wrong = app
                .ledger
                .clock
                .report()
                .problem()
                .into_iter()
                .chain(integrity::degraded(&app).await);
            let lines: String = wrong.map(|why| format!("degraded: {why}\n")).collect();
            (
                StatusCode::OK,
                if lines.is_empty() {
                    "ready\n".into()
                } else {
                    lines
                },
            )
        }
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// What is wrong or doubtful in the configuration as it is in its files now, as `orbsd check`
/// reports it.
#[utoipa::path(get, path = "/v1/configuration/check", tag = "state", responses((status = 200, body = Value, description = "`errors`, `warnings` and the number of `zones`"), Problem))]
pub(super) async fn check(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let check = app.check_configuration.clone();
    tokio::task::spawn_blocking(move || Json(check()))
        .await
        .map_err(Problem::failed)
}

/// 200 while the process runs.
#[utoipa::path(get, path = "/health/live", security(()), tag = "state", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// A configured reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonShape {
    name: String,
    /// `$` stands for the listed subject.
    text: String,
    /// How long a single listing lasts, in seconds, where nobody says.
    lifetime: Option<u64>,
    /// Whether a listing takes a second person.
    two_persons: bool,
}

/// The reasons of config.toml.
#[utoipa::path(get, path = "/v1/reasons", tag = "state", responses((status = 200, body = Page<ReasonShape>), Problem))]
pub(super) async fn reasons(State(app): State<App>) -> Json<Page<ReasonShape>> {
    let one = |r: &crate::ledger::ReasonSettings| ReasonShape {
        name: r.name.clone(),
        text: r.text.clone(),
        lifetime: r.lifetime.map(|l| l.0),
        two_persons: r.two_persons,
    };
    Json(Page::all(
        app.ledger.settings().reasons.iter().map(one).collect(),
    ))
}

/// A family of samples in the text format of Prometheus.
pub(super) fn family(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, f64)>,
) {
    let _ = write!(
        out,
        "# HELP orbsd_{name} {help}\n# TYPE orbsd_{name} {kind}\n"
    );
    for (labels, value) in samples {
        let _ = writeln!(out, "orbsd_{name}{labels} {value}");
    }
}

/// A label of a sample: backslash, quote and line end are escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    format!(
        "{name}=\"{}\"",
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// Everything that is counted, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "state", responses((status = 200, body = String, content_type = "text/plain"), Problem))]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let snapshot = app.ledger.published.snapshot();
    let mut out = String::new();
    let mut by_zone: Vec<(String, std::collections::BTreeMap<String, u64>)> = snapshot
        .zones
        .all()
        .iter()
        .map(|z| (z.name.to_string(), counters(app.metrics.zone(Some(z.slot)))))
        .collect();
    by_zone.push((String::new(), counters(app.metrics.zone(None))));
    for name in counters(Totals::default()).keys() {
        let samples = by_zone.iter().map(|(zone, c)| {
            (
                format!("{{{}}}", label("zone", zone)),
                c.get(name).copied().unwrap_or(0) as f64,
            )
        });
        family(
            &mut out,
            &format!("dns_{name}_total"),
            "counter",
            "DNS messages by zone; without a name, what belongs to none",
            samples,
        );
    }
    let serials = snapshot.zones.all().iter().enumerate();
    let serials = serials.map(|(i, z)| {
        (
            format!("{{{}}}", label("zone", &z.name)),
            snapshot.serials.get(i).map_or(0.0, |s| f64::from(s.0)),
        )
    });
    family(
        &mut out,
        "zone_serial",
        "gauge",
        "The serial of a zone",
        serials,
    );
    let [hosts, nets, ip6, names] = snapshot.tables.counts();
    let listed = [
        ("ipv4_hosts", hosts),
        ("ipv4_prefixes", nets),
        ("ipv6", ip6),
        ("domains", names),
    ];
    let listed = listed.map(|(k, n)| (format!("{{{}}}", label("kind", k)), n as f64));
    family(
        &mut out,
        "listed",
        "gauge",
        "Subjects of which something is said",
        listed,
    );
    let one = |n: f64| [(String::new(), n)];
    family(
        &mut out,
        "commit",
        "gauge",
        "The number of the last commit",
        one(snapshot.seq as f64),
    );
    family(
        &mut out,
        "commits_total",
        "counter",
        "Commits since the start",
        one(app.ledger.health.commits.load(Relaxed) as f64),
    );
    family(
        &mut out,
        "changes_total",
        "counter",
        "Subjects changed since the start",
        one(app.ledger.health.changes.load(Relaxed) as f64),
    );
    let well = f64::from(u8::from(app.ledger.health.writes_refused().is_none()));
    family(
        &mut out,
        "writes_taken",
        "gauge",
        "1 while writes are taken, 0 while the store or the log of removals fails",
        one(well),
    );
    for (name, help, value) in integrity::gauges(&app) {
        family(
            &mut out,
            name,
            "gauge",
            help,
            value.map(|n| (String::new(), n)),
        );
    }
    family(
        &mut out,
        "start_time_seconds",
        "gauge",
        "When the daemon started",
        one(app.started.0 as f64),
    );
    clock::metrics(&mut out, &app.ledger.clock.report());
    let v = app.ledger.store.dictionary();
    let fed = || v.records.iter().filter(|r| r.feed);
    let of = |r: &crate::store::schema::SourceRecord| format!("{{{}}}", label("source", &r.name));
    family(
        &mut out,
        "source_refreshed_seconds",
        "gauge",
        "When a source was imported last",
        fed().map(|r| (of(r), r.refreshed.0 as f64)),
    );
    let ends = fed().filter_map(|r| Some((of(r), r.expires?.0 as f64)));
    family(
        &mut out,
        "source_expires_seconds",
        "gauge",
        "When a source's listings end unless it is imported again",
        ends,
    );
    connections(&mut out, &(app.connections)());
    feeds(&mut out, &(app.feeds)());
    lag(&mut out, &(app.mirrors)());
    // These read files and may wait.
    let more = tokio::task::spawn_blocking(move || {
        let mut out = String::new();
        super::gauges::write(&mut out, &app);
        out
    });
    out += &more.await.unwrap_or_default();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        out,
    )
        .into_response()
}

/// How many connections each listener has, and how many were closed or refused for want of places.
fn connections(out: &mut String, all: &[(&'static str, crate::net::LimiterStats)]) {
    let of = |value: fn(&crate::net::LimiterStats) -> f64| {
        let samples: Vec<_> = all
            .iter()
            .map(|(name, s)| (format!("{{{}}}", label("listener", name)), value(s)))
            .collect();
        samples.into_iter()
    };
    family(
        out,
        "connections",
        "gauge",
        "Open connections of a listener, without transfers",
        of(|s| s.open as f64),
    );
    family(
        out,
        "transfers_open",
        "gauge",
        "Zone transfers that are under way",
        of(|s| s.transfers as f64),
    );
    let shed = "Connections that were closed for others";
    family(
        out,
        "connections_shed_total",
        "counter",
        shed,
        of(|s| (s.shed + s.shed_of_share) as f64),
    );
    let refused = "New connections that were closed at once because no place could be made free";
    family(
        out,
        "connections_refused_total",
        "counter",
        refused,
        of(|s| (s.refused + s.refused_of_share) as f64),
    );
}

/// Which feeds wait for a decision, and which are not refreshed.
fn feeds(out: &mut String, feeds: &Value) {
    let all: Vec<(String, bool, bool)> = feeds
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|f| {
            let held = f["held"].is_object() && f["held"]["refused"] != true;
            Some((
                format!("{{{}}}", label("feed", f["feed"].as_str()?)),
                held,
                f["problem"].is_string(),
            ))
        })
        .collect();
    let one = |set: bool| f64::from(u8::from(set));
    let held = all
        .iter()
        .map(|(labels, held, _)| (labels.clone(), one(*held)));
    family(
        out,
        "feed_held",
        "gauge",
        "1 while a feed's list is held until a person decides",
        held,
    );
    let failing = all
        .iter()
        .map(|(labels, _, failing)| (labels.clone(), one(*failing)));
    let looped = feeds
        .as_array()
        .into_iter()
        .flatten()
        .filter(|f| f["kind"] == "orbsd");
    let looped = looped.filter_map(|f| {
        Some((
            format!("{{{}}}", label("feed", f["feed"].as_str()?)),
            f["looped"].as_f64().unwrap_or(0.0),
        ))
    });
    family(
        out,
        "feed_looped_total",
        "counter",
        "Items of another server's rows that were left out, since they came through this server",
        looped,
    );
    family(
        out,
        "feed_failing",
        "gauge",
        "1 while a feed is not refreshed: its list or its server is refused",
        failing,
    );
}

/// How far mirrors are behind, and which need a forced transfer: what is known of each, as the
/// report has it.
fn lag(out: &mut String, report: &Value) {
    let (mut lags, mut forced) = (Vec::new(), Vec::new());
    for m in report["mirrors"].as_array().into_iter().flatten() {
        let (Some(zone), Some(addr)) = (m["zone"].as_str(), m["address"].as_str()) else {
            continue;
        };
        let labels = format!(
            "{{{},{},{}}}",
            label("zone", zone),
            label("mirror", addr),
            label("key", m["key"].as_str().unwrap_or(""))
        );
        lags.push((
            labels.clone(),
            m["behind"]["seconds"].as_f64().unwrap_or(0.0),
        ));
        forced.push((labels, f64::from(u8::from(m["needs_transfer"].is_object()))));
    }
    family(
        out,
        "mirror_lag_seconds",
        "gauge",
        "For how long a mirror has not had the current serial",
        lags,
    );
    family(
        out,
        "mirror_needs_transfer",
        "gauge",
        "1 while a mirror keeps its old zone because our serial was not newer for it",
        forced,
    );
}
