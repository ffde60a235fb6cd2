//! Personal data: which kinds are stored and for how long, and the job that erases what is too old.

mod kinds;
mod retention;

pub use kinds::{DataKind, kinds, markdown_table};
pub use retention::{RetentionJob, RetentionReport, RetentionRun};
