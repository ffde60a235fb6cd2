//! Names that providers have made: what a name shows, and the state of the listings by them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    generic_names::{FormSource, NameAssessment, NameConfidence},
    reverse_names::generic::{AssessedName, GenericNameStatus},
};

/// Query parameters of `GET /v1/generic-names/check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GenericNameQuery {
    /// A host name, or an address, whose names are then looked up in DNS.
    pub q: String,
}

/// What a name shows about its address.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NameAssessmentKind {
    /// A provider has made the name.
    Generic,
    /// The name is never generic, whatever else it contains.
    NeverGeneric,
    /// No pattern matches the name.
    Ordinary,
}

/// A name, with the pattern that it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssessedNameResponse {
    /// The name.
    pub name: String,
    /// What it shows about the address.
    pub kind: NameAssessmentKind,
    /// Why the name is never generic.
    pub sign: Option<String>,
    /// The pattern that makes the name generic: the form of a provider's names with placeholders
    /// such as `{hex}`, or a description such as `address in decimal`.
    pub pattern: Option<String>,
    /// The provider whose names have the form.
    pub provider: Option<String>,
    /// How sure it is that such a name belongs to no mail server of its own.
    pub confidence: Option<NameConfidence>,
    /// Where the form is known from.
    pub source: Option<FormSource>,
    /// A name that the form matches.
    pub example: Option<String>,
}

impl From<&AssessedName> for AssessedNameResponse {
    fn from(n: &AssessedName) -> AssessedNameResponse {
        let mut out = AssessedNameResponse {
            name: n.name.clone(),
            kind: NameAssessmentKind::Ordinary,
            sign: None,
            pattern: None,
            provider: None,
            confidence: None,
            source: None,
            example: None,
        };
        match &n.assessment {
            NameAssessment::Ordinary => {}
            NameAssessment::NeverGeneric(sign) => {
                (out.kind, out.sign) = (NameAssessmentKind::NeverGeneric, Some(sign.to_string()));
            }
            NameAssessment::Generic(found) => {
                out.kind = NameAssessmentKind::Generic;
                out.pattern = Some(found.pattern.clone());
                out.provider = found.provider.map(Into::into);
                out.confidence = Some(found.confidence);
                out.source = found.source;
                out.example = found.example.map(Into::into);
            }
        }
        out
    }
}

/// What the names of an address show, or one name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenericNameCheckResponse {
    /// The address; null if a name was given.
    pub address: Option<String>,
    /// The names of the address, or the given name.
    pub names: Vec<AssessedNameResponse>,
    /// Whether an address with these names is listed if it is a candidate: it has a name, and all
    /// its names are generic with the confidence of the settings. A name alone lacks the address,
    /// so that some patterns cannot be found.
    pub lists: bool,
    /// The least confidence with which a name is listed.
    pub min_confidence: NameConfidence,
}

/// The state of listings by generic names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenericNamesStatusResponse {
    /// Whether names are looked up.
    pub enabled: bool,
    /// Why no names are looked up although they should be.
    pub problem: Option<String>,
    /// The addresses that are listed.
    pub listed: u64,
    /// The candidates that wait for a look-up.
    pub waiting: u64,
    /// The addresses that were looked up, are not listed, and are not looked up again for a time.
    pub remembered: u64,
    /// The addresses that the present pass through the ranges has left.
    pub range_left: u64,
    /// The look-ups that were started. This number and the following ones count since the start of
    /// the daemon or the last change of the settings.
    pub lookups: u64,
    /// The look-ups that failed.
    pub failed: u64,
    /// The candidates that did not fit into the queue.
    pub dropped: u64,
    /// The listings that ended because the name has changed or is not generic any more.
    pub ended: u64,
    /// The generic names that were not listed because too many are listed.
    pub over_limit: u64,
}

impl From<GenericNameStatus> for GenericNamesStatusResponse {
    fn from(s: GenericNameStatus) -> GenericNamesStatusResponse {
        let c = s.counters;
        GenericNamesStatusResponse {
            enabled: s.enabled,
            problem: s.problem,
            listed: c.listed as u64,
            waiting: c.waiting as u64,
            remembered: c.remembered as u64,
            range_left: c.range_left,
            lookups: c.lookups,
            failed: c.failed,
            dropped: c.dropped,
            ended: c.ended,
            over_limit: c.over_limit,
        }
    }
}
