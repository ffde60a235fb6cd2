//! The daily figures of zones and sources: proofs, claims, removals and requests.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::quality::QualityFigures;

/// Query parameters of `GET /v1/quality`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QualityQuery {
    /// Only this zone: its name, or its short name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Only this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The number of days, today included (default 1: the figures that were counted last).
    #[param(minimum = 1, maximum = 400)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
}

/// The figures of a zone or a source on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QualityDayResponse {
    /// The first second of the day, in UTC.
    pub day: Timestamp,
    /// When the figures were counted.
    pub counted: Timestamp,
    /// The figures.
    pub figures: QualityFigures,
}

/// The figures of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ZoneQualityResponse {
    /// The name of the zone.
    pub zone: String,
    /// The figures of each day on which they were counted, the oldest first.
    pub days: Vec<QualityDayResponse>,
}

/// The figures of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceQualityResponse {
    /// The name of the source.
    pub source: String,
    /// The figures of each day on which they were counted, the oldest first.
    pub days: Vec<QualityDayResponse>,
}

/// The figures of zones and sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QualityResponse {
    /// The zones, by name.
    pub zones: Vec<ZoneQualityResponse>,
    /// The sources that have figures, by name.
    pub sources: Vec<SourceQualityResponse>,
}

/// The figures of a list that were counted last, for the public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListQualityResponse {
    /// The name of the zone.
    pub zone: String,
    /// The short name of the zone.
    pub alias: String,
    /// When the figures were counted.
    pub counted: Timestamp,
    /// The figures.
    pub figures: QualityFigures,
}
