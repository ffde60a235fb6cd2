//! Damage of the store and of the removal log: what was found, and the scrub that looks for it.

use std::time::Duration;

use axum::{Json, http::StatusCode};

use super::{
    App,
    exposition::Exposition,
    handler::{Call, StatusResult, blocking},
    input::JsonBody,
};
use crate::{
    api::{
        DamageResponse, IntegrityResponse, RemovalGapResponse, RemovalLogResponse,
        ScrubProgressResponse, ScrubRequest, ScrubsResponse,
    },
    ledger::LeftBehind,
    metrics::families,
};

/// The damage, the scrubs, and how the store was opened.
pub fn report(app: &App) -> IntegrityResponse {
    let store = &app.ledger.store;
    let damage = store
        .integrity
        .damage()
        .into_iter()
        .map(|d| DamageResponse {
            at: d.at.map(Into::into),
            found_by: d.found_by,
            description: d.description,
        });
    let (running, last) = store.integrity.scrubs();
    IntegrityResponse {
        damage: damage.collect(),
        cut_at_start: store.log_truncation(),
        scrub: ScrubsResponse {
            running: running.map(|p| ScrubProgressResponse {
                started: p.started.into(),
                families_read: p.families.0,
                families: p.families.1,
                bytes: p.bytes,
            }),
            last: last.map(Into::into),
        },
    }
}

/// The state of the removal log.
pub fn removal_log(app: &App) -> RemovalLogResponse {
    let health = app.ledger.health.removals();
    RemovalLogResponse {
        path: app.ledger.settings().removals.clone(),
        line: app.ledger.store.removals().ok(),
        problem: health.problem,
        gap: health.gap.map(|g| RemovalGapResponse {
            line: g.line,
            at: g.at.into(),
            missing: g.missing,
            cause: g.why,
        }),
    }
}

/// The names that are no longer configured although they have listings, or why they are not known.
pub async fn left_behind(app: &App) -> Result<Vec<LeftBehind>, String> {
    let ledger = app.ledger.clone();
    let found = tokio::task::spawn_blocking(move || {
        let found = ledger.left_behind_now();
        found.map_err(|e| e.text(&ledger.store.dictionary()))
    });
    found.await.map_err(|e| e.to_string()).flatten()
}

/// The problems that exist although queries are answered and writes accepted, one line each.
pub fn degraded(app: &App, left_behind: &Result<Vec<LeftBehind>, String>) -> Vec<String> {
    let gap = app.ledger.health.removals().gap;
    let mut out = Vec::from_iter(
        gap.map(|g| format!("the removal log has lost lines ({}); make a backup", g.why)),
    );
    let damage = app.ledger.store.integrity.damage().into_iter();
    out.extend(damage.map(|d| format!("the store is damaged: {}", d.description)));
    match left_behind {
        Ok(left) => out.extend(left.iter().map(|l| {
            format!("the configuration has lost a name: {l}; `orbsd reload --force` accepts it")
        })),
        Err(e) => out.push(format!(
            "the store could not be compared with the configuration: {e}"
        )),
    }
    out
}

/// Writes the metrics about damage, and the time of the last backup.
pub fn write_metrics(out: &mut Exposition, app: &App) {
    let log = app.ledger.health.removals();
    let gap = log.gap.map_or(Vec::new(), |g| g.missing);
    let lost: u64 = gap.iter().map(|(from, to)| to - from + 1).sum();
    let (running, last) = app.ledger.store.integrity.scrubs();
    // A store that cannot be read has metrics of its own.
    if let Ok(last) = app.ledger.store.last_backup() {
        let at = last.map_or(0, |l| l.at.0);
        out.gauge(&families::BACKUP_TIME_SECONDS, at as f64);
    }
    out.gauge(
        &families::REMOVALS_LOG_WHOLE,
        f64::from(log.problem.is_none()),
    );
    out.gauge(&families::REMOVALS_LOG_MISSING_LINES, lost as f64);
    out.gauge(
        &families::STORE_DAMAGE,
        app.ledger.store.integrity.damage().len() as f64,
    );
    out.gauge(&families::SCRUB_RUNNING, f64::from(running.is_some()));
    out.gauge(
        &families::SCRUB_END_TIME_SECONDS,
        last.as_ref().map(|l| l.ended.0 as f64),
    );
    out.gauge(
        &families::SCRUB_DAMAGED_FAMILIES,
        last.map(|l| l.damaged as f64),
    );
}

/// Starts a scrub, which reads the whole store for damage. The daemon responds at once; `GET
/// /v1/status` shows the progress and the result.
#[utoipa::path(post, path = "/v1/scrubs", tag = "state", request_body = ScrubRequest,
    responses((status = 202, body = IntegrityResponse, description = "The scrub begins")))]
pub async fn start_scrub(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<ScrubRequest>,
) -> StatusResult<IntegrityResponse> {
    let detail = if request.accept_missing_commits {
        "missing commits accepted"
    } else {
        ""
    };
    app.note(caller.audit_record("scrub", "the store", detail, None))
        .await?;
    if request.accept_missing_commits {
        app.ledger.store.integrity.accept_missing_commits();
    }
    if app.daemon {
        app.ledger.store.integrity.want_scrub();
    } else {
        // A command waits for the result.
        let ledger = app.ledger.clone();
        let now = move || ledger.now();
        let store = app.ledger.store.clone();
        blocking(move || Ok(store.scrub(&now, &mut |_: Duration| true)?)).await?;
    }
    Ok((StatusCode::ACCEPTED, Json(report(&app))))
}
