//! Users, tokens, the caller, and the audit log.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use crate::model::Role;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserResponse {
    /// The name of the user, which is also the author of their changes.
    pub name: String,
    /// The role of the user.
    pub role: Role,
    /// When the user was added.
    pub since: Timestamp,
    /// When the user was disabled; null while they are enabled.
    pub disabled: Option<Timestamp>,
    /// How many recovery codes are unused.
    pub recovery_codes_left: usize,
}

/// A user with new secrets, which are displayed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserSecretsResponse {
    /// The user.
    #[serde(flatten)]
    pub user: UserResponse,
    /// The generated password; null if none was generated.
    pub password: Option<String>,
    /// The `otpauth:` URI of the secret for one-time passwords, for an authenticator application;
    /// null if the secrets were not changed.
    pub totp_uri: Option<String>,
    /// The recovery codes; each replaces the authenticator for one login.
    pub recovery_codes: Vec<String>,
}

/// A user to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "anna", "role": "editor"}))]
pub struct UserRequest {
    /// The name of the user.
    pub name: String,
    /// The role of the user.
    pub role: Role,
    /// A password of 12 to 1024 characters (default: a generated one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// A change of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserChangeRequest {
    /// The new role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Generate a new password, authenticator secret and recovery codes.
    pub reset: bool,
    /// A new password; the other secrets are generated anew too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// True disables the user and all of their tokens; false enables them again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// The ID of the token.
    pub id: String,
    /// The name of the user or program that it belongs to.
    pub owner: String,
    /// True if the owner is a user, whose role and state limit the token.
    pub person: bool,
    /// The role of the token.
    pub role: Role,
    /// The limits of its writes.
    pub bounds: BoundsBody,
    /// When it was created.
    pub since: Timestamp,
    /// Who created it.
    pub author: String,
    /// When it expires; null: never.
    pub expires: Option<Timestamp>,
    /// How many requests a minute it may make; null: any number.
    pub per_minute: Option<u32>,
    /// When it was last used, to the hour.
    pub last_used: Option<Timestamp>,
    /// When it was revoked; null while it is valid.
    pub revoked: Option<Timestamp>,
}

/// The limits of the writes of a token; an empty list does not limit them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BoundsBody {
    /// Only these reasons.
    pub reasons: Vec<String>,
    /// Only these sources.
    pub sources: Vec<String>,
    /// Only subjects that these addresses, prefixes or domains cover.
    pub prefixes: Vec<String>,
}

/// A token to create.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"owner": "trap-reporter", "role": "reporter", "expires": "90d", "per_minute": 60}))]
pub struct TokenRequest {
    /// The name of a user or of a program.
    pub owner: String,
    /// The role of the token.
    pub role: Role,
    /// When it expires: a duration (`90d`) or a time (default: never).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The limits of its writes.
    #[serde(default)]
    pub bounds: BoundsBody,
    /// How many requests a minute it may make (default: any number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub per_minute: Option<u32>,
}

/// A token with its secret, which is displayed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenSecretResponse {
    /// The token.
    #[serde(flatten)]
    pub about: TokenResponse,
    /// The secret, for `Authorization: Bearer …`.
    pub token: String,
}

/// The token of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeTokenResponse {
    /// The ID of the token.
    pub id: String,
    /// When it expires; null: never.
    pub expires: Option<Timestamp>,
    /// How many requests a minute it may make; null: any number.
    pub per_minute: Option<u32>,
}

/// The caller and their permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeResponse {
    /// The author of the caller's changes: a user, a program, or `uid:N` at the socket.
    pub name: String,
    /// The person that the caller acts for; a proposal has to be approved by another one.
    pub person: String,
    /// The role of the caller.
    pub role: Role,
    /// The limits of the caller's writes.
    pub bounds: BoundsBody,
    /// Where the request comes from: an address, or `socket`.
    pub from: String,
    /// The token of the request; null at the socket.
    pub token: Option<MeTokenResponse>,
}

/// Query parameters of `GET /v1/audit`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only records of this author.
    pub author: Option<String>,
    /// Only records of this action, such as `delist` or `token.create`.
    pub action: Option<String>,
    /// Only records about this, such as a subject or a name.
    pub target: Option<String>,
    /// Only records since this time: a date, an RFC 3339 time, or a duration before now (7d).
    pub from: Option<String>,
    /// Only records up to this time.
    pub to: Option<String>,
    /// The `next` of the previous page.
    pub after: Option<String>,
    /// The largest number of records on the page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecordResponse {
    /// The number of the record.
    pub number: u64,
    /// When the write was made.
    pub at: Timestamp,
    /// Who made the write.
    pub author: String,
    /// Where the write came from: an address, or `socket`.
    pub from: String,
    /// The kind of write, such as `delist` or `token.create`.
    pub action: String,
    /// What the write is about, such as a subject or a name.
    pub target: String,
    /// Further details, such as a reason and a source.
    pub detail: String,
    /// The note in which its author says why the write was made.
    pub note: Option<String>,
    /// The number of the commit; null if the write made none.
    pub commit: Option<u64>,
}
