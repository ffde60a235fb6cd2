//! Open-relay testing: which hosts are tested and when, which messages a test sends, what their
//! outcomes mean, and which hosts are listed and released for them.
//!
//! Modules that do not need the feature `daemon` are pure: they have no I/O and no clock.

pub mod advice;
pub mod catalogue;
pub mod control;
pub mod control_plan;
pub mod form_notes;
pub mod forms;
pub mod host_names;
pub mod lint;
pub mod message;
pub mod networks;
pub mod outcome;
pub mod policy;
pub mod products;
pub mod proof;
pub mod token;
pub mod transcript;

#[cfg(feature = "daemon")]
mod actor;
#[cfg(feature = "daemon")]
mod arrivals;
#[cfg(feature = "daemon")]
mod batch;
#[cfg(feature = "daemon")]
mod claim_status;
#[cfg(feature = "daemon")]
mod claims;
#[cfg(feature = "daemon")]
pub mod collector;
#[cfg(feature = "daemon")]
mod erasure;
#[cfg(feature = "daemon")]
mod expiry;
#[cfg(feature = "daemon")]
pub mod health;
#[cfg(feature = "daemon")]
mod jobs;
#[cfg(feature = "daemon")]
mod load;
#[cfg(feature = "daemon")]
mod messages;
#[cfg(feature = "daemon")]
pub mod name_lookup;
#[cfg(feature = "daemon")]
mod opt_outs;
#[cfg(feature = "daemon")]
mod plan;
#[cfg(feature = "daemon")]
mod proofs;
#[cfg(feature = "daemon")]
mod queue;
#[cfg(feature = "daemon")]
mod runs;
#[cfg(feature = "daemon")]
pub mod scheduler;
#[cfg(feature = "daemon")]
mod self_test;
#[cfg(feature = "daemon")]
mod service;
#[cfg(feature = "daemon")]
mod settings;
#[cfg(feature = "daemon")]
pub mod survey;
#[cfg(feature = "daemon")]
mod survey_rows;
#[cfg(feature = "daemon")]
mod tables;
#[cfg(feature = "daemon")]
mod tested_hosts;
#[cfg(feature = "daemon")]
pub mod tester;

#[cfg(all(test, feature = "daemon"))]
pub(crate) mod tests;

pub use catalogue::Catalogue;
pub use forms::RelayTest;
pub use host_names::HostNames;
pub use token::{TokenCodec, TokenKind};

#[cfg(feature = "daemon")]
pub use {
    actor::Actor,
    arrivals::ArrivalOutcome,
    claim_status::ClaimStatus,
    claims::{ClaimReceipt, ReviewFinding, SourceReplies},
    erasure::RelayText,
    expiry::ForgottenRows,
    jobs::Nomination,
    messages::{MessageResult, Phase, PreparedMessage},
    name_lookup::HostNameResolver,
    policy::OptOut,
    proof::{Proof, ProofOutcome},
    service::{Component, OPT_OUT_REASON, REASONS, RelayError, RelayService},
    settings::{RelaySettings, TesterSource},
};
