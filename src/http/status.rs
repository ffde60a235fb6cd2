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
    exposition::{family, label},
    integrity,
};
use crate::{
    api::{
        ConfigurationCheckResponse, FeedKind, FeedResponse, ListedCounts, MirrorResponse, Page,
        ProblemDetails, ReasonResponse, SourceStatusResponse, StatusResponse, TesterResponse,
        WorkerResponse, WriteState, ZoneStatusResponse,
    },
    metrics::{MAX_ZONES, Totals},
    model::retirement::RetirementPlan,
};

/// Returns the state of the daemon: version, store, zones with their counters, sources.
#[utoipa::path(get, path = "/v1/status", tag = "state",
    responses((status = 200, body = StatusResponse, description = "The state")))]
pub(super) async fn get_status(State(app): State<App>) -> Json<StatusResponse> {
    let degraded = integrity::degraded(&app).await;
    // The relay service waits until a decision that is under way is written.
    let relay = app.relay.clone();
    let tester_problem = tokio::task::spawn_blocking(move || relay.problem())
        .await
        .unwrap_or_else(|e| Some(e.to_string()));
    let ledger = app.ledger.clone();
    let left = tokio::task::spawn_blocking(move || ledger.left_behind_now()).await;
    let dictionary = app.ledger.store.dictionary();
    let left = left
        .map_err(|e| e.to_string())
        .and_then(|l| l.map_err(|e| e.text(&dictionary)));
    let (unconfigured, unconfigured_problem) = match left {
        Ok(left) => (left.iter().map(Into::into).collect(), None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
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
pub(super) async fn list_mirrors(State(app): State<App>) -> Json<Page<MirrorResponse>> {
    Json(Page::all((app.mirrors)()))
}

/// Reports whether writes are accepted: 200 while they are, 503 with the cause while they are not.
///
/// A body that begins with `degraded` names the problems that exist although writes are accepted,
/// one on each line.
#[utoipa::path(get, path = "/health/ready", tag = "state",
    responses((status = 200, body = String, content_type = "text/plain", description = "Writes are accepted"),
        (status = 503, body = String, content_type = "text/plain", description = "Writes are refused")))]
pub(super) async fn get_readiness(State(app): State<App>) -> (StatusCode, String) {
    match app.ledger.health.writes_refused() {
        None => {
            let problems = app
                .ledger
                .clock
                .report()
                .problem()
                .into_iter()
                .chain(integrity::degraded(&app).await);
            let lines: String = problems.map(|why| format!("degraded: {why}\n")).collect();
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

/// Checks the configuration files as they are now, as `orbsd check` does.
#[utoipa::path(get, path = "/v1/configuration/check", tag = "state",
    responses((status = 200, body = ConfigurationCheckResponse, description = "Errors and warnings")))]
pub(super) async fn check_configuration(
    State(app): State<App>,
) -> Result<Json<ConfigurationCheckResponse>, ProblemDetails> {
    let check = app.check_configuration.clone();
    tokio::task::spawn_blocking(move || Json(check()))
        .await
        .map_err(ProblemDetails::failed)
}

/// Reports that the process runs.
#[utoipa::path(get, path = "/health/live", tag = "state",
    responses((status = 200, body = String, content_type = "text/plain", description = "The process runs")))]
pub(super) async fn get_liveness() -> &'static str {
    "alive\n"
}

/// Lists the configured reasons.
#[utoipa::path(get, path = "/v1/reasons", tag = "state",
    responses((status = 200, body = Page<ReasonResponse>, description = "All reasons")))]
pub(super) async fn list_reasons(State(app): State<App>) -> Json<Page<ReasonResponse>> {
    let one = |r: &crate::ledger::ReasonSettings| ReasonResponse {
        name: r.name.clone(),
        text: r.text.clone(),
        lifetime: r.lifetime.map(|l| l.0),
        requires_approval: r.two_persons,
    };
    Json(Page::all(
        app.ledger.settings().reasons.iter().map(one).collect(),
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
pub(super) async fn get_metrics(State(app): State<App>) -> Response {
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
            "DNS messages by zone; the label is empty for those outside of all zones",
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
        "Subjects with listings, exclusions or exemptions, by kind",
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
    let accepted = f64::from(u8::from(app.ledger.health.writes_refused().is_none()));
    family(
        &mut out,
        "writes_taken",
        "gauge",
        "1 while writes are accepted, 0 while the store or the removal log fails",
        one(accepted),
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
    let dictionary = app.ledger.store.dictionary();
    let fed = || dictionary.records.iter().filter(|r| r.feed);
    let of = |r: &crate::store::schema::SourceRecord| format!("{{{}}}", label("source", &r.name));
    family(
        &mut out,
        "source_refreshed_seconds",
        "gauge",
        "When a source was last imported",
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

/// How many connections each listener has, and how many were closed or refused because all slots
/// were used.
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
    let shed = "Connections that were closed to make room for others";
    family(
        out,
        "connections_shed_total",
        "counter",
        shed,
        of(|s| (s.shed + s.shed_of_share) as f64),
    );
    let refused = "New connections that were closed at once because no slot could be freed";
    family(
        out,
        "connections_refused_total",
        "counter",
        refused,
        of(|s| (s.refused + s.refused_of_share) as f64),
    );
}

/// Which feeds wait for a decision, and which are not refreshed.
fn feeds(out: &mut String, feeds: &[FeedResponse]) {
    let labels = |f: &FeedResponse| format!("{{{}}}", label("feed", &f.feed));
    let set = |set: bool| f64::from(u8::from(set));
    let held = |f: &FeedResponse| f.held.as_ref().is_some_and(|h| !h.refused);
    family(
        out,
        "feed_held",
        "gauge",
        "1 while a feed's list is held until a person decides",
        feeds.iter().map(|f| (labels(f), set(held(f)))),
    );
    let looped = feeds.iter().filter(|f| f.kind == FeedKind::Orbsd);
    family(
        out,
        "feed_looped_total",
        "counter",
        "Rows of another orbsd that were left out because they had passed through this server",
        looped.map(|f| (labels(f), f.looped as f64)),
    );
    family(
        out,
        "feed_failing",
        "gauge",
        "1 while a feed is not refreshed because its list is refused or its server fails",
        feeds.iter().map(|f| (labels(f), set(f.problem.is_some()))),
    );
}

/// How far mirrors are behind, and which need a forced transfer.
fn lag(out: &mut String, mirrors: &[MirrorResponse]) {
    let labels = |m: &MirrorResponse| {
        format!(
            "{{{},{},{}}}",
            label("zone", &m.zone),
            label("mirror", &m.address),
            label("key", m.key.as_deref().unwrap_or(""))
        )
    };
    let seconds = |m: &MirrorResponse| m.behind.map_or(0.0, |b| b.seconds as f64);
    family(
        out,
        "mirror_lag_seconds",
        "gauge",
        "For how long a mirror has not had the current serial",
        mirrors.iter().map(|m| (labels(m), seconds(m))),
    );
    let forced = |m: &MirrorResponse| f64::from(u8::from(m.needs_transfer.is_some()));
    family(
        out,
        "mirror_needs_transfer",
        "gauge",
        "1 while a mirror keeps its old zone because our serial was not newer for it",
        mirrors.iter().map(|m| (labels(m), forced(m))),
    );
}
