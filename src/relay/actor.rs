//! Who makes a request, for the audit log.

use crate::model::history::IdempotencyKey;

/// The user or program that makes a request.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The name of the user or program.
    pub name: String,
    /// The address or listener that the request comes from.
    pub from: String,
    /// The key of an idempotent request.
    pub idempotency: Option<IdempotencyKey>,
}
