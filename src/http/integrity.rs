//! Damage of the store and of the removal log: what was found, and the scrub that looks for it.

use std::time::Duration;

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{App, caller::Caller, error::of_ledger, input::JsonBody};
use crate::api::{
    DamageResponse, IntegrityResponse, ProblemDetails, RemovalGapResponse, RemovalLogResponse,
    ScrubProgressResponse, ScrubRequest, ScrubsResponse,
};

/// The damage, the scrubs, and how the store was opened.
pub(super) fn report(app: &App) -> IntegrityResponse {
    let store = &app.ledger.store;
    let damage = store
        .integrity
        .damage()
        .into_iter()
        .map(|d| DamageResponse {
            at: d.at.map(Into::into),
            found_by: d.found_by,
            description: d.what,
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
pub(super) fn removal_log(app: &App) -> RemovalLogResponse {
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

/// The problems that exist although queries are answered and writes accepted, one line each.
/// Finding them can wait for the disk.
pub(super) async fn degraded(app: &App) -> Vec<String> {
    let gap = app.ledger.health.removals().gap;
    let gap = gap.map(|g| format!("the removal log has lost lines ({}); make a backup", g.why));
    let damage = app
        .ledger
        .store
        .integrity
        .damage()
        .into_iter()
        .map(|d| format!("the store is damaged: {}", d.what));
    gap.into_iter()
        .chain(damage)
        .chain(lost_names(app).await)
        .collect()
}

/// Names that are no longer configured although they have listings.
async fn lost_names(app: &App) -> Vec<String> {
    let ledger = app.ledger.clone();
    let found = tokio::task::spawn_blocking(move || {
        ledger
            .left_behind_now()
            .map_err(|e| e.text(&ledger.store.dictionary()))
    })
    .await;
    match found.map_err(|e| e.to_string()).and_then(|found| found) {
        Ok(left) => left
            .iter()
            .map(|l| {
                format!("the configuration has lost a name: {l}; `orbsd reload --force` accepts it")
            })
            .collect(),
        Err(e) => vec![format!(
            "the store could not be compared with the configuration: {e}"
        )],
    }
}

/// Samples of metrics: name, help, value.
pub(super) fn gauges(app: &App) -> Vec<(&'static str, &'static str, Option<f64>)> {
    let log = app.ledger.health.removals();
    let lost = log.gap.map_or(0, |g| {
        g.missing
            .iter()
            .map(|(from, to)| to - from + 1)
            .sum::<u64>()
    });
    let (running, last) = app.ledger.store.integrity.scrubs();
    vec![
        (
            "removals_log_whole",
            "0 while the removal log is lost or damaged, and nothing is written to it",
            Some(f64::from(u8::from(log.problem.is_none()))),
        ),
        (
            "removals_log_missing_lines",
            "Lines that the removal log has lost since the last backup",
            Some(lost as f64),
        ),
        (
            "store_damage",
            "Damage of the store that was found and is not repaired",
            Some(app.ledger.store.integrity.damage().len() as f64),
        ),
        (
            "scrub_running",
            "1 while a scrub reads the store for damage",
            Some(f64::from(u8::from(running.is_some()))),
        ),
        (
            "scrub_end_time_seconds",
            "When the last complete scrub ended",
            last.map(|l| l.ended.0 as f64),
        ),
        (
            "scrub_damaged_families",
            "Column families in which the last complete scrub found damage",
            last.map(|l| l.damaged as f64),
        ),
    ]
}

/// Starts a scrub, which reads the whole store for damage. The daemon responds at once; `GET
/// /v1/status` shows the progress and the result.
#[utoipa::path(post, path = "/v1/scrubs", tag = "state", request_body = ScrubRequest,
    responses((status = 202, body = IntegrityResponse, description = "The scrub begins")))]
pub(super) async fn start_scrub(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<ScrubRequest>,
) -> Result<(StatusCode, Json<IntegrityResponse>), ProblemDetails> {
    let detail = if request.accept_missing_commits {
        "missing commits accepted"
    } else {
        ""
    };
    app.ledger
        .note(caller.audit_record("scrub", "the store", detail, None))
        .await
        .map_err(of_ledger(&app.ledger))?;
    if request.accept_missing_commits {
        app.ledger.store.integrity.accept_missing_commits();
    }
    match app.daemon {
        true => app.ledger.store.integrity.want_scrub(),
        // A command waits for the result.
        false => {
            let ledger = app.ledger.clone();
            tokio::task::spawn_blocking(move || {
                ledger
                    .store
                    .scrub(&|| ledger.now(), &mut |_: Duration| true)
            })
            .await
            .map_err(ProblemDetails::failed)??;
        }
    }
    Ok((StatusCode::ACCEPTED, Json(report(&app))))
}
