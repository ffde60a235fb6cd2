//! Personal data: which kinds are stored and for how long, the job that erases what is too old, and
//! what is stored about a person.

mod erase;
mod erasures;
mod kinds;
mod report;
mod retention;
mod search;

pub use erase::ErasedCounts;
pub use erasures::{ErasedNames, Erasures};
pub use kinds::{DataKind, kinds, markdown_table};
pub use report::{Finding, PersonalData, PersonalReport};
pub use retention::{RetentionJob, RetentionReport, RetentionRun};
pub use search::{Person, PersonalSubject};
