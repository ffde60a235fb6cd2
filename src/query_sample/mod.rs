//! A sample of the addresses that mail servers ask about: the address in the name of a query, and
//! not the client that sends it. It is off by default, and is only in memory.
//!
//! | file | content |
//! | --- | --- |
//! | `sampler` | on the path of a query: chooses one in so many queries |
//! | `networks` | which addresses of which networks were sampled, in a table of fixed size |
//! | `candidates` | addresses whose reverse names are worth a look-up, in a queue of fixed size |
//! | `sample` | collects what the samplers have chosen; the settings, and the numbers |
//!
//! A sampler takes no lock, allocates nothing and never waits. Everything else happens in
//! [`QuerySample::collect`], which a task of low priority calls.

mod candidates;
mod networks;
mod sample;
mod sampler;
#[cfg(test)]
mod tests;

pub use sample::{QueriedCount, QuerySample, QuerySampleSettings, QuerySampleStats};
pub use sampler::{QueriedAddress, QuerySampler};
