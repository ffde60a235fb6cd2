//! Compares another list with ours: which entries both have, which only one of them, and what tests
//! found at those that only the other list has. It also compares the own sources with each other.
//!
//! It starts no test: it uses the results of tests that were made before. Lists are kept in sorted
//! runs ([`EntrySet`]), which are in files if they are long, and are compared in one pass. So the
//! memory of a comparison does not grow with its lists.

mod compare;
mod coverage;
mod entries;
mod figures;
#[cfg(feature = "daemon")]
mod folder;
mod keys;
mod names;
mod overlap;
mod presence;
mod run_bytes;
mod runs;
mod samples;
#[cfg(feature = "daemon")]
mod service;
mod settings;
mod spans;
mod tested;
#[cfg(test)]
mod tests;

pub use compare::{ComparedLists, ComparisonLines, compare};
pub use coverage::Coverage;
pub use entries::EntrySet;
pub use figures::{ComparisonCounts, ComparisonFigures, EntryGroup, Share};
#[cfg(feature = "daemon")]
pub use folder::{ComparisonFile, ComparisonFolder, StoredComparison};
pub use overlap::{OverlapCounter, PairOverlap, SourceOverlap};
pub use samples::SampleGroup;
#[cfg(feature = "daemon")]
pub use service::{Comparisons, TransferZone};
pub use settings::{ComparisonSettings, TransferSettings, check_name, short_name};
pub use tested::{MAX_TESTED, TestedHost, TestedHosts, TestedState};
