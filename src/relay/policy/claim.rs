//! A claim that a host is closed.

use serde::{Deserialize, Serialize};

use super::{
    periods::{GRANT_UNTESTED_AFTER, WAITING_PERIOD},
    state::ClaimState,
};
use crate::model::Time;

/// A claim that a host is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The time of the claim.
    pub at: Time,
    /// The claimant.
    pub by: String,
    /// Whether the claimant has proved to speak for the host.
    pub proved: bool,
    /// The job that tests the claim.
    pub job: u64,
    /// When the claim may be tested, by the pause between claims.
    pub due: Time,
    /// The end of the waiting period, if it has begun.
    pub release: Option<Time>,
    /// Messages that were sent since this time refute the claim. `None`: since the claim.
    #[serde(default)]
    pub since: Option<Time>,
    /// The job that tests from a second source address during the waiting period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_job: Option<u64>,
}

impl Claim {
    /// Begins the waiting period, unless it has begun.
    pub fn begin_waiting(&mut self, now: Time) {
        self.release.get_or_insert(now.plus(WAITING_PERIOD));
    }

    /// Returns the state of the claim.
    pub fn state(&self) -> ClaimState {
        match (self.release, self.second_job) {
            (None, _) => ClaimState::Testing,
            (Some(_), None) => ClaimState::Waiting,
            (Some(_), Some(_)) => ClaimState::WaitingForSecondSource,
        }
    }

    /// Whether a job tests the claim, from the first or the second source address.
    pub fn is_tested_by(&self, job: u64) -> bool {
        self.job == job || self.second_job == Some(job)
    }

    /// Whether the delivery of a message that was sent at `sent` refutes the claim.
    pub fn is_refuted(&self, sent: Time) -> bool {
        sent >= self.since.unwrap_or(self.at)
    }

    /// Returns when the claim is granted without a test. If a test has begun, the time is later,
    /// within a limit.
    pub fn grant_time(&self, begun: Option<Time>) -> Time {
        let usual = self.due.plus(GRANT_UNTESTED_AFTER);
        begun.map_or(usual, |b| {
            b.plus(GRANT_UNTESTED_AFTER)
                .clamp(usual, usual.plus(GRANT_UNTESTED_AFTER))
        })
    }
}
