//! The orderly shutdown of a zone (RFC 6471 section 3.4).
//!
//! The shutdown is announced for at least a month, then the zone is empty, and at last its
//! delegation is removed. The zone never lists the whole Internet.
//!
//! A zone file has a `[retire]` table for it. Until `empty_at` the zone answers as before; from then
//! on it lists nothing, but keeps its SOA, name servers and test points. The announcement is in TXT
//! records at the apex and at the test points. Without the table the zone is as it was before.

use serde::{Deserialize, Serialize};

use super::time::{Seconds, Time};

/// The least time between the announcement and the empty zone, and between the empty zone and the
/// removal of its delegation.
pub const MONTH: Seconds = Seconds(30 * 86_400);

/// The `[retire]` table of a zone file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct Retire {
    /// The time of the announcement.
    #[serde(deserialize_with = "super::time::text")]
    pub announce_at: Time,
    /// The time from which the zone is empty.
    #[serde(deserialize_with = "super::time::text")]
    pub empty_at: Time,
    /// The text of the announcement; `None`: the built-in text.
    #[serde(default)]
    pub text: Option<String>,
}

impl Retire {
    /// Whether the zone is empty.
    pub fn is_empty(&self, now: Time) -> bool {
        now >= self.empty_at
    }

    /// The announcement, in the syntax of texts in zone files, where `$$` is a dollar sign.
    pub fn announcement(&self, zone: &str) -> String {
        match &self.text {
            Some(text) => text.clone(),
            None => format!(
                "{zone} is being shut down: it lists nothing from {} on. Please remove it from your mail server.",
                self.empty_at
            ),
        }
    }
}
