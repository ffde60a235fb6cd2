//! Functions by which handlers ask other parts of the daemon.

use std::sync::Arc;

/// What another part of the daemon reports about itself.
pub type Report<T> = Arc<dyn Fn() -> T + Send + Sync>;
/// The connections of each listener.
pub type ConnectionStats = Report<Vec<(&'static str, crate::net::LimiterStats)>>;

/// Checks a text; the error says what is wrong with it.
pub type Check = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;
