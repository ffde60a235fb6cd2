//! Damage of the store and of the log of removals: what was found, and the scrub that looks for it.

use std::time::Duration;

use axum::{Extension, Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{App, access::Caller, error::Problem, input::Body};
use crate::store::ScrubReport;

/// The damage, the scrubs, and how the store was opened, for `GET /v1/status`.
pub(super) fn report(app: &App) -> Value {
    let store = &app.ledger.store;
    let damage: Vec<Value> = store
        .damage()
        .iter()
        .map(|d| json!({"at": d.at.map(|t| t.to_string()), "found_by": d.found_by.as_str(), "what": d.what}))
        .collect();
    let (running, last) = store.scrubs();
    json!({
        "damage": damage,
        "cut_at_start": store.cut(),
        "scrub": {
            "running": running.map(|p| json!({
                "started": p.started.to_string(), "families_read": p.families.0, "families": p.families.1, "bytes": p.bytes,
            })),
            "last": last.map(|r| shown(&r)),
        },
    })
}

fn shown(r: &ScrubReport) -> Value {
    json!({
        "started": r.started.to_string(), "ended": r.ended.to_string(), "rows": r.rows, "bytes": r.bytes, "damaged_families": r.damaged,
    })
}

/// The log of removals, for `GET /v1/status`: where it is, up to which line the store knows it, and
/// what is wrong with it or missing in it.
pub(super) fn removals(app: &App) -> Value {
    let health = app.ledger.health.removals();
    let gap = health.gap.map(
        |g| json!({"line": g.line, "at": g.at.to_string(), "missing": g.missing, "why": g.why}),
    );
    json!({
        "path": app.ledger.settings().removals,
        "line": app.ledger.store.removals().ok(),
        "problem": health.problem,
        "gap": gap,
    })
}

/// What is wrong although everything is served and writes are taken: one line for each. It may wait
/// for the disk.
pub(super) async fn degraded(app: &App) -> Vec<String> {
    let gap = app.ledger.health.removals().gap;
    let gap = gap.map(|g| {
        format!(
            "the log of removals has lost lines ({}); make a backup",
            g.why
        )
    });
    let damage = app
        .ledger
        .store
        .damage()
        .into_iter()
        .map(|d| format!("the store is damaged: {}", d.what));
    gap.into_iter()
        .chain(damage)
        .chain(lost_names(app).await)
        .collect()
}

/// Names that the configuration has lost while they have listings.
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
    let (running, last) = app.ledger.store.scrubs();
    vec![
        (
            "removals_log_whole",
            "0 while the log of removals is lost or damaged, and nothing is written to it",
            Some(f64::from(u8::from(log.problem.is_none()))),
        ),
        (
            "removals_log_missing_lines",
            "Lines that the log of removals has lost since the last backup",
            Some(lost as f64),
        ),
        (
            "store_damage",
            "Findings of damage in the store that are not mended",
            Some(app.ledger.store.damage().len() as f64),
        ),
        (
            "scrub_running",
            "1 while the store is read for damage",
            Some(f64::from(u8::from(running.is_some()))),
        ),
        (
            "scrub_end_time_seconds",
            "When the store was last read for damage to its end",
            last.map(|l| l.ended.0 as f64),
        ),
        (
            "scrub_damaged_families",
            "Column families in which that found damage",
            last.map(|l| l.damaged as f64),
        ),
    ]
}

/// How a scrub is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScrub {
    /// Forget that acknowledged commits are missing, after their changes were made again.
    accept_missing_commits: bool,
}

/// Reads the whole store for damage now. A daemon begins at once and answers before it ends;
/// `/v1/status` shows the progress and the end.
#[utoipa::path(post, path = "/v1/scrubs", tag = "state", request_body = NewScrub, responses((status = 202, body = Value), Problem))]
pub(super) async fn scrub(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<NewScrub>,
) -> Result<(axum::http::StatusCode, Json<Value>), Problem> {
    let detail = if asked.accept_missing_commits {
        "missing commits accepted"
    } else {
        ""
    };
    app.ledger
        .note(caller.line("scrub", "the store", detail, None))
        .await
        .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
    if asked.accept_missing_commits {
        app.ledger.store.accept_missing_commits();
    }
    match app.daemon {
        true => app.ledger.store.want_scrub(),
        // Nobody waits for the disk here.
        false => {
            let ledger = app.ledger.clone();
            tokio::task::spawn_blocking(move || {
                ledger
                    .store
                    .scrub(&|| ledger.now(), &mut |_: Duration| true)
            })
            .await
            .map_err(Problem::failed)??;
        }
    }
    Ok((axum::http::StatusCode::ACCEPTED, Json(report(&app))))
}
