//! Trusted time, and accepting the wall clock.

use axum::Json;

use super::{
    exposition::Exposition,
    handler::{Call, JsonResult, blocking},
};
use crate::{
    api::ClockAcceptedResponse,
    clock::{ClockReport, ClockState},
    metrics::families,
};

/// Adopts the wall clock as trusted time.
///
/// Everything that is due at the new time expires within a second: listings and sources first, then
/// exemptions and holds.
#[utoipa::path(post, path = "/v1/clock/accept", tag = "state",
    responses((status = 200, body = ClockAcceptedResponse, description = "The wall clock is trusted")))]
pub async fn accept_clock(Call { app, caller }: Call) -> JsonResult<ClockAcceptedResponse> {
    let found = app.ledger.clock.report();
    let detail = format!("from {} to {}", found.trusted, found.wall);
    let record = caller.audit_record("clock.accept", "clock", detail, None);
    app.note(record).await?;
    let clock = app.ledger.clock.clone();
    let (before, now) = blocking(move || Ok(clock.accept())).await?;
    // Without a daemon, the next tick would come only with the next start.
    app.ledger.tick().await;
    Ok(Json(ClockAcceptedResponse {
        before: before.into(),
        now: now.into(),
        moved_seconds: now.0 as i64 - before.0 as i64,
    }))
}

/// The clock for Prometheus.
pub fn write_metrics(out: &mut Exposition, report: &ClockReport) {
    out.gauge(
        &families::CLOCK_DIFFERS,
        f64::from(report.state == ClockState::Differs),
    );
    out.gauge(
        &families::CLOCK_UNCONFIRMED,
        f64::from(report.state == ClockState::Unconfirmed),
    );
    out.gauge(
        &families::CLOCK_OFFSET_SECONDS,
        report.offset_seconds as f64,
    );
    out.gauge(
        &families::CLOCK_SYNCHRONISED,
        f64::from(report.synchronised),
    );
}
