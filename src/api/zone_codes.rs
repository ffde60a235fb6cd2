//! The zones that publish a subject, with its codes.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A zone that publishes a subject, and its codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ZoneCodes {
    /// The zone.
    pub zone: String,
    /// The A records of the subject.
    pub codes: Vec<String>,
}

impl fmt::Display for ZoneCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.zone, self.codes.join(" "))
    }
}
