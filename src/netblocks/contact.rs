//! What was asked of the owner of a network, and what came back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Time;

/// What the owner of a network was asked.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ContactRequest {
    /// To act on a complaint.
    Complaint,
    /// To stop what the complaints were about.
    Stop,
    /// To answer before a listing that was announced.
    Notice,
}

/// What came back.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ContactAnswer {
    /// No answer.
    None,
    /// The message could not be delivered.
    Undeliverable,
    /// An answer that promised to act.
    Promised,
    /// An answer that refused to act.
    Refused,
    /// An answer that neither promised nor refused to act.
    Other,
}

/// One request to the owner of a network. What was asked and what came back are public with their
/// days; the rest is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetblockContact {
    /// When the owner was asked.
    pub asked_at: Time,
    /// What the owner was asked.
    pub request: ContactRequest,
    /// What came back.
    pub answer: ContactAnswer,
    /// When it came back.
    pub answered_at: Option<Time>,
    /// Whom the request was sent to. Not public.
    pub address: String,
    /// The words of both sides. Not public.
    pub words: String,
    /// Who recorded it. Not public.
    pub author: String,
}
