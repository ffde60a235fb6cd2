//! Trusted time, and the word of an operator that the wall clock is right.

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{App, Problem, access::Caller, status::family};
use crate::clock::{ClockReport, ClockState};

/// What accepting the wall clock did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClockAccepted {
    /// Trusted time before.
    before: String,
    /// Trusted time from now on: what the wall clock says.
    now: String,
    /// By how many seconds it has moved.
    moved_seconds: i64,
}

/// Adopts the wall clock as trusted time.
///
/// What is due by then ends within a second: listings and sources first, exemptions and holds after
/// them.
#[utoipa::path(post, path = "/v1/clock/accept", tag = "state", responses((status = 200, body = ClockAccepted), Problem))]
pub(super) async fn accept(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ClockAccepted>, Problem> {
    let found = app.ledger.clock.report();
    let detail = format!("from {} to {}", found.trusted, found.wall);
    let line = caller.line("clock.accept", "clock", detail, None);
    app.ledger
        .note(line)
        .await
        .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
    let clock = app.ledger.clock.clone();
    let (before, now) = tokio::task::spawn_blocking(move || clock.accept())
        .await
        .map_err(Problem::failed)?;
    // Where no daemon runs nobody else would look at it before the next start.
    app.ledger.tick().await;
    let moved_seconds = now.0 as i64 - before.0 as i64;
    Ok(Json(ClockAccepted {
        before: before.to_string(),
        now: now.to_string(),
        moved_seconds,
    }))
}

/// The clock in `GET /v1/status`.
pub(super) fn shown(report: &ClockReport) -> Value {
    json!({
        "state": report.state,
        "problem": report.problem(),
        "trusted": report.trusted.to_string(),
        "wall": report.wall.to_string(),
        "offset_seconds": report.offset_seconds,
        "since": report.since.map(|t| t.to_string()),
        "synchronised": report.synchronised,
        "steady_seconds": report.steady_seconds,
    })
}

/// The clock for Prometheus.
pub(super) fn metrics(out: &mut String, report: &ClockReport) {
    let one = |n: f64| [(String::new(), n)];
    let is = |state| one(f64::from(u8::from(report.state == state)));
    family(
        out,
        "clock_differs",
        "gauge",
        "1 while the wall clock differs from trusted time by more than 5 s",
        is(ClockState::Differs),
    );
    let help = "1 while trusted time goes on from the last record, because the wall clock was not plausible at the start";
    family(
        out,
        "clock_unconfirmed",
        "gauge",
        help,
        is(ClockState::Unconfirmed),
    );
    family(
        out,
        "clock_offset_seconds",
        "gauge",
        "By how much the wall clock is ahead of trusted time",
        one(report.offset_seconds as f64),
    );
    let synchronised = one(f64::from(u8::from(report.synchronised)));
    family(
        out,
        "clock_synchronised",
        "gauge",
        "1 while the kernel says that the wall clock is synchronised",
        synchronised,
    );
}
