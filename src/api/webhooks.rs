//! Webhooks, and the messages that wait for them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookResponse {
    /// The ID of the webhook.
    pub id: String,
    /// The URL to which messages are sent.
    pub url: String,
    /// When the webhook was added.
    pub since: Timestamp,
    /// Who added the webhook.
    pub author: String,
    /// When the webhook was paused; null while messages are sent.
    pub paused: Option<Timestamp>,
}

/// A webhook to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// The URL to send messages to: `http://`, `https://`, or `mailto:` by the configured smart
    /// host.
    #[schema(example = "https://hooks.example.org/orbsd")]
    pub url: String,
}

/// A webhook with its secret, which is displayed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecretResponse {
    /// The webhook.
    #[serde(flatten)]
    pub about: WebhookResponse,
    /// The key of the signature in the header `orbsd-signature: t=TIME,v1=HEX`: HMAC-SHA256 over
    /// `TIME.BODY`.
    pub secret: String,
}

/// Pauses or resumes a webhook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChangeRequest {
    /// True pauses the webhook: commits that are made meanwhile are never sent to it. False resumes
    /// it.
    pub paused: bool,
}

/// A message that waits for delivery to a webhook, or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookMessageResponse {
    /// The commit that the message reports.
    pub commit: u64,
    /// When the message was queued.
    pub since: Timestamp,
    /// How many attempts were made to deliver the message.
    pub tries: u32,
    /// When the next attempt is due.
    pub next: Timestamp,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    /// True for a dead letter: it is sent again only by `POST /v1/webhooks/{id}/retry`.
    pub dead: bool,
}
