//! The state of the daemon: for people, for monitoring, and for Prometheus.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    App, clock,
    exposition::{Exposition, labels},
    gauges,
    handler::{JsonResult, blocking},
    integrity,
};
use crate::{
    api::{
        ConfigurationCheckResponse, FeedKind, FeedResponse, ListedCounts, MirrorResponse, Page,
        ReasonResponse, SourceStatusResponse, StatusResponse, TesterResponse, WorkerResponse,
        WriteState, ZoneStatusResponse,
    },
    ledger::ReasonSettings,
    metrics::{MAX_ZONES, Totals},
    model::{Time, retirement::RetirementPlan},
    net::LimiterStats,
    store::schema::SourceRecord,
};

/// Returns the state of the daemon: version, store, zones with their counters, sources.
#[utoipa::path(get, path = "/v1/status", tag = "state",
    responses((status = 200, body = StatusResponse, description = "The state")))]
pub async fn get_status(State(app): State<App>) -> Json<StatusResponse> {
    let left_behind = integrity::left_behind(&app).await;
    let degraded = integrity::degraded(&app, &left_behind);
    // The relay service waits until a decision that is under way is written.
    let relay = app.relay.clone();
    let tester_problem = tokio::task::spawn_blocking(move || relay.problem())
        .await
        .unwrap_or_else(|e| Some(e.to_string()));
    let (unconfigured, unconfigured_problem) = match left_behind {
        Ok(left) => (left.iter().map(Into::into).collect(), None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let dictionary = app.ledger.store.dictionary();
    let snapshot = app.ledger.published.snapshot();
    let [hosts, nets, ip6, names] = snapshot.tables.counts().map(|n| n as u64);
    let zones = snapshot.zones.all().iter().enumerate();
    let zones = zones.map(|(i, z)| ZoneStatusResponse {
        zone: z.name.to_string(),
        file: z.spec.short_name.clone(),
        kind: z.spec.kind,
        serial: snapshot.serials.get(i).map_or(0, |s| s.0),
        counters: app.metrics.zone(Some(z.slot)),
        retire: z
            .spec
            .retire
            .as_ref()
            .map(|r| RetirementPlan::new(&z.spec, r, app.ledger.now()).into()),
    });
    let sources = dictionary.records.iter().map(|r| SourceStatusResponse {
        source: r.name.clone(),
        feed: r.feed,
        refreshed: r.feed.then(|| r.refreshed.into()),
        expires: r.expires.map(Into::into),
    });
    let by_zone = |counts: &[Totals]| -> BTreeMap<String, Totals> {
        let all = snapshot.zones.all().iter();
        all.filter_map(|z| {
            let totals = counts.get(z.slot.min(MAX_ZONES - 1))?;
            Some((z.name.to_string(), *totals))
        })
        .collect()
    };
    let workers = app
        .metrics
        .by_worker()
        .into_iter()
        .map(|(n, total, zones)| {
            let zones = by_zone(&zones);
            (n, WorkerResponse { total, zones })
        });
    let refused = app.ledger.health.writes_refused();
    let connections = (app.connections)().into_iter();
    Json(StatusResponse {
        version: env!("CARGO_PKG_VERSION").into(),
        running: app.daemon,
        started: app.started.into(),
        now: app.ledger.now().into(),
        clock: (&app.ledger.clock.report()).into(),
        commit: snapshot.seq,
        writes: match refused {
            Some(_) => WriteState::Refused,
            None => WriteState::Accepted,
        },
        problem: refused.or_else(|| degraded.into_iter().next()),
        removal_log: integrity::removal_log(&app),
        integrity: integrity::report(&app),
        commits: app.ledger.health.commits.load(Relaxed),
        changes: app.ledger.health.changes.load(Relaxed),
        listed: ListedCounts {
            ipv4_hosts: hosts,
            ipv4_prefixes: nets,
            ipv6: ip6,
            domains: names,
        },
        zones: zones.collect(),
        sources: sources.collect(),
        feeds: (app.feeds)(),
        exports: (app.files)(),
        unconfigured,
        unconfigured_problem,
        tester: TesterResponse {
            enabled: app.relay.settings().enabled,
            problem: tester_problem,
        },
        connections: connections
            .map(|(n, s)| (n.to_string(), s.into()))
            .collect(),
        no_zone: app.metrics.zone(None),
        workers: workers.collect(),
    })
}

/// Lists the mirrors of all zones, with the last NOTIFY, request and transfer of each, and how far
/// it is behind.
#[utoipa::path(get, path = "/v1/mirrors", tag = "state",
    responses((status = 200, body = Page<MirrorResponse>, description = "All mirrors")))]
pub async fn list_mirrors(State(app): State<App>) -> Json<Page<MirrorResponse>> {
    Json(Page::all((app.mirrors)()))
}

/// Reports whether writes are accepted: 200 while they are, 503 with the cause while they are not.
///
/// A body that begins with `degraded` names the problems that exist although writes are accepted,
/// one on each line.
#[utoipa::path(get, path = "/health/ready", tag = "state",
    responses((status = 200, body = String, content_type = "text/plain", description = "Writes are accepted"),
        (status = 503, body = String, content_type = "text/plain", description = "Writes are refused")))]
pub async fn get_readiness(State(app): State<App>) -> (StatusCode, String) {
    if let Some(why) = app.ledger.health.writes_refused() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    }
    let clock = app.ledger.clock.report().problem();
    let degraded = integrity::degraded(&app, &integrity::left_behind(&app).await);
    let problems = clock.into_iter().chain(degraded);
    let lines: String = problems.map(|why| format!("degraded: {why}\n")).collect();
    let ready = lines.is_empty().then(|| "ready\n".into());
    (StatusCode::OK, ready.unwrap_or(lines))
}

/// Checks the configuration files as they are now, as `orbsd check` does.
#[utoipa::path(get, path = "/v1/configuration/check", tag = "state",
    responses((status = 200, body = ConfigurationCheckResponse, description = "Errors and warnings")))]
pub async fn check_configuration(State(app): State<App>) -> JsonResult<ConfigurationCheckResponse> {
    let check = app.check_configuration.clone();
    blocking(move || Ok(Json(check()))).await
}

/// Reports that the process runs.
#[utoipa::path(get, path = "/health/live", tag = "state",
    responses((status = 200, body = String, content_type = "text/plain", description = "The process runs")))]
pub async fn get_liveness() -> &'static str {
    "alive\n"
}

/// Lists the configured reasons.
#[utoipa::path(get, path = "/v1/reasons", tag = "state",
    responses((status = 200, body = Page<ReasonResponse>, description = "All reasons")))]
pub async fn list_reasons(State(app): State<App>) -> Json<Page<ReasonResponse>> {
    let response = |r: &ReasonSettings| ReasonResponse {
        name: r.name.clone(),
        text: r.text.clone(),
        lifetime: r.lifetime.map(|l| l.0),
        requires_approval: r.two_persons,
    };
    Json(Page::all(
        app.ledger.settings().reasons.iter().map(response),
    ))
}

/// Counters by name.
fn counters(t: Totals) -> BTreeMap<String, u64> {
    serde_json::to_value(t)
        .ok()
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
}

/// Returns all metrics in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "state",
    responses((status = 200, body = String, content_type = "text/plain", description = "All metrics")))]
pub async fn get_metrics(State(app): State<App>) -> Response {
    let mut out = Exposition::default();
    write_zones(&mut out, &app);
    write_writer(&mut out, &app);
    integrity::write_metrics(&mut out, &app);
    out.gauge(
        "start_time_seconds",
        "When the daemon started",
        app.started.0 as f64,
    );
    clock::write_metrics(&mut out, &app.ledger.clock.report());
    write_sources(&mut out, &app);
    write_connections(&mut out, &(app.connections)());
    write_feeds(&mut out, &(app.feeds)());
    write_mirrors(&mut out, &(app.mirrors)());
    // These read files and may wait.
    let more = tokio::task::spawn_blocking(move || {
        let mut out = Exposition::default();
        gauges::write(&mut out, &app);
        out
    });
    let text = out.0 + &more.await.unwrap_or_default().0;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Writes the queries and the serial of each zone, and the number of listed subjects.
fn write_zones(out: &mut Exposition, app: &App) {
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot.zones.all();
    let zone = |name: &str| labels([("zone", name)]);
    let mut by_zone: Vec<_> = zones
        .iter()
        .map(|z| (zone(&z.name), counters(app.metrics.zone(Some(z.slot)))))
        .collect();
    by_zone.push((zone(""), counters(app.metrics.zone(None))));
    for name in counters(Totals::default()).keys() {
        let count = |c: &BTreeMap<String, u64>| c.get(name).copied().unwrap_or(0) as f64;
        out.counters(
            &format!("dns_{name}_total"),
            "DNS messages by zone; the label is empty for those outside of all zones",
            by_zone.iter().map(|(zone, c)| (zone.clone(), count(c))),
        );
    }
    let serial = |i: usize| snapshot.serials.get(i).map_or(0.0, |s| f64::from(s.0));
    out.gauges(
        "zone_serial",
        "The serial of a zone",
        zones
            .iter()
            .enumerate()
            .map(|(i, z)| (zone(&z.name), serial(i))),
    );
    let kinds = ["ipv4_hosts", "ipv4_prefixes", "ipv6", "domains"];
    let listed = kinds.into_iter().zip(snapshot.tables.counts());
    out.gauges(
        "listed",
        "Subjects with listings, exclusions or exemptions, by kind",
        listed.map(|(kind, n)| (labels([("kind", kind)]), n as f64)),
    );
    out.gauge(
        "commit",
        "The number of the last commit",
        snapshot.seq as f64,
    );
}

/// Writes what the writer has done, and whether it accepts writes.
fn write_writer(out: &mut Exposition, app: &App) {
    let health = &app.ledger.health;
    out.counter(
        "commits_total",
        "Commits since the start",
        health.commits.load(Relaxed),
    );
    out.counter(
        "changes_total",
        "Subjects changed since the start",
        health.changes.load(Relaxed),
    );
    out.gauge(
        "writes_taken",
        "1 while writes are accepted, 0 while the store or the removal log fails",
        f64::from(health.writes_refused().is_none()),
    );
}

/// Writes when each source was imported, and when its listings end.
fn write_sources(out: &mut Exposition, app: &App) {
    let dictionary = app.ledger.store.dictionary();
    let feeds = || dictionary.records.iter().filter(|r| r.feed);
    let sample = |r: &SourceRecord, at: Time| (labels([("source", &r.name)]), at.0 as f64);
    out.gauges(
        "source_refreshed_seconds",
        "When a source was last imported",
        feeds().map(|r| sample(r, r.refreshed)),
    );
    out.gauges(
        "source_expires_seconds",
        "When a source's listings end unless it is imported again",
        feeds().filter_map(|r| Some(sample(r, r.expires?))),
    );
}

/// Writes how many connections each listener has, and how many were closed or refused because all
/// slots were used.
fn write_connections(out: &mut Exposition, all: &[(&'static str, LimiterStats)]) {
    let samples = |value: fn(&LimiterStats) -> u64| {
        let sample = move |(name, s): &(&str, _)| (labels([("listener", name)]), value(s) as f64);
        all.iter().map(sample)
    };
    out.gauges(
        "connections",
        "Open connections of a listener, without transfers",
        samples(|s| s.open as u64),
    );
    out.gauges(
        "transfers_open",
        "Zone transfers that are under way",
        samples(|s| s.transfers as u64),
    );
    out.counters(
        "connections_shed_total",
        "Connections that were closed to make room for others",
        samples(|s| s.shed + s.shed_of_share),
    );
    out.counters(
        "connections_refused_total",
        "New connections that were closed at once because no slot could be freed",
        samples(|s| s.refused + s.refused_of_share),
    );
}

/// Writes which feeds wait for a decision, and which are not refreshed.
fn write_feeds(out: &mut Exposition, feeds: &[FeedResponse]) {
    let sample = |f: &FeedResponse, value: f64| (labels([("feed", &f.feed)]), value);
    let held = |f: &FeedResponse| f.held.as_ref().is_some_and(|h| !h.refused);
    out.gauges(
        "feed_held",
        "1 while a feed's list is held until a person decides",
        feeds.iter().map(|f| sample(f, f64::from(held(f)))),
    );
    let of_orbsd = feeds.iter().filter(|f| f.kind == FeedKind::Orbsd);
    out.counters(
        "feed_looped_total",
        "Rows of another orbsd that were left out because they had passed through this server",
        of_orbsd.map(|f| sample(f, f.looped as f64)),
    );
    out.gauges(
        "feed_failing",
        "1 while a feed is not refreshed because its list is refused or its server fails",
        feeds
            .iter()
            .map(|f| sample(f, f64::from(f.problem.is_some()))),
    );
}

/// Writes how far mirrors are behind, and which need a forced transfer.
fn write_mirrors(out: &mut Exposition, mirrors: &[MirrorResponse]) {
    let sample = |m: &MirrorResponse, value: f64| {
        let key = m.key.as_deref().unwrap_or("");
        let labels = labels([("zone", &m.zone), ("mirror", &m.address), ("key", key)]);
        (labels, value)
    };
    let lag = |m: &MirrorResponse| m.behind.map_or(0.0, |b| b.seconds as f64);
    out.gauges(
        "mirror_lag_seconds",
        "For how long a mirror has not had the current serial",
        mirrors.iter().map(|m| sample(m, lag(m))),
    );
    let forced = |m: &MirrorResponse| f64::from(m.needs_transfer.is_some());
    out.gauges(
        "mirror_needs_transfer",
        "1 while a mirror keeps its old zone because our serial was not newer for it",
        mirrors.iter().map(|m| sample(m, forced(m))),
    );
}
