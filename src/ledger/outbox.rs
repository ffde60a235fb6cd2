//! The outbox: what has to be sent out, kept in the same batch as what it tells of, until it was
//! taken or given up.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    model::Time,
    store::{Store, StoreError, schema},
};

/// Somebody who is told what happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its number.
    pub id: String,
    /// Where messages go.
    pub url: String,
    /// What messages are signed with; both sides need it.
    pub secret: Vec<u8>,
    /// Since when.
    pub since: Time,
    /// Who made it.
    pub by: String,
    /// Since when nothing is sent.
    pub paused: Option<Time>,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The commit that it tells of: its number for its webhook.
    pub commit: u64,
    /// What is sent.
    pub body: String,
    /// Since when it waits.
    pub since: Time,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub next: Time,
    /// What came of the last try.
    pub problem: Option<String>,
    /// It was given up; somebody may have it tried again.
    pub dead: bool,
}

/// What came of a try.
#[derive(Debug, Clone)]
pub enum Tried {
    /// It was taken.
    Taken,
    /// It was not.
    Failed(String),
    /// A dead letter is tried again.
    Again,
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

/// What waits for each webhook, and whether something was left out.
pub(super) type Queues = HashMap<String, (u64, bool)>;
