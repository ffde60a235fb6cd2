//! Recent log-ins of volatile zones.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;

/// Addresses from which users have logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginsRequest {
    /// One to 1,000 IPv4 or IPv6 addresses. A repeated one begins a new lifetime.
    #[schema(example = json!(["192.0.2.7"]), min_items = 1, max_items = 1000)]
    pub addresses: Vec<String>,
}

/// Log-ins that are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginReportResponse {
    /// The name of the zone.
    pub zone: String,
    /// The number of addresses that are published.
    pub published: usize,
    /// The number of addresses that are never published: loopback, link-local, multicast and
    /// unspecified ones.
    pub left_out: usize,
    /// When they end, unless they are reported again.
    pub ends: Timestamp,
}

/// Query parameters of `DELETE /v1/zones/{zone}/logins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogoutQuery {
    /// The IPv4 or IPv6 address.
    pub address: String,
}

/// The result of a log-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogoutResponse {
    /// The name of the zone.
    pub zone: String,
    /// Whether the address was published until now.
    pub ended: bool,
}

/// Query parameters of `GET /v1/zones/{zone}/logins`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LoginsQuery {
    /// An IPv4 or IPv6 address, whose log-in is reported in `login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The recent log-ins of a volatile zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginsResponse {
    /// The name of the zone.
    pub zone: String,
    /// How long an address is published after a log-in.
    pub lifetime_seconds: u64,
    /// The number of addresses that are published, and of those that have ended in the last second.
    pub entries: usize,
    /// The most addresses; if one more is reported, the one that ends first is removed.
    pub max_entries: usize,
    /// Log-ins since the start of the daemon; a repeated one counts again.
    pub reported: u64,
    /// Log-outs since the start of the daemon.
    pub removed: u64,
    /// Log-ins that were removed before their end because there were too many.
    pub evicted: u64,
    /// The log-in of the address of the request; null without one, or if there is no log-in.
    pub login: Option<LoginResponse>,
}

/// A published log-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginResponse {
    /// The address, or the first address of its prefix.
    pub address: String,
    /// When it ends.
    pub ends: Timestamp,
}
