//! Notices: what operators announce on the public site.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// Whether a notice is current.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum NoticeState {
    /// The notice becomes current later.
    Planned,
    /// The notice is current.
    Current,
    /// The notice is over.
    Over,
    /// The notice was ended before it became current; it is not public.
    Cancelled,
}

impl NoticeState {
    /// The state as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A notice to add.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"title": "A feed was purged", "text": "The feed xbl listed addresses by mistake from 09:00 to 09:40 UTC. All its listings were removed.", "zones": ["relays"]}))]
pub struct NoticeRequest {
    /// The title, one line of at most 120 characters; empty: the first line of the text.
    pub title: String,
    /// The text, at most 4,000 characters. An empty line separates paragraphs.
    pub text: String,
    /// The zones that the notice is about, by name or by the name of their file; empty: all zones.
    pub zones: Vec<String>,
    /// When the notice becomes current: a duration from now (`2h`), a date or an RFC 3339 time;
    /// null: now.
    pub from: Option<String>,
    /// When the notice is over: a duration from now, a date or an RFC 3339 time; null: when a
    /// person ends it.
    pub until: Option<String>,
}

/// A notice, as the public sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicNoticeResponse {
    /// The number of the notice.
    pub number: u64,
    /// The title, one line.
    pub title: String,
    /// The text. An empty line separates paragraphs.
    pub text: String,
    /// The zones that the notice is about; empty: all zones.
    pub zones: Vec<String>,
    /// Whether the notice is current.
    pub state: NoticeState,
    /// When the notice becomes current.
    pub from: Timestamp,
    /// When the notice is or was over; null: when a person ends it.
    pub until: Option<Timestamp>,
    /// When the notice was added.
    pub added: Timestamp,
    /// When the notice last changed: it was added, or it is over.
    pub updated: Timestamp,
}

/// A notice, for users of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeResponse {
    /// What the public sees.
    #[serde(flatten)]
    pub public: PublicNoticeResponse,
    /// The user who added the notice.
    pub author: String,
}

/// The notices that the public sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicNoticesResponse {
    /// When a notice last changed; null if there is no notice.
    pub updated: Option<Timestamp>,
    /// Current and planned notices, and those that were over in the last 90 days; the last added
    /// one first.
    pub items: Vec<PublicNoticeResponse>,
}
