//! How often the lists are wrong, and how fast errors are corrected: daily figures of each zone and
//! each source.
//!
//! Once a day, a job reads the listings, their history, relay tests and tickets, and makes a
//! [`QualityReport`] of them, which an archive keeps as one file for each day. Figures are counts
//! and times; none names a subject or a person.

mod archive;
mod claims;
mod figures;
mod histogram;
mod job;
mod requests;
mod tally;

#[cfg(test)]
mod tests;

pub use archive::{ARCHIVE_DAYS, QualityArchive, QualityReport};
pub use figures::{
    ClaimFigures, ProofFigures, QualityFigures, RECENT, RemovalFigures, RequestFigures,
};
pub use histogram::Percentiles;
pub use job::QualityJob;
