//! The outbox: messages for webhooks, stored in the batch of the commit that they report, until
//! they are delivered or deleted.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Time, event::EventName},
    store::{Store, StoreError, schema},
};

/// A receiver of events over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The ID.
    pub id: String,
    /// The URL to which messages are sent.
    pub url: String,
    /// The secret with which messages are signed; the receiver has it too.
    pub secret: Vec<u8>,
    /// The time at which it was created.
    pub since: Time,
    /// The user who created it.
    pub by: String,
    /// The time at which it was paused.
    pub paused: Option<Time>,
}

/// A message that waits for delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The commit that it reports, which identifies it among the messages of its webhook.
    pub commit: u64,
    /// The body, in JSON.
    pub body: String,
    /// The time at which it was queued.
    pub since: Time,
    /// The number of failed deliveries.
    pub tries: u32,
    /// The time of the next delivery.
    pub next: Time,
    /// Why the last delivery failed.
    pub problem: Option<String>,
    /// Whether it is a dead letter, which is sent again only on request.
    pub dead: bool,
}

/// One change of a subject, as a webhook gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangeNotice {
    /// The subject.
    pub subject: String,
    /// What happened to it.
    pub event: EventName,
    /// The reason; null for an exemption.
    pub reason: Option<String>,
    /// The source; null: every source.
    pub source: Option<String>,
    /// When the effect of the change ends.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// What a webhook gets about a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitNotice {
    /// Always `commit`; other events are about feeds.
    pub event: String,
    /// The number of the commit.
    pub commit: u64,
    /// When it was made.
    #[schema(format = DateTime)]
    pub at: String,
    /// The new serials, by zone.
    pub serials: BTreeMap<String, u32>,
    /// What changed, in the order of the subjects; at most 1000 subjects.
    pub changes: Vec<ChangeNotice>,
    /// The number of subjects that changed.
    pub count: usize,
    /// True for a large import, whose subjects are too many to list.
    pub bulk: bool,
    /// True if commits before this one were not sent because too many waited.
    pub gap: bool,
}

/// The result of a delivery.
#[derive(Debug, Clone)]
pub enum DeliveryResult {
    /// The receiver accepted the message.
    Delivered,
    /// The delivery failed, with the reason.
    Failed(String),
    /// A user requested that a dead letter be sent again.
    Retry,
}

pub(super) fn key(webhook: &str, commit: u64) -> Vec<u8> {
    [webhook.as_bytes(), &[0], &commit.to_be_bytes()].concat()
}

/// The messages of a webhook, in order, at most `limit`.
pub fn messages(store: &Store, webhook: &str, limit: usize) -> Result<Vec<Message>, StoreError> {
    let prefix = [webhook.as_bytes(), &[0]].concat();
    let damaged = || StoreError::Damaged("a message of the outbox cannot be read".into());
    let mut out = Vec::new();
    store.outbox(&prefix, &mut |key, value| {
        if !key.starts_with(&prefix) || out.len() >= limit {
            return Ok(false);
        }
        out.push(schema::decode(value).ok_or_else(damaged)?);
        Ok(true)
    })?;
    Ok(out)
}

/// By webhook: the number of messages in its queue, and whether commits were left out of it.
pub(super) type Queues = HashMap<String, (u64, bool)>;
