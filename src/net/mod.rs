//! What listeners share: how many connections a client may have ([`ConnectionLimiter`]), how often
//! it may do something ([`RateLimiter`]), and how the process's file descriptors are divided
//! ([`FileBudget`]).

mod answering_body;
pub mod connection_limiter;
mod file_budget;
mod lingering_stream;
mod prefix;
pub mod rate_limit;

pub use answering_body::{AnsweringBody, RequestBody};
pub use connection_limiter::{
    AnswerGuard, ConnectionLimiter, ConnectionPermit,
    table::{Client, ConnectionTable, Pool, Shares, Stats},
};
pub use file_budget::{Connections, FileBudget};
pub use lingering_stream::LingeringStream;
pub use prefix::ClientPrefix;
pub use rate_limit::{RateLimit, RateLimited, RateLimiter};
