//! Limits that listeners share: on connections ([`ConnectionLimiter`]), on rates ([`RateLimiter`]),
//! and on file descriptors ([`FileBudget`]).

mod answering_body;
pub mod connection_limiter;
mod file_budget;
mod lingering_stream;
mod prefix;
pub mod rate_limit;

pub use answering_body::{AnsweringBody, RequestBody};
pub use connection_limiter::{
    AnswerGuard, ConnectionLimiter, ConnectionPermit,
    table::{ClientKind, ConnectionTable, LimiterStats, Pool, Shares},
};
pub use file_budget::{ConnectionLimits, FileBudget};
pub use lingering_stream::LingeringStream;
pub use prefix::ClientPrefix;
pub use rate_limit::{RateLimit, RateLimited, RateLimiter};
