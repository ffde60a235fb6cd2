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
    /// The network around a single IPv6 address that the zone publishes in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2001:db8::/64")]
    pub network: Option<String>,
}

impl fmt::Display for ZoneCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.zone, self.codes.join(" "))?;
        match &self.network {
            Some(network) => write!(f, " as {network}"),
            None => Ok(()),
        }
    }
}
