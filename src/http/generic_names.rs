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
    for (name, help, value) in [
        (
            "generic_names_working",
            "Whether the resolver answers, so that generic names are looked up",
            f64::from(u8::from(status.problem.is_none())),
        ),
        (
            "generic_names_listed",
            "Addresses that are listed by a generic name",
            c.listed as f64,
        ),
        (
            "generic_names_waiting",
            "Candidates for a listing by a generic name that wait for a look-up",
            c.waiting as f64,
        ),
        (
            "generic_names_range_left",
            "Addresses that the present pass through the ranges has left",
            c.range_left as f64,
        ),
    ] {
        out.gauge(name, help, value);
    }
    for (name, help, value) in [
        (
            "generic_names_queried_total",
            "Candidates from the sample of queries that were added to the queue",
            c.queried,
        ),
        (
            "generic_names_lookups_total",
            "Look-ups of names of candidates and listed addresses",
            c.lookups,
        ),
        (
            "generic_names_failed_total",
            "Look-ups of such names that no server has answered",
            c.failed,
        ),
        (
            "generic_names_dropped_total",
            "Candidates that did not fit into the queue",
            c.dropped,
        ),
        (
            "generic_names_ended_total",
            "Listings that ended because the name has changed or is not generic any more",
            c.ended,
        ),
        (
            "generic_names_over_limit_total",
            "Generic names that were not listed because too many are listed",
            c.over_limit,
        ),
    ] {
        out.counter(name, help, value);
    }
}
