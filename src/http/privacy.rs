//! Personal data: which kinds are stored, the job that erases what is too old, and requests of
//! persons concerned.

use axum::Json;

use super::{
    App,
    error::of_ledger,
    exposition::Exposition,
    handler::{Call, JsonResult, blocking},
    input::JsonBody,
};
use crate::{
    api::{
        DataKindResponse, PersonalDataRequest, PersonalDataResponse, PersonalErasureResponse,
        PersonalFindingResponse, PrivacyKindsResponse, ProblemDetails, RetentionResponse,
    },
    metrics::families,
    model::text::counted,
    privacy::{DataKind, Finding, PersonalData, PersonalReport, PersonalSubject, kinds},
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
        &families::RETENTION_LAST_RUN_SECONDS,
        report.last.as_ref().map(|last| last.at.0 as f64),
    );
    let failed = report.last.as_ref().map(|last| last.problem.is_some());
    out.gauge(
        &families::RETENTION_FAILED,
        failed.map(|failed| f64::from(u8::from(failed))),
    );
    out.counters(
        &families::RETENTION_ERASED_TOTAL,
        report
            .total
            .iter()
            .map(|(key, n)| ([key.to_string()], *n as f64)),
    );
}

/// What the audit log names in place of the person.
const AUDIT_TARGET: &str = "personal data";

fn personal_data(app: &App) -> PersonalData {
    app.retention.data().clone()
}

fn subject(request: &PersonalDataRequest) -> Result<PersonalSubject, ProblemDetails> {
    PersonalSubject::parse(&request.subject)
        .map_err(|e| ProblemDetails::invalid(format!("subject: {e}")))
}

/// The findings of a report, with how long each is kept and why.
fn findings(app: &App, report: PersonalReport) -> Vec<PersonalFindingResponse> {
    let kinds = public(app).kinds;
    let retention = |name: &str| {
        let kind = kinds.iter().find(|k| k.name == name);
        kind.map_or(String::new(), |k| k.retention.clone())
    };
    let response = |f: Finding| PersonalFindingResponse {
        retention: retention(f.kind),
        kind: f.kind.into(),
        place: f.place,
        text: f.text,
        erasable: f.erasable,
    };
    report.findings.into_iter().map(response).collect()
}

/// Returns everything that is stored about an address, a prefix, a domain or a mail address. The
/// audit record does not name it.
#[utoipa::path(post, path = "/v1/privacy/report", tag = "privacy", request_body = PersonalDataRequest,
    responses((status = 200, body = PersonalDataResponse, description = "What is stored")))]
pub async fn report_personal_data(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<PersonalDataRequest>,
) -> JsonResult<PersonalDataResponse> {
    let who = subject(&request)?;
    let (data, text) = (personal_data(&app), who.text().to_string());
    let ledger = app.ledger.clone();
    let report = blocking(move || data.find(&who).map_err(of_ledger(&ledger))).await?;
    let detail = counted(report.findings.len(), "finding");
    app.note(caller.audit_record("privacy.show", AUDIT_TARGET, detail, None))
        .await?;
    Ok(Json(PersonalDataResponse {
        subject: text,
        truncated: report.is_truncated,
        findings: findings(&app, report),
    }))
}

/// Erases what may be erased about an address, a prefix, a domain or a mail address: tickets, mail
/// addresses, and texts that name it. Returns what stays, and why. The audit record does not name
/// it.
#[utoipa::path(post, path = "/v1/privacy/erasure", tag = "privacy", request_body = PersonalDataRequest,
    responses((status = 200, body = PersonalErasureResponse, description = "What was erased, and what stays")))]
pub async fn erase_personal_data(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<PersonalDataRequest>,
) -> JsonResult<PersonalErasureResponse> {
    let who = subject(&request)?;
    let (data, text) = (personal_data(&app), who.text().to_string());
    let ledger = app.ledger.clone();
    let (erased, kept) = blocking(move || {
        let erased = data.erase(&who).map_err(of_ledger(&ledger))?;
        let kept = data.find(&who).map_err(of_ledger(&ledger))?;
        Ok((erased, kept))
    })
    .await?;
    let counts = erased.iter().map(|(kind, n)| format!("{n} {kind}"));
    let detail = counts.collect::<Vec<_>>().join(", ");
    app.note(caller.audit_record("privacy.erase", AUDIT_TARGET, detail, None))
        .await?;
    Ok(Json(PersonalErasureResponse {
        subject: text,
        erased: erased.into_iter().map(|(k, n)| (k.into(), n)).collect(),
        truncated: kept.is_truncated,
        kept: findings(&app, kept),
    }))
}
