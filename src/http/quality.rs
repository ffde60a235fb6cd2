//! The daily figures of zones and sources: proofs, claims, removals and requests.

use std::collections::BTreeMap;

use axum::{Json, extract::State};

use super::{
    App,
    exposition::{Exposition, Sample, labels},
    handler::{JsonResult, blocking},
    import::find_zone,
    input::QueryParams,
};
use crate::{
    api::{
        ProblemDetails, QualityDayResponse, QualityQuery, QualityResponse, SourceQualityResponse,
        ZoneQualityResponse,
    },
    quality::{ARCHIVE_DAYS, Percentiles, QualityFigures, QualityReport},
};

/// Returns the daily figures of zones and sources: how well entries are proved, what tests of
/// claims showed, how many listings were errors, and how fast requests were answered.
#[utoipa::path(get, path = "/v1/quality", tag = "zones", params(QualityQuery),
    responses((status = 200, body = QualityResponse, description = "The figures; without zones until they are counted")))]
pub async fn get_quality(
    State(app): State<App>,
    QueryParams(query): QueryParams<QualityQuery>,
) -> JsonResult<QualityResponse> {
    let snapshot = app.ledger.published.snapshot();
    let zone = query.zone.as_deref().map(|name| {
        let found = find_zone(&snapshot, name);
        found.map(|zone| zone.name.to_string())
    });
    let zone = zone.transpose()?;
    if let Some(name) = &query.source
        && app.ledger.store.dictionary().sources.get(name).is_none()
    {
        return Err(ProblemDetails::not_found(format!(
            "there is no source `{name}`"
        )));
    }
    let days = query.days.unwrap_or(1);
    if !(1..=ARCHIVE_DAYS).contains(&days) {
        return Err(ProblemDetails::invalid(format!(
            "days: a number from 1 to {ARCHIVE_DAYS}"
        )));
    }
    let reports = match days {
        1 => app
            .quality
            .last()
            .map(|last| (*last).clone())
            .into_iter()
            .collect(),
        _ => blocking(move || Ok(app.quality.days(app.ledger.now(), days))).await?,
    };
    let is_chosen = |chosen: &Option<String>, other: &Option<String>, name: &str| match chosen {
        Some(chosen) => chosen == name,
        None => other.is_none(),
    };
    let zones = by_name(&reports, |r| &r.zones);
    let sources = by_name(&reports, |r| &r.sources);
    Ok(Json(QualityResponse {
        zones: zones
            .into_iter()
            .filter(|(name, _)| is_chosen(&zone, &query.source, name))
            .map(|(zone, days)| ZoneQualityResponse { zone, days })
            .collect(),
        sources: sources
            .into_iter()
            .filter(|(name, _)| is_chosen(&query.source, &zone, name))
            .map(|(source, days)| SourceQualityResponse { source, days })
            .collect(),
    }))
}

/// The figures of each name, by day.
fn by_name(
    reports: &[QualityReport],
    of: impl Fn(&QualityReport) -> &BTreeMap<String, QualityFigures>,
) -> BTreeMap<String, Vec<QualityDayResponse>> {
    let mut out = BTreeMap::<_, Vec<_>>::new();
    for report in reports {
        for (name, figures) in of(report) {
            out.entry(name.clone())
                .or_default()
                .push(QualityDayResponse {
                    day: report.day().into(),
                    counted: report.counted.into(),
                    figures: *figures,
                });
        }
    }
    out
}

/// Writes the figures that were counted last.
pub(super) fn write_metrics(out: &mut Exposition, app: &App) {
    let report = app.quality.last();
    out.gauge(
        "quality_counted_seconds",
        "When the figures of quality were counted, in seconds since 1970",
        report.as_ref().map(|r| r.counted.0 as f64),
    );
    let report = report.unwrap_or_default();
    let zones = report.zones.iter().map(|(name, f)| ("zone", name, f));
    let sources = report.sources.iter().map(|(name, f)| ("source", name, f));
    let all: Vec<_> = zones.chain(sources).collect();
    for gauge in GAUGES {
        let samples = all.iter().flat_map(|(kind, name, figures)| {
            let values = (gauge.values)(figures).into_iter();
            values.map(|(value, n)| sample(kind, name, gauge.label, value, n))
        });
        out.gauges(
            gauge.name,
            gauge.help,
            samples.collect::<Vec<_>>().into_iter(),
        );
    }
}

fn sample(kind: &str, name: &str, label: &str, value: &str, n: u64) -> Sample {
    let labels = match label {
        "" => labels([("kind", kind), ("name", name)]),
        label => labels([("kind", kind), ("name", name), (label, value)]),
    };
    (labels, n as f64)
}

/// A family of gauges with the figures of each zone and source.
struct Gauge {
    name: &'static str,
    help: &'static str,
    /// The label of the values; empty if there is only one value.
    label: &'static str,
    /// The values, each with that of its label.
    values: fn(&QualityFigures) -> Vec<(&'static str, u64)>,
}

/// The values of percentiles by the label `quantile`; none if there are none.
fn quantiles(percentiles: Option<Percentiles>) -> Vec<(&'static str, u64)> {
    percentiles.map_or(Vec::new(), |p| {
        vec![("0.5", p.median), ("0.9", p.p90), ("1", p.largest)]
    })
}

const GAUGES: [Gauge; 9] = [
    Gauge {
        name: "quality_entries",
        help: "Listed subjects of a zone or source: all, those that this server has proved, and those that it has proved in the last 30 days",
        label: "proved",
        values: |f| {
            vec![
                ("any", f.proofs.entries),
                ("ever", f.proofs.proved),
                ("30d", f.proofs.proved_recently),
            ]
        },
    },
    Gauge {
        name: "quality_proof_age_days",
        help: "The age of the last proof of the proved entries, in days",
        label: "quantile",
        values: |f| quantiles(f.proofs.age_days),
    },
    Gauge {
        name: "quality_claims",
        help: "Claims that were decided in the last 30 days, by the result of their tests",
        label: "result",
        values: |f| {
            vec![
                ("closed", f.claims.closed),
                ("open", f.claims.open),
                ("blocked", f.claims.blocked),
                ("undecided", f.claims.undecided),
            ]
        },
    },
    Gauge {
        name: "quality_release_seconds",
        help: "The time from a claim to the release of the host, in the last 30 days",
        label: "quantile",
        values: |f| quantiles(f.claims.release_seconds),
    },
    Gauge {
        name: "quality_removals",
        help: "Removals by decision in the last 30 days: all, and those that state an error",
        label: "cause",
        values: |f| {
            vec![
                ("any", f.removals.removals),
                ("error", f.removals.listed_in_error),
            ]
        },
    },
    Gauge {
        name: "quality_spread_seconds",
        help: "The time from a removal on request until the last public server had it, in the last 30 days",
        label: "quantile",
        values: |f| quantiles(f.removals.spread_seconds),
    },
    Gauge {
        name: "quality_spreading",
        help: "Removals on request of the last 30 days that some public server is not known to have",
        label: "",
        values: |f| vec![("", f.removals.spreading)],
    },
    Gauge {
        name: "quality_requests_due",
        help: "Requests for removal of the last 30 days that were answered, or are older than the limit",
        label: "limit",
        values: |f| vec![("2d", f.requests.due_2_days), ("7d", f.requests.due_7_days)],
    },
    Gauge {
        name: "quality_requests_answered",
        help: "Requests for removal of the last 30 days that were answered within the limit",
        label: "limit",
        values: |f| {
            vec![
                ("2d", f.requests.answered_2_days),
                ("7d", f.requests.answered_7_days),
            ]
        },
    },
];
