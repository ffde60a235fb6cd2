//! The end of a list, in order (RFC 6471 section 3.4): it is announced for a month or more, then it
//! lists nobody, and long after that nobody is sent to it any more. At no time does it list the
//! world.
//!
//! A zone file says so in a `[retire]` table. Until `empty` the zone answers as ever; from then on
//! it lists nobody, and keeps its SOA, its name servers and its test points. The announcement
//! stands in TXT at the apex and at the test points all the time, where those look who wonder.
//! Nothing is lost: without the table the zone is what it was.

use serde::{Deserialize, Serialize};

use super::time::{Seconds, Time};

/// How long a list is announced at least, and how long it is empty at least before nobody is sent
/// to it any more.
pub const MONTH: Seconds = Seconds(30 * 86_400);

/// The `[retire]` table of a zone file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// When it was announced.
    #[serde(deserialize_with = "super::time::text")]
    pub announce_at: Time,
    /// From when on the zone lists nobody.
    #[serde(deserialize_with = "super::time::text")]
    pub empty_at: Time,
    /// What the announcement says, instead of our words.
    #[serde(default)]
    pub text: Option<String>,
}

impl Retire {
    /// Whether the zone lists nobody.
    pub fn is_empty(&self, now: Time) -> bool {
        now >= self.empty_at
    }

    /// The announcement, as a text of a zone: `$$` is a dollar.
    pub fn words(&self, zone: &str) -> String {
        match &self.text {
            Some(text) => text.clone(),
            None => format!(
                "{zone} is being shut down: it lists nobody from {} on. Please remove it from your mail server.",
                self.empty_at
            ),
        }
    }
}
