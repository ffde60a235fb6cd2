//! The daily figures of zones and sources: proofs, claims, removals and requests.

use std::collections::BTreeMap;

use axum::{Json, extract::State};

use super::{
    App,
    exposition::Exposition,
    handler::{JsonResult, blocking},
    import::find_zone,
    input::QueryParams,
};
use crate::{
    api::{
        ProblemDetails, QualityDayResponse, QualityQuery, QualityResponse, SourceQualityResponse,
        ZoneQualityResponse,
    },
    metrics::{Gauge, families},
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
        &families::QUALITY_COUNTED_SECONDS,
        report.as_ref().map(|r| r.counted.0 as f64),
    );
    let report = report.unwrap_or_default();
    let zones = report.zones.iter().map(|(name, f)| ("zone", name, f));
    let sources = report.sources.iter().map(|(name, f)| ("source", name, f));
    let all: Vec<_> = zones.chain(sources).collect();
    for (metric, values) in FIGURES {
        let samples = all.iter().flat_map(|(kind, name, figures)| {
            let samples = values(figures).into_iter();
            samples.map(move |(value, n)| ([*kind, name, value].map(String::from), n as f64))
        });
        out.gauges(metric, samples);
    }
    let spreading = all.iter().map(|(kind, name, figures)| {
        let labels = [*kind, name].map(String::from);
        (labels, figures.removals.spreading as f64)
    });
    out.gauges(&families::QUALITY_SPREADING, spreading);
}

/// Figures with the value of the last label of each.
type Figures = Vec<(&'static str, u64)>;

/// The values of percentiles by the label `quantile`; none if there are none.
fn quantiles(percentiles: Option<Percentiles>) -> Figures {
    percentiles.map_or(Vec::new(), |p| {
        vec![("0.5", p.median), ("0.9", p.p90), ("1", p.largest)]
    })
}

/// A gauge, and its figures of a zone or source.
type FigureGauge = (&'static Gauge<3>, fn(&QualityFigures) -> Figures);

/// The gauges with figures of each zone and source.
static FIGURES: [FigureGauge; 8] = [
    (&families::QUALITY_ENTRIES, |f| {
        vec![
            ("any", f.proofs.entries),
            ("ever", f.proofs.proved),
            ("30d", f.proofs.proved_recently),
        ]
    }),
    (&families::QUALITY_PROOF_AGE_DAYS, |f| {
        quantiles(f.proofs.age_days)
    }),
    (&families::QUALITY_CLAIMS, |f| {
        vec![
            ("closed", f.claims.closed),
            ("open", f.claims.open),
            ("blocked", f.claims.blocked),
            ("undecided", f.claims.undecided),
        ]
    }),
    (&families::QUALITY_RELEASE_SECONDS, |f| {
        quantiles(f.claims.release_seconds)
    }),
    (&families::QUALITY_REMOVALS, |f| {
        vec![
            ("any", f.removals.removals),
            ("error", f.removals.listed_in_error),
        ]
    }),
    (&families::QUALITY_SPREAD_SECONDS, |f| {
        quantiles(f.removals.spread_seconds)
    }),
    (&families::QUALITY_REQUESTS_DUE, |f| {
        vec![("2d", f.requests.due_2_days), ("7d", f.requests.due_7_days)]
    }),
    (&families::QUALITY_REQUESTS_ANSWERED, |f| {
        vec![
            ("2d", f.requests.answered_2_days),
            ("7d", f.requests.answered_7_days),
        ]
    }),
];
