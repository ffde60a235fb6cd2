//! Personal data: which kinds are stored, and the job that erases what is too old.

use super::{
    App,
    exposition::{Exposition, labels},
};
use crate::{
    api::{DataKindResponse, PrivacyKindsResponse, RetentionResponse},
    privacy::{DataKind, kinds},
};

/// Returns the kinds of stored data that can be personal, with the configured periods.
pub fn public(app: &App) -> PrivacyKindsResponse {
    let (retention, others) = (app.ledger.settings().retention, app.ledger.store.periods());
    let response = |kind: &DataKind| DataKindResponse {
        name: kind.name.clone(),
        content: kind.content.clone(),
        purpose: kind.purpose.clone(),
        readers: kind.readers.clone(),
        retention: kind.retention_text(&retention, others),
        erasable: kind.erasable,
    };
    PrivacyKindsResponse {
        kinds: kinds().iter().map(response).collect(),
    }
}

/// The last run of the job that erases old data.
pub(super) fn retention(app: &App) -> RetentionResponse {
    let report = app.retention.report();
    let named = |counts: &std::collections::BTreeMap<&str, u64>| {
        counts
            .iter()
            .map(|(key, n)| (key.to_string(), *n))
            .collect()
    };
    let last = report.last.unwrap_or_default();
    RetentionResponse {
        last_run: (last.at.0 > 0).then(|| last.at.into()),
        took_ms: last.took.as_millis() as u64,
        erased: named(&last.erased),
        erased_total: named(&report.total),
        problem: last.problem,
    }
}

/// Writes the metrics about the job that erases old data.
pub(super) fn write_metrics(out: &mut Exposition, app: &App) {
    let report = app.retention.report();
    out.gauge(
        "retention_last_run_seconds",
        "When the job that erases old data last ran",
        report.last.as_ref().map(|last| last.at.0 as f64),
    );
    let failed = report.last.as_ref().map(|last| last.problem.is_some());
    out.gauge(
        "retention_failed",
        "1 if the last run of the job that erases old data failed",
        failed.map(|failed| f64::from(u8::from(failed))),
    );
    out.counters(
        "retention_erased_total",
        "Rows and texts that were erased since the start, by the key of [retention]",
        report
            .total
            .iter()
            .map(|(key, n)| (labels([("key", key)]), *n as f64)),
    );
}
