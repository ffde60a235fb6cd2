//! The rules of relay testing: which host is tested when, and with which consequences. The rules
//! are pure: times are arguments.

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
    BLOCKED_PAUSE, BlockedClaims, HostRecord, QUICK_BLOCKED, RECHECK_PERIOD, claim_pause,
};
pub use job::{
    EARLY_TRY_PAUSE, EvidenceOrigin, EvidenceSummary, InvalidTransition, Job, MAX_EARLY_TRIES,
    RETEST_PAUSE, Trigger,
};
pub use opt_out::OptOut;
pub use outage::{MAX_LOAD_PAUSE, Outage, outage_time, paused_time};
pub use output::{OutputRecord, RelayPath};
pub use periods::{
    GRANT_UNTESTED_AFTER, MAX_EVIDENCE_AGE, MIN_TEST_INTERVAL, SAME_EVIDENCE_INTERVAL,
    WAITING_PERIOD,
};
pub use reporter::{FIRST_JOBS, MIN_REPUTATION, REPUTATION_JOBS, ReporterRecord};
pub use state::{ClaimEvent, ClaimState, JobEvent, JobState};
