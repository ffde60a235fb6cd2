//! The rules of relay testing: who is tested when, and what follows. Values and arithmetic; the
//! clock comes from outside.

mod budget;
mod claim;
mod host;
mod job;
mod opt_out;
mod outage;
mod output;
mod periods;
mod reporter;
mod state;

pub use budget::{Budget, BudgetKind};
pub use claim::Claim;
pub use host::{
    BLOCKED_PAUSE, BlockedClaims, HostRecord, QUICK_BLOCKED, RECHECK_WITHIN, claim_pause,
};
pub use job::{EvidenceOrigin, EvidenceSummary, InvalidTransition, Job, Trigger};
pub use opt_out::OptOut;
pub use outage::{MAX_LOAD_PAUSE, Outage, lost, paused};
pub use output::{OutputRecord, RelayPath};
pub use periods::{BETWEEN, EVIDENCE_LIFE, SAME_EVIDENCE, UNTESTED, WAITING};
pub use reporter::{FIRST, REPUTATION, ReporterRecord, TRUST};
pub use state::{ClaimEvent, ClaimState, JobEvent, JobState};
