//! The state of the daemon, of its mirrors and of its configuration.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use axum::{Json, extract::State, http::StatusCode};

use super::{
    App,
    handler::{JsonResult, blocking},
    integrity, operator_tickets, privacy,
};
use crate::{
    api::{
        ConfigurationCheckResponse, ListedCounts, MirrorResponse, Page, ReasonResponse,
        SourceStatusResponse, StatusResponse, TesterResponse, WorkerResponse, WriteState,
        ZoneStatusResponse,
    },
    ledger::ReasonSettings,
    metrics::{MAX_ZONES, Totals},
    model::retirement::RetirementPlan,
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
    let service = app.tickets.clone();
    let tickets = tokio::task::spawn_blocking(move || operator_tickets::status(&service));
    let tickets = tickets.await.unwrap_or_default();
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
        last_backup: app
            .ledger
            .store
            .last_backup()
            .ok()
            .flatten()
            .map(Into::into),
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
        retention: privacy::retention(&app),
        tickets,
        generic_names: app.generic_names.status().into(),
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
        require_approval: r.two_persons,
    };
    Json(Page::all(
        app.ledger.settings().reasons.iter().map(response),
    ))
}
