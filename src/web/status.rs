//! How the daemon is.

use std::sync::atomic::Ordering::Relaxed;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Map, Value, json};

use super::{App, error::Problem};
use crate::{
    ledger::now,
    metrics::{MAX_ZONES, Totals},
    model::retire::Plan,
};

/// `GET /v1/status`: version, store, zones with their counters, sources.
pub(super) async fn status(State(app): State<App>) -> Json<Value> {
    let snapshot = app.ledger.published.snapshot();
    let v = app.ledger.store.vocabulary();
    let [hosts, nets, ip6, names] = snapshot.tables.counts();
    let zones = snapshot.zones.all().iter().enumerate().map(|(i, z)| {
        json!({
            "zone": z.name, "kind": z.spec.kind, "serial": snapshot.serials.get(i),
            "counters": app.metrics.zone(Some(z.slot)),
            "retire": z.spec.retire.as_ref().map(|r| Plan::new(&z.spec, r, now())),
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
        all.filter_map(|z| Some((z.name.to_string(), json!(counts.get(z.slot.min(MAX_ZONES - 1))?)))).collect()
    };
    let workers: Map<String, Value> =
        app.metrics.by_worker().into_iter().map(|(n, total, zones)| (n, json!({"total": total, "zones": by_zone(&zones)}))).collect();
    let poisoned = app.ledger.health.poisoned();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "running": app.daemon,
        "started": app.started.to_string(),
        "now": now().to_string(),
        "commit": snapshot.seq,
        "writes": if poisoned.is_some() { "refused" } else { "taken" },
        "problem": poisoned,
        "commits": app.ledger.health.commits.load(Relaxed),
        "changes": app.ledger.health.changes.load(Relaxed),
        "listed": {"ipv4_hosts": hosts, "ipv4_prefixes": nets, "ipv6": ip6, "domains": names},
        "zones": zones.collect::<Vec<_>>(),
        "sources": sources.collect::<Vec<_>>(),
        "feeds": (app.feeds)(),
        "exports": (app.files)(),
        "other": app.metrics.zone(None),
        "workers": workers,
    }))
}

/// `GET /v1/mirrors`: each zone's mirrors: what they were told, asked for and have, and how far behind they are.
pub(super) async fn mirrors(State(app): State<App>) -> Json<Value> {
    Json((app.mirrors)())
}

/// `GET /health/ready`: 200 while writes are taken, 503 with the reason while they are not.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    match app.ledger.health.poisoned() {
        None => (StatusCode::OK, "ready\n".into()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// `POST /v1/reload`: reads the configuration again; a broken one is refused and the old one stays.
pub(super) async fn reload(State(app): State<App>) -> Result<Json<Value>, Problem> {
    if !app.daemon {
        return Err(Problem::refused("no daemon runs; the next start reads the configuration anyway"));
    }
    let reload = app.reload.clone();
    let done = tokio::task::spawn_blocking(move || reload()).await;
    let warnings = done.map_err(|e| Problem::invalid(e.to_string()))?.map_err(Problem::invalid)?;
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot.zones.all().iter().enumerate().map(|(i, z)| json!({"zone": z.name, "serial": snapshot.serials.get(i)}));
    Ok(Json(json!({"zones": zones.collect::<Vec<_>>(), "warnings": warnings})))
}
