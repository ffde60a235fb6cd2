//! Personal data: which kinds are stored, and what is erased.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// The last run of the job that erases data whose retention is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetentionResponse {
    /// When the last run began; null before the first one.
    pub last_run: Option<Timestamp>,
    /// How many milliseconds it took.
    pub took_ms: u64,
    /// How much it erased, by the key of `[retention]`; `on_request`: erasures that were repeated
    /// after a restore.
    pub erased: BTreeMap<String, u64>,
    /// How much was erased since the start, by the key of `[retention]`.
    pub erased_total: BTreeMap<String, u64>,
    /// Why the last run did not complete.
    pub problem: Option<String>,
}

/// A kind of stored data that can be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataKindResponse {
    /// The name of the kind.
    pub name: String,
    /// What is kept.
    pub content: String,
    /// Why it is kept.
    pub purpose: String,
    /// Who sees it.
    pub readers: String,
    /// How long it is kept.
    pub retention: String,
    /// Whether it is erased on request.
    pub erasable: bool,
}

/// All kinds of stored data that can be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivacyKindsResponse {
    /// The kinds.
    pub kinds: Vec<DataKindResponse>,
}

/// Whose personal data is meant. It is in the body, so that no log of requests contains it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subject": "anna@example.org"}))]
pub struct PersonalDataRequest {
    /// An address, a prefix, a domain or a mail address.
    pub subject: String,
}

/// Something that is stored about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonalFindingResponse {
    /// The kind of the data.
    pub kind: String,
    /// Where it is stored.
    pub place: String,
    /// What is stored.
    pub text: String,
    /// Whether an erasure erases it.
    pub erasable: bool,
    /// How long it is kept, and why.
    pub retention: String,
}

/// Everything that is stored about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonalDataResponse {
    /// The address, prefix, domain or mail address.
    pub subject: String,
    /// What was found, at most 10,000 items.
    pub findings: Vec<PersonalFindingResponse>,
    /// Whether more was found.
    pub truncated: bool,
}

/// What an erasure erased, and what stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonalErasureResponse {
    /// The address, prefix, domain or mail address.
    pub subject: String,
    /// How much was erased, by kind.
    pub erased: BTreeMap<String, u64>,
    /// What stays, with how long and why.
    pub kept: Vec<PersonalFindingResponse>,
    /// Whether more stays than `kept` contains.
    pub truncated: bool,
}
