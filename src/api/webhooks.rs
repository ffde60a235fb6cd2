//! Webhooks, and the messages that wait for them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookResponse {
    /// The number of the webhook.
    pub id: String,
    /// Where messages are sent.
    pub url: String,
    /// When it was added.
    pub since: Timestamp,
    /// Who added it.
    pub author: String,
    /// When it was paused; null while messages are sent.
    pub paused: Option<Timestamp>,
}

/// A webhook to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// Where to send messages: `http://`, `https://`, or `mailto:` by the configured smart host.
    #[schema(example = "https://hooks.example.org/orbsd")]
    pub url: String,
}

/// A webhook with its secret, which is displayed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecretResponse {
    /// The webhook.
    #[serde(flatten)]
    pub about: WebhookResponse,
    /// The key of HMAC-SHA256 over `t.body` in the header `orbsd-signature: t=…,v1=…`.
    pub secret: String,
}

/// What changes about a webhook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChangeRequest {
    /// True stops sending, and commits that come meanwhile are not reported; false starts it again.
    pub paused: bool,
}

/// A message that waits for a webhook, or was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookMessageResponse {
    /// The commit that the message reports.
    pub commit: u64,
    /// When the message was queued.
    pub since: Timestamp,
    /// How often it was sent.
    pub tries: u32,
    /// When it is sent next.
    pub next: Timestamp,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    /// True for a dead letter: it is sent again only by `POST /v1/webhooks/{id}/retry`.
    pub dead: bool,
}
