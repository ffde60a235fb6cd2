//! Trusted time, and accepting the wall clock.

use axum::{Extension, Json, extract::State};

use super::{App, caller::Caller, error::of_ledger, exposition::family};
use crate::{
    api::{ClockAcceptedResponse, ProblemDetails},
    clock::{ClockReport, ClockState},
};

/// Adopts the wall clock as trusted time.
///
/// Everything that is due at the new time expires within a second: listings and sources first, then
/// exemptions and holds.
#[utoipa::path(post, path = "/v1/clock/accept", tag = "state",
    responses((status = 200, body = ClockAcceptedResponse, description = "The wall clock is trusted")))]
pub(super) async fn accept_clock(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ClockAcceptedResponse>, ProblemDetails> {
    let found = app.ledger.clock.report();
    let detail = format!("from {} to {}", found.trusted, found.wall);
    let record = caller.audit_record("clock.accept", "clock", detail, None);
    app.ledger
        .note(record)
        .await
        .map_err(of_ledger(&app.ledger))?;
    let clock = app.ledger.clock.clone();
    let (before, now) = tokio::task::spawn_blocking(move || clock.accept())
        .await
        .map_err(ProblemDetails::failed)?;
    // Without a daemon, the next tick would come only with the next start.
    app.ledger.tick().await;
    Ok(Json(ClockAcceptedResponse {
        before: before.into(),
        now: now.into(),
        moved_seconds: now.0 as i64 - before.0 as i64,
    }))
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
    let help = "1 while trusted time continues from the last record, because the wall clock was not plausible at the start";
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
        "1 while the kernel reports that the wall clock is synchronised",
        synchronised,
    );
}
