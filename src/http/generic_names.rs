//! What a name, or the names of an address, show; and the metrics of listings by generic names.

use std::net::IpAddr;

use axum::{Json, extract::State};

use super::{App, exposition::Exposition, handler::JsonResult, input::QueryParams};
use crate::{
    api::{
        AssessedNameResponse, GenericNameCheckResponse, GenericNameQuery, ProblemCode,
        ProblemDetails,
    },
    generic_names::{NameAssessment, NameSign, assess},
    metrics::families,
    model::domain::name_to_ascii,
    reverse_names::generic::{AssessedName, AssessedNames},
};

/// Explains whether a name, or the names of an address, are generic: the pattern with its provider,
/// or why a name is never generic. Nothing changes.
#[utoipa::path(get, path = "/v1/generic-names/check", tag = "listings", params(GenericNameQuery),
    responses((status = 200, body = GenericNameCheckResponse, description = "What the names show")))]
pub async fn check_generic_name(
    State(app): State<App>,
    QueryParams(query): QueryParams<GenericNameQuery>,
) -> JsonResult<GenericNameCheckResponse> {
    let (text, settings) = (query.q.trim(), app.generic_names.settings());
    let addr: Option<IpAddr> = text.parse().ok();
    let names = match addr {
        Some(addr) => app.generic_names.assess(addr).await.map_err(|e| {
            let detail = format!("the names of {addr} cannot be looked up: {e}");
            ProblemDetails::new(ProblemCode::Unavailable, detail)
        })?,
        None => {
            let name = name_to_ascii(text).map_err(|why| {
                ProblemDetails::invalid(format!(
                    "q: `{text}` is not a host name or an address: {why}"
                ))
            })?;
            let name = String::from(name);
            let assessment = match settings.allow.name(&name) {
                Some(entry) => NameAssessment::NeverGeneric(NameSign::Allowed(entry.into())),
                None => assess(&name, None),
            };
            AssessedNames {
                names: vec![AssessedName { name, assessment }],
                ..AssessedNames::default()
            }
        }
    };
    Ok(Json(GenericNameCheckResponse {
        address: addr.map(|a| a.to_string()),
        lists: names.generic(settings.min_confidence).is_some(),
        min_confidence: settings.min_confidence,
        names: names.names.iter().map(AssessedNameResponse::from).collect(),
    }))
}

/// Writes the state of listings by generic names, if they are on.
pub(super) fn write_metrics(out: &mut Exposition, app: &App) {
    let status = app.generic_names.status();
    if !status.enabled {
        return;
    }
    let c = status.counters;
    for (metric, value) in [
        (
            &families::GENERIC_NAMES_WORKING,
            f64::from(status.problem.is_none()),
        ),
        (&families::GENERIC_NAMES_LISTED, c.listed as f64),
        (&families::GENERIC_NAMES_WAITING, c.waiting as f64),
        (&families::GENERIC_NAMES_RANGE_LEFT, c.range_left as f64),
    ] {
        out.gauge(metric, value);
    }
    for (metric, value) in [
        (&families::GENERIC_NAMES_QUERIED_TOTAL, c.queried),
        (&families::GENERIC_NAMES_LOOKUPS_TOTAL, c.lookups),
        (&families::GENERIC_NAMES_FAILED_TOTAL, c.failed),
        (&families::GENERIC_NAMES_DROPPED_TOTAL, c.dropped),
        (&families::GENERIC_NAMES_ENDED_TOTAL, c.ended),
        (&families::GENERIC_NAMES_OVER_LIMIT_TOTAL, c.over_limit),
    ] {
        out.counter(metric, value);
    }
}
